//! A caller knocks at a vault where it never came before and is refused: twice or three times, no more.

use super::super::call::Ask;
use super::super::company::Micros;
use super::super::config::{By, Form, Origin};
use super::super::operation::Op;
use super::super::{HOUR, MINUTE, SECOND};
use super::{Attack, Habit, NIGHT, Scene};

pub(super) struct UnusualDeniedCaller;

impl Attack for UnusualDeniedCaller {
    fn habit(&self) -> Habit {
        Habit { by: By::Application, from: Origin::Inside, hours: NIGHT }
    }

    fn lasts(&self, form: Form) -> Micros {
        match form {
            Form::Fast => 20 * MINUTE,
            Form::Slow => 9 * HOUR,
        }
    }

    fn act(&self, scene: &mut Scene<'_>) {
        let (company, vault) = (scene.company, scene.elsewhere());
        let pace = scene.over(40 * SECOND, 2 * HOUR);
        let secrets = company.vault(vault).secrets.clone();
        let mut at = scene.at;
        let (agent, mut stage) = scene.agent();
        agent.refused(&mut stage, (at, 0), Ask::vault(vault, Op::SecretList));
        for secret in secrets.iter().take(3) {
            at += (pace as f64 * agent.dice.between(0.6, 1.4)) as Micros;
            agent.refused(&mut stage, (at, 0), Ask::object(company, Op::SecretGet, *secret));
        }
    }
}
