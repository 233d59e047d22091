//! From normalised fields to a row: whether the record is Key Vault's, what is derived from it, its identity.

use std::borrow::Cow;
use std::ops::Range;

use super::activity;
use super::address::{self, Address};
use super::batch::{Code, Columns};
use super::caller::{self, Caller};
use super::client;
use super::columns as named;
use super::completeness::{Completeness, Counted};
use super::extra::{Extra, canonical as canonical_of};
use super::fields::{B, Fields, N, R, T};
use super::identity::{self, Digest, Inputs};
use super::memo::Memo;
use super::object::{self, Object};
use super::operation;
use super::outcome;
use super::policy;
use super::raw::Intake;
use super::said;

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

/// What deriving needs; reused from record to record.
#[derive(Debug, Default)]
pub(super) struct Deriver {
    resources: Memo<Known>,
    operations: Memo<Code>,
    agents: Memo<Code>,
    /// Place of the resource of the record in work.
    resource: usize,
    inputs: Inputs,
    canonical: String,
}

/// A resource id, taken apart once.
#[derive(Debug)]
struct Known {
    /// Lower case, as the digest is.
    id: Box<str>,
    digest: Digest,
    subscription: Option<Range<usize>>,
    group: Option<Range<usize>>,
    vault: Option<Range<usize>>,
    object: Option<(&'static str, Range<usize>)>,
    hsm: bool,
    key_vault: bool,
    /// Where the batch holds it.
    code: Code,
}

impl Known {
    fn new(id: &str) -> Self {
        let id = id.to_ascii_lowercase().into_boxed_str();
        let resource = object::resource(&id);
        let range = |part: &str| {
            let start = part.as_ptr().addr() - id.as_ptr().addr();
            start..start + part.len()
        };
        Known {
            digest: identity::digest([Some(&*id)]),
            subscription: resource.subscription.map(range),
            group: resource.group.map(range),
            vault: resource.vault.map(range),
            object: resource.object.map(|(kind, name)| (kind, range(name))),
            hsm: resource.hsm,
            key_vault: resource.key_vault,
            code: Code::default(),
            id,
        }
    }

    fn part(&self, part: &Option<Range<usize>>) -> Option<&str> {
        self.id.get(part.clone()?)
    }

    /// Whether all that the columns want of a resource is in its id.
    fn whole(&self) -> bool {
        self.subscription.is_some() && self.group.is_some() && self.vault.is_some()
    }
}

/// The parts of one record that several columns need.
struct Event<'a> {
    category: Option<&'a str>,
    operation: &'a str,
    resource_id: Option<&'a str>,
    resource: &'a Known,
    object: Object<'a>,
    caller: Caller<'a>,
    address: Option<Address<'a>>,
    /// The Activity log and other control-plane logs.
    control_plane: bool,
    /// An evaluation of Azure Policy.
    policy: bool,
}

impl Deriver {
    /// Whether a record is Key Vault's or about Key Vault.
    pub fn owner(&mut self, f: &Fields<'_>) -> Owner {
        let id = resource_id(f).unwrap_or_default();
        self.resource = self.resources.place(id, || Known::new(id));
        if ours(f, self.resources.get(self.resource)) { Owner::KeyVault } else { Owner::Other }
    }

    /// Appends a row for a record that [`Deriver::owner`] has just looked at; `f.time` must be there. Says whether the
    /// record has a status and a caller.
    pub fn append(
        &mut self,
        f: &Fields<'_>,
        intake: &mut Intake,
        origin: Origin<'_>,
        columns: &mut Columns,
    ) -> Completeness {
        let Intake { extra, claims, .. } = intake;
        let resource = self.resources.get(self.resource);
        let known = f.claims.map(|place| &claims.get(place).caller);
        let caller = known.map_or_else(|| caller::of(f), caller::Known::caller);
        let digest = known.map_or_else(|| caller.digest(), |known| known.digest);
        let event = Event::new(f, resource, caller);
        let extra = finish_extra(f, &event, extra);
        let id = identity(&mut self.inputs, &mut self.canonical, f, &event, &digest, extra);
        let (row, policy) = (columns.row, event.policy);
        columns.time.set(row, f.time.map(|stamp| stamp.micros()).unwrap_or_default());
        columns.event_id.set(row, &id);
        columns.extra.set_some(row, extra);
        columns.source.set(row, origin.source);
        columns.ingested_at.set(row, origin.arrived);
        request(f, &event, columns);
        what(f, &event, columns);
        let outcome = result(f, &event, columns);
        let (category, operation, identified) = (event.category, event.operation, event.caller.identified());
        let said = Completeness::of(f, Counted { category, operation, outcome, identified });
        network(f, &event, columns);
        change(f, &event, columns);
        let caller_code = who(&event.caller, known.map(|known| known.code), columns);
        let resource_code = place(f, &event, columns);
        if let Some(known) = f.claims {
            claims.at(known).caller.code = caller_code;
        }
        self.resources.at(self.resource).code = resource_code;
        self.operation(f, policy, columns);
        self.agent(f, columns);
        columns.row += 1;
        said
    }

    fn operation(&mut self, f: &Fields<'_>, policy: bool, columns: &mut Columns) {
        let name = operation_name(f);
        if policy && !operation::is_policy(name.unwrap_or_default()) {
            columns.operation.add([name, Some(policy::CLASS)]);
            return;
        }
        let code = self.operations.place(name.unwrap_or_default(), Code::default);
        let code = self.operations.at(code);
        if !columns.operation.again(*code) {
            *code = columns.operation.add([name, Some(operation::class(name.unwrap_or_default()))]);
        }
    }

    fn agent(&mut self, f: &Fields<'_>, columns: &mut Columns) {
        let agent = f.text(T::ClientInfo);
        let code = self.agents.place(agent.unwrap_or_default(), Code::default);
        let code = self.agents.at(code);
        if !columns.agent.again(*code) {
            *code = columns.agent.add([agent, agent.and_then(client::product)]);
        }
    }
}

/// See `identity` for the list of inputs.
fn identity(
    inputs: &mut Inputs,
    canonical: &mut String,
    f: &Fields<'_>,
    event: &Event<'_>,
    caller: &Digest,
    extra: Option<&str>,
) -> Digest {
    inputs.clear();
    inputs.number(f.time.map(|stamp| stamp.seconds));
    inputs.number(f.time.map(|stamp| i64::from(stamp.nanos)));
    inputs.lower(event.category);
    inputs.text(Some(event.operation));
    inputs.digest(&event.resource.digest);
    inputs.text(f.text(T::Correlation));
    inputs.text(f.text(T::Address));
    inputs.number(f.number(N::Status).map(i64::from));
    inputs.number(f.duration);
    inputs.text(f.duration_text.as_deref());
    inputs.digest(caller);
    inputs.addresses(f.text(T::Id), f.text(T::RequestUri));
    inputs.text(f.text(T::EventSubject));
    inputs.text(f.text(T::EventObject));
    if [T::Correlation, T::Id, T::RequestUri].into_iter().all(|field| f.text(field).is_none()) {
        for text in [Some("weak"), f.text(T::Signature), f.text(T::Description), f.text(T::ClientInfo)] {
            inputs.text(text);
        }
        // Columns of queries that keep neither an address nor a resource id; no raw record has them.
        for text in [name_column(f), f.text(T::Vault).filter(|_| event.resource_id.is_none())].into_iter().flatten() {
            inputs.text(Some("named"));
            inputs.text(Some(text));
        }
    }
    if !audit(event) {
        other_category(inputs, canonical, f, extra);
    }
    inputs.finish()
}

fn other_category(inputs: &mut Inputs, canonical: &mut String, f: &Fields<'_>, extra: Option<&str>) {
    if let Some(id) = f.text(T::EventData) {
        for text in [Some("event"), Some(id), f.text(T::Status).or(f.text(T::ResultType)), f.text(T::SubStatus)] {
            inputs.text(text);
        }
        return;
    }
    canonical.clear();
    canonical_of(extra.unwrap_or("{}"), canonical);
    for text in [Some("fields"), f.text(T::ResultType), f.text(T::Signature), Some(canonical.as_str())] {
        inputs.text(text);
    }
}

impl<'a> Event<'a> {
    fn new(f: &'a Fields<'_>, resource: &'a Known, caller: Caller<'a>) -> Self {
        let operation = operation_name(f).unwrap_or_default();
        let resource_id = resource_id(f);
        let mut object = object::of(f.text(T::Id), f.text(T::RequestUri));
        if let (None, Some((kind, name))) = (&object.name, &resource.object) {
            object.kind = Some(kind);
            object.name = resource.id.get(name.clone()).map(object::canonical);
        }
        if object.name.is_none() {
            object.name = f
                .text(T::EventObject)
                .or_else(|| name_column(f).filter(|_| named::is_of_an_object(operation)))
                .map(object::canonical);
        }
        if object.version.is_none() {
            object.version = f.text(T::EventVersion).map(Cow::Borrowed);
        }
        let control_plane = operation.contains('/');
        let category = category(f);
        let policy = policy::is_evaluation(category, operation);
        if policy {
            policy::complete(&mut object, f);
        }
        let address = f.text(T::Address).or(f.text(T::AddressAlt)).map(address::parse);
        Event { category, operation, resource_id, resource, object, caller, address, control_plane, policy }
    }
}

/// An object's name in a column of an export. Policy evaluations have a field of the name `objectName` that people use too.
fn name_column<'a>(f: &'a Fields<'_>) -> Option<&'a str> {
    let column =
        || f.exported && !f.nested && !policy::is_evaluation(category(f), operation_name(f).unwrap_or_default());
    f.text(T::Name).or_else(|| f.text(T::PolicyObjectName).filter(|_| column()))
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

fn ours(f: &Fields<'_>, resource: &Known) -> bool {
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
        || resource.key_vault
    {
        return true;
    }
    let Some(operation) = operation else { return false };
    if operation.contains('/') {
        return activity::concerns_key_vault(&operation.to_ascii_lowercase(), &resource.id, f.text(T::Scope));
    }
    // Other services have a category of that name too; a masked resource id names no service.
    let log = category.is_some_and(|category| {
        ["AuditEvent", "AzurePolicyEvaluationDetails"].iter().any(|ours| category.eq_ignore_ascii_case(ours))
    });
    log && !resource.id.contains("/providers/") && operation::is_key_vault(operation)
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
    // The column's spelling is one for all letter cases; the record's own is not lost as long as the request has it. The
    // identity of other categories draws on `extra`, which holds an id there only where it names something else.
    let spelled = |name: &str| event.object.name.as_deref() == Some(name) || !audit(event) || uri.contains(name);
    plain
        && kind.is_none_or(|kind| object::kind_of(kind) == event.object.kind)
        && name.is_none_or(|name| event.object.name == Some(object::canonical(name)) && spelled(name))
        && (version.is_none() || version == event.object.version.as_deref())
        && parts.next().is_none()
}

/// Whether it is a record of the audit log.
fn audit(event: &Event<'_>) -> bool {
    event.category.is_none_or(|category| category.eq_ignore_ascii_case("AuditEvent"))
}

fn request(f: &Fields<'_>, event: &Event<'_>, columns: &mut Columns) {
    let row = columns.row;
    columns.category.set_some(row, event.category);
    columns.request_uri.set_some(row, f.text(T::RequestUri));
    columns.correlation_id.set_some(row, f.text(T::Correlation));
}

fn place(f: &Fields<'_>, event: &Event<'_>, columns: &mut Columns) -> Code {
    let known = event.resource;
    if known.whole() && columns.resource.again(known.code) {
        return known.code;
    }
    let subscription = f.text(T::Subscription).map(caller::lower);
    let group = f.text(T::Group).map(caller::lower);
    let named =
        event.object.vault.or(f.text(T::EventVault)).or(f.text(T::Vault).map(named::vault_name)).map(caller::lower);
    columns.resource.add([
        event.resource_id,
        known.part(&known.subscription).or(subscription.as_deref()),
        known.part(&known.group).or(group.as_deref()),
        known.part(&known.vault).or(named.as_deref()),
    ])
}

fn what(f: &Fields<'_>, event: &Event<'_>, columns: &mut Columns) {
    let row = columns.row;
    let place = if event.resource.hsm { Some("hsm") } else { event.resource.vault.as_ref().map(|_| "vault") };
    let stated = operation::object_type(event.operation).or(event.object.kind);
    columns.object_type.set_some(row, stated.or(place.filter(|place| event.control_plane || *place == "hsm")));
    columns.object_name.set_some(row, event.object.name.as_deref());
    columns.object_version.set_some(row, event.object.version.as_deref());
    columns.algorithm.set_some(row, f.text(T::Algorithm));
    columns.key_type.set_some(row, f.text(T::KeyType));
    columns.key_size.set_some(row, f.number(N::KeySize));
    columns.object_enabled.set_some(row, f.bool(B::Enabled));
    columns.key_operations.set_some(row, sorted(&f.key_operations).as_deref());
    columns.expires_at.set_some(row, f.expires);
}

/// Fills the columns of the result; gives the outcome.
fn result(f: &Fields<'_>, event: &Event<'_>, columns: &mut Columns) -> &'static str {
    let (row, signature, description) = (columns.row, f.text(T::Signature), f.text(T::Description));
    let outcome = if event.policy {
        policy::outcome(f)
    } else if event.control_plane {
        activity::outcome(f)
    } else {
        outcome::outcome(outcome::Request {
            operation: event.operation,
            status: f.number(N::Status).or_else(|| said::status(f)),
            signature,
            description,
            identified: event.caller.identified(),
        })
    };
    columns.outcome.set(row, outcome);
    columns.http_status_code.set_some(row, f.number(N::Status));
    columns.result_signature.set_some(row, signature);
    columns.result_description.set_some(row, description);
    columns.duration_ms.set_some(row, f.duration);
    if outcome == "denied" {
        let reason = outcome::denial_reason(outcome::Denial {
            unauthorized: outcome::status(f.number(N::Status), signature, description) == Some(401),
            description,
            signature,
            rbac: f.bool(B::Rbac),
            policy: f.bool(B::Policy),
            address: f.bool(B::Address),
        });
        columns.denial_reason.set(row, reason);
    }
    outcome
}

fn who(caller: &Caller<'_>, known: Option<Code>, columns: &mut Columns) -> Code {
    if let Some(code) = known
        && columns.caller.again(code)
    {
        return code;
    }
    columns.caller.add([
        caller.principal_id(),
        Some(caller.kind),
        caller.name,
        caller.app_id.as_deref(),
        caller.object_id.as_deref(),
        caller.user,
        caller.managed_identity,
        caller.issuer,
        caller.token_address,
    ])
}

fn network(f: &Fields<'_>, event: &Event<'_>, columns: &mut Columns) {
    let row = columns.row;
    if let Some(address) = &event.address {
        columns.caller_ip.set(row, &address.ip);
        columns.caller_port.set_some(row, address.port.map(i32::from));
    }
    columns.tls_version.set_some(row, f.text(T::Tls));
    columns.is_rbac_authorized.set_some(row, f.bool(B::Rbac));
    columns.is_access_policy_match.set_some(row, f.bool(B::Policy));
    columns.is_address_authorized.set_some(row, f.bool(B::Address));
    columns.address_authorization_type.set_some(row, f.text(T::AddressAuthorization));
    columns.applied_assignment_id.set_some(row, f.text(T::Assignment));
    columns.trusted_service.set_some(row, f.text(T::Trusted));
    columns.subnet_id.set_some(row, f.text(T::Subnet));
    columns.private_endpoint_id.set_some(row, f.text(T::Endpoint));
}

fn change(f: &Fields<'_>, event: &Event<'_>, columns: &mut Columns) {
    let row = columns.row;
    if may_change(event) {
        columns.change_kind.set_some(row, activity::change_kind(f, event.operation));
    }
    let named = f.ranked(R::Target).map(caller::lower);
    let listed = f.grants.as_ref().filter(|_| named.is_none());
    let targets = listed.and_then(|grants| sorted(&grants.targets));
    columns.target_principal_id.set_some(row, named.as_deref().or(targets.as_deref()));
    let permissions = listed.map_or(&f.permissions, |grants| &grants.permissions);
    columns.granted_permissions.set_some(row, sorted(permissions).as_deref());
    columns.role_definition_id.set_some(row, f.text(T::Role));
    columns.network_default_action.set_some(row, f.text(T::NetworkDefault));
    columns.added_ip_rule.set_some(row, f.text(T::IpRule));
    columns.purge_protection.set_some(row, f.bool(B::PurgeProtection));
    columns.soft_delete_days.set_some(row, f.number(N::SoftDeleteDays));
    columns.rbac_enabled.set_some(row, f.bool(B::RbacEnabled));
    columns.sku.set_some(row, f.text(T::Sku).map(caller::lower).as_deref());
}

/// Nearly all records read; they need not be asked what they changed.
fn may_change(event: &Event<'_>) -> bool {
    let first = event.operation.bytes().next().unwrap_or_default().to_ascii_lowercase();
    event.control_plane || matches!(first, b'v' | b'm' | b'r')
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
