//! Which detections see nothing of records that carry no status, or no caller: read out of a detection's own SQL, so that
//! nobody has to declare it and a user's detection is judged like ours.
//!
//! Records without a status have the outcome `unknown` and no HTTP status; records without a caller have no id or name of one,
//! and are `anonymous`. A query that asks for another outcome, or for a caller, has no row of them; nor has what joins such a
//! query. Steps of a `WITH` are followed by name. What is in doubt counts as seeing.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Join, JoinConstraint,
    JoinOperator, Query, Select, SetExpr, SetOperator, Statement, TableFactor, Value, visit_expressions,
};

use super::Rule;

/// What records may lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// They carry no status: their outcome is unknown.
    Status,
    /// They name no caller.
    Caller,
}

impl Rule {
    /// Whether the detection sees nothing of records that lack this.
    pub fn is_blind_without(&self, lack: Lack) -> bool {
        match &self.statement {
            Statement::Query(query) => Reader { lack, none: BTreeSet::new() }.has_no_row(query),
            _ => false,
        }
    }
}

/// Functions that make one row out of none, without a GROUP BY.
const AGGREGATES: &[&str] = &["count", "sum", "min", "max", "avg", "median", "bool_or", "bool_and", "array_agg"];

/// Reads queries as if all records lacked something.
#[derive(Clone)]
struct Reader {
    lack: Lack,
    /// Steps of a `WITH` that have no row.
    none: BTreeSet<String>,
}

impl Reader {
    fn has_no_row(&self, query: &Query) -> bool {
        let mut inner = self.clone();
        for step in query.with.iter().flat_map(|with| &with.cte_tables) {
            let name = step.alias.name.value.to_lowercase();
            match inner.has_no_row(&step.query) {
                true => inner.none.insert(name),
                false => inner.none.remove(&name),
            };
        }
        inner.set_has_no_row(&query.body)
    }

    fn set_has_no_row(&self, body: &SetExpr) -> bool {
        match body {
            SetExpr::Select(select) => self.select_has_no_row(select),
            SetExpr::Query(query) => self.has_no_row(query),
            SetExpr::SetOperation { left, op, right, .. } => match op {
                SetOperator::Union => self.set_has_no_row(left) && self.set_has_no_row(right),
                SetOperator::Intersect => self.set_has_no_row(left) || self.set_has_no_row(right),
                _ => self.set_has_no_row(left),
            },
            _ => false,
        }
    }

    fn select_has_no_row(&self, select: &Select) -> bool {
        if makes_a_row_of_none(select) {
            return false;
        }
        let conditions = [&select.selection, &select.having];
        conditions.into_iter().flatten().any(|condition| self.never(condition))
            || select.from.iter().any(|table| {
                self.table_has_no_row(&table.relation) || table.joins.iter().any(|join| self.join_has_no_row(join))
            })
    }

    fn join_has_no_row(&self, join: &Join) -> bool {
        use JoinOperator::{CrossJoin, Inner, Join as Plain, LeftSemi, Semi};
        let (Plain(on) | Inner(on) | CrossJoin(on) | Semi(on) | LeftSemi(on)) = &join.join_operator else {
            return false;
        };
        let never = match on {
            JoinConstraint::On(condition) => self.never(condition),
            JoinConstraint::Using(names) => {
                let named = |name: &&str| names.iter().any(|n| n.to_string().eq_ignore_ascii_case(name));
                self.nulls().iter().any(named)
            }
            JoinConstraint::Natural | JoinConstraint::None => false,
        };
        never || self.table_has_no_row(&join.relation)
    }

    fn table_has_no_row(&self, table: &TableFactor) -> bool {
        match table {
            TableFactor::Table { name, .. } => self.none.contains(&name.to_string().to_lowercase()),
            TableFactor::Derived { subquery, .. } => self.has_no_row(subquery),
            _ => false,
        }
    }

    /// Columns that are null.
    fn nulls(&self) -> &'static [&'static str] {
        match self.lack {
            Lack::Status => &["http_status_code", "denial_reason"],
            Lack::Caller => &["principal_id", "principal_name", "app_id", "object_id", "user_principal_name"],
        }
    }

    fn is_null(&self, expression: &Expr) -> bool {
        if let Expr::Function(call) = expression
            && let FunctionArguments::List(list) = &call.args
        {
            let null = |arg: &FunctionArg| match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => self.is_null(value),
                _ => false,
            };
            return call.name.to_string().eq_ignore_ascii_case("coalesce") && list.args.iter().all(null);
        }
        column(expression).is_some_and(|name| self.nulls().iter().any(|null| name.eq_ignore_ascii_case(null)))
    }

    /// A column that has one value, and the value.
    fn known(&self) -> (&'static str, &'static str) {
        match self.lack {
            Lack::Status => ("outcome", "unknown"),
            Lack::Caller => ("principal_type", "anonymous"),
        }
    }

    fn is_known(&self, expression: &Expr) -> bool {
        column(expression).is_some_and(|name| name.eq_ignore_ascii_case(self.known().0))
    }

    /// Whether a condition holds for no record that lacks it.
    fn never(&self, condition: &Expr) -> bool {
        match condition {
            Expr::Nested(inner) => self.never(inner),
            Expr::IsNotNull(inner) => self.is_null(inner),
            Expr::Between { expr, .. } | Expr::Like { expr, .. } => self.is_null(expr),
            Expr::BinaryOp { left, op, right } => self.comparison_never(left, op, right),
            Expr::InList { expr, list, negated } => {
                let listed = || list.iter().any(|value| text(value) == Some(self.known().1));
                let texts = || list.iter().all(|value| text(value).is_some());
                self.is_null(expr) || self.is_known(expr) && (*negated == listed()) && (*negated || texts())
            }
            Expr::InSubquery { expr, subquery, negated } => self.is_null(expr) || !negated && self.has_no_row(subquery),
            Expr::Exists { subquery, negated } => !negated && self.has_no_row(subquery),
            _ => false,
        }
    }

    fn comparison_never(&self, left: &Expr, op: &BinaryOperator, right: &Expr) -> bool {
        use BinaryOperator::{And, Eq, Gt, GtEq, Lt, LtEq, NotEq, Or};
        let sides = [(left, right), (right, left)];
        let compared = || sides.into_iter().find(|(c, _)| self.is_known(c)).and_then(|(_, value)| text(value));
        let null = || self.is_null(left) || self.is_null(right);
        match op {
            And => self.never(left) || self.never(right),
            Or => self.never(left) && self.never(right),
            Eq => null() || compared().is_some_and(|value| value != self.known().1),
            NotEq => null() || compared().is_some_and(|value| value == self.known().1),
            // Sights count successes: of an unknown outcome none is.
            Gt => null() || self.lack == Lack::Status && column(left).is_some_and(|name| name == "successes"),
            Lt | GtEq | LtEq => null(),
            _ => false,
        }
    }
}

fn makes_a_row_of_none(select: &Select) -> bool {
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
    let aggregates = |e: &Expr| match e {
        Expr::Function(call) if call.over.is_none() => {
            let name = call.name.to_string().to_lowercase();
            AGGREGATES.contains(&name.as_str())
        }
        _ => false,
    };
    let found = visit_expressions(&select.projection, |e: &Expr| match aggregates(e) {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    });
    !grouped && found.is_break()
}

/// The name of a column, without its table's.
fn column(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::Identifier(name) => Some(&name.value),
        Expr::CompoundIdentifier(names) => names.last().map(|name| name.value.as_str()),
        Expr::Nested(inner) => column(inner),
        _ => None,
    }
}

fn text(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detection::{Library, Overrides, bind};

    fn blind(sql: &str, lack: Lack) -> bool {
        let Statement::Query(query) = bind::parse(sql).unwrap() else { panic!("a query") };
        Reader { lack, none: BTreeSet::new() }.has_no_row(&query)
    }

    #[test]
    fn a_query_that_asks_for_an_outcome_sees_nothing_of_an_unknown_one() {
        for (sql, expected) in [
            ("SELECT time FROM events WHERE outcome = 'success'", true),
            ("SELECT time FROM events e WHERE time > $from AND (e.outcome IN ('success', 'denied'))", true),
            ("SELECT time FROM events WHERE outcome = 'success' OR outcome = 'denied'", true),
            ("SELECT time FROM events WHERE outcome <> 'unknown'", true),
            ("SELECT time FROM events WHERE http_status_code >= 500", true),
            ("WITH a AS (SELECT * FROM events WHERE outcome = 'denied'), b AS (SELECT * FROM a) SELECT * FROM b", true),
            ("SELECT * FROM activity h JOIN events e ON e.outcome = 'success' AND e.time > h.hour", true),
            ("WITH a AS (SELECT * FROM events WHERE outcome = 'denied') SELECT * FROM events JOIN a ON true", true),
            ("SELECT * FROM events WHERE object_name IN (SELECT o FROM events WHERE outcome = 'success')", true),
            ("SELECT * FROM events WHERE EXISTS (SELECT 1 FROM events WHERE outcome = 'success')", true),
            ("SELECT time FROM events", false),
            ("SELECT time FROM events WHERE outcome <> 'success'", false),
            ("SELECT time FROM events WHERE outcome NOT IN ('throttled', 'challenge')", false),
            ("SELECT time FROM events WHERE outcome IN ('denied', 'unknown')", false),
            ("SELECT time FROM events WHERE outcome = 'success' OR principal_id IS NULL", false),
            (
                "WITH a AS (SELECT * FROM events WHERE outcome = 'denied') SELECT * FROM events LEFT JOIN a ON true",
                false,
            ),
            ("SELECT count(*) FROM events WHERE outcome = 'success'", false),
            ("SELECT time FROM events WHERE outcome = 'success' UNION ALL SELECT time FROM events", false),
            ("SELECT time FROM events WHERE NOT EXISTS (SELECT 1 FROM events WHERE outcome = 'success')", false),
        ] {
            assert_eq!(blind(sql, Lack::Status), expected, "{sql}");
        }
    }

    #[test]
    fn a_query_that_asks_for_a_caller_sees_nothing_of_records_without_one() {
        for (sql, expected) in [
            ("SELECT time FROM events WHERE principal_id IS NOT NULL", true),
            ("SELECT * FROM events e JOIN activity a ON a.principal_id = e.principal_id", true),
            ("SELECT * FROM events e JOIN activity a USING (vault_name, principal_id)", true),
            ("SELECT * FROM events WHERE coalesce(principal_id, principal_name) IS NOT NULL", true),
            ("SELECT * FROM events WHERE principal_type = 'user'", true),
            ("SELECT * FROM events WHERE coalesce(principal_id, caller_ip) IS NOT NULL", false),
            ("SELECT * FROM events WHERE principal_id IS NULL", false),
            ("SELECT * FROM events e LEFT JOIN activity a ON a.principal_id = e.principal_id", false),
            ("SELECT * FROM events e JOIN activity a ON a.vault_name = e.vault_name", false),
        ] {
            assert_eq!(blind(sql, Lack::Caller), expected, "{sql}");
        }
    }

    #[test]
    fn reads_of_secrets_are_blind_without_a_status_and_notices_of_expiry_are_not() {
        let library = Library::load(None, &Overrides::default()).unwrap();
        let blind = |id: &str, lack| library.find(id).unwrap().is_blind_without(lack);
        for id in ["mass_secret_read", "denied_spike", "slow_harvest", "new_caller_on_vault", "throttling"] {
            assert!(blind(id, Lack::Status), "{id}");
        }
        for id in ["expired", "near_limit", "log_silence", "old_tls"] {
            assert!(!blind(id, Lack::Status), "{id}");
        }
        assert!(
            blind("off_hours_read", Lack::Caller)
                && blind("mass_secret_read", Lack::Caller)
                && !blind("unauthenticated_probe", Lack::Caller)
        );
    }
}
