//! Looking ahead in a document: what the next member of an object is, as far as it takes to know what to do with it.

use super::value::{Fed, ValueScan};
use super::window::View;

/// How far the first key of an array's first element is waited for.
const KEY_BYTES: u64 = 4096;

/// A member of an object, as far as it takes to know what to do with it.
pub(super) struct Member<'a> {
    /// The key as it stands between its quotes.
    pub(super) key: &'a [u8],
    pub(super) value_at: u64,
    /// The value's first byte.
    pub(super) opener: u8,
    /// Where the value is an array: the first byte of its first element, or `]`.
    pub(super) list_of: Option<u8>,
}

/// Reads the member whose key's quote stands at `key_at`; `None` where too little is in memory, `Err` with the offset
/// of what is wrong.
pub(super) fn look_ahead(view: View<'_>, key_at: u64) -> Option<Result<Member<'_>, u64>> {
    let mut scan = ValueScan::new();
    let key_end = match scan.feed(view.from(key_at)) {
        Fed::More => return None,
        Fed::Broken(at) => return Some(Err(key_at + at)),
        Fed::Done(length) => key_at + length,
    };
    let (colon_at, colon) = view.token(key_end)?;
    if colon != b':' {
        return Some(Err(colon_at));
    }
    let (value_at, first) = view.token(colon_at + 1)?;
    let list_of = match first {
        b'[' => Some(view.token(value_at + 1)?.1),
        b',' | b':' | b'}' | b']' => return Some(Err(value_at)),
        _ => None,
    };
    Some(Ok(Member { key: view.slice(key_at + 1..key_end - 1), value_at, opener: first, list_of }))
}

/// Whether the object whose brace stands at `at` begins with `key`, given in its quotes and compared without case; `None`
/// where too little is in memory to say.
pub(super) fn first_key_is(view: View<'_>, at: u64, key: &[u8]) -> Option<bool> {
    let wait = !view.ended && view.end() - at < KEY_BYTES;
    let unknown = if wait { None } else { Some(false) };
    let Some((key_at, quote)) = view.token(at + 1) else { return unknown };
    match view.from(key_at).get(..key.len()) {
        Some(first) => Some(first.eq_ignore_ascii_case(key)),
        None if quote == b'"' => unknown,
        None => Some(false),
    }
}
