//! Rates that could match one record equally well (rule 9).

use hashbrown::{HashMap, HashSet};
use rating::{Grade, Plmn};

use super::Check;
use crate::diagnostic::{Code, Diagnostic};
use crate::model::{Rate, Zone, compatible};
use crate::read::Thing;
use crate::value::intersects;

/// Most pairs reported of one version: one wrong zone can collide with every other rate.
const MAX_PAIRS: usize = 20;

/// Where two rates of equal specificity have to meet if they overlap at all.
#[derive(PartialEq, Eq, Hash)]
struct Slot<'m> {
    service: &'m str,
    keys: u8,
    /// Equal prefix lengths match the same number only if the prefixes are equal.
    prefix: Option<&'m str>,
    grade: Grade,
    /// The network; for countries and groups the country, because a group can hold both.
    network: Option<Plmn>,
}

/// Reports rates of one version that overlap. Rates whose zone is not defined have been reported before.
pub(super) fn check_overlaps(check: &mut Check<'_, '_>, thing: Thing<'_>, rates: &[Rate]) {
    let model = check.model;
    let root = Zone { networks: Vec::new(), to: Vec::new() };
    let mut slots: HashMap<Slot<'_>, Vec<(usize, Option<Plmn>)>> = HashMap::new();
    let mut reported: HashSet<(usize, usize)> = HashSet::new();
    for (at, rate) in rates.iter().enumerate() {
        let zone = match &rate.zone {
            Some(name) if &*name.value != "root" => model.zones.get(&name.value),
            Some(_) | None => Some(&root),
        };
        let Some(zone) = zone else { continue };
        let grade = zone.grade();
        for (prefix, network) in places(zone) {
            let slot = Slot {
                service: &rate.service.value,
                keys: rate.keys.count(),
                prefix,
                grade,
                network: network.map(|network| if grade == Grade::Network { network } else { network.country() }),
            };
            let others = slots.entry(slot).or_default();
            for (other, theirs) in others.iter() {
                let meet = match (network, theirs) {
                    (Some(mine), Some(theirs)) => intersects(mine, *theirs),
                    (None, None) => true,
                    (Some(_), None) | (None, Some(_)) => false,
                };
                let first = &rates[*other];
                let is_news = *other != at && meet && compatible(&first.keys, &rate.keys);
                if is_news && reported.len() < MAX_PAIRS && reported.insert((*other, at)) {
                    check.report(overlap(thing, first, rate, prefix, network));
                }
            }
            others.push((at, network));
        }
    }
}

/// Every called prefix (or none) with every network (or none) of a zone.
fn places(zone: &Zone) -> impl Iterator<Item = (Option<&str>, Option<Plmn>)> {
    let prefixes = zone.to.iter().map(|prefix| Some(&*prefix.value)).chain(zone.to.is_empty().then_some(None));
    prefixes.flat_map(|prefix| {
        let networks = zone.networks.iter().map(|network| Some(network.value));
        networks.chain(zone.networks.is_empty().then_some(None)).map(move |network| (prefix, network))
    })
}

fn overlap(thing: Thing<'_>, first: &Rate, second: &Rate, prefix: Option<&str>, network: Option<Plmn>) -> Diagnostic {
    let zone = |rate: &Rate| rate.zone.as_ref().map_or("root".to_owned(), |zone| zone.value.to_string());
    let (a, b) = (zone(first), zone(second));
    let zones = if a == b { format!("zone \"{a}\"") } else { format!("zones \"{a}\" and \"{b}\"") };
    let mut place = network.map_or(String::new(), |network| format!(" on {network}"));
    if let Some(prefix) = prefix {
        place.push_str(&format!(" to {prefix}"));
    }
    let service = &second.service.value;
    let message = format!("{thing}: two rates of {zones} match \"{service}\"{place} equally well");
    Diagnostic::new(Code::OverlappingRates, second.span, message)
        .label("the second")
        .related(first.span, "the first")
        .help("give one of them a further key, take the network or prefix out of one zone, or remove one")
}
