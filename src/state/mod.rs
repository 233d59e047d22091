//! SQLite beside the store: findings, the alerts that they form, the incidents that these form, what people did about
//! them, suppressions, bookmarks, which windows are still to be evaluated, and the trail of changes.
//!
//! Keeps what changes; what is immutable (events) lies in the store's tables. Never reads the clock (a time is
//! passed in), never evaluates a detection, never prints. A [`State`] is a cheap handle on one connection behind
//! a mutex: clone it, and call it from async code through `spawn_blocking`, because every call may wait for the disk.

mod bookmark;
mod chain;
mod compose;
mod correlate;
mod cursor;
mod drilldown;
mod error;
mod evaluated;
mod incident_query;
mod open;
mod people;
mod query;
mod record;
mod restore;
mod risk;
mod rows;
mod stretch;
mod suppress;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod testing;
mod trail;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

pub use error::StateError;
pub use evaluated::{Noted, Reach};
pub use incident_query::{IncidentDetail, IncidentPage};
pub use query::{AlertFilter, Counts, MAX_PAGE, Order, Page};
pub use record::{Changes, RuleInfo};
pub use risk::risk_score;
pub use suppress::{NewSuppression, Suppression};
pub use trail::TrailEntry;

/// Handle on a store's `state.db`. Clones share one connection.
#[derive(Clone)]
pub struct State {
    connection: Arc<Mutex<Connection>>,
}

impl State {
    /// The connection. A panic elsewhere has rolled its transaction back, so a poisoned lock is safe to take.
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is gone with this program.
    pub fn is_in_memory(&self) -> bool {
        // SQLite names no file then.
        self.lock().path().is_none_or(str::is_empty)
    }

    /// Answers whether the database can be read now.
    ///
    /// # Errors
    /// What SQLite says when it cannot.
    pub fn check_ready(&self) -> Result<(), StateError> {
        self.lock().query_row("SELECT count(*) FROM meta", [], |_| Ok(()))?;
        Ok(())
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("State")
    }
}
