//! Asks a detection about a period and gives back its findings. The session it is handed has the tables `events`,
//! `activity`, `sightings` and `coverage`; this file writes nothing and knows no clock.

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use datafusion::error::DataFusionError;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{DataFrame, SessionContext};
use datafusion::sql::sqlparser::ast::Statement;
use futures::TryStreamExt;
use tokio::sync::Semaphore;

use super::header::Trigger;
use super::parameter::Parameter;
use super::rows::{Reader, schema_problems};
use super::{DetectionError, Period, Place, Rule, RuleTime, bind, stages};
use crate::alert::{Finding, Micros};
use crate::limit::Engine;

/// The most findings of one detection in one period. A detection that yields more has no threshold worth the name, and
/// nobody would read them.
pub const MAX_FINDINGS: usize = 100_000;

/// The answer of one detection.
#[derive(Debug)]
pub struct Evaluation {
    /// The detection's id.
    pub rule_id: String,
    /// The period that was asked, cut to the detection's step; none if no data lie in it.
    pub period: Option<Period>,
    /// Its findings by window_end, or why it failed.
    pub findings: Result<Vec<Finding>, DetectionError>,
}

/// How far [`evaluate_all`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'a> {
    /// Detections done.
    pub done: usize,
    /// Detections in all.
    pub total: usize,
    /// The one that comes next; none at the end.
    pub next: Option<&'a str>,
}

/// Evaluates detections. The period is clamped to the span of the data, whose end a detection with `on = "clock"` may
/// pass. One that fails does not stop the others. Where there are few events as many detections are asked at once as there
/// are cores; else one after the other, as each uses all cores and much memory.
///
/// # Errors
/// The span of the data cannot be read. Failures of single detections are in their [`Evaluation`].
pub async fn evaluate_all<'a>(
    ctx: &SessionContext,
    rules: impl IntoIterator<Item = &'a Rule>,
    period: Period,
    mut progress: impl FnMut(Progress<'_>),
) -> Result<Vec<Evaluation>, DetectionError> {
    let rules: Vec<&Rule> = rules.into_iter().collect();
    let span = data_span(ctx).await?;
    let (ctx, together) = match span {
        Some(span) => {
            let scale = Scale::of(events(ctx).await?, span);
            (scale.session(ctx), scale.together(ctx))
        }
        None => (ctx.clone(), 1),
    };
    let turns = Arc::new(Semaphore::new(together));
    let time = RuleTime::chosen(&ctx);
    let engine = Arc::new(start_engine(&ctx)?);
    let mut asked = Vec::with_capacity(rules.len());
    for rule in &rules {
        let (ctx, rule, turns, engine) = (ctx.clone(), (*rule).clone(), turns.clone(), engine.clone());
        let period = span.and_then(|span| clamped(&rule, period, span));
        // Its time begins with its turn.
        let task = tokio::spawn(async move {
            let _turn = turns.acquire_owned().await;
            let Some(period) = period else { return Ok(Vec::new()) };
            let own = rule.clone();
            time.hold(&engine, &rule, async move { evaluate(&ctx, &own, period).await }).await
        });
        asked.push((period, task));
    }
    let mut evaluations = Vec::with_capacity(rules.len());
    for (done, (rule, (period, task))) in rules.iter().zip(asked).enumerate() {
        progress(Progress { done, total: rules.len(), next: Some(&rule.id) });
        let findings = task.await.unwrap_or_else(|e| Err(failure(rule, &e.to_string())));
        evaluations.push(Evaluation { rule_id: rule.id.clone(), period, findings });
    }
    progress(Progress { done: rules.len(), total: rules.len(), next: None });
    Ok(evaluations)
}

/// Events in the session's store, from the files' own counts.
async fn events(ctx: &SessionContext) -> Result<usize, DetectionError> {
    let failed = |e: DataFusionError| failure_at("events", &bind::root(&e));
    ctx.table("events").await.map_err(failed)?.count().await.map_err(failed)
}

/// How much of a period is asked at once: an extension of the session. It changes what an evaluation costs and never what
/// it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale {
    /// The longest slice of a period that one query answers for, in microseconds.
    slice: Micros,
    /// Slices are so small that detections do not fight for memory.
    side_by_side: bool,
}

/// So many events in one slice keep a detection's memory under a gibibyte.
const SLICE_EVENTS: usize = 2_000_000;

impl Default for Scale {
    fn default() -> Self {
        Self { slice: A_WEEK, side_by_side: false }
    }
}

impl Scale {
    /// For a store that holds little.
    pub const SMALL: Self = Self { slice: A_YEAR, side_by_side: true };

    /// For a store of so many events in a span: a slice holds some two million, and is no shorter than a week, which
    /// amortises reading the baseline before it.
    fn of(events: usize, span: Period) -> Self {
        let slices = events.div_ceil(SLICE_EVENTS);
        if slices <= 1 {
            return Self::SMALL;
        }
        let slice = (span.to - span.from) / slices as Micros;
        Self { slice: slice.max(A_WEEK), side_by_side: slice >= A_WEEK }
    }

    /// Of a session; the default if nobody chose.
    fn chosen(ctx: &SessionContext) -> Self {
        ctx.state().config().get_extension::<Self>().map_or_else(Self::default, |scale| *scale)
    }

    /// Detections that are asked at the same time.
    fn together(self, ctx: &SessionContext) -> usize {
        if self.side_by_side { ctx.state().config().target_partitions().max(1) } else { 1 }
    }

    fn session(self, ctx: &SessionContext) -> SessionContext {
        let mut builder = SessionStateBuilder::new_from_existing(ctx.state());
        // Within the builder: a configuration from outside would have it make an empty catalog.
        if let Some(config) = builder.config() {
            config.set_extension(Arc::new(self));
        }
        SessionContext::new_with_state(builder.build())
    }
}

const A_WEEK: Micros = 7 * 86_400_000_000;
const A_YEAR: Micros = 366 * 86_400_000_000;

/// Threads of this evaluation's own: who waits for a detection keeps the clock.
fn start_engine(ctx: &SessionContext) -> Result<Engine, DetectionError> {
    let threads = ctx.state().config().target_partitions();
    Engine::start(threads).map_err(|e| failure_at("events", &format!("the query engine did not start: {e}")))
}

fn failure(rule: &Rule, message: &str) -> DetectionError {
    failure_at(&rule.path, message)
}

pub(super) fn failure_at(path: &str, message: &str) -> DetectionError {
    DetectionError::Run { place: Place::file(path), message: message.to_owned() }
}

/// The part of a period that lies in the data, cut outwards to the detection's step.
fn clamped(rule: &Rule, period: Period, span: Period) -> Option<Period> {
    let to = if rule.header.on == Trigger::Clock { period.to.max(span.to) } else { span.to };
    let every = rule.header.every;
    period.aligned(every).within(Period { to, ..span }.aligned(every))
}

/// From the first record to just behind the last; none for an empty store.
///
/// # Errors
/// The table `events` cannot be read.
pub async fn data_span(ctx: &SessionContext) -> Result<Option<Period>, DetectionError> {
    let failed = |e: DataFusionError| failure_at("events", &bind::root(&e));
    let query = ctx.sql("SELECT min(time), max(time) FROM events").await.map_err(failed)?;
    let batches = query.collect().await.map_err(failed)?;
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let mut edges = [0; 2];
    for (edge, column) in edges.iter_mut().zip(batches.iter().flat_map(|b| b.columns())) {
        let column = cast(column, &time).map_err(|e| failed(e.into()))?;
        if column.is_empty() || column.is_null(0) {
            return Ok(None);
        }
        *edge = column.as_primitive::<TimestampMicrosecondType>().value(0);
    }
    Ok(Some(Period { from: edges[0], to: edges[1] + 1 }))
}

/// The findings of one detection with from < window_end ≤ to, by window_end; the period is cut outwards to its step.
///
/// # Errors
/// The SQL does not plan ([`DetectionError::Sql`]), its rows are not findings ([`DetectionError::Contract`]), or it
/// fails while it runs ([`DetectionError::Run`]).
pub async fn evaluate(ctx: &SessionContext, rule: &Rule, period: Period) -> Result<Vec<Finding>, DetectionError> {
    let length = Scale::chosen(ctx).slice;
    let mut findings = Vec::new();
    for slice in period.slices(rule.header.every, length) {
        findings.extend(evaluate_slice(ctx, rule, slice, MAX_FINDINGS - findings.len()).await?);
    }
    findings.sort_by(|a, b| (a.window_end, &a.key).cmp(&(b.window_end, &b.key)));
    Ok(findings)
}

async fn evaluate_slice(
    ctx: &SessionContext,
    rule: &Rule,
    slice: Period,
    most: usize,
) -> Result<Vec<Finding>, DetectionError> {
    let place = || Place::file(&rule.path);
    // The stages live as long as the plan reads them.
    let (plan, _stages) = stages::plan(ctx, statement(rule, slice)).await.map_err(|e| sql_error(rule, &e))?;
    let problems = schema_problems(rule, plan.schema().as_arrow());
    if !problems.is_empty() {
        return Err(DetectionError::Contract { place: place(), message: problems.join("; ") });
    }
    let failed = |e: DataFusionError| DetectionError::Run { place: place(), message: bind::root(&e) };
    let mut rows = DataFrame::new(planner(ctx), plan).execute_stream().await.map_err(failed)?;
    let mut reader = Reader::new(rule, slice);
    let mut findings = Vec::new();
    while let Some(batch) = rows.try_next().await.map_err(failed)? {
        let more = reader.findings(&batch);
        findings.extend(more.map_err(|message| DetectionError::Contract { place: place(), message })?);
        if findings.len() > most {
            let message = format!(
                "more than {MAX_FINDINGS} findings in one period: raise its thresholds, or ask about less time"
            );
            return Err(DetectionError::Contract { place: place(), message });
        }
    }
    Ok(findings)
}

/// The detection's query over a period, with every `$name` bound, not yet optimised. Refuses all that is no query.
///
/// # Errors
/// [`DetectionError::Sql`] with the line of the file where the planner knows it.
pub async fn plan(ctx: &SessionContext, rule: &Rule, period: Period) -> Result<LogicalPlan, DetectionError> {
    stages::checked(ctx, statement(rule, period)).await.map_err(|e| sql_error(rule, &e))
}

fn sql_error(rule: &Rule, error: &DataFusionError) -> DetectionError {
    DetectionError::Sql { place: Place::line(&rule.path, line(error)), message: bind::root(error) }
}

/// The detection's query with every `$name` bound.
fn statement(rule: &Rule, period: Period) -> Statement {
    let header = &rule.header;
    let mut values = rule.values.clone();
    for (name, value) in [
        ("from", Parameter::Time(period.from)),
        ("to", Parameter::Time(period.to)),
        ("window", Parameter::Duration(header.window)),
        ("every", Parameter::Duration(header.every)),
        ("lookback", Parameter::Duration(header.lookback)),
        ("baseline", Parameter::Duration(header.baseline)),
        ("min_coverage", Parameter::Duration(header.min_coverage.unwrap_or(0))),
    ] {
        values.insert(name.to_owned(), value);
    }
    bind::bound(&rule.statement, &values)
}

/// The session's state, made to plan detections.
///
/// DataFusion 55's rule `eliminate_cross_join` drops an equality of a join whose one side draws on two tables, and with it
/// the answer's correctness: `events CROSS JOIN hop JOIN candidate ON window_end = date_bin(…, time) + ahead` multiplies
/// rows. Joins come out the same without the rule: predicates are pushed into them by another one.
pub(super) fn planner(ctx: &SessionContext) -> SessionState {
    let mut state = ctx.state();
    // Keeps lines and columns in the plan, for messages.
    state.config_mut().options_mut().sql_parser.collect_spans = true;
    let rules = state.optimizers().iter().filter(|rule| rule.name() != "eliminate_cross_join").cloned().collect();
    SessionStateBuilder::new_from_existing(state).with_optimizer_rules(rules).build()
}

/// The line at which the planner's diagnosis of an error points.
fn line(error: &DataFusionError) -> Option<usize> {
    let span = error.diagnostic()?.span?;
    usize::try_from(span.start.line).ok()
}
