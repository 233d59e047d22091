//! `kvaudit query SQL`: read-only, bounded SQL over the store's tables.

use std::io::{BufWriter, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::json::writer::{JsonArray, LineDelimited, WriterBuilder};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use clap::Args;

use super::context::Context;
use super::limits::{GRACE, OWN_MEMORY, watch};
use super::{Format, Outcome, WrongUse, note, table, text};
use crate::detection;
use crate::limit::{Bounds, Breach, Watch};
use crate::store::{self, Access, Answer, QueryLimits, SessionUse, Spill, Store, StoreError};

/// The longest SQL text that is read from a file.
const MAX_SQL_BYTES: u64 = 1024 * 1024;
/// Rows of a table for a person, unless asked for more.
const TABLE_ROWS: usize = 1_000;

/// Arguments of `query`.
#[derive(Debug, Args)]
pub struct QueryArgs {
    /// One SELECT. Tables: events, activity, sightings, coverage, quarantine, alerts; and principals,
    /// vaults, subscriptions, bait_objects, address_lists, operations, first_party_apps.
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    sql: Option<String>,
    /// Read the SQL from a file (- for standard input).
    #[arg(short = 'f', long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Rows at the most [default: 1000 as a table, else 1000000].
    #[arg(long, value_name = "ROWS")]
    limit: Option<usize>,
    /// Time at the most, for instance 30s.
    #[arg(long, value_name = "SPAN", default_value = "60s", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// Memory at the most, in MiB; what does not fit spills to disk where it can.
    #[arg(long, value_name = "MIB", default_value_t = 2048, value_parser = clap::value_parser!(u64).range(16..=65_536))]
    memory: u64,
    /// Intermediate rows on disk at the most, in MiB [default: 2048].
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1_048_576))]
    spill: Option<u64>,
}

pub async fn query(context: &Context, args: QueryArgs) -> anyhow::Result<Outcome> {
    let sql = match &args.file {
        Some(path) => read_sql(path)?,
        None => args.sql.clone().expect("clap asks for one of the two"),
    };
    let store = context.store(Access::Existing).await?;
    let mut store = store.with_world(&context.world(&store).0);
    if let Some(mib) = args.spill {
        store = store.with_spill(Spill { dir: Some(context.spill()), bytes: mib << 20 });
    }
    let rows = args.limit.unwrap_or(if context.format == Format::Table { TABLE_ROWS } else { 1_000_000 });
    let memory = usize::try_from(args.memory << 20).unwrap_or(usize::MAX);
    let limits = QueryLimits { rows, time: args.timeout, memory };
    let on_memory = watched(context, limits, None);
    let on_time = watched(context, limits, Some(limits.time));
    // With the functions of the detections, so that what they say can be checked.
    let session = store.session(SessionUse::People { memory: limits.memory }).await?;
    detection::functions::register(&session);
    let mut answer = store::query(&session, &sql, limits).await?;
    let schema = answer.schema();
    let batches = gather(&mut answer, memory).await?;
    // Whoever reads the rows may take their time.
    drop(on_time);
    write(context.format, &schema, &batches)?;
    drop(on_memory);
    if answer.is_cut() {
        note(&format!("stopped at {rows} rows: more with --limit"));
    }
    Ok(Outcome::Done)
}

/// Ends the command where the query goes over a limit and nothing else stops it: planning that does not end, a function that
/// makes a gigabyte of one value.
fn watched(context: &Context, limits: QueryLimits, time: Option<Duration>) -> Watch {
    let memory = (limits.memory as u64).saturating_add(OWN_MEMORY);
    let bounds = match time {
        Some(time) => Bounds { time: Some(time.saturating_add(GRACE)), ..Bounds::default() },
        None => Bounds { memory: Some(memory), ..Bounds::default() },
    };
    watch(bounds, 1, context.spill(), move |breach| match breach {
        Breach::Time(_) => StoreError::QueryTime(limits.time).to_string(),
        _ => over_memory(limits.memory, "in values that grew, or in planning").to_string(),
    })
}

fn over_memory(limit: usize, reason: &str) -> StoreError {
    StoreError::QueryMemory { limit, reason: reason.to_owned() }
}

/// All rows, which nobody sees before the last is there: an answer that breaks off must not pass for a whole one.
async fn gather(answer: &mut Answer, memory: usize) -> Result<Vec<RecordBatch>, StoreError> {
    let (mut batches, mut held) = (Vec::new(), 0usize);
    while let Some(batch) = answer.next().await? {
        held = held.saturating_add(batch.get_array_memory_size());
        if held > memory {
            return Err(over_memory(memory, "in the rows of the answer: ask for fewer rows or columns"));
        }
        batches.push(batch);
    }
    Ok(batches)
}

/// Runs SQL of our own and gathers its rows.
pub async fn collect(store: &Store, sql: &str, limits: QueryLimits) -> anyhow::Result<Vec<RecordBatch>> {
    Ok(store.query(sql, limits).await?.collect().await?)
}

fn read_sql(path: &PathBuf) -> anyhow::Result<String> {
    let mut sql = String::new();
    let reader: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(std::io::stdin())
    } else {
        Box::new(
            std::fs::File::open(path)
                .with_context(|| format!("the SQL file '{}' could not be opened", path.display()))?,
        )
    };
    reader
        .take(MAX_SQL_BYTES + 1)
        .read_to_string(&mut sql)
        .with_context(|| format!("the SQL file '{}' could not be read as UTF-8", path.display()))?;
    if sql.len() as u64 > MAX_SQL_BYTES {
        return Err(WrongUse(format!("the SQL in '{}' is longer than {MAX_SQL_BYTES} bytes", path.display())).into());
    }
    Ok(sql)
}

/// Prints the rows in the form that was asked for.
pub fn write(format: Format, schema: &SchemaRef, batches: &[RecordBatch]) -> anyhow::Result<()> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    if matches!(format, Format::Json | Format::Jsonl) && std::io::stdout().is_terminal() {
        let mut buffer = Vec::new();
        write_json(&mut buffer, format, batches)?;
        out.write_all(text::json(&String::from_utf8_lossy(&buffer)).as_bytes())?;
        out.flush()?;
        return Ok(());
    }
    match format {
        Format::Json | Format::Jsonl => write_json(&mut out, format, batches)?,
        Format::Csv => write_csv(&mut out, schema, batches)?,
        Format::Table => write_table(&mut out, schema, batches)?,
    }
    out.flush()?;
    Ok(())
}

fn write_json(mut out: &mut impl Write, format: Format, batches: &[RecordBatch]) -> anyhow::Result<()> {
    let nulls = WriterBuilder::new().with_explicit_nulls(true);
    match format {
        Format::Json if batches.iter().all(|b| b.num_rows() == 0) => writeln!(out, "[]")?,
        Format::Json => {
            let mut writer = nulls.build::<_, JsonArray>(&mut out);
            writer.write_batches(&batches.iter().collect::<Vec<_>>())?;
            writer.finish()?;
            writeln!(out)?;
        }
        _ => {
            let mut writer = nulls.build::<_, LineDelimited>(&mut out);
            writer.write_batches(&batches.iter().collect::<Vec<_>>())?;
            writer.finish()?;
        }
    }
    Ok(())
}

fn formatters(batch: &RecordBatch) -> anyhow::Result<Vec<ArrayFormatter<'_>>> {
    const OPTIONS: FormatOptions<'_> = FormatOptions::new().with_display_error(true);
    batch.columns().iter().map(|c| Ok(ArrayFormatter::try_new(c.as_ref(), &OPTIONS)?)).collect()
}

fn write_csv(out: &mut impl Write, schema: &SchemaRef, batches: &[RecordBatch]) -> anyhow::Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record(schema.fields().iter().map(|f| text::csv_cell(f.name())))?;
    for batch in batches {
        let columns = formatters(batch)?;
        for row in 0..batch.num_rows() {
            writer.write_record(columns.iter().map(|c| text::csv_cell(&c.value(row).to_string())))?;
        }
    }
    writer.flush()?;
    Ok(())
}

/// A table where the columns fit, else one line a column: a record of sixty columns is no table.
fn write_table(out: &mut impl Write, schema: &SchemaRef, batches: &[RecordBatch]) -> anyhow::Result<()> {
    let width = table::width();
    let times: Vec<usize> =
        (0..schema.fields().len()).filter(|at| schema.field(*at).data_type().is_temporal()).collect();
    // A time is broken nowhere: 27 characters and a gap.
    let narrow = schema.fields().len() * 9 + times.len() * 20 > width;
    let header: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    let mut grid = table::table(&header);
    let longest = header.iter().map(|h| h.len()).max().unwrap_or(0);
    // The engine's own words on its plan come in lines.
    let cell = if header == ["plan_type", "plan"] { table::cell_of_lines } else { table::cell };
    let mut rows = 0;
    for batch in batches {
        let columns = formatters(batch)?;
        for row in 0..batch.num_rows() {
            rows += 1;
            if !narrow {
                grid.add_row(columns.iter().map(|c| cell(&c.value(row).to_string())));
                continue;
            }
            writeln!(out, "── row {rows} {}", "─".repeat(width.saturating_sub(9)))?;
            for (name, column) in header.iter().zip(&columns) {
                let value = column.value(row).to_string();
                if !value.is_empty() {
                    let value = table::wrapped(&value, width, &" ".repeat(longest + 2));
                    writeln!(out, "{name:>longest$}  {}", value.trim_start())?;
                }
            }
        }
    }
    if !narrow && rows > 0 {
        table::keep_short_columns(&mut grid, &times);
        writeln!(out, "{}", table::trimmed(&grid))?;
    }
    writeln!(out, "{}", table::counted(rows, "row"))?;
    Ok(())
}
