//! Every secret and key of a vault backed up, by somebody who never did and at an hour that is not the backup's.

use super::super::MINUTE;
use super::super::call::Ask;
use super::super::company::{CallerId, Company, Micros};
use super::super::config::{By, Form, Origin};
use super::super::operation::Op;
use super::{Attack, Habit, OFFICE, Scene, reach_of};

pub(super) struct BackupExport;

impl Attack for BackupExport {
    fn habit(&self) -> Habit {
        Habit { by: By::User, from: Origin::Outside, hours: OFFICE }
    }

    fn lasts(&self, form: Form) -> Micros {
        match form {
            Form::Fast => 10 * MINUTE,
            Form::Slow => 120 * MINUTE,
        }
    }

    fn suits(&self, company: &Company, caller: CallerId) -> usize {
        reach_of(company, caller).len()
    }

    fn act(&self, scene: &mut Scene<'_>) {
        let company = scene.company;
        let id = scene.fullest();
        let vault = company.vault(id);
        let (low, high) = if scene.form == Form::Fast { (0.5, 4.0) } else { (60.0, 180.0) };
        let at = scene.at;
        let (agent, mut stage) = scene.agent();
        let mut at = agent.list(&mut stage, (at, 0), Ask::vault(id, Op::SecretList), vault.secrets.len());
        let secrets = vault.secrets.iter().map(|o| (Op::SecretBackup, *o));
        for (op, object) in secrets.chain(vault.keys.iter().map(|o| (Op::KeyBackup, *o))) {
            at = agent.call(&mut stage, (at, 0), Ask::object(company, op, object)) + agent.pause(low, high);
        }
    }
}
