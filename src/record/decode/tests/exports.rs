//! Log Analytics: rows of both tables in every form they are exported in equal the raw record.

use super::*;
use crate::record::Order;

fn diagnostics() -> Value {
    json!({
        "TimeGenerated": "2026-10-01T08:15:30.1234567Z", "Category": "AuditEvent", "OperationName": "SecretGet", "OperationVersion": "7.4",
        "ResultType": "Success", "ResultSignature": "OK", "ResultDescription": "", "DurationMs": 12, "CallerIPAddress": "10.1.2.3",
        "CorrelationId": "a1b2c3d4-e5f6-7890-abcd-ef1234567890", "ResourceId": VAULT, "SubscriptionId": "00000000-0000-0000-0000-000000000001",
        "ResourceGroup": "RG-PAY", "ResourceProvider": "MICROSOFT.KEYVAULT", "Resource": "KV-PAY", "ResourceType": "VAULTS",
        "TenantId": "workspace-1", "SourceSystem": "Azure", "Type": "AzureDiagnostics", "_ResourceId": VAULT.to_lowercase(),
        "identity_claim_oid_g": "d9da5048-2737-4770-bd64-000000000001", "identity_claim_appid_g": "00001111-aaaa-2222-bbbb-3333cccc4444",
        "identity_claim_idtyp_s": "app", "identity_claim_uti_s": "token-1", "identity_claim_upn_s": "",
        "identity_claim_xms_mirid_s": "/subscriptions/s/resourcegroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id-pay",
        "id_s": "https://kv-pay.vault.azure.net/secrets/db/0123456789abcdef0123456789abcdef",
        "clientInfo_s": "azsdk-net-Security.KeyVault.Secrets/4.5.0 (.NET 8.0.1; Linux)",
        "requestUri_s": "https://kv-pay.vault.azure.net/secrets/db?api-version=7.4", "httpStatusCode_d": 200.0, "isRbacAuthorized_b": true,
        "appliedAssignmentId_g": "b1b2", "isAddressAuthorized_b": true, "addrAuthType_s": "PublicIP", "tlsVersion_s": "TLS1_3",
        "secretProperties_type_s": "text/plain", "secretProperties_attributes_enabled_b": true, "secretProperties_attributes_exp_d": 1_790_812_800.0,
        "subnetId_s": null, "keyProperties_size_d": null
    })
}

fn audit_logs() -> Value {
    let raw = secret_get();
    json!({
        "TimeGenerated": "2026-10-01T08:15:30.1234567Z", "OperationName": "SecretGet", "OperationVersion": "7.4", "ResultType": "Success",
        "ResultSignature": "OK", "ResultDescription": "", "HttpStatusCode": 200, "DurationMs": 12, "CallerIpAddress": "10.1.2.3",
        "CorrelationId": "a1b2c3d4-e5f6-7890-abcd-ef1234567890", "Identity": raw["identity"].to_string(), "Id": raw["properties"]["id"],
        "RequestUri": raw["properties"]["requestUri"], "ClientInfo": raw["properties"]["clientInfo"], "Algorithm": "",
        "AddressAuthorizationType": "PublicIP", "IsAddressAuthorized": true, "IsRbacAuthorized": true, "AppliedAssignmentId": "b1b2",
        "SubnetId": "", "Tlsversion": "TLS1_3", "TrustedService": "", "KeyProperties": "", "SecretProperties": raw["properties"]["secretProperties"].to_string(),
        "_ResourceId": VAULT.to_lowercase(), "_SubscriptionId": "00000000-0000-0000-0000-000000000001", "TenantId": "workspace-1",
        "_BilledSize": 1220, "Type": "AZKVAuditLogs", "SourceSystem": "Azure"
    })
}

/// Every derived column and the identity as in the raw record; the resource id but for letter case.
fn equals_raw(decoded: &Decoded, what: &str) {
    assert_eq!((decoded.events.num_rows(), decoded.rejects.len()), (1, 0), "{what}: {:?}", decoded.rejects);
    let raw = one(&secret_get());
    for column in schema::COLUMNS.iter().filter(|column| column.name != "extra") {
        let (theirs, ours) = (cell(decoded, 0, column.name), cell(&raw, 0, column.name));
        let same = theirs == ours || (column.name == "resource_id" && theirs.eq_ignore_ascii_case(&ours));
        assert!(same, "{what}: {} is {theirs}, in the raw record {ours}", column.name);
    }
}

fn columns_and_row(record: &Value) -> (Vec<String>, Value) {
    let fields = record.as_object().unwrap();
    (fields.keys().cloned().collect(), fields.values().cloned().collect())
}

fn csv_text(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(b) => if *b { "True" } else { "False" }.into(),
        other => other.to_string(),
    };
    format!("\"{}\"", text.replace('"', "\"\""))
}

#[test]
fn both_tables_equal_the_raw_record_in_every_form() {
    for (table, record) in [("AzureDiagnostics", diagnostics()), ("AZKVAuditLogs", audit_logs())] {
        equals_raw(&one(&record), table);
        let (columns, row) = columns_and_row(&record);
        let mut decoder = Decoder::new(ARRIVED);
        decoder.source("test");
        decoder.row(&columns, row.to_string().as_bytes(), 0);
        equals_raw(&checked(decoder.finish()), &format!("{table} as a row"));
        let cells: Vec<String> = row.as_array().unwrap().iter().map(csv_text).collect();
        decoder.csv_row(&columns, b',', cells.join(",").as_bytes(), 0);
        equals_raw(&checked(decoder.finish()), &format!("{table} as CSV"));
        let named: Vec<Value> = columns.iter().map(|name| json!({"name": name, "type": "string"})).collect();
        for tables in [
            json!({"tables": [{"name": "PrimaryResult", "columns": named, "rows": [row]}]}),
            json!({"tables": [{"rows": [row], "columns": named}]}),
        ] {
            equals_raw(&decode(&tables.to_string()), &format!("{table} from the query API"));
        }
    }
}

#[test]
fn audit_logs_rows_with_objects_in_place_of_text() {
    let mut record = audit_logs();
    record["Identity"] = secret_get()["identity"].clone();
    record["SecretProperties"] = secret_get()["properties"]["secretProperties"].clone();
    record.as_object_mut().unwrap().remove("Type");
    equals_raw(&one(&record), "dynamic columns");
}

#[test]
fn a_column_of_objects_may_have_the_name_that_policy_evaluations_use() {
    for column in ["SecretName", "ObjectName", "Object Name"] {
        let header = ["TimeGenerated", "OperationName", "VaultName", column, "httpStatusCode_d"].map(String::from);
        let mut decoder = Decoder::new(ARRIVED);
        decoder.csv_row(&header, b',', b"2026-01-10T00:00:00Z,SecretGet,kv-pay,Db-Password,200", 0);
        let decoded = checked(decoder.finish());
        assert_eq!(cell(&decoded, 0, "object_name"), "db-password", "{column}");
    }
}

#[test]
fn the_portals_csv_keeps_all_but_the_times_last_digits() {
    let header =
        ["TimeGenerated [UTC]", "OperationName", "Category", "ResourceId", "httpStatusCode_d"].map(String::from);
    let row = format!("\"10/1/2026, 8:15:30.123 AM\",SecretGet,AuditEvent,{VAULT},200");
    let mut decoder = Decoder::new(ARRIVED);
    decoder.csv_row(&header, b',', row.as_bytes(), 0);
    let refused = &checked(decoder.finish()).rejects[0].reason;
    assert!(refused.contains("10 January 2026 or 1 October 2026"), "{refused}");
    decoder.dates(Dates { order: Some(Order::MonthFirst), zone: None });
    decoder.csv_row(&header, b',', row.as_bytes(), 0);
    let decoded = checked(decoder.finish());
    assert_eq!(cell(&decoded, 0, "time"), "2026-10-01T08:15:30.123Z");
    assert_eq!((cell(&decoded, 0, "outcome"), cell(&decoded, 0, "vault_name")), ("success".into(), "kv-pay".into()));
}

#[test]
fn columns_beyond_the_five_hundredth() {
    let mut record = diagnostics();
    let fields = record.as_object_mut().unwrap();
    let status = fields.remove("httpStatusCode_d").unwrap();
    let uri = fields.remove("requestUri_s").unwrap();
    record["AdditionalFields"] = json!({"httpStatusCode_d": status, "requestUri_s": uri}).to_string().into();
    equals_raw(&one(&record), "AdditionalFields");
}

#[test]
fn bad_rows_are_rejected_as_they_came() {
    let header = ["TimeGenerated", "OperationName", "_ResourceId"].map(String::from);
    let mut decoder = Decoder::new(ARRIVED);
    decoder.csv_row(&header, b',', b"2026-10-01T00:00:00Z,SecretGet,x,y", 5);
    decoder.csv_row(&header, b',', b"never,SecretGet,/providers/microsoft.keyvault/vaults/x", 9);
    decoder.csv_row(&header, b',', b"\xff", 11);
    decoder.csv_row(&header, b',', b"\r\n", 12);
    decoder.row(&header, b"[1,2", 13);
    decoder.row(&header, b"[1,2,3,4]", 14);
    decoder.row(&header, b"{}", 15);
    let decoded = checked(decoder.finish());
    assert_eq!((decoded.events.num_rows(), decoded.skipped), (0, 0));
    let positions: Vec<u64> = decoded.rejects.iter().map(|reject| reject.position).collect();
    assert_eq!(positions, [5, 9, 11, 13, 14, 15]);
    assert!(decoded.rejects[1].reason.contains("never"));
    assert!(decoded.rejects[1].bytes.starts_with(b"never,SecretGet"));
    assert!(decoded.rejects[2].reason.contains("UTF-8"));
}

#[test]
fn what_log_analytics_adds_is_kept_and_changes_nothing() {
    let mut other = audit_logs();
    for (key, value) in
        [("TenantId", json!("workspace-2")), ("_BilledSize", json!(7)), ("_ItemId", json!("i")), ("MG", json!("m"))]
    {
        other[key] = value;
    }
    assert_eq!(id(&one(&other)), id(&one(&audit_logs())));
    assert_eq!(extra(&one(&other), 0)["TenantId"], "workspace-2");
}
