//! An identity that nobody knows was let into a production vault and reads there.

use super::super::company::{CallerId, Company, Micros, VaultId};
use super::super::config::{By, Form, Origin};
use super::super::dice::Dice;
use super::super::{HOUR, MINUTE};
use super::{Attack, Habit, OFFICE, Scene, recruit};

pub(super) struct NewCallerOnVault;

impl Attack for NewCallerOnVault {
    fn habit(&self) -> Habit {
        Habit { by: By::Application, from: Origin::Inside, hours: OFFICE }
    }

    fn lasts(&self, form: Form) -> Micros {
        match form {
            Form::Fast => 20 * MINUTE,
            Form::Slow => 26 * HOUR,
        }
    }

    fn enlist(&self, company: &mut Company, by: By, dice: &mut Dice) -> Option<CallerId> {
        let prod: Vec<VaultId> = company.prod().into_iter().filter(|v| *v > 0).collect();
        let vault = dice.pick(&prod);
        Some(recruit(company, by, "reporting-eu", vec![vault], dice))
    }

    fn act(&self, scene: &mut Scene<'_>) {
        let (all, count) = (scene.reachable(), scene.dice().range(5, 8));
        let objects = scene.dice().sample(&all, count);
        let whole = scene.over(10 * MINUTE, 20 * HOUR);
        scene.read(&objects, whole);
    }
}
