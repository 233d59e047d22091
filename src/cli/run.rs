//! `kvaudit run SOURCE…`: the main job. Ingest, detect over all the data's days, say what was found, serve.

use std::io::Write;

use clap::Args;
use datafusion::arrow::array::{Array, Int64Array};

use super::context::Context;
use super::days::Days;
use super::{FailOn, Format, Outcome, RuleTime, blind, clock, detect, ingest, note, serve, table, times};
use crate::alert::{Alert, Incident, Severity};
use crate::detection::{Period, Rule};
use crate::ingest::Report;
use crate::store::{QueryLimits, Store};

/// Alerts that the summary tells in sentences; the rest is in `kvaudit alerts list`.
const TOP_ALERTS: usize = 10;
/// As many incidents; the rest is in `kvaudit incidents list`.
const TOP_INCIDENTS: usize = 5;

/// Logs shorter than this hold no history to compare with: the least that detections ask for.
const SETTLED: i64 = 3 * 86_400_000_000;

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    sources: ingest::Sources,
    /// End after the summary in place of serving.
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    listen: serve::Listen,
    #[command(flatten)]
    fail_on: FailOn,
    #[command(flatten)]
    pub(super) rule_time: RuleTime,
}

pub async fn run(context: &Context, args: RunArgs) -> anyhow::Result<Outcome> {
    // A bad address must not cost an hour of ingest.
    let listener = if args.once { None } else { Some(args.listen.bind(context).await?) };
    let (store, report) = ingest::read_into_store(context, &args.sources).await?;
    let sources = ingest::tell_problems(&report);
    let state = context.state(&store).await?;
    let Some(mut days) = Days::read(&store).await? else {
        print_empty(context.format, &report)?;
        if clock::behind(&report).is_none() {
            note("there is nothing to detect in: give a folder or file with Key Vault's audit logs");
        }
        return Ok(sources);
    };
    let library = context.library(None)?;
    let rules: Vec<&Rule> = library.rules().iter().collect();
    days.note(&state, &rules)?;
    let (data, period) = (days.extent.data, Period { from: days.extent.data.from, to: days.extent.end_of_all() });
    let mut evaluated = detect::evaluate(context, &store, &state, &rules, period, &days).await?;
    evaluated.failed.extend(detect::broken(&library));
    let alerts = evaluated.alerts(&state, &rules)?;
    match context.format {
        Format::Table => {
            print_summary(&store, &report, (data.from, data.to - 1), &alerts, &detect::joined(&state, &alerts)?).await?
        }
        format => detect::print(format, &alerts)?,
    }
    days.tell(&state, &rules, period.to)?;
    blind::tell(&store, &rules, period).await?;
    let alerted = detect::outcome(&evaluated, &alerts, &args.fail_on);
    if let Some(listener) = listener {
        serve::until_stopped(state, listener).await?;
    }
    Ok(if sources == Outcome::Partial { sources } else { alerted })
}

fn print_empty(format: Format, report: &Report) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match format {
        Format::Json => writeln!(out, "[]")?,
        Format::Table => writeln!(out, "{}\nno Key Vault events in the store", ingest::sentence(report))?,
        Format::Jsonl | Format::Csv => {}
    }
    Ok(())
}

/// What a person wants to know first: how much, who, when, how bad, and the worst in sentences.
async fn print_summary(
    store: &Store,
    report: &Report,
    span: (i64, i64),
    alerts: &[Alert],
    incidents: &[Incident],
) -> anyhow::Result<()> {
    let known = Counts::read(store).await?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", ingest::sentence(report))?;
    writeln!(
        out,
        "store: {} of {} by {}, {} to {} UTC ({})",
        table::counted(known.events, "event"),
        table::counted(known.vaults, "vault"),
        table::counted(known.callers, "caller"),
        times::minute(span.0),
        times::minute(span.1),
        times::span(span.1 - span.0)
    )?;
    writeln!(out, "{}\n", detect::tally(alerts))?;
    if span.1 - span.0 < SETTLED {
        let told = format!(
            "The logs cover {}. What is unusual for a caller shows against three days and more: until then nobody is \
             called new and most detections hold back. Add older logs of the same vaults and run again.",
            times::span(span.1 - span.0)
        );
        writeln!(out, "{}\n", table::wrapped(&told, table::width(), ""))?;
    }
    print_incidents(&mut out, incidents)?;
    let shown = &incidents[..incidents.len().min(TOP_INCIDENTS)];
    let alone = |alert: &&Alert| !shown.iter().any(|incident| incident.alert_ids.contains(&alert.alert_id));
    let grave = alerts.iter().filter(|a| a.severity > Severity::Informational);
    let told: Vec<Alert> = grave.filter(alone).take(TOP_ALERTS).cloned().collect();
    if !told.is_empty() {
        writeln!(out, "{}\n", table::alerts(&told))?;
    }
    if alerts.len() > told.len() {
        writeln!(out, "all {}: kvaudit alerts list", alerts.len())?;
    }
    if let Some(worst) = told.first() {
        writeln!(out, "in full: kvaudit alerts show {}", worst.alert_id.chars().take(8).collect::<String>())?;
    }
    Ok(())
}

/// Alerts that belong together, before the alerts one by one.
fn print_incidents(out: &mut impl Write, incidents: &[Incident]) -> anyhow::Result<()> {
    let Some(worst) = incidents.first() else { return Ok(()) };
    writeln!(out, "{}\n", table::incidents(&incidents[..incidents.len().min(TOP_INCIDENTS)]))?;
    if incidents.len() > TOP_INCIDENTS {
        writeln!(out, "all {} that join several alerts: kvaudit incidents list", incidents.len())?;
    }
    writeln!(out, "in full: kvaudit incidents show {}\n", worst.incident_id.chars().take(8).collect::<String>())?;
    Ok(())
}

/// Sizes of what the store holds.
struct Counts {
    events: u64,
    vaults: u64,
    callers: u64,
}

impl Counts {
    /// From the roll-ups, which are small.
    async fn read(store: &Store) -> anyhow::Result<Counts> {
        let sql = "SELECT CAST((SELECT sum(records) FROM coverage) AS BIGINT) AS events, \
                   (SELECT count(DISTINCT vault_name) FROM coverage) AS vaults, \
                   (SELECT count(DISTINCT principal_id) FROM activity) AS callers";
        let batches = super::query::collect(store, sql, QueryLimits::default()).await?;
        let number = |column: usize| {
            batches
                .first()
                .and_then(|b| b.column(column).as_any().downcast_ref::<Int64Array>())
                .filter(|a| !a.is_empty() && a.is_valid(0))
                .map_or(0, |a| a.value(0).unsigned_abs())
        };
        Ok(Counts { events: number(0), vaults: number(1), callers: number(2) })
    }
}
