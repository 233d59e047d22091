//! A service that reads its configuration at the start and again every few hours; also after a rotation, after a
//! move to other addresses, and, for a new service, once its role has reached the vault.

use super::super::SECOND;
use super::super::agent::Agent;
use super::super::call::{Ask, Stage};
use super::super::company::{Company, Micros, propagation};
use super::super::operation::Op;
use super::{Actor, Hour, Rereads, agent, awake};

/// Hours between two refreshes of an instance at scale 1.
const INTERVAL: f64 = 4.0;

pub(super) struct Refresher {
    agent: Agent,
    workload: usize,
    interval: Micros,
    /// Next refresh of each instance.
    instances: Vec<Micros>,
    rereads: Rereads,
    /// Until then a new service is refused.
    refused_until: Micros,
    moved: bool,
}

impl Refresher {
    pub(super) fn new(company: &Company, workload: usize, actor: u32, scale: f64) -> Self {
        let plan = &company.workloads[workload];
        let mut agent = agent(company, plan.caller, actor, true);
        let interval = ((INTERVAL / scale * 3600.0) as Micros * SECOND).max(60 * SECOND);
        let new = plan.since > company.from;
        let spread = if new { 20 * SECOND } else { interval };
        let dice = &mut agent.dice;
        let refused_until = if new { plan.since + propagation(dice) } else { Micros::MIN };
        let instances =
            (0..plan.instances).map(|_| plan.since + (dice.unit() * spread as f64) as Micros).collect::<Vec<_>>();
        let rereads = Rereads::new(company, plan, dice);
        Self { agent, workload, interval, instances, rereads, refused_until, moved: false }
    }

    /// Reads the whole configuration. While the role is on its way the first object is refused and tried again.
    fn refresh(&mut self, stage: &mut Stage<'_>, instance: usize, at: Micros) {
        let company = stage.company;
        let objects = &company.workloads[self.workload].objects;
        let mut at = at;
        while at < self.refused_until {
            self.agent.elastic = false;
            at = self.agent.refused(stage, (at, instance), Ask::object(company, Op::SecretGet, objects[0]));
            at += self.agent.pause(18.0, 35.0);
        }
        self.agent.elastic = true;
        for object in objects {
            at = self.agent.call(stage, (at, instance), Ask::object(company, Op::SecretGet, *object));
            at += self.agent.pause(0.01, 0.08);
        }
    }

    /// From the planned moment on the service runs elsewhere, and every instance starts there.
    fn relocate(&mut self, stage: &mut Stage<'_>, hour: Hour) {
        let (when, addresses) = &stage.company.workloads[self.workload].moves;
        if self.moved || *when >= hour.to {
            return;
        }
        self.moved = true;
        self.agent.sit(addresses);
        for (index, next) in self.instances.iter_mut().enumerate() {
            *next = when + index as i64 * 30 * SECOND;
        }
    }
}

impl Actor for Refresher {
    fn hour(&mut self, stage: &mut Stage<'_>, hour: Hour) {
        let vault = stage.company.workloads[self.workload].vault;
        self.relocate(stage, hour);
        for instance in 0..self.instances.len() {
            while self.instances[instance] < hour.to {
                let at = self.instances[instance];
                if awake(stage.company, vault, at) {
                    self.refresh(stage, instance, at);
                }
                self.instances[instance] = at + (self.interval as f64 * self.agent.dice.between(0.95, 1.05)) as Micros;
            }
        }
        self.rereads.read(&mut self.agent, stage, hour.to);
    }
}
