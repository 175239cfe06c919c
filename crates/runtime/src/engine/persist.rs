//! An engine's state as bytes: changes since the last commit, everything, and back.

use super::recycle::place_in;
use super::{Engine, EngineError, Intent, OpenSuspense, Owners, SHARDS};
use crate::state::{Corrupt, SealedIds, Stored, read_text};
use crate::summary::Summary;
use crate::wire::Decoder;
use directory::Directory;
use format::first_byte::{FORGOTTEN, SHARD};
use format::{RowByte, RowReader, RowWriter};
use pipeline::guide::shard_of;
use pipeline::{ControlMismatch, Held};
use rating::{AccountId, Head, Instance, State, Timestamp};
use std::sync::Arc;

/// Size at which a part of a checkpoint is closed.
const PART_BYTES: usize = 4 << 20;
/// State is written as a log of changes with checkpoints, not in cycles.
const CYCLE: u32 = 1;

impl Engine {
    /// What changed in accounts since the last call. Some of what no event can see any more leaves with it.
    pub fn take_changes(&mut self) -> Vec<u8> {
        let horizon = self.forgotten;
        let owners = self.owners.iter_mut().enumerate().collect();
        let parts = super::in_parallel(self.threads, owners, |(shard, owners): (usize, &mut Owners)| {
            let state = &mut owners.shard.state;
            owners.forgotten_to = state.forget(owners.forgotten_to, horizon);
            let (mut part, mut rows) = (Vec::new(), RowWriter::default());
            state.take_changes(CYCLE, |row| {
                if part.is_empty() {
                    begin_part(shard, &mut part);
                }
                rows.write(&row, &mut part);
            });
            state.settle();
            part
        });
        [vec![self.forgotten_part()], parts].concat().concat()
    }

    /// The horizon behind which rows may have left.
    fn forgotten_part(&self) -> Vec<u8> {
        let mut part = Vec::new();
        if self.forgotten > Timestamp::EPOCH {
            part.push(FORGOTTEN);
            self.forgotten.write(&mut part);
        }
        part
    }

    /// All accounts, in parts of a few megabytes.
    pub fn checkpoint(&self) -> Vec<Vec<u8>> {
        let mut parts = Vec::new();
        let mut part = self.forgotten_part();
        for (shard, owners) in self.owners.iter().enumerate() {
            let mut rows = RowWriter::default();
            let mut begun = false;
            owners.shard.state.visit_all(|row| {
                if !std::mem::replace(&mut begun, true) {
                    begin_part(shard, &mut part);
                }
                rows.write(&row, &mut part);
                if part.len() >= PART_BYTES {
                    parts.push(std::mem::take(&mut part));
                    rows.restart();
                    begun = false;
                }
            });
        }
        parts.push(part);
        parts
    }

    /// Puts back accounts: a checkpoint's part or changes, in the order in which they were written. [`Engine::restored`] has to follow.
    ///
    /// # Errors
    /// Bytes that are not accounts.
    pub fn restore_accounts(&mut self, mut bytes: &[u8]) -> Result<(), Corrupt> {
        let input = &mut bytes;
        let (mut shard, mut rows) = (None, RowReader::default());
        while !input.is_empty() {
            let first = u8::read(input)?;
            if first == SHARD {
                (shard, rows) = (Some(usize::from(u16::read(input)?)), RowReader::default());
                continue;
            }
            if first == FORGOTTEN {
                self.forgotten = self.forgotten.max(Stored::read(input)?);
                continue;
            }
            let row = RowByte::of(first);
            let named = match row {
                Some(row) => RowReader::account_of(row, input)?,
                None => Some(read_text(&mut &**input)?),
            };
            let of_name = named.map(|name| shard_of(&AccountId::new(name), SHARDS));
            let at = match (of_name, shard) {
                (Some(of_name), Some(shard)) if row.is_some() && of_name != shard => None,
                (of_name, shard) => of_name.or(shard),
            };
            let owners = at.and_then(|at| self.owners.get_mut(at));
            let owners = owners.ok_or(Corrupt { what: "the owner of an account", left: input.len() })?;
            owners.restoring.read(first, input, &mut rows, &mut owners.shard.state, CYCLE)?;
        }
        Ok(())
    }

    /// Everything that was written down has been put back.
    ///
    /// # Errors
    /// Something is named that was not.
    pub fn restored(&mut self) -> Result<(), Corrupt> {
        // With a horizon that has become longer since, what has left does not come back.
        self.duplicates.restore_state_horizon(self.forgotten);
        self.owners.iter_mut().try_for_each(|owners| owners.restoring.end(&mut owners.shard.state, CYCLE))
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

    /// Up to when work that falls due is done: the clock of ticks, or where the last run ended.
    pub fn complete_to(&self) -> Option<Timestamp> {
        self.clock().max(self.ended)
    }

    /// The latest event of usage that was charged.
    pub fn charged_until(&self) -> Option<Timestamp> {
        self.charged_until
    }

    /// Puts back [`Engine::complete_to`] and [`Engine::charged_until`].
    pub fn restore_ended(&mut self, complete_to: Option<Timestamp>, charged_until: Option<Timestamp>) {
        (self.ended, self.charged_until) = (complete_to, charged_until);
    }

    /// The first instant from which on record ids and months are remembered.
    pub fn horizon(&self) -> Timestamp {
        self.duplicates.horizon()
    }

    /// Puts back the clock of ticks and [`Engine::horizon`], after everything else.
    pub fn restore_clock(&mut self, clock: Timestamp, horizon: Timestamp) {
        self.duplicates.restore_horizon(horizon);
        self.duplicates.tick(clock);
        self.owners.iter_mut().for_each(|owners| owners.shard.state.restore_clock(Some(clock)));
        self.forgotten = self.forgotten.max(self.duplicates.state_horizon());
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

    /// The state of the shard that holds an account.
    pub fn state_of(&self, id: &AccountId) -> &State {
        &self.owners[shard_of(id, SHARDS)].shard.state
    }

    /// All accounts with state, in order.
    pub fn accounts(&self) -> Vec<(&AccountId, &Head)> {
        let mut all: Vec<_> = self.owners.iter().flat_map(|owners| owners.shard.state.accounts()).collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all
    }

    /// All bundles with the accounts that hold them, in no order.
    pub fn instances(&self) -> impl Iterator<Item = (&AccountId, &Instance)> {
        self.owners.iter().flat_map(|owners| owners.shard.state.instances())
    }
}

fn begin_part(shard: usize, part: &mut Vec<u8>) {
    part.push(SHARD);
    u16::try_from(shard).expect("there are few shards").write(part);
}
