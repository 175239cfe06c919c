//! Tariffs: versions by event time, the rate that matches, and aliases with dated mark-ups (rules 9, 14).

use crate::calendar::{TimeZone, Timestamp};
use crate::id::Currency;
use crate::matching::{MatchIndex, Overlap};
use crate::money::{Amount, Rounding, UnitPrice};
use crate::rate::{PricingSpec, Rate, RateError, RateSpec, VersionFacts};
use crate::usage::UsageRecord;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A tariff as written, or as derived from a master by [`TariffSpec::marked_up`].
#[derive(Clone, Debug)]
pub struct TariffSpec {
    /// Name.
    pub id: Arc<str>,
    /// Currency of its prices.
    pub currency: Currency,
    /// The one rounding.
    pub rounding: Rounding,
    /// Zone of the bands.
    pub time_zone: TimeZone,
    /// Ledger and tax codes copied onto charges.
    pub codes: Arc<[(Box<str>, Box<str>)]>,
    /// Versions in strictly ascending order of `from`.
    pub versions: Vec<VersionSpec>,
}

/// One version of a tariff: in force from its `from` until the next one's.
#[derive(Clone, Debug)]
pub struct VersionSpec {
    /// First instant in force.
    pub from: Timestamp,
    /// Cap per calendar month on an edge.
    pub cap: Option<Amount>,
    /// Rates.
    pub rates: Vec<RateSpec>,
}

/// Mark-ups by service, from an instant on.
#[derive(Clone, Debug)]
pub struct MarkUp {
    /// First instant in force.
    pub from: Timestamp,
    /// Added to the unit prices of a service.
    pub by_service: BTreeMap<Box<str>, UnitPrice>,
}

/// Why a tariff cannot be compiled; `version` and rates are positions in the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TariffError {
    /// Two rates match one record equally well.
    Overlap {
        /// Position of the version.
        version: usize,
        /// The rates.
        overlap: Overlap,
    },
    /// A rate cannot be compiled.
    Rate {
        /// Position of the version.
        version: usize,
        /// Position of the rate.
        rate: usize,
        /// Why.
        error: RateError,
    },
    /// Versions out of order.
    VersionOrder,
}

impl TariffSpec {
    /// The tariff that follows this master with mark-ups (rule 14, detail j): its versions change whenever the master's or the
    /// mark-up's do. `None` if a price overflows or becomes negative.
    pub fn marked_up(&self, id: &str, mark_ups: &[MarkUp]) -> Option<TariffSpec> {
        let mut starts: Vec<Timestamp> = self.versions.iter().map(|version| version.from).collect();
        let first = *starts.first()?;
        starts.extend(mark_ups.iter().map(|mark_up| mark_up.from).filter(|from| *from > first));
        starts.sort_unstable();
        starts.dedup();
        let mut versions = Vec::with_capacity(starts.len());
        for from in starts {
            let master = self.versions.iter().rev().find(|version| version.from <= from)?;
            let mark_up = mark_ups.iter().rev().find(|mark_up| mark_up.from <= from);
            let mut version = VersionSpec { from, ..master.clone() };
            for rate in &mut version.rates {
                if let Some(added) = mark_up.and_then(|mark_up| mark_up.by_service.get(&rate.applies.service)) {
                    add_to_unit_prices(&mut rate.pricing, added)?;
                }
            }
            versions.push(version);
        }
        Some(TariffSpec { id: Arc::from(id), versions, ..self.clone() })
    }
}

fn add_to_unit_prices(pricing: &mut PricingSpec, added: &UnitPrice) -> Option<()> {
    let add = |price: &mut UnitPrice| {
        *price = price.checked_add(added).filter(|sum| !sum.price().is_sign_negative() || sum.price().is_zero())?;
        Some(())
    };
    match pricing {
        PricingSpec::Unit(price) => add(price),
        PricingSpec::Tiers(tiers) => tiers.iter_mut().try_for_each(|tier| add(&mut tier.price)),
        PricingSpec::Bands(bands) => bands.iter_mut().try_for_each(|band| add(&mut band.price)),
        PricingSpec::Package { .. } | PricingSpec::Blocked => Some(()),
    }
}

/// A compiled tariff.
#[derive(Debug)]
pub struct Tariff {
    id: Arc<str>,
    currency: Currency,
    versions: Vec<TariffVersion>,
}

/// A compiled version.
#[derive(Debug)]
pub struct TariffVersion {
    from: Timestamp,
    rates: Vec<Arc<Rate>>,
    index: MatchIndex,
}

impl Tariff {
    /// Compiles a specification.
    ///
    /// # Errors
    /// The first fault found; the directory's validation finds all of them beforehand, with places.
    pub fn compile(spec: &TariffSpec) -> Result<Tariff, TariffError> {
        if !spec.versions.is_sorted_by(|a, b| a.from < b.from) {
            return Err(TariffError::VersionOrder);
        }
        let has_connect = spec.versions.iter().flat_map(|version| &version.rates).any(RateSpec::has_connect);
        let starts: Arc<[Timestamp]> = spec.versions.iter().map(|version| version.from).collect();
        let mut versions = Vec::with_capacity(spec.versions.len());
        for (position, version) in spec.versions.iter().enumerate() {
            let facts = Arc::new(VersionFacts {
                tariff_id: spec.id.clone(),
                version_from: version.from,
                rounding: spec.rounding,
                time_zone: spec.time_zone.clone(),
                cap: version.cap,
                codes: spec.codes.clone(),
                has_connect,
                versions: starts.clone(),
            });
            let mut rates = Vec::with_capacity(version.rates.len());
            for (rate, written) in version.rates.iter().enumerate() {
                let compiled = Rate::compile(&facts, written).map_err(|error| TariffError::Rate {
                    version: position,
                    rate,
                    error,
                })?;
                rates.push(Arc::new(compiled));
            }
            let index = MatchIndex::build(version.rates.iter().map(|rate| &rate.applies))
                .map_err(|overlap| TariffError::Overlap { version: position, overlap })?;
            versions.push(TariffVersion { from: version.from, rates, index });
        }
        Ok(Tariff { id: spec.id.clone(), currency: spec.currency, versions })
    }

    /// The name.
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// The currency of its prices.
    pub fn currency(&self) -> Currency {
        self.currency
    }

    /// The version in force at an instant (rule 14: taken at the event time).
    pub fn version_at(&self, instant: Timestamp) -> Option<&TariffVersion> {
        let after = self.versions.partition_point(|version| version.from <= instant);
        self.versions.get(after.checked_sub(1)?)
    }

    /// The rate for a record at its event time; `None` is `no_rate`.
    pub fn rate_for(&self, usage: &UsageRecord) -> Option<&Rate> {
        let version = self.version_at(usage.event_time)?;
        let position = version.index.find(usage)?;
        version.rates.get(position).map(|rate| &**rate)
    }
}

impl TariffVersion {
    /// First instant in force.
    pub fn from(&self) -> Timestamp {
        self.from
    }

    /// All rates, in the order written: for explanations.
    pub fn rates(&self) -> &[Arc<Rate>] {
        &self.rates
    }
}
