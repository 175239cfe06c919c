//! What waits in a folder, tried again before anything of the input, in the order of its arrival.
//!
//! Where recycling stands is part of each commit: a run that was killed goes on behind the last thing that was tried, so that nothing is tried
//! twice and the folder ends as if nothing had happened.

use super::{Folder, Progress, RunError, Writing};
use crate::engine::{Engine, OpenSuspense, Retry, SuspenseNumbers};
use crate::state::{Corrupt, Store, Stored};
use crate::wire::{Decoder, RawBatch};
use rating::SuspenseReason;
use std::collections::HashSet;

/// Things that wait and are tried again in one batch.
const RECYCLE_BATCH: usize = 1024;

/// What of that which waits a run tries again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recycle {
    /// Nothing.
    Nothing,
    /// What cannot have been charged before and can be rated: all but what came too late to tell, or is too old.
    Waiting,
    /// That as well: somebody knows that it was not charged (rule 26), and what is too old is charged by tariff alone.
    WaitingAndLate,
}

impl Recycle {
    fn covers(self, reason: SuspenseReason) -> bool {
        match self {
            Recycle::Nothing => false,
            Recycle::Waiting => !matches!(reason, SuspenseReason::TooLate | SuspenseReason::TooOldToRate),
            Recycle::WaitingAndLate => true,
        }
    }
}

/// Recycling that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Recycling {
    what: Recycle,
    /// Hash of the reference data that it began with: with other reference data everything is tried again.
    reference: u64,
    /// Number of the next thing, and the first that came to wait after it began.
    next: u64,
    end: u64,
}

impl Stored for Recycling {
    fn write(&self, out: &mut Vec<u8>) {
        let Recycling { what, reference, next, end } = self;
        out.push(match what {
            Recycle::Nothing => 0,
            Recycle::Waiting => 1,
            Recycle::WaitingAndLate => 2,
        });
        reference.write(out);
        next.write(out);
        end.write(out);
    }

    fn read(input: &mut &[u8]) -> Result<Recycling, Corrupt> {
        let what = match u8::read(input)? {
            0 => Recycle::Nothing,
            1 => Recycle::Waiting,
            2 => Recycle::WaitingAndLate,
            _ => return Err(Corrupt { what: "what is recycled", left: input.len() }),
        };
        Ok(Recycling { what, reference: u64::read(input)?, next: u64::read(input)?, end: u64::read(input)? })
    }
}

/// Holds the identities of everything that waits: in a folder from before they were held.
pub(super) fn hold_open(store: &Store, progress: &Progress, engine: &mut Engine) -> Result<(), RunError> {
    let mut next = 0;
    loop {
        let waiting = store.open_suspense(next, RECYCLE_BATCH)?;
        let Some((last, _)) = waiting.last() else { return Ok(()) };
        next = last + 1;
        for group in waiting.chunk_by(|(_, a), (_, b)| a.input == b.input) {
            let decoder = decoder_of(progress, group)?;
            group.iter().for_each(|(_, open)| engine.hold_open(open, &decoder));
        }
    }
}

/// How the originals of things from one input are decoded.
fn decoder_of(progress: &Progress, group: &[(u64, OpenSuspense)]) -> Result<Decoder, RunError> {
    let name = group.first().map_or("", |(_, open)| &*open.input);
    match progress.inputs.iter().find(|input| *input.name == *name) {
        Some(input) => Ok(Decoder::from_description(&input.decoder).map_err(crate::state::StoreError::Corrupt)?),
        None => Ok(Decoder::json_lines()),
    }
}

impl Folder {
    /// Tries again what waits at the start.
    pub(super) fn recycle(&mut self, what: Recycle, writing: &Writing) -> Result<(), RunError> {
        let reference = self.progress.reference_hash;
        let begun = self.recycling.take();
        if what == Recycle::Nothing {
            return Ok(());
        }
        let begun = begun.filter(|begun| begun.what == what && begun.reference == reference);
        let mut recycling = begun.unwrap_or(Recycling { what, reference, next: 0, end: self.progress.next_suspense });
        loop {
            let mut waiting = self.store.open_suspense(recycling.next, RECYCLE_BATCH)?;
            waiting.retain(|(number, _)| *number < recycling.end);
            // What was once one record stays together: its legs have numbers behind it, and those that still wait must not be met once more.
            let Some((last, _)) = waiting.last() else { break };
            let (room, is_cut) = (SuspenseNumbers::room_of(*last), waiting.len() == RECYCLE_BATCH);
            if is_cut && waiting.first().is_some_and(|(first, _)| *first < room.start) {
                waiting.retain(|(number, _)| *number < room.start);
                recycling.next = room.start;
            } else {
                recycling.next = room.end;
            }
            waiting.retain(|(_, open)| what.covers(open.reason));
            for group in waiting.chunk_by(|(_, a), (_, b)| a.input == b.input) {
                self.recycle_group(group, writing)?;
            }
            self.recycling = Some(recycling);
            self.commit_if_due(waiting.len() as u64, writing)?;
        }
        self.recycling = None;
        Ok(())
    }

    fn recycle_group(&mut self, group: &[(u64, OpenSuspense)], writing: &Writing) -> Result<(), RunError> {
        let Some((_, first)) = group.first() else { return Ok(()) };
        let decoder = decoder_of(&self.progress, group)?;
        let mut records = RawBatch::default();
        let mut retries = Vec::with_capacity(group.len());
        for (number, open) in group {
            records.push(&open.original, open.place);
            retries.push(Retry::of(open, *number));
        }
        let name = first.input.clone();
        let before = self.uncommitted.open.len();
        let resolved = self.batch(&records, &decoder, &name, &retries, writing)?;
        // What still waits under its number is written over.
        let stays: HashSet<u64> = self.uncommitted.open.iter().skip(before).map(|(number, _)| *number).collect();
        let leaves = group.iter().map(|(number, _)| *number).filter(|number| !stays.contains(number));
        self.uncommitted.resolved.extend(leaves);
        self.progress.open_suspense = self.progress.open_suspense.saturating_sub(group.len() as u64);
        self.recycled.0 += group.len() as u64;
        self.recycled.1 += resolved.len() as u64;
        Ok(())
    }
}
