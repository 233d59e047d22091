//! Changes: what `Vault*` and key records tell beside the request, and the Activity log's own shape.

use std::io::Write as _;

use super::super::call::Ending;
use super::super::config::By;
use super::super::detail::Detail;
use super::super::operation::Op;
use super::Writer;

impl Writer<'_> {
    /// What a write to the vault adds or removes.
    pub(super) fn vault_change(&mut self) {
        match self.call.ask.detail {
            Detail::Policy { target, added, wide } => {
                let (company, target) = (self.company, self.company.caller(target));
                let field = if added { "addedAccessPolicy" } else { "removedAccessPolicy" };
                self.put_all(&["\"", field, "\":{\"TenantId\":\"", &company.tenant, "\",\"ObjectId\":\""]);
                self.put_all(&[&target.object_id, "\",\"Permissions\":{\"keys\":["]);
                self.put(if wide { "\"get\",\"list\",\"unwrapKey\",\"sign\"" } else { "" });
                self.put_all(&["],\"secrets\":[\"get\"", if wide { ",\"list\",\"backup\"" } else { "" }]);
                self.put("],\"certificates\":[]}},");
            }
            Detail::Passes(address) => {
                let address = address.text();
                self.put_all(&["\"addedIpRule\":{\"Value\":\"", &address, "/32\"},"]);
            }
            _ => {}
        }
    }

    /// Key Vault's notification that a vault's access policies changed.
    pub(super) fn vault_event(&mut self) {
        let name = &self.vault.name;
        self.put_all(&["\"id\":\"https://", name, ".vault.azure.net/\",\"eventGridEventProperties\":{\"subject\":\""]);
        self.put_all(&[name, "\",\"data\":{\"ObjectName\":\"", name, "\",\"ObjectType\":\"Vault\",\"VaultName\":\""]);
        self.put_all(&[name, "\"}},"]);
    }

    /// Type, size and permitted operations are logged on create and update only.
    pub(super) fn key_properties(&mut self) {
        let (op, detail) = (self.call.ask.op, self.call.ask.detail);
        if !matches!(op, Op::KeyCreate | Op::KeyUpdate) {
            return;
        }
        self.put("\"keyProperties\":{\"type\":\"RSA-HSM\",");
        if op == Op::KeyCreate {
            self.put("\"size\":4096,");
        }
        self.put("\"operations\":[");
        self.put(match detail {
            Detail::OnlyVerifies => "\"verify\"",
            _ => "\"encrypt\",\"decrypt\",\"sign\",\"verify\",\"wrapKey\",\"unwrapKey\"",
        });
        self.put_all(&[
            "],\"attributes\":{\"enabled\":",
            if detail == Detail::Enabled(false) { "false" } else { "true" },
        ]);
        self.put("}},");
    }

    /// A record of the Activity log as diagnostic settings export it.
    pub(super) fn activity(mut self) {
        let (call, facts) = (self.call, self.call.ask.op.facts());
        let begun = call.ending == Ending::Begun;
        self.time();
        self.put_all(&["\"resourceId\":\"", &self.vault.resource_id]);
        if !facts.collection.is_empty() {
            self.put_all(&["/", facts.collection, "/"]);
            let (high, low) = call.correlation;
            let own = super::uuid_text(high ^ 0x5bd1_e995, low).to_uppercase();
            let setting = call.ask.op == Op::DiagnosticsDelete;
            self.put(if setting { "SEND-TO-STORAGE" } else { &own });
        }
        self.put("\",");
        self.field("operationName", facts.name);
        self.put("\"category\":\"Administrative\",");
        self.field("resultType", if begun { "Start" } else { "Success" });
        self.field("resultSignature", if begun { "Started." } else { "Succeeded.OK" });
        self.put("\"durationMs\":\"");
        self.number(if begun { 0 } else { call.millis });
        self.put("\",");
        self.field("callerIpAddress", &call.address.text());
        self.field("correlationId", &super::uuid_text(call.correlation.0, call.correlation.1));
        self.authority();
        self.put("\"level\":\"Information\",\"location\":\"global\",\"properties\":{");
        if begun {
            self.request_body();
        } else {
            self.put("\"statusCode\":\"OK\",\"serviceRequestId\":null,");
        }
        self.field("message", facts.action);
        self.put_all(&["\"eventCategory\":\"Administrative\",\"hierarchy\":\"", &self.company.tenant, "\"}}\n"]);
    }

    /// Who did it, and the right that let it pass.
    fn authority(&mut self) {
        let caller = self.company.caller(self.call.caller);
        let app = self.app_id(caller);
        self.put_all(&["\"identity\":{\"authorization\":{\"scope\":\"", &self.vault.resource_path]);
        self.put_all(&["\",\"action\":\"", self.call.ask.op.facts().action]);
        self.put("\",\"evidence\":{\"role\":\"Owner\",\"roleAssignmentScope\":\"");
        self.put(self.vault.resource_path.split("/resourceGroups").next().unwrap_or_default());
        self.put_all(&["\",\"principalType\":\"", if caller.by == By::User { "User" } else { "ServicePrincipal" }]);
        self.put("\"}},\"claims\":{\"aud\":\"https://management.core.windows.net/\",");
        self.control_plane_claims(caller);
        let address = self.call.address.text();
        self.field("ipaddr", &address);
        self.put_all(&["\"appid\":\"", app, "\"}},"]);
    }

    /// A role assignment's body, JSON within JSON.
    fn request_body(&mut self) {
        let Detail::Role { target, role } = self.call.ask.detail else { return };
        let subscription = self.vault.resource_path.split("/resourceGroups").next().unwrap_or_default();
        let target = &self.company.caller(target).object_id;
        write!(
            self.line,
            "\"requestbody\":\"{{\\\"Properties\\\":{{\\\"PrincipalId\\\":\\\"{target}\\\",\\\"RoleDefinitionId\\\":\
             \\\"{subscription}/providers/Microsoft.Authorization/roleDefinitions/{}\\\"}}}}\",",
            role.id()
        )
        .expect("a Vec takes every byte");
    }
}
