//! Decompression on a thread of its own: gunzip yields some 270 MB/s, less than one decoder takes.
//!
//! A few buffers go round between the thread and the reader, so memory is bounded. The limits are kept here, since only
//! here both counts (compressed and decompressed) are known.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use flate2::bufread::GzDecoder;

use super::{Codec, Limits, ReadProblem};

/// Decompressed bytes in one buffer.
const CHUNK_BYTES: usize = 256 << 10;
/// Full buffers that may wait for the reader.
const CHUNKS_AHEAD: usize = 4;
/// Compressed bytes read at a time. Small, so that the ratio of the two counts is near the truth.
const RAW_BYTES: usize = 64 << 10;

/// The reader's end of a decompressing thread. Dropping it stops the thread at its next step.
pub(super) struct Inflated {
    name: String,
    codec: Codec,
    full: Receiver<Message>,
    empty: Sender<Vec<u8>>,
    chunk: Vec<u8>,
    at: usize,
    stop: Arc<AtomicBool>,
    ended: bool,
}

enum Message {
    Chunk(Vec<u8>),
    Failed(ReadProblem),
    End,
}

impl Inflated {
    /// Starts the thread on `raw`, which adds what it reads to `raw_bytes` and fails once `stop` is set.
    pub(super) fn spawn(
        name: &str,
        codec: Codec,
        raw: impl Read + Send + 'static,
        raw_bytes: Arc<AtomicU64>,
        stop: Arc<AtomicBool>,
        limits: Limits,
    ) -> io::Result<Self> {
        let (to_reader, full) = bounded(CHUNKS_AHEAD);
        let (empty, to_thread) = bounded(CHUNKS_AHEAD + 2);
        let pump =
            Pump { name: name.to_owned(), codec, raw_bytes, bytes: 0, limits, full: to_reader, empty: to_thread };
        thread::Builder::new().name("decompress".to_owned()).spawn(move || pump.run(raw))?;
        Ok(Self { name: name.to_owned(), codec, full, empty, chunk: Vec::new(), at: 0, stop, ended: false })
    }

    /// As `Read::read`, with the problem as it is.
    pub(super) fn read(&mut self, target: &mut [u8]) -> Result<usize, ReadProblem> {
        while self.at == self.chunk.len() {
            if self.ended {
                return Ok(0);
            }
            match self.full.recv() {
                Ok(Message::Chunk(chunk)) => {
                    let read = std::mem::replace(&mut self.chunk, chunk);
                    self.at = 0;
                    // Full or gone: then the buffer is simply freed.
                    let _ = self.empty.try_send(read);
                }
                Ok(Message::End) => self.ended = true,
                Ok(Message::Failed(problem)) => {
                    self.ended = true;
                    return Err(problem);
                }
                // The thread says how it ends, always; this is it dying in a panic of the decompressor.
                Err(_) => {
                    self.ended = true;
                    let error = io::Error::other(format!("the {} decompressor stopped", self.codec));
                    return Err(ReadProblem::Io { name: self.name.clone(), error });
                }
            }
        }
        let length = target.len().min(self.chunk.len() - self.at);
        target[..length].copy_from_slice(&self.chunk[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

impl Drop for Inflated {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// The thread's end.
struct Pump {
    name: String,
    codec: Codec,
    raw_bytes: Arc<AtomicU64>,
    /// Decompressed bytes so far.
    bytes: u64,
    limits: Limits,
    full: Sender<Message>,
    empty: Receiver<Vec<u8>>,
}

impl Pump {
    fn run(mut self, raw: impl Read) {
        let raw = BufReader::with_capacity(RAW_BYTES, raw);
        let last = match self.pump(raw) {
            Ok(()) => Message::End,
            Err(problem) => Message::Failed(problem),
        };
        // Nobody listens where the reader was dropped: then there is nobody to tell.
        let _ = self.full.send(last);
    }

    fn pump(&mut self, raw: impl BufRead) -> Result<(), ReadProblem> {
        match self.codec {
            Codec::Gzip => self.copy(Members::new(raw)),
            Codec::Zstd => {
                let decoder = zstd::stream::read::Decoder::with_buffer(raw).and_then(|mut decoder| {
                    decoder.window_log_max(self.limits.zstd_window_log_max)?;
                    Ok(decoder)
                });
                self.copy(decoder.map_err(|error| self.problem(error))?)
            }
        }
    }

    /// Sends what `decoder` yields, buffer by buffer, until its end, a problem, or the reader's leaving.
    fn copy(&mut self, mut decoder: impl Read) -> Result<(), ReadProblem> {
        loop {
            let mut chunk = self.empty.try_recv().unwrap_or_default();
            chunk.resize(CHUNK_BYTES, 0);
            let mut length = 0;
            let end = loop {
                match decoder.read(&mut chunk[length..]) {
                    Ok(0) => break Some(Ok(())),
                    Ok(read) => length += read,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => break Some(Err(error)),
                }
                if length == CHUNK_BYTES {
                    break None;
                }
            };
            chunk.truncate(length);
            self.bytes += length as u64;
            if self.full.send(Message::Chunk(chunk)).is_err() {
                return Ok(());
            }
            match end {
                Some(Ok(())) => return Ok(()),
                Some(Err(error)) => return Err(self.problem(error)),
                None => self.check_limits()?,
            }
        }
    }

    fn check_limits(&self) -> Result<(), ReadProblem> {
        let raw_bytes = self.raw_bytes.load(Ordering::Relaxed);
        let Limits { max_ratio, ratio_free_bytes, max_decompressed_bytes, .. } = self.limits;
        let limit = if self.bytes > max_decompressed_bytes {
            format!("{max_decompressed_bytes} bytes")
        } else if self.bytes > ratio_free_bytes && self.bytes > raw_bytes.saturating_mul(max_ratio) {
            format!("{max_ratio} times")
        } else {
            return Ok(());
        };
        Err(ReadProblem::Bomb { name: self.name.clone(), codec: self.codec, raw_bytes, bytes: self.bytes, limit })
    }

    /// What an error of the decompressor means.
    fn problem(&self, error: io::Error) -> ReadProblem {
        let (name, codec, bytes) = (self.name.clone(), self.codec, self.bytes);
        if error.raw_os_error().is_some() {
            return ReadProblem::Io { name, error };
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof => ReadProblem::Truncated { name, codec, bytes },
            // The zstd crate gives its library's error codes as text only.
            _ if codec == Codec::Zstd && error.to_string().contains("too much memory") => {
                ReadProblem::Window { name, limit_log: self.limits.zstd_window_log_max }
            }
            _ => ReadProblem::Corrupt { name, codec, bytes, error },
        }
    }
}

/// Gzip members one after the other. flate2's own multi-member reader takes the zero bytes that tapes and block devices
/// pad with for a damaged member; gunzip passes over them, and so does this.
struct Members<R> {
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Members<R> {
    fn new(raw: R) -> Self {
        Self { member: Some(GzDecoder::new(raw)) }
    }

    /// The member after one that ended; `None` at the end of the input.
    fn next_member(mut raw: R) -> io::Result<Option<GzDecoder<R>>> {
        let first = match raw.fill_buf()? {
            [] => return Ok(None),
            [first, ..] => *first,
        };
        if first == 0x1f {
            return Ok(Some(GzDecoder::new(raw)));
        }
        loop {
            let length = match raw.fill_buf()? {
                [] => return Ok(None),
                bytes if bytes.iter().all(|byte| *byte == 0) => bytes.len(),
                _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "bytes after its end are no gzip member")),
            };
            raw.consume(length);
        }
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        while let Some(mut member) = self.member.take() {
            let read = member.read(target);
            match read {
                Ok(0) if !target.is_empty() => self.member = Self::next_member(member.into_inner())?,
                read => {
                    self.member = Some(member);
                    return read;
                }
            }
        }
        Ok(0)
    }
}
