//! Which windows reflect the records that the store holds, and which do not: late records. It compares the records of each
//! hour with what was seen last, and keeps for every rule the stretches of window ends that are still to be evaluated.

use std::collections::HashMap;

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::stretch::{self, Stretch};
use super::{State, StateError};
use crate::alert::Micros;

/// Microseconds of an hour.
const HOUR: Micros = 3_600_000_000;

/// A moment in the order of changes to the store: an evaluation reflects what was noted up to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Noted(i64);

/// A rule and how long after a record its windows still read it, in microseconds: the longer of window and look-back, and a
/// step.
#[derive(Debug, Clone, Copy)]
pub struct Reach<'a> {
    /// The rule.
    pub rule_id: &'a str,
    /// Microseconds.
    pub micros: Micros,
}

impl State {
    /// Takes note of the records by hour (hour in microseconds since the epoch, records) that the store holds now. Windows
    /// that read an hour with more records than were seen before, in themselves or in their look-back, become stale; for
    /// a rule that is new all windows are.
    ///
    /// # Errors
    /// What SQLite says. Nothing is changed then.
    pub fn note_hours(&self, hours: &[(Micros, i64)], rules: &[Reach<'_>]) -> Result<Noted, StateError> {
        let mut connection = self.lock();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let changes = compare(&transaction, hours)?;
        let newest = changes.iter().map(|(_, change)| *change).max().unwrap_or(0);
        for rule in rules {
            note_rule(&transaction, rule, &changes, newest)?;
        }
        transaction.commit()?;
        Ok(Noted(newest))
    }

    /// Rules' windows with `from` < window_end ≤ `to` were evaluated over what was noted: (rule, from, to).
    ///
    /// # Errors
    /// What SQLite says. Nothing is changed then.
    pub fn mark_evaluated(&self, periods: &[(&str, Micros, Micros)], noted: Noted) -> Result<(), StateError> {
        let mut connection = self.lock();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for (rule_id, from, to) in periods {
            let done = Stretch { from: *from, to: *to, change: noted.0 };
            let left = stretch::without(load(&transaction, rule_id)?, done);
            store(&transaction, rule_id, &left)?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// The stretches of window ends that some of the rules have still to evaluate, up to `end`, by time (from, to: the windows
    /// with from < window_end ≤ to are meant), and these rules.
    ///
    /// # Errors
    /// What SQLite says.
    #[allow(clippy::type_complexity, reason = "two lists")]
    pub fn stale(&self, rules: &[&str], end: Micros) -> Result<(Vec<(Micros, Micros)>, Vec<String>), StateError> {
        let connection = self.lock();
        let (mut all, mut behind) = (Vec::new(), Vec::new());
        for rule_id in rules {
            let mut own = load(&connection, rule_id)?;
            own.retain(|stretch| stretch.from < end);
            if !own.is_empty() {
                behind.push((*rule_id).to_owned());
            }
            all.extend(own);
        }
        let stretches = stretch::bounded(all);
        Ok((stretches.into_iter().map(|s| (s.from, s.to.min(end))).collect(), behind))
    }
}

/// Brings `hours` up to date and returns every hour with the change that last brought it records.
fn compare(transaction: &Transaction<'_>, hours: &[(Micros, i64)]) -> Result<Vec<(Micros, i64)>, StateError> {
    let mut seen: HashMap<Micros, (i64, i64)> = HashMap::new();
    let mut statement = transaction.prepare_cached("SELECT hour, records, change FROM hours")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        seen.insert(row.get(0)?, (row.get(1)?, row.get(2)?));
    }
    let next = seen.values().map(|(_, change)| *change).max().unwrap_or(0) + 1;
    let mut upsert = transaction.prepare_cached(
        "INSERT INTO hours (hour, records, change) VALUES (?1, ?2, ?3)
         ON CONFLICT (hour) DO UPDATE SET records = excluded.records, change = excluded.change",
    )?;
    let mut changes = Vec::with_capacity(hours.len());
    for (hour, records) in hours {
        let change = match seen.get(hour) {
            Some((before, change)) if records <= before => *change,
            _ => next,
        };
        // Fewer than before: rows were taken away, or another process has seen a newer store. What comes then is new.
        if seen.get(hour).is_none_or(|(before, _)| before != records) {
            upsert.execute([*hour, *records, change])?;
        }
        changes.push((*hour, change));
    }
    Ok(changes)
}

/// Makes the windows of a rule stale that read hours which changed since the rule was last noted.
fn note_rule(
    transaction: &Transaction<'_>,
    rule: &Reach<'_>,
    changes: &[(Micros, i64)],
    newest: i64,
) -> Result<(), StateError> {
    let mut since =
        transaction.prepare_cached("SELECT coalesce(max(change), 0) FROM rules_noted WHERE rule_id = ?1")?;
    let since: i64 = since.query_row([rule.rule_id], |row| row.get(0))?;
    if since >= newest {
        return Ok(());
    }
    let touched = |(hour, change): &(Micros, i64)| {
        let to = hour.saturating_add(HOUR).saturating_add(rule.micros);
        Stretch { from: *hour, to, change: *change }
    };
    let mut all = load(transaction, rule.rule_id)?;
    all.extend(changes.iter().filter(|(_, change)| *change > since).map(touched));
    store(transaction, rule.rule_id, &stretch::bounded(all))?;
    let sql = "INSERT OR REPLACE INTO rules_noted (rule_id, change) VALUES (?1, ?2)";
    transaction.prepare_cached(sql)?.execute(params![rule.rule_id, newest])?;
    Ok(())
}

fn load(connection: &Connection, rule_id: &str) -> Result<Vec<Stretch>, StateError> {
    let sql = "SELECT from_time, to_time, change FROM stale WHERE rule_id = ?1 ORDER BY from_time";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement
        .query_map([rule_id], |row| Ok(Stretch { from: row.get(0)?, to: row.get(1)?, change: row.get(2)? }))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn store(transaction: &Transaction<'_>, rule_id: &str, stretches: &[Stretch]) -> Result<(), StateError> {
    transaction.prepare_cached("DELETE FROM stale WHERE rule_id = ?1")?.execute([rule_id])?;
    let sql = "INSERT INTO stale (rule_id, from_time, to_time, change) VALUES (?1, ?2, ?3, ?4)";
    let mut insert = transaction.prepare_cached(sql)?;
    for one in stretches {
        insert.execute(params![rule_id, one.from, one.to, one.change])?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "evaluated_tests.rs"]
mod tests;
