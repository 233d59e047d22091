//! The user's files: where they are, what their columns are, and how they come together as a [`World`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::environment::canonical;
use super::sheet::{Cells, Heading, Problem, Problems, rows};
use super::{BaitObject, Principal, Subscription, Vault, World, environment_of, lists};

/// The most lists of addresses in text files.
const MAX_LISTS: usize = 100;

/// The files that are looked for in the folder.
const KNOWN: [&str; 6] = ["directory.csv", "vaults.csv", "subscriptions.csv", "bait.csv", "known.csv", "addresses.csv"];

/// Where the files are. A file that is named must be there; one of the folder need not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// The folder in which those are looked for that are not named.
    pub folder: PathBuf,
    /// The folder was named and must be there.
    pub folder_named: bool,
    /// `directory.csv`
    pub directory: Option<PathBuf>,
    /// `vaults.csv`
    pub vaults: Option<PathBuf>,
    /// `subscriptions.csv`
    pub subscriptions: Option<PathBuf>,
    /// `bait.csv`
    pub bait: Option<PathBuf>,
    /// `known.csv`
    pub known: Option<PathBuf>,
    /// In place of `addresses.csv` and all `*.txt` of the folder.
    pub addresses: Option<Vec<PathBuf>>,
}

/// Reads one kind of file.
type Reader = fn(&mut Reading, &Path);

/// Reads all files. What is wrong with them is told beside what is right; nothing stops the rest.
pub fn read(files: &Files) -> (World, Vec<Problem>) {
    let mut reading = Reading::default();
    if files.folder_named && !files.folder.is_dir() {
        reading.problems.refused(&files.folder, "is no folder: name one under [context] folder".to_owned());
    }
    let find = |named: &Option<PathBuf>, name: &str| {
        let there = || Some(files.folder.join(name)).filter(|path| path.exists());
        named.clone().or_else(there)
    };
    // Subscriptions before vaults, whose environment may follow from theirs; the directory before what marks its rows.
    let readers: [(Option<PathBuf>, Reader); 5] = [
        (find(&files.directory, "directory.csv"), Reading::directory),
        (find(&files.subscriptions, "subscriptions.csv"), Reading::subscriptions),
        (find(&files.vaults, "vaults.csv"), Reading::vaults),
        (find(&files.known, "known.csv"), Reading::known),
        (find(&files.bait, "bait.csv"), Reading::bait),
    ];
    for (path, read) in readers {
        if let Some(path) = path {
            read(&mut reading, &path);
        }
    }
    let lists = files.addresses.clone().unwrap_or_else(|| lists_in(&files.folder, &mut reading.problems));
    for path in &lists {
        let ranges = lists::read(path, &mut reading.problems);
        reading.world.address_lists.extend(ranges);
    }
    reading.finish()
}

/// `addresses.csv` and all text files of the folder, by name. A CSV file that nothing reads is remarked upon: most likely
/// its name is misspelt.
fn lists_in(folder: &Path, problems: &mut Problems) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    paths.sort();
    let is = |path: &Path, end: &str| path.extension().is_some_and(|e| e.eq_ignore_ascii_case(end));
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for path in paths.iter().filter(|path| is(path, "csv") && !KNOWN.contains(&name(path).as_str())) {
        problems.remark(path, format!("is not read; known are {} and lists of addresses in *.txt", KNOWN.join(", ")));
    }
    paths.retain(|path| is(path, "txt") || name(path) == "addresses.csv");
    if paths.len() > MAX_LISTS {
        problems.refused(folder, format!("has more than {MAX_LISTS} lists of addresses: those behind were not read"));
        paths.truncate(MAX_LISTS);
    }
    paths
}

const fn heading(names: &'static [&'static str]) -> Heading {
    Heading { names, required: false }
}

const fn required(names: &'static [&'static str]) -> Heading {
    Heading { names, required: true }
}

const OWNER: Heading = heading(&["owner"]);
const ENVIRONMENT: Heading = heading(&["environment", "env"]);
const COST_CENTRE: Heading = heading(&["cost_centre", "cost_center"]);
const NAME: Heading = heading(&["name", "display_name", "displayname"]);
const NOTE: Heading = heading(&["note"]);

const DIRECTORY: &[Heading] = &[
    required(&["id", "object_id", "objectid", "principal_id"]),
    NAME,
    heading(&["kind", "type"]),
    OWNER,
    ENVIRONMENT,
    COST_CENTRE,
    heading(&["app_id", "appid", "application_id"]),
];
const VAULTS: &[Heading] = &[
    required(&["vault", "vault_name"]),
    heading(&["sku"]),
    ENVIRONMENT,
    OWNER,
    heading(&["region", "location"]),
    heading(&["subscription", "subscription_id", "subscriptionid"]),
    heading(&["resource_group", "resourcegroup"]),
    COST_CENTRE,
];
const SUBSCRIPTIONS: &[Heading] =
    &[required(&["subscription", "subscription_id", "subscriptionid", "id"]), NAME, ENVIRONMENT];
const KNOWN_ONES: &[Heading] =
    &[required(&["id", "object_id", "principal_id"]), required(&["kind", "type"]), NAME, NOTE];
const BAIT: &[Heading] =
    &[required(&["kind", "type"]), heading(&["vault", "vault_name"]), heading(&["name", "id"]), NOTE];

/// What was read so far. Rows by their key, each with the line that it stands in.
#[derive(Default)]
struct Reading {
    world: World,
    principals: BTreeMap<String, Principal>,
    vaults: BTreeMap<String, Vault>,
    subscriptions: BTreeMap<String, Subscription>,
    problems: Problems,
}

impl Reading {
    fn directory(&mut self, path: &Path) {
        let Reading { principals, problems, .. } = self;
        rows(path, DIRECTORY, problems, |_, cells| {
            let id = id(&cells["id"])?;
            let app_id = cells.get("app_id").map(|text| self::id(text)).transpose()?;
            if principals.contains_key(&id) {
                return Err(format!("'{id}' stands further up already: its first line counts"));
            }
            let (name, kind) = (cells.get("name").cloned(), cells.get("kind").map(|kind| kind_of(kind)));
            // What a person is called says nothing of an environment.
            let named = name.as_deref().filter(|_| kind.as_deref() != Some("user")).and_then(environment_of);
            let environment = stated_environment(cells).or_else(|| named.map(str::to_owned));
            let (owner, cost_centre) = (cells.get("owner").cloned(), cells.get("cost_centre").cloned());
            let principal_id = id.clone();
            let row =
                Principal { principal_id, app_id, name, kind, owner, environment, cost_centre, ..Principal::default() };
            principals.insert(id, row);
            Ok(())
        });
    }

    fn subscriptions(&mut self, path: &Path) {
        let Reading { subscriptions, problems, .. } = self;
        rows(path, SUBSCRIPTIONS, problems, |_, cells| {
            let subscription_id = id(&cells["subscription"])?;
            if subscriptions.contains_key(&subscription_id) {
                return Err(format!("'{subscription_id}' stands further up already: its first line counts"));
            }
            let name = cells.get("name").cloned();
            let environment =
                stated_environment(cells).or_else(|| name.as_deref().and_then(environment_of).map(str::to_owned));
            let row = Subscription { subscription_id: subscription_id.clone(), name, environment };
            subscriptions.insert(subscription_id, row);
            Ok(())
        });
    }

    fn vaults(&mut self, path: &Path) {
        let Reading { subscriptions, vaults, problems, .. } = self;
        rows(path, VAULTS, problems, |_, cells| {
            let vault_name = vault(&cells["vault"])?;
            if vaults.contains_key(&vault_name) {
                return Err(format!("'{vault_name}' stands further up already: its first line counts"));
            }
            let lower = |name: &str| cells.get(name).map(|text| text.to_lowercase());
            let (subscription_id, resource_group) = (lower("subscription"), lower("resource_group"));
            let of_subscription = || subscriptions.get(subscription_id.as_deref()?)?.environment.clone();
            let of_names = environment_of(&vault_name).or_else(|| environment_of(resource_group.as_deref()?));
            let environment =
                stated_environment(cells).or_else(|| of_names.map(str::to_owned)).or_else(of_subscription);
            let row = Vault {
                vault_name: vault_name.clone(),
                sku: lower("sku"),
                environment,
                owner: cells.get("owner").cloned(),
                region: lower("region"),
                subscription_id,
                resource_group,
                cost_centre: cells.get("cost_centre").cloned(),
                is_bait: false,
            };
            vaults.insert(vault_name, row);
            Ok(())
        });
    }

    fn known(&mut self, path: &Path) {
        let Reading { principals, problems, .. } = self;
        rows(path, KNOWN_ONES, problems, |_, cells| {
            let id = id(&cells["id"])?;
            let (scanner, backup) = match cells["kind"].to_lowercase().as_str() {
                "scanner" => (true, false),
                "backup" => (false, true),
                other => return Err(format!("kind = '{other}' is not known: write scanner or backup")),
            };
            let row = principal(principals, id);
            row.is_known_scanner |= scanner;
            row.is_known_backup |= backup;
            row.name = row.name.take().or_else(|| cells.get("name").cloned());
            Ok(())
        });
    }

    fn bait(&mut self, path: &Path) {
        let Reading { world, principals, vaults, problems, .. } = self;
        rows(path, BAIT, problems, |_, cells| {
            let need = |column: &str| {
                cells.get(column).ok_or_else(|| format!("has no '{column}', which bait of this kind needs"))
            };
            match cells["kind"].to_lowercase().as_str() {
                "vault" => {
                    let name = vault(need("vault")?)?;
                    let new = || Vault { vault_name: name.clone(), environment: None, ..Vault::default() };
                    vaults.entry(name.clone()).or_insert_with(new).is_bait = true;
                }
                "identity" | "principal" => principal(principals, id(need("name")?)?).is_bait = true,
                kind @ ("object" | "secret" | "key" | "certificate") => world.bait_objects.push(BaitObject {
                    vault_name: cells.get("vault").map(|text| vault(text)).transpose()?,
                    object_type: (kind != "object").then(|| kind.to_owned()),
                    object_name: need("name")?.clone(),
                    note: cells.get("note").cloned(),
                }),
                other => {
                    let known = "secret, key, certificate, object, vault or identity";
                    return Err(format!("kind = '{other}' is not known: write {known}"));
                }
            }
            Ok(())
        });
    }

    fn finish(mut self) -> (World, Vec<Problem>) {
        both_ids(&mut self.principals);
        self.world.principals = self.principals.into_values().collect();
        self.world.subscriptions = self.subscriptions.into_values().collect();
        self.world.vaults = self.vaults.into_values().collect();
        (self.world, self.problems.into_vec())
    }
}

/// Where the directory names both ids of an application, what is known of one holds for the other: logs have now this, now
/// that. An application id that has no row of its own gets one.
fn both_ids(principals: &mut BTreeMap<String, Principal>) {
    let pairs: Vec<(String, String)> = principals
        .values()
        .filter_map(|p| Some((p.principal_id.clone(), p.app_id.clone()?)))
        .filter(|(id, app_id)| id != app_id)
        .collect();
    for (id, app_id) in pairs {
        let mut own = principals[&id].clone();
        let app = principals.get(&app_id).cloned().unwrap_or_default();
        own.is_known_scanner |= app.is_known_scanner;
        own.is_known_backup |= app.is_known_backup;
        own.is_bait |= app.is_bait;
        let twin = Principal { principal_id: app_id.clone(), ..own.clone() };
        principals.insert(id, own);
        principals.insert(app_id, twin);
    }
}

fn principal(principals: &mut BTreeMap<String, Principal>, id: String) -> &mut Principal {
    let new = Principal { principal_id: id.clone(), ..Principal::default() };
    principals.entry(id).or_insert(new)
}

fn stated_environment(cells: &Cells) -> Option<String> {
    cells.get("environment").map(|stated| canonical(stated))
}

/// An object, application or subscription id in the form that events have it.
fn id(text: &str) -> Result<String, String> {
    if text.contains('@') {
        return Err(format!("'{text}' is a user name and no id: give the object id"));
    }
    if text.contains(char::is_whitespace) || text.contains('/') {
        return Err(format!("'{text}' is no id: give the object id or the application id"));
    }
    Ok(text.to_lowercase())
}

fn vault(text: &str) -> Result<String, String> {
    match text.contains(|c: char| !(c.is_ascii_alphanumeric() || c == '-')) {
        true => Err(format!("'{text}' is no name of a vault: give its name alone")),
        false => Ok(text.to_lowercase()),
    }
}

/// Kinds as the command line and Graph spell them, to those of `principal_type`.
fn kind_of(text: &str) -> String {
    let plain: String = text.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect();
    match plain.as_str() {
        "managedidentity" => "managed_identity".to_owned(),
        "application" | "app" | "serviceprincipal" | "legacy" => "application".to_owned(),
        _ => text.to_lowercase(),
    }
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
