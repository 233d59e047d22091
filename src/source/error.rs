//! What can go wrong between an argument and its bytes: finding and opening ([`SourceError`]), reading ([`ReadProblem`]).

use std::fmt;
use std::io;

/// An argument that names nothing to read, or a file that cannot be opened. Each message names the path and the way out.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A path without wildcards that does not exist.
    #[error("'{path}' does not exist: check the spelling, or give a directory, a quoted glob or - for standard input")]
    Missing {
        /// The path as given.
        path: String,
    },
    /// A glob that matches nothing.
    #[error("no file matches '{pattern}': check the spelling, or give the directory to read all that is in it")]
    NoMatch {
        /// The pattern as given.
        pattern: String,
    },
    /// A glob that is not one.
    #[error("'{pattern}' is not a glob: put [ and ] around a set of characters and ** between two slashes")]
    Pattern {
        /// The pattern as given.
        pattern: String,
        /// Where it goes wrong.
        #[source]
        error: glob::PatternError,
    },
    /// A directory, or a glob's matches, without a single log file.
    #[error(
        "'{path}' holds no log files: give the folder above resourceId=, or name the files \
         (dot files, README*, *.md and labels.json are passed over)"
    )]
    NoLogs {
        /// The directory or pattern.
        path: String,
    },
    /// The file system refuses.
    #[error("no permission to read '{path}': grant this user read access, or run as one who has it")]
    Denied {
        /// The file or directory.
        path: String,
    },
    /// A file that was listed and cannot be found any more.
    #[error("'{path}' was there when the run began and is gone: if it was moved, run again on its new place")]
    Vanished {
        /// The file.
        path: String,
    },
    /// Anything else that the operating system says about a path.
    #[error("cannot read '{path}'")]
    Io {
        /// The file or directory, or `-`.
        path: String,
        /// The operating system's reason.
        #[source]
        error: io::Error,
    },
}

impl SourceError {
    /// The error for what the operating system said about a path that was found in a listing.
    pub(super) fn from_io(path: String, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Vanished { path },
            io::ErrorKind::PermissionDenied => Self::Denied { path },
            _ => Self::Io { path, error },
        }
    }
}

/// A compression that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// RFC 1952, any number of members.
    Gzip,
    /// RFC 8878, any number of frames.
    Zstd,
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Codec::Gzip => "gzip",
            Codec::Zstd => "zstd",
        })
    }
}

/// Why reading an opened input stopped before its end. Travels inside the [`io::Error`] that `Read` asks for;
/// [`ReadProblem::of`] finds it again. What came before it has been handed out in full.
#[derive(Debug, thiserror::Error)]
pub enum ReadProblem {
    /// The compressed stream ends in its middle: a copy that broke off, or a writer that is still at it.
    #[error(
        "'{name}' ends in the middle of its {codec} stream, {bytes} decompressed bytes in: \
         what came before was read; copy the file again and run again"
    )]
    Truncated {
        /// The input.
        name: String,
        /// Its compression.
        codec: Codec,
        /// Decompressed bytes that came out.
        bytes: u64,
    },
    /// The compressed stream holds what its format forbids, or its checksum is wrong.
    #[error(
        "'{name}' is damaged: its {codec} stream cannot be decompressed beyond {bytes} bytes; \
         copy the file again and run again"
    )]
    Corrupt {
        /// The input.
        name: String,
        /// Its compression.
        codec: Codec,
        /// Decompressed bytes that came out.
        bytes: u64,
        /// The decompressor's reason.
        #[source]
        error: io::Error,
    },
    /// The input decompresses to far more than logs do.
    #[error(
        "'{name}' looks like a decompression bomb: {raw_bytes} bytes of {codec} became {bytes}, \
         beyond the limit of {limit}; if it is no bomb, decompress it first"
    )]
    Bomb {
        /// The input.
        name: String,
        /// Its compression.
        codec: Codec,
        /// Compressed bytes read.
        raw_bytes: u64,
        /// Decompressed bytes that came out.
        bytes: u64,
        /// The limit in words: `500 times` or `1099511627776 bytes`.
        limit: String,
    },
    /// A zstd frame asks for more memory than is allowed.
    #[error(
        "'{name}' asks for a zstd window above 2^{limit_log} bytes: compress it again with --long={limit_log} or less"
    )]
    Window {
        /// The input.
        name: String,
        /// The limit, a power of two.
        limit_log: u32,
    },
    /// Bytes in a form that is told by its first bytes and is not read.
    #[error("'{name}' is {what}: {way_out}")]
    Unsupported {
        /// The input.
        name: String,
        /// The form.
        what: &'static str,
        /// What to do.
        way_out: &'static str,
    },
    /// The operating system failed in the middle (a share that went away, a disk error).
    #[error("reading '{name}' failed: run again when it can be read")]
    Io {
        /// The input.
        name: String,
        /// The operating system's reason.
        #[source]
        error: io::Error,
    },
}

impl ReadProblem {
    /// The problem inside an error that [`super::Opened`] gave to its reader.
    pub fn of(error: &io::Error) -> Option<&ReadProblem> {
        error.get_ref()?.downcast_ref()
    }

    /// Wraps the problem for `Read`.
    pub(super) fn into_io(self) -> io::Error {
        let kind = match &self {
            ReadProblem::Truncated { .. } => io::ErrorKind::UnexpectedEof,
            ReadProblem::Io { error, .. } => error.kind(),
            _ => io::ErrorKind::InvalidData,
        };
        // `Interrupted` means "try again" to every reader, and this will not get better.
        let kind = if kind == io::ErrorKind::Interrupted { io::ErrorKind::Other } else { kind };
        io::Error::new(kind, self)
    }
}
