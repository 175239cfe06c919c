//! State that is put back, row by row in the order in which it was written.

use super::{EndpointRowKey, HashedKey, State};
use crate::account::{CapCounter, Head};
use crate::bundle::Instance;
use crate::bundles::InstanceKey;
use crate::counter::Counter;
use crate::dictionary::{Address, Dictionary};
use crate::id::AccountId;
use crate::session::{SessionCounter, SessionState};
use crate::state::AccountNumber;
use crate::table::{RowPlace, Table};
use std::hash::Hash;

/// A row that names what is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unresolved {
    /// Instances of a template that was not written down, or of which a zone was not.
    Template(Address),
    /// Rows of an account that was not written down.
    Account,
    /// An instance with more or fewer allowances than its template has elements.
    Allowances,
}

impl State {
    /// Puts back the head of an account as it was written down in a cycle, or that it is gone.
    pub fn restore_head(&mut self, id: &AccountId, head: Option<Head>, cycle: u32) {
        self.accounts.restore(id, head, cycle);
    }

    /// The number of an account of which a row is put back; its head may come later.
    pub fn restored_account(&mut self, id: &AccountId) -> AccountNumber {
        match self.accounts.place(id) {
            Some(place) => AccountNumber(place),
            None => AccountNumber(self.accounts.restore(id, Some(Head::default()), 0).expect("a row has a place")),
        }
    }

    /// Puts back a counter of a month.
    pub fn restore_counter(&mut self, key: &HashedKey, counter: Option<Counter>, cycle: u32) {
        self.counters.restore(key, counter, cycle);
    }

    /// Puts back a cap.
    pub fn restore_cap(&mut self, key: &HashedKey, cap: Option<CapCounter>, cycle: u32) {
        self.caps.restore(key, cap, cycle);
    }

    /// Puts back a session.
    pub fn restore_session(&mut self, key: &EndpointRowKey, session: Option<SessionState>, cycle: u32) {
        self.sessions.restore(key, session, cycle);
        self.note_sessions(key.account);
    }

    /// Puts back a counter of a session.
    pub fn restore_session_counter(&mut self, key: &EndpointRowKey, counter: Option<SessionCounter>, cycle: u32) {
        self.has_older_marks |= counter.is_some_and(|kept| kept.counter.connected);
        self.session_counters.restore(key, counter, cycle);
        self.note_sessions(key.account);
    }

    /// Puts back an instance. Where its template has not been found yet, it is [awaited](Dictionary::awaited).
    pub fn restore_instance(&mut self, key: &InstanceKey, instance: Option<Instance>, cycle: u32) {
        self.bundles.restore(key, instance, cycle);
    }

    /// The dictionary, to be restored.
    pub fn dictionary_mut(&mut self) -> &mut Dictionary {
        &mut self.dictionary
    }

    /// Ends restoring: everything that was written down has been put back. Rows that were last written before the cycle before the present one are
    /// remnants of a log that is being compacted, and are dropped.
    ///
    /// # Errors
    /// A row names what was not written down.
    pub fn restored(&mut self, cycle: u32) -> Result<(), Unresolved> {
        let since = cycle.saturating_sub(1);
        drop_older(&mut self.counters, since);
        drop_older(&mut self.caps, since);
        drop_older(&mut self.sessions, since);
        drop_older(&mut self.session_counters, since);
        drop_older(self.bundles.rows_mut(), since);
        self.dictionary.find_zones();
        let places: Vec<RowPlace> = self.bundles.rows().iter().map(|(place, ..)| place).collect();
        for place in places {
            let instance = self.bundles.rows().at(place).expect("a place that was taken has a row");
            let found = self.dictionary.find(&instance.template).map_err(Unresolved::Template)?;
            if found.elements.len() != instance.allowances.len() {
                return Err(Unresolved::Allowances);
            }
            self.bundles.rows_mut().at_mut(place).expect("a place that was taken has a row").template = found;
        }
        self.dictionary.end_waiting();
        self.bundles.index_all();
        let is_nameless = self.accounts.iter().any(|(place, ..)| !self.accounts.is_written(place));
        if is_nameless { Err(Unresolved::Account) } else { Ok(()) }
    }
}

/// Drops rows that were last written before a cycle.
fn drop_older<K: Hash + Eq + Clone, V: Clone>(table: &mut Table<K, V>, since: u32) {
    table.older_than(since).into_iter().for_each(|place| table.drop_row(place));
}
