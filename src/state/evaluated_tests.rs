use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::state::testing::state;

const RULE: &str = "test_rule";

fn note(state: &State, hours: &[(i64, i64)], reach: i64) -> Noted {
    let hours: Vec<_> = hours.iter().map(|(hour, records)| (hour * HOUR, *records)).collect();
    state.note_hours(&hours, &[Reach { rule_id: RULE, micros: reach * HOUR }]).unwrap()
}

fn stale(state: &State, end: i64) -> Vec<(i64, i64)> {
    state.stale(&[RULE], end * HOUR).unwrap().0.into_iter().map(|(from, to)| (from / HOUR, to / HOUR)).collect()
}

fn done(state: &State, from: i64, to: i64, noted: Noted) {
    state.mark_evaluated(&[(RULE, from * HOUR, to * HOUR)], noted).unwrap();
}

#[test]
fn an_hour_that_gains_records_makes_the_windows_stale_that_read_it() {
    let (_dir, state) = state();
    let noted = note(&state, &[(0, 5), (1, 5), (2, 5)], 2);
    assert_eq!(stale(&state, 3), [(0, 3)], "nothing was evaluated yet");
    done(&state, 0, 3, noted);
    assert_eq!(stale(&state, 3), []);
    note(&state, &[(0, 5), (1, 5), (2, 5)], 2);
    assert_eq!(stale(&state, 9), [(3, 5)], "windows that end later are evaluated later");
    let noted = note(&state, &[(0, 5), (1, 6), (2, 5), (7, 1)], 2);
    assert_eq!(stale(&state, 8), [(1, 5), (7, 8)]);
    done(&state, 7, 8, noted);
    assert_eq!(stale(&state, 8), [(1, 5)]);
    done(&state, 1, 8, noted);
    assert_eq!(stale(&state, 8), []);
}

#[test]
fn an_evaluation_does_not_hide_what_came_while_it_ran() {
    let (_dir, state) = state();
    let slow = note(&state, &[(0, 5)], 1);
    let quick = note(&state, &[(0, 7)], 1);
    done(&state, 0, 9, slow);
    assert_eq!(stale(&state, 2), [(0, 2)]);
    done(&state, 0, 9, quick);
    assert_eq!(stale(&state, 2), []);
    // One that looked at the store before the other did, and wrote behind it.
    let older = note(&state, &[(0, 5)], 1);
    done(&state, 0, 9, older);
    note(&state, &[(0, 7)], 1);
    assert_eq!(stale(&state, 2), [(0, 2)]);
}

#[test]
fn a_rule_that_is_new_was_never_evaluated() {
    let (_dir, state) = state();
    let noted = note(&state, &[(0, 5), (1, 5)], 1);
    done(&state, 0, 9, noted);
    state.note_hours(&[(0, 5), (HOUR, 5)], &[Reach { rule_id: "another", micros: HOUR }]).unwrap();
    assert_eq!(state.stale(&["another", RULE], 2 * HOUR).unwrap(), (vec![(0, 2 * HOUR)], vec!["another".to_owned()]));
    assert_eq!(stale(&state, 2), []);
}

/// A rule of tests: for each hour the records of the hours that its window and look-back hold.
fn judged(hours: &BTreeMap<i64, i64>, end: i64, reach: i64) -> i64 {
    hours.range(end - reach..end).map(|(_, records)| records).sum()
}

proptest! {
    /// However the records come, and whatever is evaluated between: once the stale windows are evaluated, every window says
    /// what it says of all records at once.
    #[test]
    fn healing_gives_what_all_records_at_once_give(
        arrivals in proptest::collection::vec(proptest::collection::vec((0i64..40, 1i64..4), 1..5), 1..8),
        nightly in proptest::collection::vec((0i64..50, 1i64..30), 8), reach in 1i64..6
    ) {
        let (_dir, state) = state();
        let (mut hours, mut answers) = (BTreeMap::<i64, i64>::new(), BTreeMap::<i64, i64>::new());
        let evaluate = |state: &State, from: i64, to: i64, hours: &BTreeMap<i64, i64>, answers: &mut BTreeMap<i64, i64>| {
            let noted = note(state, &hours.iter().map(|(h, n)| (*h, *n)).collect::<Vec<_>>(), reach);
            answers.extend(((from + 1)..=to).map(|end| (end, judged(hours, end, reach))));
            done(state, from, to, noted);
        };
        for (records, (from, length)) in arrivals.iter().zip(&nightly) {
            records.iter().for_each(|(hour, records)| *hours.entry(*hour).or_default() += records);
            evaluate(&state, *from, from + length, &hours, &mut answers);
        }
        let end = 1 + hours.keys().max().unwrap();
        for (from, to) in stale(&state, end) {
            evaluate(&state, from, to, &hours, &mut answers);
        }
        prop_assert_eq!(stale(&state, end), []);
        for at in 0..=end {
            prop_assert_eq!(answers.get(&at).copied().unwrap_or(0), judged(&hours, at, reach), "window that ends at {}", at);
        }
    }
}
