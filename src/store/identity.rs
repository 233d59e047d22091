//! `kvaudit.json`: which store this is and in which format. Written once, by whoever comes first.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::StoreError;

/// The format that this program reads and writes.
pub const FORMAT_VERSION: u64 = 1;

/// The file's name in a store's directory.
pub(super) const MANIFEST: &str = "kvaudit.json";

/// What makes a directory a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    /// [`FORMAT_VERSION`] of the program that created it.
    pub format_version: u64,
    /// A UUID, so that `state.db` of one store ignores bookmarks of another.
    pub store_id: String,
    /// Program and version that created it.
    pub created_by: String,
}

/// Whether a store may be made where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Make one in a directory that is new or empty.
    Create,
    /// Only open what is there.
    Existing,
}

/// Reads the identity of the store in `dir`, after making it under [`Access::Create`].
pub(super) fn establish(dir: &Path, access: Access) -> Result<Identity, StoreError> {
    if let Some(escape) = escape_in(dir) {
        return Err(StoreError::Escape { dir: dir.to_path_buf(), escape });
    }
    let path = dir.join(MANIFEST);
    if let Some(identity) = read(dir, &path)? {
        return Ok(identity);
    }
    if access == Access::Existing {
        return Err(StoreError::Missing { dir: dir.to_path_buf() });
    }
    fs::create_dir_all(dir).map_err(|e| StoreError::at("create the directory", dir, e))?;
    if !is_vacant(dir)? {
        // Another creator may have finished between the two looks.
        return read(dir, &path)?.ok_or(StoreError::Foreign { dir: dir.to_path_buf() });
    }
    write_exclusively(dir, &path)?;
    read(dir, &path)?.ok_or_else(|| StoreError::Missing { dir: dir.to_path_buf() })
}

/// A piece of a path such as `%20`: Delta decodes addresses once too often, and would look elsewhere.
fn escape_in(dir: &Path) -> Option<String> {
    let absolute = std::path::absolute(dir).ok()?;
    let text = absolute.to_string_lossy();
    let at = text.match_indices('%').map(|(at, _)| &text[at..]);
    let mut pieces = at.filter_map(|rest| rest.get(..3));
    pieces.find(|piece| piece[1..].bytes().all(|b| b.is_ascii_hexdigit())).map(str::to_owned)
}

fn read(dir: &Path, path: &Path) -> Result<Option<Identity>, StoreError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => {
            return Err(StoreError::NotADirectory { dir: dir.to_path_buf() });
        }
        Err(e) => return Err(StoreError::at("read", path, e)),
    };
    let broken = |reason: String| StoreError::Manifest { path: path.to_path_buf(), reason };
    // The version is read by itself: a later format may have other fields.
    let value: serde_json::Value = serde_json::from_slice(&text).map_err(|e| broken(e.to_string()))?;
    let found = value["format_version"].as_u64().ok_or_else(|| broken("no format_version".to_owned()))?;
    if found != FORMAT_VERSION {
        return Err(StoreError::Version { dir: dir.to_path_buf(), found, supported: FORMAT_VERSION });
    }
    serde_json::from_value(value).map(Some).map_err(|e| broken(e.to_string()))
}

/// Nothing in it but what another creator has just begun, and the user's files about the world.
fn is_vacant(dir: &Path) -> Result<bool, StoreError> {
    let entries = fs::read_dir(dir).map_err(|e| match e.kind() {
        io::ErrorKind::NotADirectory => StoreError::NotADirectory { dir: dir.to_path_buf() },
        _ => StoreError::at("list", dir, e),
    })?;
    for entry in entries {
        let entry = entry.map_err(|e| StoreError::at("list", dir, e))?;
        let name = entry.file_name();
        if name != super::shelf::FOLDER && !name.to_string_lossy().starts_with(".kvaudit.json.") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Writes a whole file beside it and links it to its name: the link fails where the name is taken, so that
/// two creators agree on one identity and nobody reads half of it.
fn write_exclusively(dir: &Path, path: &Path) -> Result<(), StoreError> {
    let identity = Identity {
        format_version: FORMAT_VERSION,
        store_id: uuid::Uuid::new_v4().to_string(),
        created_by: concat!("kvaudit ", env!("CARGO_PKG_VERSION")).to_owned(),
    };
    let draft = Draft(dir.join(format!(".{MANIFEST}.{}", identity.store_id)));
    let text = serde_json::to_vec_pretty(&identity).expect("a struct of texts and numbers is JSON");
    let written =
        fs::File::create_new(&draft.0).and_then(|mut file| file.write_all(&text).and_then(|()| file.sync_all()));
    written.map_err(|e| StoreError::at("write", &draft.0, e))?;
    match fs::hard_link(&draft.0, path) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(StoreError::at("write", path, e)),
        _ => Ok(()),
    }
}

/// A file that goes away with its owner.
struct Draft(PathBuf);

impl Drop for Draft {
    fn drop(&mut self) {
        // Left behind it does no harm: is_vacant passes over it.
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_made_once_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("a/b");
        let missing = establish(&store, Access::Existing).unwrap_err().to_string();
        assert!(missing.contains("no store at") && missing.contains("kvaudit ingest SOURCE --store"), "{missing}");
        assert!(!store.exists(), "opening does not create");
        let first = establish(&store, Access::Create).unwrap();
        assert_eq!(first, establish(&store, Access::Create).unwrap());
        assert_eq!(first, establish(&store, Access::Existing).unwrap());
        assert_eq!(fs::read_dir(&store).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn creators_at_once_agree() {
        let dir = tempfile::tempdir().unwrap();
        let ids: Vec<_> = std::thread::scope(|scope| {
            let makers: Vec<_> =
                (0..8).map(|_| scope.spawn(|| establish(dir.path(), Access::Create).unwrap().store_id)).collect();
            makers.into_iter().map(|m| m.join().unwrap()).collect()
        });
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    }

    #[test]
    fn what_is_no_store_of_ours_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(MANIFEST);
        let cases = [
            (r#"{"format_version": 2, "new": 1}"#, "has format 2 and this kvaudit reads format 1"),
            (r#"{"format_version": "1"}"#, "no format_version"),
            (r#"{"format_version": 1}"#, "store_id"),
            ("{", "does not describe a store"),
        ];
        for (text, expected) in cases {
            fs::write(&path, text).unwrap();
            let error = establish(dir.path(), Access::Create).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
        let holiday = tempfile::tempdir().unwrap();
        fs::write(holiday.path().join("photo.jpg"), "x").unwrap();
        let error = establish(holiday.path(), Access::Create).unwrap_err().to_string();
        assert!(error.contains("not empty and holds no store"), "{error}");
        let error = establish(&holiday.path().join("photo.jpg"), Access::Create).unwrap_err().to_string();
        assert!(error.contains("is no directory"), "{error}");
    }
}
