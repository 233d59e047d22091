//! Parquet files of the store's tables: how they are written, and what their statistics say.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use chrono::{DateTime, SecondsFormat};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, LogicalType, ZstdLevel};
use parquet::file::metadata::{KeyValue, ParquetMetaData, RowGroupMetaData, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::file::statistics::Statistics;
use parquet::schema::types::ColumnPath;
use serde_json::{Map, Value, json};

use super::error::StoreError;

/// The most rows of a row group: a piece that statistics can leave out, and that a writer holds in memory.
const ROW_GROUP_ROWS: usize = 128 * 1024;

/// The footer's key under which an `events` file lists its days, as days since the epoch, comma-separated.
pub(super) const DAYS_KEY: &str = "kvaudit.days";

/// Microseconds of a day.
pub(super) const DAY: i64 = 86_400_000_000;

/// A finished file that no commit names yet.
#[derive(Debug)]
pub(super) struct Written {
    /// Name relative to the table.
    pub name: String,
    /// Its footer.
    pub metadata: ParquetMetaData,
}

/// A Parquet file on its way. Dropped before [`Writing::finish`], it removes what it wrote.
pub(super) struct Writing<'a> {
    dir: &'a Path,
    name: String,
    writer: Option<ArrowWriter<File>>,
}

impl<'a> Writing<'a> {
    /// Begins the file `dir`/`name`, which must not be there.
    pub(super) fn begin(
        dir: &'a Path,
        name: String,
        schema: SchemaRef,
        properties: WriterProperties,
    ) -> Result<Writing<'a>, StoreError> {
        let path = dir.join(&name);
        let file = File::create_new(&path).map_err(|e| StoreError::at("write", &path, e))?;
        let mut writing = Writing { dir, name, writer: None };
        // Parquet's own types say all that the Arrow schema would; it costs 8 KiB a file.
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        writing.writer = Some(ArrowWriter::try_new_with_options(file, schema, options).map_err(|e| writing.failed(e))?);
        Ok(writing)
    }

    /// Appends rows.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), StoreError> {
        let writer = self.writer.as_mut().expect("taken by finish alone, which consumes the writing");
        let written = writer.write(batch);
        written.map_err(|e| self.failed(e))
    }

    /// Notes `value` under `key` in the footer.
    pub(super) fn note(&mut self, key: &str, value: String) {
        let writer = self.writer.as_mut().expect("taken by finish alone, which consumes the writing");
        writer.append_key_value_metadata(KeyValue::new(key.to_owned(), value));
    }

    /// Ends the file and waits until it is on the disk: a commit may name it then.
    pub(super) fn finish(mut self) -> Result<Written, StoreError> {
        let mut writer = self.writer.take().expect("finish consumes the writing");
        let ended = writer.finish().and_then(|metadata| {
            writer.inner().sync_all()?;
            Ok(metadata)
        });
        match ended {
            Ok(metadata) => Ok(Written { name: std::mem::take(&mut self.name), metadata }),
            Err(e) => Err(self.failed(e)),
        }
    }

    fn failed(&self, error: parquet::errors::ParquetError) -> StoreError {
        StoreError::at("write", self.dir.join(&self.name), error)
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        if !self.name.is_empty() {
            let _ = std::fs::remove_file(self.dir.join(&self.name));
        }
    }
}

/// Writes one small table whole.
pub(super) fn write_whole(dir: &Path, name: String, batch: &RecordBatch) -> Result<Written, StoreError> {
    let mut writing = Writing::begin(dir, name, batch.schema(), plain_properties())?;
    writing.write(batch)?;
    writing.finish()
}

fn zstd() -> Compression {
    // Level 1 is within a percent of 3 on these records and much cheaper.
    Compression::ZSTD(ZstdLevel::try_new(1).expect("1 is a level of zstd"))
}

fn base() -> WriterPropertiesBuilder {
    WriterProperties::builder()
        .set_created_by(concat!("kvaudit ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(zstd())
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
}

/// How every table but `events` is written.
pub(super) fn plain_properties() -> WriterProperties {
    base().set_statistics_enabled(EnabledStatistics::Chunk).build()
}

/// Columns of `events` with a text in most rows, of which every file holds nearly all there are: their bounds leave out
/// nothing, and finding them compares every value. What is rare keeps its statistics, as `IS NOT NULL` prunes by them.
const WITHOUT_STATISTICS: &[&str] = &[
    "event_id",
    "category",
    "operation_class",
    "object_type",
    "object_version",
    "resource_id",
    "subscription_id",
    "resource_group",
    "result_signature",
    "principal_type",
    "principal_name",
    "app_id",
    "object_id",
    "client_info",
    "client_product",
    "request_uri",
    "correlation_id",
    "tls_version",
    "address_authorization_type",
    "applied_assignment_id",
    "extra",
    "source",
];

/// How `events` is written: cheap where nobody looks, exact where investigations do.
pub(super) fn event_properties() -> WriterProperties {
    static PROPERTIES: LazyLock<WriterProperties> = LazyLock::new(|| {
        let mut builder = base()
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_sorting_columns(Some(vec![SortingColumn { column_idx: 0, descending: false, nulls_first: false }]))
            .set_column_statistics_enabled(column("time"), EnabledStatistics::Page)
            .set_column_compression(column("event_id"), Compression::UNCOMPRESSED);
        for name in WITHOUT_STATISTICS {
            builder = builder.set_column_statistics_enabled(column(name), EnabledStatistics::None);
        }
        for (name, encoding) in [
            ("time", Encoding::DELTA_BINARY_PACKED),
            ("event_id", Encoding::DELTA_LENGTH_BYTE_ARRAY),
            ("correlation_id", Encoding::DELTA_LENGTH_BYTE_ARRAY),
        ] {
            builder =
                builder.set_column_dictionary_enabled(column(name), false).set_column_encoding(column(name), encoding);
        }
        for (name, distinct) in
            [("principal_id", 4_096), ("object_name", 16_384), ("caller_ip", 16_384), ("correlation_id", 131_072)]
        {
            builder = builder
                .set_column_bloom_filter_enabled(column(name), true)
                .set_column_bloom_filter_max_ndv(column(name), distinct)
                .set_column_bloom_filter_fpp(column(name), 0.03);
        }
        builder.build()
    });
    PROPERTIES.clone()
}

fn column(name: &str) -> ColumnPath {
    ColumnPath::new(vec![name.to_owned()])
}

/// The range of an integer or time column in a row group; the widest one where its statistics are missing.
pub(super) fn group_range(group: &RowGroupMetaData, name: &str) -> (i64, i64) {
    group
        .columns()
        .iter()
        .find(|c| c.column_path().string() == name)
        .and_then(|c| match c.statistics() {
            Some(Statistics::Int64(s)) => Some((*s.min_opt()?, *s.max_opt()?)),
            _ => None,
        })
        .unwrap_or((i64::MIN, i64::MAX))
}

/// The days that an `events` file says it holds rows of, in days since the epoch.
pub(super) fn noted_days(metadata: &ParquetMetaData) -> Option<BTreeSet<i64>> {
    let notes = metadata.file_metadata().key_value_metadata()?;
    let days = notes.iter().find(|note| note.key == DAYS_KEY)?.value.as_deref()?;
    days.split(',').map(|day| day.parse().ok()).collect()
}

/// Delta's statistics of a file: rows, and bounds and nulls of its first `indexed` columns.
///
/// A bound that Parquet cut short is left out: engines answer `min` and `max` from these.
pub(super) fn indexed_statistics(metadata: &ParquetMetaData, indexed: usize) -> Value {
    let (mut min, mut max, mut nulls) = (Map::new(), Map::new(), Map::new());
    let leaves = metadata.file_metadata().schema_descr().num_columns().min(indexed);
    for leaf in 0..leaves {
        let chunks: Vec<_> = metadata.row_groups().iter().map(|group| group.column(leaf)).collect();
        let Some(first) = chunks.first() else { continue };
        let name = first.column_path().string();
        let statistics: Vec<&Statistics> = chunks.iter().filter_map(|c| c.statistics()).collect();
        if statistics.len() < chunks.len() {
            continue;
        }
        if let Some(count) = statistics.iter().map(|s| s.null_count_opt()).sum::<Option<u64>>() {
            nulls.insert(name.clone(), json!(count));
        }
        if let Some((low, high)) = bounds(&statistics, first.column_descr().logical_type_ref()) {
            min.insert(name.clone(), low);
            max.insert(name, high);
        }
    }
    let rows = metadata.file_metadata().num_rows();
    json!({ "numRecords": rows, "minValues": min, "maxValues": max, "nullCount": nulls })
}

/// Smallest and largest value over row groups, as JSON; none where one of them is not known exactly.
fn bounds(statistics: &[&Statistics], logical: Option<&LogicalType>) -> Option<(Value, Value)> {
    let mut numbers: Option<(i64, i64)> = None;
    let mut texts: Option<(&str, &str)> = None;
    for s in statistics.iter().filter(|s| s.min_bytes_opt().is_some()) {
        match s {
            Statistics::Int32(s) => widen(&mut numbers, i64::from(*s.min_opt()?), i64::from(*s.max_opt()?)),
            Statistics::Int64(s) => widen(&mut numbers, *s.min_opt()?, *s.max_opt()?),
            Statistics::ByteArray(s) if matches!(logical, Some(LogicalType::String)) => {
                if !(s.min_is_exact() && s.max_is_exact()) {
                    return None;
                }
                widen(&mut texts, s.min_opt()?.as_utf8().ok()?, s.max_opt()?.as_utf8().ok()?);
            }
            _ => return None,
        }
    }
    if let Some((low, high)) = texts {
        return Some((json!(low), json!(high)));
    }
    let (low, high) = numbers?;
    if matches!(logical, Some(LogicalType::Timestamp { .. })) {
        return Some((json!(moment(low)?), json!(moment(high)?)));
    }
    Some((json!(low), json!(high)))
}

fn widen<T: Ord + Copy>(range: &mut Option<(T, T)>, low: T, high: T) {
    *range = Some(range.map_or((low, high), |(a, b)| (a.min(low), b.max(high))));
}

/// Text of a time, to the microsecond: cut to milliseconds it would no longer bound.
fn moment(micros: i64) -> Option<String> {
    Some(DateTime::from_timestamp_micros(micros)?.to_rfc3339_opts(SecondsFormat::Micros, true))
}

/// A name that no other file has.
pub(super) fn fresh_name(prefix: &str) -> String {
    format!("{prefix}-{}.parquet", uuid::Uuid::new_v4())
}

/// Fails where a batch's columns are not the table's, by name and type. Texts may be dictionaries: in a file they are
/// plain text all the same.
pub(super) fn check_schema(table: &'static str, expected: &SchemaRef, batch: &RecordBatch) -> Result<(), StoreError> {
    let found = batch.schema();
    if Arc::ptr_eq(&found, expected) || found.fields().len() == expected.fields().len() && same(&found, expected) {
        return Ok(());
    }
    let pairs = expected.fields().iter().zip(found.fields());
    let reason = pairs
        .filter(|(e, f)| e.name() != f.name() || e.data_type() != stored(f.data_type()))
        .map(|(e, f)| format!("'{}' {} where '{}' {} belongs", f.name(), f.data_type(), e.name(), e.data_type()))
        .next();
    let count = || format!("it has {} columns of {}", found.fields().len(), expected.fields().len());
    Err(StoreError::Schema { table, reason: reason.unwrap_or_else(count) })
}

fn same(a: &SchemaRef, b: &SchemaRef) -> bool {
    b.fields().iter().zip(a.fields()).all(|(a, b)| a.name() == b.name() && a.data_type() == stored(b.data_type()))
}

/// The type that a column has in a file.
fn stored(kind: &DataType) -> &DataType {
    match kind {
        DataType::Dictionary(_, value) => value,
        other => other,
    }
}
