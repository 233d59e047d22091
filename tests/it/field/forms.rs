//! Forms of files: what is read, what is refused by name, and what damage leaves standing.

use std::path::Path;

use serde_json::{Value, json};

use super::input;
use crate::support::{Place, Ran, lines, secret_get};

fn ingest(place: &Place, file: &Path) -> Ran {
    place.run(&["ingest", "--format", "json", &file.to_string_lossy()])
}

/// Events, pieces in quarantine and skipped records of a run.
#[track_caller]
fn counts(ran: &Ran) -> (u64, u64, u64) {
    let report = ran.json();
    let n = |name: &str| report[name].as_u64().expect("a count");
    (n("events_written"), n("quarantined"), n("skipped"))
}

#[track_caller]
fn form(ran: &Ran) -> String {
    let report = ran.json();
    let forms = report["forms"].as_object().expect("forms");
    forms.keys().next().cloned().unwrap_or_default()
}

#[test]
fn every_form_from_the_field_is_read() {
    for (name, events, quarantined, skipped, read_as) in [
        ("09-eventhub-broken-neighbour.jsonl", 4, 2, 0, "JSON lines"),
        ("21-powershell-export.csv", 2, 0, 0, "CSV"),
        ("31-elastic-export.jsonl", 2, 0, 0, "JSON lines"),
        ("37-leading-comma.json", 2, 0, 0, "JSON envelope"),
        ("38-eventhub-capture.avro", 3, 0, 0, "Avro (Event Hubs Capture)"),
        ("45-kusto-v2.json", 2, 0, 0, "Kusto frames"),
        ("63-portal-activity.csv", 3, 0, 0, "CSV (Activity log of the portal)"),
    ] {
        let ran = ingest(&Place::new(), &input(name)).code(0);
        assert_eq!(counts(&ran), (events, quarantined, skipped), "{name}: {}", ran.err);
        assert_eq!(form(&ran), read_as, "{name}");
    }
}

#[test]
fn the_portals_activity_log_says_what_was_done_and_how_it_ended() {
    let place = Place::new();
    ingest(&place, &input("63-portal-activity.csv")).code(0);
    let rows = place.query("SELECT operation_name, outcome, change_kind, vault_name FROM events ORDER BY time");
    let policies = "Microsoft.KeyVault/vaults/accessPolicies/write";
    let row = |operation: &str, outcome: &str, change: Value| json!({"operation_name": operation, "outcome": outcome, "change_kind": change, "vault_name": "kv-harbor-prd"});
    assert_eq!(rows[1]["operation_name"], policies, "{rows}");
    assert_eq!(rows[1]["outcome"], "success", "{rows}");
    assert_eq!(rows[2], row("Microsoft.KeyVault/vaults/delete", "client_error", json!("vault_deleted")), "{rows}");
}

#[test]
fn a_scrap_before_sound_records_costs_none_of_them() {
    let records: Vec<Value> = (1..=2).map(|n| secret_get(n, n as f64)).collect();
    let list = format!("{},{}", records[0], records[1]);
    let plain = String::from_utf8(lines(&records)).expect("UTF-8");
    for (text, quarantined) in [
        (format!("{{\"records\":[null,{list}]}}"), 1),
        (format!("{{\"records\":[17,{list}]}}\n"), 1),
        (format!("{{\"records\":[\"x\",{list}]}}\n{{\"records\":[]}}\n"), 1),
        (format!("<!-- saved -->\n{plain}"), 1),
        (format!("<html>\n{plain}"), 1),
    ] {
        let place = Place::new();
        let ran = ingest(&place, &place.file("x.json", &text)).code(0);
        assert_eq!(counts(&ran), (2, quarantined, 0), "{text}\n{}", ran.err);
    }
}

#[test]
fn a_siems_export_is_unwrapped_and_a_wrapper_of_nothing_known_is_named() {
    let record = secret_get(7, 7.0);
    let text = record.to_string();
    let wrapped = [
        json!({"result": {"_raw": text, "host": "h"}}),
        json!({"preview": false, "result": {"_raw": json!({"records": [record]}).to_string()}}),
        json!({"time": 1_795_075_200, "host": "h", "event": record}),
        json!({"_index": "x", "_source": {"event.original": text}}),
        json!({"_source": {"message": text, "event": {"original": "not this"}}}),
        json!({"took": 3, "hits": {"total": {"value": 1}, "hits": [{"_source": {"message": text}}]}}),
        json!({"content": {"attributes": record}}),
        json!({"log": text, "stream": "stdout"}),
        json!({"body": json!({"records": [record]})}),
        json!(text),
    ];
    for (at, document) in wrapped.iter().enumerate() {
        for layout in [document.to_string() + "\n", serde_json::to_string_pretty(document).unwrap()] {
            let layout = if document.is_string() { format!("[{layout}]") } else { layout };
            let place = Place::new();
            let file = place.file("wrapped.json", &layout);
            assert_eq!(counts(&ingest(&place, &file).code(0)), (1, 0, 0), "{at}: {layout}");
            let raw = place.file("raw.json", lines(std::slice::from_ref(&record)));
            let again = ingest(&place, &raw).code(0).json();
            assert_eq!(again["duplicates"], 1, "the same record unwrapped is the same event: {at}");
        }
    }
    let place = Place::new();
    let file =
        place.file("ecs.json", "{\"_index\":\"x\",\"_source\":{\"azure\":{\"a\":1},\"message\":\"text\"}}\n".repeat(3));
    let ran = ingest(&place, &file).code(0);
    assert_eq!(counts(&ran), (0, 0, 3));
    assert!(ran.err.contains("no log record was found in") && ran.err.contains("'_source'"), "{}", ran.err);
}

#[test]
fn a_record_that_was_cut_short_or_has_raw_newlines_costs_nobody_beside_it() {
    let record = |n: u64| secret_get(n, n as f64);
    let cut = |n: u64, bytes: usize| record(n).to_string()[..bytes].to_owned();
    let mut raw = record(3);
    raw["properties"]["clientInfo"] = json!("RAW");
    let raw = raw.to_string().replace("RAW", "line one\nline two\t\u{1}");
    let [a, b, d] = [record(1), record(2), record(4)].map(|record| record.to_string());
    for (what, text, events, quarantined) in [
        ("cut in a string, on one line", format!("{{\"records\":[{a},{}{{\"records\":[{b},{d}]}}\n", cut(3, 40)), 3, 1),
        (
            "cut in a later document",
            format!("{{\"records\":[{a}]}}\n{{\"records\":[{b},{}{{\"records\":[{d}]}}\n", cut(3, 40)),
            3,
            1,
        ),
        ("cut before a line", format!("{{\"records\":[{a},{}\n{{\"records\":[{b}]}}\n{d}\n", cut(3, 40)), 3, 1),
        ("cut at a comma", format!("{{\"records\":[{a},\n{{\"records\":[{b}]}}\n{d}\n"), 3, 0),
        (
            "single quotes within",
            format!("{{\"records\":[{a},{{'x':'y'}},{b}]}}\n{{\"records\":[{{'x':[1]}},{d}]}}\n"),
            3,
            2,
        ),
        ("a newline in a string", format!("{a}\n{raw}\n{b}\n{d}\n"), 4, 0),
        (
            "a newline in a string of an envelope",
            format!("{{\"records\":[{a}]}}\n{{\"records\":[{raw},{b}]}}\n{d}\n"),
            4,
            0,
        ),
        ("commas doubled and in front", format!("{{\"records\":[{a}]}}\n{{\"records\":[,{b},,{d},]}}\n"), 3, 0),
        ("tails doubled", format!("{{\"records\":[{a}]}}]}}\n{{\"records\":[{b}]}}\n]}}{d}\n"), 3, 1),
    ] {
        let place = Place::new();
        let ran = ingest(&place, &place.file("x.json", &text)).code(0);
        let (written, pieces, skipped) = counts(&ran);
        assert_eq!((written, pieces, skipped), (events, quarantined, 0), "{what}: {}", ran.err);
    }
}

#[test]
fn tables_of_every_spelling_are_read_and_mean_the_same() {
    let header = [
        "TimeGenerated",
        "OperationName",
        "Category",
        "ResourceId",
        "httpStatusCode_d",
        "CorrelationId",
        "ResultDescription",
    ];
    let id = "/SUBSCRIPTIONS/1/RESOURCEGROUPS/R/PROVIDERS/MICROSOFT.KEYVAULT/VAULTS/V";
    let row = ["2026-11-19T08:00:00.1234567Z", "SecretGet", "AuditEvent", id, "200", "c-1", "a; b, c\td"];
    let table = |delimiter: &str, always: bool| {
        let cell = |text: &&str| {
            if always || text.contains([',', ';', '\t']) { format!("\"{text}\"") } else { (*text).to_owned() }
        };
        [header, row].map(|cells| cells.iter().map(cell).collect::<Vec<_>>().join(delimiter)).join("\r\n") + "\r\n"
    };
    let utf16 = |text: &str, big: bool, mark: bool| -> Vec<u8> {
        let units = mark.then_some(0xfeff).into_iter().chain(text.encode_utf16());
        units.flat_map(|unit: u16| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
    };
    let comma = table(",", false);
    for (what, bytes, read_as) in [
        ("commas", comma.clone().into_bytes(), "CSV"),
        ("semicolons", table(";", false).into_bytes(), "CSV (semicolons)"),
        ("tabs", table("\t", false).into_bytes(), "TSV"),
        ("quoted, behind sep=", format!("\u{feff}sep=;\r\n{}", table(";", true)).into_bytes(), "CSV (semicolons)"),
        ("PowerShell", format!("#TYPE System.Object\r\n{}", table(",", true)).into_bytes(), "CSV"),
        ("UTF-16", utf16(&comma, false, true), "CSV, UTF-16"),
        ("UTF-16, big end first", utf16(&table("\t", true), true, true), "TSV, UTF-16"),
        ("UTF-16 without a mark", utf16(&comma, false, false), "CSV, UTF-16"),
        ("UTF-16 without a mark, big end first", utf16(&comma, true, false), "CSV, UTF-16"),
    ] {
        let place = Place::new();
        let ran = ingest(&place, &place.file("x.csv", bytes)).code(0);
        assert_eq!((counts(&ran), form(&ran).as_str()), ((1, 0, 0), read_as), "{what}: {}", ran.err);
        let again = ingest(&place, &place.file("y.csv", &comma)).code(0).json();
        assert_eq!(again["duplicates"], 1, "{what} is the same event as the comma's");
        let rows = place.query("SELECT result_description FROM events");
        assert_eq!(rows[0]["result_description"], "a; b, c\td", "{what}");
    }
}

#[test]
fn what_is_no_known_form_is_refused_once_and_the_others_are_read() {
    let json = secret_get(9, 9.0).to_string();
    for (name, bytes, says) in [
        ("page.html", format!("<!DOCTYPE html>\n<script>\n{json}\n</script>"), "an HTML page"),
        ("x.xml", format!("<?xml version=\"1.0\"?>\n<a>\n{json}\n</a>"), "an XML document"),
        ("table.csv", "id,name\n1,x\n2,y\n".repeat(100), "columns 'id', 'name'"),
        (
            "headless.csv",
            "2026-11-19,SecretGet,kv\n2026-11-20,SecretGet,kv\n".to_owned(),
            "columns '2026-11-19', 'SecretGet', 'kv'",
        ),
        ("sys.log", format!("<134>1 2026-11-28T05:00:00Z h a - - - {json}\n").repeat(3), "a syslog file"),
        ("app.log", format!("2026-11-28T05:00:00Z INFO {json}\n").repeat(3), "a line log of another program"),
        ("cef.log", "CEF:0|V|P|1|x|y|5|src=203.0.113.9\n".to_owned(), "a CEF log"),
        ("text.txt", "hello, I am\nno log at all\n".repeat(1000), "text that is neither JSON nor a table"),
        (
            "kusto.json",
            "{\"tables\":[{\"name\":\"PrimaryResult\",\"columns\":[{\"name\":\"count_\"}],\"rows\":[[1]]}]}".to_owned(),
            "a query's answer with the columns 'count_'",
        ),
        ("x.avro", "Obj\u{1}nothing".to_owned(), "an Avro file"),
        ("x.parquet", "PAR1nothing".to_owned(), "a Parquet file"),
    ] {
        let place = Place::new();
        place.file(&format!("logs/{name}"), &bytes);
        place.file("logs/good.json", lines(&[secret_get(1, 1.0)]));
        let ran = place.run(&["ingest", "--format", "json", "logs"]).code(1);
        assert_eq!(counts(&ran), (1, 0, 0), "{name}: {}", ran.err);
        let about: Vec<&str> = ran.err.lines().filter(|line| line.contains(name)).collect();
        assert!(about.len() == 1 && about[0].contains(says) && about[0].contains(": "), "{name}: {}", ran.err);
        assert_eq!(ran.json()["forms"], json!({"JSON lines": 1}), "{name}");
    }
}

#[test]
fn many_refused_files_are_a_hundred_sentences_and_a_count() {
    let place = Place::new();
    (0..150).for_each(|n| drop(place.file(&format!("logs/{n}.csv"), "id,name\n1,x\n")));
    let other = "{\"time\":\"2026-11-28T05:00:00Z\",\"operationName\":\"x\",\"resourceId\":\"/SUBSCRIPTIONS/1/PROVIDERS/MICROSOFT.STORAGE/X/Y\"}\n";
    (0..50).for_each(|n| drop(place.file(&format!("logs/{n}.json"), other)));
    let ran = place.run(&["ingest", "--format", "json", "logs"]).code(1);
    assert!(ran.err.contains("and 50 more sources"), "{}", ran.err);
    assert!(
        ran.err.contains("is of other services (MICROSOFT.STORAGE 1)") && ran.err.contains("and 30 more files like it")
    );
    assert!(ran.err.lines().count() < 130, "{}", ran.err);
}

#[test]
fn an_input_without_a_record_says_so_and_each_says_what_it_was_read_as() {
    let place = Place::new();
    let file = place.file("nothing.json", "{\"records\":[]}");
    let ran = place.run(&["-v", "ingest", "--format", "json", &file.to_string_lossy()]).code(0);
    assert!(ran.err.contains("holds no record") && ran.err.contains("was read as JSON envelope"), "{}", ran.err);
    let file = place.file("object.json", "{\"name\":\"package\",\"version\":\"1\"}");
    let ran = ingest(&place, &file).code(0);
    assert!(ran.err.contains("no log record was found in") && ran.err.contains("'name', 'version'"), "{}", ran.err);
    let file = place.file("answer.json", json!({"error": {"code": "Unauthorized"}}).to_string());
    assert!(ingest(&place, &file).code(0).err.contains("'error'"));
    let empty: Value = ingest(&place, &place.file("empty.json", "")).code(0).json();
    assert_eq!(empty["forms"], json!({"empty": 1}));
}

#[test]
fn kusto_answers_of_both_versions_and_in_pieces_give_the_primary_result() {
    let columns = json!([
        {"ColumnName": "TimeGenerated", "ColumnType": "datetime"}, {"ColumnName": "OperationName", "ColumnType": "string"},
        {"ColumnName": "Category", "ColumnType": "string"}, {"ColumnName": "ResourceId", "ColumnType": "string"},
    ]);
    let id = "/SUBSCRIPTIONS/1/RESOURCEGROUPS/R/PROVIDERS/MICROSOFT.KEYVAULT/VAULTS/V";
    let row = |n: u32| json!([format!("2026-11-19T08:00:0{n}Z"), "SecretGet", "AuditEvent", id]);
    let toc = json!([{"ColumnName": "Ordinal"}, {"ColumnName": "Kind"}, {"ColumnName": "Name"}, {"ColumnName": "Id"}]);
    let v1 = json!({"Tables": [
        {"TableName": "Table_0", "Columns": columns, "Rows": [row(1), row(2)]},
        {"TableName": "Table_1", "Columns": toc, "Rows": [[0, "QueryResult", "PrimaryResult", "x"]]},
    ]});
    let progressive = json!([
        {"FrameType": "DataSetHeader", "IsProgressive": true, "Version": "v2.0"},
        {"FrameType": "DataTable", "TableId": 0, "TableKind": "QueryProperties", "Columns": toc, "Rows": [[1, "a", "b", "c"]]},
        {"FrameType": "TableHeader", "TableId": 1, "TableKind": "PrimaryResult", "TableName": "PrimaryResult", "Columns": columns},
        {"FrameType": "TableFragment", "TableFragmentType": "DataAppend", "TableId": 1, "Rows": [row(1)]},
        {"FrameType": "TableProgress", "TableId": 1, "TableProgress": 50.0},
        {"FrameType": "TableFragment", "TableFragmentType": "DataAppend", "TableId": 1, "Rows": [row(2)]},
        {"FrameType": "TableCompletion", "TableId": 1, "RowCount": 2},
        {"FrameType": "DataSetCompletion", "HasErrors": false, "Cancelled": false},
    ]);
    for (answer, read_as) in [(v1, "query API tables"), (progressive, "Kusto frames")] {
        for text in [answer.to_string(), serde_json::to_string_pretty(&answer).unwrap()] {
            let place = Place::new();
            let ran = ingest(&place, &place.file("x.json", text)).code(0);
            assert_eq!((counts(&ran), form(&ran).as_str()), ((2, 0, 0), read_as), "{}", ran.err);
        }
    }
}

#[test]
fn parquet_of_an_export_gives_the_same_events_as_its_csv() {
    use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
    use std::sync::Arc;
    let id = "/SUBSCRIPTIONS/1/RESOURCEGROUPS/R/PROVIDERS/MICROSOFT.KEYVAULT/VAULTS/V";
    let text = |values: [&str; 2]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
    let times = ["2026-11-19T08:00:00.1234567Z", "2026-11-19T08:00:01.1234567Z"];
    let batch = RecordBatch::try_from_iter([
        ("TimeGenerated", text(times)),
        ("OperationName", text(["SecretGet", "SecretList"])),
        ("Category", text(["AuditEvent", "AuditEvent"])),
        ("ResourceId", text([id, id])),
        ("CorrelationId", text(["c-1", "c-2"])),
        ("httpStatusCode_d", Arc::new(Int32Array::from(vec![200, 403])) as ArrayRef),
    ])
    .unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    let bytes = writer.into_inner().unwrap();
    let csv = format!(
        "TimeGenerated,OperationName,Category,ResourceId,CorrelationId,httpStatusCode_d\n\
         {},SecretGet,AuditEvent,{id},c-1,200\n{},SecretList,AuditEvent,{id},c-2,403\n",
        times[0], times[1]
    );
    let place = Place::new();
    let ran = ingest(&place, &place.file("x.parquet", &bytes)).code(0);
    assert_eq!((counts(&ran), form(&ran).as_str()), ((2, 0, 0), "Parquet"), "{}", ran.err);
    assert_eq!(ran.json()["bytes_read"], bytes.len());
    assert_eq!(ingest(&place, &place.file("x.csv", csv)).code(0).json()["duplicates"], 2);
    let ran = place.run_with_input(&["ingest", "-"], &bytes).code(1);
    assert!(ran.err.contains("a Parquet file that is compressed or comes through a pipe"), "{}", ran.err);
}
