//! Endpoints and who held which identity when: all of them, or those that a batch asks for.

use super::catalog::{Catalog, LineageEdge, TariffChoice};
use crate::model::IdentityKind;
use crate::value::Digits;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use rating::leg::{Edge, Mode, Status};
use rating::{AccountId, AccountKind, Tariff, Timestamp};
use smallvec::SmallVec;
use std::sync::Arc;

/// What holds for an endpoint from an instant on.
#[derive(Clone, Debug)]
pub struct EndpointSlice {
    /// First instant.
    pub from: Timestamp,
    /// Position of the customer account.
    pub customer: u32,
    /// Active, with a customer and an endpoint group (rule 7).
    pub is_active: bool,
    /// The plan that its customer gave it (rule 1).
    pub plan: Option<PlanFacts>,
}

/// A plan: what makes an endpoint a payer.
#[derive(Clone, Debug)]
pub struct PlanFacts {
    /// Tariff of the endpoint's edge; none is `tariff_missing` (detail m).
    pub tariff: Option<Arc<Tariff>>,
    /// Prepaid or postpaid.
    pub mode: Mode,
}

/// An identity and when an endpoint held it: half-open.
#[derive(Debug)]
pub struct IdentityFacts {
    /// Which.
    pub kind: IdentityKind,
    /// Its digits.
    pub digits: Digits,
    /// Position of the endpoint.
    pub endpoint: u32,
    /// First instant.
    pub from: Timestamp,
    /// First instant no longer.
    pub until: Option<Timestamp>,
}

/// Endpoints, found by name and by identity.
#[derive(Debug, Default)]
pub struct Endpoints {
    all: Vec<Endpoint>,
    by_name: HashMap<Arc<str>, u32>,
    by_identity: [HashMap<Digits, SmallVec<[Held; 1]>>; 3],
    /// Almost always none.
    unreadable: Option<Box<Unreadable>>,
}

/// What is found and cannot be read, and why.
#[derive(Debug, Default)]
struct Unreadable {
    by_name: HashMap<Box<str>, Arc<str>>,
    by_identity: HashMap<(IdentityKind, Digits), Arc<str>>,
}

#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) id: Arc<str>,
    pub(super) slices: Box<[Located]>,
}

#[derive(Debug)]
pub(super) struct Located {
    pub(super) from: Timestamp,
    pub(super) customer: u32,
    pub(super) is_active: bool,
    pub(super) edge: Option<Box<LineageEdge>>,
}

#[derive(Debug)]
struct Held {
    endpoint: u32,
    from: Timestamp,
    until: Option<Timestamp>,
}

impl Endpoints {
    /// Adds an endpoint below accounts of a catalog, unless it is there; its position. `slices` ascend, the first from the beginning.
    pub(crate) fn add(
        &mut self,
        catalog: &Catalog,
        name: Arc<str>,
        slices: impl Iterator<Item = EndpointSlice>,
    ) -> Result<u32, u32> {
        let next = self.all.len() as u32;
        match self.by_name.entry(name) {
            Entry::Occupied(there) => Err(*there.get()),
            Entry::Vacant(place) => {
                let name = place.key().clone();
                place.insert(next);
                let slices = slices.map(|slice| located(catalog, &name, slice)).collect();
                self.all.push(Endpoint { id: name, slices });
                Ok(next)
            }
        }
    }

    /// Notes that an endpoint holds an identity for some time.
    pub(crate) fn add_identity(&mut self, identity: IdentityFacts) {
        let IdentityFacts { kind, digits, endpoint, from, until } = identity;
        self.by_identity[kind as usize].entry(digits).or_default().push(Held { endpoint, from, until });
    }

    /// Notes that what is found by a name cannot be read, and why.
    #[cfg(feature = "store")]
    pub(crate) fn add_unreadable_name(&mut self, name: &str, why: Arc<str>) {
        self.unreadable.get_or_insert_default().by_name.insert(name.into(), why);
    }

    /// Notes that what is found by an identity cannot be read, and why.
    #[cfg(feature = "store")]
    pub(crate) fn add_unreadable_identity(&mut self, kind: IdentityKind, digits: Digits, why: Arc<str>) {
        self.unreadable.get_or_insert_default().by_identity.insert((kind, digits), why);
    }

    /// Why what is found by a name cannot be read, if it cannot.
    pub(super) fn flaw_of_name(&self, name: &str) -> Option<&str> {
        self.unreadable.as_ref()?.by_name.get(name).map(|why| &**why)
    }

    /// Why what is found by an identity cannot be read, if it cannot and nobody else holds it at that instant: two never do.
    pub(super) fn flaw_of_identity(&self, kind: IdentityKind, digits: Digits, at: Timestamp) -> Option<&str> {
        let why = self.unreadable.as_ref()?.by_identity.get(&(kind, digits))?;
        self.holder(kind, digits, at).is_none().then_some(&**why)
    }

    /// Whether everything that was found could be read.
    pub(super) fn are_readable(&self) -> bool {
        self.unreadable.is_none()
    }

    /// Makes room.
    pub(crate) fn reserve(&mut self, endpoints: usize) {
        self.all.reserve(endpoints);
        self.by_name.reserve(endpoints);
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// The position of an endpoint by its name.
    pub(crate) fn position_of(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Endpoint> {
        self.all.iter()
    }

    /// An endpoint by its position.
    pub(super) fn get(&self, position: u32) -> Option<&Endpoint> {
        self.all.get(position as usize)
    }

    /// An endpoint by its name.
    pub(super) fn named(&self, name: &str) -> Option<&Endpoint> {
        self.get(self.position_of(name)?)
    }

    /// The position of the endpoint that holds an identity at an instant, as far as endpoints were added.
    pub(crate) fn holder(&self, kind: IdentityKind, digits: Digits, at: Timestamp) -> Option<u32> {
        let held = self.by_identity[kind as usize].get(&digits)?;
        let holds = |held: &&Held| held.from <= at && held.until.is_none_or(|until| at < until);
        held.iter().find(holds).map(|held| held.endpoint)
    }
}

fn located(catalog: &Catalog, endpoint: &str, slice: EndpointSlice) -> Located {
    let customer = &catalog.accounts()[slice.customer as usize];
    let edge = slice.plan.map(|plan| {
        let edge = Edge {
            payer: AccountId::of_endpoint(customer.id.as_str(), endpoint),
            payer_kind: AccountKind::Endpoint,
            payee: customer.id.clone(),
            level: 0,
            currency: customer.currency,
            mode: plan.mode,
            status: Status::Active,
            time_zone: customer.time_zone.clone(),
            sponsors: None,
            subscription_types: None,
            properties: Arc::from([]),
        };
        let tariff = plan.tariff.map_or(TariffChoice::Missing, TariffChoice::Tariff);
        Box::new(LineageEdge { edge, tariff, path: None })
    });
    Located { from: slice.from, customer: slice.customer, is_active: slice.is_active, edge }
}
