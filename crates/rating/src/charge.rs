//! What a leg costs, and why: the charge with its segments and the deltas that book it.

use crate::bundle::AllowanceDraw;
use crate::calendar::Timestamp;
use crate::effect::{BalanceDelta, Cause, Delta, DeltaKind, Shared};
use crate::id::AccountId;
use crate::leg::Edge;
use crate::money::{Amount, Exact, UnitPrice};
use crate::quantity::Unit;
use crate::rate::Rate;
use crate::reason::ChargeReason;
use crate::usage::UsageRecord;
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
    pub edge: Shared<'a, Edge>,
    /// The names above the payer, from the root down to the payee, with slashes between; empty where nobody said.
    pub ancestors: Shared<'a, str>,
    /// What caused it.
    pub cause: Cause<'a>,
    /// The endpoint that used it.
    pub endpoint: Option<Shared<'a, str>>,
    /// When it counts.
    pub event_time: Timestamp,
    /// The clock of ticks when it was booked.
    pub booked_time: Option<Timestamp>,
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
    /// What debits the payer: one delta for each pot and balance that it touched; a charge of 0 has none (detail A).
    pub deltas: SmallVec<[Delta; 1]>,
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

impl<'a> Charge<'a> {
    /// The payer, whose account is debited.
    pub fn payer(&self) -> &AccountId {
        &self.edge.payer
    }

    /// What books it, in its order.
    pub fn balance_deltas(&self) -> impl Iterator<Item = BalanceDelta<'_>> {
        self.deltas.iter().map(|delta| BalanceDelta {
            edge: &self.edge,
            ancestors: &self.ancestors,
            delta: *delta,
            kind: DeltaKind::Charge,
            charge: Some(self.id),
            cause: self.cause,
            effective_time: self.event_time,
            booked_time: self.booked_time,
        })
    }

    /// What was used; `None` for a fee.
    pub fn usage(&self) -> Option<&'a UsageRecord> {
        match self.cause {
            Cause::Usage(usage, _) if self.fee_of.is_none() => Some(usage),
            Cause::Usage(..) | Cause::Command(..) | Cause::DueWork(..) => None,
        }
    }
}
