//! Values from logs are hostile: what is printed to a terminal or into CSV passes here first.

use std::io::{self, Write};

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

/// A log that gets each of its entries in one piece and writes it as one safe line.
pub struct SafeLines<W: Write> {
    /// Where it goes.
    pub out: W,
    /// Whether the log's own colours pass; values have theirs escaped before.
    pub coloured: bool,
}

impl<W: Write> Write for SafeLines<W> {
    fn write(&mut self, entry: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(entry);
        let (line, end) = text.strip_suffix('\n').map_or((&*text, ""), |line| (line, "\n"));
        let line = match self.coloured {
            true => line.split("\u{1b}[").map(safe).collect::<Vec<_>>().join("\u{1b}["),
            false => safe(line),
        };
        self.out.write_all(format!("{line}{end}").as_bytes())?;
        Ok(entry.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// A CSV cell that no spreadsheet takes for a formula, and no terminal for a command: a formula gets a leading
/// apostrophe, what [`safe`] shows is shown but for line breaks and tabs. Plain numbers stay.
pub fn csv_cell(text: &str) -> String {
    let risky = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let shown = |c: char| is_hostile(c) && !matches!(c, '\n' | '\r' | '\t');
    let mut cell = String::with_capacity(text.len() + 1);
    if risky && text.parse::<f64>().is_err() {
        cell.push('\'');
    }
    text.chars().for_each(|c| if shown(c) { cell.extend(c.escape_unicode()) } else { cell.push(c) });
    cell
}

/// JSON with what a terminal would obey written as escapes, which mean the same: such characters stand in strings only.
pub fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hostile(c) && !matches!(c, '\n' | '\r' | '\t') {
            let mut units = [0; 2];
            c.encode_utf16(&mut units).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        } else {
            out.push(c);
        }
    }
    out
}

/// The beginning of a text that is too long to be read, and how much there is.
pub fn short(text: &str, most: usize) -> std::borrow::Cow<'_, str> {
    match text.char_indices().nth(most) {
        None => text.into(),
        Some((end, _)) => format!("{}… ({} characters)", &text[..end], text.chars().count()).into(),
    }
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
    fn json_means_the_same_and_commands_no_terminal() {
        let text = "{\n \"a\": \"\u{9b}\u{202e}é\u{e0041}\"\n}";
        let out = json(text);
        assert!(!out.chars().any(|c| is_hostile(c) && c != '\n'), "{out}");
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(&out), read(text));
    }

    #[test]
    fn an_entry_of_the_log_is_one_line() {
        for (coloured, written) in [
            (true, "\u{1b}[33mWARN\u{1b}[0m gone: a\\u{a}b\\u{202e}\n"),
            (false, "\\u{1b}[33mWARN\\u{1b}[0m gone: a\\u{a}b\\u{202e}\n"),
        ] {
            let mut log = SafeLines { out: Vec::new(), coloured };
            log.write_all("\u{1b}[33mWARN\u{1b}[0m gone: a\nb\u{202e}\n".as_bytes()).unwrap();
            assert_eq!(String::from_utf8(log.out).unwrap(), written);
        }
    }

    #[test]
    fn a_long_text_says_how_long_it_is() {
        assert_eq!(short("äbc", 3), "äbc");
        assert_eq!(short("äbcd", 3), "äbc… (4 characters)");
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
            ("a\u{1b}[31m\u{9b}\u{202e}", "a\\u{1b}[31m\\u{9b}\\u{202e}"),
            ("two\nlines", "two\nlines"),
        ] {
            assert_eq!(csv_cell(input), cell);
        }
    }
}
