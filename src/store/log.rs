//! A table's log on disk. A commit counts once its name is there, so it is brought to the disk before it gets its name; and
//! when a table is opened, what a reader of it needs must be there and whole. What a power cut leaves behind (an empty or
//! cut-off commit, a checkpoint that is none) would else read as a shorter table.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use deltalake::kernel::Version;
use serde::de::IgnoredAny;

use super::error::StoreError;
use super::table::{DataFile, footer};

/// The log's directory in a table's.
const LOG: &str = "_delta_log";

/// Says where a reader finds the newest checkpoint, which it may do without.
const HINT: &str = "_last_checkpoint";

/// The key in a commit's `commitInfo` under which our commits say how many lines they have.
pub(super) const LINES_KEY: &str = "kvauditLines";

/// What is wrong with a table's files.
#[derive(Debug)]
pub(super) struct Flaw {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it, after its name.
    pub what: String,
    /// It is the newest commit: nothing rests on it.
    pub newest: bool,
}

/// Brings a directory's entries to the disk, where the file system can do that for directories.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    match File::open(dir)?.sync_all() {
        Err(e) if matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        done => done,
    }
}

/// Makes `bytes` the commit `version` of a table; false where somebody else has made that one. The files that it names must
/// be on the disk. Afterwards the commit is, too.
pub(super) fn place(table: &Path, version: Version, bytes: &[u8]) -> Result<bool, StoreError> {
    let log = table.join(LOG);
    let path = log.join(commit_name(version));
    let failed = |e: io::Error| StoreError::at("commit to the table by", &path, e);
    sync_dir(table).map_err(failed)?;
    // Readers pass over a name that ends in '#' and digits.
    let draft = Draft(log.join(format!("{}#{}", commit_name(version), uuid::Uuid::new_v4().as_u128())));
    let written = File::create_new(&draft.0).and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    written.map_err(failed)?;
    // A link fails where the name is taken.
    match fs::hard_link(&draft.0, &path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        linked => linked.map_err(failed)?,
    }
    drop(draft);
    sync_dir(&log).map_err(failed)?;
    Ok(true)
}

/// Brings what others have written for a version (the first commit, a checkpoint) to the disk.
pub(super) fn sync_version(table: &Path, version: Version) -> io::Result<()> {
    let log = table.join(LOG);
    let prefix = format!("{version:020}.");
    for entry in fs::read_dir(&log)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == HINT || name.to_string_lossy().starts_with(&prefix) {
            File::open(entry.path())?.sync_all()?;
        }
    }
    sync_dir(&log)?;
    sync_dir(table)?;
    table.parent().map_or(Ok(()), sync_dir)
}

/// A file that goes away with its owner.
struct Draft(PathBuf);

impl Drop for Draft {
    fn drop(&mut self) {
        // Left behind it does no harm: nobody reads a name of that form.
        let _ = fs::remove_file(&self.0);
    }
}

fn commit_name(version: Version) -> String {
    format!("{version:020}.json")
}

/// What a log's directory holds.
#[derive(Default)]
struct Listing {
    commits: BTreeSet<Version>,
    checkpoints: BTreeMap<Version, Vec<PathBuf>>,
}

impl Listing {
    fn of(log: &Path) -> Result<Listing, StoreError> {
        let mut listing = Listing::default();
        let entries = match fs::read_dir(log) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(listing),
            entries => entries.map_err(|e| StoreError::at("list", log, e))?,
        };
        for entry in entries {
            let path = entry.map_err(|e| StoreError::at("list", log, e))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let Some((Ok(version), rest)) = name.split_at_checked(20).map(|(v, rest)| (v.parse::<Version>(), rest))
            else {
                continue;
            };
            if rest == ".json" {
                listing.commits.insert(version);
            } else if rest.starts_with(".checkpoint") && (rest.ends_with(".parquet") || rest.ends_with(".json")) {
                listing.checkpoints.entry(version).or_default().push(path);
            }
        }
        Ok(listing)
    }
}

/// Whether the table was made: its log has a commit or a checkpoint. A first commit that is empty, in a directory without
/// any data, is what a creator left whose machine lost power; it is taken away.
pub(super) fn is_made(table: &Path) -> Result<bool, StoreError> {
    let log = table.join(LOG);
    let listing = Listing::of(&log)?;
    if listing.checkpoints.is_empty() && listing.commits.iter().eq([&0]) {
        let first = log.join(commit_name(0));
        let empty = fs::metadata(&first).is_ok_and(|about| about.len() == 0);
        let data = fs::read_dir(table).into_iter().flatten().flatten();
        if empty && !data.map(|entry| entry.path()).any(|path| path.extension().is_some_and(|e| e == "parquet")) {
            fs::remove_file(&first).map_err(|e| StoreError::at("remove the empty file", &first, e))?;
            return Ok(false);
        }
    }
    Ok(!listing.commits.is_empty() || !listing.checkpoints.is_empty())
}

/// The first thing that is wrong with the part of a table's log that readers need: the newest checkpoint and the commits after
/// it. A checkpoint that cannot be read is taken away where the commits that it sums up are there.
pub(super) fn check(table: &Path) -> Result<Option<Flaw>, StoreError> {
    let log = table.join(LOG);
    let mut listing = Listing::of(&log)?;
    let newest = listing.commits.last().copied().unwrap_or(0);
    while let Some(entry) = listing.checkpoints.last_entry() {
        let Some(bad) = entry.get().iter().find(|path| !is_whole_checkpoint(path)).cloned() else { break };
        let files = entry.remove();
        let before = listing.checkpoints.last_key_value().map_or(0, |(version, _)| version + 1);
        let gone = |e| StoreError::at("take away the damaged checkpoint", &bad, e);
        if (before..=newest).any(|version| !listing.commits.contains(&version)) {
            return Ok(Some(Flaw { path: bad, what: "is a damaged checkpoint".to_owned(), newest: false }));
        }
        files.iter().try_for_each(fs::remove_file).map_err(gone)?;
    }
    check_hint(&log, &listing)?;
    let first = listing.checkpoints.last_key_value().map_or(0, |(version, _)| version + 1);
    for version in first..=newest {
        let path = log.join(commit_name(version));
        let flawed = |what: &str| Some(Flaw { path: path.clone(), what: what.to_owned(), newest: version == newest });
        if !listing.commits.contains(&version) {
            return Ok(flawed("is missing"));
        }
        let bytes = fs::read(&path).map_err(|e| StoreError::at("read", &path, e))?;
        if let Some(what) = commit_flaw(&bytes) {
            return Ok(flawed(what));
        }
    }
    Ok(None)
}

fn is_whole_checkpoint(path: &Path) -> bool {
    match path.extension() {
        Some(e) if e == "parquet" => footer(path).is_ok(),
        _ => fs::read(path).is_ok_and(|bytes| commit_flaw(&bytes).is_none()),
    }
}

/// A hint at a checkpoint that is not there stops readers; without one they look for themselves.
fn check_hint(log: &Path, listing: &Listing) -> Result<(), StoreError> {
    let path = log.join(HINT);
    let Ok(bytes) = fs::read(&path) else { return Ok(()) };
    let hint: Option<serde_json::Value> = serde_json::from_slice(&bytes).ok();
    let version = hint.and_then(|hint| hint["version"].as_u64());
    if version.is_some_and(|version| listing.checkpoints.contains_key(&version)) {
        return Ok(());
    }
    fs::remove_file(&path).map_err(|e| StoreError::at("take away the stale file", &path, e))
}

/// Why a commit is not whole. Files are cut off at their end: its last line and the number of its lines tell.
fn commit_flaw(bytes: &[u8]) -> Option<&'static str> {
    let text = bytes.trim_ascii();
    if text.is_empty() {
        return Some("is empty");
    }
    let last = text.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    if serde_json::from_slice::<IgnoredAny>(last).is_err() {
        return Some("is cut off");
    }
    let first = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let info: serde_json::Value = serde_json::from_slice(first).unwrap_or_default();
    let said = info["commitInfo"][LINES_KEY].as_u64();
    let lines = memchr::memchr_iter(b'\n', text).count() as u64 + 1;
    said.is_some_and(|said| said != lines).then_some("is cut off")
}

/// The first of a table's data files that is not there as the log says.
pub(super) fn check_files(files: &[DataFile]) -> Option<Flaw> {
    files.iter().find_map(|file| {
        let what = match fs::metadata(&file.path) {
            Ok(about) if about.len() == file.size => return None,
            Ok(about) => format!("has {} bytes where the table's log says {}", about.len(), file.size),
            Err(e) if e.kind() == io::ErrorKind::NotFound => "is missing".to_owned(),
            // Forbidden or out of reach for now: reading it will say so.
            Err(_) => return None,
        };
        Some(Flaw { path: file.path.clone(), what, newest: false })
    })
}

/// What is wrong with a table that has no log: nothing, unless files of its rows are there.
pub(super) fn lost(table: &Path) -> Option<Flaw> {
    let files = fs::read_dir(table).into_iter().flatten().flatten();
    let rows = files.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "parquet")).count();
    let what = format!("is gone, and {rows} files of the table's rows are there");
    (rows > 0).then(|| Flaw { path: table.join(LOG), what, newest: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_whole_or_it_is_not() {
        let whole = "{\"commitInfo\":{\"kvauditLines\":3}}\n{\"add\":{}}\n{\"txn\":{}}";
        let cases = [
            ("", Some("is empty")),
            (" \n", Some("is empty")),
            (&whole[..10], Some("is cut off")),
            (&whole[..whole.len() - 1], Some("is cut off")),
            (&whole[..whole.len() - 11], Some("is cut off")),
            (whole, None),
            // Another program's, which do not count.
            ("{\"commitInfo\":{}}\n{\"add\":{}}\n", None),
            ("{\"add\":{}}", None),
        ];
        for (text, expected) in cases {
            assert_eq!(commit_flaw(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(commit_flaw(&[0; 100]), Some("is cut off"));
    }

    #[test]
    fn a_version_is_placed_once() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(LOG)).unwrap();
        assert!(place(dir.path(), 7, b"{}").unwrap());
        assert!(!place(dir.path(), 7, b"{1}").unwrap());
        let log = dir.path().join(LOG);
        assert_eq!(fs::read(log.join(commit_name(7))).unwrap(), b"{}");
        assert_eq!(fs::read_dir(log).unwrap().count(), 1, "no draft is left");
    }
}
