//! The guided log read by others than rate: to show it, and to rate it again with another runtime.

use super::bytes::Reader;
use super::entry::{Facts, Forms, Guided, OlderMessages, Origin};
use super::facts::KnownFacts;
use super::packed::Unpacked;
use crate::state::Corrupt;
use rating::Timestamp;

/// A packed message from guide to rate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuidedMessage {
    /// Topic and partition that guide read.
    pub source: (String, u32),
    /// Number of the message among those from this source to this partition.
    pub sequence: u64,
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
    Ok(GuidedMessage { source: (packed.source.topic, packed.source.partition), sequence: packed.sequence, entries })
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
        Guided::Tick(instant) => GuidedEntry::Tick(instant),
    })
}

fn place(origin: &Origin<'_>) -> (String, u32, i64) {
    (origin.form.topic.clone(), origin.partition, origin.offset)
}
