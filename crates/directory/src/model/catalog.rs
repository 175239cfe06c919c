//! Definitions by name.

use hashbrown::HashTable;
use std::hash::BuildHasher;

use crate::source::Span;

/// A definition under its name.
#[derive(Debug)]
pub struct Item<T> {
    /// Unique within the catalogue.
    pub name: Box<str>,
    /// Where the name stands.
    pub span: Span,
    /// What it is; `None` if it could not be read, which has been reported. The name counts as defined all the same, so that those who use
    /// it are not reported too.
    pub value: Option<T>,
    /// Whether nothing in it has been reported so far. Checks that need the whole of it pass over what is not sound.
    pub sound: bool,
}

/// All definitions of one kind, in the order in which they were read.
#[derive(Debug)]
pub struct Catalog<T> {
    items: Vec<Item<T>>,
    index: HashTable<u32>,
    hasher: foldhash::fast::FixedState,
}

impl<T> Default for Catalog<T> {
    fn default() -> Self {
        Catalog { items: Vec::new(), index: HashTable::new(), hasher: foldhash::fast::FixedState::default() }
    }
}

impl<T> Catalog<T> {
    /// Position of the definition with this name.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.index.find(self.hasher.hash_one(name), |at| &*self.items[*at as usize].name == name).map(|at| *at as usize)
    }

    /// The definition with this name, if it could be read.
    pub fn get(&self, name: &str) -> Option<&T> {
        self.find(name).and_then(|at| self.items[at].value.as_ref())
    }

    /// The definition at a position that [`find`](Self::find) gave.
    pub fn item(&self, at: usize) -> &Item<T> {
        &self.items[at]
    }

    /// All of them.
    pub fn items(&self) -> &[Item<T>] {
        &self.items
    }

    /// Names and values of those that could be read.
    pub fn values(&self) -> impl Iterator<Item = (&str, &T)> {
        self.items.iter().filter_map(|item| Some((&*item.name, item.value.as_ref()?)))
    }

    /// Values of those that could be read.
    #[cfg(feature = "store")]
    pub(crate) fn into_values(self) -> impl Iterator<Item = T> {
        self.items.into_iter().filter_map(|item| item.value)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Adds a definition, or returns where the name is defined already.
    pub(crate) fn add(&mut self, item: Item<T>) -> Result<(), Span> {
        let hash = self.hasher.hash_one(&*item.name);
        if let Some(first) = self.find(&item.name) {
            return Err(self.items[first].span);
        }
        let at = self.items.len() as u32;
        self.items.push(item);
        let (items, hasher) = (&self.items, &self.hasher);
        self.index.insert_unique(hash, at, |at| hasher.hash_one(&*items[*at as usize].name));
        Ok(())
    }

    /// Values of those that could be read, to be changed; by position.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = Option<&mut T>> {
        self.items.iter_mut().map(|item| item.value.as_mut())
    }

    /// Takes back what was added behind the first so many.
    pub(crate) fn truncate(&mut self, len: usize) {
        for at in (len..self.items.len()).rev() {
            let hash = self.hasher.hash_one(&*self.items[at].name);
            if let Ok(entry) = self.index.find_entry(hash, |found| *found as usize == at) {
                entry.remove();
            }
        }
        self.items.truncate(len);
    }

    /// Makes room, where it is known how many will come.
    pub(crate) fn reserve(&mut self, more: usize) {
        self.items.reserve(more);
        let (items, hasher) = (&self.items, &self.hasher);
        self.index.reserve(more, |at| hasher.hash_one(&*items[*at as usize].name));
    }
}
