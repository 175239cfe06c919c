//! Identities of which something is suspended (rule 26, ACCEPTANCE-2 "Clarified"): a suspended record and every later copy of it are one record.
//!
//! An entry lives while a record, a leg or a copy of it is suspended, whatever the window of duplicates is. Its **owner** is the copy that stands for all:
//! the one that was admitted, or the first that was recycled. Every other copy is a duplicate of it, whichever is recycled first.

use hashbrown::HashMap;

/// Where a copy of a record stands: a hash of file and line, or of topic, partition and offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(pub u64);

impl Place {
    /// Where nobody knows it any more: somewhere a copy was admitted, that is all that is remembered of it.
    pub const FORGOTTEN: Place = Place(0);
}

/// An identity of which something is suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Payload and hour, packed as in the table of recent identities.
    pub value: u64,
    /// The copy that stands for all; `None` while only copies are suspended of which nobody knows whether they were charged.
    pub owner: Option<Place>,
    /// Number of copies and legs that are suspended; 0 until they are counted.
    pub count: u32,
}

impl Held {
    /// Whether no copy stands for all that is known by its place: one that was admitted may take it.
    fn is_claimable(&self) -> bool {
        self.owner.is_none_or(|owner| owner == Place::FORGOTTEN)
    }

    /// Whether another copy than the one at a place stands for all.
    pub(crate) fn is_of_another(&self, place: Place) -> bool {
        !self.is_claimable() && self.owner != Some(place)
    }
}

/// All such identities, by their short keys.
#[derive(Debug, Default)]
pub struct HeldIds {
    all: HashMap<u64, Held>,
    /// What stood there before, in the order of changes, since the last [`HeldIds::settle`].
    journal: Vec<(u64, Option<Held>)>,
}

impl HeldIds {
    /// The entry of an identity.
    pub fn get(&self, short: u64) -> Option<&Held> {
        // Nearly always nothing is suspended, and then nothing is hashed.
        if self.all.is_empty() { None } else { self.all.get(&short) }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Held)> {
        self.all.iter().map(|(short, held)| (*short, held))
    }

    /// What changed since the last batch was settled, each once, by key: the entry, or `None` where it is gone.
    pub fn changed(&self) -> Vec<(u64, Option<Held>)> {
        let mut keys: Vec<u64> = self.journal.iter().map(|(short, _)| *short).collect();
        keys.sort_unstable();
        keys.dedup();
        keys.into_iter().map(|short| (short, self.all.get(&short).copied())).collect()
    }

    /// Remembers that something is suspended; an owner that comes first stays.
    pub(crate) fn suspend(&mut self, short: u64, value: u64, owner: Option<Place>) {
        let held = self.all.get(&short).copied();
        let next = match held {
            None => Held { value, owner, count: 0 },
            Some(known) if known.is_claimable() && owner.is_some_and(|owner| owner != Place::FORGOTTEN) => {
                Held { value, owner, ..known }
            }
            Some(known) => known,
        };
        self.set(short, Some(next));
    }

    /// Counts one more copy or leg.
    pub(crate) fn count(&mut self, short: u64) {
        if let Some(held) = self.all.get(&short).copied() {
            self.set(short, Some(Held { count: held.count.saturating_add(1), ..held }));
        }
    }

    /// Makes a copy the owner, if there is none yet.
    pub(crate) fn claim(&mut self, short: u64, value: u64, owner: Place) {
        if let Some(known) = self.get(short).copied().filter(Held::is_claimable) {
            self.set(short, Some(Held { value, owner: Some(owner), ..known }));
        }
    }

    /// One fewer; returns the entry that is gone if that was the last.
    pub(crate) fn leave(&mut self, short: u64) -> Option<Held> {
        let held = self.get(short).copied()?;
        match held.count {
            0 | 1 => {
                self.set(short, None);
                Some(held)
            }
            count => {
                self.set(short, Some(Held { count: count - 1, ..held }));
                None
            }
        }
    }

    /// Puts back what a commit wrote down: that is no change.
    pub(crate) fn restore(&mut self, short: u64, held: Option<Held>) {
        match held {
            Some(held) => drop(self.all.insert(short, held)),
            None => drop(self.all.remove(&short)),
        }
    }

    pub(crate) fn settle(&mut self) {
        self.journal.clear();
    }

    pub(crate) fn undo(&mut self) {
        for (short, before) in std::mem::take(&mut self.journal).into_iter().rev() {
            self.restore(short, before);
        }
    }

    fn set(&mut self, short: u64, held: Option<Held>) {
        let before = match held {
            Some(held) => self.all.insert(short, held),
            None => self.all.remove(&short),
        };
        if before != held {
            self.journal.push((short, before));
        }
    }
}
