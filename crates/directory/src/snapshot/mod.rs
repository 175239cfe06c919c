//! An immutable picture of the hierarchy that answers "who pays whom, by which tariff, as of this time".
//!
//! It is a [`Catalog`] (accounts, bundles, tariffs: always whole, shared by everybody who sees the same epoch) and [`Endpoints`]: all of
//! them, or those that a batch asks for. The look-ups are the same code for both. Lineages are worked out when the catalog is made, one
//! per account and stretch of time in which nothing on the path changed, so that an answer is two look-ups and a binary search, whatever
//! the number of accounts. Nothing here validates: facts come from validated reference data.

mod catalog;
mod endpoints;
mod timelines;

pub use catalog::{AccountFacts, AccountSlice, Catalog, CatalogParts, Grant, LineageEdge, MAX_LEVELS};
pub use endpoints::{EndpointSlice, Endpoints, IdentityFacts, PlanFacts};
pub use timelines::AccountTimeline;

use crate::model::IdentityKind;
use crate::needs::RecordNeeds;
use crate::value::Digits;
use rating::leg::Edge;
use rating::{AccountId, BundleTemplate, SuspenseReason, Timestamp, UsageRecord};
use std::sync::Arc;

/// The immutable picture.
#[derive(Debug)]
pub struct Snapshot {
    catalog: Arc<Catalog>,
    endpoints: Endpoints,
    version: Arc<str>,
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

    /// The edges with the names above each payer, from the root down, with slashes between; lowest level first.
    pub fn steps(&self) -> impl Iterator<Item = (&'a LineageEdge, &'a str)> + use<'a> {
        let of_endpoint = self.own.map(|own| (own, ancestors_of_own(own, self.above)));
        of_endpoint.into_iter().chain(self.above.iter().map(|step| (step, step.ancestors())))
    }

    /// Whether an account pays or is paid on one of the edges.
    fn holds(&self, account: &str) -> bool {
        self.edges().any(|step| step.edge.payer.as_str() == account || step.edge.payee.as_str() == account)
    }
}

impl Snapshot {
    /// A catalog with endpoints below its accounts. `version` is what charges name it by.
    pub fn new(catalog: Arc<Catalog>, endpoints: Endpoints, version: Arc<str>) -> Snapshot {
        Snapshot { catalog, endpoints, version }
    }

    /// Names the epoch: whatever two snapshots of one version both hold, they hold equally.
    pub fn version(&self) -> &Arc<str> {
        &self.version
    }

    /// Accounts, bundles and tariffs.
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// A bundle template by name.
    pub fn bundle(&self, name: &str) -> Option<&Arc<BundleTemplate>> {
        self.catalog.bundle(name)
    }

    /// All accounts.
    pub fn accounts(&self) -> &[AccountFacts] {
        self.catalog.accounts()
    }

    /// How many endpoints are in it.
    pub fn endpoint_count(&self) -> usize {
        self.endpoints.len()
    }

    /// Resolves a record: identity, endpoint, lineage as of the event time.
    ///
    /// # Errors
    /// `unknown_endpoint`, `identity_conflict` (detail I), `endpoint_inactive`, `endpoint_unreadable`.
    pub fn lineage_for(&self, usage: &UsageRecord) -> Result<Lineage<'_>, SuspenseReason> {
        if !self.endpoints.are_readable() && self.flaw_of(usage).is_some() {
            return Err(SuspenseReason::EndpointUnreadable);
        }
        let at = usage.event_time;
        let given = self.holders(usage);
        let found = given.into_iter().flatten().flatten().next();
        // Another endpoint's identity contradicts the first, and so does one that nobody has.
        if found.is_some() && given.into_iter().flatten().any(|holder| holder != found) {
            return Err(SuspenseReason::IdentityConflict);
        }
        let named = usage.account_id.as_deref();
        if let Some(endpoint) = found {
            return self.lineage_of_endpoint(endpoint, named, at);
        }
        // Identities that nobody has are not mended by an account beside them.
        let named = named.filter(|_| given.iter().all(Option::is_none)).ok_or(SuspenseReason::UnknownEndpoint)?;
        let Some(account) = self.catalog.position_of(&AccountId::new(named)) else {
            return self.lineage_of_endpoint_account(named, at);
        };
        let above = self.catalog.lineage_of(account, at);
        // The operator pays nobody (rule 2): rated by no edge, its record would vanish.
        if above.is_empty() {
            return Err(SuspenseReason::UnknownEndpoint);
        }
        Ok(Lineage { endpoint: None, own: None, above })
    }

    /// Who holds each identity that a record gives: IMSI, ICCID, MSISDN and name.
    fn holders(&self, usage: &UsageRecord) -> [Option<Option<u32>>; 4] {
        let at = usage.event_time;
        [
            usage.imsi.as_deref().map(|digits| self.holder(IdentityKind::Imsi, digits, at)),
            usage.iccid.as_deref().map(|digits| self.holder(IdentityKind::Iccid, digits, at)),
            usage.msisdn.as_deref().map(|digits| self.holder(IdentityKind::Msisdn, digits, at)),
            usage.endpoint_id.as_deref().map(|name| self.endpoints.position_of(name)),
        ]
    }

    /// Says whose each identity of a record is, and which of them is nobody's: what an `identity_conflict` is about.
    pub fn conflict_of(&self, usage: &UsageRecord) -> String {
        let holders = self.holders(usage);
        let texts = [&usage.imsi, &usage.iccid, &usage.msisdn, &usage.endpoint_id];
        let names = ["imsi", "iccid", "msisdn", "endpoint_id"];
        let mut parts: Vec<String> = Vec::with_capacity(5);
        for ((name, text), holder) in names.into_iter().zip(texts).zip(holders) {
            let (Some(text), Some(holder)) = (text, holder) else { continue };
            parts.push(match holder.and_then(|holder| self.endpoints.get(holder)) {
                Some(endpoint) => format!("{name} {text} is endpoint {}", endpoint.id),
                None => format!("{name} {text} is not known"),
            });
        }
        let mut found = holders.into_iter().flatten();
        let first = found.next();
        // Where the others agree, it is the account that contradicts them.
        if let Some(account) = usage.account_id.as_ref().filter(|_| found.all(|holder| Some(holder) == first)) {
            let named = AccountId::new(account);
            let is_known = match named.as_str().split_once('/') {
                Some(_) => self.edge_of(&named, usage.event_time).is_some(),
                None => self.catalog.position_of(&named).is_some(),
            };
            parts.push(match is_known {
                true => format!("account_id {account} does not pay or charge for it"),
                false => format!("account_id {account} is not known"),
            });
        }
        format!("{} at {}", parts.join(", "), usage.event_time)
    }

    /// What of an endpoint that a record names cannot be read: code and place, and what is wrong there. None: nothing.
    pub fn flaw_of(&self, usage: &UsageRecord) -> Option<&str> {
        let needs = RecordNeeds::of(usage);
        let of_identity = |(kind, digits): (IdentityKind, Option<&str>)| {
            self.endpoints.flaw_of_identity(kind, Digits::parse(digits?)?, needs.at)
        };
        let found = IdentityKind::ALL.into_iter().zip(needs.identities).find_map(of_identity);
        found.or_else(|| self.endpoints.flaw_of_name(needs.endpoint?))
    }

    /// What is no identity at all is nobody's.
    fn holder(&self, kind: IdentityKind, digits: &str, at: Timestamp) -> Option<u32> {
        self.endpoints.holder(kind, Digits::parse(digits)?, at)
    }

    /// An account that is named beside the endpoint has to be in its lineage, or one of the two is wrong (detail I).
    fn lineage_of_endpoint(
        &self,
        endpoint: u32,
        named: Option<&str>,
        at: Timestamp,
    ) -> Result<Lineage<'_>, SuspenseReason> {
        let endpoint = self.endpoints.get(endpoint).ok_or(SuspenseReason::UnknownEndpoint)?;
        let after = endpoint.slices.partition_point(|slice| slice.from <= at);
        let slice = after.checked_sub(1).and_then(|last| endpoint.slices.get(last));
        let slice = slice.ok_or(SuspenseReason::UnknownEndpoint)?;
        let above = self.catalog.lineage_of(slice.customer, at);
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
        let endpoint = account.split_once('/').and_then(|(_, endpoint)| self.endpoints.position_of(endpoint));
        let lineage = self.lineage_of_endpoint(endpoint.ok_or(SuspenseReason::UnknownEndpoint)?, None, at)?;
        match lineage.own {
            Some(own) if own.edge.payer.as_str() == account => Ok(lineage),
            Some(_) | None => Err(SuspenseReason::UnknownEndpoint),
        }
    }

    /// The edge on which an account (or an endpoint account, `customer/endpoint`) pays at an instant: for commands.
    pub fn edge_of(&self, account: &AccountId, at: Timestamp) -> Option<&Edge> {
        self.step_of(account, at).map(|(edge, _)| edge)
    }

    /// The same with the names above the account, from the root down, with slashes between.
    pub fn step_of(&self, account: &AccountId, at: Timestamp) -> Option<(&Edge, &str)> {
        if let Some((_, endpoint)) = account.as_str().split_once('/') {
            let endpoint = self.endpoints.named(endpoint)?;
            let mut edges = endpoint.slices.iter().rev().filter(|slice| slice.from <= at);
            return edges.find_map(|slice| {
                let own = slice.edge.as_deref().filter(|own| own.edge.payer == *account)?;
                Some((&own.edge, ancestors_of_own(own, self.catalog.lineage_of(slice.customer, at))))
            });
        }
        let position = self.catalog.position_of(account)?;
        self.catalog.lineage_of(position, at).first().map(|own| (&own.edge, own.ancestors()))
    }

    /// Whether an endpoint is below an account (or is the account's own) at some moment from an instant on.
    pub fn is_below(&self, endpoint: &str, account: &AccountId, from: Timestamp) -> bool {
        let Some(endpoint) = self.endpoints.named(endpoint) else { return false };
        let ends = endpoint.slices.iter().skip(1).map(|next| next.from).chain([Timestamp::FAR_FUTURE]);
        endpoint.slices.iter().zip(ends).filter(|(_, end)| from < *end).any(|(slice, end)| {
            let start = slice.from.max(from);
            let is_own = slice.edge.as_deref().is_some_and(|own| own.edge.payer == *account);
            is_own
                || self
                    .catalog
                    .lineages_between(slice.customer, start, end)
                    .flatten()
                    .any(|step| step.edge.payer == *account)
        })
    }

    /// Whether `issuer` stands above the account at an instant (rule 23); the customer of an endpoint does (detail B).
    pub fn is_ancestor(&self, issuer: &str, account: &AccountId, at: Timestamp) -> bool {
        self.catalog.is_ancestor(issuer, account, at)
    }
}

/// The names above the account of an endpoint: its customer's, and those above that.
fn ancestors_of_own<'a>(own: &'a LineageEdge, above: &'a [LineageEdge]) -> &'a str {
    above.first().and_then(LineageEdge::path).unwrap_or(own.edge.payee.as_str())
}
