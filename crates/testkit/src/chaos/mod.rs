//! A deployment in trouble: worker processes that are killed, frozen, added and taken away, and brokers that restart, while usage comes in.
//!
//! It only makes trouble; whether anything was lost or doubled says [`crate::verify`].

mod directed;

pub use directed::{DirectedLog, Direction, Directions, Moment, Transactions};

use crate::generator::random::Random;
use crate::services::{Kafka, ServiceError};
use rustix::process::{Pid, Signal, kill_process};
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Most worker processes at once.
const MOST_WORKERS: usize = 5;
/// Fewest that are left alone.
const FEWEST_WORKERS: usize = 2;
/// Transactions that are committed between two troubles. A group waits six seconds for a member that was killed: without this, troubles follow so
/// fast that hardly anything is done before they are over.
const TRANSACTIONS_BETWEEN: u64 = 12;
/// How long these are waited for.
const WORK_LIMIT: Duration = Duration::from_secs(12);
/// How long trouble may last that does not come to enough when everything is sent.
const TROUBLE_LIMIT: Duration = Duration::from_secs(600);
/// Exit code of a worker with a call that does not return, as that of `rater run`.
pub const CALL_HANGS: i32 = 3;

/// How much trouble.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Decides what happens when.
    pub seed: u64,
    /// Worker processes at the start.
    pub workers: usize,
    /// Processes killed, directed ones included, before it ends.
    pub kills: u32,
    /// How many of these kill themselves at least.
    pub directed: u32,
    /// Times that the brokers are restarted.
    pub restarts: u32,
    /// Longest pause between two troubles.
    pub pause: Duration,
}

/// What happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trouble {
    /// Killed from outside, at any moment.
    pub killed: u32,
    /// Killed by themselves, at one of the worst moments of a transaction.
    pub killed_directed: u32,
    /// Stopped and let go on, from outside or by themselves.
    pub frozen: u32,
    /// Of these: for longer than the group waits for a member.
    pub zombies: u32,
    /// Added.
    pub added: u32,
    /// Asked to end.
    pub removed: u32,
    /// Restarts of the brokers.
    pub restarts: u32,
    /// Ended because a call did not return.
    pub hung: u32,
    /// Transactions that were committed meanwhile.
    pub transactions: u64,
}

impl Trouble {
    /// All that were killed.
    #[must_use]
    pub fn kills(self) -> u32 {
        self.killed + self.killed_directed
    }

    fn is_enough(self, plan: Plan) -> bool {
        self.kills() >= plan.kills && self.killed_directed >= plan.directed && self.restarts >= plan.restarts
    }
}

/// Turns an error into its text, which is all that is shown of it.
pub fn in_words(error: impl fmt::Display) -> String {
    error.to_string()
}

/// What a worker process does to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// It may end or freeze at one of the worst moments of a transaction.
    Directed,
    /// Nothing.
    Calm,
}

/// Worker processes.
pub struct Workers<'w> {
    /// Starts one; `--instance NAME --seed N` are added.
    command: &'w dyn Fn(Mood) -> Command,
    mood: Mood,
    folder: &'w Path,
    random: Random,
    running: Vec<Worker>,
    started: u32,
    /// Processes at the start.
    at_start: usize,
    trouble: Trouble,
}

struct Worker {
    child: Child,
    name: String,
    log: PathBuf,
    /// When it is let go on.
    frozen_until: Option<Instant>,
    /// Killed from outside.
    is_killed: bool,
}

impl<'w> Workers<'w> {
    /// Starts the first ones. Each writes what it tells to a file in the folder.
    ///
    /// # Errors
    /// A process cannot be started.
    pub fn start(command: &'w dyn Fn(Mood) -> Command, folder: &'w Path, plan: Plan) -> io::Result<Workers<'w>> {
        let random = Random::new(plan.seed);
        let mut workers = Workers {
            command,
            mood: Mood::Directed,
            folder,
            random,
            running: Vec::new(),
            started: 0,
            at_start: plan.workers,
            trouble: Trouble::default(),
        };
        workers.start_all(Mood::Directed)?;
        Ok(workers)
    }

    /// Makes trouble until there was enough of it and `is_done`, and then has as many workers as at the start, alone and well. Between two troubles
    /// `meanwhile` is called with what has happened so far.
    ///
    /// # Errors
    /// A worker that stopped by itself, with what it told; brokers that do not come back; trouble that does not come to what is planned; or what
    /// `meanwhile` answers.
    pub fn torment(
        &mut self,
        kafka: &Kafka,
        plan: Plan,
        is_done: &dyn Fn() -> bool,
        meanwhile: &mut dyn FnMut(Trouble) -> Result<(), String>,
    ) -> Result<Trouble, String> {
        let mut done_since = Instant::now();
        loop {
            if !is_done() {
                done_since = Instant::now();
            } else if self.trouble.is_enough(plan) {
                break;
            } else if done_since.elapsed() > TROUBLE_LIMIT {
                let seconds = TROUBLE_LIMIT.as_secs();
                return Err(format!("{plan:?}, but only {:?} {seconds} s after everything was sent", self.trouble));
            }
            let longest = u64::try_from(plan.pause.as_millis()).unwrap_or(u64::MAX);
            thread::sleep(Duration::from_millis(self.random.between(50, longest.max(51))));
            self.let_work()?;
            meanwhile(self.trouble)?;
            let at = self.random.index(self.running.len());
            // Room is left for those who kill themselves.
            let is_killing = self.trouble.killed < plan.kills.saturating_sub(plan.directed);
            let is_only_restarting = self.trouble.kills() >= plan.kills && self.trouble.restarts < plan.restarts;
            match if is_only_restarting { 19 } else { self.random.below(20) } {
                0..=8 if is_killing => {
                    self.trouble.killed += 1;
                    self.signal(at, Signal::KILL);
                    if let Some(worker) = self.running.get_mut(at) {
                        worker.is_killed = true;
                    }
                }
                9..=12 => {
                    let seconds = *self.random.pick(&[1, 2, 9]);
                    self.freeze(at, Duration::from_secs(seconds));
                }
                13..=15 if self.running.len() < MOST_WORKERS => {
                    self.trouble.added += 1;
                    self.add().map_err(in_words)?;
                }
                16..=18 if self.running.len() > FEWEST_WORKERS => {
                    self.trouble.removed += 1;
                    self.remove(at).map_err(in_words)?;
                }
                19 if self.trouble.restarts < plan.restarts => {
                    self.trouble.restarts += 1;
                    self.restart(kafka).map_err(in_words)?;
                }
                _ => {}
            }
        }
        self.calm().map_err(in_words)?;
        Ok(self.trouble)
    }

    /// Restarts the only broker in order; of several, kills one and starts it again after a while.
    fn restart(&mut self, kafka: &Kafka) -> Result<(), ServiceError> {
        match kafka.brokers() {
            [] | [_] => kafka.restart(),
            brokers => {
                let broker = &brokers[self.random.index(brokers.len())];
                broker.kill()?;
                thread::sleep(Duration::from_millis(self.random.between(0, 15_000)));
                broker.restart()
            }
        }
    }

    /// Waits until something is done again: trouble in what stands still is none.
    fn let_work(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + WORK_LIMIT;
        let before = self.trouble.transactions;
        loop {
            self.look_after()?;
            self.trouble.transactions = Transactions::count(self.folder);
            if self.trouble.transactions >= before + TRANSACTIONS_BETWEEN || Instant::now() >= deadline {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn add(&mut self) -> io::Result<()> {
        self.started += 1;
        let name = format!("w{}", self.started);
        let log = self.folder.join(format!("{name}.log"));
        let mut command = (self.command)(self.mood);
        command.args(["--instance", &name, "--seed", &self.started.to_string()]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log)?).spawn()?;
        self.running.push(Worker { child, name, log, frozen_until: None, is_killed: false });
        Ok(())
    }

    /// Asks one to end and waits for it.
    fn remove(&mut self, at: usize) -> io::Result<()> {
        self.signal(at, Signal::TERM);
        let mut worker = self.running.swap_remove(at);
        while worker.child.try_wait()?.is_none() {
            // It may freeze itself once more on its way out.
            if is_stopped(worker.child.id()) {
                signal_to(&worker, Signal::CONT);
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn signal(&self, at: usize, signal: Signal) {
        if let Some(worker) = self.running.get(at) {
            signal_to(worker, signal);
        }
    }

    fn freeze(&mut self, at: usize, length: Duration) {
        self.signal(at, Signal::STOP);
        self.note_frozen(at, length);
    }

    fn note_frozen(&mut self, at: usize, length: Duration) {
        self.trouble.frozen += 1;
        self.trouble.zombies += u32::from(length > Duration::from_secs(6));
        if let Some(worker) = self.running.get_mut(at) {
            worker.frozen_until = Some(Instant::now() + length);
        }
    }

    /// Lets frozen ones go on in time, notices those that froze themselves, and replaces those that were killed.
    fn look_after(&mut self) -> Result<(), String> {
        for at in 0..self.running.len() {
            let Some(worker) = self.running.get_mut(at) else { continue };
            match worker.frozen_until {
                Some(until) if Instant::now() >= until => {
                    worker.frozen_until = None;
                    self.signal(at, Signal::CONT);
                }
                Some(_) => {}
                None if is_stopped(worker.child.id()) => {
                    let seconds = *self.random.pick(&[1, 9]);
                    self.note_frozen(at, Duration::from_secs(seconds));
                }
                None => {}
            }
        }
        let mut at = 0;
        while let Some(worker) = self.running.get_mut(at) {
            let Some(status) = worker.child.try_wait().map_err(in_words)? else {
                at += 1;
                continue;
            };
            let worker = self.running.swap_remove(at);
            self.note_end(&worker, status)?;
            self.add().map_err(in_words)?;
        }
        Ok(())
    }

    fn note_end(&mut self, worker: &Worker, status: ExitStatus) -> Result<(), String> {
        if status.signal() == Some(9) {
            self.trouble.killed_directed += u32::from(!worker.is_killed);
            return Ok(());
        }
        if status.code() == Some(CALL_HANGS) {
            self.trouble.hung += 1;
            return Ok(());
        }
        let told = std::fs::read_to_string(&worker.log).unwrap_or_default();
        Err(format!("worker {} stopped by itself with {status}:\n{}", worker.name, last_lines(&told)))
    }

    /// No more trouble: all are replaced by as many as at the start, who do nothing to themselves.
    fn calm(&mut self) -> io::Result<()> {
        while !self.running.is_empty() {
            self.remove(0)?;
        }
        self.start_all(Mood::Calm)
    }

    /// Stops all processes where they are.
    pub fn freeze_all(&self) {
        (0..self.running.len()).for_each(|at| self.signal(at, Signal::STOP));
    }

    /// Lets all processes go on.
    pub fn thaw_all(&self) {
        (0..self.running.len()).for_each(|at| self.signal(at, Signal::CONT));
    }

    /// Waits until all have ended by themselves with a code, after saying some words.
    ///
    /// # Errors
    /// One that goes on, or ends in another way.
    pub fn wait_until_all_end(&mut self, code: i32, words: &str, limit: Duration) -> Result<(), String> {
        let deadline = Instant::now() + limit;
        while let Some(mut worker) = self.running.pop() {
            let status = loop {
                if let Some(status) = worker.child.try_wait().map_err(in_words)? {
                    break status;
                }
                if Instant::now() >= deadline {
                    let name = worker.name.clone();
                    self.running.push(worker);
                    return Err(format!("worker {name} goes on, and does not say {words:?}"));
                }
                thread::sleep(Duration::from_millis(100));
            };
            let told = std::fs::read_to_string(&worker.log).unwrap_or_default();
            if status.code() != Some(code) || !told.contains(words) {
                let last = last_lines(&told);
                return Err(format!(
                    "worker {} ended with {status}, not with {code} and {words:?}:\n{last}",
                    worker.name
                ));
            }
        }
        Ok(())
    }

    /// Starts as many as at the start.
    ///
    /// # Errors
    /// A process cannot be started.
    pub fn start_all(&mut self, mood: Mood) -> io::Result<()> {
        self.mood = mood;
        (0..self.at_start).try_for_each(|_| self.add())
    }

    /// Starts as many as at the start with another command, as everybody from now on.
    ///
    /// # Errors
    /// A process cannot be started.
    pub fn start_as(&mut self, command: &'w dyn Fn(Mood) -> Command) -> io::Result<()> {
        self.command = command;
        self.start_all(Mood::Directed)
    }

    /// Watches over them until `is_done`.
    ///
    /// # Errors
    /// A worker that stopped by itself.
    pub fn keep(&mut self, is_done: &dyn Fn() -> bool) -> Result<(), String> {
        while !is_done() {
            thread::sleep(Duration::from_millis(100));
            self.look_after()?;
        }
        Ok(())
    }

    /// Asks all to end, and waits.
    ///
    /// # Errors
    /// A process that cannot be waited for.
    pub fn stop(mut self) -> io::Result<()> {
        while !self.running.is_empty() {
            self.remove(0)?;
        }
        Ok(())
    }
}

impl Drop for Workers<'_> {
    fn drop(&mut self) {
        for worker in &mut self.running {
            // Nothing more can be done about one that does not.
            let _ = worker.child.kill();
            let _ = worker.child.wait();
        }
    }
}

fn last_lines(text: &str) -> String {
    let last: Vec<&str> = text.lines().rev().take(20).collect();
    last.into_iter().rev().collect::<Vec<_>>().join("\n")
}

fn signal_to(worker: &Worker, signal: Signal) {
    let process = i32::try_from(worker.child.id()).ok().and_then(Pid::from_raw);
    if let Some(process) = process {
        // It may have ended meanwhile.
        let _ = kill_process(process, signal);
    }
}

/// Whether a process is stopped by a signal.
fn is_stopped(process: u32) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    state.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
}
