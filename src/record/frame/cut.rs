//! The slower ways of the framer: documents, what stands between them, and what must be passed over.

use std::io::Read;

use super::document::{Document, Step, Unfinished, head, oversize};
use super::lines::{BYTE_ORDER_MARK, Lines};
use super::{Csv, Flow, Framer, Kind, Mode};
use crate::record::damage::{self, LOOK_AHEAD};
use crate::record::form::{Form, Refusal, listed};
use crate::record::{REJECT_BYTES, export};

/// What is passed over in one piece, at the most: a source that never ends a line must not keep an ingest for ever.
const ENDLESS: u64 = 1 << 30;

/// Between two documents.
pub(super) struct Between {
    pub(super) at: u64,
    /// Nothing has stood on this line yet.
    pub(super) fresh_line: bool,
}

/// Bytes that are passed over and become one reject, however many they are.
pub(super) struct Skip {
    start: u64,
    /// The next byte to look at.
    pub(super) at: u64,
    head: Vec<u8>,
    until: Until,
    why: Why,
    /// The CSV to go on with.
    csv: Option<Csv>,
}

/// Where skipping ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// After the next newline.
    Newline,
    /// Before the next `{`, `[` or newline.
    Opener,
    /// Before the next place where a record or an envelope plainly begins, or newline.
    Record,
    /// Before the next byte that is not NUL.
    NotNul,
}

/// Why something is passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    Oversize {
        what: &'static str,
        limit: u64,
    },
    Nul,
    /// No JSON between two documents.
    Garbage,
    /// A document that turned out wrong at this offset.
    Broken(u64),
}

impl Why {
    fn reason(self, length: u64) -> String {
        match self {
            Why::Oversize { what, limit } => oversize(what, length, limit),
            Why::Nul => format!(
                "{length} NUL bytes, as a crash of the machine that wrote the file leaves them: \
                 fetch the file again if its source is whole"
            ),
            Why::Garbage => format!("{length} bytes between two documents are no JSON: repair the source"),
            Why::Broken(at) => {
                format!(
                    "this begins like JSON and is wrong at byte {at} of the input (cut off, or damaged): fetch it again"
                )
            }
        }
    }
}

impl Skip {
    pub(super) fn from(start: u64, until: Until, why: Why) -> Self {
        Self { start, at: start, head: Vec::new(), until, why, csv: None }
    }

    /// Passes over bytes.
    fn take(&mut self, bytes: &[u8]) {
        let room = REJECT_BYTES.saturating_sub(self.head.len());
        self.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.at += bytes.len() as u64;
    }

    /// Goes on with rows of CSV afterwards.
    pub(super) fn then(self, csv: Csv) -> Self {
        Self { csv: Some(csv), ..self }
    }
}

/// Where the first line after the text's own begins with a bracket, as records do and what is within them, in any
/// customary layout, does not.
fn opening_line(text: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'\n', text)
        .map(|newline| newline + 1)
        .find(|line| matches!(text.get(*line), Some(b'{' | b'[')))
}

/// The first newline, or brace with which a record begins or, unless nothing follows, may turn out to begin.
fn record_or_newline(text: &[u8], ended: bool) -> Option<usize> {
    memchr::memchr2_iter(b'\n', b'{', text).find(|at| {
        let rest = &text[*at..];
        rest[0] == b'\n' || damage::opens_record(rest) || (rest.len() < LOOK_AHEAD && !ended)
    })
}

/// The refusal of a table in an answer of the query API.
fn foreign_table(columns: &[String]) -> Refusal {
    let columns = listed(columns.iter().map(String::as_str));
    Refusal::new(format!("a query's answer with the columns {columns}"), export::WANTED)
}

impl<R: Read> Framer<R> {
    /// Takes what a document yields.
    pub(super) fn run_document(&mut self, mut document: Box<Document>) -> Flow {
        while !self.is_laden() {
            let view = self.window.view();
            match document.step(view) {
                Step::Value(range) => self.push(Kind::Values, range),
                Step::Row(range, columns) => self.push(Kind::Rows(columns), range),
                Step::Reject { start, head, reason } => self.reject(start, reason, head),
                Step::Foreign { start, columns } => {
                    if !self.has_read() {
                        return self.refuse(foreign_table(&columns));
                    }
                    let head = head(view, start..view.end());
                    self.reject(start, foreign_table(&columns).to_string(), head);
                }
                Step::Broken { from, at } => return self.broken(from, at),
                Step::Closed => {
                    self.note_form(document.form());
                    self.structural |= matches!(document.form(), Form::Tables | Form::Kusto);
                    self.mode = Mode::Between(Between { at: document.position(), fresh_line: false });
                    return Flow::Go;
                }
                Step::More if view.ended => return self.end_document(*document),
                Step::More => {
                    document.shed(view);
                    self.mode = Mode::Document(document);
                    return Flow::Starved;
                }
            }
        }
        self.mode = Mode::Document(document);
        Flow::Go
    }

    /// The stream ended within a document.
    fn end_document(&mut self, mut document: Document) -> Flow {
        self.note_form(document.form());
        let view = self.window.view();
        match document.unfinished(view) {
            Unfinished::Broken { from, at } => return self.broken(from, at),
            Unfinished::Reject { start, head, reason } => self.reject(start, reason, head),
            Unfinished::Incomplete { from } => {
                let tail = view.from(from);
                let next_line = opening_line(tail).map(|line| from + line as u64);
                if let Some(line) = next_line.filter(|line| self.window.may_go_back(view.end(), *line)) {
                    // Not one unfinished document, but one that was cut off and others after it.
                    return self.broken(from, line);
                }
                if let Some(nul) = memchr::memchr(0, tail) {
                    // No continuation mends this: NUL has no place in JSON.
                    let head = head(view, from..view.end());
                    self.reject(from, Why::Broken(from + nul as u64).reason(tail.len() as u64), head);
                } else {
                    self.leave_incomplete(from, document.start());
                }
            }
        }
        self.mode = Mode::End;
        Flow::Go
    }

    /// Rejects a document that turned out wrong, and takes up reading where the next most likely begins: the first line
    /// after its own that begins with a bracket, since what swallowed that line was cut off.
    fn broken(&mut self, from: u64, at: u64) -> Flow {
        let view = self.window.view();
        let from = from.max(view.base());
        let at = at.max(from);
        let swallowed = view.slice(from..(at + 1).min(view.end()));
        let next_line = opening_line(swallowed);
        // Or on the same line, if that is plain to see.
        let line_end = next_line.unwrap_or(swallowed.len());
        let look = &view.from(from)[..line_end + LOOK_AHEAD.min((view.end() - from) as usize - line_end)];
        let same_line = damage::next_record(look, 1).filter(|next| *next < line_end);
        let may_go_back = |next: Option<usize>| {
            let next = from + next? as u64;
            self.window.may_go_back(at, next).then_some(next)
        };
        if let Some(next) = may_go_back(same_line) {
            let head = head(view, from..next);
            self.reject(from, Why::Broken(at).reason(next - from), head);
            self.mode = Mode::Between(Between { at: next, fresh_line: false });
            return Flow::Go;
        }
        let line_start = at > view.base() && view.slice(at - 1..at) == b"\n";
        let resume = match may_go_back(next_line) {
            Some(line) => line,
            None if line_start => at,
            None => {
                let head = head(view, from..at);
                let until = Until::Record;
                self.mode = Mode::Skip(Skip { start: from, at, head, until, why: Why::Broken(at), csv: None });
                return Flow::Go;
            }
        };
        if resume > from {
            let head = head(view, from..resume);
            self.reject(from, Why::Broken(at).reason(resume - from), head);
        }
        self.begin_line(resume)
    }

    /// Goes on at the start of a line.
    fn begin_line(&mut self, at: u64) -> Flow {
        self.mode = if self.structural {
            Mode::Between(Between { at, fresh_line: true })
        } else {
            Mode::Lines(self.first_line(at).unwrap_or_else(|| Lines::from(at)))
        };
        Flow::Go
    }

    /// Where all so far was one record on one line, which ended before `at`: the lines that it is the first of.
    fn first_line(&mut self, at: u64) -> Option<Lines> {
        let first = self.first.take()?;
        let [record] = self.pending.ranges.as_slice() else { return None };
        let view = self.window.view();
        let is_line = record.start == first
            && matches!(self.pending.kind, Kind::Values)
            && memchr::memchr(b'\n', view.slice(record.clone())).is_none()
            && view.slice(record.end..at).trim_ascii().is_empty();
        if !is_line {
            return None;
        }
        self.pending.ranges.clear();
        self.push(Kind::Lines, first..at);
        Some(Lines::from(at))
    }

    /// Looks for the next document, or the line's end.
    pub(super) fn run_between(&mut self, between: Between) -> Flow {
        let view = self.window.view();
        let rest = view.from(between.at);
        // A bracket that nothing opened is what damage before it, or a shipper that adds tails, leaves.
        let separates = |byte: &u8| {
            matches!(byte, b' ' | b'\t' | b'\r' | b',' | b']' | b'}') || (self.structural && *byte == b'\n')
        };
        let Some(skip) = rest.iter().position(|byte| !separates(byte)) else {
            let (at, ended) = (view.end(), view.ended);
            return self.wait_or_end(Mode::Between(Between { at, ..between }), ended);
        };
        let at = between.at + skip as u64;
        let rest = &rest[skip..];
        self.mode = match rest[0] {
            b'\n' => return self.begin_line(at + 1),
            opener @ (b'{' | b'[') => {
                self.structural |= !between.fresh_line;
                return self.begin_document(at, opener);
            }
            _ if rest.starts_with(BYTE_ORDER_MARK) => {
                Mode::Between(Between { at: at + BYTE_ORDER_MARK.len() as u64, ..between })
            }
            0xef if rest.len() < BYTE_ORDER_MARK.len() && !view.ended => {
                return self.wait_or_end(Mode::Between(Between { at, ..between }), false);
            }
            0 => Mode::Skip(Skip::from(at, Until::NotNul, Why::Nul)),
            _ => Mode::Skip(Skip::from(at, Until::Opener, Why::Garbage)),
        };
        Flow::Go
    }

    /// Passes over bytes until there is something to read again.
    pub(super) fn run_skip(&mut self, mut skip: Skip) -> Flow {
        let view = self.window.view();
        let rest = view.from(skip.at);
        let found = match skip.until {
            Until::Newline => memchr::memchr(b'\n', rest),
            Until::Opener => memchr::memchr3(b'\n', b'{', b'[', rest),
            Until::Record => record_or_newline(rest, view.ended),
            Until::NotNul => rest.iter().position(|byte| *byte != 0),
        };
        if let (Until::Record, Some(found)) = (skip.until, found)
            && rest[found] == b'{'
            && !damage::opens_record(&rest[found..])
        {
            // Its first key is not all there.
            skip.take(&rest[..found]);
            self.mode = Mode::Skip(skip);
            return Flow::Starved;
        }
        let skipped = &rest[..found.unwrap_or(rest.len())];
        skip.take(skipped);
        if found.is_none() && !view.ended {
            if skip.at - skip.start > ENDLESS {
                let why = format!("{ENDLESS} bytes without an end of the line are no log: check what this source is");
                self.window.stop(std::io::Error::other(why));
            }
            self.mode = Mode::Skip(skip);
            return Flow::Starved;
        }
        self.reject(skip.start, skip.why.reason(skip.at - skip.start), skip.head);
        match (skip.until, skip.csv) {
            _ if found.is_none() => self.mode = Mode::End,
            (Until::Newline, Some(csv)) => self.mode = Mode::Csv(csv.at_row(skip.at + 1)),
            (Until::Newline, None) => return self.begin_line(skip.at + 1),
            (Until::NotNul | Until::Opener | Until::Record, _) => {
                self.mode = Mode::Between(Between { at: skip.at, fresh_line: skip.until == Until::NotNul });
            }
        }
        Flow::Go
    }
}
