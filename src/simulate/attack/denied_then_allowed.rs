//! Refused, then let in by somebody, then allowed on the same object.

use super::super::call::Ask;
use super::super::company::Micros;
use super::super::config::{By, Form, Origin};
use super::super::detail;
use super::super::operation::Op;
use super::super::{HOUR, MINUTE, SECOND};
use super::{Attack, Habit, OFFICE, Scene};

pub(super) struct DeniedThenAllowed;

impl Attack for DeniedThenAllowed {
    fn habit(&self) -> Habit {
        Habit { by: By::Application, from: Origin::Inside, hours: OFFICE }
    }

    fn lasts(&self, form: Form) -> Micros {
        match form {
            Form::Fast => HOUR,
            Form::Slow => 16 * HOUR,
        }
    }

    fn act(&self, scene: &mut Scene<'_>) {
        let (company, vault) = (scene.company, scene.elsewhere());
        let secrets = company.vault(vault).secrets.clone();
        let pace = scene.over(20 * SECOND, HOUR);
        let mut at = scene.at;
        let (agent, mut stage) = scene.agent();
        for secret in secrets.iter().take(4) {
            agent.refused(&mut stage, (at, 0), Ask::object(company, Op::SecretGet, *secret));
            at += (pace as f64 * agent.dice.between(0.6, 1.4)) as Micros;
        }
        let (target, helper) = (scene.caller, scene.administrator());
        let mut helper = scene.other(helper);
        std::mem::swap(&mut scene.agent, &mut helper);
        at = scene.grant(at + 4 * pace, vault, target, detail::Role::SecretsUser);
        std::mem::swap(&mut scene.agent, &mut helper);
        scene.at = at + 6 * MINUTE;
        scene.read(&secrets[..secrets.len().min(6)], 6 * pace);
    }
}
