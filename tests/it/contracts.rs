//! docs/contracts.md held against the code.

use std::collections::BTreeSet;

use kvaudit::record::schema;

use crate::support::Place;

fn document() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/contracts.md")).expect("docs/contracts.md")
}

fn document_named(path: &str) -> String {
    std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect(path)
}

/// First and second cells of the table under a heading, back-ticks off.
fn table(heading: &str) -> Vec<(String, String)> {
    let text = document();
    let section = text
        .split(&format!("\n## {heading}\n"))
        .nth(1)
        .expect("the heading")
        .split("\n## ")
        .next()
        .expect("its text")
        .to_owned();
    section
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let mut cells = line.trim_matches('|').split('|').map(|c| c.trim().to_owned());
            let name = cells.next().expect("a name").split('`').nth(1).expect("in back-ticks").to_owned();
            (name, cells.next().expect("a second cell"))
        })
        .collect()
}

#[test]
fn the_event_table_stands_in_the_contract_column_by_column() {
    let documented = table("The event table");
    let kind = |k: schema::Kind| format!("{k:?}").to_lowercase();
    let built: Vec<(String, String)> = schema::COLUMNS.iter().map(|c| (c.name.to_owned(), kind(c.kind))).collect();
    let rows: String =
        schema::COLUMNS.iter().map(|c| format!("| `{}` | {} | {} |\n", c.name, kind(c.kind), c.about)).collect();
    assert_eq!(documented, built, "docs/contracts.md should hold:\n{rows}");
}

#[test]
fn an_alert_has_the_documented_fields() {
    let alerts = Place::sampled().run(&["alerts", "list", "--format", "json"]).code(0).json();
    let documented: BTreeSet<String> = table("An alert in JSON").into_iter().map(|(name, _)| name).collect();
    for alert in alerts.as_array().expect("alerts") {
        let mut fields: BTreeSet<String> = alert.as_object().expect("an object").keys().cloned().collect();
        fields.insert("p_value".to_owned());
        assert_eq!(fields, documented);
        let score = alert["risk_score"].as_u64().expect("a number");
        assert!(score <= 100);
    }
}

#[test]
fn an_incident_has_the_documented_fields() {
    let incidents = Place::sampled().run(&["incidents", "list", "--format", "json"]).code(0).json();
    let documented: BTreeSet<String> = table("An incident in JSON").into_iter().map(|(name, _)| name).collect();
    assert!(!incidents.as_array().expect("incidents").is_empty());
    for incident in incidents.as_array().expect("incidents") {
        let fields: BTreeSet<String> = incident.as_object().expect("an object").keys().cloned().collect();
        assert_eq!(fields, documented);
    }
}

#[test]
fn the_report_of_an_ingest_has_the_documented_fields() {
    let place = Place::new();
    let file = place.file("a.json", crate::support::lines(&crate::support::reads(1)));
    let report = place.run(&["ingest", "--format", "json", &file.to_string_lossy()]).code(0).json();
    let fields: BTreeSet<String> = report.as_object().expect("an object").keys().cloned().collect();
    let documented: BTreeSet<String> = table("The report of an ingest").into_iter().map(|(name, _)| name).collect();
    assert_eq!(fields, documented);
    let names = document_named("docs/records.md");
    for form in report["forms"].as_object().expect("forms").keys() {
        assert!(names.contains(&format!("`{form}`")), "{form} is not in docs/records.md");
    }
}

#[test]
fn every_documented_command_has_help() {
    let place = Place::new();
    for (command, _) in table("Commands") {
        let words: Vec<&str> =
            command.split_whitespace().skip(1).filter(|w| w.chars().all(|c| c.is_ascii_lowercase())).collect();
        let mut args = words.clone();
        args.push("--help");
        place.run(&args).code(0);
    }
}
