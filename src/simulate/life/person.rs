//! A person: office hours in a time zone, the portal or the command line, a few objects looked at again and again,
//! now and then another one; a turn on call at night; weeks of holiday and a busy first day back.

use super::super::agent::Agent;
use super::super::call::{Ask, Stage};
use super::super::client;
use super::super::company::{Company, Micros, ObjectId, VaultId, hour_of, on_call, weekday};
use super::super::operation::Op;
use super::super::{DAY, HOUR};
use super::{Actor, Hour, agent};

pub(super) struct AtWork {
    agent: Agent,
    person: usize,
    likes_portal: f64,
}

/// Places of a person: the caller's addresses stand in this order.
const OFFICE: usize = 0;
const HOME: usize = 1;

/// Looks into vaults in an hour of office time.
const PER_HOUR: f64 = 0.22;

/// Pages in an hour of a night on call.
const PAGES: f64 = 0.07;

impl AtWork {
    pub(super) fn new(company: &Company, person: usize, actor: u32) -> Self {
        let mut agent = agent(company, company.people[person].caller, actor, false);
        let likes_portal = agent.dice.between(0.2, 0.9);
        Self { agent, person, likes_portal }
    }

    /// How many looks are expected in this hour, and from where.
    fn habit(&self, company: &Company, t: Micros) -> (f64, usize) {
        let person = &company.people[self.person];
        let local = t + person.zone * HOUR;
        if person.holiday.is_some_and(|(from, to)| (from..to).contains(&t)) {
            return (0.0, OFFICE);
        }
        let hour = hour_of(local);
        if weekday(local) < 5 && (person.begins..person.begins + 9).contains(&hour) {
            let back = person.holiday.is_some_and(|(_, to)| (to..to + DAY).contains(&t));
            return (PER_HOUR * if back { 2.5 } else { 1.0 }, if weekday(local) == 4 { HOME } else { OFFICE });
        }
        let night = !(6..22).contains(&hour);
        if night && on_call(person, company.people.len(), t) { (PAGES, HOME) } else { (0.0, HOME) }
    }

    fn look(&mut self, stage: &mut Stage<'_>, at: Micros, place: usize) {
        let company = stage.company;
        let favourites = &company.people[self.person].favourites;
        let first = self.agent.dice.pick(favourites);
        let vault = company.object(first).vault;
        let mut wanted: Vec<ObjectId> = Vec::from([first]);
        for _ in 0..self.agent.dice.below(3) {
            wanted.push(self.another(company, vault));
        }
        if self.agent.dice.chance(self.likes_portal) {
            self.in_portal(stage, at, place, vault, &wanted);
        } else {
            self.at_command_line(stage, at, place, vault, &wanted);
        }
    }

    /// Mostly one of the usual ones in this vault, sometimes any.
    fn another(&mut self, company: &Company, vault: VaultId) -> ObjectId {
        let favourites = &company.people[self.person].favourites;
        let here: Vec<ObjectId> = favourites.iter().copied().filter(|o| company.object(*o).vault == vault).collect();
        if self.agent.dice.chance(0.92) {
            self.agent.dice.pick(&here)
        } else {
            self.agent.dice.pick(&company.vault(vault).secrets)
        }
    }

    fn in_portal(&mut self, stage: &mut Stage<'_>, at: Micros, place: usize, vault: VaultId, wanted: &[ObjectId]) {
        let company = stage.company;
        self.agent.client = client::PORTAL;
        let mut at = self.agent.call(stage, (at, place), Ask::vault(vault, Op::VaultGet)) + self.agent.pause(1.0, 4.0);
        self.agent.client = client::PORTAL_BLADE;
        at = self.agent.list(stage, (at, place), Ask::vault(vault, Op::SecretList), company.vault(vault).secrets.len());
        for object in wanted {
            at += self.agent.pause(3.0, 25.0);
            at = self.agent.call(stage, (at, place), Ask::object(company, Op::SecretListVersions, *object));
            at += self.agent.pause(2.0, 8.0);
            at = self.agent.call(stage, (at, place), Ask::object(company, Op::SecretGet, *object));
        }
    }

    /// Each command is a process of its own, so each begins with a challenge.
    fn at_command_line(
        &mut self,
        stage: &mut Stage<'_>,
        at: Micros,
        place: usize,
        vault: VaultId,
        wanted: &[ObjectId],
    ) {
        let company = stage.company;
        self.agent.client = client::CLI;
        let mut at = at;
        if self.agent.dice.chance(0.4) {
            self.agent.restart();
            let count = company.vault(vault).secrets.len();
            at = self.agent.list(stage, (at, place), Ask::vault(vault, Op::SecretList), count);
        }
        for object in wanted {
            at += self.agent.pause(5.0, 60.0);
            self.agent.restart();
            at = self.agent.call(stage, (at, place), Ask::object(company, Op::SecretGet, *object));
        }
    }
}

impl Actor for AtWork {
    fn hour(&mut self, stage: &mut Stage<'_>, hour: Hour) {
        let (mean, place) = self.habit(stage.company, hour.from);
        let count = self.agent.dice.poisson(mean);
        for at in self.agent.dice.moments(count, hour.from, hour.to) {
            self.look(stage, at, place);
        }
    }
}
