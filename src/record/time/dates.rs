//! What an input leaves open about its times: the order of day and month, and the zone. Both are settled for a whole
//! input, from its rows that allow one order only, from its column's name, or by the user; no row is guessed.

use std::str::FromStr;

use arrow::array::timezone::Tz;
use chrono::{LocalResult, NaiveDateTime, Offset, TimeDelta, TimeZone};

use super::spoken::{self, Date};
use super::{DAY, Stamp, days, number, parse};

/// Which of two numbers is the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// `5/11/2026` is the fifth of November.
    DayFirst,
    /// `5/11/2026` is the eleventh of May.
    MonthFirst,
}

impl Order {
    fn first(self) -> &'static str {
        if self == Order::DayFirst { "day" } else { "month" }
    }
}

/// A text that names no order of dates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write day-first or month-first")]
pub struct NoOrder;

impl FromStr for Order {
    type Err = NoOrder;

    fn from_str(text: &str) -> Result<Self, NoOrder> {
        match text.trim().to_ascii_lowercase().as_str() {
            "day-first" | "dmy" => Ok(Order::DayFirst),
            "month-first" | "mdy" => Ok(Order::MonthFirst),
            _ => Err(NoOrder),
        }
    }
}

/// The zone of times that name none.
#[derive(Debug, Clone, Copy)]
pub struct Zone(Tz);

/// A text that names no zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write UTC, an offset such as +01:00, or a zone such as Europe/Berlin")]
pub struct NoZone;

impl FromStr for Zone {
    type Err = NoZone;

    fn from_str(text: &str) -> Result<Self, NoZone> {
        let text = text.trim();
        let upper = text.to_ascii_uppercase();
        let offset = ["UTC", "GMT"].iter().find_map(|name| upper.strip_prefix(name)).unwrap_or(&upper).trim();
        if matches!(offset, "" | "Z") && !text.is_empty() {
            return Ok(Zone("+00:00".parse().map_err(|_| NoZone)?));
        }
        let hours = offset.strip_prefix(['+', '-']).filter(|rest| rest.bytes().all(|b| b.is_ascii_digit()));
        if let Some(hours) = hours.filter(|hours| matches!(hours.len(), 1 | 2)) {
            return format!("{}{hours:0>2}:00", &offset[..1]).parse().map(Zone).map_err(|_| NoZone);
        }
        let name = if offset.starts_with(['+', '-']) { offset } else { text };
        name.parse().map(Zone).map_err(|_| NoZone)
    }
}

impl Zone {
    /// Seconds of UTC that a clock of this zone shows as `local`. An hour that occurs twice is taken the first time, one
    /// that is left out by the offset before it.
    fn utc(self, local: i64) -> Option<i64> {
        let time = |seconds: i64| chrono::DateTime::from_timestamp(seconds, 0).map(|t| t.naive_utc());
        let offset = |time: &NaiveDateTime| match self.0.offset_from_local_datetime(time) {
            LocalResult::Single(offset) | LocalResult::Ambiguous(offset, _) => {
                Some(i64::from(offset.fix().local_minus_utc()))
            }
            LocalResult::None => None,
        };
        let wanted = time(local)?;
        let before = || offset(&wanted.checked_sub_signed(TimeDelta::hours(3))?);
        Some(local - offset(&wanted).or_else(before)?)
    }
}

/// How an input writes its dates, as far as it is settled.
#[derive(Debug, Clone, Copy, Default)]
pub struct Dates {
    /// Day or month first; none where the input has no date that needs it.
    pub order: Option<Order>,
    /// The zone of times without one; UTC unless set.
    pub zone: Option<Zone>,
}

/// Why a time was not read: what stands behind the time in a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::record) enum Unread {
    /// It is in no known form.
    #[error("is in no known form: expected RFC 3339; docs/records.md lists what else is read")]
    Unknown,
    /// Day and month could change places: both readings.
    #[error("could be {day_first} or {month_first}: give --dates day-first or --dates month-first")]
    Either {
        day_first: String,
        month_first: String,
        /// It stands between dots.
        dots: bool,
    },
    /// It allows only the other order than the input's.
    #[error("is no date with the {} first, as the other dates of this input have it", .0.first())]
    Contradicts(Order),
    /// Its column is in a local time that nobody named.
    #[error("of column '{0}' is local: say of which zone with --zone")]
    Local(String),
}

impl Dates {
    /// Reads a time in any known form. `column` is its column's name, which may end in a zone: `TimeGenerated [UTC]`.
    pub(in crate::record) fn read(&self, text: &str, column: &str) -> Result<Stamp, Unread> {
        let text = text.trim();
        let stamp = match parse(text).or_else(|| number::read(text)) {
            Some(stamp) => stamp,
            None => self.spoken(text)?,
        };
        if !stamp.naive {
            return Ok(stamp);
        }
        let zone = match zone_of(column) {
            Said::Zone(zone) => Some(zone),
            Said::Local if self.zone.is_none() => return Err(Unread::Local(column.to_owned())),
            Said::Local | Said::Nothing => self.zone,
        };
        let Some(zone) = zone else { return Ok(stamp) };
        let seconds = zone.utc(stamp.seconds).ok_or(Unread::Unknown)?;
        Ok(Stamp { seconds, ..stamp })
    }

    fn spoken(&self, text: &str) -> Result<Stamp, Unread> {
        let spoken = spoken::read(text).ok_or(Unread::Unknown)?;
        let day = match spoken.date {
            Date::Certain(year, month, day) => days(year, month, day).ok_or(Unread::Unknown)?,
            Date::Either { first, second, year, dots } => {
                self.day(days(year, second, first), days(year, first, second), dots)?
            }
        };
        let seconds = day * DAY + spoken.clock - spoken.offset.unwrap_or_default();
        let naive = spoken.offset.is_none();
        Ok(Stamp { seconds, nanos: spoken.nanos, finer: spoken.finer, naive })
    }

    /// The day that is meant, out of both readings.
    fn day(&self, day_first: Option<i64>, month_first: Option<i64>, dots: bool) -> Result<i64, Unread> {
        match (day_first, month_first) {
            (None, None) => Err(Unread::Unknown),
            (Some(one), Some(other)) if one == other => Ok(one),
            (Some(one), Some(other)) => match self.order {
                Some(Order::DayFirst) => Ok(one),
                Some(Order::MonthFirst) => Ok(other),
                None => Err(Unread::Either { day_first: written(one), month_first: written(other), dots }),
            },
            (Some(day), None) if self.order != Some(Order::MonthFirst) => Ok(day),
            (None, Some(day)) if self.order != Some(Order::DayFirst) => Ok(day),
            (Some(_), None) => Err(Unread::Contradicts(Order::MonthFirst)),
            (None, Some(_)) => Err(Unread::Contradicts(Order::DayFirst)),
        }
    }
}

/// `5 November 2026`
fn written(day: i64) -> String {
    let time = chrono::DateTime::from_timestamp(day * DAY, 0);
    time.map_or_else(String::new, |time| time.format("%-d %B %Y").to_string())
}

/// What a column's name says of its zone.
enum Said {
    Zone(Zone),
    Local,
    Nothing,
}

fn zone_of(column: &str) -> Said {
    let Some((inner, square)) = bracketed(column) else { return Said::Nothing };
    match inner.parse() {
        Ok(zone) => Said::Zone(zone),
        // The portal's own brackets hold nothing but a zone; people's may hold anything.
        Err(_) if square || inner.to_ascii_lowercase().contains("local") => Said::Local,
        Err(_) => Said::Nothing,
    }
}

/// What stands in brackets at the end of a column's name, and whether they are square.
fn bracketed(column: &str) -> Option<(&str, bool)> {
    let column = column.trim_end();
    let inner = |open: char, close: char| Some(column.strip_suffix(close)?.rsplit_once(open)?.1);
    inner('[', ']').map(|inner| (inner, true)).or_else(|| Some((inner('(', ')')?, false)))
}

/// What the rows of an input say about the order of day and month; bounded, whatever their number.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    day_first: Option<String>,
    month_first: Option<String>,
    /// The first that allows both, with both readings.
    either: Option<(String, String, String)>,
    /// All that allow both stand between dots.
    dots: bool,
    local: Option<String>,
    naive: Option<String>,
    /// A date was seen whose day and month are the same number.
    same: bool,
}

/// The most characters of a time that a message quotes.
const QUOTED: usize = 64;

impl Evidence {
    /// Notes one time as written, and its column.
    pub(in crate::record) fn see(&mut self, text: &str, column: &str, zone: Option<Zone>) {
        let open = Dates { order: None, zone };
        let quoted = || text.trim().chars().take(QUOTED).collect::<String>();
        match open.read(text, column) {
            Err(Unread::Either { day_first, month_first, dots }) => {
                self.dots = dots && (self.dots || self.either.is_none());
                self.either.get_or_insert_with(|| (quoted(), day_first, month_first));
            }
            Err(Unread::Local(column)) => {
                self.local.get_or_insert(column);
                self.order_of(text, quoted);
            }
            Ok(_) => self.order_of(text, quoted),
            Err(_) => {}
        }
        let unsaid = zone.is_none() && matches!(zone_of(column), Said::Nothing);
        if unsaid && self.naive.is_none() && spoken::read(text.trim()).is_some_and(|t| t.offset.is_none()) {
            self.naive = parse(text).is_none().then(quoted);
        }
    }

    /// Notes which order a time allows, if only one.
    fn order_of(&mut self, text: &str, quoted: impl Fn() -> String) {
        let Some(Date::Either { first, second, year, .. }) = spoken::read(text.trim()).map(|spoken| spoken.date) else {
            return;
        };
        match (days(year, second, first), days(year, first, second)) {
            (Some(_), None) => drop(self.day_first.get_or_insert_with(quoted)),
            (None, Some(_)) => drop(self.month_first.get_or_insert_with(quoted)),
            // The eleventh of November says nothing, and nothing of the days after it.
            _ => self.same = true,
        }
    }

    /// Whether anything was seen that needs the rest of the input to be looked at.
    pub fn open(&self) -> bool {
        self.either.is_some()
            || self.day_first.is_some()
            || self.month_first.is_some()
            || self.local.is_some()
            || self.same
    }

    /// Whether the order is known by some row.
    pub fn decided(&self) -> bool {
        self.day_first.is_some() || self.month_first.is_some()
    }

    /// A time that names no zone and was taken as UTC.
    pub fn without_zone(&self) -> Option<&str> {
        self.naive.as_deref()
    }

    /// The input's order of dates under what the user set, or why the input is refused: a sentence that begins behind
    /// its name.
    pub fn settle(&self, asked: Dates) -> Result<Dates, String> {
        if let (Some(column), None) = (&self.local, asked.zone) {
            return Err(format!(
                "column '{column}' holds a local time, and nothing says of which zone: give --zone, for instance \
                 --zone Europe/Berlin or --zone +01:00"
            ));
        }
        if asked.order.is_some() {
            return Ok(asked);
        }
        let order = match (&self.day_first, &self.month_first, &self.either) {
            (Some(_), None, _) => Some(Order::DayFirst),
            (None, Some(_), _) => Some(Order::MonthFirst),
            (Some(day), Some(month), Some((both, ..))) => {
                return Err(format!(
                    "its dates are in two orders: '{day}' has the day first, '{month}' the month, and '{both}' could \
                     be either: split the file, or give --dates day-first or --dates month-first"
                ));
            }
            (Some(_), Some(_), None) | (None, None, None) => None,
            (None, None, Some(_)) if self.dots => Some(Order::DayFirst),
            (None, None, Some((text, day_first, month_first))) => {
                return Err(format!(
                    "'{text}' could be {day_first} or {month_first}, and no row allows only one order: give \
                     --dates day-first or --dates month-first"
                ));
            }
        };
        Ok(Dates { order, ..asked })
    }
}
