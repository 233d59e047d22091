//! What people do to alerts: acknowledge, close, reopen. Each leaves a line in the trail.

use rusqlite::{Connection, TransactionBehavior, params};
use serde_json::json;

use super::{State, StateError, rows, trail};
use crate::alert::{Alert, AlertState, Micros};

/// The longest note and author, in bytes.
const MAX_NOTE: usize = 4096;
const MAX_AUTHOR: usize = 256;

pub(super) fn checked_author(author: &str) -> Result<(), StateError> {
    match author.trim().len() {
        0 => Err(StateError::Argument("an author is missing: say who does this".to_owned())),
        1..=MAX_AUTHOR => Ok(()),
        _ => Err(StateError::Argument(format!("the author's name is longer than {MAX_AUTHOR} bytes"))),
    }
}

pub(super) fn checked_note(note: &str) -> Result<(), StateError> {
    match note.len() {
        0..=MAX_NOTE => Ok(()),
        _ => Err(StateError::Argument(format!("the note is longer than {MAX_NOTE} bytes"))),
    }
}

/// The alert that an id means: its own, one merged into it, or the beginning of one, at least 6 digits.
///
/// # Errors
/// If the text is no id, fits none, or fits several.
pub(super) fn resolve(connection: &Connection, id: &str) -> Result<String, StateError> {
    // 'g' comes after every hex digit.
    let sql = "SELECT alert_id FROM alerts WHERE alert_id >= ?1 AND alert_id < ?1 || 'g'
               UNION SELECT alert_id FROM aliases WHERE alias >= ?1 AND alias < ?1 || 'g' LIMIT 4";
    meant(connection, sql, id)?.map_err(|id| StateError::NoAlert { id })
}

/// The incident that an id means, by the same rules.
pub(super) fn resolve_incident(connection: &Connection, id: &str) -> Result<String, StateError> {
    let sql = "SELECT incident_id FROM incidents WHERE incident_id >= ?1 AND incident_id < ?1 || 'g'
               UNION SELECT incident_id FROM incident_aliases WHERE alias >= ?1 AND alias < ?1 || 'g' LIMIT 4";
    meant(connection, sql, id)?.map_err(|id| StateError::NoIncident { id })
}

/// The one id that the query finds for the beginning of one; inside, the text that fits none.
fn meant(connection: &Connection, sql: &str, id: &str) -> Result<Result<String, String>, StateError> {
    let wanted = id.trim().to_ascii_lowercase();
    if !(6..=32).contains(&wanted.len()) || !wanted.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(StateError::BadId { id: id.chars().take(64).collect() });
    }
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_map([&wanted], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
    match found.as_slice() {
        [one] => Ok(Ok(one.clone())),
        [] => Ok(Err(wanted)),
        _ => Err(StateError::Ambiguous { id: wanted, candidates: found.join(", ") }),
    }
}

impl State {
    /// Somebody is on it. Later findings of the same chain still join it.
    ///
    /// # Errors
    /// If the id fits no alert or several, or the alert is closed.
    pub fn acknowledge(&self, id: &str, author: &str, note: &str, now: Micros) -> Result<Alert, StateError> {
        self.change(id, AlertState::Acknowledged, "acknowledge", (author, note), now)
    }

    /// It is dealt with. Findings after its last window open a new alert.
    ///
    /// # Errors
    /// If the id fits no alert or several.
    pub fn close(&self, id: &str, author: &str, note: &str, now: Micros) -> Result<Alert, StateError> {
        self.change(id, AlertState::Closed, "close", (author, note), now)
    }

    /// It is not dealt with after all.
    ///
    /// # Errors
    /// If the id fits no alert or several.
    pub fn reopen(&self, id: &str, author: &str, note: &str, now: Micros) -> Result<Alert, StateError> {
        self.change(id, AlertState::Open, "reopen", (author, note), now)
    }

    /// Sets the state and writes the trail. Doing the same again changes nothing but the trail, which keeps the note.
    fn change(
        &self,
        id: &str,
        to: AlertState,
        action: &str,
        (author, note): (&str, &str),
        now: Micros,
    ) -> Result<Alert, StateError> {
        checked_author(author)?;
        checked_note(note)?;
        let mut connection = self.lock();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let id = resolve(&transaction, id)?;
        let from: String =
            transaction.query_row("SELECT state FROM alerts WHERE alert_id = ?1", [&id], |row| row.get(0))?;
        if to == AlertState::Acknowledged && from == AlertState::Closed.as_str() {
            return Err(StateError::IsClosed { id });
        }
        let sql = "UPDATE alerts SET state = ?2, updated_at = ?3,
                       closed_through = CASE WHEN ?2 = 'closed' THEN window_end END
                   WHERE alert_id = ?1 AND state <> ?2";
        transaction.execute(sql, params![id, to.as_str(), now])?;
        let detail = json!({ "note": note, "from": from });
        trail::append(&transaction, now, author.trim(), action, &id, &detail)?;
        let alert = rows::alert_by_id(&transaction, &id, now)?.ok_or(StateError::NoAlert { id })?;
        transaction.commit()?;
        Ok(alert)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::state::testing::{HOUR, finding, record, rule, state};

    #[test]
    fn states_change_as_people_say_and_the_trail_tells_who() {
        let (_dir, state) = state();
        let id = record(&state, &rule(HOUR), (0, 10), &[finding("a", 1)]).opened.remove(0);
        assert_eq!(state.acknowledge(&id[..6], "ann", "mine", 10).unwrap().state, AlertState::Acknowledged);
        assert_eq!(state.close(&id.to_uppercase(), "bob", "scanner", 20).unwrap().state, AlertState::Closed);
        let refused = state.acknowledge(&id, "ann", "", 30).unwrap_err().to_string();
        assert!(refused.contains("reopen"), "{refused}");
        let reopened = state.reopen(&id, "ann", "no scanner", 40).unwrap();
        assert_eq!((reopened.state, reopened.updated_at.as_str()), (AlertState::Open, "1970-01-01T00:00:00.000040Z"));
        let trail = state.trail(Some(&id), 10).unwrap();
        let told: Vec<_> = trail.iter().map(|t| (t.actor.as_str(), t.action.as_str())).collect();
        assert_eq!(told, [("ann", "reopen"), ("bob", "close"), ("ann", "acknowledge")]);
        assert_eq!(trail[1].detail, json!({ "note": "scanner", "from": "acknowledged" }));
    }

    #[test]
    fn doing_it_twice_changes_the_trail_only() {
        let (_dir, state) = state();
        let id = record(&state, &rule(HOUR), (0, 10), &[finding("a", 1)]).opened.remove(0);
        let once = state.close(&id, "ann", "", 10).unwrap();
        assert_eq!(state.close(&id, "ann", "again", 20).unwrap(), once);
        assert_eq!(state.trail(Some(&id), 10).unwrap().len(), 2);
    }

    #[test]
    fn ids_that_fit_none_or_several_are_refused_with_the_way_out() {
        let (_dir, state) = state();
        let findings: Vec<_> = (0..3).map(|i| finding(&i.to_string(), 1)).collect();
        record(&state, &rule(HOUR), (0, 10), &findings);
        // Ids are hashes: two that share six digits are made by hand.
        for (i, id) in ["abcdef00", "abcdef11"].iter().enumerate() {
            let sql = "UPDATE alerts SET alert_id = ?1 WHERE seq = ?2";
            state.lock().execute_batch("PRAGMA foreign_keys = off").unwrap();
            state.lock().execute(sql, params![format!("{id}{}", "0".repeat(24)), i as i64 + 1]).unwrap();
        }
        assert!(matches!(state.close("abcdef", "ann", "", 1), Err(StateError::Ambiguous { .. })));
        assert!(state.close("abcdef0", "ann", "", 1).is_ok());
        assert!(matches!(state.close("abcde", "ann", "", 1), Err(StateError::BadId { .. })));
        assert!(matches!(state.close("abcdef%", "ann", "", 1), Err(StateError::BadId { .. })));
        assert!(matches!(state.close("1234567890", "ann", "", 1), Err(StateError::NoAlert { .. })));
        assert!(matches!(state.close("abcdef0", " ", "", 1), Err(StateError::Argument(_))));
    }
}
