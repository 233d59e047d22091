//! One JSON document of any size: yields the records within an envelope as they come, or the document itself where it
//! is one record. Keeps no more than the value at hand.
//!
//! Envelopes: `{"records":[…]}`, `{"value":[…]}` (a list of an API, as the portal and the CLI write it), a bare array,
//! `{"tables":[{"columns":[…],"rows":[…]}]}` (the query API). Keys compare without case; other keys may stand
//! anywhere beside them.

use std::ops::Range;
use std::sync::Arc;

use serde::Deserialize;

use super::super::REJECT_BYTES;
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
    /// Anything else in an envelope, or a member of a record.
    Other,
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
    tables: bool,
    columns: Option<Arc<Vec<String>>>,
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
            tables: false,
            columns: None,
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

    /// Whether it is the answer of the query API.
    pub(super) fn is_tables(&self) -> bool {
        self.tables
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
        self.current.as_ref().filter(|current| current.role != Role::Other).map(|current| current.start)
    }

    /// Lets go of what has outgrown the limit: it will be rejected when its end is known. Call when a step wants more.
    pub(super) fn shed(&mut self, view: View<'_>) {
        if self.lost.is_none()
            && let Some(start) = self.held()
            && view.end() - start > self.limit
        {
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
            let is_object = matches!(frame, Frame::Root | Frame::Table);
            let step = match (is_object, self.next, byte) {
                // A comma before the end is forgiven.
                (true, _, b'}') | (false, _, b']') => self.close(view),
                (_, Next::Separator, b',') => {
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
                self.columns = None;
                None
            }
            _ => None,
        }
    }

    /// Enters one element of an array.
    fn element(&mut self, frame: Frame, byte: u8) -> Option<Step> {
        if frame == Frame::Tables && byte == b'{' {
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

    /// Enters one member of an object: reads its key and as much after it as tells what its value is. Where that is
    /// not all in memory, nothing moves.
    fn member(&mut self, frame: Frame, view: View<'_>) -> Option<Step> {
        let key_at = self.position;
        let Some(member) = look_ahead(view, key_at) else {
            // A key does not go on for ever.
            return Some(if view.end() - key_at > self.limit { self.broken(key_at) } else { Step::More });
        };
        let Member { key, value_at, list_of } = match member {
            Ok(member) => member,
            Err(at) => return Some(self.broken(at)),
        };
        let is = |name: &str| key.eq_ignore_ascii_case(name.as_bytes());
        let objects = matches!(list_of, Some(b'{' | b']'));
        match frame {
            Frame::Root if objects && (is("records") || is("value")) => self.open_envelope(Frame::Records, value_at),
            Frame::Root if objects && is("tables") => {
                self.tables = true;
                self.open_envelope(Frame::Tables, value_at);
            }
            Frame::Table if is("columns") => self.begin(value_at, Role::Columns),
            Frame::Table if is("rows") && list_of.is_some() => return self.rows(value_at, list_of, view),
            _ => self.begin(value_at, Role::Other),
        }
        None
    }

    fn rows(&mut self, at: u64, list_of: Option<u8>, view: View<'_>) -> Option<Step> {
        if self.columns.is_some() {
            self.enter(Frame::Rows, at);
            return None;
        }
        self.begin(at, Role::Other);
        if list_of == Some(b']') {
            return None;
        }
        Some(Step::Reject {
            start: at,
            head: head(view, at..view.end()),
            reason: "the rows of a table come before its columns, so nobody can tell what they are: \
                     write \"columns\" before \"rows\""
                .to_owned(),
        })
    }

    /// The outermost object turns out to be an envelope: it is no record and need not be held.
    fn open_envelope(&mut self, frame: Frame, at: u64) {
        self.envelope = true;
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
                let columns = self.columns.clone();
                Some(self.hand_out(start, view, columns))
            }
            Role::Columns => self.read_columns(start, view),
            Role::Other => None,
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
        /// A column of the query API, in the spelling of its present or its first version, or as a bare name.
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Column {
            Object {
                #[serde(alias = "Name", alias = "ColumnName", alias = "columnName")]
                name: String,
            },
            Name(String),
        }
        let range = start..self.position;
        let length = range.end - range.start;
        let (head, reason) = match self.lost.take() {
            Some(lost) => (lost.head, self.oversize(length)),
            None => match serde_json::from_slice::<Vec<Column>>(view.slice(range.clone())) {
                Ok(columns) => {
                    let name = |(Column::Object { name } | Column::Name(name))| name;
                    self.columns = Some(Arc::new(columns.into_iter().map(name).collect()));
                    return None;
                }
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

/// A member of an object, as far as it takes to know what to do with it.
struct Member<'a> {
    /// The key as it stands between its quotes.
    key: &'a [u8],
    value_at: u64,
    /// Where the value is an array: the first byte of its first element, or `]`.
    list_of: Option<u8>,
}

/// Reads the member whose key's quote stands at `key_at`; `None` where too little is in memory, `Err` with the offset
/// of what is wrong.
fn look_ahead(view: View<'_>, key_at: u64) -> Option<Result<Member<'_>, u64>> {
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
    Some(Ok(Member { key: view.slice(key_at + 1..key_end - 1), value_at, list_of }))
}
