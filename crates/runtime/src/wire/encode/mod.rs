//! Messages out: each message's fields are listed once ([`message`]) and written in three forms ([`avro`], [`json`], [`csv`]).
//!
//! Nothing is allocated per message, and no library value is built: a run puts out eight messages per record. That the bytes are what the
//! schemas say is proved by tests that read them with the Avro library.

mod avro;
mod cloud_events;
mod csv;
mod json;
mod message;
mod part;
mod sink;
mod text;

pub use message::{CommandOutcome, CommandReply, Origin, SuspenseRecord};

use super::schema::Message;
use rating::{BalanceDelta, Charge, Notification};

/// Form of the outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputFormat {
    /// Avro container files.
    Avro,
    /// One JSON object per line. Absent values are left out.
    JsonLines,
    /// A header and one row per message; segments and maps as JSON text in one column.
    Csv,
}

impl OutputFormat {
    /// All of them.
    pub const ALL: [OutputFormat; 3] = [OutputFormat::Avro, OutputFormat::JsonLines, OutputFormat::Csv];

    /// Ending of file names, and the name in options.
    pub fn extension(self) -> &'static str {
        match self {
            OutputFormat::Avro => "avro",
            OutputFormat::JsonLines => "jsonl",
            OutputFormat::Csv => "csv",
        }
    }

    /// What stands at the start of a file of these messages.
    pub fn header(self, message: Message) -> Vec<u8> {
        match self {
            OutputFormat::Avro => avro::header(message),
            OutputFormat::JsonLines => Vec::new(),
            OutputFormat::Csv => csv::header(message),
        }
    }
}

pub use avro::block_frame;
pub use cloud_events::{CloudEvents, Headers};
#[cfg(feature = "registry")]
pub(crate) use json::base64;

/// Encodes messages in one form.
#[derive(Clone, Debug)]
pub struct Encoder {
    format: OutputFormat,
    directory_version: String,
}

impl Encoder {
    /// Charges will name this version of the reference data; none, if it is empty.
    pub fn new(format: OutputFormat, directory_version: &str) -> Encoder {
        Encoder { format, directory_version: directory_version.to_owned() }
    }

    /// Charges name this version from now on.
    pub fn name_directory(&mut self, version: &str) {
        if self.directory_version != version {
            version.clone_into(&mut self.directory_version);
        }
    }

    /// Appends a charge.
    pub fn charge(&self, charge: &Charge<'_>, out: &mut Vec<u8>) {
        match self.format {
            OutputFormat::Avro => message::charge(charge, &self.directory_version, &mut avro::Avro::new(out)),
            OutputFormat::JsonLines => json::line(out, |sink| message::charge(charge, &self.directory_version, sink)),
            OutputFormat::Csv => csv::row(out, |sink| message::charge(charge, &self.directory_version, sink)),
        }
    }

    /// Appends a change of a balance.
    pub fn delta(&self, delta: &BalanceDelta<'_>, out: &mut Vec<u8>) {
        match self.format {
            OutputFormat::Avro => message::delta(delta, &mut avro::Avro::new(out)),
            OutputFormat::JsonLines => json::line(out, |sink| message::delta(delta, sink)),
            OutputFormat::Csv => csv::row(out, |sink| message::delta(delta, sink)),
        }
    }

    /// Appends a notification.
    pub fn notification(&self, notification: &Notification<'_>, out: &mut Vec<u8>) {
        match self.format {
            OutputFormat::Avro => message::notification(notification, &mut avro::Avro::new(out)),
            OutputFormat::JsonLines => json::line(out, |sink| message::notification(notification, sink)),
            OutputFormat::Csv => csv::row(out, |sink| message::notification(notification, sink)),
        }
    }

    /// Appends a record or leg that waits.
    pub fn suspense(&self, record: &SuspenseRecord<'_>, out: &mut Vec<u8>) {
        match self.format {
            OutputFormat::Avro => message::suspense(record, &mut avro::Avro::new(out)),
            OutputFormat::JsonLines => json::line(out, |sink| message::suspense(record, sink)),
            OutputFormat::Csv => csv::row(out, |sink| message::suspense(record, sink)),
        }
    }

    /// Appends a reply to a command.
    pub fn reply(&self, reply: &CommandReply<'_>, out: &mut Vec<u8>) {
        match self.format {
            OutputFormat::Avro => message::reply(reply, &mut avro::Avro::new(out)),
            OutputFormat::JsonLines => json::line(out, |sink| message::reply(reply, sink)),
            OutputFormat::Csv => csv::row(out, |sink| message::reply(reply, sink)),
        }
    }
}
