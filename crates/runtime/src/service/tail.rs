//! Messages of a topic, in words: for people who look into a deployment.
//!
//! It reads committed messages as a member of a group of its own that never commits, so it disturbs nobody. What is no known message is shown
//! as text or as base64; nothing makes it stop.

use crate::registry::{Registry, SchemaId};
use crate::stages::{GuidedEntry, GuidedMessage, read_guided};
use crate::wire::{Contracts, Fingerprint, Message, of_avro, text_or_base64};
use crate::worker::log::{Batch, Consumer, Event, GatherLimits, Incoming, Log, LogError, Offset, Partition};
use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as Avro;
use directory::AccountTimeline;
use rating::Standing;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Which messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// All that are there.
    All,
    /// The last so many of each partition.
    Last(u32),
}

/// What follows the last message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The end.
    Stop,
    /// Those that come.
    Follow,
}

const SLICE: Duration = Duration::from_millis(300);
/// So many slices without a message, once all partitions are there, are the end.
const QUIET_SLICES: u32 = 3;

/// Shows messages, as one JSON value each, until `show` says that it is enough, the end is reached, or `stop` is set.
///
/// # Errors
/// The cluster does not answer, or the topic is not there.
pub async fn tail<L: Log>(
    log: &L,
    topic: &str,
    (which, then): (Which, Then),
    reader: &mut MessageReader,
    stop: &AtomicBool,
    mut show: impl FnMut(Value) -> Enough,
) -> Result<(), LogError> {
    let topics = [topic.to_owned()];
    let mut consumer = log.consumer(&format!("rater-tail-{}", std::process::id()), &topics).await?;
    let mut batch = Batch::default();
    let limits = GatherLimits { messages: 1000, bytes: 1 << 22, wait: SLICE };
    let (mut quiet, mut is_assigned) = (0, false);
    let mut held = Held::new(which);
    while !stop.load(Ordering::Relaxed) && (then == Then::Follow || quiet < QUIET_SLICES) {
        match consumer.gather(&mut batch, &limits).await? {
            Event::Assigned(partitions) => {
                let mut positions = Vec::with_capacity(partitions.len());
                for partition in partitions {
                    positions.push((partition, first_of(log, topic, partition, which).await?));
                }
                consumer.start(&positions).await?;
                is_assigned = true;
            }
            Event::Revoked(partitions) | Event::Lost(partitions) => consumer.release(&partitions).await?,
            Event::Gathered => {
                quiet = if batch.is_empty() && is_assigned { quiet + 1 } else { 0 };
                let mut ready = Vec::new();
                for message in batch.messages() {
                    ready.extend(held.take(message.partition.number, reader.show(topic, &message)));
                }
                if quiet > 0 {
                    ready.extend(held.give());
                }
                if ready.into_iter().any(|message| show(message) == Enough::Yes) {
                    return Ok(());
                }
                batch.clear();
            }
        }
    }
    Ok(())
}

/// How far before the last messages reading begins: ends of transactions have offsets, too.
const MARKERS: i64 = 200;

/// The last messages of each partition, until what was there at the start is read; from then on nothing is held.
struct Held {
    /// `None`: everything is shown as it comes.
    count: Option<usize>,
    messages: BTreeMap<u32, VecDeque<Value>>,
}

impl Held {
    fn new(which: Which) -> Held {
        let count = match which {
            Which::All => None,
            Which::Last(count) => Some(count as usize),
        };
        Held { count, messages: BTreeMap::new() }
    }

    /// Holds a message, or gives it back to be shown at once.
    fn take(&mut self, partition: u32, message: Value) -> Option<Value> {
        let Some(count) = self.count else { return Some(message) };
        let held = self.messages.entry(partition).or_default();
        held.push_back(message);
        if held.len() > count {
            held.pop_front();
        }
        None
    }

    /// Everything held, partition by partition.
    fn give(&mut self) -> Vec<Value> {
        self.count = None;
        std::mem::take(&mut self.messages).into_values().flatten().collect()
    }
}

/// Whether more is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enough {
    /// No more.
    Yes,
    /// The next one.
    NotYet,
}

async fn first_of<L: Log>(log: &L, topic: &str, partition: Partition, which: Which) -> Result<Offset, LogError> {
    let first = log.first_offset(topic, partition.number).await?;
    match which {
        Which::All => Ok(first),
        Which::Last(count) => {
            let end = log.uncommitted_end(topic, partition.number).await?;
            Ok(first.max(end.saturating_sub(MARKERS.saturating_add(count.into()))))
        }
    }
}

/// Reads messages of any topic of a deployment.
pub struct MessageReader {
    registry: Option<Registry>,
    by_fingerprint: HashMap<[u8; 8], Schema>,
    /// What the registry said, once for each id.
    by_id: HashMap<u32, Option<Schema>>,
}

/// What else comes in and is Avro.
const INPUTS: [&str; 4] = [
    include_str!("../../../../schemas/usage-record.avsc"),
    include_str!("../../../../schemas/account-command.avsc"),
    include_str!("../../../../schemas/tick.avsc"),
    include_str!("../../../../schemas/history/v1/account-command.avsc"),
];

impl MessageReader {
    /// Without a registry, messages with a schema id are shown as bytes.
    pub fn new(registry: Option<Registry>) -> MessageReader {
        let of_version = |contracts| Message::ALL.iter().map(move |message| message.schema_of(contracts));
        let texts = of_version(Contracts::V1).chain(of_version(Contracts::V2)).chain(INPUTS);
        let by_fingerprint = texts.filter_map(|text| {
            let fingerprint = Fingerprint::of(text).ok()?;
            Some((fingerprint.0.to_le_bytes(), Schema::parse_str(text).ok()?))
        });
        MessageReader { registry, by_fingerprint: by_fingerprint.collect(), by_id: HashMap::new() }
    }

    /// A message as JSON.
    pub fn show(&mut self, topic: &str, message: &Incoming<'_>) -> Value {
        json!({
            "topic": topic,
            "partition": message.partition.number,
            "offset": message.offset,
            "key": message.key.map(text_or_base64),
            "value": self.value(message.value),
        })
    }

    /// The value of a message, decoded as far as it is understood.
    pub fn value(&mut self, bytes: &[u8]) -> Value {
        match bytes {
            [] => Value::Null,
            [0xc3, 1, rest @ ..] => {
                let found = rest.split_first_chunk::<8>();
                let schema =
                    found.and_then(|(fingerprint, datum)| Some((self.by_fingerprint.get(fingerprint)?, datum)));
                schema.and_then(|(schema, datum)| decode(schema, datum)).unwrap_or_else(|| text_or_base64(bytes))
            }
            [0, rest @ ..] => self.by_registry(rest).unwrap_or_else(|| text_or_base64(bytes)),
            _ => match (serde_json::from_slice(bytes), read_guided(bytes)) {
                (Ok(value), _) => value,
                (Err(_), Ok(message)) => guided(&message),
                (Err(_), Err(_)) => text_or_base64(bytes),
            },
        }
    }

    fn by_registry(&mut self, rest: &[u8]) -> Option<Value> {
        let (id, datum) = rest.split_first_chunk::<4>()?;
        let id = u32::from_be_bytes(*id);
        let registry = self.registry.as_ref()?;
        let schema = self.by_id.entry(id).or_insert_with(|| {
            let registered = registry.schema(SchemaId(id)).ok()?;
            Schema::parse_str(&registered.schema).ok()
        });
        decode(schema.as_ref()?, datum)
    }
}

fn decode(schema: &Schema, datum: &[u8]) -> Option<Value> {
    let mut rest = datum;
    GenericDatumReader::builder(schema).build().ok()?.read_value(&mut rest).ok().map(|datum| of_avro(datum, field))
}

/// Shows each field under its name.
fn field(name: String, value: Avro) -> Option<(String, Value)> {
    Some((name, of_avro(value, field)))
}

fn guided(message: &GuidedMessage) -> Value {
    let entries = message.entries.iter().map(|entry| match entry {
        GuidedEntry::Legs { origin: (topic, partition, offset), usage_id, levels, .. } => json!({
            "usage_id": usage_id,
            "origin": format!("{topic}:{partition}:{offset}"),
            "levels": levels.iter().map(|(level, payer)| json!({ "level": level, "payer_id": payer })).collect::<Vec<_>>(),
        }),
        GuidedEntry::Command { command_id, account_id, .. } => {
            json!({ "command_id": command_id, "account_id": account_id })
        }
        GuidedEntry::Change(AccountTimeline { account, standings }) => {
            let standing = |standing: &Standing| {
                let Standing { from, ancestors, status } = standing;
                json!({ "from": from.to_string(), "ancestors": &**ancestors, "status": status.name() })
            };
            json!({ "account_id": account.as_str(), "standings": standings.iter().map(standing).collect::<Vec<_>>() })
        }
        GuidedEntry::Tick(instant) => json!({ "tick": instant.to_string() }),
    });
    let (topic, partition) = &message.source;
    json!({
        "source": format!("{topic}:{partition}"),
        "sequence": message.sequence,
        "entries": entries.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_each_partition_are_held_until_all_are_read() {
        let mut held = Held::new(Which::Last(1));
        for (partition, message) in [(1, "a"), (0, "b"), (1, "c")] {
            assert_eq!(held.take(partition, json!(message)), None);
        }
        assert_eq!(held.give(), [json!("b"), json!("c")]);
        assert_eq!(held.take(0, json!("d")), Some(json!("d")));
        assert_eq!(held.give(), [json!(null); 0]);
    }

    #[test]
    fn what_is_no_message_is_shown_all_the_same() {
        let mut reader = MessageReader::new(None);
        assert_eq!(reader.value(b""), Value::Null);
        assert_eq!(reader.value(b"{\"id\": 1}"), json!({ "id": 1 }));
        assert_eq!(reader.value(b"plain"), json!("plain"));
        for bytes in [&[0, 0, 0, 0, 1, 2][..], &[0xc3, 1, 2], &[0xff, 0xfe], &[1, 1, 1, 1, 1]] {
            assert!(reader.value(bytes).get("base64").is_some(), "{bytes:?}");
        }
    }
}
