//! A vault is written without purge protection, and deleted objects are kept for a week only.

use super::super::MINUTE;
use super::super::company::Micros;
use super::super::config::{By, Form, Origin};
use super::super::detail::Detail;
use super::super::operation::Op;
use super::{Attack, Habit, OFFICE, Scene};

pub(super) struct ProtectionWeakened;

impl Attack for ProtectionWeakened {
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
        let op = if scene.form == Form::Fast { Op::VaultPut } else { Op::VaultPatch };
        scene.change(scene.at, vault, op, Detail::Unprotected);
    }
}
