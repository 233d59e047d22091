//! What can go wrong with a store, each with its place and the way out.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why the store could not do what was asked. A refusal leaves the store as it was: tables change by whole commits only.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Asked for a store that must exist, and there is none.
    #[error(
        "no store at '{0}': run `kvaudit ingest SOURCE --store {0}` first, or name another with --store",
        dir.display()
    )]
    Missing {
        /// Where it was looked for.
        dir: PathBuf,
    },
    /// The directory belongs to something else.
    #[error("'{}' is not empty and holds no store: name a new or an empty directory with --store", dir.display())]
    Foreign {
        /// The directory.
        dir: PathBuf,
    },
    /// A file stands where the store's directory should be.
    #[error("'{}' is no directory: name a directory with --store", dir.display())]
    NotADirectory {
        /// The path.
        dir: PathBuf,
    },
    /// A path that the Delta library would read as another one.
    #[error("'{}' has '{escape}' in its path, which stands for another character in tables' addresses: rename the directory", dir.display())]
    Escape {
        /// The directory.
        dir: PathBuf,
        /// The offending piece.
        escape: String,
    },
    /// Written by a kvaudit of another format.
    #[error(
        "the store at '{}' has format {found} and this kvaudit reads format {supported}: \
         use the kvaudit that wrote it, or ingest into another directory with --store",
        dir.display()
    )]
    Version {
        /// The store.
        dir: PathBuf,
        /// The format that its description names.
        found: u64,
        /// The format that this program reads and writes.
        supported: u64,
    },
    /// `kvaudit.json` is no description of a store.
    #[error("'{}' does not describe a store ({reason}): restore it from a copy, or ingest into another directory", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file of a table is not there or not whole.
    #[error("'{}' {what}: {way_out}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what cannot be read for that.
        what: String,
        /// What to do about it.
        way_out: String,
    },
    /// The disk is full, or a limit on space or on the size of a file is reached.
    #[error(
        "no space left to {action} '{}': free some and run the same command again; nothing was written by halves, and \
         nothing is written twice",
        path.display()
    )]
    Full {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's word.
        #[source]
        source: BoxError,
    },
    /// The system forbids it.
    #[error("not permitted to {action} '{}': grant it to this user, or name another store with --store", path.display())]
    Denied {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's word.
        #[source]
        source: BoxError,
    },
    /// Anything else that a file or a table refuses.
    #[error("cannot {action} '{}'", path.display())]
    Failed {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: BoxError,
    },
    /// A batch whose columns are not the table's.
    #[error("a batch does not fit the table '{table}': {reason}")]
    Schema {
        /// The table.
        table: &'static str,
        /// The first difference.
        reason: String,
    },
    /// Other writers won every time.
    #[error(
        "other writers changed the table '{table}' {attempts} times in a row: run the same command again when they are done"
    )]
    Busy {
        /// The table.
        table: &'static str,
        /// How often it was tried.
        attempts: u32,
    },
    /// A query that is wrong, or that may not be asked.
    #[error("{0}")]
    Query(String),
    /// A query that ran too long.
    #[error("the query took longer than {}: narrow it, for instance by time, or allow it more", humantime::format_duration(*.0))]
    QueryTime(Duration),
    /// A query that wanted too much memory.
    #[error("the query wanted more than {} MiB of memory: narrow it, for instance by time, or allow it more ({reason})", limit >> 20)]
    QueryMemory {
        /// The limit in bytes.
        limit: usize,
        /// What asked for it.
        reason: String,
    },
    /// The system gives no thread.
    #[error(
        "no thread could be started to {action}: end other programs, or raise this user's limits on memory and processes"
    )]
    Thread {
        /// What it was to do.
        action: &'static str,
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// A query that wrote too much beside its memory.
    #[error(
        "the query wrote more than {limit} of intermediate rows to disk: narrow it, for instance by time, or allow it more"
    )]
    QuerySpill {
        /// The limit, as the engine writes it.
        limit: String,
    },
    /// A worker thread panicked: a defect of this program.
    #[error(
        "a worker of the store stopped without an answer while it tried to {action}: this is a defect, please report it"
    )]
    Worker {
        /// What it was doing.
        action: &'static str,
    },
}

/// Any error of a library underneath.
pub type BoxError = Box<dyn Error + Send + Sync + 'static>;

impl StoreError {
    /// Whether it is for want of space.
    pub fn is_full(&self) -> bool {
        matches!(self, StoreError::Full { .. })
    }

    /// Whether the system forbids it: the store may be there to be read only.
    pub fn is_denied(&self) -> bool {
        matches!(self, StoreError::Denied { .. })
    }

    /// An error of `action` on `path`, sorted by what a person can do about it.
    pub(super) fn at(action: &'static str, path: impl AsRef<Path>, source: impl Into<BoxError>) -> StoreError {
        let (path, source) = (path.as_ref().to_path_buf(), source.into());
        match io_kind(&*source) {
            Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge) => {
                StoreError::Full { action, path, source }
            }
            Some(io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) => {
                StoreError::Denied { action, path, source }
            }
            _ => StoreError::Failed { action, path, source },
        }
    }
}

/// The kind of the first system error in a chain of causes.
fn io_kind(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            // An io::Error may itself wrap another one, whose kind says more.
            if io.kind() != io::ErrorKind::Other || io.get_ref().is_none() {
                return Some(io.kind());
            }
        }
        next = error.source();
    }
    None
}

/// Runs blocking work on a thread of its own and hands its result back.
///
/// Not on tokio's blocking threads: of these another one runs next time, and each keeps the memory that it once needed. A new
/// thread is given what the last one left.
pub(super) async fn blocking<T: Send + 'static>(
    action: &'static str,
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let run = move || {
        // Nobody to take it means that the command has ended.
        let _ = sender.send(work());
    };
    std::thread::Builder::new()
        .name("kvaudit-store".to_owned())
        .spawn(run)
        .map_err(|source| StoreError::Thread { action, source })?;
    receiver.await.map_err(|_| StoreError::Worker { action })?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_and_a_forbidden_path_are_told_apart_however_deep() {
        let cases = [
            (io::ErrorKind::StorageFull, "no space left to write 'x'"),
            (io::ErrorKind::PermissionDenied, "not permitted to write 'x'"),
            (io::ErrorKind::InvalidData, "cannot write 'x'"),
        ];
        for (kind, starts) in cases {
            let deep = parquet::errors::ParquetError::External(Box::new(io::Error::from(kind)));
            assert!(StoreError::at("write", "x", deep).to_string().starts_with(starts), "{kind}");
        }
    }
}
