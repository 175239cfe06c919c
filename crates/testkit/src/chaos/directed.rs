//! A log that lets something happen at the worst moments of a transaction, such as the end of its own process: what a kill from outside hardly ever hits.

use crate::generator::random::Random;
use runtime::kafka::{KafkaConsumer, KafkaGroup, KafkaLog, KafkaProducer, KafkaReader};
use runtime::worker::log::{Log, LogError, Offset, Outgoing, Partition, Producer, TopicId, TransactionError, Visit};
use rustix::process::{Signal, getpid, kill_process};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How often, in a thousand transactions, each of the moments is taken.
#[derive(Clone, Copy, Debug)]
pub struct Directions {
    /// The process is killed.
    pub killed: u64,
    /// The process is stopped, until somebody lets it go on.
    pub stopped: u64,
}

/// Counts transactions over processes: each is one byte of a file.
#[derive(Clone, Debug)]
pub struct Transactions(Arc<File>);

impl Transactions {
    /// Opens the file that whoever makes trouble reads with [`Transactions::count`].
    ///
    /// # Errors
    /// A file that cannot be opened.
    pub fn open(folder: &Path) -> io::Result<Transactions> {
        let file = OpenOptions::new().create(true).append(true).open(folder.join(TRANSACTIONS))?;
        Ok(Transactions(Arc::new(file)))
    }

    /// Counts the transactions that all processes have committed.
    #[must_use]
    pub fn count(folder: &Path) -> u64 {
        std::fs::metadata(folder.join(TRANSACTIONS)).map_or(0, |file| file.len())
    }

    fn add(&self) {
        // A full disk shows elsewhere.
        let _ = (&*self.0).write_all(b".");
    }
}

const TRANSACTIONS: &str = "transactions";

/// A moment of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// All messages are handed over; positions are not.
    BeforePositions,
    /// All is handed over; the commit is not asked for.
    BeforeCommit,
    /// It is committed, and nobody knows yet.
    Committed,
}

/// What happens at the moments of one producer.
pub type Direction = Box<dyn FnMut(Moment) + Send>;

/// Kafka, with something that happens at the worst moments.
pub struct DirectedLog {
    inner: KafkaLog,
    /// Makes the direction of a producer from its number.
    direct: Box<dyn Fn(u64) -> Direction + Send + Sync>,
    producers: AtomicU64,
}

impl DirectedLog {
    /// A log of which each producer has a direction, by its number.
    #[must_use]
    pub fn new(inner: KafkaLog, direct: impl Fn(u64) -> Direction + Send + Sync + 'static) -> DirectedLog {
        DirectedLog { inner, direct: Box::new(direct), producers: AtomicU64::new(0) }
    }

    /// A log that ends or stops its process. The same seed takes the same moments.
    #[must_use]
    pub fn ending(inner: KafkaLog, directions: Directions, seed: u64, transactions: Transactions) -> DirectedLog {
        DirectedLog::new(inner, move |number| {
            let (mut random, transactions) = (Random::new(seed ^ number << 32), transactions.clone());
            Box::new(move |moment| {
                if moment == Moment::Committed {
                    transactions.add();
                }
                directions.take(&mut random);
            })
        })
    }
}

impl Directions {
    /// Takes a moment, or lets it pass.
    fn take(self, random: &mut Random) {
        let signal = if random.chance(self.killed) {
            Signal::KILL
        } else if random.chance(self.stopped) {
            Signal::STOP
        } else {
            return;
        };
        // A process may always signal itself.
        let _ = kill_process(getpid(), signal);
        std::thread::sleep(Duration::from_millis(1));
    }
}

impl Log for DirectedLog {
    type Consumer = KafkaConsumer;
    type Producer = DirectedProducer;
    type Reader = KafkaReader;

    async fn consumer(&self, group: &str, topics: &[String]) -> Result<KafkaConsumer, LogError> {
        self.inner.consumer(group, topics).await
    }

    async fn reader(&self) -> Result<KafkaReader, LogError> {
        self.inner.reader().await
    }

    async fn topic_ids(&self, topics: &[String]) -> Result<Vec<Option<TopicId>>, LogError> {
        self.inner.topic_ids(topics).await
    }

    async fn uncommitted_ends(&self, places: &[(String, u32)]) -> Result<Vec<Offset>, LogError> {
        self.inner.uncommitted_ends(places).await
    }

    async fn producer(&self, transactional_id: &str) -> Result<DirectedProducer, LogError> {
        let inner = self.inner.producer(transactional_id).await?;
        let number = self.producers.fetch_add(1, Ordering::Relaxed);
        Ok(DirectedProducer { inner, direction: (self.direct)(number) })
    }

    async fn fence(&self, transactional_id: &str) -> Result<(), LogError> {
        self.inner.fence(transactional_id).await
    }

    async fn partitions(&self, topic: &str) -> Result<u32, LogError> {
        self.inner.partitions(topic).await
    }

    async fn first_offset(&self, topic: &str, partition: u32) -> Result<Offset, LogError> {
        self.inner.first_offset(topic, partition).await
    }

    async fn uncommitted_end(&self, topic: &str, partition: u32) -> Result<Offset, LogError> {
        self.inner.uncommitted_end(topic, partition).await
    }

    async fn read_committed(
        &self,
        topic: &str,
        partition: u32,
        end: Offset,
        visit: &mut Visit<'_>,
    ) -> Result<(), LogError> {
        self.inner.read_committed(topic, partition, end, visit).await
    }

    async fn pause(&self, duration: Duration) {
        self.inner.pause(duration).await;
    }
}

/// A producer with a direction.
pub struct DirectedProducer {
    inner: KafkaProducer,
    direction: Direction,
}

impl Producer for DirectedProducer {
    type Group = KafkaGroup;

    async fn begin(&mut self) -> Result<(), TransactionError> {
        self.inner.begin().await
    }

    async fn send(&mut self, message: Outgoing<'_>) -> Result<(), TransactionError> {
        self.inner.send(message).await
    }

    async fn send_offsets(
        &mut self,
        positions: &[(Partition, Offset)],
        owner: &str,
        group: &KafkaGroup,
    ) -> Result<(), TransactionError> {
        (self.direction)(Moment::BeforePositions);
        self.inner.send_offsets(positions, owner, group).await?;
        (self.direction)(Moment::BeforeCommit);
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), TransactionError> {
        self.inner.commit().await?;
        (self.direction)(Moment::Committed);
        Ok(())
    }

    async fn first_delivery(&mut self) {
        self.inner.first_delivery().await;
    }

    async fn abort(&mut self) -> Result<(), TransactionError> {
        self.inner.abort().await
    }
}
