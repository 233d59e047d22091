//! The threads of an ingest and the channels between them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use arrow::array::RecordBatch;
use crossbeam_channel::{Receiver, Sender, bounded};

use super::missing::{self, Missing, Parts};
use super::reading::{Outlet, read};
use super::remarks::{MOST_REMARKS, Remarks, without_events};
use super::work::Work;
use super::{IngestError, Options, Report, Stopped};
use crate::record::decode::{Decoded, Decoder};
use crate::record::frame::{Block, Pieces};
use crate::record::{Reject, Tally};
use crate::source::Input;
use crate::store::{Appended, Store};

/// Is told how many bytes of the sources have been read.
pub type Progress = Arc<dyn Fn(u64) + Send + Sync>;

/// Bytes of input whose rows are gathered for one commit at the most, however few records they are.
const BATCH_BYTES: usize = 64 * 1024 * 1024;

/// Bytes of rejects that are gathered for one commit at the most: on their way to a file there are copies of them.
const BATCH_REJECT_BYTES: usize = 16 * 1024 * 1024;

/// What came of one work.
struct Done {
    number: u64,
    bytes: usize,
    decoded: Decoded,
    /// What its events say of status and caller.
    parts: Parts,
}

/// Reads the inputs in order into the store. A source that fails is told in the report; the rest is read.
///
/// # Errors
/// What the store refuses, with what was done until then: it stands, and the same inputs may be read again.
pub async fn ingest(
    store: &Store,
    inputs: impl IntoIterator<Item = Input> + Send + 'static,
    options: &Options,
    progress: Progress,
) -> Result<Report, Stopped> {
    let started = Instant::now();
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    let (work_in, work_out) = bounded::<Work>(workers);
    // The collector is async: its channel's sender blocks the decoders when the store is slow.
    let (done_in, mut done_out) = tokio::sync::mpsc::channel::<Done>(workers);
    // One token a work that is on its way: while one takes long, those behind it must not pile up.
    let (begun, ended) = bounded::<()>(2 * workers);
    let read_bytes = Arc::new(AtomicU64::new(0));
    // Buffers go back to the reader; one that finds no room there is dropped.
    let (spare_in, spare_out) = bounded::<Vec<u8>>(2 * workers);
    let reader = {
        let (options, read_bytes) = (options.clone(), read_bytes.clone());
        let outlet = Outlet::new(begun, work_in);
        std::thread::spawn(move || read(inputs, &options, outlet, &spare_out, &read_bytes, &progress))
    };
    let decoders: Vec<_> = (0..workers)
        .map(|_| {
            let (works, spares, done) = (work_out.clone(), spare_in.clone(), done_in.clone());
            let arrived = options.arrived;
            std::thread::spawn(move || decode(&works, &spares, &done, arrived))
        })
        .collect();
    drop((work_out, spare_in, done_in));

    let mut collector = Collector::new(store, options, ended);
    let collected = collector.collect(&mut done_out).await;
    drop(done_out);
    // The others end by themselves once nobody takes what they make: the last thing that they wait for is gone with it.
    let mut report = collector.into_report();
    if let Err(error) = collected {
        return Err(Stopped { error, report });
    }
    let joined = decoders.into_iter().all(|decoder| decoder.join().is_ok());
    let Some(reading) = reader.join().ok().filter(|_| joined) else {
        return Err(Stopped { error: IngestError::Worker, report });
    };
    reading.tell(&mut report);
    report.bytes_read = read_bytes.load(Ordering::Relaxed);
    report.seconds = started.elapsed().as_secs_f64();
    Ok(report)
}

/// A decoder's thread: works to batches.
fn decode(works: &Receiver<Work>, spares: &Sender<Vec<u8>>, done: &tokio::sync::mpsc::Sender<Done>, arrived: i64) {
    let mut decoder = Decoder::new(arrived);
    for work in works {
        let (number, bytes) = (work.number, work.bytes());
        let (mut refused, mut parts) = (Vec::new(), Parts::new());
        for (name, dates, block) in work.parts {
            decoder.source(&name);
            decoder.dates(dates);
            decode_block(&mut decoder, &block);
            missing::note(&mut parts, &name, decoder.completeness());
            refused.extend(block.rejects);
            let _ = spares.try_send(block.bytes);
        }
        let mut decoded = decoder.finish();
        decoded.read += refused.len() as u64;
        decoded.rejects.extend(refused);
        if done.blocking_send(Done { number, bytes, decoded, parts }).is_err() {
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
        Pieces::Csv { header, delimiter, rows } => {
            for (text, offset) in rows.iter().map(piece) {
                decoder.csv_row(header, *delimiter, text, offset);
            }
        }
    }
}

/// Puts batches back into order and hands full ones to the store, one commit at a time, while the next fill.
struct Collector<'a> {
    store: &'a Store,
    options: &'a Options,
    /// A token a work, to be taken when it is.
    begun: Receiver<()>,
    next: u64,
    early: std::collections::BTreeMap<u64, Done>,
    missing: Missing,
    events: Vec<RecordBatch>,
    rejects: Vec<Reject>,
    rows: usize,
    bytes: usize,
    reject_bytes: usize,
    appending: Option<tokio::task::JoinHandle<Result<Appended, crate::store::StoreError>>>,
    report: Report,
    /// The source at hand, and what there is to say of those before it.
    tally: Tally,
    without_events: Remarks,
}

impl<'a> Collector<'a> {
    fn new(store: &'a Store, options: &'a Options, begun: Receiver<()>) -> Self {
        Self {
            store,
            options,
            begun,
            next: 0,
            early: std::collections::BTreeMap::new(),
            missing: Missing::default(),
            events: Vec::new(),
            rejects: Vec::new(),
            rows: 0,
            bytes: 0,
            reject_bytes: 0,
            appending: None,
            report: Report::default(),
            tally: Tally::default(),
            without_events: Remarks::new(MOST_REMARKS, "files like it"),
        }
    }

    /// Adds up what came of each source; they come in order.
    fn account(&mut self, tallies: Vec<Tally>) {
        for tally in tallies {
            if tally.source == self.tally.source {
                self.tally.join(tally);
            } else {
                self.close(tally);
            }
        }
    }

    /// The source at hand is read; goes on with the next.
    fn close(&mut self, next: Tally) {
        let done = std::mem::replace(&mut self.tally, next);
        if let Some(remark) = without_events(&done) {
            self.without_events.push(|| remark);
        }
    }

    /// What came of all that was taken.
    fn into_report(mut self) -> Report {
        self.close(Tally::default());
        let (all, mut remarks) = self.missing.finish();
        remarks.extend(self.without_events.finish());
        let (without_status, without_caller) = (all.without_status, all.without_caller);
        Report { without_status, without_caller, remarks, ..self.report }
    }

    /// Takes all that comes, to its end.
    async fn collect(&mut self, done: &mut tokio::sync::mpsc::Receiver<Done>) -> Result<(), IngestError> {
        while let Some(done) = done.recv().await {
            self.take(done).await?;
        }
        if self.rows > 0 {
            self.append().await?;
        }
        self.settle().await
    }

    async fn take(&mut self, done: Done) -> Result<(), IngestError> {
        self.early.insert(done.number, done);
        while let Some(Done { decoded, bytes, parts, .. }) = self.early.remove(&self.next) {
            self.next += 1;
            let _ = self.begun.try_recv();
            self.bytes += bytes;
            self.missing.take(parts);
            self.account(decoded.tallies);
            self.report.ahead.merge(&decoded.ahead);
            self.report.records_read += decoded.read;
            self.report.skipped += decoded.skipped;
            self.report.quarantined += decoded.rejects.len() as u64;
            self.reject_bytes += decoded.rejects.iter().map(|reject| reject.bytes.len()).sum::<usize>();
            self.rows += decoded.events.num_rows() + decoded.rejects.len();
            if decoded.events.num_rows() > 0 {
                self.events.push(decoded.events);
            }
            self.rejects.extend(decoded.rejects);
            if self.is_full() {
                self.append().await?;
            }
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.rows >= self.options.batch_rows || self.bytes >= BATCH_BYTES || self.reject_bytes >= BATCH_REJECT_BYTES
    }

    /// Starts the next commit once the last one is through.
    async fn append(&mut self) -> Result<(), IngestError> {
        self.settle().await?;
        let (events, rejects) = (std::mem::take(&mut self.events), std::mem::take(&mut self.rejects));
        (self.rows, self.bytes, self.reject_bytes) = (0, 0, 0);
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
}
