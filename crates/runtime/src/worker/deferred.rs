//! What waits for facts while the rest goes on.
//!
//! A message may name what only the directory's store knows, while the store is away. Of each partition, what stands before the first such message is executed; that
//! message and all behind it are deferred, and the partition is held, so that the order within a partition stays. Other partitions go on. What is
//! deferred stands before what is gathered next, until it can be prepared.
//!
//! | bounded | by |
//! | --- | --- |
//! | messages deferred | a batch for each partition, since a held one brings no more; beside them nothing is read once a batch's worth is deferred |
//! | attempts | [`WorkerSettings::attempts`](super::WorkerSettings::attempts), 50 ms to a second apart; a full batch of others counts for none |

use super::log::{Batch, Consumer, GatherLimits, Log, LogError, Partition, Place};
use super::{End, FactsMissing, RETRY_PAUSE, Report, Stage, WORK_PAUSE, Worker, WorkerError};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

/// Messages that were gathered and wait, and the partitions that are held for them.
#[derive(Debug, Default)]
pub(super) struct Deferred {
    batch: Batch,
    partitions: BTreeSet<Partition>,
    /// How often their facts were asked for.
    attempts: u32,
}

impl Deferred {
    pub(super) fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    /// How many messages wait.
    pub(super) fn len(&self) -> usize {
        self.batch.len()
    }

    /// Forgets what belongs to partitions that are no longer ours.
    pub(super) fn remove(&mut self, partitions: &[Partition]) {
        self.batch.remove(partitions);
        self.partitions.retain(|partition| !partitions.contains(partition));
    }

    /// Forgets everything: it is read again.
    pub(super) fn clear(&mut self) {
        *self = Deferred::default();
    }

    /// The partitions that are held.
    pub(super) fn partitions(&self) -> Vec<Partition> {
        self.partitions.iter().copied().collect()
    }
}

impl<L: Log, S: Stage> Worker<'_, L, S> {
    /// When the next batch is full: while something is deferred, no sooner than its facts are to be asked for again.
    pub(super) fn next_limits(&self) -> GatherLimits {
        let limits = self.settings.limits;
        match self.deferred.is_empty() {
            // What is due does not wait for messages, but what comes meanwhile goes with it.
            true if self.stage.has_work() => GatherLimits { wait: limits.wait.min(WORK_PAUSE), ..limits },
            true => limits,
            false => GatherLimits { wait: RETRY_PAUSE * self.deferred.attempts.clamp(1, 20), ..limits },
        }
    }

    /// Gets the facts that the batch needs, or leaves in the batch what needs none that are missing.
    pub(super) async fn get_facts(&mut self, consumer: &mut L::Consumer) -> Result<(), End> {
        let is_filled = self.batch.len() >= self.settings.limits.messages;
        if !self.deferred.is_empty() {
            let gathered = std::mem::replace(&mut self.batch, std::mem::take(&mut self.deferred.batch));
            self.batch.append(&gathered);
        }
        let Err(missing) = self.stage.prepare(&self.batch) else { return self.go_on_with_all(consumer).await };
        match self.stage.waiting(&self.batch) {
            Some(waiting) if !waiting.is_empty() => self.defer(consumer, &waiting, &missing, is_filled).await,
            Some(_) | None => {
                // All partitions are held now.
                self.deferred.clear();
                self.wait_for_facts(consumer, missing).await
            }
        }
    }

    /// Nothing is deferred any more.
    async fn go_on_with_all(&mut self, consumer: &mut L::Consumer) -> Result<(), End> {
        if !self.deferred.is_empty() {
            self.deferred.clear();
            consumer.hold_only(&[]).await?;
        }
        Ok(())
    }

    /// Takes out of the batch what waits, and holds its partitions.
    async fn defer(
        &mut self,
        consumer: &mut L::Consumer,
        waiting: &BTreeSet<Place>,
        missing: &FactsMissing,
        is_filled: bool,
    ) -> Result<(), End> {
        (self.report)(Report::Waiting(&missing.0));
        let mut deferred = self.batch.cut(waiting);
        // What was at hand a moment ago may have gone: then it waits as well.
        if !self.batch.is_empty() && self.stage.prepare(&self.batch).is_err() {
            let rest = std::mem::replace(&mut deferred, std::mem::take(&mut self.batch));
            deferred.append(&rest);
            deferred.forget_ticks();
        }
        self.deferred.partitions = deferred.messages().map(|message| message.partition).collect();
        self.deferred.batch = deferred;
        consumer.hold_only(&self.deferred.partitions()).await?;
        if !is_filled {
            self.deferred.attempts += 1;
        }
        match self.deferred.attempts > self.settings.attempts {
            true => Err(End::Stop(WorkerError::Surroundings(LogError::Unavailable(missing.0.clone())))),
            false => Ok(()),
        }
    }

    /// Waits with the whole batch, however long that takes; meanwhile the group may take some of it away.
    async fn wait_for_facts(&mut self, consumer: &mut L::Consumer, mut missing: FactsMissing) -> Result<(), End> {
        // The group must go on hearing from us, or it would give the partitions to somebody who fares no better.
        consumer.hold().await?;
        for attempt in 1..=self.settings.attempts {
            (self.report)(Report::Waiting(&missing.0));
            let news_only = GatherLimits { messages: 0, bytes: 0, wait: RETRY_PAUSE * attempt.min(20) };
            let event = consumer.gather(&mut self.batch, &news_only).await?;
            self.follow(consumer, event).await?;
            self.look_behind(consumer);
            if self.stop.load(Ordering::Relaxed) {
                self.batch.clear();
                return Ok(());
            }
            match self.stage.prepare(&self.batch) {
                Ok(()) => return Ok(consumer.go_on().await?),
                Err(still) => missing = still,
            }
        }
        Err(End::Stop(WorkerError::Surroundings(LogError::Unavailable(missing.0))))
    }
}
