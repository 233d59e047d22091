//! A deployment with many pods polls many objects at a fixed interval: pods times objects, for nothing new.

use super::super::HOUR;
use super::super::call::Ask;
use super::super::client;
use super::super::company::{Address, CallerId, Company, Micros, ObjectId};
use super::super::config::{By, Form, Origin};
use super::super::operation::Op;
use super::{Attack, Habit, OFFICE, Scene, usual_of, workload_of};

pub(super) struct PollFanOut;

impl Attack for PollFanOut {
    fn habit(&self) -> Habit {
        Habit { by: By::ManagedIdentity, from: Origin::Inside, hours: OFFICE }
    }

    fn lasts(&self, form: Form) -> Micros {
        match form {
            Form::Fast => 5 * HOUR,
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
        let company = scene.company;
        let objects: Vec<ObjectId> = scene.reachable().into_iter().take(8).collect();
        let home = scene.agent.first_address();
        let pods: Vec<Address> = (0..10).map(|i| Address { ip: (home.ip & !0xff) + 240 + i, ..home }).collect();
        scene.agent.sit(&pods);
        scene.agent.client = client::CSI;
        let whole = scene.over(4 * HOUR, 12 * HOUR);
        let rounds = ((scene.target * 0.04 / 80.0) as i64).clamp(12, 120);
        let start = scene.at;
        let (agent, mut stage) = scene.agent();
        for round in 0..rounds {
            for pod in 0..10 {
                let mut at = start + round * (whole / rounds) + pod as i64 * 700_000;
                for object in &objects {
                    at = agent.call(&mut stage, (at, pod), Ask::object(company, Op::SecretGet, *object)) + 4_000;
                }
            }
        }
    }
}
