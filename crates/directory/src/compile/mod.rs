//! From the validated model to what rates: the specifications of crate `rating` and a snapshot.
//!
//! Owns the step from names to positions and shared values. Runs in two halves, because validation needs the first one: tariffs are compiled
//! while checks still run ([`Tariffs`]), everything else only once nothing is wrong ([`snapshot()`]).

mod alias;
mod tariff;

use std::sync::Arc;

use rating::bundle::ElementClass;
use rating::{AccountId, BundleTemplate, Element, Tariff, UsageMatch, Zone};

pub(crate) use tariff::Tariffs;

use crate::model::{Bundle, Catalog, Endpoint, IdentityKind, Model, Properties, Reference};
use crate::snapshot::{
    self, AccountFacts, AccountSlice, CatalogParts, EndpointSlice, Endpoints, Grant, IdentityFacts, PlanFacts, Snapshot,
};
use crate::validate::{Held, Hierarchy, Units};

/// Compiled zones by the positions of their definitions, and the built-in one.
pub(crate) struct Zones {
    root: Arc<Zone>,
    defined: Vec<Option<Arc<Zone>>>,
}

impl Zones {
    /// Compiles all zones that could be read.
    pub(crate) fn compile(model: &Model) -> Zones {
        let compiled = model.zones.items().iter().map(|item| {
            let zone = item.value.as_ref()?;
            let networks = zone.networks.iter().map(|network| network.value).collect();
            let prefixes = zone.to.iter().map(|prefix| prefix.value.clone()).collect();
            Some(Arc::new(Zone::new(&item.name, networks, prefixes)))
        });
        Zones { root: Arc::new(Zone::root()), defined: compiled.collect() }
    }

    /// The zone of this name; none given is root.
    fn named(&self, model: &Model, name: Option<&Reference>) -> Option<Arc<Zone>> {
        match name {
            Some(name) if &*name.value != "root" => self.defined[model.zones.find(&name.value)?].clone(),
            Some(_) | None => Some(self.root.clone()),
        }
    }
}

/// Everything that validation worked out and compiling uses.
pub(crate) struct Found<'m> {
    pub(crate) zones: Zones,
    pub(crate) units: Units,
    pub(crate) tariffs: Tariffs,
    pub(crate) hierarchy: Hierarchy<'m>,
    pub(crate) held: [Vec<Held>; 3],
}

/// The snapshot of a model without errors. Definitions that refer to something that is not there are left out; validation has made sure
/// that there are none.
pub(crate) fn snapshot(model: &Model, found: &Found<'_>, grants: Vec<Grant>, version: Arc<str>) -> Snapshot {
    let bundles =
        model.bundles.values().filter_map(|(name, bundle)| template(model, found, name, bundle)).map(Arc::new);
    let tariffs = model.tariffs.items().iter().zip(found.tariffs.all());
    let tariffs = tariffs.filter_map(|(item, tariff)| Some((Arc::from(&*item.name), tariff.clone()?)));
    let parts = CatalogParts {
        accounts: accounts(model, found),
        bundles: bundles.collect(),
        tariffs: tariffs.collect(),
        grants,
    };
    let catalog = snapshot::Catalog::new(parts);
    let mut endpoints = Endpoints::default();
    endpoints.reserve(model.endpoints.len());
    // By the positions of their definitions, of which every one is there.
    for (name, endpoint) in model.endpoints.values() {
        let tariff = |name: &Reference| found.tariffs.compiled(model, name);
        let slices = slices(endpoint, |customer| position(&model.accounts, customer), tariff);
        let _ = endpoints.add(&catalog, Arc::from(name), slices.flatten());
    }
    for (kind, held) in IdentityKind::ALL.into_iter().zip(&found.held) {
        for Held { digits, from, until, endpoint, .. } in held {
            let (digits, from, until, endpoint) = (*digits, *from, *until, *endpoint);
            endpoints.add_identity(IdentityFacts { kind, digits, endpoint, from, until });
        }
    }
    Snapshot::new(Arc::new(catalog), endpoints, version)
}

fn accounts(model: &Model, found: &Found<'_>) -> Vec<AccountFacts> {
    let hierarchy = &found.hierarchy;
    let tariff = |name: Option<&Reference>| name.and_then(|name| found.tariffs.compiled(model, name));
    let texts = |list: Option<&[Box<str>]>| list.map(|list| Arc::from(list.to_vec()));
    let facts = model.accounts.values().zip(&hierarchy.states).map(|((name, account), states)| {
        let slices = states.iter().map(|(from, state)| AccountSlice {
            from: *from,
            parent: state.parent.and_then(|parent| position(&model.accounts, parent)),
            tariff: tariff(state.tariff),
            default_customer_tariff: tariff(state.default_customer_tariff),
            status: state.status,
            sponsors: texts(state.sponsors),
            subscription_types: texts(state.subscription_types),
            properties: Arc::from(Properties::clone(state.properties)),
        });
        AccountFacts {
            id: AccountId::new(name),
            kind: account.kind.value,
            currency: account.currency.value,
            mode: account.mode,
            time_zone: account.time_zone.clone(),
            slices: slices.collect(),
        }
    });
    facts.collect()
}

fn position<T>(catalog: &Catalog<T>, name: &Reference) -> Option<u32> {
    u32::try_from(catalog.find(&name.value)?).ok()
}

fn template(model: &Model, found: &Found<'_>, name: &str, bundle: &Bundle) -> Option<BundleTemplate> {
    let elements: Option<Vec<Element>> = bundle
        .elements
        .iter()
        .map(|element| {
            let zone = found.zones.named(model, element.zone.as_ref())?;
            Some(Element {
                priority: element.priority,
                applies: UsageMatch { service: element.service.value.clone(), zone, keys: element.keys.clone() },
                unit: found.units.of(&element.service.value),
                amount: element.amount,
                class: if element.fair_use { ElementClass::FairUse } else { ElementClass::Standard },
            })
        })
        .collect();
    Some(BundleTemplate {
        id: Arc::from(name),
        currency: bundle.currency,
        fee: bundle.price,
        starts: bundle.starts,
        lasts: bundle.lasts,
        scope: bundle.scope,
        promotional: bundle.promotional,
        warn_at: bundle.warn_at.clone().into(),
        elements: elements?.into(),
    })
}

/// Returns the slices of an endpoint, each with the time from which it holds; `None` where it refers to something that is not there.
pub(crate) fn slices<'e>(
    endpoint: &'e Endpoint,
    customer: impl Fn(&'e Reference) -> Option<u32> + 'e,
    tariff: impl Fn(&'e Reference) -> Option<Arc<Tariff>> + 'e,
) -> impl Iterator<Item = Option<EndpointSlice>> + 'e {
    endpoint.states().into_iter().map(move |(from, state)| {
        let plan = state.plan.map(|plan| PlanFacts { tariff: plan.tariff.as_ref().and_then(&tariff), mode: plan.mode });
        Some(EndpointSlice { from, customer: customer(state.customer)?, is_active: state.is_active(), plan })
    })
}
