//! `kvaudit rules score LABELS`: the alerts in the store held against the labels of simulated logs.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use anyhow::Context as _;

use super::context::{Context, now};
use super::{Format, Outcome, note, table};
use crate::detection::Library;
use crate::score::{self, Own, Raised, Score, Truth};
use crate::state::{AlertFilter, MAX_PAGE, Order, State};
use crate::store::Access;

/// Findings of one alert that are looked at for the first that tells of an attack.
const MOST_FINDINGS: usize = 100_000;

pub async fn score(context: &Context, library: &Library, labels: &Path) -> anyhow::Result<Outcome> {
    let text = std::fs::read(labels).with_context(|| format!("cannot read {}", labels.display()))?;
    let truth: Truth = serde_json::from_slice(&text)
        .with_context(|| format!("{} holds no labels: name the labels.json of kvaudit simulate", labels.display()))?;
    let store = context.store(Access::Existing).await?;
    let state = context.state_to_read(&store).await?;
    let raised = raised(&state)?;
    if raised.is_empty() {
        note("the store holds no alerts: run the detections over all the data first (kvaudit run --once SOURCE)");
    }
    let rules: BTreeMap<String, Vec<String>> =
        library.rules().iter().map(|r| (r.id.clone(), r.header.key.clone())).collect();
    let score = score::score(&truth, &raised, &rules);
    match context.format {
        Format::Table => print(&score)?,
        Format::Json => writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&score)?)?,
        Format::Jsonl => writeln!(std::io::stdout(), "{}", serde_json::to_string(&score)?)?,
        Format::Csv => csv(&score)?,
    }
    Ok(Outcome::Done)
}

/// Every alert with the windows' ends of its findings.
fn raised(state: &State) -> anyhow::Result<Vec<Raised>> {
    let filter = AlertFilter { include_suppressed: true, ..AlertFilter::default() };
    let (mut raised, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let page = state.alerts(&filter, Order::NewestFirst, MAX_PAGE, cursor.as_deref(), now().timestamp_micros())?;
        for alert in page.alerts {
            let findings = state.findings_of(&alert.alert_id, MOST_FINDINGS)?;
            raised.push(Raised { ends: findings.iter().map(|f| f.window_end).collect(), alert });
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(raised);
        }
    }
}

fn print(score: &Score) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let mut grid = table::table(&["family", "attack", "form", "found", "after", "by rule", "own rule"]);
    for attack in &score.attacks {
        let own = match attack.own {
            Own::Found => format!("found after {}", minutes(attack.own_minutes)),
            Own::Missed => "missed".to_owned(),
            Own::NoRule => "no rule".to_owned(),
        };
        grid.add_row([
            table::cell(&attack.family),
            table::cell(&attack.id),
            table::cell(&attack.form),
            table::cell(if attack.found { "found" } else { "missed" }),
            table::cell(&minutes(attack.minutes)),
            table::cell(attack.rule.as_deref().unwrap_or("-")),
            table::cell(&own),
        ]);
    }
    writeln!(out, "{}\n", table::trimmed(&grid))?;
    let mut grid = table::table(&["rule", "alerts", "finds", "consequences", "false", "false a day"]);
    for rule in &score.rules {
        grid.add_row([
            table::cell(&rule.rule),
            table::cell(&rule.alerts.to_string()),
            table::cell(&rule.finds.to_string()),
            table::cell(&rule.consequences.to_string()),
            table::cell(&rule.false_alerts.to_string()),
            table::cell(&format!("{:.2}", rule.false_alerts_a_day)),
        ]);
    }
    writeln!(out, "{}\n", table::trimmed(&grid))?;
    writeln!(
        out,
        "recall {:.3} (own detections {:.3}), median time to alert {}; a day: {:.2} false alerts, {:.2} alerts, \
         {:.2} of them about who suffers from an attack",
        score.recall,
        score.own_recall,
        minutes(score.median_minutes),
        score.false_alerts_a_day,
        score.alerts_a_day,
        score.consequences_a_day
    )?;
    Ok(())
}

fn minutes(minutes: Option<f64>) -> String {
    minutes.map_or_else(|| "-".to_owned(), |m| format!("{m:.0} min"))
}

/// A line for each attack.
fn csv(score: &Score) -> anyhow::Result<()> {
    let mut csv = csv::Writer::from_writer(std::io::stdout().lock());
    csv.write_record(["family", "attack", "form", "found", "minutes", "rule", "own"])?;
    for a in &score.attacks {
        let own = match a.own {
            Own::Found => "found",
            Own::Missed => "missed",
            Own::NoRule => "no rule",
        };
        let minutes = a.minutes.map(|m| format!("{m:.1}")).unwrap_or_default();
        let (found, rule) = (a.found.to_string(), a.rule.clone().unwrap_or_default());
        csv.write_record([&a.family, &a.id, &a.form, &found, &minutes, &rule, own])?;
    }
    csv.flush()?;
    Ok(())
}
