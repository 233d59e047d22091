//! What a request was about: kind, name and version of the object, the vault's host, and the parts of a resource id.
//!
//! Addresses are poor keys (ports, query strings, letter case, percent signs), so their parts are taken and never the
//! whole. What a part is follows from the shape of the path, not from the operation: `keys/NAME/VERSION/sign` is a key,
//! `keys/providers/Microsoft.Authorization/…` is none.

use std::borrow::Cow;

use super::caller::lower;

/// Parts of an object's address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Object<'a> {
    /// secret, key, certificate, storage
    pub kind: Option<&'static str>,
    /// As [`canonical`] writes it.
    pub name: Option<Cow<'a, str>>,
    /// As written.
    pub version: Option<Cow<'a, str>>,
    /// First label of the host, as written.
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

/// A name as the column has it: lower case, since Key Vault compares names without case, and without percent signs. What
/// a record writes otherwise stays in `request_uri` or `extra`.
pub(super) fn canonical(name: &str) -> Cow<'_, str> {
    match decoded(name) {
        Some(name) => Cow::Owned(name.to_ascii_lowercase()),
        None => lower(name),
    }
}

/// `https://host:port/kind/name/version?query`. A request may have verbs in it; an id has none.
fn parse(address: &str, is_id: bool) -> Object<'_> {
    let Some((host, path)) = host_and_path(address) else { return Object::default() };
    let path = &path[..memchr::memchr2(b'?', b'#', path.as_bytes()).unwrap_or(path.len())];
    let (kind, name, version) = match decoded(path) {
        None => of_path(path, is_id),
        Some(path) => {
            let (kind, name, version) = of_path(&path, is_id);
            let own = |part: Cow<'_, str>| Cow::Owned(part.into_owned());
            (kind, name.map(own), version.map(own))
        }
    };
    Object { kind, name, version, vault: vault_of_host(host) }
}

/// What a path names: `/secrets/NAME/VERSION` and the like.
fn of_path(path: &str, is_id: bool) -> (Option<&'static str>, Option<Cow<'_, str>>, Option<Cow<'_, str>>) {
    let mut parts = segments(path).filter(|part| !part.is_empty());
    let Some(kind) = parts.next().and_then(kind_of) else { return (None, None, None) };
    let (name, next) = (parts.next(), parts.next());
    // Roles of a managed HSM on all of its keys: `keys/providers/Microsoft.Authorization/…`.
    if name == Some("providers") && next.is_some_and(|part| part.contains('.')) {
        return (None, None, None);
    }
    let name = name.filter(|name| !(is_collection(kind, name) || (!is_id && name.eq_ignore_ascii_case("restore"))));
    let version = name.and(next).filter(|part| if is_id { !is_aspect(part) } else { is_version(part) });
    (Some(kind), name.map(canonical), version.map(Cow::Borrowed))
}

/// Host and path of an address: with its scheme, or without where what it begins with is a vault's host or the path.
fn host_and_path(address: &str) -> Option<(&str, &str)> {
    let rest = after_scheme(address);
    let whole = rest.unwrap_or(address);
    let end = memchr::memchr3(b'/', b'?', b'#', whole.as_bytes()).unwrap_or(whole.len());
    let (host, path) = whole.split_at(end);
    (rest.is_some() || whole.starts_with('/') || vault_of_host(host).is_some()).then_some((host, path))
}

/// Text without its percent escapes, where it has any and they stand for printable text.
fn decoded(text: &str) -> Option<String> {
    memchr::memchr(b'%', text.as_bytes())?;
    let digit = |at: usize| char::from(*text.as_bytes().get(at)?).to_digit(16);
    let (mut bytes, mut at) = (Vec::with_capacity(text.len()), 0);
    while let Some(byte) = text.as_bytes().get(at) {
        let escaped = (*byte == b'%').then(|| Some(digit(at + 1)? * 16 + digit(at + 2)?)).flatten();
        bytes.push(escaped.and_then(|byte| u8::try_from(byte).ok()).unwrap_or(*byte));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8(bytes).ok().filter(|text| !text.chars().any(char::is_control))
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
        7 | 14 if is(["storage", "deletedstorage"]) => Some("storage"),
        _ => None,
    }
}

/// `certificates/contacts` and `certificates/issuers/NAME` are no certificates.
fn is_collection(kind: &str, name: &str) -> bool {
    kind == "certificate" && (name.eq_ignore_ascii_case("contacts") || name.eq_ignore_ascii_case("issuers"))
}

/// What the id of a certificate's request or policy has behind the name.
fn is_aspect(part: &str) -> bool {
    ["pending", "policy", "versions"].iter().any(|word| part.eq_ignore_ascii_case(word))
}

/// Whether a part behind an object's name is its version. Versions are 32 hexadecimal digits, and masked ones something
/// like them; verbs (`versions`, `backup`, `policy`, `pending`, `rotate`, `sign`, …) are words without digits.
fn is_version(part: &str) -> bool {
    const LONGEST_VERB: usize = 24;
    part.len() > LONGEST_VERB || part.bytes().any(|b| b.is_ascii_digit()) || part.bytes().all(|b| b.is_ascii_hexdigit())
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
            ("/certificates/tls/pending", "", Some("certificate"), Some("tls"), None),
            ("/certificates/contacts", "/certificates/contacts", Some("certificate"), None, None),
            ("/certificates/issuers/digicert", "", Some("certificate"), None, None),
            ("", "/SECRETS/Db", Some("secret"), Some("db"), None),
            (
                "/secrets/DB-Main/0123456789abcdef0123456789abcdef",
                "",
                Some("secret"),
                Some("db-main"),
                Some("0123456789abcdef0123456789abcdef"),
            ),
            ("", "/secrets/db%2Dmain?api-version=7.4", Some("secret"), Some("db-main"), None),
            (
                "",
                "/secrets%2fdb%2Dmain%2f0123456789abcdef0123456789abcdef",
                Some("secret"),
                Some("db-main"),
                Some("0123456789abcdef0123456789abcdef"),
            ),
            ("", "/secrets/50%/", Some("secret"), Some("50%"), None),
            ("", "/secrets/a%00b", Some("secret"), Some("a%00b"), None),
            ("", "/secrets/a%FFb", Some("secret"), Some("a%ffb"), None),
            ("", ":8443//secrets//db//?x=/secrets/other", Some("secret"), Some("db"), None),
            (
                "",
                "/keys/kek/0123456789abcdef0123456789abcdef/wrapkey",
                Some("key"),
                Some("kek"),
                Some("0123456789abcdef0123456789abcdef"),
            ),
            ("", "/keys/kek/frobnicate", Some("key"), Some("kek"), None),
            ("", "/keys/kek/rotate", Some("key"), Some("kek"), None),
            ("", "/keys/kek/create", Some("key"), Some("kek"), None),
            ("", "/secrets/db/backup", Some("secret"), Some("db"), None),
            ("", "/certificates/tls/pending/merge", Some("certificate"), Some("tls"), None),
            ("", "/certificates/Contacts", Some("certificate"), None, None),
            ("", "/certificates", Some("certificate"), None, None),
            ("", "/deletedcertificates/tls", Some("certificate"), Some("tls"), None),
            ("", "/storage/account1/sas/def1", Some("storage"), Some("account1"), None),
            ("", "/deletedstorage/account1", Some("storage"), Some("account1"), None),
            ("", "/rng?api-version=7.4", None, None, None),
            ("", "/securitydomain/download", None, None, None),
            ("", "/backup", None, None, None),
            ("", "/providers/Microsoft.Authorization/roleAssignments/4b0e8400", None, None, None),
            ("", "/keys/providers/Microsoft.Authorization/roleAssignments/4b0e8400", None, None, None),
            (
                "",
                "/keys/kek/providers/Microsoft.Authorization/roleAssignments/4b0e8400",
                Some("key"),
                Some("kek"),
                None,
            ),
            (
                "",
                "/keys/providers/0123456789abcdef0123456789abcdef",
                Some("key"),
                Some("providers"),
                Some("0123456789abcdef0123456789abcdef"),
            ),
            ("", "/keys/providers", Some("key"), Some("providers"), None),
            ("", "/subscriptions/x/resourcegroups/y", None, None, None),
        ] {
            let (id, uri) = (format!("{H}{id}"), format!("{H}{uri}"));
            let object = of(Some(&id), Some(&uri));
            let parts = (object.kind, object.name.as_deref(), object.version.as_deref());
            assert_eq!(parts, (kind, name, version), "{id} {uri}");
            assert_eq!(object.vault, Some("contoso"), "{id} {uri}");
        }
        assert_eq!(of(None, None), Object::default());
        assert_eq!(of(Some("no address"), Some("")), Object::default());
        let bare = of(None, Some("/secrets/db?x"));
        assert_eq!((bare.kind, bare.name.as_deref(), bare.vault), (Some("secret"), Some("db"), None));
        let host = of(None, Some("contoso.vault.azure.net:443/secrets/db"));
        assert_eq!((host.name.as_deref(), host.vault), (Some("db"), Some("contoso")));
        assert_eq!(of(None, Some("https://hsm1.managedhsm.azure.net:8444/backup")).vault, Some("hsm1"));
        assert_eq!(of(None, Some("https://control-prod-wus.vaultcore.azure.net/subscriptions/x")).vault, None);
    }

    proptest::proptest! {
        #[test]
        fn letter_case_and_escapes_make_no_other_object(name in "[a-zA-Z0-9-]{1,20}", upper in proptest::bool::ANY) {
            proptest::prop_assume!(!is_collection("secret", &name));
            let plain = format!("https://kv.vault.azure.net/secrets/{name}");
            let written = if upper { name.to_ascii_uppercase() } else { name.to_ascii_lowercase() };
            let escaped: String = written.bytes().map(|b| format!("%{b:02X}")).collect();
            let escaped = format!("https://KV.vault.azure.net:8443/SECRETS/{escaped}/?x=1");
            proptest::prop_assert_eq!(of(None, Some(&plain)).name, of(None, Some(&escaped)).name);
        }

        #[test]
        fn no_address_panics(address in "(https://)?[a-z.]{0,12}(/[%a-zA-Zé0-9.]{0,6}){0,5}[?#%]?") {
            of(Some(&address), Some(&address));
        }

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
