//! Bundles and grants of them.

use rating::{Amount, BundleScope, Currency, KeyFilter, Length, Starts, Timestamp, Unit};

use super::{Reference, Spanned};
use crate::source::Span;

/// What is sold.
#[derive(Debug)]
pub struct Bundle {
    /// Of the fee, and of every account that holds the bundle.
    pub currency: Currency,
    /// Fee when an instance becomes active.
    pub price: Option<Amount>,
    /// When an instance becomes active.
    pub starts: Starts,
    /// How long it is valid; none: for ever.
    pub lasts: Option<Length>,
    /// Who draws from it.
    pub scope: BundleScope,
    /// Drawn before paid bundles.
    pub promotional: bool,
    /// Thresholds in per cent of each allowance.
    pub warn_at: Vec<u8>,
    /// At least one.
    pub elements: Vec<Element>,
}

/// One allowance of a bundle.
#[derive(Debug)]
pub struct Element {
    /// The element as written.
    pub span: Span,
    /// Lower is drawn first.
    pub priority: u32,
    /// Service.
    pub service: Reference,
    /// Name of the zone; none: root.
    pub zone: Option<Reference>,
    /// Further keys.
    pub keys: KeyFilter,
    /// Base units; none: unlimited.
    pub amount: Option<u64>,
    /// Drawn after all standard allowances.
    pub fair_use: bool,
    /// The unit that was named, if any.
    pub measured: Vec<Spanned<Unit>>,
}

/// A bundle that an account has.
#[derive(Debug)]
pub struct Grant {
    /// The grant as written.
    pub span: Span,
    /// Which bundle.
    pub bundle: Reference,
    /// Start; needed where the bundle has a length and starts at a date.
    pub at: Option<Spanned<Timestamp>>,
    /// For bundles of one endpoint.
    pub endpoint: Option<Reference>,
}
