//! Which days a command asks about: where the data end, which windows are to be evaluated again because records came late,
//! and what is said about all that lies outside.

use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::datatypes::Int64Type;

use super::table::{count, counted};
use super::{note, times};
use crate::alert::Micros;
use crate::detection::{Extent, Period, Rule, extent};
use crate::state::{Noted, Reach, State, StateError};
use crate::store::{QueryLimits, SessionUse, Store};

/// A day: the period of `detect` unless told otherwise.
pub const DAY: Micros = 86_400_000_000;
const HOUR: Micros = 3_600_000_000;
/// Vaults and stretches of time that a sentence names; the rest is a number.
const NAMED: usize = 3;

/// The days that the store's records cover.
pub struct Days {
    /// Where the data are.
    pub extent: Extent,
    hours: Vec<extent::CoveredHour>,
    /// Vaults of stray records with how many, most first; some of them, and how many there are.
    stray_vaults: (Vec<(String, u64)>, usize),
    noted: Option<Noted>,
}

impl Days {
    /// Reads them from the roll-ups as they stand; none in a store without events.
    pub async fn read(store: &Store) -> anyhow::Result<Option<Days>> {
        let session = store.session(SessionUse::Detection).await?;
        let hours = extent::hours(&session).await?;
        let Some(extent) = extent::extent(&hours) else { return Ok(None) };
        let stray_vaults = match extent.stray {
            Some(stray) => vaults_from(store, stray.first).await?,
            None => (Vec::new(), 0),
        };
        Ok(Some(Days { extent, hours, stray_vaults, noted: None }))
    }

    /// Takes note in the state of what the store holds now: windows that read late records become stale.
    pub fn note(&mut self, state: &State, rules: &[&Rule]) -> anyhow::Result<()> {
        let hours: Vec<(Micros, i64)> =
            self.hours.iter().map(|h| (h.start, i64::try_from(h.records).unwrap_or(i64::MAX))).collect();
        let reach = |rule: &&Rule| {
            let header = &rule.header;
            let micros = header.window.max(header.lookback).saturating_add(header.every);
            (rule.id.clone(), micros)
        };
        let reaches: Vec<(String, Micros)> = rules.iter().map(reach).collect();
        let reaches: Vec<Reach<'_>> =
            reaches.iter().map(|(rule_id, micros)| Reach { rule_id, micros: *micros }).collect();
        self.noted = writable(state.note_hours(&hours, &reaches))?;
        Ok(())
    }

    /// Takes note that rules were evaluated over periods, and that their answers reflect what was noted before.
    pub fn evaluated(&self, state: &State, answered: &[(&str, Period)]) -> anyhow::Result<()> {
        let Some(noted) = self.noted else { return Ok(()) };
        let first = self.extent.data.from;
        let answered = answered.iter().map(|(rule_id, period)| {
            // No window that ends before the first record can hold one.
            let from = if period.from <= first { period.from.min(first.div_euclid(HOUR) * HOUR) } else { period.from };
            (*rule_id, from, period.to)
        });
        writable(state.mark_evaluated(&answered.collect::<Vec<_>>(), noted))?;
        Ok(())
    }

    /// Where the last day begins: a day before the data are full no more, and further back, by `lateness` at the most, where
    /// late records made windows stale.
    pub fn last_day(&self, state: &State, rules: &[&Rule], lateness: Micros) -> anyhow::Result<Micros> {
        let from = self.extent.full_to - DAY;
        let oldest = from.saturating_sub(lateness);
        let first = self.extent.data.from;
        let stale = self.stale(state, rules)?.0;
        // What begins with the log is history that nobody asked about, and not late.
        let late = stale.into_iter().filter(|(start, end)| *start > first && *end > oldest);
        Ok(late.map(|(start, _)| start.max(oldest)).chain([from]).min().unwrap_or(from))
    }

    /// The stretches of window ends that some rules have still to evaluate, and these rules.
    #[allow(clippy::type_complexity, reason = "two lists")]
    fn stale(&self, state: &State, rules: &[&Rule]) -> anyhow::Result<(Vec<(Micros, Micros)>, Vec<String>)> {
        let ids: Vec<&str> = rules.iter().map(|rule| rule.id.as_str()).collect();
        Ok(state.stale(&ids, self.extent.data.to)?)
    }

    /// Says what lies outside of what was evaluated: stray records, and windows that do not reflect all records.
    pub fn tell(&self, state: &State, rules: &[&Rule], evaluated_to: Micros) -> anyhow::Result<()> {
        if let Some(told) = self.told_of_stray(evaluated_to) {
            note(&told);
        }
        let (stretches, behind) = self.stale(state, rules)?;
        if let Some(told) = told_of_stale(&stretches, &behind, rules.len(), self.extent.data.to) {
            note(&told);
        }
        Ok(())
    }

    fn told_of_stray(&self, evaluated_to: Micros) -> Option<String> {
        let stray = self.extent.stray?;
        let (named, vaults) = &self.stray_vaults;
        let mut names: Vec<String> =
            named.iter().map(|(name, records)| format!("{name} {}", count(*records))).collect();
        if *vaults > names.len() {
            names.push(format!("{} more", counted((vaults - names.len()) as u64, "vault")));
        }
        let last = self.extent.data.to - 1;
        let way_out = if evaluated_to > stray.last {
            "They were evaluated all the same".to_owned()
        } else {
            format!(
                "To evaluate them all the same: kvaudit detect --from {} --to {}",
                exact(stray.first.div_euclid(HOUR) * HOUR),
                exact(stray.last + 1)
            )
        };
        Some(format!(
            "warning: {} ({}) lie {} after all others, from {} to {} UTC: the data are taken to end at {} UTC. {way_out}",
            counted(stray.records, "record"),
            names.join(", "),
            times::span(stray.first - last),
            times::minute(stray.first),
            times::minute(stray.last),
            times::minute(last),
        ))
    }
}

/// Says which windows are stale, and the command that heals: up to the end, since later windows have late records in their
/// baselines.
fn told_of_stale(stretches: &[(Micros, Micros)], behind: &[String], rules: usize, end: Micros) -> Option<String> {
    let (first, _) = stretches.first()?;
    let text = |(from, to): &(Micros, Micros)| format!("from {} to {}", times::minute(*from), times::minute(*to));
    let mut times: Vec<String> = stretches.iter().take(NAMED).map(text).collect();
    if stretches.len() > NAMED {
        times.push(format!("and {} stretches more", stretches.len() - NAMED));
    }
    let which = match behind {
        _ if behind.len() == rules && rules > NAMED => "all rules".to_owned(),
        few if few.len() <= NAMED => few.join(", "),
        many => counted(many.len() as u64, "rule"),
    };
    Some(format!(
        "warning: stale: windows that ended {} UTC do not reflect all records ({which}): records came late, or these \
         windows were never evaluated. To evaluate them: kvaudit detect --from {} --to {}",
        times.join(", "),
        exact(*first),
        exact(end),
    ))
}

/// A time for a command line: to the second, rounded up.
fn exact(time: Micros) -> String {
    let seconds = time.div_euclid(1_000_000) + i64::from(time.rem_euclid(1_000_000) > 0);
    chrono::DateTime::from_timestamp(seconds, 0)
        .map_or_else(|| time.to_string(), |t| t.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
}

/// A state that only reads remembers nothing: what it would note is not noted.
fn writable<T>(result: Result<T, StateError>) -> anyhow::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(StateError::ReadOnly) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The vaults with most records from a time on, and how many vaults have some.
async fn vaults_from(store: &Store, time: Micros) -> anyhow::Result<(Vec<(String, u64)>, usize)> {
    let hour = exact(time.div_euclid(HOUR) * HOUR);
    let sql = format!(
        "SELECT coalesce(vault_name, 'no vault') AS vault, CAST(sum(records) AS BIGINT) AS records, count(*) OVER () AS vaults
         FROM coverage WHERE hour >= TIMESTAMP '{hour}' GROUP BY vault_name ORDER BY records DESC, vault LIMIT {NAMED}"
    );
    let mut named = Vec::new();
    let mut vaults = 0;
    for batch in super::query::collect(store, &sql, QueryLimits::default()).await? {
        let names = batch.column(0).as_string::<i32>();
        let numbers = |at: usize| batch.column(at).as_primitive::<Int64Type>();
        for row in 0..names.len() {
            named.push((names.value(row).to_owned(), numbers(1).value(row).unsigned_abs()));
            vaults = usize::try_from(numbers(2).value(row)).unwrap_or(0);
        }
    }
    Ok((named, vaults))
}

/// What times relative to the last record count back from; asked only where one of them is given.
pub async fn last_record(store: &Store, given: &[&Option<String>]) -> anyhow::Result<Micros> {
    if given.iter().all(|text| text.is_none()) {
        return Ok(0);
    }
    Ok(Days::read(store).await?.map_or(0, |days| days.extent.data.to - 1))
}

/// The part of a period in which the passing of time alone may be judged: silence behind the data is no vault's.
pub fn for_clocks(days: &Days, period: Period) -> Period {
    if days.extent.stray.is_some() { Period { to: period.to.min(days.extent.data.to), ..period } } else { period }
}
