//! Finds the end of one JSON value without decoding it. Costs no recursion, and goes on where it stopped when the bytes
//! come in pieces.

/// What a further piece of bytes came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fed {
    /// The value goes on.
    More,
    /// The value ends after so many bytes, counted from its first.
    Done(u64),
    /// This is no JSON value; the first offending byte, counted from the value's first.
    Broken(u64),
}

/// Nesting beyond this is broken, so that an endless `[[[[` costs a bounded stack.
const MAX_DEPTH: usize = 1 << 20;

/// What may come next, outside of strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    Colon,
    CommaOrEnd,
}

/// A scan over one value.
///
/// It knows brackets, strings and what may follow what; it does not look into numbers and words. A wrong order of
/// tokens is forgiven as long as the line lasts, since then brackets still tell where the value ends and the decoder
/// can say what is wrong with it. On a later line it breaks the value: what follows is then most likely another record
/// after one that was cut off. A newline within a string breaks for the same reason, but only where an object or array
/// with a text in it begins the next line; else somebody forgot to escape it, and the string goes on.
#[derive(Debug)]
pub(super) struct ValueScan {
    /// The open brackets: true for an object.
    open: Vec<bool>,
    expect: Expect,
    in_string: bool,
    /// The last byte was a backslash within a string.
    escape: bool,
    /// A newline within a string, after which only white space and brackets have come.
    newline: Option<Newline>,
    in_word: bool,
    /// Where the first token out of order stood.
    violation: Option<u64>,
    length: u64,
}

/// See [`ValueScan::newline`].
#[derive(Debug, Clone, Copy)]
struct Newline {
    /// Counted from the value's first byte.
    at: u64,
    bracket: bool,
}

impl ValueScan {
    pub(super) fn new() -> Self {
        Self {
            open: Vec::new(),
            expect: Expect::Value,
            in_string: false,
            escape: false,
            newline: None,
            in_word: false,
            violation: None,
            length: 0,
        }
    }

    /// Bytes scanned so far.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Where the order of tokens was first broken, counted from the value's first byte.
    pub(super) fn violation(&self) -> Option<u64> {
        self.violation
    }

    /// Whether the value is a number or word without brackets, whose end only what follows can tell.
    pub(super) fn is_word(&self) -> bool {
        self.in_word && self.open.is_empty()
    }

    /// Scans on; `bytes` begins where the last call's ended, the first call's with the value's first byte.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Fed {
        let mut at = 0;
        while at < bytes.len() {
            if self.in_string {
                at = match self.string(bytes, at) {
                    Ok(next) => next,
                    Err(broken) => return Fed::Broken(broken),
                };
                if !self.in_string && self.open.is_empty() {
                    return Fed::Done(self.length + at as u64);
                }
                continue;
            }
            let byte = bytes[at];
            if is_word(byte) {
                if !self.in_word {
                    self.in_word = true;
                    self.token(byte, at);
                }
                at += 1;
                continue;
            }
            if self.in_word {
                self.in_word = false;
                if self.open.is_empty() {
                    return Fed::Done(self.length + at as u64);
                }
            }
            match byte {
                b' ' | b'\t' | b'\r' => {}
                b'\n' => {
                    if let Some(violation) = self.violation {
                        return Fed::Broken(violation);
                    }
                }
                b'}' | b']' => {
                    self.token(byte, at);
                    if self.open.pop() != Some(byte == b'}') {
                        return Fed::Broken(self.violation.unwrap_or(self.length + at as u64));
                    }
                    if self.open.is_empty() {
                        return Fed::Done(self.length + at as u64 + 1);
                    }
                }
                _ => {
                    self.token(byte, at);
                    if self.open.len() > MAX_DEPTH {
                        return Fed::Broken(self.length + at as u64);
                    }
                }
            }
            at += 1;
        }
        self.length += bytes.len() as u64;
        Fed::More
    }

    /// Goes on within a string; gives the index after what was scanned, or the newline that breaks it, counted from
    /// the value's first byte.
    fn string(&mut self, bytes: &[u8], from: usize) -> Result<usize, u64> {
        let mut at = from;
        loop {
            if let Some(newline) = self.newline {
                at = self.after_newline(newline, bytes, at)?;
            }
            if self.escape && at < bytes.len() {
                self.escape = false;
                at += usize::from(bytes[at] != b'\n');
            }
            let Some(skip) = bytes.get(at..).and_then(|rest| rest.iter().position(|byte| STRING_STOP[*byte as usize]))
            else {
                return Ok(bytes.len());
            };
            at += skip + 1;
            match bytes[at - 1] {
                b'"' => {
                    self.in_string = false;
                    return Ok(at);
                }
                b'\\' => self.escape = true,
                _ => self.newline = Some(Newline { at: self.length + at as u64 - 1, bracket: false }),
            }
        }
    }

    /// Looks at how the line after a newline in a string begins; gives the index where the string goes on.
    fn after_newline(&mut self, mut newline: Newline, bytes: &[u8], from: usize) -> Result<usize, u64> {
        for (at, byte) in bytes.iter().enumerate().skip(from) {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => {}
                b'{' | b'[' => newline.bracket = true,
                b'"' if newline.bracket => return Err(newline.at),
                _ => {
                    self.newline = None;
                    return Ok(at);
                }
            }
        }
        self.newline = Some(newline);
        Ok(bytes.len())
    }

    /// Takes the first byte of a token: notes it where it is out of order, and what may follow it.
    fn token(&mut self, byte: u8, at: usize) {
        use Expect::*;
        let in_object = self.open.last() == Some(&true);
        let (fits, next) = match byte {
            b'{' => (matches!(self.expect, Value | ValueOrEnd), KeyOrEnd),
            b'[' => (matches!(self.expect, Value | ValueOrEnd), ValueOrEnd),
            b'}' => (matches!(self.expect, KeyOrEnd | CommaOrEnd), CommaOrEnd),
            b']' => (matches!(self.expect, ValueOrEnd | CommaOrEnd), CommaOrEnd),
            b':' => (self.expect == Colon, Value),
            b',' => (self.expect == CommaOrEnd, if in_object { Key } else { Value }),
            b'"' if matches!(self.expect, Key | KeyOrEnd) => (true, Colon),
            _ => (matches!(self.expect, Value | ValueOrEnd), CommaOrEnd),
        };
        if !fits && self.violation.is_none() {
            self.violation = Some(self.length + at as u64);
        }
        self.expect = next;
        match byte {
            b'"' => self.in_string = true,
            b'{' => self.open.push(true),
            b'[' => self.open.push(false),
            _ => {}
        }
    }
}

/// What one JSON value in `text`, which begins with its first byte, leaves of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whole {
    /// Nothing: the value fills the text.
    Exactly,
    /// The text ends within the value.
    Unfinished,
    /// More after the value, or the order of tokens within it is wrong though its brackets match.
    Odd,
    /// The text begins with no JSON value.
    Broken,
}

/// Looks at a text that is all there.
pub(super) fn whole(text: &[u8]) -> Whole {
    let mut scan = ValueScan::new();
    match scan.feed(text) {
        Fed::Done(length) if length == text.len() as u64 && scan.violation().is_none() => Whole::Exactly,
        Fed::Done(_) => Whole::Odd,
        Fed::More if scan.violation().is_some() => Whole::Broken,
        Fed::More => Whole::Unfinished,
        Fed::Broken(_) => Whole::Broken,
    }
}

/// Where the value that `text` begins with ends by its brackets, whatever is wrong within it; `None` where they do not
/// tell.
pub(in crate::record) fn extent(text: &[u8]) -> Option<usize> {
    match ValueScan::new().feed(text) {
        Fed::Done(length) => Some(length as usize),
        Fed::More | Fed::Broken(_) => None,
    }
}

/// Whether a byte belongs to a number or a word: all that has no meaning of its own in JSON's structure.
fn is_word(byte: u8) -> bool {
    WORD[byte as usize]
}

const WORD: [bool; 256] = {
    let mut table = [true; 256];
    let other = b" \t\r\n{}[]:,\"";
    let mut at = 0;
    while at < other.len() {
        table[other[at] as usize] = false;
        at += 1;
    }
    table
};

/// The bytes at which a scan through a string looks up.
const STRING_STOP: [bool; 256] = {
    let mut table = [false; 256];
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table[b'\n' as usize] = true;
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds the text in pieces of `size`.
    fn fed(text: &[u8], size: usize) -> Fed {
        let mut scan = ValueScan::new();
        for piece in text.chunks(size) {
            match scan.feed(piece) {
                Fed::More => {}
                other => return other,
            }
        }
        Fed::More
    }

    #[test]
    fn values_end_where_their_brackets_say_however_they_are_cut() {
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        let cases: Vec<(&str, Fed)> = vec![
            ("{} x", Fed::Done(2)),
            ("[]", Fed::Done(2)),
            ("{\"a\":[1,2,{\"b\":null}]}\n", Fed::Done(22)),
            (r#"{"a":"}]\"{["}"#, Fed::Done(14)),
            (r#"{"a":"\\"}x"#, Fed::Done(10)),
            (r#"{"a":"\\\""}x"#, Fed::Done(12)),
            ("{\n \"a\" : 1 ,\n \"b\" : [ ]\n}", Fed::Done(25)),
            ("\"text\",", Fed::Done(6)),
            ("123,", Fed::Done(3)),
            ("true]", Fed::Done(4)),
            ("123", Fed::More),
            ("{\"a\":1", Fed::More),
            ("{\"a\":\"", Fed::More),
            ("{\"a\":\"\\", Fed::More),
            (&deep, Fed::Done(20_000)),
            ("{\"a\":1]", Fed::Broken(6)),
            ("[1}", Fed::Broken(2)),
            ("{\"a\":\"x\n", Fed::More),
            ("{\"a\":\"x\n{\"", Fed::Broken(7)),
            ("{\"a\":\"x\n \n [ {\n\"", Fed::Broken(7)),
            ("{\"a\":\"\\\n{\"", Fed::Broken(7)),
            ("{\"a\":\"x\ny\"}", Fed::Done(11)),
            ("{\"a\":\"x\n\n\"}", Fed::Done(11)),
            ("{\"a\":\"x\n{y}\"}", Fed::Done(13)),
            ("{\"a\":\"\\\nx\"}", Fed::Done(11)),
            ("{\"a\":1,\n{\"b\":2}\n", Fed::Broken(8)),
            ("{\"a\":\n{\"b\":2}\n{\"c\":3}\n", Fed::Broken(14)),
            ("{\"a\" 1}", Fed::Done(7)),
            ("{\"a\" 1\n}", Fed::Broken(5)),
            ("{oops}", Fed::Done(6)),
        ];
        for (text, want) in cases {
            for size in [1, 2, 3, 7, 1 << 20] {
                assert_eq!(fed(text.as_bytes(), size), want, "{} in pieces of {size}", &text[..text.len().min(40)]);
            }
        }
    }

    #[test]
    fn nesting_without_end_is_broken_and_not_endless() {
        let mut scan = ValueScan::new();
        let piece = vec![b'['; 1 << 16];
        let broken = (0..100).find_map(|_| match scan.feed(&piece) {
            Fed::More => None,
            other => Some(other),
        });
        assert_eq!(broken, Some(Fed::Broken(MAX_DEPTH as u64)));
    }

    #[test]
    fn a_whole_text_is_told_from_a_part() {
        for (text, want) in [
            ("{\"a\":1}", Whole::Exactly),
            ("[{},{}]", Whole::Exactly),
            ("{\"a\":1}{\"b\":2}", Whole::Odd),
            ("{\"a\":1},", Whole::Odd),
            ("[{\"a\" 1}]", Whole::Odd),
            ("{\"a\":1", Whole::Unfinished),
            ("[", Whole::Unfinished),
            ("{\"a\"}", Whole::Odd),
            ("{\"a\":1]", Whole::Broken),
            ("{nonsense: ", Whole::Broken),
        ] {
            assert_eq!(whole(text.as_bytes()), want, "{text}");
        }
    }
}
