//! A detection's common table expressions, each computed once. DataFusion puts the text of a `WITH` query into every place
//! that names it, so a query of ten steps, each named twice, computes its first step a thousand times. Here each query
//! that is named is run first and held in memory under its name, for this one evaluation. It changes what an evaluation
//! costs and never what it answers: a cluster may run the same file without it.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::common::DataFusionError;
use datafusion::datasource::MemTable;
use datafusion::error::Result;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{DataFrame, SQLOptions, SessionContext};
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::{Cte, Ident, ObjectName, Query, Statement, visit_relations};
use futures::TryStreamExt;

use super::evaluate::planner;

/// The most rows that the steps of one evaluation hold: some hundred bytes each. Bytes cannot be asked, since batches share
/// buffers and each counts them as its own.
const MAX_ROWS: usize = 10_000_000;

/// Tells evaluations at the same time apart.
static RUN: AtomicU64 = AtomicU64::new(0);

/// Steps held in a session, until it is dropped.
pub(super) struct Stages<'a> {
    ctx: &'a SessionContext,
    prefix: String,
    names: Vec<String>,
    rows: usize,
}

impl Drop for Stages<'_> {
    fn drop(&mut self) {
        for name in &self.names {
            // The table was registered by this value; that it is gone already would be no harm.
            let _ = self.ctx.deregister_table(name.as_str());
        }
    }
}

/// Plans a statement; queries that its `WITH` names are run first, even one that is used once: planning it
/// apart is quicker. The plan holds as long as the stages do.
///
/// # Errors
/// What planning or running a step says; steps of more than ten million rows together.
pub(super) async fn plan(ctx: &SessionContext, statement: Statement) -> Result<(LogicalPlan, Stages<'_>)> {
    let prefix = format!("stage_{}_", RUN.fetch_add(1, Ordering::Relaxed));
    let mut stages = Stages { ctx, prefix, names: Vec::new(), rows: 0 };
    let mut statement = statement;
    if let Statement::Query(query) = &mut statement
        && let Some(with) = &query.with
        && !with.recursive
    {
        let ctes = with.cte_tables.clone();
        for (at, cte) in ctes.iter().enumerate() {
            if uses(query, &cte.alias.name) > 0 && cte.alias.columns.is_empty() {
                stages.hold(query, at).await?;
            }
        }
    }
    let plan = checked(ctx, statement).await?;
    Ok((plan, stages))
}

/// The plan of a statement that only reads. Line numbers are collected for messages.
pub(super) async fn checked(ctx: &SessionContext, statement: Statement) -> Result<LogicalPlan> {
    let plan = planner(ctx).statement_to_plan(DfStatement::Statement(Box::new(statement))).await?;
    SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false).verify_plan(&plan)?;
    Ok(plan)
}

impl Stages<'_> {
    /// Runs the `WITH` query at a place, with those before it, and puts a table in its place.
    async fn hold(&mut self, query: &mut Query, at: usize) -> Result<()> {
        let with = query.with.as_mut().expect("the caller saw it");
        let mut step = with.cte_tables[at].query.as_ref().clone();
        let mut before = with.clone();
        before.cte_tables.truncate(at);
        before.cte_tables = needed(before.cte_tables, &step);
        // A query with a WITH of its own keeps it, behind those that it may name.
        if let Some(own) = step.with.take() {
            before.cte_tables.extend(own.cte_tables);
        }
        step.with = (!before.cte_tables.is_empty()).then_some(before);
        let plan = checked(self.ctx, Statement::Query(Box::new(step))).await?;
        let mut rows = DataFrame::new(planner(self.ctx), plan).execute_stream().await?;
        let mut batches = Vec::new();
        while let Some(batch) = rows.try_next().await? {
            self.rows += batch.num_rows();
            if self.rows > MAX_ROWS {
                let message =
                    format!("the steps of this detection hold more than {MAX_ROWS} rows: group before joining");
                return Err(DataFusionError::ResourcesExhausted(message));
            }
            batches.push(batch);
        }
        let name = format!("{}{at}", self.prefix);
        // In as many parts as there are cores, so that what reads it is parallel.
        let mut parts = vec![Vec::new(); self.ctx.state().config().target_partitions().max(1)];
        let count = parts.len();
        for (number, batch) in batches.into_iter().enumerate() {
            parts[number % count].push(batch);
        }
        self.ctx.register_table(name.as_str(), Arc::new(MemTable::try_new(rows.schema(), parts)?))?;
        self.names.push(name.clone());
        replace(&mut with.cte_tables[at], &name);
        Ok(())
    }
}

/// Those of some `WITH` queries, each of which may name those before it, that a query needs: what it does not need would be
/// planned all the same.
fn needed(ctes: Vec<Cte>, query: &Query) -> Vec<Cte> {
    let mut needed: Vec<Cte> = Vec::new();
    for cte in ctes.into_iter().rev() {
        let name = &cte.alias.name;
        if uses(query, name) > 0 || needed.iter().any(|later| uses(&later.query, name) > 0) {
            needed.push(cte);
        }
    }
    needed.reverse();
    needed
}

/// Makes a `WITH` query read a table.
fn replace(cte: &mut Cte, table: &str) {
    let sql = format!("SELECT * FROM {table}");
    let parsed = datafusion::sql::sqlparser::parser::Parser::parse_sql(
        &datafusion::sql::sqlparser::dialect::GenericDialect {},
        &sql,
    );
    if let Ok(mut statements) = parsed
        && let Some(Statement::Query(query)) = statements.pop()
    {
        cte.query = query;
    }
}

/// How often a query names a table.
fn uses(query: &Query, name: &Ident) -> usize {
    let mut count = 0;
    let _ = visit_relations(query, |relation: &ObjectName| {
        count += usize::from(relation.to_string().eq_ignore_ascii_case(&name.value));
        ControlFlow::<()>::Continue(())
    });
    count
}
