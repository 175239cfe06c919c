//! What all tables of a shard have in common, whatever their rows are. What a commit does with all of them goes through here, by one list: so no table
//! is left out of a commit, an undoing or a checkpoint.

use super::{AccountNumber, EndpointRowKey, HashedKey};
use crate::bundles::InstanceKey;
use crate::dictionary::Address;
use crate::id::AccountId;
use crate::table::{RowPlace, Table};
use std::hash::Hash;

/// What a row is found by.
pub(super) trait RowKey: Hash + Eq + Clone {
    /// The account whose row stands at a place; `None` where it belongs to the whole shard.
    fn account(&self, place: RowPlace) -> Option<AccountNumber>;
}

impl RowKey for Address {
    fn account(&self, _: RowPlace) -> Option<AccountNumber> {
        None
    }
}

impl RowKey for AccountId {
    /// The number of an account is where its head stands.
    fn account(&self, place: RowPlace) -> Option<AccountNumber> {
        Some(AccountNumber(place))
    }
}

impl RowKey for AccountNumber {
    fn account(&self, _: RowPlace) -> Option<AccountNumber> {
        Some(*self)
    }
}

impl RowKey for HashedKey {
    fn account(&self, _: RowPlace) -> Option<AccountNumber> {
        Some(self.account)
    }
}

impl RowKey for EndpointRowKey {
    fn account(&self, _: RowPlace) -> Option<AccountNumber> {
        Some(self.account)
    }
}

impl RowKey for InstanceKey {
    fn account(&self, _: RowPlace) -> Option<AccountNumber> {
        Some(self.account)
    }
}

/// A [`Table`], whatever its rows are.
pub(super) trait AnyTable {
    /// See [`Table::allow_undo`].
    fn allow_undo(&mut self);
    /// See [`Table::changed`].
    fn changed(&self) -> usize;
    /// See [`Table::take_changes`]; with the account of each row.
    fn take_changes(&mut self, cycle: u32) -> Vec<(Option<AccountNumber>, RowPlace)>;
    /// See [`Table::mark_written`].
    fn mark_written(&mut self, place: RowPlace, cycle: u32) -> bool;
    /// See [`Table::settle`].
    fn settle(&mut self);
    /// See [`Table::undo`].
    fn undo(&mut self);
    /// See [`Table::end`].
    fn end(&self) -> RowPlace;
    /// Visits all rows with their accounts, by their places.
    fn visit(&self, visit: &mut dyn FnMut(Option<AccountNumber>, RowPlace));
    /// Drops rows that were last written before a cycle.
    fn drop_older(&mut self, since: u32);
}

impl<K: RowKey, V: Clone> AnyTable for Table<K, V> {
    fn allow_undo(&mut self) {
        Table::allow_undo(self);
    }

    fn changed(&self) -> usize {
        Table::changed(self)
    }

    fn take_changes(&mut self, cycle: u32) -> Vec<(Option<AccountNumber>, RowPlace)> {
        let places = Table::take_changes(self, cycle).into_iter();
        places.filter_map(|place| Some((self.row(place)?.0.account(place), place))).collect()
    }

    fn mark_written(&mut self, place: RowPlace, cycle: u32) -> bool {
        Table::mark_written(self, place, cycle)
    }

    fn settle(&mut self) {
        Table::settle(self);
    }

    fn undo(&mut self) {
        Table::undo(self, |_, _, _, _| {});
    }

    fn end(&self) -> RowPlace {
        Table::end(self)
    }

    fn visit(&self, visit: &mut dyn FnMut(Option<AccountNumber>, RowPlace)) {
        self.iter().for_each(|(place, key, _)| visit(key.account(place), place));
    }

    fn drop_older(&mut self, since: u32) {
        self.older_than(since).into_iter().for_each(|place| self.drop_row(place));
    }
}

/// Lists the tables of the state, each with its kind: `tables! { Kind: field, Kind: field.field }`.
macro_rules! tables {
    ($($kind:ident: $($table:ident).+),+ $(,)?) => {
        /// A kind of rows.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        enum Kind {
            $($kind),+
        }

        impl Kind {
            const ALL: [Kind; [$(Kind::$kind),+].len()] = [$(Kind::$kind),+];
        }

        impl State {
            fn table(&self, kind: Kind) -> &dyn AnyTable {
                match kind {
                    $(Kind::$kind => &self.$($table).+),+
                }
            }

            fn table_mut(&mut self, kind: Kind) -> &mut dyn AnyTable {
                match kind {
                    $(Kind::$kind => &mut self.$($table).+),+
                }
            }
        }
    };
}

pub(super) use tables;
