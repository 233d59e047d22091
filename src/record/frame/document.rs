//! One JSON document of any size: yields the records within an envelope as they come, or the document itself where it
//! is one record. Keeps no more than the value at hand.
//!
//! Envelopes: `{"records":[…]}`, `{"value":[…]}` (a list of an API, as the portal and the CLI write it), `{"results":[…]}`
//! and `{"hits":{"hits":[…]}}` (answers of searches), a bare array, `{"tables":[{"columns":[…],"rows":[…]}]}` (the query
//! API), Kusto's frames (`tables`). Keys compare without case; other keys may stand anywhere beside them.

use std::ops::Range;
use std::sync::Arc;

use super::super::form::Form;
use super::super::{REJECT_BYTES, export};
use super::member::{Member, first_key_is, look_ahead};
use super::tables::{self, Tables};
use super::value::{Fed, ValueScan};
use super::window::View;

/// What came next in a document.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing more without more bytes.
    More,
    /// A record.
    Value(Range<u64>),
    /// A row of a table, with the names of its columns.
    Row(Range<u64>, Arc<Vec<String>>),
    /// A table that begins here and holds no logs.
    Foreign { start: u64, columns: Arc<Vec<String>> },
    /// Something to reject; the document goes on.
    Reject {
        start: u64,
        /// The first bytes.
        head: Vec<u8>,
        reason: String,
    },
    /// No JSON: what begins at `from` turned out wrong at `at`. The document is over.
    Broken { from: u64, at: u64 },
    /// The document ended; [`Document::position`] is after it.
    Closed,
}

/// A container whose members matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Frame {
    /// The outermost object: a record, unless one of its keys makes it an envelope.
    Root,
    /// An array of records.
    Records,
    /// The object under `hits` of a search's answer.
    Hits,
    /// The array under `tables`.
    Tables,
    /// One object in it.
    Table,
    /// The array under a table's `rows`.
    Rows,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// A member or the container's end.
    First,
    /// A member, after a comma.
    Member,
    /// A comma or the container's end.
    Separator,
}

/// What a value that is being scanned is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Record,
    Row,
    /// A table's `columns`.
    Columns,
    /// A table's `TableKind`.
    Kind,
    /// A table's `TableId`.
    Id,
    /// Anything else in an envelope, or a member of a record. In an envelope it is held as long as a record would be: it
    /// may turn out to have swallowed some.
    Other,
    /// The same, no longer held.
    Passed,
}

#[derive(Debug)]
struct Current {
    start: u64,
    scan: ValueScan,
    role: Role,
}

/// Something that grew beyond the limit and is no longer held.
#[derive(Debug)]
struct Lost {
    start: u64,
    head: Vec<u8>,
}

/// A scan over one document; see the module.
#[derive(Debug)]
pub(super) struct Document {
    start: u64,
    position: u64,
    limit: u64,
    frames: Vec<Frame>,
    next: Next,
    current: Option<Current>,
    envelope: bool,
    form: Form,
    tables: Tables,
    lost: Option<Lost>,
}

impl Document {
    /// A document whose first byte, `{` or `[`, lies at `start`. No record may be longer than `limit` bytes.
    pub(super) fn new(start: u64, opener: u8, limit: u64) -> Self {
        let frame = if opener == b'{' { Frame::Root } else { Frame::Records };
        Self {
            start,
            position: start + 1,
            limit,
            frames: vec![frame],
            next: Next::First,
            current: None,
            envelope: opener == b'[',
            form: if opener == b'[' { Form::Array } else { Form::Json },
            tables: Tables::default(),
            lost: None,
        }
    }

    /// Offset of the document's first byte.
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// Offset of the next byte to look at.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// What it has turned out to be so far.
    pub(super) fn form(&self) -> Form {
        self.form
    }

    /// The first byte that must stay in memory.
    pub(super) fn keep(&self) -> u64 {
        if self.lost.is_some() { self.position } else { self.held().unwrap_or(self.position) }
    }

    /// Where what may yet be handed out begins.
    fn held(&self) -> Option<u64> {
        if !self.envelope {
            return Some(self.start);
        }
        self.current.as_ref().filter(|current| current.role != Role::Passed).map(|current| current.start)
    }

    /// Lets go of what has outgrown the limit: it will be rejected when its end is known. Call when a step wants more.
    pub(super) fn shed(&mut self, view: View<'_>) {
        if self.lost.is_none()
            && let Some(start) = self.held()
            && view.end() - start > self.limit
        {
            if let Some(current) = self.current.as_mut().filter(|current| self.envelope && current.role == Role::Other)
            {
                current.role = Role::Passed;
                return;
            }
            self.lost = Some(Lost { start, head: head(view, start..view.end()) });
        }
    }

    /// What is left of the document when the stream has ended within it.
    pub(super) fn unfinished(&mut self, view: View<'_>) -> Unfinished {
        self.shed(view);
        if let Some(lost) = self.lost.take() {
            let length = view.end() - lost.start;
            return Unfinished::Reject { start: lost.start, head: lost.head, reason: self.oversize(length) };
        }
        let from = self.keep();
        match self.current.as_ref().and_then(|current| Some(current.start + current.scan.violation()?)) {
            Some(at) => Unfinished::Broken { from, at },
            None => Unfinished::Incomplete { from },
        }
    }

    /// Goes on to the next thing worth telling.
    pub(super) fn step(&mut self, view: View<'_>) -> Step {
        loop {
            if let Some(current) = self.current.take() {
                match self.scan(current, view) {
                    Some(step) => return step,
                    None => continue,
                }
            }
            let Some(frame) = self.frames.last().copied() else { return Step::Closed };
            let Some((at, byte)) = view.token(self.position) else {
                self.position = view.end();
                return Step::More;
            };
            self.position = at;
            if self.next == Next::First && frame == Frame::Records && byte == b'{' && !self.knows_frames(at, view) {
                return Step::More;
            }
            let is_object = matches!(frame, Frame::Root | Frame::Table | Frame::Hits);
            let step = match (is_object, self.next, byte) {
                // A comma before the end is forgiven.
                (true, _, b'}') | (false, _, b']') => self.close(view),
                (_, Next::Separator, b',') => {
                    self.position += 1;
                    self.next = Next::Member;
                    None
                }
                // So is one before the first element, and one too many: what a shipper leaves that adds a head and a tail.
                (false, Next::First | Next::Member, b',') => {
                    self.position += 1;
                    self.next = Next::Member;
                    None
                }
                (true, Next::First | Next::Member, b'"') => self.member(frame, view),
                (false, Next::First | Next::Member, b'{' | b'[' | b'"') => self.element(frame, byte),
                (false, Next::First | Next::Member, byte) if !b",:}".contains(&byte) => self.element(frame, byte),
                // A missing comma between records is forgiven: the next record is plain to see.
                (false, Next::Separator, b'{' | b'[') => self.element(frame, byte),
                _ => Some(self.broken(at)),
            };
            if let Some(step) = step {
                return step;
            }
        }
    }

    /// No JSON at `at`: what is held turns out wrong with it.
    fn broken(&self, at: u64) -> Step {
        let held = if self.lost.is_some() { None } else { self.held() };
        Step::Broken { from: held.unwrap_or(at), at }
    }

    /// Leaves a container.
    fn close(&mut self, view: View<'_>) -> Option<Step> {
        self.position += 1;
        self.next = Next::Separator;
        match self.frames.pop()? {
            Frame::Root if !self.envelope => Some(self.hand_out(self.start, view, None)),
            Frame::Table => {
                self.tables.close();
                None
            }
            _ => None,
        }
    }

    /// Enters one element of an array.
    fn element(&mut self, frame: Frame, byte: u8) -> Option<Step> {
        let table = frame == Frame::Tables || (self.form == Form::Kusto && self.frames.len() == 1);
        if table && byte == b'{' {
            self.tables.open();
            self.enter(Frame::Table, self.position);
            return None;
        }
        let role = match frame {
            Frame::Records => Role::Record,
            Frame::Rows => Role::Row,
            _ => Role::Other,
        };
        self.begin(self.position, role);
        None
    }

    /// Looks whether the first element of a bare array is one of Kusto's frames; false where more bytes are needed to say.
    fn knows_frames(&mut self, at: u64, view: View<'_>) -> bool {
        let is_frame = if self.frames.len() > 1 { Some(false) } else { first_key_is(view, at, tables::FRAME_KEY) };
        if is_frame == Some(true) {
            self.form = Form::Kusto;
        }
        is_frame.is_some()
    }

    /// Enters one member of an object: reads its key and as much after it as tells what its value is. Where that is
    /// not all in memory, nothing moves.
    fn member(&mut self, frame: Frame, view: View<'_>) -> Option<Step> {
        let key_at = self.position;
        let Some(member) = look_ahead(view, key_at) else {
            // A key does not go on for ever.
            return Some(if view.end() - key_at > self.limit { self.broken(key_at) } else { Step::More });
        };
        let Member { key, value_at, opener, list_of } = match member {
            Ok(member) => member,
            Err(at) => return Some(self.broken(at)),
        };
        let is = |name: &str| key.eq_ignore_ascii_case(name.as_bytes());
        // Nothing else has `records`: what is none among them is told, and costs the others nothing.
        let objects = list_of.is_some_and(|first| is("records") || matches!(first, b'{' | b']' | b','));
        match frame {
            Frame::Root if objects && (is("records") || is("value") || is("results")) => {
                self.open_envelope(Frame::Records, value_at, Form::Envelope);
            }
            Frame::Root if opener == b'{' && is("hits") => self.open_envelope(Frame::Hits, value_at, Form::Envelope),
            Frame::Hits if objects && is("hits") => self.enter(Frame::Records, value_at),
            Frame::Root if objects && is("tables") => self.open_envelope(Frame::Tables, value_at, Form::Tables),
            Frame::Table if is("columns") => self.begin(value_at, Role::Columns),
            Frame::Table if is("tablekind") => self.begin(value_at, Role::Kind),
            Frame::Table if is("tableid") => self.begin(value_at, Role::Id),
            Frame::Table if is("rows") && list_of.is_some() => return self.rows(value_at, list_of, view),
            _ => self.begin(value_at, Role::Other),
        }
        None
    }

    /// Enters the rows of a table that holds logs; passes over others.
    fn rows(&mut self, at: u64, list_of: Option<u8>, view: View<'_>) -> Option<Step> {
        let primary = self.tables.is_primary();
        let columns = self.tables.columns();
        let logs = columns.as_ref().is_some_and(|columns| export::is_of_logs(columns.iter().map(String::as_str)));
        if logs && primary != Some(false) {
            self.enter(Frame::Rows, at);
            return None;
        }
        self.begin(at, Role::Other);
        let asked_for = primary.unwrap_or(columns.is_none() || self.tables.is_first());
        if list_of == Some(b']') || !asked_for {
            return None;
        }
        Some(match columns {
            Some(columns) => Step::Foreign { start: at, columns },
            None => Step::Reject {
                start: at,
                head: head(view, at..view.end()),
                reason: "the rows of a table come before its columns, so nobody can tell what they are: \
                         write \"columns\" before \"rows\""
                    .to_owned(),
            },
        })
    }

    /// The outermost object turns out to be an envelope: it is no record and need not be held.
    fn open_envelope(&mut self, frame: Frame, at: u64, form: Form) {
        self.envelope = true;
        self.form = form;
        self.lost = None;
        self.enter(frame, at);
    }

    fn enter(&mut self, frame: Frame, at: u64) {
        self.frames.push(frame);
        self.position = at + 1;
        self.next = Next::First;
    }

    fn begin(&mut self, at: u64, role: Role) {
        self.position = at;
        self.current = Some(Current { start: at, scan: ValueScan::new(), role });
    }

    /// Goes on with the value at hand.
    fn scan(&mut self, mut current: Current, view: View<'_>) -> Option<Step> {
        let start = current.start;
        let fed = match current.scan.feed(view.from(start + current.scan.length())) {
            // What is left of the stream is a number or a word: it is all there.
            Fed::More if view.ended && current.scan.is_word() => Fed::Done(current.scan.length()),
            fed => fed,
        };
        match fed {
            Fed::More => {
                self.position = view.end();
                self.current = Some(current);
                Some(Step::More)
            }
            Fed::Done(length) => {
                self.position = start + length;
                self.next = Next::Separator;
                self.finish(current.role, start, view)
            }
            Fed::Broken(at) => {
                self.current = Some(current);
                Some(self.broken(start + at))
            }
        }
    }

    /// Uses a value that ended at `position`.
    fn finish(&mut self, role: Role, start: u64, view: View<'_>) -> Option<Step> {
        match role {
            Role::Record => Some(self.hand_out(start, view, None)),
            Role::Row => {
                let columns = self.tables.columns();
                Some(self.hand_out(start, view, columns))
            }
            Role::Kind | Role::Id => {
                let text = view.slice(start..self.position);
                if role == Role::Kind {
                    self.tables.kind(text)
                } else {
                    self.tables.id(text)
                }
                None
            }
            Role::Columns => self.read_columns(start, view),
            Role::Other | Role::Passed => None,
        }
    }

    /// A record or row from `start` to the position, or its reject if it is longer than the limit.
    fn hand_out(&mut self, start: u64, view: View<'_>, columns: Option<Arc<Vec<String>>>) -> Step {
        let range = start..self.position;
        let length = range.end - range.start;
        let head = match self.lost.take() {
            Some(lost) => lost.head,
            None if length > self.limit => head(view, range.clone()),
            None => {
                return match columns {
                    Some(columns) => Step::Row(range, columns),
                    None => Step::Value(range),
                };
            }
        };
        Step::Reject { start, head, reason: self.oversize(length) }
    }

    fn read_columns(&mut self, start: u64, view: View<'_>) -> Option<Step> {
        let range = start..self.position;
        let length = range.end - range.start;
        let (head, reason) = match self.lost.take() {
            Some(lost) => (lost.head, self.oversize(length)),
            None => match self.tables.read_columns(view.slice(range.clone())) {
                Ok(()) => return None,
                Err(error) => (
                    head(view, range),
                    format!("the columns of a table cannot be read ({error}): each must be an object with a \"name\""),
                ),
            },
        };
        Some(Step::Reject { start, head, reason })
    }

    fn oversize(&self, length: u64) -> String {
        oversize("record", length, self.limit)
    }
}

/// What an unfinished document leaves.
#[derive(Debug)]
pub(super) enum Unfinished {
    /// The beginning of more, from here to the stream's end.
    Incomplete { from: u64 },
    /// What no continuation could make right.
    Broken { from: u64, at: u64 },
    /// Something that had outgrown the limit before the end came.
    Reject { start: u64, head: Vec<u8>, reason: String },
}

/// The reason for rejecting what is too long.
pub(super) fn oversize(what: &str, length: u64, limit: u64) -> String {
    format!(
        "a {what} of {length} bytes is longer than the limit of {limit} bytes and was skipped: \
         repair the source, or raise max_record_bytes"
    )
}

/// The first bytes of a range, as many as a reject keeps.
pub(super) fn head(view: View<'_>, range: Range<u64>) -> Vec<u8> {
    view.slice(range.start..range.end.min(range.start + REJECT_BYTES as u64)).to_vec()
}
