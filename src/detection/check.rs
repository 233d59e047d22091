//! What a detection must be to stand in the catalogue: complete, runnable on a cluster, tested by a case that fires and
//! one that stays silent, and true to what every detection promises. Used by `rules check` and by the catalogue's test.

use std::fmt;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};
use datafusion::prelude::SessionContext;

use super::cases::{self, Fixture};
use super::rows::schema_problems;
use super::{DetectionError, Period, Place, Rule, bind, evaluate};

/// Something that keeps a detection out of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The detection's file or its test file, with the line where known.
    pub place: Place,
    /// What is wrong, and what to do.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

impl From<&DetectionError> for Problem {
    fn from(error: &DetectionError) -> Self {
        let place = error.place().cloned().unwrap_or_else(|| Place::file("configuration"));
        Self { place, message: error.message().to_owned() }
    }
}

/// Everything that is wrong with a detection; empty if it may stand in the catalogue.
///
/// Header and SQL were read already (a [`Rule`] exists); this looks at what takes tables: the plan, the cases and the
/// promises, which are tried on the events of each case.
pub async fn check(rule: &Rule, fixture: &dyn Fixture) -> Vec<Problem> {
    let mut problems: Vec<Problem> = incomplete(rule).into_iter().map(|m| about(&rule.path, None, m)).collect();
    match cases::empty_session(fixture).await {
        Ok(ctx) => problems.extend(plan_problems(rule, &ctx).await),
        Err(error) => problems.push(Problem::from(&error)),
    }
    problems.extend(case_problems(rule, fixture).await);
    problems
}

fn about(path: &str, line: Option<usize>, message: String) -> Problem {
    Problem { place: Place::line(path, line), message }
}

fn incomplete(rule: &Rule) -> Vec<String> {
    let h = &rule.header;
    let empty = |texts: &[String]| texts.iter().all(|t| t.trim().is_empty());
    [
        ("description", h.description.trim().is_empty(), "say what it looks for and what it compares with"),
        ("techniques", h.techniques.is_empty(), "name at least one ATT&CK technique"),
        ("false_positives", empty(&h.false_positives), "say what looks like it and is none"),
        ("response", empty(&h.response), "say what to do when it fires"),
        ("false_alarm_rate", h.false_alarm_rate.trim().is_empty(), "say what the defaults stand for"),
    ]
    .into_iter()
    .filter(|(_, missing, _)| *missing)
    .map(|(field, _, way_out)| format!("'{field}' is empty: {way_out}"))
    .collect()
}

/// Any period will do for planning: this is a day of 2026.
const SOME_DAY: Period = Period { from: 1_767_225_600_000_000, to: 1_767_312_000_000_000 };

async fn plan_problems(rule: &Rule, ctx: &SessionContext) -> Vec<Problem> {
    let plan = match evaluate::plan(ctx, rule, SOME_DAY.aligned(rule.header.every)).await {
        Ok(plan) => plan,
        Err(error) => return vec![Problem::from(&error)],
    };
    let mut messages = schema_problems(rule, plan.schema().as_arrow());
    messages.extend(forbidden(&plan, ctx));
    if messages.is_empty() {
        // The plan's types hold only once the optimiser and the physical planner have seen them.
        let physical = evaluate::planner(ctx).create_physical_plan(&plan).await;
        messages.extend(physical.err().map(|e| bind::root(&e)));
    }
    messages.into_iter().map(|m| about(&rule.path, None, m)).collect()
}

/// What would not run unchanged on a cluster, or would give another answer when asked again.
fn forbidden(plan: &LogicalPlan, ctx: &SessionContext) -> Vec<String> {
    let mut found = Vec::new();
    let walk = plan.apply_with_subqueries(|node| {
        match node {
            LogicalPlan::RecursiveQuery(_) => found.push("it uses a recursive CTE, which no cluster runs".to_owned()),
            LogicalPlan::TableScan(scan) if !ctx.table_exist(scan.table_name.clone()).unwrap_or(false) => {
                found.push(format!(
                    "it reads '{}', which is no table: write a VALUES list in place of it",
                    scan.table_name
                ));
            }
            _ => {}
        }
        node.apply_expressions(|expression| {
            expression.apply(|e| {
                if let Expr::ScalarFunction(call) = e
                    && call.func.signature().volatility != Volatility::Immutable
                {
                    let name = call.func.name();
                    found.push(format!("it calls {name}(), whose answer changes with the moment: use $from and $to"));
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    found.extend(walk.err().map(|e| bind::root(&e)));
    found.sort();
    found.dedup();
    found
}

async fn case_problems(rule: &Rule, fixture: &dyn Fixture) -> Vec<Problem> {
    let Some(tests) = &rule.tests else {
        let name = format!("{}.test.toml", rule.id);
        return vec![about(&rule.path, None, format!("it has no tests: put {name} beside it, with a case that fires"))];
    };
    let cases = match cases::parse(tests) {
        Ok(cases) => cases,
        Err(error) => return vec![Problem::from(&error)],
    };
    let mut problems = Vec::new();
    for (fires, what) in [(true, "a case that fires"), (false, "a case that stays silent (fires = false)")] {
        if !cases.iter().any(|case| case.fires == fires) {
            problems.push(about(&tests.path, None, format!("there is no {}: add one", &what[2..])));
        }
    }
    for case in &cases {
        let outcome = cases::run(rule, case, fixture).await;
        let mut messages = outcome.problems;
        if messages.is_empty() {
            messages = cases::check_properties(rule, case, fixture).await.unwrap_or_else(|e| vec![e]);
        }
        let told = |message| about(&tests.path, Some(case.line), format!("case '{}': {message}", case.name));
        problems.extend(messages.into_iter().map(told));
    }
    problems
}
