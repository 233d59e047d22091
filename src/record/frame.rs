//! Cuts a byte stream into whole records without decoding them: JSON lines, concatenated and pretty-printed documents,
//! the envelopes of [`document`], CSV.
//!
//! JSON lines are the hot path: a block of them costs one search for newlines and a look at both ends of each line.
//! All else is scanned for structure. Nothing here recurses, nothing holds more than one record and one block. What can
//! be no record leaves as a [`Reject`], what is no *whole* record at the end as [`Incomplete`]. Two things are errors: a
//! reader that fails, after what came before it, and an input whose head shows that it holds no records in any form
//! that is read ([`foreign`]): it is refused whole.

mod cut;
mod delimited;
mod document;
mod foreign;
mod lines;
mod member;
mod tables;
mod value;
mod window;

use std::collections::VecDeque;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use self::cut::{Between, Skip};
use self::delimited::Csv;
use self::document::Document;
use self::lines::Lines;
use self::window::Window;
use super::Reject;
use super::form::{Form, Refusal};

pub(super) use self::value::extent;

/// Whole records, as they stand in the stream.
#[derive(Debug)]
pub struct Block {
    /// Offset of the first byte in the decompressed stream.
    pub offset: u64,
    /// The bytes that the pieces lie in.
    pub bytes: Vec<u8>,
    /// Where the records are.
    pub pieces: Pieces,
    /// What the framer met on the way that can be no record. A block may hold nothing else.
    pub rejects: Vec<Reject>,
}

/// Where the records of a block are. Ranges are in its bytes, in order, without overlap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pieces {
    /// The bytes are lines, each ended by a newline but perhaps the input's last. Nothing was looked at within them:
    /// a line may be blank, a record, an envelope or array of records, or garbage.
    Lines,
    /// Each range is one JSON value. Strings and brackets are sound, what is between them was not looked at.
    Values(Vec<Range<u32>>),
    /// Each range is a JSON array: one row of a table of the query API.
    Rows {
        /// The columns' names.
        columns: Arc<Vec<String>>,
        /// The rows.
        rows: Vec<Range<u32>>,
    },
    /// Each range is one row of CSV (RFC 4180) without its line end; it may span lines.
    Csv {
        /// The columns' names; a zone in brackets may stand behind one.
        header: Arc<Vec<String>>,
        /// What separates cells: a comma, a semicolon, a tab or `|`.
        delimiter: u8,
        /// The rows.
        rows: Vec<Range<u32>>,
    },
}

/// The beginning of something at the input's end that more bytes could make whole: half a line of a file that grows,
/// half a document. No reject, since the next run finds it whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incomplete {
    /// Where it begins in the decompressed stream.
    pub offset: u64,
    /// Its length so far; 0 where only an envelope's closing bracket is missing.
    pub bytes_len: u64,
    /// Its first bytes, at most [`INCOMPLETE_HEAD_BYTES`].
    pub head: Vec<u8>,
    /// Where a later run may take up reading: the start of the line or document that holds it.
    pub resume_at: u64,
}

/// The most bytes of an incomplete tail that are kept for a message.
pub const INCOMPLETE_HEAD_BYTES: usize = 1024;

/// Bounds of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameLimits {
    /// The longest record in bytes; a longer one is skipped and rejected. An envelope may be of any length.
    /// Default 8 MiB, at most 1 GiB.
    pub max_record_bytes: usize,
    /// The size of a block in bytes, about; a single longer record makes a longer block. Default 1 MiB, at most 1 GiB.
    pub block_bytes: usize,
}

impl Default for FrameLimits {
    fn default() -> Self {
        Self { max_record_bytes: 8 << 20, block_bytes: 1 << 20 }
    }
}

/// Why cutting stopped before the input's end.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The reader failed. Whole records before it have been handed out.
    #[error("the input could not be read beyond byte {offset}")]
    Read {
        /// Bytes of the decompressed stream that were read.
        offset: u64,
        /// The reader's error, as it gave it.
        #[source]
        error: io::Error,
    },
    /// The input is in no form that is read. Nothing of it has been handed out.
    #[error("the input is {0}")]
    Refused(Refusal),
}

/// Cuts what a reader gives into [`Block`]s. Call [`Framer::next_block`] until it gives `None`, then ask for
/// [`Framer::incomplete`].
pub struct Framer<R> {
    window: Window<R>,
    source: String,
    limits: FrameLimits,
    mode: Mode,
    pending: Pending,
    rejects: Vec<Reject>,
    reject_bytes: usize,
    ready: VecDeque<Block>,
    incomplete: Option<Incomplete>,
    /// Several values have stood on one line, or the input is a table's: lines say nothing here, look at all of it.
    structural: bool,
    /// The first document's offset while it may turn out to be the first of many lines.
    first: Option<u64>,
    form: Form,
    refusal: Option<Refusal>,
    /// A block has been made.
    handed_out: bool,
}

/// What is being read.
enum Mode {
    /// White space at the beginning; the offset of the next byte.
    Start(u64),
    Lines(Lines),
    Csv(Csv),
    Document(Box<Document>),
    Between(Between),
    Skip(Skip),
    End,
}

impl Mode {
    /// The first byte that must stay in memory.
    fn keep(&self) -> Option<u64> {
        match self {
            Mode::Start(at) => Some(*at),
            Mode::Lines(lines) => Some(lines.keep()),
            Mode::Csv(csv) => Some(csv.keep()),
            Mode::Document(document) => Some(document.keep()),
            Mode::Between(between) => Some(between.at),
            Mode::Skip(skip) => Some(skip.at),
            Mode::End => None,
        }
    }
}

/// What a mode came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    /// The mode is set: go on.
    Go,
    /// More bytes are needed. Never said once the stream has ended.
    Starved,
}

/// The kind of records that wait for their block.
#[derive(Debug, Clone)]
enum Kind {
    Lines,
    Values,
    Rows(Arc<Vec<String>>),
    Csv(Arc<Vec<String>>, u8),
}

impl Kind {
    fn same(&self, other: &Kind) -> bool {
        match (self, other) {
            (Kind::Lines, Kind::Lines) | (Kind::Values, Kind::Values) => true,
            (Kind::Rows(a), Kind::Rows(b)) | (Kind::Csv(a, _), Kind::Csv(b, _)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

/// Records in the window that wait for their block.
struct Pending {
    kind: Kind,
    ranges: Vec<Range<u64>>,
}

impl Pending {
    fn span(&self) -> Option<Range<u64>> {
        Some(self.ranges.first()?.start..self.ranges.last()?.end)
    }

    /// The pieces, relative to the span's start; nothing is left pending.
    fn take_pieces(&mut self) -> Pieces {
        let start = self.ranges.first().map_or(0, |range| range.start);
        let relative = |range: Range<u64>| (range.start - start) as u32..(range.end - start) as u32;
        let ranges = self.ranges.drain(..).map(relative).collect();
        match &self.kind {
            Kind::Lines => Pieces::Lines,
            Kind::Values => Pieces::Values(ranges),
            Kind::Rows(columns) => Pieces::Rows { columns: Arc::clone(columns), rows: ranges },
            Kind::Csv(header, delimiter) => {
                Pieces::Csv { header: Arc::clone(header), delimiter: *delimiter, rows: ranges }
            }
        }
    }
}

/// Rejects, and their bytes, that wait for a block before one is made for them.
const MAX_WAITING_REJECTS: usize = 4096;
const MAX_WAITING_REJECT_BYTES: usize = 1 << 20;

impl<R: Read> Framer<R> {
    /// A framer over the decompressed bytes of an input; `source` is its name in rejects.
    pub fn new(reader: R, source: &str, limits: FrameLimits) -> Self {
        Self::with_buffer(reader, source, limits, Vec::new())
    }

    /// The same in the memory that a framer before it had ([`Framer::into_buffer`]): new memory has to be cleared.
    pub fn with_buffer(reader: R, source: &str, limits: FrameLimits, buffer: Vec<u8>) -> Self {
        let limits = FrameLimits {
            max_record_bytes: limits.max_record_bytes.clamp(16, 1 << 30),
            block_bytes: limits.block_bytes.clamp(16, 1 << 30),
        };
        Self {
            window: Window::new(reader, limits.block_bytes, buffer),
            source: source.to_owned(),
            limits,
            mode: Mode::Start(0),
            pending: Pending { kind: Kind::Lines, ranges: Vec::new() },
            rejects: Vec::new(),
            reject_bytes: 0,
            ready: VecDeque::new(),
            incomplete: None,
            structural: false,
            first: None,
            form: Form::Empty,
            refusal: None,
            handed_out: false,
        }
    }

    /// Takes back the bytes of a block that is done with, for a later one.
    pub fn reuse(&mut self, bytes: Vec<u8>) {
        self.window.reuse(bytes);
    }

    /// Its memory, for the framer of the next input.
    pub fn into_buffer(self) -> Vec<u8> {
        self.window.into_buffer()
    }

    /// The next whole records; `None` at the end.
    ///
    /// Errors: the reader failed. It is told once, after all that came before it; then the end.
    pub fn next_block(&mut self) -> Result<Option<Block>, FrameError> {
        loop {
            if let Some(block) = self.ready.pop_front() {
                return Ok(Some(block));
            }
            let flow = match std::mem::replace(&mut self.mode, Mode::End) {
                Mode::Start(at) => self.run_start(at),
                Mode::Lines(lines) => self.run_lines(lines),
                Mode::Csv(csv) => self.run_csv(csv),
                Mode::Document(document) => self.run_document(document),
                Mode::Between(between) => self.run_between(between),
                Mode::Skip(skip) => self.run_skip(skip),
                Mode::End => match self.last_block() {
                    Some(block) => return Ok(Some(block)),
                    None => return self.end(),
                },
            };
            if flow == Flow::Starved {
                self.refill();
            }
            if self.ready.is_empty() && self.is_laden() {
                self.flush();
            }
        }
    }

    /// What is left at the end of the input; known once [`Framer::next_block`] gave `None` or an error.
    pub fn incomplete(&self) -> Option<&Incomplete> {
        self.incomplete.as_ref()
    }

    /// What the input was read as; known for certain once [`Framer::next_block`] gave `None`.
    pub fn form(&self) -> Form {
        self.form
    }

    /// Decompressed bytes read so far.
    pub fn bytes_read(&self) -> u64 {
        self.window.view().end()
    }

    fn end(&mut self) -> Result<Option<Block>, FrameError> {
        if let Some(refusal) = self.refusal.take() {
            return Err(FrameError::Refused(refusal));
        }
        let offset = self.bytes_read();
        self.window.take_failure().map_or(Ok(None), |error| Err(FrameError::Read { offset, error }))
    }

    /// Refuses the whole input. Nothing may have been read of it.
    fn refuse(&mut self, refusal: Refusal) -> Flow {
        self.refusal = Some(refusal);
        self.mode = Mode::End;
        Flow::Go
    }

    /// Whether anything has come of the input.
    fn has_read(&self) -> bool {
        self.handed_out || !self.pending.ranges.is_empty() || !self.rejects.is_empty()
    }

    /// Notes what the first thing in the input is. Many lines are JSON lines, whatever is on the first.
    fn note_form(&mut self, form: Form) {
        if self.form == Form::Empty || form == Form::JsonLines {
            self.form = form;
        }
    }

    fn record_limit(&self) -> u64 {
        self.limits.max_record_bytes as u64
    }

    /// Reads more. A full window is first handed out, or cleared of what is done with.
    fn refill(&mut self) {
        if self.window.is_full()
            && let Some(keep) = self.mode.keep()
        {
            match self.pending.span() {
                Some(span) => {
                    let bytes = self.window.take(span.clone(), keep, self.limits.block_bytes);
                    self.make_block(span.start, bytes);
                }
                None => {
                    let most = self.limits.max_record_bytes.max(delimited::MAX_HEADER_BYTES) + (64 << 10);
                    self.window.make_room(keep, most);
                }
            }
        }
        self.window.fill();
    }

    /// Adds a record, or more lines, to the block that is being made.
    fn push(&mut self, kind: Kind, range: Range<u64>) {
        let adjoins = self.pending.ranges.last().is_none_or(|last| last.end == range.start);
        let joins = self.pending.kind.same(&kind) && (adjoins || !matches!(kind, Kind::Lines));
        if !joins && !self.pending.ranges.is_empty() {
            self.flush();
        }
        self.pending.kind = kind;
        match self.pending.ranges.last_mut() {
            Some(last) if matches!(self.pending.kind, Kind::Lines) => last.end = range.end,
            _ => self.pending.ranges.push(range),
        }
    }

    /// Makes a block of what is pending by copying it, so that the window stays as it is.
    fn flush(&mut self) {
        let span = self.pending.span().unwrap_or(0..0);
        let bytes = if span.is_empty() { Vec::new() } else { self.window.view().slice(span.clone()).to_vec() };
        self.make_block(span.start, bytes);
    }

    /// What is left when the stream has ended.
    fn last_block(&mut self) -> Option<Block> {
        match self.pending.span() {
            // Copied, so that a small file's block does not hold on to a window's memory.
            Some(span) if self.window.dwarfs(span.end - span.start) => self.flush(),
            Some(span) => {
                let end = self.window.view().end();
                let bytes = self.window.take(span.clone(), end, 0);
                self.make_block(span.start, bytes);
            }
            None => self.make_block(0, Vec::new()),
        }
        self.ready.pop_front()
    }

    /// Queues a block of the pending pieces and rejects, unless there is nothing in it.
    fn make_block(&mut self, offset: u64, mut bytes: Vec<u8>) {
        let mut pieces = self.pending.take_pieces();
        let blank = match &pieces {
            Pieces::Lines => bytes.trim_ascii_start().is_empty(),
            Pieces::Values(ranges) | Pieces::Rows { rows: ranges, .. } | Pieces::Csv { rows: ranges, .. } => {
                ranges.is_empty()
            }
        };
        if blank {
            if self.rejects.is_empty() {
                return;
            }
            bytes.clear();
            pieces = Pieces::Values(Vec::new());
        }
        self.handed_out = true;
        if matches!(pieces, Pieces::Lines) {
            self.note_form(Form::JsonLines);
        }
        self.reject_bytes = 0;
        self.ready.push_back(Block { offset, bytes, pieces, rejects: std::mem::take(&mut self.rejects) });
    }

    /// Whether a block is ready, or so many rejects that one should be made.
    fn is_laden(&self) -> bool {
        !self.ready.is_empty()
            || self.rejects.len() >= MAX_WAITING_REJECTS
            || self.reject_bytes >= MAX_WAITING_REJECT_BYTES
    }

    fn reject(&mut self, position: u64, reason: String, mut bytes: Vec<u8>) {
        bytes.truncate(super::REJECT_BYTES);
        self.reject_bytes += bytes.len();
        self.rejects.push(Reject { source: self.source.clone(), position, reason, bytes });
    }

    /// Notes what is left over at the end of the stream.
    fn leave_incomplete(&mut self, offset: u64, resume_at: u64) {
        let tail = self.window.view().from(offset);
        let head = tail[..tail.len().min(INCOMPLETE_HEAD_BYTES)].to_vec();
        self.incomplete = Some(Incomplete { offset, bytes_len: tail.len() as u64, head, resume_at });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
