//! An incident out of its alerts: how bad, how sure, who and what. Pure: the same alerts give the same incident.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Alert, AlertState, ENTITY_COLUMNS, Group, Severity, Subject, Value, micros, rfc3339, story};

/// Different rules, of low severity and above, that must agree for a step up.
const AGREEING: usize = 3;
/// The most points above a severity's floor that the strongest alert gives, each further kind of evidence, and all.
const STRONGEST: u8 = 15;
const FURTHER: u8 = 3;
const TOGETHER: u8 = 19;

/// Alerts of one caller (else one address, else one vault) that are close in time: what a person is shown first.
/// Its JSON is a contract (docs/contracts.md).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// [`incident_id`] of its subject and its oldest alert.
    pub incident_id: String,
    /// A few words: which kinds of evidence, about whom.
    pub title: String,
    /// What happened, in order.
    pub story: String,
    /// The highest of its alerts, one step up where three different rules agree.
    pub severity: Severity,
    /// 0 to 100; docs/contracts.md says how it is made.
    pub risk_score: u8,
    /// The first record of its alerts, RFC 3339; informational ones aside.
    pub first_seen: String,
    /// The last record of its alerts, RFC 3339; informational ones aside.
    pub last_seen: String,
    /// Who and what its alerts name, informational ones aside: each a string or a list of strings, absent where unknown.
    pub entities: BTreeMap<String, Value>,
    /// Its alerts, oldest first.
    pub alert_ids: Vec<String>,
    /// Their rules, in the order of their first alerts.
    pub rule_ids: Vec<String>,
    /// Their ATT&CK techniques, in the same order.
    pub techniques: Vec<String>,
    /// Open while one of its alerts is, acknowledged while one is; closed or withdrawn once none of them stands.
    pub state: AlertState,
    /// When it was first stored, RFC 3339.
    pub created_at: String,
    /// When it last changed, RFC 3339.
    pub updated_at: String,
}

/// Identity of an incident: 32 hex digits over whom it is about and the id of its oldest alert.
pub fn incident_id(subject: &Subject, oldest_alert: &str) -> String {
    let (kind, value) = subject.parts();
    let mut hasher = blake3::Hasher::new_derive_key("kvaudit incident v1");
    for part in [kind, value, oldest_alert] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().to_hex()[..32].to_owned()
}

/// An incident's content. Its id and times of storing are the caller's to fill in.
pub fn compose_incident(group: &Group, alerts: &[Alert]) -> Incident {
    let mut members: Vec<&Alert> = group.own.iter().chain(&group.joined).map(|&i| &alerts[i]).collect();
    members.sort_by_key(|a| (micros(&a.first_seen), &a.alert_id));
    let loud: Vec<&Alert> = members.iter().copied().filter(|a| a.severity > Severity::Informational).collect();
    let own: Vec<&Alert> = group.own.iter().map(|&i| &alerts[i]).collect();
    let worst = loud.iter().map(|a| a.severity).max().unwrap_or(Severity::Informational);
    let rules: BTreeSet<&str> = loud.iter().map(|a| a.rule_id.as_str()).collect();
    let severity = if rules.len() >= AGREEING { worst.one_up() } else { worst };
    let parts =
        story::Parts { subject: &group.subject, own: &own, members: &members, severity, worst, agreeing: rules.len() };
    Incident {
        incident_id: String::new(),
        title: story::title(&parts),
        story: story::tell(&parts),
        severity,
        risk_score: risk_score(severity, &loud),
        first_seen: loud.iter().filter_map(|a| micros(&a.first_seen)).min().map(rfc3339).unwrap_or_default(),
        last_seen: loud.iter().filter_map(|a| micros(&a.last_seen)).max().map(rfc3339).unwrap_or_default(),
        entities: entities(&loud),
        alert_ids: members.iter().map(|a| a.alert_id.clone()).collect(),
        rule_ids: in_order(members.iter().map(|a| &a.rule_id)),
        techniques: in_order(members.iter().flat_map(|a| &a.techniques)),
        state: state(&loud),
        created_at: String::new(),
        updated_at: String::new(),
    }
}

/// The floor of the severity, the points of the leading alert above its own floor (15 at most), and of every further
/// kind of evidence the strongest alert once (1 to 3 points); 19 in all at most, so that no incident outranks one of a
/// higher severity. Alerts of one kind are seldom independent, so their improbabilities are never added.
fn risk_score(severity: Severity, loud: &[&Alert]) -> u8 {
    let points = |alert: &Alert| alert.risk_score.saturating_sub(alert.severity.risk_floor()).min(STRONGEST);
    let Some(leading) = loud.iter().max_by_key(|a| (a.severity, points(a))) else { return severity.risk_floor() };
    let mut kinds: BTreeMap<&str, u8> = BTreeMap::new();
    for alert in loud {
        let most = kinds.entry(story::evidence(alert)).or_default();
        *most = (*most).max(points(alert));
    }
    kinds.remove(story::evidence(leading));
    let further = kinds.into_values().fold(0u8, |sum, points| sum.saturating_add(points.clamp(1, FURTHER)));
    let above = points(leading).saturating_add(further).min(TOGETHER);
    severity.risk_floor().saturating_add(above).min(100)
}

fn state(loud: &[&Alert]) -> AlertState {
    if loud.iter().any(|a| a.state == AlertState::Open) { AlertState::Open } else { AlertState::Acknowledged }
}

/// Every value once, in the order of the alerts.
fn entities(alerts: &[&Alert]) -> BTreeMap<String, Value> {
    let of = |name: &str| {
        let each = alerts.iter().filter_map(|a| a.entities.get(name)).flat_map(|value| match value {
            Value::Array(items) => items.clone(),
            Value::Null => Vec::new(),
            one => vec![one.clone()],
        });
        let mut seen = BTreeSet::new();
        each.filter(|value| seen.insert(value.to_string())).collect::<Vec<_>>()
    };
    let mut entities = BTreeMap::new();
    for name in ENTITY_COLUMNS {
        let mut values = of(name);
        match values.len() {
            0 => {}
            1 => drop(entities.insert(name.to_owned(), values.remove(0))),
            _ => drop(entities.insert(name.to_owned(), Value::Array(values))),
        }
    }
    entities
}

fn in_order<'a>(texts: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    texts.filter(|text| seen.insert(text.as_str())).cloned().collect()
}

#[cfg(test)]
#[path = "incident_tests.rs"]
mod tests;
