//! Records that came through a SIEM or a shipper: the record stands as text or as an object within its own document.
//!
//! Known by rule and not by product: Elastic and Filebeat (`_source`, `event.original`, `message`), Splunk (`result`,
//! `results`, `_raw`, `event`), Sumo Logic (`_raw`), Datadog (`attributes`, `content`), Fluent Bit and containers
//! (`log`), Loki (`line`), consumers of Event Hubs (`body`, `value`).

use std::borrow::Cow;

use super::scan::{Scan, Value};

/// Keys under which a record stands as text, the most telling first. Of a path (`event.original`) the last part counts.
const TEXTS: [&str; 18] = [
    "original",
    "_raw",
    "raw",
    "rawlog",
    "raw_log",
    "rawevent",
    "raw_event",
    "@message",
    "message",
    "log",
    "line",
    "body",
    "content",
    "data",
    "payload",
    "value",
    "event",
    "record",
];

/// Keys under which objects stand that are the record or hold it.
const OBJECTS: [&str; 17] = [
    "_source",
    "source",
    "result",
    "event",
    "fields",
    "attributes",
    "content",
    "data",
    "body",
    "record",
    "payload",
    "log",
    "message",
    "hits",
    "items",
    "entries",
    "logs",
];

/// The first so many of [`TEXTS`] name columns of CSV that always hold the record as text.
const COLUMNS: usize = 7;

/// How many places of one object are tried.
const MOST: usize = 8;

/// The texts within `object` that may be the record it wraps, likeliest first.
pub(super) fn inner(object: &str) -> Vec<Cow<'_, str>> {
    let (mut scan, mut first) = (Scan::new(object), true);
    let mut found: Vec<(usize, Cow<'_, str>)> = Vec::new();
    if scan.open(b'{').is_err() {
        return Vec::new();
    }
    while let Ok(Some(key)) = scan.key(&mut first) {
        scan.space();
        let start = scan.at();
        let Ok(value) = scan.value() else { break };
        if matches!(value, Value::Object | Value::Array) && scan.skip().is_err() {
            break;
        }
        if let Some(candidate) = candidate(&key.cow(), value, scan.since(start))
            && found.len() < MOST
        {
            found.push(candidate);
        }
    }
    found.sort_by_key(|(rank, _)| *rank);
    found.into_iter().map(|(_, text)| text).collect()
}

fn candidate<'t>(key: &str, value: Value<'t>, raw: &'t str) -> Option<(usize, Cow<'t, str>)> {
    let name = last_part(key);
    match value {
        Value::Str(text) => {
            let rank = rank(&TEXTS, name)?;
            let text = text.cow();
            is_record_text(&text).then_some((rank, text))
        }
        Value::Object | Value::Array => Some((TEXTS.len() + rank(&OBJECTS, name)?, Cow::Borrowed(raw))),
        _ => None,
    }
}

fn rank(keys: &[&str], name: &str) -> Option<usize> {
    keys.iter().position(|key| name.eq_ignore_ascii_case(key))
}

fn last_part(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}

/// Whether a text begins like JSON with a record in it. Where it is cut short the decoder will say so.
pub(super) fn is_record_text(text: &str) -> bool {
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let text = text.strip_prefix('[').map_or(text, str::trim_start);
    text.strip_prefix('{').is_some_and(|inside| inside.trim_start().starts_with('"')) && text.contains("\":")
}

/// Whether a header of CSV has a column in which records stand as text; `after` is what follows it.
pub(super) fn is_header<'c>(mut columns: impl Iterator<Item = &'c str>, after: &[u8]) -> bool {
    let json = || memchr::memmem::find(after, b"\"{\"\"").is_some() || memchr::memmem::find(after, b"{\"").is_some();
    columns.any(|name| rank(&TEXTS, last_part(name)).is_some_and(|rank| rank < COLUMNS || json()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_place_comes_first() {
        let text = r#"{"message":"{\"a\":1}","x":{"y":1},"event":{"z":2},"event.original":" {\"b\":2}\n","log":"plain","_source":[{}]}"#;
        assert_eq!(inner(text), [" {\"b\":2}\n", "{\"a\":1}", "[{}]", "{\"z\":2}"]);
        for nothing in [
            "{}",
            "{\"message\":\"hello {world}\"}",
            "{\"message\":7}",
            "{\"message\":\"[INFO] \\\"a\\\":1\"}",
            "[1]",
            "{\"raw\":",
            "",
        ] {
            assert!(inner(nothing).is_empty(), "{nothing}");
        }
    }
}
