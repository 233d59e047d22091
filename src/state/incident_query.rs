//! Reading incidents: pages, and one with its alerts.

use rusqlite::{Connection, params_from_iter};
use serde::Serialize;

use super::correlate::{self, INCIDENT_COLUMNS};
use super::cursor::{self, Position};
use super::query::{Clause, count_of};
use super::rows::{self, ALERT_COLUMNS};
use super::{AlertFilter, MAX_PAGE, Order, State, StateError, people};
use crate::alert::{Alert, Incident, Micros};

/// A page of incidents.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IncidentPage {
    /// The incidents, in the order asked for.
    pub incidents: Vec<Incident>,
    /// Hand it in for the next page; none on the last.
    pub next_cursor: Option<String>,
    /// How many incidents the filter lets through on all pages.
    pub total: u64,
}

/// An incident with its alerts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IncidentDetail {
    /// The incident.
    #[serde(flatten)]
    pub incident: Incident,
    /// Its alerts, oldest first; those among them that were closed, suppressed or withdrawn since.
    pub alerts: Vec<Alert>,
}

impl State {
    /// A page of the incidents that fit, `limit` (at most [`MAX_PAGE`]) of them, after `cursor` of the page before.
    /// Severity, state, caller, vault and rule are the incident's; `from` and `to` bound its records. Incidents hold no
    /// suppressed alerts, so that part of the filter says nothing here.
    ///
    /// # Errors
    /// If the cursor is not one that this order gave out; what SQLite says.
    pub fn incidents(
        &self,
        filter: &AlertFilter,
        order: Order,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<IncidentPage, StateError> {
        let after = cursor.map(|text| cursor::decode(order, text)).transpose()?;
        let limit = limit.clamp(1, MAX_PAGE);
        let mut connection = self.lock();
        // One transaction, so that page and total are of one moment.
        let transaction = connection.transaction()?;
        let clause = Clause::of_incidents(filter);
        let total = count_of(&transaction, "incidents", &clause)?;
        let (mut incidents, mut positions) = select(&transaction, clause, order, limit + 1, after)?;
        let more = incidents.len() > limit;
        incidents.truncate(limit);
        positions.truncate(limit);
        let next_cursor = positions.last().filter(|_| more).map(|last| cursor::encode(order, last));
        Ok(IncidentPage { incidents, next_cursor, total })
    }

    /// One incident with its alerts, by its id, one merged into it, or the first digits (6 or more) of either.
    ///
    /// # Errors
    /// If the id fits none or several; what SQLite says.
    pub fn incident(&self, id: &str, now: Micros) -> Result<IncidentDetail, StateError> {
        let connection = self.lock();
        let id = people::resolve_incident(&connection, id)?;
        let incident = correlate::incident_by_id(&connection, &id)?.ok_or(StateError::NoIncident { id })?;
        let sql = format!("SELECT {ALERT_COLUMNS} FROM alerts a WHERE a.incident_id = ?1");
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query([&incident.incident_id])?;
        let mut alerts = Vec::new();
        while let Some(row) = rows.next()? {
            alerts.push(rows::alert(row, now)?);
        }
        alerts.sort_by_key(|alert| (crate::alert::micros(&alert.first_seen), alert.alert_id.clone()));
        Ok(IncidentDetail { incident, alerts })
    }
}

fn select(
    connection: &Connection,
    mut clause: Clause,
    order: Order,
    limit: usize,
    after: Option<Position>,
) -> Result<(Vec<Incident>, Vec<Position>), StateError> {
    let keys = match order {
        Order::NewestFirst => "a.last_seen DESC, a.incident_id DESC",
        Order::SeverestFirst => "a.severity DESC, a.last_seen DESC, a.incident_id DESC",
    };
    if let Some(at) = after {
        match order {
            Order::NewestFirst => {
                clause.and("(a.last_seen, a.incident_id) < (?, ?)", [at.window_end.into(), at.alert_id.into()]);
            }
            Order::SeverestFirst => clause.and(
                "(a.severity, a.last_seen, a.incident_id) < (?, ?, ?)",
                [at.severity.into(), at.window_end.into(), at.alert_id.into()],
            ),
        }
    }
    let sql = format!("SELECT {INCIDENT_COLUMNS} FROM incidents a WHERE {} ORDER BY {keys} LIMIT {limit}", clause.sql);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(&clause.values))?;
    let (mut incidents, mut positions) = (Vec::new(), Vec::new());
    while let Some(row) = rows.next()? {
        incidents.push(correlate::incident(row)?);
        positions.push(Position { alert_id: row.get(0)?, severity: row.get(5)?, window_end: row.get(6)? });
    }
    Ok((incidents, positions))
}
