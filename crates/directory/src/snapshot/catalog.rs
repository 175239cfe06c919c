//! Accounts with their lineages worked out, bundles and tariffs: what is held whole, whatever the number of endpoints.

use hashbrown::{HashMap, HashSet};
use rating::leg::{Edge, Mode, RateChoice, Status};
use rating::{
    AccountId, AccountKind, BundleTemplate, Currency, SuspenseReason, Tariff, TimeZone, Timestamp, UsageRecord,
};
use std::sync::Arc;

/// Most edges of a lineage above an endpoint: a level is a byte, and level 0 is the endpoint's own. Longer ones are refused at load (`R157`).
pub const MAX_LEVELS: u8 = u8::MAX;

/// What a catalog is made from: validated, with references by position.
#[derive(Debug, Default)]
pub struct CatalogParts {
    /// All accounts.
    pub accounts: Vec<AccountFacts>,
    /// All bundle templates.
    pub bundles: Vec<Arc<BundleTemplate>>,
    /// All tariffs by their names.
    pub tariffs: Vec<(Arc<str>, Arc<Tariff>)>,
    /// Bundles granted in accounts, and in plans of the endpoints that are at hand, by their moments; for one moment in the order written.
    pub grants: Vec<Grant>,
}

/// A bundle granted in reference data: the command `reference:ACCOUNT:BUNDLE[:ENDPOINT]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Id of the command, and so of the instance.
    pub command_id: String,
    /// The payer; an endpoint account is `customer/endpoint`.
    pub account: String,
    /// Name of the bundle.
    pub bundle: String,
    /// The endpoint, for scope `endpoint`.
    pub endpoint: Option<String>,
    /// Effective time.
    pub at: Timestamp,
}

impl Grant {
    /// One with the id that follows from the rest.
    pub(crate) fn new(account: String, bundle: &str, endpoint: Option<&str>, at: Timestamp) -> Grant {
        let command_id = match endpoint {
            Some(endpoint) => format!("reference:{account}:{bundle}:{endpoint}"),
            None => format!("reference:{account}:{bundle}"),
        };
        Grant { command_id, account, bundle: bundle.to_owned(), endpoint: endpoint.map(str::to_owned), at }
    }
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

/// One level of a lineage: the edge, and what prices it.
#[derive(Debug)]
pub struct LineageEdge {
    /// The edge as of the time.
    pub edge: Edge,
    pub(super) tariff: TariffChoice,
    /// The names from the root down to the payer, with slashes between; none for the edge of an endpoint, whose customer has it.
    pub(super) path: Option<Arc<str>>,
}

/// Which tariff holds on an edge (rule 5).
#[derive(Clone, Debug)]
pub(super) enum TariffChoice {
    Tariff(Arc<Tariff>),
    NoTariff,
    Missing,
}

/// Everything but endpoints.
#[derive(Debug)]
pub struct Catalog {
    accounts: Vec<AccountFacts>,
    account_by_name: HashMap<AccountId, u32>,
    /// Per account: lineages from an instant on, ascending.
    lineages: Vec<Vec<(Timestamp, Vec<LineageEdge>)>>,
    bundles: HashMap<Arc<str>, Arc<BundleTemplate>>,
    tariffs: HashMap<Arc<str>, Arc<Tariff>>,
    grants: Vec<Grant>,
}

impl LineageEdge {
    /// The names above the payer, from the root down to the payee.
    #[inline]
    pub(super) fn ancestors(&self) -> &str {
        // The path ends with a slash and the payer.
        let above = |path: &'_ Arc<str>| path.len().checked_sub(self.edge.payer.as_str().len() + 1);
        let path = self.path.as_ref().and_then(|path| path.get(..above(path)?));
        path.unwrap_or(self.edge.payee.as_str())
    }

    /// The names from the root down to the payer.
    #[inline]
    pub(super) fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }

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

impl Catalog {
    /// Works out all lineages.
    pub fn new(parts: CatalogParts) -> Catalog {
        let CatalogParts { accounts, bundles, tariffs, grants } = parts;
        let account_by_name = accounts.iter().zip(0..).map(|(account, at)| (account.id.clone(), at)).collect();
        let mut paths = Paths::default();
        let lineages = (0..accounts.len()).map(|account| lineages_of(&accounts, account, &mut paths)).collect();
        let bundles = bundles.into_iter().map(|bundle| (bundle.id.clone(), bundle)).collect();
        Catalog { accounts, account_by_name, lineages, bundles, tariffs: tariffs.into_iter().collect(), grants }
    }

    /// All accounts.
    pub fn accounts(&self) -> &[AccountFacts] {
        &self.accounts
    }

    /// Bundles granted in accounts, and in plans of the endpoints that are at hand, by their moments; for one moment in the order written.
    pub fn grants(&self) -> &[Grant] {
        &self.grants
    }

    /// The position of an account by its name.
    pub fn position_of(&self, name: &AccountId) -> Option<u32> {
        self.account_by_name.get(name).copied()
    }

    /// A bundle template by name.
    pub fn bundle(&self, name: &str) -> Option<&Arc<BundleTemplate>> {
        self.bundles.get(name)
    }

    /// All tariffs with their names, in no particular order.
    pub fn tariffs(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<Tariff>)> {
        self.tariffs.iter()
    }

    /// A tariff by name.
    pub fn tariff(&self, name: &str) -> Option<&Arc<Tariff>> {
        self.tariffs.get(name)
    }

    /// The edges above an account as of a time, lowest first.
    pub(super) fn lineage_of(&self, account: u32, at: Timestamp) -> &[LineageEdge] {
        let slices = self.lineages(account);
        let after = slices.partition_point(|(from, _)| *from <= at);
        after.checked_sub(1).and_then(|last| slices.get(last)).map_or(&[], |(_, edges)| edges)
    }

    /// The lineages of an account, each with the instant from which it holds.
    pub(super) fn lineages(&self, account: u32) -> &[(Timestamp, Vec<LineageEdge>)] {
        self.lineages.get(account as usize).map_or(&[][..], |slices| slices)
    }

    /// The lineages of an account that hold at some moment of a half-open range.
    pub(super) fn lineages_between(
        &self,
        account: u32,
        start: Timestamp,
        end: Timestamp,
    ) -> impl Iterator<Item = &[LineageEdge]> {
        let slices = self.lineages(account);
        let first = slices.partition_point(|(from, _)| *from <= start).saturating_sub(1);
        slices.iter().skip(first).take_while(move |(from, _)| *from < end).map(|(_, edges)| &**edges)
    }

    /// Whether `issuer` stands above the account at an instant (rule 23); the customer of an endpoint does (detail B).
    pub(super) fn is_ancestor(&self, issuer: &str, account: &AccountId, at: Timestamp) -> bool {
        let owner = AccountId::new(account.owner());
        let is_own_customer = owner != *account && owner.as_str() == issuer;
        let path = self.account_by_name.get(&owner).map_or(&[][..], |position| self.lineage_of(*position, at));
        is_own_customer || path.iter().any(|step| step.edge.payee.as_str() == issuer)
    }
}

fn slice_at(account: &AccountFacts, at: Timestamp) -> Option<&AccountSlice> {
    let after = account.slices.partition_point(|slice| slice.from <= at);
    account.slices.get(after.checked_sub(1)?)
}

/// The lineages of one account: a new one whenever anything on the path changes.
fn lineages_of(accounts: &[AccountFacts], start: usize, paths: &mut Paths) -> Vec<(Timestamp, Vec<LineageEdge>)> {
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
    instants.into_iter().map(|at| (at, walk_up(accounts, start, at, paths))).collect()
}

/// Paths of accounts, each once however many accounts stand below it.
#[derive(Default)]
struct Paths(HashSet<Arc<str>>);

impl Paths {
    fn get(&mut self, path: &str) -> Arc<str> {
        self.0.get_or_insert_with(path, |path| Arc::from(path)).clone()
    }

    /// Gives every edge of a lineage the path of its payer.
    fn add_to(&mut self, edges: &mut [LineageEdge]) {
        let Some(root) = edges.last().map(|last| last.edge.payee.clone()) else { return };
        let mut path = root.as_str().to_owned();
        for step in edges.iter_mut().rev() {
            path.push('/');
            path.push_str(step.edge.payer.as_str());
            step.path = Some(self.get(&path));
        }
    }
}

fn walk_up(accounts: &[AccountFacts], start: usize, at: Timestamp, paths: &mut Paths) -> Vec<LineageEdge> {
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
        edges.push(LineageEdge { edge, tariff: tariff_of(account, slice, slice_at(payee, at)), path: None });
        payer = parent;
    }
    paths.add_to(&mut edges);
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
