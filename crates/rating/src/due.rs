//! Work that falls due by time alone: no record brings it, and it is done once, in the order of its instants.
//!
//! A shard knows the earliest instant of each account that has any; the index is derived from the tables when they are restored. Before anything touches
//! an account its work up to the clock is done ([`catch_up`]), and that of the others in slices ([`work`]). So what an account sees does not depend on when
//! a slice ran: an effect is booked at the instant at which it fell due.
//!
//! | kind | falls due | effect |
//! | --- | --- | --- |
//! | status | when a suspension or activation of the account begins that was commanded ahead of the clock | `account_status` |

use crate::calendar::Timestamp;
use crate::effect::{Cause, Effect, LifeEvent, LifeEventKind, Shared};
use crate::id::AccountId;
use crate::identity;
use crate::state::{AccountNumber, State};
use std::collections::BTreeSet;

/// The accounts of a shard that have work to come, each by its earliest instant.
#[derive(Debug, Default)]
pub(crate) struct Due(BTreeSet<(Timestamp, AccountId)>);

impl Due {
    /// The earliest instant of all.
    pub(crate) fn earliest(&self) -> Option<Timestamp> {
        self.0.first().map(|(at, _)| *at)
    }

    /// An account whose work is due by an instant, the earliest first.
    fn next(&self, until: Timestamp) -> Option<&AccountId> {
        self.0.first().filter(|(at, _)| *at <= until).map(|(_, id)| id)
    }

    /// The earliest instant of an account is another one, or there is none any more.
    pub(crate) fn replace(&mut self, id: &AccountId, before: Option<Timestamp>, now: Option<Timestamp>) {
        if before == now {
            return;
        }
        if let Some(before) = before {
            self.0.remove(&(before, id.clone()));
        }
        if let Some(now) = now {
            self.0.insert((now, id.clone()));
        }
    }

    /// Forgets everything, to be derived again.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

/// Does the work of an account that is due by the clock.
pub fn catch_up<'a>(state: &mut State, account: AccountNumber, effects: &mut Vec<Effect<'a>>) {
    let Some(clock) = state.clock() else { return };
    let head = state.head(account);
    let count = head.ahead.partition_point(|at| *at <= clock);
    let begun: Vec<_> = head.ahead[..count].iter().map(|at| (*at, head.status_at(*at))).collect();
    let ancestors = head.ancestors.clone().map_or(Shared::Of(""), Shared::Kept);
    let id = state.id(account).clone();
    state.change_due(account, |head| {
        head.ahead.drain(..count);
        // Nothing is left that could need it.
        head.ancestors = head.ancestors.take().filter(|_| !head.ahead.is_empty());
    });
    effects.extend(begun.into_iter().map(|(at, status)| {
        let cause = Cause::DueWork(at, identity::due_key(&id, "account_status", at));
        let kind = LifeEventKind::AccountStatus(status);
        let (account, ancestors) = (id.clone(), ancestors.clone());
        Effect::LifeEvent(LifeEvent { account, ancestors, kind, cause, booked_time: Some(at) })
    }));
}

/// Does the work that is due by the clock, of at most so many accounts. Returns how many it was.
pub fn work<'a>(state: &mut State, most: usize, effects: &mut Vec<Effect<'a>>) -> usize {
    let Some(clock) = state.clock() else { return 0 };
    for done in 0..most {
        let Some(account) = state.due.next(clock).and_then(|id| state.known_account(id)) else { return done };
        catch_up(state, account, effects);
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leg::Status;
    use crate::state::State;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    fn ahead(state: &mut State, name: &str, ms: i64) -> AccountNumber {
        let account = state.account(&AccountId::new(name));
        state.change_due(account, |head| {
            crate::leg::add_status(&mut head.statuses, at(ms), Status::Suspended);
            if let Err(place) = head.ahead.binary_search(&at(ms)) {
                head.ahead.insert(place, at(ms));
            }
        });
        account
    }

    fn told(state: &mut State, most: usize) -> Vec<String> {
        let mut effects = Vec::new();
        work(state, most, &mut effects);
        let told = |effect: &Effect<'_>| match effect {
            Effect::LifeEvent(event) => format!("{} {}", event.account, event.booked_time.map_or(0, Timestamp::millis)),
            other => panic!("{other:?}"),
        };
        effects.iter().map(told).collect()
    }

    #[test]
    fn work_is_done_once_in_the_order_of_its_instants_and_by_the_clock() {
        let mut state = State::with_undo();
        ahead(&mut state, "b", 5);
        ahead(&mut state, "a", 5);
        ahead(&mut state, "c", 3);
        ahead(&mut state, "c", 9);
        state.settle();
        assert_eq!(
            (told(&mut state, 9), state.earliest_due()),
            (Vec::new(), Some(at(3))),
            "nobody said how late it is"
        );
        state.advance_clock(at(6));
        assert_eq!(told(&mut state, 2), ["c 3", "a 5"]);
        state.undo();
        assert_eq!(told(&mut state, 9), ["c 3", "a 5", "b 5"], "undone, it is done again");
        state.settle();
        assert!(!state.has_due_work() && state.earliest_due() == Some(at(9)));
        state.advance_clock(at(9));
        assert_eq!(told(&mut state, 9), ["c 9"]);
        assert_eq!(state.earliest_due(), None);
    }

    #[test]
    fn an_account_that_is_touched_is_caught_up_with_first() {
        let mut state = State::with_undo();
        let account = ahead(&mut state, "a", 5);
        ahead(&mut state, "b", 4);
        state.advance_clock(at(5));
        assert!(state.is_behind(account));
        let mut effects = Vec::new();
        catch_up(&mut state, account, &mut effects);
        assert!(effects.len() == 1 && !state.is_behind(account) && state.has_due_work());
    }

    #[test]
    fn the_index_is_derived_when_state_is_put_back() {
        let mut state = State::default();
        let head = crate::account::Head { ahead: vec![at(7), at(8)], ..crate::account::Head::default() };
        state.restore_head(&AccountId::new("a"), Some(head), 1);
        state.restored(1).expect("restored");
        assert_eq!(state.earliest_due(), Some(at(7)));
    }
    #[test]
    fn what_is_still_to_be_told_is_kept_from_the_sweep() {
        let mut state = State::with_undo();
        let account = ahead(&mut state, "a", 5);
        state.change_due(account, |head| crate::leg::add_status(&mut head.statuses, at(9), Status::Active));
        state.advance_clock(at(20));
        state.forget(crate::state::SweepPlace::default(), at(15));
        let mut effects = Vec::new();
        catch_up(&mut state, account, &mut effects);
        let told = |effect: &Effect<'_>| match effect {
            Effect::LifeEvent(event) => event.kind.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(effects.iter().map(told).collect::<Vec<_>>(), [LifeEventKind::AccountStatus(Status::Suspended)]);
        state.forget(crate::state::SweepPlace::default(), at(15));
        assert_eq!(state.head(account).statuses.len(), 1, "then it leaves");
    }
}
