//! The catalogue: every built-in detection parses, plans, keeps its contract, and passes its cases.

use crate::support::Place;

#[test]
fn every_detection_keeps_the_contract_and_passes_its_cases() {
    let place = Place::new();
    let checked = place.run(&["rules", "check"]);
    assert_eq!((checked.code, checked.out.as_str()), (0, ""), "{}{}", checked.out, checked.err);
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/queries/detections")).unwrap();
    let rules = folder.filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|e| e == "sql")).count();
    assert!(checked.err.contains(&format!("{rules} rules checked, 0 problems")), "{}", checked.err);
}

#[test]
fn a_case_that_does_not_hold_is_told_and_fails_the_command() {
    let place = Place::new();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/queries/detections");
    place.file("mine/throttling.sql", std::fs::read(format!("{folder}/throttling.sql")).unwrap());
    let case = "[[case]]\nname = \"nothing fires\"\nfires = true\n[[case.events]]\nat = \"+1m\"\nvault_name = \"v\"\noperation_name = \"SecretGet\"\n";
    place.file("mine/throttling.test.toml", case);
    let ran = place.run(&["rules", "test", "throttling", "--folder", "mine"]).code(1);
    assert!(ran.out.contains("nothing fires") && ran.out.contains("1 failed"), "{}", ran.out);
}

#[test]
fn the_list_has_the_contracts_fields_and_the_four_detections() {
    let out = Place::new().run(&["rules", "list", "--format", "jsonl"]).code(0).out;
    let rules: Vec<serde_json::Value> = out.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    for id in ["chatty_caller", "denied_spike", "mass_secret_read", "throttling"] {
        let rule = rules.iter().find(|r| r["rule_id"] == id).unwrap_or_else(|| panic!("no {id}"));
        for field in ["title", "severity", "status", "techniques"] {
            assert!(!rule[field].is_null(), "{rule}");
        }
    }
}

#[test]
fn a_users_folder_adds_and_replaces_and_its_mistakes_are_told_with_the_line() {
    let place = Place::new();
    let own =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/queries/detections/throttling.sql")).unwrap();
    place.file("mine/my_rule.sql", &own);
    let out = place.run(&["rules", "list", "--format", "jsonl", "--folder", "mine"]).code(0).out;
    assert!(out.contains("my_rule"), "{out}");
    place.file("mine/broken.sql", own.replacen("-- severity", "-- sevrity", 1));
    let ran = place.run(&["rules", "list", "--folder", "mine"]).code(1);
    assert!(ran.err.contains("broken.sql") && ran.err.contains("sevrity"), "{}", ran.err);
}
