//! Rates that could match one record equally well (rule 9).

use hashbrown::{HashMap, HashSet};
use rating::{Grade, KeyFilter, Plmn};

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

/// A rate by its position, with a network of its zone.
type Placed = (usize, Option<Plmn>);

/// The rates of a slot, by the values of their keys: rates that differ in a key that both have never meet, and there may be 100,000 of them.
#[derive(Default)]
struct Others {
    /// The sets of keys that occur, as masks; there are at most ten of one size.
    masks: Vec<u8>,
    /// By the keys that a rate has, those of them that are looked at, and the values of these.
    by_values: HashMap<(u8, u8, u128), Vec<Placed>>,
}

impl Others {
    /// The rates whose keys have the same values as far as both have them.
    fn of_equal_keys(&self, keys: &KeyFilter) -> impl Iterator<Item = &Placed> {
        let own = keys.mask();
        let found = move |theirs: &u8| self.by_values.get(&(*theirs, own & theirs, keys.hash_of(own & theirs)));
        self.masks.iter().filter_map(found).flatten()
    }

    fn add(&mut self, keys: &KeyFilter, placed: Placed) {
        let own = keys.mask();
        if !self.masks.contains(&own) {
            self.masks.push(own);
        }
        for looked_at in (0..=own).filter(|looked_at| own & looked_at == *looked_at) {
            self.by_values.entry((own, looked_at, keys.hash_of(looked_at))).or_default().push(placed);
        }
    }
}

/// Reports rates of one version that overlap. Rates whose zone is not defined have been reported before.
pub(super) fn check_overlaps(check: &mut Check<'_, '_>, thing: Thing<'_>, rates: &[Rate]) {
    let model = check.model;
    let root = Zone { networks: Vec::new(), to: Vec::new() };
    let mut slots: HashMap<Slot<'_>, Others> = HashMap::new();
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
            for (other, theirs) in others.of_equal_keys(&rate.keys) {
                let meet = match (network, theirs) {
                    (Some(mine), Some(theirs)) => intersects(mine, *theirs),
                    (None, None) => true,
                    (Some(_), None) | (None, Some(_)) => false,
                };
                let first = &rates[*other];
                let is_news = *other != at && meet && compatible(&first.keys, &rate.keys);
                if is_news && reported.insert((*other, at)) {
                    check.report(overlap(thing, first, rate, prefix, network));
                    if reported.len() == MAX_PAIRS {
                        return;
                    }
                }
            }
            others.add(&rate.keys, (at, network));
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
