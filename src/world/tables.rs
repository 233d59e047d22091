//! The tables: their columns, what a row of each is, and the Arrow batches of a [`World`].

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{Field, Schema, SchemaRef};
use ipnet::IpNet;
use serde::Deserialize;

use super::{APPS, first_party};
use crate::record;
use crate::record::schema::{Column, Kind};

/// One table: its name in SQL and its columns.
#[derive(Debug, Clone, Copy)]
pub struct TableSpec {
    /// The name.
    pub name: &'static str,
    /// What it holds.
    pub about: &'static str,
    /// The columns, in order.
    pub columns: &'static [Column],
}

impl TableSpec {
    /// The Arrow schema.
    pub fn schema(&self) -> SchemaRef {
        let field = |c: &Column| Field::new(c.name, c.kind.data_type(), true);
        Arc::new(Schema::new(self.columns.iter().map(field).collect::<Vec<_>>()))
    }
}

const fn text(name: &'static str, about: &'static str) -> Column {
    Column { name, kind: Kind::Text, about }
}

const fn truth(name: &'static str, about: &'static str) -> Column {
    Column { name, kind: Kind::Bool, about }
}

/// All tables that a world becomes; docs/context.md carries this list.
pub const TABLES: &[TableSpec] = &[
    TableSpec {
        name: "principals",
        about: "callers: the directory file, with what known.csv and bait.csv say, and Microsoft's services",
        columns: &[
            text("principal_id", "object id or application id, lower case; unique"),
            text("app_id", "application id, lower case"),
            text("name", "name"),
            text("kind", "user, application, managed_identity, group, or the file's own word"),
            text("owner", "who answers for it"),
            text(
                "environment",
                "production, staging, test, development, or the file's own word; null where nobody says",
            ),
            text("cost_centre", "who pays for it"),
            truth("is_first_party", "one of Microsoft's own services"),
            truth("is_known_scanner", "a scanner by known.csv"),
            truth("is_known_backup", "a backup identity by known.csv"),
            truth("is_bait", "bait by bait.csv: nobody has business with it"),
        ],
    },
    TableSpec {
        name: "vaults",
        about: "vaults: the vault file, with what bait.csv says",
        columns: &[
            text("vault_name", "vault or managed HSM, lower case; unique"),
            text("sku", "standard, premium, …, lower case"),
            text("environment", "as in `principals`; else out of vault name, resource group and subscription"),
            text("owner", "who answers for it"),
            text("region", "Azure region, lower case"),
            text("subscription_id", "subscription, lower case"),
            text("resource_group", "resource group, lower case"),
            text("cost_centre", "who pays for it"),
            truth("is_bait", "bait by bait.csv: nobody has business with it"),
        ],
    },
    TableSpec {
        name: "subscriptions",
        about: "subscriptions: the subscription file",
        columns: &[
            text("subscription_id", "subscription, lower case; unique"),
            text("name", "name"),
            text("environment", "as in `principals`"),
        ],
    },
    TableSpec {
        name: "bait_objects",
        about: "secrets, keys and certificates that bait.csv names",
        columns: &[
            text("vault_name", "vault, lower case; null: in any vault"),
            text("object_type", "secret, key, certificate; null: of any kind"),
            text("object_name", "name"),
            text("note", "the file's remark"),
        ],
    },
    TableSpec {
        name: "address_lists",
        about: "addresses and ranges of the user's lists",
        columns: &[
            text("list", "the list's name"),
            text("cidr", "the range in canonical form; a single address as /32 or /128"),
            Column { name: "prefix_length", kind: Kind::Int, about: "bits that are fixed" },
            truth("is_trusted", "true: a network of ours; false: listed as bad"),
            text("note", "the file's remark"),
        ],
    },
    TableSpec {
        name: "operations",
        about: "every operation that is documented for Key Vault's logs",
        columns: &[
            text("operation_name", "operation as Azure names it; unique"),
            text("operation_class", "as in `events`"),
            text("object_type", "as in `events`, where the name states it"),
            truth("billed", "a successful call counts as a transaction; null: not confirmed"),
        ],
    },
    TableSpec {
        name: "first_party_apps",
        about: "Microsoft's own applications",
        columns: &[
            text("app_id", "application id, lower case; unique"),
            text("name", "name"),
            text("kind", "service: acts by itself; public_client: run by people (CLI, PowerShell, portal)"),
        ],
    },
];

/// A row of `principals`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Principal {
    pub principal_id: String,
    pub app_id: Option<String>,
    pub name: Option<String>,
    pub kind: Option<String>,
    pub owner: Option<String>,
    pub environment: Option<String>,
    pub cost_centre: Option<String>,
    #[serde(default)]
    pub is_first_party: bool,
    #[serde(default)]
    pub is_known_scanner: bool,
    #[serde(default)]
    pub is_known_backup: bool,
    #[serde(default)]
    pub is_bait: bool,
}

/// A row of `vaults`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Vault {
    pub vault_name: String,
    pub sku: Option<String>,
    pub environment: Option<String>,
    pub owner: Option<String>,
    pub region: Option<String>,
    pub subscription_id: Option<String>,
    pub resource_group: Option<String>,
    pub cost_centre: Option<String>,
    #[serde(default)]
    pub is_bait: bool,
}

/// A row of `subscriptions`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Subscription {
    pub subscription_id: String,
    pub name: Option<String>,
    pub environment: Option<String>,
}

/// A row of `bait_objects`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct BaitObject {
    pub vault_name: Option<String>,
    pub object_type: Option<String>,
    pub object_name: String,
    pub note: Option<String>,
}

/// A row of `address_lists`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct AddressRange {
    pub list: String,
    pub cidr: Cidr,
    #[serde(default)]
    pub is_trusted: bool,
    pub note: Option<String>,
}

/// A range of addresses with all bits behind its prefix zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Cidr(pub IpNet);

impl TryFrom<String> for Cidr {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let address = || text.parse::<std::net::IpAddr>().map(|ip| IpNet::from(ip.to_canonical()));
        let net = text.parse::<IpNet>().or_else(|_| address());
        net.map(|net| Cidr(net.trunc())).map_err(|_| {
            format!("'{text}' is no address and no range: write 203.0.113.7, 203.0.113.0/24 or 2001:db8::/32")
        })
    }
}

/// What files say about the world; all empty where there are none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct World {
    /// Rows of `principals`, without Microsoft's services.
    pub principals: Vec<Principal>,
    /// Rows of `vaults`.
    pub vaults: Vec<Vault>,
    /// Rows of `subscriptions`.
    pub subscriptions: Vec<Subscription>,
    /// Rows of `bait_objects`.
    pub bait_objects: Vec<BaitObject>,
    /// Rows of `address_lists`.
    pub address_lists: Vec<AddressRange>,
}

impl World {
    /// All tables of [`TABLES`], in its order, by name.
    pub fn tables(&self) -> Vec<(&'static str, RecordBatch)> {
        let principals = self.with_services();
        let rows = |name: &str| -> Vec<Vec<Cell<'_>>> {
            match name {
                "principals" => principals.iter().map(Principal::cells).collect(),
                "vaults" => self.vaults.iter().map(Vault::cells).collect(),
                "subscriptions" => self.subscriptions.iter().map(Subscription::cells).collect(),
                "bait_objects" => self.bait_objects.iter().map(BaitObject::cells).collect(),
                "address_lists" => self.address_lists.iter().map(AddressRange::cells).collect(),
                "operations" => operations(),
                _ => {
                    APPS.iter().map(|a| vec![Some(a.app_id).into(), Some(a.name).into(), Some(a.kind).into()]).collect()
                }
            }
        };
        TABLES.iter().map(|spec| (spec.name, batch(spec, &rows(spec.name)))).collect()
    }

    /// The principals, with Microsoft's services marked and those added that no file names.
    pub(super) fn with_services(&self) -> Vec<Principal> {
        let mut principals = self.principals.clone();
        for p in &mut principals {
            p.is_first_party |=
                first_party::is_service(&p.principal_id) || p.app_id.as_deref().is_some_and(first_party::is_service);
        }
        let known: BTreeSet<&str> = self.principals.iter().map(|p| p.principal_id.as_str()).collect();
        let missing = APPS.iter().filter(|app| first_party::is_service(app.app_id) && !known.contains(app.app_id));
        principals.extend(missing.map(|app| Principal {
            principal_id: app.app_id.to_owned(),
            app_id: Some(app.app_id.to_owned()),
            name: Some(app.name.to_owned()),
            kind: Some("application".to_owned()),
            is_first_party: true,
            ..Principal::default()
        }));
        principals
    }
}

/// One value of a row.
enum Cell<'a> {
    Text(Option<Cow<'a, str>>),
    Int(i32),
    Bool(Option<bool>),
}

impl<'a> From<Option<&'a str>> for Cell<'a> {
    fn from(text: Option<&'a str>) -> Self {
        Cell::Text(text.map(Cow::Borrowed))
    }
}

impl<'a> From<&'a Option<String>> for Cell<'a> {
    fn from(text: &'a Option<String>) -> Self {
        Cell::Text(text.as_deref().map(Cow::Borrowed))
    }
}

impl<'a> From<&'a String> for Cell<'a> {
    fn from(text: &'a String) -> Self {
        Cell::Text(Some(Cow::Borrowed(text)))
    }
}

impl From<bool> for Cell<'_> {
    fn from(truth: bool) -> Self {
        Cell::Bool(Some(truth))
    }
}

impl Principal {
    fn cells(&self) -> Vec<Cell<'_>> {
        vec![
            (&self.principal_id).into(),
            (&self.app_id).into(),
            (&self.name).into(),
            (&self.kind).into(),
            (&self.owner).into(),
            (&self.environment).into(),
            (&self.cost_centre).into(),
            self.is_first_party.into(),
            self.is_known_scanner.into(),
            self.is_known_backup.into(),
            self.is_bait.into(),
        ]
    }
}

impl Vault {
    fn cells(&self) -> Vec<Cell<'_>> {
        vec![
            (&self.vault_name).into(),
            (&self.sku).into(),
            (&self.environment).into(),
            (&self.owner).into(),
            (&self.region).into(),
            (&self.subscription_id).into(),
            (&self.resource_group).into(),
            (&self.cost_centre).into(),
            self.is_bait.into(),
        ]
    }
}

impl Subscription {
    fn cells(&self) -> Vec<Cell<'_>> {
        vec![(&self.subscription_id).into(), (&self.name).into(), (&self.environment).into()]
    }
}

impl BaitObject {
    fn cells(&self) -> Vec<Cell<'_>> {
        vec![(&self.vault_name).into(), (&self.object_type).into(), (&self.object_name).into(), (&self.note).into()]
    }
}

impl AddressRange {
    fn cells(&self) -> Vec<Cell<'_>> {
        vec![
            (&self.list).into(),
            Cell::Text(Some(Cow::Owned(self.cidr.0.to_string()))),
            Cell::Int(i32::from(self.cidr.0.prefix_len())),
            self.is_trusted.into(),
            (&self.note).into(),
        ]
    }
}

fn operations() -> Vec<Vec<Cell<'static>>> {
    record::operations()
        .map(|o| vec![Some(o.name).into(), Some(o.class).into(), o.object_type.into(), Cell::Bool(o.billed)])
        .collect()
}

fn batch(spec: &TableSpec, rows: &[Vec<Cell<'_>>]) -> RecordBatch {
    let columns = spec.columns.iter().enumerate().map(|(at, column)| array(column.kind, at, rows)).collect();
    RecordBatch::try_new(spec.schema(), columns).expect("columns are built in the order and types of the schema")
}

fn array(kind: Kind, at: usize, rows: &[Vec<Cell<'_>>]) -> ArrayRef {
    let cells = rows.iter().map(|row| &row[at]);
    match kind {
        Kind::Int => {
            Arc::new(cells.map(|c| if let Cell::Int(n) = c { Some(*n) } else { None }).collect::<Int32Array>())
        }
        Kind::Bool => Arc::new(cells.map(|c| if let Cell::Bool(b) = c { *b } else { None }).collect::<BooleanArray>()),
        _ => Arc::new(cells.map(|c| if let Cell::Text(t) = c { t.as_deref() } else { None }).collect::<StringArray>()),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};

    use super::*;

    #[test]
    fn every_row_has_the_columns_of_its_table() {
        let cells = [
            Principal::default().cells().len(),
            Vault::default().cells().len(),
            Subscription::default().cells().len(),
            BaitObject::default().cells().len(),
        ];
        let columns: Vec<usize> = TABLES.iter().map(|t| t.columns.len()).collect();
        assert_eq!(cells, columns[..4]);
        for (name, batch) in World::default().tables() {
            let filled = matches!(name, "principals" | "operations" | "first_party_apps");
            assert_eq!(batch.num_rows() > 0, filled, "{name}");
        }
    }

    #[test]
    fn ranges_are_canonical_and_services_are_marked() {
        let range = |cidr: &str| AddressRange {
            list: "t".to_owned(),
            cidr: Cidr::try_from(cidr.to_owned()).unwrap(),
            is_trusted: false,
            note: None,
        };
        let of_service = Principal {
            principal_id: "o".to_owned(),
            app_id: Some("509e4652-da8d-478d-a730-e9d4a1996ca4".to_owned()),
            ..Principal::default()
        };
        let world = World {
            address_lists: ["10.1.2.3/8", "1.2.3.4", "2001:DB8::1/32"].map(range).to_vec(),
            principals: vec![of_service],
            ..World::default()
        };
        let tables = world.tables();
        let column = |table: usize, name: &str| tables[table].1.column_by_name(name).unwrap().clone();
        let cidrs: Vec<_> = column(4, "cidr").as_string::<i32>().iter().flatten().map(str::to_owned).collect();
        assert_eq!(cidrs, ["10.0.0.0/8", "1.2.3.4/32", "2001:db8::/32"]);
        assert!(column(0, "is_first_party").as_boolean().iter().all(|b| b == Some(true)));
        assert_eq!(column(0, "is_bait").null_count(), 0);
    }
}
