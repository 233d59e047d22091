//! Avro files of Event Hubs Capture: each object is a message, its `Body` the bytes that were sent, which are a line here.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

use arrow::array::{Array, AsArray};
use arrow_avro::reader::{Reader, ReaderBuilder};
use serde_json::Value;

use super::container::{ContainerLimits, Made, contained};
use super::form::{Refusal, listed, quoted};
use super::frame::FrameError;
use super::ocf::Blocks;

/// The field that holds the message.
const BODY: &str = "Body";

/// What stands in a message about damage.
const DAMAGED: &str = "its Avro blocks are damaged there";

/// The messages as lines.
pub(super) struct Capture<'a> {
    messages: Reader<Blocks<Box<dyn Read + 'a>>>,
    raw: Rc<Cell<u64>>,
    made: Made,
    limits: ContainerLimits,
    ended: bool,
}

impl<'a> Capture<'a> {
    /// Reads the file's header; refuses files with another schema.
    pub(super) fn open(reader: impl Read + 'a, limits: ContainerLimits) -> Result<Self, FrameError> {
        let refused = |what: String, way_out| FrameError::Refused(Refusal::new(what, way_out));
        let unreadable = |error: io::Error| {
            let what = format!("an Avro file whose header cannot be read ({error})");
            refused(what, "copy it again; Avro of Event Hubs Capture is read")
        };
        // Numbers are read byte by byte.
        let reader: Box<dyn Read + 'a> = Box::new(io::BufReader::with_capacity(64 << 10, reader));
        let (blocks, schema) = Blocks::open(reader).map_err(unreadable)?;
        let body = body(&schema).map_err(|what| {
            refused(what, "of Avro only Event Hubs Capture is read, whose objects have the message in 'Body'")
        })?;
        let raw = blocks.raw();
        // One message at a time: what came before damage is handed out.
        let builder = ReaderBuilder::new().with_projection(vec![body]).with_batch_size(1);
        let messages = contained(DAMAGED, || builder.build(blocks)).map_err(unreadable)?;
        Ok(Self { messages, raw, made: Made::default(), limits, ended: false })
    }

    /// Makes the next message a line.
    fn next_line(&mut self) -> io::Result<()> {
        let Some(batch) = contained(DAMAGED, || self.messages.next().transpose())? else {
            self.ended = true;
            return Ok(());
        };
        let line = self.made.room();
        for column in batch.columns().iter().filter(|column| !column.is_empty() && column.is_valid(0)) {
            if let Some(bytes) = column.as_binary_opt::<i32>() {
                line.extend_from_slice(bytes.value(0));
            } else if let Some(text) = column.as_string_opt::<i32>() {
                line.extend_from_slice(text.value(0).as_bytes());
            }
            line.push(b'\n');
        }
        self.made.account(self.raw.get(), &self.limits)
    }
}

impl Read for Capture<'_> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        while self.made.is_empty() && !self.ended && !target.is_empty() {
            self.next_line().inspect_err(|_| self.ended = true)?;
        }
        Ok(self.made.read(target))
    }
}

/// Which field of a schema is the message; what it is where it is none of Capture's.
fn body(schema: &[u8]) -> Result<usize, String> {
    let schema: Value = serde_json::from_slice(schema).unwrap_or_default();
    let no_fields = Vec::new();
    let fields = schema["fields"].as_array().unwrap_or(&no_fields);
    let name = |field: &Value| field["name"].as_str().map(str::to_owned).unwrap_or_default();
    let is_text = |kind: &Value| matches!(kind.as_str(), Some("bytes" | "string"));
    let is_body = |field: &Value| {
        let kind = &field["type"];
        name(field) == BODY && (is_text(kind) || kind.as_array().is_some_and(|kinds| kinds.iter().any(is_text)))
    };
    fields.iter().position(is_body).ok_or_else(|| {
        let names: Vec<String> = fields.iter().map(name).collect();
        match schema["name"].as_str() {
            Some(name) if !names.is_empty() => {
                format!("an Avro file of {} with the fields {}", quoted(name), listed(names.iter().map(String::as_str)))
            }
            _ => "an Avro file that holds no records".to_owned(),
        }
    })
}
