//! A vault that always logs stops, and no record says why.

use super::super::HOUR;
use super::super::company::{Effect, Micros};
use super::super::config::{By, Form, Origin};
use super::{Attack, Habit, OFFICE, Scene};

pub(super) struct LogSilence;

impl Attack for LogSilence {
    fn habit(&self) -> Habit {
        Habit { by: By::User, from: Origin::Inside, hours: OFFICE }
    }

    fn lasts(&self, form: Form) -> Micros {
        match form {
            Form::Fast => 14 * HOUR,
            Form::Slow => 32 * HOUR,
        }
    }

    fn nobody(&self) -> bool {
        true
    }

    fn varies(&self) -> bool {
        false
    }

    fn act(&self, scene: &mut Scene<'_>) {
        let whole = scene.over(12 * HOUR, 30 * HOUR);
        let vault = scene.undisturbed(scene.at, scene.at + whole);
        scene.befall(vault, (scene.at, scene.at + whole), Effect::Silence);
    }
}
