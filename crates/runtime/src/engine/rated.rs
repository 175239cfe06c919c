//! Rate by owner, encode beside it, and put everything back into the order of the input.

use super::guided::GuidedStretch;
use super::recycle::place_in;
use super::take::Stretch;
use super::{BatchInput, BatchOutput, Encoded, MAX_DETAILS, OpenSuspense, Owners, Retry, SHARDS, in_parallel};
use crate::wire::{Decoded, Encoder, Origin, SuspenseRecord};
use directory::AccountTimeline;
use pipeline::guide::shard_of;
use pipeline::{
    CommandReply, ControlMismatch, ControlTotals, Field, RatedTask, RawValue, Step, Suspended, Taken, Task, Tell, Work,
};
use rating::{AccountChange, CauseKind, Effect, Notification, Timestamp};

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

    /// Appends everything to an output, where it came of no record.
    ///
    /// # Errors
    /// A sum out of range.
    pub(super) fn append_all(&self, output: &mut BatchOutput) -> Result<(), ControlMismatch> {
        let pairs = [
            (&mut output.charges, &self.charges),
            (&mut output.deltas, &self.deltas),
            (&mut output.notifications, &self.notifications),
            (&mut output.replies, &self.replies),
            (&mut output.life_events, &self.life_events),
        ];
        for (all, more) in pairs {
            all.append(more, 0, more.ends.len());
        }
        output.totals.add(&self.totals)
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

/// Has accounts learn what the directory says of them.
///
/// # Errors
/// A sum of charges out of range.
pub(super) fn learn_all(
    timelines: &[AccountTimeline],
    owners: &mut [Owners],
    encoder: &Encoder,
    threads: usize,
) -> Result<(), ControlMismatch> {
    let mut by_owner: Vec<Vec<Task<'_>>> = owners.iter().map(|_| Vec::new()).collect();
    for AccountTimeline { account, standings } in timelines {
        let tasks = &mut by_owner[shard_of(account, SHARDS)];
        let position = tasks.len() as u32;
        tasks.push(Task { position, work: Work::Change(AccountChange { account, standings }) });
    }
    let work = owners.iter_mut().zip(by_owner).collect();
    let done = in_parallel(threads, work, |(owners, tasks): (&mut Owners, Vec<Task<'_>>)| {
        owners.rated.clear();
        rate_owners(tasks.iter().copied(), tasks.len(), owners, encoder)
    });
    done.into_iter().collect()
}

/// Does the work of all owners that falls due by an instant.
///
/// # Errors
/// A sum of charges out of range.
pub(super) fn end_all(
    at: Timestamp,
    owners: &mut [Owners],
    encoder: &Encoder,
    threads: usize,
) -> Result<(), ControlMismatch> {
    let done = in_parallel(threads, owners.iter_mut().collect(), |owners: &mut Owners| {
        owners.rated.clear();
        let clock = owners.shard.state.clock();
        owners.shard.state.advance_clock(at);
        let mut effects = Vec::new();
        while owners.shard.work(WRITTEN_TOGETHER, &mut effects) > 0 {
            owners.rated.totals.add_effects(&effects)?;
            effects.iter().try_for_each(|effect| write_effect(effect, owners, encoder))?;
            effects.clear();
        }
        owners.shard.state.restore_clock(clock);
        Ok(())
    });
    done.into_iter().collect()
}

/// Encodes what the tasks from `first` on put out.
fn write_out(
    effects: &[Effect<'_>],
    first: usize,
    owners: &mut Owners,
    encoder: &Encoder,
) -> Result<(), ControlMismatch> {
    let rated = &mut owners.rated;
    rated.totals.rated(&rated.tasks[first..]);
    rated.totals.add_effects(effects)?;
    let mut begun = 0;
    for at in first..owners.rated.tasks.len() {
        let end = owners.rated.tasks[at].effects_end as usize;
        effects[begun..end].iter().try_for_each(|effect| write_effect(effect, owners, encoder))?;
        begun = end;
        let rated = &mut owners.rated;
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

fn write_effect(effect: &Effect<'_>, owners: &mut Owners, encoder: &Encoder) -> Result<(), ControlMismatch> {
    let rated = &mut owners.rated;
    match effect {
        Effect::Charge(charge) => {
            encoder.charge(charge, &mut rated.charges.bytes);
            rated.charges.close();
            owners.sums.add(charge)?;
            if charge.cause.kind() == CauseKind::Usage {
                owners.charged_until = owners.charged_until.max(Some(charge.event_time));
            }
            for delta in charge.balance_deltas() {
                encoder.delta(&delta, &mut rated.deltas.bytes);
                rated.deltas.close();
            }
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
        Effect::Posting(posting) => {
            encoder.delta(&posting.balance_delta(), &mut rated.deltas.bytes);
            rated.deltas.close();
        }
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
    pub(super) owners: &'m [Owners],
}

type Stream = fn(&RatedOwners, Ends) -> (&Encoded, usize);

impl Merged<'_, '_> {
    /// Puts everything into the order of the input.
    pub(super) fn in_order(
        &self,
        encoder: &Encoder,
        buffers: [Encoded; 2],
        threads: usize,
    ) -> Result<BatchOutput, ControlMismatch> {
        let mut totals = ControlTotals::default();
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
        let mut rest =
            Rest { batch: self.batch, encoder, found: &found, owners: self.owners, next_task: 0, output: &mut output };
        for (stretch, guided) in self.stretches.iter().zip(self.guided) {
            for (position, (taken, (step, tasks))) in (stretch.first..).zip(stretch.taken.iter().zip(&guided.steps)) {
                rest.record(position, taken, step, *tasks);
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
    next_task: usize,
    output: &'m mut BatchOutput,
}

impl Rest<'_, '_> {
    fn record(&mut self, position: usize, taken: &Taken, step: &Step<'_>, tasks: u32) {
        let before = self.output.open.len();
        step.tell(taken, &mut At { rest: self, position });
        for _ in 0..tasks {
            self.task(position, taken);
        }
        if !self.batch.retries.is_empty() && self.output.open.len() == before {
            self.output.resolved.push(position);
        }
    }

    fn task(&mut self, position: usize, taken: &Taken) {
        let (group, at) = self.found[self.next_task];
        self.next_task += 1;
        let Owners { rated, .. } = &self.owners[usize::from(group)];
        let (ends, before) = ends_of(rated, at);
        self.output.notifications.append(&rated.notifications, before.notifications, ends.notifications);
        self.output.replies.append(&rated.replies, before.replies, ends.replies);
        self.output.life_events.append(&rated.life_events, before.life_events, ends.life_events);
        if let Taken::Usage(intaken) = taken
            && let Some(suspended) = Suspended::of_leg(&rated.tasks[at as usize], &intaken.record)
        {
            self.suspend(position, taken, &suspended);
        }
    }

    fn suspend(&mut self, position: usize, taken: &Taken, suspended: &Suspended) {
        let Suspended { reason, level, detail, stage } = suspended;
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
            reason: *reason,
            detail,
            stage,
            level: *level,
            usage_id: id,
            event_time,
            original,
            content_type: self.batch.decoder.content_type(),
            origin: Origin::File { name: self.batch.input, place },
            attempt,
        };
        self.encoder.suspense(&record, &mut self.output.suspense.bytes);
        self.output.suspense.close();
        if self.output.details.len() < MAX_DETAILS {
            self.output.details.push(detail.to_string());
        }
        if let Some(is_owner) = suspended.holds() {
            let identity = taken.identity_at(place_in(self.batch.input, place));
            self.output.holds.extend(identity.map(|identity| (identity, is_owner)));
        }
        self.output.open.push(OpenSuspense {
            number: retry.number_of(*level),
            reason: *reason,
            level: *level,
            input: self.batch.input.to_owned(),
            place,
            attempt,
            original: original.to_vec(),
        });
    }
}

/// What is told of one record.
struct At<'r, 'm, 'b> {
    rest: &'r mut Rest<'m, 'b>,
    position: usize,
}

impl Tell for At<'_, '_, '_> {
    fn suspended(&mut self, suspended: &Suspended, taken: &Taken) {
        self.rest.suspend(self.position, taken, suspended);
    }

    fn notification(&mut self, notification: &Notification<'_>) {
        self.rest.encoder.notification(notification, &mut self.rest.output.notifications.bytes);
        self.rest.output.notifications.close();
    }

    fn reply(&mut self, reply: &CommandReply<'_>) {
        self.rest.encoder.reply(reply, &mut self.rest.output.replies.bytes);
        self.rest.output.replies.close();
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
