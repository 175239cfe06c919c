//! The simulated log below the worker's seam.

use super::consumer::SimulatedConsumer;
use super::partition::{Isolation, Message, Read};
use super::producer::SimulatedProducer;
use super::reader::SimulatedReader;
use super::world::{MS, Micros, Node, Place, REQUEST_LIMIT, Responder, Shared, World, ask, sleep, step};
use runtime::worker::log::{Log, LogError, Offset, TopicId, Visit};
use std::time::Duration;

/// How long a reader waits for what is not stable.
const READ_LIMIT: Micros = 1_500 * MS;

/// The log as one process sees it.
#[derive(Clone)]
pub struct SimulatedLog {
    pub(super) shared: Shared,
}

fn unanswered(what: &str) -> LogError {
    LogError::Unavailable(format!("{what}: no answer"))
}

impl SimulatedLog {
    fn place(&self, topic: &str, number: u32) -> Result<Place, LogError> {
        let world = self.shared.borrow();
        let found = world.topics.iter().position(|known| known.name == topic);
        found
            .map(|topic| Place { topic, number })
            .filter(|place| (number as usize) < world.topics[place.topic].partitions.len())
            .ok_or_else(|| LogError::Missing(format!("topic {topic:?} has no partition {number}")))
    }

    pub(super) async fn end(&self, topic: &str, number: u32, isolation: Isolation) -> Result<Offset, LogError> {
        let place = self.place(topic, number)?;
        step(&self.shared, "stopped before asking for an end").await;
        let handle = move |world: &mut World, responder: Responder<Offset>| {
            let end = world.partition(place).end(isolation);
            responder.answer(world, end);
        };
        ask(&self.shared, Node::Leader(place), REQUEST_LIMIT, handle).await.ok_or_else(|| unanswered("end"))
    }

    pub(super) async fn read(
        &self,
        topic: &str,
        number: u32,
        end: Offset,
        isolation: Isolation,
        visit: &mut Visit<'_>,
    ) -> Result<(), LogError> {
        let place = self.place(topic, number)?;
        step(&self.shared, "stopped before restoring").await;
        let (mut at, mut deadline) = (0, self.shared.borrow().now + READ_LIMIT);
        while at < end {
            let handle = move |world: &mut World, responder: Responder<(Vec<Read>, Offset)>| {
                let read = world.partition(place).read(at, end, 40, isolation);
                responder.answer(world, read);
            };
            let told = ask(&self.shared, Node::Leader(place), REQUEST_LIMIT, handle).await;
            let now = self.shared.borrow().now;
            match told {
                Some((found, next)) if next > at => {
                    found.iter().for_each(|Read { offset, message: Message { key, value }, .. }| {
                        visit(*offset, key.as_deref().unwrap_or_default(), value.as_deref());
                    });
                    (at, deadline) = (next, now + READ_LIMIT);
                }
                Some(_) | None if now >= deadline => return Err(LogError::Unavailable("not stable yet".to_owned())),
                Some(_) | None => {
                    self.shared.borrow_mut().count("restore waited for a transaction or a broker");
                    sleep(&self.shared, 30 * MS).await;
                }
            }
        }
        Ok(())
    }
}

impl Log for SimulatedLog {
    type Consumer = SimulatedConsumer;
    type Producer = SimulatedProducer;
    type Reader = SimulatedReader;

    async fn consumer(&self, group: &str, topics: &[String]) -> Result<SimulatedConsumer, LogError> {
        let (group, topics) = {
            let world = self.shared.borrow();
            let group = world.groups.iter().position(|known| known.name == group);
            let topic = |name: &String| world.topics.iter().position(|known| known.name == *name);
            (group, topics.iter().map(topic).collect::<Option<Vec<usize>>>())
        };
        match (group, topics) {
            (Some(group), Some(topics)) => Ok(SimulatedConsumer::join(&self.shared, group, topics)),
            _ => Err(LogError::Refused("no such group or topic".to_owned())),
        }
    }

    async fn reader(&self) -> Result<SimulatedReader, LogError> {
        Ok(SimulatedReader::new(&self.shared))
    }

    async fn topic_ids(&self, topics: &[String]) -> Result<Vec<Option<TopicId>>, LogError> {
        let world = self.shared.borrow();
        let place = |name: &String| world.topics.iter().position(|known| known.name == *name);
        Ok(topics.iter().map(|name| place(name).map(|place| TopicId((place as u128 + 1).to_be_bytes()))).collect())
    }

    async fn producer(&self, transactional_id: &str) -> Result<SimulatedProducer, LogError> {
        SimulatedProducer::create(&self.shared, transactional_id).await
    }

    async fn fence(&self, transactional_id: &str) -> Result<(), LogError> {
        self.shared.borrow_mut().count("fenced for a successor");
        SimulatedProducer::create(&self.shared, transactional_id).await.map(drop)
    }

    async fn partitions(&self, topic: &str) -> Result<u32, LogError> {
        let world = self.shared.borrow();
        let found = world.topics.iter().find(|known| known.name == topic);
        found.map(|topic| topic.partitions.len() as u32).ok_or_else(|| LogError::Missing(format!("no topic {topic:?}")))
    }

    async fn first_offset(&self, topic: &str, partition: u32) -> Result<Offset, LogError> {
        self.place(topic, partition).map(|_| 0)
    }

    async fn uncommitted_end(&self, topic: &str, partition: u32) -> Result<Offset, LogError> {
        self.end(topic, partition, Isolation::Uncommitted).await
    }

    async fn read_committed(
        &self,
        topic: &str,
        partition: u32,
        end: Offset,
        visit: &mut Visit<'_>,
    ) -> Result<(), LogError> {
        self.read(topic, partition, end, Isolation::Committed, visit).await
    }

    async fn pause(&self, duration: Duration) {
        sleep(&self.shared, u64::try_from(duration.as_micros()).unwrap_or(Micros::MAX)).await;
    }
}
