//! A diagnostic setting is deleted, and the vault is silent until somebody notices.

use super::super::call::Ask;
use super::super::company::{Effect, Micros};
use super::super::config::{By, Form, Origin};
use super::super::operation::Op;
use super::super::{HOUR, MINUTE};
use super::{Attack, Habit, OFFICE, Scene};

pub(super) struct DiagnosticsRemoved;

impl Attack for DiagnosticsRemoved {
    fn habit(&self) -> Habit {
        Habit { by: By::User, from: Origin::Inside, hours: OFFICE }
    }

    fn lasts(&self, form: Form) -> Micros {
        match form {
            Form::Fast => 4 * HOUR,
            Form::Slow => 26 * HOUR,
        }
    }

    fn act(&self, scene: &mut Scene<'_>) {
        let whole = scene.over(3 * HOUR, 24 * HOUR);
        let vault = scene.undisturbed(scene.at, scene.at + whole);
        let at = scene.at;
        let (agent, mut stage) = scene.agent();
        let done = agent.control(&mut stage, at, Ask::vault(vault, Op::DiagnosticsDelete));
        scene.befall(vault, (done + MINUTE, done + whole), Effect::Silence);
    }
}
