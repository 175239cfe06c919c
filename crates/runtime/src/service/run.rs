//! Workers on threads.

use super::deployment::{Deployment, Partitions, check_ticks, patiently, registry};
use super::names::{StageName, TopicNames};
use super::presence::{Name, Presence};
use super::ticker::Ticker;
use super::watch::{self, Call, CallLimits, Held, Post};
use super::watched::Watched;
use crate::kafka::{KafkaLog, KafkaSettings, block_on};
use crate::registry::RegistryConfig;
use crate::stages::{
    CycleSettings, CycleStage, Door, GuideInput, GuideSettings, GuideStage, Inbound, IntakeSettings, IntakeStage,
    RateSettings, RateStage, RecycleSettings, RecycleStage, ScratchSettings,
};
use crate::wire::{CloudEvents, FramedDecoder, Frames, Limits, Message};
use crate::worker::log::{GatherLimits, Log, LogError, Partition};
use crate::worker::{
    ForgottenPositions, GivenUp, NewTopic, RETRY_PAUSE, Report, Stage, StageError, Worker, WorkerError, WorkerSettings,
};
use directory::Directory;
use pipeline::{ControlMismatch, Doubts, Kind, Kinds};
use rating::Timestamp;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How many workers each stage has in this process; 0: it runs elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workers {
    /// Of intake.
    pub intake: u16,
    /// Of guide.
    pub guide: u16,
    /// Of rate.
    pub rate: u16,
    /// Of recycling.
    pub recycle: u16,
    /// Of cycle.
    pub cycle: u16,
}

impl Workers {
    pub(super) fn of(self, stage: StageName) -> u16 {
        match stage {
            StageName::Intake => self.intake,
            StageName::Guide => self.guide,
            StageName::Rate => self.rate,
            StageName::Recycle => self.recycle,
            StageName::Cycle => self.cycle,
        }
    }
}

/// How the service runs.
#[derive(Clone, Debug)]
pub struct ServiceSettings {
    /// The cluster.
    pub kafka: KafkaSettings,
    /// The schema registry; without one messages say their schema by fingerprint.
    pub registry: Option<RegistryConfig>,
    /// The topics.
    pub topics: TopicNames,
    /// Headers of what leaves; none where nobody wants them.
    pub events: Option<CloudEvents>,
    /// The workers.
    pub workers: Workers,
    /// Guide reads the inputs itself: those who write them send all copies of a record to the same partition.
    pub skip_intake: bool,
    /// When a batch is full.
    pub limits: GatherLimits,
    /// Names this process among all that run: part of transactional ids.
    pub instance: String,
    /// Whether somebody chose the name, so that another process may have been given the same: then it is held in the cluster.
    pub holds_instance: bool,
    /// How long a call into the client library, or whatever a stage calls, may take before the service stops.
    pub call_limit: Duration,
    /// Source of records that name none.
    pub default_source: String,
    /// How far ahead of now an event may be, in milliseconds.
    pub future_ms: i64,
    /// How far behind now usage may be, in milliseconds; `None` is any time.
    pub past_ms: Option<i64>,
    /// What else is doubted of records.
    pub doubts: Doubts,
    /// For how many hours behind the clock of ticks ids are remembered; `None` is for ever.
    pub duplicate_window_h: Option<u32>,
    /// For how many hours ids of commands are remembered, from their arrival on; for ever where record ids are.
    pub command_memory_h: u32,
    /// Hours behind the clock of ticks for which state is remembered; never fewer than those of a finite window of record ids.
    pub state_horizon_h: u32,
    /// Whether bundles that reference data grant are bought.
    pub buys_grants: bool,
    /// All endpoints of a store are gone through with every so many milliseconds of the clock, for what their plans grant.
    pub walk_every_ms: i64,
    /// How often ticks are written; `None`: others write them.
    pub tick_every: Option<Duration>,
    /// What happens where a group has forgotten a position.
    pub forgotten_positions: ForgottenPositions,
    /// Topics that may be others than those that the state was made from.
    pub topics_made_anew: Vec<NewTopic>,
    /// What is given up because somebody said so.
    pub given_up: GivenUp,
    /// For how many attempts what is unavailable is asked for again.
    pub attempts: u32,
    /// Where recycling keeps what is suspended.
    pub scratch: ScratchSettings,
    /// The time of day.
    pub now: fn() -> Timestamp,
}

impl ServiceSettings {
    /// How many workers a stage has in this process: none where nobody needs it.
    pub fn workers_of(&self, stage: StageName) -> u16 {
        match stage {
            StageName::Intake if self.skip_intake => 0,
            StageName::Intake | StageName::Guide | StageName::Rate | StageName::Recycle | StageName::Cycle => {
                self.workers.of(stage)
            }
        }
    }

    /// The topics that a stage reads.
    pub fn inputs_of(&self, stage: StageName) -> Vec<String> {
        match stage {
            StageName::Guide if !self.skip_intake => vec![self.topics.intaken()],
            StageName::Intake | StageName::Guide => self.topics.inputs(),
            StageName::Rate => vec![self.topics.guided()],
            StageName::Recycle => vec![self.topics.waiting()],
            StageName::Cycle => vec![self.topics.ticks()],
        }
    }
}

/// What the service tells while it runs.
#[derive(Debug)]
pub enum ServiceReport<'r> {
    /// One of its workers.
    Worker(WorkerReport<'r>),
    /// Ticks were written, or could not be.
    Ticked(Result<(), &'r str>),
    /// Why the process cannot be at work in the cluster, whenever that changes; `None` if it can.
    Absent(Option<&'r str>),
    /// A thread has been inside of one call for long, or has come out of it.
    Held(&'r Held),
}

/// What a worker tells.
#[derive(Debug)]
pub struct WorkerReport<'r> {
    /// Its stage.
    pub stage: StageName,
    /// Its number within the stage and process.
    pub number: u16,
    /// What it tells.
    pub report: Report<'r>,
}

impl WorkerReport<'_> {
    /// Whether a worker tells of a partition that one worker of the deployment owns beside which ticks stand: what each of many reads is told once.
    pub fn is_first_to_read(&self, partition: Partition) -> bool {
        !matches!(self.stage, StageName::Recycle | StageName::Cycle) && partition == Partition { topic: 0, number: 0 }
    }
}

/// Why the service stopped by itself.
#[derive(Debug)]
pub enum ServiceError {
    /// A worker stopped; all others were stopped then.
    Worker {
        /// Its stage.
        stage: StageName,
        /// Its number within the stage and process.
        number: u16,
        /// Why.
        error: WorkerError,
    },
    /// Something outside, before any worker began.
    Surroundings(LogError),
    /// Settings or topics that do not fit together.
    Configuration(String),
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServiceError::Worker { stage, number, error } => write!(f, "{} {number}: {error}", stage.name()),
            ServiceError::Surroundings(error) => error.fmt(f),
            ServiceError::Configuration(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for ServiceError {}

impl From<LogError> for ServiceError {
    fn from(error: LogError) -> ServiceError {
        ServiceError::Surroundings(error)
    }
}

/// Runs until `stop` is set, or a worker stops by itself.
///
/// # Errors
/// See [`ServiceError`].
pub fn run(
    settings: &ServiceSettings,
    directory: &Arc<dyn Directory>,
    stop: &AtomicBool,
    report: &(dyn Fn(ServiceReport<'_>) + Sync),
) -> Result<(), ServiceError> {
    let log = KafkaLog::new(settings.kafka.clone())?;
    check_ticks(settings)?;
    check_scratch(settings)?;
    run_on(&log, settings, directory, stop, report)
}

/// Tries to make the scratch file, which is needed only once much is suspended.
fn check_scratch(settings: &ServiceSettings) -> Result<(), ServiceError> {
    match settings.workers_of(StageName::Recycle) {
        0 => Ok(()),
        _ => settings.scratch.check().map_err(ServiceError::Configuration),
    }
}

/// The same on any log whose calls block, such as one that fails on purpose.
///
/// # Errors
/// See [`ServiceError`].
pub fn run_on<L: Log + Sync>(
    log: &L,
    settings: &ServiceSettings,
    directory: &Arc<dyn Directory>,
    stop: &AtomicBool,
    report: &(dyn Fn(ServiceReport<'_>) + Sync),
) -> Result<(), ServiceError> {
    let Some(Deployment { inputs, partitions, frames }) = patiently(log, settings, stop, report)? else {
        return Ok(());
    };
    let is_named = AtomicBool::new(false);
    let failure = Mutex::new(None);
    let service =
        Service { settings, directory, log, inputs: &inputs, partitions, frames, stop, report, is_named, failure };
    let duties: Vec<Duty> = Duty::all(settings).collect();
    let posts: Vec<Post> = duties.iter().map(Duty::post).collect();
    std::thread::scope(|scope| {
        let service = &service;
        let mut threads = Vec::with_capacity(duties.len());
        for (duty, post) in duties.into_iter().zip(&posts) {
            // Named, so that tools that look at threads can tell the stages apart.
            let thread = std::thread::Builder::new().name(duty.to_string().replace(' ', "-"));
            match thread.spawn_scoped(scope, move || service.do_duty(duty, post)) {
                Ok(thread) => threads.push(thread),
                Err(error) => service.fail(ServiceError::Configuration(format!("no thread for {duty}: {error}"))),
            }
        }
        let limits = CallLimits { most: settings.call_limit, gather: settings.limits.wait };
        let is_over = || threads.iter().all(std::thread::ScopedJoinHandle::is_finished);
        watch::watch(&posts, limits, is_over, |held| {
            report(ServiceReport::Held(held));
            if held.is_beyond {
                service.fail(LogError::Unavailable(held.to_string()).into());
            }
        });
    });
    let failure = service.failure.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    failure.map_or(Ok(()), Err)
}

/// What a thread of the service does.
#[derive(Clone, Copy, Debug)]
enum Duty {
    Work(StageName, u16),
    /// Writes ticks, so often.
    Tick(Duration),
    /// Holds the name, and asks whether the cluster answers.
    BePresent,
}

impl Duty {
    fn all(settings: &ServiceSettings) -> impl Iterator<Item = Duty> {
        let of = |stage| (0..settings.workers_of(stage)).map(move |number| Duty::Work(stage, number));
        let ticks = settings.tick_every.map(Duty::Tick);
        std::iter::once(Duty::BePresent).chain(StageName::ALL.into_iter().flat_map(of)).chain(ticks)
    }

    fn post(&self) -> Post {
        match self {
            Duty::Work(..) | Duty::Tick(_) => Post::new(self.to_string()),
            Duty::BePresent => Post::of_asker(self.to_string()),
        }
    }
}

impl fmt::Display for Duty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Duty::Work(stage, number) => write!(f, "{} {number}", stage.name()),
            Duty::Tick(_) => f.write_str("ticker"),
            Duty::BePresent => f.write_str("presence"),
        }
    }
}

/// What the workers of a process share.
struct Service<'s, L> {
    settings: &'s ServiceSettings,
    directory: &'s Arc<dyn Directory>,
    log: &'s L,
    /// What comes from outside, with the partitions of each.
    inputs: &'s [(String, u32)],
    partitions: Partitions,
    frames: Frames,
    stop: &'s AtomicBool,
    report: &'s (dyn Fn(ServiceReport<'_>) + Sync),
    /// Whether workers may begin: no other process has the name.
    is_named: AtomicBool,
    /// Of the first worker that stopped by itself.
    failure: Mutex<Option<ServiceError>>,
}

impl<L: Log> Service<'_, L> {
    /// What one thread does, to its end.
    fn do_duty(&self, duty: Duty, post: &Post) {
        post.move_to(Call::Own);
        let log = Watched { log: self.log, post };
        if !matches!(duty, Duty::BePresent) {
            self.wait_for_the_name(post);
        }
        match duty {
            Duty::Work(stage, number) => self.work_or_stop(stage, number, || self.work(&log, stage, number)),
            Duty::Tick(every) => self.tick(&log, every),
            Duty::BePresent => self.be_present(&log),
        }
        post.move_to(Call::Nothing);
    }

    /// Works, and stops all workers if an assumption turns out to be broken: what the worker was about to commit stays undone.
    fn work_or_stop(&self, stage: StageName, number: u16, work: impl FnOnce()) {
        let Err(panic) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)) else { return };
        let said = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        let detail = said.unwrap_or("without a word").to_owned();
        let error = WorkerError::Stage(StageError::Control(ControlMismatch { check: "assumption", detail }));
        self.fail(ServiceError::Worker { stage, number, error });
    }

    fn wait_for_the_name(&self, post: &Post) {
        while !self.is_named.load(Ordering::Relaxed) && !self.stop.load(Ordering::Relaxed) {
            post.move_to(Call::Own);
            std::thread::sleep(RETRY_PAUSE);
        }
    }

    fn tick(&self, log: &impl Log, every: Duration) {
        let TopicNames { prefix, .. } = &self.settings.topics;
        let transactional_id = format!("{prefix}rater-ticker-{}", self.settings.instance);
        let topic = self.settings.topics.ticks();
        let ticker = Ticker { log, topic, transactional_id, every, now: self.settings.now };
        ticker.run(self.stop, |ticked| (self.report)(ServiceReport::Ticked(ticked)));
    }

    fn be_present(&self, log: &impl Log) {
        let ServiceSettings { topics, instance, kafka, .. } = self.settings;
        let of = |(topic, count): (String, u32)| (0..count).map(move |number| (topic.clone(), number));
        let guided = (topics.guided(), self.partitions.guided);
        let name = Name {
            instance: instance.clone(),
            group: topics.group_of_instance(instance),
            patience: kafka.timeouts.session * 3,
        };
        let presence = Presence {
            log,
            name: self.settings.holds_instance.then_some(name),
            ticks: topics.ticks(),
            places: self.inputs.iter().cloned().chain([guided]).flat_map(of).collect(),
        };
        let tell = |why: Option<&str>| (self.report)(ServiceReport::Absent(why));
        if let Err(why) = presence.run(self.stop, &self.is_named, tell) {
            self.fail(ServiceError::Configuration(why));
        }
    }

    /// One worker, on its own thread, to its end.
    fn work(&self, log: &impl Log, stage: StageName, number: u16) {
        let _span = tracing::info_span!("worker", stage = stage.name(), worker = number).entered();
        let outcome = match stage {
            StageName::Intake => self.inbound().and_then(|inbound| self.run(log, stage, number, self.intake(inbound))),
            StageName::Guide => self.inbound().and_then(|inbound| self.run(log, stage, number, self.guide(inbound))),
            StageName::Rate => self.run(log, stage, number, self.rate()),
            StageName::Recycle => self.run(log, stage, number, self.recycle()),
            StageName::Cycle => self.run(log, stage, number, self.cycle()),
        };
        let why = outcome.as_ref().err().map(ToString::to_string);
        self.tell(stage, number, Report::Ended(why.as_deref()));
        if let Err(error) = outcome {
            self.fail(error);
        }
    }

    fn tell(&self, stage: StageName, number: u16, report: Report<'_>) {
        (self.report)(ServiceReport::Worker(WorkerReport { stage, number, report }));
    }

    /// Stops all workers because of an error, of which the first one counts.
    fn fail(&self, error: ServiceError) {
        self.failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get_or_insert(error);
        self.stop.store(true, Ordering::Relaxed);
    }

    fn run(&self, log: &impl Log, stage: StageName, number: u16, machine: impl Stage) -> Result<(), ServiceError> {
        let ServiceSettings { topics, limits, instance, .. } = self.settings;
        let settings = WorkerSettings {
            group: topics.group(stage),
            transactional_id: format!("{}rater-{}-{instance}-{number}", topics.prefix, stage.name()),
            limits: *limits,
            attempts: self.settings.attempts,
            forgotten_positions: self.settings.forgotten_positions,
            topics_made_anew: self.settings.topics_made_anew.clone(),
            given_up: self.settings.given_up.clone(),
        };
        let report = |report: Report<'_>| self.tell(stage, number, report);
        let mut worker = Worker::new(log, machine, settings, self.stop, &report).with_clock(self.settings.now);
        block_on(worker.run()).map_err(|error| ServiceError::Worker { stage, number, error })
    }

    fn inbound(&self) -> Result<Inbound, ServiceError> {
        let decoder = FramedDecoder::new(registry(self.settings)?, Limits::default());
        let decoder = decoder.map_err(ServiceError::Configuration)?;
        let ServiceSettings { default_source, future_ms, past_ms, doubts, now, .. } = self.settings;
        let is_usage = |name: &String| self.settings.topics.usage.contains(name);
        let door = |(name, partitions): &(String, u32)| Door {
            kinds: Kinds::only(if is_usage(name) { Kind::Usage } else { Kind::Command }),
            partitions: *partitions,
        };
        let doors = self.inputs.iter().map(door).collect();
        let inbound = Inbound::new(decoder, default_source, *future_ms, *now).with_doors(doors);
        Ok(inbound.doubting(*past_ms, doubts))
    }

    fn intake(&self, inbound: Inbound) -> IntakeStage {
        let topics = &self.settings.topics;
        let settings = IntakeSettings {
            inputs: topics.inputs(),
            ticks: topics.ticks(),
            retries: topics.retries(),
            changelog: topics.changelog(StageName::Intake),
            intaken: topics.intaken(),
            intaken_partitions: self.partitions.intaken,
            suspense: topics.output(Message::Suspense),
            waiting: topics.waiting(),
            frames: self.frames,
            events: self.settings.events.clone(),
        };
        IntakeStage::new(settings, inbound)
    }

    fn guide(&self, inbound: Inbound) -> GuideStage {
        let topics = &self.settings.topics;
        let input = match self.settings.skip_intake {
            true => GuideInput::Usage { inputs: topics.inputs(), ticks: topics.ticks(), retries: topics.retries() },
            false => GuideInput::Intaken { senders: self.partitions.inputs },
        };
        let settings = GuideSettings {
            input,
            intaken: topics.intaken(),
            changelog: topics.changelog(StageName::Guide),
            guided: topics.guided(),
            guided_partitions: self.partitions.guided,
            suspense: topics.output(Message::Suspense),
            waiting: topics.waiting(),
            notifications: topics.output(Message::Notification),
            replies: topics.output(Message::CommandReply),
            frames: self.frames,
            events: self.settings.events.clone(),
            duplicate_window_h: self.settings.duplicate_window_h,
            command_memory_h: self.settings.command_memory_h,
            state_horizon_h: self.settings.state_horizon_h,
        };
        GuideStage::new(settings, inbound, self.directory.clone())
    }

    fn recycle(&self) -> RecycleStage {
        let topics = &self.settings.topics;
        RecycleStage::new(RecycleSettings {
            waiting: topics.waiting(),
            ticks: topics.ticks(),
            changelog: topics.changelog(StageName::Recycle),
            inputs: self.inputs.to_vec(),
            retries: topics.retries(),
            suspense: topics.output(Message::Suspense),
            frames: self.frames,
            events: self.settings.events.clone(),
            future_ms: self.settings.future_ms,
            scratch: self.settings.scratch.clone(),
        })
    }

    fn cycle(&self) -> CycleStage {
        let topics = &self.settings.topics;
        let settings = CycleSettings {
            ticks: topics.ticks(),
            changelog: topics.changelog(StageName::Cycle),
            guided: topics.guided(),
            guided_partitions: self.partitions.guided,
            notifications: topics.output(Message::Notification),
            replies: topics.output(Message::CommandReply),
            frames: self.frames,
            events: self.settings.events.clone(),
            default_source: self.settings.default_source.clone(),
            buys_grants: self.settings.buys_grants,
            walk_every_ms: self.settings.walk_every_ms,
            future_ms: self.settings.future_ms,
            now: self.settings.now,
        };
        CycleStage::new(settings, self.directory.clone())
    }

    fn rate(&self) -> RateStage {
        let topics = &self.settings.topics;
        let senders = if self.settings.skip_intake { self.partitions.inputs } else { self.partitions.intaken as usize };
        RateStage::new(RateSettings {
            guided: topics.guided(),
            guided_partitions: self.partitions.guided,
            senders,
            timeless: topics.ticks(),
            changelog: topics.changelog(StageName::Rate),
            charges: topics.output(Message::Charge),
            deltas: topics.output(Message::BalanceDelta),
            notifications: topics.output(Message::Notification),
            suspense: topics.output(Message::Suspense),
            waiting: topics.waiting(),
            replies: topics.output(Message::CommandReply),
            life_events: topics.output(Message::LifeEvent),
            frames: self.frames,
            events: self.settings.events.clone(),
            duplicate_window_h: self.settings.duplicate_window_h,
            state_horizon_h: self.settings.state_horizon_h,
        })
    }
}
