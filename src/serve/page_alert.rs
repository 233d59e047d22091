//! `GET /alerts/{id}`: one alert as a page: its sentence, its numbers, who and what, evidence, findings, the SQL.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Html;
use maud::{Markup, html};

use super::AppState;
use super::page::layout;
use super::page_alerts::{badge, marks};
use super::problem::Page as PageProblem;
use super::show::{grouped, number, odds, probability, time, value, visible, visible_lines};
use crate::alert::{Alert, ENTITY_COLUMNS, Finding, rfc3339};
use crate::state::TrailEntry;

/// Findings, and lines of the trail, that the page shows at most.
const MAX_FINDINGS: usize = 100;
const MAX_TRAIL: usize = 50;

/// The page, or 404.
pub(super) async fn get(
    State(app): State<AppState>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Html<String>, PageProblem> {
    let Path(id) = id.map_err(|rejection| PageProblem(rejection.into()))?;
    let (alert, findings, trail) = app
        .read(move |state, now| {
            let alert = state.alert(&id, now)?;
            let findings = state.findings_of(&alert.alert_id, MAX_FINDINGS)?;
            let trail = state.trail(Some(&alert.alert_id), MAX_TRAIL)?;
            Ok((alert, findings, trail))
        })
        .await
        .map_err(PageProblem)?;
    Ok(layout(&alert.title, &body(&alert, &findings, &trail)))
}

fn body(alert: &Alert, findings: &[Finding], trail: &[TrailEntry]) -> Markup {
    html! {
        p.back { a href="/" { "← All alerts" } }
        p.kind { (badge(alert.severity)) (marks(alert)) }
        h1 { bdi { (visible(&alert.title)) } }
        p.lead { bdi { (visible(&alert.summary)) } }
        (numbers(alert))
        div.columns {
            section { h2 { "Who and what" } (entities(alert)) }
            section { h2 { "When" } (times(alert)) }
        }
        section { h2 { "Evidence" } (evidence(alert)) }
        section { h2 { "Findings" } (findings_table(alert, findings)) }
        section {
            h2 { "Records behind it" }
            p.hint { "Run it with " code { "kvaudit query" } "." }
            pre { code { (visible_lines(&alert.drilldown)) } }
        }
        @if !trail.is_empty() { section { h2 { "History" } (history(trail)) } }
    }
}

fn numbers(alert: &Alert) -> Markup {
    let figure = |label: &str, figure: &str, note: Option<&str>| {
        html! { div.figure { dt { (label) } dd { (figure) @if let Some(note) = note { " " span.note { (note) } } } } }
    };
    html! {
        dl.figures {
            (figure("Risk", &alert.risk_score.to_string(), Some("of 100")))
            (figure("Observed", &number(alert.observed), None))
            (figure("Expected", &number(alert.expected), None))
            @if let Some(p) = alert.p_value { (figure("Probability", &probability(p), odds(p).as_deref())) }
            (figure("Findings", &grouped(count(alert.finding_count)), None))
            @if alert.event_count > 0 { (figure("Records", &grouped(count(alert.event_count)), None)) }
        }
    }
}

fn count(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn entities(alert: &Alert) -> Markup {
    let known = ENTITY_COLUMNS.iter().filter_map(|name| alert.entities.get(*name).map(|value| (*name, value)));
    let mut rows: Vec<(&str, Markup)> = known.map(|(name, v)| (name, html! { bdi { (value(v)) } })).collect();
    rows.push(("rule", html! { bdi { (visible(&alert.rule_id)) } }));
    if !alert.techniques.is_empty() {
        rows.push(("techniques", techniques(&alert.techniques)));
    }
    if let Some(id) = &alert.incident_id {
        rows.push(("incident", html! { a href={ "/incidents/" (id) } { code { (id) } } }));
    }
    rows.push(("alert", html! { code { (alert.alert_id) } }));
    pairs(rows)
}

/// ATT&CK ids, as links where they have the form of one.
pub(super) fn techniques(ids: &[String]) -> Markup {
    let page = |id: &str| {
        let (technique, sub) = id.split_once('.').map_or((id, None), |(technique, sub)| (technique, Some(sub)));
        let digits = |text: &str, n| text.len() == n && text.bytes().all(|b| b.is_ascii_digit());
        let known = technique.strip_prefix('T').is_some_and(|t| digits(t, 4)) && sub.is_none_or(|s| digits(s, 3));
        known.then(|| format!("https://attack.mitre.org/techniques/{}/", id.replace('.', "/")))
    };
    html! {
        @for (i, id) in ids.iter().enumerate() {
            @if i > 0 { ", " }
            @match page(id) {
                Some(link) => a href=(link) rel="noreferrer" { (id) },
                None => bdi { (visible(id)) },
            }
        }
    }
}

fn times(alert: &Alert) -> Markup {
    let at = |rfc3339: &str| html! { time datetime=(rfc3339) { (time(rfc3339)) } };
    pairs(vec![
        ("first record", at(&alert.first_seen)),
        ("last record", at(&alert.last_seen)),
        ("first window starts", at(&alert.window_start)),
        ("last window ends", at(&alert.window_end)),
        ("alert made", at(&alert.created_at)),
        ("alert changed", at(&alert.updated_at)),
    ])
}

fn evidence(alert: &Alert) -> Markup {
    if alert.evidence.is_empty() {
        return html! { p.hint { "The rule gives none beside the numbers above." } };
    }
    pairs(alert.evidence.iter().map(|(name, v)| (name.as_str(), html! { bdi { (value(v)) } })).collect())
}

pub(super) fn pairs(rows: Vec<(&str, Markup)>) -> Markup {
    html! {
        table.pairs { tbody {
            @for (name, value) in rows {
                tr { th scope="row" { (visible(&name.replace('_', " "))) } td { (value) } }
            }
        } }
    }
}

fn findings_table(alert: &Alert, findings: &[Finding]) -> Markup {
    html! {
        @if (findings.len() as u64) < alert.finding_count {
            p.hint { "The latest " (findings.len()) " of " (grouped(count(alert.finding_count))) "." }
        }
        table.findings {
            thead { tr {
                th { "Window ends" } th { "Severity" } th.number { "Observed" } th.number { "Expected" }
                th.number { "Probability" } th { "Summary" }
            } }
            tbody { @for finding in findings { (finding_row(finding)) } }
        }
    }
}

fn finding_row(finding: &Finding) -> Markup {
    let end = rfc3339(finding.window_end);
    html! {
        tr {
            td.when data-label="Window ends" { time datetime=(end) { (time(&end)) } }
            td data-label="Severity" { (badge(finding.severity)) }
            td.number data-label="Observed" { (number(finding.observed)) }
            td.number data-label="Expected" { (number(finding.expected)) }
            td.number data-label="Probability" { (finding.p_value.map_or_else(|| "–".to_owned(), probability)) }
            td.what data-label="Summary" { bdi { (visible(&finding.summary)) } }
        }
    }
}

fn history(trail: &[TrailEntry]) -> Markup {
    html! {
        table.pairs { tbody {
            @for entry in trail {
                @let note = entry.detail["note"].as_str().filter(|note| !note.is_empty());
                tr {
                    th scope="row" { time datetime=(entry.at) { (time(&entry.at)) } }
                    td {
                        (entry.action) " by " bdi { (visible(&entry.actor)) }
                        @if let Some(note) = note { ": " bdi { (visible(note)) } }
                    }
                }
            }
        } }
    }
}
