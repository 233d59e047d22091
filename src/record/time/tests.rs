//! Forms of times, by what they mean.

use super::dates::{Dates, Evidence, Order, Unread, Zone};
use super::*;

fn read(text: &str) -> Result<Stamp, Unread> {
    Dates::default().read(text, "")
}

fn micros(text: &str) -> i64 {
    read(text).unwrap_or_else(|why| panic!("{text}: {why:?}")).micros()
}

#[test]
fn forms_of_one_moment() {
    let moment = 1_790_812_800_123_000; // 2026-10-01T00:00:00.123Z
    for text in [
        "2026-10-01T00:00:00.123Z",
        "2026-10-01T00:00:00.1230000Z",
        "2026-10-01T00:00:00.123",
        "2026-10-01 00:00:00.123",
        "2026-10-01 00:00:00,123 UTC",
        "2026-10-01t02:00:00.123+02:00",
        "2026-10-01 02:00:00.123 +02:00",
        "2026-09-30T18:30:00.123-0530",
        "2026/10/1 0:00:00.123",
        "20261001T000000.123Z",
        "1790812800123",
        "1790812800123.0",
        "1790812800.123",
        "1790812800123000",
        "1790812800123000000",
        "1.790812800123E+12",
        "1.790812800123e12",
        "/Date(1790812800123)/",
        "/Date(1790812800123+0200)/",
        "Oct 1, 2026 12:00:00.123 AM",
        "October 1, 2026, 12:00:00.123 AM",
        "1 Oct 2026 00:00:00.123",
        "01-Oct-26 12:00:00.123 a.m.",
        "1. Okt. 2026, 00:00:00.123",
        "Thu, 01 Oct 2026 00:00:00.123 GMT",
        "Thu Oct 01 2026 02:00:00.123 GMT+0200 (Central European Summer Time)",
        "Thu Oct  1 00:00:00.123 2026",
        "2026. 10. 1. 오전 12:00:00.123",
        "2026年10月1日 上午12:00:00.123",
        " 2026-10-01T00:00:00.123z ",
    ] {
        assert_eq!(micros(text), moment, "{text}");
        assert!(!read(text).expect(text).finer, "{text}");
    }
}

#[test]
fn halves_of_the_day_in_other_spellings() {
    for text in [
        "2026-11-05 3:04:05 PM",
        "2026-11-05 3:04:05\u{202f}PM",
        "2026-11-05\u{a0}3:04:05\u{a0}p.\u{a0}m.",
        "2026-11-05 3:04:05 p.m.",
        "2026-11-05 3:04:05PM",
        "2026-11-05 15:04:05 PM",
        "2026/11/5 下午3:04:05",
        "\u{200e}2026-11-05, 3:04:05 PM",
    ] {
        assert_eq!(micros(text), micros("2026-11-05T15:04:05Z"), "{text}");
    }
    assert_eq!(micros("Nov 5, 2026 3:04 PM"), micros("2026-11-05T15:04:00Z"));
    assert_eq!(micros("5 Nov 2026 12:04 AM"), micros("2026-11-05T00:04:00Z"));
}

#[test]
fn two_numbers_and_a_year_are_read_in_the_order_of_the_input() {
    let day = Dates { order: Some(Order::DayFirst), zone: None };
    let month = Dates { order: Some(Order::MonthFirst), zone: None };
    for (text, november, may) in [
        ("5/11/2026, 3:04:05.123 PM", "2026-11-05T15:04:05.123Z", "2026-05-11T15:04:05.123Z"),
        ("5/11/2026 15:04", "2026-11-05T15:04:00Z", "2026-05-11T15:04:00Z"),
        ("05-11-2026 15:04", "2026-11-05T15:04:00Z", "2026-05-11T15:04:00Z"),
        ("05.11.2026 15.04.05", "2026-11-05T15:04:05Z", "2026-05-11T15:04:05Z"),
        ("5/11/26 3:04 PM", "2026-11-05T15:04:00Z", "2026-05-11T15:04:00Z"),
        ("05/11/2026 15:04:05 +01:00", "2026-11-05T14:04:05Z", "2026-05-11T14:04:05Z"),
    ] {
        assert!(matches!(read(text), Err(Unread::Either { .. })), "{text}");
        assert_eq!(day.read(text, "").expect(text).micros(), micros(november), "{text}");
        assert_eq!(month.read(text, "").expect(text).micros(), micros(may), "{text}");
    }
    assert_eq!(micros("5/5/2026 1:00 PM"), micros("2026-05-05T13:00:00Z"));
    assert_eq!(micros("19/11/2026, 08:49:37.587"), micros("2026-11-19T08:49:37.587Z"));
    assert_eq!(micros("11/19/2026, 8:49:37.587 AM"), micros("2026-11-19T08:49:37.587Z"));
    assert_eq!(month.read("19/11/2026 08:49", ""), Err(Unread::Contradicts(Order::MonthFirst)));
}

#[test]
fn serial_numbers_of_spreadsheets() {
    assert_eq!(micros("46331.62783564815"), micros("2026-11-05T15:04:05Z"));
    assert_eq!(micros("46331,62783564815"), micros("2026-11-05T15:04:05Z"));
    assert_eq!(micros("46331"), micros("2026-11-05T00:00:00Z"));
}

#[test]
fn a_zone_is_the_texts_the_columns_or_the_users() {
    let zone = |text: &str| Dates { order: None, zone: Some(text.parse().expect(text)) };
    let text = "2026-11-05 15:04:05";
    for (dates, text, column, utc) in [
        (Dates::default(), text, "TimeGenerated", "2026-11-05T15:04:05Z"),
        (zone("+01:00"), text, "TimeGenerated", "2026-11-05T14:04:05Z"),
        (zone("UTC+1"), text, "TimeGenerated", "2026-11-05T14:04:05Z"),
        (zone("-0530"), text, "TimeGenerated", "2026-11-05T20:34:05Z"),
        (zone("utc"), text, "TimeGenerated", "2026-11-05T15:04:05Z"),
        (zone("+01:00"), text, "TimeGenerated [UTC]", "2026-11-05T15:04:05Z"),
        (zone("+01:00"), text, "timestamp [Local Time]", "2026-11-05T14:04:05Z"),
        (Dates::default(), text, "timestamp [UTC+02:00]", "2026-11-05T13:04:05Z"),
        (zone("+01:00"), text, "Timestamp (UTC)", "2026-11-05T15:04:05Z"),
        (zone("+01:00"), text, "Timestamp (of the event)", "2026-11-05T14:04:05Z"),
        (zone("+01:00"), "2026-11-05T15:04:05Z", "timestamp [Local]", "2026-11-05T15:04:05Z"),
        (zone("+01:00"), "1793891045", "TimeGenerated", "2026-11-05T15:04:05Z"),
        (zone("Europe/Berlin"), text, "TimeGenerated", "2026-11-05T14:04:05Z"),
        (zone("Europe/Berlin"), "2026-07-05 15:04:05", "TimeGenerated", "2026-07-05T13:04:05Z"),
        // Twice on the clock: the first time. Left out by the clock: by the offset before.
        (zone("Europe/Berlin"), "2026-10-25 02:30:00", "TimeGenerated", "2026-10-25T00:30:00Z"),
        (zone("Europe/Berlin"), "2026-03-29 02:30:00", "TimeGenerated", "2026-03-29T01:30:00Z"),
    ] {
        assert_eq!(dates.read(text, column).expect(text).micros(), micros(utc), "{text} in {column}");
    }
    let local = Dates::default().read(text, "timestamp [Local]");
    assert_eq!(local, Err(Unread::Local("timestamp [Local]".into())));
    assert!(Dates::default().read(text, "Time (local)").is_err());
    for text in ["", "somewhere", "+25:00", "CET or so", "+"] {
        assert!(text.parse::<Zone>().is_err(), "{text}");
    }
}

fn settled(rows: &[&str]) -> Result<Option<Order>, String> {
    let mut evidence = Evidence::default();
    rows.iter().for_each(|row| evidence.see(row, "TimeGenerated [UTC]", None));
    evidence.settle(Dates::default()).map(|dates| dates.order)
}

#[test]
fn the_rows_that_allow_one_order_settle_it_for_all() {
    for (rows, order) in [
        (vec!["5/11/2026 15:04", "19/11/2026 15:04"], Some(Order::DayFirst)),
        (vec!["5/11/2026 15:04", "11/19/2026 15:04"], Some(Order::MonthFirst)),
        (vec!["05.11.2026 15:04"], Some(Order::DayFirst)),
        (vec!["2026-11-05 15:04", "5/5/2026 15:04"], None),
        (vec!["19/11/2026 15:04", "11/19/2026 15:04"], None),
    ] {
        assert_eq!(settled(&rows), Ok(order), "{rows:?}");
    }
    let refused = settled(&["5/11/2026 15:04", "6/11/2026 15:04"]).expect_err("both orders are allowed");
    for word in ["'5/11/2026 15:04'", "5 November 2026", "11 May 2026", "--dates day-first", "--dates month-first"] {
        assert!(refused.contains(word), "{word}: {refused}");
    }
    let mixed = settled(&["19/11/2026 15:04", "11/19/2026 15:04", "5/11/2026 15:04"]).expect_err("two orders");
    assert!(mixed.contains("two orders"), "{mixed}");
}

#[test]
fn digits_beyond_microseconds_are_noticed() {
    for (text, nanos, finer) in [
        ("2026-10-01T00:00:00Z", 0, false),
        ("2026-10-01T00:00:00.1234567Z", 123_456_700, true),
        ("2026-10-01T00:00:00.1234560Z", 123_456_000, false),
        ("2026-10-01T00:00:00.123456789Z", 123_456_789, true),
        ("2026-10-01T00:00:00.1234560001Z", 123_456_000, true),
        ("1790812800123456700", 123_456_700, true),
    ] {
        let stamp = read(text).expect(text);
        assert_eq!((stamp.nanos, stamp.finer), (nanos, finer), "{text}");
    }
}

#[test]
fn what_is_no_time() {
    for text in [
        "",
        "yesterday",
        "2026-13-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-10-01",
        "2026-10-01T24:00:00Z",
        "2026-10-01T00:00:00.Z",
        "2026-10-01T00:00:00Zoo",
        "2026-10-01 00:00:00 CEST",
        "1.79508E+12",
        "42",
        "-1790812800",
        "31/31/2026, 1:00:00 AM",
        "2/30/2026 1:00 AM",
        "2026-10-01 13:00:00 AM",
        "10.1.2.3",
        "kv-pay.vault.azure.net",
    ] {
        assert_eq!(read(text), Err(Unread::Unknown), "{text}");
    }
}

#[test]
fn believable_is_from_2015_to_a_day_after_arrival() {
    let arrived = parse("2026-10-01T00:00:00Z").expect("a time").micros();
    for (text, yes) in [
        ("2014-12-31T23:59:59.9999999Z", false),
        ("2015-01-01T00:00:00Z", true),
        ("2026-10-02T00:00:00Z", true),
        ("2026-10-02T00:00:00.000001Z", false),
        ("1601-01-01T00:00:00Z", false),
        ("9999-12-31T23:59:59.9999999Z", false),
    ] {
        assert_eq!(parse(text).expect(text).believable(arrived), yes, "{text}");
    }
}

#[test]
fn expiries() {
    assert_eq!(expiry("1790812800"), Some(1_790_812_800_000_000));
    assert_eq!(expiry("1790812800.0"), Some(1_790_812_800_000_000));
    assert_eq!(expiry("2026-10-01T00:00:00Z"), Some(1_790_812_800_000_000));
    for text in ["-1", "1e300", "NaN", "soon", ""] {
        assert_eq!(expiry(text), None, "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn agrees_with_chrono(seconds in 0i64..4_102_444_800, nanos in 0u32..1_000_000_000) {
        let time = chrono::DateTime::from_timestamp(seconds, nanos).expect("in range");
        let stamp = parse(&time.to_rfc3339_opts(chrono::SecondsFormat::Nanos, true)).expect("RFC 3339");
        proptest::prop_assert_eq!((stamp.seconds, stamp.nanos), (seconds, nanos));
    }

    #[test]
    fn every_order_gives_back_what_was_written(seconds in 1_420_070_400i64..4_102_444_800) {
        let time = chrono::DateTime::from_timestamp(seconds, 0).expect("in range");
        for (order, form) in [
            (None, "%Y/%m/%d %H:%M:%S"),
            (None, "%b %-d, %Y %-I:%M:%S %p"),
            (None, "%s"),
            (None, "%s000"),
            (Some(Order::DayFirst), "%-d/%-m/%Y, %-I:%M:%S %p"),
            (Some(Order::DayFirst), "%d.%m.%Y %H:%M:%S"),
            (Some(Order::MonthFirst), "%-m/%-d/%Y, %-I:%M:%S\u{202f}%p"),
            (Some(Order::MonthFirst), "%m-%d-%Y %H:%M:%S"),
        ] {
            let text = time.format(form).to_string();
            let stamp = Dates { order, zone: None }.read(&text, "");
            proptest::prop_assert_eq!(stamp.map(|stamp| stamp.seconds), Ok(seconds), "{}", text);
        }
    }

    #[test]
    fn never_panics(text in ".{0,40}", digits in "[0-9./: ,APMTZ+-]{0,40}") {
        for text in [text, digits] {
            let _ = read(&text);
            expiry(&text);
            let mut evidence = Evidence::default();
            evidence.see(&text, "a [b]", None);
            let _ = evidence.settle(Dates::default());
        }
    }
}
