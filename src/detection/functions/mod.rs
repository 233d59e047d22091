//! SQL functions that detections use: how improbable a count is, and what an address is.
//!
//! All are pure: their answer depends on their arguments alone, so that a detection gives the same findings wherever and
//! however often it runs. Null in, null out; an argument outside a function's domain gives null, never an error, so that
//! one odd row does not end a query.

use std::fmt;
use std::hash::{Hash, Hasher};

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature};
use datafusion::prelude::SessionContext;

mod address;
mod environment;
mod tails;

/// What a function is, for `rules` and the documentation.
#[derive(Debug, Clone, Copy)]
pub struct Description {
    /// Its name in SQL.
    pub name: &'static str,
    /// Its arguments.
    pub arguments: &'static str,
    /// Formula, domain, and the answers at the edges.
    pub about: &'static str,
}

/// Makes all functions known to a session.
pub fn register(ctx: &SessionContext) {
    for function in all() {
        ctx.register_udf(ScalarUDF::new_from_impl(function));
    }
}

/// All functions, in the order of their documentation.
pub fn descriptions() -> Vec<Description> {
    all().map(|f| f.description).collect()
}

fn all() -> impl Iterator<Item = Function> {
    tails::functions().into_iter().chain(address::functions()).chain(environment::functions())
}

/// A pure function over arrays of one length.
type Body = fn(&[ArrayRef]) -> Result<ArrayRef>;

struct Function {
    description: Description,
    signature: Signature,
    returns: DataType,
    body: Body,
}

// Two functions of one name are the same function: the planner compares and hashes them.
impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.description.name == other.description.name
    }
}

impl Eq for Function {}

impl Hash for Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.description.name.hash(state);
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.description.name)
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.description.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.returns.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let scalar = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let result = (self.body)(&arrays)?;
        if scalar && result.len() == 1 {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?));
        }
        Ok(ColumnarValue::Array(result))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text of a query's only value.
    async fn value(sql: &str) -> String {
        let ctx = SessionContext::new();
        register(&ctx);
        let batches = ctx.sql(sql).await.unwrap().collect().await.unwrap();
        let column = batches[0].column(0);
        datafusion::arrow::util::display::array_value_to_string(column, 0).unwrap()
    }

    #[tokio::test]
    async fn sql_calls_them_with_whole_numbers_scalars_columns_and_nulls() {
        for (sql, expected) in [
            ("SELECT poisson_sf(0, 3)", "1.0"),
            ("SELECT poisson_sf(1, 0)", "0.0"),
            ("SELECT poisson_sf(NULL, 3)", ""),
            ("SELECT poisson_sf(3, -1)", ""),
            ("SELECT round(sum(poisson_sf(k, 1.0)), 3) FROM (VALUES (1), (2)) t(k)", "0.896"),
            ("SELECT round(binomial_sf(k, 2, 0.5), 9) FROM (VALUES (2)) t(k)", "0.25"),
            ("SELECT round(negative_binomial_sf(2, 1, 1), 6)", "0.25"),
            ("SELECT round(beta_binomial_sf(2, 2, 1, 1), 6)", "0.333333"),
            ("SELECT round(robust_z(10, 4, 2), 4)", "2.0235"),
            ("SELECT round(fisher_combine(0.05), 9)", "0.05"),
            ("SELECT round(fisher_combine([0.05, NULL]), 9)", "0.05"),
            ("SELECT round(fisher_combine(0.1, 0.1), 5)", "0.05605"),
            ("SELECT ip_is_private('10.1.2.3')", "true"),
            ("SELECT ip_is_private('nonsense')", ""),
            ("SELECT ip_in_cidr('10.1.2.3', '10.0.0.0/8')", "true"),
            ("SELECT ip_network('10.1.2.3')", "10.1.2.0/24"),
            ("SELECT ip_network('2001:db8:1:2::3')", "2001:db8:1::/48"),
            ("SELECT ip_network('10.1.2.3', 8)", "10.0.0.0/8"),
            ("SELECT ip_network(a, n) FROM (VALUES ('10.1.2.3', 33)) t(a, n)", ""),
            ("SELECT ip_network('nonsense')", ""),
            ("SELECT environment_of('kv-shop-prd')", "production"),
            ("SELECT environment_of('kv-shop')", "unknown"),
            ("SELECT environment_of(NULL)", "unknown"),
            (
                "SELECT environment_of(a, b, 'kv-dev') FROM (VALUES ('kv-shop', CAST(NULL AS TEXT))) t(a, b)",
                "development",
            ),
            ("SELECT environment_of('kv-test', 'rg-prod')", "test"),
            (
                "SELECT sum(CASE WHEN ip_in_cidr(a, '10.0.0.0/8') THEN 1 ELSE 0 END) FROM (VALUES ('10.0.0.1'), ('1.1.1.1')) t(a)",
                "1",
            ),
        ] {
            assert_eq!(value(sql).await, expected, "{sql}");
        }
    }

    #[test]
    fn every_function_says_what_it_does() {
        for d in descriptions() {
            assert!(d.about.len() > 40 && d.about.to_lowercase().contains("null"), "{}", d.name);
        }
    }
}
