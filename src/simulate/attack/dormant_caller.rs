//! An identity that worked every day, fell silent weeks ago, and reads again.

use super::super::call::{Ask, Stage};
use super::super::company::{CallerId, Company, Micros, ObjectId, VaultId};
use super::super::config::{By, Form, Origin};
use super::super::dice::Dice;
use super::super::operation::Op;
use super::super::{DAY, HOUR, MINUTE};
use super::{Attack, Habit, NIGHT, Scene, recruit};

pub(super) struct DormantCaller;

impl Attack for DormantCaller {
    fn habit(&self) -> Habit {
        Habit { by: By::Application, from: Origin::Inside, hours: NIGHT }
    }

    fn lasts(&self, form: Form) -> Micros {
        match form {
            Form::Fast => 20 * MINUTE,
            Form::Slow => 20 * HOUR,
        }
    }

    fn enlist(&self, company: &mut Company, by: By, dice: &mut Dice) -> Option<CallerId> {
        let prod: Vec<VaultId> = company.prod().into_iter().filter(|v| *v > 0).collect();
        let vault = dice.pick(&prod);
        Some(recruit(company, by, "migration-2025", vec![vault], dice))
    }

    fn act(&self, scene: &mut Scene<'_>) {
        let company = scene.company;
        let objects: Vec<ObjectId> = scene.reachable().into_iter().take(6).collect();
        let active = (scene.at - 15 * DAY).max(company.from + (scene.at - company.from) / 3);
        let mut before = scene.bystander(scene.caller);
        let mut day = company.from + 10 * HOUR;
        while day < active {
            let (mut at, stage) = (day, &mut Stage { company, sink: &mut scene.sink });
            before.restart();
            for object in objects.iter().take(4) {
                at = before.call(stage, (at, 0), Ask::object(company, Op::SecretGet, *object)) + before.pause(0.2, 2.0);
            }
            day += DAY + before.pause(-900.0, 900.0);
        }
        let whole = scene.over(5 * MINUTE, 15 * HOUR);
        scene.read(&objects, whole);
    }
}
