//! What every command needs: checked configuration with the arguments laid over it, and the doors to the rooms.

use std::path::PathBuf;

use anyhow::Context as _;
use chrono::{DateTime, Utc};

use super::limits::remove;
use super::{Format, Global, note};
use crate::config::Config;
use crate::detection::{Library, Overrides};
use crate::state::State;
use crate::store::{Access, CONTEXT_FOLDER, Spill, Store};
use crate::world::{self, Problem, World};

/// The checked start of a command.
pub struct Context {
    /// Configuration, environment and flags, in rising order.
    pub config: Config,
    /// Form of the output.
    pub format: Format,
    /// Whether a progress bar may show.
    pub progress: bool,
    /// How much log was asked for.
    pub verbose: u8,
    /// Where the configuration was read from.
    pub config_file: Option<PathBuf>,
    /// Where this command's queries spill.
    spill: Leftovers,
}

/// A directory that goes with the command.
struct Leftovers(PathBuf);

impl Drop for Leftovers {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

impl Context {
    /// Reads the configuration and lays the global flags over it.
    pub fn load(global: &Global) -> anyhow::Result<Context> {
        let mut config = Config::load(global.config.as_deref())?;
        if let Some(store) = &global.store {
            config.store = store.clone();
        }
        let spill = Leftovers(std::env::temp_dir().join(format!("kvaudit-{}", uuid::Uuid::new_v4().simple())));
        let (progress, config_file) = (!global.no_progress, global.config.clone());
        Ok(Context { config, format: global.format, progress, verbose: global.verbose, config_file, spill })
    }

    /// The directory in which this command's queries spill; it is made when a session is.
    pub fn spill(&self) -> PathBuf {
        self.spill.0.clone()
    }

    /// The same for a process that this command starts.
    pub fn spill_apart(&self) -> PathBuf {
        self.spill.0.with_extension("apart")
    }

    /// Opens the store, making it first where that is allowed.
    pub async fn store(&self, access: Access) -> anyhow::Result<Store> {
        let store = Store::open(&self.config.store, access).await?;
        Ok(store.with_spill(Spill { dir: Some(self.spill()), bytes: self.config.limits.spill }))
    }

    /// Reads the files about the world, as they are now, and says on standard error what is wrong with them.
    pub fn world(&self, store: &Store) -> (World, Vec<Problem>) {
        let files = self.config.context.clone();
        let (world, problems) = world::read(&world::Files {
            folder_named: files.folder.is_some(),
            folder: files.folder.unwrap_or_else(|| store.dir().join(CONTEXT_FOLDER)),
            directory: files.directory,
            vaults: files.vaults,
            subscriptions: files.subscriptions,
            bait: files.bait,
            known: files.known,
            addresses: files.addresses,
        });
        for problem in &problems {
            note(&format!("warning: {problem}"));
        }
        (world, problems)
    }

    /// Opens the state beside the store.
    pub fn state(&self, store: &Store) -> anyhow::Result<State> {
        Ok(State::open(store.dir(), store.store_id())?)
    }

    /// Loads the detections: the built-in ones, the user's, switches and parameters.
    pub fn library(&self, folder: Option<&PathBuf>) -> anyhow::Result<Library> {
        let overrides =
            Overrides { off: self.config.rules_off.iter().cloned().collect(), params: self.config.rules_set.clone() };
        let folder = folder.or(self.config.rules_folder.as_ref());
        Library::load(folder.map(PathBuf::as_path), &overrides).context("the detections could not be loaded")
    }
}

/// The clock. Below the commands a time is passed in.
#[allow(clippy::disallowed_methods)]
pub fn now() -> DateTime<Utc> {
    Utc::now()
}
