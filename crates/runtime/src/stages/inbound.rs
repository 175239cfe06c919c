//! Messages from the outside, decoded: what others write, in any of the forms that are understood.

use crate::wire::{Decoded, FramedDecoder, Prepared};
use crate::worker::FactsMissing;
use crate::worker::log::Batch;
use pipeline::{Fault, IntakeRules, Taken};
use rating::{SuspenseReason, Timestamp};

/// How messages from the outside are taken in.
#[derive(Debug)]
pub struct Inbound {
    decoder: FramedDecoder,
    prepared: Option<Prepared>,
    rules: IntakeRules,
    future_ms: i64,
    now: fn() -> Timestamp,
}

impl Inbound {
    /// Events may be `future_ms` milliseconds ahead of `now`.
    pub fn new(decoder: FramedDecoder, default_source: &str, future_ms: i64, now: fn() -> Timestamp) -> Inbound {
        let rules = IntakeRules { latest_event: Timestamp::EPOCH, default_source: default_source.into() };
        Inbound { decoder, prepared: None, rules, future_ms, now }
    }

    /// Gets the schemas that a batch needs, and looks at the clock.
    pub(super) fn prepare(&mut self, batch: &Batch) -> Result<(), FactsMissing> {
        let prepared = self.decoder.prepare(batch.messages().map(|message| message.value));
        self.prepared = Some(prepared.map_err(|error| FactsMissing(error.to_string()))?);
        let latest = (self.now)().millis().saturating_add(self.future_ms);
        self.rules.latest_event = Timestamp::from_millis(latest);
        Ok(())
    }

    /// Takes in a message of the batch that was prepared.
    pub(super) fn take(&self, message: &[u8]) -> Taken {
        match self.decode(message) {
            Ok(decoded) => decoded.take_in(&self.rules),
            Err(fault) => Taken::Fault(fault),
        }
    }

    fn decode<'m>(&self, message: &'m [u8]) -> Result<Decoded<'m>, Fault> {
        match &self.prepared {
            Some(prepared) => prepared.decode(message),
            None => Err(Fault::new(SuspenseReason::Undecodable, "its schema was not asked for")),
        }
    }

    /// Media type of a message.
    pub(super) fn content_type(message: &[u8]) -> &'static str {
        Prepared::content_type(message)
    }
}
