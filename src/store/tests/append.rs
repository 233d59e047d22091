//! Idempotence: whatever is appended however often by however many, each event is in the store once.

use std::path::{Path, PathBuf};

use arrow::datatypes::TimestampMicrosecondType;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

use super::super::table::Table;
use super::super::{Appended, StoreError};
use super::*;
use crate::record::Reject;

/// The Parquet files of `events`, whether a commit names them or not.
fn parquet_files(store: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(store.join("events")).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|e| e == "parquet")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_again_is_all_duplicates() {
    let (_dir, store) = fresh().await;
    let events: Vec<Event> = (0..100).map(event).collect();
    let first = store.append(vec![batch(&events)], vec![], 0).await.unwrap();
    assert_eq!((first.written, first.duplicates), (100, 0));
    let again = store.append(vec![batch(&events[50..]), batch(&events[..50])], vec![], 0).await.unwrap();
    assert_eq!(again, Appended { duplicates: 100, version: first.version, ..Appended::default() });
    assert_eq!(stored(&store).await, ids(0..100));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeats_are_dropped_where_they_are_and_only_there() {
    let moved = |id, seconds: i64| Event { time: START + seconds * SECOND, ..event(id) };
    /// Batches of one call.
    type Call = Vec<Vec<Event>>;
    // What is appended one call after the other, and how many of each call are new.
    let cases: [(&str, Vec<Call>, Vec<u64>); 6] = [
        ("within a batch", vec![vec![vec![event(1), event(2), event(1)]]], vec![2]),
        ("across batches of a call", vec![vec![vec![event(1)], vec![], vec![event(2), event(1)]]], vec![2]),
        ("across calls", vec![vec![vec![event(1), event(2)]], vec![vec![event(2), event(3)]]], vec![2, 1]),
        ("same times, other identities", vec![vec![vec![event(1)]], vec![vec![moved(2, 1), moved(3, 1)]]], vec![1, 2]),
        ("out of order", vec![vec![vec![event(9), event(3), event(6)]], vec![vec![event(6), event(1)]]], vec![3, 1]),
        ("nothing", vec![vec![], vec![vec![]]], vec![0, 0]),
    ];
    for (name, calls, expected) in cases {
        let (_dir, store) = fresh().await;
        for (call, expected) in calls.iter().zip(expected) {
            let batches: Vec<RecordBatch> = call.iter().map(|events| batch(events)).collect();
            let rows: usize = call.iter().map(Vec::len).sum();
            let done = store.append(batches, vec![], 0).await.unwrap();
            assert_eq!((done.written, done.written + done.duplicates), (expected, rows as u64), "{name}");
        }
        let all = calls.iter().flatten().flatten().map(|e| e.id);
        assert_eq!(stored(&store).await, ids(all), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_keep_all_their_columns_and_files_are_sorted_by_time() {
    let (dir, store) = fresh().await;
    // Long runs, short runs and single rows, in disorder.
    let mut events: Vec<Event> = (0..9_000).map(event).collect();
    events.swap(10, 8_000);
    events.swap(4_000, 4_001);
    store.append(vec![batch(&events[6_000..]), batch(&events[..6_000])], vec![], 0).await.unwrap();
    for path in parquet_files(dir.path()) {
        let reader = ParquetRecordBatchReader::try_new(std::fs::File::open(path).unwrap(), 10_000).unwrap();
        for batch in reader {
            assert!(batch.unwrap().column(0).as_primitive::<TimestampMicrosecondType>().values().is_sorted());
        }
    }
    assert_eq!(
        number(&store, "SELECT count(*) FROM events WHERE vault_name = 'kv-a' AND duration_ms = 7").await,
        9_000
    );
    let mut expected: Vec<i64> = events.iter().map(|e| e.time).collect();
    expected.sort_unstable();
    let times = rows(&store, "SELECT arrow_cast(time, 'Int64') AS t FROM events ORDER BY t").await;
    let found: Vec<i64> =
        times.iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec()).collect();
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_rows_become_files_of_their_own_stretch_of_time() {
    let (dir, store) = fresh().await;
    let events: Vec<Event> = (0..120_000).map(event).collect();
    let cores = std::thread::available_parallelism().unwrap().get();
    store.append(vec![batch(&events)], vec![], 0).await.unwrap();
    let table = store.inner.events.latest().await.unwrap();
    let mut ranges: Vec<_> =
        super::super::table::files(&table, dir.path(), "time").into_iter().map(|f| f.range).collect();
    ranges.sort_unstable();
    assert_eq!(ranges.len(), cores.clamp(1, 2));
    assert!(ranges.windows(2).all(|w| w[0].1 <= w[1].0 + 999), "{ranges:?}");
    let plan = rows(&store, "EXPLAIN SELECT count(*) FROM events WHERE duration_ms = 1").await;
    let plan = arrow::util::pretty::pretty_format_batches(&plan).unwrap().to_string();
    assert!(plan.contains(&format!("file_groups={{{cores} group")), "all cores read: {plan}");
    let again = store.append(vec![batch(&events[60_000..])], vec![], 0).await.unwrap();
    assert_eq!((again.written, again.duplicates), (0, 60_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn appends_at_once_give_the_exact_union() {
    let dir = tempfile::tempdir().unwrap();
    let mut tasks = Vec::new();
    for writer in 0..6u64 {
        let path = dir.path().to_path_buf();
        tasks.push(tokio::spawn(async move {
            // A handle of its own, as another process would have, opened while others create the store.
            let store = Store::open(&path, Access::Create).await.unwrap();
            let mut done = Appended::default();
            for call in 0..4 {
                let from = call * 30 + (writer % 3) * 10;
                let events: Vec<Event> = (from..from + 40).map(event).collect();
                let appended = store.append(vec![batch(&events)], vec![reject(call)], 0).await.unwrap();
                done.written += appended.written;
                done.duplicates += appended.duplicates;
                done.quarantined += appended.quarantined;
            }
            (store.store_id().to_owned(), done)
        }));
    }
    let mut done = Vec::new();
    for task in tasks {
        done.push(task.await.unwrap());
    }
    assert!(done.iter().all(|(id, _)| *id == done[0].0), "one store");
    let sum = |pick: fn(&Appended) -> u64| done.iter().map(|(_, d)| pick(d)).sum::<u64>();
    let store = Store::open(dir.path(), Access::Existing).await.unwrap();
    assert_eq!(stored(&store).await, ids(0..150));
    assert_eq!((sum(|d| d.written), sum(|d| d.written + d.duplicates)), (150, 6 * 4 * 40));
    assert_eq!(sum(|d| d.quarantined), 4);
    assert_eq!(number(&store, "SELECT count(*) FROM quarantine").await, 4);
}

fn reject(position: u64) -> Reject {
    Reject { source: "a.json".to_owned(), position, reason: "no JSON".to_owned(), bytes: vec![b'{', 0xff] }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejects_are_kept_once() {
    let (_dir, store) = fresh().await;
    let first = store.append(vec![], vec![reject(5), reject(5), reject(9)], START).await.unwrap();
    assert_eq!((first.quarantined, first.known_rejects), (2, 1));
    let other = Reject { source: "b.json".to_owned(), ..reject(9) };
    let next = store.append(vec![batch(&[event(1)])], vec![reject(9), other], START).await.unwrap();
    assert_eq!((next.quarantined, next.known_rejects, next.written), (1, 1, 1));
    let kept =
        number(&store, "SELECT count(*) FROM quarantine WHERE quarantined_at = TIMESTAMP '2025-11-01T00:00:00Z'");
    assert_eq!(kept.await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_does_not_fit_is_refused_and_nothing_of_the_call_is_stored() {
    let (_dir, store) = fresh().await;
    let narrow = batch(&[event(2)]).project(&[0, 1]).unwrap();
    let error = store.append(vec![batch(&[event(1)]), narrow], vec![], 0).await.unwrap_err();
    assert!(error.to_string().contains("2 columns of 61"), "{error}");
    let mut columns = batch(&[event(3)]).columns().to_vec();
    columns[schema::index("event_id")] = Arc::new(BinaryArray::from_iter_values([b"short"]));
    let short = RecordBatch::try_new(schema::events(), columns).unwrap();
    let error = store.append(vec![short], vec![], 0).await.unwrap_err();
    assert!(error.to_string().contains("'event_id' of row 0 is not 16 bytes"), "{error}");
    assert!(stored(&store).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_no_commit_names_are_not_read() {
    let (dir, store) = fresh().await;
    store.append(vec![batch(&[event(1)])], vec![], 0).await.unwrap();
    // A run that was killed before its commit: a whole file, and half of one.
    let of = |name: &str| dir.path().join("events").join(name);
    let part = parquet_files(dir.path()).remove(0);
    std::fs::copy(&part, of("part-killed.parquet")).unwrap();
    std::fs::write(of("part-half.parquet"), &std::fs::read(&part).unwrap()[..100]).unwrap();
    let store = Store::open(dir.path(), Access::Existing).await.unwrap();
    let done = store.append(vec![batch(&[event(1), event(2)])], vec![], 0).await.unwrap();
    assert_eq!((done.written, done.duplicates), (1, 1));
    assert_eq!(stored(&store).await, ids([1, 2]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_whose_tables_were_not_all_made_is_completed() {
    let (dir, store) = fresh().await;
    let id = store.store_id().to_owned();
    drop(store);
    for table in ["alerts", "coverage"] {
        std::fs::remove_dir_all(dir.path().join(table)).unwrap();
    }
    std::fs::remove_dir_all(dir.path().join("events/_delta_log")).unwrap();
    std::fs::create_dir(dir.path().join("events/_delta_log")).unwrap();
    let store = Store::open(dir.path(), Access::Create).await.unwrap();
    assert_eq!(store.store_id(), id);
    assert_eq!(number(&store, "SELECT count(*) FROM coverage").await, 0);
    assert_eq!(store.append(vec![batch(&[event(1)])], vec![], 0).await.unwrap().written, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_span_is_exact_and_none_of_an_empty_store() {
    let (_dir, store) = fresh().await;
    assert_eq!(store.span().await.unwrap(), None);
    let times = [START + 1, START + 5 * DAY + 123_456, START + 3 * DAY];
    for (id, time) in (0..).zip(times) {
        store.append(vec![batch(&[Event { time, ..event(id) }])], vec![], 0).await.unwrap();
    }
    assert_eq!(store.span().await.unwrap(), Some((times[0], times[1])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_forbids_writing_is_named() {
    let (dir, store) = fresh().await;
    // A file in the place of the table's directory refuses writing to every user.
    std::fs::rename(dir.path().join("events"), dir.path().join("away")).unwrap();
    std::fs::write(dir.path().join("events"), "").unwrap();
    let error = store.append(vec![batch(&[event(1)])], vec![], 0).await.unwrap_err();
    assert!(matches!(&error, StoreError::Failed { .. }) && error.to_string().contains("events"), "{error}");
    std::fs::remove_file(dir.path().join("events")).unwrap();
    std::fs::rename(dir.path().join("away"), dir.path().join("events")).unwrap();
    assert_eq!(store.append(vec![batch(&[event(1)])], vec![], 0).await.unwrap().written, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_on_an_old_version_stands_back() {
    let (_dir, store) = fresh().await;
    let table: &Table = &store.inner.events;
    let old = table.latest().await.unwrap();
    store.append(vec![batch(&[event(1)])], vec![], 0).await.unwrap();
    let transaction = deltalake::kernel::Transaction::new("other", 1);
    let outcome = table.commit(&old, vec![], transaction).await.unwrap();
    assert!(matches!(outcome, super::super::table::Outcome::Overtaken));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_may_have_any_name() {
    let dir = tempfile::tempdir().unwrap();
    let escaped = dir.path().join("a%20b");
    let error = Store::open(&escaped, Access::Create).await.unwrap_err().to_string();
    assert!(error.contains("'%20'") && !escaped.exists(), "{error}");
    let odd = dir.path().join("a b#c%d?é");
    let store = Store::open(&odd, Access::Create).await.unwrap();
    for id in 0..6 {
        store.append(vec![batch(&[event(id), event(id + 1)])], vec![], 0).await.unwrap();
    }
    assert_eq!(store.refresh_rollups().await.unwrap().days, 1);
    let store = Store::open(&odd, Access::Existing).await.unwrap();
    assert_eq!(stored(&store).await, ids(0..7));
    assert_eq!(number(&store, "SELECT sum(calls) FROM activity").await, 7);
}
