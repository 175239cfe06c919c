//! Headers of CloudEvents 1.0 in the binary mode of its Kafka binding: what a message is, without reading it.
//!
//! | header | of |
//! | --- | --- |
//! | `ce_id` | the first field of the message: its deterministic identifier; of a reply the command's, with the outcome |
//! | `ce_source` | whose it is, and of which kind: identifiers are unique within a kind only |
//! | `ce_type` | name of the schema: `rater.v1.Charge` |
//! | `ce_time` | `event_time` or `effective_time`; left out where the message has none. Never a wall clock |
//!
//! Read off the same list of fields that is encoded, so that the two cannot differ. For topics of the outside only.

use super::message::{self, SuspenseRecord};
use super::part::{self, Part};
use super::sink::{Item, Pairs, Sink};
use super::text;
use crate::wire::schema::{Contracts, Message};
use pipeline::CommandReply;
use rating::{Amount, BalanceDelta, Charge, LifeEvent, Notification, Timestamp};

/// Names and values.
pub type Headers = Vec<(&'static str, String)>;

/// Makes headers for the messages of one deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudEvents {
    source: String,
}

impl CloudEvents {
    /// `source` is a URI or a part of one that says whose messages they are, such as `/rater/uk`.
    pub fn new(source: &str) -> CloudEvents {
        CloudEvents { source: source.trim_end_matches('/').to_owned() }
    }

    /// Of a charge.
    pub fn charge(&self, charge: &Charge<'_>) -> Headers {
        self.of(Message::Charge, |head| message::charge(charge, "", Contracts::V1, head))
    }

    /// Of a change of a balance.
    pub fn delta(&self, delta: &BalanceDelta<'_>) -> Headers {
        self.of(Message::BalanceDelta, |head| message::delta(delta, Contracts::V1, head))
    }

    /// Of a notification.
    pub fn notification(&self, notification: &Notification<'_>) -> Headers {
        self.of(Message::Notification, |head| message::notification(notification, Contracts::V1, head))
    }

    /// Of a record or leg that waits.
    pub fn suspense(&self, record: &SuspenseRecord<'_>) -> Headers {
        self.of(Message::Suspense, |head| message::suspense(record, head))
    }

    /// Of what became of a command.
    pub fn reply(&self, reply: &CommandReply<'_>) -> Headers {
        self.of(Message::CommandReply, |head| message::reply(reply, Contracts::V1, head))
    }

    /// Of what became of something of an account.
    pub fn life_event(&self, event: &LifeEvent<'_>) -> Headers {
        self.of(Message::LifeEvent, |head| message::life_event(event, head))
    }

    fn of(&self, message: Message, read: impl FnOnce(&mut Head)) -> Headers {
        let mut head = Head::default();
        read(&mut head);
        let (kind, name) = match message {
            Message::Charge => ("charge", "rater.v1.Charge"),
            Message::BalanceDelta => ("balance-delta", "rater.v1.BalanceDelta"),
            Message::Suspense => ("suspense", "rater.v1.Suspense"),
            Message::Notification => ("notification", "rater.v1.Notification"),
            Message::CommandReply => ("command-reply", "rater.v1.CommandReply"),
            Message::LifeEvent => ("life-event", "rater.v1.LifeEvent"),
        };
        let id = match head.outcome {
            Some(outcome) => format!("{}-{outcome}", head.id.unwrap_or_default()),
            None => head.id.unwrap_or_default(),
        };
        let mut headers = vec![
            ("ce_specversion", "1.0".to_owned()),
            ("ce_id", id),
            ("ce_source", format!("{}/{kind}", self.source)),
            ("ce_type", name.to_owned()),
            ("content-type", "application/avro".to_owned()),
        ];
        if let Some(at) = head.time {
            let mut shown = Vec::new();
            text::time(at, &mut shown);
            headers.push(("ce_time", String::from_utf8_lossy(&shown).into_owned()));
        }
        headers
    }
}

/// What of a message's fields goes into its headers.
#[derive(Debug, Default)]
struct Head {
    id: Option<String>,
    time: Option<Timestamp>,
    outcome: Option<String>,
}

impl Sink for Head {
    fn text(&mut self, name: &'static str, value: &str) {
        if self.id.is_none() {
            self.id = Some(value.to_owned());
        } else if name == "outcome" {
            self.outcome = Some(value.to_owned());
        }
    }

    fn optional_text(&mut self, _name: &'static str, _value: Option<&str>) {}

    fn joined(&mut self, _name: &'static str, parts: &[Part<'_>]) {
        if self.id.is_none() {
            let mut id = Vec::with_capacity(part::length(parts));
            part::write(parts, &mut id, |out, text| out.extend_from_slice(text.as_bytes()));
            self.id = Some(String::from_utf8_lossy(&id).into_owned());
        }
    }

    fn optional_joined(&mut self, _name: &'static str, _parts: Option<&[Part<'_>]>) {}

    fn integer(&mut self, _name: &'static str, _value: i64) {}

    fn optional_integer(&mut self, _name: &'static str, _value: Option<i64>) {}

    fn amount(&mut self, _name: &'static str, _value: Amount) {}

    fn optional_amount(&mut self, _name: &'static str, _value: Option<Amount>) {}

    fn time(&mut self, name: &'static str, value: Timestamp) {
        self.optional_time(name, Some(value));
    }

    fn optional_time(&mut self, name: &'static str, value: Option<Timestamp>) {
        if matches!(name, "event_time" | "effective_time") {
            self.time = value;
        }
    }

    fn pairs(&mut self, _name: &'static str, _value: Pairs<'_>) {}

    fn bytes(&mut self, _name: &'static str, _value: &[u8]) {}

    fn optional_bytes(&mut self, _name: &'static str, _value: Option<&[u8]>) {}

    /// What is in the segments is not the message's own.
    fn list<T: Item>(&mut self, _name: &'static str, _items: &[T]) {}

    fn texts(&mut self, _name: &'static str, _texts: &[[Part<'_>; 3]]) {}
}
