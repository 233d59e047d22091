//! The caller's address: `1.2.3.4`, `1.2.3.4:443`, `[v6]:443`, `v6`. Text that is no address is kept as it is.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

/// An address and its port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address<'a> {
    /// In canonical form where it is an address.
    pub ip: Cow<'a, str>,
    pub port: Option<u16>,
    /// Whether the text cannot be told from `ip` and `port`.
    pub rewritten: bool,
}

/// Splits an address as logged.
pub(super) fn parse(text: &str) -> Address<'_> {
    let text = text.trim();
    if let Some(ip) = bare(text) {
        return Address { rewritten: ip != text, ip, port: None };
    }
    if let Ok(socket) = text.parse::<SocketAddr>() {
        let ip = socket.ip().to_string();
        let plain = text.trim_start_matches('[').starts_with(&ip);
        return Address { ip: Cow::Owned(ip), port: Some(socket.port()), rewritten: !plain };
    }
    match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).and_then(bare) {
        Some(ip) => Address { ip, port: None, rewritten: true },
        None => Address { ip: Cow::Borrowed(text), port: None, rewritten: false },
    }
}

fn bare(text: &str) -> Option<Cow<'_, str>> {
    match text.parse().ok()? {
        IpAddr::V4(_) => Some(Cow::Borrowed(text)),
        IpAddr::V6(ip) => {
            let canonical = ip.to_canonical().to_string();
            Some(if canonical == text { Cow::Borrowed(text) } else { Cow::Owned(canonical) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        for (text, ip, port, rewritten) in [
            ("104.40.82.76", "104.40.82.76", None, false),
            ("104.40.82.76:5061", "104.40.82.76", Some(5061), false),
            ("2a01:111:f1::1", "2a01:111:f1::1", None, false),
            ("[2a01:111:f1::1]:443", "2a01:111:f1::1", Some(443), false),
            ("[2A01:111:F1:0::1]:443", "2a01:111:f1::1", Some(443), true),
            ("2A01:111:F1::1", "2a01:111:f1::1", None, true),
            ("::ffff:10.0.0.1", "10.0.0.1", None, true),
            ("[::1]", "::1", None, true),
            ("X.X.X.X", "X.X.X.X", None, false),
            ("1.2.3.4:99999", "1.2.3.4:99999", None, false),
            ("unknown", "unknown", None, false),
        ] {
            assert_eq!(parse(text), Address { ip: ip.into(), port, rewritten }, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in ".{0,30}") {
            parse(&text);
        }
    }
}
