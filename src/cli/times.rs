//! Times on the command line: RFC 3339, a plain date, or relative to the end of the data (`24h`, `7d`).

use chrono::{DateTime, NaiveDate, Utc};

use super::WrongUse;
use crate::alert::Micros;

/// Reads a time; a relative one counts back from `end`.
pub fn parse(text: &str, end: Micros) -> Result<Micros, WrongUse> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.with_timezone(&Utc).timestamp_micros());
    }
    if let Some(midnight) = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().and_then(|d| d.and_hms_opt(0, 0, 0)) {
        return Ok(midnight.and_utc().timestamp_micros());
    }
    let span = humantime::parse_duration(text).map_err(|_| {
        WrongUse(format!("'{text}' is no time: write RFC 3339 (2026-10-01T00:00:00Z), a date (2026-10-01) or a span back from the last record (24h, 7d)"))
    })?;
    let micros = i64::try_from(span.as_micros()).map_err(|_| WrongUse(format!("'{text}' is too long a span")))?;
    Ok(end.saturating_sub(micros))
}

/// A short form for tables: `10-28 14:05`, and the year where asked for.
pub fn short(rfc3339: &str) -> String {
    match DateTime::parse_from_rfc3339(rfc3339) {
        Ok(time) => time.with_timezone(&Utc).format("%m-%d %H:%M").to_string(),
        Err(_) => rfc3339.to_owned(),
    }
}

/// `2026-10-28 14:05`, UTC.
pub fn minute(micros: Micros) -> String {
    DateTime::from_timestamp_micros(micros)
        .map_or_else(|| micros.to_string(), |t| t.format("%Y-%m-%d %H:%M").to_string())
}

/// A span in words: `29 days 22 hours`, `3 hours 10 minutes`, `40 seconds`.
pub fn span(micros: Micros) -> String {
    let seconds = micros.max(0) / 1_000_000;
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
    let Some(first) = units.iter().position(|(size, _)| seconds >= *size) else { return "0 seconds".to_owned() };
    let word = |count: i64, unit: &str| format!("{count} {unit}{}", if count == 1 { "" } else { "s" });
    let (size, unit) = units[first];
    let mut text = word(seconds / size, unit);
    if let Some((next, name)) = units.get(first + 1)
        && (seconds % size) / next > 0
    {
        text = format!("{text} {}", word((seconds % size) / next, name));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_absolute_or_count_back_from_the_data() {
        let end = parse("2026-10-31T12:00:00Z", 0).unwrap();
        for (text, same_as) in [
            ("24h", "2026-10-30T12:00:00Z"),
            ("7d", "2026-10-24T12:00:00Z"),
            ("2026-10-01", "2026-10-01T00:00:00Z"),
            ("2026-10-01T02:00:00+02:00", "2026-10-01T00:00:00Z"),
        ] {
            assert_eq!(parse(text, end).unwrap(), parse(same_as, 0).unwrap(), "{text}");
        }
        assert!(parse("yesterday", end).unwrap_err().to_string().contains("'yesterday' is no time"));
    }

    #[test]
    fn spans_read_as_words() {
        for (seconds, text) in [
            (0, "0 seconds"),
            (1, "1 second"),
            (11_400, "3 hours 10 minutes"),
            (86_400, "1 day"),
            (2_584_800, "29 days 22 hours"),
        ] {
            assert_eq!(span(seconds * 1_000_000), text);
        }
    }
}
