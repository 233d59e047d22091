//! What an input looks like that holds no records in any form that is read: a name for it and the way out.
//!
//! Looks at the head only. Refuses for certain what is plainly another thing (a page, a log of another program, a table
//! of something else), and whatever has no line in its head that could begin a record. A line of garbage before good
//! records refuses nothing.

use super::delimited::{DELIMITERS, fields};
use crate::record::export;
use crate::record::form::{Refusal, listed, quoted};

/// The way out where nothing better is known.
const AS_LOGS: &str = "give Key Vault's logs as JSON (lines, a list, {\"records\":[…]}) or as CSV with a header";
const AS_JSON: &str = "export the logs as JSON or CSV";
const AGAIN: &str = "it was saved in place of the logs, perhaps when a sign-in had ended: fetch them again";
const UNPACK: &str = "unpack it and give the folder";
const PREFIX: &str = "it has text before each record: cut that off, for example with: sed 's/^[^{]*//'";

/// Lines of the head that must look alike for the log of another program.
const ALIKE: usize = 3;

/// Why an input that begins so is refused, unless it may hold records. The head begins with neither a record nor a known
/// header.
pub(super) fn refusal(head: &[u8]) -> Option<Refusal> {
    let other =
        container(head).or_else(|| markup(head).or_else(|| log_of_another(head)).filter(|_| !holds_events(head)));
    if other.is_some() {
        return other;
    }
    if may_hold_records(head) { None } else { Some(table(head).unwrap_or_else(|| text_or_not(head))) }
}

/// Whether a line in the head begins like a record, or the head is what a crash leaves before one.
fn may_hold_records(head: &[u8]) -> bool {
    let opens = |line: &[u8]| {
        let skip = line.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b',' | 0)).unwrap_or(line.len());
        let mut rest = line[skip..].strip_prefix(super::lines::BYTE_ORDER_MARK).unwrap_or(&line[skip..]);
        if let Some(array) = rest.strip_prefix(b"[") {
            rest = array.trim_ascii_start();
        }
        let Some(inside) = rest.strip_prefix(b"{") else { return false };
        matches!(inside.trim_ascii_start().first(), Some(b'"'))
    };
    let mut lines = std::iter::once(0).chain(memchr::memchr_iter(b'\n', head).map(|newline| newline + 1));
    head.iter().all(|byte| *byte == 0) || lines.any(|line| opens(&head[line..]))
}

/// Whether most lines of the head are plainly events: then a line of something else before them is damage, and no other
/// form. A page with one record in it stays a page.
fn holds_events(head: &[u8]) -> bool {
    let (mut events, mut others) = (0, 0);
    for line in head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()) {
        let event = line.starts_with(b"{\"") && memchr::memmem::find(line, b"perationName\"").is_some();
        *(if event { &mut events } else { &mut others }) += 1;
    }
    events > others
}

/// Files of other programs, by their first bytes.
fn container(head: &[u8]) -> Option<Refusal> {
    let (what, way_out) = match head {
        _ if head.get(257..262) == Some(&b"ustar"[..]) => ("a tar archive", UNPACK),
        [b'%', b'P', b'D', b'F', ..] => ("a PDF document", AS_JSON),
        [b'S', b'Q', b'L', b'i', b't', b'e', b' ', b'f', ..] => ("an SQLite database", AS_JSON),
        [b'E', b'l', b'f', b'F', b'i', b'l', b'e', 0, ..] => ("a Windows event log", AS_LOGS),
        [b'O', b'R', b'C', ..] => ("an ORC file", AS_JSON),
        [0xd0, 0xcf, 0x11, 0xe0, ..] => ("an old Excel workbook or Office document", "save it as CSV"),
        [0x89, b'P', b'N', b'G', ..] | [0xff, 0xd8, 0xff, ..] | [b'G', b'I', b'F', b'8', ..] => ("an image", AS_LOGS),
        [0x7f, b'E', b'L', b'F', ..] | [b'M', b'Z', ..] if head.contains(&0) => ("a program", AS_LOGS),
        _ => return None,
    };
    Some(Refusal::new(what, way_out))
}

/// HTML and XML.
fn markup(head: &[u8]) -> Option<Refusal> {
    let start: Vec<u8> = head.trim_ascii_start().iter().take(4096).map(u8::to_ascii_lowercase).collect();
    let rest = start.strip_prefix(b"<")?;
    let has = |text: &[u8]| memchr::memmem::find(&start, text).is_some();
    match rest.first()? {
        b'0'..=b'9' => None,
        _ if has(b"<html") || has(b"<!doctype html") => Some(Refusal::new("an HTML page", AGAIN)),
        _ if has(b"<error>") => Some(Refusal::new("an error answer in XML", AGAIN)),
        b'?' | b'!' | b'a'..=b'z' => Some(Refusal::new("an XML document", AS_JSON)),
        _ => None,
    }
}

/// Logs of other programs: all of the first lines look like them.
fn log_of_another(head: &[u8]) -> Option<Refusal> {
    let text = String::from_utf8_lossy(&head[..head.len().min(64 << 10)]);
    let whole = text.rfind('\n').map_or(&*text, |end| &text[..end]);
    let lines: Vec<&str> = whole.lines().filter(|line| !line.trim().is_empty()).take(ALIKE).collect();
    let all = |looks: fn(&str) -> bool| !lines.is_empty() && lines.iter().all(|line| looks(line));
    let what = if lines.first().is_some_and(|line| is_w3c(line)) {
        "a web server's log (W3C, IIS or Zeek)"
    } else if all(|line| line.contains("CEF:0|") || line.contains("CEF:1|")) {
        "a CEF log"
    } else if all(|line| line.contains("LEEF:1.0|") || line.contains("LEEF:2.0|")) {
        "a LEEF log"
    } else if all(is_access_log) {
        "a web server's access log (Apache or nginx)"
    } else if all(is_syslog) {
        "a syslog file"
    } else if all(begins_with_time) {
        "a line log of another program"
    } else {
        return None;
    };
    let prefixed = lines.iter().all(|line| line.contains("{\"") && line.trim_end().ends_with('}'));
    Some(Refusal::new(what, if prefixed { PREFIX } else { AS_LOGS }))
}

fn is_w3c(line: &str) -> bool {
    ["#Software:", "#Fields:", "#Version:", "#separator"].iter().any(|mark| line.starts_with(mark))
}

/// `203.0.113.9 - - [28/Nov/2026:05:00:00 +0000] "GET / HTTP/1.1" 200 1`
fn is_access_log(line: &str) -> bool {
    let Some((_, rest)) = line.split_once(" [") else { return false };
    let Some((time, request)) = rest.split_once("] ") else { return false };
    time.split('/').count() == 3 && request.trim_start().starts_with('"')
}

/// `<134>1 2026-11-28T…` and `Nov 28 05:00:00 host …`
fn is_syslog(line: &str) -> bool {
    if let Some((priority, _)) = line.strip_prefix('<').and_then(|rest| rest.split_once('>')) {
        return !priority.is_empty() && priority.len() <= 3 && priority.bytes().all(|byte| byte.is_ascii_digit());
    }
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = line.split_whitespace();
    words.next().is_some_and(|word| MONTHS.contains(&word))
        && words.next().is_some_and(|day| day.len() <= 2 && day.bytes().all(|byte| byte.is_ascii_digit()))
        && words.next().is_some_and(|time| time.matches(':').count() == 2)
}

/// `2026-11-28 05:00:00 …`, perhaps in brackets, before text that is not the next cell of a table.
fn begins_with_time(line: &str) -> bool {
    let line = line.trim_start_matches(['[', '(']);
    let Some(date) = line.get(..10) else { return false };
    let is_date = date.bytes().enumerate().all(|(at, byte)| match at {
        4 | 7 => matches!(byte, b'-' | b'/'),
        _ => byte.is_ascii_digit(),
    });
    let Some(rest) = line[date.len().min(line.len())..].strip_prefix(['T', ' ']) else { return false };
    let after = rest.trim_start_matches(|c: char| c.is_ascii_digit() || ":.,+-Z".contains(c));
    is_date && rest.len() > after.len() && after.starts_with([' ', ']', '\t', ')']) && !after.starts_with("\t\"")
}

/// A table with other columns than logs have, or without a header: at least two lines of as many cells.
fn table(head: &[u8]) -> Option<Refusal> {
    let mut lines = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end).filter(|line| !line.is_empty());
    let (first, second) = (lines.next()?, lines.next());
    let cells = |line: &[u8], delimiter| fields(line, delimiter).map_or(0, |fields| fields.len());
    let delimiter = DELIMITERS.into_iter().max_by_key(|delimiter| cells(first, *delimiter))?;
    let count = cells(first, delimiter);
    let alike = second.map_or(count > 3, |second| cells(second, delimiter) == count);
    if count < 2 || !alike || std::str::from_utf8(first).is_err() {
        return None;
    }
    let columns = fields(first, delimiter)?;
    Some(Refusal::new(format!("a table whose first line has the columns {}", listed(columns.iter())), export::WANTED))
}

fn text_or_not(head: &[u8]) -> Refusal {
    let cut = std::str::from_utf8(head).err().is_some_and(|error| error.error_len().is_some());
    if cut || head.iter().any(|byte| *byte < 0x20 && !byte.is_ascii_whitespace()) {
        return Refusal::new("neither text nor any other form that is known", AS_LOGS);
    }
    let text = String::from_utf8_lossy(head);
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    Refusal::new(format!("text that is neither JSON nor a table; it begins {}", quoted(first)), AS_LOGS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(head: impl AsRef<[u8]>) -> String {
        refusal(head.as_ref()).map_or("read".to_owned(), |refusal| refusal.what)
    }

    #[test]
    fn what_is_no_log_of_key_vault_has_a_name() {
        let tar = [vec![b'a'; 257], b"ustar\0".to_vec()].concat();
        assert_eq!(what(tar), "a tar archive");
        for (head, name) in [
            ("<!DOCTYPE html>\n<html>{\"a\":1}", "an HTML page"),
            ("\n<html lang=\"en\">", "an HTML page"),
            ("<?xml version=\"1.0\"?>\n<Error><Code>AuthenticationFailed</Code></Error>", "an error answer in XML"),
            ("<?xml version=\"1.0\"?>\n<Events/>", "an XML document"),
            ("CEF:0|Vendor|Product|1|x|y|5|src=203.0.113.9", "a CEF log"),
            ("Nov 28 05:00:00 host CEF:0|V|P|1|x|y|5|", "a CEF log"),
            ("<134>1 2026-11-28T05:00:00Z host app - - - text", "a syslog file"),
            ("Nov  3 05:00:00 host sshd[1]: hello, world", "a syslog file"),
            (
                "203.0.113.9 - - [28/Nov/2026:05:00:00 +0000] \"GET / HTTP/1.1\" 200 1",
                "a web server's access log (Apache or nginx)",
            ),
            ("#Software: Microsoft IIS\n#Fields: date", "a web server's log (W3C, IIS or Zeek)"),
            ("2026-11-28 05:00:00,123 INFO a\n2026-11-28 05:00:01 b", "a line log of another program"),
            (
                "2026-11-28 05:00:00,SecretGet\n2026-11-28 05:00:01,b\n",
                "a table whose first line has the columns '2026-11-28 05:00:00', 'SecretGet'",
            ),
            ("2026-11-28T05:00:00Z INFO a\n2026-11-28T05:00:01Z {\"a\":1}", "a line log of another program"),
            ("[2026-11-28 05:00:00] INFO a", "a line log of another program"),
            ("a,b,c\n1,2,3\n", "a table whose first line has the columns 'a', 'b', 'c'"),
            ("a;b\n1;2\n", "a table whose first line has the columns 'a', 'b'"),
            ("a\tb\n1\t2\n", "a table whose first line has the columns 'a', 'b'"),
            ("hello, I am text\n", "text that is neither JSON nor a table; it begins 'hello, I am text'"),
            ("\u{1}\u{2}\u{3}", "neither text nor any other form that is known"),
            ("%PDF-1.7", "a PDF document"),
        ] {
            assert_eq!(what(head), name, "{head:?}");
        }
        let prefixed = refusal(b"<134>1 2026-11-28T05:00:00Z h a - - - {\"time\":1}\n").expect("refused");
        assert!(prefixed.way_out.contains("sed"), "{prefixed}");
    }

    #[test]
    fn garbage_before_records_refuses_nothing() {
        for head in [
            "not json\n{\"n\":1}\n",
            "WARNING: something\n[\n  {\n    \"n\": 1",
            "rest of a record\"}}\n,{\"n\":1}",
            "\0\0\0",
            "\0\0{\"n\":1}",
            "x\n\u{feff}{ \"n\":1}",
        ] {
            assert_eq!(what(head), "read", "{head:?}");
        }
    }
}
