//! People: engineers with a time zone, an office, a home, a turn on call and a holiday.

use super::super::DAY;
use super::super::client;
use super::super::config::{By, Config};
use super::super::dice::Dice;
use super::super::names;
use super::callers::{enrol, internet};
use super::{Address, Company, Micros, ObjectId, Person, VaultId, day_of, weekday};

/// First bytes of ranges that homes are drawn from.
const HOMES: [u8; 5] = [81, 84, 86, 93, 178];

const OFFICES: [u8; 3] = [62, 80, 91];

pub(super) fn hire(company: &mut Company, config: &Config, count: usize, dice: &mut Dice) {
    let office = internet(&OFFICES, dice);
    for index in 0..count {
        person(company, index, office, dice);
    }
    if !config.quiet {
        return;
    }
    // The second one goes away for weeks and comes back: silence and return are no alarm in a person.
    let away = (config.at_share(0.2), working_day(config.at_share(0.68)));
    if let Some(person) = company.people.get_mut(1) {
        person.holiday = Some(away);
        let caller = person.caller as usize;
        company.callers[caller].plain = false;
    }
}

fn person(company: &mut Company, index: usize, office: Address, dice: &mut Dice) {
    let upn = format!("{}@contoso.com", names::numbered(names::PEOPLE, index));
    let home = internet(&HOMES, dice);
    let own = company.vaults.len() - 1;
    // A team looks after a run of vaults; its people read there and in the shared one.
    let mut reach: Vec<VaultId> = (0..3).map(|i| (1 + (index * 2 + i) % own) as VaultId).collect();
    reach.push(0);
    let favourites = reach.iter().flat_map(|v| dice.sample(&company.vault(*v).secrets, 4)).collect::<Vec<ObjectId>>();
    let caller = enrol(company, By::User, &upn, client::CLI, reach, vec![office, home], dice);
    let (zone, begins) = (dice.pick(&[1, 2, 2, 2, 3]), dice.range(7, 9) as i64);
    company.people.push(Person { caller, zone, favourites, begins, holiday: None, turn: index });
}

/// Midnight before the first working day at or after `t`.
fn working_day(t: Micros) -> Micros {
    let ahead = (7 - weekday(t)) % 7;
    (day_of(t) + if ahead <= 2 { ahead } else { 0 }) * DAY
}
