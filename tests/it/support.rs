//! A directory of its own for each test, the program, and records to feed it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use serde_json::{Value, json};

/// Where the sample logs lie.
pub const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/sample-logs");

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let (path, to) = entry.map(|e| (e.path(), to.join(e.file_name()))).expect("an entry");
        if path.is_dir() {
            copy_folder(&path, &to);
        } else {
            std::fs::copy(&path, &to).expect("a copy");
        }
    }
}

/// A test's directory with a store in it.
pub struct Place {
    pub dir: tempfile::TempDir,
}

/// What a command left behind.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// Fails the test with everything the command said, unless it ended with this code.
    #[track_caller]
    pub fn code(self, code: i32) -> Ran {
        assert_eq!(self.code, code, "\n--- stdout\n{}\n--- stderr\n{}", self.out, self.err);
        self
    }

    /// Standard output as one JSON document.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("no JSON ({e}): {}", self.out))
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        Ran {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Place {
    pub fn new() -> Place {
        Place { dir: tempfile::tempdir().expect("a temporary directory") }
    }

    /// After the main job on the sample logs, which is done once for all tests that begin with it.
    pub fn sampled() -> Place {
        static DONE: LazyLock<Place> = LazyLock::new(|| {
            let place = Place::new();
            place.run(&["run", "--once", SAMPLE]).code(0);
            place
        });
        let place = Place::new();
        copy_folder(&DONE.store(), &place.store());
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn store(&self) -> PathBuf {
        self.path("store")
    }

    /// Writes a file, with the folders above it.
    pub fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        std::fs::write(&path, bytes).expect("a written file");
        path
    }

    /// The program, with this test's store and nothing of the caller's environment that changes output.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kvaudit"));
        command.args(args).current_dir(self.dir.path()).env("KVAUDIT_STORE", self.store());
        let ours = ["KVAUDIT_CONFIG", "KVAUDIT_LOG", "KVAUDIT_NOW", "KVAUDIT_DATES", "KVAUDIT_ZONE"];
        for name in ours.into_iter().chain(["COLUMNS", "NO_COLOR", "RUST_LOG"]) {
            command.env_remove(name);
        }
        command
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        self.command(args).stdin(Stdio::null()).output().expect("the program starts").into()
    }

    pub fn run_with_input(&self, args: &[&str], input: &[u8]) -> Ran {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        let input = input.to_vec();
        let feeder = std::thread::spawn(move || {
            let _ = stdin.write_all(&input);
        });
        let output = child.wait_with_output().expect("the program ends");
        feeder.join().expect("the feeder ends");
        output.into()
    }

    /// Ingests and returns the counts.
    #[track_caller]
    pub fn ingest(&self, source: &Path) -> Value {
        self.run(&["ingest", "--format", "json", &source.to_string_lossy()]).code(0).json()
    }

    /// Rows of a query as JSON.
    #[track_caller]
    pub fn query(&self, sql: &str) -> Value {
        self.run(&["query", "--format", "json", sql]).code(0).json()
    }

    /// One number out of a query.
    #[track_caller]
    pub fn number(&self, sql: &str) -> i64 {
        let rows = self.query(sql);
        rows[0]
            .as_object()
            .and_then(|row| row.values().next())
            .and_then(Value::as_i64)
            .unwrap_or_else(|| panic!("no number: {rows}"))
    }
}

/// A secret read as Azure logs it, `seconds` after 2026-10-01; `n` makes it a record of its own.
pub fn secret_get(n: u64, seconds: f64) -> Value {
    let time = chrono::DateTime::from_timestamp_micros(1_790_812_800_000_000 + (seconds * 1e6) as i64).expect("a time");
    let object =
        format!("https://kv-shop-prod.vault.azure.net/secrets/db-password-{}/0123456789abcdef0123456789abcdef", n % 7);
    json!({
        "time": time.format("%Y-%m-%dT%H:%M:%S%.6f1Z").to_string(),
        "category": "AuditEvent",
        "resourceId": "/SUBSCRIPTIONS/11111111-1111-1111-1111-111111111111/RESOURCEGROUPS/RG-SHOP/PROVIDERS/MICROSOFT.KEYVAULT/VAULTS/KV-SHOP-PROD",
        "operationName": "SecretGet",
        "operationVersion": "7.4",
        "resultType": "Success",
        "resultSignature": "OK",
        "resultDescription": "",
        "durationMs": "18",
        "callerIpAddress": "10.1.2.3",
        "correlationId": format!("{n:08x}-0000-4000-8000-000000000000"),
        "identity": {"claim": {
            "oid": "AAAAAAAA-0000-0000-0000-000000000001", "appid": "bbbbbbbb-0000-0000-0000-000000000001", "idtyp": "app",
            "xms_mirid": "/subscriptions/11111111-1111-1111-1111-111111111111/resourcegroups/rg-shop/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id-shop",
        }},
        "properties": {
            "id": object, "clientInfo": "azsdk-net-Security.KeyVault.Secrets/4.5.0 (.NET 8.0.1; Linux)",
            "requestUri": format!("{object}?api-version=7.4"), "httpStatusCode": 200, "isRbacAuthorized": true, "tlsVersion": "TLS1_2",
        },
    })
}

/// Records as JSON lines.
pub fn lines(records: &[Value]) -> Vec<u8> {
    records.iter().flat_map(|r| format!("{r}\n").into_bytes()).collect()
}

/// A run of secret reads, a second apart.
pub fn reads(count: u64) -> Vec<Value> {
    (0..count).map(|n| secret_get(n, n as f64)).collect()
}

/// Bytes, gzipped.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    gzip_at(bytes, flate2::Compression::fast())
}

/// Bytes, gzipped as small as it goes.
pub fn gzip_best(bytes: &[u8]) -> Vec<u8> {
    gzip_at(bytes, flate2::Compression::best())
}

fn gzip_at(bytes: &[u8], level: flate2::Compression) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
    encoder.write_all(bytes).expect("memory takes bytes");
    encoder.finish().expect("memory takes bytes")
}
