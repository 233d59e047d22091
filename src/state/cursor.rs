//! Cursors: where a page ended, as text that a caller hands back unread. A keyset and no offset, so that alerts
//! that come in between pages neither repeat others nor push them out.

use super::StateError;
use super::query::Order;
use crate::alert::Micros;

/// The last row of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) severity: i64,
    pub(super) window_end: Micros,
    pub(super) alert_id: String,
}

/// Text of a position: its parts and a check, joined by dots; safe in a URL.
pub(super) fn encode(order: Order, at: &Position) -> String {
    let text = format!("1{}.{}.{}.{}", letter(order), at.severity, at.window_end, at.alert_id);
    let check = check(&text);
    format!("{text}.{check}")
}

/// Reads a cursor back.
///
/// # Errors
/// If it was changed on the way, is no cursor, or is one of another order.
pub(super) fn decode(order: Order, cursor: &str) -> Result<Position, StateError> {
    parse(order, cursor).ok_or_else(|| StateError::Cursor { cursor: cursor.chars().take(80).collect() })
}

fn parse(order: Order, cursor: &str) -> Option<Position> {
    let (text, given) = cursor.rsplit_once('.')?;
    if check(text) != given {
        return None;
    }
    let mut parts = text.strip_prefix('1')?.strip_prefix(letter(order))?.strip_prefix('.')?.split('.');
    let position = Position {
        severity: parts.next()?.parse().ok()?,
        window_end: parts.next()?.parse().ok()?,
        alert_id: parts.next()?.to_owned(),
    };
    parts.next().is_none().then_some(position)
}

fn letter(order: Order) -> char {
    match order {
        Order::NewestFirst => 't',
        Order::SeverestFirst => 's',
    }
}

/// Guards against cut and mistyped cursors. No secret: a cursor grants nothing.
fn check(text: &str) -> String {
    blake3::derive_key("kvaudit cursor v1", text.as_bytes())[..5].iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_encoded_reads_back(severity in 0i64..5, window_end in any::<i64>(), id in "[0-9a-f]{32}") {
            let at = Position { severity, window_end, alert_id: id };
            for (order, other) in [(Order::NewestFirst, Order::SeverestFirst), (Order::SeverestFirst, Order::NewestFirst)] {
                let text = encode(order, &at);
                prop_assert_eq!(decode(order, &text).unwrap(), at.clone());
                prop_assert!(decode(other, &text).is_err());
            }
        }

        #[test]
        fn anything_else_is_refused(text in any::<String>(), cut in 1usize..20, at in 0usize..60) {
            prop_assert!(decode(Order::NewestFirst, &text).is_err());
            let position = Position { severity: 3, window_end: 1_700_000_000_000_000, alert_id: "ab".repeat(16) };
            let good = encode(Order::NewestFirst, &position);
            prop_assert!(decode(Order::NewestFirst, &good[..good.len() - cut]).is_err());
            let mut changed = good.clone().into_bytes();
            let at = at % changed.len();
            changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
            prop_assert!(decode(Order::NewestFirst, &String::from_utf8(changed).unwrap()).is_err());
        }
    }
}
