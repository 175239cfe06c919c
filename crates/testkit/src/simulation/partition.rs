//! One partition: entries with producers and epochs, control markers, the high watermark and the last stable offset.
//!
//! Deliberately absent: unclean elections (what is below the high watermark stays), retention by time, and batches (each message is
//! one entry).

use super::world::{Action, MS, Micros, Node, Place, Responder, World};
use runtime::worker::log::Offset;
use std::collections::{BTreeMap, BTreeSet};

/// A producer as the log sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ProducerId(pub u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Commit,
    Abort,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Isolation {
    Committed,
    Uncommitted,
}

#[derive(Clone, Debug)]
pub(super) struct Message {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Open(ProducerId),
    Committed,
    Aborted,
}

#[derive(Clone, Debug)]
enum Entry {
    Data(Message, Fate),
    Marker,
    /// Taken away by compaction.
    Gone,
}

/// What came of an attempt to append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Appended {
    Done,
    /// The epoch is an old one.
    Fenced,
    /// The sequence is not the next one.
    OutOfSequence,
    /// The coordinator does not know the partition to be part of an open transaction.
    NotInTransaction,
}

/// A message as read.
#[derive(Clone, Debug)]
pub(super) struct Read {
    pub offset: Offset,
    pub message: Message,
}

#[derive(Default)]
pub(super) struct PartitionLog {
    entries: Vec<Entry>,
    /// Everything below it is on all replicas.
    high_watermark: usize,
    /// First entry of each open transaction.
    open: BTreeMap<ProducerId, usize>,
    /// First entry and marker of ended transactions whose marker is not on all replicas.
    ending: Vec<(usize, usize)>,
    /// Epoch and next sequence of each producer.
    producers: BTreeMap<ProducerId, (u32, u64)>,
    /// Who waits for the high watermark to come this far.
    acknowledgements: Vec<(usize, Action)>,
    /// Markers that wait for the same; never forgotten.
    markers: Vec<(usize, Action)>,
    /// Fetches without data.
    fetches: Vec<Action>,
    /// The time of the world, and when each entry was appended and was on all replicas.
    now: Micros,
    appended: Vec<Micros>,
    replicated: Vec<Micros>,
}

impl PartitionLog {
    /// The restarted leader has forgotten who waited for an answer.
    pub(super) fn forget_waiting(&mut self) {
        self.acknowledgements.clear();
        self.fetches.clear();
    }

    pub(super) fn end(&self, isolation: Isolation) -> Offset {
        let end = match isolation {
            Isolation::Uncommitted => self.high_watermark,
            Isolation::Committed => {
                let ending = self.ending.iter().filter(|(_, marker)| *marker >= self.high_watermark);
                let first = self.open.values().copied().chain(ending.map(|(first, _)| *first)).min();
                first.map_or(self.high_watermark, |first| first.min(self.high_watermark))
            }
        };
        end as Offset
    }

    /// Whether nothing is open and everything is replicated.
    pub(super) fn is_settled(&self) -> bool {
        self.end(Isolation::Committed) == self.entries.len() as Offset
    }

    /// Reads up to `limit` messages below `end`; and from where to read on.
    pub(super) fn read(&self, from: Offset, end: Offset, limit: usize, isolation: Isolation) -> (Vec<Read>, Offset) {
        let end = end.min(self.end(isolation)).max(0) as usize;
        let (mut found, mut at) = (Vec::new(), from.max(0) as usize);
        while at < end && found.len() < limit {
            match &self.entries[at] {
                Entry::Data(message, fate) if *fate == Fate::Committed || isolation == Isolation::Uncommitted => {
                    found.push(Read { offset: at as Offset, message: message.clone() });
                }
                Entry::Data(..) | Entry::Marker | Entry::Gone => {}
            }
            at += 1;
        }
        (found, (at as Offset).max(from))
    }

    /// Everything that is committed.
    pub(super) fn committed(&self) -> Vec<Read> {
        self.read(0, Offset::MAX, usize::MAX, Isolation::Committed).0
    }

    /// Takes away what newer committed entries of the same key have replaced, and what was aborted.
    pub(super) fn compact(&mut self) {
        let stable = self.end(Isolation::Committed) as usize;
        let mut seen: BTreeSet<Vec<u8>> = BTreeSet::new();
        for entry in self.entries[..stable].iter_mut().rev() {
            let keep = match entry {
                Entry::Data(Message { key: Some(key), .. }, Fate::Committed) => seen.insert(key.clone()),
                Entry::Data(_, Fate::Committed | Fate::Open(_)) | Entry::Marker | Entry::Gone => true,
                Entry::Data(_, Fate::Aborted) => false,
            };
            if !keep {
                *entry = Entry::Gone;
            }
        }
    }

    fn append(&mut self, message: Message, producer: Option<ProducerId>) {
        let fate = match producer {
            Some(producer) => {
                self.open.entry(producer).or_insert(self.entries.len());
                Fate::Open(producer)
            }
            None => Fate::Committed,
        };
        self.entries.push(Entry::Data(message, fate));
        self.appended.push(self.now);
    }

    /// When an entry was appended.
    pub(super) fn appended_at(&self, offset: Offset) -> Option<Micros> {
        self.appended.get(usize::try_from(offset).ok()?).copied()
    }

    /// When everybody could see an entry, if it could be seen by now.
    pub(super) fn replicated_at(&self, offset: Offset) -> Option<Micros> {
        self.replicated.get(usize::try_from(offset).ok()?).copied()
    }

    fn mark(&mut self, producer: ProducerId, epoch: u32, ending: Ending) {
        let known = self.producers.entry(producer).or_insert((epoch, 0));
        if epoch > known.0 {
            *known = (epoch, 0);
        }
        if let Some(first) = self.open.remove(&producer) {
            for entry in &mut self.entries[first..] {
                if let Entry::Data(_, fate) = entry
                    && *fate == Fate::Open(producer)
                {
                    *fate = match ending {
                        Ending::Commit => Fate::Committed,
                        Ending::Abort => Fate::Aborted,
                    };
                }
            }
            self.ending.push((first, self.entries.len()));
        }
        self.entries.push(Entry::Marker);
        self.appended.push(self.now);
    }
}

impl World {
    pub(super) fn partition(&mut self, place: Place) -> &mut PartitionLog {
        let partition = &mut self.topics[place.topic].partitions[place.number as usize];
        partition.now = self.now;
        partition
    }

    /// Lets the other replicas follow, some time.
    fn replicate(&mut self, place: Place) {
        let end = self.partition(place).entries.len();
        let late = self.random.chance(self.weather.late);
        let delay = if late { self.random.between(5 * MS, 300 * MS) } else { self.random.between(MS / 5, 3 * MS) };
        self.after(delay, move |world| {
            let partition = world.partition(place);
            if end <= partition.high_watermark {
                return;
            }
            partition.high_watermark = end;
            partition.replicated.resize(end, partition.now);
            partition.ending.retain(|(_, marker)| *marker >= end);
            let mut due = std::mem::take(&mut partition.fetches);
            for waiting in [&mut partition.acknowledgements, &mut partition.markers] {
                let (reached, left): (Vec<_>, Vec<_>) =
                    std::mem::take(waiting).into_iter().partition(|(at, _)| *at <= end);
                *waiting = left;
                due.extend(reached.into_iter().map(|(_, action)| action));
            }
            for action in due {
                action(world);
            }
        });
    }

    /// Appends outside any transaction.
    pub(super) fn append_plain(&mut self, place: Place, message: Message) {
        self.partition(place).append(message, None);
        self.replicate(place);
    }

    /// The messages of a producer outside of the simulation, in a transaction that ends at once.
    pub(super) fn append_ended(&mut self, place: Place, messages: Vec<Message>, ending: Ending) {
        let producer = ProducerId(u64::MAX);
        for message in messages {
            self.partition(place).append(message, Some(producer));
        }
        self.partition(place).mark(producer, 0, ending);
        self.replicate(place);
    }

    /// A request of a transactional producer arrives at the leader; it is answered when all replicas have the messages.
    pub(super) fn produce(
        &mut self,
        place: Place,
        (transactional, producer, epoch): (usize, ProducerId, u32),
        first_sequence: u64,
        messages: Vec<Message>,
        responder: Responder<Appended>,
    ) {
        let partition = self.partition(place);
        let (known_epoch, next) = partition.producers.get(&producer).copied().unwrap_or((epoch, 0));
        let next = if epoch > known_epoch { 0 } else { next };
        if epoch < known_epoch {
            return responder.answer(self, Appended::Fenced);
        }
        if first_sequence > next {
            return responder.answer(self, Appended::OutOfSequence);
        }
        // A repeated request: acknowledged again, not appended again.
        let fresh: Vec<Message> = messages.into_iter().skip((next - first_sequence) as usize).collect();
        if !fresh.is_empty() && !self.is_in_transaction(transactional, producer, epoch, Node::Leader(place)) {
            return responder.answer(self, Appended::NotInTransaction);
        }
        let count = fresh.len() as u64;
        let partition = self.partition(place);
        partition.producers.insert(producer, (epoch, next + count));
        for message in fresh {
            partition.append(message, Some(producer));
        }
        let end = partition.entries.len();
        if end <= partition.high_watermark {
            return responder.answer(self, Appended::Done);
        }
        partition.acknowledgements.push((end, Box::new(move |world| responder.answer(world, Appended::Done))));
        self.replicate(place);
    }

    /// A marker arrives at the leader; `then` happens when all replicas have it.
    pub(super) fn write_marker(
        &mut self,
        place: Place,
        producer: ProducerId,
        epoch: u32,
        ending: Ending,
        then: impl FnOnce(&mut World) + 'static,
    ) {
        let partition = self.partition(place);
        partition.mark(producer, epoch, ending);
        let end = partition.entries.len();
        partition.markers.push((end, Box::new(then)));
        self.replicate(place);
    }

    /// A fetch arrives: answered when there is something, or after a while.
    pub(super) fn fetch(
        &mut self,
        place: Place,
        from: Offset,
        limit: usize,
        responder: Responder<(Vec<Read>, Offset)>,
    ) {
        let (found, next) = self.partition(place).read(from, Offset::MAX, limit, Isolation::Committed);
        if !found.is_empty() || next > from {
            return responder.answer(self, (found, next));
        }
        let waiting = responder.clone();
        self.partition(place).fetches.push(Box::new(move |world| {
            let (found, next) = world.partition(place).read(from, Offset::MAX, limit, Isolation::Committed);
            // Nothing stable yet: the client asks again.
            waiting.answer(world, (found, next));
        }));
    }
}
