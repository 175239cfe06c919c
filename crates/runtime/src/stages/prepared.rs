//! What guide knows of a batch before it executes it: the one snapshot, and the records where the snapshot depends on them.

use crate::worker::FactsMissing;
use crate::worker::log::{Batch, Incoming, Partition, Place};
use directory::snapshot::Snapshot;
use directory::{Directory, Needs};
use hashbrown::HashMap;
use pipeline::Taken;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A batch and its snapshot. With a directory that is whole, nothing is decoded ahead.
#[derive(Debug)]
pub(super) struct Prepared {
    directory: Arc<dyn Directory>,
    snapshot: Option<Arc<Snapshot>>,
    decoded: HashMap<Place, Vec<Taken>>,
    /// The directory was asked last, and could not answer.
    is_missing: bool,
}

impl Prepared {
    pub(super) fn new(directory: Arc<dyn Directory>) -> Prepared {
        let snapshot = directory.whole().cloned();
        Prepared { directory, snapshot, decoded: HashMap::new(), is_missing: false }
    }

    /// Gets the snapshot of a batch. What `decode` made of a message is kept, however often the directory has to be asked; messages that
    /// are no longer in the batch are forgotten.
    pub(super) fn prepare(
        &mut self,
        batch: &Batch,
        mut decode: impl FnMut(&Incoming<'_>) -> Vec<Taken>,
    ) -> Result<(), FactsMissing> {
        if self.directory.whole().is_some() {
            return Ok(());
        }
        let mut before = std::mem::take(&mut self.decoded);
        self.decoded.reserve(batch.len());
        for message in batch.messages() {
            let place = message.place();
            self.decoded.insert(place, before.remove(&place).unwrap_or_else(|| decode(&message)));
        }
        let mut needs = Needs::default();
        for message in batch.messages() {
            let taken = self.decoded.get(&message.place());
            taken.into_iter().flatten().for_each(|taken| taken.add_needs(&mut needs));
        }
        self.snapshot = None;
        let snapshot = self.directory.snapshot_for(&needs);
        self.is_missing = snapshot.is_err();
        self.snapshot = Some(snapshot.map_err(|missing| FactsMissing(missing.0))?);
        Ok(())
    }

    /// Nothing was asked of the directory yet.
    pub(super) fn begin(&mut self) {
        self.is_missing = false;
    }

    /// The first message of each partition that needs what is not at hand, if it was the directory that could not answer.
    pub(super) fn waiting(&self, batch: &Batch) -> Option<BTreeSet<Place>> {
        if !self.is_missing {
            return None;
        }
        let mut held: BTreeSet<Partition> = BTreeSet::new();
        let mut waiting = BTreeSet::new();
        for message in batch.messages() {
            if held.contains(&message.partition) {
                continue;
            }
            let mut needs = Needs::default();
            let taken = self.decoded.get(&message.place());
            taken.into_iter().flatten().for_each(|taken| taken.add_needs(&mut needs));
            if !self.directory.can_answer(&needs) {
                held.insert(message.partition);
                waiting.insert(message.place());
            }
        }
        Some(waiting)
    }

    /// The snapshot of the batch.
    pub(super) fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.snapshot.clone()
    }

    /// What a message holds, if that was decoded.
    pub(super) fn decoded(&mut self, message: &Incoming<'_>) -> Option<&mut [Taken]> {
        self.decoded.get_mut(&message.place()).map(Vec::as_mut_slice)
    }

    /// The batch is done.
    pub(super) fn settle(&mut self) {
        self.decoded.clear();
        self.snapshot = self.directory.whole().cloned();
    }
}
