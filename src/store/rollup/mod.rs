//! The roll-ups: `activity` and `coverage` by hour, `sightings` by day.
//!
//! A refresh computes whole days anew, each of a day's tables being one file, and swaps these files in one commit a
//! table. The commit's application transaction names the version of `events` that it reflects; what is behind is
//! recomputed, never added to. So a refresh may be killed anywhere and run again, by anybody.

mod cursor;
mod pass;
mod rows;
pub(super) mod schemas;

use std::collections::BTreeSet;
use std::sync::Arc;

use deltalake::DeltaTable;
use deltalake::kernel::{Action, Transaction, Version};
use deltalake::logstore::get_actions;

use self::rows::DayFiles;
use super::append::pause;
use super::error::{StoreError, blocking};
use super::file::{DAY, Written, noted_days};
use super::table::{DataFile, Outcome, Range, Table, discard, files, footer, removals};

/// The application transaction of a roll-up; its version is the one of `events` that the roll-up reflects.
const TRANSACTION: &str = "kvaudit-events-version";

/// How often a refresh is tried against others.
const ATTEMPTS: u32 = 20;

/// What a refresh did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RollupReport {
    /// The version of `events` that all roll-ups reflect now.
    pub version: u64,
    /// Days that were computed anew.
    pub days: usize,
}

/// The tables of roll-ups, in the order of [`DayFiles`].
pub(super) type Tables = [Arc<Table>; 3];

/// Brings the roll-ups up to the newest version of `events`.
pub(super) async fn refresh(events: &Arc<Table>, tables: &Tables, cores: usize) -> Result<RollupReport, StoreError> {
    for attempt in 0..ATTEMPTS {
        match attempt_refresh(events, tables, cores).await? {
            Some(report) => return Ok(report),
            None => pause(attempt).await,
        }
    }
    Err(StoreError::Busy { table: tables[0].spec.name, attempts: ATTEMPTS })
}

/// A remark where a roll-up reflects a version of `events` that is not there any more.
pub(super) async fn ahead(events: &Arc<Table>, tables: &Tables) -> Result<Option<String>, StoreError> {
    // The roll-ups first: they reflect no newer events than those that are read next.
    let mut known = Vec::with_capacity(tables.len());
    for table in tables {
        let base = table.latest().await?;
        known.push((table, reflected(table, &base).await?));
    }
    let newest = events.latest().await?.version().unwrap_or(0);
    for (table, reflected) in known {
        if let Some(reflected) = reflected.filter(|reflected| *reflected > newest) {
            return Ok(Some(format!(
                "the log of 'events' ends at version {newest}, and '{}' reflects version {reflected}: commits at its end are \
                 gone, as after a power cut. The roll-ups are made anew; ingest the last sources again, nothing is written \
                 twice",
                table.spec.name
            )));
        }
    }
    Ok(None)
}

/// One try; none where another refresh came between.
async fn attempt_refresh(
    events: &Arc<Table>,
    tables: &Tables,
    cores: usize,
) -> Result<Option<RollupReport>, StoreError> {
    // The roll-ups first: then what they reflect is no newer than the events that are read next.
    let mut bases = Vec::with_capacity(tables.len());
    for table in tables {
        let base = table.latest().await?;
        // Where another program has merged days into one file, no day can be replaced by itself any more.
        let dated = files(&base, &table.dir, "").iter().all(|file| rows::day_of(&file.name).is_some());
        let reflected = if dated { reflected(table, &base).await? } else { None };
        bases.push((table, base, reflected));
    }
    let source = events.latest().await?;
    let version = source.version().unwrap_or(0);
    // What reflects more than there is reflects something else.
    bases.iter_mut().for_each(|(_, _, reflected)| *reflected = reflected.filter(|v| *v <= version));
    bases.retain(|(_, _, reflected)| *reflected != Some(version));
    let Some(oldest) = bases.iter().map(|(_, _, reflected)| *reflected).min() else {
        return Ok(Some(RollupReport { version, days: 0 }));
    };
    let days = touched_days(events, &source, oldest).await?;
    let files = files(&source, &events.dir, "time");
    let computed = compute(tables, files, days.clone(), cores).await?;
    for (at, table) in tables.iter().enumerate() {
        let written: Vec<&Written> = computed.iter().filter_map(|day| day.files[at].as_ref()).collect();
        let Some((_, base, _)) = bases.iter().find(|(behind, ..)| Arc::ptr_eq(behind, table)) else {
            // It was up to date already.
            discard(&table.dir, written);
            continue;
        };
        if !replace(table, base, &days, &written, version).await? {
            discard(&table.dir, written);
            return Ok(None);
        }
    }
    Ok(Some(RollupReport { version, days: days.len() }))
}

/// The version of `events` that a roll-up reflects.
async fn reflected(table: &Table, base: &DeltaTable) -> Result<Option<Version>, StoreError> {
    let failed = |e| table.failed("read the table", e);
    let state = base.snapshot().map_err(failed)?;
    let version = state.transaction_version(base.log_store().as_ref(), TRANSACTION).await.map_err(failed)?;
    Ok(version.and_then(|v| Version::try_from(v).ok()))
}

/// The days whose events changed after version `since`; all days where the log does not tell any more.
async fn touched_days(
    events: &Arc<Table>,
    source: &DeltaTable,
    since: Option<Version>,
) -> Result<Vec<i64>, StoreError> {
    let mut all = files(source, &events.dir, "time");
    if let Some(since) = since
        && let Some(names) = added_since(events, source, since).await?
    {
        all.retain(|file| names.contains(&file.name));
    }
    blocking("read the days of events", move || {
        let mut days = BTreeSet::new();
        for file in &all {
            match noted_days(&*footer(&file.path)?) {
                Some(noted) => days.extend(noted),
                None => days.extend(days_of(file.range)),
            }
        }
        Ok(days.into_iter().collect())
    })
    .await
}

/// Days that a range touches; other writers' files do not note theirs. Bounded by what a record's time may be.
fn days_of(range: Range) -> impl Iterator<Item = i64> {
    /// 2015-01-01 and 2100-01-01 in days since the epoch.
    const POSSIBLE: Range = (16_436, 47_482);
    range.0.div_euclid(DAY).max(POSSIBLE.0)..=range.1.div_euclid(DAY).min(POSSIBLE.1)
}

/// Names of the files that commits after `since` added; none where a commit is gone from the log or took rows away.
async fn added_since(
    events: &Table,
    source: &DeltaTable,
    since: Version,
) -> Result<Option<BTreeSet<String>>, StoreError> {
    let failed = |e| events.failed("read the log of", e);
    let newest = source.version().unwrap_or(0);
    if since > newest {
        return Ok(None);
    }
    let mut names = BTreeSet::new();
    for version in since + 1..=newest {
        let Some(bytes) = source.log_store().read_commit_entry(version).await.map_err(failed)? else {
            return Ok(None);
        };
        // An old commit may be damaged where nobody else reads it any more.
        if bytes.is_empty() {
            return Ok(None);
        }
        for action in get_actions(version, &bytes).map_err(failed)? {
            match action {
                Action::Add(add) if add.data_change => drop(names.insert(add.path)),
                Action::Remove(remove) if remove.data_change => return Ok(None),
                _ => {}
            }
        }
    }
    Ok(Some(names))
}

/// Computes the roll-ups of `days` and writes their files, which no commit names yet.
async fn compute(
    tables: &Tables,
    files: Vec<DataFile>,
    days: Vec<i64>,
    cores: usize,
) -> Result<Vec<DayFiles>, StoreError> {
    let dirs: [_; 3] = std::array::from_fn(|at| tables[at].dir.clone());
    blocking("compute roll-ups", move || {
        let share = days.len().div_ceil(cores.max(1)).max(1);
        let results: Vec<Result<Vec<DayFiles>, StoreError>> = std::thread::scope(|scope| {
            let work = |days| pass::roll_up(&files, days, &dirs);
            let threads: Vec<_> = days.chunks(share).map(|days| scope.spawn(move || work(days))).collect();
            threads
                .into_iter()
                .map(|t| t.join().unwrap_or(Err(StoreError::Worker { action: "compute roll-ups" })))
                .collect()
        });
        Ok(results.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    })
    .await
}

/// Puts the files of `days` in the place of the old ones; false where another refresh came first.
async fn replace(
    table: &Table,
    base: &DeltaTable,
    days: &[i64],
    written: &[&Written],
    version: Version,
) -> Result<bool, StoreError> {
    let mut actions = removals(base, |name| rows::day_of(name).is_none_or(|day| days.binary_search(&day).is_ok()));
    for file in written {
        actions.push(table.add(file)?);
    }
    let transaction = Transaction::new(TRANSACTION, i64::try_from(version).unwrap_or(i64::MAX));
    Ok(matches!(table.commit(base, actions, transaction).await?, Outcome::Done))
}
