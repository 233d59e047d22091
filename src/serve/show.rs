//! How values look on the page. They come from logs and are hostile: the template escapes what HTML would read,
//! and this makes visible what would hide or turn text around.

use std::borrow::Cow;

use chrono::DateTime;

use crate::alert::Value;

/// Items of a list that are shown; the rest is counted.
const MAX_ITEMS: usize = 20;
/// Characters of one value that are shown.
const MAX_CHARS: usize = 2000;

/// Characters that are invisible, or change the order in which others are shown.
fn hides(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The text with what hides written as its number, and cut where it is very long.
pub(super) fn visible(text: &str) -> Cow<'_, str> {
    escaped(text, hides)
}

/// As [`visible`], with line breaks kept: for SQL in a block of its own.
pub(super) fn visible_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| hides(c) && c != '\n')
}

fn escaped(text: &str, hides: impl Fn(char) -> bool) -> Cow<'_, str> {
    let long = text.char_indices().nth(MAX_CHARS);
    if long.is_none() && !text.contains(&hides) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len().min(4 * MAX_CHARS));
    for c in text.chars().take(MAX_CHARS) {
        if hides(c) {
            shown.push_str(&format!("⟨U+{:04X}⟩", u32::from(c)));
        } else {
            shown.push(c);
        }
    }
    if long.is_some() {
        shown.push_str(&format!("… ({} bytes)", text.len()));
    }
    Cow::Owned(shown)
}

/// A value of an entity or of evidence as a line of text.
pub(super) fn value(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(n) => n.as_i64().map_or_else(|| n.as_f64().map_or_else(|| n.to_string(), number), grouped),
        Value::String(text) => visible(text).into_owned(),
        Value::Array(items) => {
            let mut shown: Vec<String> = items.iter().take(MAX_ITEMS).map(self::value).collect();
            if items.len() > MAX_ITEMS {
                shown.push(format!("and {} more", items.len() - MAX_ITEMS));
            }
            shown.join(", ")
        }
        Value::Object(_) => visible(&value.to_string()).into_owned(),
    }
}

/// A whole number in groups of three digits.
pub(super) fn grouped(n: i64) -> String {
    let digits = n.unsigned_abs().to_string();
    let mut shown = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    if n < 0 { format!("−{shown}") } else { shown }
}

/// A number as a person reads it: groups of three, three digits after a small whole part, powers where it is tiny.
pub(super) fn number(n: f64) -> String {
    match n.abs() {
        size if size >= 1e15 => format!("{n:.2e}"),
        size if size == size.trunc() => grouped(n as i64),
        size if size >= 1000.0 => grouped(n.round() as i64),
        size if size >= 0.01 => trimmed(&format!("{n:.2}")),
        _ => power(n),
    }
}

fn trimmed(text: &str) -> String {
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `1.2 × 10⁻⁷`.
fn power(n: f64) -> String {
    let text = format!("{n:.1e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let raised: String = exponent
        .chars()
        .map(|c| match c {
            '-' => '⁻',
            '0' => '⁰',
            '1' => '¹',
            '2' => '²',
            '3' => '³',
            digit => char::from_u32(u32::from(digit) - u32::from('4') + u32::from('⁴')).unwrap_or('?'),
        })
        .collect();
    match trimmed_mantissa(mantissa) {
        "1" => format!("10{raised}"),
        mantissa => format!("{mantissa} × 10{raised}"),
    }
}

fn trimmed_mantissa(text: &str) -> &str {
    text.strip_suffix(".0").unwrap_or(text)
}

/// How improbable, as odds; none where they say no more than the number.
pub(super) fn odds(p: f64) -> Option<String> {
    (1e-15..0.1).contains(&p).then(|| format!("about 1 in {}", grouped(two_digits(1.0 / p))))
}

/// A p-value: one that is 0 was too small to compute.
pub(super) fn probability(p: f64) -> String {
    if p <= 0.0 { "≈ 0".to_owned() } else { number(p) }
}

/// The number with two leading digits: more would claim a precision that no baseline has.
fn two_digits(n: f64) -> i64 {
    let unit = 10f64.powi((n.log10().floor() as i32 - 1).max(0));
    ((n / unit).round() * unit) as i64
}

/// `2026-01-31 08:15 UTC` of an RFC 3339 time; seconds where there are any.
pub(super) fn time(rfc3339: &str) -> String {
    match DateTime::parse_from_rfc3339(rfc3339) {
        Ok(time) if time.timestamp() % 60 == 0 => time.to_utc().format("%Y-%m-%d %H:%M UTC").to_string(),
        Ok(time) => time.to_utc().format("%Y-%m-%d %H:%M:%S UTC").to_string(),
        Err(_) => visible(rfc3339).into_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn text_that_hides_or_turns_is_made_visible() {
        for (text, shown) in [
            ("plain äöü 漢字 שלום", "plain äöü 漢字 שלום"),
            ("gpj\u{202e}exe", "gpj⟨U+202E⟩exe"),
            ("a\u{200b}b\u{feff}", "a⟨U+200B⟩b⟨U+FEFF⟩"),
            ("two\nlines\t\0", "two⟨U+000A⟩lines⟨U+0009⟩⟨U+0000⟩"),
            ("\u{2066}x\u{2069}", "⟨U+2066⟩x⟨U+2069⟩"),
        ] {
            assert_eq!(visible(text), shown);
        }
        assert_eq!(visible_lines("a\nb\u{202e}"), "a\nb⟨U+202E⟩");
        let long = visible(&"x".repeat(100_000)).into_owned();
        assert!(long.len() < 3000 && long.ends_with("… (100000 bytes)"), "{}", long.len());
    }

    #[test]
    fn numbers_read_as_people_write_them() {
        for (n, shown) in [
            (0.0, "0"),
            (40.0, "40"),
            (2.5, "2.5"),
            (0.05, "0.05"),
            (1234567.0, "1,234,567"),
            (1234.56, "1,235"),
            (-1234.0, "−1,234"),
            (1.2e-7, "1.2 × 10⁻⁷"),
            (1e-10, "10⁻¹⁰"),
            (5.6e-48, "5.6 × 10⁻⁴⁸"),
            (f64::MAX, "1.80e308"),
        ] {
            assert_eq!(number(n), shown);
        }
        assert_eq!(
            (probability(1.23e-6).as_str(), odds(1.23e-6).as_deref()),
            ("1.2 × 10⁻⁶", Some("about 1 in 810,000"))
        );
        assert_eq!((probability(0.0).as_str(), odds(0.0)), ("≈ 0", None));
        assert_eq!((probability(0.2).as_str(), odds(0.2)), ("0.2", None));
    }

    #[test]
    fn values_of_every_kind_have_a_line() {
        assert_eq!(value(&json!(["a", 1000, true, null])), "a, 1,000, yes, –");
        assert_eq!(value(&json!((0..25).collect::<Vec<_>>())).split(", ").count(), 21);
        assert!(value(&json!((0..25).collect::<Vec<_>>())).ends_with("and 5 more"));
        assert_eq!(value(&json!({ "a": "\u{202e}" })), "{\"a\":\"⟨U+202E⟩\"}");
    }

    #[test]
    fn times_lose_the_seconds_only_where_there_are_none() {
        assert_eq!(time("2026-01-31T08:15:00Z"), "2026-01-31 08:15 UTC");
        assert_eq!(time("2026-01-31T08:15:09.5Z"), "2026-01-31 08:15:09 UTC");
        assert_eq!(time("never"), "never");
    }
}
