//! What rating puts out, as values in the order in which it happened: each effect says what caused it.
//!
//! A fact that an effect needs is a borrow of the batch where the batch has it, and a value shared with state where no record brought it ([`Shared`]):
//! so work that falls due puts out the same effects as a leg does, and what a leg puts out costs no counting of references.

use crate::bundle::{Instance, Phase};
use crate::calendar::Timestamp;
use crate::charge::{Charge, ChargeId};
use crate::command::{Command, CommandRefusal};
use crate::id::{AccountId, Currency};
use crate::leg::{Edge, Status};
use crate::money::Amount;
use crate::quantity::Unit;
use crate::usage::UsageRecord;
use smallvec::SmallVec;
use std::ops::Deref;
use std::sync::Arc;

/// A fact that something else owns.
#[derive(Debug)]
pub enum Shared<'a, T: ?Sized> {
    /// The batch.
    Of(&'a T),
    /// Whoever still needs it.
    Kept(Arc<T>),
}

impl<T: ?Sized> Clone for Shared<'_, T> {
    fn clone(&self) -> Self {
        match self {
            Shared::Of(value) => Shared::Of(value),
            Shared::Kept(value) => Shared::Kept(value.clone()),
        }
    }
}

impl<T: ?Sized> Deref for Shared<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        match self {
            Shared::Of(value) => value,
            Shared::Kept(value) => value,
        }
    }
}

impl<'a, T: ?Sized> From<&'a T> for Shared<'a, T> {
    fn from(value: &'a T) -> Self {
        Shared::Of(value)
    }
}

/// What caused an effect, with the hash that tells it from all others.
#[derive(Clone, Copy, Debug)]
pub enum Cause<'a> {
    /// A leg of a usage record.
    Usage(&'a UsageRecord, u128),
    /// A command.
    Command(&'a Command, u128),
    /// Work of an account that fell due at an instant; no record brought it.
    DueWork(Timestamp, u128),
}

/// Kinds of causes: what control totals tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CauseKind {
    /// A usage record.
    Usage,
    /// A command.
    Command,
    /// Work that fell due.
    DueWork,
}

impl CauseKind {
    /// The stable name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            CauseKind::Usage => "usage",
            CauseKind::Command => "command",
            CauseKind::DueWork => "due_work",
        }
    }
}

impl<'a> Cause<'a> {
    /// Its kind.
    pub fn kind(self) -> CauseKind {
        match self {
            Cause::Usage(..) => CauseKind::Usage,
            Cause::Command(..) => CauseKind::Command,
            Cause::DueWork(..) => CauseKind::DueWork,
        }
    }

    /// A hash of what it is, its source included.
    pub fn key(self) -> u128 {
        match self {
            Cause::Usage(_, key) | Cause::Command(_, key) | Cause::DueWork(_, key) => key,
        }
    }

    /// The id of the record or command; due work has none.
    pub fn id(self) -> Option<&'a str> {
        match self {
            Cause::Usage(usage, _) => Some(&usage.id),
            Cause::Command(command, _) => Some(&command.id),
            Cause::DueWork(..) => None,
        }
    }

    /// The command, if it is one.
    pub fn command(self) -> Option<&'a Command> {
        match self {
            Cause::Command(command, _) => Some(command),
            Cause::Usage(..) | Cause::DueWork(..) => None,
        }
    }

    /// When it counts: event time, effective time, or the instant at which it fell due.
    pub fn time(self) -> Timestamp {
        match self {
            Cause::Usage(usage, _) => usage.event_time,
            Cause::Command(command, _) => command.effective_time,
            Cause::DueWork(at, _) => at,
        }
    }
}

/// One thing that rating puts out.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all effects are charges, and a box for each would cost as much as pricing it"
)]
pub enum Effect<'a> {
    /// A charge with its deltas.
    Charge(Charge<'a>),
    /// A delta that no charge caused.
    Posting(Posting<'a>),
    /// Something to be told.
    Notification(Notification<'a>),
    /// What became of something of an account.
    LifeEvent(LifeEvent<'a>),
    /// The answer to a command.
    Reply(Reply<'a>),
}

impl Effect<'_> {
    /// Returns whether no record and no command caused it.
    pub fn is_due_work(&self) -> bool {
        let cause = match self {
            Effect::Charge(charge) => charge.cause,
            Effect::Posting(posting) => posting.cause,
            Effect::Notification(notification) => notification.cause,
            Effect::LifeEvent(event) => event.cause,
            Effect::Reply(_) => return false,
        };
        cause.kind() == CauseKind::DueWork
    }
}

impl Posting<'_> {
    /// Its delta, with all that is said about it.
    pub fn balance_delta(&self) -> BalanceDelta<'_> {
        BalanceDelta {
            edge: &self.edge,
            ancestors: &self.ancestors,
            delta: self.delta,
            kind: self.kind,
            charge: None,
            cause: self.cause,
            effective_time: self.cause.time(),
            booked_time: self.booked_time,
        }
    }
}

/// A delta with all that is said about it.
#[derive(Clone, Copy, Debug)]
pub struct BalanceDelta<'e> {
    /// The account, through its edge.
    pub edge: &'e Edge,
    /// The names above the account, from the root down, with slashes between; empty where nobody said.
    pub ancestors: &'e str,
    /// The change.
    pub delta: Delta,
    /// What for.
    pub kind: DeltaKind,
    /// The charge that it books.
    pub charge: Option<ChargeId>,
    /// What caused it.
    pub cause: Cause<'e>,
    /// When it counts.
    pub effective_time: Timestamp,
    /// The clock of ticks when it was booked.
    pub booked_time: Option<Timestamp>,
}

/// Something about an account that no charge and no delta tells.
#[derive(Clone, Debug)]
pub struct LifeEvent<'a> {
    /// The account.
    pub account: AccountId,
    /// The names above it, from the root down, with slashes between; empty where nobody said.
    pub ancestors: Shared<'a, str>,
    /// What changed, and its state from now on.
    pub kind: LifeEventKind,
    /// What caused it.
    pub cause: Cause<'a>,
    /// The clock of ticks when it was booked.
    pub booked_time: Option<Timestamp>,
}

/// What changed, and its state from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LifeEventKind {
    /// A bundle (rule 17).
    BundleState {
        /// The state.
        state: &'static str,
        /// The bundle's name.
        bundle: Arc<str>,
        /// The instance.
        instance: Arc<str>,
        /// The endpoint that holds it.
        endpoint: Option<Arc<str>>,
        /// Start and end of its validity, where it has begun.
        validity: Option<(Timestamp, Option<Timestamp>)>,
    },
    /// The account itself (rule 7).
    AccountStatus(Status),
}

impl LifeEventKind {
    /// The stable name on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            LifeEventKind::BundleState { .. } => "bundle_state",
            LifeEventKind::AccountStatus(_) => "account_status",
        }
    }

    /// The state of an instance at an instant.
    pub(crate) fn of_bundle(instance: &Instance, at: Timestamp) -> LifeEventKind {
        LifeEventKind::BundleState {
            state: instance.state_at(at),
            bundle: instance.template.id.clone(),
            instance: instance.id.clone(),
            endpoint: instance.endpoint.clone(),
            validity: match instance.phase {
                Phase::Active { start, end, .. } => Some((start, end)),
                Phase::Pending | Phase::Armed => None,
            },
        }
    }
}

/// The answer to a command.
#[derive(Debug)]
pub struct Reply<'a> {
    /// The command.
    pub command: &'a Command,
    /// Applied, or why not.
    pub outcome: Result<(), CommandRefusal>,
    /// The account's currency.
    pub currency: Currency,
    /// All deltas that it caused, those of fees included.
    pub deltas: SmallVec<[Delta; 1]>,
    /// Sequence of the account's last delta after it.
    pub sequence: u64,
}

/// One change of one account's balance; sequences have no gaps per account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delta {
    /// 1 for the account's first delta.
    pub sequence: u64,
    /// Negative for a debit.
    pub amount: Amount,
    /// The balance afterwards.
    pub balance_after: Amount,
}

/// What a delta is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeltaKind {
    /// A charge.
    Charge,
    /// Money paid in.
    TopUp,
    /// A manual debit.
    Debit,
    /// A manual credit.
    Credit,
}

impl DeltaKind {
    /// The stable name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            DeltaKind::Charge => "charge",
            DeltaKind::TopUp => "top_up",
            DeltaKind::Debit => "debit",
            DeltaKind::Credit => "credit",
        }
    }
}

/// A delta that no charge caused.
#[derive(Clone, Debug)]
pub struct Posting<'a> {
    /// The account, through its edge.
    pub edge: Shared<'a, Edge>,
    /// The names above the account, from the root down, with slashes between; empty where nobody said.
    pub ancestors: Shared<'a, str>,
    /// The change.
    pub delta: Delta,
    /// What for.
    pub kind: DeltaKind,
    /// What caused it.
    pub cause: Cause<'a>,
    /// The clock of ticks when it was booked.
    pub booked_time: Option<Timestamp>,
}

/// What an account is told, once per cause.
#[derive(Clone, Debug)]
pub struct Notification<'a> {
    /// What happened.
    pub kind: NotificationKind,
    /// The account concerned.
    pub account: AccountId,
    /// The endpoint concerned.
    pub endpoint: Option<Shared<'a, str>>,
    /// Sequence of the account's last delta: what it says holds as of then. `None` where the account was not asked.
    pub sequence: Option<u64>,
    /// What caused it.
    pub cause: Cause<'a>,
}

/// What a notification says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotificationKind {
    /// An allowance crossed a threshold (rule 25).
    AllowanceThreshold {
        /// The bundle's name.
        bundle: Arc<str>,
        /// The instance.
        instance: Arc<str>,
        /// Position of the element.
        element: u16,
        /// Percent used.
        percent: u8,
        /// Units left.
        remaining: u64,
        /// Unit of `remaining`.
        unit: Unit,
        /// Start of the validity.
        period_start: Timestamp,
    },
    /// A prepaid balance reached 0 or less; once until it is positive again (detail C).
    BalanceExhausted {
        /// The balance.
        balance: Amount,
        /// Its currency.
        currency: Currency,
    },
    /// A cap waived for the first time in a month (detail J).
    CapReached {
        /// The tariff.
        tariff: Arc<str>,
    },
    /// A prepaid account without money could not activate a bundle (detail x).
    ActivationFailed {
        /// The bundle's name.
        bundle: Arc<str>,
        /// The instance.
        instance: Arc<str>,
    },
    /// A command was refused.
    CommandRefused {
        /// Why: a stable code.
        reason: &'static str,
    },
}

impl NotificationKind {
    /// The stable name on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            NotificationKind::AllowanceThreshold { .. } => "allowance_threshold",
            NotificationKind::BalanceExhausted { .. } => "balance_exhausted",
            NotificationKind::CapReached { .. } => "cap_reached",
            NotificationKind::ActivationFailed { .. } => "activation_failed",
            NotificationKind::CommandRefused { .. } => "command_refused",
        }
    }
}
