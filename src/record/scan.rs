//! A pull scanner over JSON text that is already known to be UTF-8.
//!
//! Knows JSON's grammar and nothing about records. Values are borrowed from the text; skipping is
//! iterative and stops at [`NESTING`] levels, so hostile nesting costs no stack. Never allocates,
//! except to unescape a string.

use std::borrow::Cow;

use memchr::memchr2;

/// How many levels of objects and arrays a skipped value may have.
pub const NESTING: usize = 128;

/// Why a text could not be read, and at which byte of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The text ends inside a value.
    #[error("the JSON text ends early, at byte {0}: the record is cut off")]
    Ends(usize),
    /// A character that JSON does not allow there.
    #[error("not valid JSON at byte {0} of the text")]
    Unexpected(usize),
    /// An escape that JSON does not have.
    #[error("not valid JSON: bad escape in a string at byte {0} of the text")]
    Escape(usize),
    /// Levels beyond [`NESTING`].
    #[error("nested deeper than {NESTING} levels at byte {0} of the text")]
    Nested(usize),
}

/// A string as it stands in the text, without its quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text<'a> {
    /// Between the quotes, escapes untouched.
    pub raw: &'a str,
    /// Whether `raw` holds an escape.
    pub escaped: bool,
}

impl<'a> Text<'a> {
    /// The string's value; allocates only if it holds an escape.
    #[inline]
    pub fn cow(&self) -> Cow<'a, str> {
        if self.escaped { Cow::Owned(unescape(self.raw)) } else { Cow::Borrowed(self.raw) }
    }
}

/// One value. For `Object` and `Array` the scanner stands at the bracket, for all others behind the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number as written.
    Num(&'a str),
    /// A string.
    Str(Text<'a>),
    /// `{` follows.
    Object,
    /// `[` follows.
    Array,
}

/// The scanner: a text and a position in it.
#[derive(Debug, Clone)]
pub struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    /// Stands at the start of `text`, behind a byte order mark.
    pub fn new(text: &'a str) -> Self {
        Scan { text, at: if text.starts_with('\u{feff}') { 3 } else { 0 } }
    }

    /// Position in bytes.
    pub fn at(&self) -> usize {
        self.at
    }

    /// The text from `start` to here.
    #[inline]
    pub fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// Skips white space; true if nothing is left.
    pub fn at_end(&mut self) -> bool {
        self.space();
        self.at >= self.text.len()
    }

    /// Skips white space.
    #[inline]
    pub fn space(&mut self) {
        let bytes = self.text.as_bytes();
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = bytes.get(self.at) {
            self.at += 1;
        }
    }

    /// The next byte that is no white space, without consuming it.
    #[inline]
    pub fn peek(&mut self) -> Result<u8, Fault> {
        self.space();
        self.text.as_bytes().get(self.at).copied().ok_or(Fault::Ends(self.at))
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Result<(), Fault> {
        if self.peek()? != byte {
            return Err(Fault::Unexpected(self.at));
        }
        self.at += 1;
        Ok(())
    }

    /// Consumes `{` or `[`.
    pub fn open(&mut self, bracket: u8) -> Result<(), Fault> {
        self.expect(bracket)
    }

    /// The next key of an object with its colon, or `None` behind the closing brace.
    #[inline]
    pub fn key(&mut self, first: &mut bool) -> Result<Option<Text<'a>>, Fault> {
        if !self.more(first, b'}')? {
            return Ok(None);
        }
        self.member().map(Some)
    }

    /// Consumes a key with its colon, and the comma before it where it is not the first, if the text goes on with just
    /// `token` (`"key":`); returns the key.
    #[inline]
    pub fn token(&mut self, first: bool, token: &str) -> Option<&'a str> {
        let mut start = self.at;
        if !first {
            if self.text.as_bytes().get(start) != Some(&b',') {
                return None;
            }
            start += 1;
        }
        if !self.text.as_bytes().get(start..)?.starts_with(token.as_bytes()) {
            return None;
        }
        self.at = start + token.len();
        self.text.get(start + 1..self.at - 2)
    }

    /// The text from here to its end.
    #[inline]
    pub fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The text from `start` to its end.
    pub fn tail(&self, start: usize) -> &'a str {
        self.text.get(start..).unwrap_or_default()
    }

    /// Stands at a byte of the text that is known to be ASCII, or at its end.
    pub fn go_to(&mut self, at: usize) {
        self.at = at;
    }

    /// Skips white space and any of these bytes.
    pub fn pass_over(&mut self, bytes: &[u8]) {
        while self.text.as_bytes().get(self.at).is_some_and(|byte| byte.is_ascii_whitespace() || bytes.contains(byte)) {
            self.at += 1;
        }
    }

    /// Steps over `length` bytes that are known to be one whole value.
    pub fn step_over(&mut self, length: usize) {
        self.at += length;
    }

    /// Whether an array has another element; consumes the comma or the closing bracket.
    pub fn element(&mut self, first: &mut bool) -> Result<bool, Fault> {
        self.more(first, b']')
    }

    /// As [`Scan::element`], for arrays of records: commas may be too many or missing.
    pub fn loose_element(&mut self) -> Result<bool, Fault> {
        while self.peek()? == b',' {
            self.at += 1;
        }
        let more = self.peek()? != b']';
        self.at += usize::from(!more);
        Ok(more)
    }

    #[inline]
    fn more(&mut self, first: &mut bool, close: u8) -> Result<bool, Fault> {
        let next = self.peek()?;
        if next == close {
            self.at += 1;
            return Ok(false);
        }
        if !std::mem::replace(first, false) {
            if next != b',' {
                return Err(Fault::Unexpected(self.at));
            }
            self.at += 1;
        }
        Ok(true)
    }

    #[inline]
    fn member(&mut self) -> Result<Text<'a>, Fault> {
        if self.peek()? != b'"' {
            return Err(Fault::Unexpected(self.at));
        }
        let key = self.string()?;
        self.expect(b':')?;
        Ok(key)
    }

    /// Reads a scalar, or stops in front of an object or array.
    #[inline]
    pub fn value(&mut self) -> Result<Value<'a>, Fault> {
        match self.peek()? {
            b'"' => self.string().map(Value::Str),
            b'{' => Ok(Value::Object),
            b'[' => Ok(Value::Array),
            b't' => self.literal("true").map(|()| Value::Bool(true)),
            b'f' => self.literal("false").map(|()| Value::Bool(false)),
            b'n' => self.literal("null").map(|()| Value::Null),
            _ => self.number().map(Value::Num),
        }
    }

    /// `NaN` and `Infinity`, which JSON does not have and Python writes all the same, as nothing; the fault where it is
    /// something else that [`Scan::value`] refused.
    #[cold]
    pub fn no_number(&mut self, fault: Fault) -> Result<Value<'a>, Fault> {
        for word in ["NaN", "Infinity", "-Infinity"] {
            if self.rest().starts_with(word) {
                return self.literal(word).map(|()| Value::Null);
            }
        }
        Err(fault)
    }

    #[inline]
    fn literal(&mut self, word: &str) -> Result<(), Fault> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(Fault::Unexpected(self.at));
        }
        self.at += word.len();
        Ok(())
    }

    fn number(&mut self) -> Result<&'a str, Fault> {
        let (start, bytes) = (self.at, self.text.as_bytes());
        let digits = |mut at: usize| {
            let from = at;
            while bytes.get(at).is_some_and(u8::is_ascii_digit) {
                at += 1;
            }
            if at > from { Ok(at) } else { Err(Fault::Unexpected(start)) }
        };
        let mut at = start + usize::from(bytes.get(start) == Some(&b'-'));
        at = if bytes.get(at) == Some(&b'0') { at + 1 } else { digits(at)? };
        if bytes.get(at) == Some(&b'.') {
            at = digits(at + 1)?;
        }
        if let Some(b'e' | b'E') = bytes.get(at) {
            at += 1 + usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
            at = digits(at)?;
        }
        self.at = at;
        Ok(self.since(start))
    }

    /// Reads a string; the scanner stands at its opening quote.
    #[inline]
    fn string(&mut self) -> Result<Text<'a>, Fault> {
        let (start, bytes) = (self.at + 1, self.text.as_bytes());
        let (mut at, mut escaped) = (start, false);
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            at += memchr2(b'"', b'\\', rest).ok_or(Fault::Ends(bytes.len()))?;
            if bytes[at] == b'"' {
                self.at = at + 1;
                return Ok(Text { raw: &self.text[start..at], escaped });
            }
            escaped = true;
            at += escape_length(&bytes[at..]).ok_or(Fault::Escape(at))?;
        }
    }

    /// Skips one value of any kind and returns its text.
    pub fn skip(&mut self) -> Result<&'a str, Fault> {
        self.space();
        let start = self.at;
        // One bit a level: set for an object, clear for an array.
        let (mut levels, mut depth) = (0u128, 0usize);
        loop {
            match self.value()? {
                value @ (Value::Object | Value::Array) => {
                    if depth == NESTING {
                        return Err(Fault::Nested(self.at));
                    }
                    self.at += 1;
                    levels = levels << 1 | u128::from(value == Value::Object);
                    depth += 1;
                    if self.step(levels, true)? {
                        continue;
                    }
                    levels >>= 1;
                    depth -= 1;
                }
                _ if depth == 0 => return Ok(self.since(start)),
                _ => {}
            }
            while depth > 0 && !self.step(levels, false)? {
                levels >>= 1;
                depth -= 1;
            }
            if depth == 0 {
                return Ok(self.since(start));
            }
        }
    }

    /// Moves to the next value of the innermost level; false if that level closed.
    fn step(&mut self, levels: u128, mut first: bool) -> Result<bool, Fault> {
        if levels & 1 == 1 { Ok(self.key(&mut first)?.is_some()) } else { self.element(&mut first) }
    }
}

/// Length of the escape at the start of `bytes`, if JSON has it.
fn escape_length(bytes: &[u8]) -> Option<usize> {
    match bytes.get(1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
        b'u' => bytes.get(2..6)?.iter().all(u8::is_ascii_hexdigit).then_some(6),
        _ => None,
    }
}

/// Resolves escapes that [`Scan`] has checked. A surrogate without its partner becomes U+FFFD.
fn unescape(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        out.push_str(&rest[..at]);
        let (c, length) = one_escape(&rest[at..]);
        out.push(c);
        rest = &rest[at + length..];
    }
    out.push_str(rest);
    out
}

fn one_escape(text: &str) -> (char, usize) {
    let c = match text.as_bytes().get(1) {
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return unicode_escape(text),
        Some(&other) => char::from(other),
        None => return ('\\', 1),
    };
    (c, 2)
}

fn unicode_escape(text: &str) -> (char, usize) {
    let unit = |at: usize| u32::from_str_radix(text.get(at..at + 4)?, 16).ok();
    let high = unit(2).unwrap_or(0xfffd);
    if (0xd800..0xdc00).contains(&high)
        && text.get(6..8) == Some("\\u")
        && let Some(low) = unit(8).filter(|low| (0xdc00..0xe000).contains(low))
    {
        let point = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
        return (char::from_u32(point).unwrap_or('\u{fffd}'), 12);
    }
    (char::from_u32(high).unwrap_or('\u{fffd}'), 6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skipped(text: &str) -> Result<&str, Fault> {
        Scan::new(text).skip()
    }

    #[test]
    fn a_skipped_value_is_returned_as_it_stands() {
        for text in [
            "1",
            "-0.5e+7",
            "null",
            "true",
            "\"a\\\"b\"",
            "{}",
            "[]",
            "[1,{\"a\":[]},\"]\"]",
            "{\"a\" : {\"}\":1} }",
            "[[[]],[[],{}]]",
        ] {
            assert_eq!(skipped(text), Ok(text), "{text}");
            assert_eq!(skipped(&format!(" {text} ,7")), Ok(text), "{text} inside a list");
        }
    }

    #[test]
    fn what_is_no_json_is_a_fault() {
        for text in [
            "",
            "{",
            "[1",
            "{\"a\"}",
            "{a:1}",
            "[1,]",
            "{\"a\":1,}",
            "tru",
            "01x",
            "-",
            "1.",
            "\"\\x\"",
            "\"\\u12\"",
            "[}",
            "{]",
        ] {
            let mut scan = Scan::new(text);
            assert!(scan.skip().is_err() || !scan.at_end(), "{text}");
        }
    }

    #[test]
    fn nesting_has_a_limit_and_no_stack() {
        let deep = |n: usize| "[".repeat(n) + &"]".repeat(n);
        assert!(skipped(&deep(128)).is_ok());
        assert_eq!(skipped(&deep(129)), Err(Fault::Nested(128)));
        assert!(skipped(&"{\"a\":".repeat(10_000)).expect_err("deep").to_string().contains("nested"));
    }

    #[test]
    fn escapes() {
        for (raw, value) in [
            (r"a\u0062c", "abc"),
            (r"\ud83d\ude00", "😀"),
            (r"\ud83d", "\u{fffd}"),
            (r"\ud83dx", "\u{fffd}x"),
            (r#"\"\\\/\b\f\n\r\t"#, "\"\\/\u{8}\u{c}\n\r\t"),
        ] {
            assert_eq!(Text { raw, escaped: true }.cow(), value, "{raw}");
        }
    }

    proptest::proptest! {
        #[test]
        fn skip_agrees_with_serde_json(text in "[\\[\\]{}:,\"a1 \\\\.]{0,12}") {
            let mut scan = Scan::new(&text);
            let ours = scan.skip().is_ok() && scan.at_end();
            let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            proptest::prop_assert_eq!(ours, theirs);
        }
    }
}
