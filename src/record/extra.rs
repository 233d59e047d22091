//! `extra`: the JSON object of every field that has no column, nested as in the record.
//!
//! Fields arrive in the record's order, so the object is written in one pass over the record; values are copied as they
//! stand. Empty values and nulls are left out, since they count as absent everywhere.

use std::fmt::Write as _;

/// Writes one record's `extra`; reused from record to record.
#[derive(Debug, Default)]
pub(super) struct Extra {
    text: String,
    /// Nothing is written while this is not zero.
    muted: u32,
}

/// Where an object was opened, to take it back if it stayed empty.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark(usize);

impl Extra {
    pub fn clear(&mut self) {
        self.text.clear();
        self.text.push('{');
        self.muted = 0;
    }

    /// Length so far, for [`Extra::since`].
    pub fn mark(&self) -> usize {
        self.text.len()
    }

    /// What was written since a mark.
    pub fn since(&self, mark: usize) -> &str {
        self.text.get(mark..).unwrap_or_default()
    }

    /// Writes again what [`Extra::since`] gave for a record before.
    pub fn again(&mut self, fragment: &str) {
        self.text.push_str(fragment);
    }

    /// Opens an object under `key` (the text between its quotes).
    pub fn enter(&mut self, key: &str) -> Mark {
        let mark = Mark(self.text.len());
        self.key(key);
        self.text.push('{');
        mark
    }

    /// Closes what [`Extra::enter`] opened; an object without fields leaves no trace.
    pub fn leave(&mut self, mark: Mark) {
        if self.text.ends_with('{') {
            self.text.truncate(mark.0);
        } else {
            self.text.pop();
            self.text.push_str("},");
        }
    }

    /// Stops writing until [`Extra::unmute`].
    pub fn mute(&mut self) {
        self.muted += 1;
    }

    /// Resumes writing.
    pub fn unmute(&mut self) {
        self.muted -= 1;
    }

    /// Whether nothing is written just now.
    pub fn is_muted(&self) -> bool {
        self.muted > 0
    }

    /// One field: the text between the key's quotes, and the value's JSON.
    pub fn put(&mut self, key: &str, value: &str) {
        if self.muted > 0 || matches!(value, "" | "\"\"" | "null") {
            return;
        }
        self.key(key);
        clean(value, &mut self.text);
        self.text.push(',');
    }

    /// One field whose value is text that is not yet JSON.
    pub fn put_text(&mut self, key: &str, value: &str) {
        if self.muted > 0 || value.is_empty() {
            return;
        }
        self.key(key);
        quote(value, &mut self.text);
        self.text.push(',');
    }

    fn key(&mut self, key: &str) {
        self.text.push('"');
        if key.bytes().any(|b| b < 0x20) {
            escape_controls(key, &mut self.text)
        } else {
            self.text.push_str(key)
        }
        self.text.push_str("\":");
    }

    /// The finished object, or `None` if no field was put. Call once a record.
    pub fn finish(&mut self) -> Option<&str> {
        if self.text.len() <= 1 {
            return None;
        }
        self.text.pop();
        self.text.push('}');
        Some(&self.text)
    }
}

/// Copies a value without white space between its tokens; control characters in strings become escapes.
fn clean(value: &str, out: &mut String) {
    let compound = value.starts_with(['{', '[']);
    if !compound && value.bytes().all(|b| b >= 0x20) {
        out.push_str(value);
        return;
    }
    let mut rest = value;
    while let Some(at) = rest.find('"') {
        out.extend(rest[..at].chars().filter(|c| !c.is_ascii_whitespace()));
        let end = string_end(&rest[at..]);
        escape_controls(&rest[at..at + end], out);
        rest = &rest[at + end..];
    }
    out.extend(rest.chars().filter(|c| !c.is_ascii_whitespace()));
}

/// Length of the string, quotes included, that `text` begins with.
fn string_end(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 1;
    while let Some(n) = memchr::memchr2(b'"', b'\\', bytes.get(at..).unwrap_or_default()) {
        at += n;
        if bytes[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    text.len()
}

fn escape_controls(text: &str, out: &mut String) {
    for c in text.chars() {
        if c < ' ' {
            // Writing to a string does not fail.
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
}

/// Writes `text` as a JSON string.
pub(super) fn quote(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|b| b < 0x20 || b == b'"' || b == b'\\') {
        out.push_str(&rest[..at]);
        match rest.as_bytes()[at] {
            c @ (b'"' | b'\\') => out.extend(['\\', char::from(c)]),
            _ => escape_controls(&rest[at..=at], out),
        }
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
    out.push('"');
}

/// Fields that Log Analytics adds to a row, and spellings of the time: no part of what a record is.
const ADDED: &[&str] = &[
    "time",
    "TimeGenerated",
    "eventTimestamp",
    "submissionTimestamp",
    "TenantId",
    "Type",
    "SourceSystem",
    "MG",
    "TableName",
    "_BilledSize",
    "_IsBillable",
    "_ItemId",
    "_ResourceId",
    "_SubscriptionId",
    "Resource",
    "ResourceType",
    "ResourceProvider",
];

/// The same object with sorted keys, no white space and plain escapes, without what an export adds: for the identity
/// of records that their fields alone do not tell apart.
pub(super) fn canonical(extra: &str, out: &mut String) {
    match serde_json::from_str::<serde_json::Value>(extra) {
        Ok(serde_json::Value::Object(mut fields)) => {
            fields.retain(|key, _| !ADDED.contains(&key.as_str()));
            sorted(&serde_json::Value::Object(fields), out);
        }
        // Not reached for what `Extra` wrote; the text itself is then the best there is.
        _ => out.push_str(extra),
    }
}

fn sorted(value: &serde_json::Value, out: &mut String) {
    match value {
        serde_json::Value::Object(fields) => {
            let mut keys: Vec<_> = fields.iter().collect();
            keys.sort_unstable_by_key(|(key, _)| *key);
            out.push('{');
            for (key, value) in keys {
                quote(key, out);
                out.push(':');
                sorted(value, out);
                out.push(',');
            }
            out.push('}');
        }
        serde_json::Value::Array(items) => {
            out.push('[');
            for item in items {
                sorted(item, out);
                out.push(',');
            }
            out.push(']');
        }
        serde_json::Value::String(text) => quote(text, out),
        other => {
            let _ = write!(out, "{other}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_nest_and_empty_ones_vanish() {
        let mut extra = Extra::default();
        extra.clear();
        assert_eq!(extra.finish(), None);
        extra.clear();
        let identity = extra.enter("identity");
        let claim = extra.enter("claim");
        extra.put("uti", "\"x\"");
        extra.put("nothing", "\"\"");
        extra.put("null", "null");
        extra.leave(claim);
        extra.leave(identity);
        let properties = extra.enter("properties");
        extra.leave(properties);
        extra.put("list", "[ 1 ,\n\"a b\" , {\"c\" : 2} ]");
        extra.put_text("text", "a\"b\\\n");
        assert_eq!(
            extra.finish(),
            Some(r#"{"identity":{"claim":{"uti":"x"}},"list":[1,"a b",{"c":2}],"text":"a\"b\\\u000a"}"#)
        );
    }

    #[test]
    fn canonical_ignores_order_space_escapes_and_what_exports_add() {
        let mut one = String::new();
        let mut other = String::new();
        canonical(r#"{"a":{"x":1,"y":"\u0062"},"b":[1,2]}"#, &mut one);
        canonical(r#"{"b":[1, 2],"TenantId":"w","a":{"y":"b","x":1}}"#, &mut other);
        assert_eq!(one, other);
        let mut third = String::new();
        canonical(r#"{"a":{"x":1,"y":"c"},"b":[1,2]}"#, &mut third);
        assert_ne!(one, third);
    }

    proptest::proptest! {
        #[test]
        fn quoted_text_reads_back(text in "(?s).{0,20}") {
            let mut json = String::new();
            quote(&text, &mut json);
            proptest::prop_assert_eq!(serde_json::from_str::<String>(&json).expect("JSON"), text);
        }
    }
}
