//! Deleted secrets are brought back and read, or backups are restored into a vault where their taker may read.

use super::super::call::{Ask, Ending};
use super::super::company::Micros;
use super::super::config::{By, Form, Origin};
use super::super::operation::Op;
use super::super::{HOUR, MINUTE, SECOND};
use super::{Attack, Habit, NIGHT, Scene};

pub(super) struct RestoreOrRecover;

impl Attack for RestoreOrRecover {
    fn habit(&self) -> Habit {
        Habit { by: By::User, from: Origin::Inside, hours: NIGHT }
    }

    fn lasts(&self, form: Form) -> Micros {
        match form {
            Form::Fast => 20 * MINUTE,
            Form::Slow => 8 * HOUR,
        }
    }

    fn act(&self, scene: &mut Scene<'_>) {
        let (company, form) = (scene.company, scene.form);
        let vault = scene.fullest();
        let pace = scene.over(30 * SECOND, 40 * MINUTE);
        let objects = company.vault(vault).secrets.clone();
        let mut at = scene.at;
        let (agent, mut stage) = scene.agent();
        agent.call(&mut stage, (at, 0), Ask::vault(vault, Op::SecretListDeleted));
        for turn in 0..8 {
            at += (pace as f64 * agent.dice.between(0.6, 1.4)) as Micros;
            let ask = match form {
                Form::Fast => Ask::guess(vault, Op::SecretRecover, 7 * turn + 3),
                Form::Slow => Ask::object(company, Op::SecretRestore, objects[turn % objects.len()]),
            };
            agent.attempt(&mut stage, (at, 0), ask, Ending::Fine);
        }
    }
}
