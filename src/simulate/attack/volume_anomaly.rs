//! A caller reads what it always reads, many times as often as ever.

use super::super::HOUR;
use super::super::company::{CallerId, Company, Micros, ObjectId};
use super::super::config::{By, Form, Origin};
use super::{Attack, Habit, OFFICE, Scene, usual_of, workload_of};

pub(super) struct VolumeAnomaly;

impl Attack for VolumeAnomaly {
    fn habit(&self) -> Habit {
        Habit { by: By::Application, from: Origin::Inside, hours: OFFICE }
    }

    fn lasts(&self, form: Form) -> Micros {
        match form {
            Form::Fast => 2 * HOUR,
            Form::Slow => 16 * HOUR,
        }
    }

    fn suits(&self, company: &Company, caller: CallerId) -> usize {
        workload_of(company, caller).map_or(0, |_| usual_of(company, caller).len())
    }

    fn act(&self, scene: &mut Scene<'_>) {
        let usual = scene.usual();
        let count = (scene.daily() * if scene.form == Form::Fast { 1.5 } else { 4.0 }).clamp(500.0, 40_000.0) as usize;
        let objects: Vec<ObjectId> = (0..count).map(|i| usual[i % usual.len()]).collect();
        let whole = scene.over(HOUR, 13 * HOUR);
        scene.read(&objects, whole);
    }
}
