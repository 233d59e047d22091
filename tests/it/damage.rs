//! What a power cut, a careless hand or a full disk does to a store: said by name, with the way out, and mended where the rest
//! of the store allows it. Nothing reads as less than it was.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Place, Ran, lines, reads, secret_get};

/// Two commits to `events`, and roll-ups of both.
fn stored() -> Place {
    let place = Place::new();
    place.ingest(&place.file("a.json", lines(&reads(300)[..200])));
    place.ingest(&place.file("b.json", lines(&reads(300)[200..])));
    place
}

/// The newest file of a folder whose name ends so.
fn newest(folder: &Path, ending: &str) -> PathBuf {
    let files = std::fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path());
    let named = files.filter(|path| path.to_string_lossy().ends_with(ending));
    named.max_by_key(|path| (path.metadata().and_then(|about| about.modified()).ok(), path.clone())).expect("a file")
}

fn cut(path: &Path, keep: u64) {
    let file = std::fs::OpenOptions::new().write(true).open(path).expect("a file");
    file.set_len(keep).expect("a shorter file");
}

fn events(place: &Place) -> i64 {
    place.number("SELECT count(*) FROM events")
}

#[test]
fn a_damaged_log_of_events_is_refused_with_the_file_and_the_way_out() {
    type Harm = fn(&Path);
    let harms: [(&str, Harm, &str); 6] = [
        ("emptied", |log| cut(&newest(log, ".json"), 0), "ingest the last sources again"),
        ("cut in a line", |log| cut(&newest(log, ".json"), 100), "ingest the last sources again"),
        (
            "cut after a line",
            |log| {
                let path = newest(log, ".json");
                let text = std::fs::read_to_string(&path).expect("a commit");
                let lines: Vec<&str> = text.lines().collect();
                std::fs::write(&path, lines[..lines.len() - 1].join("\n")).expect("a shorter commit");
            },
            "ingest the last sources again",
        ),
        (
            "zeroed",
            |log| std::fs::write(newest(log, ".json"), [0; 500]).expect("zeros"),
            "ingest the last sources again",
        ),
        ("emptied in the middle", |log| cut(&log.join("00000000000000000001.json"), 0), "restore the file from a copy"),
        (
            "gone in the middle",
            |log| std::fs::remove_file(log.join("00000000000000000001.json")).expect("a commit"),
            "restore the file from a copy",
        ),
    ];
    for (name, harm, way_out) in harms {
        let place = stored();
        harm(&place.store().join("events/_delta_log"));
        for args in [&["query", "SELECT count(*) FROM events"][..], &["detect"], &["ingest", "a.json"]] {
            let ran = place.run(args).code(1);
            assert!(ran.err.contains("events/_delta_log/0000") && ran.err.contains(way_out), "{name}: {}", ran.err);
        }
    }
}

#[test]
fn a_table_of_events_that_is_gone_does_not_read_as_an_empty_one() {
    let place = stored();
    std::fs::remove_dir_all(place.store().join("events/_delta_log")).expect("a log");
    for args in [&["query", "SELECT count(*) FROM events"][..], &["detect"], &["ingest", "a.json"]] {
        let ran = place.run(args).code(1);
        assert!(ran.err.contains("_delta_log' is gone") && ran.err.contains("restore the file"), "{}", ran.err);
    }
    std::fs::remove_dir_all(place.store().join("events")).expect("a table");
    let ran = place.run(&["query", "SELECT count(*) FROM events"]).code(0);
    assert!(ran.err.contains("commits at its end are gone"), "{}", ran.err);
}

#[test]
fn after_the_newest_commit_was_moved_away_the_same_sources_complete_the_store() {
    let place = stored();
    let commit = newest(&place.store().join("events/_delta_log"), ".json");
    cut(&commit, 0);
    std::fs::rename(&commit, place.path("away")).unwrap();
    let ran = place.run(&["ingest", "--format", "json", "b.json"]).code(0);
    assert!(ran.err.contains("commits at its end are gone"), "{}", ran.err);
    assert_eq!(ran.json()["events_written"], 100, "{}", ran.err);
    assert_eq!((events(&place), place.number("SELECT sum(records) FROM coverage")), (300, 300));
}

#[test]
fn a_missing_or_short_file_of_events_is_refused() {
    for (keep, what) in [(None, "is missing"), (Some(0), "has 0 bytes"), (Some(1_000), "has 1000 bytes")] {
        let place = stored();
        let file = newest(&place.store().join("events"), ".parquet");
        match keep {
            None => std::fs::remove_file(&file).unwrap(),
            Some(bytes) => cut(&file, bytes),
        }
        let ran = place.run(&["query", "SELECT count(*) FROM events"]).code(1);
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        assert!(ran.err.contains(&name) && ran.err.contains(what) && ran.err.contains("restore"), "{}", ran.err);
    }
}

#[test]
fn a_damaged_checkpoint_is_done_without() {
    let place = Place::new();
    // A checkpoint is made at every fiftieth version.
    for n in 0..51 {
        place.run_with_input(&["ingest", "-"], &lines(&[secret_get(n, n as f64)])).code(0);
    }
    let log = place.store().join("events/_delta_log");
    let checkpoint = newest(&log, ".checkpoint.parquet");
    let hint = log.join("_last_checkpoint");
    let (whole, said) = (std::fs::read(&checkpoint).unwrap(), std::fs::read(&hint).unwrap());
    let harms: [(&str, &dyn Fn()); 4] = [
        ("a cut-off checkpoint", &|| cut(&checkpoint, 700)),
        ("an empty checkpoint", &|| cut(&checkpoint, 0)),
        ("no checkpoint", &|| std::fs::remove_file(&checkpoint).unwrap()),
        ("a cut-off hint", &|| cut(&hint, 5)),
    ];
    for (name, harm) in harms {
        std::fs::write(&checkpoint, &whole).unwrap();
        std::fs::write(&hint, &said).unwrap();
        harm();
        assert_eq!(events(&place), 51, "{name}");
    }
}

#[test]
fn damaged_rollups_are_rebuilt_from_the_events() {
    type Harm = fn(&Path);
    let harms: [(&str, Harm); 5] = [
        ("a file gone", |table| std::fs::remove_file(newest(table, ".parquet")).unwrap()),
        ("a file emptied", |table| cut(&newest(table, ".parquet"), 0)),
        ("a commit emptied", |table| cut(&newest(&table.join("_delta_log"), ".json"), 0)),
        ("a commit gone", |table| std::fs::remove_file(table.join("_delta_log/00000000000000000001.json")).unwrap()),
        ("all gone", |table| std::fs::remove_dir_all(table).unwrap()),
    ];
    let place = stored();
    let sums = "SELECT (SELECT sum(calls) FROM activity) AS a, (SELECT sum(calls) FROM sightings) AS s, \
                (SELECT sum(records) FROM coverage) AS c";
    let expected = place.query(sums);
    for (name, harm) in harms {
        for table in ["activity", "sightings", "coverage"] {
            harm(&place.store().join(table));
            let ran = place.run(&["query", "--format", "json", sums]).code(0);
            assert_eq!(ran.json(), expected, "{name}: {table}: {}", ran.err);
            assert!(ran.err.contains("made anew"), "{name}: {table}: {}", ran.err);
            assert_eq!(place.run(&["query", "--format", "json", sums]).code(0).err, "", "said once");
        }
    }
}

/// Ids and states of all alerts.
fn alerts(place: &Place) -> Vec<(String, String)> {
    let ran = place.run(&["alerts", "list", "--all", "--format", "json"]).code(0);
    let text = |alert: &Value, name: &str| alert[name].as_str().expect("a text").to_owned();
    let all = ran.json();
    let mut all: Vec<_> =
        all.as_array().expect("a list").iter().map(|a| (text(a, "alert_id"), text(a, "state"))).collect();
    all.sort();
    all
}

#[test]
fn a_lost_state_is_made_anew_from_the_exported_alerts() {
    let place = Place::sampled();
    let before = alerts(&place);
    let open: Vec<&String> = before.iter().filter(|(_, state)| state == "open").map(|(id, _)| id).collect();
    place.run(&["alerts", "ack", open[0], "--author", "me"]).code(0);
    place.run(&["alerts", "close", open[1], "--author", "me"]).code(0);
    let before = alerts(&place);
    let state = place.store().join("state.db");
    let harms: [(&str, &dyn Fn()); 2] =
        [("deleted", &|| std::fs::remove_file(&state).unwrap()), ("emptied", &|| cut(&state, 0))];
    for (name, harm) in harms {
        harm();
        let ran = place.run(&["alerts", "list"]).code(0);
        assert!(ran.err.contains("made anew") && ran.err.contains("suppressions"), "{name}: {}", ran.err);
        assert_eq!(alerts(&place), before, "{name}");
        assert!(!place.run(&["incidents", "list"]).code(0).out.contains("no incidents"), "{name}");
    }
    // Evaluated again, the alerts are the same ones.
    place.run(&["run", "--once", crate::support::SAMPLE]).code(0);
    assert_eq!(alerts(&place), before);
}

#[test]
fn a_malformed_state_is_named_with_the_way_out() {
    let place = Place::sampled();
    let before = alerts(&place);
    let state = place.store().join("state.db");
    let whole = std::fs::read(&state).unwrap();
    let mut holed = whole.clone();
    holed[4_096..].fill(0x5a);
    for (name, bytes) in [("cut", &whole[..whole.len() / 2]), ("holed", &holed[..]), ("noise", &[0x5a; 9_000][..])] {
        std::fs::write(&state, bytes).unwrap();
        let ran = place.run(&["alerts", "list"]).code(1);
        let path = state.display().to_string();
        assert!(ran.err.contains(&path) && ran.err.contains("move it away"), "{name}: {}", ran.err);
        std::fs::rename(&state, place.path(name)).unwrap();
        place.run(&["alerts", "list"]).code(0);
        assert_eq!(alerts(&place), before, "{name}: the way out leads out");
    }
}

#[test]
fn a_lost_table_of_alerts_is_written_anew_from_the_state() {
    let place = Place::sampled();
    let exported = place.number("SELECT count(*) FROM alerts");
    assert!(exported > 0);
    std::fs::remove_file(newest(&place.store().join("alerts"), ".parquet")).unwrap();
    let ran = place.run(&["alerts", "list"]).code(0);
    assert!(ran.err.contains("made anew"), "{}", ran.err);
    assert_eq!(place.number("SELECT count(*) FROM alerts"), exported);
}

/// Runs the program with this on its store before: a disk of its own, for instance. None where the system has no user namespaces.
#[allow(clippy::print_stderr, reason = "a test that could not be tried says so")]
fn within(place: &Place, before: &str, args: &str) -> Option<Ran> {
    let run = |script: &str| {
        std::process::Command::new("unshare")
            .args(["-rm", "bash", "-c", script])
            .env("KVAUDIT_STORE", place.store())
            .env_remove("KVAUDIT_CONFIG")
            .current_dir(place.dir.path())
            .output()
    };
    if !run("mount -t tmpfs none /mnt").is_ok_and(|output| output.status.success()) {
        eprintln!("no user namespaces here: this is not tried");
        return None;
    }
    let script = format!("{before} && {{ {} {args}; }}", env!("CARGO_BIN_EXE_kvaudit"));
    Some(run(&script).expect("unshare starts").into())
}

/// A store on a disk that may only be read.
fn read_only(place: &Place, args: &str) -> Option<Ran> {
    let store = place.store().display().to_string();
    within(place, &format!("mount --bind {store} {store} && mount -o remount,ro,bind {store}"), args)
}

#[test]
fn a_store_that_may_only_be_read_is_read() {
    let place = Place::sampled();
    let list = |ran: &Ran| ran.json().as_array().map(Vec::len);
    let expected = alerts(&place);
    let alert = &expected[0].0;
    let Some(ran) = read_only(&place, "alerts list --all --format json") else { return };
    let ran = ran.code(0);
    assert_eq!(list(&ran), Some(expected.len()));
    assert!(ran.err.contains("may only be read"), "{}", ran.err);
    for (args, word) in [
        (format!("alerts show {alert}"), alert.as_str()),
        ("incidents list".to_owned(), "kvaudit incidents"),
        ("query --format csv 'SELECT count(*) AS n FROM events'".to_owned(), "n"),
        ("query --format csv 'SELECT count(*) AS n FROM alerts'".to_owned(), "n"),
    ] {
        let ran = read_only(&place, &args).unwrap().code(0);
        assert!(ran.out.contains(word) || ran.out.lines().count() > 2, "{args}: {} {}", ran.out, ran.err);
    }
    // Detections are evaluated, and nothing is written. One will do: all of them take minutes unoptimised.
    let rule = ran.json()[0]["rule_id"].as_str().expect("a rule").to_owned();
    let detect = ["detect", "--format", "json", "--from", "2020-01-01", "--rule", rule.as_str()];
    let writable = Place::sampled().run(&detect).code(0);
    let ran = read_only(&place, &detect.join(" ")).unwrap().code(0);
    assert!(list(&writable) > Some(0), "{}", writable.out);
    assert_eq!(list(&ran), list(&writable), "{}", ran.err);
    assert!(ran.err.contains("not recorded"), "{}", ran.err);
    // What changes something says why it cannot.
    place.file("more.json", lines(&reads(3)));
    for args in [format!("alerts ack {alert}"), "ingest more.json".to_owned()] {
        let ran = read_only(&place, &args).unwrap();
        assert!(ran.code == 1 && ran.err.contains("store"), "{args}: {}", ran.err);
    }
    assert_eq!(alerts(&place), expected);
}

#[test]
fn a_store_without_a_readable_state_shows_the_exported_alerts() {
    let place = Place::sampled();
    let expected = alerts(&place);
    std::fs::remove_file(place.store().join("state.db")).unwrap();
    let Some(ran) = read_only(&place, "alerts list --all --format json") else { return };
    let ran = ran.code(0);
    assert_eq!(ran.json().as_array().map(Vec::len), Some(expected.len()), "{}", ran.err);
    assert!(ran.err.contains("last exported"), "{}", ran.err);
    assert!(!place.store().join("state.db").exists());
}

/// KiB that a folder takes.
fn kibibytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path());
    let size = |path: PathBuf| {
        if path.is_dir() { kibibytes(&path) } else { path.metadata().map_or(0, |m| m.len().div_ceil(4_096) * 4) }
    };
    entries.map(size).sum()
}

#[test]
fn a_full_disk_says_what_stands_and_the_same_command_completes_it() {
    // Records so large that they make two commits.
    let records = (0..20_000).map(|n| {
        let mut record = secret_get(n, n as f64);
        record["properties"]["padding"] = format!("{n}{}", "x".repeat(4_000)).into();
        record
    });
    let bytes = lines(&records.collect::<Vec<_>>());
    let whole = Place::new();
    whole.ingest(&whole.file("a.json", &bytes));
    let size = kibibytes(&whole.store());
    drop(whole);
    let mut stopped = Vec::new();
    for percent in [30, 85, 95] {
        let place = Place::new();
        let file = place.file("a.json", &bytes);
        let (store, disk) = (place.store().display().to_string(), place.path("disk"));
        std::fs::create_dir_all(place.store()).unwrap();
        std::fs::create_dir_all(&disk).unwrap();
        // The disk goes with the namespace: what stood on it is copied out and gone on with.
        let before = format!("mount -t tmpfs -o size={}k none {store}", size * percent / 100);
        let args =
            format!("ingest --format json {}; code=$?; cp -a {store}/. {}; exit $code", file.display(), disk.display());
        let Some(ran) = within(&place, &before, &args) else { return };
        std::fs::remove_dir_all(place.store()).unwrap();
        std::fs::rename(&disk, place.store()).unwrap();
        if ran.code != 0 {
            assert!(ran.err.contains("no space left") && ran.err.contains("twice"), "{percent}: {}", ran.err);
            stopped.push(ran.err);
        }
        place.run(&["ingest", "--format", "json", "a.json"]).code(0);
        assert_eq!((events(&place), place.number("SELECT sum(records) FROM coverage")), (20_000, 20_000), "{percent}");
    }
    assert!(!stopped.is_empty(), "no disk was small enough");
}
