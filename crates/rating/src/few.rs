//! Values by key, where there are nearly always a few and sometimes 100,000.

use hashbrown::{Equivalent, HashMap};
use std::hash::Hash;

/// Most entries that are compared one after the other: a million tariffs have a few rates each, and a hash map takes many times their memory.
const MAX_LISTED: usize = 8;

/// A map: few entries in a list, more by their hashes.
#[derive(Debug)]
pub(crate) enum Few<K, V> {
    Listed(Vec<(K, V)>),
    Hashed(Box<HashMap<K, V>>),
}

impl<K, V> Default for Few<K, V> {
    fn default() -> Self {
        Few::Listed(Vec::new())
    }
}

impl<K: Hash + Eq, V> Few<K, V> {
    /// The value of a key.
    pub(crate) fn get<Q: Hash + Equivalent<K> + ?Sized>(&self, key: &Q) -> Option<&V> {
        match self {
            Few::Listed(entries) => entries.iter().find(|(known, _)| key.equivalent(known)).map(|(_, value)| value),
            Few::Hashed(entries) => entries.get(key),
        }
    }

    /// Puts a value under a key; returns the one that was there.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.make_room();
        match self {
            Few::Listed(entries) => match entries.iter_mut().find(|(known, _)| *known == key) {
                Some((_, known)) => Some(std::mem::replace(known, value)),
                None => {
                    entries.push((key, value));
                    None
                }
            },
            Few::Hashed(entries) => entries.insert(key, value),
        }
    }

    /// The values, to be changed.
    pub(crate) fn values_mut(&mut self) -> Box<dyn Iterator<Item = &mut V> + '_> {
        match self {
            Few::Listed(entries) => Box::new(entries.iter_mut().map(|(_, value)| value)),
            Few::Hashed(entries) => Box::new(entries.values_mut()),
        }
    }

    /// Gives back what was taken in advance.
    pub(crate) fn shrink_to_fit(&mut self) {
        match self {
            Few::Listed(entries) => entries.shrink_to_fit(),
            Few::Hashed(entries) => entries.shrink_to_fit(),
        }
    }

    fn make_room(&mut self) {
        if let Few::Listed(entries) = self
            && entries.len() == MAX_LISTED
        {
            *self = Few::Hashed(Box::new(std::mem::take(entries).into_iter().collect()));
        }
    }
}

impl<K: Hash + Eq, V: Default> Few<K, V> {
    /// The value of a key, made where there is none.
    pub(crate) fn get_or_default(&mut self, key: K) -> &mut V {
        self.make_room();
        match self {
            Few::Listed(entries) => {
                let at = entries.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
                    entries.push((key, V::default()));
                    entries.len() - 1
                });
                &mut entries[at].1
            }
            Few::Hashed(entries) => entries.entry(key).or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_and_many_are_found_alike() {
        for count in [0, 1, MAX_LISTED, MAX_LISTED + 1, 100] {
            let mut few: Few<usize, usize> = Few::default();
            for round in 0..2 {
                for key in 0..count {
                    let before = few.insert(key, key * 10 + round);
                    assert_eq!(before, (round == 1).then_some(key * 10), "{count}");
                }
            }
            *few.get_or_default(count) += 7;
            few.shrink_to_fit();
            for key in 0..count {
                assert_eq!(few.get(&key), Some(&(key * 10 + 1)), "{count}");
            }
            assert_eq!((few.get(&count), few.get(&(count + 1))), (Some(&7), None));
            assert_eq!(few.values_mut().count(), count + 1);
        }
    }
}
