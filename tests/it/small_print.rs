//! The small print of docs/contracts.md: what stands on standard error, names of rules, addresses, tables that stay whole.

use crate::support::{Place, gzip, lines, reads, secret_get};

/// A name that would begin a line of its own, colour it and turn it around.
const HOSTILE: &str = "a\nFORGED\u{1b}[31m\u{9b}m\u{202e}\r";

/// Every line is ours, and no character commands a terminal.
#[track_caller]
fn is_tame(err: &str, name: &str) {
    assert!(!err.is_empty(), "{name}: nothing was said");
    let forged = err.lines().any(|line| line.starts_with("FORGED"));
    let commands = err.chars().any(|c| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c));
    assert!(!forged && !commands, "{name}: {err:?}");
    assert!(err.contains("FORGED"), "{name}: the name is not shown: {err:?}");
}

#[test]
fn names_of_files_stay_on_their_line() {
    let place = Place::new();
    place.ingest(&place.file("good.json", lines(&reads(20))));
    let name = |end: &str| format!("{HOSTILE}{end}");
    let whole = gzip(&lines(&reads(4_000)));
    place.file(&name(".json.gz"), &whole[..whole.len() / 2]);
    place.file(&name(".json"), &lines(&[secret_get(1, 1.0)])[..40]);
    place.file(&format!("rules/{}", name(".sql")), "SELECT 1");
    place.file("rules/broken.sql", format!("-- {HOSTILE}\nSELECT 1"));
    place.file(&name(".toml"), "stroe = 'x'\n");
    let rules = place.file("rules.toml", "[rules]\nfolder = 'rules'\n").to_string_lossy().into_owned();
    let (cut, half, missing, config) = (name(".json.gz"), name(".json"), name(".none"), name(".toml"));
    for args in [
        vec!["ingest", &cut],
        vec!["-vv", "ingest", &cut],
        vec!["ingest", &half],
        vec!["ingest", &missing],
        vec!["ingest", &format!("{HOSTILE}*.none")],
        vec!["query", "-f", &missing],
        vec!["query", &format!("SELECT \"{HOSTILE}\" FROM events")],
        vec!["--config", &missing, "query", "SELECT 1"],
        vec!["--config", &config, "query", "SELECT 1"],
        vec!["--config", &rules, "rules", "list"],
        vec!["--config", &rules, "detect"],
        vec!["--config", &rules, "detect", "--rule", HOSTILE],
        vec!["--config", &rules, "rules", "show", HOSTILE],
        vec!["--store", HOSTILE, "query", "SELECT 1"],
        vec!["alerts", "show", HOSTILE],
        vec!["alerts", "list", "--since", HOSTILE],
        vec!["detect", "--from", HOSTILE],
    ] {
        let ran = place.run(&args);
        is_tame(&ran.err, &args.join(" "));
    }
}

#[test]
fn the_log_in_a_pipe_has_no_colours() {
    let place = Place::new();
    let file = place.file("a.json", lines(&reads(20)));
    let ran = place.run(&["-vv", "ingest", &file.to_string_lossy()]).code(0);
    assert!(!ran.err.contains('\u{1b}'), "{:?}", ran.err);
    let output = place.command(&["ingest", "a.json"]).env("KVAUDIT_LOG", "trace").output().expect("the program starts");
    let err = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(!err.trim().is_empty() && !err.contains('\u{1b}'), "{err:?}");
}

#[test]
fn a_rule_that_cannot_be_read_is_not_called_unknown() {
    let place = Place::new();
    place.ingest(&place.file("a.json", lines(&reads(20))));
    place.file("rules/my_rule.sql", "-- +++\n-- title = 5\n-- +++\nSELECT 1");
    let config = place.file("k.toml", "[rules]\nfolder = 'rules'\n");
    let config = config.to_string_lossy();
    for args in [
        vec!["detect", "--rule", "my_rule"],
        vec!["rules", "show", "my_rule"],
        vec!["rules", "check", "my_rule"],
        vec!["rules", "test", "my_rule"],
        vec!["rules", "backtest", "my_rule"],
        vec!["rules", "backtest", "--set", "my_rule.least=3"],
    ] {
        let args: Vec<&str> = [vec!["--config", &config], args].concat();
        let ran = place.run(&args).code(1);
        assert!(!ran.err.contains("there is no rule"), "{args:?}: {}", ran.err);
        assert!(ran.err.contains("'my_rule' is there and cannot be read"), "{args:?}: {}", ran.err);
        assert_eq!(ran.err.matches("my_rule.sql:2").count(), 1, "{args:?}: {}", ran.err);
    }
    let ran = place.run(&["--config", &config, "detect", "--rule", "my_rulr"]).code(2);
    assert!(ran.err.contains("there is no rule 'my_rulr'"), "{}", ran.err);
}

#[test]
fn a_list_without_its_last_bracket_is_told_for_what_it_is() {
    let place = Place::new();
    let whole = serde_json::json!({ "records": reads(3) }).to_string();
    let file = place.file("open.json", &whole[..whole.len() - 2]);
    let ran = place.run(&["ingest", "--format", "json", &file.to_string_lossy()]);
    assert!(ran.err.contains("open.json") && !ran.err.contains(" 0 bytes"), "{}", ran.err);
    assert_eq!(ran.json()["events_written"], 3);
}

#[test]
fn localhost_and_addresses_without_a_port_are_listened_on() {
    let place = Place::new();
    // A store that is not there ends the command behind the check of the address.
    for (address, code, part) in [
        ("localhost:0", 1, "no store"),
        ("LOCALHOST:0", 1, "no store"),
        ("127.0.0.1:0", 1, "no store"),
        ("[::ffff:127.0.0.1]:0", 2, "will not listen"),
        ("0.0.0.0", 2, "will not listen on 0.0.0.0:8474"),
        ("example.com:80", 2, "localhost:8474"),
        ("localhost.example.com:80", 2, "localhost:8474"),
        ("localhost:http", 2, "localhost:8474"),
    ] {
        let ran = place.run(&["serve", "--listen", address]).code(code);
        assert!(ran.err.contains(part), "{address}: {}", ran.err);
    }
}

#[test]
fn severity_means_and_above_at_the_terminal() {
    let place = Place::sampled();
    let of = |flag: &str| {
        let alerts = place.run(&["alerts", "list", "--format", "json", flag, "medium"]).code(0).json();
        let alerts = alerts.as_array().expect("alerts").clone();
        assert!(alerts.iter().any(|a| a["severity"] == "high") && alerts.iter().all(|a| a["severity"] != "low"));
        alerts
    };
    assert_eq!(of("--severity"), of("--min-severity"));
}

#[test]
fn times_stay_whole_in_a_table_of_eighty_columns() {
    let place = Place::sampled();
    for (args, least) in [
        (vec!["query", "SELECT time, ingested_at, vault_name, principal_id, object_name FROM events LIMIT 3"], 6),
        (vec!["query", "SELECT time, vault_name, client_info, request_uri, principal_id FROM events LIMIT 3"], 3),
        (vec!["query", "SELECT * FROM coverage LIMIT 2"], 2),
        (vec!["alerts", "list"], 3),
        (vec!["incidents", "list"], 1),
    ] {
        let output = place.command(&args).env("COLUMNS", "80").output().expect("the program starts");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{args:?}\n{text}");
        assert!(whole_times(&text) >= least, "{args:?}: {} whole times\n{text}", whole_times(&text));
    }
}

/// Times in a text that end where they should: `2026-10-01T00:00:00.000001Z` or `10-01 00:00`.
fn whole_times(text: &str) -> usize {
    let words: Vec<&str> = text.split_whitespace().collect();
    let long =
        |word: &&&str| word.len() >= 20 && word.ends_with('Z') && chrono::DateTime::parse_from_rfc3339(word).is_ok();
    let short = |pair: &&[&str]| {
        let date = pair[0].len() == 5 && pair[0].as_bytes()[2] == b'-';
        date && pair[1].len() == 5 && pair[1].as_bytes()[2] == b':'
    };
    let in_lines = text.lines().flat_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.windows(2).filter(short).map(|_| ()).collect::<Vec<_>>()
    });
    words.iter().filter(long).count() + in_lines.count()
}
