//! Reads single partitions for a worker, outside any group: what stands beside its inputs.

use super::fault::{Listening, explain};
use super::headers::trace_of;
use super::lookup::client;
use super::number;
use super::settings::KafkaSettings;
use crate::worker::log::{Aside, LogError, Offset, ReadFrom, Reader};
use rating::Timestamp;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Message, Timestamp as Stamp, TopicPartitionList};
use std::sync::Arc;
use std::time::Duration;

/// Reads committed messages of the partitions that it is told to read.
pub struct KafkaReader {
    client: BaseConsumer<Listening>,
    settings: Arc<KafkaSettings>,
    places: Vec<ReadFrom>,
}

impl KafkaReader {
    pub(super) fn new(settings: &Arc<KafkaSettings>) -> Result<KafkaReader, LogError> {
        let mut config = settings.consumer_config();
        config.set("fetch.wait.max.ms", "500");
        settings.add_properties(&mut config);
        // The library assigns partitions only to members of a group; this one is never joined.
        config
            .set("group.id", format!("{}-beside", settings.client_id))
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "error")
            .set("enable.partition.eof", "false");
        let client = client(&config, settings)?;
        Ok(KafkaReader { client, settings: Arc::clone(settings), places: Vec::new() })
    }

    fn failed(&self, error: &KafkaError) -> LogError {
        let names: Vec<&str> = self.places.iter().map(|place| place.topic.as_str()).collect();
        let what = format!("reading {}", names.join(", "));
        explain(&what, error, &self.client.context().heard, &self.settings.broker_list())
    }
}

impl Reader for KafkaReader {
    async fn assign(&mut self, places: &[ReadFrom]) -> Result<(), LogError> {
        self.places = places.to_vec();
        let mut list = TopicPartitionList::new();
        for place in places {
            list.add_partition_offset(&place.topic, number(place.partition)?, rdkafka::Offset::Offset(place.offset))
                .map_err(|error| self.failed(&error))?;
        }
        self.client.assign(&list).map_err(|error| self.failed(&error))
    }

    async fn take(&mut self, most: usize, visit: &mut dyn FnMut(Aside<'_>)) -> Result<(), LogError> {
        let mut room = Vec::new();
        for _ in 0..most {
            let error = match self.client.poll(Duration::ZERO) {
                None => return Ok(()),
                Some(Ok(message)) => {
                    let is_from = |place: &ReadFrom| {
                        place.topic == message.topic() && i64::from(place.partition) == i64::from(message.partition())
                    };
                    let Some(place) = self.places.iter().position(is_from) else { continue };
                    let appended = match message.timestamp() {
                        Stamp::LogAppendTime(millis) => Some(Timestamp::from_millis(millis)),
                        Stamp::CreateTime(_) | Stamp::NotAvailable => None,
                    };
                    visit(Aside {
                        place,
                        offset: message.offset(),
                        key: message.key(),
                        value: message.payload().unwrap_or_default(),
                        appended,
                        trace: message.headers().and_then(|headers| trace_of(headers, &mut room)),
                    });
                    continue;
                }
                Some(Err(error)) => error,
            };
            match self.failed(&error) {
                // The library goes on trying; meanwhile nothing comes, and nothing is done before it.
                LogError::Unavailable(_) if !self.client.context().heard.is_locked_out() => {}
                failed => return Err(failed),
            }
        }
        Ok(())
    }

    fn handed_over(&mut self) -> Result<Vec<Offset>, LogError> {
        let told = self.client.position().map_err(|error| self.failed(&error))?;
        self.places
            .iter()
            .map(|place| Ok(position_in(&told, &place.topic, place.partition)?.unwrap_or(place.offset)))
            .collect()
    }
}

/// The offset behind what the library has handed over of a partition, markers of transactions with it; `None` where it has handed over nothing
/// since it was told from where on to read.
pub(super) fn position_in(told: &TopicPartitionList, topic: &str, partition: u32) -> Result<Option<Offset>, LogError> {
    let found = told.find_partition(topic, number(partition)?);
    Ok(found.and_then(|at| match at.offset() {
        rdkafka::Offset::Offset(offset) => Some(offset),
        rdkafka::Offset::Beginning
        | rdkafka::Offset::End
        | rdkafka::Offset::Stored
        | rdkafka::Offset::Invalid
        | rdkafka::Offset::OffsetTail(_) => None,
    }))
}
