//! Where the data end. The last record does not tell: one that is dated weeks ahead of all others would move "the last day"
//! to where nothing is. Reads `coverage` of the session it is handed; knows no clock.
//!
//! **The rule.** The log is looked at by hours. What lies behind a pause is *stray*, and not part of the data, if
//!
//! - it is little: one record (two in a log of forty or more), or a twentieth of what an average day with records holds,
//!   fifty at the most; and a quarter of what lies before it at the most;
//! - the pause is longer than any that the log is known to make: three times the longest one that has more than so little
//!   on both its sides, and at least a day; at least three days in a log of less than two weeks, which has shown no
//!   weekend.
//!
//! What is little and lies behind a shorter pause is *loose*: it belongs to the data, but does not say where they are full.

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use datafusion::prelude::SessionContext;

use super::{DetectionError, Period, evaluate};
use crate::alert::Micros;

const HOUR: Micros = 3_600_000_000;
const DAY: Micros = 24 * HOUR;

/// An hour with records. Times are microseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoveredHour {
    /// When it begins.
    pub start: Micros,
    /// Its records, one at least.
    pub records: u64,
    /// Time of its first record.
    pub first: Micros,
    /// Time of its last record.
    pub last: Micros,
}

/// Stray records behind the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stray {
    /// How many.
    pub records: u64,
    /// Time of the first.
    pub first: Micros,
    /// Time of the last.
    pub last: Micros,
}

/// From when to when the data are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// From the first record to just behind the last that is not stray.
    pub data: Period,
    /// Just behind the last record that is not loose either: at most the end of the data.
    pub full_to: Micros,
    /// What lies behind the data.
    pub stray: Option<Stray>,
}

impl Extent {
    /// Just behind the last record of all.
    pub fn end_of_all(&self) -> Micros {
        self.stray.map_or(self.data.to, |stray| stray.last + 1)
    }
}

/// The hours that have records, by time.
///
/// # Errors
/// The table `coverage` cannot be read.
pub async fn hours(ctx: &SessionContext) -> Result<Vec<CoveredHour>, DetectionError> {
    let sql = "SELECT hour, CAST(sum(records) AS BIGINT), min(first_time), max(last_time)
               FROM coverage GROUP BY hour ORDER BY hour";
    let failed = |e| evaluate::failure_at("coverage", &super::bind::root(&e));
    let batches = ctx.sql(sql).await.map_err(failed)?.collect().await.map_err(failed)?;
    let mut hours = Vec::new();
    for batch in &batches {
        let time = |at: usize| batch.column(at).as_primitive::<TimestampMicrosecondType>().values();
        let records = batch.column(1).as_primitive::<Int64Type>().values();
        hours.extend((0..batch.num_rows()).map(|row| CoveredHour {
            start: time(0)[row],
            records: records[row].unsigned_abs(),
            first: time(2)[row],
            last: time(3)[row],
        }));
    }
    Ok(hours)
}

/// The extent of hours that come by time; none where there are none.
pub fn extent(hours: &[CoveredHour]) -> Option<Extent> {
    let (first, last) = (hours.first()?, hours.last()?);
    let tail = Tails::of(hours);
    let pauses: Vec<Pause> = (1..hours.len()).filter_map(|at| tail.pause(at)).collect();
    let stray_from = pauses.iter().find(|pause| tail.is_stray(pause)).map(|pause| pause.at);
    let end = stray_from.unwrap_or(hours.len());
    let loose_from = pauses.iter().find(|pause| tail.is_loose(pause)).map_or(end, |pause| pause.at.min(end));
    let stray = stray_from.map(|at| Stray { records: tail.after[at], first: hours[at].first, last: last.last });
    Some(Extent {
        data: Period { from: first.first, to: hours[end - 1].last + 1 },
        full_to: hours[loose_from - 1].last + 1,
        stray,
    })
}

/// What lies before and behind each hour.
struct Tails<'a> {
    hours: &'a [CoveredHour],
    /// Records of an hour and all after it.
    after: Vec<u64>,
    /// All records.
    all: u64,
    /// So many records are little in this log.
    little: u64,
    /// The longest pause with more than little on both sides.
    longest: Micros,
}

/// Hours without records, and the place of the hour that ends them.
struct Pause {
    at: usize,
    length: Micros,
}

impl<'a> Tails<'a> {
    fn of(hours: &'a [CoveredHour]) -> Self {
        let mut after: Vec<u64> = hours.iter().map(|hour| hour.records).collect();
        for at in (0..after.len().saturating_sub(1)).rev() {
            after[at] += after[at + 1];
        }
        let all = after.first().copied().unwrap_or(0);
        let mut days: Vec<i64> = hours.iter().map(|hour| hour.start.div_euclid(DAY)).collect();
        days.dedup();
        let little = (all / days.len().max(1) as u64 / 20).clamp(if all < 40 { 1 } else { 2 }, 50);
        let mut tails = Tails { hours, after, all, little, longest: 0 };
        let known = (1..hours.len()).filter_map(|at| tails.pause(at));
        let longest = known.filter(|p| tails.after[p.at] > little && tails.before(p.at) > little).map(|p| p.length);
        tails.longest = longest.max().unwrap_or(0);
        tails
    }

    fn before(&self, at: usize) -> u64 {
        self.all - self.after[at]
    }

    /// The pause before an hour; none where it follows the one before it.
    fn pause(&self, at: usize) -> Option<Pause> {
        let length = self.hours[at].start - self.hours[at - 1].start - HOUR;
        (length > 0).then_some(Pause { at, length })
    }

    fn is_stray(&self, pause: &Pause) -> bool {
        let (before, after) = (self.before(pause.at), self.after[pause.at]);
        let young = self.hours[pause.at - 1].start - self.hours[0].start < 14 * DAY;
        let least = if young { 3 * DAY } else { DAY };
        after <= self.little && before >= 4 * after && pause.length >= least.max(3 * self.longest)
    }

    fn is_loose(&self, pause: &Pause) -> bool {
        let after = self.after[pause.at];
        after <= self.little && self.before(pause.at) >= after
    }
}

#[cfg(test)]
#[path = "extent_tests.rs"]
mod tests;
