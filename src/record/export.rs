//! Rows of Log Analytics: arrays of the query API and CSV, brought to the JSON objects that JSON-lines exports have.
//!
//! So every export goes the one way through `raw` and `names`. Dynamic columns stay JSON text inside a string.

use super::activity;
use super::columns;
use super::extra::quote;
use super::fields::{Slot, T};
use super::names;
use super::scan::{Fault, Scan};
use super::wrapper;

/// What a table needs to be read, for whoever brings one without.
pub(super) const WANTED: &str = "none of them is of a log of Key Vault; export it with a header that has at least the time \
     (TimeGenerated or time) and the operation (OperationName or operationName)";

/// Columns of which every export of logs has one.
const TELLING_COLUMNS: [&str; 2] = ["TimeGenerated", "OperationName"];

/// Whether a table with these columns holds logs.
pub(super) fn is_of_logs<'c>(names: impl Iterator<Item = &'c str>) -> bool {
    let (mut count, mut time, mut request, mut telling) = (0, false, false, false);
    for name in names {
        let name = columns::without_brackets(name);
        count += 1;
        telling |= TELLING_COLUMNS.iter().any(|column| name.eq_ignore_ascii_case(column));
        // By Azure's names, or by people's: those need both.
        let (is_time, is_operation) = names::tells(name);
        time |= is_time;
        request |=
            is_operation || matches!(names::meaning(name), Slot::Text(T::Resource | T::ResourceAlt | T::RequestUri));
    }
    count > 1 && (telling || (time && request))
}

/// Whether a line of CSV is the header of such a table, or of one whose rows carry records as text; `after` is what
/// follows the line.
pub(super) fn is_header<'c>(columns: impl Iterator<Item = &'c str> + Clone, after: &[u8]) -> bool {
    is_of_logs(columns.clone()) || is_portal(columns.clone()) || wrapper::is_header(columns, after)
}

/// The portal's CSV of the Activity log: its columns' names and those of the log itself. The resource is its id. The
/// operation comes by its name for people, see [`csv_object`].
static PORTAL: [(&str, &str); 9] = [
    ("Correlation id", "correlationId"),
    ("Event category", "category"),
    ("Event initiated by", "caller"),
    ("Level", "level"),
    ("Resource", "resourceId"),
    ("Resource group", "resourceGroup"),
    ("Resource type", "resourceType"),
    ("Status", "status"),
    ("Time", "time"),
];

/// The portal's column of operations.
const PORTAL_OPERATION: &str = "Operation name";

/// What `extra` calls the operation as the portal words it.
const PORTAL_WORDS: &str = "operationLabel";

fn is_portal<'c>(names: impl Iterator<Item = &'c str> + Clone) -> bool {
    let has = |wanted: &str| names.clone().any(|name| columns::without_brackets(name).eq_ignore_ascii_case(wanted));
    has(PORTAL_OPERATION) && has("Time") && has("Event initiated by")
}

/// Gives the portal's columns the log's names; false where they are not the portal's.
pub(super) fn from_portal(header: &mut [String]) -> bool {
    if !is_portal(header.iter().map(String::as_str)) {
        return false;
    }
    for column in header {
        let bare = columns::without_brackets(column);
        let known = PORTAL.iter().find(|(portal, _)| bare.eq_ignore_ascii_case(portal));
        if let Some((_, name)) = known {
            *column = format!("{name}{}", &column[bare.len()..]);
        } else if column.eq_ignore_ascii_case(PORTAL_OPERATION) {
            *column = PORTAL_OPERATION.to_owned();
        }
    }
    true
}

/// Writes a row of the query API as an object into `out`. Values beyond the columns are dropped with a false result.
pub(super) fn row_object(columns: &[String], scan: &mut Scan<'_>, out: &mut String) -> Result<bool, Fault> {
    out.push('{');
    scan.open(b'[')?;
    let (mut first, mut names) = (true, columns.iter());
    let mut fits = true;
    while scan.element(&mut first)? {
        let value = scan.skip()?;
        match names.next() {
            Some(name) => pair(name, out, |out| out.push_str(value)),
            None => fits = false,
        }
    }
    close(out);
    Ok(fits)
}

/// Writes one row of CSV (RFC 4180, without its line end) as an object of texts into `out`. An operation that the portal
/// names for people gets the name that the log has for it.
pub(super) fn csv_object(header: &[String], delimiter: char, row: &str, out: &mut String) -> bool {
    out.push('{');
    let (mut rest, mut names, mut fits) = (Some(row), header.iter(), true);
    while let Some(text) = rest {
        let (cell, after) = cell(text, delimiter);
        match names.next() {
            Some(name) if name == PORTAL_OPERATION => {
                let action = activity::action(&cell);
                pair("operationName", out, |out| quote(action.unwrap_or(&cell), out));
                if action.is_some() {
                    pair(PORTAL_WORDS, out, |out| quote(&cell, out));
                }
            }
            Some(name) => pair(name, out, |out| quote(&cell, out)),
            None => fits = false,
        }
        rest = after;
    }
    close(out);
    fits
}

/// The first cell of a row, and what follows its delimiter.
fn cell(row: &str, delimiter: char) -> (std::borrow::Cow<'_, str>, Option<&str>) {
    let Some(quoted) = row.strip_prefix('"') else {
        return match row.split_once(delimiter) {
            Some((cell, rest)) => (cell.into(), Some(rest)),
            None => (row.into(), None),
        };
    };
    let (mut end, mut doubled) = (0, false);
    loop {
        match quoted[end..].find('"') {
            Some(n) if quoted[end + n + 1..].starts_with('"') => {
                end += n + 2;
                doubled = true;
            }
            Some(n) => {
                end += n;
                break;
            }
            None => {
                end = quoted.len();
                break;
            }
        }
    }
    let text = &quoted[..end];
    // What stands between the closing quote and the delimiter is dropped, as spreadsheets do.
    let rest = quoted.get(end + 1..).and_then(|rest| rest.split_once(delimiter)).map(|(_, rest)| rest);
    (if doubled { text.replace("\"\"", "\"").into() } else { text.into() }, rest)
}

fn pair(name: &str, out: &mut String, value: impl FnOnce(&mut String)) {
    quote(name, out);
    out.push(':');
    value(out);
    out.push(',');
}

fn close(out: &mut String) {
    if out.ends_with(',') {
        out.pop();
    }
    out.push('}');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csv(row: &str) -> (String, bool) {
        let header: Vec<String> = ["a", "b", "c"].map(String::from).into();
        let mut out = String::new();
        let fits = csv_object(&header, ',', row, &mut out);
        (out, fits)
    }

    #[test]
    fn cells_of_csv() {
        for (row, json) in [
            ("1,2,3", r#"{"a":"1","b":"2","c":"3"}"#),
            ("1,,", r#"{"a":"1","b":"","c":""}"#),
            ("\"x,\"\"y\"\"\",2", r#"{"a":"x,\"y\"","b":"2"}"#),
            ("\"{\"\"oid\"\":\"\"1\"\"}\",\"line\nbreak\"", r#"{"a":"{\"oid\":\"1\"}","b":"line\u000abreak"}"#),
            ("\"open", r#"{"a":"open"}"#),
            ("", r#"{"a":""}"#),
        ] {
            assert_eq!(csv(row), (json.into(), true), "{row}");
        }
        assert!(!csv("1,2,3,4").1);
    }

    #[test]
    fn rows_of_the_query_api() {
        let columns: Vec<String> = ["a", "b"].map(String::from).into();
        let mut out = String::new();
        let fits = row_object(&columns, &mut Scan::new("[ 1, {\"x\":[null]} ]"), &mut out);
        assert_eq!((out.as_str(), fits), (r#"{"a":1,"b":{"x":[null]}}"#, Ok(true)));
        assert_eq!(row_object(&columns, &mut Scan::new("[1,2,3]"), &mut String::new()), Ok(false));
    }
}
