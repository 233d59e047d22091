//! `kvaudit simulate OUT`: labelled synthetic logs.

use std::io::Write;
use std::path::PathBuf;

use chrono::{DateTime, NaiveDate, Utc};
use clap::Args;

use super::{Format, Global, Outcome, WrongUse, progress, table};
use crate::simulate::{self, AttackRequest, Config, Layout, SimulateError};

/// Arguments of `simulate`. The same arguments give the same bytes on every machine.
#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// Directory to write to; it must be empty or absent.
    #[arg(value_name = "OUT")]
    out: PathBuf,
    /// Everything random follows from it.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// First day (RFC 3339 or a date).
    #[arg(long, value_name = "TIME", default_value = "2026-10-01", value_parser = start)]
    start: DateTime<Utc>,
    /// Length in days.
    #[arg(long, default_value_t = 30)]
    days: u32,
    /// Workloads, pipelines and people together.
    #[arg(long, default_value_t = 40)]
    identities: usize,
    /// People among them [default: a fifth].
    #[arg(long)]
    people: Option<usize>,
    /// Pipelines among them [default: one in fourteen]; the rest are workloads.
    #[arg(long)]
    pipelines: Option<usize>,
    /// Vaults [default: one for four identities].
    #[arg(long)]
    vaults: Option<usize>,
    /// Records a day to aim at [default: 250 for each identity].
    #[arg(long, value_name = "RECORDS")]
    rate: Option<f64>,
    /// Attacks to hide: none, all, core, a number of kinds drawn by the seed (20), or kinds with commas, each as
    /// kind[:slow|fast][:user|application|managed_identity][:inside|outside]; all and core take such words too (all:slow).
    /// A kind is the id of the detection that is made for it. The more attacks on few identities, the more of them
    /// share a caller.
    #[arg(long, default_value = "core", value_parser = attacks)]
    attacks: Attacks,
    /// Draw by the seed the form of each attack, and its identity and origin where the kind makes sense so and the list leaves them open.
    #[arg(long)]
    mixed: bool,
    /// One file of JSON lines in place of the archive's folders.
    #[arg(long)]
    single: bool,
    /// Compress with gzip.
    #[arg(long)]
    gzip: bool,
    /// Leave out what looks odd and is no attack.
    #[arg(long)]
    no_quiet: bool,
}

/// What `--attacks` says; a type of its own, since clap takes a plain list for a repeated argument.
#[derive(Debug, Clone)]
enum Attacks {
    List(Vec<AttackRequest>),
    /// So many kinds, drawn by the seed.
    Drawn(usize),
}

fn attacks(text: &str) -> Result<Attacks, String> {
    match text.trim().parse() {
        Ok(count) => Ok(Attacks::Drawn(count)),
        Err(_) => AttackRequest::parse_list(text).map(Attacks::List),
    }
}

fn start(text: &str) -> Result<DateTime<Utc>, String> {
    let midnight = |day: NaiveDate| day.and_hms_opt(0, 0, 0).map(|t| t.and_utc());
    match (DateTime::parse_from_rfc3339(text), NaiveDate::parse_from_str(text, "%Y-%m-%d")) {
        (Ok(time), _) => Ok(time.with_timezone(&Utc)),
        (_, Ok(day)) => midnight(day).ok_or_else(|| format!("'{text}' is no day")),
        _ => Err(format!("'{text}' is no time: write RFC 3339 or a date such as 2026-10-01")),
    }
}

pub fn simulate(global: &Global, args: SimulateArgs) -> anyhow::Result<Outcome> {
    let mut attacks = match args.attacks {
        Attacks::List(list) => list,
        Attacks::Drawn(count) => AttackRequest::draw(count, args.seed),
    };
    if args.mixed {
        simulate::mix(&mut attacks, args.seed);
    }
    let config = Config {
        seed: args.seed,
        start: args.start,
        days: args.days,
        identities: args.identities,
        people: args.people,
        pipelines: args.pipelines,
        vaults: args.vaults,
        records_per_day: args.rate,
        attacks,
        layout: if args.single { Layout::Single } else { Layout::Archive },
        gzip: args.gzip,
        quiet: !args.no_quiet,
    };
    let bar = progress::steps(!global.no_progress, 1_000);
    bar.set_message("simulating");
    let result = simulate::simulate_with(&config, &args.out, &mut |p| bar.set_position((p.share * 1_000.0) as u64));
    bar.finish_and_clear();
    let summary = match result {
        Err(error @ SimulateError::Setting { .. }) => return Err(WrongUse(error.to_string()).into()),
        other => other?,
    };
    let mut out = std::io::stdout().lock();
    match global.format {
        Format::Table => writeln!(
            out,
            "{} records in {} files, {} attacks; labels: {}",
            table::count(summary.records),
            table::count(summary.files),
            config.attacks.len(),
            args.out.join("labels.json").display()
        )?,
        _ => writeln!(
            out,
            "{}",
            serde_json::json!({"records": summary.records, "repeats": summary.repeats, "files": summary.files, "bytes": summary.bytes})
        )?,
    }
    Ok(Outcome::Done)
}
