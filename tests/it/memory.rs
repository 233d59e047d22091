//! Memory does not follow the input: each run below has a limit on the process that the size of its input would break.

use std::path::Path;

use serde_json::json;

use crate::support::{Place, Ran, lines, secret_get};

/// Ingests under a limit on the process's data: heap, and stacks of its threads, touched or not.
fn ingest_within(place: &Place, mebibytes: u64, source: &Path) -> Ran {
    let script = format!(
        "ulimit -d {}; exec {} ingest --format json {}",
        mebibytes * 1024,
        env!("CARGO_BIN_EXE_kvaudit"),
        source.display()
    );
    let output = std::process::Command::new("bash")
        .args(["-c", &script])
        .env("KVAUDIT_STORE", place.store())
        .current_dir(place.dir.path())
        .output()
        .expect("bash starts");
    Ran::from(output)
}

#[test]
fn many_small_files_take_no_more_than_a_few() {
    let place = Place::new();
    for n in 0..2_000 {
        place.file(&format!("logs/{}/{n}.json", n % 50), lines(&[secret_get(n, n as f64)]));
    }
    let ran = ingest_within(&place, 400, &place.path("logs")).code(0);
    assert_eq!(ran.json()["events_written"], 2_000, "{}", ran.err);
}

#[test]
fn many_bad_lines_take_no_more_than_a_few() {
    let place = Place::new();
    let mut bytes = lines(&[secret_get(1, 1.0)]);
    bytes.extend(b"x\n".repeat(400_000));
    bytes.extend(lines(&[secret_get(2, 2.0)]));
    let file = place.file("bad.json", bytes);
    let ran = ingest_within(&place, 400, &file).code(0);
    let report = ran.json();
    assert_eq!((&report["events_written"], &report["quarantined"]), (&json!(2), &json!(400_000)), "{}", ran.err);
}

#[test]
fn long_bad_lines_take_no_more_than_a_few() {
    let place = Place::new();
    let line = [vec![b'x'; 60_000], b"\n".to_vec()].concat();
    let file = place.file("bad.json", [lines(&[secret_get(1, 1.0)]), line.repeat(6_000)].concat());
    let ran = ingest_within(&place, 600, &file).code(0);
    assert_eq!(ran.json()["quarantined"], 6_000, "{}", ran.err);
}

#[test]
fn garbage_within_one_record_is_counted_and_not_kept_piece_by_piece() {
    let place = Place::new();
    let mut bytes = lines(&[secret_get(1, 1.0)]);
    bytes.extend(b"[[");
    bytes.extend(b"1,".repeat(1_000_000));
    bytes.extend(b"1]]\n");
    bytes.extend(lines(&[secret_get(2, 2.0)]));
    let file = place.file("bad.json", bytes);
    let ran = ingest_within(&place, 400, &file).code(0);
    assert_eq!(ran.json()["events_written"], 2, "{}", ran.err);
    let told = place.query("SELECT reason FROM quarantine WHERE reason LIKE '%more pieces%'");
    assert!(told[0]["reason"].as_str().is_some_and(|reason| reason.contains(" more pieces of one text")), "{told}");
}

#[test]
fn many_records_take_no_more_than_a_few() {
    let place = Place::new();
    let records: Vec<_> = (0..80_000).map(|n| secret_get(n, n as f64 * 10.0)).collect();
    let file = place.file("a.json", lines(&records));
    drop(records);
    let ran = ingest_within(&place, 600, &file).code(0);
    assert_eq!(ran.json()["events_written"], 80_000, "{}", ran.err);
}

#[test]
fn remarks_on_very_many_files_are_told_for_the_first_ones() {
    let place = Place::new();
    for n in 0..300 {
        let mut bytes = lines(&[secret_get(n, n as f64)]);
        bytes.extend(b"{\"time\":\"2026-10");
        place.file(&format!("logs/{n:03}.json"), bytes);
    }
    let ran = place.run(&["ingest", "--format", "json", "logs"]).code(0);
    assert_eq!(ran.json()["incomplete"], 300);
    assert!(ran.err.lines().count() < 50 && ran.err.contains("280 more"), "{}", ran.err);
}
