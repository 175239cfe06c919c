//! The committed messages of a simulation, read once and in words.

use super::TOPICS;
use crate::simulation::{Found, Simulation};
use rating::Timestamp;
use runtime::service::tail::MessageReader;
use runtime::stages::{GuidedMessage, IntakenMessage, read_guided, read_intaken};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Bytes of messages by account, in the order of the log.
pub(super) type ByAccount = BTreeMap<Vec<u8>, Vec<Vec<u8>>>;

thread_local! {
    /// It has read all contracts: once is enough.
    static READER: RefCell<MessageReader> = RefCell::new(MessageReader::new(None));
}

/// A message in words.
pub(super) fn value_of(message: &[u8]) -> Value {
    READER.with(|reader| reader.borrow_mut().value(message))
}

/// A text of a message; empty where there is none.
pub(super) fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_default()
}

/// All committed messages.
pub(super) struct Logs<'s> {
    simulation: &'s Simulation,
    messages: BTreeMap<&'static str, Vec<Vec<Found>>>,
    /// Partition by partition.
    pub(super) intaken: Vec<Vec<IntakenMessage>>,
    pub(super) guided: Vec<Vec<GuidedMessage>>,
    /// In words, partition by partition one after the other.
    pub(super) suspense: Vec<Value>,
    pub(super) charges: Vec<Value>,
    pub(super) deltas: Vec<Value>,
    pub(super) replies: Vec<Value>,
}

impl Logs<'_> {
    /// Reads everything.
    ///
    /// # Errors
    /// A message that is none.
    pub(super) fn read(simulation: &Simulation) -> Result<Logs<'_>, String> {
        let all = |(topic, count): (&'static str, u32)| {
            (topic, (0..count).map(|partition| simulation.committed(topic, partition)).collect())
        };
        let mut logs = Logs {
            simulation,
            messages: TOPICS.into_iter().map(all).collect(),
            intaken: Vec::new(),
            guided: Vec::new(),
            suspense: Vec::new(),
            charges: Vec::new(),
            deltas: Vec::new(),
            replies: Vec::new(),
        };
        for partition in logs.partitions("intaken") {
            let read = partition.iter().map(|(_, _, value)| read_intaken(value.as_deref().unwrap_or_default()));
            logs.intaken.push(read.collect::<Result<_, _>>().map_err(|error| error.to_string())?);
        }
        for partition in logs.partitions("guided") {
            let read = partition.iter().map(|(_, _, value)| read_guided(value.as_deref().unwrap_or_default()));
            logs.guided.push(read.collect::<Result<_, _>>().map_err(|error| error.to_string())?);
        }
        let values = |topic| logs.values(topic).map(value_of).collect::<Vec<_>>();
        let (suspense, charges, deltas, replies) =
            (values("suspense"), values("charges"), values("balance-deltas"), values("command-replies"));
        Ok(Logs { suspense, charges, deltas, replies, ..logs })
    }

    /// The messages of a topic, partition by partition.
    pub(super) fn partitions(&self, topic: &str) -> Vec<Vec<Found>> {
        self.messages.get(topic).cloned().unwrap_or_default()
    }

    /// The values of a topic.
    pub(super) fn values(&self, topic: &str) -> impl Iterator<Item = &[u8]> {
        let partitions = self.messages.get(topic).into_iter().flatten();
        partitions.flatten().map(|(_, _, value)| value.as_deref().unwrap_or_default())
    }

    /// The values of a topic by key: by account, where the topic is about accounts.
    pub(super) fn by_account(&self, topic: &str) -> ByAccount {
        let mut by_account = ByAccount::new();
        for (_, key, value) in self.messages.get(topic).into_iter().flatten().flatten() {
            let of_account = by_account.entry(key.clone().unwrap_or_default()).or_default();
            of_account.push(value.clone().unwrap_or_default());
        }
        by_account
    }

    /// When a message was appended, and when everybody could see it, in virtual microseconds.
    pub(super) fn moments(&self, topic: &str, partition: u32, offset: i64) -> (u64, u64) {
        self.simulation.moments(topic, partition, offset)
    }
}

/// The time that a tick says.
pub(super) fn tick_of(message: &[u8]) -> Option<Timestamp> {
    let value: Value = serde_json::from_slice(message).ok()?;
    let instant: jiff::Timestamp = value["tick"].as_str()?.parse().ok()?;
    Some(Timestamp::from_millis(instant.as_millisecond()))
}
