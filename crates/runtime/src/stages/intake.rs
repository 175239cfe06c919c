//! Intake: decodes, validates and routes what others write, so that all copies of a record meet.

use super::entry::{Forms, write_taken, write_tick};
use super::inbound::Inbound;
use super::outbound::{Outbound, Waiting};
use super::packed::{Packer, Source};
use super::progress::{About, Changelog, Progress, Units, read_format, read_key};
use crate::state::Stored;
use crate::wire::{CloudEvents, Encoder, Frames, OutputFormat};
use crate::worker::counts::{RecordOutcome, Service, StageStatus};
use crate::worker::log::{Batch, Offset, Partition};
use crate::worker::{Beginning, FactsMissing, Known, NoTick, Output, Side, Stage, StageError};
use pipeline::guide::shard_of;
use pipeline::{ControlTotals, Taken};
use rating::Timestamp;

/// Outputs, by their place in the list.
const INTAKEN: u16 = 1;
const SUSPENSE: u16 = 2;
const WAITING: u16 = 3;

/// How intake is set up.
#[derive(Clone, Debug)]
pub struct IntakeSettings {
    /// Topics with usage and commands.
    pub inputs: Vec<String>,
    /// The topic of ticks.
    pub ticks: String,
    /// The topic of retries.
    pub retries: String,
    /// The changelog.
    pub changelog: String,
    /// Where records go on to guide.
    pub intaken: String,
    /// How many partitions that has.
    pub intaken_partitions: u32,
    /// Where records wait.
    pub suspense: String,
    /// Where recycling learns of them.
    pub waiting: String,
    /// What stands before each datum.
    pub frames: Frames,
    /// Headers that say what a message is; none where nobody wants them.
    pub events: Option<CloudEvents>,
}

/// The stage.
#[derive(Debug)]
pub struct IntakeStage {
    settings: IntakeSettings,
    outputs: Vec<String>,
    outbound: Outbound,
    inbound: Inbound,
    units: Units<Vec<Packer>>,
    forms: Forms,
}

impl IntakeStage {
    /// The stage without state.
    pub fn new(settings: IntakeSettings, inbound: Inbound) -> IntakeStage {
        let outputs = [&settings.changelog, &settings.intaken, &settings.suspense, &settings.waiting];
        let outputs = outputs.into_iter().cloned().collect();
        let encoder = Encoder::new(OutputFormat::Avro, "");
        let outbound = Outbound { encoder, frames: settings.frames, events: settings.events.clone() };
        let units = Units::beside(super::beside_inputs(&settings.ticks, &settings.retries));
        IntakeStage { settings, outputs, outbound, inbound, units, forms: Forms::default() }
    }
}

/// Which of `partitions` a record or command goes to: all copies of it to the same one, and commands of an account in their order.
fn route(taken: &Taken, partitions: u32) -> u32 {
    let partitions = partitions.max(1);
    match taken {
        Taken::Usage(intaken) => ((intaken.key >> 64) as u64 % u64::from(partitions)) as u32,
        Taken::Command(_, command) => shard_of(&command.account_id, partitions as usize) as u32,
        Taken::Tick(_) | Taken::Fault(_) => 0,
    }
}

impl Stage for IntakeStage {
    fn inputs(&self) -> &[String] {
        &self.settings.inputs
    }

    fn outputs(&self) -> &[String] {
        &self.outputs
    }

    fn changelog(&self) -> &str {
        &self.settings.changelog
    }

    fn create(&mut self, partition: Partition) {
        let packers = (0..self.settings.intaken_partitions).map(|_| Packer::default()).collect();
        self.units.create(partition, packers);
    }

    fn restore(&mut self, partition: Partition, key: &[u8], value: Option<&[u8]>) -> Result<(), StageError> {
        let topic = super::topic_of(&self.settings.inputs, partition);
        let unit = self.units.get(partition)?;
        match (read_key(topic, key)?, value) {
            (Some((About::Progress, _)), Some(value)) => unit.progress = Progress::read(&mut read_format(value)?)?,
            (Some((About::Topics, _)), value) => unit.restore_topics(value)?,
            (
                Some((
                    About::Progress
                    | About::Ids
                    | About::Segment
                    | About::Waiting
                    | About::Requests
                    | About::Held
                    | About::CarriedOut
                    | About::Told,
                    _,
                ))
                | None,
                _,
            ) => {}
        }
        Ok(())
    }

    fn restored(&mut self, partition: Partition) -> Result<Option<Offset>, StageError> {
        let targets = self.settings.intaken_partitions;
        super::check_targets(&mut self.units.get(partition)?.progress, targets, &self.settings.intaken)
    }

    fn drop_state(&mut self, partition: Partition) {
        self.units.drop_one(partition);
    }

    fn prepare(&mut self, batch: &Batch) -> Result<(), FactsMissing> {
        let (units, sides) = (&self.units, self.units.sides());
        self.inbound.prepare(batch, |at| units.one(at).is_some_and(|unit| unit.is_from_before_ticks(sides)))
    }

    fn execute(&mut self, batch: &Batch, output: &mut Output) -> Result<(), StageError> {
        let mut totals = ControlTotals::default();
        for message in batch.messages() {
            let beside = self.units.beside_of(&message);
            let unit = self.units.touch_message(&message)?;
            if !self.inbound.is_ours(&message, &self.settings.inputs) {
                continue;
            }
            let from = match &beside {
                Some((topic, id)) => (&**topic, *id),
                None => (super::topic_of(&self.settings.inputs, message.partition), unit.topics.id),
            };
            let arrival = self.inbound.arrival(&message, from, &mut self.forms);
            let origin = arrival.origin();
            let taken = self.inbound.take(&message);
            if origin.is_note() {
                // No record: guide keeps an id, or does so no longer. What cannot be read has none.
                let packer = unit.kept.get_mut(route(&taken, self.settings.intaken_partitions) as usize);
                if let (Some(packer), Taken::Usage(_) | Taken::Command(..)) = (packer, &taken) {
                    packer.add(|tables, out| write_taken(&origin, &taken, tables, out));
                }
                continue;
            }
            totals.received += 1;
            match &taken {
                Taken::Fault(fault) => {
                    let suspended = origin.arrival().unread(fault);
                    totals.suspended += 1;
                    output.counts.record(Service::Unknown, RecordOutcome::Suspended, None);
                    output.counts.waits(suspended.reason);
                    let waiting = Waiting { origin: &origin, identity: None, suspended: &suspended };
                    let first = output.len();
                    self.outbound.suspense([SUSPENSE, WAITING], &waiting, output);
                    output.add_trace(first, origin.trace);
                }
                Taken::Tick(_) => totals.ticks += 1,
                Taken::Usage(_) | Taken::Command(..) => {
                    totals.guided += 1;
                    if let Taken::Usage(intaken) = &taken {
                        output.counts.age(intaken.record.event_time);
                    }
                    let target = route(&taken, self.settings.intaken_partitions);
                    if let Some(packer) = unit.kept.get_mut(target as usize) {
                        packer.add(|tables, out| write_taken(&origin, &taken, tables, out));
                    }
                }
            }
        }
        for tick in batch.ticks() {
            let unit = self.units.touch_tick(&tick)?;
            totals.received += 1;
            totals.ticks += 1;
            if let Some(clock) = unit.progress.advance(tick.instant) {
                for packer in &mut unit.kept {
                    packer.add(|_, out| write_tick(clock, out));
                }
            }
        }
        for (partition, unit) in self.units.touched() {
            let topic = super::topic_of(&self.settings.inputs, partition);
            let source = Source { topic: topic.to_owned(), partition: partition.number };
            super::send_packed((&source, ""), &mut unit.progress, &mut unit.kept, INTAKEN, output);
            let changelog = Changelog::of(topic, partition);
            changelog.put(About::Progress, &[], output, |out| unit.progress.write(out));
            unit.write_topics(changelog, output);
        }
        totals.check_records()?;
        Ok(())
    }

    fn positions(&self) -> Vec<(Partition, Offset)> {
        self.units.positions()
    }

    fn settle(&mut self) {
        self.units.settle(|_| {});
    }

    fn undo(&mut self) {
        self.units.undo(|unit| unit.kept.iter_mut().for_each(Packer::clear));
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
        StageStatus { clock: self.units.clock(), entries: 0, ..StageStatus::default() }
    }
}
