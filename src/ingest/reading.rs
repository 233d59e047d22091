//! The reader's thread: inputs to works for the decoders, and what there is to say of each input.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::{Receiver, Sender};

use super::dates::{Halt, Settled};
use super::pipeline::Progress;
use super::remarks::{MOST_PROBLEMS, MOST_REMARKS, Remarks};
use super::work::{self, Work};
use super::{Options, Report};
use crate::record::container::{self, ContainerLimits, Contents};
use crate::record::frame::{Block, FrameError, Framer, Incomplete};
use crate::record::{Dates, Form};
use crate::source::{self, Input, Opened, ReadProblem};

/// What the reader knows at the end.
pub(super) struct Reading {
    incomplete: u64,
    forms: BTreeMap<String, u64>,
    problems: Remarks,
    tails: Remarks,
    blanks: Remarks,
    zones: Remarks,
}

impl Default for Reading {
    fn default() -> Self {
        Self {
            incomplete: 0,
            forms: BTreeMap::new(),
            problems: Remarks::new(MOST_PROBLEMS, "sources that were not read to their end"),
            tails: Remarks::new(MOST_REMARKS, "files with such an end"),
            blanks: Remarks::new(MOST_REMARKS, "files like it"),
            zones: Remarks::new(MOST_REMARKS, "inputs whose times name no zone and were read as UTC"),
        }
    }
}

impl Reading {
    /// Notes that an input's times name no zone.
    fn zone(&mut self, remark: Option<String>) {
        if let Some(remark) = remark {
            self.zones.push(|| remark);
        }
    }

    /// Notes a tail that is no whole record.
    fn ends_in(&mut self, name: &str, tail: Option<&Incomplete>) {
        let Some(tail) = tail else { return };
        self.incomplete += 1;
        self.tails.push(|| unfinished(name, tail.bytes_len, tail.offset));
    }

    /// Notes what a whole input was read as; `blank` where not even a piece came of it.
    fn read_as(&mut self, name: &str, form: Form, encoding: Option<&str>, blank: bool) {
        let form = encoding.map_or_else(|| form.to_string(), |encoding| format!("{form}, {encoding}"));
        tracing::info!("'{}' was read as {form}", name.escape_debug());
        if blank {
            self.blanks.push(|| format!("'{name}' holds no record (read as {form})"));
        }
        *self.forms.entry(form).or_default() += 1;
    }

    /// Puts what is known into the report.
    pub(super) fn tell(self, report: &mut Report) {
        report.incomplete = self.incomplete;
        report.forms = self.forms;
        report.problems = self.problems.finish();
        let before = [self.zones, self.blanks, self.tails].into_iter().flat_map(Remarks::finish);
        report.remarks.splice(0..0, before);
    }
}

/// Where the reader's blocks go.
pub(super) struct Outlet {
    begun: Sender<()>,
    works: Sender<Work>,
    work: Work,
}

impl Outlet {
    pub(super) fn new(begun: Sender<()>, works: Sender<Work>) -> Self {
        Self { begun, works, work: Work::default() }
    }

    /// Takes a block in; false once nobody takes works any more, which means that the collector failed and says why.
    fn put(&mut self, name: &Arc<str>, dates: Dates, block: Block) -> bool {
        work::cut(block).into_iter().all(|block| !self.work.take(name, dates, block) || self.hand_on())
    }

    fn hand_on(&mut self) -> bool {
        let next = self.work.following();
        self.begun.send(()).is_ok() && self.works.send(std::mem::replace(&mut self.work, next)).is_ok()
    }

    /// Hands on what is left.
    fn finish(mut self) {
        if !self.work.parts.is_empty() {
            self.hand_on();
        }
    }
}

/// Inputs to works. Ends early when nobody takes works any more.
pub(super) fn read(
    inputs: impl IntoIterator<Item = Input>,
    options: &Options,
    outlet: Outlet,
    spares: &Receiver<Vec<u8>>,
    total: &AtomicU64,
    progress: &Progress,
) -> Reading {
    let buffer = Vec::new();
    let mut reader = Reader { options, outlet, spares, total, progress, buffer, reading: Reading::default() };
    if inputs.into_iter().all(|input| reader.input(&input)) {
        reader.outlet.finish();
    }
    reader.reading
}

struct Reader<'a> {
    options: &'a Options,
    outlet: Outlet,
    spares: &'a Receiver<Vec<u8>>,
    /// Bytes of the inputs read so far, before decompression.
    total: &'a AtomicU64,
    progress: &'a Progress,
    /// The window's memory, from one input to the next.
    buffer: Vec<u8>,
    reading: Reading,
}

impl Reader<'_> {
    /// Reads one input; false once nobody takes works any more.
    fn input(&mut self, input: &Input) -> bool {
        let name: Arc<str> = input.name.as_str().into();
        let mut opened = match source::open(input, &self.options.source) {
            Ok(opened) => opened,
            Err(error) => {
                self.reading.problems.push(|| error.to_string());
                return true;
            }
        };
        let (raw, before) = (opened.raw_bytes(), self.total.load(Ordering::Relaxed));
        let count = || {
            self.total.store(before + raw.load(Ordering::Relaxed), Ordering::Relaxed);
            (self.progress)(self.total.load(Ordering::Relaxed));
        };
        let limits = within(&self.options.source);
        let Contents { text, form: told } = match container::open(&mut opened, Opened::take_file, &limits) {
            Ok(contents) => contents,
            Err(error) => {
                self.reading.problems.push(|| unreadable(&name, &error));
                return true;
            }
        };
        let mut framer = Framer::with_buffer(text, &name, self.options.frame, std::mem::take(&mut self.buffer));
        let mut settled = Settled::new(input, self.options);
        let mut blocks = 0;
        let ended = loop {
            self.spares.try_iter().take(1).for_each(|spare| framer.reuse(spare));
            match settled.next_block(&mut framer) {
                Ok(Some(block)) => {
                    blocks += 1;
                    count();
                    if !self.outlet.put(&name, settled.dates(), block) {
                        return false;
                    }
                }
                Ok(None) => break Ok(()),
                Err(halt) => break Err(halt),
            }
        };
        count();
        self.reading.zone(settled.remark);
        self.reading.ends_in(&name, framer.incomplete());
        let form = told.unwrap_or(framer.form());
        let blank = blocks == 0 && framer.incomplete().is_none() && form != Form::Empty;
        self.buffer = framer.into_buffer();
        match ended {
            Ok(()) => self.reading.read_as(&name, form, opened.encoding(), blank),
            Err(Halt::Read(error)) => self.reading.problems.push(|| unreadable(&name, &error)),
            Err(Halt::Dates(problem)) => self.reading.problems.push(|| problem),
        }
        true
    }
}

/// What is missing at the end of a source: of a record, or only what closes the document around its records.
fn unfinished(name: &str, bytes: u64, offset: u64) -> String {
    match bytes {
        0 => format!(
            "'{name}' ends at offset {offset} without the bracket that closes its list of records: the records before it were \
             read, and more are read when they are there"
        ),
        bytes => format!(
            "'{name}' ends in {bytes} bytes at offset {offset} that are no whole record yet: they are read when the rest is \
             there"
        ),
    }
}

/// The limits on a source, for what is packed within it once more.
pub(super) fn within(limits: &source::Limits) -> ContainerLimits {
    ContainerLimits {
        max_ratio: limits.max_ratio,
        ratio_free_bytes: limits.ratio_free_bytes,
        max_bytes: limits.max_decompressed_bytes,
    }
}

/// Why a source was refused, or what went wrong in the middle of it, in one sentence.
fn unreadable(name: &str, error: &FrameError) -> String {
    match error {
        FrameError::Refused(refusal) => format!("'{name}' is {refusal}"),
        FrameError::Read { offset, error } => match ReadProblem::of(error) {
            Some(problem) => problem.to_string(),
            None => format!("'{name}' could not be read beyond byte {offset}: {error}"),
        },
    }
}
