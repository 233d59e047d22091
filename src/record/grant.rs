//! Who gains what by an access policy: out of the bodies of requests and answers that the Activity log carries as text,
//! often escaped more than once.

use serde_json::{Map, Value};

/// The longest body that is looked into, bytes. Azure cuts them at far less; the text stays in `extra` either way.
const LARGEST: usize = 1024 * 1024;

/// The most entries of a body that are read: Azure allows a vault no more access policies.
const ENTRIES: usize = 1024;

/// How deep texts and objects may lie within each other.
const DEPTH: usize = 24;

/// The longest id or permission that is believed.
const LONGEST: usize = 128;

/// What the access policies of one body name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Grants {
    /// Object ids in lower case.
    pub targets: Vec<String>,
    /// `secrets/get`, of all entries together.
    pub permissions: Vec<String>,
    /// Whether it is the body of an answer, which says less for certain than the request does.
    pub answer: bool,
}

/// The access policies in a body, where it has any.
pub(super) fn read(body: &str, answer: bool) -> Option<Grants> {
    let hints = ["ccessPolicies", "ccesspolicies", "CCESSPOLICIES"];
    let hinted = hints.iter().any(|hint| memchr::memmem::find(body.as_bytes(), hint.as_bytes()).is_some());
    if body.len() > LARGEST || !hinted {
        return None;
    }
    let mut grants = Grants { answer, ..Grants::default() };
    grants.search(&unescaped(body)?, DEPTH);
    (!grants.targets.is_empty()).then_some(grants)
}

/// The object or array that a text stands for: JSON, JSON as a JSON string, or JSON whose quotes are still escaped.
pub(super) fn unescaped(text: &str) -> Option<Value> {
    let mut text = std::borrow::Cow::Borrowed(text.trim());
    for _ in 0..DEPTH {
        match serde_json::from_str(&text) {
            Ok(Value::String(inner)) => text = std::borrow::Cow::Owned(inner.trim().to_owned()),
            Ok(value @ (Value::Object(_) | Value::Array(_))) => return Some(value),
            Err(_) if is_escaped(&text) => {
                let inner = serde_json::from_str::<String>(&format!("\"{text}\"")).ok()?;
                text = std::borrow::Cow::Owned(inner);
            }
            _ => return None,
        }
    }
    None
}

/// Whether a text's own quotes are escaped, since it was cut out of a JSON string.
pub(super) fn is_escaped(text: &str) -> bool {
    text.trim_start().bytes().take(3).any(|b| b == b'\\')
}

impl Grants {
    /// Looks for access policies at any depth.
    fn search(&mut self, value: &Value, depth: usize) {
        let Some(depth) = depth.checked_sub(1) else { return };
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    if key.eq_ignore_ascii_case("accessPolicies") {
                        self.entries(value, depth);
                    } else {
                        self.search(value, depth);
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.search(item, depth)),
            Value::String(text) if text.contains(['{', '[']) => {
                if let Some(value) = unescaped(text) {
                    self.search(&value, depth);
                }
            }
            _ => {}
        }
    }

    fn entries(&mut self, value: &Value, depth: usize) {
        let Some(depth) = depth.checked_sub(1) else { return };
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.entries(item, depth)),
            Value::Object(fields) => self.entry(fields),
            Value::String(text) => {
                if let Some(value) = unescaped(text) {
                    self.entries(&value, depth);
                }
            }
            _ => {}
        }
    }

    /// `{"objectId":…,"permissions":{"secrets":["get"],…}}`
    fn entry(&mut self, fields: &Map<String, Value>) {
        let Some(target) = get(fields, "objectId").and_then(Value::as_str).map(str::trim) else { return };
        if target.is_empty() || target.len() > LONGEST || target.contains(',') || self.targets.len() >= ENTRIES {
            return;
        }
        self.targets.push(target.to_ascii_lowercase());
        let read;
        let permissions = match get(fields, "permissions") {
            Some(Value::Object(kinds)) => kinds,
            Some(Value::String(text)) => match unescaped(text) {
                Some(Value::Object(kinds)) => {
                    read = kinds;
                    &read
                }
                _ => return,
            },
            _ => return,
        };
        for (kind, verbs) in permissions {
            self.permit(&kind.to_ascii_lowercase(), verbs);
        }
    }

    fn permit(&mut self, kind: &str, verbs: &Value) {
        if !matches!(kind, "keys" | "secrets" | "certificates" | "storage") {
            return;
        }
        match verbs {
            Value::Array(verbs) => verbs.iter().for_each(|verb| self.permit(kind, verb)),
            Value::String(verbs) => {
                for verb in verbs.split([',', ' ']).filter(|verb| !verb.is_empty() && verb.len() <= LONGEST) {
                    let permission = format!("{kind}/{}", verb.to_ascii_lowercase());
                    if self.permissions.len() < ENTRIES && !self.permissions.contains(&permission) {
                        self.permissions.push(permission);
                    }
                }
            }
            _ => {}
        }
    }
}

/// A field by its name in any letter case.
fn get<'v>(fields: &'v Map<String, Value>, name: &str) -> Option<&'v Value> {
    fields.get(name).or_else(|| fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use serde_json::json;

    fn body() -> Value {
        json!({"properties": {"accessPolicies": [
            {"tenantId": "t", "objectId": "AAA-1", "permissions": {"secrets": ["Get", "list"], "keys": []}},
            {"tenantId": "t", "objectId": "bbb-2", "permissions": {"certificates": "get, import"}},
        ]}})
    }

    fn expected() -> Grants {
        Grants {
            targets: vec!["aaa-1".into(), "bbb-2".into()],
            permissions: ["secrets/get", "secrets/list", "certificates/get", "certificates/import"]
                .map(String::from)
                .into(),
            answer: false,
        }
    }

    fn in_quotes(text: &str) -> String {
        Value::String(text.to_owned()).to_string()
    }

    #[test]
    fn entries_are_found_however_often_the_text_is_escaped() {
        let mut text = body().to_string();
        for level in 0..4 {
            let mut found = read(&text, false).unwrap();
            // An object's keys come sorted.
            found.permissions.sort_by_key(|p| !p.starts_with("secrets"));
            assert_eq!(found, expected(), "{level} {text}");
            let quoted = in_quotes(&text);
            assert_eq!(read(&quoted[1..quoted.len() - 1], true).unwrap().targets, expected().targets, "{level}");
            let wrapped = json!({"value": [{"responseBody": text}]}).to_string();
            assert_eq!(read(&wrapped, true).unwrap().targets, expected().targets, "{level}");
            text = quoted;
        }
    }

    #[test]
    fn what_has_no_entry_names_nobody() {
        for text in [
            "",
            "null",
            "accessPolicies",
            r#"{"properties":{"accessPolicies":[]}}"#,
            r#"{"properties":{"accessPolicies":[{"objectId":""}]}}"#,
            r#"{"properties":{"accessPolicies":[{"objectId":7}]}}"#,
            r#"{"properties":{"accessPolicies":"#,
            r#"{"properties":{"principalId":"x"}}"#,
        ] {
            assert_eq!(read(text, false), None, "{text}");
        }
    }

    #[test]
    fn lists_are_bounded() {
        let entry = |n: usize| json!({"objectId": format!("o{n}"), "permissions": {"keys": [format!("p{n}")]}});
        let many = json!({"accessPolicies": (0..ENTRIES + 50).map(entry).collect::<Vec<_>>()}).to_string();
        let found = read(&many, false).unwrap();
        assert_eq!((found.targets.len(), found.permissions.len()), (ENTRIES, ENTRIES));
        let large = format!("{{\"accessPolicies\":[{{\"objectId\":\"{}\"}}]}}", "x".repeat(LARGEST));
        assert_eq!(read(&large, false), None);
        let deep = format!("{{\"accessPolicies\":{}{}}}", "[".repeat(100), "]".repeat(100));
        assert_eq!(read(&deep, false), None);
    }

    proptest::proptest! {
        #[test]
        fn no_body_panics(text in "[\\[\\]{}\":,\\\\a-c ]{0,40}") {
            read(&format!("{{\"accessPolicies\":{text}}}"), false);
            read(&format!("accessPolicies{text}"), false);
            unescaped(&text);
        }
    }
}
