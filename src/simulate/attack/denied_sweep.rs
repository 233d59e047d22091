//! One refusal here and one there, over every vault that is closed to the caller.

use super::super::call::Ask;
use super::super::company::{CallerId, Company, Micros, Role};
use super::super::config::{By, Form, Origin};
use super::super::names;
use super::super::operation::Op;
use super::super::{HOUR, MINUTE};
use super::{Attack, Habit, NIGHT, Scene, in_role};

pub(super) struct DeniedSweep;

impl Attack for DeniedSweep {
    fn habit(&self) -> Habit {
        Habit { by: By::ManagedIdentity, from: Origin::Inside, hours: NIGHT }
    }

    fn lasts(&self, form: Form) -> Micros {
        match form {
            Form::Fast => 8 * HOUR,
            Form::Slow => 30 * HOUR,
        }
    }

    fn suits(&self, company: &Company, caller: CallerId) -> usize {
        in_role(company, caller, Role::Web)
    }

    fn act(&self, scene: &mut Scene<'_>) {
        let mut vaults = scene.closed();
        scene.dice().shuffle(&mut vaults);
        let whole = (self.lasts(scene.form) - HOUR) as f64;
        let pace =
            (whole / vaults.len() as f64).min(if scene.form == Form::Fast { 30.0 } else { 150.0 } * MINUTE as f64);
        let mut at = scene.at;
        let (agent, mut stage) = scene.agent();
        for vault in vaults {
            agent.refused(&mut stage, (at, 0), Ask::vault(vault, Op::SecretList));
            if agent.dice.chance(0.6) {
                let name = agent.dice.below(names::GUESSES.len());
                let later = at + agent.pause(20.0, 90.0);
                agent.refused(&mut stage, (later, 0), Ask::guess(vault, Op::SecretGet, name));
            }
            at += (pace * agent.dice.between(0.7, 1.2)) as Micros;
        }
    }
}
