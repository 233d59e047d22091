//! The event table: its columns, their types and what each means. docs/contracts.md carries this list.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// A column's type, out of those that Delta has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8 text.
    Text,
    /// Microseconds since the epoch, UTC.
    Time,
    /// 32-bit signed integer.
    Int,
    /// 64-bit signed integer.
    Long,
    /// Truth value.
    Bool,
    /// Bytes.
    Bytes,
}

impl Kind {
    /// The Arrow type that stores this kind.
    pub fn data_type(self) -> DataType {
        match self {
            Kind::Text => DataType::Utf8,
            Kind::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Kind::Int => DataType::Int32,
            Kind::Long => DataType::Int64,
            Kind::Bool => DataType::Boolean,
            Kind::Bytes => DataType::Binary,
        }
    }
}

/// One column of the event table.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its name: Azure's own in snake case where Azure has one.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// What it holds, in a phrase.
    pub about: &'static str,
}

const fn col(name: &'static str, kind: Kind, about: &'static str) -> Column {
    Column { name, kind, about }
}

use Kind::{Bool, Bytes, Int, Long, Text, Time};

/// The event table in column order. File statistics cover the first columns, so what queries prune on stands first.
pub const COLUMNS: &[Column] = &[
    col("time", Time, "when Key Vault handled the request"),
    col("vault_name", Text, "vault or managed HSM, lower case"),
    col("principal_id", Text, "object id, else of a user the name, else application id, else the name; lower case"),
    col("operation_name", Text, "operation as Azure names it"),
    col(
        "outcome",
        Text,
        "success, denied, throttled, not_found, challenge, client_error, server_error, unknown; of policy evaluations compliant, noncompliant, evaluated",
    ),
    col("http_status_code", Int, "HTTP status"),
    col("object_name", Text, "secret, key, certificate or storage account, lower case"),
    col("caller_ip", Text, "address of the caller, without a port"),
    col("event_id", Bytes, "128-bit identity of the record; first byte group is versioned by the hash's context"),
    col("category", Text, "log category: AuditEvent, AzurePolicyEvaluationDetails, Administrative, …"),
    col(
        "operation_class",
        Text,
        "read, list, write, delete, purge, backup, restore, crypto, authenticate, control, notify, policy, other",
    ),
    col("object_type", Text, "secret, key, certificate, storage, vault, hsm"),
    col("object_version", Text, "version of the object, where the record names one"),
    col("resource_id", Text, "Azure resource id, as logged"),
    col("subscription_id", Text, "subscription, lower case"),
    col("resource_group", Text, "resource group, lower case"),
    col("denial_reason", Text, "authentication, rbac, access_policy, network, disabled, unknown; null unless denied"),
    col("result_signature", Text, "reason phrase"),
    col("result_description", Text, "the service's message"),
    col("duration_ms", Long, "service time in milliseconds"),
    col("principal_type", Text, "managed_identity, user, application, anonymous"),
    col("principal_name", Text, "directory name, user name or managed identity's name"),
    col("app_id", Text, "application (client) id, lower case"),
    col("object_id", Text, "directory object id, lower case"),
    col("user_principal_name", Text, "user name claim"),
    col("managed_identity_resource_id", Text, "claim xms_mirid"),
    col("token_issuer", Text, "claim iss"),
    col("token_address", Text, "claim ipaddr: address at which the token was issued"),
    col("caller_port", Int, "port, where the address carried one"),
    col("client_info", Text, "user agent as logged"),
    col("client_product", Text, "product of the user agent, without version"),
    col("request_uri", Text, "request URI as logged"),
    col("correlation_id", Text, "correlation id; null when empty"),
    col("tls_version", Text, "TLS version as logged, for instance TLS1_2"),
    col("is_rbac_authorized", Bool, "role check passed; present where the vault uses roles"),
    col("is_access_policy_match", Bool, "access policy matched; present where the vault uses policies"),
    col("is_address_authorized", Bool, "firewall passed"),
    col("address_authorization_type", Text, "how the address was judged (addrAuthType)"),
    col("applied_assignment_id", Text, "role assignment that allowed the call"),
    col("trusted_service", Text, "trusted service, where the firewall let one pass"),
    col("subnet_id", Text, "subnet of the caller"),
    col("private_endpoint_id", Text, "private endpoint of the caller"),
    col("algorithm", Text, "algorithm of a key operation"),
    col("key_type", Text, "key type, logged on create and import"),
    col("key_size", Int, "key size in bits, logged on create and import"),
    col(
        "change_kind",
        Text,
        "for changes: access_policy_added, access_policy_removed, ip_rule_added, vault_written, role_assigned, …",
    ),
    col("target_principal_id", Text, "who gained or lost by a change, comma-separated, sorted"),
    col("granted_permissions", Text, "permissions of a change, comma-separated, sorted"),
    col("role_definition_id", Text, "role of an assignment"),
    col("network_default_action", Text, "Allow or Deny, on vault writes and reads"),
    col("added_ip_rule", Text, "address rule added to the firewall"),
    col("purge_protection", Bool, "purge protection, on vault writes and reads"),
    col("soft_delete_days", Int, "soft-delete retention in days"),
    col("rbac_enabled", Bool, "role-based permission model on"),
    col("object_enabled", Bool, "enabled attribute of a secret, key or certificate"),
    col("key_operations", Text, "permitted key operations, comma-separated, sorted"),
    col("expires_at", Time, "expiry of the object"),
    col("sku", Text, "vault sku, lower case"),
    col("extra", Text, "JSON object of every field that has no column"),
    col("source", Text, "file or stream the record was first read from"),
    col("ingested_at", Time, "when the record was written to the store"),
];

static EVENTS: LazyLock<SchemaRef> = LazyLock::new(|| {
    let fields = COLUMNS.iter().map(|c| {
        let required = matches!(c.name, "time" | "event_id");
        Field::new(c.name, c.kind.data_type(), !required)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
});

static BATCH: LazyLock<SchemaRef> = LazyLock::new(|| {
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let fields = EVENTS.fields().iter().map(|field| {
        let grouped = super::batch::GROUPED.contains(&field.name().as_str());
        if grouped { field.as_ref().clone().with_data_type(dictionary.clone()) } else { field.as_ref().clone() }
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
});

/// The Arrow schema of the event table.
pub fn events() -> SchemaRef {
    EVENTS.clone()
}

/// The same for a batch in memory, where texts that recur are dictionaries. In the table they are plain text.
pub fn batch() -> SchemaRef {
    BATCH.clone()
}

/// Position of a column in [`COLUMNS`].
///
/// # Panics
/// If no column has that name: names are literals of this crate.
pub fn index(name: &str) -> usize {
    COLUMNS.iter().position(|c| c.name == name).expect("a column of the event table")
}
