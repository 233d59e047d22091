//! Names that people give to columns in their queries (`| project Caller = …, StatusCode = httpStatusCode_d`), beside
//! those of Azure that `names` holds. docs/records.md lists them.
//!
//! They are second choices: they count in rows of exports only, and only where the proper column is missing. Letter
//! case, spaces and underscores make no difference, nor does a zone in brackets behind a time's name.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::fields::{N, R, Slot, T};
use super::{object, operation};

/// What the names of a line stand for, and the names, flattened and without underscores.
struct Line {
    meaning: &'static str,
    slot: Slot,
    names: &'static str,
}

const fn line(meaning: &'static str, slot: Slot, names: &'static str) -> Line {
    Line { meaning, slot, names }
}

const LINES: &[Line] = &[
    line("time", Slot::Time, "timestamp datetime eventtime eventtimestamp eventdate date timeutc utctime logtime"),
    line("operation", Slot::Text(T::Operation), "operation action activity eventname"),
    line("category", Slot::Text(T::Category), "logcategory"),
    line(
        "caller: user name, object id or application id",
        Slot::Note(T::Caller),
        "caller callername calleridentity principal principalname identityname actor requestor userid callerid",
    ),
    line(
        "user name",
        Slot::Ranked(R::User, 4),
        "upn userprincipalname username user callerupn calleruserprincipalname useremail email calleremail",
    ),
    line(
        "object id",
        Slot::Ranked(R::ObjectId, 2),
        "objectid oid callerobjectid callerprincipalid principalid principalobjectid userobjectid useroid calleroid",
    ),
    line(
        "application id",
        Slot::Text(T::App),
        "appid applicationid clientid clientappid clientapplicationid callerappid callerapplicationid",
    ),
    line(
        "managed identity",
        Slot::Text(T::ManagedIdentity),
        "managedidentity managedidentityid managedidentityresourceid mirid xmsmirid",
    ),
    line(
        "caller's address",
        Slot::Text(T::Address),
        "callerip clientip clientipaddress sourceip srcip sourceipaddress remoteip ipaddress ip calleraddress clientaddress",
    ),
    line("user agent", Slot::Text(T::ClientInfo), "useragent client clientname clientagent agent"),
    line("vault", Slot::Note(T::Vault), "vault vaultname keyvault keyvaultname kv kvname resource resourcename"),
    line(
        "resource id",
        Slot::Text(T::ResourceAlt),
        "azureresourceid vaultid vaultresourceid keyvaultid keyvaultresourceid",
    ),
    line(
        "object's name",
        Slot::Note(T::Name),
        "secretname secret keyname certificatename certname certificate objectname itemname",
    ),
    line(
        "object's address",
        Slot::Text(T::Id),
        "objecturi objecturl secretid secreturi secreturl secretidentifier keyid keyuri certificateid certificateuri",
    ),
    line("request's address", Slot::Text(T::RequestUri), "uri url requesturl"),
    line(
        "status",
        Slot::Number(N::Status),
        "statuscode httpstatus httpcode httpresponsecode responsecode responsestatus responsestatuscode resultcode status",
    ),
    line("reason phrase", Slot::Text(T::Signature), "signature resultphrase reasonphrase statustext"),
    line("message", Slot::Text(T::Description), "description resultdesc resultmessage errormessage"),
    line("duration in milliseconds", Slot::Duration, "duration durationinms elapsedms latency latencyms"),
    line("correlation id", Slot::Text(T::Correlation), "correlation requestid"),
    line("subscription", Slot::Text(T::Subscription), "subscription"),
    line("resource group", Slot::Text(T::Group), "rg rgname"),
];

/// Names to the places of their lines.
static BY_NAME: LazyLock<HashMap<&'static str, u16>> = LazyLock::new(|| {
    let lines = (0u16..).zip(LINES);
    lines.flat_map(|(place, line)| line.names.split(' ').map(move |name| (name, place))).collect()
});

/// Every accepted name with what it stands for.
pub fn columns() -> impl Iterator<Item = (&'static str, &'static str)> {
    LINES.iter().flat_map(|line| line.names.split(' ').map(|name| (name, line.meaning)))
}

/// What the names of a place stand for.
pub(super) fn slot(place: u16) -> Slot {
    LINES.get(usize::from(place)).map_or(Slot::Unknown, |line| line.slot)
}

/// The place of a column of this flattened name, if it is one of people's names.
pub(super) fn find(path: &str) -> Option<u16> {
    let named = |path: &str| BY_NAME.get(squeezed(path).as_str()).copied();
    named(path).or_else(|| named(without_type(path)?))
}

/// Without the underscores of `caller_ip`.
pub(super) fn squeezed(path: &str) -> String {
    path.chars().filter(|c| *c != '_').collect()
}

/// Without the type that AzureDiagnostics puts behind a name.
pub(super) fn without_type(path: &str) -> Option<&str> {
    let (bare, suffix) = path.rsplit_once('_')?;
    matches!(suffix, "s" | "d" | "b" | "g" | "t").then_some(bare)
}

/// A column's name without the zone or unit in brackets behind it: `TimeGenerated [UTC]`, `Duration (ms)`.
pub(super) fn without_brackets(name: &str) -> &str {
    let head = |open: char, close: char| Some(name.strip_suffix(close)?.rsplit_once(open)?.0.trim_end());
    head('[', ']').or_else(|| head('(', ')')).filter(|head| !head.is_empty()).unwrap_or(name)
}

/// Whether an operation is on one object: of a list, a text in the column of names says nothing.
pub(super) fn is_of_an_object(operation: &str) -> bool {
    matches!(operation::object_type(operation), Some("secret" | "key" | "certificate"))
        && operation::class(operation) != "list"
}

/// The vault's name out of a column, which may hold its host.
pub(super) fn vault_name(text: &str) -> &str {
    let host = object::after_scheme(text).unwrap_or(text);
    host.split(['.', '/', ':']).next().unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_lists_the_names_that_are_accepted() {
        let page = include_str!("../../docs/records.md");
        let documented: Vec<(String, String)> = page
            .split("\n## Names of columns\n")
            .nth(1)
            .expect("the heading")
            .split("\n## ")
            .next()
            .expect("its text")
            .lines()
            .filter(|line| line.starts_with("| ") && line.contains('`'))
            .flat_map(|line| {
                let mut cells = line.trim_matches('|').split('|').map(str::trim);
                let meaning = cells.next().expect("a meaning").to_owned();
                let names = cells.next().expect("names").to_owned();
                let names: Vec<String> = names.split('`').skip(1).step_by(2).map(squeezed_name).collect();
                names.into_iter().map(move |name| (name, meaning.clone()))
            })
            .collect();
        let accepted: Vec<(String, String)> = columns().map(|(name, meaning)| (name.into(), meaning.into())).collect();
        assert_eq!(documented, accepted);
    }

    fn squeezed_name(name: &str) -> String {
        name.to_lowercase()
    }

    #[test]
    fn every_name_stands_once() {
        let names: std::collections::BTreeSet<&str> = columns().map(|(name, _)| name).collect();
        assert_eq!(names.len(), columns().count());
    }

    #[test]
    fn what_stands_in_brackets_is_no_part_of_the_name() {
        for (name, bare) in [
            ("TimeGenerated [UTC]", "TimeGenerated"),
            ("timestamp [Local Time]", "timestamp"),
            ("Timestamp (UTC)", "Timestamp"),
            ("Duration (ms)", "Duration"),
            ("[UTC]", "[UTC]"),
            ("Caller", "Caller"),
        ] {
            assert_eq!(without_brackets(name), bare);
        }
    }
}
