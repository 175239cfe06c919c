//! What rating puts out: charges with their segments and delta, deltas of commands, notifications.

use crate::bundle::AllowanceDraw;
use crate::calendar::Timestamp;
use crate::id::{AccountId, Currency};
use crate::leg::Edge;
use crate::money::{Amount, Exact, UnitPrice};
use crate::quantity::Unit;
use crate::rate::Rate;
use crate::reason::ChargeReason;
use smallvec::SmallVec;
use std::fmt;
use std::sync::Arc;

/// A deterministic identifier: a function of (source, usage id), level and revision, or of (account, bundle instance).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChargeId {
    /// Hash of what caused the charge.
    pub base: u128,
    /// Level of the edge.
    pub level: u8,
    /// 0 for the first charge; re-rating counts up.
    pub revision: u32,
}

impl fmt::Display for ChargeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}-{}-{}", self.base, self.level, self.revision)
    }
}

/// The priced outcome of one leg, or the fee of a bundle.
#[derive(Clone, Debug)]
pub struct Charge<'a> {
    /// Identifier.
    pub id: ChargeId,
    /// The edge, with payer and payee.
    pub edge: &'a Edge,
    /// What was used; `None` for a fee.
    pub usage: Option<&'a crate::usage::UsageRecord>,
    /// The endpoint that used it.
    pub endpoint: Option<&'a str>,
    /// When it counts.
    pub event_time: Timestamp,
    /// Used quantity in base units of `unit`; 0 for a fee.
    pub quantity: u64,
    /// Base unit.
    pub unit: Unit,
    /// The rounded amount, never negative.
    pub amount: Amount,
    /// What a cap waived (rule 13), in addition to the amount.
    pub waived: Amount,
    /// Why.
    pub reason: ChargeReason,
    /// How the quantity was covered and priced, exact.
    pub segments: SmallVec<[Segment<'a>; 1]>,
    /// The delta that debits the payer; a charge of 0 has none (detail A).
    pub delta: Option<Delta>,
    /// The rate that priced the rest, if any.
    pub rate: Option<&'a Rate>,
    /// The bundle instance whose fee this is.
    pub fee_of: Option<FeeOf>,
}

/// The bundle instance whose fee a charge is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeeOf {
    /// The bundle's name.
    pub bundle: Arc<str>,
    /// The instance.
    pub instance: Arc<str>,
}

/// A part of a charge, kept exact; only the sum is rounded (rule 11).
#[derive(Clone, Debug)]
pub struct Segment<'a> {
    /// What covered or priced it.
    pub source: SegmentSource<'a>,
    /// Used quantity of this part, in base units. The parts add up to the charge's quantity.
    pub quantity: u64,
    /// Newly billed quantity, in base units; 0 for what a bundle covered.
    pub billable: u64,
    /// Exact amount.
    pub amount: Exact,
}

/// What a segment comes from.
#[derive(Clone, Debug)]
pub enum SegmentSource<'a> {
    /// Units of an allowance.
    Allowance(AllowanceDraw),
    /// A rate: plain price, tier, band or package; the price is per package for packages.
    Tariff {
        /// The rate.
        rate: &'a Rate,
        /// The price that applied.
        unit_price: UnitPrice,
    },
    /// Free units of the rate.
    Free(&'a Rate),
    /// The connect fee.
    Connect(&'a Rate),
    /// A tier's flat part.
    Flat(&'a Rate),
    /// Waived by a cap: a negative amount.
    Cap(&'a Rate),
    /// Free by intent.
    NoTariff,
}

impl<'a> SegmentSource<'a> {
    /// The stable name on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            SegmentSource::Allowance(_) => "allowance",
            SegmentSource::Tariff { .. } => "tariff",
            SegmentSource::Free(_) => "free",
            SegmentSource::Connect(_) => "connect",
            SegmentSource::Flat(_) => "flat",
            SegmentSource::Cap(_) => "cap",
            SegmentSource::NoTariff => "no_tariff",
        }
    }

    /// The rate behind the segment, if any.
    pub fn rate(&self) -> Option<&'a Rate> {
        match self {
            SegmentSource::Tariff { rate, .. }
            | SegmentSource::Free(rate)
            | SegmentSource::Connect(rate)
            | SegmentSource::Flat(rate)
            | SegmentSource::Cap(rate) => Some(rate),
            SegmentSource::Allowance(_) | SegmentSource::NoTariff => None,
        }
    }
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
pub struct CommandDelta<'a> {
    /// The account, through its edge.
    pub edge: &'a Edge,
    /// The change.
    pub delta: Delta,
    /// What for.
    pub kind: DeltaKind,
    /// The command.
    pub command: &'a crate::command::Command,
}

/// What an account is told, once per cause.
#[derive(Clone, Debug)]
pub struct Notification<'a> {
    /// What happened.
    pub kind: NotificationKind,
    /// The account concerned.
    pub account: &'a AccountId,
    /// The endpoint concerned.
    pub endpoint: Option<&'a str>,
    /// Id of the usage record or command that caused it.
    pub caused_by: &'a str,
    /// Hash of what caused it, source included.
    pub cause_key: u128,
    /// When.
    pub event_time: Timestamp,
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

/// Everything one batch puts out, in the order of processing.
#[derive(Debug, Default)]
pub struct Outputs<'a> {
    /// Charges, each with its delta.
    pub charges: Vec<Charge<'a>>,
    /// Deltas without a charge.
    pub deltas: Vec<CommandDelta<'a>>,
    /// Notifications.
    pub notifications: Vec<Notification<'a>>,
}

/// The account a charge debits.
impl Charge<'_> {
    /// The payer.
    pub fn payer(&self) -> &AccountId {
        &self.edge.payer
    }
}
