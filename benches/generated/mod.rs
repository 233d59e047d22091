//! Logs that both benchmarks read, made by the program itself from a fixed seed.

use std::path::PathBuf;
use std::process::Command;

/// Generated logs, deleted with the value.
pub struct Logs {
    pub dir: tempfile::TempDir,
    pub file: PathBuf,
    #[allow(dead_code, reason = "only one of the benchmarks counts bytes")]
    pub bytes: u64,
}

/// The built program, in the profile of the benchmark.
pub fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_kvaudit"))
}

/// Thirty days of a company with a hundred identities.
pub fn logs() -> Logs {
    let records: f64 = std::env::var("KVAUDIT_BENCH_RECORDS").ok().and_then(|n| n.parse().ok()).unwrap_or(200_000.0);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let out = dir.path().join("logs");
    let rate = (records / 30.0).to_string();
    let status = program()
        .args(["simulate", "--single", "--no-progress", "--days", "30", "--identities", "100", "--rate", &rate])
        .arg(&out)
        .status();
    assert!(status.expect("the program starts").success());
    let file = out.join("records.jsonl");
    let bytes = std::fs::metadata(&file).expect("the logs").len();
    Logs { dir, file, bytes }
}
