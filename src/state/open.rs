//! Opening and making `state.db`: permissions, pragmas, migrations, and whose state it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, TransactionBehavior};

use super::{State, StateError};

/// The file's name inside the store's (or `--state`'s) folder.
const FILE: &str = "state.db";

/// "kvau": tells our file from any other SQLite database.
const APPLICATION_ID: i64 = 0x6b76_6175;

/// Migration n brings format n to format n + 1. Never edit one that was released: append.
const MIGRATIONS: &[&str] = &[include_str!("schema.sql"), include_str!("incidents.sql"), include_str!("evaluated.sql")];

/// How long a call waits for another process's write.
const BUSY_TIMEOUT: Duration = Duration::from_secs(15);

impl State {
    /// Opens `dir/state.db`, or makes it (readable by its owner only), and brings it to the current format.
    /// `store_id` is the identity of the store that it belongs to.
    ///
    /// # Errors
    /// If the file cannot be opened, is no kvaudit state, is of a newer format, or belongs to another store.
    pub fn open(dir: &Path, store_id: &str) -> Result<Self, StateError> {
        let path = dir.join(FILE);
        prepare_file(dir, &path).map_err(|source| StateError::Open { path: path.clone(), source: source.into() })?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = connect(&path, flags)?;
        migrate(&mut connection, &path, store_id)?;
        Ok(Self::with(connection))
    }

    /// Opens an existing `dir/state.db` for reading only: for commands that show and change nothing, and for a disk that
    /// may only be read.
    ///
    /// # Errors
    /// As [`State::open`]; also if there is no such file yet, or if it needs a migration.
    pub fn open_existing(dir: &Path, store_id: &str) -> Result<Self, StateError> {
        let path = dir.join(FILE);
        if !path.exists() {
            return Err(StateError::Missing { path });
        }
        let reading = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = connect(&path, reading).and_then(|connection| Ok((format(&connection, &path)?, connection)));
        let (found, connection) = match opened {
            // A reader makes files beside the database, unless it is sure that nobody writes.
            Err(error) if error.is_forbidden() && !has_unmerged(&path) => {
                let connection = connect(&unchanging(&path)?, reading | OpenFlags::SQLITE_OPEN_URI)?;
                (format(&connection, &path)?, connection)
            }
            opened => opened?,
        };
        if found < known() {
            return Err(StateError::Older { path, found, known: known() });
        }
        check_store(&connection, &path, store_id)?;
        Ok(Self::with(connection))
    }

    /// A state in memory that nobody else sees: for trying detections out.
    ///
    /// # Errors
    /// If SQLite has no memory left.
    pub fn in_memory() -> Result<Self, StateError> {
        let path = Path::new(":memory:");
        let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        migrate(&mut connection, path, "none")?;
        Ok(Self::with(connection))
    }

    fn with(connection: Connection) -> Self {
        Self { connection: Arc::new(Mutex::new(connection)) }
    }
}

/// Whether changes lie beside the database that are not in it yet.
fn has_unmerged(path: &Path) -> bool {
    fs::metadata(beside(path, "-wal")).is_ok_and(|about| about.len() > 0)
}

/// The name of one of SQLite's files beside the database.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// The address by which SQLite takes a file for one that nobody changes.
fn unchanging(path: &Path) -> Result<PathBuf, StateError> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| StateError::Open { path: path.to_owned(), source };
    let whole = std::path::absolute(path).map_err(|e| failed(e.into()))?;
    let mut url = url::Url::from_file_path(&whole).map_err(|()| failed("its path is no URL".into()))?;
    url.set_query(Some("immutable=1"));
    Ok(PathBuf::from(url.to_string()))
}

/// Takes away what belonged to a database that is gone: SQLite would put it into the new one.
fn forget_lost(path: &Path) -> std::io::Result<()> {
    if fs::metadata(path).is_ok_and(|about| about.len() > 0) {
        return Ok(());
    }
    for ending in ["-wal", "-shm"] {
        match fs::remove_file(beside(path, ending)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    Ok(())
}

/// Makes the folder and the file before SQLite does, so that nobody else can read it for a moment;
/// SQLite gives its side files (`-wal`, `-shm`) the same permissions.
fn prepare_file(dir: &Path, path: &Path) -> std::io::Result<()> {
    fs::create_dir_all(dir)?;
    forget_lost(path)?;
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if file.metadata()?.permissions().mode() & 0o777 != 0o600 {
            file.set_permissions(fs::Permissions::from_mode(0o600))?;
        }
    }
    drop(file);
    Ok(())
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, StateError> {
    let opened = || {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        // Recording alone uses more than the 16 that are kept by default.
        connection.set_prepared_statement_cache_capacity(64);
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        Ok(connection)
    };
    opened().map_err(|source: rusqlite::Error| cannot_open(path, source))
}

/// Says "not ours" where SQLite says so, else "cannot open".
fn cannot_open(path: &Path, source: rusqlite::Error) -> StateError {
    match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => StateError::Foreign { path: path.to_owned() },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StateError::Busy,
        Some(ErrorCode::DatabaseCorrupt) => StateError::Corrupt(source),
        _ => StateError::Open { path: path.to_owned(), source: source.into() },
    }
}

fn known() -> i64 {
    MIGRATIONS.len() as i64
}

/// The file's format: 0 for an empty one.
fn format(connection: &Connection, path: &Path) -> Result<i64, StateError> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let read = || Ok((pragma("user_version")?, pragma("application_id")?, has_tables(connection)?));
    let (version, application, tables) = read().map_err(|source| cannot_open(path, source))?;
    if application != APPLICATION_ID && (version != 0 || application != 0 || tables) {
        return Err(StateError::Foreign { path: path.to_owned() });
    }
    if version > known() {
        return Err(StateError::Newer { path: path.to_owned(), found: version, known: known() });
    }
    Ok(version)
}

fn has_tables(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT count(*) > 0 FROM sqlite_schema", [], |row| row.get(0))
}

fn migrate(connection: &mut Connection, path: &Path, store_id: &str) -> Result<(), StateError> {
    format(connection, path)?;
    enter_wal(connection)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Read again under the lock: another process may have been quicker.
    let from = format(&transaction, path)?;
    for migration in MIGRATIONS.iter().skip(usize::try_from(from).unwrap_or(0)) {
        transaction.execute_batch(migration)?;
    }
    if from < known() {
        transaction.pragma_update(None, "user_version", known())?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    transaction.execute("INSERT OR IGNORE INTO meta (name, value) VALUES ('store_id', ?1)", [store_id])?;
    check_store(&transaction, path, store_id)?;
    transaction.commit()?;
    Ok(())
}

/// Changing the journal's mode needs the file for itself and does not always wait by itself.
fn enter_wal(connection: &Connection) -> Result<(), StateError> {
    let mut tries = 0;
    loop {
        let entered = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get::<_, String>(0));
        match entered.map_err(StateError::from) {
            Err(StateError::Busy) if tries < 100 => {
                tries += 1;
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error) => return Err(error),
            // A disk that cannot do WAL keeps its journal: slower, and as safe.
            Ok(_mode) => break,
        }
    }
    connection.pragma_update(None, "synchronous", "normal")?;
    Ok(())
}

fn check_store(connection: &Connection, path: &Path, wanted: &str) -> Result<(), StateError> {
    let found: Option<String> =
        connection.query_row("SELECT value FROM meta WHERE name = 'store_id'", [], |row| row.get(0)).optional()?;
    match found {
        Some(found) if found == wanted => Ok(()),
        Some(found) => Err(StateError::OtherStore { path: path.to_owned(), found, wanted: wanted.to_owned() }),
        None => Err(StateError::Foreign { path: PathBuf::from(path) }),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn dir() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn opens_again_and_only_for_its_own_store() {
        let dir = dir();
        State::open(dir.path(), "store-a").unwrap();
        State::open(dir.path(), "store-a").unwrap();
        State::open_existing(dir.path(), "store-a").unwrap();
        for refused in [State::open(dir.path(), "store-b"), State::open_existing(dir.path(), "store-b")] {
            let message = refused.unwrap_err().to_string();
            assert!(message.contains("store-a") && message.contains("store-b"), "{message}");
        }
    }

    #[test]
    fn a_database_that_nobody_may_change_is_read_as_it_stands() {
        let dir = dir();
        State::open(dir.path(), "s").unwrap().set_bookmark("a", "1", "t", 1).unwrap();
        let path = dir.path().join(FILE);
        assert!(!has_unmerged(&path), "the last one to close merges");
        let reading = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        let odd = dir.path().join("a b#c%d?e");
        fs::create_dir(&odd).unwrap();
        fs::copy(&path, odd.join(FILE)).unwrap();
        let connection = connect(&unchanging(&odd.join(FILE)).unwrap(), reading).unwrap();
        assert_eq!(State::with(connection).bookmark("a", "t").unwrap().as_deref(), Some("1"));
        assert_eq!(fs::read_dir(&odd).unwrap().count(), 1, "nothing was made beside it");
    }

    #[test]
    fn what_belonged_to_a_lost_database_is_not_put_into_the_new_one() {
        let dir = dir();
        let state = State::open(dir.path(), "s").unwrap();
        state.set_bookmark("a", "1", "t", 1).unwrap();
        let wal = fs::read(dir.path().join("state.db-wal")).unwrap();
        drop(state);
        fs::remove_file(dir.path().join(FILE)).unwrap();
        fs::write(dir.path().join("state.db-wal"), wal).unwrap();
        let state = State::open(dir.path(), "other").unwrap();
        assert_eq!(state.bookmark("a", "t").unwrap(), None);
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_can_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let dir = dir();
        fs::write(dir.path().join(FILE), b"").unwrap();
        fs::set_permissions(dir.path().join(FILE), fs::Permissions::from_mode(0o644)).unwrap();
        let state = State::open(dir.path(), "s").unwrap();
        state.set_bookmark("a", "1", "t", 1).unwrap();
        for name in [FILE, "state.db-wal", "state.db-shm"] {
            let mode = fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn a_newer_format_is_refused_and_says_so() {
        let dir = dir();
        State::open(dir.path(), "s").unwrap().lock().pragma_update(None, "user_version", 99).unwrap();
        for refused in [State::open(dir.path(), "s"), State::open_existing(dir.path(), "s")] {
            let message = refused.unwrap_err().to_string();
            assert!(message.contains("format 99") && message.contains("newer kvaudit"), "{message}");
        }
    }

    #[test]
    fn a_file_of_the_first_format_gains_incidents_and_keeps_its_alerts() {
        let (dir, state) = crate::state::testing::state();
        let rule = crate::state::testing::rule(0);
        crate::state::testing::record(&state, &rule, (0, 9), &[crate::state::testing::finding("ann", 1)]);
        // Back to how the first format was: what the second added is taken away.
        let undo = "DROP INDEX alerts_by_incident; ALTER TABLE alerts DROP COLUMN incident_id;
                    DROP TABLE incident_aliases; DROP TABLE incidents;
                    DROP TABLE hours; DROP TABLE stale; DROP TABLE rules_noted; PRAGMA user_version = 1;";
        state.lock().execute_batch("PRAGMA foreign_keys = off").unwrap();
        state.lock().execute_batch(undo).unwrap();
        drop(state);
        assert!(matches!(State::open_existing(dir.path(), "store-of-tests"), Err(StateError::Older { found: 1, .. })));
        let state = State::open(dir.path(), "store-of-tests").unwrap();
        state.correlate(1).unwrap();
        let filter = crate::state::AlertFilter::default();
        assert_eq!(state.incidents(&filter, crate::state::Order::NewestFirst, 9, None).unwrap().total, 1);
    }

    #[test]
    fn what_is_no_state_is_left_alone() {
        let dir = dir();
        let path = dir.path().join(FILE);
        let refused = State::open_existing(dir.path(), "s").unwrap_err();
        assert!(matches!(refused, StateError::Missing { .. }), "{refused}");
        assert!(!path.exists(), "a command that shows makes nothing");

        fs::write(&path, b"these are the notes of somebody else, long enough to be read as a header").unwrap();
        assert!(matches!(State::open(dir.path(), "s").unwrap_err(), StateError::Foreign { .. }));

        fs::remove_file(&path).unwrap();
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (a)").unwrap();
        assert!(matches!(State::open(dir.path(), "s").unwrap_err(), StateError::Foreign { .. }));
    }

    #[test]
    fn a_state_knows_whether_it_lasts() {
        let dir = dir();
        assert!(!State::open(dir.path(), "s").unwrap().is_in_memory());
        assert!(State::in_memory().unwrap().is_in_memory());
    }

    #[test]
    fn a_reading_handle_cannot_write() {
        let dir = dir();
        State::open(dir.path(), "s").unwrap();
        let state = State::open_existing(dir.path(), "s").unwrap();
        let refused = state.set_bookmark("a", "1", "t", 1).unwrap_err();
        assert!(matches!(refused, StateError::ReadOnly), "{refused}");
    }

    #[test]
    fn many_may_open_a_new_one_at_once() {
        let dir = dir();
        let opened: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| State::open(dir.path(), "s"))).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        for state in opened {
            state.unwrap().check_ready().unwrap();
        }
    }
}
