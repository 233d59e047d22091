//! A person's account at work in a weekend's night, from home, out of the turn on call.

use super::super::company::{CallerId, Company, Micros, day_of, on_call, weekday};
use super::super::config::{By, Form, Origin};
use super::super::{DAY, HOUR, MINUTE};
use super::{Attack, Habit, NIGHT, Scene};

pub(super) struct OffHoursRead;

impl Attack for OffHoursRead {
    fn habit(&self) -> Habit {
        Habit { by: By::User, from: Origin::Inside, hours: NIGHT }
    }

    fn lasts(&self, form: Form) -> Micros {
        match form {
            Form::Fast => 30 * MINUTE,
            Form::Slow => 6 * HOUR,
        }
    }

    fn suits(&self, company: &Company, caller: CallerId) -> usize {
        company.people.iter().position(|p| p.caller == caller).map_or(0, |i| 1 + (i * 7) % 5)
    }

    fn varies(&self) -> bool {
        false
    }

    fn act(&self, scene: &mut Scene<'_>) {
        let company = scene.company;
        let Some(person) = company.people.iter().find(|p| p.caller == scene.caller) else { return };
        let night = day_of(scene.at) * DAY + HOUR + scene.dice().range(0, 90) as i64 * MINUTE;
        let fits = |t: &Micros| weekday(*t) >= 5 && !on_call(person, company.people.len(), *t);
        let days = [0, 1, -1, 2, -2, 3, -3, 4, -4, 5, -5, 6, -6, -7, -8, -9, -10, -11, -12];
        let nights = days.iter().map(|d| night + d * DAY);
        let inside = |t: &Micros| *t > company.from && *t + 8 * HOUR < company.to;
        scene.at = nights.clone().filter(inside).find(fits).unwrap_or(scene.at);
        if let [.., home] = company.caller(scene.caller).addresses.as_slice() {
            scene.agent.sit(&[*home]);
        }
        let whole = scene.over(20 * MINUTE, 4 * HOUR);
        scene.read(&person.favourites.clone(), whole);
    }
}
