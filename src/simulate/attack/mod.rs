//! Attacks on request: a file a kind. Each is planned whole before the days are lived, since other callers feel it
//! (a flooded vault turns them away, a deleted secret is gone), and then played like any other actor.
//!
//! To add a kind: a value in [`AttackKind`], a file here with its [`Attack`], a line in [`of`].

mod access_policy_flap;
mod backup_export;
mod certificate_key_read;
mod chatty_caller;
mod client_per_call;
mod cross_environment_read;
mod crypto_spike;
mod denied_by_network;
mod denied_spike;
mod denied_sweep;
mod denied_then_allowed;
mod destructive_operations;
mod diagnostics_removed;
mod dormant_caller;
mod expired;
mod foreign_trusted_service;
mod honey_object;
mod key_tampering;
mod list_then_read;
mod listed_address;
mod listed_address_denied;
mod log_silence;
mod many_vaults;
mod mass_secret_read;
mod name_guessing;
mod near_expiry;
mod near_limit;
mod network_opened;
mod new_address;
mod new_caller_on_vault;
mod new_client;
mod new_object_read;
mod off_hours_read;
mod old_tls;
mod operation_mix;
mod permission_model_changed;
mod policy_change_then_read;
mod poll_fan_out;
mod protection_weakened;
mod restore_or_recover;
mod retry_storm;
mod role_granted;
mod self_grant;
mod server_errors;
mod shared_address;
mod slow_harvest;
mod slow_requests;
mod throttling;
mod unauthenticated_probe;
mod unusual_denied_caller;
mod vault_changed;
mod volume_anomaly;
mod volume_growth;

use super::agent::Agent;
use super::call::{Ask, Call, Ending, Sink, Stage};
use super::client;
use super::company::{
    Address, CallerId, Company, Condition, Effect, Env, Micros, ObjectId, Pressure, Role, VaultId, Workload, cloud,
    enrol, foreign, weekday,
};
use super::config::{AttackKind, AttackRequest, By, Config, Form, Origin};
use super::detail::{self, Detail};
use super::dice::Dice;
use super::life::{Actor, Hour};
use super::operation::Op;
use super::{DAY, HOUR, SimulateError};

/// A kind of attack.
pub(super) trait Attack: Sync {
    /// What it is by default: whose identity, from where, at which hour of the day (UTC, earliest and latest).
    fn habit(&self) -> Habit;

    /// The most time that it takes.
    fn lasts(&self, form: Form) -> Micros;

    /// How well this caller suits it; the best free one is taken, and 0 means never.
    fn suits(&self, company: &Company, caller: CallerId) -> usize {
        reach_of(company, caller).len()
    }

    /// What must be in the company beforehand: an object, or the identity that it uses, which is returned.
    fn enlist(&self, _: &mut Company, _: By, _: &mut Dice) -> Option<CallerId> {
        None
    }

    /// Whether it makes sense from elsewhere and by others than its habit says.
    fn varies(&self) -> bool {
        true
    }

    /// Whether it has no caller: it befalls a vault, or nobody showed a token.
    fn nobody(&self) -> bool {
        false
    }

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
        AttackKind::NewObjectRead => &new_object_read::NewObjectRead,
        AttackKind::NewCallerOnVault => &new_caller_on_vault::NewCallerOnVault,
        AttackKind::DormantCaller => &dormant_caller::DormantCaller,
        AttackKind::NewAddress => &new_address::NewAddress,
        AttackKind::NewClient => &new_client::NewClient,
        AttackKind::CrossEnvironmentRead => &cross_environment_read::CrossEnvironmentRead,
        AttackKind::ManyVaults => &many_vaults::ManyVaults,
        AttackKind::CertificateKeyRead => &certificate_key_read::CertificateKeyRead,
        AttackKind::OffHoursRead => &off_hours_read::OffHoursRead,
        AttackKind::HoneyObject => &honey_object::HoneyObject,
        AttackKind::ListedAddress => &listed_address::ListedAddress,
        AttackKind::ListedAddressDenied => &listed_address_denied::ListedAddressDenied,
        AttackKind::OperationMix => &operation_mix::OperationMix,
        AttackKind::VolumeAnomaly => &volume_anomaly::VolumeAnomaly,
        AttackKind::CryptoSpike => &crypto_spike::CryptoSpike,
        AttackKind::SharedAddress => &shared_address::SharedAddress,
        AttackKind::DeniedThenAllowed => &denied_then_allowed::DeniedThenAllowed,
        AttackKind::DeniedByNetwork => &denied_by_network::DeniedByNetwork,
        AttackKind::UnusualDeniedCaller => &unusual_denied_caller::UnusualDeniedCaller,
        AttackKind::RetryStorm => &retry_storm::RetryStorm,
        AttackKind::NearLimit => &near_limit::NearLimit,
        AttackKind::VolumeGrowth => &volume_growth::VolumeGrowth,
        AttackKind::ClientPerCall => &client_per_call::ClientPerCall,
        AttackKind::PollFanOut => &poll_fan_out::PollFanOut,
        AttackKind::RestoreOrRecover => &restore_or_recover::RestoreOrRecover,
        AttackKind::KeyTampering => &key_tampering::KeyTampering,
        AttackKind::PolicyChangeThenRead => &policy_change_then_read::PolicyChangeThenRead,
        AttackKind::AccessPolicyFlap => &access_policy_flap::AccessPolicyFlap,
        AttackKind::SelfGrant => &self_grant::SelfGrant,
        AttackKind::PermissionModelChanged => &permission_model_changed::PermissionModelChanged,
        AttackKind::NetworkOpened => &network_opened::NetworkOpened,
        AttackKind::ProtectionWeakened => &protection_weakened::ProtectionWeakened,
        AttackKind::VaultChanged => &vault_changed::VaultChanged,
        AttackKind::DiagnosticsRemoved => &diagnostics_removed::DiagnosticsRemoved,
        AttackKind::LogSilence => &log_silence::LogSilence,
        AttackKind::RoleGranted => &role_granted::RoleGranted,
        AttackKind::ForeignTrustedService => &foreign_trusted_service::ForeignTrustedService,
        AttackKind::OldTls => &old_tls::OldTls,
        AttackKind::SlowRequests => &slow_requests::SlowRequests,
        AttackKind::ServerErrors => &server_errors::ServerErrors,
        AttackKind::NearExpiry => &near_expiry::NearExpiry,
        AttackKind::Expired => &expired::Expired,
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
    conditions: Vec<Condition>,
    /// Identities that act beside the caller.
    others: Vec<CallerId>,
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

    /// A vault that the caller does not use, production where there is one.
    fn elsewhere(&mut self) -> VaultId {
        let closed = self.closed();
        let prod: Vec<VaultId> =
            closed.iter().copied().filter(|v| self.company.vault(*v).env == Env::Prod && *v > 0).collect();
        self.dice().pick(if prod.is_empty() { &closed } else { &prod })
    }

    /// Secrets that the caller reads every day.
    fn usual(&self) -> Vec<ObjectId> {
        let usual = usual_of(self.company, self.caller);
        if usual.is_empty() { self.reachable().into_iter().take(6).collect() } else { usual }
    }

    /// Secrets that the caller may read and does not.
    fn fresh(&self) -> Vec<ObjectId> {
        let usual = self.usual();
        self.reachable().into_iter().filter(|o| !usual.contains(o)).collect()
    }

    /// A length for each form.
    fn over(&self, fast: Micros, slow: Micros) -> Micros {
        if self.form == Form::Fast { fast } else { slow }
    }

    /// Calls that a caller makes on a day, in the mean of this company.
    fn daily(&self) -> f64 {
        let days = ((self.company.to - self.company.from) as f64 / DAY as f64).max(1.0);
        self.target / days / self.company.workloads.len().max(1) as f64
    }

    /// Reads these secrets in this order over so long. Returns when it is done.
    fn read(&mut self, objects: &[ObjectId], whole: Micros) -> Micros {
        let (company, mut at) = (self.company, self.at);
        let pace = whole as f64 / objects.len().max(1) as f64;
        let (agent, mut stage) = self.agent();
        for object in objects {
            let seat = agent.dice.below(agent.seats());
            agent.call(&mut stage, (at, seat), Ask::object(company, Op::SecretGet, *object));
            at += (pace * agent.dice.between(0.5, 1.4)) as Micros;
        }
        at
    }

    /// Writes the vault's settings: the vault's own record, the Activity log's two, and Key Vault's notification
    /// where policies changed.
    fn change(&mut self, at: Micros, vault: VaultId, op: Op, detail: Detail) -> Micros {
        let (agent, mut stage) = self.agent();
        let begun = at - agent.pause(0.4, 0.9);
        let done = agent.attempt(&mut stage, (at, 0), Ask::vault(vault, op).with(detail), Ending::Fine);
        let told = agent.control(&mut stage, begun, Ask::vault(vault, Op::VaultWrite).with(detail));
        if matches!(detail, Detail::Policy { .. }) {
            let later = told + agent.pause(1.0, 3.0);
            agent.notify(&mut stage, later, Ask::vault(vault, Op::PolicyChanged));
        }
        done.max(told)
    }

    /// Lets somebody in by whichever model the vault uses.
    fn grant(&mut self, at: Micros, vault: VaultId, target: CallerId, role: detail::Role) -> Micros {
        if self.company.vault(vault).rbac {
            let (agent, mut stage) = self.agent();
            return agent.control(&mut stage, at, Ask::vault(vault, Op::RoleWrite).with(Detail::Role { target, role }));
        }
        let wide = role == detail::Role::Administrator;
        self.change(at, vault, Op::VaultPatch, Detail::Policy { target, added: true, wide })
    }

    /// Another identity that takes part.
    fn other(&mut self, caller: CallerId) -> Agent {
        let mut agent = self.bystander(caller);
        agent.script = self.agent.script;
        self.others.push(caller);
        agent
    }

    /// A person who may change vaults and is not the caller.
    fn administrator(&mut self) -> CallerId {
        let caller = self.caller;
        let people: Vec<CallerId> = self.company.people.iter().map(|p| p.caller).filter(|c| *c != caller).collect();
        self.dice().pick(&people)
    }

    /// The production vault with the most load in which nothing is planned for that time, neither by another attack nor
    /// (if it can be) by the quiet list.
    fn undisturbed(&self, from: Micros, to: Micros) -> VaultId {
        let company = self.company;
        let within = |t: Micros| (from - DAY..to + DAY).contains(&t);
        let planned = |w: &Workload| within(w.since) || within(w.doubles) || within(w.moves.0);
        let odd = company.oddities.map(|o| [company.object(o.refused.1).vault, o.missing.1]).unwrap_or_default();
        let calm = |v: &VaultId| {
            let rotated = company.rotations.iter().any(|r| company.object(r.object).vault == *v && within(r.at));
            !rotated && !odd.contains(v) && !company.workloads.iter().any(|w| w.vault == *v && planned(w))
        };
        let load = |v: &VaultId| company.workloads.iter().filter(|w| w.vault == *v).count();
        let ill =
            |v: &VaultId| company.conditions.iter().any(|c| c.vault == *v && c.from < to + DAY && from - DAY < c.to);
        let prod = company.prod().into_iter().filter(|v| *v > 0 && !ill(v) && load(v) > 0);
        let raided = |v: &VaultId| company.raids.iter().any(|(vault, at)| vault == v && (from..to).contains(at));
        prod.max_by_key(|v| (!raided(v), calm(v), load(v), std::cmp::Reverse(*v)))
            .unwrap_or(company.vaults.len() as VaultId - 1)
    }

    fn befall(&mut self, vault: VaultId, (from, to): (Micros, Micros), effect: Effect) {
        self.conditions.push(Condition { vault, from, to: to.min(self.company.to), effect, script: 0 });
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

/// Secrets that a caller reads every day: a service's own, a person's favourites.
fn usual_of(company: &Company, caller: CallerId) -> Vec<ObjectId> {
    let person = company.people.iter().find(|p| p.caller == caller).map(|p| p.favourites.clone());
    let own = person.or(workload_of(company, caller).map(|w| w.objects.clone())).unwrap_or_default();
    own.into_iter().filter(|o| company.vault(company.object(*o).vault).secrets.contains(o)).collect()
}

/// A new identity of this type at work in these vaults.
fn recruit(company: &mut Company, by: By, name: &str, reach: Vec<VaultId>, dice: &mut Dice) -> CallerId {
    let name = match by {
        By::User => format!("{name}@contoso.com"),
        By::Application => format!("sp-{name}"),
        By::ManagedIdentity => format!("id-{name}"),
    };
    let known = company.callers.iter().filter(|c| c.name.contains(&name)).count();
    let name = if known == 0 { name } else { format!("{}-{}", name, known + 1) };
    let client = if by == By::User { client::CLI } else { client::PYTHON };
    let address = cloud(dice);
    let caller = enrol(company, by, &name, client, reach, vec![address], dice);
    company.callers[caller as usize].plain = false;
    caller
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
    pub(super) conditions: Vec<Condition>,
    pub(super) others: Vec<CallerId>,
}

impl Planned {
    /// First call of its own, else the begin of its condition.
    fn begins(&self) -> Option<Micros> {
        let own = self.calls.iter().find(|c| c.script > 0).map(|c| c.at);
        own.or(self.conditions.first().map(|c| c.from))
    }
}

/// Draws by the seed what the requests leave open: form, identity and origin, where the kind makes sense so.
pub(super) fn mix(requests: &mut [AttackRequest], seed: u64) {
    for (index, request) in requests.iter_mut().enumerate() {
        let mut dice = Dice::new(seed, "mix", index);
        request.form = dice.pick(&Form::ALL);
        let (by, from) = (dice.pick(&By::ALL), dice.pick(&Origin::ALL));
        if of(request.kind).varies() {
            request.drawn = request.by.is_none();
            request.by = request.by.or(Some(by));
            request.from = request.from.or(Some(from));
        }
    }
}

/// Plans every attack and writes into the company what others will feel of it. In order of time.
///
/// # Errors
/// [`SimulateError::NoCaller`] where no free identity of the wanted type is left.
pub(super) fn plan(company: &mut Company, config: &Config) -> Result<Vec<Planned>, SimulateError> {
    let mut dice = Dice::new(config.seed, "attacks", 0);
    let mut order: Vec<usize> = (0..config.attacks.len()).collect();
    // Those that want a certain role choose first.
    order.sort_by_key(|i| match config.attacks[*i].kind {
        AttackKind::Throttling | AttackKind::ChattyCaller => 0,
        // What befalls a vault goes where no other attack is.
        AttackKind::LogSilence
        | AttackKind::DiagnosticsRemoved
        | AttackKind::SlowRequests
        | AttackKind::ServerErrors => 2,
        _ => 1,
    });
    let mut taken: Vec<CallerId> = Vec::new();
    let mut planned = Vec::new();
    for index in order {
        let request = &config.attacks[index];
        let mut own = Dice::new(config.seed, "enlist", index);
        let by = request.by.unwrap_or(of(request.kind).habit().by);
        let caller = match of(request.kind).enlist(company, by, &mut own) {
            Some(caller) => caller,
            None => choose(company, request, &taken)?,
        };
        taken.push(caller);
        let at = when(config, request, index, &mut dice);
        let (scene, from) = play(company, config, request, caller, at, index);
        let Scene { mut sink, pressures, deletions, agent, conditions, others, .. } = scene;
        company.pressures.extend(pressures);
        for (object, at) in deletions {
            company.objects[object as usize].deleted = at;
        }
        let calls = sink.take_until(company.to);
        let caller = (!of(request.kind).nobody()).then_some(caller);
        let address = agent.first_address();
        let request = request.clone();
        company.conditions.extend(&conditions);
        company.raids.extend(calls.iter().filter(|c| c.script > 0).map(|c| (c.ask.vault, c.at)));
        planned.push(Planned { request, from, caller, address, calls, conditions, others });
    }
    planned.sort_by_key(Planned::begins);
    company.conditions.clear();
    for (index, attack) in planned.iter_mut().enumerate() {
        for call in attack.calls.iter_mut().filter(|c| c.script > 0) {
            call.script = index as u16 + 1;
        }
        for condition in &mut attack.conditions {
            condition.script = index as u16 + 1;
        }
        company.conditions.extend(&attack.conditions);
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
        Some(by) if request.drawn => best(Some(by), taken).or_else(|| best(None, taken)).or_else(|| best(None, &[])),
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
        conditions: Vec::new(),
        others: Vec::new(),
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
