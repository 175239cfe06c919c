//! Work that falls due by time alone: no record brings it, and it is done once, in the order of its instants.
//!
//! A shard knows the earliest instant of each account that has any; the index is derived from the tables when they are restored. Before anything touches
//! an account its work up to the clock is done ([`catch_up`]), and that of the others in slices ([`work`]). So what an account sees does not depend on when
//! a slice ran: an effect is booked at the instant at which it fell due.
//!
//! | kind | falls due | effect |
//! | --- | --- | --- |
//! | account change | when a status begins that the directory gives the account ([`timeline`]) | `account_status`, if it makes a difference |
//! | status | when a suspension or activation of the account begins that was commanded ahead of the clock | `account_status` |
//!
//! At one instant they are done in this order. What is told is the status that holds, of the directory's and the commanded one the graver.

use crate::calendar::Timestamp;
use crate::effect::{Cause, Effect, LifeEvent, LifeEventKind, Shared};
use crate::id::AccountId;
use crate::identity;
use crate::leg::Status;
use crate::state::{AccountNumber, State};
use crate::timeline::{self, AccountChange, Timeline};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What an account has work from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// Its timeline.
    Directory,
    /// Its head.
    Head,
}

/// The accounts of a shard that have work to come, each by the earliest instant of each source.
#[derive(Debug, Default)]
pub(crate) struct Due(BTreeSet<(Timestamp, AccountId, Source)>);

impl Due {
    /// The earliest instant of all.
    pub(crate) fn earliest(&self) -> Option<Timestamp> {
        self.0.first().map(|(at, ..)| *at)
    }

    /// An account whose work is due by an instant, the earliest first.
    fn next(&self, until: Timestamp) -> Option<&AccountId> {
        self.0.first().filter(|(at, ..)| *at <= until).map(|(_, id, _)| id)
    }

    /// The earliest instant of a source is another one, or there is none any more.
    pub(crate) fn replace(
        &mut self,
        id: &AccountId,
        source: Source,
        before: Option<Timestamp>,
        now: Option<Timestamp>,
    ) {
        if before == now {
            return;
        }
        if let Some(before) = before {
            self.0.remove(&(before, id.clone(), source));
        }
        if let Some(now) = now {
            self.0.insert((now, id.clone(), source));
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
    let mut told = changes_of_directory(state, account, clock, None);
    told.extend(commanded_statuses(state, account, clock));
    // Those of the directory stand first.
    told.sort_by_key(|told| told.at);
    tell(state, account, told, effects);
}

/// Takes what the directory says of an account from now on, and tells what of it has begun by the clock: booked by the clock, because it was not known
/// before.
pub fn learn<'a>(change: &AccountChange<'_>, state: &mut State, account: AccountNumber, effects: &mut Vec<Effect<'a>>) {
    timeline::note(change, state, account);
    let Some(clock) = state.clock() else { return };
    let told = changes_of_directory(state, account, clock, Some(clock));
    tell(state, account, told, effects);
}

fn tell<'a>(state: &State, account: AccountNumber, told: Vec<Told>, effects: &mut Vec<Effect<'a>>) {
    let id = state.id(account).clone();
    effects.extend(told.into_iter().map(|Told { at, status, ancestors, key, booked_time }| {
        let (account, cause) = (id.clone(), Cause::DueWork(at, key));
        let kind = LifeEventKind::AccountStatus(status);
        Effect::LifeEvent(LifeEvent { account, ancestors: Shared::Kept(ancestors), kind, cause, booked_time })
    }));
}

/// A status that is told.
struct Told {
    at: Timestamp,
    status: Status,
    ancestors: Arc<str>,
    key: u128,
    booked_time: Option<Timestamp>,
}

/// The statuses that the directory gives an account up to the clock, where they make a difference. They are booked when they begin, or later.
fn changes_of_directory(
    state: &mut State,
    account: AccountNumber,
    clock: Timestamp,
    booked_time: Option<Timestamp>,
) -> Vec<Told> {
    let is_due = |timeline: &&Timeline| timeline.next_due().is_some_and(|at| at <= clock);
    let Some(mut timeline) = state.timeline(account).filter(is_due).cloned() else { return Vec::new() };
    let mut begun = Vec::new();
    while let Some((at, before, status)) = timeline.take_next(clock) {
        begun.push((at, before, status, timeline.times));
    }
    state.set_timeline(account, timeline);
    let head = state.head(account);
    let id = state.id(account);
    let tells = |(at, before, status, times): (Timestamp, Status, Status, u64)| {
        let commanded = head.status_at(at);
        // One that was commanded for the same instant is told by itself.
        let is_told = head.ahead.binary_search(&at).is_ok() || before.max(commanded) == status.max(commanded);
        (!is_told).then(|| Told {
            at,
            status: status.max(commanded),
            ancestors: ancestors_at(state, account, at),
            key: identity::due_key(id, &format!("account_change/{times}"), at),
            booked_time: booked_time.or(Some(at)),
        })
    };
    begun.into_iter().filter_map(tells).collect()
}

/// The statuses that begin by the clock and were commanded ahead of it.
fn commanded_statuses(state: &mut State, account: AccountNumber, clock: Timestamp) -> Vec<Told> {
    let head = state.head(account);
    let count = head.ahead.partition_point(|at| *at <= clock);
    if count == 0 {
        return Vec::new();
    }
    let tells = |at: &Timestamp| {
        let of_directory = state.timeline(account).and_then(|timeline| timeline.at(*at));
        let of_directory = of_directory.map_or(Status::Active, |standing| standing.status);
        Told {
            at: *at,
            status: head.status_at(*at).max(of_directory),
            ancestors: ancestors_at(state, account, *at),
            key: identity::due_key(state.id(account), "account_status", *at),
            booked_time: Some(*at),
        }
    };
    let begun = head.ahead.iter().take(count).map(tells).collect();
    state.change_due(account, |head| {
        head.ahead.drain(..count);
        // Nothing is left that could need it.
        head.ancestors = head.ancestors.take().filter(|_| !head.ahead.is_empty());
    });
    begun
}

/// The names above an account at an instant, as the directory says, or else as the last command did that put something ahead.
fn ancestors_at(state: &State, account: AccountNumber, at: Timestamp) -> Arc<str> {
    let of_directory = state.timeline(account).and_then(|timeline| timeline.at(at));
    let of_command = || state.head(account).ancestors.clone();
    of_directory.map(|standing| standing.ancestors.clone()).or_else(of_command).unwrap_or_default()
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
