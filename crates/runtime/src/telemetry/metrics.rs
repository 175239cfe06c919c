//! The metrics of a process: one struct of handles, found once and then only added to.
//!
//! Everything is added once per batch, from the numbers that the batch gathered. Amounts are exact up to here and become floats only now,
//! for graphs.

use super::ages::AgeHistogram;
use super::catalog::{self, Family, MAX_CURRENCIES};
use super::labels::{Check, LookupResult, Phase, SkipReason, TickResult, TransactionResult, WorkerState};
use super::{CacheNumbers, ReferenceNumbers};
use crate::service::StageName;
use crate::worker::counts::{
    BatchCounts, BatchTimes, ChargeSource, CommandResult, LegOutcome, LevelLabel, RecordOutcome, Service, SlowestSender,
};
use prometheus::core::Collector;
use prometheus::{
    Counter, CounterVec, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry,
};
use rating::{Currency, Sum, SuspenseReason};
use rust_decimal::prelude::ToPrimitive;
use std::collections::BTreeMap;
use std::time::Duration;

/// The label of what has no label of its own.
const OTHER: &str = "other";

/// Bounds of durations in seconds: from a millisecond, each twice the one before.
fn duration_bounds() -> Vec<f64> {
    (0..15_i32).map(|power| 0.001 * 2_f64.powi(power)).collect()
}

/// Handles for each value of one label.
struct By<H>(Vec<H>);

impl<H> By<H> {
    /// The handle of the value at this place; all values have one.
    fn at(&self, place: usize) -> Option<&H> {
        self.0.get(place)
    }
}

/// Counters that count what batches tell.
pub(super) struct Metrics {
    records: By<By<IntCounter>>,
    usage: By<By<Counter>>,
    commands: By<IntCounter>,
    legs: By<By<IntCounter>>,
    charges: By<By<IntCounter>>,
    amounts: BTreeMap<(LevelLabel, Option<Currency>), Counter>,
    suspended: By<IntCounter>,
    written_off: By<IntCounter>,
    mismatches: By<IntCounter>,
    ages: BTreeMap<StageName, AgeHistogram>,
    durations: By<By<Histogram>>,
    transactions: By<By<IntCounter>>,
    ticks: By<IntCounter>,
    skipped: By<IntCounter>,
    lags: IntGaugeVec,
    workers: By<By<IntGauge>>,
    clocks: By<Gauge>,
    due_behind: By<Gauge>,
    due_accounts: IntCounter,
    slices: By<IntCounter>,
    complete_to: Gauge,
    held_by: GaugeVec,
    entries: By<Option<IntGauge>>,
    directory_snapshot: Gauge,
    reference_reload: IntGauge,
    suspense_open: IntGauge,
    suspense_oldest: Gauge,
    longest_call: IntGauge,
    suspense_bytes: IntGauge,
    /// Where reference data comes from a store.
    cache: Option<CacheMetrics>,
}

/// Metrics of a cached directory.
struct CacheMetrics {
    lookups: By<IntCounter>,
    evictions: IntCounter,
    entries: IntGauge,
    bytes: IntGauge,
}

impl CacheMetrics {
    fn new(registry: &Registry) -> prometheus::Result<CacheMetrics> {
        let lookups = int_counters(registry, &catalog::DIRECTORY_LOOKUPS)?;
        Ok(CacheMetrics {
            lookups: by(LookupResult::ALL, |result| lookups.get_metric_with_label_values(&[result.name()]))?,
            evictions: registered(registry, IntCounter::with_opts(options(&catalog::DIRECTORY_CACHE_EVICTIONS))?)?,
            entries: registered(registry, IntGauge::with_opts(options(&catalog::DIRECTORY_CACHE_ENTRIES))?)?,
            bytes: registered(registry, IntGauge::with_opts(options(&catalog::DIRECTORY_CACHE_BYTES))?)?,
        })
    }

    fn show(&self, numbers: &CacheNumbers) {
        let CacheNumbers { hits, absent, misses, failed, evictions, entries, bytes } = *numbers;
        let raise = |counter: &IntCounter, total: u64| counter.inc_by(total.saturating_sub(counter.get()));
        for (counter, total) in self.lookups.0.iter().zip([hits, absent, misses, failed]) {
            raise(counter, total);
        }
        raise(&self.evictions, evictions);
        self.entries.set(i64::try_from(entries).unwrap_or(i64::MAX));
        self.bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}

fn options(family: &Family) -> Opts {
    Opts::new(family.name, family.help)
}

fn label_names(family: &Family) -> Vec<&'static str> {
    family.labels.iter().map(|label| label.name).collect()
}

/// Registers what can be collected.
fn registered<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> prometheus::Result<C> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

fn int_counters(registry: &Registry, family: &Family) -> prometheus::Result<IntCounterVec> {
    registered(registry, IntCounterVec::new(options(family), &label_names(family))?)
}

fn int_gauges(registry: &Registry, family: &Family) -> prometheus::Result<IntGaugeVec> {
    registered(registry, IntGaugeVec::new(options(family), &label_names(family))?)
}

fn gauges(registry: &Registry, family: &Family) -> prometheus::Result<GaugeVec> {
    registered(registry, GaugeVec::new(options(family), &label_names(family))?)
}

/// One handle per value.
fn by<T: Copy, H>(values: &[T], make: impl FnMut(T) -> prometheus::Result<H>) -> prometheus::Result<By<H>> {
    values.iter().copied().map(make).collect::<prometheus::Result<_>>().map(By)
}

impl Metrics {
    /// Registers all of them, each series of a closed set at 0.
    pub(super) fn new(
        registry: &Registry,
        currencies: &[Currency],
        reference: &ReferenceNumbers,
    ) -> prometheus::Result<Metrics> {
        let records = int_counters(registry, &catalog::RECORDS)?;
        let [bytes, seconds, messages, units] =
            [&catalog::USAGE_BYTES, &catalog::USAGE_SECONDS, &catalog::USAGE_MESSAGES, &catalog::USAGE_UNITS];
        let legs = int_counters(registry, &catalog::LEGS)?;
        let charges = int_counters(registry, &catalog::CHARGES)?;
        let commands = int_counters(registry, &catalog::COMMANDS)?;
        let suspended = int_counters(registry, &catalog::SUSPENDED)?;
        let written_off = int_counters(registry, &catalog::WRITTEN_OFF)?;
        let mismatches = int_counters(registry, &catalog::CONTROL_MISMATCHES)?;
        let transactions = int_counters(registry, &catalog::TRANSACTIONS)?;
        let ticks = int_counters(registry, &catalog::TICKS)?;
        let skipped = int_counters(registry, &catalog::SKIPPED)?;
        let workers = int_gauges(registry, &catalog::WORKERS)?;
        let clocks = gauges(registry, &catalog::CLOCK)?;
        let slices = int_counters(registry, &catalog::SLICES)?;
        let due_behind = gauges(registry, &catalog::DUE_BEHIND)?;
        let entries = int_gauges(registry, &catalog::STATE_ENTRIES)?;
        let family = &catalog::BATCH_DURATION;
        let durations = HistogramOpts::new(family.name, family.help).buckets(duration_bounds());
        let durations = registered(registry, HistogramVec::new(durations, &label_names(family))?)?;
        let ages = AgeHistogram::register(registry)?;
        let build = int_gauges(registry, &catalog::BUILD_INFO)?;
        let revision = option_env!("RATER_REVISION").unwrap_or("unknown");
        build.get_metric_with_label_values(&[env!("CARGO_PKG_VERSION"), revision])?.set(1);
        let directory_snapshot = registered(registry, Gauge::with_opts(options(&catalog::DIRECTORY_SNAPSHOT))?)?;
        let cache = reference.cache.map(|_| CacheMetrics::new(registry)).transpose()?;
        let reference_reload = registered(registry, IntGauge::with_opts(options(&catalog::REFERENCE_RELOAD))?)?;
        Ok(Metrics {
            records: by(Service::ALL, |service| {
                by(RecordOutcome::ALL, |outcome| {
                    records.get_metric_with_label_values(&[service.name(), outcome.name()])
                })
            })?,
            usage: by(&[bytes, seconds, messages, units], |family| {
                let counters = registered(registry, CounterVec::new(options(family), &label_names(family))?)?;
                by(RecordOutcome::ALL, |outcome| counters.get_metric_with_label_values(&[outcome.name()]))
            })?,
            commands: by(CommandResult::ALL, |result| commands.get_metric_with_label_values(&[result.name()]))?,
            legs: by(LevelLabel::ALL, |level| {
                by(LegOutcome::ALL, |outcome| legs.get_metric_with_label_values(&[level.name(), outcome.name()]))
            })?,
            charges: by(LevelLabel::ALL, |level| {
                by(ChargeSource::ALL, |source| charges.get_metric_with_label_values(&[level.name(), source.name()]))
            })?,
            amounts: amounts(registry, currencies)?,
            suspended: by(SuspenseReason::ALL, |reason| suspended.get_metric_with_label_values(&[reason.name()]))?,
            written_off: by(SuspenseReason::ALL, |reason| written_off.get_metric_with_label_values(&[reason.name()]))?,
            mismatches: by(Check::ALL, |check| mismatches.get_metric_with_label_values(&[check.name()]))?,
            ages,
            durations: by(&StageName::ALL, |stage| {
                by(Phase::ALL, |phase| durations.get_metric_with_label_values(&[stage.name(), phase.name()]))
            })?,
            transactions: by(&StageName::ALL, |stage| {
                by(TransactionResult::ALL, |result| {
                    transactions.get_metric_with_label_values(&[stage.name(), result.name()])
                })
            })?,
            ticks: by(TickResult::ALL, |result| ticks.get_metric_with_label_values(&[result.name()]))?,
            skipped: by(SkipReason::ALL, |reason| skipped.get_metric_with_label_values(&[reason.name()]))?,
            lags: int_gauges(registry, &catalog::CONSUMER_LAG)?,
            workers: by(&StageName::ALL, |stage| {
                by(WorkerState::ALL, |state| workers.get_metric_with_label_values(&[stage.name(), state.name()]))
            })?,
            clocks: by(&StageName::ALL, |stage| clocks.get_metric_with_label_values(&[stage.name()]))?,
            due_behind: by(&catalog::TIMED_STAGES, |stage| due_behind.get_metric_with_label_values(&[stage.name()]))?,
            slices: by(&catalog::TIMED_STAGES, |stage| slices.get_metric_with_label_values(&[stage.name()]))?,
            complete_to: registered(registry, Gauge::with_opts(options(&catalog::COMPLETE_TO))?)?,
            held_by: gauges(registry, &catalog::CLOCK_HELD)?,
            due_accounts: registered(registry, IntCounter::with_opts(options(&catalog::DUE_ACCOUNTS))?)?,
            entries: by(&StageName::ALL, |stage| match stage {
                StageName::Intake => Ok(None),
                StageName::Guide | StageName::Rate | StageName::Recycle | StageName::Cycle => {
                    entries.get_metric_with_label_values(&[stage.name()]).map(Some)
                }
            })?,
            directory_snapshot,
            reference_reload,
            suspense_open: registered(registry, IntGauge::with_opts(options(&catalog::SUSPENSE_OPEN))?)?,
            suspense_oldest: registered(registry, Gauge::with_opts(options(&catalog::SUSPENSE_OLDEST))?)?,
            longest_call: registered(registry, IntGauge::with_opts(options(&catalog::LONGEST_CALL))?)?,
            suspense_bytes: registered(registry, IntGauge::with_opts(options(&catalog::SUSPENSE_BYTES))?)?,
            cache,
        })
    }

    /// Adds what a committed batch did.
    pub(super) fn add(&self, stage: StageName, counts: &BatchCounts, times: &BatchTimes) {
        add_all(&self.records, &counts.records);
        for (counters, sums) in self.usage.0.iter().zip(&counts.usage) {
            for (counter, sum) in counters.0.iter().zip(sums).filter(|(_, sum)| **sum > 0) {
                counter.inc_by(*sum as f64);
            }
        }
        add_each(&self.commands, &counts.commands);
        add_all(&self.legs, &counts.legs);
        add_all(&self.charges, &counts.charges);
        for (level, currency, sum) in &counts.amounts {
            let counter = self.amounts.get(&(*level, Some(*currency))).or_else(|| self.amounts.get(&(*level, None)));
            if let Some(counter) = counter {
                counter.inc_by(for_graphs(*sum));
            }
        }
        add_each(&self.suspended, &counts.suspended);
        add_each(&self.written_off, &counts.written_off);
        self.due_accounts.inc_by(counts.due_accounts);
        if let Some(ages) = self.ages.get(&stage) {
            ages.add(&counts.ages);
        }
        let BatchTimes { gather, prepare, execute, send, commit } = *times;
        let phases = [gather, prepare, execute, send, commit];
        if let Some(histograms) = self.durations.at(stage as usize) {
            for (histogram, time) in histograms.0.iter().zip(phases) {
                histogram.observe(Duration::as_secs_f64(&time));
            }
        }
        self.transaction(stage, TransactionResult::Committed);
    }

    /// Counts a transaction.
    pub(super) fn transaction(&self, stage: StageName, result: TransactionResult) {
        if let Some(counter) = self.transactions.at(stage as usize).and_then(|by| by.at(result as usize)) {
            counter.inc();
        }
    }

    /// Counts a control total that does not add up.
    pub(super) fn mismatch(&self, check: Check) {
        if let Some(counter) = self.mismatches.at(check as usize) {
            counter.inc();
        }
    }

    /// Counts a tick.
    pub(super) fn tick(&self, result: TickResult) {
        if let Some(counter) = self.ticks.at(result as usize) {
            counter.inc();
        }
    }

    /// Shows the lags, and none that are not among them.
    pub(super) fn lags(&self, lags: &[(String, String, u64)]) {
        self.lags.reset();
        for (topic, partition, lag) in lags {
            if let Ok(gauge) = self.lags.get_metric_with_label_values(&[topic, partition]) {
                gauge.set(i64::try_from(*lag).unwrap_or(i64::MAX));
            }
        }
    }

    /// Shows how many workers of a stage are in a state.
    pub(super) fn workers(&self, stage: StageName, state: WorkerState, count: usize) {
        if let Some(gauge) = self.workers.at(stage as usize).and_then(|by| by.at(state as usize)) {
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Shows what a stage has.
    pub(super) fn status(&self, stage: StageName, clock_ms: i64, entries: u64) {
        if let Some(clock) = self.clocks.at(stage as usize) {
            clock.set(seconds(clock_ms));
        }
        if let Some(Some(gauge)) = self.entries.at(stage as usize) {
            gauge.set(i64::try_from(entries).unwrap_or(i64::MAX));
        }
    }

    /// Counts a commit without a message.
    pub(super) fn slice(&self, stage: StageName) {
        let place = catalog::TIMED_STAGES.iter().position(|timed| *timed == stage);
        if let Some(counter) = place.and_then(|place| self.slices.at(place)) {
            counter.inc();
        }
    }

    /// Shows up to when all work of accounts is done.
    pub(super) fn complete_to(&self, at_ms: i64) {
        self.complete_to.set(seconds(at_ms));
    }

    /// Shows for which sender the clock of each stage waits.
    pub(super) fn held_by<'s>(&self, slowest: impl Iterator<Item = (StageName, &'s SlowestSender)>) {
        self.held_by.reset();
        for (stage, SlowestSender { topic, partition, behind_ms }) in slowest {
            let labels = [stage.name(), topic, &partition.to_string()];
            if let Ok(gauge) = self.held_by.get_metric_with_label_values(&labels) {
                gauge.set(seconds(*behind_ms));
            }
        }
    }

    /// Shows for how long the oldest work has been due, of the stage at this place of [`catalog::TIMED_STAGES`].
    pub(super) fn due(&self, place: usize, behind_ms: i64) {
        if let Some(gauge) = self.due_behind.at(place) {
            gauge.set(seconds(behind_ms));
        }
    }

    /// Shows how much waits, since when the oldest of it, and how long all of it is.
    pub(super) fn waiting(&self, count: u64, oldest_ms: i64, bytes: u64) {
        self.suspense_open.set(i64::try_from(count).unwrap_or(i64::MAX));
        self.suspense_oldest.set(seconds(oldest_ms));
        self.suspense_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Counts offsets that were skipped.
    pub(super) fn skipped(&self, reason: SkipReason, offsets: u64) {
        if let Some(counter) = self.skipped.at(reason as usize) {
            counter.inc_by(offsets);
        }
    }

    /// Shows for how long a thread has been inside of one call.
    pub(super) fn longest_call(&self, seconds: u64) {
        self.longest_call.set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }

    /// Shows when reference data was confirmed, whether the last load was good, and the cache.
    pub(super) fn reference(&self, numbers: &ReferenceNumbers) {
        self.directory_snapshot.set(seconds(numbers.confirmed.millis()));
        self.reference_reload.set(i64::from(numbers.is_good));
        if let Some((metrics, numbers)) = self.cache.as_ref().zip(numbers.cache.as_ref()) {
            metrics.show(numbers);
        }
    }
}

/// Per level a counter for each currency that has a label, and one for the rest.
fn amounts(
    registry: &Registry,
    currencies: &[Currency],
) -> prometheus::Result<BTreeMap<(LevelLabel, Option<Currency>), Counter>> {
    let family = &catalog::CHARGED_AMOUNT;
    let counters = registered(registry, CounterVec::new(options(family), &label_names(family))?)?;
    let mut known = currencies.to_vec();
    known.sort_unstable_by_key(|currency| currency.as_str().to_owned());
    known.dedup();
    known.truncate(MAX_CURRENCIES);
    let labelled: Vec<Option<Currency>> = known.into_iter().map(Some).chain([None]).collect();
    let mut amounts = BTreeMap::new();
    for level in LevelLabel::ALL {
        for currency in &labelled {
            let code = currency.as_ref().map_or(OTHER, Currency::as_str);
            amounts.insert((*level, *currency), counters.get_metric_with_label_values(&[level.name(), code])?);
        }
    }
    Ok(amounts)
}

fn add_each(counters: &By<IntCounter>, counts: &[u64]) {
    for (counter, count) in counters.0.iter().zip(counts).filter(|(_, count)| **count > 0) {
        counter.inc_by(*count);
    }
}

fn add_all<const INNER: usize>(counters: &By<By<IntCounter>>, counts: &[[u64; INNER]]) {
    counters.0.iter().zip(counts).for_each(|(counters, counts)| add_each(counters, counts));
}

/// The nearest float, which only graphs see. A sum is never below 0 here.
fn for_graphs(sum: Sum) -> f64 {
    sum.to_decimal().to_f64().unwrap_or(0.0).max(0.0)
}

fn seconds(milliseconds: i64) -> f64 {
    milliseconds as f64 / 1000.0
}
