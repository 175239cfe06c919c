//! The logs between the stages, read by others than the next stage: to show them, and to do the same again elsewhere.

use super::bytes::Reader;
use super::entry::{Facts, Forms, Guided, OlderMessages, Origin, read_taken};
use super::facts::KnownFacts;
use super::packed::Unpacked;
use crate::state::Corrupt;
use directory::AccountTimeline;
use pipeline::Taken;
use rating::Timestamp;

/// A packed message from guide to rate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuidedMessage {
    /// Topic and partition that guide read.
    pub source: (String, u32),
    /// Number of the message among those from this source to this partition.
    pub sequence: u64,
    /// Version of the directory that guide read.
    pub directory: String,
    /// What is in it, in order.
    pub entries: Vec<GuidedEntry>,
}

/// One thing that guide handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GuidedEntry {
    /// Some levels of a usage record.
    Legs {
        /// Topic, partition and offset of the record.
        origin: (String, u32, i64),
        /// The record as it arrived.
        original: Vec<u8>,
        /// Id of the record.
        usage_id: String,
        /// Levels and payers.
        levels: Vec<(u8, String)>,
    },
    /// A command.
    Command {
        /// The command as it arrived.
        original: Vec<u8>,
        /// Its id.
        command_id: String,
        /// The account.
        account_id: String,
    },
    /// What the directory says of an account.
    Change(AccountTimeline),
    /// A tick.
    Tick(Timestamp),
}

/// Reads a message.
///
/// # Errors
/// Bytes that are no such message.
pub fn read_guided(message: &[u8]) -> Result<GuidedMessage, Corrupt> {
    let packed = Unpacked::read(message)?;
    let facts =
        Facts::read(&packed, &mut Forms::default(), &mut KnownFacts::default(), &OlderMessages::WITHOUT_A_CLOCK)?;
    let entries = packed.entries.iter().map(|entry| show(&facts, *entry)).collect::<Result<_, _>>()?;
    let directory = packed.directory.to_owned();
    let source = (packed.source.topic, packed.source.partition);
    Ok(GuidedMessage { source, sequence: packed.sequence, directory, entries })
}

fn show(facts: &Facts, entry: Reader<'_>) -> Result<GuidedEntry, Corrupt> {
    Ok(match facts.read_entry(entry)? {
        Guided::Usage(usage) => GuidedEntry::Legs {
            origin: place(&usage.origin),
            original: usage.origin.bytes.to_vec(),
            usage_id: usage.record.id.to_string(),
            levels: usage
                .legs
                .iter()
                .map(|(edge, _)| &facts.edges[*edge])
                .map(|known| (known.edge.level, known.edge.payer.to_string()))
                .collect(),
        },
        Guided::Command { origin, command, .. } => GuidedEntry::Command {
            original: origin.bytes.to_vec(),
            command_id: command.id.to_string(),
            account_id: command.account_id.to_string(),
        },
        Guided::Change(account, standings) => GuidedEntry::Change(AccountTimeline { account, standings }),
        Guided::Tick(instant) => GuidedEntry::Tick(instant),
    })
}

fn place(origin: &Origin<'_>) -> (String, u32, i64) {
    (origin.form.topic.clone(), origin.partition, origin.offset)
}

/// A packed message from intake to guide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntakenMessage {
    /// Topic and partition that intake read.
    pub source: (String, u32),
    /// Number of the message among those from this source to this partition.
    pub sequence: u64,
    /// What is in it, in order.
    pub entries: Vec<IntakenEntry>,
}

/// One thing that intake handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IntakenEntry {
    /// A usage record or a command.
    Record {
        /// Topic, partition and offset where it came in.
        origin: (String, u32, i64),
        /// Why it is handed over.
        arrival: IntakenArrival,
        /// The record as it arrived.
        original: Vec<u8>,
    },
    /// A tick.
    Tick(Timestamp),
}

/// Why intake hands something over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntakenArrival {
    /// It has just arrived.
    Fresh,
    /// It was suspended and is tried again.
    Retry,
    /// Guide is told that its id has to be remembered, or no longer has to be.
    Note,
}

/// Reads a message.
///
/// # Errors
/// Bytes that are no such message.
pub fn read_intaken(message: &[u8]) -> Result<IntakenMessage, Corrupt> {
    let packed = Unpacked::read(message)?;
    let mut known = Forms::default();
    let forms = known.of(&packed)?;
    let mut entries = Vec::with_capacity(packed.entries.len());
    for entry in &packed.entries {
        entries.push(match read_taken(*entry, &forms)? {
            (_, Taken::Tick(instant)) => IntakenEntry::Tick(instant),
            (Some(origin), Taken::Usage(_) | Taken::Command(..) | Taken::Fault(_)) => IntakenEntry::Record {
                origin: place(&origin),
                arrival: match origin.retried {
                    Some(_) if origin.is_note() => IntakenArrival::Note,
                    Some(_) => IntakenArrival::Retry,
                    None => IntakenArrival::Fresh,
                },
                original: origin.bytes.to_vec(),
            },
            (None, Taken::Usage(_) | Taken::Command(..) | Taken::Fault(_)) => {
                return Err(Corrupt { what: "the origin of a record", left: 0 });
            }
        });
    }
    let source = (packed.source.topic, packed.source.partition);
    Ok(IntakenMessage { source, sequence: packed.sequence, entries })
}
