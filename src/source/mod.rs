//! Bytes and where they came from: files, directories, globs, standard input; decompression.
//!
//! [`resolve`] turns the arguments of a command into a list of inputs in the archive's order, [`open`] gives the
//! decompressed bytes of one of them. This room knows nothing of JSON, of records or of tables, prints nothing,
//! and holds no more of a file than a few buffers.

mod blob_path;
mod error;
mod inflate;
mod open;
mod resolve;
mod utf16;

use std::path::PathBuf;

pub use blob_path::BlobPath;
pub use error::{Codec, ReadProblem, SourceError};
pub use open::{Opened, open};
pub use resolve::{Inputs, Resolved, resolve};

/// One thing to read: a file or standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// The name to show and to store: the path as reached from the argument, or `-`.
    pub name: String,
    /// Where the bytes are.
    pub kind: InputKind,
    /// What the path says, where it has the form of the archive's blobs.
    pub blob: Option<BlobPath>,
    /// Size on disk in bytes (compressed, if it is); `None` for standard input, pipes and devices.
    pub bytes: Option<u64>,
}

/// Where an input's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputKind {
    /// A file, or anything else that opens like one.
    File(PathBuf),
    /// Standard input.
    Stdin,
}

/// What a compressed input may ask of this machine. Plain input has no such limits: it costs what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most decompressed bytes for each compressed byte, once `ratio_free_bytes` have come out. Default 500:
    /// logs compress 10 to 40 times and deflate cannot exceed 1,032, so a bomb shows itself between the two.
    pub max_ratio: u64,
    /// Decompressed bytes before the ratio is looked at. Default 64 MiB.
    pub ratio_free_bytes: u64,
    /// The most decompressed bytes of one input. Default 1 TiB.
    pub max_decompressed_bytes: u64,
    /// The largest zstd window, as a power of two in bytes: the memory that a frame may ask for. Default 27 (128 MiB),
    /// which is what `zstd --long` writes and the `zstd` tool reads unasked.
    pub zstd_window_log_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_ratio: 500, ratio_free_bytes: 64 << 20, max_decompressed_bytes: 1 << 40, zstd_window_log_max: 27 }
    }
}
