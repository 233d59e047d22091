//! Rows of Log Analytics: arrays of the query API and CSV, brought to the JSON objects that JSON-lines exports have.
//!
//! So every export goes the one way through `raw` and `names`. Dynamic columns stay JSON text inside a string.

use super::extra::quote;
use super::scan::{Fault, Scan};

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

/// Writes one row of CSV (RFC 4180, without its line end) as an object of texts into `out`.
pub(super) fn csv_object(header: &[String], row: &str, out: &mut String) -> bool {
    out.push('{');
    let (mut rest, mut names, mut fits) = (Some(row), header.iter(), true);
    while let Some(text) = rest {
        let (cell, after) = cell(text);
        match names.next() {
            Some(name) => pair(name, out, |out| quote(&cell, out)),
            None => fits = false,
        }
        rest = after;
    }
    close(out);
    fits
}

/// The first cell of a row, and what follows its comma.
fn cell(row: &str) -> (std::borrow::Cow<'_, str>, Option<&str>) {
    let Some(quoted) = row.strip_prefix('"') else {
        return match row.split_once(',') {
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
    // What stands between the closing quote and the comma is dropped, as spreadsheets do.
    let rest = quoted.get(end + 1..).and_then(|rest| rest.split_once(',')).map(|(_, rest)| rest);
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
        let fits = csv_object(&header, row, &mut out);
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
