//! Where reading goes on after damage within a line: at the next place where a record or an envelope plainly begins.

/// First keys of records and of their envelopes. Few and telling, since objects within a damaged record must not be
/// taken for records.
const FIRST_KEYS: [&[u8]; 13] = [
    b"time",
    b"records",
    b"category",
    b"operationName",
    b"resourceId",
    b"correlationId",
    b"TimeGenerated",
    b"TenantId",
    b"CallerIPAddress",
    b"callerIpAddress",
    b"eventTimestamp",
    b"ReleaseVersion",
    b"RoleLocation",
];

/// The most bytes behind a bracket that are looked at.
pub(super) const LOOK_AHEAD: usize = 64;

/// Whether a record or an envelope begins with the brace that `text` begins with. Looks at [`LOOK_AHEAD`] bytes.
pub(super) fn opens_record(text: &[u8]) -> bool {
    let text = &text[..text.len().min(LOOK_AHEAD)];
    let Some(inside) = text.strip_prefix(b"{") else { return false };
    let Some(key) = inside.trim_ascii_start().strip_prefix(b"\"") else { return false };
    FIRST_KEYS.iter().any(|first| key.strip_prefix(*first).is_some_and(|rest| rest.starts_with(b"\"")))
}

/// The first such place at `from` or after it.
pub(super) fn next_record(text: &[u8], from: usize) -> Option<usize> {
    let rest = text.get(from..)?;
    memchr::memchr_iter(b'{', rest).find(|at| opens_record(&rest[*at..])).map(|at| from + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_known_by_its_first_key() {
        for (text, at) in [
            (r#"x{"time":1}"#, Some(1)),
            (r#"{ "a" {  "records" :[]}"#, Some(6)),
            (r#"{"n":{"id":1}}"#, None),
            (r#"{\"time\":1}"#, None),
            (r#"{"times":1}"#, None),
            ("{", None),
            ("", None),
        ] {
            assert_eq!(next_record(text.as_bytes(), 0), at, "{text}");
        }
    }
}
