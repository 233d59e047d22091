//! The operations that the simulator performs: how each is named, addressed, permitted and refused.

/// An operation of Key Vault, by Azure's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    SecretGet,
    SecretList,
    SecretListVersions,
    SecretSet,
    SecretUpdate,
    SecretDelete,
    SecretPurge,
    SecretBackup,
    SecretNearExpiry,
    SecretExpired,
    SecretRecover,
    SecretRestore,
    SecretListDeleted,
    KeyGet,
    KeyList,
    KeySign,
    KeyUnwrap,
    KeyDecrypt,
    KeyBackup,
    KeyCreate,
    KeyUpdate,
    KeyDelete,
    CertificateGet,
    CertificateList,
    CertificateNearExpiry,
    VaultGet,
    VaultPut,
    VaultPatch,
    PolicyChanged,
    /// The Activity log's: a role assigned, a diagnostic setting deleted, a vault written.
    RoleWrite,
    DiagnosticsDelete,
    VaultWrite,
}

/// What a request's path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    /// The vault in Resource Manager: control plane.
    Vault,
    /// Something in Resource Manager that only the Activity log tells of.
    Activity,
    /// An object that the request's body names, not its path.
    Body,
    /// A collection of objects.
    Collection,
    /// One object, its newest version.
    Object,
    /// One version of an object: crypto calls always name it.
    Version,
}

impl Names {
    /// Handled by Resource Manager, with its own token.
    pub(super) fn is_control(self) -> bool {
        matches!(self, Names::Vault | Names::Activity)
    }
}

/// How an operation is written.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) name: &'static str,
    pub(super) collection: &'static str,
    /// The object in the service's messages: secret, key, certificate.
    pub(super) noun: &'static str,
    pub(super) names: Names,
    /// What follows the object in the path.
    pub(super) suffix: &'static str,
    /// The RBAC data action below `Microsoft.KeyVault/vaults/`.
    pub(super) action: &'static str,
    /// The permission of an access policy.
    pub(super) permission: &'static str,
    /// The algorithm that key operations log.
    pub(super) algorithm: &'static str,
    /// Median service time in milliseconds.
    pub(super) millis: f64,
}

const fn facts(
    name: &'static str,
    path: (&'static str, &'static str, Names, &'static str),
    rights: (&'static str, &'static str),
    millis: f64,
) -> Facts {
    let (collection, noun, names, suffix) = path;
    let (action, permission) = rights;
    Facts { name, collection, noun, names, suffix, action, permission, algorithm: "", millis }
}

const fn crypto(name: &'static str, suffix: &'static str, rights: (&'static str, &'static str)) -> Facts {
    facts(name, ("keys", "key", Names::Version, suffix), rights, 14.0)
}

use Names::{Activity, Body, Collection, Object, Vault};

const SECRET_META: &str = "secrets/readMetadata/action";

static SECRET_GET: Facts =
    facts("SecretGet", ("secrets", "secret", Object, ""), ("secrets/getSecret/action", "get"), 11.0);
static SECRET_LIST: Facts = facts("SecretList", ("secrets", "secret", Collection, ""), (SECRET_META, "list"), 24.0);
static SECRET_VERSIONS: Facts =
    facts("SecretListVersions", ("secrets", "secret", Object, "/versions"), (SECRET_META, "list"), 22.0);
static SECRET_SET: Facts =
    facts("SecretSet", ("secrets", "secret", Object, ""), ("secrets/setSecret/action", "set"), 38.0);
static SECRET_UPDATE: Facts =
    facts("SecretUpdate", ("secrets", "secret", Object, ""), ("secrets/update/action", "set"), 30.0);
static SECRET_DELETE: Facts =
    facts("SecretDelete", ("secrets", "secret", Object, ""), ("secrets/delete", "delete"), 55.0);
static SECRET_PURGE: Facts =
    facts("SecretPurge", ("deletedsecrets", "secret", Object, ""), ("secrets/purge/action", "purge"), 60.0);
static SECRET_BACKUP: Facts =
    facts("SecretBackup", ("secrets", "secret", Object, "/backup"), ("secrets/backup/action", "backup"), 45.0);
static SECRET_NEAR_EXPIRY: Facts =
    facts("SecretNearExpiryEventGridNotification", ("secrets", "secret", Object, ""), ("", ""), 90.0);
static KEY_GET: Facts = facts("KeyGet", ("keys", "key", Object, ""), ("keys/read", "get"), 10.0);
static KEY_LIST: Facts = facts("KeyList", ("keys", "key", Collection, ""), ("keys/read", "list"), 22.0);
static KEY_SIGN: Facts = Facts { algorithm: "RS256", ..crypto("KeySign", "/sign", ("keys/sign/action", "sign")) };
static KEY_UNWRAP: Facts =
    Facts { algorithm: "RSA-OAEP-256", ..crypto("KeyUnwrap", "/unwrapkey", ("keys/unwrap/action", "unwrapKey")) };
static KEY_DECRYPT: Facts =
    Facts { algorithm: "RSA-OAEP-256", ..crypto("KeyDecrypt", "/decrypt", ("keys/decrypt/action", "decrypt")) };
static KEY_BACKUP: Facts =
    facts("KeyBackup", ("keys", "key", Object, "/backup"), ("keys/backup/action", "backup"), 50.0);
static CERTIFICATE_GET: Facts =
    facts("CertificateGet", ("certificates", "certificate", Object, ""), ("certificates/read", "get"), 12.0);
static CERTIFICATE_LIST: Facts =
    facts("CertificateList", ("certificates", "certificate", Collection, ""), ("certificates/read", "list"), 25.0);
static CERTIFICATE_NEAR_EXPIRY: Facts =
    facts("CertificateNearExpiryEventGridNotification", ("certificates", "certificate", Object, ""), ("", ""), 90.0);
static SECRET_EXPIRED: Facts =
    facts("SecretExpiredEventGridNotification", ("secrets", "secret", Object, ""), ("", ""), 90.0);
static SECRET_RECOVER: Facts = facts(
    "SecretRecover",
    ("deletedsecrets", "secret", Object, "/recover"),
    ("secrets/recover/action", "recover"),
    48.0,
);
static SECRET_RESTORE: Facts =
    facts("SecretRestore", ("secrets", "secret", Body, "/restore"), ("secrets/restore/action", "restore"), 70.0);
static SECRET_LIST_DELETED: Facts =
    facts("SecretListDeleted", ("deletedsecrets", "secret", Collection, ""), (SECRET_META, "list"), 24.0);
static KEY_CREATE: Facts =
    facts("KeyCreate", ("keys", "key", Object, "/create"), ("keys/create/action", "create"), 420.0);
static KEY_UPDATE: Facts =
    facts("KeyUpdate", ("keys", "key", Names::Version, ""), ("keys/update/action", "update"), 35.0);
static KEY_DELETE: Facts = facts("KeyDelete", ("keys", "key", Object, ""), ("keys/delete", "delete"), 60.0);
static VAULT_GET: Facts = facts("VaultGet", ("", "vault", Vault, ""), ("read", "get"), 28.0);
static VAULT_PUT: Facts = facts("VaultPut", ("", "vault", Vault, ""), ("write", "write"), 240.0);
static VAULT_PATCH: Facts = facts("VaultPatch", ("", "vault", Vault, ""), ("write", "write"), 180.0);
static POLICY_CHANGED: Facts =
    facts("VaultAccessPolicyChangedEventGridNotification", ("", "vault", Vault, ""), ("", ""), 90.0);
static ROLE_WRITE: Facts = facts(
    "MICROSOFT.AUTHORIZATION/ROLEASSIGNMENTS/WRITE",
    ("PROVIDERS/MICROSOFT.AUTHORIZATION/ROLEASSIGNMENTS", "role assignment", Activity, ""),
    ("Microsoft.Authorization/roleAssignments/write", ""),
    1_400.0,
);
static DIAGNOSTICS_DELETE: Facts = facts(
    "MICROSOFT.INSIGHTS/DIAGNOSTICSETTINGS/DELETE",
    ("PROVIDERS/MICROSOFT.INSIGHTS/DIAGNOSTICSETTINGS", "diagnostic setting", Activity, ""),
    ("Microsoft.Insights/diagnosticSettings/delete", ""),
    900.0,
);
static VAULT_WRITE: Facts = facts(
    "MICROSOFT.KEYVAULT/VAULTS/WRITE",
    ("", "vault", Activity, ""),
    ("Microsoft.KeyVault/vaults/write", ""),
    2_100.0,
);

impl Op {
    /// Key Vault tells Event Grid; nobody called.
    pub(super) fn notifies(self) -> bool {
        matches!(self, Op::SecretNearExpiry | Op::SecretExpired | Op::CertificateNearExpiry | Op::PolicyChanged)
    }

    pub(super) fn facts(self) -> &'static Facts {
        match self {
            Op::SecretGet => &SECRET_GET,
            Op::SecretList => &SECRET_LIST,
            Op::SecretListVersions => &SECRET_VERSIONS,
            Op::SecretSet => &SECRET_SET,
            Op::SecretUpdate => &SECRET_UPDATE,
            Op::SecretDelete => &SECRET_DELETE,
            Op::SecretPurge => &SECRET_PURGE,
            Op::SecretBackup => &SECRET_BACKUP,
            Op::SecretNearExpiry => &SECRET_NEAR_EXPIRY,
            Op::KeyGet => &KEY_GET,
            Op::KeyList => &KEY_LIST,
            Op::KeySign => &KEY_SIGN,
            Op::KeyUnwrap => &KEY_UNWRAP,
            Op::KeyDecrypt => &KEY_DECRYPT,
            Op::KeyBackup => &KEY_BACKUP,
            Op::CertificateGet => &CERTIFICATE_GET,
            Op::CertificateList => &CERTIFICATE_LIST,
            Op::VaultGet => &VAULT_GET,
            Op::VaultPut => &VAULT_PUT,
            Op::VaultPatch => &VAULT_PATCH,
            Op::PolicyChanged => &POLICY_CHANGED,
            Op::RoleWrite => &ROLE_WRITE,
            Op::DiagnosticsDelete => &DIAGNOSTICS_DELETE,
            Op::VaultWrite => &VAULT_WRITE,
            Op::CertificateNearExpiry => &CERTIFICATE_NEAR_EXPIRY,
            Op::SecretExpired => &SECRET_EXPIRED,
            Op::SecretRecover => &SECRET_RECOVER,
            Op::SecretRestore => &SECRET_RESTORE,
            Op::SecretListDeleted => &SECRET_LIST_DELETED,
            Op::KeyCreate => &KEY_CREATE,
            Op::KeyUpdate => &KEY_UPDATE,
            Op::KeyDelete => &KEY_DELETE,
        }
    }
}
