//! The coordinator of transactions: Ongoing, then PrepareCommit or PrepareAbort, then Complete when each partition has its marker.
//!
//! Epochs fence as they do before KIP-890's client side: a producer keeps its epoch from one transaction to the next, so that a late
//! request to end one can end the next. Brokers verify, however, that a partition is part of an open transaction before
//! they append (KIP-890's first part). Markers are delivered once each, at any time, in any order, the offsets partition's too.

use super::partition::{Ending, ProducerId};
use super::world::{MS, Micros, Node, Responder, World};
use std::collections::{BTreeMap, BTreeSet};

const TRANSACTION_TIMEOUT: Micros = 3_000 * MS;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Empty,
    Ongoing,
    Prepared(Ending),
    Complete(Ending),
}

/// What the coordinator answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    /// The last transaction is still being ended: ask again.
    Concurrent,
    Fenced,
    InvalidState,
}

/// A transactional id.
struct Transactional {
    name: String,
    producer: ProducerId,
    epoch: u32,
    state: State,
    /// Leaders of data partitions, and groups for their offsets.
    parts: BTreeSet<Node>,
    /// Parts without a marker yet.
    unmarked: BTreeSet<Node>,
    /// Number of the transaction, for its time-out.
    number: u64,
}

#[derive(Default)]
pub(super) struct Transactions {
    ids: Vec<Transactional>,
    by_name: BTreeMap<String, usize>,
}

impl Transactions {
    pub(super) fn is_settled(&self) -> bool {
        self.ids.iter().all(|id| match id.state {
            State::Empty | State::Complete(_) => true,
            State::Ongoing | State::Prepared(_) => false,
        })
    }

    /// The number of a transactional id.
    pub(super) fn number(&mut self, name: &str) -> usize {
        if let Some(id) = self.by_name.get(name) {
            return *id;
        }
        let id = self.ids.len();
        self.ids.push(Transactional {
            name: name.to_owned(),
            producer: ProducerId(id as u64),
            epoch: 0,
            state: State::Empty,
            parts: BTreeSet::new(),
            unmarked: BTreeSet::new(),
            number: 0,
        });
        self.by_name.insert(name.to_owned(), id);
        id
    }

    pub(super) fn count(&self) -> usize {
        self.ids.len()
    }
}

impl World {
    /// A producer introduces itself: earlier ones of its id are fenced. `known` is the epoch of one that only wants its next.
    pub(super) fn init_producer(
        &mut self,
        id: usize,
        known: Option<u32>,
        responder: Responder<Result<(ProducerId, u32), Answer>>,
    ) {
        let transactional = &mut self.transactions.ids[id];
        if known.is_some_and(|known| known != transactional.epoch) {
            return responder.answer(self, Err(Answer::Fenced));
        }
        match transactional.state {
            State::Ongoing => {
                transactional.epoch += 1;
                self.prepare(id, Ending::Abort);
                responder.answer(self, Err(Answer::Concurrent));
            }
            State::Prepared(_) => responder.answer(self, Err(Answer::Concurrent)),
            State::Empty | State::Complete(_) => {
                transactional.epoch += 1;
                transactional.state = State::Empty;
                let answer = (transactional.producer, transactional.epoch);
                let name = transactional.name.clone();
                self.tell(|| format!("{name}: producer with epoch {}", answer.1));
                responder.answer(self, Ok(answer));
            }
        }
    }

    /// Partitions become part of the transaction; the first ones begin it.
    pub(super) fn add_parts(&mut self, id: usize, epoch: u32, parts: Vec<Node>) -> Answer {
        let transactional = &mut self.transactions.ids[id];
        if epoch != transactional.epoch {
            return Answer::Fenced;
        }
        match transactional.state {
            State::Prepared(_) => Answer::Concurrent,
            State::Ongoing => {
                transactional.parts.extend(parts);
                Answer::Done
            }
            State::Empty | State::Complete(_) => {
                transactional.state = State::Ongoing;
                transactional.parts = parts.into_iter().collect();
                transactional.number += 1;
                let number = transactional.number;
                self.after(TRANSACTION_TIMEOUT, move |world| world.time_out(id, number));
                Answer::Done
            }
        }
    }

    fn time_out(&mut self, id: usize, number: u64) {
        let transactional = &mut self.transactions.ids[id];
        if transactional.state == State::Ongoing && transactional.number == number {
            transactional.epoch += 1;
            self.count("transaction timed out");
            self.prepare(id, Ending::Abort);
        }
    }

    pub(super) fn is_in_transaction(&self, id: usize, producer: ProducerId, epoch: u32, part: Node) -> bool {
        let transactional = &self.transactions.ids[id];
        transactional.state == State::Ongoing
            && transactional.producer == producer
            && transactional.epoch == epoch
            && transactional.parts.contains(&part)
    }

    /// The producer ends its transaction, or what the coordinator takes for it. Answered as soon as the decision is written.
    pub(super) fn end_transaction(&mut self, id: usize, epoch: u32, ending: Ending) -> Answer {
        let transactional = &self.transactions.ids[id];
        if epoch != transactional.epoch {
            return Answer::Fenced;
        }
        match transactional.state {
            State::Ongoing => {
                self.prepare(id, ending);
                Answer::Done
            }
            State::Prepared(prepared) if prepared == ending => Answer::Concurrent,
            State::Complete(complete) if complete == ending => Answer::Done,
            State::Prepared(_) | State::Complete(_) | State::Empty => Answer::InvalidState,
        }
    }

    fn prepare(&mut self, id: usize, ending: Ending) {
        let transactional = &mut self.transactions.ids[id];
        transactional.state = State::Prepared(ending);
        transactional.unmarked = std::mem::take(&mut transactional.parts);
        let name = transactional.name.clone();
        let parts: Vec<Node> = transactional.unmarked.iter().copied().collect();
        self.tell(|| format!("{name}: {ending:?} of {parts:?}"));
        for part in parts {
            let late = self.random.chance(self.weather.late_marker);
            if late {
                self.count("marker late");
            }
            let delay =
                if late { self.random.between(20 * MS, 2_500 * MS) } else { self.random.between(MS / 5, 5 * MS) };
            self.after(delay, move |world| world.deliver_marker(id, part, ending));
        }
    }

    fn deliver_marker(&mut self, id: usize, part: Node, ending: Ending) {
        // As long as either end is away the coordinator tries again.
        let up = self.up_at(part).max(self.up_at(Node::Transactions(id)));
        if up > self.now {
            let delay = up - self.now + self.random.between(MS, 100 * MS);
            return self.after(delay, move |world| world.deliver_marker(id, part, ending));
        }
        let Transactional { producer, epoch, .. } = self.transactions.ids[id];
        let done = move |world: &mut World| {
            let transactional = &mut world.transactions.ids[id];
            transactional.unmarked.remove(&part);
            if transactional.unmarked.is_empty() {
                transactional.state = State::Complete(ending);
            }
        };
        match part {
            Node::Leader(place) => self.write_marker(place, producer, epoch, ending, done),
            Node::Group(group) => {
                self.groups[group].end_transaction(producer, ending);
                done(self);
            }
            Node::Transactions(_) => {}
        }
    }
}
