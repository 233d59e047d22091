//! A key that services unwrap with is disabled; others lose their operations. An hour later somebody puts it right.

use super::super::call::{Ask, Ending, Stage};
use super::super::company::{Effect, Micros};
use super::super::config::{By, Form, Origin};
use super::super::detail::Detail;
use super::super::operation::Op;
use super::super::{HOUR, MINUTE, SECOND};
use super::{Attack, Habit, NIGHT, Scene};

pub(super) struct KeyTampering;

impl Attack for KeyTampering {
    fn habit(&self) -> Habit {
        Habit { by: By::User, from: Origin::Outside, hours: NIGHT }
    }

    fn lasts(&self, form: Form) -> Micros {
        match form {
            Form::Fast => 20 * MINUTE,
            Form::Slow => 5 * HOUR,
        }
    }

    fn act(&self, scene: &mut Scene<'_>) {
        let company = scene.company;
        let vault = scene.fullest();
        let keys = company.vault(vault).keys.clone();
        let pace = scene.over(40 * SECOND, HOUR);
        let at = scene.at;
        let (agent, mut stage) = scene.agent();
        let disable = Ask::object(company, Op::KeyUpdate, keys[0]).with(Detail::Enabled(false));
        let disabled = agent.attempt(&mut stage, (at, 0), disable, Ending::Fine);
        let narrow = Ask::object(company, Op::KeyUpdate, keys[1 % keys.len()]).with(Detail::OnlyVerifies);
        agent.attempt(&mut stage, (at + pace, 0), narrow, Ending::Fine);
        if let Some(last) = keys.get(2) {
            agent.attempt(&mut stage, (at + 2 * pace, 0), Ask::object(company, Op::KeyDelete, *last), Ending::Fine);
        }
        let restored = (disabled + 3 * pace + HOUR).min(company.to - MINUTE);
        scene.befall(vault, (disabled, restored), Effect::Disabled(keys[0]));
        let helper = scene.administrator();
        let mut helper = scene.bystander(helper);
        let enable = Ask::object(company, Op::KeyUpdate, keys[0]).with(Detail::Enabled(true));
        helper.attempt(&mut Stage { company, sink: &mut scene.sink }, (restored, 0), enable, Ending::Fine);
    }
}
