//! `kvaudit detect`: the detections over a period, and every alert with a finding in it.

use std::collections::BTreeSet;
use std::io::Write;

use clap::Args;
use datafusion::prelude::SessionContext;

use super::context::{Context, is_forbidden, now};
use super::days::{self, DAY, Days};
use super::{
    FailOn, Format, Outcome, RuleTime, WrongUse, apart, blind, incidents, no_rule, note, progress, table, text, times,
};
use crate::alert::{Alert, AlertState, Incident};
use crate::detection::{self, Evaluation, Library, Period, Rule, Trigger};
use crate::state::{AlertFilter, Order, RuleInfo, State};
use crate::store::{Access, SessionUse, Store};

/// Alerts that a command prints at the most; the rest is named by its number.
pub const MOST_ALERTS: usize = 10_000;

/// Arguments of `detect`.
#[derive(Debug, Args)]
pub struct DetectArgs {
    /// Start of the period: RFC 3339, a date, or a span back from the last record (24h, 7d). Default: a day before its end.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// End of the period. Default: the last record.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Only these rules.
    #[arg(long = "rule", value_name = "ID")]
    rules: Vec<String>,
    #[command(flatten)]
    fail_on: FailOn,
    #[command(flatten)]
    pub(super) rule_time: RuleTime,
}

pub async fn detect(context: &Context, args: DetectArgs) -> anyhow::Result<Outcome> {
    let store = context.store(Access::Existing).await?;
    let state = prepare(context, &store).await?;
    let library = context.library(None)?;
    let Some(mut days) = Days::read(&store).await? else {
        note("the store holds no events yet: there is nothing to detect in");
        if context.format == Format::Json {
            writeln!(std::io::stdout(), "[]")?;
        }
        return Ok(Outcome::Done);
    };
    let rules = library.choose(&args.rules).map_err(no_rule)?;
    days.note(&state, &rules)?;
    let asked = asked(context, &args, &days, &state, &rules)?;
    let (first, end) = (days.extent.data.from, days.extent.end_of_all());
    let period = Period { from: asked.from.max(first), to: asked.to.min(end) };
    if period.from >= period.to {
        note(&format!(
            "there are no records from {} to {} UTC: the store's are from {} to {}",
            times::minute(asked.from),
            times::minute(asked.to),
            times::minute(first),
            times::minute(end - 1)
        ));
        print(context.format, &[])?;
        return Ok(Outcome::Done);
    }
    let mut run = evaluate(context, &store, &state, &rules, period, &days).await?;
    run.failed.extend(broken(&library));
    let alerts = run.alerts(&state, &rules)?;
    if context.format == Format::Table {
        note(&format!(
            "period: {} to {} UTC, {}",
            times::minute(period.from),
            times::minute(period.to),
            table::counted(rules.len() as u64, "rule")
        ));
    }
    print_incidents(context.format, &state, &alerts)?;
    print(context.format, &alerts)?;
    days.tell(&state, &rules, period.to)?;
    blind::tell(&store, &rules, run.period).await?;
    Ok(outcome(&run, &alerts, &args.fail_on))
}

/// The period that the arguments ask for; without any the last day, and what late records made stale in the time allowed to
/// them. Times count back from the last record of the data.
fn asked(context: &Context, args: &DetectArgs, days: &Days, state: &State, rules: &[&Rule]) -> anyhow::Result<Period> {
    // The last record lies before the period's end, which is exclusive.
    let end = days.extent.data.to;
    let to = args.to.as_deref().map_or(Ok(end), |t| times::parse(t, end - 1))?;
    let from = match &args.from {
        Some(from) => times::parse(from, end - 1)?,
        None if args.to.is_some() => to - DAY,
        None => days.last_day(state, rules, context.config.allowed_lateness)?,
    };
    if from < to {
        return Ok(Period { from, to });
    }
    let (from, to) = (times::minute(from), times::minute(to));
    Err(WrongUse(format!("the period is empty: --from {from} does not lie before --to {to}")).into())
}

/// The state to record in and roll-ups of all events; where the store may only be read, a state in memory and the roll-ups as
/// they are.
async fn prepare(context: &Context, store: &Store) -> anyhow::Result<State> {
    match prepare_to_record(context, store).await {
        Err(error) if is_forbidden(&error) => {
            note(&format!(
                "'{}' may only be read: what is found is printed and not recorded, out of the roll-ups as they were last brought \
                 up to date",
                store.dir().display()
            ));
            context.exported_state(store).await
        }
        prepared => prepared,
    }
}

async fn prepare_to_record(context: &Context, store: &Store) -> anyhow::Result<State> {
    let state = context.state(store).await?;
    store.refresh_rollups().await?;
    Ok(state)
}

/// What an evaluation left behind.
pub struct Run {
    /// The period that was evaluated, over all rules' own cuts.
    pub period: Period,
    /// A sentence for each rule that failed.
    pub failed: Vec<String>,
}

impl Run {
    /// The alerts with a finding in the period, worst first.
    pub fn alerts(&self, state: &State, rules: &[&Rule]) -> anyhow::Result<Vec<Alert>> {
        let filter = AlertFilter {
            from: Some(self.period.from),
            to: Some(self.period.to),
            include_suppressed: true,
            ..AlertFilter::default()
        };
        let page = state.alerts(&filter, Order::SeverestFirst, MOST_ALERTS, None, now().timestamp_micros())?;
        let wanted = |alert: &Alert| rules.iter().any(|rule| rule.id == alert.rule_id);
        Ok(page.alerts.into_iter().filter(|a| a.state != AlertState::Withdrawn && wanted(a)).collect())
    }
}

/// A sentence for each of the user's files that is no detection.
pub fn broken(library: &Library) -> Vec<String> {
    library.broken().map(|error| format!("a detection could not be read: {error}")).collect()
}

/// Evaluates the rules, stores findings and alerts, and exports the alerts as a table. A rule that fails does not stop the others.
pub async fn evaluate(
    context: &Context,
    store: &Store,
    state: &State,
    rules: &[&Rule],
    period: Period,
    days: &Days,
) -> anyhow::Result<Run> {
    let (world, problems) = context.world(store);
    let names = world.names();
    let session = store.with_world(&world).session(SessionUse::Detection).await?;
    let session = detection::RuleTime(context.config.limits.rule_time).session(&session);
    detection::functions::register(&session);
    let bar = progress::steps(context.progress, rules.len() as u64);
    let told = |p: detection::evaluate::Progress<'_>| {
        bar.set_position(p.done as u64);
        bar.set_message(p.next.unwrap_or_default().to_owned());
    };
    let evaluations = ask(context, store, &session, rules, period, days, told).await?;
    // A file that is not read is a list that detections lack.
    let refused = problems.iter().filter(|p| p.refused).map(|p| format!("a file about the world was not read: {p}"));
    let mut run = Run { period, failed: refused.collect() };
    let mut answered = Vec::with_capacity(rules.len());
    for evaluation in evaluations {
        let (Some(asked), Some(rule)) = (evaluation.period, rules.iter().find(|rule| rule.id == evaluation.rule_id))
        else {
            continue;
        };
        match evaluation.findings {
            Ok(mut findings) => {
                findings.iter_mut().for_each(|finding| names.put(finding));
                run.period.from = run.period.from.min(asked.from);
                run.period.to = run.period.to.max(asked.to);
                state.record(&info(rule), (asked.from, asked.to), &findings, now().timestamp_micros())?;
                answered.push((rule.id.as_str(), asked));
            }
            Err(error) => run.failed.push(format!("rule {} failed: {error}", rule.id)),
        }
    }
    bar.finish_and_clear();
    days.evaluated(state, &answered)?;
    export(store, state).await?;
    Ok(run)
}

/// Asks the rules. Those that are due as time passes are asked up to the end of the data only: in the time up to a stray
/// record every vault would be silent.
async fn ask(
    context: &Context,
    store: &Store,
    session: &SessionContext,
    rules: &[&Rule],
    period: Period,
    days: &Days,
    mut told: impl FnMut(detection::evaluate::Progress<'_>),
) -> anyhow::Result<Vec<Evaluation>> {
    let clocked = days::for_clocks(days, period);
    if clocked == period {
        return apart::evaluate_all(context, store, session, rules, period, told).await;
    }
    let (clocks, others): (Vec<&Rule>, Vec<&Rule>) = rules.iter().partition(|rule| rule.header.on == Trigger::Clock);
    let mut evaluations = apart::evaluate_all(context, store, session, &others, period, &mut told).await?;
    if clocked.from < clocked.to {
        evaluations.extend(apart::evaluate_all(context, store, session, &clocks, clocked, |_| {}).await?);
    }
    Ok(evaluations)
}

/// Brings the incidents up to date, then writes the alerts into the store's table, so that SQL and other engines see them.
pub async fn export(store: &Store, state: &State) -> anyhow::Result<()> {
    state.correlate(now().timestamp_micros())?;
    if state.is_in_memory() {
        return Ok(());
    }
    let filter = AlertFilter { include_suppressed: true, ..AlertFilter::default() };
    let mut alerts = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let page = state.alerts(
            &filter,
            Order::NewestFirst,
            crate::state::MAX_PAGE,
            cursor.as_deref(),
            now().timestamp_micros(),
        )?;
        alerts.extend(page.alerts);
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    store.write_alerts(crate::store::alerts_batch(&alerts)).await?;
    Ok(())
}

/// What the state keeps of a rule.
pub fn info(rule: &Rule) -> RuleInfo {
    RuleInfo {
        rule_id: rule.id.clone(),
        title: rule.header.title.clone(),
        techniques: rule.header.techniques.clone(),
        quiet_for_micros: rule.header.quiet_for,
        severity: rule.header.severity,
    }
}

/// The exit code: a failed rule is worse than a standing alert, since it may hide one.
pub fn outcome(run: &Run, alerts: &[Alert], fail_on: &FailOn) -> Outcome {
    for failure in &run.failed {
        note(failure);
    }
    if !run.failed.is_empty() {
        return Outcome::Partial;
    }
    let stands = |a: &Alert, at| a.severity >= at && !a.suppressed && a.state == AlertState::Open;
    match fail_on.fail_on {
        Some(at) if alerts.iter().any(|a| stands(a, at)) => Outcome::AlertsStand,
        _ => Outcome::Done,
    }
}

/// Prints alerts in the form that was asked for.
pub fn print(format: Format, alerts: &[Alert]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match format {
        Format::Json => writeln!(out, "{}", text::json(&serde_json::to_string_pretty(alerts)?))?,
        Format::Jsonl => {
            for alert in alerts {
                writeln!(out, "{}", text::json(&serde_json::to_string(alert)?))?;
            }
        }
        Format::Csv => super::alerts::write_csv(&mut out, alerts)?,
        Format::Table if alerts.is_empty() => writeln!(out, "no alerts")?,
        Format::Table => {
            writeln!(out, "{}", table::alerts(alerts))?;
            writeln!(out, "{}", tally(alerts))?;
        }
    }
    Ok(())
}

/// The incidents that join several of these alerts, worst first; one that is a single alert is told by that alert.
pub fn joined(state: &State, alerts: &[Alert]) -> anyhow::Result<Vec<Incident>> {
    let filter = AlertFilter { states: vec![AlertState::Open, AlertState::Acknowledged], ..AlertFilter::default() };
    let page = state.incidents(&filter, Order::SeverestFirst, MOST_ALERTS, None)?;
    let ids: BTreeSet<&str> = alerts.iter().filter_map(|a| a.incident_id.as_deref()).collect();
    let several = |i: &Incident| i.alert_ids.len() > 1 && ids.contains(i.incident_id.as_str());
    Ok(page.incidents.into_iter().filter(several).collect())
}

/// For a person, incidents come before the alerts.
fn print_incidents(format: Format, state: &State, alerts: &[Alert]) -> anyhow::Result<()> {
    let incidents = if format == Format::Table { joined(state, alerts)? } else { Vec::new() };
    if !incidents.is_empty() {
        writeln!(std::io::stdout(), "{}\n{}\n", table::incidents(&incidents), incidents::tally(&incidents))?;
    }
    Ok(())
}

/// `3 high, 2 medium, 1 low`, worst first.
pub fn tally(alerts: &[Alert]) -> String {
    let parts: Vec<String> = crate::alert::Severity::ALL
        .into_iter()
        .rev()
        .filter_map(|s| {
            let n = alerts.iter().filter(|a| a.severity == s).count();
            (n > 0).then(|| format!("{n} {s}"))
        })
        .collect();
    if parts.is_empty() { "no alerts".to_owned() } else { format!("alerts: {}", parts.join(", ")) }
}
