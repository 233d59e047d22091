//! Which alerts belong together: those of one caller, else of one address, else of one vault, that are close in time.
//! Pure: the same alerts give the same groups, in whatever order they are handed in.
//!
//! An incident is built of alerts of low severity and above. Informational ones join it as context: they neither make
//! an incident nor tie two together. Nor does an alert that lasts longer than the gap: a condition that goes on for
//! weeks would make one incident of everything that its caller does meanwhile, so it joins the first that it is near.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Alert, AlertState, Micros, Severity, Value, incident_id, micros};

/// A day: alerts of one caller that lie further apart are two incidents.
pub const INCIDENT_GAP: Micros = 86_400_000_000;

/// Whom or what an incident is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A caller, by principal_id in lower case.
    Caller(String),
    /// An address, for alerts that know no caller.
    Address(String),
    /// A vault, for alerts that know neither caller nor address.
    Vault(String),
    /// An alert that names none of them, by its id.
    Alone(String),
}

impl Subject {
    /// Kind and value, as the identity hashes them.
    pub fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Caller(value) => ("caller", value),
            Self::Address(value) => ("address", value),
            Self::Vault(value) => ("vault", value),
            Self::Alone(value) => ("alert", value),
        }
    }
}

/// Alerts that make one incident, as indexes into what [`correlate`] was handed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// What they have in common.
    pub subject: Subject,
    /// Those that make the incident, oldest first; at least one.
    pub own: Vec<usize>,
    /// Those that joined it by address or vault, or as context; oldest first.
    pub joined: Vec<usize>,
}

/// An alert with its place in time.
#[derive(Clone, Copy)]
struct Placed<'a> {
    index: usize,
    alert: &'a Alert,
    start: Micros,
    end: Micros,
}

impl<'a> Placed<'a> {
    fn new(index: usize, alert: &'a Alert) -> Self {
        let time = |seen: &str, window: &str| micros(seen).or_else(|| micros(window)).unwrap_or(0);
        let start = time(&alert.first_seen, &alert.window_start);
        Self { index, alert, start, end: time(&alert.last_seen, &alert.window_end).max(start) }
    }

    fn age(&self) -> (Micros, &'a str) {
        (self.start, &self.alert.alert_id)
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.start <= other.end && other.start <= self.end
    }

    /// Whether both name one value of this entity.
    fn shares(&self, other: &Self, name: &str) -> bool {
        let theirs = values(other.alert, name);
        values(self.alert, name).iter().any(|mine| theirs.contains(mine))
    }
}

/// The values of an entity, in lower case.
fn values(alert: &Alert, name: &str) -> Vec<String> {
    let texts: Vec<&str> = match alert.entities.get(name) {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    texts.into_iter().filter(|text| !text.is_empty()).map(str::to_lowercase).collect()
}

/// The value of an entity that has exactly one: several callers are none.
fn single(alert: &Alert, name: &str) -> Option<String> {
    let mut values = values(alert, name);
    if values.len() == 1 { values.pop() } else { None }
}

fn takes_part(alert: &Alert) -> bool {
    matches!(alert.state, AlertState::Open | AlertState::Acknowledged) && !alert.suppressed
}

/// Alerts of one subject that are close in time, with those that joined.
struct Episode<'a> {
    subject: Subject,
    start: Micros,
    end: Micros,
    own: Vec<Placed<'a>>,
    joined: Vec<Placed<'a>>,
}

impl<'a> Episode<'a> {
    fn of(subject: &Subject, first: Placed<'a>) -> Self {
        Self { subject: subject.clone(), start: first.start, end: first.end, own: vec![first], joined: Vec::new() }
    }

    /// How far the alert lies from it; 0 where they overlap.
    fn distance(&self, alert: &Placed<'_>) -> Micros {
        (alert.start.saturating_sub(self.end)).max(self.start.saturating_sub(alert.end)).max(0)
    }

    fn has(&self, guest: &Placed<'_>, entity: &str) -> bool {
        self.own.iter().any(|own| own.overlaps(guest) && own.shares(guest, entity))
    }
}

/// Groups alerts into incidents, no further apart than `gap`, oldest incident first. Suppressed, closed and withdrawn
/// alerts are in none.
pub fn correlate(alerts: &[Alert], gap: Micros) -> Vec<Group> {
    let mut placed: Vec<Placed<'_>> =
        alerts.iter().enumerate().filter(|(_, a)| takes_part(a)).map(|(i, a)| Placed::new(i, a)).collect();
    placed.sort_by_key(Placed::age);
    let (context, loud): (Vec<_>, Vec<_>) =
        placed.into_iter().partition(|p| p.alert.severity == Severity::Informational);
    let caller = |p: &Placed<'_>| single(p.alert, "principal_id").map(Subject::Caller);
    let address = |p: &Placed<'_>| single(p.alert, "caller_ip").map(Subject::Address);
    let (mut all, rest) = episodes_by(loud, caller, gap);
    let rest = join(&mut all, rest, &["caller_ip", "vault_name"]);
    let (mut addresses, rest) = episodes_by(rest, address, gap);
    let rest = join(&mut addresses, rest, &["vault_name"]);
    let place = |p: &Placed<'_>| {
        let vault = single(p.alert, "vault_name").map(Subject::Vault);
        vault.or_else(|| Some(Subject::Alone(p.alert.alert_id.clone())))
    };
    let (vaults, _none) = episodes_by(rest, place, gap);
    all.extend(addresses);
    all.extend(vaults);
    add_context(&mut all, context, gap);
    let mut groups: Vec<(Micros, Group)> = all.into_iter().map(|episode| (episode.start, group(episode))).collect();
    groups.sort_by(|a, b| (a.0, &a.1.subject).cmp(&(b.0, &b.1.subject)));
    groups.into_iter().map(|(_, group)| group).collect()
}

fn group(episode: Episode<'_>) -> Group {
    let indexes = |mut placed: Vec<Placed<'_>>| {
        placed.sort_by_key(Placed::age);
        placed.iter().map(|p| p.index).collect()
    };
    Group { subject: episode.subject, own: indexes(episode.own), joined: indexes(episode.joined) }
}

/// Episodes of the alerts that have a subject, and the alerts that have none.
fn episodes_by<'a>(
    placed: Vec<Placed<'a>>,
    subject: impl Fn(&Placed<'a>) -> Option<Subject>,
    gap: Micros,
) -> (Vec<Episode<'a>>, Vec<Placed<'a>>) {
    let mut by_subject: BTreeMap<Subject, Vec<Placed<'a>>> = BTreeMap::new();
    let mut rest = Vec::new();
    for alert in placed {
        match subject(&alert) {
            Some(subject) => by_subject.entry(subject).or_default().push(alert),
            None => rest.push(alert),
        }
    }
    (by_subject.into_iter().flat_map(|(subject, alerts)| episodes(&subject, alerts, gap)).collect(), rest)
}

/// The alerts of one subject, oldest first, cut where they lie further apart than the gap.
fn episodes<'a>(subject: &Subject, placed: Vec<Placed<'a>>, gap: Micros) -> Vec<Episode<'a>> {
    let (lasting, brief): (Vec<_>, Vec<_>) = placed.into_iter().partition(|p| p.end - p.start > gap);
    let mut episodes: Vec<Episode<'a>> = Vec::new();
    for alert in brief {
        match episodes.last_mut() {
            Some(last) if last.distance(&alert) <= gap => {
                last.end = last.end.max(alert.end);
                last.own.push(alert);
            }
            _ => episodes.push(Episode::of(subject, alert)),
        }
    }
    for alert in lasting {
        match episodes.iter_mut().filter(|e| e.distance(&alert) <= gap).min_by_key(|e| e.start) {
            Some(episode) => episode.own.push(alert),
            None => episodes.push(Episode::of(subject, alert)),
        }
    }
    episodes
}

/// Adds each alert to the first episode that has, at the same time, one of its entities; the first entity that leads
/// anywhere decides. Hands back those that found none. Who joined takes nobody along.
fn join<'a>(episodes: &mut [Episode<'a>], guests: Vec<Placed<'a>>, entities: &[&str]) -> Vec<Placed<'a>> {
    let mut rest = Vec::new();
    for guest in guests {
        let host = entities.iter().find_map(|entity| {
            let hosts = episodes.iter().enumerate().filter(|(_, e)| e.has(&guest, entity));
            hosts.min_by_key(|(_, e)| (e.start, &e.subject)).map(|(at, _)| at)
        });
        match host {
            Some(at) => episodes[at].joined.push(guest),
            None => rest.push(guest),
        }
    }
    rest
}

/// Informational alerts go to the nearest episode of their caller, else to one of their address or vault, else nowhere.
fn add_context<'a>(episodes: &mut [Episode<'a>], context: Vec<Placed<'a>>, gap: Micros) {
    let mut of_subject: HashMap<Subject, Vec<usize>> = HashMap::new();
    for (at, episode) in episodes.iter().enumerate() {
        of_subject.entry(episode.subject.clone()).or_default().push(at);
    }
    let mut strangers = Vec::new();
    for alert in context {
        let Some(subject) = single(alert.alert, "principal_id").map(Subject::Caller) else {
            strangers.push(alert);
            continue;
        };
        let near = of_subject.get(&subject).into_iter().flatten().copied();
        let near = near.map(|at| (episodes[at].distance(&alert), episodes[at].start, at));
        if let Some((_, _, at)) = near.filter(|(distance, ..)| *distance <= gap).min() {
            episodes[at].joined.push(alert);
        }
    }
    join(episodes, strangers, &["caller_ip", "vault_name"]);
}

/// An incident that was given out before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownIncident {
    /// Its id.
    pub incident_id: String,
    /// Whom it was about: [`Subject::parts`], joined by a colon.
    pub subject: String,
    /// The alert whose id its own was made of.
    pub origin_alert: String,
}

/// A group that has its incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// The alerts.
    pub group: Group,
    /// The incident's id.
    pub incident_id: String,
    /// The id that it would have had, had its alerts come in the order of time.
    pub canonical: String,
    /// Known incidents that became part of it.
    pub merged: Vec<String>,
}

/// Gives each group its incident's id. A group carries on the oldest of the known incidents (handed in oldest first)
/// that live on in it: where the alert is which the id was made of, else where one of its subject's alerts is.
pub fn settle(groups: Vec<Group>, alerts: &[Alert], known: &[KnownIncident]) -> Vec<Settled> {
    let homes = Homes::of(&groups, alerts);
    let mut residents: Vec<Vec<String>> = vec![Vec::new(); groups.len()];
    for incident in known {
        if let Some(at) = homes.home(incident) {
            residents[at].push(incident.incident_id.clone());
        }
    }
    let taken: HashSet<&str> = known.iter().map(|incident| incident.incident_id.as_str()).collect();
    let settled = groups.into_iter().zip(residents).map(|(group, residents)| {
        let mut residents = residents.into_iter();
        let mut canonical = incident_id(&group.subject, &alerts[group.own[0]].alert_id);
        let survivor = residents.next();
        // Taken by an incident that lives on elsewhere, after an alert was merged and split again.
        while survivor.is_none() && taken.contains(canonical.as_str()) {
            canonical = incident_id(&group.subject, &canonical);
        }
        Settled {
            incident_id: survivor.unwrap_or_else(|| canonical.clone()),
            merged: residents.collect(),
            canonical,
            group,
        }
    });
    settled.collect()
}

/// Where incidents live on.
struct Homes<'a> {
    /// The group of each alert.
    by_alert: HashMap<&'a str, usize>,
    /// The first group of a subject that has one of an incident's alerts, by subject and incident.
    by_incident: HashMap<(String, &'a str), usize>,
}

impl<'a> Homes<'a> {
    fn of(groups: &[Group], alerts: &'a [Alert]) -> Self {
        let mut homes = Self { by_alert: HashMap::new(), by_incident: HashMap::new() };
        for (at, group) in groups.iter().enumerate() {
            for &i in group.own.iter().chain(&group.joined) {
                homes.by_alert.insert(&alerts[i].alert_id, at);
            }
            let subject = group.subject.to_string();
            for incident in group.own.iter().filter_map(|&i| alerts[i].incident_id.as_deref()) {
                homes.by_incident.entry((subject.clone(), incident)).or_insert(at);
            }
        }
        homes
    }

    fn home(&self, incident: &'a KnownIncident) -> Option<usize> {
        let by_part = || self.by_incident.get(&(incident.subject.clone(), incident.incident_id.as_str()));
        self.by_alert.get(incident.origin_alert.as_str()).or_else(by_part).copied()
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (kind, value) = self.parts();
        write!(f, "{kind}:{value}")
    }
}

#[cfg(test)]
#[path = "correlate_tests.rs"]
mod tests;
