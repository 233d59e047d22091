//! Decryptions far above what the caller ever did: somebody works through stolen data.

use super::super::call::Ask;
use super::super::company::{CallerId, Company, Micros, Role};
use super::super::config::{By, Form, Origin};
use super::super::operation::Op;
use super::super::{HOUR, MINUTE};
use super::{Attack, Habit, NIGHT, Scene, in_role, workload_of};

pub(super) struct CryptoSpike;

impl Attack for CryptoSpike {
    fn habit(&self) -> Habit {
        Habit { by: By::ManagedIdentity, from: Origin::Inside, hours: NIGHT }
    }

    fn lasts(&self, form: Form) -> Micros {
        match form {
            Form::Fast => HOUR,
            Form::Slow => 12 * HOUR,
        }
    }

    fn suits(&self, company: &Company, caller: CallerId) -> usize {
        in_role(company, caller, Role::Crypto)
    }

    fn act(&self, scene: &mut Scene<'_>) {
        let company = scene.company;
        let vault = workload_of(company, scene.caller).map_or_else(|| scene.fullest(), |w| w.vault);
        let key = company.vault(vault).keys[0];
        let count = (scene.daily() * 1.5).clamp(600.0, 40_000.0);
        let whole = scene.over(35 * MINUTE, 9 * HOUR);
        let pace = whole as f64 / count;
        let (mut at, end) = (scene.at, scene.at + whole);
        let (agent, mut stage) = scene.agent();
        while at < end {
            let op = if agent.dice.chance(0.8) { Op::KeyDecrypt } else { Op::KeyUnwrap };
            agent.call(&mut stage, (at, 0), Ask::object(company, op, key));
            at += (pace * agent.dice.between(0.5, 1.5)) as Micros;
        }
    }
}
