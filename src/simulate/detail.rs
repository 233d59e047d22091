//! What a request changes, as far as its record tells: policies, roles, addresses, protection, keys.

use super::company::{Address, CallerId};

/// What a request changes; of most requests nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    None,
    /// An access policy for this caller is added or removed.
    Policy {
        target: CallerId,
        added: bool,
        wide: bool,
    },
    /// The vault opens to everybody.
    Opened,
    /// An address passes the firewall.
    Passes(Address),
    /// Roles give way to access policies.
    ByPolicies,
    /// Purge protection is not asked for, and deleted objects are kept for a week.
    Unprotected,
    /// A harmless setting: templates may read while they deploy.
    Templates,
    /// A role for this caller on the vault.
    Role {
        target: CallerId,
        role: Role,
    },
    /// A key's or secret's enabled flag.
    Enabled(bool),
    /// A key that may only do this from now on.
    OnlyVerifies,
    /// Seconds since the epoch at which an object expires.
    Expires(i64),
}

/// A built-in role on a vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Administrator,
    SecretsUser,
}

impl Role {
    /// The role definition's id.
    pub(super) fn id(self) -> &'static str {
        match self {
            Role::Administrator => "00482a5a-887f-4fb3-b363-3b7fe8e74483",
            Role::SecretsUser => "4633458b-17de-408a-b874-0445c86b69e6",
        }
    }
}
