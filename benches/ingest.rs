//! Ingest of generated logs by the built program, as a whole process: read, decode, identity, repeat check, sort, write,
//! roll-ups, commit. `KVAUDIT_BENCH_RECORDS` sets the size (default 200000). `KVAUDIT_BENCH_PEER`, a shell command in which
//! `{in}` and `{out}` are replaced, is measured in the same run.

use std::process::Command;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

mod generated;

fn ingest(c: &mut Criterion) {
    let logs = generated::logs();
    let out = logs.dir.path().join("store");
    let mut group = c.benchmark_group("ingest");
    group.sample_size(10).throughput(Throughput::Bytes(logs.bytes));
    let fresh = || {
        let _ = std::fs::remove_dir_all(&out);
    };
    group.bench_function("kvaudit", |b| {
        b.iter_batched(
            fresh,
            |()| {
                let status = generated::program()
                    .args(["ingest", "--no-progress", "--store"])
                    .arg(&out)
                    .arg(&logs.file)
                    .stdout(std::process::Stdio::null())
                    .status();
                assert!(status.expect("the program starts").success());
            },
            criterion::BatchSize::PerIteration,
        );
    });
    if let Ok(peer) = std::env::var("KVAUDIT_BENCH_PEER") {
        let command = peer.replace("{in}", &logs.file.to_string_lossy()).replace("{out}", &out.to_string_lossy());
        group.bench_function("peer", |b| {
            b.iter_batched(
                fresh,
                |()| assert!(Command::new("sh").args(["-c", &command]).status().expect("a shell").success()),
                criterion::BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, ingest);
criterion_main!(benches);
