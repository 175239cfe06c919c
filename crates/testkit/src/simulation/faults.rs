//! What happens to workers and brokers, and when: drawn from the seed. Which kinds happen, and how often, differs from seed to seed,
//! so that each is met alone and in company. After a while nothing more is broken, and everything has to come to an end.

use super::world::{Life, MS, Micros, Node, ProcessId, Weather, Wish};
use super::{Ordering, Rc, Simulation};

/// Until then things break, in milliseconds.
pub(super) const CALM_MS: u64 = 12_000;
const CALM_AT: Micros = CALM_MS * MS;
/// What is not settled by then never will be.
pub(super) const GIVE_UP_AT: Micros = 90_000 * MS;
/// How long a group without members waits until its positions are forgotten, at most.
const IDLE: Micros = 6_000 * MS;

/// What is to be done to workers.
#[derive(Clone, Debug)]
pub(super) enum Order {
    /// Something breaks, and then again.
    Chaos,
    /// Nothing breaks any more.
    Calm,
    Look,
    Spawn(usize, Option<String>),
    Resume(ProcessId),
    Kill(ProcessId),
    /// Forget the positions of a group, if it can be.
    Expire(usize),
}

impl Simulation {
    fn order(&self, delay: Micros, order: Order) {
        let orders = Rc::clone(&self.orders);
        self.shared.borrow_mut().after(delay, move |_| orders.borrow_mut().push(order));
    }

    /// How this seed is going to be.
    pub(super) fn plan(&mut self) {
        for role in 0..self.roles.len() {
            self.spawn(role, None);
            self.spawn(role, None);
        }
        {
            let mut world = self.shared.borrow_mut();
            let mut some = |often: u64, most: u64| match world.random.chance(often) {
                true => world.random.between(1, most),
                false => 0,
            };
            let weather = Weather {
                lost: some(600, 15),
                late: some(600, 25),
                late_end: some(500, 80),
                late_marker: some(700, 300),
                refused: some(600, 150),
                stop_at_call: some(600, 4),
            };
            world.weather = weather;
        }
        self.order(CALM_AT, Order::Calm);
        let first = self.shared.borrow_mut().random.between(50 * MS, 1_500 * MS);
        self.order(first, Order::Chaos);
    }

    /// Whether the end has come: everything is read and nothing open.
    pub(super) fn is_over(&mut self, now: Micros) -> bool {
        let looks = std::mem::take(&mut *self.reports.borrow_mut().entry("looked").or_default());
        now > (super::LAST_INPUT_MS + 100) * MS && looks > 0 && self.unsettled().is_none()
    }

    /// Does what is due.
    pub(super) fn obey(&mut self) {
        loop {
            let wishes = std::mem::take(&mut self.shared.borrow_mut().wishes);
            let orders = std::mem::take(&mut *self.orders.borrow_mut());
            if wishes.is_empty() && orders.is_empty() {
                return;
            }
            for (process, wish) in wishes {
                match wish {
                    Wish::Kill => self.kill_and_replace(process),
                    Wish::Pause(duration) => self.pause(process, duration),
                }
            }
            for order in orders {
                self.obey_one(order);
            }
            self.poll_woken();
        }
    }

    fn obey_one(&mut self, order: Order) {
        match order {
            Order::Chaos => {
                if self.shared.borrow().now < CALM_AT {
                    self.break_something();
                    let next = self.shared.borrow_mut().random.between(100 * MS, 1_600 * MS);
                    self.order(next, Order::Chaos);
                }
            }
            Order::Calm => {
                self.shared.borrow_mut().weather = Weather::default();
                for role in 0..self.roles.len() {
                    self.order(IDLE, Order::Spawn(role, None));
                }
                self.order(100 * MS, Order::Look);
            }
            Order::Look => {
                *self.reports.borrow_mut().entry("looked").or_default() += 1;
                self.order(200 * MS, Order::Look);
            }
            Order::Spawn(role, name) => {
                let (now, idle_until) = (self.shared.borrow().now, self.roles[role].idle_until);
                if now < idle_until {
                    self.order(idle_until - now, Order::Spawn(role, name));
                } else if self.workers.iter().filter(|worker| worker.role == role).count() < 4 {
                    self.spawn(role, name);
                }
            }
            Order::Resume(process) => {
                self.shared.borrow().tell(|| format!("{process:?} goes on"));
                self.shared.borrow_mut().resume(process);
            }
            Order::Kill(process) => self.kill(process),
            Order::Expire(role) => self.expire(role),
        }
    }

    fn kill(&mut self, process: ProcessId) {
        self.shared.borrow().tell(|| format!("{process:?} is killed"));
        self.shared.borrow_mut().kill(process);
        self.workers.retain(|worker| worker.process != process);
    }

    /// Kills a worker; later another one takes its place, mostly under its name.
    fn kill_and_replace(&mut self, process: ProcessId) {
        let Some(worker) = self.workers.iter().find(|worker| worker.process == process) else { return };
        let (role, name) = (worker.role, worker.transactional_id.clone());
        self.kill(process);
        let (delay, is_same) = {
            let mut world = self.shared.borrow_mut();
            world.count("worker killed");
            (world.random.between(20 * MS, 3_000 * MS), world.random.chance(600))
        };
        self.order(delay, Order::Spawn(role, is_same.then_some(name)));
    }

    /// Pauses a worker. Somebody may take it for dead and start another one under its name; then it does not live long afterwards.
    fn pause(&mut self, process: ProcessId, duration: Micros) {
        let Some(worker) = self.workers.iter().find(|worker| worker.process == process) else { return };
        let (role, name) = (worker.role, worker.transactional_id.clone());
        let is_replaced = {
            let mut world = self.shared.borrow_mut();
            if world.life(process) != Life::Running {
                return;
            }
            world.pause(process);
            world.tell(|| format!("{process:?} is paused"));
            world.count("worker paused");
            world.random.chance(300)
        };
        self.order(duration, Order::Resume(process));
        if is_replaced {
            let (early, late) = {
                let mut world = self.shared.borrow_mut();
                world.count("paused worker replaced under its name");
                (world.random.between(0, duration), world.random.between(MS, 800 * MS))
            };
            self.order(early, Order::Spawn(role, Some(name)));
            self.order(duration + late, Order::Kill(process));
        }
    }

    fn break_something(&mut self) {
        let kind = self.shared.borrow_mut().random.below(100);
        let victim = {
            let count = self.workers.len();
            let at = self.shared.borrow_mut().random.index(count.max(1));
            self.workers.get(at).map(|worker| (worker.process, worker.role))
        };
        let duration = self.shared.borrow_mut().random.between(100 * MS, 6_000 * MS);
        match (kind, victim) {
            (0..20, Some((process, _))) => self.kill_and_replace(process),
            (20..40, Some((process, _))) => self.pause(process, duration),
            (40..50, _) => {
                let role = self.shared.borrow_mut().random.index(self.roles.len());
                self.shared.borrow_mut().count("worker added");
                self.obey_one(Order::Spawn(role, None));
            }
            (50..60, Some((process, role))) => {
                self.shared.borrow_mut().count("worker stopped");
                self.stop(process);
                self.order(duration, Order::Spawn(role, None));
            }
            (60..70, _) => self.shared.borrow_mut().restart_broker(duration / 3),
            (70..75, _) => {
                let group = self.shared.borrow_mut().random.index(self.roles.len());
                self.shared.borrow_mut().fail_over(Node::Group(self.roles[group].group), duration / 4);
            }
            (75..85, _) => {
                let mut world = self.shared.borrow_mut();
                let count = world.transactions.count();
                let id = world.random.index(count.max(1));
                world.fail_over(Node::Transactions(id), duration / 4);
            }
            (85..89, _) => {
                let role = self.shared.borrow_mut().random.index(self.roles.len());
                self.go_idle(role);
            }
            (89.., _) => self.compact(),
            (_, None) => {}
        }
    }

    fn stop(&mut self, process: ProcessId) {
        if let Some(worker) = self.workers.iter().find(|worker| worker.process == process) {
            worker.stop.store(true, Ordering::Relaxed);
        }
    }

    /// All workers of a group stop, for as long as the group needs to forget its positions.
    fn go_idle(&mut self, role: usize) {
        let now = self.shared.borrow().now;
        self.roles[role].idle_until = now + IDLE;
        let all: Vec<ProcessId> =
            self.workers.iter().filter(|worker| worker.role == role).map(|worker| worker.process).collect();
        for process in all {
            let is_orderly = self.shared.borrow_mut().random.chance(700);
            if is_orderly {
                self.stop(process);
                self.order(IDLE / 2, Order::Kill(process));
            } else {
                self.kill(process);
            }
        }
        self.order(IDLE * 3 / 4, Order::Expire(role));
        self.order(IDLE, Order::Spawn(role, None));
        self.order(IDLE, Order::Spawn(role, None));
    }

    fn expire(&mut self, role: usize) {
        let group = self.roles[role].group;
        let mut world = self.shared.borrow_mut();
        let now = world.now;
        if world.groups[group].expire() {
            world.count("positions expired");
            drop(world);
            self.roles[role].idle_until = now;
        } else if now < self.roles[role].idle_until {
            drop(world);
            self.order(200 * MS, Order::Expire(role));
        }
    }

    fn compact(&mut self) {
        let mut world = self.shared.borrow_mut();
        world.count("compaction");
        let logs = world.topics.iter_mut().filter(|topic| topic.name.ends_with("-changelog"));
        logs.flat_map(|topic| &mut topic.partitions).for_each(super::PartitionLog::compact);
    }
}
