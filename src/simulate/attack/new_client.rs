//! A known workload turns into curl: same address, same secrets, another program.

use super::super::client;
use super::super::company::{CallerId, Company, Micros};
use super::super::config::{By, Form, Origin};
use super::super::{HOUR, MINUTE};
use super::{Attack, Habit, OFFICE, Scene, usual_of, workload_of};

pub(super) struct NewClient;

impl Attack for NewClient {
    fn habit(&self) -> Habit {
        Habit { by: By::ManagedIdentity, from: Origin::Inside, hours: OFFICE }
    }

    fn lasts(&self, form: Form) -> Micros {
        match form {
            Form::Fast => 15 * MINUTE,
            Form::Slow => 9 * HOUR,
        }
    }

    fn suits(&self, company: &Company, caller: CallerId) -> usize {
        workload_of(company, caller).map_or(0, |_| usual_of(company, caller).len())
    }

    fn varies(&self) -> bool {
        false
    }

    fn act(&self, scene: &mut Scene<'_>) {
        let usual = scene.usual();
        scene.agent.client = if scene.dice().chance(0.5) { client::CURL } else { client::REQUESTS };
        let first = scene.agent.first_address();
        scene.agent.sit(&[first]);
        let whole = scene.over(4 * MINUTE, 7 * HOUR);
        scene.read(&usual, whole);
    }
}
