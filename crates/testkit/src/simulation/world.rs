//! Time, events, processes and the network between them.
//!
//! Owns the order of everything: one queue of events by virtual time, where what is due at the same moment is ordered by the seed. A
//! process is a worker with its client's background work; when it is paused, both stand still and what arrives waits, as it would in
//! the buffers of its sockets; when it is dead, what arrives is gone, but what it has sent goes on travelling.
//!
//! A request can be lost or late, and so can its answer; late ones overtake each other. Nothing is sent twice by the network itself.

use super::consumer::ConsumerClient;
use super::group::Group;
use super::partition::PartitionLog;
use super::producer::ProducerClient;
use super::transactions::Transactions;
use crate::generator::random::Random;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// Virtual microseconds.
pub(super) type Micros = u64;
pub(super) const MS: Micros = 1_000;
/// How long a client waits for an answer.
pub(super) const REQUEST_LIMIT: Micros = 1_000 * MS;
const BROKERS: usize = 3;

pub(super) type Shared = Rc<RefCell<World>>;
pub(super) type Action = Box<dyn FnOnce(&mut World)>;

/// Number of a process; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ProcessId(pub usize);

/// A partition of a topic of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub topic: usize,
    pub number: u32,
}

/// Who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Node {
    /// The leader of a partition.
    Leader(Place),
    /// The coordinator of a transactional id, by its number.
    Transactions(usize),
    /// The coordinator of a group, by its number.
    Group(usize),
}

impl Node {
    fn broker(self) -> usize {
        match self {
            Node::Leader(place) => (place.topic + place.number as usize) % BROKERS,
            Node::Transactions(id) => id % BROKERS,
            Node::Group(id) => (id + 1) % BROKERS,
        }
    }
}

/// How bad the network is, per thousand.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Weather {
    pub lost: u64,
    pub late: u64,
    /// Requests to end a transaction that are late.
    pub late_end: u64,
    /// Markers that are late.
    pub late_marker: u64,
    /// Transactions of which a leader refuses a message, so that they have to be aborted.
    pub refused: u64,
    /// Calls of the seam at which the process is stopped or paused.
    pub stop_at_call: u64,
}

/// What was made to happen, by name.
pub(super) type Faults = BTreeMap<&'static str, u64>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Running,
    Paused,
    Dead,
}

pub(super) struct Process {
    pub life: Life,
    /// What arrived while it was paused.
    deferred: Vec<Action>,
}

/// What a process should be subjected to once it has given back control.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wish {
    Kill,
    Pause(Micros),
}

pub(super) struct Topic {
    pub name: String,
    pub partitions: Vec<PartitionLog>,
}

/// Everything but the workers themselves.
pub(super) struct World {
    pub now: Micros,
    pub random: Random,
    queue: BTreeMap<(Micros, u64), Action>,
    pub weather: Weather,
    pub faults: Faults,
    /// Whether it is told what happens.
    pub is_told: bool,
    pub processes: Vec<Process>,
    /// Whose future is being polled.
    pub current: ProcessId,
    pub woken: BTreeSet<ProcessId>,
    pub wishes: Vec<(ProcessId, Wish)>,
    brokers_down_until: [Micros; BROKERS],
    roles_down_until: BTreeMap<Node, Micros>,
    pub topics: Vec<Topic>,
    pub transactions: Transactions,
    pub groups: Vec<Group>,
    pub consumers: Vec<ConsumerClient>,
    pub producers: Vec<ProducerClient>,
}

impl World {
    pub(super) fn new(seed: u64) -> World {
        World {
            now: 0,
            random: Random::new(seed),
            queue: BTreeMap::new(),
            weather: Weather::default(),
            faults: Faults::new(),
            is_told: false,
            processes: Vec::new(),
            current: ProcessId(0),
            woken: BTreeSet::new(),
            wishes: Vec::new(),
            brokers_down_until: [0; BROKERS],
            roles_down_until: BTreeMap::new(),
            topics: Vec::new(),
            transactions: Transactions::default(),
            groups: Vec::new(),
            consumers: Vec::new(),
            producers: Vec::new(),
        }
    }

    /// Says what happens, where a single seed is looked at.
    pub(super) fn tell(&self, what: impl FnOnce() -> String) {
        if self.is_told {
            println!("{:>6}.{:03} ms  {}", self.now / MS, self.now % MS, what());
        }
    }

    pub(super) fn count(&mut self, fault: &'static str) {
        self.tell(|| fault.to_owned());
        *self.faults.entry(fault).or_default() += 1;
    }

    /// Does something later.
    pub(super) fn after(&mut self, delay: Micros, action: impl FnOnce(&mut World) + 'static) {
        let tie = self.random.bits();
        self.queue.insert((self.now + delay, tie), Box::new(action));
    }

    /// Lets the next event happen; whether there was one before `limit`.
    pub(super) fn step(&mut self, limit: Micros) -> bool {
        match self.queue.first_entry() {
            Some(entry) if entry.key().0 <= limit => {
                let ((at, _), action) = entry.remove_entry();
                self.now = at;
                action(self);
                true
            }
            Some(_) | None => false,
        }
    }

    pub(super) fn add_process(&mut self) -> ProcessId {
        self.processes.push(Process { life: Life::Running, deferred: Vec::new() });
        ProcessId(self.processes.len() - 1)
    }

    pub(super) fn life(&self, process: ProcessId) -> Life {
        self.processes[process.0].life
    }

    pub(super) fn kill(&mut self, process: ProcessId) {
        let process = &mut self.processes[process.0];
        process.life = Life::Dead;
        process.deferred.clear();
    }

    pub(super) fn pause(&mut self, process: ProcessId) {
        if self.life(process) == Life::Running {
            self.processes[process.0].life = Life::Paused;
        }
    }

    pub(super) fn resume(&mut self, process: ProcessId) {
        if self.life(process) != Life::Paused {
            return;
        }
        self.processes[process.0].life = Life::Running;
        for action in std::mem::take(&mut self.processes[process.0].deferred) {
            action(self);
        }
        self.woken.insert(process);
    }

    /// Does something inside of a process, as far as it lives.
    pub(super) fn inside(&mut self, process: ProcessId, action: impl FnOnce(&mut World) + 'static) {
        match self.life(process) {
            Life::Running => action(self),
            Life::Paused => self.processes[process.0].deferred.push(Box::new(action)),
            Life::Dead => {}
        }
    }

    pub(super) fn after_inside(
        &mut self,
        delay: Micros,
        process: ProcessId,
        action: impl FnOnce(&mut World) + 'static,
    ) {
        self.after(delay, move |world| world.inside(process, action));
    }

    /// Whether nobody answers at a node.
    pub(super) fn is_down(&self, node: Node) -> bool {
        self.up_at(node) > self.now
    }

    /// From when on a node answers.
    pub(super) fn up_at(&self, node: Node) -> Micros {
        let role = self.roles_down_until.get(&node).copied().unwrap_or_default();
        role.max(self.brokers_down_until[node.broker()])
    }

    pub(super) fn restart_broker(&mut self, duration: Micros) {
        self.count("broker restart");
        let broker = self.random.index(BROKERS);
        self.brokers_down_until[broker] = self.now + duration;
        for topic in 0..self.topics.len() {
            for number in 0..self.topics[topic].partitions.len() {
                let place = Place { topic, number: number as u32 };
                if Node::Leader(place).broker() == broker {
                    self.topics[topic].partitions[number].forget_waiting();
                }
            }
        }
        for group in 0..self.groups.len() {
            if Node::Group(group).broker() == broker {
                self.fail_over_group(group);
            }
        }
    }

    /// Another broker takes over the coordination of a group or of a transactional id, after a while.
    pub(super) fn fail_over(&mut self, node: Node, duration: Micros) {
        self.count("coordinator fail-over");
        self.roles_down_until.insert(node, self.now + duration);
        if let Node::Group(group) = node {
            self.fail_over_group(group);
        }
    }

    /// How long something travels; `None` if it never arrives.
    fn travel(&mut self, lost: &'static str, late: &'static str) -> Option<Micros> {
        let Weather { lost: lost_of_1000, late: late_of_1000, .. } = self.weather;
        if self.random.chance(lost_of_1000) {
            self.count(lost);
            return None;
        }
        if self.random.chance(late_of_1000) {
            self.count(late);
            return Some(self.random.between(20 * MS, 3_000 * MS));
        }
        Some(self.random.between(MS / 5, 2 * MS))
    }

    /// Asks a node. `then` is told the answer inside of the process, or `None` after `limit`; the request may still arrive after that.
    pub(super) fn ask<R: 'static>(
        &mut self,
        process: ProcessId,
        node: Node,
        limit: Micros,
        handle: impl FnOnce(&mut World, Responder<R>) + 'static,
        then: impl FnOnce(&mut World, Option<R>) + 'static,
    ) {
        let travel = self.travel("request lost", "request late");
        self.ask_after(travel, process, node, limit, handle, then);
    }

    /// As [`World::ask`], where it is known how long the request takes.
    pub(super) fn ask_after<R: 'static>(
        &mut self,
        travel: Option<Micros>,
        process: ProcessId,
        node: Node,
        limit: Micros,
        handle: impl FnOnce(&mut World, Responder<R>) + 'static,
        then: impl FnOnce(&mut World, Option<R>) + 'static,
    ) {
        let responder = Responder { process, then: Rc::new(RefCell::new(Some(Box::new(then)))) };
        let waiting = responder.clone();
        self.after(limit, move |world| waiting.resolve(world, None));
        let Some(travel) = travel else { return };
        self.after(travel, move |world| {
            if world.is_down(node) {
                world.count("request to a broker that is down");
            } else {
                handle(world, responder);
            }
        });
    }
}

type Then<R> = Box<dyn FnOnce(&mut World, Option<R>)>;

/// Where an answer goes.
pub(super) struct Responder<R> {
    process: ProcessId,
    then: Rc<RefCell<Option<Then<R>>>>,
}

impl<R> Clone for Responder<R> {
    fn clone(&self) -> Self {
        Responder { process: self.process, then: Rc::clone(&self.then) }
    }
}

impl<R: 'static> Responder<R> {
    /// Sends the answer.
    pub(super) fn answer(self, world: &mut World, answer: R) {
        if let Some(travel) = world.travel("answer lost", "answer late") {
            world.after(travel, move |world| self.resolve(world, Some(answer)));
        }
    }

    fn resolve(&self, world: &mut World, answer: Option<R>) {
        if self.then.borrow().is_some() {
            let then = Rc::clone(&self.then);
            world.inside(self.process, move |world| {
                let taken = then.borrow_mut().take();
                if let Some(then) = taken {
                    then(world, answer);
                }
            });
        }
    }
}

/// What a future waits for. The first to fill it wins.
pub(super) struct Slot<R> {
    process: ProcessId,
    value: Rc<RefCell<Option<R>>>,
}

impl<R> Clone for Slot<R> {
    fn clone(&self) -> Self {
        Slot { process: self.process, value: Rc::clone(&self.value) }
    }
}

impl<R> Slot<R> {
    pub(super) fn new(process: ProcessId) -> Slot<R> {
        Slot { process, value: Rc::new(RefCell::new(None)) }
    }

    pub(super) fn fill(&self, world: &mut World, value: R) {
        let mut mine = self.value.borrow_mut();
        if mine.is_none() {
            *mine = Some(value);
            world.woken.insert(self.process);
        }
    }
}

impl<R> Future for Slot<R> {
    type Output = R;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<R> {
        match self.value.borrow_mut().take() {
            Some(value) => Poll::Ready(value),
            None => Poll::Pending,
        }
    }
}

/// Waits inside of the process that is being polled.
pub(super) async fn sleep(shared: &Shared, delay: Micros) {
    let slot = {
        let mut world = shared.borrow_mut();
        let slot = Slot::new(world.current);
        let (filled, process) = (slot.clone(), world.current);
        world.after_inside(delay, process, move |world| filled.fill(world, ()));
        slot
    };
    slot.await;
}

/// Asks and waits.
pub(super) async fn ask<R: 'static>(
    shared: &Shared,
    node: Node,
    limit: Micros,
    handle: impl FnOnce(&mut World, Responder<R>) + 'static,
) -> Option<R> {
    let slot = {
        let mut world = shared.borrow_mut();
        let process = world.current;
        let slot = Slot::new(process);
        let filled = slot.clone();
        world.ask(process, node, limit, handle, move |world, answer| filled.fill(world, answer));
        slot
    };
    slot.await
}

/// A point at which the process may be stopped, or paused for longer than its session lasts.
pub(super) async fn step(shared: &Shared, at: &'static str) {
    let stopped = {
        let mut world = shared.borrow_mut();
        let (process, chance) = (world.current, world.weather.stop_at_call);
        if !world.random.chance(chance) {
            false
        } else {
            world.count(at);
            let wish = match world.random.chance(500) {
                true => Wish::Kill,
                false => Wish::Pause(world.random.between(100 * MS, 6_000 * MS)),
            };
            world.wishes.push((process, wish));
            true
        }
    };
    if stopped {
        sleep(shared, 1).await;
    }
}
