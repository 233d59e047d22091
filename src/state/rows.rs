//! Rows of state.db to types and back.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::de::DeserializeOwned;

use super::StateError;
use crate::alert::{Alert, AlertState, Finding, Micros, Severity, rfc3339};

/// A finding with what only the state knows of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct StoredFinding {
    pub(super) finding: Finding,
    /// SQL of the rule's own that narrows the drilldown; never shown as evidence.
    pub(super) drilldown_filter: Option<String>,
    /// It does not hold any more.
    pub(super) withdrawn: bool,
}

pub(super) fn severity_rank(severity: Severity) -> i64 {
    Severity::ALL.iter().position(|s| *s == severity).expect("ALL holds every severity") as i64
}

pub(super) fn severity_of(rank: i64) -> Severity {
    usize::try_from(rank).ok().and_then(|i| Severity::ALL.get(i).copied()).unwrap_or(Severity::Critical)
}

/// JSON text of a value that always has one: maps with text keys, and no float that is not finite.
pub(super) fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("maps with text keys serialise")
}

pub(super) fn from_json<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T, StateError> {
    serde_json::from_str(text).map_err(|source| StateError::Damaged { what, source })
}

const FINDING_COLUMNS: &str = "finding_id, rule_id, key, window_start, window_end, observed, expected, p_value, severity, \
     summary, event_count, entities, evidence, drilldown_filter, withdrawn";

/// Findings of an alert by window_end, `limit` at most, newest kept; withdrawn ones too if asked for.
pub(super) fn findings_of_alert(
    connection: &Connection,
    alert_id: &str,
    withdrawn: bool,
    limit: usize,
) -> Result<Vec<StoredFinding>, StateError> {
    let sql = format!(
        "SELECT {FINDING_COLUMNS} FROM findings WHERE alert_id = ?1 AND withdrawn = ?2 ORDER BY window_end DESC LIMIT ?3"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![alert_id, withdrawn, i64::try_from(limit).unwrap_or(i64::MAX)])?;
    let mut findings = Vec::new();
    while let Some(row) = rows.next()? {
        findings.push(finding(row)?);
    }
    findings.reverse();
    Ok(findings)
}

fn finding(row: &Row<'_>) -> Result<StoredFinding, StateError> {
    let text = |i| row.get::<_, String>(i);
    let finding = Finding {
        finding_id: row.get(0)?,
        rule_id: row.get(1)?,
        key: from_json("key of a finding", &text(2)?)?,
        window_start: row.get(3)?,
        window_end: row.get(4)?,
        observed: row.get(5)?,
        expected: row.get(6)?,
        p_value: row.get(7)?,
        severity: severity_of(row.get(8)?),
        summary: row.get(9)?,
        event_count: row.get(10)?,
        entities: from_json("list of entities", &text(11)?)?,
        evidence: from_json("list of evidence", &text(12)?)?,
    };
    Ok(StoredFinding { finding, drilldown_filter: row.get(13)?, withdrawn: row.get(14)? })
}

/// Columns of an alert, in the order that [`alert`] reads; the table's name is `a`.
pub(super) const ALERT_COLUMNS: &str = "a.alert_id, a.body, a.state, a.withdrawn, a.suppressed_until, a.created_at, a.updated_at, a.severity, a.window_end, a.incident_id";

/// An alert as people see it at `now`.
pub(super) fn alert(row: &Row<'_>, now: Micros) -> Result<Alert, StateError> {
    let withdrawn: bool = row.get(3)?;
    let until: Option<Micros> = row.get(4)?;
    let body: Alert = from_json("alert", &row.get::<_, String>(1)?)?;
    Ok(Alert {
        alert_id: row.get(0)?,
        state: if withdrawn { AlertState::Withdrawn } else { state_of(&row.get::<_, String>(2)?) },
        incident_id: row.get(9)?,
        suppressed: until.is_some_and(|until| until > now),
        created_at: rfc3339(row.get(5)?),
        updated_at: rfc3339(row.get(6)?),
        ..body
    })
}

/// The table's CHECK admits only the known ones.
pub(super) fn state_of(text: &str) -> AlertState {
    text.parse().unwrap_or(AlertState::Open)
}

pub(super) fn alert_by_id(connection: &Connection, id: &str, now: Micros) -> Result<Option<Alert>, StateError> {
    let sql = format!("SELECT {ALERT_COLUMNS} FROM alerts a WHERE a.alert_id = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    statement.query_row([id], |row| Ok(alert(row, now))).optional()?.transpose()
}
