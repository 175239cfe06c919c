//! Tariffs: masters from their versions, aliases from the tariffs that they follow.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use rating::rate::{BandSpec, PricingSpec, RateError, TierSpec};
use rating::tariff::TariffError;
use rating::{Currency, RateSpec, Tariff, TariffSpec, UsageMatch, VersionSpec};

use super::Zones;
use super::alias::follow;
use crate::diagnostic::{Code, Diagnostic};
use crate::model::{Band, BandTime, Master, Model, Pricing, Rate, Reference, Tariff as Written, Version};
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
    /// Checks and compiles all tariffs. The versions of each, which were taken out of the model, are given back as soon as they are compiled:
    /// what is written and what is made of it are never there for all tariffs at once, unless somebody keeps them.
    pub(crate) fn compile(
        check: &mut Check<'_, '_>,
        zones: &Zones,
        units: &Units,
        written: Vec<Vec<Version>>,
        mut give_back: impl FnMut(Vec<Version>),
    ) -> Tariffs {
        let model = check.model;
        let followed = followed(model);
        let mut resolved: HashMap<usize, Resolved> = HashMap::new();
        let mut compiled = vec![None; model.tariffs.len()];
        for (at, (item, versions)) in model.tariffs.items().iter().zip(written).enumerate() {
            let Some(Written::Master(master)) = &item.value else {
                give_back(versions);
                continue;
            };
            let thing = Thing { kind: "tariff", name: &item.name };
            let before = check.count();
            check_tariff(check, thing, &versions);
            let is_sound = item.sound && check.count() == before;
            let spec = is_sound.then(|| master_spec(model, zones, units, &item.name, master, &versions));
            if let Some(spec) = spec.flatten() {
                compiled[at] = compile(check, thing, item.span, &versions, &spec);
                // A specification takes as much as what is made of it, and nearly all tariffs have no alias.
                if followed.contains(&at) {
                    resolved.insert(at, Resolved { spec, units: master.units });
                }
            }
            give_back(versions);
        }
        let currencies = follow(check, &mut resolved);
        for (at, item) in model.tariffs.items().iter().enumerate() {
            // Masters are compiled above, and what could not be read was reported.
            let Some(Written::Alias(_)) = &item.value else { continue };
            let thing = Thing { kind: "tariff", name: &item.name };
            let spec = resolved.get(&at).map(|resolved| &resolved.spec);
            compiled[at] = spec.and_then(|spec| compile(check, thing, item.span, &[], spec));
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

/// The positions of tariffs that an alias names.
fn followed(model: &Model) -> HashSet<usize> {
    let aliases = model.tariffs.values().filter_map(|(_, tariff)| match tariff {
        Written::Alias(alias) => model.tariffs.find(&alias.of.value),
        Written::Master(_) => None,
    });
    aliases.collect()
}

fn compile(
    check: &mut Check<'_, '_>,
    thing: Thing<'_>,
    span: Span,
    written: &[Version],
    spec: &TariffSpec,
) -> Option<Arc<Tariff>> {
    let error = match Tariff::compile(spec) {
        Ok(tariff) => return Some(Arc::new(tariff)),
        Err(error) => error,
    };
    // An alias has no versions of its own: it is shown by its name.
    let place = |version: usize, rate: usize| {
        written.get(version).and_then(|version| version.rates.get(rate)).map_or(span, |rate| rate.span)
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

fn master_spec(
    model: &Model,
    zones: &Zones,
    units: &Units,
    name: &str,
    master: &Master,
    written: &[Version],
) -> Option<TariffSpec> {
    let versions: Option<Vec<VersionSpec>> = written
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
