//! Refusals at an address that is on a list which the user supplies.

use super::super::call::Ask;
use super::super::company::Micros;
use super::super::config::{By, Form, Origin};
use super::super::operation::Op;
use super::super::{HOUR, MINUTE, SECOND};
use super::{Attack, Habit, NIGHT, Scene};

pub(super) struct ListedAddressDenied;

impl Attack for ListedAddressDenied {
    fn habit(&self) -> Habit {
        Habit { by: By::Application, from: Origin::Outside, hours: NIGHT }
    }

    fn lasts(&self, form: Form) -> Micros {
        match form {
            Form::Fast => 10 * MINUTE,
            Form::Slow => 9 * HOUR,
        }
    }

    fn varies(&self) -> bool {
        false
    }

    fn act(&self, scene: &mut Scene<'_>) {
        let (company, vault) = (scene.company, scene.elsewhere());
        let pace = scene.over(20 * SECOND, HOUR);
        let mut at = scene.at;
        let (agent, mut stage) = scene.agent();
        for secret in company.vault(vault).secrets.iter().take(5) {
            agent.refused(&mut stage, (at, 0), Ask::object(company, Op::SecretGet, *secret));
            at += (pace as f64 * agent.dice.between(0.6, 1.4)) as Micros;
        }
    }
}
