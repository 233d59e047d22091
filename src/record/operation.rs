//! What kind of operation a name stands for.
//!
//! The set of names is open, so they are classified by prefix and verb; no name is refused.

/// Class of an operation, as the column `operation_class` has it.
pub(super) fn class(operation: &str) -> &'static str {
    match operation {
        // The few that make nearly all of the traffic.
        "SecretGet" | "KeyGet" | "CertificateGet" | "VaultGet" => "read",
        "SecretList" | "KeyList" | "CertificateList" => "list",
        "KeySign" | "KeyVerify" | "KeyWrap" | "KeyUnwrap" | "KeyEncrypt" | "KeyDecrypt" | "KeyRelease" => "crypto",
        "Authentication" => "authenticate",
        _ if is_policy(operation) => "policy",
        _ if operation.contains('/') => action_class(&operation.to_ascii_lowercase()),
        _ => verb_class(&operation.to_ascii_lowercase()),
    }
}

/// Whether it is an evaluation of Azure Policy, which is no request of a caller. Azure itself spells it
/// `AzurePolicyEvaulation`.
pub(super) fn is_policy(operation: &str) -> bool {
    const PREFIX: &str = "AzurePolicyEva";
    operation.get(..PREFIX.len()).is_some_and(|head| head.eq_ignore_ascii_case(PREFIX))
}

/// Verbs in the order in which they decide: `GetDeleted` reads and `ListDeleted` lists.
const VERBS: &[(&str, &str)] = &[
    ("eventgridnotification", "notify"),
    ("list", "list"),
    ("accesspolicychanged", "control"),
    ("get", "read"),
    ("purge", "purge"),
    ("delete", "delete"),
    ("backup", "backup"),
    ("restore", "restore"),
    ("recover", "restore"),
    ("unwrap", "crypto"),
    ("wrap", "crypto"),
    ("encrypt", "crypto"),
    ("decrypt", "crypto"),
    ("sign", "crypto"),
    ("verify", "crypto"),
    ("release", "crypto"),
    ("import", "write"),
    ("create", "write"),
    ("update", "write"),
    ("rotate", "write"),
    ("enroll", "write"),
    ("renew", "write"),
    ("regenerate", "write"),
    ("merge", "write"),
    ("set", "write"),
];

const PREFIXES: &[&str] = &["vault", "managedhsm", "storageaccount", "secret", "key", "certificate", "hsm"];

/// A managed HSM's own: who may do what in it, and the domain that all of its keys can be restored from.
fn hsm_class(lower: &str) -> Option<&'static str> {
    let has = |word: &str| lower.contains(word);
    if lower.starts_with("roleassignment") || lower.starts_with("roledefinition") {
        return Some(match lower {
            _ if has("list") => "list",
            _ if lower.ends_with("get") || has("read") => "read",
            _ => "control",
        });
    }
    let domain = lower.strip_prefix("hsm").unwrap_or(lower).starts_with("securitydomain");
    domain.then(|| match lower {
        _ if lower.ends_with("get") || has("transferkey") || has("pending") || has("status") => "read",
        _ if has("download") => "backup",
        _ if has("upload") => "restore",
        _ => "control",
    })
}

fn verb_class(lower: &str) -> &'static str {
    if let Some(class) = hsm_class(lower) {
        return class;
    }
    let verb = PREFIXES.iter().find_map(|prefix| lower.strip_prefix(prefix)).unwrap_or(lower);
    let control = ["vault", "managedhsm", "hsm"].iter().any(|prefix| lower.starts_with(prefix));
    // A verb stands at an end of the name; inside it may be part of a word (`Issuers`, `Settings`).
    let found = VERBS.iter().find(|(word, class)| {
        (verb.starts_with(word) || verb.ends_with(word) || (*class == "list" && verb.contains(word)))
            && !(control && matches!(*class, "write" | "crypto"))
    });
    match found {
        Some((_, class)) => class,
        None if control => "control",
        None => "other",
    }
}

/// Operations of the Activity log: `Microsoft.KeyVault/vaults/secrets/getSecret/action`.
fn action_class(lower: &str) -> &'static str {
    let mut parts = lower.rsplit('/');
    let last = parts.next().unwrap_or_default();
    let verb = if last == "action" { parts.next().unwrap_or_default() } else { last };
    let data = ["/secrets", "/keys", "/certificates"].iter().any(|kind| lower.contains(kind));
    match verb {
        "read" | "getsecret" => "read",
        "readmetadata" => "list",
        "purge" => "purge",
        "delete" if data || lower.ends_with("/vaults/delete") || lower.ends_with("/managedhsms/delete") => "delete",
        "recover" | "restore" => "restore",
        "backup" => "backup",
        _ if !data => "control",
        "write" | "setsecret" | "create" | "import" | "update" | "rotate" => "write",
        "sign" | "verify" | "wrap" | "unwrap" | "encrypt" | "decrypt" | "release" => "crypto",
        _ => "control",
    }
}

/// Type of object that the name itself states, as the column `object_type` has it.
pub(super) fn object_type(operation: &str) -> Option<&'static str> {
    let starts = |prefix: &str| operation.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix));
    [
        ("Secret", "secret"),
        ("Key", "key"),
        ("Certificate", "certificate"),
        ("Vault", "vault"),
        ("ManagedHsm", "hsm"),
        ("HSM", "hsm"),
        ("EkmProxy", "hsm"),
        ("BackupCreate", "hsm"),
        ("RestoreCreate", "hsm"),
        ("SecurityDomain", "hsm"),
        ("StorageAccount", "storage"),
    ]
    .into_iter()
    .find_map(|(prefix, kind)| starts(prefix).then_some(kind))
}

/// Whether a name is one of Key Vault's data plane or control plane, known or likely. The Activity log's have a slash.
pub(super) fn is_key_vault(operation: &str) -> bool {
    let starts = |prefix: &str| operation.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix));
    object_type(operation).is_some()
        || ["Authentication", "BackupStatus", "RestoreStatus", "RoleAssignment", "RoleDefinition"]
            .iter()
            .any(|prefix| starts(prefix))
}

/// Documented names, one a word.
const NAMES: &str = "\
    Authentication \
    VaultGet VaultPut VaultPatch VaultDelete VaultRecover VaultList VaultPurge VaultGetDeleted VaultListDeleted \
    VaultAccessPolicyChangedEventGridNotification \
    KeyCreate KeyGet KeyImport KeyDelete KeySign KeyVerify KeyWrap KeyUnwrap KeyEncrypt KeyDecrypt KeyUpdate KeyList \
    KeyListVersions KeyPurge KeyBackup KeyRestore KeyRecover KeyGetDeleted KeyListDeleted KeyRelease KeyRotate \
    KeyRotateIfDue KeyRotationPolicyGet KeyRotationPolicySet KeyNearExpiryEventGridNotification \
    KeyExpiredEventGridNotification \
    SecretSet SecretGet SecretUpdate SecretDelete SecretList SecretListVersions SecretPurge SecretBackup SecretRestore \
    SecretRecover SecretGetDeleted SecretListDeleted SecretNearExpiryEventGridNotification \
    SecretExpiredEventGridNotification \
    CertificateGet CertificateCreate CertificateImport CertificateUpdate CertificateList CertificateListVersions \
    CertificateDelete CertificatePurge CertificateBackup CertificateRestore CertificateRecover CertificateGetDeleted \
    CertificateListDeleted CertificatePolicyGet CertificatePolicyUpdate CertificatePolicySet CertificateContactsGet \
    CertificateContactsSet CertificateContactsDelete CertificateIssuerGet CertificateIssuerSet CertificateIssuerUpdate \
    CertificateIssuerDelete CertificateIssuersList CertificateEnroll CertificateRenew CertificatePendingGet \
    CertificatePendingMerge CertificatePendingUpdate CertificatePendingDelete \
    CertificateNearExpiryEventGridNotification CertificateExpiredEventGridNotification \
    HSMGet ManagedHsmPut ManagedHsmPatch BackupCreate EkmProxyOperation";

/// A documented operation and what is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// As Azure names it.
    pub name: &'static str,
    /// As the column `operation_class` has it.
    pub class: &'static str,
    /// As the column `object_type` has it, where the name states it.
    pub object_type: Option<&'static str>,
    /// Whether a successful call counts as a transaction on the bill; none where no source says so for certain.
    pub billed: Option<bool>,
}

/// Every operation that Azure documents for vaults and managed HSMs, and those that public records have beside them.
/// The set is open: an event may have another name, which is classified all the same.
pub fn operations() -> impl Iterator<Item = Operation> {
    NAMES.split_whitespace().map(|name| {
        let (class, object_type) = (class(name), object_type(name));
        let billed = match (class, object_type) {
            // Event Grid tells of what nobody asked for; a challenge is answered before the vault does any work.
            ("notify" | "authenticate", _) => Some(false),
            (_, Some("secret" | "key" | "certificate")) => Some(true),
            _ => None,
        };
        Operation { name, class, object_type, billed }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes() -> Vec<(&'static str, &'static str)> {
        vec![
            ("authenticate", "Authentication"),
            ("read", "VaultGet VaultGetDeleted KeyGet KeyGetDeleted KeyRotationPolicyGet SecretGet SecretGetDeleted"),
            (
                "read",
                "CertificateGet CertificateGetDeleted CertificatePolicyGet CertificateContactsGet CertificateIssuerGet",
            ),
            ("read", "CertificatePendingGet HSMGet StorageAccountGet"),
            ("list", "VaultList VaultListDeleted KeyList KeyListVersions KeyListDeleted SecretList SecretListVersions"),
            (
                "list",
                "SecretListDeleted CertificateList CertificateListVersions CertificateListDeleted CertificateIssuersList",
            ),
            (
                "write",
                "KeyCreate KeyImport KeyUpdate KeyRotate KeyRotateIfDue KeyRotationPolicySet SecretSet SecretUpdate",
            ),
            (
                "write",
                "CertificateCreate CertificateImport CertificateUpdate CertificatePolicyUpdate CertificatePolicySet",
            ),
            (
                "write",
                "CertificateContactsSet CertificateIssuerSet CertificateIssuerUpdate CertificateEnroll CertificateRenew",
            ),
            ("write", "CertificatePendingMerge CertificatePendingUpdate StorageAccountSet"),
            (
                "delete",
                "VaultDelete KeyDelete SecretDelete CertificateDelete CertificateContactsDelete CertificateIssuerDelete",
            ),
            (
                "delete",
                "CertificatePendingDelete Microsoft.KeyVault/vaults/delete MICROSOFT.KEYVAULT/MANAGEDHSMS/DELETE",
            ),
            ("policy", "AzurePolicyEvaulation AzurePolicyEvaluation azurepolicyevaluation"),
            ("purge", "VaultPurge KeyPurge SecretPurge CertificatePurge"),
            (
                "purge",
                "Microsoft.KeyVault/locations/deletedVaults/purge/action microsoft.keyvault/vaults/keys/purge/action",
            ),
            ("backup", "KeyBackup SecretBackup CertificateBackup BackupCreate"),
            (
                "restore",
                "VaultRecover KeyRestore KeyRecover SecretRestore SecretRecover CertificateRestore CertificateRecover",
            ),
            ("restore", "microsoft.keyvault/vaults/keys/restore/action"),
            (
                "crypto",
                "KeySign KeyVerify KeyWrap KeyUnwrap KeyEncrypt KeyDecrypt KeyRelease Microsoft.KeyVault/vaults/keys/sign/action",
            ),
            ("control", "VaultPut VaultPatch ManagedHsmPut ManagedHsmPatch Microsoft.KeyVault/vaults/write"),
            ("control", "Microsoft.Insights/diagnosticSettings/delete Microsoft.Authorization/roleAssignments/delete"),
            ("control", "Microsoft.KeyVault/vaults/accessPolicies/write Microsoft.KeyVault/vaults/deploy/action"),
            ("control", "Microsoft.KeyVault/vaults/privateEndpointConnectionsApproval/action"),
            ("read", "Microsoft.KeyVault/vaults/secrets/getSecret/action Microsoft.KeyVault/vaults/certificates/read"),
            ("write", "Microsoft.KeyVault/vaults/secrets/write"),
            ("notify", "VaultAccessPolicyChangedEventGridNotification KeyNearExpiryEventGridNotification"),
            (
                "notify",
                "KeyExpiredEventGridNotification SecretNearExpiryEventGridNotification SecretExpiredEventGridNotification",
            ),
            ("notify", "CertificateNearExpiryEventGridNotification CertificateExpiredEventGridNotification"),
            ("other", "EkmProxyOperation Nonsense ß /"),
        ]
    }

    #[test]
    fn every_documented_name_has_its_class() {
        for (class_name, names) in classes() {
            for name in names.split(' ').filter(|name| *name != "/") {
                assert_eq!(class(name), class_name, "{name}");
            }
        }
    }

    /// Names that nobody documents; the words are those of its REST operations.
    #[test]
    fn a_managed_hsms_own_operations_have_their_class() {
        for (class_name, names) in [
            ("control", "RoleAssignmentCreate RoleAssignmentDelete RoleDefinitionSet RoleDefinitionDelete"),
            ("read", "RoleAssignmentGet SecurityDomainDownloadPending SecurityDomainTransferKeyGet"),
            ("list", "RoleAssignmentList RoleAssignmentsListForScope RoleDefinitionsList"),
            ("backup", "SecurityDomainDownload FullBackup HSMSecurityDomainDownload"),
            ("restore", "SecurityDomainUpload FullRestore"),
        ] {
            for name in names.split(' ') {
                assert_eq!(class(name), class_name, "{name}");
            }
        }
    }

    #[test]
    fn documented_operations_stand_once_and_say_what_is_billed() {
        let all: Vec<Operation> = operations().collect();
        let distinct: std::collections::BTreeSet<_> = all.iter().map(|o| o.name).collect();
        assert_eq!(distinct.len(), all.len());
        let billed = |name: &str| all.iter().find(|o| o.name == name).map(|o| o.billed);
        for (name, expected) in [
            ("SecretGet", Some(Some(true))),
            ("KeySign", Some(Some(true))),
            ("Authentication", Some(Some(false))),
            ("SecretExpiredEventGridNotification", Some(Some(false))),
            ("VaultGet", Some(None)),
            ("Nonsense", None),
        ] {
            assert_eq!(billed(name), expected, "{name}");
        }
        for (class_name, names) in classes() {
            let listed = |name: &&str| object_type(name).is_some_and(|kind| kind != "storage") && !name.contains('/');
            for name in names.split(' ').filter(listed) {
                let stands = all.iter().any(|o| o.name == name && o.class == class_name);
                assert!(stands, "{name} is documented and no row of the table");
            }
        }
    }

    /// Trap 7: the set of operations is open; an unknown name is data, told by prefix and verb.
    #[test]
    fn trap_7_unknown_names_are_classified_by_prefix_and_verb() {
        for (name, class_name, kind) in [
            ("SecretGetAll", "read", Some("secret")),
            ("KeyPurgeNow", "purge", Some("key")),
            ("StorageAccountListSas", "list", Some("storage")),
            ("StorageAccountRegenerateKey", "write", Some("storage")),
            ("EkmProxyOperation", "other", Some("hsm")),
            ("VaultProxyConnection", "control", Some("vault")),
            ("CertificateFrobnicate", "other", Some("certificate")),
        ] {
            assert_eq!((class(name), object_type(name)), (class_name, kind), "{name}");
            assert!(is_key_vault(name), "{name}");
        }
        assert!(!is_key_vault("Microsoft.Storage/storageAccounts/listKeys/action"));
        assert!(!is_key_vault("GetBlob"));
    }
}
