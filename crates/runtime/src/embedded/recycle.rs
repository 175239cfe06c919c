//! What waits in a folder, tried again before anything of the input.

use super::{Folder, RunError, Writing};
use crate::engine::{Intent, OpenSuspense, Retry};
use crate::wire::{Decoder, RawBatch};
use rating::SuspenseReason;

/// Things that wait and are tried again in one batch.
const RECYCLE_BATCH: usize = 1024;

/// What of that which waits a run tries again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recycle {
    /// Nothing.
    Nothing,
    /// What cannot have been charged before: all but what came too late to tell.
    Waiting,
    /// That as well: somebody knows that it was not charged (rule 26).
    WaitingAndLate,
}

impl Recycle {
    fn covers(self, reason: SuspenseReason) -> bool {
        match self {
            Recycle::Nothing => false,
            Recycle::Waiting => reason != SuspenseReason::TooLate,
            Recycle::WaitingAndLate => true,
        }
    }
}

impl Folder {
    /// Tries again what waits at the start.
    pub(super) fn recycle(&mut self, what: Recycle, writing: &Writing) -> Result<(), RunError> {
        if what == Recycle::Nothing {
            return Ok(());
        }
        let end = self.progress.next_suspense;
        let mut next = 0;
        loop {
            let mut waiting = self.store.open_suspense(next, RECYCLE_BATCH)?;
            waiting.retain(|(number, _)| *number < end);
            let Some((last, _)) = waiting.last() else { return Ok(()) };
            next = last + 1;
            waiting.retain(|(_, open)| what.covers(open.reason));
            for group in waiting.chunk_by(|(_, a), (_, b)| a.input == b.input) {
                self.recycle_group(group, writing)?;
            }
            self.commit_if_due(waiting.len() as u64, writing)?;
        }
    }

    fn recycle_group(&mut self, group: &[(u64, OpenSuspense)], writing: &Writing) -> Result<(), RunError> {
        let Some((_, first)) = group.first() else { return Ok(()) };
        let known = self.progress.inputs.iter().find(|input| *input.name == *first.input);
        let decoder = match known {
            Some(input) => Decoder::from_description(&input.decoder).map_err(crate::state::StoreError::Corrupt)?,
            None => Decoder::json_lines(),
        };
        let mut records = RawBatch::default();
        let mut retries = Vec::with_capacity(group.len());
        for (_, open) in group {
            records.push(&open.original, open.place);
            retries.push(Retry { intent: Intent::of(open.reason, open.level), attempt: open.attempt + 1 });
        }
        let name = first.input.clone();
        let resolved = self.batch(&records, &decoder, &name, &retries, writing)?;
        // What still waits has a new number, with one attempt more.
        self.uncommitted.resolved.extend(group.iter().map(|(number, _)| *number));
        self.progress.open_suspense = self.progress.open_suspense.saturating_sub(group.len() as u64);
        self.recycled.0 += group.len() as u64;
        self.recycled.1 += resolved.len() as u64;
        Ok(())
    }
}
