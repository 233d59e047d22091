//! `kvaudit incidents`: list, show.

use std::io::Write;

use clap::{Args, Subcommand};

use super::context::{Context, now};
use super::{Format, Outcome, alerts, days, detect, table, text, times};
use crate::alert::{Alert, AlertState, Incident, Severity};
use crate::state::{AlertFilter, IncidentDetail, Order, State};
use crate::store::{Access, Store};

/// Arguments of `incidents`.
#[derive(Debug, Args)]
pub struct IncidentsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Incidents as a table, worst first.
    List(ListArgs),
    /// One incident in full: its story, its alerts in order, whom it is about, what to do.
    Show {
        /// The incident's id, or its first characters.
        id: String,
    },
}

#[derive(Debug, Args)]
struct ListArgs {
    /// This severity and above (min_severity in the API, where severity means exactly these).
    #[arg(long, visible_alias = "min-severity", value_name = "SEVERITY")]
    severity: Option<Severity>,
    /// Only with an alert of this rule.
    #[arg(long, value_name = "ID")]
    rule: Option<String>,
    /// Only of this caller: principal id or name.
    #[arg(long)]
    caller: Option<String>,
    /// Only about this vault.
    #[arg(long)]
    vault: Option<String>,
    /// Only those that went on after then (RFC 3339, a date, or a span back from the last record).
    #[arg(long, alias = "from", value_name = "TIME")]
    since: Option<String>,
    /// Only those that began until then.
    #[arg(long, alias = "to", value_name = "TIME")]
    until: Option<String>,
    /// Only in this state: open, acknowledged, closed, withdrawn. Default: open and acknowledged.
    #[arg(long)]
    state: Option<AlertState>,
    /// Closed and withdrawn ones too.
    #[arg(long)]
    all: bool,
}

pub async fn incidents(context: &Context, args: IncidentsArgs) -> anyhow::Result<Outcome> {
    let store = context.store(Access::Existing).await?;
    let state = context.state_to_read(&store).await?;
    match args.action {
        Action::List(args) => list(context, &store, &state, &args).await,
        Action::Show { id } => show(context, &state, &id),
    }
}

async fn list(context: &Context, store: &Store, state: &State, args: &ListArgs) -> anyhow::Result<Outcome> {
    let last = days::last_record(store, &[&args.since, &args.until]).await?;
    let time = |text: &Option<String>| text.as_deref().map(|t| times::parse(t, last)).transpose();
    let states = match (args.state, args.all) {
        (Some(state), _) => vec![state],
        (None, true) => Vec::new(),
        (None, false) => vec![AlertState::Open, AlertState::Acknowledged],
    };
    let filter = AlertFilter {
        min_severity: args.severity,
        rule: args.rule.clone(),
        caller: args.caller.clone(),
        vault: args.vault.as_ref().map(|v| v.to_lowercase()),
        from: time(&args.since)?,
        to: time(&args.until)?,
        states,
        ..AlertFilter::default()
    };
    let page = state.incidents(&filter, Order::SeverestFirst, detect::MOST_ALERTS, None)?;
    print(context.format, &page.incidents)?;
    Ok(Outcome::Done)
}

fn print(format: Format, incidents: &[Incident]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match format {
        Format::Json => writeln!(out, "{}", text::json(&serde_json::to_string_pretty(incidents)?))?,
        Format::Jsonl => {
            for incident in incidents {
                writeln!(out, "{}", text::json(&serde_json::to_string(incident)?))?;
            }
        }
        Format::Csv => write_csv(&mut out, incidents)?,
        Format::Table if incidents.is_empty() => writeln!(out, "no incidents")?,
        Format::Table => {
            writeln!(out, "{}", table::incidents(incidents))?;
            writeln!(out, "{}", tally(incidents))?;
        }
    }
    Ok(())
}

/// `incidents: 1 critical, 2 high`, worst first.
pub fn tally(incidents: &[Incident]) -> String {
    let parts: Vec<String> = Severity::ALL
        .into_iter()
        .rev()
        .map(|s| (s, incidents.iter().filter(|i| i.severity == s).count()))
        .filter(|(_, n)| *n > 0)
        .map(|(s, n)| format!("{n} {s}"))
        .collect();
    if parts.is_empty() { "no incidents".to_owned() } else { format!("incidents: {}", parts.join(", ")) }
}

fn show(context: &Context, state: &State, id: &str) -> anyhow::Result<Outcome> {
    let detail = state.incident(id, now().timestamp_micros())?;
    let mut out = std::io::stdout().lock();
    match context.format {
        Format::Json => writeln!(out, "{}", text::json(&serde_json::to_string_pretty(&detail)?))?,
        Format::Jsonl => writeln!(out, "{}", text::json(&serde_json::to_string(&detail)?))?,
        Format::Csv => write_csv(&mut out, std::slice::from_ref(&detail.incident))?,
        Format::Table => {
            print_incident(&mut out, &detail)?;
            print_responses(&mut out, context, &detail.incident)?;
            print_ids(&mut out, &detail)?;
        }
    }
    Ok(Outcome::Done)
}

fn print_incident(out: &mut impl Write, detail: &IncidentDetail) -> anyhow::Result<()> {
    let (incident, width) = (&detail.incident, table::width());
    let state = incident.state.as_str();
    let heading = format!("{} [{}, risk {}, {state}]", incident.title, incident.severity, incident.risk_score);
    writeln!(out, "{}", table::wrapped(&heading, width, ""))?;
    writeln!(out, "{}\n", table::wrapped(&incident.story, width, ""))?;
    writeln!(out, "{}", table::timeline(&detail.alerts))?;
    writeln!(out, "\nwho and what")?;
    let longest = incident.entities.keys().map(String::len).max().unwrap_or(0);
    for (name, value) in &incident.entities {
        let value = table::wrapped(&alerts::plain(value), width, &" ".repeat(longest + 4));
        writeln!(out, "  {name:<longest$}  {}", value.trim_start())?;
    }
    Ok(())
}

/// What the rules of its alerts say to do, each advice once.
fn print_responses(out: &mut impl Write, context: &Context, incident: &Incident) -> anyhow::Result<()> {
    // A folder of rules that cannot be read must not hide the incident: `rules check` tells of it.
    let Ok(library) = context.library(None) else { return Ok(()) };
    let mut told: Vec<&str> = Vec::new();
    for rule in incident.rule_ids.iter().filter_map(|id| library.get(id)) {
        told.extend(rule.header.response.iter().map(String::as_str));
    }
    let mut seen = std::collections::BTreeSet::new();
    told.retain(|advice| seen.insert(*advice));
    if !told.is_empty() {
        writeln!(out, "\nwhat to do")?;
    }
    for advice in told {
        writeln!(out, "  - {}", table::wrapped(advice, table::width(), "    ").trim_start())?;
    }
    Ok(())
}

fn print_ids(out: &mut impl Write, detail: &IncidentDetail) -> anyhow::Result<()> {
    let incident = &detail.incident;
    let seen = format!("{} to {}", incident.first_seen, incident.last_seen);
    writeln!(out, "\nids")?;
    for (name, value) in [
        ("incident", &incident.incident_id),
        ("seen", &seen),
        ("rules", &incident.rule_ids.join(", ")),
        ("techniques", &incident.techniques.join(", ")),
    ] {
        let value = table::wrapped(value, table::width(), &" ".repeat(14));
        writeln!(out, "  {name:<10}  {}", value.trim_start())?;
    }
    let short = |alert: &Alert| alert.alert_id.chars().take(8).collect::<String>();
    if let Some(first) = detail.alerts.first() {
        writeln!(out, "\nits records: kvaudit alerts show {}", short(first))?;
    }
    Ok(())
}

/// Incidents as CSV: one line each, lists joined by commas.
fn write_csv(out: &mut impl Write, incidents: &[Incident]) -> anyhow::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record([
        "incident_id",
        "severity",
        "risk_score",
        "state",
        "first_seen",
        "last_seen",
        "principal_id",
        "principal_name",
        "vault_name",
        "caller_ip",
        "alert_count",
        "rule_ids",
        "title",
        "story",
    ])?;
    for i in incidents {
        let entity = |name: &str| i.entities.get(name).map(alerts::plain).unwrap_or_default();
        let row = [
            i.incident_id.clone(),
            i.severity.to_string(),
            i.risk_score.to_string(),
            i.state.as_str().to_owned(),
            i.first_seen.clone(),
            i.last_seen.clone(),
            entity("principal_id"),
            entity("principal_name"),
            entity("vault_name"),
            entity("caller_ip"),
            i.alert_ids.len().to_string(),
            i.rule_ids.join(", "),
            i.title.clone(),
            i.story.clone(),
        ];
        csv.write_record(row.iter().map(|cell| text::csv_cell(cell)))?;
    }
    csv.flush()?;
    Ok(())
}
