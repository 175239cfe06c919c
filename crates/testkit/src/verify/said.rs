//! What a message says, read without anything of the product's own readers.

use super::avro::{Found, Layout};
use super::hash_of;
use serde_json::{Map, Value};

/// What an input message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Usage,
    Command,
    /// A tick or a retry, which only Rater writes, to topics of their own; or whatever else stands at the wrong door: it is suspended.
    Foreign,
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

/// What is tried again, or of which something is noted.
pub(super) struct RetryOf {
    pub(super) topic: String,
    pub(super) partition: u32,
    pub(super) offset: i64,
    pub(super) level: Option<u8>,
    /// It is tried again: it is not only said that its id is to be kept, or need not be.
    pub(super) is_tried: bool,
}

impl RetryOf {
    /// Reads a message of the topic of retries; `None` if it is no retry.
    pub(super) fn read(message: &[u8]) -> Option<RetryOf> {
        let value: Value = serde_json::from_slice(message).ok().filter(|_| message.starts_with(b"{\"retry\":"))?;
        let retry = value.get("retry")?;
        let number = |name: &str| retry.get(name).and_then(Value::as_i64);
        number("attempt").filter(|attempt| *attempt > 0)?;
        Some(RetryOf {
            topic: retry.get("topic")?.as_str()?.to_owned(),
            partition: u32::try_from(number("partition")?).ok()?,
            offset: number("offset")?,
            level: number("level").and_then(|level| u8::try_from(level).ok()),
            is_tried: retry.get("wanted").is_none(),
        })
    }
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
