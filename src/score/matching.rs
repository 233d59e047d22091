//! Whether an alert finds an attack.

use crate::alert::{Alert, Micros, Value};

use super::{Attack, MINUTE, Raised};

const HOUR: Micros = 3_600_000_000;
const DAY: Micros = 24 * HOUR;

/// Whoever names more of a kind than this names nobody.
const MOST_NAMES: usize = 5;

/// Attacks that others feel: an alert about one of them is no false alarm, though it finds nobody.
const FELT_BY_OTHERS: [&str; 8] = [
    "destructive_operations",
    "diagnostics_removed",
    "key_tampering",
    "log_silence",
    "near_limit",
    "retry_storm",
    "server_errors",
    "throttling",
];

/// Conditions of one caller or vault that last as long as nobody mends them.
const CHRONIC: [&str; 12] = [
    "chatty_caller",
    "client_per_call",
    "diagnostics_removed",
    "expired",
    "log_silence",
    "near_expiry",
    "old_tls",
    "poll_fan_out",
    "server_errors",
    "slow_harvest",
    "slow_requests",
    "volume_growth",
];

/// What an alert is to an attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Match {
    Finds,
    /// It tells of somebody who suffers from the attack.
    Suffers,
    Nothing,
}

/// Judges an alert of a rule with this key; without a rule every entity counts as one of its key.
pub(super) fn judge(attack: &Attack, raised: &Raised, key: Option<&[String]>) -> Match {
    let alert = &raised.alert;
    let (begin, end) = span(alert);
    if end < attack.first || begin > attack.last.saturating_add(HOUR) {
        return Match::Nothing;
    }
    if !vague(attack, alert, key, end - begin) && names(attack, alert) {
        return Match::Finds;
    }
    let vaults = named(alert, "vault_name");
    let there = attack.vaults.iter().any(|v| vaults.contains(&v.to_lowercase()));
    if there && FELT_BY_OTHERS.contains(&attack.kind.as_str()) { Match::Suffers } else { Match::Nothing }
}

/// The attack's caller, or one who took part; else its vault or its address.
fn names(attack: &Attack, alert: &Alert) -> bool {
    if attack.principal_id.is_some() {
        let callers = named(alert, "principal_id");
        return attack.principal_id.iter().chain(&attack.others).any(|p| callers.contains(&p.to_lowercase()));
    }
    let (vaults, addresses) = (named(alert, "vault_name"), named(alert, "caller_ip"));
    let at_address = !attack.caller_ip.is_empty() && addresses.contains(&attack.caller_ip);
    at_address || attack.vaults.iter().any(|v| vaults.contains(&v.to_lowercase()))
}

/// Names too many, or spans too long. What a rule tells beside its key is context: an alert about one caller may list
/// all the vaults that this caller went through.
fn vague(attack: &Attack, alert: &Alert, key: Option<&[String]>, long: Micros) -> bool {
    let by = if attack.principal_id.is_some() { "principal_id" } else { "vault_name" };
    let counts = |kind: &str| kind == by || key.is_none_or(|k| k.iter().any(|c| c == kind));
    let crowd = |kind: &&str| counts(kind) && named(alert, kind).len() > MOST_NAMES;
    if ["principal_id", "vault_name", "caller_ip"].iter().any(crowd) {
        return true;
    }
    let one = named(alert, "principal_id").len() == 1 || named(alert, "vault_name").len() == 1;
    let lasting = attack.last - attack.first > DAY || CHRONIC.contains(&attack.kind.as_str());
    long > DAY && !(one && lasting)
}

/// From the first to the last record where the rule tells, else the windows.
fn span(alert: &Alert) -> (Micros, Micros) {
    let begin = parse(&alert.first_seen).or(parse(&alert.window_start)).unwrap_or(Micros::MAX);
    let end = parse(&alert.last_seen).or(parse(&alert.window_end)).unwrap_or(Micros::MIN);
    (begin, end)
}

/// Minutes from the attack's first record to the first finding whose window holds it.
pub(super) fn minutes(attack: &Attack, raised: &Raised) -> f64 {
    let seen = raised.ends.iter().copied().find(|end| *end > attack.first);
    let told = seen.or(parse(&raised.alert.window_end)).unwrap_or(attack.first);
    (told - attack.first) as f64 / MINUTE
}

/// The values of an entity in lower case: none, one, or a list.
fn named(alert: &Alert, kind: &str) -> Vec<String> {
    match alert.entities.get(kind) {
        Some(Value::String(one)) => vec![one.to_lowercase()],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).map(str::to_lowercase).collect(),
        _ => Vec::new(),
    }
}

/// Microseconds since the epoch.
pub(super) fn parse(text: &str) -> Option<Micros> {
    chrono::DateTime::parse_from_rfc3339(text).ok().map(|t| t.timestamp_micros())
}
