//! A consumer's client: fetches ahead, keeps the session alive, joins rebalances, and tells the worker what the group decided.
//!
//! As the real client does, it joins a new generation behind the worker's back but holds back what that means until the worker asks
//! for news, delivers nothing while news is unanswered, and forgets its membership as soon as it hears that it has lost it.

use super::group::{Assignment, MAX_POLL_INTERVAL, Membership, Pulse, SESSION_TIMEOUT};
use super::partition::Read;
use super::world::{MS, Micros, Node, Place, ProcessId, REQUEST_LIMIT, Shared, Slot, World, ask, sleep, step};
use runtime::worker::log::{Batch, Committed, Consumer, Event, GatherLimits, Incoming, LogError, Offset, Partition};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

const PULSE_INTERVAL: Micros = 350 * MS;
const COMMITTED_LIMIT: Micros = 1_000 * MS;
/// Messages fetched ahead of each partition.
const AHEAD: usize = 6;

/// What is read of one partition.
struct Stream {
    next_fetch: Offset,
    /// Number of the seek, so that an answer to an older fetch is thrown away.
    version: u64,
    fetching: bool,
    ahead: VecDeque<Read>,
    /// The next offset behind what the worker was given.
    position: Offset,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Joining {
    No,
    /// As soon as all news is answered.
    Wanted,
    /// The answer is waited for.
    Sent,
}

pub(super) struct ConsumerClient {
    process: ProcessId,
    group: usize,
    /// Topics of the cluster, in the order of the worker's inputs.
    topics: Vec<usize>,
    membership: Membership,
    owned: BTreeSet<Partition>,
    streams: BTreeMap<Partition, Stream>,
    news: VecDeque<Event>,
    answering: bool,
    joining: Joining,
    joins: u64,
    version: u64,
    held: bool,
    /// Partitions of which nothing is handed over, while others are read.
    held_only: BTreeSet<Partition>,
    closed: bool,
    last_gather: Micros,
    last_pulse: Micros,
    waiter: Option<Slot<()>>,
}

/// The member as a transaction has to know it, with how far it has read.
#[derive(Clone, Debug)]
pub struct SimulatedGroup {
    pub(super) group: usize,
    pub(super) membership: Membership,
    /// How far each partition was handed out, and how far it was fetched ahead.
    pub(super) positions: BTreeMap<Partition, (Offset, Offset)>,
}

impl World {
    fn consumer(&mut self, id: usize) -> &mut ConsumerClient {
        &mut self.consumers[id]
    }

    fn wake_consumer(&mut self, id: usize) {
        if let Some(waiter) = self.consumer(id).waiter.take() {
            waiter.fill(self, ());
        }
    }

    /// Joins if there is reason to and nothing unanswered.
    fn join_if_wanted(&mut self, id: usize) {
        let client = self.consumer(id);
        if client.closed || client.joining != Joining::Wanted || client.answering || !client.news.is_empty() {
            return;
        }
        client.joining = Joining::Sent;
        client.joins += 1;
        let (process, group, claims) = (client.process, client.group, client.owned.clone());
        let (number, member) = (client.joins, client.membership.member);
        let handle = move |world: &mut World, responder| world.join(group, member, claims, responder);
        self.ask(process, Node::Group(group), MAX_POLL_INTERVAL + REQUEST_LIMIT, handle, move |world, answer| {
            let client = world.consumer(id);
            if client.closed || client.joins != number || client.joining != Joining::Sent {
                return;
            }
            match answer {
                Some(Some(assignment)) => world.take_assignment(id, assignment),
                Some(None) => {
                    client.membership.member = None;
                    world.lose(id);
                }
                None => {
                    client.joining = Joining::Wanted;
                    world.join_if_wanted(id);
                }
            }
        });
    }

    fn take_assignment(&mut self, id: usize, Assignment { member, generation, partitions }: Assignment) {
        let now = self.now;
        let client = self.consumer(id);
        client.last_pulse = now;
        client.membership = Membership { member: Some(member), generation: Some(generation) };
        client.joining = Joining::No;
        let revoked: Vec<Partition> = client.owned.difference(&partitions).copied().collect();
        let assigned: Vec<Partition> = partitions.difference(&client.owned).copied().collect();
        client.owned = partitions;
        if !revoked.is_empty() {
            // Then the group has to learn that they are free.
            client.joining = Joining::Wanted;
            client.news.push_back(Event::Revoked(revoked));
            self.count("revoked");
        }
        let client = self.consumer(id);
        let is_empty = assigned.is_empty();
        if !is_empty || generation % 3 == 0 {
            client.news.push_back(Event::Assigned(assigned));
        }
        self.wake_consumer(id);
    }

    /// The group has given away what this member had.
    fn lose(&mut self, id: usize) {
        let client = self.consumer(id);
        client.joining = Joining::Wanted;
        // What was not told yet need not be told any more; what was, has to be answered first.
        client.news.clear();
        let mut lost = std::mem::take(&mut client.owned);
        lost.extend(client.streams.keys().copied());
        let lost: Vec<Partition> = lost.into_iter().collect();
        if !lost.is_empty() {
            client.news.push_back(Event::Lost(lost));
            self.count("lost");
        }
        self.wake_consumer(id);
        self.join_if_wanted(id);
    }

    /// What the client does by itself from time to time.
    fn pulse_of(&mut self, id: usize) {
        let now = self.now;
        let client = self.consumer(id);
        if client.closed {
            return;
        }
        let process = client.process;
        self.after_inside(PULSE_INTERVAL, process, move |world| world.pulse_of(id));
        let client = self.consumer(id);
        let Membership { member: Some(member), generation } = client.membership else { return };
        if client.last_gather + MAX_POLL_INTERVAL <= now {
            let group = client.group;
            client.membership.member = None;
            self.count("too long between polls");
            self.ask::<()>(
                process,
                Node::Group(group),
                REQUEST_LIMIT,
                move |world, _| world.remove_member(group, member),
                |_, _| {},
            );
            return self.lose(id);
        }
        if client.last_pulse + SESSION_TIMEOUT <= now && client.joining == Joining::No {
            client.last_pulse = now;
            client.membership.member = None;
            self.count("session lost by the client");
            return self.lose(id);
        }
        let Some(generation) = generation.filter(|_| client.joining != Joining::Sent) else { return };
        let group = client.group;
        let handle = move |world: &mut World, responder: super::world::Responder<Pulse>| {
            let pulse = world.pulse(group, member, generation);
            responder.answer(world, pulse);
        };
        self.ask(process, Node::Group(group), REQUEST_LIMIT, handle, move |world, pulse| {
            let now = world.now;
            let client = world.consumer(id);
            if client.closed || client.membership != (Membership { member: Some(member), generation: Some(generation) })
            {
                return;
            }
            match pulse {
                None => {}
                Some(Pulse::Fine) => client.last_pulse = now,
                Some(Pulse::Rebalancing) => {
                    client.last_pulse = now;
                    if client.joining == Joining::No {
                        client.joining = Joining::Wanted;
                        world.join_if_wanted(id);
                    }
                }
                Some(Pulse::UnknownMember) => {
                    client.membership.member = None;
                    world.lose(id);
                }
                Some(Pulse::IllegalGeneration) => {
                    client.membership.generation = None;
                    world.lose(id);
                }
            }
        });
    }

    /// Asks for what is not there yet.
    fn fetch_ahead(&mut self, id: usize) {
        let client = self.consumer(id);
        if client.held || client.answering || !client.news.is_empty() {
            return;
        }
        let wanting = client.streams.iter_mut().filter(|(_, stream)| !stream.fetching && stream.ahead.len() < AHEAD);
        let mut asks = Vec::new();
        for (partition, stream) in wanting {
            stream.fetching = true;
            asks.push((*partition, stream.version, stream.next_fetch));
        }
        let process = client.process;
        for (partition, version, from) in asks {
            let topic = self.consumer(id).topics[usize::from(partition.topic)];
            let place = Place { topic, number: partition.number };
            let limit = self.random.between(1, 5) as usize;
            let handle = move |world: &mut World, responder| world.fetch(place, from, limit, responder);
            self.ask(process, Node::Leader(place), REQUEST_LIMIT, handle, move |world, answer| {
                world.take_fetched(id, partition, version, answer);
            });
        }
    }

    fn take_fetched(&mut self, id: usize, partition: Partition, version: u64, answer: Option<(Vec<Read>, Offset)>) {
        let client = self.consumer(id);
        let stream = client.streams.get_mut(&partition).filter(|stream| stream.version == version);
        let Some(stream) = stream else { return };
        stream.fetching = false;
        if let Some((found, next)) = answer {
            stream.ahead.extend(found);
            stream.next_fetch = next;
        }
        self.wake_consumer(id);
    }

    fn leave(&mut self, id: usize) {
        let client = self.consumer(id);
        client.closed = true;
        let (process, group, member) = (client.process, client.group, client.membership.member);
        if let Some(member) = member {
            let gone = move |world: &mut World, _| world.remove_member(group, member);
            self.ask::<()>(process, Node::Group(group), REQUEST_LIMIT, gone, |_, _| {});
        }
    }
}

/// A member of a group of the simulated log.
pub struct SimulatedConsumer {
    shared: Shared,
    id: usize,
}

impl SimulatedConsumer {
    /// How far each partition was fetched, whether it was handed over or not.
    pub(super) fn fetched(&self) -> BTreeMap<Partition, Offset> {
        let world = self.shared.borrow();
        world.consumers[self.id].streams.iter().map(|(partition, stream)| (*partition, stream.next_fetch)).collect()
    }

    pub(super) fn join(shared: &Shared, group: usize, topics: Vec<usize>) -> SimulatedConsumer {
        let mut world = shared.borrow_mut();
        let (process, id, now) = (world.current, world.consumers.len(), world.now);
        world.consumers.push(ConsumerClient {
            process,
            group,
            topics,
            membership: Membership { member: None, generation: None },
            owned: BTreeSet::new(),
            streams: BTreeMap::new(),
            news: VecDeque::new(),
            answering: false,
            joining: Joining::Wanted,
            joins: 0,
            version: 0,
            held: false,
            held_only: BTreeSet::new(),
            closed: false,
            last_gather: now,
            last_pulse: now,
            waiter: None,
        });
        world.join_if_wanted(id);
        world.after_inside(PULSE_INTERVAL, process, move |world| world.pulse_of(id));
        SimulatedConsumer { shared: Shared::clone(shared), id }
    }

    /// What the group has committed, and whether a transaction is open over it; `None` if nobody answers.
    async fn positions(&self, partitions: &[Partition]) -> Option<Vec<(Option<Committed>, bool)>> {
        let group = self.shared.borrow().consumers[self.id].group;
        let wanted = partitions.to_vec();
        let handle = move |world: &mut World, responder: super::world::Responder<_>| {
            let known = &world.groups[group];
            let each = wanted.iter().map(|at| (known.committed(*at), known.is_unstable(*at)));
            let answer = each.collect();
            responder.answer(world, answer);
        };
        ask(&self.shared, Node::Group(group), REQUEST_LIMIT, handle).await
    }

    /// As [`Consumer::committed`], but not waiting for open transactions.
    pub(super) async fn unstable(&self, partitions: &[Partition]) -> Result<Vec<Option<Committed>>, LogError> {
        let told = self.positions(partitions).await;
        let told = told.ok_or_else(|| LogError::Unavailable("positions: no answer".to_owned()))?;
        Ok(told.into_iter().map(|(committed, _)| committed).collect())
    }
}

impl Consumer for SimulatedConsumer {
    type Group = SimulatedGroup;

    async fn gather(&mut self, batch: &mut Batch, limits: &GatherLimits) -> Result<Event, LogError> {
        step(&self.shared, "stopped before gathering").await;
        let is_full = |batch: &Batch| {
            limits.messages > 0 && (batch.len() >= limits.messages || batch.size_bytes() >= limits.bytes)
        };
        let wait = u64::try_from(limits.wait.as_micros()).unwrap_or(u64::MAX);
        let deadline = self.shared.borrow().now + wait;
        loop {
            let slot = {
                let mut world = self.shared.borrow_mut();
                let now = world.now;
                let client = world.consumer(self.id);
                client.last_gather = now;
                if !client.answering
                    && let Some(event) = client.news.pop_front()
                {
                    client.answering = true;
                    return Ok(event);
                }
                if !client.held && !client.answering {
                    for (partition, stream) in &mut client.streams {
                        if client.held_only.contains(partition) {
                            continue;
                        }
                        while !is_full(batch)
                            && let Some(Read { offset, message }) = stream.ahead.pop_front()
                        {
                            stream.position = offset + 1;
                            let value = message.value.as_deref().unwrap_or_default();
                            let key = message.key.as_deref();
                            let (partition, side) = (*partition, None);
                            batch.push(Incoming { partition, side, offset, key, value, trace: None });
                        }
                    }
                }
                if is_full(batch) || now >= deadline {
                    return Ok(Event::Gathered);
                }
                world.fetch_ahead(self.id);
                let (process, slot) = (world.current, Slot::new(world.current));
                let timer = slot.clone();
                world.after_inside(deadline - now, process, move |world| timer.fill(world, ()));
                world.consumer(self.id).waiter = Some(slot.clone());
                slot
            };
            slot.await;
        }
    }

    async fn committed(&mut self, partitions: &[Partition]) -> Result<Vec<Option<Committed>>, LogError> {
        step(&self.shared, "stopped before asking for positions").await;
        let deadline = self.shared.borrow().now + COMMITTED_LIMIT;
        loop {
            if let Some(told) = self.positions(partitions).await
                && told.iter().all(|(_, is_unstable)| !is_unstable)
            {
                return Ok(told.into_iter().map(|(committed, _)| committed).collect());
            }
            let is_late = {
                let mut world = self.shared.borrow_mut();
                world.count("positions not stable or not told");
                world.now >= deadline
            };
            if is_late {
                return Err(LogError::Unavailable("positions: a transaction is open".to_owned()));
            }
            sleep(&self.shared, 30 * MS).await;
        }
    }

    async fn owners(&mut self, partitions: &[Partition]) -> Result<Vec<String>, LogError> {
        Ok(self.unstable(partitions).await?.into_iter().flatten().map(|committed| committed.owner).collect())
    }

    async fn start(&mut self, positions: &[(Partition, Offset)]) -> Result<(), LogError> {
        let mut world = self.shared.borrow_mut();
        let client = world.consumer(self.id);
        client.answering = false;
        for (partition, position) in positions {
            client.version += 1;
            let stream = Stream {
                next_fetch: *position,
                version: client.version,
                fetching: false,
                ahead: VecDeque::new(),
                position: *position,
            };
            client.streams.insert(*partition, stream);
        }
        world.join_if_wanted(self.id);
        Ok(())
    }

    async fn release(&mut self, partitions: &[Partition]) -> Result<(), LogError> {
        step(&self.shared, "stopped before giving partitions back").await;
        let mut world = self.shared.borrow_mut();
        let client = world.consumer(self.id);
        client.answering = false;
        for partition in partitions {
            client.streams.remove(partition);
            client.held_only.remove(partition);
        }
        world.join_if_wanted(self.id);
        Ok(())
    }

    async fn seek(&mut self, partition: Partition, offset: Offset) -> Result<(), LogError> {
        let mut world = self.shared.borrow_mut();
        let client = world.consumer(self.id);
        client.version += 1;
        let version = client.version;
        if let Some(stream) = client.streams.get_mut(&partition) {
            *stream = Stream { next_fetch: offset, version, fetching: false, ahead: VecDeque::new(), position: offset };
        }
        Ok(())
    }

    async fn hold(&mut self) -> Result<(), LogError> {
        self.shared.borrow_mut().consumer(self.id).held = true;
        Ok(())
    }

    async fn hold_only(&mut self, partitions: &[Partition]) -> Result<(), LogError> {
        let mut world = self.shared.borrow_mut();
        if !partitions.is_empty() {
            world.count("partitions held beside others");
        }
        world.consumer(self.id).held_only = partitions.iter().copied().collect();
        Ok(())
    }

    async fn go_on(&mut self) -> Result<(), LogError> {
        let mut world = self.shared.borrow_mut();
        let client = world.consumer(self.id);
        client.held = false;
        client.held_only.clear();
        Ok(())
    }

    fn handed_over(&mut self) -> Result<BTreeMap<Partition, Offset>, LogError> {
        let world = self.shared.borrow();
        let streams = world.consumers[self.id].streams.iter();
        // What was fetched without a message in it is handed over with what came before.
        let each = streams.map(|(partition, stream)| match stream.ahead.is_empty() {
            true => (*partition, stream.next_fetch),
            false => (*partition, stream.position),
        });
        Ok(each.collect())
    }

    fn group(&self) -> SimulatedGroup {
        let world = self.shared.borrow();
        let client = &world.consumers[self.id];
        let streams = client.streams.iter();
        let positions = streams.map(|(partition, stream)| (*partition, (stream.position, stream.next_fetch)));
        SimulatedGroup { group: client.group, membership: client.membership, positions: positions.collect() }
    }
}

impl Drop for SimulatedConsumer {
    fn drop(&mut self) {
        // A process that is killed says nothing.
        if let Ok(mut world) = self.shared.try_borrow_mut() {
            let process = world.consumers[self.id].process;
            world.consumers[self.id].closed = true;
            if world.life(process) == super::world::Life::Running {
                world.leave(self.id);
            }
        }
    }
}
