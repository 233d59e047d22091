//! A caller that always passes is refused by the firewall: its credential is used from elsewhere.

use super::super::call::{Ask, Ending, Refusal};
use super::super::company::{CallerId, Company, Micros};
use super::super::config::{By, Form, Origin};
use super::super::operation::Op;
use super::super::{HOUR, MINUTE, SECOND};
use super::{Attack, Habit, NIGHT, Scene, usual_of, workload_of};

pub(super) struct DeniedByNetwork;

impl Attack for DeniedByNetwork {
    fn habit(&self) -> Habit {
        Habit { by: By::ManagedIdentity, from: Origin::Outside, hours: NIGHT }
    }

    fn lasts(&self, form: Form) -> Micros {
        match form {
            Form::Fast => 20 * MINUTE,
            Form::Slow => 14 * HOUR,
        }
    }

    fn suits(&self, company: &Company, caller: CallerId) -> usize {
        workload_of(company, caller).map_or(0, |_| usual_of(company, caller).len())
    }

    fn varies(&self) -> bool {
        false
    }

    fn act(&self, scene: &mut Scene<'_>) {
        let (company, usual) = (scene.company, scene.usual());
        let pace = scene.over(15 * SECOND, 35 * MINUTE);
        let mut at = scene.at;
        let (agent, mut stage) = scene.agent();
        for turn in 0..20 {
            let ask = Ask::object(company, Op::SecretGet, usual[turn % usual.len()]);
            agent.attempt(&mut stage, (at, 0), ask, Ending::Denied(Refusal::Network));
            at += (pace as f64 * agent.dice.between(0.6, 1.4)) as Micros;
        }
    }
}
