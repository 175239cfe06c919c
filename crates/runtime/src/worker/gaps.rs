//! Whether the inputs are still what the state was made from: topics that are others now, and messages that are gone, unread.

use super::log::{Log, LogError, Offset, Partition};
use super::sides::is_other;
use super::{End, Gap, Report, Stage, Worker, WorkerError};

impl<L: Log, S: Stage> Worker<'_, L, S> {
    /// Checks that the topics of the batch are still those that the state was made from: as of now, which is after the batch was read.
    pub(super) async fn check_topics(&self) -> Result<(), End> {
        if self.topics.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = self.topics.keys().map(|at| self.input(*at).to_owned()).collect();
        let now = self.log.topic_ids(&names).await?;
        for ((at, known), now) in self.topics.iter().zip(now) {
            if is_other(Some(*known), now) {
                if self.stage.reads_ticks_alone() {
                    let topic = self.input(*at);
                    return Err(LogError::Unavailable(format!("topic {topic} was made anew")).into());
                }
                let partition = self.positions.keys().find(|partition| partition.topic == *at);
                let number = partition.map_or(0, |partition| partition.number);
                return Err(self.made_anew(self.input(*at), number, Some(*known), now));
            }
        }
        Ok(())
    }

    /// Checks that nothing is gone of the inputs that was not processed. A gap that may be skipped is skipped when its partition is taken over again.
    pub(super) async fn check_gaps(&self) -> Result<(), End> {
        for (partition, position) in &self.positions {
            if let Some(gap) = self.gap_before(*partition, *position).await? {
                if !self.stage.reads_ticks_alone() {
                    self.check_given_up(&gap)?;
                }
                return Err(LogError::Unavailable(gap.to_string()).into());
            }
        }
        Ok(())
    }

    /// The first offset to process of an input: its position, or what is there behind a gap that was given up.
    pub(super) async fn over_gap(&self, partition: Partition, position: Offset) -> Result<Offset, End> {
        match self.gap_before(partition, position).await? {
            None => Ok(position),
            Some(gap) if self.stage.reads_ticks_alone() => Ok(gap.to),
            Some(gap) => self.give_up(&gap),
        }
    }

    /// What is gone of an input between its position and the first message that is there.
    async fn gap_before(&self, partition: Partition, position: Offset) -> Result<Option<Gap>, End> {
        let topic = self.input(partition.topic);
        let first = self.log.first_offset(topic, partition.number).await?;
        let gap = || Gap { topic: topic.to_owned(), partition: partition.number, from: position, to: first };
        Ok((position < first).then(gap))
    }

    /// Goes on behind a gap, if somebody said so; where.
    pub(super) fn give_up(&self, gap: &Gap) -> Result<Offset, End> {
        self.check_given_up(gap)?;
        (self.report)(Report::GaveUp(gap));
        Ok(gap.to)
    }

    fn check_given_up(&self, gap: &Gap) -> Result<(), End> {
        match self.settings.given_up.gaps.contains(&gap.topic) {
            true => Ok(()),
            false => Err(End::Stop(WorkerError::Gap(gap.clone()))),
        }
    }
}
