//! Reading alerts: filters, pages, one alert with its findings, counts.

use std::collections::BTreeMap;

use rusqlite::types::Value as Sql;
use rusqlite::{Connection, params_from_iter};
use serde::Serialize;

use super::cursor::{self, Position};
use super::rows::{self, ALERT_COLUMNS, json, severity_of, severity_rank};
use super::{State, StateError, people};
use crate::alert::{Alert, AlertState, Finding, Micros, Severity};

/// The most alerts on one page.
pub const MAX_PAGE: usize = 10_000;

/// Which alerts. Empty lists and `None` let everything through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlertFilter {
    /// Of these severities.
    pub severities: Vec<Severity>,
    /// Of this severity or a higher one.
    pub min_severity: Option<Severity>,
    /// Of this rule.
    pub rule: Option<String>,
    /// Of this caller: principal_id, app_id or principal_name, whatever the case. Part of a name is not enough,
    /// because `app-1` is not `app-10`.
    pub caller: Option<String>,
    /// On this vault, whatever the case.
    pub vault: Option<String>,
    /// With a finding whose window_end is after this.
    pub from: Option<Micros>,
    /// With a finding whose window_end is at this or before.
    pub to: Option<Micros>,
    /// In these states; none: in any.
    pub states: Vec<AlertState>,
    /// Suppressed ones too.
    pub include_suppressed: bool,
}

/// In which order a list runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// By the last window's end, latest first.
    NewestFirst,
    /// By severity, then by the last window's end.
    SeverestFirst,
}

/// A page of alerts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Page {
    /// The alerts, in the order asked for.
    pub alerts: Vec<Alert>,
    /// Hand it in for the next page; none on the last.
    pub next_cursor: Option<String>,
    /// How many alerts the filter lets through on all pages.
    pub total: u64,
}

/// How many alerts a filter lets through.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All of them; suppressed ones only if the filter includes them.
    pub total: u64,
    /// How many of those that fit are suppressed, counted whether the filter includes them or not.
    pub suppressed: u64,
    /// By severity; a severity without an alert is absent.
    pub by_severity: BTreeMap<Severity, u64>,
    /// By rule.
    pub by_rule: BTreeMap<String, u64>,
}

/// A WHERE clause with its values, over a table that is called `a`.
pub(super) struct Clause {
    pub(super) sql: String,
    pub(super) values: Vec<Sql>,
}

impl Clause {
    /// Everything but suppression, which depends on the time of asking.
    fn of(filter: &AlertFilter) -> Self {
        let mut clause = Self::common(filter);
        if let Some(rule) = &filter.rule {
            clause.and("a.rule_id = ?", [rule.clone().into()]);
        }
        if filter.from.is_some() || filter.to.is_some() {
            let (from, to) = (filter.from.unwrap_or(Micros::MIN), filter.to.unwrap_or(Micros::MAX));
            clause.and(
                "EXISTS (SELECT 1 FROM findings f WHERE f.alert_id = a.alert_id AND f.withdrawn = a.withdrawn
                         AND f.window_end > ? AND f.window_end <= ?)",
                [from.into(), to.into()],
            );
        }
        if !filter.states.is_empty() {
            let states: Vec<&str> = filter.states.iter().map(|s| s.as_str()).collect();
            let state = "CASE WHEN a.withdrawn THEN 'withdrawn' ELSE a.state END";
            clause.and(&format!("{state} IN (SELECT value FROM json_each(?))"), [json(&states).into()]);
        }
        clause
    }

    /// What a filter asks of incidents.
    pub(super) fn of_incidents(filter: &AlertFilter) -> Self {
        let mut clause = Self::common(filter);
        if let Some(rule) = &filter.rule {
            clause.and("? IN (SELECT value FROM json_each(a.rule_ids))", [rule.clone().into()]);
        }
        if let Some(from) = filter.from {
            clause.and("a.last_seen > ?", [from.into()]);
        }
        if let Some(to) = filter.to {
            clause.and("a.first_seen <= ?", [to.into()]);
        }
        if !filter.states.is_empty() {
            let states: Vec<&str> = filter.states.iter().map(|s| s.as_str()).collect();
            clause.and("a.state IN (SELECT value FROM json_each(?))", [json(&states).into()]);
        }
        clause
    }

    /// What alerts and incidents have in common: severity, caller, vault.
    fn common(filter: &AlertFilter) -> Self {
        let mut clause = Self { sql: "1".to_owned(), values: Vec::new() };
        if !filter.severities.is_empty() {
            let ranks: Vec<i64> = filter.severities.iter().map(|s| severity_rank(*s)).collect();
            clause.and("a.severity IN (SELECT value FROM json_each(?))", [json(&ranks).into()]);
        }
        if let Some(least) = filter.min_severity {
            clause.and("a.severity >= ?", [severity_rank(least).into()]);
        }
        if let Some(caller) = &filter.caller {
            let names = ["principal_id", "app_id", "principal_name"].map(|name| format!("({})", entity(name)));
            clause.and(&format!("({})", names.join(" OR ")), std::iter::repeat_n(caller.clone().into(), 3));
        }
        if let Some(vault) = &filter.vault {
            clause.and(&entity("vault_name"), [vault.clone().into()]);
        }
        clause
    }

    pub(super) fn and(&mut self, sql: &str, values: impl IntoIterator<Item = Sql>) {
        self.sql.push_str(" AND ");
        self.sql.push_str(sql);
        self.values.extend(values);
    }

    fn without_suppressed(mut self, filter: &AlertFilter, now: Micros) -> Self {
        if !filter.include_suppressed {
            self.and("(a.suppressed_until IS NULL OR a.suppressed_until <= ?)", [now.into()]);
        }
        self
    }
}

/// True where the entity is the value or a list with it. The name is a literal of this file.
fn entity(name: &str) -> String {
    format!(
        "EXISTS (SELECT 1 FROM json_each(a.entities, '$.{name}') e WHERE e.type = 'text' AND e.value = ? COLLATE NOCASE)"
    )
}

impl State {
    /// A page of the alerts that fit, `limit` (at most [`MAX_PAGE`]) of them, after `cursor` of the page before.
    /// `now` decides which suppressions count. Alerts that come in between pages do not disturb the rest.
    ///
    /// # Errors
    /// If the cursor is not one that this order gave out; what SQLite says.
    pub fn alerts(
        &self,
        filter: &AlertFilter,
        order: Order,
        limit: usize,
        cursor: Option<&str>,
        now: Micros,
    ) -> Result<Page, StateError> {
        let after = cursor.map(|text| cursor::decode(order, text)).transpose()?;
        let limit = limit.clamp(1, MAX_PAGE);
        let mut connection = self.lock();
        // One transaction, so that page and total are of one moment.
        let transaction = connection.transaction()?;
        let clause = Clause::of(filter).without_suppressed(filter, now);
        let total = count_of(&transaction, "alerts", &clause)?;
        let (mut alerts, mut positions) = select(&transaction, clause, order, limit + 1, after, now)?;
        let more = alerts.len() > limit;
        alerts.truncate(limit);
        positions.truncate(limit);
        let next_cursor = positions.last().filter(|_| more).map(|last| cursor::encode(order, last));
        Ok(Page { alerts, next_cursor, total })
    }

    /// One alert by its id, one merged into it, or the first digits (6 or more) of either.
    ///
    /// # Errors
    /// If the id fits none or several; what SQLite says.
    pub fn alert(&self, id: &str, now: Micros) -> Result<Alert, StateError> {
        let connection = self.lock();
        let id = people::resolve(&connection, id)?;
        rows::alert_by_id(&connection, &id, now)?.ok_or(StateError::NoAlert { id })
    }

    /// The findings that form an alert, by window_end; of more than `limit` the latest. Of a withdrawn alert those
    /// that it was made of.
    ///
    /// # Errors
    /// As [`State::alert`].
    pub fn findings_of(&self, id: &str, limit: usize) -> Result<Vec<Finding>, StateError> {
        let connection = self.lock();
        let id = people::resolve(&connection, id)?;
        let mut findings = rows::findings_of_alert(&connection, &id, false, limit)?;
        if findings.is_empty() {
            findings = rows::findings_of_alert(&connection, &id, true, limit)?;
        }
        Ok(findings.into_iter().map(|stored| stored.finding).collect())
    }

    /// How many alerts fit, by severity and by rule.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn counts(&self, filter: &AlertFilter, now: Micros) -> Result<Counts, StateError> {
        let connection = self.lock();
        let clause = Clause::of(filter);
        let sql = format!(
            "SELECT a.severity, a.rule_id, a.suppressed_until IS NOT NULL AND a.suppressed_until > ?, count(*)
             FROM alerts a WHERE {} GROUP BY 1, 2, 3",
            clause.sql
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let values = std::iter::once(Sql::from(now)).chain(clause.values);
        let mut rows = statement.query(params_from_iter(values))?;
        let mut counts = Counts::default();
        while let Some(row) = rows.next()? {
            let (suppressed, n) = (row.get::<_, bool>(2)?, row.get::<_, i64>(3)?.unsigned_abs());
            counts.suppressed += if suppressed { n } else { 0 };
            if !suppressed || filter.include_suppressed {
                counts.total += n;
                *counts.by_severity.entry(severity_of(row.get(0)?)).or_default() += n;
                *counts.by_rule.entry(row.get(1)?).or_default() += n;
            }
        }
        Ok(counts)
    }
}

/// How many rows of a table the clause lets through. The table's name is a literal of this room.
pub(super) fn count_of(connection: &Connection, table: &str, clause: &Clause) -> Result<u64, StateError> {
    let sql = format!("SELECT count(*) FROM {table} a WHERE {}", clause.sql);
    let mut statement = connection.prepare_cached(&sql)?;
    Ok(statement.query_row(params_from_iter(&clause.values), |row| row.get::<_, i64>(0))?.unsigned_abs())
}

fn select(
    connection: &Connection,
    mut clause: Clause,
    order: Order,
    limit: usize,
    after: Option<Position>,
    now: Micros,
) -> Result<(Vec<Alert>, Vec<Position>), StateError> {
    let keys = match order {
        Order::NewestFirst => "a.window_end DESC, a.alert_id DESC",
        Order::SeverestFirst => "a.severity DESC, a.window_end DESC, a.alert_id DESC",
    };
    if let Some(at) = after {
        let (end, id) = (Sql::from(at.window_end), Sql::from(at.alert_id));
        match order {
            Order::NewestFirst => clause.and("(a.window_end, a.alert_id) < (?, ?)", [end, id]),
            Order::SeverestFirst => {
                clause.and("(a.severity, a.window_end, a.alert_id) < (?, ?, ?)", [at.severity.into(), end, id]);
            }
        }
    }
    let sql = format!("SELECT {ALERT_COLUMNS} FROM alerts a WHERE {} ORDER BY {keys} LIMIT {limit}", clause.sql);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(&clause.values))?;
    let (mut alerts, mut positions) = (Vec::new(), Vec::new());
    while let Some(row) = rows.next()? {
        alerts.push(rows::alert(row, now)?);
        positions.push(Position { alert_id: row.get(0)?, severity: row.get(7)?, window_end: row.get(8)? });
    }
    Ok((alerts, positions))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "query_tests.rs"]
mod tests;
