//! Transactions.
//!
//! A commit through the client's own call takes 100 ms whenever messages are under way, because it waits in steps of that length. So the
//! thread of the client reports what was delivered, we wait for all of it, and only then commit.

use super::MAX_MESSAGE_BYTES;
use super::consumer::KafkaGroup;
use super::fault::{Heard, explain, is_for_good, judge};
use super::lookup::Questions;
use super::settings::KafkaSettings;
use crate::worker::log::{LogError, Offset, Outgoing, Partition, Producer as LogProducer, TransactionError};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, ClientContext, Message, TopicPartitionList};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Between two looks at how much is under way; less than a tenth of what a commit takes.
const LOOK_AGAIN: Duration = Duration::from_micros(200);
/// Pause before a full queue is tried again.
const QUEUE_PAUSE: Duration = Duration::from_millis(1);
/// How long an abort waits for the fate of one message.
const FIRST_DELIVERY_LIMIT: Duration = Duration::from_secs(2);

/// A producer of one transactional id.
pub struct KafkaProducer {
    client: ThreadedProducer<Deliveries>,
    settings: Arc<KafkaSettings>,
    questions: Arc<Questions>,
    /// Topics that are there, with their partitions.
    known: Vec<(String, u32)>,
    /// Messages of this transaction.
    sent: u64,
}

/// What the client's thread reports.
struct Deliveries {
    /// Messages of this transaction that did not arrive. Those that did are not reported: that would cost as much as sending them.
    failed: AtomicU64,
    /// Why the first of them did not.
    failure: Mutex<Option<(String, Code)>>,
    heard: Heard,
}

impl ClientContext for Deliveries {
    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}

    fn error(&self, error: KafkaError, reason: &str) {
        self.heard.note(&error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, message)) = result {
            self.failed.fetch_add(1, Ordering::Relaxed);
            let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
            if let (None, Some(code)) = (failure.as_ref(), error.rdkafka_error_code()) {
                *failure = Some((message.topic().to_owned(), code));
            }
        }
    }
}

/// What producers of a transactional id are made of.
fn config(settings: &KafkaSettings, transactional_id: &str) -> ClientConfig {
    let mut config = settings.client_config();
    config
        .set("compression.type", "lz4")
        // Larger batches cost less. Their wait passes while the positions are sent, so a commit takes no longer.
        .set("linger.ms", "20")
        .set("batch.num.messages", "10000")
        // A single message may be longer than a batch (1 MB); the topics have the same limit, with room for what stands around it.
        .set("message.max.bytes", (MAX_MESSAGE_BYTES - 65_536).to_string())
        // A transaction is bounded by the worker's batch; more than one never waits here.
        .set("queue.buffering.max.messages", "1000000")
        .set("queue.buffering.max.kbytes", "524288")
        .set("retry.backoff.ms", "10")
        .set("topic.metadata.propagation.max.ms", "2000");
    settings.add_properties(&mut config);
    config
        .set("transaction.timeout.ms", settings.timeouts.transaction.as_millis().to_string())
        .set("transactional.id", transactional_id)
        .set("enable.idempotence", "true")
        .set("delivery.report.only.error", "true")
        // As the other clients of Kafka find the partition of a key.
        .set("partitioner", "murmur2_random");
    config
}

fn create(settings: &KafkaSettings, transactional_id: &str) -> Result<ThreadedProducer<Deliveries>, LogError> {
    let what = format!("transactional id {transactional_id:?}");
    let brokers = settings.broker_list();
    let client: ThreadedProducer<Deliveries> = config(settings, transactional_id)
        .create_with_context(Deliveries {
            failed: AtomicU64::new(0),
            failure: Mutex::new(None),
            heard: Heard::of(settings),
        })
        .map_err(|error| settings.unusable(format!("{what}, kafka at {brokers}: {error}")))?;
    let deadline = Instant::now() + settings.timeouts.request;
    loop {
        // In slices, because the library hears that credentials are refused long before this gives up.
        let Err(error) = client.init_transactions(Duration::from_secs(1)) else {
            settings.served.note();
            return Ok(client);
        };
        let heard = &client.context().heard;
        let is_retriable = matches!(&error, KafkaError::Transaction(inner) if inner.is_retriable());
        if !is_retriable || heard.is_locked_out() || Instant::now() >= deadline {
            return Err(match explain(&what, &error, heard, &brokers) {
                LogError::Unavailable(what) if !is_retriable => LogError::Refused(format!("{what}: {error}")),
                explained => explained,
            });
        }
    }
}

/// Ends what a producer of this id left open, by being its successor for a moment.
pub(super) fn fence(settings: &KafkaSettings, transactional_id: &str) -> Result<(), LogError> {
    create(settings, transactional_id).map(drop)
}

impl KafkaProducer {
    pub(super) fn new(
        settings: &Arc<KafkaSettings>,
        questions: &Arc<Questions>,
        transactional_id: &str,
    ) -> Result<Self, LogError> {
        let client = create(settings, transactional_id)?;
        Ok(KafkaProducer {
            client,
            settings: Arc::clone(settings),
            questions: Arc::clone(questions),
            known: Vec::new(),
            sent: 0,
        })
    }

    /// Messages to topics that are not there would only fail seconds later, with the whole transaction.
    fn check_target(&mut self, topic: &str, partition: Option<u32>) -> Result<(), TransactionError> {
        let known = self.known.iter().find(|(known, _)| known == topic).map(|(_, partitions)| *partitions);
        let partitions = match known {
            Some(partitions) => partitions,
            None => {
                let partitions =
                    self.questions.ask(|lookup| lookup.partitions(topic)).map_err(|error| match error {
                        LogError::Unavailable(what) => TransactionError::Retriable(what),
                        LogError::Missing(what) | LogError::Refused(what) => TransactionError::Uncertain(what),
                    })?;
                self.known.push((topic.to_owned(), partitions));
                partitions
            }
        };
        match partition {
            Some(partition) if partition >= partitions => {
                // It may have grown: look again next time.
                self.known.retain(|(known, _)| known != topic);
                Err(TransactionError::Uncertain(format!(
                    "topic {topic:?} has {partitions} partitions, so none of number {partition}"
                )))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Waits until the fate of all messages is known.
    fn wait_for_deliveries(&self) -> Result<(), TransactionError> {
        let deadline = Instant::now() + self.settings.timeouts.commit;
        while self.client.in_flight_count() > 0 {
            if Instant::now() >= deadline {
                let (left, brokers) = (self.client.in_flight_count(), self.settings.broker_list());
                let what = format!("{left} messages are still under way to kafka at {brokers}");
                return Err(TransactionError::Retriable(what));
            }
            thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }

    /// A message that would be refused again makes the transaction fail for ever: then the worker has to hear of it and not to repeat it.
    fn weigh(&self, error: TransactionError) -> TransactionError {
        let deliveries = self.client.context();
        let failure = deliveries.failure.lock().unwrap_or_else(PoisonError::into_inner);
        match (error, failure.as_ref()) {
            (TransactionError::Abortable(what), Some((topic, code))) => {
                let failed = deliveries.failed.load(Ordering::Relaxed);
                let what = format!("{what}: {failed} messages did not arrive, the first for topic {topic:?}: {code}");
                if is_for_good(*code) { TransactionError::Uncertain(what) } else { TransactionError::Abortable(what) }
            }
            (error, _) => error,
        }
    }
}

impl LogProducer for KafkaProducer {
    type Group = KafkaGroup;

    async fn begin(&mut self) -> Result<(), TransactionError> {
        let deliveries = self.client.context();
        deliveries.failed.store(0, Ordering::Relaxed);
        *deliveries.failure.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.sent = 0;
        self.client.begin_transaction().map_err(|error| judge("beginning a transaction", &error))
    }

    async fn send(&mut self, message: Outgoing<'_>) -> Result<(), TransactionError> {
        self.check_target(message.topic, message.partition)?;
        let partition = message.partition.and_then(|partition| i32::try_from(partition).ok());
        let headers = (!message.headers.is_empty()).then(|| {
            let empty = OwnedHeaders::new_with_capacity(message.headers.len());
            message
                .headers
                .iter()
                .fold(empty, |all, (key, value)| all.insert(Header { key, value: Some(value.as_str()) }))
        });
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord {
            topic: message.topic,
            partition,
            payload: message.value,
            key: message.key,
            timestamp: None,
            headers,
            delivery_opaque: (),
        };
        let mut deadline = None;
        loop {
            let (error, back) = match self.client.send(record) {
                Ok(()) => {
                    self.sent += 1;
                    return Ok(());
                }
                Err(failed) => failed,
            };
            let what = format!("message for topic {:?}: {error}", message.topic);
            match error {
                KafkaError::MessageProduction(Code::QueueFull) => {
                    let limit = self.settings.timeouts.commit;
                    if Instant::now() >= *deadline.get_or_insert_with(|| Instant::now() + limit) {
                        return Err(TransactionError::Abortable(what));
                    }
                    record = back;
                    thread::sleep(QUEUE_PAUSE);
                }
                KafkaError::MessageProduction(code) if is_for_good(code) || code == Code::Fatal => {
                    return Err(TransactionError::Uncertain(what));
                }
                // The transaction has failed meanwhile.
                KafkaError::MessageProduction(_) => return Err(self.weigh(TransactionError::Abortable(what))),
                _ => return Err(TransactionError::Uncertain(what)),
            }
        }
    }

    async fn send_offsets(
        &mut self,
        positions: &[(Partition, Offset)],
        owner: &str,
        group: &KafkaGroup,
    ) -> Result<(), TransactionError> {
        let Some(member) = &group.member else {
            return Err(TransactionError::Abortable("positions: the consumer is in no group".to_owned()));
        };
        let mut list = TopicPartitionList::new();
        for (partition, offset) in positions {
            let topic = group.inputs.get(usize::from(partition.topic)).map_or("", String::as_str);
            let wrong = || TransactionError::Uncertain(format!("position {offset} of topic {topic:?} cannot be sent"));
            let number = i32::try_from(partition.number).map_err(|_| wrong())?;
            list.add_partition_offset(topic, number, rdkafka::Offset::Offset(*offset)).map_err(|_| wrong())?;
            list.find_partition(topic, number).ok_or_else(wrong)?.set_metadata(owner);
        }
        self.client
            .send_offsets_to_transaction(&list, member, self.settings.timeouts.commit)
            .map_err(|error| self.weigh(judge("sending positions", &error)))
    }

    async fn commit(&mut self) -> Result<(), TransactionError> {
        self.wait_for_deliveries()?;
        self.client
            .commit_transaction(self.settings.timeouts.commit)
            .map_err(|error| self.weigh(judge("committing", &error)))
    }

    async fn first_delivery(&mut self) {
        let deadline = Instant::now() + FIRST_DELIVERY_LIMIT;
        let sent = i64::try_from(self.sent).unwrap_or(i64::MAX);
        while sent > 0 && i64::from(self.client.in_flight_count()) >= sent && Instant::now() < deadline {
            thread::sleep(LOOK_AGAIN);
        }
    }

    async fn abort(&mut self) -> Result<(), TransactionError> {
        self.client.abort_transaction(self.settings.timeouts.commit).map_err(|error| judge("aborting", &error))
    }
}
