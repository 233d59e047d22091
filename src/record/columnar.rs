//! Parquet with columns of logs, as data exports and other engines write it: each row becomes a JSON line. Read batch by
//! batch, texts as views of their pages, so that many rows of one long text cost it once.

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Fields, Schema};
use arrow::json::LineDelimitedWriter;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::file::metadata::ParquetMetaData;

use super::container::{ContainerLimits, Made, contained};
use super::export;
use super::form::{Refusal, listed};
use super::frame::FrameError;

/// Rows that are decoded at a time.
const BATCH_ROWS: usize = 1024;

/// Bytes of text that are written out at a time, about.
const PIECE: usize = 1 << 20;

/// What stands in a message about damage.
const DAMAGED: &str = "its Parquet pages are damaged there";

/// How deep columns may nest.
const NESTING: usize = 16;

/// The rows as lines.
pub(super) struct Columnar {
    rows: ParquetRecordBatchReader,
    batch: Option<RecordBatch>,
    /// Rows of it that were written.
    written: usize,
    /// Size of the file.
    raw: u64,
    made: Made,
    limits: ContainerLimits,
    ended: bool,
}

impl Columnar {
    /// Reads the file's footer; refuses files with other columns.
    pub(super) fn open(file: File, limits: ContainerLimits) -> Result<Self, FrameError> {
        let raw = file.metadata().map_err(|error| FrameError::Read { offset: 0, error })?.len();
        let opened = contained(DAMAGED, || open_rows(file, raw, &limits)).map_err(|error| {
            let what = format!("a Parquet file that cannot be read ({error})");
            FrameError::Refused(Refusal::new(what, "copy it again, or export the logs as JSON"))
        })?;
        let rows = opened.map_err(FrameError::Refused)?;
        Ok(Self { rows, batch: None, written: 0, raw, made: Made::default(), limits, ended: false })
    }

    /// Writes the next rows.
    fn next_lines(&mut self) -> io::Result<()> {
        let Some(batch) = &self.batch else {
            match contained(DAMAGED, || self.rows.next().transpose())? {
                Some(batch) => (self.batch, self.written) = (Some(batch), 0),
                None => self.ended = true,
            }
            return Ok(());
        };
        let rows = fitting(batch, self.written);
        let slice = batch.slice(self.written, rows);
        let room = self.made.room();
        contained(DAMAGED, || LineDelimitedWriter::new(room).write(&slice))?;
        self.written += rows;
        if self.written >= batch.num_rows() {
            self.batch = None;
        }
        self.made.account(self.raw, &self.limits)
    }
}

impl Read for Columnar {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        while self.made.is_empty() && !self.ended && !target.is_empty() {
            self.next_lines().inspect_err(|_| self.ended = true)?;
        }
        Ok(self.made.read(target))
    }
}

type Opened = Result<ParquetRecordBatchReader, Refusal>;

fn open_rows(file: File, raw: u64, limits: &ContainerLimits) -> Result<Opened, parquet::errors::ParquetError> {
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let metadata = ArrowReaderMetadata::load(&file, options.clone())?;
    let names = || metadata.schema().fields().iter().map(|field| field.name().as_str());
    if !export::is_header(names(), b"") {
        return Ok(Err(Refusal::new(format!("a Parquet file with the columns {}", listed(names())), export::WANTED)));
    }
    if let Some(what) = bomb(metadata.metadata(), raw, limits) {
        return Ok(Err(Refusal::new(what, "if it is no bomb, export the logs as JSON")));
    }
    let fields: Option<Vec<Field>> = metadata.schema().fields().iter().map(|field| readable(field, NESTING)).collect();
    let Some(fields) = fields else {
        return Ok(Err(Refusal::new("a Parquet file with columns that nest too deep", "export the logs as JSON")));
    };
    let options = options.with_schema(Arc::new(Schema::new(fields)));
    // Where a nested column cannot be read so, all are read as they are.
    let metadata = ArrowReaderMetadata::load(&file, options).unwrap_or(metadata);
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata);
    builder.with_batch_size(BATCH_ROWS).build().map(Ok)
}

/// What its own account says of a file that decompresses to far more than logs do.
fn bomb(metadata: &ParquetMetaData, raw: u64, limits: &ContainerLimits) -> Option<String> {
    let pages: u64 = metadata
        .row_groups()
        .iter()
        .flat_map(|group| group.columns())
        .map(|column| u64::try_from(column.uncompressed_size()).unwrap_or(u64::MAX))
        .fold(0, u64::saturating_add);
    let too_much = pages > limits.max_bytes || (pages > limits.ratio_free_bytes && pages / limits.max_ratio > raw);
    too_much.then(|| format!("what looks like a decompression bomb: {raw} bytes of Parquet hold pages of {pages}"))
}

/// A column as it is read: texts as views, bytes as the text that they are where nobody said so, times in UTC.
fn readable(field: &Field, nesting: usize) -> Option<Field> {
    let inner = |inner: &Arc<Field>| readable(inner, nesting.checked_sub(1)?).map(Arc::new);
    let kind = match field.data_type() {
        DataType::Utf8 | DataType::Binary => DataType::Utf8View,
        DataType::Timestamp(unit, _) => DataType::Timestamp(*unit, Some("UTC".into())),
        DataType::List(item) => DataType::List(inner(item)?),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inner).collect::<Option<Fields>>()?),
        DataType::Map(entries, sorted) => DataType::Map(inner(entries)?, *sorted),
        other => other.clone(),
    };
    Some(field.clone().with_data_type(kind))
}

/// How many rows from `from` on make a piece: at least one.
fn fitting(batch: &RecordBatch, from: usize) -> usize {
    let texts: Vec<_> = batch.columns().iter().filter_map(|column| column.as_string_view_opt()).collect();
    let mut bytes = 0;
    let rows = (from..batch.num_rows()).take_while(|row| {
        let fits = bytes < PIECE;
        bytes +=
            256 + texts.iter().filter(|text| text.is_valid(*row)).map(|text| text.value(*row).len()).sum::<usize>();
        fits
    });
    rows.count().max(1)
}
