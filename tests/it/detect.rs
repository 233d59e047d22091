//! The main job on simulated logs: what is found, what stays quiet, what stays the same.

use chrono::DateTime;
use serde_json::Value;

use crate::support::{Place, SAMPLE};

fn labels() -> Value {
    serde_json::from_slice(&std::fs::read(format!("{SAMPLE}/labels.json")).expect("labels.json")).expect("JSON")
}

/// Does the alert name this value in an entity, alone or in a list?
fn names(alert: &Value, entity: &str, value: &Value) -> bool {
    match &alert["entities"][entity] {
        Value::Array(list) => list.contains(value),
        one => one == value,
    }
}

/// Is the alert about an attack: its caller or vault, in its time and an hour more?
fn about(alert: &Value, attack: &Value) -> bool {
    const HOUR: i64 = 3_600;
    let time =
        |value: &Value| DateTime::parse_from_rfc3339(value.as_str().expect("a time")).expect("RFC 3339").timestamp();
    let named = names(alert, "principal_id", &attack["principal_id"])
        || attack["vaults"].as_array().is_some_and(|vaults| vaults.iter().any(|v| names(alert, "vault_name", v)));
    named
        && time(&alert["first_seen"]) <= time(&attack["last_record"])
        && time(&alert["last_seen"]) >= time(&attack["first_record"])
        && time(&alert["last_seen"]) <= time(&attack["last_record"]) + HOUR
}

#[test]
fn the_main_job_finds_the_four_attacks_and_tells_loudly_of_nothing_else() {
    let alerts = Place::sampled().run(&["alerts", "list", "--severity", "low", "--format", "json"]).code(0).json();
    let alerts = alerts.as_array().unwrap();
    let labels = labels();
    let attacks = labels["attacks"].as_array().expect("attacks");
    for attack in attacks {
        let found = alerts.iter().any(|alert| alert["rule_id"] == attack["kind"] && about(alert, attack));
        assert!(found, "missed {attack}\nalerts: {alerts:#?}");
    }
    for alert in alerts {
        assert!(attacks.iter().any(|attack| about(alert, attack)), "a false alarm: {alert:#}");
    }
}

#[test]
fn the_summary_tells_sizes_span_severities_and_the_worst_in_sentences() {
    let place = Place::sampled();
    let ran = place.run(&["run", "--once", SAMPLE]).code(0);
    for part in ["records read", "vaults", "callers", "UTC", "alerts:", "high", "kvaudit incidents show"] {
        assert!(ran.out.contains(part), "no '{part}' in\n{}", ran.out);
    }
    let list = place.run(&["alerts", "list", "--format", "json"]).code(0).json();
    let first = &list[0]["alert_id"].as_str().expect("an id")[..8];
    let shown = place.run(&["alerts", "show", first]).code(0).out;
    for part in ["observed", "expected", "evidence", "records", "SELECT"] {
        assert!(shown.contains(part), "no '{part}' in\n{shown}");
    }
}

#[test]
fn alerts_keep_their_identity_and_the_drilldown_shows_their_records() {
    let place = Place::sampled();
    let ids = |alerts: &Value| -> Vec<String> {
        let mut ids: Vec<String> =
            alerts.as_array().unwrap().iter().map(|a| a["alert_id"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    };
    let first = place.run(&["alerts", "list", "--all", "--format", "json"]).code(0).json();
    // Again over everything, and again over the logs' own days.
    let again = place.run(&["run", "--once", "--format", "json", SAMPLE]).code(0).json();
    assert_eq!(ids(&first), ids(&again));
    place.run(&["detect", "--from", "30d"]).code(0);
    let listed = place.run(&["alerts", "list", "--all", "--format", "json"]).code(0).json();
    assert_eq!(ids(&first), ids(&listed));
    for alert in first.as_array().unwrap() {
        let sql = format!("SELECT count(*) FROM ({})", alert["drilldown"].as_str().unwrap());
        assert!(place.number(&sql) > 0, "{alert}");
    }
    assert_eq!(place.number("SELECT count(*) FROM alerts"), ids(&first).len() as i64);
}

#[test]
fn fail_on_tells_of_standing_alerts_until_they_are_dealt_with() {
    let place = Place::sampled();
    place.run(&["detect", "--from", "30d", "--fail-on", "low"]).code(3);
    let alerts = place.run(&["alerts", "list", "--format", "json"]).code(0).json();
    for alert in alerts.as_array().unwrap() {
        place.run(&["alerts", "close", alert["alert_id"].as_str().unwrap(), "--note", "drill"]).code(0);
    }
    place.run(&["detect", "--from", "30d", "--fail-on", "low"]).code(0);
}

#[test]
fn wrong_use_ends_with_two() {
    let place = Place::new();
    for args in [
        &["detect", "--from", "yesterday"][..],
        &["nonsense"],
        &["run"],
        &["run", "--listen", "0.0.0.0:8474", "x.json"],
        &["detect", "--fail-on", "urgent"],
    ] {
        if args[0] == "detect" {
            place.ingest(&place.file("a.json", crate::support::lines(&crate::support::reads(2))));
        }
        place.run(args).code(2);
    }
}
