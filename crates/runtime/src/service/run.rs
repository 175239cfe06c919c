//! Workers on threads.

use super::names::{StageName, TopicNames};
use super::ticker::Ticker;
use crate::kafka::{FoundTopic, KafkaAdmin, KafkaLog, KafkaSettings, block_on};
use crate::registry::{Registry, RegistryConfig};
use crate::stages::{
    Door, GuideInput, GuideSettings, GuideStage, Inbound, IntakeSettings, IntakeStage, RateSettings, RateStage,
    RecycleSettings, RecycleStage,
};
use crate::wire::{CloudEvents, FramedDecoder, Frames, Limits, Message, Registration};
use crate::worker::log::{GatherLimits, Log, LogError, Partition};
use crate::worker::{ForgottenPositions, NewTopic, RETRY_PAUSE, Report, Stage, Worker, WorkerError, WorkerSettings};
use directory::Directory;
use pipeline::{Doubts, Kind, Kinds};
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
}

impl Workers {
    fn of(self, stage: StageName) -> u16 {
        match stage {
            StageName::Intake => self.intake,
            StageName::Guide => self.guide,
            StageName::Rate => self.rate,
            StageName::Recycle => self.recycle,
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
    /// Hours behind the clock of ticks for which sessions are remembered; never fewer than those of a finite window of record ids.
    pub state_horizon_h: u32,
    /// How often ticks are written; `None`: others write them.
    pub tick_every: Option<Duration>,
    /// What happens where a group has forgotten a position.
    pub forgotten_positions: ForgottenPositions,
    /// Topics that may be others than those that the state was made from.
    pub topics_made_anew: Vec<NewTopic>,
    /// For how many attempts what is unavailable is asked for again.
    pub attempts: u32,
    /// The time of day.
    pub now: fn() -> Timestamp,
}

impl ServiceSettings {
    /// How many workers a stage has in this process: none where nobody needs it.
    pub fn workers_of(&self, stage: StageName) -> u16 {
        match stage {
            StageName::Intake if self.skip_intake => 0,
            StageName::Intake | StageName::Guide | StageName::Rate | StageName::Recycle => self.workers.of(stage),
        }
    }

    /// The topics that a stage reads.
    pub fn inputs_of(&self, stage: StageName) -> Vec<String> {
        match stage {
            StageName::Guide if !self.skip_intake => vec![self.topics.intaken()],
            StageName::Intake | StageName::Guide => self.topics.inputs(),
            StageName::Rate => vec![self.topics.guided()],
            StageName::Recycle => vec![self.topics.waiting()],
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
        self.stage != StageName::Recycle && partition == Partition { topic: 0, number: 0 }
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

/// How many partitions the topics have that workers care for.
#[derive(Clone, Copy, Debug)]
struct Partitions {
    /// Of all inputs together.
    inputs: usize,
    intaken: u32,
    guided: u32,
    waiting: u32,
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
    run_on(&log, settings, directory, stop, report)
}

/// Ticks are measured by when the log appended them. Where nobody may ask for a topic's settings, ticks that are not dated are refused one by one.
fn check_ticks(settings: &ServiceSettings) -> Result<(), ServiceError> {
    let topic = settings.topics.ticks();
    let found = KafkaAdmin::new(settings.kafka.clone())?.find(std::slice::from_ref(&topic)).unwrap_or_default();
    match found.get(&topic).is_some_and(FoundTopic::is_dated_by_writers) {
        false => Ok(()),
        true => Err(ServiceError::Configuration(format!(
            "topic {topic}: message.timestamp.type is CreateTime, but ticks are measured by when they are appended: LogAppendTime is needed; \
             `rater topics apply` sets it"
        ))),
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
    let failure = Mutex::new(None);
    let service = Service { settings, directory, log, inputs: &inputs, partitions, frames, stop, report, failure };
    std::thread::scope(|scope| {
        let service = &service;
        for stage in StageName::ALL {
            for number in 0..settings.workers_of(stage) {
                // Named, so that tools that look at threads can tell the stages apart.
                let thread = std::thread::Builder::new().name(format!("{}-{number}", stage.name()));
                if let Err(error) = thread.spawn_scoped(scope, move || service.work(stage, number)) {
                    service
                        .fail(ServiceError::Configuration(format!("no thread for {} {number}: {error}", stage.name())));
                }
            }
        }
        if let Some(every) = settings.tick_every {
            let transactional_id = format!("{}rater-ticker-{}", settings.topics.prefix, settings.instance);
            let ticker = Ticker { log, topic: settings.topics.ticks(), transactional_id, every, now: settings.now };
            scope.spawn(move || ticker.run(stop, |ticked| report(ServiceReport::Ticked(ticked))));
        }
    });
    let failure = service.failure.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    failure.map_or(Ok(()), Err)
}

/// What has to be known before any worker begins.
struct Deployment {
    inputs: Vec<(String, u32)>,
    partitions: Partitions,
    frames: Frames,
}

/// Looks at the deployment, again and again while something does not answer; `None` if it is told to stop meanwhile.
fn patiently(
    log: &impl Log,
    settings: &ServiceSettings,
    stop: &AtomicBool,
    report: &(dyn Fn(ServiceReport<'_>) + Sync),
) -> Result<Option<Deployment>, ServiceError> {
    let stage = StageName::ALL.into_iter().find(|stage| settings.workers.of(*stage) > 0).unwrap_or(StageName::Intake);
    let mut attempt = 0;
    loop {
        let why = match look(log, settings) {
            Err(ServiceError::Surroundings(LogError::Unavailable(why))) if attempt < settings.attempts => why,
            looked => return looked.map(Some),
        };
        attempt += 1;
        report(ServiceReport::Worker(WorkerReport { stage, number: 0, report: Report::Waiting(&why) }));
        block_on(log.pause(RETRY_PAUSE * attempt.min(20)));
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
    }
}

fn look(log: &impl Log, settings: &ServiceSettings) -> Result<Deployment, ServiceError> {
    let inputs = input_partitions(log, &settings.topics)?;
    let partitions = Partitions {
        inputs: inputs.iter().map(|(_, count)| *count as usize).sum(),
        intaken: if settings.skip_intake { 0 } else { block_on(log.partitions(&settings.topics.intaken()))? },
        guided: block_on(log.partitions(&settings.topics.guided()))?,
        waiting: block_on(log.partitions(&settings.topics.waiting()))?,
    };
    block_on(log.partitions(&settings.topics.ticks()))?;
    check_retries(log, settings, &inputs)?;
    check(log, settings, &inputs, partitions)?;
    Ok(Deployment { inputs, partitions, frames: frames(settings)? })
}

/// The inputs with their partitions.
fn input_partitions(log: &impl Log, topics: &TopicNames) -> Result<Vec<(String, u32)>, LogError> {
    topics.inputs().into_iter().map(|topic| block_on(log.partitions(&topic)).map(|count| (topic, count))).collect()
}

/// Each partition of an input needs a partition of its number for what is tried again.
fn check_retries(log: &impl Log, settings: &ServiceSettings, inputs: &[(String, u32)]) -> Result<(), ServiceError> {
    let (topic, needed) = (settings.topics.retries(), inputs.iter().map(|(_, count)| *count).max().unwrap_or(0));
    let count = block_on(log.partitions(&topic))?;
    match count < needed {
        true => Err(ServiceError::Configuration(format!(
            "topic {topic} has {count} partitions: {needed} are needed, one for each of an input"
        ))),
        false => Ok(()),
    }
}

/// Checks that state has its place, and that what belongs together comes together.
fn check(
    log: &impl Log,
    settings: &ServiceSettings,
    inputs: &[(String, u32)],
    partitions: Partitions,
) -> Result<(), ServiceError> {
    let topics = &settings.topics;
    if !partitions.guided.is_power_of_two() {
        let (topic, count) = (topics.guided(), partitions.guided);
        return Err(ServiceError::Configuration(format!(
            "topic {topic} has {count} partitions: a power of two is needed"
        )));
    }
    if let Some(topic) = topics.usage.iter().find(|topic| topics.commands.contains(topic)) {
        return Err(ServiceError::Configuration(format!(
            "topic {topic} is named for usage and for commands: each has a topic of its own"
        )));
    }
    let most = inputs.iter().map(|(_, count)| *count).max().unwrap_or(0);
    let needed = [
        (StageName::Intake, if settings.skip_intake { 0 } else { most }),
        (StageName::Guide, if settings.skip_intake { most } else { partitions.intaken }),
        (StageName::Rate, partitions.guided),
        (StageName::Recycle, partitions.waiting),
    ];
    for (stage, needed) in needed {
        if needed == 0 || settings.workers.of(stage) == 0 {
            continue;
        }
        let topic = topics.changelog(stage);
        let count = block_on(log.partitions(&topic))?;
        if count < needed {
            return Err(ServiceError::Configuration(format!(
                "topic {topic} has {count} partitions: {needed} are needed, one for each that {} reads",
                stage.name()
            )));
        }
    }
    // What a worker finds missing only in its first transaction would be a worse message.
    for message in Message::ALL {
        block_on(log.partitions(&topics.output(*message)))?;
    }
    Ok(())
}

fn registry(settings: &ServiceSettings) -> Result<Option<Registry>, ServiceError> {
    let connect = |config: &RegistryConfig| {
        Registry::new(config).map_err(|error| ServiceError::Configuration(format!("schema registry: {error}")))
    };
    settings.registry.as_ref().map(connect).transpose()
}

fn frames(settings: &ServiceSettings) -> Result<Frames, ServiceError> {
    match registry(settings)? {
        None => Frames::single_object().map_err(ServiceError::Configuration),
        Some(registry) => {
            let topic = |message| settings.topics.output(message);
            let frames = Frames::confluent(&registry, Registration::Register, topic);
            frames.map_err(|error| match error.error.is_transient() {
                true => LogError::Unavailable(format!("schema registry: {error}")).into(),
                false => ServiceError::Configuration(format!("schema registry: {error}")),
            })
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
    /// Of the first worker that stopped by itself.
    failure: Mutex<Option<ServiceError>>,
}

impl<L: Log> Service<'_, L> {
    /// One worker, on its own thread, to its end.
    fn work(&self, stage: StageName, number: u16) {
        let _span = tracing::info_span!("worker", stage = stage.name(), worker = number).entered();
        let outcome = match stage {
            StageName::Intake => self.inbound().and_then(|inbound| self.run(stage, number, self.intake(inbound))),
            StageName::Guide => self.inbound().and_then(|inbound| self.run(stage, number, self.guide(inbound))),
            StageName::Rate => self.run(stage, number, self.rate()),
            StageName::Recycle => self.run(stage, number, self.recycle()),
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

    fn run(&self, stage: StageName, number: u16, machine: impl Stage) -> Result<(), ServiceError> {
        let ServiceSettings { topics, limits, instance, .. } = self.settings;
        let settings = WorkerSettings {
            group: topics.group(stage),
            transactional_id: format!("{}rater-{}-{instance}-{number}", topics.prefix, stage.name()),
            limits: *limits,
            attempts: self.settings.attempts,
            forgotten_positions: self.settings.forgotten_positions,
            topics_made_anew: self.settings.topics_made_anew.clone(),
        };
        let report = |report: Report<'_>| self.tell(stage, number, report);
        let mut worker = Worker::new(self.log, machine, settings, self.stop, &report).with_clock(self.settings.now);
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
        })
    }

    fn rate(&self) -> RateStage {
        let topics = &self.settings.topics;
        let senders = if self.settings.skip_intake { self.partitions.inputs } else { self.partitions.intaken as usize };
        RateStage::new(RateSettings {
            guided: topics.guided(),
            guided_partitions: self.partitions.guided,
            senders,
            changelog: topics.changelog(StageName::Rate),
            charges: topics.output(Message::Charge),
            deltas: topics.output(Message::BalanceDelta),
            notifications: topics.output(Message::Notification),
            suspense: topics.output(Message::Suspense),
            waiting: topics.waiting(),
            replies: topics.output(Message::CommandReply),
            frames: self.frames,
            events: self.settings.events.clone(),
            duplicate_window_h: self.settings.duplicate_window_h,
            state_horizon_h: self.settings.state_horizon_h,
        })
    }
}
