//! Records of others, and what a SIEM or a shipper wrapped (see [`super::super::wrapper`]).

use super::super::fields::{Fields, T};
use super::super::form::listed;
use super::super::scan::Scan;
use super::super::wrapper;
use super::Decoder;

/// How many wrappers may stand around a record.
const WRAPPERS: usize = 6;

impl Decoder {
    /// A record that is not Key Vault's: opens it if it wraps one, else counts it with what it is.
    pub(super) fn other(&mut self, fields: &Fields<'_>, text: &str, offset: u64) {
        let kind = kind(fields);
        if kind.is_none() && (self.table(text, offset) || self.unwrap(text, offset)) {
            return;
        }
        self.skipped += 1;
        match kind {
            Some(kind) => self.held.add(kind),
            None => {
                self.held.unknown += 1;
                self.held.keys.get_or_insert_with(|| keys(text));
            }
        }
    }

    /// Decodes what `text` wraps; false if it wraps nothing that is known, and then nothing has changed.
    #[cold]
    fn unwrap(&mut self, text: &str, offset: u64) -> bool {
        if self.wrapped == WRAPPERS {
            return false;
        }
        self.wrapped += 1;
        let opened = wrapper::inner(text).iter().any(|inner| self.opens(inner, text, offset));
        self.wrapped -= 1;
        opened
    }

    /// Decodes `inner` if it holds a record.
    fn opens(&mut self, inner: &str, text: &str, offset: u64) -> bool {
        let (start, rows, rejects, known) = (self.start, self.columns.row, self.rejects.len(), self.held.known());
        let (skipped, unknown, keys) = (self.skipped, self.held.unknown, self.held.keys.clone());
        self.rewritten(inner, text, offset);
        self.start = start;
        let found = rows != self.columns.row || rejects != self.rejects.len() || known != self.held.known();
        if !found {
            self.skipped = skipped;
            (self.held.unknown, self.held.keys) = (unknown, keys);
        }
        found
    }

    /// Decodes a record that is written as a JSON string; false if `raw` is none.
    pub(super) fn is_record_in_quotes(&mut self, raw: &str, offset: u64) -> bool {
        if !raw.starts_with('"') || self.wrapped == WRAPPERS {
            return false;
        }
        let Ok(text) = serde_json::from_str::<String>(raw) else { return false };
        if !wrapper::is_record_text(&text) {
            return false;
        }
        let start = self.start;
        self.wrapped += 1;
        self.rewritten(&text, raw, offset + start as u64);
        self.wrapped -= 1;
        self.start = start;
        true
    }
}

/// Whose record it is: the service of its resource, else its log. `None` for what is no log record.
fn kind<'f>(fields: &'f Fields<'_>) -> Option<&'f str> {
    if fields.metric {
        return Some("metrics");
    }
    let resource = fields.text(T::Resource).or(fields.text(T::ResourceAlt));
    let service = resource.and_then(|id| {
        const PROVIDERS: &str = "/providers/";
        let at = (0..id.len()).find(|at| {
            id.as_bytes()
                .get(*at..at + PROVIDERS.len())
                .is_some_and(|part| part.eq_ignore_ascii_case(PROVIDERS.as_bytes()))
        })?;
        id.get(at + PROVIDERS.len()..)?.split('/').next().filter(|name| !name.is_empty())
    });
    let log = || [T::Category, T::CategoryValue, T::Operation].into_iter().find_map(|field| fields.text(field));
    let export = || fields.text(T::Table).filter(|_| fields.exported);
    service.or_else(export).or_else(|| resource.and_then(|_| log()).or_else(|| fields.time.and_then(|_| log())))
}

/// The keys of an object, for a message.
fn keys(text: &str) -> String {
    let (mut scan, mut first, mut keys) = (Scan::new(text), true, Vec::new());
    if scan.open(b'{').is_ok() {
        while let Ok(Some(key)) = scan.key(&mut first) {
            keys.push(key.raw);
            if keys.len() > 8 || scan.skip().is_err() {
                break;
            }
        }
    }
    listed(keys)
}
