//! An incident's title and story: what its alerts say, in order, as one sentence about its subject.
//!
//! What a rule's alerts tell is read off words of its id, so that a rule of the user's own finds its verb too; one
//! that has none of these words is told by its title, and is evidence of a kind of its own.

use std::collections::BTreeSet;

use super::{Alert, Micros, Severity, Subject, Value, micros};

/// What an alert of some rules tells.
struct Kind {
    /// Parts of rule ids; the first kind with a part that fits is the rule's.
    words: &'static [&'static str],
    /// The kind of evidence: what follows from one cause is one kind.
    evidence: &'static str,
    /// What the subject did.
    verb: &'static str,
    /// What is counted after the verb.
    counted: Counted,
    /// What stands before vaults.
    at: &'static str,
}

/// Where a step's number comes from.
#[derive(Clone, Copy)]
enum Counted {
    /// There is none.
    Nothing,
    /// `observed`, which counts these.
    Observed(&'static str),
    /// The different objects that the alert names.
    Objects(&'static str),
}

const fn kind(
    words: &'static [&'static str],
    evidence: &'static str,
    verb: &'static str,
    counted: Counted,
    at: &'static str,
) -> Kind {
    Kind { words, evidence, verb, counted, at }
}

use Counted::{Nothing, Objects, Observed};

/// From the particular to the general.
const KINDS: &[Kind] = &[
    kind(&["honey", "bait"], "bait", "touched bait", Nothing, "in"),
    kind(&["self_grant"], "access changes", "granted itself access", Nothing, "to"),
    kind(&["then_allowed"], "access changes", "was refused and then let in", Nothing, "at"),
    kind(&["change_then_read"], "access changes", "gained access and read", Objects("object"), "of"),
    kind(&["policy_flap"], "access changes", "gave access and took it back", Nothing, "at"),
    kind(&["grant"], "access changes", "granted access", Nothing, "to"),
    kind(&["permission_model"], "access changes", "changed the permission model", Nothing, "of"),
    kind(&["network_opened"], "access changes", "opened the network", Nothing, "of"),
    kind(&["protection"], "access changes", "weakened the protection", Nothing, "of"),
    kind(&["diagnostics"], "access changes", "removed the diagnostics", Nothing, "of"),
    kind(&["vault_changed"], "access changes", "changed the settings", Nothing, "of"),
    kind(&["destruct", "delete", "purge"], "destruction", "deleted or purged", Objects("object"), "of"),
    kind(&["tamper"], "destruction", "tampered with", Objects("key"), "of"),
    kind(&["backup", "export"], "exports", "backed up", Objects("object"), "of"),
    kind(&["restore", "recover"], "exports", "restored", Objects("object"), "of"),
    kind(&["denied_spike"], "refusals", "was refused", Observed("time"), "at"),
    kind(&["denied", "refus"], "refusals", "was refused", Nothing, "at"),
    kind(&["guess"], "probing", "guessed names", Nothing, "at"),
    kind(&["unauthenticated", "probe"], "probing", "knocked without a token", Nothing, "at"),
    kind(&["retry"], "throttling", "kept calling while throttled", Nothing, "at"),
    kind(&["throttl"], "throttling", "caused throttling", Nothing, "at"),
    kind(&["limit"], "throttling", "came near the limit", Nothing, "of"),
    kind(&["chatty", "poll", "per_call"], "cost", "called far more often than it needs", Nothing, "at"),
    kind(&["volume"], "cost", "called far more often than before", Nothing, "at"),
    kind(&["crypto"], "cryptography", "used keys far more than before", Nothing, "of"),
    kind(&["listed_address"], "origins", "came from a listed address", Nothing, "to"),
    kind(&["shared_address"], "origins", "shared an address with others", Nothing, "at"),
    kind(&["address"], "origins", "came from an address new to it", Nothing, "to"),
    kind(&["client"], "origins", "came with a client new to it", Nothing, "to"),
    kind(&["dormant"], "origins", "came back after a long silence", Nothing, "to"),
    kind(&["off_hours"], "origins", "worked at hours foreign to it", Nothing, "at"),
    kind(&["new_caller"], "origins", "came to vaults new to it", Nothing, "in"),
    kind(&["silence"], "silence", "fell silent", Nothing, "at"),
    kind(&["mass_secret_read"], "reads", "read", Observed("secret"), "of"),
    kind(&["read", "harvest", "many_vaults"], "reads", "read", Objects("secret"), "of"),
];

fn kind_of(alert: &Alert) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.words.iter().any(|word| alert.rule_id.contains(word)))
}

/// The kind of evidence that an alert is: alerts of one kind are taken to have one cause.
pub(super) fn evidence(alert: &Alert) -> &str {
    kind_of(alert).map_or(&alert.rule_id, |kind| kind.evidence)
}

/// What title and story are made of.
pub(super) struct Parts<'a> {
    pub(super) subject: &'a Subject,
    /// The alerts of the subject itself, oldest first, none of them informational.
    pub(super) own: &'a [&'a Alert],
    /// All alerts, oldest first.
    pub(super) members: &'a [&'a Alert],
    pub(super) severity: Severity,
    /// The highest severity of an alert.
    pub(super) worst: Severity,
    /// How many different rules of low severity and above there are.
    pub(super) agreeing: usize,
}

/// Of one alert its title; else the kinds of evidence in order, and whom they are about.
pub(super) fn title(parts: &Parts<'_>) -> String {
    if let [only] = parts.own {
        return only.title.clone();
    }
    let mut kinds: Vec<&str> = Vec::new();
    for alert in parts.own {
        let kind = kind_of(alert).map_or(alert.title.as_str(), |kind| kind.evidence);
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    let before = match parts.subject {
        Subject::Caller(_) | Subject::Alone(_) => "by",
        Subject::Address(_) => "from",
        Subject::Vault(_) => "on",
    };
    let text = format!("{} {before} {}", listed(&kinds), who(parts));
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// Of one alert its sentence; else a sentence with a step for each thing that happened, in order. Then what else
/// belongs to it, and why its severity is higher than that of its alerts.
pub(super) fn tell(parts: &Parts<'_>) -> String {
    let mut story = match parts.own {
        [only] => only.summary.clone(),
        _ => format!("{} {}.", who(parts), steps(parts.own)),
    };
    let joined = parts.members.iter().filter(|a| !parts.own.iter().any(|own| own.alert_id == a.alert_id));
    let (context, beside): (Vec<&&Alert>, Vec<&&Alert>) = joined.partition(|a| a.severity == Severity::Informational);
    let mut titles: Vec<&str> = Vec::new();
    for alert in beside {
        if !titles.contains(&alert.title.as_str()) {
            titles.push(&alert.title);
        }
    }
    if !titles.is_empty() {
        story.push_str(&format!(" At the same time, by address or vault: {}.", listed(&titles)));
    }
    match context.len() {
        0 => {}
        1 => story.push_str(" 1 informational alert lies beside it."),
        n => story.push_str(&format!(" {n} informational alerts lie beside it.")),
    }
    if parts.severity > parts.worst {
        let (rules, severity, worst) = (parts.agreeing, parts.severity, parts.worst);
        story.push_str(&format!(" {rules} rules agree, so it is {severity} where each alone is {worst} at most."));
    }
    story
}

/// The subject's name.
fn who(parts: &Parts<'_>) -> String {
    let name = || parts.own.iter().find_map(|a| a.entities.get("principal_name").and_then(Value::as_str));
    match parts.subject {
        Subject::Caller(id) => name().unwrap_or(id).to_owned(),
        Subject::Address(address) => format!("address {address}"),
        Subject::Vault(vault) => format!("vault {vault}"),
        Subject::Alone(id) => format!("alert {id}"),
    }
}

/// Alerts that tell one thing.
struct Step<'a> {
    verb: String,
    alerts: Vec<&'a Alert>,
}

/// `was refused 164 times at 5 vaults (2026-10-12 01:05), read 53 secrets of 4 vaults (02:40) and …`.
fn steps(alerts: &[&Alert]) -> String {
    let mut steps: Vec<Step<'_>> = Vec::new();
    for alert in alerts {
        let verb = kind_of(alert).map_or_else(|| format!("set off \"{}\"", alert.title), |kind| kind.verb.to_owned());
        match steps.iter_mut().find(|step| step.verb == verb) {
            Some(step) => step.alerts.push(alert),
            None => steps.push(Step { verb, alerts: vec![alert] }),
        }
    }
    let mut day = String::new();
    let told: Vec<String> = steps.iter().map(|step| told(step, &mut day)).collect();
    listed(&told)
}

/// One step with its numbers and its time; the date where it is another than before.
fn told(step: &Step<'_>, day: &mut String) -> String {
    let mut text = step.verb.clone();
    if let Some((n, noun)) = step.alerts.iter().filter_map(|a| number(a)).max_by_key(|(n, _)| *n) {
        text.push_str(&format!(" {n} {noun}{}", if n == 1 { "" } else { "s" }));
    }
    let vaults: BTreeSet<String> = step.alerts.iter().flat_map(|a| names(a, "vault_name")).collect();
    let at = step.alerts.first().and_then(|a| kind_of(a)).map_or("at", |kind| kind.at);
    match vaults.len() {
        0 => {}
        1 => text.push_str(&format!(" {at} {}", vaults.iter().next().map_or("", String::as_str))),
        n => text.push_str(&format!(" {at} {n} vaults")),
    }
    let first: Option<Micros> = step.alerts.iter().filter_map(|a| micros(&a.first_seen)).min();
    if let Some(time) = first.and_then(chrono::DateTime::from_timestamp_micros) {
        let date = time.format("%Y-%m-%d").to_string();
        let shown = if date == *day { time.format("%H:%M") } else { time.format("%Y-%m-%d %H:%M") };
        text.push_str(&format!(" ({shown})"));
        *day = date;
    }
    text
}

/// How many of what. Alerts of one step count the same things, so the largest number stands and no sum.
fn number(alert: &Alert) -> Option<(u64, &'static str)> {
    let (n, noun) = match kind_of(alert)?.counted {
        Nothing => return None,
        Observed(noun) => (alert.observed.round().max(0.0) as u64, noun),
        Objects(noun) => (names(alert, "object_name").len() as u64, noun),
    };
    (n > 0).then_some((n, noun))
}

fn names(alert: &Alert, entity: &str) -> BTreeSet<String> {
    match alert.entities.get(entity) {
        Some(Value::String(text)) => BTreeSet::from([text.clone()]),
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => BTreeSet::new(),
    }
}

/// `a`, `a and b`, `a, b and c`.
fn listed<T: AsRef<str>>(items: &[T]) -> String {
    let items: Vec<&str> = items.iter().map(AsRef::as_ref).collect();
    match items.as_slice() {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
