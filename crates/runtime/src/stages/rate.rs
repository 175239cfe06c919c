//! Rate: owns the accounts of its partitions and prices the legs that guide hands over, in the order of the log.

use super::entry::{Choice, Facts, Forms, Guided, GuidedUsage, OlderMessages};
use super::facts::{KnownEdge, KnownFacts};
use super::outbound::{Outbound, Waiting};
use super::packed::Unpacked;
use super::progress::{About, Changelog, Senders, Unit, Units, read_key};
use super::segments::{self, Segments};
use super::{check_targets, topic_of};
use crate::state::{Corrupt, Restoring};
use crate::wire::{CloudEvents, Encoder, Frames, OutputFormat};
use crate::worker::counts::{CommandResult, LegOutcome, StageStatus};
use crate::worker::log::{Batch, Offset, Partition};
use crate::worker::{Beginning, FactsMissing, Known, Output, Stage, StageError};
use pipeline::duplicates::state_horizon;
use pipeline::{CommandReply, ControlTotals, RateOutcome, RateShard, RatedTask, Suspended, Task, Work};
use rating::command::GuidedCommand;
use rating::{AccountChange, Effect, Leg, RateChoice, Timestamp};

/// Outputs, by their place in the list.
const CHARGES: u16 = 1;
const DELTAS: u16 = 2;
const NOTIFICATIONS: u16 = 3;
const SUSPENSE: u16 = 4;
const REPLIES: u16 = 5;
const WAITING: u16 = 6;
const LIFE_EVENTS: u16 = 7;

/// Accounts of a partition whose due work is done with one commit: a slice takes milliseconds, whatever falls due at once.
const SLICE_ACCOUNTS: usize = 1_000;

/// Tasks whose outputs are written before others are done: few enough to be still in the caches.
const WRITTEN_TOGETHER: usize = 128;

/// How rate is set up.
#[derive(Clone, Debug)]
pub struct RateSettings {
    /// What guide writes.
    pub guided: String,
    /// How many partitions that has: state is made for so many.
    pub guided_partitions: u32,
    /// How many partitions guide reads, over all its topics: the clock waits for each of them.
    pub senders: usize,
    /// The topic that cycle reads: what it sends says nothing of how late it is.
    pub timeless: String,
    /// The changelog.
    pub changelog: String,
    /// Where charges go.
    pub charges: String,
    /// Where balance deltas go.
    pub deltas: String,
    /// Where notifications go.
    pub notifications: String,
    /// Where legs wait.
    pub suspense: String,
    /// Where recycling learns of them.
    pub waiting: String,
    /// Where commands are answered.
    pub replies: String,
    /// Where is told what became of bundles and accounts.
    pub life_events: String,
    /// What stands before each datum.
    pub frames: Frames,
    /// Headers that say what a message is; none where nobody wants them.
    pub events: Option<CloudEvents>,
    /// Hours for which guide remembers record ids behind the clock. `None` is for ever.
    pub duplicate_window_h: Option<u32>,
    /// Hours for which state is remembered behind the clock: never fewer than those of a finite window of record ids.
    pub state_horizon_h: u32,
}

impl RateSettings {
    fn senders(&self) -> Senders<'_> {
        Senders { count: self.senders, timeless: Some(&self.timeless) }
    }
}

/// What is kept per partition, besides progress.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) shard: RateShard,
    /// Where its changes are written.
    pub(super) segments: Segments,
    /// The same as of the last commit.
    settled: Segments,
    /// What no event from then on can see may leave.
    horizon: Timestamp,
    /// What was written before rows were, while it is restored.
    pub(super) restoring: Restoring,
}

impl Kept {
    pub(super) fn empty() -> Kept {
        Kept {
            shard: RateShard::with_undo(),
            segments: Segments::default(),
            settled: Segments::default(),
            horizon: Timestamp::EPOCH,
            restoring: Restoring::default(),
        }
    }

    /// Everything that was written down has been put back.
    ///
    /// # Errors
    /// Something is named that was not.
    pub(super) fn end_restoring(&mut self) -> Result<(), Corrupt> {
        self.settled = self.segments;
        self.restoring.end(&mut self.shard.state, self.segments.cycle())
    }
}

/// The stage.
#[derive(Debug)]
pub struct RateStage {
    inputs: Vec<String>,
    outputs: Vec<String>,
    settings: RateSettings,
    outbound: Outbound,
    units: Units<Kept>,
    forms: Forms,
    known_facts: KnownFacts,
}

impl RateStage {
    /// The stage without state.
    pub fn new(settings: RateSettings) -> RateStage {
        let outputs = [
            &settings.changelog,
            &settings.charges,
            &settings.deltas,
            &settings.notifications,
            &settings.suspense,
            &settings.replies,
            &settings.waiting,
            &settings.life_events,
        ];
        RateStage {
            inputs: vec![settings.guided.clone()],
            outputs: outputs.into_iter().cloned().collect(),
            outbound: Outbound {
                encoder: Encoder::new(OutputFormat::Avro, ""),
                frames: settings.frames,
                events: settings.events.clone(),
            },
            settings,
            units: Units::default(),
            forms: Forms::default(),
            known_facts: KnownFacts::default(),
        }
    }
}

/// The tasks of an entry: a leg for each edge, or the one thing that it is.
fn tasks<'a>(
    facts: &'a Facts,
    position: u32,
    entry: &'a Guided<'_>,
    forgotten: Timestamp,
) -> impl Iterator<Item = Task<'a>> {
    let (legs, other) = match entry {
        Guided::Usage(usage) => (Some(&**usage), None),
        Guided::Command { key, command, edge, template, .. } => {
            let template = template.map(|template| &facts.templates[template]);
            let KnownEdge { edge, ancestors } = &*facts.edges[*edge];
            (None, Some(Work::Command(GuidedCommand { command, key: *key, edge, ancestors, template })))
        }
        Guided::Change(account, standings) => (None, Some(Work::Change(AccountChange { account, standings }))),
        // What is due is done beside the batches, in slices.
        Guided::Tick(clock) => (None, Some(Work::Tick(*clock, 0))),
    };
    let legs = legs.into_iter().flat_map(move |usage| {
        let legs = usage.legs.iter();
        legs.map(move |(edge, choice)| Work::Leg(leg(facts, usage, *edge, *choice, forgotten)))
    });
    legs.chain(other).map(move |work| Task { position, work })
}

/// A leg; its numbers were looked up in the tables when the entry was read.
fn leg<'a>(facts: &'a Facts, usage: &'a GuidedUsage<'_>, edge: usize, choice: Choice, forgotten: Timestamp) -> Leg<'a> {
    let KnownEdge { edge, ancestors } = &*facts.edges[edge];
    Leg {
        usage: &usage.record,
        usage_key: usage.key,
        endpoint: usage.endpoint,
        edge,
        ancestors,
        rate: match choice {
            Choice::NoTariff => RateChoice::NoTariff,
            Choice::Missing(reason) => RateChoice::Missing(reason),
            Choice::Rate(rate) => RateChoice::Rate(&facts.rates[rate]),
        },
        // With a horizon that has become longer since, what has left does not come back.
        horizon: usage.horizon.max(forgotten),
        is_late: usage.origin.arrival().intent.is_late(),
    }
}

/// What a message is worked on with.
struct Messages<'w> {
    outbound: &'w mut Outbound,
    output: &'w mut Output,
    totals: ControlTotals,
}

impl Messages<'_> {
    /// Does the tasks of the entries of a message.
    fn rate(&mut self, facts: &Facts, entries: &[Guided<'_>], shard: &mut RateShard) -> Result<(), StageError> {
        let numbered = (0_u32..).zip(entries);
        let forgotten = shard.state.forgotten();
        let mut tasks = numbered.flat_map(|(position, entry)| tasks(facts, position, entry, forgotten)).peekable();
        let (mut effects, mut rated) = (Vec::with_capacity(WRITTEN_TOGETHER), Vec::with_capacity(WRITTEN_TOGETHER));
        while tasks.peek().is_some() {
            let totals = &mut self.totals;
            let counted = tasks.by_ref().take(WRITTEN_TOGETHER).inspect(|task| {
                if let Work::Leg(leg) = task.work {
                    totals.guided_leg(leg.edge.level, leg.usage.quantity);
                }
            });
            shard.execute(counted, &mut effects, &mut rated);
            self.totals.rated(&rated);
            self.totals.add_effects(&effects)?;
            self.count(&rated);
            self.write(entries, &effects, &rated);
            effects.clear();
            rated.clear();
        }
        Ok(())
    }

    /// Does a slice of the work that is due.
    fn work(&mut self, shard: &mut RateShard) -> Result<(), StageError> {
        let mut effects = Vec::new();
        self.output.counts.due_accounts += shard.work(SLICE_ACCOUNTS, &mut effects) as u64;
        self.totals.add_effects(&effects)?;
        effects.iter().for_each(|effect| self.write_effect(effect));
        Ok(())
    }

    fn count(&mut self, rated: &[RatedTask]) {
        let counts = &mut self.output.counts;
        for task in rated {
            match task.outcome {
                RateOutcome::Charged => counts.leg(task.level, LegOutcome::Charged),
                RateOutcome::Suspended(reason) => {
                    counts.leg(task.level, LegOutcome::Suspended);
                    counts.waits(reason);
                }
                RateOutcome::Applied => counts.command(CommandResult::Applied),
                RateOutcome::Refused(_) => counts.command(CommandResult::Refused),
                RateOutcome::Learnt | RateOutcome::Ticked => {}
            }
        }
    }

    /// Writes what tasks put out, in their order.
    fn write(&mut self, entries: &[Guided<'_>], effects: &[Effect<'_>], rated: &[RatedTask]) {
        let mut begun = 0;
        for task in rated {
            let end = task.effects_end as usize;
            let effects = &effects[begun..end];
            // What was due before belongs to nobody's trace.
            let due = effects.iter().take_while(|effect| effect.is_due_work()).count();
            effects[..due].iter().for_each(|effect| self.write_effect(effect));
            let first = self.output.len();
            effects[due..].iter().for_each(|effect| self.write_effect(effect));
            begun = end;
            self.write_suspended(entries, task);
            self.output.add_trace(first, entries.get(task.position as usize).and_then(Guided::trace));
        }
    }

    fn write_effect(&mut self, effect: &Effect<'_>) {
        match effect {
            Effect::Charge(charge) => {
                self.output.counts.charge(charge);
                self.outbound.charge(CHARGES, charge, self.output);
                for delta in charge.balance_deltas() {
                    self.outbound.delta(DELTAS, &delta, self.output);
                }
            }
            Effect::Posting(posting) => self.outbound.delta(DELTAS, &posting.balance_delta(), self.output),
            Effect::Notification(notification) => {
                self.outbound.notification(NOTIFICATIONS, notification, self.output);
            }
            Effect::LifeEvent(event) => self.outbound.life_event(LIFE_EVENTS, event, self.output),
            Effect::Reply(reply) => self.outbound.reply(REPLIES, &CommandReply::of(reply), self.output),
        }
    }

    fn write_suspended(&mut self, entries: &[Guided<'_>], task: &RatedTask) {
        let Some(Guided::Usage(usage)) = entries.get(task.position as usize) else { return };
        let Some(suspended) = Suspended::of_leg(task, &usage.record) else { return };
        let identity = Some((usage.key, &*usage.record.id, usage.record.event_time));
        let waiting = Waiting { origin: &usage.origin, identity, suspended: &suspended };
        self.outbound.suspense([SUSPENSE, WAITING], &waiting, self.output);
    }
}

impl Stage for RateStage {
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
        self.units.create(partition, Kept::empty());
    }

    fn restore(&mut self, partition: Partition, key: &[u8], value: Option<&[u8]>) -> Result<(), StageError> {
        let about = read_key(topic_of(&self.inputs, partition), key)?;
        let unit = self.units.get(partition)?;
        match (about, value) {
            (Some((About::Segment, _)), Some(value)) => segments::restore(unit, value)?,
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
        let unit = self.units.get(partition)?;
        unit.kept.end_restoring()?;
        unit.kept.shard.state.restore_clock(unit.progress.clock);
        check_targets(&mut unit.progress, self.settings.guided_partitions, &self.settings.guided)
    }

    fn drop_state(&mut self, partition: Partition) {
        self.units.drop_one(partition);
    }

    fn prepare(&mut self, _batch: &Batch) -> Result<(), FactsMissing> {
        Ok(())
    }

    fn execute(&mut self, batch: &Batch, output: &mut Output) -> Result<(), StageError> {
        let older = OlderMessages {
            duplicate_window_h: self.settings.duplicate_window_h,
            state_horizon_h: self.settings.state_horizon_h,
        };
        let senders = self.settings.senders();
        let mut messages = Messages { outbound: &mut self.outbound, output, totals: ControlTotals::default() };
        for message in batch.messages() {
            messages.output.executing = Some((message.partition, message.offset));
            let unit = self.units.touch(message.partition, message.offset)?;
            let packed = Unpacked::read(message.value)?;
            unit.progress.receive(&packed.source, packed.sequence)?;
            let facts = Facts::read(&packed, &mut self.forms, &mut self.known_facts, &older)?;
            let mut entries: Vec<Guided<'_>> = Vec::with_capacity(packed.entries.len());
            for entry in &packed.entries {
                entries.push(match facts.read_entry(*entry)? {
                    // Of this sender; it is as late as it is for the last of them.
                    Guided::Tick(instant) => match unit.progress.tick(&packed.source, instant, senders) {
                        Some(clock) => Guided::Tick(clock),
                        None => continue,
                    },
                    other @ (Guided::Usage(_) | Guided::Command { .. } | Guided::Change(..)) => other,
                });
            }
            // What guide read, which may be older than what it reads by now.
            messages.outbound.encoder.name_directory(packed.directory);
            messages.rate(&facts, &entries, &mut unit.kept.shard)?;
            for entry in &entries {
                if let Guided::Usage(usage) = entry {
                    messages.output.counts.age(usage.record.event_time);
                }
            }
        }
        messages.output.executing = None;
        for unit in self.units.touch_those(|kept: &Kept| kept.shard.state.has_due_work()) {
            messages.work(&mut unit.kept.shard)?;
        }
        let Messages { output, totals, .. } = messages;
        totals.check_legs()?;
        let topic = &self.settings.guided;
        for (partition, unit) in self.units.touched() {
            let Kept { shard, segments, horizon, .. } = &mut unit.kept;
            let changelog = Changelog::of(topic, partition);
            segments.write(&mut shard.state, *horizon, &unit.progress, changelog, output)?;
            unit.write_topics(changelog, output);
        }
        Ok(())
    }

    fn has_work(&self) -> bool {
        self.units.all().any(|unit| unit.kept.shard.state.has_due_work())
    }

    fn positions(&self) -> Vec<(Partition, Offset)> {
        self.units.positions()
    }

    fn settle(&mut self) {
        let RateSettings { duplicate_window_h: window_h, state_horizon_h, .. } = self.settings;
        self.units.settle(|unit| {
            unit.kept.shard.state.settle();
            unit.kept.settled = unit.kept.segments;
            // What guide remembers, wherever a leg comes from: the clock here is the least of all.
            let horizon = state_horizon(unit.progress.clock, window_h, state_horizon_h);
            unit.kept.horizon = unit.kept.horizon.max(horizon);
        });
    }

    fn undo(&mut self) {
        self.units.undo(|unit| {
            unit.kept.shard.state.undo();
            unit.kept.shard.state.restore_clock(unit.progress.clock);
            unit.kept.segments = unit.kept.settled;
        });
    }

    fn known(&self, partition: Partition) -> Known {
        self.units.known(partition)
    }

    fn begin(&mut self, partition: Partition, beginning: &Beginning) {
        self.units.begin(partition, beginning);
    }

    fn status(&self) -> StageStatus {
        let accounts = self.units.all().map(|unit| unit.kept.shard.state.len() as u64).sum();
        let behind_ms = |unit: &Unit<Kept>| {
            let (clock, due) = (unit.progress.clock?, unit.kept.shard.state.earliest_due()?);
            Some(clock.millis().saturating_sub(due.millis()))
        };
        let due_behind_ms = self.units.all().filter_map(behind_ms).max().unwrap_or(0).max(0);
        let clock = self.units.clock();
        let due = self.units.all().filter_map(|unit| unit.kept.shard.state.earliest_due()).min();
        let complete_to = clock.map(|clock| due.map_or(clock, |due| due.min(clock)));
        let held_by = self.units.slowest(self.settings.senders());
        StageStatus { clock, entries: accounts, due_behind_ms, complete_to, held_by, ..StageStatus::default() }
    }
}
