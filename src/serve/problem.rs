//! Errors as answers: JSON `{"error":{"code":…,"message":…}}` under /api, a page elsewhere.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::html;
use serde_json::json;

use super::page;
use crate::state::StateError;

/// What went wrong, for a client to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    /// A parameter that cannot be read.
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    /// The answer in the form that clients of the path read.
    pub(super) fn answer(&self, path: &str) -> Response {
        if path == "/api" || path.starts_with("/api/") { self.json() } else { self.page() }
    }

    /// The answer for programs.
    pub(super) fn json(&self) -> Response {
        let body = json!({ "error": { "code": self.code, "message": self.message } });
        (self.status, Json(body)).into_response()
    }

    /// The answer for people.
    pub(super) fn page(&self) -> Response {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let body = html! {
            h1 { (title) }
            p { bdi { (super::show::visible(&self.message)) } }
            p { a href="/" { "All alerts" } }
        };
        (self.status, page::layout(title, &body)).into_response()
    }
}

/// A handler's error that answers as JSON.
pub(super) struct Api(pub(super) Problem);

impl IntoResponse for Api {
    fn into_response(self) -> Response {
        self.0.json()
    }
}

/// A handler's error that answers as a page.
pub(super) struct Page(pub(super) Problem);

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        self.0.page()
    }
}

impl From<StateError> for Problem {
    fn from(error: StateError) -> Self {
        match &error {
            StateError::NoAlert { .. } | StateError::NoIncident { .. } | StateError::BadId { .. } => {
                Self::new(StatusCode::NOT_FOUND, "not_found", error.to_string())
            }
            StateError::Ambiguous { .. } => Self::new(StatusCode::BAD_REQUEST, "ambiguous_id", error.to_string()),
            StateError::Cursor { .. } => Self::new(StatusCode::BAD_REQUEST, "bad_cursor", error.to_string()),
            StateError::Argument(_) => Self::bad(error.to_string()),
            StateError::Busy => Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", error.to_string()),
            _ => {
                let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                tracing::error!(%error, cause, "the state could not be read");
                let message = "the state could not be read: the server's log says why";
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
            }
        }
    }
}

impl From<PathRejection> for Problem {
    fn from(_: PathRejection) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "the path is not valid text")
    }
}

/// Gives errors that the router and its layers make themselves (404, 405, 413, …) our form; keeps `Allow`.
pub(super) fn in_our_form(path: &str, response: Response) -> Response {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) || is_ours(response.headers()) {
        return response;
    }
    let (code, message) = match status {
        StatusCode::NOT_FOUND => ("not_found", format!("there is nothing at {}", short(path))),
        StatusCode::METHOD_NOT_ALLOWED => ("method_not_allowed", "only GET and HEAD are served here".to_owned()),
        StatusCode::PAYLOAD_TOO_LARGE => ("too_large", "the request's body is too large: send none".to_owned()),
        _ => ("refused", status.canonical_reason().unwrap_or("the request was refused").to_owned()),
    };
    let allow = response.headers().get(header::ALLOW).cloned();
    let mut answer = Problem::new(status, code, message).answer(path);
    if let Some(allow) = allow {
        answer.headers_mut().insert(header::ALLOW, allow);
    }
    answer
}

fn is_ours(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.starts_with("application/json") || kind.starts_with("text/html")
}

fn short(path: &str) -> String {
    path.chars().take(200).collect()
}
