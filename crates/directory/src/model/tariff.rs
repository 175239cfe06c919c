//! Tariffs: prices by version, and aliases that add to them.

use std::ops::Range;

use rating::rate::Scope;
use rating::{Amount, Currency, KeyFilter, Rounding, TimeZone, Timestamp, Unit, UnitPrice};
use rust_decimal::Decimal;

use super::{Reference, Spanned};
use crate::source::Span;
use crate::value::{DaySet, UnitSystem, WrittenPrice};

/// A price list or a view of one.
#[derive(Debug)]
pub enum Tariff {
    /// With prices of its own.
    Master(Box<Master>),
    /// The prices of another one, with mark-ups.
    Alias(Box<Alias>),
}

/// A tariff with prices of its own.
#[derive(Debug)]
pub struct Master {
    /// Of every price in it.
    pub currency: Spanned<Currency>,
    /// What `KB` to `TB` mean, also in the mark-ups of its aliases.
    pub units: UnitSystem,
    /// Of a charge.
    pub rounding: Rounding,
    /// Clock of the time bands.
    pub time_zone: TimeZone,
    /// Ledger and tax codes.
    pub codes: Vec<(Box<str>, Box<str>)>,
    /// Strictly ascending; each holds until the next.
    pub versions: Vec<Version>,
}

/// Prices from one moment on.
#[derive(Debug)]
pub struct Version {
    /// The version as written.
    pub span: Span,
    /// First moment.
    pub from: Spanned<Timestamp>,
    /// Most that is charged per calendar month on an edge.
    pub cap: Option<Amount>,
    /// In the order written, which has no meaning.
    pub rates: Vec<Rate>,
    /// Zones that are named by rates which could not be read: those names are checked all the same.
    pub loose_zones: Vec<Reference>,
}

/// One price with what it is for.
#[derive(Debug)]
pub struct Rate {
    /// The rate as written.
    pub span: Span,
    /// Service.
    pub service: Reference,
    /// Name of the zone; none: root.
    pub zone: Option<Reference>,
    /// Further keys.
    pub keys: KeyFilter,
    /// The price itself.
    pub pricing: Pricing,
    /// Rating increment in base units, at least 1.
    pub increment: u64,
    /// Least billed per scope, if anything was used.
    pub minimum: u64,
    /// Scope of increments, minimum, free units and tiers.
    pub per: Scope,
    /// Free base units of the scope.
    pub free: u64,
    /// Connect fee per session; bands carry their own.
    pub connect: Decimal,
    /// Every unit that was named in it: they have to agree.
    pub measured: Vec<Spanned<Unit>>,
}

/// The ways to price.
#[derive(Debug)]
pub enum Pricing {
    /// One price for every unit.
    Price(Price),
    /// Graduated, ascending, the last one open.
    Tiers(Vec<Tier>),
    /// By time of day and week.
    Bands(Vec<Band>),
    /// Whole blocks.
    Package {
        /// Of one block, in base units, at least 1.
        size: u64,
        /// Of one block.
        price: Decimal,
    },
    /// The use is refused.
    Blocked,
}

/// An exact amount per quantity, in the tariff's currency.
pub type Price = Spanned<UnitPrice>;

/// Prices up to a quantity.
#[derive(Debug)]
pub struct Tier {
    /// The tier as written.
    pub span: Span,
    /// End, counted from the start of the scope; none: open.
    pub up_to: Option<Spanned<u64>>,
    /// Of each unit in it.
    pub price: Price,
    /// Charged once, when its first unit is billed.
    pub flat: Decimal,
}

/// Prices of some hours of the week.
#[derive(Debug)]
pub struct Band {
    /// The band as written.
    pub span: Span,
    /// When it holds.
    pub time: BandTime,
    /// Connect fee.
    pub connect: Decimal,
    /// Of each unit.
    pub price: Price,
}

/// When a band holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BandTime {
    /// On these days in these minutes of the day, half-open.
    At(DaySet, Range<u16>),
    /// When no other band holds.
    Otherwise,
}

/// A tariff that follows another.
#[derive(Debug)]
pub struct Alias {
    /// The tariff that it follows.
    pub of: Reference,
    /// Ascending; the first may hold always.
    pub markups: Vec<Markup>,
}

/// What is added to unit prices from one moment on.
#[derive(Debug)]
pub struct Markup {
    /// First moment; none: always.
    pub from: Option<Spanned<Timestamp>>,
    /// By service.
    pub prices: Vec<WrittenMarkup>,
}

/// The mark-up of one service, in the units of the master, which only resolving the alias reveals.
#[derive(Debug)]
pub struct WrittenMarkup {
    /// Service.
    pub service: Reference,
    /// Added to each unit price.
    pub(crate) price: Spanned<WrittenPrice>,
}
