//! Decode, intake and admission.

use super::{BatchInput, EngineError, Intent, Retry};
use crate::state::SealedIds;
use pipeline::duplicates::short_key;
use pipeline::{Admission, ControlTotals, Duplicates, Fault, IntakeRules, Intaken, intake_command, intake_usage};
use rating::{Command, SuspenseReason, Timestamp};
use siphasher::sip::SipHasher13;
use std::hash::{Hash, Hasher};

/// What a raw record turned out to be.
#[derive(Debug)]
pub(super) enum Taken {
    /// A usage record.
    Usage(Box<Intaken>),
    /// An account command with its identity.
    Command(u128, Box<Command>),
    /// A tick.
    Tick(Timestamp),
    /// Nothing that can be taken in.
    Fault(Fault),
}

/// What happens next to a record.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It goes on to guide; sessions are remembered from this instant on.
    Pass(Timestamp),
    /// Sent before; nothing follows.
    Duplicate,
    /// It has done its work.
    Tick,
    /// It waits as a whole.
    Waits(Fault),
}

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
    use crate::wire::Decoded;
    match batch.decoder.decode(batch.records.get(position)) {
        Ok(Decoded::Usage(raw)) => match intake_usage(&raw, rules) {
            Ok(intaken) => Taken::Usage(Box::new(intaken)),
            Err(fault) => Taken::Fault(fault),
        },
        Ok(Decoded::Command(raw)) => match intake_command(&raw) {
            Ok((key, command)) => Taken::Command(key, Box::new(command)),
            Err(fault) => Taken::Fault(fault),
        },
        // The clock never goes back: a tick from the future would make everything after it too late.
        Ok(Decoded::Tick(instant)) if instant > rules.latest_event => {
            let detail = format!("tick {instant} is after {}", rules.latest_event);
            Taken::Fault(Fault::new(SuspenseReason::FutureEvent, detail))
        }
        Ok(Decoded::Tick(instant)) => Taken::Tick(instant),
        Err(fault) => Taken::Fault(fault),
    }
}

/// Lets each record pass once, in the order of the input.
pub(super) fn admit(
    stretches: &mut [Stretch],
    retries: &[Retry],
    duplicates: &mut Duplicates,
    totals: &mut ControlTotals,
) {
    for stretch in stretches {
        let positions = stretch.first..;
        let verdicts = stretch.taken.iter_mut().zip(positions).map(|(taken, position)| {
            totals.received += 1;
            let intent = Retry::at(retries, position).intent;
            let kept = stretch.kept.get(position - stretch.first).copied().flatten();
            let verdict = admit_one(taken, intent, duplicates, kept);
            match (&verdict, &*taken) {
                (Verdict::Duplicate, _) => totals.duplicates += 1,
                (Verdict::Tick, _) => totals.ticks += 1,
                (Verdict::Waits(_), _) => totals.suspended += 1,
                (Verdict::Pass(_), Taken::Command(..)) => totals.commands += 1,
                // Whether it is guided is counted by guide.
                (Verdict::Pass(_), Taken::Usage(_) | Taken::Tick(_) | Taken::Fault(_)) => {}
            }
            verdict
        });
        stretch.verdicts = verdicts.collect();
    }
}

fn admit_one(taken: &mut Taken, intent: Intent, duplicates: &mut Duplicates, kept: Option<u64>) -> Verdict {
    let (key, payload, at) = match taken {
        Taken::Fault(fault) => {
            let fault = std::mem::replace(fault, Fault::new(SuspenseReason::Undecodable, String::new()));
            return Verdict::Waits(fault);
        }
        Taken::Tick(instant) => {
            duplicates.tick(*instant);
            return Verdict::Tick;
        }
        Taken::Usage(intaken) => (intaken.key, intaken.payload, intaken.record.event_time),
        Taken::Command(key, command) => (*key, command_hash(command), command.effective_time),
    };
    let admission = match intent {
        // The id is remembered already.
        Intent::Admitted | Intent::Level { .. } => return Verdict::Pass(duplicates.horizon()),
        Intent::Fresh | Intent::Readmit => duplicates.admit(key, payload, at, kept),
        Intent::Late => duplicates.admit_late(key, payload, at, kept),
    };
    match admission {
        Admission::New => Verdict::Pass(duplicates.horizon()),
        Admission::Duplicate => Verdict::Duplicate,
        Admission::Conflict => Verdict::Waits(Fault::new(
            SuspenseReason::DuplicateConflict,
            "the same source and id came before with another payload",
        )),
        Admission::TooLate => Verdict::Waits(Fault::new(
            SuspenseReason::TooLate,
            format!("event time {at} is before {}, from when on ids are remembered", duplicates.horizon()),
        )),
    }
}

/// The payload of a command, as remembered beside its id.
fn command_hash(command: &Command) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(0x7261_7465_7270_6179, 0x636f_6d6d_616e_6473);
    command.hash(&mut hasher);
    hasher.finish()
}
