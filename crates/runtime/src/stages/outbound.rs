//! Messages for the outside: framed Avro with the keys that the contracts name.

use super::entry::Origin;
use super::waiting::{WAITING_FORMAT, Waited, key_of};
use crate::state::Stored;
use crate::wire::{self, CloudEvents, CommandReply, Encoder, Frames, Headers, Message, SuspenseRecord};
use crate::worker::{Output, Target};
use pipeline::Suspended;
use rating::{BalanceDelta, Charge, LifeEvent, Notification, Timestamp};

/// Target of log events that hold what identifies a person: an IMSI in an explanation, the id of a record. They are written at debug.
pub const PERSONAL: &str = "rater::personal";

/// Writes messages for the outside.
#[derive(Clone, Debug)]
pub(super) struct Outbound {
    pub(super) encoder: Encoder,
    pub(super) frames: Frames,
    pub(super) events: Option<CloudEvents>,
}

/// A topic whose partitions follow the keys.
pub(super) fn by_key(topic: u16) -> Target {
    Target { topic, partition: None }
}

/// A record or leg that waits.
pub(super) struct Waiting<'w> {
    pub(super) origin: &'w Origin<'w>,
    /// Identity, id and time, where they could be read.
    pub(super) identity: Option<(u128, &'w str, Timestamp)>,
    pub(super) suspended: &'w Suspended,
}

impl Outbound {
    pub(super) fn charge(&self, topic: u16, charge: &Charge<'_>, output: &mut Output) {
        output.push(by_key(topic), Some(charge.payer().as_str().as_bytes()), |out| {
            out.extend_from_slice(self.frames.prefix(Message::Charge));
            self.encoder.charge(charge, out);
        });
        self.head(output, |events| events.charge(charge));
    }

    pub(super) fn delta(&self, topic: u16, delta: &BalanceDelta<'_>, output: &mut Output) {
        output.push(by_key(topic), Some(delta.edge.payer.as_str().as_bytes()), |out| {
            out.extend_from_slice(self.frames.prefix(Message::BalanceDelta));
            self.encoder.delta(delta, out);
        });
        self.head(output, |events| events.delta(delta));
    }

    pub(super) fn notification(&self, topic: u16, notification: &Notification<'_>, output: &mut Output) {
        output.push(by_key(topic), Some(notification.account.as_str().as_bytes()), |out| {
            out.extend_from_slice(self.frames.prefix(Message::Notification));
            self.encoder.notification(notification, out);
        });
        self.head(output, |events| events.notification(notification));
    }

    pub(super) fn life_event(&self, topic: u16, event: &LifeEvent<'_>, output: &mut Output) {
        output.push(by_key(topic), Some(event.account.as_str().as_bytes()), |out| {
            out.extend_from_slice(self.frames.prefix(Message::LifeEvent));
            self.encoder.life_event(event, out);
        });
        self.head(output, |events| events.life_event(event));
    }

    pub(super) fn reply(&self, topic: u16, reply: &CommandReply<'_>, output: &mut Output) {
        output.push(by_key(topic), Some(reply.command.account_id.as_str().as_bytes()), |out| {
            out.extend_from_slice(self.frames.prefix(Message::CommandReply));
            self.encoder.reply(reply, out);
        });
        self.head(output, |events| events.reply(reply));
    }

    /// Gives the last message the headers that say what it is, if they are wanted.
    fn head(&self, output: &mut Output, of: impl FnOnce(&CloudEvents) -> Headers) {
        for (name, value) in self.events.as_ref().map(of).into_iter().flatten() {
            output.add_header(name, value);
        }
    }

    /// Tells people that something does not wait any more, because somebody has given it up.
    pub(super) fn written_off(&self, topic: u16, waited: &Waited, because: &str, output: &mut Output) {
        let key = waited.key.as_ref().map(|key| &*key.0);
        let detail = format!("written off: {because}");
        let record = SuspenseRecord {
            key: None,
            reason: waited.reason,
            detail: &detail,
            stage: "recycle",
            level: waited.level,
            usage_id: waited.usage_id.as_deref(),
            event_time: waited.event_time,
            original: &waited.original.0,
            content_type: &waited.content_type,
            origin: wire::Origin::Topic {
                name: &waited.topic,
                partition: waited.partition,
                offset: waited.offset,
                key,
            },
            // It stands where a retry would, so that its id is its own.
            attempt: waited.attempt.saturating_add(1),
        };
        self.tell(topic, &record, key, output);
        output.add_header("rater-origin", format!("{}:{}:{}", waited.topic, waited.partition, waited.offset));
        output.add_header("rater-written-off", because.to_owned());
    }

    fn tell(&self, topic: u16, record: &SuspenseRecord<'_>, key: Option<&[u8]>, output: &mut Output) {
        output.push(by_key(topic), key, |out| {
            out.extend_from_slice(self.frames.prefix(Message::Suspense));
            self.encoder.suspense(record, out);
        });
        self.head(output, |events| events.suspense(record));
        output.add_header("rater-reason", record.reason.name().to_owned());
    }

    /// Tells people, in the first topic, and recycling, in the second.
    pub(super) fn suspense(&self, [topic, waits]: [u16; 2], waiting: &Waiting<'_>, output: &mut Output) {
        let origin = waiting.origin;
        let identity = waiting.identity;
        let Suspended { reason, level, detail, stage } = waiting.suspended;
        tracing::debug!(
            target: PERSONAL,
            topic = origin.form.topic,
            partition = origin.partition,
            offset = origin.offset,
            id = identity.map(|(_, id, _)| id),
            level = level,
            reason = reason.name(),
            detail = &**detail,
            "goes to suspense"
        );
        let record = SuspenseRecord {
            key: identity.map(|(key, _, _)| key),
            reason: *reason,
            detail,
            stage,
            level: *level,
            usage_id: identity.map(|(_, id, _)| id),
            event_time: identity.map(|(_, _, at)| at),
            original: origin.bytes,
            content_type: &origin.form.content_type,
            origin: wire::Origin::Topic {
                name: &origin.form.topic,
                partition: origin.partition,
                offset: origin.offset,
                key: origin.key,
            },
            attempt: origin.attempt(),
        };
        self.tell(topic, &record, origin.key, output);
        let place = format!("{}:{}:{}", origin.form.topic, origin.partition, origin.offset);
        output.add_header("rater-origin", place);
        output.push(by_key(waits), Some(key_of(waiting).as_bytes()), |out| {
            out.extend_from_slice(&WAITING_FORMAT);
            Waited::of(waiting).write(out);
        });
    }
}
