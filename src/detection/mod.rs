//! Detections as files: header, parameters, statistics functions, evaluation over periods, cases.
//!
//! A detection is one SQL file with a TOML header (`header`), found by putting it into a folder (`library`).
//! `evaluate` asks it about a period and turns its rows into [`crate::alert::Finding`]s; `cases` runs the tests that
//! stand beside it, `properties` and `check` hold it to what every detection promises. Reads the tables of the session
//! it is given and writes none; makes no alerts, knows no clock, no state and no HTTP.

use std::fmt;

mod bind;
pub mod blind;
pub mod cases;
pub mod check;
pub mod evaluate;
mod events;
pub mod extent;
pub mod functions;
pub mod header;
pub mod job;
mod json;
pub mod library;
pub mod limits;
pub mod page;
pub mod parameter;
pub mod period;
pub mod properties;
mod rows;
mod stages;
mod techniques;

pub use cases::{Fixture, StandIn};
pub use evaluate::{Evaluation, Progress, data_span, evaluate, evaluate_all};
pub use extent::Extent;
pub use header::{Header, Status, Trigger};
pub use library::{Library, NoRule, Origin, Overrides, Rule};
pub use limits::RuleTime;
pub use parameter::Parameter;
pub use period::Period;

/// Where a message points: a file, and a line of it where known (1 is the first).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The detection's file, or its test file.
    pub path: String,
    /// The line, where known.
    pub line: Option<usize>,
}

impl Place {
    /// A whole file.
    pub fn file(path: &str) -> Self {
        Self { path: path.to_owned(), line: None }
    }

    /// A line of a file.
    pub fn line(path: &str, line: Option<usize>) -> Self {
        Self { path: path.to_owned(), line }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.path),
            None => f.write_str(&self.path),
        }
    }
}

/// What can be wrong with a detection, its settings or its answer. Messages say what to do; none has a source to print.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DetectionError {
    /// A file or folder cannot be read, is too large, or has a name that is no id.
    #[error("{place}: {message}")]
    File {
        /// The file.
        place: Place,
        /// What is wrong.
        message: String,
    },
    /// The TOML header is missing, malformed or says something impossible.
    #[error("{place}: {message}")]
    Header {
        /// The line of the file.
        place: Place,
        /// What is wrong.
        message: String,
    },
    /// The SQL does not parse or plan, or its parameters and the header's do not agree.
    #[error("{place}: {message}")]
    Sql {
        /// The line of the file.
        place: Place,
        /// What is wrong.
        message: String,
    },
    /// The rows are not findings: a column is missing or of a wrong type, a key repeats, a window lies outside the period.
    #[error("{place}: {message}")]
    Contract {
        /// The detection's file.
        place: Place,
        /// What is wrong.
        message: String,
    },
    /// The query failed while it ran.
    #[error("{place}: {message}")]
    Run {
        /// The detection's file.
        place: Place,
        /// What is wrong.
        message: String,
    },
    /// A switch or a parameter in the configuration names something that does not exist, or gives it an impossible value.
    #[error("{message}")]
    Override {
        /// What is wrong and what exists.
        message: String,
    },
    /// A test file is malformed.
    #[error("{place}: {message}")]
    Case {
        /// The test file.
        place: Place,
        /// What is wrong.
        message: String,
    },
}

impl DetectionError {
    /// Where it points, where it points at a file.
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::File { place, .. }
            | Self::Header { place, .. }
            | Self::Sql { place, .. }
            | Self::Contract { place, .. }
            | Self::Run { place, .. }
            | Self::Case { place, .. } => Some(place),
            Self::Override { .. } => None,
        }
    }

    /// What is wrong, without the place.
    pub fn message(&self) -> &str {
        match self {
            Self::File { message, .. }
            | Self::Header { message, .. }
            | Self::Sql { message, .. }
            | Self::Contract { message, .. }
            | Self::Run { message, .. }
            | Self::Case { message, .. }
            | Self::Override { message } => message,
        }
    }
}
