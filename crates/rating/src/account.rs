//! The head of an account: its money, and what of it holds from which instant on. The tables beside it are in [`state`](crate::state).

use crate::calendar::{Month, Timestamp};
use crate::command::CommandRefusal;
use crate::effect::Delta;
use crate::id::Currency;
use crate::leg::{Mode, Status, add_status, status_at};
use crate::money::Amount;
use std::sync::Arc;

/// Most suspensions and activations that an account, or a bundle, remembers: a row of state stays small enough for a message.
pub const MAX_STATUSES: usize = 10_000;

/// The money and the status of one payer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Currency of its edge, from its first charge or applied command on; it never changes (rule 8).
    pub currency: Option<Currency>,
    /// Money available; negative is owed.
    pub balance: Amount,
    /// Sequence of the last delta; 0 before the first.
    pub delta_sequence: u64,
    /// `balance_exhausted` was notified and the balance has not been positive since (detail C).
    pub exhausted: bool,
    /// Status by command, ascending by instant: what holds from then on.
    pub statuses: Vec<(Timestamp, Status)>,
    /// Instants, ascending, at which a status begins that was commanded ahead of the clock: it is told when it begins.
    pub ahead: Vec<Timestamp>,
    /// The names above the account as of the last command that put something ahead, from the root down: for what has no leg.
    pub ancestors: Option<Arc<str>>,
}

/// What a cap has let through in a month (detail f).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapCounter {
    /// Charged in the month, after rounding.
    pub charged: Amount,
    /// The first waiver was notified (detail J).
    pub notified: bool,
    /// The month, for forgetting.
    pub month: Month,
}

impl Head {
    /// Books a change of the balance; `None` out of range, and then nothing has changed.
    pub fn post(&mut self, amount: Amount) -> Option<Delta> {
        let balance_after = self.balance.checked_add(amount)?;
        let sequence = self.delta_sequence.checked_add(1)?;
        self.balance = balance_after;
        self.delta_sequence = sequence;
        if balance_after.is_positive() {
            self.exhausted = false;
        }
        Some(Delta { sequence, amount, balance_after })
    }

    /// Returns whether a prepaid balance has just run out and nobody was told yet; from now on somebody was.
    pub(crate) fn take_exhausted(&mut self, mode: Mode) -> bool {
        let news = mode == Mode::Prepaid && !self.exhausted && !self.balance.is_positive();
        self.exhausted |= news;
        news
    }

    /// The earliest instant at which the account has work to come (see [`due`](crate::due)).
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.ahead.first().copied()
    }

    /// The status that commands gave the account as of an instant.
    pub fn status_at(&self, instant: Timestamp) -> Status {
        status_at(&self.statuses, instant)
    }
}

/// Notes a status from an instant on.
///
/// # Errors
/// [`CommandRefusal::AccountFull`]; then nothing has changed.
pub(crate) fn note_status(
    facts: &mut Vec<(Timestamp, Status)>,
    at: Timestamp,
    status: Status,
) -> Result<(), CommandRefusal> {
    let replaces = || facts.binary_search_by_key(&at, |(known, _)| *known).is_ok();
    match facts.len() < MAX_STATUSES || replaces() {
        true => add_status(facts, at, status),
        false => return Err(CommandRefusal::AccountFull),
    }
    Ok(())
}

/// Drops the statuses that end at or before an instant: what holds at it stays.
pub(crate) fn forget_statuses(facts: &mut Vec<(Timestamp, Status)>, horizon: Timestamp) {
    let after = facts.partition_point(|(from, _)| *from <= horizon);
    // None, or all but the one that holds.
    facts.drain(..after.saturating_sub(1));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_account_takes_what_replaces_another_status_only() {
        let at = Timestamp::from_millis;
        let mut facts: Vec<_> = (0..MAX_STATUSES as i64).map(|ms| (at(ms), Status::Active)).collect();
        assert_eq!(note_status(&mut facts, at(7), Status::Suspended), Ok(()));
        assert_eq!(note_status(&mut facts, at(-1), Status::Suspended), Err(CommandRefusal::AccountFull));
        assert_eq!((facts.len(), facts[7].1), (MAX_STATUSES, Status::Suspended));
        facts.pop();
        assert_eq!(note_status(&mut facts, at(-1), Status::Suspended), Ok(()));
    }

    #[test]
    fn the_status_that_holds_at_the_horizon_stays() {
        let at = Timestamp::from_millis;
        let all = vec![(at(1), Status::Suspended), (at(5), Status::Active), (at(9), Status::Suspended)];
        for horizon in 0..12 {
            let mut facts = all.clone();
            forget_statuses(&mut facts, at(horizon));
            for instant in horizon..12 {
                assert_eq!(status_at(&facts, at(instant)), status_at(&all, at(instant)), "{horizon} {instant}");
            }
        }
    }
}
