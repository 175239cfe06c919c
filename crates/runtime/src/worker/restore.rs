//! Getting the state of partitions back from their changelogs.

use super::log::{Committed, Consumer, Log, LogError, Offset, Partition};
use super::sides::is_other;
use super::{
    Beginning, End, ForgottenPositions, NewOffsets, RETRY_PAUSE, Report, Stage, StageError, Worker, WorkerError,
};

impl<L: Log, S: Stage> Worker<'_, L, S> {
    /// Restores partitions; from where to read each.
    pub(super) async fn restore(
        &mut self,
        consumer: &mut L::Consumer,
        partitions: &[Partition],
    ) -> Result<Vec<(Partition, Offset)>, End> {
        let committed = self.committed(consumer, partitions).await?;
        let mut states = Vec::with_capacity(partitions.len());
        for (partition, committed) in partitions.iter().copied().zip(&committed) {
            states.push(self.restore_one(partition, committed.as_ref()).await?);
        }
        // Whoever restores slowly may have lost a partition meanwhile. What its new owner has committed since may have been read in
        // part; then nothing that was read counts.
        if self.committed(consumer, partitions).await? != committed {
            let what = "somebody else has gone on with a partition while it was restored".to_owned();
            return Err(LogError::Unavailable(what).into());
        }
        let mut positions = Vec::with_capacity(partitions.len());
        for ((partition, committed), (state, end)) in partitions.iter().copied().zip(committed).zip(states) {
            let group = committed.map(|committed| committed.position);
            let may_be_in_pieces = !matches!(state, Ok(Some(_)));
            let begun = match state {
                Ok(state) => self.begin(partition, group, state).await,
                Err(error) => Err(error.into()),
            };
            match begun {
                Ok(position) => positions.push((partition, position)),
                Err(End::Stop(error)) if may_be_in_pieces => {
                    return Err(self.unless_others_wrote(partition, end, error).await?);
                }
                Err(error) => return Err(error),
            }
        }
        self.in_pieces = None;
        Ok(positions)
    }

    /// What ends a restoring without a position, or whose entries do not fit together. A new owner may have written meanwhile without moving the position,
    /// for what stands beside the input; and what it wrote over may have been compacted, so that what was read is in pieces: then nothing of it counts.
    /// Found a second time, it is what it looks like, whoever writes to the same changelog.
    async fn unless_others_wrote(&mut self, partition: Partition, end: Offset, error: WorkerError) -> Result<End, End> {
        let said = error.to_string();
        let now = self.log.uncommitted_end(self.stage.changelog(), partition.number).await?;
        if now <= end || self.in_pieces.as_ref() == Some(&said) {
            return Ok(End::Stop(error));
        }
        let what = format!("somebody else has written to a changelog while it was read: {said}");
        self.in_pieces = Some(said);
        Ok(LogError::Unavailable(what).into())
    }

    /// Finds where a restored partition begins, and whether its topic is the one that its state was made from.
    async fn begin(
        &mut self,
        partition: Partition,
        group: Option<Offset>,
        state: Option<Offset>,
    ) -> Result<Offset, End> {
        let topic = self.input(partition.topic).to_owned();
        let known = self.stage.known(partition);
        let now = self.log.topic_ids(std::slice::from_ref(&topic)).await?.into_iter().next().flatten();
        let position = match (is_other(known.topic, now), self.settings.offsets_of_new(&topic)) {
            (false, _) | (true, Some(NewOffsets::Mirrored)) => {
                let position = self.agreed(partition, group, state).await?;
                self.over_gap(partition, position).await?
            }
            (true, None) if self.stage.reads_ticks_alone() => self.log.first_offset(&topic, partition.number).await?,
            (true, Some(NewOffsets::Anew)) => {
                let first = self.log.first_offset(&topic, partition.number).await?;
                (self.report)(Report::BeganAnew { topic: &topic, partition, position: state, first });
                first
            }
            (true, None) => return Err(self.made_anew(&topic, partition.number, known.topic, now)),
        };
        let sides = self.places_beside(partition, &known).await?;
        self.sides.add(partition, &sides);
        if let Some(now) = now {
            self.topics.insert(partition.topic, now);
        }
        self.stage.begin(partition, &Beginning { position, topic: now, sides });
        Ok(position)
    }

    /// What the group has committed. A dead worker may have left a transaction open over it: it is fenced, which ends the transaction.
    async fn committed(
        &self,
        consumer: &mut L::Consumer,
        partitions: &[Partition],
    ) -> Result<Vec<Option<Committed>>, End> {
        let mut attempt = 0;
        loop {
            match consumer.committed(partitions).await {
                Ok(committed) => return Ok(committed),
                Err(LogError::Unavailable(why)) if attempt < self.settings.attempts => {
                    attempt += 1;
                    (self.report)(Report::Waiting(&why));
                    // Whoever left it open may not have got to write its name beside the positions; then time alone helps.
                    if let Ok(owners) = consumer.owners(partitions).await {
                        self.fence(owners).await;
                    }
                    self.log.pause(RETRY_PAUSE * attempt.min(20)).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Ends transactions that others wait for. That it fails is no harm: then the broker's time-out ends them.
    async fn fence(&self, mut owners: Vec<String>) {
        owners.sort_unstable();
        owners.dedup();
        for owner in owners.iter().filter(|owner| !owner.is_empty() && **owner != self.settings.transactional_id) {
            let _ = self.log.fence(owner).await;
        }
    }

    /// Reads the state of one partition; the position that it knows, or why its entries do not fit together, and up to where they were read.
    async fn restore_one(
        &mut self,
        partition: Partition,
        committed: Option<&Committed>,
    ) -> Result<(Result<Option<Offset>, StageError>, Offset), End> {
        // After the position: what was committed with it, and all before it, stands below this end.
        let changelog = self.stage.changelog().to_owned();
        let end = self.log.uncommitted_end(&changelog, partition.number).await?;
        let mut attempt = 0;
        let entries = loop {
            match self.read_changelog(&changelog, partition, end).await? {
                Ok(entries) => break entries,
                Err(LogError::Unavailable(why)) if attempt < self.settings.attempts => {
                    attempt += 1;
                    (self.report)(Report::Waiting(&why));
                    self.fence(committed.iter().map(|committed| committed.owner.clone()).collect()).await;
                    self.log.pause(RETRY_PAUSE * attempt.min(20)).await;
                }
                Err(error) => return Err(error.into()),
            }
        };
        let state = self.stage.restored(partition);
        // From here on it is ours to drop.
        self.positions.insert(partition, Offset::MIN);
        (self.report)(Report::Restored(partition, entries));
        Ok((state, end))
    }

    /// Reads the changelog into fresh state; how many entries it had.
    async fn read_changelog(
        &mut self,
        changelog: &str,
        partition: Partition,
        end: Offset,
    ) -> Result<Result<u64, LogError>, End> {
        let (stage, given_up, report) = (&mut self.stage, &self.settings.given_up, self.report);
        stage.create(partition);
        let (mut entries, mut failure): (u64, Option<WorkerError>) = (0, None);
        let mut visit = |offset: Offset, key: &[u8], value: Option<&[u8]>| {
            let number = partition.number;
            if given_up.has_message(changelog, number, offset) {
                report(Report::PassedOver { topic: changelog, partition: number, offset });
                return;
            }
            entries += 1;
            if failure.is_none()
                && let Err(error) = stage.restore(partition, key, value)
            {
                let topic = changelog.to_owned();
                failure = Some(WorkerError::Foreign { topic, partition: number, offset, why: error.to_string() });
            }
        };
        let read = self.log.read_committed(changelog, partition.number, end, &mut visit).await;
        match (failure, read) {
            (Some(error), _) => {
                stage.drop_state(partition);
                Err(End::Stop(error))
            }
            (None, Ok(())) => Ok(Ok(entries)),
            (None, Err(error)) => {
                stage.drop_state(partition);
                Ok(Err(error))
            }
        }
    }

    /// The position that the group and the state agree upon.
    async fn agreed(&self, partition: Partition, group: Option<Offset>, state: Option<Offset>) -> Result<Offset, End> {
        let topic = self.stage.inputs().get(usize::from(partition.topic)).cloned().unwrap_or_default();
        match (group, state, self.settings.forgotten_positions) {
            (Some(group), Some(state), _) if group == state => Ok(state),
            (None, Some(state), ForgottenPositions::FromState) => Ok(state),
            // Nothing was ever processed.
            (None, None, _) => Ok(self.log.first_offset(&topic, partition.number).await?),
            (Some(_), _, _) | (None, Some(_), ForgottenPositions::Stop) => {
                Err(End::Stop(WorkerError::Position { topic, partition: partition.number, group, state }))
            }
        }
    }
}
