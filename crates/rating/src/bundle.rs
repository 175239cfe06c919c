//! Bundles: what is sold (templates), and what is left of one grant of it (instances with allowances). Rules 15 to 18.

use crate::calendar::{Length, Timestamp};
use crate::dictionary::KnownTemplate;
use crate::id::{AccountId, Currency};
use crate::leg::{Status, status_at};
use crate::matching::{MatchKeys, UsageMatch};
use crate::money::Amount;
use crate::quantity::Unit;
use std::sync::Arc;

/// When an instance becomes active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Starts {
    /// At the effective time of the purchase.
    Date,
    /// Armed: by the first unit drawn from it.
    FirstUse,
    /// Pending: by the command `activate` (detail z).
    Activation,
}

/// Who draws from an instance (rule 16).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BundleScope {
    /// All endpoints below the payer.
    Customer,
    /// One endpoint.
    Endpoint,
}

/// What is sold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleTemplate {
    /// Name.
    pub id: Arc<str>,
    /// Currency of the fee, and of the accounts that may buy it.
    pub currency: Currency,
    /// Charged when an instance becomes active (rule 19).
    pub fee: Option<Amount>,
    /// When an instance becomes active.
    pub starts: Starts,
    /// Validity; `None` never expires.
    pub lasts: Option<Length>,
    /// Who draws.
    pub scope: BundleScope,
    /// Drawn before paid bundles.
    pub promotional: bool,
    /// Percentages of use that notify once each, ascending.
    pub warn_at: Box<[u8]>,
    /// Allowances granted.
    pub elements: Box<[Element]>,
}

/// One allowance of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// Lower is drawn first.
    pub priority: u32,
    /// What it covers.
    pub applies: UsageMatch,
    /// Base unit.
    pub unit: Unit,
    /// Units granted; `None` is unlimited.
    pub amount: Option<u64>,
    /// Standard, or drawn last (fair use).
    pub class: ElementClass,
}

/// Whether an element is drawn in the first place or when the standard ones are used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElementClass {
    /// Drawn first.
    Standard,
    /// Drawn last (rule 15).
    FairUse,
}

/// One grant of a template: a copy of it as bought (rule 16).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// The id of the command that bought it.
    pub id: Arc<str>,
    /// As bought.
    pub template: Arc<KnownTemplate>,
    /// The payee of the edge on which it was bought: legs to another payee never draw from it (rule 6).
    pub payee: AccountId,
    /// The only endpoint that draws, for scope `endpoint`.
    pub endpoint: Option<Arc<str>>,
    /// Earliest instant at which it may be used.
    pub granted_at: Timestamp,
    /// Phase.
    pub phase: Phase,
    /// Terminated from this instant on.
    pub terminated_at: Option<Timestamp>,
    /// Suspensions and resumptions, ascending by instant: what holds from then on.
    pub statuses: Vec<(Timestamp, Status)>,
    /// Units used of each element, and thresholds already notified (a bit each).
    pub allowances: Box<[Allowance]>,
    /// A failed activation was notified.
    pub activation_failed: bool,
}

/// Where an instance stands in its life. Depleted, expired, suspended and terminated follow from other fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Waits for the command `activate`.
    Pending,
    /// Waits for its first unit.
    Armed,
    /// Valid in the half-open interval [start, end); never moves (rule 17).
    Active {
        /// First instant.
        start: Timestamp,
        /// First instant no longer valid; `None` never ends.
        end: Option<Timestamp>,
    },
}

/// The state of one element of an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    /// Units drawn.
    pub used: u64,
    /// Bit i: `warn_at[i]` was notified.
    pub warned: u8,
}

/// A draw as told in a charge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowanceDraw {
    /// The bundle's name.
    pub bundle: Arc<str>,
    /// The instance.
    pub instance: Arc<str>,
    /// Position of the element.
    pub element: u16,
    /// Units left before; `None` is unlimited.
    pub before: Option<u64>,
    /// Units left after.
    pub after: Option<u64>,
}

/// Most bytes that a template, or one of its zones, takes where it is stored: half of what a message may hold.
const MAX_STORED_BYTES: usize = 4_000_000;

impl BundleTemplate {
    /// Returns whether it, and each of its zones, is small enough for a row of state.
    pub(crate) fn can_be_stored(&self) -> bool {
        const ELEMENT_BYTES: usize = 200;
        let of_keys = |keys: &MatchKeys| {
            let MatchKeys { rating_group: _, apn, rat, direction, sponsor } = keys;
            [apn, rat, direction, sponsor].into_iter().flatten().map(|text| text.len()).sum::<usize>()
        };
        let elements = self.elements.iter();
        let sizes =
            elements.map(|element| ELEMENT_BYTES + element.applies.service.len() + of_keys(&element.applies.keys));
        sizes.sum::<usize>() <= MAX_STORED_BYTES
            && self.elements.iter().all(|element| element.applies.zone.size_bytes() <= MAX_STORED_BYTES)
    }
}

impl Instance {
    /// Units left of an element; `None` is unlimited.
    pub fn left(&self, element: usize) -> Option<u64> {
        let granted = self.template.elements.get(element)?.amount?;
        Some(granted.saturating_sub(self.allowances.get(element).map_or(0, |allowance| allowance.used)))
    }

    /// Used up: every standard allowance is 0 (detail s).
    pub fn is_used_up(&self) -> bool {
        self.template
            .elements
            .iter()
            .enumerate()
            .filter(|(_, element)| element.class == ElementClass::Standard)
            .all(|(index, _)| self.left(index) == Some(0))
    }

    /// Returns whether it is suspended as of an instant.
    pub fn is_suspended_at(&self, instant: Timestamp) -> bool {
        status_at(&self.statuses, instant) != Status::Active
    }

    /// The instant from which on nothing can be drawn any more: its end, or when it was terminated; `None` where neither is known.
    pub fn drawn_until(&self) -> Option<Timestamp> {
        let end = match self.phase {
            Phase::Active { end, .. } => end,
            Phase::Pending | Phase::Armed => None,
        };
        end.into_iter().chain(self.terminated_at).min()
    }

    /// The state's name as of an instant (rule 17).
    pub fn state_at(&self, instant: Timestamp) -> &'static str {
        if self.terminated_at.is_some_and(|at| at <= instant) {
            return "terminated";
        }
        match self.phase {
            Phase::Active { end: Some(end), .. } if end <= instant => "expired",
            Phase::Pending | Phase::Armed | Phase::Active { .. } if self.is_suspended_at(instant) => "suspended",
            Phase::Pending => "pending",
            Phase::Armed => "armed",
            Phase::Active { .. } if self.is_used_up() => "depleted",
            Phase::Active { .. } => "active",
        }
    }
}
