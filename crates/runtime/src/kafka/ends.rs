//! The ends of partitions, as the library tells of them every few seconds with its statistics. Nobody asks the broker for them.

use crate::worker::log::{Offset, Partition};
use rdkafka::Statistics;
use rdkafka::statistics::Partition as Told;
use std::sync::{Mutex, PoisonError};

/// How often the library tells, in milliseconds.
pub(super) const EVERY_MS: &str = "5000";

/// Ends that were told and not taken yet.
#[derive(Debug, Default)]
pub(super) struct Ends(Mutex<Vec<(Partition, Offset)>>);

impl Ends {
    /// Keeps what the library tells of the inputs.
    pub(super) fn note(&self, inputs: &[String], told: &Statistics) {
        let mut ends = Vec::new();
        for (topic, name) in (0_u16..).zip(inputs) {
            let partitions = told.topics.get(name).into_iter().flat_map(|topic| topic.partitions.values());
            ends.extend(partitions.filter_map(|told| {
                let number = u32::try_from(told.partition).ok()?;
                Some((Partition { topic, number }, end_of(told)?))
            }));
        }
        ends.sort_unstable();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = ends;
    }

    /// Takes them; none where nothing was told since.
    pub(super) fn take(&self) -> Vec<(Partition, Offset)> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Where what can be read ends; `None` where nothing is fetched. Behind the last message there may be markers of transactions, which nobody
/// will ever process: once all that can be read was handed over, the end is behind the last message of it.
fn end_of(told: &Told) -> Option<Offset> {
    if told.fetch_state != "active" || told.ls_offset < 0 {
        return None;
    }
    let is_through = told.next_offset >= told.ls_offset && told.fetchq_cnt == 0;
    // Below 0 as long as nothing was handed over: then no position is before the end.
    Some(if is_through { told.app_offset.max(0) } else { told.ls_offset })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_at_the_end_are_nothing_to_process() {
        let told = |fetch_state: &str, next_offset, fetchq_cnt, app_offset, ls_offset| {
            let fetch_state = fetch_state.to_owned();
            end_of(&Told { fetch_state, next_offset, fetchq_cnt, app_offset, ls_offset, ..Told::default() })
        };
        assert_eq!(told("active", 50, 10, 40, 100), Some(100), "more to be fetched");
        assert_eq!(told("active", 100, 10, 40, 100), Some(100), "fetched and not handed over");
        assert_eq!(told("active", 100, 0, 98, 100), Some(98), "all handed over, two markers behind it");
        assert_eq!(told("active", 100, 0, -1001, 100), Some(0), "nothing but markers");
        assert_eq!(told("none", 0, 0, -1001, 100), None, "read by somebody else");
        assert_eq!(told("active", 0, 0, -1001, -1001), None, "not known yet");
    }
}
