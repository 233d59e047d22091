//! Who may import whom: the table in ARCHITECTURE.md held against the code.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Rows of the form `| room | may import |` under the heading "Who may import whom".
fn allowed() -> BTreeMap<String, BTreeSet<String>> {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let section =
        text.split("## Who may import whom").nth(1).expect("the section").split("\n## ").next().expect("its text");
    let clean = |cell: &str| cell.trim().trim_matches('`').to_owned();
    section
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let mut cells = line.trim_matches('|').split('|');
            let room = clean(cells.next().expect("a room"));
            let may =
                cells.next().expect("what it may import").split(',').map(clean).filter(|c| c != "nothing").collect();
            (room, may)
        })
        .collect()
}

fn rust_files(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("a folder").flatten() {
        let path = entry.path();
        // Files that are compiled for tests alone may use what they like.
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if stem == "tests" || stem.ends_with("_tests") || stem == "testing" || stem == "samples" {
            continue;
        }
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}

/// Names after `crate::` in code, comments left out.
fn imports(text: &str) -> BTreeSet<String> {
    let code: String = text.lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    code.match_indices("crate::")
        .map(|(at, _)| code[at + 7..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect())
        .filter(|name: &String| !name.is_empty())
        .collect()
}

#[test]
fn rooms_import_only_what_the_table_allows() {
    let allowed = allowed();
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut files = Vec::new();
    rust_files(&root().join("src"), &mut files);
    for file in files {
        let inside = file.strip_prefix(root().join("src")).expect("under src");
        let room = inside
            .components()
            .next()
            .expect("a name")
            .as_os_str()
            .to_string_lossy()
            .trim_end_matches(".rs")
            .to_owned();
        if room == "lib" || room == "main" {
            continue;
        }
        let text = std::fs::read_to_string(&file).expect("a source file");
        // Unit tests may build fixtures with what stands above them; the library may not.
        let code = text.split("#[cfg(test)]").next().expect("a first part");
        found.entry(room.clone()).or_default().extend(imports(code).into_iter().filter(|name| *name != room));
    }
    assert_eq!(
        found.keys().collect::<Vec<_>>(),
        allowed.keys().collect::<Vec<_>>(),
        "every room has a row, and no row is without a room"
    );
    for (room, names) in found {
        let extra: Vec<_> = names.difference(&allowed[&room]).collect();
        assert!(extra.is_empty(), "{room} imports {extra:?}, which ARCHITECTURE.md does not allow");
    }
}

#[test]
fn only_the_commands_print_or_read_the_clock_and_the_environment() {
    let mut files = Vec::new();
    rust_files(&root().join("src"), &mut files);
    for file in files.iter().filter(|f| !f.starts_with(root().join("src/cli")) && !f.ends_with("main.rs")) {
        let text = std::fs::read_to_string(file).expect("a source file");
        let code = text.split("#[cfg(test)]").next().expect("a first part");
        for banned in ["println!", "eprintln!", "std::env::var", "Utc::now()", "SystemTime::now()"] {
            assert!(!code.contains(banned), "{} uses {banned}", file.display());
        }
    }
}
