//! One transaction: outputs, state and positions, or nothing.

use super::counts::BatchTimes;
use super::log::{Consumer, Log, Offset, Partition, Producer, TransactionError};
use super::{Lap, RETRY_PAUSE, Stage, Worker};

/// What became of a transaction.
pub(super) enum Fate {
    /// All of it is there.
    Committed,
    /// None of it is.
    Aborted(String),
    /// Nobody knows yet.
    Uncertain(String),
}

impl<L: Log, S: Stage> Worker<'_, L, S> {
    /// Sends the output and the positions in one transaction.
    pub(super) async fn transact(
        &self,
        producer: &mut L::Producer,
        consumer: &L::Consumer,
        positions: &[(Partition, Offset)],
        times: &mut BatchTimes,
    ) -> Fate {
        match self.try_transact(producer, consumer, positions, times).await {
            Ok(()) => Fate::Committed,
            Err(TransactionError::Abortable(why)) => self.abort(producer, why).await,
            Err(TransactionError::Retriable(why) | TransactionError::Uncertain(why)) => Fate::Uncertain(why),
        }
    }

    async fn try_transact(
        &self,
        producer: &mut L::Producer,
        consumer: &L::Consumer,
        positions: &[(Partition, Offset)],
        times: &mut BatchTimes,
    ) -> Result<(), TransactionError> {
        let mut lap = Lap::start();
        let mut attempts = Attempts { left: self.settings.attempts };
        while let Err(error) = producer.begin().await {
            attempts.again(self.log, error).await?;
        }
        for message in self.output.messages(self.stage.outputs()) {
            while let Err(error) = producer.send(message).await {
                attempts.again(self.log, error).await?;
            }
        }
        let owner = &self.settings.transactional_id;
        // The member as of now: one that the group has replaced meanwhile is refused.
        while let Err(error) = producer.send_offsets(positions, owner, &consumer.group()).await {
            attempts.again(self.log, error).await?;
        }
        times.send = lap.next();
        while let Err(error) = producer.commit().await {
            attempts.again(self.log, error).await?;
        }
        times.commit = lap.next();
        Ok(())
    }

    async fn abort(&self, producer: &mut L::Producer, why: String) -> Fate {
        producer.first_delivery().await;
        let mut attempts = Attempts { left: self.settings.attempts };
        while let Err(error) = producer.abort().await {
            if let Err(error) = attempts.again(self.log, error).await {
                return Fate::Uncertain(format!("{why}; abort: {error}"));
            }
        }
        Fate::Aborted(why)
    }
}

/// How often the same call may still be made.
struct Attempts {
    left: u32,
}

impl Attempts {
    /// Waits if the same call may be made again.
    async fn again<L: Log>(&mut self, log: &L, error: TransactionError) -> Result<(), TransactionError> {
        match error {
            TransactionError::Retriable(_) if self.left > 0 => {
                self.left -= 1;
                log.pause(RETRY_PAUSE).await;
                Ok(())
            }
            TransactionError::Retriable(_) | TransactionError::Abortable(_) | TransactionError::Uncertain(_) => {
                Err(error)
            }
        }
    }
}
