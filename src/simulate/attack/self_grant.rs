//! The caller grants itself a role, or writes an access policy for itself.

use super::super::company::Micros;
use super::super::config::{By, Form, Origin};
use super::super::detail;
use super::super::{HOUR, MINUTE};
use super::{Attack, Habit, OFFICE, Scene};

pub(super) struct SelfGrant;

impl Attack for SelfGrant {
    fn habit(&self) -> Habit {
        Habit { by: By::User, from: Origin::Inside, hours: OFFICE }
    }

    fn lasts(&self, form: Form) -> Micros {
        match form {
            Form::Fast => 10 * MINUTE,
            Form::Slow => 5 * HOUR,
        }
    }

    fn act(&self, scene: &mut Scene<'_>) {
        let (vault, target) = (scene.elsewhere(), scene.caller);
        let at = scene.grant(scene.at, vault, target, detail::Role::Administrator);
        if scene.form == Form::Slow {
            // It is used hours later, and once only.
            scene.at = at + 3 * HOUR;
            let secret = scene.company.vault(vault).secrets[0];
            scene.read(&[secret], MINUTE);
        }
    }
}
