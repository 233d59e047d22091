//! `kvaudit alerts`: list, show, ack, close, suppress.

use std::io::Write;

use clap::{Args, Subcommand};

use super::context::{Context, now};
use super::{Format, Outcome, WrongUse, days, detect, no_rule, note, query, table, text, times};
use crate::alert::{Alert, AlertState, Severity, Value};
use crate::state::{AlertFilter, NewSuppression, Order, State};
use crate::store::{Access, QueryLimits, Store};

/// Records that `show` prints as evidence.
const EVIDENCE_ROWS: usize = 20;

/// Characters of a value that `show` prints.
const LONGEST_VALUE: usize = 4_000;

/// Arguments of `alerts`.
#[derive(Debug, Args)]
pub struct AlertsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Alerts as a table, worst first.
    List(ListArgs),
    /// One alert in full, with the records behind it.
    Show {
        /// The alert's id, or its first characters.
        id: String,
    },
    /// Say that somebody is on it.
    Ack(Deed),
    /// Say that it is dealt with. A new finding opens a new alert.
    Close(Deed),
    /// Say that it is not dealt with after all.
    Reopen(Deed),
    /// Keep alerts of a kind out of sight: they are still stored and counted.
    Suppress(SuppressArgs),
    /// The suppressions, expired ones included.
    Suppressions,
    /// End a suppression: what it covered is shown again.
    Unsuppress {
        /// Its number, as `suppressions` shows it.
        number: i64,
        /// Who, for the trail.
        #[arg(long, env = "USER", default_value = "unknown")]
        author: String,
    },
}

#[derive(Debug, Args)]
struct ListArgs {
    /// This severity and above (min_severity in the API, where severity means exactly these).
    #[arg(long, visible_alias = "min-severity", value_name = "SEVERITY")]
    severity: Option<Severity>,
    /// Only this rule.
    #[arg(long, value_name = "ID")]
    rule: Option<String>,
    /// Only this caller: principal id or name, whole.
    #[arg(long)]
    caller: Option<String>,
    /// Only this vault.
    #[arg(long)]
    vault: Option<String>,
    /// Only alerts with a finding since then (RFC 3339, a date, or a span back from the last record).
    #[arg(long, alias = "from", value_name = "TIME")]
    since: Option<String>,
    /// Only alerts with a finding until then.
    #[arg(long, alias = "to", value_name = "TIME")]
    until: Option<String>,
    /// Only alerts in this state: open, acknowledged, closed, withdrawn.
    #[arg(long)]
    state: Option<AlertState>,
    /// Suppressed and withdrawn ones too.
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Args)]
struct Deed {
    /// The alert's id, or its first characters.
    id: String,
    /// Why, for the trail.
    #[arg(long, default_value = "")]
    note: String,
    /// Who, for the trail.
    #[arg(long, env = "USER", default_value = "unknown")]
    author: String,
}

#[derive(Debug, Args)]
struct SuppressArgs {
    /// Alerts of this rule.
    #[arg(long, value_name = "ID")]
    rule: Option<String>,
    /// Alerts of this caller (principal id).
    #[arg(long)]
    caller: Option<String>,
    /// Alerts on this vault.
    #[arg(long)]
    vault: Option<String>,
    /// Alerts about this object.
    #[arg(long)]
    object: Option<String>,
    /// Alerts from this address.
    #[arg(long)]
    address: Option<String>,
    /// Why.
    #[arg(long)]
    reason: String,
    /// Who.
    #[arg(long, env = "USER", default_value = "unknown")]
    author: String,
    /// When it ends: RFC 3339, a date, or a span from now (30d).
    #[arg(long, alias = "until", value_name = "TIME")]
    expires: Option<String>,
}

pub async fn alerts(context: &Context, args: AlertsArgs) -> anyhow::Result<Outcome> {
    let store = context.store(Access::Existing).await?;
    let state = match args.action {
        Action::List(_) | Action::Show { .. } | Action::Suppressions => context.state_to_read(&store).await?,
        _ => context.state(&store).await?,
    };
    match args.action {
        Action::List(args) => list(context, &store, &state, &args).await,
        Action::Show { id } => show(context, &store, &state, &id).await,
        Action::Ack(deed) => change(&store, &state, &deed, AlertState::Acknowledged).await,
        Action::Close(deed) => change(&store, &state, &deed, AlertState::Closed).await,
        Action::Reopen(deed) => change(&store, &state, &deed, AlertState::Open).await,
        Action::Suppress(args) => suppress(context, &store, &state, args).await,
        Action::Suppressions => suppressions(context, &state),
        Action::Unsuppress { number, author } => {
            state.unsuppress(number, &author, now().timestamp_micros())?;
            detect::export(&store, &state).await?;
            note(&format!("suppression {number} has ended"));
            Ok(Outcome::Done)
        }
    }
}

async fn list(context: &Context, store: &Store, state: &State, args: &ListArgs) -> anyhow::Result<Outcome> {
    let last = days::last_record(store, &[&args.since, &args.until]).await?;
    let time = |text: &Option<String>| text.as_deref().map(|t| times::parse(t, last)).transpose();
    let (from, to) = (time(&args.since)?, time(&args.until)?);
    if let (Some(from), Some(to)) = (from, to)
        && from >= to
    {
        let (from, to) = (times::minute(from), times::minute(to));
        return Err(WrongUse(format!("the period is empty: --since {from} does not lie before --until {to}")).into());
    }
    let filter = AlertFilter {
        min_severity: args.severity,
        rule: args.rule.clone(),
        caller: args.caller.clone(),
        vault: args.vault.as_ref().map(|v| v.to_lowercase()),
        from,
        to,
        states: args.state.into_iter().collect(),
        include_suppressed: args.all,
        ..AlertFilter::default()
    };
    let mut page = state.alerts(&filter, Order::SeverestFirst, detect::MOST_ALERTS, None, now().timestamp_micros())?;
    if !args.all && args.state.is_none() {
        page.alerts.retain(|a| a.state != AlertState::Withdrawn);
    }
    detect::print(context.format, &page.alerts)?;
    if !args.all && context.format == Format::Table {
        let all = AlertFilter { include_suppressed: true, ..filter };
        let all = state.alerts(&all, Order::SeverestFirst, 1, None, now().timestamp_micros())?;
        if all.total > page.total {
            note(&format!("{} left out: --all shows them", table::counted(all.total - page.total, "suppressed alert")));
        }
    }
    if let Some(rule) = args.rule.as_deref().filter(|_| page.alerts.is_empty()) {
        known_rule(context, rule).unwrap_or_else(|problem| note(&problem.to_string()));
    }
    Ok(Outcome::Done)
}

/// Fails where no detection has that id.
fn known_rule(context: &Context, id: &str) -> anyhow::Result<()> {
    context.library(None)?.find(id).map_err(no_rule)?;
    Ok(())
}

/// The suppressions as a table, or as JSON.
fn suppressions(context: &Context, state: &State) -> anyhow::Result<Outcome> {
    let all = state.suppressions()?;
    let mut out = std::io::stdout().lock();
    match context.format {
        Format::Json => writeln!(out, "{}", text::json(&serde_json::to_string_pretty(&all)?))?,
        Format::Jsonl => {
            for one in &all {
                writeln!(out, "{}", text::json(&serde_json::to_string(one)?))?;
            }
        }
        Format::Table if all.is_empty() => writeln!(out, "no suppressions")?,
        Format::Table | Format::Csv => {
            let header = ["number", "what", "reason", "author", "until"];
            let rows = all.iter().map(|one| {
                let conditions = [
                    ("rule", &one.rule_id),
                    ("caller", &one.principal_id),
                    ("vault", &one.vault_name),
                    ("object", &one.object_name),
                    ("address", &one.address),
                ];
                let what = conditions.iter().filter_map(|(name, value)| Some(format!("{name} {}", value.as_ref()?)));
                let until = one.expires_at.map_or_else(|| "lifted".to_owned(), times::minute);
                let what = what.collect::<Vec<_>>().join(", ");
                [one.id.to_string(), what, one.reason.clone(), one.author.clone(), until]
            });
            if context.format == Format::Csv {
                let mut csv = csv::Writer::from_writer(out);
                csv.write_record(header)?;
                for row in rows {
                    csv.write_record(row.iter().map(|cell| text::csv_cell(cell)))?;
                }
                csv.flush()?;
            } else {
                let mut grid = table::table(&header);
                for row in rows {
                    grid.add_row(row.iter().map(|cell| table::cell(cell)));
                }
                writeln!(out, "{}", table::trimmed(&grid))?;
            }
        }
    }
    Ok(Outcome::Done)
}

async fn change(store: &Store, state: &State, deed: &Deed, to: AlertState) -> anyhow::Result<Outcome> {
    let at = now().timestamp_micros();
    let alert = match to {
        AlertState::Open => state.reopen(&deed.id, &deed.author, &deed.note, at)?,
        AlertState::Closed => state.close(&deed.id, &deed.author, &deed.note, at)?,
        _ => state.acknowledge(&deed.id, &deed.author, &deed.note, at)?,
    };
    detect::export(store, state).await?;
    note(&format!("alert {} is {}", alert.alert_id, alert.state.as_str()));
    Ok(Outcome::Done)
}

async fn suppress(context: &Context, store: &Store, state: &State, args: SuppressArgs) -> anyhow::Result<Outcome> {
    if let Some(rule) = &args.rule {
        known_rule(context, rule)?;
    }
    let at = now();
    let expires_at = args.expires.as_deref().map(|t| expiry(t, at.timestamp_micros())).transpose()?;
    let suppression = NewSuppression {
        rule_id: args.rule,
        principal_id: args.caller,
        vault_name: args.vault.map(|v| v.to_lowercase()),
        object_name: args.object,
        address: args.address,
        reason: args.reason,
        author: args.author,
        expires_at,
    };
    let conditions = [
        &suppression.rule_id,
        &suppression.principal_id,
        &suppression.vault_name,
        &suppression.object_name,
        &suppression.address,
    ];
    if conditions.iter().all(|c| c.is_none()) {
        return Err(
            WrongUse("say what to suppress: --rule, --caller, --vault, --object or --address".to_owned()).into()
        );
    }
    let covering = state.suppress(&suppression, at.timestamp_micros())?;
    detect::export(store, state).await?;
    note(&format!("suppression {} stands: alerts that it covers are kept, counted and marked", covering.id));
    Ok(Outcome::Done)
}

/// A suppression ends in the future: a span counts forward.
fn expiry(text: &str, at: i64) -> Result<i64, WrongUse> {
    let end = match humantime::parse_duration(text) {
        Ok(span) => at.saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)),
        Err(_) => times::parse(text, at)?,
    };
    if end <= at { Err(WrongUse(format!("--expires {text} has passed already"))) } else { Ok(end) }
}

async fn show(context: &Context, store: &Store, state: &State, id: &str) -> anyhow::Result<Outcome> {
    let alert = state.alert(id, now().timestamp_micros())?;
    match context.format {
        Format::Json => writeln!(std::io::stdout(), "{}", text::json(&serde_json::to_string_pretty(&alert)?))?,
        Format::Jsonl => writeln!(std::io::stdout(), "{}", text::json(&serde_json::to_string(&alert)?))?,
        Format::Csv => write_csv(&mut std::io::stdout().lock(), std::slice::from_ref(&alert))?,
        Format::Table => {
            print_alert(&alert)?;
            print_records(store, &alert).await?;
        }
    }
    Ok(Outcome::Done)
}

fn print_alert(alert: &Alert) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let width = table::width();
    writeln!(out, "{}  [{}, risk {}]", text::safe(&alert.title), alert.severity, alert.risk_score)?;
    writeln!(out, "{}\n", table::wrapped(&alert.summary, width, ""))?;
    let mut line = |name: &str, value: &str| writeln!(out, "  {name:<14} {}", text::safe(value));
    line("alert", &alert.alert_id)?;
    line("rule", &alert.rule_id)?;
    line("state", &format!("{}{}", alert.state.as_str(), if alert.suppressed { ", suppressed" } else { "" }))?;
    line("window", &format!("{} to {}", alert.window_start, alert.window_end))?;
    line("observed", &number(alert.observed))?;
    line("expected", &number(alert.expected))?;
    if let Some(p) = alert.p_value {
        line("p-value", &format!("{p:.2e} (chance of so much under the baseline)"))?;
    }
    line("findings", &alert.finding_count.to_string())?;
    line("records", &alert.event_count.to_string())?;
    line("techniques", &alert.techniques.join(", "))?;
    if let Some(incident) = &alert.incident_id {
        line("incident", incident)?;
    }
    for (heading, values) in [("who and what", &alert.entities), ("evidence", &alert.evidence)] {
        writeln!(out, "\n{heading}")?;
        let longest = values.keys().map(String::len).max().unwrap_or(0);
        for (name, value) in values {
            let indent = " ".repeat(longest + 4);
            let value = table::wrapped(&text::short(&plain(value), LONGEST_VALUE), width, &indent);
            writeln!(out, "  {name:<longest$}  {}", value.trim_start())?;
        }
    }
    Ok(())
}

/// The records behind the alert, and the SQL that shows them all.
async fn print_records(store: &Store, alert: &Alert) -> anyhow::Result<()> {
    let limits = QueryLimits { rows: EVIDENCE_ROWS, ..QueryLimits::default() };
    let sql = format!(
        "SELECT time, coalesce(principal_name, principal_id, caller_ip) AS caller, vault_name, operation_name AS operation, \
         object_name AS object, http_status_code AS status, caller_ip FROM ({}) ORDER BY time",
        alert.drilldown
    );
    let answer = store.query(&sql, limits).await?;
    let schema = answer.schema();
    let batches = answer.collect().await?;
    writeln!(
        std::io::stdout(),
        "\nrecords (the first {EVIDENCE_ROWS}; all of them: kvaudit query with the SQL below)"
    )?;
    query::write(Format::Table, &schema, &batches)?;
    writeln!(std::io::stdout(), "\n{}", text::safe_lines(&alert.drilldown))?;
    Ok(())
}

/// A JSON value as a person writes it: lists with commas, no quotes.
pub fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Number(n) if n.is_f64() => number(n.as_f64().unwrap_or(0.0)),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

fn number(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 { format!("{value:.0}") } else { format!("{value:.2}") }
}

/// Alerts as CSV: one line each, lists joined by blanks.
pub fn write_csv(out: &mut impl Write, alerts: &[Alert]) -> anyhow::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record([
        "alert_id",
        "rule_id",
        "severity",
        "risk_score",
        "state",
        "suppressed",
        "window_start",
        "window_end",
        "principal_id",
        "principal_name",
        "vault_name",
        "caller_ip",
        "observed",
        "expected",
        "p_value",
        "finding_count",
        "event_count",
        "summary",
    ])?;
    for a in alerts {
        let entity = |name: &str| a.entities.get(name).map(plain).unwrap_or_default();
        let row = [
            a.alert_id.clone(),
            a.rule_id.clone(),
            a.severity.to_string(),
            a.risk_score.to_string(),
            a.state.as_str().to_owned(),
            a.suppressed.to_string(),
            a.window_start.clone(),
            a.window_end.clone(),
            entity("principal_id"),
            entity("principal_name"),
            entity("vault_name"),
            entity("caller_ip"),
            a.observed.to_string(),
            a.expected.to_string(),
            a.p_value.map(|p| p.to_string()).unwrap_or_default(),
            a.finding_count.to_string(),
            a.event_count.to_string(),
            a.summary.clone(),
        ];
        csv.write_record(row.iter().map(|cell| text::csv_cell(cell)))?;
    }
    csv.flush()?;
    Ok(())
}
