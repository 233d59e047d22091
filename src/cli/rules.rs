//! `kvaudit rules`: list, show, check, test, new, page; backtest and score in files of their own.

use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use clap::{Args, Subcommand};
use futures::future::BoxFuture;

use super::backtest::{BacktestArgs, backtest};
use super::context::Context;
use super::limits::{OWN_MEMORY, watch};
use super::{Format, Outcome, WrongUse, no_rule, note, table};
use crate::detection::{Library, NoRule, Rule, StandIn, cases, check, library, page};
use crate::limit::{Bounds, Watch};

/// Arguments of `rules`.
#[derive(Debug, Args)]
pub struct RulesArgs {
    #[command(subcommand)]
    action: Action,
    /// A folder of your own detections, beside the built-in ones; a file with a built-in's name replaces it.
    #[arg(long, global = true, value_name = "DIR")]
    folder: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Every detection: id, severity, status, techniques.
    List,
    /// One detection: what it is for, its parameters, its SQL.
    Show {
        /// The rule's id.
        id: String,
    },
    /// Parse, plan and check the contract of every detection (or of some).
    Check {
        /// Only these rules.
        ids: Vec<String>,
    },
    /// Run the cases beside every detection (or some).
    Test {
        /// Only these rules.
        ids: Vec<String>,
    },
    /// Begin a detection of your own: a file that works and one with its cases, in the folder of your detections.
    New {
        /// Its id, in snake case: the file's name.
        id: String,
    },
    /// The catalogue as a page in Markdown, with ATT&CK coverage.
    Page,
    /// What the detections would have told over a period, and what other parameters change; keeps nothing.
    Backtest(BacktestArgs),
    /// Hold the alerts in the store against the labels of simulated logs: recall, false alerts, time to alert.
    Score {
        /// The labels.json that kvaudit simulate wrote beside the logs.
        #[arg(value_name = "LABELS")]
        labels: PathBuf,
    },
}

pub async fn rules(context: &Context, args: RulesArgs) -> anyhow::Result<Outcome> {
    // The folder of a first detection need not be there yet.
    if let Action::New { id } = &args.action {
        return new(context, args.folder.as_ref(), id);
    }
    let library = context.library(args.folder.as_ref())?;
    let broken = super::detect::broken(&library);
    let outcome = act(context, &library, args.action).await;
    // Who asked for one that cannot be read is told of that one.
    if !outcome.as_ref().is_err_and(|error| error.is::<NoRule>()) {
        broken.iter().for_each(|failure| note(failure));
    }
    Ok(if broken.is_empty() { outcome? } else { outcome.and(Ok(Outcome::Partial))? })
}

async fn act(context: &Context, library: &Library, action: Action) -> anyhow::Result<Outcome> {
    match action {
        Action::List => list(context.format, library),
        Action::Show { id } => show(library.find(&id).map_err(no_rule)?),
        Action::Check { ids } => {
            let _watch = watched(context);
            check_rules(&library.choose(&ids).map_err(no_rule)?).await
        }
        Action::Test { ids } => {
            let _watch = watched(context);
            test_rules(&library.choose(&ids).map_err(no_rule)?).await
        }
        Action::New { .. } => unreachable!("done before the library is read"),
        Action::Page => {
            write!(std::io::stdout().lock(), "{}", page::markdown(library.rules()))?;
            Ok(Outcome::Done)
        }
        Action::Backtest(asked) => backtest(context, library, &asked).await,
        Action::Score { labels } => super::score::score(context, library, &labels).await,
    }
}

fn list(format: Format, library: &Library) -> anyhow::Result<Outcome> {
    let mut out = std::io::stdout().lock();
    let rows: Vec<serde_json::Value> = library.rules().iter().map(describe).collect();
    match format {
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(&rows)?)?,
        Format::Jsonl => {
            for row in &rows {
                writeln!(out, "{row}")?;
            }
        }
        Format::Csv => {
            let mut csv = csv::Writer::from_writer(&mut out);
            csv.write_record(["rule_id", "title", "severity", "status", "techniques"])?;
            for rule in library.rules() {
                let h = &rule.header;
                csv.write_record([
                    rule.id.as_str(),
                    &h.title,
                    h.severity.as_str(),
                    h.status.as_str(),
                    &h.techniques.join(" "),
                ])?;
            }
            csv.flush()?;
        }
        Format::Table => {
            let mut grid = table::table(&["rule", "severity", "status", "techniques", "title"]);
            for rule in library.rules() {
                let h = &rule.header;
                grid.add_row([
                    table::cell(&rule.id),
                    table::severity_cell(h.severity),
                    table::cell(h.status.as_str()),
                    table::cell(&h.techniques.join(", ")),
                    table::cell(&h.title),
                ]);
            }
            writeln!(out, "{}", table::trimmed(&grid))?;
        }
    }
    Ok(Outcome::Done)
}

fn describe(rule: &Rule) -> serde_json::Value {
    let h = &rule.header;
    serde_json::json!({
        "rule_id": rule.id, "title": h.title, "severity": h.severity, "status": h.status.as_str(), "techniques": h.techniques,
    })
}

fn show(rule: &Rule) -> anyhow::Result<Outcome> {
    writeln!(std::io::stdout().lock(), "{}", rule.sql.trim_end())?;
    Ok(Outcome::Done)
}

fn new(context: &Context, folder: Option<&PathBuf>, id: &str) -> anyhow::Result<Outcome> {
    let Some(folder) = folder.or(context.config.rules_folder.as_ref()) else {
        let missing = "say where your detections lie: --folder DIR, or folder under [rules] in the configuration";
        return Err(WrongUse(missing.to_owned()).into());
    };
    let paths = library::write_new(folder, id)?;
    for path in &paths {
        writeln!(std::io::stdout(), "{}", path.display())?;
    }
    note(&format!("change both, then: kvaudit rules check {id} --folder {}", folder.display()));
    Ok(Outcome::Done)
}

/// What `ask` says of each rule, in their order; asked on all cores, since rules know nothing of each other.
fn each<'a, T: Send>(rules: &[&'a Rule], ask: impl Fn(&'a Rule) -> BoxFuture<'a, T> + Sync) -> Vec<T> {
    let runtime = tokio::runtime::Handle::current();
    let (next, answers) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some((at, rule)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, rules.get(at)?)))
        {
            let answer = runtime.block_on(ask(rule));
            answers.lock().unwrap_or_else(PoisonError::into_inner).push((at, answer));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let mut answers = answers.into_inner().unwrap_or_else(PoisonError::into_inner);
    answers.sort_by_key(|(at, _)| *at);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

/// Ends the command where a case needs all memory: its detection is somebody's first draft.
fn watched(context: &Context) -> Watch {
    let memory = context.config.limits.rule_memory;
    let bounds = Bounds { memory: Some(memory + OWN_MEMORY), ..Bounds::default() };
    watch(bounds, 1, context.spill(), move |_| {
        let mib = memory >> 20;
        format!(
            "the detections needed more than {mib} MiB of memory: ask about one at a time to see which, and make its values smaller"
        )
    })
}

async fn check_rules(rules: &[&Rule]) -> anyhow::Result<Outcome> {
    let found = tokio::task::block_in_place(|| each(rules, |rule| Box::pin(check::check(rule, &StandIn))));
    let mut problems = 0;
    for problem in found.into_iter().flatten() {
        problems += 1;
        writeln!(std::io::stdout(), "{problem}")?;
    }
    let rules = table::counted(rules.len() as u64, "rule");
    note(&format!("{rules} checked, {}", table::counted(problems, "problem")));
    Ok(if problems == 0 { Outcome::Done } else { Outcome::Partial })
}

async fn test_rules(rules: &[&Rule]) -> anyhow::Result<Outcome> {
    let (mut passed, mut failed) = (0, 0);
    let outcomes = tokio::task::block_in_place(|| each(rules, |rule| Box::pin(cases::run_all(rule, &StandIn))));
    for (rule, results) in rules.iter().zip(outcomes) {
        for result in results? {
            if result.problems.is_empty() {
                passed += 1;
            }
            for problem in &result.problems {
                writeln!(std::io::stdout(), "{} / {}: {problem}", rule.id, result.name)?;
            }
            failed += usize::from(!result.problems.is_empty());
        }
    }
    writeln!(std::io::stdout(), "{passed} cases passed, {failed} failed")?;
    Ok(if failed == 0 { Outcome::Done } else { Outcome::Partial })
}
