//! Topics in memory, and stages run over them: batches cut anywhere, undone at random, state dropped and restored at random.

use rating::Timestamp;
use runtime::worker::log::{Batch, Incoming, Offset, Outgoing, Partition, Tick};
use runtime::worker::trace::TraceContext;
use runtime::worker::{Beginning, Output, SideKind, SidePlace, Stage};
use std::collections::BTreeMap;
use testkit::generator::random::Random;

/// A message: key and value.
pub(crate) type Message = (Option<Vec<u8>>, Option<Vec<u8>>);

/// All topics.
#[derive(Default)]
pub(crate) struct Topics {
    partitions: BTreeMap<String, u32>,
    messages: BTreeMap<(String, u32), Vec<Message>>,
    /// Trace contexts of those that have one, by topic, partition and offset.
    traces: BTreeMap<(String, u32, usize), Vec<u8>>,
}

impl Topics {
    pub(crate) fn create(&mut self, topic: &str, partitions: u32) {
        self.partitions.insert(topic.to_owned(), partitions);
    }

    /// How many partitions a topic has.
    pub(crate) fn partitions(&self, topic: &str) -> u32 {
        self.partitions[topic]
    }

    pub(crate) fn messages(&self, topic: &str, partition: u32) -> &[Message] {
        self.messages.get(&(topic.to_owned(), partition)).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn append(&mut self, topic: &str, partition: u32, message: Message) {
        assert!(partition < self.partitions[topic], "{topic} has no partition {partition}");
        self.messages.entry((topic.to_owned(), partition)).or_default().push(message);
    }

    /// The same with headers.
    pub(crate) fn append_with(
        &mut self,
        topic: &str,
        partition: u32,
        message: Message,
        headers: &[(&'static str, String)],
    ) {
        let mut room = Vec::new();
        let headers = headers.iter().map(|(name, value)| (*name, value.as_bytes()));
        if TraceContext::read(headers, &mut room).is_some() {
            let place = (topic.to_owned(), partition, self.messages(topic, partition).len());
            self.traces.insert(place, room);
        }
        self.append(topic, partition, message);
    }

    pub(crate) fn trace(&self, topic: &str, partition: u32, offset: Offset) -> Option<TraceContext<'_>> {
        let place = (topic.to_owned(), partition, usize::try_from(offset).expect("an offset"));
        self.traces.get(&place).and_then(|bytes| TraceContext::from_bytes(bytes))
    }

    /// Trace contexts of a topic's messages.
    pub(crate) fn traces<'t>(&'t self, topic: &'t str) -> impl Iterator<Item = TraceContext<'t>> {
        let of = self.traces.iter().filter(move |((name, ..), _)| name == topic);
        of.filter_map(|(_, bytes)| TraceContext::from_bytes(bytes))
    }

    /// Values of all partitions of a topic by key, in order.
    pub(crate) fn values_by_key(&self, topic: &str) -> BTreeMap<Vec<u8>, Vec<Vec<u8>>> {
        let mut by_key: BTreeMap<Vec<u8>, Vec<Vec<u8>>> = BTreeMap::new();
        for partition in 0..self.partitions[topic] {
            for (key, value) in self.messages(topic, partition) {
                let (key, value) = (key.clone().unwrap_or_default(), value.clone().unwrap_or_default());
                by_key.entry(key).or_default().push(value);
            }
        }
        by_key
    }

    fn deliver(&mut self, output: &Output, topics: &[String]) {
        for Outgoing { topic, partition, key, value, headers } in output.messages(topics) {
            let hash =
                key.unwrap_or_default().iter().fold(7_u32, |hash, byte| hash.wrapping_mul(31) + u32::from(*byte));
            let partition = partition.unwrap_or(hash % self.partitions[topic]);
            self.append_with(topic, partition, (key.map(<[u8]>::to_vec), value.map(<[u8]>::to_vec)), headers);
        }
    }
}

/// How rough it gets, per mille of batches.
#[derive(Clone, Copy)]
pub(crate) struct Roughness {
    pub(crate) undone: u64,
    pub(crate) restored: u64,
    pub(crate) largest_batch: u64,
}

/// Where a stage is.
pub(crate) type Positions = BTreeMap<Partition, Offset>;

/// Gives a stage all partitions of its input.
pub(crate) fn start(stage: &mut impl Stage, topics: &Topics) -> Positions {
    let inputs = stage.inputs().to_vec();
    let mut positions = Positions::new();
    for (topic, name) in (0_u16..).zip(&inputs) {
        for number in 0..topics.partitions(name) {
            let partition = Partition { topic, number };
            // There is nothing yet that could be compacted.
            restore(stage, topics, partition, &mut Random::new(0), None);
            positions.insert(partition, 0);
        }
    }
    positions
}

/// A stage and where it is.
pub(crate) struct Running<S>(pub(crate) S, pub(crate) Positions);

impl<S: Stage> Running<S> {
    /// Gives a stage all partitions of its input.
    pub(crate) fn new(mut stage: S, topics: &Topics) -> Running<S> {
        let positions = start(&mut stage, topics);
        Running(stage, positions)
    }

    /// Runs it until its input is used up.
    pub(crate) fn go_on(&mut self, topics: &mut Topics, roughness: Roughness, random: &mut Random) {
        go_on(&mut self.0, &mut self.1, topics, roughness, random);
    }
}

/// Runs a stage from the beginning until its input is used up.
pub(crate) fn run(stage: &mut impl Stage, topics: &mut Topics, roughness: Roughness, random: &mut Random) {
    let mut positions = start(stage, topics);
    go_on(stage, &mut positions, topics, roughness, random);
}

/// Runs a stage until its input is used up.
pub(crate) fn go_on(
    stage: &mut impl Stage,
    positions: &mut Positions,
    topics: &mut Topics,
    roughness: Roughness,
    random: &mut Random,
) {
    let inputs = stage.inputs().to_vec();
    loop {
        let mut batch = Batch::default();
        let mut order: Vec<Partition> = positions.keys().copied().collect();
        order.sort_by_key(|_| random.bits());
        for partition in order {
            let messages = topics.messages(&inputs[usize::from(partition.topic)], partition.number);
            let first = usize::try_from(positions[&partition]).expect("an offset");
            let count = usize::try_from(random.below(roughness.largest_batch)).expect("small");
            for (offset, (key, value)) in (positions[&partition]..).zip(messages.iter().skip(first).take(count)) {
                let value = value.as_deref().unwrap_or_default();
                let trace = topics.trace(&inputs[usize::from(partition.topic)], partition.number, offset);
                batch.push(Incoming { partition, side: None, offset, key: key.as_deref(), value, trace });
            }
            let is_all = push_beside(stage, partition, topics, &mut batch, random, roughness.largest_batch);
            // What is in the batch comes before the tick; what is left comes after it, unless it was there before.
            if is_all && first + count >= messages.len() {
                push_tick(stage, partition, topics, &mut batch, random);
            }
        }
        let is_done = |(partition, position): (&Partition, &Offset)| {
            let messages = topics.messages(&inputs[usize::from(partition.topic)], partition.number);
            usize::try_from(*position).expect("an offset") == messages.len()
        };
        let are_ticks_taken = positions.keys().all(|partition| untaken(stage, *partition, topics).is_none());
        let is_nothing_beside = positions.keys().all(|partition| beside(stage, *partition, topics).is_empty());
        if positions.iter().all(is_done) && are_ticks_taken && is_nothing_beside && !stage.has_work() {
            return;
        }
        if batch.is_empty() && !stage.has_work() {
            continue;
        }
        while stage.prepare(&batch).is_err() {
            // The group may take some of the batch away while its facts are awaited.
            if random.chance(300) {
                let partitions: Vec<Partition> = positions.keys().copied().collect();
                batch.remove(&[*random.pick(&partitions)]);
            }
        }
        if batch.is_empty() && !stage.has_work() {
            continue;
        }
        let mut output = Output::default();
        stage.execute(&batch, &mut output).expect("executed");
        if random.chance(roughness.undone) {
            let first: Vec<_> = output.messages(stage.outputs()).map(owned).collect();
            stage.undo();
            output.clear();
            stage.execute(&batch, &mut output).expect("executed again");
            let second: Vec<_> = output.messages(stage.outputs()).map(owned).collect();
            assert!(sorted(first) == sorted(second), "what was undone and done again is not the same");
        }
        positions.extend(stage.positions());
        stage.settle();
        topics.deliver(&output, stage.outputs());
        if random.chance(roughness.restored) {
            let partitions: Vec<Partition> = positions.keys().copied().collect();
            let partition = *random.pick(&partitions);
            stage.drop_state(partition);
            let known = positions[&partition];
            restore(stage, topics, partition, random, (known > 0).then_some(known));
        }
    }
}

/// What stands beside a partition and was not read: the place of each side among them, the offset, and the message.
fn beside<'t>(stage: &impl Stage, partition: Partition, topics: &'t Topics) -> Vec<(u16, Offset, &'t Message)> {
    let places = stage.known(partition).sides;
    let sides = (0_u16..).zip(stage.sides()).zip(places).filter(|((_, side), _)| side.kind == SideKind::Messages);
    let unread = sides.flat_map(|((at, side), place)| {
        let first = place.map_or(0, |place| place.offset);
        let skipped = usize::try_from(first).expect("an offset");
        let left = (first..).zip(topics.messages(&side.topic, partition.number).iter().skip(skipped));
        left.map(move |(offset, message)| (at, offset, message))
    });
    unread.collect()
}

/// Adds some of it; returns whether that is all.
fn push_beside(
    stage: &impl Stage,
    partition: Partition,
    topics: &Topics,
    batch: &mut Batch,
    random: &mut Random,
    most: u64,
) -> bool {
    let unread = beside(stage, partition, topics);
    if unread.is_empty() {
        return true;
    }
    let count = usize::try_from(random.below(most)).expect("small");
    for (side, offset, (key, value)) in unread.iter().take(count) {
        let value = value.as_deref().unwrap_or_default();
        let name = &stage.sides()[usize::from(*side)].topic;
        let trace = topics.trace(name, partition.number, *offset);
        batch.push(Incoming { partition, side: Some(*side), offset: *offset, key: key.as_deref(), value, trace });
    }
    count >= unread.len()
}

/// The ticks that a partition has not taken: the place of the first, and how many.
fn untaken(stage: &impl Stage, partition: Partition, topics: &Topics) -> Option<(usize, usize)> {
    let side = stage.sides().first()?;
    let place = stage.known(partition).sides.first().copied().flatten();
    let first = usize::try_from(place.map_or(0, |place| place.offset)).expect("an offset");
    let left = topics.messages(&side.topic, 0).len().saturating_sub(first);
    let is_tick =
        |(_, value): &Message| stage.read_tick(value.as_deref().unwrap_or_default(), Some(Timestamp::LATEST)).is_ok();
    let are_there = topics.messages(&side.topic, 0).iter().skip(first).any(is_tick);
    are_there.then_some((first, left))
}

/// Adds the next ticks, some of them as one, as a worker does.
fn push_tick(stage: &impl Stage, partition: Partition, topics: &Topics, batch: &mut Batch, random: &mut Random) {
    let Some((first, left)) = untaken(stage, partition, topics) else { return };
    let last = first + usize::try_from(random.below(left as u64)).expect("small");
    let ticks = topics.messages(&stage.sides()[0].topic, 0);
    let read = |(_, value): &Message| stage.read_tick(value.as_deref().unwrap_or_default(), Some(Timestamp::LATEST));
    // What is no tick is passed over.
    let Some(instant) = ticks[first..=last].iter().filter_map(|tick| read(tick).ok()).max() else { return };
    batch.push_tick(Tick { partition, side: 0, offset: Offset::try_from(last).expect("small"), instant });
}

/// Where it goes, with its headers, and what it is.
type Sent = ((String, Option<u32>, Vec<(&'static str, String)>), Message);

fn owned(message: Outgoing<'_>) -> Sent {
    let target = (message.topic.to_owned(), message.partition, message.headers.to_vec());
    (target, (message.key.map(<[u8]>::to_vec), message.value.map(<[u8]>::to_vec)))
}

/// What is sent within one topic and key keeps its order; changes of state come in any.
fn sorted<T: Ord>(mut messages: Vec<T>) -> Vec<T> {
    messages.sort();
    messages
}

pub(crate) fn restore(
    stage: &mut impl Stage,
    topics: &Topics,
    partition: Partition,
    random: &mut Random,
    expected: Option<Offset>,
) {
    stage.create(partition);
    let changelog = stage.changelog().to_owned();
    let messages = topics.messages(&changelog, partition.number);
    // A broker may have compacted any beginning of it: then only the last message of each key is left, and no deleted one.
    let compacted = usize::try_from(random.below(messages.len() as u64 + 1)).expect("small");
    let last: BTreeMap<&Option<Vec<u8>>, usize> = messages.iter().map(|(key, _)| key).zip(0..).collect();
    for (at, (key, value)) in messages.iter().enumerate() {
        if at < compacted && (last[key] != at || value.is_none()) {
            continue;
        }
        stage.restore(partition, key.as_deref().unwrap_or_default(), value.as_deref()).expect("restored");
    }
    // One that has taken nothing but ticks is where it began.
    let restored = stage.restored(partition).expect("restored");
    assert_eq!(restored.unwrap_or(0), expected.unwrap_or(0), "position in the state");
    assert!(restored.is_some() || expected.is_none(), "position in the state");
    let places = stage.known(partition).sides.into_iter();
    let sides = places.map(|place| place.unwrap_or(SidePlace { offset: 0, id: None })).collect();
    stage.begin(partition, &Beginning { position: expected.unwrap_or(0), topic: None, sides });
}
