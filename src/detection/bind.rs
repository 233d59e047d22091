//! The SQL of a detection as a syntax tree, and its `$names` in it: found when the file is read, replaced when it runs.
//!
//! Values enter before planning, as typed literals. DataFusion also binds parameters into a finished plan, but plans the
//! unbound ones as of unknown type, which refuses `date_bin($every, time) + $window` behind a subquery, intervals in
//! VALUES, and frame bounds.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use datafusion::sql::parser::{DFParser, Statement as DfStatement};
use datafusion::sql::sqlparser::ast::{
    Expr, Statement, Value, ValueWithSpan, visit_expressions, visit_expressions_mut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::parameter::Parameter;

/// Parses the text of a file (its header is comments) as exactly one query.
///
/// # Errors
/// The parser's message, or what stands there in place of a query.
pub(super) fn parse(sql: &str) -> Result<Statement, String> {
    crate::store::check_depth(sql)?;
    let mut statements = DFParser::parse_sql_with_dialect(sql, &GenericDialect {}).map_err(|e| root(&e))?;
    match (statements.pop_front(), statements.is_empty()) {
        (None, _) => Err("no query behind the header: a detection is one SELECT".to_owned()),
        (Some(DfStatement::Statement(statement)), true) if matches!(*statement, Statement::Query(_)) => Ok(*statement),
        (Some(_), true) => Err("this is no query: a detection is one SELECT and changes nothing".to_owned()),
        (Some(_), false) => Err("more than one statement: a detection is one SELECT".to_owned()),
    }
}

/// The text of a DataFusion error's root, once, on one line and without a backtrace.
pub(super) fn root(error: &datafusion::error::DataFusionError) -> String {
    let message = error.find_root().strip_backtrace().split_whitespace().collect::<Vec<_>>().join(" ");
    match crate::store::spilled(&message) {
        Some(limit) => format!(
            "it wrote more than {limit} of intermediate rows to disk: ask about less time, or allow it more with spill under \
             [limits] in the configuration"
        ),
        None => message,
    }
}

/// The names behind `$` in a query.
pub(super) fn names(statement: &Statement) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let _ = visit_expressions(statement, |expression: &Expr| {
        if let Some(name) = placeholder(expression) {
            names.insert(name.to_owned());
        }
        ControlFlow::<()>::Continue(())
    });
    names
}

/// The query with each `$name` replaced by its value's literal. A name without a value stays, for the planner to refuse.
pub(super) fn bound(statement: &Statement, values: &BTreeMap<String, Parameter>) -> Statement {
    let mut statement = statement.clone();
    let _ = visit_expressions_mut(&mut statement, |expression: &mut Expr| {
        if let Some(value) = placeholder(expression).and_then(|name| values.get(name)) {
            *expression = literal(value);
        }
        ControlFlow::<()>::Continue(())
    });
    statement
}

fn literal(value: &Parameter) -> Expr {
    Parser::new(&GenericDialect {})
        .try_with_sql(&value.to_sql())
        .and_then(|mut parser| parser.parse_expr())
        .expect("a parameter's SQL is a literal of this crate's making")
}

fn placeholder(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::Value(ValueWithSpan { value: Value::Placeholder(name), .. }) => name.strip_prefix('$'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_wherever_an_expression_stands() {
        let sql = "WITH a AS (SELECT date_bin($every, time) b FROM events WHERE time > $from - $lookback)
            SELECT sum(x) OVER (ORDER BY b RANGE BETWEEN $window PRECEDING AND CURRENT ROW) FROM a
            WHERE EXISTS (SELECT 1 FROM (VALUES ($least)) v) ORDER BY b LIMIT $most -- $comment '$text'";
        let names: Vec<_> = names(&parse(sql).unwrap()).into_iter().collect();
        assert_eq!(names, ["every", "from", "least", "lookback", "most", "window"]);
    }

    #[test]
    fn only_one_query_is_a_detection() {
        for (sql, expected) in [
            ("-- nothing", "no query"),
            ("DROP TABLE events", "no query: a detection is one SELECT"),
            ("COPY events TO 'x.csv'", "no query"),
            ("CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/'", "no query"),
            ("EXPLAIN SELECT 1", "no query"),
            ("SELECT 1; SELECT 2", "more than one statement"),
            ("SELECT (1", "Expected: )"),
        ] {
            let error = parse(sql).unwrap_err();
            assert!(error.contains(expected), "{sql}: {error}");
        }
    }

    #[test]
    fn every_kind_of_value_becomes_a_literal() {
        let values = BTreeMap::from([
            ("a".to_owned(), Parameter::Integer(-5)),
            ("b".to_owned(), Parameter::Float(1e-300)),
            ("c".to_owned(), Parameter::Duration(600_500_000)),
            ("d".to_owned(), Parameter::Text("it's".into())),
            ("e".to_owned(), Parameter::Bool(true)),
            ("f".to_owned(), Parameter::Time(1_767_225_600_000_000)),
        ]);
        let bound = bound(&parse("SELECT $a, $b, $c, $d, $e, $f").unwrap(), &values).to_string();
        assert_eq!(
            bound,
            "SELECT -5, 1e-300, INTERVAL '600 seconds 500000 microseconds', 'it''s', true, \
             arrow_cast('2026-01-01T00:00:00Z', 'Timestamp(Microsecond, Some(\"UTC\"))')"
        );
    }
}
