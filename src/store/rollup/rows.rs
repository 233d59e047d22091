//! A day's roll-ups as Arrow rows, in an order that does not depend on the order of the input, and as files.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::SchemaRef;
use chrono::{DateTime, NaiveDate};

use super::super::error::StoreError;
use super::super::file::{DAY, Written, fresh_name, write_whole};
use super::cursor::Texts;
use super::pass::{ACTIVITY_KEYS, Day, Seen, Sight};
use super::schemas;

/// The files of one day: activity, sightings, coverage, in the order of [`super::Tables`].
pub(super) struct DayFiles {
    pub files: [Option<Written>; 3],
}

/// Writes a day's rows. The name begins with the date, by which a later refresh finds what to replace.
pub(super) fn write_day(day: i64, rows: Day, texts: &Texts, dirs: &[PathBuf; 3]) -> Result<DayFiles, StoreError> {
    let ranks = texts.ranks();
    let batches =
        [activity(&rows, texts, &ranks), sightings(day, &rows, texts, &ranks), coverage(&rows, texts, &ranks)];
    drop(rows);
    let mut files = [None, None, None];
    for (at, batch) in batches.into_iter().enumerate() {
        if batch.num_rows() > 0 {
            files[at] = Some(write_whole(&dirs[at], fresh_name(&date(day)), &batch)?);
        }
    }
    Ok(DayFiles { files })
}

fn date(day: i64) -> String {
    DateTime::from_timestamp_micros(day * DAY).map_or_else(|| day.to_string(), |t| t.format("%Y-%m-%d").to_string())
}

/// The day that a file's name begins with, in days since the epoch.
pub(super) fn day_of(name: &str) -> Option<i64> {
    let date = NaiveDate::parse_from_str(name.get(..10)?, "%Y-%m-%d").ok()?;
    Some(date.and_hms_opt(0, 0, 0)?.and_utc().timestamp_micros().div_euclid(DAY))
}

fn activity(day: &Day, texts: &Texts, ranks: &[u32]) -> RecordBatch {
    let mut rows: Vec<_> = day.activity.iter().collect();
    rows.sort_by_key(|row| (row.hour, row.key.map(|number| ranks[number as usize])));
    let mut columns = vec![times(rows.iter().map(|r| r.hour))];
    columns.extend((0..ACTIVITY_KEYS).map(|at| strings(rows.iter().map(|r| texts.text(r.key[at])))));
    columns.extend([
        longs(rows.iter().map(|r| Some(r.seen.calls))),
        longs(rows.iter().map(|r| Some(r.distinct_objects))),
        longs(rows.iter().map(|r| Some(r.peak_10min))),
        longs(rows.iter().map(|r| Some(r.peak_10s))),
        longs(rows.iter().map(|r| r.duration_sum)),
        longs(rows.iter().map(|r| r.duration_max)),
        times(rows.iter().map(|r| r.seen.first)),
        times(rows.iter().map(|r| r.seen.last)),
    ]);
    batch(schemas::activity(), columns)
}

fn sightings(day: i64, rows: &Day, texts: &Texts, ranks: &[u32]) -> RecordBatch {
    let rank = |number: u32| ranks[number as usize];
    let mut all: Vec<_> = rows
        .sightings
        .iter()
        .map(|((caller, vault, sight), (seen, successes))| {
            let (kind, a, b) = match *sight {
                Sight::Object(kind, name) => ("object", kind, name),
                Sight::Address(address) => ("address", address, 0),
                Sight::Client(client) => ("client", client, 0),
                Sight::Vault => ("vault", *vault, 0),
            };
            ((rank(*caller), kind, rank(*vault), rank(a), rank(b)), (*caller, *vault, *sight), seen, *successes)
        })
        .collect();
    all.sort_unstable_by_key(|(order, ..)| *order);
    let value = |(_, vault, sight): (u32, u32, Sight)| -> String {
        let text = |number| texts.text(number).unwrap_or_default();
        match sight {
            Sight::Object(kind, name) => format!("{}/{}/{}", text(vault), text(kind), text(name)),
            Sight::Address(number) | Sight::Client(number) => text(number).to_owned(),
            Sight::Vault => text(vault).to_owned(),
        }
    };
    let values: StringArray = all.iter().map(|(_, key, ..)| Some(value(*key))).collect();
    let seen = |pick: fn(&Seen) -> i64| all.iter().map(move |(_, _, seen, _)| pick(seen));
    let columns = vec![
        times(all.iter().map(|_| day * DAY)),
        strings(all.iter().map(|(_, key, ..)| texts.text(key.0))),
        strings(all.iter().map(|(order, ..)| Some(order.1))),
        Arc::new(values),
        strings(all.iter().map(|(_, key, ..)| texts.text(key.1))),
        longs(seen(|s| s.calls).map(Some)),
        longs(all.iter().map(|(.., successes)| Some(*successes))),
        times(seen(|s| s.first)),
        times(seen(|s| s.last)),
    ];
    batch(schemas::sightings(), columns)
}

fn coverage(day: &Day, texts: &Texts, ranks: &[u32]) -> RecordBatch {
    let mut rows: Vec<_> = day.coverage.iter().collect();
    rows.sort_by_key(|row| (row.hour, ranks[row.key.0 as usize], ranks[row.key.1 as usize]));
    let columns = vec![
        times(rows.iter().map(|r| r.hour)),
        strings(rows.iter().map(|r| texts.text(r.key.0))),
        strings(rows.iter().map(|r| texts.text(r.key.1))),
        longs(rows.iter().map(|r| Some(r.seen.calls))),
        times(rows.iter().map(|r| r.seen.first)),
        times(rows.iter().map(|r| r.seen.last)),
    ];
    batch(schemas::coverage(), columns)
}

fn times(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter_values(values).with_timezone("UTC"))
}

fn longs(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.collect::<Int64Array>())
}

fn strings<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

fn batch(schema: SchemaRef, columns: Vec<ArrayRef>) -> RecordBatch {
    RecordBatch::try_new(schema, columns).expect("columns are built in the order and types of the schema")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_tells_its_day() {
        for day in [0, 20_000, 16_436] {
            assert_eq!(day_of(&fresh_name(&date(day))), Some(day));
        }
        assert_eq!(day_of("part-0"), None);
        assert_eq!(day_of("é"), None);
    }
}
