//! Reading on behind damage within one text. The framer gives values of which only the brackets are sound, and lines of
//! which not even that is known; what is wrong within costs the record that it stands in and none beside it.

use super::super::damage;
use super::super::fields::Fields;
use super::super::frame::extent;
use super::super::scan::{Fault, Scan};
use super::Decoder;

/// How often all of a text may be looked at again, on average, to find where damage ends.
const RESCANS: usize = 8;

impl Decoder {
    /// Rejects one element of an array and stands behind it, if its brackets say where it ends; else the fault goes on.
    #[cold]
    pub(super) fn step_over_damage(&mut self, scan: &mut Scan<'_>, offset: u64, fault: Fault) -> Result<(), Fault> {
        let start = self.start;
        let rest = scan.tail(start);
        self.rescanned += rest.len();
        if self.rescanned > RESCANS * (start + rest.len()) {
            return Err(fault);
        }
        let length = extent(rest.as_bytes()).ok_or(fault)?;
        let element = rest.get(..length).ok_or(fault)?;
        if length == 0 || damage::next_record(element.as_bytes(), 1).is_some() {
            // It was cut short and swallowed another.
            return Err(fault);
        }
        scan.go_to(start + length);
        self.reject(element.as_bytes(), offset + start as u64, fault.to_string());
        Ok(())
    }

    /// Rejects what is wrong from the record in work on, up to where another plainly begins, and reads on from there.
    #[cold]
    pub(super) fn damaged<'a>(&mut self, f: &mut Fields<'a>, text: &'a str, offset: u64, fault: &Fault) {
        let mut fault = *fault;
        loop {
            let start = self.start;
            // Nesting without end is no damage, and every level of it begins like a record.
            let nested = matches!(fault, Fault::Nested(_));
            let next = damage::next_record(text.as_bytes(), start + 1).filter(|_| !nested);
            let piece = text.as_bytes().get(start..next.unwrap_or(text.len())).unwrap_or_default();
            // Nothing left: an envelope whose lines go on after its first record's, or were cut off there.
            if !piece.trim_ascii().is_empty() {
                self.reject(piece, offset + start as u64, fault.to_string());
            }
            let Some(next) = next else { return };
            let mut scan = Scan::new(text);
            scan.go_to(next);
            match self.behind_damage(f, &mut scan, offset) {
                Ok(()) => return,
                Err(another) => fault = another,
            }
        }
    }

    /// Reads records to the text's end. Brackets that nothing opened are what the damage left.
    fn behind_damage<'a>(&mut self, f: &mut Fields<'a>, scan: &mut Scan<'a>, offset: u64) -> Result<(), Fault> {
        loop {
            scan.pass_over(b",]}");
            if scan.at_end() {
                return Ok(());
            }
            self.start = scan.at();
            if !matches!(scan.peek()?, b'{' | b'[') {
                return Err(Fault::Unexpected(scan.at()));
            }
            self.element(f, scan, offset, 0)?;
        }
    }
}
