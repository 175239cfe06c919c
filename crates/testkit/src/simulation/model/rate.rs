//! The second stage: a charge per leg, numbered per account without gaps, and an hour's sum once it is over.

use super::{Bug, CHARGES, Entry, GUIDED, POSITION, RATE_STATE, SOURCES, Store, sections};
use pipeline::ControlMismatch;
use runtime::worker::log::{Batch, Offset, Partition};
use runtime::worker::{FactsMissing, Output, Stage, StageError, Target};
use std::collections::BTreeMap;

/// See the module.
#[derive(Debug)]
pub struct Rate {
    bug: Bug,
    inputs: Vec<String>,
    outputs: Vec<String>,
    stores: BTreeMap<Partition, Store>,
    touched: BTreeMap<Partition, Offset>,
}

impl Rate {
    /// A stage without state.
    pub fn new(bug: Bug) -> Rate {
        Rate {
            bug,
            inputs: vec![GUIDED.to_owned()],
            outputs: vec![CHARGES.to_owned(), RATE_STATE.to_owned()],
            stores: BTreeMap::new(),
            touched: BTreeMap::new(),
        }
    }

    /// The clock: no source is behind it.
    fn clock(bug: Bug, store: &Store) -> i64 {
        let clocks = (0..SOURCES).map(|source| store.get(&format!("clock/{source}")));
        if bug == Bug::TickAsMaximum { clocks.max() } else { clocks.min() }.unwrap_or_default()
    }

    fn take(bug: Bug, store: &mut Store, source: i64, entry: &Entry, mut say: impl FnMut(i64, String)) {
        let before = Self::clock(bug, store);
        match *entry {
            Entry::Leg { offset, level, account, hour, units, .. } => {
                let number = next_number(bug, store, account);
                let when = if hour < before { "late" } else { "in time" };
                if hour >= before {
                    let name = format!("sum/{hour:05}/{account:05}");
                    let sum = store.get(&name) + units;
                    store.put(bug, &name, Some(sum));
                }
                say(account, format!("{account};{number};charge;{source};{offset};{level};{hour};{units};{when}"));
            }
            Entry::Tick(hour) => {
                let name = format!("clock/{source}");
                if hour > store.get(&name) {
                    store.put(bug, &name, Some(hour));
                }
                let clock = Self::clock(bug, store);
                let due = "sum/".to_owned()..format!("sum/{clock:05}/");
                let due: Vec<(String, i64)> = store.values.range(due).map(|(name, sum)| (name.clone(), *sum)).collect();
                for (name, sum) in due {
                    let mut parts = name.split('/').skip(1).filter_map(|part| part.parse::<i64>().ok());
                    let (Some(hour), Some(account)) = (parts.next(), parts.next()) else { continue };
                    let number = next_number(bug, store, account);
                    store.put(bug, &name, None);
                    say(account, format!("{account};{number};sum;{hour};{sum}"));
                }
            }
        }
    }
}

fn next_number(bug: Bug, store: &mut Store, account: i64) -> i64 {
    let name = format!("number/{account:05}");
    let number = store.get(&name) + 1;
    store.put(bug, &name, Some(number));
    number
}

impl Stage for Rate {
    fn inputs(&self) -> &[String] {
        &self.inputs
    }

    fn outputs(&self) -> &[String] {
        &self.outputs
    }

    fn changelog(&self) -> &str {
        RATE_STATE
    }

    fn create(&mut self, partition: Partition) {
        self.stores.insert(partition, Store::default());
    }

    fn restore(&mut self, partition: Partition, key: &[u8], value: Option<&[u8]>) -> Result<(), StageError> {
        self.stores.entry(partition).or_default().restore(key, value)
    }

    fn restored(&mut self, partition: Partition) -> Result<Option<Offset>, StageError> {
        Ok(self.stores.entry(partition).or_default().position())
    }

    fn drop_state(&mut self, partition: Partition) {
        self.stores.remove(&partition);
        self.touched.remove(&partition);
    }

    fn prepare(&mut self, _: &Batch) -> Result<(), FactsMissing> {
        Ok(())
    }

    fn execute(&mut self, batch: &Batch, output: &mut Output) -> Result<(), StageError> {
        self.touched.clear();
        let bug = self.bug;
        for message in batch.messages() {
            let store = self.stores.entry(message.partition).or_default();
            let target = Target { topic: 0, partition: Some(message.partition.number) };
            for section in sections(message.value)? {
                let name = format!("from/{}", section.source);
                if store.get(&name) != section.sequence {
                    let detail = format!("{name}: {} expected, {} came", store.get(&name), section.sequence);
                    return Err(ControlMismatch { check: "sequence of packed messages", detail }.into());
                }
                store.put(bug, &name, Some(section.sequence + 1));
                for entry in &section.entries {
                    Self::take(bug, store, section.source, entry, |account, said| {
                        output.push(target, Some(account.to_string().as_bytes()), |bytes| {
                            bytes.extend_from_slice(said.as_bytes());
                        });
                    });
                }
            }
            self.touched.insert(message.partition, message.offset + 1);
        }
        for (partition, position) in &self.touched {
            let store = self.stores.entry(*partition).or_default();
            store.put(bug, POSITION, Some(*position));
            store.log_changes(Target { topic: 1, partition: Some(partition.number) }, output);
        }
        Ok(())
    }

    fn positions(&self) -> Vec<(Partition, Offset)> {
        self.touched.iter().map(|(partition, position)| (*partition, *position)).collect()
    }

    fn settle(&mut self) {
        self.stores.values_mut().for_each(Store::settle);
    }

    fn undo(&mut self) {
        self.stores.values_mut().for_each(Store::undo);
    }
}
