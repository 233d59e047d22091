//! Identity: what makes two records the same and what tells them apart.

use super::*;

/// Reverses the order of keys at every level and writes white space between all tokens.
fn shuffled(value: &Value, out: &mut String) {
    match value {
        Value::Object(fields) => {
            out.push_str("{ ");
            for (n, (key, value)) in fields.iter().rev().enumerate() {
                out.push_str(if n > 0 { " ,\t" } else { "" });
                out.push_str(&format!("{} :\r\n ", Value::from(key.as_str())));
                shuffled(value, out);
            }
            out.push_str(" }");
        }
        Value::Array(items) => {
            out.push('[');
            for (n, item) in items.iter().enumerate() {
                out.push_str(if n > 0 { " , " } else { " " });
                shuffled(item, out);
            }
            out.push(']');
        }
        other => out.push_str(&other.to_string()),
    }
}

fn policy_evaluation() -> Value {
    json!({"time": "2026-10-01T08:15:30.1234567Z", "category": "AzurePolicyEvaluationDetails", "resourceId": VAULT,
        "operationName": "SecretSet", "properties": {"evaluationOutcome": "NonCompliant", "details": [{"b": 1, "a": [2, 3]}], "objectName": "db"}})
}

#[test]
fn envelope_order_and_space_do_not_matter() {
    for record in [secret_get(), policy_evaluation()] {
        let plain = one(&record);
        let mut other = String::new();
        shuffled(&record, &mut other);
        let escaped = record.to_string().replace('/', "\\/").replace("\"time\"", "\"\\u0074ime\"");
        for text in [
            other,
            escaped,
            format!("[{record}]"),
            format!("{{\"records\":[{record}]}}"),
            format!("{{\"@odata.context\":\"x\",\"value\":[{record}],\"nextLink\":null}}"),
            format!("[{{\"records\":[{record}]}}]"),
            serde_json::to_string_pretty(&record).unwrap(),
            format!("\u{feff}{record}"),
        ] {
            let decoded = decode(&text);
            assert_eq!(decoded.events.num_rows(), 1, "{text}");
            assert_eq!(id(&decoded), id(&plain), "{text}");
            for column in schema::COLUMNS.iter().filter(|column| column.name != "extra") {
                assert_eq!(cell(&decoded, 0, column.name), cell(&plain, 0, column.name), "{} of {text}", column.name);
            }
            assert_eq!(extra(&decoded, 0), extra(&plain, 0), "{text}");
        }
    }
}

#[test]
fn letter_case_of_host_and_resource_does_not_matter() {
    let same = [
        ("resourceId", json!(VAULT.to_lowercase())),
        ("properties/requestUri", json!("https://KV-Pay.vault.azure.net/secrets/db?api-version=7.4")),
        ("category", json!("auditevent")),
        ("durationMs", json!(12)),
        ("time", json!("2026-10-01T10:15:30.1234567+02:00")),
        ("identity/claim/oid", json!("d9da5048-2737-4770-bd64-000000000001")),
        ("location", json!("westeurope")),
    ];
    for (path, value) in same {
        assert_eq!(id(&one(&changed(&[(path, value)]))), id(&one(&secret_get())), "{path}");
    }
}

#[test]
fn what_tells_two_requests_apart() {
    let different = [
        ("time", json!("2026-10-01T08:15:30.1234568Z")),
        ("operationName", json!("SecretList")),
        ("resourceId", json!(VAULT.replace("KV-PAY", "KV-WEB"))),
        ("correlationId", json!("other")),
        ("correlationId", Value::Null),
        ("callerIpAddress", json!("10.1.2.4")),
        ("callerIpAddress", json!("10.1.2.3:80")),
        ("durationMs", json!("13")),
        ("durationMs", json!("12.4")),
        ("durationMs", Value::Null),
        ("identity/claim/oid", json!("other")),
        ("identity/claim/appid", json!("other")),
        ("identity", json!({})),
        ("properties/id", json!("https://kv-pay.vault.azure.net/secrets/db/1")),
        ("properties/requestUri", json!("https://kv-pay.vault.azure.net/secrets/DB?api-version=7.4")),
        ("properties/httpStatusCode", json!(429)),
        ("category", json!("AzurePolicyEvaluationDetails")),
    ];
    let mut seen = vec![id(&one(&secret_get()))];
    for (path, value) in different {
        let other = id(&one(&changed(&[(path, value.clone())])));
        assert!(!seen.contains(&other), "{path} {value}");
        seen.push(other);
    }
    let evaluation = policy_evaluation();
    let mut other = evaluation.clone();
    other["properties"]["objectName"] = json!("other");
    assert_ne!(id(&one(&evaluation)), id(&one(&other)));
}

/// The identity is a contract: stores hold it. If this fails, the context in `identity` needs a new version.
#[test]
fn the_identity_of_a_record_is_fixed() {
    assert_eq!(id(&one(&secret_get())), ["0251bbe1afe3b6f04559369592857a56"]);
}

proptest::proptest! {
    #[test]
    fn key_order_space_and_envelope_keep_the_identity(
        status in 100..600, name in "[a-zA-Z0-9-]{1,12}", ip in "[0-9a-f:.]{0,15}", claims in proptest::collection::btree_map("[a-z_]{1,8}", ".{0,8}", 0..4)
    ) {
        let mut record = changed(&[
            ("properties/httpStatusCode", json!(status)),
            ("properties/requestUri", json!(format!("https://kv-pay.vault.azure.net/secrets/{name}"))),
            ("callerIpAddress", json!(ip)),
        ]);
        for (key, value) in claims {
            record["identity"]["claim"][key] = json!(value);
        }
        let mut other = String::from("{\"records\": [");
        shuffled(&record, &mut other);
        other.push_str("]}");
        proptest::prop_assert_eq!(id(&decode(&other)), id(&one(&record)));
    }
}
