//! An immutable picture of the hierarchy that answers "who pays whom, by which tariff, as of this time".
//!
//! Lineages are worked out when the picture is made, one per account and stretch of time in which nothing on the path changed, so that
//! an answer is two look-ups and a binary search, whatever the number of accounts. Nothing here validates: [`SnapshotParts`] come from
//! validated reference data.

use crate::model::IdentityKind;
use hashbrown::HashMap;
use rating::leg::{Edge, Mode, RateChoice, Status};
use rating::{
    AccountId, AccountKind, BundleTemplate, Currency, SuspenseReason, Tariff, TimeZone, Timestamp, UsageRecord,
};
use std::sync::Arc;

/// Most edges of a lineage above an endpoint: a level is a byte, and level 0 is the endpoint's own. Longer ones are refused at load (`R157`).
pub const MAX_LEVELS: u8 = u8::MAX;

/// What a snapshot is made from: validated, with references by position.
#[derive(Debug, Default)]
pub struct SnapshotParts {
    /// All accounts.
    pub accounts: Vec<AccountFacts>,
    /// All endpoints.
    pub endpoints: Vec<EndpointFacts>,
    /// All bundle templates.
    pub bundles: Vec<Arc<BundleTemplate>>,
    /// Identities of endpoints and when they held.
    pub identities: Vec<IdentityFacts>,
}

/// An account over time.
#[derive(Debug)]
pub struct AccountFacts {
    /// Name.
    pub id: AccountId,
    /// Operator, reseller or customer.
    pub kind: AccountKind,
    /// Fixed.
    pub currency: Currency,
    /// Prepaid or postpaid.
    pub mode: Mode,
    /// Calendar months and bundle lengths.
    pub time_zone: TimeZone,
    /// What held from when on, ascending; the first holds from the beginning.
    pub slices: Vec<AccountSlice>,
}

/// What holds for an account from an instant on.
#[derive(Clone, Debug)]
pub struct AccountSlice {
    /// First instant.
    pub from: Timestamp,
    /// Position of the parent; `None` for the operator.
    pub parent: Option<u32>,
    /// What the parent charges by.
    pub tariff: Option<Arc<Tariff>>,
    /// For direct child customers without their own.
    pub default_customer_tariff: Option<Arc<Tariff>>,
    /// Own status.
    pub status: Status,
    /// Allowed sponsors; `None` is any.
    pub sponsors: Option<Arc<[Box<str>]>>,
    /// Allowed subscription types; `None` is any.
    pub subscription_types: Option<Arc<[Box<str>]>>,
    /// Custom properties.
    pub properties: Arc<[(Box<str>, Box<str>)]>,
}

/// An endpoint over time.
#[derive(Debug)]
pub struct EndpointFacts {
    /// Name.
    pub id: Arc<str>,
    /// What held from when on, ascending; the first holds from the beginning.
    pub slices: Vec<EndpointSlice>,
}

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
    pub digits: Box<str>,
    /// Position of the endpoint.
    pub endpoint: u32,
    /// First instant.
    pub from: Timestamp,
    /// First instant no longer.
    pub until: Option<Timestamp>,
}

/// One level of a lineage: the edge, and what prices it.
#[derive(Debug)]
pub struct LineageEdge {
    /// The edge as of the time.
    pub edge: Edge,
    tariff: TariffChoice,
}

/// Which tariff holds on an edge (rule 5).
#[derive(Clone, Debug)]
enum TariffChoice {
    Tariff(Arc<Tariff>),
    NoTariff,
    Missing,
}

/// The immutable picture.
#[derive(Debug)]
pub struct Snapshot {
    accounts: Vec<AccountFacts>,
    account_by_name: HashMap<AccountId, u32>,
    /// Per account: lineages from an instant on, ascending.
    lineages: Vec<Vec<(Timestamp, Vec<LineageEdge>)>>,
    endpoints: Vec<Endpoint>,
    endpoint_by_name: HashMap<Arc<str>, u32>,
    identities: [HashMap<Box<str>, Vec<Held>>; 3],
    bundles: HashMap<Arc<str>, Arc<BundleTemplate>>,
}

#[derive(Debug)]
struct Endpoint {
    id: Arc<str>,
    slices: Box<[Located]>,
}

#[derive(Debug)]
struct Located {
    from: Timestamp,
    customer: u32,
    is_active: bool,
    edge: Option<Box<LineageEdge>>,
}

#[derive(Debug)]
struct Held {
    endpoint: u32,
    from: Timestamp,
    until: Option<Timestamp>,
}

/// The answer for a record: who used, and the edges to be charged, lowest level first.
#[derive(Clone, Copy, Debug)]
pub struct Lineage<'a> {
    /// The endpoint, if the record came from one.
    pub endpoint: Option<&'a str>,
    /// Level 0, if the endpoint has a plan.
    pub own: Option<&'a LineageEdge>,
    /// Level 1 and up.
    pub above: &'a [LineageEdge],
}

impl<'a> Lineage<'a> {
    /// All edges, lowest level first.
    pub fn edges(&self) -> impl Iterator<Item = &'a LineageEdge> + use<'a> {
        self.own.into_iter().chain(self.above)
    }

    /// Whether an account pays or is paid on one of the edges.
    fn holds(&self, account: &str) -> bool {
        self.edges().any(|step| step.edge.payer.as_str() == account || step.edge.payee.as_str() == account)
    }
}

impl LineageEdge {
    /// The rate for a record at its event time (rules 5, 9, 14).
    pub fn rate_for(&self, usage: &UsageRecord) -> RateChoice<'_> {
        match &self.tariff {
            TariffChoice::Tariff(tariff) => match tariff.rate_for(usage) {
                Some(rate) => RateChoice::Rate(rate),
                None => RateChoice::Missing(SuspenseReason::NoRate),
            },
            TariffChoice::NoTariff => RateChoice::NoTariff,
            TariffChoice::Missing => RateChoice::Missing(SuspenseReason::TariffMissing),
        }
    }

    /// The tariff on the edge, for explanations.
    pub fn tariff(&self) -> Option<&Arc<Tariff>> {
        match &self.tariff {
            TariffChoice::Tariff(tariff) => Some(tariff),
            TariffChoice::NoTariff | TariffChoice::Missing => None,
        }
    }
}

impl Snapshot {
    /// Works out all lineages.
    pub fn new(parts: SnapshotParts) -> Snapshot {
        let SnapshotParts { accounts, endpoints, bundles, identities } = parts;
        let account_by_name = accounts.iter().zip(0..).map(|(account, at)| (account.id.clone(), at)).collect();
        let lineages = (0..accounts.len()).map(|account| lineages_of(&accounts, account)).collect();
        let endpoint_by_name = endpoints.iter().zip(0..).map(|(endpoint, at)| (endpoint.id.clone(), at)).collect();
        let endpoints = endpoints.into_iter().map(|endpoint| endpoint_of(&accounts, endpoint)).collect();
        let mut held: [HashMap<Box<str>, Vec<Held>>; 3] = Default::default();
        for IdentityFacts { kind, digits, endpoint, from, until } in identities {
            held[kind as usize].entry(digits).or_default().push(Held { endpoint, from, until });
        }
        let bundles = bundles.into_iter().map(|bundle| (bundle.id.clone(), bundle)).collect();
        Snapshot { accounts, account_by_name, lineages, endpoints, endpoint_by_name, identities: held, bundles }
    }

    /// A bundle template by name.
    pub fn bundle(&self, name: &str) -> Option<&Arc<BundleTemplate>> {
        self.bundles.get(name)
    }

    /// All accounts.
    pub fn accounts(&self) -> &[AccountFacts] {
        &self.accounts
    }

    /// How many endpoints there are.
    pub fn endpoint_count(&self) -> usize {
        self.endpoints.len()
    }

    /// Resolves a record: identity, endpoint, lineage as of the event time.
    ///
    /// # Errors
    /// `unknown_endpoint`, `identity_conflict` (detail I), `endpoint_inactive`.
    pub fn lineage_for(&self, usage: &UsageRecord) -> Result<Lineage<'_>, SuspenseReason> {
        let at = usage.event_time;
        let mut found: Option<u32> = None;
        let given = [
            usage.imsi.as_deref().map(|digits| self.holder(IdentityKind::Imsi, digits, at)),
            usage.iccid.as_deref().map(|digits| self.holder(IdentityKind::Iccid, digits, at)),
            usage.msisdn.as_deref().map(|digits| self.holder(IdentityKind::Msisdn, digits, at)),
            usage.endpoint_id.as_deref().map(|name| self.endpoint_by_name.get(name).copied()),
        ];
        for holder in given.into_iter().flatten().flatten() {
            if found.is_some_and(|other| other != holder) {
                return Err(SuspenseReason::IdentityConflict);
            }
            found = Some(holder);
        }
        let named = usage.account_id.as_deref();
        if let Some(endpoint) = found {
            return self.lineage_of_endpoint(endpoint, named, at);
        }
        // Identities that nobody has are not mended by an account beside them.
        let named = named.filter(|_| given.iter().all(Option::is_none)).ok_or(SuspenseReason::UnknownEndpoint)?;
        let Some(account) = self.account_by_name.get(&AccountId::new(named)) else {
            return self.lineage_of_endpoint_account(named, at);
        };
        let above = self.lineage_of_account(*account, at);
        // The operator pays nobody (rule 2): rated by no edge, its record would vanish.
        if above.is_empty() {
            return Err(SuspenseReason::UnknownEndpoint);
        }
        Ok(Lineage { endpoint: None, own: None, above })
    }

    /// An account that is named beside the endpoint has to be in its lineage, or one of the two is wrong (detail I).
    fn lineage_of_endpoint(
        &self,
        endpoint: u32,
        named: Option<&str>,
        at: Timestamp,
    ) -> Result<Lineage<'_>, SuspenseReason> {
        let endpoint = self.endpoints.get(endpoint as usize).ok_or(SuspenseReason::UnknownEndpoint)?;
        let after = endpoint.slices.partition_point(|slice| slice.from <= at);
        let slice = after.checked_sub(1).and_then(|last| endpoint.slices.get(last));
        let slice = slice.ok_or(SuspenseReason::UnknownEndpoint)?;
        let above = self.lineage_of_account(slice.customer, at);
        let lineage = Lineage { endpoint: Some(&endpoint.id), own: slice.edge.as_deref(), above };
        if named.is_some_and(|account| !lineage.holds(account)) {
            return Err(SuspenseReason::IdentityConflict);
        }
        if !slice.is_active {
            return Err(SuspenseReason::EndpointInactive);
        }
        Ok(lineage)
    }

    /// A record may name the account of an endpoint, and starts at the edge above it (detail o).
    fn lineage_of_endpoint_account(&self, account: &str, at: Timestamp) -> Result<Lineage<'_>, SuspenseReason> {
        let endpoint = account.split_once('/').and_then(|(_, endpoint)| self.endpoint_by_name.get(endpoint).copied());
        let lineage = self.lineage_of_endpoint(endpoint.ok_or(SuspenseReason::UnknownEndpoint)?, None, at)?;
        match lineage.own {
            Some(own) if own.edge.payer.as_str() == account => Ok(lineage),
            Some(_) | None => Err(SuspenseReason::UnknownEndpoint),
        }
    }

    fn holder(&self, kind: IdentityKind, digits: &str, at: Timestamp) -> Option<u32> {
        let held = self.identities[kind as usize].get(digits)?;
        let holds = |held: &&Held| held.from <= at && held.until.is_none_or(|until| at < until);
        held.iter().find(holds).map(|held| held.endpoint)
    }

    fn lineage_of_account(&self, account: u32, at: Timestamp) -> &[LineageEdge] {
        let slices = self.lineages.get(account as usize).map_or(&[][..], |slices| slices);
        let after = slices.partition_point(|(from, _)| *from <= at);
        after.checked_sub(1).and_then(|last| slices.get(last)).map_or(&[], |(_, edges)| edges)
    }

    /// The edge on which an account (or an endpoint account, `customer/endpoint`) pays at an instant: for commands.
    pub fn edge_of(&self, account: &AccountId, at: Timestamp) -> Option<&Edge> {
        if let Some((_, endpoint)) = account.as_str().split_once('/') {
            let endpoint = self.endpoints.get(*self.endpoint_by_name.get(endpoint)? as usize)?;
            let mut edges = endpoint.slices.iter().rev().filter(|slice| slice.from <= at);
            let edge = edges.find_map(|slice| slice.edge.as_deref().filter(|own| own.edge.payer == *account));
            return edge.map(|own| &own.edge);
        }
        let position = *self.account_by_name.get(account)?;
        self.lineage_of_account(position, at).first().map(|own| &own.edge)
    }

    /// Whether an endpoint is below an account (or is the account's own) at some moment from an instant on.
    pub fn is_below(&self, endpoint: &str, account: &AccountId, from: Timestamp) -> bool {
        let position = self.endpoint_by_name.get(endpoint);
        let Some(endpoint) = position.and_then(|position| self.endpoints.get(*position as usize)) else { return false };
        let ends = endpoint.slices.iter().skip(1).map(|next| next.from).chain([Timestamp::FAR_FUTURE]);
        endpoint.slices.iter().zip(ends).filter(|(_, end)| from < *end).any(|(slice, end)| {
            let start = slice.from.max(from);
            let is_own = slice.edge.as_deref().is_some_and(|own| own.edge.payer == *account);
            is_own
                || self.lineages_between(slice.customer, start, end).flatten().any(|step| step.edge.payer == *account)
        })
    }

    /// The lineages of an account that hold at some moment of a half-open range.
    fn lineages_between(&self, account: u32, start: Timestamp, end: Timestamp) -> impl Iterator<Item = &[LineageEdge]> {
        let slices = self.lineages.get(account as usize).map_or(&[][..], |slices| slices);
        let first = slices.partition_point(|(from, _)| *from <= start).saturating_sub(1);
        slices.iter().skip(first).take_while(move |(from, _)| *from < end).map(|(_, edges)| &**edges)
    }

    /// Whether `issuer` stands above the account at an instant (rule 23); the customer of an endpoint does (detail B).
    pub fn is_ancestor(&self, issuer: &str, account: &AccountId, at: Timestamp) -> bool {
        let owner = AccountId::new(account.owner());
        let is_own_customer = owner != *account && owner.as_str() == issuer;
        let path = self.account_by_name.get(&owner).map_or(&[][..], |position| self.lineage_of_account(*position, at));
        is_own_customer || path.iter().any(|step| step.edge.payee.as_str() == issuer)
    }
}

fn endpoint_of(accounts: &[AccountFacts], facts: EndpointFacts) -> Endpoint {
    let located = |slice: EndpointSlice| {
        let customer = &accounts[slice.customer as usize];
        let edge = slice.plan.map(|plan| {
            let edge = Edge {
                payer: AccountId::of_endpoint(customer.id.as_str(), &facts.id),
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
            Box::new(LineageEdge { edge, tariff })
        });
        Located { from: slice.from, customer: slice.customer, is_active: slice.is_active, edge }
    };
    let slices = facts.slices.into_iter().map(located).collect();
    Endpoint { id: facts.id, slices }
}

fn slice_at(account: &AccountFacts, at: Timestamp) -> Option<&AccountSlice> {
    let after = account.slices.partition_point(|slice| slice.from <= at);
    account.slices.get(after.checked_sub(1)?)
}

/// The lineages of one account: a new one whenever anything on the path changes.
fn lineages_of(accounts: &[AccountFacts], start: usize) -> Vec<(Timestamp, Vec<LineageEdge>)> {
    let mut instants: Vec<Timestamp> = Vec::new();
    let mut reachable = vec![start];
    let mut next = 0;
    while let Some(&account) = reachable.get(next) {
        next += 1;
        for slice in &accounts[account].slices {
            instants.push(slice.from);
            if let Some(parent) = slice.parent.map(|parent| parent as usize)
                && !reachable.contains(&parent)
            {
                reachable.push(parent);
            }
        }
    }
    instants.sort_unstable();
    instants.dedup();
    instants.into_iter().map(|at| (at, walk_up(accounts, start, at))).collect()
}

fn walk_up(accounts: &[AccountFacts], start: usize, at: Timestamp) -> Vec<LineageEdge> {
    let mut edges = Vec::new();
    let mut payer = start;
    // A validated hierarchy has no cycle and no more levels; the bound keeps this total all the same.
    for level in 1..=MAX_LEVELS {
        let account = &accounts[payer];
        let Some((slice, parent)) = slice_at(account, at).and_then(|slice| Some((slice, slice.parent? as usize)))
        else {
            break;
        };
        let payee = &accounts[parent];
        let edge = Edge {
            payer: account.id.clone(),
            payer_kind: account.kind,
            payee: payee.id.clone(),
            level,
            currency: account.currency,
            mode: account.mode,
            status: slice.status,
            time_zone: account.time_zone.clone(),
            sponsors: slice.sponsors.clone(),
            subscription_types: slice.subscription_types.clone(),
            properties: slice.properties.clone(),
        };
        edges.push(LineageEdge { edge, tariff: tariff_of(account, slice, slice_at(payee, at)) });
        payer = parent;
    }
    edges
}

/// Rule 5: a reseller's own tariff or free by intent; a customer's own, else its direct parent's default, else missing.
fn tariff_of(account: &AccountFacts, slice: &AccountSlice, payee: Option<&AccountSlice>) -> TariffChoice {
    if let Some(tariff) = &slice.tariff {
        return TariffChoice::Tariff(tariff.clone());
    }
    match account.kind {
        AccountKind::Reseller | AccountKind::Operator => TariffChoice::NoTariff,
        AccountKind::Customer | AccountKind::Endpoint => payee
            .and_then(|payee| payee.default_customer_tariff.clone())
            .map_or(TariffChoice::Missing, TariffChoice::Tariff),
    }
}
