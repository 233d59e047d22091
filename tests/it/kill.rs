//! Killing an ingest at any moment and running it again gives the same store.

use std::time::Duration;

use crate::support::{Place, lines, secret_get};

/// How often an ingest is killed. Each time at another moment, from just after the start to about its end.
const KILLS: u64 = 24;

#[test]
fn a_killed_ingest_that_runs_again_leaves_the_same_store() {
    let records: Vec<_> = (0..3_000).map(|n| secret_get(n, n as f64 * 40.0)).collect();
    let mut bytes = lines(&records);
    bytes.extend_from_slice(b"{\"time\": broken}\n");

    let whole = Place::new();
    let started = std::time::Instant::now();
    whole.ingest(&whole.file("a.json", &bytes));
    let takes = started.elapsed();
    let expected = contents(&whole);

    let place = Place::new();
    let file = place.file("a.json", &bytes);
    for kill in 0..KILLS {
        let mut child = place
            .command(&["ingest", "--format", "json", &file.to_string_lossy()])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("the program starts");
        std::thread::sleep(takes.mul_f64((kill as f64 + 0.5) / KILLS as f64) + Duration::from_millis(kill % 3));
        let _ = child.kill();
        child.wait().expect("the program ends");
        // Every few kills the store starts anew, so that its creation is interrupted too.
        if kill % 6 == 5 {
            finish_and_compare(&place, &expected);
            std::fs::remove_dir_all(place.store()).expect("the store goes");
        }
    }
    finish_and_compare(&place, &expected);
}

fn finish_and_compare(place: &Place, expected: &[serde_json::Value]) {
    let report = place.ingest(&place.path("a.json"));
    assert_eq!(report["records_read"], 3_001, "{report}");
    assert_eq!(contents(place), expected);
}

/// Everything in the store but for times of writing.
fn contents(place: &Place) -> Vec<serde_json::Value> {
    [
        "SELECT encode(event_id, 'hex') AS id, time, vault_name, principal_id, operation_name FROM events ORDER BY 2, 1",
        "SELECT hour, vault_name, principal_id, operation_name, outcome, calls, distinct_objects FROM activity ORDER BY 1, 2, 3, 4, 5",
        "SELECT day, principal_id, kind, value, calls FROM sightings ORDER BY 1, 2, 3, 4",
        "SELECT hour, vault_name, records FROM coverage ORDER BY 1, 2",
        "SELECT position, reason FROM quarantine ORDER BY 1",
    ]
    .iter()
    .map(|sql| place.query(sql))
    .collect()
}
