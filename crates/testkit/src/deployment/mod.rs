//! A whole deployment in the test's process: topics, and the stages of `rater run` on threads.

use crate::services::{Kafka, ServiceError as KafkaError};
use directory::Loaded;
use rating::Timestamp;
use runtime::kafka::KafkaSettings;
use runtime::registry::RegistryConfig;
use runtime::service::plan::{Asked, plan};
use runtime::service::topics::{CleanUp, PartitionCounts, Retention, Role, wanted};
use runtime::service::{ServiceError, ServiceSettings, TopicNames, Workers, run};
use runtime::stages::ScratchSettings;
use runtime::worker::ForgottenPositions;
use runtime::worker::log::GatherLimits;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A broker lets no session be shorter.
const SESSION: Duration = Duration::from_secs(6);

/// What the topic of ticks cannot do without.
const LOG_APPEND_TIME: [(&str, &str); 1] = [("message.timestamp.type", "LogAppendTime")];

/// Sizes of a deployment.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Partitions of the topics.
    pub partitions: PartitionCounts,
    /// Guide reads the inputs itself.
    pub skip_intake: bool,
    /// Workers of each stage.
    pub workers: u16,
    /// Messages to a batch at most.
    pub batch: usize,
}

/// Makes all topics of a deployment.
///
/// # Errors
/// The brokers do not answer, or a topic is there.
pub fn create_topics(kafka: &Kafka, prefix: &str, shape: Shape) -> Result<(), KafkaError> {
    let wanted = wanted(&TopicNames::new(prefix), Retention::default(), shape.skip_intake);
    let asked = Asked::partitions(shape.partitions, shape.skip_intake);
    for topic in plan(wanted, &BTreeMap::new(), &asked).map_err(KafkaError::Refused)? {
        let partitions = u16::try_from(topic.partitions).unwrap_or(u16::MAX);
        let settings: &[(&str, &str)] = match topic.wanted.clean_up {
            CleanUp::Compact => &[("cleanup.policy", "compact")],
            CleanUp::DeleteAfter(_) if topic.wanted.role == Role::Ticks => &LOG_APPEND_TIME,
            // Records of tests are as old as their authors like.
            CleanUp::DeleteAfter(_) => &[],
        };
        kafka.create_topic(&topic.wanted.name, partitions, settings)?;
    }
    Ok(())
}

/// The stages at work.
pub struct Running {
    stop: Arc<AtomicBool>,
    reports: Arc<Mutex<Vec<String>>>,
    thread: JoinHandle<Result<(), ServiceError>>,
}

/// Runs all stages until they are stopped. Whatever their event times, records are not from the future.
#[must_use]
pub fn start(kafka: &Kafka, prefix: &str, shape: Shape, registry: Option<&str>, loaded: &Loaded) -> Running {
    let registry = registry.map(RegistryConfig::new);
    start_with(ServiceSettings { registry, ..settings(kafka.bootstrap(), prefix, shape) }, loaded)
}

/// The same with settings of one's own.
#[must_use]
pub fn start_with(settings: ServiceSettings, loaded: &Loaded) -> Running {
    let directory = loaded.directory();
    let (stop, reports) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
    let thread = thread::spawn({
        let (stop, reports) = (Arc::clone(&stop), Arc::clone(&reports));
        move || {
            run::run(&settings, &directory, &stop, &|report| {
                reports.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{report:?}"));
            })
        }
    });
    Running { stop, reports, thread }
}

/// How a service runs in a test: whatever their event times, records are not from the future, and nothing is forgotten.
#[must_use]
pub fn settings(brokers: &str, prefix: &str, shape: Shape) -> ServiceSettings {
    let mut kafka = KafkaSettings::new(brokers.split(',').map(str::to_owned));
    kafka.timeouts.session = SESSION;
    ServiceSettings {
        kafka,
        registry: None,
        topics: TopicNames::new(prefix),
        workers: Workers { intake: shape.workers, guide: shape.workers, rate: shape.workers, recycle: 1, cycle: 1 },
        skip_intake: shape.skip_intake,
        events: None,
        limits: GatherLimits { messages: shape.batch, bytes: 1 << 20, wait: Duration::from_millis(50) },
        instance: "test".to_owned(),
        holds_instance: false,
        call_limit: Duration::from_secs(60),
        default_source: "kafka".to_owned(),
        future_ms: 0,
        past_ms: None,
        doubts: pipeline::Doubts::default(),
        duplicate_window_h: None,
        command_memory_h: pipeline::duplicates::DEFAULT_COMMAND_HOURS,
        // What waits is tried again at any time: it must never be too old.
        state_horizon_h: 400 * 24,
        buys_grants: false,
        walk_every_ms: 3_600_000,
        tick_every: None,
        forgotten_positions: ForgottenPositions::Stop,
        topics_made_anew: Vec::new(),
        given_up: runtime::worker::GivenUp::default(),
        attempts: 20,
        scratch: ScratchSettings::default(),
        now: || Timestamp::LATEST,
    }
}

impl Running {
    /// Whether it has stopped by itself.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// What workers told so far.
    #[must_use]
    pub fn reports(&self) -> Vec<String> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until it stops by itself, for a minute at most.
    ///
    /// # Panics
    /// It goes on, or has ended in order.
    #[must_use]
    pub fn stop_when_it_ends(self) -> ServiceError {
        let since = std::time::Instant::now();
        while !self.has_ended() && since.elapsed() < Duration::from_secs(60) {
            thread::sleep(Duration::from_millis(50));
        }
        assert!(self.has_ended(), "it goes on: {:#?}", self.reports());
        match self.stop() {
            Ok(told) => panic!("a clean end: {told:#?}"),
            Err(error) => error,
        }
    }

    /// Stops all workers after their batches, and waits for them.
    ///
    /// # Errors
    /// The one that stopped it before.
    pub fn stop(self) -> Result<Vec<String>, ServiceError> {
        self.stop.store(true, Ordering::Relaxed);
        let outcome = self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let reports = std::mem::take(&mut *self.reports.lock().unwrap_or_else(PoisonError::into_inner));
        outcome.map(|()| reports)
    }
}
