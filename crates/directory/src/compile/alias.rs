//! Aliases: tariffs that follow another one with mark-ups (rule 14, detail j).

use std::collections::BTreeMap;

use hashbrown::HashMap;
use rating::rate::PricingSpec;
use rating::tariff::MarkUp;
use rating::{Currency, TariffSpec, Timestamp, UnitPrice};

use super::tariff::Resolved;
use crate::diagnostic::{Code, Diagnostic, closest};
use crate::model::{Alias, BEGINNING, Tariff};
use crate::read::{Least, Thing};
use crate::source::Span;
use crate::validate::{Check, NameKind};
use crate::value::UnitSystem;

/// A mark-up in the units of its master, with the place of each of its prices.
struct Placed {
    mark_up: MarkUp,
    spans: BTreeMap<Box<str>, Span>,
}

/// Resolves every alias whose master is sound, and returns the currencies of all tariffs. Follows chains without recursion: their length is
/// up to whoever writes them.
pub(super) fn follow(check: &mut Check<'_, '_>, resolved: &mut HashMap<usize, Resolved>) -> Vec<Option<Currency>> {
    let model = check.model;
    let items = model.tariffs.items();
    let mut done = vec![false; items.len()];
    let mut currencies = vec![None; items.len()];
    for (at, item) in items.iter().enumerate() {
        if let Some(Tariff::Master(master)) = &item.value {
            currencies[at] = Some(master.currency.value);
        }
        done[at] = !matches!(item.value, Some(Tariff::Alias(_)));
    }
    let mut on_path = vec![false; items.len()];
    for start in 0..items.len() {
        let mut path: Vec<(usize, &Alias)> = Vec::new();
        let mut next = Some(start);
        while let Some(at) = next.filter(|at| !done[*at]) {
            if on_path[at] {
                report_cycle(check, &path, at);
                break;
            }
            let Some(Tariff::Alias(alias)) = &items[at].value else { break };
            on_path[at] = true;
            path.push((at, alias));
            let thing = Thing { kind: "tariff", name: &items[at].name };
            next = check.find(&model.tariffs, NameKind::Tariff, thing, &alias.of);
        }
        for (at, alias) in path.into_iter().rev() {
            done[at] = true;
            on_path[at] = false;
            // One that is not there was reported on the way down the path.
            let Some(master) = model.tariffs.find(&alias.of.value) else { continue };
            currencies[at] = currencies[master];
            let thing = Thing { kind: "tariff", name: &items[at].name };
            if let Some(alias) = resolve(check, thing, alias, resolved.get(&master)).filter(|_| items[at].sound) {
                resolved.insert(at, alias);
            }
        }
    }
    currencies
}

fn report_cycle(check: &mut Check<'_, '_>, path: &[(usize, &Alias)], start: usize) {
    /// Names shown of a long way round.
    const MAX_NAMES: usize = 8;
    let items = check.model.tariffs.items();
    let cycle: Vec<_> = path.iter().skip_while(|(at, _)| *at != start).collect();
    let mut names: Vec<&str> = cycle.iter().take(MAX_NAMES).map(|(at, _)| &*items[*at].name).collect();
    if cycle.len() > MAX_NAMES {
        names.push("...");
    }
    let name = &items[start].name;
    let message = format!("tariff \"{name}\" is an alias of itself: {} -> {name}", names.join(" -> "));
    let span = cycle.first().map_or(items[start].span, |(_, alias)| alias.of.span);
    check.report(Diagnostic::new(Code::AliasCycle, span, message).label("leads back to the tariff"));
}

fn resolve(check: &mut Check<'_, '_>, thing: Thing<'_>, alias: &Alias, master: Option<&Resolved>) -> Option<Resolved> {
    let before = check.count();
    check.ascending(thing, "markup", alias.markups.iter().filter_map(|markup| markup.from.as_ref()));
    let master = master?;
    let mark_ups: Vec<Placed> = alias
        .markups
        .iter()
        .map(|markup| {
            let from = markup.from.map_or(BEGINNING, |from| from.value);
            let mut placed = Placed { mark_up: MarkUp { from, by_service: BTreeMap::new() }, spans: BTreeMap::new() };
            for written in &markup.prices {
                check_service(check, thing, &master.spec, &written.service);
                if let Some(price) = mark_up_price(check, thing, written, master.units) {
                    placed.mark_up.by_service.insert(written.service.value.clone(), price);
                    placed.spans.insert(written.service.value.clone(), written.price.span);
                }
            }
            placed
        })
        .collect();
    if check.count() != before {
        return None;
    }
    let plain: Vec<MarkUp> = mark_ups.iter().map(|placed| placed.mark_up.clone()).collect();
    let spec = master.spec.marked_up(thing.name, &plain);
    if spec.is_none() {
        blame(check, thing, &master.spec, &mark_ups);
        if check.count() == before {
            let message = format!("{thing}: the mark-ups lead to prices that cannot be represented");
            check.report(Diagnostic::new(Code::TooPrecise, alias.of.span, message));
        }
    }
    spec.map(|spec| Resolved { spec, units: master.units })
}

fn mark_up_price(
    check: &mut Check<'_, '_>,
    thing: Thing<'_>,
    written: &crate::model::WrittenMarkup,
    units: UnitSystem,
) -> Option<UnitPrice> {
    let price = &written.price;
    match price.value.per.base_units(units).and_then(|base| Least::One.check(base)) {
        Ok(per) => UnitPrice::new(price.value.amount, per),
        Err(error) => {
            let diagnostic = Diagnostic::new(error.code, price.span, format!("{thing}: markup: {}", error.reason));
            check.report(Diagnostic { help: error.help, ..diagnostic });
            None
        }
    }
}

/// A mark-up on a service without unit prices would never be charged.
fn check_service(check: &mut Check<'_, '_>, thing: Thing<'_>, master: &TariffSpec, service: &crate::model::Reference) {
    let rates = || master.versions.iter().flat_map(|version| &version.rates);
    let priced = || rates().filter(|rate| !unit_prices(&rate.pricing).is_empty()).map(|rate| &*rate.applies.service);
    if priced().any(|name| *name == *service.value) {
        return;
    }
    let message = format!("{thing}: markup: tariff \"{}\" has no unit price of \"{}\"", master.id, service.value);
    let diagnostic = Diagnostic::new(Code::MarkupWithoutRate, service.span, message).label("adds to nothing");
    check.report(diagnostic.did_you_mean(closest(&service.value, priced())));
}

fn unit_prices(pricing: &PricingSpec) -> Vec<UnitPrice> {
    match pricing {
        PricingSpec::Unit(price) => vec![*price],
        PricingSpec::Tiers(tiers) => tiers.iter().map(|tier| tier.price).collect(),
        PricingSpec::Bands(bands) => bands.iter().map(|band| band.price).collect(),
        PricingSpec::Package { .. } | PricingSpec::Blocked => Vec::new(),
    }
}

/// Finds the mark-ups that lead to a negative price or to one that cannot be held, each reported once.
fn blame(check: &mut Check<'_, '_>, thing: Thing<'_>, master: &TariffSpec, mark_ups: &[Placed]) {
    for (number, placed) in mark_ups.iter().enumerate() {
        let until = mark_ups.get(number + 1).map(|next| next.mark_up.from);
        for (service, added) in &placed.mark_up.by_service {
            let wrong = in_force(master, placed.mark_up.from, until).find_map(|(from, version)| {
                let rates = version.rates.iter().filter(|rate| rate.applies.service == *service);
                let prices =
                    rates.flat_map(|rate| unit_prices(&rate.pricing).into_iter().map(|price| (price, rate.unit)));
                prices.map(|(price, unit)| (price, unit, price.checked_add(added))).find_map(|(price, unit, sum)| {
                    let is_fine = sum.is_some_and(|sum| !sum.price().is_sign_negative() || sum.price().is_zero());
                    (!is_fine).then_some((from, price, unit, sum))
                })
            });
            // Most mark-ups are fine: only those that lead to a wrong price are named.
            let Some((from, price, unit, sum)) = wrong else { continue };
            let span = placed.spans[service];
            let show = |price: UnitPrice| format!("{} per {} {unit}", price.price(), price.per_units());
            let when = if from == BEGINNING { String::new() } else { format!(" from {from} on") };
            let before = format!("\"{service}\" at {} of tariff \"{}\"", show(price), master.id);
            let diagnostic = match sum {
                Some(sum) => {
                    let message = format!("{thing}: {before} becomes {}{when}", show(sum));
                    Diagnostic::new(Code::NegativeResult, span, message).label("takes off too much")
                }
                None => {
                    let message = format!("{thing}: {before} plus this mark-up cannot be represented{when}");
                    Diagnostic::new(Code::TooPrecise, span, message).help("state it per the same quantity as the price")
                }
            };
            check.report(diagnostic);
        }
    }
}

/// Versions in force at some moment of a range, with the first such moment.
fn in_force(
    master: &TariffSpec,
    from: Timestamp,
    until: Option<Timestamp>,
) -> impl Iterator<Item = (Timestamp, &rating::VersionSpec)> {
    master.versions.iter().enumerate().filter_map(move |(number, version)| {
        let end = master.versions.get(number + 1).map(|next| next.from);
        let meets = end.is_none_or(|end| from < end) && until.is_none_or(|until| version.from < until);
        meets.then_some((version.from.max(from), version))
    })
}
