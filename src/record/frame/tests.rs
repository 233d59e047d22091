use std::io::{self, Read};

use serde_json::{Value, json};

use super::*;

mod properties;

/// Gives at most `size` bytes a read, then the end or an error.
struct Pieced<'a> {
    bytes: &'a [u8],
    size: usize,
    fails: bool,
}

impl Read for Pieced<'_> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let length = self.bytes.len().min(self.size).min(target.len());
        if length == 0 && self.fails && !target.is_empty() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the stream was cut off"));
        }
        target[..length].copy_from_slice(&self.bytes[..length]);
        self.bytes = &self.bytes[length..];
        Ok(length)
    }
}

/// All that a framer gave.
#[derive(Debug, Default)]
struct Cut {
    /// Each record's text, with the envelopes left to the decoder opened.
    records: Vec<Value>,
    /// Lines that are no JSON, which the decoder would reject.
    garbage: Vec<String>,
    rows: Vec<(Vec<String>, String)>,
    rejects: Vec<Reject>,
    incomplete: Option<Incomplete>,
    largest_block: usize,
    kinds: Vec<&'static str>,
    error: Option<String>,
}

fn cut_with(input: &[u8], size: usize, limits: FrameLimits, fails: bool) -> Cut {
    let mut framer = Framer::new(Pieced { bytes: input, size, fails }, "logs.json", limits);
    let mut cut = Cut::default();
    let mut last_end = 0;
    loop {
        let block = match framer.next_block() {
            Ok(Some(block)) => block,
            Ok(None) => break,
            Err(error) => {
                cut.error = Some(error.to_string());
                continue;
            }
        };
        cut.largest_block = cut.largest_block.max(block.bytes.len());
        if !block.bytes.is_empty() {
            let start = block.offset as usize;
            assert!(start >= last_end, "blocks are in order and do not overlap");
            last_end = start + block.bytes.len();
            assert_eq!(&input[start..last_end], &block.bytes[..], "a block is what stands in the stream");
        }
        assert!(!(block.bytes.is_empty() && block.rejects.is_empty()), "no block without anything");
        cut.take(block);
    }
    assert!(framer.next_block().unwrap().is_none(), "the end stays the end");
    if cut.error.as_ref().is_none_or(|error| !error.starts_with("the input is ")) {
        assert_eq!(framer.bytes_read(), input.len() as u64);
    }
    cut.incomplete = framer.incomplete().cloned();
    cut
}

impl Cut {
    fn take(&mut self, block: Block) {
        let text = |range: &Range<u32>| &block.bytes[range.start as usize..range.end as usize];
        let kind = match &block.pieces {
            Pieces::Lines => {
                block.bytes.split(|byte| *byte == b'\n').for_each(|line| self.line(line));
                "lines"
            }
            Pieces::Values(ranges) => {
                ranges.iter().for_each(|range| self.value(text(range)));
                "values"
            }
            Pieces::Rows { columns, rows } | Pieces::Csv { header: columns, rows, .. } => {
                let rows = rows.iter().map(|row| (columns.to_vec(), String::from_utf8_lossy(text(row)).into_owned()));
                self.rows.extend(rows);
                "rows"
            }
        };
        if self.kinds.last() != Some(&kind) {
            self.kinds.push(kind);
        }
        self.rejects.extend(block.rejects);
    }

    /// A line as the decoder takes it.
    fn line(&mut self, line: &[u8]) {
        match serde_json::from_slice(line) {
            _ if line.trim_ascii().is_empty() => {}
            Ok(Value::Array(records)) => self.records.extend(records),
            Ok(Value::Object(object)) => match object.get("records").or(object.get("value")) {
                Some(Value::Array(records)) => self.records.extend(records.clone()),
                _ => self.records.push(Value::Object(object)),
            },
            _ => self.garbage.push(String::from_utf8_lossy(line).trim().to_owned()),
        }
    }

    fn value(&mut self, text: &[u8]) {
        match serde_json::from_slice(text) {
            Ok(value) => self.records.push(value),
            Err(_) => self.garbage.push(String::from_utf8_lossy(text).into_owned()),
        }
    }
}

const SMALL: FrameLimits = FrameLimits { max_record_bytes: 4096, block_bytes: 16 };

/// Cuts the input in all ways that must make no difference, and gives the ordinary one.
fn cut(input: impl AsRef<[u8]>) -> Cut {
    let input = input.as_ref();
    let whole = cut_with(input, usize::MAX, FrameLimits::default(), false);
    for size in [1, 3, 64] {
        for block_bytes in [16, 50, 1 << 20] {
            let limits = FrameLimits { block_bytes, ..FrameLimits::default() };
            let other = cut_with(input, size, limits, false);
            let what = format!("reads of {size}, blocks of {block_bytes}: {:?}", String::from_utf8_lossy(input));
            assert_eq!(other.records, whole.records, "{what}");
            assert_eq!(other.rows, whole.rows, "{what}");
            assert_eq!(other.incomplete, whole.incomplete, "{what}");
        }
    }
    whole
}

fn numbers(cut: &Cut) -> Vec<i64> {
    cut.records.iter().map(|record| record["n"].as_i64().unwrap_or(-1)).collect()
}

#[test]
fn every_shape_gives_its_records_in_order() {
    let a = r#"{"n":1,"s":"}]\"{[\\"}"#;
    let b = r#"{"n":2,"o":{"records":[{"n":9}]}}"#;
    let pretty = "{\n  \"n\": 1,\n  \"s\": [\n    {},\n    []\n  ]\n}";
    let cases: Vec<(&str, String)> = vec![
        ("JSON lines", format!("{a}\n{b}\n")),
        ("JSON lines without a last newline", format!("{a}\n{b}")),
        ("JSON lines with CRLF and blank lines", format!("\r\n{a}\r\n\r\n \n{b}\r\n")),
        ("JSON lines with space around", format!("  {a}  \n\t{b}\t\n")),
        ("JSON lines behind a byte order mark", format!("\u{feff}{a}\n{b}\n")),
        ("joined files with byte order marks", format!("\u{feff}{a}\n\u{feff}{b}\n")),
        ("lines of envelopes", format!("{{\"records\":[{a}]}}\n{{\"records\":[{b}]}}\n")),
        ("lines of arrays", format!("[{a}]\n[{b}]\n")),
        ("lines with commas after", format!("{a},\n{b},\n")),
        ("concatenated without a newline", format!("{a}{b}")),
        ("concatenated, separated by a space and a comma", format!("{a} {b},")),
        ("one pretty-printed object, then a line", format!("{pretty}\n{b}\n")),
        ("a line, then a pretty-printed object", format!("{}\n{}", a, pretty.replace("\": 1", "\": 2"))),
        ("concatenated pretty-printed objects", format!("{pretty}{}", pretty.replace("\": 1", "\": 2"))),
        ("a bare array", format!("[{a},{b}]")),
        ("an array, a record a line", format!("[\n{a},\n{b}\n]\n")),
        ("an array with leading commas", format!("[{a}\n,{b}\n]\n")),
        ("an array with a comma at its end", format!("[{a},{b},]")),
        ("a records object", format!("{{\"records\":[{a},{b}]}}")),
        ("pretty-printed records", format!("{{\n  \"records\":\n  [\n    {a},\n    {b}\n  ]\n}}\n")),
        ("records between other keys", format!("{{\"x\":{{\"records\":[{{}}]}},\"records\":[{a},{b}],\"y\":[3]}}")),
        ("records in two documents", format!("{{\"records\":[{a}]}}{{\"records\":[{b}]}}")),
        ("an old envelope, then JSON lines", format!("{{\n\"records\": [\n{a}\n]\n}}\n{b}\n")),
        ("JSON lines, then an old envelope", format!("{a}\n{{\n \"records\": [\n {b}\n ]\n}}\n")),
        ("a list of an API", format!("{{\"value\":[{a},{b}],\"nextLink\":null}}")),
        ("records in another case", format!("{{\"Records\":[{a},{b}]}}")),
        ("an array, then JSON lines", format!("[{a}]\n{b}\n")),
    ];
    for (what, input) in cases {
        let cut = cut(&input);
        assert_eq!(numbers(&cut), [1, 2], "{what}: {cut:?}");
        assert!(cut.rejects.is_empty() && cut.garbage.is_empty() && cut.incomplete.is_none(), "{what}: {cut:?}");
    }
}

#[test]
fn an_object_is_an_envelope_only_where_its_key_holds_objects() {
    for record in [
        json!({"n": 1, "records": {"a": 1}}),
        json!({"n": 1, "records": "x"}),
        json!({"n": 1, "value": [1, 2]}),
        json!({"n": 1, "tables": ["a"]}),
        json!({"n": 1, "inner": {"records": [{"n": 2}]}}),
    ] {
        assert_eq!(cut(serde_json::to_string_pretty(&record).unwrap()).records, [record]);
    }
}

#[test]
fn nothing_comes_of_nothing() {
    let blank = " \n".repeat(1000);
    for input in
        ["", " ", "\n\n\n", "\u{feff}", "\u{feff}\r\n", "{\"records\":[]}", "[]", "[\n]\n", &blank, "{\"value\": [ ] }"]
    {
        let cut = cut(input);
        assert!(cut.records.is_empty() && cut.rejects.is_empty(), "{input:?}: {cut:?}");
        assert!(cut.incomplete.is_none() && cut.kinds.is_empty(), "{input:?}: {cut:?}");
    }
}

#[test]
fn json_lines_are_handed_on_as_lines_from_the_first() {
    let input = "{\"n\":1}\n".repeat(10_000);
    let cut = cut_with(input.as_bytes(), usize::MAX, FrameLimits { block_bytes: 4096, ..Default::default() }, false);
    assert_eq!(cut.kinds, ["lines"]);
    assert_eq!(cut.records.len(), 10_000);
    assert!(cut.largest_block <= 4096);
}

#[test]
fn a_tail_that_is_no_whole_record_waits_and_is_no_reject() {
    let line = "{\"n\":1}\n";
    let cases: Vec<(String, usize, u64, u64, u64)> = vec![
        // input, records, where it begins, how long it is, where to read on
        (format!("{line}{{\"n\":2,\"s\":\"ab"), 1, 8, 14, 8),
        (format!("{line}{{\"n\":2,"), 1, 8, 7, 8),
        (format!("{line}{{"), 1, 8, 1, 8),
        ("{\"n\":1".into(), 0, 0, 6, 0),
        ("{\n  \"n\": 1,\n".into(), 0, 0, 12, 0),
        ("[{\"n\":1},{\"n\":".into(), 1, 9, 5, 0),
        ("[{\"n\":1}".into(), 1, 8, 0, 0),
        (format!("{line}{{\"records\":[{{\"n\":1}},{{\"n"), 2, 28, 3, 8),
        ("{\"records\":[".into(), 0, 0, 12, 0),
        ("{\"records".into(), 0, 0, 9, 0),
    ];
    for (input, records, offset, bytes_len, resume_at) in cases {
        let cut = cut(&input);
        assert_eq!(cut.records.len(), records, "{input}");
        assert!(cut.rejects.is_empty() && cut.garbage.is_empty(), "{input}: {cut:?}");
        let incomplete = cut.incomplete.unwrap_or_else(|| panic!("{input}"));
        assert_eq!(
            (incomplete.offset, incomplete.bytes_len, incomplete.resume_at),
            (offset, bytes_len, resume_at),
            "{input}"
        );
        assert_eq!(incomplete.head, &input.as_bytes()[offset as usize..]);
    }
}

#[test]
fn what_grew_since_is_whole_on_the_next_run() {
    let input = "{\"n\":1}\n{\"n\":2}\n";
    for end in 0..=input.len() {
        let cut = cut(&input[..end]);
        let resume_at = cut.incomplete.as_ref().map_or(end as u64, |incomplete| incomplete.resume_at);
        let rest = self::cut(&input[resume_at as usize..]);
        assert_eq!(numbers(&cut).into_iter().chain(numbers(&rest)).collect::<Vec<_>>(), [1, 2], "cut at {end}");
        assert!(cut.rejects.is_empty());
    }
}

#[test]
fn a_reader_that_fails_yields_what_was_whole_and_then_its_error() {
    for (input, records) in [
        ("{\"n\":1}\n{\"n\":2}\n{\"n\":", 2),
        ("{\"n\":1}\n{\"n\":2}", 2),
        ("{\"records\":[{\"n\":1},{\"n\":2},{", 2),
        ("", 0),
    ] {
        let cut = cut_with(input.as_bytes(), 5, FrameLimits::default(), true);
        assert_eq!(cut.records.len(), records, "{input}");
        assert_eq!(cut.error, Some(format!("the input could not be read beyond byte {}", input.len())));
        assert!(cut.rejects.is_empty());
    }
    let cut = cut_with(b"TimeGenerated,n\n1,2\n3,4", 5, FrameLimits::default(), true);
    assert_eq!(cut.rows.len(), 1, "the last row may be half of itself");
    assert_eq!(cut.incomplete.unwrap().offset, 20);
}

#[test]
fn a_line_that_was_cut_off_costs_nobody_but_itself() {
    let whole = r#"{"n":1,"a":[1,{"b":"x"}],"c":true}"#;
    for end in 1..whole.len() {
        let broken = &whole[..end];
        for input in [
            format!("{{\"n\":2}}\n{broken}\n{{\"n\":3}}\n{{\"n\":4}}\n{{\"n\":5}}\n"),
            format!("{{\"n\":2}}\n{broken}\n{{\"n\":3}}\n{{\"n\":4}}\n{{\"n\":5}}"),
            format!("{{\"n\":2}}\n{broken}\n{broken}\n{{\"n\":3}}\n{broken}\n{{\"n\":4}}\n{{\"n\":5}}\n"),
        ] {
            let cut = cut(&input);
            assert_eq!(numbers(&cut), [2, 3, 4, 5], "{input}: {cut:?}");
            assert!(cut.rejects.len() + cut.garbage.len() >= 1, "{input}: {cut:?}");
        }
        let cut = cut(format!("{broken}\n{{\"n\":3}}\n"));
        assert_eq!(numbers(&cut), [3], "the first line: {broken} {cut:?}");
    }
}

#[test]
fn one_bad_element_costs_nobody_but_itself() {
    for bad in ["{\"n\" 2}", "{\"n\":oops!!}", "oops", "{\"n\":2,,}", "{2}"] {
        for (open, close) in [("[", "]"), ("{\"records\":[", "]}"), ("{\"records\": [\n", "\n]}\n")] {
            let cut = cut(format!("{open}{{\"n\":1}},{bad},{{\"n\":3}}{close}"));
            assert_eq!(numbers(&cut), [1, 3], "{open} {bad}: {cut:?}");
            assert_eq!(cut.garbage, [bad]);
        }
    }
}

#[test]
fn garbage_is_handed_to_the_decoder_line_by_line() {
    let cut = cut("not json\n{\"n\":1}\n{oops}\n]]\n\n");
    assert_eq!(cut.garbage, ["not json", "{oops}", "]]"]);
    assert_eq!(numbers(&cut), [1]);
    assert!(cut.rejects.is_empty());
}

#[test]
fn garbage_between_documents_is_one_reject() {
    let cut = cut("{\"n\":1} garbage here {\"n\":2}\n");
    assert_eq!(numbers(&cut), [1, 2]);
    let [reject] = cut.rejects.as_slice() else { panic!("{cut:?}") };
    assert_eq!(
        (reject.position, reject.bytes.as_slice(), reject.source.as_str()),
        (8, b"garbage here ".as_slice(), "logs.json")
    );
}

#[test]
fn nul_bytes_are_one_reject_however_many() {
    let nul = "\0".repeat(100_000);
    for (input, records, position) in [
        (format!("{{\"n\":1}}\n{nul}"), 1, 8),
        (format!("{{\"n\":1}}\n{nul}{{\"n\":2}}\n"), 2, 8),
        (format!("{{\"n\":1}}{nul}\n{{\"n\":2}}\n"), 2, 7),
        (format!("{{\"n\":1}}\n{{\"n\":2{nul}"), 1, 8),
        (format!("{{\"n\":1}}\n{{\"n\":\"x{nul}"), 1, 8),
        (format!("{nul}{{\"n\":1}}\n"), 1, 0),
        (nul.clone(), 0, 0),
    ] {
        for limits in [FrameLimits::default(), SMALL] {
            let cut = cut_with(input.as_bytes(), 1 << 16, limits, false);
            assert_eq!(cut.records.len(), records);
            assert_eq!(cut.rejects.len(), 1, "{:?}", cut.rejects.iter().map(|r| &r.reason).collect::<Vec<_>>());
            assert_eq!(cut.rejects[0].position, position);
            assert!(cut.incomplete.is_none());
        }
    }
}

#[test]
fn what_is_longer_than_the_limit_is_one_reject_and_costs_no_memory() {
    let long = "x".repeat(1 << 20);
    let cases: Vec<(&str, String, usize, usize)> = vec![
        ("a line of JSON", format!("{{\"n\":1}}\n{{\"n\":\"{long}\"}}\n{{\"n\":3}}\n"), 2, 8),
        ("the first line", format!("{{\"n\":\"{long}\"}}\n{{\"n\":1}}\n{{\"n\":3}}\n"), 2, 0),
        ("a line of garbage", format!("{{\"n\":1}}\n{long}\n{{\"n\":3}}\n"), 2, 8),
        ("an endless line", format!("{{\"n\":1}}\n{long}"), 1, 8),
        ("an endless string", format!("{{\"n\":1}}\n{{\"n\":\"{long}"), 1, 8),
        ("an element", format!("[{{\"n\":1}},{{\"n\":\"{long}\"}},{{\"n\":3}}]"), 2, 9),
        ("an element that never ends", format!("[{{\"n\":1}},{{\"n\":\"{long}"), 1, 9),
        ("a pretty-printed record", format!("{{\n\"n\":\n\"{long}\"\n}}\n{{\"n\":1}}\n{{\"n\":3}}\n"), 2, 0),
        ("brackets without end", format!("{{\"n\":1}}\n{}", "[".repeat(1 << 20)), 1, 9),
        ("a row", format!("TimeGenerated,n\n1,1\n{long},2\n3,3\n"), 2, 20),
        ("a quoted row", format!("TimeGenerated,n\n1,1\n\"{long}\",2\n3,3\n"), 2, 20),
    ];
    for (what, input, whole, position) in cases {
        for block_bytes in [16, 1000, 1 << 21] {
            let limits = FrameLimits { max_record_bytes: 4096, block_bytes };
            let cut = cut_with(input.as_bytes(), 1 << 16, limits, false);
            let what = format!("{what}, blocks of {block_bytes}");
            assert_eq!(cut.records.len() + cut.rows.len(), whole, "{what}");
            let [reject] = cut.rejects.as_slice() else { panic!("{what}: {}", cut.rejects.len()) };
            assert_eq!(reject.position, position as u64, "{what}");
            assert!(reject.reason.contains("longer than the limit of 4096 bytes"), "{what}: {}", reject.reason);
            assert!(reject.bytes.len() > 4096 && reject.bytes.len() <= crate::record::REJECT_BYTES, "{what}");
            assert!(input.as_bytes()[position..].starts_with(&reject.bytes), "{what}");
            assert!(cut.incomplete.is_none() && cut.garbage.is_empty(), "{what}");
        }
    }
}

#[test]
fn an_envelope_may_be_of_any_length() {
    let records: Vec<String> = (0..20_000).map(|n| format!("{{\"n\":{n}}}")).collect();
    let meta = format!("{{\"meta\":\"{}\",\"records\":[{}]}}", "x".repeat(100_000), records.join(","));
    for input in [format!("{{\"records\":[{}]}}\n", records.join(",")), format!("[\n{}\n]", records.join(",\n")), meta]
    {
        let limits = FrameLimits { max_record_bytes: 4096, block_bytes: 4096 };
        let cut = cut_with(input.as_bytes(), 1 << 16, limits, false);
        assert_eq!(numbers(&cut), (0..20_000).collect::<Vec<_>>());
        assert!(cut.largest_block <= 8192, "{}", cut.largest_block);
        assert!(cut.rejects.is_empty());
    }
}

#[test]
fn nesting_ten_thousand_deep_is_one_record() {
    let deep = format!("{{\"n\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    for input in [format!("{deep}\n{{\"n\":1}}\n"), format!("[{deep},{{\"n\":1}}]"), format!("{{\"n\":1}}\n{deep}")] {
        let cut = cut_with(input.as_bytes(), 4096, FrameLimits::default(), false);
        // serde_json refuses such depth: it counts as garbage of the decoder.
        assert_eq!((cut.garbage.len(), numbers(&cut), cut.rejects.len()), (1, vec![1], 0));
        assert_eq!(cut.garbage[0], deep);
    }
}

#[test]
fn tables_of_the_query_api_give_rows_under_their_columns() {
    let columns = r#"[{"name":"TimeGenerated","type":"datetime"},{"name":"OperationName","type":"string"}]"#;
    let first = ["TimeGenerated".to_owned(), "OperationName".to_owned()].to_vec();
    let compact = format!(
        r#"{{"tables":[{{"name":"PrimaryResult","columns":{columns},"rows":[["a","b"],["c",{{"d":[1]}}]]}},{{"name":"x","columns":[{{"name":"Z"}}],"rows":[[1]]}}],"statistics":{{"rows":[[0]]}}}}"#
    );
    let pretty = serde_json::to_string_pretty(&serde_json::from_str::<Value>(&compact).unwrap()).unwrap();
    let old = compact.replace("\"name\"", "\"ColumnName\"").replace("tables", "Tables").replace("rows", "Rows");
    let bare = compact.replace(columns, r#"["TimeGenerated","OperationName"]"#);
    for input in [&compact, &bare, &pretty, &old.replace("columns", "Columns"), &format!("{compact}\n{compact}\n")] {
        let cut = cut(input);
        assert!(cut.rejects.is_empty() && cut.records.is_empty() && cut.garbage.is_empty(), "{cut:?}");
        let rows: Vec<_> = cut.rows.iter().map(|(c, row)| (c.clone(), row.replace([' ', '\n'], ""))).collect();
        let want = [(first.clone(), "[\"a\",\"b\"]".to_owned()), (first.clone(), "[\"c\",{\"d\":[1]}]".to_owned())];
        assert!(!rows.is_empty());
        assert_eq!(rows, want.iter().cycle().take(rows.len()).cloned().collect::<Vec<_>>(), "{input}");
    }
    let cut = cut(format!(r#"{{"tables":[{{"rows":[["a","b"]],"columns":{columns}}}]}}"#));
    assert!(cut.rows.is_empty());
    let [reject] = cut.rejects.as_slice() else { panic!("{cut:?}") };
    assert!(reject.reason.contains("before its columns"), "{}", reject.reason);
    let cut = self::cut(r#"{"tables":[{"columns":[{"type":"x"}],"rows":[["a"]]}]}"#);
    assert!(cut.rejects[0].reason.contains("columns of a table cannot be read"), "{cut:?}");
}

#[test]
fn csv_is_told_by_its_header_and_cut_into_rows() {
    let rows = |cut: &Cut| cut.rows.iter().map(|(_, row)| row.clone()).collect::<Vec<_>>();
    for (what, input, want) in [
        ("plain", "TimeGenerated,OperationName\n1,a\n2,b\n", vec!["1,a", "2,b"]),
        ("CRLF and no last newline", "TimeGenerated,OperationName\r\n1,a\r\n2,b", vec!["1,a", "2,b"]),
        (
            "quoted, behind a mark",
            "\u{feff}\"TimeGenerated [UTC]\",\"OperationName\"\n\"1\",\"a\"\n",
            vec!["\"1\",\"a\""],
        ),
        ("without a time", "\n\nCategory,operationname\n1,a\n", vec!["1,a"]),
        ("a row over lines", "TimeGenerated,x\n1,\"a\nb\"\"\n\"\n2,c\n", vec!["1,\"a\nb\"\"\n\"", "2,c"]),
        ("a quote within a field", "TimeGenerated,x\n1,5\" disk\n2,b\n", vec!["1,5\" disk", "2,b"]),
        ("blank lines and a header again", "TimeGenerated,x\n1,a\n\nTimeGenerated,x\n2,b\n", vec!["1,a", "2,b"]),
        ("JSON within", "TimeGenerated,x\n1,\"{\"\"a\"\":\"\"\n\"\"}\"\n", vec!["1,\"{\"\"a\"\":\"\"\n\"\"}\""]),
        ("a header only", "TimeGenerated,x\n", vec![]),
    ] {
        let cut = cut(input);
        assert_eq!(rows(&cut), want, "{what}");
        assert!(cut.rejects.is_empty() && cut.incomplete.is_none() && cut.garbage.is_empty(), "{what}: {cut:?}");
    }
    let cut = cut("\u{feff}\"TimeGenerated [UTC]\", OperationName \n1,a\n");
    assert_eq!(cut.rows[0].0, ["TimeGenerated [UTC]", "OperationName"], "what is behind the name says the zone");
    assert_eq!(rows(&self::cut("Timestamp,Operation,Caller\n1,a,b\n")), ["1,a,b"], "people's names for columns");
    for text in ["a,b\n1,2\n", "Timestamp,Level\n1,2\n", "TimeGenerated\n1\n", "the OperationName, said she\n"] {
        assert!(self::cut(text).rows.is_empty(), "{text} is no export");
    }
}

#[test]
fn half_a_row_waits_and_a_stray_quote_costs_one_row() {
    for (input, rows, offset) in [
        ("TimeGenerated,x\n1,a\n2", 1, 20),
        ("TimeGenerated,x\n1,a\n2,\"b", 1, 20),
        ("TimeGenerated,x\n1,a\n2,\"b\nc", 1, 20),
    ] {
        let cut = cut(input);
        assert_eq!(cut.rows.len(), rows, "{input}");
        assert_eq!(cut.incomplete.unwrap().offset, offset, "{input}");
    }
    let mut long = "TimeGenerated,x\n1,\"a\n".to_owned();
    (0..2000).for_each(|n| long.push_str(&format!("{n},b\n")));
    for (input, rows) in [("TimeGenerated,x\n1,\"a\n2,b\n3,c\n", 2), (&long, 2000)] {
        let cut = cut_with(input.as_bytes(), 100, SMALL, false);
        assert_eq!(cut.rows.len(), rows);
        let [reject] = cut.rejects.as_slice() else { panic!("{:?}", cut.rejects) };
        assert!(reject.reason.contains("never closed") && reject.position == 16, "{reject:?}");
    }
}

#[test]
fn many_rejects_do_not_pile_up() {
    let input = "{\"n\":1}x\n".repeat(20_000);
    let mut framer = Framer::new(input.as_bytes(), "logs.json", FrameLimits::default());
    let mut rejects = 0;
    while let Some(block) = framer.next_block().unwrap() {
        assert!(block.rejects.len() <= MAX_WAITING_REJECTS);
        rejects += block.rejects.len();
    }
    assert_eq!(rejects, 20_000);
}

/// The public samples, where they lie beside the project.
#[test]
fn the_public_samples_are_cut_whole() {
    let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/samples");
    for (file, records) in [
        ("microsoft-docs/MicrosoftDocs_azure-docs_diagnostic-logs-append-blobs_new.jsonl", 2),
        ("microsoft-docs/MicrosoftDocs_azure-docs_diagnostic-logs-append-blobs_old.json", 2),
        ("opentelemetry-azurelogs/empty_records.json", 0),
        ("opentelemetry-azurelogs/json_array_format.json", 2),
        ("opentelemetry-azurelogs/nd_json_format.jsonl", 2),
        ("opentelemetry-azurelogs/records_format.json", 2),
        ("opentelemetry-azurelogs/unsupported_root.json", 1),
        ("panther-activity-log/azure_keyvault_deleted_0_T.json", 1),
    ] {
        let Ok(input) = std::fs::read(format!("{samples}/{file}")) else { continue };
        let cut = cut(&input);
        assert_eq!(cut.records.len(), records, "{file}: {cut:?}");
        assert!(cut.rejects.is_empty() && cut.incomplete.is_none(), "{file}: {cut:?}");
    }
}
