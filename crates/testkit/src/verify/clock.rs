//! How late it is: by the ticks that were written, and for guide, by those that it hands on.

use super::reader::Reader;
use super::{Layout, VerifyError};
use crate::load::Connection;
use runtime::stages::{GuidedEntry, read_guided};
use std::collections::HashMap;
use std::time::Duration;

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
    reader.wait_until(limit, || {
        let earliest = earliest_clock(&reader, layout)?;
        let is_reached = earliest.is_some_and(|earliest| earliest >= at_least_ms);
        Ok((!is_reached).then(|| format!("it is {earliest:?} for guide, before {at_least_ms}")))
    })
}

/// The latest tick, in milliseconds since 1970. One that is ahead of the log's time is of somebody whose clock is wrong, and moves nobody's.
pub(super) fn latest_tick(reader: &Reader, layout: &Layout) -> Result<Option<i64>, VerifyError> {
    let topic = layout.topic("ticks");
    let mut latest: Option<i64> = None;
    reader.read(&topic, 0..reader.partitions(&topic)?, |message| {
        let tick: Option<serde_json::Value> = serde_json::from_slice(message.value).ok();
        let tick = tick.filter(|tick| tick.as_object().is_some_and(|tick| tick.len() == 1));
        let instant = tick.and_then(|tick| tick["tick"].as_str()?.parse::<jiff::Timestamp>().ok());
        let instant = instant.map(jiff::Timestamp::as_millisecond);
        latest = latest.max(instant.filter(|instant| message.dated_ms.is_some_and(|dated| *instant <= dated)));
        Ok(())
    })?;
    Ok(latest)
}

/// A moment as people read it.
pub(super) fn show(at_ms: Option<i64>) -> String {
    let at = at_ms.and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
    at.map_or("never".to_owned(), |at| at.to_string())
}

/// The clock of the partition of guide for which it is earliest; none where one of them has not had a tick.
fn earliest_clock(reader: &Reader, layout: &Layout) -> Result<Option<i64>, VerifyError> {
    let partitions = senders(reader, layout)?;
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

/// How many partitions guide reads, over all its topics: each hands ticks on to rate.
pub(super) fn senders(reader: &Reader, layout: &Layout) -> Result<usize, VerifyError> {
    let of_guide = if layout.skip_intake { layout.input_names() } else { vec![layout.topic("intaken")] };
    of_guide.iter().try_fold(0, |sum, topic| Ok(sum + reader.partitions(topic)? as usize))
}
