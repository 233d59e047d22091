//! Lives the days: hour by hour every actor is asked for its calls, they are put in order of time and handed on.
//! Memory holds one hour. Also finds the scale at which the wanted number of records comes out.

use std::collections::BTreeMap;

use super::archive::{Archive, drawer, full_hour};
use super::attack::{Planned, Script};
use super::call::{Call, Sink, Stage};
use super::company::{Company, Micros};
use super::config::Config;
use super::dice::Dice;
use super::life::{self, Actor, Hour};
use super::record;
use super::weather;
use super::{HOUR, Progress, SimulateError};

/// Share of records that Azure delivers twice.
const REPEATED: f64 = 0.0003;

/// Share of records that land in the blob of the hour after theirs.
const LATE: f64 = 0.001;

/// Runs the company's days at this scale; `each` gets every hour's calls in order.
pub(super) fn live<E>(
    company: &Company,
    attacks: &[Planned],
    scale: f64,
    mut each: impl FnMut(Hour, &[Call]) -> Result<(), E>,
) -> Result<(), E> {
    let mut actors = life::cast(company, scale);
    actors.extend(attacks.iter().map(|a| Box::new(Script::new(a)) as Box<dyn Actor>));
    let mut sink = Sink::default();
    let mut from = full_hour(company.from);
    while from < company.to {
        let hour = Hour { from, to: from + HOUR };
        for actor in &mut actors {
            actor.hour(&mut Stage { company, sink: &mut sink }, hour);
        }
        let mut calls = sink.take_until(hour.to.min(company.to));
        calls.retain(|c| c.at >= company.from);
        weather::apply(company, &mut calls);
        each(hour, &calls)?;
        from = hour.to;
    }
    Ok(())
}

/// The scale of polling and load at which the target comes out: two dry runs, since only part of life scales.
pub(super) fn scale_for(company: &Company, attacks: &[Planned], config: &Config) -> f64 {
    let target = config.target_per_day() * f64::from(config.days);
    let mut scale = (config.target_per_day() / (config.identities as f64 * 700.0)).clamp(MIN_SCALE, MAX_SCALE);
    for _ in 0..3 {
        let (mut fixed, mut elastic) = (0u64, 0u64);
        let counted: Result<(), std::convert::Infallible> = live(company, attacks, scale, |_, calls| {
            for call in calls {
                *(if call.elastic { &mut elastic } else { &mut fixed }) += 1;
            }
            Ok(())
        });
        match counted {
            Ok(()) => {}
            Err(never) => match never {},
        }
        let wanted = (target - fixed as f64).max(0.0) / elastic.max(1) as f64;
        if (0.98..1.02).contains(&wanted) {
            break;
        }
        scale = (scale * wanted).clamp(MIN_SCALE, MAX_SCALE);
    }
    scale
}

/// At this scale a pod polls every twelve hours, and a refresh comes once in eight days.
const MIN_SCALE: f64 = 0.02;

/// At this scale a pod polls every second.
const MAX_SCALE: f64 = 240.0;

/// What was written.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) records: u64,
    pub(super) repeats: u64,
    pub(super) files: u64,
    pub(super) bytes: u64,
    /// What conditions befell, by number of the attack.
    pub(super) befallen: BTreeMap<u16, Befallen>,
}

/// The calls that a condition befell.
#[derive(Debug, Clone, Copy)]
pub(super) struct Befallen {
    pub(super) first: Micros,
    pub(super) last: Micros,
    pub(super) records: usize,
}

impl Written {
    fn note(&mut self, call: &Call) {
        if call.script == 0 {
            return;
        }
        let seen = Befallen { first: call.at, last: call.at, records: 0 };
        let seen = self.befallen.entry(call.script).or_insert(seen);
        seen.last = call.at;
        seen.records += 1;
    }
}

/// Lives the days and writes every record.
pub(super) fn write(
    company: &Company,
    attacks: &[Planned],
    scale: f64,
    mut archive: Archive,
    progress: &mut dyn FnMut(Progress),
) -> Result<Written, SimulateError> {
    let mut delivery = Delivery::new(company);
    let mut written = Written::default();
    live(company, attacks, scale, |hour, calls| {
        archive.begin_hour(company, hour.from)?;
        delivery.release(&mut archive, &mut written)?;
        for call in calls {
            written.note(call);
            delivery.deliver(company, call, &mut archive, &mut written)?;
        }
        // Nothing comes after the last hour: what would be late is not.
        if hour.to >= company.to {
            delivery.release(&mut archive, &mut written)?;
        }
        let share = (hour.to.min(company.to) - company.from) as f64 / (company.to - company.from) as f64;
        progress(Progress { records: written.records, share });
        Ok(())
    })?;
    (written.files, written.bytes) = archive.finish(company)?;
    Ok(written)
}

/// Azure's delivery: at least once, and now and then late.
struct Delivery {
    dice: Dice,
    line: Vec<u8>,
    /// Lines for the next hour's blobs, and whether each repeats one that is written.
    held: Vec<(usize, Vec<u8>, bool)>,
}

impl Delivery {
    fn new(company: &Company) -> Self {
        Self { dice: Dice::new(company.seed, "delivery", 0), line: Vec::with_capacity(4096), held: Vec::new() }
    }

    /// Writes what was held back for this hour.
    fn release(&mut self, archive: &mut Archive, written: &mut Written) -> Result<(), SimulateError> {
        for (drawer, line, repeat) in self.held.drain(..) {
            archive.write(drawer, &line)?;
            written.records += 1;
            written.repeats += u64::from(repeat);
        }
        Ok(())
    }

    fn deliver(
        &mut self,
        company: &Company,
        call: &Call,
        archive: &mut Archive,
        written: &mut Written,
    ) -> Result<(), SimulateError> {
        self.line.clear();
        record::write(&mut self.line, company, call);
        // Attacks arrive once and in time, so that labels count lines.
        let fate = if call.script > 0 { 1.0 } else { self.dice.unit() };
        if fate < LATE {
            self.held.push((drawer(company, call), self.line.clone(), false));
            return Ok(());
        }
        archive.write(drawer(company, call), &self.line)?;
        written.records += 1;
        if fate < LATE + REPEATED {
            self.held.push((drawer(company, call), self.line.clone(), true));
        }
        Ok(())
    }
}
