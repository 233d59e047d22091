//! The catalogue as a page: every detection from its header, and which ATT&CK techniques they cover. Makes text and writes
//! none.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::Rule;
use super::header::Header;
use super::parameter::{Declared, duration_text};

/// The page in Markdown.
pub fn markdown(rules: &[Rule]) -> String {
    let mut page = String::from(
        "# Detections\n\nMade from the headers by `kvaudit rules page`; a test holds it to them. Their SQL: `kvaudit rules show ID`.\n\n",
    );
    page.push_str("| rule | severity | techniques | what it finds |\n| --- | --- | --- | --- |\n");
    for rule in rules {
        let h = &rule.header;
        let techniques = h.techniques.join(", ");
        let _ = writeln!(page, "| [{0}](#{0}) | {1} | {techniques} | {2} |", rule.id, h.severity, cell(&h.title));
    }
    page.push_str(
        "\nThe severity is that of a finding whose row names none: most raise or lower it by what they saw.\n",
    );
    page.push_str("\n## ATT&CK coverage\n\n| technique | rules |\n| --- | --- |\n");
    for (technique, ids) in coverage(rules) {
        let address = technique.replace('.', "/");
        let _ =
            writeln!(page, "| [{technique}](https://attack.mitre.org/techniques/{address}/) | {} |", ids.join(", "));
    }
    for rule in rules {
        section(&mut page, rule);
    }
    page
}

/// Rules by technique.
fn coverage(rules: &[Rule]) -> BTreeMap<&str, Vec<&str>> {
    let mut covered: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for rule in rules {
        for technique in &rule.header.techniques {
            covered.entry(technique).or_default().push(&rule.id);
        }
    }
    covered
}

fn section(page: &mut String, rule: &Rule) {
    let h = &rule.header;
    let _ = write!(page, "\n## {}\n\n{}\n", rule.id, paragraph(&h.description));
    let _ = write!(page, "\n{}\n", timing(h));
    if !h.false_alarm_rate.is_empty() {
        let _ = write!(page, "\nFalse alarms: {}\n", paragraph(&h.false_alarm_rate));
    }
    for (title, lines) in [("What looks like it", &h.false_positives), ("What to do", &h.response)] {
        if !lines.is_empty() {
            let _ = write!(page, "\n{title}:\n\n");
            for line in lines {
                let _ = writeln!(page, "- {}", paragraph(line));
            }
        }
    }
    if !h.parameters.is_empty() {
        page.push_str("\n| parameter | default | range | about |\n| --- | --- | --- | --- |\n");
    }
    for (name, parameter) in &h.parameters {
        let (default, range) = (cell(&parameter.default.to_string()), range(parameter));
        let _ = writeln!(page, "| `{name}` | {default} | {range} | {} |", cell(&parameter.about));
    }
}

/// When and over what it is asked.
fn timing(h: &Header) -> String {
    let mut text = format!("Asked every {} about {}", duration_text(h.every), duration_text(h.window));
    if h.baseline > 0 {
        let _ = write!(text, ", beside the {} before", duration_text(h.baseline));
    }
    let _ = write!(text, "; one alert for each {}", h.key.join(", "));
    let _ = write!(text, " until {} without a finding.", duration_text(h.quiet_for));
    text
}

fn range(parameter: &Declared) -> String {
    match (&parameter.min, &parameter.max) {
        (None, None) => String::new(),
        (Some(min), None) => format!("from {min}"),
        (None, Some(max)) => format!("to {max}"),
        (Some(min), Some(max)) => format!("{min} to {max}"),
    }
}

/// Text on one line that Markdown does not take for markup of a table.
fn cell(text: &str) -> String {
    paragraph(text).replace('|', "\\|")
}

fn paragraph(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('<', "&lt;")
}
