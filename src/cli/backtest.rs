//! `kvaudit rules backtest`: what detections would have told over a period, and what other parameters change.

use std::io::Write;
use std::time::Instant;

use clap::Args;
use datafusion::prelude::SessionContext;
use serde::Serialize;

use super::context::{Context, now};
use super::days::{DAY, Days};
use super::detect::{MOST_ALERTS, info};
use super::{Format, Outcome, WrongUse, apart, no_rule, note, progress, table, text, times};
use crate::alert::{Alert, Severity};
use crate::detection::{self, Library, Period, Rule};
use crate::state::{AlertFilter, Order, State};
use crate::store::{Access, SessionUse, Store};

/// Alerts that are told for each change of a parameter.
const TOLD: usize = 10;

/// Arguments of `rules backtest`.
#[derive(Debug, Args)]
pub struct BacktestArgs {
    /// Only these rules.
    ids: Vec<String>,
    /// Start of the period: RFC 3339, a date, or a span back from the last record. Default: the first record.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// End of the period. Default: the last record.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Another value for a parameter: which alerts it adds and which it removes. May be given several times.
    #[arg(long = "set", value_name = "RULE.PARAMETER=VALUE")]
    set: Vec<String>,
}

/// What one detection would have told.
#[derive(Debug, Serialize)]
struct Told {
    rule_id: String,
    /// Alerts, and those of low severity and above.
    alerts: usize,
    low_and_above: usize,
    alerts_per_day: f64,
    /// How long the question took.
    seconds: f64,
    /// Present where a parameter was changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<Change>,
    /// Why there is no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// What other parameters do to a detection's alerts.
#[derive(Debug, Serialize)]
struct Change {
    added: Vec<Alert>,
    removed: Vec<Alert>,
}

pub async fn backtest(context: &Context, library: &Library, args: &BacktestArgs) -> anyhow::Result<Outcome> {
    let changed = changed(library, &args.set)?;
    let rules = chosen(library, &args.ids, &changed)?;
    let store = context.store(Access::Existing).await?;
    store.refresh_rollups().await?;
    let Some(days) = Days::read(&store).await? else {
        note("the store holds no events yet: there is nothing to ask about");
        return Ok(Outcome::Done);
    };
    let (Period { from: first, to: end }, end_of_all) = (days.extent.data, days.extent.end_of_all());
    let last = end - 1;
    let time = |text: &Option<String>, default| text.as_deref().map_or(Ok(default), |t| times::parse(t, last));
    let period = Period { from: time(&args.from, first)?.max(first), to: time(&args.to, end)?.min(end_of_all) };
    if period.from >= period.to {
        let (from, to) = (times::minute(first), times::minute(last));
        return Err(WrongUse(format!("no records lie in this period: the store's are from {from} to {to}")).into());
    }
    let (world, _) = context.world(&store);
    let session = store.with_world(&world).session(SessionUse::Detection).await?;
    let session = detection::RuleTime(context.config.limits.rule_time).session(&session);
    detection::functions::register(&session);
    let bar = progress::steps(context.progress, rules.len() as u64);
    let mut told = Vec::with_capacity(rules.len());
    for rule in rules {
        bar.set_message(rule.id.clone());
        let asking = Asking { context, store: &store, session: &session, period };
        told.push(ask(&asking, rule, changed.iter().find(|other| other.id == rule.id)).await?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    print(context.format, &told, period)?;
    Ok(if told.iter().any(|t| t.error.is_some()) { Outcome::Partial } else { Outcome::Done })
}

/// The rules that are asked: those that are named, else those with a changed parameter, else all.
fn chosen<'a>(library: &'a Library, ids: &[String], changed: &[Rule]) -> anyhow::Result<Vec<&'a Rule>> {
    let changed: Vec<String> = changed.iter().map(|rule| rule.id.clone()).collect();
    library.choose(if ids.is_empty() { &changed } else { ids }).map_err(no_rule)
}

/// The rules that `--set` changes, with their new values.
fn changed(library: &Library, set: &[String]) -> anyhow::Result<Vec<Rule>> {
    let mut changed: Vec<Rule> = Vec::new();
    for one in set {
        let wrong = |why: String| WrongUse(format!("--set {one}: {why}"));
        let (name, value) = one.split_once('=').ok_or_else(|| wrong("write RULE.PARAMETER=VALUE".to_owned()))?;
        let (id, parameter) = name.split_once('.').ok_or_else(|| wrong("write RULE.PARAMETER=VALUE".to_owned()))?;
        let rule = library.find(id).map_err(no_rule)?;
        // A number or truth value as it stands; what is none of these is text: "10m" needs no quotes here.
        let parsed = toml::from_str::<toml::Table>(&format!("v = {value}")).ok().and_then(|mut t| t.remove("v"));
        let value = parsed.unwrap_or_else(|| toml::Value::String(value.to_owned()));
        let at = changed.iter().position(|other| other.id == id).unwrap_or_else(|| {
            changed.push(rule.clone());
            changed.len() - 1
        });
        changed[at].set(parameter, &value).map_err(wrong)?;
    }
    Ok(changed)
}

/// What every question of a backtest is asked of.
struct Asking<'a> {
    context: &'a Context,
    store: &'a Store,
    session: &'a SessionContext,
    period: Period,
}

async fn ask(asking: &Asking<'_>, rule: &Rule, other: Option<&Rule>) -> anyhow::Result<Told> {
    let begun = Instant::now();
    let before = alerts(asking, rule).await?;
    let seconds = begun.elapsed().as_secs_f64();
    let days = (asking.period.to - asking.period.from) as f64 / DAY as f64;
    let mut told = Told {
        rule_id: rule.id.clone(),
        alerts: 0,
        low_and_above: 0,
        alerts_per_day: 0.0,
        seconds,
        change: None,
        error: None,
    };
    let after = match other {
        Some(other) => alerts(asking, other).await?,
        None => Ok(Vec::new()),
    };
    match (before, after) {
        (Ok(before), Ok(after)) => {
            told.alerts = before.len();
            told.low_and_above = before.iter().filter(|a| a.severity >= Severity::Low).count();
            told.alerts_per_day = before.len() as f64 / days;
            told.change = other.map(|_| Change { added: beyond(&after, &before), removed: beyond(&before, &after) });
        }
        (Err(error), _) | (_, Err(error)) => told.error = Some(error),
    }
    Ok(told)
}

/// The alerts that a rule makes of a period, in a state that is forgotten; or why it failed.
async fn alerts(asking: &Asking<'_>, rule: &Rule) -> anyhow::Result<Result<Vec<Alert>, String>> {
    let Asking { context, store, session, period } = *asking;
    let Some(evaluation) = apart::evaluate_all(context, store, session, &[rule], period, |_| {}).await?.pop() else {
        return Ok(Ok(Vec::new()));
    };
    let findings = match evaluation.findings {
        Ok(findings) => findings,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let (state, now) = (State::in_memory()?, now().timestamp_micros());
    if let Some(asked) = evaluation.period {
        state.record(&info(rule), (asked.from, asked.to), &findings, now)?;
    }
    let page = state.alerts(&AlertFilter::default(), Order::SeverestFirst, MOST_ALERTS, None, now)?;
    Ok(Ok(page.alerts))
}

/// Those that no other tells of: the same thing at an overlapping time is the same alert, whenever it begins.
fn beyond(alerts: &[Alert], others: &[Alert]) -> Vec<Alert> {
    let same = |a: &Alert, b: &Alert| {
        a.alert_id == b.alert_id
            || a.entities == b.entities && a.window_start < b.window_end && b.window_start < a.window_end
    };
    alerts.iter().filter(|alert| !others.iter().any(|other| same(alert, other))).cloned().collect()
}

fn print(format: Format, told: &[Told], period: Period) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match format {
        Format::Json => writeln!(out, "{}", text::json(&serde_json::to_string_pretty(told)?))?,
        Format::Jsonl => {
            for one in told {
                writeln!(out, "{}", text::json(&serde_json::to_string(one)?))?;
            }
        }
        Format::Csv => print_csv(&mut out, told)?,
        Format::Table => print_table(&mut out, told, period)?,
    }
    Ok(())
}

fn print_csv(out: &mut impl Write, told: &[Told]) -> anyhow::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record(["rule_id", "alerts", "low_and_above", "alerts_per_day", "seconds", "added", "removed", "error"])?;
    for t in told {
        let count = |alerts: fn(&Change) -> usize| t.change.as_ref().map(|c| alerts(c).to_string()).unwrap_or_default();
        csv.write_record([
            t.rule_id.clone(),
            t.alerts.to_string(),
            t.low_and_above.to_string(),
            format!("{:.3}", t.alerts_per_day),
            format!("{:.2}", t.seconds),
            count(|c| c.added.len()),
            count(|c| c.removed.len()),
            text::csv_cell(t.error.as_deref().unwrap_or_default()),
        ])?;
    }
    csv.flush()?;
    Ok(())
}

fn print_table(out: &mut impl Write, told: &[Told], period: Period) -> anyhow::Result<()> {
    note(&format!("period: {} to {} UTC", times::minute(period.from), times::minute(period.to)));
    let mut grid = table::table(&["rule", "alerts", "low and above", "alerts a day", "seconds"]);
    let mut rows: Vec<&Told> = told.iter().collect();
    rows.sort_by(|a, b| {
        (b.low_and_above, b.alerts).cmp(&(a.low_and_above, a.alerts)).then(b.seconds.total_cmp(&a.seconds))
    });
    for t in rows {
        let (rate, seconds) = (format!("{:.2}", t.alerts_per_day), format!("{:.2}", t.seconds));
        let cells = [t.rule_id.clone(), t.alerts.to_string(), t.low_and_above.to_string(), rate, seconds];
        grid.add_row(cells.iter().map(|c| table::cell(c)));
    }
    writeln!(out, "{}", table::trimmed(&grid))?;
    let seconds: f64 = told.iter().map(|t| t.seconds).sum();
    let (alerts, loud) = told.iter().fold((0, 0), |(all, loud), t| (all + t.alerts, loud + t.low_and_above));
    let rules = table::counted(told.len() as u64, "rule");
    writeln!(
        out,
        "{rules}: {}, {loud} of low severity and above, {seconds:.1} s",
        table::counted(alerts as u64, "alert")
    )?;
    for t in told {
        if let Some(error) = &t.error {
            note(&format!("rule {} failed: {error}", t.rule_id));
        }
        if let Some(change) = &t.change {
            print_change(out, &t.rule_id, change)?;
        }
    }
    Ok(())
}

fn print_change(out: &mut impl Write, rule_id: &str, change: &Change) -> anyhow::Result<()> {
    for (word, alerts) in [("adds", &change.added), ("removes", &change.removed)] {
        writeln!(out, "\n{rule_id}: the change {word} {}", table::counted(alerts.len() as u64, "alert"))?;
        if !alerts.is_empty() {
            writeln!(out, "{}", table::alerts(&alerts[..alerts.len().min(TOLD)]))?;
        }
        if alerts.len() > TOLD {
            writeln!(out, "and {} more: --format json has them all", alerts.len() - TOLD)?;
        }
    }
    Ok(())
}
