//! Applications that fail all day and that nobody mends: one is refused, one asks for what is not there.

use super::super::SECOND;
use super::super::agent::Agent;
use super::super::call::{Ask, Ending, Refusal, Stage};
use super::super::company::{Company, Micros, Oddities};
use super::super::operation::Op;
use super::{Actor, Hour, agent};

pub(super) struct Broken {
    agent: Agent,
    ask: Ask,
    ending: Ending,
    interval: f64,
    next: Micros,
}

/// However few records are asked for, a failure that is steady comes at least so often, in seconds.
const STEADY: f64 = 7_200.0;

impl Broken {
    /// Every ten minutes at scale 1 it is refused a secret to which it lost its role.
    pub(super) fn refused(company: &Company, odd: Oddities, actor: u32, scale: f64) -> Self {
        let (caller, object) = odd.refused;
        let ask = Ask::object(company, Op::SecretGet, object);
        let agent = agent(company, caller, actor, true);
        Self {
            agent,
            ask,
            ending: Ending::Denied(Refusal::Permission),
            interval: (600.0 / scale).min(STEADY),
            next: company.from,
        }
    }

    /// Twice an hour at scale 1 it asks for a secret that was renamed long ago.
    pub(super) fn missing(company: &Company, odd: Oddities, actor: u32, scale: f64) -> Self {
        let (caller, vault) = odd.missing;
        let ask = Ask::guess(vault, Op::SecretGet, 45);
        let agent = agent(company, caller, actor, true);
        Self { agent, ask, ending: Ending::NotFound, interval: (1800.0 / scale).min(3.0 * STEADY), next: company.from }
    }
}

impl Actor for Broken {
    fn hour(&mut self, stage: &mut Stage<'_>, hour: Hour) {
        while self.next < hour.to {
            self.agent.attempt(stage, (self.next, 0), self.ask, self.ending);
            let gap = self.interval * self.agent.dice.between(0.9, 1.1);
            self.next += (gap.max(1.0) * SECOND as f64) as Micros;
        }
    }
}
