//! Stretches of time that are joined and cut: what is still to be evaluated. Pure; knows no table.

use crate::alert::Micros;

/// More stretches than this are joined over the pauses between them.
const MOST: usize = 400;

/// Window ends after `from` up to `to`, and the newest change that they are to reflect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) from: Micros,
    pub(super) to: Micros,
    pub(super) change: i64,
}

/// Joins what overlaps or touches, or lies no further apart than `gap`.
pub(super) fn joined(mut all: Vec<Stretch>, gap: Micros) -> Vec<Stretch> {
    all.sort_by_key(|s| (s.from, s.to));
    let mut out: Vec<Stretch> = Vec::new();
    for next in all {
        match out.last_mut() {
            Some(last) if next.from <= last.to.saturating_add(gap) => {
                last.to = last.to.max(next.to);
                last.change = last.change.max(next.change);
            }
            _ => out.push(next),
        }
    }
    out
}

/// Joins what overlaps, and where many are left also over days, months and all time: rather too much than too many.
pub(super) fn bounded(all: Vec<Stretch>) -> Vec<Stretch> {
    const DAY: Micros = 86_400_000_000;
    [DAY, 30 * DAY, Micros::MAX].into_iter().fold(
        joined(all, 0),
        |all, gap| {
            if all.len() > MOST { joined(all, gap) } else { all }
        },
    )
}

/// What is left after an evaluation that reflects the changes up to its own; what newer changes touched stays.
pub(super) fn without(all: Vec<Stretch>, done: Stretch) -> Vec<Stretch> {
    let cut = |s: Stretch| {
        if s.change > done.change {
            return [Some(s), None];
        }
        let before = (s.from < done.from).then_some(Stretch { to: s.to.min(done.from), ..s });
        let after = (s.to > done.to).then_some(Stretch { from: s.from.max(done.to), ..s });
        [before, after]
    };
    all.into_iter().flat_map(cut).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(from: Micros, to: Micros, change: i64) -> Stretch {
        Stretch { from, to, change }
    }

    #[test]
    fn what_was_evaluated_is_cut_out_unless_it_changed_since() {
        for (all, done, left) in [
            (vec![s(0, 10, 1)], s(0, 10, 1), vec![]),
            (vec![s(0, 10, 1)], s(3, 5, 1), vec![s(0, 3, 1), s(5, 10, 1)]),
            (vec![s(0, 10, 1)], s(-5, 5, 9), vec![s(5, 10, 1)]),
            (vec![s(0, 10, 2)], s(0, 10, 1), vec![s(0, 10, 2)]),
            (vec![s(0, 10, 1), s(20, 30, 1)], s(10, 20, 1), vec![s(0, 10, 1), s(20, 30, 1)]),
            (vec![s(0, 10, 1), s(20, 30, 1)], s(5, 25, 1), vec![s(0, 5, 1), s(25, 30, 1)]),
        ] {
            assert_eq!(without(all.clone(), done), left, "{all:?} without {done:?}");
        }
    }

    #[test]
    fn many_stretches_are_joined_into_few() {
        let scattered = (0..100_000).map(|n| s(n * 1_000_000_000_000, n * 1_000_000_000_000 + 1, n)).collect();
        let few = bounded(scattered);
        assert!(few.len() <= MOST);
        assert_eq!(
            (few[0].from, few.last().unwrap().to, few.last().unwrap().change),
            (0, 99_999_000_000_000_001, 99_999)
        );
    }

    proptest::proptest! {
        #[test]
        fn joining_and_cutting_are_sets_of_moments(
            all in proptest::collection::vec((0i64..60, 1i64..20), 0..12), from in 0i64..60, length in 0i64..30
        ) {
            let all: Vec<Stretch> = all.into_iter().map(|(from, length)| s(from, from + length, 1)).collect();
            let holds = |set: &[Stretch], at: i64| set.iter().any(|s| s.from < at && at <= s.to);
            let joined = bounded(all.clone());
            let left = without(joined.clone(), s(from, from + length, 1));
            for at in 0..100 {
                assert_eq!(holds(&all, at), holds(&joined, at));
                assert_eq!(holds(&left, at), holds(&all, at) && !(from < at && at <= from + length));
            }
            assert!(joined.windows(2).all(|pair| pair[0].to < pair[1].from));
        }
    }
}
