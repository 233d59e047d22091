//! Limits on what people's SQL and detections take: whatever they do, the command ends in time, memory stays bounded, and
//! the other detections go on.

use std::io::Read;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Place, Ran, lines, reads};

/// A command that ended, how long it took, and the most memory that it or a process of its own held, in MiB.
struct Watched {
    ran: Ran,
    time: Duration,
    peak: u64,
}

/// The most memory that a process held, in MiB; 0 where it is gone or the system does not say.
fn held(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()).unwrap_or(0) / 1024
}

/// Processes that a process started.
fn children(id: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|id| id.parse().ok()).collect()
}

fn watched(place: &Place, args: &[&str]) -> Watched {
    let temporary = place.path("tmp");
    std::fs::create_dir_all(&temporary).expect("a folder");
    let begun = Instant::now();
    let mut command = place.command(args);
    command.env("TMPDIR", &temporary).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let gather = |mut pipe: Box<dyn Read + Send>| {
        std::thread::spawn(move || {
            let mut text = String::new();
            let _ = pipe.read_to_string(&mut text);
            text
        })
    };
    let out = gather(Box::new(child.stdout.take().expect("a pipe")));
    let err = gather(Box::new(child.stderr.take().expect("a pipe")));
    let mut peak = 0;
    let status = loop {
        let family = [child.id()].into_iter().chain(children(child.id()));
        peak = family.map(held).max().unwrap_or(0).max(peak);
        if let Some(status) = child.try_wait().expect("a child") {
            break status;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let time = begun.elapsed();
    let [out, err] = [out, err].map(|pipe| pipe.join().expect("a reader"));
    let left: Vec<_> = std::fs::read_dir(&temporary).expect("a folder").flatten().map(|entry| entry.path()).collect();
    assert!(left.is_empty(), "files are left behind: {left:?}\n{err}");
    Watched { ran: Ran { code: status.code().unwrap_or(-1), out, err }, time, peak }
}

fn place(records: u64) -> Place {
    let place = Place::new();
    place.ingest(&place.file("a.json", lines(&reads(records))));
    place
}

/// A column that every step of a `WITH` makes longer.
fn ladder(step: &str, levels: usize) -> String {
    let steps: Vec<String> = (1..=levels).map(|n| format!("s{n} AS (SELECT {step} AS x FROM s{})", n - 1)).collect();
    let steps = steps.join(", ");
    format!("WITH s0 AS (SELECT request_uri AS x FROM events), {steps} SELECT sum(length(x)) FROM s{levels}")
}

/// A value that every level makes ten times as long.
fn grown(value: &str, levels: usize) -> String {
    (0..levels).fold(value.to_owned(), |inner, _| format!("replace({inner}, 'a', 'aaaaaaaaaa')"))
}

#[test]
fn a_query_ends_in_time_whatever_its_plan_does() {
    let place = place(5_000);
    let doubling = {
        let steps: Vec<String> =
            (1..40).map(|n| format!("s{n} AS (SELECT a.x FROM s{0} a JOIN s{0} b ON a.x = b.x)", n - 1)).collect();
        format!("WITH s0 AS (SELECT 1 AS x), {} SELECT count(*) FROM s39", steps.join(", "))
    };
    for sql in [
        // Many rows out of few, which yields nowhere by itself.
        "SELECT sum(a.duration_ms + b.duration_ms + c.duration_ms) FROM events a, events b, events c".to_owned(),
        // The same without a row that comes out.
        "SELECT count(*) FROM events a CROSS JOIN events b JOIN events c \
         ON a.duration_ms + b.duration_ms + c.duration_ms < 0"
            .to_owned(),
        "SELECT sum(length(a.request_uri || b.request_uri)) FROM events a, events b, events c \
         WHERE a.request_uri || b.object_name < c.request_uri || 'x'"
            .to_owned(),
        // A plan that doubles with every step.
        doubling,
    ] {
        let Watched { ran, time, .. } = watched(&place, &["query", "--timeout", "2s", &sql]);
        let ran = ran.code(1);
        assert!(ran.err.contains("longer than 2s"), "{sql}\n{}", ran.err);
        assert!(ran.out.is_empty() && ran.err.lines().count() == 1, "{sql}\n{}", ran.err);
        // The command opens the store before its time runs, on a machine that is busy.
        assert!(time < Duration::from_secs(20), "{sql}: {time:?}");
    }
}

#[test]
fn a_value_that_grows_costs_the_query_and_not_the_machine() {
    let place = place(500);
    for sql in [
        format!("SELECT length({})", grown("'aaaaaaaaaa'", 9)),
        format!("SELECT sum(length({})) FROM events", grown("request_uri", 9)),
        ladder("concat(x, x)", 34),
        ladder("x || x", 34),
        ladder("translate(concat(x, x, x, x), 'a', 'b')", 17),
        ladder("encode(concat(x, x), 'hex')", 17),
        "SELECT length(string_agg(a.request_uri || b.request_uri || c.request_uri, ',')) FROM events a, events b, events c"
            .to_owned(),
        "SELECT cardinality(array_agg(a.request_uri || b.request_uri || c.request_uri)) FROM events a, events b, events c"
            .to_owned(),
        ladder("regexp_replace(x, 'a', 'aaaaaaaaaa', 'g')", 12),
        ladder("array_to_string(make_array(x, x, x, x), '')", 17),
    ] {
        let short: String = sql.chars().take(90).collect();
        let Watched { ran, peak, .. } = watched(&place, &["query", "--timeout", "15s", "--memory", "128", &sql]);
        let ran = ran.code(1);
        assert!(ran.err.contains("memory") || ran.err.contains("longer than 15s"), "{short}\n{}", ran.err);
        assert!(ran.out.is_empty(), "{short}\n{}", ran.out);
        assert!(peak < 1_400, "{short}: {peak} MiB");
    }
}

#[test]
fn sql_that_is_too_deep_is_refused_and_kills_nothing() {
    let place = place(5);
    let chain = |piece: &str, count: usize| vec![piece; count].join("");
    for sql in [
        format!("SELECT 1{}", chain(" + 1", 200_000)),
        format!("SELECT 'a'{}", chain("||'a'", 150_000)),
        format!("SELECT 1{}", chain("::bigint", 100_000)),
        format!("SELECT {}1{}", chain("(", 200_000), chain(")", 200_000)),
        format!("SELECT {}1", chain("NOT ", 200_000)),
        format!("SELECT {}1", chain("- ", 200_000)),
        format!("SELECT 1{}", chain(" UNION ALL SELECT 1", 40_000)),
        format!("SELECT {}1{}", chain("abs(", 100_000), chain(")", 100_000)),
        format!("SELECT {}1{}", chain("CASE WHEN true THEN ", 40_000), chain(" END", 40_000)),
        format!("{}SELECT 1{}", chain("SELECT * FROM (", 50_000), chain(")", 50_000)),
    ] {
        let file = place.file("deep.sql", &sql);
        let ran = place.run(&["query", "--timeout", "30s", "-f", &file.to_string_lossy()]);
        assert_eq!(ran.code, 1, "{}\n{}", &sql[..60], ran.err.chars().take(600).collect::<String>());
        assert!(ran.err.starts_with("kvaudit: ") && ran.err.len() < 2_000, "{}\n{}", &sql[..60], ran.err);
    }
}

#[test]
fn what_spills_is_bounded_and_the_message_says_so() {
    let place = place(3_000);
    let sql = "SELECT sum(n) FROM (SELECT row_number() OVER (ORDER BY b.correlation_id, a.correlation_id) AS n \
               FROM events a, events b)";
    let args = ["query", "--timeout", "120s", "--memory", "16", "--spill", "8", sql];
    let Watched { ran, peak, .. } = watched(&place, &args);
    let ran = ran.code(1);
    assert!(ran.err.contains("to disk") && ran.err.contains("8.0 MB"), "{}", ran.err);
    assert!(peak < 700, "{peak} MiB");
}

/// A detection of the user's own: every secret read is a finding, with this as its evidence.
fn rule(title: &str, evidence: &str, from: &str) -> String {
    format!(
        "-- +++\n-- title = \"{title}\"\n-- description = \"A fixture.\"\n-- severity = \"low\"\n\
         -- status = \"experimental\"\n-- techniques = [\"T1530\"]\n-- key = [\"principal_id\"]\n-- every = \"1h\"\n\
         -- window = \"1h\"\n-- quiet_for = \"1h\"\n-- false_positives = [\"Everybody.\"]\n-- response = \"None.\"\n\
         -- references = []\n-- false_alarm_rate = \"None.\"\n-- +++\n\
         SELECT date_bin($every, e.time) AS window_start, date_bin($every, e.time) + $window AS window_end, e.principal_id,\n\
         count(*) AS observed, 0.0 AS expected, count(*) AS event_count, {evidence} AS grown\n\
         FROM {from} WHERE e.time >= $from - $lookback AND e.time < $to\n\
         AND date_bin($every, e.time) + $window > $from AND date_bin($every, e.time) + $window <= $to\n\
         GROUP BY 1, 2, 3\n"
    )
}

#[test]
fn a_detection_that_takes_too_much_fails_by_name_and_the_others_go_on() {
    let place = place(2_000);
    place.file("rules/a_good.sql", rule("Good", "1", "events e"));
    place.file("rules/b_bomb.sql", rule("Bomb", &format!("max(length({}))", grown("e.request_uri", 8)), "events e"));
    place.file("rules/c_repeat.sql", rule("Repeat", "max(length(repeat(e.request_uri, 5000000)))", "events e"));
    place.file("rules/d_slow.sql", rule("Slow", "count(b.time)", "events e, events b, events c, events d"));
    place.file("rules/e_broken.sql", rule("Broken", "no_such_column", "events e"));
    place.file("rules/f_good.sql", rule("Good too", "2", "events e"));
    let config = place.file("k.toml", "[rules]\nfolder = 'rules'\n[limits]\nrule_memory = 256\n");
    let config = config.to_string_lossy();
    let mut args = vec!["detect", "--config", &config, "--format", "json", "--rule-timeout", "10s"];
    // A built-in one among them; all would take a minute without optimisation.
    for rule in ["a_good", "b_bomb", "c_repeat", "d_slow", "e_broken", "f_good", "throttling"] {
        args.extend(["--rule", rule]);
    }
    let Watched { ran, peak, .. } = watched(&place, &args);
    let ran = ran.code(1);
    let alerts = ran.json();
    let found = |id: &str| alerts.as_array().is_some_and(|all| all.iter().any(|a| a["rule_id"] == id));
    assert!(found("a_good") && found("f_good"), "{alerts}\n{}", ran.err);
    let said = |id: &str| ran.err.lines().find(|line| line.starts_with(&format!("rule {id} failed: "))).unwrap_or("");
    let bomb = said("b_bomb");
    assert!(bomb.contains("256 MiB of memory") || bomb.contains("longer than 10s"), "{}", ran.err);
    assert!(said("c_repeat").contains("256 MiB of memory"), "{}", ran.err);
    assert!(said("d_slow").contains("longer than 10s") && said("d_slow").contains("--rule-timeout"), "{}", ran.err);
    assert!(said("e_broken").contains("no_such_column"), "{}", ran.err);
    assert_eq!(ran.err.matches(" failed: ").count(), 4, "{}", ran.err);
    assert!(peak < 1_400, "{peak} MiB");
    let listed = place.run(&["alerts", "list", "--format", "json"]).code(0).json();
    assert_eq!(listed.as_array().map(Vec::len), alerts.as_array().map(Vec::len), "what was found is kept");
}

#[test]
fn a_detection_of_ones_own_finds_the_same_as_a_built_in_one() {
    let place = Place::sampled();
    let all = |place: &Place| -> Vec<Value> {
        let listed =
            place.run(&["alerts", "list", "--all", "--rule", "mass_secret_read", "--format", "json"]).code(0).json();
        let mut alerts = listed.as_array().expect("alerts").clone();
        for alert in &mut alerts {
            for field in ["created_at", "updated_at"] {
                alert[field] = Value::Null;
            }
        }
        alerts
    };
    let before = all(&place);
    assert!(!before.is_empty());
    let sql = place.run(&["rules", "show", "mass_secret_read"]).code(0).out;
    place.file("rules/mass_secret_read.sql", sql);
    let config = place.file("k.toml", "[rules]\nfolder = 'rules'\n");
    place
        .run(&["detect", "--from", "60d", "--rule", "mass_secret_read", "--config", &config.to_string_lossy()])
        .code(0);
    assert_eq!(before, all(&place));
}

#[test]
fn every_detection_has_its_time() {
    let place = place(200);
    let ran = place.run(&["detect", "--rule", "mass_secret_read", "--rule-timeout", "1ns"]).code(1);
    assert!(ran.err.contains("rule mass_secret_read failed: ") && ran.err.contains("longer than 1ns"), "{}", ran.err);
    for wrong in ["soon", "0s"] {
        let ran = place.run(&["detect", "--rule-timeout", wrong]).code(2);
        assert!(ran.err.contains("such as 90s or 10m"), "{}", ran.err);
    }
}
