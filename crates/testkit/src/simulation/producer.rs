//! A transactional producer's client: queues what is sent, adds partitions to the transaction, delivers in order, and ends it.
//!
//! | what happens | what the worker is told |
//! | --- | --- |
//! | a message did not arrive in time, or a member was refused | abortable |
//! | the coordinator is still busy with the last transaction; messages are still under way at the limit | retriable |
//! | a request that may have had effect was not answered; a newer epoch exists | uncertain |
//!
//! Each request is made once where a copy that comes late could do harm (positions, end of a transaction): the client keeps its epoch
//! from one transaction to the next.

use super::consumer::SimulatedGroup;
use super::group::Accepted;
use super::partition::{Appended, Ending, Message, ProducerId};
use super::transactions::Answer;
use super::world::{
    Life, MS, Micros, Node, Place, ProcessId, REQUEST_LIMIT, Responder, Shared, Slot, World, ask, sleep, step,
};
use runtime::worker::log::{LogError, Offset, Outgoing, Partition, Producer, TransactionError};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

const AGAIN: Micros = 20 * MS;
/// How long a commit waits for what is under way.
const COMMIT_LIMIT: Micros = 2_500 * MS;
/// How often a message is sent before it has failed.
const TRIES: u32 = 3;

/// Messages on their way to one partition.
#[derive(Default)]
struct Lane {
    /// Sequence of the first message in the queue.
    sequence: u64,
    queue: VecDeque<Message>,
    in_flight: bool,
    tries: u32,
}

pub(super) struct ProducerClient {
    process: ProcessId,
    transactional: usize,
    producer: ProducerId,
    epoch: u32,
    /// Number of the transaction; answers to requests of an earlier one are ignored.
    transaction: u64,
    confirmed: BTreeSet<Node>,
    asking: BTreeSet<Node>,
    lanes: BTreeMap<Place, Lane>,
    failed: Option<String>,
    fatal: Option<String>,
    needs_epoch: bool,
    told: u64,
    sent: u64,
    closed: bool,
    waiter: Option<Slot<()>>,
}

impl World {
    fn producer(&mut self, id: usize) -> &mut ProducerClient {
        &mut self.producers[id]
    }

    fn wake_producer(&mut self, id: usize) {
        if let Some(waiter) = self.producer(id).waiter.take() {
            waiter.fill(self, ());
        }
    }

    fn fail_producer(&mut self, id: usize, why: &str) {
        self.producer(id).failed.get_or_insert_with(|| why.to_owned());
        self.wake_producer(id);
    }

    fn fence_producer(&mut self, id: usize) {
        self.producer(id).fatal.get_or_insert_with(|| "a newer producer of the id exists".to_owned());
        self.wake_producer(id);
        self.count("producer fenced");
    }

    /// Sends on what waits for a partition.
    fn pump(&mut self, id: usize, place: Place) {
        let client = self.producer(id);
        let part = Node::Leader(place);
        if client.closed || client.failed.is_some() || client.fatal.is_some() {
            return;
        }
        let (process, transactional, epoch) = (client.process, client.transactional, client.epoch);
        let (transaction, who) = (client.transaction, (client.transactional, client.producer, client.epoch));
        let Some(lane) = client.lanes.get_mut(&place).filter(|lane| !lane.in_flight && !lane.queue.is_empty()) else {
            return;
        };
        if !client.confirmed.contains(&part) {
            if !client.asking.insert(part) {
                return;
            }
            let handle = move |world: &mut World, responder: Responder<Answer>| {
                let answer = world.add_parts(transactional, epoch, vec![part]);
                responder.answer(world, answer);
            };
            return self.ask(
                process,
                Node::Transactions(transactional),
                REQUEST_LIMIT,
                handle,
                move |world, answer| {
                    let client = world.producer(id);
                    if client.transaction != transaction {
                        return;
                    }
                    client.asking.remove(&part);
                    match answer {
                        Some(Answer::Done) => {
                            client.confirmed.insert(part);
                            world.pump(id, place);
                        }
                        Some(Answer::Concurrent) => world.pump_later(id, place),
                        Some(Answer::Fenced) => world.fence_producer(id),
                        Some(Answer::InvalidState) => world.fail_producer(id, "partition refused"),
                        None => world.try_again(id, place, "adding a partition was not answered"),
                    }
                },
            );
        }
        lane.in_flight = true;
        let (sequence, messages): (u64, Vec<Message>) = (lane.sequence, lane.queue.iter().take(4).cloned().collect());
        let count = messages.len();
        let handle = move |world: &mut World, responder| world.produce(place, who, sequence, messages, responder);
        self.ask(process, part, REQUEST_LIMIT, handle, move |world, answer| {
            let client = world.producer(id);
            if client.transaction != transaction || client.epoch != epoch {
                return;
            }
            let Some(lane) = client.lanes.get_mut(&place) else { return };
            lane.in_flight = false;
            match answer {
                Some(Appended::Done) => {
                    lane.queue.drain(..count.min(lane.queue.len()));
                    lane.sequence += count as u64;
                    lane.tries = 0;
                    client.told += count as u64;
                    world.wake_producer(id);
                    world.pump(id, place);
                }
                Some(Appended::Fenced) => world.fence_producer(id),
                Some(Appended::OutOfSequence | Appended::NotInTransaction) => {
                    client.needs_epoch = true;
                    world.fail_producer(id, "a message was refused");
                }
                None => world.try_again(id, place, "a message did not arrive"),
            }
        });
    }

    fn pump_later(&mut self, id: usize, place: Place) {
        let process = self.producer(id).process;
        self.after_inside(AGAIN, process, move |world| world.pump(id, place));
    }

    fn try_again(&mut self, id: usize, place: Place, why: &'static str) {
        let client = self.producer(id);
        let Some(lane) = client.lanes.get_mut(&place) else { return };
        lane.tries += 1;
        if lane.tries < TRIES {
            self.count("message sent again");
            self.pump(id, place);
        } else {
            // It may arrive yet: under the epoch that it was sent with.
            client.needs_epoch = true;
            self.count("message failed");
            self.fail_producer(id, why);
        }
    }
}

/// A producer of the simulated log.
pub struct SimulatedProducer {
    shared: Shared,
    id: usize,
}

fn uncertain<T>(what: &str) -> Result<T, TransactionError> {
    Err(TransactionError::Uncertain(what.to_owned()))
}

/// Asks for the first or the next epoch of a transactional id.
async fn introduce(
    shared: &Shared,
    transactional: usize,
    known: Option<u32>,
) -> Result<(ProducerId, u32), TransactionError> {
    let deadline = shared.borrow().now + COMMIT_LIMIT;
    loop {
        let handle = move |world: &mut World, responder| world.init_producer(transactional, known, responder);
        match ask(shared, Node::Transactions(transactional), REQUEST_LIMIT, handle).await {
            Some(Ok(told)) => return Ok(told),
            Some(Err(Answer::Concurrent)) if shared.borrow().now < deadline => sleep(shared, AGAIN).await,
            // The first request may have raised the epoch: the second would be refused.
            None if known.is_some() => return uncertain("a new epoch was not told"),
            None if shared.borrow().now < deadline => {}
            Some(Err(Answer::Fenced)) => return uncertain("a newer producer of the id exists"),
            Some(Err(_)) | None => {
                return Err(TransactionError::Retriable("the producer was not initialised".to_owned()));
            }
        }
    }
}

impl SimulatedProducer {
    pub(super) async fn create(shared: &Shared, transactional_id: &str) -> Result<SimulatedProducer, LogError> {
        let transactional = shared.borrow_mut().transactions.number(transactional_id);
        let (producer, epoch) =
            introduce(shared, transactional, None).await.map_err(|error| LogError::Unavailable(error.to_string()))?;
        let mut world = shared.borrow_mut();
        let (process, id) = (world.current, world.producers.len());
        world.producers.push(ProducerClient {
            process,
            transactional,
            producer,
            epoch,
            transaction: 0,
            confirmed: BTreeSet::new(),
            asking: BTreeSet::new(),
            lanes: BTreeMap::new(),
            failed: None,
            fatal: None,
            needs_epoch: false,
            told: 0,
            sent: 0,
            closed: false,
            waiter: None,
        });
        Ok(SimulatedProducer { shared: Shared::clone(shared), id })
    }

    fn check(&self) -> Result<(), TransactionError> {
        let world = self.shared.borrow();
        let client = &world.producers[self.id];
        match (&client.fatal, &client.failed) {
            (Some(fatal), _) => Err(TransactionError::Uncertain(fatal.clone())),
            (None, Some(failed)) => Err(TransactionError::Abortable(failed.clone())),
            (None, None) => Ok(()),
        }
    }

    /// Waits for something to happen to the client.
    async fn wait(&self, limit: Micros) {
        let slot = {
            let mut world = self.shared.borrow_mut();
            let (process, slot) = (world.current, Slot::new(world.current));
            let timer = slot.clone();
            world.after_inside(limit, process, move |world| timer.fill(world, ()));
            world.producer(self.id).waiter = Some(slot.clone());
            slot
        };
        slot.await;
    }

    fn facts(&self) -> (usize, ProducerId, u32) {
        let world = self.shared.borrow();
        let client = &world.producers[self.id];
        (client.transactional, client.producer, client.epoch)
    }

    /// Asks the coordinator to end the transaction, once; `None` if that was not answered.
    pub(super) async fn end(&self, ending: Ending) -> Option<Answer> {
        let (transactional, _, epoch) = self.facts();
        let slot = {
            let mut world = self.shared.borrow_mut();
            let process = world.current;
            let slot = Slot::new(process);
            let filled = slot.clone();
            let handle = move |world: &mut World, responder: Responder<Answer>| {
                let answer = world.end_transaction(transactional, epoch, ending);
                responder.answer(world, answer);
            };
            let then = move |world: &mut World, answer| filled.fill(world, answer);
            let node = Node::Transactions(transactional);
            let late_end = world.weather.late_end;
            if world.random.chance(late_end) {
                world.count("end of a transaction late");
                let travel = Some(world.random.between(REQUEST_LIMIT * 9 / 10, REQUEST_LIMIT * 5 / 2));
                world.ask_after(travel, process, node, REQUEST_LIMIT, handle, then);
            } else {
                world.ask(process, node, REQUEST_LIMIT, handle, then);
            }
            slot
        };
        slot.await
    }

    async fn flush(&self) -> Result<(), TransactionError> {
        let deadline = self.shared.borrow().now + COMMIT_LIMIT;
        loop {
            self.check()?;
            let (is_empty, is_late) = {
                let world = self.shared.borrow();
                let lanes = &world.producers[self.id].lanes;
                (lanes.values().all(|lane| lane.queue.is_empty()), world.now >= deadline)
            };
            if is_empty {
                return Ok(());
            }
            if is_late {
                self.shared.borrow_mut().count("commit waited in vain for deliveries");
                return Err(TransactionError::Retriable("messages are still under way".to_owned()));
            }
            self.wait(50 * MS).await;
        }
    }
}

impl Producer for SimulatedProducer {
    type Group = SimulatedGroup;

    async fn begin(&mut self) -> Result<(), TransactionError> {
        step(&self.shared, "stopped before a transaction").await;
        self.check()?;
        let mut world = self.shared.borrow_mut();
        let client = world.producer(self.id);
        client.transaction += 1;
        client.confirmed.clear();
        client.asking.clear();
        (client.told, client.sent) = (0, 0);
        Ok(())
    }

    async fn send(&mut self, message: Outgoing<'_>) -> Result<(), TransactionError> {
        self.check()?;
        let mut world = self.shared.borrow_mut();
        let topic = world.topics.iter().position(|topic| topic.name == message.topic);
        let Some(topic) = topic else { return uncertain("no such topic") };
        let partitions = world.topics[topic].partitions.len();
        let number = match message.partition {
            Some(number) => number as usize,
            None => message.key.unwrap_or_default().iter().map(|byte| usize::from(*byte)).sum::<usize>() % partitions,
        };
        if number >= partitions {
            return uncertain("no such partition");
        }
        let place = Place { topic, number: number as u32 };
        let kept = Message { key: message.key.map(<[u8]>::to_vec), value: message.value.map(<[u8]>::to_vec) };
        let id = self.id;
        let client = world.producer(id);
        client.sent += 1;
        client.lanes.entry(place).or_default().queue.push_back(kept);
        let process = client.process;
        let linger = world.random.between(MS / 10, 5 * MS);
        world.after_inside(linger, process, move |world| world.pump(id, place));
        Ok(())
    }

    async fn send_offsets(
        &mut self,
        positions: &[(Partition, Offset)],
        owner: &str,
        group: &SimulatedGroup,
    ) -> Result<(), TransactionError> {
        step(&self.shared, "stopped before sending positions").await;
        self.check()?;
        let who @ (transactional, _, epoch) = self.facts();
        let part = Node::Group(group.group);
        let handle = move |world: &mut World, responder: Responder<Answer>| {
            let answer = world.add_parts(transactional, epoch, vec![part]);
            responder.answer(world, answer);
        };
        match ask(&self.shared, Node::Transactions(transactional), REQUEST_LIMIT, handle).await {
            Some(Answer::Done) => {}
            Some(Answer::Concurrent) => {
                return Err(TransactionError::Retriable("the last transaction is being ended".to_owned()));
            }
            Some(Answer::Fenced | Answer::InvalidState) => return uncertain("a newer producer of the id exists"),
            None => return uncertain("adding positions was not answered"),
        }
        let (positions, owner, id, membership) = (positions.to_vec(), owner.to_owned(), group.group, group.membership);
        let handle = move |world: &mut World, responder: Responder<Accepted>| {
            let answer = world.accept_positions(id, who, membership, &positions, &owner);
            responder.answer(world, answer);
        };
        match ask(&self.shared, part, REQUEST_LIMIT, handle).await {
            Some(Accepted::Yes) => {}
            Some(Accepted::IllegalGeneration) => {
                return Err(TransactionError::Abortable("the group has replaced this member".to_owned()));
            }
            Some(Accepted::NotInTransaction) => {
                return Err(TransactionError::Abortable("positions outside of a transaction".to_owned()));
            }
            None => return uncertain("positions were not answered"),
        }
        step(&self.shared, "stopped between positions and commit").await;
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), TransactionError> {
        self.flush().await?;
        {
            let mut world = self.shared.borrow_mut();
            let chance = world.weather.refused;
            if world.random.chance(chance) {
                world.count("message refused");
                return Err(TransactionError::Abortable("a message was refused".to_owned()));
            }
        }
        step(&self.shared, "stopped before the end of a transaction").await;
        loop {
            match self.end(Ending::Commit).await {
                Some(Answer::Done) => return Ok(()),
                Some(Answer::Concurrent) => sleep(&self.shared, AGAIN).await,
                Some(Answer::Fenced) => return uncertain("a newer producer of the id exists"),
                Some(Answer::InvalidState) => return uncertain("the transaction has ended otherwise"),
                None => {
                    self.shared.borrow_mut().count("commit uncertain");
                    return uncertain("the commit was not answered");
                }
            }
        }
    }

    async fn first_delivery(&mut self) {
        let deadline = self.shared.borrow().now + COMMIT_LIMIT;
        loop {
            let is_over = {
                let world = self.shared.borrow();
                let client = &world.producers[self.id];
                client.sent == 0 || client.told > 0 || client.fatal.is_some() || world.now >= deadline
            };
            if is_over {
                return;
            }
            self.wait(50 * MS).await;
        }
    }

    async fn abort(&mut self) -> Result<(), TransactionError> {
        step(&self.shared, "stopped before an abort").await;
        self.shared.borrow_mut().count("abort");
        if let Err(TransactionError::Uncertain(what)) = self.check() {
            return uncertain(&what);
        }
        // What is not delivered is not sent any more; what is under way may arrive yet.
        let needs_epoch = {
            let mut world = self.shared.borrow_mut();
            let client = world.producer(self.id);
            client.transaction += 1;
            client.needs_epoch || client.lanes.values().any(|lane| !lane.queue.is_empty())
        };
        match self.end(Ending::Abort).await {
            Some(Answer::Done) => {}
            Some(Answer::Concurrent | Answer::Fenced | Answer::InvalidState) => return uncertain("abort refused"),
            None => return uncertain("the abort was not answered"),
        }
        let epoch = if needs_epoch {
            let (transactional, _, epoch) = self.facts();
            Some(introduce(&self.shared, transactional, Some(epoch)).await?.1)
        } else {
            None
        };
        let mut world = self.shared.borrow_mut();
        let client = world.producer(self.id);
        if let Some(epoch) = epoch {
            client.epoch = epoch;
            client.lanes.clear();
        }
        (client.failed, client.needs_epoch) = (None, false);
        Ok(())
    }
}

impl Drop for SimulatedProducer {
    fn drop(&mut self) {
        if let Ok(mut world) = self.shared.try_borrow_mut() {
            // Queues of a client that is closed are purged; requests on their way are not.
            world.producers[self.id].closed = true;
            let process = world.producers[self.id].process;
            if world.life(process) == Life::Running && world.producers[self.id].failed.is_none() {
                world.producers[self.id].lanes.clear();
            }
        }
    }
}
