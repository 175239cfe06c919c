//! What the directory says of an account over time: for what has no leg that carries it.
//!
//! A leg is rated by the facts that it carries. Work that falls due, and what is told of it, has none: the names above the account and its status come
//! from here, as of the instant at which the work fell due. An account of which the directory has only ever said that it is active has none.

use crate::calendar::Timestamp;
use crate::id::AccountId;
use crate::leg::Status;
use crate::state::{AccountNumber, State};
use std::sync::Arc;

/// Most entries of a timeline that are told at once: a message and a row of state stay small enough.
pub const MAX_STANDINGS: usize = 1_000;

/// What holds for an account from an instant on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// First instant.
    pub from: Timestamp,
    /// The names above the account, from the root down, with slashes between.
    pub ancestors: Arc<str>,
    /// The account's own status in the directory.
    pub status: Status,
}

/// Returns whether entries are a timeline: there is one at least, and their instants ascend.
pub fn ascend(standings: &[Standing]) -> bool {
    !standings.is_empty() && standings.is_sorted_by(|one, next| one.from < next.from)
}

/// What of a timeline is told: all of it; of a very long one what holds from an instant on, as much as can be told at once.
pub fn to_tell(mut standings: Vec<Standing>, now: Timestamp) -> Vec<Standing> {
    if standings.len() > MAX_STANDINGS {
        let over = standings.partition_point(|standing| standing.from <= now).saturating_sub(1);
        standings.drain(..over);
        standings.truncate(MAX_STANDINGS);
    }
    standings
}

/// What an account is told of by the directory: all of it, newest version.
#[derive(Clone, Copy, Debug)]
pub struct AccountChange<'a> {
    /// The account.
    pub account: &'a AccountId,
    /// What holds from which instant on, ascending.
    pub standings: &'a [Standing],
}

/// The timeline of an account, and how much of it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// What holds from which instant on, ascending; the first holds before it, too.
    pub standings: Vec<Standing>,
    /// The instant of the last status that was told; `None` before the first.
    pub told_to: Option<Timestamp>,
    /// The status that was told last: of an account of which nothing was told, active.
    pub told: Status,
    /// How many were told: one instant may be told again, when the directory says something else of it.
    pub times: u64,
}

impl Default for Timeline {
    fn default() -> Timeline {
        Timeline { standings: Vec::new(), told_to: None, told: Status::Active, times: 0 }
    }
}

impl Timeline {
    /// The place of what holds at an instant.
    fn place_at(&self, instant: Timestamp) -> usize {
        self.standings.partition_point(|standing| standing.from <= instant).saturating_sub(1)
    }

    /// What holds at an instant.
    pub fn at(&self, instant: Timestamp) -> Option<&Standing> {
        self.standings.get(self.place_at(instant))
    }

    /// The next one whose status is to be told: it differs from what was told last. It may lie behind, where the directory says something else by now.
    pub(crate) fn next(&self) -> Option<&Standing> {
        let from = self.told_to.map_or(0, |told_to| self.place_at(told_to));
        self.standings.get(from..)?.iter().find(|standing| standing.status != self.told)
    }

    /// The earliest instant at which something is to be told.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.next().map(|standing| standing.from)
    }

    /// Takes the next status that is to be told by an instant: when it began, what was told before, and what it is.
    pub(crate) fn take_next(&mut self, until: Timestamp) -> Option<(Timestamp, Status, Status)> {
        let (from, status) = self.next().filter(|next| next.from <= until).map(|next| (next.from, next.status))?;
        let before = std::mem::replace(&mut self.told, status);
        // Something else of an earlier instant does not make what followed it be told again.
        self.told_to = self.told_to.max(Some(from));
        self.times += 1;
        Some((from, before, status))
    }

    /// Whether entries end at or before an instant, and nothing is to be told of them any more.
    pub(crate) fn has_old(&self, horizon: Timestamp) -> bool {
        self.place_at(self.kept_from(horizon)) > 0
    }

    /// Drops them.
    pub(crate) fn forget(&mut self, horizon: Timestamp) {
        let place = self.place_at(self.kept_from(horizon));
        self.standings.drain(..place);
    }

    fn kept_from(&self, horizon: Timestamp) -> Timestamp {
        // What lies between the last one that was told and the next has the status that was told.
        self.next_due().map_or(horizon, |next| next.min(horizon))
    }
}

/// Notes what the directory says of an account from now on. Said twice, it changes nothing.
pub(crate) fn note(change: &AccountChange<'_>, state: &mut State, account: AccountNumber) {
    let mut known = state.timeline(account).cloned();
    let standings = change.standings.to_vec();
    let mut noted = Timeline { standings, ..known.clone().unwrap_or_default() };
    // What has left does not come back with it.
    noted.forget(state.forgotten());
    if let Some(known) = &mut known {
        known.forget(state.forgotten());
    }
    if known.as_ref() != Some(&noted) {
        state.set_timeline(account, noted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::due;
    use crate::effect::{Effect, LifeEvent, LifeEventKind};
    use Status::{Active, Closed, Suspended};

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    fn standings(said: &[(i64, &str, Status)]) -> Vec<Standing> {
        let standing = |(from, ancestors, status): &(i64, &str, Status)| Standing {
            from: at(*from),
            ancestors: Arc::from(*ancestors),
            status: *status,
        };
        said.iter().map(standing).collect()
    }

    /// What an account is told: when it began, its status, the names above it, when it was booked.
    fn events(effects: &[Effect<'_>]) -> Vec<(i64, Status, String, i64)> {
        let event = |effect: &Effect<'_>| match effect {
            Effect::LifeEvent(LifeEvent {
                kind: LifeEventKind::AccountStatus(status),
                cause,
                ancestors,
                booked_time,
                ..
            }) => (cause.time().millis(), *status, ancestors.to_string(), booked_time.map_or(0, Timestamp::millis)),
            other => panic!("{other:?}"),
        };
        effects.iter().map(event).collect()
    }

    fn told(state: &mut State, said: &[(i64, &str, Status)]) -> Vec<(i64, Status, String, i64)> {
        let (id, standings) = (AccountId::new("a"), standings(said));
        let account = state.account(&id);
        let mut effects = Vec::new();
        due::learn(&AccountChange { account: &id, standings: &standings }, state, account, &mut effects);
        events(&effects)
    }

    fn later(state: &mut State, clock: i64) -> Vec<(i64, Status, String, i64)> {
        state.advance_clock(at(clock));
        let mut effects = Vec::new();
        due::work(state, 9, &mut effects);
        events(&effects)
    }

    #[test]
    fn a_status_is_told_once_when_it_begins_with_the_names_of_then() {
        let mut state = State::with_undo();
        state.advance_clock(at(10));
        let said = [(0, "op", Active), (20, "op/r", Active), (30, "op/r", Suspended), (40, "op/s", Closed)];
        assert_eq!(told(&mut state, &said), []);
        assert_eq!(state.earliest_due(), Some(at(30)), "a move alone is no work");
        assert_eq!(told(&mut state, &said), []);
        state.settle();
        assert_eq!(later(&mut state, 30), [(30, Suspended, "op/r".to_owned(), 30)]);
        state.undo();
        assert_eq!(
            later(&mut state, 99),
            [(30, Suspended, "op/r".to_owned(), 30), (40, Closed, "op/s".to_owned(), 40)]
        );
        assert_eq!((told(&mut state, &said), state.earliest_due()), (vec![], None));
    }

    #[test]
    fn what_is_learnt_late_is_booked_by_the_clock_and_told_again_where_it_differs() {
        let mut state = State::with_undo();
        state.advance_clock(at(50));
        let event = |from, status, booked| (from, status, "op".to_owned(), booked);
        assert_eq!(
            told(&mut state, &[(0, "op", Suspended), (30, "op", Active), (60, "op", Closed)]),
            [event(0, Suspended, 50), event(30, Active, 50)]
        );
        assert_eq!(later(&mut state, 55), []);
        // Since before what was told last.
        assert_eq!(told(&mut state, &[(0, "op", Suspended), (60, "op", Closed)]), [event(0, Suspended, 55)]);
        assert_eq!(told(&mut state, &[(0, "op", Active)]), [event(0, Active, 55)]);
        assert_eq!(state.earliest_due(), None, "nothing is left of what was taken back");
        assert_eq!(told(&mut state, &[(0, "op", Active), (54, "op", Closed)]), [event(54, Closed, 55)]);
    }

    #[test]
    fn of_two_statuses_the_graver_holds_and_no_difference_is_not_told() {
        let mut state = State::with_undo();
        state.advance_clock(at(1));
        let account = state.account(&AccountId::new("a"));
        state.change_due(account, |head| head.statuses = vec![(at(1), Suspended), (at(30), Active)]);
        assert_eq!(
            told(&mut state, &[(0, "op", Active), (10, "op", Suspended), (20, "op", Active), (40, "op", Closed)]),
            []
        );
        assert_eq!(later(&mut state, 50), [(40, Closed, "op".to_owned(), 40)]);
        // A status that was commanded ahead says what the directory adds to it.
        state.change_due(account, |head| {
            head.statuses.push((at(60), Active));
            head.ahead.push(at(60));
        });
        assert_eq!(later(&mut state, 60), [(60, Closed, "op".to_owned(), 60)]);
    }

    #[test]
    fn what_is_over_leaves_and_what_is_to_be_told_stays() {
        let said = [
            (0, "op", Active),
            (10, "op/r", Active),
            (20, "op/s", Suspended),
            (30, "op/t", Suspended),
            (40, "op", Active),
        ];
        for clock in 0..50 {
            for horizon in 0..=clock {
                let mut state = State::with_undo();
                state.advance_clock(at(clock));
                let mut first = told(&mut state, &said);
                state.forget(crate::state::SweepPlace::default(), at(horizon));
                let account = state.account(&AccountId::new("a"));
                let left = state.timeline(account).map_or(0, |timeline| timeline.standings.len());
                let over = said[1..].iter().filter(|(from, ..)| *from <= horizon).count();
                assert_eq!(left, said.len() - over, "{clock} {horizon}");
                assert_eq!(told(&mut state, &said), [], "said again");
                first.extend(later(&mut state, 50));
                let all: Vec<_> = first.iter().map(|(from, status, path, _)| (*from, *status, path.as_str())).collect();
                assert_eq!(all, [(20, Suspended, "op/s"), (40, Active, "op")], "{clock} {horizon}");
            }
        }
    }

    #[test]
    fn what_is_due_is_derived_when_state_is_put_back() {
        let mut state = State::default();
        let account = state.restored_account(&AccountId::new("a"));
        state.restore_head(&AccountId::new("a"), Some(crate::account::Head::default()), 1);
        let timeline =
            Timeline { standings: standings(&[(0, "op", Active), (7, "op", Closed)]), ..Timeline::default() };
        state.restore_timeline(account, Some(timeline.clone()), 1);
        state.restored(1).expect("restored");
        assert_eq!(state.earliest_due(), Some(at(7)));
        for standings in [Vec::new(), standings(&[(7, "op", Active), (7, "op", Closed)])] {
            state.restore_timeline(account, Some(Timeline { standings, ..timeline.clone() }), 1);
            assert!(state.restored(1).is_err());
        }
    }
}
