//! Ticks: now and then, how late it is. The only clock that rating knows; who may read it when is the [worker](crate::worker)'s business.

use crate::kafka::block_on;
use crate::worker::log::{Log, Outgoing, Producer};
use rating::Timestamp;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often it looks whether it has to stop.
const GLANCE: Duration = Duration::from_millis(50);

/// Where ticks go, and when.
pub(super) struct Ticker<'t, L> {
    pub(super) log: &'t L,
    /// The topic of ticks, of one partition.
    pub(super) topic: String,
    pub(super) transactional_id: String,
    pub(super) every: Duration,
    pub(super) now: fn() -> Timestamp,
}

impl<L: Log> Ticker<'_, L> {
    /// Writes ticks until it is told to stop. What cannot be written now is written next time: a later tick says all that an earlier one
    /// did.
    pub(super) fn run(&self, stop: &AtomicBool, tell: impl Fn(Result<(), &str>)) {
        let mut producer = None;
        while !stop.load(Ordering::Relaxed) {
            let written = self.write(&mut producer);
            tell(written.as_ref().copied().map_err(String::as_str));
            if written.is_err() {
                // It may be anything: the next one starts afresh.
                producer = None;
            }
            let since = Instant::now();
            while since.elapsed() < self.every && !stop.load(Ordering::Relaxed) {
                block_on(self.log.pause(GLANCE.min(self.every)));
            }
        }
    }

    /// Writes one tick.
    fn write(&self, producer: &mut Option<L::Producer>) -> Result<(), String> {
        let made = match producer.take() {
            Some(made) => made,
            None => block_on(self.log.producer(&self.transactional_id)).map_err(in_words)?,
        };
        let producer = producer.insert(made);
        let value = format!("{{\"tick\":\"{}\"}}", (self.now)());
        let (topic, value) = (self.topic.as_str(), Some(value.as_bytes()));
        block_on(producer.begin()).map_err(in_words)?;
        let message = Outgoing { topic, partition: Some(0), key: None, value, headers: &[] };
        block_on(producer.send(message)).map_err(in_words)?;
        block_on(producer.commit()).map_err(in_words)
    }
}

fn in_words(error: impl fmt::Display) -> String {
    format!("tick: {error}")
}
