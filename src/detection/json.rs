//! Any value of a result to JSON: times as RFC 3339, lists as arrays, numbers as numbers, NaN and infinities as null.

use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::util::display::array_value_to_string;

use crate::alert::{Value, rfc3339};

/// The type of every time column behind [`as_time`].
fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// One value of a column.
///
/// # Errors
/// A value of a type that Arrow cannot print.
pub(super) fn value(array: &dyn Array, row: usize) -> Result<Value, ArrowError> {
    if array.is_null(row) {
        return Ok(Value::Null);
    }
    let one = array.slice(row, 1);
    Ok(match array.data_type() {
        DataType::Null => Value::Null,
        DataType::Boolean => one.as_boolean().value(0).into(),
        // Decimal fractions, too: a reader of evidence wants the number, not the type.
        t if t.is_floating() || t.is_decimal() => {
            number(cast(&one, &DataType::Float64)?.as_primitive::<Float64Type>().value(0))
        }
        DataType::UInt64 => Value::from(one.as_primitive::<datafusion::arrow::datatypes::UInt64Type>().value(0)),
        t if t.is_integer() => cast(&one, &DataType::Int64)?.as_primitive::<Int64Type>().value(0).into(),
        DataType::Timestamp(_, _) => {
            rfc3339(cast(&one, &time_type())?.as_primitive::<TimestampMicrosecondType>().value(0)).into()
        }
        DataType::List(_) => list(&one.as_list::<i32>().value(0))?,
        DataType::LargeList(_) => list(&one.as_list::<i64>().value(0))?,
        DataType::FixedSizeList(_, _) => list(&one.as_fixed_size_list().value(0))?,
        DataType::Struct(fields) => {
            let columns = fields.iter().zip(one.as_struct().columns());
            let members = columns.map(|(field, column)| Ok((field.name().clone(), value(column, 0)?)));
            Value::Object(members.collect::<Result<_, ArrowError>>()?)
        }
        _ => array_value_to_string(&one, 0)?.into(),
    })
}

fn list(items: &dyn Array) -> Result<Value, ArrowError> {
    Ok(Value::Array((0..items.len()).map(|i| value(items, i)).collect::<Result<_, ArrowError>>()?))
}

/// A number of JSON; a whole one without its point, NaN and the infinities as null.
fn number(x: f64) -> Value {
    serde_json::Number::from_f64(x).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::prelude::SessionContext;

    #[tokio::test]
    async fn every_type_that_sql_yields_has_a_json_form() {
        for (sql, expected) in [
            ("NULL", "null"),
            ("1 > 0", "true"),
            ("42", "42"),
            ("0.5", "0.5"),
            ("CAST('NaN' AS DOUBLE)", "null"),
            ("CAST(1.25 AS DECIMAL(5, 2))", "1.25"),
            ("arrow_cast(18446744073709551615, 'UInt64')", "18446744073709551615"),
            ("timestamp '2026-01-01T00:00:00.5'", "\"2026-01-01T00:00:00.500Z\""),
            ("arrow_cast('2026-01-01T00:00:00Z', 'Timestamp(Nanosecond, Some(\"UTC\"))')", "\"2026-01-01T00:00:00Z\""),
            ("date '2026-01-01'", "\"2026-01-01\""),
            ("arrow_cast('a', 'Dictionary(Int32, Utf8)')", "\"a\""),
            ("arrow_cast('a', 'Utf8View')", "\"a\""),
            ("X'0aff'", "\"0aff\""),
            ("['a', NULL]", "[\"a\",null]"),
            ("[timestamp '2026-01-01T00:00:00']", "[\"2026-01-01T00:00:00Z\"]"),
            ("[named_struct('name', 'a', 'calls', 2)]", "[{\"name\":\"a\",\"calls\":2}]"),
        ] {
            let ctx = SessionContext::new();
            let batches = ctx.sql(&format!("SELECT {sql}")).await.unwrap().collect().await.unwrap();
            let json = value(batches[0].column(0), 0).unwrap();
            assert_eq!(json, serde_json::from_str::<Value>(expected).unwrap(), "{sql}");
        }
    }
}
