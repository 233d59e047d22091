//! What runs by the clock: jobs at night, the scanner that lists every vault, the backup.

use super::super::agent::Agent;
use super::super::call::{Ask, Stage};
use super::super::company::{Company, Micros, Oddities, day_of, hour_of, weekday};
use super::super::operation::Op;
use super::super::{DAY, MINUTE};
use super::{Actor, Hour, agent};

/// A job at night: reads its secrets, unwraps what it needs, ends.
pub(super) struct Batch {
    agent: Agent,
    workload: usize,
    /// Hour of its run, UTC.
    hour: i64,
}

impl Batch {
    pub(super) fn new(company: &Company, workload: usize, actor: u32) -> Self {
        let agent = agent(company, company.workloads[workload].caller, actor, false);
        Self { agent, workload, hour: [1, 0, 23, 4][(workload / 6) % 4] }
    }
}

impl Actor for Batch {
    fn hour(&mut self, stage: &mut Stage<'_>, hour: Hour) {
        if hour_of(hour.from) != self.hour {
            return;
        }
        self.agent.restart();
        let company = stage.company;
        let plan = &company.workloads[self.workload];
        let mut at = hour.from + 15 * MINUTE + self.agent.pause(0.0, 120.0);
        for object in &plan.objects {
            at = self.agent.call(stage, (at, 0), Ask::object(company, Op::SecretGet, *object));
            at += self.agent.pause(0.05, 0.5);
        }
        let key = company.vault(plan.vault).keys[0];
        for _ in 0..self.agent.dice.range(3, 8) {
            at = self.agent.call(stage, (at, 0), Ask::object(company, Op::KeyUnwrap, key));
            at += self.agent.pause(0.5, 6.0);
        }
    }
}

/// A posture scanner: every night every vault's settings and lists, never a secret's value.
pub(super) struct Scanner {
    agent: Agent,
}

/// Hour of the nightly scan, UTC.
const SCAN: i64 = 2;

impl Scanner {
    pub(super) fn new(company: &Company, odd: Oddities, actor: u32) -> Self {
        Self { agent: agent(company, odd.scanner, actor, false) }
    }
}

impl Actor for Scanner {
    fn hour(&mut self, stage: &mut Stage<'_>, hour: Hour) {
        if hour_of(hour.from) != SCAN {
            return;
        }
        let mut at = hour.from + 40 * MINUTE + self.agent.pause(0.0, 90.0);
        for id in stage.company.vault_ids() {
            let vault = stage.company.vault(id);
            at = self.agent.call(stage, (at, 0), Ask::vault(id, Op::VaultGet)) + self.agent.pause(0.1, 0.4);
            at = self.agent.list(stage, (at, 0), Ask::vault(id, Op::SecretList), vault.secrets.len());
            at = self.agent.list(stage, (at, 0), Ask::vault(id, Op::KeyList), vault.keys.len());
            at = self.agent.list(stage, (at, 0), Ask::vault(id, Op::CertificateList), vault.certificates.len());
            for certificate in &vault.certificates {
                at = self.agent.call(stage, (at, 0), Ask::object(stage.company, Op::CertificateGet, *certificate));
            }
            at += self.agent.pause(0.5, 3.0);
        }
    }
}

/// The backup of every production vault: on the first of the month, or every Sunday where the logs span less than
/// 45 days and a month would show one run at most.
pub(super) struct Backup {
    agent: Agent,
    weekly: bool,
}

/// Hour of the backup, UTC.
const BACKUP: i64 = 3;

impl Backup {
    pub(super) fn new(company: &Company, odd: Oddities, actor: u32) -> Self {
        let weekly = company.to - company.from < 45 * DAY;
        Self { agent: agent(company, odd.backup, actor, false), weekly }
    }

    fn due(&self, t: Micros) -> bool {
        let (_, _, day) = super::super::record::civil(day_of(t));
        hour_of(t) == BACKUP && if self.weekly { weekday(t) == 6 } else { day == 1 }
    }
}

impl Actor for Backup {
    fn hour(&mut self, stage: &mut Stage<'_>, hour: Hour) {
        if !self.due(hour.from) {
            return;
        }
        let company = stage.company;
        let mut at = hour.from + 5 * MINUTE;
        for id in company.prod() {
            let vault = company.vault(id);
            at = self.agent.list(stage, (at, 0), Ask::vault(id, Op::SecretList), vault.secrets.len());
            for secret in &vault.secrets {
                at = self.agent.call(stage, (at, 0), Ask::object(company, Op::SecretBackup, *secret));
                at += self.agent.pause(0.2, 0.6);
            }
            at = self.agent.list(stage, (at, 0), Ask::vault(id, Op::KeyList), vault.keys.len());
            for key in &vault.keys {
                at = self.agent.call(stage, (at, 0), Ask::object(company, Op::KeyBackup, *key));
                at += self.agent.pause(0.2, 0.6);
            }
        }
    }
}
