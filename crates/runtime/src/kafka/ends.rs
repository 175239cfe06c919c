//! The ends of partitions, as the library tells of them every few seconds with its statistics. Nobody asks the broker for them.

use crate::worker::log::{Offset, Partition};
use rdkafka::Statistics;
use rdkafka::statistics::Partition as Told;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// How often the library tells, in milliseconds.
pub(super) const EVERY_MS: &str = "5000";

/// Ends that were told and not taken yet.
#[derive(Debug, Default)]
pub(super) struct Ends {
    told: Mutex<Telling>,
    /// Nothing is read for the time being: that nothing is handed over means nothing.
    is_held: AtomicBool,
}

#[derive(Debug, Default)]
struct Telling {
    ends: Vec<(Partition, Offset)>,
    /// What was told last: the end, and what was handed over.
    last: BTreeMap<Partition, (Offset, Offset)>,
}

impl Ends {
    /// Keeps what the library tells of the inputs.
    pub(super) fn note(&self, inputs: &[String], told: &Statistics) {
        let mut telling = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_held = self.is_held.load(Ordering::Relaxed);
        let mut ends = Vec::new();
        let mut last = BTreeMap::new();
        for (topic, name) in (0_u16..).zip(inputs) {
            let partitions = told.topics.get(name).into_iter().flat_map(|topic| topic.partitions.values());
            for told in partitions {
                let Ok(number) = u32::try_from(told.partition) else { continue };
                let partition = Partition { topic, number };
                let now = (told.ls_offset, told.app_offset);
                let is_idle = !is_held && telling.last.get(&partition) == Some(&now);
                last.insert(partition, now);
                ends.extend(end_of(told, is_idle).map(|end| (partition, end)));
            }
        }
        ends.sort_unstable();
        *telling = Telling { ends, last };
    }

    /// Whether reading pauses.
    pub(super) fn hold(&self, is_held: bool) {
        self.is_held.store(is_held, Ordering::Relaxed);
    }

    /// Takes them; none where nothing was told since.
    pub(super) fn take(&self) -> Vec<(Partition, Offset)> {
        std::mem::take(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner).ends)
    }
}

/// Where what can be read ends; `None` where nothing is fetched. Behind the last message there may be markers of transactions, which nobody
/// will ever process: once all that can be read was handed over, no position is before the end, which is told as 0. That is so where the
/// library has handed over or fetched up to the end, and where nothing has moved for a whole interval although it reads: it forgets what it
/// fetched when it is idle.
fn end_of(told: &Told, is_idle: bool) -> Option<Offset> {
    if told.fetch_state != "active" || told.ls_offset < 0 {
        return None;
    }
    let is_at_end = is_idle || told.next_offset >= told.ls_offset || told.app_offset >= told.ls_offset;
    Some(if is_at_end && told.fetchq_cnt == 0 { 0 } else { told.ls_offset })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_at_the_end_are_nothing_to_process() {
        let told = |fetch_state: &str, next_offset, fetchq_cnt, app_offset, ls_offset| {
            let fetch_state = fetch_state.to_owned();
            end_of(&Told { fetch_state, next_offset, fetchq_cnt, app_offset, ls_offset, ..Told::default() }, false)
        };
        assert_eq!(told("active", 50, 10, 40, 100), Some(100), "more to be fetched");
        assert_eq!(told("active", 100, 10, 40, 100), Some(100), "fetched and not handed over");
        assert_eq!(told("active", 100, 0, 98, 100), Some(0), "all handed over, two markers behind it");
        assert_eq!(told("active", 100, 0, -1001, 100), Some(0), "nothing but markers");
        assert_eq!(told("none", 0, 0, -1001, 100), None, "read by somebody else");
        assert_eq!(told("active", 0, 0, -1001, -1001), None, "not known yet");
        assert_eq!(told("active", 0, 0, 98, 100), Some(100), "forgotten, or not fetched");
        assert_eq!(told("active", 0, 0, 100, 100), Some(0), "handed over, markers and all");
    }

    #[test]
    fn what_has_not_moved_for_an_interval_is_done_unless_nothing_is_read() {
        let text = r#"{"name":"x","client_id":"x","type":"consumer","ts":1,"time":1,"age":1,"replyq":0,"msg_cnt":0,"msg_size":0,
            "msg_max":0,"msg_size_max":0,"tx":0,"tx_bytes":0,"rx":0,"rx_bytes":0,"txmsgs":0,"txmsg_bytes":0,"rxmsgs":0,"rxmsg_bytes":0,
            "simple_cnt":0,"metadata_cache_cnt":0,"brokers":{},"topics":{}}"#;
        let mut told: Statistics = serde_json::from_str(text).expect("statistics");
        let mut topic = rdkafka::statistics::Topic::default();
        let partition = Told { fetch_state: "active".to_owned(), app_offset: 98, ls_offset: 100, ..Told::default() };
        topic.partitions.insert(0, partition);
        told.topics.insert("usage".to_owned(), topic);
        let (ends, inputs) = (Ends::default(), ["usage".to_owned()]);
        let first = Partition { topic: 0, number: 0 };
        let end = || {
            ends.note(&inputs, &told);
            ends.take()
        };
        assert_eq!([end(), end()], [[(first, 100)], [(first, 0)]]);
        ends.hold(true);
        assert_eq!(end(), [(first, 100)]);
    }
}
