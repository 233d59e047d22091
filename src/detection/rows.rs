//! The rows of a detection's answer to findings, checked against the contract: required columns and their types before
//! it runs, windows and keys row by row. Knows nothing of how the rows came about.

use std::collections::{BTreeMap, HashSet};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type, Schema, TimeUnit, TimestampMicrosecondType};
use datafusion::arrow::error::ArrowError;

use super::{Period, Rule, json};
use crate::alert::{ENTITY_COLUMNS, Finding, Micros, Severity, Value, finding_id, rfc3339};

/// Columns of a finding that are neither entity nor evidence.
const CONTRACT: [&str; 8] =
    ["window_start", "window_end", "observed", "expected", "p_value", "severity", "summary", "event_count"];

/// Everything that is wrong with the columns of a detection's answer; empty if it keeps the contract.
pub(super) fn schema_problems(rule: &Rule, schema: &Schema) -> Vec<String> {
    let mut problems = Vec::new();
    let mut names = HashSet::new();
    for field in schema.fields() {
        if !names.insert(field.name()) {
            problems.push(format!("two columns are called '{}': name them apart with AS", field.name()));
        }
    }
    let mut column = |name: &str, required: bool, is: fn(&DataType) -> bool, kind: &str| match schema
        .field_with_name(name)
    {
        Err(_) if required => problems.push(format!("there is no column '{name}' ({kind}): add one with AS {name}")),
        Ok(field) if !is(field.data_type()) && *field.data_type() != DataType::Null => {
            problems.push(format!("column '{name}' is {} and not {kind}: cast it", field.data_type()));
        }
        _ => {}
    };
    column("window_start", true, is_time, "a timestamp");
    column("window_end", true, is_time, "a timestamp");
    column("observed", true, DataType::is_numeric, "a number");
    column("expected", true, DataType::is_numeric, "a number");
    column("p_value", false, DataType::is_numeric, "a number");
    column("event_count", false, DataType::is_numeric, "a number");
    column("severity", false, is_text, "text");
    column("summary", false, is_text, "text");
    for name in &rule.header.key {
        column(name, true, is_text, "text, as part of the key");
    }
    for name in ENTITY_COLUMNS {
        column(name, false, is_text_or_texts, "text or a list of text");
    }
    problems
}

fn is_time(t: &DataType) -> bool {
    matches!(t, DataType::Timestamp(_, _))
}

fn is_text(t: &DataType) -> bool {
    match t {
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

fn is_text_or_texts(t: &DataType) -> bool {
    match t {
        DataType::List(item) | DataType::LargeList(item) => is_text(item.data_type()) || item.data_type().is_null(),
        t => is_text(t),
    }
}

/// Reads the batches of one period's answer.
pub(super) struct Reader<'a> {
    rule: &'a Rule,
    period: Period,
    seen: HashSet<(Vec<String>, Micros)>,
}

impl<'a> Reader<'a> {
    /// For the rows of one detection and one aligned period.
    pub(super) fn new(rule: &'a Rule, period: Period) -> Self {
        Self { rule, period, seen: HashSet::new() }
    }

    /// The findings of a batch whose schema has no [`schema_problems`].
    ///
    /// # Errors
    /// What is wrong with a row, naming its key and window.
    pub(super) fn findings(&mut self, batch: &RecordBatch) -> Result<Vec<Finding>, String> {
        let columns = Columns::new(self.rule, batch).map_err(|e| format!("a result column cannot be read: {e}"))?;
        (0..batch.num_rows()).map(|row| self.finding(&columns, batch, row)).collect()
    }

    fn finding(&mut self, columns: &Columns, batch: &RecordBatch, row: usize) -> Result<Finding, String> {
        let key: Vec<(String, String)> = self.rule.header.key.iter().cloned().zip(columns.key_values(row)).collect();
        let who = || key.iter().map(|(name, value)| format!("{name} = '{value}'")).collect::<Vec<_>>().join(", ");
        let (window_start, window_end) = columns.window(row).ok_or_else(|| format!("a window is null at {}", who()))?;
        self.check_window(window_start, window_end).map_err(|e| format!("{e} at {}", who()))?;
        if !self.seen.insert((key.iter().map(|(_, value)| value.clone()).collect(), window_end)) {
            let end = rfc3339(window_end);
            return Err(format!("two rows for {} and the window that ends {end}: yield the strongest alone", who()));
        }
        let number = |column: &Float64Array, name: &str| match column.is_valid(row).then(|| column.value(row)) {
            Some(x) if x.is_finite() => Ok(x),
            other => Err(format!(
                "{name} is {other:?} at {}, window end {}: it must be a number",
                who(),
                rfc3339(window_end)
            )),
        };
        let observed = number(&columns.observed, "observed")?;
        let expected = number(&columns.expected, "expected")?;
        let severity = match columns.text(&columns.severity, row) {
            Some(text) => text.parse::<Severity>().map_err(|e| format!("severity at {}: {e}", who()))?,
            None => self.rule.header.severity,
        };
        let (entities, evidence) = columns.others(batch, row).map_err(|e| format!("a value at {}: {e}", who()))?;
        let mut finding = Finding {
            finding_id: finding_id(&self.rule.id, &key, window_end),
            rule_id: self.rule.id.clone(),
            window_start,
            window_end,
            observed,
            expected,
            p_value: columns.p_value(row),
            severity,
            summary: columns.text(&columns.summary, row).unwrap_or_default(),
            event_count: columns.event_count(row),
            key,
            entities,
            evidence,
        };
        if finding.summary.trim().is_empty() {
            finding.summary = plain_summary(&self.rule.header.title, &finding);
        }
        Ok(finding)
    }

    fn check_window(&self, start: Micros, end: Micros) -> Result<(), String> {
        let every = self.rule.header.every;
        if start >= end {
            return Err(format!("window_start {} is not before window_end {}", rfc3339(start), rfc3339(end)));
        }
        if end.rem_euclid(every) != 0 {
            let step = super::parameter::duration_text(every);
            return Err(format!("window_end {} is no multiple of every = {step}", rfc3339(end)));
        }
        if !self.period.holds(end) {
            let (from, to) = (rfc3339(self.period.from), rfc3339(self.period.to));
            return Err(format!(
                "window_end {} lies outside the period {from} to {to}: add WHERE window_end > $from AND window_end <= $to",
                rfc3339(end)
            ));
        }
        Ok(())
    }
}

/// A sentence for a detection that gives none.
fn plain_summary(title: &str, finding: &Finding) -> String {
    let who: Vec<_> = finding.key.iter().filter(|(_, v)| !v.is_empty()).map(|(_, v)| v.as_str()).collect();
    let p = finding.p_value.map(|p| format!(", p = {p:.1e}")).unwrap_or_default();
    format!(
        "{title}: {}, {} observed where {} were expected{p}, {} to {}.",
        if who.is_empty() { "unknown".to_owned() } else { who.join(", ") },
        round(finding.observed),
        round(finding.expected),
        rfc3339(finding.window_start),
        rfc3339(finding.window_end)
    )
}

fn round(x: f64) -> f64 {
    if x.abs() >= 100.0 { x.round() } else { (x * 100.0).round() / 100.0 }
}

/// The columns of a batch, cast to the types that findings have.
struct Columns {
    keys: Vec<StringArray>,
    start: ArrayRef,
    end: ArrayRef,
    observed: Float64Array,
    expected: Float64Array,
    p_value: Option<Float64Array>,
    severity: Option<StringArray>,
    summary: Option<StringArray>,
    event_count: Option<ArrayRef>,
}

impl Columns {
    fn new(rule: &Rule, batch: &RecordBatch) -> Result<Self, ArrowError> {
        let optional = |name: &str, to: DataType| batch.column_by_name(name).map(|c| cast(c, &to)).transpose();
        let required = |name: &str, to: DataType| {
            optional(name, to)?.ok_or_else(|| ArrowError::SchemaError(format!("there is no column '{name}'")))
        };
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let float = |array: ArrayRef| array.as_primitive::<Float64Type>().clone();
        let text = |array: ArrayRef| array.as_string::<i32>().clone();
        Ok(Self {
            keys: rule
                .header
                .key
                .iter()
                .map(|k| Ok(text(required(k, DataType::Utf8)?)))
                .collect::<Result<_, ArrowError>>()?,
            start: required("window_start", time.clone())?,
            end: required("window_end", time)?,
            observed: float(required("observed", DataType::Float64)?),
            expected: float(required("expected", DataType::Float64)?),
            p_value: optional("p_value", DataType::Float64)?.map(float),
            severity: optional("severity", DataType::Utf8)?.map(text),
            summary: optional("summary", DataType::Utf8)?.map(text),
            event_count: optional("event_count", DataType::Int64)?,
        })
    }

    fn key_values(&self, row: usize) -> impl Iterator<Item = String> {
        self.keys.iter().map(move |k| if k.is_null(row) { String::new() } else { k.value(row).to_owned() })
    }

    fn window(&self, row: usize) -> Option<(Micros, Micros)> {
        let at = |column: &ArrayRef| {
            column.is_valid(row).then(|| column.as_primitive::<TimestampMicrosecondType>().value(row))
        };
        at(&self.start).zip(at(&self.end))
    }

    fn text(&self, column: &Option<StringArray>, row: usize) -> Option<String> {
        column.as_ref().filter(|c| c.is_valid(row)).map(|c| c.value(row).to_owned())
    }

    /// Null, NaN and what is no probability are none: a finding may lack one, and must not carry a false one.
    fn p_value(&self, row: usize) -> Option<f64> {
        let column = self.p_value.as_ref().filter(|c| c.is_valid(row))?;
        Some(column.value(row)).filter(|p| (0.0..=1.0).contains(p))
    }

    fn event_count(&self, row: usize) -> Option<i64> {
        let column = self.event_count.as_ref().filter(|c| c.is_valid(row))?;
        Some(column.as_primitive::<Int64Type>().value(row))
    }

    /// Entities and evidence: every column that the contract does not name. Nulls are left out of both.
    fn others(&self, batch: &RecordBatch, row: usize) -> Result<(Map, Map), ArrowError> {
        let (mut entities, mut evidence) = (Map::new(), Map::new());
        for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            let name = field.name();
            if CONTRACT.contains(&name.as_str()) {
                continue;
            }
            let value = json::value(column, row)?;
            match (ENTITY_COLUMNS.contains(&name.as_str()), value) {
                (true, Value::Array(items)) => {
                    let items: Vec<_> = items.into_iter().filter(|item| !item.is_null()).collect();
                    if !items.is_empty() {
                        entities.insert(name.clone(), Value::Array(items));
                    }
                }
                (true, Value::Null) => {}
                (true, value) => drop(entities.insert(name.clone(), value)),
                (false, value) => drop(evidence.insert(name.clone(), value)),
            }
        }
        Ok((entities, evidence))
    }
}

type Map = BTreeMap<String, Value>;
