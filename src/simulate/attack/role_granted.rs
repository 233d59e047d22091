//! Roles on vaults are given to an identity that nobody has seen.

use super::super::call::Ask;
use super::super::company::{Micros, VaultId};
use super::super::config::{By, Form, Origin};
use super::super::detail::{self, Detail};
use super::super::operation::Op;
use super::super::{HOUR, MINUTE, SECOND};
use super::{Attack, Habit, OFFICE, Scene};

pub(super) struct RoleGranted;

impl Attack for RoleGranted {
    fn habit(&self) -> Habit {
        Habit { by: By::User, from: Origin::Inside, hours: OFFICE }
    }

    fn lasts(&self, form: Form) -> Micros {
        match form {
            Form::Fast => 10 * MINUTE,
            Form::Slow => 6 * HOUR,
        }
    }

    fn act(&self, scene: &mut Scene<'_>) {
        let company = scene.company;
        let target = scene.administrator();
        let vaults: Vec<VaultId> = company.vault_ids().filter(|v| *v > 0).collect();
        let pace = scene.over(30 * SECOND, 2 * HOUR);
        let count = scene.over(1, 3) as usize;
        let mut at = scene.at;
        for vault in scene.dice().sample(&vaults, count) {
            let (agent, mut stage) = scene.agent();
            let role = Detail::Role { target, role: detail::Role::Administrator };
            agent.control(&mut stage, at, Ask::vault(vault, Op::RoleWrite).with(role));
            at += pace;
        }
    }
}
