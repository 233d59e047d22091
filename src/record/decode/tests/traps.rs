//! One test for each trap of Key Vault's logs. (Traps 5 and 7 also have theirs beside `object` and `operation`.)

use super::*;

#[test]
fn trap_1_result_type_success_on_failed_calls() {
    for (status, outcome) in [
        (400, "client_error"),
        (401, "denied"),
        (403, "denied"),
        (404, "not_found"),
        (409, "client_error"),
        (429, "throttled"),
        (503, "server_error"),
    ] {
        let record = changed(&[("properties/httpStatusCode", json!(status)), ("resultType", json!("Success"))]);
        expect(&record, &[("outcome", outcome), ("http_status_code", &status.to_string())]);
    }
    let phrase = changed(&[("properties/httpStatusCode", Value::Null), ("resultSignature", json!("Forbidden"))]);
    expect(&phrase, &[("outcome", "denied"), ("http_status_code", "")]);
    let neither = changed(&[("properties/httpStatusCode", Value::Null), ("resultSignature", Value::Null)]);
    expect(&neither, &[("outcome", "unknown")]);
}

#[test]
fn trap_2_caller_has_several_shapes() {
    const OID: &str = "http://schemas.microsoft.com/identity/claims/objectidentifier";
    const UPN: &str = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn";
    const NAME: &str = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name";
    let mirid = "/subscriptions/s/resourcegroups/g/providers/Microsoft.Web/sites/app-1";
    for (identity, id, kind, name) in [
        (json!({"claim": {"oid": "O1", "appid": "A1", "upn": "eve@x"}}), "o1", "user", "eve@x"),
        (json!({"claim": {OID: "O1", "appid": "A1", UPN: "eve@x"}}), "o1", "user", "eve@x"),
        (json!({"claim": {OID: "O1", "appid": "A1", NAME: "eve@x"}}), "o1", "user", "eve@x"),
        (
            json!({"claim": {"appid": "A1", "http_schemas_microsoft_com_identity": {"claims": {"objectidentifier": "O1"}},
                "http_schemas_xmlsoap_org_ws_2005_05_identity": {"claims": {"upn": "eve@x"}}}}),
            "o1",
            "user",
            "eve@x",
        ),
        (json!({"claim": {"oid": "O1", "appid": "A1", "idtyp": "app"}}), "o1", "application", ""),
        (
            json!({"claim": {"oid": "O1", "appid": "A1", "idtyp": "app", "xms_mirid": mirid}}),
            "o1",
            "managed_identity",
            "app-1",
        ),
        (json!({"claim": {"appid": "A1"}}), "a1", "application", ""),
        (json!({"claim": {"oid": "O1", "unique_name": "live.com#eve@x"}}), "o1", "user", "live.com#eve@x"),
        (
            json!({"claim": {"oid": "d9da5048-2737-4770-bd64-XXXXXXXXXXXX"}}),
            "d9da5048-2737-4770-bd64-xxxxxxxxxxxx",
            "application",
            "",
        ),
    ] {
        let columns = [("principal_id", id), ("principal_type", kind), ("principal_name", name)];
        expect(&changed(&[("identity", identity.clone())]), &columns);
        // Managed HSM and AZKVAuditLogs carry the same as text.
        expect(&changed(&[("identity", json!(identity.to_string()))]), &columns);
    }
}

#[test]
fn trap_2_claims_that_contradict_each_other_are_kept() {
    let record = changed(&[("identity", json!({"claim": {"unique_name": "other@x", "upn": "eve@x", "oid": "o1"}}))]);
    expect(&record, &[("user_principal_name", "eve@x")]);
    assert_eq!(extra(&one(&record), 0)["identity"], json!({"claim": {"unique_name": "other@x"}}));
}

#[test]
fn trap_3_the_401_challenge_is_no_failure() {
    let challenge = changed(&[
        ("operationName", json!("Authentication")),
        ("identity", json!({})),
        ("properties/httpStatusCode", json!(401)),
        ("properties/id", Value::Null),
    ]);
    let columns = [
        ("outcome", "challenge"),
        ("operation_class", "authenticate"),
        ("principal_type", "anonymous"),
        ("principal_id", ""),
        ("object_name", "db"),
        ("object_type", "secret"),
        ("denial_reason", ""),
    ];
    expect(&challenge, &columns);
}

#[test]
fn trap_4_types_vary() {
    for (path, value, column, text) in [
        ("durationMs", json!(488), "duration_ms", "488"),
        ("durationMs", json!("488"), "duration_ms", "488"),
        ("durationMs", json!(488.0), "duration_ms", "488"),
        ("identity", json!({}), "principal_id", ""),
        ("identity", json!("somebody"), "principal_id", ""),
        ("identity", Value::Null, "principal_id", ""),
        ("identity", json!(""), "principal_id", ""),
        ("identity", json!(7), "principal_id", ""),
        ("identity", json!("{broken"), "principal_id", ""),
        ("resultDescription", Value::Null, "result_description", ""),
        ("resultSignature", Value::Null, "outcome", "success"),
        ("properties/httpStatusCode", json!("200"), "http_status_code", "200"),
        ("properties/isRbacAuthorized", json!("True"), "is_rbac_authorized", "true"),
    ] {
        expect(&changed(&[(path, value)]), &[(column, text)]);
    }
    assert_eq!(extra(&one(&changed(&[("identity", json!("somebody"))])), 0)["identity"], "somebody");
    let hsm = json!({"time": "2026-08-31T19:52:39.763Z", "category": "AuditEvent", "operationName": "KeySign", "durationMs": 7,
        "resourceId": "/SUBSCRIPTIONS/S/RESOURCEGROUPS/G/PROVIDERS/MICROSOFT.KEYVAULT/MANAGEDHSMS/HSM1", "requestUri": "https://hsm1.managedhsm.azure.net/keys/kek/v1/sign",
        "httpStatusCode": 200, "clientInfo": "curl/8", "subnetId": "(unknown)", "properties": {"sku_Name": "Standard_B1"}});
    expect(
        &hsm,
        &[
            ("vault_name", "hsm1"),
            ("outcome", "success"),
            ("object_name", "kek"),
            ("object_version", "v1"),
            ("subnet_id", "(unknown)"),
            ("client_product", "curl"),
            ("sku", "standard_b1"),
        ],
    );
}

#[test]
fn trap_5_request_uri_is_a_poor_key() {
    for uri in [
        "https://kv-pay.vault.azure.net/secrets/db?api-version=7.4&_=1790812800000",
        "https://KV-PAY.vault.azure.net:8443/secrets/db?api-version=7.4",
        "https://kv-pay.vault.azure.net:8444/deletedsecrets/db/recover",
    ] {
        let record = changed(&[("properties/id", Value::Null), ("properties/requestUri", json!(uri))]);
        expect(
            &record,
            &[("object_name", "db"), ("object_type", "secret"), ("object_version", ""), ("request_uri", uri)],
        );
    }
    let list = changed(&[
        ("operationName", json!("SecretList")),
        ("properties/id", Value::Null),
        ("properties/requestUri", json!("https://kv-pay.vault.azure.net/secrets?api-version=7.4&maxresults=25")),
    ]);
    expect(&list, &[("object_name", ""), ("object_type", "secret"), ("operation_class", "list")]);
    let lower = changed(&[("resourceId", json!(VAULT.to_lowercase()))]);
    assert_eq!(id(&one(&lower)), id(&one(&secret_get())), "resource ids compare without case");
}

#[test]
fn trap_6_permission_model_by_either_flag() {
    let policy = changed(&[
        ("properties/isRbacAuthorized", Value::Null),
        ("properties/isAccessPolicyMatch", json!(false)),
        ("properties/httpStatusCode", json!(403)),
    ]);
    expect(
        &policy,
        &[("is_access_policy_match", "false"), ("is_rbac_authorized", ""), ("denial_reason", "access_policy")],
    );
    let rbac = changed(&[("properties/isRbacAuthorized", json!(false)), ("properties/httpStatusCode", json!(403))]);
    expect(&rbac, &[("denial_reason", "rbac"), ("outcome", "denied")]);
    let absent = changed(&[("properties/httpStatusCode", json!(404))]);
    expect(&absent, &[("is_rbac_authorized", "true"), ("outcome", "not_found"), ("denial_reason", "")]);
}

#[test]
fn trap_7_unknown_operations_are_data() {
    for (name, class) in [("StorageAccountGet", "read"), ("EkmProxyOperation", "other"), ("SecretFrobnicate", "other")]
    {
        expect(&changed(&[("operationName", json!(name))]), &[("operation_name", name), ("operation_class", class)]);
    }
}

#[test]
fn trap_8_certificate_read_through_its_secret() {
    let record = changed(&[("properties/id", json!("https://kv-pay.vault.azure.net/secrets/tls-cert/v1"))]);
    expect(&record, &[("object_type", "secret"), ("object_name", "tls-cert"), ("operation_class", "read")]);
}

#[test]
fn trap_9_data_actions_in_the_activity_log_do_no_harm() {
    // They never occur; if something writes them all the same, they are control-plane records with their own category.
    let record = json!({"time": "2026-10-01T08:15:30Z", "category": "Administrative", "resultType": "Success", "resourceId": format!("{VAULT}/secrets/Db"),
        "operationName": "Microsoft.KeyVault/vaults/secrets/getSecret/action"});
    expect(
        &record,
        &[
            ("category", "Administrative"),
            ("operation_class", "read"),
            ("object_name", "db"),
            ("object_type", "secret"),
        ],
    );
}

#[test]
fn trap_10_key_size_only_on_create_and_import() {
    expect(&changed(&[("operationName", json!("KeySign"))]), &[("key_size", ""), ("key_type", "")]);
    let create = changed(&[
        ("operationName", json!("KeyImport")),
        ("properties/keyProperties", json!({"type": "EC", "size": 256})),
    ]);
    expect(&create, &[("key_size", "256"), ("key_type", "EC")]);
}

#[test]
fn trap_11_delivered_twice_has_one_identity() {
    let record = secret_get();
    let twice = decode(&format!("{record}\n{record}"));
    assert_eq!(id(&twice)[0], id(&twice)[1]);
    let late = changed(&[("time", json!("2026-10-01T07:59:59Z"))]);
    expect(&late, &[("time", "2026-10-01T07:59:59Z")]);
}
