//! Identities that never shared an address read from one: somebody holds the credentials of them all.

use super::super::call::{Ask, Stage};
use super::super::company::{CallerId, Company, Micros};
use super::super::config::{By, Form, Origin};
use super::super::operation::Op;
use super::super::{HOUR, MINUTE, SECOND};
use super::{Attack, Habit, NIGHT, Scene, usual_of, workload_of};

pub(super) struct SharedAddress;

impl Attack for SharedAddress {
    fn habit(&self) -> Habit {
        Habit { by: By::Application, from: Origin::Outside, hours: NIGHT }
    }

    fn lasts(&self, form: Form) -> Micros {
        match form {
            Form::Fast => 30 * MINUTE,
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
        let (company, address) = (scene.company, scene.agent.first_address());
        let pace = scene.over(15 * SECOND, 20 * MINUTE);
        let caller = scene.caller;
        let all = company.workloads.iter().map(|w| w.caller).filter(|c| *c != caller && company.caller(*c).plain);
        let all: Vec<CallerId> = all.filter(|c| !usual_of(company, *c).is_empty()).collect();
        let count = scene.dice().range(3, 4);
        let usual = scene.usual();
        let mut at = scene.read(&usual[..usual.len().min(4)], 4 * pace);
        for caller in scene.dice().sample(&all, count) {
            let mut other = scene.other(caller);
            other.sit(&[address]);
            other.client = scene.agent.client;
            let stage = &mut Stage { company, sink: &mut scene.sink };
            for object in usual_of(company, caller).into_iter().take(4) {
                other.call(stage, (at, 0), Ask::object(company, Op::SecretGet, object));
                at += (pace as f64 * other.dice.between(0.6, 1.4)) as Micros;
            }
        }
    }
}
