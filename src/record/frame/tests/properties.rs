//! What must hold for any input, however it is laid out and however it arrives.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{FrameLimits, cut_with};

/// Text with all that could mislead a scan.
fn text() -> impl Strategy<Value = String> {
    proptest::collection::vec(
        prop_oneof![
            Just("{"),
            Just("}"),
            Just("["),
            Just("]"),
            Just("\""),
            Just("\\"),
            Just("\n"),
            Just(","),
            Just(":"),
            Just("records"),
            Just("é"),
            Just("a"),
            Just(" "),
            Just("\u{1}"),
        ],
        0..8,
    )
    .prop_map(|parts| parts.concat())
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((text(), inner), 0..4)
                .prop_map(|members| { Value::Object(members.into_iter().collect()) }),
        ]
    })
}

/// A record: an object that is no envelope.
fn record() -> impl Strategy<Value = Value> {
    proptest::collection::vec((text(), value()), 0..4).prop_map(|members| {
        let members: Map<String, Value> = members.into_iter().map(|(key, value)| (format!("k{key}"), value)).collect();
        Value::Object(members)
    })
}

fn joined(records: &[Value], pretty: bool, separator: &str) -> String {
    let text =
        |record| if pretty { serde_json::to_string_pretty(record) } else { serde_json::to_string(record) }.unwrap();
    records.iter().map(text).collect::<Vec<_>>().join(separator)
}

/// The records in every layout that is promised.
fn layouts(records: &[Value]) -> Vec<String> {
    let lines = joined(records, false, "\n");
    let list = joined(records, false, ",");
    let envelope = json!({"before": {"records": [1]}, "records": records, "value": null});
    let mut layouts = vec![
        lines.clone(),
        format!("{lines}\n"),
        format!("\u{feff} \r\n{}\r\n", joined(records, false, "\r\n\r\n")),
        joined(records, false, ""),
        joined(records, true, ""),
        joined(records, true, "\n"),
        format!("[{list}]"),
        format!("[\n{}\n]\n", joined(records, false, ",\n")),
        format!("[ {}\n]", joined(records, false, "\n,")),
        format!("{{\"records\":[{list}]}}"),
        format!("{{\"value\":[{list}],\"x\":\"]}}\"}}"),
        serde_json::to_string_pretty(records).unwrap(),
        serde_json::to_string_pretty(&envelope).unwrap(),
        envelope.to_string(),
    ];
    let half = records.len() / 2;
    let (one, two) = records.split_at(half);
    layouts.push(format!("{}\n{}\n", joined(one, true, "\n"), joined(two, false, "\n")));
    layouts.push(format!("{}\n{{\"records\": [\n{}\n]}}\n", joined(one, false, "\n"), joined(two, true, ",\n")));
    layouts
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn any_records_in_any_layout_come_out_in_order(
        records in proptest::collection::vec(record(), 0..6),
        size in 1usize..80,
        block_bytes in 16usize..400,
    ) {
        for layout in layouts(&records) {
            let limits = FrameLimits { block_bytes, ..FrameLimits::default() };
            let cut = cut_with(layout.as_bytes(), size, limits, false);
            prop_assert_eq!(&cut.records, &records, "{}", layout);
            prop_assert!(cut.rejects.is_empty() && cut.garbage.is_empty() && cut.incomplete.is_none(), "{layout}");
        }
    }

    #[test]
    fn a_line_cut_off_anywhere_costs_nobody_but_itself(
        before in proptest::collection::vec(record(), 0..3),
        broken in record(),
        at in any::<prop::sample::Index>(),
        after in proptest::collection::vec(record(), 0..4),
        block_bytes in 16usize..400,
    ) {
        let broken = broken.to_string();
        let end = (0..=at.index(broken.len())).rev().find(|end| broken.is_char_boundary(*end)).unwrap();
        let mut lines: Vec<String> = before.iter().map(Value::to_string).collect();
        lines.push(broken[..end].to_owned());
        lines.extend(after.iter().map(Value::to_string));
        let input = lines.join("\n") + "\n";
        let cut = cut_with(input.as_bytes(), 64, FrameLimits { block_bytes, ..FrameLimits::default() }, false);
        let want: Vec<_> = before.into_iter().chain(after).collect();
        prop_assert_eq!(&cut.records, &want, "{}", input);
    }

    #[test]
    fn no_bytes_are_too_odd(
        parts in proptest::collection::vec(
            prop_oneof![
                Just("{"), Just("}"), Just("["), Just("]"), Just("\""), Just("\\"), Just("\n"), Just(","), Just(":"),
                Just("\0"), Just("{\"a\":1}"), Just("{\"records\":["), Just("{\"tables\":[{"), Just("\"columns\":[]"),
                Just("\"rows\":["), Just("\u{feff}"), Just("TimeGenerated,a\n"), Just("x"), Just(" "),
            ],
            0..60,
        ),
        size in 1usize..50,
        block_bytes in 16usize..100,
        max_record_bytes in 16usize..60,
        fails in any::<bool>(),
    ) {
        // `cut_with` checks order, offsets and that the end is reached.
        let input = parts.concat();
        let cut = cut_with(input.as_bytes(), size, FrameLimits { block_bytes, max_record_bytes }, fails);
        // What begins with nothing that could be a record is refused.
        prop_assert!(cut.error.is_some() || !fails, "{input}");
        prop_assert!(cut.largest_block <= 2 * block_bytes.max(max_record_bytes) + (128 << 10));
    }

    #[test]
    fn any_rows_of_csv_come_out_in_order(
        rows in proptest::collection::vec(proptest::collection::vec("[a\",\n\r {]{0,5}", 3), 0..8),
        always in any::<bool>(),
        size in 1usize..50,
        block_bytes in 16usize..200,
    ) {
        let style = if always { csv::QuoteStyle::Always } else { csv::QuoteStyle::Necessary };
        let mut writer = csv::WriterBuilder::new().quote_style(style).from_writer(Vec::new());
        writer.write_record(["TimeGenerated", "OperationName", "x"]).unwrap();
        rows.iter().for_each(|row| writer.write_record(row).unwrap());
        let input = writer.into_inner().unwrap();
        let limits = FrameLimits { block_bytes, ..FrameLimits::default() };
        let cut = cut_with(&input, size, limits, false);
        let read: Vec<Vec<String>> = cut.rows.iter().map(|(_, row)| {
            let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(row.as_bytes());
            let record = reader.records().next().unwrap().unwrap();
            record.iter().map(str::to_owned).collect()
        }).collect();
        prop_assert_eq!(read, rows);
        prop_assert!(cut.rejects.is_empty() && cut.incomplete.is_none());
    }
}
