//! `event_id`: 128 bits of what makes a record itself, the same on whichever route it came.
//!
//! BLAKE3 with the key context `kvaudit event v1`, cut to 16 bytes, over these inputs in this order, each with its
//! length (absent and empty are the same; absent and zero are not):
//!
//! 1. `time` as seconds and nanoseconds, so the seventh digit counts
//! 2. `category`, lower case
//! 3. `operationName`
//! 4. the resource id, lower case
//! 5. `correlationId`
//! 6. the caller's address as logged
//! 7. `httpStatusCode`
//! 8. `durationMs`: the number, and its text where that is no whole number
//! 9. the caller's object id and application id, lower case; where neither is known, the user name
//! 10. `properties.id` and `requestUri`, each with its host in lower case
//! 11. Event Grid notifications: subject and object name
//! 12. records with neither correlation id, `properties.id` nor `requestUri`: reason phrase, description, user agent
//! 13. records of other categories than `AuditEvent`: the event data id with status and sub-status; where there is no
//!     event data id, `resultType`, reason phrase and `extra` in canonical form (sorted keys, no white space)
//!
//! What Log Analytics adds to a row (workspace, billed size, item id, table, …) never enters.
//!
//! Rows of AzureDiagnostics and AZKVAuditLogs have the identity of the raw record as long as they carry these fields.
//! Not so: exports that cut the time to milliseconds (the portal's CSV, Excel), queries that `project` some of these
//! columns away, rows whose columns beyond the five hundredth were dropped, and policy evaluations and Activity-log
//! records without event data id, whose columns differ from the raw record's fields. Such rows make events of their own.

use std::sync::LazyLock;

use super::object::after_scheme;

/// Hashing the context costs as much as a record, so it is done once.
static KEYED: LazyLock<blake3::Hasher> = LazyLock::new(|| blake3::Hasher::new_derive_key("kvaudit event v1"));

/// Length that stands for "absent".
const ABSENT: u32 = u32::MAX;

/// Gathers the inputs of one identity; reused from record to record.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    bytes: Vec<u8>,
}

impl Inputs {
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    pub fn text(&mut self, text: Option<&str>) {
        let text = text.filter(|text| !text.is_empty());
        self.length(text.map(str::len));
        self.bytes.extend_from_slice(text.unwrap_or_default().as_bytes());
    }

    pub fn lower(&mut self, text: Option<&str>) {
        let start = self.bytes.len();
        self.text(text);
        self.bytes[start + 4..].make_ascii_lowercase();
    }

    pub fn number(&mut self, number: Option<i64>) {
        self.length(number.map(|_| 8));
        self.bytes.extend_from_slice(&number.unwrap_or_default().to_le_bytes());
    }

    /// An address, whose scheme and host compare without case.
    pub fn address(&mut self, address: Option<&str>) {
        let start = self.bytes.len() + 4;
        self.text(address);
        let address = address.unwrap_or_default();
        if let Some(rest) = after_scheme(address) {
            let host = memchr::memchr3(b'/', b'?', b'#', rest.as_bytes()).unwrap_or(rest.len());
            let end = address.len() - rest.len() + host;
            self.bytes[start..start + end].make_ascii_lowercase();
        }
    }

    fn length(&mut self, length: Option<usize>) {
        let length = length.map_or(ABSENT, |n| u32::try_from(n).unwrap_or(ABSENT - 1));
        self.bytes.extend_from_slice(&length.to_le_bytes());
    }

    /// The identity.
    pub fn finish(&self) -> [u8; 16] {
        let mut id = [0; 16];
        let hash = KEYED.clone().update(&self.bytes).finalize();
        id.copy_from_slice(&hash.as_bytes()[..16]);
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(fill: impl Fn(&mut Inputs)) -> [u8; 16] {
        let mut inputs = Inputs::default();
        fill(&mut inputs);
        inputs.finish()
    }

    #[test]
    fn inputs_do_not_run_into_each_other() {
        let ab_c = id(|i| (i.text(Some("ab")), i.text(Some("c"))).1);
        let a_bc = id(|i| (i.text(Some("a")), i.text(Some("bc"))).1);
        assert_ne!(ab_c, a_bc);
        assert_ne!(id(|i| i.number(None)), id(|i| i.number(Some(0))));
        assert_eq!(id(|i| i.text(None)), id(|i| i.text(Some(""))));
    }

    #[test]
    fn only_the_host_of_an_address_compares_without_case() {
        let address = |text: &str| id(|i| i.address(Some(text)));
        assert_eq!(address("https://KV.vault.azure.net/secrets/A"), address("https://kv.Vault.azure.net/secrets/A"));
        assert_ne!(address("https://kv.vault.azure.net/secrets/A"), address("https://kv.vault.azure.net/secrets/a"));
        assert_eq!(address("HTTPS://KV"), address("https://kv"));
    }
}
