//! What a message says, read without anything of the product's own readers.

use super::avro::{Found, Layout};
use super::{Takes, hash_of};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

/// What an input message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Usage,
    Command,
    /// A tick or a retry, which only Rater writes, to topics of their own; or whatever else stands at the wrong door: it is suspended.
    Foreign,
}

impl Kind {
    /// Whether it stands at the wrong door.
    pub(super) fn is_foreign(self, takes: Option<&Takes>) -> bool {
        match self {
            Kind::Usage => takes == Some(&Takes::Commands),
            Kind::Command => takes == Some(&Takes::Usage),
            Kind::Foreign => true,
        }
    }
}

/// The bit of a level.
pub(super) fn bit(level: u8) -> u64 {
    1_u64.checked_shl(u32::from(level)).unwrap_or(0)
}

/// Hash of an identity.
pub(super) fn identity_of(kind: Kind, source: &str, id: &str) -> u64 {
    match kind {
        Kind::Usage => hash_of(&[b"usage", source.as_bytes(), id.as_bytes()]),
        Kind::Command | Kind::Foreign => hash_of(&[b"command", id.as_bytes()]),
    }
}

/// What a message says.
pub(super) struct Said {
    pub(super) kind: Kind,
    pub(super) source: Option<String>,
    pub(super) id: Option<String>,
    pub(super) payload: u64,
    /// Event time of usage, effective time of a command, in milliseconds.
    pub(super) at_ms: Option<i64>,
}

/// What recycling says in the topic of retries.
pub(super) enum Note {
    Again(Retry),
    HoldOrLeave,
}

/// Where something comes from that is tried again.
pub(super) struct Retry {
    pub(super) topic: String,
    pub(super) partition: u32,
    pub(super) offset: i64,
    pub(super) level: Option<u8>,
    /// Hash of the message that is tried again.
    pub(super) content: u64,
}

impl Note {
    /// `None` if Rater did not write it.
    pub(super) fn read(value: &[u8]) -> Option<Note> {
        let value: Value = serde_json::from_slice(value.starts_with(b"{\"retry\":").then_some(value)?).ok()?;
        let retry = value.as_object().filter(|outer| outer.len() == 1)?.get("retry")?.as_object()?;
        let number = |name: &str| retry.get(name).and_then(Value::as_i64);
        let text = |name: &str| retry.get(name).and_then(Value::as_str);
        let encoded = |name: &str| retry.get(name).is_none_or(|value| value.is_null() || is_base64(value));
        let is_ours = retry.keys().all(|name| RETRY.contains(&&**name))
            && number("attempt").is_some_and(|attempt| attempt > 0 && u32::try_from(attempt).is_ok())
            && rating::SuspenseReason::parse(text("reason")?).is_some()
            && ["key", "topic_id"].into_iter().all(encoded);
        let level = match retry.get("level").filter(|level| !level.is_null()) {
            None => None,
            Some(level) => Some(u8::try_from(level.as_i64()?).ok()?),
        };
        let (topic, partition) = (text("topic")?.to_owned(), u32::try_from(number("partition")?).ok()?);
        let content = hash_of(&[&STANDARD.decode(text("original")?).ok()?]);
        let again = Retry { topic, partition, offset: number("offset")?, level, content };
        match retry.get("wanted").map(Value::as_str) {
            None => is_ours.then_some(Note::Again(again)),
            Some(Some("hold" | "leave")) => is_ours.then_some(Note::HoldOrLeave),
            Some(_) => None,
        }
    }
}

/// Fields of a retry.
const RETRY: [&str; 10] =
    ["topic", "partition", "offset", "attempt", "reason", "level", "key", "original", "wanted", "topic_id"];

fn is_base64(value: &Value) -> bool {
    value.as_str().is_some_and(|text| {
        let digits = text.trim_end_matches('=');
        text.len() % 4 == 0
            && text.len() - digits.len() < 3
            && digits.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(&byte))
    })
}

/// Fields that are times: they may be given as a text or as milliseconds.
const TIMES: [&str; 4] = ["event_time", "end_time", "effective_time", "expires_at"];
/// Fields that are not part of what is compared: the identity, and what is filled in where it is missing.
const APART: [&str; 4] = ["id", "source", "unit", "command_id"];

impl Said {
    pub(super) fn of_json(value: Value) -> Said {
        let nothing = Map::new();
        let object = value.as_object().unwrap_or(&nothing);
        let text = |name: &str| object.get(name).and_then(Value::as_str).map(str::to_owned);
        let kind = if object.contains_key("command_id") {
            Kind::Command
        } else if text("tick").is_some_and(|tick| tick.parse::<jiff::Timestamp>().is_ok())
            || object.contains_key("retry")
        {
            Kind::Foreign
        } else {
            Kind::Usage
        };
        let mut parts: Vec<String> = object
            .iter()
            .filter(|(name, value)| !APART.contains(&&***name) && !value.is_null())
            .map(|(name, value)| {
                let time = value.as_str().filter(|_| TIMES.contains(&&**name));
                match time.and_then(|time| time.parse::<jiff::Timestamp>().ok()) {
                    Some(time) => format!("{name}={}", time.as_millisecond()),
                    None => format!("{name}={value}"),
                }
            })
            .collect();
        parts.sort_unstable();
        let id = if kind == Kind::Command { text("command_id") } else { text("id") };
        let at = if kind == Kind::Command { "effective_time" } else { "event_time" };
        let at_ms = object.get(at).and_then(|at| match at {
            Value::String(text) => text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond),
            other => other.as_i64(),
        });
        Said { kind, source: text("source"), id, payload: hash_of(&[parts.join("\0").as_bytes()]), at_ms }
    }

    pub(super) fn of_avro(layout: &Layout, found: &[Found<'_>]) -> Said {
        let text = |name: &str| layout.place(name).and_then(|at| found.get(at)?.text()).map(str::to_owned);
        let kind = match &*layout.name {
            "AccountCommand" => Kind::Command,
            "Tick" => Kind::Foreign,
            _ => Kind::Usage,
        };
        let parts: Vec<String> = layout
            .names()
            .zip(found)
            .filter(|(name, value)| !APART.contains(name) && **value != Found::Null)
            .map(|(name, value)| format!("{name}={value:?}"))
            .collect();
        let id = if kind == Kind::Command { text("command_id") } else { text("id") };
        let at = if kind == Kind::Command { "effective_time" } else { "event_time" };
        let at_ms = layout.place(at).and_then(|at| found.get(at)?.long());
        Said { kind, source: text("source"), id, payload: hash_of(&[parts.join("\0").as_bytes()]), at_ms }
    }
}
