//! A caller answers 429 with more calls in place of backing off, so that it stays throttled.

use super::super::call::{Ask, Ending};
use super::super::company::{CallerId, Company, Micros, Role};
use super::super::config::{By, Form, Origin};
use super::super::operation::Op;
use super::super::{HOUR, MINUTE};
use super::{Attack, Habit, OFFICE, Scene, in_role, workload_of};

pub(super) struct RetryStorm;

impl Attack for RetryStorm {
    fn habit(&self) -> Habit {
        Habit { by: By::Application, from: Origin::Inside, hours: OFFICE }
    }

    fn lasts(&self, form: Form) -> Micros {
        match form {
            Form::Fast => 30 * MINUTE,
            Form::Slow => 5 * HOUR,
        }
    }

    fn suits(&self, company: &Company, caller: CallerId) -> usize {
        in_role(company, caller, Role::Batch)
    }

    fn act(&self, scene: &mut Scene<'_>) {
        let company = scene.company;
        let vault = workload_of(company, scene.caller).map_or_else(|| scene.fullest(), |w| w.vault);
        let key = company.vault(vault).keys[0];
        let (bursts, gap) = (scene.over(5, 12), scene.over(4 * MINUTE, 22 * MINUTE));
        let mut at = scene.at;
        let (agent, mut stage) = scene.agent();
        for _ in 0..bursts {
            let mut now = at;
            // Each refusal is followed by a faster retry.
            for retry in 0..120 {
                let ending = if retry < 3 { Ending::Fine } else { Ending::Throttled };
                agent.attempt(&mut stage, (now, 0), Ask::object(company, Op::KeyDecrypt, key), ending);
                now += agent.pause(0.5, 1.0) * (130 - retry) / 130;
            }
            at += gap;
        }
    }
}
