//! Which field means what, by its name or path.
//!
//! Records of the storage account go through the short lists of `hot`, matched by their exact bytes. Everything else is
//! looked up by its flattened path: lower case, runs of other characters as one `_`. So the raw record's
//! `keyProperties.attributes.enabled`, the column `keyProperties_attributes_enabled_b` and Managed HSM's nested claims
//! share one entry. Knows names only, no values.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::columns;
use super::fields::{B, N, R, Slot, T};

/// Which list of names applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The record's own level.
    Top,
    /// `properties`.
    Properties,
    /// `identity`.
    Identity,
    /// The claims.
    Claims,
}

/// Names as the storage account's records spell them.
#[inline]
pub(super) fn hot(place: Place, key: &str) -> Option<Slot> {
    match place {
        Place::Top => top(key),
        Place::Properties => properties(key),
        Place::Claims => claims(key),
        Place::Identity if matches!(key, "claim" | "claims") => Some(Slot::Claims),
        Place::Identity => None,
    }
}

#[inline]
fn top(key: &str) -> Option<Slot> {
    Some(match key {
        "time" => Slot::Time,
        "resourceId" => Slot::Text(T::Resource),
        "operationName" => Slot::Text(T::Operation),
        "category" => Slot::Text(T::Category),
        "operationVersion" => Slot::Unknown,
        "resultType" => Slot::Note(T::ResultType),
        "resultSignature" => Slot::Text(T::Signature),
        "resultDescription" => Slot::Text(T::Description),
        "durationMs" => Slot::Duration,
        "callerIpAddress" => Slot::Text(T::Address),
        "correlationId" => Slot::Text(T::Correlation),
        "identity" => Slot::Identity,
        "properties" => Slot::Properties,
        "type" => Slot::Note(T::CategoryType),
        "Type" => Slot::Note(T::Table),
        _ => return None,
    })
}

#[inline]
fn properties(key: &str) -> Option<Slot> {
    Some(match key {
        "id" => Slot::Text(T::Id),
        "clientInfo" => Slot::Text(T::ClientInfo),
        "requestUri" => Slot::Text(T::RequestUri),
        "httpStatusCode" => Slot::Number(N::Status),
        "isRbacAuthorized" => Slot::Bool(B::Rbac),
        "isAccessPolicyMatch" => Slot::Bool(B::Policy),
        "isAddressAuthorized" => Slot::Bool(B::Address),
        "appliedAssignmentId" => Slot::Text(T::Assignment),
        "addrAuthType" => Slot::Text(T::AddressAuthorization),
        "tlsVersion" => Slot::Text(T::Tls),
        "subnetId" => Slot::Text(T::Subnet),
        "privateEndpointId" => Slot::Text(T::Endpoint),
        "trustedService" => Slot::Text(T::Trusted),
        "algorithm" => Slot::Text(T::Algorithm),
        _ => return None,
    })
}

#[inline]
fn claims(key: &str) -> Option<Slot> {
    Some(match key {
        "oid" => Slot::Ranked(R::ObjectId, 0),
        "http://schemas.microsoft.com/identity/claims/objectidentifier" => Slot::Ranked(R::ObjectId, 1),
        "appid" => Slot::Text(T::App),
        "upn" => Slot::Ranked(R::User, 0),
        "xms_mirid" => Slot::Text(T::ManagedIdentity),
        "idtyp" => Slot::Note(T::IdType),
        "scp" => Slot::Note(T::DelegatedScope),
        "ipaddr" => Slot::Text(T::TokenAddress),
        "iss" => Slot::Text(T::Issuer),
        "appidacr" | "xms_az_rid" | "xms_az_nwperimid" | "amr" | "aud" | "uti" | "iat" | "nbf" | "exp" => Slot::Unknown,
        _ => return None,
    })
}

/// What a column of an export means, by its name.
pub(super) fn meaning(column: &str) -> Slot {
    hot(Place::Top, column).unwrap_or_else(|| {
        let mut path = String::new();
        flatten(column, &mut path);
        cold(Place::Top, &path)
    })
}

/// A name or path that is not in the short lists, flattened by [`flatten`].
pub(super) fn cold(place: Place, path: &str) -> Slot {
    if place == Place::Claims {
        return find(&CLAIMS, path);
    }
    let path = ["properties_", "vaultproperties_"].iter().fold(path, |path, prefix| strip(path, prefix));
    for prefix in ["identity_claim_", "identity_claims_", "claims_", "claim_"] {
        if let Some(claim) = path.strip_prefix(prefix) {
            return find(&CLAIMS, claim);
        }
    }
    let slot = find(&RECORD, strip(path, "identity_"));
    if place == Place::Properties && of_the_record(slot) { Slot::Unknown } else { slot }
}

/// A column of the record itself by a name that is not in the short lists: letter case, spaces, underscores and a zone in
/// brackets make no difference, and people's names for columns count too.
pub(super) fn column(path: &str) -> Slot {
    let proper = |path: &str| match cold(Place::Top, path) {
        Slot::Unknown => None,
        slot => Some(slot),
    };
    // `_ResourceId` is not `ResourceId`.
    let squeezed = || (!path.starts_with('_')).then(|| columns::squeezed(path));
    let alias = || columns::find(path).map(Slot::Alias);
    proper(path).or_else(alias).or_else(|| proper(&squeezed()?)).unwrap_or(Slot::Unknown)
}

/// What a column's name in the header of a table tells: (a time, an operation).
pub(super) fn tells(name: &str) -> (bool, bool) {
    let mut path = String::new();
    flatten(columns::without_brackets(name.trim()), &mut path);
    let slot = match column(&path) {
        Slot::Alias(alias) => columns::slot(alias),
        slot => slot,
    };
    (slot == Slot::Time, matches!(slot, Slot::Text(T::Operation | T::OperationValue)))
}

/// Whether only the record itself can say it: a `resourceId` within `properties` is something else.
fn of_the_record(slot: Slot) -> bool {
    use T::{
        Category, CategoryValue, Correlation, Group, Operation, OperationValue, Resource, ResourceAlt, Subscription,
    };
    match slot {
        Slot::Time | Slot::Identity | Slot::Properties | Slot::Metric => true,
        Slot::Text(field) => matches!(
            field,
            Category
                | CategoryValue
                | Correlation
                | Group
                | Operation
                | OperationValue
                | Resource
                | ResourceAlt
                | Subscription
        ),
        _ => false,
    }
}

fn strip<'p>(path: &'p str, prefix: &str) -> &'p str {
    let mut path = path;
    while let Some(rest) = path.strip_prefix(prefix) {
        path = rest;
    }
    path
}

/// By the path itself, else without the type that AzureDiagnostics puts behind a column's name.
fn find(names: &HashMap<&'static str, Slot>, path: &str) -> Slot {
    names.get(path).or_else(|| names.get(columns::without_type(path)?)).copied().unwrap_or(Slot::Unknown)
}

/// Appends a key to a path: lower case, runs of what is neither letter nor digit as one `_`.
pub(super) fn flatten(key: &str, path: &mut String) {
    if !path.is_empty() {
        path.push('_');
    }
    let start = path.len();
    // `_ResourceId` is not `ResourceId`: a leading underscore stays.
    if key.starts_with('_') {
        path.push('_');
    }
    for c in key.chars() {
        if c.is_ascii_alphanumeric() {
            path.push(c.to_ascii_lowercase());
        } else if path.len() > start && !path.ends_with('_') {
            path.push('_');
        }
    }
    if path.len() > start && path.ends_with('_') {
        path.pop();
    }
}

static CLAIMS: LazyLock<HashMap<&'static str, Slot>> = LazyLock::new(|| CLAIM_NAMES.iter().copied().collect());
static RECORD: LazyLock<HashMap<&'static str, Slot>> = LazyLock::new(|| RECORD_NAMES.iter().copied().collect());

const CLAIM_NAMES: &[(&str, Slot)] = &[
    ("oid", Slot::Ranked(R::ObjectId, 0)),
    ("http_schemas_microsoft_com_identity_claims_objectidentifier", Slot::Ranked(R::ObjectId, 1)),
    ("appid", Slot::Text(T::App)),
    ("upn", Slot::Ranked(R::User, 0)),
    ("http_schemas_xmlsoap_org_ws_2005_05_identity_claims_upn", Slot::Ranked(R::User, 1)),
    ("unique_name", Slot::Ranked(R::User, 2)),
    ("http_schemas_xmlsoap_org_ws_2005_05_identity_claims_name", Slot::Ranked(R::User, 3)),
    ("xms_mirid", Slot::Text(T::ManagedIdentity)),
    ("idtyp", Slot::Note(T::IdType)),
    ("scp", Slot::Note(T::DelegatedScope)),
    ("http_schemas_microsoft_com_identity_claims_scope", Slot::Note(T::DelegatedScope)),
    ("ipaddr", Slot::Text(T::TokenAddress)),
    ("iss", Slot::Text(T::Issuer)),
];

const RECORD_NAMES: &[(&str, Slot)] = &[
    // The request, by the names of both export tables and of Managed HSM's top level.
    ("time", Slot::Time),
    ("timegenerated", Slot::Time),
    ("timegenerated_utc", Slot::Time),
    ("eventtimestamp", Slot::Time),
    ("category", Slot::Text(T::Category)),
    ("category_value", Slot::Text(T::Category)),
    ("categoryvalue", Slot::Text(T::CategoryValue)),
    ("operationname", Slot::Text(T::Operation)),
    ("operationname_value", Slot::Text(T::Operation)),
    ("operationnamevalue", Slot::Text(T::OperationValue)),
    ("resulttype", Slot::Note(T::ResultType)),
    ("resultsignature", Slot::Text(T::Signature)),
    ("resultdescription", Slot::Text(T::Description)),
    ("durationms", Slot::Duration),
    ("calleripaddress", Slot::Text(T::Address)),
    ("correlationid", Slot::Text(T::Correlation)),
    ("resourceid", Slot::Text(T::Resource)),
    ("_resourceid", Slot::Text(T::ResourceAlt)),
    ("resourceuri", Slot::Text(T::ResourceAlt)),
    ("subscriptionid", Slot::Text(T::Subscription)),
    ("resourcegroup", Slot::Text(T::Group)),
    ("resourcegroupname", Slot::Text(T::Group)),
    ("resourceprovider", Slot::Note(T::Provider)),
    ("requesturi", Slot::Text(T::RequestUri)),
    ("id", Slot::Text(T::Id)),
    ("clientinfo", Slot::Text(T::ClientInfo)),
    ("httpstatuscode", Slot::Number(N::Status)),
    ("tlsversion", Slot::Text(T::Tls)),
    ("subnetid", Slot::Text(T::Subnet)),
    ("privateendpointid", Slot::Text(T::Endpoint)),
    ("trustedservice", Slot::Text(T::Trusted)),
    ("algorithm", Slot::Text(T::Algorithm)),
    ("isrbacauthorized", Slot::Bool(B::Rbac)),
    ("isaccesspolicymatch", Slot::Bool(B::Policy)),
    ("isaddressauthorized", Slot::Bool(B::Address)),
    ("addrauthtype", Slot::Text(T::AddressAuthorization)),
    ("addressauthorizationtype", Slot::Text(T::AddressAuthorization)),
    ("appliedassignmentid", Slot::Text(T::Assignment)),
    ("identity", Slot::Identity),
    ("claims", Slot::Claims),
    ("properties", Slot::Properties),
    ("additionalfields", Slot::More),
    // Objects that exports may carry as JSON text.
    ("keyproperties", Slot::Object),
    ("secretproperties", Slot::Object),
    ("certificateproperties", Slot::Object),
    ("certificatepolicyproperties", Slot::Object),
    ("eventgrideventproperties", Slot::Object),
    ("vaultproperties", Slot::Object),
    ("networkacls", Slot::Object),
    ("sku", Slot::Object),
    ("addedaccesspolicy", Slot::Object),
    ("removedaccesspolicy", Slot::Object),
    ("authorization", Slot::Object),
    ("httprequest", Slot::Object),
    ("requestbody", Slot::Body),
    ("responsebody", Slot::Body),
    // Objects' properties.
    ("keyproperties_type", Slot::Text(T::KeyType)),
    ("keyproperties_size", Slot::Number(N::KeySize)),
    ("keyproperties_operations", Slot::KeyOperations),
    ("keyproperties_attributes_enabled", Slot::Bool(B::Enabled)),
    ("keyproperties_attributes_exp", Slot::Expires),
    ("secretproperties_attributes_enabled", Slot::Bool(B::Enabled)),
    ("secretproperties_attributes_exp", Slot::Expires),
    ("certificateproperties_attributes_enabled", Slot::Bool(B::Enabled)),
    ("certificateproperties_attributes_exp", Slot::Expires),
    ("certificateproperties_exp", Slot::Expires),
    ("eventgrideventproperties_subject", Slot::Note(T::EventSubject)),
    ("eventgrideventproperties_data_objectname", Slot::Text(T::EventObject)),
    ("eventgrideventproperties_data_vaultname", Slot::Note(T::EventVault)),
    ("eventgrideventproperties_data_version", Slot::Note(T::EventVersion)),
    ("eventgrideventproperties_data_exp", Slot::Expires),
    // Vaults.
    ("sku_name", Slot::Text(T::Sku)),
    ("networkacls_defaultaction", Slot::Text(T::NetworkDefault)),
    ("enablepurgeprotection", Slot::Bool(B::PurgeProtection)),
    ("enablerbacauthorization", Slot::Bool(B::RbacEnabled)),
    ("softdeleteretentionindays", Slot::Number(N::SoftDeleteDays)),
    ("addedaccesspolicy_objectid", Slot::Ranked(R::Target, 0)),
    ("addedaccesspolicy_permissions_keys", Slot::Permissions("keys")),
    ("addedaccesspolicy_permissions_secrets", Slot::Permissions("secrets")),
    ("addedaccesspolicy_permissions_certificates", Slot::Permissions("certificates")),
    ("addedaccesspolicy_permissions_storage", Slot::Permissions("storage")),
    ("removedaccesspolicy_objectid", Slot::Ranked(R::Target, 1)),
    ("removedaccesspolicy_permissions_keys", Slot::Permissions("keys")),
    ("removedaccesspolicy_permissions_secrets", Slot::Permissions("secrets")),
    ("removedaccesspolicy_permissions_certificates", Slot::Permissions("certificates")),
    ("removedaccesspolicy_permissions_storage", Slot::Permissions("storage")),
    ("addediprule_value", Slot::Text(T::IpRule)),
    ("removediprule_value", Slot::Note(T::RemovedIpRule)),
    // Activity log.
    ("authorization_scope", Slot::Note(T::Scope)),
    ("caller", Slot::Note(T::Caller)),
    ("status_value", Slot::Note(T::Status)),
    ("activitystatusvalue", Slot::Note(T::Status)),
    ("status", Slot::Note(T::Status)),
    ("substatus", Slot::Note(T::SubStatus)),
    ("substatus_value", Slot::Note(T::SubStatus)),
    ("activitysubstatusvalue", Slot::Note(T::SubStatus)),
    ("statuscode", Slot::Note(T::StatusCode)),
    ("eventdataid", Slot::Note(T::EventData)),
    ("eventname_value", Slot::Note(T::EventName)),
    ("httprequest_clientipaddress", Slot::Note(T::AddressAlt)),
    ("requestbody_properties_principalid", Slot::Ranked(R::Target, 2)),
    ("requestbody_properties_roledefinitionid", Slot::Text(T::Role)),
    ("responsebody_properties_principalid", Slot::Ranked(R::Target, 3)),
    ("responsebody_properties_roledefinitionid", Slot::Text(T::Role)),
    // Policy evaluations.
    ("objecttype", Slot::Note(T::PolicyObjectType)),
    ("objectname", Slot::Note(T::PolicyObjectName)),
    ("objectversion", Slot::Note(T::PolicyObjectVersion)),
    ("outcome", Slot::Note(T::PolicyOutcome)),
    // Metrics of the same resources come through the same stream.
    ("metricname", Slot::Metric),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(place: Place, key: &str) -> Slot {
        let mut path = String::new();
        flatten(key, &mut path);
        hot(place, key).unwrap_or_else(|| if place == Place::Top { column(&path) } else { cold(place, &path) })
    }

    /// What a column stands for, by people's names too.
    fn meaning(key: &str) -> Slot {
        let mut path = String::new();
        flatten(columns::without_brackets(key), &mut path);
        match column(&path) {
            Slot::Alias(alias) => columns::slot(alias),
            slot => slot,
        }
    }

    #[test]
    fn names_that_people_give_to_columns() {
        for (names, expected) in [
            ("TimeGenerated|Time Generated|time_generated|timestamp [UTC]|Timestamp|Event Time|@timestamp", Slot::Time),
            ("OperationName|Operation Name|operation_name|Operation|ACTION", Slot::Text(T::Operation)),
            ("CallerIP|Caller IP|caller_ip_s|ClientIP", Slot::Text(T::Address)),
            ("CallerIPAddress|Caller IP Address|caller_ip_address", Slot::Text(T::Address)),
            ("UPN|UserPrincipalName|User Principal Name|user_principal_name", Slot::Ranked(R::User, 4)),
            ("ObjectId|Object ID|oid|oid_g", Slot::Ranked(R::ObjectId, 2)),
            ("AppId|ApplicationId|Client ID|appid_g", Slot::Text(T::App)),
            ("Caller", Slot::Note(T::Caller)),
            ("Vault|VaultName|Vault Name|Key Vault|Resource", Slot::Note(T::Vault)),
            ("SecretName|Secret Name", Slot::Note(T::Name)),
            ("ObjectName", Slot::Note(T::PolicyObjectName)),
            ("HttpStatus|Http Status|ResultCode", Slot::Number(N::Status)),
            ("HTTP Status Code|http_status_code|httpStatusCode_d", Slot::Number(N::Status)),
            ("UserAgent|User Agent", Slot::Text(T::ClientInfo)),
            ("RequestUri|Request URI|Uri|Url", Slot::Text(T::RequestUri)),
            ("Id|ID", Slot::Text(T::Id)),
            ("TenantId|Level|Message|Comment", Slot::Unknown),
        ] {
            for name in names.split('|') {
                assert_eq!(meaning(name), expected, "{name}");
            }
        }
        assert_eq!(
            slot(Place::Properties, "objectId"),
            Slot::Unknown,
            "people's names stand at the record's own level"
        );
        assert_eq!(
            (tells("Timestamp [UTC]"), tells("Operation"), tells("Level")),
            ((true, false), (false, true), (false, false))
        );
    }

    #[test]
    fn raw_names_and_export_columns_mean_the_same() {
        for (raw, diagnostics, audit_logs, meaning) in [
            ("id", "id_s", "Id", Slot::Text(T::Id)),
            ("requestUri", "requestUri_s", "RequestUri", Slot::Text(T::RequestUri)),
            ("httpStatusCode", "httpStatusCode_d", "HttpStatusCode", Slot::Number(N::Status)),
            ("tlsVersion", "tlsVersion_s", "Tlsversion", Slot::Text(T::Tls)),
            ("isRbacAuthorized", "isRbacAuthorized_b", "IsRbacAuthorized", Slot::Bool(B::Rbac)),
            ("addrAuthType", "addrAuthType_s", "AddressAuthorizationType", Slot::Text(T::AddressAuthorization)),
            ("appliedAssignmentId", "appliedAssignmentId_g", "AppliedAssignmentId", Slot::Text(T::Assignment)),
            ("callerIpAddress", "CallerIPAddress", "CallerIpAddress", Slot::Text(T::Address)),
            ("durationMs", "DurationMs", "DurationMs", Slot::Duration),
        ] {
            let raw = slot(Place::Top, raw);
            assert!(raw == meaning || slot(Place::Properties, "id") == Slot::Text(T::Id), "{meaning:?}");
            assert_eq!(slot(Place::Top, diagnostics), meaning, "{diagnostics}");
            assert_eq!(slot(Place::Top, audit_logs), meaning, "{audit_logs}");
        }
        for (key, meaning) in [
            ("TimeGenerated [UTC]", Slot::Time),
            ("identity_claim_oid_g", Slot::Ranked(R::ObjectId, 0)),
            ("identity_claim_appid_g", Slot::Text(T::App)),
            ("identity_claim_unique_name_s", Slot::Ranked(R::User, 2)),
            (
                "identity_claim_http_schemas_microsoft_com_identity_claims_objectidentifier_g",
                Slot::Ranked(R::ObjectId, 1),
            ),
            ("identity_claim_http_schemas_xmlsoap_org_ws_2005_05_identity_claims_upn_s", Slot::Ranked(R::User, 1)),
            ("keyProperties_size_d", Slot::Number(N::KeySize)),
            ("properties_networkAcls_defaultAction_s", Slot::Text(T::NetworkDefault)),
            ("properties_enablePurgeProtection_b", Slot::Bool(B::PurgeProtection)),
            ("addedIpRule_Value_s", Slot::Text(T::IpRule)),
            ("_ResourceId", Slot::Text(T::ResourceAlt)),
            ("TenantId", Slot::Unknown),
            ("", Slot::Unknown),
        ] {
            assert_eq!(slot(Place::Top, key), meaning, "{key}");
        }
    }
}
