//! Rate by owner, encode beside it, and put everything back into the order of the input.

use super::guided::{GuidedStretch, Outcome};
use super::recycle::place_in;
use super::take::Stretch;
use super::{BatchInput, BatchOutput, Encoded, Intent, MAX_DETAILS, OpenSuspense, Owners, Retry, in_parallel};
use crate::wire::{CommandOutcome, CommandReply, Decoded, Encoder, Origin, SuspenseRecord};
use directory::snapshot::Snapshot;
use pipeline::{ControlMismatch, ControlTotals, Field, RateOutcome, RatedTask, RawValue, Taken, Task, Verdict};
use rating::effect::NotificationKind;
use rating::{Cause, Command, Effect, Notification, Shared, SuspenseReason};

/// Tasks whose charges are written out before others are made: few enough to be still in the caches.
const WRITTEN_TOGETHER: usize = 128;

/// What came of the tasks of one group of owners.
#[derive(Debug, Default)]
pub(super) struct RatedOwners {
    /// In the order of processing; positions are numbers of tasks within the batch.
    tasks: Vec<RatedTask>,
    /// Ends of each task's messages.
    ends: Vec<Ends>,
    charges: Encoded,
    deltas: Encoded,
    notifications: Encoded,
    replies: Encoded,
    life_events: Encoded,
    totals: ControlTotals,
}

impl RatedOwners {
    /// Empty, with its buffers kept.
    fn clear(&mut self) {
        self.tasks.clear();
        self.ends.clear();
        self.charges.clear();
        self.deltas.clear();
        self.notifications.clear();
        self.replies.clear();
        self.life_events.clear();
        self.totals = ControlTotals::default();
    }
}

/// Counts of messages up to and with a task.
#[derive(Clone, Copy, Debug, Default)]
struct Ends {
    charges: usize,
    deltas: usize,
    notifications: usize,
    replies: usize,
    life_events: usize,
}

/// Rates all tasks.
///
/// # Errors
/// A sum of charges out of range.
pub(super) fn rate_all<'a>(
    guided: &[GuidedStretch<'a>],
    owners: &mut [Owners],
    encoder: &Encoder,
    threads: usize,
) -> Result<(), ControlMismatch> {
    let firsts: Vec<u32> = first_tasks(guided);
    for owners in owners.iter_mut() {
        owners.rated.clear();
    }
    let mut work: Vec<(usize, usize, &mut Owners)> = owners
        .iter_mut()
        .enumerate()
        .map(|(group, owners)| (guided.iter().map(|stretch| stretch.tasks[group].len()).sum(), group, owners))
        .filter(|(size, _, _)| *size > 0)
        .collect();
    // The largest first, so that no thread is left with it at the end.
    work.sort_unstable_by_key(|(size, group, _)| (std::cmp::Reverse(*size), *group));
    let done = in_parallel(threads, work, |(size, group, owners)| {
        let tasks = guided.iter().zip(&firsts).flat_map(|(stretch, first)| {
            stretch.tasks[group].iter().map(move |task| Task { position: first + task.position, work: task.work })
        });
        rate_owners(tasks, size, owners, encoder)
    });
    done.into_iter().collect()
}

/// Number of the first task of each stretch within the batch.
fn first_tasks(guided: &[GuidedStretch<'_>]) -> Vec<u32> {
    let ends = guided.iter().scan(0, |end, stretch| {
        let first = *end;
        *end += stretch.task_count;
        Some(first)
    });
    ends.collect()
}

fn rate_owners<'a>(
    tasks: impl Iterator<Item = Task<'a>>,
    size: usize,
    owners: &mut Owners,
    encoder: &Encoder,
) -> Result<(), ControlMismatch> {
    let mut tasks = tasks.peekable();
    let mut effects = Vec::with_capacity(size.min(WRITTEN_TOGETHER));
    while tasks.peek().is_some() {
        let first = owners.rated.tasks.len();
        owners.shard.execute(tasks.by_ref().take(WRITTEN_TOGETHER), &mut effects, &mut owners.rated.tasks);
        write_out(&effects, first, owners, encoder)?;
        effects.clear();
    }
    Ok(())
}

/// Encodes what the tasks from `first` on put out.
fn write_out(
    effects: &[Effect<'_>],
    first: usize,
    owners: &mut Owners,
    encoder: &Encoder,
) -> Result<(), ControlMismatch> {
    let rated = &mut owners.rated;
    let tasks = &rated.tasks[first..];
    rated.totals.rated(tasks);
    rated.totals.add_effects(effects)?;
    let mut begun = 0;
    for task in tasks {
        for effect in &effects[begun..task.effects_end as usize] {
            match effect {
                Effect::Charge(charge) => {
                    encoder.charge(charge, &mut rated.charges.bytes);
                    rated.charges.close();
                    owners.sums.add(charge)?;
                }
                Effect::Notification(notification) => {
                    encoder.notification(notification, &mut rated.notifications.bytes);
                    rated.notifications.close();
                }
                Effect::LifeEvent(event) => {
                    encoder.life_event(event, &mut rated.life_events.bytes);
                    rated.life_events.close();
                }
                Effect::Reply(reply) => {
                    encoder.reply(&CommandReply::of(reply), &mut rated.replies.bytes);
                    rated.replies.close();
                }
                Effect::Posting(_) => {}
            }
            for delta in effect.balance_deltas() {
                encoder.delta(&delta, &mut rated.deltas.bytes);
                rated.deltas.close();
            }
        }
        begun = task.effects_end as usize;
        rated.ends.push(Ends {
            charges: rated.charges.ends.len(),
            deltas: rated.deltas.ends.len(),
            notifications: rated.notifications.ends.len(),
            replies: rated.replies.ends.len(),
            life_events: rated.life_events.ends.len(),
        });
    }
    Ok(())
}

/// Where a task's outcome is found: the group's place in the list, and the task's place in the group.
type Found = (u16, u32);

/// A batch whose every task is rated.
pub(super) struct Merged<'m, 'b> {
    pub(super) batch: BatchInput<'b>,
    pub(super) stretches: &'m [Stretch],
    pub(super) guided: &'m [GuidedStretch<'m>],
    pub(super) snapshot: &'m Snapshot,
    pub(super) owners: &'m [Owners],
}

type Stream = fn(&RatedOwners, Ends) -> (&Encoded, usize);

impl Merged<'_, '_> {
    /// Puts everything into the order of the input.
    pub(super) fn in_order(
        &self,
        encoder: &Encoder,
        mut totals: ControlTotals,
        buffers: [Encoded; 2],
        threads: usize,
    ) -> Result<BatchOutput, ControlMismatch> {
        let guided = self.guided.iter().map(|stretch| &stretch.totals);
        for part in guided.chain(self.owners.iter().map(|owners| &owners.rated.totals)) {
            totals.add(part)?;
        }
        let found = self.find_tasks();
        let streams: [Stream; 2] =
            [|rated, ends| (&rated.charges, ends.charges), |rated, ends| (&rated.deltas, ends.deltas)];
        let streams = streams.into_iter().zip(buffers).collect();
        let mut merged =
            in_parallel(threads, streams, |(stream, buffer)| self.stream(&found, stream, buffer)).into_iter();
        let mut output = BatchOutput {
            charges: merged.next().unwrap_or_default(),
            deltas: merged.next().unwrap_or_default(),
            ..BatchOutput::default()
        };
        let mut rest = Rest {
            batch: self.batch,
            encoder,
            found: &found,
            owners: self.owners,
            snapshot: self.snapshot,
            next_task: 0,
            output: &mut output,
        };
        for (stretch, guided) in self.stretches.iter().zip(self.guided) {
            let records = stretch.taken.iter().zip(&stretch.verdicts).zip(&guided.outcomes);
            for (position, ((taken, verdict), outcome)) in (stretch.first..).zip(records) {
                rest.record(position, taken, verdict, *outcome);
            }
        }
        output.totals = totals;
        Ok(output)
    }

    /// Where each task's outcome is, by the task's number.
    fn find_tasks(&self) -> Vec<Found> {
        let task_count: u32 = self.guided.iter().map(|stretch| stretch.task_count).sum();
        let mut found: Vec<Found> = vec![(0, 0); task_count as usize];
        for (group, owners) in (0_u16..).zip(self.owners) {
            for (at, task) in (0_u32..).zip(&owners.rated.tasks) {
                if let Some(slot) = found.get_mut(task.position as usize) {
                    *slot = (group, at);
                }
            }
        }
        found
    }

    fn stream(&self, found: &[Found], stream: Stream, mut all: Encoded) -> Encoded {
        for owners in self.owners {
            let (encoded, _) = stream(&owners.rated, Ends::default());
            all.bytes.reserve(encoded.bytes.len());
            all.ends.reserve(encoded.ends.len());
        }
        for (group, at) in found {
            let Owners { rated, .. } = &self.owners[usize::from(*group)];
            let (ends, before) = ends_of(rated, *at);
            let ((encoded, to), (_, from)) = (stream(rated, ends), stream(rated, before));
            if from < to {
                all.append(encoded, from, to);
            }
        }
        all
    }
}

fn ends_of(rated: &RatedOwners, at: u32) -> (Ends, Ends) {
    let at = at as usize;
    let before = at.checked_sub(1).map_or(Ends::default(), |before| rated.ends[before]);
    (rated.ends[at], before)
}

/// What is rare: notifications, suspense, refusals.
struct Rest<'m, 'b> {
    batch: BatchInput<'b>,
    encoder: &'m Encoder,
    found: &'m [Found],
    owners: &'m [Owners],
    snapshot: &'m Snapshot,
    next_task: usize,
    output: &'m mut BatchOutput,
}

impl Rest<'_, '_> {
    fn record(&mut self, position: usize, taken: &Taken, verdict: &Verdict, outcome: Outcome) {
        let before = self.output.open.len();
        if let (Verdict::Waits(fault), Taken::Fault(_), Some((reason, level))) =
            (verdict, taken, Retry::at(self.batch.retries, position).held)
        {
            let detail = format!("{}: {}", fault.reason.name(), fault.detail);
            self.suspend(position, taken, reason, level, &detail, "intake");
        } else if let Verdict::Waits(fault) = verdict {
            let stage = match fault.reason {
                SuspenseReason::DuplicateConflict | SuspenseReason::TooLate => "guide",
                _ => "intake",
            };
            self.suspend(position, taken, fault.reason, None, &fault.detail, stage);
        }
        if let (Verdict::Duplicate, Taken::Command(_, command)) = (verdict, taken) {
            self.answer(command, CommandOutcome::Duplicate, None);
        }
        match outcome {
            Outcome::Done => {}
            Outcome::Waits(reason, level) => {
                self.suspend(position, taken, reason, level, &taken.explain_in(self.snapshot, reason), "guide");
            }
            Outcome::Refused(refusal) => {
                if let Taken::Command(key, command) = taken {
                    let notification = Notification {
                        kind: NotificationKind::CommandRefused { reason: refusal.name() },
                        account: command.account_id.clone(),
                        endpoint: command.kind.endpoint().map(Shared::Of),
                        sequence: None,
                        cause: Cause::Command(command, *key),
                    };
                    self.encoder.notification(&notification, &mut self.output.notifications.bytes);
                    self.output.notifications.close();
                    self.answer(command, CommandOutcome::Refused(refusal), None);
                }
            }
            Outcome::Tasks(count) => {
                for _ in 0..count {
                    self.task(position, taken);
                }
            }
        }
        if !self.batch.retries.is_empty() && self.output.open.len() == before {
            self.output.resolved.push(position);
        }
    }

    fn answer(&mut self, command: &Command, outcome: CommandOutcome, detail: Option<&str>) {
        let reply = CommandReply { command, outcome, detail, deltas: &[], sequence: None };
        self.encoder.reply(&reply, &mut self.output.replies.bytes);
        self.output.replies.close();
    }

    fn task(&mut self, position: usize, taken: &Taken) {
        let (group, at) = self.found[self.next_task];
        self.next_task += 1;
        let Owners { rated, .. } = &self.owners[usize::from(group)];
        let (ends, before) = ends_of(rated, at);
        self.output.notifications.append(&rated.notifications, before.notifications, ends.notifications);
        self.output.replies.append(&rated.replies, before.replies, ends.replies);
        self.output.life_events.append(&rated.life_events, before.life_events, ends.life_events);
        let task = rated.tasks[at as usize];
        match task.outcome {
            RateOutcome::Suspended(reason) => {
                self.suspend(
                    position,
                    taken,
                    reason,
                    Some(task.level),
                    &taken.explain_leg(reason, task.rate_unit),
                    "rate",
                );
            }
            RateOutcome::Charged | RateOutcome::Applied | RateOutcome::Refused(_) => {}
        }
    }

    fn suspend(
        &mut self,
        position: usize,
        taken: &Taken,
        reason: SuspenseReason,
        level: Option<u8>,
        detail: &str,
        stage: &'static str,
    ) {
        let place = self.batch.records.place(position);
        let retry = Retry::at(self.batch.retries, position);
        let attempt = retry.attempt;
        let original = self.batch.records.get(position);
        let readable_id = match taken {
            Taken::Fault(_) => id_of(&self.batch, position),
            Taken::Usage(_) | Taken::Command(..) | Taken::Tick(_) => None,
        };
        let (key, id, event_time) = match taken.identity() {
            Some((key, id, at)) => (Some(key), Some(id), Some(at)),
            None => (None, readable_id.as_deref(), None),
        };
        let record = SuspenseRecord {
            key,
            reason,
            detail,
            stage,
            level,
            usage_id: id,
            event_time,
            original,
            content_type: self.batch.decoder.content_type(),
            origin: Origin::File { name: self.batch.input, place },
            attempt,
        };
        self.encoder.suspense(&record, &mut self.output.suspense.bytes);
        self.output.suspense.close();
        if let Taken::Command(_, command) = taken {
            self.answer(command, CommandOutcome::Suspended(reason), Some(detail));
        }
        if self.output.details.len() < MAX_DETAILS {
            self.output.details.push(detail.to_owned());
        }
        let intent = Intent::of(reason, level);
        if intent.was_held() {
            let identity = taken.identity_at(place_in(self.batch.input, place));
            self.output.holds.extend(identity.map(|identity| (identity, intent.is_owner())));
        }
        self.output.open.push(OpenSuspense {
            number: retry.number_of(level),
            reason,
            level,
            input: self.batch.input.to_owned(),
            place,
            attempt,
            original: original.to_vec(),
        });
    }
}

/// The id of a record or command that intake refused, if it can be read all the same: it is decoded again, which is rare.
fn id_of(batch: &BatchInput<'_>, position: usize) -> Option<String> {
    let id = match batch.decoder.decode(batch.records.get(position)).ok()? {
        Decoded::Usage(raw) => match raw.get(Field::Id) {
            RawValue::Text(text) => text.to_string(),
            RawValue::Integer(integer) => integer.to_string(),
            RawValue::Absent | RawValue::Number(_) | RawValue::Other(_) => return None,
        },
        Decoded::Command(raw) => raw.command_id?.into_owned(),
        Decoded::Tick(_) => return None,
    };
    let is_plain = id.len() <= pipeline::MAX_TEXT_BYTES && !id.chars().any(char::is_control);
    is_plain.then_some(id)
}
