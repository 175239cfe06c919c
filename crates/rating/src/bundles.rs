//! The instances of all accounts of a shard, and an index of what can be drawn from them.
//!
//! A leg asks for what it may draw from, the first first (rule 15), and takes as much as it needs. So the elements of instances stand in groups that fit
//! the same use: whether a group fits is asked once, however many instances are in it. Within a group they stand in the order of rule 15, as far as it does
//! not depend on the leg. What has nothing left, and what waits for its activation, stands in no group.

use crate::account::forget_statuses;
use crate::bundle::{ElementClass, Instance, Phase};
use crate::calendar::{Length, Timestamp};
use crate::id::AccountId;
use crate::matching::UsageMatch;
use crate::ordered::Ordered;
use crate::quantity::Unit;
use crate::state::AccountNumber;
use crate::table::{RowPlace, Table};
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::sync::Arc;

const THERE: &str = "an instance that is changed is there";

/// Names an instance in a shard.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InstanceKey {
    /// The account that holds it.
    pub account: AccountNumber,
    /// The endpoint that holds it; `None` for a pool.
    pub holder: Option<Arc<str>>,
    /// The id of the command that bought it.
    pub id: Arc<str>,
}

/// The instances of a shard.
#[derive(Debug, Default)]
pub struct Bundles {
    /// Changed from outside only in what the index does not depend on.
    pub(crate) rows: Table<InstanceKey, Instance>,
    /// What each account holds, by its number.
    accounts: Vec<AccountShelves>,
    /// What endpoints hold.
    endpoints: HashMap<(AccountNumber, Arc<str>), Shelf>,
}

/// What an account holds.
#[derive(Debug, Default)]
struct AccountShelves {
    pools: Option<Box<Shelf>>,
    /// How many instances its endpoints hold.
    of_endpoints: u32,
}

/// Everything of one endpoint, or all pools of an account.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    /// All of its instances.
    instances: Ordered<RowPlace, ()>,
    groups: Vec<Group>,
}

/// Elements that fit the same use on the same edge.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) unit: Unit,
    pub(crate) applies: UsageMatch,
    pub(crate) payee: AccountId,
    pub(crate) priority: u32,
    pub(crate) class: ElementClass,
    /// Of active instances.
    pub(crate) active: Ordered<ActiveKey, Shelved>,
    /// Of armed ones, by how long they last from their first use on.
    pub(crate) armed: SmallVec<[Armed; 1]>,
}

/// Armed elements that last equally long.
pub(crate) type Armed = (Option<Length>, Ordered<ArmedKey, Shelved>);

/// An element in a group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shelved {
    pub(crate) place: RowPlace,
    /// From then on nothing is drawn.
    pub(crate) until: Timestamp,
}

/// The order of rule 15 among active elements that fit alike.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ActiveKey {
    pub(crate) expiry: Timestamp,
    pub(crate) origin: Origin,
    pub(crate) effective: Timestamp,
    pub(crate) id: Arc<str>,
    pub(crate) element: usize,
}

/// The same among armed elements that last equally long.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ArmedKey {
    pub(crate) origin: Origin,
    pub(crate) granted_at: Timestamp,
    pub(crate) id: Arc<str>,
    pub(crate) element: usize,
}

/// Promotional bundles are drawn before paid ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    Promotional,
    Paid,
}

impl Origin {
    pub(crate) fn of(instance: &Instance) -> Origin {
        if instance.template.promotional { Origin::Promotional } else { Origin::Paid }
    }
}

impl Shelf {
    /// The groups that a use of a service in a unit may draw from.
    pub(crate) fn groups_of<'s>(&'s self, unit: Unit, service: &'s str) -> impl Iterator<Item = &'s Group> {
        let start = self.groups.partition_point(|group| (group.unit, &*group.applies.service) < (unit, service));
        let groups = self.groups.get(start..).unwrap_or_default();
        groups.iter().take_while(move |group| group.unit == unit && *group.applies.service == *service)
    }

    fn group(&mut self, instance: &Instance, element: usize) -> &mut Group {
        let what = &instance.template.elements[element];
        let order = |group: &Group| (group.unit, &*group.applies.service) < (what.unit, &*what.applies.service);
        let start = self.groups.partition_point(order);
        let groups = self.groups.get(start..).unwrap_or_default();
        let same_use = |group: &&Group| group.unit == what.unit && group.applies.service == what.applies.service;
        let fits = |group: &Group| {
            group.priority == what.priority
                && group.class == what.class
                && group.payee == instance.payee
                && group.applies.keys == what.applies.keys
                // The dictionary has each zone once.
                && Arc::ptr_eq(&group.applies.zone, &what.applies.zone)
        };
        let found = groups.iter().take_while(same_use).position(fits).map(|at| start + at);
        let at = found.unwrap_or_else(|| {
            let group = Group {
                unit: what.unit,
                applies: what.applies.clone(),
                payee: instance.payee.clone(),
                priority: what.priority,
                class: what.class,
                active: Ordered::default(),
                armed: SmallVec::new(),
            };
            self.groups.insert(start, group);
            start
        });
        &mut self.groups[at]
    }

    /// Puts the elements of an instance into their groups, or takes them out.
    fn index(&mut self, place: RowPlace, instance: &Instance, what: Indexing) {
        let until = instance.drawn_until().unwrap_or(Timestamp::FAR_FUTURE);
        let shelved = Shelved { place, until };
        for element in 0..instance.template.elements.len() {
            if instance.left(element) == Some(0) {
                continue;
            }
            let (id, origin) = (instance.id.clone(), Origin::of(instance));
            match instance.phase {
                Phase::Pending => {}
                Phase::Active { start, end } => {
                    let expiry = end.unwrap_or(Timestamp::FAR_FUTURE);
                    let key = ActiveKey { expiry, origin, effective: start, id, element };
                    self.group(instance, element).active.index(key, shelved, what);
                }
                Phase::Armed => {
                    let key = ArmedKey { origin, granted_at: instance.granted_at, id, element };
                    let lasts = instance.template.lasts;
                    {
                        let group = self.group(instance, element);
                        let at = group.armed.iter().position(|(known, _)| *known == lasts).unwrap_or_else(|| {
                            group.armed.push((lasts, Ordered::default()));
                            group.armed.len() - 1
                        });
                        group.armed[at].1.index(key, shelved, what);
                    }
                }
            }
        }
    }
}

impl Group {
    pub(crate) fn is_empty(&self) -> bool {
        self.active.is_empty() && self.armed.iter().all(|(_, armed)| armed.is_empty())
    }
}

/// Into the index, or out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Indexing {
    In,
    Out,
}

impl<K: Ord> Ordered<K, Shelved> {
    fn index(&mut self, key: K, shelved: Shelved, what: Indexing) {
        match what {
            Indexing::In => self.insert(key, shelved),
            Indexing::Out => self.remove(&key),
        }
    }
}

impl Bundles {
    /// Returns whether an account holds any instance.
    #[inline]
    pub(crate) fn has_any(&self, account: AccountNumber) -> bool {
        self.accounts.get(account.index()).is_some_and(|held| held.pools.is_some() || held.of_endpoints > 0)
    }

    /// What an endpoint of an account may draw from: what it holds itself, and the account's pools.
    pub(crate) fn shelves(&self, account: AccountNumber, endpoint: Option<&str>) -> [Option<&Shelf>; 2] {
        let Some(held) = self.accounts.get(account.index()) else { return [None, None] };
        let own = endpoint.filter(|_| held.of_endpoints > 0);
        let own = own.and_then(|endpoint| self.endpoints.get(&EndpointRef(account, endpoint)));
        [own, held.pools.as_deref()]
    }

    fn shelf(&self, account: AccountNumber, holder: Option<&str>) -> Option<&Shelf> {
        match holder {
            Some(endpoint) => self.endpoints.get(&EndpointRef(account, endpoint)),
            None => self.accounts.get(account.index())?.pools.as_deref(),
        }
    }

    /// The places of all instances of a holder.
    pub(crate) fn places(&self, account: AccountNumber, holder: Option<&str>) -> impl Iterator<Item = RowPlace> + '_ {
        let shelf = self.shelf(account, holder);
        shelf.into_iter().flat_map(|shelf| shelf.instances.iter().map(|(place, ())| *place))
    }

    /// The instance at a place.
    pub fn at(&self, place: RowPlace) -> Option<&Instance> {
        self.rows.at(place)
    }

    /// The place of an instance.
    pub(crate) fn place(&self, key: &InstanceKey) -> Option<RowPlace> {
        self.rows.place(key)
    }

    /// Adds an instance.
    pub(crate) fn add(&mut self, key: &InstanceKey, instance: Instance) {
        let place = self.rows.set(key, instance);
        self.shelve(place);
    }

    /// Changes an instance in whatever its order depends on.
    pub(crate) fn change<R>(&mut self, place: RowPlace, change: impl FnOnce(&mut Instance) -> R) -> R {
        self.reindex(place, Indexing::Out);
        let result = change(self.rows.change(place).expect("what is changed is there"));
        self.reindex(place, Indexing::In);
        result
    }

    /// Changes an instance in what its order does not depend on. Whoever uses up an element says so by [`Bundles::used_up`].
    pub(crate) fn change_beside<R>(&mut self, place: RowPlace, change: impl FnOnce(&mut Instance) -> R) -> R {
        change(self.rows.change(place).expect("what is changed is there"))
    }

    /// Takes an element that has been used up out of its group.
    pub(crate) fn used_up(&mut self, place: RowPlace, element: usize) {
        let (key, instance) = self.rows.row(place).expect(THERE);
        let instance = instance.expect(THERE);
        let shelf = shelf_mut(&mut self.accounts, &mut self.endpoints, key);
        let key = match instance.phase {
            Phase::Active { start, end } => ActiveKey {
                expiry: end.unwrap_or(Timestamp::FAR_FUTURE),
                origin: Origin::of(instance),
                effective: start,
                id: instance.id.clone(),
                element,
            },
            Phase::Pending | Phase::Armed => unreachable!("what is drawn from is active"),
        };
        shelf.group(instance, element).active.remove(&key);
    }

    /// Removes an instance: that is a change.
    pub(crate) fn remove(&mut self, place: RowPlace) {
        self.unshelve(place);
        self.rows.remove(place);
    }

    /// Drops what no event at or after the horizon can see of an instance; returns whether that changed anything.
    pub(crate) fn forget(&mut self, place: RowPlace, horizon: Timestamp) -> bool {
        let Some(instance) = self.rows.at(place) else { return false };
        if instance.drawn_until().is_some_and(|until| until <= horizon) {
            self.remove(place);
            return true;
        }
        let has_old = instance.statuses.get(1).is_some_and(|(from, _)| *from <= horizon);
        if has_old && let Some(instance) = self.rows.change(place) {
            forget_statuses(&mut instance.statuses, horizon);
        }
        has_old
    }

    /// Puts back an instance that was written down, or that it is gone; [`Bundles::index_all`] has to follow.
    pub(crate) fn restore(&mut self, key: &InstanceKey, instance: Option<Instance>, cycle: u32) {
        self.rows.restore(key, instance, cycle);
    }

    /// Puts everything that was restored into the index.
    pub(crate) fn index_all(&mut self) {
        (self.accounts, self.endpoints) = (Vec::new(), HashMap::new());
        for place in 0..self.rows.end() {
            if self.rows.at(place).is_some() {
                self.shelve(place);
            }
        }
    }

    /// Puts back what was there at the last settling.
    pub(crate) fn undo(&mut self) {
        let mut rows = std::mem::take(&mut self.rows);
        rows.undo(|place, key, now, before| {
            if let Some(now) = now {
                self.take_off(place, key, now);
            }
            if let Some(before) = before {
                self.put_on(place, key, before);
            }
        });
        self.rows = rows;
    }

    fn shelve(&mut self, place: RowPlace) {
        let rows = std::mem::take(&mut self.rows);
        if let Some((key, Some(instance))) = rows.row(place) {
            self.put_on(place, key, instance);
        }
        self.rows = rows;
    }

    fn unshelve(&mut self, place: RowPlace) {
        let rows = std::mem::take(&mut self.rows);
        if let Some((key, Some(instance))) = rows.row(place) {
            self.take_off(place, key, instance);
        }
        self.rows = rows;
    }

    fn put_on(&mut self, place: RowPlace, key: &InstanceKey, instance: &Instance) {
        let index = key.account.index();
        if self.accounts.len() <= index {
            self.accounts.resize_with(index + 1, AccountShelves::default);
        }
        let held = &mut self.accounts[index];
        let shelf = match &key.holder {
            Some(endpoint) => {
                held.of_endpoints += 1;
                self.endpoints.entry((key.account, endpoint.clone())).or_default()
            }
            None => held.pools.get_or_insert_default(),
        };
        shelf.instances.insert(place, ());
        // Groups stay when they are empty, until something is added: what is used up costs no more than it has to.
        shelf.groups.retain(|group| !group.is_empty());
        shelf.index(place, instance, Indexing::In);
    }

    fn take_off(&mut self, place: RowPlace, key: &InstanceKey, instance: &Instance) {
        let shelf = shelf_mut(&mut self.accounts, &mut self.endpoints, key);
        shelf.index(place, instance, Indexing::Out);
        shelf.instances.remove(&place);
        let is_empty = shelf.instances.is_empty();
        let held = &mut self.accounts[key.account.index()];
        match &key.holder {
            Some(endpoint) => {
                held.of_endpoints -= 1;
                if is_empty {
                    self.endpoints.remove(&EndpointRef(key.account, endpoint));
                }
            }
            None if is_empty => held.pools = None,
            None => {}
        }
    }

    fn reindex(&mut self, place: RowPlace, what: Indexing) {
        let (key, instance) = self.rows.row(place).expect(THERE);
        let instance = instance.expect(THERE);
        shelf_mut(&mut self.accounts, &mut self.endpoints, key).index(place, instance, what);
    }
}

/// The shelf on which an instance stands.
fn shelf_mut<'s>(
    accounts: &'s mut [AccountShelves],
    endpoints: &'s mut HashMap<(AccountNumber, Arc<str>), Shelf>,
    key: &InstanceKey,
) -> &'s mut Shelf {
    let shelf = match &key.holder {
        Some(endpoint) => endpoints.get_mut(&EndpointRef(key.account, endpoint)),
        None => accounts.get_mut(key.account.index()).and_then(|held| held.pools.as_deref_mut()),
    };
    shelf.expect("an instance stands on a shelf")
}

/// A key of an endpoint's shelf that owns nothing.
#[derive(Hash)]
struct EndpointRef<'k>(AccountNumber, &'k str);

impl hashbrown::Equivalent<(AccountNumber, Arc<str>)> for EndpointRef<'_> {
    fn equivalent(&self, key: &(AccountNumber, Arc<str>)) -> bool {
        self.0 == key.0 && *self.1 == *key.1
    }
}
