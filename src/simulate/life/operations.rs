//! What operations bring: secrets rotated by a function, and peaks at the busy vault in which a few calls meet 429.

use super::super::agent::Agent;
use super::super::call::{Ask, Ending, Stage};
use super::super::company::{Company, Oddities, Role, hour_of, weekday};
use super::super::operation::Op;
use super::super::{HOUR, SECOND};
use super::{Actor, Hour, agent};

/// Sets the new versions that the company planned.
pub(super) struct Rotator {
    agent: Agent,
}

impl Rotator {
    pub(super) fn new(company: &Company, odd: Oddities, actor: u32) -> Self {
        Self { agent: agent(company, odd.rotator, actor, false) }
    }
}

impl Actor for Rotator {
    fn hour(&mut self, stage: &mut Stage<'_>, hour: Hour) {
        let company = stage.company;
        for rotation in company.rotations.iter().filter(|r| hour.holds(r.at)) {
            let before = rotation.at - 2 * SECOND;
            self.agent.call(stage, (before, 0), Ask::object(company, Op::SecretGet, rotation.object));
            let set = self.agent.call(stage, (rotation.at, 0), Ask::object(company, Op::SecretSet, rotation.object));
            // It notes on the secret when it is due again.
            self.agent.call(stage, (set + SECOND, 0), Ask::object(company, Op::SecretUpdate, rotation.object));
        }
    }
}

/// Once or twice on a working day the first signing service has a rush, and one to three of its calls are answered
/// 429 and done again. Normal; a detection of throttling must know it.
pub(super) struct Peaks {
    signer: Option<(Agent, Ask)>,
}

impl Peaks {
    pub(super) fn new(company: &Company, actor: u32) -> Self {
        let crypto = company.workloads.iter().find(|w| w.role == Role::Crypto);
        let signer = crypto.map(|plan| {
            let mut signer = Agent::new(company, plan.caller, actor, "peaks");
            // The rush goes over connections that have long had their tokens.
            signer.sit(&company.caller(plan.caller).addresses[..1]);
            (signer, Ask::object(company, Op::KeySign, plan.objects[1 % plan.objects.len()]))
        });
        Self { signer }
    }
}

impl Actor for Peaks {
    fn hour(&mut self, stage: &mut Stage<'_>, hour: Hour) {
        let Some((signer, ask)) = &mut self.signer else { return };
        if weekday(hour.from) >= 5 || !(9..15).contains(&hour_of(hour.from)) || !signer.dice.chance(0.25) {
            return;
        }
        let mut at = hour.from + (signer.dice.unit() * HOUR as f64) as i64;
        let turned_away = signer.dice.range(1, 3);
        for call in 0..10 {
            if (4..4 + turned_away).contains(&call) {
                signer.attempt(stage, (at, 0), *ask, Ending::Throttled);
                at += signer.pause(0.9, 1.2);
            }
            at = signer.call(stage, (at, 0), *ask) + signer.pause(0.02, 0.2);
        }
    }
}
