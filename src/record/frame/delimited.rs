//! Rows of CSV as Log Analytics and the portal export them (RFC 4180): found, not parsed.

use std::io::Read;
use std::ops::Range;
use std::sync::Arc;

use super::super::names;
use super::cut::{Skip, Until, Why};
use super::document::{head, oversize};
use super::window::View;
use super::{Flow, Framer, Kind, Mode};

/// The longest header line that is looked at; 500 columns of AzureDiagnostics take some 20 kB.
pub(super) const MAX_HEADER_BYTES: usize = 256 << 10;

/// Columns of which every export of logs has one; a table with columns of people's own names needs both.
const TELLING_COLUMNS: [&str; 2] = ["TimeGenerated", "OperationName"];

/// Rows being read.
pub(super) struct Csv {
    columns: Arc<Vec<String>>,
    /// The header as it stands, to know it again where files were joined.
    header: Vec<u8>,
    /// Start of the row whose end has not been seen.
    row: u64,
    /// Where the search for its end goes on.
    at: u64,
    /// Whether that is within quotes.
    quoted: bool,
}

impl Csv {
    /// Reads the first line of an input, which lies at `at`; `None` where it is no header of an export.
    pub(super) fn from_header(line: &[u8], at: u64) -> Option<Self> {
        let header = line.strip_suffix(b"\r").unwrap_or(line);
        // A zone behind a name (`TimeGenerated [UTC]`) stays: it says how the column's times are meant.
        let columns: Vec<String> = fields(header)?.iter().map(|name| name.trim().to_owned()).collect();
        let tells = |name: &String| {
            let bare = name.strip_suffix(" [UTC]").unwrap_or(name);
            TELLING_COLUMNS.iter().any(|column| bare.eq_ignore_ascii_case(column))
        };
        let told: Vec<(bool, bool)> = columns.iter().map(|name| names::tells(name)).collect();
        let known = told.iter().any(|(time, _)| *time) && told.iter().any(|(_, operation)| *operation);
        if columns.len() < 2 || !(known || columns.iter().any(tells)) {
            return None;
        }
        let row = at + line.len() as u64 + 1;
        Some(Self { columns: Arc::new(columns), header: header.to_owned(), row, at: row, quoted: false })
    }

    /// Starts no later than `end`, where the header's line has no newline.
    pub(super) fn past(self, end: u64) -> Self {
        let row = self.row.min(end);
        self.at_row(row)
    }

    /// Goes on with the row at `row`.
    pub(super) fn at_row(self, row: u64) -> Self {
        Self { row, at: row, quoted: false, ..self }
    }

    pub(super) fn keep(&self) -> u64 {
        self.row
    }

    /// The next whole row without its line end. A quote opens a field only at the field's start, as every CSV reader
    /// takes it.
    fn next_row(&mut self, view: View<'_>) -> Option<Range<u64>> {
        let bytes = view.from(self.row);
        let mut at = (self.at - self.row) as usize;
        while let Some(skip) = memchr::memchr2(b'"', b'\n', &bytes[at..]) {
            at += skip;
            match (bytes[at], self.quoted) {
                (b'"', true) => match bytes.get(at + 1) {
                    Some(b'"') => at += 1,
                    None if !view.ended => {
                        self.at = self.row + at as u64;
                        return None;
                    }
                    _ => self.quoted = false,
                },
                (b'"', false) => self.quoted = at == 0 || bytes[at - 1] == b',',
                (_, true) => {}
                (_, false) => {
                    let end = at - usize::from(bytes[..at].ends_with(b"\r"));
                    let row = self.row..self.row + end as u64;
                    self.row += at as u64 + 1;
                    self.at = self.row;
                    return Some(row);
                }
            }
            at += 1;
        }
        self.at = view.end();
        None
    }

    /// The line after the row's first, if it is in memory: where a quote that never closes ought to have ended.
    fn second_line(&self, view: View<'_>) -> Option<u64> {
        memchr::memchr(b'\n', view.from(self.row)).map(|newline| self.row + newline as u64 + 1)
    }

    /// Whether the line at `line` looks like a whole row.
    fn is_row(&self, view: View<'_>, line: u64) -> bool {
        let rest = view.from(line);
        let text = &rest[..memchr::memchr(b'\n', rest).unwrap_or(rest.len())];
        fields(text).is_some_and(|fields| fields.len() == self.columns.len())
    }
}

/// The fields of one row; `None` where there are none.
fn fields(row: &[u8]) -> Option<csv::StringRecord> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(row);
    let mut record = csv::ByteRecord::new();
    reader.read_byte_record(&mut record).ok()?.then(|| csv::StringRecord::from_byte_record_lossy(record))
}

impl<R: Read> Framer<R> {
    /// Takes all whole rows that are in memory.
    pub(super) fn run_csv(&mut self, mut csv: Csv) -> Flow {
        while !self.is_laden() {
            let view = self.window.view();
            let Some(row) = csv.next_row(view) else { return self.wait_for_row(csv) };
            let text = view.slice(row.clone());
            let length = text.len() as u64;
            if length > self.record_limit() {
                let head = head(view, row.clone());
                self.reject(row.start, oversize("row", length, self.record_limit()), head);
            } else if !text.is_empty() && text != csv.header {
                self.push(Kind::Csv(Arc::clone(&csv.columns)), row);
            }
        }
        self.mode = Mode::Csv(csv);
        Flow::Go
    }

    /// A row's end is not in memory: waits for it, gives it up, or takes the end of the stream for it.
    fn wait_for_row(&mut self, csv: Csv) -> Flow {
        let view = self.window.view();
        let (end, ended, limit) = (view.end(), view.ended, self.record_limit());
        let oversize = end - csv.row > limit;
        if !ended && !oversize {
            self.mode = Mode::Csv(csv);
            return Flow::Starved;
        }
        if csv.quoted
            && let Some(line) = csv.second_line(view)
            && (oversize || csv.is_row(view, line))
            && self.window.may_go_back(end, line)
        {
            // The quote was a slip: the rows that it swallowed are there.
            let head = head(view, csv.row..line);
            self.reject(csv.row, "a quote in this row is never closed: write it twice, or close it".to_owned(), head);
            self.mode = Mode::Csv(csv.at_row(line));
            return Flow::Go;
        }
        if oversize {
            let skip = Skip::from(csv.row, Until::Newline, Why::Oversize { what: "row", limit });
            self.mode = Mode::Skip(skip.then(csv));
            return Flow::Go;
        }
        let text = view.from(csv.row);
        let whole = !self.window.failed()
            && !csv.quoted
            && fields(text).is_some_and(|fields| fields.len() >= csv.columns.len());
        if whole {
            self.push(Kind::Csv(Arc::clone(&csv.columns)), csv.row..end);
        } else if !text.trim_ascii().is_empty() {
            self.leave_incomplete(csv.row, 0);
        }
        self.mode = Mode::End;
        Flow::Go
    }
}
