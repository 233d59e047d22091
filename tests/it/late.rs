//! Records that come late, records that are dated ahead, a clock that is wrong, and what the summary says of each.

use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{Place, Ran, lines, secret_get};

const HOUR: f64 = 3600.0;
const DAY: f64 = 24.0 * HOUR;
/// Later than all records.
const LATER: &str = "2027-06-01T00:00:00Z";

/// A quiet company, a read an hour of one service from `from` to `to` in days, and a thief's sweep on some days: another
/// caller that reads sixty secrets within minutes.
fn log(days: std::ops::Range<u64>, thefts: &[u64]) -> Vec<Value> {
    let mut records = Vec::new();
    for day in days {
        let start = day as f64 * DAY;
        records.extend((0..24).map(|hour| secret_get(day * 1000 + hour, start + hour as f64 * HOUR + 60.0)));
        if thefts.contains(&day) {
            records.extend((0..60).map(|n| theft(day * 1000 + 100 + n, start + 10.0 * HOUR + n as f64 * 5.0, n)));
        }
    }
    records
}

fn theft(n: u64, seconds: f64, object: u64) -> Value {
    let mut record = secret_get(n, seconds);
    let id = format!("https://kv-shop-prod.vault.azure.net/secrets/other-{object}/0123456789abcdef0123456789abcdef");
    record["identity"]["claim"] = json!({"oid": "aaaaaaaa-0000-0000-0000-00000000000f",
        "appid": "bbbbbbbb-0000-0000-0000-00000000000f", "idtyp": "user", "upn": "mara.lund@example.com"});
    record["callerIpAddress"] = json!("203.0.113.7");
    record["properties"]["id"] = json!(id);
    record["properties"]["requestUri"] = json!(format!("{id}?api-version=7.4"));
    record
}

/// A read of one vault at a time of its own.
fn wild(n: u64, days: f64) -> Value {
    secret_get(900_000 + n, days * DAY)
}

/// A place whose configuration leaves these detections on, and no others: a test need not wait for all.
fn with_rules(rules: &[&str]) -> Place {
    let place = Place::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("queries/detections");
    let files = std::fs::read_dir(folder).expect("the detections").flatten();
    let ids = files.filter_map(|file| file.file_name().to_string_lossy().strip_suffix(".sql").map(str::to_owned));
    let off: Vec<String> = ids.filter(|id| !rules.contains(&id.as_str())).collect();
    place.file("kvaudit.toml", format!("[rules]\noff = {off:?}\n"));
    place
}

/// The program as of a day.
fn at(place: &Place, now: &str, args: &[&str]) -> Ran {
    let mut command = place.command(args);
    command.env("KVAUDIT_NOW", now);
    if place.path("kvaudit.toml").exists() {
        command.env("KVAUDIT_CONFIG", place.path("kvaudit.toml"));
    }
    command.stdin(Stdio::null()).output().expect("the program starts").into()
}

/// The program as of a day after all records, the wild ones too.
fn kvaudit(place: &Place, args: &[&str]) -> Ran {
    at(place, LATER, args)
}

/// As of a day that lies after all records, the wild ones too.
fn ingest(place: &Place, name: &str, records: &[Value]) {
    let file = place.file(name, lines(records));
    kvaudit(place, &["ingest", &file.to_string_lossy()]).code(0);
}

/// Rule, window and caller of each alert: what must be the same however the records came.
fn shapes(alerts: &Value) -> Vec<String> {
    let shape = |a: &Value| {
        format!(
            "{} {} {} {} {} {}",
            a["rule_id"],
            a["window_start"],
            a["window_end"],
            a["finding_count"],
            a["severity"],
            a["entities"]["principal_id"]
        )
    };
    let mut shapes: Vec<String> = alerts.as_array().expect("alerts").iter().map(shape).collect();
    shapes.sort();
    shapes
}

fn alerts(place: &Place) -> Vec<String> {
    shapes(&kvaudit(place, &["alerts", "list", "--all", "--format", "json"]).code(0).json())
}

fn of_rule<'a>(shapes: &'a [String], rule: &str) -> Vec<&'a String> {
    shapes.iter().filter(|shape| shape.starts_with(&format!("\"{rule}\""))).collect()
}

/// The arguments of the command that a message offers, behind `kvaudit`.
fn offered(ran: &Ran) -> Option<Vec<String>> {
    let line = ran.err.lines().find(|line| line.contains("stale:"))?;
    let command = line.split("kvaudit detect").nth(1)?;
    Some(std::iter::once("detect").chain(command.split_whitespace()).map(str::to_owned).collect())
}

fn run(place: &Place, args: &[String]) -> Ran {
    kvaudit(place, &args.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn a_day_that_arrives_late_is_listed_as_stale_until_it_is_evaluated() {
    let whole = with_rules(&["mass_secret_read"]);
    let file = whole.file("all.json", lines(&log(0..12, &[8])));
    kvaudit(&whole, &["run", "--once", &file.to_string_lossy()]).code(0);
    let expected = alerts(&whole);
    assert!(!of_rule(&expected, "mass_secret_read").is_empty(), "{expected:?}");

    // Night after night; the records of the day of the theft come three days late.
    let place = with_rules(&["mass_secret_read"]);
    let days: Vec<Vec<Value>> = (0..12).map(|day| log(day..day + 1, &[8])).collect();
    ingest(&place, "first.json", &days[..8].concat());
    kvaudit(&place, &["detect", "--from", "2026-10-01"]).code(0);
    for (name, day) in [("9", 9), ("10", 10)] {
        ingest(&place, name, &days[day]);
        kvaudit(&place, &["detect"]).code(0);
    }
    ingest(&place, "8", &days[8]);
    ingest(&place, "11", &days[11]);
    let nightly = kvaudit(&place, &["detect", "--format", "json"]).code(0);
    assert!(nightly.json().is_array(), "the output stays an array of alerts");
    assert!(nightly.err.contains("stale: windows that ended from 2026-10-09 00:00 to "), "{}", nightly.err);
    assert!(of_rule(&alerts(&place), "mass_secret_read").is_empty());

    let heal = offered(&nightly).expect("a command that heals");
    assert!(heal.contains(&"--from".to_owned()) && heal.contains(&"--to".to_owned()), "{heal:?}");
    let healed = run(&place, &heal).code(0);
    assert!(!healed.err.contains("stale"), "{}", healed.err);
    assert_eq!(alerts(&place), expected);
    let quiet = kvaudit(&place, &["detect"]).code(0);
    assert!(!quiet.err.contains("stale"), "{}", quiet.err);
}

#[test]
fn an_hour_that_was_read_in_part_is_evaluated_again_by_the_next_detect() {
    let place = with_rules(&["mass_secret_read"]);
    let theft: Vec<Value> = (0..60).map(|n| theft(500 + n, 9.0 * DAY + n as f64 * 5.0, n)).collect();
    ingest(&place, "a", &[log(0..9, &[]), theft[..3].to_vec()].concat());
    kvaudit(&place, &["detect", "--from", "2026-10-01"]).code(0);
    assert!(of_rule(&alerts(&place), "mass_secret_read").is_empty());
    // The rest of that hour comes with the next day and a half: within the time allowed to late records.
    let later: Vec<Value> = log(9..12, &[]).into_iter().take(40).collect();
    ingest(&place, "b", &[theft[3..].to_vec(), later].concat());
    let next = kvaudit(&place, &["detect"]).code(0);
    assert!(!next.err.contains("stale"), "{}", next.err);
    assert!(!of_rule(&alerts(&place), "mass_secret_read").is_empty());
}

#[test]
fn records_in_any_order_give_the_same_alerts_once_they_are_healed() {
    let whole = with_rules(&["mass_secret_read"]);
    let all = log(0..10, &[2, 5, 9]);
    let file = whole.file("all.json", lines(&all));
    kvaudit(&whole, &["run", "--once", &file.to_string_lossy()]).code(0);

    let place = with_rules(&["mass_secret_read"]);
    let mut last = None;
    // A part holds every third record: each brings records to nearly every hour, the last of them the theft's middle.
    for part in [1, 0, 2] {
        let records: Vec<Value> = all.iter().skip(part).step_by(3).cloned().collect();
        ingest(&place, &part.to_string(), &records);
        last = Some(kvaudit(&place, &["detect"]).code(0));
    }
    let heal = last.as_ref().and_then(offered).expect("a command that heals");
    let healed = run(&place, &heal).code(0);
    assert!(!healed.err.contains("stale"), "{}", healed.err);
    assert_eq!(alerts(&place), alerts(&whole));
}

#[test]
fn a_record_seven_weeks_ahead_does_not_move_the_last_day() {
    let clean = with_rules(&["mass_secret_read"]);
    ingest(&clean, "a", &log(0..10, &[9]));
    let expected = shapes(&kvaudit(&clean, &["detect", "--format", "json"]).code(0).json());
    assert!(!of_rule(&expected, "mass_secret_read").is_empty());

    let place = with_rules(&["mass_secret_read"]);
    ingest(&place, "a", &[log(0..10, &[9]), vec![wild(0, 59.5), wild(1, 80.0)]].concat());
    let found = kvaudit(&place, &["detect", "--format", "json"]).code(0);
    assert_eq!(shapes(&found.json()), expected);
    for part in ["2 records (kv-shop-prod 2) lie 49 days", "2026-10-10 23:01", "--to 2026-12-20T00:00:01Z"] {
        assert!(found.err.contains(part), "no '{part}' in {}", found.err);
    }
    let relative = kvaudit(&place, &["detect", "--from", "24h", "--format", "json"]).code(0);
    assert_eq!(shapes(&relative.json()), expected);
    let listed = kvaudit(&place, &["alerts", "list", "--since", "24h", "--format", "json"]).code(0).json();
    assert_eq!(shapes(&listed), expected);
    let beyond = kvaudit(&place, &["detect", "--to", "2026-12-20T00:00:01Z", "--from", "2026-11-20"]);
    assert!(beyond.code(0).err.contains("They were evaluated all the same"));
}

#[test]
fn the_summary_names_what_lies_ahead_and_no_vault_is_called_silent_for_it() {
    let place = with_rules(&["log_silence", "old_tls"]);
    // Two vaults that always log, and a third whose one record is dated five days ahead.
    let mut records = log(0..30, &[]);
    let other = |record: &Value, vault: &str| {
        let text = record.to_string().replace("KV-SHOP-PROD", &vault.to_uppercase()).replace("kv-shop-prod", vault);
        serde_json::from_str::<Value>(&text).expect("JSON")
    };
    let twins: Vec<Value> = records.iter().map(|record| other(record, "kv-bill-prod")).collect();
    records.extend(twins);
    records.push(other(&wild(0, 35.2), "kv-odd-prod"));
    let file = place.file("all.json", lines(&records));
    let ran = kvaudit(&place, &["run", "--once", &file.to_string_lossy()]).code(0);
    assert!(ran.out.contains("2026-10-01 00:01 to 2026-10-30 23:01 UTC"), "{}", ran.out);
    assert!(ran.err.contains("1 record (kv-odd-prod 1) lie"), "{}", ran.err);
    assert!(of_rule(&alerts(&place), "log_silence").is_empty());
}

#[test]
fn a_clock_that_lies_behind_is_reported_for_what_it_is() {
    let place = with_rules(&["old_tls"]);
    let file = place.file("all.json", lines(&log(0..2, &[])));
    let file: &Path = &file;
    let file = file.to_string_lossy();
    for args in [&["ingest", &file][..], &["run", "--once", &file]] {
        let ran = at(&place, "2025-10-01T00:00:00Z", args).code(1);
        for part in [
            "says 2025-10-01 00:00 UTC",
            "48 of 48 records",
            "2026-10-01 00:01 to 2026-10-02 23:01 UTC",
            "clock is behind",
        ] {
            assert!(ran.err.contains(part), "no '{part}' in {}", ran.err);
        }
        assert!(!ran.err.contains("give a folder or file"), "{}", ran.err);
    }
    // Part of it can be read: a warning.
    let ran = at(&place, "2026-09-30T12:00:00Z", &["ingest", &file]).code(0);
    assert!(ran.err.contains("36 of 48 records"), "{}", ran.err);
    // The way out that it names.
    let text = ran.err.split("KVAUDIT_NOW=").nth(1).and_then(|text| text.split_whitespace().next()).expect("a time");
    let healed = at(&place, text, &["ingest", "--format", "json", &file]).code(0);
    assert_eq!(healed.json()["events_written"], 36);
    assert!(!healed.err.contains("clock"), "{}", healed.err);
}

#[test]
fn damaged_times_are_not_blamed_on_the_clock() {
    let place = Place::new();
    let mut records = log(0..1, &[]);
    for (n, record) in records.iter_mut().enumerate().take(20) {
        record["time"] = json!(format!("{}-01-01T00:00:00Z", 2200 + n * 30));
    }
    let file = place.file("all.json", lines(&records));
    let ran = kvaudit(&place, &["ingest", &file.to_string_lossy()]).code(0);
    assert!(ran.err.contains("went to quarantine") && !ran.err.contains("clock is behind"), "{}", ran.err);
    let ran = at(&place, "yesterday", &["ingest", &file.to_string_lossy()]).code(2);
    assert!(ran.err.contains("KVAUDIT_NOW = 'yesterday' is not a time"), "{}", ran.err);
}

/// Reads by one caller, without some field.
fn without(records: &[Value], field: &str) -> Vec<Value> {
    let mut records = records.to_vec();
    for record in &mut records {
        for object in ["properties", ""] {
            let object = if object.is_empty() { &mut *record } else { &mut record[object] };
            object.as_object_mut().expect("an object").remove(field);
        }
    }
    records
}

#[test]
fn detections_that_are_blind_to_a_log_are_named() {
    let whole = log(0..3, &[2]);
    let statusless = without(&without(&whole, "httpStatusCode"), "resultSignature");
    let callerless = without(&whole, "identity");
    for (records, says, blind, sees) in [
        (&statusless, "of kv-shop-prod have no status; detections blind to them: ", "mass_secret_read", " near_limit"),
        (
            &callerless,
            "of kv-shop-prod name no caller; detections blind to them: ",
            "off_hours_read",
            "unauthenticated_probe",
        ),
    ] {
        let place = with_rules(&["mass_secret_read", "near_limit", "off_hours_read", "unauthenticated_probe"]);
        let file = place.file("all.json", lines(records));
        let ran = kvaudit(&place, &["run", "--once", &file.to_string_lossy()]).code(0);
        // A later command knows it too, from the store.
        let detected = kvaudit(&place, &["detect", "--format", "json"]).code(0);
        assert!(detected.json().is_array());
        for told in [ran.err, detected.err] {
            let line = told.lines().find(|line| line.contains(says)).unwrap_or_else(|| panic!("no '{says}' in {told}"));
            assert!(line.contains(blind) && !line.contains(sees), "{line}");
        }
    }
    let place = with_rules(&["mass_secret_read", "near_limit", "off_hours_read", "unauthenticated_probe"]);
    let file = place.file("all.json", lines(&whole));
    let ran = kvaudit(&place, &["run", "--once", &file.to_string_lossy()]).code(0);
    assert!(!ran.err.contains("blind"), "{}", ran.err);
}
