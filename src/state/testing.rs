//! What tests of the state, and of rooms above it, share: a state in a temporary folder, a rule, findings.

use std::collections::BTreeMap;

use super::{Changes, RuleInfo, State};
use crate::alert::{Finding, Micros, Severity, finding_id};

/// An hour in microseconds: the step of the rule of tests.
pub(crate) const HOUR: Micros = 3_600_000_000;

/// A new state; the folder lives as long as the first value.
pub(crate) fn state() -> (tempfile::TempDir, State) {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(dir.path(), "store-of-tests").unwrap();
    (dir, state)
}

pub(crate) fn rule(quiet_for_micros: Micros) -> RuleInfo {
    RuleInfo {
        rule_id: "test_rule".to_owned(),
        title: "A rule of tests".to_owned(),
        techniques: vec!["T1555".to_owned()],
        quiet_for_micros,
        severity: Severity::Medium,
    }
}

/// A finding of the hour that ends `end` hours after the epoch, of a caller.
pub(crate) fn finding(caller: &str, end: i64) -> Finding {
    let key = vec![("principal_id".to_owned(), caller.to_owned())];
    Finding {
        finding_id: finding_id("test_rule", &key, end * HOUR),
        rule_id: "test_rule".to_owned(),
        window_start: (end - 1) * HOUR,
        window_end: end * HOUR,
        observed: 40.0,
        expected: 2.5,
        p_value: Some(1e-6),
        severity: Severity::Medium,
        summary: format!("{caller} read 40 secrets in an hour, 2.5 expected"),
        event_count: Some(44),
        entities: BTreeMap::from([("principal_id".to_owned(), caller.into())]),
        evidence: BTreeMap::new(),
        key,
    }
}

/// Records findings of a period given in hours, at the time 1,000.
pub(crate) fn record(state: &State, rule: &RuleInfo, hours: (i64, i64), findings: &[Finding]) -> Changes {
    state.record(rule, (hours.0 * HOUR, hours.1 * HOUR), findings, 1_000).unwrap()
}
