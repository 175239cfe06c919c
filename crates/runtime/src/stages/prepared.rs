//! What guide knows of a batch before it executes it: the one snapshot, and the records where the snapshot depends on them.

use crate::worker::FactsMissing;
use crate::worker::log::{Batch, Incoming, Place};
use directory::snapshot::Snapshot;
use directory::{Directory, Needs};
use hashbrown::HashMap;
use pipeline::Taken;
use std::sync::Arc;

/// A batch and its snapshot. With a directory that is whole, nothing is decoded ahead.
#[derive(Debug)]
pub(super) struct Prepared {
    directory: Arc<dyn Directory>,
    snapshot: Option<Arc<Snapshot>>,
    decoded: HashMap<Place, Vec<Taken>>,
}

impl Prepared {
    pub(super) fn new(directory: Arc<dyn Directory>) -> Prepared {
        let snapshot = directory.whole().cloned();
        Prepared { directory, snapshot, decoded: HashMap::new() }
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
        self.snapshot = Some(self.directory.snapshot_for(&needs).map_err(|missing| FactsMissing(missing.0))?);
        Ok(())
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
