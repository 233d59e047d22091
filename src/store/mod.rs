//! The store: Delta tables in one directory, appended to idempotently, rolled up, and read by SQL.
//!
//! Layout: `kvaudit.json` (format version and identity), then a Delta table a directory: `events`, `quarantine`,
//! `activity`, `sightings`, `coverage`, `alerts`; in `context` the user's files about the world and, below `tables`, what they
//! become, as Parquet. Tables change by whole commits only, so a run that is killed between
//! any two instructions leaves at worst Parquet files that no commit names, which nobody reads.
//!
//! It knows no detection, reads no clock, and uses no feature of Delta that a plain list of Parquet files could not
//! express: no partitions, no deletion vectors, no column mapping.

mod alerts;
mod append;
mod batch;
mod depth;
mod error;
mod file;
mod heal;
mod identity;
mod log;
mod quarantine;
mod query;
mod repeats;
mod rollup;
mod session;
mod shelf;
mod table;
#[cfg(test)]
mod tests;
mod yielding;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::prelude::SessionContext;
use deltalake::kernel::Transaction;

pub use self::alerts::{alerts_batch, alerts_schema};
pub use self::depth::check_depth;
pub use self::error::StoreError;
pub use self::identity::{Access, FORMAT_VERSION};
pub use self::quarantine::quarantine_schema;
pub use self::query::{Answer, QueryLimits, TABLES, query, spilled};
pub use self::rollup::RollupReport;
pub use self::rollup::schemas::{
    activity as activity_schema, coverage as coverage_schema, sightings as sightings_schema,
};
pub use self::session::{SessionUse, Spill};
pub use self::shelf::FOLDER as CONTEXT_FOLDER;

use self::append::pause;
use self::batch::Keys;
use self::error::blocking;
use self::file::{check_schema, event_properties, fresh_name, plain_properties, write_whole};
use self::heal::Remains;
use self::table::{Outcome, Spec, Table, footer_range, removals};
use crate::alert::Alert;
use crate::record::Reject;
use crate::record::schema;
use crate::world::World;

/// What `events` is ordered and told apart by.
const EVENT_KEYS: Keys = Keys { table: "events", id: "event_id", order: "time" };

/// Columns of `events` with statistics in the log: `time` to `caller_ip`.
const INDEXED_EVENT_COLUMNS: usize = 8;

/// Columns of the other tables with statistics in the log: all.
const INDEXED_COLUMNS: usize = 32;

/// An open store. A cheap handle: clones share what they have seen.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
    /// What this handle's sessions say about the world.
    world: Arc<shelf::Tables>,
    /// Where this handle's sessions spill.
    spill: Spill,
}

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    store_id: String,
    cores: usize,
    events: Arc<Table>,
    quarantine: Arc<Table>,
    alerts: Arc<Table>,
    rollups: rollup::Tables,
    /// What was found damaged and made anew.
    remarks: Vec<String>,
    /// Appends of one process take turns at their commit, as they would only overtake each other.
    appending: tokio::sync::Mutex<()>,
}

/// What [`Store::append`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Appended {
    /// Events that are new.
    pub written: u64,
    /// Events that the input repeats or that the store held.
    pub duplicates: u64,
    /// Rejects that are new in `quarantine`.
    pub quarantined: u64,
    /// Rejects that the input repeats or that `quarantine` held.
    pub known_rejects: u64,
    /// The version of `events` that holds all of them.
    pub version: u64,
}

impl Store {
    /// Opens the store in `dir`; under [`Access::Create`] makes one where the directory is new or empty.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Foreign`], [`StoreError::Version`], [`StoreError::Damaged`] and what the file
    /// system refuses. A damaged table that can be computed again is no error ([`Store::remarks`]).
    pub async fn open(dir: &Path, access: Access) -> Result<Store, StoreError> {
        let asked = dir.to_path_buf();
        let (dir, identity) = blocking("open the store", move || {
            let identity = identity::establish(&asked, access)?;
            let dir = asked.canonicalize().map_err(|e| StoreError::at("open", &asked, e))?;
            Ok((dir, identity))
        })
        .await?;
        let open = async |name, schema: SchemaRef, indexed| {
            Table::open(&dir, Spec { name, schema, indexed }).await.map(Arc::new)
        };
        let mut remarks = Vec::new();
        let events = open("events", schema::events(), INDEXED_EVENT_COLUMNS).await?;
        let quarantine = open("quarantine", quarantine_schema(), INDEXED_COLUMNS).await?;
        let mut derived = async |name, schema: SchemaRef, remains| {
            let spec = || Spec { name, schema: schema.clone(), indexed: INDEXED_COLUMNS };
            heal::open(&dir, spec, remains, &mut remarks).await
        };
        let alerts = derived("alerts", alerts_schema(), Remains::Kept).await?;
        let rollups = [
            derived("activity", activity_schema(), Remains::Removed).await?,
            derived("sightings", sightings_schema(), Remains::Removed).await?,
            derived("coverage", coverage_schema(), Remains::Removed).await?,
        ];
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        // Before anything is appended: an append could hide that commits at the log's end are gone.
        remarks.extend(rollup::ahead(&events, &rollups).await?);
        heal::rollups(&events, &rollups, cores, &mut remarks).await?;
        let appending = tokio::sync::Mutex::new(());
        let store_id = identity.store_id;
        let inner = Inner { dir, store_id, cores, events, quarantine, alerts, rollups, remarks, appending };
        Ok(Store { inner: Arc::new(inner), world: Arc::new(shelf::empty()), spill: Spill::default() })
    }

    /// What was found damaged when the store was opened and was made anew; a sentence each.
    pub fn remarks(&self) -> &[String] {
        &self.inner.remarks
    }

    /// The exported alerts, as they were last written.
    ///
    /// # Errors
    /// What reading the table runs into.
    pub async fn exported_alerts(&self) -> Result<Vec<Alert>, StoreError> {
        let latest = self.inner.alerts.latest().await?;
        let files = table::files(&latest, &self.inner.alerts.dir, "");
        blocking("read alerts", move || alerts::read(&files)).await
    }

    /// Whether any alerts were exported.
    ///
    /// # Errors
    /// What reading the table's log runs into.
    pub async fn has_exported_alerts(&self) -> Result<bool, StoreError> {
        let latest = self.inner.alerts.latest().await?;
        Ok(!table::files(&latest, &self.inner.alerts.dir, "").is_empty())
    }

    /// The same store, whose sessions have the tables of this world; without it they are empty but for our own lists.
    #[must_use]
    pub fn with_world(&self, world: &World) -> Store {
        Store { world: Arc::new(world.tables()), ..self.clone() }
    }

    /// The same store, whose sessions spill there.
    #[must_use]
    pub fn with_spill(&self, spill: Spill) -> Store {
        Store { spill, ..self.clone() }
    }

    /// Where it is, as an absolute path.
    pub fn dir(&self) -> &Path {
        &self.inner.dir
    }

    /// Its identity, a UUID given at creation: what depends on this store records it.
    pub fn store_id(&self) -> &str {
        &self.inner.store_id
    }

    /// Appends, in one atomic commit, those of `events` ([`schema::events`]) whose `event_id` is new; repeats within
    /// the input and of what the store holds are dropped, the first of a kind is kept. `rejects` go to `quarantine`
    /// the same way, at the time `at` (microseconds since the epoch), in a commit before.
    ///
    /// # Errors
    /// Where it fails, either nothing of a table's rows is in the store or all is; the same call may be made again.
    pub async fn append(
        &self,
        events: Vec<RecordBatch>,
        rejects: Vec<Reject>,
        at: i64,
    ) -> Result<Appended, StoreError> {
        let inner = &*self.inner;
        let mut appended = Appended::default();
        let _turn = inner.appending.lock().await;
        if !rejects.is_empty() {
            let rows = quarantine::rows(&rejects, at);
            drop(rejects);
            let done = append::append(&inner.quarantine, quarantine::KEYS, plain_properties(), vec![rows], inner.cores)
                .await?;
            (appended.quarantined, appended.known_rejects) = (done.written, done.duplicates);
        }
        let done = append::append(&inner.events, EVENT_KEYS, event_properties(), events, inner.cores).await?;
        Ok(Appended { written: done.written, duplicates: done.duplicates, version: done.version, ..appended })
    }

    /// Brings `activity`, `sightings` and `coverage` up to the newest version of `events`, recomputing the days that
    /// changed.
    ///
    /// # Errors
    /// What reading and writing files runs into; what was done until then stays right, and the next refresh goes on.
    pub async fn refresh_rollups(&self) -> Result<RollupReport, StoreError> {
        rollup::refresh(&self.inner.events, &self.inner.rollups, self.inner.cores).await
    }

    /// Earliest and latest time of an event, in microseconds since the epoch; none in an empty store.
    ///
    /// # Errors
    /// What reading the log and footers runs into.
    pub async fn span(&self) -> Result<Option<(i64, i64)>, StoreError> {
        let events = &self.inner.events;
        let latest = events.latest().await?;
        let files = table::files(&latest, &events.dir, EVENT_KEYS.order);
        // Statistics in the log may be off by less than a millisecond, or missing; footers are exact.
        let first = files.iter().map(|f| f.range.0).min().unwrap_or(0).saturating_add(999);
        let last = files.iter().map(|f| f.range.1).max().unwrap_or(0).saturating_sub(999);
        let known = files.iter().all(|f| f.range.0 > i64::MIN);
        blocking("read the span of time", move || {
            let outermost = files.iter().filter(|f| !known || f.range.0 <= first || f.range.1 >= last);
            let mut span: Option<(i64, i64)> = None;
            for file in outermost {
                if let Some((from, to)) = footer_range(file, EVENT_KEYS.order)? {
                    span = Some(span.map_or((from, to), |(a, b)| (a.min(from), b.max(to))));
                }
            }
            Ok(span)
        })
        .await
    }

    /// Replaces the exported table `alerts` by these rows ([`alerts_schema`], from [`alerts_batch`]).
    ///
    /// # Errors
    /// A batch of other columns, and what writing files runs into; then the old rows stand.
    pub async fn write_alerts(&self, alerts: RecordBatch) -> Result<(), StoreError> {
        const ATTEMPTS: u32 = 20;
        let table = &self.inner.alerts;
        check_schema(table.spec.name, &table.spec.schema, &alerts)?;
        let dir = table.dir.clone();
        let written = blocking("write alerts", move || match alerts.num_rows() {
            0 => Ok(None),
            _ => write_whole(&dir, fresh_name("part"), &alerts).map(Some),
        })
        .await?;
        for attempt in 0..ATTEMPTS {
            let base = table.latest().await?;
            let mut actions = removals(&base, |_| true);
            if let Some(file) = &written {
                actions.push(table.add(file)?);
            }
            if actions.is_empty() {
                return Ok(());
            }
            let next = i64::try_from(base.version().unwrap_or(0)).unwrap_or(i64::MAX).saturating_add(1);
            if let Outcome::Done = table.commit(&base, actions, Transaction::new("kvaudit", next)).await? {
                return Ok(());
            }
            pause(attempt).await;
        }
        Err(StoreError::Busy { table: table.spec.name, attempts: ATTEMPTS })
    }

    /// A SQL session over the six tables ([`TABLES`]) as they stand now, and those of the world ([`Store::with_world`]). The roll-ups in it reflect no newer events
    /// than those in it.
    ///
    /// # Errors
    /// What reading the tables' logs runs into.
    pub async fn session(&self, use_: SessionUse) -> Result<SessionContext, StoreError> {
        let ctx = session::bare(use_, &self.spill, self.inner.cores)?;
        let [activity, sightings, coverage] = &self.inner.rollups;
        for table in [activity, sightings, coverage, &self.inner.quarantine, &self.inner.alerts, &self.inner.events] {
            session::register(&ctx, table.spec.name, &table.latest().await?)?;
        }
        shelf::register(&ctx, &self.inner.dir, &self.world).await?;
        Ok(ctx)
    }

    /// Answers one read-only SQL query over the tables as they stand now.
    ///
    /// # Errors
    /// As [`query`]; and what reading the tables' logs runs into.
    pub async fn query(&self, sql: &str, limits: QueryLimits) -> Result<Answer, StoreError> {
        let ctx = self.session(SessionUse::People { memory: limits.memory }).await?;
        query(&ctx, sql, limits).await
    }
}
