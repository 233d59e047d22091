//! A stolen identity tries what it may not: 60 to 200 refusals over several vaults, in ten minutes or in five hours.

use super::super::call::{Ask, Ending, Refusal};
use super::super::company::{CallerId, Company, Micros, Role};
use super::super::config::{By, Form, Origin};
use super::super::names;
use super::super::operation::Op;
use super::super::{HOUR, MINUTE, SECOND};
use super::{Attack, Habit, NIGHT, Scene, in_role};

pub(super) struct DeniedSpike;

impl Attack for DeniedSpike {
    fn habit(&self) -> Habit {
        Habit { by: By::Application, from: Origin::Outside, hours: NIGHT }
    }

    fn lasts(&self, form: Form) -> Micros {
        match form {
            Form::Fast => 15 * MINUTE,
            Form::Slow => 6 * HOUR,
        }
    }

    fn suits(&self, company: &Company, caller: CallerId) -> usize {
        in_role(company, caller, Role::Crypto)
    }

    fn act(&self, scene: &mut Scene<'_>) {
        let closed = scene.closed();
        let count = scene.dice().range(60, 200);
        let whole = match scene.form {
            Form::Fast => 9.0 * MINUTE as f64,
            Form::Slow => scene.dice().between(4.0, 5.5) * HOUR as f64,
        };
        let vaults = scene.dice().sample(&closed, 3.max(count / 30));
        let per_vault = count.div_ceil(vaults.len());
        let mut at = scene.at;
        let (agent, mut stage) = scene.agent();
        for attempt in 0..count {
            let vault = vaults[attempt / per_vault];
            let ask = match attempt % per_vault {
                0 => Ask::vault(vault, Op::SecretList),
                1 => Ask::vault(vault, Op::KeyList),
                2 => Ask::vault(vault, Op::CertificateList),
                n => Ask::guess(vault, Op::SecretGet, (n + attempt / 7) % names::GUESSES.len()),
            };
            let started = at;
            agent.attempt(&mut stage, (at, 0), ask, Ending::Denied(Refusal::Permission));
            let gap = agent.dice.gap(whole / count as f64).clamp(0.05 * SECOND as f64, 3.0 * whole / count as f64);
            at = started + gap as Micros;
        }
    }
}
