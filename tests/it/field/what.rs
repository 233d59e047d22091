//! What was asked and how it ended: operations, objects, outcomes, changes; and what detections say of it.

use serde_json::{Value, json};

use super::input;
use crate::support::{Place, lines, secret_get};

fn read(name: &str) -> (Place, Value) {
    let place = Place::new();
    let report = place.ingest(&input(name));
    (place, report)
}

/// What one detection says of all of a file's days: its alerts in JSON.
fn alerts(name: &str, rules: &[&str], from: &str, to: &str) -> (Place, Vec<Value>) {
    let (place, _) = read(name);
    for rule in rules {
        place.run(&["detect", "--rule", rule, "--from", from, "--to", to]).code(0);
    }
    let all = place.run(&["alerts", "list", "--all", "--format", "json"]).code(0).json();
    let all = all.as_array().cloned().unwrap_or_default();
    (place, all)
}

#[test]
fn a_failed_authentication_is_no_challenge() {
    let (place, report) = read("07-401-that-is-a-failure.jsonl");
    assert_eq!((&report["events_written"], &report["quarantined"]), (&json!(9), &json!(0)));
    let rows = place.query(
        "SELECT outcome, denial_reason, count(*) AS n FROM events WHERE http_status_code = 401 GROUP BY 1, 2 ORDER BY 1",
    );
    assert_eq!(rows, json!([{"outcome": "denied", "denial_reason": "authentication", "n": 5}]));
}

/// Whoever fails to authenticate again and again is told, by its address, since the records name nobody.
#[test]
fn many_failed_authentications_are_told() {
    let place = Place::new();
    let mut records: Vec<Value> = (0..200).map(|n| secret_get(n, n as f64 * 3600.0)).collect();
    let failed = |n: u64| {
        let mut record = secret_get(1000 + n, 180.0 * 3600.0 + n as f64);
        record["operationName"] = json!("Authentication");
        record["identity"] = json!({});
        record["callerIpAddress"] = json!("203.0.113.20");
        record["resultDescription"] = json!("AKV10032: Invalid issuer. Expected one of https://a/, found https://b/.");
        record["resultSignature"] = json!("Unauthorized");
        record["properties"]["httpStatusCode"] = json!(401);
        record["properties"].as_object_mut().unwrap().remove("id");
        record
    };
    records.extend((0..300).map(failed));
    place.ingest(&place.file("in.jsonl", lines(&records)));
    place.run(&["detect", "--rule", "denied_spike", "--from", "10d"]).code(0);
    let alerts = place.run(&["alerts", "list", "--all", "--format", "json"]).code(0).json();
    let summary = alerts[0]["summary"].as_str().unwrap_or_default();
    assert!(summary.contains("203.0.113.20") && summary.contains("authentication"), "{alerts}");
}

#[test]
fn a_policy_evaluation_is_no_request() {
    let (place, report) = read("27-policy-evaluation.jsonl");
    assert_eq!(report["events_written"], 3);
    let rows = place.query(
        "SELECT operation_class AS class, outcome, denial_reason AS reason, object_type AS type, object_name AS name
         FROM events ORDER BY time",
    );
    let row = |outcome: &str, kind: &str, name: &str| json!({"class": "policy", "outcome": outcome, "reason": null, "type": kind, "name": name});
    let expected = [
        row("noncompliant", "certificate", "web-tls"),
        row("compliant", "certificate", "web-tls"),
        row("evaluated", "secret", "db-password"),
    ];
    assert_eq!(rows, json!(expected));
}

#[test]
fn a_burst_of_policy_evaluations_is_no_burst_of_refusals() {
    let rules = ["denied_spike", "denied_sweep", "unusual_denied_caller", "denied_by_network", "name_guessing"];
    let (place, alerts) = alerts("61-policy-burst.jsonl.gz", &rules, "2026-11-12", "2026-11-22");
    assert_eq!(place.number("SELECT count(*) FROM events WHERE operation_class = 'policy'"), 630);
    assert_eq!(place.number("SELECT count(*) FROM events WHERE outcome IN ('denied', 'challenge')"), 0);
    assert!(alerts.is_empty(), "{alerts:?}");
}

#[test]
fn a_managed_hsm_has_keys_and_things_that_are_none() {
    let (place, report) = read("28-managed-hsm.json");
    assert_eq!(report["events_written"], 6);
    let rows = place.query(
        "SELECT operation_name AS operation, operation_class AS class, outcome, object_type AS type, object_name AS name,
                object_version IS NOT NULL AS version, change_kind AS change FROM events ORDER BY time",
    );
    let row = |operation: &str, class: &str, outcome: &str, kind: &str, name: Option<&str>, version: bool| {
        json!({"operation": operation, "class": class, "outcome": outcome, "type": kind, "name": name,
               "version": version, "change": (operation == "RoleAssignmentCreate").then_some("role_assigned")})
    };
    let key = Some("root-signing");
    let expected = [
        row("KeySign", "crypto", "success", "key", key, true),
        row("KeyDecrypt", "crypto", "denied", "key", key, true),
        row("RoleAssignmentCreate", "control", "success", "hsm", None, false),
        row("SecurityDomainDownload", "backup", "success", "hsm", None, false),
        row("KeyGet", "read", "challenge", "key", key, false),
        row("FullBackup", "backup", "success", "hsm", None, false),
    ];
    assert_eq!(rows, json!(expected));
}

#[test]
fn names_of_any_letter_case_are_one_object_and_the_records_spelling_is_kept() {
    let place = Place::new();
    let paths = [
        "secrets/db-password",
        "secrets/DB-Password/?api-version=7.4",
        ":8443/SECRETS/Db%2DPassword?x=/secrets/other",
        "/deletedsecrets/DB-PASSWORD/recover",
    ];
    let records: Vec<Value> = (0u64..)
        .zip(paths)
        .map(|(n, path)| {
            let mut record = secret_get(n, n as f64);
            let slash = if path.starts_with([':', '/']) { "" } else { "/" };
            record["properties"]["requestUri"] = json!(format!("https://kv.vault.azure.net{slash}{path}"));
            record["properties"]["id"] = json!("https://kv.vault.azure.net/secrets/Db-Password");
            if n % 2 == 0 {
                record["properties"].as_object_mut().unwrap().remove("id");
            }
            record
        })
        .collect();
    let file = place.file("in.jsonl", lines(&records));
    assert_eq!(place.ingest(&file)["events_written"], 4);
    let rows = place.query("SELECT object_type, object_name, count(*) AS n FROM events GROUP BY 1, 2");
    assert_eq!(rows, json!([{"object_type": "secret", "object_name": "db-password", "n": 4}]));
    // The id's spelling stands in no other column.
    assert_eq!(place.number("SELECT count(*) FROM events WHERE extra LIKE '%/secrets/Db-Password%'"), 2);
}

#[test]
fn who_gained_what_is_read_out_of_the_activity_logs_bodies() {
    let (place, report) = read("51-activity-escaped.jsonl");
    assert_eq!(report["events_written"], 4);
    let rows = place.query(
        "SELECT change_kind AS change, outcome, target_principal_id AS target, granted_permissions AS granted FROM events ORDER BY time",
    );
    let (target, granted) = ("f2c7a9d1-6b4e-4c8a-9d3f-0a1b2c3d4e5f", "secrets/get,secrets/list");
    let expected = json!([
        {"change": "access_policy_written", "outcome": "unknown", "target": target, "granted": granted},
        {"change": "access_policy_written", "outcome": "success", "target": target, "granted": granted},
        {"change": "vault_written", "outcome": "denied", "target": null, "granted": null},
        {"change": "diagnostics_removed", "outcome": "success", "target": null, "granted": null},
    ]);
    assert_eq!(rows, expected);
}

#[test]
fn several_entries_of_one_body_are_all_named_whatever_the_escaping() {
    let template = std::fs::read_to_string(input("51-activity-escaped.jsonl")).unwrap();
    let template: Value = serde_json::from_str(template.lines().next().unwrap()).unwrap();
    let entry = |id: &str, kind: &str| json!({"objectId": id, "permissions": {kind: ["Get"]}});
    let body = json!({"properties": {"accessPolicies": [entry("BBB", "keys"), entry("aaa", "secrets")]}});
    let once = body.to_string();
    let twice = json!(once).to_string();
    let bodies = [
        json!({"requestbody": once}),
        json!({"requestBody": body}),
        json!({"responseBody": twice}),
        json!({"responseBody": json!(twice).to_string()}),
        json!({"requestbody": json!({"properties": body["properties"].to_string()}).to_string()}),
        // What was asked for is believed before what was answered.
        json!({"responseBody": json!({"properties": {"accessPolicies": [entry("ccc", "storage")]}}).to_string(), "requestbody": once}),
    ];
    let place = Place::new();
    let mut records = Vec::new();
    for (n, body) in bodies.iter().enumerate() {
        for (m, properties) in
            [body.clone(), json!(body.to_string()), json!(json!(body.to_string()).to_string())].into_iter().enumerate()
        {
            let mut record = template.clone();
            record["correlationId"] = json!(format!("c{n}-{m}"));
            record["properties"] = properties;
            records.push(record);
        }
    }
    let report = place.ingest(&place.file("in.jsonl", lines(&records)));
    assert_eq!(report["events_written"], records.len(), "{report}");
    let rows = place.query(
        "SELECT target_principal_id AS target, granted_permissions AS granted, count(*) AS n,
                min(correlation_id) AS first FROM events GROUP BY 1, 2 ORDER BY n DESC",
    );
    assert_eq!(
        rows,
        json!([{"target": "aaa,bbb", "granted": "keys/get,secrets/get", "n": records.len(), "first": "c0-0"}])
    );
}

#[test]
fn a_storm_of_lists_says_that_it_is_lists() {
    let rules = ["volume_anomaly", "volume_growth"];
    let (_, alerts) = alerts("53-eso-list-storm.jsonl.gz", &rules, "2026-11-13", "2026-11-21");
    let summaries: Vec<&str> = alerts.iter().filter_map(|alert| alert["summary"].as_str()).collect();
    assert_eq!(summaries.len(), 2, "{summaries:?}");
    assert!(summaries.iter().all(|summary| summary.contains("SecretList makes ")), "{summaries:?}");
}

#[test]
fn the_challenges_of_a_client_built_anew_are_among_its_records() {
    let (place, alerts) = alerts("54-401-for-each-200.jsonl.gz", &["client_per_call"], "2026-11-20", "2026-11-21");
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    let sql = alerts[0]["drilldown"].as_str().unwrap();
    let rows = place.query(&format!("SELECT outcome, count(*) AS n FROM ({sql}) GROUP BY 1 ORDER BY 1"));
    assert_eq!(rows, json!([{"outcome": "challenge", "n": 1500}, {"outcome": "success", "n": 1500}]));
    let id = alerts[0]["alert_id"].as_str().unwrap();
    let shown = place.run(&["alerts", "show", id]).code(0).out;
    assert!(shown.contains("401"), "{shown}");
}

#[test]
fn a_caller_that_never_passed_from_a_network_does_not_usually_pass_from_there() {
    let file = "57-appservice-references.jsonl.gz";
    let (_, alerts) = alerts(file, &["denied_by_network"], "2026-11-09", "2026-11-21");
    for alert in &alerts {
        let summary = alert["summary"].as_str().unwrap();
        assert!(!summary.contains("usually passes"), "{summary}");
    }
}
