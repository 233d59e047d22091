//! For whatever watches the process: it lives, and it can read its state.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::AppState;

/// 200 as long as requests are answered at all.
pub(super) async fn healthz() -> Response {
    Json(json!({ "status": "ok" })).into_response()
}

/// 200 once the state can be read, else 503.
pub(super) async fn readyz(State(app): State<AppState>) -> Response {
    match app.read(|state, _| state.check_ready()).await {
        Ok(()) => Json(json!({ "status": "ready" })).into_response(),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "status": "not ready" }))).into_response(),
    }
}
