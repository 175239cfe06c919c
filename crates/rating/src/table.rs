//! Values by key that know which of them changed.
//!
//! An endpoint may have thousands of sessions that are remembered, of which a batch changes a few. So a table knows which of its values
//! changed and what they were before: a commit writes, and an undo restores, as much as the batch changed and no more.

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

/// Values by key.
#[derive(Clone, Debug)]
pub struct Table<V> {
    all: HashMap<u128, TrackedValue<V>>,
    /// Keys that changed since the last [`Table::settle`], with what was there before. After [`Table::take_changed`] a key may come
    /// again; then its first entry is the oldest.
    changed: Vec<(u128, Option<V>)>,
}

impl<V> Default for Table<V> {
    fn default() -> Table<V> {
        Table { all: HashMap::new(), changed: Vec::new() }
    }
}

#[derive(Clone, Copy, Debug)]
struct TrackedValue<V> {
    value: V,
    /// It changed since changes were last taken.
    is_changed: bool,
}

/// Equal are tables with equal values, whatever has changed.
impl<V: Copy + PartialEq> PartialEq for Table<V> {
    fn eq(&self, other: &Table<V>) -> bool {
        self.len() == other.len() && self.iter().all(|(key, value)| other.get(key) == Some(value))
    }
}

impl<V: Copy + Eq> Eq for Table<V> {}

impl<V: Copy> Table<V> {
    /// The value of a key.
    pub fn get(&self, key: u128) -> Option<&V> {
        self.all.get(&key).map(|tracked| &tracked.value)
    }

    /// Sets the value of a key: that is a change.
    pub fn set(&mut self, key: u128, value: V) {
        let now = TrackedValue { value, is_changed: true };
        match self.all.entry(key) {
            Entry::Occupied(mut known) => {
                let before = known.insert(now);
                if !before.is_changed {
                    self.changed.push((key, Some(before.value)));
                }
            }
            Entry::Vacant(free) => {
                free.insert(now);
                self.changed.push((key, None));
            }
        }
    }

    /// Restores a value that was written down: that is no change.
    pub fn restore(&mut self, key: u128, value: V) {
        self.all.insert(key, TrackedValue { value, is_changed: false });
    }

    /// Returns the values that changed since the last call, in the order of their keys.
    pub fn take_changed(&mut self) -> Vec<(u128, V)> {
        let mut taken = Vec::new();
        for (key, _) in &self.changed {
            if let Some(tracked) = self.all.get_mut(key).filter(|tracked| tracked.is_changed) {
                tracked.is_changed = false;
                taken.push((*key, tracked.value));
            }
        }
        taken.sort_unstable_by_key(|(key, _)| *key);
        taken
    }

    /// What changed up to here will not be undone.
    pub fn settle(&mut self) {
        // Gives memory back: most values do not change with the next batch.
        for (key, _) in std::mem::take(&mut self.changed) {
            if let Some(tracked) = self.all.get_mut(&key) {
                tracked.is_changed = false;
            }
        }
    }

    /// Puts back what was there at the last [`Table::settle`].
    pub fn undo(&mut self) {
        for (key, before) in std::mem::take(&mut self.changed).into_iter().rev() {
            match before {
                Some(value) => self.restore(key, value),
                None => drop(self.all.remove(&key)),
            }
        }
    }

    /// Drops the values that `keeps` does not want: that is no change, and is not undone.
    pub fn retain(&mut self, keeps: impl Fn(&V) -> bool) {
        self.all.retain(|_, tracked| keeps(&tracked.value));
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (u128, &V)> {
        self.all.iter().map(|(key, tracked)| (*key, &tracked.value))
    }

    /// All of them, in the order of their keys.
    pub fn sorted(&self) -> Vec<(u128, V)> {
        let mut all: Vec<(u128, V)> = self.iter().map(|(key, value)| (key, *value)).collect();
        all.sort_unstable_by_key(|(key, _)| *key);
        all
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

impl<V: Copy> FromIterator<(u128, V)> for Table<V> {
    /// Collects values as they were written down.
    fn from_iter<I: IntoIterator<Item = (u128, V)>>(all: I) -> Table<V> {
        let mut table = Table::default();
        all.into_iter().for_each(|(key, value)| table.restore(key, value));
        table
    }
}

#[cfg(test)]
mod tests {
    use crate::calendar::Timestamp;
    use crate::counter::{Counter, Counters};

    fn counter(billed: u64) -> Counter {
        Counter { billed, ..Counter::default() }
    }

    #[test]
    fn what_changed_is_taken_once_and_undone_to_what_was_settled() {
        let mut counters: Counters = (1..=1_000).map(|key| (key, counter(0))).collect();
        let before = counters.clone();
        assert_eq!(counters.take_changed(), []);
        counters.set(7, counter(1));
        counters.set(2_000, counter(1));
        counters.set(7, counter(2));
        assert_eq!(counters.take_changed(), [(7, counter(2)), (2_000, counter(1))]);
        assert_eq!(counters.take_changed(), []);
        // Taken and changed again: taken again, and undone to the first of all.
        counters.set(7, counter(3));
        counters.set(3, counter(9));
        assert_eq!(counters.take_changed(), [(3, counter(9)), (7, counter(3))]);
        counters.set(3, counter(10));
        let mut undone = counters.clone();
        undone.undo();
        assert_eq!(undone, before);
        assert_eq!(undone.take_changed(), []);
        counters.settle();
        let settled = counters.clone();
        counters.undo();
        assert_eq!(counters, settled);
        assert_eq!(counters.get(7), Some(&counter(3)));
        // What was settled without being taken is no change any more, and the next change is one.
        counters.set(3, counter(11));
        assert_eq!(counters.take_changed(), [(3, counter(11))]);
    }

    #[test]
    fn what_is_forgotten_is_gone() {
        let late = Counter { last_event: Timestamp::from_millis(10), ..counter(1) };
        let mut counters: Counters = [(1, counter(1)), (2, late)].into_iter().collect();
        counters.set(1, counter(2));
        counters.retain(|counter| counter.last_event >= Timestamp::from_millis(10));
        assert_eq!((counters.take_changed(), counters.len()), (Vec::new(), 1));
        assert_eq!(counters.sorted(), [(2, late)]);
    }
}
