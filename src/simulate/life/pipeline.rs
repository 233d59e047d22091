//! Deployments: on working days a pipeline reads its application's whole vault, each time from another address,
//! because the agents that run it are hired by the minute.

use super::super::HOUR;
use super::super::agent::Agent;
use super::super::call::{Ask, Stage};
use super::super::company::{Company, Env, Micros, cloud, hour_of, weekday};
use super::super::operation::Op;
use super::{Actor, Hour, agent};

pub(super) struct Deployments {
    agent: Agent,
    pipeline: usize,
}

/// Deployments in an hour of a working day.
const PER_HOUR: f64 = 0.12;

impl Deployments {
    pub(super) fn new(company: &Company, pipeline: usize, actor: u32) -> Self {
        Self { agent: agent(company, company.pipelines[pipeline].caller, actor, false), pipeline }
    }

    fn deploy(&mut self, stage: &mut Stage<'_>, at: Micros) {
        let company = stage.company;
        let hired = cloud(&mut self.agent.dice);
        self.agent.sit(&[hired]);
        let to_production = self.agent.dice.chance(0.5);
        let mut at = at;
        for id in &company.pipelines[self.pipeline].vaults {
            let vault = company.vault(*id);
            if vault.env == Env::Prod && !to_production {
                continue;
            }
            at = self.agent.list(stage, (at, 0), Ask::vault(*id, Op::SecretList), vault.secrets.len());
            for secret in &vault.secrets {
                at = self.agent.call(stage, (at, 0), Ask::object(company, Op::SecretGet, *secret));
                at += self.agent.pause(0.1, 0.4);
            }
            at += self.agent.pause(120.0, 400.0);
        }
    }
}

impl Actor for Deployments {
    fn hour(&mut self, stage: &mut Stage<'_>, hour: Hour) {
        if weekday(hour.from) >= 5 || !(7..16).contains(&hour_of(hour.from)) {
            return;
        }
        for _ in 0..self.agent.dice.poisson(PER_HOUR) {
            let at = hour.from + (self.agent.dice.unit() * HOUR as f64) as Micros;
            self.deploy(stage, at);
        }
    }
}
