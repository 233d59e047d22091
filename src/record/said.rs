//! How a request ended where its record has no status code: from the reason phrase, the service's message, the flags.
//!
//! Raw records always have the code; queries that leave its column out are common.

use memchr::memmem::find;

use super::fields::{B, Fields, T};
use super::outcome;

/// What messages say, most telling first, and the status that goes with it.
const MESSAGES: &[(&str, i32)] = &[
    // Authentication failed: no token, a wrong audience or issuer, one that is expired.
    ("akv100", 401),
    ("missing a bearer or pop token", 401),
    ("forbiddenby", 403),
    ("not authorized to perform action", 403),
    ("client address", 403),
    ("is not a trusted service", 403),
    ("public network access is disabled", 403),
    ("does not have secrets", 403),
    ("does not have keys", 403),
    ("does not have certificates", 403),
    ("is not allowed on a disabled", 403),
    ("is not allowed on an expired", 403),
    ("notfound", 404),
    ("was not found", 404),
    ("throttl", 429),
    ("too many requests", 429),
    ("rate limit", 429),
    ("already exists", 409),
    ("conflict", 409),
    ("badparameter", 400),
];

/// The status that the record implies; none where it says nothing, or where its reason phrase says it already.
pub(super) fn status(f: &Fields<'_>) -> Option<i32> {
    if f.text(T::Signature).and_then(outcome::status_of).is_some() {
        return None;
    }
    let message = f.text(T::Description).and_then(of_message);
    // These are false on every refusal; true says nothing.
    let refused = || [B::Rbac, B::Policy, B::Address].into_iter().any(|flag| f.bool(flag) == Some(false));
    message.or_else(|| refused().then_some(403))
}

fn of_message(message: &str) -> Option<i32> {
    // What matters stands at the beginning; a message may be of any length.
    let head = &message.as_bytes()[..message.len().min(4096)];
    let lower = head.to_ascii_lowercase();
    MESSAGES.iter().find(|(words, _)| find(&lower, words.as_bytes()).is_some()).map(|(_, status)| *status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_the_end_of_a_request() {
        for (message, status) in [
            ("Caller is not authorized to perform action on resource.\r\nAssignment: (not found)\r\n", Some(403)),
            (
                "The user, group or application 'appid=a' does not have secrets get permission on key vault 'x'.",
                Some(403),
            ),
            ("Client address (1.2.3.4) is not authorized and caller is not a trusted service", Some(403)),
            ("AKV10032: Invalid issuer. Expected one of https://sts.windows.net/a/", Some(401)),
            ("A secret with (name/id) db was not found in this key vault.", Some(404)),
            ("SecretNotFound", Some(404)),
            ("Request was not processed because too many requests were received.", Some(429)),
            ("Operation get is not allowed on a disabled secret.", Some(403)),
            ("", None),
            ("Hello", None),
        ] {
            assert_eq!(of_message(message), status, "{message}");
        }
    }
}
