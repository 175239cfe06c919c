//! How far a stage is with one partition of its input, as kept in the changelog beside what it keeps there.

use super::packed::Source;
use crate::state::{Corrupt, Stored, record};
use crate::worker::counts::SlowestSender;
use crate::worker::log::{Incoming, Offset, Partition, Tick, TopicId};
use crate::worker::{Beginning, Known, Output, Side, SideKind, SidePlace, StageError, Target};
use hashbrown::HashMap;
use pipeline::ControlMismatch;
use rating::Timestamp;
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::fmt;

/// Format of changelog entries, and the least reader's.
pub(super) const FORMAT: [u8; 2] = [1, 1];
/// The latest format that is read.
const READER: u8 = 5;

/// What every stage keeps of a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// The next offset to process; `None` before the first.
    pub(super) position: Option<Offset>,
    /// How many partitions the output has that state was made for; 0 where that does not matter.
    pub(super) targets: u32,
    /// Last sequence sent to each of them.
    pub(super) sent: BTreeMap<u32, u64>,
    /// Last sequence and clock of each sender.
    pub(super) sources: BTreeMap<Source, SourceProgress>,
    /// The clock of ticks.
    pub(super) clock: Option<Timestamp>,
    /// From when on record ids are remembered.
    pub(super) horizon: Option<Timestamp>,
}

/// How far a sender is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SourceProgress {
    pub(super) sequence: u64,
    pub(super) clock: Option<Timestamp>,
}

/// Who sends to a stage.
#[derive(Clone, Copy, Debug)]
pub(super) struct Senders<'s> {
    /// How many of them say how late it is: the clock waits for each.
    pub(super) count: usize,
    /// What comes from this topic says nothing of that.
    pub(super) timeless: Option<&'s str>,
}

record!(Progress { position, targets, sent, sources, clock, horizon });
record!(SourceProgress { sequence, clock });
record!(Source { topic, partition });

impl Progress {
    /// Takes note of a packed message.
    ///
    /// # Errors
    /// It is not the one after the last.
    pub(super) fn receive(&mut self, source: &Source, sequence: u64) -> Result<(), ControlMismatch> {
        let known = match self.sources.get_mut(source) {
            Some(known) => known,
            None => self.sources.entry(source.clone()).or_default(),
        };
        if sequence != known.sequence + 1 {
            let Source { topic, partition } = source;
            let detail = format!("topic {topic} partition {partition}: message {sequence} after {}", known.sequence);
            return Err(ControlMismatch { check: "sequence", detail });
        }
        known.sequence = sequence;
        Ok(())
    }

    /// Moves the clock of a sender. Returns the new clock if the least of all senders that keep time has moved by it.
    pub(super) fn tick(&mut self, source: &Source, instant: Timestamp, senders: Senders<'_>) -> Option<Timestamp> {
        let known = self.sources.entry(source.clone()).or_default();
        known.clock = known.clock.max(Some(instant));
        if self.timed(senders).count() < senders.count {
            return None;
        }
        let least = self.timed(senders).map(|(_, source)| source.clock).min().flatten()?;
        self.advance(least)
    }

    /// Those that keep time.
    fn timed<'p>(&'p self, senders: Senders<'p>) -> impl Iterator<Item = (&'p Source, &'p SourceProgress)> {
        self.sources.iter().filter(move |(source, _)| Some(&*source.topic) != senders.timeless)
    }

    /// The one of them that is furthest behind.
    fn slowest(&self, senders: Senders<'_>) -> Option<SlowestSender> {
        // While one of them has not said how late it is, nobody knows which one the clock waits for.
        let clocks = || self.timed(senders).filter_map(|(source, known)| Some((source, known.clock?)));
        let (source, least) = clocks().min_by_key(|(_, clock)| *clock).filter(|_| clocks().count() >= senders.count)?;
        let latest = clocks().map(|(_, clock)| clock).max()?;
        let behind_ms = latest.millis().saturating_sub(least.millis());
        Some(SlowestSender { topic: source.topic.clone(), partition: source.partition, behind_ms })
    }

    /// Moves the clock itself; returns it if it has moved.
    pub(super) fn advance(&mut self, instant: Timestamp) -> Option<Timestamp> {
        if self.clock >= Some(instant) {
            return None;
        }
        self.clock = Some(instant);
        self.clock
    }
}

/// Which topics a partition's state was made from, and how far it is with those that stand beside its input. It has an entry of its own in the
/// changelog, which a program from before passes over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Topics {
    /// The id of the input's topic.
    pub(super) id: Option<TopicId>,
    /// Places beside it, by topic.
    pub(super) sides: BTreeMap<String, SidePlace>,
}

record!(Topics { id, sides });
record!(SidePlace { offset, id });

impl Stored for TopicId {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    fn read(input: &mut &[u8]) -> Result<TopicId, Corrupt> {
        let parts = input.split_first_chunk();
        let (id, rest) = parts.ok_or(Corrupt { what: "a topic's id", left: input.len() })?;
        *input = rest;
        Ok(TopicId(*id))
    }
}

/// One partition's state: how far it is, and what its stage keeps besides.
#[derive(Debug)]
pub(super) struct Unit<K> {
    pub(super) progress: Progress,
    pub(super) topics: Topics,
    /// The topics as the changelog has them.
    written: Topics,
    /// The ids of the topics beside it, as of now.
    begun: Vec<SidePlace>,
    /// Progress and topics before the batch that is being executed, if that touches this partition.
    before: Option<(Progress, Topics)>,
    pub(super) kept: K,
}

/// The partitions of a stage.
#[derive(Debug)]
pub(super) struct Units<K> {
    units: HashMap<Partition, Unit<K>>,
    /// Those that the batch touches, in the order of their first message.
    touched: Vec<Partition>,
    /// What is read beside them.
    sides: Vec<Side>,
}

impl<K> Default for Units<K> {
    fn default() -> Units<K> {
        Units { units: HashMap::new(), touched: Vec::new(), sides: Vec::new() }
    }
}

impl<K> Unit<K> {
    /// One that has processed nothing.
    pub(super) fn empty(kept: K) -> Unit<K> {
        let (topics, written) = (Topics::default(), Topics::default());
        Unit { progress: Progress::default(), topics, written, begun: Vec::new(), before: None, kept }
    }

    /// Whether no tick was taken yet from the topic of ticks, though something was processed: by a program that read ticks among its inputs. Those
    /// that still stand there are no surprise.
    pub(super) fn is_from_before_ticks(&self, sides: &[Side]) -> bool {
        let ticks = sides.iter().find(|side| side.kind == SideKind::Ticks);
        ticks.is_some_and(|side| !self.topics.sides.contains_key(&side.topic))
    }

    /// Puts back the topics.
    pub(super) fn restore_topics(&mut self, value: Option<&[u8]>) -> Result<(), StageError> {
        if let Some(value) = value {
            self.topics = Topics::read(&mut read_format(value)?)?;
            self.written = self.topics.clone();
        }
        Ok(())
    }

    /// Writes the topics, if they differ from what the changelog has.
    pub(super) fn write_topics(&self, changelog: Changelog<'_>, output: &mut Output) {
        if self.topics != self.written {
            changelog.put(About::Topics, &[], output, |out| self.topics.write(out));
        }
    }

    /// Takes note of a message beside it.
    fn pass(&mut self, sides: &[Side], at: u16, offset: Offset) -> Result<(), StageError> {
        let at = usize::from(at);
        let Some(side) = sides.get(at) else {
            return Err(
                ControlMismatch { check: "ownership", detail: format!("no topic {at} beside the inputs") }.into()
            );
        };
        let known = self.topics.sides.get(&side.topic).map(|place| place.offset);
        if let Some(known) = known.filter(|known| offset < *known) {
            let detail = format!("topic {} beside an input: offset {offset} after {known}", side.topic);
            return Err(ControlMismatch { check: "position", detail }.into());
        }
        let id = self.begun.get(at).and_then(|begun| begun.id);
        self.topics.sides.insert(side.topic.clone(), SidePlace { offset: offset + 1, id });
        Ok(())
    }
}

impl<K> Units<K> {
    /// None, of which each has these topics beside it.
    pub(super) fn beside(sides: Vec<Side>) -> Units<K> {
        Units { sides, ..Units::default() }
    }

    /// What stands beside them.
    pub(super) fn sides(&self) -> &[Side] {
        &self.sides
    }

    /// What the state of one says of where it came from.
    pub(super) fn known(&self, partition: Partition) -> Known {
        let Some(Unit { topics, .. }) = self.units.get(&partition) else { return Known::default() };
        let sides = self.sides.iter().map(|side| topics.sides.get(&side.topic).copied()).collect();
        Known { topic: topics.id, sides }
    }

    /// Where one begins.
    pub(super) fn begin(&mut self, partition: Partition, beginning: &Beginning) {
        let Some(unit) = self.units.get_mut(&partition) else { return };
        let is_fresh = unit.progress.position.replace(beginning.position).is_none();
        unit.topics.id = beginning.topic.or(unit.topics.id);
        for (side, place) in self.sides.iter().zip(&beginning.sides) {
            match unit.topics.sides.get_mut(&side.topic) {
                Some(known) => *known = *place,
                None if is_fresh => drop(unit.topics.sides.insert(side.topic.clone(), *place)),
                None => {}
            }
        }
        unit.begun.clone_from(&beginning.sides);
    }

    /// Makes an empty one.
    pub(super) fn create(&mut self, partition: Partition, kept: K) {
        self.units.insert(partition, Unit::empty(kept));
    }

    /// Drops one.
    pub(super) fn drop_one(&mut self, partition: Partition) {
        self.units.remove(&partition);
        self.touched.retain(|touched| *touched != partition);
    }

    /// One, if it is owned.
    pub(super) fn one(&self, partition: Partition) -> Option<&Unit<K>> {
        self.units.get(&partition)
    }

    /// One that is owned.
    pub(super) fn get(&mut self, partition: Partition) -> Result<&mut Unit<K>, StageError> {
        self.units.get_mut(&partition).ok_or_else(|| not_owned(partition))
    }

    /// One that a message of the batch belongs to: from now on at the offset after it.
    ///
    /// # Errors
    /// The partition is not owned, or the message was processed before.
    pub(super) fn touch(&mut self, partition: Partition, offset: Offset) -> Result<&mut Unit<K>, StageError> {
        let unit = Self::touched_one(&mut self.units, &mut self.touched, partition)?;
        if let Some(position) = unit.progress.position.filter(|position| offset < *position) {
            let detail =
                format!("input {} partition {}: offset {offset} after {position}", partition.topic, partition.number);
            return Err(ControlMismatch { check: "position", detail }.into());
        }
        unit.progress.position = Some(offset + 1);
        Ok(unit)
    }

    fn touched_one<'u>(
        units: &'u mut HashMap<Partition, Unit<K>>,
        touched: &mut Vec<Partition>,
        partition: Partition,
    ) -> Result<&'u mut Unit<K>, StageError> {
        let unit = units.get_mut(&partition).ok_or_else(|| not_owned(partition))?;
        if unit.before.is_none() {
            unit.before = Some((unit.progress.clone(), unit.topics.clone()));
            touched.push(partition);
        }
        Ok(unit)
    }

    /// The same for a message that may stand beside its partition: then it is the place there that moves on.
    pub(super) fn touch_message(&mut self, message: &Incoming<'_>) -> Result<&mut Unit<K>, StageError> {
        match message.side {
            None => self.touch(message.partition, message.offset),
            Some(side) => self.touch_beside(message.partition, side, message.offset),
        }
    }

    /// The same for a tick.
    pub(super) fn touch_tick(&mut self, tick: &Tick) -> Result<&mut Unit<K>, StageError> {
        self.touch_beside(tick.partition, tick.side, tick.offset)
    }

    /// Those that have something to do without a message: touched, at the offset where they are.
    pub(super) fn touch_those(&mut self, has_work: impl Fn(&K) -> bool) -> impl Iterator<Item = &mut Unit<K>> {
        let touched = &mut self.touched;
        let mut working: Vec<_> = self.units.iter_mut().filter(|(_, unit)| has_work(&unit.kept)).collect();
        working.sort_unstable_by_key(|(partition, _)| **partition);
        working.into_iter().map(|(partition, unit)| {
            if unit.before.is_none() {
                unit.before = Some((unit.progress.clone(), unit.topics.clone()));
                touched.push(*partition);
            }
            unit
        })
    }

    fn touch_beside(&mut self, partition: Partition, side: u16, offset: Offset) -> Result<&mut Unit<K>, StageError> {
        let unit = Self::touched_one(&mut self.units, &mut self.touched, partition)?;
        unit.pass(&self.sides, side, offset)?;
        Ok(unit)
    }

    /// The topic beside a partition that a message came from, with its id as of now; `None` if it came from the partition itself.
    pub(super) fn beside_of(&self, message: &Incoming<'_>) -> Option<(String, Option<TopicId>)> {
        let at = usize::from(message.side?);
        let side = self.sides.get(at)?;
        let begun = self.units.get(&message.partition).and_then(|unit| unit.begun.get(at));
        Some((side.topic.clone(), begun.and_then(|place| place.id)))
    }

    /// All that are owned.
    pub(super) fn all(&self) -> impl Iterator<Item = &Unit<K>> {
        self.units.values()
    }

    /// The least of their clocks; `None` while one has none.
    pub(super) fn clock(&self) -> Option<Timestamp> {
        self.all().map(|unit| unit.progress.clock).min().flatten()
    }

    /// The sender that is furthest behind, of any of them.
    pub(super) fn slowest(&self, senders: Senders<'_>) -> Option<Box<SlowestSender>> {
        let slowest = self.all().filter_map(|unit| unit.progress.slowest(senders));
        slowest.max_by_key(|slowest| slowest.behind_ms).map(Box::new)
    }

    /// Those that the batch touches.
    pub(super) fn touched(&mut self) -> impl Iterator<Item = (Partition, &mut Unit<K>)> {
        // Few, and each once: a look-up for each keeps their order.
        let order: HashMap<Partition, usize> = self.touched.iter().copied().zip(0..).collect();
        let mut touched: Vec<_> = self
            .units
            .iter_mut()
            .filter_map(|(partition, unit)| Some((*order.get(partition)?, *partition, unit)))
            .collect();
        touched.sort_unstable_by_key(|(at, _, _)| *at);
        touched.into_iter().map(|(_, partition, unit)| (partition, unit))
    }

    /// Positions after the batch.
    pub(super) fn positions(&self) -> Vec<(Partition, Offset)> {
        let position = |partition: &Partition| Some((*partition, self.units.get(partition)?.progress.position?));
        self.touched.iter().filter_map(position).collect()
    }

    /// Keeps what the batch did; `keep` does the same for what the stage keeps.
    pub(super) fn settle(&mut self, mut keep: impl FnMut(&mut Unit<K>)) {
        for partition in self.touched.drain(..) {
            if let Some(unit) = self.units.get_mut(&partition) {
                unit.before = None;
                unit.written.clone_from(&unit.topics);
                keep(unit);
            }
        }
    }

    /// Takes back what the batch did; `undo` does the same for what the stage keeps.
    pub(super) fn undo(&mut self, mut undo: impl FnMut(&mut Unit<K>)) {
        for partition in self.touched.drain(..) {
            if let Some(unit) = self.units.get_mut(&partition) {
                if let Some((progress, topics)) = unit.before.take() {
                    (unit.progress, unit.topics) = (progress, topics);
                }
                undo(unit);
            }
        }
    }
}

fn not_owned(partition: Partition) -> StageError {
    let detail = format!("input {} partition {} is not owned", partition.topic, partition.number);
    ControlMismatch { check: "ownership", detail }.into()
}

/// What a changelog entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// [`Progress`].
    Progress,
    /// Record ids of an hour, from a batch.
    Ids,
    /// Rows of state, and [`Progress`], of a commit: see `segments`.
    Segment,
    /// Something that waits.
    Waiting,
    /// What is to be tried again.
    Requests,
    /// An id that is kept because something of it waits.
    Held,
    /// [`Topics`].
    Topics,
    /// A grant that was carried out.
    CarriedOut,
    /// What an account was told of the directory.
    Told,
}

const ABOUT: [(About, u8); 9] = [
    (About::Progress, b'p'),
    (About::Ids, b'i'),
    (About::Segment, b's'),
    (About::Waiting, b'w'),
    (About::Requests, b'q'),
    (About::Topics, b't'),
    (About::Held, b'h'),
    (About::CarriedOut, b'c'),
    (About::Told, b'd'),
];

/// Every stage names its changelog first among its outputs.
pub(super) const CHANGELOG: u16 = 0;

/// Where the entries of an input partition go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Changelog<'c> {
    /// The input topic.
    topic: &'c str,
    target: Target,
}

impl fmt::Display for Changelog<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "changelog of topic {} partition {}", self.topic, self.target.partition.unwrap_or(0))
    }
}

impl<'c> Changelog<'c> {
    pub(super) fn of(topic: &'c str, partition: Partition) -> Changelog<'c> {
        Changelog { topic, target: Target { topic: CHANGELOG, partition: Some(partition.number) } }
    }

    /// Writes an entry. `own` is what stands in its key behind the topic and the kind.
    pub(super) fn put(self, about: About, own: &[&[u8]], output: &mut Output, write: impl FnOnce(&mut Vec<u8>)) {
        self.put_as(FORMAT, about, own, output, write);
    }

    /// The same in another format.
    pub(super) fn put_as(
        self,
        format: [u8; 2],
        about: About,
        own: &[&[u8]],
        output: &mut Output,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        output.push(self.target, Some(&self.key(about, own)), |out| {
            out.extend_from_slice(&format);
            write(out);
        });
    }

    /// Deletes an entry.
    pub(super) fn delete(self, about: About, own: &[&[u8]], output: &mut Output) {
        output.push_deletion(self.target, &self.key(about, own));
    }

    fn key(self, about: About, own: &[&[u8]]) -> SmallVec<[u8; 64]> {
        let mut key = SmallVec::from_slice(self.topic.as_bytes());
        key.push(0);
        key.extend(ABOUT.iter().filter(|(known, _)| *known == about).map(|(_, byte)| *byte));
        own.iter().for_each(|part| key.extend_from_slice(part));
        key
    }
}

/// Reads a key of this topic; `None` for another topic's.
pub(super) fn read_key<'k>(topic: &str, key: &'k [u8]) -> Result<Option<(About, &'k [u8])>, StageError> {
    let Some(rest) = key.strip_prefix(topic.as_bytes()).and_then(|rest| rest.strip_prefix(&[0])) else {
        return Ok(None);
    };
    let (kind, own) = rest.split_first().ok_or_else(|| corrupt("a changelog key", "kind missing"))?;
    let about = ABOUT.iter().find(|(_, byte)| byte == kind).map(|(about, _)| *about);
    // A kind from a later version does not concern this one: otherwise its format would say so.
    Ok(about.map(|about| (about, own)))
}

/// The value behind its format.
///
/// # Errors
/// It is for later readers only.
pub(super) fn read_format(value: &[u8]) -> Result<&[u8], StageError> {
    match value {
        [_, least_reader, rest @ ..] if *least_reader <= READER => Ok(rest),
        [version, ..] => {
            Err(corrupt("a changelog entry", &format!("format {version} is for later versions of this program")))
        }
        [] => Err(corrupt("a changelog entry", "empty")),
    }
}

/// An error about bytes of our own.
pub(super) fn corrupt(what: &str, why: &str) -> StageError {
    StageError::Corrupt(format!("{what}: {why}"))
}

impl From<Corrupt> for StageError {
    fn from(error: Corrupt) -> StageError {
        StageError::Corrupt(error.to_string())
    }
}
