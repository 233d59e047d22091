//! From normalised fields to a row: whether the record is Key Vault's, what is derived from it, its identity.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::activity;
use super::address::{self, Address};
use super::batch::Columns;
use super::caller::{self, Caller};
use super::client;
use super::extra::{Extra, canonical};
use super::fields::{B, Fields, N, R, T};
use super::identity::Inputs;
use super::object::{self, Object, Resource};
use super::operation;
use super::outcome;

/// In a resource id, lower case. Building a finder costs more than the search.
static KEY_VAULT: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new("microsoft.keyvault"));

/// Whose record it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// Key Vault's, or about Key Vault.
    KeyVault,
    /// Another service's, or a metric.
    Other,
}

/// What is common to all rows of a batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin<'a> {
    pub source: &'a str,
    pub arrived: i64,
}

/// Scratch space for deriving; reused from record to record.
#[derive(Debug, Default)]
pub(super) struct Deriver {
    resource: String,
    inputs: Inputs,
    canonical: String,
}

/// The parts of one record that several columns need.
struct Event<'a> {
    category: Option<&'a str>,
    operation: &'a str,
    resource_id: Option<&'a str>,
    resource: Resource<'a>,
    object: Object<'a>,
    caller: Caller<'a>,
    address: Option<Address<'a>>,
    /// The Activity log and other control-plane logs.
    control_plane: bool,
}

impl Deriver {
    /// Whether a record is Key Vault's or about Key Vault.
    pub fn owner(&mut self, f: &Fields<'_>) -> Owner {
        self.resource.clear();
        self.resource.push_str(resource_id(f).unwrap_or_default());
        self.resource.make_ascii_lowercase();
        if ours(f, &self.resource) { Owner::KeyVault } else { Owner::Other }
    }

    /// Appends a row for a record that [`Deriver::owner`] has just looked at; `f.time` must be there.
    pub fn append(&mut self, f: &Fields<'_>, extra: &mut Extra, origin: Origin<'_>, columns: &mut Columns) {
        let lower = std::mem::take(&mut self.resource);
        let event = Event::new(f, &lower);
        let extra = finish_extra(f, &event, extra);
        let id = self.identity(f, &event, &lower, extra);
        let time = f.time.map(|stamp| stamp.micros()).unwrap_or_default();
        columns.time.append_value(time);
        columns.event_id.append_value(id);
        columns.extra.append_option(extra);
        columns.source.append_value(origin.source);
        columns.ingested_at.append_value(origin.arrived);
        request(f, &event, columns);
        what(f, &event, columns);
        result(f, &event, columns);
        who(f, &event, columns);
        network(f, &event, columns);
        change(f, &event, columns);
        self.resource = lower;
    }

    /// See `identity` for the list of inputs.
    fn identity(&mut self, f: &Fields<'_>, event: &Event<'_>, resource: &str, extra: Option<&str>) -> [u8; 16] {
        let inputs = &mut self.inputs;
        inputs.clear();
        inputs.number(f.time.map(|stamp| stamp.seconds));
        inputs.number(f.time.map(|stamp| i64::from(stamp.nanos)));
        inputs.lower(event.category);
        inputs.text(Some(event.operation));
        inputs.text(Some(resource));
        inputs.text(f.text(T::Correlation));
        inputs.text(f.text(T::Address));
        inputs.number(f.number(N::Status).map(i64::from));
        inputs.number(f.duration);
        inputs.text(f.duration_text.as_deref());
        inputs.text(event.caller.object_id.as_deref());
        inputs.text(event.caller.app_id.as_deref());
        inputs.text(event.caller.user.filter(|_| event.caller.principal_id().is_none()));
        inputs.address(f.text(T::Id));
        inputs.address(f.text(T::RequestUri));
        inputs.text(f.text(T::EventSubject));
        inputs.text(f.text(T::EventObject));
        if [T::Correlation, T::Id, T::RequestUri].into_iter().all(|field| f.text(field).is_none()) {
            for text in [Some("weak"), f.text(T::Signature), f.text(T::Description), f.text(T::ClientInfo)] {
                inputs.text(text);
            }
        }
        if event.category.is_some_and(|category| !category.eq_ignore_ascii_case("AuditEvent")) {
            self.other_category(f, extra);
        }
        self.inputs.finish()
    }

    fn other_category(&mut self, f: &Fields<'_>, extra: Option<&str>) {
        if let Some(id) = f.text(T::EventData) {
            for text in [Some("event"), Some(id), f.text(T::Status).or(f.text(T::ResultType)), f.text(T::SubStatus)] {
                self.inputs.text(text);
            }
            return;
        }
        self.canonical.clear();
        canonical(extra.unwrap_or("{}"), &mut self.canonical);
        for text in [Some("fields"), f.text(T::ResultType), f.text(T::Signature), Some(self.canonical.as_str())] {
            self.inputs.text(text);
        }
    }
}

impl<'a> Event<'a> {
    fn new(f: &'a Fields<'_>, lower: &'a str) -> Self {
        let operation = operation_name(f).unwrap_or_default();
        let resource_id = resource_id(f);
        let resource = object::resource(lower);
        let mut object = object::of(f.text(T::Id), f.text(T::RequestUri));
        if let (None, Some((kind, name))) = (object.name, resource.object) {
            // The name as logged: lower case keeps every position.
            let at = name.as_ptr().addr() - lower.as_ptr().addr();
            object.kind = Some(kind);
            object.name = resource_id.and_then(|id| id.get(at..at + name.len())).or(Some(name));
        }
        if object.name.is_none() {
            object.name = f.text(T::EventObject);
        }
        if object.version.is_none() {
            object.version = f.text(T::EventVersion);
        }
        let control_plane = operation.contains('/');
        let category = category(f);
        let address = f.text(T::Address).or(f.text(T::AddressAlt)).map(address::parse);
        Event { category, operation, resource_id, resource, object, caller: caller::of(f), address, control_plane }
    }
}

fn operation_name<'a>(f: &'a Fields<'_>) -> Option<&'a str> {
    f.text(T::OperationValue).or(f.text(T::Operation))
}

fn resource_id<'a>(f: &'a Fields<'_>) -> Option<&'a str> {
    f.text(T::Resource).or(f.text(T::ResourceAlt))
}

/// AZKVAuditLogs has no category; its rows are the audit log by definition.
fn category<'a>(f: &'a Fields<'_>) -> Option<&'a str> {
    let stated = f.text(T::CategoryValue).or(f.text(T::Category)).or(f.text(T::CategoryType));
    stated.or_else(|| match f.text(T::Table) {
        Some("AZKVAuditLogs") => Some("AuditEvent"),
        Some("AZKVPolicyEvaluationDetailsLogs") => Some("AzurePolicyEvaluationDetails"),
        Some(_) => None,
        None => (f.exported && operation_name(f).is_some_and(operation::is_key_vault)).then_some("AuditEvent"),
    })
}

fn ours(f: &Fields<'_>, resource: &str) -> bool {
    if f.metric {
        return false;
    }
    let operation = operation_name(f);
    let category = category(f);
    if operation.is_none() && category.is_none() {
        return false;
    }
    if matches!(f.text(T::Table), Some("AZKVAuditLogs" | "AZKVPolicyEvaluationDetailsLogs"))
        || f.text(T::Provider).is_some_and(|provider| provider.eq_ignore_ascii_case("MICROSOFT.KEYVAULT"))
        || KEY_VAULT.find(resource.as_bytes()).is_some()
    {
        return true;
    }
    let Some(operation) = operation else { return false };
    if operation.contains('/') {
        return activity::concerns_key_vault(&operation.to_ascii_lowercase(), resource, f.text(T::Scope));
    }
    // Other services have a category of that name too; a masked resource id names no service.
    let log = category.is_some_and(|category| {
        ["AuditEvent", "AzurePolicyEvaluationDetails"].iter().any(|ours| category.eq_ignore_ascii_case(ours))
    });
    log && !resource.contains("/providers/") && operation::is_key_vault(operation)
}

/// Adds what the derivation drops or rewrites, and closes the object.
fn finish_extra<'e>(f: &Fields<'_>, event: &Event<'_>, extra: &'e mut Extra) -> Option<&'e str> {
    if f.text(T::OperationValue).is_some() {
        extra.put_text("OperationName", f.text(T::Operation).unwrap_or_default());
    }
    if f.text(T::CategoryValue).is_some() {
        extra.put_text("Category", f.text(T::Category).unwrap_or_default());
    }
    if let (Some(_), Some(other)) = (f.text(T::Resource), f.text(T::ResourceAlt))
        && event.resource_id.is_some_and(|id| !id.eq_ignore_ascii_case(other))
    {
        extra.put_text("_ResourceId", other);
    }
    if let Some(text) = f.text(T::Address)
        && event.address.as_ref().is_some_and(|address| address.rewritten)
    {
        extra.put_text("callerIpAddress", text);
    }
    if let Some(id) = f.text(T::Id)
        && !id_is_in_columns(id, f.text(T::RequestUri), event)
    {
        extra.put_text("id", id);
    }
    extra.finish()
}

/// Whether `properties.id` is no more than the request's host, kind, name and version, which have columns.
fn id_is_in_columns(id: &str, uri: Option<&str>, event: &Event<'_>) -> bool {
    let (Some(id), Some(uri)) = (object::after_scheme(id), uri.and_then(object::after_scheme)) else { return false };
    let (host, path) = id.split_once('/').unwrap_or((id, ""));
    if !uri.get(..host.len()).is_some_and(|other| other.eq_ignore_ascii_case(host)) {
        return false;
    }
    let mut parts = path.split('/');
    let kind = parts.next().filter(|kind| !kind.is_empty());
    let plain = matches!(kind, None | Some("secrets" | "keys" | "certificates"));
    let (name, version) = (parts.next(), parts.next());
    plain
        && kind.is_none_or(|kind| object::kind_of(kind) == event.object.kind)
        && (name.is_none() || name == event.object.name)
        && (version.is_none() || version == event.object.version)
        && parts.next().is_none()
}

fn request(f: &Fields<'_>, event: &Event<'_>, columns: &mut Columns) {
    columns.category.append_option(event.category);
    columns.resource_id.append_option(event.resource_id);
    let subscription = f.text(T::Subscription).map(caller::lower);
    columns.subscription_id.append_option(event.resource.subscription.or(subscription.as_deref()));
    let group = f.text(T::Group).map(caller::lower);
    columns.resource_group.append_option(event.resource.group.or(group.as_deref()));
    let named = event.object.vault.or(f.text(T::EventVault)).map(caller::lower);
    columns.vault_name.append_option(event.resource.vault.or(named.as_deref()));
    columns.request_uri.append_option(f.text(T::RequestUri));
    columns.correlation_id.append_option(f.text(T::Correlation));
    let agent = f.text(T::ClientInfo);
    columns.client_info.append_option(agent);
    columns.client_product.append_option(agent.and_then(client::product));
}

fn what(f: &Fields<'_>, event: &Event<'_>, columns: &mut Columns) {
    columns.operation_name.append_option(operation_name(f));
    columns.operation_class.append_value(operation::class(event.operation));
    let place = if event.resource.hsm { Some("hsm") } else { event.resource.vault.map(|_| "vault") };
    let stated = operation::object_type(event.operation).or(event.object.kind);
    columns.object_type.append_option(stated.or(place.filter(|_| event.control_plane)));
    columns.object_name.append_option(event.object.name);
    columns.object_version.append_option(event.object.version);
    columns.algorithm.append_option(f.text(T::Algorithm));
    columns.key_type.append_option(f.text(T::KeyType));
    columns.key_size.append_option(f.number(N::KeySize));
    columns.object_enabled.append_option(f.bool(B::Enabled));
    columns.key_operations.append_option(sorted(&f.key_operations));
    columns.expires_at.append_option(f.expires);
}

fn result(f: &Fields<'_>, event: &Event<'_>, columns: &mut Columns) {
    let signature = f.text(T::Signature);
    let outcome = if event.control_plane {
        activity::outcome(f)
    } else {
        outcome::outcome(outcome::Request {
            operation: event.operation,
            status: f.number(N::Status),
            signature,
            identified: event.caller.identified(),
        })
    };
    columns.outcome.append_value(outcome);
    columns.http_status_code.append_option(f.number(N::Status));
    columns.result_signature.append_option(signature);
    let description = f.text(T::Description);
    columns.result_description.append_option(description);
    columns.duration_ms.append_option(f.duration);
    columns.denial_reason.append_option((outcome == "denied").then(|| {
        outcome::denial_reason(outcome::Denial {
            description,
            signature,
            rbac: f.bool(B::Rbac),
            policy: f.bool(B::Policy),
            address: f.bool(B::Address),
        })
    }));
}

fn who(f: &Fields<'_>, event: &Event<'_>, columns: &mut Columns) {
    let caller = &event.caller;
    columns.principal_id.append_option(caller.principal_id());
    columns.principal_type.append_value(caller.kind);
    columns.principal_name.append_option(caller.name);
    columns.app_id.append_option(caller.app_id.as_deref());
    columns.object_id.append_option(caller.object_id.as_deref());
    columns.user_principal_name.append_option(caller.user);
    columns.managed_identity_resource_id.append_option(f.text(T::ManagedIdentity));
    columns.token_issuer.append_option(f.text(T::Issuer));
    columns.token_address.append_option(f.text(T::TokenAddress));
}

fn network(f: &Fields<'_>, event: &Event<'_>, columns: &mut Columns) {
    match &event.address {
        Some(address) => {
            columns.caller_ip.append_value(&address.ip);
            columns.caller_port.append_option(address.port.map(i32::from));
        }
        None => {
            columns.caller_ip.append_null();
            columns.caller_port.append_null();
        }
    }
    columns.tls_version.append_option(f.text(T::Tls));
    columns.is_rbac_authorized.append_option(f.bool(B::Rbac));
    columns.is_access_policy_match.append_option(f.bool(B::Policy));
    columns.is_address_authorized.append_option(f.bool(B::Address));
    columns.address_authorization_type.append_option(f.text(T::AddressAuthorization));
    columns.applied_assignment_id.append_option(f.text(T::Assignment));
    columns.trusted_service.append_option(f.text(T::Trusted));
    columns.subnet_id.append_option(f.text(T::Subnet));
    columns.private_endpoint_id.append_option(f.text(T::Endpoint));
}

fn change(f: &Fields<'_>, event: &Event<'_>, columns: &mut Columns) {
    let kind = if may_change(event) { activity::change_kind(f, event.operation) } else { None };
    columns.change_kind.append_option(kind);
    columns.target_principal_id.append_option(f.ranked(R::Target).map(caller::lower));
    columns.granted_permissions.append_option(sorted(&f.permissions));
    columns.role_definition_id.append_option(f.text(T::Role));
    columns.network_default_action.append_option(f.text(T::NetworkDefault));
    columns.added_ip_rule.append_option(f.text(T::IpRule));
    columns.purge_protection.append_option(f.bool(B::PurgeProtection));
    columns.soft_delete_days.append_option(f.number(N::SoftDeleteDays));
    columns.rbac_enabled.append_option(f.bool(B::RbacEnabled));
    columns.sku.append_option(f.text(T::Sku).map(caller::lower));
}

/// Nearly all records read; they need not be asked what they changed.
fn may_change(event: &Event<'_>) -> bool {
    event.control_plane || event.operation.bytes().next().is_some_and(|b| matches!(b, b'V' | b'v' | b'M' | b'm'))
}

fn sorted(items: &[String]) -> Option<String> {
    if items.is_empty() {
        return None;
    }
    let mut items: Vec<&str> = items.iter().map(String::as_str).collect();
    items.sort_unstable();
    items.dedup();
    Some(items.join(","))
}
