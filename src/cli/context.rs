//! What every command needs: checked configuration with the arguments laid over it, and the doors to the rooms.

use std::path::PathBuf;

use anyhow::Context as _;

pub use super::clock::now;
use super::{Format, Global, clock, note};
use crate::config::Config;
use crate::detection::{Library, Overrides};
use crate::state::State;
use crate::store::{Access, CONTEXT_FOLDER, Store};
use crate::world::{self, Problem, World};

/// The checked start of a command.
pub struct Context {
    /// Configuration, environment and flags, in rising order.
    pub config: Config,
    /// Form of the output.
    pub format: Format,
    /// Whether a progress bar may show.
    pub progress: bool,
}

impl Context {
    /// Reads the configuration and lays the global flags over it.
    pub fn load(global: &Global) -> anyhow::Result<Context> {
        clock::check()?;
        let mut config = Config::load(global.config.as_deref())?;
        if let Some(store) = &global.store {
            config.store = store.clone();
        }
        Ok(Context { config, format: global.format, progress: !global.no_progress })
    }

    /// Opens the store, making it first where that is allowed.
    pub async fn store(&self, access: Access) -> anyhow::Result<Store> {
        Ok(Store::open(&self.config.store, access).await?)
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
