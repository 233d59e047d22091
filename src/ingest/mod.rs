//! The loop that joins source, record and store: bytes in order to whole records, records on all cores
//! to batches, batches in order to atomic commits. It keeps the counts and never prints.
//!
//! ```text
//! reader thread ──works──> decoders (one a core) ──batches──> collector ──append──> store
//! ```
//!
//! Every channel is bounded, so memory does not grow with the input: when the store is slow, the reader waits.

mod dates;
mod missing;
mod pipeline;
mod reading;
mod remarks;
mod work;

use std::collections::BTreeMap;

use serde::Serialize;

pub use pipeline::{Progress, ingest};

use crate::record::Ahead;
use crate::record::Dates;
use crate::record::frame::FrameLimits;
use crate::source::Limits as SourceLimits;

/// Rows that are gathered into one commit. More rows are fewer and better files, and more memory: while one batch is
/// written the next is gathered, at 1.2 KiB a row.
const BATCH_ROWS: usize = 65_536;

/// What an ingest may be told.
#[derive(Debug, Clone)]
pub struct Options {
    /// Limits on what a source may yield.
    pub source: SourceLimits,
    /// Limits on a record.
    pub frame: FrameLimits,
    /// Rows of one commit.
    pub batch_rows: usize,
    /// How the inputs write their dates, where the user says so.
    pub dates: Dates,
    /// Arrival of the records, microseconds: `ingested_at`, and what "in the future" means.
    pub arrived: i64,
}

impl Options {
    /// The defaults, for records that arrive at `arrived`.
    pub fn new(arrived: i64) -> Self {
        Self {
            source: SourceLimits::default(),
            frame: FrameLimits::default(),
            batch_rows: BATCH_ROWS,
            dates: Dates::default(),
            arrived,
        }
    }
}

/// What an ingest did; its JSON is a contract. `records_read = events_written + duplicates + skipped + quarantined`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Report {
    /// Records that were read whole.
    pub records_read: u64,
    /// Records that the store did not hold before.
    pub events_written: u64,
    /// Records that it held, or that came twice.
    pub duplicates: u64,
    /// Records of other services.
    pub skipped: u64,
    /// Pieces that are no event, kept in `quarantine`.
    pub quarantined: u64,
    /// Tails that are no whole record: they wait for the rest.
    pub incomplete: u64,
    /// Requests, new or known, that say neither by a status code nor by a text how they ended.
    pub without_status: u64,
    /// Requests other than challenges, new or known, that do not say who called.
    pub without_caller: u64,
    /// What the inputs were read as: the form's name, with the encoding where it is not UTF-8, and how many came in it.
    /// Inputs that were refused or could not be opened are in none.
    pub forms: BTreeMap<String, u64>,
    /// Bytes read from files, before decompression.
    pub bytes_read: u64,
    /// Wall time.
    pub seconds: f64,
    /// Sources that were not read to their end, and why; a sentence each, the first hundred in full.
    #[serde(skip)]
    pub problems: Vec<String>,
    /// Remarks that are no failure, for instance an incomplete tail, or an input of which nothing was of use; a sentence
    /// each, the first of a kind in full.
    #[serde(skip)]
    pub remarks: Vec<String>,
    /// Of the quarantined, records that are dated more than a day after their arrival.
    #[serde(skip)]
    pub ahead: Ahead,
}

/// Why an ingest stopped.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The store refused.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    /// A worker thread ended early.
    #[error(
        "a decoding thread stopped unexpectedly: nothing of the unfinished batch was written; run the same command again, and report this as a bug if it recurs"
    )]
    Worker,
}

/// An ingest that stopped, with what it had done: that stands in the store.
#[derive(Debug)]
pub struct Stopped {
    /// Why.
    pub error: IngestError,
    /// The counts of what was committed before.
    pub report: Report,
}
