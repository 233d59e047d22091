//! Bytes of whole records to batches of the event table.
//!
//! Every record that is read ends in one of three places: `events`, `rejects` (no JSON object, no UTF-8, Key Vault's but
//! without a believable time) or the count of `skipped` (another service's, or no log record at all). Nothing panics and
//! nothing is dropped unseen. Where a key occurs twice in an object the last one wins; a field of a wrong type goes to
//! `extra` and costs nothing else.

use arrow::array::RecordBatch;

use super::batch::Columns;
use super::completeness::Completeness;
use super::event::{Deriver, Origin, Owner};
use super::export;
use super::fields::{Fields, Slot};
use super::names::Place;
use super::raw::Intake;
use super::scan::{Fault, Scan, Text};
use super::tally::{Skipped, Tally};
use super::time::dates::{Dates, Evidence, Unread};
use super::trail::Step;
use super::{Ahead, REJECT_BYTES, Reject};

mod mend;
mod tables;
mod unwrap;

/// How deep envelopes and arrays may nest around a record.
const ENVELOPES: usize = 8;

/// How deep objects may lie in each other as text within a record.
const TEXTS: usize = 4;
/// Rejects that a text of any length may come to, and one more for so many bytes of it. Garbage of two bytes apiece would
/// else take a hundred times its size; what is beyond becomes one reject that counts it.
const FREE_REJECTS: usize = 8;
const BYTES_OF_A_REJECT: usize = 128;

/// How much of a bad time a reason quotes.
const QUOTED: usize = 64;

/// What came of the input since the last [`Decoder::finish`].
#[derive(Debug)]
pub struct Decoded {
    /// Events, in the order of the input: a batch of [`super::schema::batch`].
    pub events: RecordBatch,
    /// What could not be read.
    pub rejects: Vec<Reject>,
    /// Records met: events, rejects and skipped together.
    pub read: u64,
    /// Well-formed records that are not Key Vault's.
    pub skipped: u64,
    /// Rejects that are dated more than a day after their arrival.
    pub ahead: Ahead,
    /// What came of each source in turn; one that goes on in the next batch has another there.
    pub tallies: Vec<Tally>,
}

/// Decodes records of every shape; one for each worker, reused from block to block.
#[derive(Debug)]
pub struct Decoder {
    arrived: i64,
    source: String,
    dates: Dates,
    /// Why the time of the record in work was not read.
    unread: Option<Unread>,
    /// Times are looked at and nothing is decoded.
    scout: Option<Evidence>,
    /// The row in work came out of a table.
    table: bool,
    completeness: Completeness,
    columns: Columns,
    rejects: Vec<Reject>,
    skipped: u64,
    ahead: Ahead,
    /// Of the source at hand: what was skipped, and what had come before it.
    held: Skipped,
    tallies: Vec<Tally>,
    before: (usize, usize, u64),
    intake: Intake,
    deriver: Deriver,
    /// Where the record in work starts in the text.
    start: usize,
    crowd: Crowd,
    /// Bytes that were looked at again after damage, in the text at hand.
    rescanned: usize,
    /// Wrappers around the record in work.
    wrapped: usize,
}

/// How many rejects the text in work may still come to, and those beyond.
#[derive(Debug)]
struct Crowd {
    room: usize,
    beyond: u64,
    /// Where the first of those beyond stands in the input.
    at: u64,
}

impl Crowd {
    fn new(room: usize) -> Self {
        Crowd { room, beyond: 0, at: 0 }
    }
}

impl Decoder {
    /// For records that arrived at `arrived`, microseconds since the epoch: `ingested_at` of every row. A record whose
    /// time is more than a day later is not believed.
    pub fn new(arrived: i64) -> Self {
        Decoder {
            arrived,
            source: String::new(),
            dates: Dates::default(),
            unread: None,
            scout: None,
            table: false,
            completeness: Completeness::default(),
            columns: Columns::new(),
            rejects: Vec::new(),
            skipped: 0,
            ahead: Ahead::default(),
            held: Skipped::default(),
            tallies: Vec::new(),
            before: (0, 0, 0),
            intake: Intake::default(),
            deriver: Deriver::default(),
            start: 0,
            rescanned: 0,
            wrapped: 0,
            crowd: Crowd::new(usize::MAX),
        }
    }

    /// Names where the following records come from.
    pub fn source(&mut self, name: &str) {
        if self.source != name {
            self.tally();
            name.clone_into(&mut self.source);
        }
    }

    /// Closes the account of the source at hand.
    fn tally(&mut self) {
        let (events, rejects, skipped) = self.before;
        let tally = Tally {
            events: (self.columns.row - events) as u64,
            rejected: (self.rejects.len() - rejects) as u64,
            skipped: self.skipped - skipped,
            held: std::mem::take(&mut self.held),
            source: self.source.clone(),
        };
        self.before = (self.columns.row, self.rejects.len(), self.skipped);
        if tally.events + tally.rejected + tally.skipped > 0 {
            self.tallies.push(tally);
        }
    }

    /// How the following records write their dates.
    pub fn dates(&mut self, dates: Dates) {
        self.dates = dates;
    }

    /// A decoder that makes no events and only looks at how times are written, under what the user set.
    pub fn scout(dates: Dates) -> Self {
        Decoder { dates, scout: Some(Evidence::default()), ..Decoder::new(i64::MAX) }
    }

    /// What a scout saw.
    pub fn evidence(&self) -> Evidence {
        self.scout.clone().unwrap_or_default()
    }

    /// What the events since the last call say of status and caller.
    pub fn completeness(&mut self) -> Completeness {
        std::mem::take(&mut self.completeness)
    }

    /// Events since the last [`Decoder::finish`].
    pub fn rows(&self) -> usize {
        self.columns.row
    }

    /// Hands over what came of the input and starts anew.
    pub fn finish(&mut self) -> Decoded {
        self.tally();
        self.before = (0, 0, 0);
        let tallies = std::mem::take(&mut self.tallies);
        let (events, next) = std::mem::replace(&mut self.columns, Columns::new()).finish();
        self.columns = next;
        let rejects = std::mem::take(&mut self.rejects);
        let skipped = std::mem::take(&mut self.skipped);
        let ahead = std::mem::take(&mut self.ahead);
        let read = events.num_rows() as u64 + rejects.len() as u64 + skipped;
        Decoded { events, rejects, read, skipped, ahead, tallies }
    }

    /// One whole JSON text: a record, `{"records":[…]}`, `{"value":[…]}`, an array of records, `{"tables":[…]}`, or several
    /// of these one after the other. `offset` is its position in the input.
    pub fn value(&mut self, text: &[u8], offset: u64) {
        match simdutf8::basic::from_utf8(text) {
            Ok(text) => self.text(&mut Fields::default(), text, offset),
            Err(_) => self.no_utf8(text, offset),
        }
    }

    /// Texts as [`Decoder::value`] takes them, one a line; blank lines are passed over.
    pub fn lines(&mut self, bytes: &[u8], offset: u64) {
        // One check for the block; only a block that fails is checked line by line.
        let whole = simdutf8::basic::from_utf8(bytes).ok();
        let (mut start, mut fields) = (0, Fields::default());
        for end in memchr::memchr_iter(b'\n', bytes).chain([bytes.len()]) {
            let at = offset + start as u64;
            match whole.and_then(|text| text.get(start..end)) {
                Some(line) => self.text(&mut fields, line, at),
                None => self.value(&bytes[start..end], at),
            }
            start = end + 1;
            if start >= bytes.len() {
                break;
            }
        }
    }

    /// One row of a table of the query API: the columns' names and the row's JSON array.
    pub fn row(&mut self, columns: &[String], row: &[u8], offset: u64) {
        let Ok(text) = simdutf8::basic::from_utf8(row) else { return self.no_utf8(row, offset) };
        self.table_row(columns, text, offset);
    }

    /// One row of CSV without its line end, the header's names and what separates cells.
    pub fn csv_row(&mut self, header: &[String], delimiter: u8, row: &[u8], offset: u64) {
        let Ok(text) = simdutf8::basic::from_utf8(row) else { return self.no_utf8(row, offset) };
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() {
            return;
        }
        let mut object = String::with_capacity(text.len() * 2);
        if export::csv_object(header, delimiter.into(), text, &mut object) {
            self.rewritten(&object, text, offset);
        } else {
            let reason = format!("the row has more cells than the header's {}: check the file's quoting", header.len());
            self.reject(text.as_bytes(), offset, reason);
        }
    }

    fn table_row(&mut self, columns: &[String], text: &str, offset: u64) {
        let mut object = String::with_capacity(text.len() * 2);
        match export::row_object(columns, &mut Scan::new(text), &mut object) {
            Ok(true) => self.rewritten(&object, text, offset),
            Ok(false) => {
                let reason =
                    format!("the row has more values than the table's {} columns: export it again", columns.len());
                self.reject(text.as_bytes(), offset, reason);
            }
            Err(fault) => self.reject(text.as_bytes(), offset, fault.to_string()),
        }
    }

    /// Decodes an export's row from the object that it was brought to; rejects show the row as it came.
    fn rewritten(&mut self, object: &str, original: &str, offset: u64) {
        let before = self.rejects.len();
        self.table = true;
        self.text(&mut Fields::default(), object, offset);
        self.table = false;
        for reject in &mut self.rejects[before..] {
            reject.position = offset;
            reject.bytes = cut(original.as_bytes());
        }
    }

    /// Every value of a text. `f` is room for a record, which may have been used before.
    fn text<'a>(&mut self, f: &mut Fields<'a>, text: &'a str, offset: u64) {
        let room = FREE_REJECTS + text.len() / BYTES_OF_A_REJECT;
        // A row of a table is a text within a text.
        let outer = std::mem::replace(&mut self.crowd, Crowd::new(room));
        self.values(f, text, offset);
        let Crowd { beyond, at, .. } = std::mem::replace(&mut self.crowd, outer);
        if beyond > 0 {
            let reason =
                format!("{beyond} more pieces of one text from here on are no log records: check what wrote it");
            let from = usize::try_from(at.saturating_sub(offset)).unwrap_or_default();
            let bytes = cut(text.as_bytes().get(from..).unwrap_or_default());
            self.rejects.push(Reject { source: self.source.clone(), position: at, reason, bytes });
        }
    }

    fn values<'a>(&mut self, f: &mut Fields<'a>, text: &'a str, offset: u64) {
        let mut scan = Scan::new(text);
        self.rescanned = 0;
        while !scan.at_end() {
            self.start = scan.at();
            if let Err(fault) = self.element(f, &mut scan, offset, 0) {
                return self.damaged(f, text, offset, &fault);
            }
        }
    }

    fn element<'a>(&mut self, f: &mut Fields<'a>, scan: &mut Scan<'a>, offset: u64, depth: usize) -> Result<(), Fault> {
        let next = scan.peek()?;
        self.start = scan.at();
        match next {
            b'{' => self.object(f, scan, offset, depth),
            b'[' if depth == ENVELOPES => Err(Fault::Nested(scan.at())),
            b'[' => self.array(f, scan, offset, depth),
            _ => {
                let (at, raw) = (scan.at(), scan.skip()?);
                if self.is_record_in_quotes(raw, offset) {
                    return Ok(());
                }
                self.reject(
                    raw.as_bytes(),
                    offset + at as u64,
                    "a JSON value but no JSON object: not a log record".into(),
                );
                Ok(())
            }
        }
    }

    fn array<'a>(&mut self, f: &mut Fields<'a>, scan: &mut Scan<'a>, offset: u64, depth: usize) -> Result<(), Fault> {
        scan.open(b'[')?;
        while scan.loose_element()? {
            if let Err(fault) = self.element(f, scan, offset, depth + 1) {
                self.step_over_damage(scan, offset, fault)?;
            }
            self.start = scan.at();
        }
        Ok(())
    }

    fn object<'a>(&mut self, f: &mut Fields<'a>, scan: &mut Scan<'a>, offset: u64, depth: usize) -> Result<(), Fault> {
        let start = scan.at();
        let envelope = self.members(f, scan, offset, depth)?;
        let (text, offset) = (scan.since(start), offset + start as u64);
        if envelope {
            return Ok(());
        }
        f.exported |= !f.nested && !f.aliases.is_empty();
        if f.exported != self.intake.rows {
            // Exports and raw records seldom take turns, so the guess is mostly right.
            self.intake.rows = f.exported;
            self.members(f, &mut Scan::new(text), offset, depth)?;
            f.exported = self.intake.rows;
        }
        if f.claims.is_some() && f.stray {
            // The claims were known by heart, but are not the only word on the caller.
            self.intake.anew = true;
            let read = self.members(f, &mut Scan::new(text), offset, depth);
            self.intake.anew = false;
            read?;
        }
        match self.intake.inner.is_empty() {
            true => self.settle(f, text, offset),
            false => self.record_of_texts(std::mem::take(f), text, offset),
        }
        Ok(())
    }

    /// Reads an object; true if it is an envelope, whose records are decoded then.
    fn members<'a>(
        &mut self,
        f: &mut Fields<'a>,
        scan: &mut Scan<'a>,
        offset: u64,
        depth: usize,
    ) -> Result<bool, Fault> {
        let (mut step, mut envelope) = (Step::START, false);
        f.clear();
        f.exported = self.table;
        self.intake.clear();
        scan.open(b'{')?;
        while let Some((key, slot)) = self.intake.key(scan, &mut step, Place::Top)? {
            if slot == Slot::Unknown && self.envelope(f, scan, key, offset, depth)? {
                envelope = true;
            } else if envelope {
                scan.skip()?;
            } else {
                self.intake.member(f, scan, key, slot, Place::Top)?;
            }
        }
        Ok(envelope)
    }

    /// Decodes the records under `key` if it makes its object an envelope.
    fn envelope<'a>(
        &mut self,
        f: &mut Fields<'a>,
        scan: &mut Scan<'a>,
        key: Text<'a>,
        offset: u64,
        depth: usize,
    ) -> Result<bool, Fault> {
        if !matches!(key.raw, "records" | "Records" | "value" | "results" | "tables" | "Tables") || scan.peek()? != b'['
        {
            return Ok(false);
        }
        if depth == ENVELOPES {
            return Err(Fault::Nested(scan.at()));
        }
        let mut ahead = scan.clone();
        ahead.open(b'[')?;
        // Nothing else has `records`: what is none among them is told, and costs the others nothing.
        if !key.raw.eq_ignore_ascii_case("records") && !matches!(ahead.peek()?, b'{' | b']' | b',') {
            return Ok(false);
        }
        if key.raw.eq_ignore_ascii_case("tables") {
            self.tables(scan, offset)?;
        } else {
            self.array(f, scan, offset, depth)?;
        }
        Ok(true)
    }

    /// Reads what the record carried as text, then lands it.
    #[cold]
    fn record_of_texts(&mut self, fields: Fields<'_>, text: &str, offset: u64) {
        self.deeper(fields, text, offset, TEXTS);
    }

    /// Reads the texts that were met last, which may hold texts once more.
    fn deeper(&mut self, fields: Fields<'_>, text: &str, offset: u64, levels: usize) {
        if levels == 0 {
            self.intake.keep_unread();
        }
        let inner = std::mem::take(&mut self.intake.inner);
        let mut fields = fields;
        if inner.is_empty() {
            return self.settle(&mut fields, text, offset);
        }
        self.intake.read_inner(&mut fields, &inner);
        self.deeper(fields, text, offset, levels - 1);
    }

    /// Reads what only the whole record tells, then lands it.
    #[inline]
    fn settle(&mut self, fields: &mut Fields<'_>, text: &str, offset: u64) {
        self.intake.settle(fields);
        if fields.time.is_none_or(|time| time.naive) {
            self.read_time(fields);
        }
        self.land(fields, text, offset);
    }

    /// A time in another form than the raw records' own.
    #[cold]
    fn read_time(&mut self, fields: &mut Fields<'_>) {
        let Some(text) = fields.time_text.as_deref() else { return };
        let read = self.dates.read(text, fields.time_key);
        fields.time = read.as_ref().ok().copied();
        self.unread = read.err();
    }

    /// Skips, rejects or appends a record.
    fn land(&mut self, fields: &Fields<'_>, text: &str, offset: u64) {
        if self.deriver.owner(fields) == Owner::Other {
            self.other(fields, text, offset);
        } else if let Some(evidence) = &mut self.scout {
            evidence.see(fields.time_text.as_deref().unwrap_or_default(), fields.time_key, self.dates.zone);
        } else if fields.time.is_some_and(|time| time.believable(self.arrived)) {
            let origin = Origin { source: &self.source, arrived: self.arrived };
            self.completeness.add(self.deriver.append(fields, &mut self.intake, origin, &mut self.columns));
        } else {
            if let Some(time) = fields.time.filter(|time| time.micros() > self.arrived) {
                self.ahead.add(time.micros());
            }
            let reason = bad_time(fields.time_text.as_deref(), self.unread.take());
            self.reject(text.as_bytes(), offset, reason);
        }
    }

    fn no_utf8(&mut self, bytes: &[u8], offset: u64) {
        let at = std::str::from_utf8(bytes).err().map_or(0, |error| error.valid_up_to());
        let reason = format!("not valid UTF-8 at byte {at} of the record: check the file's encoding");
        self.reject(bytes, offset, reason);
    }

    fn reject(&mut self, bytes: &[u8], position: u64, reason: String) {
        if self.scout.is_some() {
            return;
        }
        if self.crowd.room == 0 {
            if self.crowd.beyond == 0 {
                self.crowd.at = position;
            }
            self.crowd.beyond += 1;
            return;
        }
        self.crowd.room -= 1;
        self.rejects.push(Reject { source: self.source.clone(), position, reason, bytes: cut(bytes) });
    }
}

fn cut(bytes: &[u8]) -> Vec<u8> {
    bytes[..bytes.len().min(REJECT_BYTES)].to_vec()
}

fn bad_time(text: Option<&str>, unread: Option<Unread>) -> String {
    let quoted: String = text.unwrap_or_default().chars().take(QUOTED).collect();
    match (text, unread) {
        (None, _) => "no time: a record needs one in `time` or `TimeGenerated`".into(),
        (_, None) => {
            format!("time {quoted:?} is not between 2015 and a day after arrival: check the clock that wrote it")
        }
        (_, Some(unread)) => format!("time {quoted:?} {unread}"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
