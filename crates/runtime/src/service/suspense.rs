//! What waits in a deployment: listed from what recycling keeps, and asked to be tried again.

use super::names::{StageName, TopicNames};
use crate::kafka::block_on;
use crate::stages::{Open, RecycleRequest, read_open};
use crate::worker::log::{Log, LogError, Offset, Outgoing, Producer, TransactionError};
use std::collections::BTreeMap;

/// Everything that waits, by where it came from.
///
/// # Errors
/// The cluster does not answer, the changelog is not there, or holds what no version of this program understands.
pub fn list<L: Log>(log: &L, topics: &TopicNames) -> Result<Vec<Open>, LogError> {
    let (changelog, input) = (topics.changelog(StageName::Recycle), topics.waiting());
    let mut found: BTreeMap<Vec<u8>, Open> = BTreeMap::new();
    let mut broken = Vec::new();
    for partition in 0..block_on(log.partitions(&changelog))? {
        let end = block_on(log.uncommitted_end(&changelog, partition))?;
        let mut visit = |offset: Offset, key: &[u8], value: Option<&[u8]>| match read_open(&input, key, value) {
            Ok(Some(open)) => drop(found.insert(key.to_vec(), open)),
            Ok(None) => drop(found.remove(key)),
            Err(error) => broken.push(format!("topic {changelog} partition {partition} offset {offset}: {error}")),
        };
        block_on(log.read_committed(&changelog, partition, end, &mut visit))?;
    }
    match broken.is_empty() {
        false => Err(LogError::Refused(broken.join("\n"))),
        true => Ok(found.into_values().collect()),
    }
}

/// Asks for something to be tried again, in all partitions or in none.
///
/// # Errors
/// The cluster does not answer, or refuses.
pub fn recycle<L: Log>(log: &L, topics: &TopicNames, request: &RecycleRequest) -> Result<(), LogError> {
    let (topic, value) = (topics.waiting(), request.message());
    let partitions = block_on(log.partitions(&topic))?;
    let id = format!("{}rater-suspense-{}", topics.prefix, std::process::id());
    let mut producer = block_on(log.producer(&id))?;
    let refused = |error: TransactionError| LogError::Unavailable(error.to_string());
    block_on(producer.begin()).map_err(refused)?;
    for partition in 0..partitions {
        let (topic, value) = (&*topic, Some(&*value));
        let message = Outgoing { topic, partition: Some(partition), key: None, value, headers: &[] };
        block_on(producer.send(message)).map_err(refused)?;
    }
    block_on(producer.commit()).map_err(refused)
}
