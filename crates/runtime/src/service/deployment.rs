//! What has to be known of a cluster before any worker begins: that each topic is there and fits, and how messages are framed.

use super::names::{StageName, TopicNames};
use super::run::{ServiceError, ServiceReport, ServiceSettings, WorkerReport};
use crate::kafka::{FoundTopic, KafkaAdmin, block_on};
use crate::registry::{Registry, RegistryConfig};
use crate::wire::{Frames, Message, Registration};
use crate::worker::log::{Log, LogError};
use crate::worker::{RETRY_PAUSE, Report};
use std::sync::atomic::{AtomicBool, Ordering};

/// How many partitions the topics have that workers care for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Partitions {
    /// Of all inputs together.
    pub(super) inputs: usize,
    pub(super) intaken: u32,
    pub(super) guided: u32,
    pub(super) waiting: u32,
}

/// Ticks are measured by when the log appended them. Where nobody may ask for a topic's settings, ticks that are not dated are refused one by one.
pub(super) fn check_ticks(settings: &ServiceSettings) -> Result<(), ServiceError> {
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

/// What has to be known before any worker begins.
pub(super) struct Deployment {
    pub(super) inputs: Vec<(String, u32)>,
    pub(super) partitions: Partitions,
    pub(super) frames: Frames,
}

/// Attempts for which a topic may be missing at the start: five seconds. Mostly nobody has made it, and whoever starts a service wants to know soon.
const MISSING_AT_START: u32 = 13;

/// Looks at the deployment, again and again while something does not answer; `None` if it is told to stop meanwhile.
pub(super) fn patiently(
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
            Err(ServiceError::Surroundings(LogError::Missing(why))) if attempt < MISSING_AT_START => why,
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
    let ticks = settings.topics.ticks();
    let count = block_on(log.partitions(&ticks))?;
    if count != 1 {
        return Err(ServiceError::Configuration(format!("topic {ticks} has {count} partitions: one is needed")));
    }
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
        (StageName::Cycle, 1),
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

pub(super) fn registry(settings: &ServiceSettings) -> Result<Option<Registry>, ServiceError> {
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
