//! The company's ordinary life: a file a way of living. Actors are asked for one hour after the other and never look
//! at each other; what they share (rotations, changes, pressure) is written in the company beforehand.

mod broken;
mod load;
mod operations;
mod person;
mod pipeline;
mod platform;
mod poller;
mod refresher;
mod scheduled;

use super::SECOND;
use super::agent::Agent;
use super::call::{Ask, Stage};
use super::company::{CallerId, Company, Env, Micros, ObjectId, Role, VaultId, Workload, hour_of, weekday};
use super::dice::Dice;
use super::operation::Op;

/// An hour of the simulated time, from a full hour to the next.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hour {
    pub(super) from: Micros,
    pub(super) to: Micros,
}

impl Hour {
    pub(super) fn holds(self, t: Micros) -> bool {
        self.from <= t && t < self.to
    }
}

/// Somebody who calls: asked once for each hour, in order, for the calls that begin in it.
pub(super) trait Actor {
    fn hour(&mut self, stage: &mut Stage<'_>, hour: Hour);
}

/// Everybody who calls in an ordinary month. `scale` multiplies polling and load.
pub(super) fn cast(company: &Company, scale: f64) -> Vec<Box<dyn Actor>> {
    let mut cast: Vec<Box<dyn Actor>> = Vec::new();
    for index in 0..company.workloads.len() {
        let actor = cast.len() as u32;
        cast.push(match company.workloads[index].role {
            Role::Poller => Box::new(poller::Poller::new(company, index, actor, scale)),
            Role::Refresher => Box::new(refresher::Refresher::new(company, index, actor, scale)),
            Role::Crypto => Box::new(load::Load::crypto(company, index, actor, scale)),
            Role::Web => Box::new(load::Load::web(company, index, actor, scale)),
            Role::Batch => Box::new(scheduled::Batch::new(company, index, actor)),
        });
    }
    for index in 0..company.pipelines.len() {
        cast.push(Box::new(pipeline::Deployments::new(company, index, cast.len() as u32)));
    }
    for index in 0..company.people.len() {
        cast.push(Box::new(person::AtWork::new(company, index, cast.len() as u32)));
    }
    cast.push(Box::new(platform::Azure::new(company, cast.len() as u32)));
    if let Some(odd) = company.oddities {
        cast.push(Box::new(scheduled::Scanner::new(company, odd, cast.len() as u32)));
        cast.push(Box::new(scheduled::Backup::new(company, odd, cast.len() as u32)));
        cast.push(Box::new(operations::Rotator::new(company, odd, cast.len() as u32)));
        cast.push(Box::new(operations::Peaks::new(company, cast.len() as u32)));
        cast.push(Box::new(broken::Broken::refused(company, odd, cast.len() as u32, scale)));
        cast.push(Box::new(broken::Broken::missing(company, odd, cast.len() as u32, scale)));
        cast.push(Box::new(load::Load::per_call(company, odd, cast.len() as u32, scale)));
    }
    cast
}

/// An agent for a caller's everyday calls.
fn agent(company: &Company, caller: CallerId, actor: u32, elastic: bool) -> Agent {
    let mut agent = Agent::new(company, caller, actor, "life");
    agent.elastic = elastic;
    agent
}

/// Single objects that a workload reads again because they were rotated: every instance, within a quarter of an hour.
struct Rereads {
    /// When, by which instance, what; in order of time.
    due: Vec<(Micros, usize, ObjectId)>,
}

impl Rereads {
    fn new(company: &Company, plan: &Workload, dice: &mut Dice) -> Self {
        let mut due = Vec::new();
        for rotation in company.rotations.iter().filter(|r| plan.objects.contains(&r.object) && r.at > plan.since) {
            for instance in 0..plan.instances {
                due.push((
                    rotation.at + (dice.between(60.0, 900.0) * SECOND as f64) as Micros,
                    instance,
                    rotation.object,
                ));
            }
        }
        due.sort_unstable();
        Self { due }
    }

    /// Reads what is due before `until`.
    fn read(&mut self, agent: &mut Agent, stage: &mut Stage<'_>, until: Micros) {
        let count = self.due.iter().take_while(|r| r.0 < until).count();
        let elastic = std::mem::replace(&mut agent.elastic, false);
        for (at, instance, object) in self.due.drain(..count) {
            agent.call(stage, (at, instance), Ask::object(stage.company, Op::SecretGet, object));
        }
        agent.elastic = elastic;
    }
}

/// Load of each hour of the day in UTC, for customers in Europe. A table, since sines differ between machines.
const DAY_SHAPE: [f64; 24] = [
    0.35, 0.30, 0.25, 0.25, 0.30, 0.45, 0.70, 1.00, 1.40, 1.65, 1.70, 1.65, 1.55, 1.60, 1.65, 1.60, 1.45, 1.35, 1.30,
    1.20, 1.05, 0.85, 0.60, 0.45,
];

/// How busy an hour is against the day's mean, in this vault's environment.
fn busy(company: &Company, vault: VaultId, t: Micros) -> f64 {
    let weekend = weekday(t) >= 5;
    match company.vault(vault).env {
        Env::Prod => DAY_SHAPE[hour_of(t) as usize] * if weekend { 0.6 } else { 1.0 },
        _ if awake(company, vault, t) => 2.0,
        _ => 0.0,
    }
}

/// Whether this vault's environment runs: test environments are switched off at night and at the weekend.
fn awake(company: &Company, vault: VaultId, t: Micros) -> bool {
    company.vault(vault).env == Env::Prod || (weekday(t) < 5 && (6..18).contains(&hour_of(t)))
}
