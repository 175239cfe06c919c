//! Guide: lets each record pass once, finds its lineage and rates, and hands legs and commands to the owners of their payers.

use super::entry::{
    Forms, Origin, Retried, Wanted, read_origin, read_taken, write_command, write_common, write_legs, write_tick,
};
use super::inbound::Inbound;
use super::outbound::{Outbound, Waiting};
use super::packed::{Packer, Source, Unpacked};
use super::prepared::Prepared;
use super::progress::{About, Changelog, Progress, Senders, Units, corrupt, read_format, read_key};
use super::remembered::Remembered;
use super::{SHARDS, check_targets, send_packed, topic_of};
use crate::state::Stored;
use crate::wire::{CloudEvents, CommandReply, Encoder, Frames, OutputFormat};
use crate::worker::counts::{CommandResult, RecordOutcome, Service, StageStatus};
use crate::worker::log::{self, Batch, Offset, Partition};
use crate::worker::{Beginning, FactsMissing, Known, NoTick, Output, Side, Stage, StageError};
use directory::Directory;
use directory::snapshot::Snapshot;
use pipeline::guide::shard_of;
use pipeline::{ControlTotals, Duplicates, Intaken, Intent, Legs, Step, Suspended, Taken, Tell, Verdict, Window};
use rating::{Leg, Notification, Timestamp};
use smallvec::SmallVec;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Outputs, by their place in the list.
const GUIDED: u16 = 1;
const SUSPENSE: u16 = 2;
const NOTIFICATIONS: u16 = 3;
const REPLIES: u16 = 4;
const WAITING: u16 = 5;

/// What guide reads.
#[derive(Clone, Debug)]
pub enum GuideInput {
    /// What intake writes.
    Intaken {
        /// How many partitions intake reads, over all its topics: the clock waits for each of them.
        senders: usize,
    },
    /// Usage and commands as others write them, all copies of a record to the same partition.
    Usage {
        /// The topics.
        inputs: Vec<String>,
        /// The topic of ticks.
        ticks: String,
        /// The topic of retries.
        retries: String,
    },
}

/// How guide is set up.
#[derive(Clone, Debug)]
pub struct GuideSettings {
    /// What it reads.
    pub input: GuideInput,
    /// The topic that intake writes, whether it is read or not.
    pub intaken: String,
    /// The changelog.
    pub changelog: String,
    /// Where legs and commands go on to rate.
    pub guided: String,
    /// How many partitions that has: a power of two.
    pub guided_partitions: u32,
    /// Where records wait.
    pub suspense: String,
    /// Where recycling learns of them.
    pub waiting: String,
    /// Where refusals are told.
    pub notifications: String,
    /// Where commands are answered.
    pub replies: String,
    /// What stands before each datum.
    pub frames: Frames,
    /// Headers that say what a message is; none where nobody wants them.
    pub events: Option<CloudEvents>,
    /// For how many hours behind the clock of ticks ids are remembered; `None` is for ever.
    pub duplicate_window_h: Option<u32>,
    /// Hours for which ids of commands are remembered, from their arrival on; for ever where record ids are.
    pub command_memory_h: u32,
    /// Hours for which rate remembers sessions behind the clock: guide says with each record from when on.
    pub state_horizon_h: u32,
}

impl GuideSettings {
    fn ids(&self) -> Duplicates {
        let window = Window { hours: self.duplicate_window_h, command_hours: self.command_memory_h };
        Duplicates::new(window).with_state_horizon(self.state_horizon_h)
    }
}

/// What is kept per partition, besides progress.
#[derive(Debug)]
struct Kept {
    remembered: Remembered,
    packers: Vec<Packer>,
}

/// The stage.
#[derive(Debug)]
pub struct GuideStage {
    inputs: Vec<String>,
    outputs: Vec<String>,
    units: Units<Kept>,
    forms: Forms,
    inbound: Inbound,
    senders: usize,
    prepared: Prepared,
    steps: Steps,
}

/// What the steps of a batch need, and do not change.
#[derive(Debug)]
struct Steps {
    settings: GuideSettings,
    outbound: Outbound,
}

/// A batch at work.
struct Work<'w> {
    output: &'w mut Output,
    totals: ControlTotals,
    snapshot: &'w Snapshot,
    /// Room for what the legs of a record have in common.
    common: Vec<u8>,
}

impl Work<'_> {
    fn count_usage(&mut self, intaken: &Intaken, outcome: RecordOutcome) {
        let record = &intaken.record;
        let counts = &mut self.output.counts;
        counts.record(Service::of(&record.service), outcome, Some((record.unit, record.quantity)));
        counts.age(record.event_time);
    }

    /// Counts what goes no further.
    fn count(&mut self, taken: &Taken, outcome: RecordOutcome) {
        match taken {
            Taken::Usage(intaken) => self.count_usage(intaken, outcome),
            Taken::Command(..) => match outcome {
                RecordOutcome::Duplicate => self.output.counts.command(CommandResult::Duplicate),
                RecordOutcome::Suspended => self.output.counts.command(CommandResult::Suspended),
                RecordOutcome::Guided => {}
            },
            Taken::Fault(_) => self.output.counts.record(Service::Unknown, outcome, None),
            Taken::Tick(_) => {}
        }
    }
}

impl GuideStage {
    /// The stage without state. `inbound` is for input that others write.
    pub fn new(settings: GuideSettings, inbound: Inbound, directory: Arc<dyn Directory>) -> GuideStage {
        let outputs = [
            &settings.changelog,
            &settings.guided,
            &settings.suspense,
            &settings.notifications,
            &settings.replies,
            &settings.waiting,
        ];
        let (inputs, senders, sides) = match &settings.input {
            GuideInput::Intaken { senders } => (vec![settings.intaken.clone()], *senders, Vec::new()),
            GuideInput::Usage { inputs, ticks, retries } => (inputs.clone(), 0, super::beside_inputs(ticks, retries)),
        };
        let outbound = Outbound {
            encoder: Encoder::new(OutputFormat::Avro, ""),
            frames: settings.frames,
            events: settings.events.clone(),
        };
        GuideStage {
            inputs,
            outputs: outputs.into_iter().cloned().collect(),
            units: Units::beside(sides),
            forms: Forms::default(),
            inbound,
            senders,
            prepared: Prepared::new(directory),
            steps: Steps { settings, outbound },
        }
    }

    /// Entries of another topic are another partition's, unless guide read that topic in another setting: record ids would be forgotten.
    fn check_foreign(&self, key: &[u8]) -> Result<(), StageError> {
        let topic = key.split(|byte| *byte == 0).next().unwrap_or_default();
        let is_known = self.inputs.iter().any(|input| input.as_bytes() == topic);
        let GuideSettings { input, intaken, .. } = &self.steps.settings;
        let is_other_setting = match input {
            GuideInput::Intaken { .. } => !is_known,
            // Inputs may be taken away; what intake wrote was never one of them.
            GuideInput::Usage { .. } => topic == intaken.as_bytes(),
        };
        match is_other_setting {
            false => Ok(()),
            true => Err(StageError::Corrupt(format!(
                "the state of guide was made from topic {}, which it no longer reads: --skip-intake cannot be changed in a deployment",
                String::from_utf8_lossy(topic)
            ))),
        }
    }

    fn execute_intaken(&mut self, batch: &Batch, work: &mut Work<'_>) -> Result<(), StageError> {
        let senders = Senders { count: self.senders, timeless: None };
        for message in batch.messages() {
            work.output.executing = Some((message.partition, message.offset));
            let unit = self.units.touch(message.partition, message.offset)?;
            let packed = Unpacked::read(message.value)?;
            unit.progress.receive(&packed.source, packed.sequence)?;
            let forms = self.forms.of(&packed)?;
            let mut decoded = self.prepared.decoded(&message).map(<[Taken]>::iter_mut);
            for entry in &packed.entries {
                let mut read;
                let (origin, taken) = match decoded.as_mut().and_then(Iterator::next) {
                    Some(taken) => (read_origin(*entry, &forms)?, taken),
                    None => {
                        read = read_taken(*entry, &forms)?;
                        (read.0, &mut read.1)
                    }
                };
                match (origin, taken) {
                    (Some(origin), taken) => self.steps.arrival(&origin, taken, &mut unit.kept, work),
                    (None, Taken::Tick(instant)) => {
                        work.totals.received += 1;
                        work.totals.ticks += 1;
                        if let Some(clock) = unit.progress.tick(&packed.source, *instant, senders) {
                            unit.kept.tick(clock);
                        }
                    }
                    (None, Taken::Usage(_) | Taken::Command(..) | Taken::Fault(_)) => {
                        return Err(corrupt("a packed message", "a record without its origin"));
                    }
                }
            }
        }
        Ok(())
    }

    fn execute_usage(&mut self, batch: &Batch, work: &mut Work<'_>) -> Result<(), StageError> {
        for message in batch.messages() {
            let beside = self.units.beside_of(&message);
            let unit = self.units.touch_message(&message)?;
            if !self.inbound.is_ours(&message, &self.inputs) {
                continue;
            }
            let from = match &beside {
                Some((topic, id)) => (&**topic, *id),
                None => (topic_of(&self.inputs, message.partition), unit.topics.id),
            };
            let arrival = self.inbound.arrival(&message, from, &mut self.forms);
            let mut read;
            let taken = match self.prepared.decoded(&message).and_then(<[Taken]>::first_mut) {
                Some(taken) => taken,
                None => {
                    read = self.inbound.take(&message);
                    &mut read
                }
            };
            if let Taken::Tick(_) = taken {
                work.totals.received += 1;
                work.totals.ticks += 1;
                continue;
            }
            self.steps.arrival(&arrival.origin(), taken, &mut unit.kept, work);
        }
        for tick in batch.ticks() {
            let unit = self.units.touch_tick(&tick)?;
            work.totals.received += 1;
            work.totals.ticks += 1;
            if let Some(clock) = unit.progress.advance(tick.instant) {
                unit.kept.tick(clock);
            }
        }
        Ok(())
    }
}

impl Kept {
    /// It is later now, here and for everybody who comes after.
    fn tick(&mut self, clock: Timestamp) {
        self.remembered.ids.tick(clock);
        for packer in &mut self.packers {
            packer.add(|_, out| write_tick(clock, out));
        }
    }
}

impl Steps {
    /// Everything that happens to a record or command. What is told of it belongs to its trace.
    fn arrival(&self, origin: &Origin<'_>, taken: &Taken, kept: &mut Kept, work: &mut Work<'_>) {
        let first = work.output.len();
        self.decide(origin, taken, kept, work);
        work.output.add_trace(first, origin.trace);
    }

    fn decide(&self, origin: &Origin<'_>, taken: &Taken, kept: &mut Kept, work: &mut Work<'_>) {
        if let Some(Retried { wanted: wanted @ (Wanted::Hold | Wanted::Leave), reason, level, .. }) = origin.retried {
            return kept.remembered.note(wanted, Intent::of(reason, level), taken.identity_at(origin.place()));
        }
        work.totals.received += 1;
        // Whoever copies the input once more must not have it charged once more.
        if let Some(retried) = origin.retried
            && !kept.remembered.is_first(origin, retried, taken)
        {
            return Step::Duplicate(None).count(&mut work.totals);
        }
        let arrival = origin.arrival();
        let verdict = arrival.admit(taken, || origin.place(), &mut kept.remembered.ids, None);
        let step = arrival.guide(taken, &verdict, work.snapshot);
        step.count(&mut work.totals);
        match &step {
            Step::Legs(legs) => {
                self.send_legs(origin, *legs, kept, work);
                work.count(taken, RecordOutcome::Guided);
            }
            Step::Command(guided) => {
                if let Some(packer) = kept.packers.get_mut(self.partition_of(&guided.edge.payer)) {
                    packer.add(|tables, out| write_command(origin, guided, tables, out));
                }
            }
            Step::Refused(..) => work.output.counts.command(CommandResult::Refused),
            Step::Suspended(suspended) => {
                let passed = Some(suspended).filter(|_| matches!(verdict, Verdict::Pass(_)));
                let is_owner = passed.and_then(Suspended::holds);
                if let (Some(is_owner), Some(id)) = (is_owner, taken.identity_at(origin.place())) {
                    kept.remembered.ids.suspend(id, is_owner);
                }
                work.output.counts.waits(suspended.reason);
                work.count(taken, RecordOutcome::Suspended);
            }
            Step::Duplicate(_) => work.count(taken, RecordOutcome::Duplicate),
            Step::Tick(_) => {}
        }
        step.tell(taken, &mut Telling { outbound: &self.outbound, origin, output: work.output });
    }

    fn send_legs(&self, origin: &Origin<'_>, legs: Legs<'_>, kept: &mut Kept, work: &mut Work<'_>) {
        let legs: SmallVec<[Leg<'_>; 8]> = legs.legs().collect();
        let mut targets: SmallVec<[Option<usize>; 8]> =
            legs.iter().map(|leg| Some(self.partition_of(&leg.edge.payer))).collect();
        work.common.clear();
        if let Some(leg) = legs.first() {
            write_common(origin, leg, &mut work.common);
        }
        for at in 0..legs.len() {
            // All legs of one owner travel together: the others of an owner that has gone have gone with it.
            let Some(target) = targets[at] else { continue };
            let mut together: SmallVec<[Leg<'_>; 8]> = SmallVec::new();
            for (leg, other) in legs.iter().zip(&mut targets).skip(at) {
                if *other == Some(target) {
                    together.push(*leg);
                    *other = None;
                }
            }
            kept.packers[target].add(|tables, out| write_legs(origin, &work.common, &together, tables, out));
        }
        for leg in &legs {
            work.totals.guided_leg(leg.edge.level, leg.usage.quantity);
        }
    }

    fn partition_of(&self, account: &rating::AccountId) -> usize {
        shard_of(account, SHARDS) % self.settings.guided_partitions.max(1) as usize
    }
}

/// What guide tells of a record or command.
struct Telling<'t> {
    outbound: &'t Outbound,
    origin: &'t Origin<'t>,
    output: &'t mut Output,
}

impl Tell for Telling<'_> {
    fn suspended(&mut self, suspended: &Suspended, taken: &Taken) {
        let waiting = Waiting { origin: self.origin, identity: taken.identity(), suspended };
        self.outbound.suspense([SUSPENSE, WAITING], &waiting, self.output);
    }

    fn notification(&mut self, notification: &Notification<'_>) {
        self.outbound.notification(NOTIFICATIONS, notification, self.output);
    }

    fn reply(&mut self, reply: &CommandReply<'_>) {
        self.outbound.reply(REPLIES, reply, self.output);
    }
}

impl Stage for GuideStage {
    fn inputs(&self) -> &[String] {
        &self.inputs
    }

    fn outputs(&self) -> &[String] {
        &self.outputs
    }

    fn changelog(&self) -> &str {
        &self.steps.settings.changelog
    }

    fn create(&mut self, partition: Partition) {
        let settings = &self.steps.settings;
        let kept = Kept {
            remembered: Remembered::new(settings.ids()),
            packers: (0..settings.guided_partitions).map(|_| Packer::default()).collect(),
        };
        self.units.create(partition, kept);
    }

    fn restore(&mut self, partition: Partition, key: &[u8], value: Option<&[u8]>) -> Result<(), StageError> {
        let Some((about, own)) = read_key(topic_of(&self.inputs, partition), key)? else {
            return self.check_foreign(key);
        };
        let unit = self.units.get(partition)?;
        match (about, value) {
            (About::Progress, Some(value)) => unit.progress = Progress::read(&mut read_format(value)?)?,
            (About::Ids, value) => unit.kept.remembered.restore(own, value)?,
            (About::Topics, value) => unit.restore_topics(value)?,
            (About::Held, value) => unit.kept.remembered.restore_held(own, value)?,
            (About::Progress, None)
            | (About::Segment | About::Waiting | About::Requests | About::CarriedOut | About::Told, _) => {}
        }
        Ok(())
    }

    fn restored(&mut self, partition: Partition) -> Result<Option<Offset>, StageError> {
        let unit = self.units.get(partition)?;
        let Progress { horizon, clock, .. } = unit.progress;
        unit.kept.remembered.restored(horizon, clock);
        check_targets(&mut unit.progress, self.steps.settings.guided_partitions, &self.steps.settings.guided)
    }

    fn drop_state(&mut self, partition: Partition) {
        self.units.drop_one(partition);
    }

    fn prepare(&mut self, batch: &Batch) -> Result<(), FactsMissing> {
        self.prepared.begin();
        let (inbound, forms) = (&mut self.inbound, &mut self.forms);
        match self.steps.settings.input {
            // A message that cannot be read is found out again, and said, when it is executed.
            GuideInput::Intaken { .. } => self.prepared.prepare(batch, |message| {
                let Ok(packed) = Unpacked::read(message.value) else { return Vec::new() };
                let Ok(forms) = forms.of(&packed) else { return Vec::new() };
                packed.entries.iter().map_while(|entry| Some(read_taken(*entry, &forms).ok()?.1)).collect()
            }),
            GuideInput::Usage { .. } => {
                let (units, sides) = (&self.units, self.units.sides());
                inbound.prepare(batch, |at| units.one(at).is_some_and(|unit| unit.is_from_before_ticks(sides)))?;
                self.prepared.prepare(batch, |message| vec![inbound.take(message)])
            }
        }
    }

    fn waiting(&self, batch: &Batch) -> Option<BTreeSet<log::Place>> {
        self.prepared.waiting(batch)
    }

    fn execute(&mut self, batch: &Batch, output: &mut Output) -> Result<(), StageError> {
        let snapshot = self.prepared.snapshot().ok_or_else(|| corrupt("a batch", "it was not prepared"))?;
        let mut work = Work { output, totals: ControlTotals::default(), snapshot: &snapshot, common: Vec::new() };
        match self.steps.settings.input {
            GuideInput::Intaken { .. } => self.execute_intaken(batch, &mut work)?,
            GuideInput::Usage { .. } => self.execute_usage(batch, &mut work)?,
        }
        work.totals.check_records()?;
        for (partition, unit) in self.units.touched() {
            let topic = topic_of(&self.inputs, partition);
            let source = Source { topic: topic.to_owned(), partition: partition.number };
            send_packed((&source, snapshot.version()), &mut unit.progress, &mut unit.kept.packers, GUIDED, work.output);
            unit.progress.horizon = Some(unit.kept.remembered.ids.horizon());
            let position = unit.progress.position.unwrap_or_default();
            let changelog = Changelog::of(topic, partition);
            unit.kept.remembered.write(changelog, position, work.output);
            unit.kept.remembered.write_held(changelog, work.output);
            changelog.put(About::Progress, &[], work.output, |out| unit.progress.write(out));
            unit.write_topics(changelog, work.output);
        }
        Ok(())
    }

    fn positions(&self) -> Vec<(Partition, Offset)> {
        self.units.positions()
    }

    fn settle(&mut self) {
        self.prepared.settle();
        self.units.settle(|unit| unit.kept.remembered.settle());
    }

    fn undo(&mut self) {
        self.units.undo(|unit| {
            unit.kept.packers.iter_mut().for_each(Packer::clear);
            unit.kept.remembered.undo();
        });
    }

    fn sides(&self) -> &[Side] {
        self.units.sides()
    }

    fn read_tick(&self, value: &[u8], appended: Option<Timestamp>) -> Result<Timestamp, NoTick> {
        super::tick::read(value, appended, self.inbound.future_ms())
    }

    fn known(&self, partition: Partition) -> Known {
        self.units.known(partition)
    }

    fn begin(&mut self, partition: Partition, beginning: &Beginning) {
        self.units.begin(partition, beginning);
    }

    fn status(&self) -> StageStatus {
        let ids = self.units.all().map(|unit| unit.kept.remembered.ids.len() as u64).sum();
        let held_by = self.units.slowest(Senders { count: self.senders, timeless: None });
        StageStatus { clock: self.units.clock(), entries: ids, held_by, ..StageStatus::default() }
    }
}
