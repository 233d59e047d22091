//! What tests of alerts share: an alert in a few words.

use std::collections::BTreeMap;

use super::{Alert, AlertState, Severity, Value, rfc3339};

/// An hour in microseconds.
pub(crate) const HOUR: i64 = 3_600_000_000;

/// An alert of rule `rule` from hour to hour, of low severity, with entities as `name=value` (a list: `name=a+b`).
pub(crate) fn alert(id: &str, rule: &str, hours: (i64, i64), entities: &str) -> Alert {
    let value = |text: &str| match text.split_once('+') {
        None => Value::from(text),
        Some(_) => text.split('+').map(Value::from).collect::<Vec<_>>().into(),
    };
    let entities: BTreeMap<String, Value> =
        entities.split_whitespace().filter_map(|e| e.split_once('=')).map(|(n, v)| (n.to_owned(), value(v))).collect();
    let (start, end) = (rfc3339(hours.0 * HOUR), rfc3339(hours.1 * HOUR));
    Alert {
        alert_id: id.to_owned(),
        rule_id: rule.to_owned(),
        title: format!("Title of {rule}"),
        summary: format!("summary of {id}"),
        severity: Severity::Low,
        risk_score: 25,
        window_start: start.clone(),
        window_end: end.clone(),
        first_seen: start.clone(),
        last_seen: end.clone(),
        entities,
        observed: 7.0,
        expected: 1.0,
        p_value: None,
        finding_count: 1,
        event_count: 7,
        evidence: BTreeMap::new(),
        drilldown: String::new(),
        techniques: vec!["T1078".to_owned()],
        incident_id: None,
        state: AlertState::Open,
        suppressed: false,
        created_at: start.clone(),
        updated_at: start,
    }
}
