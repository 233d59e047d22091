//! The exported `alerts` table: one flat row an alert, so that any engine can read what a person is shown.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, AsArray, TimestampMicrosecondArray};
use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use chrono::DateTime;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::error::{BoxError, StoreError};
use super::table::DataFile;
use crate::alert::{Alert, Value, rfc3339};
use crate::record::schema::Kind;

/// Name and type of every column, in order. docs/contracts.md carries this list.
static COLUMNS: LazyLock<Vec<(&str, DataType)>> = LazyLock::new(|| {
    let (text, time, long) = (Kind::Text.data_type(), Kind::Time.data_type(), Kind::Long.data_type());
    vec![
        ("alert_id", text.clone()),
        ("rule_id", text.clone()),
        ("title", text.clone()),
        ("summary", text.clone()),
        ("severity", text.clone()),
        ("risk_score", Kind::Int.data_type()),
        ("window_start", time.clone()),
        ("window_end", time.clone()),
        ("first_seen", time.clone()),
        ("last_seen", time.clone()),
        ("principal_id", text.clone()),
        ("principal_name", text.clone()),
        ("vault_name", text.clone()),
        ("caller_ip", text.clone()),
        ("entities", text.clone()),
        ("observed", DataType::Float64),
        ("expected", DataType::Float64),
        ("p_value", DataType::Float64),
        ("finding_count", long.clone()),
        ("event_count", long),
        ("evidence", text.clone()),
        ("drilldown", text.clone()),
        ("techniques", text.clone()),
        ("incident_id", text.clone()),
        ("state", text),
        ("suppressed", Kind::Bool.data_type()),
        ("created_at", time.clone()),
        ("updated_at", time),
    ]
});

/// The Arrow schema of the `alerts` table.
///
/// `entities` and `evidence` are JSON objects as text. `principal_id`, `principal_name`, `vault_name` and `caller_ip`
/// repeat these entities as text, and `techniques` is text too; a list is joined by `, `.
pub fn alerts_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let fields = COLUMNS.iter().map(|(name, kind)| Field::new(*name, kind.clone(), *name != "alert_id"));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    });
    SCHEMA.clone()
}

/// Alerts as rows of [`alerts_schema`]. A time that is no RFC 3339 becomes null.
pub fn alerts_batch(alerts: &[Alert]) -> RecordBatch {
    let columns = COLUMNS.iter().map(|(name, _)| column(name, alerts)).collect();
    RecordBatch::try_new(alerts_schema(), columns).expect("columns are built in the order and types of the schema")
}

fn column(name: &str, alerts: &[Alert]) -> ArrayRef {
    match name {
        "alert_id" => texts(alerts, |a| Some(a.alert_id.clone())),
        "rule_id" => texts(alerts, |a| Some(a.rule_id.clone())),
        "title" => texts(alerts, |a| Some(a.title.clone())),
        "summary" => texts(alerts, |a| Some(a.summary.clone())),
        "severity" => texts(alerts, |a| Some(a.severity.as_str().to_owned())),
        "risk_score" => Arc::new(alerts.iter().map(|a| Some(i32::from(a.risk_score))).collect::<Int32Array>()),
        "window_start" => times(alerts, |a| &a.window_start),
        "window_end" => times(alerts, |a| &a.window_end),
        "first_seen" => times(alerts, |a| &a.first_seen),
        "last_seen" => times(alerts, |a| &a.last_seen),
        "entities" => texts(alerts, |a| Some(serde_json::to_string(&a.entities).unwrap_or_default())),
        "observed" => Arc::new(alerts.iter().map(|a| Some(a.observed)).collect::<Float64Array>()),
        "expected" => Arc::new(alerts.iter().map(|a| Some(a.expected)).collect::<Float64Array>()),
        "p_value" => Arc::new(alerts.iter().map(|a| a.p_value).collect::<Float64Array>()),
        "finding_count" => longs(alerts, |a| a.finding_count),
        "event_count" => longs(alerts, |a| a.event_count),
        "evidence" => texts(alerts, |a| Some(serde_json::to_string(&a.evidence).unwrap_or_default())),
        "drilldown" => texts(alerts, |a| Some(a.drilldown.clone())),
        "techniques" => texts(alerts, |a| Some(a.techniques.join(", "))),
        "incident_id" => texts(alerts, |a| a.incident_id.clone()),
        "state" => texts(alerts, |a| Some(a.state.as_str().to_owned())),
        "suppressed" => Arc::new(alerts.iter().map(|a| Some(a.suppressed)).collect::<BooleanArray>()),
        "created_at" => times(alerts, |a| &a.created_at),
        "updated_at" => times(alerts, |a| &a.updated_at),
        entity => texts(alerts, |a| a.entities.get(entity).and_then(plain)),
    }
}

/// Alerts out of the files of the table, as [`alerts_batch`] wrote them. A row without an id, a rule or a window is none.
pub(super) fn read(files: &[DataFile]) -> Result<Vec<Alert>, StoreError> {
    let mut alerts = Vec::new();
    for file in files {
        let failed = |e: BoxError| StoreError::at("read", &file.path, e);
        let opened = File::open(&file.path).map_err(|e| failed(e.into()))?;
        let rows =
            ParquetRecordBatchReaderBuilder::try_new(opened).and_then(|b| b.build()).map_err(|e| failed(e.into()))?;
        for batch in rows {
            let batch = batch.map_err(|e| failed(e.into()))?;
            alerts.extend((0..batch.num_rows()).filter_map(|row| alert(&Row { batch: &batch, row })));
        }
    }
    Ok(alerts)
}

/// A row of the table.
struct Row<'a> {
    batch: &'a RecordBatch,
    row: usize,
}

impl Row<'_> {
    fn column(&self, name: &str) -> Option<&ArrayRef> {
        self.batch.column_by_name(name).filter(|column| column.is_valid(self.row))
    }

    fn text(&self, name: &str) -> Option<String> {
        Some(self.column(name)?.as_string_opt::<i32>()?.value(self.row).to_owned())
    }

    fn time(&self, name: &str) -> Option<String> {
        Some(rfc3339(self.column(name)?.as_primitive_opt::<TimestampMicrosecondType>()?.value(self.row)))
    }

    fn float(&self, name: &str) -> Option<f64> {
        Some(self.column(name)?.as_primitive_opt::<Float64Type>()?.value(self.row))
    }

    fn count(&self, name: &str) -> Option<u64> {
        u64::try_from(self.column(name)?.as_primitive_opt::<Int64Type>()?.value(self.row)).ok()
    }

    fn object(&self, name: &str) -> Option<BTreeMap<String, Value>> {
        serde_json::from_str(&self.text(name)?).ok()
    }
}

fn alert(row: &Row<'_>) -> Option<Alert> {
    let risk = row.column("risk_score").and_then(|c| c.as_primitive_opt::<Int32Type>()).map(|c| c.value(row.row));
    let techniques = row.text("techniques").unwrap_or_default();
    Some(Alert {
        alert_id: row.text("alert_id")?,
        rule_id: row.text("rule_id")?,
        title: row.text("title").unwrap_or_default(),
        summary: row.text("summary").unwrap_or_default(),
        severity: row.text("severity")?.parse().ok()?,
        risk_score: risk.and_then(|risk| u8::try_from(risk).ok()).unwrap_or(0),
        window_start: row.time("window_start")?,
        window_end: row.time("window_end")?,
        first_seen: row.time("first_seen").or_else(|| row.time("window_start"))?,
        last_seen: row.time("last_seen").or_else(|| row.time("window_end"))?,
        entities: row.object("entities").unwrap_or_default(),
        observed: row.float("observed").unwrap_or(0.0),
        expected: row.float("expected").unwrap_or(0.0),
        p_value: row.float("p_value"),
        finding_count: row.count("finding_count").unwrap_or(1),
        event_count: row.count("event_count").unwrap_or(0),
        evidence: row.object("evidence").unwrap_or_default(),
        drilldown: row.text("drilldown").unwrap_or_default(),
        techniques: techniques.split(", ").filter(|t| !t.is_empty()).map(str::to_owned).collect(),
        incident_id: row.text("incident_id"),
        state: row.text("state")?.parse().ok()?,
        suppressed: row
            .column("suppressed")
            .and_then(|c| c.as_boolean_opt())
            .is_some_and(|suppressed| suppressed.value(row.row)),
        created_at: row.time("created_at").unwrap_or_default(),
        updated_at: row.time("updated_at").unwrap_or_default(),
    })
}

/// An entity as text; a list is joined by `, `.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Array(list) => Some(list.iter().filter_map(plain).collect::<Vec<_>>().join(", ")),
        other => Some(other.to_string()),
    }
}

fn texts(alerts: &[Alert], text: impl Fn(&Alert) -> Option<String>) -> ArrayRef {
    Arc::new(alerts.iter().map(text).collect::<StringArray>())
}

fn longs(alerts: &[Alert], number: impl Fn(&Alert) -> u64) -> ArrayRef {
    Arc::new(alerts.iter().map(|a| i64::try_from(number(a)).ok()).collect::<Int64Array>())
}

fn times(alerts: &[Alert], text: impl Fn(&Alert) -> &str) -> ArrayRef {
    let micros = alerts.iter().map(|a| Some(DateTime::parse_from_rfc3339(text(a)).ok()?.timestamp_micros()));
    Arc::new(micros.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;
    use crate::alert::{AlertState, Severity};

    /// An alert with an id and little else.
    pub(in super::super) fn alert(id: &str) -> Alert {
        let time = "2025-11-01T10:00:00Z".to_owned();
        Alert {
            alert_id: id.to_owned(),
            rule_id: "mass_secret_read".to_owned(),
            title: "Many secrets".to_owned(),
            summary: "web-7 read 99 secrets".to_owned(),
            severity: Severity::High,
            risk_score: 80,
            window_start: time.clone(),
            window_end: "2025-11-01T11:00:00.5Z".to_owned(),
            first_seen: time.clone(),
            last_seen: time.clone(),
            entities: BTreeMap::from([
                ("principal_id".to_owned(), json!("p")),
                ("vault_name".to_owned(), json!(["a", "b"])),
            ]),
            observed: 99.0,
            expected: 2.5,
            p_value: None,
            finding_count: 3,
            event_count: 99,
            evidence: BTreeMap::from([("n".to_owned(), json!(1))]),
            drilldown: "SELECT 1".to_owned(),
            techniques: vec!["T1555.006".to_owned(), "T1078".to_owned()],
            incident_id: None,
            state: AlertState::Open,
            suppressed: false,
            created_at: time.clone(),
            updated_at: "yesterday".to_owned(),
        }
    }

    #[test]
    fn an_alert_is_one_flat_row() {
        let batch = alerts_batch(&[alert("x")]);
        let text = |name: &str| {
            let column = batch.column_by_name(name).unwrap().as_string::<i32>();
            column.is_valid(0).then(|| column.value(0).to_owned())
        };
        let cases = [
            ("alert_id", Some("x")),
            ("severity", Some("high")),
            ("principal_id", Some("p")),
            ("principal_name", None),
            ("vault_name", Some("a, b")),
            ("caller_ip", None),
            ("entities", Some(r#"{"principal_id":"p","vault_name":["a","b"]}"#)),
            ("evidence", Some(r#"{"n":1}"#)),
            ("techniques", Some("T1555.006, T1078")),
            ("incident_id", None),
            ("state", Some("open")),
        ];
        for (name, expected) in cases {
            assert_eq!(text(name).as_deref(), expected, "{name}");
        }
        let time = |name: &str| {
            let column = batch.column_by_name(name).unwrap();
            let column = column.as_primitive::<arrow::datatypes::TimestampMicrosecondType>();
            column.is_valid(0).then(|| column.value(0))
        };
        assert_eq!(time("window_end"), Some(1_761_994_800_500_000));
        assert_eq!(time("updated_at"), None, "no time is no time");
        let read = super::alert(&Row { batch: &batch, row: 0 }).unwrap();
        let window_end = "2025-11-01T11:00:00.500Z".to_owned();
        assert_eq!(read, Alert { window_end, updated_at: String::new(), ..alert("x") }, "it reads back");
        assert_eq!(alerts_batch(&[]).num_rows(), 0);
    }
}
