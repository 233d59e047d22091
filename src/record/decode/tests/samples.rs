//! Public records of other projects, read in place where they are at hand (`KVAUDIT_SAMPLES`), never copied.

use std::path::PathBuf;

use super::*;

/// The samples' folder, or nothing on a machine without it.
fn folder(name: &str) -> Option<Vec<PathBuf>> {
    let root = std::env::var_os("KVAUDIT_SAMPLES").map(PathBuf::from);
    let root = root.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/samples"));
    let mut files: Vec<_> = std::fs::read_dir(root.join(name)).ok()?.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    Some(files)
}

fn counts(path: &PathBuf) -> (usize, usize, u64) {
    let decoded = decode(&std::fs::read_to_string(path).unwrap());
    (decoded.events.num_rows(), decoded.rejects.len(), decoded.skipped)
}

#[test]
fn microsofts_own_examples() {
    let Some(files) = folder("microsoft-docs") else { return };
    let mut identities = Vec::new();
    for path in &files {
        let decoded = decode(&std::fs::read_to_string(path).unwrap());
        assert!(decoded.rejects.is_empty() && decoded.events.num_rows() > 0, "{path:?} {:?}", decoded.rejects);
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.contains("append-blobs") {
            identities.push(id(&decoded));
        }
        if name.contains("managed-hsm") {
            for (column, value) in [
                ("operation_class", "backup"),
                ("object_type", "hsm"),
                ("principal_id", "<object-id>"),
                ("principal_name", "<user-email>"),
                ("outcome", "success"),
                ("http_status_code", "202"),
                ("caller_ip", "X.X.X.X"),
            ] {
                assert_eq!(cell(&decoded, 0, column), value, "{column}");
            }
        } else {
            assert_eq!(cell(&decoded, 0, "vault_name"), "contosokeyvault");
            assert_eq!(cell(&decoded, 0, "principal_name"), "live.com#username@outlook.com");
        }
    }
    assert_eq!(identities[0], identities[1], "JSON lines and the document before 2018 hold the same records");
}

#[test]
fn envelope_cases_of_opentelemetry() {
    let Some(files) = folder("opentelemetry-azurelogs") else { return };
    for path in &files {
        let expected = match path.file_name().unwrap().to_str().unwrap() {
            "category_from_type.json" | "empty_resource_id.json" => (1, 0, 0),
            "json_array_format.json" | "nd_json_format.jsonl" | "records_format.json" => (2, 0, 0),
            "empty_category.json" | "unsupported_root.json" => (0, 0, 1),
            "empty_records.json" => (0, 0, 0),
            "invalid.json.txt" | "invalid_timestamp.json" | "no_timestamp.json" => (0, 1, 0),
            other => panic!("an unknown sample: {other}"),
        };
        assert_eq!(counts(path), expected, "{path:?}");
    }
}

#[test]
fn activity_log_cases_of_panther() {
    let Some(files) = folder("panther-activity-log") else { return };
    for path in &files {
        let case: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let decoded = decode(&case["log"].to_string());
        let name = path.file_name().unwrap().to_str().unwrap();
        if name == "azure_diagnostic_settings_deleted_0_T.json" {
            assert_eq!(decoded.skipped, 1, "a storage account's setting is not Key Vault's");
            continue;
        }
        assert_eq!((decoded.events.num_rows(), decoded.rejects.len()), (1, 0), "{name}");
        assert_eq!(cell(&decoded, 0, "outcome"), "success", "{name}");
        let fires = name.ends_with("_T.json");
        let change = cell(&decoded, 0, "change_kind");
        let class = cell(&decoded, 0, "operation_class");
        let (rule, _) = name.rsplit_once(['0', '1', '2', '3']).unwrap();
        let told = match rule.trim_end_matches('_') {
            "azure_diagnostic_settings_deleted" => change == "diagnostics_removed",
            "azure_keyvault_deleted" => change == "vault_deleted",
            "azure_keyvault_purged" => change == "vault_purged",
            "azure_keyvault_key_purged" => class == "purge",
            _ => matches!(class.as_str(), "read" | "restore"),
        };
        assert_eq!(told, fires, "{name}: {change} {class}");
    }
}
