//! The six questions of the comparison with other engines (`benches/questions/*.sql`), each a fresh `kvaudit query` over
//! generated logs. `KVAUDIT_BENCH_STORE` names a store to ask in place of generated logs; `KVAUDIT_BENCH_RECORDS` sets
//! the size of those (default 200000). `KVAUDIT_BENCH_PEER`, a shell command in which `{in}` (the logs) and `{question}`
//! (a, b1, b2, c, d, e) are replaced, is measured in the same run; it may keep what it made of the logs.
//!
//! e and b2 are answered by roll-ups alone; c and d take from them the hours that can hold an answer. b1 asks for reads
//! alone, which `sightings` does not tell from other calls, and a counts refusals by address where a caller has no name.
//! The caller is `principal_id` here, where the peers take the first name among the claims: the same on these logs.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use criterion::{Criterion, criterion_group, criterion_main};

mod generated;

const QUESTIONS: [&str; 6] = ["a", "b1", "b2", "c", "d", "e"];

fn questions(c: &mut Criterion) {
    let logs = generated::logs();
    let store = std::env::var_os("KVAUDIT_BENCH_STORE").map_or_else(|| logs.dir.path().join("store"), PathBuf::from);
    if !store.exists() {
        let ingest =
            generated::program().args(["ingest", "--no-progress", "--store"]).arg(&store).arg(&logs.file).status();
        assert!(ingest.expect("the program starts").success());
    }
    let peer = std::env::var("KVAUDIT_BENCH_PEER").ok();
    for question in QUESTIONS {
        let mut group = c.benchmark_group(question);
        group.sample_size(10);
        let sql = format!("{}/benches/questions/{question}.sql", env!("CARGO_MANIFEST_DIR"));
        group.bench_function("kvaudit", |b| {
            b.iter(|| {
                let mut ask = generated::program();
                ask.args(["query", "--format", "csv", "--file", &sql, "--store"]).arg(&store).stdout(Stdio::null());
                assert!(ask.status().expect("the program starts").success());
            });
        });
        if let Some(peer) = &peer {
            let command = peer.replace("{in}", &logs.file.to_string_lossy()).replace("{question}", question);
            group.bench_function("peer", |b| {
                b.iter(|| assert!(Command::new("sh").args(["-c", &command]).status().expect("a shell").success()));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, questions);
criterion_main!(benches);
