//! Key Vault announces that secrets which are still read have expired: one, or several.

use super::super::call::Ask;
use super::super::company::{Micros, ObjectId, Role};
use super::super::config::{By, Form, Origin};
use super::super::detail::Detail;
use super::super::operation::Op;
use super::super::{HOUR, MINUTE, SECOND};
use super::{Attack, Habit, OFFICE, Scene};

pub(super) struct Expired;

impl Attack for Expired {
    fn habit(&self) -> Habit {
        Habit { by: By::User, from: Origin::Inside, hours: OFFICE }
    }

    fn lasts(&self, form: Form) -> Micros {
        match form {
            Form::Fast => HOUR,
            Form::Slow => 2 * HOUR,
        }
    }

    fn nobody(&self) -> bool {
        true
    }

    fn varies(&self) -> bool {
        false
    }

    fn act(&self, scene: &mut Scene<'_>) {
        let company = scene.company;
        let all = company.workloads.iter().filter(|w| w.role != Role::Crypto).map(|w| w.objects[0]);
        let all: Vec<ObjectId> = all.collect();
        let first = scene.dice().pick(&all);
        let same = |o: &ObjectId| company.object(*o).vault == company.object(first).vault;
        let mut objects: Vec<ObjectId> = all.into_iter().filter(same).collect();
        objects.dedup();
        objects.truncate(scene.over(1, 3) as usize);
        let at = scene.at;
        let (agent, mut stage) = scene.agent();
        for (index, object) in objects.into_iter().enumerate() {
            let at = at + index as i64 * 20 * MINUTE;
            let due = Detail::Expires(at / SECOND);
            agent.notify(&mut stage, at, Ask::object(company, Op::SecretExpired, object).with(due));
        }
    }
}
