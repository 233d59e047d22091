//! A few secrets that the caller may read and never did: no volume, only novelty.

use super::super::company::{CallerId, Company, Micros};
use super::super::config::{By, Form, Origin};
use super::super::{HOUR, MINUTE};
use super::{Attack, Habit, NIGHT, Scene, reach_of, usual_of};

pub(super) struct NewObjectRead;

impl Attack for NewObjectRead {
    fn habit(&self) -> Habit {
        Habit { by: By::Application, from: Origin::Inside, hours: NIGHT }
    }

    fn lasts(&self, form: Form) -> Micros {
        match form {
            Form::Fast => 15 * MINUTE,
            Form::Slow => 40 * HOUR,
        }
    }

    fn suits(&self, company: &Company, caller: CallerId) -> usize {
        let usual = usual_of(company, caller).len();
        if usual == 0 { 0 } else { reach_of(company, caller).len().saturating_sub(usual) }
    }

    fn act(&self, scene: &mut Scene<'_>) {
        let (fresh, count) = (scene.fresh(), scene.dice().range(4, 6));
        let objects = scene.dice().sample(&fresh, count);
        let whole = scene.over(8 * MINUTE, 34 * HOUR);
        scene.read(&objects, whole);
    }
}
