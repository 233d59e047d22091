//! The Activity log and other control-plane records: which of them concern Key Vault, how they ended, what they changed.
//!
//! Both of its shapes arrive here as the same fields; names compare without case, since exports write them upper case.

use super::fields::{Fields, N, R, T};
use super::outcome;

/// Whether a control-plane operation (lower case, with a slash) on this resource concerns Key Vault: its own, and
/// diagnostic settings and role assignments on a vault or on a scope that holds vaults.
pub(super) fn concerns_key_vault(operation: &str, resource: &str, scope: Option<&str>) -> bool {
    if operation.starts_with("microsoft.keyvault/") {
        return true;
    }
    let own = ["microsoft.insights/diagnosticsettings/", "microsoft.authorization/roleassignments/"];
    if !own.iter().any(|prefix| operation.starts_with(prefix)) {
        return false;
    }
    let scope = scope.map(str::to_ascii_lowercase).unwrap_or_default();
    if resource.contains("microsoft.keyvault") || scope.contains("microsoft.keyvault") {
        return true;
    }
    // What is left of the assignment or setting itself is the scope that it applies to.
    let target = if resource.is_empty() { scope.as_str() } else { resource };
    let target = ["/providers/microsoft.authorization/", "/providers/microsoft.insights/"]
        .iter()
        .find_map(|own| target.find(own).map(|at| &target[..at]))
        .unwrap_or(target);
    !target.contains("/providers/") || target.contains("/providers/microsoft.management/")
}

/// The name that the log has for an operation which the portal names for people; those of Key Vault, and the changes of
/// access and of logging around it.
pub(super) fn action(display: &str) -> Option<&'static str> {
    let display = display.trim();
    let named = |(name, _): &&(&str, &str)| display.eq_ignore_ascii_case(name);
    DISPLAY_NAMES.iter().find(named).map(|(_, action)| *action)
}

/// As the resource providers list them, with older spellings.
static DISPLAY_NAMES: &[(&str, &str)] = &[
    ("Update Key Vault", "Microsoft.KeyVault/vaults/write"),
    ("Create or Update Key Vault", "Microsoft.KeyVault/vaults/write"),
    ("Create Key Vault", "Microsoft.KeyVault/vaults/write"),
    ("Delete Key Vault", "Microsoft.KeyVault/vaults/delete"),
    ("View Key Vault", "Microsoft.KeyVault/vaults/read"),
    ("Use Vault for Azure Deployments", "Microsoft.KeyVault/vaults/deploy/action"),
    ("Update Access Policy", "Microsoft.KeyVault/vaults/accessPolicies/write"),
    ("Update Access Policies", "Microsoft.KeyVault/vaults/accessPolicies/write"),
    ("Update Key Vault Access Policy", "Microsoft.KeyVault/vaults/accessPolicies/write"),
    ("Update Key Vault Access Policies", "Microsoft.KeyVault/vaults/accessPolicies/write"),
    ("Create or Update Key", "Microsoft.KeyVault/vaults/keys/write"),
    ("Create Key", "Microsoft.KeyVault/vaults/keys/write"),
    ("Create or Update Secret", "Microsoft.KeyVault/vaults/secrets/write"),
    ("Write Secret", "Microsoft.KeyVault/vaults/secrets/write"),
    ("View Soft Deleted Vaults", "Microsoft.KeyVault/deletedVaults/read"),
    ("Purge Soft Deleted Key Vault", "Microsoft.KeyVault/locations/deletedVaults/purge/action"),
    ("Purge Key Vault", "Microsoft.KeyVault/locations/deletedVaults/purge/action"),
    ("Create or Update Managed HSM", "Microsoft.KeyVault/managedHSMs/write"),
    ("Update Managed HSM", "Microsoft.KeyVault/managedHSMs/write"),
    ("Delete Managed HSM", "Microsoft.KeyVault/managedHSMs/delete"),
    ("Purge a soft deleted managed hsm", "Microsoft.KeyVault/locations/deletedManagedHsms/purge/action"),
    ("Update Private Endpoint Connection", "Microsoft.KeyVault/vaults/privateEndpointConnections/write"),
    ("Delete Private Endpoint Connection", "Microsoft.KeyVault/vaults/privateEndpointConnections/delete"),
    ("Approve Private Endpoint Connection", "Microsoft.KeyVault/vaults/privateEndpointConnectionsApproval/action"),
    ("Create or update resource diagnostic setting", "Microsoft.Insights/diagnosticSettings/write"),
    ("Create or update diagnostic setting", "Microsoft.Insights/diagnosticSettings/write"),
    ("Delete resource diagnostic setting", "Microsoft.Insights/diagnosticSettings/delete"),
    ("Delete diagnostic setting", "Microsoft.Insights/diagnosticSettings/delete"),
    ("Create role assignment", "Microsoft.Authorization/roleAssignments/write"),
    ("Create or update role assignment", "Microsoft.Authorization/roleAssignments/write"),
    ("Delete role assignment", "Microsoft.Authorization/roleAssignments/delete"),
    ("Register Key Vault", "Microsoft.KeyVault/register/action"),
];

/// Outcome of a control-plane record: the status code's phrase, else the status that the record itself states. An
/// operation's begin has none yet.
pub(super) fn outcome(f: &Fields<'_>) -> &'static str {
    let phrase = [T::StatusCode, T::SubStatus, T::Signature].into_iter().find_map(|field| {
        let text = f.text(field)?;
        outcome::status_of(text)
    });
    let status = f.text(T::Status).or(f.text(T::ResultType)).unwrap_or_default().to_ascii_lowercase();
    let begun = matches!(status.as_str(), "start" | "started" | "accepted" | "running");
    if begun {
        return "unknown";
    }
    if let Some(code) = f.number(N::Status).or(phrase) {
        let request = outcome::Request { status: Some(code), identified: true, ..outcome::Request::default() };
        return outcome::outcome(request);
    }
    match status.as_str() {
        "success" | "succeeded" => "success",
        "failure" | "failed" => "client_error",
        _ => "unknown",
    }
}

/// What a record changed, as the column `change_kind` has it.
pub(super) fn change_kind(f: &Fields<'_>, operation: &str) -> Option<&'static str> {
    let lower = operation.to_ascii_lowercase();
    if lower.starts_with("role") {
        return role_change(&lower);
    }
    if !lower.contains('/') {
        return vault_change(f, &lower);
    }
    let (subject, verb) = lower.strip_suffix("/action").unwrap_or(&lower).rsplit_once('/')?;
    let subject = subject.rsplit('/').next().unwrap_or_default();
    Some(match (subject, verb) {
        ("vaults", "write") => "vault_written",
        ("vaults", "delete") => "vault_deleted",
        ("deletedvaults", "purge") => "vault_purged",
        ("managedhsms", "write") => "hsm_written",
        ("managedhsms", "delete") => "hsm_deleted",
        ("deletedmanagedhsms", "purge") => "hsm_purged",
        ("accesspolicies", "write") => access_policy_change(f),
        ("roleassignments", "write") => "role_assigned",
        ("roleassignments", "delete") => "role_removed",
        ("diagnosticsettings", "write") => "diagnostics_written",
        ("diagnosticsettings", "delete") => "diagnostics_removed",
        (subject, "delete") if subject.starts_with("privateendpointconnection") => "private_endpoint_removed",
        (subject, "write") if subject.starts_with("privateendpointconnection") => "private_endpoint_written",
        ("vaults", verb) if verb.starts_with("privateendpointconnection") => "private_endpoint_written",
        _ => return None,
    })
}

/// `…/vaults/v/accessPolicies/add`, `replace` or `remove`.
fn access_policy_change(f: &Fields<'_>) -> &'static str {
    match f.text(T::Resource).or(f.text(T::ResourceAlt)).and_then(|id| id.rsplit('/').next()) {
        Some(last) if last.eq_ignore_ascii_case("remove") => "access_policy_removed",
        Some(last) if last.eq_ignore_ascii_case("add") => "access_policy_added",
        _ => "access_policy_written",
    }
}

/// Roles within a managed HSM, in its own audit log.
fn role_change(operation: &str) -> Option<&'static str> {
    let ends = |words: &[&str]| words.iter().any(|word| operation.ends_with(word));
    let removed = ends(&["delete", "remove"]);
    match operation.strip_prefix("role")? {
        what if what.starts_with("assignment") && removed => Some("role_removed"),
        what if what.starts_with("assignment") && ends(&["create", "put", "set", "write", "update"]) => {
            Some("role_assigned")
        }
        what if what.starts_with("definition") && removed => Some("role_definition_removed"),
        what if what.starts_with("definition")
            && ends(&["create", "put", "set", "write", "update", "createorupdate"]) =>
        {
            Some("role_definition_written")
        }
        _ => None,
    }
}

/// `Vault*` and `ManagedHsm*` operations of the audit log.
fn vault_change(f: &Fields<'_>, operation: &str) -> Option<&'static str> {
    let change = match operation {
        "vaultput" | "vaultpatch" => "vault_written",
        "managedhsmput" | "managedhsmpatch" => "hsm_written",
        "vaultdelete" => "vault_deleted",
        "vaultpurge" => "vault_purged",
        "vaultrecover" => "vault_recovered",
        "vaultaccesspolicychangedeventgridnotification" => "access_policy_changed",
        _ => return None,
    };
    if change != "vault_written" && change != "hsm_written" {
        return Some(change);
    }
    Some(match (f.rank_of(R::Target), f.text(T::IpRule), f.text(T::RemovedIpRule)) {
        (Some(0), ..) => "access_policy_added",
        (Some(1), ..) => "access_policy_removed",
        (_, Some(_), _) => "ip_rule_added",
        (.., Some(_)) => "ip_rule_removed",
        _ => change,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_within_a_managed_hsm_change_too() {
        for (operation, change) in [
            ("RoleAssignmentCreate", Some("role_assigned")),
            ("RoleAssignmentDelete", Some("role_removed")),
            ("RoleDefinitionSet", Some("role_definition_written")),
            ("RoleDefinitionDelete", Some("role_definition_removed")),
            ("RoleAssignmentList", None),
            ("RoleAssignmentGet", None),
        ] {
            assert_eq!(change_kind(&Fields::default(), operation), change, "{operation}");
        }
    }

    #[test]
    fn which_control_plane_records_are_ours() {
        const SUB: &str = "/subscriptions/s/resourcegroups/g";
        for (operation, resource, scope, yes) in [
            ("microsoft.keyvault/vaults/delete", "", None, true),
            (
                "microsoft.insights/diagnosticsettings/delete",
                "/providers/microsoft.keyvault/vaults/v/providers/microsoft.insights/diagnosticsettings/l",
                None,
                true,
            ),
            (
                "microsoft.insights/diagnosticsettings/delete",
                "/providers/microsoft.storage/storageaccounts/a/providers/microsoft.insights/diagnosticsettings/l",
                None,
                false,
            ),
            (
                "microsoft.insights/diagnosticsettings/write",
                "/providers/microsoft.insights/diagnosticsettings/l",
                None,
                true,
            ),
            (
                "microsoft.authorization/roleassignments/write",
                "/providers/microsoft.authorization/roleassignments/r",
                None,
                true,
            ),
            (
                "microsoft.authorization/roleassignments/write",
                "/providers/microsoft.sql/servers/x/providers/microsoft.authorization/roleassignments/r",
                None,
                false,
            ),
            (
                "microsoft.authorization/roleassignments/write",
                "",
                Some("/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/v"),
                true,
            ),
            ("microsoft.storage/storageaccounts/delete", "", None, false),
        ] {
            let resource = if resource.is_empty() { String::new() } else { format!("{SUB}{resource}") };
            assert_eq!(concerns_key_vault(operation, &resource, scope), yes, "{operation} {resource} {scope:?}");
        }
    }
}
