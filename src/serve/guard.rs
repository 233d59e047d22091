//! The doorkeeper: who may ask, for how long, and with which headers every answer leaves.
//!
//! A page on the internet can make its own name resolve to 127.0.0.1 and have a browser ask us (DNS rebinding).
//! The browser then sends that page's name as Host: so only loopback names pass. What a foreign page sends without
//! rebinding carries its Origin, or `Sec-Fetch-Site: cross-site`.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{StatusCode, Uri};
use axum::middleware::Next;
use axum::response::Response;

use super::flight::{Cut, Flights};
use super::problem::Problem;

/// How long one request may take.
const REQUEST_TIME: Duration = Duration::from_secs(30);

const POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 7] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// What the doorkeeper needs.
#[derive(Clone)]
pub(super) struct Door {
    /// The address listened on.
    pub(super) listen: SocketAddr,
    /// Answers under way.
    pub(super) flights: Flights,
}

/// Refuses foreign requests, ends slow ones, gives errors of libraries our form, sets the headers, and bounds what is in
/// flight.
pub(super) async fn guard(State(door): State<Door>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let cut = request.extensions().get::<Cut>().cloned();
    let answer = match refusal(door.listen, request.uri(), request.headers()) {
        Some(message) => Problem::new(StatusCode::FORBIDDEN, "forbidden", message).answer(&path),
        None => match tokio::time::timeout(REQUEST_TIME, worked_on(&door.flights, request, next)).await {
            Ok(response) => super::problem::in_our_form(&path, response),
            Err(_) => {
                let message = "the request took too long: ask for less, or try again";
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", message).answer(&path)
            }
        },
    };
    with_headers(door.flights.launch(&path, answer, cut).await)
}

/// The answer, once it is this request's turn; whether the process lives is answered at once.
async fn worked_on(flights: &Flights, request: Request, next: Next) -> Response {
    let _turn = if request.uri().path() == "/healthz" { None } else { Some(flights.turn().await) };
    next.run(request).await
}

fn with_headers(mut answer: Response) -> Response {
    for (name, value) in HEADERS {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// Why a request is refused, if it is.
fn refusal(listen: SocketAddr, uri: &Uri, headers: &HeaderMap) -> Option<&'static str> {
    let Some(host_port) = only(headers, header::HOST).and_then(|host| loopback(host, listen)) else {
        return Some("the Host header must be a loopback name: open 127.0.0.1 or localhost");
    };
    // A request line may name a host too (`GET http://name/ HTTP/1.1`), and then that one counts.
    if uri.authority().is_some_and(|authority| loopback(authority.as_str(), listen).is_none()) {
        return Some("the request's target must be a loopback name: open 127.0.0.1 or localhost");
    }
    if headers.contains_key(header::ORIGIN) {
        let port = only(headers, header::ORIGIN)
            .and_then(|origin| origin.strip_prefix("http://"))
            .and_then(|authority| loopback(authority, listen))
            .map(|port| port.unwrap_or(80));
        // Through a tunnel the browser sees another port than we do, in Host and Origin alike.
        if port.is_none_or(|port| port != listen.port() && Some(port) != host_port) {
            return Some("the Origin is a foreign one: only pages of this server may ask");
        }
    }
    let from_elsewhere = headers.get_all("sec-fetch-site").iter().any(|site| site == "cross-site");
    (from_elsewhere && uri.path().starts_with("/api")).then_some("a page of another site may not ask the API")
}

/// The header's value if there is exactly one.
fn only(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// The port of a loopback authority (`host` or `host:port`), if it is one: `Some(None)` without a port.
fn loopback(authority: &str, listen: SocketAddr) -> Option<Option<u16>> {
    let host_end = if authority.starts_with('[') {
        authority.find(']')? + 1
    } else {
        authority.find(':').unwrap_or(authority.len())
    };
    let (host, rest) = authority.split_at(host_end);
    let port = match rest.strip_prefix(':') {
        Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => Some(digits.parse().ok()?),
        Some(_) => return None,
        None if rest.is_empty() => None,
        None => return None,
    };
    let v6 = || host.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok();
    let ours = host.eq_ignore_ascii_case("localhost")
        || host.parse::<Ipv4Addr>().is_ok_and(|ip| ip == Ipv4Addr::LOCALHOST || listen.ip() == ip)
        || v6().is_some_and(|ip| ip == Ipv6Addr::LOCALHOST);
    ours.then_some(port)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use axum::http::Request as HttpRequest;

    /// Whether a request with these headers passes, while listening on 127.0.0.1:8474.
    fn passes(target: &str, headers: &[(&str, &str)]) -> bool {
        let mut request = HttpRequest::builder().uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        refusal("127.0.0.1:8474".parse().unwrap(), &parts.uri, &parts.headers).is_none()
    }

    #[test]
    fn only_loopback_names_pass_as_host() {
        for (host, expected) in [
            ("127.0.0.1", true),
            ("127.0.0.1:8474", true),
            ("127.0.0.1:9000", true),
            ("localhost", true),
            ("LocalHost:8474", true),
            ("[::1]", true),
            ("[::1]:8474", true),
            ("", false),
            ("localhost.", false),
            ("localhost.evil.com", false),
            ("127.0.0.1.nip.io", false),
            ("127.0.0.1.nip.io:8474", false),
            ("evil.com", false),
            ("evil.com:8474", false),
            ("localhost:8474.evil.com", false),
            ("localhost:", false),
            ("localhost:99999", false),
            ("localhost:+80", false),
            ("localhost:80:80", false),
            ("localhost@evil.com", false),
            ("evil.com#localhost", false),
            ("localhost, evil.com", false),
            ("localhost evil.com", false),
            ("0.0.0.0", false),
            ("127.1", false),
            ("2130706433", false),
            ("0x7f.0.0.1", false),
            ("192.168.1.1", false),
            ("::1", false),
            ("[::1", false),
            ("[::1].evil.com", false),
            ("[::ffff:127.0.0.1]", false),
            ("[fe80::1]", false),
        ] {
            assert_eq!(passes("/", &[("host", host)]), expected, "{host:?}");
        }
        assert!(!passes("/", &[]), "no Host at all");
        assert!(!passes("/", &[("host", "localhost"), ("host", "localhost")]), "two");
        assert!(!passes("http://evil.com/", &[("host", "localhost")]), "another name in the request line");
        assert!(passes("http://localhost:8474/", &[("host", "localhost:8474")]));
    }

    #[test]
    fn only_this_servers_own_origin_passes() {
        for (host, origin, expected) in [
            ("localhost:8474", "http://localhost:8474", true),
            ("127.0.0.1:8474", "http://localhost:8474", true),
            ("localhost:8474", "http://[::1]:8474", true),
            // Through a tunnel from port 9000.
            ("localhost:9000", "http://localhost:9000", true),
            ("localhost:8474", "http://localhost:9000", false),
            ("localhost:8474", "http://localhost", false),
            ("localhost:8474", "https://localhost:8474", false),
            ("localhost:8474", "null", false),
            ("localhost:8474", "", false),
            ("localhost:8474", "http://evil.com:8474", false),
            ("localhost:8474", "http://localhost.evil.com:8474", false),
            ("localhost:8474", "http://localhost:8474/", false),
            ("localhost:8474", "http://localhost:8474.evil.com", false),
            ("localhost:8474", "localhost:8474", false),
        ] {
            assert_eq!(passes("/", &[("host", host), ("origin", origin)]), expected, "{host} {origin:?}");
        }
        let two = [("host", "localhost:8474"), ("origin", "http://localhost:8474"), ("origin", "http://evil.com")];
        assert!(!passes("/", &two));
    }

    #[test]
    fn a_page_of_another_site_may_lead_to_the_page_and_not_ask_the_api() {
        for (target, site, expected) in [
            ("/api/v1/alerts", "cross-site", false),
            ("/api/v1/alerts", "same-origin", true),
            ("/api/v1/alerts", "none", true),
            ("/", "cross-site", true),
            ("/alerts/abcdef", "cross-site", true),
        ] {
            let headers = [("host", "localhost"), ("sec-fetch-site", site)];
            assert_eq!(passes(target, &headers), expected, "{target} {site}");
        }
    }
}
