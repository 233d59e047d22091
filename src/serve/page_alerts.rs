//! `GET /`: the alerts as a page, severest first. Takes the parameters of the API's list.

use axum::extract::{RawQuery, State};
use axum::response::Html;
use maud::{Markup, html};

use super::page::{layout, list_link};
use super::params::{Query, TO_DO};
use super::problem::Page as PageProblem;
use super::show::{grouped, time, value, visible};
use super::{AppState, params};
use crate::alert::{Alert, AlertState, Severity, Value};
use crate::state::{AlertFilter, Counts, Order, Page};

/// Parameters that narrow the list to somebody or something: shown with a link that takes each off.
const NARROWING: [&str; 6] = ["rule", "caller", "vault", "min_severity", "from", "to"];

/// The list.
pub(super) async fn get(State(app): State<AppState>, RawQuery(query): RawQuery) -> Result<Html<String>, PageProblem> {
    let query = Query::parse(query.as_deref(), (app.clock)(), &TO_DO).map_err(PageProblem)?;
    let wanted = query.clone();
    let (page, counts) = app
        .read(move |state, now| {
            let page =
                state.alerts(&wanted.filter, Order::SeverestFirst, wanted.limit, wanted.cursor.as_deref(), now)?;
            let all = AlertFilter { severities: Vec::new(), ..wanted.filter };
            Ok((page, state.counts(&all, now)?))
        })
        .await
        .map_err(PageProblem)?;
    Ok(layout("Alerts", &body(&query, &page, &counts)))
}

fn body(query: &Query, page: &Page, counts: &Counts) -> Markup {
    html! {
        h1 { "Alerts" }
        p.summary { (summary(query, counts)) }
        nav.filters aria-label="Filters" {
            (severity_links(query, counts))
            (state_links(query))
        }
        (narrowed(query))
        @if page.alerts.is_empty() {
            p.empty { "No alert fits." }
        } @else {
            (table(&page.alerts))
            (paging(query, page))
        }
    }
}

/// One sentence: how many, how bad, how many are held back.
fn summary(query: &Query, counts: &Counts) -> String {
    let kind = match query.filter.states.as_slice() {
        states if states == TO_DO => "to look at",
        [AlertState::Open] => "open",
        [AlertState::Acknowledged] => "acknowledged",
        [AlertState::Closed] => "closed",
        [AlertState::Withdrawn] => "withdrawn, because later data took their findings back",
        _ => "in all",
    };
    let mut text = match counts.total {
        0 => format!("No alerts {kind}"),
        1 => format!("1 alert {kind}"),
        n => format!("{} alerts {kind}", grouped(n as i64)),
    };
    let parts: Vec<String> =
        counts.by_severity.iter().rev().map(|(severity, n)| format!("{} {severity}", grouped(*n as i64))).collect();
    if !parts.is_empty() {
        text.push_str(": ");
        text.push_str(&parts.join(", "));
    }
    text.push('.');
    if counts.suppressed > 0 {
        let is = if counts.suppressed == 1 { "is" } else { "are" };
        let shown = if query.filter.include_suppressed { "among them" } else { "not shown" };
        text.push_str(&format!(" {} {is} suppressed and {shown}.", grouped(counts.suppressed as i64)));
    }
    text
}

/// The list's link with one parameter replaced; `None` takes it off.
fn with(query: &Query, name: &str, value: Option<&str>) -> String {
    let kept = query.given.iter().filter(|(given, _)| given != name).map(|(n, v)| (n.as_str(), v.as_str()));
    list_link(kept.chain(value.map(|value| (name, value))))
}

fn chip(label: &Markup, link: &str, current: bool) -> Markup {
    html! {
        @if current { a.chip href=(link) aria-current="true" { (label) } }
        @else { a.chip href=(link) { (label) } }
    }
}

fn severity_links(query: &Query, counts: &Counts) -> Markup {
    let chosen = query.filter.severities.as_slice();
    let all: u64 = counts.total;
    html! {
        div.group {
            (chip(&html! { "All " span.count { (grouped(all as i64)) } }, &with(query, "severity", None), chosen.is_empty()))
            @for severity in Severity::ALL.into_iter().rev() {
                @let n = counts.by_severity.get(&severity).copied().unwrap_or(0);
                @let label = html! {
                    span class={ "dot " (severity) } {} (title_case(severity.as_str())) " " span.count { (grouped(n as i64)) }
                };
                (chip(&label, &with(query, "severity", Some(severity.as_str())), chosen == [severity]))
            }
        }
    }
}

fn state_links(query: &Query) -> Markup {
    let states = query.filter.states.as_slice();
    html! {
        div.group {
            (chip(&html! { "To do" }, &with(query, "state", None), states == TO_DO))
            @for state in [AlertState::Closed, AlertState::Withdrawn] {
                (chip(&html! { (title_case(state.as_str())) }, &with(query, "state", Some(state.as_str())), states == [state]))
            }
            @let every = params::UNWITHDRAWN.map(AlertState::as_str).join(",");
            (chip(&html! { "All" }, &with(query, "state", Some(&every)), states == params::UNWITHDRAWN))
        }
    }
}

fn narrowed(query: &Query) -> Markup {
    let narrowing: Vec<_> = query.given.iter().filter(|(name, _)| NARROWING.contains(&name.as_str())).collect();
    html! {
        @if !narrowing.is_empty() {
            p.narrowed {
                "Only "
                @for (name, value) in narrowing {
                    a.chip href=(with(query, name, None)) title="Take this filter off" {
                        (name.replace('_', " ")) " " bdi { (visible(value)) } " ×"
                    }
                    " "
                }
            }
        }
    }
}

fn table(alerts: &[Alert]) -> Markup {
    html! {
        table.alerts {
            thead { tr {
                th { "Severity" } th { "What happened" } th { "Caller" } th { "Vault" } th { "Last window" }
                th.number { "Risk" }
            } }
            tbody { @for alert in alerts { (row(alert)) } }
        }
    }
}

fn row(alert: &Alert) -> Markup {
    let link = format!("/alerts/{}", alert.alert_id);
    html! {
        tr {
            td.severity data-label="Severity" { (badge(alert.severity)) (marks(alert)) }
            td.what data-label="What happened" {
                a.title href=(link) { bdi { (visible(&alert.title)) } }
                p { bdi { (visible(&alert.summary)) } }
                a.rule href=(list_link([("rule", alert.rule_id.as_str())])) { bdi { (visible(&alert.rule_id)) } }
                @if let Some(id) = &alert.incident_id { " · " a.rule href={ "/incidents/" (id) } { "incident" } }
            }
            td.caller data-label="Caller" { (caller(alert)) }
            td.vault data-label="Vault" { (entity(alert, "vault_name", Some("vault"))) }
            td.when data-label="Last window" { time datetime=(alert.window_end) { (time(&alert.window_end)) } }
            td.number data-label="Risk" { (alert.risk_score) }
        }
    }
}

/// The severity as a coloured word.
pub(super) fn badge(severity: Severity) -> Markup {
    html! { span class={ "badge " (severity) } { (title_case(severity.as_str())) } }
}

/// What people did, where it is more than nothing.
pub(super) fn marks(alert: &Alert) -> Markup {
    html! {
        @if alert.state != AlertState::Open { " " span.mark { (alert.state.as_str()) } }
        @if alert.suppressed { " " span.mark { "suppressed" } }
    }
}

/// The caller's name above its id, or whichever there is.
fn caller(alert: &Alert) -> Markup {
    html! {
        @if alert.entities.contains_key("principal_name") {
            (entity(alert, "principal_name", Some("caller")))
            @if alert.entities.contains_key("principal_id") {
                div.sub { (entity(alert, "principal_id", None)) }
            }
        } @else {
            (entity(alert, "principal_id", Some("caller")))
        }
    }
}

/// An entity's value; as a link that narrows the list to it, if a parameter is named and it is one value.
pub(super) fn entity(alert: &Alert, name: &str, parameter: Option<&str>) -> Markup {
    html! {
        @match (alert.entities.get(name), parameter) {
            (None | Some(Value::Null), _) => span.none { "–" },
            (Some(Value::String(text)), Some(parameter)) if !text.is_empty() => {
                a href=(list_link([(parameter, text.as_str())])) { bdi { (visible(text)) } }
            },
            (Some(Value::Array(items)), _) if items.len() > 3 => {
                span { bdi { (value(&items[0])) } span.none { " and " (items.len() - 1) " more" } }
            },
            (Some(other), _) => bdi { (value(other)) },
        }
    }
}

fn paging(query: &Query, page: &Page) -> Markup {
    html! {
        nav.paging aria-label="Pages" {
            @if query.cursor.is_some() { a href=(with(query, "cursor", None)) { "← First page" } }
            @if let Some(cursor) = &page.next_cursor {
                a rel="next" href=(with(query, "cursor", Some(cursor))) { "Next page →" }
            }
        }
    }
}

pub(super) fn title_case(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
