//! Framer and decoder together, as an ingest has them.

use proptest::prelude::*;

use super::*;
use crate::record::frame::{FrameLimits, Framer, Pieces};

/// What comes of a whole input.
fn read(input: &[u8], block_bytes: usize) -> Decoded {
    let limits = FrameLimits { block_bytes, ..FrameLimits::default() };
    let mut framer = Framer::new(input, "test", limits);
    let mut decoder = Decoder::new(ARRIVED);
    let mut refused = Vec::new();
    while let Ok(Some(block)) = framer.next_block() {
        let text = |range: &std::ops::Range<u32>| &block.bytes[range.start as usize..range.end as usize];
        match &block.pieces {
            Pieces::Lines => decoder.lines(&block.bytes, block.offset),
            Pieces::Values(ranges) => ranges.iter().for_each(|range| decoder.value(text(range), 0)),
            Pieces::Rows { columns, rows } => rows.iter().for_each(|range| decoder.row(columns, text(range), 0)),
            Pieces::Csv { header, delimiter, rows } => {
                rows.iter().for_each(|range| decoder.csv_row(header, *delimiter, text(range), 0));
            }
        }
        refused.extend(block.rejects);
    }
    let mut decoded = checked(decoder.finish());
    decoded.rejects.extend(refused);
    decoded
}

fn record(n: usize) -> String {
    changed(&[("/correlationId", json!(format!("sound-{n}")))]).to_string()
}

fn correlations(decoded: &Decoded) -> Vec<String> {
    (0..decoded.events.num_rows()).map(|row| cell(decoded, row, "correlation_id")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn whatever_follows_a_sound_head_costs_no_sound_line_after_it(
        parts in proptest::collection::vec(
            prop_oneof![
                Just("{"), Just("}"), Just("["), Just("]"), Just("\""), Just("\\"), Just("\n"), Just(","), Just(":"),
                Just("\0"), Just("{\"a\":1}"), Just("{\"records\":["), Just("{\"tables\":[{"), Just("\"rows\":["),
                Just("\u{feff}"), Just("{\"time\":\"2026"), Just("{\"FrameType\":\"DataTable\","), Just("x"), Just(" "),
                Just("{\"hits\":{"), Just("{\"message\":\"{\\\""),
            ],
            0..12,
        ),
        bytes in proptest::collection::vec(any::<u8>(), 0..6),
        sound in 1usize..4,
        block_bytes in 16usize..4000,
    ) {
        let mut input = record(0).into_bytes();
        input.push(b'\n');
        input.extend(parts.concat().bytes());
        input.extend(&bytes);
        for n in 1..=sound {
            input.push(b'\n');
            input.extend(record(n).bytes());
        }
        input.push(b'\n');
        let read = read(&input, block_bytes);
        let found = correlations(&read);
        for n in 0..=sound {
            let wanted = format!("sound-{n}");
            prop_assert_eq!(found.iter().filter(|id| **id == wanted).count(), 1, "{} in {}", n, String::from_utf8_lossy(&input));
        }
    }
}

#[test]
fn damage_in_any_document_of_a_file_costs_only_its_record() {
    let bad = ["{'a':'b'}", "{\"a\" 1}", "{\"a\":[218 B blob data]}", "oops", "{\"a\":1,,}"];
    for bad in bad {
        let document = |n: usize| format!("{{\"records\":[{},{bad},{}]}}\n", record(2 * n), record(2 * n + 1));
        let input: String = (0..5).map(document).collect();
        for input in [input.clone(), input.replace('\n', ""), input.replace(",{", "\n,{")] {
            let read = read(input.as_bytes(), 1 << 20);
            assert_eq!((read.events.num_rows(), read.rejects.len(), read.skipped), (10, 5, 0), "{bad}: {input}");
        }
    }
}
