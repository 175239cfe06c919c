//! Values in the order of their keys, where there is nearly always one and sometimes 100,000.

use smallvec::SmallVec;
use std::collections::BTreeMap;

/// Most entries that are kept in a list: inserting moves half of them.
const MAX_LISTED: usize = 64;

/// A sorted map: few entries in a list, more in a tree.
#[derive(Debug)]
pub(crate) enum Ordered<K, V> {
    Listed(SmallVec<[(K, V); 1]>),
    Tree(BTreeMap<K, V>),
}

impl<K, V> Default for Ordered<K, V> {
    fn default() -> Self {
        Ordered::Listed(SmallVec::new())
    }
}

impl<K: Ord, V> Ordered<K, V> {
    /// Puts a value under a key.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        if let Ordered::Listed(entries) = self
            && entries.len() == MAX_LISTED
        {
            *self = Ordered::Tree(std::mem::take(entries).into_iter().collect());
        }
        match self {
            Ordered::Listed(entries) => match entries.binary_search_by(|(known, _)| known.cmp(&key)) {
                Ok(at) => entries[at].1 = value,
                Err(at) => entries.insert(at, (key, value)),
            },
            Ordered::Tree(entries) => drop(entries.insert(key, value)),
        }
    }

    /// Removes a key, which has to be there.
    pub(crate) fn remove(&mut self, key: &K) {
        const THERE: &str = "what is removed is there";
        match self {
            Ordered::Listed(entries) => {
                entries.remove(entries.binary_search_by(|(known, _)| known.cmp(key)).expect(THERE));
            }
            Ordered::Tree(entries) => drop(entries.remove(key).expect(THERE)),
        }
    }

    /// The entries in order, from the first one on that does not stand before a key; `is_before` says the same of a key in a list.
    pub(crate) fn from(&self, is_before: impl Fn(&K) -> bool, key: impl FnOnce() -> K) -> Entries<'_, K, V> {
        match self {
            Ordered::Listed(entries) => {
                let start = entries.partition_point(|(key, _)| is_before(key));
                Entries::Listed(entries.get(start..).unwrap_or_default().iter())
            }
            Ordered::Tree(entries) => Entries::Tree(entries.range(key()..)),
        }
    }

    /// All entries in order.
    pub(crate) fn iter(&self) -> Entries<'_, K, V> {
        match self {
            Ordered::Listed(entries) => Entries::Listed(entries.iter()),
            Ordered::Tree(entries) => Entries::Tree(entries.range(..)),
        }
    }

    /// Returns whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Ordered::Listed(entries) => entries.is_empty(),
            Ordered::Tree(entries) => entries.is_empty(),
        }
    }
}

/// Entries in order.
#[derive(Debug)]
pub(crate) enum Entries<'e, K, V> {
    Listed(std::slice::Iter<'e, (K, V)>),
    Tree(std::collections::btree_map::Range<'e, K, V>),
}

impl<'e, K, V> Iterator for Entries<'e, K, V> {
    type Item = (&'e K, &'e V);

    #[inline]
    fn next(&mut self) -> Option<(&'e K, &'e V)> {
        match self {
            Entries::Listed(entries) => entries.next().map(|(key, value)| (key, value)),
            Entries::Tree(entries) => entries.next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_and_many_stand_in_the_same_order() {
        for count in [0, 1, 2, MAX_LISTED, MAX_LISTED + 1, 1_000] {
            let (mut ordered, mut tree) = (Ordered::default(), BTreeMap::new());
            for at in 0..count * 2 {
                let key = at * 7_919 % (count + 3);
                ordered.insert(key, at);
                tree.insert(key, at);
            }
            for key in (0..count).step_by(3) {
                if tree.remove(&key).is_some() {
                    ordered.remove(&key);
                }
            }
            assert!(ordered.iter().eq(tree.iter()), "{count}");
            assert!(ordered.from(|key| *key < count / 2, || count / 2).eq(tree.range(count / 2..)), "{count}");
            assert_eq!(ordered.is_empty(), tree.is_empty(), "{count}");
        }
    }
}
