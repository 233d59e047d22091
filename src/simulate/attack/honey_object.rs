//! Somebody touches an object that nobody has a reason to touch: bait, which the labels name.

use super::super::call::Ask;
use super::super::company::{CallerId, Company, Micros, ObjectId};
use super::super::config::{By, Form, Origin};
use super::super::dice::Dice;
use super::super::operation::Op;
use super::super::{HOUR, MINUTE, SECOND};
use super::{Attack, Habit, OFFICE, Scene};

/// How bait is called.
const BAIT: &str = "breakglass-admin-password";

pub(super) struct HoneyObject;

impl Attack for HoneyObject {
    fn habit(&self) -> Habit {
        Habit { by: By::User, from: Origin::Inside, hours: OFFICE }
    }

    fn lasts(&self, form: Form) -> Micros {
        match form {
            Form::Fast => 10 * MINUTE,
            Form::Slow => 5 * HOUR,
        }
    }

    fn enlist(&self, company: &mut Company, _: By, dice: &mut Dice) -> Option<CallerId> {
        let known = company.objects.iter().filter(|o| o.name.starts_with(BAIT)).count();
        company.add_bait(format!("{BAIT}{}", if known == 0 { String::new() } else { format!("-{}", known + 1) }), dice);
        None
    }

    fn act(&self, scene: &mut Scene<'_>) {
        let bait = (scene.company.objects.len() - 1) as ObjectId;
        let (company, at) = (scene.company, scene.at);
        let wait = scene.over(20 * SECOND, 3 * HOUR);
        let (agent, mut stage) = scene.agent();
        agent.call(&mut stage, (at, 0), Ask::object(company, Op::SecretListVersions, bait));
        agent.call(&mut stage, (at + wait, 0), Ask::object(company, Op::SecretGet, bait));
    }
}
