//! What every shape of record is brought to before columns and identity are derived from it.
//!
//! Knows nothing of JSON's structure and nothing of columns: a [`Slot`] says what a field means, [`Fields::set`] takes a
//! scalar for it. Empty text counts as absent. Where a key occurs twice the last one wins.

use std::borrow::Cow;

use super::grant::{self, Grants};
use super::scan::Value;
use super::time::{self, Stamp};

/// A text borrowed from the record wherever possible.
pub(super) type Str<'a> = Cow<'a, str>;

/// Fields that are kept as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum T {
    /// `category`
    Category,
    /// `CategoryValue` of AzureActivity, which has a translated `Category` beside it.
    CategoryValue,
    /// `type`, in place of `category` in a few streams.
    CategoryType,
    /// `Type` of a Log Analytics row: its table.
    Table,
    Operation,
    /// `OperationNameValue` of AzureActivity, which has a translated `OperationName` beside it.
    OperationValue,
    Resource,
    /// `_ResourceId`, lower case, where a row has no `ResourceId`.
    ResourceAlt,
    Subscription,
    Group,
    Provider,
    ResultType,
    Signature,
    Description,
    Address,
    /// `httpRequest.clientIpAddress` of the Activity log.
    AddressAlt,
    Correlation,
    ClientInfo,
    RequestUri,
    /// `properties.id`
    Id,
    Tls,
    AddressAuthorization,
    Assignment,
    Trusted,
    Subnet,
    Endpoint,
    Algorithm,
    KeyType,
    ManagedIdentity,
    Issuer,
    TokenAddress,
    App,
    IdType,
    DelegatedScope,
    /// `authorization.scope` of the Activity log.
    Scope,
    /// `caller` of the Activity log: a user name or an object id.
    Caller,
    Status,
    SubStatus,
    StatusCode,
    EventData,
    EventName,
    Role,
    NetworkDefault,
    IpRule,
    RemovedIpRule,
    Sku,
    /// `ObjectName`, `VaultName`, `subject` and `Version` of an Event Grid notification.
    EventObject,
    EventVault,
    EventSubject,
    EventVersion,
    /// The vault's name in a column of its own.
    Vault,
    /// An object's name in a column of its own.
    Name,
    /// `objectType`, `objectName`, `objectVersion` and `outcome` of a policy evaluation.
    PolicyObjectType,
    PolicyObjectName,
    PolicyObjectVersion,
    PolicyOutcome,
    /// How many there are; no field.
    Count,
}

/// Fields that are true or false.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum B {
    Rbac,
    Policy,
    Address,
    PurgeProtection,
    RbacEnabled,
    Enabled,
    /// How many there are; no field.
    Count,
}

/// Fields that are 32-bit numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum N {
    Status,
    KeySize,
    SoftDeleteDays,
    /// How many there are; no field.
    Count,
}

/// Facts that several claims or fields can state; the lowest rank is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum R {
    /// The caller's object id.
    ObjectId,
    /// The caller's user name.
    User,
    /// Who gained or lost by a change.
    Target,
    /// How many there are; no field.
    Count,
}

/// What a field means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    Text(T),
    /// Text that decides something but has no column of its own: `extra` keeps it too.
    Note(T),
    Bool(B),
    Number(N),
    Ranked(R, u8),
    Time,
    /// `durationMs`
    Duration,
    Expires,
    KeyOperations,
    /// Permissions of a change to an access policy, by kind of object.
    Permissions(&'static str),
    /// `identity`: an object, JSON text or anything else.
    Identity,
    /// `claim` or `claims`.
    Claims,
    /// `properties`.
    Properties,
    /// An object, perhaps as JSON text, whose fields are looked up by their path.
    Object,
    /// `AdditionalFields`: columns of the same row.
    More,
    /// A request body as JSON text: read and kept.
    Body,
    /// A metric's field: the record is none of ours.
    Metric,
    /// A name that people give to a column, by its place in `columns`: counts where the proper column is missing.
    Alias(u16),
    /// No meaning here: goes to `extra`.
    Unknown,
}

impl Slot {
    /// Whether it says something of the caller.
    #[inline]
    pub fn of_the_caller(self) -> bool {
        use T::{App, Caller, DelegatedScope, IdType, Issuer, ManagedIdentity, TokenAddress};
        matches!(
            self,
            Slot::Text(ManagedIdentity | Issuer | TokenAddress | App)
                | Slot::Note(IdType | DelegatedScope | Caller)
                | Slot::Ranked(R::ObjectId | R::User, _)
        )
    }
}

/// What became of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken<'a> {
    /// It has a place of its own.
    Yes,
    /// It goes to `extra`, whether or not it was taken too.
    Extra,
    /// It was taken and drove out another: that one's key and JSON go to `extra`.
    Instead(&'a str, &'a str),
}

/// A column by one of people's names, until it is known whether the proper one is there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Alias<'a> {
    /// What it stands for.
    pub slot: Slot,
    pub key: &'a str,
    pub raw: &'a str,
    pub value: Value<'a>,
}

#[derive(Debug, Clone)]
struct Ranked<'a> {
    value: Str<'a>,
    rank: u8,
    key: &'a str,
    raw: &'a str,
}

/// One record, normalised.
#[derive(Debug, Clone)]
pub(super) struct Fields<'a> {
    /// A bit for each text that is there.
    present: u64,
    text: [Option<Str<'a>>; T::Count as usize],
    bools: [Option<bool>; B::Count as usize],
    numbers: [Option<i32>; N::Count as usize],
    ranked: [Option<Ranked<'a>>; R::Count as usize],
    pub time: Option<Stamp>,
    /// The time as the record writes it.
    pub time_text: Option<Str<'a>>,
    pub duration: Option<i64>,
    /// The duration as written, if it is no whole number.
    pub duration_text: Option<Str<'a>>,
    pub expires: Option<i64>,
    pub key_operations: Vec<String>,
    pub permissions: Vec<String>,
    /// The key of the time as the record writes it.
    pub time_key: &'a str,
    /// Columns by people's names.
    pub aliases: Vec<Alias<'a>>,
    /// Access policies out of the Activity log's bodies.
    pub grants: Option<Box<Grants>>,
    /// A row of an export: of a table, or with its time under the name that Log Analytics or a person gave it.
    pub exported: bool,
    /// The record holds an object, as raw records do.
    pub nested: bool,
    /// A metric's field was seen.
    pub metric: bool,
    /// Where the intake keeps the claims, if they were read by heart; then they may not be here.
    pub claims: Option<usize>,
    /// Something outside `identity` speaks of the caller too.
    pub stray: bool,
}

/// The most texts that [`Fields::present`] has bits for.
const _: () = assert!(T::Count as usize <= 64);

impl Default for Fields<'_> {
    fn default() -> Self {
        Fields {
            present: 0,
            text: [const { None }; T::Count as usize],
            bools: [None; B::Count as usize],
            numbers: [None; N::Count as usize],
            ranked: [const { None }; R::Count as usize],
            time: None,
            time_text: None,
            duration: None,
            duration_text: None,
            expires: None,
            key_operations: Vec::new(),
            permissions: Vec::new(),
            time_key: "",
            aliases: Vec::new(),
            grants: None,
            exported: false,
            nested: false,
            metric: false,
            claims: None,
            stray: false,
        }
    }
}

impl<'a> Fields<'a> {
    /// Forgets the record before; cheaper than new fields, as most of them are empty.
    pub fn clear(&mut self) {
        while self.present != 0 {
            self.text[self.present.trailing_zeros() as usize] = None;
            self.present &= self.present - 1;
        }
        self.bools = [None; B::Count as usize];
        self.numbers = [None; N::Count as usize];
        self.ranked = [const { None }; R::Count as usize];
        (self.time, self.time_text) = (None, None);
        (self.duration, self.duration_text) = (None, None);
        self.expires = None;
        self.key_operations.clear();
        self.permissions.clear();
        self.aliases.clear();
        self.grants = None;
        (self.exported, self.nested, self.metric) = (false, false, false);
        (self.claims, self.stray) = (None, false);
    }

    /// Takes a number that was found in a text.
    pub fn put_number(&mut self, field: N, number: i32) {
        self.numbers[field as usize] = Some(number);
    }

    fn put_text(&mut self, field: T, text: Str<'a>) {
        self.present |= 1 << field as u32;
        self.text[field as usize] = Some(text);
    }

    /// A text field, if the record has it.
    #[inline]
    pub fn text(&self, field: T) -> Option<&str> {
        self.text[field as usize].as_deref()
    }

    /// A truth value, if the record has it.
    pub fn bool(&self, field: B) -> Option<bool> {
        self.bools[field as usize]
    }

    /// A number, if the record has it.
    pub fn number(&self, field: N) -> Option<i32> {
        self.numbers[field as usize]
    }

    /// The most trusted statement of a fact.
    pub fn ranked(&self, field: R) -> Option<&str> {
        self.ranked[field as usize].as_ref().map(|r| r.value.as_ref())
    }

    /// The rank of that statement.
    pub fn rank_of(&self, field: R) -> Option<u8> {
        self.ranked[field as usize].as_ref().map(|r| r.rank)
    }

    /// Whether nothing was taken for a slot so far; several statements may stand for a ranked one.
    pub fn lacks(&self, slot: Slot) -> bool {
        match slot {
            Slot::Text(field) | Slot::Note(field) => self.text(field).is_none(),
            Slot::Number(field) => self.number(field).is_none(),
            Slot::Time => self.time_text.is_none(),
            Slot::Duration => self.duration.is_none(),
            _ => true,
        }
    }

    /// Takes a scalar for a slot. `key` and `raw` are its key and JSON as written.
    #[inline]
    pub fn set(&mut self, slot: Slot, key: &'a str, raw: &'a str, value: Value<'a>) -> Taken<'a> {
        let Some(text) = text_of(value) else {
            return match (slot, value) {
                (Slot::Bool(field), Value::Bool(b)) => {
                    self.bools[field as usize] = Some(b);
                    Taken::Yes
                }
                _ => Taken::Extra,
            };
        };
        if text.is_empty() {
            return Taken::Yes;
        }
        match slot {
            Slot::Text(field) => {
                self.put_text(field, text);
                Taken::Yes
            }
            Slot::Note(field) => {
                self.put_text(field, text);
                Taken::Extra
            }
            Slot::Ranked(field, rank) => self.rank(field, Ranked { value: text, rank, key, raw }),
            Slot::Time => self.set_time(text),
            Slot::Alias(_) => Taken::Extra,
            Slot::Duration => self.set_duration(text),
            Slot::Bool(field) => put(&mut self.bools[field as usize], truth(&text)),
            Slot::Number(field) => put(&mut self.numbers[field as usize], whole(&text).and_then(|n| n.try_into().ok())),
            Slot::Expires => put(&mut self.expires, time::expiry(&text)),
            Slot::KeyOperations | Slot::Permissions(_) => {
                for item in text.split([',', ' ', '"', '[', ']', '\n', '\r']).filter(|item| !item.is_empty()) {
                    self.push(slot, item);
                }
                Taken::Yes
            }
            _ => Taken::Extra,
        }
    }

    /// One item of a list.
    pub fn push(&mut self, slot: Slot, item: &str) {
        let item = item.to_ascii_lowercase();
        match slot {
            Slot::KeyOperations => self.key_operations.push(item),
            Slot::Permissions(kind) => self.permissions.push(format!("{kind}/{item}")),
            _ => {}
        }
    }

    /// Takes the access policies of a body. What was asked for is believed before what was answered.
    #[cold]
    pub fn body(&mut self, body: &str, answer: bool) {
        if let Some(new) = grant::read(body, answer)
            && self.grants.as_ref().is_none_or(|old| old.answer || !new.answer)
        {
            self.grants = Some(Box::new(new));
        }
    }

    fn rank(&mut self, field: R, new: Ranked<'a>) -> Taken<'a> {
        let place = &mut self.ranked[field as usize];
        match place {
            Some(old) if old.value.eq_ignore_ascii_case(&new.value) => {
                old.rank = old.rank.min(new.rank);
                Taken::Yes
            }
            Some(old) if new.rank > old.rank => Taken::Extra,
            _ => match place.replace(new.clone()) {
                Some(old) if old.rank > new.rank => Taken::Instead(old.key, old.raw),
                _ => Taken::Yes,
            },
        }
    }

    fn set_time(&mut self, text: Str<'a>) -> Taken<'a> {
        self.time = time::parse(&text);
        self.time_text = Some(text);
        if self.time.is_some_and(|stamp| !stamp.finer) { Taken::Yes } else { Taken::Extra }
    }

    fn set_duration(&mut self, text: Str<'a>) -> Taken<'a> {
        if let Some(n) = whole(&text) {
            self.duration = Some(n);
            return Taken::Yes;
        }
        self.duration = text.trim().parse::<f64>().ok().filter(|ms| ms.abs() < 1e15).map(|ms| ms.round() as i64);
        self.duration_text = Some(text);
        Taken::Extra
    }
}

fn put<'a, V>(place: &mut Option<V>, value: Option<V>) -> Taken<'a> {
    if value.is_none() {
        return Taken::Extra;
    }
    *place = value;
    Taken::Yes
}

#[inline]
fn text_of<'a>(value: Value<'a>) -> Option<Str<'a>> {
    match value {
        Value::Str(text) => Some(text.cow()),
        Value::Num(raw) => Some(Cow::Borrowed(raw)),
        Value::Null => Some(Cow::Borrowed("")),
        Value::Bool(_) | Value::Object | Value::Array => None,
    }
}

/// `200`, `"200"` and the `200.0` of exports.
fn whole(text: &str) -> Option<i64> {
    let text = text.trim();
    text.parse().ok().or_else(|| {
        let number: f64 = text.parse().ok()?;
        (number.fract() == 0.0 && number.abs() < 1e15).then_some(number as i64)
    })
}

fn truth(text: &str) -> Option<bool> {
    let text = text.trim();
    match text.len() {
        4 if text.eq_ignore_ascii_case("true") => Some(true),
        5 if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::scan::Text;

    fn text(raw: &str) -> Value<'_> {
        Value::Str(Text { raw, escaped: false })
    }

    #[test]
    fn numbers_and_texts_stand_for_each_other() {
        let mut f = Fields::default();
        for (value, status) in
            [(text("403"), 403), (Value::Num("404"), 404), (Value::Num("200.0"), 200), (text(" 401 "), 401)]
        {
            assert_eq!(f.set(Slot::Number(N::Status), "k", "", value), Taken::Yes);
            assert_eq!(f.number(N::Status), Some(status));
        }
        for value in [text("many"), Value::Bool(true), Value::Num("1e40"), Value::Num("2.5")] {
            assert_eq!(f.set(Slot::Number(N::Status), "k", "", value), Taken::Extra, "{value:?}");
        }
        assert_eq!(f.set(Slot::Text(T::Operation), "k", "", Value::Num("7")), Taken::Yes);
        assert_eq!(f.text(T::Operation), Some("7"));
        assert_eq!(f.set(Slot::Bool(B::Rbac), "k", "", text("True")), Taken::Yes);
        assert_eq!(f.bool(B::Rbac), Some(true));
        assert_eq!(f.set(Slot::Bool(B::Rbac), "k", "", text("perhaps")), Taken::Extra);
    }

    #[test]
    fn durations_may_have_a_fraction() {
        let mut f = Fields::default();
        assert_eq!(f.set(Slot::Duration, "k", "", text("78")), Taken::Yes);
        assert_eq!(f.set(Slot::Duration, "k", "", Value::Num("12.6")), Taken::Extra);
        assert_eq!((f.duration, f.duration_text.as_deref()), (Some(13), Some("12.6")));
    }

    #[test]
    fn the_lowest_rank_is_believed_and_the_other_goes_to_extra() {
        let mut f = Fields::default();
        assert_eq!(f.set(Slot::Ranked(R::User, 2), "unique_name", "\"b\"", text("b")), Taken::Yes);
        assert_eq!(f.set(Slot::Ranked(R::User, 0), "upn", "\"a\"", text("a")), Taken::Instead("unique_name", "\"b\""));
        assert_eq!(f.set(Slot::Ranked(R::User, 3), "name", "\"A\"", text("A")), Taken::Yes);
        assert_eq!(f.set(Slot::Ranked(R::User, 3), "name", "\"c\"", text("c")), Taken::Extra);
        assert_eq!(f.ranked(R::User), Some("a"));
    }
}
