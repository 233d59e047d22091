//! The CSI driver's rotation poll: every pod reads every object again at a fixed interval, changed or not.

use super::super::agent::Agent;
use super::super::call::{Ask, Stage};
use super::super::company::{Company, Micros};
use super::super::operation::Op;
use super::super::{MILLISECOND, SECOND};
use super::{Actor, Hour, Rereads, agent, awake};

/// Seconds between two polls at scale 1. The driver's default is two minutes.
const INTERVAL: f64 = 240.0;

pub(super) struct Poller {
    agent: Agent,
    workload: usize,
    interval: Micros,
    /// Next poll of each pod.
    pods: Vec<Micros>,
    doubled: bool,
    rereads: Rereads,
}

impl Poller {
    pub(super) fn new(company: &Company, workload: usize, actor: u32, scale: f64) -> Self {
        let plan = &company.workloads[workload];
        let mut agent = agent(company, plan.caller, actor, true);
        let interval = (INTERVAL / scale * SECOND as f64) as Micros;
        let first = |agent: &mut Agent| company.from + (agent.dice.unit() * interval as f64) as Micros;
        let pods = (0..plan.instances).map(|_| first(&mut agent)).collect();
        let rereads = Rereads::new(company, plan, &mut agent.dice);
        Self { agent, workload, interval: interval.max(SECOND), pods, doubled: false, rereads }
    }

    fn poll(&mut self, stage: &mut Stage<'_>, pod: usize, at: Micros) {
        let mut at = at;
        let company = stage.company;
        for object in &company.workloads[self.workload].objects {
            at = self.agent.call(stage, (at, pod), Ask::object(company, Op::SecretGet, *object));
            at += self.agent.dice.range(2, 12) as i64 * MILLISECOND;
        }
    }
}

impl Actor for Poller {
    fn hour(&mut self, stage: &mut Stage<'_>, hour: Hour) {
        let plan = &stage.company.workloads[self.workload];
        let (vault, doubles) = (plan.vault, plan.doubles);
        if !self.doubled && doubles < hour.to {
            self.doubled = true;
            let pace = (self.interval / plan.instances as i64).min(40 * SECOND);
            let new = (0..plan.instances as i64).map(|i| doubles + i * pace);
            self.pods.extend(new);
        }
        for pod in 0..self.pods.len() {
            while self.pods[pod] < hour.to {
                let at = self.pods[pod];
                if awake(stage.company, vault, at) {
                    self.poll(stage, pod, at);
                }
                let jitter = self.agent.dice.between(0.99, 1.01);
                self.pods[pod] = at + (self.interval as f64 * jitter) as Micros;
            }
        }
        self.rereads.read(&mut self.agent, stage, hour.to);
    }
}
