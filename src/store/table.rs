//! One Delta table of the store: made once, read at a pinned version, changed by whole commits at an exact version.
//! Knows what every table has in common and nothing about what is in one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use arrow::datatypes::SchemaRef;
use chrono::DateTime;
use deltalake::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake::kernel::transaction::{CommitBuilder, CommitProperties, TableReference, TransactionError};
use deltalake::kernel::{Action, Add, LogicalFileView, Remove, StructField, StructType, Transaction, Version};
use deltalake::logstore::CommitOrBytes;
use deltalake::protocol::{DeltaOperation, SaveMode};
use deltalake::{DeltaTable, DeltaTableBuilder, DeltaTableError};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{FileReader, SerializedFileReader};
use tokio::sync::Mutex;

use super::error::{StoreError, blocking};
use super::file::{Written, group_range, indexed_statistics};
use super::log::{self, Flaw};

/// What tells one table of the store from another.
#[derive(Debug)]
pub(super) struct Spec {
    /// Its name in SQL and its directory in the store.
    pub name: &'static str,
    /// Its columns.
    pub schema: SchemaRef,
    /// How many of the first columns have file statistics in the log.
    pub indexed: usize,
}

/// A table on disk. The state that was last seen is kept, so that a refresh reads only newer commits.
#[derive(Debug)]
pub(super) struct Table {
    pub spec: Spec,
    pub dir: PathBuf,
    seen: Mutex<DeltaTable>,
}

/// What became of a commit.
pub(super) enum Outcome {
    /// It stands.
    Done,
    /// Somebody else made that version first: look again.
    Overtaken,
}

/// A checkpoint of the log is written at every version that is a multiple of this.
const CHECKPOINT_EVERY: Version = if cfg!(test) { 5 } else { 50 };

impl Table {
    /// Opens the table below `store`, after making it where it is not there yet.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] where a file that readers need is not there or not whole.
    pub(super) async fn open(store: &Path, spec: Spec) -> Result<Table, StoreError> {
        let dir = store.join(spec.name);
        let url = url::Url::from_directory_path(&dir)
            .map_err(|()| StoreError::at("open the table", &dir, "its path is no URL"))?;
        let looked = dir.clone();
        if !blocking("look for the table", move || log::is_made(&looked)).await? {
            let looked = dir.clone();
            if let Some(flaw) = blocking("look for the table's files", move || Ok(log::lost(&looked))).await? {
                return Err(damaged(&spec, flaw));
            }
            create(&dir, url.clone(), &spec).await?;
        }
        let checked = dir.clone();
        if let Some(flaw) = blocking("check the table", move || log::check(&checked)).await? {
            return Err(damaged(&spec, flaw));
        }
        let table = deltalake::open_table(url).await.map_err(|e| StoreError::at("open the table", &dir, e))?;
        let named = files(&table, &dir, "");
        if let Some(flaw) = blocking("check the table", move || Ok(log::check_files(&named))).await? {
            return Err(damaged(&spec, flaw));
        }
        Ok(Table { spec, seen: Mutex::new(table), dir })
    }

    /// The table at its newest version.
    pub(super) async fn latest(&self) -> Result<DeltaTable, StoreError> {
        let mut seen = self.seen.lock().await;
        seen.update_incremental(None).await.map_err(|e| self.failed("read the table", e))?;
        Ok(seen.clone())
    }

    /// Commits `actions` as the version right after `base`, or not at all.
    ///
    /// Delta takes two appends for no conflict; here each rests on what the other may have written. So nothing is
    /// rebased: no retries are allowed, and the application transaction makes other writers that rebase stop too.
    pub(super) async fn commit(
        &self,
        base: &DeltaTable,
        actions: Vec<Action>,
        transaction: Transaction,
    ) -> Result<Outcome, StoreError> {
        let state = base.snapshot().map_err(|e| self.failed("commit to the table", e))?;
        let version = base.version().unwrap_or(0) + 1;
        // The commit's own line and the transaction's come on top.
        let lines = [(log::LINES_KEY.to_owned(), (actions.len() + 2).into())];
        let properties = CommitProperties::default().with_metadata(lines).with_application_transaction(transaction);
        let operation = DeltaOperation::Write { mode: SaveMode::Append, partition_by: None, predicate: None };
        let prepared = CommitBuilder::from(properties)
            .with_actions(actions)
            .build(Some(state as &dyn TableReference), base.log_store(), operation)
            .into_prepared_commit_future()
            .await
            .map_err(|e| self.failed("commit to the table", e))?;
        // Delta's own store of a local log does not wait for the disk: so the commit is put in its place here.
        let bytes = match prepared.commit_or_bytes() {
            CommitOrBytes::LogBytes(bytes) => bytes.to_vec(),
            CommitOrBytes::TmpCommit(_) => {
                return Err(StoreError::at("commit to the table", &self.dir, "its log is not on a local disk"));
            }
        };
        drop(prepared);
        let dir = self.dir.clone();
        if !blocking("commit to the table", move || log::place(&dir, version, &bytes)).await? {
            return Ok(Outcome::Overtaken);
        }
        let mut table = base.clone();
        table.update_incremental(Some(version)).await.map_err(|e| self.failed("read the table", e))?;
        self.maintain(&table).await;
        let mut seen = self.seen.lock().await;
        if seen.version() < table.version() {
            *seen = table;
        }
        Ok(Outcome::Done)
    }

    /// Checkpoints the log now and then. The commit stands already: a failure here costs later readers time only.
    async fn maintain(&self, table: &DeltaTable) {
        let Some(version) = table.version().filter(|v| *v > 0 && v.is_multiple_of(CHECKPOINT_EVERY)) else { return };
        let made = deltalake::checkpoints::create_checkpoint(table, None).await;
        let dir = self.dir.clone();
        let synced = blocking("write a checkpoint", move || {
            log::sync_version(&dir, version).map_err(|e| StoreError::at("write a checkpoint to", &dir, e))
        });
        let problem = match made {
            Ok(()) => synced.await.err().map(|e| e.to_string()),
            Err(e) => Some(e.to_string()),
        };
        if let Some(problem) = problem {
            tracing::warn!(
                table = self.spec.name,
                problem,
                "no checkpoint of the log was written; the next one will do"
            );
        }
    }

    /// An error of Delta on this table.
    pub(super) fn failed(&self, action: &'static str, error: DeltaTableError) -> StoreError {
        StoreError::at(action, &self.dir, error)
    }

    /// An action that adds a written file.
    pub(super) fn add(&self, written: &Written) -> Result<Action, StoreError> {
        let path = self.dir.join(&written.name);
        let meta = std::fs::metadata(&path).map_err(|e| StoreError::at("read", &path, e))?;
        let modified = meta.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
        Ok(Action::Add(Add {
            path: written.name.clone(),
            size: i64::try_from(meta.len()).unwrap_or(i64::MAX),
            modification_time: modified.and_then(|d| i64::try_from(d.as_millis()).ok()).unwrap_or(0),
            data_change: true,
            stats: Some(indexed_statistics(&written.metadata, self.spec.indexed).to_string()),
            ..Add::default()
        }))
    }
}

/// True where the version was taken by somebody else.
fn is_overtaken(error: &DeltaTableError) -> bool {
    matches!(
        error,
        DeltaTableError::VersionAlreadyExists(_)
            | DeltaTableError::Transaction {
                source: TransactionError::MaxCommitAttempts(_)
                    | TransactionError::CommitConflict(_)
                    | TransactionError::VersionAlreadyExists(_)
            }
    )
}

/// A table that lacks what its log names, with the way out.
fn damaged(spec: &Spec, flaw: Flaw) -> StoreError {
    let copy =
        "restore the file from a copy of the store; without one, move the store away and ingest its sources again";
    let way_out = if flaw.newest {
        "the machine may have lost power while it was written. Move the file away and ingest the last sources again: \
         nothing is written twice"
    } else {
        copy
    };
    let what = format!("{}, so the table '{}' cannot be read whole", flaw.what, spec.name);
    StoreError::Damaged { path: flaw.path, what, way_out: way_out.to_owned() }
}

async fn create(dir: &Path, url: url::Url, spec: &Spec) -> Result<(), StoreError> {
    let failed = |e: super::error::BoxError| StoreError::at("create the table", dir, e);
    std::fs::create_dir_all(dir).map_err(|e| failed(e.into()))?;
    let schema: StructType = spec.schema.as_ref().try_into_kernel().map_err(|e| failed(e.into()))?;
    let columns: Vec<StructField> = schema.fields().cloned().collect();
    let table = DeltaTableBuilder::from_url(url).and_then(DeltaTableBuilder::build).map_err(|e| failed(e.into()))?;
    let made = table
        .create()
        .with_table_name(spec.name)
        .with_columns(columns)
        .with_configuration([("delta.dataSkippingNumIndexedCols", Some(spec.indexed.to_string()))])
        .with_save_mode(SaveMode::Ignore)
        .with_commit_properties(CommitProperties::default().with_max_retries(0))
        .await;
    match made {
        Ok(_) => {}
        // Another creator was quicker, with the same columns.
        Err(e) if is_overtaken(&e) => {}
        Err(e) => return Err(failed(e.into())),
    }
    let dir = dir.to_path_buf();
    blocking("create the table", move || {
        log::sync_version(&dir, 0).map_err(|e| StoreError::at("create the table", &dir, e))
    })
    .await
}

/// A file of a table as the log tells it.
#[derive(Debug, Clone)]
pub(super) struct DataFile {
    /// Name relative to the table.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Its size in bytes, as the log says.
    pub size: u64,
    /// Smallest and largest value of the table's ordering column; may be wider than the truth, never narrower.
    pub range: Range,
}

/// An inclusive range of an ordering column.
pub(super) type Range = (i64, i64);

/// True where two inclusive ranges share a value.
pub(super) fn overlap(a: Range, b: Range) -> bool {
    a.0 <= b.1 && b.0 <= a.1
}

/// All files of a table's version with their ranges of `column`, from the log; a file without statistics there
/// has the widest range.
pub(super) fn files(table: &DeltaTable, dir: &Path, column: &str) -> Vec<DataFile> {
    let Ok(state) = table.snapshot() else { return Vec::new() };
    state.log_data().iter().map(|view| data_file(&view, dir, column)).collect()
}

fn data_file(view: &LogicalFileView, dir: &Path, column: &str) -> DataFile {
    let statistics = view.stats().and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok());
    let bound = |side: &str| statistics.as_ref().and_then(|s| number(&s[side][column]));
    let name = view.path().into_owned();
    DataFile {
        path: dir.join(&name),
        size: u64::try_from(view.size()).unwrap_or(0),
        name,
        range: bound("minValues").zip(bound("maxValues").map(widen)).unwrap_or((i64::MIN, i64::MAX)),
    }
}

/// Statistics that other writers make are cut to milliseconds: what looks cut may be up to a millisecond more.
fn widen(max: i64) -> i64 {
    if max % 1000 == 0 { max.saturating_add(999) } else { max }
}

/// A number, or a time in microseconds, out of a statistic.
fn number(value: &serde_json::Value) -> Option<i64> {
    value.as_i64().or_else(|| DateTime::parse_from_rfc3339(value.as_str()?).ok().map(|t| t.timestamp_micros()))
}

/// The exact range of `column` in a file, out of its footer; none where it has no rows.
pub(super) fn footer_range(file: &DataFile, column: &str) -> Result<Option<Range>, StoreError> {
    let metadata = footer(&file.path)?;
    let ranges: Vec<Range> = metadata
        .row_groups()
        .iter()
        .filter(|group| group.num_rows() > 0)
        .map(|group| group_range(group, column))
        .collect();
    Ok(ranges.into_iter().reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))))
}

/// The footer of a Parquet file.
pub(super) fn footer(path: &Path) -> Result<Arc<ParquetMetaData>, StoreError> {
    let failed = |e: super::error::BoxError| StoreError::at("read", path, e);
    let file = std::fs::File::open(path).map_err(|e| failed(e.into()))?;
    let reader = SerializedFileReader::new(file).map_err(|e| failed(e.into()))?;
    Ok(Arc::new(reader.metadata().clone()))
}

/// Actions that take away those files of a version that `condemned` picks by name.
pub(super) fn removals(table: &DeltaTable, mut condemned: impl FnMut(&str) -> bool) -> Vec<Action> {
    let Ok(state) = table.snapshot() else { return Vec::new() };
    state
        .log_data()
        .iter()
        .filter(|view| condemned(&view.path()))
        .map(|view| Action::Remove(Remove { ..view.remove_action(true) }))
        .collect()
}

/// Removes files that no commit names, as far as that goes: an orphan does no harm.
pub(super) fn discard<'a>(dir: &Path, written: impl IntoIterator<Item = &'a Written>) {
    for file in written {
        let _ = std::fs::remove_file(dir.join(&file.name));
    }
}
