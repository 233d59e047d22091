//! The clock. Below the commands a time is passed in. `KVAUDIT_NOW` stands in for the machine's clock, to run logs again as
//! of another day and for tests; and what is said where the clock cannot be right.

use chrono::{DateTime, Utc};

use super::table::{count, counted};
use super::{WrongUse, times};
use crate::ingest::Report;

/// The variable that stands in for the clock.
const VARIABLE: &str = "KVAUDIT_NOW";

/// The present, or what stands in for it.
#[allow(clippy::disallowed_methods)]
pub fn now() -> DateTime<Utc> {
    // `check` has refused what is no time before anything was done.
    given().ok().flatten().unwrap_or_else(Utc::now)
}

/// Refuses a `KVAUDIT_NOW` that is not a time.
pub fn check() -> Result<(), WrongUse> {
    given().map(|_| ())
}

fn given() -> Result<Option<DateTime<Utc>>, WrongUse> {
    let Some(text) = std::env::var_os(VARIABLE).filter(|text| !text.is_empty()) else { return Ok(None) };
    let text = text.to_string_lossy();
    match DateTime::parse_from_rfc3339(&text) {
        Ok(time) => Ok(Some(time.with_timezone(&Utc))),
        Err(_) => Err(WrongUse(format!(
            "{VARIABLE} = '{text}' is not a time: write RFC 3339, for instance 2026-10-01T00:00:00Z, or unset it"
        ))),
    }
}

/// What is to be said where most records were refused because they lie ahead of the clock, and agree with each other.
pub fn behind(report: &Report) -> Option<String> {
    let (ahead, read) = (&report.ahead, report.events_written + report.duplicates);
    if ahead.records <= read || !ahead.agree() {
        return None;
    }
    let clock = if std::env::var_os(VARIABLE).is_some() { VARIABLE } else { "this machine's clock" };
    // A day on, so that the last of them is no longer in the future.
    let later = DateTime::from_timestamp_micros(ahead.last).map_or_else(String::new, |last| {
        format!("{VARIABLE}={}", last.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
    });
    Some(format!(
        "warning: {clock} says {} UTC, but {} of {} read lie more than a day after that, from {} to {} UTC, and were not \
         taken in: the clock is behind, or the log's times are wrong. Set the clock and run the same command again (what \
         lies in quarantine is then read as events), or run it with {later} in the environment",
        times::minute(now().timestamp_micros()),
        count(ahead.records),
        counted(ahead.records + read, "record"),
        times::minute(ahead.first),
        times::minute(ahead.last),
    ))
}
