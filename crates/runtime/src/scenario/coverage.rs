//! Which rates, aliases and bundle elements of the reference data were used by no row.
//!
//! A rate counts as used if a charge names it: the charge's segments say tariff, version and zone, and among rates that these do
//! not tell apart the one that matches the record is taken. A blocked rate counts if something waits as `blocked` because of it. An element counts if
//! something was drawn from it.

use crate::engine::{BatchInput, Engine};
use directory::model::{Model, Pricing, Tariff};
use rating::Timestamp;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Something of the reference data that a scenario may use.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Item {
    /// A rate of a tariff's version: its position among the rates of the service.
    Rate {
        /// Tariff.
        tariff: String,
        /// Start of the version.
        version: Timestamp,
        /// Service.
        service: String,
        /// Position among the rates of this service in this version, from 0.
        position: usize,
    },
    /// A tariff that follows another.
    Alias(String),
    /// An element of a bundle, by its position from 0.
    Element {
        /// Bundle.
        bundle: String,
        /// Position.
        position: usize,
    },
}

/// Where an item stands and how often it was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// File.
    pub file: String,
    /// Line.
    pub line: usize,
    /// What tells it apart, for a person.
    pub label: String,
    /// How many charges or suspended legs used it.
    pub uses: u64,
}

/// Tells equal names apart: the file of the reference data or, where it stands in a scenario, that scenario.
pub type Scope = String;

/// What there is, and how often it was used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// By item.
    pub items: BTreeMap<(Scope, Item), Place>,
    masters: BTreeMap<String, String>,
}

/// Which rate a leg would be priced by, by (id of the record, level).
#[derive(Debug, Default)]
pub(super) struct Used {
    rates: BTreeMap<(String, i64), (String, Item)>,
}

impl Coverage {
    /// Everything of one document of reference data, unused. `text` is the document, for line numbers.
    pub fn of(scope: &str, file: &str, text: &str, model: &Model) -> Coverage {
        let mut coverage = Coverage::default();
        let breaks: Vec<usize> = memchr::memchr_iter(b'\n', text.as_bytes()).collect();
        let line = |start: u32| breaks.partition_point(|at| *at < start as usize) + 1;
        let mut add = |item: Item, start: u32, label: String| {
            let place = Place { file: file.to_owned(), line: line(start), label, uses: 0 };
            coverage.items.insert((scope.to_owned(), item), place);
        };
        for tariff in model.tariffs.items() {
            let name = tariff.name.to_string();
            match &tariff.value {
                Some(Tariff::Master(master)) => {
                    for version in &master.versions {
                        let mut positions: BTreeMap<&str, usize> = BTreeMap::new();
                        for rate in &version.rates {
                            let position = positions.entry(&rate.service.value).or_default();
                            let from = version.from.value;
                            let zone = rate.zone.as_ref().map_or("root", |zone| &zone.value);
                            let blocked = if matches!(rate.pricing, Pricing::Blocked) { " (blocked)" } else { "" };
                            let label = format!("{name}@{from} {} {zone}{blocked}", rate.service.value);
                            let service = rate.service.value.to_string();
                            let item = Item::Rate { tariff: name.clone(), version: from, service, position: *position };
                            add(item, rate.span.start, label);
                            *position += 1;
                        }
                    }
                }
                Some(Tariff::Alias(alias)) => {
                    let label = format!("{name} (alias of {})", alias.of.value);
                    add(Item::Alias(name), tariff.span.start, label);
                }
                None => {}
            }
        }
        for bundle in model.bundles.items() {
            let elements = bundle.value.as_ref().map_or(&[][..], |bundle| &bundle.elements);
            for (position, element) in elements.iter().enumerate() {
                let label = format!("{} element {} ({})", bundle.name, position + 1, element.service.value);
                let item = Item::Element { bundle: bundle.name.to_string(), position };
                add(item, element.span.start, label);
            }
        }
        coverage.masters = masters(model);
        coverage
    }

    /// Adds another's items and uses. What stands in several places is told once, at its first one.
    pub fn add(&mut self, other: Coverage) {
        for (item, place) in other.items {
            let uses = place.uses;
            self.items.entry(item).or_insert(Place { uses: 0, ..place }).uses += uses;
        }
        self.masters.extend(other.masters);
    }

    /// What no row used, in the order of names.
    pub fn unused(&self) -> impl Iterator<Item = &Place> {
        self.items.values().filter(|place| place.uses == 0)
    }

    /// Counts what charges and suspended legs used.
    pub(super) fn mark(&mut self, scope: &str, used: &Used, charges: &[Value], suspense: &[Value]) {
        let mut seen = BTreeSet::new();
        for charge in charges {
            let leg = leg_of(charge);
            for segment in charge.get("segments").and_then(Value::as_array).into_iter().flatten() {
                let text = |field: &str| segment.get(field).and_then(Value::as_str);
                if let Some(tariff) = text("tariff_id") {
                    if let Some((_, item)) = leg.as_ref().and_then(|leg| used.rates.get(leg)) {
                        seen.insert(item.clone());
                    }
                    seen.extend(self.aliases_of(tariff));
                }
                if let (Some(bundle), Some(allowance)) = (text("bundle_id"), text("allowance_id"))
                    && let Some(position) = allowance.rsplit(':').next().and_then(|last| last.parse().ok())
                    && text("source") == Some("allowance")
                {
                    seen.insert(Item::Element { bundle: bundle.to_owned(), position });
                }
            }
            for item in std::mem::take(&mut seen) {
                self.count(scope, item);
            }
        }
        for waiting in suspense {
            let is_blocked = waiting.get("reason").and_then(Value::as_str) == Some("blocked");
            let Some((tariff, item)) = leg_of(waiting).filter(|_| is_blocked).and_then(|leg| used.rates.get(&leg))
            else {
                continue;
            };
            for item in self.aliases_of(tariff).into_iter().chain([item.clone()]) {
                self.count(scope, item);
            }
        }
    }

    fn count(&mut self, scope: &str, item: Item) {
        if let Some(place) = self.items.get_mut(&(scope.to_owned(), item)) {
            place.uses += 1;
        }
    }

    /// The alias itself and all that it follows, but for the master.
    fn aliases_of(&self, tariff: &str) -> Vec<Item> {
        let mut aliases = Vec::new();
        let mut name = tariff;
        while let Some(of) = self.masters.get(name) {
            aliases.push(Item::Alias(name.to_owned()));
            name = of;
            if aliases.len() > self.masters.len() {
                break;
            }
        }
        aliases
    }
}

/// What each alias follows.
fn masters(model: &Model) -> BTreeMap<String, String> {
    let aliases = model.tariffs.values().filter_map(|(name, tariff)| match tariff {
        Tariff::Alias(alias) => Some((name.to_owned(), alias.of.value.to_string())),
        Tariff::Master(_) => None,
    });
    aliases.collect()
}

fn leg_of(message: &Value) -> Option<(String, i64)> {
    let id = message.get("usage_id").and_then(Value::as_str)?;
    Some((id.to_owned(), message.get("level").and_then(Value::as_i64)?))
}

impl Used {
    /// Notes which rates the legs of a batch would be priced by.
    pub(super) fn look(&mut self, engine: &Engine, batch: BatchInput<'_>, model: &Model) {
        let masters = masters(model);
        for position in 0..batch.records.len() {
            let Ok(record) = serde_json::from_slice::<Value>(batch.records.get(position)) else { continue };
            let text = |field: &str| record.get(field).and_then(Value::as_str);
            let (Some(id), Some(service)) = (text("id"), text("service")) else { continue };
            for leg in engine.trace(batch, position).unwrap_or_default() {
                let Some(at) = leg.rates.iter().position(|rate| rate.rejected.is_none()) else { continue };
                let Some((tariff, version)) = leg.tariff else { continue };
                if let Some(item) = master_rate(model, &masters, &tariff, version, service, at) {
                    self.rates.insert((id.to_owned(), i64::from(leg.level)), (tariff, item));
                }
            }
        }
    }
}

/// The rate as written: an alias has the rates of its master's version of that time, in the same order.
fn master_rate(
    model: &Model,
    masters: &BTreeMap<String, String>,
    tariff: &str,
    version: Timestamp,
    service: &str,
    position: usize,
) -> Option<Item> {
    let mut name = tariff;
    for _ in 0..=masters.len() {
        match model.tariffs.get(name)? {
            Tariff::Alias(alias) => name = &alias.of.value,
            Tariff::Master(master) => {
                let from = master.versions.iter().map(|version| version.from.value).rfind(|from| *from <= version)?;
                let (tariff, service) = (name.to_owned(), service.to_owned());
                return Some(Item::Rate { tariff, version: from, service, position });
            }
        }
    }
    None
}

impl fmt::Display for Coverage {
    /// What was used of how much, and the places that no row used.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unused: Vec<&Place> = self.unused().collect();
        writeln!(f, "{} of {} rates, aliases and elements used", self.items.len() - unused.len(), self.items.len())?;
        for place in unused {
            writeln!(f, "{}:{}: no row uses {}", place.file, place.line, place.label)?;
        }
        Ok(())
    }
}
