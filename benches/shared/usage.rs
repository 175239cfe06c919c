//! Generated usage as messages in memory.

use crate::stages::Topics;
use std::path::Path;

/// The usage of the generated file, as mediation would key it.
pub(crate) fn usage(folder: &Path, partitions: u32) -> Topics {
    let text = std::fs::read_to_string(folder.join("usage.jsonl")).expect("generated usage");
    let mut topics = Topics::default();
    for (line, number) in text.lines().zip(0_u32..) {
        let value = line.as_bytes().to_vec();
        // Every tick goes to every partition, as the ticker writes them.
        let key = line.split_once("\"imsi\":\"").map(|(_, rest)| rest.bytes().take(15).collect::<Vec<u8>>());
        let targets = if key.is_some() { number % partitions..number % partitions + 1 } else { 0..partitions };
        for partition in targets {
            let message = (key.clone().unwrap_or_default(), value.clone());
            topics.entry(("usage".to_owned(), partition)).or_default().push(message);
        }
    }
    topics
}
