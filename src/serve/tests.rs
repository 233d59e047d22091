//! Every route, as a client sees it. The guard and the accept loop have tests of their own beside them.

use std::collections::BTreeSet;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::alert::{Finding, Severity};
use crate::state::testing::{HOUR, finding, record, rule, state};
use crate::state::{NewSuppression, RuleInfo};

/// Noon of the fifth day after the epoch: what the clock of tests says.
const NOW: i64 = 4 * 24 + 12;

pub(super) fn app(state: State) -> AppState {
    let clock = Arc::new(|| DateTime::from_timestamp_micros(NOW * HOUR).unwrap());
    AppState { state, clock, listen: "127.0.0.1:8474".parse().unwrap() }
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    fn error(&self) -> (u16, String) {
        let message = self.json()["error"]["message"].as_str().unwrap().to_owned();
        (self.status.as_u16(), message)
    }
}

async fn send(state: &State, method: Method, target: &str, headers: &[(&str, &str)], body: Body) -> Answer {
    let mut request = Request::builder().method(method).uri(target).header("host", "127.0.0.1:8474");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = router(app(state.clone())).oneshot(request.body(body).unwrap()).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let body = to_bytes(response.into_body(), 10_000_000).await.unwrap();
    Answer { status, headers, text: String::from_utf8(body.to_vec()).unwrap() }
}

async fn get(state: &State, target: &str) -> Answer {
    send(state, Method::GET, target, &[], Body::empty()).await
}

/// ann: medium, day 1, kv-a. bob: high, day 2, kv-a and kv-b. eve: critical, day 4, of another rule.
fn three() -> (tempfile::TempDir, State) {
    let (dir, state) = state();
    let mut ann = finding("ann", 24);
    ann.entities.insert("vault_name".into(), json!("kv-a"));
    let mut bob = finding("bob", 48);
    bob.severity = Severity::High;
    bob.entities.insert("vault_name".into(), json!(["kv-a", "kv-b"]));
    record(&state, &rule(0), (0, 100), &[ann, bob]);
    let mut eve = finding("eve", 96);
    (eve.rule_id, eve.severity) = ("denied_spike".into(), Severity::Critical);
    record(&state, &RuleInfo { rule_id: "denied_spike".into(), ..rule(0) }, (0, 100), &[eve]);
    (dir, state)
}

async fn callers(state: &State, query: &str) -> String {
    let answer = get(state, &format!("/api/v1/alerts{query}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{query}: {}", answer.text);
    let object = answer.json();
    let alerts = object["alerts"].as_array().unwrap();
    assert_eq!(object["total"], alerts.len(), "{query}");
    let names: Vec<&str> = alerts.iter().map(|a| a["entities"]["principal_id"].as_str().unwrap()).collect();
    names.join(" ")
}

#[tokio::test]
async fn the_list_filters_by_every_parameter() {
    let (_dir, state) = three();
    for (query, expected) in [
        ("", "eve bob ann"),
        ("?severity=high", "bob"),
        ("?severity=high,medium", "bob ann"),
        ("?severity=high&severity=CRITICAL", "eve bob"),
        ("?min_severity=high", "eve bob"),
        ("?rule=denied_spike", "eve"),
        ("?caller=bob", "bob"),
        ("?vault=KV-A", "bob ann"),
        ("?from=48h", "eve"),
        ("?since=4d", "eve bob ann"),
        ("?until=1970-01-03", "bob ann"),
        ("?from=1970-01-02T00:00:00Z&to=1970-01-03T00:00:00Z", "bob"),
        ("?from=1970-01-02T01:00:00+01:00&to=1970-01-03T00:00:00Z", "bob"),
        ("?state=closed", ""),
        ("?state=open,acknowledged&vault=kv-b", "bob"),
        ("?suppressed=true&limit=500", "eve bob ann"),
        ("?caller=%27%20OR%201%3D1%20--", ""),
    ] {
        assert_eq!(callers(&state, query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn what_the_list_does_not_know_is_refused_by_name() {
    let (_dir, state) = three();
    for (query, word) in [
        ("?severty=high", "'severty'; allowed are severity"),
        ("?severity=urgent", "'urgent'"),
        ("?severity=", "severity is empty"),
        ("?state=new", "'new'"),
        ("?limit=0", "1 to 500"),
        ("?limit=501", "1 to 500"),
        ("?limit=ten", "1 to 500"),
        ("?from=yesterday", "'yesterday'"),
        ("?from=99999999999999999999d", "no time"),
        ("?from=9999999999999d", "no time"),
        ("?from=1h&to=2h", "before"),
        ("?rule=a&rule=b", "twice"),
        ("?from=1h&since=2h", "twice"),
        ("?suppressed=yes", "true"),
        ("?cursor=abc", "cursor"),
        ("?cursor=1t.1.2.3.4", "cursor"),
    ] {
        let answer = get(&state, &format!("/api/v1/alerts{query}")).await;
        let (status, message) = answer.error();
        assert!(status == 400 && message.contains(word), "{query}: {status} {message}");
        // The page takes the same parameters and refuses the same ones, as a page.
        let page = get(&state, &format!("/{query}")).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST);
        assert!(page.text.starts_with("<!DOCTYPE html>"));
    }
}

#[tokio::test]
async fn suppressed_and_withdrawn_alerts_are_shown_when_asked_for() {
    let (_dir, state) = three();
    let suppression = NewSuppression {
        principal_id: Some("eve".into()),
        reason: "a test".into(),
        author: "me".into(),
        expires_at: Some((NOW + 1) * HOUR),
        ..NewSuppression::default()
    };
    state.suppress(&suppression, 0).unwrap();
    record(&state, &rule(0), (47, 48), &[]);
    assert_eq!(callers(&state, "").await, "ann");
    assert_eq!(callers(&state, "?suppressed=true").await, "eve ann");
    assert_eq!(callers(&state, "?state=withdrawn").await, "bob");
}

#[tokio::test]
async fn one_alert_by_its_id_and_404_for_any_other() {
    let (_dir, state) = three();
    let list = get(&state, "/api/v1/alerts?caller=bob").await.json();
    let id = list["alerts"][0]["alert_id"].as_str().unwrap();
    for id in [id, &id[..10]] {
        let answer = get(&state, &format!("/api/v1/alerts/{id}")).await;
        assert_eq!((answer.status, answer.json()), (StatusCode::OK, list["alerts"][0].clone()));
        assert_eq!(get(&state, &format!("/alerts/{id}")).await.status, StatusCode::OK);
    }
    for id in ["00000000000000000000000000000000", "abc", "%27%3B--", "%FF", "..%2f..", &"f".repeat(5000)] {
        let answer = get(&state, &format!("/api/v1/alerts/{id}")).await;
        assert_eq!(answer.error().0, 404, "{id}");
        assert_eq!(answer.json()["error"]["code"], "not_found");
        let page = get(&state, &format!("/alerts/{id}")).await;
        assert_eq!(page.status, StatusCode::NOT_FOUND);
        assert!(page.text.starts_with("<!DOCTYPE html>"));
    }
}

#[tokio::test]
async fn incidents_list_filter_and_show_their_alerts() {
    let (_dir, state) = three();
    state.correlate(0).unwrap();
    let callers = async |query: &str| {
        let answer = get(&state, &format!("/api/v1/incidents{query}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{query}: {}", answer.text);
        let object = answer.json();
        let incidents = object["incidents"].as_array().unwrap();
        assert_eq!(object["total"], incidents.len(), "{query}");
        let names = incidents.iter().map(|i| i["entities"]["principal_id"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>().join(" ")
    };
    for (query, expected) in [
        ("", "eve bob ann"),
        ("?severity=high,medium", "bob ann"),
        ("?min_severity=critical", "eve"),
        ("?rule=denied_spike", "eve"),
        ("?caller=bob", "bob"),
        ("?vault=kv-a&state=open", "bob ann"),
        ("?state=closed", ""),
        ("?from=24h", "eve"),
    ] {
        assert_eq!(callers(query).await, expected, "{query}");
    }
    for (query, word) in [("?suppressed=true", "suppressed"), ("?colour=red", "'colour'"), ("?cursor=abc", "cursor")] {
        let (status, message) = get(&state, &format!("/api/v1/incidents{query}")).await.error();
        assert!(status == 400 && message.contains(word), "{query}: {status} {message}");
    }
    let list = get(&state, "/api/v1/incidents?caller=bob").await.json();
    let id = list["incidents"][0]["incident_id"].as_str().unwrap();
    let one = get(&state, &format!("/api/v1/incidents/{}", &id[..8])).await.json();
    assert_eq!(one["incident_id"], id);
    assert_eq!(one["alerts"][0]["incident_id"], id);
    let page = get(&state, &format!("/incidents/{id}")).await;
    assert!(page.status == StatusCode::OK && page.text.contains("bob read 40 secrets"), "{}", page.text);
    assert!(get(&state, "/").await.text.contains(&format!("href=\"/incidents/{id}\"")), "the list leads to it");
    for id in ["00000000000000000000000000000000", "abc"] {
        assert_eq!(get(&state, &format!("/api/v1/incidents/{id}")).await.error().0, 404);
        assert_eq!(get(&state, &format!("/incidents/{id}")).await.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn health_and_readiness_say_so_in_json() {
    let (_dir, state) = three();
    for (path, status) in [("/healthz", "ok"), ("/readyz", "ready")] {
        let answer = get(&state, path).await;
        assert_eq!((answer.status, answer.json()), (StatusCode::OK, json!({ "status": status })));
    }
}

#[tokio::test]
async fn unknown_routes_and_methods_are_errors_in_the_form_of_their_place() {
    let (_dir, state) = three();
    for (method, path, status) in [
        (Method::GET, "/api", 404),
        (Method::GET, "/api/v1", 404),
        (Method::GET, "/api/v2/alerts", 404),
        (Method::GET, "/api/v1/alerts/", 404),
        (Method::POST, "/api/v1/alerts", 405),
        (Method::DELETE, "/api/v1/alerts/abcdef", 405),
        (Method::OPTIONS, "/api/v1/alerts", 405),
        (Method::GET, "/nothing", 404),
        (Method::GET, "/alerts/a/b", 404),
        (Method::POST, "/", 405),
    ] {
        let answer = send(&state, method.clone(), path, &[], Body::empty()).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path}");
        assert_eq!(answer.headers.contains_key(header::ALLOW), status == 405, "{method} {path}");
        if path.starts_with("/api") {
            assert_eq!(answer.error().0, status);
        } else {
            assert!(answer.text.starts_with("<!DOCTYPE html>"), "{path}");
        }
    }
    let big = Body::from(vec![b'x'; MAX_BODY + 1]);
    let length = (MAX_BODY + 1).to_string();
    let answer = send(&state, Method::POST, "/api/v1/alerts", &[("content-length", &length)], big).await;
    assert_eq!(answer.error().0, 413);
}

#[tokio::test]
async fn every_answer_carries_the_strict_headers() {
    let (_dir, state) = three();
    for (target, host) in [
        ("/", "localhost"),
        ("/style.css", "localhost"),
        ("/healthz", "localhost"),
        ("/api/v1/alerts", "localhost"),
        ("/api/v1/nothing", "localhost"),
        ("/", "evil.example"),
    ] {
        let request = Request::builder().uri(target).header("host", host).body(Body::empty()).unwrap();
        let response = router(app(state.clone())).oneshot(request).await.unwrap();
        let header = |name: &str| response.headers()[name].to_str().unwrap();
        assert!(header("content-security-policy").starts_with("default-src 'none'; style-src 'self';"), "{target}");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("referrer-policy"), "no-referrer");
        assert_eq!(header("cache-control"), "no-store");
        assert!(!response.headers().contains_key("access-control-allow-origin"));
    }
}

#[tokio::test]
async fn paging_shows_a_thousand_alerts_once_while_others_come_in() {
    let (_dir, state) = state();
    let there: Vec<Finding> = (0..1000).map(|i| finding(&format!("there-{i}"), 1 + i % 50)).collect();
    record(&state, &rule(0), (0, 100), &there);
    let mut seen: Vec<String> = Vec::new();
    let mut target = "/api/v1/alerts?limit=130".to_owned();
    for page in 0.. {
        let answer = get(&state, &target).await.json();
        let names = answer["alerts"].as_array().unwrap().iter();
        seen.extend(names.map(|a| a["entities"]["principal_id"].as_str().unwrap().to_owned()));
        let other = RuleInfo { rule_id: format!("rule_{page}"), ..rule(0) };
        let mut late = finding("late", 1 + 7 * page);
        late.rule_id = other.rule_id.clone();
        record(&state, &other, (0, 100), &[late]);
        match answer["next_cursor"].as_str() {
            Some(cursor) => target = format!("/api/v1/alerts?limit=130&cursor={cursor}"),
            None => break,
        }
    }
    let there: Vec<&String> = seen.iter().filter(|name| name.starts_with("there")).collect();
    assert_eq!((there.len(), there.iter().collect::<BTreeSet<_>>().len()), (1000, 1000));
}

#[tokio::test]
async fn the_page_leads_from_filter_to_filter_and_page_to_page() {
    let (_dir, state) = state();
    let many: Vec<Finding> = (0..120).map(|i| finding(&format!("caller & co {i}"), 1 + i % 50)).collect();
    record(&state, &rule(0), (0, 100), &many);
    let page = get(&state, "/?severity=medium&rule=test_rule").await;
    assert!(page.text.contains("120 alerts to look at: 120 medium."), "{}", page.text);
    assert_eq!(page.text.matches("<td class=\"severity\"").count(), 50);
    assert!(page.text.contains("href=\"/?caller=caller+%26+co+"), "a caller leads to its alerts");
    assert!(page.text.contains("href=\"/?severity=medium\""), "the rule can be taken off");
    let next = page.text.split("rel=\"next\" href=\"").nth(1).unwrap().split('"').next().unwrap().replace("&amp;", "&");
    assert!(next.contains("severity=medium") && next.contains("rule=test_rule"), "{next}");
    let second = get(&state, &next).await;
    assert_eq!(second.text.matches("<td class=\"severity\"").count(), 50);
    assert!(!second.text.contains("<script"), "the page works without scripts");
    assert!(get(&state, "/?caller=nobody").await.text.contains("No alert fits."));
}

/// An alert whose every text is hostile.
fn hostile(state: &State, text: &str) {
    let rule = RuleInfo { rule_id: text.into(), title: text.into(), techniques: vec![text.into()], ..rule(HOUR) };
    let mut f = finding(text, 1);
    (f.rule_id, f.summary) = (text.into(), text.into());
    for name in crate::alert::ENTITY_COLUMNS {
        f.entities.insert(name.into(), json!(text));
    }
    f.entities.insert("vault_name".into(), json!([text, text]));
    f.evidence.insert(text.into(), json!(text));
    f.evidence.insert("nested".into(), json!({ text: [text] }));
    let id = state.record(&rule, (0, 10 * HOUR), &[f], 0).unwrap().opened.remove(0);
    state.acknowledge(&id, text, text, 0).unwrap();
}

#[tokio::test]
async fn hostile_values_reach_json_exactly_and_the_page_as_text() {
    for text in [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "' onmouseover='alert(1)",
        "</title></pre></code><b>",
        "a\r\nSet-Cookie: x=1",
        "gpj.\u{202e}exe\u{2066}\u{200b}",
        "javascript:alert(1)",
        "&lt;b&gt; &amp; \u{0} \u{1b}[31m",
    ] {
        let (_dir, state) = state();
        hostile(&state, text);
        let alert = get(&state, "/api/v1/alerts").await.json()["alerts"][0].clone();
        assert_eq!((&alert["summary"], &alert["entities"]["principal_id"]), (&json!(text), &json!(text)));
        assert_eq!(alert["evidence"][text], text);
        let id = alert["alert_id"].as_str().unwrap();
        state.correlate(0).unwrap();
        let incident = get(&state, "/api/v1/incidents").await.json()["incidents"][0].clone();
        assert_eq!((&incident["title"], &incident["entities"]["principal_id"]), (&json!(text), &json!(text)));
        let incident = incident["incident_id"].as_str().unwrap().to_owned();
        for target in ["/".to_owned(), format!("/alerts/{id}"), format!("/incidents/{incident}")] {
            let page = get(&state, &target).await;
            assert_eq!(page.status, StatusCode::OK);
            check_markup(&page.text, text);
        }
    }
}

/// The page holds no tag, attribute or character that only the hostile text can have brought.
fn check_markup(page: &str, text: &str) {
    for tag in ["<script", "<img", "<b>", "onerror=alert", "href=\"javascript", "href='"] {
        let inside_a_tag = page.split('<').skip(1).filter_map(|part| part.split('>').next());
        assert!(inside_a_tag.clone().all(|inside| !format!("<{inside}>").contains(tag)), "{tag} of {text:?} in {page}");
        assert!(!tag.starts_with('<') || !page.contains(tag), "{tag} of {text:?}");
    }
    let attributes = page.split('<').skip(1).filter_map(|part| part.split('>').next()).collect::<String>();
    assert!(!attributes.contains(" onmouseover="), "{text:?}");
    for c in ['\u{202e}', '\u{2066}', '\u{200b}', '\u{0}', '\u{1b}', '\r'] {
        assert!(!page.contains(c), "{c:?} of {text:?}");
    }
}

/// Writes the pages to the folder that KVAUDIT_PAGES names, for a look at them in a browser; else checks that they
/// are made at all.
#[tokio::test]
async fn the_pages_of_a_small_company_are_made() {
    let (_dir, state) = state();
    super::samples::record(&state);
    let folder = std::env::var_os("KVAUDIT_PAGES").map(std::path::PathBuf::from);
    let first = get(&state, "/api/v1/alerts?severity=critical").await.json();
    let id = first["alerts"][0]["alert_id"].as_str().unwrap().to_owned();
    let pages = [("list", "/".to_owned()), ("alert", format!("/alerts/{id}")), ("none", "/alerts/ffffffff".to_owned())];
    for (name, target) in pages {
        let page = get(&state, &target).await;
        assert!(page.text.starts_with("<!DOCTYPE html>"));
        if let Some(folder) = &folder {
            let text = page.text.replace("href=\"/style.css\"", "href=\"style.css\"");
            std::fs::write(folder.join(format!("{name}.html")), text).unwrap();
            std::fs::write(folder.join("style.css"), get(&state, "/style.css").await.text).unwrap();
        }
    }
}
