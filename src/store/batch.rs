//! Rows on their way into a keyed table: repeats within them dropped, the rest in order, written as Parquet files.
//!
//! A keyed table has a column of 16-byte identities and an ordering column (`event_id` and `time` of events,
//! `reject_id` and `position` of quarantine). Rows are told by their place in the whole input.

use std::hash::{BuildHasherDefault, Hasher};
use std::path::Path;

use arrow::array::{Array, AsArray, BinaryArray, RecordBatch};
use arrow::compute::{cast, interleave_record_batch};
use arrow::datatypes::{Int64Type, SchemaRef, TimestampMicrosecondType};
use arrow::error::ArrowError;
use datafusion::common::HashMap;
use parquet::file::properties::WriterProperties;

use super::error::StoreError;
use super::file::{DAY, DAYS_KEY, Writing, Written, check_schema, fresh_name};
use super::table::{Range, discard};

/// The identity of a row.
pub(super) type Id = [u8; 16];

/// Identities are hashes already: eight of their bytes are as good as any hash of them.
#[derive(Default)]
pub(super) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Arrays write their length first and then themselves; what is not eight bytes long is mixed in.
        if let Some(Ok(tail)) = bytes.get(8..16).map(<[u8; 8]>::try_from) {
            self.0 = u64::from_le_bytes(tail);
        } else {
            self.0 = bytes.iter().fold(self.0, |h, b| h.rotate_left(8) ^ u64::from(*b));
        }
    }

    fn write_usize(&mut self, _: usize) {}
}

/// Identities that are wanted, each with its row.
pub(super) type Wanted = HashMap<Id, u32, BuildHasherDefault<IdHasher>>;

/// What a keyed table is ordered and told apart by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keys {
    /// The table.
    pub table: &'static str,
    /// Column of 16 bytes that tells rows apart.
    pub id: &'static str,
    /// Column of 64-bit numbers or times that orders them.
    pub order: &'static str,
}

/// Rows of one append, without repeats among themselves.
pub(super) struct Incoming {
    keys: Keys,
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    /// Value of the ordering column of every row of the input.
    order: Vec<i64>,
    /// Rows that are to be written, in order.
    kept: Vec<u32>,
    /// Rows that repeat another of the input or of the store.
    pub duplicates: u64,
    /// Identities of the kept rows that nobody has found in the store.
    pub wanted: Wanted,
}

impl Incoming {
    /// Checks and orders the rows of `batches`; of repeats the first is kept.
    pub(super) fn new(keys: Keys, schema: &SchemaRef, batches: Vec<RecordBatch>) -> Result<Incoming, StoreError> {
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        if u32::try_from(rows).is_err() {
            let reason = format!("{rows} rows in one append are more than 4 billion");
            return Err(StoreError::Schema { table: keys.table, reason });
        }
        let mut order = Vec::with_capacity(rows);
        let mut kept = Vec::with_capacity(rows);
        let mut wanted = Wanted::with_capacity_and_hasher(rows, BuildHasherDefault::default());
        for batch in &batches {
            check_schema(keys.table, schema, batch)?;
            let ids = batch.column_by_name(keys.id).and_then(|c| c.as_binary_opt::<i32>());
            let first = order.len();
            order.extend_from_slice(numbers(keys, batch)?);
            for row in 0..batch.num_rows() {
                let flat = u32::try_from(first + row).expect("the sum of rows fits");
                let id = ids.and_then(|ids| id_at(ids, row)).ok_or_else(|| StoreError::Schema {
                    table: keys.table,
                    reason: format!("'{}' of row {row} is not 16 bytes", keys.id),
                })?;
                if wanted.try_insert(id, flat).is_ok() {
                    kept.push(flat);
                }
            }
        }
        let duplicates = (rows - kept.len()) as u64;
        kept.sort_by_key(|row| order[*row as usize]);
        let (schema, batches) = alike(keys, schema, batches)?;
        Ok(Incoming { keys, schema, batches, order, kept, duplicates, wanted })
    }

    /// Smallest and largest ordering value of the rows to write; none where no row is left.
    pub(super) fn range(&self) -> Option<Range> {
        Some((self.order[*self.kept.first()? as usize], self.order[*self.kept.last()? as usize]))
    }

    /// Rows to write.
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// Drops the rows that are wanted no more; true where there were any.
    pub(super) fn drop_found(&mut self) -> bool {
        let before = self.kept.len();
        if self.wanted.len() < before {
            let mut still = vec![false; self.order.len()];
            self.wanted.values().for_each(|row| still[*row as usize] = true);
            self.kept.retain(|row| still[*row as usize]);
        }
        self.duplicates += (before - self.kept.len()) as u64;
        self.kept.len() < before
    }

    /// Writes the rows to files in `dir`, one a core where they are many, each a piece of the order.
    pub(super) fn write(
        &self,
        dir: &Path,
        properties: &WriterProperties,
        cores: usize,
    ) -> Result<Vec<Written>, StoreError> {
        /// Fewer rows than this are not worth a file of their own.
        const ROWS_OF_A_FILE: usize = 50_000;
        let parts = (self.kept.len() / ROWS_OF_A_FILE).clamp(1, cores.max(1));
        let pieces: Vec<&[u32]> = self.kept.chunks(self.kept.len().div_ceil(parts).max(1)).collect();
        let starts = self.starts();
        let write = |piece: &[u32]| self.write_piece(dir, properties.clone(), piece, &starts);
        let results: Vec<Result<Written, StoreError>> = std::thread::scope(|scope| {
            let (last, others) = pieces.split_last().expect("rows are written only where there are some");
            let write = &write;
            let threads: Vec<_> = others.iter().map(|piece| scope.spawn(move || write(piece))).collect();
            let here = write(last);
            let joined =
                threads.into_iter().map(|t| t.join().unwrap_or(Err(StoreError::Worker { action: "write a file" })));
            joined.chain([here]).collect()
        });
        let (mut written, mut failure) = (Vec::new(), None);
        for result in results {
            match result {
                Ok(file) => written.push(file),
                Err(e) => failure = Some(e),
            }
        }
        match failure {
            None => Ok(written),
            Some(e) => {
                discard(dir, &written);
                Err(e)
            }
        }
    }

    /// First row of every batch, and the end.
    fn starts(&self) -> Vec<u32> {
        let ends = self.batches.iter().scan(0u32, |at, batch| {
            *at += u32::try_from(batch.num_rows()).expect("checked when the rows came in");
            Some(*at)
        });
        [0].into_iter().chain(ends).collect()
    }

    fn write_piece(
        &self,
        dir: &Path,
        properties: WriterProperties,
        rows: &[u32],
        starts: &[u32],
    ) -> Result<Written, StoreError> {
        let mut writing = Writing::begin(dir, fresh_name("part"), self.schema.clone(), properties)?;
        let mut loose: Vec<(usize, usize)> = Vec::new();
        let gathered = self.gathered();
        for run in (Runs { rows, starts }) {
            // Rows that stand together already are passed on as they are; others are gathered.
            if run.len >= LONG_RUN {
                self.write_loose(&mut writing, &mut loose)?;
                writing.write(&self.batches[run.batch].slice(run.row, run.len))?;
            } else {
                loose.extend((run.row..run.row + run.len).map(|row| (run.batch, row)));
                if loose.len() >= gathered {
                    self.write_loose(&mut writing, &mut loose)?;
                }
            }
        }
        self.write_loose(&mut writing, &mut loose)?;
        if self.keys.order == "time" {
            writing.note(DAYS_KEY, self.days(rows));
        }
        writing.finish()
    }

    /// Rows to gather at a time: fewer where they are large, since they are copied.
    fn gathered(&self) -> usize {
        let bytes: usize = self.batches.iter().map(RecordBatch::get_array_memory_size).sum();
        let row = bytes / self.order.len().max(1);
        (GATHERED_BYTES / row.max(1)).clamp(256, GATHERED)
    }

    fn write_loose(&self, writing: &mut Writing<'_>, loose: &mut Vec<(usize, usize)>) -> Result<(), StoreError> {
        if loose.is_empty() {
            return Ok(());
        }
        let batches: Vec<&RecordBatch> = self.batches.iter().collect();
        let gathered = interleave_record_batch(&batches, loose)
            .map_err(|e| StoreError::Schema { table: self.keys.table, reason: e.to_string() })?;
        loose.clear();
        writing.write(&gathered)
    }

    /// The days of ordered rows, for the footer.
    fn days(&self, rows: &[u32]) -> String {
        let mut days: Vec<i64> = rows.iter().map(|row| self.order[*row as usize].div_euclid(DAY)).collect();
        days.dedup();
        days.iter().map(i64::to_string).collect::<Vec<_>>().join(",")
    }
}

/// Batches of one schema: theirs, where they agree, else the table's.
fn alike(
    keys: Keys,
    table: &SchemaRef,
    batches: Vec<RecordBatch>,
) -> Result<(SchemaRef, Vec<RecordBatch>), StoreError> {
    let Some(first) = batches.first().map(RecordBatch::schema) else { return Ok((table.clone(), batches)) };
    if batches.iter().all(|batch| batch.schema() == first) {
        return Ok((first, batches));
    }
    let plain = |batch: RecordBatch| {
        let columns = batch.columns().iter().zip(table.fields()).map(|(column, field)| cast(column, field.data_type()));
        RecordBatch::try_new(table.clone(), columns.collect::<Result<_, _>>()?)
    };
    let failed = |e: ArrowError| StoreError::Schema { table: keys.table, reason: e.to_string() };
    let batches = batches.into_iter().map(plain).collect::<Result<_, _>>().map_err(failed)?;
    Ok((table.clone(), batches))
}

/// Rows at least this many in a row are written as they stand.
const LONG_RUN: usize = 2_048;

/// Rows gathered before they are written: the dictionaries of all batches are joined once for them.
const GATHERED: usize = 32 * 1024;

/// About as many bytes, where rows are large.
const GATHERED_BYTES: usize = 48 * 1024 * 1024;

/// A stretch of rows that follow each other in one batch.
struct Run {
    batch: usize,
    row: usize,
    len: usize,
}

/// Cuts a list of rows into runs.
struct Runs<'a> {
    rows: &'a [u32],
    starts: &'a [u32],
}

impl Iterator for Runs<'_> {
    type Item = Run;

    fn next(&mut self) -> Option<Run> {
        let first = *self.rows.first()?;
        // Empty batches share a start with the one after them: the last start that is not past the row counts.
        let batch = self.starts.partition_point(|start| *start <= first) - 1;
        let end = self.starts[batch + 1];
        let len = self.rows.iter().zip(first..end).take_while(|(row, expected)| **row == *expected).count();
        self.rows = &self.rows[len..];
        Some(Run { batch, row: (first - self.starts[batch]) as usize, len })
    }
}

/// The ordering column's values.
fn numbers(keys: Keys, batch: &RecordBatch) -> Result<&[i64], StoreError> {
    let column = batch.column_by_name(keys.order).filter(|c| c.null_count() == 0);
    let values = column.and_then(|c| {
        let times = c.as_primitive_opt::<TimestampMicrosecondType>().map(|a| &a.values()[..]);
        times.or_else(|| c.as_primitive_opt::<Int64Type>().map(|a| &a.values()[..]))
    });
    values.ok_or_else(|| StoreError::Schema { table: keys.table, reason: format!("'{}' has nulls", keys.order) })
}

/// The identity in a row; none where it is null or of another length.
pub(super) fn id_at(ids: &BinaryArray, row: usize) -> Option<Id> {
    if ids.is_null(row) { None } else { ids.value(row).try_into().ok() }
}
