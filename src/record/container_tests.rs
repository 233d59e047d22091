use std::io::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use super::*;

const LIMITS: ContainerLimits = ContainerLimits { max_ratio: 500, ratio_free_bytes: 64 << 20, max_bytes: 1 << 40 };

/// The text of a file, or why it is refused; with the error that ended it.
fn text_of(bytes: &[u8], limits: &ContainerLimits) -> Result<(String, Option<String>), String> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    io::Seek::rewind(&mut file).unwrap();
    let again = file.try_clone().unwrap();
    let mut contents = open(&mut file, |_| Some(again), limits).map_err(|error| error.to_string())?;
    let (mut text, mut piece) = (Vec::new(), [0; 1000]);
    loop {
        match contents.text.read(&mut piece) {
            Ok(0) => return Ok((String::from_utf8_lossy(&text).into_owned(), None)),
            Ok(length) => text.extend_from_slice(&piece[..length]),
            Err(error) => return Ok((String::from_utf8_lossy(&text).into_owned(), Some(error.to_string()))),
        }
    }
}

const CAPTURE: &str = r#"{"type":"record","name":"EventData","namespace":"Microsoft.ServiceBus.Messaging","fields":[
    {"name":"SequenceNumber","type":"long"},{"name":"Offset","type":"string"},{"name":"EnqueuedTimeUtc","type":"string"},
    {"name":"SystemProperties","type":{"type":"map","values":["long","double","string","bytes"]}},
    {"name":"Properties","type":{"type":"map","values":["long","double","string","bytes","null"]}},
    {"name":"Body","type":["null","bytes"]}]}"#;

fn long(number: i64) -> Vec<u8> {
    let mut rest = ((number << 1) ^ (number >> 63)) as u64;
    let mut out = Vec::new();
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
    out
}

fn avro_text(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    [long(bytes.as_ref().len() as i64), bytes.as_ref().to_vec()].concat()
}

/// A container file of one block for each of these groups of objects.
fn avro(schema: &str, codec: &str, blocks: &[Vec<Vec<u8>>]) -> Vec<u8> {
    let sync = [7u8; 16];
    let mut file = [b"Obj\x01".to_vec(), long(2), avro_text("avro.schema"), avro_text(schema)].concat();
    file.extend([avro_text("avro.codec"), avro_text(codec), long(0), sync.to_vec()].concat());
    for objects in blocks {
        let plain = objects.concat();
        let packed = match codec {
            "deflate" => {
                let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
                encoder.write_all(&plain).unwrap();
                encoder.finish().unwrap()
            }
            "zstandard" => zstd::encode_all(&plain[..], 1).unwrap(),
            "snappy" => {
                // One literal with its length in two bytes, and the checksum.
                let mut crc = flate2::Crc::new();
                crc.update(&plain);
                let length = (plain.len() - 1) as u16;
                let size = vec![plain.len() as u8 | 0x80, (plain.len() >> 7) as u8];
                [size, vec![61 << 2], length.to_le_bytes().to_vec(), plain, crc.sum().to_be_bytes().to_vec()].concat()
            }
            _ => plain,
        };
        file.extend([long(objects.len() as i64), avro_text(packed), sync.to_vec()].concat());
    }
    file
}

fn message(body: Option<&[u8]>) -> Vec<u8> {
    let property = [long(1), avro_text("x-opt"), long(2), avro_text("text"), long(0)].concat();
    let body = body.map_or(long(0), |body| [long(1), avro_text(body)].concat());
    [long(1), avro_text("4294967296"), avro_text("11/28/2026 5:00:00 AM"), property, long(0), body].concat()
}

#[test]
fn each_message_of_a_capture_is_a_line_whatever_the_codec() {
    let pad = b" ".repeat(100);
    let blocks = [
        vec![message(Some(b"{\"a\":1}")), message(None), message(Some(&pad))],
        vec![message(Some(b"")), message(Some(b"{\"records\":[\n]}")), message(Some(&pad))],
    ];
    let pad = String::from_utf8(pad).unwrap();
    for codec in ["null", "deflate", "snappy", "zstandard"] {
        let (text, error) = text_of(&avro(CAPTURE, codec, &blocks), &LIMITS).unwrap();
        assert_eq!((text, error), (format!("{{\"a\":1}}\n{pad}\n\n{{\"records\":[\n]}}\n{pad}\n"), None), "{codec}");
    }
}

#[test]
fn other_avro_and_damage_and_bombs_are_named() {
    let user = r#"{"type":"record","name":"User","fields":[{"name":"id","type":"long"}]}"#;
    let refused = text_of(&avro(user, "null", &[vec![long(1)]]), &LIMITS).unwrap_err();
    assert!(refused.contains("an Avro file of 'User' with the fields 'id'"), "{refused}");
    let refused = text_of(&avro(CAPTURE, "xz", &[]), &LIMITS).unwrap_err();
    assert!(refused.contains("codec 'xz' is not read"), "{refused}");

    let whole = avro(CAPTURE, "null", &[vec![message(Some(b"{\"a\":1}"))], vec![message(Some(b"{\"a\":2}"))]]);
    let header = avro(CAPTURE, "null", &[]).len();
    for end in header + 1..whole.len() {
        // Where the first block is cut off, the file is refused as a whole.
        let read = text_of(&whole[..end], &LIMITS);
        let (text, error) = read.unwrap_or_else(|refused| (String::new(), Some(refused)));
        assert!(text.is_empty() || text == "{\"a\":1}\n", "{end}: {text}");
        let at_a_block = end == header + (whole.len() - header) / 2;
        assert!(at_a_block || error.is_some_and(|error| error.contains("damaged")), "{end}");
    }
    for end in 4..header {
        assert!(text_of(&whole[..end], &LIMITS).unwrap_err().contains("header cannot be read"), "{end}");
    }
    let mut damaged = whole.clone();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    assert_eq!(text_of(&damaged, &LIMITS).unwrap().0, "{\"a\":1}\n");

    let body = vec![b' '; 1 << 20];
    let bomb = avro(CAPTURE, "deflate", &[vec![message(Some(&body)); 4]]);
    let small = ContainerLimits { ratio_free_bytes: 1 << 20, ..LIMITS };
    let (text, error) = text_of(&bomb, &small).unwrap();
    assert!(text.len() < 3 << 20 && error.is_some_and(|error| error.contains("500 times")));
    // A single block that decompresses beyond what is held at a time.
    for codec in ["deflate", "zstandard", "null"] {
        let body = vec![b' '; 40 << 20];
        let read = text_of(&avro(CAPTURE, codec, &[vec![message(Some(&body))]]), &LIMITS);
        let (text, error) = read.unwrap_or_else(|refused| (String::new(), Some(refused)));
        assert!(text.is_empty() && error.is_some_and(|error| error.contains("too large")), "{codec}");
    }
}

proptest::proptest! {
    #[test]
    fn no_avro_is_too_odd(
        at in proptest::prelude::any::<proptest::sample::Index>(),
        bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 1..12),
        codec in proptest::sample::select(vec!["null", "deflate", "snappy", "zstandard"]),
    ) {
        let pad = b" ".repeat(300);
        let mut file = avro(CAPTURE, codec, &[vec![message(Some(&pad)); 3]]);
        let at = 4 + at.index(file.len() - 4);
        let end = (at + bytes.len()).min(file.len());
        file[at..end].copy_from_slice(&bytes[..end - at]);
        let _ = text_of(&file, &LIMITS);
    }
}

fn parquet(columns: Vec<(&str, ArrayRef)>, compression: Compression) -> Vec<u8> {
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)));
    let batch = batch.unwrap();
    let properties = WriterProperties::builder().set_compression(compression).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

#[test]
fn each_row_of_parquet_is_a_line() {
    let rows = 3000;
    let bytes = parquet(
        vec![
            ("TimeGenerated", Arc::new(TimestampMicrosecondArray::from(vec![1_795_075_200_123_456; rows])) as ArrayRef),
            ("OperationName", Arc::new(StringArray::from(vec![Some("SecretGet"); rows]))),
            ("httpStatusCode_d", Arc::new(Int32Array::from(vec![Some(200); rows]))),
            ("id_s", Arc::new(BinaryArray::from_iter((0..rows).map(|n| (n > 0).then(|| n.to_string()))))),
        ],
        Compression::SNAPPY,
    );
    let (text, error) = text_of(&bytes, &LIMITS).unwrap();
    assert_eq!(error, None);
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), rows);
    let first = serde_json::json!({"TimeGenerated":"2026-11-19T08:00:00.123456Z","OperationName":"SecretGet","httpStatusCode_d":200});
    assert_eq!(lines[0], first);
    assert_eq!(lines[2999]["id_s"], "2999");
}

#[test]
fn other_parquet_and_damage_and_bombs_are_named() {
    let text = |text: &str, rows: usize| Arc::new(StringArray::from(vec![text; rows])) as ArrayRef;
    let foreign = parquet(vec![("id", text("1", 2)), ("name", text("x", 2))], Compression::UNCOMPRESSED);
    let refused = text_of(&foreign, &LIMITS).unwrap_err();
    assert!(refused.contains("a Parquet file with the columns 'id', 'name'"), "{refused}");
    let columns = vec![("TimeGenerated", text("2026", 2)), ("OperationName", text("x", 2))];
    let mut damaged = parquet(columns, Compression::UNCOMPRESSED);
    assert!(text_of(&damaged[..damaged.len() - 9], &LIMITS).unwrap_err().contains("cannot be read"));
    damaged[4..40].fill(0xff);
    assert!(text_of(&damaged, &LIMITS).unwrap().1.is_some_and(|error| error.contains("damaged")));
    // One long text that a dictionary holds once and every row names.
    let rows = 4000;
    let long = "x".repeat(100_000);
    let bomb =
        parquet(vec![("TimeGenerated", text("2026", rows)), ("OperationName", text(&long, rows))], Compression::SNAPPY);
    let small = ContainerLimits { ratio_free_bytes: 8 << 20, ..LIMITS };
    let (text, error) = text_of(&bomb, &small).unwrap();
    assert!(text.len() < 80 << 20 && error.is_some_and(|error| error.contains("500 times")), "{}", text.len());
    let refused = open(&mut &bomb[..], |_| None, &LIMITS).err().unwrap().to_string();
    assert!(refused.contains("comes through a pipe"), "{refused}");
}
