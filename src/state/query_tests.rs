use std::collections::BTreeSet;

use serde_json::json;

use super::*;
use crate::state::testing::{HOUR, finding, record, rule, state};
use crate::state::{NewSuppression, RuleInfo};

/// Alerts: ann medium at 1 on kv-a, bob high at 2 on kv-a and kv-b, eve low at 3 with a name, and one of another rule.
fn four() -> (tempfile::TempDir, State) {
    let (dir, state) = state();
    let mut ann = finding("ann", 1);
    ann.entities.insert("vault_name".into(), json!("kv-a"));
    let mut bob = finding("bob", 2);
    bob.severity = Severity::High;
    bob.entities.insert("vault_name".into(), json!(["kv-a", "KV-b"]));
    let mut eve = finding("eve", 3);
    eve.severity = Severity::Low;
    eve.entities.insert("principal_name".into(), json!("Eve@contoso.example"));
    eve.entities.insert("app_id".into(), json!("app-10"));
    record(&state, &rule(0), (0, 10), &[ann, bob, eve]);
    let other = RuleInfo { rule_id: "other_rule".into(), ..rule(0) };
    let mut joe = finding("joe", 4);
    joe.rule_id = "other_rule".into();
    record(&state, &other, (0, 10), &[joe]);
    (dir, state)
}

fn callers(state: &State, filter: &AlertFilter, order: Order) -> Vec<String> {
    let page = state.alerts(filter, order, 100, None, 0).unwrap();
    assert_eq!(page.total, page.alerts.len() as u64);
    page.alerts.iter().map(|a| a.entities["principal_id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn filters_let_through_what_they_say() {
    let (_dir, state) = four();
    let base = AlertFilter::default;
    let text = |t: &str| Some(t.to_owned());
    for (filter, expected) in [
        (base(), "joe eve bob ann"),
        (AlertFilter { severities: vec![Severity::Low, Severity::High], ..base() }, "eve bob"),
        (AlertFilter { min_severity: Some(Severity::Medium), ..base() }, "joe bob ann"),
        (AlertFilter { rule: text("other_rule"), ..base() }, "joe"),
        (AlertFilter { caller: text("ANN"), ..base() }, "ann"),
        (AlertFilter { caller: text("eve@CONTOSO.example"), ..base() }, "eve"),
        (AlertFilter { caller: text("app-10"), ..base() }, "eve"),
        (AlertFilter { caller: text("app-1"), ..base() }, ""),
        (AlertFilter { caller: text("' OR 1=1 --"), ..base() }, ""),
        (AlertFilter { vault: text("kv-a"), ..base() }, "bob ann"),
        (AlertFilter { vault: text("kv-B"), ..base() }, "bob"),
        (AlertFilter { from: Some(2 * HOUR), ..base() }, "joe eve"),
        (AlertFilter { to: Some(2 * HOUR), ..base() }, "bob ann"),
        (AlertFilter { from: Some(HOUR), to: Some(3 * HOUR), ..base() }, "eve bob"),
        (AlertFilter { states: vec![AlertState::Closed], ..base() }, ""),
        (AlertFilter { vault: text("kv-a"), min_severity: Some(Severity::High), ..base() }, "bob"),
    ] {
        assert_eq!(callers(&state, &filter, Order::NewestFirst).join(" "), expected, "{filter:?}");
    }
    assert_eq!(callers(&state, &base(), Order::SeverestFirst).join(" "), "bob joe ann eve");
}

#[test]
fn states_filter_by_what_people_did_and_by_what_the_data_says() {
    let (_dir, state) = four();
    let id = |caller: &str| {
        let filter = AlertFilter { caller: Some(caller.into()), ..AlertFilter::default() };
        state.alerts(&filter, Order::NewestFirst, 1, None, 0).unwrap().alerts[0].alert_id.clone()
    };
    state.close(&id("ann"), "me", "", 1).unwrap();
    state.acknowledge(&id("bob"), "me", "", 1).unwrap();
    record(&state, &rule(0), (2, 3), &[]);
    for (alert_state, expected) in [
        (AlertState::Open, "joe"),
        (AlertState::Acknowledged, "bob"),
        (AlertState::Closed, "ann"),
        (AlertState::Withdrawn, "eve"),
    ] {
        let filter = AlertFilter { states: vec![alert_state], ..AlertFilter::default() };
        assert_eq!(callers(&state, &filter, Order::NewestFirst).join(" "), expected);
    }
}

#[test]
fn counts_agree_with_the_list_and_tell_of_the_suppressed() {
    let (_dir, state) = four();
    let new = NewSuppression {
        principal_id: Some("bob".into()),
        reason: "known".into(),
        author: "me".into(),
        ..NewSuppression::default()
    };
    state.suppress(&new, 1).unwrap();
    let counts = state.counts(&AlertFilter::default(), 2).unwrap();
    assert_eq!((counts.total, counts.suppressed), (3, 1));
    assert_eq!(counts.by_severity, BTreeMap::from([(Severity::Low, 1), (Severity::Medium, 2)]));
    assert_eq!(counts.by_rule, BTreeMap::from([("other_rule".into(), 1), ("test_rule".into(), 2)]));
    let with = AlertFilter { include_suppressed: true, ..AlertFilter::default() };
    let counts = state.counts(&with, 2).unwrap();
    assert_eq!((counts.total, counts.suppressed), (4, 1));
    assert_eq!(state.alerts(&with, Order::NewestFirst, 9, None, 2).unwrap().total, 4);
}

#[test]
fn pages_show_every_alert_once_while_others_come_in() {
    for order in [Order::NewestFirst, Order::SeverestFirst] {
        let (_dir, state) = state();
        let make = |name: &str, n: i64, i: i64| {
            let mut f = finding(&format!("{name}-{n}"), 1 + i % 7);
            f.severity = Severity::ALL[(i % 5) as usize];
            f
        };
        record(&state, &rule(0), (0, 10), &(0..1000).map(|i| make("there", i, i)).collect::<Vec<_>>());
        let mut seen: Vec<String> = Vec::new();
        let mut cursor: Option<String> = None;
        for page in 0.. {
            let got = state.alerts(&AlertFilter::default(), order, 70, cursor.as_deref(), 0).unwrap();
            seen.extend(got.alerts.iter().map(|a| a.entities["principal_id"].as_str().unwrap().to_owned()));
            let other = RuleInfo { rule_id: format!("rule_{page}"), ..rule(0) };
            let mut late = make("late", page, page);
            late.rule_id = other.rule_id.clone();
            record(&state, &other, (0, 10), &[late]);
            cursor = got.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        let once: BTreeSet<&String> = seen.iter().collect();
        assert_eq!(once.len(), seen.len(), "no alert twice");
        assert_eq!(once.iter().filter(|c| c.starts_with("there")).count(), 1000, "none left out");
    }
}

#[test]
fn a_page_says_how_to_go_on_and_the_last_one_that_it_is_the_last() {
    let (_dir, state) = four();
    let page = |limit, cursor: Option<&str>| {
        state.alerts(&AlertFilter::default(), Order::NewestFirst, limit, cursor, 0).unwrap()
    };
    assert_eq!(page(4, None).next_cursor, None, "exactly full is the last");
    let first = page(3, None);
    let rest = page(3, first.next_cursor.as_deref());
    assert_eq!((first.alerts.len(), rest.alerts.len(), rest.next_cursor, rest.total), (3, 1, None, 4));
    let cursor = first.next_cursor.unwrap();
    let refused = state.alerts(&AlertFilter::default(), Order::SeverestFirst, 3, Some(&cursor), 0);
    assert!(matches!(refused, Err(StateError::Cursor { .. })), "a cursor of another order");
}

#[test]
fn findings_come_by_time_and_of_too_many_the_latest() {
    let (_dir, state) = state();
    let findings: Vec<_> = (1..=5).map(|end| finding("ann", end)).collect();
    let id = record(&state, &rule(HOUR), (0, 10), &findings).opened.remove(0);
    assert_eq!(state.findings_of(&id, 10).unwrap(), findings);
    assert_eq!(state.findings_of(&id, 2).unwrap(), findings[3..]);
}
