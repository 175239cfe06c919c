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

pub use message::{Origin, SuspenseRecord};
pub use pipeline::{CommandOutcome, CommandReply};

use super::schema::{Contracts, Message};
use rating::{BalanceDelta, Charge, LifeEvent, Notification};

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
    pub fn header(self, message: Message, contracts: Contracts) -> Vec<u8> {
        match self {
            OutputFormat::Avro => avro::header(message, contracts),
            OutputFormat::JsonLines => Vec::new(),
            OutputFormat::Csv => csv::header(message, contracts),
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
    contracts: Contracts,
}

impl Encoder {
    /// Charges will name this version of the reference data; none, if it is empty.
    pub fn new(format: OutputFormat, directory_version: &str) -> Encoder {
        Encoder { format, directory_version: directory_version.to_owned(), contracts: Contracts::NEWEST }
    }

    /// Writes an earlier version of the contracts, with which files were begun.
    #[must_use]
    pub fn with_contracts(self, contracts: Contracts) -> Encoder {
        Encoder { contracts, ..self }
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
            OutputFormat::Avro => {
                message::charge(charge, &self.directory_version, self.contracts, &mut avro::Avro::new(out))
            }
            OutputFormat::JsonLines => {
                json::line(out, |sink| message::charge(charge, &self.directory_version, self.contracts, sink))
            }
            OutputFormat::Csv => {
                csv::row(out, |sink| message::charge(charge, &self.directory_version, self.contracts, sink))
            }
        }
    }

    /// Appends a change of a balance.
    pub fn delta(&self, delta: &BalanceDelta<'_>, out: &mut Vec<u8>) {
        match self.format {
            OutputFormat::Avro => message::delta(delta, self.contracts, &mut avro::Avro::new(out)),
            OutputFormat::JsonLines => json::line(out, |sink| message::delta(delta, self.contracts, sink)),
            OutputFormat::Csv => csv::row(out, |sink| message::delta(delta, self.contracts, sink)),
        }
    }

    /// Appends a notification.
    pub fn notification(&self, notification: &Notification<'_>, out: &mut Vec<u8>) {
        match self.format {
            OutputFormat::Avro => message::notification(notification, self.contracts, &mut avro::Avro::new(out)),
            OutputFormat::JsonLines => {
                json::line(out, |sink| message::notification(notification, self.contracts, sink))
            }
            OutputFormat::Csv => csv::row(out, |sink| message::notification(notification, self.contracts, sink)),
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
            OutputFormat::Avro => message::reply(reply, self.contracts, &mut avro::Avro::new(out)),
            OutputFormat::JsonLines => json::line(out, |sink| message::reply(reply, self.contracts, sink)),
            OutputFormat::Csv => csv::row(out, |sink| message::reply(reply, self.contracts, sink)),
        }
    }

    /// Appends what became of something of an account.
    pub fn life_event(&self, event: &LifeEvent<'_>, out: &mut Vec<u8>) {
        match self.format {
            OutputFormat::Avro => message::life_event(event, &mut avro::Avro::new(out)),
            OutputFormat::JsonLines => json::line(out, |sink| message::life_event(event, sink)),
            OutputFormat::Csv => csv::row(out, |sink| message::life_event(event, sink)),
        }
    }
}
