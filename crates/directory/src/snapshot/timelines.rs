//! Timelines of accounts, for what has no record that brings the facts of an account.

use super::catalog::Catalog;
#[cfg(feature = "store")]
use super::endpoints::EndpointSlice;
use super::endpoints::Endpoints;
use super::{LineageEdge, Snapshot};
use rating::leg::Status;
use rating::{AccountId, Standing, Timestamp};
use std::sync::Arc;

/// The timeline of an account: who stands above it and its status, over time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountTimeline {
    /// The account; that of an endpoint is `customer/endpoint`.
    pub account: AccountId,
    /// Entries by the instants from which they hold, ascending, each other than the one before.
    pub standings: Vec<Standing>,
}

impl AccountTimeline {
    /// Returns whether there is nothing to be told of the account, unless something else was told before: it is active, below the same accounts, and always was.
    pub fn is_plain(&self) -> bool {
        matches!(&*self.standings, [Standing { status: Status::Active, .. }])
    }

    /// Adds what holds from an instant on, if it is something else. What holds from the beginning of time holds from 1970 on, as a grant without `at` does.
    fn add(&mut self, from: Timestamp, ancestors: &str, status: Status) {
        let from = from.max(Timestamp::EPOCH);
        // Nothing holds for no time at all.
        self.standings.pop_if(|last| last.from >= from);
        let last = self.standings.last();
        if last.is_some_and(|last| last.status == status && *last.ancestors == *ancestors) {
            return;
        }
        // Names that stay are shared.
        let known = last.filter(|last| *last.ancestors == *ancestors);
        let ancestors = known.map_or_else(|| Arc::from(ancestors), |last| last.ancestors.clone());
        self.standings.push(Standing { from, ancestors, status });
    }
}

impl Catalog {
    /// Makes the timeline of each account but the operator, who pays nobody.
    pub fn timelines(&self) -> impl Iterator<Item = AccountTimeline> {
        self.accounts().iter().zip(0..).filter_map(|(account, position)| {
            let mut timeline = AccountTimeline { account: account.id.clone(), standings: Vec::new() };
            for (from, edges) in self.lineages(position) {
                if let Some(own) = edges.first() {
                    timeline.add(*from, own.ancestors(), own.edge.status);
                }
            }
            (!timeline.standings.is_empty()).then_some(timeline)
        })
    }

    /// Makes the timelines of the accounts of an endpoint: one below each customer who gives it a plan.
    #[cfg(feature = "store")]
    pub(crate) fn timelines_of_endpoint(
        &self,
        name: &str,
        slices: impl Iterator<Item = EndpointSlice>,
    ) -> Vec<AccountTimeline> {
        self.timelines_below(name, slices.map(|slice| (slice.from, slice.customer, slice.plan.is_some())))
    }

    fn timelines_below(
        &self,
        endpoint: &str,
        slices: impl Iterator<Item = (Timestamp, u32, bool)>,
    ) -> Vec<AccountTimeline> {
        let mut timelines: Vec<AccountTimeline> = Vec::new();
        let mut slices = slices.peekable();
        while let Some((from, customer, has_plan)) = slices.next() {
            let until = slices.peek().map_or(Timestamp::FAR_FUTURE, |(next, ..)| *next);
            let Some(owner) = self.accounts().get(customer as usize).filter(|_| has_plan && from < until) else {
                continue;
            };
            let account = AccountId::of_endpoint(owner.id.as_str(), endpoint);
            let known = timelines.iter().position(|timeline| timeline.account == account);
            let place = known.unwrap_or_else(|| {
                timelines.push(AccountTimeline { account, standings: Vec::new() });
                timelines.len() - 1
            });
            let lineages = self.lineages(customer);
            let first = lineages.partition_point(|(begun, _)| *begun <= from).saturating_sub(1);
            for (begun, above) in lineages.iter().skip(first).take_while(|(begun, _)| *begun < until) {
                let path = above.first().and_then(LineageEdge::path).unwrap_or(owner.id.as_str());
                timelines[place].add(*begun.max(&from), path, Status::Active);
            }
        }
        timelines
    }
}

impl Endpoints {
    /// Makes the timelines of the accounts of all endpoints that are at hand.
    fn timelines(&self, catalog: &Catalog) -> impl Iterator<Item = AccountTimeline> {
        self.iter().flat_map(move |endpoint| {
            let slices = endpoint.slices.iter().map(|slice| (slice.from, slice.customer, slice.edge.is_some()));
            catalog.timelines_below(&endpoint.id, slices)
        })
    }
}

impl Snapshot {
    /// Makes the timeline of each account: of those of endpoints as far as they are at hand.
    pub fn timelines(&self) -> impl Iterator<Item = AccountTimeline> {
        self.catalog.timelines().chain(self.endpoints.timelines(&self.catalog))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(changes: &[(i64, &str, Status)]) -> Vec<(i64, String, Status)> {
        let mut timeline = AccountTimeline { account: AccountId::new("acme"), standings: Vec::new() };
        for (from, ancestors, status) in changes {
            timeline.add(Timestamp::from_millis(*from), ancestors, *status);
        }
        let standing = |standing: Standing| (standing.from.millis(), standing.ancestors.to_string(), standing.status);
        timeline.standings.into_iter().map(standing).collect()
    }

    #[test]
    fn instants_ascend_whatever_is_said_from_the_beginning_on() {
        let (active, suspended) = (Status::Active, Status::Suspended);
        let holds = |from: i64, path: &str, status| (from, path.to_owned(), status);
        assert_eq!(said(&[(i64::MIN, "op", active), (0, "op", suspended)]), [holds(0, "op", suspended)]);
        assert_eq!(said(&[(-5, "op", active), (-1, "op/r", active), (0, "op", active)]), [holds(0, "op", active)]);
        assert_eq!(
            said(&[(i64::MIN, "op", active), (7, "op", active), (9, "op/r", active), (12, "op/r", suspended)]),
            [holds(0, "op", active), holds(9, "op/r", active), holds(12, "op/r", suspended)]
        );
    }
}
