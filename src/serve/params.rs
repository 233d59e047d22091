//! The query string of lists: what is allowed, read into a filter. Anything else is refused by name.

use chrono::{DateTime, NaiveDate, Utc};

use super::problem::Problem;
use super::{AppState, problem};
use crate::alert::{AlertState, Micros, Severity};
use crate::state::{AlertFilter, State, StateError};

/// The states of alerts that hold, whatever people did about them: the API's default.
pub(super) const UNWITHDRAWN: [AlertState; 3] = [AlertState::Open, AlertState::Acknowledged, AlertState::Closed];
/// What is still to be done: the page's default.
pub(super) const TO_DO: [AlertState; 2] = [AlertState::Open, AlertState::Acknowledged];

const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 500;
/// The longest value of a parameter, in bytes.
const MAX_VALUE: usize = 2048;

const ALLOWED: &str = "severity, min_severity, rule, caller, vault, from (or since), to (or until), state, suppressed, \
                       limit, cursor";

/// A list's query string as checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) filter: AlertFilter,
    pub(super) limit: usize,
    pub(super) cursor: Option<String>,
    /// The pairs as given, without the cursor: what links to further pages repeat.
    pub(super) given: Vec<(String, String)>,
}

impl Query {
    /// Reads a query string. Relative times (`24h`) count back from `now`; without `state` it is `states`.
    pub(super) fn parse(text: Option<&str>, now: DateTime<Utc>, states: &[AlertState]) -> Result<Self, Problem> {
        let mut query = Self { filter: AlertFilter::default(), limit: DEFAULT_LIMIT, cursor: None, given: Vec::new() };
        let mut seen: Vec<&str> = Vec::new();
        for (name, value) in url::form_urlencoded::parse(text.unwrap_or_default().as_bytes()) {
            let name = canonical(&name)?;
            if name != "severity" && name != "state" && seen.contains(&name) {
                return Err(Problem::bad(format!("{name} is given twice: give it once")));
            }
            if value.is_empty() || value.len() > MAX_VALUE {
                return Err(Problem::bad(format!("{name} is empty or longer than {MAX_VALUE} bytes")));
            }
            query.set(name, &value, now)?;
            seen.push(name);
            if name != "cursor" {
                query.given.push((name.to_owned(), value.into_owned()));
            }
        }
        if query.filter.states.is_empty() {
            query.filter.states = states.to_vec();
        }
        if let (Some(from), Some(to)) = (query.filter.from, query.filter.to)
            && from >= to
        {
            return Err(Problem::bad("from is not before to: no alert could fit"));
        }
        Ok(query)
    }

    fn set(&mut self, name: &str, value: &str, now: DateTime<Utc>) -> Result<(), Problem> {
        let filter = &mut self.filter;
        let text = || Some(value.to_owned());
        match name {
            "severity" => filter.severities.extend(list::<Severity>(value)?),
            "min_severity" => filter.min_severity = Some(value.parse().map_err(Problem::bad)?),
            "rule" => filter.rule = text(),
            "caller" => filter.caller = text(),
            "vault" => filter.vault = text(),
            "from" => filter.from = Some(time(name, value, now)?),
            "to" => filter.to = Some(time(name, value, now)?),
            "state" => filter.states.extend(list::<AlertState>(value)?),
            "suppressed" => {
                filter.include_suppressed = match value {
                    "true" => true,
                    "false" => false,
                    _ => return Err(Problem::bad("suppressed is true (show them too) or false")),
                }
            }
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
                self.limit = limit.ok_or_else(|| Problem::bad(format!("limit is a number from 1 to {MAX_LIMIT}")))?;
            }
            _ => self.cursor = text(),
        }
        Ok(())
    }
}

/// The parameter's own name, whichever of its names was used.
fn canonical(name: &str) -> Result<&'static str, Problem> {
    Ok(match name {
        "severity" => "severity",
        "min_severity" => "min_severity",
        "rule" => "rule",
        "caller" => "caller",
        "vault" => "vault",
        "from" | "since" => "from",
        "to" | "until" => "to",
        "state" => "state",
        "suppressed" => "suppressed",
        "limit" => "limit",
        "cursor" => "cursor",
        _ => {
            let name: String = name.chars().take(64).collect();
            return Err(Problem::bad(format!("there is no parameter '{name}'; allowed are {ALLOWED}")));
        }
    })
}

fn list<T: std::str::FromStr<Err = String>>(text: &str) -> Result<Vec<T>, Problem> {
    text.split(',').map(|item| item.trim().parse().map_err(Problem::bad)).collect()
}

/// RFC 3339, a date (its first moment, UTC), or a span back from now.
fn time(name: &str, text: &str, now: DateTime<Utc>) -> Result<Micros, Problem> {
    // A plus sign that was not escaped arrives as a space: 2026-01-01T00:00:00+01:00.
    let absolute =
        DateTime::parse_from_rfc3339(text).or_else(|_| DateTime::parse_from_rfc3339(&text.replace(' ', "+")));
    if let Ok(time) = absolute {
        return Ok(time.timestamp_micros());
    }
    if let Some(midnight) = text.parse::<NaiveDate>().ok().and_then(|date| date.and_hms_opt(0, 0, 0)) {
        return Ok(midnight.and_utc().timestamp_micros());
    }
    let span = humantime::parse_duration(text).ok().and_then(|span| chrono::Duration::from_std(span).ok());
    span.and_then(|span| now.checked_sub_signed(span)).map(|time| time.timestamp_micros()).ok_or_else(|| {
        let text: String = text.chars().take(64).collect();
        Problem::bad(format!(
            "{name} '{text}' is no time: write 2026-01-31T08:00:00Z, 2026-01-31, or a span back from now such as 24h or 7d"
        ))
    })
}

impl AppState {
    /// Reads the state on a thread that may wait for the disk.
    pub(super) async fn read<T, F>(&self, read: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: FnOnce(&State, Micros) -> Result<T, StateError> + Send + 'static,
    {
        let (state, now) = (self.state.clone(), (self.clock)().timestamp_micros());
        match tokio::task::spawn_blocking(move || read(&state, now)).await {
            Ok(result) => result.map_err(problem::Problem::from),
            Err(error) => {
                tracing::error!(%error, "a read of the state did not end");
                let status = axum::http::StatusCode::INTERNAL_SERVER_ERROR;
                Err(Problem::new(status, "internal", "the state could not be read: the server's log says why"))
            }
        }
    }
}
