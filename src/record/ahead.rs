//! Records that were refused because they lie more than a day after their arrival. A few of them are damage in the log;
//! where most of a log lies ahead and its times agree with each other, it is the reader's clock that is wrong.

use std::collections::BTreeMap;

/// Microseconds of a year, leap days shared out.
const YEAR: i64 = 31_557_600_000_000;
/// All years from 2100 on are one: no log is from then.
const NO_LOG: i64 = 130;
/// So many years side by side are taken for one log.
const LONGEST_LOG: i64 = 3;

/// What was refused as lying ahead: how much, and from when to when. Times are microseconds since the epoch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ahead {
    /// Records.
    pub records: u64,
    /// The earliest of them; 0 where there is none.
    pub first: i64,
    /// The latest of them; 0 where there is none.
    pub last: i64,
    /// Records by year since 1970; what is past [`NO_LOG`] is one.
    years: BTreeMap<i64, u64>,
}

impl Ahead {
    /// Counts a record of this time.
    pub fn add(&mut self, time: i64) {
        let year = time.div_euclid(YEAR).min(NO_LOG);
        self.merge(&Ahead { records: 1, first: time, last: time, years: BTreeMap::from([(year, 1)]) });
    }

    /// Adds what another has counted.
    pub fn merge(&mut self, other: &Ahead) {
        if other.records == 0 {
            return;
        }
        let none = self.records == 0;
        self.first = if none { other.first } else { self.first.min(other.first) };
        self.last = if none { other.last } else { self.last.max(other.last) };
        self.records += other.records;
        for (year, records) in &other.years {
            *self.years.entry(*year).or_default() += records;
        }
    }

    /// Whether nine in ten lie within a few years of each other and before 2100, as the records of one log do.
    pub fn agree(&self) -> bool {
        let together = |year: &i64| self.years.range(*year..(year + LONGEST_LOG).min(NO_LOG)).map(|(_, n)| n).sum();
        let most: u64 = self.years.keys().map(together).max().unwrap_or(0);
        most > 0 && most.saturating_mul(10) >= self.records.saturating_mul(9)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(years: &[i64]) -> Ahead {
        let mut ahead = Ahead::default();
        years.iter().for_each(|year| ahead.add((year - 1970) * YEAR + 5));
        ahead
    }

    #[test]
    fn the_records_of_one_log_agree_and_damaged_times_do_not() {
        for (years, agree) in [
            (&[2026, 2026, 2027][..], true),
            (&[2026], true),
            (&[2026, 2027, 2028, 2028, 2028, 2028, 2028, 2028, 2028, 9999], true),
            (&[2026, 2040, 2071], false),
            (&[9999, 9999, 9999], false),
            (&[], false),
        ] {
            assert_eq!(of(years).agree(), agree, "{years:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn parts_count_as_the_whole(times in proptest::collection::vec(proptest::num::i64::ANY, 0..40), cut in 0usize..40) {
            let mut whole = Ahead::default();
            times.iter().for_each(|time| whole.add(*time));
            let (left, right) = times.split_at(cut.min(times.len()));
            let mut parts = Ahead::default();
            for part in [left, right] {
                let mut ahead = Ahead::default();
                part.iter().for_each(|time| ahead.add(*time));
                parts.merge(&ahead);
            }
            proptest::prop_assert!(whole.years.len() <= 400_000 && parts == whole);
            proptest::prop_assert_eq!(whole.first, times.iter().copied().min().unwrap_or(0));
        }
    }
}
