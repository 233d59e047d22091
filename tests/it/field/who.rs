//! Who called and when: identities, absent values, times.

use serde_json::{Value, json};

use super::input;
use crate::support::{Place, Ran};

fn ingested(place: &Place, name: &str) -> Value {
    place.ingest(&input(name))
}

#[track_caller]
fn counts(report: &Value) -> [u64; 4] {
    ["events_written", "duplicates", "skipped", "quarantined"].map(|name| report[name].as_u64().expect(name))
}

/// Ingests a text under a name, with more arguments.
fn run(place: &Place, name: &str, text: &str, args: &[&str]) -> Ran {
    let file = place.file(name, text);
    let file = file.to_string_lossy().into_owned();
    place.run(&[&["ingest", "--format", "json", &file], args].concat())
}

fn times(place: &Place) -> Vec<String> {
    let rows = place.query("SELECT CAST(time AS VARCHAR) AS t FROM events ORDER BY time");
    rows.as_array().expect("rows").iter().map(|row| row["t"].as_str().expect("a time")[..19].to_owned()).collect()
}

#[test]
fn the_order_of_dates_is_settled_by_later_rows_too() {
    let table = |days: &[&str]| {
        let rows: Vec<String> =
            days.iter().map(|day| format!("{day} 10:00,SecretGet,kv-a,s,200\n").repeat(12)).collect();
        format!("TimeGenerated,OperationName,VaultName,SecretName,httpStatusCode_d\n{}", rows.concat())
    };
    let place = Place::new();
    let report = run(&place, "a.csv", &table(&["11/11/2026", "12/11/2026", "13/11/2026"]), &[]).code(0).json();
    assert_eq!(report["quarantined"], 0, "{report}");
    assert_eq!(times(&place), ["2026-11-11T10:00:00", "2026-11-12T10:00:00", "2026-11-13T10:00:00"]);
    let place = Place::new();
    let ran = run(&place, "b.csv", &table(&["2026-11-10", "11/11/2026", "10/11/2026"]), &[]).code(1);
    assert!(ran.err.contains("10 November 2026 or 11 October 2026"), "{}", ran.err);
}

#[test]
fn a_text_that_stands_for_nothing_is_nothing() {
    let place = Place::new();
    assert_eq!(counts(&ingested(&place, "01-az-cli-query.json")), [4, 0, 0, 0]);
    let twin = ingested(&place, "01-raw-twin.jsonl");
    assert_eq!(counts(&twin), [0, 1, 0, 0], "the raw record is the export's first row");
    let rows = place.query(
        "SELECT operation_name, outcome, denial_reason, principal_type, principal_id, principal_name, object_name,
            object_version, caller_port, tls_version, extra FROM events ORDER BY correlation_id",
    );
    let expected = json!([
        [
            "SecretGet",
            "success",
            null,
            "managed_identity",
            "a41f0c2e-8f37-4b1d-9a0c-5e2d7b6c9f10",
            "id-billing",
            "db-password"
        ],
        ["Authentication", "challenge", null, "anonymous", null, null, "db-password"],
        ["SecretGet", "denied", "rbac", "application", "9a8b7c6d-5e4f-4a3b-8c2d-1e0f9a8b7c6d", null, "db-password"],
        ["VaultGet", "success", null, "user", "f2c7a9d1-6b4e-4c8a-9d3f-0a1b2c3d4e5f", "mara.lund@harbor.example", null],
    ]);
    let columns = [
        "operation_name",
        "outcome",
        "denial_reason",
        "principal_type",
        "principal_id",
        "principal_name",
        "object_name",
    ];
    for (row, expected) in rows.as_array().expect("rows").iter().zip(expected.as_array().expect("rows")) {
        let found: Vec<&Value> = columns.iter().map(|column| &row[*column]).collect();
        assert_eq!(json!(found), *expected);
        assert!(!row["extra"].as_str().unwrap_or_default().contains("None"), "{row}");
    }
}

#[test]
fn what_a_raw_record_writes_is_meant() {
    let place = Place::new();
    let mut record = crate::support::secret_get(1, 1.0);
    record["properties"]["clientInfo"] = json!("-");
    record["properties"]["id"] =
        json!("https://kv-shop-prod.vault.azure.net/secrets/none/0123456789abcdef0123456789abcdef");
    record["correlationId"] = json!("undefined");
    // Behind a row of an export, where the same texts are nothing.
    let row = json!({"TimeGenerated": "2026-10-01T00:00:02Z", "OperationName": "SecretGet", "SecretName": "null",
        "CallerIPAddress": "-", "clientInfo_s": "<null>", "CorrelationId": "NaN", "HttpStatus": "200", "UPN": "n/a"});
    let text = format!("{row}\n{record}\n{row}\n{record}\n");
    assert_eq!(counts(&run(&place, "mixed.jsonl", &text, &[]).code(0).json()), [2, 2, 0, 0]);
    let rows = place.query("SELECT client_info, object_name, correlation_id, caller_ip FROM events ORDER BY time");
    assert_eq!(
        rows,
        json!([
            {"client_info": "-", "object_name": "none", "correlation_id": "undefined", "caller_ip": "10.1.2.3"},
            {"client_info": null, "object_name": "null", "correlation_id": null, "caller_ip": null},
        ])
    );
}

#[test]
fn numbers_that_json_does_not_have() {
    let place = Place::new();
    let text = "[{\"TimeGenerated\":1795075200123,\"OperationName\":\"SecretGet\",\"httpStatusCode_d\":NaN,\"Vault\":\"KV-1\",\"DurationMs\":-Infinity}]";
    assert_eq!(counts(&run(&place, "nan.json", text, &[]).code(0).json()), [1, 0, 0, 0]);
    let rows = place.query("SELECT http_status_code, duration_ms, vault_name, extra FROM events");
    assert_eq!(rows[0]["http_status_code"], Value::Null);
    assert_eq!(rows[0]["vault_name"], "kv-1");
}

#[test]
fn the_portals_csv_of_a_european_browser_is_of_november() {
    let place = Place::new();
    assert_eq!(counts(&ingested(&place, "16-portal-ddmmyyyy.csv")), [3, 0, 0, 0]);
    assert_eq!(times(&place), ["2026-11-03T08:49:38", "2026-11-04T17:05:00", "2026-11-19T08:49:37"]);
}

#[test]
fn epochs_of_a_data_frame() {
    let place = Place::new();
    assert_eq!(counts(&ingested(&place, "43-pandas-epoch.jsonl")), [2, 0, 0, 0]);
    assert_eq!(times(&place), ["2026-11-19T08:00:00", "2026-11-19T08:01:00"]);
    let rows = place.query("SELECT outcome, http_status_code, duration_ms FROM events ORDER BY time");
    assert_eq!(rows[0], json!({"outcome": "success", "http_status_code": 200, "duration_ms": 16}));
    assert_eq!(rows[1]["outcome"], "denied");
}

#[test]
fn ten_spellings_of_an_identity() {
    let place = Place::new();
    let report = ingested(&place, "48-identity-oddities.jsonl");
    assert_eq!(counts(&report), [10, 0, 0, 0]);
    assert_eq!((report["without_caller"].as_u64(), report["without_status"].as_u64()), (Some(4), Some(0)));
    let rows = place.query("SELECT principal_id, principal_type, principal_name, app_id FROM events ORDER BY time");
    let expected = [
        ("11aa22bb-33cc-44dd-95ee-66ff77008811", "user"),
        ("live.com#solo@mail.example", "user"),
        ("abfa0a7c-a6b6-4736-8310-5855508787cd", "application"),
        ("aa11bb22-33cc-44dd-95ee-66ff77008899", "managed_identity"),
        ("f2c7a9d1-6b4e-4c8a-9d3f-0a1b2c3d4e5f", "user"),
        ("", "anonymous"),
        ("", "anonymous"),
        ("", "anonymous"),
        ("9a8b7c6d-5e4f-4a3b-8c2d-1e0f9a8b7c6d", "application"),
        ("", "anonymous"),
    ];
    for (n, (id, kind)) in expected.iter().enumerate() {
        assert_eq!(rows[n]["principal_id"].as_str().unwrap_or_default(), *id, "{n}");
        assert_eq!(rows[n]["principal_type"], *kind, "{n}");
    }
    assert_eq!(rows[1]["principal_name"], "live.com#solo@mail.example");
    assert_eq!(rows[1]["app_id"], "c44b4083-3bb0-49c1-b47d-974e53cbdf3c");
    let seen = place.query("SELECT DISTINCT principal_id FROM sightings WHERE principal_id LIKE 'live%'");
    assert_eq!(seen.as_array().map(Vec::len), Some(1), "{seen}");
}

fn csv(times: &[&str]) -> String {
    let rows = times.iter().enumerate().map(|(n, time)| {
        format!("\"{time}\",SecretGet,kv-harbor,db-{n},mara@harbor.example,203.0.113.{},200\r\n", n % 200)
    });
    "Timestamp,Operation,Vault Name,Secret Name,Caller,Client IP,Status Code\r\n".to_owned() + &rows.collect::<String>()
}

#[test]
fn a_file_that_allows_both_orders_is_refused_with_the_way_out() {
    let text = csv(&["5/11/2026, 3:04:05.123 PM", "6/11/2026, 3:04:05.123 PM"]);
    let place = Place::new();
    let refused = run(&place, "both.csv", &text, &[]).code(1);
    for word in ["both.csv", "5 November 2026", "11 May 2026", "--dates day-first", "--dates month-first"] {
        assert!(refused.err.contains(word), "{word}: {}", refused.err);
    }
    assert_eq!(counts(&refused.json()), [0, 0, 0, 0]);
    assert_eq!(counts(&run(&place, "both.csv", &text, &["--dates", "day-first"]).code(0).json()), [2, 0, 0, 0]);
    assert_eq!(times(&place), ["2026-11-05T15:04:05", "2026-11-06T15:04:05"]);
    let rows =
        place.query("SELECT vault_name, object_name, principal_id, caller_ip, outcome FROM events ORDER BY time");
    let first = json!({"vault_name": "kv-harbor", "object_name": "db-0", "principal_id": "mara@harbor.example",
        "caller_ip": "203.0.113.0", "outcome": "success"});
    assert_eq!(rows[0], first);

    let other = Place::new();
    let file = other.file("both.csv", &text).to_string_lossy().into_owned();
    let mut command = other.command(&["ingest", &file]);
    assert!(command.env("KVAUDIT_DATES", "month-first").output().expect("it starts").status.success());
    assert_eq!(times(&other), ["2026-05-11T15:04:05", "2026-06-11T15:04:05"]);
    let piped = Place::new();
    let refused = piped.run_with_input(&["ingest", "-"], text.as_bytes()).code(1);
    assert!(refused.err.contains("--dates day-first"), "{}", refused.err);
    let config = piped.file("kvaudit.toml", "[ingest]\ndates = \"day-first\"\nzone = \"+01:00\"\n");
    let config = config.to_string_lossy().into_owned();
    piped.run_with_input(&["ingest", "--config", &config, "-"], text.as_bytes()).code(0);
    assert_eq!(times(&piped), ["2026-11-05T14:04:05", "2026-11-06T14:04:05"]);
    let wrong = run(&place, "both.csv", &text, &["--dates", "year-first"]).code(2);
    assert!(wrong.err.contains("day-first or month-first"), "{}", wrong.err);
}

#[test]
fn one_row_of_a_file_decides_for_those_before_it() {
    // The row that decides lies behind what is looked at first, and behind what is held back in memory.
    for (rows, filler) in [(40, 0), (4_000, 6_000)] {
        let mut all = vec!["5/11/2026 15:04"; rows];
        all.push("19/11/2026 15:04");
        let place = Place::new();
        let text = csv(&all).replace("SecretGet,", &format!("SecretGet,{},", "x".repeat(filler)));
        let text = text.replace("Operation,", "Operation,Comment,");
        let report = run(&place, "late.csv", &text, &[]).code(0).json();
        assert_eq!((report["quarantined"].as_u64(), report["records_read"].as_u64()), (Some(0), Some(rows as u64 + 1)));
        assert_eq!(place.number("SELECT count(*) FROM events WHERE time < TIMESTAMP '2026-11-01T00:00:00Z'"), 0);
    }
}

#[test]
fn a_column_of_local_time_asks_for_the_zone() {
    let place = Place::new();
    let text = "timestamp [Local Time],OperationName,CallerIPAddress,httpStatusCode_d\n2026-11-05 15:04:05,SecretGet,203.0.113.1,200\n";
    let refused = run(&place, "local.csv", text, &[]).code(1);
    assert!(refused.err.contains("--zone") && refused.err.contains("timestamp [Local Time]"), "{}", refused.err);
    run(&place, "local.csv", text, &["--zone", "Europe/Berlin"]).code(0);
    assert_eq!(times(&place), ["2026-11-05T14:04:05"]);
    run(&place, "local.csv", text, &["--zone", "-05:00"]).code(0);
    assert_eq!(times(&place), ["2026-11-05T14:04:05", "2026-11-05T20:04:05"]);
    run(&place, "utc.csv", &text.replace("Local Time", "UTC"), &["--zone", "-05:00"]).code(0);
    assert_eq!(times(&place)[1], "2026-11-05T15:04:05");
}

#[test]
fn an_export_without_status_or_identity_is_remarked_on_by_name() {
    let place = Place::new();
    let rows: String =
        (0..217).map(|n| format!("2026-11-05T15:04:{:02}.{n:03}Z,SecretGet,Success,kv,s-{n}\n", n % 60)).collect();
    let text = format!("TimeGenerated,OperationName,ResultType,Vault,SecretName\n{rows}");
    let ran = run(&place, "stolen.csv", &text, &[]).code(0);
    let report = ran.json();
    assert_eq!(counts(&report), [217, 0, 0, 0]);
    assert_eq!((report["without_status"].as_u64(), report["without_caller"].as_u64()), (Some(217), Some(217)));
    for word in ["stolen.csv", "217", "httpStatusCode", "identity_claim_oid_g", "blind"] {
        assert!(ran.err.contains(word), "{word}: {}", ran.err);
    }
}

#[test]
fn the_end_of_a_request_is_found_in_its_text() {
    let place = Place::new();
    let text = "TimeGenerated,OperationName,ResultSignature,ResultDescription,Caller\n\
        2026-11-05T15:04:01Z,SecretGet,OK,,a@x.example\n\
        2026-11-05T15:04:02Z,SecretGet,Forbidden,,a@x.example\n\
        2026-11-05T15:04:03Z,SecretGet,,Caller is not authorized to perform action on resource.,a@x.example\n\
        2026-11-05T15:04:04Z,SecretGet,,A secret with (name/id) db was not found in this key vault.,a@x.example\n";
    let ran = run(&place, "texts.csv", text, &[]).code(0);
    assert_eq!(ran.json()["without_status"], 0, "{}", ran.err);
    assert!(!ran.err.contains("blind"), "{}", ran.err);
    let rows = place.query("SELECT outcome, denial_reason FROM events ORDER BY time");
    let found: Vec<&str> = rows.as_array().expect("rows").iter().filter_map(|row| row["outcome"].as_str()).collect();
    assert_eq!(found, ["success", "denied", "denied", "not_found"]);
    assert_eq!(rows[2]["denial_reason"], "rbac");
}
