//! `GET /incidents/{id}`: one incident as a page: its story, its alerts in order, who and what.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Html;
use maud::{Markup, html};

use super::AppState;
use super::page::layout;
use super::page_alert::{pairs, techniques};
use super::page_alerts::{badge, marks};
use super::problem::Page as PageProblem;
use super::show::{time, value, visible};
use crate::alert::{Alert, AlertState, ENTITY_COLUMNS, Incident};
use crate::state::IncidentDetail;

/// The page, or 404.
pub(super) async fn get(
    State(app): State<AppState>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Html<String>, PageProblem> {
    let Path(id) = id.map_err(|rejection| PageProblem(rejection.into()))?;
    let detail = app.read(move |state, now| state.incident(&id, now)).await.map_err(PageProblem)?;
    Ok(layout(&detail.incident.title, &body(&detail)))
}

fn body(detail: &IncidentDetail) -> Markup {
    let incident = &detail.incident;
    html! {
        p.back { a href="/" { "← All alerts" } }
        p.kind {
            (badge(incident.severity))
            @if incident.state != AlertState::Open { " " span.mark { (incident.state.as_str()) } }
        }
        h1 { bdi { (visible(&incident.title)) } }
        p.lead { bdi { (visible(&incident.story)) } }
        section { h2 { "Its alerts, in order" } (timeline(&detail.alerts)) }
        section { h2 { "Who and what" } (entities(incident)) }
    }
}

fn timeline(alerts: &[Alert]) -> Markup {
    html! {
        table.findings {
            thead { tr { th { "First record" } th { "Severity" } th { "What happened" } } }
            tbody { @for alert in alerts {
                tr {
                    td.when data-label="First record" { time datetime=(alert.first_seen) { (time(&alert.first_seen)) } }
                    td data-label="Severity" { (badge(alert.severity)) (marks(alert)) }
                    td.what data-label="What happened" {
                        a.title href={ "/alerts/" (alert.alert_id) } { bdi { (visible(&alert.title)) } }
                        p { bdi { (visible(&alert.summary)) } }
                    }
                }
            } }
        }
    }
}

fn entities(incident: &Incident) -> Markup {
    let known = ENTITY_COLUMNS.iter().filter_map(|name| incident.entities.get(*name).map(|value| (*name, value)));
    let mut rows: Vec<(&str, Markup)> = known.map(|(name, v)| (name, html! { bdi { (value(v)) } })).collect();
    if !incident.techniques.is_empty() {
        rows.push(("techniques", techniques(&incident.techniques)));
    }
    rows.push(("risk", html! { (incident.risk_score) " of 100" }));
    rows.push(("incident", html! { code { (incident.incident_id) } }));
    pairs(rows)
}
