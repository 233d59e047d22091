//! How a request ended, and why it was refused.
//!
//! A 401 is mostly a client's first call, which has no token yet: a challenge. Where the service says that it refused
//! the token, it is a failed authentication: denied, with a reason of its own.
//!
//! `resultType` says "Success" on failed requests too and decides nothing here: the HTTP status does, else the reason
//! phrase, else the message.

use memchr::memmem::find;

/// What decides about an outcome.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Request<'a> {
    pub operation: &'a str,
    pub status: Option<i32>,
    pub signature: Option<&'a str>,
    pub description: Option<&'a str>,
    /// Whether the caller is known by any id.
    pub identified: bool,
}

impl Request<'_> {
    /// Whether a 401 asks for a token. One that refuses the token that came is a failure, though it names nobody either.
    fn asks_for_a_token(&self) -> bool {
        (!self.identified || self.operation == "Authentication") && !self.description.is_some_and(refuses_the_token)
    }
}

/// The HTTP status: as stated, else by the reason phrase, else by what the message says.
pub(super) fn status(stated: Option<i32>, signature: Option<&str>, description: Option<&str>) -> Option<i32> {
    let stated = stated.filter(|n| (100..600).contains(n)).or_else(|| signature.and_then(status_of));
    stated.or_else(|| description.and_then(status_told))
}

/// Outcome, as the column has it.
pub(super) fn outcome(request: Request<'_>) -> &'static str {
    match status(request.status, request.signature, request.description) {
        Some(200..=399) => "success",
        Some(401) if request.asks_for_a_token() => "challenge",
        Some(401 | 403) => "denied",
        Some(404) => "not_found",
        Some(429) => "throttled",
        Some(400..=499) => "client_error",
        Some(500..=599) => "server_error",
        _ => "unknown",
    }
}

/// HTTP status of a reason phrase: `Not Found`, `NotFound`, `Failed.Forbidden`, `200`.
pub(super) fn status_of(phrase: &str) -> Option<i32> {
    let phrase = phrase.rsplit('.').find(|part| !part.is_empty()).unwrap_or_default().trim();
    if let Ok(number) = phrase.parse() {
        return Some(number).filter(|n| (100..600).contains(n));
    }
    let word: String = phrase.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    Some(match word.as_str() {
        "ok" => 200,
        "created" => 201,
        "accepted" => 202,
        "nocontent" => 204,
        "notmodified" => 304,
        "badrequest" => 400,
        "unauthorized" => 401,
        "forbidden" => 403,
        "notfound" => 404,
        "methodnotallowed" => 405,
        "requesttimeout" => 408,
        "conflict" => 409,
        "gone" => 410,
        "preconditionfailed" => 412,
        "toomanyrequests" | "throttled" => 429,
        "internalservererror" => 500,
        "notimplemented" => 501,
        "badgateway" => 502,
        "serviceunavailable" => 503,
        "gatewaytimeout" => 504,
        _ => return None,
    })
}

/// Whether the message of a 401 refuses a token: of another tenant or audience, expired, not to be verified. Key Vault
/// numbers these messages; the number 10000 says that there was no token at all.
fn refuses_the_token(description: &str) -> bool {
    const NUMBERS: &str = "akv1";
    const WORDS: &[&str] = &[
        "invalid issuer",
        "invalid audience",
        "invalid token",
        "invalid signature",
        "error validating token",
        "token validation",
        "signature validation",
        "lifetime validation",
        "validation failed",
        "bearerreadaccesstokenfailed",
        "token is invalid",
        "token is not valid",
        "token is expired",
        "token has expired",
        "token expired",
        "expired token",
        "wrong tenant",
    ];
    let text = description.to_ascii_lowercase();
    let mut numbers = memchr::memmem::find_iter(text.as_bytes(), NUMBERS.as_bytes())
        .filter_map(|at| text.get(at + NUMBERS.len()..at + NUMBERS.len() + 4))
        .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
        .peekable();
    match numbers.peek() {
        Some(_) => numbers.any(|digits| digits != "0000"),
        None => WORDS.iter().any(|word| find(text.as_bytes(), word.as_bytes()).is_some()),
    }
}

/// HTTP status of a request of which only the message is left, as exports may have it.
fn status_told(description: &str) -> Option<i32> {
    let text = description.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| find(text.as_bytes(), word.as_bytes()).is_some());
    if refuses_the_token(description) || has(&["missing a bearer", "missing a token"]) {
        Some(401)
    } else if has(&["was not found in this key vault", "was not found", "could not be found", "notfound"]) {
        Some(404)
    } else if has(&["too many requests", "throttled", "was not processed because too many"]) {
        Some(429)
    } else {
        let denial = Denial { description: Some(description), ..Denial::default() };
        (denial_reason(denial) != "unknown").then_some(403)
    }
}

/// What a refusal says about its cause.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Denial<'a> {
    /// Whether the token itself was refused.
    pub unauthorized: bool,
    pub description: Option<&'a str>,
    pub signature: Option<&'a str>,
    pub rbac: Option<bool>,
    pub policy: Option<bool>,
    pub address: Option<bool>,
}

/// Cause of a refusal: a 401 is about the token. Of others the error code, else the firewall's flag, else the message, else the permission model's flag
/// (which is false on every 403 and so says least).
pub(super) fn denial_reason(denial: Denial<'_>) -> &'static str {
    let text = [denial.signature, denial.description].map(Option::unwrap_or_default).concat().to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| find(text.as_bytes(), word.as_bytes()).is_some());
    if denial.unauthorized {
        "authentication"
    } else if has(&["forbiddenbyfirewall", "forbiddenbyconnection"]) || denial.address == Some(false) {
        "network"
    } else if has(&["forbiddenbyrbac"]) {
        "rbac"
    } else if has(&["forbiddenbypolicy"]) {
        "access_policy"
    } else if has(&["client address", "trusted service", "public network access is disabled", "private endpoint"]) {
        "network"
    } else if has(&["disabled", "has expired", "is expired", "not yet valid", "forbiddenbyexpired"]) {
        "disabled"
    } else if has(&["not authorized to perform action"]) || denial.rbac == Some(false) {
        "rbac"
    } else if (has(&["does not have"]) && has(&["permission"])) || denial.policy == Some(false) {
        "access_policy"
    } else {
        "unknown"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_decides_and_the_phrase_stands_in() {
        for (status, signature, expected) in [
            (Some(200), "", "success"),
            (Some(403), "OK", "denied"),
            (Some(404), "", "not_found"),
            (Some(409), "", "client_error"),
            (Some(429), "", "throttled"),
            (Some(503), "", "server_error"),
            (Some(401), "", "denied"),
            (None, "OK", "success"),
            (None, "Accepted", "success"),
            (None, "Not Found", "not_found"),
            (None, "Forbidden", "denied"),
            (None, "Too Many Requests", "throttled"),
            (None, "TooManyRequests", "throttled"),
            (None, "Succeeded.Created", "success"),
            (None, "Failed.Forbidden", "denied"),
            (None, "Started.", "unknown"),
            (None, "200", "success"),
            (None, "", "unknown"),
            (Some(0), "", "unknown"),
        ] {
            let request = Request {
                operation: "SecretGet",
                status,
                signature: Some(signature),
                identified: true,
                ..Request::default()
            };
            assert_eq!(outcome(request), expected, "{status:?} {signature}");
        }
    }

    /// Trap 3: the 401 of a client's first call is no failure.
    #[test]
    fn trap_3_challenge_is_no_denial() {
        for (operation, identified, expected) in [
            ("Authentication", false, "challenge"),
            ("Authentication", true, "challenge"),
            ("SecretGet", false, "challenge"),
            ("SecretGet", true, "denied"),
        ] {
            let request = Request { operation, status: Some(401), identified, ..Request::default() };
            assert_eq!(outcome(request), expected, "{operation} {identified}");
        }
    }

    #[test]
    fn a_401_that_refuses_the_token_is_no_challenge() {
        for (description, expected) in [
            ("AKV10046: Unable to resolve the key used for signature validation. EncodedJwtHeader: 'x'.", "denied"),
            ("AKV10032: Invalid issuer. Expected one of https://a/, found https://b/.", "denied"),
            ("AKV10022: Invalid audience. Expected https://vault.azure.net, found: https://x/.", "denied"),
            ("[BearerReadAccessTokenFailed] Error validating token: 'IDX10223'.", "denied"),
            ("The token is expired.", "denied"),
            ("Unauthorized: akv19999", "denied"),
            ("AKV10000: Request is missing a Bearer or PoP token.", "challenge"),
            ("Request is missing a Bearer or PoP token.", "challenge"),
            ("AKV1: ", "challenge"),
            ("Unauthorized", "challenge"),
            ("", "challenge"),
        ] {
            let request = Request { operation: "Authentication", description: Some(description), ..Request::default() };
            assert_eq!(outcome(Request { status: Some(401), ..request }), expected, "{description}");
            let told = Request { signature: Some("Unauthorized"), ..request };
            assert_eq!(outcome(told), expected, "{description}");
        }
    }

    #[test]
    fn where_the_status_is_missing_the_message_tells() {
        for (description, expected) in [
            ("AKV10032: Invalid issuer.", "denied"),
            ("AKV10000: Request is missing a Bearer or PoP token.", "challenge"),
            ("Client address (1.2.3.4) is not authorized and caller is not a trusted service", "denied"),
            ("Caller is not authorized to perform action on resource.", "denied"),
            (
                "The user, group or application 'appid=a' does not have secrets get permission on key vault 'x'.",
                "denied",
            ),
            ("A secret with (name/id) x was not found in this key vault.", "not_found"),
            ("The request was not processed because too many requests were received.", "throttled"),
            ("", "unknown"),
            ("All is well.", "unknown"),
        ] {
            let request = Request { operation: "SecretGet", description: Some(description), ..Request::default() };
            assert_eq!(outcome(request), expected, "{description}");
            assert_eq!(outcome(Request { status: Some(200), ..request }), "success", "{description}");
        }
    }

    #[test]
    fn denials_say_why() {
        let says = |text| Denial { description: Some(text), ..Denial::default() };
        for (denial, reason) in [
            (
                says(
                    "Caller is not authorized to perform action on resource.\r\nAction: '…'\r\nAssignment: (not found)",
                ),
                "rbac",
            ),
            (
                says(
                    "The user, group or application 'appid=…;oid=…' does not have secrets get permission on key vault 'x'.",
                ),
                "access_policy",
            ),
            (says("Client address (1.2.3.4) is not authorized and caller is not a trusted service"), "network"),
            (says("Operation get is not allowed on a disabled secret."), "disabled"),
            (says("… innererror code ForbiddenByConnection"), "network"),
            (says("ForbiddenByRbac"), "rbac"),
            (says("ForbiddenByPolicy"), "access_policy"),
            (says("No."), "unknown"),
            (Denial { rbac: Some(false), ..Denial::default() }, "rbac"),
            (Denial { policy: Some(false), ..Denial::default() }, "access_policy"),
            (Denial { rbac: Some(true), address: Some(false), ..Denial::default() }, "network"),
            (Denial { rbac: Some(false), ..says("Operation get is not allowed on a disabled secret.") }, "disabled"),
            (Denial { unauthorized: true, rbac: Some(false), ..Denial::default() }, "authentication"),
            (Denial::default(), "unknown"),
        ] {
            assert_eq!(denial_reason(denial), reason, "{denial:?}");
        }
    }
}
