use proptest::prelude::*;

use super::*;

/// Hours out of (hour since the epoch, records), a record in the middle of each hour or more around it.
fn log(hours: impl IntoIterator<Item = (i64, u64)>) -> Vec<CoveredHour> {
    let covered = |(hour, records)| CoveredHour {
        start: hour * HOUR,
        records,
        first: hour * HOUR + HOUR / 3,
        last: hour * HOUR + HOUR / 2,
    };
    hours.into_iter().map(covered).collect()
}

/// The last hour of the data, and how many records are stray.
fn end(hours: Vec<(i64, u64)>) -> (i64, u64) {
    let extent = extent(&log(hours)).unwrap();
    (extent.data.to / HOUR, extent.stray.map_or(0, |stray| stray.records))
}

/// Office hours of so many days from a Monday on, so many records an hour.
fn office(days: i64, records: u64) -> Vec<(i64, u64)> {
    let weekdays = (0..days).filter(|day| day % 7 < 5);
    weekdays.flat_map(|day| (9..17).map(move |hour| (day * 24 + hour, records))).collect()
}

fn with(mut hours: Vec<(i64, u64)>, more: &[(i64, u64)]) -> Vec<(i64, u64)> {
    hours.extend_from_slice(more);
    hours
}

#[test]
fn what_is_alone_behind_a_pause_the_log_never_made_is_stray() {
    let dense: Vec<(i64, u64)> = (0..30 * 24).map(|hour| (hour, 400)).collect();
    const WEEKS: i64 = 7 * 7 * 24;
    for (what, hours, last, stray) in [
        ("a dense log", dense.clone(), 719, 0),
        ("one record seven weeks ahead", with(dense.clone(), &[(719 + WEEKS, 1)]), 719, 1),
        ("several, here and there", with(dense.clone(), &[(719 + 60, 2), (719 + WEEKS, 1), (9_000, 3)]), 719, 6),
        ("one two days ahead", with(dense.clone(), &[(719 + 48, 1)]), 719, 1),
        ("many records after an outage", with(dense.clone(), &[(719 + WEEKS, 90)]), 719 + WEEKS, 0),
        ("a log of one hour", vec![(5, 300)], 5, 0),
        ("a log of one hour and one ahead", vec![(5, 300), (5 + WEEKS, 1)], 5, 1),
        ("four records and one ahead", vec![(5, 4), (5 + WEEKS, 1)], 5, 1),
        ("one record", vec![(5, 1)], 5, 0),
        ("a tiny log over months", vec![(5, 1), (700, 1), (1_500, 1), (2_100, 1)], 2_100, 0),
        ("office hours", office(30, 40), 29 * 24 + 16, 0),
        ("Monday's first record", with(office(12, 40), &[(14 * 24 + 9, 1)]), 14 * 24 + 9, 0),
        ("office hours and one ahead", with(office(30, 40), &[(29 * 24 + WEEKS, 1)]), 29 * 24 + 16, 1),
        (
            "one vault with three records a day",
            (0..40).flat_map(|day| [(day * 24 + 3, 1), (day * 24 + 11, 1), (day * 24 + 20, 1)]).collect(),
            39 * 24 + 20,
            0,
        ),
        (
            "the same and one ahead",
            (0..40).flat_map(|day| [(day * 24 + 3, 2), (day * 24 + 11, 1)]).chain([(40 * 24 + WEEKS, 1)]).collect(),
            39 * 24 + 11,
            1,
        ),
        ("the first one years too early", with(vec![(-90_000, 1)], &with(dense, &[(719 + WEEKS, 1)])), 719, 1),
    ] {
        assert_eq!(end(hours), (last, stray), "{what}");
    }
    assert_eq!(extent(&[]), None);
}

#[test]
fn what_is_stray_is_described() {
    let found = extent(&log([(0, 500), (1, 500), (2_000, 1), (3_000, 2)])).unwrap();
    assert_eq!(found.data, Period { from: HOUR / 3, to: HOUR + HOUR / 2 + 1 });
    assert_eq!(found.stray, Some(Stray { records: 3, first: 2_000 * HOUR + HOUR / 3, last: 3_000 * HOUR + HOUR / 2 }));
    assert_eq!(found.end_of_all(), 3_000 * HOUR + HOUR / 2 + 1);
}

proptest! {
    /// One record, wherever it lies, leaves the day before the log's end within the day before the end of what is full.
    #[test]
    fn one_wild_record_never_moves_the_last_day(
        pauses in proptest::collection::vec((1i64..40, 1u64..500), 4..60), ahead in 1i64..100_000
    ) {
        let mut at = 0;
        let hours: Vec<(i64, u64)> = pauses.iter().map(|(pause, records)| { at += pause; (at, *records) }).collect();
        let before = extent(&log(hours.clone())).unwrap();
        let after = extent(&log(with(hours, &[(at + ahead, 1)]))).unwrap();
        prop_assume!(before.stray.is_none());
        prop_assert!(after.full_to <= before.data.to || ahead == 1);
        prop_assert!(after.data.to >= after.full_to && after.data.to >= before.full_to);
        if ahead > 3 * 40 + 3 * 24 {
            prop_assert!(after.data.to <= before.data.to && after.stray.is_some());
        }
    }

    /// A log that goes on as it began has nothing stray.
    #[test]
    fn a_regular_log_is_whole(pause in 1i64..100, records in 1u64..1000, count in 1i64..300) {
        let found = extent(&log((0..count).map(|n| (n * pause, records)))).unwrap();
        prop_assert_eq!(found.stray, None);
        prop_assert_eq!(found.data.to, (count - 1) * pause * HOUR + HOUR / 2 + 1);
    }
}
