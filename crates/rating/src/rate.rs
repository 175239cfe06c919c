//! A rate: its specification as written, and its compiled form in which every price is an integer over one denominator.
//!
//! Because of the common denominator a charge is a sum of integer products and exactly one division (rule 11), whatever
//! the number of increments.

use crate::calendar::{TimeZone, Timestamp};
use crate::identity;
use crate::matching::UsageMatch;
use crate::money::{Amount, MAX_DENOMINATOR, Rounding, UnitPrice, fraction, lcm};
use crate::quantity::Unit;
use rust_decimal::Decimal;
use std::sync::Arc;

/// Minutes of a week, Monday 00:00 first.
pub const WEEK_MINUTES: u16 = 7 * 24 * 60;

/// In which scope increments, minimum, free units and tiers count (rule 12, detail d).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One usage record.
    Record,
    /// All records of one session on one edge.
    Session,
    /// A calendar month in the payer's zone (detail b).
    Month,
}

impl Scope {
    /// The name in reference data.
    pub fn name(self) -> &'static str {
        match self {
            Scope::Record => "record",
            Scope::Session => "session",
            Scope::Month => "month",
        }
    }
}

/// A rate as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateSpec {
    /// What it applies to.
    pub applies: UsageMatch,
    /// Base unit of its quantities.
    pub unit: Unit,
    /// Prices.
    pub pricing: PricingSpec,
    /// Rating increment in base units; at least 1.
    pub increment: u64,
    /// Least billed in the scope, in base units, if anything was used.
    pub minimum: u64,
    /// Where the above counts.
    pub scope: Scope,
    /// Free units of the scope, taken off before increments (detail i).
    pub free: u64,
    /// Connect fee, once per session, if a unit is priced; bands carry their own.
    pub connect: Decimal,
}

/// How a rate prices billable units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PricingSpec {
    /// One price.
    Unit(UnitPrice),
    /// Graduated tiers: each unit at its tier's price (rule 13).
    Tiers(Vec<TierSpec>),
    /// Whole blocks.
    Package {
        /// Block size in base units; at least 1.
        size: u64,
        /// Price of a block.
        price: Decimal,
    },
    /// Time-of-day bands.
    Bands(Vec<BandSpec>),
    /// Use is refused (rule 9).
    Blocked,
}

/// One graduated tier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TierSpec {
    /// Upper end in base units, exclusive of the next tier's units; `None` for the last.
    pub up_to: Option<u64>,
    /// Price of a unit.
    pub price: UnitPrice,
    /// Charged once when the first unit of the tier is billed.
    pub flat: Decimal,
}

/// One time-of-day band.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BandSpec {
    /// Half-open ranges in minutes of the week, local time, Monday 00:00 is 0.
    pub week: Vec<(u16, u16)>,
    /// Connect fee where the first priced unit falls into this band (detail h).
    pub connect: Decimal,
    /// Price of a unit.
    pub price: UnitPrice,
}

/// Why a specification cannot be compiled. The directory's validation reports these with a place before compiling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateError {
    /// An increment or package size of 0.
    ZeroIncrement,
    /// Tiers that do not ascend or whose last one ends (detail n).
    TiersIncomplete,
    /// Bands that leave out or repeat a moment of the week (detail n).
    BandsIncomplete,
    /// Prices whose common denominator exceeds 10^27.
    PriceTooFine,
    /// A negative price or fee.
    Negative,
}

/// A compiled rate of one tariff version.
#[derive(Debug, PartialEq, Eq)]
pub struct Rate {
    /// What its version says about it: with the specification all that it was compiled from.
    pub facts: Arc<VersionFacts>,
    /// As written.
    pub spec: RateSpec,
    pub(crate) key: u128,
    pub(crate) denominator: i128,
    pub(crate) connect: i128,
    pub(crate) pricing: Pricing,
}

/// Prices as integers over the rate's denominator.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pricing {
    Unit(i128),
    Tiers(Box<[Tier]>),
    Package { size: u64, price: i128 },
    Bands { bands: Box<[Band]>, week: Box<[(u16, u8)]> },
    Blocked,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tier {
    pub from: u64,
    pub to: u64,
    pub per_unit: i128,
    pub flat: i128,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Band {
    pub per_unit: i128,
    pub connect: i128,
}

/// What a version says about all its rates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionFacts {
    /// The tariff, an alias under its own name.
    pub tariff_id: Arc<str>,
    /// Start of the version.
    pub version_from: Timestamp,
    /// The one rounding.
    pub rounding: Rounding,
    /// Zone of the bands.
    pub time_zone: TimeZone,
    /// Cap per edge, tariff and month (detail f).
    pub cap: Option<Amount>,
    /// Ledger and tax codes.
    pub codes: Arc<[(Box<str>, Box<str>)]>,
    /// Some rate of the tariff, in any of its versions, has a connect fee: a session has to be remembered (detail h).
    pub has_connect: bool,
    /// Starts of all versions of the tariff, ascending; empty where an older program sent the rate.
    pub versions: Arc<[Timestamp]>,
}

impl RateSpec {
    /// Whether a connect fee may be due.
    pub(crate) fn has_connect(&self) -> bool {
        match &self.pricing {
            PricingSpec::Bands(bands) => bands.iter().any(|band| !band.connect.is_zero()),
            PricingSpec::Unit(_) | PricingSpec::Tiers(_) | PricingSpec::Package { .. } => !self.connect.is_zero(),
            PricingSpec::Blocked => false,
        }
    }
}

impl Rate {
    /// Compiles a specification: of a version, or of a rate that was sent (its facts and specification).
    ///
    /// # Errors
    /// See [`RateError`].
    pub fn compile(facts: &Arc<VersionFacts>, spec: &RateSpec) -> Result<Rate, RateError> {
        check(spec)?;
        let mut common = Denominator(1);
        common.visit(spec)?;
        let denominator = common.0;
        let money = |value: Decimal| over(denominator, fraction(value, 1));
        let price = |price: &UnitPrice| over(denominator, price.per_unit());
        let pricing = match &spec.pricing {
            PricingSpec::Unit(unit) => Pricing::Unit(price(unit)?),
            PricingSpec::Tiers(tiers) => {
                let mut from = 0;
                let mut compiled = Vec::with_capacity(tiers.len());
                for tier in tiers {
                    let to = tier.up_to.unwrap_or(u64::MAX);
                    compiled.push(Tier { from, to, per_unit: price(&tier.price)?, flat: money(tier.flat)? });
                    from = to;
                }
                Pricing::Tiers(compiled.into())
            }
            PricingSpec::Package { size, price } => Pricing::Package { size: *size, price: money(*price)? },
            PricingSpec::Bands(bands) => {
                let compiled: Result<Vec<Band>, RateError> = bands
                    .iter()
                    .map(|band| Ok(Band { per_unit: price(&band.price)?, connect: money(band.connect)? }))
                    .collect();
                Pricing::Bands { bands: compiled?.into(), week: week_of(bands)? }
            }
            PricingSpec::Blocked => Pricing::Blocked,
        };
        Ok(Rate {
            facts: Arc::clone(facts),
            key: identity::rate_key(&facts.tariff_id, &spec.applies),
            denominator,
            connect: money(spec.connect)?,
            pricing,
            spec: spec.clone(),
        })
    }

    /// The zone that matched.
    pub fn zone(&self) -> &Arc<str> {
        self.spec.applies.zone.name()
    }

    /// Whether use is refused.
    pub fn is_blocked(&self) -> bool {
        self.pricing == Pricing::Blocked
    }
}

fn check(spec: &RateSpec) -> Result<(), RateError> {
    if spec.increment == 0 || matches!(spec.pricing, PricingSpec::Package { size: 0, .. }) {
        return Err(RateError::ZeroIncrement);
    }
    if let PricingSpec::Tiers(tiers) = &spec.pricing {
        let ends: Vec<u64> = tiers.iter().filter_map(|tier| tier.up_to).collect();
        let last_is_open = tiers.last().is_some_and(|tier| tier.up_to.is_none());
        if ends.len() + 1 != tiers.len()
            || !last_is_open
            || !ends.is_sorted_by(|a, b| a < b)
            || ends.first() == Some(&0)
        {
            return Err(RateError::TiersIncomplete);
        }
    }
    Ok(())
}

fn over(denominator: i128, value: Option<(i128, i128)>) -> Result<i128, RateError> {
    let (numerator, own) = value.ok_or(RateError::PriceTooFine)?;
    if numerator < 0 {
        return Err(RateError::Negative);
    }
    numerator.checked_mul(denominator / own).ok_or(RateError::PriceTooFine)
}

/// The least common denominator of all prices of a rate.
struct Denominator(i128);

impl Denominator {
    fn visit(&mut self, spec: &RateSpec) -> Result<(), RateError> {
        self.money(spec.connect)?;
        match &spec.pricing {
            PricingSpec::Unit(price) => self.add(price.per_unit()),
            PricingSpec::Tiers(tiers) => tiers.iter().try_for_each(|tier| {
                self.money(tier.flat)?;
                self.add(tier.price.per_unit())
            }),
            PricingSpec::Package { price, .. } => self.money(*price),
            PricingSpec::Bands(bands) => bands.iter().try_for_each(|band| {
                self.money(band.connect)?;
                self.add(band.price.per_unit())
            }),
            PricingSpec::Blocked => Ok(()),
        }
    }

    fn money(&mut self, value: Decimal) -> Result<(), RateError> {
        self.add(fraction(value, 1))
    }

    fn add(&mut self, value: Option<(i128, i128)>) -> Result<(), RateError> {
        let (_, own) = value.ok_or(RateError::PriceTooFine)?;
        self.0 = lcm(self.0, own).filter(|common| *common <= MAX_DENOMINATOR).ok_or(RateError::PriceTooFine)?;
        Ok(())
    }
}

fn week_of(bands: &[BandSpec]) -> Result<Box<[(u16, u8)]>, RateError> {
    let mut ranges: Vec<(u16, u16, u8)> = Vec::new();
    for (index, band) in bands.iter().enumerate() {
        let index = u8::try_from(index).map_err(|_| RateError::BandsIncomplete)?;
        ranges.extend(band.week.iter().map(|&(from, to)| (from, to, index)));
    }
    ranges.sort_unstable();
    let mut next = 0;
    for &(from, to, _) in &ranges {
        if from != next || to <= from {
            return Err(RateError::BandsIncomplete);
        }
        next = to;
    }
    if next != WEEK_MINUTES {
        return Err(RateError::BandsIncomplete);
    }
    Ok(ranges.into_iter().map(|(from, _, band)| (from, band)).collect())
}
