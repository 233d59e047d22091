//! One input as a stream of decompressed bytes.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::inflate::Inflated;
use super::utf16::{self, Order};
use super::{Codec, Input, InputKind, Limits, ReadProblem, SourceError};

/// Opens an input. Gzip (any number of members) and zstd (any number of frames) are told by their first bytes, whatever
/// the name says, and are decompressed on a thread of their own.
///
/// Blocks until the first bytes are there (standard input, pipes). Errors: the file is gone, not to be read, or fails
/// on its first bytes; what goes wrong later comes out of [`Opened::read`] as a [`ReadProblem`].
pub fn open(input: &Input, limits: &Limits) -> Result<Opened, SourceError> {
    match &input.kind {
        InputKind::Stdin => Opened::over(&input.name, io::stdin(), limits),
        InputKind::File(path) => {
            let file = File::open(path).map_err(|error| SourceError::from_io(input.name.clone(), error))?;
            // Pipes and devices cannot be read out of order.
            let again =
                file.metadata().is_ok_and(|metadata| metadata.is_file()).then(|| file.try_clone().ok()).flatten();
            let mut opened = Opened::over(&input.name, file, limits)?;
            opened.file = again.filter(|_| matches!(opened.body, Body::Plain(_)));
            Ok(opened)
        }
    }
}

/// The decompressed bytes of an input; text in UTF-16 becomes UTF-8. A byte order mark at its start is left out (so
/// positions count from the byte after it). Dropping it ends the decompressing thread.
///
/// Errors of `read` carry a [`ReadProblem`]; what was decodable before one has been handed out. After an error the
/// stream is at its end.
pub struct Opened {
    name: String,
    body: Body,
    head: Head,
    utf16: Option<utf16::Decoder>,
    raw_bytes: Arc<AtomicU64>,
    /// The file itself, where the bytes are those of a file as it lies there.
    file: Option<File>,
}

enum Body {
    Plain(Box<dyn Read + Send>),
    Inflated(Inflated),
    Ended,
}

/// The first bytes, which tell what is refused; then what is left of them.
enum Head {
    Unread,
    Left { bytes: [u8; HEAD_BYTES], at: usize, end: usize },
}

/// As many first bytes as any form needs to be told.
const HEAD_BYTES: usize = 8;

impl Opened {
    /// Opens any reader as [`open`] opens a file; `name` stands in errors.
    pub fn over(name: &str, mut reader: impl Read + Send + 'static, limits: &Limits) -> Result<Self, SourceError> {
        let io_error = |error| SourceError::from_io(name.to_owned(), error);
        let mut magic = [0; 4];
        let length = fill(&mut reader, &mut magic).map_err(io_error)?;
        let raw_bytes = Arc::new(AtomicU64::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let raw = Counted {
            inner: Cursor::new(magic).take(length as u64).chain(reader),
            count: Arc::clone(&raw_bytes),
            stop: Arc::clone(&stop),
        };
        let body = match codec(&magic[..length]) {
            None => Body::Plain(Box::new(raw)),
            Some(codec) => Body::Inflated(
                Inflated::spawn(name, codec, raw, Arc::clone(&raw_bytes), stop, *limits).map_err(io_error)?,
            ),
        };
        Ok(Self { name: name.to_owned(), body, head: Head::Unread, utf16: None, raw_bytes, file: None })
    }

    /// The name of the encoding, where it is another than UTF-8; known once something has been read.
    pub fn encoding(&self) -> Option<&'static str> {
        self.utf16.as_ref().map(|_| "UTF-16")
    }

    /// The file itself, to be read out of order in place of this, from its start; `None` for what is compressed and for
    /// pipes. All of it counts as read then.
    pub fn take_file(&mut self) -> Option<File> {
        let file = self.file.take()?;
        let length = file.metadata().ok()?.len();
        self.raw_bytes.store(length, Ordering::Relaxed);
        self.body = Body::Ended;
        Some(file)
    }

    /// Bytes read so far from the file itself, before decompression; for a progress bar on another thread.
    pub fn raw_bytes(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.raw_bytes)
    }

    fn read_body(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let result = match &mut self.body {
            Body::Plain(reader) => {
                retried(reader, target).map_err(|error| ReadProblem::Io { name: self.name.clone(), error }.into_io())
            }
            Body::Inflated(inflated) => inflated.read(target).map_err(ReadProblem::into_io),
            Body::Ended => Ok(0),
        };
        if result.is_err() {
            self.body = Body::Ended;
        }
        result
    }

    /// Reads the first bytes and refuses what they give away.
    fn read_head(&mut self) -> io::Result<()> {
        let mut bytes = [0; HEAD_BYTES];
        let mut end = 0;
        while end < HEAD_BYTES {
            match self.read_body(&mut bytes[end..])? {
                0 => break,
                read => end += read,
            }
        }
        if let Some((what, way_out)) = unsupported(&bytes[..end]) {
            self.body = Body::Ended;
            self.head = Head::Left { bytes, at: end, end };
            return Err(ReadProblem::Unsupported { name: self.name.clone(), what, way_out }.into_io());
        }
        let order = utf16::order(&bytes[..end]);
        self.utf16 = order.map(|(order, _): (Order, bool)| utf16::Decoder::new(order));
        let at = match order {
            Some((_, marked)) => 2 * usize::from(marked),
            None if bytes[..end].starts_with(b"\xef\xbb\xbf") => 3,
            None => 0,
        };
        self.head = Head::Left { bytes, at, end };
        Ok(())
    }

    /// Bytes as the input encodes them.
    fn read_encoded(&mut self, target: &mut [u8]) -> io::Result<usize> {
        if let Head::Left { bytes, at, end } = &mut self.head
            && at < end
        {
            let length = target.len().min(*end - *at);
            target[..length].copy_from_slice(&bytes[*at..*at + length]);
            *at += length;
            return Ok(length);
        }
        self.read_body(target)
    }
}

impl Read for Opened {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        if matches!(self.head, Head::Unread) {
            self.read_head()?;
        }
        let Some(mut decoder) = self.utf16.take() else { return self.read_encoded(target) };
        let result = decoder.read(target, &mut Encoded(self));
        self.utf16 = Some(decoder);
        result
    }
}

/// The bytes before they are decoded.
struct Encoded<'a>(&'a mut Opened);

impl Read for Encoded<'_> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        self.0.read_encoded(target)
    }
}

/// Counts what is read, and fails once nobody wants it any more.
struct Counted<R> {
    inner: R,
    count: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("the reader was dropped"));
        }
        let read = self.inner.read(target)?;
        self.count.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// One read, repeated while a signal interrupts it.
fn retried(reader: &mut impl Read, target: &mut [u8]) -> io::Result<usize> {
    loop {
        match reader.read(target) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Reads until `target` is full or the reader at its end; gives the length.
fn fill(reader: &mut impl Read, target: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < target.len() {
        match retried(reader, &mut target[length..])? {
            0 => break,
            read => length += read,
        }
    }
    Ok(length)
}

/// The compression that the first bytes tell.
fn codec(magic: &[u8]) -> Option<Codec> {
    match magic {
        [0x1f, 0x8b, ..] => Some(Codec::Gzip),
        [0x28, 0xb5, 0x2f, 0xfd] => Some(Codec::Zstd),
        // A skippable frame, with which parallel compressors begin.
        [0x50..=0x5f, 0x2a, 0x4d, 0x18] => Some(Codec::Zstd),
        _ => None,
    }
}

/// What the first bytes tell of a form that is not read, and the way out.
fn unsupported(head: &[u8]) -> Option<(&'static str, &'static str)> {
    let utf32 = "convert it to UTF-8, for example with: iconv -f UTF-32 -t UTF-8";
    let unpack = "decompress it first, or pipe it in and give - as the source";
    match head {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => Some(("UTF-32 text", utf32)),
        [b'P', b'K', 3 | 5, 4 | 6, ..] => {
            Some(("a zip archive or an Excel workbook", "unpack it and give the folder, or save the workbook as CSV"))
        }
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(("compressed with xz", unpack)),
        [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, ..] => Some(("compressed with bzip2", unpack)),
        [0x04, 0x22, 0x4d, 0x18, ..] => Some(("compressed with lz4", unpack)),
        [0x1f, 0x8b, 8, ..] => Some(("compressed twice", unpack)),
        [b'7', b'z', 0xbc, 0xaf, ..] => Some(("a 7z archive", "unpack it and give the folder")),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "open_tests.rs"]
mod tests;
