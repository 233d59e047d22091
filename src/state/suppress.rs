//! Suppressions: alerts that somebody expects. They are kept and counted, and flagged, so that lists can leave them out.

use rusqlite::{Connection, Row, TransactionBehavior, params};
use serde::Serialize;
use serde_json::json;

use super::people::{checked_author, checked_note};
use super::rows::ALERT_COLUMNS;
use super::{State, StateError, rows, trail};
use crate::alert::{Alert, Micros, Value};

/// Stands for "never expires" beside alerts.
const FOR_EVER: Micros = Micros::MAX;

/// The longest text that a condition may have.
const MAX_CONDITION: usize = 1024;

/// A suppression to make. Every condition that is given must hold; at least one must be given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewSuppression {
    /// A rule's id.
    pub rule_id: Option<String>,
    /// A caller's principal_id.
    pub principal_id: Option<String>,
    /// A vault's name.
    pub vault_name: Option<String>,
    /// An object's name.
    pub object_name: Option<String>,
    /// A caller's address, or a network such as `10.0.0.0/8`.
    pub address: Option<String>,
    /// Why; required.
    pub reason: String,
    /// Who; required.
    pub author: String,
    /// From when on it does not count any more; none: never.
    pub expires_at: Option<Micros>,
}

/// A suppression as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Suppression {
    /// Its number.
    pub id: i64,
    /// A rule's id.
    pub rule_id: Option<String>,
    /// A caller's principal_id.
    pub principal_id: Option<String>,
    /// A vault's name.
    pub vault_name: Option<String>,
    /// An object's name.
    pub object_name: Option<String>,
    /// An address or network.
    pub address: Option<String>,
    /// Why.
    pub reason: String,
    /// Who.
    pub author: String,
    /// When it was made, microseconds since the epoch.
    pub created_at: Micros,
    /// When it ends; none: never.
    pub expires_at: Option<Micros>,
}

impl Suppression {
    /// Whether the alert is covered. An entity that is a list is covered only if all of it is: to silence one vault
    /// must not hide an alert over forty.
    fn covers(&self, alert: &Alert) -> bool {
        let entity = |wanted: &Option<String>, name: &str, same: &dyn Fn(&str, &str) -> bool| {
            wanted.as_deref().is_none_or(|wanted| match alert.entities.get(name) {
                Some(Value::String(value)) => same(wanted, value),
                Some(Value::Array(values)) if !values.is_empty() => {
                    values.iter().all(|value| value.as_str().is_some_and(|value| same(wanted, value)))
                }
                _ => false,
            })
        };
        let equal = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
        self.rule_id.as_deref().is_none_or(|rule| rule == alert.rule_id)
            && entity(&self.principal_id, "principal_id", &equal)
            && entity(&self.vault_name, "vault_name", &equal)
            && entity(&self.object_name, "object_name", &equal)
            && entity(&self.address, "caller_ip", &within)
    }
}

/// Whether an address is the wanted one or in the wanted network.
fn within(wanted: &str, address: &str) -> bool {
    match (network(wanted), address.parse::<std::net::IpAddr>()) {
        (Some(network), Ok(address)) => network.contains(&address),
        _ => wanted.eq_ignore_ascii_case(address),
    }
}

fn network(text: &str) -> Option<ipnet::IpNet> {
    text.parse().ok().or_else(|| text.parse::<std::net::IpAddr>().ok().map(ipnet::IpNet::from))
}

/// Until when the alert is covered by one of them: the latest expiry of those that fit.
pub(super) fn covered_until(suppressions: &[Suppression], alert: &Alert) -> Option<Micros> {
    suppressions.iter().filter(|s| s.covers(alert)).map(|s| s.expires_at.unwrap_or(FOR_EVER)).max()
}

const COLUMNS: &str =
    "id, rule_id, principal_id, vault_name, object_name, address, reason, author, created_at, expires_at";

pub(super) fn load(connection: &Connection) -> Result<Vec<Suppression>, StateError> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM suppressions ORDER BY id"))?;
    let suppressions = statement.query_map([], suppression)?;
    Ok(suppressions.collect::<Result<_, _>>()?)
}

fn suppression(row: &Row<'_>) -> rusqlite::Result<Suppression> {
    Ok(Suppression {
        id: row.get(0)?,
        rule_id: row.get(1)?,
        principal_id: row.get(2)?,
        vault_name: row.get(3)?,
        object_name: row.get(4)?,
        address: row.get(5)?,
        reason: row.get(6)?,
        author: row.get(7)?,
        created_at: row.get(8)?,
        expires_at: row.get(9)?,
    })
}

impl State {
    /// Makes a suppression and flags the alerts that it covers, those to come included.
    ///
    /// # Errors
    /// If no condition, no reason or no author is given, an address is none, or the expiry has passed.
    pub fn suppress(&self, new: &NewSuppression, now: Micros) -> Result<Suppression, StateError> {
        check(new, now)?;
        let mut connection = self.lock();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let sql = format!(
            "INSERT INTO suppressions (rule_id, principal_id, vault_name, object_name, address, reason, author,
                created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) RETURNING {COLUMNS}"
        );
        let made = transaction.query_row(
            &sql,
            params![
                new.rule_id,
                new.principal_id,
                new.vault_name,
                new.object_name,
                new.address,
                new.reason.trim(),
                new.author.trim(),
                now,
                new.expires_at
            ],
            suppression,
        )?;
        let subject = format!("suppression:{}", made.id);
        trail::append(&transaction, now, &made.author, "suppress", &subject, &json!(made))?;
        reflag(&transaction)?;
        transaction.commit()?;
        Ok(made)
    }

    /// Ends a suppression: what it covered is shown again.
    ///
    /// # Errors
    /// If there is none of that number, or no author is given.
    pub fn unsuppress(&self, id: i64, author: &str, now: Micros) -> Result<(), StateError> {
        checked_author(author)?;
        let mut connection = self.lock();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if transaction.execute("DELETE FROM suppressions WHERE id = ?1", [id])? == 0 {
            return Err(StateError::NoSuppression { id });
        }
        trail::append(&transaction, now, author, "unsuppress", &format!("suppression:{id}"), &Value::Null)?;
        reflag(&transaction)?;
        transaction.commit()?;
        Ok(())
    }

    /// All suppressions, those that have expired included.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn suppressions(&self) -> Result<Vec<Suppression>, StateError> {
        load(&self.lock())
    }
}

fn check(new: &NewSuppression, now: Micros) -> Result<(), StateError> {
    let refuse = |message: &str| Err(StateError::Argument(message.to_owned()));
    checked_author(&new.author)?;
    checked_note(&new.reason)?;
    if new.reason.trim().is_empty() {
        return refuse("a suppression needs a reason: those who come later must know why it is there");
    }
    let conditions = [&new.rule_id, &new.principal_id, &new.vault_name, &new.object_name, &new.address];
    if conditions.iter().all(|c| c.is_none()) {
        return refuse(
            "a suppression needs a rule, caller, vault, object or address: without one it would hide everything",
        );
    }
    if conditions.into_iter().flatten().any(|c| c.trim().is_empty() || c.len() > MAX_CONDITION) {
        return refuse("a condition of a suppression is empty or longer than 1,024 bytes");
    }
    if let Some(address) = new.address.as_deref().filter(|a| network(a).is_none()) {
        return refuse(&format!("'{address}' is no address and no network such as 10.0.0.0/8"));
    }
    if new.expires_at.is_some_and(|end| end <= now) {
        return refuse("the suppression would have expired already: give a later end");
    }
    Ok(())
}

/// Works out anew which alerts are covered. Their updated_at stays: nothing about them changed.
fn reflag(connection: &Connection) -> Result<(), StateError> {
    let suppressions = load(connection)?;
    let mut statement = connection.prepare_cached(&format!("SELECT {ALERT_COLUMNS} FROM alerts a"))?;
    let mut rows = statement.query([])?;
    let mut flags: Vec<(String, Option<Micros>)> = Vec::new();
    while let Some(row) = rows.next()? {
        let alert = rows::alert(row, 0)?;
        let until = covered_until(&suppressions, &alert);
        if until != row.get(4)? {
            flags.push((alert.alert_id, until));
        }
    }
    let mut update = connection.prepare_cached("UPDATE alerts SET suppressed_until = ?2 WHERE alert_id = ?1")?;
    for (id, until) in flags {
        update.execute(params![id, until])?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::state::AlertFilter;
    use crate::state::testing::{HOUR, finding, record, rule, state};

    fn new() -> NewSuppression {
        NewSuppression { reason: "the scanner".into(), author: "ann".into(), ..NewSuppression::default() }
    }

    fn covered(new: &NewSuppression) -> bool {
        let (_dir, state) = state();
        let mut f = finding("A1b2", 1);
        f.entities.insert("vault_name".into(), json!(["kv-one", "kv-two"]));
        f.entities.insert("object_name".into(), json!("Db-Password"));
        f.entities.insert("caller_ip".into(), json!("10.1.2.3"));
        record(&state, &rule(HOUR), (0, 10), &[f]);
        state.suppress(new, 5).unwrap();
        let all = AlertFilter { include_suppressed: true, ..AlertFilter::default() };
        state.alerts(&all, crate::state::Order::NewestFirst, 10, None, 6).unwrap().alerts[0].suppressed
    }

    #[test]
    fn every_condition_must_hold_and_lists_must_hold_in_full() {
        let yes = |text: &str| Some(text.to_owned());
        for (suppression, expected) in [
            (NewSuppression { rule_id: yes("test_rule"), ..new() }, true),
            (NewSuppression { rule_id: yes("other"), ..new() }, false),
            (NewSuppression { principal_id: yes("a1B2"), ..new() }, true),
            (NewSuppression { principal_id: yes("a1b2"), rule_id: yes("other"), ..new() }, false),
            (NewSuppression { principal_id: yes("a1b2"), rule_id: yes("test_rule"), ..new() }, true),
            (NewSuppression { vault_name: yes("kv-one"), ..new() }, false),
            (NewSuppression { object_name: yes("db-password"), ..new() }, true),
            (NewSuppression { address: yes("10.1.2.3"), ..new() }, true),
            (NewSuppression { address: yes("10.0.0.0/8"), ..new() }, true),
            (NewSuppression { address: yes("10.2.0.0/16"), ..new() }, false),
            (NewSuppression { address: yes("::/0"), ..new() }, false),
        ] {
            assert_eq!(covered(&suppression), expected, "{suppression:?}");
        }
    }

    #[test]
    fn it_covers_what_comes_later_until_it_expires_or_ends() {
        let (_dir, state) = state();
        let made = state
            .suppress(&NewSuppression { rule_id: Some("test_rule".into()), expires_at: Some(100), ..new() }, 5)
            .unwrap();
        record(&state, &rule(HOUR), (0, 10), &[finding("a", 1)]);
        let shown = |now| {
            let filter = AlertFilter::default();
            (
                state.alerts(&filter, crate::state::Order::NewestFirst, 10, None, now).unwrap().alerts.len(),
                state.counts(&filter, now).unwrap().suppressed,
            )
        };
        assert_eq!(shown(99), (0, 1));
        assert_eq!(shown(100), (1, 0));
        state.unsuppress(made.id, "ann", 50).unwrap();
        assert_eq!(shown(51), (1, 0));
        let trail = state.trail(Some(&format!("suppression:{}", made.id)), 9).unwrap();
        assert_eq!(trail.iter().map(|t| t.action.as_str()).collect::<Vec<_>>(), ["unsuppress", "suppress"]);
        assert!(matches!(state.unsuppress(made.id, "ann", 52), Err(StateError::NoSuppression { .. })));
    }

    #[test]
    fn what_would_hide_too_much_or_says_too_little_is_refused() {
        let (_dir, state) = state();
        let yes = |text: &str| Some(text.to_owned());
        for (refused, word) in [
            (new(), "everything"),
            (NewSuppression { rule_id: yes("r"), reason: " ".into(), ..new() }, "reason"),
            (NewSuppression { rule_id: yes("r"), author: String::new(), ..new() }, "author"),
            (NewSuppression { rule_id: yes(" "), ..new() }, "empty"),
            (NewSuppression { address: yes("ten"), ..new() }, "'ten'"),
            (NewSuppression { rule_id: yes("r"), expires_at: Some(5), ..new() }, "expired"),
        ] {
            let message = state.suppress(&refused, 5).unwrap_err().to_string();
            assert!(message.contains(word), "{message}");
        }
    }
}
