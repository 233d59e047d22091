//! The catalogue: every built-in detection parses, plans, keeps its contract, and passes its cases.

use crate::support::Place;

/// Checks every other detection of the folder: with all their cases and properties they take a core for half an hour.
fn half_of_the_detections_keeps_the_contract_and_passes_its_cases(half: usize) {
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/queries/detections")).expect("a folder");
    let files = folder.map(|file| file.expect("a file").file_name().to_string_lossy().into_owned());
    let mut rules: Vec<String> = files.filter_map(|file| Some(file.strip_suffix(".sql")?.to_owned())).collect();
    rules.sort_unstable();
    assert!(rules.len() > 50, "{rules:?}");
    let mut args = vec!["rules", "check"];
    args.extend(rules.iter().skip(half).step_by(2).map(String::as_str));
    let checked = Place::new().run(&args);
    assert_eq!((checked.code, checked.out.as_str()), (0, ""), "{}{}", checked.out, checked.err);
    assert!(checked.err.contains(&format!("{} rules checked, 0 problems", args.len() - 2)), "{}", checked.err);
}

#[test]
fn every_detection_keeps_the_contract_and_passes_its_cases_one_half() {
    half_of_the_detections_keeps_the_contract_and_passes_its_cases(0);
}

#[test]
fn every_detection_keeps_the_contract_and_passes_its_cases_other_half() {
    half_of_the_detections_keeps_the_contract_and_passes_its_cases(1);
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

#[test]
fn the_page_of_detections_is_current() {
    let page = Place::new().run(&["rules", "page"]).code(0).out;
    let kept = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/detections.md")).unwrap_or_default();
    assert!(kept == page, "docs/detections.md is not current: kvaudit rules page > docs/detections.md");
}

#[test]
fn a_new_detection_passes_its_checks_and_overwrites_nothing() {
    let place = Place::new();
    place.run(&["rules", "new", "my_rule"]).code(2);
    place.run(&["rules", "new", "my_rule", "--folder", "mine"]).code(0);
    place.run(&["rules", "check", "my_rule", "--folder", "mine"]).code(0);
    let tested = place.run(&["rules", "test", "my_rule", "--folder", "mine"]).code(0);
    assert!(tested.out.contains("2 cases passed, 0 failed"), "{}", tested.out);
    place.file("mine/my_rule.sql", "changed");
    place.run(&["rules", "new", "my_rule", "--folder", "mine"]).code(1);
    assert_eq!(std::fs::read_to_string(place.path("mine/my_rule.sql")).unwrap(), "changed");
    let refused = place.run(&["rules", "new", "../My Rule", "--folder", "mine"]).code(1);
    assert!(refused.err.contains("snake case"), "{}", refused.err);
}

#[test]
fn a_backtest_tells_what_another_parameter_changes_and_keeps_nothing() {
    let place = Place::sampled();
    let before = place.run(&["alerts", "list", "--all", "--format", "json"]).code(0).json();
    let set = ["rules", "backtest", "--set", "chatty_caller.min_rereads=100000", "--format", "json"];
    let told = place.run(&set).code(0).json();
    assert_eq!(told.as_array().map(Vec::len), Some(1), "only what changed is asked: {told}");
    assert_eq!((&told[0]["rule_id"], &told[0]["low_and_above"]), (&"chatty_caller".into(), &1.into()), "{told}");
    let change = &told[0]["change"];
    assert_eq!(
        (change["added"].as_array().map(Vec::len), change["removed"].as_array().map(Vec::len)),
        (Some(0), Some(1))
    );
    assert_eq!(place.run(&["alerts", "list", "--all", "--format", "json"]).code(0).json(), before);
    for wrong in ["chatty_caller", "chatty_caller.nothing=1", "nobody.x=1", "chatty_caller.min_rereads=many"] {
        place.run(&["rules", "backtest", "--set", wrong]).code(2);
    }
    let table = place.run(&["rules", "backtest", "throttling", "honey_object"]).code(0).out;
    assert!(table.contains("throttling") && table.contains("2 rules: 1 alert, 1 of low"), "{table}");
}
