//! UTF-16 to UTF-8, as bytes come. What is no UTF-16 (half of a surrogate pair, an odd byte at the end) becomes U+FFFD.

use std::io::{self, Read};

/// Which byte of a unit comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

/// The order that the first bytes of an input tell, and whether a byte order mark tells it; `None` where it is no UTF-16.
/// Without a mark: ASCII with every other byte empty, in all of `head`.
pub(super) fn order(head: &[u8]) -> Option<(Order, bool)> {
    match head {
        // The mark of UTF-32.
        [0xff, 0xfe, 0, 0, ..] => return None,
        [0xff, 0xfe, ..] => return Some((Order::Little, true)),
        [0xfe, 0xff, ..] => return Some((Order::Big, true)),
        _ => {}
    }
    let units = || head.chunks_exact(2);
    let all = |ascii: usize| units().all(|unit| matches!(unit[ascii], 1..=0x7f) && unit[1 - ascii] == 0);
    match head.len() {
        4.. if all(0) => Some((Order::Little, false)),
        4.. if all(1) => Some((Order::Big, false)),
        _ => None,
    }
}

/// Turns units into text; keeps what a piece ends in the middle of.
#[derive(Debug)]
pub(super) struct Decoder {
    order: Order,
    /// A byte of half a unit.
    byte: Option<u8>,
    /// The first half of a surrogate pair.
    high: Option<u16>,
    /// Text that nobody has taken yet, from `taken` on.
    text: Vec<u8>,
    taken: usize,
}

/// Bytes of UTF-16 that are read at a time.
const PIECE: usize = 32 << 10;

impl Decoder {
    pub(super) fn new(order: Order) -> Self {
        Self { order, byte: None, high: None, text: Vec::new(), taken: 0 }
    }

    /// Reads from `source` as much UTF-8 as `target` takes.
    pub(super) fn read(&mut self, target: &mut [u8], source: &mut dyn Read) -> io::Result<usize> {
        while self.taken == self.text.len() && !target.is_empty() {
            self.text.clear();
            self.taken = 0;
            let mut piece = vec![0; PIECE.min(target.len().max(2))];
            let length = source.read(&mut piece)?;
            if length == 0 {
                self.finish();
                break;
            }
            self.feed(&piece[..length]);
        }
        let length = target.len().min(self.text.len() - self.taken);
        target[..length].copy_from_slice(&self.text[self.taken..self.taken + length]);
        self.taken += length;
        Ok(length)
    }

    fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let Some(first) = self.byte.take() else {
                self.byte = Some(*byte);
                continue;
            };
            let pair = [first, *byte];
            self.unit(if self.order == Order::Little { u16::from_le_bytes(pair) } else { u16::from_be_bytes(pair) });
        }
    }

    fn unit(&mut self, unit: u16) {
        match self.high.take() {
            Some(high) if (0xdc00..0xe000).contains(&unit) => {
                char::decode_utf16([high, unit]).flatten().for_each(|c| self.put(c));
            }
            Some(_) => {
                self.put(char::REPLACEMENT_CHARACTER);
                self.unit(unit);
            }
            None if (0xd800..0xdc00).contains(&unit) => self.high = Some(unit),
            None => self.put(char::from_u32(unit.into()).unwrap_or(char::REPLACEMENT_CHARACTER)),
        }
    }

    fn finish(&mut self) {
        let halves = usize::from(self.byte.take().is_some()) + usize::from(self.high.take().is_some());
        (0..halves).for_each(|_| self.put(char::REPLACEMENT_CHARACTER));
    }

    fn put(&mut self, c: char) {
        self.text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Gives a few bytes a read.
    struct Slowly<'a>(&'a [u8], usize);

    impl Read for Slowly<'_> {
        fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
            let length = self.0.len().min(self.1).min(target.len());
            target[..length].copy_from_slice(&self.0[..length]);
            self.0 = &self.0[length..];
            Ok(length)
        }
    }

    fn decoded(bytes: &[u8], order: Order, size: usize) -> Vec<u8> {
        let (mut decoder, mut source) = (Decoder::new(order), Slowly(bytes, size));
        let (mut out, mut piece) = (Vec::new(), vec![0; size]);
        loop {
            match decoder.read(&mut piece, &mut source).unwrap() {
                0 => return out,
                length => out.extend_from_slice(&piece[..length]),
            }
        }
    }

    proptest! {
        #[test]
        fn a_text_in_utf16_reads_as_the_text(text in "\\PC{0,40}", size in 1usize..9) {
            let units: Vec<u16> = text.encode_utf16().collect();
            let little: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
            let big: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
            prop_assert_eq!(decoded(&little, Order::Little, size), text.as_bytes());
            prop_assert_eq!(decoded(&big, Order::Big, size), text.as_bytes());
        }

        #[test]
        fn any_bytes_read_as_the_standard_library_has_them(bytes in proptest::collection::vec(any::<u8>(), 0..40), size in 1usize..9) {
            let units: Vec<u16> = bytes.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]])).collect();
            let mut want = String::from_utf16_lossy(&units);
            if bytes.len() % 2 == 1 {
                want.push(char::REPLACEMENT_CHARACTER);
            }
            prop_assert_eq!(decoded(&bytes, Order::Little, size), want.into_bytes());
        }
    }
}
