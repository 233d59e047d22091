//! The tests beside a detection: events that fire and events that stay silent, `NAME.test.toml`. Reads such a file,
//! makes the tables of each case in memory and asks the detection about them. Prints nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::datasource::MemTable;
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::future::BoxFuture;
use serde::Deserialize;
use toml::{Spanned, Table};

use super::evaluate::Scale;
use super::events::{Row, batch, parse_time};
use super::header::line_of;
use super::library::TestFile;
use super::parameter::parse_duration;
use super::{DetectionError, Period, Place, Rule, evaluate_all, functions, properties};
use crate::alert::{Finding, Micros, Value, rfc3339};
use crate::world::{AddressRange, BaitObject, Principal, Subscription, Vault, World};

/// The most events of one case.
const MAX_EVENTS: usize = 500_000;

/// When a case starts that does not say: a Monday at midnight.
const START: &str = "2026-03-09T00:00:00Z";

/// Makes the roll-ups of a case.
pub trait Fixture: Sync {
    /// Registers `activity`, `sightings` and `coverage` in a session that has `events`.
    ///
    /// # Errors
    /// The roll-ups cannot be computed.
    fn rollups<'a>(&'a self, ctx: &'a SessionContext) -> BoxFuture<'a, DfResult<()>>;
}

/// STAND-IN for the store's own roll-ups: the same columns, from the same events, by plain SQL.
#[derive(Debug, Clone, Copy, Default)]
pub struct StandIn;

impl Fixture for StandIn {
    fn rollups<'a>(&'a self, ctx: &'a SessionContext) -> BoxFuture<'a, DfResult<()>> {
        Box::pin(async move {
            for (name, sql) in [("activity", ACTIVITY), ("sightings", SIGHTINGS), ("coverage", COVERAGE)] {
                let rows = ctx.sql(sql).await?;
                let schema = Arc::new(rows.schema().as_arrow().clone());
                let table = MemTable::try_new(schema, vec![rows.collect().await?])?;
                ctx.register_table(name, Arc::new(table))?;
            }
            Ok(())
        })
    }
}

const ACTIVITY: &str = "
SELECT hour, vault_name, principal_id, max(principal_type) AS principal_type, max(principal_name) AS principal_name,
    operation_name, operation_class, outcome, count(*) AS calls,
    count(DISTINCT coalesce(object_type, '') || '/' || object_name) AS distinct_objects,
    max(in_10min) AS peak_10min, max(in_10s) AS peak_10s,
    sum(duration_ms) AS duration_sum_ms, max(duration_ms) AS duration_max_ms, min(time) AS first_time, max(time) AS last_time
FROM (
    SELECT *, date_trunc('hour', time) AS hour,
        count(*) OVER (PARTITION BY vault_name, principal_id, operation_name, operation_class, outcome,
            date_bin(INTERVAL '10 minutes', time)) AS in_10min,
        count(*) OVER (PARTITION BY vault_name, principal_id, operation_name, operation_class, outcome,
            date_bin(INTERVAL '10 seconds', time)) AS in_10s
    FROM events
)
GROUP BY hour, vault_name, principal_id, operation_name, operation_class, outcome";

const SIGHTINGS: &str = "
SELECT day, principal_id, kind, value, vault_name, count(*) AS calls,
    sum(CASE WHEN outcome = 'success' THEN 1 ELSE 0 END) AS successes, min(time) AS first_time, max(time) AS last_time
FROM (
    SELECT date_trunc('day', time) AS day, principal_id, 'object' AS kind,
        vault_name || '/' || object_type || '/' || object_name AS value, vault_name, outcome, time FROM events
    UNION ALL SELECT date_trunc('day', time), principal_id, 'address', caller_ip, vault_name, outcome, time FROM events
    UNION ALL SELECT date_trunc('day', time), principal_id, 'client', client_product, vault_name, outcome, time FROM events
    UNION ALL SELECT date_trunc('day', time), principal_id, 'vault', vault_name AS value, vault_name, outcome, time FROM events
)
WHERE value IS NOT NULL
GROUP BY day, principal_id, kind, value, vault_name";

const COVERAGE: &str = "
SELECT date_trunc('hour', time) AS hour, vault_name, category, count(*) AS records,
    min(time) AS first_time, max(time) AS last_time
FROM events GROUP BY 1, 2, 3";

/// One case, ready to run.
#[derive(Debug, Clone)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// Its line in the test file.
    pub line: usize,
    /// Whether the detection is to yield anything.
    pub fires: bool,
    expect: Vec<Table>,
    params: Table,
    start: Micros,
    from: Option<Micros>,
    until: Option<Micros>,
    rows: Vec<Row>,
    world: World,
}

/// What came of a case.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What the case shows.
    pub name: String,
    /// Its line in the test file.
    pub line: usize,
    /// What is not as expected; empty if all is well.
    pub problems: Vec<String>,
    /// What the detection yielded.
    pub findings: Vec<Finding>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    defaults: Table,
    #[serde(default)]
    case: Vec<Spanned<RawCase>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCase {
    name: String,
    start: Option<String>,
    from: Option<String>,
    until: Option<String>,
    fires: Option<bool>,
    #[serde(default)]
    expect: Vec<Table>,
    #[serde(default)]
    params: Table,
    #[serde(default)]
    defaults: Table,
    #[serde(default)]
    events: Vec<Spanned<RawEvents>>,
    #[serde(default)]
    principals: Vec<Principal>,
    #[serde(default)]
    vaults: Vec<Vault>,
    #[serde(default)]
    subscriptions: Vec<Subscription>,
    #[serde(default)]
    bait_objects: Vec<BaitObject>,
    #[serde(default)]
    address_lists: Vec<AddressRange>,
}

/// Events that one entry stands for. All other keys are columns; `{i}` and `{j}` in text count repetitions and batch.
#[derive(Deserialize)]
struct RawEvents {
    at: Option<String>,
    after: Option<String>,
    repeat: Option<usize>,
    every: Option<String>,
    batch: Option<usize>,
    spacing: Option<String>,
    #[serde(flatten)]
    columns: Table,
}

/// Reads a test file.
///
/// # Errors
/// [`DetectionError::Case`] with the line.
pub fn parse(tests: &TestFile) -> Result<Vec<Case>, DetectionError> {
    let fail = |offset: Option<usize>, message: String| {
        let line = offset.map(|offset| line_of(&tests.text, offset));
        DetectionError::Case { place: Place::line(&tests.path, line), message }
    };
    let raw: RawFile = toml::from_str(&tests.text)
        .map_err(|e| fail(e.span().map(|s| s.start), e.message().trim_end().replace('\n', "; ")))?;
    let read = |case: Spanned<RawCase>| {
        let offset = case.span().start;
        let line = line_of(&tests.text, offset);
        checked(case.into_inner(), line, &raw.defaults)
            .map_err(|(at, message)| fail(Some(at.unwrap_or(offset)), message))
    };
    raw.case.into_iter().map(read).collect()
}

/// A message, with the offset of its place in the file where that is not the case as a whole.
type CaseError = (Option<usize>, String);

fn checked(raw: RawCase, line: usize, defaults: &Table) -> Result<Case, CaseError> {
    let here = |message: String| (None, format!("case '{}': {message}", raw.name));
    let start = parse_time(raw.start.as_deref().unwrap_or(START), 0).map_err(here)?;
    let at = |text: &Option<String>| text.as_deref().map(|t| parse_time(t, start)).transpose().map_err(here);
    let (from, until) = (at(&raw.from)?, at(&raw.until)?);
    let fires = match (raw.fires, raw.expect.is_empty()) {
        (Some(false), false) => return Err(here("fires = false and expected rows contradict each other".to_owned())),
        (None, true) => return Err(here("say fires = true or fires = false, or list the rows expected".to_owned())),
        (fires, _) => fires.unwrap_or(true),
    };
    let mut base = defaults.clone();
    base.extend(raw.defaults.clone());
    let mut rows: Vec<Row> = Vec::new();
    for events in &raw.events {
        let last = rows.last().map_or(start, |row| row.time);
        let more = expand(events.get_ref(), &base, start, last)
            .map_err(|message| (Some(events.span().start), format!("case '{}': {message}", raw.name)))?;
        rows.extend(more);
        if rows.len() > MAX_EVENTS {
            return Err(here(format!("more than {MAX_EVENTS} events: a case is a small example")));
        }
    }
    let world = World {
        principals: raw.principals,
        vaults: raw.vaults,
        subscriptions: raw.subscriptions,
        bait_objects: raw.bait_objects,
        address_lists: raw.address_lists,
    };
    Ok(Case { name: raw.name, line, fires, expect: raw.expect, params: raw.params, start, from, until, rows, world })
}

fn expand(raw: &RawEvents, base: &Table, start: Micros, last: Micros) -> Result<Vec<Row>, String> {
    let length = |text: &Option<String>| text.as_deref().map_or(Ok(0), parse_duration);
    let (every, spacing) = (length(&raw.every)?, length(&raw.spacing)?);
    let first = match (&raw.at, &raw.after) {
        (Some(_), Some(_)) => return Err("'at' and 'after' exclude each other".to_owned()),
        (Some(at), None) => parse_time(at, start)?,
        (None, after) => last + length(after)?,
    };
    let (repeat, batch) = (raw.repeat.unwrap_or(1), raw.batch.unwrap_or(1));
    if repeat.saturating_mul(batch) > MAX_EVENTS {
        return Err(format!("repeat × batch is more than {MAX_EVENTS} events"));
    }
    let mut columns = base.clone();
    columns.extend(raw.columns.clone());
    let row = |i: usize, j: usize| {
        let number = |name: &str, count: usize| (format!("{{{name}}}"), count.to_string());
        let mut columns = columns.clone();
        for (_, value) in &mut columns {
            if let toml::Value::String(text) = value
                && text.contains('{')
            {
                for (place, count) in [number("i", i), number("j", j)] {
                    *text = text.replace(&place, &count);
                }
            }
        }
        Row { time: first + i as i64 * every + j as i64 * spacing, columns }
    };
    Ok((0..repeat).flat_map(|i| (0..batch).map(move |j| (i, j))).map(|(i, j)| row(i, j)).collect())
}

/// A session over the events of a batch, their roll-ups and a world, with the functions that detections use.
///
/// # Errors
/// The roll-ups cannot be made.
pub async fn session(
    events: RecordBatch,
    world: &World,
    fixture: &dyn Fixture,
) -> Result<SessionContext, DetectionError> {
    let failed =
        |e: DataFusionError| DetectionError::Run { place: Place::file("events"), message: super::bind::root(&e) };
    // Two partitions, since DataFusion 55 cannot plan some sorted unions for one.
    let config = SessionConfig::new().with_target_partitions(2).with_extension(Arc::new(Scale::SMALL));
    let ctx = SessionContext::new_with_config(config);
    functions::register(&ctx);
    let table = MemTable::try_new(events.schema(), vec![vec![events]]).map_err(failed)?;
    ctx.register_table("events", Arc::new(table)).map_err(failed)?;
    fixture.rollups(&ctx).await.map_err(failed)?;
    for (name, rows) in world.tables() {
        let table = MemTable::try_new(rows.schema(), vec![vec![rows]]).map_err(failed)?;
        ctx.register_table(name, Arc::new(table)).map_err(failed)?;
    }
    Ok(ctx)
}

/// A session whose tables are all empty: enough to plan on.
///
/// # Errors
/// The roll-ups cannot be made.
pub async fn empty_session(fixture: &dyn Fixture) -> Result<SessionContext, DetectionError> {
    session(RecordBatch::new_empty(crate::record::schema::events()), &World::default(), fixture).await
}

/// Runs all cases of a detection and compares; one that cannot run has that as its problem.
///
/// # Errors
/// The test file is malformed. A detection without one has no outcome.
pub async fn run_all(rule: &Rule, fixture: &dyn Fixture) -> Result<Vec<Outcome>, DetectionError> {
    let cases = rule.tests.as_ref().map(parse).transpose()?.unwrap_or_default();
    let mut outcomes = Vec::new();
    for case in &cases {
        outcomes.push(run(rule, case, fixture).await);
    }
    Ok(outcomes)
}

/// Runs one case and compares.
pub async fn run(rule: &Rule, case: &Case, fixture: &dyn Fixture) -> Outcome {
    let (problems, findings) = match findings_of(rule, case, fixture).await {
        Ok(findings) => (case.differences(rule, &findings), findings),
        Err(message) => (vec![message], Vec::new()),
    };
    Outcome { name: case.name.clone(), line: case.line, problems, findings }
}

async fn findings_of(rule: &Rule, case: &Case, fixture: &dyn Fixture) -> Result<Vec<Finding>, String> {
    let rule = case.rule(rule)?;
    let ctx = session(batch(&case.rows)?, &case.world, fixture).await.map_err(|e| e.to_string())?;
    let mut evaluations = evaluate_all(&ctx, [&rule], case.period(), |_| {}).await.map_err(|e| e.to_string())?;
    evaluations.pop().map_or(Ok(Vec::new()), |e| e.findings.map_err(|e| e.to_string()))
}

/// Holds a detection to what every one promises (see [`properties`]) over the events of a case; what fails.
///
/// # Errors
/// The case cannot run.
pub async fn check_properties(rule: &Rule, case: &Case, fixture: &dyn Fixture) -> Result<Vec<String>, String> {
    let rule = case.rule(rule)?;
    let text = |e: DetectionError| e.to_string();
    let full = session(batch(&case.rows)?, &case.world, fixture).await.map_err(text)?;
    let evaluations = evaluate_all(&full, [&rule], case.period(), |_| {}).await.map_err(text)?;
    let Some((period, findings)) = evaluations.into_iter().find_map(|e| Some((e.period?, e.findings))) else {
        return Ok(Vec::new());
    };
    let whole = findings.map_err(text)?;
    let mut problems = Vec::new();
    let ends = interesting_ends(&rule, period, &whole);
    problems.extend(properties::union_of_parts(&full, &rule, period, &whole, &ends).await.map_err(text)?);
    if let Some(until) = ends.first() {
        let before: Vec<Row> = case.rows.iter().filter(|row| row.time < *until).cloned().collect();
        let truncated = session(batch(&before)?, &case.world, fixture).await.map_err(text)?;
        let problem = properties::blind_to_the_future(&whole, &truncated, &rule, period, *until).await.map_err(text)?;
        problems.extend(problem);
    }
    let longer = session(batch(&continued(&case.rows, period))?, &case.world, fixture).await.map_err(text)?;
    problems.extend(properties::blind_to_the_future(&whole, &longer, &rule, period, period.to).await.map_err(text)?);
    Ok(problems)
}

/// A case's events with those of its last day once more behind the period: a future that the period must not know.
fn continued(rows: &[Row], period: Period) -> Vec<Row> {
    const DAY: Micros = 86_400_000_000;
    let recent = || rows.iter().filter(|row| period.to - DAY <= row.time && row.time < period.to);
    let shift = recent().map(|row| row.time).min().map_or(0, |first| period.to - first);
    let again = recent().map(|row| Row { time: row.time + shift, columns: row.columns.clone() });
    rows.iter().cloned().chain(again).collect()
}

/// Where to cut: behind the first finding, in their middle, and a step before the last; of silence, in its middle.
fn interesting_ends(rule: &Rule, period: Period, findings: &[Finding]) -> Vec<Micros> {
    let every = rule.header.every;
    let mut ends = match findings {
        [] => vec![(period.from + (period.to - period.from) / 2).div_euclid(every) * every],
        [first, .., last] => vec![first.window_end, findings[findings.len() / 2].window_end, last.window_end - every],
        [only] => vec![only.window_end - every, only.window_end],
    };
    ends.retain(|end| period.from < *end && *end < period.to);
    ends.dedup();
    ends
}

impl Case {
    /// The detection with the case's parameters.
    fn rule(&self, rule: &Rule) -> Result<Rule, String> {
        let mut rule = rule.clone();
        self.params.iter().try_for_each(|(name, value)| rule.set(name, value))?;
        Ok(rule)
    }

    /// From the case's `from`, else its first event, to its last, or further if the case goes on in silence.
    fn period(&self) -> Period {
        let times = || self.rows.iter().map(|row| row.time);
        let last = times().max().map_or(self.start, |t| t + 1);
        let from = self.from.or_else(|| times().min()).unwrap_or(self.start);
        Period { from, to: self.until.unwrap_or(last).max(last) }
    }

    fn differences(&self, rule: &Rule, findings: &[Finding]) -> Vec<String> {
        let mut problems = Vec::new();
        if self.fires && findings.is_empty() {
            problems.push("it stays silent and should fire".to_owned());
        }
        if !self.fires && !findings.is_empty() {
            problems.push(format!("it fires and should be silent: {}", told(findings)));
        }
        for row in &self.expect {
            if !findings.iter().any(|finding| self.matches(row, finding, |_| true)) {
                problems.push(format!("no finding is like {}; there are {}", inline(row), told(findings)));
            }
        }
        // Expected rows that name a key list everybody who may fire.
        let is_key = |name: &str| rule.header.key.iter().any(|k| k == name);
        let closed = !self.expect.is_empty() && self.expect.iter().all(|row| row.keys().any(|name| is_key(name)));
        let expected = |finding: &Finding| self.expect.iter().any(|row| self.matches(row, finding, is_key));
        if let Some(other) = findings.iter().find(|finding| closed && !expected(finding)) {
            problems.push(format!("nobody expects {}", told(std::slice::from_ref(other))));
        }
        problems
    }

    fn matches(&self, row: &Table, finding: &Finding, which: impl Fn(&str) -> bool) -> bool {
        let fields = fields(finding);
        row.iter().filter(|(name, _)| which(name)).all(|(name, expected)| {
            let actual = fields.get(name.as_str()).unwrap_or(&Value::Null);
            self.agrees(name, expected, actual)
        })
    }

    fn agrees(&self, name: &str, expected: &toml::Value, actual: &Value) -> bool {
        if let Some(text) = expected.as_str() {
            if let (Some(bound), Some(number)) = (comparison(text), actual.as_f64()) {
                return bound(number);
            }
            if name == "summary" {
                return actual.as_str().is_some_and(|summary| summary.contains(text));
            }
            if let ("window_start" | "window_end", Ok(time)) = (name, parse_time(text, self.start)) {
                return *actual == Value::String(rfc3339(time));
            }
        }
        // Keys are never null: an empty text expects an absent value.
        match serde_json::to_value(expected) {
            Ok(Value::String(text)) if text.is_empty() => actual.is_null() || actual.as_str() == Some(""),
            Ok(expected) => properties::same_value(&expected, actual),
            Err(_) => false,
        }
    }
}

/// `">= 5"` and its like.
fn comparison(text: &str) -> Option<Box<dyn Fn(f64) -> bool>> {
    let number = |rest: &str| rest.trim().parse::<f64>().ok();
    for (operator, holds) in [
        (">=", (|a, b| a >= b) as fn(f64, f64) -> bool),
        ("<=", |a, b| a <= b),
        (">", |a, b| a > b),
        ("<", |a, b| a < b),
    ] {
        if let Some(bound) = text.strip_prefix(operator).and_then(number) {
            return Some(Box::new(move |a| holds(a, bound)));
        }
    }
    None
}

/// All that a finding says, by column.
fn fields(finding: &Finding) -> BTreeMap<&str, Value> {
    let mut fields: BTreeMap<&str, Value> = BTreeMap::new();
    fields.extend(finding.evidence.iter().map(|(name, value)| (name.as_str(), value.clone())));
    fields.extend(finding.entities.iter().map(|(name, value)| (name.as_str(), value.clone())));
    fields.extend([
        ("window_start", rfc3339(finding.window_start).into()),
        ("window_end", rfc3339(finding.window_end).into()),
        ("observed", finding.observed.into()),
        ("expected", finding.expected.into()),
        ("p_value", finding.p_value.into()),
        ("severity", finding.severity.as_str().into()),
        ("summary", finding.summary.clone().into()),
        ("event_count", finding.event_count.into()),
    ]);
    fields
}

/// Findings as a test's reader needs them, the first few.
fn told(findings: &[Finding]) -> String {
    let one = |f: &Finding| {
        let key: Vec<_> = f.key.iter().map(|(name, value)| format!("{name} = '{value}'")).collect();
        let p = f.p_value.map(|p| format!(", p {p:.1e}")).unwrap_or_default();
        let (end, key) = (rfc3339(f.window_end), key.join(", "));
        format!(
            "[{key}, window_end {end}, observed {}, expected {}{p}, {}: {}]",
            f.observed, f.expected, f.severity, f.summary
        )
    };
    let shown: Vec<_> = findings.iter().take(3).map(one).collect();
    match findings.len() {
        0 => "none".to_owned(),
        n if n > shown.len() => format!("{} and {} more", shown.join(" "), n - shown.len()),
        _ => shown.join(" "),
    }
}

fn inline(row: &Table) -> String {
    let pairs: Vec<_> = row.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    format!("{{ {} }}", pairs.join(", "))
}

#[cfg(test)]
#[path = "cases_tests.rs"]
mod tests;
