//! One input as a stream of decompressed bytes.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::inflate::Inflated;
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
            Opened::over(&input.name, file, limits)
        }
    }
}

/// The decompressed bytes of an input. A UTF-8 byte order mark at its start is left out (so positions count from the
/// byte after it). Dropping it ends the decompressing thread.
///
/// Errors of `read` carry a [`ReadProblem`]; what was decodable before one has been handed out. After an error the
/// stream is at its end.
pub struct Opened {
    name: String,
    body: Body,
    head: Head,
    raw_bytes: Arc<AtomicU64>,
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
        Ok(Self { name: name.to_owned(), body, head: Head::Unread, raw_bytes })
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
        let at = if bytes[..end].starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        self.head = Head::Left { bytes, at, end };
        Ok(())
    }
}

impl Read for Opened {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        if matches!(self.head, Head::Unread) {
            self.read_head()?;
        }
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
    let utf16 = "convert it to UTF-8, for example with: iconv -f UTF-16 -t UTF-8";
    let unpack = "decompress it first, or pipe it in and give - as the source";
    match head {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some(("UTF-16 text", utf16)),
        // Without a mark: ASCII with every other byte empty.
        [1..=0x7f, 0, 1..=0x7f, 0, ..] | [0, 1..=0x7f, 0, 1..=0x7f, ..] => Some(("UTF-16 text", utf16)),
        [b'P', b'K', 3 | 5, 4 | 6, ..] => Some(("a zip archive", "unpack it and give the folder")),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(("compressed with xz", unpack)),
        [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, ..] => Some(("compressed with bzip2", unpack)),
        [0x04, 0x22, 0x4d, 0x18, ..] => Some(("compressed with lz4", unpack)),
        [0x1f, 0x8b, 8, ..] => Some(("compressed twice", unpack)),
        [b'7', b'z', 0xbc, 0xaf, ..] => Some(("a 7z archive", "unpack it and give the folder")),
        [b'P', b'A', b'R', b'1', ..] => Some(("a Parquet file", "export the logs as JSON or CSV")),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "open_tests.rs"]
mod tests;
