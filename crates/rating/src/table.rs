//! Rows by key that know which of them changed: what all state consists of (ADR 40).
//!
//! A commit writes, and an undo restores, as much as was changed and no more. A row has a place, which it keeps as long as it is there; a sweep
//! visits rows by their places, and so goes on where it stopped whatever was added or removed meanwhile.
//!
//! The life of a change: [`Table::set`], [`Table::change`] and [`Table::remove`] note what was there before; [`Table::take_changes`] hands the change out
//! to be written; then [`Table::settle`] forgets what was before, or [`Table::undo`] puts it back.

use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::{BuildHasher, Hash};

/// Where a row stands in its table.
pub type RowPlace = u32;

/// Rows by key.
#[derive(Clone, Debug)]
pub struct Table<K, V> {
    places: HashTable<RowPlace>,
    rows: Vec<Row<K, V>>,
    /// Places without a row, to be taken first.
    free: Vec<RowPlace>,
    /// What was before, the oldest first, since the last [`Table::settle`].
    journal: Vec<Before<V>>,
    /// Places that changed and were not taken yet.
    changed: Vec<RowPlace>,
    can_undo: bool,
    hasher: DefaultHashBuilder,
}

#[derive(Clone, Debug)]
struct Row<K, V> {
    key: K,
    /// `None` where the row is gone; its place is free once that is settled.
    value: Option<V>,
    /// The cycle in which it was last written down.
    written: u32,
    /// It stands in `changed`.
    is_changed: bool,
    /// What it was at the last settling stands in `journal`.
    is_journaled: bool,
}

/// What a row was before its first change, or before it was marked as written.
#[derive(Clone, Debug)]
enum Before<V> {
    Value(RowPlace, Option<V>, u32),
    Written(RowPlace, u32),
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Table<K, V> {
        Table {
            places: HashTable::new(),
            rows: Vec::new(),
            free: Vec::new(),
            journal: Vec::new(),
            changed: Vec::new(),
            can_undo: false,
            hasher: DefaultHashBuilder::default(),
        }
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Table<K, V> {
    /// Keeps from now on what rows were before they changed.
    pub fn allow_undo(&mut self) {
        self.can_undo = true;
    }

    /// The place of a key's row, also if that row is gone and not settled yet.
    fn known_place(&self, key: &K) -> Option<RowPlace> {
        let hash = self.hasher.hash_one(key);
        self.places.find(hash, |place| self.rows.get(*place as usize).is_some_and(|row| row.key == *key)).copied()
    }

    /// The place of a key's row.
    #[inline]
    pub fn place(&self, key: &K) -> Option<RowPlace> {
        self.known_place(key).filter(|place| self.at(*place).is_some())
    }

    /// The value of a key.
    #[inline]
    pub fn get(&self, key: &K) -> Option<&V> {
        if self.places.is_empty() {
            return None;
        }
        self.at(self.known_place(key)?)
    }

    /// The value at a place.
    #[inline]
    pub fn at(&self, place: RowPlace) -> Option<&V> {
        self.rows.get(place as usize)?.value.as_ref()
    }

    /// The value at a place, for what changes nothing that is written down.
    pub(crate) fn at_mut(&mut self, place: RowPlace) -> Option<&mut V> {
        self.rows.get_mut(place as usize)?.value.as_mut()
    }

    /// Returns whether a row was ever written down, and would be found.
    pub(crate) fn is_written(&self, place: RowPlace) -> bool {
        self.rows.get(place as usize).is_some_and(|row| row.written > 0)
    }

    /// The key and the value at a place; no value where the row is gone and that is not settled yet.
    pub fn row(&self, place: RowPlace) -> Option<(&K, Option<&V>)> {
        self.rows.get(place as usize).map(|row| (&row.key, row.value.as_ref()))
    }

    /// Sets the value of a key: that is a change. Returns its place.
    pub fn set(&mut self, key: &K, value: V) -> RowPlace {
        let place = match self.known_place(key) {
            Some(place) => place,
            None => self.add(key.clone()),
        };
        self.note(place);
        self.rows[place as usize].value = Some(value);
        place
    }

    /// The value at a place, to be changed.
    #[inline]
    pub fn change(&mut self, place: RowPlace) -> Option<&mut V> {
        self.at(place)?;
        self.note(place);
        self.rows.get_mut(place as usize)?.value.as_mut()
    }

    /// Removes the row at a place: that is a change.
    pub fn remove(&mut self, place: RowPlace) {
        if self.at(place).is_some() {
            self.note(place);
            self.rows[place as usize].value = None;
            if !self.can_undo {
                self.journal.push(Before::Value(place, None, 0));
            }
        }
    }

    /// Puts back a row as it was written down in a cycle, or that it is gone: that is no change. Returns its place where there is a row.
    pub fn restore(&mut self, key: &K, value: Option<V>, cycle: u32) -> Option<RowPlace> {
        let place = match (self.known_place(key), &value) {
            (Some(place), _) => place,
            (None, Some(_)) => self.add(key.clone()),
            (None, None) => return None,
        };
        let is_there = value.is_some();
        let row = &mut self.rows[place as usize];
        (row.value, row.written) = (value, cycle);
        match is_there {
            true => Some(place),
            false => {
                self.release(place);
                None
            }
        }
    }

    /// Adds a row that has no value yet.
    fn add(&mut self, key: K) -> RowPlace {
        let hash = self.hasher.hash_one(&key);
        let row = Row { key, value: None, written: 0, is_changed: false, is_journaled: false };
        let place = match self.free.pop() {
            Some(place) => {
                self.rows[place as usize] = row;
                place
            }
            None => {
                let place = RowPlace::try_from(self.rows.len()).expect("fewer than 2^32 rows fit into memory");
                self.rows.push(row);
                place
            }
        };
        let (rows, hasher) = (&self.rows, &self.hasher);
        self.places.insert_unique(hash, place, |place| hasher.hash_one(&rows[*place as usize].key));
        place
    }

    /// Frees the place of a row that is gone.
    fn release(&mut self, place: RowPlace) {
        let row = &self.rows[place as usize];
        let hash = self.hasher.hash_one(&row.key);
        match self.places.find_entry(hash, |known| *known == place) {
            Ok(entry) => entry.remove(),
            Err(_) => unreachable!("a row has its place in the index"),
        };
        self.free.push(place);
    }

    /// Notes what a row is before it changes.
    #[inline]
    fn note(&mut self, place: RowPlace) {
        let row = &mut self.rows[place as usize];
        if !row.is_journaled && self.can_undo {
            row.is_journaled = true;
            self.journal.push(Before::Value(place, row.value.clone(), row.written));
        }
        if !row.is_changed {
            row.is_changed = true;
            self.changed.push(place);
        }
    }

    /// The number of rows that changed and were not taken yet.
    pub(crate) fn changed(&self) -> usize {
        self.changed.len()
    }

    /// Takes the places of rows that changed since the last call, in the order of their first change, as written in a cycle.
    pub fn take_changes(&mut self, cycle: u32) -> Vec<RowPlace> {
        for place in &self.changed {
            let row = &mut self.rows[*place as usize];
            (row.is_changed, row.written) = (false, cycle);
        }
        std::mem::take(&mut self.changed)
    }

    /// Marks a row as written in a cycle; returns whether it had not been yet.
    pub fn mark_written(&mut self, place: RowPlace, cycle: u32) -> bool {
        let Some(row) = self.rows.get_mut(place as usize).filter(|row| row.value.is_some() && row.written < cycle)
        else {
            return false;
        };
        if !row.is_journaled && self.can_undo {
            self.journal.push(Before::Written(place, row.written));
        }
        row.written = cycle;
        true
    }

    /// What changed up to here will not be undone. What was not taken until now is no change any more.
    pub fn settle(&mut self) {
        for place in self.changed.drain(..) {
            self.rows[place as usize].is_changed = false;
        }
        // Gives memory back: most rows do not change with the next batch.
        for before in std::mem::take(&mut self.journal) {
            let Before::Value(place, ..) = before else { continue };
            let row = &mut self.rows[place as usize];
            row.is_journaled = false;
            if row.value.is_none() {
                self.release(place);
            }
        }
    }

    /// Puts back what was there at the last [`Table::settle`]; `visit` sees the place of each row, what it is, and what it will be.
    pub fn undo(&mut self, mut visit: impl FnMut(RowPlace, &K, Option<&V>, Option<&V>)) {
        self.changed.clear();
        for before in std::mem::take(&mut self.journal).into_iter().rev() {
            match before {
                Before::Written(place, written) => {
                    self.rows[place as usize].written = written;
                }
                Before::Value(place, value, written) => {
                    let row = &mut self.rows[place as usize];
                    visit(place, &row.key, row.value.as_ref(), value.as_ref());
                    let is_there = value.is_some();
                    (row.value, row.written) = (value, written);
                    (row.is_changed, row.is_journaled) = (false, false);
                    if !is_there {
                        self.release(place);
                    }
                }
            }
        }
    }

    /// The rows that were last written before a cycle, although all that is there was written since: what a log tells of them is over. Returns their places.
    pub fn older_than(&self, cycle: u32) -> Vec<RowPlace> {
        let is_old = |row: &Row<K, V>| row.value.is_some() && row.written < cycle;
        (0..).zip(&self.rows).filter(|(_, row)| is_old(row)).map(|(place, _)| place).collect()
    }

    /// Drops rows that were written down, but not since a cycle, unless something needs them: then they are as if never written.
    pub(crate) fn drop_remnants(&mut self, since: u32, is_needed: impl Fn(&K) -> bool) {
        for place in self.older_than(since) {
            let row = &mut self.rows[place as usize];
            match is_needed(&row.key) {
                true => row.written = 0,
                false if row.written > 0 => self.drop_row(place),
                false => {}
            }
        }
    }

    /// Drops a row without a trace: that is no change.
    pub fn drop_row(&mut self, place: RowPlace) {
        if let Some(row) = self.rows.get_mut(place as usize).filter(|row| row.value.is_some()) {
            row.value = None;
            self.release(place);
        }
    }

    /// The first place that no row has ever had: where a sweep ends.
    pub fn end(&self) -> RowPlace {
        self.rows.len() as RowPlace
    }

    /// All rows, by their places.
    pub fn iter(&self) -> impl Iterator<Item = (RowPlace, &K, &V)> {
        (0..).zip(&self.rows).filter_map(|(place, row)| Some((place, &row.key, row.value.as_ref()?)))
    }

    /// How many rows there are, those included that are gone and not settled.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}

/// Equal are tables with equal rows, whatever has changed and wherever they stand.
impl<K: Hash + Eq + Clone, V: Clone + PartialEq> PartialEq for Table<K, V> {
    fn eq(&self, other: &Table<K, V>) -> bool {
        self.iter().count() == other.iter().count() && self.iter().all(|(_, key, value)| other.get(key) == Some(value))
    }
}

impl<K: Hash + Eq + Clone, V: Clone + Eq> Eq for Table<K, V> {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn nothing(_: RowPlace, _: &u32, _: Option<&u32>, _: Option<&u32>) {}

    fn taken(table: &mut Table<u32, u32>) -> Vec<(u32, Option<u32>)> {
        let places = table.take_changes(1);
        places.into_iter().map(|at| table.row(at).map(|(key, value)| (*key, value.copied())).expect("a row")).collect()
    }

    #[test]
    fn what_changed_is_taken_once_and_undone_to_what_was_settled() {
        let mut table: Table<u32, u32> = Table::default();
        table.allow_undo();
        for key in 1..=1_000 {
            table.restore(&key, Some(0), 1);
        }
        let before = table.clone();
        assert_eq!(taken(&mut table), []);
        table.set(&7, 1);
        table.set(&2_000, 1);
        table.set(&7, 2);
        assert_eq!(taken(&mut table), [(7, Some(2)), (2_000, Some(1))]);
        assert_eq!(taken(&mut table), []);
        // Taken and changed again: taken again, and undone to the first of all.
        table.set(&7, 3);
        table.remove(table.place(&3).expect("a row"));
        assert_eq!(taken(&mut table), [(7, Some(3)), (3, None)]);
        table.set(&3, 10);
        let mut undone = table.clone();
        undone.undo(nothing);
        assert!(undone == before && taken(&mut undone).is_empty());
        table.settle();
        let settled = table.clone();
        table.undo(nothing);
        assert!(table == settled);
        assert_eq!(table.get(&7), Some(&3));
    }

    /// Checks a table against a plain map through random changes, undone or settled, with a sweep that goes on meanwhile.
    #[test]
    fn a_table_is_a_map_that_can_go_back() {
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = |below: u32| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            (seed >> 33) as u32 % below
        };
        let mut table: Table<u32, u32> = Table::default();
        table.allow_undo();
        let mut settled: BTreeMap<u32, u32> = BTreeMap::new();
        // What was written of each row: what a reader of the log knows.
        let mut log: BTreeMap<u32, u32> = BTreeMap::new();
        let (mut cycle, mut from) = (1, 0);
        for round in 0..3_000 {
            let (mut now, mut written, came_from) = (settled.clone(), log.clone(), from);
            for _ in 0..random(6) {
                let key = random(40);
                match (random(4), table.place(&key)) {
                    (0, Some(place)) => {
                        table.remove(place);
                        now.remove(&key);
                    }
                    (1, Some(place)) => {
                        *table.change(place).expect("a row") = round;
                        now.insert(key, round);
                    }
                    _ => {
                        table.set(&key, round);
                        now.insert(key, round);
                    }
                }
            }
            for place in table.take_changes(cycle) {
                let (key, value) = table.row(place).map(|(key, value)| (*key, value.copied())).expect("a row");
                match value {
                    Some(value) => written.insert(key, value),
                    None => written.remove(&key),
                };
            }
            for _ in 0..3 {
                if table.mark_written(from, cycle) {
                    let (key, value) =
                        table.row(from).map(|(key, value)| (*key, *value.expect("a value"))).expect("a row");
                    written.insert(key, value);
                }
                from += 1;
            }
            if random(3) == 0 {
                table.undo(nothing);
                from = came_from;
            } else {
                table.settle();
                (settled, log) = (now, written);
            }
            let rows: BTreeMap<u32, u32> = table.iter().map(|(_, key, value)| (*key, *value)).collect();
            assert_eq!(rows, settled, "round {round}");
            assert_eq!(log, settled, "round {round}");
            if from >= table.end() {
                assert_eq!(table.older_than(cycle), [], "round {round}");
                (cycle, from) = (cycle + 1, 0);
            }
        }
        assert!(cycle > 100 && table.len() < 45, "{cycle}, {}", table.len());
    }
}
