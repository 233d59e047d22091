//! The part of the stream that is in memory: bytes by their offset in the stream, filled from a reader.

use std::cell::Cell;
use std::io::{self, Read};
use std::ops::Range;

/// A view of the bytes at hand, addressed by offset in the stream. Copied freely.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    bytes: &'a [u8],
    base: u64,
    /// Whether nothing will follow.
    pub(super) ended: bool,
}

impl<'a> View<'a> {
    /// The offset of the first byte in memory.
    pub(super) fn base(&self) -> u64 {
        self.base
    }

    /// The offset after the last byte at hand.
    pub(super) fn end(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }

    /// The bytes of a range that is in memory.
    pub(super) fn slice(&self, range: Range<u64>) -> &'a [u8] {
        &self.bytes[(range.start - self.base) as usize..(range.end - self.base) as usize]
    }

    /// All bytes from an offset on.
    pub(super) fn from(&self, at: u64) -> &'a [u8] {
        &self.bytes[(at - self.base) as usize..]
    }

    /// The next byte that is no JSON white space, and its offset.
    pub(super) fn token(&self, at: u64) -> Option<(u64, u8)> {
        let bytes = self.from(at);
        let skip = bytes.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))?;
        Some((at + skip as u64, bytes[skip]))
    }
}

/// A buffer over a reader.
pub(super) struct Window<R> {
    reader: R,
    /// All of it initialised; the first `filled` bytes are the stream's.
    buffer: Vec<u8>,
    filled: usize,
    base: u64,
    ended: bool,
    failure: Option<io::Error>,
    /// A buffer that somebody is done with.
    spare: Vec<u8>,
    /// Bytes that were scanned again; a cell, since views are about when it is asked for.
    rescanned: Cell<u64>,
}

/// How often all of the input may be scanned again, on average.
const MAX_RESCANS: u64 = 8;

impl<R: Read> Window<R> {
    /// A window of `capacity` bytes, in the memory of `buffer` where that fits.
    pub(super) fn new(reader: R, capacity: usize, mut buffer: Vec<u8>) -> Self {
        if buffer.capacity() > 2 * capacity {
            buffer = Vec::new();
        }
        // What another input left in it lies beyond `filled`, where nobody looks.
        buffer.resize(capacity, 0);
        Self {
            reader,
            buffer,
            filled: 0,
            base: 0,
            ended: false,
            failure: None,
            spare: Vec::new(),
            rescanned: Cell::new(0),
        }
    }

    /// The memory, for the next window.
    pub(super) fn into_buffer(self) -> Vec<u8> {
        if self.buffer.is_empty() { self.spare } else { self.buffer }
    }

    pub(super) fn view(&self) -> View<'_> {
        View { bytes: &self.buffer[..self.filled], base: self.base, ended: self.ended }
    }

    /// Whether so few bytes would fill a small part of the buffer only.
    pub(super) fn dwarfs(&self, bytes: u64) -> bool {
        bytes < self.buffer.len() as u64 / 2
    }

    pub(super) fn is_full(&self) -> bool {
        self.filled == self.buffer.len()
    }

    /// The error that ended the stream, once.
    pub(super) fn take_failure(&mut self) -> Option<io::Error> {
        self.failure.take()
    }

    /// Whether an error and not the input's end ended the stream.
    pub(super) fn failed(&self) -> bool {
        self.failure.is_some()
    }

    /// Ends the stream here, as if its reader had failed.
    pub(super) fn stop(&mut self, why: io::Error) {
        self.failure = Some(why);
        self.ended = true;
    }

    /// Whether what was scanned up to `from` may be scanned again from `to` on, which happens after something that was
    /// cut off. Keeps account, so that hostile input costs a bounded multiple of its size.
    pub(super) fn may_go_back(&self, from: u64, to: u64) -> bool {
        let rescanned = self.rescanned.get() + (from - to);
        let allowed = rescanned <= from.saturating_mul(MAX_RESCANS);
        if allowed {
            self.rescanned.set(rescanned);
        }
        allowed
    }

    /// Reads until the buffer is full or the stream ended. An error ends it, and is kept until what came before it has
    /// been cut.
    pub(super) fn fill(&mut self) {
        while !self.ended && !self.is_full() {
            match self.reader.read(&mut self.buffer[self.filled..]) {
                Ok(0) => self.ended = true,
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.failure = Some(error);
                    self.ended = true;
                }
            }
        }
    }

    /// Makes room in a full buffer of which all before `keep` is done with: moves the rest to the front, or grows to at
    /// most `most` bytes (and by one byte in any case).
    pub(super) fn make_room(&mut self, keep: u64, most: usize) {
        let done = (keep - self.base) as usize;
        if done > 0 {
            self.buffer.copy_within(done..self.filled, 0);
            self.filled -= done;
            self.base = keep;
        }
        if self.filled * 2 > self.buffer.len() {
            let capacity = (self.buffer.len() * 2).min(most).max(self.buffer.len() + usize::from(self.is_full()));
            self.buffer.resize(capacity, 0);
        }
    }

    /// Takes back a buffer that was handed out: its memory is there already, new memory has to be cleared.
    pub(super) fn reuse(&mut self, buffer: Vec<u8>) {
        let usual = (self.spare.capacity() + 1)..=4 * self.buffer.len();
        if usual.contains(&buffer.capacity()) {
            self.spare = buffer;
        }
    }

    /// Hands out the bytes of `range` with their buffer, without copying them; what lies from `keep` on (at or after
    /// the range's end) moves into a new buffer of `capacity`.
    pub(super) fn take(&mut self, range: Range<u64>, keep: u64, capacity: usize) -> Vec<u8> {
        let tail = &self.buffer[(keep - self.base) as usize..self.filled];
        let room = capacity.max(tail.len() * 2);
        let mut next = if self.spare.capacity() < room { Vec::new() } else { std::mem::take(&mut self.spare) };
        if next.capacity() == 0 {
            next = vec![0; room];
        } else {
            next.resize(room, 0);
        }
        next[..tail.len()].copy_from_slice(tail);
        self.filled = tail.len();
        let mut bytes = std::mem::replace(&mut self.buffer, next);
        bytes.truncate((range.end - self.base) as usize);
        if range.start > self.base {
            bytes.drain(..(range.start - self.base) as usize);
        }
        self.base = keep;
        bytes
    }
}
