//! One event: the shapes of Key Vault's records in, Arrow batches of one schema out.
//!
//! Knows no source and no table. `frame` cuts a byte stream into whole records, `decode` turns
//! records into rows of [`schema::events`]. What cannot be read leaves as a [`Reject`]; nothing panics.

mod absent;
mod activity;
mod address;
mod ahead;
mod batch;
mod caller;
mod capture;
mod client;
mod columnar;
mod columns;
mod completeness;
pub mod container;
mod damage;
pub mod decode;
mod event;
mod export;
mod extra;
mod fields;
mod form;
pub mod frame;
mod grant;
mod identity;
mod memo;
mod names;
mod object;
mod ocf;
mod operation;
mod outcome;
mod policy;
mod raw;
mod said;
mod scan;
pub mod schema;
mod tally;
mod time;
mod trail;
mod wrapper;

pub use ahead::Ahead;
pub use columns::columns;
pub use completeness::Completeness;
pub use form::{Form, Refusal};
pub use operation::{Operation, operations};
pub use tally::{Skipped, Tally};
pub use time::dates::{Dates, Evidence, Order, Zone};

/// A piece of input that is no event: goes to the `quarantine` table, with enough to find and repair it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Where it came from: a path or `-`.
    pub source: String,
    /// Offset in the decompressed input, bytes from its start.
    pub position: u64,
    /// What is wrong and what to do, one sentence.
    pub reason: String,
    /// The offending bytes, cut to [`REJECT_BYTES`].
    pub bytes: Vec<u8>,
}

/// The most bytes of a rejected record that are kept.
pub const REJECT_BYTES: usize = 64 * 1024;
