//! How a request ended, and why it was refused.
//!
//! `resultType` says "Success" on failed requests too and decides nothing here: the HTTP status does, else the reason
//! phrase.

use memchr::memmem::find;

/// What decides about an outcome.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Request<'a> {
    pub operation: &'a str,
    pub status: Option<i32>,
    pub signature: Option<&'a str>,
    /// Whether the caller is known by any id.
    pub identified: bool,
}

/// Outcome, as the column has it.
pub(super) fn outcome(request: Request<'_>) -> &'static str {
    match request.status.or_else(|| request.signature.and_then(status_of)) {
        Some(200..=399) => "success",
        Some(401) if !request.identified || request.operation == "Authentication" => "challenge",
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

/// What a refusal says about its cause.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Denial<'a> {
    pub description: Option<&'a str>,
    pub signature: Option<&'a str>,
    pub rbac: Option<bool>,
    pub policy: Option<bool>,
    pub address: Option<bool>,
}

/// Cause of a refusal: the error code, else the firewall's flag, else the message, else the permission model's flag
/// (which is false on every 403 and so says least).
pub(super) fn denial_reason(denial: Denial<'_>) -> &'static str {
    let text = [denial.signature, denial.description].map(Option::unwrap_or_default).concat().to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| find(text.as_bytes(), word.as_bytes()).is_some());
    if has(&["forbiddenbyfirewall", "forbiddenbyconnection"]) || denial.address == Some(false) {
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
            let request = Request { operation: "SecretGet", status, signature: Some(signature), identified: true };
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
            let request = Request { operation, status: Some(401), signature: None, identified };
            assert_eq!(outcome(request), expected, "{operation} {identified}");
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
            (Denial::default(), "unknown"),
        ] {
            assert_eq!(denial_reason(denial), reason, "{denial:?}");
        }
    }
}
