use super::*;
use crate::alert::testing::{HOUR, alert};

/// Groups as `subject:own|joined`, with a gap of ten hours; the order of what is handed in must not matter.
fn shown(alerts: &[Alert]) -> Vec<String> {
    let told = |alerts: &[Alert]| -> Vec<String> {
        let ids = |indexes: &[usize]| indexes.iter().map(|&i| alerts[i].alert_id.clone()).collect::<String>();
        correlate(alerts, 10 * HOUR)
            .iter()
            .map(|g| match g.joined.as_slice() {
                [] => format!("{} {}", g.subject, ids(&g.own)),
                joined => format!("{} {}|{}", g.subject, ids(&g.own), ids(joined)),
            })
            .collect()
    };
    let mut reversed = alerts.to_vec();
    reversed.reverse();
    let first = told(alerts);
    assert_eq!(first, told(&reversed));
    first
}

fn of(severity: Severity, alert: Alert) -> Alert {
    Alert { severity, ..alert }
}

fn stands(state: AlertState, suppressed: bool, alert: Alert) -> Alert {
    Alert { state, suppressed, ..alert }
}

#[test]
fn alerts_of_one_caller_no_further_apart_than_the_gap_are_one_incident() {
    let one = |from, to| alert("b", "r", (from, to), "principal_id=ANN");
    let a = || alert("a", "r", (0, 1), "principal_id=ann");
    for (other, expected) in [
        (one(11, 12), vec!["caller:ann ab"]),
        (one(12, 13), vec!["caller:ann a", "caller:ann b"]),
        (one(0, 1), vec!["caller:ann ab"]),
        (alert("b", "r", (1, 2), "principal_id=bob"), vec!["caller:ann a", "caller:bob b"]),
        (alert("b", "r", (1, 2), "principal_id=ann+bob"), vec!["caller:ann a", "alert:b b"]),
    ] {
        assert_eq!(shown(&[a(), other.clone()]), expected, "{} {:?}", other.first_seen, other.entities);
    }
}

#[test]
fn without_a_caller_they_join_by_address_else_by_vault_what_goes_on_at_the_time() {
    let ann = || alert("a", "r", (0, 4), "principal_id=ann caller_ip=1.1.1.1 vault_name=kv-a+kv-b");
    let bob = || alert("b", "r", (0, 4), "principal_id=bob caller_ip=2.2.2.2 vault_name=kv-a");
    let guest = |hours, entities| alert("g", "s", hours, entities);
    for (guest, expected) in [
        (guest((3, 5), "caller_ip=2.2.2.2 vault_name=kv-b"), vec!["caller:ann a", "caller:bob b|g"]),
        (guest((3, 5), "caller_ip=3.3.3.3 vault_name=kv-b"), vec!["caller:ann a|g", "caller:bob b"]),
        (guest((3, 5), "vault_name=KV-A"), vec!["caller:ann a|g", "caller:bob b"]),
        (guest((5, 6), "caller_ip=2.2.2.2"), vec!["caller:ann a", "caller:bob b", "address:2.2.2.2 g"]),
        (guest((5, 6), "vault_name=kv-a"), vec!["caller:ann a", "caller:bob b", "vault:kv-a g"]),
        (guest((3, 5), "subscription_id=s"), vec!["caller:ann a", "caller:bob b", "alert:g g"]),
    ] {
        assert_eq!(shown(&[ann(), bob(), guest.clone()]), expected, "{} {:?}", guest.first_seen, guest.entities);
    }
}

#[test]
fn without_any_caller_they_gather_by_address_else_by_vault() {
    let alerts = [
        alert("a", "r", (0, 1), "caller_ip=1.1.1.1 vault_name=kv-a"),
        alert("b", "s", (2, 3), "caller_ip=1.1.1.1 vault_name=kv-b"),
        alert("c", "r", (0, 2), "vault_name=kv-a"),
        alert("d", "r", (50, 51), "vault_name=kv-c"),
        alert("e", "s", (52, 53), "vault_name=kv-c"),
    ];
    assert_eq!(shown(&alerts), ["address:1.1.1.1 ab|c", "vault:kv-c de"]);
}

#[test]
fn informational_alerts_join_as_context_and_neither_make_nor_bridge_incidents() {
    let info = |id, hours, entities| of(Severity::Informational, alert(id, "r", hours, entities));
    let loud = |id, hours| alert(id, "r", hours, "principal_id=ann vault_name=kv-a");
    for (alerts, expected) in [
        (vec![info("i", (0, 1), "principal_id=ann"), info("j", (1, 2), "principal_id=ann")], vec![]),
        (vec![loud("a", (0, 1)), info("i", (8, 9), "principal_id=ann")], vec!["caller:ann a|i"]),
        (vec![loud("a", (0, 1)), info("i", (12, 13), "principal_id=ann")], vec!["caller:ann a"]),
        (vec![loud("a", (0, 1)), info("i", (0, 1), "principal_id=bob vault_name=kv-a")], vec!["caller:ann a"]),
        (vec![loud("a", (0, 2)), info("i", (1, 3), "vault_name=kv-a")], vec!["caller:ann a|i"]),
        (
            vec![loud("a", (0, 1)), info("i", (8, 9), "principal_id=ann"), loud("b", (15, 16))],
            vec!["caller:ann a", "caller:ann b|i"],
        ),
    ] {
        assert_eq!(shown(&alerts), expected, "{alerts:#?}");
    }
}

#[test]
fn a_condition_that_lasts_longer_than_the_gap_does_not_tie_incidents_together() {
    let loud = |id, hours| alert(id, "r", hours, "principal_id=ann");
    assert_eq!(
        shown(&[loud("l", (0, 90)), loud("a", (20, 21)), loud("b", (60, 61))]),
        ["caller:ann la", "caller:ann b"]
    );
    assert_eq!(shown(&[loud("l", (0, 90)), loud("m", (95, 120))]), ["caller:ann lm"]);
}

#[test]
fn suppressed_closed_and_withdrawn_alerts_are_in_none() {
    let loud = |id| alert(id, "r", (0, 1), "principal_id=ann");
    let alerts = [
        stands(AlertState::Closed, false, loud("c")),
        stands(AlertState::Withdrawn, false, loud("w")),
        stands(AlertState::Open, true, loud("s")),
        stands(AlertState::Acknowledged, false, loud("k")),
        loud("o"),
    ];
    assert_eq!(shown(&alerts), ["caller:ann ko"]);
}

/// Incidents as `id<merged:alerts`, where `new(x)` is an id made of alert x.
fn settled(alerts: &[Alert], known: &[(&str, &str)]) -> Vec<String> {
    let known: Vec<KnownIncident> = known
        .iter()
        .map(|(id, origin)| KnownIncident {
            incident_id: (*id).to_owned(),
            subject: "caller:ann".to_owned(),
            origin_alert: (*origin).to_owned(),
        })
        .collect();
    let settled = settle(correlate(alerts, 10 * HOUR), alerts, &known);
    let shown = settled.iter().map(|s| {
        let ids: String = s.group.own.iter().map(|&i| alerts[i].alert_id.clone()).collect();
        let made_of = alerts.iter().find(|a| incident_id(&s.group.subject, &a.alert_id) == s.incident_id);
        let id = made_of.map_or(s.incident_id.clone(), |a| format!("new({})", a.alert_id));
        let merged: String = s.merged.iter().map(|id| format!("<{id}")).collect();
        format!("{id}{merged}:{ids}")
    });
    shown.collect()
}

#[test]
fn an_id_is_the_oldest_alerts_and_lives_on_while_an_alert_of_it_stands() {
    let ann = |id, start: i64, incident: &str| Alert {
        incident_id: (!incident.is_empty()).then(|| incident.to_owned()),
        ..alert(id, "r", (start, start + 1), "principal_id=ann")
    };
    for (name, alerts, known, expected) in [
        ("a new one", vec![ann("a", 5, ""), ann("b", 0, "")], vec![], vec!["new(b):ba"]),
        ("evaluated again", vec![ann("a", 5, "I")], vec![("I", "a")], vec!["I:a"]),
        ("a later alert", vec![ann("a", 5, "I"), ann("b", 9, "")], vec![("I", "a")], vec!["I:ab"]),
        ("an earlier alert that came late", vec![ann("a", 5, "I"), ann("b", 0, "")], vec![("I", "a")], vec!["I:ba"]),
        ("the oldest is gone", vec![ann("b", 9, "I")], vec![("I", "a")], vec!["I:b"]),
        (
            "two become one",
            vec![ann("a", 30, "I"), ann("b", 10, "J"), ann("c", 20, "")],
            vec![("I", "a"), ("J", "b")],
            vec!["I<J:bca"],
        ),
        ("one falls apart", vec![ann("a", 30, "I"), ann("b", 10, "I")], vec![("I", "a")], vec!["new(b):b", "I:a"]),
        ("after a close", vec![ann("b", 9, "")], vec![("I", "a")], vec!["new(b):b"]),
    ] {
        assert_eq!(settled(&alerts, &known), expected, "{name}");
    }
}

#[test]
fn an_alert_that_only_joined_does_not_carry_an_id_to_another_caller() {
    let host = alert("b", "r", (0, 4), "principal_id=bob vault_name=kv-a");
    let mut guest = alert("g", "s", (0, 4), "vault_name=kv-a");
    guest.incident_id = Some("I".to_owned());
    assert_eq!(settled(&[host, guest], &[("I", "closed")]), ["new(b):b"]);
}
