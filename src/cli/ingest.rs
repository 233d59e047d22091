//! `kvaudit ingest SOURCE…`: logs into the store.

use std::io::Write;

use clap::Args;

use super::context::{Context, now};
use super::{Format, Outcome, WrongUse, clock, note, progress};
use crate::ingest::{Options, Progress, Report, Stopped};
use crate::record::Dates;
use crate::source;
use crate::store::{Access, Store};

/// Sources, shared by `run` and `ingest`.
#[derive(Debug, Clone, Args)]
pub struct Sources {
    /// Files, folders, globs, or - for standard input; plain, gzip or zstd.
    #[arg(required = true, value_name = "SOURCE")]
    sources: Vec<String>,
    /// Order of day and month in dates such as 5/11/2026: day-first or month-first. Unless given, the rows of each file
    /// that allow only one order settle it.
    #[arg(long, env = "KVAUDIT_DATES", value_name = "ORDER")]
    dates: Option<String>,
    /// Zone of times that name none: UTC (the default), an offset such as +01:00, or a name such as Europe/Berlin.
    #[arg(long, env = "KVAUDIT_ZONE", value_name = "ZONE", allow_hyphen_values = true)]
    zone: Option<String>,
}

impl Sources {
    /// Flags and environment laid over the configuration, checked.
    fn dates(&self, context: &Context) -> Result<Dates, WrongUse> {
        let (order, zone) = (self.dates.as_ref(), self.zone.as_ref());
        Ok(Dates {
            order: checked(order.or(context.config.dates.as_ref()), "--dates (ingest.dates)")?,
            zone: checked(zone.or(context.config.zone.as_ref()), "--zone (ingest.zone)")?,
        })
    }
}

fn checked<T: std::str::FromStr<Err: std::fmt::Display>>(
    text: Option<&String>,
    what: &str,
) -> Result<Option<T>, WrongUse> {
    text.map(|text| {
        text.parse().map_err(|error: T::Err| WrongUse(format!("{what}: '{text}' is not understood: {error}")))
    })
    .transpose()
}

/// Arguments of `ingest`.
#[derive(Debug, Args)]
pub struct IngestArgs {
    #[command(flatten)]
    sources: Sources,
}

pub async fn ingest(context: &Context, args: IngestArgs) -> anyhow::Result<Outcome> {
    let (_, report) = read_into_store(context, &args.sources).await?;
    print_report(context.format, &report)?;
    Ok(tell_problems(&report))
}

/// Ingests and brings the roll-ups up to date. Sources that cannot be read are told in the report, the rest is read.
pub async fn read_into_store(context: &Context, sources: &Sources) -> anyhow::Result<(Store, Report)> {
    let dates = sources.dates(context)?;
    let resolved = source::resolve(&sources.sources);
    if resolved.inputs.is_empty() {
        let reasons: Vec<String> = resolved.problems.iter().map(ToString::to_string).collect();
        anyhow::bail!("nothing to read: {}", reasons.join("; "));
    }
    let store = context.store(Access::Create).await?;
    let mut options = Options::new(now().timestamp_micros());
    options.dates = dates;
    if let Some(bytes) = context.config.max_record_bytes {
        options.frame.max_record_bytes = bytes;
    }
    if let Some(ratio) = context.config.max_ratio {
        options.source.max_ratio = ratio;
    }
    let bar = progress::bytes(context.progress, resolved.inputs.bytes());
    bar.set_message("reading");
    let tick = bar.clone();
    let progress: Progress = std::sync::Arc::new(move |bytes| tick.set_position(bytes));
    let result = crate::ingest::ingest(&store, resolved.inputs, &options, progress).await;
    bar.finish_and_clear();
    let mut report = result.map_err(stopped)?;
    let mut problems: Vec<String> = resolved.problems.iter().map(ToString::to_string).collect();
    problems.append(&mut report.problems);
    report.problems = problems;
    store.refresh_rollups().await.map_err(|error| {
        let stands = super::table::count(report.events_written);
        anyhow::Error::new(error).context(format!(
            "all that was read is in the store ({stands} new) and stays; only the roll-ups could not be brought up to date: once \
             the cause below is gone, run the same command again, nothing is written twice"
        ))
    })?;
    Ok((store, report))
}

/// What stands after an ingest that stopped.
fn stopped(Stopped { error, report }: Stopped) -> anyhow::Error {
    let stands = super::table::count(report.events_written);
    anyhow::Error::new(error).context(format!(
        "the ingest stopped: {stands} new events are in the store and stay. Once the cause below is gone, run the same command \
         again, nothing is written twice"
    ))
}

/// Says on standard error what was not read and what waits.
pub fn tell_problems(report: &Report) -> Outcome {
    for problem in &report.problems {
        note(&format!("not read to its end: {problem}"));
    }
    for remark in &report.remarks {
        note(remark);
    }
    if report.quarantined > 0 {
        note(&format!(
            "warning: {} {} no event and went to quarantine; see: kvaudit query \"SELECT source, position, reason FROM quarantine\"",
            report.quarantined,
            if report.quarantined == 1 { "piece of input is" } else { "pieces of input are" }
        ));
    }
    let behind = clock::behind(report);
    if let Some(told) = &behind {
        note(told);
    }
    // Refused for the clock alone, nothing was read: as bad as a source that could not be.
    let nothing = behind.is_some() && report.events_written + report.duplicates == 0;
    if report.problems.is_empty() && !nothing { Outcome::Done } else { Outcome::Partial }
}

fn print_report(format: Format, report: &Report) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match format {
        Format::Json | Format::Jsonl => writeln!(out, "{}", serde_json::to_string(report)?)?,
        Format::Csv => {
            let value = serde_json::to_value(report)?;
            let fields = value.as_object().expect("a report is an object");
            let mut table = csv::Writer::from_writer(&mut out);
            table.write_record(fields.keys())?;
            table.write_record(fields.values().map(ToString::to_string))?;
            table.flush()?;
        }
        Format::Table => writeln!(out, "{}", sentence(report))?,
    }
    Ok(())
}

/// The counts in one line.
pub fn sentence(report: &Report) -> String {
    use super::table::count;
    let mut parts = vec![
        format!("{} read", super::table::counted(report.records_read, "record")),
        format!("{} new", count(report.events_written)),
    ];
    for (number, what) in [
        (report.duplicates, "already known"),
        (report.skipped, "of other services"),
        (report.quarantined, "in quarantine"),
        (report.incomplete, "incomplete at the end of a file"),
    ] {
        if number > 0 {
            parts.push(format!("{} {what}", count(number)));
        }
    }
    let rate = if report.seconds > 0.05 {
        format!(
            " in {:.1} s ({} records/s)",
            report.seconds,
            count((report.records_read as f64 / report.seconds) as u64)
        )
    } else {
        String::new()
    };
    format!("{}{rate}", parts.join(", "))
}
