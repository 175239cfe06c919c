//! Questions outside a group: partitions, ends, and a partition read from its beginning.

use super::fault::{Listening, explain, explain_code};
use super::number;
use super::reader::position_in;
use super::settings::KafkaSettings;
use crate::worker::log::{LogError, Offset, TopicId, Visit};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::{ClientConfig, Message, TopicPartitionList};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a restore waits for transactions that are open below the end it wants.
const OPEN_TRANSACTION_LIMIT: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

impl ConsumerContext for Listening {}

/// Asks questions outside a group.
pub(super) struct Questions {
    settings: Arc<KafkaSettings>,
    present: Mutex<Arc<Lookup>>,
}

impl Questions {
    pub(super) fn new(settings: &Arc<KafkaSettings>) -> Result<Questions, LogError> {
        let present = Mutex::new(Arc::new(Lookup::new(Arc::clone(settings))?));
        Ok(Questions { settings: Arc::clone(settings), present })
    }

    /// Asks something. A client reads authorities and passwords once: where they are refused, the next question is another client's.
    pub(super) fn ask<T>(&self, question: impl FnOnce(&Lookup) -> Result<T, LogError>) -> Result<T, LogError> {
        let present = Arc::clone(&self.present.lock().unwrap_or_else(PoisonError::into_inner));
        let answer = question(&present);
        if answer.is_err()
            && present.is_refused()
            && let Ok(next) = Lookup::new(Arc::clone(&self.settings))
        {
            *self.present.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        }
        answer
    }
}

/// A client that reads nothing, and to which an end is the end **with** what is not committed.
pub(super) struct Lookup {
    client: BaseConsumer<Listening>,
    settings: Arc<KafkaSettings>,
}

impl Lookup {
    pub(super) fn new(settings: Arc<KafkaSettings>) -> Result<Lookup, LogError> {
        let mut config = settings.consumer_config();
        settings.add_properties(&mut config);
        config.set("isolation.level", "read_uncommitted");
        let client = client(&config, &settings)?;
        Ok(Lookup { client, settings })
    }

    /// Returns whether the cluster refuses what this client shows, or shows what it does not trust.
    pub(super) fn is_refused(&self) -> bool {
        self.client.context().heard.is_refused()
    }

    /// How many partitions a topic has.
    pub(super) fn partitions(&self, topic: &str) -> Result<u32, LogError> {
        let what = format!("topic {topic:?}");
        let brokers = self.settings.broker_list();
        let heard = &self.client.context().heard;
        let seen = self.ask(&what, |limit| self.client.fetch_metadata(Some(topic), limit))?;
        let Some(seen) = seen.topics().iter().find(|seen| seen.name() == topic) else {
            return Err(LogError::Unavailable(format!("{what}: kafka at {brokers} does not tell its partitions")));
        };
        match seen.error() {
            Some(error) => Err(explain_code(&what, error.into(), heard, &brokers)),
            None => {
                u32::try_from(seen.partitions().len()).map_err(|error| LogError::Refused(format!("{what}: {error}")))
            }
        }
    }

    /// Partitions and copies (the least number of any partition) of a topic; `None` if it is not there.
    pub(super) fn topic(&self, topic: &str) -> Result<Option<(u32, u32)>, LogError> {
        let what = format!("topic {topic:?}");
        let brokers = self.settings.broker_list();
        let seen = self.ask(&what, |limit| self.client.fetch_metadata(Some(topic), limit))?;
        let Some(seen) = seen.topics().iter().find(|seen| seen.name() == topic) else { return Ok(None) };
        match seen.error().map(Code::from) {
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => return Ok(None),
            Some(code) => return Err(explain_code(&what, code, &self.client.context().heard, &brokers)),
            None => {}
        }
        let count = |count: usize| u32::try_from(count).map_err(|error| LogError::Refused(format!("{what}: {error}")));
        let copies = seen.partitions().iter().map(|partition| partition.replicas().len()).min().unwrap_or(0);
        Ok(Some((count(seen.partitions().len())?, count(copies)?)))
    }

    /// The first offset and the end of a partition.
    pub(super) fn ends(&self, topic: &str, partition: u32) -> Result<(Offset, Offset), LogError> {
        let what = format!("topic {topic:?} partition {partition}");
        let partition = number(partition)?;
        self.ask(&what, |limit| self.client.fetch_watermarks(topic, partition, limit))
    }

    /// The ends of several partitions, in one request to each of their brokers. A partition may be named more than once.
    pub(super) fn ends_of(&self, places: &[(String, u32)]) -> Result<Vec<Offset>, LogError> {
        let what = "ends of partitions";
        let failed =
            |error: KafkaError| explain(what, &error, &self.client.context().heard, &self.settings.broker_list());
        let mut list = TopicPartitionList::new();
        // One partition of retries stands beside a partition of each input: named twice, its second place would have no offset, which the broker
        // refuses.
        let distinct: BTreeSet<&(String, u32)> = places.iter().collect();
        for (topic, partition) in distinct {
            // Among times, the end is the one of what comes next.
            list.add_partition_offset(topic, number(*partition)?, rdkafka::Offset::End).map_err(failed)?;
        }
        let told = self.ask(what, |limit| self.client.offsets_for_times(list.clone(), limit))?;
        let each = places.iter().map(|(topic, partition)| {
            let what = format!("topic {topic:?} partition {partition}");
            let at = told.find_partition(topic, number(*partition)?);
            let at = at.ok_or_else(|| LogError::Unavailable(format!("{what}: its end is not told")))?;
            at.error()
                .map_err(|error| explain(&what, &error, &self.client.context().heard, &self.settings.broker_list()))?;
            match position_in(&told, topic, *partition)? {
                Some(end) => Ok(end),
                None => Err(LogError::Unavailable(format!("{what}: its end is not told"))),
            }
        });
        each.collect()
    }

    /// The ids that topics have now; `None` where the cluster gives topics none. Each topic is there.
    pub(super) fn topic_ids(&self, topics: &[String]) -> Result<Vec<Option<TopicId>>, LogError> {
        let what = format!("ids of {}", topics.join(", "));
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        let told = self.ask(&what, |limit| kafka_ffi::topic_ids(self.client.client(), &names, limit))?;
        Ok(told.into_iter().map(|id| id.map(TopicId)).collect())
    }

    /// Asks in slices: the library hears that credentials are refused long before a call of its gives up.
    fn ask<T>(&self, what: &str, call: impl Fn(Duration) -> Result<T, KafkaError>) -> Result<T, LogError> {
        ask(&self.client, &self.settings, what, call)
    }
}

fn ask<T>(
    client: &BaseConsumer<Listening>,
    settings: &KafkaSettings,
    what: &str,
    call: impl Fn(Duration) -> Result<T, KafkaError>,
) -> Result<T, LogError> {
    let deadline = Instant::now() + settings.timeouts.request;
    let heard = &client.context().heard;
    heard.forget();
    loop {
        let limit = deadline.saturating_duration_since(Instant::now()).min(Duration::from_secs(1));
        let error = match call(limit) {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        // What went wrong behind the call waits in the client's queue, among lines of its log.
        while client.poll(LOOK_AGAIN).is_some() {}
        let explained = explain(what, &error, heard, &settings.broker_list());
        match explained {
            LogError::Unavailable(_) if Instant::now() < deadline => {}
            LogError::Unavailable(_) | LogError::Missing(_) | LogError::Refused(_) => return Err(explained),
        }
    }
}

pub(super) fn client(config: &ClientConfig, settings: &KafkaSettings) -> Result<BaseConsumer<Listening>, LogError> {
    config
        .create_with_context(Listening::of(settings))
        .map_err(|error| settings.unusable(format!("kafka at {}: {error}", settings.broker_list())))
}

/// Visits the committed messages of a partition below an offset.
///
/// The last offsets of a partition are often markers of transactions, which nobody is ever shown. So it is first made sure that
/// nothing below the end is open, and then everything is read up to where the committed part ends, which is no earlier.
pub(super) fn read_committed(
    settings: &KafkaSettings,
    topic: &str,
    partition: u32,
    end: Offset,
    visit: &mut Visit<'_>,
) -> Result<(), LogError> {
    let what = format!("topic {topic:?} partition {partition}");
    let partition = number(partition)?;
    let mut config = settings.consumer_config();
    settings.add_properties(&mut config);
    // The library assigns partitions only to members of a group; this one is never joined.
    config
        .set("group.id", format!("{}-restore", settings.client_id))
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "error")
        .set("enable.partition.eof", "true");
    let client = client(&config, settings)?;
    let first = wait_for_stable_end(&client, settings, &what, topic, partition, end)?;
    if first >= end {
        return Ok(());
    }
    let failed = |error: KafkaError| explain(&what, &error, &client.context().heard, &settings.broker_list());
    let mut positions = TopicPartitionList::new();
    positions.add_partition_offset(topic, partition, rdkafka::Offset::Offset(first)).map_err(failed)?;
    client.assign(&positions).map_err(failed)?;
    let mut progress = Instant::now();
    loop {
        match client.poll(settings.timeouts.request) {
            Some(Ok(message)) => {
                progress = Instant::now();
                if message.offset() < end {
                    visit(message.offset(), message.key().unwrap_or_default(), message.payload());
                }
                if message.offset() + 1 >= end {
                    return Ok(());
                }
            }
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(()),
            Some(Err(error)) => match failed(error) {
                // The library goes on trying, and says so each time: what ends it is that nothing comes.
                LogError::Unavailable(_) if progress.elapsed() < settings.timeouts.request => {}
                failed => return Err(failed),
            },
            None => {
                return Err(failed(KafkaError::MessageConsumption(
                    rdkafka::types::RDKafkaErrorCode::OperationTimedOut,
                )));
            }
        }
    }
}

/// The first offset, once all transactions that began below an offset have ended.
fn wait_for_stable_end(
    client: &BaseConsumer<Listening>,
    settings: &KafkaSettings,
    what: &str,
    topic: &str,
    partition: i32,
    end: Offset,
) -> Result<Offset, LogError> {
    let deadline = Instant::now() + OPEN_TRANSACTION_LIMIT;
    loop {
        // To this client the end of a partition is where the first open transaction begins.
        let (first, stable) = ask(client, settings, what, |limit| client.fetch_watermarks(topic, partition, limit))?;
        if stable >= end {
            return Ok(first);
        }
        if Instant::now() >= deadline {
            return Err(LogError::Unavailable(format!(
                "{what}: a transaction is open at offset {stable}, below {end}"
            )));
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}
