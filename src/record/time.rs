//! Times as logs and exports write them. The hot form is RFC 3339, with any number of fraction digits, read here; the
//! same without a zone too. [`number`] reads epochs and serial numbers, [`spoken`] what portals, spreadsheets and scripts
//! write in the manner of a country, and [`dates`] holds what an input leaves open: the order of day and month, the
//! zone. Never reads a clock.

pub(super) mod dates;
mod number;
mod spoken;

/// A moment: seconds since the epoch and nanoseconds of that second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub seconds: i64,
    /// Nanoseconds; digits beyond the ninth are dropped.
    pub nanos: u32,
    /// Whether microseconds lose a digit of the text.
    pub finer: bool,
    /// Whether the text names no zone: taken as UTC so far.
    pub naive: bool,
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

/// Reads RFC 3339, or `None` if the text is in another form: see [`dates::Dates::read`].
#[inline]
pub fn parse(text: &str) -> Option<Stamp> {
    let bytes = text.trim().as_bytes();
    if bytes.get(4) == Some(&b'-') { rfc3339(bytes) } else { None }
}

/// Seconds since the epoch as number or text (`exp` claims and attributes), else a time; in microseconds.
pub fn expiry(text: &str) -> Option<i64> {
    match text.trim().parse::<f64>() {
        Ok(seconds) if (0.0..253_402_300_800.0).contains(&seconds) => Some((seconds * 1e6) as i64),
        Ok(_) => None,
        Err(_) => dates::Dates::default().read(text, "").ok().map(|stamp| stamp.micros()),
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
    Some(Stamp { seconds: day * DAY + clock - offset(rest)?, nanos, finer, naive: rest.is_empty() })
}

/// `.1234567Z` to nanoseconds, whether finer than microseconds, and what follows.
fn fraction(b: &[u8]) -> Option<(u32, bool, &[u8])> {
    if b.first() != Some(&b'.') {
        return Some((0, false, b));
    }
    let end = b[1..].iter().position(|c| !c.is_ascii_digit()).map_or(b.len(), |n| n + 1);
    let (nanos, finer) = nanos_of(&b[1..end]);
    (end > 1).then_some((nanos, finer, &b[end..]))
}

/// Digits behind the point to nanoseconds, and whether microseconds lose one.
fn nanos_of(digits: &[u8]) -> (u32, bool) {
    let (mut nanos, mut finer) = (0u32, false);
    for place in 0..9.max(digits.len()) {
        let digit = digits.get(place).map_or(0, |c| u32::from(c - b'0'));
        finer |= place >= 6 && digit != 0;
        if place < 9 {
            nanos = nanos * 10 + digit;
        }
    }
    (nanos, finer)
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
#[path = "time/tests.rs"]
mod tests;
