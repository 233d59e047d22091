//! Files about the world: what docs/context.md says is true, and what they say comes through to tables and alerts.

use kvaudit::world;
use serde_json::json;

use crate::support::{Place, lines, reads};

fn document() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/context.md")).expect("docs/context.md")
}

/// The files that the document shows: name and text.
fn examples() -> Vec<(String, String)> {
    let text = document();
    let blocks = text.split("\n```").skip(1).step_by(2);
    let named = blocks.filter_map(|block| {
        let (head, body) = block.split_once('\n')?;
        let (kind, name) = head.split_once(' ')?;
        matches!(kind, "csv" | "txt").then(|| (name.to_owned(), format!("{body}\n")))
    });
    named.collect()
}

fn with_examples() -> Place {
    let place = Place::new();
    let logs = place.file("logs.json", lines(&reads(20)));
    place.ingest(&logs);
    for (name, text) in examples() {
        place.file(&format!("store/context/{name}"), text);
    }
    place
}

#[test]
fn the_examples_are_read_without_a_warning_and_fill_every_table() {
    let place = with_examples();
    assert_eq!(examples().len(), 7, "{:?}", examples());
    for spec in world::TABLES {
        let ran =
            place.run(&["query", "--format", "json", &format!("SELECT count(*) AS n FROM {}", spec.name)]).code(0);
        assert_eq!(ran.err, "");
        assert!(ran.json()[0]["n"].as_i64().is_some_and(|n| n > 0), "{}", spec.name);
    }
    let rows = place.query(
        "SELECT v.vault_name, v.environment, p.name, p.environment AS of_caller, environment_of(e.vault_name) AS told
         FROM (SELECT DISTINCT vault_name, principal_id FROM events) e
         LEFT JOIN vaults v ON v.vault_name = e.vault_name LEFT JOIN principals p ON p.principal_id = e.principal_id",
    );
    let expected = json!([{"vault_name": "kv-shop-prod", "environment": "production", "name": "Shop front end",
        "of_caller": "production", "told": "production"}]);
    assert_eq!(rows, expected);
    let listed = "SELECT l.list FROM (SELECT '185.220.101.77' AS ip UNION ALL SELECT '10.0.0.1') a
        CROSS JOIN (SELECT DISTINCT prefix_length FROM address_lists) n
        JOIN address_lists l ON l.cidr = ip_network(a.ip, n.prefix_length)";
    assert_eq!(place.query(listed), json!([{"list": "tor-exits"}]));
}

#[test]
fn the_tables_stand_in_the_document_column_by_column() {
    let text = document();
    let documented: Vec<Vec<String>> = text
        .split("## The tables that they become")
        .nth(1)
        .expect("the heading")
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').replace('`', "").split('|').map(|c| c.trim().to_owned()).collect())
        .collect();
    let built: Vec<Vec<String>> = world::TABLES
        .iter()
        .flat_map(|t| t.columns.iter().map(|c| (t.name, c)))
        .map(|(table, c)| {
            let about = c.about.replace('`', "");
            vec![table.to_owned(), c.name.to_owned(), format!("{:?}", c.kind).to_lowercase(), about]
        })
        .collect();
    assert_eq!(documented, built);
}

#[test]
fn changed_files_are_read_by_the_next_command_and_broken_lines_are_told() {
    let place = with_examples();
    let name = || place.query("SELECT sku FROM vaults WHERE vault_name = 'kv-legacy'");
    assert_eq!(name(), json!([{"sku": "premium"}]));
    place.file("store/context/vaults.csv", "vault,sku\nkv-legacy,standard\nkv legacy,premium\n");
    let ran = place.run(&["query", "--format", "json", "SELECT count(*) AS n FROM vaults WHERE NOT is_bait"]).code(0);
    assert_eq!(ran.json(), json!([{"n": 1}]));
    assert!(ran.err.contains("vaults.csv:3: 'kv legacy' is no name of a vault"), "{}", ran.err);
    assert_eq!(name(), json!([{"sku": "standard"}]));
    std::fs::remove_file(place.path("store/context/vaults.csv")).expect("removed");
    assert_eq!(place.number("SELECT count(*) FROM vaults WHERE NOT is_bait"), 0);
}

#[test]
fn the_configuration_names_files_and_one_that_is_missing_fails_in_the_end() {
    let place = with_examples();
    place.file("world/vaults.csv", "vault,sku\nkv-other,premium\n");
    let config = place.file("c.toml", "[context]\nfolder = 'world'\nknown = 'scanners.csv'\n");
    place.file("scanners.csv", "id,kind\naaaaaaaa-0000-0000-0000-000000000001,scanner\n");
    let config = config.to_string_lossy().into_owned();
    let count = "SELECT (SELECT count(*) FROM vaults) + (SELECT count(*) FROM principals WHERE is_known_scanner) AS n";
    let ran = place.run(&["--config", &config, "query", "--format", "json", count]).code(0);
    assert_eq!(ran.json(), json!([{"n": 2}]));
    place.run(&["--config", &config, "detect"]).code(0);
    std::fs::remove_file(place.path("scanners.csv")).expect("removed");
    let ran = place.run(&["--config", &config, "detect"]).code(1);
    assert!(ran.err.contains("scanners.csv: cannot be read"), "{}", ran.err);
}

#[test]
fn files_may_be_there_before_the_store_is() {
    let place = Place::new();
    place.file("store/context/vaults.csv", "vault\nkv-a\n");
    let logs = place.file("logs.json", lines(&reads(3)));
    place.ingest(&logs);
    assert_eq!(place.number("SELECT count(*) FROM vaults"), 1);
}

#[test]
fn alerts_name_callers_as_the_directory_does() {
    let place = Place::sampled();
    let caller = |alerts: &serde_json::Value| {
        let found = alerts.as_array().expect("alerts").iter().find(|a| a["rule_id"] == "mass_secret_read").cloned();
        found.expect("the sample holds a mass read")
    };
    let before = caller(&place.run(&["alerts", "list", "--format", "json"]).code(0).json());
    let (id, logged) = (before["entities"]["principal_id"].clone(), before["entities"]["principal_name"].clone());
    let id = id.as_str().expect("one caller");
    place.file(
        "store/context/directory.csv",
        format!("id,name,kind\n{},\"Anna, of the night\",user\n", id.to_uppercase()),
    );
    let after = caller(
        &place.run(&["detect", "--from", "30d", "--rule", "mass_secret_read", "--format", "json"]).code(0).json(),
    );
    assert_eq!(after["alert_id"], before["alert_id"], "names are no part of an identity");
    assert_eq!(after["entities"]["principal_name"], "Anna, of the night");
    let summary = after["summary"].as_str().expect("a sentence");
    assert!(summary.starts_with("Anna, of the night read "), "{summary}");
    assert!(!summary.contains(logged.as_str().expect("a user name")), "{summary}");
}
