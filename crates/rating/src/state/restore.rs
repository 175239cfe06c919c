//! State that is put back, row by row in the order in which it was written.

use super::{EndpointRowKey, HashedKey, Kind, State};
use crate::account::{CapCounter, Head};
use crate::bundle::Instance;
use crate::bundles::InstanceKey;
use crate::counter::Counter;
use crate::dictionary::{Address, Dictionary};
use crate::due::Source;
use crate::id::AccountId;
use crate::money::Amount;
use crate::session::{SessionCounter, SessionState};
use crate::state::AccountNumber;
use crate::table::RowPlace;
use crate::timeline::{self, Timeline};

/// A row that names what is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unresolved {
    /// Instances of a template that was not written down, or of which a zone was not.
    Template(Address),
    /// Rows of an account that was not written down.
    Account,
    /// An instance with more or fewer allowances than its template has elements.
    Allowances,
    /// A number that no account and no template can have: rating relies on what it checked before.
    Range,
}

/// Deltas that no account ever has, nor is it told so often of the directory: a number beyond was not written by this program.
const MOST_DELTAS: u64 = u64::MAX / 2;

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

    /// Puts back what the directory says of an account over time.
    pub fn restore_timeline(&mut self, account: AccountNumber, timeline: Option<Timeline>, cycle: u32) {
        self.timelines.restore(&account, timeline, cycle);
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
    /// A row names what was not written down, or holds a number that cannot be.
    pub fn restored(&mut self, cycle: u32) -> Result<(), Unresolved> {
        let since = cycle.saturating_sub(1);
        // Other than those of the dictionary; an account never leaves.
        let has_remnants = |kind: &Kind| !matches!(kind, Kind::Zone | Kind::Template | Kind::Account);
        Kind::ALL.into_iter().filter(has_remnants).for_each(|kind| self.table_mut(kind).drop_older(since));
        let named = self.bundles.rows.iter().map(|(.., instance)| instance.template.address).collect();
        self.dictionary.drop_remnants(since, &named);
        self.dictionary.find_zones();
        let places: Vec<RowPlace> = self.bundles.rows.iter().map(|(place, ..)| place).collect();
        for place in places {
            let instance = self.bundles.rows.at(place).expect("a place that was taken has a row");
            let found = self.dictionary.find(&instance.template).map_err(Unresolved::Template)?;
            if found.elements.len() != instance.allowances.len() {
                return Err(Unresolved::Allowances);
            }
            self.bundles.rows.at_mut(place).expect("a place that was taken has a row").template = found;
        }
        self.dictionary.end_waiting();
        self.bundles.index_all();
        self.due.clear();
        for (place, id, head) in self.accounts.iter() {
            self.due.replace(id, Source::Head, None, head.next_due());
            if !self.accounts.is_written(place) {
                return Err(Unresolved::Account);
            }
            if head.delta_sequence > MOST_DELTAS {
                return Err(Unresolved::Range);
            }
        }
        let State { timelines, accounts, due, .. } = self;
        for (_, account, timeline) in timelines.iter() {
            // What else would hold of the account at some instant.
            if !timeline::ascend(&timeline.standings) || timeline.times > MOST_DELTAS {
                return Err(Unresolved::Range);
            }
            let (id, _) = accounts.row(account.index() as RowPlace).ok_or(Unresolved::Account)?;
            due.replace(id, Source::Directory, None, timeline.next_due());
        }
        let is_paid_out = |fee: &Amount| *fee < Amount::ZERO;
        match self.dictionary.templates.iter().any(|(.., template)| template.fee.as_ref().is_some_and(is_paid_out)) {
            true => Err(Unresolved::Range),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::{BundleScope, BundleTemplate, Starts};
    use crate::dictionary::KnownTemplate;
    use crate::id::Currency;
    use crate::state::Row;
    use std::sync::Arc;

    fn template(fee: Option<Amount>) -> KnownTemplate {
        let template = BundleTemplate {
            id: Arc::from("day"),
            currency: Currency::NONE,
            fee,
            starts: Starts::Date,
            lasts: None,
            scope: BundleScope::Customer,
            promotional: false,
            warn_at: Box::default(),
            elements: Box::default(),
        };
        KnownTemplate::restored(7, Box::default(), template)
    }

    fn templates(state: &State) -> usize {
        let mut count = 0;
        state.visit_all(|row| count += usize::from(matches!(row, Row::Template(..))));
        count
    }

    #[test]
    fn an_entry_of_the_dictionary_that_only_an_old_cycle_wrote_is_not_taken_for_written() {
        for (cycle, kept) in [(1, 1), (2, 1), (3, 0), (9, 0)] {
            let mut state = State::with_undo();
            state.dictionary_mut().restore_template(7, Some(template(None)), 1);
            assert_eq!(state.restored(cycle), Ok(()));
            assert_eq!(templates(&state), kept, "in cycle {cycle}");
        }
    }

    #[test]
    fn a_remnant_that_an_instance_names_stays_and_counts_as_not_written() {
        let mut state = State::with_undo();
        let account = state.account(&AccountId::new("acme"));
        state.take_changes(9, |_| {});
        state.dictionary_mut().restore_template(7, Some(template(None)), 1);
        let template = state.dictionary_mut().awaited(7);
        let instance = Instance {
            id: Arc::from("b1"),
            template,
            payee: AccountId::new("beta"),
            endpoint: None,
            granted_at: crate::calendar::Timestamp::EPOCH,
            phase: crate::bundle::Phase::Armed,
            terminated_at: None,
            statuses: Vec::new(),
            allowances: Box::default(),
            activation_failed: false,
        };
        let key = InstanceKey { account, holder: None, id: Arc::from("b1") };
        state.restore_instance(&key, Some(instance), 9);
        assert_eq!((state.restored(9), templates(&state)), (Ok(()), 1));
        let mut written = 0;
        let _ = state.sweep(9, super::super::SweepPlace::default(), crate::calendar::Timestamp::EPOCH, |row| {
            written += usize::from(matches!(row, Row::Template(_, Some(_))));
            std::ops::ControlFlow::Continue(())
        });
        assert_eq!(written, 1, "the present cycle writes it again");
    }

    #[test]
    fn what_older_programs_wrote_with_each_instance_is_no_remnant() {
        let mut state = State::with_undo();
        let made = state.dictionary_mut().template(&template(None));
        assert_eq!((state.restored(9), templates(&state)), (Ok(()), 1));
        drop(made);
    }

    #[test]
    fn numbers_that_cannot_be_are_refused() {
        let (id, fee) =
            (AccountId::new("acme"), |cents: i128| Amount::from_unscaled(cents * 100_000_000).expect("an amount"));
        for (sequence, fee, outcome) in [
            (u64::MAX, None, Err(Unresolved::Range)),
            (MOST_DELTAS + 1, None, Err(Unresolved::Range)),
            (MOST_DELTAS, Some(fee(100)), Ok(())),
            (1, Some(fee(-100)), Err(Unresolved::Range)),
        ] {
            let mut state = State::default();
            state.restore_head(&id, Some(Head { delta_sequence: sequence, ..Head::default() }), 1);
            state.dictionary_mut().restore_template(7, Some(template(fee)), 1);
            assert_eq!(state.restored(1), outcome, "{sequence} {fee:?}");
        }
    }
}
