//! Reads one JSON object into [`Fields`]: the diagnostic record and, through `names`, every other shape.
//!
//! One pass, no value tree. What has no meaning goes to `extra` at its own place. Objects given as JSON text
//! (`identity` on Managed HSM, the dynamic columns of exports) are set aside as [`Inner`] and read afterwards, since
//! their text has to outlive the fields that borrow from it.

use super::absent;
use super::caller::{self, Known};
use super::columns;
use super::extra::Extra;
use super::fields::{Alias, Fields, N, R, Slot, T, Taken};
use super::grant;
use super::memo::Memo;
use super::names::{self, Place};
use super::outcome;
use super::scan::{Fault, Scan, Text, Value};
use super::trail::{Step, Trail};

/// How deep objects are looked into; below, their text goes to `extra` as it stands.
const DEPTH: usize = 16;

/// An object that a record carried as JSON text.
#[derive(Debug)]
pub(super) struct Inner {
    slot: Slot,
    place: Place,
    /// The path of the object that the text stood in.
    path: String,
    key: String,
    text: String,
}

/// An `identity` as it was read once, and what came of it. Callers come again and again with the same claims.
#[derive(Debug)]
pub(super) struct Claims {
    /// Its JSON.
    raw: Box<str>,
    /// What of it went to `extra`.
    extra: Box<str>,
    pub caller: Known,
}

/// The longest `identity` that is kept.
const LONGEST: usize = 8 * 1024;

/// What reading one record needs; reused from record to record.
#[derive(Debug, Default)]
pub(super) struct Intake {
    pub extra: Extra,
    /// By the text up to the first closing brace.
    pub claims: Memo<Claims>,
    /// Claims are read anew.
    pub anew: bool,
    /// The record in work is taken for a row of an export, where some texts stand for nothing.
    pub rows: bool,
    /// Keys of objects at each [`Place`].
    trails: [Trail; 4],
    /// Within an `identity`; cleared where it says something about other things than the caller.
    pure: Option<bool>,
    /// Objects given as text, in the record's order.
    pub inner: Vec<Inner>,
    path: String,
    depth: usize,
}

impl Intake {
    /// Forgets the record before.
    pub fn clear(&mut self) {
        self.extra.clear();
        self.inner.clear();
        self.path.clear();
        self.depth = 0;
        self.pure = None;
    }

    /// The next key of an object at `place`, with its colon, and what it means; none behind the closing brace.
    #[inline]
    pub fn key<'a>(
        &mut self,
        scan: &mut Scan<'a>,
        step: &mut Step,
        place: Place,
    ) -> Result<Option<(Text<'a>, Slot)>, Fault> {
        let plain = self.path.is_empty();
        if plain && let Some(known) = self.trails[place as usize].guess(scan, step) {
            return Ok(Some(known));
        }
        let Some(key) = scan.key(&mut step.first)? else { return Ok(None) };
        let slot = self.slot(key, place);
        if plain {
            self.trails[place as usize].learn(key, slot, step);
        }
        Ok(Some((key, slot)))
    }

    /// Reads the value that belongs to `key` of an object at `place`.
    #[inline]
    pub fn member<'a>(
        &mut self,
        f: &mut Fields<'a>,
        scan: &mut Scan<'a>,
        key: Text<'a>,
        slot: Slot,
        place: Place,
    ) -> Result<(), Fault> {
        scan.space();
        let start = scan.at();
        let value = match scan.value() {
            Ok(value) => value,
            Err(fault) => scan.no_number(fault)?,
        };
        f.nested |= value == Value::Object && place == Place::Top;
        match value {
            Value::Object if slot == Slot::Identity && place == Place::Top => self.identity(f, scan, key),
            Value::Object => self.object(f, scan, key, slot, place),
            Value::Array => self.array(f, scan, key, slot),
            value => {
                self.scalar(f, key, scan.since(start), slot, place, value);
                Ok(())
            }
        }
    }

    /// Reads `identity`, or knows it from a record before.
    fn identity<'a>(&mut self, f: &mut Fields<'a>, scan: &mut Scan<'a>, key: Text<'a>) -> Result<(), Fault> {
        if f.claims.is_some() {
            f.stray = true;
        }
        let (start, rest) = (scan.at(), scan.rest());
        let brace = memchr::memchr(b'}', rest.as_bytes()).unwrap_or_default();
        let head = rest.get(..brace).unwrap_or_default();
        let by_heart = !self.anew && !self.rows && !f.stray && brace > 0 && self.depth == 0 && self.path.is_empty();
        if by_heart && let Some(place) = self.claims.find(head) {
            let claims = self.claims.at(place);
            if rest.starts_with(&*claims.raw) {
                scan.step_over(claims.raw.len());
                self.extra.again(&claims.extra);
                f.claims = Some(place);
                return Ok(());
            }
        }
        let (mark, inner) = (self.extra.mark(), self.inner.len());
        self.pure = Some(true);
        self.object(f, scan, key, Slot::Identity, Place::Top)?;
        let pure = self.pure.take() == Some(true);
        let raw = scan.since(start);
        let closed = raw.get(brace..).is_some_and(|tail| tail.bytes().all(|b| b == b'}'));
        if by_heart && pure && closed && inner == self.inner.len() && raw.len() <= LONGEST {
            let (raw, extra) = (raw.into(), self.extra.since(mark).into());
            let caller = Known::new(&caller::of(f));
            f.claims = Some(self.claims.keep(head, Claims { raw, extra, caller }));
        }
        Ok(())
    }

    #[inline]
    fn slot(&mut self, key: Text<'_>, place: Place) -> Slot {
        let name = key.cow();
        if self.path.is_empty()
            && let Some(slot) = names::hot(place, &name)
        {
            return slot;
        }
        if self.path.is_empty() && place == Place::Top {
            names::flatten(columns::without_brackets(&name), &mut self.path);
            let slot = names::column(&self.path);
            self.path.clear();
            return slot;
        }
        let mark = self.path.len();
        names::flatten(&name, &mut self.path);
        let slot = names::cold(place, &self.path);
        self.path.truncate(mark);
        slot
    }

    #[inline]
    fn scalar<'a>(
        &mut self,
        f: &mut Fields<'a>,
        key: Text<'a>,
        raw: &'a str,
        slot: Slot,
        place: Place,
        value: Value<'a>,
    ) {
        if self.rows && is_absent(key, slot, value) {
            return;
        }
        if slot == Slot::Time {
            f.exported |= !matches!(key.raw, "time" | "eventTimestamp");
            f.time_key = key.raw;
        }
        if let Slot::Alias(place) = slot {
            f.aliases.push(Alias { slot: columns::slot(place), key: key.raw, raw, value });
            return;
        }
        f.metric |= slot == Slot::Metric;
        match &mut self.pure {
            None => f.stray |= slot.of_the_caller(),
            Some(pure) => *pure &= slot.of_the_caller() || slot == Slot::Unknown,
        }
        if is_object(slot) && self.set_aside(f, key, slot, place, value) {
            return;
        }
        match f.set(slot, key.raw, raw, value) {
            Taken::Yes => {}
            Taken::Extra => self.extra.put(key.raw, raw),
            Taken::Instead(key, raw) => self.extra.put(key, raw),
        }
    }

    /// Keeps an object that came as text for later. A request body stays in `extra` too, as the text that it is.
    fn set_aside(&mut self, f: &mut Fields<'_>, key: Text<'_>, slot: Slot, place: Place, value: Value<'_>) -> bool {
        let Value::Str(text) = value else { return false };
        let mut text = text.cow();
        if slot == Slot::Body {
            f.body(&text, is_answer(key.raw));
        }
        if (text.trim_start().starts_with('"') || grant::is_escaped(&text))
            && let Some(object) = grant::unescaped(&text)
        {
            text = object.to_string().into();
        }
        let whole = text.trim_start().starts_with('{') && {
            let mut scan = Scan::new(&text);
            scan.skip().is_ok() && scan.at_end()
        };
        if whole {
            let (path, key) = (self.path.clone(), key.raw.to_owned());
            self.inner.push(Inner { slot, place, path, key, text: text.into_owned() });
        }
        whole && slot != Slot::Body
    }

    /// Keeps objects that lie too deep to be read as the texts that they are.
    pub fn keep_unread(&mut self) {
        for object in self.inner.drain(..).filter(|object| object.slot != Slot::Body) {
            self.extra.put_text(&object.key, &object.text);
        }
    }

    /// Reads objects that were set aside. Their text is known to be JSON.
    pub fn read_inner<'a>(&mut self, f: &mut Fields<'a>, inner: &'a [Inner]) {
        for object in inner {
            self.read_one(f, object);
        }
    }

    fn read_one<'a>(&mut self, f: &mut Fields<'a>, inner: &'a Inner) {
        self.depth = 0;
        self.path.clone_from(&inner.path);
        let key = Text { raw: &inner.key, escaped: inner.key.contains('\\') };
        if inner.slot == Slot::Body {
            self.extra.mute();
        }
        let mut scan = Scan::new(&inner.text);
        scan.space();
        // A fault cannot be: the text was scanned to its end when it was set aside.
        let _ = self.object(f, &mut scan, key, inner.slot, inner.place);
        if inner.slot == Slot::Body {
            self.extra.unmute();
        }
    }

    /// Takes the columns by people's names whose proper ones are missing; the others go to `extra`.
    pub fn settle(&mut self, f: &mut Fields<'_>) {
        if f.aliases.is_empty() && !f.exported {
            return;
        }
        for alias in std::mem::take(&mut f.aliases) {
            let Alias { key, raw, value, .. } = alias;
            let slot = if f.exported { meant(alias) } else { Slot::Unknown };
            let time = slot == Slot::Time && f.lacks(slot);
            match if f.lacks(slot) { f.set(slot, key, raw, value) } else { Taken::Extra } {
                Taken::Yes => {}
                Taken::Extra => self.extra.put(key, raw),
                Taken::Instead(key, raw) => self.extra.put(key, raw),
            }
            if time {
                f.time_key = key;
            }
        }
        // The Activity log's columns for its own status are what people call the HTTP status too.
        let request = f.text(T::Operation).is_some_and(|name| !name.contains('/'));
        if f.exported && request && f.lacks(Slot::Number(N::Status)) {
            let stated = [T::StatusCode, T::Status].into_iter().find_map(|field| outcome::status_of(f.text(field)?));
            if let Some(status) = stated {
                f.put_number(N::Status, status);
            }
        }
    }

    fn object<'a>(
        &mut self,
        f: &mut Fields<'a>,
        scan: &mut Scan<'a>,
        key: Text<'a>,
        slot: Slot,
        place: Place,
    ) -> Result<(), Fault> {
        if slot == Slot::Body && !self.extra.is_muted() {
            f.body(scan.clone().skip()?, is_answer(key.raw));
        }
        if self.depth == DEPTH {
            self.extra.put(key.raw, scan.skip()?);
            return Ok(());
        }
        let within = match slot {
            Slot::Identity => Place::Identity,
            Slot::Claims => Place::Claims,
            Slot::Properties if place == Place::Top => Place::Properties,
            _ => place,
        };
        let named = within == place && slot != Slot::More;
        let mark = self.path.len();
        if named {
            names::flatten(&key.cow(), &mut self.path);
        }
        self.depth += 1;
        let object = self.extra.enter(key.raw);
        scan.open(b'{')?;
        let mut step = Step::START;
        while let Some((key, slot)) = self.key(scan, &mut step, within)? {
            self.member(f, scan, key, slot, within)?;
        }
        self.extra.leave(object);
        self.depth -= 1;
        self.path.truncate(mark);
        Ok(())
    }

    fn array<'a>(&mut self, f: &mut Fields<'a>, scan: &mut Scan<'a>, key: Text<'a>, slot: Slot) -> Result<(), Fault> {
        let raw = scan.skip()?;
        self.pure = self.pure.map(|pure| pure && slot == Slot::Unknown);
        if !matches!(slot, Slot::KeyOperations | Slot::Permissions(_)) || !texts(raw, |item| f.push(slot, item)) {
            self.extra.put(key.raw, raw);
        }
        Ok(())
    }
}

/// What a column by one of people's names stands for, by its value too: ids and addresses show what they are.
fn meant(alias: Alias<'_>) -> Slot {
    let Value::Str(text) = alias.value else { return alias.slot };
    let text = text.cow();
    match alias.slot {
        Slot::Note(T::Vault) if text.starts_with('/') => Slot::Text(T::ResourceAlt),
        Slot::Note(T::Name) | Slot::Ranked(R::ObjectId, _) if text.contains("://") => Slot::Text(T::Id),
        Slot::Ranked(R::ObjectId, _) if text.contains('@') => Slot::Note(T::Caller),
        Slot::Ranked(R::User, _) if caller::is_guid(&text) => Slot::Note(T::Caller),
        Slot::Number(N::Status) if text.trim().parse::<f64>().is_err() => Slot::Text(T::Signature),
        slot => slot,
    }
}

/// Whether a value of an export's row stands for nothing. A firewall's bypass may be `None`, and an object be called so.
fn is_absent(key: Text<'_>, slot: Slot, value: Value<'_>) -> bool {
    let Value::Str(text) = value else { return false };
    if !absent::is_nothing(&text.cow()) || key.raw.contains("ypass") {
        return false;
    }
    let named = matches!(slot, Slot::Alias(place) if columns::slot(place) == Slot::Note(T::Name));
    !(named && absent::may_be_a_name(text.raw))
}

/// Whether a body is that of an answer.
fn is_answer(key: &str) -> bool {
    key.get(..8).is_some_and(|head| head.eq_ignore_ascii_case("response"))
}

fn is_object(slot: Slot) -> bool {
    matches!(slot, Slot::Identity | Slot::Properties | Slot::Claims | Slot::Object | Slot::More | Slot::Body)
}

/// Hands over the items of an array if all are text.
fn texts(raw: &str, mut take: impl FnMut(&str)) -> bool {
    let Ok(items) = serde_json::from_str::<Vec<String>>(raw) else { return false };
    items.iter().for_each(|item| take(item));
    true
}
