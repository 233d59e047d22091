//! Types only: findings, alerts, severities and the identities of each. A leaf that every room may import;
//! it reads no table, no clock and no file.

mod correlate;
mod incident;
mod story;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use correlate::{Group, INCIDENT_GAP, KnownIncident, Settled, Subject, correlate, settle};
pub use incident::{Incident, compose_incident, incident_id};

/// Times are microseconds since the epoch, UTC, as in the event table.
pub type Micros = i64;

/// How bad it is. The order is the order of urgency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth a line in a report, never a person's evening.
    Informational,
    /// Look at it this week.
    Low,
    /// Look at it today.
    Medium,
    /// Look at it now.
    High,
    /// Somebody is taking secrets.
    Critical,
}

impl Severity {
    /// All severities, mildest first.
    pub const ALL: [Severity; 5] = [Self::Informational, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The name in JSON, SQL and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Informational => "informational",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// Where the risk scores of this severity begin (docs/contracts.md).
    pub fn risk_floor(self) -> u8 {
        match self {
            Self::Informational => 5,
            Self::Low => 25,
            Self::Medium => 45,
            Self::High => 65,
            Self::Critical => 85,
        }
    }

    /// One step worse; the worst stays.
    pub fn one_up(self) -> Self {
        let next = Self::ALL.iter().position(|s| *s == self).and_then(|at| Self::ALL.get(at + 1));
        next.copied().unwrap_or(self)
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Severity {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|s| s.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| format!("'{text}' is no severity: use informational, low, medium, high or critical"))
    }
}

/// One value of an entity or of evidence, as it came out of SQL.
pub type Value = serde_json::Value;

/// One row that a detection yielded: one key, one window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// [`finding_id`] of rule, key and window_end.
    pub finding_id: String,
    /// The rule's id: its file's name.
    pub rule_id: String,
    /// The columns that the rule's header calls its key, in the header's order, with their values (null becomes "").
    pub key: Vec<(String, String)>,
    /// Start of the window, inclusive.
    pub window_start: Micros,
    /// End of the window, exclusive; always a multiple of the rule's step.
    pub window_end: Micros,
    /// What was counted.
    pub observed: f64,
    /// What the baseline leads one to expect.
    pub expected: f64,
    /// How improbable `observed` is under the baseline, where the rule computes it; 0 to 1.
    pub p_value: Option<f64>,
    /// The row's severity, else the header's.
    pub severity: Severity,
    /// One sentence for a person.
    pub summary: String,
    /// Records behind the finding, where the row has `event_count`.
    pub event_count: Option<i64>,
    /// Entity columns of the row (key columns among them): the names of [`ENTITY_COLUMNS`], each a string or a list of strings.
    pub entities: BTreeMap<String, Value>,
    /// Every other column of the row.
    pub evidence: BTreeMap<String, Value>,
}

/// The columns of a finding that name somebody or something; all other extra columns are evidence.
pub const ENTITY_COLUMNS: [&str; 12] = [
    "principal_id",
    "principal_name",
    "principal_type",
    "app_id",
    "vault_name",
    "subscription_id",
    "resource_id",
    "object_type",
    "object_name",
    "operation_name",
    "caller_ip",
    "client_product",
];

/// What people have done about an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertState {
    /// Nobody has looked yet.
    Open,
    /// Somebody is on it.
    Acknowledged,
    /// Dealt with.
    Closed,
    /// No finding of it holds any more.
    Withdrawn,
}

impl AlertState {
    /// The name in JSON, SQL and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Closed => "closed",
            Self::Withdrawn => "withdrawn",
        }
    }
}

impl FromStr for AlertState {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Open, Self::Acknowledged, Self::Closed, Self::Withdrawn]
            .into_iter()
            .find(|s| s.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| format!("'{text}' is no alert state: use open, acknowledged, closed or withdrawn"))
    }
}

/// Findings of one rule and key that lie no further apart than the rule's `quiet_for`. Its JSON is a contract (docs/contracts.md).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// [`alert_id`] of rule, key and the first finding's window_end.
    pub alert_id: String,
    /// The rule's id.
    pub rule_id: String,
    /// The rule's title.
    pub title: String,
    /// The sentence of its strongest finding.
    pub summary: String,
    /// The highest severity among its findings.
    pub severity: Severity,
    /// 0 to 100; docs/contracts.md says how it is made.
    pub risk_score: u8,
    /// Start of the first finding's window, RFC 3339.
    pub window_start: String,
    /// End of the last finding's window, RFC 3339.
    pub window_end: String,
    /// First record, as far as the findings say: start of the first window otherwise.
    pub first_seen: String,
    /// Last record, as far as the findings say: end of the last window otherwise.
    pub last_seen: String,
    /// Who and what: each a string or a list of strings, absent where unknown.
    pub entities: BTreeMap<String, Value>,
    /// Of the strongest finding.
    pub observed: f64,
    /// Of the strongest finding.
    pub expected: f64,
    /// Of the strongest finding, where it has one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub p_value: Option<f64>,
    /// Findings that make up the alert.
    pub finding_count: u64,
    /// Records behind the strongest finding.
    pub event_count: u64,
    /// Evidence of the strongest finding.
    pub evidence: BTreeMap<String, Value>,
    /// SQL that shows the records behind the alert.
    pub drilldown: String,
    /// ATT&CK technique ids.
    pub techniques: Vec<String>,
    /// The incident that it belongs to, or belonged to when it was closed, suppressed or withdrawn; else null.
    pub incident_id: Option<String>,
    /// What people have done about it.
    pub state: AlertState,
    /// A suppression covers it: kept and counted, not shown first.
    pub suppressed: bool,
    /// When it was first stored, RFC 3339.
    pub created_at: String,
    /// When it last changed, RFC 3339.
    pub updated_at: String,
}

/// Identity of a finding: 32 hex digits over rule, key columns with values, and the window's end.
pub fn finding_id(rule_id: &str, key: &[(String, String)], window_end: Micros) -> String {
    identity("kvaudit finding v1", rule_id, key, window_end)
}

/// Identity of an alert: 32 hex digits over rule, key columns with values, and its first finding's window_end.
pub fn alert_id(rule_id: &str, key: &[(String, String)], first_window_end: Micros) -> String {
    identity("kvaudit alert v1", rule_id, key, first_window_end)
}

/// Each part is length-prefixed, so that no two different inputs read the same.
fn identity(context: &str, rule_id: &str, key: &[(String, String)], end: Micros) -> String {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    let mut part = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    part(rule_id.as_bytes());
    for (name, value) in key {
        part(name.as_bytes());
        part(value.as_bytes());
    }
    part(&end.to_le_bytes());
    hasher.finalize().to_hex()[..32].to_owned()
}

/// RFC 3339 text of a time, UTC, to the microsecond where it has a fraction.
pub fn rfc3339(micros: Micros) -> String {
    chrono::DateTime::from_timestamp_micros(micros)
        .map_or_else(|| format!("{micros}µs"), |t| t.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true))
}

/// Reads a time back that [`rfc3339`] wrote.
pub fn micros(rfc3339: &str) -> Option<Micros> {
    chrono::DateTime::parse_from_rfc3339(rfc3339).ok().map(|time| time.timestamp_micros())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod testing;

#[cfg(test)]
mod tests {
    use super::*;

    fn key(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    }

    #[test]
    fn identities_depend_on_rule_key_and_time_and_on_nothing_else() {
        let base = finding_id("r", &key(&[("principal_id", "a")]), 10);
        assert_eq!(base, finding_id("r", &key(&[("principal_id", "a")]), 10));
        assert_eq!(base.len(), 32);
        for other in [
            finding_id("s", &key(&[("principal_id", "a")]), 10),
            finding_id("r", &key(&[("principal_id", "b")]), 10),
            finding_id("r", &key(&[("principal_id", "a")]), 11),
            finding_id("r", &key(&[("principal_i", "da")]), 10),
            alert_id("r", &key(&[("principal_id", "a")]), 10),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn severities_order_and_read_back() {
        assert!(Severity::Critical > Severity::High);
        for s in Severity::ALL {
            assert_eq!(s.as_str().parse::<Severity>(), Ok(s));
        }
        assert!("urgent".parse::<Severity>().unwrap_err().contains("urgent"));
    }
}
