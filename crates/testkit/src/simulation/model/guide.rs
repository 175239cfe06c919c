//! The first stage: duplicates out, two legs per record, packed by target.

use super::{
    Bug, Entry, GUIDE_STATE, GUIDED, HORIZON_H, PLACE, POSITION, SOURCES, SUSPENSE, Section, Store, Surroundings,
    TARGETS, TICKS, USAGE, Usage, payer, target_of,
};
use rating::Timestamp;
use runtime::worker::log::{Batch, Incoming, Offset, Partition, Place, Tick};
use runtime::worker::{
    Beginning, FactsMissing, Known, NoTick, Output, Side, SideKind, SidePlace, Stage, StageError, Target,
};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// What cannot be guided in an outage, while others can.
fn is_stranger(message: &Incoming<'_>) -> bool {
    message.offset % 5 == 3
}

/// What nobody can be guided beside in an outage.
fn needs_everything(message: &Incoming<'_>) -> bool {
    message.offset % 40 == 17
}

/// See the module.
#[derive(Debug)]
pub struct Guide {
    bug: Bug,
    surroundings: Rc<Surroundings>,
    inputs: Vec<String>,
    sides: Vec<Side>,
    outputs: Vec<String>,
    stores: BTreeMap<Partition, Store>,
    touched: BTreeMap<Partition, Offset>,
    epoch: i64,
}

impl Guide {
    /// A stage without state.
    pub fn new(bug: Bug, surroundings: Rc<Surroundings>) -> Guide {
        Guide {
            bug,
            surroundings,
            inputs: vec![USAGE.to_owned()],
            sides: vec![Side { topic: TICKS.to_owned(), kind: SideKind::Ticks }],
            outputs: vec![GUIDED.to_owned(), SUSPENSE.to_owned(), GUIDE_STATE.to_owned()],
            stores: BTreeMap::new(),
            touched: BTreeMap::new(),
            epoch: 0,
        }
    }

    fn take(
        &mut self,
        source: Partition,
        offset: Offset,
        usage: &Usage,
        packed: &mut BTreeMap<u32, Vec<Entry>>,
        output: &mut Output,
    ) {
        let bug = self.bug;
        let store = self.stores.entry(source).or_default();
        match *usage {
            Usage::Tick(hour) => {
                // For the reader, who cannot know when it was taken.
                let line = format!("tick;{};{offset};{hour}", store.get(POSITION));
                let target = Target { topic: 1, partition: Some(source.number) };
                output.push(target, None, |bytes| bytes.extend_from_slice(line.as_bytes()));
                if hour > store.get("clock") {
                    store.put(bug, "clock", Some(hour));
                    let ids: Vec<String> =
                        store.values.range("id/".to_owned().."id0".to_owned()).map(|(name, _)| name.clone()).collect();
                    for id in ids.iter().filter(|id| hour_of(id) + HORIZON_H <= hour) {
                        store.put(bug, id, None);
                    }
                }
                for target in 0..TARGETS {
                    let entries = packed.entry(target).or_default();
                    if bug == Bug::TickOvertakes {
                        entries.insert(0, Entry::Tick(hour))
                    } else {
                        entries.push(Entry::Tick(hour))
                    }
                }
            }
            Usage::Record { id, account, hour, units } => {
                let clock =
                    if bug == Bug::BucketByWallClock { self.surroundings.wall_h.get() } else { store.get("clock") };
                if hour + HORIZON_H <= clock {
                    let target = Target { topic: 1, partition: Some(source.number) };
                    output
                        .push(target, None, |bytes| bytes.extend_from_slice(format!("late;{offset};{id}").as_bytes()));
                    return;
                }
                let name = format!("id/{hour:05}/{id}");
                if store.values.contains_key(&name) {
                    let target = Target { topic: 1, partition: Some(source.number) };
                    output.push(target, None, |bytes| {
                        bytes.extend_from_slice(format!("duplicate;{offset};{id}").as_bytes());
                    });
                    return;
                }
                store.put(bug, &name, Some(offset));
                for level in 0..2 {
                    let epoch = if bug == Bug::EpochChangesInBatch { self.surroundings.epoch() } else { self.epoch };
                    let account = payer(account, level);
                    let leg = Entry::Leg { offset, level, account, hour, units, epoch };
                    packed.entry(target_of(account)).or_default().push(leg);
                }
            }
        }
    }
}

fn hour_of(id: &str) -> i64 {
    id.split('/').nth(1).and_then(|hour| hour.parse().ok()).unwrap_or_default()
}

impl Stage for Guide {
    fn inputs(&self) -> &[String] {
        &self.inputs
    }

    fn outputs(&self) -> &[String] {
        &self.outputs
    }

    fn changelog(&self) -> &str {
        GUIDE_STATE
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

    fn sides(&self) -> &[Side] {
        &self.sides
    }

    fn read_tick(&self, value: &[u8], _: Option<Timestamp>) -> Result<Timestamp, NoTick> {
        match Usage::read(value) {
            Ok(Usage::Tick(hour)) => Ok(Timestamp::from_millis(hour)),
            other => Err(NoTick::Foreign(format!("{other:?}"))),
        }
    }

    fn known(&self, partition: Partition) -> Known {
        let place = self.stores.get(&partition).and_then(|store| store.values.get(PLACE).copied());
        let place = place.filter(|_| self.bug != Bug::TickPlaceForgotten);
        Known { topic: None, sides: vec![place.map(|offset| SidePlace { offset, id: None })] }
    }

    fn begin(&mut self, partition: Partition, beginning: &Beginning) {
        self.stores.entry(partition).or_default().put_back(POSITION, Some(beginning.position));
    }

    fn drop_state(&mut self, partition: Partition) {
        self.stores.remove(&partition);
        self.touched.remove(&partition);
    }

    fn prepare(&mut self, batch: &Batch) -> Result<(), FactsMissing> {
        let is_missing = |message: Incoming<'_>| is_stranger(&message) || needs_everything(&message);
        if self.surroundings.outage.get() && batch.messages().any(is_missing) {
            return Err(FactsMissing("reference data".to_owned()));
        }
        self.epoch = self.surroundings.epoch();
        Ok(())
    }

    fn waiting(&self, batch: &Batch) -> Option<BTreeSet<Place>> {
        let needs_all = batch.messages().any(|message| needs_everything(&message));
        let strangers = batch.messages().filter(is_stranger).map(|message| message.place());
        (!needs_all).then(|| strangers.collect())
    }

    fn execute(&mut self, batch: &Batch, output: &mut Output) -> Result<(), StageError> {
        self.touched.clear();
        let mut packed: BTreeMap<Partition, BTreeMap<u32, Vec<Entry>>> = BTreeMap::new();
        for message in batch.messages() {
            let usage = Usage::read(message.value)?;
            let mine = packed.entry(message.partition).or_default();
            self.take(message.partition, message.offset, &usage, mine, output);
            self.touched.insert(message.partition, message.offset + 1);
            let store = self.stores.entry(message.partition).or_default();
            store.put(self.bug, POSITION, Some(message.offset + 1));
        }
        let bug = self.bug;
        for Tick { partition, offset, instant, .. } in batch.ticks() {
            let mine = packed.entry(partition).or_default();
            self.take(partition, offset, &Usage::Tick(instant.millis()), mine, output);
            let store = self.stores.entry(partition).or_default();
            store.put(bug, PLACE, Some(if bug == Bug::TickPlaceAhead { offset + 2 } else { offset + 1 }));
            self.touched.insert(partition, store.get(POSITION));
        }
        let mut messages: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        for (source, targets) in packed {
            for (target, mut entries) in targets {
                if bug == Bug::LegLost && entries.len() > 4 {
                    entries.pop();
                }
                let store = self.stores.entry(source).or_default();
                let name = format!("sequence/{target}");
                let sequence = store.get(&name);
                store.put(bug, &name, Some(sequence + 1));
                let section = Section { source: i64::from(source.number % SOURCES), sequence, entries };
                messages.entry(target).or_default().push(section.write());
            }
        }
        for (target, sections) in messages {
            let target = Target { topic: 0, partition: Some(target) };
            output.push(target, None, |bytes| bytes.extend_from_slice(sections.join("\n").as_bytes()));
        }
        for (partition, position) in &self.touched {
            let store = self.stores.entry(*partition).or_default();
            store.put(bug, POSITION, Some(*position));
            store.log_changes(Target { topic: 2, partition: Some(partition.number) }, output);
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
