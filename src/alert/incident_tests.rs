use super::*;
use crate::alert::testing::{HOUR, alert};
use crate::alert::{Value, correlate};

/// The first incident of the alerts.
fn incident(alerts: &[Alert]) -> Incident {
    compose_incident(&correlate(alerts, 24 * HOUR)[0], alerts)
}

fn of(severity: Severity, points: u8, alert: Alert) -> Alert {
    Alert { severity, risk_score: severity.risk_floor() + points, ..alert }
}

const ANN: &str = "principal_id=0a1b principal_name=ann@contoso.com";

#[test]
fn the_story_tells_what_happened_in_order_with_its_numbers() {
    let at = |id, rule, hour, more: &str| alert(id, rule, (hour, hour + 1), &format!("{ANN} {more}"));
    let mut refused = at("a", "denied_spike", 1, "vault_name=kv-a+kv-b+kv-c");
    refused.observed = 164.0;
    let mut reads = at("b", "mass_secret_read", 2, "vault_name=kv-a");
    reads.observed = 42.0;
    let again = at("c", "new_object_read", 3, "vault_name=kv-a object_name=x+y");
    let deleted = at("d", "destructive_operations", 25, "vault_name=kv-a object_name=x+y");
    let info = of(Severity::Informational, 0, at("e", "new_address", 2, ""));
    let incident = incident(&[deleted, again, info, reads, refused]);
    assert_eq!(
        incident.story,
        "ann@contoso.com was refused 164 times at 3 vaults (1970-01-01 01:00), read 42 secrets of kv-a (02:00) and \
         deleted or purged 2 objects of kv-a (1970-01-02 01:00). 1 informational alert lies beside it. \
         4 rules agree, so it is medium where each alone is low at most."
    );
    assert_eq!(incident.title, "Refusals, reads and destruction by ann@contoso.com");
    assert_eq!(incident.alert_ids, ["a", "b", "e", "c", "d"]);
    assert_eq!(incident.rule_ids[..2], ["denied_spike", "mass_secret_read"]);
    assert_eq!(incident.entities["principal_name"], Value::from("ann@contoso.com"));
    assert_eq!(incident.entities["vault_name"], serde_json::json!(["kv-a", "kv-b", "kv-c"]));
    assert_eq!(
        (incident.first_seen.as_str(), incident.last_seen.as_str()),
        ("1970-01-01T01:00:00Z", "1970-01-02T02:00:00Z")
    );
    assert_eq!(incident.techniques, ["T1078"]);
}

#[test]
fn a_single_alert_speaks_for_itself_and_an_unknown_rule_by_its_title() {
    let a = || alert("a", "their_own", (0, 1), ANN);
    let single = incident(&[a()]);
    assert_eq!((single.story.as_str(), single.title.as_str()), ("summary of a", "Title of their_own"));
    let two = incident(&[a(), alert("b", "denied_sweep", (1, 2), ANN)]);
    assert_eq!(two.story, "ann@contoso.com set off \"Title of their_own\" (1970-01-01 00:00) and was refused (01:00).");
    let joined = alert("g", "throttling", (0, 1), "vault_name=kv-a");
    let host = alert("a", "their_own", (0, 1), "principal_id=0a1b vault_name=kv-a");
    assert!(incident(&[host, joined]).story.ends_with("At the same time, by address or vault: Title of throttling."));
}

#[test]
fn three_rules_that_agree_are_a_step_up_and_nothing_else_is() {
    use Severity::{Critical, High, Informational, Low, Medium};
    for (alerts, severity, agree) in [
        (vec![("r", Low), ("s", Medium)], Medium, false),
        (vec![("r", Low), ("s", Medium), ("s", Medium), ("r", Low)], Medium, false),
        (vec![("r", Low), ("s", Medium), ("t", Informational)], Medium, false),
        (vec![("r", Low), ("s", Medium), ("t", Low)], High, true),
        (vec![("r", Low), ("s", Critical), ("t", Low)], Critical, false),
    ] {
        let made: Vec<Alert> = alerts
            .iter()
            .enumerate()
            .map(|(i, (rule, severity))| of(*severity, 0, alert(&i.to_string(), rule, (i as i64, i as i64 + 1), ANN)))
            .collect();
        let incident = incident(&made);
        assert_eq!(incident.severity, severity, "{alerts:?}");
        assert_eq!(incident.story.contains("rules agree"), agree, "{}", incident.story);
    }
}

#[test]
fn risk_takes_the_strongest_of_each_kind_once_and_stays_below_the_next_severity() {
    use Severity::{High, Low};
    for (alerts, score) in [
        (vec![("denied_spike", Low, 12)], 25 + 12),
        // The same cause, seen by three alerts of two rules, is one piece of evidence.
        (vec![("denied_spike", Low, 12), ("denied_sweep", Low, 15), ("denied_spike", Low, 15)], 25 + 15),
        (vec![("denied_spike", Low, 12), ("mass_secret_read", Low, 2)], 25 + 12 + 2),
        (vec![("denied_spike", Low, 12), ("mass_secret_read", Low, 15)], 25 + 15 + 3),
        (vec![("denied_spike", High, 0), ("mass_secret_read", Low, 15)], 65 + 3),
        (vec![("denied_spike", Low, 15), ("mass_secret_read", Low, 15), ("x", Low, 9), ("y", Low, 9)], 45 + 19),
    ] {
        let made: Vec<Alert> = alerts
            .iter()
            .enumerate()
            .map(|(i, (rule, severity, points))| of(*severity, *points, alert(&i.to_string(), rule, (0, 1), ANN)))
            .collect();
        assert_eq!(incident(&made).risk_score, score, "{alerts:?}");
    }
}

#[test]
fn it_is_open_while_one_alert_is() {
    use AlertState::{Acknowledged, Open};
    let made = |id, state, severity| Alert { state, severity, ..alert(id, "r", (0, 1), ANN) };
    for (second, severity, state) in [
        (Acknowledged, Severity::Low, Acknowledged),
        (Open, Severity::Low, Open),
        (Open, Severity::Informational, Acknowledged),
    ] {
        assert_eq!(incident(&[made("a", Acknowledged, Severity::Low), made("b", second, severity)]).state, state);
    }
}

#[test]
fn identities_depend_on_subject_and_oldest_alert() {
    let base = incident_id(&Subject::Caller("a".into()), "1");
    assert_eq!(base.len(), 32);
    for other in [
        incident_id(&Subject::Vault("a".into()), "1"),
        incident_id(&Subject::Caller("b".into()), "1"),
        incident_id(&Subject::Caller("a".into()), "2"),
        incident_id(&Subject::Caller("a1".into()), ""),
    ] {
        assert_ne!(base, other);
    }
}
