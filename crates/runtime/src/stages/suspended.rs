//! What recycling keeps of a partition: an index in memory, and the suspended messages themselves in [`bodies`](super::bodies).
//!
//! The index has what decides when something leaves: places, reasons, ids, times. A body is the whole [`Waited`] as it is written down; it never changes.

use super::bodies::{Bodies, Body};
use super::open::Open;
use super::request::{Asked, RecycleRequest};
use super::waiting::{Bytes, Waited};
use crate::state::Stored;
use crate::worker::{StageError, Target};
use hashbrown::HashMap;
use rating::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Most that leaves a partition with one batch; the rest leaves with the next ticks.
pub(super) const MOST_AT_ONCE: usize = 5_000;

/// Bytes that leave with one batch, over all partitions: they are in memory several times until it is committed.
pub(super) const MOST_BYTES_AT_ONCE: u64 = 8 << 20;

/// Something that is suspended.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Of `waited` only what decides when it leaves; see [`Entry::read`].
    pub(super) open: Open,
    /// How long the original is.
    pub(super) original_bytes: usize,
    pub(super) body: Body,
}

impl Entry {
    /// Keeps something.
    ///
    /// # Errors
    /// It cannot be kept.
    pub(super) fn keep(mut open: Open, bodies: &Bodies) -> Result<Entry, StageError> {
        let waited = &mut open.waited;
        let mut bytes = Vec::with_capacity(waited.original.0.len() + 512);
        waited.write(&mut bytes);
        let body = bodies.keep(&bytes)?;
        let original = std::mem::replace(&mut waited.original, Bytes(Vec::new()));
        (waited.key, waited.content_type, waited.detail) = (None, String::new(), String::new());
        Ok(Entry { open, original_bytes: original.0.len(), body })
    }

    /// All of what is suspended.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn read(&self) -> Result<Waited, StageError> {
        Ok(Waited::read(&mut self.body.read()?.as_slice())?)
    }
}

/// What is kept per partition, besides progress.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) open: HashMap<String, Entry>,
    /// Bytes of what is suspended.
    pub(super) bytes: u64,
    /// Places by when they are due.
    due: BTreeSet<(Timestamp, String)>,
    /// Those whose ids guide has not been asked to keep yet.
    unheld: BTreeSet<String>,
    /// How many wait since when.
    pub(super) since: BTreeMap<Timestamp, u64>,
    /// What stood there before the batch, in the order in which it changed.
    pub(super) journal: Vec<(String, Option<Entry>)>,
    /// What was asked for and is not all done yet.
    pub(super) asked: Requests,
    /// The same before the batch, if that changed it.
    pub(super) asked_before: Option<Requests>,
    /// The number of what comes to wait next.
    pub(super) next: u64,
    /// The same before the batch, if that changed it.
    next_before: Option<u64>,
}

/// What leaves with one batch so far.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// Of the partition.
    count: usize,
    /// Of all partitions.
    bytes: u64,
}

impl Room {
    /// Takes the room of one more; returns false where there is none. The first fits, however long it is.
    fn take(&mut self, entry: Option<&Entry>) -> bool {
        let is_free = self.count < MOST_AT_ONCE && self.bytes < MOST_BYTES_AT_ONCE;
        if is_free {
            self.count += 1;
            self.bytes += entry.map_or(0, |entry| entry.body.len());
        }
        is_free
    }
}

/// Requests, each with the number of what came to wait first after it.
pub(super) type Requests = Vec<(RecycleRequest, u64)>;

impl Kept {
    /// Takes in what somebody asks. What cannot be understood is nobody's money: it is passed over, and so are ticks, which a program wrote here
    /// before they had a topic of their own.
    pub(super) fn ask(&mut self, value: &[u8]) {
        match serde_json::from_slice(value) {
            Ok(Asked::Tick(_)) => {}
            // Everything is given up by nobody.
            Ok(Asked::Recycle(request)) if request.write_off.is_some() && request.is_about_all() => {}
            Ok(Asked::Recycle(request)) => {
                let before = self.next;
                self.change_asked().push((request, before));
            }
            Err(_) => {}
        }
    }

    pub(super) fn put(&mut self, place: String, entry: Option<Entry>) {
        let open = entry.as_ref().map(|entry| &entry.open);
        match open.is_some_and(|open| !open.is_held && open.is_to_be_held()) {
            true => self.unheld.insert(place.clone()),
            false => self.unheld.remove(&place),
        };
        let due = open.and_then(|open| open.due);
        if let Some(since) = open.and_then(|open| open.since) {
            *self.since.entry(since).or_default() += 1;
        }
        self.bytes += entry.as_ref().map_or(0, |entry| entry.body.len());
        let before = match entry {
            Some(entry) => self.open.insert(place.clone(), entry),
            None => self.open.remove(&place),
        };
        self.bytes -= before.as_ref().map_or(0, |before| before.body.len());
        if let Some(due) = before.as_ref().and_then(|before| before.open.due) {
            self.due.remove(&(due, place.clone()));
        }
        if let Some(since) = before.as_ref().and_then(|before| before.open.since)
            && let Some(count) = self.since.get_mut(&since)
        {
            *count -= 1;
            if *count == 0 {
                self.since.remove(&since);
            }
        }
        if let Some(due) = due {
            self.due.insert((due, place.clone()));
        }
        self.journal.push((place, before));
    }

    /// The number of what comes to wait now.
    pub(super) fn number(&mut self) -> u64 {
        let number = self.next;
        self.next_before.get_or_insert(number);
        self.next += 1;
        number
    }

    pub(super) fn change_asked(&mut self) -> &mut Requests {
        let asked = &self.asked;
        self.asked_before.get_or_insert_with(|| asked.clone());
        &mut self.asked
    }

    /// What leaves now, each with why it is given up, if it is: what is due, then what was asked for and can leave; what cannot must not stand
    /// in the way of the rest.
    pub(super) fn leaving(
        &mut self,
        clock: Timestamp,
        room: &mut Room,
        can_leave: impl Fn(&Entry) -> bool,
    ) -> BTreeMap<String, Option<String>> {
        room.count = 0;
        let due = self.due.iter().take_while(|(at, _)| *at <= clock).filter(|(_, place)| !self.is_given_up(place));
        let fitting = due.take_while(|(_, place)| room.take(self.open.get(place)));
        let mut leaving: BTreeMap<String, Option<String>> = fitting.map(|(_, place)| (place.clone(), None)).collect();
        while let Some((request, before)) = self.asked.first() {
            let is_asked = |(place, entry): &(&String, &Entry)| {
                entry.open.number < *before
                    && request.is_about(&entry.open.waited)
                    && (request.write_off.is_some() || (can_leave(entry) && !self.is_given_up(place)))
                    && !leaving.contains_key(*place)
            };
            // In an order that does not depend on the map: undone and done again the same leaves.
            let mut asked: Vec<(u64, String)> =
                self.open.iter().filter(is_asked).map(|(place, entry)| (entry.open.number, place.clone())).collect();
            asked.sort_unstable();
            let fitting = asked.iter().take_while(|(_, place)| room.take(self.open.get(place))).count();
            let is_done = fitting == asked.len();
            leaving.extend(asked.into_iter().take(fitting).map(|(_, place)| (place, request.write_off.clone())));
            if !is_done {
                break;
            }
            self.change_asked().remove(0);
        }
        leaving
    }

    /// Whose ids guide is asked to keep now, and where: some of those that it was not asked for yet, past which nothing would hear of the others, and all
    /// that leave now. What is tried again or given up without having been counted would be counted out for another copy.
    pub(super) fn to_hold(
        &self,
        leaving: &BTreeMap<String, Option<String>>,
        room: &mut Room,
        target: impl Fn(&Entry) -> Option<Target>,
    ) -> Vec<(String, Target)> {
        let reached = |key: &String| Some((key.clone(), target(self.open.get(key)?)?));
        let is_first = |key: &&String| self.unheld.contains(*key);
        let of_leaving = leaving.keys().filter(is_first).filter_map(reached);
        let others = self.unheld.iter().filter(|key| !leaving.contains_key(*key)).filter_map(reached);
        room.count = 0;
        of_leaving.chain(others.take_while(|(key, _)| room.take(self.open.get(key)))).collect()
    }

    /// Whether somebody has asked for it to be given up: then it is not tried again any more, even if it is due.
    fn is_given_up(&self, place: &str) -> bool {
        let mut given_up = self.asked.iter().filter(|(request, _)| request.write_off.is_some()).peekable();
        let open = given_up.peek().and_then(|_| self.open.get(place));
        open.is_some_and(|open| {
            let open = &open.open;
            given_up.any(|(request, before)| open.number < *before && request.is_about(&open.waited))
        })
    }

    pub(super) fn undo(&mut self) {
        if let Some(before) = self.asked_before.take() {
            self.asked = before;
        }
        if let Some(before) = self.next_before.take() {
            self.next = before;
        }
        for (place, before) in std::mem::take(&mut self.journal).into_iter().rev() {
            self.put(place, before);
        }
        self.journal.clear();
    }

    pub(super) fn settle(&mut self) {
        self.journal.clear();
        self.asked_before = None;
        self.next_before = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::bodies::ScratchSettings;
    use crate::worker::log::Offset;
    use rating::SuspenseReason;

    /// Where retries go, in the list of outputs.
    const RETRIES: u16 = 1;

    fn keep(open: Open) -> Entry {
        let bodies = Bodies::new(ScratchSettings { memory_bytes: 1_000, ..ScratchSettings::default() });
        Entry::keep(open, &bodies).expect("kept")
    }

    fn add(kept: &mut Kept, waited: Waited) {
        let open = Open::new(waited, None, None, kept.number());
        let entry = keep(open);
        kept.put(entry.open.waited.key(), Some(entry));
    }

    fn waited(offset: Offset, topic: &str) -> Waited {
        Waited {
            topic: topic.to_owned(),
            partition: 0,
            offset,
            key: None,
            original: Bytes(b"x".to_vec()),
            content_type: String::new(),
            attempt: 0,
            reason: SuspenseReason::NoRate,
            level: None,
            detail: String::new(),
            stage: "guide".to_owned(),
            usage_id: None,
            event_time: None,
            topic_id: None,
        }
    }

    #[test]
    fn what_guide_cannot_be_asked_for_does_not_stand_in_the_way_and_what_leaves_is_counted_first() {
        let mut kept = Kept::default();
        for (topic, count) in [("gone", MOST_AT_ONCE as i64 + 1), ("usage", MOST_AT_ONCE as i64 + 3)] {
            for offset in 0..count {
                add(&mut kept, waited(offset, topic));
            }
        }
        let target = |entry: &Entry| {
            (entry.open.waited.topic == "usage").then_some(Target { topic: RETRIES, partition: Some(0) })
        };
        let last = format!("usage:0:{}", MOST_AT_ONCE - 1);
        let leaving = BTreeMap::from([(last.clone(), None), ("gone:0:1".to_owned(), Some("given up".to_owned()))]);
        let keys: Vec<String> =
            kept.to_hold(&leaving, &mut Room::default(), target).into_iter().map(|(key, _)| key).collect();
        assert!(keys.len() == MOST_AT_ONCE + 1 && keys[0] == last, "{}", keys.len());
        assert!(keys.iter().all(|key| key.starts_with("usage")));
    }

    #[test]
    fn what_cannot_leave_does_not_stand_in_the_way_of_a_request() {
        let mut kept = Kept::default();
        for offset in 0..=MOST_AT_ONCE as i64 {
            add(&mut kept, waited(offset, "gone"));
        }
        add(&mut kept, waited(0, "usage"));
        let before = kept.next;
        kept.change_asked().push((RecycleRequest::default(), before));
        let leaving = kept.leaving(Timestamp::EPOCH, &mut Room::default(), |entry| entry.open.waited.topic == "usage");
        assert_eq!(leaving.into_keys().collect::<Vec<_>>(), ["usage:0:0"]);
        assert!(kept.asked.is_empty(), "the request is done");
    }

    #[test]
    fn what_is_given_up_does_not_leave_by_an_earlier_request_and_nobody_gives_up_everything() {
        let mut kept = Kept::default();
        for offset in 0..=MOST_AT_ONCE as i64 {
            add(&mut kept, waited(offset, "usage"));
        }
        let give_up = |reasons: Vec<String>| RecycleRequest {
            reasons,
            write_off: Some("never".to_owned()),
            ..RecycleRequest::default()
        };
        for request in [RecycleRequest::default(), give_up(vec!["no_rate".to_owned()]), give_up(Vec::new())] {
            kept.ask(&request.message());
        }
        assert_eq!(kept.asked.len(), 2, "everything is given up by nobody");
        let leaving = kept.leaving(Timestamp::EPOCH, &mut Room::default(), |_| true);
        assert!(leaving.len() == MOST_AT_ONCE && leaving.values().all(Option::is_some));
    }

    #[test]
    fn what_is_given_up_is_not_tried_again_once_more_though_it_is_due_and_though_it_could_not_leave() {
        let mut kept = Kept::default();
        for (offset, topic) in [(0, "usage"), (1, "usage"), (2, "gone")] {
            let unknown = Waited { reason: SuspenseReason::UnknownEndpoint, ..waited(offset, topic) };
            add(&mut kept, unknown);
        }
        let request = RecycleRequest { write_off: Some("the SIM was a test".to_owned()), ..RecycleRequest::default() };
        kept.change_asked().push((request, 2));
        kept.change_asked().push((RecycleRequest { write_off: Some("gone".to_owned()), ..Default::default() }, 3));
        let leaving = kept.leaving(Timestamp::LATEST, &mut Room::default(), |entry| entry.open.waited.topic == "usage");
        let expected = [("gone:0:2", "gone"), ("usage:0:0", "the SIM was a test"), ("usage:0:1", "the SIM was a test")];
        assert_eq!(
            leaving,
            expected.map(|(place, because)| (place.to_owned(), Some(because.to_owned()))).into_iter().collect()
        );
    }

    #[test]
    fn what_leaves_with_one_batch_is_bounded_in_bytes_and_one_leaves_however_long_it_is() {
        let mut kept = Kept::default();
        for offset in 0..5 {
            let original = Bytes(vec![7; MOST_BYTES_AT_ONCE as usize * 2 / 5]);
            let reason = SuspenseReason::UnknownEndpoint;
            add(&mut kept, Waited { original, reason, ..waited(offset, "usage") });
        }
        add(&mut kept, Waited { original: Bytes(vec![7; MOST_BYTES_AT_ONCE as usize * 2]), ..waited(9, "usage") });
        assert_eq!(kept.leaving(Timestamp::LATEST, &mut Room::default(), |_| true).len(), 3);
        kept.settle();
        let before = kept.next;
        kept.change_asked().push((RecycleRequest::default(), before));
        let mut left = Vec::new();
        while !kept.asked.is_empty() {
            let leaving: Vec<String> =
                kept.leaving(Timestamp::EPOCH, &mut Room::default(), |_| true).into_keys().collect();
            leaving.iter().for_each(|place| kept.put(place.clone(), None));
            kept.settle();
            left.push(leaving.len());
        }
        assert_eq!((left.iter().sum::<usize>(), kept.bytes), (6, 0), "{left:?}");
        assert!(left.len() >= 2 && left.iter().all(|count| *count > 0), "{left:?}");
    }

    #[test]
    fn what_is_read_is_what_was_kept() {
        let waited = Waited {
            key: Some(Bytes(vec![0, 255])),
            original: Bytes(vec![1; 5_000]),
            content_type: "application/json".to_owned(),
            detail: "why".to_owned(),
            usage_id: Some("r1".to_owned()),
            ..waited(7, "usage")
        };
        let open = Open::new(waited.clone(), None, None, 3);
        let mut expected = Vec::new();
        open.write(&mut expected);
        let entry = keep(open);
        assert_eq!(entry.read().expect("read"), waited);
        let mut written = Vec::new();
        entry.open.write_as(&entry.body.read().expect("read"), &mut written);
        assert_eq!(written, expected);
    }
}
