//! Topics that stand beside the inputs. The group does not subscribe to them: whoever owns a partition of an input reads what stands beside it, and
//! keeps its place there in that partition's state.
//!
//! A tick says that it is late by now, so it must not overtake usage. Once a tick is read, the end of the partition is asked for, afresh; the tick
//! is taken when everything below that end has been handed over, in the batch with the last of it. Of ticks that wait behind one, the latest
//! says all; it gets an end of its own once its turn comes, so that a partition that is never idle has ticks, too.

use super::log::{Aside, Batch, Consumer, Incoming, Log, LogError, Offset, Partition, ReadFrom, Reader, Tick, TopicId};
use super::{End, Gap, NewOffsets, Report, Stage, Worker, WorkerError};
use rating::Timestamp;
use std::collections::BTreeMap;
use std::fmt;

/// Most messages that are taken at once.
const MOST_AT_ONCE: usize = 1_000;

/// A topic beside the inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// Its name.
    pub topic: String,
    /// What it holds.
    pub kind: SideKind,
}

/// What a topic beside the inputs holds, and which of its partitions stands beside which of theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SideKind {
    /// Ticks: its first partition stands beside each partition of the inputs. A stage has one such topic at most.
    Ticks,
    /// Messages for the stage: its partition of the same number stands beside a partition, of whatever input.
    Messages,
}

/// How far a partition is with a topic beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SidePlace {
    /// The next offset.
    pub offset: Offset,
    /// The topic's id, where it has one.
    pub id: Option<TopicId>,
}

/// What the state of a partition says of the topics that it was made from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The id of the input's topic; `None` where nobody wrote it down.
    pub topic: Option<TopicId>,
    /// The places in the topics beside it, in the order of [`Stage::sides`]; `None` is the beginning.
    pub sides: Vec<Option<SidePlace>>,
}

/// Where a partition begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beginning {
    /// The next offset to process.
    pub position: Offset,
    /// The id of the input's topic, where it has one.
    pub topic: Option<TopicId>,
    /// The places in the topics beside it, in the order of [`Stage::sides`].
    pub sides: Vec<SidePlace>,
}

/// Why a message among the ticks is not taken for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoTick {
    /// It is something else, written by somebody else.
    Foreign(String),
    /// It is further ahead of the log's time than a tick may be.
    Ahead {
        /// What it says.
        instant: Timestamp,
        /// When the log appended it.
        appended: Timestamp,
    },
}

impl fmt::Display for NoTick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoTick::Foreign(why) => write!(f, "no tick: {why}"),
            NoTick::Ahead { instant, appended } => {
                write!(
                    f,
                    "the tick {instant} is too far ahead of {appended}, when it was appended: whose clock is wrong?"
                )
            }
        }
    }
}

/// What the partitions of a worker have beside them.
pub(super) struct Sides<R> {
    reader: Option<R>,
    /// What the reader was told to read, as place in the list of sides and number of a partition.
    read: Vec<(u16, u32)>,
    /// Whether it has to be told anew.
    is_stale: bool,
    owned: BTreeMap<Partition, Owned>,
}

/// What one partition has beside it.
struct Owned {
    /// The next offset of each side, as committed.
    committed: Vec<Offset>,
    /// The next one that is not in the batch and does not wait either.
    next: Vec<Offset>,
    /// A tick whose turn it is.
    turn: Option<Turn>,
    /// What came after it.
    behind: Option<Tick>,
}

/// A tick, and what comes before it.
struct Turn {
    tick: Tick,
    /// The end of the partition, and of what stands beside it, after the tick was read.
    end: Offset,
    sides: Vec<((u16, u32), Offset)>,
}

impl<R> Default for Sides<R> {
    fn default() -> Sides<R> {
        Sides { reader: None, read: Vec::new(), is_stale: false, owned: BTreeMap::new() }
    }
}

/// Which partition of a side stands beside a partition.
fn beside(side: &Side, partition: Partition) -> u32 {
    match side.kind {
        SideKind::Ticks => 0,
        SideKind::Messages => partition.number,
    }
}

impl Owned {
    /// Takes note of a tick: of those that wait the latest says all.
    fn wait(&mut self, tick: Tick) {
        let instant = self.behind.map_or(tick.instant, |before| before.instant.max(tick.instant));
        self.behind = Some(Tick { instant, ..tick });
    }
}

impl<R> Sides<R> {
    /// A partition is owned from now on.
    pub(super) fn add(&mut self, partition: Partition, places: &[SidePlace]) {
        let committed: Vec<Offset> = places.iter().map(|place| place.offset).collect();
        let owned = Owned { next: committed.clone(), committed, turn: None, behind: None };
        self.owned.insert(partition, owned);
        self.is_stale = true;
    }

    /// It is no longer.
    pub(super) fn remove(&mut self, partition: Partition) {
        self.is_stale |= self.owned.remove(&partition).is_some();
    }

    /// None is any more.
    pub(super) fn clear(&mut self) {
        *self = Sides::default();
    }

    /// The batch is committed.
    pub(super) fn settle(&mut self, batch: &Batch) {
        let ticks = batch.ticks().map(|tick| (tick.partition, tick.side, tick.offset));
        let messages = batch.messages().filter_map(|message| Some((message.partition, message.side?, message.offset)));
        for (partition, side, offset) in messages.chain(ticks) {
            let Some(owned) = self.owned.get_mut(&partition) else { continue };
            if let Some(committed) = owned.committed.get_mut(usize::from(side)) {
                *committed = (*committed).max(offset + 1);
            }
        }
        for tick in batch.ticks() {
            if let Some(owned) = self.owned.get_mut(&tick.partition) {
                owned.turn = None;
            }
        }
    }

    /// The batch was not committed: everything is read again from what is.
    pub(super) fn undo(&mut self) {
        for owned in self.owned.values_mut() {
            owned.next.clone_from(&owned.committed);
            (owned.turn, owned.behind) = (None, None);
        }
        self.is_stale = true;
    }

    /// What has to be read, from where the partition that is least far needs it.
    fn wanted(&self, sides: &[Side]) -> (Vec<(u16, u32)>, Vec<ReadFrom>) {
        let mut wanted: BTreeMap<(u16, u32), Offset> = BTreeMap::new();
        for (partition, owned) in &self.owned {
            for ((at, side), next) in (0_u16..).zip(sides).zip(&owned.next) {
                let from = wanted.entry((at, beside(side, *partition))).or_insert(*next);
                *from = (*from).min(*next);
            }
        }
        let from = |((at, partition), offset): (&(u16, u32), &Offset)| ReadFrom {
            topic: sides.get(usize::from(*at)).map(|side| side.topic.clone()).unwrap_or_default(),
            partition: *partition,
            offset: *offset,
        };
        (wanted.keys().copied().collect(), wanted.iter().map(from).collect())
    }
}

/// A message from beside, for one partition.
fn hand_over<S: Stage>(
    stage: &S,
    (partition, owned): (Partition, &mut Owned),
    (at, kind): (u16, SideKind),
    message: &Aside<'_>,
    batch: &mut Batch,
    refuse: &mut dyn FnMut(Partition, &NoTick),
) {
    let Some(next) = owned.next.get_mut(usize::from(at)).filter(|next| message.offset >= **next) else { return };
    *next = message.offset + 1;
    let Aside { offset, key, value, trace, appended, .. } = *message;
    match kind {
        SideKind::Messages => batch.push(Incoming { partition, side: Some(at), offset, key, value, trace }),
        SideKind::Ticks => match stage.read_tick(value, appended) {
            Ok(instant) => owned.wait(Tick { partition, side: at, offset, instant }),
            Err(why) => refuse(partition, &why),
        },
    }
}

impl<L: Log, S: Stage> Worker<'_, L, S> {
    /// Reads what stands beside the partitions, and adds to the batch what is due.
    pub(super) async fn look_beside(&mut self, consumer: &mut L::Consumer) -> Result<(), End> {
        if self.stage.sides().is_empty() || self.sides.owned.is_empty() {
            return Ok(());
        }
        self.read_beside().await?;
        self.ask_for_ends().await?;
        self.take_due(consumer)?;
        Ok(())
    }

    async fn read_beside(&mut self) -> Result<(), End> {
        let mut reader = match self.sides.reader.take() {
            Some(reader) => reader,
            None => {
                self.sides.is_stale = true;
                self.log.reader().await?
            }
        };
        if self.sides.is_stale {
            let (read, from) = self.sides.wanted(self.stage.sides());
            reader.assign(&from).await?;
            self.sides.read = read;
            self.sides.is_stale = false;
        }
        let Worker { stage, sides: Sides { read, owned, .. }, batch, report, .. } = self;
        let mut refuse = |partition, why: &NoTick| report(Report::Refused(partition, why));
        let mut visit = |message: Aside<'_>| {
            let Some((at, number)) = read.get(message.place).copied() else { return };
            let Some(side) = stage.sides().get(usize::from(at)) else { return };
            for (partition, owned) in owned.iter_mut().filter(|(partition, _)| beside(side, **partition) == number) {
                hand_over(stage, (*partition, owned), (at, side.kind), &message, batch, &mut refuse);
            }
        };
        let taken = reader.take(MOST_AT_ONCE, &mut visit).await;
        self.sides.reader = Some(reader);
        Ok(taken?)
    }

    /// Where the turn of a tick has come, asks for the ends of what comes before it: as of now, which is after the tick was read.
    async fn ask_for_ends(&mut self) -> Result<(), End> {
        let waiting = self.sides.owned.iter().filter(|(_, owned)| owned.turn.is_none() && owned.behind.is_some());
        let waiting: Vec<Partition> = waiting.map(|(partition, _)| *partition).collect();
        let sides = (0_u16..).zip(self.stage.sides()).filter(|(_, side)| side.kind == SideKind::Messages);
        let sides: Vec<(u16, String)> = sides.map(|(at, side)| (at, side.topic.clone())).collect();
        let mut places = Vec::new();
        for partition in &waiting {
            let topic = self.stage.inputs().get(usize::from(partition.topic)).cloned().unwrap_or_default();
            places.push((topic, partition.number));
            places.extend(sides.iter().map(|(_, topic)| (topic.clone(), partition.number)));
        }
        if places.is_empty() {
            return Ok(());
        }
        let ends = match self.log.uncommitted_ends(&places).await {
            Ok(ends) => ends,
            // The tick waits a little longer.
            Err(LogError::Unavailable(why)) => {
                (self.report)(Report::Waiting(&why));
                return Ok(());
            }
            Err(failed @ (LogError::Missing(_) | LogError::Refused(_))) => return Err(failed.into()),
        };
        for (partition, ends) in waiting.iter().zip(ends.chunks(1 + sides.len())) {
            let Some(owned) = self.sides.owned.get_mut(partition) else { continue };
            let (Some((end, of_sides)), Some(tick)) = (ends.split_first(), owned.behind.take()) else { continue };
            let sides = sides.iter().map(|(at, _)| (*at, partition.number)).zip(of_sides.iter().copied()).collect();
            owned.turn = Some(Turn { tick, end: *end, sides });
        }
        Ok(())
    }

    /// Adds the ticks to the batch before which nothing is left.
    fn take_due(&mut self, consumer: &mut L::Consumer) -> Result<(), End> {
        if self.sides.owned.values().all(|owned| owned.turn.is_none()) {
            return Ok(());
        }
        let handed_over = consumer.handed_over()?;
        let Some(reader) = &mut self.sides.reader else { return Ok(()) };
        let beside: BTreeMap<(u16, u32), Offset> = self.sides.read.iter().copied().zip(reader.handed_over()?).collect();
        for (partition, owned) in &self.sides.owned {
            let Some(turn) = &owned.turn else { continue };
            let is_past = |at: Option<&Offset>, end: Offset| at.is_some_and(|at| *at >= end);
            let is_due = is_past(handed_over.get(partition), turn.end)
                && turn.sides.iter().all(|(side, end)| is_past(beside.get(side), *end));
            if is_due {
                self.batch.push_tick(turn.tick);
            }
        }
        Ok(())
    }

    /// Where a partition begins beside its input: where its state says, or at what is there.
    pub(super) async fn places_beside(&self, partition: Partition, known: &Known) -> Result<Vec<SidePlace>, End> {
        let sides = self.stage.sides();
        if sides.is_empty() {
            return Ok(Vec::new());
        }
        let topics: Vec<String> = sides.iter().map(|side| side.topic.clone()).collect();
        let ids = self.log.topic_ids(&topics).await?;
        let mut places = Vec::with_capacity(sides.len());
        for (at, (side, id)) in sides.iter().zip(ids).enumerate() {
            let known = known.sides.get(at).copied().flatten();
            let number = beside(side, partition);
            let first = self.log.first_offset(&side.topic, number).await?;
            let offset = match known {
                None => first,
                Some(known) if is_other(known.id, id) => match (side.kind, self.settings.offsets_of_new(&side.topic)) {
                    (SideKind::Messages, Some(NewOffsets::Mirrored)) => known.offset,
                    (SideKind::Messages, Some(NewOffsets::Anew)) | (SideKind::Ticks, _) => first,
                    (SideKind::Messages, None) => {
                        return Err(self.made_anew(&side.topic, number, known.id, id));
                    }
                },
                // Ticks that are gone are not missed: later ones say all that they said. Messages are.
                Some(known) => match side.kind {
                    SideKind::Ticks => known.offset.max(first),
                    SideKind::Messages if known.offset < first => {
                        let topic = side.topic.clone();
                        self.give_up(&Gap { topic, partition: number, from: known.offset, to: first })?
                    }
                    SideKind::Messages => known.offset,
                },
            };
            places.push(SidePlace { offset, id });
        }
        Ok(places)
    }

    /// A topic is not the one that state was made from.
    pub(super) fn made_anew(&self, topic: &str, partition: u32, known: Option<TopicId>, now: Option<TopicId>) -> End {
        End::Stop(WorkerError::MadeAnew { topic: topic.to_owned(), partition, known, now })
    }
}

/// Whether two ids are of two topics. What has no id may be any.
pub(super) fn is_other(known: Option<TopicId>, now: Option<TopicId>) -> bool {
    known.zip(now).is_some_and(|(known, now)| known != now)
}
