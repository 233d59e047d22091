//! What holds for every detection: a period's findings are the union of its parts' findings, and nothing at or after a
//! window's end changes that window's finding. So live and replayed runs agree. Tests call these.

use datafusion::prelude::SessionContext;

use super::{DetectionError, Period, Rule, evaluate};
use crate::alert::{Finding, Micros, Value, rfc3339};

/// Compares a period's findings with those of its parts, cut at `cuts` (rounded down to the detection's step); the first
/// difference, if there is one.
///
/// # Errors
/// An evaluation fails.
pub async fn union_of_parts(
    ctx: &SessionContext,
    rule: &Rule,
    period: Period,
    whole: &[Finding],
    cuts: &[Micros],
) -> Result<Option<String>, DetectionError> {
    let every = rule.header.every;
    let aligned = period.aligned(every);
    let mut edges: Vec<Micros> = cuts.iter().map(|cut| cut.div_euclid(every) * every).collect();
    edges.retain(|edge| aligned.from < *edge && *edge < aligned.to);
    edges.extend([aligned.from, aligned.to]);
    edges.sort_unstable();
    edges.dedup();
    let mut parts = Vec::new();
    for pair in edges.windows(2) {
        parts.extend(evaluate(ctx, rule, Period { from: pair[0], to: pair[1] }).await?);
    }
    Ok(difference(whole, &parts).map(|d| format!("the period as a whole and in {} parts differ: {d}", edges.len() - 1)))
}

/// Compares the period's findings up to `until` (a multiple of the detection's step) with those of `other`, the same
/// tables with other events, or none, from `until` on; the first difference, if there is one.
///
/// # Errors
/// An evaluation fails.
pub async fn blind_to_the_future(
    whole: &[Finding],
    other: &SessionContext,
    rule: &Rule,
    period: Period,
    until: Micros,
) -> Result<Option<String>, DetectionError> {
    let Some(period) = period.within(Period { from: period.from, to: until }) else { return Ok(None) };
    let known: Vec<Finding> = whole.iter().filter(|finding| period.holds(finding.window_end)).cloned().collect();
    let then = evaluate(other, rule, period).await?;
    let text = |d| format!("records at or after {} change findings of windows that ended by then: {d}", rfc3339(until));
    Ok(difference(&known, &then).map(text))
}

/// The first difference between two answers, numbers compared to nine digits: sums of fractions depend on their order.
pub fn difference(left: &[Finding], right: &[Finding]) -> Option<String> {
    let name = |f: &Finding| {
        let key: Vec<_> = f.key.iter().map(|(k, v)| format!("{k} = '{v}'")).collect();
        format!("{} at {}", key.join(", "), rfc3339(f.window_end))
    };
    let missing = |from: &[Finding], of: &[Finding]| {
        of.iter().find(|f| !from.iter().any(|g| g.finding_id == f.finding_id)).map(name)
    };
    if let Some(only) = missing(right, left) {
        return Some(format!("{only} is found only by the first"));
    }
    if let Some(only) = missing(left, right) {
        return Some(format!("{only} is found only by the second"));
    }
    left.iter().find_map(|f| {
        let same = right.iter().find(|g| g.finding_id == f.finding_id)?;
        unequal(f, same).map(|field| format!("{field} of {}", name(f)))
    })
}

fn unequal(left: &Finding, right: &Finding) -> Option<String> {
    let numbers = [
        ("observed", left.observed, right.observed),
        ("expected", left.expected, right.expected),
        ("p_value", left.p_value.unwrap_or(-1.0), right.p_value.unwrap_or(-1.0)),
    ];
    if let Some((field, a, b)) = numbers.into_iter().find(|(_, a, b)| !near(*a, *b)) {
        return Some(format!("{field} ({a} and {b})"));
    }
    let fields = [
        ("window_start", left.window_start == right.window_start),
        ("severity", left.severity == right.severity),
        ("summary", left.summary == right.summary),
        ("event_count", left.event_count == right.event_count),
        ("entities", left.entities == right.entities),
    ];
    if let Some((field, _)) = fields.into_iter().find(|(_, same)| !same) {
        return Some(field.to_owned());
    }
    let differs = |(name, value): (&String, &Value)| {
        let other = right.evidence.get(name).unwrap_or(&Value::Null);
        (!same_value(value, other)).then(|| format!("{name} ({value} and {other})"))
    };
    left.evidence.iter().find_map(differs)
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

/// Equality of JSON, with numbers to nine digits.
pub(super) fn same_value(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => match (a.as_f64(), b.as_f64()) {
            (Some(x), Some(y)) => near(x, y),
            _ => a == b,
        },
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_value(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|w| same_value(v, w)))
        }
        _ => a == b,
    }
}
