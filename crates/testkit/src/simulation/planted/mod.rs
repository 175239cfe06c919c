//! Errors planted while the simulation runs: by the seam below the worker (here), or between the worker and its stage (`stage`). What runs there is the
//! product as it is; errors of its own are patches in `tests/planted-errors/simulation`.

mod stage;

pub(super) use stage::PlantedStage;

use super::consumer::{SimulatedConsumer, SimulatedGroup};
use super::log::SimulatedLog;
use super::partition::{Ending, Isolation, Message};
use super::producer::SimulatedProducer;
use super::reader::SimulatedReader;
use super::transactions::Answer;
use super::world::{MS, Place, sleep};
use runtime::worker::log::{
    Batch, Committed, Consumer, Event, GatherLimits, Incoming, Log, LogError, Offset, Outgoing, Partition, Producer,
    TopicId, TransactionError, Visit,
};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// What is done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// Nothing.
    None,
    /// Positions are read while a transaction is open over them.
    UnstableOffsetFetch,
    /// The end of the changelog is read before the positions.
    WatermarkBeforeOffsets,
    /// State is restored up to the last stable offset.
    RestoreToStable,
    /// State is restored from what is not committed, too.
    RestoreUncommitted,
    /// After a commit of unknown fate the producer is used again, as if it had been aborted.
    BeginAfterUncertain,
    /// A commit that is not answered is made again, and the first copy comes late.
    DelayedEnd,
    /// The member as it once was, for all transactions.
    StaleGroup,
    /// The last offset is committed, not the next.
    LastOffset,
    /// What the consumer has read is committed, not what was processed.
    ConsumerPosition,
    /// What the consumer has handed out is committed, though some of it may be deferred.
    HandedOutPosition,
    /// After an abort the consumer does not go back.
    NoSeek,
    /// What an aborted batch did to the state is not undone.
    NoUndo,
    /// State and batch are kept when partitions are revoked.
    StateKeptAfterRevoke,
    /// The same when they are lost.
    StateKeptAfterLoss,
    /// Only the batch is kept when partitions are revoked.
    BufferKeptAfterRevoke,
    /// The same when they are lost.
    BufferKeptAfterLoss,
    /// What was delivered is taken for committed.
    DeliveryForCommit,
    /// State is written outside of the transaction.
    ChangelogOutside,
    /// State is written to the next partition.
    ChangelogWrongPartition,
    /// Forgotten positions start at the beginning.
    EarliestAfterExpiry,
    /// A tick is taken as soon as it is read, whatever stands in the partition.
    TickAtOnce,
    /// A tick waits for an end that was asked for before it was read.
    TickBehindStaleEnd,
    /// A tick waits for what was fetched, not for what was handed over.
    TickBehindFetched,
    /// The places beside the inputs are not part of the state.
    SidePlaceForgotten,
    /// The places beside the inputs are behind what is read next.
    SidePlaceAhead,
}

impl Bug {
    /// All that are one.
    pub const ALL: [Bug; 25] = [
        Bug::UnstableOffsetFetch,
        Bug::WatermarkBeforeOffsets,
        Bug::RestoreToStable,
        Bug::RestoreUncommitted,
        Bug::BeginAfterUncertain,
        Bug::DelayedEnd,
        Bug::StaleGroup,
        Bug::LastOffset,
        Bug::ConsumerPosition,
        Bug::HandedOutPosition,
        Bug::NoSeek,
        Bug::NoUndo,
        Bug::StateKeptAfterRevoke,
        Bug::StateKeptAfterLoss,
        Bug::BufferKeptAfterRevoke,
        Bug::BufferKeptAfterLoss,
        Bug::DeliveryForCommit,
        Bug::ChangelogOutside,
        Bug::ChangelogWrongPartition,
        Bug::EarliestAfterExpiry,
        Bug::TickAtOnce,
        Bug::TickBehindStaleEnd,
        Bug::TickBehindFetched,
        Bug::SidePlaceForgotten,
        Bug::SidePlaceAhead,
    ];
}

/// A log with an error planted into it.
#[derive(Clone)]
pub struct Planted {
    pub(super) log: SimulatedLog,
    pub(super) bug: Bug,
    /// The changelog of the stage that runs above.
    pub(super) changelog: String,
    ends: Rc<RefCell<BTreeMap<u32, Offset>>>,
    /// Ends as they were when they were last asked for.
    stale: Rc<RefCell<BTreeMap<(String, u32), Offset>>>,
}

impl Planted {
    pub(super) fn new(log: SimulatedLog, bug: Bug, changelog: &str) -> Planted {
        Planted { log, bug, changelog: changelog.to_owned(), ends: Rc::default(), stale: Rc::default() }
    }
}

impl Log for Planted {
    type Consumer = PlantedConsumer;
    type Producer = PlantedProducer;
    type Reader = SimulatedReader;

    async fn consumer(&self, group: &str, topics: &[String]) -> Result<PlantedConsumer, LogError> {
        let inner = self.log.consumer(group, topics).await?;
        Ok(PlantedConsumer {
            planted: self.clone(),
            inner,
            first_group: RefCell::new(None),
            forgotten: Vec::new(),
            gathered: Vec::new(),
            kept: Vec::new(),
        })
    }

    async fn reader(&self) -> Result<SimulatedReader, LogError> {
        self.log.reader().await
    }

    async fn topic_ids(&self, topics: &[String]) -> Result<Vec<Option<TopicId>>, LogError> {
        self.log.topic_ids(topics).await
    }

    async fn uncommitted_ends(&self, places: &[(String, u32)]) -> Result<Vec<Offset>, LogError> {
        let ends = self.log.uncommitted_ends(places).await?;
        let mut stale = self.stale.borrow_mut();
        let before = places.iter().zip(&ends).map(|(place, end)| stale.insert(place.clone(), *end).unwrap_or(0));
        let before: Vec<Offset> = before.collect();
        match self.bug {
            Bug::TickAtOnce => Ok(vec![0; places.len()]),
            Bug::TickBehindStaleEnd => Ok(before),
            _ => Ok(ends),
        }
    }

    async fn producer(&self, transactional_id: &str) -> Result<PlantedProducer, LogError> {
        Ok(PlantedProducer { planted: self.clone(), inner: self.log.producer(transactional_id).await? })
    }

    async fn fence(&self, transactional_id: &str) -> Result<(), LogError> {
        self.log.fence(transactional_id).await
    }

    async fn partitions(&self, topic: &str) -> Result<u32, LogError> {
        self.log.partitions(topic).await
    }

    async fn first_offset(&self, topic: &str, partition: u32) -> Result<Offset, LogError> {
        self.log.first_offset(topic, partition).await
    }

    async fn uncommitted_end(&self, topic: &str, partition: u32) -> Result<Offset, LogError> {
        let before = self.ends.borrow().get(&partition).copied();
        match (self.bug, before) {
            (Bug::RestoreToStable, _) => self.log.end(topic, partition, Isolation::Committed).await,
            (Bug::WatermarkBeforeOffsets, Some(before)) => Ok(before),
            _ => self.log.uncommitted_end(topic, partition).await,
        }
    }

    async fn read_committed(
        &self,
        topic: &str,
        partition: u32,
        end: Offset,
        visit: &mut Visit<'_>,
    ) -> Result<(), LogError> {
        let isolation = if self.bug == Bug::RestoreUncommitted { Isolation::Uncommitted } else { Isolation::Committed };
        self.log.read(topic, partition, end, isolation, visit).await
    }

    async fn pause(&self, duration: Duration) {
        self.log.pause(duration).await;
    }
}

/// See [`Planted`].
pub struct PlantedConsumer {
    planted: Planted,
    inner: SimulatedConsumer,
    first_group: RefCell<Option<SimulatedGroup>>,
    /// Partitions without positions.
    forgotten: Vec<Partition>,
    /// What the batch has, and what of it the worker has dropped.
    gathered: Vec<Copied>,
    kept: Vec<Copied>,
}

#[derive(Clone)]
struct Copied {
    partition: Partition,
    offset: Offset,
    value: Vec<u8>,
}

impl PlantedConsumer {
    fn keep(&mut self, partitions: &[Partition]) {
        let (kept, left) = self.gathered.drain(..).partition(|copy: &Copied| partitions.contains(&copy.partition));
        self.kept = kept;
        self.gathered = left;
    }
}

impl Consumer for PlantedConsumer {
    type Group = SimulatedGroup;

    async fn gather(&mut self, batch: &mut Batch, limits: &GatherLimits) -> Result<Event, LogError> {
        for copy in std::mem::take(&mut self.kept) {
            let Copied { partition, offset, ref value } = copy;
            batch.push(Incoming { partition, side: None, offset, key: None, value, trace: None });
        }
        loop {
            let event = self.inner.gather(batch, limits).await?;
            let each = batch.messages().map(|at| Copied {
                partition: at.partition,
                offset: at.offset,
                value: at.value.to_vec(),
            });
            if matches!(self.planted.bug, Bug::BufferKeptAfterRevoke | Bug::BufferKeptAfterLoss) {
                self.gathered = each.collect();
            }
            match (self.planted.bug, &event) {
                // The worker is not told.
                (Bug::StateKeptAfterRevoke, Event::Revoked(partitions))
                | (Bug::StateKeptAfterLoss, Event::Lost(partitions)) => self.inner.release(partitions).await?,
                (Bug::BufferKeptAfterRevoke, Event::Revoked(partitions))
                | (Bug::BufferKeptAfterLoss, Event::Lost(partitions)) => {
                    self.keep(partitions);
                    return Ok(event);
                }
                _ => return Ok(event),
            }
        }
    }

    async fn committed(&mut self, partitions: &[Partition]) -> Result<Vec<Option<Committed>>, LogError> {
        if self.planted.bug == Bug::WatermarkBeforeOffsets {
            for partition in partitions {
                let end = self.planted.log.uncommitted_end(&self.planted.changelog, partition.number).await?;
                self.planted.ends.borrow_mut().insert(partition.number, end);
            }
        }
        let told = if self.planted.bug == Bug::UnstableOffsetFetch {
            self.inner.unstable(partitions).await?
        } else {
            self.inner.committed(partitions).await?
        };
        let forgotten = partitions.iter().zip(&told).filter(|(_, told)| told.is_none());
        self.forgotten = forgotten.map(|(partition, _)| *partition).collect();
        Ok(told)
    }

    async fn owners(&mut self, partitions: &[Partition]) -> Result<Vec<String>, LogError> {
        self.inner.owners(partitions).await
    }

    async fn start(&mut self, positions: &[(Partition, Offset)]) -> Result<(), LogError> {
        let mut positions = positions.to_vec();
        if self.planted.bug == Bug::EarliestAfterExpiry {
            let forgotten = positions.iter_mut().filter(|(partition, _)| self.forgotten.contains(partition));
            forgotten.for_each(|(_, position)| *position = 0);
        }
        self.inner.start(&positions).await
    }

    async fn release(&mut self, partitions: &[Partition]) -> Result<(), LogError> {
        self.inner.release(partitions).await
    }

    async fn seek(&mut self, partition: Partition, offset: Offset) -> Result<(), LogError> {
        if self.planted.bug == Bug::NoSeek { Ok(()) } else { self.inner.seek(partition, offset).await }
    }

    async fn hold(&mut self) -> Result<(), LogError> {
        self.inner.hold().await
    }

    async fn go_on(&mut self) -> Result<(), LogError> {
        self.inner.go_on().await
    }

    async fn hold_only(&mut self, partitions: &[Partition]) -> Result<(), LogError> {
        self.inner.hold_only(partitions).await
    }

    fn handed_over(&mut self) -> Result<BTreeMap<Partition, Offset>, LogError> {
        match self.planted.bug {
            Bug::TickBehindFetched => Ok(self.inner.fetched()),
            _ => self.inner.handed_over(),
        }
    }

    fn group(&self) -> SimulatedGroup {
        let group = self.inner.group();
        if self.planted.bug == Bug::StaleGroup {
            self.first_group.borrow_mut().get_or_insert(group).clone()
        } else {
            group
        }
    }
}

/// See [`Planted`].
pub struct PlantedProducer {
    planted: Planted,
    inner: SimulatedProducer,
}

impl Producer for PlantedProducer {
    type Group = SimulatedGroup;

    async fn begin(&mut self) -> Result<(), TransactionError> {
        self.inner.begin().await
    }

    async fn send(&mut self, message: Outgoing<'_>) -> Result<(), TransactionError> {
        let is_changelog = message.topic == self.planted.changelog;
        let mut message = message;
        match self.planted.bug {
            Bug::ChangelogOutside if is_changelog => {
                let mut world = self.planted.log.shared.borrow_mut();
                let topic = world.topics.iter().position(|topic| topic.name == message.topic);
                let place = topic.zip(message.partition).map(|(topic, number)| Place { topic, number });
                if let Some(place) = place {
                    let (key, value) = (message.key.map(<[u8]>::to_vec), message.value.map(<[u8]>::to_vec));
                    world.append_plain(place, Message { key, value });
                }
                return Ok(());
            }
            Bug::ChangelogWrongPartition if is_changelog => {
                let partitions = self.planted.log.partitions(message.topic).await.unwrap_or(1);
                message.partition = message.partition.map(|partition| (partition + 1) % partitions);
            }
            _ => {}
        }
        self.inner.send(message).await
    }

    async fn send_offsets(
        &mut self,
        positions: &[(Partition, Offset)],
        owner: &str,
        group: &SimulatedGroup,
    ) -> Result<(), TransactionError> {
        let mut positions = positions.to_vec();
        for (partition, position) in &mut positions {
            match self.planted.bug {
                Bug::LastOffset => *position -= 1,
                Bug::HandedOutPosition => *position = group.positions.get(partition).map_or(*position, |at| at.0),
                Bug::ConsumerPosition => *position = group.positions.get(partition).map_or(*position, |at| at.1),
                _ => {}
            }
        }
        self.inner.send_offsets(&positions, owner, group).await
    }

    async fn commit(&mut self) -> Result<(), TransactionError> {
        let told = self.inner.commit().await;
        match (self.planted.bug, told) {
            (Bug::BeginAfterUncertain, Err(TransactionError::Uncertain(what))) => {
                Err(TransactionError::Abortable(what))
            }
            (Bug::DeliveryForCommit, Err(_)) => Ok(()),
            (Bug::DelayedEnd, Err(TransactionError::Uncertain(what))) => loop {
                match self.inner.end(Ending::Commit).await {
                    Some(Answer::Done) => return Ok(()),
                    Some(Answer::Concurrent) | None => sleep(&self.planted.log.shared, 20 * MS).await,
                    Some(Answer::Fenced | Answer::InvalidState) => return Err(TransactionError::Uncertain(what)),
                }
            },
            (_, told) => told,
        }
    }

    async fn first_delivery(&mut self) {
        self.inner.first_delivery().await;
    }

    async fn abort(&mut self) -> Result<(), TransactionError> {
        match (self.planted.bug, self.inner.abort().await) {
            (Bug::BeginAfterUncertain, Err(_)) => Ok(()),
            (_, told) => told,
        }
    }
}
