//! The look-ups of one batch: from keys to endpoints, as few reads as possible.
//!
//! A record is looked up by its first identity. Its others are read only where the endpoints at hand do not hold them at the time of the
//! event: at any moment an identity is held by one endpoint at most, so what is held needs no further look.

use super::entries::{AbsentUntil, Known};
use super::epoch::Epoch;
use super::flights::Answers;
use super::packed::{Packed, add_unreadable};
use super::rows::IdentityKey;
use crate::model::IdentityKind;
use crate::needs::RecordNeeds;
use crate::snapshot::{Endpoints, Snapshot};
use crate::value::Digits;
use hashbrown::HashMap;

/// The look-ups of a batch in one epoch.
pub(super) struct Lookup<'e> {
    epoch: &'e Epoch,
    endpoints: Endpoints,
    /// Keys that tell nothing more: asked for, or going to be.
    asked: HashMap<IdentityKey, Asked>,
    missing: Vec<IdentityKey>,
    pub(super) hits: u64,
    pub(super) absent: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Answered,
    Missing,
}

/// Whether all is known that a record or a name needs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Done,
    Waits,
}

/// Where a look-up may look besides the endpoints at hand.
#[derive(Clone, Copy)]
pub(super) enum Kept {
    /// At what the cache keeps, which is of the same epoch.
    Here(AbsentUntil),
    /// Nowhere: the cache has gone on to another epoch.
    Elsewhere,
}

impl<'e> Lookup<'e> {
    pub(super) fn new(epoch: &'e Epoch, size: usize) -> Lookup<'e> {
        let mut endpoints = Endpoints::default();
        endpoints.reserve(size);
        Lookup { epoch, endpoints, asked: HashMap::new(), missing: Vec::new(), hits: 0, absent: 0 }
    }

    /// Looks up what a record names, up to the first thing that has to be read.
    pub(super) fn record(&mut self, record: &RecordNeeds<'_>, kept: Kept) -> Step {
        for (kind, digits) in IdentityKind::ALL.into_iter().zip(record.identities) {
            // What is no identity at all is nobody's.
            let Some(digits) = digits.and_then(Digits::parse) else { continue };
            let holds = |endpoints: &Endpoints| endpoints.holder(kind, digits, record.at).is_some();
            if !holds(&self.endpoints) && self.ask(IdentityKey::Identity(kind, digits), holds, kept) == Step::Waits {
                return Step::Waits;
            }
        }
        record.endpoint.map_or(Step::Done, |name| self.name(name, kept))
    }

    /// Looks up an endpoint by its name.
    pub(super) fn name(&mut self, name: &str, kept: Kept) -> Step {
        let holds = |endpoints: &Endpoints| endpoints.position_of(name).is_some();
        if holds(&self.endpoints) { Step::Done } else { self.ask(IdentityKey::Name(name.into()), holds, kept) }
    }

    /// Looks up a key; `holds` tells whether the endpoints at hand answer the question by now.
    fn ask(&mut self, key: IdentityKey, holds: impl Fn(&Endpoints) -> bool, kept: Kept) -> Step {
        if !self.asked.is_empty()
            && let Some(asked) = self.asked.get(&key)
        {
            return if *asked == Asked::Answered { Step::Done } else { Step::Waits };
        }
        let known = match kept {
            Kept::Here(absent) => self.epoch.entries.get(&key, absent),
            Kept::Elsewhere => Known::Nothing,
        };
        match known {
            Known::Found(found) => {
                self.hits += 1;
                self.add(&key, &found);
                // It may have been somebody's at other times only.
                if !holds(&self.endpoints) {
                    self.asked.insert(key, Asked::Answered);
                }
                Step::Done
            }
            Known::Absent => {
                self.absent += 1;
                self.asked.insert(key, Asked::Answered);
                Step::Done
            }
            Known::Nothing => {
                self.asked.insert(key.clone(), Asked::Missing);
                self.missing.push(key);
                Step::Waits
            }
        }
    }

    /// What names an account or a tariff that is gone costs its own records, not the batch.
    fn add(&mut self, key: &IdentityKey, found: &Packed) {
        let Epoch { catalog, names, head, .. } = self.epoch;
        if found.unpack(key, catalog, names, &mut self.endpoints).is_none() {
            let why = format!("what it names is not defined in store@{}", head.version).into();
            add_unreadable(key, why, &mut self.endpoints);
        }
    }

    /// The keys that have to be read.
    pub(super) fn take_missing(&mut self) -> Vec<IdentityKey> {
        std::mem::take(&mut self.missing)
    }

    /// Adds what was read of the missing keys; what else was read for others is left.
    pub(super) fn answered(&mut self, answers: &Answers) {
        for (key, found) in answers {
            let Some(asked) = self.asked.get_mut(key) else { continue };
            *asked = Asked::Answered;
            if let Some(found) = found {
                self.add(key, found);
            }
        }
    }

    /// The snapshot, once everything is known.
    pub(super) fn finish(self) -> Snapshot {
        self.epoch.snapshot(self.endpoints)
    }
}
