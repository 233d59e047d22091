//! No token at all: one address asks every vault for lists and likely names, is answered 401 and never comes back
//! with a token.

use super::super::call::Ask;
use super::super::company::{CallerId, Company, Micros};
use super::super::config::{By, Form, Origin};
use super::super::names;
use super::super::operation::Op;
use super::super::{HOUR, MINUTE};
use super::{Attack, Habit, NIGHT, Scene};

pub(super) struct UnauthenticatedProbe;

impl Attack for UnauthenticatedProbe {
    fn habit(&self) -> Habit {
        Habit { by: By::User, from: Origin::Outside, hours: NIGHT }
    }

    fn lasts(&self, form: Form) -> Micros {
        match form {
            Form::Fast => 20 * MINUTE,
            Form::Slow => 12 * HOUR,
        }
    }

    fn nobody(&self) -> bool {
        true
    }

    fn varies(&self) -> bool {
        false
    }

    /// Anybody: the identity is never shown.
    fn suits(&self, _: &Company, _: CallerId) -> usize {
        1
    }

    fn act(&self, scene: &mut Scene<'_>) {
        let vaults: Vec<u16> = scene.company.vault_ids().collect();
        let whole = (self.lasts(scene.form) * 4 / 5) as f64;
        let pace = (whole / vaults.len() as f64).min(if scene.form == Form::Fast { 60.0 } else { 3_000.0 } * 1e6);
        let mut at = scene.at;
        let (agent, mut stage) = scene.agent();
        for vault in vaults {
            let name = agent.dice.below(names::GUESSES.len());
            let asks = [
                Ask::vault(vault, Op::SecretList),
                Ask::vault(vault, Op::KeyList),
                Ask::guess(vault, Op::SecretGet, name),
            ];
            let mut now = at;
            for ask in asks {
                now = agent.challenge(&mut stage, (now, 0), ask) + agent.pause(0.2, 2.0);
            }
            at += (pace * agent.dice.between(0.6, 1.2)) as Micros;
        }
    }
}
