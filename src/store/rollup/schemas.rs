//! The columns of the roll-ups. docs/contracts.md carries these lists.

use arrow::datatypes::{Field, Schema, SchemaRef};

use crate::record::schema::Kind::{self, Long, Text, Time};

/// Name, type, and whether it may be null.
type Columns = &'static [(&'static str, Kind, bool)];

/// One row an hour, vault, caller, operation and outcome.
///
/// `distinct_objects` counts pairs of object type and name. `peak_10min` and `peak_10s` are the calls of the busiest
/// ten minutes and ten seconds, both cut by the clock (`:00`, `:10`, …): a burst across such an edge counts in two
/// parts, so the true busiest stretch may be up to twice as busy. `duration_sum_ms` and `duration_max_ms` leave out
/// calls without a duration and are null where none has one.
const ACTIVITY: Columns = &[
    ("hour", Time, false),
    ("vault_name", Text, true),
    ("principal_id", Text, true),
    ("principal_type", Text, true),
    ("principal_name", Text, true),
    ("operation_name", Text, true),
    ("operation_class", Text, true),
    ("outcome", Text, true),
    ("calls", Long, false),
    ("distinct_objects", Long, false),
    ("peak_10min", Long, false),
    ("peak_10s", Long, false),
    ("duration_sum_ms", Long, true),
    ("duration_max_ms", Long, true),
    ("first_time", Time, false),
    ("last_time", Time, false),
];

/// One row a day, caller, vault and thing that the caller was seen with.
///
/// `kind` is `object` (`value` is vault/type/name), `address` (caller_ip), `client` (client_product) or `vault`.
/// A null caller is the anonymous one.
const SIGHTINGS: Columns = &[
    ("day", Time, false),
    ("principal_id", Text, true),
    ("kind", Text, false),
    ("value", Text, false),
    ("vault_name", Text, true),
    ("calls", Long, false),
    ("successes", Long, false),
    ("first_time", Time, false),
    ("last_time", Time, false),
];

/// One row an hour, vault and log category: "no calls" and "no logs" differ.
const COVERAGE: Columns = &[
    ("hour", Time, false),
    ("vault_name", Text, true),
    ("category", Text, true),
    ("records", Long, false),
    ("first_time", Time, false),
    ("last_time", Time, false),
];

fn schema(columns: Columns) -> SchemaRef {
    let fields = columns.iter().map(|(name, kind, nullable)| Field::new(*name, kind.data_type(), *nullable));
    SchemaRef::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The Arrow schema of `activity`.
pub fn activity() -> SchemaRef {
    schema(ACTIVITY)
}

/// The Arrow schema of `sightings`.
pub fn sightings() -> SchemaRef {
    schema(SIGHTINGS)
}

/// The Arrow schema of `coverage`.
pub fn coverage() -> SchemaRef {
    schema(COVERAGE)
}
