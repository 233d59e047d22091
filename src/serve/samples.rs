//! Alerts as a small company might have them, to look at the pages with.

use serde_json::{Value, json};

use crate::alert::{Finding, Severity, finding_id};
use crate::state::{RuleInfo, State};

const STEP: i64 = 600_000_000;
/// 2026-03-11 09:00 UTC.
const START: i64 = 1_773_219_600_000_000;

struct Sample {
    rule: (&'static str, &'static str, &'static str),
    severity: Severity,
    summary: &'static str,
    numbers: (f64, f64, Option<f64>),
    entities: Value,
    evidence: Value,
    steps: std::ops::Range<i64>,
}

fn samples() -> Vec<Sample> {
    vec![
        Sample {
            rule: ("mass_secret_read", "Many secrets read within an hour", "T1555.006"),
            severity: Severity::Critical,
            summary: "app-billing read 83 different secrets in kv-payments-prod within an hour; it reads 3 in its usual \
                      hour and never more than 6 in 27 days of history.",
            numbers: (83.0, 3.1, Some(4.2e-11)),
            entities: json!({
                "principal_id": "7f3c2a10-5d0e-4b77-9a54-0d9f7e1c2b33", "principal_name": "app-billing",
                "principal_type": "application", "app_id": "2b9d1c44-8f53-4a0b-9b0e-55d1c7d0a6f2",
                "vault_name": "kv-payments-prod", "object_type": "secret", "caller_ip": "203.0.113.77",
                "client_product": "python-requests", "operation_name": ["SecretGet", "SecretList"]
            }),
            evidence: json!({
                "baseline_days": 27, "baseline_hours": 641, "usual_maximum": 6, "new_objects": 78,
                "objects": (1..=32).map(|i| format!("db-password-{i}")).collect::<Vec<_>>(),
                "first_time": "2026-03-11T09:02:11.512Z", "last_time": "2026-03-11T09:41:55.020Z",
                "peers_expected": 2.4
            }),
            steps: 0..6,
        },
        Sample {
            rule: ("denied_spike", "Refusals out of line", "T1110"),
            severity: Severity::High,
            summary: "anna.berg@contoso.example was refused 46 times in ten minutes on 9 vaults (role missing); 0.2 expected.",
            numbers: (46.0, 0.2, Some(1.7e-8)),
            entities: json!({
                "principal_id": "c4a5f2de-1111-4c2e-8d3b-aa00bb11cc22", "principal_name": "anna.berg@contoso.example",
                "vault_name": (1..=9).map(|i| format!("kv-team-{i}")).collect::<Vec<_>>(), "caller_ip": "198.51.100.20"
            }),
            evidence: json!({ "denial_reason": "rbac", "vaults": 9 }),
            steps: 20..22,
        },
        Sample {
            rule: ("throttling", "Requests throttled", "T1499"),
            severity: Severity::Medium,
            summary: "kv-shared-prod answered 1,204 requests with 429 in ten minutes; svc-thumbnailer made 91 % of the calls.",
            numbers: (1204.0, 0.0, Some(3e-5)),
            entities: json!({
                "principal_id": "0aa1b2c3-d4e5-4f60-8a7b-1234567890ab", "principal_name": "svc-thumbnailer",
                "vault_name": "kv-shared-prod"
            }),
            evidence: json!({ "share": 0.91 }),
            steps: 40..45,
        },
        Sample {
            rule: ("chatty_caller", "The same version read over and over", "T1499"),
            severity: Severity::Low,
            summary: "aks-ingress-agentpool reads version 9c2f… of tls-wildcard 540 times an hour; a cache would need 1.",
            numbers: (540.0, 1.0, None),
            entities: json!({
                "principal_id": "5be0cf0a-7e1e-4d0f-b8cf-6a3b0f1f9d01",
                "principal_name": "aks-ingress-agentpool", "vault_name": "kv-edge-prod", "object_name": "tls-wildcard"
            }),
            evidence: json!({}),
            steps: 60..90,
        },
        Sample {
            rule: ("denied_spike", "Refusals out of line", "T1110"),
            severity: Severity::Informational,
            summary: "<script>alert('x')</script> gpj\u{202e}exe was refused 12 times.",
            numbers: (12.0, 4.0, Some(0.03)),
            entities: json!({ "principal_id": "<script>alert('x')</script>" }),
            evidence: json!({}),
            steps: 5..6,
        },
    ]
}

/// Records the samples; one is acknowledged, one suppressed.
pub(super) fn record(state: &State) {
    let mut made = Vec::new();
    for (number, sample) in samples().into_iter().enumerate() {
        let rule = RuleInfo {
            rule_id: sample.rule.0.to_owned(),
            title: sample.rule.1.to_owned(),
            techniques: vec![sample.rule.2.to_owned()],
            quiet_for_micros: 3 * STEP,
            severity: sample.severity,
        };
        let findings: Vec<Finding> = sample.steps.clone().map(|step| finding(&sample, step)).collect();
        // Samples of one rule lie in periods of their own, so that none replaces another's.
        let period = (START + (sample.steps.start - 1) * STEP, START + sample.steps.end * STEP);
        made.extend(state.record(&rule, period, &findings, START + number as i64).unwrap().opened);
    }
    state.acknowledge(&made[2], "maria", "asked the team, they are adding a back-off", START + 3_600_000_000).unwrap();
    state.acknowledge(&made[0], "li", "looking", START + 7_200_000_000).unwrap();
    state.reopen(&made[0], "li", "needs somebody of the payments team", START + 7_300_000_000).unwrap();
}

fn finding(sample: &Sample, step: i64) -> Finding {
    let map = |value: &Value| value.as_object().unwrap().clone().into_iter().collect();
    let caller = sample.entities["principal_id"].as_str().unwrap().to_owned();
    let key = vec![("principal_id".to_owned(), caller)];
    let window_end = START + step * STEP;
    Finding {
        finding_id: finding_id(sample.rule.0, &key, window_end),
        rule_id: sample.rule.0.to_owned(),
        key,
        window_start: window_end - 6 * STEP,
        window_end,
        observed: sample.numbers.0,
        expected: sample.numbers.1,
        p_value: sample.numbers.2,
        severity: sample.severity,
        summary: sample.summary.to_owned(),
        event_count: Some(sample.numbers.0 as i64 + 4),
        entities: map(&sample.entities),
        evidence: map(&sample.evidence),
    }
}
