//! Avro's container file: header and blocks, passed on as they are once each was held to limits. The crate that decodes
//! them decompresses whatever a block asks for.

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::rc::Rc;

/// The most bytes of one block, before and after decompression. Capture's blocks hold a few messages of at most a
/// megabyte each.
const MAX_BLOCK: u64 = 32 << 20;

/// The most bytes of one text of the header, and the most texts.
const MAX_TEXT: u64 = 1 << 20;
const MAX_TEXTS: usize = 1000;

/// How blocks are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Codec {
    Null,
    Deflate,
    Snappy,
    Zstandard,
}

/// A container file that is read block by block.
pub(super) struct Blocks<R> {
    inner: R,
    codec: Codec,
    sync: [u8; 16],
    /// The header, or a block with its frame.
    out: Vec<u8>,
    taken: usize,
    /// Bytes of the file that were read.
    raw: Rc<Cell<u64>>,
}

impl<R: Read> Blocks<R> {
    /// Reads the header, magic bytes and all; gives the schema with it.
    pub(super) fn open(inner: R) -> io::Result<(Self, Vec<u8>)> {
        let raw = Rc::new(Cell::new(0));
        let mut blocks = Self { inner, codec: Codec::Null, sync: [0; 16], out: Vec::new(), taken: 0, raw };
        blocks.fetch(4)?;
        let (mut schema, mut texts) = (Vec::new(), 0);
        loop {
            let count = blocks.long()?.ok_or_else(cut)?;
            if count < 0 {
                blocks.long()?;
            }
            if count == 0 {
                break;
            }
            for _ in 0..count.unsigned_abs() {
                let (key, value) = (blocks.text()?, blocks.text()?);
                texts += 1;
                match key.as_slice() {
                    b"avro.schema" => schema = value,
                    b"avro.codec" => blocks.codec = codec(&value)?,
                    _ if texts > MAX_TEXTS => return Err(io::Error::other("its header has no end")),
                    _ => {}
                }
            }
        }
        let sync = blocks.fetch(16)?;
        blocks.sync.copy_from_slice(&blocks.out[sync..]);
        Ok((blocks, schema))
    }

    /// Counts the bytes of the file that were read so far.
    pub(super) fn raw(&self) -> Rc<Cell<u64>> {
        Rc::clone(&self.raw)
    }

    /// Reads the next block into `out`; leaves it empty at the end.
    fn next_block(&mut self) -> io::Result<()> {
        self.out.clear();
        self.taken = 0;
        if self.long()?.is_none() {
            return Ok(());
        }
        let size = self.length(MAX_BLOCK)?;
        let start = self.fetch(size)?;
        let block = &self.out[start..];
        if self.codec.opens_within(block) > MAX_BLOCK {
            return Err(io::Error::other(format!(
                "a block is too large: it decompresses to more than {MAX_BLOCK} bytes"
            )));
        }
        let sync = self.fetch(16)?;
        if self.out[sync..] != self.sync {
            Err(io::Error::other("a block does not end where it should"))
        } else {
            Ok(())
        }
    }

    /// Reads so many bytes; gives where they begin in `out`.
    fn fetch(&mut self, length: u64) -> io::Result<usize> {
        let start = self.out.len();
        let read = self.inner.by_ref().take(length).read_to_end(&mut self.out)?;
        self.raw.set(self.raw.get() + read as u64);
        if read as u64 == length { Ok(start) } else { Err(cut()) }
    }

    /// Reads a number; `None` at the end of the file.
    fn long(&mut self) -> io::Result<Option<i64>> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let start = match self.fetch(1) {
                Ok(start) => start,
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && shift == 0 => return Ok(None),
                Err(error) => return Err(error),
            };
            let byte = self.out[start];
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(Some((number >> 1) as i64 ^ -((number & 1) as i64)));
            }
        }
        Err(io::Error::other("a number in it has no end"))
    }

    fn length(&mut self, most: u64) -> io::Result<u64> {
        let length = self.long()?.ok_or_else(cut)?;
        let fits = u64::try_from(length).ok().filter(|length| *length <= most);
        fits.ok_or_else(|| io::Error::other(format!("a length of {length} is too large")))
    }

    fn text(&mut self) -> io::Result<Vec<u8>> {
        let length = self.length(MAX_TEXT)?;
        let start = self.fetch(length)?;
        Ok(self.out[start..].to_vec())
    }
}

impl<R: Read> Read for Blocks<R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let length = self.fill_buf()?.read(target)?;
        self.consume(length);
        Ok(length)
    }
}

impl<R: Read> BufRead for Blocks<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.taken == self.out.len() {
            self.next_block()?;
        }
        Ok(&self.out[self.taken..])
    }

    fn consume(&mut self, amount: usize) {
        self.taken += amount;
    }
}

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the file ends in the middle of it")
}

fn codec(name: &[u8]) -> io::Result<Codec> {
    match name {
        b"null" | b"" => Ok(Codec::Null),
        b"deflate" => Ok(Codec::Deflate),
        b"snappy" => Ok(Codec::Snappy),
        b"zstandard" => Ok(Codec::Zstandard),
        _ => Err(io::Error::other(format!(
            "its codec {} is not read",
            super::form::quoted(&String::from_utf8_lossy(name))
        ))),
    }
}

impl Codec {
    /// Bytes that a block decompresses to, counted up to the limit and one more; a damaged block is left to its decoder.
    fn opens_within(self, block: &[u8]) -> u64 {
        let count = |reader: &mut dyn Read| {
            let mut limited = reader.take(MAX_BLOCK + 1);
            io::copy(&mut limited, &mut io::sink()).unwrap_or(0)
        };
        match self {
            Codec::Null => block.len() as u64,
            Codec::Deflate => count(&mut flate2::read::DeflateDecoder::new(block)),
            Codec::Zstandard => zstd::Decoder::new(block).map_or(0, |mut decoder| count(&mut decoder)),
            Codec::Snappy => snappy_length(block),
        }
    }
}

/// The length that a snappy block begins with. It ends in four bytes of checksum; shorter is too large for any decoder.
fn snappy_length(block: &[u8]) -> u64 {
    if block.len() < 5 {
        return u64::MAX;
    }
    let bytes = block.iter().take(5).scan(true, |more, byte| {
        let take = *more;
        *more = byte & 0x80 != 0;
        take.then_some(u64::from(byte & 0x7f))
    });
    bytes.enumerate().map(|(at, bits)| bits << (7 * at)).sum()
}
