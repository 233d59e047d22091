//! What a user of the store could notice, on small batches.

mod append;
mod rollups;
mod sql;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BinaryArray, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, new_null_array,
};
use arrow::datatypes::Int64Type;

use super::{Access, QueryLimits, Store};
use crate::record::schema::{self, COLUMNS, Kind};

/// 2025-11-01T00:00:00Z in microseconds.
const START: i64 = 1_761_955_200_000_000;
const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3600 * SECOND;
const DAY: i64 = 24 * HOUR;

/// An event with what the store looks at; `id` makes its identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Event {
    id: u64,
    time: i64,
    vault: Option<&'static str>,
    caller: Option<&'static str>,
    operation: &'static str,
    outcome: &'static str,
    object: Option<&'static str>,
    address: Option<&'static str>,
    duration: Option<i64>,
}

/// A plain read of a secret, `id` seconds after the start.
fn event(id: u64) -> Event {
    Event {
        id,
        time: START + i64::try_from(id).unwrap() * SECOND,
        vault: Some("kv-a"),
        caller: Some("caller-1"),
        operation: "SecretGet",
        outcome: "success",
        object: Some("db-password"),
        address: Some("10.0.0.1"),
        duration: Some(7),
    }
}

fn batch(events: &[Event]) -> RecordBatch {
    let text = |pick: &dyn Fn(&Event) -> Option<&'static str>| -> ArrayRef {
        Arc::new(events.iter().map(pick).collect::<StringArray>())
    };
    let columns = COLUMNS.iter().map(|column| -> ArrayRef {
        match column.name {
            "time" => Arc::new(
                TimestampMicrosecondArray::from_iter_values(events.iter().map(|e| e.time)).with_timezone("UTC"),
            ),
            "event_id" => Arc::new(BinaryArray::from_iter_values(events.iter().map(|e| identity(e.id)))),
            "vault_name" => text(&|e| e.vault),
            "principal_id" => text(&|e| e.caller),
            "operation_name" => text(&|e| Some(e.operation)),
            "outcome" => text(&|e| Some(e.outcome)),
            "object_type" => text(&|e| e.object.map(|_| "secret")),
            "object_name" => text(&|e| e.object),
            "caller_ip" => text(&|e| e.address),
            "category" => text(&|_| Some("AuditEvent")),
            "duration_ms" => Arc::new(events.iter().map(|e| e.duration).collect::<Int64Array>()),
            _ => match column.kind {
                Kind::Int => Arc::new(Int32Array::new_null(events.len())),
                Kind::Bool => Arc::new(BooleanArray::new_null(events.len())),
                kind => new_null_array(&kind.data_type(), events.len()),
            },
        }
    });
    RecordBatch::try_new(schema::events(), columns.collect()).unwrap()
}

/// 16 bytes that are spread like a hash's.
fn identity(id: u64) -> [u8; 16] {
    blake3::hash(&id.to_le_bytes()).as_bytes()[..16].try_into().unwrap()
}

async fn fresh() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Access::Create).await.unwrap();
    (dir, store)
}

async fn rows(store: &Store, sql: &str) -> Vec<RecordBatch> {
    store.query(sql, QueryLimits::default()).await.unwrap().collect().await.unwrap()
}

/// The one number that a query yields.
async fn number(store: &Store, sql: &str) -> i64 {
    let batches = rows(store, sql).await;
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 1, "{sql}");
    batches.iter().find(|b| b.num_rows() == 1).unwrap().column(0).as_primitive::<Int64Type>().value(0)
}

/// The identities in `events`; a repeat fails.
async fn stored(store: &Store) -> BTreeSet<Vec<u8>> {
    let mut ids = BTreeSet::new();
    for batch in rows(store, "SELECT event_id FROM events").await {
        for id in batch.column(0).as_binary::<i32>().iter() {
            assert!(ids.insert(id.unwrap().to_vec()), "an event is stored twice");
        }
    }
    ids
}

fn ids(numbers: impl IntoIterator<Item = u64>) -> BTreeSet<Vec<u8>> {
    numbers.into_iter().map(|n| identity(n).to_vec()).collect()
}

/// A small generator of numbers: the same seed gives the same run.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}
