//! A known caller reads what it always reads, from an address it never had, while its own goes on.

use super::super::company::{CallerId, Company, Micros};
use super::super::config::{By, Form, Origin};
use super::super::{HOUR, MINUTE};
use super::{Attack, Habit, OFFICE, Scene, usual_of, workload_of};

pub(super) struct NewAddress;

impl Attack for NewAddress {
    fn habit(&self) -> Habit {
        Habit { by: By::ManagedIdentity, from: Origin::Outside, hours: OFFICE }
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
        if scene.form == Form::Slow {
            // The thief runs the same program.
            scene.agent.client = scene.company.caller(scene.caller).client;
        }
        let whole = scene.over(5 * MINUTE, 7 * HOUR);
        scene.read(&usual, whole);
    }
}
