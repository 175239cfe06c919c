//! Records in: cutting a file into raw records ([`split`]) and decoding one of them ([`json`], [`csv`], [`avro`]).
//!
//! Cutting is done by one thread and looks only for boundaries; decoding may be done by many. What cannot be decoded is a fault of the record,
//! with its bytes kept; what makes the rest of a file unreadable is an [`InputError`].

mod avro;
mod avro_shape;
mod before;
mod container;
mod csv;
mod hints;
mod json;
mod rows;
mod signs;
mod source;
mod split;

pub use csv::CsvMapping;
pub(crate) use source::{HEAD_BYTES, Prefix};
pub use split::{Ending, RawBatch, Restart, Splitter, TakenBytes, Unfinished};

#[cfg(feature = "registry")]
pub(super) use avro::Plan;
#[cfg(feature = "registry")]
pub(super) use json::decode as decode_json;

use crate::state::Corrupt;
use pipeline::{Fault, Field, IntakeRules, Kind, RawCommand, RawUsage, RawValue, Taken};
use rating::{SuspenseReason, Timestamp};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// Largest raw record, in bytes. What is longer is kept up to here and cannot be decoded.
pub(super) const MAX_RECORD_BYTES: usize = 1 << 20;

/// Form of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputFormat {
    /// One JSON object per line: usage, commands and ticks.
    JsonLines,
    /// A header and one usage record per row.
    Csv(CsvMapping),
    /// An Avro container file of usage records, commands or ticks.
    Avro,
}

/// One thing decoded.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are usage records, and a box for each would cost an allocation"
)]
pub enum Decoded<'a> {
    /// A usage record.
    Usage(RawUsage<'a>),
    /// An account command.
    Command(RawCommand<'a>),
    /// It is at least this late.
    Tick(Timestamp),
}

impl Decoded<'_> {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Decoded::Usage(_) => Kind::Usage,
            Decoded::Command(_) => Kind::Command,
            Decoded::Tick(_) => Kind::Tick,
        }
    }

    /// Validates it. A kind that is not taken is refused before anything of it is looked at.
    pub fn take_in(&self, rules: &IntakeRules) -> Taken {
        if let Err(fault) = rules.admit_kind(self.kind()) {
            return Taken::Fault(fault);
        }
        match self {
            Decoded::Usage(raw) => Taken::usage(raw, rules),
            Decoded::Command(raw) => Taken::command(raw, rules),
            Decoded::Tick(instant) => Taken::tick(*instant, rules),
        }
    }
}

/// Decodes the raw records of one input.
#[derive(Clone, Debug)]
pub struct Decoder(Form);

#[derive(Clone, Debug)]
enum Form {
    Json,
    Csv(csv::Columns),
    Avro(avro::Plan),
}

/// What a decoder is made from, as kept with the progress of an input.
#[derive(Serialize, Deserialize)]
#[serde(tag = "form", rename_all = "snake_case")]
enum Description {
    JsonLines,
    Csv { mapping: CsvMapping, header: Vec<String> },
    Avro { schema: String },
}

impl Decoder {
    /// For JSON lines.
    pub fn json_lines() -> Decoder {
        Decoder(Form::Json)
    }

    /// Decodes a record.
    ///
    /// # Errors
    /// `undecodable`, with the place in the record and the reason.
    pub fn decode<'a>(&'a self, record: &'a [u8]) -> Result<Decoded<'a>, Fault> {
        if record.len() >= MAX_RECORD_BYTES {
            return Err(too_long(None));
        }
        match &self.0 {
            Form::Json => json::decode(record),
            Form::Csv(columns) => columns.decode(record),
            Form::Avro(plan) => plan.decode(record),
        }
    }

    /// Media type of the raw records.
    pub fn content_type(&self) -> &'static str {
        match &self.0 {
            Form::Json => "application/json",
            Form::Csv(_) => "text/csv",
            Form::Avro(_) => "application/avro",
        }
    }

    /// The form of the input it was made for.
    pub fn input_format(&self) -> InputFormat {
        match &self.0 {
            Form::Json => InputFormat::JsonLines,
            Form::Csv(columns) => InputFormat::Csv(columns.mapping().clone()),
            Form::Avro(_) => InputFormat::Avro,
        }
    }

    /// All that is needed to make it again.
    pub fn describe(&self) -> Vec<u8> {
        let description = match &self.0 {
            Form::Json => Description::JsonLines,
            Form::Csv(columns) => {
                Description::Csv { mapping: columns.mapping().clone(), header: columns.header().to_vec() }
            }
            Form::Avro(plan) => Description::Avro { schema: plan.schema().to_owned() },
        };
        // Plain structures of texts always have a JSON form.
        serde_json::to_vec(&description).unwrap_or_default()
    }

    /// The inverse of [`Decoder::describe`].
    ///
    /// # Errors
    /// Bytes that are not a description.
    pub fn from_description(bytes: &[u8]) -> Result<Decoder, Corrupt> {
        let corrupt = || Corrupt { what: "the description of an input", left: bytes.len() };
        let form = match serde_json::from_slice(bytes).map_err(|_| corrupt())? {
            Description::JsonLines => Form::Json,
            Description::Csv { mapping, header } => {
                Form::Csv(csv::Columns::new(mapping, header).map_err(|_| corrupt())?)
            }
            Description::Avro { schema } => Form::Avro(avro::Plan::new(&schema).map_err(|_| corrupt())?),
        };
        Ok(Decoder(form))
    }
}

/// Returns true if a usage record lacks a field that it needs, or every identity.
fn lacks_fields(usage: &RawUsage<'_>) -> bool {
    let is_absent = |field: &Field| *usage.get(*field) == RawValue::Absent;
    [Field::Id, Field::Service, Field::Quantity, Field::EventTime].iter().any(is_absent)
        || [Field::Imsi, Field::Iccid, Field::Msisdn, Field::EndpointId, Field::AccountId].iter().all(is_absent)
}

/// Returns true if a name stands twice.
fn has_twins(attributes: &[(Cow<'_, str>, Cow<'_, str>)]) -> bool {
    let mut names: Vec<&str> = attributes.iter().map(|(name, _)| &**name).collect();
    names.sort_unstable();
    names.windows(2).any(|pair| pair[0] == pair[1])
}

/// The fault of a record that is too long; of one that was cut, with the bytes that it has.
pub(crate) fn too_long(length: Option<u64>) -> Fault {
    match length {
        Some(length) => undecodable(format!(
            "is longer than {MAX_RECORD_BYTES} bytes: it has {length}, of which the first {MAX_RECORD_BYTES} are kept"
        )),
        None => undecodable(format!("is longer than {MAX_RECORD_BYTES} bytes")),
    }
}

pub(super) fn undecodable(detail: impl Into<String>) -> Fault {
    Fault::new(SuspenseReason::Undecodable, detail)
}

/// Why the rest of an input cannot be read.
#[derive(Debug)]
pub enum InputError {
    /// The file.
    Read(std::io::Error),
    /// The header of a CSV file.
    Header(String),
    /// It is no text in UTF-8 from its first bytes on.
    NotText(&'static str),
    /// It ends before its header does.
    Unfinished(Unfinished),
    /// An Avro container: where, and what.
    Container {
        /// Byte of the file.
        at: u64,
        /// What is wrong.
        what: String,
    },
}

impl InputError {
    /// Whether reading it again would end the same way.
    pub fn is_lasting(&self) -> bool {
        match self {
            InputError::Read(_) | InputError::Unfinished(_) => false,
            InputError::Header(_) | InputError::NotText(_) | InputError::Container { .. } => true,
        }
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InputError::Read(error) => error.fmt(f),
            InputError::Header(what) => write!(f, "header: {what}"),
            InputError::NotText(what) => f.write_str(what),
            InputError::Unfinished(Unfinished { bytes: 0, .. }) => f.write_str("is empty"),
            InputError::Unfinished(_) => f.write_str("the header is not finished"),
            InputError::Container { at, what } => write!(f, "byte {at}: {what}"),
        }
    }
}

impl std::error::Error for InputError {}
