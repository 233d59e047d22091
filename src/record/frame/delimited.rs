//! Rows of CSV as Log Analytics, the portal, spreadsheets and PowerShell write them (RFC 4180, separated by commas,
//! semicolons, tabs or pipes): found, not parsed.

use std::io::Read;
use std::ops::Range;
use std::sync::Arc;

use super::cut::{Skip, Until, Why};
use super::document::{head, oversize};
use super::window::View;
use super::{Flow, Framer, Kind, Mode};
use crate::record::export;
use crate::record::form::Form;

/// The longest header line that is looked at; 500 columns of AzureDiagnostics take some 20 kB.
pub(super) const MAX_HEADER_BYTES: usize = 256 << 10;

/// What separates cells, most usual first.
pub(super) const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// The most lines before the header that say something about the file.
const MAX_PREAMBLE: usize = 4;

/// Rows being read.
pub(super) struct Csv {
    columns: Arc<Vec<String>>,
    delimiter: u8,
    form: Form,
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
    /// Reads the head of an input, which lies at `at`: the header, perhaps behind lines of Excel (`sep=;`) or PowerShell
    /// (`#TYPE …`). `None` where it is no header of an export, or not all there.
    pub(super) fn at_head(head: &[u8], at: u64, ended: bool) -> Option<Self> {
        let (mut start, mut separator) = (0, None);
        for _ in 0..=MAX_PREAMBLE {
            let rest = &head[start..];
            let newline = memchr::memchr(b'\n', rest).or(ended.then_some(rest.len()))?;
            let line = &rest[..newline];
            let text = line.trim_ascii();
            let plain = text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")).unwrap_or(text);
            match plain {
                [s, e, p, b'=', delimiter] if [*s, *e, *p].eq_ignore_ascii_case(b"sep") => separator = Some(*delimiter),
                _ if line.ends_with(b"sep=\t") || line.ends_with(b"sep=\t\r") => separator = Some(b'\t'),
                _ if text.is_empty() || plain.get(..5).is_some_and(|mark| mark.eq_ignore_ascii_case(b"#TYPE")) => {}
                _ => return Self::from_header(line, at + start as u64, separator, &head[(start + newline)..]),
            }
            start = (start + newline + 1).min(head.len());
        }
        None
    }

    /// Reads the header's line, which lies at `at`, with what follows it.
    fn from_header(line: &[u8], at: u64, separator: Option<u8>, after: &[u8]) -> Option<Self> {
        let header = line.strip_suffix(b"\r").unwrap_or(line);
        let known = separator.filter(|separator| DELIMITERS.contains(separator));
        let (delimiter, mut columns) =
            known.as_ref().map_or(&DELIMITERS[..], std::slice::from_ref).iter().find_map(|delimiter| {
                let columns = columns(header, *delimiter)?;
                export::is_header(columns.iter().map(String::as_str), after).then_some((*delimiter, columns))
            })?;
        let form = match delimiter {
            _ if export::from_portal(&mut columns) => Form::ActivityCsv,
            b';' => Form::SemicolonCsv,
            b'\t' => Form::Tsv,
            b'|' => Form::PipeCsv,
            _ => Form::Csv,
        };
        let row = at + line.len() as u64 + 1;
        let columns = Arc::new(columns);
        Some(Self { columns, delimiter, form, header: header.to_owned(), row, at: row, quoted: false })
    }

    /// What kind of CSV it is.
    pub(super) fn form(&self) -> Form {
        self.form
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
                (b'"', false) => self.quoted = at == 0 || bytes[at - 1] == self.delimiter,
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

    fn kind(&self) -> Kind {
        Kind::Csv(Arc::clone(&self.columns), self.delimiter)
    }

    /// The line after the row's first, if it is in memory: where a quote that never closes ought to have ended.
    fn second_line(&self, view: View<'_>) -> Option<u64> {
        memchr::memchr(b'\n', view.from(self.row)).map(|newline| self.row + newline as u64 + 1)
    }

    /// Whether the line at `line` looks like a whole row.
    fn is_row(&self, view: View<'_>, line: u64) -> bool {
        let rest = view.from(line);
        let text = &rest[..memchr::memchr(b'\n', rest).unwrap_or(rest.len())];
        fields(text, self.delimiter).is_some_and(|fields| fields.len() == self.columns.len())
    }
}

/// The names in a header. A zone behind one (`TimeGenerated [UTC]`) stays: it says how the column's times are meant.
fn columns(header: &[u8], delimiter: u8) -> Option<Vec<String>> {
    Some(fields(header, delimiter)?.iter().map(|name| name.trim().to_owned()).collect())
}

/// The fields of one row; `None` where there are none.
pub(super) fn fields(row: &[u8], delimiter: u8) -> Option<csv::StringRecord> {
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).has_headers(false).flexible(true).from_reader(row);
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
                self.push(csv.kind(), row);
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
            && fields(text, csv.delimiter).is_some_and(|fields| fields.len() >= csv.columns.len());
        if whole {
            self.push(csv.kind(), csv.row..end);
        } else if !text.trim_ascii().is_empty() {
            self.leave_incomplete(csv.row, 0);
        }
        self.mode = Mode::End;
        Flow::Go
    }
}
