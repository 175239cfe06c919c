//! What stands before a datum in a message, so that a reader knows its schema.
//!
//! | first bytes | then | who resolves it |
//! | --- | --- | --- |
//! | `00` | schema id, 4 bytes, big-endian | a schema registry (Confluent's framing) |
//! | `c3 01` | fingerprint, 8 bytes, little-endian | who knows the schema (Avro's single-object encoding) |
//! | `{` after any white space | the rest of a JSON object | nobody: usage, commands and ticks in JSON |
//!
//! Frames are made once, at the start; nothing is allocated for a
//! message.

use super::fingerprint::Fingerprint;
use super::schema::Message;
use crate::registry::{Registry, RegistryError, SchemaId};
use std::fmt;

const CONFLUENT: u8 = 0;
const SINGLE_OBJECT: [u8; 2] = [0xc3, 0x01];

/// How a message says what its datum's schema is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing<'a> {
    Confluent(SchemaId, &'a [u8]),
    SingleObject(Fingerprint, &'a [u8]),
    Json(&'a [u8]),
}

impl<'a> Framing<'a> {
    /// Takes a message apart.
    ///
    /// # Errors
    /// In words, what it is that it is none of them.
    pub(super) fn of(message: &'a [u8]) -> Result<Framing<'a>, String> {
        if let Some((&CONFLUENT, rest)) = message.split_first() {
            let (id, datum) = rest.split_first_chunk().ok_or("ends within the schema id")?;
            return Ok(Framing::Confluent(SchemaId(u32::from_be_bytes(*id)), datum));
        }
        if let Some(rest) = message.strip_prefix(&SINGLE_OBJECT) {
            let (fingerprint, datum) = rest.split_first_chunk().ok_or("ends within the schema fingerprint")?;
            return Ok(Framing::SingleObject(Fingerprint(u64::from_le_bytes(*fingerprint)), datum));
        }
        match message.iter().find(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r')) {
            Some(b'{') => Ok(Framing::Json(message)),
            Some(other) => Err(format!("starts with byte {other:02x}: neither framed Avro nor a JSON object")),
            None => Err("is empty".to_owned()),
        }
    }
}

/// The bytes before a datum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    bytes: [u8; 10],
    length: usize,
}

impl Frame {
    /// Confluent's framing.
    pub fn confluent(id: SchemaId) -> Frame {
        let mut bytes = [0; 10];
        bytes[0] = CONFLUENT;
        bytes[1..5].copy_from_slice(&id.0.to_be_bytes());
        Frame { bytes, length: 5 }
    }

    /// Avro's single-object encoding.
    pub fn single_object(fingerprint: Fingerprint) -> Frame {
        let mut bytes = [0; 10];
        bytes[..2].copy_from_slice(&SINGLE_OBJECT);
        bytes[2..].copy_from_slice(&fingerprint.0.to_le_bytes());
        Frame { bytes, length: 10 }
    }

    /// To be put before the datum.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// How schemas of outputs get their ids at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// Registered, if they are not there yet.
    Register,
    /// Only looked up: somebody else registers.
    LookUp,
}

/// A subject's trouble with the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectError {
    /// `<topic>-value`.
    pub subject: String,
    /// What it is.
    pub error: RegistryError,
}

impl fmt::Display for SubjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "subject \"{}\": {}", self.subject, self.error)
    }
}

impl std::error::Error for SubjectError {}

/// The subject of the values of a topic.
pub fn subject(topic: &str) -> String {
    format!("{topic}-value")
}

/// The frame of each message that leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frames {
    charge: Frame,
    balance_delta: Frame,
    suspense: Frame,
    notification: Frame,
    reply: Frame,
    life_event: Frame,
}

impl Frames {
    /// By fingerprint: where there is no registry.
    ///
    /// # Errors
    /// None for the schemas compiled in, which tests prove; an error in words all the same.
    pub fn single_object() -> Result<Frames, String> {
        Frames::each(|message| Fingerprint::of(message.schema()).map(Frame::single_object))
    }

    /// By id, for the subjects of the topics that the messages go to.
    ///
    /// # Errors
    /// The subject that could not be registered or looked up.
    pub fn confluent(
        registry: &Registry,
        registration: Registration,
        topic: impl Fn(Message) -> String,
    ) -> Result<Frames, SubjectError> {
        Frames::each(|message| {
            let subject = subject(&topic(message));
            let id = match registration {
                Registration::Register => registry.register(&subject, message.schema()),
                Registration::LookUp => registry.look_up(&subject, message.schema()),
            };
            id.map(Frame::confluent).map_err(|error| SubjectError { subject, error })
        })
    }

    fn each<E>(frame: impl Fn(Message) -> Result<Frame, E>) -> Result<Frames, E> {
        Ok(Frames {
            charge: frame(Message::Charge)?,
            balance_delta: frame(Message::BalanceDelta)?,
            suspense: frame(Message::Suspense)?,
            notification: frame(Message::Notification)?,
            reply: frame(Message::CommandReply)?,
            life_event: frame(Message::LifeEvent)?,
        })
    }

    /// To be put before each datum of a message.
    pub fn prefix(&self, message: Message) -> &[u8] {
        match message {
            Message::Charge => self.charge.as_bytes(),
            Message::BalanceDelta => self.balance_delta.as_bytes(),
            Message::Suspense => self.suspense.as_bytes(),
            Message::Notification => self.notification.as_bytes(),
            Message::CommandReply => self.reply.as_bytes(),
            Message::LifeEvent => self.life_event.as_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_told_apart_by_their_first_bytes() {
        assert_eq!(Framing::of(&[0, 0, 0, 1, 2, 9]), Ok(Framing::Confluent(SchemaId(258), &[9])));
        let single = [0xc3, 1, 8, 7, 6, 5, 4, 3, 2, 1];
        assert_eq!(Framing::of(&single), Ok(Framing::SingleObject(Fingerprint(0x0102_0304_0506_0708), &[])));
        assert_eq!(Framing::of(b" \n{}"), Ok(Framing::Json(b" \n{}")));
        let cases: [(&[u8], &str); 7] = [
            (b"", "is empty"),
            (b" \t\r\n", "is empty"),
            (&[0, 0, 0, 1], "ends within the schema id"),
            (&[0xc3, 1, 2], "ends within the schema fingerprint"),
            (&[0xc3, 2], "starts with byte c3: neither framed Avro nor a JSON object"),
            (b"[1]", "starts with byte 5b: neither framed Avro nor a JSON object"),
            (b"\xef\xbb\xbf{}", "starts with byte ef: neither framed Avro nor a JSON object"),
        ];
        for (bytes, what) in cases {
            assert_eq!(Framing::of(bytes), Err(what.to_owned()));
        }
    }

    #[test]
    fn a_frame_is_read_as_what_it_was_made_for() {
        let frame = Frame::confluent(SchemaId(u32::MAX - 1));
        assert_eq!(Framing::of(frame.as_bytes()), Ok(Framing::Confluent(SchemaId(u32::MAX - 1), &[])));
        let frames = Frames::single_object().expect("frames");
        for message in Message::ALL {
            let fingerprint = Fingerprint::of(message.schema()).expect("a schema");
            assert_eq!(Framing::of(frames.prefix(*message)), Ok(Framing::SingleObject(fingerprint, &[])));
        }
    }
}
