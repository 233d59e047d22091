//! The company: its vaults and what is in them, who calls them, and what is planned for the simulated days.
//! Built once from the configuration and then only read, so that actors need not know of each other.

mod callers;
mod people;
mod vaults;

pub(super) use callers::{cloud, enrol, foreign, propagation};

use super::client::ClientId;
use super::config::{By, Config};
use super::dice::Dice;
use super::{DAY, HOUR};

/// Microseconds since the epoch, UTC.
pub(super) type Micros = i64;
pub(super) type VaultId = u16;
pub(super) type ObjectId = u32;
pub(super) type CallerId = u32;

/// In place of a caller: a request without a token.
pub(super) const NOBODY: CallerId = u32::MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Env {
    Prod,
    Staging,
    Dev,
}

impl Env {
    pub(super) fn short(self) -> &'static str {
        match self {
            Env::Prod => "prod",
            Env::Staging => "stg",
            Env::Dev => "dev",
        }
    }
}

#[derive(Debug)]
pub(super) struct Vault {
    pub(super) name: String,
    pub(super) env: Env,
    /// Resource id as logged, upper case.
    pub(super) resource_id: String,
    /// Resource id as Resource Manager writes it.
    pub(super) resource_path: String,
    pub(super) location: &'static str,
    pub(super) region: &'static str,
    /// Roles decide; else access policies.
    pub(super) rbac: bool,
    pub(super) secrets: Vec<ObjectId>,
    pub(super) keys: Vec<ObjectId>,
    pub(super) certificates: Vec<ObjectId>,
}

#[derive(Debug)]
pub(super) struct Object {
    pub(super) vault: VaultId,
    pub(super) name: String,
    /// Versions with the moment from which each is the newest; never empty, oldest first.
    versions: Vec<(Micros, u128)>,
    /// Seconds since the epoch; 0 for no expiry.
    pub(super) expires: i64,
    /// When an attack deletes it.
    pub(super) deleted: Micros,
}

impl Object {
    pub(super) fn version_at(&self, t: Micros) -> u128 {
        let newest = self.versions.iter().rev().find(|(from, _)| *from <= t).or(self.versions.first());
        newest.map_or(0, |(_, version)| *version)
    }
}

/// A network that callers come from; number 0 is the internet.
#[derive(Debug, Default)]
pub(super) struct Network {
    /// Resource id of the subnet; empty for the internet.
    pub(super) subnet: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) ip: u32,
    pub(super) network: u16,
}

impl Address {
    pub(super) fn text(self) -> String {
        std::net::Ipv4Addr::from(self.ip).to_string()
    }
}

#[derive(Debug)]
pub(super) struct Caller {
    pub(super) by: By,
    /// Object id; empty where the token carries none (Azure's own services).
    pub(super) object_id: String,
    pub(super) app_id: String,
    /// Directory name, user name, or the managed identity's name.
    pub(super) name: String,
    /// Resource id of a managed identity, else empty.
    pub(super) identity_resource: String,
    /// How the application proves itself: 1 secret, 2 certificate or managed identity, 0 public client.
    pub(super) proof: u8,
    /// The role assignment that lets it in.
    pub(super) assignment: String,
    /// Its token claims carry times, issuer and token id.
    pub(super) full_claims: bool,
    /// Vaults in which it may read every secret.
    pub(super) reach: Vec<VaultId>,
    pub(super) addresses: Vec<Address>,
    pub(super) client: ClientId,
    /// The tenant that issues its tokens; empty for the company's own.
    pub(super) tenant: String,
    /// Free to be used for an attack: no part of the quiet list.
    pub(super) plain: bool,
}

impl Caller {
    pub(super) fn tenant_in<'a>(&'a self, company: &'a Company) -> &'a str {
        if self.tenant.is_empty() { &company.tenant } else { &self.tenant }
    }
}

/// What a workload does all day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The CSI driver: every pod polls every object at a fixed interval.
    Poller,
    /// Signs and unwraps with the load of the day.
    Crypto,
    /// Reads its configuration at the start and refreshes it every few hours.
    Refresher,
    /// A job at night.
    Batch,
    /// Few secrets behind a short cache, with the load of the day.
    Web,
}

#[derive(Debug)]
pub(super) struct Workload {
    pub(super) caller: CallerId,
    pub(super) role: Role,
    pub(super) vault: VaultId,
    pub(super) objects: Vec<ObjectId>,
    pub(super) instances: usize,
    /// When it begins; before that it does not exist.
    pub(super) since: Micros,
    /// From when on it has twice the instances.
    pub(super) doubles: Micros,
    /// From when on it has these addresses.
    pub(super) moves: (Micros, Vec<Address>),
}

#[derive(Debug)]
pub(super) struct Person {
    pub(super) caller: CallerId,
    /// Hours east of UTC.
    pub(super) zone: i64,
    /// Objects that this person looks at again and again.
    pub(super) favourites: Vec<ObjectId>,
    /// Working days begin at this local hour.
    pub(super) begins: i64,
    /// Away in between.
    pub(super) holiday: Option<(Micros, Micros)>,
    /// Place in the rotation of the on-call weeks.
    pub(super) turn: usize,
}

#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) caller: CallerId,
    /// The application's vaults, in the order of deployment.
    pub(super) vaults: Vec<VaultId>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Rotation {
    pub(super) at: Micros,
    pub(super) object: ObjectId,
}

/// A time in which a vault answers 429 to a share of the calls that use its keys.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pressure {
    pub(super) vault: VaultId,
    pub(super) from: Micros,
    pub(super) to: Micros,
    pub(super) share: f64,
}

/// What a vault suffers for a time: it befalls whoever calls.
#[derive(Debug, Clone, Copy)]
pub(super) struct Condition {
    pub(super) vault: VaultId,
    pub(super) from: Micros,
    pub(super) to: Micros,
    pub(super) effect: Effect,
    /// Number of the attack that it belongs to, from 1.
    pub(super) script: u16,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Effect {
    /// Nothing is logged.
    Silence,
    /// This share of the calls fails with 500 or 503.
    Errors(f64),
    /// Service times are so many times as long.
    Slow(f64),
    /// An object is disabled, and who uses it is refused.
    Disabled(ObjectId),
}

/// Callers with one peculiar habit each; absent in a company without the quiet list.
#[derive(Debug, Clone, Copy)]
pub(super) struct Oddities {
    pub(super) scanner: CallerId,
    pub(super) backup: CallerId,
    pub(super) rotator: CallerId,
    /// An application with steady refusals, and the object that it may not read.
    pub(super) refused: (CallerId, ObjectId),
    /// An application that asks for a secret that is not there.
    pub(super) missing: (CallerId, VaultId),
    /// An application that builds its client anew for each call.
    pub(super) per_call: CallerId,
}

/// Azure's own services, which call by themselves and carry an application id alone.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Platform {
    pub(super) resource_graph: CallerId,
    pub(super) policy: CallerId,
    pub(super) app_service: CallerId,
}

#[derive(Debug)]
pub(super) struct Company {
    pub(super) seed: u64,
    pub(super) from: Micros,
    pub(super) to: Micros,
    pub(super) tenant: String,
    pub(super) subscriptions: Vec<String>,
    pub(super) vaults: Vec<Vault>,
    pub(super) objects: Vec<Object>,
    pub(super) callers: Vec<Caller>,
    pub(super) networks: Vec<Network>,
    pub(super) workloads: Vec<Workload>,
    pub(super) people: Vec<Person>,
    pub(super) pipelines: Vec<Pipeline>,
    pub(super) oddities: Option<Oddities>,
    pub(super) platform: Platform,
    pub(super) rotations: Vec<Rotation>,
    pub(super) pressures: Vec<Pressure>,
    pub(super) conditions: Vec<Condition>,
    /// Where and when attacks call.
    pub(super) raids: Vec<(VaultId, Micros)>,
}

impl Company {
    /// The company of this configuration, without any attack.
    pub(super) fn found(config: &Config) -> Self {
        let mut dice = Dice::new(config.seed, "company", 0);
        let mut company = Company {
            seed: config.seed,
            from: config.from(),
            to: config.to(),
            tenant: dice.uuid(),
            subscriptions: (0..3).map(|_| dice.uuid()).collect(),
            vaults: Vec::new(),
            objects: Vec::new(),
            callers: Vec::new(),
            networks: vec![Network::default()],
            workloads: Vec::new(),
            people: Vec::new(),
            pipelines: Vec::new(),
            oddities: None,
            platform: Platform::default(),
            rotations: Vec::new(),
            pressures: Vec::new(),
            conditions: Vec::new(),
            raids: Vec::new(),
        };
        vaults::furnish(&mut company, config, &mut dice);
        callers::employ(&mut company, config, &mut dice);
        if config.quiet {
            company.plan_rotations(config);
        }
        company
    }

    /// An object that nobody has a reason to touch, in the shared vault. It stands in no list: what reads whole vaults
    /// for a living passes it by.
    pub(super) fn add_bait(&mut self, name: String, dice: &mut Dice) {
        let versions = vec![(Micros::MIN, dice.wide())];
        self.objects.push(Object { vault: 0, name, versions, expires: 0, deleted: Micros::MAX });
    }

    pub(super) fn vault(&self, id: VaultId) -> &Vault {
        &self.vaults[usize::from(id)]
    }

    pub(super) fn object(&self, id: ObjectId) -> &Object {
        &self.objects[id as usize]
    }

    pub(super) fn caller(&self, id: CallerId) -> &Caller {
        &self.callers[id as usize]
    }

    /// Whether a call on this vault's keys would be turned away now, and with which probability.
    pub(super) fn pressure(&self, vault: VaultId, t: Micros) -> f64 {
        let on = |p: &&Pressure| p.vault == vault && p.from <= t && t < p.to;
        self.pressures.iter().find(on).map_or(0.0, |p| p.share)
    }

    /// The production vaults.
    pub(super) fn prod(&self) -> Vec<VaultId> {
        self.vault_ids().filter(|v| self.vault(*v).env == Env::Prod).collect()
    }

    pub(super) fn vault_ids(&self) -> impl Iterator<Item = VaultId> + use<> {
        0..self.vaults.len() as VaultId
    }

    /// Secrets that workloads read get new versions on working days, about one in ten weeks each.
    fn plan_rotations(&mut self, config: &Config) {
        let mut dice = Dice::new(self.seed, "rotations", 0);
        let reads =
            |w: &&Workload| matches!(w.role, Role::Poller | Role::Refresher | Role::Web) && w.since <= self.from;
        let readers = self.workloads.iter().filter(reads);
        let mut used: Vec<ObjectId> = readers.flat_map(|w| w.objects.iter().copied()).collect();
        used.sort_unstable();
        used.dedup();
        let wanted = (used.len() * config.days as usize / 70).clamp(2, 4 * config.days as usize);
        for _ in 0..wanted {
            let object = dice.pick(&used);
            let at = next_office_hour(config.at_share(dice.between(0.1, 0.9)), &mut dice);
            if at < self.to - HOUR && !self.rotations.iter().any(|r| r.object == object) {
                self.rotations.push(Rotation { at, object });
                self.objects[object as usize].versions.push((at, dice.wide()));
            }
        }
        self.rotations.sort_by_key(|r| (r.at, r.object));
    }
}

/// Hour of the day in UTC, 0 to 23.
pub(super) fn hour_of(t: Micros) -> i64 {
    t.rem_euclid(DAY) / HOUR
}

/// Monday 0 to Sunday 6.
pub(super) fn weekday(t: Micros) -> i64 {
    (t.div_euclid(DAY) + 3).rem_euclid(7)
}

/// Days since the epoch.
pub(super) fn day_of(t: Micros) -> i64 {
    t.div_euclid(DAY)
}

/// A moment between 9 and 15 o'clock UTC on the day of `t`, or on the Monday after a weekend.
pub(super) fn next_office_hour(t: Micros, dice: &mut Dice) -> Micros {
    let ahead = match weekday(t) {
        5 => 2,
        6 => 1,
        _ => 0,
    };
    (day_of(t) + ahead) * DAY + 9 * HOUR + (dice.unit() * 6.0 * HOUR as f64) as i64
}

/// Whether it is this person's week on call: teams of up to four take turns.
pub(super) fn on_call(person: &Person, people: usize, t: Micros) -> bool {
    let week = (day_of(t) + 3).div_euclid(7);
    let team = people.clamp(1, 4) as i64;
    week.rem_euclid(team) == person.turn as i64 % team
}

/// First and last moment of this person's weeks on call; none where no week falls into the days.
pub(super) fn on_call_nights(company: &Company, person: &Person) -> Option<(Micros, Micros)> {
    let days = day_of(company.from)..=day_of(company.to - 1);
    let away = person.holiday.unwrap_or((0, 0));
    let there = |d: &i64| !(away.0..away.1).contains(&(d * DAY));
    let mut nights = days.filter(|d| on_call(person, company.people.len(), d * DAY)).filter(there);
    let first = nights.next()?;
    let last = nights.next_back().unwrap_or(first);
    Some(((first * DAY).max(company.from), ((last + 1) * DAY).min(company.to)))
}
