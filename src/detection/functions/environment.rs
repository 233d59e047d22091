//! What environment a name tells, for names that no table explains.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{Signature, TypeSignature, Volatility};

use super::{Description, Function};
use crate::world;

pub(super) fn functions() -> Vec<Function> {
    vec![Function {
        description: Description {
            name: "environment_of",
            arguments: "name [, name …]",
            about: "The environment that the first of up to five names tells which tells one: production, staging, test or \
                    development, by words like prd, uat, qa, sandbox, alone or glued (kvprod01). Null, user names and GUIDs \
                    tell nothing; where no name tells any it is 'unknown', never null.",
        },
        signature: Signature::one_of((1..=5).map(TypeSignature::String).collect(), Volatility::Immutable),
        returns: DataType::Utf8,
        body: environment_of,
    }]
}

fn environment_of(arrays: &[ArrayRef]) -> Result<ArrayRef> {
    let names: Vec<StringArray> = arrays
        .iter()
        .map(|array| Ok(cast(array, &DataType::Utf8)?.as_string::<i32>().clone()))
        .collect::<Result<_>>()?;
    // Vaults and callers are few and rows are many: each name is looked at once.
    let mut known: HashMap<&str, Option<&'static str>> = HashMap::new();
    let rows = arrays.first().map_or(0, |first| first.len());
    let environments = (0..rows).map(|row| {
        let told = names.iter().filter(|column| column.is_valid(row)).find_map(|column| {
            let name = column.value(row);
            *known.entry(name).or_insert_with(|| world::environment_of(name))
        });
        Some(told.unwrap_or("unknown"))
    });
    Ok(Arc::new(environments.collect::<StringArray>()))
}
