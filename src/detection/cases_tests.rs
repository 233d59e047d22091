//! The engine end to end on fixture detections: contract, periods, parameters, cases, promises, the catalogue check.

use super::*;
use crate::alert::Severity;
use crate::detection::check::check;
use crate::detection::{Library, Origin, Overrides, data_span, evaluate};

const BUSY: &str = include_str!("testdata/busy_caller.sql");
const BUSY_TESTS: &str = include_str!("testdata/busy_caller.test.toml");

const MINUTE: Micros = 60_000_000;

fn busy(sql: &str, tests: &str) -> Rule {
    let mut rule = Rule::parse("busy_caller", "busy_caller.sql", sql, Origin::User).unwrap();
    rule.tests = Some(TestFile { path: "busy_caller.test.toml".into(), text: tests.into() });
    rule
}

fn edited(from: &str, to: &str) -> Rule {
    let sql = BUSY.replace(from, to);
    assert_ne!(sql, BUSY, "{from}");
    busy(&sql, BUSY_TESTS)
}

/// Seven calls a minute apart from +0m, of caller-a and of nobody.
async fn seven_calls() -> (SessionContext, Micros) {
    let row = |i: i64, columns: &str| Row { time: i * MINUTE, columns: toml::from_str(columns).unwrap() };
    let rows: Vec<Row> = (0..7)
        .flat_map(|i| [row(i, "principal_id = \"caller-a\"\nobject_name = \"x\""), row(i, "vault_name = \"v\"")])
        .collect();
    (session(batch(&rows).unwrap(), &World::default(), &StandIn).await.unwrap(), 7 * MINUTE)
}

async fn answer(rule: &Rule) -> Result<Vec<Finding>, String> {
    let (ctx, to) = seven_calls().await;
    evaluate(&ctx, rule, Period { from: 0, to }).await.map_err(|e| e.to_string())
}

#[tokio::test]
async fn rows_become_findings() {
    let findings = answer(&busy(BUSY, BUSY_TESTS)).await.unwrap();
    let shown: Vec<_> = findings.iter().map(|f| (f.key[0].1.as_str(), f.window_end / MINUTE, f.observed)).collect();
    assert_eq!(shown, [("", 5, 5.0), ("caller-a", 5, 5.0), ("", 10, 7.0), ("caller-a", 10, 7.0)]);
    let last = &findings[3];
    assert_eq!(last.finding_id, crate::alert::finding_id("busy_caller", &last.key, 10 * MINUTE));
    assert_eq!((last.severity, last.event_count, last.p_value), (Severity::Low, Some(7), None));
    assert_eq!(serde_json::json!(last.entities), serde_json::json!({"principal_id": "caller-a", "object_name": ["x"]}));
    assert_eq!(serde_json::json!(last.evidence), serde_json::json!({"last_call": "1970-01-01T00:06:00Z"}));
    assert_eq!(
        last.summary,
        "A caller is busy: caller-a, 7 observed where 0 were expected, 1970-01-01T00:00:00Z to 1970-01-01T00:10:00Z."
    );
    assert!(findings[2].entities.is_empty(), "a null key is no entity");
    assert!(findings[2].summary.contains("A caller is busy: unknown, 7"));
}

#[tokio::test]
async fn columns_that_sql_adds_take_their_place() {
    let rule = edited("0.0 AS expected,", "0.0 AS expected, 'high' AS severity, 'Look!' AS summary, 1e-9 AS p_value,");
    let finding = answer(&rule).await.unwrap().remove(0);
    assert_eq!((finding.severity, finding.summary.as_str(), finding.p_value), (Severity::High, "Look!", Some(1e-9)));
    let rule = edited("0.0 AS expected,", "0.0 AS expected, CAST('NaN' AS DOUBLE) AS p_value, NULL AS severity,");
    let finding = answer(&rule).await.unwrap().remove(0);
    assert_eq!((finding.severity, finding.p_value), (Severity::Low, None));
}

#[tokio::test]
async fn what_breaks_the_contract_is_named() {
    for (from, to, expected) in [
        (
            "count(*) AS observed,",
            "",
            "busy_caller.sql: there is no column 'observed' (a number): add one with AS observed",
        ),
        ("count(*) AS observed,", "'many' AS observed,", "column 'observed' is Utf8 and not a number: cast it"),
        ("    principal_id,\n    count", "    count", "there is no column 'principal_id' (text, as part of the key)"),
        ("    principal_id,\n", "    [principal_id] AS principal_id,\n", "column 'principal_id' is List"),
        ("    window_end,\n", "    'now' AS window_end,\n", "column 'window_end' is Utf8 and not a timestamp"),
        ("    window_end,\n", "    window_end + INTERVAL '1 minute' AS window_end,\n", "is no multiple of every = 5m"),
        ("window_end - $window AS", "window_end AS", "is not before window_end"),
        ("window_end > $from AND ", "hour > $from AND ", "busy_caller.sql:33: Schema error: No field named hour"),
        (
            "    window_end,\n",
            "    window_end + INTERVAL '1 hour' AS window_end,\n",
            "lies outside the period 1970-01-01T00:00:00Z to 1970-01-01T00:10:00Z: add WHERE window_end > $from",
        ),
        ("0.0 AS expected", "CAST('NaN' AS DOUBLE) AS expected", "expected is Some(NaN) at principal_id = "),
        ("0.0 AS expected", "0.0 AS expected, 'urgent' AS severity", "'urgent' is no severity: use informational"),
        (
            "HAVING count(*) >= $least",
            TWO_ROWS,
            "two rows for principal_id = 'x' and the window that ends 1970-01-01T00:10:00Z",
        ),
        ("count(*) AS observed", "count(*) / 0 AS observed", "Divide by zero"),
        (
            "principal_id, object_name, time\n",
            "principle_id AS principal_id, object_name, time\n",
            "busy_caller.sql:29: Schema error: No field named principle_id. Did you mean",
        ),
    ] {
        let rule = edited(from, to);
        let error = answer(&rule).await.err();
        assert!(error.as_ref().is_some_and(|e| e.contains(expected)), "{from} -> {to}: {error:?}");
    }
}

const TWO_ROWS: &str = "HAVING count(*) >= $least
    UNION ALL SELECT $to - $window, $to, 'x', 1, 0.0, 1, ['y'], $to FROM (VALUES (1), (2))";

/// DataFusion's `eliminate_cross_join` drops the equality on `window_end` here and counts every call twice.
#[tokio::test]
async fn a_join_on_what_two_tables_yield_keeps_its_condition() {
    let join = "SELECT w.window_end, e.principal_id, e.object_name, e.time
        FROM events e CROSS JOIN (VALUES ($every), ($window)) AS hop (ahead)
        JOIN (SELECT DISTINCT principal_id, date_bin($every, time) + $window AS window_end FROM events) w
            ON w.principal_id = e.principal_id AND w.window_end = date_bin($every, e.time) + hop.ahead
        WHERE e.time >= $from - $lookback AND e.time < $to";
    let from = BUSY.find("SELECT date_bin").unwrap();
    let to = BUSY.find(")\nWHERE window_end").unwrap();
    let plain = format!("{}{join}\n{}", &BUSY[..from], &BUSY[to..]);
    // Once as written, once in a step that is named twice and so computed apart.
    let query = plain.rfind("SELECT\n    window_end - $window").unwrap();
    let select = plain[query..].replacen(join, "SELECT * FROM call UNION ALL SELECT * FROM call WHERE false", 1);
    let staged = format!("{}WITH call AS ({join})\n{select}", &plain[..query]);
    for sql in [plain, staged] {
        let findings = answer(&busy(&sql, BUSY_TESTS)).await.unwrap();
        let counts: Vec<_> = findings.iter().map(|f| (f.window_end / MINUTE, f.observed)).collect();
        assert_eq!(counts, [(10, 7.0)], "{sql}");
    }
}

#[tokio::test]
async fn a_period_is_the_union_of_its_slices_however_long() {
    let (ctx, to) = seven_calls().await;
    let rule = busy(BUSY, BUSY_TESTS);
    let short = evaluate(&ctx, &rule, Period { from: 0, to }).await.unwrap();
    let long =
        evaluate(&ctx, &rule, Period { from: -30 * 86_400 * 1_000_000, to: 30 * 86_400 * 1_000_000 }).await.unwrap();
    // The windows that begin before the end of the data and end behind it are the longer period's alone.
    let inside: Vec<_> = long.into_iter().filter(|f| f.window_end <= 10 * MINUTE).collect();
    assert_eq!(inside, short);
}

#[tokio::test]
async fn all_rules_are_evaluated_within_the_data_and_one_failure_stops_none() {
    let (ctx, _) = seven_calls().await;
    let broken = edited("count(*) AS observed", "count(*) / 0 AS observed");
    let fine = busy(BUSY, BUSY_TESTS);
    let mut seen = Vec::new();
    let century = Period { from: -50 * 366 * 86_400_000_000, to: 50 * 366 * 86_400_000_000 };
    let answers =
        evaluate_all(&ctx, [&broken, &fine], century, |p| seen.push((p.done, p.next.is_some()))).await.unwrap();
    assert_eq!(seen, [(0, true), (1, true), (2, false)]);
    assert!(answers[0].findings.as_ref().unwrap_err().to_string().contains("Divide by zero"));
    assert_eq!(answers[1].period, Some(Period { from: 0, to: 10 * MINUTE }));
    assert_eq!(answers[1].findings.as_ref().unwrap().len(), 4);

    let outside = evaluate_all(&ctx, [&fine], Period { from: 100 * MINUTE, to: 200 * MINUTE }, |_| {}).await.unwrap();
    assert_eq!((outside[0].period, outside[0].findings.as_ref().unwrap().len()), (None, 0));
    let clock = edited("quiet_for", "on = \"clock\"\n-- quiet_for");
    let later = evaluate_all(&ctx, [&clock], Period { from: 0, to: 200 * MINUTE }, |_| {}).await.unwrap();
    assert_eq!(later[0].period, Some(Period { from: 0, to: 200 * MINUTE }));
    let empty = empty_session(&StandIn).await.unwrap();
    assert_eq!(data_span(&empty).await.unwrap(), None);
    assert!(evaluate_all(&empty, [&fine], century, |_| {}).await.unwrap()[0].findings.as_ref().unwrap().is_empty());
}

#[tokio::test]
async fn cases_pass_on_the_fixture_and_fail_when_it_is_wrong() {
    let outcomes = run_all(&busy(BUSY, BUSY_TESTS), &StandIn).await.unwrap();
    let problems: Vec<_> = outcomes.iter().map(|o| (o.line, o.problems.len())).collect();
    assert_eq!(problems, [(6, 0), (16, 0), (25, 0), (36, 0)], "{outcomes:?}");
    for (from, to, expected) in [
        (">= $least", ">= $least + 1", "it stays silent and should fire"),
        (">= $least", ">= $least - 1", "it fires and should be silent: [principal_id = 'caller-a', window_end"),
        ("count(*) AS observed", "count(*) + 1 AS observed", "no finding is like { "),
    ] {
        let outcomes = run_all(&edited(from, to), &StandIn).await.unwrap();
        let problems: Vec<_> = outcomes.into_iter().flat_map(|o| o.problems).collect();
        assert!(problems.iter().any(|p| p.starts_with(expected)), "{from} -> {to}: {problems:?}");
    }
    let other = format!(
        "{BUSY_TESTS}\n[[case]]\nname = \"x\"\nexpect = [{{ principal_id = \"caller-a\" }}]\n\
        [[case.events]]\nrepeat = 9\nprincipal_id = \"caller-{{i}}\"\nbatch = 6\n"
    );
    let outcomes = run_all(&busy(BUSY, &other), &StandIn).await.unwrap();
    let problems = &outcomes.last().unwrap().problems;
    assert!(problems[0].starts_with("no finding is like") && problems[1].starts_with("nobody expects"), "{problems:?}");
}

#[test]
fn a_wrong_test_file_says_where() {
    let file = |text: &str| parse(&TestFile { path: "t.toml".into(), text: text.into() }).unwrap_err().to_string();
    for (text, expected) in [
        ("[[case]]\nname = \"a\"\n", "t.toml:1: case 'a': say fires = true or fires = false"),
        ("[[case]]\nname = \"a\"\nfires = false\nexpect = [{ observed = 1 }]", "contradict each other"),
        ("[[case]]\nname = \"a\"\nfires = true\nfire = 1", "t.toml:4: unknown field `fire`"),
        ("[[case]]\nname = \"a\"\nfires = true\n[[case.events]]\nat = \"later\"", "case 'a': 'later' is no time"),
        ("[[case]]\nname = \"a\"\nfires = true\n[[case.events]]\nrepeat = 900000", "more than 500000 events"),
    ] {
        let error = file(text);
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn one_entry_stands_for_many_events() {
    let text = "[defaults]\nvault_name = \"v\"\n[[case]]\nname = \"a\"\nfires = true\nstart = \"1970-01-01T00:00:00Z\"\n\
        [[case.events]]\nat = \"-1h\"\nrepeat = 2\nevery = \"10m\"\nbatch = 2\nspacing = \"1s\"\nobject_name = \"s{i}-{j}\"\n\
        [[case.events]]\nafter = \"5m\"\nvault_name = \"w\"";
    let case = parse(&TestFile { path: "t.toml".into(), text: text.into() }).unwrap().remove(0);
    let rows: Vec<_> =
        case.rows.iter().map(|r| (r.time / 1_000_000, r.columns["vault_name"].as_str().unwrap())).collect();
    assert_eq!(rows, [(-3600, "v"), (-3599, "v"), (-3000, "v"), (-2999, "v"), (-2699, "w")]);
    assert_eq!(case.rows[3].columns["object_name"].as_str(), Some("s1-1"));
}

#[tokio::test]
async fn the_check_finds_what_keeps_a_detection_out_of_the_catalogue() {
    assert_eq!(check(&busy(BUSY, BUSY_TESTS), &StandIn).await, []);
    let silent_only = BUSY_TESTS.split("[[case]]").filter(|part| part.contains("fires = false")).collect::<Vec<_>>();
    let silent_only = format!("[[case]]{}", silent_only.join("[[case]]"));
    for (rule, expected) in [
        (edited("-- response = \"None.\"\n", ""), "busy_caller.sql: 'response' is empty: say what to do when it fires"),
        (edited("count(*) AS observed", "now() AS last, count(*) AS observed"), "it calls now(), whose answer changes"),
        (
            edited("(VALUES ($every), ($window))", "(SELECT $every FROM generate_series(1, 2))"),
            "it reads 'generate_series()', which is no table",
        ),
        (edited("count(*) AS observed,", ""), "there is no column 'observed'"),
        // Reads ahead: the future decides. And answers differently when asked in parts.
        (
            edited(
                "HAVING count(*) >= $least",
                "HAVING count(*) >= $least AND max((SELECT max(time) FROM events)) < window_end",
            ),
            "busy_caller.test.toml:6: case 'five calls",
        ),
        (edited("time >= $from - $lookback", "time >= $from"), "differ: "),
        (busy(BUSY, &silent_only), "there is no case that fires: add one"),
        (busy(BUSY, BUSY_TESTS.split("[[case]]\nname = \"four").next().unwrap()), "no case that stays silent"),
        (busy(BUSY, "[[case]]\nname = 5"), "busy_caller.test.toml:2: invalid type"),
        (Rule { tests: None, ..busy(BUSY, "") }, "it has no tests: put busy_caller.test.toml beside it"),
    ] {
        let problems: Vec<_> = check(&rule, &StandIn).await.iter().map(ToString::to_string).collect();
        assert!(problems.iter().any(|p| p.contains(expected)), "{expected}: {problems:?}");
    }
}

/// A detection that joins every table of the world, with rows of a case in them.
#[tokio::test]
async fn a_case_gives_rows_of_the_worlds_tables() {
    let joined = edited(
        "time < $to\n)",
        "time < $to
        AND principal_id IN (SELECT principal_id FROM principals WHERE is_known_scanner)
        AND vault_name IN (SELECT vault_name FROM vaults WHERE environment = 'production' AND NOT is_bait)
        AND ip_network(caller_ip, 8) IN (SELECT cidr FROM address_lists WHERE prefix_length = 8)
        AND object_name IN (SELECT object_name FROM bait_objects WHERE vault_name IS NULL)
        AND subscription_id IN (SELECT subscription_id FROM subscriptions WHERE name = 'Hub')
        AND operation_name IN (SELECT operation_name FROM operations WHERE billed)
        AND app_id IN (SELECT app_id FROM first_party_apps WHERE kind = 'service')
)",
    );
    let events = "[[case.events]]\nat = \"+3m\"\nrepeat = 5\nevery = \"1m\"\nprincipal_id = \"p\"\n\
        vault_name = \"kv\"\ncaller_ip = \"10.9.9.9\"\nobject_name = \"b\"\nsubscription_id = \"s\"\n\
        app_id = \"509e4652-da8d-478d-a730-e9d4a1996ca4\"\n";
    let rows = [
        "[[case.principals]]\nprincipal_id = \"p\"\nis_known_scanner = true\n",
        "[[case.vaults]]\nvault_name = \"kv\"\nenvironment = \"production\"\n",
        "[[case.address_lists]]\nlist = \"t\"\ncidr = \"10.1.2.3/8\"\n",
        "[[case.bait_objects]]\nobject_name = \"b\"\n",
        "[[case.subscriptions]]\nsubscription_id = \"s\"\nname = \"Hub\"\n",
    ];
    // All rows together fire; without any one of them it stays silent.
    for left_out in 0..=rows.len() {
        let given: String = rows.iter().enumerate().filter(|(i, _)| *i != left_out).map(|(_, row)| *row).collect();
        let fires = left_out == rows.len();
        let tests = format!("[[case]]\nname = \"a\"\nfires = {fires}\n{events}{given}");
        let rule = Rule { tests: busy(BUSY, &tests).tests, ..joined.clone() };
        let outcomes = run_all(&rule, &StandIn).await.unwrap();
        assert_eq!(outcomes[0].problems, Vec::<String>::new(), "{tests}");
    }
    for (row, expected) in [
        ("[[case.vaults]]\nname = \"kv\"\n", "unknown field `name`"),
        ("[[case.principals]]\nname = \"kv\"\n", "missing field `principal_id`"),
        ("[[case.address_lists]]\nlist = \"t\"\ncidr = \"x\"\n", "'x' is no address and no range"),
    ] {
        let text = format!("[[case]]\nname = \"a\"\nfires = true\n{row}");
        let error = parse(&TestFile { path: "t.toml".into(), text }).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

/// `tests/it/catalogue.rs` checks them in full, which takes minutes.
#[tokio::test]
async fn every_built_in_detection_reads_and_plans() {
    let library = Library::load(None, &Overrides::default()).unwrap();
    assert_eq!(library.broken().len(), 0);
    assert!(library.get("throttling").is_some());
    let ctx = empty_session(&StandIn).await.unwrap();
    for rule in library.rules() {
        assert_eq!(
            evaluate(&ctx, rule, Period { from: 0, to: rule.header.every }).await,
            Ok(Vec::new()),
            "{}",
            rule.id
        );
        let tests = rule.tests.as_ref().expect("tests beside it");
        assert!(!parse(tests).unwrap().is_empty(), "{}", rule.id);
    }
}
