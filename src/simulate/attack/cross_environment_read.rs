//! A caller of a test environment reads a production vault, as the first of its kind (or the other way round).

use super::super::company::{CallerId, Company, Env, Micros, VaultId};
use super::super::config::{By, Form, Origin};
use super::super::{HOUR, MINUTE};
use super::{Attack, Habit, NIGHT, Scene, workload_of};

pub(super) struct CrossEnvironmentRead;

impl Attack for CrossEnvironmentRead {
    fn habit(&self) -> Habit {
        Habit { by: By::ManagedIdentity, from: Origin::Inside, hours: NIGHT }
    }

    fn lasts(&self, form: Form) -> Micros {
        match form {
            Form::Fast => 15 * MINUTE,
            Form::Slow => 16 * HOUR,
        }
    }

    fn suits(&self, company: &Company, caller: CallerId) -> usize {
        match workload_of(company, caller).map(|w| company.vault(w.vault).env) {
            Some(Env::Prod) => 1,
            Some(_) => 100,
            None => 0,
        }
    }

    fn varies(&self) -> bool {
        false
    }

    fn act(&self, scene: &mut Scene<'_>) {
        let company = scene.company;
        let home = workload_of(company, scene.caller).map(|w| company.vault(w.vault).env);
        let other: Vec<VaultId> = company
            .vault_ids()
            .filter(|v| *v > 0 && (company.vault(*v).env == Env::Prod) != (home == Some(Env::Prod)))
            .collect();
        let vault = scene.dice().pick(&other);
        let count = scene.dice().range(4, 7);
        let objects = scene.dice().sample(&company.vault(vault).secrets, count);
        let whole = scene.over(6 * MINUTE, 12 * HOUR);
        scene.read(&objects, whole);
    }
}
