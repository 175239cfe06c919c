//! Decode, intake and admission.

use super::recycle::place_in;
use super::{BatchInput, EngineError, Retry};
use crate::state::SealedIds;
use crate::wire::too_long;
use pipeline::duplicates::short_key;
use pipeline::{Duplicates, IntakeRules, Taken, Verdict};
use rating::Timestamp;

/// A run of records of a batch, worked on by one thread at a time.
#[derive(Debug)]
pub(super) struct Stretch {
    /// Position of the first record in the batch.
    pub(super) first: usize,
    pub(super) taken: Vec<Taken>,
    /// What was moved to the disk under each record's id; empty where nothing was moved.
    kept: Vec<Option<u64>>,
    pub(super) verdicts: Vec<Verdict>,
}

impl Stretch {
    /// Positions of ticks in the batch, with their instants.
    pub(super) fn ticks(&self) -> impl Iterator<Item = (usize, Timestamp)> {
        (self.first..).zip(&self.taken).filter_map(|(position, taken)| match taken {
            Taken::Tick(instant) => Some((position, *instant)),
            Taken::Usage(_) | Taken::Command(..) | Taken::Fault(_) => None,
        })
    }
}

/// Decodes and validates all records.
///
/// # Errors
/// Record ids on the disk cannot be read.
pub(super) fn take_in(
    batch: BatchInput<'_>,
    rules: &IntakeRules,
    sealed: Option<&SealedIds>,
    threads: usize,
) -> Result<Vec<Stretch>, EngineError> {
    let size = batch.records.len().div_ceil(threads).max(1);
    let firsts: Vec<usize> = (0..batch.records.len()).step_by(size).collect();
    let sealed = sealed.filter(|sealed| !sealed.is_empty());
    let stretches = super::in_parallel(threads, firsts, |first| {
        let last = (first + size).min(batch.records.len());
        let taken: Vec<Taken> = (first..last).map(|position| take(batch, position, rules)).collect();
        let kept = sealed.map(|sealed| taken.iter().map(|taken| look_up(taken, sealed)).collect());
        Ok(Stretch { first, taken, kept: kept.transpose()?.unwrap_or_default(), verdicts: Vec::new() })
    });
    stretches.into_iter().collect::<Result<_, _>>().map_err(EngineError::Ids)
}

fn look_up(taken: &Taken, sealed: &SealedIds) -> std::io::Result<Option<u64>> {
    match taken {
        Taken::Usage(intaken) => sealed.find(short_key(intaken.key)),
        Taken::Command(key, _) => sealed.find(short_key(*key)),
        Taken::Tick(_) | Taken::Fault(_) => Ok(None),
    }
}

pub(super) fn take(batch: BatchInput<'_>, position: usize, rules: &IntakeRules) -> Taken {
    if let Some(length) = batch.records.length_if_cut(position) {
        return Taken::Fault(too_long(Some(length)));
    }
    let decoded = match batch.decoder.decode(batch.records.get(position)) {
        Ok(decoded) => decoded,
        Err(fault) => return Taken::Fault(fault),
    };
    decoded.take_in(&Retry::at(batch.retries, position).arrival.rules(rules))
}

/// Lets each record pass once, in the order of the input.
pub(super) fn admit(stretches: &mut [Stretch], batch: BatchInput<'_>, duplicates: &mut Duplicates) {
    for stretch in stretches {
        let verdicts = (stretch.first..).zip(&stretch.taken).map(|(position, taken)| {
            let kept = stretch.kept.get(position - stretch.first).copied().flatten();
            let place = || place_in(batch.input, batch.records.place(position));
            Retry::at(batch.retries, position).arrival.admit(taken, place, duplicates, kept)
        });
        stretch.verdicts = verdicts.collect();
    }
}
