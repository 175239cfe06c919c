//! What sessions and months accumulate (rule 12), one counter per edge, rate and scope.
//!
//! An endpoint may have thousands of sessions that are remembered, of which a batch changes a few. So counters know which of them changed
//! and what they were before: a commit writes down, and an undo puts back, as much as the batch changed and no more.

use crate::calendar::Timestamp;
use crate::money::{Amount, Exact};
use crate::rate::Scope;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

/// What a scope (session or month) on one edge and rate has accumulated (rule 12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    /// Units that no bundle covered, free units included.
    pub uncovered: u64,
    /// Units that bundles covered: they lower the minimum (rule 10).
    pub covered: u64,
    /// Units billed so far.
    pub billed: u64,
    /// Exact price of what was billed so far, connect fee included.
    pub priced: Exact,
    /// Rounded amount charged so far, before caps.
    pub charged: Amount,
    /// The connect fee of this session was charged.
    pub connected: bool,
    /// Latest event time, for forgetting.
    pub last_event: Timestamp,
}

impl Default for Counter {
    fn default() -> Self {
        Counter {
            uncovered: 0,
            covered: 0,
            billed: 0,
            priced: Exact::ZERO,
            charged: Amount::ZERO,
            connected: false,
            last_event: Timestamp::EPOCH,
        }
    }
}

/// No calendar month is longer, wherever clocks are put back in it.
const LONGEST_MONTH_MS: i64 = 32 * 86_400_000;

impl Counter {
    /// Whether records whose ids are remembered may still be counted on top of this: for a session, while its last event is within the
    /// window of record ids ([`Leg::remembered_from`](crate::Leg::remembered_from)); for a month, while any event of that month can be.
    pub fn is_remembered(&self, scope: Scope, remembered_from: Timestamp) -> bool {
        let reach_ms = match scope {
            Scope::Month => LONGEST_MONTH_MS,
            Scope::Session | Scope::Record => 0,
        };
        self.last_event.millis().saturating_add(reach_ms) >= remembered_from.millis()
    }
}

/// Counters by key.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    all: HashMap<u128, Kept>,
    /// Keys that changed since the last [`Counters::settle`], with what was there before. After [`Counters::take_changed`] a key may come
    /// again; then its first entry is the oldest.
    changed: Vec<(u128, Option<Counter>)>,
}

#[derive(Clone, Copy, Debug)]
struct Kept {
    counter: Counter,
    /// It has changed, and nobody has taken that yet.
    is_changed: bool,
}

/// Equal are those with equal counters, whatever has changed.
impl PartialEq for Counters {
    fn eq(&self, other: &Counters) -> bool {
        self.len() == other.len() && self.iter().all(|(key, counter)| other.get(key) == Some(counter))
    }
}

impl Eq for Counters {}

impl Counters {
    /// The counter of a key.
    pub fn get(&self, key: u128) -> Option<&Counter> {
        self.all.get(&key).map(|kept| &kept.counter)
    }

    /// Sets the counter of a key: that is a change.
    pub fn set(&mut self, key: u128, counter: Counter) {
        let now = Kept { counter, is_changed: true };
        match self.all.entry(key) {
            Entry::Occupied(mut known) => {
                let before = known.insert(now);
                if !before.is_changed {
                    self.changed.push((key, Some(before.counter)));
                }
            }
            Entry::Vacant(free) => {
                free.insert(now);
                self.changed.push((key, None));
            }
        }
    }

    /// Puts a counter where it was written down: that is no change.
    pub fn restore(&mut self, key: u128, counter: Counter) {
        self.all.insert(key, Kept { counter, is_changed: false });
    }

    /// The counters that changed since the last call, in the order of their keys.
    pub fn take_changed(&mut self) -> Vec<(u128, Counter)> {
        let mut taken = Vec::new();
        for (key, _) in &self.changed {
            if let Some(kept) = self.all.get_mut(key).filter(|kept| kept.is_changed) {
                kept.is_changed = false;
                taken.push((*key, kept.counter));
            }
        }
        taken.sort_unstable_by_key(|(key, _)| *key);
        taken
    }

    /// What changed up to here will not be undone.
    pub fn settle(&mut self) {
        // Room is given back: most counters do not change with the next batch.
        for (key, _) in std::mem::take(&mut self.changed) {
            if let Some(kept) = self.all.get_mut(&key) {
                kept.is_changed = false;
            }
        }
    }

    /// Puts back what was there at the last [`Counters::settle`].
    pub fn undo(&mut self) {
        for (key, before) in std::mem::take(&mut self.changed).into_iter().rev() {
            match before {
                Some(counter) => self.restore(key, counter),
                None => drop(self.all.remove(&key)),
            }
        }
    }

    /// Drops counters that are [not remembered](Counter::is_remembered) any more.
    pub fn forget(&mut self, scope: Scope, remembered_from: Timestamp) {
        self.all.retain(|_, kept| kept.counter.is_remembered(scope, remembered_from));
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (u128, &Counter)> {
        self.all.iter().map(|(key, kept)| (*key, &kept.counter))
    }

    /// All of them, in the order of their keys.
    pub fn sorted(&self) -> Vec<(u128, Counter)> {
        let mut all: Vec<(u128, Counter)> = self.iter().map(|(key, counter)| (key, *counter)).collect();
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

impl FromIterator<(u128, Counter)> for Counters {
    /// As they were written down.
    fn from_iter<I: IntoIterator<Item = (u128, Counter)>>(all: I) -> Counters {
        let mut counters = Counters::default();
        all.into_iter().for_each(|(key, counter)| counters.restore(key, counter));
        counters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        counters.forget(Scope::Session, Timestamp::from_millis(10));
        assert_eq!((counters.take_changed(), counters.len()), (Vec::new(), 1));
        assert_eq!(counters.sorted(), [(2, late)]);
    }
}
