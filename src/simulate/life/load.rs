//! Calls that come with the load of the day: signing and unwrapping, secrets behind a short cache, and the
//! application that builds its client anew for each call and so is challenged each time.

use super::super::agent::Agent;
use super::super::call::{Ask, Stage};
use super::super::company::{Company, ObjectId, Oddities, VaultId};
use super::super::operation::Op;
use super::{Actor, Hour, Rereads, agent, busy};

pub(super) struct Load {
    agent: Agent,
    vault: VaultId,
    /// What is done, each as often as the others; repeat an entry to weigh it.
    deeds: Vec<(Op, ObjectId)>,
    per_day: f64,
    client_per_call: bool,
    rereads: Option<Rereads>,
}

impl Load {
    pub(super) fn crypto(company: &Company, workload: usize, actor: u32, scale: f64) -> Self {
        let plan = &company.workloads[workload];
        let key = |i: usize| plan.objects[i % plan.objects.len()];
        let mut deeds = vec![(Op::KeySign, key(1)); 11];
        deeds.extend([(Op::KeyUnwrap, key(0)); 7]);
        deeds.extend([(Op::KeyDecrypt, key(2)), (Op::KeyGet, key(1))]);
        let agent = agent(company, plan.caller, actor, true);
        Self { agent, vault: plan.vault, deeds, per_day: 500.0 * scale, client_per_call: false, rereads: None }
    }

    pub(super) fn web(company: &Company, workload: usize, actor: u32, scale: f64) -> Self {
        let plan = &company.workloads[workload];
        // The first secrets are asked for most.
        let weigh = |(rank, object): (usize, &ObjectId)| vec![(Op::SecretGet, *object); 5 - rank.min(4)];
        let mut deeds: Vec<(Op, ObjectId)> = plan.objects.iter().enumerate().flat_map(weigh).collect();
        if let Some(certificate) = company.vault(plan.vault).certificates.first() {
            // A certificate with its private key comes as the secret of the same name.
            deeds.push((Op::SecretGet, *certificate));
        }
        let mut agent = agent(company, plan.caller, actor, true);
        let rereads = Some(Rereads::new(company, plan, &mut agent.dice));
        Self { agent, vault: plan.vault, deeds, per_day: 300.0 * scale, client_per_call: false, rereads }
    }

    pub(super) fn per_call(company: &Company, odd: Oddities, actor: u32, scale: f64) -> Self {
        let agent = agent(company, odd.per_call, actor, true);
        let vault = company.caller(odd.per_call).reach[0];
        let deeds = company.vault(vault).secrets.iter().skip(1).take(2).map(|s| (Op::SecretGet, *s)).collect();
        Self { agent, vault, deeds, per_day: 120.0 * scale, client_per_call: true, rereads: None }
    }
}

impl Actor for Load {
    fn hour(&mut self, stage: &mut Stage<'_>, hour: Hour) {
        let mean = self.per_day / 24.0 * busy(stage.company, self.vault, hour.from);
        let count = self.agent.dice.poisson(mean);
        for at in self.agent.dice.moments(count, hour.from, hour.to) {
            if self.client_per_call {
                self.agent.restart();
            }
            let (op, object) = self.agent.dice.pick(&self.deeds);
            let seat = self.agent.dice.below(self.agent.seats());
            self.agent.call(stage, (at, seat), Ask::object(stage.company, op, object));
        }
        if let Some(rereads) = &mut self.rereads {
            rereads.read(&mut self.agent, stage, hour.to);
        }
    }
}
