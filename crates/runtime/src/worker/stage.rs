//! What a worker runs: a stage with the state of its partitions.

use super::counts::{BatchCounts, StageStatus};
use super::log::{Batch, Offset, Outgoing, Partition, Place};
use super::sides::{Beginning, Known, NoTick, Side};
use super::trace::TraceContext;
use pipeline::ControlMismatch;
use rating::Timestamp;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

/// Messages to be sent for one batch, in order.
#[derive(Debug, Default)]
pub struct Output {
    bytes: Vec<u8>,
    messages: Vec<Prepared>,
    /// What the batch did, in numbers.
    pub(crate) counts: BatchCounts,
    /// The message that is being executed, by topic and offset.
    pub(crate) executing: Option<(Partition, Offset)>,
}

#[derive(Debug)]
struct Prepared {
    topic: u16,
    partition: Option<u32>,
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
    headers: Vec<(&'static str, String)>,
}

/// Where a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Place of the topic in the list of the stage's outputs.
    pub topic: u16,
    /// The partition; by a hash of the key where none is given.
    pub partition: Option<u32>,
}

impl Output {
    /// Adds a message whose key and value are written in place.
    pub fn push(&mut self, target: Target, key: Option<&[u8]>, write: impl FnOnce(&mut Vec<u8>)) {
        let key = key.map(|key| self.keep(key));
        let start = self.bytes.len();
        write(&mut self.bytes);
        let value = Some(start..self.bytes.len());
        self.messages.push(Prepared {
            topic: target.topic,
            partition: target.partition,
            key,
            value,
            headers: Vec::new(),
        });
    }

    /// Adds a message that deletes a key.
    pub fn push_deletion(&mut self, target: Target, key: &[u8]) {
        let key = Some(self.keep(key));
        let Target { topic, partition } = target;
        self.messages.push(Prepared { topic, partition, key, value: None, headers: Vec::new() });
    }

    /// Gives the last message a header.
    pub fn add_header(&mut self, name: &'static str, value: String) {
        if let Some(last) = self.messages.last_mut() {
            last.headers.push((name, value));
        }
    }

    /// Gives all messages from the `first` on the headers of a trace context, if there is one.
    pub(crate) fn add_trace(&mut self, first: usize, trace: Option<TraceContext<'_>>) {
        let Some(trace) = trace else { return };
        for message in self.messages.iter_mut().skip(first) {
            message.headers.extend(trace.headers());
        }
    }

    fn keep(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    /// Forgets all messages.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.messages.clear();
        self.counts = BatchCounts::default();
        self.executing = None;
    }

    /// How many messages there are.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// The messages; topics by the stage's list.
    pub fn messages<'o>(&'o self, topics: &'o [String]) -> impl Iterator<Item = Outgoing<'o>> {
        let bytes = |range: &Range<usize>| self.bytes.get(range.clone()).unwrap_or_default();
        self.messages.iter().map(move |message| Outgoing {
            topic: topics.get(usize::from(message.topic)).map_or("", String::as_str),
            partition: message.partition,
            key: message.key.as_ref().map(bytes),
            value: message.value.as_ref().map(bytes),
            headers: &message.headers,
        })
    }
}

/// Why a stage cannot go on.
#[derive(Debug)]
pub enum StageError {
    /// A control total does not balance, or a sequence has a gap: nothing may be committed.
    Control(ControlMismatch),
    /// What a changelog or an internal topic holds is not what this program writes.
    Corrupt(String),
    /// What would have to be written is longer than a message may be.
    TooLong(String),
    /// Something outside, such as a full disk; another attempt may fare better.
    Surroundings(String),
}

impl fmt::Display for StageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StageError::Control(mismatch) => mismatch.fmt(f),
            StageError::Corrupt(what) | StageError::TooLong(what) | StageError::Surroundings(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for StageError {}

impl From<ControlMismatch> for StageError {
    fn from(mismatch: ControlMismatch) -> StageError {
        StageError::Control(mismatch)
    }
}

/// Facts that a batch needs and that cannot be had now; asking again may help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FactsMissing(pub String);

/// One of the stages: synchronous, with state per partition of its input.
///
/// A batch is executed, then either [settled](Stage::settle) or [undone](Stage::undo). Everything that was executed but not settled
/// is undone exactly: what counts is what the changelog says.
pub trait Stage {
    /// Topics read.
    fn inputs(&self) -> &[String];

    /// Topics written.
    fn outputs(&self) -> &[String];

    /// The compacted topic of the state. State of input partition `p` stands in its partition `p`.
    fn changelog(&self) -> &str;

    /// Makes the empty state of a partition, to be restored.
    fn create(&mut self, partition: Partition);

    /// Puts back an entry of the changelog. Entries of other input topics with the same partition number are not this partition's.
    ///
    /// # Errors
    /// Bytes that are no such entry.
    fn restore(&mut self, partition: Partition, key: &[u8], value: Option<&[u8]>) -> Result<(), StageError>;

    /// Everything is put back. Returns the next offset to process, as the state knows it; `None` if it never processed one.
    ///
    /// # Errors
    /// Entries that do not fit together, or state made for another number of partitions.
    fn restored(&mut self, partition: Partition) -> Result<Option<Offset>, StageError>;

    /// Drops the state of a partition, settled or not.
    fn drop_state(&mut self, partition: Partition);

    /// Gets what the batch needs from elsewhere (schemas, directory), before anything is executed.
    ///
    /// # Errors
    /// Not to be had now.
    fn prepare(&mut self, batch: &Batch) -> Result<(), FactsMissing>;

    /// Returns the messages of a batch that need what could not be had when [`Stage::prepare`] failed; all others can be executed without them. `None` if
    /// nothing can.
    fn waiting(&self, _batch: &Batch) -> Option<BTreeSet<Place>> {
        None
    }

    /// Whether there is something to do without a message: then an empty batch is executed and committed where nothing else comes.
    fn has_work(&self) -> bool {
        false
    }

    /// Executes a batch: adds what leaves and what changed (changelog entries, the positions after the batch among them) to `output`.
    ///
    /// # Errors
    /// See [`StageError`]; the worker stops.
    fn execute(&mut self, batch: &Batch, output: &mut Output) -> Result<(), StageError>;

    /// The next offset to process of each partition that the executed batch touched.
    fn positions(&self) -> Vec<(Partition, Offset)>;

    /// The batch is committed.
    fn settle(&mut self);

    /// The batch was not committed: everything as before it.
    fn undo(&mut self);

    /// Its inputs hold ticks alone: those that are gone are not missed, and a topic that was made anew goes on where the old one ended. Later ticks say
    /// all that earlier ones said.
    fn reads_ticks_alone(&self) -> bool {
        false
    }

    /// Topics that it reads beside its inputs.
    fn sides(&self) -> &[Side] {
        &[]
    }

    /// Reads a message of the side of kind [`SideKind::Ticks`](super::SideKind).
    ///
    /// # Errors
    /// It is no tick that counts.
    fn read_tick(&self, _value: &[u8], _appended: Option<Timestamp>) -> Result<Timestamp, NoTick> {
        Err(NoTick::Foreign("this stage has no ticks".to_owned()))
    }

    /// What the state of a partition says of where it came from; asked for once it is restored.
    fn known(&self, _partition: Partition) -> Known {
        Known::default()
    }

    /// Tells where a restored partition begins, before its first batch. It becomes part of the state with the next batch.
    fn begin(&mut self, _partition: Partition, _beginning: &Beginning) {}

    /// What it has, between batches; for people only.
    fn status(&self) -> StageStatus {
        StageStatus::default()
    }
}
