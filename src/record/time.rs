//! Times as logs and exports write them: RFC 3339 with any number of fraction digits, the same without a zone (taken
//! as UTC), and the portal's CSV form `10/1/2026, 12:00:00.123 AM`. Never reads a clock.

/// A moment: seconds since the epoch and nanoseconds of that second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub seconds: i64,
    /// Nanoseconds; digits beyond the ninth are dropped.
    pub nanos: u32,
    /// Whether microseconds lose a digit of the text.
    pub finer: bool,
}

/// 2015-01-01T00:00:00Z, before which no Key Vault logged anything.
const EARLIEST: i64 = 1_420_070_400;
const DAY: i64 = 86_400;

impl Stamp {
    /// Microseconds since the epoch.
    pub fn micros(&self) -> i64 {
        self.seconds * 1_000_000 + i64::from(self.nanos / 1000)
    }

    /// Whether a record that arrived at `arrived` (microseconds) can have this time: from 2015 to a day after.
    pub fn believable(&self, arrived: i64) -> bool {
        self.seconds >= EARLIEST && self.micros() <= arrived.saturating_add(DAY * 1_000_000)
    }
}

/// Reads a time, or `None` if the text is in no known form.
pub fn parse(text: &str) -> Option<Stamp> {
    let bytes = text.trim().as_bytes();
    if bytes.get(4) == Some(&b'-') { rfc3339(bytes) } else { portal(bytes) }
}

/// Seconds since the epoch as number or text (`exp` claims and attributes), else a time; in microseconds.
pub fn expiry(text: &str) -> Option<i64> {
    match text.trim().parse::<f64>() {
        Ok(seconds) if (0.0..253_402_300_800.0).contains(&seconds) => Some((seconds * 1e6) as i64),
        Ok(_) => None,
        Err(_) => parse(text).map(|stamp| stamp.micros()),
    }
}

fn digits(bytes: &[u8]) -> Option<i64> {
    let mut n = 0;
    for b in bytes {
        n = n * 10 + i64::from(b.is_ascii_digit().then(|| b - b'0')?);
    }
    (!bytes.is_empty()).then_some(n)
}

fn rfc3339(b: &[u8]) -> Option<Stamp> {
    let shaped = b.len() >= 19 && b[7] == b'-' && matches!(b[10], b'T' | b't' | b' ') && b[13] == b':' && b[16] == b':';
    if !shaped {
        return None;
    }
    let day = days(digits(&b[..4])?, digits(&b[5..7])?, digits(&b[8..10])?)?;
    let clock = clock(digits(&b[11..13])?, digits(&b[14..16])?, digits(&b[17..19])?)?;
    let (nanos, finer, rest) = fraction(&b[19..])?;
    Some(Stamp { seconds: day * DAY + clock - offset(rest)?, nanos, finer })
}

/// `.1234567Z` to nanoseconds, whether finer than microseconds, and what follows.
fn fraction(b: &[u8]) -> Option<(u32, bool, &[u8])> {
    if b.first() != Some(&b'.') {
        return Some((0, false, b));
    }
    let end = b[1..].iter().position(|c| !c.is_ascii_digit()).map_or(b.len(), |n| n + 1);
    let (mut nanos, mut finer) = (0u32, false);
    for place in 0..9.max(end - 1) {
        let digit = b[1..end].get(place).map_or(0, |c| u32::from(c - b'0'));
        finer |= place >= 6 && digit != 0;
        if place < 9 {
            nanos = nanos * 10 + digit;
        }
    }
    (end > 1).then_some((nanos, finer, &b[end..]))
}

/// Seconds east of UTC.
fn offset(b: &[u8]) -> Option<i64> {
    match b {
        [] | [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), rest @ ..] => {
            let (hours, minutes) = match rest.len() {
                5 if rest[2] == b':' => (digits(&rest[..2])?, digits(&rest[3..])?),
                4 => (digits(&rest[..2])?, digits(&rest[2..])?),
                _ => return None,
            };
            let seconds = hours * 3600 + minutes * 60;
            (hours < 24 && minutes < 60).then_some(if *sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

/// Month, day and year as the portal writes them in CSV, with or without AM and PM.
fn portal(b: &[u8]) -> Option<Stamp> {
    let text = std::str::from_utf8(b).ok()?;
    let (date, time) = text.split_once([',', ' '])?;
    let mut date = date.split('/').map(|part| digits(part.as_bytes()));
    let (month, day, year) = (date.next()??, date.next()??, date.next()??);
    let (time, half) = match time.trim().split_once([' ', '\u{202f}']) {
        Some((time, half)) => (time, Some(half.trim().to_ascii_uppercase())),
        None => (time.trim(), None),
    };
    let (whole, part) = time.find('.').map_or((time, ""), |at| time.split_at(at));
    let mut whole = whole.split(':').map(|part| digits(part.as_bytes()));
    let (hour, minute, second) = (whole.next()??, whole.next()??, whole.next()??);
    let hour = match half.as_deref() {
        None => hour,
        Some("AM") if (1..=12).contains(&hour) => hour % 12,
        Some("PM") if (1..=12).contains(&hour) => hour % 12 + 12,
        Some(_) => return None,
    };
    let (nanos, finer, rest) = fraction(part.as_bytes())?;
    let seconds = days(year, month, day)? * DAY + clock(hour, minute, second)?;
    rest.is_empty().then_some(Stamp { seconds, nanos, finer })
}

fn clock(hour: i64, minute: i64, second: i64) -> Option<i64> {
    (hour < 24 && minute < 60 && second <= 60).then_some(hour * 3600 + minute * 60 + second)
}

/// Days since the epoch of a date of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(0..=9999).contains(&year) || day < 1 || day > length {
        return None;
    }
    // Years begin in March here, so that the leap day comes last.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let era = y.div_euclid(400);
    let of_era = y.rem_euclid(400);
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + (153 * m + 2) / 5 + day - 1 - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_one_moment() {
        let moment = 1_790_812_800_123_000; // 2026-10-01T00:00:00.123Z
        for text in [
            "2026-10-01T00:00:00.123Z",
            "2026-10-01T00:00:00.1230000Z",
            "2026-10-01T00:00:00.123",
            "2026-10-01 00:00:00.123",
            "2026-10-01t02:00:00.123+02:00",
            "2026-09-30T18:30:00.123-0530",
            "10/1/2026, 12:00:00.123 AM",
            "10/01/2026 00:00:00.123",
            " 2026-10-01T00:00:00.123z ",
        ] {
            let stamp = parse(text).expect(text);
            assert_eq!((stamp.micros(), stamp.finer), (moment, false), "{text}");
        }
        assert_eq!(parse("10/1/2026, 1:02:03.000 PM"), parse("2026-10-01T13:02:03Z"));
        assert_eq!(parse("10/1/2026, 12:02:03 PM"), parse("2026-10-01T12:02:03Z"));
    }

    #[test]
    fn digits_beyond_microseconds_are_noticed() {
        for (text, nanos, finer) in [
            ("2026-10-01T00:00:00Z", 0, false),
            ("2026-10-01T00:00:00.1234567Z", 123_456_700, true),
            ("2026-10-01T00:00:00.1234560Z", 123_456_000, false),
            ("2026-10-01T00:00:00.123456789Z", 123_456_789, true),
            ("2026-10-01T00:00:00.1234560001Z", 123_456_000, true),
        ] {
            let stamp = parse(text).expect(text);
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
            "1790812800",
            "13/1/2026, 1:00:00 AM",
            "10/1/2026, 13:00:00 PM",
        ] {
            assert_eq!(parse(text), None, "{text}");
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
        fn never_panics(text in ".{0,40}") {
            parse(&text);
            expiry(&text);
        }
    }
}
