//! The tables open in other engines. The readers are Python's deltalake, polars and pyarrow; `KVAUDIT_TEST_PYTHON` names an
//! interpreter that has them (`.ci/run` makes one). Without it the test says so and passes: the readers are not ours to install.

use crate::support::{Place, lines, reads};

const SCRIPT: &str = r#"
import sys, deltalake, polars, pyarrow.parquet as pq
store = sys.argv[1]
for name in ("events", "quarantine", "activity", "sightings", "coverage", "alerts"):
    table = deltalake.DeltaTable(f"{store}/{name}")
    rows = table.to_pyarrow_table().num_rows
    assert polars.scan_delta(f"{store}/{name}").collect().height == rows, name
    print(name, rows)
events = deltalake.DeltaTable(f"{store}/events")
print("parquet", sum(pq.read_table(f).num_rows for f in events.file_uris()))
frame = polars.read_delta(f"{store}/events").sort("time")
print("first", frame["time"][0].isoformat(), frame["vault_name"][0], frame["http_status_code"][0])
"#;

#[test]
fn polars_pyarrow_and_pythons_deltalake_read_the_tables() {
    let Some(python) = std::env::var_os("KVAUDIT_TEST_PYTHON") else {
        eprintln!("KVAUDIT_TEST_PYTHON is not set: not shown to other engines");
        return;
    };
    let place = Place::new();
    place.ingest(&place.file("a.json", lines(&reads(25))));
    let output =
        std::process::Command::new(python).args(["-c", SCRIPT]).arg(place.store()).output().expect("python starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    for line in ["events 25", "parquet 25", "coverage 1", "quarantine 0", "alerts 0", "first 2026-10-01T00:00:00"] {
        assert!(text.contains(line), "no '{line}' in\n{text}");
    }
}
