//! Files of Avro and Parquet: their records become text, a record or a message a line, and go the way of all text from
//! there. Told by the first bytes; everything else passes through as it is.

use std::fs::File;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::capture::Capture;
use super::columnar::Columnar;
use super::form::{Form, Refusal};
use super::frame::FrameError;

/// What a container may hold for its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContainerLimits {
    /// The most bytes of text for each byte of the file, once `ratio_free_bytes` have come out.
    pub max_ratio: u64,
    /// Bytes of text before the ratio is looked at.
    pub ratio_free_bytes: u64,
    /// The most bytes of text of one file.
    pub max_bytes: u64,
}

/// The text of an input.
pub struct Contents<'a> {
    /// The text, for [`super::frame::Framer`].
    pub text: Box<dyn Read + 'a>,
    /// The form, where a container tells it; else the framer does.
    pub form: Option<Form>,
}

/// Opens what `reader` gives. `file` gives the file behind it, if it is one: Parquet is read out of order.
///
/// Errors: [`FrameError::Refused`] for containers of something else, [`FrameError::Read`] where the first bytes cannot be
/// read. What goes wrong later comes out of the text as an error.
pub fn open<'a, R: Read>(
    reader: &'a mut R,
    file: impl FnOnce(&mut R) -> Option<File>,
    limits: &ContainerLimits,
) -> Result<Contents<'a>, FrameError> {
    let mut head = [0; 4];
    let length = fill(reader, &mut head).map_err(|error| FrameError::Read { offset: 0, error })?;
    match &head[..length] {
        b"Obj\x01" => {
            let capture = Capture::open(io::Cursor::new(head).chain(reader), *limits)?;
            Ok(Contents { text: Box::new(capture), form: Some(Form::Capture) })
        }
        b"PAR1" => {
            let file = file(reader).ok_or_else(|| {
                let way_out = "Parquet is read from its end: save it as a file of its own and give that";
                FrameError::Refused(Refusal::new("a Parquet file that is compressed or comes through a pipe", way_out))
            })?;
            Ok(Contents { text: Box::new(Columnar::open(file, *limits)?), form: Some(Form::Parquet) })
        }
        _ => Ok(Contents { text: Box::new(io::Cursor::new(head).take(length as u64).chain(reader)), form: None }),
    }
}

/// Runs a decoder of binary files: a damaged one is an error and never the end of the program. `damaged` says what it is.
pub(super) fn contained<T, E: std::fmt::Display>(damaged: &str, work: impl FnOnce() -> Result<T, E>) -> io::Result<T> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|error| io::Error::other(format!("{damaged}: {error}"))),
        Err(_) => Err(io::Error::other(damaged.to_owned())),
    }
}

fn fill(reader: &mut impl Read, target: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < target.len() {
        match reader.read(&mut target[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// Text that is made piece by piece and read in whatever pieces.
#[derive(Debug, Default)]
pub(super) struct Made {
    text: Vec<u8>,
    taken: usize,
    total: u64,
}

impl Made {
    /// Whether all of it was read.
    pub(super) fn is_empty(&self) -> bool {
        self.taken == self.text.len()
    }

    /// Room for the next piece, once all was read.
    pub(super) fn room(&mut self) -> &mut Vec<u8> {
        self.text.clear();
        self.taken = 0;
        &mut self.text
    }

    /// Counts the piece that was made; fails where the text has outgrown the limits for `raw` bytes of file.
    pub(super) fn account(&mut self, raw: u64, limits: &ContainerLimits) -> io::Result<()> {
        self.total += self.text.len() as u64;
        let ratio = self.total > limits.ratio_free_bytes && self.total / limits.max_ratio > raw;
        let limit = if self.total > limits.max_bytes {
            format!("{} bytes", limits.max_bytes)
        } else if ratio {
            format!("{} times", limits.max_ratio)
        } else {
            return Ok(());
        };
        self.room();
        Err(io::Error::other(format!(
            "it looks like a decompression bomb: {raw} bytes of the file became {}, beyond the limit of {limit}",
            self.total
        )))
    }

    /// Hands out text.
    pub(super) fn read(&mut self, target: &mut [u8]) -> usize {
        let length = target.len().min(self.text.len() - self.taken);
        target[..length].copy_from_slice(&self.text[self.taken..self.taken + length]);
        self.taken += length;
        length
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "container_tests.rs"]
mod tests;
