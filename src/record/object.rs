//! What a request was about: kind, name and version of the object, the vault's host, and the parts of a resource id.
//!
//! Addresses are poor keys (ports, query strings, letter case), so their parts are taken and never the whole.

/// Parts of an object's address. All borrowed, as written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Object<'a> {
    /// secret, key, certificate
    pub kind: Option<&'static str>,
    pub name: Option<&'a str>,
    pub version: Option<&'a str>,
    /// First label of the host.
    pub vault: Option<&'a str>,
}

/// The record's object: from `properties.id`, and what that does not say from the path of `requestUri`.
pub(super) fn of<'a>(id: Option<&'a str>, uri: Option<&'a str>) -> Object<'a> {
    let named = id.map(|id| parse(id, true)).unwrap_or_default();
    if named.name.is_some() {
        return named;
    }
    let asked = uri.map(|uri| parse(uri, false)).unwrap_or_default();
    Object {
        kind: named.kind.or(asked.kind),
        name: asked.name,
        version: asked.version,
        vault: named.vault.or(asked.vault),
    }
}

/// `https://host:port/kind/name/version?query`. An id has no verbs in it, a request may.
fn parse(address: &str, is_id: bool) -> Object<'_> {
    let Some(rest) = after_scheme(address) else { return Object::default() };
    let rest = &rest[..memchr::memchr2(b'?', b'#', rest.as_bytes()).unwrap_or(rest.len())];
    let mut parts = segments(rest);
    let vault = parts.next().and_then(vault_of_host);
    let mut parts = parts.filter(|part| !part.is_empty());
    let Some(kind) = parts.next().and_then(kind_of) else { return Object { vault, ..Object::default() } };
    let mut parts = parts.map(Some).chain(std::iter::repeat(None));
    let name = parts.next().flatten().filter(|name| is_id || !is_collection(kind, name));
    let version = name.and_then(|_| parts.next().flatten()).filter(|part| is_id || !is_verb(part));
    Object { kind: Some(kind), name, version, vault }
}

/// What stands between slashes, as `split('/')` gives it; every record has three such paths, and this search is twice
/// as fast on them.
fn segments(path: &str) -> impl Iterator<Item = &str> {
    let ends = memchr::memchr_iter(b'/', path.as_bytes()).chain([path.len()]);
    ends.scan(0, |start, end| Some(&path[std::mem::replace(start, end + 1)..end]))
}

/// Host and path of an address: what follows `://`.
pub(super) fn after_scheme(address: &str) -> Option<&str> {
    let colon = memchr::memchr(b':', address.as_bytes())?;
    address[colon..].strip_prefix("://")
}

/// First label of a vault's or managed HSM's host, in whichever cloud.
fn vault_of_host(host: &str) -> Option<&str> {
    let host = host.split(':').next().unwrap_or_default();
    let (name, domain) = host.split_once('.')?;
    let starts = |prefix: &str| domain.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix));
    (!name.is_empty() && (starts("vault.") || starts("managedhsm."))).then_some(name)
}

/// The kind of object that a path's or resource id's segment stands for.
pub(super) fn kind_of(segment: &str) -> Option<&'static str> {
    let is = |names: [&str; 2]| names.iter().any(|name| segment.eq_ignore_ascii_case(name));
    match segment.len() {
        7 | 14 if is(["secrets", "deletedsecrets"]) => Some("secret"),
        4 | 11 if is(["keys", "deletedkeys"]) => Some("key"),
        12 | 19 if is(["certificates", "deletedcertificates"]) => Some("certificate"),
        _ => None,
    }
}

/// `certificates/contacts`, `certificates/issuers` and `secrets/restore` name no object.
fn is_collection(kind: &str, name: &str) -> bool {
    name == "restore" || (kind == "certificate" && matches!(name, "contacts" | "issuers"))
}

/// What a request's path may have in place of a version.
fn is_verb(part: &str) -> bool {
    const VERBS: &[&str] = &[
        "versions",
        "backup",
        "recover",
        "restore",
        "policy",
        "pending",
        "rotate",
        "rotationpolicy",
        "sign",
        "verify",
        "encrypt",
        "decrypt",
        "wrap",
        "wrapkey",
        "unwrap",
        "unwrapkey",
        "release",
        "import",
        "create",
        "merge",
        "completed",
        "attestation",
        "issuers",
        "contacts",
    ];
    // Versions are 32 hexadecimal digits; no verb is that long.
    part.len() < 16 && VERBS.iter().any(|verb| part.eq_ignore_ascii_case(verb))
}

/// Parts of an Azure resource id in lower case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Resource<'a> {
    pub subscription: Option<&'a str>,
    pub group: Option<&'a str>,
    /// Vault or managed HSM.
    pub vault: Option<&'a str>,
    /// Whether it is a managed HSM.
    pub hsm: bool,
    /// secret, key or certificate below the vault, with its name.
    pub object: Option<(&'static str, &'a str)>,
    /// Whether any resource provider is named, and whether Key Vault is among them.
    pub provider: bool,
    pub key_vault: bool,
}

/// Takes a lower-case resource id apart.
pub(super) fn resource(id: &str) -> Resource<'_> {
    let mut r = Resource::default();
    let mut parts = segments(id).filter(|part| !part.is_empty());
    let mut ours = false;
    while let Some(part) = parts.next() {
        match part {
            "subscriptions" => r.subscription = parts.next(),
            "resourcegroups" => r.group = parts.next(),
            "providers" => {
                ours = parts.next() == Some("microsoft.keyvault");
                r.provider = true;
                r.key_vault |= ours;
            }
            "vaults" | "managedhsms" | "deletedvaults" | "deletedmanagedhsms" if ours && r.vault.is_none() => {
                r.hsm = part.ends_with("managedhsms");
                r.vault = parts.next();
            }
            _ if ours && r.vault.is_some() && r.object.is_none() => {
                r.object = kind_of(part).and_then(|kind| Some((kind, parts.next()?)));
            }
            _ => {}
        }
    }
    r.key_vault = r.key_vault || id.contains("microsoft.keyvault");
    r
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Trap 5: `requestUri` is a poor key; the object is parsed from `properties.id`, else from the path.
    #[test]
    fn trap_5_object_from_id_else_from_the_path() {
        const H: &str = "https://contoso.vault.azure.net";
        for (id, uri, kind, name, version) in [
            (
                "/secrets/db/0123456789abcdef0123456789abcdef",
                "/secrets/other",
                Some("secret"),
                Some("db"),
                Some("0123456789abcdef0123456789abcdef"),
            ),
            ("", "/secrets/db?api-version=7.4&_=1790812800000", Some("secret"), Some("db"), None),
            ("", "/secrets?api-version=7.4&maxresults=25", Some("secret"), None, None),
            ("/", "/secrets/db/?api-version=7.3", Some("secret"), Some("db"), None),
            ("/secrets", "/secrets?api-version=7.3", Some("secret"), None, None),
            ("", ":8443/secrets/db?api-version=7.4", Some("secret"), Some("db"), None),
            ("", "/deletedsecrets/db/recover", Some("secret"), Some("db"), None),
            ("/deletedkeys/kek", "", Some("key"), Some("kek"), None),
            ("", "/keys/kek/abc123/sign?api-version=7.4", Some("key"), Some("kek"), Some("abc123")),
            ("", "/keys/kek//unwrap", Some("key"), Some("kek"), None),
            ("", "/secrets/db/versions", Some("secret"), Some("db"), None),
            ("", "/certificates/tls/policy", Some("certificate"), Some("tls"), None),
            ("", "/certificates/issuers/digicert", Some("certificate"), None, None),
            ("", "/keys/restore", Some("key"), None, None),
            ("/keys/restore", "", Some("key"), Some("restore"), None),
            ("", "/SECRETS/Db", Some("secret"), Some("Db"), None),
            ("", "/subscriptions/x/resourcegroups/y", None, None, None),
        ] {
            let (id, uri) = (format!("{H}{id}"), format!("{H}{uri}"));
            let object = of(Some(&id), Some(&uri));
            assert_eq!((object.kind, object.name, object.version), (kind, name, version), "{id} {uri}");
            assert_eq!(object.vault, Some("contoso"), "{id} {uri}");
        }
        assert_eq!(of(None, None), Object::default());
        assert_eq!(of(Some("no address"), Some("")), Object::default());
        assert_eq!(of(None, Some("https://hsm1.managedhsm.azure.net:8444/backup")).vault, Some("hsm1"));
        assert_eq!(of(None, Some("https://control-prod-wus.vaultcore.azure.net/subscriptions/x")).vault, None);
    }

    proptest::proptest! {
        #[test]
        fn segments_are_those_of_split(path in "[/aé]{0,9}") {
            proptest::prop_assert_eq!(segments(&path).collect::<Vec<_>>(), path.split('/').collect::<Vec<_>>());
        }
    }

    #[test]
    fn resource_ids() {
        let vault = resource("/subscriptions/s/resourcegroups/g/providers/microsoft.keyvault/vaults/v");
        assert_eq!((vault.subscription, vault.group, vault.vault, vault.hsm), (Some("s"), Some("g"), Some("v"), false));
        let secret = resource("/subscriptions/s/resourcegroups/g/providers/microsoft.keyvault/vaults/v/secrets/x");
        assert_eq!((secret.vault, secret.object), (Some("v"), Some(("secret", "x"))));
        let hsm = resource("/subscriptions/s/resourcegroups/g/providers/microsoft.keyvault/managedhsms/h");
        assert_eq!((hsm.vault, hsm.hsm), (Some("h"), true));
        let gone = resource("/subscriptions/s/providers/microsoft.keyvault/locations/eastus/deletedvaults/v");
        assert_eq!((gone.vault, gone.group), (Some("v"), None));
        let role = resource(
            "/subscriptions/s/resourcegroups/g/providers/microsoft.keyvault/vaults/v/providers/microsoft.authorization/roleassignments/r",
        );
        assert_eq!((role.vault, role.key_vault), (Some("v"), true));
        let other = resource("/subscriptions/s/resourcegroups/g/providers/microsoft.storage/storageaccounts/vaults");
        assert!(other.provider && !other.key_vault && other.vault.is_none());
        assert_eq!(resource("/resource_id"), Resource::default());
    }
}
