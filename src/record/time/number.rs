//! Times as numbers: the epoch's seconds, milliseconds, microseconds and nanoseconds, told by their size; the serial
//! numbers of spreadsheets; `/Date(…)/`.

use super::{DAY, Stamp};

/// Sizes below which a number counts seconds, milliseconds, microseconds; above, nanoseconds. Each unit's numbers of the
/// years 2015 to 2100 lie within its range.
const UNITS: [(i128, u32); 3] = [(100_000_000_000, 0), (100_000_000_000_000, 3), (100_000_000_000_000_000, 6)];

/// Serial numbers of 2015-01-01 and 2100-01-01: days since 1899-12-30. As seconds of the epoch they would be of 1970.
const SERIALS: std::ops::Range<f64> = 42_005.0..73_051.0;
/// Days from 1899-12-30 to 1970-01-01.
const SERIAL_EPOCH: f64 = 25_569.0;

/// Reads a number; `None` where the text is none, or one that lost digits (`1.79508E+12`).
pub(super) fn read(text: &str) -> Option<Stamp> {
    let dated = text.strip_prefix("/Date(").and_then(|rest| rest.strip_suffix(")/"));
    if let Some(inner) = dated {
        // The offset behind it says where it was written, not when it was.
        let end = inner.find(['+', '-']).filter(|at| *at > 0).unwrap_or(inner.len());
        return scaled(&inner[..end], Some(3));
    }
    if let Some(serial) = serial(text) {
        return Some(serial);
    }
    scaled(text, None)
}

/// A count of some unit (a power of ten of a second), told by its size where it is not given.
fn scaled(text: &str, power: Option<u32>) -> Option<Stamp> {
    let (whole, fraction) = decimal(text)?;
    if whole < 100_000_000 {
        return None;
    }
    let power = power.unwrap_or_else(|| UNITS.iter().find(|(below, _)| whole < *below).map_or(9, |(_, power)| *power));
    let unit = 10i128.pow(power);
    let mut digits = format!("{:0width$}", whole % unit, width = power as usize);
    if power == 0 {
        digits.clear();
    }
    digits.push_str(&fraction);
    let (nanos, finer) = super::nanos_of(digits.as_bytes());
    Some(Stamp { seconds: i64::try_from(whole / unit).ok()?, nanos, finer, naive: false })
}

/// Whole part and fraction digits of a positive decimal number, its exponent applied; `None` where the exponent says
/// that digits of the whole part are missing.
fn decimal(text: &str) -> Option<(i128, String)> {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].strip_prefix('+').unwrap_or(&text[at + 1..]).parse::<usize>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let plain = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || whole.len() > 30 || fraction.len() > 30 || !plain(whole) || !plain(fraction) {
        return None;
    }
    if exponent > fraction.len() {
        return None;
    }
    let (more, rest) = fraction.split_at(exponent);
    Some((format!("{whole}{more}").parse().ok().filter(|n| *n < i128::from(i64::MAX))?, rest.to_owned()))
}

/// A day of a spreadsheet and its time, to the millisecond that spreadsheets keep; in nobody's zone.
fn serial(text: &str) -> Option<Stamp> {
    if text.len() > 24 || !text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b',')) {
        return None;
    }
    let days: f64 = text.replacen(',', ".", 1).parse().ok()?;
    if !SERIALS.contains(&days) {
        return None;
    }
    let millis = ((days - SERIAL_EPOCH) * DAY as f64 * 1000.0).round() as i64;
    let nanos = u32::try_from(millis.rem_euclid(1000)).unwrap_or_default() * 1_000_000;
    Some(Stamp { seconds: millis.div_euclid(1000), nanos, finer: false, naive: true })
}
