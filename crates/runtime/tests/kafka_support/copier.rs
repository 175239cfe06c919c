//! A stage that copies and counts: the smallest that has all a worker can lose.

use runtime::worker::log::{Batch, Offset, Partition};
use runtime::worker::{FactsMissing, Output, Stage, StageError, Target};
use std::collections::BTreeMap;
use std::time::Duration;

/// The changelog's key of the position; keys of messages have no such byte.
const POSITION: &[u8] = b"@";

/// What a message says to the stage.
pub(crate) const FORGET: &str = "forget";
/// Makes the stage of a [`Pace::Stalls`] sleep once.
pub(crate) const STALL: &str = "stall";

/// How a stage reacts to [`STALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    Steady,
    Stalls(Duration),
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Counts {
    position: Option<Offset>,
    counts: BTreeMap<Vec<u8>, u64>,
}

/// Copies each message to the output as "partition:offset:number", where number says how often its key was seen, and keeps the numbers.
pub(crate) struct Copier {
    inputs: Vec<String>,
    outputs: Vec<String>,
    pace: Pace,
    states: BTreeMap<Partition, Counts>,
    before: BTreeMap<Partition, Counts>,
}

impl Copier {
    pub(crate) fn new(input: &str, output: &str, changelog: &str, pace: Pace) -> Copier {
        Copier {
            inputs: vec![input.to_owned()],
            outputs: vec![output.to_owned(), changelog.to_owned()],
            pace,
            states: BTreeMap::new(),
            before: BTreeMap::new(),
        }
    }
}

impl Stage for Copier {
    fn inputs(&self) -> &[String] {
        &self.inputs
    }

    fn outputs(&self) -> &[String] {
        &self.outputs
    }

    fn changelog(&self) -> &str {
        &self.outputs[1]
    }

    fn create(&mut self, partition: Partition) {
        self.states.insert(partition, Counts::default());
    }

    fn restore(&mut self, partition: Partition, key: &[u8], value: Option<&[u8]>) -> Result<(), StageError> {
        let state = self.states.get_mut(&partition).expect("created");
        let number = |value: &[u8]| {
            let text = std::str::from_utf8(value).ok();
            text.and_then(|text| text.parse::<u64>().ok()).ok_or_else(|| StageError::Corrupt(format!("{value:?}")))
        };
        match value {
            Some(value) if key == POSITION => state.position = Some(number(value)? as Offset),
            Some(value) => drop(state.counts.insert(key.to_vec(), number(value)?)),
            None => drop(state.counts.remove(key)),
        }
        Ok(())
    }

    fn restored(&mut self, partition: Partition) -> Result<Option<Offset>, StageError> {
        Ok(self.states[&partition].position)
    }

    fn drop_state(&mut self, partition: Partition) {
        self.states.remove(&partition);
    }

    fn prepare(&mut self, _: &Batch) -> Result<(), FactsMissing> {
        Ok(())
    }

    fn execute(&mut self, batch: &Batch, output: &mut Output) -> Result<(), StageError> {
        for message in batch.messages() {
            let (partition, key) = (message.partition, message.key.unwrap_or_default());
            let state = self.states.get_mut(&partition).expect("only what was started is read");
            self.before.entry(partition).or_insert_with(|| state.clone());
            let log = Target { topic: 1, partition: Some(partition.number) };
            if message.value == STALL.as_bytes()
                && let Pace::Stalls(duration) = std::mem::replace(&mut self.pace, Pace::Steady)
            {
                std::thread::sleep(duration);
            }
            if message.value == FORGET.as_bytes() {
                state.counts.remove(key);
                output.push_deletion(log, key);
            } else {
                let count = state.counts.entry(key.to_vec()).or_default();
                *count += 1;
                output.push(Target { topic: 0, partition: None }, Some(key), |bytes| {
                    bytes.extend_from_slice(format!("{}:{}:{count}", partition.number, message.offset).as_bytes());
                });
                output.add_header("count", count.to_string());
                output.push(log, Some(key), |bytes| bytes.extend_from_slice(count.to_string().as_bytes()));
            }
            state.position = Some(message.offset + 1);
        }
        for (partition, position) in self.positions() {
            let log = Target { topic: 1, partition: Some(partition.number) };
            output.push(log, Some(POSITION), |bytes| bytes.extend_from_slice(position.to_string().as_bytes()));
        }
        Ok(())
    }

    fn positions(&self) -> Vec<(Partition, Offset)> {
        let position = |partition: &Partition| self.states.get(partition).and_then(|state| state.position);
        self.before.keys().filter_map(|partition| Some((*partition, position(partition)?))).collect()
    }

    fn settle(&mut self) {
        self.before.clear();
    }

    fn undo(&mut self) {
        self.states.append(&mut self.before);
    }
}
