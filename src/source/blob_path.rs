//! The path of a blob in a storage account's `insights-logs-…` container.

use std::path::Path;

use chrono::{DateTime, NaiveDate, Utc};

/// What the archive's path says about the records within:
/// `resourceId=/SUBSCRIPTIONS/…/VAULTS/NAME/y=2024/m=05/d=17/h=09/m=00/PT1H.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobPath {
    /// The resource whose log it is, as the path spells it (upper case in practice); empty where the copy begins
    /// below `resourceId=`.
    pub resource_id: String,
    /// The hour that Azure filed the records under (late records of an earlier hour occur).
    pub hour: DateTime<Utc>,
}

impl BlobPath {
    /// Reads a path; names compare without case, and what stands before `resourceId=` does not matter. `None` where the
    /// five parts of the time are not the file's nearest folders.
    pub fn parse(path: &Path) -> Option<Self> {
        let parts: Vec<&str> = path.iter().map(|part| part.to_str()).collect::<Option<_>>()?;
        let (_file, folders) = parts.split_last()?;
        let (rest, time) = folders.split_at_checked(folders.len().checked_sub(5)?)?;
        let mut numbers = [0u32; 5];
        for ((number, part), key) in numbers.iter_mut().zip(time).zip(["y", "m", "d", "h", "m"]) {
            *number = value(part, key)?.parse().ok()?;
        }
        let [year, month, day, hour, minute] = numbers;
        let hour =
            NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?.and_hms_opt(hour, minute, 0)?.and_utc();
        Some(Self { resource_id: resource_id(rest), hour })
    }
}

/// The value of a folder named `key=value`.
fn value<'a>(part: &'a str, key: &str) -> Option<&'a str> {
    let (name, value) = part.split_once('=')?;
    name.eq_ignore_ascii_case(key).then_some(value)
}

/// `/SUBSCRIPTIONS/…` out of the folders above the time.
fn resource_id(folders: &[&str]) -> String {
    let Some(at) = folders.iter().rposition(|part| value(part, "resourceId").is_some()) else {
        return String::new();
    };
    let first = value(folders[at], "resourceId").unwrap_or_default();
    let mut id = String::new();
    for part in std::iter::once(&first).chain(&folders[at + 1..]).filter(|part| !part.is_empty()) {
        id.push('/');
        id.push_str(part);
    }
    id
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_resource_and_hour() {
        let vault = "/SUBSCRIPTIONS/1/RESOURCEGROUPS/RG/PROVIDERS/MICROSOFT.KEYVAULT/VAULTS/KV";
        let cases = [
            (format!("resourceId={vault}/y=2024/m=05/d=17/h=09/m=00/PT1H.json"), Some((vault, "2024-05-17T09:00:00Z"))),
            (format!("/data/resourceId={vault}/y=2024/m=5/d=7/h=9/m=0/x.gz"), Some((vault, "2024-05-07T09:00:00Z"))),
            ("RESOURCEID=/a/B/Y=2024/M=12/D=31/H=23/M=00/PT1H.json".into(), Some(("/a/B", "2024-12-31T23:00:00Z"))),
            ("y=2024/m=05/d=17/h=09/m=00/PT1H.json".into(), Some(("", "2024-05-17T09:00:00Z"))),
            (format!("resourceId={vault}/y=2024/m=13/d=17/h=09/m=00/PT1H.json"), None),
            (format!("resourceId={vault}/y=2024/m=02/d=30/h=09/m=00/PT1H.json"), None),
            (format!("resourceId={vault}/y=2024/m=05/d=17/h=24/m=00/PT1H.json"), None),
            (format!("resourceId={vault}/y=2024/m=05/d=17/h=09/PT1H.json"), None),
            (format!("resourceId={vault}/y=99999999999/m=05/d=17/h=09/m=00/PT1H.json"), None),
            ("m=05/d=17/h=09/m=00/PT1H.json".into(), None),
            ("logs/today.json".into(), None),
            (String::new(), None),
        ];
        for (path, want) in cases {
            let got = BlobPath::parse(Path::new(&path));
            let got = got.as_ref().map(|blob| (blob.resource_id.as_str(), blob.hour));
            let want = want.map(|(id, hour)| (id, hour.parse::<DateTime<Utc>>().unwrap()));
            assert_eq!(got, want, "{path}");
        }
    }
}
