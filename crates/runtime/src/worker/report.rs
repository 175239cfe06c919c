//! What a worker tells while it runs. Whoever listens decides what becomes of it: a log, metrics, a test.

use super::Gap;
use super::counts::{BatchCounts, BatchTimes, StageStatus};
use super::log::{Offset, Partition};
use super::sides::NoTick;

/// What a worker has to tell while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report<'r> {
    /// The group gives these partitions, perhaps none; what they have is restored next.
    Assigned(&'r [Partition]),
    /// The state of a partition is there; so many entries of the changelog were read.
    Restored(Partition, u64),
    /// All that was assigned is restored and read.
    Started {
        /// How many partitions it owns now; 0 where there are more workers than partitions.
        partitions: usize,
        /// What the stage has.
        status: StageStatus,
    },
    /// Partitions are no longer its own.
    Released(&'r [Partition]),
    /// How many messages stand between the position of a partition and its end, as far as the log has told of it.
    Behind(&'r [(Partition, u64)]),
    /// A batch of so many messages is committed, with so many messages out.
    Committed {
        /// Messages of the batch.
        received: usize,
        /// Messages out, changelog included.
        sent: usize,
        /// What happened to what was in them.
        counts: &'r BatchCounts,
        /// Where its time went.
        times: BatchTimes,
        /// What the stage has now.
        status: StageStatus,
    },
    /// A transaction was aborted and is made again.
    Aborted(&'r str),
    /// What became of a transaction is not known; it is looked up while state is restored.
    Uncertain(&'r str),
    /// All state is dropped and restored.
    Restarted(&'r str),
    /// Waits for something outside, and goes on asking.
    Waiting(&'r str),
    /// A message among the ticks beside a partition is none that counts: it is passed over.
    Refused(Partition, &'r NoTick),
    /// A topic that was made anew is read from its beginning, as it was asked for.
    BeganAnew {
        /// The topic.
        topic: &'r str,
        /// The partition.
        partition: Partition,
        /// How far its state was with the topic that had its name before.
        position: Option<Offset>,
        /// Where it begins.
        first: Offset,
    },
    /// Messages that are gone, unread, are given up, as somebody said.
    GaveUp(&'r Gap),
    /// A message is passed over, as somebody said.
    PassedOver {
        /// The topic.
        topic: &'r str,
        /// Its partition.
        partition: u32,
        /// The message's offset.
        offset: Offset,
    },
    /// A control total does not add up; the worker stops.
    Mismatch(&'static str),
    /// It stopped: because it was told to, or for this reason.
    Ended(Option<&'r str>),
}
