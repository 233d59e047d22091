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
            Ok(0) => return Ok((String::from_utf8(text).unwrap(), None)),
            Ok(length) => text.extend_from_slice(&piece[..length]),
            Err(error) => return Ok((String::from_utf8(text).unwrap(), Some(error.to_string()))),
        }
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
