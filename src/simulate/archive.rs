//! Records to disk: blobs by vault and hour as in a storage account, or one file. Holds one hour at a time.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};

use super::call::Call;
use super::company::{Company, Micros, day_of, hour_of};
use super::config::{Config, Layout};
use super::operation::Names;
use super::record::civil;
use super::{HOUR, SimulateError};

/// Where records go.
pub(super) enum Archive {
    Blobs(Blobs),
    Single(Single),
}

impl Archive {
    pub(super) fn create(config: &Config, company: &Company, out: &Path) -> Result<Self, SimulateError> {
        match config.layout {
            Layout::Archive => Ok(Self::Blobs(Blobs {
                root: out.to_path_buf(),
                gzip: config.gzip,
                hour: company.from,
                buffers: vec![Vec::new(); company.vaults.len() + company.subscriptions.len()],
                files: 0,
                bytes: 0,
            })),
            Layout::Single => Single::create(config, out).map(Self::Single),
        }
    }

    /// Begins an hour; what was written before it is on disk afterwards.
    pub(super) fn begin_hour(&mut self, company: &Company, hour: Micros) -> Result<(), SimulateError> {
        match self {
            Self::Blobs(blobs) => {
                blobs.flush(company)?;
                blobs.hour = hour;
                Ok(())
            }
            Self::Single(_) => Ok(()),
        }
    }

    /// A line that belongs to the current hour's blob of this drawer.
    pub(super) fn write(&mut self, drawer: usize, line: &[u8]) -> Result<(), SimulateError> {
        match self {
            Self::Blobs(blobs) => {
                blobs.buffers[drawer].extend_from_slice(line);
                Ok(())
            }
            Self::Single(single) => single.write(line),
        }
    }

    /// Number of files and of bytes on disk.
    pub(super) fn finish(self, company: &Company) -> Result<(u64, u64), SimulateError> {
        match self {
            Self::Blobs(mut blobs) => {
                blobs.flush(company)?;
                Ok((blobs.files, blobs.bytes))
            }
            Self::Single(single) => single.finish().map(|bytes| (1, bytes)),
        }
    }
}

pub(super) struct Blobs {
    root: PathBuf,
    gzip: bool,
    hour: Micros,
    /// Lines of the hour, by drawer.
    buffers: Vec<Vec<u8>>,
    files: u64,
    bytes: u64,
}

impl Blobs {
    /// Writes a blob for each vault that has lines: Azure writes none for an hour without records.
    fn flush(&mut self, company: &Company) -> Result<(), SimulateError> {
        for (drawer, buffer) in self.buffers.iter_mut().enumerate().filter(|(_, b)| !b.is_empty()) {
            let folder = self.root.join(blob_folder(&resource_of(company, drawer), self.hour));
            let path = folder.join(if self.gzip { "PT1H.json.gz" } else { "PT1H.json" });
            fs::create_dir_all(&folder).map_err(|e| SimulateError::write(&folder, e))?;
            let compressed =
                if self.gzip { Some(gzip(buffer).map_err(|e| SimulateError::write(&path, e))?) } else { None };
            let bytes = compressed.as_deref().unwrap_or(buffer);
            fs::write(&path, bytes).map_err(|e| SimulateError::write(&path, e))?;
            self.files += 1;
            self.bytes += bytes.len() as u64;
            buffer.clear();
        }
        Ok(())
    }
}

/// Whose blob a call lies in: a vault's own, else the Activity log's of its subscription, numbered behind the vaults.
pub(super) fn drawer(company: &Company, call: &Call) -> usize {
    let vault = call.ask.vault;
    match call.ask.op.facts().names {
        Names::Activity => company.vaults.len() + company.vault(vault).env as usize,
        _ => usize::from(vault),
    }
}

/// The resource id in the path of this drawer's blobs.
fn resource_of(company: &Company, drawer: usize) -> String {
    match company.vaults.get(drawer) {
        Some(vault) => vault.resource_id.clone(),
        None => format!("/SUBSCRIPTIONS/{}", company.subscriptions[drawer - company.vaults.len()].to_uppercase()),
    }
}

/// `resourceId=/SUBSCRIPTIONS/…/y=2026/m=10/d=01/h=00/m=00`.
fn blob_folder(resource_id: &str, hour: Micros) -> String {
    let (year, month, day) = civil(day_of(hour));
    format!("resourceId={resource_id}/y={year:04}/m={month:02}/d={day:02}/h={:02}/m=00", hour_of(hour))
}

/// Compressed without a time or a name, so that the same content gives the same header.
fn gzip(content: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    encoder.write_all(content)?;
    encoder.finish()
}

pub(super) struct Single {
    path: PathBuf,
    sink: Stream,
}

enum Stream {
    Plain(BufWriter<File>),
    Gzip(Box<GzEncoder<BufWriter<File>>>),
}

impl Single {
    fn create(config: &Config, out: &Path) -> Result<Self, SimulateError> {
        let path = out.join(if config.gzip { "records.jsonl.gz" } else { "records.jsonl" });
        let file = File::create(&path).map_err(|e| SimulateError::write(&path, e))?;
        let writer = BufWriter::with_capacity(1 << 20, file);
        let sink = if config.gzip {
            Stream::Gzip(Box::new(GzBuilder::new().mtime(0).write(writer, Compression::default())))
        } else {
            Stream::Plain(writer)
        };
        Ok(Self { path, sink })
    }

    fn write(&mut self, line: &[u8]) -> Result<(), SimulateError> {
        let written = match &mut self.sink {
            Stream::Plain(writer) => writer.write_all(line),
            Stream::Gzip(encoder) => encoder.write_all(line),
        };
        written.map_err(|e| SimulateError::write(&self.path, e))
    }

    fn finish(self) -> Result<u64, SimulateError> {
        let Self { path, sink } = self;
        let writer = match sink {
            Stream::Plain(writer) => Ok(writer),
            Stream::Gzip(encoder) => encoder.finish(),
        };
        let done = writer.and_then(|mut w| w.flush()).and_then(|()| fs::metadata(&path)).map(|m| m.len());
        done.map_err(|e| SimulateError::write(&path, e))
    }
}

/// First moment of the hour that holds `t`.
pub(super) fn full_hour(t: Micros) -> Micros {
    t.div_euclid(HOUR) * HOUR
}
