//! Calls with an RSA 4096 HSM key come near the 250 in ten seconds that a vault serves; nothing is refused yet.

use super::super::call::{Ask, Ending, Stage};
use super::super::company::{CallerId, Company, Micros, Role};
use super::super::config::{By, Form, Origin};
use super::super::operation::Op;
use super::super::{HOUR, MINUTE};
use super::{Attack, Habit, OFFICE, Scene, in_role, workload_of};

pub(super) struct NearLimit;

impl Attack for NearLimit {
    fn habit(&self) -> Habit {
        Habit { by: By::Application, from: Origin::Inside, hours: OFFICE }
    }

    fn lasts(&self, form: Form) -> Micros {
        match form {
            Form::Fast => HOUR,
            Form::Slow => 9 * HOUR,
        }
    }

    fn suits(&self, company: &Company, caller: CallerId) -> usize {
        in_role(company, caller, Role::Batch)
    }

    fn act(&self, scene: &mut Scene<'_>) {
        let company = scene.company;
        let vault = workload_of(company, scene.caller).map_or_else(|| scene.fullest(), |w| w.vault);
        let key = company.vault(vault).keys[0];
        // The record of its making tells the key's size.
        let made = company.from + HOUR;
        let creator = scene.administrator();
        let mut creator = scene.bystander(creator);
        let stage = &mut Stage { company, sink: &mut scene.sink };
        creator.call(stage, (made, 0), Ask::object(company, Op::KeyCreate, key));
        let gap = scene.over(6 * MINUTE, 70 * MINUTE);
        let mut at = scene.at;
        let (agent, mut stage) = scene.agent();
        for _ in 0..6 {
            let mut now = at;
            for call in 0..225 {
                let seat = call % agent.seats();
                agent.attempt(&mut stage, (now, seat), Ask::object(company, Op::KeySign, key), Ending::Fine);
                now += agent.pause(0.03, 0.05);
            }
            at += gap;
        }
    }
}
