//! Azure's own: Resource Graph and Policy look at every vault's settings, App Service fetches a certificate as a
//! trusted service, and Key Vault itself announces objects near their expiry.

use super::super::agent::Agent;
use super::super::call::{Ask, Stage};
use super::super::company::{Company, VaultId};
use super::super::operation::Op;
use super::{Actor, Hour, agent};

pub(super) struct Azure {
    resource_graph: Agent,
    policy: Agent,
    app_service: Agent,
}

/// Resource Graph's looks at a vault in an hour.
const GRAPH: f64 = 2.0 / 24.0;
const POLICY: f64 = 0.7 / 24.0;
const CERTIFICATE: f64 = 1.0 / 24.0;
/// Notifications about a production vault in an hour.
const EXPIRY: f64 = 0.15 / 24.0;

impl Azure {
    pub(super) fn new(company: &Company, actor: u32) -> Self {
        let by = |caller| agent(company, caller, actor, false);
        let platform = company.platform;
        Self {
            resource_graph: by(platform.resource_graph),
            policy: by(platform.policy),
            app_service: by(platform.app_service),
        }
    }

    fn around(&mut self, stage: &mut Stage<'_>, hour: Hour, vault: VaultId) {
        for (agent, mean) in [(&mut self.resource_graph, GRAPH), (&mut self.policy, POLICY)] {
            let count = agent.dice.poisson(mean);
            for at in agent.dice.moments(count, hour.from, hour.to) {
                let seat = agent.dice.below(2);
                agent.call(stage, (at, seat), Ask::vault(vault, Op::VaultGet));
            }
        }
    }

    fn in_production(&mut self, stage: &mut Stage<'_>, hour: Hour, vault: VaultId) {
        let company = stage.company;
        let agent = &mut self.app_service;
        if let Some(certificate) = company.vault(vault).certificates.first()
            && agent.dice.chance(CERTIFICATE)
        {
            let at = agent.dice.moments(1, hour.from, hour.to)[0];
            agent.call(stage, (at, 0), Ask::object(company, Op::SecretGet, *certificate));
        }
        if agent.dice.chance(EXPIRY) {
            let at = agent.dice.moments(1, hour.from, hour.to)[0];
            let secret = agent.dice.pick(&company.vault(vault).secrets);
            agent.notify(stage, at, Ask::object(company, Op::SecretNearExpiry, secret));
        }
    }
}

impl Actor for Azure {
    fn hour(&mut self, stage: &mut Stage<'_>, hour: Hour) {
        for vault in stage.company.vault_ids() {
            self.around(stage, hour, vault);
        }
        // Certificates of App Service live in the services' own vaults.
        for vault in stage.company.prod().into_iter().skip(1) {
            self.in_production(stage, hour, vault);
        }
    }
}
