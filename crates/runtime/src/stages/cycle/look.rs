//! What is due by what was seen of the directory: of accounts by its catalog, of endpoints by going through them. What an account is to be told of it is
//! due as soon as it is seen.
//!
//! Endpoints of a store stand in no catalog. A walk reads them part by part, and begins when the stage does, when anything may have changed, and again
//! with every so many hours of the clock; what the store says has changed is read at once. So a walk finds what a crash between a change and its reading
//! lost. What cannot be read is tried again with the next tick, and holds nothing else.

use super::kept::Done;
use directory::snapshot::{AccountTimeline, Catalog, Grant, Snapshot};
use directory::{Changed, Directory, Needs, SaidOfEndpoints, Unavailable, Walk};
use rating::timeline::to_tell;
use rating::{AccountId, Standing, Timestamp};
use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::sync::Arc;

/// Commands that leave with one commit, and accounts that are told something.
const SLICE: usize = 1_000;
/// Endpoints that changed and are read with one look.
const READ_TOGETHER: usize = 1_000;
/// Parts of a walk that are read with one look, as long as nothing is due.
const PARTS_TOGETHER: usize = 8;

/// What is due.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// A walk begins again after so many milliseconds of the clock.
    every_ms: i64,
    /// Whether grants are looked for.
    buys_grants: bool,
    /// What accounts are to be told.
    to_tell: BTreeMap<AccountId, Vec<Standing>>,
    /// The catalog of which the timelines were gone through.
    told_of: Option<Arc<Catalog>>,
    /// The clock and the catalog of the last time that all its grants were gone through: nothing more of it is due while both are the same.
    gone_through: Option<(Timestamp, Arc<Catalog>)>,
    /// What the catalog grants and is due, in its order.
    of_accounts: VecDeque<Grant>,
    /// What plans of endpoints grant and was found, by when it is due and its id: what is due before the next walk at least.
    of_endpoints: BTreeMap<(Timestamp, String), Grant>,
    /// Endpoints that changed and were not read since: what was found of them may not be true any more.
    changed: BTreeSet<Box<str>>,
    /// The parts that the walk under way has not read.
    parts: VecDeque<u32>,
    /// When the last walk began.
    walked_at: Option<Timestamp>,
    /// What the next commit tells.
    pub(super) telling: Vec<AccountTimeline>,
    /// What the next commit carries out, and by which snapshot.
    pub(super) slice: Vec<Grant>,
    pub(super) snapshot: Option<Arc<Snapshot>>,
    /// Something was looked at since the partition came.
    has_looked: bool,
    /// Why the directory could not answer, if it could not.
    held: Option<Unavailable>,
}

impl Look {
    pub(super) fn new(every_ms: i64, buys_grants: bool) -> Look {
        Look { every_ms, buys_grants, ..Look::default() }
    }

    /// Finds out what is due, and gets what carrying out the first of it needs.
    pub(super) fn look(&mut self, directory: &dyn Directory, clock: Timestamp, done: Done<'_>) {
        self.slice.clear();
        self.has_looked = true;
        let held = self.look_once(directory, clock, done).err();
        if let Some(why) = held.as_ref().filter(|why| self.held.as_ref() != Some(why)) {
            tracing::warn!(%why, "what the directory says cannot be looked up");
        }
        self.held = held;
        let timeline = |(account, standings): (&AccountId, &Vec<Standing>)| AccountTimeline {
            account: account.clone(),
            standings: standings.clone(),
        };
        self.telling = self.ready().take(SLICE).map(timeline).collect();
        if self.ready().nth(SLICE).is_some() {
            // What an account is told comes before what is done for it.
            self.slice.clear();
        }
    }

    /// What accounts can be told now. Of an endpoint that changed, something else may be to be told by now.
    fn ready(&self) -> impl Iterator<Item = (&AccountId, &Vec<Standing>)> {
        let is_as_read =
            |account: &AccountId| endpoint_of(account.as_str()).is_none_or(|endpoint| !self.changed.contains(endpoint));
        self.to_tell.iter().filter(move |(account, _)| is_as_read(account))
    }

    fn look_once(&mut self, directory: &dyn Directory, clock: Timestamp, done: Done<'_>) -> Result<(), Unavailable> {
        let walk = directory.walk();
        let seen = directory.snapshot_for(&Needs::default());
        // Who cannot be asked said what is due, once.
        let catalog = match &seen {
            Ok(seen) => Some(seen.catalog().clone()),
            Err(_) => self.gone_through.as_ref().map(|(_, catalog)| catalog.clone()),
        };
        if let Some(catalog) = catalog {
            self.go_through(&catalog, clock, walk.is_some(), done);
        }
        let seen = seen?;
        self.compare(&seen, walk, clock, done);
        // What is due already does not wait for endpoints that cannot be read.
        let walked = walk.map_or(Ok(()), |walk| self.walk(walk, clock, done));
        // One that changed while it was read may have been found twice.
        let again: Vec<Grant> =
            self.due(clock).take(SLICE).filter(|grant| done.is_carried_out(grant)).cloned().collect();
        again.iter().for_each(|grant| self.drop_due(grant));
        let mut seen_ids = HashSet::new();
        let is_new = |grant: &&Grant| seen_ids.insert(grant.command_id.clone());
        let due: Vec<&Grant> = self.due(clock).filter(is_new).take(SLICE).collect();
        let mut needs = Needs::default();
        for grant in &due {
            needs.add_account(&grant.account);
            grant.endpoint.iter().for_each(|endpoint| needs.add_endpoint(endpoint));
        }
        let snapshot = if needs.is_empty() { seen } else { directory.snapshot_for(&needs)? };
        let slice: Vec<Grant> = due.into_iter().cloned().collect();
        self.slice = self.without_strangers(slice, &snapshot);
        self.snapshot = Some(snapshot);
        walked
    }

    /// Leaves out grants whose account the snapshot does not have: their endpoint went, or cannot be read. They are not carried out, and found again where
    /// it comes back.
    fn without_strangers(&mut self, slice: Vec<Grant>, snapshot: &Snapshot) -> Vec<Grant> {
        let is_known = |grant: &Grant| snapshot.edge_of(&AccountId::new(&grant.account), grant.at).is_some();
        let (known, strangers): (Vec<Grant>, Vec<Grant>) = slice.into_iter().partition(is_known);
        if let Some(first) = strangers.first() {
            let (count, first) = (strangers.len(), &first.command_id);
            tracing::warn!(count, %first, "accounts of grants are not there or cannot be read: they are left until they change");
        }
        strangers.into_iter().for_each(|grant| self.drop_due(&grant));
        known
    }

    fn go_through(&mut self, catalog: &Arc<Catalog>, clock: Timestamp, has_walk: bool, done: Done<'_>) {
        let grants = if self.buys_grants { catalog.grants() } else { &[] };
        let is_same = self.gone_through.as_ref().is_some_and(|(at, known)| {
            let next = grants.get(grants.partition_point(|grant| grant.at <= *at));
            Arc::ptr_eq(known, catalog) && next.is_none_or(|next| next.at > clock)
        });
        if !is_same {
            let due = &grants[..grants.partition_point(|grant| grant.at <= clock)];
            // The catalog of a store has plans of the endpoints that accounts name, as they were when it was read: the walk has them as they are.
            let is_its_own = |grant: &&Grant| !(has_walk && endpoint_of(&grant.account).is_some());
            let due = due.iter().filter(is_its_own).filter(|grant| !done.is_carried_out(grant));
            self.of_accounts = due.cloned().collect();
            self.gone_through = Some((clock, catalog.clone()));
        }
    }

    /// Finds out what accounts are to be told by another catalog. Those of endpoints stand where their customers do.
    fn compare(&mut self, seen: &Snapshot, walk: Option<&dyn Walk>, clock: Timestamp, done: Done<'_>) {
        if self.told_of.as_ref().is_some_and(|known| Arc::ptr_eq(known, seen.catalog())) {
            return;
        }
        let is_other = self.told_of.replace(seen.catalog().clone()).is_some();
        // What was found of them stood below the catalog of before.
        let older = std::mem::take(&mut self.to_tell);
        let is_older = older.keys().any(|account| endpoint_of(account.as_str()).is_some());
        match walk {
            Some(walk) => {
                self.find_timelines(seen.catalog().timelines(), clock, done);
                if is_other && (is_older || !self.to_tell.is_empty()) {
                    // Those that are left first: however often the catalog changes, a walk comes to its end.
                    let read: Vec<u32> = (0..walk.parts()).filter(|part| !self.parts.contains(part)).collect();
                    self.parts.extend(read);
                    self.walked_at = Some(clock);
                }
            }
            None => self.find_timelines(seen.timelines(), clock, done),
        }
    }

    fn find_timelines(&mut self, found: impl Iterator<Item = AccountTimeline>, clock: Timestamp, done: Done<'_>) {
        for AccountTimeline { account, standings } in found {
            let timeline = AccountTimeline { account, standings: to_tell(standings, clock) };
            match done.is_told(&timeline) {
                true => drop(self.to_tell.remove(&timeline.account)),
                false => drop(self.to_tell.insert(timeline.account, timeline.standings)),
            }
        }
    }

    /// Reads what changed, and the next parts of a walk.
    fn walk(&mut self, walk: &dyn Walk, clock: Timestamp, done: Done<'_>) -> Result<(), Unavailable> {
        let next_walk = |at: Timestamp| Timestamp::from_millis(at.millis().saturating_add(self.every_ms));
        // Twice as far ahead as it takes until the next walk: that one may be late itself.
        let ahead = next_walk(next_walk(clock));
        let is_time = self.parts.is_empty() && self.walked_at.is_none_or(|at| next_walk(at) <= clock);
        let is_anything = match walk.take_changed() {
            Changed::These(names) => {
                self.changed.extend(names);
                false
            }
            Changed::Anything => true,
        };
        if is_anything {
            self.changed.clear();
            self.of_endpoints.clear();
        }
        if is_time || is_anything {
            self.walked_at = Some(clock);
            self.parts = (0..walk.parts()).collect();
        }
        let seen = Seen { clock, ahead, done };
        let read = self.read_changed(walk, seen);
        let mut walked = Ok(());
        // What was found is carried out before more is read.
        for _ in 0..PARTS_TOGETHER {
            if self.due(clock).next().is_some() || self.to_tell.len() >= SLICE || walked.is_err() {
                break;
            }
            let Some(part) = self.parts.pop_front() else { break };
            match walk.of_part(part) {
                Ok(said) => self.find(said, seen),
                Err(error) => {
                    // The others do not wait for it.
                    self.parts.push_back(part);
                    walked = Err(error);
                }
            }
        }
        read.and(walked)
    }

    fn read_changed(&mut self, walk: &dyn Walk, seen: Seen<'_>) -> Result<(), Unavailable> {
        let names: Vec<Box<str>> = self.changed.iter().take(READ_TOGETHER).cloned().collect();
        if names.is_empty() {
            return Ok(());
        }
        let said = walk.of_endpoints(&names)?;
        // The names are in order, as the set was that they are from.
        let is_read = |endpoint: &str| names.binary_search_by(|name| (**name).cmp(endpoint)).is_ok();
        self.of_endpoints.retain(|_, grant| !endpoint_of(&grant.account).is_some_and(is_read));
        self.to_tell.retain(|account, _| !endpoint_of(account.as_str()).is_some_and(is_read));
        names.iter().for_each(|name| {
            self.changed.remove(name);
        });
        self.find(said, seen);
        Ok(())
    }

    fn find(&mut self, said: SaidOfEndpoints, Seen { clock, ahead, done }: Seen<'_>) {
        self.find_timelines(said.timelines.into_iter(), clock, done);
        if self.buys_grants {
            let is_of_interest = |grant: &Grant| grant.at <= ahead && !done.is_carried_out(grant);
            let granted = said.grants.into_iter().filter(is_of_interest);
            self.of_endpoints.extend(granted.map(|grant| ((grant.at, grant.command_id.clone()), grant)));
        }
    }

    /// What is due: of accounts first, in the order of the catalog.
    fn due(&self, clock: Timestamp) -> impl Iterator<Item = &Grant> {
        let is_as_read =
            |grant: &&Grant| endpoint_of(&grant.account).is_none_or(|endpoint| !self.changed.contains(endpoint));
        let of_endpoints = self.of_endpoints.values().take_while(move |grant| grant.at <= clock).filter(is_as_read);
        self.of_accounts.iter().chain(of_endpoints)
    }

    /// Since when the oldest is due.
    pub(super) fn oldest(&self, clock: Timestamp) -> Option<Timestamp> {
        // Both are in the order of their instants.
        let of_endpoints = self.of_endpoints.values().next().filter(|grant| grant.at <= clock);
        self.of_accounts.front().into_iter().chain(of_endpoints).map(|grant| grant.at).min()
    }

    /// Whether there is more to do than was done, and it can be done.
    pub(super) fn has_work(&self, clock: Option<Timestamp>) -> bool {
        let Some(clock) = clock else { return false };
        // What is to be told needs nobody who could not answer.
        if self.ready().next().is_some() {
            return true;
        }
        let is_read = self.has_looked && self.parts.is_empty() && self.changed.is_empty();
        self.held.is_none() && (!is_read || self.due(clock).next().is_some())
    }

    /// The slice is carried out for good.
    pub(super) fn settle(&mut self) {
        for grant in std::mem::take(&mut self.slice) {
            self.drop_due(&grant);
        }
        for AccountTimeline { account, .. } in std::mem::take(&mut self.telling) {
            self.to_tell.remove(&account);
        }
    }

    fn drop_due(&mut self, grant: &Grant) {
        if self.of_accounts.front().is_some_and(|first| first.command_id == grant.command_id) {
            self.of_accounts.pop_front();
        } else if self.of_endpoints.remove(&(grant.at, grant.command_id.clone())).is_none() {
            self.of_accounts.retain(|other| other.command_id != grant.command_id);
        }
    }

    /// What was looked at may not be true any more.
    pub(super) fn forget(&mut self) {
        *self = Look::new(self.every_ms, self.buys_grants);
    }
}

/// What was found is measured by.
#[derive(Clone, Copy)]
struct Seen<'d> {
    clock: Timestamp,
    /// Grants that are due later are found again.
    ahead: Timestamp,
    done: Done<'d>,
}

/// The endpoint whose account it is.
fn endpoint_of(account: &str) -> Option<&str> {
    account.split_once('/').map(|(_, endpoint)| endpoint)
}
