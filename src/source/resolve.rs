//! From the arguments of a command to a list of inputs in the archive's order.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{BlobPath, Input, InputKind, SourceError};

/// What the arguments came to. Problems do not stop the rest: the caller reads the inputs and then says that not
/// everything was read.
#[derive(Debug, Default)]
pub struct Resolved {
    /// What to read, in the order to read it.
    pub inputs: Inputs,
    /// What could not be found or listed, in the order of the arguments.
    pub problems: Vec<SourceError>,
}

/// Finds the inputs that `args` name: files, directories (all within them, links followed once, dot files, `README*`,
/// `*.md` and `labels.json` passed over), globs (the same), `-` for standard input. An argument that exists is itself,
/// whatever characters it has.
///
/// Order: first what has a blob path, of all arguments together, by hour and then by path; then the rest, by argument
/// and within it by path. A file that is reached twice is read once, where it was reached first.
pub fn resolve(args: &[String]) -> Resolved {
    let mut finder = Finder::default();
    for (position, arg) in args.iter().enumerate() {
        finder.argument(position, arg);
    }
    finder.found.sort_by(|a, b| (a.rank, &a.path).cmp(&(b.rank, &b.path)));
    Resolved { inputs: Inputs { found: finder.found }, problems: finder.problems }
}

/// Inputs in the order to read them. A list of hundreds of thousands holds little more than their paths: an [`Input`] is
/// made when its turn comes.
#[derive(Debug, Default)]
pub struct Inputs {
    found: Vec<Found>,
}

impl Inputs {
    /// Whether there is nothing to read.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Bytes of all of them on disk; none where one does not tell its size.
    pub fn bytes(&self) -> Option<u64> {
        self.found.iter().map(|found| found.bytes).sum()
    }
}

impl IntoIterator for Inputs {
    type Item = Input;
    type IntoIter = std::iter::Map<std::vec::IntoIter<Found>, fn(Found) -> Input>;

    fn into_iter(self) -> Self::IntoIter {
        self.found.into_iter().map(Found::input)
    }
}

/// Where an input stands among the others: a blob's hour comes before an argument's position, then its path decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Hour(chrono::DateTime<chrono::Utc>),
    Argument(usize),
}

/// A file, or standard input where its path is `-`.
#[derive(Debug)]
pub struct Found {
    rank: Rank,
    path: PathBuf,
    stdin: bool,
    bytes: Option<u64>,
}

impl Found {
    fn input(self) -> Input {
        Input {
            name: self.path.display().to_string(),
            blob: blob(&self.path),
            kind: if self.stdin { InputKind::Stdin } else { InputKind::File(self.path) },
            bytes: self.bytes,
        }
    }
}

/// What the path says. A folder given from within the archive shows its place only in full.
fn blob(path: &Path) -> Option<BlobPath> {
    BlobPath::parse(path)
        .filter(|blob| !blob.resource_id.is_empty())
        .or_else(|| BlobPath::parse(&std::path::absolute(path).ok()?))
}

/// Paths that were met, as hashes: a long list of long paths is held once and not twice.
#[derive(Default)]
struct Met(HashSet<[u8; 16]>);

impl Met {
    /// True where the path was not met before.
    fn insert(&mut self, path: &Path) -> bool {
        let hash = blake3::hash(path.as_os_str().as_encoded_bytes());
        self.0.insert(hash.as_bytes()[..16].try_into().expect("32 bytes have 16"))
    }
}

#[derive(Default)]
struct Finder {
    found: Vec<Found>,
    problems: Vec<SourceError>,
    /// Canonical paths of what is listed, so that nothing is listed twice.
    listed: Met,
}

impl Finder {
    fn argument(&mut self, position: usize, arg: &str) {
        if arg == "-" {
            return self.standard_input(position);
        }
        let path = Path::new(arg);
        match fs::metadata(path) {
            Ok(about) if about.is_dir() => {
                let mut walk = Walk::default();
                self.directory(position, path, &mut walk);
                self.expect_logs(&walk, arg);
            }
            Ok(about) => self.file(position, path, &about),
            Err(error) if error.kind() == io::ErrorKind::NotFound && is_pattern(arg) => self.pattern(position, arg),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.problems.push(SourceError::Missing { path: arg.to_owned() });
            }
            Err(error) => self.problems.push(SourceError::from_io(arg.to_owned(), error)),
        }
    }

    fn standard_input(&mut self, position: usize) {
        let path = PathBuf::from("-");
        if self.listed.insert(&path) {
            self.found.push(Found { rank: Rank::Argument(position), path, stdin: true, bytes: None });
        }
    }

    fn pattern(&mut self, position: usize, pattern: &str) {
        let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::new() };
        let matches = match glob::glob_with(pattern, options) {
            Ok(matches) => matches,
            Err(error) => return self.problems.push(SourceError::Pattern { pattern: pattern.to_owned(), error }),
        };
        let mut walk = Walk::default();
        let mut matched = false;
        for entry in matches {
            matched = true;
            match entry {
                Ok(path) if is_no_log(path.file_name().unwrap_or_default()) => {}
                Ok(path) => self.entry(position, path, &mut walk),
                Err(error) => {
                    walk.problems = true;
                    let path = error.path().display().to_string();
                    self.problems.push(SourceError::from_io(path, error.into()));
                }
            }
        }
        if matched {
            self.expect_logs(&walk, pattern);
        } else {
            self.problems.push(SourceError::NoMatch { pattern: pattern.to_owned() });
        }
    }

    /// Says that an argument came to nothing, unless a problem has said why.
    fn expect_logs(&mut self, walk: &Walk, arg: &str) {
        if walk.files == 0 && !walk.problems {
            self.problems.push(SourceError::NoLogs { path: arg.to_owned() });
        }
    }

    /// Lists a directory and all within it. A stack of its own, since the depth of a tree is not ours to choose.
    fn directory(&mut self, position: usize, root: &Path, walk: &mut Walk) {
        walk.open.push(root.to_owned());
        while let Some(directory) = walk.open.pop() {
            if !walk.visited.insert(&canonical(&directory)) {
                continue;
            }
            let entries = match fs::read_dir(&directory) {
                Ok(entries) => entries,
                Err(error) => {
                    self.refuse(&directory, error, walk);
                    continue;
                }
            };
            for entry in entries {
                match entry {
                    Ok(entry) if is_no_log(&entry.file_name()) => {}
                    Ok(entry) => self.within(position, entry.path(), walk),
                    Err(error) => self.refuse(&directory, error, walk),
                }
            }
        }
    }

    /// One match of a glob, with all within it.
    fn entry(&mut self, position: usize, path: PathBuf, walk: &mut Walk) {
        self.within(position, path, walk);
        while let Some(directory) = walk.open.pop() {
            self.directory(position, &directory, walk);
        }
    }

    /// One entry of a directory: a file is listed, a directory left for later, what is neither (a socket, a pipe, on
    /// which a read would wait for ever) passed over.
    fn within(&mut self, position: usize, path: PathBuf, walk: &mut Walk) {
        match fs::metadata(&path) {
            Ok(about) if about.is_dir() => walk.open.push(path),
            Ok(about) if about.is_file() => {
                walk.files += 1;
                self.file(position, &path, &about);
            }
            Ok(_) => {}
            Err(error) => self.refuse(&path, error, walk),
        }
    }

    fn refuse(&mut self, path: &Path, error: io::Error, walk: &mut Walk) {
        walk.problems = true;
        self.problems.push(SourceError::from_io(path.display().to_string(), error));
    }

    fn file(&mut self, position: usize, path: &Path, about: &fs::Metadata) {
        if !self.listed.insert(&canonical(path)) {
            return;
        }
        let rank = blob(path).map_or(Rank::Argument(position), |blob| Rank::Hour(blob.hour));
        let bytes = about.is_file().then_some(about.len());
        self.found.push(Found { rank, path: path.to_owned(), stdin: false, bytes });
    }
}

/// The walk of one argument.
#[derive(Default)]
struct Walk {
    /// Directories that wait to be listed.
    open: Vec<PathBuf>,
    /// Canonical paths of those that were: a link back up ends here.
    visited: Met,
    /// Log files seen, listed before or not.
    files: u64,
    /// Whether something within could not be listed.
    problems: bool,
}

/// The path without links; itself where there is no such thing (`/dev/fd/63` of a process substitution).
fn canonical(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

fn is_pattern(arg: &str) -> bool {
    arg.contains(['*', '?', '['])
}

/// Whether a name found in a directory is passed over: what lies beside logs and is none. Nothing else is, since
/// Azure's names carry `.json` and copies of them any name or none.
fn is_no_log(name: &OsStr) -> bool {
    let name = name.to_string_lossy().to_ascii_lowercase();
    name.starts_with('.') || name == "labels.json" || name.starts_with("readme") || name.ends_with(".md")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// A directory tree with the given files, each holding its own name.
    fn tree(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        dir
    }

    fn arg(dir: &tempfile::TempDir, path: &str) -> String {
        dir.path().join(path).display().to_string()
    }

    /// The names found, relative to the directory, and the problems' messages with the directory's path cut out.
    fn run(dir: &tempfile::TempDir, args: &[&str]) -> (Vec<String>, Vec<String>) {
        let args: Vec<String> = args.iter().map(|a| if *a == "-" { "-".to_owned() } else { arg(dir, a) }).collect();
        let resolved = resolve(&args);
        let root = format!("{}/", dir.path().display());
        let names = resolved.inputs.into_iter().map(|input| input.name.replace(&root, "")).collect();
        let problems = resolved.problems.iter().map(|problem| problem.to_string().replace(&root, "")).collect();
        (names, problems)
    }

    const VAULT: &str = "resourceId=/SUBSCRIPTIONS/1/VAULTS";

    #[test]
    fn a_directory_is_read_in_the_archives_hour_order_and_its_junk_passed_over() {
        let a = |name: &str, time: &str| format!("{VAULT}/{name}/{time}/PT1H.json");
        let files = [
            a("B", "y=2024/m=05/d=17/h=09/m=00"),
            a("A", "y=2024/m=05/d=17/h=10/m=00"),
            a("A", "Y=2024/M=05/D=17/H=09/M=00"),
            a("A", "y=2023/m=12/d=31/h=23/m=00"),
            "a-first-by-name.json".into(),
            "without-extension".into(),
            "README.md".into(),
            "notes.MD".into(),
            "readme.txt".into(),
            "labels.json".into(),
            ".hidden".into(),
            ".git/config".into(),
        ];
        let dir = tree(&files.iter().map(String::as_str).collect::<Vec<_>>());
        let (names, problems) = run(&dir, &["."]);
        let names: Vec<_> = names.iter().map(|name| name.trim_start_matches("./")).collect();
        let want = [&files[3], &files[2], &files[0], &files[1], "a-first-by-name.json", "without-extension"];
        assert_eq!(names, want);
        assert_eq!(problems, Vec::<String>::new());
    }

    #[test]
    fn files_without_a_blob_path_keep_the_order_of_the_arguments() {
        let dir = tree(&["a/2.json", "a/1.json", "b.json", "c.json"]);
        let (names, problems) = run(&dir, &["c.json", "-", "a", "b.json", "-"]);
        assert_eq!(names, ["c.json", "-", "a/1.json", "a/2.json", "b.json"]);
        assert!(problems.is_empty());
    }

    #[test]
    fn a_file_reached_twice_is_listed_once() {
        let dir = tree(&["logs/a.json"]);
        let (names, problems) = run(&dir, &["logs/a.json", "logs", "logs/../logs/a.json", "logs/*"]);
        assert_eq!((names.len(), problems.len()), (1, 0), "{names:?} {problems:?}");
    }

    #[test]
    fn globs_match_files_and_directories() {
        let dir = tree(&["a1.json", "a2.json", "b.json", "deep/x/c.json", "README.md", "[odd].json"]);
        for (pattern, want) in [
            ("a*.json", vec!["a1.json", "a2.json"]),
            ("d*", vec!["deep/x/c.json"]),
            ("**/*.json", vec!["[odd].json", "a1.json", "a2.json", "b.json", "deep/x/c.json"]),
            ("**", vec!["deep/x/c.json"]),
            ("a[2].json", vec!["a2.json"]),
            ("[odd].json", vec!["[odd].json"]),
            ("R*", vec![]),
        ] {
            let (names, _) = run(&dir, &[pattern]);
            if pattern == "**" {
                assert!(names.contains(&want[0].to_owned()), "{names:?}");
            } else {
                assert_eq!(names, want, "{pattern}");
            }
        }
    }

    #[test]
    fn what_names_nothing_says_so_and_does_not_stop_the_rest() {
        let dir = tree(&["good.json", "empty/README.md"]);
        fs::create_dir(dir.path().join("void")).unwrap();
        let (names, problems) = run(&dir, &["gone.json", "x*.json", "void", "empty", "emp*", "***", "good.json"]);
        assert_eq!(names, ["good.json"]);
        let starts = [
            "'gone.json' does not exist",
            "no file matches 'x*.json'",
            "'void' holds no log files",
            "'empty' holds no log files",
            "'emp*' holds no log files",
            "'***' is not a glob",
        ];
        assert_eq!(problems.len(), starts.len(), "{problems:?}");
        for (problem, start) in problems.iter().zip(starts) {
            assert!(problem.starts_with(start), "{problem}");
            assert!(problem.contains(": "), "says what to do: {problem}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_that_loop_or_dangle_do_not_stop_the_rest() {
        use std::os::unix::fs::symlink;
        let dir = tree(&["logs/a.json", "other/b.json"]);
        let at = |name: &str| dir.path().join(name);
        symlink(at("logs"), at("logs/up")).unwrap();
        symlink(at("other"), at("logs/other")).unwrap();
        symlink(at("logs/self"), at("logs/self")).unwrap();
        symlink(at("nowhere"), at("logs/dangling")).unwrap();
        let (names, mut problems) = run(&dir, &["logs"]);
        assert_eq!(names, ["logs/a.json", "logs/other/b.json"]);
        problems.sort();
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].starts_with("'logs/dangling' was there"), "{problems:?}");
        assert!(problems[1].contains("logs/self"), "{problems:?}");
    }

    #[cfg(unix)]
    #[test]
    fn a_socket_in_a_directory_is_passed_over() {
        let dir = tree(&["logs/a.json"]);
        let _listener = std::os::unix::net::UnixListener::bind(dir.path().join("logs/socket")).unwrap();
        assert_eq!(run(&dir, &["logs"]), (vec!["logs/a.json".to_owned()], vec![]));
    }

    #[cfg(unix)]
    #[test]
    fn a_directory_without_permission_is_a_problem_and_not_the_end() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tree(&["logs/a.json", "logs/locked/b.json"]);
        let locked = dir.path().join("logs/locked");
        fs::set_permissions(&locked, fs::Permissions::from_mode(0o000)).unwrap();
        let privileged = fs::read_dir(&locked).is_ok();
        let (names, problems) = run(&dir, &["logs"]);
        fs::set_permissions(&locked, fs::Permissions::from_mode(0o755)).unwrap();
        if privileged {
            return; // The superuser is refused nothing; the kind of error is checked below.
        }
        assert_eq!(names, ["logs/a.json"]);
        assert!(problems[0].starts_with("no permission to read 'logs/locked'"), "{problems:?}");
    }

    #[test]
    fn the_systems_refusals_become_their_own_errors() {
        let of = |kind: io::ErrorKind| SourceError::from_io("x".into(), kind.into()).to_string();
        assert!(of(io::ErrorKind::PermissionDenied).starts_with("no permission to read 'x'"));
        assert!(of(io::ErrorKind::NotFound).starts_with("'x' was there when the run began"));
        assert_eq!(of(io::ErrorKind::Other), "cannot read 'x'");
    }

    #[test]
    fn sizes_and_kinds_are_told() {
        let dir = tree(&["12345678"]);
        let resolved = resolve(&[arg(&dir, "12345678"), "-".to_owned()]);
        assert_eq!((resolved.inputs.is_empty(), resolved.inputs.bytes()), (false, None));
        let inputs: Vec<Input> = resolved.inputs.into_iter().collect();
        assert_eq!(inputs[0].bytes, Some(8));
        assert_eq!(inputs[0].kind, InputKind::File(dir.path().join("12345678")));
        assert_eq!((inputs[1].bytes, &inputs[1].kind), (None, &InputKind::Stdin));
    }
}
