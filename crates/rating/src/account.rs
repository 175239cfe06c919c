//! The state that rating owns: one [`Account`] per payer, and one [`Member`] per payer and endpoint for what is kept per endpoint.
//!
//! A leg touches one account and at most one member, so that an account with many endpoints stays small, and the undo journal and
//! the changelog carry only what changed. Pots and holds join `Account` as further lists; recurring grants join `Instance`.

use crate::bundle::Instance;
use crate::calendar::{Month, Timestamp};
use crate::charge::Delta;
use crate::leg::{Mode, Status};
use crate::money::{Amount, Exact};
use crate::rate::Scope;
use hashbrown::HashMap;

/// The money and counters of one payer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Money available; negative is owed.
    pub balance: Amount,
    /// Sequence of the last delta; 0 before the first.
    pub delta_sequence: u64,
    /// `balance_exhausted` was notified and the balance has not been positive since (detail C).
    pub exhausted: bool,
    /// Status by command, ascending by instant: what holds from then on.
    pub statuses: Vec<(Timestamp, Status)>,
    /// Pools granted to this payer.
    pub pools: Vec<Instance>,
    /// How many instances of scope `endpoint` its members hold.
    pub member_bundles: u32,
    /// Counters per payee, rate and month.
    pub counters: HashMap<u128, Counter>,
    /// Caps per payee, tariff and month.
    pub caps: HashMap<u128, CapCounter>,
}

/// What is kept per payer and endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// Instances of scope `endpoint`.
    pub bundles: Vec<Instance>,
    /// Counters per payee, session, rate and version.
    pub sessions: HashMap<u128, Counter>,
}

/// What a scope (session or month) on one edge and rate has accumulated (rule 12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    /// Units that no bundle covered, free units included.
    pub uncovered: u64,
    /// Units that bundles covered: they lower the minimum (rule 10).
    pub covered: u64,
    /// Units billed so far.
    pub billed: u64,
    /// Exact price of what was billed so far, connect fee included.
    pub priced: Exact,
    /// Rounded amount charged so far, before caps.
    pub charged: Amount,
    /// The connect fee of this session was charged.
    pub connected: bool,
    /// Latest event time, for forgetting.
    pub last_event: Timestamp,
}

impl Default for Counter {
    fn default() -> Self {
        Counter {
            uncovered: 0,
            covered: 0,
            billed: 0,
            priced: Exact::ZERO,
            charged: Amount::ZERO,
            connected: false,
            last_event: Timestamp::EPOCH,
        }
    }
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

/// No calendar month is longer, wherever clocks are put back in it.
const LONGEST_MONTH_MS: i64 = 32 * 86_400_000;

impl Counter {
    /// Whether records whose ids are remembered may still be counted on top of this: for a session, while its last event is within the
    /// window of record ids ([`Leg::remembered_from`](crate::Leg::remembered_from)); for a month, while any event of that month can be.
    pub fn is_remembered(&self, scope: Scope, remembered_from: Timestamp) -> bool {
        let reach_ms = match scope {
            Scope::Month => LONGEST_MONTH_MS,
            Scope::Session | Scope::Record => 0,
        };
        self.last_event.millis().saturating_add(reach_ms) >= remembered_from.millis()
    }
}

impl Account {
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

    /// Whether a prepaid balance has just run out and nobody was told yet; from now on somebody was.
    pub(crate) fn take_exhausted(&mut self, mode: Mode) -> bool {
        let news = mode == Mode::Prepaid && !self.exhausted && !self.balance.is_positive();
        self.exhausted |= news;
        news
    }

    /// The status that commands gave the account as of an instant.
    pub fn status_at(&self, instant: Timestamp) -> Status {
        let after = self.statuses.partition_point(|(from, _)| *from <= instant);
        after.checked_sub(1).and_then(|last| self.statuses.get(last)).map_or(Status::Active, |(_, status)| *status)
    }
}
