//! Tariffs: masters from their versions, aliases from the tariffs that they follow.

use std::sync::Arc;

use rating::rate::{BandSpec, PricingSpec, RateError, TierSpec};
use rating::tariff::TariffError;
use rating::{Currency, RateSpec, Tariff, TariffSpec, UsageMatch, VersionSpec};

use super::Zones;
use super::alias::follow;
use crate::diagnostic::{Code, Diagnostic};
use crate::model::{Band, BandTime, Master, Model, Pricing, Rate, Reference, Tariff as Written};
use crate::read::Thing;
use crate::source::Span;
use crate::validate::{Check, Units, check_tariff};
use crate::value::{MINUTES_PER_DAY, UnitSystem};

/// Tariffs by the positions of their definitions, as far as they are sound.
pub(crate) struct Tariffs {
    currencies: Vec<Option<Currency>>,
    compiled: Vec<Option<Arc<Tariff>>>,
}

/// A tariff that can be followed.
pub(super) struct Resolved {
    pub(super) spec: TariffSpec,
    /// Of the master, in which mark-ups are written too.
    pub(super) units: UnitSystem,
}

impl Tariffs {
    /// Checks and compiles all tariffs.
    pub(crate) fn compile(check: &mut Check<'_, '_>, zones: &Zones, units: &Units) -> Tariffs {
        let model = check.model;
        let mut resolved: Vec<Option<Resolved>> = Vec::with_capacity(model.tariffs.len());
        for item in model.tariffs.items() {
            let Some(Written::Master(master)) = &item.value else {
                resolved.push(None);
                continue;
            };
            let thing = Thing { kind: "tariff", name: &item.name };
            let before = check.count();
            check_tariff(check, thing, master);
            let sound = item.sound && check.count() == before;
            let spec = if sound { master_spec(model, zones, units, &item.name, master) } else { None };
            resolved.push(spec.map(|spec| Resolved { spec, units: master.units }));
        }
        let currencies = follow(check, &mut resolved);
        let mut compiled = Vec::with_capacity(resolved.len());
        for (item, resolved) in model.tariffs.items().iter().zip(resolved) {
            let spec = resolved.map(|resolved| resolved.spec);
            let thing = Thing { kind: "tariff", name: &item.name };
            compiled.push(spec.and_then(|spec| compile(check, thing, item.span, item.value.as_ref(), &spec)));
        }
        Tariffs { currencies, compiled }
    }

    /// The currency of the tariff at a position; none if that could not be told, which has been reported.
    pub(crate) fn currency(&self, at: usize) -> Option<Currency> {
        self.currencies[at]
    }

    /// All of them, by the positions of their definitions.
    pub(super) fn all(&self) -> &[Option<Arc<Tariff>>] {
        &self.compiled
    }

    /// The compiled tariff of this name.
    pub(super) fn compiled(&self, model: &Model, name: &Reference) -> Option<Arc<Tariff>> {
        self.compiled[model.tariffs.find(&name.value)?].clone()
    }
}

fn compile(
    check: &mut Check<'_, '_>,
    thing: Thing<'_>,
    span: Span,
    written: Option<&Written>,
    spec: &TariffSpec,
) -> Option<Arc<Tariff>> {
    let error = match Tariff::compile(spec) {
        Ok(tariff) => return Some(Arc::new(tariff)),
        Err(error) => error,
    };
    // The places of rates are known of masters only; an alias is shown by its name.
    let place = |version: usize, rate: usize| match written {
        Some(Written::Master(master)) => {
            master.versions.get(version).and_then(|version| version.rates.get(rate)).map_or(span, |rate| rate.span)
        }
        Some(Written::Alias(_)) | None => span,
    };
    let diagnostic = match error {
        TariffError::Rate { version, rate, error } => {
            let (code, what) = match error {
                RateError::PriceTooFine => {
                    (Code::TooPrecise, "the prices of a rate have no common denominator up to 10^27")
                }
                RateError::ZeroIncrement => (Code::OutOfRange, "an increment or package is 0"),
                RateError::TiersIncomplete => (Code::LastTier, "the tiers of a rate do not cover every unit"),
                RateError::BandsIncomplete => (Code::BandsGap, "the bands of a rate do not cover every moment once"),
                RateError::Negative => (Code::Negative, "a price is negative"),
            };
            Diagnostic::new(code, place(version, rate), format!("{thing}: {what}"))
        }
        TariffError::Overlap { version, overlap } => {
            let message = format!("{thing}: two rates match the same use equally well");
            let diagnostic = Diagnostic::new(Code::OverlappingRates, place(version, overlap.second), message);
            diagnostic.related(place(version, overlap.first), "the first")
        }
        TariffError::VersionOrder => {
            Diagnostic::new(Code::NotAscending, span, format!("{thing}: the versions do not ascend"))
        }
    };
    check.report(diagnostic);
    None
}

fn master_spec(model: &Model, zones: &Zones, units: &Units, name: &str, master: &Master) -> Option<TariffSpec> {
    let versions: Option<Vec<VersionSpec>> = master
        .versions
        .iter()
        .map(|version| {
            let rates: Option<Vec<RateSpec>> =
                version.rates.iter().map(|rate| rate_spec(model, zones, units, rate)).collect();
            Some(VersionSpec { from: version.from.value, cap: version.cap, rates: rates? })
        })
        .collect();
    Some(TariffSpec {
        id: Arc::from(name),
        currency: master.currency.value,
        rounding: master.rounding,
        time_zone: master.time_zone.clone(),
        codes: Arc::from(master.codes.clone()),
        versions: versions?,
    })
}

fn rate_spec(model: &Model, zones: &Zones, units: &Units, rate: &Rate) -> Option<RateSpec> {
    let service = rate.service.value.clone();
    let unit = units.of(&service);
    let pricing = match &rate.pricing {
        Pricing::Price(price) => PricingSpec::Unit(price.value),
        Pricing::Tiers(tiers) => {
            let spec = |tier: &crate::model::Tier| TierSpec {
                up_to: tier.up_to.map(|end| end.value),
                price: tier.price.value,
                flat: tier.flat,
            };
            PricingSpec::Tiers(tiers.iter().map(spec).collect())
        }
        Pricing::Bands(bands) => PricingSpec::Bands(band_specs(bands)),
        Pricing::Package { size, price } => PricingSpec::Package { size: *size, price: *price },
        Pricing::Blocked => PricingSpec::Blocked,
    };
    Some(RateSpec {
        applies: UsageMatch { service, zone: zones.named(model, rate.zone.as_ref())?, keys: rate.keys.clone() },
        unit,
        pricing,
        increment: rate.increment,
        minimum: rate.minimum,
        scope: rate.per,
        free: rate.free,
        connect: rate.connect,
    })
}

/// Bands in minutes of the week; `otherwise` takes what the others leave.
fn band_specs(bands: &[Band]) -> Vec<BandSpec> {
    let mut named: Vec<(u16, u16)> = bands.iter().flat_map(minutes).collect();
    named.sort_unstable();
    let mut left = Vec::new();
    let mut next = 0;
    for &(from, to) in named.iter().chain(&[(7 * MINUTES_PER_DAY, 7 * MINUTES_PER_DAY)]) {
        if from > next {
            left.push((next, from));
        }
        next = next.max(to);
    }
    let week = |band: &Band| match band.time {
        BandTime::At(..) => minutes(band),
        BandTime::Otherwise => left.clone(),
    };
    bands.iter().map(|band| BandSpec { week: week(band), connect: band.connect, price: band.price.value }).collect()
}

fn minutes(band: &Band) -> Vec<(u16, u16)> {
    match &band.time {
        BandTime::Otherwise => Vec::new(),
        BandTime::At(days, hours) => (0_u8..7)
            .filter(|day| days.contains(usize::from(*day)))
            .map(|day| {
                let midnight = u16::from(day) * MINUTES_PER_DAY;
                (midnight + hours.start, midnight + hours.end)
            })
            .collect(),
    }
}
