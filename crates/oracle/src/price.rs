//! What uncovered units cost: free units, minimum, increments, tiers, packages, bands and the connect fee (rules 10 to 13).
//!
//! Everything is exact here. A [`Counter`] belongs to one scope (record, session or month) of one rate on one edge; rounding is its owner's.

use super::rates::{Band, Pricing, Rate, Tier};
use super::values::{local, whole};
use jiff::tz::TimeZone;
use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Zero};
use std::collections::BTreeMap;

/// What one scope of one rate has seen so far.
#[derive(Clone)]
pub(super) struct Counter {
    uncovered: BigInt,
    covered: BigInt,
    /// Whole blocks where a package priced.
    billed: BigInt,
    /// The exact price of everything billed, connect fees included.
    pub(super) exact: BigRational,
    /// The sum of the charges, each rounded, before any cap.
    pub(super) charged: BigRational,
}

impl Default for Counter {
    fn default() -> Self {
        Self {
            uncovered: BigInt::zero(),
            covered: BigInt::zero(),
            billed: BigInt::zero(),
            exact: BigRational::zero(),
            charged: BigRational::zero(),
        }
    }
}

/// The use that one record adds to a counter.
pub(super) struct Use<'a> {
    /// Whether its units follow each other in time, a second each: calls.
    pub(super) runs_in_time: bool,
    /// Milliseconds since 1970.
    pub(super) event_time: i64,
    pub(super) covered: &'a BigInt,
    pub(super) uncovered: &'a BigInt,
    /// Whether the connect fee of its session is still to be charged.
    pub(super) connect_is_due: bool,
}

/// What a record added.
pub(super) struct Added {
    pub(super) billable: BigInt,
    pub(super) connect: BigRational,
    /// Free units of the scope that it took.
    pub(super) free: BigInt,
    /// Newly billed units by the exact price of one; a package counts as its price over its size.
    pub(super) billed: BTreeMap<BigRational, BigInt>,
    /// The exact price of what it added, connect fee included.
    pub(super) exact: BigRational,
}

/// Prices and units, summed by price.
#[derive(Default)]
struct Sum {
    units: BTreeMap<BigRational, BigInt>,
    exact: BigRational,
}

impl Sum {
    fn add(&mut self, units: &BigInt, price: &BigRational) {
        self.exact += whole(units) * price;
        *self.units.entry(price.clone()).or_default() += units;
    }
}

impl Counter {
    /// Counts units that a bundle covered: they lower the minimum of the scope (rule 10, detail a).
    pub(super) fn cover(&mut self, covered: &BigInt) {
        self.covered += covered;
    }

    /// Counts and prices one record's units; `zone` is that of the bands.
    pub(super) fn add(&mut self, rate: &Rate, zone: &TimeZone, added: &Use<'_>) -> Added {
        self.covered += added.covered;
        let uncovered_before = self.uncovered.clone();
        self.uncovered += added.uncovered;

        let free = (&self.uncovered).min(&rate.free) - (&uncovered_before).min(&rate.free);
        let mut target = self.target(rate);
        let from = self.billed.clone();
        if target <= from {
            let nothing = BigRational::zero;
            return Added {
                billable: BigInt::zero(),
                connect: nothing(),
                free,
                billed: BTreeMap::new(),
                exact: nothing(),
            };
        }
        // The unit at position p of the scope lies this many seconds after the start of the record: the covered part is first, then the
        // free units.
        let moment_of = |position: &BigInt| {
            let second = added.covered + position + &rate.free - &uncovered_before;
            let second = i64::try_from(second).unwrap_or(i64::MAX);
            added.event_time.saturating_add(second.saturating_mul(1000))
        };

        let mut sum = Sum::default();
        let mut connect = match &rate.pricing {
            Pricing::Blocked => BigRational::zero(),
            Pricing::Unit(price) => {
                sum.add(&(&target - &from), price);
                rate.connect.clone()
            }
            Pricing::Tiers(tiers) => {
                add_tiers(tiers, &from, &target, &mut sum);
                rate.connect.clone()
            }
            Pricing::Package { size, price } => {
                // The first block begins where the last one ended.
                let blocks = (&target - &from + size - BigInt::one()) / size;
                target = &from + &blocks * size;
                sum.exact += whole(&blocks) * price;
                sum.units.insert(price / whole(size), &blocks * size);
                rate.connect.clone()
            }
            Pricing::Bands(bands) if added.runs_in_time => {
                let mut position = from.clone();
                while position < target {
                    let next = ((&position / &rate.increment + BigInt::one()) * &rate.increment).min(target.clone());
                    if let Some(band) = band_at(bands, moment_of(&position), zone) {
                        sum.add(&(&next - &position), &band.price);
                    }
                    position = next;
                }
                let first = band_at(bands, moment_of(&from), zone);
                first.map_or_else(BigRational::zero, |band| band.connect.clone())
            }
            Pricing::Bands(bands) => match band_at(bands, added.event_time, zone) {
                Some(band) => {
                    sum.add(&(&target - &from), &band.price);
                    band.connect.clone()
                }
                None => BigRational::zero(),
            },
        };
        if !added.connect_is_due {
            connect = BigRational::zero();
        }
        let exact = sum.exact + &connect;
        self.exact += &exact;
        self.billed = target.clone();
        Added { billable: target - from, connect, free, billed: sum.units, exact }
    }

    /// The units of the scope that are to be billed in all: rule 10.
    fn target(&self, rate: &Rate) -> BigInt {
        let volume = (&self.uncovered - &rate.free).max(BigInt::zero());
        if volume.is_zero() {
            return volume;
        }
        let increments = (volume + &rate.increment - BigInt::one()) / &rate.increment;
        let minimum = &rate.minimum - &self.covered;
        (increments * &rate.increment).max(minimum)
    }
}

/// Graduated: each unit of `from..to` at the price of its tier, and the flat part of each tier whose first unit is among them.
fn add_tiers(tiers: &[Tier], from: &BigInt, to: &BigInt, sum: &mut Sum) {
    let mut start = BigInt::zero();
    for tier in tiers {
        let end = tier.up_to.clone().unwrap_or_else(|| to.clone()).min(to.clone());
        let first = start.clone().max(from.clone());
        if first < end {
            sum.add(&(&end - &first), &tier.price);
            if first == start {
                sum.exact += &tier.flat;
            }
        }
        start = tier.up_to.clone().unwrap_or_else(|| to.clone());
    }
}

/// The band that holds `moment`.
fn band_at<'a>(bands: &'a [Band], moment: i64, zone: &TimeZone) -> Option<&'a Band> {
    let (_, day, second) = local(moment, zone);
    let day = usize::try_from(day).unwrap_or(0);
    let named =
        bands.iter().find(|band| !band.otherwise && band.days[day] && band.start <= second && second < band.end);
    named.or_else(|| bands.iter().find(|band| band.otherwise))
}
