//! A client that speaks a TLS version below 1.2 reads for hours what it always reads.

use super::super::HOUR;
use super::super::company::{CallerId, Company, Micros, ObjectId};
use super::super::config::{By, Form, Origin};
use super::{Attack, Habit, OFFICE, Scene, usual_of, workload_of};

pub(super) struct OldTls;

impl Attack for OldTls {
    fn habit(&self) -> Habit {
        Habit { by: By::Application, from: Origin::Inside, hours: OFFICE }
    }

    fn lasts(&self, form: Form) -> Micros {
        match form {
            Form::Fast => 3 * HOUR,
            Form::Slow => 20 * HOUR,
        }
    }

    fn suits(&self, company: &Company, caller: CallerId) -> usize {
        workload_of(company, caller).map_or(0, |_| usual_of(company, caller).len())
    }

    fn varies(&self) -> bool {
        false
    }

    fn act(&self, scene: &mut Scene<'_>) {
        scene.agent.tls = if scene.form == Form::Fast { 0 } else { 1 };
        let usual = scene.usual();
        let objects: Vec<ObjectId> = (0..24).map(|i| usual[i % usual.len()]).collect();
        let whole = scene.over(2 * HOUR, 17 * HOUR);
        scene.read(&objects, whole);
    }
}
