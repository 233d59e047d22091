//! Bookmarks: how far each source was read. They save work; correctness does not hang on them.

use rusqlite::{OptionalExtension, params};

use super::{State, StateError};
use crate::alert::Micros;

impl State {
    /// How far `source` was read into the table `table_id`. A bookmark of another table is none.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn bookmark(&self, source: &str, table_id: &str) -> Result<Option<String>, StateError> {
        let sql = "SELECT position FROM bookmarks WHERE source = ?1 AND table_id = ?2";
        Ok(self.lock().query_row(sql, [source, table_id], |row| row.get(0)).optional()?)
    }

    /// Remembers that `source` was read up to `position` (text of the caller's own form) into `table_id`.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn set_bookmark(&self, source: &str, position: &str, table_id: &str, now: Micros) -> Result<(), StateError> {
        let sql = "INSERT OR REPLACE INTO bookmarks (source, position, table_id, updated_at) VALUES (?1, ?2, ?3, ?4)";
        self.lock().execute(sql, params![source, position, table_id, now])?;
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::state::testing::state;

    #[test]
    fn a_bookmark_counts_only_for_the_table_it_was_set_for() {
        let (_dir, state) = state();
        state.set_bookmark("file:a", "100", "table-1", 1).unwrap();
        assert_eq!(state.bookmark("file:a", "table-1").unwrap().as_deref(), Some("100"));
        assert_eq!(state.bookmark("file:a", "table-2").unwrap(), None);
        assert_eq!(state.bookmark("file:b", "table-1").unwrap(), None);
        state.set_bookmark("file:a", "7", "table-2", 2).unwrap();
        assert_eq!(state.bookmark("file:a", "table-1").unwrap(), None);
        assert_eq!(state.bookmark("file:a", "table-2").unwrap().as_deref(), Some("7"));
    }
}
