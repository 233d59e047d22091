//! Rows of the event table as a test file writes them, to an Arrow batch of [`crate::record::schema`].

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use toml::{Table, Value};

use super::parameter::parse_duration;
use crate::alert::Micros;
use crate::record::schema::{self, COLUMNS, Column, Kind};

/// One event: its time and the columns that the test names.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub time: Micros,
    pub columns: Table,
}

/// A batch of the event table.
///
/// # Errors
/// A column that does not exist, or a value of another type than its column's.
pub(super) fn batch(rows: &[Row]) -> Result<RecordBatch, String> {
    let named = rows.iter().flat_map(|row| row.columns.keys());
    if let Some(unknown) = named.into_iter().find(|name| !COLUMNS.iter().any(|c| c.name == name.as_str())) {
        return Err(format!("the event table has no column '{unknown}'"));
    }
    let rows: Vec<Row> = rows.iter().map(derived).collect();
    let arrays = COLUMNS.iter().map(|column| array(column, &rows)).collect::<Result<Vec<_>, _>>()?;
    RecordBatch::try_new(schema::events(), arrays).map_err(|e| e.to_string())
}

fn array(column: &Column, rows: &[Row]) -> Result<ArrayRef, String> {
    let name = column.name;
    Ok(match column.kind {
        Kind::Time if name == "time" => {
            Arc::new(rows.iter().map(|r| Some(r.time)).collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
        }
        Kind::Time => {
            let times = collect(name, rows, |v| v.as_str().and_then(|t| parse_time(t, 0).ok()))?;
            Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC"))
        }
        Kind::Text => Arc::new(StringArray::from(collect(name, rows, Value::as_str)?)),
        Kind::Int => {
            let number = |v: &Value| v.as_integer().and_then(|i| i32::try_from(i).ok());
            Arc::new(Int32Array::from(collect(name, rows, number)?))
        }
        Kind::Long => Arc::new(Int64Array::from(collect(name, rows, Value::as_integer)?)),
        Kind::Bool => Arc::new(BooleanArray::from(collect(name, rows, Value::as_bool)?)),
        // The identity: unique by position, as each record of a test stands for another one.
        Kind::Bytes => Arc::new((0..rows.len()).map(|i| Some((i as u128).to_be_bytes())).collect::<BinaryArray>()),
    })
}

fn collect<'a, T>(
    name: &str,
    rows: &'a [Row],
    read: impl Fn(&'a Value) -> Option<T>,
) -> Result<Vec<Option<T>>, String> {
    let cell = |row: &'a Row| match row.columns.get(name) {
        // TOML has no null: an empty text stands for it where a default is to be taken back.
        None => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(value) => read(value).map(Some).ok_or_else(|| format!("column '{name}' cannot hold {value}")),
    };
    rows.iter().map(cell).collect()
}

/// A time: RFC 3339, or an offset like `+5m` or `-14d` from `start`.
pub(super) fn parse_time(text: &str, start: Micros) -> Result<Micros, String> {
    if let Some(offset) = text.strip_prefix('+') {
        return Ok(start + parse_duration(offset)?);
    }
    if let Some(offset) = text.strip_prefix('-') {
        return Ok(start - parse_duration(offset)?);
    }
    chrono::DateTime::parse_from_rfc3339(text).map(|t| t.timestamp_micros()).map_err(|_| {
        format!("'{text}' is no time: write RFC 3339, or an offset from the case's start like \"+5m\" or \"-14d\"")
    })
}

/// STAND-IN for record's tables: what the decoder would derive from operation and status, where the test leaves it out.
fn derived(row: &Row) -> Row {
    let mut row = row.clone();
    let text = |row: &Row, name: &str| row.columns.get(name).and_then(Value::as_str).map(str::to_owned);
    let fill = |row: &mut Row, name: &str, value: Option<&str>| {
        if let Some(value) = value {
            row.columns.entry(name.to_owned()).or_insert_with(|| value.into());
        }
    };
    fill(&mut row, "category", Some("AuditEvent"));
    fill(&mut row, "operation_name", Some("SecretGet"));
    let operation = text(&row, "operation_name").unwrap_or_default();
    let status =
        *row.columns.entry("http_status_code").or_insert(Value::Integer(200)).as_integer().as_ref().unwrap_or(&200);
    fill(&mut row, "operation_class", Some(operation_class(&operation)));
    fill(&mut row, "object_type", object_type(&operation));
    fill(&mut row, "outcome", Some(outcome(&operation, status)));
    let known = text(&row, "principal_id").is_some_and(|id| !id.is_empty());
    fill(&mut row, "principal_type", Some(if known { "application" } else { "anonymous" }));
    row
}

fn object_type(operation: &str) -> Option<&'static str> {
    let types = [("Secret", "secret"), ("Key", "key"), ("Certificate", "certificate"), ("Vault", "vault")];
    types.into_iter().find(|(prefix, _)| operation.starts_with(prefix)).map(|(_, name)| name)
}

fn operation_class(operation: &str) -> &'static str {
    let classes: [(&str, &[&str]); 10] = [
        ("notify", &["EventGridNotification"]),
        ("list", &["List", "ListVersions", "ListDeleted"]),
        ("read", &["Get", "GetDeleted"]),
        ("purge", &["Purge"]),
        ("delete", &["Delete"]),
        ("backup", &["Backup"]),
        ("restore", &["Restore", "Recover"]),
        ("crypto", &["Sign", "Verify", "Wrap", "Unwrap", "Encrypt", "Decrypt"]),
        ("write", &["Set", "Create", "Import", "Update", "Rotate"]),
        ("authenticate", &["Authentication"]),
    ];
    match classes.into_iter().find(|(_, verbs)| verbs.iter().any(|verb| operation.ends_with(verb))) {
        Some((class, _)) => class,
        None if operation.starts_with("Vault") => "control",
        None => "other",
    }
}

fn outcome(operation: &str, status: i64) -> &'static str {
    match status {
        200..=299 => "success",
        401 if operation == "Authentication" => "challenge",
        401 | 403 => "denied",
        404 => "not_found",
        429 => "throttled",
        400..=499 => "client_error",
        500..=599 => "server_error",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::util::display::array_value_to_string;

    fn cell(toml: &str, column: &str) -> Result<String, String> {
        let rows = [Row { time: 0, columns: toml::from_str(toml).unwrap() }];
        let batch = batch(&rows)?;
        Ok(array_value_to_string(batch.column(schema::index(column)), 0).unwrap())
    }

    #[test]
    fn what_a_test_leaves_out_is_derived() {
        for (toml, column, expected) in [
            ("", "operation_class", "read"),
            ("", "outcome", "success"),
            ("http_status_code = 429", "outcome", "throttled"),
            ("http_status_code = 429\noutcome = \"denied\"", "outcome", "denied"),
            ("operation_name = \"Authentication\"\nhttp_status_code = 401", "outcome", "challenge"),
            ("operation_name = \"KeySign\"", "operation_class", "crypto"),
            ("operation_name = \"SecretListVersions\"", "operation_class", "list"),
            ("operation_name = \"KeySign\"", "object_type", "key"),
            ("principal_id = \"a\"", "principal_type", "application"),
            ("principal_id = \"\"", "principal_id", ""),
            ("expires_at = \"2026-01-01T00:00:00Z\"", "expires_at", "2026-01-01T00:00:00Z"),
        ] {
            assert_eq!(cell(toml, column).unwrap(), expected, "{toml}");
        }
    }

    #[test]
    fn a_wrong_column_or_type_is_named() {
        assert_eq!(cell("vault = \"a\"", "time").unwrap_err(), "the event table has no column 'vault'");
        assert_eq!(cell("vault_name = 5", "time").unwrap_err(), "column 'vault_name' cannot hold 5");
        assert!(cell("duration_ms = 1.5", "time").is_err());
    }
}
