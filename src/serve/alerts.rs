//! `GET /api/v1/alerts`: a page of alerts, newest last window first.

use axum::Json;
use axum::extract::{RawQuery, State};

use super::params::Query;
use super::problem::Api;
use super::{AppState, params};
use crate::state::{Order, Page};

/// `{"alerts":[…],"next_cursor":…|null,"total":n}`. Without `state` withdrawn alerts are left out.
pub(super) async fn get(State(app): State<AppState>, RawQuery(query): RawQuery) -> Result<Json<Page>, Api> {
    let query = Query::parse(query.as_deref(), (app.clock)(), &params::UNWITHDRAWN).map_err(Api)?;
    let page = app
        .read(move |state, now| {
            state.alerts(&query.filter, Order::NewestFirst, query.limit, query.cursor.as_deref(), now)
        })
        .await;
    page.map(Json).map_err(Api)
}
