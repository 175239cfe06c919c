//! Packed messages: gap-free sequences, and what is in the guided log.

use super::avro::varint;
use super::reader::Message;
use super::report::Report;
use std::collections::HashMap;

/// The last sequence of each source in one target partition.
#[derive(Debug, Default)]
pub(super) struct Sequences {
    last: HashMap<(String, u32), u64>,
    pub(super) messages: u64,
}

impl Sequences {
    /// Checks that a message is the next one from its source.
    pub(super) fn add(&mut self, topic: &str, message: Message<'_>, report: &mut Report) {
        self.messages += 1;
        let place = || format!("{topic}:{}:{}", message.partition, message.offset);
        let Some((source, sequence)) = head_of(message.value) else {
            return report.differ(|| format!("{}: no packed message", place()));
        };
        let last = self.last.entry(source.clone()).or_insert(0);
        if sequence != *last + 1 {
            report.differ(|| format!("{}: {}:{} goes from {last} to {sequence}", place(), source.0, source.1));
        }
        *last = sequence;
    }
}

/// Source and sequence of a packed message: behind two bytes of version stand topic (with its length), partition and sequence.
fn head_of(message: &[u8]) -> Option<((String, u32), u64)> {
    let mut rest = message.get(2..)?;
    let length = usize::try_from(varint(&mut rest)?).ok()?;
    let (topic, after) = rest.split_at_checked(length)?;
    rest = after;
    let topic = std::str::from_utf8(topic).ok()?.to_owned();
    let partition = u32::try_from(varint(&mut rest)?).ok()?;
    Some(((topic, partition), varint(&mut rest)?))
}
