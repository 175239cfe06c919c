//! Errors planted between the worker and its stage: what the stage says of itself is not true.

use super::Bug;
use rating::Timestamp;
use runtime::worker::counts::StageStatus;
use runtime::worker::log::{Batch, Offset, Partition, Place};
use runtime::worker::{Beginning, FactsMissing, Known, NoTick, Output, Side, Stage, StageError};
use std::collections::BTreeSet;

/// A stage with an error planted in front of it.
#[derive(Debug)]
pub(in crate::simulation) struct PlantedStage<S> {
    pub(in crate::simulation) stage: S,
    pub(in crate::simulation) bug: Bug,
}

impl<S: Stage> Stage for PlantedStage<S> {
    fn inputs(&self) -> &[String] {
        self.stage.inputs()
    }

    fn outputs(&self) -> &[String] {
        self.stage.outputs()
    }

    fn changelog(&self) -> &str {
        self.stage.changelog()
    }

    fn create(&mut self, partition: Partition) {
        self.stage.create(partition);
    }

    fn restore(&mut self, partition: Partition, key: &[u8], value: Option<&[u8]>) -> Result<(), StageError> {
        self.stage.restore(partition, key, value)
    }

    fn restored(&mut self, partition: Partition) -> Result<Option<Offset>, StageError> {
        self.stage.restored(partition)
    }

    fn drop_state(&mut self, partition: Partition) {
        self.stage.drop_state(partition);
    }

    fn prepare(&mut self, batch: &Batch) -> Result<(), FactsMissing> {
        self.stage.prepare(batch)
    }

    fn waiting(&self, batch: &Batch) -> Option<BTreeSet<Place>> {
        self.stage.waiting(batch)
    }

    fn has_work(&self) -> bool {
        self.stage.has_work()
    }

    fn execute(&mut self, batch: &Batch, output: &mut Output) -> Result<(), StageError> {
        self.stage.execute(batch, output)
    }

    fn positions(&self) -> Vec<(Partition, Offset)> {
        self.stage.positions()
    }

    fn settle(&mut self) {
        self.stage.settle();
    }

    fn undo(&mut self) {
        match self.bug {
            Bug::NoUndo => self.stage.settle(),
            _ => self.stage.undo(),
        }
    }

    fn sides(&self) -> &[Side] {
        self.stage.sides()
    }

    fn read_tick(&self, value: &[u8], appended: Option<Timestamp>) -> Result<Timestamp, NoTick> {
        self.stage.read_tick(value, appended)
    }

    fn known(&self, partition: Partition) -> Known {
        let mut known = self.stage.known(partition);
        for place in &mut known.sides {
            match self.bug {
                Bug::SidePlaceForgotten => *place = None,
                Bug::SidePlaceAhead => place.iter_mut().for_each(|place| place.offset += 1),
                _ => {}
            }
        }
        known
    }

    fn begin(&mut self, partition: Partition, beginning: &Beginning) {
        self.stage.begin(partition, beginning);
    }

    fn status(&self) -> StageStatus {
        self.stage.status()
    }
}
