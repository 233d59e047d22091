//! Tables and lists for a person, fitted to the terminal's width.

use std::io::IsTerminal;

use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, TableComponent, presets};

use super::text::safe;
use super::times;
use crate::alert::{Alert, Severity};

/// Width of the terminal, or of a page where there is none. `COLUMNS` wins.
pub fn width() -> usize {
    let asked = std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok());
    let terminal = || comfy_table::Table::new().width().map(usize::from);
    asked.or_else(terminal).unwrap_or(120).clamp(40, 400)
}

/// Whether standard output may carry colours.
pub fn colours() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// A table with a header that keeps to the terminal's width.
pub fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_style(TableComponent::HeaderLines, '─').set_style(TableComponent::MiddleHeaderIntersections, '─');
    table.set_width(u16::try_from(width()).unwrap_or(120));
    if !colours() {
        table.force_no_tty();
    } else {
        table.enforce_styling();
    }
    table.set_header(header.iter().map(|h| Cell::new(h).add_attribute(Attribute::Bold)));
    table
}

/// A cell of a value from the logs.
pub fn cell(text: &str) -> Cell {
    Cell::new(safe(text))
}

/// The severity as a coloured word.
pub fn severity_cell(severity: Severity) -> Cell {
    let cell = Cell::new(severity.as_str());
    match severity {
        Severity::Critical => cell.fg(Color::Red).add_attribute(Attribute::Bold),
        Severity::High => cell.fg(Color::Red),
        Severity::Medium => cell.fg(Color::Yellow),
        Severity::Low => cell.fg(Color::Cyan),
        Severity::Informational => cell.fg(Color::DarkGrey),
    }
}

/// Alerts as rows: how bad, when, which, and the sentence.
pub fn alerts(alerts: &[Alert]) -> String {
    let mut table = table(&["severity", "last seen", "alert", "what happened"]);
    for alert in alerts {
        let mark = match (alert.suppressed, alert.state.as_str()) {
            (true, _) => " (suppressed)".to_owned(),
            (false, "open") => String::new(),
            (false, state) => format!(" ({state})"),
        };
        table.add_row([
            severity_cell(alert.severity),
            cell(&times::short(&alert.window_end)),
            cell(&alert.alert_id.chars().take(8).collect::<String>()),
            cell(&format!("{}{mark}", alert.summary)),
        ]);
    }
    trimmed(&table)
}

/// The table without the blanks that pad its last column.
pub fn trimmed(table: &Table) -> String {
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// A number with thousands separated: `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Text broken at blanks to lines of at most `width` columns, each after `indent`.
pub fn wrapped(text: &str, width: usize, indent: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in safe(text).split_whitespace().map(str::to_owned) {
        if !line.is_empty() && indent.len() + line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&word);
    }
    lines.push(line);
    lines.iter().map(|l| format!("{indent}{l}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(number), text);
        }
    }

    #[test]
    fn text_wraps_at_blanks() {
        assert_eq!(wrapped("one two three", 9, "  "), "  one two\n  three");
    }
}
