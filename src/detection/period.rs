//! Periods: the stretch of time that a detection is asked about. A finding belongs to the period with
//! from < window_end ≤ to, so periods that touch share no finding and miss none.

use crate::alert::Micros;

/// A stretch of time in microseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// Windows end after this.
    pub from: Micros,
    /// Windows end at or before this.
    pub to: Micros,
}

impl Period {
    /// Cut at multiples of `every` since the epoch, rounded outwards.
    pub fn aligned(self, every: Micros) -> Self {
        let ceiling = self.to.div_euclid(every) + i64::from(self.to.rem_euclid(every) != 0);
        Self { from: self.from.div_euclid(every) * every, to: ceiling * every }
    }

    /// What lies in both, or nothing.
    pub fn within(self, span: Self) -> Option<Self> {
        let both = Self { from: self.from.max(span.from), to: self.to.min(span.to) };
        (both.from < both.to).then_some(both)
    }

    /// Whether a window that ends then belongs here.
    pub fn holds(self, window_end: Micros) -> bool {
        self.from < window_end && window_end <= self.to
    }

    /// The aligned period in slices of about `length`, each a whole number of steps: what a query holds in memory (one group
    /// a key and step) must not grow with the period.
    pub fn slices(self, every: Micros, length: Micros) -> impl Iterator<Item = Self> {
        let aligned = self.aligned(every);
        let step = (length / every).max(1) * every;
        let mut from = aligned.from;
        std::iter::from_fn(move || {
            let slice = Self { from, to: aligned.to.min(from + step) };
            from = slice.to;
            (slice.from < slice.to).then_some(slice)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_round_outwards() {
        let cut = |from, to| Period { from, to }.aligned(10);
        assert_eq!(cut(11, 19), Period { from: 10, to: 20 });
        assert_eq!(cut(10, 20), Period { from: 10, to: 20 });
        assert_eq!(cut(-1, 1), Period { from: -10, to: 10 });
    }

    #[test]
    fn a_period_outside_the_data_is_nothing() {
        let period = Period { from: 0, to: 10 };
        assert_eq!(period.within(Period { from: 10, to: 20 }), None);
        assert_eq!(period.within(Period { from: 5, to: 20 }), Some(Period { from: 5, to: 10 }));
    }

    proptest::proptest! {
        #[test]
        fn slices_cover_a_period_without_overlap(
            from in -1_000_000_000_000i64..1_000_000_000_000, days in 0i64..400, every in 1i64..30 * 86_400
        ) {
            const WEEK: i64 = 7 * 86_400_000_000;
            let every = every * 1_000_000;
            let period = Period { from, to: from + days * 86_400_000_000 };
            let slices: Vec<_> = period.slices(every, WEEK).collect();
            let aligned = period.aligned(every);
            let mut at = aligned.from;
            for slice in &slices {
                assert_eq!(slice.from, at);
                assert!(slice.to > slice.from && slice.to - slice.from <= WEEK.max(every));
                assert_eq!(slice.to.rem_euclid(every), 0);
                at = slice.to;
            }
            assert_eq!(at, aligned.to);
        }
    }
}
