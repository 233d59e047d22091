//! `GET /api/v1/incidents` and `/api/v1/incidents/{id}`: incidents, latest first, and one with its alerts.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};

use super::params::Query;
use super::problem::{Api, Problem};
use super::{AppState, params};
use crate::state::{IncidentDetail, IncidentPage, Order};

/// `{"incidents":[…],"next_cursor":…|null,"total":n}`. Without `state` withdrawn incidents are left out.
pub(super) async fn list(State(app): State<AppState>, RawQuery(query): RawQuery) -> Result<Json<IncidentPage>, Api> {
    let query = Query::parse(query.as_deref(), (app.clock)(), &params::UNWITHDRAWN).map_err(Api)?;
    if query.given.iter().any(|(name, _)| name == "suppressed") {
        return Err(Api(Problem::bad("incidents hold no suppressed alerts: leave suppressed out")));
    }
    let page = app
        .read(move |state, _| state.incidents(&query.filter, Order::NewestFirst, query.limit, query.cursor.as_deref()))
        .await;
    page.map(Json).map_err(Api)
}

/// The incident with its alerts, or 404.
pub(super) async fn one(
    State(app): State<AppState>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<IncidentDetail>, Api> {
    let Path(id) = id.map_err(|rejection| Api(rejection.into()))?;
    app.read(move |state, now| state.incident(&id, now)).await.map(Json).map_err(Api)
}
