//! The commands: wire the rooms, run, print. The only place that reads arguments, the environment and
//! the clock, and the only one that prints. Standard output is data; standard error is progress and log.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::alert::Severity;
use crate::detection::NoRule;
use crate::state::StateError;

mod alerts;
mod apart;
mod backtest;
mod blind;
mod clock;
mod context;
mod days;
mod detect;
mod incidents;
mod ingest;
mod limits;
mod progress;
mod query;
mod rules;
mod run;
mod score;
mod serve;
mod simulate;
mod table;
mod text;
mod times;
mod worker;

/// Detections, alerts and answers from Azure Key Vault audit logs.
#[derive(Debug, Parser)]
#[command(version, about, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options that mean the same for every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Directory of the store.
    #[arg(long, global = true, env = "KVAUDIT_STORE", value_name = "DIR")]
    store: Option<PathBuf>,
    /// Configuration file (TOML).
    #[arg(long, global = true, env = "KVAUDIT_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// How results are printed on standard output.
    #[arg(long, global = true, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// More log on standard error: -v what happens, -vv with details.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// No progress bar, even in a terminal.
    #[arg(long, global = true)]
    no_progress: bool,
}

/// Forms of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table that fits the terminal, or sentences.
    Table,
    /// One JSON document.
    Json,
    /// One JSON object a line.
    Jsonl,
    /// Comma-separated values with a header; cells that a spreadsheet would run are defused.
    Csv,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Ingest, detect over all the data's days, print what was found, then serve the page: the main job.
    Run(run::RunArgs),
    /// Read logs into the store.
    Ingest(ingest::IngestArgs),
    /// Run the detections over a period and print every alert with a finding in it.
    Detect(detect::DetectArgs),
    /// List, show, acknowledge, close or suppress alerts.
    Alerts(alerts::AlertsArgs),
    /// List or show incidents: alerts that belong together, as one story.
    Incidents(incidents::IncidentsArgs),
    /// Read-only SQL over events, the roll-ups and alerts.
    Query(query::QueryArgs),
    /// Serve the API and the page on loopback.
    Serve(serve::ServeArgs),
    /// List, show, check, test and score detections.
    Rules(rules::RulesArgs),
    /// Write labelled synthetic logs.
    Simulate(simulate::SimulateArgs),
    /// Not for people: asks detections on behalf of another command.
    #[command(hide = true)]
    Worker,
}

/// What a command ended with: the exit codes of docs/contracts.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Everything was done (0).
    Done,
    /// Done as far as possible, but a source was not read to its end or a rule failed (1).
    Partial,
    /// `--fail-on`: an open alert of that severity or above stands in the period (3).
    AlertsStand,
}

/// Wrong use that clap cannot see, for instance a time that does not parse (exit code 2).
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct WrongUse(String);

/// `--fail-on`, shared by `run` and `detect`.
#[derive(Debug, Clone, Args)]
struct FailOn {
    /// Exit with 3 when an open, unsuppressed alert of this severity or above stands in the period.
    #[arg(long, value_name = "SEVERITY")]
    fail_on: Option<Severity>,
}

/// `--rule-timeout`, shared by `run` and `detect`.
#[derive(Debug, Clone, Args)]
struct RuleTime {
    /// Time at the most for each detection, for instance 2m; one that takes longer fails and the others go on [default: 10m].
    #[arg(long, value_name = "SPAN", value_parser = crate::config::rule_time)]
    rule_timeout: Option<std::time::Duration>,
}

impl RuleTime {
    fn lay_over(&self, config: &mut crate::config::Config) {
        config.limits.rule_time = self.rule_timeout.unwrap_or(config.limits.rule_time);
    }
}

/// Runs the command line; prints an error once, and returns the exit code.
pub fn execute(cli: Cli) -> ExitCode {
    start_log(cli.global.verbose);
    contain_panics();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&anyhow::Error::new(error).context("the async runtime did not start")),
    };
    let result = runtime.block_on(dispatch(cli));
    // Blocking work that a failed command left behind must not hold up the exit.
    runtime.shutdown_timeout(std::time::Duration::from_millis(500));
    match result {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Partial) => ExitCode::from(1),
        Ok(Outcome::AlertsStand) => ExitCode::from(3),
        Err(error) => fail(&error),
    }
}

async fn dispatch(cli: Cli) -> anyhow::Result<Outcome> {
    let Cli { global, command } = cli;
    if let Command::Simulate(args) = command {
        return simulate::simulate(&global, args);
    }
    let mut context = context::Context::load(&global)?;
    match &command {
        Command::Run(run::RunArgs { rule_time, .. }) | Command::Detect(detect::DetectArgs { rule_time, .. }) => {
            rule_time.lay_over(&mut context.config);
        }
        _ => {}
    }
    let state = context.config.store.join("state.db");
    run(&context, command).await.map_err(|error| with_way_out(error, &state))
}

/// Says where a damaged state is and how to go on: only here its place is known.
fn with_way_out(error: anyhow::Error, state: &std::path::Path) -> anyhow::Error {
    if !error.chain().any(|cause| matches!(cause.downcast_ref(), Some(StateError::Corrupt(_)))) {
        return error;
    }
    let (state, away) = (state.display(), state.with_extension("db.damaged"));
    error.context(format!(
        "'{state}' is damaged: move it away (mv '{state}' '{}') and run the same command again. Alerts are then restored from \
         the store's table 'alerts' with their ids and states; suppressions and the trail are lost",
        away.display()
    ))
}

async fn run(context: &context::Context, command: Command) -> anyhow::Result<Outcome> {
    match command {
        Command::Run(args) => run::run(context, args).await,
        Command::Ingest(args) => ingest::ingest(context, args).await,
        Command::Detect(args) => detect::detect(context, args).await,
        Command::Alerts(args) => alerts::alerts(context, args).await,
        Command::Incidents(args) => incidents::incidents(context, args).await,
        Command::Query(args) => query::query(context, args).await,
        Command::Serve(args) => serve::serve(context, args).await,
        Command::Rules(args) => rules::rules(context, args).await,
        Command::Worker => worker::worker(context).await,
        Command::Simulate(_) => unreachable!("handled before the configuration is read"),
    }
}

/// The error about a rule's name: of a rule that is not there, wrong use; of one that cannot be read, its failure.
fn no_rule(error: NoRule) -> anyhow::Error {
    match error {
        NoRule::Unknown(message) => WrongUse(message).into(),
        broken @ NoRule::Broken { .. } => broken.into(),
    }
}

/// Prints the error with its causes on one line each, once; a closed pipe is no error (`kvaudit … | head`).
fn fail(error: &anyhow::Error) -> ExitCode {
    let closed = |e: &std::io::Error| e.kind() == std::io::ErrorKind::BrokenPipe;
    let in_csv = |e: &csv::Error| matches!(e.kind(), csv::ErrorKind::Io(e) if closed(e));
    if error.chain().any(|c| {
        c.downcast_ref::<std::io::Error>().is_some_and(closed) || c.downcast_ref::<csv::Error>().is_some_and(in_csv)
    }) {
        return ExitCode::SUCCESS;
    }
    let mut lines: Vec<String> = Vec::new();
    for cause in error.chain() {
        let text = text::safe(cause.to_string().trim_end());
        if !lines.iter().any(|seen| seen.contains(&text)) {
            lines.push(text);
        }
    }
    let _ = writeln!(std::io::stderr(), "kvaudit: {}", lines.join("\n  because: "));
    if error.chain().any(|c| c.is::<WrongUse>()) { ExitCode::from(2) } else { ExitCode::from(1) }
}

fn start_log(verbose: u8) {
    let level = match verbose {
        0 => "error",
        1 => "warn,kvaudit=info",
        _ => "info,kvaudit=debug",
    };
    let filter = std::env::var("KVAUDIT_LOG").unwrap_or_else(|_| level.to_owned());
    let coloured = table::colours_in_log();
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
        .with_ansi(coloured)
        .with_writer(move || text::SafeLines { out: std::io::stderr(), coloured })
        .with_target(false)
        .init();
}

/// A panic on a worker thread becomes an error of the command, which is told once; where it came from is for `-v`.
fn contain_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().name() == Some("main") {
            usual(panic);
        } else {
            tracing::warn!("a worker stopped: {panic}");
        }
    }));
}

/// A remark for the person at the terminal, on standard error: one line, whatever names it carries.
fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", text::safe(text.trim_end()));
}
