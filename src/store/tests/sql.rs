//! SQL from people: what it may, what it may not, and what it says then.

use std::time::Duration;

use super::super::alerts::tests::alert;
use super::super::{SessionUse, StoreError, TABLES, alerts_batch, query};
use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fresh_store_answers_with_nothing() {
    let (_dir, store) = fresh().await;
    for table in TABLES {
        assert_eq!(number(&store, &format!("SELECT count(*) FROM {table}")).await, 0, "{table}");
        assert!(rows(&store, &format!("SELECT * FROM {table}")).await.iter().all(|b| b.num_rows() == 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reading_is_allowed_and_nothing_else() {
    let (dir, store) = fresh().await;
    let secret = dir.path().join("secret.csv");
    std::fs::write(&secret, "a,b\n1,2\n").unwrap();
    let (file, out) = (secret.display(), dir.path().join("out").display().to_string());
    let allowed = [
        "SELECT count(*) FROM events".to_owned(),
        "WITH e AS (SELECT * FROM events) SELECT vault_name, count(*) FROM e GROUP BY 1".to_owned(),
        "SELECT * FROM events WHERE time > (SELECT max(hour) FROM activity)".to_owned(),
        "SELECT 1".to_owned(),
        "VALUES (1), (2)".to_owned(),
        "EXPLAIN SELECT * FROM events".to_owned(),
        "EXPLAIN ANALYZE SELECT count(*) FROM events".to_owned(),
        "DESCRIBE events".to_owned(),
        "SHOW TABLES".to_owned(),
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'events'".to_owned(),
    ];
    for sql in allowed {
        let answer = store.query(&sql, QueryLimits::default()).await;
        answer.unwrap_or_else(|e| panic!("{sql}: {e}")).collect().await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    }
    let refused = [
        (format!("COPY (SELECT 1) TO '{out}'"), "queries only read"),
        (format!("EXPLAIN ANALYZE COPY (SELECT 1) TO '{out}'"), "queries only read"),
        (format!("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '{file}'"), "queries only read"),
        ("CREATE TABLE t AS SELECT * FROM events".to_owned(), "queries only read"),
        ("CREATE VIEW v AS SELECT 1".to_owned(), "queries only read"),
        ("DROP TABLE events".to_owned(), "queries only read"),
        ("INSERT INTO events SELECT * FROM events".to_owned(), "queries only read"),
        ("EXPLAIN INSERT INTO events SELECT * FROM events".to_owned(), "queries only read"),
        ("DELETE FROM events".to_owned(), "queries only read"),
        ("UPDATE alerts SET state = 'closed'".to_owned(), "queries only read"),
        ("TRUNCATE TABLE events".to_owned(), "TRUNCATE is refused: queries only read"),
        ("SHOW CREATE TABLE events".to_owned(), "queries only read"),
        ("RESET datafusion.execution.batch_size".to_owned(), "queries only read"),
        ("SET datafusion.execution.batch_size = 1".to_owned(), "queries only read"),
        ("PREPARE p AS SELECT 1".to_owned(), "queries only read"),
        ("BEGIN".to_owned(), "queries only read"),
        (format!("SELECT * FROM '{file}'"), "and no files"),
        ("SELECT * FROM '/etc/passwd'".to_owned(), "table '/etc/passwd' not found: queries read the tables events"),
        ("SELECT * FROM '/etc/passwd.csv'".to_owned(), "and no files"),
        (format!("SELECT * FROM read_csv('{file}')"), "and no files"),
        ("SELECT * FROM generate_series(1, 10)".to_owned(), "and no files"),
        ("SELECT * FROM event".to_owned(), "table 'event' not found: queries read the tables events"),
        ("SELECT (SELECT count(*) FROM nowhere)".to_owned(), "table 'nowhere' not found"),
        ("SELECT vault_nam FROM events".to_owned(), "Did you mean"),
        ("SELEC 1".to_owned(), "no SQL"),
        ("SELECT 1; SELECT 2".to_owned(), "single SQL statement"),
        ("".to_owned(), ""),
    ];
    for (sql, expected) in refused {
        let error = match store.query(&sql, QueryLimits::default()).await {
            Ok(_) => panic!("{sql}: allowed"),
            Err(e) => e.to_string(),
        };
        assert!(error.contains(expected), "{sql}: {error}");
        assert!(!error.contains("datafusion.public"), "{sql}: {error}");
        assert_eq!(error.matches("not found").count().max(1), 1, "said once: {error}");
    }
    assert!(!std::path::Path::new(&out).exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_of_rows_time_and_memory_hold() {
    let (_dir, store) = fresh().await;
    let events: Vec<Event> = (0..5_000).map(event).collect();
    store.append(vec![batch(&events)], vec![], 0).await.unwrap();
    let limits = QueryLimits { rows: 10, ..QueryLimits::default() };
    for (sql, count, cut) in [
        ("SELECT * FROM events", 10, true),
        ("SELECT * FROM events LIMIT 10", 10, false),
        ("SELECT * FROM events LIMIT 3", 3, false),
    ] {
        let mut answer = store.query(sql, limits).await.unwrap();
        let mut found = 0;
        while let Some(batch) = answer.next().await.unwrap() {
            found += batch.num_rows();
        }
        assert_eq!((found, answer.is_cut()), (count, cut), "{sql}");
    }
    let heavy = "SELECT count(*) FROM events a, events b, events c WHERE a.duration_ms + b.duration_ms > c.duration_ms";
    let limits = QueryLimits { time: Duration::from_millis(300), ..QueryLimits::default() };
    let error = match store.query(heavy, limits).await {
        Ok(answer) => answer.collect().await.unwrap_err(),
        Err(e) => e,
    };
    assert!(matches!(error, StoreError::QueryTime(_)), "{error}");
    let limits = QueryLimits { memory: 10_000, ..QueryLimits::default() };
    let wide = "SELECT a.event_id, max(b.time) FROM events a JOIN events b ON a.event_id = b.event_id GROUP BY 1";
    let error = store.query(wide, limits).await.unwrap().collect().await.unwrap_err();
    assert!(matches!(error, StoreError::QueryMemory { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_stands_at_its_moment() {
    let (_dir, store) = fresh().await;
    store.append(vec![batch(&[event(1)])], vec![], 0).await.unwrap();
    let before = store.session(SessionUse::Detection).await.unwrap();
    store.append(vec![batch(&[event(2)])], vec![], 0).await.unwrap();
    let count = async |ctx| {
        let batches = query(ctx, "SELECT count(*) FROM events", QueryLimits::default()).await.unwrap();
        batches.collect().await.unwrap()[0].column(0).as_primitive::<Int64Type>().value(0)
    };
    assert_eq!(count(&before).await, 1);
    assert_eq!(count(&store.session(SessionUse::Detection).await.unwrap()).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bounds_of_time_are_exact_and_leave_files_unread() {
    let (_dir, store) = fresh().await;
    // Whole milliseconds, where statistics that are cut to them would be rounded.
    for day in 0..4i64 {
        let events: Vec<Event> =
            (0..5).map(|n| Event { time: START + day * DAY + n * 1_000, ..event(day as u64 * 5 + n as u64) }).collect();
        store.append(vec![batch(&events)], vec![], 0).await.unwrap();
    }
    let last = "SELECT arrow_cast(max(time), 'Int64') FROM events";
    assert_eq!(number(&store, last).await, START + 3 * DAY + 4_000);
    assert_eq!(number(&store, "SELECT arrow_cast(min(time), 'Int64') FROM events").await, START);
    let day =
        "FROM events WHERE time >= TIMESTAMP '2025-11-02T00:00:00Z' AND time <= TIMESTAMP '2025-11-02T00:00:00.004Z'";
    assert_eq!(number(&store, &format!("SELECT count(*) {day}")).await, 5);
    let plan = rows(&store, &format!("EXPLAIN ANALYZE SELECT vault_name {day}")).await;
    let plan = arrow::util::pretty::pretty_format_batches(&plan).unwrap().to_string();
    assert!(plan.contains("count_files_scanned=1"), "{plan}");
    let filters = "caller_ip = '10.0.0.1' AND correlation_id = 'x' AND time > TIMESTAMP '2025-11-02T00:00:00.001Z'";
    let plan = rows(&store, &format!("EXPLAIN ANALYZE SELECT count(*) FROM events WHERE {filters}")).await;
    let plan = arrow::util::pretty::pretty_format_batches(&plan).unwrap().to_string();
    assert!(plan.contains("row_groups_pruned_bloom_filter=3 total → 0 matched"), "{plan}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exported_alerts_are_replaced() {
    let (_dir, store) = fresh().await;
    store.write_alerts(alerts_batch(&[])).await.unwrap();
    store.write_alerts(alerts_batch(&[alert("x"), alert("y")])).await.unwrap();
    store.write_alerts(alerts_batch(&[alert("y"), alert("z")])).await.unwrap();
    assert_eq!(
        number(&store, "SELECT count(*) FROM alerts WHERE alert_id IN ('y', 'z') AND severity = 'high'").await,
        2
    );
    assert_eq!(number(&store, "SELECT count(*) FROM alerts").await, 2);
    store.write_alerts(alerts_batch(&[])).await.unwrap();
    assert_eq!(number(&store, "SELECT count(*) FROM alerts").await, 0);
    let error = store.write_alerts(batch(&[event(1)])).await.unwrap_err().to_string();
    assert!(error.contains("a batch does not fit the table 'alerts'"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_ask_no_more_of_a_reader_than_plain_parquet() {
    let (_dir, store) = fresh().await;
    let inner = &store.inner;
    for table in inner.rollups.iter().chain([&inner.events, &inner.quarantine, &inner.alerts]) {
        let latest = table.latest().await.unwrap();
        let state = latest.snapshot().unwrap();
        let protocol = state.protocol();
        assert_eq!((protocol.min_reader_version(), protocol.min_writer_version()), (1, 2), "{}", table.spec.name);
        assert!(state.metadata().partition_columns().is_empty());
    }
}
