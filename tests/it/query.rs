//! SQL from people: read-only, bounded, printed safely.

use crate::support::{Place, lines, reads, secret_get};

fn place() -> Place {
    let place = Place::new();
    place.ingest(&place.file("a.json", lines(&reads(50))));
    place
}

#[test]
fn only_selects_over_the_stores_tables_run() {
    let place = place();
    let target = place.path("stolen.csv");
    let copy = format!("COPY (SELECT 1) TO '{}'", target.display());
    let file = place.file("secret.csv", "a,b\n1,2\n");
    let by_path = format!("SELECT * FROM '{}'", file.display());
    let external = format!("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '{}'", file.display());
    for sql in [
        copy.as_str(),
        by_path.as_str(),
        external.as_str(),
        "CREATE TABLE t AS SELECT 1",
        "DROP TABLE events",
        "DELETE FROM events",
        "INSERT INTO events SELECT * FROM events",
        "SET datafusion.execution.batch_size = 1",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO 'x.csv'",
        "SELECT 1; SELECT 2",
        "SELECT * FROM nowhere",
        "CREATE VIEW v AS SELECT 1",
        "TRUNCATE TABLE events",
        "SELECT length(repeat('x', 2000000000))",
        "SELECT cardinality(range(0, 4000000000))",
        "SELECT length(lpad('x', 2000000000, 'y'))",
    ] {
        let ran = place.run(&["query", sql]);
        assert_eq!(ran.code, 1, "{sql}\n{}{}", ran.out, ran.err);
        assert!(!ran.err.trim().is_empty() && ran.out.is_empty(), "{sql}\n{}{}", ran.out, ran.err);
    }
    assert!(!target.exists());
    assert_eq!(place.number("SELECT count(*) FROM events"), 50);
    place.run(&["query", "EXPLAIN SELECT count(*) FROM events"]).code(0);
    place.run(&["query", "SELECT * FROM alerts"]).code(0);
}

#[test]
fn an_unknown_column_gets_a_hint_once() {
    let ran = place().run(&["query", "SELECT vault_nam FROM events"]).code(1);
    assert_eq!(ran.err.matches("vault_nam ").count() + ran.err.matches("vault_nam.").count(), 1, "{}", ran.err);
    assert!(ran.err.contains("vault_name"), "{}", ran.err);
}

#[test]
fn every_form_prints_the_same_rows() {
    let place = place();
    let sql = "SELECT object_name, count(*) AS reads FROM events GROUP BY 1 ORDER BY 1 LIMIT 2";
    let table = place.run(&["query", sql]).code(0).out;
    assert!(table.contains("db-password-0") && table.contains("reads") && table.contains("2 rows"), "{table}");
    let json = place.run(&["query", "--format", "json", sql]).code(0).json();
    assert_eq!(json[0]["object_name"], "db-password-0");
    assert_eq!(place.run(&["query", "--format", "jsonl", sql]).code(0).out.lines().count(), 2);
    assert_eq!(
        place.run(&["query", "--format", "csv", sql]).code(0).out,
        "object_name,reads\ndb-password-0,8\ndb-password-1,7\n"
    );
}

#[test]
fn hostile_values_reach_neither_terminal_nor_spreadsheet() {
    let place = Place::new();
    let mut record = secret_get(1, 1.0);
    record["properties"]["clientInfo"] = serde_json::json!("=cmd|' /C calc'!A0 \u{1b}[2J\u{202e}");
    place.ingest(&place.file("a.json", lines(&[record])));
    let sql = "SELECT client_info FROM events";
    let table = place.run(&["query", sql]).code(0).out;
    assert!(!table.contains('\u{1b}') && !table.contains('\u{202e}') && table.contains("u{1b}"), "{table:?}");
    let csv = place.run(&["query", "--format", "csv", sql]).code(0).out;
    assert!(csv.lines().nth(1).unwrap().trim_start_matches('"').starts_with("'="), "{csv:?}");
}

#[test]
fn a_table_keeps_to_the_terminals_width() {
    let place = place();
    for (columns, sql) in [
        ("80", "SELECT time, vault_name, principal_id, client_info FROM events LIMIT 3"),
        ("120", "SELECT * FROM events LIMIT 1"),
    ] {
        let output = place.command(&["query", sql]).env("COLUMNS", columns).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let width: usize = columns.parse().unwrap();
        if columns == "80" {
            assert!(text.lines().all(|l| l.chars().count() <= width), "{text}");
        }
        assert!(text.contains("kv-shop-prod"), "{text}");
    }
}
