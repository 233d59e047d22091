//! Somebody is let into a vault, and the one who gained reads it soon.

use super::super::call::{Ask, Stage};
use super::super::company::{CallerId, Micros};
use super::super::config::{By, Form, Origin};
use super::super::detail;
use super::super::operation::Op;
use super::super::{HOUR, MINUTE, SECOND};
use super::{Attack, Habit, OFFICE, Scene};

pub(super) struct PolicyChangeThenRead;

impl Attack for PolicyChangeThenRead {
    fn habit(&self) -> Habit {
        Habit { by: By::User, from: Origin::Inside, hours: OFFICE }
    }

    fn lasts(&self, form: Form) -> Micros {
        match form {
            Form::Fast => HOUR,
            Form::Slow => 16 * HOUR,
        }
    }

    fn act(&self, scene: &mut Scene<'_>) {
        let (company, vault) = (scene.company, scene.elsewhere());
        let others = company.workloads.iter().map(|w| w.caller);
        let others: Vec<CallerId> =
            others.filter(|c| company.caller(*c).plain && !company.caller(*c).reach.contains(&vault)).collect();
        // A person rarely lets in a machine of another team; who has none to let in helps himself.
        let gainer = if others.is_empty() { scene.caller } else { scene.dice().pick(&others) };
        let mut at = scene.grant(scene.at, vault, gainer, detail::Role::SecretsUser);
        let pace = scene.over(20 * SECOND, 50 * MINUTE);
        at += 6 * MINUTE + pace;
        let mut reader = scene.other(gainer);
        let stage = &mut Stage { company, sink: &mut scene.sink };
        for secret in company.vault(vault).secrets.iter().take(12) {
            reader.call(stage, (at, 0), Ask::object(company, Op::SecretGet, *secret));
            at += (pace as f64 * reader.dice.between(0.6, 1.4)) as Micros;
        }
    }
}
