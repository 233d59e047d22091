//! Keys in the order in which records have them. A log's records have nearly the same keys in the same order, so the next
//! key is guessed and compared whole, which is cheaper than to search its end and to look up its meaning. A wrong guess
//! costs a look at its first bytes and changes nothing.

use super::fields::Slot;
use super::scan::{Scan, Text};

/// Keys beyond this many are not learned.
const KEYS: usize = 64;

/// How many keys ahead a guess goes: fields that a record lacks are passed over.
const AHEAD: usize = 4;

/// The keys of one kind of object, each with its meaning.
#[derive(Debug, Default)]
pub(super) struct Trail {
    keys: Vec<Known>,
}

#[derive(Debug)]
struct Known {
    /// The key as it stands in compact JSON: `"key":`.
    token: Box<str>,
    slot: Slot,
}

/// A place on the way through one object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    /// Nothing of the object was read yet.
    pub first: bool,
    next: usize,
}

impl Step {
    /// In front of the first key.
    pub const START: Step = Step { first: true, next: 0 };
}

impl Trail {
    /// Reads the next key if it is one of those that are likely here.
    #[inline]
    pub fn guess<'a>(&self, scan: &mut Scan<'a>, step: &mut Step) -> Option<(Text<'a>, Slot)> {
        let likely = self.keys.get(step.next..)?.iter().take(AHEAD);
        for (at, known) in likely.enumerate() {
            if let Some(raw) = scan.token(step.first, &known.token) {
                *step = Step { first: false, next: step.next + at + 1 };
                return Some((Text { raw, escaped: false }, known.slot));
            }
        }
        None
    }

    /// Notes the key that stood where none was guessed.
    pub fn learn(&mut self, key: Text<'_>, slot: Slot, step: &mut Step) {
        let known = |k: &Known| k.token.get(1..k.token.len() - 2) == Some(key.raw);
        if let Some(at) = self.keys.iter().position(known) {
            step.next = at + 1;
        } else if self.keys.len() < KEYS && !key.escaped && key.raw.len() < 256 {
            self.keys.insert(step.next, Known { token: format!("\"{}\":", key.raw).into(), slot });
            step.next += 1;
        }
    }
}
