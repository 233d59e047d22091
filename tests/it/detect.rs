//! The main job on simulated logs: what is found, what stays quiet, what stays the same.

use serde_json::Value;

use crate::support::Place;

/// Where the sample logs lie.
fn sample() -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/sample-logs").to_owned()
}

fn labels() -> Value {
    serde_json::from_slice(&std::fs::read(format!("{}/labels.json", sample())).expect("labels.json")).expect("JSON")
}

/// Does the alert name this value in an entity, alone or in a list?
fn names(alert: &Value, entity: &str, value: &Value) -> bool {
    match &alert["entities"][entity] {
        Value::Array(list) => list.contains(value),
        one => one == value,
    }
}

#[test]
fn the_main_job_finds_the_four_attacks_and_little_else() {
    let place = Place::new();
    let ran = place.run(&["run", "--once", "--format", "json", &sample()]).code(0);
    let alerts = ran.json();
    let alerts = alerts.as_array().unwrap();
    let loud: Vec<&Value> = alerts.iter().filter(|a| a["severity"] != "informational").collect();
    for attack in labels()["attacks"].as_array().expect("attacks") {
        let found = loud.iter().any(|a| {
            a["rule_id"] == attack["kind"]
                && (names(a, "principal_id", &attack["principal_id"])
                    || attack["vaults"].as_array().is_some_and(|vs| vs.iter().any(|v| names(a, "vault_name", v))))
        });
        assert!(found, "missed {attack}\nalerts: {loud:#?}");
    }
    let kinds: std::collections::BTreeSet<_> = loud.iter().map(|a| a["rule_id"].as_str().unwrap()).collect();
    assert_eq!(kinds.len(), 4, "{kinds:?}");
    assert!(loud.len() <= 6, "an attack each and little else: {loud:#?}");
}

#[test]
fn the_summary_tells_sizes_span_severities_and_the_worst_in_sentences() {
    let place = Place::new();
    let ran = place.run(&["run", "--once", &sample()]).code(0);
    for part in ["records read", "vaults", "callers", "UTC", "alerts:", "high", "kvaudit alerts show"] {
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
    let place = Place::new();
    let ids = |alerts: &Value| -> Vec<String> {
        let mut ids: Vec<String> =
            alerts.as_array().unwrap().iter().map(|a| a["alert_id"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    };
    let first = place.run(&["run", "--once", "--format", "json", &sample()]).code(0).json();
    // Again over everything, and again in two halves.
    let again = place.run(&["run", "--once", "--format", "json", &sample()]).code(0).json();
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
    let place = Place::new();
    place.run(&["run", "--once", "--fail-on", "low", &sample()]).code(3);
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
