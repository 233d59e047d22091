//! `kvaudit ingest SOURCE…`: logs into the store.

use std::io::Write;

use clap::Args;

use super::context::{Context, now};
use super::{Format, Outcome, note, progress};
use crate::ingest::{Options, Progress, Report};
use crate::source::{self, Input};
use crate::store::{Access, Store};

/// Sources, shared by `run` and `ingest`.
#[derive(Debug, Clone, Args)]
pub struct Sources {
    /// Files, folders, globs, or - for standard input; plain, gzip or zstd.
    #[arg(required = true, value_name = "SOURCE")]
    sources: Vec<String>,
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
    let resolved = source::resolve(&sources.sources);
    if resolved.inputs.is_empty() {
        let reasons: Vec<String> = resolved.problems.iter().map(ToString::to_string).collect();
        anyhow::bail!("nothing to read: {}", reasons.join("; "));
    }
    let store = context.store(Access::Create).await?;
    let mut options = Options::new(now().timestamp_micros());
    if let Some(bytes) = context.config.max_record_bytes {
        options.frame.max_record_bytes = bytes;
    }
    if let Some(ratio) = context.config.max_ratio {
        options.source.max_ratio = ratio;
    }
    let bar = progress::bytes(context.progress, total_bytes(&resolved.inputs));
    bar.set_message("reading");
    let tick = bar.clone();
    let progress: Progress = std::sync::Arc::new(move |bytes| tick.set_position(bytes));
    let result = crate::ingest::ingest(&store, resolved.inputs, &options, progress).await;
    bar.finish_and_clear();
    let mut report = result?;
    let mut problems: Vec<String> = resolved.problems.iter().map(ToString::to_string).collect();
    problems.append(&mut report.problems);
    report.problems = problems;
    store.refresh_rollups().await?;
    Ok((store, report))
}

fn total_bytes(inputs: &[Input]) -> Option<u64> {
    inputs.iter().map(|input| input.bytes).sum()
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
    if report.problems.is_empty() { Outcome::Done } else { Outcome::Partial }
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
    let mut parts =
        vec![format!("{} records read", count(report.records_read)), format!("{} new", count(report.events_written))];
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
