//! Names guessed in a vault that the caller may read but not list: not found, again and again.

use super::super::call::{Ask, Ending};
use super::super::company::{CallerId, Company, Micros, Role};
use super::super::config::{By, Form, Origin};
use super::super::names;
use super::super::operation::Op;
use super::super::{HOUR, MINUTE};
use super::{Attack, Habit, NIGHT, Scene, in_role};

pub(super) struct NameGuessing;

impl Attack for NameGuessing {
    fn habit(&self) -> Habit {
        Habit { by: By::Application, from: Origin::Inside, hours: NIGHT }
    }

    fn lasts(&self, form: Form) -> Micros {
        match form {
            Form::Fast => 15 * MINUTE,
            Form::Slow => 8 * HOUR,
        }
    }

    fn suits(&self, company: &Company, caller: CallerId) -> usize {
        in_role(company, caller, Role::Crypto)
    }

    fn act(&self, scene: &mut Scene<'_>) {
        let vault = scene.fullest();
        let all: Vec<usize> = (0..names::GUESSES.len()).collect();
        let count = scene.dice().range(35, 58);
        let guesses = scene.dice().sample(&all, count);
        let (low, high) = if scene.form == Form::Fast { (2.0, 12.0) } else { (200.0, 480.0) };
        let mut at = scene.at;
        let (agent, mut stage) = scene.agent();
        for name in guesses {
            at = agent.attempt(&mut stage, (at, 0), Ask::guess(vault, Op::SecretGet, name), Ending::NotFound);
            at += agent.pause(low, high);
        }
    }
}
