//! What waits, on its way from the stage that could not go on to the one that keeps it until it is tried again.
//!
//! The message in `suspense` tells people; this one is for recycling: internal, with a format version, by the place that the original came from.

use super::entry::{Retried, Wanted};
use super::outbound::Waiting;
use super::progress::{corrupt, read_format};
use super::retry::Retry;
use crate::state::{Corrupt, Stored, as_other, record};
use crate::worker::StageError;
use crate::worker::log::{Offset, TopicId};
use pipeline::Suspended;
use rating::{SuspenseReason, Timestamp};
use std::fmt::Write;

/// Something that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waited {
    /// Topic that it came to.
    pub topic: String,
    /// Partition there.
    pub partition: u32,
    /// Offset there.
    pub offset: Offset,
    /// Key there.
    pub key: Option<Bytes>,
    /// The message as it came.
    pub original: Bytes,
    /// Its media type.
    pub content_type: String,
    /// How often it was tried before.
    pub attempt: u32,
    /// Why it waits.
    pub reason: SuspenseReason,
    /// The level that waits; `None` for the whole record.
    pub level: Option<u8>,
    /// The reason in words.
    pub detail: String,
    /// The stage that could not go on.
    pub stage: String,
    /// Id of the record or command, if it could be read.
    pub usage_id: Option<String>,
    /// Its event or effective time, if it could be read.
    pub event_time: Option<Timestamp>,
    /// The id of the topic, where it has one: what waits under the same offset of another topic of its name is something else.
    pub topic_id: Option<TopicId>,
}

/// Bytes that are stored as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl Stored for Bytes {
    fn write(&self, out: &mut Vec<u8>) {
        (self.0.len() as u64).write(out);
        out.extend_from_slice(&self.0);
    }

    fn read(input: &mut &[u8]) -> Result<Bytes, Corrupt> {
        let left = input.len();
        let length = usize::try_from(u64::read(input)?).unwrap_or(usize::MAX);
        let parts = input.split_at_checked(length);
        let (bytes, rest) = parts.ok_or(Corrupt { what: "more bytes", left })?;
        *input = rest;
        Ok(Bytes(bytes.to_vec()))
    }
}

as_other!(
    SuspenseReason as Box<str>,
    |reason| reason.name().into(),
    |name| SuspenseReason::parse(&name),
    "a suspense reason"
);

record!(Waited {
    topic,
    partition,
    offset,
    key,
    original,
    content_type,
    attempt,
    reason,
    level,
    detail,
    stage,
    usage_id,
    event_time,
} later {
    topic_id,
});

/// Format of what waits, here and in the changelog of recycle; entries of before have [`FORMAT`](super::progress::FORMAT).
pub(super) const WAITING_FORMAT: [u8; 2] = [5, 5];

/// Takes something that waits, in the form of a format.
pub(super) fn read_waited(version: u8, input: &mut &[u8]) -> Result<Waited, Corrupt> {
    if version >= WAITING_FORMAT[0] { Stored::read(input) } else { Waited::read_before(input) }
}

impl Waited {
    /// From what a stage knows.
    pub(super) fn of(waiting: &Waiting<'_>) -> Waited {
        let Waiting { origin, identity, suspended } = *waiting;
        let Suspended { reason, level, detail, stage } = suspended;
        Waited {
            topic: origin.form.topic.clone(),
            partition: origin.partition,
            offset: origin.offset,
            key: origin.key.map(|key| Bytes(key.to_vec())),
            original: Bytes(origin.bytes.to_vec()),
            content_type: origin.form.content_type.clone(),
            attempt: origin.attempt(),
            reason: *reason,
            level: *level,
            detail: detail.to_string(),
            stage: (*stage).to_owned(),
            usage_id: identity.map(|(_, id, _)| id.to_owned()),
            event_time: identity.map(|(_, _, at)| at),
            topic_id: origin.form.topic_id,
        }
    }

    /// Its place among what came to the same topics: in this order things are tried again, which is the order of arrival within a partition.
    pub(super) fn arrival(&self) -> (&str, u32, Offset, Option<u8>) {
        (&self.topic, self.partition, self.offset, self.level)
    }

    /// What says what is wanted of it.
    pub(super) fn retry(&self, wanted: Wanted) -> Retry {
        Retry {
            topic: self.topic.clone(),
            topic_id: self.topic_id,
            partition: self.partition,
            offset: self.offset,
            key: self.key.as_ref().map(|key| key.0.clone()),
            original: self.original.0.clone(),
            retried: Retried {
                attempt: self.attempt.saturating_add(1),
                reason: self.reason,
                level: self.level,
                wanted,
            },
        }
    }

    /// The place, and the level: the same each time that it waits.
    pub fn place(&self) -> String {
        place((&self.topic, self.partition, self.offset), self.level)
    }

    /// What it is kept under: its place, and the id of its topic where it has one.
    pub(super) fn key(&self) -> String {
        match &self.topic_id {
            Some(id) => format!("{}@{id}", self.place()),
            None => self.place(),
        }
    }

    /// Reads the value of a message or of a changelog entry.
    ///
    /// # Errors
    /// Bytes that are no such value.
    pub(super) fn read_message(value: &[u8]) -> Result<Waited, StageError> {
        let input = &mut read_format(value)?;
        let waited = read_waited(value.first().copied().unwrap_or(0), input)?;
        match input.is_empty() {
            true => Ok(waited),
            false => Err(corrupt("something that waits", "more bytes than it has")),
        }
    }
}

/// Key of a message about something that waits: the identity of the record, so that all copies of it are kept together; its place where it has none.
pub(super) fn key_of(waiting: &Waiting<'_>) -> String {
    match waiting.identity {
        Some((identity, _, _)) => format!("{identity:032x}"),
        None => {
            let origin = waiting.origin;
            place((&origin.form.topic, origin.partition, origin.offset), waiting.suspended.level)
        }
    }
}

fn place((topic, partition, offset): (&str, u32, Offset), level: Option<u8>) -> String {
    let mut place = format!("{topic}:{partition}:{offset}");
    if let Some(level) = level {
        // Writing to a text cannot fail.
        let _ = write!(place, ":{level}");
    }
    place
}
