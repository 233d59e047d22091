//! One atomic append to a keyed table: write the files, then commit them at the version right after the one that
//! was checked for repeats. Who is overtaken checks what is new and tries again.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use deltalake::DeltaTable;
use deltalake::kernel::Transaction;
use parquet::file::properties::WriterProperties;

use super::batch::{Incoming, Keys};
use super::error::{StoreError, blocking};
use super::file::Written;
use super::repeats::remove_known;
use super::table::{DataFile, Outcome, Table, discard, files};

/// The application transaction that every commit to a keyed table carries; its version is the table's.
const TRANSACTION: &str = "kvaudit";

/// How often a commit is tried against other writers.
const ATTEMPTS: u32 = 100;

/// What an append did to one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Done {
    /// Rows that are new.
    pub written: u64,
    /// Rows that the input repeats or that the table held.
    pub duplicates: u64,
    /// Version of the table that holds all of them.
    pub version: u64,
}

/// Appends the new ones among the rows of `batches`.
pub(super) async fn append(
    table: &Arc<Table>,
    keys: Keys,
    properties: WriterProperties,
    batches: Vec<RecordBatch>,
    cores: usize,
) -> Result<Done, StoreError> {
    let spec = table.spec.schema.clone();
    let mut incoming = blocking("sort rows", move || Incoming::new(keys, &spec, batches)).await?;
    let mut written: Vec<Written> = Vec::new();
    let mut checked: HashSet<String> = HashSet::new();
    for attempt in 0..ATTEMPTS {
        let base = table.latest().await?;
        let version = base.version().unwrap_or(0);
        let unseen = unseen_files(table, keys, &base, &mut checked);
        let (dir, properties) = (table.dir.clone(), properties.clone());
        (incoming, written) = blocking("write rows", move || {
            let range = incoming.range();
            if let Some(range) = range {
                remove_known(keys, &unseen, range, &mut incoming.wanted).inspect_err(|_| discard(&dir, &written))?;
            }
            if incoming.drop_found() {
                discard(&dir, &written);
                written.clear();
            }
            if written.is_empty() && incoming.len() > 0 {
                written = incoming.write(&dir, &properties, cores)?;
            }
            Ok((incoming, written))
        })
        .await?;
        let done = |version| Done { written: incoming.len() as u64, duplicates: incoming.duplicates, version };
        if written.is_empty() {
            return Ok(done(version));
        }
        // After an error the files stay: the commit may stand although its answer was lost, and orphans do no harm.
        match commit(table, &base, &written).await? {
            Some(version) => return Ok(done(version)),
            None => pause(attempt).await,
        }
    }
    discard(&table.dir, &written);
    Err(StoreError::Busy { table: table.spec.name, attempts: ATTEMPTS })
}

/// Files of `base` that have not been checked yet; they count as checked from now on.
fn unseen_files(table: &Table, keys: Keys, base: &DeltaTable, checked: &mut HashSet<String>) -> Vec<DataFile> {
    let mut unseen = files(base, &table.dir, keys.order);
    unseen.retain(|file| checked.insert(file.name.clone()));
    unseen
}

async fn commit(table: &Table, base: &DeltaTable, written: &[Written]) -> Result<Option<u64>, StoreError> {
    let actions = written.iter().map(|file| table.add(file)).collect::<Result<Vec<_>, _>>()?;
    let next = base.version().unwrap_or(0) + 1;
    let transaction = Transaction::new(TRANSACTION, i64::try_from(next).unwrap_or(i64::MAX));
    match table.commit(base, actions, transaction).await? {
        Outcome::Done => Ok(Some(next)),
        Outcome::Overtaken => Ok(None),
    }
}

/// Waits a moment whose length no two writers share.
pub(super) async fn pause(attempt: u32) {
    let most = 4u128 << attempt.min(6);
    let share = uuid::Uuid::new_v4().as_u128() % most;
    tokio::time::sleep(Duration::from_millis(u64::try_from(share).unwrap_or(1))).await;
}
