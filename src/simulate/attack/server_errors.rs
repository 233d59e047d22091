//! A vault answers 500 and 503 to a share of all calls.

use super::super::company::{Effect, Micros};
use super::super::config::{By, Form, Origin};
use super::super::{HOUR, MINUTE};
use super::{Attack, Habit, OFFICE, Scene};

pub(super) struct ServerErrors;

impl Attack for ServerErrors {
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
        let share = if scene.form == Form::Fast { 0.6 } else { 0.15 };
        let vault = scene.undisturbed(scene.at, scene.at + whole);
        scene.befall(vault, (scene.at, scene.at + whole), Effect::Errors(share));
    }
}
