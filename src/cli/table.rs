//! Tables and lists for a person, fitted to the terminal's width.

use std::io::IsTerminal;

use comfy_table::{Attribute, Cell, Color, ColumnConstraint, ContentArrangement, Table, TableComponent, presets};

use super::text::{safe, safe_lines, short};
use super::times;
use crate::alert::{Alert, AlertState, Incident, Severity};

/// Width of the terminal, or of a page where there is none. `COLUMNS` wins.
pub fn width() -> usize {
    let asked = std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok());
    let terminal = || comfy_table::Table::new().width().map(usize::from);
    asked.or_else(terminal).unwrap_or(120).clamp(40, 400)
}

/// Whether standard output may carry colours.
pub fn colours() -> bool {
    std::io::stdout().is_terminal() && colours_wanted()
}

/// Whether standard error may carry colours.
pub fn colours_in_log() -> bool {
    std::io::stderr().is_terminal() && colours_wanted()
}

/// `NO_COLOR` with anything in it means none.
fn colours_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
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

/// Characters of a value that a table shows.
const LONGEST_CELL: usize = 600;

/// A cell of a value from the logs.
pub fn cell(text: &str) -> Cell {
    Cell::new(safe(&short(text, LONGEST_CELL)))
}

/// A cell of several lines of our own.
pub fn cell_of_lines(text: &str) -> Cell {
    Cell::new(safe_lines(text))
}

/// `1 vault`, `2 vaults`.
pub fn counted(number: u64, what: &str) -> String {
    format!("{} {what}{}", count(number), if number == 1 { "" } else { "s" })
}

/// Keeps columns whose cells are all short from being broken within a word, while there is room for the others; those of
/// `whole`, such as times, in any case.
pub fn keep_short_columns(table: &mut Table, whole: &[usize]) {
    const SHORT: u16 = 27;
    let widths = table.column_max_content_widths();
    let taken: usize = whole.iter().filter_map(|at| widths.get(*at)).map(|most| usize::from(*most) + 2).sum();
    let mut room = (width() / 2).saturating_sub(taken);
    for (at, (column, most)) in table.column_iter_mut().zip(widths).enumerate() {
        if whole.contains(&at) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        } else if most <= SHORT && usize::from(most) + 2 <= room {
            room -= usize::from(most) + 2;
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
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
        table.add_row([
            severity_cell(alert.severity),
            cell(&times::short(&alert.window_end)),
            cell(&alert.alert_id.chars().take(8).collect::<String>()),
            cell(&format!("{}{}", alert.summary, mark(alert))),
        ]);
    }
    keep_short_columns(&mut table, &[1]);
    trimmed(&table)
}

/// Incidents as rows: how bad, when, which, how many alerts, and the story.
pub fn incidents(incidents: &[Incident]) -> String {
    let mut table = table(&["severity", "last seen", "incident", "alerts", "what happened"]);
    for incident in incidents {
        let mark = match incident.state {
            AlertState::Open => String::new(),
            state => format!(" ({})", state.as_str()),
        };
        table.add_row([
            severity_cell(incident.severity),
            cell(&times::short(&incident.last_seen)),
            cell(&incident.incident_id.chars().take(8).collect::<String>()),
            cell(&incident.alert_ids.len().to_string()),
            cell(&format!("{}{mark}", incident.story)),
        ]);
    }
    keep_short_columns(&mut table, &[1]);
    trimmed(&table)
}

/// Alerts of an incident in the order of time.
pub fn timeline(alerts: &[Alert]) -> String {
    let mut table = table(&["first seen", "severity", "alert", "what happened"]);
    for alert in alerts {
        table.add_row([
            cell(&times::short(&alert.first_seen)),
            severity_cell(alert.severity),
            cell(&alert.alert_id.chars().take(8).collect::<String>()),
            cell(&format!("{}{}", alert.summary, mark(alert))),
        ]);
    }
    keep_short_columns(&mut table, &[0]);
    trimmed(&table)
}

/// What people did about an alert, where it is more than nothing.
fn mark(alert: &Alert) -> String {
    match (alert.suppressed, alert.state.as_str()) {
        (true, _) => " (suppressed)".to_owned(),
        (false, "open") => String::new(),
        (false, state) => format!(" ({state})"),
    }
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
    let room = width.saturating_sub(indent.len()).max(8);
    let text = safe(text);
    let pieces = text.split_whitespace().flat_map(|word| {
        // A word longer than a line is cut: an id or an address of hostile length.
        let chars: Vec<char> = word.chars().collect();
        chars.chunks(room).map(|piece| piece.iter().collect::<String>()).collect::<Vec<_>>()
    });
    for word in pieces {
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
        assert_eq!(wrapped("one 1234567890123", 10, "  "), "  one\n  12345678\n  90123");
    }
}
