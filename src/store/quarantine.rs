//! The `quarantine` table: what could not be read, with enough to find and repair it.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Field, Schema, SchemaRef};

use super::batch::Keys;
use crate::record::Reject;
use crate::record::schema::Kind::{Bytes, Long, Text, Time};

/// A reject is told by its source, its place and its bytes: the same piece read again is kept once.
pub(super) const KEYS: Keys = Keys { table: "quarantine", id: "reject_id", order: "position" };

/// The Arrow schema of the `quarantine` table.
pub fn quarantine_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let columns = [
            ("source", Text),
            ("position", Long),
            ("reason", Text),
            ("bytes", Bytes),
            ("quarantined_at", Time),
            ("reject_id", Bytes),
        ];
        let fields = columns.map(|(name, kind)| Field::new(name, kind.data_type(), false));
        Arc::new(Schema::new(fields.to_vec()))
    });
    SCHEMA.clone()
}

/// Rejects as rows, quarantined at `at` microseconds since the epoch.
pub(super) fn rows(rejects: &[Reject], at: i64) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rejects.iter().map(|r| &r.source))),
        Arc::new(Int64Array::from_iter_values(rejects.iter().map(position))),
        Arc::new(StringArray::from_iter_values(rejects.iter().map(|r| &r.reason))),
        Arc::new(BinaryArray::from_iter_values(rejects.iter().map(|r| &r.bytes))),
        Arc::new(TimestampMicrosecondArray::from(vec![at; rejects.len()]).with_timezone("UTC")),
        Arc::new(BinaryArray::from_iter_values(rejects.iter().map(identity))),
    ];
    RecordBatch::try_new(quarantine_schema(), columns).expect("columns are built in the order and types of the schema")
}

fn position(reject: &Reject) -> i64 {
    i64::try_from(reject.position).unwrap_or(i64::MAX)
}

fn identity(reject: &Reject) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new_derive_key("kvaudit reject v1");
    hasher.update(&(reject.source.len() as u64).to_le_bytes());
    hasher.update(reject.source.as_bytes());
    hasher.update(&reject.position.to_le_bytes());
    hasher.update(&reject.bytes);
    let hash = *hasher.finalize().as_bytes();
    hash[..16].try_into().expect("32 bytes have 16")
}
