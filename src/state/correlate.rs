//! Bringing the stored incidents up to date with the stored alerts, in one transaction.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::rows::{self, ALERT_COLUMNS, json, severity_rank};
use super::{State, StateError};
use crate::alert::{
    Alert, INCIDENT_GAP, Incident, KnownIncident, Micros, Settled, compose_incident, correlate, micros, settle,
};

impl State {
    /// Groups the alerts that stand into incidents and stores them. Doing it again changes nothing; an id that was given
    /// out lives on while one of its alerts stands, and of two incidents that become one the older. An incident whose
    /// alerts are all closed, suppressed or withdrawn keeps its last content. `now` decides which suppressions count.
    ///
    /// # Errors
    /// What SQLite says; if a stored alert does not read back. Nothing is changed then.
    pub fn correlate(&self, now: Micros) -> Result<(), StateError> {
        let mut connection = self.lock();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let alerts = standing_alerts(&transaction, now)?;
        let settled = settle(correlate(&alerts, INCIDENT_GAP), &alerts, &known(&transaction)?);
        let work = Correlation { connection: &transaction, alerts: &alerts, now };
        // All ids first: an incident that gives its place away may be the one that another alert is linked to.
        settled.iter().try_for_each(|incident| work.write(incident))?;
        settled.iter().try_for_each(|incident| work.merge(incident))?;
        work.link(&settled)?;
        work.end_others(&settled)?;
        transaction.commit()?;
        Ok(())
    }
}

/// Alerts that an incident can be made of.
fn standing_alerts(connection: &Connection, now: Micros) -> Result<Vec<Alert>, StateError> {
    let sql = format!(
        "SELECT {ALERT_COLUMNS} FROM alerts a WHERE a.withdrawn = 0 AND a.state <> 'closed'
         AND (a.suppressed_until IS NULL OR a.suppressed_until <= ?1) ORDER BY a.seq"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([now])?;
    let mut alerts = Vec::new();
    while let Some(row) = rows.next()? {
        alerts.push(rows::alert(row, now)?);
    }
    Ok(alerts)
}

fn known(connection: &Connection) -> Result<Vec<KnownIncident>, StateError> {
    let mut statement =
        connection.prepare_cached("SELECT incident_id, subject, origin_alert FROM incidents ORDER BY seq")?;
    let known = statement.query_map([], |row| {
        Ok(KnownIncident { incident_id: row.get(0)?, subject: row.get(1)?, origin_alert: row.get(2)? })
    })?;
    Ok(known.collect::<Result<_, _>>()?)
}

/// One call of [`State::correlate`] under way.
struct Correlation<'a> {
    connection: &'a Connection,
    alerts: &'a [Alert],
    now: Micros,
}

impl Correlation<'_> {
    /// Stores an incident, where it is new or differs from what is stored.
    fn write(&self, settled: &Settled) -> Result<(), StateError> {
        let body = compose_incident(&settled.group, self.alerts);
        let seen = |text: &str| micros(text).unwrap_or_default();
        let origin = &self.alerts[settled.group.own[0]].alert_id;
        self.connection
            .prepare_cached("DELETE FROM incident_aliases WHERE alias = ?1")?
            .execute([&settled.incident_id])?;
        let sql = "INSERT INTO incidents (incident_id, subject, origin_alert, state, severity, first_seen, last_seen,
                       entities, rule_ids, body, created_at, updated_at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?11)
                   ON CONFLICT (incident_id) DO UPDATE SET subject = excluded.subject, state = excluded.state,
                       severity = excluded.severity, first_seen = excluded.first_seen, last_seen = excluded.last_seen,
                       entities = excluded.entities, rule_ids = excluded.rule_ids, body = excluded.body,
                       updated_at = excluded.updated_at
                   WHERE body <> excluded.body OR state <> excluded.state OR subject <> excluded.subject";
        self.connection.prepare_cached(sql)?.execute(params![
            settled.incident_id,
            settled.group.subject.to_string(),
            origin,
            body.state.as_str(),
            severity_rank(body.severity),
            seen(&body.first_seen),
            seen(&body.last_seen),
            json(&body.entities),
            json(&body.rule_ids),
            json(&body),
            self.now,
        ])?;
        Ok(())
    }

    /// What became part of the incident keeps resolving to it, with the alerts that it held.
    fn merge(&self, settled: &Settled) -> Result<(), StateError> {
        for gone in &settled.merged {
            let run = |sql: &str| self.connection.prepare_cached(sql)?.execute([gone, &settled.incident_id]);
            run("UPDATE alerts SET incident_id = ?2 WHERE incident_id = ?1")?;
            run("UPDATE incident_aliases SET incident_id = ?2 WHERE incident_id = ?1")?;
            run("INSERT OR REPLACE INTO incident_aliases (alias, incident_id) VALUES (?1, ?2)")?;
            self.connection.prepare_cached("DELETE FROM incidents WHERE incident_id = ?1")?.execute([gone])?;
        }
        let taken = "SELECT EXISTS (SELECT 1 FROM incidents WHERE incident_id = ?1)";
        let taken: bool = self.connection.prepare_cached(taken)?.query_row([&settled.canonical], |row| row.get(0))?;
        if !taken {
            let sql = "INSERT OR REPLACE INTO incident_aliases (alias, incident_id) VALUES (?1, ?2)";
            self.connection.prepare_cached(sql)?.execute([&settled.canonical, &settled.incident_id])?;
        }
        Ok(())
    }

    /// Every standing alert points to its incident, or to none.
    fn link(&self, settled: &[Settled]) -> Result<(), StateError> {
        let mut incident_of: Vec<Option<&str>> = vec![None; self.alerts.len()];
        for incident in settled {
            for &i in incident.group.own.iter().chain(&incident.group.joined) {
                incident_of[i] = Some(&incident.incident_id);
            }
        }
        let sql = "UPDATE alerts SET incident_id = ?2 WHERE alert_id = ?1 AND incident_id IS NOT ?2";
        let mut update = self.connection.prepare_cached(sql)?;
        for (alert, incident) in self.alerts.iter().zip(incident_of) {
            update.execute(params![alert.alert_id, incident])?;
        }
        Ok(())
    }

    /// Incidents that no alert stands for any more: closed if people closed one of their alerts, else withdrawn.
    fn end_others(&self, settled: &[Settled]) -> Result<(), StateError> {
        let standing: BTreeSet<&str> = settled.iter().map(|s| s.incident_id.as_str()).collect();
        let ended = known(self.connection)?.into_iter().filter(|i| !standing.contains(i.incident_id.as_str()));
        let closed = "SELECT EXISTS (SELECT 1 FROM alerts WHERE incident_id = ?1 AND state = 'closed')";
        let mut closed = self.connection.prepare_cached(closed)?;
        let sql = "UPDATE incidents SET state = ?2, updated_at = ?3 WHERE incident_id = ?1 AND state <> ?2";
        let mut update = self.connection.prepare_cached(sql)?;
        for incident in ended {
            let closed: bool = closed.query_row([&incident.incident_id], |row| row.get(0))?;
            let state = if closed { "closed" } else { "withdrawn" };
            update.execute(params![incident.incident_id, state, self.now])?;
        }
        Ok(())
    }
}

/// When an alert becomes part of another, so does what incidents know of it.
pub(super) fn alert_merged(connection: &Connection, gone: &str, into: &str) -> Result<(), StateError> {
    let run = |sql: &str| connection.prepare_cached(sql)?.execute([gone, into]);
    run("UPDATE incidents SET origin_alert = ?2 WHERE origin_alert = ?1")?;
    run("UPDATE alerts SET incident_id = (SELECT g.incident_id FROM alerts g WHERE g.alert_id = ?1)
         WHERE alert_id = ?2 AND incident_id IS NULL")?;
    Ok(())
}

/// Columns of an incident, in the order that [`incident`] reads; the table's name is `a`, as for alerts.
pub(super) const INCIDENT_COLUMNS: &str =
    "a.incident_id, a.body, a.state, a.created_at, a.updated_at, a.severity, a.last_seen";

pub(super) fn incident(row: &rusqlite::Row<'_>) -> Result<Incident, StateError> {
    let body: Incident = rows::from_json("incident", &row.get::<_, String>(1)?)?;
    Ok(Incident {
        incident_id: row.get(0)?,
        state: rows::state_of(&row.get::<_, String>(2)?),
        created_at: crate::alert::rfc3339(row.get(3)?),
        updated_at: crate::alert::rfc3339(row.get(4)?),
        ..body
    })
}

pub(super) fn incident_by_id(connection: &Connection, id: &str) -> Result<Option<Incident>, StateError> {
    let sql = format!("SELECT {INCIDENT_COLUMNS} FROM incidents a WHERE a.incident_id = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    statement.query_row([id], |row| Ok(incident(row))).optional()?.transpose()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "correlate_tests.rs"]
mod tests;
