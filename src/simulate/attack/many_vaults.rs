//! One caller goes through every vault of the company, a secret or two in each.

use super::super::company::{Micros, VaultId};
use super::super::config::{By, Form, Origin};
use super::super::{HOUR, MINUTE};
use super::{Attack, Habit, OFFICE, Scene};

pub(super) struct ManyVaults;

impl Attack for ManyVaults {
    fn habit(&self) -> Habit {
        Habit { by: By::User, from: Origin::Inside, hours: OFFICE }
    }

    fn lasts(&self, form: Form) -> Micros {
        match form {
            Form::Fast => 50 * MINUTE,
            Form::Slow => 26 * HOUR,
        }
    }

    fn act(&self, scene: &mut Scene<'_>) {
        let company = scene.company;
        let mut vaults: Vec<VaultId> = company.vault_ids().collect();
        scene.dice().shuffle(&mut vaults);
        vaults.truncate(40);
        let mut objects = Vec::new();
        for vault in vaults {
            let count = scene.dice().range(1, 2);
            objects.extend(scene.dice().sample(&company.vault(vault).secrets, count));
        }
        let whole = scene.over(25 * MINUTE, 18 * HOUR);
        scene.read(&objects, whole);
    }
}
