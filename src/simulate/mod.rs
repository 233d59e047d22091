//! Labelled synthetic logs: the life of a small company with Key Vault, with the quiet list in it and attacks on
//! request. Tests, benchmarks and sample-logs draw on it.
//!
//! Stands apart from the data's way: it knows no other room, reads no clock and no environment, and writes the same
//! bytes for the same settings on every machine (compressed, the same content). It never promises realism beyond
//! what its labels say.
//!
//! [`config`](Config) says what to simulate; `company` is founded from it; `life` and `attack` are the actors;
//! `engine` asks them hour by hour; `record` writes their calls as Azure does; `archive` puts them on disk.

mod agent;
mod archive;
mod attack;
mod call;
mod client;
mod company;
mod config;
mod detail;
mod dice;
mod engine;
mod labels;
mod life;
mod names;
mod operation;
mod record;
#[cfg(test)]
mod tests;
mod weather;

use std::fs;
use std::path::{Path, PathBuf};

pub use config::{AttackKind, AttackRequest, By, Config, Form, Layout, Origin};
pub use labels::{AttackLabel, Labels, QuietLabel};

use company::Company;

const MILLISECOND: i64 = 1_000;
const SECOND: i64 = 1_000 * MILLISECOND;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// What a simulation wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Lines, repeats included.
    pub records: u64,
    /// Lines that repeat a record written before.
    pub repeats: u64,
    /// Log files; labels.json is not counted.
    pub files: u64,
    /// Their bytes on disk.
    pub bytes: u64,
}

/// How far a simulation is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Lines so far.
    pub records: u64,
    /// Share of the simulated time, 0 to 1.
    pub share: f64,
}

/// Why a simulation failed.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// A setting is out of its limits.
    #[error("{name} cannot be {value}: use {allowed}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// No identity of the wanted type is free for an attack.
    #[error("no {by} is left for the attack {kind}: ask for fewer attacks or more identities")]
    NoCaller {
        /// The attack.
        kind: AttackKind,
        /// The wanted type.
        by: By,
    },
    /// The folder holds something already, and old records would make the labels wrong.
    #[error("{} is not empty: name a folder that is empty or does not exist", .0.display())]
    NotEmpty(PathBuf),
    /// A file or folder could not be written.
    #[error("cannot write {}: check the folder's permissions and the free space", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl SimulateError {
    fn write(path: &Path, source: std::io::Error) -> Self {
        Self::Write { path: path.to_path_buf(), source }
    }
}

/// Writes the logs of this configuration below `out`, and `labels.json` beside them.
///
/// # Errors
/// [`SimulateError`]: a setting out of its limits, a folder that is not empty, a disk that does not take it.
pub fn simulate(config: &Config, out: &Path) -> Result<Summary, SimulateError> {
    simulate_with(config, out, &mut |_| {})
}

/// [`simulate`], telling `progress` after each simulated hour.
///
/// # Errors
/// As [`simulate`].
pub fn simulate_with(
    config: &Config,
    out: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Summary, SimulateError> {
    config.check()?;
    let mut company = Company::found(config);
    let attacks = attack::plan(&mut company, config)?;
    prepare(out)?;
    let scale = engine::scale_for(&company, &attacks, config);
    let archive = archive::Archive::create(config, &company, out)?;
    let written = engine::write(&company, &attacks, scale, archive, progress)?;
    let labels = Labels {
        seed: config.seed,
        config: config.clone(),
        attacks: labelled(&company, &attacks, &written),
        quiet: if config.quiet { labels::quiet(&company) } else { Vec::new() },
        records: written.records,
        repeats: written.repeats,
        span: (labels::rfc3339(company.from), labels::rfc3339(company.to)),
    };
    let path = out.join("labels.json");
    let mut text = serde_json::to_vec_pretty(&labels).map_err(|e| SimulateError::write(&path, e.into()))?;
    text.push(b'\n');
    fs::write(&path, text).map_err(|e| SimulateError::write(&path, e))?;
    let engine::Written { records, repeats, files, bytes, .. } = written;
    Ok(Summary { records, repeats, files, bytes })
}

fn labelled(company: &Company, attacks: &[attack::Planned], written: &engine::Written) -> Vec<AttackLabel> {
    let label = |(i, a)| labels::attack(company, i, a, written.befallen.get(&(i as u16 + 1)));
    attacks.iter().enumerate().map(label).collect()
}

/// Draws by the seed what these requests leave open: form, identity and origin, where the kind makes sense so.
pub fn mix(requests: &mut [AttackRequest], seed: u64) {
    attack::mix(requests, seed);
}

/// Makes the folder, and refuses one that holds anything.
fn prepare(out: &Path) -> Result<(), SimulateError> {
    fs::create_dir_all(out).map_err(|e| SimulateError::write(out, e))?;
    let mut entries = fs::read_dir(out).map_err(|e| SimulateError::write(out, e))?;
    match entries.next() {
        Some(_) => Err(SimulateError::NotEmpty(out.to_path_buf())),
        None => Ok(()),
    }
}
