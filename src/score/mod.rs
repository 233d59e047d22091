//! Alerts held against the labels of simulated logs: what was found, how soon, and what was a false alarm.
//!
//! The rules of matching are the strict ones of docs/score.md: an alert finds an attack if their times overlap and it
//! names whose doing it is, and an alert that names too many or spans too long finds nothing. Reads no file and no table.

mod matching;
#[cfg(test)]
mod tests;
mod truth;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::alert::{Alert, AlertState, Micros, Severity};

pub use truth::{Attack, Truth};

use matching::Match;

const DAY: f64 = 86_400e6;
const MINUTE: f64 = 60e6;

/// An alert with what its JSON leaves out.
#[derive(Debug, Clone)]
pub struct Raised {
    /// The alert.
    pub alert: Alert,
    /// The windows' ends of its findings, in order.
    pub ends: Vec<Micros>,
}

/// The outcome of one run.
#[derive(Debug, Clone, Serialize)]
pub struct Score {
    /// Days that the logs cover.
    pub days: f64,
    /// Share of the attacks that some alert found.
    pub recall: f64,
    /// Share of the attacks of families with a detection that this detection itself found.
    pub own_recall: f64,
    /// Median time from an attack's first record to the first alert that found it.
    pub median_minutes: Option<f64>,
    /// Alerts a day that belong to no attack.
    pub false_alerts_a_day: f64,
    /// Alerts a day that tell of somebody who suffers from an attack: neither a find nor false.
    pub consequences_a_day: f64,
    /// All alerts a day, of low severity and above.
    pub alerts_a_day: f64,
    /// Attack by attack, in order of time.
    pub attacks: Vec<Found>,
    /// Family by family.
    pub families: Vec<Family>,
    /// Rule by rule, those that raised an alert.
    pub rules: Vec<RuleScore>,
}

/// How one attack fared.
#[derive(Debug, Clone, Serialize)]
pub struct Found {
    /// Its name in the labels.
    pub id: String,
    /// Its family: the id of the detection that is made for it.
    pub family: String,
    /// Fast or slow.
    pub form: String,
    /// Whether any alert found it.
    pub found: bool,
    /// The rule of the first alert that did.
    pub rule: Option<String>,
    /// Minutes from its first record to that alert.
    pub minutes: Option<f64>,
    /// What its own detection did: found, missed, or no rule.
    pub own: Own,
    /// Minutes until its own detection found it.
    pub own_minutes: Option<f64>,
}

/// What the detection of an attack's own family did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Own {
    /// It raised an alert that found the attack.
    Found,
    /// It did not.
    Missed,
    /// No rule has this id.
    NoRule,
}

/// How the attacks of one family fared.
#[derive(Debug, Clone, Serialize)]
pub struct Family {
    /// The family.
    pub family: String,
    /// Attacks of it.
    pub attacks: usize,
    /// Those that some alert found.
    pub found: usize,
    /// Those that its own detection found; none where no rule has the id.
    pub own_found: Option<usize>,
    /// Median minutes to the first alert, over those found.
    pub median_minutes: Option<f64>,
}

/// How one rule fared.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RuleScore {
    /// The rule.
    pub rule: String,
    /// Its alerts of low severity and above.
    pub alerts: usize,
    /// Those that found an attack.
    pub finds: usize,
    /// Those that tell of somebody who suffers from one.
    pub consequences: usize,
    /// The rest.
    pub false_alerts: usize,
    /// The rest, a day.
    pub false_alerts_a_day: f64,
}

/// Holds alerts against the truth. `rules` are the detections there are, each with the columns of its key.
pub fn score(truth: &Truth, raised: &[Raised], rules: &BTreeMap<String, Vec<String>>) -> Score {
    let counts = |r: &&Raised| {
        r.alert.severity >= Severity::Low && r.alert.state != AlertState::Withdrawn && !r.alert.suppressed
    };
    let counted: Vec<&Raised> = raised.iter().filter(counts).collect();
    let key = |r: &Raised| rules.get(&r.alert.rule_id).map(Vec::as_slice);
    let judged: Vec<Vec<Match>> =
        counted.iter().map(|r| truth.attacks.iter().map(|a| matching::judge(a, r, key(r))).collect()).collect();
    let attacks: Vec<Found> =
        truth.attacks.iter().enumerate().map(|(i, a)| found(a, i, &counted, &judged, rules)).collect();
    let days = ((truth.to - truth.from) as f64 / DAY).max(f64::MIN_POSITIVE);
    let by_rule = by_rule(&counted, &judged, days);
    let total = |pick: fn(&RuleScore) -> usize| by_rule.iter().map(pick).sum::<usize>() as f64 / days;
    let owned = attacks.iter().filter(|a| a.own != Own::NoRule).count();
    Score {
        days,
        recall: share(attacks.iter().filter(|a| a.found).count(), attacks.len()),
        own_recall: share(attacks.iter().filter(|a| a.own == Own::Found).count(), owned),
        median_minutes: median(attacks.iter().filter_map(|a| a.minutes)),
        false_alerts_a_day: total(|r| r.false_alerts),
        consequences_a_day: total(|r| r.consequences),
        alerts_a_day: total(|r| r.alerts),
        families: families(&attacks),
        attacks,
        rules: by_rule,
    }
}

fn found(
    attack: &Attack,
    index: usize,
    counted: &[&Raised],
    judged: &[Vec<Match>],
    rules: &BTreeMap<String, Vec<String>>,
) -> Found {
    let finds = || {
        let pairs = counted.iter().zip(judged).filter(move |(_, m)| m[index] == Match::Finds);
        pairs.map(|(r, _)| (matching::minutes(attack, r), &r.alert.rule_id))
    };
    let sooner = |a: &(f64, &String), b: &(f64, &String)| a.0.total_cmp(&b.0).then(a.1.cmp(b.1));
    let first = finds().min_by(sooner);
    let own = finds().filter(|f| *f.1 == attack.kind).min_by(sooner);
    Found {
        id: attack.id.clone(),
        family: attack.kind.clone(),
        form: attack.form.clone(),
        found: first.is_some(),
        rule: first.map(|f| f.1.clone()),
        minutes: first.map(|f| f.0),
        own: match own {
            Some(_) => Own::Found,
            None if rules.contains_key(&attack.kind) => Own::Missed,
            None => Own::NoRule,
        },
        own_minutes: own.map(|f| f.0),
    }
}

fn by_rule(counted: &[&Raised], judged: &[Vec<Match>], days: f64) -> Vec<RuleScore> {
    let mut rules: BTreeMap<&str, RuleScore> = BTreeMap::new();
    for (raised, matches) in counted.iter().zip(judged) {
        let rule = rules.entry(raised.alert.rule_id.as_str()).or_default();
        rule.rule.clone_from(&raised.alert.rule_id);
        rule.alerts += 1;
        if matches.contains(&Match::Finds) {
            rule.finds += 1;
        } else if matches.contains(&Match::Suffers) {
            rule.consequences += 1;
        } else {
            rule.false_alerts += 1;
        }
        rule.false_alerts_a_day = rule.false_alerts as f64 / days;
    }
    rules.into_values().collect()
}

fn families(attacks: &[Found]) -> Vec<Family> {
    let mut families: BTreeMap<&str, Vec<&Found>> = BTreeMap::new();
    for attack in attacks {
        families.entry(&attack.family).or_default().push(attack);
    }
    let family = |(name, attacks): (&str, Vec<&Found>)| Family {
        family: name.to_owned(),
        attacks: attacks.len(),
        found: attacks.iter().filter(|a| a.found).count(),
        own_found: (attacks[0].own != Own::NoRule).then(|| attacks.iter().filter(|a| a.own == Own::Found).count()),
        median_minutes: median(attacks.iter().filter_map(|a| a.minutes)),
    };
    families.into_iter().map(family).collect()
}

/// Of nothing everything was found.
fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        n if n % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}
