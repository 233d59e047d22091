//! Attacks on request: a file a kind. Each is planned whole before the days are lived, since other callers feel it
//! (a flooded vault turns them away, a deleted secret is gone), and then played like any other actor.
//!
//! To add a kind: a value in [`AttackKind`], a file here with its [`Attack`], a line in [`of`].

mod backup_export;
mod chatty_caller;
mod denied_spike;
mod denied_sweep;
mod destructive_operations;
mod list_then_read;
mod mass_secret_read;
mod name_guessing;
mod slow_harvest;
mod throttling;
mod unauthenticated_probe;

use super::agent::Agent;
use super::call::{Call, Sink, Stage};
use super::client;
use super::company::{
    Address, CallerId, Company, Micros, ObjectId, Pressure, Role, VaultId, Workload, foreign, weekday,
};
use super::config::{AttackKind, AttackRequest, By, Config, Form, Origin};
use super::dice::Dice;
use super::life::{Actor, Hour};
use super::{DAY, HOUR, SimulateError};

/// A kind of attack.
pub(super) trait Attack: Sync {
    /// What it is by default: whose identity, from where, at which hour of the day (UTC, earliest and latest).
    fn habit(&self) -> Habit;

    /// The most time that it takes.
    fn lasts(&self, form: Form) -> Micros;

    /// How well this caller suits it; the best free one is taken, and 0 means never.
    fn suits(&self, company: &Company, caller: CallerId) -> usize;

    /// Plays it from `scene.at` on.
    fn act(&self, scene: &mut Scene<'_>);
}

pub(super) struct Habit {
    by: By,
    from: Origin,
    hours: (i64, i64),
}

const NIGHT: (i64, i64) = (1, 5);
const OFFICE: (i64, i64) = (9, 13);

/// The attack of this kind.
fn of(kind: AttackKind) -> &'static dyn Attack {
    match kind {
        AttackKind::MassSecretRead => &mass_secret_read::MassSecretRead,
        AttackKind::DeniedSpike => &denied_spike::DeniedSpike,
        AttackKind::Throttling => &throttling::Throttling,
        AttackKind::ChattyCaller => &chatty_caller::ChattyCaller,
        AttackKind::ListThenRead => &list_then_read::ListThenRead,
        AttackKind::SlowHarvest => &slow_harvest::SlowHarvest,
        AttackKind::DeniedSweep => &denied_sweep::DeniedSweep,
        AttackKind::NameGuessing => &name_guessing::NameGuessing,
        AttackKind::UnauthenticatedProbe => &unauthenticated_probe::UnauthenticatedProbe,
        AttackKind::DestructiveOperations => &destructive_operations::DestructiveOperations,
        AttackKind::BackupExport => &backup_export::BackupExport,
    }
}

/// Where an attack is played: its agent, and what it does to the company.
pub(super) struct Scene<'a> {
    pub(super) company: &'a Company,
    pub(super) caller: CallerId,
    pub(super) agent: Agent,
    pub(super) at: Micros,
    pub(super) form: Form,
    /// Records that the whole simulation aims at: loud attacks take a share of it.
    pub(super) target: f64,
    sink: Sink,
    actor: u32,
    pressures: Vec<Pressure>,
    deletions: Vec<(ObjectId, Micros)>,
}

impl<'a> Scene<'a> {
    /// The agent and its stage, to make a call.
    pub(super) fn agent(&mut self) -> (&mut Agent, Stage<'_>) {
        (&mut self.agent, Stage { company: self.company, sink: &mut self.sink })
    }

    pub(super) fn dice(&mut self) -> &mut Dice {
        &mut self.agent.dice
    }

    /// Secrets that the caller may read.
    pub(super) fn reachable(&self) -> Vec<ObjectId> {
        reach_of(self.company, self.caller)
    }

    /// Vaults that are closed to the caller; all, where none is.
    pub(super) fn closed(&self) -> Vec<VaultId> {
        let reach = &self.company.caller(self.caller).reach;
        let closed: Vec<VaultId> = self.company.vault_ids().filter(|v| !reach.contains(v)).collect();
        if closed.is_empty() { self.company.vault_ids().collect() } else { closed }
    }

    /// The fullest vault that the caller may read.
    pub(super) fn fullest(&self) -> VaultId {
        let reach = self.company.caller(self.caller).reach.iter().copied();
        reach.max_by_key(|v| (self.company.vault(*v).secrets.len(), std::cmp::Reverse(*v))).unwrap_or(0)
    }

    /// Another caller who happens to be there; its calls are no part of the attack.
    fn bystander(&mut self, caller: CallerId) -> Agent {
        self.actor += 1;
        Agent::new(self.company, caller, self.actor, "bystander")
    }
}

fn reach_of(company: &Company, caller: CallerId) -> Vec<ObjectId> {
    let reach = &company.caller(caller).reach;
    reach.iter().flat_map(|v| company.vault(*v).secrets.iter().copied()).collect()
}

fn workload_of(company: &Company, caller: CallerId) -> Option<&Workload> {
    company.workloads.iter().find(|w| w.caller == caller)
}

/// How well a caller suits who must have a role: best in that role, else by what it may read.
fn in_role(company: &Company, caller: CallerId, role: Role) -> usize {
    match workload_of(company, caller) {
        Some(workload) if workload.role == role => 1000 + workload.objects.len(),
        Some(_) => 500,
        None => company.caller(caller).reach.len(),
    }
}

/// An attack that is ready to be played.
pub(super) struct Planned {
    pub(super) request: AttackRequest,
    pub(super) from: Origin,
    /// Whose identity; nobody's where no token is shown.
    pub(super) caller: Option<CallerId>,
    pub(super) address: Address,
    pub(super) calls: Vec<Call>,
}

/// Plans every attack and writes into the company what others will feel of it. In order of time.
///
/// # Errors
/// [`SimulateError::NoCaller`] where no free identity of the wanted type is left.
pub(super) fn plan(company: &mut Company, config: &Config) -> Result<Vec<Planned>, SimulateError> {
    let mut dice = Dice::new(config.seed, "attacks", 0);
    let mut order: Vec<usize> = (0..config.attacks.len()).collect();
    // Those that want a certain role choose first.
    order.sort_by_key(|i| !matches!(config.attacks[*i].kind, AttackKind::Throttling | AttackKind::ChattyCaller));
    let mut taken: Vec<CallerId> = Vec::new();
    let mut planned = Vec::new();
    for index in order {
        let request = &config.attacks[index];
        let caller = choose(company, request, &taken)?;
        taken.push(caller);
        let at = when(config, request, index, &mut dice);
        let (scene, from) = play(company, config, request, caller, at, index);
        let Scene { mut sink, pressures, deletions, agent, .. } = scene;
        company.pressures.extend(pressures);
        for (object, at) in deletions {
            company.objects[object as usize].deleted = at;
        }
        let calls = sink.take_until(company.to);
        let nobody = request.kind == AttackKind::UnauthenticatedProbe;
        let caller = (!nobody).then_some(caller);
        planned.push(Planned { request: request.clone(), from, caller, address: agent.first_address(), calls });
    }
    planned.sort_by_key(|p| p.calls.first().map(|c| c.at));
    for (index, attack) in planned.iter_mut().enumerate() {
        for call in attack.calls.iter_mut().filter(|c| c.script > 0) {
            call.script = index as u16 + 1;
        }
    }
    Ok(planned)
}

/// The best caller for an attack: of the type that was asked for, else of the type that suits the kind, else of any,
/// else one that another attack uses already, as a company with few identities must.
fn choose(company: &Company, request: &AttackRequest, taken: &[CallerId]) -> Result<CallerId, SimulateError> {
    let attack = of(request.kind);
    let best = |by: Option<By>, taken: &[CallerId]| {
        let fits = |c: &CallerId| {
            let caller = company.caller(*c);
            caller.plain && by.is_none_or(|by| caller.by == by) && !taken.contains(c)
        };
        let callers = (0..company.callers.len() as CallerId).filter(fits);
        let ranked = callers.map(|c| (attack.suits(company, c), std::cmp::Reverse(c)));
        ranked.filter(|r| r.0 > 0).max().map(|(_, caller)| caller.0)
    };
    let found = match request.by {
        Some(by) => best(Some(by), taken),
        None => best(Some(attack.habit().by), taken).or_else(|| best(None, taken)).or_else(|| best(None, &[])),
    };
    let by = request.by.unwrap_or(attack.habit().by);
    found.ok_or(SimulateError::NoCaller { kind: request.kind, by })
}

/// The time that was asked for; else a day of the last quarter (three days at least), each attack further on.
fn when(config: &Config, request: &AttackRequest, index: usize, dice: &mut Dice) -> Micros {
    if let Some(at) = request.at {
        return at.timestamp_micros();
    }
    let attack = of(request.kind);
    let days = i64::from(config.days);
    let window = (days / 4).max(3).min((days / 2).max(1));
    let place = index as i64 * window / config.attacks.len().max(1) as i64;
    let (early, late) = attack.habit().hours;
    let midnight = (config.from() + (days - window + place) * DAY).div_euclid(DAY) * DAY;
    let mut at = midnight + early * HOUR + (dice.unit() * ((late - early) * HOUR) as f64) as Micros;
    if attack.habit().hours == OFFICE && weekday(at) >= 5 && window > 3 {
        at -= (weekday(at) - 4) * DAY;
    }
    let latest = config.to() - attack.lasts(request.form) - HOUR;
    at.min(latest).max(config.from() + (config.to() - config.from()) / 8)
}

fn play<'a>(
    company: &'a Company,
    config: &Config,
    request: &AttackRequest,
    caller: CallerId,
    at: Micros,
    index: usize,
) -> (Scene<'a>, Origin) {
    let attack = of(request.kind);
    let from = request.from.unwrap_or(attack.habit().from);
    let actor = 1_000_000 + index as u32 * 100;
    let mut agent = Agent::new(company, caller, actor, request.kind.as_str());
    agent.script = index as u16 + 1;
    if from == Origin::Outside {
        let outside = foreign(&mut agent.dice);
        agent.sit(&[outside]);
        agent.client = if agent.dice.chance(0.5) { client::REQUESTS } else { client::CURL };
    }
    let target = config.target_per_day() * f64::from(config.days);
    let mut scene = Scene {
        company,
        caller,
        agent,
        at,
        form: request.form,
        target,
        sink: Sink::default(),
        actor,
        pressures: Vec::new(),
        deletions: Vec::new(),
    };
    attack.act(&mut scene);
    (scene, from)
}

/// Plays the calls of a planned attack in their hours.
pub(super) struct Script {
    calls: Vec<Call>,
    next: usize,
}

impl Script {
    pub(super) fn new(planned: &Planned) -> Self {
        Self { calls: planned.calls.clone(), next: 0 }
    }
}

impl Actor for Script {
    fn hour(&mut self, stage: &mut Stage<'_>, hour: Hour) {
        while let Some(call) = self.calls.get(self.next).filter(|c| c.at < hour.to) {
            stage.sink.push(*call);
            self.next += 1;
        }
    }
}
