//! A vault's service time is many times what it was, for everybody.

use super::super::company::{Effect, Micros};
use super::super::config::{By, Form, Origin};
use super::super::{HOUR, MINUTE};
use super::{Attack, Habit, OFFICE, Scene};

pub(super) struct SlowRequests;

impl Attack for SlowRequests {
    fn habit(&self) -> Habit {
        Habit { by: By::User, from: Origin::Inside, hours: OFFICE }
    }

    fn lasts(&self, form: Form) -> Micros {
        match form {
            Form::Fast => 2 * HOUR,
            Form::Slow => 8 * HOUR,
        }
    }

    fn nobody(&self) -> bool {
        true
    }

    fn varies(&self) -> bool {
        false
    }

    fn act(&self, scene: &mut Scene<'_>) {
        let whole = scene.over(90 * MINUTE, 6 * HOUR);
        let factor = if scene.form == Form::Fast { 40.0 } else { 10.0 };
        let vault = scene.undisturbed(scene.at, scene.at + whole);
        scene.befall(vault, (scene.at, scene.at + whole), Effect::Slow(factor));
    }
}
