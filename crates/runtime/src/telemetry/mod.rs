//! What a running service shows of itself: metrics, health and log events, all made from what its workers tell.
//!
//! | module | owns |
//! | --- | --- |
//! | [`catalog`] | names, labels and meaning of all metrics; docs/metrics.md is written from it |
//! | [`labels`] | label values that only telemetry has |
//! | [`http`] | `/metrics`, `/healthz`, `/readyz` |
//! | `metrics` | the handles |
//! | `ages` | the histogram of ages |
//! | `workers` | what each worker does right now |
//! | `events` | log events of what is told |
//!
//! A batch is counted when it is committed, all of it at once; what was undone never shows. Nothing here can hold a worker up: it adds to
//! counters and takes note, under locks that are held for microseconds.
//!
//! Deliberately not here: numbers that nobody knows (ADR 24).

mod ages;
pub mod catalog;
mod events;
pub mod http;
pub mod labels;
mod metrics;
mod workers;

use crate::service::watch::Held;
use crate::service::{ServiceReport, ServiceSettings, StageName};
use crate::worker::Report;
use labels::{Check, SkipReason, TickResult, TransactionResult, WorkerState};
use metrics::Metrics;
use prometheus::{Registry, TextEncoder};
use rating::{Currency, Timestamp};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use workers::Workers;

/// What is known of the reference data in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReferenceNumbers {
    /// When it was read or last confirmed.
    pub confirmed: Timestamp,
    /// Whether the last load was good.
    pub is_good: bool,
    /// Whether it is recent enough to rate by.
    pub is_fresh: bool,
    /// The cache before it, where it comes from a store. It is there from the start, or never.
    pub cache: Option<CacheNumbers>,
}

/// A cached directory: what was looked up and had to go since it was opened, and what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheNumbers {
    /// Keys looked up that were at hand.
    pub hits: u64,
    /// Those known not to be there.
    pub absent: u64,
    /// Those read from the store.
    pub misses: u64,
    /// Reads that failed.
    pub failed: u64,
    /// Keys that had to go because memory is bounded.
    pub evictions: u64,
    /// Keys that are at hand.
    pub entries: u64,
    /// Bytes that they take.
    pub bytes: u64,
}

/// Tells of the reference data whenever somebody looks.
pub type ReferenceSource = Box<dyn Fn() -> ReferenceNumbers + Send + Sync>;

/// Telemetry of one process.
pub struct Telemetry {
    registry: Registry,
    metrics: Metrics,
    workers: Mutex<Workers>,
    presence: Mutex<Presence>,
    reference: ReferenceSource,
    /// One look at a time: gauges are set and then read.
    look: Mutex<()>,
}

/// What the process has told of itself as a whole.
#[derive(Debug, Default)]
struct Presence {
    /// Why it cannot be at work in the cluster.
    absent: Option<String>,
    /// Threads that are inside of a call for long.
    held: BTreeMap<String, Held>,
}

/// Why telemetry cannot start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TelemetryError(String);

impl std::fmt::Display for TelemetryError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "metrics: {}", self.0)
    }
}

impl std::error::Error for TelemetryError {}

impl From<prometheus::Error> for TelemetryError {
    fn from(error: prometheus::Error) -> TelemetryError {
        TelemetryError(error.to_string())
    }
}

/// Whether work can be done here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Why not; empty if it can.
    pub reasons: Vec<String>,
}

impl Telemetry {
    /// For a service that runs with these settings, on accounts with these currencies.
    ///
    /// # Errors
    /// Two metrics of one name: a mistake in the catalog.
    pub fn new(
        settings: &ServiceSettings,
        currencies: &[Currency],
        reference: ReferenceSource,
    ) -> Result<Telemetry, TelemetryError> {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry, currencies, &reference())?;
        #[cfg(target_os = "linux")]
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        let workers = Mutex::new(Workers::expected(settings));
        let presence = Mutex::default();
        Ok(Telemetry { registry, metrics, workers, presence, reference, look: Mutex::new(()) })
    }

    /// Takes note of what the service tells: counts it, and writes it to the log.
    pub fn tell(&self, told: &ServiceReport<'_>) {
        events::write(told);
        match told {
            ServiceReport::Ticked(Ok(())) => self.metrics.tick(TickResult::Written),
            ServiceReport::Ticked(Err(_)) => self.metrics.tick(TickResult::Failed),
            ServiceReport::Absent(why) => self.presence().absent = why.map(str::to_owned),
            ServiceReport::Held(held) => {
                let mut presence = self.presence();
                presence.held.remove(&held.who);
                if held.seconds.is_some() {
                    presence.held.insert(held.who.clone(), (*held).clone());
                }
            }
            ServiceReport::Worker(told) => {
                self.workers().hear(told, Instant::now());
                match &told.report {
                    Report::Committed { received, sent, counts, times, .. } => {
                        self.metrics.add(told.stage, counts, times);
                        if *received == 0 && *sent > 0 {
                            self.metrics.slice(told.stage);
                        }
                    }
                    Report::Aborted(_) => self.metrics.transaction(told.stage, TransactionResult::Aborted),
                    Report::Uncertain(_) => self.metrics.transaction(told.stage, TransactionResult::Uncertain),
                    Report::Mismatch(check) => self.metrics.mismatch(Check::of(check)),
                    Report::Refused(partition, _) if told.is_first_to_read(*partition) => {
                        self.metrics.tick(TickResult::Refused);
                    }
                    Report::GaveUp(gap) => {
                        self.metrics.skipped(SkipReason::Gap, u64::try_from(gap.to - gap.from).unwrap_or(0));
                    }
                    Report::PassedOver { .. } => self.metrics.skipped(SkipReason::Message, 1),
                    Report::Assigned(_)
                    | Report::Restored(..)
                    | Report::Started { .. }
                    | Report::Released(_)
                    | Report::Behind(_)
                    | Report::Refused(..)
                    | Report::BeganAnew { .. }
                    | Report::Restarted(_)
                    | Report::Waiting(_)
                    | Report::Ended(_) => {}
                }
            }
        }
    }

    /// All metrics in Prometheus' text format.
    ///
    /// # Errors
    /// A metric that cannot be written as text.
    pub fn page(&self) -> Result<String, TelemetryError> {
        let _one_at_a_time = self.look.lock().unwrap_or_else(PoisonError::into_inner);
        self.set_gauges();
        Ok(TextEncoder::new().encode_to_string(&self.registry.gather())?)
    }

    fn set_gauges(&self) {
        let workers = self.workers();
        for stage in StageName::ALL {
            for state in WorkerState::ALL {
                self.metrics.workers(stage, *state, workers.count(stage, *state));
            }
            let (clock_ms, entries) = workers.status(stage);
            self.metrics.status(stage, clock_ms, entries);
        }
        self.metrics.complete_to(workers.complete_to());
        self.metrics.held_by(catalog::SENT_TO.iter().filter_map(|stage| Some((*stage, workers.held_by(*stage)?))));
        for (place, stage) in catalog::TIMED_STAGES.into_iter().enumerate() {
            self.metrics.due(place, workers.due_behind(stage));
        }
        let (count, oldest_ms, bytes) = workers.waiting();
        self.metrics.waiting(count, oldest_ms, bytes);
        self.metrics.lags(&workers.lags());
        drop(workers);
        self.metrics.longest_call(self.presence().held.values().filter_map(|held| held.seconds).max().unwrap_or(0));
        self.metrics.reference(&(self.reference)());
    }

    /// Whether every stage of the process is assigned and restored, Kafka answers, no call takes long, and the reference data are fresh. A worker without a partition, because
    /// there are more workers than partitions, is ready, too: it stands by. For its first 15 s in a group it is not: then the group may still be
    /// sharing out, and what it will be given is not restored.
    pub fn readiness(&self) -> Readiness {
        let mut reasons = self.workers().unready(Instant::now());
        let presence = self.presence();
        reasons.extend(presence.absent.clone());
        reasons.extend(presence.held.values().map(ToString::to_string));
        drop(presence);
        if !(self.reference)().is_fresh {
            reasons.push("reference data: not confirmed for too long".to_owned());
        }
        Readiness { reasons }
    }

    /// Why the process has to be started anew: a worker stopped by itself, or is inside of a call that does not return. None where it lives.
    pub fn ailments(&self) -> Vec<String> {
        let mut ailments = self.workers().failures();
        ailments.extend(self.presence().held.values().filter(|held| held.is_beyond).map(ToString::to_string));
        ailments
    }

    fn presence(&self) -> MutexGuard<'_, Presence> {
        self.presence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn workers(&self) -> MutexGuard<'_, Workers> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
