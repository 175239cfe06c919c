//! Recycling: keeps what waits until it is tried again, by itself or because somebody asks.
//!
//! It reads what the other stages say waits, and requests of people, with ticks beside them, and sends the original back to the partition of the input that
//! it came to ([`retry`](super::retry)). What waits is either kept here or on its way; in both cases exactly once, because both change
//! in one transaction. What comes back still waiting comes back with one more attempt. What somebody gives up leaves for good, and that is told to
//! people where they were told that it waits.
//!
//! An endpoint that is not known yet usually turns up, and one that cannot be read is mended: `unknown_endpoint` and `endpoint_unreadable` are
//! tried again after 10 s, 1 min, 10 min, 1 h and a day, counted on the clock of ticks. Everything else waits for a request: somebody has to
//! mend something first.

use super::entry::Wanted;
use super::open::Open;
use super::outbound::Outbound;
use super::progress::{About, Changelog, Progress, Unit, Units, corrupt, read_format, read_key};
use super::request::{Asked, RecycleRequest};
use super::topic_of;
use super::waiting::{WAITING_FORMAT, Waited};
use crate::state::Stored;
use crate::wire::{CloudEvents, Encoder, Frames, OutputFormat};
use crate::worker::counts::StageStatus;
use crate::worker::log::{Batch, Offset, Partition};
use crate::worker::{Beginning, FactsMissing, Known, NoTick, Output, Side, Stage, StageError, Target};
use hashbrown::HashMap;
use rating::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Most that leaves a partition with one batch; the rest leaves with the next ticks.
const MOST_AT_ONCE: usize = 5_000;

/// Originals above this length, in bytes, do not fit into a retry on a topic with Kafka's own limit of 1 MB; hardly a record is so long.
const LONGEST_ORIGINAL: usize = 700_000;

/// Outputs, by their place in the list.
const RETRIES: u16 = 1;
const SUSPENSE: u16 = 2;

/// How recycling is set up.
#[derive(Clone, Debug)]
pub struct RecycleSettings {
    /// What the other stages say waits.
    pub waiting: String,
    /// The topic of ticks.
    pub ticks: String,
    /// The changelog.
    pub changelog: String,
    /// The topics that originals come from, with the number of their partitions.
    pub inputs: Vec<(String, u32)>,
    /// Where retries go: it has a partition for each number of a partition of those.
    pub retries: String,
    /// Where it is told what was given up.
    pub suspense: String,
    /// What stands before each datum there.
    pub frames: Frames,
    /// Headers that say what a message is; none where nobody wants them.
    pub events: Option<CloudEvents>,
    /// How far ahead of the log's time a tick may be, in milliseconds.
    pub future_ms: i64,
}

/// What is kept per partition, besides progress.
#[derive(Debug, Default)]
struct Kept {
    open: HashMap<String, Open>,
    /// Places by when they are due.
    due: BTreeSet<(Timestamp, String)>,
    /// Those whose ids guide has not been asked to keep yet.
    unheld: BTreeSet<String>,
    /// How many wait since when.
    since: BTreeMap<Timestamp, u64>,
    /// What stood there before the batch, in the order in which it changed.
    journal: Vec<(String, Option<Open>)>,
    /// What was asked for and is not all done yet.
    asked: Requests,
    /// The same before the batch, if that changed it.
    asked_before: Option<Requests>,
    /// The number of what comes to wait next.
    next: u64,
    /// The same before the batch, if that changed it.
    next_before: Option<u64>,
}

/// Requests, each with the number of what came to wait first after it.
type Requests = Vec<(RecycleRequest, u64)>;

impl Kept {
    fn put(&mut self, place: String, open: Option<Open>) {
        match open.as_ref().is_some_and(|open| !open.is_held && open.is_to_be_held()) {
            true => self.unheld.insert(place.clone()),
            false => self.unheld.remove(&place),
        };
        let due = open.as_ref().and_then(|open| open.due);
        if let Some(since) = open.as_ref().and_then(|open| open.since) {
            *self.since.entry(since).or_default() += 1;
        }
        let before = match open {
            Some(open) => self.open.insert(place.clone(), open),
            None => self.open.remove(&place),
        };
        if let Some(due) = before.as_ref().and_then(|before| before.due) {
            self.due.remove(&(due, place.clone()));
        }
        if let Some(since) = before.as_ref().and_then(|before| before.since)
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
    fn number(&mut self) -> u64 {
        let number = self.next;
        self.next_before.get_or_insert(number);
        self.next += 1;
        number
    }

    fn change_asked(&mut self) -> &mut Requests {
        let asked = &self.asked;
        self.asked_before.get_or_insert_with(|| asked.clone());
        &mut self.asked
    }

    /// What leaves now, each with why it is given up, if it is: what is due, then what was asked for and can leave; what cannot must not stand
    /// in the way of the rest.
    fn leaving(&mut self, clock: Timestamp, can_leave: impl Fn(&Waited) -> bool) -> BTreeMap<String, Option<String>> {
        let due = self.due.iter().take_while(|(at, _)| *at <= clock).filter(|(_, place)| !self.is_given_up(place));
        let mut leaving: BTreeMap<String, Option<String>> =
            due.take(MOST_AT_ONCE).map(|(_, place)| (place.clone(), None)).collect();
        while let Some((request, before)) = self.asked.first() {
            let is_asked = |(place, open): &(&String, &Open)| {
                open.number < *before
                    && request.is_about(&open.waited)
                    && (request.write_off.is_some() || (can_leave(&open.waited) && !self.is_given_up(place)))
                    && !leaving.contains_key(*place)
            };
            // In an order that does not depend on the map: undone and done again the same leaves.
            let mut asked: Vec<(u64, String)> =
                self.open.iter().filter(is_asked).map(|(place, open)| (open.number, place.clone())).collect();
            let room = MOST_AT_ONCE.saturating_sub(leaving.len());
            let is_done = asked.len() <= room;
            asked.sort_unstable();
            leaving.extend(asked.into_iter().take(room).map(|(_, place)| (place, request.write_off.clone())));
            if !is_done {
                break;
            }
            self.change_asked().remove(0);
        }
        leaving
    }

    /// Whose ids guide is asked to keep now, and where: some of those that it was not asked for yet, past which nothing would hear of the others, and all
    /// that leave now. What is tried again or given up without having been counted would be counted out for another copy.
    fn to_hold(
        &self,
        leaving: &BTreeMap<String, Option<String>>,
        target: impl Fn(&Waited) -> Option<Target>,
    ) -> Vec<(String, Target)> {
        let reached = |key: &String| Some((key.clone(), target(&self.open.get(key)?.waited)?));
        let is_first = |key: &&String| self.unheld.contains(*key);
        let of_leaving = leaving.keys().filter(is_first).filter_map(reached);
        let others = self.unheld.iter().filter(|key| !leaving.contains_key(*key)).filter_map(reached);
        of_leaving.chain(others.take(MOST_AT_ONCE)).collect()
    }

    /// Whether somebody has asked for it to be given up: then it is not tried again any more, even if it is due.
    fn is_given_up(&self, place: &str) -> bool {
        let mut given_up = self.asked.iter().filter(|(request, _)| request.write_off.is_some()).peekable();
        let open = given_up.peek().and_then(|_| self.open.get(place));
        open.is_some_and(|open| {
            given_up.any(|(request, before)| open.number < *before && request.is_about(&open.waited))
        })
    }

    fn undo(&mut self) {
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

    fn settle(&mut self) {
        self.journal.clear();
        self.asked_before = None;
        self.next_before = None;
    }
}

/// The stage.
#[derive(Debug)]
pub struct RecycleStage {
    inputs: Vec<String>,
    outputs: Vec<String>,
    /// The topics that originals come from, with the number of their partitions.
    inputs_of_originals: Vec<(String, u32)>,
    outbound: Outbound,
    future_ms: i64,
    units: Units<Kept>,
}

impl RecycleStage {
    /// The stage without state.
    pub fn new(settings: RecycleSettings) -> RecycleStage {
        let RecycleSettings { waiting, ticks, changelog, inputs, retries, suspense, frames, events, future_ms } =
            settings;
        let outputs = vec![changelog, retries, suspense];
        let outbound = Outbound { encoder: Encoder::new(OutputFormat::Avro, ""), frames, events };
        let units = Units::beside(super::ticks_beside(&ticks));
        RecycleStage { inputs: vec![waiting], outputs, inputs_of_originals: inputs, outbound, future_ms, units }
    }

    /// How many things wait in the partitions that are owned.
    pub fn open_count(&self) -> usize {
        self.units.all().map(|unit| unit.kept.open.len()).sum()
    }
}

/// Takes in what somebody asks. What cannot be understood is nobody's money: it is passed over, and so are ticks, which a program wrote here
/// before they had a topic of their own.
fn asked(value: &[u8], unit: &mut Unit<Kept>) {
    match serde_json::from_slice(value) {
        Ok(Asked::Tick(_)) => {}
        // Everything is given up by nobody.
        Ok(Asked::Recycle(request)) if request.write_off.is_some() && request.is_about_all() => {}
        Ok(Asked::Recycle(request)) => {
            let before = unit.kept.next;
            unit.kept.change_asked().push((request, before));
        }
        Err(_) => {}
    }
}

/// Something that leaves, or whose id is to be kept: where what is said of it goes, and what stays of it.
struct Said {
    partition: Partition,
    /// What it is kept under.
    key: String,
    open: Open,
    what: What,
}

/// What is said of it.
enum What {
    /// Its id is to be kept.
    Held(Target),
    /// It is tried again.
    Tried(Target),
    /// It is given up; guide is told where it has to know.
    GivenUp(String, Option<Target>),
    /// It was due, and cannot leave.
    Stays,
}

impl RecycleStage {
    /// Says of what came to wait that its id is to be kept, sends what is due or asked for back to where it came from, and tells what is given up.
    fn fire(&mut self, output: &mut Output) {
        let RecycleStage { units, inputs_of_originals, outbound, .. } = self;
        // A topic that is no input any more, or has lost partitions, has nobody who would read a retry.
        let target = |waited: &Waited| {
            let is_read =
                inputs_of_originals.iter().any(|(name, count)| *name == waited.topic && waited.partition < *count);
            let fits = waited.original.0.len() <= LONGEST_ORIGINAL;
            (is_read && fits).then_some(Target { topic: RETRIES, partition: Some(waited.partition) })
        };
        let mut said = Vec::new();
        for (partition, unit) in units.touched() {
            let clock = unit.progress.clock.unwrap_or(Timestamp::EPOCH);
            let leaving = unit.kept.leaving(clock, |waited| target(waited).is_some());
            for (key, held_by) in unit.kept.to_hold(&leaving, target) {
                let Some(open) = unit.kept.open.get(&key) else { continue };
                said.push(Said { partition, key, open: open.clone(), what: What::Held(held_by) });
            }
            for (key, given_up) in leaving {
                let Some(open) = unit.kept.open.get(&key) else { continue };
                let what = match (given_up, target(&open.waited)) {
                    (Some(because), target) => What::GivenUp(because, target.filter(|_| open.is_to_be_held())),
                    (None, Some(target)) => What::Tried(target),
                    (None, None) => What::Stays,
                };
                said.push(Said { partition, key, open: open.clone(), what });
            }
        }
        // In the order of arrival, whichever partitions what waits is spread over; that an id is to be kept is said first.
        said.sort_by(|one, other| {
            let rank = |said: &Said| !matches!(said.what, What::Held(_));
            let order = rank(one).cmp(&rank(other));
            order.then_with(|| one.open.waited.arrival().cmp(&other.open.waited.arrival()))
        });
        for Said { partition, key, open, what } in said {
            let first = output.len();
            let send = |target: Target, wanted: Wanted, output: &mut Output| {
                let retry = open.waited.retry(wanted);
                output.push(target, retry.key.as_deref(), |out| retry.write(out));
            };
            let stays = match what {
                What::Held(target) => {
                    send(target, Wanted::Hold, output);
                    Some(Open { is_held: true, ..open.clone() })
                }
                What::Tried(target) => {
                    send(target, Wanted::Again, output);
                    None
                }
                What::GivenUp(because, target) => {
                    if let Some(target) = target {
                        send(target, Wanted::Leave, output);
                    }
                    outbound.written_off(SUSPENSE, &open.waited, &because, output);
                    output.counts.written_off(open.waited.reason);
                    None
                }
                What::Stays => Some(Open { due: None, ..open.clone() }),
            };
            output.add_trace(first, open.trace());
            if let Ok(unit) = units.get(partition) {
                unit.kept.put(key, stays);
            }
        }
    }
}

impl Stage for RecycleStage {
    fn inputs(&self) -> &[String] {
        &self.inputs
    }

    fn outputs(&self) -> &[String] {
        &self.outputs
    }

    fn changelog(&self) -> &str {
        self.outputs.first().map_or("", String::as_str)
    }

    fn create(&mut self, partition: Partition) {
        self.units.create(partition, Kept::default());
    }

    fn restore(&mut self, partition: Partition, key: &[u8], value: Option<&[u8]>) -> Result<(), StageError> {
        let Some((about, own)) = read_key(topic_of(&self.inputs, partition), key)? else { return Ok(()) };
        let unit = self.units.get(partition)?;
        match about {
            About::Progress => {
                if let Some(value) = value {
                    unit.progress = Progress::read(&mut read_format(value)?)?;
                }
            }
            About::Waiting => {
                let place = std::str::from_utf8(own).map_err(|_| corrupt("a changelog key", "not UTF-8"))?;
                let open = value.map(Open::read).transpose()?;
                unit.kept.next = unit.kept.next.max(open.as_ref().map_or(0, |open: &Open| open.number + 1));
                unit.kept.put(place.to_owned(), open);
                unit.kept.journal.clear();
            }
            About::Requests => {
                if let Some(value) = value {
                    unit.kept.asked = Stored::read(&mut read_format(value)?)?;
                    let last = unit.kept.asked.iter().map(|(_, before)| *before).max();
                    unit.kept.next = unit.kept.next.max(last.unwrap_or(0));
                }
            }
            About::Topics => unit.restore_topics(value)?,
            About::Ids | About::Segment | About::Held => {}
        }
        Ok(())
    }

    fn restored(&mut self, partition: Partition) -> Result<Option<Offset>, StageError> {
        Ok(self.units.get(partition)?.progress.position)
    }

    fn drop_state(&mut self, partition: Partition) {
        self.units.drop_one(partition);
    }

    fn prepare(&mut self, _batch: &Batch) -> Result<(), FactsMissing> {
        Ok(())
    }

    fn execute(&mut self, batch: &Batch, output: &mut Output) -> Result<(), StageError> {
        for message in batch.messages() {
            output.executing = Some((message.partition, message.offset));
            let unit = self.units.touch_message(&message)?;
            // What waits begins with a format version, which no JSON does; one from a later version is refused, not passed over.
            if message.value.first().is_some_and(|first| *first < b' ' && !first.is_ascii_whitespace()) {
                let waited = Waited::read_message(message.value)?;
                let open = Open::new(waited, message.trace, unit.progress.clock, unit.kept.number());
                unit.kept.put(open.waited.key(), Some(open));
            } else {
                asked(message.value, unit);
            }
        }
        for tick in batch.ticks() {
            self.units.touch_tick(&tick)?.progress.advance(tick.instant);
        }
        self.fire(output);
        for (partition, unit) in self.units.touched() {
            let changelog = Changelog::of(topic_of(&self.inputs, partition), partition);
            if unit.kept.asked_before.is_some() {
                changelog.put(About::Requests, &[], output, |out| unit.kept.asked.write(out));
            }
            let changed: BTreeSet<&String> = unit.kept.journal.iter().map(|(place, _)| place).collect();
            for place in changed {
                match unit.kept.open.get(place) {
                    Some(open) => {
                        let key = [place.as_bytes()];
                        changelog.put_as(WAITING_FORMAT, About::Waiting, &key, output, |out| open.write(out));
                    }
                    None => changelog.delete(About::Waiting, &[place.as_bytes()], output),
                }
            }
            changelog.put(About::Progress, &[], output, |out| unit.progress.write(out));
            unit.write_topics(changelog, output);
        }
        Ok(())
    }

    fn positions(&self) -> Vec<(Partition, Offset)> {
        self.units.positions()
    }

    fn settle(&mut self) {
        self.units.settle(|unit| unit.kept.settle());
    }

    fn undo(&mut self) {
        self.units.undo(|unit| unit.kept.undo());
    }

    fn sides(&self) -> &[Side] {
        self.units.sides()
    }

    fn read_tick(&self, value: &[u8], appended: Option<Timestamp>) -> Result<Timestamp, NoTick> {
        super::tick::read(value, appended, self.future_ms)
    }

    fn known(&self, partition: Partition) -> Known {
        self.units.known(partition)
    }

    fn begin(&mut self, partition: Partition, beginning: &Beginning) {
        self.units.begin(partition, beginning);
    }

    fn status(&self) -> StageStatus {
        let oldest = self.units.all().filter_map(|unit| unit.kept.since.keys().next().copied()).min();
        StageStatus { clock: self.units.clock(), entries: self.open_count() as u64, oldest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::waiting::Bytes;
    use rating::SuspenseReason;

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
                let open = Open::new(waited(offset, topic), None, None, kept.number());
                kept.put(open.waited.key(), Some(open));
            }
        }
        let target =
            |waited: &Waited| (waited.topic == "usage").then_some(Target { topic: RETRIES, partition: Some(0) });
        let last = format!("usage:0:{}", MOST_AT_ONCE - 1);
        let leaving = BTreeMap::from([(last.clone(), None), ("gone:0:1".to_owned(), Some("given up".to_owned()))]);
        let keys: Vec<String> = kept.to_hold(&leaving, target).into_iter().map(|(key, _)| key).collect();
        assert!(keys.len() == MOST_AT_ONCE + 1 && keys[0] == last, "{}", keys.len());
        assert!(keys.iter().all(|key| key.starts_with("usage")));
    }

    #[test]
    fn what_cannot_leave_does_not_stand_in_the_way_of_a_request() {
        let mut kept = Kept::default();
        for offset in 0..=MOST_AT_ONCE as i64 {
            let open = Open::new(waited(offset, "gone"), None, None, kept.number());
            kept.put(open.waited.key(), Some(open));
        }
        let open = Open::new(waited(0, "usage"), None, None, kept.number());
        kept.put(open.waited.key(), Some(open));
        let before = kept.next;
        kept.change_asked().push((RecycleRequest::default(), before));
        let leaving = kept.leaving(Timestamp::EPOCH, |waited| waited.topic == "usage");
        assert_eq!(leaving.into_keys().collect::<Vec<_>>(), ["usage:0:0"]);
        assert!(kept.asked.is_empty(), "the request is done");
    }

    #[test]
    fn what_is_given_up_does_not_leave_by_an_earlier_request_and_nobody_gives_up_everything() {
        let mut unit = Unit::empty(Kept::default());
        for offset in 0..=MOST_AT_ONCE as i64 {
            let open = Open::new(waited(offset, "usage"), None, None, unit.kept.number());
            unit.kept.put(open.waited.key(), Some(open));
        }
        let give_up = |reasons: Vec<String>| RecycleRequest {
            reasons,
            write_off: Some("never".to_owned()),
            ..RecycleRequest::default()
        };
        for request in [RecycleRequest::default(), give_up(vec!["no_rate".to_owned()]), give_up(Vec::new())] {
            asked(&request.message(), &mut unit);
        }
        assert_eq!(unit.kept.asked.len(), 2, "everything is given up by nobody");
        let leaving = unit.kept.leaving(Timestamp::EPOCH, |_| true);
        assert!(leaving.len() == MOST_AT_ONCE && leaving.values().all(Option::is_some));
    }

    #[test]
    fn what_is_given_up_is_not_tried_again_once_more_though_it_is_due_and_though_it_could_not_leave() {
        let mut kept = Kept::default();
        for (offset, topic) in [(0, "usage"), (1, "usage"), (2, "gone")] {
            let unknown = Waited { reason: SuspenseReason::UnknownEndpoint, ..waited(offset, topic) };
            let open = Open::new(unknown, None, None, kept.number());
            kept.put(open.waited.key(), Some(open));
        }
        let request = RecycleRequest { write_off: Some("the SIM was a test".to_owned()), ..RecycleRequest::default() };
        kept.change_asked().push((request, 2));
        kept.change_asked().push((RecycleRequest { write_off: Some("gone".to_owned()), ..Default::default() }, 3));
        let leaving = kept.leaving(Timestamp::LATEST, |waited| waited.topic == "usage");
        let expected = [("gone:0:2", "gone"), ("usage:0:0", "the SIM was a test"), ("usage:0:1", "the SIM was a test")];
        assert_eq!(
            leaving,
            expected.map(|(place, because)| (place.to_owned(), Some(because.to_owned()))).into_iter().collect()
        );
    }
}
