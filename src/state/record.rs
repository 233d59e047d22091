//! Recording what a rule found in a period, and bringing its alerts up to date, in one transaction.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use serde_json::json;

use super::chain::{self, Known, Link, Segment};
use super::rows::{self, StoredFinding, json, severity_rank, state_of};
use super::suppress::{self, Suppression};
use super::{State, StateError, compose, correlate, trail};
use crate::alert::{Alert, Finding, Micros, Severity, alert_id, finding_id};

/// The evidence column with which a rule narrows its drilldown: SQL text of the rule's file, not shown. One that begins with
/// `OR ` shows records beside those of the key.
const DRILLDOWN_FILTER: &str = "drilldown_filter";

/// What alerts take from their rule's header.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleInfo {
    /// The rule's id: its file's name.
    pub rule_id: String,
    /// Its title, which alerts carry.
    pub title: String,
    /// ATT&CK techniques, which alerts carry.
    pub techniques: Vec<String>,
    /// Findings no further apart than this form one alert, in microseconds.
    pub quiet_for_micros: i64,
    /// The header's severity. Findings carry their own, so alerts do not read it.
    pub severity: Severity,
}

/// What recording changed. All ids are of alerts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Alerts that are new.
    pub opened: Vec<String>,
    /// Alerts whose content changed, or that hold again.
    pub updated: Vec<String>,
    /// Alerts none of whose findings holds any more.
    pub withdrawn: Vec<String>,
    /// Alerts that became part of another: (the id given up, the one that carries on).
    pub merged: Vec<(String, String)>,
    /// Every alert with a finding in the period, changed or not.
    pub in_period: Vec<String>,
}

impl Changes {
    /// Whether the state is as it was before.
    pub fn is_empty(&self) -> bool {
        self.opened.is_empty() && self.updated.is_empty() && self.withdrawn.is_empty() && self.merged.is_empty()
    }
}

impl State {
    /// Replaces the findings of a rule with `period.0` < window_end ≤ `period.1` by `findings` and works out its alerts
    /// anew. Recording the same again changes nothing, and parts of a period in any order give what the whole gives.
    /// Of several findings of one key and window_end the strongest counts. A number that is not finite is stored as
    /// the nearest that is (NaN as 0, a p-value that is none as absent), because JSON has no other.
    ///
    /// # Errors
    /// If a finding is of another rule or outside the period; what SQLite says. Nothing is changed then.
    pub fn record(
        &self,
        rule: &RuleInfo,
        period: (Micros, Micros),
        findings: &[Finding],
        now: Micros,
    ) -> Result<Changes, StateError> {
        let incoming = checked(rule, period, findings)?;
        let mut connection = self.lock();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let keys = replace_findings(&transaction, rule, period, &incoming)?;
        let suppressions = suppress::load(&transaction)?;
        let mut recording =
            Recording { transaction: &transaction, rule, period, suppressions, now, changes: Changes::default() };
        for key in keys {
            recording.rechain(&key)?;
        }
        let changes = recording.changes;
        transaction.commit()?;
        Ok(changes)
    }
}

/// The findings by key (JSON text) and window_end.
type Incoming = BTreeMap<(String, Micros), StoredFinding>;

fn checked(rule: &RuleInfo, period: (Micros, Micros), findings: &[Finding]) -> Result<Incoming, StateError> {
    let refuse = |problem| StateError::Finding { rule_id: rule.rule_id.clone(), problem };
    let mut incoming = Incoming::new();
    for finding in findings {
        if finding.rule_id != rule.rule_id {
            return Err(refuse(format!("a finding of rule {} was handed in with it", finding.rule_id)));
        }
        if !(period.0 < finding.window_end && finding.window_end <= period.1) {
            let (from, to) = (crate::alert::rfc3339(period.0), crate::alert::rfc3339(period.1));
            let end = crate::alert::rfc3339(finding.window_end);
            return Err(refuse(format!("a finding's window_end {end} is not in its period, after {from} up to {to}")));
        }
        let stored = cleaned(finding);
        let place = (json(&finding.key), finding.window_end);
        match incoming.get(&place) {
            Some(held) if compose::stronger(&held.finding, &stored.finding).is_le() => {}
            _ => {
                incoming.insert(place, stored);
            }
        }
    }
    Ok(incoming)
}

/// The finding as it is stored: finite numbers, its id from its parts, the rule's filter apart from the evidence.
fn cleaned(finding: &Finding) -> StoredFinding {
    let finite = |n: f64| if n.is_nan() { 0.0 } else { n.clamp(f64::MIN, f64::MAX) };
    let mut finding = finding.clone();
    finding.finding_id = finding_id(&finding.rule_id, &finding.key, finding.window_end);
    finding.observed = finite(finding.observed);
    finding.expected = finite(finding.expected);
    finding.p_value = finding.p_value.filter(|p| !p.is_nan()).map(|p| p.clamp(0.0, 1.0));
    let filter = finding.evidence.remove(DRILLDOWN_FILTER);
    let drilldown_filter = filter.as_ref().and_then(|f| f.as_str()).filter(|f| !f.trim().is_empty()).map(str::to_owned);
    StoredFinding { finding, drilldown_filter, withdrawn: false }
}

/// Stores the period's findings, marks those that are gone, and returns the keys that have any in the period.
fn replace_findings(
    transaction: &Transaction<'_>,
    rule: &RuleInfo,
    period: (Micros, Micros),
    incoming: &Incoming,
) -> Result<BTreeSet<String>, StateError> {
    let mut keys: BTreeSet<String> = incoming.keys().map(|(key, _)| key.clone()).collect();
    let sql = "SELECT key, window_end, finding_id FROM findings
               WHERE rule_id = ?1 AND window_end > ?2 AND window_end <= ?3";
    let mut statement = transaction.prepare_cached(sql)?;
    let mut rows = statement.query(params![rule.rule_id, period.0, period.1])?;
    let mut withdraw = transaction.prepare_cached("UPDATE findings SET withdrawn = 1 WHERE finding_id = ?1")?;
    let mut gone: Vec<String> = Vec::new();
    while let Some(row) = rows.next()? {
        let place = (row.get(0)?, row.get(1)?);
        if !incoming.contains_key(&place) {
            gone.push(row.get(2)?);
        }
        keys.insert(place.0);
    }
    for finding_id in gone {
        withdraw.execute([finding_id])?;
    }
    for ((key, _), stored) in incoming {
        upsert(transaction, key, stored)?;
    }
    Ok(keys)
}

fn upsert(transaction: &Transaction<'_>, key: &str, stored: &StoredFinding) -> Result<(), StateError> {
    let sql = "INSERT INTO findings (finding_id, rule_id, key, window_start, window_end, observed, expected, p_value,
                   severity, summary, event_count, entities, evidence, drilldown_filter)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
               ON CONFLICT (finding_id) DO UPDATE SET window_start = excluded.window_start,
                   observed = excluded.observed, expected = excluded.expected, p_value = excluded.p_value,
                   severity = excluded.severity, summary = excluded.summary, event_count = excluded.event_count,
                   entities = excluded.entities, evidence = excluded.evidence,
                   drilldown_filter = excluded.drilldown_filter, withdrawn = 0";
    let f = &stored.finding;
    transaction.prepare_cached(sql)?.execute(params![
        f.finding_id,
        f.rule_id,
        key,
        f.window_start,
        f.window_end,
        f.observed,
        f.expected,
        f.p_value,
        severity_rank(f.severity),
        f.summary,
        f.event_count,
        json(&f.entities),
        json(&f.evidence),
        stored.drilldown_filter,
    ])?;
    Ok(())
}

/// One call of [`State::record`] under way.
struct Recording<'a> {
    transaction: &'a Connection,
    rule: &'a RuleInfo,
    period: (Micros, Micros),
    suppressions: Vec<Suppression>,
    now: Micros,
    changes: Changes,
}

impl Recording<'_> {
    /// Brings the alerts of one key up to date with its stored findings.
    fn rechain(&mut self, key: &str) -> Result<(), StateError> {
        let pairs: Vec<(String, String)> =
            serde_json::from_str(key).map_err(|source| StateError::Damaged { what: "key of a finding", source })?;
        let links = self.links(key)?;
        let plan = chain::plan(&links, &self.known(key)?, self.rule.quiet_for_micros);
        let settled: Vec<Settled<'_>> =
            plan.segments.iter().map(|segment| self.settled(key, &pairs, segment, &links)).collect();
        // First every finding goes to its alert, then alerts are written: each reads its findings from the table.
        let mut touched = BTreeSet::new();
        for alert in &settled {
            for merged in &alert.segment.merged {
                self.merge(merged, &alert.id, alert.segment)?;
                touched.insert(alert.id.clone());
            }
            self.link(alert, &links, &mut touched)?;
        }
        for alert in &settled {
            if alert.in_period || touched.contains(&alert.id) || self.lost_one(&alert.id)? {
                self.write(alert)?;
            }
            self.add_alias(alert)?;
            if alert.in_period {
                self.changes.in_period.push(alert.id.clone());
            }
        }
        plan.emptied.iter().try_for_each(|id| self.withdraw(id))
    }

    fn settled<'p>(
        &self,
        key: &'p str,
        pairs: &[(String, String)],
        segment: &'p Segment,
        links: &[Link],
    ) -> Settled<'p> {
        let ends = segment.members.iter().map(|&i| links[i].end);
        let in_period = ends.clone().any(|end| self.period.0 < end && end <= self.period.1);
        let first_end = ends.min().expect("a segment has members");
        let canonical = alert_id(&self.rule.rule_id, pairs, first_end);
        let id = segment.survivor.clone().unwrap_or_else(|| canonical.clone());
        Settled { key, id, canonical, first_end, in_period, segment }
    }

    fn links(&self, key: &str) -> Result<Vec<Link>, StateError> {
        let sql = "SELECT finding_id, window_start, window_end, withdrawn, alert_id FROM findings
                   WHERE rule_id = ?1 AND key = ?2 ORDER BY window_end";
        let mut statement = self.transaction.prepare_cached(sql)?;
        let links = statement.query_map([self.rule.rule_id.as_str(), key], |row| {
            Ok(Link {
                finding_id: row.get(0)?,
                start: row.get(1)?,
                end: row.get(2)?,
                live: !row.get::<_, bool>(3)?,
                alert_id: row.get(4)?,
            })
        })?;
        Ok(links.collect::<Result<_, _>>()?)
    }

    fn known(&self, key: &str) -> Result<Vec<Known>, StateError> {
        let sql = "SELECT alert_id, seq, origin_end, state, closed_through FROM alerts
                   WHERE rule_id = ?1 AND key = ?2 ORDER BY seq";
        let mut statement = self.transaction.prepare_cached(sql)?;
        let known = statement.query_map([self.rule.rule_id.as_str(), key], |row| {
            Ok(Known {
                alert_id: row.get(0)?,
                seq: row.get(1)?,
                origin_end: row.get(2)?,
                state: state_of(&row.get::<_, String>(3)?),
                closed_through: row.get(4)?,
            })
        })?;
        Ok(known.collect::<Result<_, _>>()?)
    }

    /// `gone` becomes part of `into`: its id keeps resolving, its withdrawn findings move along.
    fn merge(&mut self, gone: &str, into: &str, segment: &Segment) -> Result<(), StateError> {
        let run = |sql: &str| self.transaction.prepare_cached(sql)?.execute([gone, into]);
        run("UPDATE findings SET alert_id = ?2 WHERE alert_id = ?1")?;
        run("UPDATE aliases SET alert_id = ?2 WHERE alert_id = ?1")?;
        run("INSERT OR REPLACE INTO aliases (alias, alert_id) VALUES (?1, ?2)")?;
        correlate::alert_merged(self.transaction, gone, into)?;
        self.transaction.prepare_cached("DELETE FROM alerts WHERE alert_id = ?1")?.execute([gone])?;
        let detail = json!({ "into": into, "state": segment.standing.state.as_str() });
        trail::append(self.transaction, self.now, trail::ENGINE, "merge", gone, &detail)?;
        self.changes.merged.push((gone.to_owned(), into.to_owned()));
        Ok(())
    }

    /// Links an alert's findings to it, and adds to `touched` every alert that gains or loses one.
    fn link(&self, alert: &Settled<'_>, links: &[Link], touched: &mut BTreeSet<String>) -> Result<(), StateError> {
        let mut statement =
            self.transaction.prepare_cached("UPDATE findings SET alert_id = ?2 WHERE finding_id = ?1")?;
        let strangers =
            alert.segment.members.iter().map(|&i| &links[i]).filter(|l| l.alert_id.as_ref() != Some(&alert.id));
        for link in strangers {
            statement.execute([&link.finding_id, &alert.id])?;
            touched.insert(alert.id.clone());
            touched.extend(link.alert_id.clone());
        }
        Ok(())
    }

    /// The id that the alert would have had, had its findings come in the order of time, resolves to it too.
    fn add_alias(&self, alert: &Settled<'_>) -> Result<(), StateError> {
        if alert.canonical != alert.id {
            let sql = "INSERT OR REPLACE INTO aliases (alias, alert_id) VALUES (?1, ?2)";
            self.transaction.prepare_cached(sql)?.execute([&alert.canonical, &alert.id])?;
        }
        Ok(())
    }

    /// Whether a finding of the alert inside the period does not hold (any more).
    fn lost_one(&self, id: &str) -> Result<bool, StateError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM findings WHERE alert_id = ?1 AND withdrawn = 1
                   AND window_end > ?2 AND window_end <= ?3)";
        let mut statement = self.transaction.prepare_cached(sql)?;
        Ok(statement.query_row(params![id, self.period.0, self.period.1], |row| row.get(0))?)
    }

    fn write(&mut self, alert: &Settled<'_>) -> Result<(), StateError> {
        let findings = rows::findings_of_alert(self.transaction, &alert.id, false, usize::MAX)?;
        let body = compose::compose(self.rule, &findings);
        let row = AlertRow {
            alert,
            start: findings.iter().map(|f| f.finding.window_start).min().unwrap_or(alert.first_end),
            end: findings.iter().map(|f| f.finding.window_end).max().unwrap_or(alert.first_end),
            until: suppress::covered_until(&self.suppressions, &body),
            text: json(&body),
            body,
        };
        if alert.segment.survivor.is_none() {
            self.insert(&row)?;
            self.changes.opened.push(alert.id.clone());
        } else if self.update(&row)? {
            self.changes.updated.push(alert.id.clone());
        }
        Ok(())
    }

    /// Makes an alert whose id is its own first finding's; until now that may have been another's alias.
    fn insert(&self, row: &AlertRow<'_>) -> Result<(), StateError> {
        let alert = row.alert;
        self.transaction.prepare_cached("DELETE FROM aliases WHERE alias = ?1")?.execute([&alert.id])?;
        let sql =
            "INSERT INTO alerts (alert_id, rule_id, key, origin_end, state, closed_through, severity, window_start,
                       window_end, entities, body, suppressed_until, created_at, updated_at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?13)";
        self.transaction.prepare_cached(sql)?.execute(params![
            alert.id,
            self.rule.rule_id,
            alert.key,
            alert.first_end,
            alert.segment.standing.state.as_str(),
            row.alert.segment.standing.closed_through,
            severity_rank(row.body.severity),
            row.start,
            row.end,
            json(&row.body.entities),
            row.text,
            row.until,
            self.now,
        ])?;
        Ok(())
    }

    /// Writes the alert's content where it differs; true if it did.
    fn update(&self, row: &AlertRow<'_>) -> Result<bool, StateError> {
        let sql = "UPDATE alerts SET state = ?2, closed_through = ?3, withdrawn = 0, severity = ?4, window_start = ?5,
                       window_end = ?6, entities = ?7, body = ?8, suppressed_until = ?9, updated_at = ?10
                   WHERE alert_id = ?1 AND (withdrawn = 1 OR body <> ?8 OR state <> ?2
                       OR closed_through IS NOT ?3 OR suppressed_until IS NOT ?9)";
        let changed = self.transaction.prepare_cached(sql)?.execute(params![
            row.alert.id,
            row.alert.segment.standing.state.as_str(),
            row.alert.segment.standing.closed_through,
            severity_rank(row.body.severity),
            row.start,
            row.end,
            json(&row.body.entities),
            row.text,
            row.until,
            self.now,
        ])?;
        Ok(changed > 0)
    }

    /// Marks an alert that has no finding left; its last content is kept.
    fn withdraw(&mut self, id: &str) -> Result<(), StateError> {
        let sql = "UPDATE alerts SET withdrawn = 1, updated_at = ?2 WHERE alert_id = ?1 AND withdrawn = 0
                   RETURNING alert_id";
        let mut statement = self.transaction.prepare_cached(sql)?;
        let withdrawn: Option<String> = statement.query_row(params![id, self.now], |row| row.get(0)).optional()?;
        self.changes.withdrawn.extend(withdrawn);
        Ok(())
    }
}

/// A segment that has its alert.
struct Settled<'a> {
    /// The key's JSON text.
    key: &'a str,
    id: String,
    /// The id that its first finding would give.
    canonical: String,
    first_end: Micros,
    /// It has a finding in the period.
    in_period: bool,
    segment: &'a Segment,
}

/// An alert about to be written.
struct AlertRow<'a> {
    alert: &'a Settled<'a>,
    start: Micros,
    end: Micros,
    until: Option<Micros>,
    text: String,
    body: Alert,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "record_tests.rs"]
mod tests;
