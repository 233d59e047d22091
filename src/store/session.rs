//! The only maker of SQL sessions: the store's tables at one moment, and nothing else to read.
//!
//! Text comes out of these sessions as `Utf8View` and bytes as `BinaryView`, DataFusion's own types for Parquet.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::execution::SessionStateBuilder;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use deltalake::DeltaTable;
use deltalake::delta_datafusion::{DeltaScanConfig, DeltaScanNext};

use super::error::StoreError;
use super::query::refusal;
use super::yielding::Yielding;

/// Who will use a session; it decides what the session may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionUse {
    /// Detections and reports of this program.
    Detection,
    /// Detections that people wrote, with so many bytes of memory.
    Rules {
        /// Most bytes that operators may hold.
        memory: usize,
    },
    /// SQL from people, with so many bytes of memory.
    People {
        /// Most bytes that operators may hold; beyond it they spill to disk or the query fails.
        memory: usize,
    },
}

/// Memory of a session for detections.
const DETECTION_MEMORY: usize = 1 << 30;

/// Functions that make something of any size out of a number. What functions hold is counted by nobody, so people's SQL is
/// bounded without them only.
const SWELLING: &[&str] = &[
    "repeat",
    "lpad",
    "rpad",
    "array_repeat",
    "list_repeat",
    "array_resize",
    "list_resize",
    "range",
    "generate_series",
    "gen_series",
];

/// Where operators write what memory does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spill {
    /// The directory, made where it is not there; none for the system's own for temporary files. Files in it are gone with the
    /// session, unless the process is ended from outside.
    pub dir: Option<PathBuf>,
    /// Most bytes that the operators of one session have there at a time.
    pub bytes: u64,
}

impl Default for Spill {
    /// Two GiB in the system's directory.
    fn default() -> Self {
        Spill { dir: None, bytes: 2 << 30 }
    }
}

impl Spill {
    fn disk(&self) -> DiskManagerBuilder {
        let mode =
            self.dir.clone().map_or(DiskManagerMode::OsTmpDirectory, |dir| DiskManagerMode::Directories(vec![dir]));
        DiskManagerBuilder::default().with_mode(mode).with_max_temp_directory_size(self.bytes)
    }
}

/// A session without tables.
pub(super) fn bare(use_: SessionUse, spill: &Spill, cores: usize) -> Result<SessionContext, StoreError> {
    let memory = match use_ {
        SessionUse::Detection => DETECTION_MEMORY,
        SessionUse::Rules { memory } | SessionUse::People { memory } => memory,
    };
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(FairSpillPool::new(memory)))
        .with_disk_manager_builder(spill.disk())
        .build_arc()
        .map_err(|e| refusal(&e))?;
    let mut config =
        SessionConfig::new().with_target_partitions(cores.max(1)).with_batch_size(8192).with_information_schema(true);
    let options = config.options_mut();
    options.execution.time_zone = Some("UTC".to_owned());
    // Delta's scan puts all files into one group: from this size on they are split over the cores.
    options.optimizer.repartition_file_min_size = 512 << 10;
    // Delta's scan exposes dictionaries to joins' filters, which DataFusion's list filters do not bear.
    options.optimizer.hash_join_inlist_pushdown_max_size = 0;
    options.optimizer.hash_join_inlist_pushdown_max_distinct_values = 0;
    let state = SessionStateBuilder::new()
        .with_default_features()
        .with_config(config)
        .with_runtime_env(runtime)
        // Table functions invent rows and tables out of factories read files: neither belongs to a store.
        .with_table_functions(HashMap::new())
        .with_table_factories(HashMap::new())
        .build();
    // DataFusion 55's `eliminate_cross_join` loses an equality whose one side draws on two tables, and multiplies rows.
    let rules = state.optimizers().iter().filter(|rule| rule.name() != "eliminate_cross_join").cloned().collect();
    let state = SessionStateBuilder::new_from_existing(state)
        .with_optimizer_rules(rules)
        .with_physical_optimizer_rule(Arc::new(Yielding))
        .build();
    let ctx = SessionContext::new_with_state(state);
    if let SessionUse::People { .. } = use_ {
        SWELLING.iter().for_each(|name| ctx.deregister_udf(name));
    }
    Ok(ctx)
}

/// Registers a table at the version that `table` stands at.
pub(super) fn register(ctx: &SessionContext, name: &str, table: &DeltaTable) -> Result<(), StoreError> {
    let snapshot = table.snapshot().map_err(|e| StoreError::Query(e.to_string()))?.snapshot().clone();
    let config = DeltaScanConfig::new_from_session(&ctx.state());
    let scan = DeltaScanNext::new(Arc::new(snapshot), config).map_err(|e| refusal(&e))?;
    ctx.register_table(name, Arc::new(scan)).map_err(|e| refusal(&e))?;
    Ok(())
}
