//! When an alert finds an attack, and what else is counted.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use serde_json::{Value, json};

use super::*;

const HOUR: Micros = 3_600_000_000;

/// An attack from ten to eleven on 5 October, over ten days of logs.
fn truth(change: Value) -> Truth {
    let mut attack = json!({
        "kind": "mass_secret_read", "id": "attack-1", "principal_id": "eve", "vaults": ["kv-a"], "caller_ip": "45.0.0.1",
        "form": "fast", "first_record": "2026-10-05T10:00:00Z", "last_record": "2026-10-05T11:00:00Z",
    });
    attack.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    let span = ["2026-10-01T00:00:00Z", "2026-10-11T00:00:00Z"];
    serde_json::from_value(json!({"attacks": [attack], "span": span, "seed": 1})).unwrap()
}

/// An alert from 10:05 to 10:20 that names Eve.
fn alert(change: Value) -> Raised {
    let mut alert = json!({
        "alert_id": "a", "rule_id": "mass_secret_read", "title": "", "summary": "", "severity": "low", "risk_score": 25,
        "window_start": "2026-10-05T10:05:00Z", "window_end": "2026-10-05T10:20:00Z",
        "first_seen": "2026-10-05T10:05:00Z", "last_seen": "2026-10-05T10:20:00Z",
        "entities": {"principal_id": "EVE"}, "observed": 1.0, "expected": 0.0, "finding_count": 1, "event_count": 1,
        "evidence": {}, "drilldown": "", "techniques": [], "incident_id": null, "state": "open", "suppressed": false,
        "created_at": "2026-10-05T10:20:00Z", "updated_at": "2026-10-05T10:20:00Z",
    });
    alert.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    let alert: Alert = serde_json::from_value(alert).unwrap();
    let ends = vec![matching::parse(&alert.window_end).unwrap()];
    Raised { alert, ends }
}

fn rules(key: &[&str]) -> BTreeMap<String, Vec<String>> {
    let key: Vec<String> = key.iter().map(|k| (*k).to_owned()).collect();
    ["mass_secret_read", "server_errors"].iter().map(|r| ((*r).to_owned(), key.clone())).collect()
}

fn run(attack: Value, raised: Value) -> Score {
    score(&truth(attack), &[alert(raised)], &rules(&["principal_id"]))
}

#[test]
fn an_alert_finds_whom_it_names_in_time() {
    let six: Vec<String> = (0..5).map(|i| format!("p{i}")).chain(["eve".to_owned()]).collect();
    let many: Vec<String> = (0..9).map(|i| format!("kv-{i}")).collect();
    let late = json!({"first_seen": "2026-10-05T11:59:00Z", "last_seen": "2026-10-05T12:30:00Z"});
    let nobody = json!({"principal_id": null});
    let cases = [
        ("the caller in time", json!({}), json!({}), true),
        ("another caller", json!({}), json!({"entities": {"principal_id": "bob", "vault_name": "kv-a"}}), false),
        ("one who took part", json!({"others": ["bob"]}), json!({"entities": {"principal_id": "bob"}}), true),
        ("within the hour after", json!({}), late.clone(), true),
        ("later", json!({}), json!({"first_seen": "2026-10-05T12:01:00Z", "last_seen": "2026-10-05T12:30:00Z"}), false),
        (
            "before",
            json!({}),
            json!({"first_seen": "2026-10-05T09:00:00Z", "last_seen": "2026-10-05T09:59:00Z"}),
            false,
        ),
        ("one of six", json!({}), json!({"entities": {"principal_id": six}}), false),
        ("vaults as context", json!({}), json!({"entities": {"principal_id": "eve", "vault_name": many}}), true),
        ("longer than a day", json!({}), json!({"last_seen": "2026-10-06T11:00:00Z"}), false),
        (
            "longer than a day, as the attack",
            json!({"last_record": "2026-10-07T00:00:00Z"}),
            json!({"last_seen": "2026-10-06T11:00:00Z"}),
            true,
        ),
        ("the vault where there is no caller", nobody.clone(), json!({"entities": {"vault_name": "kv-a"}}), true),
        ("the address", nobody.clone(), json!({"entities": {"caller_ip": "45.0.0.1"}}), true),
        ("another vault", nobody, json!({"entities": {"vault_name": "kv-b"}}), false),
        ("informational", json!({}), json!({"severity": "informational"}), false),
        ("withdrawn", json!({}), json!({"state": "withdrawn"}), false),
        ("another rule", json!({}), json!({"rule_id": "server_errors"}), true),
    ];
    for (name, attack, raised, finds) in cases {
        assert_eq!(run(attack, raised).attacks[0].found, finds, "{name}");
    }
}

#[test]
fn what_finds_nothing_is_false_and_informational_ones_are_not_counted() {
    let alerts = [
        alert(json!({})),
        alert(json!({"entities": {"principal_id": "bob"}})),
        alert(json!({"entities": {"principal_id": "bob"}, "severity": "informational"})),
    ];
    let score = score(&truth(json!({})), &alerts, &rules(&["principal_id"]));
    assert_eq!((score.days, score.recall), (10.0, 1.0));
    assert_eq!((score.alerts_a_day, score.false_alerts_a_day), (0.2, 0.1));
    let rule = &score.rules[0];
    assert_eq!((rule.alerts, rule.finds, rule.consequences, rule.false_alerts), (2, 1, 0, 1));
}

#[test]
fn who_suffers_from_an_attack_is_neither_found_nor_false() {
    let victim = json!({"entities": {"principal_id": "bob", "vault_name": "kv-a"}});
    let score = run(json!({"kind": "throttling"}), victim.clone());
    assert_eq!((score.recall, score.false_alerts_a_day, score.consequences_a_day), (0.0, 0.0, 0.1));
    assert_eq!(run(json!({}), victim).false_alerts_a_day, 0.1, "a theft is not felt by others");
}

#[test]
fn time_runs_to_the_first_finding_after_the_attack_began() {
    let mut raised = alert(json!({"first_seen": "2026-10-05T09:00:00Z", "last_seen": "2026-10-05T12:00:00Z"}));
    let first = truth(json!({})).attacks[0].first;
    raised.ends = vec![first - HOUR, first + HOUR / 4, first + HOUR];
    let score = score(&truth(json!({})), &[raised], &rules(&["principal_id"]));
    assert_eq!((score.attacks[0].minutes, score.median_minutes), (Some(15.0), Some(15.0)));
}

#[test]
fn a_family_without_a_rule_is_told() {
    let owns = |attack, raised| run(attack, raised).attacks[0].own;
    assert_eq!(owns(json!({}), json!({})), Own::Found);
    assert_eq!(owns(json!({}), json!({"rule_id": "server_errors"})), Own::Missed);
    assert_eq!(owns(json!({"kind": "off_hours_read"}), json!({})), Own::NoRule);
    let score = run(json!({"kind": "off_hours_read"}), json!({}));
    assert_eq!((score.families[0].own_found, score.families[0].found), (None, 1));
}
