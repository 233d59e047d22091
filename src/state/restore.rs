//! A state made anew out of the exported alerts, after `state.db` was lost. Alerts come back with their ids and with what
//! people did about them; suppressions, notes and the trail were nowhere else and are lost.

use rusqlite::{Connection, TransactionBehavior, params};
use serde_json::json;

use super::rows::{json as text_of, severity_rank};
use super::{State, StateError, trail};
use crate::alert::{Alert, AlertState, Micros, Value, finding_id, micros};

impl State {
    /// Whether nothing has ever been recorded in it.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn is_blank(&self) -> Result<bool, StateError> {
        let sql = "SELECT NOT EXISTS (SELECT 1 FROM alerts) AND NOT EXISTS (SELECT 1 FROM findings)
                   AND NOT EXISTS (SELECT 1 FROM suppressions) AND NOT EXISTS (SELECT 1 FROM trail)";
        Ok(self.lock().query_row(sql, [], |row| row.get(0))?)
    }

    /// Whether it holds an alert.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn has_alerts(&self) -> Result<bool, StateError> {
        Ok(self.lock().query_row("SELECT EXISTS (SELECT 1 FROM alerts)", [], |row| row.get(0))?)
    }

    /// Stores alerts as they were exported, in a blank state; otherwise does nothing. `key_of` names the key columns of a
    /// rule, none for a rule that is gone. Each alert gets one finding over its whole window: evaluating its period again
    /// puts the real ones in its place, under the same alert. True if it was done.
    ///
    /// # Errors
    /// What SQLite says. Nothing is changed then.
    pub fn restore(
        &self,
        alerts: &[Alert],
        key_of: impl Fn(&str) -> Option<Vec<String>>,
        now: Micros,
    ) -> Result<bool, StateError> {
        if !self.is_blank()? {
            return Ok(false);
        }
        // The older first, as they were stored.
        let mut alerts: Vec<&Alert> = alerts.iter().collect();
        alerts.sort_by_key(|alert| (micros(&alert.created_at), &alert.alert_id));
        let mut connection = self.lock();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for alert in &alerts {
            insert(&transaction, alert, &key(alert, key_of(&alert.rule_id)), now)?;
        }
        let detail = json!({ "alerts": alerts.len(), "from": "the table alerts" });
        trail::append(&transaction, now, trail::ENGINE, "restore", "state", &detail)?;
        transaction.commit()?;
        Ok(true)
    }
}

/// The key that the alert's findings have: the rule's columns, else all entities that are one text.
fn key(alert: &Alert, columns: Option<Vec<String>>) -> Vec<(String, String)> {
    let columns = columns.unwrap_or_else(|| {
        let single = alert.entities.iter().filter(|(_, value)| value.is_string());
        single.map(|(name, _)| name.clone()).collect()
    });
    let value = |name: &str| match alert.entities.get(name).or_else(|| alert.evidence.get(name)) {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => String::new(),
        Some(other) => other.to_string(),
    };
    columns.into_iter().map(|name| (name.clone(), value(&name))).collect()
}

fn insert(connection: &Connection, alert: &Alert, key: &[(String, String)], now: Micros) -> Result<(), StateError> {
    let (start, end) = (micros(&alert.window_start).unwrap_or(now), micros(&alert.window_end).unwrap_or(now));
    let withdrawn = alert.state == AlertState::Withdrawn;
    // What people had done about a withdrawn one is not exported.
    let state = if withdrawn { AlertState::Open } else { alert.state };
    let body = Alert { incident_id: None, suppressed: false, ..alert.clone() };
    let sql =
        "INSERT OR IGNORE INTO alerts (alert_id, rule_id, key, origin_end, state, closed_through, withdrawn, severity,
                   window_start, window_end, entities, body, created_at, updated_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
    connection.prepare_cached(sql)?.execute(params![
        alert.alert_id,
        alert.rule_id,
        text_of(&key),
        end,
        state.as_str(),
        (state == AlertState::Closed).then_some(end),
        withdrawn,
        severity_rank(alert.severity),
        start,
        end,
        text_of(&alert.entities),
        text_of(&body),
        micros(&alert.created_at).unwrap_or(now),
        micros(&alert.updated_at).unwrap_or(now),
    ])?;
    let sql = "INSERT OR IGNORE INTO findings (finding_id, rule_id, key, window_start, window_end, observed, expected,
                   p_value, severity, summary, event_count, entities, evidence, withdrawn, alert_id)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";
    connection.prepare_cached(sql)?.execute(params![
        finding_id(&alert.rule_id, key, end),
        alert.rule_id,
        text_of(&key),
        start,
        end,
        alert.observed,
        alert.expected,
        alert.p_value,
        severity_rank(alert.severity),
        alert.summary,
        i64::try_from(alert.event_count).ok(),
        text_of(&alert.entities),
        text_of(&alert.evidence),
        withdrawn,
        alert.alert_id,
    ])?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::state::testing::{HOUR, finding, record, rule, state};
    use crate::state::{AlertFilter, Order};

    fn all(state: &State) -> Vec<Alert> {
        let filter = AlertFilter { include_suppressed: true, ..AlertFilter::default() };
        state.alerts(&filter, Order::NewestFirst, 100, None, 50).unwrap().alerts
    }

    /// The key columns of the findings of tests.
    fn columns(state: &State) -> Vec<String> {
        let key: String = state.lock().query_row("SELECT key FROM findings LIMIT 1", [], |row| row.get(0)).unwrap();
        let key: Vec<(String, String)> = serde_json::from_str(&key).unwrap();
        key.into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn alerts_come_back_as_they_were_and_live_on() {
        let (_dir, state) = state();
        let findings: Vec<_> = ["ann", "bob", "eve", "joe"].iter().map(|who| finding(who, 1)).collect();
        let ids = record(&state, &rule(HOUR), (0, 10), &findings).opened;
        state.acknowledge(&ids[0], "me", "", 20).unwrap();
        state.close(&ids[1], "me", "", 21).unwrap();
        // The last one's finding does not hold any more.
        record(&state, &rule(HOUR), (0, 10), &findings[..3]);
        let before = all(&state);

        let anew = State::in_memory().unwrap();
        assert!(anew.is_blank().unwrap());
        let columns = columns(&state);
        assert!(anew.restore(&before, |_| Some(columns.clone()), 99).unwrap());
        assert_eq!(all(&anew), before);
        assert!(!anew.restore(&before, |_| None, 99).unwrap(), "what is there is left alone");
        anew.correlate(99).unwrap();

        // The same findings again are the same alerts, and what people did stands.
        let changes = record(&anew, &rule(HOUR), (0, 10), &findings[..3]);
        assert_eq!((changes.opened, changes.merged), (vec![], vec![]));
        let states = |state: &State| {
            let mut states: Vec<_> = all(state).into_iter().map(|a| (a.alert_id, a.state)).collect();
            states.sort_by(|a, b| a.0.cmp(&b.0));
            states
        };
        assert_eq!(states(&anew), states(&state));
    }
}
