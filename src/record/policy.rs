//! Evaluations of Azure Policy: what a vault's objects are held against, with no request of a caller behind it. They come
//! with the status 403 where a rule is not met, and that is no refusal of anybody.

use std::borrow::Cow;

use super::fields::{Fields, T};
use super::object::{self, Object};
use super::operation;

/// The class of evaluations, as the column `operation_class` has it.
pub(super) const CLASS: &str = "policy";

/// Whether a record is an evaluation: by its category, else by its operation.
pub(super) fn is_evaluation(category: Option<&str>, operation: &str) -> bool {
    category.is_some_and(|category| category.eq_ignore_ascii_case("AzurePolicyEvaluationDetails"))
        || operation::is_policy(operation)
}

/// How an evaluation ended, as the column `outcome` has it: in words of its own, so that nothing counts it as answered or
/// refused.
pub(super) fn outcome(f: &Fields<'_>) -> &'static str {
    match f.text(T::PolicyOutcome).map(str::to_ascii_lowercase).as_deref() {
        Some("compliant") => "compliant",
        Some("noncompliant" | "non-compliant" | "non compliant") => "noncompliant",
        _ => "evaluated",
    }
}

/// Names the object that was evaluated, where no address has named it.
pub(super) fn complete<'a>(object: &mut Object<'a>, f: &'a Fields<'_>) {
    if object.kind.is_none() {
        object.kind = f.text(T::PolicyObjectType).and_then(kind);
    }
    if object.name.is_none() {
        object.name = f.text(T::PolicyObjectName).map(object::canonical);
    }
    if object.version.is_none() {
        object.version = f.text(T::PolicyObjectVersion).map(Cow::Borrowed);
    }
}

/// `Certificate`, `certificates` or `Microsoft.KeyVault.Data/vaults/certificates`.
fn kind(text: &str) -> Option<&'static str> {
    let last = text.trim().rsplit('/').next()?.to_ascii_lowercase();
    match last.trim_end_matches('s') {
        "secret" => Some("secret"),
        "key" => Some("key"),
        "certificate" => Some("certificate"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evaluations_are_known_by_category_or_operation() {
        for (category, operation, yes) in [
            (Some("AzurePolicyEvaluationDetails"), "AzurePolicyEvaulation", true),
            (Some("azurepolicyevaluationdetails"), "SecretGet", true),
            (Some("AuditEvent"), "AzurePolicyEvaluation", true),
            (None, "azurepolicyevaluation", true),
            (Some("AuditEvent"), "SecretGet", false),
            (Some("Policy"), "Microsoft.Authorization/policies/audit/action", false),
            (None, "", false),
        ] {
            assert_eq!(is_evaluation(category, operation), yes, "{category:?} {operation}");
        }
    }

    #[test]
    fn kinds_of_objects_in_any_spelling() {
        for (text, expected) in [
            ("Certificate", Some("certificate")),
            ("SECRETS", Some("secret")),
            ("Microsoft.KeyVault.Data/vaults/keys", Some("key")),
            ("Vault", None),
            ("", None),
        ] {
            assert_eq!(kind(text), expected, "{text}");
        }
    }
}
