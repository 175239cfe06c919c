//! Generated usage, commands and ticks sent to Kafka, at a given rate or as fast as the brokers take them.
//!
//! | what | goes to | key | partition |
//! | --- | --- | --- | --- |
//! | usage | the usage topic | IMSI, else endpoint, else another identity | by key, as Kafka's own clients choose |
//! | usage sent again | the same | the same | any **other** one: a copy does not come where the first one came |
//! | commands | the topic of commands | account | by key |
//! | ticks | the topic of ticks, where one is named | none | each |
//!
//! The producer is idempotent: what it sends arrives once and in order, or is counted as failed. What a record means is not known here.
//!
//! | module | owns |
//! | --- | --- |
//! | `avro` | lines as Avro datums, framed |
//! | `forged` | messages at the wrong door |
//! | `orders` | commands in addition: copies, other payloads under one id, old ones |
//! | `produce` | the producer, partitions, what was delivered |

mod avro;
mod forged;
mod orders;
mod produce;

pub use avro::Form;
pub use produce::{Connection, LoadError, partition_of_key};

use crate::generator::random::Random;
use crate::generator::stream::{LineKind, each_line};
use crate::generator::{Parameters, Times};
use forged::Door;
use orders::Orders;
use produce::Producer;
use serde::Deserialize;
use std::borrow::Cow;
use std::io;
use std::num::NonZeroU32;
use std::path::Path;
use std::time::{Duration, Instant};

/// Records from which additional copies are drawn.
const RECENT: usize = 4096;
const PROGRESS_EVERY: Duration = Duration::from_millis(250);

/// What is sent.
#[derive(Clone, Debug)]
pub struct Load {
    /// What is generated.
    pub parameters: Parameters,
    /// In which form.
    pub form: Form,
    /// Topic of usage.
    pub usage: String,
    /// Topic of commands; they go to the usage topic where there is none.
    pub commands: Option<String>,
    /// Topic of ticks; none are sent where there is none.
    pub ticks: Option<String>,
    /// Usage records and commands per second at most; as fast as possible where none is given.
    pub rate: Option<NonZeroU32>,
    /// Usage records in a thousand that are sent again beyond the copies that the profile has.
    pub copies_per_mille: u16,
    /// Lines (commands) to be sent before everything else: bundles that reference data grant.
    pub first: Vec<Vec<u8>>,
    /// What does not belong there.
    pub extra: Extra,
}

/// What nobody should send, and somebody does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extra {
    /// Messages at the wrong door, in a thousand usage records.
    pub forged_per_mille: u16,
    /// The topic of retries, for those.
    pub retries: Option<String>,
    /// Commands in addition, in a thousand usage records, with copies, other payloads under one id, and old ones.
    pub orders_per_mille: u16,
}

/// What was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Usage records, copies and broken ones included.
    pub usage: u64,
    /// How many of these were sent before.
    pub copies: u64,
    /// How many lines stayed JSON although Avro was asked for, since they fit no schema.
    pub unfit: u64,
    /// Commands.
    pub commands: u64,
    /// Ticks.
    pub ticks: u64,
    /// Messages at the wrong door.
    pub forged: u64,
    /// Messages handed over.
    pub messages: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
    /// Messages that did not arrive.
    pub failed: u64,
    /// From the first message until the last one was delivered.
    pub elapsed: Duration,
}

impl Sent {
    /// Usage records and commands per second, rounded down.
    #[must_use]
    pub fn per_second(&self) -> u64 {
        let records = u128::from(self.usage + self.commands);
        u64::try_from(records * 1000 / self.elapsed.as_millis().max(1)).unwrap_or(u64::MAX)
    }
}

/// Writes single lines as messages.
pub struct Lines(avro::Encoder);

impl Lines {
    /// In the form of a load, for its topics.
    ///
    /// # Errors
    /// A registry that does not answer or refuses.
    pub fn new(load: &Load) -> Result<Lines, LoadError> {
        avro::Encoder::new(&load.form, load).map(Lines)
    }

    /// The message; `None` where the line has to be sent as it is.
    #[must_use]
    pub fn message(&self, kind: LineKind, line: &[u8]) -> Option<Vec<u8>> {
        self.0.encode(kind, line)
    }
}

/// Sends everything, and waits until each message is delivered or given up. `progress` is told now and then what was sent.
///
/// # Errors
/// Brokers that do not answer, topics that are not there, settings or a registry that refuse. Messages that do not arrive are no error
/// here: they are in [`Sent::failed`].
pub fn run(load: &Load, connection: &Connection, progress: &mut dyn FnMut(&Sent)) -> Result<Sent, LoadError> {
    let mut sender = Sender::new(load, connection)?;
    for line in &load.first {
        sender.take(LineKind::Command, line, progress).map_err(|error| sender.stopped(&error))?;
    }
    let all = each_line(&load.parameters, |kind, line| sender.take(kind, line, progress));
    all.map_err(|error| sender.stopped(&error))?;
    sender.finish(progress)
}

/// Sends so many new records that happened when the stream begins, each twice, with the ids of [`late_id`]; and lines once more, as copies.
///
/// # Errors
/// As [`run`].
pub fn run_late(load: &Load, count: u32, copies: &[Vec<u8>], connection: &Connection) -> Result<Sent, LoadError> {
    let mut sender = Sender::new(load, connection)?;
    for line in copies {
        sender.usage(line, true).map_err(|error| sender.stopped(&error))?;
    }
    for number in 0..count {
        sender.late(number, &load.parameters).map_err(|error| sender.stopped(&error))?;
    }
    sender.finish(&mut |_| {})
}

/// Returns the id of a record that comes late.
#[must_use]
pub fn late_id(number: u32) -> String {
    format!("late-{number}")
}

/// Sends a message to each partition of a topic, and waits until all are delivered.
///
/// # Errors
/// As [`run`]; and a message that does not arrive.
pub fn to_each_partition(connection: &Connection, topic: &str, message: &[u8]) -> Result<(), LoadError> {
    let producer = Producer::new(connection)?;
    let topic = producer.topic(topic)?;
    for partition in 0..topic.partitions {
        producer.send(&topic.name, Some(partition), None, message)?;
    }
    producer.finish(&topic)
}

/// Sends messages without keys to a topic, and waits until all are delivered.
///
/// # Errors
/// As [`to_each_partition`].
pub fn to_any_partition(
    connection: &Connection,
    topic: &str,
    messages: impl Iterator<Item = Vec<u8>>,
) -> Result<(), LoadError> {
    let producer = Producer::new(connection)?;
    let topic = producer.topic(topic)?;
    for (partition, message) in (0..topic.partitions).cycle().zip(messages) {
        producer.send(&topic.name, Some(partition), None, &message)?;
    }
    producer.finish(&topic)
}

/// Purchases of the bundles that the reference data in a directory grant, as lines: where a deployment does not make them itself. In a stream that
/// happens now they are made at its beginning, each time anew.
///
/// # Errors
/// Files that cannot be read, or reference data with errors.
pub fn grants(directory: &Path, live: Option<&Times>) -> io::Result<Vec<Vec<u8>>> {
    let loaded = crate::reference::load(directory)?;
    let mut granted = loaded.grants().to_vec();
    if let Some(times) = live {
        for grant in &mut granted {
            grant.at = rating::Timestamp::from_millis(times.earliest_ms());
            grant.command_id = format!("{}:{}", times.source, grant.command_id);
        }
    }
    let lines = runtime::grants::grant_lines(&granted.iter().collect::<Vec<_>>(), &loaded.snapshot);
    Ok((0..lines.len()).map(|at| lines.get(at).to_vec()).collect())
}

/// When the next record is due.
struct Pace {
    start: Instant,
    rate: Option<NonZeroU32>,
}

impl Pace {
    /// How long record `number` (from 0) has to wait.
    fn wait(&self, number: u64) -> Duration {
        let Some(rate) = self.rate else { return Duration::ZERO };
        let due_us = u128::from(number) * 1_000_000 / u128::from(rate.get());
        Duration::from_micros(u64::try_from(due_us).unwrap_or(u64::MAX)).saturating_sub(self.start.elapsed())
    }
}

struct Sender {
    encoder: avro::Encoder,
    producer: Producer,
    topics: Vec<produce::Topic>,
    /// Place of the topic of commands.
    commands: usize,
    /// Place of the topic of ticks.
    ticks: Option<usize>,
    /// Place of the topic of retries.
    retries: Option<usize>,
    extra: Extra,
    orders: Orders,
    forger: Random,
    random: Random,
    recent: Vec<Vec<u8>>,
    copies_per_mille: u16,
    pace: Pace,
    sent: Sent,
    told: Instant,
    trouble: Option<LoadError>,
}

impl Sender {
    fn new(load: &Load, connection: &Connection) -> Result<Sender, LoadError> {
        let encoder = avro::Encoder::new(&load.form, load)?;
        let producer = Producer::new(connection)?;
        let mut topics = vec![producer.topic(&load.usage)?];
        let commands = match &load.commands {
            Some(name) if *name != load.usage => {
                topics.push(producer.topic(name)?);
                1
            }
            Some(_) | None => 0,
        };
        let ticks = load.ticks.as_ref().map(|name| producer.topic(name)).transpose()?;
        let ticks = ticks.map(|topic| {
            topics.push(topic);
            topics.len() - 1
        });
        let retries = load.extra.retries.as_ref().map(|name| producer.topic(name)).transpose()?;
        let retries = retries.map(|topic| {
            topics.push(topic);
            topics.len() - 1
        });
        Ok(Sender {
            extra: load.extra.clone(),
            orders: Orders::new(load.parameters.seed, &load.parameters.times.source),
            forger: Random::new(load.parameters.seed ^ 0x666f_7267),
            retries,
            encoder,
            producer,
            topics,
            commands,
            ticks,
            random: Random::new(load.parameters.seed ^ 0x6c6f_6164),
            recent: Vec::new(),
            copies_per_mille: load.copies_per_mille,
            pace: Pace { start: Instant::now(), rate: load.rate },
            sent: Sent::default(),
            told: Instant::now(),
            trouble: None,
        })
    }

    fn take(&mut self, kind: LineKind, line: &[u8], progress: &mut dyn FnMut(&Sent)) -> io::Result<()> {
        match kind {
            LineKind::Tick => {
                let Some(topic) = self.ticks else { return Ok(()) };
                // In JSON, as the product's own: nobody else writes them.
                self.sent.ticks += 1;
                self.send(topic, Some(0), None, line)?;
            }
            LineKind::Command => {
                self.wait();
                self.sent.commands += 1;
                let (key, value) = (key_of(line), self.encode(kind, line));
                self.send(self.commands, None, key.as_deref(), &value)?;
            }
            LineKind::Usage { is_copy } => {
                self.usage(line, is_copy)?;
                if self.copies_per_mille > 0 {
                    self.copy_one(line)?;
                }
            }
        }
        if kind != LineKind::Tick {
            self.disturb(kind, line)?;
        }
        if self.told.elapsed() >= PROGRESS_EVERY {
            self.told = Instant::now();
            self.sent.elapsed = self.pace.start.elapsed();
            self.sent.failed = self.producer.failed();
            progress(&self.sent);
        }
        Ok(())
    }

    /// Sends what does not belong there, now and then.
    fn disturb(&mut self, kind: LineKind, line: &[u8]) -> io::Result<()> {
        if self.forger.chance(u64::from(self.extra.orders_per_mille)) {
            let order = self.orders.next(line);
            self.sent.commands += 1;
            let key = key_of(&order);
            self.send(self.commands, None, key.as_deref(), &order)?;
        }
        if !self.forger.chance(u64::from(self.extra.forged_per_mille)) {
            return Ok(());
        }
        let forged = forged::forge(&mut self.forger, &self.topics[0].name, line, kind, self.sent.forged);
        let topic = match forged.door {
            Door::Usage if self.commands != 0 => Some(0),
            Door::Commands if self.commands != 0 => Some(self.commands),
            // It may be one topic for both.
            Door::Usage | Door::Commands => None,
            Door::Retries => self.retries,
            Door::Ticks => self.ticks,
        };
        let Some(topic) = topic else { return Ok(()) };
        self.sent.forged += 1;
        let partition = (Some(topic) == self.ticks).then_some(0);
        self.send(topic, partition, forged.key.as_deref(), &forged.value)
    }

    /// Sends a new record from the beginning of the stream, and a copy on another partition.
    fn late(&mut self, number: u32, parameters: &Parameters) -> io::Result<()> {
        let at = jiff::Timestamp::from_millisecond(parameters.times.earliest_ms()).unwrap_or_default();
        let imsi = u64::from(number) % parameters.endpoints.max(1);
        let line = format!(
            r#"{{"id":"{}","source":"late","service":"data","quantity":1000000,"unit":"octets","event_time":"{at}","imsi":"00101{imsi:010}"}}"#,
            late_id(number)
        );
        self.usage(line.as_bytes(), false)?;
        self.usage(line.as_bytes(), true)
    }

    fn usage(&mut self, line: &[u8], is_copy: bool) -> io::Result<()> {
        self.wait();
        self.sent.usage += 1;
        let key = key_of(line);
        let value = self.encode(LineKind::Usage { is_copy }, line);
        let partitions = self.topics[0].partitions;
        let partition = (is_copy && partitions > 1).then(|| {
            self.sent.copies += 1;
            let usual = key.as_deref().map_or(0, |key| partition_of_key(key, partitions));
            let further = 1 + self.random.below(u64::from(partitions) - 1);
            u32::try_from((u64::from(usual) + further) % u64::from(partitions)).unwrap_or(0)
        });
        if is_copy && partition.is_none() {
            self.sent.copies += 1;
        }
        self.send(0, partition, key.as_deref(), &value)
    }

    /// Keeps a record, and sends one of those kept again as often as is wanted.
    fn copy_one(&mut self, line: &[u8]) -> io::Result<()> {
        if self.recent.len() < RECENT {
            self.recent.push(line.to_vec());
        } else {
            let slot = self.random.index(RECENT);
            self.recent[slot] = line.to_vec();
        }
        if self.random.chance(u64::from(self.copies_per_mille)) {
            let again = self.random.pick(&self.recent).clone();
            self.usage(&again, true)?;
        }
        Ok(())
    }

    fn encode(&mut self, kind: LineKind, line: &[u8]) -> Vec<u8> {
        self.encoder.encode(kind, line).unwrap_or_else(|| {
            self.sent.unfit += u64::from(self.encoder.is_avro());
            line.to_vec()
        })
    }

    /// Sleeps until the next record is due.
    fn wait(&self) {
        let wait = self.pace.wait(self.sent.usage + self.sent.commands);
        // Shorter sleeps would take longer than they should.
        if wait >= Duration::from_millis(1) {
            std::thread::sleep(wait);
        }
    }

    fn send(&mut self, topic: usize, partition: Option<u32>, key: Option<&[u8]>, value: &[u8]) -> io::Result<()> {
        self.sent.messages += 1;
        self.sent.bytes += (key.map_or(0, <[u8]>::len) + value.len()) as u64;
        self.producer.send(&self.topics[topic].name, partition, key, value).map_err(|error| {
            let text = error.to_string();
            self.trouble = Some(error);
            io::Error::other(text)
        })
    }

    fn stopped(&mut self, error: &io::Error) -> LoadError {
        self.trouble.take().unwrap_or_else(|| LoadError::Refused(error.to_string()))
    }

    fn finish(mut self, progress: &mut dyn FnMut(&Sent)) -> Result<Sent, LoadError> {
        self.producer.flush()?;
        self.sent.elapsed = self.pace.start.elapsed();
        self.sent.failed = self.producer.failed();
        progress(&self.sent);
        Ok(self.sent)
    }
}

/// What a key can be made of, in this order.
#[derive(Deserialize)]
struct Identities<'a> {
    #[serde(borrow)]
    imsi: Option<Cow<'a, str>>,
    #[serde(borrow)]
    endpoint_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    iccid: Option<Cow<'a, str>>,
    #[serde(borrow)]
    msisdn: Option<Cow<'a, str>>,
    #[serde(borrow)]
    account_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    command_id: Option<Cow<'a, str>>,
}

/// IMSI or endpoint of a record, account of a command; none for what cannot be read.
fn key_of(line: &[u8]) -> Option<Vec<u8>> {
    let found: Identities<'_> = serde_json::from_slice(line).ok()?;
    let key = if found.command_id.is_some() {
        found.account_id
    } else {
        found.imsi.or(found.endpoint_id).or(found.iccid).or(found.msisdn).or(found.account_id)
    };
    key.filter(|key| !key.is_empty()).map(|key| key.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_the_identity_that_comes_first() {
        let cases: [(&str, Option<&str>); 6] = [
            (r#"{"id":"1","imsi":"00101","endpoint_id":"e"}"#, Some("00101")),
            (r#"{"id":"1","endpoint_id":"e","account_id":"a"}"#, Some("e")),
            (r#"{"id":"1","account_id":"a"}"#, Some("a")),
            (r#"{"command_id":"1","account_id":"a","endpoint_id":"e"}"#, Some("a")),
            (r#"{"id":"1"}"#, None),
            ("[1,2]", None),
        ];
        for (line, key) in cases {
            assert_eq!(key_of(line.as_bytes()).as_deref(), key.map(str::as_bytes), "{line}");
        }
    }

    #[test]
    fn records_are_due_at_even_distances() {
        let pace = Pace { start: Instant::now(), rate: NonZeroU32::new(10) };
        assert_eq!(pace.wait(0), Duration::ZERO);
        let wait = pace.wait(600);
        assert!(wait > Duration::from_secs(55) && wait <= Duration::from_secs(60), "{wait:?}");
        assert_eq!(Pace { start: Instant::now(), rate: None }.wait(u64::MAX), Duration::ZERO);
    }
}
