//! What every command needs: checked configuration with the arguments laid over it, and the doors to the rooms.

use std::path::PathBuf;

use anyhow::Context as _;

pub use super::clock::now;
use super::limits::remove;
use super::{Format, Global, clock, detect, note};
use crate::config::Config;
use crate::detection::{Library, Overrides};
use crate::state::{State, StateError};
use crate::store::{Access, CONTEXT_FOLDER, Spill, Store, StoreError};
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
        clock::check()?;
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

    /// Opens the store, making it first where that is allowed, and says what was found damaged and made anew.
    pub async fn store(&self, access: Access) -> anyhow::Result<Store> {
        let store = Store::open(&self.config.store, access).await?;
        for remark in store.remarks() {
            note(&format!("warning: {remark}"));
        }
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

    /// Opens the state beside the store to change it. One that was lost is made anew from the exported alerts.
    pub async fn state(&self, store: &Store) -> anyhow::Result<State> {
        let state = State::open(store.dir(), store.store_id())?;
        if self.restore(store, &state).await? {
            note(
                "warning: state.db was lost or empty, and was made anew from the store's table 'alerts': alerts have their ids \
                 and states, suppressions and the trail are lost; `kvaudit detect --from …` over their days brings back each \
                 alert's findings",
            );
        } else if state.has_alerts()? && !store.has_exported_alerts().await? {
            detect::export(store, &state).await?;
        }
        Ok(state)
    }

    /// Opens the state to show it; on a disk that may only be read, as it stands there. Where that cannot be read either,
    /// the alerts are shown as they were last exported.
    pub async fn state_to_read(&self, store: &Store) -> anyhow::Result<State> {
        match self.state(store).await {
            Err(error) if is_forbidden(&error) => {}
            opened => return opened,
        }
        let dir = store.dir().display();
        match State::open_existing(store.dir(), store.store_id()) {
            Ok(state) if !state.is_blank()? || !store.has_exported_alerts().await? => {
                note(&format!("'{dir}' may only be read: alerts are as they were last recorded"));
                Ok(state)
            }
            Err(error) if !error.is_forbidden() && !matches!(error, StateError::Missing { .. }) => Err(error.into()),
            _ => {
                note(&format!(
                    "'{dir}' may only be read, and its state.db not even that: alerts are as they were last exported"
                ));
                self.exported_state(store).await
            }
        }
    }

    /// A state in memory with the alerts as they were last exported.
    pub async fn exported_state(&self, store: &Store) -> anyhow::Result<State> {
        let state = State::in_memory()?;
        self.restore(store, &state).await?;
        Ok(state)
    }

    /// Fills a blank state from the exported alerts; true if there were any.
    async fn restore(&self, store: &Store, state: &State) -> anyhow::Result<bool> {
        if !state.is_blank()? || !store.has_exported_alerts().await? {
            return Ok(false);
        }
        let alerts = store.exported_alerts().await?;
        let library = self.library(None)?;
        let key_of = |rule: &str| library.find(rule).ok().map(|rule| rule.header.key.clone());
        let at = now().timestamp_micros();
        let restored = state.restore(&alerts, key_of, at)?;
        state.correlate(at)?;
        Ok(restored)
    }

    /// Loads the detections: the built-in ones, the user's, switches and parameters.
    pub fn library(&self, folder: Option<&PathBuf>) -> anyhow::Result<Library> {
        let overrides =
            Overrides { off: self.config.rules_off.iter().cloned().collect(), params: self.config.rules_set.clone() };
        let folder = folder.or(self.config.rules_folder.as_ref());
        Library::load(folder.map(PathBuf::as_path), &overrides).context("the detections could not be loaded")
    }
}

/// Whether the store, or the disk that it is on, may only be read by this user.
pub fn is_forbidden(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<StateError>().is_some_and(StateError::is_forbidden)
            || cause.downcast_ref::<StoreError>().is_some_and(StoreError::is_denied)
    })
}
