//! Recycling: keeps what waits until it is tried again, by itself or because somebody asks.
//!
//! It reads what the other stages say waits, and requests of people, with ticks beside them, and sends the original back to the partition of the input that
//! it came to ([`retry`](super::retry)). What waits is either kept here or on its way; in both cases exactly once, because both change
//! in one transaction. What comes back still waiting comes back with one more attempt. What somebody gives up leaves for good, and that is told to
//! people where they were told that it waits.
//!
//! An endpoint that is not known yet usually turns up, and one that cannot be read is mended: `unknown_endpoint` and `endpoint_unreadable` are
//! tried again after 10 s, 1 min, 10 min, 1 h and a day, counted on the clock of ticks. Everything else waits for a request: somebody has to
//! mend something first.

use super::bodies::{Bodies, ScratchSettings};
use super::entry::Wanted;
use super::open::Open;
use super::outbound::Outbound;
use super::progress::{About, Changelog, Progress, Units, corrupt, read_format, read_key};
use super::suspended::{Entry, Kept, Room};
use super::topic_of;
use super::waiting::{WAITING_FORMAT, Waited};
use crate::state::Stored;
use crate::wire::{CloudEvents, Encoder, Frames, OutputFormat};
use crate::worker::counts::StageStatus;
use crate::worker::log::{Batch, Offset, Partition};
use crate::worker::{Beginning, FactsMissing, Known, NoTick, Output, Side, Stage, StageError, Target};
use rating::Timestamp;
use std::collections::BTreeSet;

/// Originals above this length, in bytes, do not fit into a retry on a topic with Kafka's own limit of 1 MB; hardly a record is so long.
const LONGEST_ORIGINAL: usize = 700_000;

/// Outputs, by their place in the list.
const RETRIES: u16 = 1;
const SUSPENSE: u16 = 2;

/// How recycling is set up.
#[derive(Clone, Debug)]
pub struct RecycleSettings {
    /// What the other stages say waits.
    pub waiting: String,
    /// The topic of ticks.
    pub ticks: String,
    /// The changelog.
    pub changelog: String,
    /// The topics that originals come from, with the number of their partitions.
    pub inputs: Vec<(String, u32)>,
    /// Where retries go: it has a partition for each number of a partition of those.
    pub retries: String,
    /// Where it is told what was given up.
    pub suspense: String,
    /// What stands before each datum there.
    pub frames: Frames,
    /// Headers that say what a message is; none where nobody wants them.
    pub events: Option<CloudEvents>,
    /// How far ahead of the log's time a tick may be, in milliseconds.
    pub future_ms: i64,
    /// Where what is suspended is kept.
    pub scratch: ScratchSettings,
}

/// The stage.
#[derive(Debug)]
pub struct RecycleStage {
    inputs: Vec<String>,
    outputs: Vec<String>,
    /// The topics that originals come from, with the number of their partitions.
    inputs_of_originals: Vec<(String, u32)>,
    outbound: Outbound,
    future_ms: i64,
    bodies: Bodies,
    units: Units<Kept>,
}

impl RecycleStage {
    /// The stage without state.
    pub fn new(settings: RecycleSettings) -> RecycleStage {
        let RecycleSettings {
            waiting,
            ticks,
            changelog,
            inputs,
            retries,
            suspense,
            frames,
            events,
            future_ms,
            scratch,
        } = settings;
        let outputs = vec![changelog, retries, suspense];
        let outbound = Outbound { encoder: Encoder::new(OutputFormat::Avro, ""), frames, events };
        let units = Units::beside(super::ticks_beside(&ticks));
        let bodies = Bodies::new(scratch);
        RecycleStage { inputs: vec![waiting], outputs, inputs_of_originals: inputs, outbound, future_ms, bodies, units }
    }

    /// How many things wait in the partitions that are owned.
    pub fn open_count(&self) -> usize {
        self.units.all().map(|unit| unit.kept.open.len()).sum()
    }
}

/// Something that leaves, or whose id is to be kept: where what is said of it goes, and what stays of it.
struct Said {
    partition: Partition,
    /// What it is kept under.
    key: String,
    entry: Entry,
    what: What,
}

/// What is said of it.
enum What {
    /// Its id is to be kept.
    Held(Target),
    /// It is tried again.
    Tried(Target),
    /// It is given up; guide is told where it has to know.
    GivenUp(String, Option<Target>),
    /// It was due, and cannot leave.
    Stays,
}

impl RecycleStage {
    /// Says of what came to wait that its id is to be kept, sends what is due or asked for back to where it came from, and tells what is given up.
    ///
    /// # Errors
    /// What is suspended cannot be read.
    fn fire(&mut self, output: &mut Output) -> Result<(), StageError> {
        let RecycleStage { units, inputs_of_originals, outbound, .. } = self;
        // A topic that is no input any more, or has lost partitions, has nobody who would read a retry.
        let target = |entry: &Entry| {
            let waited = &entry.open.waited;
            let is_read =
                inputs_of_originals.iter().any(|(name, count)| *name == waited.topic && waited.partition < *count);
            let fits = entry.original_bytes <= LONGEST_ORIGINAL;
            (is_read && fits).then_some(Target { topic: RETRIES, partition: Some(waited.partition) })
        };
        let (mut said, mut leaving_room, mut held_room) = (Vec::new(), Room::default(), Room::default());
        for (partition, unit) in units.touched() {
            let clock = unit.progress.clock.unwrap_or(Timestamp::EPOCH);
            let leaving = unit.kept.leaving(clock, &mut leaving_room, |entry| target(entry).is_some());
            for (key, held_by) in unit.kept.to_hold(&leaving, &mut held_room, target) {
                let Some(entry) = unit.kept.open.get(&key) else { continue };
                said.push(Said { partition, key, entry: entry.clone(), what: What::Held(held_by) });
            }
            for (key, given_up) in leaving {
                let Some(entry) = unit.kept.open.get(&key) else { continue };
                let what = match (given_up, target(entry)) {
                    (Some(because), target) => What::GivenUp(because, target.filter(|_| entry.open.is_to_be_held())),
                    (None, Some(target)) => What::Tried(target),
                    (None, None) => What::Stays,
                };
                said.push(Said { partition, key, entry: entry.clone(), what });
            }
        }
        // In the order of arrival, whichever partitions what waits is spread over; that an id is to be kept is said first.
        said.sort_by(|one, other| {
            let rank = |said: &Said| !matches!(said.what, What::Held(_));
            let order = rank(one).cmp(&rank(other));
            order.then_with(|| one.entry.open.waited.arrival().cmp(&other.entry.open.waited.arrival()))
        });
        for Said { partition, key, entry, what } in said {
            let first = output.len();
            let send = |target: Target, wanted: Wanted, output: &mut Output| {
                let retry = entry.read()?.retry(wanted);
                output.push(target, retry.key.as_deref(), |out| retry.write(out));
                Ok::<_, StageError>(())
            };
            let stays = match what {
                What::Held(target) => {
                    send(target, Wanted::Hold, output)?;
                    Some(Open { is_held: true, ..entry.open.clone() })
                }
                What::Tried(target) => {
                    send(target, Wanted::Again, output)?;
                    None
                }
                What::GivenUp(because, target) => {
                    if let Some(target) = target {
                        send(target, Wanted::Leave, output)?;
                    }
                    outbound.written_off(SUSPENSE, &entry.read()?, &because, output);
                    output.counts.written_off(entry.open.waited.reason);
                    None
                }
                What::Stays => Some(Open { due: None, ..entry.open.clone() }),
            };
            output.add_trace(first, entry.open.trace());
            if let Ok(unit) = units.get(partition) {
                unit.kept.put(key, stays.map(|open| Entry { open, ..entry }));
            }
        }
        Ok(())
    }
}

impl Stage for RecycleStage {
    fn inputs(&self) -> &[String] {
        &self.inputs
    }

    fn outputs(&self) -> &[String] {
        &self.outputs
    }

    fn changelog(&self) -> &str {
        self.outputs.first().map_or("", String::as_str)
    }

    fn create(&mut self, partition: Partition) {
        self.units.create(partition, Kept::default());
    }

    fn restore(&mut self, partition: Partition, key: &[u8], value: Option<&[u8]>) -> Result<(), StageError> {
        let Some((about, own)) = read_key(topic_of(&self.inputs, partition), key)? else { return Ok(()) };
        let unit = self.units.get(partition)?;
        match about {
            About::Progress => {
                if let Some(value) = value {
                    unit.progress = Progress::read(&mut read_format(value)?)?;
                }
            }
            About::Waiting => {
                let place = std::str::from_utf8(own).map_err(|_| corrupt("a changelog key", "not UTF-8"))?;
                let open = value.map(Open::read).transpose()?;
                unit.kept.next = unit.kept.next.max(open.as_ref().map_or(0, |open: &Open| open.number + 1));
                let entry = open.map(|open| Entry::keep(open, &self.bodies)).transpose()?;
                unit.kept.put(place.to_owned(), entry);
                unit.kept.journal.clear();
            }
            About::Requests => {
                if let Some(value) = value {
                    unit.kept.asked = Stored::read(&mut read_format(value)?)?;
                    let last = unit.kept.asked.iter().map(|(_, before)| *before).max();
                    unit.kept.next = unit.kept.next.max(last.unwrap_or(0));
                }
            }
            About::Topics => unit.restore_topics(value)?,
            About::Ids | About::Segment | About::Held | About::CarriedOut | About::Told => {}
        }
        Ok(())
    }

    fn restored(&mut self, partition: Partition) -> Result<Option<Offset>, StageError> {
        Ok(self.units.get(partition)?.progress.position)
    }

    fn drop_state(&mut self, partition: Partition) {
        self.units.drop_one(partition);
    }

    fn prepare(&mut self, _batch: &Batch) -> Result<(), FactsMissing> {
        Ok(())
    }

    fn execute(&mut self, batch: &Batch, output: &mut Output) -> Result<(), StageError> {
        for message in batch.messages() {
            output.executing = Some((message.partition, message.offset));
            let unit = self.units.touch_message(&message)?;
            // What waits begins with a format version, which no JSON does; one from a later version is refused, not passed over.
            if message.value.first().is_some_and(|first| *first < b' ' && !first.is_ascii_whitespace()) {
                let waited = Waited::read_message(message.value)?;
                let open = Open::new(waited, message.trace, unit.progress.clock, unit.kept.number());
                let entry = Entry::keep(open, &self.bodies)?;
                unit.kept.put(entry.open.waited.key(), Some(entry));
            } else {
                unit.kept.ask(message.value);
            }
        }
        for tick in batch.ticks() {
            self.units.touch_tick(&tick)?.progress.advance(tick.instant);
        }
        self.fire(output)?;
        for (partition, unit) in self.units.touched() {
            let changelog = Changelog::of(topic_of(&self.inputs, partition), partition);
            if unit.kept.asked_before.is_some() {
                changelog.put(About::Requests, &[], output, |out| unit.kept.asked.write(out));
            }
            let changed: BTreeSet<&String> = unit.kept.journal.iter().map(|(place, _)| place).collect();
            for place in changed {
                match unit.kept.open.get(place) {
                    Some(entry) => {
                        let (key, waited) = ([place.as_bytes()], entry.body.read()?);
                        let write = |out: &mut Vec<u8>| entry.open.write_as(&waited, out);
                        changelog.put_as(WAITING_FORMAT, About::Waiting, &key, output, write);
                    }
                    None => changelog.delete(About::Waiting, &[place.as_bytes()], output),
                }
            }
            changelog.put(About::Progress, &[], output, |out| unit.progress.write(out));
            unit.write_topics(changelog, output);
        }
        Ok(())
    }

    fn positions(&self) -> Vec<(Partition, Offset)> {
        self.units.positions()
    }

    fn settle(&mut self) {
        self.units.settle(|unit| unit.kept.settle());
    }

    fn undo(&mut self) {
        self.units.undo(|unit| unit.kept.undo());
    }

    fn sides(&self) -> &[Side] {
        self.units.sides()
    }

    fn read_tick(&self, value: &[u8], appended: Option<Timestamp>) -> Result<Timestamp, NoTick> {
        super::tick::read(value, appended, self.future_ms)
    }

    fn known(&self, partition: Partition) -> Known {
        self.units.known(partition)
    }

    fn begin(&mut self, partition: Partition, beginning: &Beginning) {
        self.units.begin(partition, beginning);
    }

    fn status(&self) -> StageStatus {
        let oldest = self.units.all().filter_map(|unit| unit.kept.since.keys().next().copied()).min();
        let bytes = self.units.all().map(|unit| unit.kept.bytes).sum();
        StageStatus {
            clock: self.units.clock(),
            entries: self.open_count() as u64,
            oldest,
            bytes,
            ..StageStatus::default()
        }
    }
}
