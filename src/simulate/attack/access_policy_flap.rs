//! An access policy is added and removed within minutes, with reads in between.

use super::super::company::{Micros, VaultId};
use super::super::config::{By, Form, Origin};
use super::super::detail::Detail;
use super::super::operation::Op;
use super::super::{HOUR, MINUTE, SECOND};
use super::{Attack, Habit, OFFICE, Scene};

pub(super) struct AccessPolicyFlap;

impl Attack for AccessPolicyFlap {
    fn habit(&self) -> Habit {
        Habit { by: By::User, from: Origin::Inside, hours: OFFICE }
    }

    fn lasts(&self, form: Form) -> Micros {
        match form {
            Form::Fast => 20 * MINUTE,
            Form::Slow => 2 * HOUR,
        }
    }

    fn act(&self, scene: &mut Scene<'_>) {
        let company = scene.company;
        let vaults = company.vault_ids().filter(|v| !company.vault(*v).rbac);
        let vaults: Vec<VaultId> = vaults.collect();
        let vault = if vaults.is_empty() { scene.elsewhere() } else { scene.dice().pick(&vaults) };
        let target = scene.caller;
        let policy = |added| Detail::Policy { target, added, wide: true };
        let added = scene.change(scene.at, vault, Op::VaultPatch, policy(true));
        scene.at = added + 30 * SECOND;
        let whole = scene.over(2 * MINUTE, 25 * MINUTE);
        let read = scene.read(&company.vault(vault).secrets[..4], whole);
        scene.change(read.max(added + whole) + 20 * SECOND, vault, Op::VaultPatch, policy(false));
    }
}
