//! One vault listed and then most of it read at once, by somebody who usually knows what to ask for.

use super::super::MINUTE;
use super::super::call::Ask;
use super::super::company::{CallerId, Company, Micros};
use super::super::config::{By, Form, Origin};
use super::super::operation::Op;
use super::{Attack, Habit, NIGHT, Scene, reach_of};

pub(super) struct ListThenRead;

impl Attack for ListThenRead {
    fn habit(&self) -> Habit {
        Habit { by: By::Application, from: Origin::Outside, hours: NIGHT }
    }

    fn lasts(&self, form: Form) -> Micros {
        match form {
            Form::Fast => 5 * MINUTE,
            Form::Slow => 60 * MINUTE,
        }
    }

    fn suits(&self, company: &Company, caller: CallerId) -> usize {
        reach_of(company, caller).len()
    }

    fn act(&self, scene: &mut Scene<'_>) {
        let company = scene.company;
        let vault = scene.fullest();
        let all = &company.vault(vault).secrets;
        let share = scene.dice().between(0.7, 0.9);
        let objects = scene.dice().sample(all, (all.len() as f64 * share) as usize);
        let (low, high) = if scene.form == Form::Fast { (1.0, 6.0) } else { (50.0, 90.0) };
        let at = scene.at;
        let (agent, mut stage) = scene.agent();
        let mut at = agent.list(&mut stage, (at, 0), Ask::vault(vault, Op::SecretList), all.len());
        for object in objects {
            at = agent.call(&mut stage, (at, 0), Ask::object(company, Op::SecretGet, object)) + agent.pause(low, high);
        }
    }
}
