//! The HTTP API and the page, over the state. Reads only: nothing here changes an alert.
//!
//! Listens on loopback alone until there is authentication, and answers only requests that a loopback page or
//! program made (see `guard`). Never evaluates a detection, never opens the store's tables, never reads the clock:
//! the command passes one in.

mod alert;
mod alerts;
mod flight;
mod guard;
mod health;
mod incidents;
mod listen;
mod page;
mod page_alert;
mod page_alerts;
mod page_incident;
mod params;
mod problem;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod samples;
mod show;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use chrono::{DateTime, Utc};
use tower_http::limit::RequestBodyLimitLayer;

use crate::state::State;

pub use listen::{ServeError, check_listen, serve};

/// No route reads a body; this bounds what a client may send all the same.
const MAX_BODY: usize = 16 * 1024;

/// What every request shares. Cheap to clone.
#[derive(Clone)]
pub struct AppState {
    /// Findings and alerts.
    pub state: State,
    /// The time, for `since=24h` and for suppressions that expire.
    pub clock: Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>,
    /// The address listened on: its port is the one that an Origin must have.
    pub listen: SocketAddr,
}

/// All routes.
pub fn router(app: AppState) -> Router {
    let door = guard::Door { listen: app.listen, flights: flight::Flights::default() };
    Router::new()
        .route("/", get(page_alerts::get))
        .route("/alerts/{id}", get(page_alert::get))
        .route("/style.css", get(page::style))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/api/v1/alerts", get(alerts::get))
        .route("/api/v1/alerts/{id}", get(alert::get))
        .route("/incidents/{id}", get(page_incident::get))
        .route("/api/v1/incidents", get(incidents::list))
        .route("/api/v1/incidents/{id}", get(incidents::one))
        .layer(RequestBodyLimitLayer::new(MAX_BODY))
        .layer(from_fn_with_state(door, guard::guard))
        .with_state(app)
}
