//! Bad input: what is rejected with which reason, what is skipped, what lands all the same.

use super::*;

fn reason(text: &str) -> String {
    let decoded = decode(text);
    assert_eq!((decoded.events.num_rows(), decoded.rejects.len(), decoded.skipped), (0, 1, 0), "{text}");
    decoded.rejects[0].reason.clone()
}

#[test]
fn rejects_say_what_is_wrong() {
    for (text, word) in [
        ("{invalid-json}", "JSON"),
        ("{\"time\":", "cut off"),
        ("nonsense", "JSON"),
        ("42", "no JSON object"),
        ("\"text\"", "no JSON object"),
        ("null", "no JSON object"),
    ] {
        assert!(reason(text).contains(word), "{text}: {}", reason(text));
    }
    let deep = format!("{{\"a\":{}", "[".repeat(10_000));
    assert!(reason(&deep).contains("nested"), "{}", reason(&deep));
    assert!(reason(&"[".repeat(10_000)).contains("nested"));
    assert!(reason(&"{\"properties\":".repeat(10_000)).contains("nested"));
    assert!(reason(&"{\"records\":[".repeat(10_000)).contains("nested"));
}

#[test]
fn unbelievable_times_are_rejected_with_the_time() {
    for time in [
        "1601-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "2014-12-31T23:59:59Z",
        "2026-10-03T00:00:01Z",
        "invalid-timestamp",
    ] {
        let reason = reason(&changed(&[("time", json!(time))]).to_string());
        assert!(reason.contains(time), "{reason}");
    }
    assert!(reason(&changed(&[("time", Value::Null)]).to_string()).contains("no time"));
    for wrong in [json!(17), json!({}), json!([1]), json!(true)] {
        reason(&changed(&[("time", wrong)]).to_string());
    }
    expect(&changed(&[("time", json!("2026-10-02T23:59:59Z"))]), &[("time", "2026-10-02T23:59:59Z")]);
}

#[test]
fn a_wrong_type_in_any_field_costs_only_that_field() {
    let paths = [
        "category",
        "resourceId",
        "operationName",
        "resultType",
        "resultSignature",
        "resultDescription",
        "durationMs",
        "callerIpAddress",
        "correlationId",
        "identity",
        "identity/claim",
        "identity/claim/oid",
        "identity/claim/appid",
        "identity/claim/xms_mirid",
        "properties",
        "properties/id",
        "properties/clientInfo",
        "properties/requestUri",
        "properties/httpStatusCode",
        "properties/isRbacAuthorized",
        "properties/tlsVersion",
        "properties/secretProperties",
        "properties/secretProperties/attributes",
        "properties/secretProperties/attributes/exp",
    ];
    for path in paths {
        for wrong in [
            json!(7),
            json!(-1.5e300),
            json!(true),
            json!("text"),
            json!([1, [2]]),
            json!({"a": {"b": 1}}),
            json!([]),
            json!({}),
        ] {
            let decoded = one(&changed(&[(path, wrong.clone())]));
            assert_eq!(cell(&decoded, 0, "time"), "2026-10-01T08:15:30.123456Z", "{path} {wrong}");
            // Numbers and texts stand for each other, empty values count as absent, and a flag may be true.
            let kept = path.ends_with("Authorized") && wrong.is_boolean()
                || wrong.is_string()
                || wrong.is_number()
                || wrong == json!([])
                || wrong == json!({});
            let text = extra(&decoded, 0);
            let found = path.split('/').fold(&text, |place, key| &place[key]);
            assert!(kept || *found == wrong, "{path} {wrong} is lost: {text}");
        }
    }
    let mut all = secret_get();
    for key in
        ["resultType", "resultSignature", "durationMs", "callerIpAddress", "correlationId", "identity", "properties"]
    {
        all[key] = json!([{}]);
    }
    expect(&all, &[("operation_name", "SecretGet"), ("outcome", "unknown")]);
}

#[test]
fn invalid_utf8_costs_only_its_line() {
    let record = secret_get().to_string();
    let mut bytes = format!("{record}\n").into_bytes();
    let bad = bytes.len();
    bytes.extend_from_slice(b"{\"time\":\"\xff\"}\n\n");
    bytes.extend_from_slice(record.as_bytes());
    let decoded = lines(&bytes);
    assert_eq!((decoded.events.num_rows(), decoded.rejects.len()), (2, 1));
    let reject = &decoded.rejects[0];
    assert!(reject.reason.contains("UTF-8"), "{}", reject.reason);
    assert_eq!((reject.position, reject.bytes.as_slice()), (bad as u64, b"{\"time\":\"\xff\"}".as_slice()));
}

#[test]
fn a_bad_record_in_an_envelope_leaves_those_beside_it() {
    let record = secret_get().to_string();
    let decoded = decode(&format!("{{\"records\":[{record},{record},{{\"time\":x}},{record}]}}"));
    assert_eq!((decoded.events.num_rows(), decoded.rejects.len()), (3, 1));
    assert_eq!(decoded.rejects[0].bytes, b"{\"time\":x}");
    let cut_off = decode(&format!("{{\"records\":[{record},"));
    assert_eq!((cut_off.events.num_rows(), cut_off.rejects.len()), (1, 1));
    assert_eq!(cut_off.rejects[0].bytes, b",");
}

#[test]
fn rejected_bytes_are_cut() {
    let decoded = decode(&format!("[\"{}\"]", "x".repeat(100_000)));
    assert_eq!(decoded.rejects[0].bytes.len(), REJECT_BYTES);
}

#[test]
fn other_services_and_foreign_objects_are_skipped() {
    const STORAGE: &str = "/SUBSCRIPTIONS/S/RESOURCEGROUPS/G/PROVIDERS/MICROSOFT.STORAGE/STORAGEACCOUNTS/A";
    for record in [
        json!({"other-root": []}),
        json!({}),
        json!({"time": "2026-10-01T00:00:00Z", "resourceId": STORAGE, "category": "StorageRead", "operationName": "GetBlob"}),
        json!({"time": "2026-10-01T00:00:00Z", "resourceId": STORAGE, "category": "AuditEvent", "operationName": "SecretGet"}),
        json!({"time": "2026-10-01T00:00:00Z", "resourceId": VAULT, "metricName": "ServiceApiHit", "count": 4, "timeGrain": "PT1M"}),
        json!({"time": "2026-10-01T00:00:00Z", "resourceId": STORAGE, "category": "Administrative", "operationName": "MICROSOFT.STORAGE/STORAGEACCOUNTS/WRITE"}),
        json!({"time": "2026-10-01T00:00:00Z", "resourceId": "/X", "category": "", "operationName": "SecretGet", "type": ""}),
        json!({"time": "never", "category": "SignInLogs"}),
    ] {
        let decoded = decode(&record.to_string());
        assert_eq!((decoded.events.num_rows(), decoded.rejects.len(), decoded.skipped), (0, 0, 1), "{record}");
    }
    let mixed = json!({"records": [secret_get(), {"time": "2026-10-01T00:00:00Z", "category": "Other"}, secret_get()]});
    let decoded = decode(&mixed.to_string());
    assert_eq!((decoded.events.num_rows(), decoded.skipped, decoded.read), (2, 1, 3));
}

#[test]
fn empty_input_is_nothing() {
    for text in ["", " \n\r\n", "\u{feff}", "[]", "{\"records\":[]}", "{\"value\": [ ]}", "{\"tables\":[]}"] {
        assert_eq!(decode(text).read, 0, "{text:?}");
        assert_eq!(lines(text.as_bytes()).read, 0, "{text:?}");
    }
}

proptest::proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        lines(&bytes);
        let mut decoder = Decoder::new(ARRIVED);
        decoder.value(&bytes, 0);
        decoder.row(&["time".into(), "x".into()], &bytes, 0);
        decoder.csv_row(&["TimeGenerated".into(), "x".into()], b',', &bytes, 0);
        checked(decoder.finish());
    }

    #[test]
    fn jsonish_text_never_panics(text in "[\\[\\]{}:,\"a1 \\\\.\\n]{0,60}") {
        lines(text.as_bytes());
    }

    #[test]
    fn mutated_records_never_panic(at in 0usize..1400, byte in proptest::num::u8::ANY, insert in proptest::bool::ANY) {
        let mut bytes = secret_get().to_string().into_bytes();
        let at = at % bytes.len();
        if insert { bytes.insert(at, byte) } else { bytes[at] = byte }
        let decoded = lines(&bytes);
        proptest::prop_assert!(decoded.read > 0);
        for row in 0..decoded.events.num_rows() {
            extra(&decoded, row);
        }
    }
}
