//! A detection's header: TOML between two `-- +++` lines, each line an SQL comment. Raw text goes in, checked values come
//! out, and nothing behind this file checks them again. Reads no file and no SQL.

use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;

use super::parameter::{Declared, RESERVED, RawParameter, parse_duration};
use super::{DetectionError, Place, techniques};
use crate::alert::{ENTITY_COLUMNS, Micros, Severity};

/// The line that opens and closes a header.
const FENCE: &str = "-- +++";

/// The most parameters that one detection declares.
const MAX_PARAMETERS: usize = 40;

/// How far a detection can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Its false-alarm rate was measured.
    Stable,
    /// New: look at its alerts with that in mind.
    Experimental,
    /// Replaced by another; kept for those who depend on its id.
    Deprecated,
}

impl Status {
    /// The name in JSON and in the header.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Experimental => "experimental",
            Self::Deprecated => "deprecated",
        }
    }
}

/// What makes a detection due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trigger {
    /// New records.
    #[default]
    Data,
    /// The passing of time, records or not: for detections of silence.
    Clock,
}

/// A detection's metadata, checked. Lengths of time are microseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// A few words.
    pub title: String,
    /// What it looks for, why, and what it compares with.
    pub description: String,
    /// Of a finding whose row names none.
    pub severity: Severity,
    /// How far it can be trusted.
    pub status: Status,
    /// ATT&CK technique ids.
    pub techniques: Vec<String>,
    /// The entity columns that make two findings the same thing, in this order.
    pub key: Vec<String>,
    /// Its step: every window ends at a multiple of it since the epoch.
    pub every: Micros,
    /// Length of a window, a multiple of `every`.
    pub window: Micros,
    /// How far before the period it reads `events`.
    pub lookback: Micros,
    /// How far before a window's start it reads roll-ups; 0 if it reads none.
    pub baseline: Micros,
    /// Findings of one key no further apart than this are one alert.
    pub quiet_for: Micros,
    /// What makes it due.
    pub on: Trigger,
    /// Covered history that it asks for before it calls something new.
    pub min_coverage: Option<Micros>,
    /// What looks like it and is none.
    pub false_positives: Vec<String>,
    /// What to do when it fires.
    pub response: Vec<String>,
    /// Where to read on.
    pub references: Vec<String>,
    /// What its defaults stand for, in false alerts.
    pub false_alarm_rate: String,
    /// Its parameters.
    pub parameters: BTreeMap<String, Declared>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum TextOrList {
    Text(String),
    List(Vec<String>),
}

impl TextOrList {
    fn into_list(self) -> Vec<String> {
        match self {
            Self::Text(text) => vec![text],
            Self::List(list) => list,
        }
    }
}

/// The header as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    title: String,
    #[serde(default)]
    description: String,
    severity: Severity,
    #[serde(default = "experimental")]
    status: Status,
    #[serde(default)]
    techniques: Vec<String>,
    key: Vec<String>,
    every: String,
    window: String,
    lookback: Option<String>,
    baseline: Option<String>,
    quiet_for: String,
    #[serde(default)]
    on: Trigger,
    min_coverage: Option<String>,
    #[serde(default)]
    false_positives: Vec<String>,
    response: Option<TextOrList>,
    #[serde(default)]
    references: Vec<String>,
    #[serde(default)]
    false_alarm_rate: String,
    #[serde(default)]
    parameters: BTreeMap<String, RawParameter>,
}

fn experimental() -> Status {
    Status::Experimental
}

/// Reads and checks the header of a detection file's whole text; `path` is for messages.
///
/// # Errors
/// [`DetectionError::Header`] with the line of the file.
pub fn parse(path: &str, text: &str) -> Result<Header, DetectionError> {
    let toml = header_text(path, text)?;
    let raw: Raw = toml::from_str(&toml).map_err(|e| {
        let line = e.span().map(|span| line_of(&toml, span.start));
        DetectionError::Header { place: Place::line(path, line), message: e.message().trim_end().replace('\n', "; ") }
    })?;
    checked(raw).map_err(|(field, message)| DetectionError::Header {
        place: Place::line(path, line_of_field(&toml, &field)),
        message: format!("'{field}': {message}"),
    })
}

/// The TOML, on the lines where the file has it, so that its error lines are the file's: all other lines are blank.
fn header_text(path: &str, text: &str) -> Result<String, DetectionError> {
    let wrong = |line: usize, message: &str| DetectionError::Header {
        place: Place::line(path, Some(line)),
        message: message.to_owned(),
    };
    let mut toml = String::new();
    let mut open = false;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_end();
        if line == FENCE {
            if open {
                return Ok(toml);
            }
            open = true;
        } else if open {
            let inner = line.strip_prefix("--").ok_or_else(|| {
                wrong(index + 1, "the header is not closed: each of its lines begins with '-- ', and '-- +++' ends it")
            })?;
            toml.push_str(inner.strip_prefix(' ').unwrap_or(inner));
        } else if !(line.is_empty() || line.starts_with("--")) {
            break;
        }
        toml.push('\n');
    }
    if open {
        return Err(wrong(text.lines().count(), "the header is not closed: end it with a line '-- +++'"));
    }
    Err(wrong(1, "no header: begin the file with TOML in '-- ' comments between two lines '-- +++'"))
}

/// The line (from 1) of a byte offset.
pub(super) fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|b| **b == b'\n').count() + 1
}

/// The line on which a field is written, or a parameter (`parameters.name`) in its table.
fn line_of_field(toml: &str, field: &str) -> Option<usize> {
    let name = field.strip_prefix("parameters.").unwrap_or(field);
    let first =
        if name == field { 0 } else { toml.lines().position(|line| line.trim_start().starts_with("[parameters"))? };
    let writes = |line: &str| {
        let line = line.trim_start();
        let line = line.strip_prefix("[parameters.").or_else(|| line.strip_prefix('[')).unwrap_or(line);
        let after = line.strip_prefix(name).map(|rest| rest.trim_start().bytes().next());
        matches!(after, Some(Some(b'=' | b'.' | b']')))
    };
    toml.lines().skip(first).position(writes).map(|i| first + i + 1)
}

type FieldError = (String, String);

fn fail<T>(field: &str, message: impl Into<String>) -> Result<T, FieldError> {
    Err((field.to_owned(), message.into()))
}

fn checked(raw: Raw) -> Result<Header, FieldError> {
    let every = positive("every", &raw.every)?;
    let window = positive("window", &raw.window)?;
    if window % every != 0 {
        let message = format!("{} is no multiple of every = {}: windows end on that grid", raw.window, raw.every);
        return fail("window", message);
    }
    if raw.title.trim().is_empty() {
        return fail("title", "it is empty: say in a few words what fires");
    }
    for technique in &raw.techniques {
        techniques::verify(technique).or_else(|e| fail("techniques", e))?;
    }
    Ok(Header {
        key: checked_key(raw.key)?,
        parameters: checked_parameters(&raw.parameters)?,
        every,
        window,
        lookback: optional("lookback", raw.lookback.as_deref())?.unwrap_or(window),
        baseline: optional("baseline", raw.baseline.as_deref())?.unwrap_or(0),
        quiet_for: positive("quiet_for", &raw.quiet_for)?,
        min_coverage: optional("min_coverage", raw.min_coverage.as_deref())?,
        title: raw.title,
        description: raw.description,
        severity: raw.severity,
        status: raw.status,
        techniques: raw.techniques,
        on: raw.on,
        false_positives: raw.false_positives,
        response: raw.response.map(TextOrList::into_list).unwrap_or_default(),
        references: raw.references,
        false_alarm_rate: raw.false_alarm_rate,
    })
}

fn checked_key(key: Vec<String>) -> Result<Vec<String>, FieldError> {
    let mut seen = HashSet::new();
    for column in &key {
        if !ENTITY_COLUMNS.contains(&column.as_str()) {
            return fail("key", format!("'{column}' is no entity column: use some of {}", ENTITY_COLUMNS.join(", ")));
        }
        if !seen.insert(column) {
            return fail("key", format!("'{column}' stands there twice"));
        }
    }
    if key.is_empty() {
        return fail("key", "it is empty: name the columns that make two findings the same thing");
    }
    Ok(key)
}

fn checked_parameters(raw: &BTreeMap<String, RawParameter>) -> Result<BTreeMap<String, Declared>, FieldError> {
    if raw.len() > MAX_PARAMETERS {
        return fail("parameters", format!("{} are too many: {MAX_PARAMETERS} at most", raw.len()));
    }
    let mut declared = BTreeMap::new();
    for (name, parameter) in raw {
        let field = format!("parameters.{name}");
        if RESERVED.contains(&name.as_str()) {
            return fail(&field, format!("the engine binds {} itself: take another name", RESERVED.join(", ")));
        }
        if !is_snake_case(name) {
            return fail(&field, "a name is snake case: a to z, digits and _");
        }
        declared.insert(name.clone(), Declared::new(parameter).map_err(|e| (field, e))?);
    }
    Ok(declared)
}

/// Whether a text can be the id of a detection or the name of a parameter.
pub(super) fn is_snake_case(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn optional(field: &str, text: Option<&str>) -> Result<Option<Micros>, FieldError> {
    text.map(parse_duration).transpose().or_else(|e| fail(field, e))
}

fn positive(field: &str, text: &str) -> Result<Micros, FieldError> {
    match parse_duration(text) {
        Ok(micros) if micros < 1_000_000 => fail(field, format!("{text} is under a second")),
        Ok(micros) => Ok(micros),
        Err(e) => fail(field, e),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::detection::Parameter;

    const GOOD: &str = "\
-- A comment above is fine.
-- +++
-- title = \"Reads\"
-- severity = \"medium\"
-- techniques = [\"T1555.006\"]
-- key = [\"principal_id\"]
-- every = \"5m\"
-- window = \"1h\"
-- quiet_for = \"6h\"
-- response = \"Ask.\"
-- [parameters]
-- least = { default = 5, about = \"Fewest reads.\", min = 1 }
-- +++
SELECT 1
";

    #[test]
    fn a_header_reads_with_its_defaults() {
        let header = parse("a.sql", GOOD).unwrap();
        assert_eq!(header.window, 3_600_000_000);
        assert_eq!((header.lookback, header.baseline, header.on), (header.window, 0, Trigger::Data));
        assert_eq!(header.status, Status::Experimental);
        assert_eq!(header.response, ["Ask."]);
        assert_eq!(header.parameters["least"].default, Parameter::Integer(5));
    }

    #[test]
    fn a_mistake_is_named_with_its_line_and_a_way_out() {
        for (from, to, expected) in [
            ("title = \"Reads\"", "titel = \"Reads\"", "a.sql:3: unknown field `titel`"),
            ("\"medium\"", "\"urgent\"", "a.sql:4: unknown variant `urgent`"),
            ("\"medium\"", "\"medium", "a.sql:4: "),
            ("T1555.006", "T15", "a.sql:5: 'techniques': 'T15' is no ATT&CK technique: write one like T1555"),
            ("principal_id", "user", "a.sql:6: 'key': 'user' is no entity column: use some of principal_id"),
            ("\"5m\"", "\"5 fortnights\"", "a.sql:7: 'every': '5 fortnights' is no length of time"),
            ("\"1h\"", "\"7m\"", "a.sql:8: 'window': 7m is no multiple of every = 5m"),
            ("\"6h\"", "\"0s\"", "a.sql:9: 'quiet_for': 0s is under a second"),
            ("default = 5", "default = 0", "a.sql:12: 'parameters.least': 'default': 0 is outside the range 1 to any"),
            ("least =", "window =", "a.sql:12: 'parameters.window': the engine binds"),
            ("about", "abuot", "a.sql:12: unknown field `abuot`"),
            ("-- +++\nSELECT", "SELECT", "a.sql:13: the header is not closed"),
            ("-- +++\n-- title", "-- title", "a.sql:13: the header is not closed"),
            (GOOD, "SELECT 1", "a.sql:1: no header"),
        ] {
            let text = GOOD.replacen(from, to, 1);
            assert_ne!(text, GOOD, "{from}");
            let error = parse("a.sql", &text).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{from} -> {to}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "(-- \\+\\+\\+\n)?(-- ?[ -~]{0,30}\n){0,6}(-- \\+\\+\\+\n)?.{0,20}") {
            let _ = parse("a.sql", &text);
        }
    }
}
