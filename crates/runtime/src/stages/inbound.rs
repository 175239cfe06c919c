//! Messages from the outside, decoded: what others write, in any of the forms that are understood.

use super::entry::{Form, Forms, Origin};
use super::retry::Retry;
use crate::wire::{Decoded, FramedDecoder, Prepared};
use crate::worker::FactsMissing;
use crate::worker::log::{Batch, Incoming, Place};
use hashbrown::HashMap;
use pipeline::intake::earliest_event;
use pipeline::{Doubts, Fault, IntakeRules, Intent, Taken};
use rating::{SuspenseReason, Timestamp};
use std::sync::Arc;

/// How messages from the outside are taken in.
#[derive(Debug)]
pub struct Inbound {
    decoder: FramedDecoder,
    prepared: Option<Prepared>,
    /// The messages of the batch that ask for something to be tried again.
    retries: HashMap<Place, Retry>,
    rules: IntakeRules,
    future_ms: i64,
    past_ms: Option<i64>,
    now: fn() -> Timestamp,
}

impl Inbound {
    /// Events may be `future_ms` milliseconds ahead of `now`.
    pub fn new(decoder: FramedDecoder, default_source: &str, future_ms: i64, now: fn() -> Timestamp) -> Inbound {
        let rules = IntakeRules { latest_event: Timestamp::EPOCH, ..IntakeRules::new(default_source) };
        Inbound { decoder, prepared: None, retries: HashMap::new(), rules, future_ms, past_ms: None, now }
    }

    /// Doubts usage more than `past_ms` milliseconds behind now, and what `doubts` says.
    #[must_use]
    pub fn doubting(mut self, past_ms: Option<i64>, doubts: &Doubts) -> Inbound {
        self.past_ms = past_ms;
        self.rules = self.rules.doubting(doubts, Timestamp::EARLIEST);
        self
    }

    /// Gets the schemas that a batch needs, and looks at the clock.
    pub(super) fn prepare(&mut self, batch: &Batch) -> Result<(), FactsMissing> {
        let retry = |message: Incoming<'_>| Some((message.place(), Retry::read(message.value)?));
        self.retries = batch.messages().filter_map(retry).collect();
        let retries = &self.retries;
        let prepared = self.decoder.prepare(batch.messages().map(|message| match retry_of(retries, &message) {
            Some(retry) => &retry.original[..],
            None => message.value,
        }));
        self.prepared = Some(prepared.map_err(|error| FactsMissing(error.to_string()))?);
        let now = (self.now)();
        self.rules.latest_event = Timestamp::from_millis(now.millis().saturating_add(self.future_ms));
        self.rules.earliest_event = earliest_event(now, self.past_ms);
        Ok(())
    }

    /// How far ahead an event may be, in milliseconds.
    pub(super) fn future_ms(&self) -> i64 {
        self.future_ms
    }

    /// Takes in a message of the batch that was prepared.
    pub(super) fn take(&self, message: &Incoming<'_>) -> Taken {
        let retry = retry_of(&self.retries, message);
        let intent = retry.map_or(Intent::Fresh, |retry| Intent::of(retry.retried.reason, retry.retried.level));
        match (self.decode(retry.map_or(message.value, |retry| &retry.original)), intent) {
            (Ok(decoded), Intent::Fresh | Intent::Readmit) => decoded.take_in(&self.rules),
            (Ok(decoded), Intent::Admitted | Intent::Late | Intent::Level { .. }) => {
                decoded.take_in(&self.rules.for_admitted())
            }
            (Err(fault), _) => Taken::Fault(fault),
        }
    }

    /// Where a message of the batch that was prepared comes from. `topic` is the one it was read from.
    pub(super) fn arrival<'m>(&'m self, message: &Incoming<'m>, topic: &str, forms: &mut Forms) -> Arrival<'m> {
        let retry = retry_of(&self.retries, message);
        let (topic, bytes) = retry.map_or((topic, message.value), |retry| (&retry.topic, &retry.original));
        Arrival { message: *message, retry, form: forms.get(topic, Prepared::content_type(bytes)) }
    }

    fn decode<'m>(&self, message: &'m [u8]) -> Result<Decoded<'m>, Fault> {
        match &self.prepared {
            Some(prepared) => prepared.decode(message),
            None => Err(Fault::new(SuspenseReason::Undecodable, "its schema was not asked for")),
        }
    }
}

/// Without any retries, as nearly always, nothing is hashed.
fn retry_of<'r>(retries: &'r HashMap<Place, Retry>, message: &Incoming<'_>) -> Option<&'r Retry> {
    if retries.is_empty() { None } else { retries.get(&message.place()) }
}

/// A message and where it comes from.
pub(super) struct Arrival<'m> {
    message: Incoming<'m>,
    retry: Option<&'m Retry>,
    form: Arc<Form>,
}

impl Arrival<'_> {
    /// A retry comes from where its original did.
    pub(super) fn origin(&self) -> Origin<'_> {
        match self.retry {
            Some(retry) => retry.origin(&self.form, self.message.trace),
            None => Origin::of(&self.message, &self.form),
        }
    }
}
