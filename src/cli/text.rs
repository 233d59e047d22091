//! Values from logs are hostile: what is printed to a terminal or into CSV passes here first.

/// The text with control characters (escape sequences, newlines) and direction overrides made visible.
pub fn safe(text: &str) -> String {
    if !text.chars().any(is_hostile) {
        return text.to_owned();
    }
    text.chars().fold(String::with_capacity(text.len() + 8), |mut out, c| {
        if is_hostile(c) {
            out.extend(c.escape_unicode())
        } else {
            out.push(c)
        }
        out
    })
}

/// As [`safe`], keeping line breaks that are our own.
pub fn safe_lines(text: &str) -> String {
    text.split('\n').map(safe).collect::<Vec<_>>().join("\n")
}

fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// A CSV cell that no spreadsheet takes for a formula: such a text gets a leading apostrophe. Plain numbers stay.
pub fn csv_cell(text: &str) -> String {
    let risky = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if risky && text.parse::<f64>().is_err() { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_and_direction_overrides_are_shown_not_obeyed() {
        for (input, shown) in [
            ("plain – naïve ✓", "plain – naïve ✓"),
            ("\x1b[2J", "\\u{1b}[2J"),
            ("a\r\nb", "a\\u{d}\\u{a}b"),
            ("a\u{202e}b", "a\\u{202e}b"),
            ("\u{9b}31m", "\\u{9b}31m"),
        ] {
            assert_eq!(safe(input), shown);
        }
        assert_eq!(safe_lines("a\nb\x07"), "a\nb\\u{7}");
    }

    #[test]
    fn csv_cells_that_a_spreadsheet_would_run_are_defused() {
        for (input, cell) in [
            ("=HYPERLINK(\"x\")", "'=HYPERLINK(\"x\")"),
            ("+1+cmd", "'+1+cmd"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("-5", "-5"),
            ("-5+2", "'-5+2"),
            ("safe=1", "safe=1"),
        ] {
            assert_eq!(csv_cell(input), cell);
        }
    }
}
