//! The roll-ups equal what plain SQL over all events says, after any order of appends and refreshes.

use arrow::util::pretty::pretty_format_batches;

use super::super::file::Written;
use super::super::table::{Outcome, files, footer, removals};
use super::*;

const ACTIVITY: &str = "
    WITH calls AS (
      SELECT date_trunc('hour', time) AS hour, date_bin(INTERVAL '10 minutes', time) AS minutes,
             date_bin(INTERVAL '10 seconds', time) AS seconds,
             concat_ws('|', coalesce(vault_name, '-'), coalesce(principal_id, '-'), operation_name, outcome) AS key, *
      FROM events),
    minutes AS (SELECT hour AS h, key AS k, max(n) AS peak_10min
                FROM (SELECT hour, key, minutes, count(*) AS n FROM calls GROUP BY 1, 2, 3) GROUP BY 1, 2),
    seconds AS (SELECT hour AS h, key AS k, max(n) AS peak_10s
                FROM (SELECT hour, key, seconds, count(*) AS n FROM calls GROUP BY 1, 2, 3) GROUP BY 1, 2),
    whole AS (
      SELECT hour, vault_name, principal_id, principal_type, principal_name, operation_name, operation_class, outcome,
             key, count(*) AS calls, count(DISTINCT object_type || '/' || object_name) AS distinct_objects,
             sum(duration_ms) AS duration_sum_ms, max(duration_ms) AS duration_max_ms,
             min(time) AS first_time, max(time) AS last_time
      FROM calls GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9)
    SELECT hour, vault_name, principal_id, principal_type, principal_name, operation_name, operation_class, outcome,
           calls, distinct_objects, peak_10min, peak_10s, duration_sum_ms, duration_max_ms, first_time, last_time
    FROM whole JOIN minutes m ON m.h = hour AND m.k = key JOIN seconds s ON s.h = hour AND s.k = key";

const SIGHTINGS: &str = "
    WITH seen AS (
      SELECT time, principal_id, outcome, vault_name, 'object' AS kind,
             coalesce(vault_name, '') || '/' || coalesce(object_type, '') || '/' || object_name AS value FROM events
      UNION ALL SELECT time, principal_id, outcome, vault_name, 'address', caller_ip FROM events
      UNION ALL SELECT time, principal_id, outcome, vault_name, 'client', client_product FROM events
      UNION ALL SELECT time, principal_id, outcome, vault_name, 'vault', vault_name AS value FROM events)
    SELECT date_trunc('day', time) AS day, principal_id, kind, value, vault_name, count(*) AS calls,
           count(*) FILTER (WHERE outcome = 'success') AS successes, min(time) AS first_time, max(time) AS last_time
    FROM seen WHERE value IS NOT NULL GROUP BY 1, 2, 3, 4, 5";

const COVERAGE: &str = "
    SELECT date_trunc('hour', time) AS hour, vault_name, category, count(*) AS records,
           min(time) AS first_time, max(time) AS last_time
    FROM events GROUP BY 1, 2, 3";

/// Fails where a roll-up differs from its definition over all events.
async fn check(store: &Store, what: &str) {
    for (table, definition, key) in [
        ("activity", ACTIVITY, "hour, vault_name, principal_id, operation_name, outcome"),
        ("sightings", SIGHTINGS, "day, principal_id, kind, value, vault_name"),
        ("coverage", COVERAGE, "hour, vault_name, category"),
    ] {
        let found = rows(store, &format!("SELECT * FROM {table} ORDER BY {key}")).await;
        let expected = rows(store, &format!("SELECT * FROM ({definition}) ORDER BY {key}")).await;
        let (found, expected) = (pretty_format_batches(&found).unwrap(), pretty_format_batches(&expected).unwrap());
        assert_eq!(found.to_string(), expected.to_string(), "{what}: {table}");
    }
}

fn random_event(random: &mut Seeded, id: u64) -> Event {
    let mut pick = |from: &[Option<&'static str>]| from[random.below(from.len() as u64) as usize];
    let vault = pick(&[Some("kv-a"), Some("kv-b"), None]);
    let caller = pick(&[Some("caller-1"), Some("caller-2"), None]);
    let object = pick(&[Some("x"), Some("y"), Some("z"), None]);
    let address = pick(&[Some("10.0.0.1"), Some("10.0.0.2"), None]);
    let operation = pick(&[Some("SecretGet"), Some("SecretList")]).unwrap();
    let outcome = pick(&[Some("success"), Some("denied")]).unwrap();
    // Bursts across edges of hours, days and ten seconds.
    let day = random.below(4) as i64 * DAY;
    let time =
        START + day + random.below(3) as i64 * 11 * HOUR + random.below(40 * 60) as i64 * SECOND + 1_800 * SECOND;
    let duration = (random.below(3) > 0).then(|| random.below(100) as i64);
    Event { id, time, vault, caller, operation, outcome, object, address, duration }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rollups_equal_their_definition_whatever_the_order() {
    for seed in 0..3 {
        let mut random = Seeded(seed);
        let (_dir, store) = fresh().await;
        let events: Vec<Event> = (0..300).map(|id| random_event(&mut random, id)).collect();
        for call in 0..5 {
            let from = random.below(250) as usize;
            let till = from + 1 + random.below(49) as usize;
            store.append(vec![batch(&events[from..till])], vec![], 0).await.unwrap();
            if random.below(2) == 0 {
                store.refresh_rollups().await.unwrap();
                check(&store, &format!("seed {seed} call {call}")).await;
            }
        }
        let report = store.refresh_rollups().await.unwrap();
        check(&store, &format!("seed {seed}")).await;
        let again = store.refresh_rollups().await.unwrap();
        assert_eq!((again.version, again.days), (report.version, 0), "nothing new, nothing done");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_days_that_changed_are_computed() {
    let (_dir, store) = fresh().await;
    assert_eq!(store.refresh_rollups().await.unwrap().days, 0, "an empty store has no days");
    let at = |id, day: i64| Event { time: START + day * DAY, ..event(id) };
    // One file over a gap of ten days: the days between hold nothing.
    store.append(vec![batch(&[at(1, 0), at(2, 10)])], vec![], 0).await.unwrap();
    assert_eq!(store.refresh_rollups().await.unwrap().days, 2);
    store.append(vec![batch(&[at(3, 10), at(4, 11)])], vec![], 0).await.unwrap();
    assert_eq!(store.refresh_rollups().await.unwrap().days, 2);
    check(&store, "after a late day").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_that_was_killed_between_its_commits_is_completed() {
    let (_dir, store) = fresh().await;
    store.append(vec![batch(&(0..50).map(event).collect::<Vec<_>>())], vec![], 0).await.unwrap();
    store.refresh_rollups().await.unwrap();
    store.append(vec![batch(&(50..90).map(event).collect::<Vec<_>>())], vec![], 0).await.unwrap();
    store.refresh_rollups().await.unwrap();
    // As if only the first table had been committed: the others are empty and reflect an older version.
    for table in &store.inner.rollups[1..] {
        let base = table.latest().await.unwrap();
        let transaction = deltalake::kernel::Transaction::new("kvaudit-events-version", 1);
        let outcome = table.commit(&base, removals(&base, |_| true), transaction).await.unwrap();
        assert!(matches!(outcome, Outcome::Done));
    }
    assert_eq!(number(&store, "SELECT count(*) FROM sightings").await, 0);
    assert_eq!(store.refresh_rollups().await.unwrap().days, 1);
    check(&store, "after the crash").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn refreshes_at_once_agree() {
    let (dir, store) = fresh().await;
    for part in 0..3u64 {
        let events: Vec<Event> = (part * 20..part * 20 + 30).map(event).collect();
        store.append(vec![batch(&events)], vec![], 0).await.unwrap();
        let mut tasks = Vec::new();
        for _ in 0..3 {
            let path = dir.path().to_path_buf();
            tasks.push(tokio::spawn(async move {
                let store = Store::open(&path, Access::Existing).await.unwrap();
                store.refresh_rollups().await.unwrap().version
            }));
        }
        for task in tasks {
            assert_eq!(task.await.unwrap(), part + 1);
        }
        check(&store, &format!("part {part}")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_overlapping_files_are_read_in_turns() {
    let (_dir, store) = fresh().await;
    // More files over the same hours than are held open at once.
    for file in 0..9u64 {
        let at =
            |n: u64| Event { time: START + (n * HOUR as u64 + file * SECOND as u64) as i64, ..event(file * 3 + n) };
        let events: Vec<Event> = (0..3).map(at).collect();
        store.append(vec![batch(&events)], vec![], 0).await.unwrap();
    }
    store.refresh_rollups().await.unwrap();
    check(&store, "many files").await;
    assert_eq!(number(&store, "SELECT sum(calls) FROM activity").await, 27);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rollups_that_another_program_has_merged_are_rebuilt() {
    let (dir, store) = fresh().await;
    let at = |id: u64| Event { time: START + id as i64 * DAY, ..event(id) };
    store.append(vec![batch(&[at(0), at(1)])], vec![], 0).await.unwrap();
    store.refresh_rollups().await.unwrap();
    let table = &store.inner.rollups[0];
    let base = table.latest().await.unwrap();
    let old = files(&base, &table.dir, "hour").remove(0);
    std::fs::copy(&old.path, dir.path().join("activity/merged.parquet")).unwrap();
    let metadata = footer(&old.path).unwrap().as_ref().clone();
    let mut actions = removals(&base, |name| name == old.name);
    actions.push(table.add(&Written { name: "merged.parquet".to_owned(), metadata }).unwrap());
    table.commit(&base, actions, deltalake::kernel::Transaction::new("other", 1)).await.unwrap();
    store.append(vec![batch(&[at(2)])], vec![], 0).await.unwrap();
    assert_eq!(store.refresh_rollups().await.unwrap().days, 3);
    check(&store, "after the merge").await;
}
