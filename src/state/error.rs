//! What can go wrong with the state, each with the way out.

use std::path::PathBuf;

use rusqlite::ErrorCode;

/// An error of the state. Messages name the thing and the way out; the cause, where there is one, is the source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The file or its folder cannot be made, opened or given its permissions.
    #[error("cannot open the state database {path}: check that the folder exists and is yours to write")]
    Open {
        /// The database file.
        path: PathBuf,
        /// What the system says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There is no state yet, and the command only reads.
    #[error("there is no state database at {path}: `kvaudit run` or `kvaudit detect` makes one")]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The file is something else.
    #[error(
        "{path} is not a kvaudit state database: move it away and run the same command again; alerts are restored from the \
         store's table 'alerts'"
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A later kvaudit wrote the file.
    #[error("{path} has format {found}, this kvaudit knows formats up to {known}: use the newer kvaudit that wrote it")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest format that this program knows.
        known: i64,
    },
    /// An earlier kvaudit wrote the file and this command must not change it.
    #[error("{path} has the older format {found}: run `kvaudit detect` once, which brings it to format {known}")]
    Older {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The format that this program reads.
        known: i64,
    },
    /// The file belongs to another store.
    #[error("{path} belongs to store {found}, not to store {wanted}: name the state of this store, or another folder")]
    OtherStore {
        /// The file.
        path: PathBuf,
        /// The store that it was made for.
        found: String,
        /// The store that asks.
        wanted: String,
    },
    /// Another process holds the write lock.
    #[error("state.db is being written by another kvaudit: try again when that one has finished")]
    Busy,
    /// The disk is full.
    #[error("state.db cannot grow, the disk is full: make room and run the command again; nothing was half written")]
    Full,
    /// A write through a handle that only reads.
    #[error("state.db was opened for reading only, or its file or disk is read-only")]
    ReadOnly,
    /// The file is no database any more, or a page of it is not what it should be.
    #[error("state.db is damaged")]
    Corrupt(#[source] rusqlite::Error),
    /// Anything else that SQLite says.
    #[error("state.db could not be read or written")]
    Sqlite(#[source] rusqlite::Error),
    /// A stored JSON text does not read back.
    #[error("state.db holds a damaged {what}: run `kvaudit detect` over the period to write it anew")]
    Damaged {
        /// Which text.
        what: &'static str,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// A finding outside the period that it was handed in for, or of another rule.
    #[error("rule {rule_id}: {problem}")]
    Finding {
        /// The rule that was recorded.
        rule_id: String,
        /// What is wrong with which finding.
        problem: String,
    },
    /// No alert has that id.
    #[error("no alert has the id '{id}': `kvaudit alerts list` shows the ids")]
    NoAlert {
        /// As it was asked for.
        id: String,
    },
    /// No incident has that id.
    #[error("no incident has the id '{id}': `kvaudit incidents list` shows the ids")]
    NoIncident {
        /// As it was asked for.
        id: String,
    },
    /// Text that cannot be an id of an alert or incident.
    #[error("'{id}' is no id: give at least the first 6 of its 32 hex digits")]
    BadId {
        /// As it was asked for.
        id: String,
    },
    /// Several alerts or incidents begin like that.
    #[error("'{id}' fits several ({candidates}): give more digits")]
    Ambiguous {
        /// As it was asked for.
        id: String,
        /// The first few ids that fit.
        candidates: String,
    },
    /// The alert's state does not allow the change.
    #[error("alert {id} is closed: reopen it before acknowledging it")]
    IsClosed {
        /// The alert.
        id: String,
    },
    /// A cursor that this program did not make, or made for another order.
    #[error("the cursor '{cursor}' is not one that this list gave out: start again without a cursor")]
    Cursor {
        /// As it was handed in, cut short.
        cursor: String,
    },
    /// An argument out of bounds.
    #[error("{0}")]
    Argument(String),
    /// No suppression has that number.
    #[error("there is no suppression number {id}: it may have been ended already")]
    NoSuppression {
        /// As it was asked for.
        id: i64,
    },
}

impl StateError {
    /// Whether the file or its disk may only be read, or not even that by this user.
    pub fn is_forbidden(&self) -> bool {
        use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
        let by_sqlite = |error: &rusqlite::Error| {
            matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied)
            )
        };
        match self {
            Self::ReadOnly => true,
            Self::Sqlite(error) => by_sqlite(error),
            Self::Open { source, .. } => {
                let by_system = |error: &std::io::Error| matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem);
                source.downcast_ref().is_some_and(by_system) || source.downcast_ref().is_some_and(by_sqlite)
            }
            _ => false,
        }
    }
}

impl From<rusqlite::Error> for StateError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::ReadOnly) => Self::ReadOnly,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupt(error),
            _ => Self::Sqlite(error),
        }
    }
}
