//! Kafka below the [worker](crate::worker): its consumer, its transactional producer, and the questions a restore asks.
//!
//! Owns the client library's settings and what its errors mean. All calls block, so each worker has a thread of its own, where
//! [`block_on`] runs it; the futures of the seam are always ready.
//!
//! | file | owns |
//! | --- | --- |
//! | `admin` | topics made and changed |
//! | `settings` | brokers, security, time-outs |
//! | `properties` | which properties of the client library a user may set |
//! | `lookup` | questions outside a group: partitions, ends, a partition read from its beginning |
//! | `consumer` | a member of a group, which tells the group's news and takes over nothing by itself |
//! | `ends` | the ends of partitions that a member reads, as far as the library tells of them |
//! | `producer` | transactions |
//! | `reader` | single partitions, outside any group |
//! | `fault` | what an error means, for the worker and for people |
//!
//! It does not know what a message means, and it has no `unsafe` code: what the safe interface of the client costs is measured by
//! `benches/kafka.rs`, and the one call that it lacks is made by the crate `kafka_ffi`.

mod admin;
mod consumer;
mod ends;
mod fault;
mod headers;
mod lookup;
mod producer;
mod properties;
mod reader;
mod settings;

pub use admin::{FoundTopic, KafkaAdmin};
pub use consumer::{KafkaConsumer, KafkaGroup};
pub use producer::KafkaProducer;
pub use reader::KafkaReader;
pub use settings::{HAS_TLS, KafkaSettings, Mechanism, Sasl, Secret, Security, SettingsError, Timeouts, Tls};

use crate::worker::log::{Log, LogError, Offset, TopicId, Visit};
use lookup::Questions;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

/// The longest message that is written. A record that waits is written with its original, so this is well above what the inputs may
/// bring (by Kafka's default 1 MB).
pub const MAX_MESSAGE_BYTES: u32 = 8_388_608;

/// A Kafka cluster as a worker sees it. One value may serve several workers.
pub struct KafkaLog {
    settings: Arc<KafkaSettings>,
    questions: Arc<Questions>,
}

impl KafkaLog {
    /// Checks the settings; no broker is asked yet.
    ///
    /// # Errors
    /// [`LogError::Refused`] with all mistakes of the settings.
    pub fn new(settings: KafkaSettings) -> Result<KafkaLog, LogError> {
        settings.check().map_err(|error| LogError::Refused(error.to_string()))?;
        let settings = Arc::new(settings);
        let questions = Arc::new(Questions::new(&settings)?);
        Ok(KafkaLog { settings, questions })
    }
}

impl Log for KafkaLog {
    type Consumer = KafkaConsumer;
    type Producer = KafkaProducer;
    type Reader = KafkaReader;

    async fn consumer(&self, group: &str, topics: &[String]) -> Result<KafkaConsumer, LogError> {
        // A group's member only hears of a missing topic much later.
        for topic in topics {
            self.questions.ask(|lookup| lookup.partitions(topic))?;
        }
        KafkaConsumer::join(&self.settings, group, topics)
    }

    async fn producer(&self, transactional_id: &str) -> Result<KafkaProducer, LogError> {
        KafkaProducer::new(&self.settings, &self.questions, transactional_id)
    }

    async fn reader(&self) -> Result<KafkaReader, LogError> {
        KafkaReader::new(&self.settings)
    }

    async fn topic_ids(&self, topics: &[String]) -> Result<Vec<Option<TopicId>>, LogError> {
        self.questions.ask(|lookup| lookup.topic_ids(topics))
    }

    async fn fence(&self, transactional_id: &str) -> Result<(), LogError> {
        producer::fence(&self.settings, transactional_id)
    }

    async fn partitions(&self, topic: &str) -> Result<u32, LogError> {
        self.questions.ask(|lookup| lookup.partitions(topic))
    }

    async fn first_offset(&self, topic: &str, partition: u32) -> Result<Offset, LogError> {
        self.questions.ask(|lookup| lookup.ends(topic, partition)).map(|(first, _)| first)
    }

    async fn uncommitted_end(&self, topic: &str, partition: u32) -> Result<Offset, LogError> {
        self.questions.ask(|lookup| lookup.ends(topic, partition)).map(|(_, end)| end)
    }

    async fn uncommitted_ends(&self, places: &[(String, u32)]) -> Result<Vec<Offset>, LogError> {
        self.questions.ask(|lookup| lookup.ends_of(places))
    }

    async fn read_committed(
        &self,
        topic: &str,
        partition: u32,
        end: Offset,
        visit: &mut Visit<'_>,
    ) -> Result<(), LogError> {
        lookup::read_committed(&self.settings, topic, partition, end, visit)
    }

    async fn pause(&self, duration: Duration) {
        thread::sleep(duration);
    }
}

/// Runs a future on this thread to its end. Those of [`KafkaLog`] never wait; one that does sleeps until it is woken.
pub fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// The client library numbers partitions with a sign.
fn number(partition: u32) -> Result<i32, LogError> {
    i32::try_from(partition).map_err(|_| LogError::Refused(format!("partition {partition}: kafka has no such number")))
}
