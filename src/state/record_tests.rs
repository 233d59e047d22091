use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::alert::{AlertState, alert_id, rfc3339};
use crate::state::testing::{HOUR, finding, record, rule, state};
use crate::state::{AlertFilter, Order};

fn all(state: &State) -> Vec<Alert> {
    let filter = AlertFilter { include_suppressed: true, ..AlertFilter::default() };
    state.alerts(&filter, Order::NewestFirst, 10_000, None, 0).unwrap().alerts
}

/// Each alert that holds as (caller, its findings' window ends in hours), and its content without what may differ.
fn shape(state: &State) -> BTreeMap<(String, Vec<i64>), String> {
    let live = all(state).into_iter().filter(|a| a.state != AlertState::Withdrawn);
    live.map(|mut alert| {
        let findings = state.findings_of(&alert.alert_id, 10_000).unwrap();
        let ends = findings.iter().map(|f| f.window_end / HOUR).collect();
        (alert.alert_id, alert.created_at, alert.updated_at) = Default::default();
        ((alert.entities["principal_id"].as_str().unwrap().to_owned(), ends), json(&alert))
    })
    .collect()
}

fn first_id(caller: &str, end: i64) -> String {
    alert_id("test_rule", &[("principal_id".to_owned(), caller.to_owned())], end * HOUR)
}

#[test]
fn an_alert_carries_its_findings_its_rule_and_the_contracts_fields() {
    let (_dir, state) = state();
    let changes = record(&state, &rule(HOUR), (0, 10), &[finding("ann", 2), finding("ann", 3), finding("bob", 2)]);
    assert_eq!(changes.opened.len(), 2);
    assert_eq!(changes.in_period, changes.opened);
    let alert = state.alert(&first_id("ann", 2), 0).unwrap();
    assert_eq!((alert.finding_count, alert.event_count, alert.risk_score), (2, 44, 51));
    assert_eq!((alert.title.as_str(), alert.techniques.as_slice()), ("A rule of tests", &["T1555".to_owned()][..]));
    assert_eq!((alert.state, alert.suppressed), (AlertState::Open, false));
    let object = serde_json::to_value(&alert).unwrap();
    let names: BTreeSet<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
    for name in [
        "alert_id",
        "rule_id",
        "title",
        "summary",
        "severity",
        "risk_score",
        "window_start",
        "window_end",
        "first_seen",
        "last_seen",
        "entities",
        "observed",
        "expected",
        "p_value",
        "finding_count",
        "event_count",
        "evidence",
        "drilldown",
        "techniques",
        "incident_id",
        "state",
        "suppressed",
        "created_at",
        "updated_at",
    ] {
        assert!(names.contains(name), "{name}");
    }
}

#[test]
fn recording_the_same_again_changes_nothing_at_all() {
    let (_dir, state) = state();
    let findings = [finding("ann", 2), finding("ann", 9)];
    record(&state, &rule(HOUR), (0, 10), &findings);
    let before = all(&state);
    let again = state.record(&rule(HOUR), (0, 10 * HOUR), &findings, 999_999).unwrap();
    assert!(again.is_empty(), "{again:?}");
    assert_eq!(again.in_period.len(), 2);
    assert_eq!(all(&state), before);
}

#[test]
fn a_finding_that_no_longer_holds_withdraws_its_alert_and_its_return_brings_it_back() {
    let (_dir, state) = state();
    let id = record(&state, &rule(HOUR), (0, 10), &[finding("ann", 2)]).opened.remove(0);
    state.acknowledge(&id, "ann", "", 5).unwrap();
    assert_eq!(record(&state, &rule(HOUR), (0, 10), &[]).withdrawn, std::slice::from_ref(&id));
    assert_eq!(state.alert(&id, 0).unwrap().state, AlertState::Withdrawn);
    assert_eq!(state.findings_of(&id, 9).unwrap().len(), 1, "what it was made of can still be seen");
    assert!(record(&state, &rule(HOUR), (0, 10), &[]).is_empty());
    assert_eq!(record(&state, &rule(HOUR), (0, 10), &[finding("ann", 2)]).updated, std::slice::from_ref(&id));
    assert_eq!(state.alert(&id, 0).unwrap().state, AlertState::Acknowledged);
}

#[test]
fn only_the_period_is_replaced_and_its_start_is_outside() {
    let (_dir, state) = state();
    record(&state, &rule(0), (0, 10), &[finding("ann", 2), finding("ann", 6)]);
    assert!(record(&state, &rule(0), (6, 10), &[]).is_empty(), "a window that ends at 6 is not in (6, 10]");
    assert_eq!(record(&state, &rule(0), (5, 6), &[]).withdrawn, [first_id("ann", 6)]);
    assert_eq!(state.alert(&first_id("ann", 2), 0).unwrap().state, AlertState::Open);
}

#[test]
fn late_data_joins_alerts_and_both_ids_resolve_to_the_older() {
    let (_dir, state) = state();
    let older = record(&state, &rule(HOUR), (5, 10), &[finding("ann", 6)]).opened.remove(0);
    let younger = record(&state, &rule(HOUR), (0, 3), &[finding("ann", 2)]).opened.remove(0);
    state.acknowledge(&older, "ann", "on it", 5).unwrap();
    let changes = record(&state, &rule(HOUR), (3, 5), &[finding("ann", 4)]);
    assert_eq!(changes.merged, [(younger.clone(), older.clone())]);
    for id in [&older, &younger, &younger[..8].to_owned()] {
        let alert = state.alert(id, 0).unwrap();
        assert_eq!(
            (alert.alert_id.as_str(), alert.state, alert.finding_count),
            (older.as_str(), AlertState::Acknowledged, 3)
        );
    }
    assert_eq!(state.trail(Some(&older), 9).unwrap()[0].action, "merge");
    // And apart again: the id that was given up names its own findings once more.
    assert_eq!(record(&state, &rule(HOUR), (3, 5), &[]).opened, std::slice::from_ref(&younger));
    assert_eq!(state.alert(&younger, 0).unwrap().alert_id, younger);
    assert_eq!(state.alert(&older, 0).unwrap().finding_count, 1);
    assert_eq!(state.alert(&younger, 0).unwrap().state, AlertState::Acknowledged);
}

#[test]
fn a_split_shrinks_the_alert_that_stays() {
    let (_dir, state) = state();
    record(&state, &rule(HOUR), (0, 10), &[finding("ann", 2), finding("ann", 4), finding("ann", 6)]);
    record(&state, &rule(HOUR), (3, 4), &[]);
    for end in [2, 6] {
        let alert = state.alert(&first_id("ann", end), 0).unwrap();
        assert_eq!((alert.finding_count, alert.window_end), (1, rfc3339(end * HOUR)));
    }
}

#[test]
fn a_shorter_quiet_for_splits_what_is_evaluated_again() {
    let (_dir, state) = state();
    record(&state, &rule(HOUR), (0, 10), &[finding("ann", 2), finding("ann", 4)]);
    record(&state, &rule(0), (3, 4), &[finding("ann", 4)]);
    assert_eq!(state.alert(&first_id("ann", 2), 0).unwrap().finding_count, 1);
    assert_eq!(state.alert(&first_id("ann", 4), 0).unwrap().finding_count, 1);
}

#[test]
fn an_earlier_finding_leaves_the_id_and_the_id_it_would_have_had_resolves_too() {
    let (_dir, state) = state();
    let id = record(&state, &rule(HOUR), (2, 10), &[finding("ann", 3)]).opened.remove(0);
    record(&state, &rule(HOUR), (0, 2), &[finding("ann", 2)]);
    assert_eq!(state.alert(&id, 0).unwrap().finding_count, 2);
    assert_eq!(state.alert(&first_id("ann", 2), 0).unwrap().alert_id, id);
}

#[test]
fn after_a_close_new_findings_open_a_new_alert_and_after_an_acknowledgement_they_join() {
    let (_dir, state) = state();
    let first = record(&state, &rule(HOUR), (0, 3), &[finding("ann", 2)]).opened.remove(0);
    state.acknowledge(&first, "ann", "", 5).unwrap();
    assert!(record(&state, &rule(HOUR), (3, 4), &[finding("ann", 3 + 1)]).opened.is_empty());
    state.close(&first, "ann", "", 5).unwrap();
    let second = record(&state, &rule(HOUR), (4, 5), &[finding("ann", 5)]).opened.remove(0);
    assert_eq!(state.alert(&second, 0).unwrap().state, AlertState::Open);
    let closed = state.alert(&first, 0).unwrap();
    assert_eq!((closed.state, closed.finding_count), (AlertState::Closed, 2));
    // Evaluating everything again changes nothing, and late data before the close stays with the closed one.
    let again: Vec<_> = [2, 4, 5].map(|end| finding("ann", end)).into();
    assert!(record(&state, &rule(HOUR), (0, 10), &again).is_empty());
    assert_eq!(record(&state, &rule(HOUR), (2, 3), &[finding("ann", 3)]).updated, [first]);
    assert_eq!(state.alert(&second, 0).unwrap().finding_count, 1);
}

#[test]
fn numbers_that_json_cannot_say_are_stored_as_ones_that_it_can() {
    let (_dir, state) = state();
    let mut f = finding("ann", 1);
    (f.observed, f.expected, f.p_value) = (f64::INFINITY, f64::NAN, Some(f64::NAN));
    record(&state, &rule(HOUR), (0, 10), &[f]);
    let alert = state.alert(&first_id("ann", 1), 0).unwrap();
    assert_eq!((alert.observed, alert.expected, alert.p_value), (f64::MAX, 0.0, None));
}

#[test]
fn of_two_findings_of_one_key_and_window_the_strongest_counts_whatever_their_order() {
    for turned in [false, true] {
        let (_dir, state) = state();
        let (mut weak, mut strong) = (finding("ann", 1), finding("ann", 1));
        (weak.summary, strong.summary) = ("weak".into(), "strong".into());
        strong.severity = Severity::High;
        let mut both = [weak, strong];
        if turned {
            both.reverse();
        }
        record(&state, &rule(HOUR), (0, 10), &both);
        let alert = state.alert(&first_id("ann", 1), 0).unwrap();
        assert_eq!((alert.summary.as_str(), alert.finding_count), ("strong", 1));
    }
}

#[test]
fn the_rules_filter_is_in_the_drilldown_and_not_in_the_evidence() {
    let (_dir, state) = state();
    let mut f = finding("o'hara", 1);
    f.evidence.insert("drilldown_filter".into(), "outcome = 'denied'".into());
    record(&state, &rule(HOUR), (0, 10), &[f]);
    let alert = state.alert(&first_id("o'hara", 1), 0).unwrap();
    assert!(alert.evidence.is_empty());
    assert!(
        alert.drilldown.contains("outcome = 'denied'") && alert.drilldown.contains("'o''hara'"),
        "{}",
        alert.drilldown
    );
    assert!(state.findings_of(&alert.alert_id, 1).unwrap()[0].evidence.is_empty());
}

#[test]
fn a_finding_outside_its_period_or_of_another_rule_is_refused_and_nothing_is_stored() {
    let (_dir, state) = state();
    for end in [0, 11] {
        let refused = state.record(&rule(HOUR), (0, 10 * HOUR), &[finding("ann", 5), finding("ann", end)], 1);
        assert!(refused.unwrap_err().to_string().contains("not in its period"));
    }
    let mut other = finding("ann", 1);
    other.rule_id = "other_rule".into();
    assert!(state.record(&rule(HOUR), (0, 10 * HOUR), &[other], 1).is_err());
    assert!(all(&state).is_empty());
}

#[test]
fn two_processes_may_record_at_once() {
    let (dir, _first) = state();
    std::thread::scope(|scope| {
        for caller in ["ann", "bob", "eve", "joe"] {
            let dir = dir.path();
            scope.spawn(move || {
                let state = State::open(dir, "store-of-tests").unwrap();
                for end in 1..=10 {
                    record(&state, &RuleInfo { rule_id: "test_rule".into(), ..rule(HOUR) }, (end - 1, end), &[]);
                    let mut f = finding(caller, end);
                    f.rule_id = caller.into();
                    state.record(&RuleInfo { rule_id: caller.into(), ..rule(HOUR) }, (0, 10 * HOUR), &[f], 1).unwrap();
                }
            });
        }
    });
    assert_eq!(all(&_first).iter().filter(|a| a.state != AlertState::Withdrawn).count(), 4);
}

/// Findings of two callers at some of the hours 1 to 12.
fn some_findings() -> impl Strategy<Value = Vec<Finding>> {
    proptest::collection::btree_set((0usize..2, 1i64..=12), 0..16).prop_map(|places| {
        places
            .into_iter()
            .map(|(caller, end)| {
                let mut f = finding(["ann", "bob"][caller], end);
                f.p_value = Some(1.0 / (end * 7 % 5 + 1) as f64);
                f.severity = Severity::ALL[(end * 3 % 5) as usize];
                f
            })
            .collect()
    })
}

/// The parts of (0, 12] by some cuts, in some order; parts may come twice.
fn parts() -> impl Strategy<Value = Vec<(i64, i64)>> {
    (proptest::collection::btree_set(1i64..12, 0..6), proptest::collection::vec(any::<prop::sample::Index>(), 0..4))
        .prop_map(|(cuts, again)| {
            let ends: Vec<i64> = [0].into_iter().chain(cuts).chain([12]).collect();
            let mut parts: Vec<(i64, i64)> = ends.windows(2).map(|w| (w[0], w[1])).collect();
            let repeats: Vec<_> = again.iter().map(|i| parts[i.index(parts.len())]).collect();
            parts.extend(repeats);
            parts
        })
        .prop_shuffle()
}

fn of_part(findings: &[Finding], (from, to): (i64, i64)) -> Vec<Finding> {
    findings.iter().filter(|f| from * HOUR < f.window_end && f.window_end <= to * HOUR).cloned().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn parts_in_any_order_give_the_alerts_of_the_whole(
        findings in some_findings(), before in some_findings(), parts in parts(), quiet in 0i64..4,
    ) {
        let rule = rule(quiet * HOUR);
        let (_dir, whole) = state();
        record(&whole, &rule, (0, 12), &findings);
        let (_dir, in_parts) = state();
        // Findings of an earlier run, most of which do not hold any more, must leave no trace.
        record(&in_parts, &rule, (0, 12), &before);
        let given_out: Vec<String> = all(&in_parts).into_iter().map(|a| a.alert_id).collect();
        for part in parts {
            record(&in_parts, &rule, part, &of_part(&findings, part));
        }
        prop_assert_eq!(shape(&in_parts), shape(&whole));
        for id in given_out {
            prop_assert!(in_parts.alert(&id, 0).is_ok(), "an id given out must keep resolving");
        }
        for alert in all(&whole) {
            let there = in_parts.alert(&alert.alert_id, 0).unwrap();
            prop_assert_eq!((there.window_start, there.window_end), (alert.window_start, alert.window_end));
        }
        let again = record(&in_parts, &rule, (0, 12), &findings);
        prop_assert!(again.is_empty(), "{:?}", again);
    }

    #[test]
    fn whatever_is_closed_no_finding_is_lost_and_what_came_after_is_open(
        findings in some_findings(), closing in 1i64..12, quiet in 0i64..4,
    ) {
        let rule = rule(quiet * HOUR);
        let (_dir, state) = state();
        record(&state, &rule, (0, closing), &of_part(&findings, (0, closing)));
        for alert in all(&state) {
            state.close(&alert.alert_id, "ann", "", 5).unwrap();
        }
        record(&state, &rule, (closing, 12), &of_part(&findings, (closing, 12)));
        let mut seen = 0;
        for alert in all(&state) {
            for f in state.findings_of(&alert.alert_id, 100).unwrap() {
                seen += 1;
                let expected = if f.window_end <= closing * HOUR { AlertState::Closed } else { AlertState::Open };
                prop_assert_eq!(alert.state, expected);
            }
        }
        prop_assert_eq!(seen, findings.len());
        prop_assert!(record(&state, &rule, (0, 12), &findings).is_empty());
    }
}
