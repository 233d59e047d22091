//! Settles for a whole input how its dates are written, before anything of it is decoded.
//!
//! Most inputs write RFC 3339, and a look at their first records is all that happens. Where those have a date whose day
//! and month could change places, the input is held back until its rows have been looked at: a small one in memory, a
//! longer file by a second reading, anything that cannot be read twice as far as the bound goes.

use std::collections::VecDeque;
use std::io::Read;

use super::Options;
use super::pipeline::decode_block;
use super::reading::within;
use crate::record::container;
use crate::record::decode::Decoder;
use crate::record::frame::{Block, FrameError, Framer, Pieces};
use crate::record::{Dates, Evidence};
use crate::source::{self, Input, InputKind, Opened};

/// Bytes of blocks that are held back at the most.
const HELD_BYTES: usize = 16 << 20;

/// How far into a block's first line the raw records' `time` is looked for.
const HEAD_BYTES: usize = 4096;

/// Why an input gives no more blocks.
pub(super) enum Halt {
    /// It could not be read.
    Read(FrameError),
    /// Its dates can be read in two ways: a sentence.
    Dates(String),
}

/// The blocks of one input, each ready to be decoded under [`Settled::dates`].
pub(super) struct Settled<'a> {
    input: &'a Input,
    options: &'a Options,
    held: VecDeque<Block>,
    /// The reader's failure behind what is held.
    failed: Option<FrameError>,
    settled: bool,
    dates: Dates,
    /// A remark about times that name no zone.
    pub remark: Option<String>,
}

impl<'a> Settled<'a> {
    pub fn new(input: &'a Input, options: &'a Options) -> Self {
        let dates = options.dates;
        Self { input, options, held: VecDeque::new(), failed: None, settled: false, dates, remark: None }
    }

    /// How the dates of the input are written; known with its first block.
    pub fn dates(&self) -> Dates {
        self.dates
    }

    /// The next block of the input.
    pub fn next_block<R: Read>(&mut self, framer: &mut Framer<R>) -> Result<Option<Block>, Halt> {
        if let Some(block) = self.held.pop_front() {
            return Ok(Some(block));
        }
        if let Some(error) = self.failed.take() {
            return Err(Halt::Read(error));
        }
        let Some(block) = framer.next_block().map_err(Halt::Read)? else { return Ok(None) };
        if self.settled || !holds_records(&block) {
            return Ok(Some(block));
        }
        self.settled = true;
        let evidence = first_records(&block, self.options.dates);
        if evidence.open() {
            self.hold_back(block, framer)?;
            return Ok(self.held.pop_front());
        }
        self.note_zone(&evidence);
        Ok(Some(block))
    }

    /// Looks at all rows that can be looked at, then settles the order or refuses the input.
    fn hold_back<R: Read>(&mut self, first: Block, framer: &mut Framer<R>) -> Result<(), Halt> {
        let mut scout = Decoder::scout(self.options.dates);
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(block) = next {
            decode_block(&mut scout, &block);
            bytes += block.bytes.len() + block.rejects.iter().map(|reject| reject.bytes.len()).sum::<usize>();
            self.held.push_back(block);
            if bytes >= HELD_BYTES {
                self.read_again(&mut scout);
                break;
            }
            next = framer.next_block().unwrap_or_else(|error| {
                self.failed = Some(error);
                None
            });
        }
        let evidence = scout.evidence();
        let name = &self.input.name;
        self.dates = evidence.settle(self.options.dates).map_err(|why| {
            self.held.clear();
            Halt::Dates(format!("'{name}' was not read: {why}"))
        })?;
        self.note_zone(&evidence);
        Ok(())
    }

    /// Looks at a file that is too long to be held back from its beginning to its end. What goes wrong on the way shows
    /// in the reading that counts.
    fn read_again(&self, scout: &mut Decoder) {
        let regular = self.input.bytes.is_some() && matches!(self.input.kind, InputKind::File(_));
        let Some(mut opened) = regular.then(|| source::open(self.input, &self.options.source).ok()).flatten() else {
            return;
        };
        let limits = within(&self.options.source);
        let Ok(contents) = container::open(&mut opened, Opened::take_file, &limits) else { return };
        let mut framer = Framer::new(contents.text, &self.input.name, self.options.frame);
        while let Ok(Some(block)) = framer.next_block() {
            decode_block(scout, &block);
            framer.reuse(block.bytes);
        }
    }

    fn note_zone(&mut self, evidence: &Evidence) {
        self.remark = evidence.without_zone().map(|time| {
            format!(
                "times of '{}' name no zone ('{time}') and were read as UTC: give --zone if they are of another",
                self.input.name
            )
        });
    }
}

fn holds_records(block: &Block) -> bool {
    match &block.pieces {
        Pieces::Lines => !block.bytes.is_empty(),
        Pieces::Values(rows) | Pieces::Rows { rows, .. } | Pieces::Csv { rows, .. } => !rows.is_empty(),
    }
}

/// What the records of the first block say of their dates; nothing where they are the storage account's own.
fn first_records(block: &Block, dates: Dates) -> Evidence {
    if matches!(block.pieces, Pieces::Lines | Pieces::Values(_)) && is_raw(&block.bytes) {
        return Evidence::default();
    }
    let mut scout = Decoder::scout(dates);
    decode_block(&mut scout, block);
    scout.evidence()
}

/// Whether the first record has its time as Azure writes it.
fn is_raw(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(HEAD_BYTES)];
    memchr::memmem::find(head, b"\"time\":\"").is_some_and(|at| {
        let year = head.get(at + 8..).unwrap_or_default();
        year.get(4) == Some(&b'-') && year[..4].iter().all(u8::is_ascii_digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn azures_own_times_need_no_look() {
        assert!(is_raw(br#"{"time":"2026-10-01T00:00:00Z"}"#));
        assert!(!is_raw(br#"{"time":"1/10/2026 0:00"}"#));
        assert!(!is_raw(br#"{"TimeGenerated":"2026-10-01T00:00:00Z"}"#));
        assert!(!is_raw(br#"{"time":"20"#));
    }
}
