//! Detection over all days of generated logs by the built program, each rule alone and all together, as whole processes.
//! `KVAUDIT_BENCH_RECORDS` sets the size (default 200000).

use criterion::{Criterion, criterion_group, criterion_main};

mod generated;

fn detect(c: &mut Criterion) {
    let logs = generated::logs();
    let store = logs.dir.path().join("store");
    let status = generated::program().args(["ingest", "--no-progress", "--store"]).arg(&store).arg(&logs.file).status();
    assert!(status.expect("the program starts").success());
    let mut group = c.benchmark_group("detect");
    group.sample_size(10);
    let rules = ["mass_secret_read", "denied_spike", "throttling", "chatty_caller"];
    let runs = rules.iter().map(|rule| (*rule, vec!["--rule", rule])).chain([("all rules", Vec::new())]);
    for (name, arguments) in runs {
        group.bench_function(name, |b| {
            b.iter(|| {
                let status = generated::program()
                    .args(["detect", "--from", "400d", "--no-progress", "--format", "jsonl", "--store"])
                    .arg(&store)
                    .args(&arguments)
                    .stdout(std::process::Stdio::null())
                    .status();
                assert!(status.expect("the program starts").success());
            });
        });
    }
    group.finish();
}

criterion_group!(benches, detect);
criterion_main!(benches);
