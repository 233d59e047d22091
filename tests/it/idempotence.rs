//! A record is stored once, whichever way and however often it comes.

use serde_json::{Map, Value};

use crate::support::{Place, lines, reads, secret_get};

#[test]
fn the_same_file_twice_and_repeats_within_a_file_are_duplicates() {
    let place = Place::new();
    let records = reads(20);
    let doubled: Vec<Value> = records.iter().chain(&records).cloned().collect();
    let report = place.ingest(&place.file("a.json", lines(&doubled)));
    assert_eq!((report["events_written"].as_u64(), report["duplicates"].as_u64()), (Some(20), Some(20)));
    let report = place.ingest(&place.path("a.json"));
    assert_eq!((report["events_written"].as_u64(), report["duplicates"].as_u64()), (Some(0), Some(40)));
    assert_eq!(place.number("SELECT count(*) FROM events"), 20);
    assert_eq!(place.number("SELECT CAST(sum(calls) AS BIGINT) FROM activity"), 20);
}

#[test]
fn key_order_white_space_and_letter_case_of_the_resource_do_not_make_another_record() {
    let place = Place::new();
    let record = secret_get(1, 1.0);
    let reversed: Map<String, Value> = record.as_object().unwrap().clone().into_iter().rev().collect();
    let reversed_text = {
        let fields: Vec<String> = reversed.iter().map(|(k, v)| format!(" \"{k}\" :\t{v}")).collect();
        format!("{{{}}}\n", fields.join(" ,\r"))
    };
    let lower = {
        let mut r = record.clone();
        r["resourceId"] = Value::String(record["resourceId"].as_str().unwrap().to_lowercase());
        r
    };
    let mut bytes = lines(&[record.clone(), lower]);
    bytes.extend(reversed_text.into_bytes());
    let report = place.ingest(&place.file("a.json", bytes));
    assert_eq!((report["events_written"].as_u64(), report["duplicates"].as_u64()), (Some(1), Some(2)), "{report}");
}

#[test]
fn records_that_differ_in_one_telling_field_are_all_kept() {
    let place = Place::new();
    let base = secret_get(1, 1.0);
    let change = |pointer: &str, value: Value| {
        let mut r = base.clone();
        *r.pointer_mut(pointer).expect("the field") = value;
        r
    };
    let records = vec![
        base.clone(),
        change("/time", "2026-10-01T00:00:01.0000002Z".into()),
        change("/correlationId", "00000001-0000-4000-8000-000000000001".into()),
        change("/callerIpAddress", "10.1.2.4".into()),
        change("/durationMs", "19".into()),
        change("/properties/httpStatusCode", 403.into()),
        change("/identity/claim/oid", "aaaaaaaa-0000-0000-0000-000000000002".into()),
        change("/operationName", "SecretList".into()),
        change("/properties/requestUri", "https://kv-shop-prod.vault.azure.net/secrets/other?api-version=7.4".into()),
    ];
    let report = place.ingest(&place.file("a.json", lines(&records)));
    assert_eq!(report["events_written"].as_u64(), Some(records.len() as u64), "{report}");
}

#[test]
fn two_ingests_at_once_into_one_store_write_every_record_once() {
    let place = Place::new();
    let records = reads(600);
    let left = place.file("left.json", lines(&records[..400]));
    let right = place.file("right.json", lines(&records[200..]));
    let spawn = |path: &std::path::Path| {
        let mut command = place.command(&["ingest", "--format", "json", &path.to_string_lossy()]);
        command
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("the program starts")
    };
    let children: Vec<_> = [&left, &right, &left, &right].into_iter().map(|p| spawn(p)).collect();
    let mut written = 0;
    for child in children {
        let ran: crate::support::Ran = child.wait_with_output().expect("the program ends").into();
        written += ran.code(0).json()["events_written"].as_u64().unwrap();
    }
    assert_eq!(written, 600);
    assert_eq!(place.number("SELECT count(*) FROM events"), 600);
    assert_eq!(place.number("SELECT count(DISTINCT event_id) FROM events"), 600);
    assert_eq!(place.number("SELECT CAST(sum(calls) AS BIGINT) FROM activity"), 600);
    assert_eq!(place.number("SELECT CAST(sum(records) AS BIGINT) FROM coverage"), 600);
}
