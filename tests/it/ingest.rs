//! Sources and shapes, told by content; counts that add up.

use serde_json::{Value, json};

use crate::support::{Place, gzip, lines, reads, secret_get};

#[track_caller]
fn written(report: &Value) -> u64 {
    let n = |name: &str| report[name].as_u64().unwrap_or_else(|| panic!("no {name} in {report}"));
    assert_eq!(n("records_read"), n("events_written") + n("duplicates") + n("skipped") + n("quarantined"), "{report}");
    n("events_written")
}

#[test]
fn every_envelope_and_compression_is_told_by_content_and_gives_the_same_events() {
    let records = reads(30);
    let plain = lines(&records);
    let text = |v: &Value| v.to_string().into_bytes();
    let envelopes: Vec<(&str, Vec<u8>)> = vec![
        ("lines", plain.clone()),
        ("lines without a last newline", plain[..plain.len() - 1].to_vec()),
        ("lines with CRLF and blank lines", records.iter().flat_map(|r| format!("{r}\r\n\r\n").into_bytes()).collect()),
        ("records object", text(&json!({"records": records}))),
        (
            "records object, pretty",
            serde_json::to_vec_pretty(&json!({"note": [1, {"records": 2}], "records": records})).unwrap(),
        ),
        ("array", text(&json!(records))),
        ("array, pretty", serde_json::to_vec_pretty(&json!(records)).unwrap()),
        (
            "Event Hub messages, a line each",
            records.chunks(7).flat_map(|c| format!("{}\n", json!({"records": c})).into_bytes()).collect(),
        ),
        (
            "pretty objects one after the other",
            records.iter().flat_map(|r| serde_json::to_vec_pretty(r).unwrap()).collect(),
        ),
        ("byte order mark", [b"\xef\xbb\xbf".to_vec(), plain.clone()].concat()),
        ("gzip", gzip(&plain)),
        ("gzip of two members", [gzip(&plain[..1000]), gzip(&plain[1000..])].concat()),
        ("zstd", zstd::encode_all(&plain[..], 3).unwrap()),
    ];
    let place = Place::new();
    let mut first = true;
    for (name, bytes) in envelopes {
        // The name lies about the content on purpose.
        let report = place.ingest(&place.file("in/export.csv.bin", bytes));
        assert_eq!(written(&report), if first { 30 } else { 0 }, "{name}: {report}");
        assert_eq!(report["duplicates"], if first { 0 } else { 30 }, "{name}: {report}");
        first = false;
    }
    assert_eq!(place.number("SELECT count(*) FROM events"), 30);
}

#[test]
fn one_pretty_printed_object_is_a_record() {
    let place = Place::new();
    let file = place.file("one.json", serde_json::to_vec_pretty(&secret_get(1, 0.0)).unwrap());
    assert_eq!(written(&place.ingest(&file)), 1);
}

#[test]
fn folders_globs_and_standard_input_are_sources() {
    let place = Place::new();
    let blob = |hour: u32| {
        format!(
            "logs/resourceId=/SUBSCRIPTIONS/1/RESOURCEGROUPS/RG/PROVIDERS/MICROSOFT.KEYVAULT/VAULTS/KV/y=2026/m=10/d=01/h={hour:02}/m=00/PT1H.json"
        )
    };
    for hour in 0..3 {
        let records: Vec<Value> =
            (0..5).map(|n| secret_get(u64::from(hour) * 10 + n, f64::from(hour) * 3600.0 + n as f64)).collect();
        place.file(&blob(hour), lines(&records));
    }
    place.file("logs/README.md", "not a log");
    assert_eq!(written(&place.ingest(&place.path("logs"))), 15);
    let glob = place.run(&["ingest", "--format", "json", "logs/*/*/*/*/*/*/*/*/*/*/*/*/h=01/m=00/*.json"]);
    let glob = if glob.code == 0 { glob } else { place.run(&["ingest", "--format", "json", "logs/**/h=01/**/*.json"]) };
    assert_eq!(glob.code(0).json()["duplicates"], 5);
    let piped = place.run_with_input(&["ingest", "--format", "json", "-"], &lines(&[secret_get(99, 99.0)])).code(0);
    assert_eq!(written(&piped.json()), 1);
    assert_eq!(place.number("SELECT count(*) FROM events"), 16);
}

#[test]
fn records_of_other_services_are_counted_and_left() {
    let place = Place::new();
    let mut foreign = secret_get(5, 5.0);
    foreign["resourceId"] =
        json!("/SUBSCRIPTIONS/1/RESOURCEGROUPS/RG/PROVIDERS/MICROSOFT.STORAGE/STORAGEACCOUNTS/LOGS");
    foreign["category"] = json!("StorageRead");
    foreign["operationName"] = json!("GetBlob");
    let report = place.ingest(&place.file("hub.json", lines(&[secret_get(1, 1.0), foreign])));
    assert_eq!((report["events_written"].as_u64(), report["skipped"].as_u64()), (Some(1), Some(1)), "{report}");
}

#[test]
fn the_json_report_is_one_object_with_the_contracts_fields() {
    let place = Place::new();
    let report = place.ingest(&place.file("a.json", lines(&reads(3))));
    let fields: Vec<&str> = report.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected = vec![
        "records_read",
        "events_written",
        "forms",
        "duplicates",
        "skipped",
        "quarantined",
        "incomplete",
        "without_status",
        "without_caller",
        "bytes_read",
        "seconds",
    ];
    expected.sort_unstable();
    let mut fields = fields;
    fields.sort_unstable();
    assert_eq!(fields, expected);
}

#[test]
fn half_a_line_at_the_end_waits_for_the_rest() {
    let place = Place::new();
    let whole = lines(&reads(3));
    let half = whole.len() - 400;
    let report = place.ingest(&place.file("growing.json", &whole[..half]));
    assert_eq!((written(&report), report["incomplete"].as_u64()), (2, Some(1)), "{report}");
    let report = place.ingest(&place.file("growing.json", &whole));
    assert_eq!(
        (written(&report), report["duplicates"].as_u64(), report["incomplete"].as_u64()),
        (1, Some(2), Some(0)),
        "{report}"
    );
}
