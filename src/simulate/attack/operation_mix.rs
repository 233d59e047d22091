//! A caller that only read begins to list, to look at versions and keys, and to write metadata; no more calls than usual.

use super::super::call::Ask;
use super::super::company::{CallerId, Company, Micros};
use super::super::config::{By, Form, Origin};
use super::super::operation::Op;
use super::super::{HOUR, MINUTE, SECOND};
use super::{Attack, Habit, NIGHT, Scene, usual_of, workload_of};

pub(super) struct OperationMix;

impl Attack for OperationMix {
    fn habit(&self) -> Habit {
        Habit { by: By::ManagedIdentity, from: Origin::Inside, hours: NIGHT }
    }

    fn lasts(&self, form: Form) -> Micros {
        match form {
            Form::Fast => 90 * MINUTE,
            Form::Slow => 14 * HOUR,
        }
    }

    fn suits(&self, company: &Company, caller: CallerId) -> usize {
        workload_of(company, caller).map_or(0, |_| usual_of(company, caller).len())
    }

    fn act(&self, scene: &mut Scene<'_>) {
        let company = scene.company;
        let (usual, vault) = (scene.usual(), scene.fullest());
        let pace = scene.over(80 * SECOND, 18 * MINUTE);
        let keys = company.vault(vault).keys.clone();
        let mut at = scene.at;
        let (agent, mut stage) = scene.agent();
        for turn in 0..36 {
            let object = agent.dice.pick(&usual);
            let ask = match turn % 6 {
                0 => Ask::vault(vault, Op::SecretList),
                1 => Ask::vault(vault, Op::KeyList),
                2 => Ask::object(company, Op::SecretListVersions, object),
                3 => Ask::object(company, Op::KeyGet, agent.dice.pick(&keys)),
                4 => Ask::vault(vault, Op::CertificateList),
                _ => Ask::object(company, Op::SecretUpdate, object),
            };
            agent.call(&mut stage, (at, 0), ask);
            at += (pace as f64 * agent.dice.between(0.6, 1.4)) as Micros;
        }
    }
}
