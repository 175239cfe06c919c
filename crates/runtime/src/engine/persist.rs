//! An engine's state as bytes: changes since the last commit, everything, and back.

use super::recycle::place_in;
use super::{Engine, EngineError, Intent, OpenSuspense, Owners, SHARDS};
use crate::state::{Changed, Corrupt, SealedIds, Stored, write_change};
use crate::summary::Summary;
use crate::wire::Decoder;
use directory::Directory;
use pipeline::guide::shard_of;
use pipeline::{ControlMismatch, Held};
use rating::{AccountId, Timestamp};
use std::sync::Arc;

/// Size at which a part of a checkpoint is closed.
const PART_BYTES: usize = 4 << 20;

impl Engine {
    /// What changed in accounts since the last call.
    pub fn take_changes(&mut self) -> Vec<u8> {
        let parts = super::in_parallel(self.threads, self.owners.iter_mut().collect(), |owners: &mut Owners| {
            let mut part = Vec::new();
            owners.shard.take_changes(0, |change| write_change(&change, &mut part));
            part
        });
        parts.concat()
    }

    /// All accounts, in parts of a few megabytes.
    pub fn checkpoint(&self) -> Vec<Vec<u8>> {
        let mut parts = Vec::new();
        let mut part = Vec::new();
        for owners in &self.owners {
            owners.shard.visit_all(|change| {
                write_change(&change, &mut part);
                if part.len() >= PART_BYTES {
                    parts.push(std::mem::take(&mut part));
                }
            });
        }
        parts.push(part);
        parts
    }

    /// Puts back accounts: a checkpoint's part or changes, in the order in which they were written.
    ///
    /// # Errors
    /// Bytes that are not accounts.
    pub fn restore_accounts(&mut self, mut bytes: &[u8]) -> Result<(), Corrupt> {
        let input = &mut bytes;
        while !input.is_empty() {
            let change = Changed::read(u8::read(input)?, input)?;
            let (Changed::Account(name, ..) | Changed::Member(name, ..)) = &change;
            let id = AccountId::new(name);
            let shard = self.owners.get_mut(shard_of(&id, SHARDS)).map(|owners| &mut owners.shard);
            let shard = shard.ok_or(Corrupt { what: "an owner", left: input.len() })?;
            match change {
                Changed::Account(_, account, extent) => shard.restore_account(id, account, extent, 0),
                Changed::Member(_, endpoint, member, extent) => {
                    shard.restore_member(id, endpoint.to_owned(), member, extent, 0);
                }
            }
        }
        Ok(())
    }

    /// The record ids added since the last call, 16 bytes each.
    pub fn take_ids(&mut self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.duplicates.added().len() * 16);
        for (key, value) in self.duplicates.added() {
            bytes.extend_from_slice(&key.to_le_bytes());
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        self.duplicates.settle();
        bytes
    }

    /// Puts back record ids.
    pub fn restore_ids(&mut self, bytes: &[u8]) {
        let (entries, _) = bytes.as_chunks::<16>();
        self.duplicates.restore(entries.iter().map(|entry| {
            let (key, value) = entry.split_at(8);
            let number = |half: &[u8]| half.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
            (number(key), number(value))
        }));
    }

    /// Identities of which something is suspended, as far as they changed since the last [`Engine::take_ids`]; to be taken before that.
    pub fn held_changes(&self) -> Vec<(u64, Option<Held>)> {
        self.duplicates.held().changed()
    }

    /// Puts back an identity of which something is suspended.
    pub fn restore_held(&mut self, short: u64, held: Held) {
        self.duplicates.restore_held(short, Some(held));
    }

    /// Holds the identity of something that has been suspended since before identities were held.
    pub fn hold_open(&mut self, open: &OpenSuspense, decoder: &Decoder) {
        let intent = Intent::of(open.reason, open.level);
        let Ok(decoded) = decoder.decode(&open.original) else { return };
        if intent.was_held() {
            let identity = decoded.take_in(&self.rules.for_admitted()).identity_at(place_in(&open.input, open.place));
            identity.into_iter().for_each(|identity| self.duplicates.hold(identity, intent.is_owner()));
        }
    }

    /// Allows ids to be moved to the disk.
    pub fn use_sealed(&mut self, sealed: SealedIds) {
        self.sealed = Some(sealed);
    }

    /// Moves the record ids in memory to the disk if there are more than `limit`, or if the log of them has `logged` entries, which is
    /// more: what the window has forgotten leaves memory, but not the log. Returns whether it did. Those taken by
    /// [`Engine::take_ids`] are then named by [`SealedIds::infos`] instead.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn seal_ids(&mut self, limit: usize, logged: u64) -> Result<bool, EngineError> {
        let is_due = self.duplicates.len() > limit || logged > limit as u64;
        let Some(sealed) = self.sealed.as_mut().filter(|_| is_due) else { return Ok(false) };
        sealed.forget(self.duplicates.horizon().millis().div_euclid(3_600_000));
        sealed.seal(self.duplicates.take_all()).map_err(EngineError::Ids)?;
        Ok(true)
    }

    /// The ids on the disk.
    pub fn sealed(&mut self) -> Option<&mut SealedIds> {
        self.sealed.as_mut()
    }

    /// The clock of ticks.
    pub fn clock(&self) -> Option<Timestamp> {
        self.duplicates.clock()
    }

    /// The first instant from which on record ids and months are remembered.
    pub fn horizon(&self) -> Timestamp {
        self.duplicates.horizon()
    }

    /// Puts back the clock of ticks and [`Engine::horizon`], after everything else.
    pub fn restore_clock(&mut self, clock: Timestamp, horizon: Timestamp) {
        self.duplicates.restore_horizon(horizon);
        self.duplicates.tick(clock);
        self.forget(self.duplicates.horizons());
    }

    /// What was used and charged so far.
    ///
    /// # Errors
    /// A sum out of range.
    pub fn summary(&mut self) -> Result<&Summary, ControlMismatch> {
        for owners in &mut self.owners {
            owners.sums.fold_into(&mut self.summary)?;
        }
        Ok(&self.summary)
    }

    /// Puts back a summary.
    pub fn restore_summary(&mut self, summary: Summary) {
        self.summary = summary;
    }

    /// Continues with other reference data from the next batch on.
    pub fn replace_directory(&mut self, directory: Arc<dyn Directory>) {
        self.directory = directory;
    }

    /// The state of an account.
    pub fn entry(&self, id: &AccountId) -> Option<&pipeline::Entry> {
        self.owners.get(shard_of(id, SHARDS))?.shard.entry(id)
    }

    /// All accounts with state, in order.
    pub fn accounts(&self) -> Vec<(&AccountId, &pipeline::Entry)> {
        let mut all: Vec<_> = self.owners.iter().flat_map(|owners| owners.shard.accounts()).collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all
    }
}
