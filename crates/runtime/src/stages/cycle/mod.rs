//! Cycle: what the directory and time cause, and no record from outside does. It buys the bundles that reference data grant, and tells accounts what the
//! directory says of them over time ([`rating::timeline`]).
//!
//! Its input is the topic of ticks, so that one worker of a deployment has it, and each look at the directory is fenced like any batch. What it makes
//! goes straight to the owner of the account, guided by the snapshot that it was found in. Exactly once does not rest on the window of record ids: what
//! was carried out and told is its state ([`kept`]), and changes in the transaction in which the messages leave.
//!
//! | bounded | by |
//! | --- | --- |
//! | commands of a commit, accounts that it tells something | 1,000 of each; while there are more it commits without a message |
//! | reads of the directory | those of one look ([`look`]) for each tick and each slice: the accounts of 1,000 commands, 1,000 endpoints that changed, 8 parts of a walk |
//! | state | an entry of 16 bytes for each command that was ever carried out, of 32 for each account that was told something |
//!
//! A directory that cannot answer holds nobody: what is due then leaves at a later tick.

mod kept;
mod look;

use super::entry::{Forms, Origin, write_change, write_command};
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
use directory::Directory;
use kept::Kept;
use look::Look;
use pipeline::guide::shard_of;
use pipeline::{Arrival, ControlMismatch, IntakeRules, Step, Suspended, Taken, Tell, Verdict};
use rating::{AccountChange, AccountId, Notification, Timestamp};
use std::sync::Arc;

/// Outputs, by their place in the list.
const GUIDED: u16 = 1;
const NOTIFICATIONS: u16 = 2;
const REPLIES: u16 = 3;

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
    /// All endpoints of a directory that does not hold them whole are gone through with every so many milliseconds of the clock.
    pub walk_every_ms: i64,
    /// How far ahead of now a tick may be, in milliseconds.
    pub future_ms: i64,
    /// The time of day.
    pub now: fn() -> Timestamp,
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
            look: Look::new(settings.walk_every_ms, settings.buys_grants),
            settings,
        }
    }

    /// The instant of a tick that counts.
    fn instant(&self, value: &[u8]) -> Option<Timestamp> {
        // When the log appended it is not at hand here: a tick ahead of that is refused while it is ahead of now, too.
        super::tick::read(value, Some((self.settings.now)()), self.settings.future_ms).ok()
    }

    /// The partition of an account's owner.
    fn target(settings: &CycleSettings, account: &AccountId) -> usize {
        shard_of(account, SHARDS) % settings.guided_partitions.max(1) as usize
    }

    /// Tells accounts what the directory says of them.
    fn tell(&mut self) {
        let CycleStage { settings, units, look, .. } = self;
        if look.telling.is_empty() {
            return;
        }
        for unit in units.touch_those(|_| true) {
            for timeline in &look.telling {
                let change = AccountChange { account: &timeline.account, standings: &timeline.standings };
                let target = CycleStage::target(settings, &timeline.account);
                unit.kept.packers[target].add(|_, out| write_change(&change, out));
                unit.kept.tell(timeline);
            }
        }
    }

    /// Carries out the slice.
    ///
    /// # Errors
    /// A grant comes to what no purchase comes to: nothing may be committed.
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
                // Something is due by a tick only, so that there is a position.
                let offset = unit.progress.position.unwrap_or(0);
                let origin = Origin { form: &form, partition: 0, offset, key: None, bytes, retried: None, trace: None };
                match &step {
                    Step::Command(guided) => {
                        let target = CycleStage::target(settings, &guided.edge.payer);
                        unit.kept.packers[target].add(|tables, out| write_command(&origin, guided, tables, out));
                    }
                    Step::Refused(..) => output.counts.command(CommandResult::Refused),
                    Step::Suspended(suspended) => {
                        // Reference data may hold what no command can: an id that is too long. It is not carried out, whatever becomes of the others.
                        tracing::warn!(id = %grant.command_id, ?suspended, "a grant is no command that can be guided");
                        continue;
                    }
                    Step::Legs(_) | Step::Duplicate(_) | Step::Tick(_) => {
                        let detail = format!("the grant {} came to {step:?}", grant.command_id);
                        return Err(ControlMismatch { check: "assumption", detail }.into());
                    }
                }
                step.tell(&taken, &mut Telling { outbound, output });
                if !unit.kept.carry_out(&grant.command_id) {
                    // The look leaves those out: sent again it could be bought again, and undone it would be forgotten.
                    let detail = format!("the grant {} was carried out before", grant.command_id);
                    return Err(ControlMismatch { check: "assumption", detail }.into());
                }
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

    fn reads_ticks_alone(&self) -> bool {
        true
    }

    fn changelog(&self) -> &str {
        &self.settings.changelog
    }

    fn create(&mut self, partition: Partition) {
        let packers = (0..self.settings.guided_partitions).map(|_| Packer::default()).collect();
        self.units.create(partition, Kept::new(packers));
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
                unit.kept.restore_carried_out(id);
            }
            (About::Told, Some(value)) => {
                let account = std::str::from_utf8(own).map_err(|_| corrupt("a changelog key", "not UTF-8"))?;
                unit.kept.restore_told(account, &mut read_format(value)?)?;
            }
            (About::Progress | About::CarriedOut | About::Told, None)
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
        let Some(unit) = self.units.all().next() else { return Ok(()) };
        if let Some(clock) = unit.progress.clock.max(ticked) {
            self.look.look(&*self.directory, clock, unit.kept.done());
        }
        Ok(())
    }

    fn has_work(&self) -> bool {
        self.look.has_work(self.units.clock())
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
        // What an account is told comes before what is done for it.
        self.tell();
        self.carry_out(output)?;
        let version = self.look.snapshot.as_ref().map(|snapshot| snapshot.version().clone());
        for (partition, unit) in self.units.touched() {
            let source = Source { topic: self.settings.ticks.clone(), partition: partition.number };
            let source = (&source, version.as_deref().unwrap_or_default());
            send_packed(source, &mut unit.progress, &mut unit.kept.packers, GUIDED, output);
            let changelog = Changelog::of(topic_of(&self.inputs, partition), partition);
            for id in unit.kept.new_carried_out() {
                changelog.put(About::CarriedOut, &[id.as_bytes()], output, |_| {});
            }
            for (account, told) in unit.kept.new_told() {
                changelog.put(About::Told, &[account.as_str().as_bytes()], output, |out| told.write(out));
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
        self.look.settle();
    }

    fn undo(&mut self) {
        self.units.undo(|unit| unit.kept.undo());
    }

    fn known(&self, partition: Partition) -> Known {
        self.units.known(partition)
    }

    fn begin(&mut self, partition: Partition, beginning: &Beginning) {
        self.units.begin(partition, beginning);
    }

    fn status(&self) -> StageStatus {
        let entries = self.units.all().map(|unit| unit.kept.entries()).sum();
        let clock = self.units.clock();
        let oldest = clock.and_then(|clock| self.look.oldest(clock));
        let behind_ms = |clock: Timestamp, oldest: Timestamp| clock.millis().saturating_sub(oldest.millis());
        let due_behind_ms = clock.zip(oldest).map_or(0, |(clock, oldest)| behind_ms(clock, oldest));
        StageStatus { clock, entries, due_behind_ms, ..StageStatus::default() }
    }
}
