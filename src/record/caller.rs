//! Who called: one principal whatever claim, export column or plane names it.

use std::borrow::Cow;

use super::batch::Code;
use super::fields::{Fields, R, T};
use super::identity::{self, Digest};

/// The caller as the columns have it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Caller<'a> {
    /// Directory object id, lower case.
    pub object_id: Option<Cow<'a, str>>,
    /// Application id, lower case.
    pub app_id: Option<Cow<'a, str>>,
    /// User name as claimed.
    pub user: Option<&'a str>,
    /// managed_identity, user, application, anonymous
    pub kind: &'static str,
    /// User name, else the managed identity's name.
    pub name: Option<&'a str>,
    /// Resource id of the managed identity.
    pub managed_identity: Option<&'a str>,
    /// Who issued the token.
    pub issuer: Option<&'a str>,
    /// Where the token was issued.
    pub token_address: Option<&'a str>,
    /// The caller's name, lower case, where it is the caller's identity: of a user without an object id, and of whoever
    /// has no id at all.
    itself: Option<Cow<'a, str>>,
}

/// A caller to remember, with what is derived from it once.
#[derive(Debug)]
pub(super) struct Known {
    object_id: Option<Box<str>>,
    app_id: Option<Box<str>>,
    user: Option<Box<str>>,
    kind: &'static str,
    name: Option<Box<str>>,
    managed_identity: Option<Box<str>>,
    issuer: Option<Box<str>>,
    token_address: Option<Box<str>>,
    itself: Option<Box<str>>,
    pub digest: Digest,
    /// Where the batch holds it.
    pub code: Code,
}

impl Known {
    /// Copies a caller.
    pub fn new(caller: &Caller<'_>) -> Self {
        let own = |text: Option<&str>| text.map(Box::from);
        Known {
            object_id: own(caller.object_id.as_deref()),
            app_id: own(caller.app_id.as_deref()),
            user: own(caller.user),
            kind: caller.kind,
            name: own(caller.name),
            managed_identity: own(caller.managed_identity),
            issuer: own(caller.issuer),
            token_address: own(caller.token_address),
            itself: own(caller.itself.as_deref()),
            digest: caller.digest(),
            code: Code::default(),
        }
    }

    /// The caller.
    pub fn caller(&self) -> Caller<'_> {
        Caller {
            object_id: self.object_id.as_deref().map(Cow::Borrowed),
            app_id: self.app_id.as_deref().map(Cow::Borrowed),
            user: self.user.as_deref(),
            kind: self.kind,
            name: self.name.as_deref(),
            managed_identity: self.managed_identity.as_deref(),
            issuer: self.issuer.as_deref(),
            token_address: self.token_address.as_deref(),
            itself: self.itself.as_deref().map(Cow::Borrowed),
        }
    }
}

impl Caller<'_> {
    /// What of the caller enters an event's identity.
    pub fn digest(&self) -> Digest {
        let (object_id, app_id) = (self.object_id.as_deref(), self.app_id.as_deref());
        let name = self.user.or(self.itself.as_deref()).filter(|_| object_id.or(app_id).is_none());
        identity::digest([object_id, app_id, name])
    }

    /// Object id; else of a user the name, and never the application in use; else application id; else the name.
    pub fn principal_id(&self) -> Option<&str> {
        self.object_id.as_deref().or(self.itself.as_deref()).or(self.app_id.as_deref())
    }

    /// Whether any claim says who it is.
    pub fn identified(&self) -> bool {
        self.kind != "anonymous"
    }
}

/// Derives the caller from its claims. In the Activity log and in exports `caller` stands in: a user name, an object id,
/// or where nothing else says who it is any name.
pub(super) fn of<'a>(f: &'a Fields<'_>) -> Caller<'a> {
    let stated = f.text(T::Caller);
    let user = f.ranked(R::User).or(stated.filter(|name| name.contains('@')));
    let object_id = f.ranked(R::ObjectId).or(stated.filter(|name| is_guid(name)));
    let app_id = f.text(T::App);
    let identity = f.text(T::ManagedIdentity);
    let id_type = f.text(T::IdType);
    let named = stated.filter(|_| object_id.or(app_id).or(user).or(identity).is_none());
    let kind = if identity.is_some() {
        "managed_identity"
    } else if id_type.is_some_and(|kind| kind.eq_ignore_ascii_case("user"))
        || f.text(T::DelegatedScope).is_some()
        || user.is_some()
    {
        "user"
    } else if object_id.or(app_id).or(named).is_some() {
        "application"
    } else {
        "anonymous"
    };
    let identity_name = identity.and_then(|id| id.rsplit('/').find(|part| !part.is_empty()));
    Caller {
        object_id: object_id.map(lower),
        app_id: app_id.map(lower),
        user,
        kind,
        name: user.or(identity_name).or(named),
        managed_identity: identity,
        issuer: f.text(T::Issuer),
        token_address: f.text(T::TokenAddress),
        itself: user.filter(|_| kind == "user").or(named).map(lower),
    }
}

/// Lower case, copied only if it is not already.
pub(super) fn lower(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}

/// Whether a text has the form of an object id; masked digits too.
pub(super) fn is_guid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, b)| match at {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_alphanumeric(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::fields::Slot;
    use crate::record::scan::{Text, Value};

    fn fields<'a>(claims: &[(Slot, &'a str)]) -> Fields<'a> {
        let mut f = Fields::default();
        for (slot, raw) in claims {
            f.set(*slot, "claim", raw, Value::Str(Text { raw, escaped: false }));
        }
        f
    }

    #[test]
    fn kinds_of_caller() {
        const OID: Slot = Slot::Ranked(R::ObjectId, 0);
        const APP: Slot = Slot::Text(T::App);
        const MIRID: Slot = Slot::Text(T::ManagedIdentity);
        const IDTYP: Slot = Slot::Note(T::IdType);
        const UPN: Slot = Slot::Ranked(R::User, 0);
        let site = "/subscriptions/s/resourcegroups/g/providers/Microsoft.Web/sites/app-pay-1";
        for (claims, id, kind, name) in [
            (
                vec![(OID, "AB-1"), (APP, "c"), (IDTYP, "app"), (MIRID, site)],
                Some("ab-1"),
                "managed_identity",
                Some("app-pay-1"),
            ),
            (vec![(OID, "o"), (APP, "a")], Some("o"), "application", None),
            (vec![(APP, "A")], Some("a"), "application", None),
            (vec![(OID, "o"), (UPN, "eve@x")], Some("o"), "user", Some("eve@x")),
            (vec![(OID, "o"), (IDTYP, "user")], Some("o"), "user", None),
            (vec![(OID, "o"), (Slot::Note(T::DelegatedScope), "user_impersonation")], Some("o"), "user", None),
            (vec![(OID, "o"), (IDTYP, "app")], Some("o"), "application", None),
            (
                vec![(Slot::Ranked(R::User, 2), "live.com#Eve@x")],
                Some("live.com#eve@x"),
                "user",
                Some("live.com#Eve@x"),
            ),
            (vec![(UPN, "Eve@x"), (APP, "a")], Some("eve@x"), "user", Some("Eve@x")),
            (vec![(APP, "a"), (Slot::Note(T::DelegatedScope), "user_impersonation")], Some("a"), "user", None),
            (vec![(Slot::Note(T::Caller), "eve@x")], Some("eve@x"), "user", Some("eve@x")),
            (vec![(Slot::Note(T::Caller), "App-Orders")], Some("app-orders"), "application", Some("App-Orders")),
            (vec![(Slot::Note(T::Caller), "Mara Lund"), (OID, "o")], Some("o"), "application", None),
            (
                vec![(Slot::Note(T::Caller), "D9DA5048-2737-4770-bd64-XXXXXXXXXXXX")],
                Some("d9da5048-2737-4770-bd64-xxxxxxxxxxxx"),
                "application",
                None,
            ),
            (vec![], None, "anonymous", None),
        ] {
            let f = fields(&claims);
            let caller = of(&f);
            assert_eq!((caller.principal_id(), caller.kind, caller.name), (id, kind, name), "{claims:?}");
        }
    }
}
