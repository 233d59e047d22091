use super::*;
use crate::alert::{AlertState, Finding, Severity};
use crate::state::testing::{HOUR, finding, record, rule, state};
use crate::state::{AlertFilter, NewSuppression, Order, RuleInfo};

/// A finding of another rule.
fn of_rule(rule_id: &str, caller: &str, end: i64) -> (RuleInfo, Finding) {
    (RuleInfo { rule_id: rule_id.into(), ..rule(0) }, Finding { rule_id: rule_id.into(), ..finding(caller, end) })
}

/// Incidents as `id:state:alerts`, oldest first; the id by its first digits.
fn incidents(state: &State) -> Vec<(String, AlertState, usize)> {
    state.correlate(2_000).unwrap();
    let page = state.incidents(&AlertFilter::default(), Order::NewestFirst, 100, None).unwrap();
    let mut all: Vec<_> =
        page.incidents.into_iter().map(|i| (i.first_seen, i.incident_id, i.state, i.alert_ids.len())).collect();
    all.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
    all.into_iter().map(|(_, id, state, alerts)| (id, state, alerts)).collect()
}

#[test]
fn alerts_know_their_incident_and_doing_it_again_changes_nothing() {
    let (_dir, state) = state();
    record(&state, &rule(0), (0, 100), &[finding("ann", 1), finding("ann", 9), finding("bob", 2)]);
    let first = incidents(&state);
    assert_eq!(first.iter().map(|i| i.2).collect::<Vec<_>>(), [2, 1]);
    let detail = state.incident(&first[0].0[..8], 2_000).unwrap();
    assert!(detail.alerts.iter().all(|a| a.incident_id.as_deref() == Some(first[0].0.as_str())));
    assert_eq!(detail.alerts.iter().map(|a| a.alert_id.clone()).collect::<Vec<_>>(), detail.incident.alert_ids);
    state.correlate(9_999).unwrap();
    assert_eq!(state.incident(&first[0].0, 9_999).unwrap(), detail, "no new time of change without a change");
}

#[test]
fn the_id_survives_late_alerts_and_of_two_that_merge_the_older() {
    let (_dir, state) = state();
    record(&state, &rule(0), (0, 200), &[finding("ann", 60)]);
    let old = incidents(&state).remove(0).0;
    record(&state, &rule(0), (0, 200), &[finding("ann", 60), finding("ann", 20)]);
    let apart = incidents(&state);
    assert_eq!(apart.len(), 2, "39 hours apart: {apart:?}");
    let young = apart[0].0.clone();
    assert_eq!(apart[1].0, old);
    record(&state, &rule(0), (0, 200), &[finding("ann", 60), finding("ann", 20), finding("ann", 40)]);
    assert_eq!(incidents(&state), [(old.clone(), AlertState::Open, 3)]);
    let by_young = state.incident(&young, 2_000).unwrap().incident.incident_id;
    assert_eq!(by_young, old, "the younger id leads to the older");
}

#[test]
fn the_same_alerts_give_the_same_ids_in_another_store() {
    let ids = || {
        let (_dir, state) = state();
        record(&state, &rule(0), (0, 100), &[finding("ann", 1), finding("ann", 9)]);
        incidents(&state)
    };
    assert_eq!(ids(), ids());
}

#[test]
fn an_id_survives_the_merging_of_the_alert_that_it_was_made_of() {
    let (_dir, state) = state();
    record(&state, &rule(2 * HOUR), (0, 100), &[finding("ann", 9)]);
    record(&state, &rule(2 * HOUR), (0, 100), &[finding("ann", 9), finding("ann", 1)]);
    let id = incidents(&state).remove(0).0;
    let all: Vec<Finding> = (1..=9).map(|end| finding("ann", end)).collect();
    assert_eq!(record(&state, &rule(2 * HOUR), (0, 100), &all).merged.len(), 1);
    assert_eq!(incidents(&state), [(id, AlertState::Open, 1)]);
}

#[test]
fn people_close_an_incident_by_closing_its_alerts_and_a_later_alert_opens_another() {
    let (_dir, state) = state();
    let opened = record(&state, &rule(0), (0, 100), &[finding("ann", 1), finding("ann", 9)]).opened;
    let id = incidents(&state).remove(0).0;
    state.close(&opened[0], "me", "", 5).unwrap();
    assert_eq!(incidents(&state), [(id.clone(), AlertState::Open, 1)], "what is closed is no part of it any more");
    state.acknowledge(&opened[1], "me", "", 5).unwrap();
    assert_eq!(incidents(&state), [(id.clone(), AlertState::Acknowledged, 1)]);
    state.close(&opened[1], "me", "", 5).unwrap();
    assert_eq!(incidents(&state), [(id.clone(), AlertState::Closed, 1)]);
    assert_eq!(state.incident(&id, 9).unwrap().alerts.len(), 2, "its alerts are still told");
    let (other, later) = of_rule("other", "ann", 10);
    record(&state, &other, (0, 100), &[later]);
    let both = incidents(&state);
    assert_eq!(both.iter().map(|i| i.1).collect::<Vec<_>>(), [AlertState::Closed, AlertState::Open]);
    state.reopen(&opened[0], "me", "", 5).unwrap();
    assert_eq!(incidents(&state), [(id, AlertState::Open, 2)], "reopened, the older takes the younger in");
}

#[test]
fn withdrawn_and_suppressed_alerts_end_it_and_what_comes_back_finds_its_id() {
    let (_dir, state) = state();
    record(&state, &rule(0), (0, 100), &[finding("ann", 1)]);
    let id = incidents(&state).remove(0).0;
    record(&state, &rule(0), (0, 100), &[]);
    assert_eq!(incidents(&state), [(id.clone(), AlertState::Withdrawn, 1)]);
    record(&state, &rule(0), (0, 100), &[finding("ann", 1)]);
    assert_eq!(incidents(&state), [(id.clone(), AlertState::Open, 1)]);
    let suppression = NewSuppression {
        rule_id: Some("test_rule".into()),
        reason: "known".into(),
        author: "me".into(),
        expires_at: Some(3_000),
        ..NewSuppression::default()
    };
    state.suppress(&suppression, 5).unwrap();
    assert_eq!(incidents(&state), [(id.clone(), AlertState::Withdrawn, 1)]);
    state.correlate(3_000).unwrap();
    assert_eq!(state.incident(&id, 3_000).unwrap().incident.state, AlertState::Open, "the suppression has expired");
}

#[test]
fn lists_filter_by_what_the_incident_holds_and_page_in_order() {
    let (_dir, state) = state();
    let mut ann = finding("ann", 1);
    ann.entities.insert("vault_name".into(), "kv-a".into());
    let high = Finding { severity: Severity::High, ..finding("bob", 50) };
    record(&state, &rule(0), (0, 100), &[ann, high]);
    let (other, eve) = of_rule("other", "eve", 90);
    record(&state, &other, (0, 100), &[eve]);
    state.correlate(2_000).unwrap();
    let some = |text: &str| Some(text.to_owned());
    for (filter, expected) in [
        (AlertFilter::default(), "bob eve ann"),
        (AlertFilter { min_severity: Some(Severity::High), ..AlertFilter::default() }, "bob"),
        (AlertFilter { severities: vec![Severity::Medium], ..AlertFilter::default() }, "eve ann"),
        (AlertFilter { caller: some("BOB"), ..AlertFilter::default() }, "bob"),
        (AlertFilter { vault: some("kv-a"), ..AlertFilter::default() }, "ann"),
        (AlertFilter { rule: some("other"), ..AlertFilter::default() }, "eve"),
        (AlertFilter { from: Some(50 * HOUR), ..AlertFilter::default() }, "eve"),
        (AlertFilter { to: Some(49 * HOUR), ..AlertFilter::default() }, "bob ann"),
        (AlertFilter { states: vec![AlertState::Closed], ..AlertFilter::default() }, ""),
    ] {
        let mut names = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let page = state.incidents(&filter, Order::SeverestFirst, 1, cursor.as_deref()).unwrap();
            names.extend(page.incidents.iter().map(|i| i.entities["principal_id"].as_str().unwrap().to_owned()));
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(names.join(" "), expected, "{filter:?}");
    }
}

#[test]
fn ids_that_fit_no_incident_are_refused_with_the_way_out() {
    let (_dir, state) = state();
    assert!(matches!(state.incident("abc", 1), Err(StateError::BadId { .. })));
    let refused = state.incident("0123456789", 1).unwrap_err().to_string();
    assert!(refused.contains("kvaudit incidents list"), "{refused}");
}
