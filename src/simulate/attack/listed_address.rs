//! A known caller reads from an address that is on a list which the user supplies; the labels name the address.

use super::super::company::{Micros, ObjectId};
use super::super::config::{By, Form, Origin};
use super::super::{HOUR, MINUTE};
use super::{Attack, Habit, OFFICE, Scene};

pub(super) struct ListedAddress;

impl Attack for ListedAddress {
    fn habit(&self) -> Habit {
        Habit { by: By::User, from: Origin::Outside, hours: OFFICE }
    }

    fn lasts(&self, form: Form) -> Micros {
        match form {
            Form::Fast => 10 * MINUTE,
            Form::Slow => 9 * HOUR,
        }
    }

    fn varies(&self) -> bool {
        false
    }

    fn act(&self, scene: &mut Scene<'_>) {
        let objects: Vec<ObjectId> = scene.usual().into_iter().take(5).collect();
        scene.agent.client = scene.company.caller(scene.caller).client;
        let whole = scene.over(3 * MINUTE, 7 * HOUR);
        scene.read(&objects, whole);
    }
}
