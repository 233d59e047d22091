//! An alert out of the findings that form it. Pure: the same findings give the same alert.

use std::cmp::Ordering;

use chrono::{DateTime, NaiveDateTime};

use super::record::RuleInfo;
use super::rows::StoredFinding;
use super::{drilldown, risk_score};
use crate::alert::{Alert, AlertState, Finding, Micros, Value, rfc3339};

/// An alert's content. Its id, state, suppression and times of storing are the caller's to fill in.
///
/// `findings` are live, of one rule and key, by window_end, and at least one.
pub(super) fn compose(rule: &RuleInfo, findings: &[StoredFinding]) -> Alert {
    let strongest = strongest(findings);
    let all = || findings.iter().map(|stored| &stored.finding);
    let severity = all().map(|f| f.severity).max().unwrap_or(strongest.severity);
    let start = all().map(|f| f.window_start).min().unwrap_or(strongest.window_start);
    let end = all().map(|f| f.window_end).max().unwrap_or(strongest.window_end);
    let first_seen = all().map(|f| seen(f, "first_time").unwrap_or(f.window_start)).min().unwrap_or(start);
    let last_seen = all().map(|f| seen(f, "last_time").unwrap_or(f.window_end)).max().unwrap_or(end);
    Alert {
        alert_id: String::new(),
        rule_id: rule.rule_id.clone(),
        title: rule.title.clone(),
        summary: strongest.summary.clone(),
        severity,
        risk_score: risk_score(severity, strongest.p_value),
        window_start: rfc3339(start),
        window_end: rfc3339(end),
        first_seen: rfc3339(first_seen),
        last_seen: rfc3339(last_seen),
        entities: strongest.entities.clone(),
        observed: strongest.observed,
        expected: strongest.expected,
        p_value: strongest.p_value,
        finding_count: findings.len() as u64,
        // Windows of one alert may overlap, so a sum would count records twice.
        event_count: strongest.event_count.and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
        evidence: strongest.evidence.clone(),
        drilldown: drilldown::sql(start, end, &strongest.key, &filters(findings)),
        techniques: rule.techniques.clone(),
        incident_id: None,
        state: AlertState::Open,
        suppressed: false,
        created_at: String::new(),
        updated_at: String::new(),
    }
}

/// The finding that speaks for the alert: severity, then smallest p-value, then largest ratio, then earliest.
fn strongest(findings: &[StoredFinding]) -> &Finding {
    let best = findings.iter().map(|stored| &stored.finding).min_by(|a, b| stronger(a, b));
    best.expect("an alert has at least one finding")
}

/// Less means stronger.
pub(super) fn stronger(a: &Finding, b: &Finding) -> Ordering {
    let p = |f: &Finding| f.p_value.unwrap_or(f64::INFINITY);
    b.severity
        .cmp(&a.severity)
        .then_with(|| p(a).total_cmp(&p(b)))
        .then_with(|| ratio(b).total_cmp(&ratio(a)))
        .then_with(|| a.window_end.cmp(&b.window_end))
}

/// Observed over expected; without an expectation anything observed is infinitely much.
fn ratio(finding: &Finding) -> f64 {
    match (finding.observed, finding.expected) {
        (observed, expected) if expected > 0.0 => observed / expected,
        (observed, _) if observed > 0.0 => f64::INFINITY,
        _ => 0.0,
    }
}

/// The different filters of the rule's own, in order of first use; none as soon as one finding has none.
fn filters(findings: &[StoredFinding]) -> Vec<&str> {
    let mut filters: Vec<&str> = Vec::new();
    for stored in findings {
        match stored.drilldown_filter.as_deref() {
            Some(filter) if !filters.contains(&filter) => filters.push(filter),
            Some(_) => {}
            None => return Vec::new(),
        }
    }
    filters
}

/// A time in the evidence: RFC 3339, SQL text without a zone (UTC), or microseconds since the epoch.
fn seen(finding: &Finding, name: &str) -> Option<Micros> {
    match finding.evidence.get(name)? {
        Value::Number(micros) => micros.as_i64(),
        Value::String(text) => DateTime::parse_from_rfc3339(text)
            .map(|time| time.timestamp_micros())
            .or_else(|_| text.parse::<NaiveDateTime>().map(|time| time.and_utc().timestamp_micros()))
            .or_else(|_| {
                NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").map(|t| t.and_utc().timestamp_micros())
            })
            .ok(),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::alert::Severity;
    use crate::state::testing::{HOUR, finding, rule};

    fn stored(finding: Finding, filter: Option<&str>) -> StoredFinding {
        StoredFinding { finding, drilldown_filter: filter.map(str::to_owned), withdrawn: false }
    }

    fn alert(findings: &[Finding]) -> Alert {
        let findings: Vec<_> = findings.iter().map(|f| stored(f.clone(), None)).collect();
        compose(&rule(HOUR), &findings)
    }

    #[test]
    fn the_strongest_speaks_severity_then_p_then_ratio_then_earliest() {
        let base = |end: i64, severity, p, observed, expected| {
            let mut f = finding("a", end);
            (f.severity, f.p_value, f.observed, f.expected) = (severity, p, observed, expected);
            f.summary = format!("{end}");
            f
        };
        use Severity::{High, Low};
        for (findings, strongest) in [
            (vec![base(1, Low, Some(1e-9), 9.0, 1.0), base(2, High, None, 1.0, 1.0)], "2"),
            (vec![base(1, High, None, 99.0, 1.0), base(2, High, Some(0.5), 1.0, 1.0)], "2"),
            (vec![base(1, High, Some(0.1), 99.0, 1.0), base(2, High, Some(0.01), 1.0, 1.0)], "2"),
            (vec![base(1, High, Some(0.1), 8.0, 2.0), base(2, High, Some(0.1), 5.0, 1.0)], "2"),
            (vec![base(1, High, Some(0.1), 8.0, 1.0), base(2, High, Some(0.1), 1.0, 0.0)], "2"),
            (vec![base(1, High, Some(0.1), 8.0, 1.0), base(2, High, Some(0.1), 8.0, 1.0)], "1"),
        ] {
            let alert = alert(&findings);
            assert_eq!(alert.summary, strongest, "{findings:?}");
            assert_eq!(alert.severity, High);
        }
    }

    #[test]
    fn spans_all_findings_and_says_when_records_were_seen() {
        let (mut a, mut b) = (finding("a", 1), finding("a", 2));
        a.evidence.insert("first_time".into(), "1970-01-01T00:10:00Z".into());
        a.evidence.insert("last_time".into(), "1970-01-01T00:50:00.5Z".into());
        let alert_one = alert(&[a.clone(), b.clone()]);
        assert_eq!(alert_one.window_start, "1970-01-01T00:00:00Z");
        assert_eq!(alert_one.window_end, "1970-01-01T02:00:00Z");
        assert_eq!(alert_one.first_seen, "1970-01-01T00:10:00Z");
        assert_eq!(alert_one.last_seen, "1970-01-01T02:00:00Z", "a finding that does not say stands for its window");
        b.evidence.insert("first_time".into(), "1970-01-01 01:00:01".into());
        b.evidence.insert("last_time".into(), Value::from(90 * 60 * 1_000_000_i64));
        assert_eq!(alert(&[a, b]).last_seen, "1970-01-01T01:30:00Z");
    }

    #[test]
    fn the_rules_filters_reach_the_drilldown_unless_a_finding_has_none() {
        let make = |filters: &[Option<&str>]| {
            let findings: Vec<_> =
                filters.iter().enumerate().map(|(i, filter)| stored(finding("a", i as i64), *filter)).collect();
            compose(&rule(HOUR), &findings).drilldown
        };
        let sql = make(&[Some("outcome = 'denied'"), Some("outcome = 'denied'")]);
        assert_eq!(sql.matches("outcome = 'denied'").count(), 1, "{sql}");
        assert!(!make(&[Some("outcome = 'denied'"), None]).contains("denied"));
    }
}
