//! One pass over the events of some days in time order, all roll-ups at once: a row is looked up by numbers, never by
//! texts. An hour's detail (which objects, which ten seconds) lives for that hour, a day's rows until its files are
//! written; nothing grows with the history.

use std::ops::Range;
use std::path::PathBuf;

use datafusion::common::{HashMap, HashSet};

use super::super::error::StoreError;
use super::super::file::DAY;
use super::super::table::{DataFile, discard};
use super::cursor::{Cursor, Rows, TEXTS, Texts};
use super::rows::{DayFiles, write_day};

/// Microseconds of an hour, of ten minutes, of ten seconds.
pub(super) const HOUR: i64 = 3_600_000_000;
const TEN_MINUTES: i64 = HOUR / 6;
const TEN_SECONDS: i64 = HOUR / 360;

/// At most this many files are held open by one pass; the others are opened again for each hour.
const OPEN_FILES: usize = if cfg!(test) { 3 } else { 100 };

/// Places in [`TEXTS`].
const VAULT: usize = 0;
const PRINCIPAL: usize = 1;
const OUTCOME: usize = 6;
const OBJECT_TYPE: usize = 7;
const OBJECT_NAME: usize = 8;
const ADDRESS: usize = 9;
const CLIENT: usize = 10;

/// The columns of [`TEXTS`] that tell rows of `activity` apart: the first seven.
pub(super) const ACTIVITY_KEYS: usize = 7;

/// First and last time, and how often.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub calls: i64,
    pub first: i64,
    pub last: i64,
}

impl Seen {
    fn once(time: i64) -> Seen {
        Seen { calls: 1, first: time, last: time }
    }

    fn again(&mut self, time: i64) {
        self.calls += 1;
        self.first = self.first.min(time);
        self.last = self.last.max(time);
    }
}

/// A row of `activity`.
#[derive(Debug, Clone)]
pub(super) struct Activity {
    pub hour: i64,
    pub key: [u32; ACTIVITY_KEYS],
    pub seen: Seen,
    pub distinct_objects: i64,
    pub peak_10min: i64,
    pub peak_10s: i64,
    pub duration_sum: Option<i64>,
    pub duration_max: Option<i64>,
}

/// What a caller was seen with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Sight {
    /// Type and name of an object.
    Object(u32, u32),
    Address(u32),
    Client(u32),
    Vault,
}

/// A row of `sightings`: caller, vault and what.
pub(super) type SightingKey = (u32, u32, Sight);

/// A row of `coverage`.
#[derive(Debug, Clone)]
pub(super) struct Coverage {
    pub hour: i64,
    /// Vault and category.
    pub key: (u32, u32),
    pub seen: Seen,
}

/// All roll-ups of one day.
#[derive(Default)]
pub(super) struct Day {
    pub activity: Vec<Activity>,
    pub coverage: Vec<Coverage>,
    pub sightings: HashMap<SightingKey, (Seen, i64)>,
}

/// What is known of the hour that is being read.
#[derive(Default)]
struct Hour {
    start: i64,
    groups: HashMap<[u32; ACTIVITY_KEYS], u32>,
    rows: Vec<(Activity, [i64; 6])>,
    objects: HashSet<(u32, u32, u32)>,
    ten_seconds: HashMap<(u32, u32), i64>,
    coverage: HashMap<(u32, u32), Seen>,
}

/// Rolls up the events that lie in `days` (sorted, in days since the epoch) and writes a day's files to `dirs`.
pub(super) fn roll_up(files: &[DataFile], days: &[i64], dirs: &[PathBuf; 3]) -> Result<Vec<DayFiles>, StoreError> {
    let mut done = Vec::new();
    let result = Pass::new(files, days).run(dirs, &mut done);
    if let Err(e) = result {
        for (at, dir) in dirs.iter().enumerate() {
            discard(dir, done.iter().filter_map(|day: &DayFiles| day.files[at].as_ref()));
        }
        return Err(e);
    }
    Ok(done)
}

struct Pass<'a> {
    days: &'a [i64],
    /// Files not begun yet, latest first.
    waiting: Vec<&'a DataFile>,
    cursors: Vec<Cursor<'a>>,
    texts: Texts,
    success: u32,
    hour: Hour,
    day: Day,
}

impl<'a> Pass<'a> {
    fn new(files: &'a [DataFile], days: &'a [i64]) -> Pass<'a> {
        let mut waiting: Vec<&DataFile> = files.iter().collect();
        let from = days.first().map_or(i64::MAX, |day| day * DAY);
        waiting.retain(|file| file.range.1 >= from);
        waiting.sort_by_key(|file| std::cmp::Reverse(file.range.0));
        let mut texts = Texts::default();
        let success = texts.number("success");
        Pass { days, waiting, cursors: Vec::new(), texts, success, hour: Hour::default(), day: Day::default() }
    }

    fn run(mut self, dirs: &[PathBuf; 3], done: &mut Vec<DayFiles>) -> Result<(), StoreError> {
        let Some(end) = self.days.last().map(|day| (day + 1) * DAY) else { return Ok(()) };
        let mut today = None;
        while let Some(next) = self.next_time(end)? {
            let day = next.div_euclid(DAY);
            if let Some(before) = today.replace(day).filter(|before| *before != day) {
                self.end_day(before, dirs, done)?;
            }
            self.read_hour(next.div_euclid(HOUR) * HOUR)?;
        }
        match today {
            Some(last) => self.end_day(last, dirs, done),
            None => Ok(()),
        }
    }

    /// Time of the next row of any file; files that may begin before it are begun.
    fn next_time(&mut self, end: i64) -> Result<Option<i64>, StoreError> {
        self.cursors.retain(|cursor| cursor.head().is_some());
        let mut next = self.cursors.iter().filter_map(Cursor::head).min();
        while let Some(file) = self.waiting.last().filter(|file| file.range.0 < next.unwrap_or(end)) {
            let mut cursor = Cursor::open(file, self.days, &mut self.texts)?;
            self.waiting.pop();
            if let Some(head) = cursor.head() {
                next = Some(next.map_or(head, |n| n.min(head)));
                if self.cursors.len() >= OPEN_FILES {
                    cursor.park();
                }
                self.cursors.push(cursor);
            }
        }
        Ok(next)
    }

    /// Reads all rows of the hour that starts at `start`.
    fn read_hour(&mut self, start: i64) -> Result<(), StoreError> {
        self.hour.start = start;
        let end = start + HOUR;
        // Begins the files that start within this hour.
        while self.waiting.last().is_some_and(|file| file.range.0 < end) {
            let file = self.waiting.pop().expect("seen just now");
            self.cursors.push(Cursor::open(file, self.days, &mut self.texts)?);
        }
        for (at, cursor) in self.cursors.iter_mut().enumerate() {
            let (hour, day, success) = (&mut self.hour, &mut self.day, self.success);
            cursor.take_until(end, self.days, &mut self.texts, |rows, range| {
                count(rows, range, hour, day, success);
            })?;
            if at >= OPEN_FILES {
                cursor.park();
            }
        }
        self.hour.end(&mut self.day);
        Ok(())
    }

    fn end_day(&mut self, day: i64, dirs: &[PathBuf; 3], done: &mut Vec<DayFiles>) -> Result<(), StoreError> {
        let rows = std::mem::take(&mut self.day);
        done.push(write_day(day, rows, &self.texts, dirs)?);
        self.texts.forget_many();
        self.success = self.texts.number("success");
        Ok(())
    }
}

/// Counts rows of one hour.
fn count(rows: &Rows, range: Range<usize>, hour: &mut Hour, day: &mut Day, success: u32) {
    for row in range {
        let time = rows.time(row);
        let key: [u32; ACTIVITY_KEYS] = std::array::from_fn(|column| rows.text(column, row));
        let object = (rows.text(OBJECT_TYPE, row), rows.text(OBJECT_NAME, row));
        hour.count_call(key, time, object, rows.duration(row));
        let (caller, vault) = (key[PRINCIPAL], key[VAULT]);
        see(&mut hour.coverage, (vault, rows.category(row)), time);
        let succeeded = i64::from(key[OUTCOME] == success);
        let (address, client) = (rows.text(ADDRESS, row), rows.text(CLIENT, row));
        let sights = [
            (object.1 != 0).then_some(Sight::Object(object.0, object.1)),
            (address != 0).then_some(Sight::Address(address)),
            (client != 0).then_some(Sight::Client(client)),
            (vault != 0).then_some(Sight::Vault),
        ];
        for sight in sights.into_iter().flatten() {
            let entry = day.sightings.entry((caller, vault, sight));
            let (seen, successes) =
                entry.and_modify(|(seen, _)| seen.again(time)).or_insert_with(|| (Seen::once(time), 0));
            debug_assert!(seen.calls > *successes);
            *successes += succeeded;
        }
    }
}

fn see<K: std::hash::Hash + Eq>(map: &mut HashMap<K, Seen>, key: K, time: i64) {
    map.entry(key).and_modify(|seen| seen.again(time)).or_insert_with(|| Seen::once(time));
}

impl Hour {
    fn count_call(&mut self, key: [u32; ACTIVITY_KEYS], time: i64, object: (u32, u32), duration: Option<i64>) {
        let group = *self.groups.entry(key).or_insert_with(|| {
            let seen = Seen { calls: 0, first: time, last: time };
            let row = Activity {
                hour: self.start,
                key,
                seen,
                distinct_objects: 0,
                peak_10min: 0,
                peak_10s: 0,
                duration_sum: None,
                duration_max: None,
            };
            self.rows.push((row, [0; 6]));
            u32::try_from(self.rows.len() - 1).expect("groups of an hour fit memory, and so 32 bits")
        });
        let (row, ten_minutes) = &mut self.rows[group as usize];
        row.seen.again(time);
        if object.1 != 0 && self.objects.insert((group, object.0, object.1)) {
            row.distinct_objects += 1;
        }
        let into = time - self.start;
        ten_minutes[usize::try_from(into / TEN_MINUTES).unwrap_or(0).min(5)] += 1;
        let bin = u32::try_from(into / TEN_SECONDS).unwrap_or(0);
        let busy = self.ten_seconds.entry((group, bin)).or_insert(0);
        *busy += 1;
        row.peak_10s = row.peak_10s.max(*busy);
        if let Some(duration) = duration {
            row.duration_sum = Some(row.duration_sum.unwrap_or(0).saturating_add(duration));
            row.duration_max = Some(row.duration_max.map_or(duration, |max| max.max(duration)));
        }
    }

    /// Hands the hour's rows to the day and forgets its detail.
    fn end(&mut self, day: &mut Day) {
        day.activity.extend(self.rows.drain(..).map(|(mut row, ten_minutes)| {
            row.peak_10min = ten_minutes.into_iter().max().unwrap_or(0);
            row
        }));
        let hour = self.start;
        day.coverage.extend(self.coverage.drain().map(|(key, seen)| Coverage { hour, key, seen }));
        self.groups.clear();
        self.objects.clear();
        self.ten_seconds.clear();
    }
}

const _: () = assert!(TEXTS.len() == CLIENT + 1, "places in TEXTS");
