//! The trail: who did what to which alert or suppression, and when. The database itself refuses to change it.

use rusqlite::{Connection, params};
use serde::Serialize;

use super::{State, StateError};
use crate::alert::{Micros, Value, rfc3339};

/// The actor of what the program does by itself.
pub(super) const ENGINE: &str = "kvaudit";

/// One line of the trail.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrailEntry {
    /// When, RFC 3339.
    pub at: String,
    /// Who; `kvaudit` for the program itself.
    pub actor: String,
    /// What: acknowledge, close, reopen, merge, suppress, unsuppress.
    pub action: String,
    /// An alert's id, or `suppression:N`.
    pub subject: String,
    /// Particulars: a note, the state before, the alert merged into.
    pub detail: Value,
}

pub(super) fn append(
    connection: &Connection,
    now: Micros,
    actor: &str,
    action: &str,
    subject: &str,
    detail: &Value,
) -> Result<(), StateError> {
    let sql = "INSERT INTO trail (at, actor, action, subject, detail) VALUES (?1, ?2, ?3, ?4, ?5)";
    connection.prepare_cached(sql)?.execute(params![now, actor, action, subject, detail.to_string()])?;
    Ok(())
}

impl State {
    /// The trail, newest first, `limit` lines at most: of one alert (those merged into it among them) or
    /// suppression, or of everything.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn trail(&self, subject: Option<&str>, limit: usize) -> Result<Vec<TrailEntry>, StateError> {
        let connection = self.lock();
        let sql = "SELECT at, actor, action, subject, detail FROM trail
                   WHERE ?1 IS NULL OR subject = ?1 OR subject IN (SELECT alias FROM aliases WHERE alert_id = ?1)
                   ORDER BY seq DESC LIMIT ?2";
        let mut statement = connection.prepare_cached(sql)?;
        let entries = statement.query_map(params![subject, i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
            Ok(TrailEntry {
                at: rfc3339(row.get(0)?),
                actor: row.get(1)?,
                action: row.get(2)?,
                subject: row.get(3)?,
                detail: serde_json::from_str(&row.get::<_, String>(4)?).unwrap_or_default(),
            })
        })?;
        Ok(entries.collect::<Result<_, _>>()?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::state::testing::state;

    #[test]
    fn nobody_can_change_or_shorten_it() {
        let (_dir, state) = state();
        append(&state.lock(), 1, "me", "close", "x", &Value::Null).unwrap();
        for sql in ["UPDATE trail SET actor = 'nobody'", "DELETE FROM trail"] {
            let refused = state.lock().execute(sql, []).unwrap_err().to_string();
            assert!(refused.contains("append-only"), "{refused}");
        }
        assert_eq!(state.trail(None, 10).unwrap().len(), 1);
    }
}
