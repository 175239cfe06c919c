//! The seam between a worker and the log below it: what a worker needs of partitions, groups and transactions, and how calls may fail.
//!
//! Two logs stand below: Kafka's client (`crate::kafka`), whose futures are always ready because its calls block, and the simulated
//! log of the test kit, whose futures wait for a scheduler. So the same worker runs on one thread of its own, or a call at a time
//! among others under a seed; and it can be killed between any two calls by dropping it.

use super::trace::TraceContext;
use rating::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::time::Duration;

/// Number of a message within its partition.
pub type Offset = i64;

/// A partition of one of the topics that a worker reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition {
    /// Place of the topic in the list of the stage's inputs.
    pub topic: u16,
    /// Number of the partition.
    pub number: u32,
}

/// Id that a log gives a topic when it makes it: a topic of the same name that is made later has another one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicId(pub [u8; 16]);

impl fmt::Display for TopicId {
    /// As Kafka's own tools show it: base64 for addresses, without padding.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let bits = u128::from_be_bytes(self.0);
        // 21 digits of 6 bits, and the last 2 bits.
        let digits = (0..21).map(|at| bits >> (122 - 6 * at)).chain([(bits & 3) << 4]);
        digits.map(|digit| char::from(DIGITS[(digit & 63) as usize])).try_for_each(|digit| write!(f, "{digit}"))
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Messages gathered for one transaction, in the order in which they came; within a partition that is the order of the log. Beside them the ticks
/// that are due once they are processed.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    messages: Vec<Gathered>,
    ticks: Vec<Tick>,
}

/// A tick that is due: it comes after the messages of its partition in the same batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    /// The partition whose clock it moves.
    pub partition: Partition,
    /// The topic of ticks, by its place in the list of the stage's sides.
    pub side: u16,
    /// Its offset there; ticks before it are done with, too.
    pub offset: Offset,
    /// It is at least this late.
    pub instant: Timestamp,
}

#[derive(Debug)]
struct Gathered {
    partition: Partition,
    side: Option<u16>,
    offset: Offset,
    key: Option<Range<usize>>,
    value: Range<usize>,
    /// Bytes of its trace context, which stand behind the value; mostly none.
    trace_bytes: u16,
}

/// One message of a [`Batch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incoming<'b> {
    /// Where it came from, or beside which it stands.
    pub partition: Partition,
    /// The topic that it came from, by its place in the list of the stage's sides; `None` is the partition itself.
    pub side: Option<u16>,
    /// Its number where it came from.
    pub offset: Offset,
    /// Its key, if it has one.
    pub key: Option<&'b [u8]>,
    /// Its bytes; empty for a message without a value.
    pub value: &'b [u8],
    /// Its trace context, if it has one that is well formed.
    pub trace: Option<TraceContext<'b>>,
}

/// What tells a message from all others of a batch: its partition, the topic beside that if it came from there, and its offset.
pub type Place = (Partition, Option<u16>, Offset);

impl Incoming<'_> {
    /// Its place.
    pub fn place(&self) -> Place {
        (self.partition, self.side, self.offset)
    }
}

impl Batch {
    /// Adds a message.
    pub fn push(&mut self, message: Incoming<'_>) {
        let mut keep = |part: &[u8]| {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(part);
            start..self.bytes.len()
        };
        let (key, value) = (message.key.map(&mut keep), keep(message.value));
        let trace = message.trace.map(|trace| keep(trace.as_bytes()));
        // A context is far shorter.
        let trace_bytes = u16::try_from(trace.map_or(0, |trace| trace.len())).unwrap_or(0);
        let Incoming { partition, side, offset, .. } = message;
        self.messages.push(Gathered { partition, side, offset, key, value, trace_bytes });
    }

    /// Adds a tick.
    pub fn push_tick(&mut self, tick: Tick) {
        self.ticks.push(tick);
    }

    /// The ticks, each of which comes after the messages of its partition.
    pub fn ticks(&self) -> impl Iterator<Item = Tick> {
        self.ticks.iter().copied()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.messages.clear();
        self.ticks.clear();
    }

    /// Forgets the messages for which `is_wanted` is not true.
    pub fn retain(&mut self, mut is_wanted: impl FnMut(Partition, Option<u16>, Offset) -> bool) {
        self.messages.retain(|message| is_wanted(message.partition, message.side, message.offset));
    }

    /// Forgets the messages and ticks of some partitions.
    pub fn remove(&mut self, partitions: &[Partition]) {
        self.messages.retain(|message| !partitions.contains(&message.partition));
        self.ticks.retain(|tick| !partitions.contains(&tick.partition));
    }

    /// Adds the messages and ticks of another batch behind its own.
    pub fn append(&mut self, other: &Batch) {
        other.messages().for_each(|message| self.push(message));
        self.ticks.extend_from_slice(&other.ticks);
    }

    /// Takes out these messages and whatever stands behind them in their partitions. Ticks that come after them are forgotten: they are due again when
    /// nothing is left before them.
    pub fn cut(&mut self, from: &BTreeSet<Place>) -> Batch {
        let mut behind = Batch::default();
        let mut cut: BTreeSet<Partition> = BTreeSet::new();
        let mut stays = Vec::with_capacity(self.messages.len());
        for message in self.messages() {
            let is_cut = cut.contains(&message.partition) || from.contains(&message.place());
            if is_cut {
                cut.insert(message.partition);
                behind.push(message);
            }
            stays.push(!is_cut);
        }
        let mut stays = stays.into_iter();
        self.messages.retain(|_| stays.next().unwrap_or(true));
        self.ticks.retain(|tick| !cut.contains(&tick.partition));
        behind
    }

    /// Forgets the ticks: they are due again.
    pub fn forget_ticks(&mut self) {
        self.ticks.clear();
    }

    /// Messages in it.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether there is nothing to do: no message and no tick.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.ticks.is_empty()
    }

    /// Bytes of all keys, values and trace contexts.
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    fn trace_of(&self, message: &Gathered) -> Option<TraceContext<'_>> {
        let start = message.value.end;
        match usize::from(message.trace_bytes) {
            0 => None,
            length => TraceContext::from_bytes(self.bytes.get(start..start + length)?),
        }
    }

    /// The messages.
    pub fn messages(&self) -> impl Iterator<Item = Incoming<'_>> {
        self.messages.iter().map(|message| Incoming {
            partition: message.partition,
            side: message.side,
            offset: message.offset,
            key: message.key.clone().map(|key| self.bytes.get(key).unwrap_or_default()),
            value: self.bytes.get(message.value.clone()).unwrap_or_default(),
            trace: self.trace_of(message),
        })
    }
}

/// When a batch is full.
#[derive(Clone, Copy, Debug)]
pub struct GatherLimits {
    /// This many messages.
    pub messages: usize,
    /// This many bytes of keys and values.
    pub bytes: usize,
    /// This long after the first message, or after the call if none comes.
    pub wait: Duration,
}

/// Why a consumer stopped gathering.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A limit is reached; the batch may still be empty.
    Gathered,
    /// The group takes these away. The worker drops their state and its batch, then calls [`Consumer::release`].
    Revoked(Vec<Partition>),
    /// The group has given them to others already: as revoked, but nothing can be saved anyway.
    Lost(Vec<Partition>),
    /// The group gives these. The worker restores their state, then calls [`Consumer::start`].
    Assigned(Vec<Partition>),
}

/// What the group knows of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The next offset to process.
    pub position: Offset,
    /// What its owner wrote beside it: the owner's transactional id.
    pub owner: String,
}

/// A message to be sent inside a transaction.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'m> {
    /// The topic.
    pub topic: &'m str,
    /// The partition; by a hash of the key where none is given.
    pub partition: Option<u32>,
    /// The key.
    pub key: Option<&'m [u8]>,
    /// The bytes; `None` deletes the key from a compacted topic.
    pub value: Option<&'m [u8]>,
    /// Headers.
    pub headers: &'m [(&'static str, String)],
}

/// A call outside a transaction that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogError {
    /// It may succeed later: broker away, time-out.
    Unavailable(String),
    /// There is no such topic or partition. It mostly stays so; but a broker that has just started, or has just gone on, does not know its own for a
    /// moment.
    Missing(String),
    /// It will not succeed by itself: credentials are refused, offsets are out of range.
    Refused(String),
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogError::Unavailable(what) | LogError::Missing(what) | LogError::Refused(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for LogError {}

/// A call inside a transaction that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransactionError {
    /// Nothing happened; the same call may be made again.
    Retriable(String),
    /// The transaction has to be aborted: its effects will not be seen.
    Abortable(String),
    /// What became of the transaction is not known, or another producer of the same id has taken over. The producer must not be used
    /// again: a late answer of the broker could hit its next transaction.
    Uncertain(String),
}

impl fmt::Display for TransactionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TransactionError::Retriable(what)
            | TransactionError::Abortable(what)
            | TransactionError::Uncertain(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for TransactionError {}

/// Takes an offset, a key and a value; no value means that the key is deleted.
pub type Visit<'v> = dyn FnMut(Offset, &[u8], Option<&[u8]>) + 'v;

/// A partitioned log with groups and transactions.
pub trait Log {
    /// Its consumers.
    type Consumer: Consumer;
    /// Its producers.
    type Producer: Producer<Group = <Self::Consumer as Consumer>::Group>;
    /// Its readers.
    type Reader: Reader;

    /// A consumer that joins a group, reads committed messages only and takes over nothing by itself.
    fn consumer(&self, group: &str, topics: &[String]) -> impl Future<Output = Result<Self::Consumer, LogError>>;

    /// A reader of single partitions, which belongs to no group.
    fn reader(&self) -> impl Future<Output = Result<Self::Reader, LogError>>;

    /// A producer of this transactional id: earlier ones of the id are fenced, what they left open is aborted.
    fn producer(&self, transactional_id: &str) -> impl Future<Output = Result<Self::Producer, LogError>>;

    /// Aborts what a producer of this id left open, which somebody else waits for.
    fn fence(&self, transactional_id: &str) -> impl Future<Output = Result<(), LogError>>;

    /// The ids that topics have now; `None` where the log gives them none. Each topic is there.
    fn topic_ids(&self, topics: &[String]) -> impl Future<Output = Result<Vec<Option<TopicId>>, LogError>>;

    /// How many partitions a topic has.
    fn partitions(&self, topic: &str) -> impl Future<Output = Result<u32, LogError>>;

    /// The oldest offset that is still there.
    fn first_offset(&self, topic: &str, partition: u32) -> impl Future<Output = Result<Offset, LogError>>;

    /// The end of a partition **with** what is not committed: whatever was committed before the call stands below it.
    fn uncommitted_end(&self, topic: &str, partition: u32) -> impl Future<Output = Result<Offset, LogError>>;

    /// The same of several partitions at once.
    fn uncommitted_ends(&self, places: &[(String, u32)]) -> impl Future<Output = Result<Vec<Offset>, LogError>> {
        async move {
            let mut ends = Vec::with_capacity(places.len());
            for (topic, partition) in places {
                ends.push(self.uncommitted_end(topic, *partition).await?);
            }
            Ok(ends)
        }
    }

    /// Visits the committed messages of a partition from its beginning up to an offset. Waits for transactions that are open
    /// below it.
    fn read_committed(
        &self,
        topic: &str,
        partition: u32,
        end: Offset,
        visit: &mut Visit<'_>,
    ) -> impl Future<Output = Result<(), LogError>>;

    /// Waits.
    fn pause(&self, duration: Duration) -> impl Future<Output = ()>;
}

/// A member of a group.
pub trait Consumer {
    /// What a transaction needs to know of the member, so that one who has been replaced cannot commit.
    type Group;

    /// Adds messages to a batch until a limit is reached or the group has news. A limit of no messages asks for news only. Never called
    /// inside a transaction.
    fn gather(&mut self, batch: &mut Batch, limits: &GatherLimits) -> impl Future<Output = Result<Event, LogError>>;

    /// What the group has committed for partitions, once no transaction over them is open. `None` where nothing was ever committed.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] while a transaction stays open for longer than a second.
    fn committed(&mut self, partitions: &[Partition])
    -> impl Future<Output = Result<Vec<Option<Committed>>, LogError>>;

    /// The same without waiting for open transactions: only to learn who may have left one open.
    fn owners(&mut self, partitions: &[Partition]) -> impl Future<Output = Result<Vec<String>, LogError>>;

    /// Answers an assignment: reads these partitions from these offsets on.
    fn start(&mut self, positions: &[(Partition, Offset)]) -> impl Future<Output = Result<(), LogError>>;

    /// Answers a revocation.
    fn release(&mut self, partitions: &[Partition]) -> impl Future<Output = Result<(), LogError>>;

    /// Goes back, or on, to an offset of a partition; does nothing where the partition has been taken away meanwhile.
    fn seek(&mut self, partition: Partition, offset: Offset) -> impl Future<Output = Result<(), LogError>>;

    /// Reads nothing until [`Consumer::go_on`]; [`Consumer::gather`] still tells the group's news.
    fn hold(&mut self) -> impl Future<Output = Result<(), LogError>>;

    /// Ends [`Consumer::hold`].
    fn go_on(&mut self) -> impl Future<Output = Result<(), LogError>>;

    /// Reads nothing of these partitions until it is called again without them, and goes on with all others that were held in this way.
    fn hold_only(&mut self, partitions: &[Partition]) -> impl Future<Output = Result<(), LogError>>;

    /// Up to which offset everything that can be read of each started partition was handed over by [`Consumer::gather`]: messages, what was aborted,
    /// and the markers of transactions that nobody is ever shown. So it reaches the end of the partition once nothing is left to be read.
    fn handed_over(&mut self) -> Result<BTreeMap<Partition, Offset>, LogError>;

    /// The member as of now.
    fn group(&self) -> Self::Group;

    /// The ends of partitions up to which committed messages can be read, where the log has told of them since the last call. Nothing is
    /// asked for; a log that never tells of them is one whose workers do not know how far behind they are.
    fn new_ends(&mut self) -> Vec<(Partition, Offset)> {
        Vec::new()
    }
}

/// A partition that a [`Reader`] reads, and from where on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadFrom {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The first offset that is wanted.
    pub offset: Offset,
}

/// A message as a [`Reader`] hands it over.
#[derive(Clone, Copy, Debug)]
pub struct Aside<'m> {
    /// Its partition, by its place in the list that was assigned.
    pub place: usize,
    /// Its number there.
    pub offset: Offset,
    /// Its key, if it has one.
    pub key: Option<&'m [u8]>,
    /// Its bytes; empty for a message without a value.
    pub value: &'m [u8],
    /// When the log appended it; `None` where the log keeps the time that the writer says.
    pub appended: Option<Timestamp>,
    /// Its trace context, if it has one that is well formed.
    pub trace: Option<TraceContext<'m>>,
}

/// Reads committed messages of single partitions for one worker.
pub trait Reader {
    /// Reads these partitions from now on, and no others.
    fn assign(&mut self, places: &[ReadFrom]) -> impl Future<Output = Result<(), LogError>>;

    /// Visits messages that have come, so many at most; does not wait for any.
    fn take(&mut self, most: usize, visit: &mut dyn FnMut(Aside<'_>)) -> impl Future<Output = Result<(), LogError>>;

    /// As [`Consumer::handed_over`], for each place in the order of the list that was assigned.
    fn handed_over(&mut self) -> Result<Vec<Offset>, LogError>;
}

/// A producer of one transactional id.
pub trait Producer {
    /// See [`Consumer::Group`].
    type Group;

    /// Begins a transaction.
    fn begin(&mut self) -> impl Future<Output = Result<(), TransactionError>>;

    /// Hands a message to the client; that it was taken does not mean that it arrived.
    fn send(&mut self, message: Outgoing<'_>) -> impl Future<Output = Result<(), TransactionError>>;

    /// Makes the positions part of the transaction, by topic name, with the owner's name beside each.
    fn send_offsets(
        &mut self,
        positions: &[(Partition, Offset)],
        owner: &str,
        group: &Self::Group,
    ) -> impl Future<Output = Result<(), TransactionError>>;

    /// Commits: afterwards everything is there.
    fn commit(&mut self) -> impl Future<Output = Result<(), TransactionError>>;

    /// Waits until the broker has told the fate of one message: an abort before that can be fatal to the client.
    fn first_delivery(&mut self) -> impl Future<Output = ()>;

    /// Aborts: nothing will be seen.
    fn abort(&mut self) -> impl Future<Output = Result<(), TransactionError>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_shown_as_kafka_shows_them() {
        let shown = |bits: u128| TopicId(bits.to_be_bytes()).to_string();
        assert_eq!(shown(0), "AAAAAAAAAAAAAAAAAAAAAA");
        // Kafka's own topic of metadata.
        assert_eq!(shown(1), "AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!(shown(u128::MAX), "_____________________w");
    }

    #[test]
    fn a_batch_of_ticks_alone_is_something_to_do() {
        let partition = |number| Partition { topic: 0, number };
        let mut batch = Batch::default();
        assert!(batch.is_empty());
        batch.push_tick(Tick { partition: partition(1), side: 0, offset: 7, instant: Timestamp::EPOCH });
        assert!(!batch.is_empty() && batch.messages().count() == 0);
        batch.remove(&[partition(2)]);
        assert_eq!(batch.ticks().count(), 1);
        batch.remove(&[partition(1)]);
        assert!(batch.is_empty());
    }
}
