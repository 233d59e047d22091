//! Alerts of one caller become one story: from logs over the state to the terminal.

use serde_json::{Value, json};

use crate::support::{Place, lines, secret_get};

/// Two detections of the user's own: one counts refusals, one reads, a caller and an hour each.
fn rules(place: &Place) {
    for (name, severity, outcome, noun) in
        [("denied_spike", "low", "denied", "refusals"), ("mass_secret_read", "high", "success", "reads")]
    {
        let sql = format!(
            r#"-- +++
-- title = "Many {noun}"
-- description = "Counts {noun}, for a test."
-- severity = "{severity}"
-- status = "experimental"
-- techniques = ["T1555.006"]
-- key = ["principal_id"]
-- every = "1h"
-- window = "1h"
-- lookback = "0s"
-- baseline = "0s"
-- quiet_for = "1h"
-- false_positives = ["None."]
-- response = ["Look at the {noun}."]
-- references = ["https://attack.mitre.org/techniques/T1555/006/"]
-- false_alarm_rate = "None is claimed."
-- +++
SELECT date_bin(INTERVAL '1 hour', time) AS window_start,
       date_bin(INTERVAL '1 hour', time) + INTERVAL '1 hour' AS window_end,
       principal_id, max(principal_name) AS principal_name, max(vault_name) AS vault_name,
       CAST(count(*) AS DOUBLE) AS observed, 0.0 AS expected,
       count(*) || ' {noun}' AS summary, count(*) AS event_count
FROM events
WHERE time >= $from AND time < $to AND outcome = '{outcome}' AND principal_id IS NOT NULL
GROUP BY 1, 2, 3
"#
        );
        place.file(&format!("rules/{name}.sql"), sql);
    }
    let listed = place.run(&["rules", "list", "--format", "jsonl"]).code(0).out;
    let ids = listed.lines().map(|l| serde_json::from_str::<Value>(l).expect("JSON")["rule_id"].to_string());
    let off: Vec<String> =
        ids.filter(|id| !["\"denied_spike\"", "\"mass_secret_read\""].contains(&id.as_str())).collect();
    place.file("kvaudit.toml", format!("[rules]\nfolder = \"rules\"\noff = [{}]\n", off.join(", ")));
}

/// Ten refusals in the first hour, five reads in the fourth; the caller's name is hostile.
fn logs(place: &Place) -> String {
    let record = |n: u64, seconds: f64| -> Value {
        let mut record = secret_get(n, seconds);
        record["identity"]["claim"]["xms_mirid"] = json!(
            "/subscriptions/11111111-1111-1111-1111-111111111111/resourcegroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/=id\u{1b}[2J"
        );
        record
    };
    let refused = (0..10).map(|n| {
        let mut record = record(n, n as f64);
        record["properties"]["httpStatusCode"] = json!(403);
        record["resultSignature"] = json!("Forbidden");
        record
    });
    let reads = (10..15).map(|n| record(n, 3.0 * 3600.0 + n as f64));
    let records: Vec<Value> = refused.chain(reads).collect();
    place.file("logs.json", lines(&records)).to_string_lossy().into_owned()
}

#[test]
fn what_one_caller_did_is_one_story_with_a_timeline_until_its_alerts_are_dealt_with() {
    let place = Place::new();
    rules(&place);
    let logs = logs(&place);
    let run = |args: &[&str]| {
        let mut all = vec!["--config", "kvaudit.toml"];
        all.extend(args);
        place.run(&all).code(0)
    };
    let summary = run(&["run", "--once", &logs]).out;
    let told = summary.contains("was refused 10 times") && !summary.contains("10 refusals");
    assert!(told, "the incident stands for its alerts:\n{summary}");

    let incidents = run(&["incidents", "list", "--format", "json"]).json();
    let incident = &incidents[0];
    assert_eq!(incidents.as_array().unwrap().len(), 1, "{incidents}");
    let story = incident["story"].as_str().unwrap();
    assert!(story.contains("was refused 10 times") && story.contains("and read 5 secrets"), "{story}");
    assert_eq!((&incident["severity"], &incident["state"]), (&json!("high"), &json!("open")));
    let id = incident["incident_id"].as_str().unwrap().to_owned();
    let alerts = run(&["alerts", "list", "--format", "json"]).json();
    assert!(alerts.as_array().unwrap().iter().all(|a| a["incident_id"] == id.as_str()), "{alerts}");
    assert_eq!(place.number("SELECT count(DISTINCT incident_id) FROM alerts"), 1);

    let shown = run(&["incidents", "show", &id[..8]]).out;
    let at = |text: &str| shown.find(text).unwrap_or_else(|| panic!("no '{text}' in\n{shown}"));
    assert!(at("was refused 10 times") < at("10 refusals") && at("10 refusals") < at("5 reads"), "{shown}");
    assert!(at("what to do") < at("Look at the reads.") && shown.contains(&id), "{shown}");
    for columns in ["80", "120"] {
        for args in [&["incidents", "list"][..], &["incidents", "show", &id]] {
            let output = place.command(args).env("COLUMNS", columns).output().expect("the program starts");
            let text = String::from_utf8(output.stdout).expect("UTF-8");
            let widest = text.lines().map(|l| l.chars().count()).max().unwrap_or(0);
            assert!(widest <= columns.parse().unwrap(), "{widest} of {columns}:\n{text}");
            assert!(!text.contains('\u{1b}'), "escape sequences are shown, not obeyed:\n{text}");
        }
    }
    let csv = run(&["incidents", "list", "--format", "csv"]).out;
    assert!(csv.contains(",'=id") && csv.lines().next().unwrap().starts_with("incident_id,severity"), "{csv}");
    assert_eq!(run(&["incidents", "list", "--format", "jsonl"]).json(), *incident);

    // Evaluated again it is the same; closed alert by alert it is closed.
    run(&["detect", "--from", "1d"]);
    assert_eq!(run(&["incidents", "list", "--format", "json"]).json()[0]["incident_id"], id.as_str());
    for alert in alerts.as_array().unwrap() {
        run(&["alerts", "close", alert["alert_id"].as_str().unwrap(), "--note", "a drill"]);
    }
    assert!(run(&["incidents", "list"]).out.contains("no incidents"));
    let closed = run(&["incidents", "list", "--state", "closed", "--format", "json"]).json();
    assert_eq!(closed[0]["incident_id"], id.as_str());
    place.run(&["incidents", "show", "000000"]).code(1);
}
