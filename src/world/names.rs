//! The caller's name beside its id, in every finding: as the directory file has it, else as the logs do.

use std::collections::HashMap;

use super::World;
use crate::alert::{Finding, Value};

/// Names by object id or application id.
#[derive(Debug, Clone, Default)]
pub struct Names(HashMap<String, String>);

impl World {
    /// The names that the directory file gives, and those of Microsoft's own services.
    pub fn names(&self) -> Names {
        let named = self.with_services().into_iter().filter_map(|p| Some((p.principal_id, p.name?)));
        Names(named.collect())
    }
}

impl Names {
    /// The name of an object id or application id.
    pub fn of(&self, id: &str) -> Option<&str> {
        let known = self.0.get(id).or_else(|| self.0.get(&id.to_lowercase()));
        known.map(String::as_str)
    }

    /// Puts names into a finding's entities and its sentence. Key, identity and evidence stay as they are.
    pub fn put(&self, finding: &mut Finding) {
        if self.0.is_empty() {
            return;
        }
        match finding.entities.get("principal_id").cloned() {
            Some(Value::String(id)) => self.put_one(finding, &id),
            Some(Value::Array(ids)) => self.put_many(finding, &ids),
            _ => {}
        }
        finding.summary = self.with_names(&finding.summary);
    }

    fn put_one(&self, finding: &mut Finding, id: &str) {
        let text = |name: &str| finding.entities.get(name).and_then(Value::as_str);
        // A user is not the application that the user runs.
        let app = text("app_id").filter(|_| text("principal_type") != Some("user"));
        // Applications that people run are in no directory by their own id: only services are found by the second.
        let Some(name) = self.of(id).or_else(|| self.of(app?)).map(str::to_owned) else { return };
        let logged = finding.entities.get("principal_name").and_then(Value::as_str).map(str::to_owned);
        for old in [logged.as_deref(), Some(id)].into_iter().flatten().filter(|old| *old != name) {
            finding.summary = replace_word(&finding.summary, old, &name);
        }
        finding.entities.insert("principal_name".to_owned(), name.into());
    }

    /// Lists of ids and of names have orders of their own: names of the logs stay unless the directory knows everybody.
    fn put_many(&self, finding: &mut Finding, ids: &[Value]) {
        let names: Vec<Value> =
            ids.iter().filter_map(|id| self.of(id.as_str()?)).map(|name| Value::from(name.to_owned())).collect();
        let logged = finding.entities.contains_key("principal_name");
        if !names.is_empty() && (!logged || names.len() == ids.len()) {
            finding.entities.insert("principal_name".to_owned(), Value::Array(names));
        }
    }

    /// A sentence with names in place of the GUIDs that have one.
    fn with_names(&self, sentence: &str) -> String {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let mut named = String::with_capacity(sentence.len());
        let mut rest = sentence;
        while let Some(start) = rest.find(is_part) {
            let (before, word) = rest.split_at(start);
            let (word, after) = word.split_at(word.find(|c| !is_part(c)).unwrap_or(word.len()));
            named.push_str(before);
            named.push_str(if word.len() == 36 { self.of(word).unwrap_or(word) } else { word });
            rest = after;
        }
        named + rest
    }
}

/// `text` with `to` in place of `from`, wherever `from` is no part of a longer word.
fn replace_word(text: &str, from: &str, to: &str) -> String {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '@');
    let (mut replaced, mut copied) = (String::with_capacity(text.len()), 0);
    for (at, found) in text.match_indices(from).filter(|(_, found)| !found.is_empty()) {
        let (before, mut after) = (text[..at].chars().next_back(), text[at + found.len()..].chars());
        let follows = match after.next() {
            // A full stop ends a sentence, unless something goes on right behind it.
            Some('.') => after.next().is_some_and(is_part),
            next => next.is_some_and(is_part),
        };
        if at < copied || before.is_some_and(|c| is_part(c) || c == '.') || follows {
            continue;
        }
        replaced.push_str(&text[copied..at]);
        replaced.push_str(to);
        copied = at + found.len();
    }
    replaced + &text[copied..]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::super::Principal;
    use super::*;
    use crate::alert::Severity;

    const BILLING: &str = "fab66c9e-8c30-4020-b71c-902704204759";
    const ANNA: &str = "1ab66c9e-8c30-4020-b71c-902704204759";

    fn names() -> Names {
        let of = |id: &str, name: &str| Principal {
            principal_id: id.to_owned(),
            name: Some(name.to_owned()),
            ..Principal::default()
        };
        World { principals: vec![of(BILLING, "billing-api"), of(ANNA, "Anna")], ..World::default() }.names()
    }

    fn named(entities: Value, summary: &str) -> (Value, String) {
        let entities: BTreeMap<String, Value> = serde_json::from_value(entities).unwrap();
        let mut finding = Finding {
            finding_id: String::new(),
            rule_id: "r".to_owned(),
            key: vec![("principal_id".to_owned(), BILLING.to_owned())],
            window_start: 0,
            window_end: 1,
            observed: 1.0,
            expected: 0.0,
            p_value: None,
            severity: Severity::Low,
            summary: summary.to_owned(),
            event_count: None,
            entities,
            evidence: BTreeMap::new(),
        };
        names().put(&mut finding);
        (finding.entities.get("principal_name").cloned().unwrap_or(Value::Null), finding.summary)
    }

    #[test]
    fn the_directory_knows_better_than_the_logs() {
        for (entities, summary, name, sentence) in [
            (
                json!({"principal_id": BILLING}),
                format!("{BILLING} read 9."),
                json!("billing-api"),
                "billing-api read 9.",
            ),
            (
                json!({"principal_id": ANNA, "principal_name": "a.l@x.com"}),
                "a.l@x.com read from ba.l@x.com.au; so a.l@x.com.".to_owned(),
                json!("Anna"),
                "Anna read from ba.l@x.com.au; so Anna.",
            ),
            (json!({"principal_id": "zz", "principal_name": "log"}), "log read".to_owned(), json!("log"), "log read"),
            (
                json!({"principal_id": "zz", "app_id": "509e4652-da8d-478d-a730-e9d4a1996ca4"}),
                "zz read".to_owned(),
                json!("Azure Resource Graph"),
                "Azure Resource Graph read",
            ),
            // The CLI is no caller: who runs it is.
            (
                json!({"principal_id": "zz", "app_id": "04b07795-8ddb-461a-bbee-02f9e1bf7b46"}),
                "zz read".to_owned(),
                Value::Null,
                "zz read",
            ),
            (json!({"principal_id": [BILLING, "zz"]}), "two".to_owned(), json!(["billing-api"]), "two"),
            (
                json!({"principal_id": [BILLING, "zz"], "principal_name": ["log"]}),
                "two".to_owned(),
                json!(["log"]),
                "two",
            ),
            (json!({}), format!("vault x: {BILLING}, {ANNA}."), Value::Null, "vault x: billing-api, Anna."),
        ] {
            assert_eq!(named(entities.clone(), &summary), (name, sentence.to_owned()), "{entities}");
        }
    }

    #[test]
    fn only_whole_words_are_replaced() {
        for (text, expected) in [
            ("app and app.", "X and X."),
            ("the application app-1 app@x my-app", "the application app-1 app@x my-app"),
            ("app's app, (app) app.x", "X's X, (X) app.x"),
            ("", ""),
        ] {
            assert_eq!(replace_word(text, "app", "X"), expected, "{text}");
        }
        assert_eq!(replace_word("ünï app ß", "app", "ä"), "ünï ä ß");
        assert_eq!(replace_word("aaa", "", "X"), "aaa");
    }
}
