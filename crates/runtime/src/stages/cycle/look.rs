//! What is due by what was seen of the directory: of accounts by its catalog, of endpoints by going through them.
//!
//! Endpoints of a store stand in no catalog. A walk reads them part by part, one part a look, and begins when the stage does, when anything may have
//! changed, and again with every so many hours of the clock; what the store says has changed is read at once. So a walk finds what a crash between a
//! change and its reading lost.

use directory::snapshot::{Catalog, Grant, Snapshot};
use directory::{Changed, Directory, Needs, Unavailable, Walk};
use rating::Timestamp;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

/// Commands that leave with one commit.
const SLICE: usize = 1_000;

/// Endpoints that changed and are read with one look.
const READ_TOGETHER: usize = 1_000;

/// What is due.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// A walk begins again after so many milliseconds of the clock.
    every_ms: i64,
    /// The clock and the catalog of the last time that all its grants were gone through: nothing more of it is due while both are the same.
    gone_through: Option<(Timestamp, Arc<Catalog>)>,
    /// What the catalog grants and is due, in its order.
    of_accounts: VecDeque<Grant>,
    /// What plans of endpoints grant and was found, by when it is due and its id: what is due before the next walk at least.
    of_endpoints: BTreeMap<(Timestamp, String), Grant>,
    /// Endpoints that changed and were not read since.
    changed: Vec<Box<str>>,
    /// The next part of the walk that is under way.
    next_part: Option<u32>,
    /// When the last walk began.
    walked_at: Option<Timestamp>,
    /// What the next commit carries out, and by which snapshot.
    pub(super) slice: Vec<Grant>,
    pub(super) snapshot: Option<Arc<Snapshot>>,
    /// Something was looked at since the partition came.
    has_looked: bool,
    /// The directory could not answer.
    is_held: bool,
}

impl Look {
    pub(super) fn new(every_ms: i64) -> Look {
        Look { every_ms, ..Look::default() }
    }

    /// Finds out what is due, and gets what carrying out the first of it needs.
    pub(super) fn look(&mut self, directory: &dyn Directory, clock: Timestamp, is_done: impl Fn(&str) -> bool) {
        self.slice.clear();
        self.has_looked = true;
        let looked = self.look_once(directory, clock, is_done);
        self.is_held = looked.is_err();
    }

    fn look_once(
        &mut self,
        directory: &dyn Directory,
        clock: Timestamp,
        is_done: impl Fn(&str) -> bool,
    ) -> Result<(), Unavailable> {
        let seen = directory.snapshot_for(&Needs::default())?;
        self.go_through(seen.catalog(), clock, &is_done);
        // What is due already does not wait for endpoints that cannot be read.
        let walked = directory.walk().map_or(Ok(()), |walk| self.walk(walk, clock, &is_done));
        let due: Vec<&Grant> = self.due(clock).take(SLICE).collect();
        let mut needs = Needs::default();
        for grant in &due {
            needs.add_account(&grant.account);
            grant.endpoint.iter().for_each(|endpoint| needs.add_endpoint(endpoint));
        }
        let snapshot = if needs.is_empty() { seen } else { directory.snapshot_for(&needs)? };
        self.slice = due.into_iter().cloned().collect();
        self.snapshot = Some(snapshot);
        walked
    }

    fn go_through(&mut self, catalog: &Arc<Catalog>, clock: Timestamp, is_done: impl Fn(&str) -> bool) {
        let grants = catalog.grants();
        let is_same = self.gone_through.as_ref().is_some_and(|(at, known)| {
            let next = grants.get(grants.partition_point(|grant| grant.at <= *at));
            Arc::ptr_eq(known, catalog) && next.is_none_or(|next| next.at > clock)
        });
        if !is_same {
            let due = &grants[..grants.partition_point(|grant| grant.at <= clock)];
            self.of_accounts = due.iter().filter(|grant| !is_done(&grant.command_id)).cloned().collect();
            self.gone_through = Some((clock, catalog.clone()));
        }
    }

    /// Reads what changed, and the next part of a walk.
    fn walk(&mut self, walk: &dyn Walk, clock: Timestamp, is_done: impl Fn(&str) -> bool) -> Result<(), Unavailable> {
        match walk.take_changed() {
            Changed::These(names) => self.changed.extend(names),
            Changed::Anything => self.walked_at = None,
        }
        let next_walk = |at: Timestamp| Timestamp::from_millis(at.millis().saturating_add(self.every_ms));
        if self.walked_at.is_none_or(|at| next_walk(at) <= clock) {
            self.walked_at = Some(clock);
            self.next_part = Some(0);
            self.of_endpoints.clear();
        }
        // Twice as far ahead as a walk takes until it comes back: the next one may be late itself.
        let ahead = next_walk(next_walk(clock));
        let is_of_interest = |grant: &Grant| grant.at <= ahead && !is_done(&grant.command_id);
        let first = self.changed.len().min(READ_TOGETHER);
        if first > 0 {
            let granted = walk.grants_of(&self.changed[..first])?;
            let changed: HashSet<Box<str>> = self.changed.drain(..first).collect();
            self.of_endpoints.retain(|_, grant| !endpoint_of(grant).is_some_and(|endpoint| changed.contains(endpoint)));
            self.find(granted.into_iter().filter(is_of_interest));
        }
        // What was found is carried out before more is read.
        if let Some(part) = self.next_part.filter(|_| self.due(clock).nth(SLICE).is_none()) {
            self.find(walk.grants_of_part(part)?.into_iter().filter(is_of_interest));
            self.next_part = Some(part + 1).filter(|next| *next < walk.parts());
        }
        Ok(())
    }

    fn find(&mut self, granted: impl Iterator<Item = Grant>) {
        self.of_endpoints.extend(granted.map(|grant| ((grant.at, grant.command_id.clone()), grant)));
    }

    /// What is due: of accounts first.
    fn due(&self, clock: Timestamp) -> impl Iterator<Item = &Grant> {
        let of_endpoints = self.of_endpoints.values().take_while(move |grant| grant.at <= clock);
        self.of_accounts.iter().chain(of_endpoints)
    }

    /// Since when the oldest is due.
    pub(super) fn oldest(&self, clock: Timestamp) -> Option<Timestamp> {
        self.due(clock).map(|grant| grant.at).min()
    }

    /// Whether there is more to do than was done, and it can be done.
    pub(super) fn has_work(&self, clock: Option<Timestamp>) -> bool {
        let Some(clock) = clock.filter(|_| !self.is_held) else { return false };
        !self.has_looked || self.next_part.is_some() || !self.changed.is_empty() || self.due(clock).next().is_some()
    }

    /// The slice is carried out for good.
    pub(super) fn settle(&mut self) {
        for grant in self.slice.drain(..) {
            if self.of_accounts.front().is_some_and(|first| first.command_id == grant.command_id) {
                self.of_accounts.pop_front();
            } else {
                self.of_endpoints.remove(&(grant.at, grant.command_id));
            }
        }
    }

    /// What was looked at may not be true any more.
    pub(super) fn forget(&mut self) {
        *self = Look::new(self.every_ms);
    }
}

/// The endpoint whose account gets it.
fn endpoint_of(grant: &Grant) -> Option<&str> {
    grant.account.split_once('/').map(|(_, endpoint)| endpoint)
}
