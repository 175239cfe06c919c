//! The worker: gathers a batch, has its stage execute it, and commits outputs, state and input positions in one transaction.
//!
//! One worker is one thread that owns a consumer, a transactional producer and the state of the partitions that the group gave it.
//!
//! | invariant | because |
//! | --- | --- |
//! | the group is never asked for news inside a transaction | a partition taken away would leave a half made batch |
//! | the position of the input is part of the state; the group's copy must be the same | the group's copy expires, and is what fences |
//! | after a commit whose fate is not known the producer and all state are dropped | a late answer could hit the next transaction |
//! | a partition starts from what is committed in its changelog, read up to its uncommitted end as of after the position was read | so nothing that was committed before is missed |
//! | nothing is kept after an abort: the stage undoes, the consumer goes back | delivered is not committed |
//! | what waits for facts holds its partition, and no other one (`deferred`) | the order within a partition stays |
//!
//! What a message means is the [`Stage`]'s business; where it comes from is the [`log`]'s.

pub mod counts;
mod deferred;
mod gaps;
pub mod log;
mod report;
mod restore;
mod sides;
mod stage;
pub mod trace;
mod transact;

pub use report::Report;
pub use sides::{Beginning, Known, NoTick, Side, SideKind, SidePlace};
pub use stage::{FactsMissing, Output, Stage, StageError, Target};

use counts::BatchTimes;
use deferred::Deferred;
use log::{Batch, Consumer, Event, GatherLimits, Log, LogError, Offset, Partition, TopicId};
use rating::Timestamp;
use sides::Sides;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tracing::Instrument;
use transact::Fate;

/// Pause before the same call is made again, and before a new session.
pub(crate) const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// How a worker runs.
#[derive(Clone, Debug)]
pub struct WorkerSettings {
    /// The group it joins.
    pub group: String,
    /// Its transactional id: no other worker that lives has it.
    pub transactional_id: String,
    /// When a batch is full.
    pub limits: GatherLimits,
    /// For how many attempts, 50 ms to a second apart, what is unavailable is asked for again before the worker stops.
    pub attempts: u32,
    /// What happens where the group has forgotten a position that the state knows.
    pub forgotten_positions: ForgottenPositions,
    /// Topics that may be others than those that the state was made from.
    pub topics_made_anew: Vec<NewTopic>,
    /// What is given up because somebody said so.
    pub given_up: GivenUp,
}

impl WorkerSettings {
    /// What the offsets of a topic are, where it may be another than the state was made from.
    fn offsets_of_new(&self, topic: &str) -> Option<NewOffsets> {
        self.topics_made_anew.iter().find(|known| known.name == topic).map(|known| known.offsets)
    }
}

/// What is given up because somebody said so, each time it is met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GivenUp {
    /// Topics whose messages may be gone, unread.
    pub gaps: Vec<String>,
    /// Messages that nobody can read, by topic, partition and offset.
    pub messages: Vec<(String, u32, Offset)>,
}

impl GivenUp {
    fn has_message(&self, topic: &str, partition: u32, offset: Offset) -> bool {
        self.messages.iter().any(|(name, number, at)| name == topic && (*number, *at) == (partition, offset))
    }
}

/// A topic that was made anew under its old name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// The name.
    pub name: String,
    /// How its offsets are counted.
    pub offsets: NewOffsets,
}

/// How the offsets of a topic that was made anew are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewOffsets {
    /// From its own beginning: it is read from there.
    Anew,
    /// A mirror has given each message the offset that it had: positions stay what they are.
    Mirrored,
}

/// Groups forget positions after days without a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForgottenPositions {
    /// Stop and say so.
    Stop,
    /// Go on from the position in the state, which is what was processed.
    FromState,
}

/// Why a worker stopped by itself.
#[derive(Debug)]
pub enum WorkerError {
    /// The stage.
    Stage(StageError),
    /// The group's position and the state's differ.
    Position {
        /// The topic.
        topic: String,
        /// Its partition.
        partition: u32,
        /// What the group has.
        group: Option<Offset>,
        /// What the state has.
        state: Option<Offset>,
    },
    /// A topic is not the one that the state was made from, but has its name.
    MadeAnew {
        /// The topic.
        topic: String,
        /// Its partition.
        partition: u32,
        /// The id that the state has.
        known: Option<TopicId>,
        /// The id of the topic that is there now.
        now: Option<TopicId>,
    },
    /// Messages are gone that were not processed.
    Gap(Gap),
    /// A message that is not what this program writes.
    Foreign {
        /// The topic.
        topic: String,
        /// Its partition.
        partition: u32,
        /// The message's offset.
        offset: Offset,
        /// What is wrong with it.
        why: String,
    },
    /// Something outside, after all attempts.
    Surroundings(LogError),
}

/// Messages that are gone, mostly by retention, before they were processed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The topic.
    pub topic: String,
    /// Its partition.
    pub partition: u32,
    /// The first that is gone.
    pub from: Offset,
    /// The first that is there.
    pub to: Offset,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Gap { topic, partition, from, to } = self;
        write!(f, "topic {topic} partition {partition}: offsets {from} to {} are gone, unread", to - 1)
    }
}

impl fmt::Display for WorkerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |position: &Option<Offset>| position.map_or("none".to_owned(), |position| position.to_string());
        match self {
            WorkerError::Stage(error) => error.fmt(f),
            WorkerError::Position { topic, partition, group, state } => write!(
                f,
                "topic {topic} partition {partition}: the group's position is {}, the state's is {}",
                shown(group),
                shown(state)
            ),
            WorkerError::MadeAnew { topic, partition, known, now } => {
                let shown = |id: &Option<TopicId>| id.map_or("none".to_owned(), |id| id.to_string());
                write!(
                    f,
                    "topic {topic} partition {partition} was made anew: the state was made from the topic with id {}, the one that is there now has \
                     id {}. Nothing of it was processed. If the old messages are done with or given up, start once with --topic-made-anew {topic}: \
                     the new topic is read from its beginning",
                    shown(known),
                    shown(now)
                )
            }
            WorkerError::Gap(gap) => write!(
                f,
                "{gap}: they were deleted before they were processed (a transaction's marker takes an offset, too). Nothing was passed over. If they are \
                 written again elsewhere or given up, start once with --skip-gap {}",
                gap.topic
            ),
            WorkerError::Foreign { topic, partition, offset, why } => write!(
                f,
                "topic {topic} partition {partition} offset {offset}: {why}. Nothing was passed over. If somebody else wrote the message and nobody needs \
                 it, start with --skip-message {topic}:{partition}:{offset}"
            ),
            WorkerError::Surroundings(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for WorkerError {}

/// How long messages are waited for while there is work to do without them.
pub(crate) const WORK_PAUSE: Duration = Duration::from_millis(1);

/// Attempts, a second apart at most, for which a topic or partition may be missing before a worker stops: about half a minute. A broker that
/// goes on after it stood still may not know its own topics for a moment.
pub(crate) const MISSING_ATTEMPTS: u32 = 40;

/// Why a session with the log ended.
enum End {
    /// Everything is dropped and begun again.
    Again(LogError),
    /// The worker stops.
    Stop(WorkerError),
}

impl From<LogError> for End {
    fn from(error: LogError) -> End {
        match error {
            LogError::Unavailable(_) | LogError::Missing(_) => End::Again(error),
            LogError::Refused(_) => End::Stop(WorkerError::Surroundings(error)),
        }
    }
}

impl From<StageError> for End {
    fn from(error: StageError) -> End {
        End::Stop(WorkerError::Stage(error))
    }
}

/// A stage on a log.
pub struct Worker<'w, L: Log, S: Stage> {
    log: &'w L,
    stage: S,
    settings: WorkerSettings,
    stop: &'w AtomicBool,
    report: &'w dyn Fn(Report<'_>),
    /// The time of day: only to count how old records are.
    now: Option<fn() -> Timestamp>,
    /// The next offset to process of each owned partition, as committed.
    positions: BTreeMap<Partition, Offset>,
    /// The ids of the inputs, as the state of the owned partitions has them.
    topics: BTreeMap<u16, TopicId>,
    sides: Sides<L::Reader>,
    batch: Batch,
    deferred: Deferred,
    output: Output,
    /// Why the last restoring was begun anew that may have read a changelog in pieces.
    in_pieces: Option<String>,
}

impl<'w, L: Log, S: Stage> Worker<'w, L, S> {
    /// A worker that runs until `stop` is set.
    pub fn new(
        log: &'w L,
        stage: S,
        settings: WorkerSettings,
        stop: &'w AtomicBool,
        report: &'w dyn Fn(Report<'_>),
    ) -> Self {
        Worker {
            log,
            stage,
            settings,
            stop,
            report,
            now: None,
            positions: BTreeMap::new(),
            topics: BTreeMap::new(),
            sides: Sides::default(),
            batch: Batch::default(),
            deferred: Deferred::default(),
            output: Output::default(),
            in_pieces: None,
        }
    }

    /// The same worker, which counts how old records are by this clock.
    pub fn with_clock(self, now: fn() -> Timestamp) -> Self {
        Worker { now: Some(now), ..self }
    }

    /// Runs until it is told to stop. What is gathered by then and not yet executed is left to whoever comes next.
    ///
    /// # Errors
    /// See [`WorkerError`].
    pub async fn run(&mut self) -> Result<(), WorkerError> {
        let mut failures = 0;
        loop {
            let mut progress = Progress::None;
            let end = self.session(&mut progress).await;
            self.drop_everything();
            match end {
                Ok(()) => return Ok(()),
                Err(End::Stop(error)) => {
                    if let WorkerError::Stage(StageError::Control(mismatch)) = &error {
                        (self.report)(Report::Mismatch(mismatch.check));
                    }
                    return Err(error);
                }
                // What is not reached now is reached by whoever comes next; nothing of it is lost.
                Err(End::Again(_)) if self.stop.load(Ordering::Relaxed) => return Ok(()),
                Err(End::Again(why)) => {
                    failures = if progress == Progress::Committed { 1 } else { failures + 1 };
                    let attempts = match why {
                        LogError::Missing(_) => self.settings.attempts.min(MISSING_ATTEMPTS),
                        LogError::Unavailable(_) | LogError::Refused(_) => self.settings.attempts,
                    };
                    if failures > attempts {
                        return Err(WorkerError::Surroundings(why));
                    }
                    (self.report)(Report::Restarted(&why.to_string()));
                    self.log.pause(RETRY_PAUSE * failures.min(20)).await;
                }
            }
        }
    }

    /// With one producer and one consumer, until either cannot be used any more.
    async fn session(&mut self, progress: &mut Progress) -> Result<(), End> {
        let mut producer = self.log.producer(&self.settings.transactional_id).await?;
        let mut consumer = self.log.consumer(&self.settings.group, self.stage.inputs()).await?;
        while !self.stop.load(Ordering::Relaxed) {
            let mut lap = Lap::start();
            let limits = self.next_limits();
            let event = match consumer.gather(&mut self.batch, &limits).await {
                Ok(event) => event,
                // A position that is not in a partition mostly means that it is another topic.
                Err(error) => {
                    self.check_topics().await?;
                    self.check_gaps().await?;
                    return Err(error.into());
                }
            };
            let mut times = BatchTimes { gather: lap.next(), ..BatchTimes::default() };
            let is_full = event == Event::Gathered;
            self.follow(&mut consumer, event).await?;
            self.look_behind(&mut consumer);
            if is_full && self.deferred.len() < self.settings.limits.messages {
                self.look_beside(&mut consumer).await?;
            }
            if is_full {
                self.pass_over();
            }
            let has_work = |worker: &Self| worker.deferred.is_empty() && worker.stage.has_work();
            if is_full && (has_work(self) || !(self.batch.is_empty() && self.deferred.is_empty())) {
                self.get_facts(&mut consumer).await?;
                times.prepare = lap.next();
            }
            let has_work = has_work(self);
            if is_full && (has_work || !self.batch.is_empty()) {
                let span = tracing::info_span!("batch", messages = self.batch.len());
                let made = self.process(&mut producer, &mut consumer, times).instrument(span).await?;
                *progress = (*progress).max(made);
            }
        }
        Ok(())
    }

    /// Does what the group's news asks for.
    async fn follow(&mut self, consumer: &mut L::Consumer, event: Event) -> Result<(), End> {
        match event {
            Event::Gathered => {}
            Event::Revoked(partitions) | Event::Lost(partitions) => {
                self.drop_state(&partitions);
                consumer.release(&partitions).await?;
                (self.report)(Report::Released(&partitions));
            }
            Event::Assigned(partitions) => {
                (self.report)(Report::Assigned(&partitions));
                let positions = self.restore(consumer, &partitions).await?;
                consumer.start(&positions).await?;
                self.positions.extend(positions);
                (self.report)(Report::Started { partitions: self.positions.len(), status: self.stage.status() });
            }
        }
        Ok(())
    }

    /// Tells how far behind the ends of its partitions it is, if the log has told of new ends.
    fn look_behind(&self, consumer: &mut L::Consumer) {
        let ends = consumer.new_ends();
        if ends.is_empty() {
            return;
        }
        let behind = |(partition, end): &(Partition, Offset)| {
            let position = self.positions.get(partition)?;
            Some((*partition, u64::try_from(end.saturating_sub(*position)).unwrap_or(0)))
        };
        (self.report)(Report::Behind(&ends.iter().filter_map(behind).collect::<Vec<_>>()));
    }

    /// Executes the batch and commits, or undoes and goes back.
    async fn process(
        &mut self,
        producer: &mut L::Producer,
        consumer: &mut L::Consumer,
        mut times: BatchTimes,
    ) -> Result<Progress, End> {
        let mut lap = Lap::start();
        self.output.clear();
        self.output.counts.now = self.now.map(|now| now());
        self.check_topics().await?;
        if let Err(error) = self.stage.execute(&self.batch, &mut self.output) {
            return Err(self.placed(error));
        }
        let positions = self.stage.positions();
        times.execute = lap.next();
        if self.batch.is_empty() && self.output.is_empty() && positions.is_empty() {
            // What it did was to look: there is nothing to commit.
            self.stage.settle();
            return Ok(Progress::None);
        }
        match self.transact(producer, consumer, &positions, &mut times).await {
            Fate::Committed => {
                self.stage.settle();
                self.sides.settle(&self.batch);
                let (received, sent) = (self.batch.len(), self.output.len());
                self.batch.clear();
                self.positions.extend(positions);
                let (counts, status) = (&self.output.counts, self.stage.status());
                (self.report)(Report::Committed { received, sent, counts, times, status });
                Ok(Progress::Committed)
            }
            Fate::Aborted(why) => {
                self.stage.undo();
                self.sides.undo();
                self.batch.clear();
                (self.report)(Report::Aborted(&why));
                // What is deferred is read again as well, as is all that stands beside it.
                let deferred = self.deferred.partitions();
                self.deferred.clear();
                if !deferred.is_empty() {
                    consumer.hold_only(&[]).await?;
                }
                let back: BTreeSet<Partition> =
                    positions.into_iter().map(|(partition, _)| partition).chain(deferred).collect();
                for partition in back {
                    if let Some(before) = self.positions.get(&partition) {
                        consumer.seek(partition, *before).await?;
                    }
                }
                Ok(Progress::None)
            }
            Fate::Uncertain(why) => {
                (self.report)(Report::Uncertain(&why));
                Err(End::Again(LogError::Unavailable(why)))
            }
        }
    }

    /// Leaves messages out of the batch that are given up.
    fn pass_over(&mut self) {
        let Worker { batch, stage, settings: WorkerSettings { given_up, .. }, report, .. } = self;
        if given_up.messages.is_empty() {
            return;
        }
        batch.retain(|partition, side, offset| {
            let topic = match side {
                None => stage.inputs().get(usize::from(partition.topic)).map(String::as_str),
                Some(at) => stage.sides().get(usize::from(at)).map(|side| side.topic.as_str()),
            };
            let topic = topic.unwrap_or_default();
            let is_given_up = given_up.has_message(topic, partition.number, offset);
            if is_given_up {
                report(Report::PassedOver { topic, partition: partition.number, offset });
            }
            !is_given_up
        });
    }

    /// Says which message a stage could not read.
    fn placed(&self, error: StageError) -> End {
        match (error, self.output.executing) {
            (StageError::Corrupt(why), Some((partition, offset))) => End::Stop(WorkerError::Foreign {
                topic: self.input(partition.topic).to_owned(),
                partition: partition.number,
                offset,
                why,
            }),
            (error, _) => error.into(),
        }
    }

    /// The name of an input.
    fn input(&self, at: u16) -> &str {
        self.stage.inputs().get(usize::from(at)).map_or("", String::as_str)
    }

    /// Drops what belongs to partitions that are no longer ours.
    fn drop_state(&mut self, partitions: &[Partition]) {
        self.batch.remove(partitions);
        self.deferred.remove(partitions);
        for partition in partitions {
            self.stage.drop_state(*partition);
            self.sides.remove(*partition);
            self.positions.remove(partition);
        }
    }

    fn drop_everything(&mut self) {
        self.batch.clear();
        self.deferred.clear();
        self.sides.clear();
        self.topics.clear();
        for partition in std::mem::take(&mut self.positions).into_keys() {
            self.stage.drop_state(partition);
        }
    }
}

/// Measures one part of a batch after the other.
struct Lap(Instant);

impl Lap {
    fn start() -> Lap {
        Lap(Instant::now())
    }

    /// The time since the last call.
    fn next(&mut self) -> Duration {
        let now = Instant::now();
        now.duration_since(std::mem::replace(&mut self.0, now))
    }
}

/// Whether a session got anything done.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Progress {
    None,
    Committed,
}
