//! The hot path: newline-delimited records. A block of lines is handed on as it is; a line that does not look like one
//! record sends the framer to a slower way.

use std::io::Read;

use memchr::memchr_iter;

use super::cut::{Between, Skip, Until, Why};
use super::delimited::MAX_HEADER_BYTES;
use super::foreign;
use super::value::{Whole, whole};
use super::{Csv, Document, Flow, Framer, Kind, Mode};

pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Lines being read.
pub(super) struct Lines {
    /// Start of the lines that are not pending yet.
    start: u64,
    /// Start of the line whose end has not been seen.
    line: u64,
    /// Where the search for its end goes on.
    searched: u64,
}

impl Lines {
    /// Lines from an offset at which one begins.
    pub(super) fn from(at: u64) -> Self {
        Self { start: at, line: at, searched: at }
    }

    pub(super) fn keep(&self) -> u64 {
        self.start
    }
}

/// What a line is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// One for the decoder, which will say so if it is garbage.
    Keep,
    /// The beginning of a document that does not end with the line, or several on it.
    Document,
    /// Something to step over before a document: a comma, a byte order mark.
    Between,
    /// NUL bytes, the trace of a crash.
    Nul,
    /// Too long, and no JSON.
    Oversize,
}

/// The ends of one record on one line: nearly every line there is.
fn is_plain(line: &[u8]) -> bool {
    line.first() == Some(&b'{') && (line.ends_with(b"}") || line.ends_with(b"}\r"))
}

/// Looks at a line that is not plain, or too long.
fn verdict(line: &[u8], limit: usize) -> Verdict {
    let text = line.trim_ascii();
    match text {
        [] => Verdict::Keep,
        [b'{' | b'[', ..] if text.len() > limit => Verdict::Document,
        [b'{', .., b'}'] => Verdict::Keep,
        [b'{' | b'[', ..] => match whole(text) {
            Whole::Exactly | Whole::Broken => Verdict::Keep,
            Whole::Unfinished | Whole::Odd => Verdict::Document,
        },
        [0, ..] => Verdict::Nul,
        [b',', ..] => Verdict::Between,
        _ if text.starts_with(BYTE_ORDER_MARK) => Verdict::Between,
        _ if line.len() > limit => Verdict::Oversize,
        _ => Verdict::Keep,
    }
}

/// Looks at the input's last line, which has no newline.
fn last_verdict(line: &[u8], limit: usize) -> Verdict {
    match verdict(line, limit) {
        Verdict::Keep if matches!(line.trim_ascii(), [b'{' | b'[', ..]) => match whole(line.trim_ascii()) {
            Whole::Exactly => Verdict::Keep,
            _ => Verdict::Document,
        },
        verdict => verdict,
    }
}

impl<R: Read> Framer<R> {
    /// Decides by the first byte that is no white space, and by the first line where it is no JSON.
    pub(super) fn run_start(&mut self, at: u64) -> Flow {
        let view = self.window.view();
        let at = if at == 0 && view.from(0).starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() as u64 } else { at };
        let Some((at, byte)) = view.token(at) else {
            let (end, ended) = (view.end(), view.ended);
            return self.wait_or_end(Mode::Start(end), ended);
        };
        let inner = view.token(at + 1).map(|(_, byte)| byte);
        if byte == b'[' && inner.is_none() && !view.ended {
            return self.wait_or_end(Mode::Start(at), false);
        }
        // `[` begins the lines of many a log, too.
        if byte == b'{' || (byte == b'[' && inner.is_none_or(|inner| b"{[]\",".contains(&inner))) {
            self.first = Some(at);
            return self.begin_document(at, byte);
        }
        let rest = view.from(at);
        if let Some(csv) = Csv::at_head(rest, at, view.ended) {
            let form = csv.form();
            self.mode = Mode::Csv(csv.past(view.end()));
            self.note_form(form);
            return Flow::Go;
        }
        if !view.ended && rest.len() < MAX_HEADER_BYTES {
            return self.wait_or_end(Mode::Start(at), false);
        }
        let head = &rest[..rest.len().min(MAX_HEADER_BYTES)];
        if let Some(refusal) = foreign::refusal(head) {
            return self.refuse(refusal);
        }
        self.mode = Mode::Lines(Lines::from(at));
        Flow::Go
    }

    /// Stays in a mode until more bytes are there, or ends.
    pub(super) fn wait_or_end(&mut self, mode: Mode, ended: bool) -> Flow {
        if ended {
            self.mode = Mode::End;
            return Flow::Go;
        }
        self.mode = mode;
        Flow::Starved
    }

    /// Begins to read a document at its opening bracket.
    pub(super) fn begin_document(&mut self, at: u64, opener: u8) -> Flow {
        self.mode = Mode::Document(Box::new(Document::new(at, opener, self.record_limit())));
        Flow::Go
    }

    /// Takes all whole lines that are in memory, up to one that needs another way.
    pub(super) fn run_lines(&mut self, lines: Lines) -> Flow {
        let limit = self.limits.max_record_bytes;
        let view = self.window.view();
        let (end, ended) = (view.end(), view.ended);
        let mut line = lines.line;
        let mut odd = None;
        for newline in memchr_iter(b'\n', view.from(lines.searched)) {
            let newline = lines.searched + newline as u64;
            let text = view.slice(line..newline);
            if !is_plain(text) || text.len() > limit {
                match verdict(text, limit) {
                    Verdict::Keep => {}
                    other => {
                        odd = Some(other);
                        break;
                    }
                }
            }
            line = newline + 1;
        }
        if odd.is_none() && ended {
            odd = match last_verdict(view.from(line), limit) {
                Verdict::Keep => {
                    line = end;
                    None
                }
                other => Some(other),
            };
        }
        // A line that fills the window is not waited for where it can be looked into.
        if odd.is_none() && self.window.is_full() && line == view.base() {
            match unended_verdict(view.from(line), limit) {
                Some(Verdict::Keep) => line = end,
                other => odd = other,
            }
        }
        if line > lines.start {
            self.push(Kind::Lines, lines.start..line);
        }
        match odd {
            Some(verdict) => self.leave_lines(line, verdict),
            None => self.wait_or_end(Mode::Lines(Lines { start: line, line, searched: end }), ended),
        }
    }

    /// Goes the other way that a line at `line` needs.
    fn leave_lines(&mut self, line: u64, verdict: Verdict) -> Flow {
        let (at, byte) = self.window.view().token(line).unwrap_or((line, b' '));
        let limit = self.record_limit();
        self.mode = match verdict {
            Verdict::Document => return self.begin_document(at, byte),
            Verdict::Keep => Mode::Lines(Lines::from(line)),
            Verdict::Between => Mode::Between(Between { at, fresh_line: true }),
            Verdict::Nul => Mode::Skip(Skip::from(at, Until::NotNul, Why::Nul)),
            Verdict::Oversize => Mode::Skip(Skip::from(line, Until::Newline, Why::Oversize { what: "line", limit })),
        };
        Flow::Go
    }
}

/// Looks at a line that fills the window and goes on; `None` where it is to be waited for. Blank is `Keep`.
fn unended_verdict(line: &[u8], limit: usize) -> Option<Verdict> {
    match line.trim_ascii_start() {
        [] => Some(Verdict::Keep),
        [b'{' | b'[', ..] => Some(Verdict::Document),
        [0, ..] => Some(Verdict::Nul),
        [b',', ..] => Some(Verdict::Between),
        text if text.starts_with(BYTE_ORDER_MARK) => Some(Verdict::Between),
        _ if line.len() > limit => Some(Verdict::Oversize),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_judged_by_its_ends() {
        for (line, want) in [
            ("", Verdict::Keep),
            (" \t\r", Verdict::Keep),
            ("{\"a\":1}", Verdict::Keep),
            (" {\"a\":1} \r", Verdict::Keep),
            ("[{\"a\":1}]", Verdict::Keep),
            ("plain text", Verdict::Keep),
            ("{\"a\":1]", Verdict::Keep),
            ("{", Verdict::Document),
            ("[{\"a\":1},", Verdict::Document),
            ("[{\"a\":1}", Verdict::Document),
            ("{\"a\":1},", Verdict::Document),
            ("{\"a\":1}{\"b\":2} {\"c\":[", Verdict::Document),
            (",{\"a\":1}", Verdict::Between),
            ("\u{feff}{\"a\":1}", Verdict::Between),
            ("\0\0\0", Verdict::Nul),
            ("much longer than the limit of thirty", Verdict::Oversize),
            ("{\"much\":\"longer than the limit of thirty\"}", Verdict::Document),
        ] {
            assert_eq!(verdict(line.as_bytes(), 30), want, "{line:?}");
        }
        assert_eq!(last_verdict(b"{\"a\":1}", 30), Verdict::Keep);
        assert_eq!(last_verdict(b"{\"a\":{}", 30), Verdict::Document, "the brackets do not match");
    }
}
