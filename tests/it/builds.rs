//! What a first build costs: the program and its tests share one.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Features of each package, as cargo resolves them along these edges.
fn features(edges: &str) -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--prefix", "none", "--format", "{p}\t{f}", "--edges", edges])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("cargo writes UTF-8");
    let mut packages: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines() {
        let (package, features) = line.split_once('\t').unwrap_or((line, ""));
        let features = features.trim_end_matches(" (*)").split(',').map(str::to_owned);
        packages.entry(package.trim_end_matches(" (*)").to_owned()).or_default().extend(features);
    }
    packages
}

/// A feature that only a development dependency asks for makes `cargo test` compile the package, and all that stand on it,
/// once more after `cargo run`. Where this fails, name the feature in `[dependencies]` too, as for `serde`.
#[test]
fn a_package_has_the_same_features_for_the_program_and_its_tests() {
    let (program, tests) = (features("normal,build"), features("normal,build,dev"));
    assert!(program.len() > 300, "{}", program.len());
    let other: Vec<String> = program
        .iter()
        .filter(|(package, features)| tests.get(*package) != Some(features))
        .map(|(package, features)| format!("{package}: {features:?}, in tests {:?}", tests.get(package)))
        .collect();
    assert_eq!(other, Vec::<String>::new());
}
