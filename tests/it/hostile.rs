//! What a hostile log, folder or question may try: bombs, links that loop, names that command, SQL that reaches out. It held
//! when it was tried by hand, and holds since.

use serde_json::{Value, json};

use crate::support::{Place, gzip, gzip_best, lines, reads, secret_get};

/// A record of somebody with this in every name that Azure lets a caller or an owner choose.
fn record_of(n: u64, name: &str) -> Value {
    let mut record = secret_get(n, n as f64);
    record["identity"]["claim"] = json!({"oid": name, "upn": name, "name": name, "idtyp": "user", "appid": name});
    record["properties"]["clientInfo"] = json!(name);
    record["properties"]["requestUri"] =
        json!(format!("https://kv-shop-prod.vault.azure.net/secrets/{name}?api-version=7.4"));
    record["properties"]["id"] = json!(format!("https://kv-shop-prod.vault.azure.net/secrets/{name}"));
    record
}

/// Reads enough of them in a minute that an alert tells of it, by a detection of the test's own.
fn alerted(name: &str) -> Place {
    let place = Place::new();
    let records: Vec<Value> = (0..8).map(|n| record_of(n, name)).collect();
    place.ingest(&place.file("a.json", lines(&records)));
    let rule = include_str!("../../src/detection/testdata/busy_caller.sql");
    let rule = rule
        .replace(
            "    principal_id,\n",
            "    principal_id, max(principal_name) AS principal_name, max(client_info) AS client_product,\n",
        )
        .replace(
            " principal_id, object_name, time\n",
            " principal_id, object_name, principal_name, client_info, time\n",
        );
    place.file("rules/busy_caller.sql", rule);
    let config = place.file("k.toml", "[rules]\nfolder = 'rules'\n");
    place.run(&["--config", &config.to_string_lossy(), "detect", "--rule", "busy_caller"]).code(0);
    place
}

const NAMES: [&str; 6] = [
    "\u{1b}]0;owned\u{7}\u{1b}[2J\u{1b}[31mred",
    "\u{9b}31m\u{90}q\u{9c}",
    "gpj.\u{202e}exe\u{2066}\u{200b}",
    "line\r\nkvaudit: 0 alerts",
    "=HYPERLINK(\"http://x\",\"y\")",
    "<script>alert(1)</script>\"' onload=x",
];

#[test]
fn names_that_command_are_shown_and_not_obeyed() {
    let hides = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    for name in NAMES {
        let place = alerted(name);
        let alerts = place.run(&["alerts", "list", "--format", "json"]).code(0);
        let alert = alerts.json()[0].clone();
        let id = alert["alert_id"].as_str().unwrap_or_else(|| panic!("an alert: {}", alerts.out)).to_owned();
        let incident = alert["incident_id"].as_str().expect("an incident").to_owned();
        assert_eq!(alert["entities"]["client_product"], name, "JSON carries it as it is");
        let sql = "SELECT principal_id, principal_name, object_name, client_info, request_uri, extra FROM events";
        for args in [
            vec!["alerts", "list"],
            vec!["alerts", "show", &id],
            vec!["incidents", "list"],
            vec!["incidents", "show", &incident],
            vec!["query", sql],
            vec!["query", "SELECT * FROM events"],
            vec!["alerts", "list", "--format", "csv"],
            vec!["incidents", "list", "--format", "csv"],
            vec!["query", "--format", "csv", sql],
            vec!["alerts", "list", "--caller", name],
        ] {
            let ran = place.run(&args);
            let csv = args.contains(&"csv");
            let shown = |text: &str| text.chars().filter(|c| !(csv && matches!(c, '\r' | '\t'))).any(hides);
            assert!(
                !shown(&ran.out) && !hidden_in(&ran.err, hides),
                "{args:?} of {name:?}: {:?} {:?}",
                ran.out,
                ran.err
            );
            assert!(!ran.out.lines().any(|line| line == "kvaudit: 0 alerts") || csv, "{args:?}: {:?}", ran.out);
            if csv {
                let mut reader = csv::Reader::from_reader(ran.out.as_bytes());
                for cell in
                    reader.records().flat_map(|row| row.expect("CSV").iter().map(str::to_owned).collect::<Vec<_>>())
                {
                    let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']) && cell.parse::<f64>().is_err();
                    assert!(!formula, "{args:?} of {name:?}: {cell:?}");
                }
            }
        }
    }
}

fn hidden_in(text: &str, hides: impl Fn(char) -> bool) -> bool {
    text.chars().any(hides)
}

#[test]
fn bombs_meet_a_limit_and_what_they_hold_before_is_kept() {
    let first = lines(&[secret_get(1, 1.0)]);
    let blank = |mib: usize| {
        let mut bytes = first.clone();
        bytes.resize(mib << 20, b' ');
        bytes
    };
    let zeros = {
        let mut bytes = first.clone();
        bytes.resize(100 << 20, 0);
        bytes
    };
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("bomb.zst", zstd::encode_all(&blank(100)[..], 3).expect("zstd")),
        ("bomb.json.gz", gzip_best(&blank(100))),
        ("zeros.json.gz", gzip_best(&zeros)),
    ];
    for (name, bytes) in cases {
        let place = Place::new();
        let (bomb, good) = (place.file(name, bytes), place.file("good.json", lines(&[secret_get(2, 2.0)])));
        let ran = place.run(&["ingest", "--format", "json", &bomb.to_string_lossy(), &good.to_string_lossy()]).code(1);
        assert!(ran.err.contains(name), "{name}: {}", ran.err);
        assert_eq!(place.number("SELECT count(*) FROM events"), 2, "{name}");
    }
    // A bomb within a file is not opened: what is inside is no record.
    let place = Place::new();
    let twice = place.file("twice.json.gz", gzip(&gzip_best(&blank(100))));
    let ran = place.run(&["ingest", "--format", "json", &twice.to_string_lossy()]);
    assert!(ran.code <= 1 && ran.err.contains("twice.json.gz"), "{} {}", ran.code, ran.err);
}

#[test]
fn nesting_of_any_kind_costs_one_record() {
    let deep = |open: &str, close: &str, n: usize| format!("{}1{}", open.repeat(n), close.repeat(n));
    let inside = |value: &str| {
        let record = secret_get(7, 7.0).to_string();
        format!("{{\"deep\":{value},{}", &record[1..])
    };
    for (name, bad) in [
        ("lists", inside(&deep("[", "]", 200_000))),
        ("objects", inside(&deep("{\"a\":", "}", 100_000))),
        ("both", inside(&deep("[{\"a\":", "}]", 80_000))),
        ("text in text", inside(&serde_json::to_string(&deep("[", "]", 200_000)).expect("text"))),
    ] {
        let place = Place::new();
        let mut bytes = lines(&[secret_get(1, 1.0)]);
        bytes.extend(format!("{bad}\n").into_bytes());
        bytes.extend(lines(&[secret_get(2, 2.0)]));
        let file = place.file("deep.json", bytes);
        let report = place.run(&["ingest", "--format", "json", &file.to_string_lossy()]).code(0).json();
        let whole =
            report["events_written"].as_u64().expect("a count") + report["quarantined"].as_u64().expect("a count");
        assert_eq!(whole, 3, "{name}: {report}");
        assert!(report["events_written"].as_u64() >= Some(2), "{name}: {report}");
    }
}

#[cfg(unix)]
#[test]
fn links_that_loop_end_in_a_folder_and_in_a_glob() {
    use std::os::unix::fs::symlink;
    let place = Place::new();
    place.file("logs/day/a.json", lines(&[secret_get(1, 1.0)]));
    place.file("logs/day/b.json", lines(&[secret_get(2, 2.0)]));
    for (target, link) in [
        ("logs", "logs/up"),
        ("logs/day", "logs/day/same"),
        ("logs/loop-b", "logs/loop-a"),
        ("logs/loop-a", "logs/loop-b"),
        ("logs/day/self.json", "logs/day/self.json"),
        ("logs/day/a.json", "logs/day/twice.json"),
    ] {
        symlink(place.path(target), place.path(link)).expect("a link");
    }
    for source in ["logs", "logs/**/*.json", "logs/*/*/*/*/*.json", "logs/**", "log*/**/day/*"] {
        let place_ = Place::new();
        let ran = place
            .command(&["ingest", "--format", "json", source])
            .env("KVAUDIT_STORE", place_.store())
            .output()
            .expect("the program starts");
        let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        assert!(ran.status.code().is_some_and(|code| code <= 1), "{source}: {err}");
        let report: Value = serde_json::from_str(&out).unwrap_or(Value::Null);
        let written = report["events_written"].as_u64().unwrap_or(0);
        assert!(written == 2 || (source.contains("*/*/*/*/*") && written <= 2), "{source}: {out}{err}");
    }
}

#[test]
fn sql_reaches_no_file_and_changes_nothing() {
    let place = Place::new();
    place.ingest(&place.file("a.json", lines(&reads(50))));
    let secret = place.file("secret.csv", "a,b\n1,2\n");
    let parquet = std::fs::read_dir(place.store().join("events")).expect("the table").flatten().map(|e| e.path());
    let parquet = parquet.filter(|p| p.extension().is_some_and(|e| e == "parquet")).last().expect("a file");
    let (secret, parquet) = (secret.to_string_lossy(), parquet.to_string_lossy());
    let before = place.query("SELECT count(*) AS n, max(time) AS last FROM events");
    for sql in [
        format!("SELECT * FROM '{secret}'"),
        format!("SELECT * FROM \"{secret}\""),
        format!("SELECT * FROM 'file://{secret}'"),
        format!("SELECT * FROM '{parquet}'"),
        "SELECT * FROM 'https://example.com/x.csv'".to_owned(),
        "SELECT * FROM 's3://bucket/x.parquet'".to_owned(),
        "SELECT * FROM '/etc/passwd'".to_owned(),
        format!("SELECT * FROM read_csv('{secret}')"),
        format!("SELECT * FROM read_parquet('{parquet}')"),
        format!("SELECT * FROM parquet_metadata('{parquet}')"),
        format!("SELECT * FROM parquet_scan('{parquet}')"),
        "SELECT * FROM generate_series(1, 4000000000)".to_owned(),
        "SELECT * FROM range(1, 4000000000)".to_owned(),
        format!("COPY events TO '{}/out.csv'", place.path("").display()),
        format!("COPY (SELECT * FROM events) TO '{}/out' STORED AS PARQUET", place.path("").display()),
        format!("EXPLAIN ANALYZE COPY events TO '{}/out.csv'", place.path("").display()),
        format!("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '{secret}'"),
        format!("CREATE OR REPLACE EXTERNAL TABLE events STORED AS CSV LOCATION '{secret}'"),
        "CREATE TABLE t (a INT)".to_owned(),
        "CREATE OR REPLACE TABLE events AS SELECT 1".to_owned(),
        "CREATE SCHEMA s".to_owned(),
        "CREATE DATABASE d".to_owned(),
        "CREATE FUNCTION f(INT) RETURNS INT RETURN $1".to_owned(),
        "DROP TABLE events".to_owned(),
        "DROP SCHEMA public CASCADE".to_owned(),
        "ALTER TABLE events RENAME TO e".to_owned(),
        "INSERT INTO events SELECT * FROM events".to_owned(),
        "EXPLAIN ANALYZE INSERT INTO events SELECT * FROM events".to_owned(),
        "UPDATE events SET vault_name = 'x'".to_owned(),
        "DELETE FROM events".to_owned(),
        "TRUNCATE TABLE events".to_owned(),
        "MERGE INTO events USING events e ON true WHEN MATCHED THEN DELETE".to_owned(),
        "SET datafusion.execution.target_partitions = 1".to_owned(),
        "RESET datafusion.execution.target_partitions".to_owned(),
        "PREPARE p AS SELECT 1".to_owned(),
        "EXECUTE p".to_owned(),
        "BEGIN".to_owned(),
        "COMMIT".to_owned(),
        "ATTACH DATABASE 'x' AS y".to_owned(),
        "LOAD 'x.so'".to_owned(),
        "USE other".to_owned(),
        "VACUUM events".to_owned(),
        "CALL f()".to_owned(),
        "SELECT 1; DROP TABLE events".to_owned(),
        "WITH x AS (DELETE FROM events RETURNING *) SELECT * FROM x".to_owned(),
        "SELECT * INTO t FROM events".to_owned(),
        String::new(),
        ";".to_owned(),
        "/* nothing */".to_owned(),
    ] {
        let ran = place.run(&["query", &sql]);
        assert!(ran.code == 1 && ran.out.is_empty(), "{sql}\n{}{}", ran.out, ran.err);
        assert!(ran.err.starts_with("kvaudit: ") && !ran.err.contains("panicked"), "{sql}\n{}", ran.err);
        assert!(!ran.err.contains("root:"), "{sql}\n{}", ran.err);
    }
    assert_eq!(place.query("SELECT count(*) AS n, max(time) AS last FROM events"), before);
    let mut made: Vec<_> =
        std::fs::read_dir(place.path("")).expect("the folder").flatten().map(|e| e.file_name()).collect();
    made.sort();
    assert_eq!(made, ["a.json", "secret.csv", "store"]);
    for sql in
        ["SELECT table_name FROM information_schema.tables", "SHOW TABLES", "EXPLAIN SELECT 1", "DESCRIBE events"]
    {
        place.run(&["query", sql]).code(0);
    }
}
