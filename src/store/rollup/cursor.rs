//! Events of one file in time order, column by column, with texts as small numbers. Files stay closed until their
//! time comes, and a cursor can be parked: then it holds its place and neither a file nor rows.

use std::fs::File;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch};
use arrow::buffer::ScalarBuffer;
use arrow::compute::{concat_batches, sort_to_indices, take_record_batch};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema, TimestampMicrosecondType};
use datafusion::common::HashMap;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};

use super::super::error::{BoxError, StoreError};
use super::super::file::{DAY, group_range};
use super::super::table::{DataFile, Range, overlap};

/// The text columns that roll-ups read, in the order of [`Rows::text`].
pub(super) const TEXTS: [&str; 11] = [
    "vault_name",
    "principal_id",
    "principal_type",
    "principal_name",
    "operation_name",
    "operation_class",
    "outcome",
    "object_type",
    "object_name",
    "caller_ip",
    "client_product",
];

/// `category`, read with the others.
const CATEGORY: &str = "category";

/// Texts and their numbers. 0 is null.
#[derive(Default)]
pub(super) struct Texts {
    numbers: HashMap<Arc<str>, u32>,
    texts: Vec<Arc<str>>,
    generation: u64,
}

impl Texts {
    /// The number of a text.
    pub(super) fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let text: Arc<str> = text.into();
        self.texts.push(text.clone());
        let number = u32::try_from(self.texts.len()).expect("texts of one day fit memory, and so 32 bits");
        self.numbers.insert(text, number);
        number
    }

    /// The text of a number; none of 0.
    pub(super) fn text(&self, number: u32) -> Option<&str> {
        Some(self.texts.get((number as usize).checked_sub(1)?)?)
    }

    /// Every number's place in the order of the texts; null comes first.
    pub(super) fn ranks(&self) -> Vec<u32> {
        let mut sorted: Vec<u32> = (0..=self.texts.len()).map(|n| u32::try_from(n).expect("as in number()")).collect();
        sorted.sort_by_key(|number| self.text(*number));
        let mut ranks = vec![0; sorted.len()];
        for (rank, number) in (0..).zip(sorted) {
            ranks[number as usize] = rank;
        }
        ranks
    }

    /// Forgets all texts where they have become many: numbers from before mean nothing any more.
    pub(super) fn forget_many(&mut self) {
        if self.texts.len() > 200_000 {
            *self = Texts { generation: self.generation + 1, ..Texts::default() };
        }
    }
}

/// One text column of a batch: keys into a dictionary, and the dictionary's numbers.
struct TextColumn {
    keys: Int32Array,
    values: ArrayRef,
    numbers: Arc<Vec<u32>>,
}

impl TextColumn {
    fn number(&self, row: usize) -> u32 {
        if self.keys.is_null(row) { 0 } else { self.numbers[self.keys.value(row) as usize] }
    }
}

/// Rows of one batch.
pub(super) struct Rows {
    time: ScalarBuffer<i64>,
    durations: Int64Array,
    texts: Vec<TextColumn>,
    generation: u64,
}

impl Rows {
    /// Time of a row.
    pub(super) fn time(&self, row: usize) -> i64 {
        self.time[row]
    }

    /// Duration of a row in milliseconds.
    pub(super) fn duration(&self, row: usize) -> Option<i64> {
        self.durations.is_valid(row).then(|| self.durations.value(row))
    }

    /// Number of the text in a column of [`TEXTS`].
    pub(super) fn text(&self, column: usize, row: usize) -> u32 {
        self.texts[column].number(row)
    }

    /// Number of the category.
    pub(super) fn category(&self, row: usize) -> u32 {
        self.texts[TEXTS.len()].number(row)
    }
}

/// A place in one file of events.
pub(super) struct Cursor<'a> {
    file: &'a DataFile,
    metadata: ArrowReaderMetadata,
    groups: Vec<usize>,
    /// The file says that it is sorted by time, as all of ours do.
    sorted: bool,
    /// Rows of `groups` before the current batch.
    passed: usize,
    reader: Option<ParquetRecordBatchReader>,
    rows: Option<Rows>,
    at: usize,
    head: Option<i64>,
}

const BATCH_ROWS: usize = 8_192;

impl<'a> Cursor<'a> {
    /// Opens a file at its first row of one of `days` (sorted).
    pub(super) fn open(file: &'a DataFile, days: &[i64], texts: &mut Texts) -> Result<Cursor<'a>, StoreError> {
        let metadata = load(file).map_err(|e| StoreError::at("read", &file.path, e))?;
        let groups = metadata.metadata().row_groups().iter().enumerate();
        let groups = groups.filter(|(_, g)| any_day(days, group_range(g, "time"))).map(|(at, _)| at).collect();
        let sorted = metadata.metadata().row_groups().iter().all(|g| g.sorting_columns().is_some());
        let mut cursor =
            Cursor { file, metadata, groups, sorted, passed: 0, reader: None, rows: None, at: 0, head: None };
        cursor.find_head(days, texts)?;
        Ok(cursor)
    }

    /// Time of the next row; none at the end.
    pub(super) fn head(&self) -> Option<i64> {
        self.head
    }

    /// Hands all rows before `end` to `sink`, then stands at the next row of one of `days`.
    pub(super) fn take_until(
        &mut self,
        end: i64,
        days: &[i64],
        texts: &mut Texts,
        mut sink: impl FnMut(&Rows, std::ops::Range<usize>),
    ) -> Result<(), StoreError> {
        while self.head.is_some_and(|head| head < end) {
            self.fill(texts)?;
            let Some(rows) = &self.rows else { break };
            let stop = self.at + rows.time[self.at..].partition_point(|t| *t < end);
            sink(rows, self.at..stop);
            self.at = stop;
            self.find_head(days, texts)?;
        }
        Ok(())
    }

    /// Lets go of file and rows; the next use finds its place again.
    pub(super) fn park(&mut self) {
        if !self.sorted {
            return;
        }
        if let Some(rows) = self.rows.take() {
            self.passed += self.at.min(rows.time.len());
            self.at = 0;
        }
        self.reader = None;
    }

    /// Moves to the first row, from the current one on, that lies in one of `days`.
    fn find_head(&mut self, days: &[i64], texts: &mut Texts) -> Result<(), StoreError> {
        loop {
            self.fill(texts)?;
            let Some(rows) = &self.rows else {
                self.head = None;
                return Ok(());
            };
            let time = rows.time[self.at];
            let day = time.div_euclid(DAY);
            match days.get(days.partition_point(|d| *d < day)) {
                Some(wanted) if *wanted == day => {
                    self.head = Some(time);
                    return Ok(());
                }
                Some(wanted) => self.at += rows.time[self.at..].partition_point(|t| *t < wanted * DAY),
                None => {
                    self.head = None;
                    return Ok(());
                }
            }
        }
    }

    /// Makes sure that there is a current row, unless the file is at its end.
    fn fill(&mut self, texts: &mut Texts) -> Result<(), StoreError> {
        self.try_fill(texts).map_err(|e| StoreError::at("read", &self.file.path, e))
    }

    fn try_fill(&mut self, texts: &mut Texts) -> Result<(), BoxError> {
        while self.rows.as_ref().is_none_or(|rows| self.at >= rows.time.len()) {
            if let Some(rows) = self.rows.take() {
                self.passed += rows.time.len();
                self.at = 0;
                // The same dictionary often serves the next batch.
                let next = self.next_batch()?.map(|batch| decode(&batch, texts, Some(&rows))).transpose()?;
                self.rows = next;
            } else {
                self.rows = self.next_batch()?.map(|batch| decode(&batch, texts, None)).transpose()?;
            }
            if self.rows.is_none() {
                return Ok(());
            }
        }
        if let Some(rows) = &mut self.rows
            && rows.generation != texts.generation
        {
            rows.texts.iter_mut().for_each(|column| column.numbers = Arc::new(numbers(&column.values, texts)));
            rows.generation = texts.generation;
        }
        Ok(())
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>, BoxError> {
        if self.reader.is_none() {
            let file = File::open(&self.file.path)?;
            let names = TEXTS.iter().copied().chain(["time", "duration_ms", CATEGORY]);
            let mask = ProjectionMask::columns(self.metadata.parquet_schema(), names);
            let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone())
                .with_projection(mask)
                .with_row_groups(self.groups.clone())
                .with_offset(self.passed)
                .with_batch_size(BATCH_ROWS);
            self.reader = Some(builder.build()?);
        }
        let reader = self.reader.as_mut().expect("made above");
        let Some(batch) = reader.next().transpose()? else { return Ok(None) };
        if self.sorted {
            return Ok(Some(batch));
        }
        // Another program has rewritten the file. Whole and sorted it serves as well.
        let rest = reader.collect::<Result<Vec<_>, _>>()?;
        let whole = concat_batches(&batch.schema(), std::iter::once(&batch).chain(&rest))?;
        let time = whole.column_by_name("time").ok_or("it has no column 'time'")?;
        Ok(Some(take_record_batch(&whole, &sort_to_indices(time, None, None)?)?))
    }
}

/// True where one of `days` lies in a range of times.
fn any_day(days: &[i64], range: Range) -> bool {
    let from = range.0.div_euclid(DAY);
    days.get(days.partition_point(|d| *d < from)).is_some_and(|day| overlap((day * DAY, day * DAY + DAY - 1), range))
}

/// The footer, with text columns to be read as dictionaries: a dictionary's texts are looked up once, not once a row.
fn load(file: &DataFile) -> Result<ArrowReaderMetadata, BoxError> {
    let plain = ArrowReaderMetadata::load(&File::open(&file.path)?, ArrowReaderOptions::new())?;
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let fields: Vec<Field> = plain
        .schema()
        .fields()
        .iter()
        .map(|field| {
            let text = TEXTS.contains(&field.name().as_str()) || field.name() == CATEGORY;
            let kind = if text { dictionary.clone() } else { field.data_type().clone() };
            Field::new(field.name(), kind, field.is_nullable())
        })
        .collect();
    let options = ArrowReaderOptions::new().with_schema(Arc::new(Schema::new(fields)));
    Ok(ArrowReaderMetadata::try_new(plain.metadata().clone(), options)?)
}

fn decode(batch: &RecordBatch, texts: &mut Texts, before: Option<&Rows>) -> Result<Rows, BoxError> {
    let column = |name: &str| batch.column_by_name(name).ok_or_else(|| format!("it has no column '{name}'"));
    let kind = |name: &str| format!("its column '{name}' has another type than the store's");
    let time = column("time")?.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(|| kind("time"))?;
    let durations = column("duration_ms")?.as_primitive_opt::<Int64Type>().ok_or_else(|| kind("duration_ms"))?;
    let before = before.filter(|rows| rows.generation == texts.generation);
    let mut columns = Vec::with_capacity(TEXTS.len() + 1);
    for (at, name) in TEXTS.iter().copied().chain([CATEGORY]).enumerate() {
        let dictionary = column(name)?.as_dictionary_opt::<Int32Type>().ok_or_else(|| kind(name))?;
        let values = dictionary.values();
        let known = before.map(|rows| &rows.texts[at]).filter(|c| Arc::ptr_eq(&c.values, values));
        let numbers = known.map_or_else(|| Arc::new(numbers(values, texts)), |c| c.numbers.clone());
        columns.push(TextColumn { keys: dictionary.keys().clone(), values: values.clone(), numbers });
    }
    Ok(Rows { time: time.values().clone(), durations: durations.clone(), texts: columns, generation: texts.generation })
}

fn numbers(values: &ArrayRef, texts: &mut Texts) -> Vec<u32> {
    let values = values.as_string::<i32>();
    values.iter().map(|value| value.map_or(0, |text| texts.number(text))).collect()
}
