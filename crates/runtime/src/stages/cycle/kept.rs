//! What cycle keeps of a partition: what it has carried out and told, by hashes. It never becomes less, but it is small.

use super::super::packed::Packer;
use crate::state::{Corrupt, Stored};
use directory::snapshot::{AccountTimeline, Grant};
use rating::identity::IdHasher128;
use rating::{AccountId, Standing};
use std::collections::{HashMap, HashSet};

/// What is kept per partition, besides progress.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Hashes of ids of grants that were carried out.
    carried_out: HashSet<u128>,
    /// What accounts were told last: a hash of it by a hash of the name.
    told: HashMap<u128, u128>,
    /// What the batch added.
    journal: Journal,
    pub(super) packers: Vec<Packer>,
}

/// What a batch added, in its order.
#[derive(Debug, Default)]
struct Journal {
    carried_out: Vec<String>,
    /// With a hash of what is told, and of what was told before.
    told: Vec<(AccountId, u128, Option<u128>)>,
}

/// What was carried out and told.
#[derive(Clone, Copy)]
pub(super) struct Done<'k>(&'k Kept);

impl Done<'_> {
    /// Whether a grant was carried out.
    pub(super) fn is_carried_out(self, grant: &Grant) -> bool {
        self.0.carried_out.contains(&hashed(&grant.command_id))
    }

    /// Whether an account need not be told of what is said of it: it was, or there is nothing to be told.
    pub(super) fn is_told(self, timeline: &AccountTimeline) -> bool {
        // Of most accounts nothing was ever told, and they do not have to be hashed.
        if self.0.told.is_empty() && timeline.is_plain() {
            return true;
        }
        match self.0.told.get(&hashed(timeline.account.as_str())) {
            Some(told) => *told == digest(&timeline.standings),
            None => timeline.is_plain(),
        }
    }
}

impl Kept {
    pub(super) fn new(packers: Vec<Packer>) -> Kept {
        Kept { packers, ..Kept::default() }
    }

    pub(super) fn done(&self) -> Done<'_> {
        Done(self)
    }

    /// How many hashes there are.
    pub(super) fn entries(&self) -> u64 {
        (self.carried_out.len() + self.told.len()) as u64
    }

    /// A grant is carried out; returns whether it was not before.
    pub(super) fn carry_out(&mut self, command_id: &str) -> bool {
        let is_new = self.carried_out.insert(hashed(command_id));
        if is_new {
            self.journal.carried_out.push(command_id.to_owned());
        }
        is_new
    }

    /// An account is told what is said of it.
    pub(super) fn tell(&mut self, timeline: &AccountTimeline) {
        let told = digest(&timeline.standings);
        let before = self.told.insert(hashed(timeline.account.as_str()), told);
        self.journal.told.push((timeline.account.clone(), told, before));
    }

    /// Puts back a grant that was carried out.
    pub(super) fn restore_carried_out(&mut self, command_id: &str) {
        self.carried_out.insert(hashed(command_id));
    }

    /// Puts back what an account was told.
    ///
    /// # Errors
    /// Bytes that are no hash.
    pub(super) fn restore_told(&mut self, account: &str, input: &mut &[u8]) -> Result<(), Corrupt> {
        self.told.insert(hashed(account), u128::read(input)?);
        Ok(())
    }

    /// The grants that the batch carried out.
    pub(super) fn new_carried_out(&self) -> impl Iterator<Item = &str> {
        self.journal.carried_out.iter().map(|id| &**id)
    }

    /// The accounts that the batch told something, each with what is written of it.
    pub(super) fn new_told(&self) -> impl Iterator<Item = (&AccountId, u128)> {
        self.journal.told.iter().map(|(account, told, _)| (account, *told))
    }

    pub(super) fn settle(&mut self) {
        self.journal = Journal::default();
    }

    pub(super) fn undo(&mut self) {
        let Journal { carried_out, told } = std::mem::take(&mut self.journal);
        for id in carried_out {
            self.carried_out.remove(&hashed(&id));
        }
        for (account, _, before) in told.into_iter().rev() {
            match before {
                Some(before) => self.told.insert(hashed(account.as_str()), before),
                None => self.told.remove(&hashed(account.as_str())),
            };
        }
        self.packers.iter_mut().for_each(Packer::clear);
    }
}

/// What a name is remembered by.
fn hashed(name: &str) -> u128 {
    let mut hasher = IdHasher128::new();
    hasher.text(name);
    hasher.finish()
}

/// What is said of an account is remembered by. It is written down: another way of hashing would tell every account again.
fn digest(standings: &[Standing]) -> u128 {
    let mut hasher = IdHasher128::new();
    for Standing { from, ancestors, status } in standings {
        hasher.i64(from.millis());
        hasher.text(ancestors);
        hasher.text(status.name());
    }
    hasher.finish()
}
