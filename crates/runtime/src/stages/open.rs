//! Something that waits, as recycling keeps it.

use super::progress::{About, read_format, read_key};
use super::waiting::{WAITING_FORMAT, Waited, read_waited};
use crate::state::{Corrupt, Stored};
use crate::worker::StageError;
use crate::worker::trace::TraceContext;
use pipeline::Intent;
use rating::{RetryMode, Timestamp};

/// Pauses before what is tried again by itself is tried again, in milliseconds, by how often it was tried before.
const PAUSES_MS: [i64; 5] = [10_000, 60_000, 600_000, 3_600_000, 86_400_000];

/// Something that waits, and when it is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// What waits.
    pub waited: Waited,
    /// First moment, on the clock of ticks, at which it is tried again; `None` if nobody has asked for it.
    pub due: Option<Timestamp>,
    /// When it came to wait, on the same clock; `None` before the first tick.
    pub since: Option<Timestamp>,
    /// Counts what comes to wait here, again each time: a request is about what came before it.
    pub(super) number: u64,
    /// Guide has been asked to keep its id.
    pub(super) is_held: bool,
    /// The trace that it belongs to, as bytes.
    pub(super) trace: Option<Box<[u8]>>,
}

impl Open {
    /// Writes it, in [`WAITING_FORMAT`]. A trace is what is left at the end: entries of before there were any have none.
    #[cfg(test)]
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let mut waited = Vec::new();
        self.waited.write(&mut waited);
        self.write_as(&waited, out);
    }

    /// The same with what is suspended as it is written down.
    pub(super) fn write_as(&self, waited: &[u8], out: &mut Vec<u8>) {
        let Open { waited: _, due, since, number, is_held, trace } = self;
        out.extend_from_slice(waited);
        due.write(out);
        since.write(out);
        number.write(out);
        is_held.write(out);
        out.extend_from_slice(trace.as_deref().unwrap_or_default());
    }

    /// Reads the value of a changelog entry.
    ///
    /// # Errors
    /// Bytes that are no such value.
    pub(super) fn read(value: &[u8]) -> Result<Open, StageError> {
        let version = value.first().copied().unwrap_or(0);
        Ok(Open::read_as(version, &mut read_format(value)?)?)
    }

    fn read_as(version: u8, input: &mut &[u8]) -> Result<Open, Corrupt> {
        let (waited, due) = (read_waited(version, input)?, Stored::read(input)?);
        let (since, number) = (Stored::read(input)?, Stored::read(input)?);
        let is_held = version >= WAITING_FORMAT[0] && bool::read(input)?;
        let trace = match std::mem::take(input) {
            [] => None,
            rest => {
                let trace = TraceContext::from_bytes(rest);
                Some(trace.ok_or(Corrupt { what: "a trace context", left: rest.len() })?.as_bytes().into())
            }
        };
        Ok(Open { waited, due, since, number, is_held, trace })
    }
}

impl Open {
    /// What somebody may do with it: whether its id is to be kept while it waits.
    pub(super) fn is_to_be_held(&self) -> bool {
        Intent::of(self.waited.reason, self.waited.level).was_held()
    }

    pub(super) fn new(waited: Waited, trace: Option<TraceContext<'_>>, clock: Option<Timestamp>, number: u64) -> Open {
        let is_by_itself = waited.reason.retry() == RetryMode::ByItself;
        let pause = PAUSES_MS.get(waited.attempt as usize).filter(|_| is_by_itself);
        let from = clock.map_or(0, Timestamp::millis);
        let due = pause.map(|pause| Timestamp::from_millis(from.saturating_add(*pause)));
        let trace = trace.map(|trace| trace.as_bytes().into());
        Open { waited, due, since: clock, number, is_held: false, trace }
    }

    /// The trace that it belongs to.
    pub fn trace(&self) -> Option<TraceContext<'_>> {
        self.trace.as_deref().and_then(TraceContext::from_bytes)
    }
}

/// Reads an entry of the changelog for a topic of what waits; `None` if it is about something else, or nothing waits there any more.
///
/// # Errors
/// Bytes that are no such entry.
pub fn read_open(topic: &str, key: &[u8], value: Option<&[u8]>) -> Result<Option<Open>, StageError> {
    match (read_key(topic, key)?, value) {
        (Some((About::Waiting, _)), Some(value)) => Ok(Some(Open::read(value)?)),
        _ => Ok(None),
    }
}
