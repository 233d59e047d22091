//! The firewall of a vault opens to everybody, or lets a foreign address pass.

use super::super::MINUTE;
use super::super::company::{Micros, foreign};
use super::super::config::{By, Form, Origin};
use super::super::detail::Detail;
use super::super::operation::Op;
use super::{Attack, Habit, OFFICE, Scene};

pub(super) struct NetworkOpened;

impl Attack for NetworkOpened {
    fn habit(&self) -> Habit {
        Habit { by: By::User, from: Origin::Inside, hours: OFFICE }
    }

    fn lasts(&self, form: Form) -> Micros {
        match form {
            Form::Fast => 10 * MINUTE,
            Form::Slow => 10 * MINUTE,
        }
    }

    fn act(&self, scene: &mut Scene<'_>) {
        let vault = scene.elsewhere();
        let detail = match scene.form {
            Form::Fast => Detail::Opened,
            Form::Slow => Detail::Passes(foreign(scene.dice())),
        };
        scene.change(scene.at, vault, Op::VaultPatch, detail);
    }
}
