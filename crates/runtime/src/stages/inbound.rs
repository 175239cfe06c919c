//! Messages from the outside, decoded: what others write, in any of the forms that are understood.

use super::entry::{Form, Forms, Origin};
use super::retry::Retry;
use crate::wire::{Decoded, FramedDecoder, Prepared};
use crate::worker::FactsMissing;
use crate::worker::log::{Batch, Incoming, Partition, Place, TopicId};
use hashbrown::{HashMap, HashSet};
use pipeline::intake::earliest_event;
use pipeline::{Arrival, Doubts, Fault, IntakeRules, Kind, Kinds, Taken};
use rating::{SuspenseReason, Timestamp};
use std::sync::Arc;

/// What an input topic takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Door {
    /// The kinds of records.
    pub kinds: Kinds,
    /// How many partitions the topic has.
    pub partitions: u32,
}

/// How messages from the outside are taken in.
#[derive(Debug)]
pub struct Inbound {
    decoder: FramedDecoder,
    prepared: Option<Prepared>,
    /// By the place of the topic in the list of inputs; beyond it usage and commands are taken.
    doors: Vec<Door>,
    /// The messages of the batch that ask for something to be tried again.
    retries: HashMap<Place, Retry>,
    /// Those that look like it and stand where others write.
    forged: HashSet<Place>,
    /// Partitions whose state is from a program that read ticks and retries among the inputs: those that still stand there are no surprise.
    from_before: HashSet<Partition>,
    /// Of inputs without a door: they take usage and commands.
    rules: IntakeRules,
    /// By the place of the topic, as of the batch.
    of_doors: Vec<IntakeRules>,
    future_ms: i64,
    past_ms: Option<i64>,
    now: fn() -> Timestamp,
}

impl Inbound {
    /// Events may be `future_ms` milliseconds ahead of `now`.
    pub fn new(decoder: FramedDecoder, default_source: &str, future_ms: i64, now: fn() -> Timestamp) -> Inbound {
        let accepts = Kinds::of([Kind::Usage, Kind::Command]);
        let rules = IntakeRules { latest_event: Timestamp::EPOCH, accepts, ..IntakeRules::new(default_source) };
        Inbound {
            decoder,
            prepared: None,
            doors: Vec::new(),
            retries: HashMap::new(),
            forged: HashSet::new(),
            from_before: HashSet::new(),
            rules,
            of_doors: Vec::new(),
            future_ms,
            past_ms: None,
            now,
        }
    }

    /// Doubts usage more than `past_ms` milliseconds behind now, and what `doubts` says.
    #[must_use]
    pub fn doubting(mut self, past_ms: Option<i64>, doubts: &Doubts) -> Inbound {
        self.past_ms = past_ms;
        self.rules = self.rules.doubting(doubts, Timestamp::EARLIEST);
        self
    }

    /// Says what each input topic takes, in the order of the stage's inputs.
    #[must_use]
    pub fn with_doors(self, doors: Vec<Door>) -> Inbound {
        Inbound { doors, ..self }
    }

    /// Gets the schemas that a batch needs, and looks at the clock. `is_from_before` says of a partition whether its state is from a program that read
    /// ticks and retries among the inputs.
    pub(super) fn prepare(
        &mut self,
        batch: &Batch,
        is_from_before: impl Fn(Partition) -> bool,
    ) -> Result<(), FactsMissing> {
        self.retries.clear();
        self.forged.clear();
        self.from_before.clear();
        let mut asked = None;
        for message in batch.messages() {
            // The messages of a partition come in runs.
            if asked.replace(message.partition) != Some(message.partition) && is_from_before(message.partition) {
                self.from_before.insert(message.partition);
            }
            let Some(retry) = Retry::read(message.value) else { continue };
            let is_ours = message.side.is_some() || self.from_before.contains(&message.partition);
            // What looked like a retry where others write is tried again as that.
            if !is_ours || Retry::read(&retry.original).is_some() {
                self.forged.insert(message.place());
            }
            if is_ours {
                self.retries.insert(message.place(), retry);
            }
        }
        let retries = &self.retries;
        let prepared = self.decoder.prepare(batch.messages().map(|message| match retry_of(retries, &message) {
            Some(retry) => &retry.original[..],
            None => message.value,
        }));
        self.prepared = Some(prepared.map_err(|error| FactsMissing(error.to_string()))?);
        let now = (self.now)();
        self.rules.latest_event = Timestamp::from_millis(now.millis().saturating_add(self.future_ms));
        self.rules.earliest_event = earliest_event(now, self.past_ms);
        let rules = |door: &Door| IntakeRules { accepts: door.kinds, ..self.rules.clone() };
        self.of_doors = self.doors.iter().map(rules).collect();
        Ok(())
    }

    /// How far ahead an event may be, in milliseconds.
    pub(super) fn future_ms(&self) -> i64 {
        self.future_ms
    }

    /// Whether a message is this partition's to take in. Beside inputs of several topics stands one partition of retries: each takes those of its own
    /// topic, and the first what nobody else would.
    pub(super) fn is_ours(&self, message: &Incoming<'_>, inputs: &[String]) -> bool {
        if message.side.is_none() {
            return true;
        }
        let own = usize::from(message.partition.topic);
        let known =
            retry_of(&self.retries, message).and_then(|retry| inputs.iter().position(|name| *name == retry.topic));
        let first = || self.doors.iter().position(|door| door.partitions > message.partition.number).unwrap_or(0);
        known.unwrap_or_else(first) == own
    }

    /// Takes in a message of the batch that was prepared.
    pub(super) fn take(&self, message: &Incoming<'_>) -> Taken {
        let retry = retry_of(&self.retries, message);
        if self.forged.contains(&message.place()) {
            return wrong_kind("is a retry, which only Rater writes, to a topic of their own");
        }
        if message.side.is_some() && retry.is_none() {
            return wrong_kind("is no retry");
        }
        let rules = self.of_doors.get(usize::from(message.partition.topic)).unwrap_or(&self.rules);
        let retried = retry.map(|retry| retry.retried);
        let arrival = retried.map_or(Arrival::FRESH, |retried| Arrival::again(retried.reason, retried.level));
        match self.decode(retry.map_or(message.value, |retry| &retry.original)) {
            Ok(decoded) if retry.is_none() && self.from_before.contains(&message.partition) => {
                decoded.take_in(&IntakeRules { accepts: rules.accepts.with(Kind::Tick), ..rules.clone() })
            }
            Ok(decoded) => decoded.take_in(&arrival.rules(rules)),
            Err(fault) => Taken::Fault(fault),
        }
    }

    /// Where a message of the batch that was prepared comes from. `topic` is the one it was read from, with its id.
    pub(super) fn arrival<'m>(
        &'m self,
        message: &Incoming<'m>,
        (topic, topic_id): (&str, Option<TopicId>),
        forms: &mut Forms,
    ) -> Arrived<'m> {
        let retry = retry_of(&self.retries, message);
        let (topic, topic_id, bytes) = match retry {
            Some(retry) => (&*retry.topic, retry.topic_id, &*retry.original),
            None => (topic, topic_id, message.value),
        };
        Arrived { message: *message, retry, form: forms.get(topic, topic_id, Prepared::content_type(bytes)) }
    }

    fn decode<'m>(&'m self, message: &'m [u8]) -> Result<Decoded<'m>, Fault> {
        match &self.prepared {
            Some(prepared) => prepared.decode(message),
            None => Err(Fault::new(SuspenseReason::Undecodable, "its schema was not asked for")),
        }
    }
}

fn wrong_kind(detail: &str) -> Taken {
    Taken::Fault(Fault::new(SuspenseReason::WrongKind, detail))
}

/// Without any retries, as nearly always, nothing is hashed.
fn retry_of<'r>(retries: &'r HashMap<Place, Retry>, message: &Incoming<'_>) -> Option<&'r Retry> {
    if retries.is_empty() { None } else { retries.get(&message.place()) }
}

/// A message and where it comes from.
pub(super) struct Arrived<'m> {
    message: Incoming<'m>,
    retry: Option<&'m Retry>,
    form: Arc<Form>,
}

impl Arrived<'_> {
    /// A retry comes from where its original did.
    pub(super) fn origin(&self) -> Origin<'_> {
        match self.retry {
            Some(retry) => retry.origin(&self.form, self.message.trace),
            None => Origin::of(&self.message, &self.form),
        }
    }
}
