//! Cycle: what the directory and time cause, and no record from outside does. Today it buys the bundles that reference data grant.
//!
//! Its input is the topic of ticks, so that one worker of a deployment has it, and each look at the directory is fenced like any batch. What it makes
//! goes straight to the owner of the account, guided by the snapshot that it was found in. Exactly once does not rest on the window of record ids: the
//! ids of all grants that were carried out are its state, and change in the transaction in which the commands leave.
//!
//! | bounded | by |
//! | --- | --- |
//! | commands of a commit | [`SLICE`]; while more is due it commits without a message |
//! | looks at the directory | one for each tick, and for each slice |
//!
//! A directory that cannot answer holds nobody: what is due then leaves at a later tick.

use super::entry::{Forms, Origin, write_command};
use super::outbound::Outbound;
use super::packed::{Packer, Source};
use super::progress::{About, Changelog, Progress, Units, corrupt, read_format, read_key};
use super::{SHARDS, check_targets, send_packed, topic_of};
use crate::grants::grant_lines;
use crate::state::Stored;
use crate::wire::{CloudEvents, CommandReply, Decoder, Encoder, Frames, OutputFormat};
use crate::worker::counts::{CommandResult, StageStatus};
use crate::worker::log::{Batch, Offset, Partition};
use crate::worker::{Beginning, FactsMissing, Known, Output, Stage, StageError};
use directory::snapshot::{Grant, Snapshot};
use directory::{Directory, Needs};
use pipeline::guide::shard_of;
use pipeline::{Arrival, ControlMismatch, IntakeRules, Step, Suspended, Taken, Tell, Verdict};
use rating::{Notification, Timestamp};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// Outputs, by their place in the list.
const GUIDED: u16 = 1;
const NOTIFICATIONS: u16 = 2;
const REPLIES: u16 = 3;

/// Commands that leave with one commit.
const SLICE: usize = 1_000;

/// How cycle is set up.
#[derive(Clone, Debug)]
pub struct CycleSettings {
    /// The topic of ticks, which is its input.
    pub ticks: String,
    /// The changelog.
    pub changelog: String,
    /// Where commands go to rate.
    pub guided: String,
    /// How many partitions that has: a power of two.
    pub guided_partitions: u32,
    /// Where refusals are told.
    pub notifications: String,
    /// Where commands are answered.
    pub replies: String,
    /// What stands before each datum.
    pub frames: Frames,
    /// Headers that say what a message is; none where nobody wants them.
    pub events: Option<CloudEvents>,
    /// Source of records that name none.
    pub default_source: String,
    /// Whether bundles that reference data grant are bought.
    pub buys_grants: bool,
    /// How far ahead of now a tick may be, in milliseconds.
    pub future_ms: i64,
    /// The time of day.
    pub now: fn() -> Timestamp,
}

/// What is kept per partition, besides progress.
#[derive(Debug)]
struct Kept {
    /// Ids of grants that were carried out.
    carried_out: BTreeSet<Box<str>>,
    /// Those that the batch added.
    journal: Vec<Box<str>>,
    packers: Vec<Packer>,
}

/// The stage.
#[derive(Debug)]
pub struct CycleStage {
    inputs: Vec<String>,
    outputs: Vec<String>,
    settings: CycleSettings,
    outbound: Outbound,
    directory: Arc<dyn Directory>,
    units: Units<Kept>,
    forms: Forms,
    look: Look,
}

/// What is due by what was seen of the directory last.
#[derive(Debug, Default)]
struct Look {
    /// The clock and the catalog of the last time that all grants were gone through: nothing more is due while both are the same.
    gone_through: Option<(Timestamp, Arc<directory::snapshot::Catalog>)>,
    due: VecDeque<Grant>,
    /// What the next commit carries out, and by which snapshot.
    slice: Vec<Grant>,
    snapshot: Option<Arc<Snapshot>>,
    /// The directory could not answer.
    is_held: bool,
}

impl Look {
    /// Finds out what is due, and gets what carrying out the first of it needs.
    fn look(&mut self, directory: &dyn Directory, clock: Timestamp, is_done: impl Fn(&str) -> bool) {
        self.slice.clear();
        self.is_held = true;
        let Ok(seen) = directory.snapshot_for(&Needs::default()) else { return };
        let is_same = self.gone_through.as_ref().is_some_and(|(at, catalog)| {
            let next = catalog.grants().get(catalog.grants().partition_point(|grant| grant.at <= *at));
            Arc::ptr_eq(catalog, seen.catalog()) && next.is_none_or(|next| next.at > clock)
        });
        if !is_same {
            let grants = seen.catalog().grants();
            let due = &grants[..grants.partition_point(|grant| grant.at <= clock)];
            self.due = due.iter().filter(|grant| !is_done(&grant.command_id)).cloned().collect();
            self.gone_through = Some((clock, seen.catalog().clone()));
        }
        let first = || self.due.iter().take(SLICE);
        let mut needs = Needs::default();
        for grant in first() {
            needs.add_account(&grant.account);
            grant.endpoint.iter().for_each(|endpoint| needs.add_endpoint(endpoint));
        }
        let snapshot = if needs.is_empty() { Ok(seen) } else { directory.snapshot_for(&needs) };
        let Ok(snapshot) = snapshot else { return };
        self.slice = first().cloned().collect();
        self.snapshot = Some(snapshot);
        self.is_held = false;
    }

    /// What was looked at may not be true any more.
    fn forget(&mut self) {
        *self = Look::default();
    }
}

impl CycleStage {
    /// The stage without state.
    pub fn new(settings: CycleSettings, directory: Arc<dyn Directory>) -> CycleStage {
        let outputs = [&settings.changelog, &settings.guided, &settings.notifications, &settings.replies];
        CycleStage {
            inputs: vec![settings.ticks.clone()],
            outputs: outputs.into_iter().cloned().collect(),
            outbound: Outbound {
                encoder: Encoder::new(OutputFormat::Avro, ""),
                frames: settings.frames,
                events: settings.events.clone(),
            },
            directory,
            units: Units::default(),
            forms: Forms::default(),
            look: Look::default(),
            settings,
        }
    }

    /// The instant of a tick that counts.
    fn instant(&self, value: &[u8]) -> Option<Timestamp> {
        // When the log appended it is not at hand here; a tick that the others refuse for being ahead of that is ahead of now, too.
        super::tick::read(value, Some((self.settings.now)()), self.settings.future_ms).ok()
    }

    /// Carries out the slice.
    ///
    /// # Errors
    /// A grant is no command that can be guided: reference data were checked, so nothing may be committed.
    fn carry_out(&mut self, output: &mut Output) -> Result<(), StageError> {
        let CycleStage { settings, outbound, units, forms, look, .. } = self;
        let Some(snapshot) = look.snapshot.as_deref().filter(|_| !look.slice.is_empty()) else { return Ok(()) };
        let form = forms.get(&settings.ticks, None, Decoder::json_lines().content_type());
        let rules = IntakeRules::new(&settings.default_source).for_admitted();
        let lines = grant_lines(&look.slice.iter().collect::<Vec<_>>(), snapshot);
        for unit in units.touch_those(|_| true) {
            for (at, grant) in look.slice.iter().enumerate() {
                let bytes = lines.get(at);
                let taken = match Decoder::json_lines().decode(bytes) {
                    Ok(decoded) => decoded.take_in(&rules),
                    Err(fault) => Taken::Fault(fault),
                };
                let step = Arrival::GRANTED.guide(&taken, &Verdict::Pass(Timestamp::EPOCH), snapshot);
                let offset = unit.progress.position.unwrap_or(0);
                let origin = Origin { form: &form, partition: 0, offset, key: None, bytes, retried: None, trace: None };
                match &step {
                    Step::Command(guided) => {
                        let partitions = settings.guided_partitions.max(1) as usize;
                        let target = shard_of(&guided.edge.payer, SHARDS) % partitions;
                        unit.kept.packers[target].add(|tables, out| write_command(&origin, guided, tables, out));
                    }
                    Step::Refused(..) => output.counts.command(CommandResult::Refused),
                    Step::Legs(_) | Step::Duplicate(_) | Step::Tick(_) | Step::Suspended(_) => {
                        let detail = format!("the grant {} came to {step:?}", grant.command_id);
                        return Err(ControlMismatch { check: "assumption", detail }.into());
                    }
                }
                step.tell(&taken, &mut Telling { outbound, output });
                let id: Box<str> = grant.command_id.as_str().into();
                unit.kept.carried_out.insert(id.clone());
                unit.kept.journal.push(id);
            }
        }
        Ok(())
    }
}

/// What cycle tells of a command itself.
struct Telling<'t> {
    outbound: &'t Outbound,
    output: &'t mut Output,
}

impl Tell for Telling<'_> {
    fn suspended(&mut self, _suspended: &Suspended, _taken: &Taken) {}

    fn notification(&mut self, notification: &Notification<'_>) {
        self.outbound.notification(NOTIFICATIONS, notification, self.output);
    }

    fn reply(&mut self, reply: &CommandReply<'_>) {
        self.outbound.reply(REPLIES, reply, self.output);
    }
}

impl Stage for CycleStage {
    fn inputs(&self) -> &[String] {
        &self.inputs
    }

    fn outputs(&self) -> &[String] {
        &self.outputs
    }

    fn changelog(&self) -> &str {
        &self.settings.changelog
    }

    fn create(&mut self, partition: Partition) {
        let packers = (0..self.settings.guided_partitions).map(|_| Packer::default()).collect();
        self.units.create(partition, Kept { carried_out: BTreeSet::new(), journal: Vec::new(), packers });
        self.look.forget();
    }

    fn restore(&mut self, partition: Partition, key: &[u8], value: Option<&[u8]>) -> Result<(), StageError> {
        let Some((about, own)) = read_key(topic_of(&self.inputs, partition), key)? else { return Ok(()) };
        let unit = self.units.get(partition)?;
        match (about, value) {
            (About::Progress, Some(value)) => unit.progress = Progress::read(&mut read_format(value)?)?,
            (About::Topics, value) => unit.restore_topics(value)?,
            (About::CarriedOut, Some(value)) => {
                read_format(value)?;
                let id = std::str::from_utf8(own).map_err(|_| corrupt("a changelog key", "not UTF-8"))?;
                unit.kept.carried_out.insert(id.into());
            }
            (About::Progress | About::CarriedOut, None)
            | (About::Ids | About::Segment | About::Waiting | About::Requests | About::Held, _) => {}
        }
        Ok(())
    }

    fn restored(&mut self, partition: Partition) -> Result<Option<Offset>, StageError> {
        let CycleSettings { guided_partitions, guided, .. } = &self.settings;
        check_targets(&mut self.units.get(partition)?.progress, *guided_partitions, guided)
    }

    fn drop_state(&mut self, partition: Partition) {
        self.units.drop_one(partition);
        self.look.forget();
    }

    fn prepare(&mut self, batch: &Batch) -> Result<(), FactsMissing> {
        let ticked = batch.messages().filter_map(|message| self.instant(message.value)).max();
        let Some(unit) = self.units.all().next().filter(|_| self.settings.buys_grants) else { return Ok(()) };
        if let Some(clock) = unit.progress.clock.max(ticked) {
            let done = &unit.kept.carried_out;
            self.look.look(&*self.directory, clock, |id| done.contains(id));
        }
        Ok(())
    }

    fn has_work(&self) -> bool {
        !self.look.due.is_empty() && !self.look.is_held
    }

    fn execute(&mut self, batch: &Batch, output: &mut Output) -> Result<(), StageError> {
        for message in batch.messages() {
            output.executing = Some((message.partition, message.offset));
            let instant = self.instant(message.value);
            let unit = self.units.touch(message.partition, message.offset)?;
            if let Some(instant) = instant {
                unit.progress.advance(instant);
            }
        }
        output.executing = None;
        self.carry_out(output)?;
        let version = self.look.snapshot.as_ref().map(|snapshot| snapshot.version().clone());
        for (partition, unit) in self.units.touched() {
            let source = Source { topic: self.settings.ticks.clone(), partition: partition.number };
            let source = (&source, version.as_deref().unwrap_or_default());
            send_packed(source, &mut unit.progress, &mut unit.kept.packers, GUIDED, output);
            let changelog = Changelog::of(topic_of(&self.inputs, partition), partition);
            for id in &unit.kept.journal {
                changelog.put(About::CarriedOut, &[id.as_bytes()], output, |_| {});
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
        self.units.settle(|unit| unit.kept.journal.clear());
        let done = self.look.slice.len();
        self.look.due.drain(..done);
        self.look.slice.clear();
    }

    fn undo(&mut self) {
        self.units.undo(|unit| {
            for id in unit.kept.journal.drain(..) {
                unit.kept.carried_out.remove(&id);
            }
            unit.kept.packers.iter_mut().for_each(Packer::clear);
        });
    }

    fn known(&self, partition: Partition) -> Known {
        self.units.known(partition)
    }

    fn begin(&mut self, partition: Partition, beginning: &Beginning) {
        self.units.begin(partition, beginning);
    }

    fn status(&self) -> StageStatus {
        let entries = self.units.all().map(|unit| unit.kept.carried_out.len() as u64).sum();
        let (clock, oldest) = (self.units.clock(), self.look.due.iter().map(|grant| grant.at).min());
        let behind_ms = |clock: Timestamp, oldest: Timestamp| clock.millis().saturating_sub(oldest.millis());
        let due_behind_ms = clock.zip(oldest).map_or(0, |(clock, oldest)| behind_ms(clock, oldest));
        StageStatus { clock, entries, due_behind_ms, ..StageStatus::default() }
    }
}
