//! `GET /api/v1/alerts/{id}`: one alert by its id, one merged into it, or its first digits.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};

use super::AppState;
use super::problem::Api;
use crate::alert::Alert;

/// The alert, or 404.
pub(super) async fn get(
    State(app): State<AppState>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Alert>, Api> {
    let Path(id) = id.map_err(|rejection| Api(rejection.into()))?;
    app.read(move |state, now| state.alert(&id, now)).await.map(Json).map_err(Api)
}
