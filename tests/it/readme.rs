//! README.md says what is true: its picture is what the program prints, its commands run.

use crate::support::Place;

fn readme() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).expect("README.md")
}

/// Code blocks of a language.
fn blocks(language: &str) -> Vec<String> {
    let text = readme();
    text.split(&format!("```{language}\n")).skip(1).map(|b| b.split("```").next().expect("an end").to_owned()).collect()
}

/// Times differ from run to run.
fn without_times(text: &str) -> String {
    text.lines()
        .map(|l| l.split(" in ").next().filter(|_| l.contains("records/s")).unwrap_or(l).trim_end().to_owned() + "\n")
        .collect()
}

#[test]
fn the_picture_is_what_the_main_job_prints() {
    let place = Place::new();
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/sample-logs");
    let output = place.command(&["run", "--once", sample]).env("COLUMNS", "100").output().expect("the program starts");
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(without_times(&blocks("text")[0]), without_times(&printed), "README.md should show:\n{printed}");
}

#[test]
fn there_are_two_commands_and_ci_runs_the_second() {
    let commands: Vec<String> = blocks("sh").iter().map(|b| b.trim().to_owned()).collect();
    assert_eq!(commands, ["cargo run -- run sample-logs", "cargo test"]);
    let ci = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/.ci/run")).expect(".ci/run");
    assert!(ci.contains("\ncargo test"));
}
