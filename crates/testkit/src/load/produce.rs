//! The producer: idempotent, with each delivery accounted for.

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How long brokers may take to tell of topics.
const ASK_LIMIT: Duration = Duration::from_secs(10);
/// How long messages may take to arrive before they are given up.
const DELIVERY_LIMIT: Duration = Duration::from_secs(60);
/// Wait for room in the client's queue.
const ROOM: Duration = Duration::from_millis(5);

/// How brokers are reached.
#[derive(Clone, Debug)]
pub struct Connection {
    /// `host:port[,host:port]`.
    pub brokers: String,
    /// Properties of librdkafka, put over ours: credentials, compression.
    pub properties: BTreeMap<String, String>,
}

impl Connection {
    /// Brokers without security.
    #[must_use]
    pub fn new(brokers: &str) -> Connection {
        Connection { brokers: brokers.to_owned(), properties: BTreeMap::new() }
    }

    /// What all clients have in common.
    pub(crate) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers).set("reconnect.backoff.max.ms", "1000");
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        config
    }
}

/// Why nothing, or nothing more, is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// What is outside does not answer or lacks something.
    Surroundings(String),
    /// What is asked for cannot be done.
    Refused(String),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Surroundings(what) | LoadError::Refused(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for LoadError {}

/// A topic to write to.
pub(super) struct Topic {
    pub(super) name: String,
    pub(super) partitions: u32,
}

/// Counts what does not arrive.
struct Deliveries(Arc<AtomicU64>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_err() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

pub(super) struct Producer {
    client: BaseProducer<Deliveries>,
    failed: Arc<AtomicU64>,
    brokers: String,
}

impl Producer {
    pub(super) fn new(connection: &Connection) -> Result<Producer, LoadError> {
        let failed = Arc::new(AtomicU64::new(0));
        let mut config = connection.client();
        config
            .set("enable.idempotence", "true")
            .set("partitioner", "murmur2_random")
            .set("queue.buffering.max.ms", "5")
            .set("queue.buffering.max.messages", "200000")
            .set("message.timeout.ms", DELIVERY_LIMIT.as_millis().to_string());
        let client = config
            .create_with_context(Deliveries(Arc::clone(&failed)))
            .map_err(|error| LoadError::Refused(error.to_string()))?;
        Ok(Producer { client, failed, brokers: connection.brokers.clone() })
    }

    /// A topic that is there.
    pub(super) fn topic(&self, name: &str) -> Result<Topic, LoadError> {
        let trouble =
            |what: String| LoadError::Surroundings(format!("topic {name:?} of kafka at {}: {what}", self.brokers));
        let seen = self.client.client().fetch_metadata(Some(name), ASK_LIMIT);
        let seen = seen.map_err(|error| trouble(error.to_string()))?;
        let topic = seen.topics().iter().find(|topic| topic.name() == name && topic.error().is_none());
        let partitions = topic.map_or(0, |topic| topic.partitions().len());
        match u32::try_from(partitions) {
            Ok(0) | Err(_) => Err(trouble("there is no such topic".to_owned())),
            Ok(partitions) => Ok(Topic { name: name.to_owned(), partitions }),
        }
    }

    /// Hands a message over, as soon as there is room.
    pub(super) fn send(
        &self,
        topic: &str,
        partition: Option<u32>,
        key: Option<&[u8]>,
        value: &[u8],
    ) -> Result<(), LoadError> {
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic).payload(value);
        record.partition = partition.and_then(|number| i32::try_from(number).ok());
        record.key = key;
        loop {
            match self.client.send(record) {
                Ok(()) => {
                    self.client.poll(Duration::ZERO);
                    return Ok(());
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) => {
                    record = again;
                    self.client.poll(ROOM);
                }
                Err((error, _)) => return Err(LoadError::Surroundings(format!("topic {topic:?}: {error}"))),
            }
        }
    }

    /// Waits until each message has arrived or is given up.
    pub(super) fn flush(&self) -> Result<(), LoadError> {
        let flushed = self.client.flush(DELIVERY_LIMIT + ASK_LIMIT);
        flushed.map_err(|error| LoadError::Surroundings(format!("kafka at {}: {error}", self.brokers)))
    }

    /// Waits until each message has arrived.
    pub(super) fn finish(&self, topic: &Topic) -> Result<(), LoadError> {
        self.flush()?;
        match self.failed() {
            0 => Ok(()),
            failed => Err(LoadError::Surroundings(format!("topic {:?}: {failed} messages did not arrive", topic.name))),
        }
    }

    /// Messages that were given up so far.
    pub(super) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}

/// The partition that Kafka's own clients choose for a key: the published hash murmur2 without its sign, modulo the partitions.
#[must_use]
pub fn partition_of_key(key: &[u8], partitions: u32) -> u32 {
    const MIX: u32 = 0x5bd1_e995;
    let scramble = |word: u32| {
        let word = word.wrapping_mul(MIX);
        (word ^ (word >> 24)).wrapping_mul(MIX)
    };
    let (words, rest) = key.as_chunks::<4>();
    let seed = 0x9747_b28c ^ u32::try_from(key.len()).unwrap_or(u32::MAX);
    let mut hash = words.iter().fold(seed, |hash, word| hash.wrapping_mul(MIX) ^ scramble(u32::from_le_bytes(*word)));
    if !rest.is_empty() {
        let tail = rest.iter().rev().fold(0_u32, |tail, byte| tail << 8 | u32::from(*byte));
        hash = (hash ^ tail).wrapping_mul(MIX);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(MIX);
    hash ^= hash >> 15;
    (hash & 0x7fff_ffff) % partitions.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values that the tests of Kafka's Java client state, without their sign.
    #[test]
    fn keys_hash_as_in_the_java_client() {
        let cases: [(&[u8], i32); 4] = [
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"abc", 479_470_107),
        ];
        for (key, hash) in cases {
            let positive = hash.cast_unsigned() & 0x7fff_ffff;
            assert_eq!(partition_of_key(key, 0x7fff_ffff), positive % 0x7fff_ffff, "{key:?}");
        }
    }
}
