//! Configuration: raw TOML in, checked values out, after which nothing checks again. Reads no environment
//! and no arguments; `cli` lays those over it, in rising order.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Where `serve` listens unless told otherwise.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:8474";
/// Where the store lies unless told otherwise.
pub const DEFAULT_STORE: &str = "./kvaudit-store";

/// What a configuration file may hold. Unknown keys are errors.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Raw {
    store: Option<PathBuf>,
    listen: Option<String>,
    rules: RawRules,
    ingest: RawIngest,
    detect: RawDetect,
    context: RawContext,
}

/// Files about the world: docs/context.md.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawContext {
    folder: Option<PathBuf>,
    directory: Option<PathBuf>,
    vaults: Option<PathBuf>,
    subscriptions: Option<PathBuf>,
    bait: Option<PathBuf>,
    known: Option<PathBuf>,
    addresses: Option<Vec<PathBuf>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawRules {
    folder: Option<PathBuf>,
    off: Vec<String>,
    set: BTreeMap<String, toml::Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawIngest {
    max_record_bytes: Option<usize>,
    max_ratio: Option<u64>,
    dates: Option<String>,
    zone: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawDetect {
    allowed_lateness: Option<String>,
}

/// Where files about the world are; what is not named is looked for in the folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContextFiles {
    /// In place of the store's folder `context`.
    pub folder: Option<PathBuf>,
    /// In place of `directory.csv`.
    pub directory: Option<PathBuf>,
    /// In place of `vaults.csv`.
    pub vaults: Option<PathBuf>,
    /// In place of `subscriptions.csv`.
    pub subscriptions: Option<PathBuf>,
    /// In place of `bait.csv`.
    pub bait: Option<PathBuf>,
    /// In place of `known.csv`.
    pub known: Option<PathBuf>,
    /// In place of `addresses.csv` and all `*.txt`.
    pub addresses: Option<Vec<PathBuf>>,
}

/// Checked configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Directory of the store.
    pub store: PathBuf,
    /// Address to serve on.
    pub listen: SocketAddr,
    /// The user's own folder of detections.
    pub rules_folder: Option<PathBuf>,
    /// Rules that are switched off.
    pub rules_off: Vec<String>,
    /// Parameters that differ from a rule's default: `rule.parameter` to value.
    pub rules_set: BTreeMap<String, toml::Value>,
    /// Longest record that is read, in bytes.
    pub max_record_bytes: Option<usize>,
    /// How many times its compressed size a file may grow to.
    pub max_ratio: Option<u64>,
    /// How far before its last day `detect` evaluates windows again that late records touched, in microseconds.
    pub allowed_lateness: i64,
    /// Order of day and month in dates that leave it open; `cli` reads it as it reads `--dates`.
    pub dates: Option<String>,
    /// Zone of times that name none; `cli` reads it as it reads `--zone`.
    pub zone: Option<String>,
    /// Files about the world.
    pub context: ContextFiles,
}

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("configuration '{}' could not be read: {reason}; check the path given with --config", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        reason: String,
    },
    /// The file is not what it should be.
    #[error("configuration '{}' is not valid: {reason}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        reason: String,
    },
}

impl Config {
    /// Reads a file, or takes the defaults where there is none.
    pub fn load(path: Option<&Path>) -> Result<Config, ConfigError> {
        let Some(path) = path else {
            return Ok(check(Raw::default(), Path::new(".")).expect("the defaults are valid"));
        };
        let text = std::fs::read_to_string(path)
            .map_err(|e| ConfigError::Unreadable { path: path.to_owned(), reason: e.to_string() })?;
        let invalid = |reason: String| ConfigError::Invalid { path: path.to_owned(), reason };
        let raw: Raw = toml::from_str(&text).map_err(|e| invalid(e.to_string()))?;
        check(raw, path.parent().unwrap_or(Path::new("."))).map_err(invalid)
    }
}

/// Paths in a file are relative to the file.
fn check(raw: Raw, base: &Path) -> Result<Config, String> {
    let listen = raw.listen.as_deref().unwrap_or(DEFAULT_LISTEN);
    let listen = address(listen)
        .map_err(|_| format!("listen = '{listen}' is no address: write ADDRESS:PORT, for instance {DEFAULT_LISTEN}"))?;
    if raw.ingest.max_record_bytes.is_some_and(|n| !(1024..=256 * 1024 * 1024).contains(&n)) {
        return Err("ingest.max_record_bytes must lie between 1024 and 268435456".to_owned());
    }
    if raw.ingest.max_ratio.is_some_and(|n| n < 2) {
        return Err("ingest.max_ratio must be 2 or more".to_owned());
    }
    let mut rules_set = BTreeMap::new();
    for (rule, value) in raw.rules.set {
        match value {
            toml::Value::Table(parameters) => {
                rules_set.extend(parameters.into_iter().map(|(name, value)| (format!("{rule}.{name}"), value)));
            }
            value => {
                rules_set.insert(rule, value);
            }
        }
    }
    Ok(Config {
        store: raw.store.map_or_else(|| PathBuf::from(DEFAULT_STORE), |p| base.join(p)),
        listen,
        rules_folder: raw.rules.folder.map(|p| base.join(p)),
        rules_off: raw.rules.off,
        rules_set,
        max_record_bytes: raw.ingest.max_record_bytes,
        max_ratio: raw.ingest.max_ratio,
        allowed_lateness: lateness(raw.detect.allowed_lateness.as_deref())?,
        dates: raw.ingest.dates,
        zone: raw.ingest.zone,
        context: context(raw.context, base),
    })
}

/// A day, unless the file says otherwise; a hundred days at the most.
fn lateness(text: Option<&str>) -> Result<i64, String> {
    let text = text.unwrap_or("1d");
    let wrong = || {
        format!("detect.allowed_lateness = '{text}' is not a length of time up to 100 days: write one like 1d or 12h")
    };
    let span = humantime::parse_duration(text).map_err(|_| wrong())?;
    let micros = i64::try_from(span.as_micros()).map_err(|_| wrong())?;
    if micros > 100 * 86_400_000_000 { Err(wrong()) } else { Ok(micros) }
}

fn context(raw: RawContext, base: &Path) -> ContextFiles {
    let there = |path: Option<PathBuf>| path.map(|p| base.join(p));
    ContextFiles {
        folder: there(raw.folder),
        directory: there(raw.directory),
        vaults: there(raw.vaults),
        subscriptions: there(raw.subscriptions),
        bait: there(raw.bait),
        known: there(raw.known),
        addresses: raw.addresses.map(|paths| paths.into_iter().map(|p| base.join(p)).collect()),
    }
}

/// An address and port. `localhost` is the one name that needs no resolver, which could answer anything.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    let plain = text.strip_prefix("localhost:").map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
    let written = plain.parse();
    written.map_err(|_| "write an address and a port, such as 127.0.0.1:8474 or [::1]:8474".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, String> {
        toml::from_str::<Raw>(text).map_err(|e| e.to_string()).and_then(|raw| check(raw, Path::new("/etc/kvaudit")))
    }

    #[test]
    fn a_file_sets_what_it_names_and_paths_are_relative_to_it() {
        let config =
            load("store = 'data'\n[rules]\noff = ['throttling']\n[rules.set]\nmass_secret_read.min_objects = 30\n")
                .unwrap();
        assert_eq!(config.store, Path::new("/etc/kvaudit/data"));
        assert_eq!(config.listen.to_string(), DEFAULT_LISTEN);
        assert_eq!(config.rules_set["mass_secret_read.min_objects"].as_integer(), Some(30));
    }

    #[test]
    fn files_about_the_world_are_relative_to_the_configuration() {
        let context = load("[context]\nfolder = 'world'\naddresses = ['tor.txt', '/srv/x.csv']\n").unwrap().context;
        let path = |text: &str| PathBuf::from(text);
        assert_eq!(context.folder, Some(path("/etc/kvaudit/world")));
        assert_eq!(context.addresses, Some(vec![path("/etc/kvaudit/tor.txt"), path("/srv/x.csv")]));
        assert_eq!(context.directory, None);
    }

    #[test]
    fn mistakes_are_named() {
        for (text, part) in [
            ("stroe = 'x'", "stroe"),
            ("[context]\ndirektory = 'd.csv'", "direktory"),
            ("listen = 'everywhere'", "'everywhere' is no address"),
            ("[ingest]\nmax_record_bytes = 5", "max_record_bytes"),
            ("[detect]\nallowed_lateness = 'soon'", "'soon' is not a length of time"),
        ] {
            assert!(load(text).unwrap_err().contains(part), "{text}");
        }
    }

    #[test]
    fn addresses_are_numbers_or_localhost() {
        for (text, read) in [
            ("127.0.0.1:8474", Some("127.0.0.1:8474")),
            ("localhost:0", Some("127.0.0.1:0")),
            ("[::1]:80", Some("[::1]:80")),
            ("localhost", None),
            ("localhost:99999", None),
            ("example.com:80", None),
            (":8474", None),
        ] {
            assert_eq!(address(text).ok().map(|a| a.to_string()).as_deref(), read, "{text}");
        }
    }
}
