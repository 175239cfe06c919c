//! What each worker of the process does right now, put together from what it tells.

use super::catalog::MAX_LAGS;
use super::labels::WorkerState;
use crate::service::{ServiceSettings, StageName, WorkerReport};
use crate::worker::Report;
use crate::worker::counts::{SlowestSender, StageStatus};
use crate::worker::log::Partition;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// A worker that the group has given nothing at first may be given something as soon as others have let go of it: within a session (10 s) of
/// those that died, at once by those that live. After this it stands by.
const SHARING_OUT: Duration = Duration::from_secs(15);

/// All workers.
#[derive(Debug)]
pub(super) struct Workers {
    views: BTreeMap<(StageName, u16), View>,
    /// Topics that a stage reads, by their place in partitions.
    inputs: BTreeMap<StageName, Vec<String>>,
}

/// One worker.
#[derive(Debug)]
struct View {
    state: WorkerState,
    /// What it waits for, or why it stopped.
    why: String,
    /// It stopped, and nobody had told it to.
    has_failed: bool,
    /// It is in its group, or was.
    has_joined: bool,
    /// Since when it is there and was never given anything.
    empty_handed: Option<Instant>,
    owned: BTreeSet<Partition>,
    behind: BTreeMap<Partition, u64>,
    status: StageStatus,
}

impl View {
    fn new() -> View {
        View {
            state: WorkerState::Starting,
            why: String::new(),
            has_failed: false,
            has_joined: false,
            empty_handed: None,
            owned: BTreeSet::new(),
            behind: BTreeMap::new(),
            status: StageStatus::default(),
        }
    }

    fn becomes(&mut self, state: WorkerState) {
        self.state = state;
        self.why.clear();
    }

    /// With all partitions there: at work, or with nothing to do.
    fn settles(&mut self) {
        self.becomes(if self.owned.is_empty() { WorkerState::Standby } else { WorkerState::Running });
    }

    fn forget(&mut self, partitions: &[Partition]) {
        for partition in partitions {
            self.owned.remove(partition);
            self.behind.remove(partition);
        }
    }

    fn hears(&mut self, report: &Report<'_>, now: Instant) {
        match report {
            Report::Assigned(partitions) => {
                if !std::mem::replace(&mut self.has_joined, true) {
                    self.empty_handed = Some(now);
                }
                self.owned.extend(partitions.iter());
                self.empty_handed = self.empty_handed.filter(|_| self.owned.is_empty());
                self.becomes(WorkerState::Restoring);
            }
            // It was waiting while it restored.
            Report::Restored(..) => self.becomes(WorkerState::Restoring),
            Report::Started { status, .. } => {
                self.status = status.clone();
                self.settles();
            }
            Report::Released(partitions) => {
                self.forget(partitions);
                if self.owned.is_empty() {
                    self.status = StageStatus::default();
                    self.becomes(WorkerState::Standby);
                }
            }
            Report::Behind(lags) => self.behind = lags.iter().copied().collect(),
            Report::Committed { status, .. } => {
                self.status = status.clone();
                self.becomes(WorkerState::Running);
            }
            Report::Restarted(why) => {
                *self = View { why: (*why).to_owned(), ..View::new() };
            }
            Report::Waiting(why) => {
                self.state = WorkerState::Waiting;
                (*why).clone_into(&mut self.why);
            }
            Report::Aborted(_)
            | Report::Uncertain(_)
            | Report::Mismatch(_)
            | Report::Refused(..)
            | Report::BeganAnew { .. }
            | Report::GaveUp(_)
            | Report::PassedOver { .. } => {}
            Report::Ended(why) => {
                *self = View {
                    state: WorkerState::Stopped,
                    why: why.unwrap_or("told to stop").to_owned(),
                    has_failed: why.is_some(),
                    ..View::new()
                };
            }
        }
    }
}

impl Workers {
    /// Those that will run, none of which has told anything yet.
    pub(super) fn expected(settings: &ServiceSettings) -> Workers {
        let of = |stage: StageName| (0..settings.workers_of(stage)).map(move |number| ((stage, number), View::new()));
        Workers {
            views: StageName::ALL.into_iter().flat_map(of).collect(),
            inputs: StageName::ALL.into_iter().map(|stage| (stage, settings.inputs_of(stage))).collect(),
        }
    }

    /// Takes note of what one tells.
    pub(super) fn hear(&mut self, told: &WorkerReport<'_>, now: Instant) {
        self.views.entry((told.stage, told.number)).or_insert_with(View::new).hears(&told.report, now);
    }

    /// How many workers of a stage are in a state.
    pub(super) fn count(&self, stage: StageName, state: WorkerState) -> usize {
        self.of(stage).filter(|view| view.state == state).count()
    }

    /// The least clock of a stage in milliseconds, and the entries of its state.
    pub(super) fn status(&self, stage: StageName) -> (i64, u64) {
        let owning = || self.of(stage).filter(|view| !view.owned.is_empty());
        let clock = owning().map(|view| view.status.clock).min().flatten();
        (clock.map_or(0, |clock| clock.millis()), owning().map(|view| view.status.entries).sum())
    }

    /// For how many milliseconds the oldest work of a stage has been due.
    pub(super) fn due_behind(&self, stage: StageName) -> i64 {
        self.of(stage).filter(|view| !view.owned.is_empty()).map(|view| view.status.due_behind_ms).max().unwrap_or(0)
    }

    /// Up to when, in milliseconds, all work is done that time brings to accounts: the least over the workers.
    pub(super) fn complete_to(&self) -> i64 {
        let owning = self.of(StageName::Rate).filter(|view| !view.owned.is_empty());
        owning.map(|view| view.status.complete_to).min().flatten().map_or(0, |at| at.millis())
    }

    /// The sender to a stage that is furthest behind.
    pub(super) fn held_by(&self, stage: StageName) -> Option<&SlowestSender> {
        let owning = self.of(stage).filter(|view| !view.owned.is_empty());
        owning.filter_map(|view| view.status.held_by.as_deref()).max_by_key(|slowest| slowest.behind_ms)
    }

    /// How much waits, since when the oldest of it, in milliseconds, and the bytes of all of it.
    pub(super) fn waiting(&self) -> (u64, i64, u64) {
        let status = || self.of(StageName::Recycle).map(|view| &view.status);
        let oldest = status().filter_map(|status| status.oldest).min();
        let bytes = status().map(|status| status.bytes).sum();
        (status().map(|status| status.entries).sum(), oldest.map_or(0, |oldest| oldest.millis()), bytes)
    }

    fn of(&self, stage: StageName) -> impl Iterator<Item = &View> {
        self.views.range((stage, 0)..=(stage, u16::MAX)).map(|(_, view)| view)
    }

    /// Topic, partition and lag; what goes beyond [`MAX_LAGS`] as one per topic.
    pub(super) fn lags(&self) -> Vec<(String, String, u64)> {
        let mut lags: BTreeMap<(&str, u32), u64> = BTreeMap::new();
        for ((stage, _), view) in &self.views {
            let topics = self.inputs.get(stage).map(Vec::as_slice).unwrap_or_default();
            for (partition, lag) in &view.behind {
                let topic = topics.get(usize::from(partition.topic)).map_or("", String::as_str);
                lags.insert((topic, partition.number), *lag);
            }
        }
        let topics: BTreeSet<&str> = lags.keys().map(|(topic, _)| *topic).collect();
        let shown = if lags.len() > MAX_LAGS { MAX_LAGS.saturating_sub(topics.len()) } else { lags.len() };
        let mut series = Vec::with_capacity(shown);
        let mut rest: BTreeMap<&str, u64> = BTreeMap::new();
        for (place, ((topic, partition), lag)) in lags.into_iter().enumerate() {
            if place < shown {
                series.push((topic.to_owned(), partition.to_string(), lag));
            } else {
                *rest.entry(topic).or_default() += lag;
            }
        }
        series.extend(
            rest.into_iter().take(MAX_LAGS - shown).map(|(topic, lag)| (topic.to_owned(), "other".to_owned(), lag)),
        );
        series
    }

    /// Workers that stopped by themselves, and why.
    pub(super) fn failures(&self) -> Vec<String> {
        let failed = self.views.iter().filter(|(_, view)| view.has_failed);
        failed.map(|((stage, number), view)| format!("{} {number}: stopped: {}", stage.name(), view.why)).collect()
    }

    /// Why the process is not ready, worker by worker.
    pub(super) fn unready(&self, now: Instant) -> Vec<String> {
        let is_new = |since: Instant| now.saturating_duration_since(since) < SHARING_OUT;
        let each = self.views.iter().filter_map(|((stage, number), view)| match view.state {
            WorkerState::Standby if view.empty_handed.is_some_and(is_new) => {
                Some(format!("{} {number}: without a partition: others may have to let go first", stage.name()))
            }
            WorkerState::Standby | WorkerState::Running => None,
            WorkerState::Starting | WorkerState::Restoring | WorkerState::Waiting | WorkerState::Stopped => {
                let why = if view.why.is_empty() { String::new() } else { format!(": {}", view.why) };
                Some(format!("{} {number}: {}{why}", stage.name(), view.state.name()))
            }
        });
        each.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_was_given_nothing_is_ready_once_it_is_clear_that_nothing_will_come() {
        let start = Instant::now();
        let mut workers = Workers { views: BTreeMap::new(), inputs: BTreeMap::new() };
        let hear = |workers: &mut Workers, report: Report<'_>, after_s: u64| {
            let told = WorkerReport { stage: StageName::Rate, number: 0, report };
            workers.hear(&told, start + Duration::from_secs(after_s));
        };
        let is_ready = |workers: &Workers, after_s| workers.unready(start + Duration::from_secs(after_s)).is_empty();
        let status = StageStatus::default;
        hear(&mut workers, Report::Assigned(&[]), 100);
        hear(&mut workers, Report::Started { partitions: 0, status: status() }, 100);
        assert!(!is_ready(&workers, 100) && !is_ready(&workers, 114), "{:?}", workers.unready(start));
        assert!(is_ready(&workers, 115), "it stands by");
        // Others let go after all.
        let partition = Partition { topic: 0, number: 0 };
        hear(&mut workers, Report::Assigned(&[partition]), 101);
        assert!(!is_ready(&workers, 200), "it restores");
        hear(&mut workers, Report::Started { partitions: 1, status: status() }, 102);
        assert!(is_ready(&workers, 102));
        // Who gives everything away was ready before.
        hear(&mut workers, Report::Released(&[partition]), 103);
        hear(&mut workers, Report::Assigned(&[]), 103);
        hear(&mut workers, Report::Started { partitions: 0, status: status() }, 103);
        assert!(is_ready(&workers, 103));
        // All is lost: it begins anew.
        hear(&mut workers, Report::Restarted("no answer"), 104);
        hear(&mut workers, Report::Assigned(&[]), 105);
        hear(&mut workers, Report::Started { partitions: 0, status: status() }, 105);
        assert!(!is_ready(&workers, 106));
    }
}
