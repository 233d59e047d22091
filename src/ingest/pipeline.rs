//! The threads of an ingest and the channels between them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use arrow::array::RecordBatch;
use crossbeam_channel::{Receiver, Sender, bounded};

use super::dates::{Halt, Settled};
use super::missing::{self, InputGaps, Missing};
use super::{IngestError, Options, Report};
use crate::record::decode::{Decoded, Decoder};
use crate::record::frame::{Block, FrameError, Framer, Pieces};
use crate::record::{Dates, Reject};
use crate::source::{self, Input, ReadProblem};
use crate::store::{Appended, Store};

/// Is told how many bytes of the sources have been read.
pub type Progress = Arc<dyn Fn(u64) + Send + Sync>;

/// Bytes that one work gathers at the least, from as many small files as it takes: an hourly blob of a
/// few records is not worth a batch of its own.
const WORK_BYTES: usize = 4 * 1024 * 1024;

/// Blocks for one decoder, in order.
struct Work {
    number: u64,
    parts: Vec<(Arc<str>, Dates, Block)>,
}

/// What the reader knows at the end.
#[derive(Default)]
struct Reading {
    incomplete: u64,
    problems: Vec<String>,
    remarks: Vec<String>,
    /// Inputs whose times name no zone.
    zones: usize,
}

/// What a decoder made of one work: its number, the events, what they say of status and caller.
type Done = (u64, Decoded, InputGaps);

/// Remarks of one kind that are made one by one.
const ZONE_REMARKS: usize = 8;

impl Reading {
    /// Takes a remark on an input's zone; there may be as many as inputs.
    fn remark(&mut self, remark: Option<String>) {
        let Some(remark) = remark else { return };
        self.zones += 1;
        if self.zones <= ZONE_REMARKS {
            self.remarks.push(remark);
        } else if self.zones == ZONE_REMARKS + 1 {
            self.remarks.push("times of more inputs name no zone and were read as UTC".to_owned());
        }
    }
}

/// Reads the inputs in order into the store. A source that fails is told in the report; the rest is read.
pub async fn ingest(
    store: &Store,
    inputs: Vec<Input>,
    options: &Options,
    progress: Progress,
) -> Result<Report, IngestError> {
    let started = Instant::now();
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    let (work_in, work_out) = bounded::<Work>(workers);
    // The collector is async: its channel's sender blocks the decoders when the store is slow.
    let (done_in, mut done_out) = tokio::sync::mpsc::channel::<Done>(workers);
    let read_bytes = Arc::new(AtomicU64::new(0));
    // Buffers go back to the reader; one that finds no room there is dropped.
    let (spare_in, spare_out) = bounded::<Vec<u8>>(2 * workers);
    let reader = {
        let (options, read_bytes) = (options.clone(), read_bytes.clone());
        std::thread::spawn(move || read(&inputs, &options, &work_in, &spare_out, &read_bytes, &progress))
    };
    let decoders: Vec<_> = (0..workers)
        .map(|_| {
            let (works, spares, done) = (work_out.clone(), spare_in.clone(), done_in.clone());
            let arrived = options.arrived;
            std::thread::spawn(move || decode(&works, &spares, &done, arrived))
        })
        .collect();
    drop((work_out, spare_in, done_in));

    let mut collector = Collector::new(store, options);
    while let Some(done) = done_out.recv().await {
        collector.take(done).await?;
    }
    let reading = reader.join().map_err(|_| IngestError::Worker)?;
    for decoder in decoders {
        decoder.join().map_err(|_| IngestError::Worker)?;
    }
    let mut report = collector.finish().await?;
    report.incomplete = reading.incomplete;
    report.problems = reading.problems;
    report.remarks.splice(0..0, reading.remarks);
    report.bytes_read = read_bytes.load(Ordering::Relaxed);
    report.seconds = started.elapsed().as_secs_f64();
    Ok(report)
}

/// The reader's thread: inputs to works. Ends early when nobody takes works any more.
fn read(
    inputs: &[Input],
    options: &Options,
    works: &Sender<Work>,
    spares: &Receiver<Vec<u8>>,
    total: &AtomicU64,
    progress: &Progress,
) -> Reading {
    let mut reading = Reading::default();
    let mut work = Work { number: 0, parts: Vec::new() };
    let mut gathered = 0;
    for input in inputs {
        let name: Arc<str> = input.name.as_str().into();
        let opened = match source::open(input, &options.source) {
            Ok(opened) => opened,
            Err(error) => {
                reading.problems.push(error.to_string());
                continue;
            }
        };
        let raw = opened.raw_bytes();
        let before = total.load(Ordering::Relaxed);
        let mut framer = Framer::new(opened, &name, options.frame);
        let mut settled = Settled::new(input, options);
        loop {
            spares.try_iter().take(1).for_each(|spare| framer.reuse(spare));
            let block = match settled.next_block(&mut framer) {
                Ok(Some(block)) => block,
                Ok(None) => break,
                Err(Halt::Read(FrameError::Read { offset, error })) => {
                    reading.problems.push(unreadable(&name, offset, &error));
                    break;
                }
                Err(Halt::Dates(problem)) => {
                    reading.problems.push(problem);
                    break;
                }
            };
            gathered += block.bytes.len();
            work.parts.push((name.clone(), settled.dates(), block));
            total.store(before + raw.load(Ordering::Relaxed), Ordering::Relaxed);
            progress(total.load(Ordering::Relaxed));
            if gathered >= WORK_BYTES {
                let next = Work { number: work.number + 1, parts: Vec::new() };
                if works.send(std::mem::replace(&mut work, next)).is_err() {
                    return reading;
                }
                gathered = 0;
            }
        }
        total.store(before + raw.load(Ordering::Relaxed), Ordering::Relaxed);
        reading.remark(settled.remark);
        if let Some(tail) = framer.incomplete() {
            reading.incomplete += 1;
            reading.remarks.push(format!(
                "'{name}' ends in {} bytes at offset {} that are no whole record yet: they are read when the rest is there",
                tail.bytes_len, tail.offset
            ));
        }
    }
    if !work.parts.is_empty() {
        // Nobody to take it means that the collector failed, which is told there.
        let _ = works.send(work);
    }
    reading
}

/// What went wrong in the middle of a source, in one sentence.
fn unreadable(name: &str, offset: u64, error: &std::io::Error) -> String {
    match ReadProblem::of(error) {
        Some(problem) => problem.to_string(),
        None => format!("'{name}' could not be read beyond byte {offset}: {error}"),
    }
}

/// A decoder's thread: works to batches.
fn decode(works: &Receiver<Work>, spares: &Sender<Vec<u8>>, done: &tokio::sync::mpsc::Sender<Done>, arrived: i64) {
    let mut decoder = Decoder::new(arrived);
    for work in works {
        let (mut refused, mut input_gaps) = (Vec::new(), InputGaps::new());
        for (name, dates, block) in work.parts {
            decoder.source(&name);
            decoder.dates(dates);
            decode_block(&mut decoder, &block);
            missing::note(&mut input_gaps, &name, decoder.gaps());
            refused.extend(block.rejects);
            let _ = spares.try_send(block.bytes);
        }
        let mut decoded = decoder.finish();
        decoded.read += refused.len() as u64;
        decoded.rejects.extend(refused);
        if done.blocking_send((work.number, decoded, input_gaps)).is_err() {
            return;
        }
    }
}

/// Hands every piece of a block to a decoder.
pub(super) fn decode_block(decoder: &mut Decoder, block: &Block) {
    let piece = |range: &std::ops::Range<u32>| {
        (&block.bytes[range.start as usize..range.end as usize], block.offset + u64::from(range.start))
    };
    match &block.pieces {
        Pieces::Lines => decoder.lines(&block.bytes, block.offset),
        Pieces::Values(ranges) => {
            for (text, offset) in ranges.iter().map(piece) {
                decoder.value(text, offset);
            }
        }
        Pieces::Rows { columns, rows } => {
            for (text, offset) in rows.iter().map(piece) {
                decoder.row(columns, text, offset);
            }
        }
        Pieces::Csv { header, rows } => {
            for (text, offset) in rows.iter().map(piece) {
                decoder.csv_row(header, text, offset);
            }
        }
    }
}

/// Puts batches back into order and hands full ones to the store, one commit at a time, while the next fill.
struct Collector<'a> {
    store: &'a Store,
    options: &'a Options,
    next: u64,
    early: std::collections::BTreeMap<u64, (Decoded, InputGaps)>,
    missing: Missing,
    events: Vec<RecordBatch>,
    rejects: Vec<Reject>,
    rows: usize,
    appending: Option<tokio::task::JoinHandle<Result<Appended, crate::store::StoreError>>>,
    report: Report,
}

impl<'a> Collector<'a> {
    fn new(store: &'a Store, options: &'a Options) -> Self {
        Self {
            store,
            options,
            next: 0,
            early: std::collections::BTreeMap::new(),
            missing: Missing::default(),
            events: Vec::new(),
            rejects: Vec::new(),
            rows: 0,
            appending: None,
            report: Report::default(),
        }
    }

    async fn take(&mut self, (number, decoded, input_gaps): Done) -> Result<(), IngestError> {
        self.early.insert(number, (decoded, input_gaps));
        while let Some((decoded, input_gaps)) = self.early.remove(&self.next) {
            self.next += 1;
            self.missing.take(input_gaps);
            self.report.records_read += decoded.read;
            self.report.skipped += decoded.skipped;
            self.report.quarantined += decoded.rejects.len() as u64;
            self.rows += decoded.events.num_rows() + decoded.rejects.len();
            if decoded.events.num_rows() > 0 {
                self.events.push(decoded.events);
            }
            self.rejects.extend(decoded.rejects);
            if self.rows >= self.options.batch_rows {
                self.append().await?;
            }
        }
        Ok(())
    }

    /// Starts the next commit once the last one is through.
    async fn append(&mut self) -> Result<(), IngestError> {
        self.settle().await?;
        let (events, rejects) = (std::mem::take(&mut self.events), std::mem::take(&mut self.rejects));
        self.rows = 0;
        let (store, at) = (self.store.clone(), self.options.arrived);
        self.appending = Some(tokio::spawn(async move { store.append(events, rejects, at).await }));
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), IngestError> {
        if let Some(task) = self.appending.take() {
            let appended = task.await.map_err(|_| IngestError::Worker)??;
            self.report.events_written += appended.written;
            self.report.duplicates += appended.duplicates;
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<Report, IngestError> {
        if self.rows > 0 {
            self.append().await?;
        }
        self.settle().await?;
        let (gaps, remarks) = self.missing.finish();
        (self.report.without_status, self.report.without_caller) = (gaps.without_status, gaps.without_caller);
        self.report.remarks = remarks;
        Ok(self.report)
    }
}
