//! Text by which exports say that there is nothing.
//!
//! Only a whole value counts, and only in a row of an export: a raw record has null or leaves the field out, so what it
//! writes is meant.

/// The longest such text, in bytes.
const LONGEST: usize = 11;

/// Whether a value of an export's row stands for nothing: `None` (Python), `null` (JavaScript, PowerShell's tools), `NaN`,
/// `NaT`, `<NA>` (pandas), `NA` (R), `<null>`, `<nil>` (Go), `N/A`, `#N/A` (spreadsheets), `undefined`, `\N` (MySQL,
/// PostgreSQL), dashes.
pub(super) fn is_nothing(text: &str) -> bool {
    let text = text.trim();
    if text.len() > LONGEST {
        return false;
    }
    let is = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    let inner = [('<', '>'), ('(', ')'), ('[', ']')]
        .into_iter()
        .find_map(|(open, close)| text.strip_prefix(open)?.strip_suffix(close));
    match inner {
        Some(inner) => {
            ["null", "none", "nil", "na", "n/a", "empty", "blank"].iter().any(|w| inner.eq_ignore_ascii_case(w))
        }
        None => {
            is(&["none", "null", "nan", "nat", "nil", "undefined", "n/a", "#n/a", "#n/a n/a"])
                || matches!(text, "" | "NA" | "\\N" | "-" | "--" | "\u{2013}" | "\u{2014}")
        }
    }
}

/// Whether an object of Key Vault may be called so: a secret named `none` or `null` is one.
pub(super) fn may_be_a_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_exports_write_for_nothing() {
        for text in [
            "None",
            "none",
            "null",
            "NULL",
            "<null>",
            "(null)",
            "nan",
            "NaN",
            "NaT",
            "<NA>",
            "NA",
            "N/A",
            "#N/A",
            "nil",
            "<nil>",
            "undefined",
            "-",
            "--",
            "–",
            "—",
            "\\N",
            " None ",
            "",
            "(empty)",
        ] {
            assert!(is_nothing(text), "{text}");
        }
        for text in ["nonesuch", "na", "0", "false", "[]", "{}", "null-secret", "None of these", "-1", "Unknown", "<>"]
        {
            assert!(!is_nothing(text), "{text}");
        }
    }

    #[test]
    fn names_of_objects() {
        assert!(may_be_a_name("None") && may_be_a_name("-") && may_be_a_name("NaN"));
        assert!(!may_be_a_name("<null>") && !may_be_a_name("N/A") && !may_be_a_name("—") && !may_be_a_name(""));
    }
}
