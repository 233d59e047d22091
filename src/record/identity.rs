//! `event_id`: 128 bits of what makes a record itself, the same on whichever route it came.
//!
//! BLAKE3 with the key context `kvaudit event v1`, cut to 16 bytes, over these inputs in this order, each with its
//! length (absent and empty are the same; absent and zero are not):
//!
//! 1. `time` as seconds and nanoseconds, so the seventh digit counts
//! 2. `category`, lower case
//! 3. `operationName`
//! 4. the digest of the resource id in lower case
//! 5. `correlationId`
//! 6. the caller's address as logged
//! 7. `httpStatusCode`
//! 8. `durationMs`: the number, and its text where that is no whole number
//! 9. the digest of the caller's object id and application id, lower case, and, where neither is known, the name
//! 10. `properties.id` and `requestUri`, each with its host in lower case; of a `requestUri` that begins with the id,
//!     what follows the id
//! 11. Event Grid notifications: subject and object name
//! 12. records with neither correlation id, `properties.id` nor `requestUri`: reason phrase, description, user agent;
//!     of exports the object's name and, without a resource id, the vault's, where these have columns of their own
//! 13. records of other categories than `AuditEvent`: the event data id with status and sub-status; where there is no
//!     event data id, `resultType`, reason phrase and `extra` in canonical form (sorted keys, no white space)
//!
//! A digest is the same hash over the texts in question; it is there because the texts are long and recur.
//!
//! What Log Analytics adds to a row (workspace, billed size, item id, table, …) never enters.
//!
//! Rows of AzureDiagnostics and AZKVAuditLogs have the identity of the raw record as long as they carry these fields.
//! Not so: exports that cut the time to milliseconds (the portal's CSV, Excel), queries that `project` some of these
//! columns away, rows whose columns beyond the five hundredth were dropped, and policy evaluations and Activity-log
//! records without event data id, whose columns differ from the raw record's fields. Such rows make events of their own.

use std::ops::Range;
use std::sync::LazyLock;

use super::object::after_scheme;

/// Hashing the context costs as much as a record, so it is done once.
static KEYED: LazyLock<blake3::Hasher> = LazyLock::new(|| blake3::Hasher::new_derive_key("kvaudit event v1"));

/// Length that stands for "absent".
const ABSENT: u32 = u32::MAX;

/// Set in the length of a text that goes on where the text before it ends.
const GOES_ON: u32 = 1 << 31;

/// 128 bits of a hash.
pub(super) type Digest = [u8; 16];

/// The digest of some texts, each of which may be absent.
pub(super) fn digest<const N: usize>(texts: [Option<&str>; N]) -> Digest {
    let mut inputs = Inputs::default();
    texts.into_iter().for_each(|text| inputs.text(text));
    inputs.finish()
}

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

    pub fn digest(&mut self, digest: &Digest) {
        self.bytes.extend_from_slice(digest);
    }

    /// An object's address and the request's, which mostly begins with it.
    pub fn addresses(&mut self, id: Option<&str>, uri: Option<&str>) {
        let (id, uri) = (self.address(id), self.address(uri));
        if !id.is_empty() && self.bytes[uri.clone()].starts_with(&self.bytes[id.clone()]) {
            self.bytes.drain(uri.start..uri.start + id.len());
            let left = u32::try_from(uri.len() - id.len()).unwrap_or(GOES_ON - 1);
            self.bytes[uri.start - 4..uri.start].copy_from_slice(&(GOES_ON | left).to_le_bytes());
        }
    }

    /// An address, whose scheme and host compare without case; where its bytes stand.
    fn address(&mut self, address: Option<&str>) -> Range<usize> {
        let start = self.bytes.len() + 4;
        self.text(address);
        let address = address.unwrap_or_default();
        if let Some(rest) = after_scheme(address) {
            let host = memchr::memchr3(b'/', b'?', b'#', rest.as_bytes()).unwrap_or(rest.len());
            let end = address.len() - rest.len() + host;
            self.bytes[start..start + end].make_ascii_lowercase();
        }
        start..self.bytes.len()
    }

    fn length(&mut self, length: Option<usize>) {
        let length = length.map_or(ABSENT, |n| u32::try_from(n).unwrap_or(ABSENT - 1));
        self.bytes.extend_from_slice(&length.to_le_bytes());
    }

    /// The identity.
    pub fn finish(&self) -> Digest {
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
        let address = |text: &str| {
            id(|i| {
                i.address(Some(text));
            })
        };
        assert_eq!(address("https://KV.vault.azure.net/secrets/A"), address("https://kv.Vault.azure.net/secrets/A"));
        assert_ne!(address("https://kv.vault.azure.net/secrets/A"), address("https://kv.vault.azure.net/secrets/a"));
        assert_eq!(address("HTTPS://KV"), address("https://kv"));
        let both = |a: &str, b: &str| id(|i| i.addresses(Some(a), Some(b)));
        assert_eq!(both("https://KV/a", "https://kv/a?x"), both("https://kv/a", "https://KV/a?x"));
        assert_ne!(both("https://kv/a", "https://kv/ab"), both("https://kv/a", "https://kv/a"));
        assert_ne!(both("https://kv/a", "b"), both("https://kv/a", "https://kv/ab"));
        assert_ne!(both("", "b"), both("b", "b"));
    }
}
