//! The world that the logs do not tell: who callers are, what vaults are for, which addresses are ours.
//!
//! Files of the user (`files`) and lists of our own (`first_party`, the operations of `record`) become a [`World`], and
//! that becomes tables which detections join ([`TABLES`]). Writes nothing, knows no store and no clock. What a file says
//! wrongly is a [`Problem`] with file and line; all else of it counts.

mod environment;
mod files;
mod first_party;
mod lists;
mod names;
mod sheet;
mod tables;

pub use environment::environment_of;
pub use files::{Files, read};
pub use first_party::{APPS, App};
pub use names::Names;
pub use sheet::{Problem, Problems};
pub use tables::{AddressRange, BaitObject, Cidr, Principal, Subscription, TABLES, TableSpec, Vault, World};
