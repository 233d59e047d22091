//! SQL from people: read-only, over the store's tables and nothing else, within limits.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::Statement as Sql;
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::depth::check_depth;
use super::error::StoreError;
use crate::limit::{Engine, Stopped};
use crate::world;

/// The store's own tables. SQL reads these and those of [`world::TABLES`].
pub const TABLES: [&str; 6] = ["events", "activity", "sightings", "coverage", "quarantine", "alerts"];

/// The longest query text in bytes.
const SQL_BYTES: usize = 1 << 20;

/// A time that no query takes, and that a clock can hold.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// What a query may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryLimits {
    /// Most rows of the answer; what is beyond is cut off and said ([`Answer::is_cut`]).
    pub rows: usize,
    /// Longest time from the question to the last row.
    pub time: Duration,
    /// Most bytes that operators may hold.
    pub memory: usize,
}

impl Default for QueryLimits {
    /// A million rows, a minute, half a GiB.
    fn default() -> Self {
        QueryLimits { rows: 1_000_000, time: Duration::from_secs(60), memory: 512 << 20 }
    }
}

/// What a person reads when the engine panics.
const BROKE: &str = "the query engine failed within: write the query in another way, or ask about less time";

/// Rows of an answer as they come. Dropping it ends the query.
#[derive(Debug)]
pub struct Answer {
    /// The threads that compute it: the one who waits for rows keeps the clock.
    _engine: Engine,
    schema: SchemaRef,
    batches: mpsc::Receiver<Result<RecordBatch, DataFusionError>>,
    /// None once its end was seen.
    worker: Option<JoinHandle<()>>,
    limits: QueryLimits,
    deadline: Instant,
    left: usize,
    cut: bool,
}

impl Answer {
    /// The columns: text as `Utf8`, bytes as `Binary`, whatever the engine uses within.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// True once rows were left out because the answer has more than [`QueryLimits::rows`].
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// The next rows; none at the end.
    ///
    /// # Errors
    /// Whatever the query runs into, and its limits of time and memory.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>, StoreError> {
        if self.cut {
            return Ok(None);
        }
        let next = timeout_at(self.deadline, self.batches.recv()).await;
        let Some(batch) = next.map_err(|_| StoreError::QueryTime(self.limits.time))? else { return self.ended().await };
        let batch = batch.map_err(|e| self.failure(&e))?;
        let rows = batch.num_rows().min(self.left);
        self.cut = rows < batch.num_rows();
        self.left -= rows;
        if rows == 0 && self.cut {
            return Ok(None);
        }
        plain(&batch.slice(0, rows), &self.schema).map(Some)
    }

    /// All rows at once.
    ///
    /// # Errors
    /// As [`Answer::next`].
    pub async fn collect(mut self) -> Result<Vec<RecordBatch>, StoreError> {
        let mut batches = Vec::new();
        while let Some(batch) = self.next().await? {
            batches.push(batch);
        }
        Ok(batches)
    }

    /// The end of the rows: of the answer, unless the engine broke off. Rows that are missing must not pass for none.
    async fn ended(&mut self) -> Result<Option<RecordBatch>, StoreError> {
        if let Some(worker) = self.worker.take()
            && worker.await.is_err_and(|e| e.is_panic())
        {
            return Err(StoreError::Query(BROKE.to_owned()));
        }
        Ok(None)
    }

    fn failure(&self, error: &DataFusionError) -> StoreError {
        failure(error, self.limits)
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(worker) = &self.worker {
            worker.abort();
        }
    }
}

/// Runs one read-only query in a session of the store, to which functions may have been added.
///
/// # Errors
/// [`StoreError::Query`] where the text is wrong or asks for more than reading the store's tables; the limits.
pub async fn query(ctx: &SessionContext, sql: &str, limits: QueryLimits) -> Result<Answer, StoreError> {
    let deadline = Instant::now() + limits.time.min(LONGEST);
    let engine = Engine::start(ctx.state().config().target_partitions())
        .map_err(|e| StoreError::Query(format!("the query engine did not start: {e}")))?;
    let (asking, text) = (ctx.clone(), sql.to_owned());
    let planned = engine.within(limits.time, async move {
        let plan = plan(&asking, &text).await?;
        asking.execute_logical_plan(plan).await.map_err(|e| failure(&e, limits))
    });
    let frame = planned.await.map_err(|stopped| match stopped {
        Stopped::Time(time) => StoreError::QueryTime(time),
        Stopped::Panic => StoreError::Query(BROKE.to_owned()),
    })??;
    let schema = plain_schema(frame.schema().as_arrow());
    let (sender, batches) = mpsc::channel(2);
    let worker = engine.spawn(async move {
        match frame.execute_stream().await {
            Ok(stream) => forward(stream, sender).await,
            Err(e) => drop(sender.send(Err(e)).await),
        }
    });
    let (worker, left) = (Some(worker), limits.rows);
    Ok(Answer { _engine: engine, schema, batches, worker, limits, deadline, left, cut: false })
}

async fn forward(mut stream: SendableRecordBatchStream, sender: mpsc::Sender<Result<RecordBatch, DataFusionError>>) {
    while let Some(batch) = stream.next().await {
        if sender.send(batch).await.is_err() {
            return;
        }
    }
}

/// Plans a query and refuses all that does more than read the store's tables.
async fn plan(ctx: &SessionContext, sql: &str) -> Result<LogicalPlan, StoreError> {
    if sql.len() > SQL_BYTES {
        let size = sql.len();
        return Err(StoreError::Query(format!("the query has {size} bytes, more than {SQL_BYTES}: shorten it")));
    }
    check_depth(sql).map_err(|reason| StoreError::Query(format!("the query is too deep: {reason}")))?;
    let state = ctx.state();
    let dialect = state.config().options().sql_parser.dialect;
    let statement = state.sql_to_statement(sql, &dialect).map_err(|e| refusal(&e))?;
    if !only_reads(&statement) {
        let verb = sql.split_whitespace().next().unwrap_or_default().to_uppercase();
        return Err(StoreError::Query(format!("{verb} is refused: queries only read; write a SELECT")));
    }
    let plan = state.statement_to_plan(statement).await.map_err(|e| refusal(&e))?;
    // The same again on the plan, where nothing can hide behind syntax.
    let reading = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    reading.verify_plan(&plan).map_err(|e| refusal(&e))?;
    plan.apply_with_subqueries(|node| check_node(node).map(|()| TreeNodeRecursion::Continue))
        .map_err(|e| refusal(&e))?;
    Ok(plan)
}

/// The statements that may be asked; what is not listed is refused.
fn only_reads(statement: &Statement) -> bool {
    match statement {
        Statement::Explain(explain) => only_reads(&explain.statement),
        Statement::Statement(sql) => matches!(
            **sql,
            Sql::Query(_)
                | Sql::ExplainTable { .. }
                | Sql::ShowTables { .. }
                | Sql::ShowColumns { .. }
                | Sql::ShowFunctions { .. }
                | Sql::ShowVariable { .. }
        ),
        _ => false,
    }
}

/// Every table that SQL can read.
fn readable() -> impl Iterator<Item = &'static str> {
    TABLES.into_iter().chain(world::TABLES.iter().map(|table| table.name))
}

/// Refuses a node that reads something else than the store's tables.
fn check_node(node: &LogicalPlan) -> Result<(), DataFusionError> {
    let LogicalPlan::TableScan(scan) = node else { return Ok(()) };
    let name = &scan.table_name;
    let ours = readable().any(|table| table == name.table()) && matches!(name.schema(), None | Some("public"));
    if ours || name.schema() == Some("information_schema") {
        return Ok(());
    }
    Err(DataFusionError::Plan(format!("table '{name}' not found")))
}

/// The error that a person reads about a query: the root message once, with a way out where we know one.
pub(super) fn refusal(error: &DataFusionError) -> StoreError {
    let message = root_message(error);
    // DataFusion names a table by catalog and schema, which nobody wrote.
    let message = message.replace("'datafusion.public.", "'").replace("datafusion.public.", "");
    let unknown_table = message.starts_with("table '") && message.contains("not found");
    let unknown_function = message.starts_with("table function '");
    if unknown_table || unknown_function {
        let tables = readable().collect::<Vec<_>>().join(", ");
        return StoreError::Query(format!("{message}: queries read the tables {tables}, and no files"));
    }
    StoreError::Query(message)
}

fn failure(error: &DataFusionError, limits: QueryLimits) -> StoreError {
    if let Some(limit) = spilled(&root_message(error)) {
        return StoreError::QuerySpill { limit: limit.to_owned() };
    }
    match error.find_root() {
        DataFusionError::ResourcesExhausted(reason) => {
            let reason = reason.lines().next().unwrap_or_default().to_owned();
            StoreError::QueryMemory { limit: limits.memory, reason }
        }
        _ => refusal(error),
    }
}

/// The limit that intermediate rows on disk passed, where the engine's message is about that: it has no kind of error for it.
pub fn spilled(message: &str) -> Option<&str> {
    let (_, limit) =
        message.split_once("disk space during the spilling process has exceeded the allowable limit of ")?;
    limit.split(". ").next()
}

/// The innermost message, without the kinds of error around it.
fn root_message(error: &DataFusionError) -> String {
    match error.find_root() {
        DataFusionError::Diagnostic(_, inner) => root_message(inner),
        DataFusionError::Collection(errors) if !errors.is_empty() => root_message(&errors[0]),
        DataFusionError::SQL(parser, _) => format!("this is no SQL: {parser}"),
        root => {
            let message = root.message();
            let message = message.split(DataFusionError::BACK_TRACE_SEP).next().unwrap_or_default();
            message.split_whitespace().collect::<Vec<_>>().join(" ")
        }
    }
}

/// The type that programs without view types know.
fn plain_type(kind: &DataType) -> DataType {
    match kind {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        other => other.clone(),
    }
}

fn plain_schema(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|f| Field::new(f.name(), plain_type(f.data_type()), f.is_nullable()));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn plain(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, StoreError> {
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| {
        if column.data_type() == field.data_type() { Ok(column.clone()) } else { cast(column, field.data_type()) }
    });
    let columns: Vec<ArrayRef> = columns.collect::<Result<_, _>>().map_err(|e| StoreError::Query(e.to_string()))?;
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options).map_err(|e| StoreError::Query(e.to_string()))
}
