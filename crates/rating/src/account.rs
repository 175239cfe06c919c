//! The state that rating owns: one [`Account`] per payer, and one [`Member`] per payer and endpoint for what is kept per endpoint.
//!
//! A leg touches one account and at most one member, so that an account with many endpoints stays small, and the undo journal and
//! the changelog carry only what changed. Pots and holds join `Account` as further lists; recurring grants join `Instance`.

use crate::bundle::Instance;
use crate::calendar::{Month, Timestamp};
use crate::charge::Delta;
use crate::counter::Counters;
use crate::holding::HeldBytes;
use crate::id::Currency;
use crate::leg::{Mode, Status, status_at};
use crate::money::Amount;
use crate::session::{SessionCounter, SessionState};
use crate::table::Table;
use hashbrown::HashMap;

/// The money and counters of one payer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
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
    /// Pools granted to this payer.
    pub pools: Vec<Instance>,
    /// How many instances of scope `endpoint` its members hold.
    pub member_bundles: u32,
    /// Counters per payee, rate and month.
    pub counters: Counters,
    /// Caps per payee, tariff and month.
    pub caps: HashMap<u128, CapCounter>,
    /// The size of the pools.
    pub held: HeldBytes,
}

/// What is kept per payer and endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// Instances of scope `endpoint`.
    pub bundles: Vec<Instance>,
    /// Sessions by [`SessionKey`](crate::SessionKey), per payee.
    pub sessions: Table<SessionState>,
    /// Counters per payee, session, rate and version.
    pub counters: Table<SessionCounter>,
    /// The size of the bundles.
    pub held: HeldBytes,
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

impl Account {
    /// All but the counters, of which there may be many: they undo by themselves.
    #[must_use]
    pub fn without_counters(&self) -> Account {
        // Destructured without `..`, so that a new field does not compile until it is copied.
        let Account {
            currency,
            balance,
            delta_sequence,
            exhausted,
            statuses,
            pools,
            member_bundles,
            counters: _,
            caps,
            held,
        } = self;
        Account {
            currency: *currency,
            balance: *balance,
            delta_sequence: *delta_sequence,
            exhausted: *exhausted,
            statuses: statuses.clone(),
            pools: pools.clone(),
            member_bundles: *member_bundles,
            counters: Counters::default(),
            caps: caps.clone(),
            held: *held,
        }
    }

    /// Puts back all but the counters.
    pub fn put_back(&mut self, before: Account) {
        let counters = std::mem::take(&mut self.counters);
        *self = Account { counters, ..before };
    }

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
        status_at(&self.statuses, instant)
    }
}
