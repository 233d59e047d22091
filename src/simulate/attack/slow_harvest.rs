//! Objects that the caller never read before, a few an hour, for a day or two: no hour of it is loud.

use super::super::HOUR;
use super::super::call::Ask;
use super::super::company::{CallerId, Company, Micros};
use super::super::config::{By, Form, Origin};
use super::super::operation::Op;
use super::{Attack, Habit, OFFICE, Scene, reach_of};

pub(super) struct SlowHarvest;

impl Attack for SlowHarvest {
    fn habit(&self) -> Habit {
        Habit { by: By::User, from: Origin::Inside, hours: OFFICE }
    }

    fn lasts(&self, form: Form) -> Micros {
        match form {
            Form::Fast => 26 * HOUR,
            Form::Slow => 52 * HOUR,
        }
    }

    fn suits(&self, company: &Company, caller: CallerId) -> usize {
        reach_of(company, caller).len()
    }

    fn act(&self, scene: &mut Scene<'_>) {
        let company = scene.company;
        let person = company.people.iter().find(|p| p.caller == scene.caller);
        let usual = person.map(|p| p.favourites.clone()).unwrap_or_default();
        let fresh: Vec<u32> = scene.reachable().into_iter().filter(|o| !usual.contains(o)).collect();
        let count = scene.dice().range(40, 70);
        let objects = scene.dice().sample(&fresh, count);
        let whole = (self.lasts(scene.form) - 2 * HOUR) as f64;
        let pace = whole / objects.len().max(1) as f64;
        let mut at = scene.at;
        let (agent, mut stage) = scene.agent();
        for object in objects {
            agent.restart();
            agent.call(&mut stage, (at, 0), Ask::object(company, Op::SecretGet, object));
            at += (pace * agent.dice.between(0.3, 1.7)) as Micros;
        }
    }
}
