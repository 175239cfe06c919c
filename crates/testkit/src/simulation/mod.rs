//! A simulated log: partitions, transactions, groups and a network that misbehaves, under the workers of the product.
//!
//! One seed, one thread, virtual time. Workers are futures of the product's own [`runtime::worker`]; they wait for the scheduler at
//! every call of the seam ([`runtime::worker::log`]), and killing one is dropping it there. What is modelled is the log and not its
//! API, so that a wrong order of calls does the harm that it would do on a cluster.
//!
//! | module | owns |
//! | --- | --- |
//! | `world` | virtual time, events, processes, the network |
//! | `partition` | entries, markers, high watermark and last stable offset |
//! | `transactions` | the transaction coordinator |
//! | `group` | members, generations, positions, pending ones among them |
//! | `consumer`, `producer`, `reader`, `log` | the clients, and the seam on top of them |
//! | [`planted`] | errors that the simulation has to find |
//! | `faults` | what happens to workers and brokers, and when |
//! | `chain` | all stages of the product, what comes in, and what is checked in the end |
//!
//! Not modelled: unclean elections, loss of replicated data, retention, static membership, markers delivered twice, and requests that
//! the client library repeats by itself where the first copy could still arrive (end of a transaction, positions).

mod chain;
mod consumer;
mod faults;
mod group;
mod log;
mod partition;
pub mod planted;
mod producer;
mod reader;
mod transactions;
mod world;

pub use chain::run_chain;
pub use consumer::{SimulatedConsumer, SimulatedGroup};
pub use log::SimulatedLog;
pub use producer::SimulatedProducer;
pub use reader::SimulatedReader;

use faults::Order;
use group::Group;
use partition::{Ending, Message, PartitionLog};
use planted::{Bug, Planted, PlantedStage};
use runtime::worker::log::{Batch, GatherLimits, Partition};
use runtime::worker::{ForgottenPositions, Report, SideKind, Stage, Worker, WorkerError, WorkerSettings};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use world::{Life, MS, Micros, Place, ProcessId, Shared, Topic, World};

/// When the last input comes: after that all has to come to an end.
const LAST_INPUT_MS: u64 = faults::CALM_MS + 9_000;

type Running = Pin<Box<dyn Future<Output = Result<(), WorkerError>>>>;
type Make = Box<dyn Fn(SimulatedLog, String, Rc<AtomicBool>) -> Running>;
/// What is left to do for a role that positions of its group do not show.
type Look = Box<dyn Fn(&World) -> Option<String>>;

/// One message of an input: its bytes, and whether its producer has committed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input<'b> {
    /// Sent without a transaction.
    Plain(&'b [u8]),
    /// Sent in a transaction that was committed.
    Committed(&'b [u8]),
    /// Sent in a transaction that was aborted: nobody may see it.
    Aborted(&'b [u8]),
}

/// A committed message: offset, key, value.
pub type Found = (i64, Option<Vec<u8>>, Option<Vec<u8>>);

/// A group of workers that run the same stage.
struct Role {
    group: usize,
    /// Topics of the cluster that it reads.
    inputs: Vec<usize>,
    make: Make,
    look: Look,
    /// Until then nobody is started.
    idle_until: Micros,
    named: u32,
}

struct Working {
    process: ProcessId,
    role: usize,
    transactional_id: String,
    stop: Rc<AtomicBool>,
    future: Running,
}

/// Whether a simulation says what happens while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    /// Not a word.
    Nothing,
    /// Everything, line by line.
    Everything,
}

/// What came of a seed.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// What was made to happen, and what came of it, by name.
    pub faults: BTreeMap<&'static str, u64>,
    /// What is wrong.
    pub failure: Option<String>,
    /// Virtual milliseconds until everything was settled.
    pub took_ms: u64,
}

/// A cluster with workers, not started yet.
pub struct Simulation {
    shared: Shared,
    bug: Bug,
    roles: Vec<Role>,
    workers: Vec<Working>,
    orders: Rc<RefCell<Vec<Order>>>,
    stopped: Vec<String>,
    reports: Rc<RefCell<BTreeMap<&'static str, u64>>>,
}

impl Simulation {
    /// An empty cluster.
    pub fn new(seed: u64, bug: Bug) -> Simulation {
        Simulation {
            shared: Rc::new(RefCell::new(World::new(seed))),
            bug,
            roles: Vec::new(),
            workers: Vec::new(),
            orders: Rc::default(),
            stopped: Vec::new(),
            reports: Rc::default(),
        }
    }

    /// Makes a topic.
    pub fn add_topic(&mut self, name: &str, partitions: u32) {
        let partitions = (0..partitions).map(|_| PartitionLog::default()).collect();
        self.shared.borrow_mut().topics.push(Topic { name: name.to_owned(), partitions });
    }

    /// Makes a group of workers that run a stage; `make` makes the stage of each.
    pub fn add_role<S: Stage + 'static>(&mut self, group: &str, make: impl Fn() -> S + 'static) {
        let sample = make();
        let mut partitions = Vec::new();
        let mut world = self.shared.borrow_mut();
        let mut inputs = Vec::new();
        for (topic, name) in (0..).zip(sample.inputs()) {
            let Some(known) = world.topics.iter().position(|topic| topic.name == *name) else { continue };
            inputs.push(known);
            let count = world.topics[known].partitions.len() as u32;
            partitions.extend((0..count).map(|number| Partition { topic, number }));
        }
        world.groups.push(Group::new(group, partitions));
        let (bug, changelog, name) = (self.bug, sample.changelog().to_owned(), group.to_owned());
        let make = Rc::new(make);
        let again = Rc::clone(&make);
        let partitions = world.groups.last().map(|group| group.partitions().to_vec()).unwrap_or_default();
        let look = move |world: &World| left_of(world, again(), &partitions);
        let reports = Rc::clone(&self.reports);
        let make = move |log: SimulatedLog, transactional_id: String, stop: Rc<AtomicBool>| -> Running {
            let (log, stage) = (Planted::new(log, bug, &changelog), PlantedStage { stage: make(), bug });
            let settings = WorkerSettings {
                group: name.clone(),
                transactional_id,
                limits: GatherLimits { messages: 5, bytes: 1 << 20, wait: Duration::from_millis(60) },
                given_up: runtime::worker::GivenUp::default(),
                attempts: 1_000,
                forgotten_positions: ForgottenPositions::FromState,
                topics_made_anew: Vec::new(),
            };
            let reports = Rc::clone(&reports);
            let (shared, who) = (Rc::clone(&log.log.shared), settings.transactional_id.clone());
            Box::pin(async move {
                let report = |report: Report<'_>| {
                    if let Ok(world) = shared.try_borrow() {
                        world.tell(|| match &report {
                            // The time that it took is another each time.
                            Report::Committed { received, sent, .. } => {
                                format!("{who}: committed, {received} in, {sent} out")
                            }
                            other => format!("{who}: {other:?}"),
                        });
                    }
                    let name = match report {
                        Report::Assigned(_) => "worker assigned",
                        Report::Restored(..) => "worker restored",
                        Report::Started { .. } => "worker started",
                        Report::Released(_) => "worker released",
                        Report::Committed { .. } => "worker committed",
                        Report::Behind(_) => "worker behind",
                        Report::Aborted(_) => "worker aborted",
                        Report::Uncertain(_) => "worker uncertain",
                        Report::Restarted(_) => "worker restarted",
                        Report::Waiting(_) => "worker waited",
                        Report::Refused(..) => "tick refused",
                        Report::BeganAnew { .. } => "worker began anew",
                        Report::GaveUp(_) => "gap skipped",
                        Report::PassedOver { .. } => "message skipped",
                        Report::Mismatch(_) => "worker mismatched",
                        Report::Ended(_) => "worker ended",
                    };
                    *reports.borrow_mut().entry(name).or_default() += 1;
                };
                Worker::new(&log, stage, settings, &stop, &report).run().await
            })
        };
        let group = world.groups.len() - 1;
        self.roles.push(Role { group, inputs, make: Box::new(make), look: Box::new(look), idle_until: 0, named: 0 });
    }

    /// Appends to a topic at a virtual moment.
    pub fn feed(&mut self, at_ms: u64, topic: &str, partition: u32, input: Input<'_>) {
        let mut world = self.shared.borrow_mut();
        let Some(topic) = world.topics.iter().position(|known| known.name == topic) else { return };
        let place = Place { topic, number: partition };
        let (bytes, ending) = match input {
            Input::Plain(bytes) => (bytes, None),
            Input::Committed(bytes) => (bytes, Some(Ending::Commit)),
            Input::Aborted(bytes) => (bytes, Some(Ending::Abort)),
        };
        let message = Message { key: None, value: Some(bytes.to_vec()) };
        world.after(at_ms * MS, move |world| match ending {
            Some(ending) => world.append_ended(place, vec![message], ending),
            None => world.append_plain(place, message),
        });
    }

    /// Does something every virtual millisecond that is a multiple of `every_ms`, until `until_ms`.
    pub fn every(&mut self, every_ms: u64, until_ms: u64, action: impl Fn(u64) + 'static) {
        let action = Rc::new(action);
        for at_ms in (every_ms..=until_ms).step_by(usize::try_from(every_ms).unwrap_or(1).max(1)) {
            let action = Rc::clone(&action);
            self.shared.borrow_mut().after(at_ms * MS, move |_| action(at_ms));
        }
    }

    /// The committed messages (offset, key, value) of a partition.
    pub fn committed(&self, topic: &str, partition: u32) -> Vec<Found> {
        let world = self.shared.borrow();
        let known = world.topics.iter().find(|known| known.name == topic);
        let log = known.and_then(|topic| topic.partitions.get(partition as usize));
        let each = log.map(PartitionLog::committed).unwrap_or_default().into_iter();
        each.map(|read| (read.offset, read.message.key, read.message.value)).collect()
    }

    /// Adds to what happened.
    fn add_happened(&self, name: &'static str, count: u64) {
        *self.shared.borrow_mut().faults.entry(name).or_default() += count;
    }

    /// When a message was appended, and when everybody could see it; the end of time where that is not so.
    pub fn moments(&self, topic: &str, partition: u32, offset: i64) -> (u64, u64) {
        let world = self.shared.borrow();
        let known = world.topics.iter().find(|known| known.name == topic);
        let log = known.and_then(|topic| topic.partitions.get(partition as usize));
        let appended = log.and_then(|log| log.appended_at(offset));
        let replicated = log.and_then(|log| log.replicated_at(offset));
        (appended.unwrap_or(Micros::MAX), replicated.unwrap_or(Micros::MAX))
    }

    /// Starts a worker.
    fn spawn(&mut self, role: usize, transactional_id: Option<String>) {
        let known = &mut self.roles[role];
        let transactional_id = transactional_id.unwrap_or_else(|| {
            known.named += 1;
            format!("role-{role}-{}", known.named)
        });
        let process = self.shared.borrow_mut().add_process();
        let stop = Rc::new(AtomicBool::new(false));
        let log = SimulatedLog { shared: Rc::clone(&self.shared) };
        let future = (self.roles[role].make)(log, transactional_id.clone(), Rc::clone(&stop));
        self.shared.borrow().tell(|| format!("{transactional_id} is started as {process:?}"));
        self.workers.push(Working { process, role, transactional_id, stop, future });
        self.shared.borrow_mut().woken.insert(process);
    }

    /// Lets every woken worker run to its next call.
    fn poll_woken(&mut self) {
        loop {
            let mut woken: Vec<ProcessId> = {
                let mut world = self.shared.borrow_mut();
                let all = std::mem::take(&mut world.woken);
                all.into_iter().filter(|process| world.life(*process) == Life::Running).collect()
            };
            if woken.is_empty() {
                return;
            }
            while !woken.is_empty() {
                let next = self.shared.borrow_mut().random.index(woken.len());
                self.poll(woken.swap_remove(next));
            }
        }
    }

    fn poll(&mut self, process: ProcessId) {
        let Some(at) = self.workers.iter().position(|worker| worker.process == process) else { return };
        self.shared.borrow_mut().current = process;
        let polled = self.workers[at].future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(result) = polled {
            let worker = self.workers.swap_remove(at);
            drop(worker.future);
            self.shared.borrow_mut().kill(process);
            self.shared.borrow().tell(|| format!("{} ended: {result:?}", worker.transactional_id));
            if let Err(error) = result {
                self.stopped.push(format!("worker {} stopped: {error}", worker.transactional_id));
            }
        }
    }

    /// Runs until everything is settled, or cannot be any more.
    pub fn run(mut self, check: impl Fn(&Simulation) -> Result<(), String>) -> Outcome {
        self.plan();
        let failure = loop {
            self.poll_woken();
            self.obey();
            if let Some(stopped) = self.stopped.first() {
                break Some(stopped.clone());
            }
            let now = self.shared.borrow().now;
            if now > faults::GIVE_UP_AT {
                break Some(format!("not settled: {}", self.unsettled().unwrap_or_default()));
            }
            if self.is_over(now) {
                break check(&self).err();
            }
            let world = Rc::clone(&self.shared);
            let stepped = world.borrow_mut().step(Micros::MAX);
            if !stepped {
                break Some("nothing happens any more".to_owned());
            }
        };
        for worker in std::mem::take(&mut self.workers) {
            self.shared.borrow_mut().kill(worker.process);
        }
        let world = self.shared.borrow();
        let mut faults = world.faults.clone();
        for (name, count) in self.reports.borrow().iter() {
            faults.insert(name, *count);
        }
        Outcome { faults, failure, took_ms: world.now / MS }
    }

    /// What is not finished.
    fn unsettled(&self) -> Option<String> {
        let world = self.shared.borrow();
        if !world.transactions.is_settled() {
            return Some("a transaction is open".to_owned());
        }
        for topic in &world.topics {
            if !topic.partitions.iter().all(PartitionLog::is_settled) {
                return Some(format!("topic {} is not stable", topic.name));
            }
        }
        for group in &world.groups {
            if !group.is_settled() {
                return Some(format!("group {} has pending positions", group.name));
            }
        }
        for role in &self.roles {
            let group = &world.groups[role.group];
            for partition in group.partitions().iter().copied() {
                let topic = &world.topics[role.inputs[usize::from(partition.topic)]];
                let last = topic.partitions[partition.number as usize].committed().last().map(|read| read.offset);
                let position = group.committed(partition).map_or(0, |committed| committed.position);
                if last.is_some_and(|last| last >= position) {
                    return Some(format!(
                        "group {} partition {partition:?} is at {position}, its end at {last:?}",
                        group.name
                    ));
                }
            }
        }
        self.roles.iter().find_map(|role| (role.look)(&world))
    }
}

/// What a stage has left to do by what is committed: something beside its inputs that it has not taken, or work without a message.
fn left_of(world: &World, mut stage: impl Stage, partitions: &[Partition]) -> Option<String> {
    let committed = |topic: &str, number: u32| {
        let known = world.topics.iter().find(|known| known.name == topic);
        let log = known.and_then(|topic| topic.partitions.get(number as usize));
        log.map(PartitionLog::committed).unwrap_or_default()
    };
    for partition in partitions {
        stage.create(*partition);
        for read in committed(stage.changelog(), partition.number) {
            let key = read.message.key.unwrap_or_default();
            if let Err(error) = stage.restore(*partition, &key, read.message.value.as_deref()) {
                return Some(format!("{} {partition:?}: {error}", stage.changelog()));
            }
        }
        if let Err(error) = stage.restored(*partition) {
            return Some(format!("{} {partition:?}: {error}", stage.changelog()));
        }
        for (side, place) in stage.sides().iter().zip(stage.known(*partition).sides) {
            let number = if side.kind == SideKind::Ticks { 0 } else { partition.number };
            let last = committed(&side.topic, number).last().map(|read| read.offset);
            if last.is_some_and(|last| place.is_none_or(|place| place.offset <= last)) {
                return Some(format!("{} beside {partition:?} is at {place:?}, its end at {last:?}", side.topic));
            }
        }
    }
    // What the directory causes is seen by looking at it.
    if stage.prepare(&Batch::default()).is_err() {
        return Some(format!("{} lacks facts", stage.changelog()));
    }
    stage.has_work().then(|| format!("{} has work", stage.changelog()))
}
