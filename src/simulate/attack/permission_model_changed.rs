//! A vault is switched from roles to access policies, which anybody who may write the vault can then give to himself.

use super::super::company::{Micros, VaultId};
use super::super::config::{By, Form, Origin};
use super::super::detail::Detail;
use super::super::operation::Op;
use super::super::{HOUR, MINUTE};
use super::{Attack, Habit, OFFICE, Scene};

pub(super) struct PermissionModelChanged;

impl Attack for PermissionModelChanged {
    fn habit(&self) -> Habit {
        Habit { by: By::User, from: Origin::Inside, hours: OFFICE }
    }

    fn lasts(&self, form: Form) -> Micros {
        match form {
            Form::Fast => 10 * MINUTE,
            Form::Slow => 2 * HOUR,
        }
    }

    fn act(&self, scene: &mut Scene<'_>) {
        let company = scene.company;
        let vaults: Vec<VaultId> = company.vault_ids().filter(|v| company.vault(*v).rbac && *v > 0).collect();
        let vault = scene.dice().pick(&vaults);
        let at = scene.change(scene.at, vault, Op::VaultPatch, Detail::ByPolicies);
        let (target, wait) = (scene.caller, scene.over(MINUTE, HOUR));
        scene.change(at + wait, vault, Op::VaultPatch, Detail::Policy { target, added: true, wide: true });
    }
}
