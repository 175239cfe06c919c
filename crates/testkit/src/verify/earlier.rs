//! An input topic that is no longer there, since another one has been made under its name: what it held has to be read before.

use super::VerifyError;
use super::reader::{Message, Reader};
use crate::load::Connection;

/// All that an input topic held. Its messages are told from those of the topic that has its name now by what they say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EarlierTopic {
    /// Its name.
    pub name: String,
    /// By partition: what stands there from this offset on need not have been read before the topic went.
    pub unread_from: Vec<i64>,
    /// Partition, offset and value.
    messages: Vec<(u32, i64, Vec<u8>)>,
}

impl EarlierTopic {
    /// Reads a topic that will go.
    ///
    /// # Errors
    /// No answer, or messages that are no longer there.
    pub fn read(connection: &Connection, name: &str, unread_from: Vec<i64>) -> Result<EarlierTopic, VerifyError> {
        let reader = Reader::new(connection)?;
        let mut messages = Vec::new();
        reader.read(name, 0..reader.partitions(name)?, |message| {
            messages.push((message.partition, message.offset, message.value.to_vec()));
            Ok(())
        })?;
        Ok(EarlierTopic { name: name.to_owned(), unread_from, messages })
    }

    /// The values of all messages.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.messages.iter().map(|(_, _, value)| &**value)
    }

    pub(super) fn messages(&self) -> impl Iterator<Item = Message<'_>> {
        self.messages.iter().map(|(partition, offset, value)| Message {
            partition: *partition,
            offset: *offset,
            dated_ms: None,
            value,
        })
    }
}

/// The end of each partition of a topic.
///
/// # Errors
/// No answer, or no such topic.
pub fn ends_of(connection: &Connection, topic: &str) -> Result<Vec<i64>, VerifyError> {
    let reader = Reader::new(connection)?;
    (0..reader.partitions(topic)?).map(|partition| reader.end(topic, partition)).collect()
}
