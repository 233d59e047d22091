//! Vaults are written by somebody who never wrote one; the settings themselves are harmless.

use super::super::company::{Micros, VaultId};
use super::super::config::{By, Form, Origin};
use super::super::detail::Detail;
use super::super::operation::Op;
use super::super::{HOUR, MINUTE};
use super::{Attack, Habit, NIGHT, Scene};

pub(super) struct VaultChanged;

impl Attack for VaultChanged {
    fn habit(&self) -> Habit {
        Habit { by: By::Application, from: Origin::Inside, hours: NIGHT }
    }

    fn lasts(&self, form: Form) -> Micros {
        match form {
            Form::Fast => 20 * MINUTE,
            Form::Slow => 5 * HOUR,
        }
    }

    fn act(&self, scene: &mut Scene<'_>) {
        let company = scene.company;
        let vaults: Vec<VaultId> = company.vault_ids().filter(|v| *v > 0).collect();
        let pace = scene.over(2 * MINUTE, 90 * MINUTE);
        let vaults = scene.dice().sample(&vaults, 3);
        let mut at = scene.at;
        for vault in vaults {
            scene.change(at, vault, Op::VaultPatch, Detail::Templates);
            at += pace;
        }
    }
}
