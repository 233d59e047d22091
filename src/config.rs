//! Configuration: raw TOML in, checked values out, after which nothing checks again. Reads no environment
//! and no arguments; `cli` lays those over it, in rising order.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

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
    limits: RawLimits,
    context: RawContext,
}

/// What questions may take; sizes in MiB.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawLimits {
    rule_time: Option<String>,
    rule_memory: Option<u64>,
    spill: Option<u64>,
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

/// What detections and queries may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest time of one detection for the period it is asked about.
    pub rule_time: Duration,
    /// Most bytes of memory for the detections of the user's own folder.
    pub rule_memory: u64,
    /// Most bytes of intermediate rows on disk.
    pub spill: u64,
}

impl Default for Limits {
    /// Ten minutes, two GiB and two GiB.
    fn default() -> Self {
        Limits { rule_time: Duration::from_secs(600), rule_memory: 2 << 30, spill: 2 << 30 }
    }
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
    /// What detections and queries may take.
    pub limits: Limits,
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
        let raw: Raw = toml::from_str(&text).map_err(|e| invalid(on_one_line(&text, &e)))?;
        check(raw, path.parent().unwrap_or(Path::new("."))).map_err(invalid)
    }
}

/// What is wrong with a file, and on which line.
fn on_one_line(text: &str, error: &toml::de::Error) -> String {
    let line = error.span().map(|span| text.as_bytes().iter().take(span.start).filter(|b| **b == b'\n').count() + 1);
    let message = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
    line.map_or_else(|| message.clone(), |line| format!("line {line}: {message}"))
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
        limits: limits(&raw.limits)?,
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

fn limits(raw: &RawLimits) -> Result<Limits, String> {
    const MIB: std::ops::RangeInclusive<u64> = 64..=1_048_576;
    let usual = Limits::default();
    let bytes = |name: &str, mib: Option<u64>, usual: u64| match mib {
        Some(mib) if !MIB.contains(&mib) => {
            Err(format!("limits.{name} = {mib} is not between {} and {} (MiB)", MIB.start(), MIB.end()))
        }
        mib => Ok(mib.map_or(usual, |mib| mib << 20)),
    };
    let time = raw.rule_time.as_deref().map(|text| {
        rule_time(text).map_err(|why| format!("limits.rule_time = '{text}' is not a length of time: {why}"))
    });
    Ok(Limits {
        rule_time: time.transpose()?.unwrap_or(usual.rule_time),
        rule_memory: bytes("rule_memory", raw.rule_memory, usual.rule_memory)?,
        spill: bytes("spill", raw.spill, usual.spill)?,
    })
}

/// A length of time for a detection.
pub fn rule_time(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if !time.is_zero() && time <= Duration::from_secs(366 * 86_400) => Ok(time),
        _ => Err("write a number and its unit, such as 90s or 10m, up to a year".to_owned()),
    }
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

/// An address and a port, or an address alone: then the port is that of [`DEFAULT_LISTEN`]. `localhost` is the one name that
/// needs no resolver, which could answer anything.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    let wrong = || format!("write an address and a port, such as {DEFAULT_LISTEN}, localhost:8474 or [::1]:8474");
    let usual = || DEFAULT_LISTEN.parse::<SocketAddr>().expect("the default is an address").port();
    let localhost = |host: &str| host.eq_ignore_ascii_case("localhost");
    if localhost(text) {
        return Ok(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), usual()));
    }
    if let Some((host, port)) = text.rsplit_once(':')
        && localhost(host)
    {
        let port = port.parse().map_err(|_| wrong())?;
        return Ok(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port));
    }
    let alone = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    let alone = alone.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, usual()));
    text.parse().or(alone).map_err(|_| wrong())
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
    fn limits_are_lengths_of_time_and_mebibytes() {
        let read = load("[limits]\nrule_time = '90s'\nspill = 128\n").unwrap().limits;
        let expected = Limits { rule_time: Duration::from_secs(90), spill: 128 << 20, ..Limits::default() };
        assert_eq!(read, expected);
    }

    #[test]
    fn mistakes_are_named() {
        for (text, part) in [
            ("stroe = 'x'", "stroe"),
            ("[context]\ndirektory = 'd.csv'", "direktory"),
            ("listen = 'everywhere'", "'everywhere' is no address"),
            ("[ingest]\nmax_record_bytes = 5", "max_record_bytes"),
            ("[detect]\nallowed_lateness = 'soon'", "'soon' is not a length of time"),
            ("[limits]\nrule_time = 'soon'", "rule_time = 'soon' is not a length of time"),
            ("[limits]\nrule_time = '0s'", "rule_time = '0s' is not"),
            ("[limits]\nspill = 1", "spill = 1 is not between 64"),
            ("[limits]\nrule_memory = 99999999", "rule_memory"),
        ] {
            assert!(load(text).unwrap_err().contains(part), "{text}");
        }
    }

    #[test]
    fn addresses_are_numbers_or_localhost() {
        for (text, read) in [
            ("127.0.0.1:8474", Some("127.0.0.1:8474")),
            ("localhost:0", Some("127.0.0.1:0")),
            ("LocalHost:8080", Some("127.0.0.1:8080")),
            ("localhost", Some("127.0.0.1:8474")),
            ("127.0.0.1", Some("127.0.0.1:8474")),
            ("::1", Some("[::1]:8474")),
            ("[::1]", Some("[::1]:8474")),
            ("[::1]:80", Some("[::1]:80")),
            ("localhost:", None),
            ("localhost.example.com:80", None),
            ("localhost:99999", None),
            ("example.com:80", None),
            (":8474", None),
        ] {
            assert_eq!(address(text).ok().map(|a| a.to_string()).as_deref(), read, "{text}");
        }
    }
}
