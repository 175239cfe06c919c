//! How late it is for guide, read from the ticks that it hands on.

use super::reader::Reader;
use super::{Layout, VerifyError};
use crate::load::Connection;
use runtime::stages::{GuidedEntry, read_guided};
use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Waits until it is at least so late, in milliseconds since 1970, for each partition that guide reads.
///
/// # Errors
/// No answer, messages that are not guide's, or earlier after `limit`.
pub fn wait_for_clock(
    connection: &Connection,
    layout: &Layout,
    at_least_ms: i64,
    limit: Duration,
) -> Result<(), VerifyError> {
    let reader = Reader::new(connection)?;
    let deadline = Instant::now() + limit;
    loop {
        let earliest = match earliest_clock(&reader, layout) {
            Ok(earliest) => earliest,
            // Brokers restart.
            Err(VerifyError::Surroundings(_)) => None,
            Err(error @ VerifyError::Refused(_)) => return Err(error),
        };
        if earliest.is_some_and(|earliest| earliest >= at_least_ms) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let what = format!("after {} s it is {earliest:?} for guide, before {at_least_ms}", limit.as_secs());
            return Err(VerifyError::Surroundings(what));
        }
        thread::sleep(LOOK_AGAIN);
    }
}

/// The clock of the partition of guide for which it is earliest; none where one of them has not had a tick.
fn earliest_clock(reader: &Reader, layout: &Layout) -> Result<Option<i64>, VerifyError> {
    let of_guide = if layout.skip_intake { layout.input_names() } else { vec![layout.topic("intaken")] };
    let mut partitions = 0;
    for topic in &of_guide {
        partitions += reader.partitions(topic)? as usize;
    }
    let mut clocks: HashMap<(String, u32), i64> = HashMap::new();
    // Guide hands ticks on to every partition.
    reader.read(&layout.topic("guided"), [0], |message| {
        let guided = read_guided(message.value).map_err(|error| VerifyError::Refused(error.to_string()))?;
        for entry in &guided.entries {
            if let GuidedEntry::Tick(instant) = entry {
                let clock = clocks.entry(guided.source.clone()).or_insert(i64::MIN);
                *clock = (*clock).max(instant.millis());
            }
        }
        Ok(())
    })?;
    Ok(clocks.values().copied().min().filter(|_| clocks.len() == partitions))
}
