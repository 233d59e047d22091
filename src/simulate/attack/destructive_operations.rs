//! Secrets of one vault deleted in a burst, and purged soon after so that nothing can be recovered.

use super::super::call::Ask;
use super::super::company::{CallerId, Company, Micros};
use super::super::config::{By, Form, Origin};
use super::super::operation::Op;
use super::super::{HOUR, MINUTE};
use super::{Attack, Habit, NIGHT, Scene, reach_of};

pub(super) struct DestructiveOperations;

impl Attack for DestructiveOperations {
    fn habit(&self) -> Habit {
        Habit { by: By::User, from: Origin::Outside, hours: NIGHT }
    }

    fn lasts(&self, form: Form) -> Micros {
        match form {
            Form::Fast => 30 * MINUTE,
            Form::Slow => 10 * HOUR,
        }
    }

    fn suits(&self, company: &Company, caller: CallerId) -> usize {
        reach_of(company, caller).len()
    }

    fn act(&self, scene: &mut Scene<'_>) {
        let company = scene.company;
        let vault = scene.fullest();
        let all = &company.vault(vault).secrets;
        let count = scene.dice().range(8, all.len().clamp(8, 20));
        let objects = scene.dice().sample(all, count);
        let (low, high) = if scene.form == Form::Fast { (2.0, 9.0) } else { (600.0, 1200.0) };
        let (mut at, mut gone) = (scene.at, Vec::new());
        let (agent, mut stage) = scene.agent();
        for object in &objects {
            at = agent.call(&mut stage, (at, 0), Ask::object(company, Op::SecretDelete, *object));
            gone.push((*object, at));
            at += agent.pause(low, high);
        }
        at += agent.pause(120.0, 400.0);
        for object in objects.iter().take(count / 2) {
            at = agent.call(&mut stage, (at, 0), Ask::object(company, Op::SecretPurge, *object));
            at += agent.pause(low, high);
        }
        scene.deletions.extend(gone);
    }
}
