//! Record ids that guide remembers, and where they stand in the changelog: an entry per commit and hour, so that whole entries are forgotten.

use super::entry::{Origin, Retried, Wanted};
use super::progress::{About, Changelog, corrupt, read_format};
use super::retry::retry_key;
use crate::state::Stored;
use crate::worker::log::Offset;
use crate::worker::{Output, StageError};
use pipeline::duplicates::{Admission, hour_of};
use pipeline::{Duplicates, Held, Identity, Intent, Taken};
use rating::Timestamp;
use std::collections::BTreeMap;

const HOUR_MS: i64 = 3_600_000;

/// Ids of one partition.
#[derive(Debug)]
pub(super) struct Remembered {
    pub(super) ids: Duplicates,
    /// Changelog entries that hold ids, by hour: those behind the window are deleted.
    keys: BTreeMap<i64, Vec<Offset>>,
    /// What the batch adds to them.
    new_keys: Vec<(i64, Offset)>,
    /// No entry of the changelog has this number or a later one. Numbers are positions, but a batch may leave the position where it is, and the
    /// positions of a topic that was made anew begin again: an entry must never take the place of another.
    next: Offset,
}

impl Remembered {
    pub(super) fn new(ids: Duplicates) -> Remembered {
        Remembered { ids, keys: BTreeMap::new(), new_keys: Vec::new(), next: 0 }
    }

    /// Whether something is tried again for the first time since it waited.
    pub(super) fn is_first(&mut self, origin: &Origin<'_>, retried: Retried, taken: &Taken) -> bool {
        let at = taken.identity().map_or(Timestamp::EPOCH, |(_, _, at)| at);
        let id = Identity { key: retry_key(origin, retried), payload: 0, at, place: origin.place() };
        self.ids.admit_late(id, None) == Admission::New
    }

    /// Takes note of what recycling says of a copy.
    pub(super) fn note(&mut self, wanted: Wanted, intent: Intent, id: Option<Identity>) {
        match (wanted, id) {
            (Wanted::Hold, Some(id)) => self.ids.hold(id, intent.is_owner()),
            (Wanted::Leave, Some(id)) => self.ids.leave(id.key),
            (Wanted::Again, _) | (_, None) => {}
        }
    }

    /// Puts back an id that is kept because something of it waits, or its deletion.
    ///
    /// # Errors
    /// Bytes that are no such entry.
    pub(super) fn restore_held(&mut self, own: &[u8], value: Option<&[u8]>) -> Result<(), StageError> {
        let short = own.try_into().map_err(|_| corrupt("a changelog key", "not an id"))?;
        let held = value.map(|value| Ok::<_, StageError>(Held::read(&mut read_format(value)?)?)).transpose()?;
        self.ids.restore_held(u64::from_be_bytes(short), held);
        Ok(())
    }

    /// First hour whose ids are remembered.
    fn horizon_hour(&self) -> i64 {
        self.ids.horizon().millis().div_euclid(HOUR_MS)
    }

    /// Writes down the ids that the batch added, and deletes those that are forgotten.
    pub(super) fn write(&mut self, changelog: Changelog<'_>, position: Offset, output: &mut Output) {
        let position = position.max(self.next);
        let mut added = self.ids.added().to_vec();
        added.sort_unstable_by_key(|(_, value)| hour_of(*value));
        for chunk in added.chunk_by(|(_, one), (_, other)| hour_of(*one) == hour_of(*other)) {
            let Some((_, value)) = chunk.first() else { continue };
            let hour = hour_of(*value);
            changelog.put(About::Ids, &[&hour.to_be_bytes(), &position.to_be_bytes()], output, |out| {
                for (id, value) in chunk {
                    out.extend_from_slice(&id.to_le_bytes());
                    out.extend_from_slice(&value.to_le_bytes());
                }
            });
            self.new_keys.push((hour, position));
        }
        for (hour, positions) in self.keys.range(..self.horizon_hour()) {
            for position in positions {
                changelog.delete(About::Ids, &[&hour.to_be_bytes(), &position.to_be_bytes()], output);
            }
        }
    }

    /// Writes down which ids are kept because something of them waits, as far as that changed.
    pub(super) fn write_held(&self, changelog: Changelog<'_>, output: &mut Output) {
        for (short, held) in self.ids.held().changed() {
            match held {
                Some(held) => changelog.put(About::Held, &[&short.to_be_bytes()], output, |out| held.write(out)),
                None => changelog.delete(About::Held, &[&short.to_be_bytes()], output),
            }
        }
    }

    /// Puts back an entry of the changelog, or its deletion.
    ///
    /// # Errors
    /// Bytes that are no such entry.
    pub(super) fn restore(&mut self, own: &[u8], value: Option<&[u8]>) -> Result<(), StageError> {
        let (hour, position) = read_key(own)?;
        self.next = self.next.max(position.saturating_add(1));
        let Some(value) = value else {
            if let Some(positions) = self.keys.get_mut(&hour) {
                positions.retain(|known| *known != position);
            }
            return Ok(());
        };
        let (entries, rest) = read_format(value)?.as_chunks::<16>();
        if !rest.is_empty() {
            return Err(corrupt("a changelog entry", "half an id"));
        }
        self.ids.restore(entries.iter().map(|entry| {
            let value = u128::from_le_bytes(*entry);
            (value as u64, (value >> 64) as u64)
        }));
        self.keys.entry(hour).or_default().push(position);
        Ok(())
    }

    /// Everything is put back.
    pub(super) fn restored(&mut self, horizon: Option<Timestamp>, clock: Option<Timestamp>) {
        if let Some(horizon) = horizon {
            self.ids.restore_horizon(horizon);
        }
        if let Some(clock) = clock {
            self.ids.tick(clock);
        }
        self.ids.settle();
    }

    /// The batch is committed.
    pub(super) fn settle(&mut self) {
        let horizon = self.horizon_hour();
        self.keys = self.keys.split_off(&horizon);
        for (hour, position) in self.new_keys.drain(..) {
            self.next = self.next.max(position.saturating_add(1));
            self.keys.entry(hour).or_default().push(position);
        }
        self.ids.settle();
    }

    /// The batch was not committed.
    pub(super) fn undo(&mut self) {
        self.new_keys.clear();
        self.ids.undo();
    }
}

fn read_key(own: &[u8]) -> Result<(i64, Offset), StageError> {
    let (hour, position) = own.split_first_chunk::<8>().ok_or_else(|| corrupt("a changelog key", "hour missing"))?;
    let position = position.try_into().map_err(|_| corrupt("a changelog key", "position missing"))?;
    Ok((i64::from_be_bytes(*hour), Offset::from_be_bytes(position)))
}
