//! Lists of addresses: `addresses.csv` with a list's name in every line, or a text file that is one list.

use std::path::Path;

use super::sheet::{self, Heading, Problems};
use super::tables::{AddressRange, Cidr};

const HEADINGS: &[Heading] = &[
    Heading { names: &["address", "cidr", "range", "ip"], required: true },
    Heading { names: &["list"], required: true },
    Heading { names: &["trusted", "is_trusted"], required: false },
    Heading { names: &["note"], required: false },
];

/// Ranges of a file: a list in text where its name ends in `.txt`, else CSV.
pub(super) fn read(path: &Path, problems: &mut Problems) -> Vec<AddressRange> {
    let plain = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("txt"));
    if plain { read_text(path, problems) } else { read_csv(path, problems) }
}

/// An address or a range a line; what follows a `#` is a remark. The file's name is the list's.
fn read_text(path: &Path, problems: &mut Problems) -> Vec<AddressRange> {
    let list = path.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
    let mut ranges = Vec::new();
    for (at, line) in sheet::lines(path, problems).unwrap_or_default() {
        let (address, note) = line.split_once('#').map_or((line.as_str(), None), |(a, n)| (a, Some(n.trim())));
        if address.trim().is_empty() {
            continue;
        }
        match Cidr::try_from(address.trim().to_owned()) {
            Ok(cidr) => ranges.push(range(&list, cidr, None, note)),
            Err(message) => problems.line(path, at, message),
        }
    }
    ranges
}

fn read_csv(path: &Path, problems: &mut Problems) -> Vec<AddressRange> {
    let mut ranges = Vec::new();
    sheet::rows(path, HEADINGS, problems, |_, cells| {
        let cidr = Cidr::try_from(cells["address"].clone())?;
        let trusted = cells.get("trusted").map(|text| truth(text)).transpose()?;
        let note = cells.get("note").map(String::as_str);
        ranges.push(range(&cells["list"].to_lowercase(), cidr, trusted, note));
        Ok(())
    });
    ranges
}

fn truth(text: &str) -> Result<bool, String> {
    match text.to_lowercase().as_str() {
        "true" | "yes" | "1" => Ok(true),
        "false" | "no" | "0" => Ok(false),
        other => Err(format!("trusted = '{other}' is neither true nor false")),
    }
}

/// Where no line says whether a list is of networks of ours, its name does.
fn range(list: &str, cidr: Cidr, trusted: Option<bool>, note: Option<&str>) -> AddressRange {
    let is_trusted = trusted.unwrap_or_else(|| list.starts_with("trusted") || list.starts_with("corporate"));
    let note = note.filter(|n| !n.is_empty()).map(str::to_owned);
    AddressRange { list: list.to_owned(), cidr, is_trusted, note }
}
