//! The SQL that shows the records behind an alert. Values come from logs and may be hostile: each is quoted.

use std::fmt::Write;

use crate::alert::{Micros, rfc3339};
use crate::record::schema::{COLUMNS, Kind};

/// What an analyst reads first; `SELECT *` would be 60 columns wide.
const SHOWN: &str = "time, operation_name, outcome, http_status_code, vault_name, object_type, object_name, \
                     principal_id, principal_name, caller_ip, client_product, request_uri, correlation_id";

/// More different filters than this among an alert's findings are left out: the SQL then shows more records, not fewer.
const MAX_FILTERS: usize = 16;

/// What a filter begins with that shows records beside those of the key: a challenge names no caller.
const BESIDE: &str = "OR ";

/// SQL over `events`, for `kvaudit query`: the records from `start` to before `end` whose columns equal the key's
/// values and that one of `filters` (SQL of the rule's own) lets through, where there are any. A value "" stands for
/// null; with a filter of the rule's own it says nothing, since the key is then of several scopes and the filter knows.
/// Filters that begin with [`BESIDE`] add records instead.
pub(super) fn sql(start: Micros, end: Micros, key: &[(String, String)], filters: &[&str]) -> String {
    let beside: Vec<&str> = filters.iter().filter_map(|filter| filter.trim_start().strip_prefix(BESIDE)).collect();
    let narrow = if beside.is_empty() { filters } else { &[] };
    let mut of_the_key = Vec::new();
    for (column, value) in key {
        if !COLUMNS.iter().any(|c| c.name == column && c.kind == Kind::Text) {
            continue;
        }
        if !value.is_empty() {
            of_the_key.push(format!("{column} = {}", quoted(value)));
        } else if narrow.is_empty() {
            of_the_key.push(format!("{column} IS NULL"));
        }
    }
    let mut sql = format!("SELECT {SHOWN}\nFROM events\nWHERE time >= {} AND time < {}", time(start), time(end));
    if !of_the_key.is_empty() && (1..=MAX_FILTERS).contains(&beside.len()) {
        write!(sql, "\n  AND ({}", of_the_key.join(" AND ")).expect("writing to a String");
        for filter in &beside {
            // On lines of its own, so that a comment at its end does not swallow the bracket.
            write!(sql, "\n    OR (\n    {filter}\n    )").expect("writing to a String");
        }
        sql.push_str("\n  )");
    } else {
        for condition in &of_the_key {
            write!(sql, "\n  AND {condition}").expect("writing to a String");
        }
    }
    if (1..=MAX_FILTERS).contains(&narrow.len()) {
        sql.push_str("\n  AND (\n    (");
        sql.push_str(&narrow.join("\n    ) OR (\n    "));
        sql.push_str("\n    )\n  )");
    }
    sql.push_str("\nORDER BY time");
    sql
}

fn time(micros: Micros) -> String {
    format!("TIMESTAMP '{}'", rfc3339(micros))
}

/// A SQL string literal: a quote is doubled, and nothing else is special in one.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use arrow::record_batch::RecordBatch;
    use datafusion::prelude::SessionContext;
    use proptest::prelude::*;
    use std::sync::Arc;

    use crate::record::schema;

    /// Rows of (time, principal, vault), all other columns null.
    fn events(rows: &[(Micros, Option<&str>, Option<&str>)]) -> RecordBatch {
        use arrow::array::{ArrayRef, BinaryArray, StringArray, TimestampMicrosecondArray, new_null_array};
        let schema = schema::events();
        let columns = schema.fields().iter().map(|field| -> ArrayRef {
            match field.name().as_str() {
                "time" => {
                    let times = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|r| r.0));
                    Arc::new(times.with_timezone("UTC"))
                }
                "event_id" => Arc::new(BinaryArray::from_iter_values(rows.iter().map(|_| b"id"))),
                "principal_id" => Arc::new(rows.iter().map(|r| r.1).collect::<StringArray>()),
                "vault_name" => Arc::new(rows.iter().map(|r| r.2).collect::<StringArray>()),
                _ => new_null_array(field.data_type(), rows.len()),
            }
        });
        RecordBatch::try_new(schema.clone(), columns.collect()).unwrap()
    }

    fn count(batch: RecordBatch, sql: &str) -> usize {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let context = SessionContext::new();
            context.register_batch("events", batch).unwrap();
            let frame = context.sql(sql).await.unwrap_or_else(|e| panic!("{e}\n{sql}"));
            frame.collect().await.unwrap().iter().map(RecordBatch::num_rows).sum()
        })
    }

    fn key(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    }

    #[test]
    fn selects_the_time_range_half_open_and_the_key() {
        let rows = [
            (1_000_000, Some("p"), Some("v")),
            (1_999_999, Some("p"), Some("v")),
            (2_000_000, Some("p"), Some("v")),
            (1_500_000, Some("q"), Some("v")),
            (1_500_000, Some("p"), None),
        ];
        let all = [("principal_id", "p"), ("vault_name", "v"), ("no_column", "x")];
        assert_eq!(count(events(&rows), &sql(1_000_000, 2_000_000, &key(&all), &[])), 2);
        let absent = [("principal_id", "p"), ("vault_name", "")];
        assert_eq!(count(events(&rows), &sql(1_000_000, 2_000_000, &key(&absent), &[])), 1);
    }

    #[test]
    fn filters_of_the_rule_narrow_it_even_with_a_comment_at_their_end() {
        let rows = [(1, Some("p"), Some("a")), (1, Some("p"), Some("b")), (1, Some("p"), Some("c"))];
        let text = sql(0, 2, &key(&[("principal_id", "p")]), &["vault_name = 'a' -- one", "vault_name = 'b'"]);
        assert_eq!(count(events(&rows), &text), 2);
        let many: Vec<String> = (0..MAX_FILTERS + 1).map(|i| format!("http_status_code = {i}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(count(events(&rows), &sql(0, 2, &[], &many)), 3);
    }

    #[test]
    fn a_filter_that_begins_with_or_shows_records_beside_those_of_the_key() {
        let rows = [(1, Some("p"), Some("a")), (1, None, Some("a")), (1, None, Some("b")), (1, Some("q"), Some("a"))];
        let beside = "OR principal_id IS NULL AND vault_name = 'a' -- challenges";
        let key = key(&[("principal_id", "p"), ("vault_name", "a")]);
        assert_eq!(count(events(&rows), &sql(0, 2, &key, &[beside])), 2);
        assert_eq!(count(events(&rows), &sql(2, 3, &key, &[beside])), 0, "the time holds for both");
        let many: Vec<String> = (0..MAX_FILTERS + 1).map(|i| format!("OR http_status_code = {i}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(count(events(&rows), &sql(0, 2, &key, &many)), 1, "too many: the key's alone");
    }

    #[test]
    fn hostile_values_stay_values() {
        for value in ["' OR 1=1 --", "''", "\\' OR TRUE --", "a\nb", "x'; DROP TABLE events; --", "\u{202e}evil", "$1"]
        {
            let rows = [(1, Some(value), None), (1, Some("other"), None)];
            assert_eq!(count(events(&rows), &sql(0, 2, &key(&[("principal_id", value)]), &[])), 1, "{value}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn any_value_selects_its_own_record_only(value in "[\\PC'\\\\\"\n$;-]{1,12}") {
            let rows = [(1, Some(value.as_str()), None), (1, Some("~other~"), None)];
            prop_assert_eq!(count(events(&rows), &sql(0, 2, &key(&[("principal_id", &value)]), &[])), 1);
        }
    }
}
