//! Calls to the JSON that Key Vault writes, traps included: `resultType` is `Success` on failures too, durations are
//! strings, a challenge has no identity and no `properties.id`, the control plane spells its claims as URLs.

mod change;

use std::io::Write as _;

use super::call::{Call, Ending, Refusal, Subject};
use super::client::{self, client_of};
use super::company::{Caller, Company, NOBODY, Vault};
use super::config::By;
use super::detail::Detail;
use super::dice::uuid_text;
use super::names;
use super::operation::{Names, Op};
use super::{DAY, SECOND};

/// Appends the record of this call as one line of JSON.
pub(super) fn write(line: &mut Vec<u8>, company: &Company, call: &Call) {
    let writer = Writer { line, company, call, vault: company.vault(call.ask.vault) };
    if call.ask.op.facts().names == Names::Activity { writer.activity() } else { writer.record() }
}

struct Writer<'a> {
    line: &'a mut Vec<u8>,
    company: &'a Company,
    call: &'a Call,
    vault: &'a Vault,
}

/// Status code and reason phrase.
pub(super) fn status(ending: Ending, op: Op) -> (u16, &'static str) {
    match ending {
        Ending::Begun => (202, "Started."),
        Ending::Fine if op == Op::SecretPurge => (204, "No Content"),
        Ending::Fine => (200, "OK"),
        Ending::Challenge => (401, "Unauthorized"),
        Ending::Denied(_) => (403, "Forbidden"),
        Ending::NotFound => (404, "Not Found"),
        Ending::Throttled => (429, "Too Many Requests"),
        Ending::ServerError(503) => (503, "Service Unavailable"),
        Ending::ServerError(code) => (code, "Internal Server Error"),
    }
}

impl<'a> Writer<'a> {
    fn put(&mut self, text: &str) {
        self.line.extend_from_slice(text.as_bytes());
    }

    fn put_all(&mut self, texts: &[&str]) {
        for text in texts {
            self.put(text);
        }
    }

    /// `"name":"value",` — values hold nothing that JSON would escape, except what is escaped already.
    fn field(&mut self, name: &str, value: &str) {
        self.put_all(&["\"", name, "\":\"", value, "\","]);
    }

    fn number(&mut self, value: impl std::fmt::Display) {
        write!(self.line, "{value}").expect("a Vec takes every byte");
    }

    fn record(mut self) {
        let (call, op) = (self.call, self.call.ask.op);
        let challenge = call.ending == Ending::Challenge;
        let (_, reason) = status(call.ending, op);
        self.time();
        self.field("resourceId", &self.vault.resource_id);
        self.field("operationName", if challenge { "Authentication" } else { op.facts().name });
        self.put("\"category\":\"AuditEvent\",");
        self.field("operationVersion", self.api());
        self.put("\"resultType\":\"Success\",");
        self.field("resultSignature", reason);
        self.description();
        self.put("\"durationMs\":\"");
        self.number(call.millis);
        self.put("\",");
        if !op.notifies() {
            self.field("callerIpAddress", &call.address.text());
        }
        self.field("correlationId", &uuid_text(call.correlation.0, call.correlation.1));
        self.identity();
        self.properties();
        self.put("}\n");
    }

    fn api(&self) -> &'static str {
        match self.call.ask.op {
            op if op.facts().names.is_control() => client_of(client::ARM).api,
            _ => client_of(self.call.client).api,
        }
    }

    fn time(&mut self) {
        let at = self.call.at;
        let (year, month, day) = civil(at.div_euclid(DAY));
        let second = at.rem_euclid(DAY) / SECOND;
        // Key Vault counts in tenths of microseconds.
        let ticks = at.rem_euclid(SECOND) * 10 + (self.call.correlation.1 % 10) as i64;
        let (h, m, s) = (second / 3600, second / 60 % 60, second % 60);
        write!(self.line, "{{\"time\":\"{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{ticks:07}Z\",")
            .expect("a Vec takes every byte");
    }

    /// What the service says about a failure; nothing on success and on a challenge.
    fn description(&mut self) {
        match self.call.ending {
            Ending::Denied(Refusal::Network) => self.network_refusal(),
            Ending::Denied(Refusal::Disabled) => {
                let facts = self.call.ask.op.facts();
                let (what, noun) = (facts.permission, facts.noun);
                self.put_all(&[
                    "\"resultDescription\":\"Operation ",
                    what,
                    " is not allowed on a disabled ",
                    noun,
                    ".\",",
                ]);
            }
            Ending::Denied(Refusal::Permission) if self.vault.rbac => self.role_refusal(),
            Ending::Denied(Refusal::Permission) => self.policy_refusal(),
            Ending::NotFound => {
                let noun = self.call.ask.op.facts().noun;
                let name = self.object_name();
                self.put_all(&[
                    "\"resultDescription\":\"A ",
                    noun,
                    " with (name/id) ",
                    name,
                    " was not found in this key vault. ",
                ]);
                self.put_all(&[
                    "If you recently deleted this ",
                    noun,
                    " you may be able to recover it using the correct ",
                ]);
                self.put("recovery command. For help resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125182\",");
            }
            Ending::Throttled => self.put(
                "\"resultDescription\":\"Request was not processed because too many requests were received. \
                 Reason: VaultRequestTypeLimitReached\",",
            ),
            Ending::ServerError(_) => {
                self.put("\"resultDescription\":\"An internal error occurred. Please try again.\",")
            }
            Ending::Fine | Ending::Challenge | Ending::Begun => {}
        }
    }

    /// `appid=…;oid=…;iss=…`, as refusals name the caller.
    fn put_caller(&mut self) {
        if self.call.caller == NOBODY {
            return self.put("name=NoToken");
        }
        let caller = self.company.caller(self.call.caller);
        let app = self.app_id(caller);
        self.put_all(&["appid=", app, ";oid=", &caller.object_id, ";iss=https://sts.windows.net/"]);
        self.put_all(&[caller.tenant_in(self.company), "/"]);
    }

    fn role_refusal(&mut self) {
        let facts = self.call.ask.op.facts();
        self.put("\"resultDescription\":\"Caller is not authorized to perform action on resource.\\r\\nIf role assignments, ");
        self.put("deny assignments or role definitions were changed recently, please observe propagation time.\\r\\nCaller: ");
        self.put_caller();
        self.put_all(&["\\r\\nAction: 'Microsoft.KeyVault/vaults/", facts.action, "'\\r\\nResource: '"]);
        self.put(&self.vault.resource_path.to_lowercase());
        self.put_all(&["/", facts.collection]);
        if facts.names != Names::Collection {
            self.put_all(&["/", self.object_name()]);
        }
        self.put("'\\r\\nAssignment: (not found)\\r\\nDenyAssignmentId: null\\r\\nDecisionReason: null \\r\\nVault: ");
        self.put_all(&[&self.vault.name, ";location=", self.vault.location, "\\r\\n\","]);
    }

    fn policy_refusal(&mut self) {
        let facts = self.call.ask.op.facts();
        self.put("\"resultDescription\":\"The user, group or application '");
        self.put_caller();
        self.put_all(&["' does not have ", facts.collection, " ", facts.permission, " permission on key vault '"]);
        self.put_all(&[&self.vault.name, ";location=", self.vault.location]);
        self.put("'. For help resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125287\",");
    }

    fn network_refusal(&mut self) {
        let address = self.call.address.text();
        self.put_all(&[
            "\"resultDescription\":\"Client address (",
            &address,
            ") is not authorized and caller is not a trusted ",
        ]);
        self.put_all(&["service.\\r\\nClient address: ", &address, "\\r\\nCaller: "]);
        self.put_caller();
        self.put_all(&["\\r\\nVault: ", &self.vault.name, ";location=", self.vault.location, "\","]);
    }

    /// The application in the token: a person's client, else the caller itself.
    fn app_id<'c>(&self, caller: &'c Caller) -> &'c str {
        match (caller.by, client_of(self.call.client).app_id) {
            // A person's token is made out for the client that asked; scripts borrow the command line's.
            (By::User, public) => public.or(client_of(client::CLI).app_id).unwrap_or_default(),
            _ => &caller.app_id,
        }
    }

    fn identity(&mut self) {
        if self.call.caller == NOBODY {
            return self.put("\"identity\":{},");
        }
        let caller = self.company.caller(self.call.caller);
        let app = self.app_id(caller);
        self.put("\"identity\":{\"claim\":{");
        if self.call.ask.op.facts().names.is_control() {
            self.control_plane_claims(caller);
        } else {
            self.data_plane_claims(caller);
        }
        // The application closes the claims, so that no comma is left over.
        self.put_all(&["\"appid\":\"", app, "\"}},"]);
    }

    fn control_plane_claims(&mut self, caller: &Caller) {
        if caller.object_id.is_empty() {
            return;
        }
        self.field("http://schemas.microsoft.com/identity/claims/objectidentifier", &caller.object_id);
        match caller.by {
            By::User => {
                self.field("http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn", &caller.name);
                self.field("http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name", &caller.name);
            }
            By::ManagedIdentity => self.field("xms_mirid", &caller.identity_resource),
            By::Application => {}
        }
    }

    fn data_plane_claims(&mut self, caller: &Caller) {
        if caller.object_id.is_empty() {
            return;
        }
        self.field("oid", &caller.object_id);
        self.put("\"appidacr\":\"");
        self.number(caller.proof);
        self.put("\",");
        match caller.by {
            By::User => {
                self.put("\"idtyp\":\"user\",\"scp\":\"user_impersonation\",\"amr\":\"pwd,mfa\",");
                self.field("upn", &caller.name);
                self.field("unique_name", &caller.name);
                let address = self.call.address.text();
                self.field("ipaddr", &address);
            }
            By::ManagedIdentity => {
                self.put("\"idtyp\":\"app\",");
                self.field("xms_mirid", &caller.identity_resource);
            }
            By::Application => self.put("\"idtyp\":\"app\","),
        }
        if caller.full_claims {
            let issued = self.call.issued;
            self.put_all(&[
                "\"aud\":\"https://vault.azure.net\",\"iss\":\"https://sts.windows.net/",
                caller.tenant_in(self.company),
                "/\",",
            ]);
            write!(self.line, "\"iat\":\"{issued}\",\"nbf\":\"{issued}\",\"exp\":\"{}\",", issued + 4_500)
                .expect("a Vec takes every byte");
            let id = (issued as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ u64::from(self.call.caller);
            write!(self.line, "\"uti\":\"{id:016x}AQ\",").expect("a Vec takes every byte");
        }
    }

    /// The object in the request: a real one's name or a guess; empty for a listing.
    fn object_name(&self) -> &'a str {
        let company: &'a Company = self.company;
        match self.call.ask.subject {
            Subject::Object(object) => &company.object(object).name,
            Subject::Guess(guess) => names::GUESSES[usize::from(guess) % names::GUESSES.len()],
            Subject::Page(_) => "",
        }
    }

    fn put_version(&mut self) {
        if let Subject::Object(object) = self.call.ask.subject {
            let version = self.company.object(object).version_at(self.call.at);
            write!(self.line, "/{version:032x}").expect("a Vec takes every byte");
        }
    }

    fn properties(&mut self) {
        self.put("\"properties\":{");
        match self.call.ask.op {
            Op::PolicyChanged => self.vault_event(),
            op if op.notifies() => self.event_properties(),
            op if op.facts().names == Names::Vault => self.vault_properties(),
            _ => self.call_properties(),
        }
        self.put("\"httpStatusCode\":");
        let (code, _) = status(self.call.ending, self.call.ask.op);
        self.number(code);
        self.put("}");
    }

    fn call_properties(&mut self) {
        let (call, facts) = (self.call, self.call.ask.op.facts());
        if call.ending != Ending::Challenge && facts.names != Names::Collection {
            self.id();
        }
        let client = client_of(call.client);
        self.field("clientInfo", client.agent);
        self.request_uri();
        if call.ending != Ending::Challenge {
            self.permission();
            if !facts.algorithm.is_empty() {
                self.field("algorithm", facts.algorithm);
            }
        }
        self.network();
        self.put("\"tlsVersion\":\"TLS1_");
        self.number(call.tls);
        self.put("\",");
        if call.ending != Ending::Challenge {
            self.key_properties();
        }
        if let (Op::SecretSet, Subject::Object(object)) = (call.ask.op, call.ask.subject) {
            self.put("\"secretProperties\":{\"type\":\"text/plain\",\"attributes\":{\"enabled\":true");
            let expires = self.company.object(object).expires;
            if expires > 0 {
                write!(self.line, ",\"exp\":{expires}").expect("a Vec takes every byte");
            }
            self.put("}},");
        }
    }

    /// The object's id, with the version that was returned where one was.
    fn id(&mut self) {
        let facts = self.call.ask.op.facts();
        self.put_all(&["\"id\":\"https://", &self.vault.name, ".vault.azure.net/", facts.collection, "/"]);
        self.put(self.object_name());
        let versioned = matches!(facts.suffix, "" | "/create" | "/restore") || facts.names == Names::Version;
        if versioned && self.call.ending == Ending::Fine && facts.collection != "deletedsecrets" {
            self.put_version();
        }
        self.put("\",");
    }

    fn request_uri(&mut self) {
        let (call, facts) = (self.call, self.call.ask.op.facts());
        let client = client_of(call.client);
        self.put_all(&[
            "\"requestUri\":\"https://",
            &self.vault.name,
            ".vault.azure.net",
            client.port,
            "/",
            facts.collection,
        ]);
        if facts.names == Names::Body {
            self.put(facts.suffix);
        } else if facts.names != Names::Collection {
            self.put("/");
            self.put(self.object_name());
            if facts.names == Names::Version {
                self.put_version();
            }
            self.put(facts.suffix);
        }
        if client.slash && facts.names == Names::Object {
            self.put("/");
        }
        self.put_all(&["?api-version=", client.api]);
        if let (Names::Collection, Subject::Page(page)) = (facts.names, call.ask.subject) {
            self.put("&maxresults=25");
            if page > 0 {
                write!(self.line, "&$skiptoken=eyJOZXh0TWFya2VyIjo{page}").expect("a Vec takes every byte");
            }
        }
        if client.stamps {
            write!(self.line, "&_={}", call.at / 1_000).expect("a Vec takes every byte");
        }
        self.put("\",");
    }

    /// One of the two flags that tell the vault's permission model: false on a refusal only.
    fn permission(&mut self) {
        let granted = !matches!(self.call.ending, Ending::Denied(_));
        let flag = if self.vault.rbac { "isRbacAuthorized" } else { "isAccessPolicyMatch" };
        self.put_all(&["\"", flag, "\":", if granted { "true," } else { "false," }]);
        if granted && self.vault.rbac {
            let assignment = &self.company.caller(self.call.caller).assignment;
            self.put_all(&["\"appliedAssignmentId\":\"", assignment, "\","]);
        }
    }

    fn network(&mut self) {
        let passed = self.call.ending != Ending::Denied(Refusal::Network);
        let subnet = &self.company.networks[usize::from(self.call.address.network)].subnet;
        let kind = match (self.call.client, subnet.is_empty()) {
            (client::PLATFORM, _) => "TrustedService",
            (_, true) => "PublicIP",
            (_, false) => "Subnet",
        };
        self.put_all(&["\"isAddressAuthorized\":", if passed { "true," } else { "false," }]);
        self.field("addrAuthType", kind);
        if !subnet.is_empty() {
            self.field("subnetId", subnet);
        }
        if kind == "TrustedService" {
            self.field("trustedService", "AppService");
        }
    }

    /// The control plane's properties: the vault as it stands.
    fn vault_properties(&mut self) {
        let vault = self.vault;
        self.put_all(&["\"id\":\"https://", &vault.name, ".vault.azure.net/\","]);
        self.field("clientInfo", client_of(client::ARM).agent);
        self.put_all(&[
            "\"requestUri\":\"https://control-prod-",
            vault.region,
            ".vaultcore.azure.net",
            &vault.resource_path,
        ]);
        self.put_all(&["?api-version=", client_of(client::ARM).api, "\","]);
        self.put_all(&[
            "\"properties\":{\"sku\":{\"Family\":\"A\",\"Name\":\"premium\"},\"tenantId\":\"",
            &self.company.tenant,
        ]);
        let detail = self.call.ask.detail;
        let on = |set: bool| if set { "true" } else { "false" };
        self.put("\",\"networkAcls\":{\"bypass\":\"AzureServices\",\"defaultAction\":\"");
        self.put_all(&[if detail == Detail::Opened { "Allow" } else { "Deny" }, "\"},\"enabledForDeployment\":false,"]);
        self.put_all(&["\"enabledForDiskEncryption\":false,\"enabledForTemplateDeployment\":"]);
        self.put_all(&[on(detail == Detail::Templates), ",\"enableSoftDelete\":true,"]);
        let unprotected = detail == Detail::Unprotected;
        self.put_all(&["\"softDeleteRetentionInDays\":", if unprotected { "7" } else { "90" }]);
        self.put_all(&[",\"enableRbacAuthorization\":", on(vault.rbac && detail != Detail::ByPolicies)]);
        self.put(if unprotected { "}," } else { ",\"enablePurgeProtection\":true}," });
        self.vault_change();
    }

    /// An Event Grid notification: nobody called.
    fn event_properties(&mut self) {
        let name = self.object_name();
        let exp = match self.call.ask.detail {
            Detail::Expires(at) => at,
            _ => self.call.at / SECOND + 30 * 86_400,
        };
        let kind = if self.call.ask.op == Op::CertificateNearExpiry { "Certificate" } else { "Secret" };
        self.id();
        self.put_all(&["\"eventGridEventProperties\":{\"subject\":\"", name, "\",\"data\":{\"ObjectName\":\"", name]);
        self.put_all(&["\",\"ObjectType\":\"", kind, "\",\"VaultName\":\"", &self.vault.name, "\",\"EXP\":"]);
        self.number(exp);
        self.put("}},");
    }
}

/// Year, month and day of a day since the epoch (Howard Hinnant's algorithm).
pub(super) fn civil(days: i64) -> (i64, u32, u32) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let shifted = (5 * doy + 2) / 153;
    let day = (doy - (153 * shifted + 2) / 5 + 1) as u32;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 } as u32;
    (yoe + era * 400 + i64::from(month <= 2), month, day)
}
