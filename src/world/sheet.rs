//! A file of lines: CSV with a header, or one thing a line. Reads it under limits and hands out good lines; what is wrong
//! with the others becomes a [`Problem`]. Knows no table.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The largest file: half a million callers have a quarter of it.
const MAX_BYTES: u64 = 64 << 20;

/// The most lines of a file.
const MAX_LINES: usize = 1_000_000;

/// The longest cell in bytes; what is longer is most likely two lines in one.
const MAX_CELL: usize = 1_024;

/// Problems of one file that are told one by one.
const TOLD: usize = 10;

/// Something that is wrong with a file of the user's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub path: PathBuf,
    /// The line, where it is one line that is wrong (1 is the first).
    pub line: Option<usize>,
    /// What is wrong and what to do.
    pub message: String,
    /// The whole file was left unread: detections lack what it says.
    pub refused: bool,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.path.display(), self.message),
            None => write!(f, "{}: {}", self.path.display(), self.message),
        }
    }
}

/// Problems as they are found: of every file the first few, and how many more there are.
#[derive(Debug, Default)]
pub struct Problems {
    told: Vec<Problem>,
    more: BTreeMap<PathBuf, usize>,
}

impl Problems {
    /// A line that does not count.
    pub(super) fn line(&mut self, path: &Path, line: usize, message: String) {
        let known = self.told.iter().filter(|p| p.path == path && p.line.is_some()).count();
        if known >= TOLD {
            *self.more.entry(path.to_owned()).or_default() += 1;
            return;
        }
        self.told.push(Problem { path: path.to_owned(), line: Some(line), message, refused: false });
    }

    /// A remark about a file as a whole.
    pub(super) fn remark(&mut self, path: &Path, message: String) {
        self.told.push(Problem { path: path.to_owned(), line: None, message, refused: false });
    }

    /// A file that does not count.
    pub(super) fn refused(&mut self, path: &Path, message: String) {
        self.told.push(Problem { path: path.to_owned(), line: None, message, refused: true });
    }

    /// All of them, in the order of the files.
    pub fn into_vec(mut self) -> Vec<Problem> {
        for (path, count) in self.more {
            let message = format!("{count} more lines are broken too");
            self.told.push(Problem { path, line: None, message, refused: false });
        }
        self.told
    }
}

/// A column that a file may have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heading {
    /// Its name, and other names that it goes by, lower case.
    pub names: &'static [&'static str],
    /// A file without it says nothing.
    pub required: bool,
}

/// Lines of a file with their numbers, without empty ones; none where the file was refused.
pub(super) fn lines(path: &Path, problems: &mut Problems) -> Option<Vec<(usize, String)>> {
    let bytes = match read(path) {
        Ok(bytes) => bytes,
        Err(message) => {
            problems.refused(path, message);
            return None;
        }
    };
    let mut lines = Vec::new();
    for (at, line) in bytes.split(|b| *b == b'\n').enumerate() {
        if at >= MAX_LINES {
            problems.refused(path, format!("has more than {MAX_LINES} lines: give fewer"));
            return None;
        }
        match std::str::from_utf8(line) {
            Ok(text) if text.trim().is_empty() => {}
            Ok(text) => lines.push((at + 1, text.trim_end_matches('\r').to_owned())),
            Err(_) => problems.line(path, at + 1, "is no UTF-8 text: save the file as UTF-8".to_owned()),
        }
    }
    Some(lines)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let file = File::open(path).map_err(|e| format!("cannot be read: {e}"))?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|e| format!("cannot be read: {e}"))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("is larger than {} MiB and was not read: give less", MAX_BYTES >> 20));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err("is UTF-16 and was not read: save it as UTF-8".to_owned());
    }
    if bytes.starts_with(&[0xef, 0xbb, 0xbf]) {
        bytes.drain(..3);
    }
    Ok(bytes)
}

/// The good cells of a line by the first name of their column; what is empty is left out.
pub(super) type Cells = BTreeMap<&'static str, String>;

/// Hands every good line of a CSV file to `each`, whose error makes it a broken one.
///
/// Commas, semicolons or tabs, whichever the header has most of. A line is a row: a quote that is not closed breaks its
/// own line and no other.
pub(super) fn rows(
    path: &Path,
    headings: &[Heading],
    problems: &mut Problems,
    mut each: impl FnMut(usize, &Cells) -> Result<(), String>,
) {
    let Some(lines) = lines(path, problems) else { return };
    let mut lines = lines.iter().filter(|(_, text)| !text.trim_start().starts_with('#'));
    let Some((at, header)) = lines.next() else { return };
    let delimiter = [b',', b';', b'\t'].into_iter().max_by_key(|d| {
        // Of equally many the first: a header of one column has none.
        (header.bytes().filter(|b| b == d).count(), *d == b',')
    });
    let delimiter = delimiter.unwrap_or(b',');
    let columns = match columns(header, delimiter, headings) {
        Ok((columns, unknown)) => {
            for name in unknown {
                let known = known(headings);
                problems.line(path, *at, format!("column '{name}' is not read; known are {known}"));
            }
            columns
        }
        Err(message) => return problems.refused(path, message),
    };
    for (at, text) in lines {
        let read = cells(text, delimiter).and_then(|cells| named(&columns, cells, headings));
        if let Err(message) = read.and_then(|cells| each(*at, &cells)) {
            problems.line(path, *at, message);
        }
    }
}

fn known(headings: &[Heading]) -> String {
    headings.iter().map(|h| h.names[0]).collect::<Vec<_>>().join(", ")
}

type Columns = Vec<Option<&'static str>>;

/// The known column at each place of the header, and the names that are not known.
fn columns(header: &str, delimiter: u8, headings: &[Heading]) -> Result<(Columns, Vec<String>), String> {
    let (mut columns, mut unknown) = (Columns::new(), Vec::new());
    for name in cells(header, delimiter)? {
        let plain = name.trim().to_lowercase().replace([' ', '-'], "_");
        let heading = headings.iter().find(|h| h.names.contains(&plain.as_str())).map(|h| h.names[0]);
        let twice = heading.is_some() && columns.contains(&heading);
        if heading.is_none() || twice {
            unknown.extend((!plain.is_empty()).then_some(name));
        }
        columns.push(heading.filter(|_| !twice));
    }
    match headings.iter().find(|h| h.required && !columns.contains(&Some(h.names[0]))) {
        Some(missing) => Err(format!(
            "has no column '{}' in its first line and was not read: begin with a header of {}",
            missing.names[0],
            known(headings)
        )),
        None => Ok((columns, unknown)),
    }
}

fn cells(line: &str, delimiter: u8) -> Result<Vec<String>, String> {
    if line.bytes().filter(|b| *b == b'"').count() % 2 == 1 {
        return Err("a quote is not closed: write \"\" for a quote inside quotes".to_owned());
    }
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .delimiter(delimiter)
        .buffer_capacity(256)
        .from_reader(line.as_bytes());
    let record = reader.records().next().transpose().map_err(|e| e.to_string())?.unwrap_or_default();
    Ok(record.iter().map(str::to_owned).collect())
}

fn named(columns: &Columns, cells: Vec<String>, headings: &[Heading]) -> Result<Cells, String> {
    if cells.len() > columns.len() {
        let (has, header) = (cells.len(), columns.len());
        return Err(format!("has {has} cells where the header has {header}: put text with a delimiter in quotes"));
    }
    let mut named = Cells::new();
    for (column, cell) in columns.iter().zip(cells) {
        let cell = cell.trim();
        if cell.len() > MAX_CELL {
            return Err(format!("has a cell of more than {MAX_CELL} bytes"));
        }
        if let Some(name) = column
            && !cell.is_empty()
        {
            named.insert(name, cell.to_owned());
        }
    }
    match headings.iter().find(|h| h.required && !named.contains_key(h.names[0])) {
        Some(missing) => Err(format!("has no '{}'", missing.names[0])),
        None => Ok(named),
    }
}
