//! The form that an input came in, and the refusal of what is in none.

use std::fmt;

/// What an input was read as. Known once its head was looked at; [`fmt::Display`] gives the name that reports show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Form {
    /// Nothing, or white space only.
    Empty,
    /// One record, envelope or array a line.
    JsonLines,
    /// One document, or several that are laid out over lines.
    Json,
    /// `{"records":[…]}` and the like.
    Envelope,
    /// A bare array of records.
    Array,
    /// `{"tables":[…]}`, as the query API answers.
    Tables,
    /// Frames of the Kusto REST API, version 2.
    Kusto,
    /// Comma-separated rows under a header.
    Csv,
    /// The same as spreadsheets of many countries write it.
    SemicolonCsv,
    /// Tab-separated rows under a header.
    Tsv,
    /// Rows separated by `|`.
    PipeCsv,
    /// The portal's CSV of the Activity log.
    ActivityCsv,
    /// Avro files of Event Hubs Capture.
    Capture,
    /// Parquet files with columns of logs.
    Parquet,
}

impl Form {
    /// The name that reports show.
    pub fn name(self) -> &'static str {
        match self {
            Form::Empty => "empty",
            Form::JsonLines => "JSON lines",
            Form::Json => "JSON document",
            Form::Envelope => "JSON envelope",
            Form::Array => "JSON array",
            Form::Tables => "query API tables",
            Form::Kusto => "Kusto frames",
            Form::Csv => "CSV",
            Form::SemicolonCsv => "CSV (semicolons)",
            Form::Tsv => "TSV",
            Form::PipeCsv => "CSV (pipes)",
            Form::ActivityCsv => "CSV (Activity log of the portal)",
            Form::Capture => "Avro (Event Hubs Capture)",
            Form::Parquet => "Parquet",
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a whole input is refused: it is in no form that is read. `{what}: {way_out}` completes "'NAME' is …".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {way_out}")]
pub struct Refusal {
    /// What it looks like, with an article.
    pub what: String,
    /// What to do.
    pub way_out: &'static str,
}

impl Refusal {
    pub(super) fn new(what: impl Into<String>, way_out: &'static str) -> Self {
        Self { what: what.into(), way_out }
    }
}

/// The most names of columns or keys that a message lists, and the most characters of each.
const LISTED: usize = 8;
const LISTED_CHARS: usize = 40;

/// Names in quotes for a message, the first few of them, safe to print.
pub(super) fn listed<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    let mut names = names.into_iter();
    let mut list: Vec<String> = names.by_ref().take(LISTED).map(quoted).collect();
    if names.next().is_some() {
        list.push("…".to_owned());
    }
    list.join(", ")
}

/// A text in quotes, cut to what a message can bear.
pub(super) fn quoted(text: &str) -> String {
    let text = text.trim();
    let mut cut: String = text.chars().take(LISTED_CHARS).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    format!("'{}'", cut.escape_debug().to_string().replace("\\'", "'").replace("\\\"", "\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_stands_in_the_documentation() {
        let text = include_str!("../../docs/records.md");
        for form in [
            Form::JsonLines,
            Form::Json,
            Form::Envelope,
            Form::Array,
            Form::Tables,
            Form::Kusto,
            Form::Csv,
            Form::SemicolonCsv,
            Form::Tsv,
            Form::PipeCsv,
            Form::ActivityCsv,
            Form::Capture,
            Form::Parquet,
        ] {
            assert!(text.contains(&format!("`{form}`")), "{form}");
        }
    }

    #[test]
    fn names_in_a_message_are_few_short_and_safe() {
        let long = "x".repeat(100);
        let names = ["a\u{1b}[31m", "b\nc", "it's", long.as_str(), "1", "2", "3", "4", "5"];
        let text = listed(names);
        assert!(text.starts_with("'a\\u{1b}[31m', 'b\\nc', 'it's', 'xxx") && text.ends_with("'4', …"), "{text}");
        assert!(text.chars().count() < 120, "{text}");
    }
}
