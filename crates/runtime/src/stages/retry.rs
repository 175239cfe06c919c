//! What recycling says of something that waits or waited: a message that carries the original, and says how it waited and what is wanted of it.
//!
//! It goes to a topic of its own, which only Rater writes, to the partition of the number of the original's, in JSON, as `{"retry":{...}}` with the
//! original in base64. That it is tried once for each time that it waited is guide's to ensure, by [`retry_key`]. Before there was that topic, retries
//! stood among the inputs; there a message of this form is `wrong_kind` now.

use super::entry::{Form, Origin, Retried, Wanted};
use crate::worker::log::{Offset, TopicId};
use crate::worker::trace::TraceContext;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rating::SuspenseReason;
use serde::{Deserialize, Serialize};
use siphasher::sip128::{Hasher128, SipHasher13};
use std::hash::Hasher;

/// What begins so is looked at as a retry.
const BEGINNING: &[u8] = b"{\"retry\":";

/// A record or leg that is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Retry {
    /// Where the original came in.
    pub(super) topic: String,
    /// The topic's id, where it has one.
    pub(super) topic_id: Option<TopicId>,
    pub(super) partition: u32,
    pub(super) offset: Offset,
    pub(super) key: Option<Vec<u8>>,
    /// The original bytes.
    pub(super) original: Vec<u8>,
    /// How it waited.
    pub(super) retried: Retried,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    retry: Fields,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    topic: String,
    partition: u32,
    offset: Offset,
    attempt: u32,
    reason: String,
    level: Option<u8>,
    key: Option<String>,
    original: String,
    /// `hold` or `leave`; absent: it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wanted: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    topic_id: Option<String>,
}

impl Retry {
    /// Writes the message.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let Retried { attempt, reason, level, wanted } = self.retried;
        let fields = Fields {
            topic: self.topic.clone(),
            partition: self.partition,
            offset: self.offset,
            attempt,
            reason: reason.name().to_owned(),
            level,
            key: self.key.as_ref().map(|key| STANDARD.encode(key)),
            original: STANDARD.encode(&self.original),
            wanted: match wanted {
                Wanted::Again => None,
                Wanted::Hold => Some("hold".to_owned()),
                Wanted::Leave => Some("leave".to_owned()),
            },
            topic_id: self.topic_id.map(|TopicId(id)| STANDARD.encode(id)),
        };
        let message = serde_json::to_vec(&Envelope { retry: fields });
        out.extend(message.expect("texts and numbers: nothing that JSON could refuse"));
    }

    /// Reads a message; `None` if it is none of these, or none that this version understands: then it is taken for what it looks like.
    pub(super) fn read(message: &[u8]) -> Option<Retry> {
        if !message.starts_with(BEGINNING) {
            return None;
        }
        let Envelope { retry } = serde_json::from_slice(message).ok()?;
        let reason = SuspenseReason::parse(&retry.reason)?;
        if retry.attempt == 0 {
            return None;
        }
        let wanted = match retry.wanted.as_deref() {
            None => Wanted::Again,
            Some("hold") => Wanted::Hold,
            Some("leave") => Wanted::Leave,
            Some(_) => return None,
        };
        let id = retry.topic_id.map(|id| Some(TopicId(STANDARD.decode(id).ok()?.try_into().ok()?)));
        Some(Retry {
            topic_id: match id {
                Some(id) => Some(id?),
                None => None,
            },
            topic: retry.topic,
            partition: retry.partition,
            offset: retry.offset,
            key: retry.key.map(|key| STANDARD.decode(key)).transpose().ok()?,
            original: STANDARD.decode(retry.original).ok()?,
            retried: Retried { attempt: retry.attempt, reason, level: retry.level, wanted },
        })
    }

    /// Where the original came from. Its trace came with the message that asks.
    pub(super) fn origin<'r>(&'r self, form: &'r Form, trace: Option<TraceContext<'r>>) -> Origin<'r> {
        Origin {
            form,
            partition: self.partition,
            offset: self.offset,
            key: self.key.as_deref(),
            bytes: &self.original,
            retried: Some(self.retried),
            trace,
        }
    }
}

/// Identity of one time that something is tried again: the same for each copy of the message that asks for it.
pub(super) fn retry_key(origin: &Origin<'_>, retried: Retried) -> u128 {
    let mut hasher = SipHasher13::new_with_keys(0x7261_7465_7220_7265, 0x7472_7920_6f6e_6365);
    hasher.write_u64(origin.form.topic.len() as u64);
    hasher.write(origin.form.topic.as_bytes());
    hasher.write_u32(origin.partition);
    hasher.write_i64(origin.offset);
    hasher.write_u32(retried.attempt);
    hasher.write_u16(retried.level.map_or(u16::MAX, u16::from));
    if let Some(TopicId(id)) = &origin.form.topic_id {
        hasher.write(id);
    }
    hasher.finish128().as_u128()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry() -> Retry {
        Retry {
            topic: "usage".to_owned(),
            topic_id: None,
            partition: 3,
            offset: 81_234,
            key: Some(vec![0, 255]),
            original: b"{\"id\":\"r1\"}\xff".to_vec(),
            retried: Retried {
                attempt: 2,
                reason: SuspenseReason::UnknownEndpoint,
                level: None,
                wanted: Wanted::Again,
            },
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for retry in [
            retry(),
            Retry { key: None, ..retry() },
            Retry {
                retried: Retried { attempt: 1, reason: SuspenseReason::NoRate, level: Some(255), wanted: Wanted::Hold },
                topic_id: Some(TopicId([7; 16])),
                original: Vec::new(),
                ..retry()
            },
        ] {
            let mut message = Vec::new();
            retry.write(&mut message);
            assert_eq!(Retry::read(&message), Some(retry));
        }
    }

    #[test]
    fn what_is_not_whole_is_no_retry() {
        let mut message = Vec::new();
        retry().write(&mut message);
        for end in 0..message.len() {
            assert_eq!(Retry::read(&message[..end]), None);
        }
        let text = String::from_utf8(message).unwrap();
        for (part, other) in [("unknown_endpoint", "no_such_reason"), ("\"attempt\":2", "\"attempt\":0")] {
            assert!(text.contains(part));
            assert_eq!(Retry::read(text.replace(part, other).as_bytes()), None);
        }
        assert_eq!(Retry::read(b"{\"tick\":\"2026-01-01T00:00:00Z\"}"), None);
    }

    #[test]
    fn each_time_has_a_key_of_its_own() {
        let form = Form { topic: "usage".to_owned(), content_type: String::new(), topic_id: None };
        let retry = retry();
        let origin = retry.origin(&form, None);
        let keys = [
            retry.retried,
            Retried { attempt: 3, ..retry.retried },
            Retried { level: Some(0), ..retry.retried },
            Retried { level: Some(255), ..retry.retried },
        ]
        .map(|retried| retry_key(&origin, retried));
        let different: std::collections::BTreeSet<u128> = keys.into_iter().collect();
        assert_eq!(different.len(), keys.len());
    }
}
