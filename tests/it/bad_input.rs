//! Bad input: a message that says what, where and what to do; nothing lost, nothing written twice, no panic.

use serde_json::{Value, json};

use crate::support::{Place, Ran, gzip, gzip_best, lines, reads, secret_get};

/// Ingests bytes between two good records and returns the run.
fn ingest(place: &Place, name: &str, bytes: &[u8]) -> Ran {
    let file = place.file(name, bytes);
    place.run(&["ingest", "--format", "json", &file.to_string_lossy()])
}

#[track_caller]
fn counts(ran: &Ran) -> (u64, u64, u64) {
    let report = ran.json();
    let n = |name: &str| report[name].as_u64().expect("a count");
    (n("events_written"), n("quarantined"), n("incomplete"))
}

#[test]
fn a_truncated_gzip_gives_what_it_holds_and_says_so() {
    let place = Place::new();
    let records: Vec<Value> = reads(5_000);
    let whole = gzip(&lines(&records));
    let ran = ingest(&place, "cut.json.gz", &whole[..whole.len() / 2]).code(1);
    let (written, quarantined, _) = counts(&ran);
    assert!(written > 1_000 && written < 5_000, "{written}");
    assert_eq!(quarantined, 0);
    assert!(ran.err.contains("cut.json.gz"), "{}", ran.err);
    // The whole file later completes the store.
    let ran = ingest(&place, "cut.json.gz", &whole).code(0);
    assert_eq!(ran.json()["duplicates"].as_u64(), Some(written));
    assert_eq!(place.number("SELECT count(*) FROM events"), 5_000);
}

#[test]
fn pieces_that_are_no_event_go_to_quarantine_and_the_rest_is_read() {
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let nested = {
        let record = secret_get(50, 50.0).to_string();
        format!("{{\"deep\":{deep},{}", &record[1..])
    };
    let with_time = |time: &str| {
        let mut record = secret_get(51, 51.0);
        record["time"] = json!(time);
        record.to_string().into_bytes()
    };
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("invalid UTF-8", b"{\"time\":\"2026-10-01T00:00:00Z\",\"operationName\":\"\xff\xfe\"}".to_vec(), "UTF-8"),
        ("no JSON", b"hello, I am a log line".to_vec(), ""),
        ("nesting", nested.into_bytes(), "nest"),
        ("a time in 1601", with_time("1601-01-01T00:00:00Z"), "1601"),
        ("a time in 9999", with_time("9999-12-31T23:59:59.9999999Z"), "9999"),
        ("no time", b"{\"operationName\":\"SecretGet\",\"category\":\"AuditEvent\",\"resourceId\":\"/SUBSCRIPTIONS/1/RESOURCEGROUPS/R/PROVIDERS/MICROSOFT.KEYVAULT/VAULTS/V\"}".to_vec(), "time"),
    ];
    for (name, bad, reason) in cases {
        let place = Place::new();
        let mut bytes = lines(&[secret_get(1, 1.0)]);
        bytes.extend(&bad);
        bytes.push(b'\n');
        bytes.extend(lines(&[secret_get(2, 2.0)]));
        for round in 0..2 {
            let ran = ingest(&place, "bad.json", &bytes).code(0);
            assert_eq!(counts(&ran), (if round == 0 { 2 } else { 0 }, 1, 0), "{name}: {}", ran.err);
            assert!(ran.err.contains("quarantine"), "{name}: {}", ran.err);
        }
        let rows = place.query("SELECT source, position, reason FROM quarantine");
        assert_eq!(rows.as_array().map(Vec::len), Some(1), "{name}: nothing is written twice: {rows}");
        assert!(rows[0]["reason"].as_str().unwrap().contains(reason), "{name}: {rows}");
        assert!(rows[0]["source"].as_str().unwrap().contains("bad.json"), "{name}: {rows}");
        assert_eq!(rows[0]["position"].as_i64(), Some(lines(&[secret_get(1, 1.0)]).len() as i64), "{name}: {rows}");
    }
}

#[test]
fn a_wrong_clock_does_not_move_the_last_day() {
    let place = Place::new();
    let mut future = secret_get(9, 9.0);
    future["time"] = json!("2031-01-01T00:00:00Z");
    ingest(&place, "a.json", &lines(&[secret_get(1, 1.0), future])).code(0);
    let rows = place.query("SELECT max(time) AS last FROM events");
    assert!(rows[0]["last"].as_str().unwrap().starts_with("2026-10-01"), "{rows}");
}

#[test]
fn a_wrong_type_in_any_field_loses_no_record() {
    let base = secret_get(1, 1.0);
    let mut paths: Vec<String> = Vec::new();
    walk(&base, "", &mut paths);
    let wrong = [
        json!(null),
        json!(17),
        json!(-1.5e300),
        json!(true),
        json!([1, [2]]),
        json!({"a": {"b": "c"}}),
        json!("\u{0}\u{202e}😀"),
    ];
    let mut records = Vec::new();
    for path in paths.iter().filter(|p| p.as_str() != "/time") {
        for value in &wrong {
            let mut record = secret_get(records.len() as u64, records.len() as f64);
            *record.pointer_mut(path).expect("the path") = value.clone();
            records.push(record);
        }
    }
    let place = Place::new();
    let ran = ingest(&place, "types.json", &lines(&records)).code(0);
    let report = ran.json();
    assert_eq!(report["quarantined"], 0, "{report}");
    let kept = report["events_written"].as_u64().unwrap() + report["skipped"].as_u64().unwrap();
    assert_eq!(kept, records.len() as u64, "{report}");
    // Only a resource id or category that is none of Key Vault's may make it another service's.
    assert!(report["skipped"].as_u64().unwrap() <= 2 * wrong.len() as u64, "{report}");
}

fn walk(value: &Value, path: &str, paths: &mut Vec<String>) {
    for (name, inner) in value.as_object().into_iter().flatten() {
        let path = format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"));
        walk(inner, &path, paths);
        paths.push(path);
    }
}

#[test]
fn a_hundred_megabyte_line_meets_a_limit_and_the_rest_is_read() {
    let place = Place::new();
    let mut bytes = lines(&[secret_get(1, 1.0)]);
    bytes.extend(b"{\"time\":\"");
    bytes.resize(bytes.len() + 100 * 1024 * 1024, b'x');
    bytes.extend(b"\"}\n");
    bytes.extend(lines(&[secret_get(2, 2.0)]));
    let ran = ingest(&place, "long.json", &bytes).code(0);
    assert_eq!(counts(&ran), (2, 1, 0));
    let rows = place.query("SELECT reason, length(encode(bytes, 'hex')) / 2 AS kept FROM quarantine");
    assert!(rows[0]["kept"].as_i64().unwrap() <= 64 * 1024, "{rows}");
}

#[test]
fn a_gzip_bomb_meets_a_limit_with_a_reason() {
    let place = Place::new();
    let mut bomb = lines(&[secret_get(1, 1.0)]);
    bomb.resize(200 * 1024 * 1024, b' ');
    let ran = ingest(&place, "bomb.gz", &gzip_best(&bomb)).code(1);
    assert!(ran.err.contains("bomb.gz") && ran.err.contains("times"), "{}", ran.err);
    assert_eq!(place.number("SELECT count(*) FROM events"), 1);
}

#[test]
fn empty_files_are_nothing_and_empty_folders_are_wrong() {
    let place = Place::new();
    assert_eq!(counts(&ingest(&place, "empty.json", b"").code(0)), (0, 0, 0));
    assert_eq!(counts(&ingest(&place, "blank.json", b"\n \n").code(0)), (0, 0, 0));
    std::fs::create_dir(place.path("folder")).unwrap();
    let ran = place.run(&["ingest", "folder"]).code(1);
    assert!(ran.err.contains("folder"), "{}", ran.err);
    let ran = place.run(&["ingest", "nowhere.json"]).code(1);
    assert!(ran.err.contains("nowhere.json"), "{}", ran.err);
}

#[test]
fn a_file_that_cannot_be_opened_does_not_stop_the_others() {
    let place = Place::new();
    place.file("logs/a.json", lines(&[secret_get(1, 1.0)]));
    // A link to nowhere is what a file looks like that vanished after the folder was listed.
    std::os::unix::fs::symlink(place.path("gone"), place.path("logs/b.json")).unwrap();
    place.file("logs/c.json", lines(&[secret_get(2, 2.0)]));
    let ran = place.run(&["ingest", "--format", "json", "logs"]).code(1);
    assert_eq!(counts(&ran).0, 2);
    assert!(ran.err.contains("b.json"), "{}", ran.err);
}

#[test]
fn a_store_of_another_version_and_a_folder_that_is_no_store_are_refused() {
    let place = Place::new();
    ingest(&place, "a.json", &lines(&reads(1))).code(0);
    let marker = place.store().join("kvaudit.json");
    let text = std::fs::read_to_string(&marker).unwrap();
    let mut value: Value = serde_json::from_str(&text).unwrap();
    let key = value
        .as_object()
        .unwrap()
        .keys()
        .find(|k| k.contains("version") && value[k.as_str()].is_u64())
        .expect("a version")
        .clone();
    value[&key] = json!(999);
    std::fs::write(&marker, value.to_string()).unwrap();
    for args in [&["ingest", "a.json"][..], &["query", "SELECT 1"], &["detect"]] {
        let ran = place.run(args).code(1);
        assert!(ran.err.contains("999"), "{}", ran.err);
    }
    let other = Place::new();
    other.file("store/precious.txt", "mine");
    other.file("a.json", lines(&reads(1)));
    let ran = other.run(&["ingest", "a.json"]).code(1);
    assert!(ran.err.contains("store"), "{}", ran.err);
    let ran = Place::new().run(&["query", "SELECT 1"]).code(1);
    assert!(ran.err.contains("no store"), "{}", ran.err);
}

#[test]
fn a_full_disk_fails_with_a_reason_and_loses_nothing() {
    // A file system of its own, two megabytes large, needs root; elsewhere the limit on a file's size stands in.
    let place = Place::new();
    let records: Vec<Value> = (0..20_000).map(|n| secret_get(n, n as f64)).collect();
    let file = place.file("a.json", lines(&records));
    let program = env!("CARGO_BIN_EXE_kvaudit");
    let script = format!("ulimit -f 64; trap '' XFSZ; exec {program} ingest --format json {}", file.display());
    let output = std::process::Command::new("bash")
        .args(["-c", &script])
        .env("KVAUDIT_STORE", place.store())
        .current_dir(place.dir.path())
        .output()
        .expect("bash starts");
    let ran = Ran::from(output).code(1);
    assert!(ran.err.contains("store") || ran.err.contains("large"), "{}", ran.err);
    let report = place.ingest(&file);
    assert_eq!(report["events_written"], 20_000, "{report}");
    assert_eq!(place.number("SELECT count(*) FROM events"), 20_000);
}
