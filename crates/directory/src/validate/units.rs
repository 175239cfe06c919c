//! In which unit each service is measured.

use hashbrown::HashMap;
use rating::{Unit, unit_of_service};

use super::Check;
use crate::diagnostic::{Code, Diagnostic};
use crate::model::{Reference, Spanned, Tariff};
use crate::read::Thing;
use crate::source::Span;

/// The unit of every service. `data`, `voice` and `sms` have theirs; any other takes that of its prices, the same everywhere.
#[derive(Debug, Default)]
pub(crate) struct Units {
    named: HashMap<Box<str>, Spanned<Unit>>,
}

impl Units {
    /// Collects the units that rates and elements name, and reports those that disagree.
    pub(crate) fn collect(check: &mut Check<'_, '_>) -> Units {
        let mut units = Units::default();
        let model = check.model;
        for (name, tariff) in model.tariffs.values() {
            let thing = Thing { kind: "tariff", name };
            match tariff {
                Tariff::Master(master) => {
                    for rate in master.versions.iter().flat_map(|version| &version.rates) {
                        units.add(check, thing, &rate.service, &rate.measured);
                    }
                }
                Tariff::Alias(alias) => {
                    for price in alias.markups.iter().flat_map(|markup| &markup.prices) {
                        let unit = price.price.value.per.unit().map(|value| Spanned { value, span: price.price.span });
                        units.add(check, thing, &price.service, unit.as_slice());
                    }
                }
            }
        }
        for (name, bundle) in model.bundles.values() {
            for element in &bundle.elements {
                units.add(check, Thing { kind: "bundle", name }, &element.service, &element.measured);
            }
        }
        units
    }

    /// The unit of a service; without any price of it, what is counted are units.
    pub(crate) fn of(&self, service: &str) -> Unit {
        self.named.get(service).map_or_else(|| unit_of_service(service), |unit| unit.value)
    }

    fn add(&mut self, check: &mut Check<'_, '_>, thing: Thing<'_>, service: &Reference, measured: &[Spanned<Unit>]) {
        let name = &*service.value;
        for unit in measured {
            let expected: (Unit, Option<Span>) = match name {
                "data" | "voice" | "sms" => (unit_of_service(name), None),
                _ => {
                    let first = self.named.entry(Box::from(name)).or_insert(*unit);
                    (first.value, Some(first.span))
                }
            };
            if unit.value != expected.0 {
                let message = format!("{thing}: \"{name}\" is measured in {}, not in {}", expected.0, unit.value);
                let diagnostic =
                    Diagnostic::new(Code::UnitMismatch, unit.span, message).label(format!("{} here", unit.value));
                check.report(match expected.1 {
                    Some(first) => diagnostic.related(first, format!("{} here", expected.0)),
                    None => diagnostic,
                });
                // One error for a rate says enough.
                return;
            }
        }
    }
}
