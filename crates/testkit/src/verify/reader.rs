//! Topics read from their beginning, committed messages only, and whether the stages have read them.

use super::{Layout, VerifyError};
use crate::load::Connection;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Message as _, Offset, TopicPartitionList};
use std::time::{Duration, Instant};

/// Longest wait for an answer of a broker.
const LIMIT: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// One committed message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'m> {
    pub(super) partition: u32,
    pub(super) offset: i64,
    /// When the log appended it or its sender wrote it, as the topic says, in milliseconds since 1970.
    pub(super) dated_ms: Option<i64>,
    pub(super) value: &'m [u8],
}

pub(super) struct Reader {
    connection: Connection,
    /// For questions about topics.
    asking: BaseConsumer,
    /// The same, which is told of uncommitted messages, too.
    asking_for_all: BaseConsumer,
}

impl Reader {
    /// # Errors
    /// Properties that the client does not take.
    pub(super) fn new(connection: &Connection) -> Result<Reader, VerifyError> {
        let asking = consumer(connection, "rater-verify", "read_committed")?;
        let asking_for_all = consumer(connection, "rater-verify", "read_uncommitted")?;
        Ok(Reader { connection: connection.clone(), asking, asking_for_all })
    }

    fn trouble(&self, topic: &str) -> impl Fn(KafkaError) -> VerifyError + use<> {
        let place = format!("topic {topic:?} of kafka at {}", self.connection.brokers);
        move |error| VerifyError::Surroundings(format!("{place}: {error}"))
    }

    /// How many partitions a topic has.
    ///
    /// # Errors
    /// No answer, or no such topic.
    pub(super) fn partitions(&self, topic: &str) -> Result<u32, VerifyError> {
        let seen = self.asking.fetch_metadata(Some(topic), LIMIT).map_err(self.trouble(topic))?;
        let found = seen.topics().iter().find(|found| found.name() == topic && found.error().is_none());
        match found.map(|found| u32::try_from(found.partitions().len()).unwrap_or(u32::MAX)) {
            Some(count @ 1..) => Ok(count),
            Some(0) | None => Err(VerifyError::Surroundings(format!("topic {topic:?}: there is no such topic"))),
        }
    }

    /// The offset behind the last message of a partition.
    ///
    /// # Errors
    /// No answer.
    pub(super) fn end(&self, topic: &str, partition: u32) -> Result<i64, VerifyError> {
        let marks = self.asking.fetch_watermarks(topic, signed(partition)?, LIMIT);
        marks.map(|(_, end)| end).map_err(self.trouble(topic))
    }

    /// Hands out all committed messages of some partitions, each in order, up to the end as of now.
    ///
    /// # Errors
    /// No answer; messages that are no longer there; what `visit` answers.
    pub(super) fn read(
        &self,
        topic: &str,
        partitions: impl IntoIterator<Item = u32>,
        mut visit: impl FnMut(Message<'_>) -> Result<(), VerifyError>,
    ) -> Result<(), VerifyError> {
        let consumer = consumer(&self.connection, "rater-verify", "read_committed")?;
        let mut list = TopicPartitionList::new();
        let mut open = 0_u32;
        for partition in partitions {
            let number = signed(partition)?;
            let (first, _) = self.asking.fetch_watermarks(topic, number, LIMIT).map_err(self.trouble(topic))?;
            if first > 0 {
                let what = format!("topic {topic:?} partition {partition} begins at {first}: what came before is gone");
                return Err(VerifyError::Refused(what));
            }
            list.add_partition_offset(topic, number, Offset::Offset(0)).map_err(self.trouble(topic))?;
            open += 1;
        }
        consumer.assign(&list).map_err(self.trouble(topic))?;
        while open > 0 {
            match consumer.poll(LIMIT) {
                Some(Ok(message)) => visit(Message {
                    partition: u32::try_from(message.partition()).unwrap_or(u32::MAX),
                    offset: message.offset(),
                    dated_ms: message.timestamp().to_millis(),
                    value: message.payload().unwrap_or_default(),
                })?,
                Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
                Some(Err(error)) => return Err(self.trouble(topic)(error)),
                None => return Err(VerifyError::Surroundings(format!("topic {topic:?}: no answer"))),
            }
        }
        Ok(())
    }

    /// Partitions in which a transaction is open: what stands behind its beginning cannot be seen.
    ///
    /// # Errors
    /// No answer.
    pub(super) fn open_transactions(&self, topic: &str) -> Result<Vec<u32>, VerifyError> {
        let count = self.partitions(topic)?;
        let mut open = Vec::new();
        for partition in 0..count {
            // In this order, a transaction that begins in between is not taken for an old one.
            let (_, end) =
                self.asking_for_all.fetch_watermarks(topic, signed(partition)?, LIMIT).map_err(self.trouble(topic))?;
            let (_, stable) =
                self.asking.fetch_watermarks(topic, signed(partition)?, LIMIT).map_err(self.trouble(topic))?;
            if stable < end {
                open.push(partition);
            }
        }
        Ok(open)
    }

    /// Waits until each stage has processed all that there is for it.
    ///
    /// # Errors
    /// No answer, or not done within `limit`.
    pub(super) fn wait_until_drained(&self, layout: &Layout, limit: Duration) -> Result<(), VerifyError> {
        let stages = layout.stages();
        self.wait_until(limit, || {
            for (group, topics) in &stages {
                if !self.is_drained(group, topics)? {
                    return Ok(Some(format!("group {group} has not read all")));
                }
            }
            Ok(None)
        })
    }

    /// Looks until `look` finds nothing missing any more. A broker without an answer is asked again: coordinators move and brokers restart.
    ///
    /// # Errors
    /// What `look` refuses; what is missing or not answered, if that is still so after `limit`.
    pub(super) fn wait_until(
        &self,
        limit: Duration,
        look: impl Fn() -> Result<Option<String>, VerifyError>,
    ) -> Result<(), VerifyError> {
        let deadline = Instant::now() + limit;
        loop {
            let missing = match look() {
                Ok(None) => return Ok(()),
                Ok(Some(missing)) | Err(VerifyError::Surroundings(missing)) => missing,
                Err(error @ VerifyError::Refused(_)) => return Err(error),
            };
            if Instant::now() >= deadline {
                return Err(VerifyError::Surroundings(format!("after {} s: {missing}", limit.as_secs())));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Whether no message stands behind the positions of a group.
    fn is_drained(&self, group: &str, topics: &[String]) -> Result<bool, VerifyError> {
        let consumer = consumer(&self.connection, group, "read_committed")?;
        let mut wanted = TopicPartitionList::new();
        for topic in topics {
            for partition in 0..self.partitions(topic)? {
                wanted.add_partition(topic, signed(partition)?);
            }
        }
        let trouble = self.trouble(&topics.join(", "));
        let committed = consumer.committed_offsets(wanted, LIMIT).map_err(&trouble)?;
        let mut list = TopicPartitionList::new();
        for element in committed.elements() {
            let offset = match element.offset() {
                Offset::Offset(position) => Offset::Offset(position),
                _ => Offset::Beginning,
            };
            list.add_partition_offset(element.topic(), element.partition(), offset).map_err(&trouble)?;
        }
        let mut open = list.count();
        consumer.assign(&list).map_err(&trouble)?;
        while open > 0 {
            match consumer.poll(LIMIT) {
                Some(Ok(_)) => return Ok(false),
                Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
                Some(Err(error)) => return Err(trouble(error)),
                None => return Err(VerifyError::Surroundings(format!("group {group}: no answer"))),
            }
        }
        Ok(true)
    }
}

fn consumer(connection: &Connection, group: &str, isolation: &str) -> Result<BaseConsumer, VerifyError> {
    let mut config = connection.client();
    config
        .set("group.id", group)
        .set("isolation.level", isolation)
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error")
        // That there is nothing more is told only after this long.
        .set("fetch.wait.max.ms", "10")
        .set("queued.max.messages.kbytes", "32768");
    config.create().map_err(|error| VerifyError::Refused(error.to_string()))
}

fn signed(partition: u32) -> Result<i32, VerifyError> {
    i32::try_from(partition)
        .map_err(|_| VerifyError::Refused(format!("partition {partition}: there is no such number")))
}
