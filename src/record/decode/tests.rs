//! What a user sees of decoding: the traps of Key Vault's logs by name, envelopes, exports, bad input, identity.

use arrow::array::Array;
use arrow::util::display::array_value_to_string;
use serde_json::{Value, json};

use super::super::schema;
use super::*;

mod bad;
mod exports;
mod same;
mod samples;
mod traps;
mod whole;

/// 2026-10-02T00:00:00Z
const ARRIVED: i64 = 1_790_899_200_000_000;
pub(super) const VAULT: &str = "/SUBSCRIPTIONS/00000000-0000-0000-0000-000000000001/RESOURCEGROUPS/RG-PAY/PROVIDERS/MICROSOFT.KEYVAULT/VAULTS/KV-PAY";

/// What one decoder makes of one text.
fn decode(text: &str) -> Decoded {
    let mut decoder = Decoder::new(ARRIVED);
    decoder.source("test");
    decoder.value(text.as_bytes(), 0);
    checked(decoder.finish())
}

fn lines(bytes: &[u8]) -> Decoded {
    let mut decoder = Decoder::new(ARRIVED);
    decoder.source("test");
    decoder.lines(bytes, 0);
    checked(decoder.finish())
}

fn checked(decoded: Decoded) -> Decoded {
    let rows = decoded.events.num_rows() as u64;
    assert_eq!(decoded.read, rows + decoded.rejects.len() as u64 + decoded.skipped);
    decoded
}

/// A cell as text; empty for null.
fn cell(decoded: &Decoded, row: usize, column: &str) -> String {
    array_value_to_string(decoded.events.column(schema::index(column)), row).unwrap()
}

/// The only event of a text.
fn one(record: &Value) -> Decoded {
    let decoded = decode(&record.to_string());
    assert_eq!((decoded.events.num_rows(), decoded.rejects.len()), (1, 0), "{record} {:?}", decoded.rejects);
    decoded
}

/// Column and expected text, for the only event of a record.
fn expect(record: &Value, columns: &[(&str, &str)]) {
    let decoded = one(record);
    for (column, value) in columns {
        assert_eq!(cell(&decoded, 0, column), *value, "{column} of {record}");
    }
}

fn extra(decoded: &Decoded, row: usize) -> Value {
    let text = cell(decoded, row, "extra");
    if text.is_empty() { Value::Null } else { serde_json::from_str(&text).expect("extra is JSON") }
}

fn id(decoded: &Decoded) -> Vec<String> {
    (0..decoded.events.num_rows()).map(|row| cell(decoded, row, "event_id")).collect()
}

/// A read of a secret as the storage account has it.
fn secret_get() -> Value {
    json!({
        "time": "2026-10-01T08:15:30.1234567Z",
        "category": "AuditEvent",
        "resourceId": VAULT,
        "operationName": "SecretGet",
        "operationVersion": "7.4",
        "resultType": "Success",
        "resultSignature": "OK",
        "resultDescription": "",
        "durationMs": "12",
        "callerIpAddress": "10.1.2.3",
        "correlationId": "a1b2c3d4-e5f6-7890-abcd-ef1234567890",
        "identity": {"claim": {
            "oid": "D9DA5048-2737-4770-BD64-000000000001",
            "appid": "00001111-aaaa-2222-bbbb-3333cccc4444",
            "idtyp": "app",
            "xms_mirid": "/subscriptions/s/resourcegroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id-pay",
            "uti": "token-1"
        }},
        "properties": {
            "id": "https://kv-pay.vault.azure.net/secrets/db/0123456789abcdef0123456789abcdef",
            "clientInfo": "azsdk-net-Security.KeyVault.Secrets/4.5.0 (.NET 8.0.1; Linux)",
            "requestUri": "https://kv-pay.vault.azure.net/secrets/db?api-version=7.4",
            "httpStatusCode": 200,
            "isRbacAuthorized": true,
            "appliedAssignmentId": "b1b2",
            "isAddressAuthorized": true,
            "addrAuthType": "PublicIP",
            "tlsVersion": "TLS1_3",
            "secretProperties": {"type": "text/plain", "attributes": {"enabled": true, "exp": 1_790_812_800}}
        }
    })
}

/// `secret_get` with some fields put elsewhere: a path of keys and the new value, null removes.
fn changed(changes: &[(&str, Value)]) -> Value {
    let mut record = secret_get();
    for (path, value) in changes {
        let (parents, last) = path.rsplit_once('/').unwrap_or(("", path));
        let place = parents.split('/').filter(|key| !key.is_empty()).fold(&mut record, |place, key| &mut place[key]);
        if value.is_null() {
            place.as_object_mut().unwrap().remove(last);
        } else {
            place[last] = value.clone();
        }
    }
    record
}

#[test]
fn every_column_of_a_read() {
    expect(
        &secret_get(),
        &[
            ("time", "2026-10-01T08:15:30.123456Z"),
            ("vault_name", "kv-pay"),
            ("principal_id", "d9da5048-2737-4770-bd64-000000000001"),
            ("operation_name", "SecretGet"),
            ("outcome", "success"),
            ("http_status_code", "200"),
            ("object_name", "db"),
            ("caller_ip", "10.1.2.3"),
            ("category", "AuditEvent"),
            ("operation_class", "read"),
            ("object_type", "secret"),
            ("object_version", "0123456789abcdef0123456789abcdef"),
            ("resource_id", VAULT),
            ("subscription_id", "00000000-0000-0000-0000-000000000001"),
            ("resource_group", "rg-pay"),
            ("denial_reason", ""),
            ("result_signature", "OK"),
            ("result_description", ""),
            ("duration_ms", "12"),
            ("principal_type", "managed_identity"),
            ("principal_name", "id-pay"),
            ("app_id", "00001111-aaaa-2222-bbbb-3333cccc4444"),
            ("object_id", "d9da5048-2737-4770-bd64-000000000001"),
            ("client_product", "azsdk-net-Security.KeyVault.Secrets"),
            ("tls_version", "TLS1_3"),
            ("is_rbac_authorized", "true"),
            ("is_access_policy_match", ""),
            ("applied_assignment_id", "b1b2"),
            ("address_authorization_type", "PublicIP"),
            ("object_enabled", "true"),
            ("expires_at", "2026-10-01T00:00:00Z"),
            ("source", "test"),
            ("ingested_at", "2026-10-02T00:00:00Z"),
        ],
    );
    assert_eq!(
        extra(&one(&secret_get()), 0),
        json!({
            "time": "2026-10-01T08:15:30.1234567Z",
            "operationVersion": "7.4",
            "resultType": "Success",
            "identity": {"claim": {"idtyp": "app", "uti": "token-1"}},
            "properties": {"secretProperties": {"type": "text/plain"}}
        })
    );
}

#[test]
fn nothing_of_a_record_is_lost() {
    let record = changed(&[
        ("location", json!("westeurope")),
        ("properties/novel", json!({"deep": [1, {"x": "y z"}], "n": 1.50})),
        ("properties/id", json!("https://kv-pay.vault.azure.net/deletedsecrets/db")),
        ("durationMs", json!("12.5")),
    ]);
    let decoded = one(&record);
    let extra = extra(&decoded, 0);
    assert_eq!(extra["location"], "westeurope");
    assert_eq!(extra["properties"]["novel"], json!({"deep": [1, {"x": "y z"}], "n": 1.5}));
    assert_eq!(extra["id"], "https://kv-pay.vault.azure.net/deletedsecrets/db");
    assert_eq!(extra["durationMs"], "12.5");
    assert_eq!(cell(&decoded, 0, "duration_ms"), "13");
}

#[test]
fn control_plane_changes() {
    let put = |properties: Value| {
        let mut record = changed(&[("operationName", json!("VaultPatch")), ("properties", properties)]);
        record["properties"]["httpStatusCode"] = json!(200);
        record
    };
    let policy = json!({"TenantId": "t", "ObjectId": "AAAA-1", "Permissions": {"keys": ["Get", "get", "sign"], "secrets": ["list", "get"]}});
    expect(
        &put(json!({"addedAccessPolicy": policy})),
        &[
            ("change_kind", "access_policy_added"),
            ("target_principal_id", "aaaa-1"),
            ("granted_permissions", "keys/get,keys/sign,secrets/get,secrets/list"),
            ("operation_class", "control"),
            ("object_type", "vault"),
        ],
    );
    expect(
        &put(json!({"removedAccessPolicy": policy})),
        &[("change_kind", "access_policy_removed"), ("target_principal_id", "aaaa-1")],
    );
    expect(
        &put(json!({"addedIpRule": {"Value": "1.2.3.0/24"}})),
        &[("change_kind", "ip_rule_added"), ("added_ip_rule", "1.2.3.0/24")],
    );
    let vault = json!({"properties": {
        "sku": {"Family": "A", "Name": "Premium"}, "tenantId": "t", "networkAcls": {"bypass": "None", "defaultAction": "Deny"},
        "enablePurgeProtection": true, "softDeleteRetentionInDays": 90, "enableRbacAuthorization": false
    }});
    let columns = [
        ("change_kind", "vault_written"),
        ("sku", "premium"),
        ("network_default_action", "Deny"),
        ("purge_protection", "true"),
        ("soft_delete_days", "90"),
        ("rbac_enabled", "false"),
    ];
    expect(&put(vault.clone()), &columns);
    assert_eq!(extra(&one(&put(vault)), 0)["properties"]["properties"]["networkAcls"], json!({"bypass": "None"}));
    expect(
        &put(json!({"properties": {"networkAcls": null}})),
        &[("network_default_action", ""), ("change_kind", "vault_written")],
    );
}

#[test]
fn keys_and_notifications() {
    let key = changed(&[
        ("operationName", json!("KeyCreate")),
        ("properties/algorithm", json!("RS256")),
        ("properties/secretProperties", Value::Null),
        (
            "properties/keyProperties",
            json!({"type": "RSA", "size": 4096, "operations": ["wrapKey", "sign"], "attributes": {"enabled": false, "exp": "1790812800"}}),
        ),
    ]);
    let columns = [
        ("key_type", "RSA"),
        ("key_size", "4096"),
        ("key_operations", "sign,wrapkey"),
        ("object_enabled", "false"),
        ("algorithm", "RS256"),
        ("operation_class", "write"),
    ];
    expect(&key, &columns);
    let expiry = |name: &str| {
        json!({"time": "2026-10-01T08:15:30Z", "category": "AuditEvent", "resourceId": VAULT, "operationName": "SecretNearExpiryEventGridNotification",
            "properties": {"eventGridEventProperties": {"subject": name, "data": {"ObjectName": name, "VaultName": "kv-pay", "EXP": 1_790_812_800}}}})
    };
    let columns = [
        ("object_name", "db"),
        ("expires_at", "2026-10-01T00:00:00Z"),
        ("operation_class", "notify"),
        ("object_type", "secret"),
    ];
    expect(&expiry("db"), &columns);
    assert_ne!(id(&one(&expiry("db"))), id(&one(&expiry("other"))), "two objects that expire in one instant");
}

#[test]
fn activity_log_in_both_shapes() {
    let portal = json!({
        "eventTimestamp": "2026-10-01T08:15:30.1234567Z", "caller": "eve@contoso.com", "category": {"value": "Administrative", "localizedValue": "Administrative"},
        "operationName": {"value": "Microsoft.KeyVault/vaults/delete", "localizedValue": "Delete Vault"}, "resourceId": VAULT,
        "status": {"value": "Succeeded"}, "subStatus": {"value": "OK"}, "eventDataId": "e1", "correlationId": "c1",
        "claims": {"appid": "A1", "http://schemas.microsoft.com/identity/claims/objectidentifier": "O1",
            "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name": "eve@contoso.com"},
        "httpRequest": {"clientIpAddress": "1.2.3.4", "method": "DELETE"}, "id": "/subscriptions/s/events/e1/ticks/1"
    });
    let columns = [
        ("operation_name", "Microsoft.KeyVault/vaults/delete"),
        ("category", "Administrative"),
        ("outcome", "success"),
        ("change_kind", "vault_deleted"),
        ("operation_class", "delete"),
        ("object_type", "vault"),
        ("principal_id", "o1"),
        ("principal_type", "user"),
        ("principal_name", "eve@contoso.com"),
        ("caller_ip", "1.2.3.4"),
        ("vault_name", "kv-pay"),
    ];
    expect(&portal, &columns);
    let export = |result: &str, signature: &str, time: &str| {
        json!({"time": time, "resourceId": VAULT, "operationName": "MICROSOFT.KEYVAULT/VAULTS/WRITE", "category": "Administrative",
            "resultType": result, "resultSignature": signature, "durationMs": 0, "callerIpAddress": "1.2.3.4", "correlationId": "c1",
            "identity": {"authorization": {"scope": VAULT, "action": "Microsoft.KeyVault/vaults/write", "evidence": {"role": "Owner"}},
                "claims": {"appid": "a1", "http://schemas.microsoft.com/identity/claims/objectidentifier": "o1"}}})
    };
    let now = "2026-10-01T08:15:30Z";
    expect(&export("Start", "Started.", now), &[("outcome", "unknown"), ("change_kind", "vault_written")]);
    expect(&export("Success", "Succeeded.Created", now), &[("outcome", "success"), ("principal_id", "o1")]);
    expect(&export("Failure", "Failed.Forbidden", now), &[("outcome", "denied")]);
    assert_ne!(id(&one(&export("Start", "Started.", now))), id(&one(&export("Success", "Succeeded.", now))));
}

#[test]
fn role_assignments_name_role_and_target() {
    let body = json!({"Properties": {"PrincipalId": "P1", "RoleDefinitionId": "/providers/Microsoft.Authorization/roleDefinitions/r1"}}).to_string();
    let record = json!({"time": "2026-10-01T08:15:30Z", "category": "Administrative", "resultType": "Success",
        "operationName": "MICROSOFT.AUTHORIZATION/ROLEASSIGNMENTS/WRITE",
        "resourceId": format!("{VAULT}/PROVIDERS/MICROSOFT.AUTHORIZATION/ROLEASSIGNMENTS/X"),
        "properties": {"requestbody": body, "statusCode": "Created"}});
    let columns = [
        ("change_kind", "role_assigned"),
        ("target_principal_id", "p1"),
        ("role_definition_id", "/providers/Microsoft.Authorization/roleDefinitions/r1"),
        ("vault_name", "kv-pay"),
        ("outcome", "success"),
    ];
    expect(&record, &columns);
    assert_eq!(extra(&one(&record), 0)["properties"]["requestbody"], json!(body));
    // AzureActivity gives the properties themselves as text.
    let row = json!({"TimeGenerated": "2026-10-01T08:15:30Z", "CategoryValue": "Administrative", "Category": "Verwaltung",
        "OperationNameValue": "MICROSOFT.AUTHORIZATION/ROLEASSIGNMENTS/WRITE", "OperationName": "Create role assignment",
        "ActivityStatusValue": "Success", "_ResourceId": VAULT.to_lowercase(), "Caller": "eve@contoso.com",
        "Properties": json!({"requestbody": body, "statusCode": "Created"}).to_string()});
    expect(&row, &columns);
    expect(&row, &[("category", "Administrative"), ("principal_name", "eve@contoso.com")]);
    assert_eq!(extra(&one(&row), 0)["OperationName"], "Create role assignment");
}

#[test]
fn finish_resets_and_sources_change() {
    let mut decoder = Decoder::new(ARRIVED);
    let record = secret_get().to_string();
    decoder.source("a");
    decoder.value(record.as_bytes(), 0);
    decoder.source("b");
    decoder.value(record.as_bytes(), 0);
    decoder.value(b"{", 7);
    assert_eq!(decoder.rows(), 2);
    let decoded = decoder.finish();
    assert_eq!((cell(&decoded, 0, "source"), cell(&decoded, 1, "source")), ("a".into(), "b".into()));
    assert_eq!((decoded.rejects[0].source.as_str(), decoded.rejects[0].position, decoded.read), ("b", 7, 3));
    let empty = decoder.finish();
    assert_eq!((empty.events.num_rows(), empty.rejects.len(), empty.read, empty.skipped), (0, 0, 0, 0));
    assert!(empty.events.column(0).is_empty());
}
