//! The state that rating owns: the accounts of one shard, as heads and tables (ADR 40).
//!
//! | table | key within its account | row |
//! | --- | --- | --- |
//! | accounts | | [`Head`]: money and status |
//! | timelines | | [`Timeline`]: what the directory says of the account over time |
//! | counters | rate and month | [`Counter`] |
//! | caps | tariff and month | [`CapCounter`] |
//! | sessions | endpoint, session | [`SessionState`] |
//! | session counters | endpoint, session, rate, version | [`SessionCounter`] |
//! | instances | holder, id | [`Instance`] |
//! | templates, zones | none: what instances name ([`dictionary`](crate::dictionary)) | |
//!
//! Whatever kind of row it is: a commit takes what changed ([`State::take_changes`]) and a share of the rest ([`State::sweep`]); then it is settled
//! or undone. What no event at or after the state horizon can see leaves when the sweep comes by.

use crate::account::{CapCounter, Head, forget_statuses};
use crate::bundle::Instance;
use crate::bundles::{Bundles, InstanceKey};
use crate::calendar::Timestamp;
use crate::counter::Counter;
use crate::dictionary::{Address, Dictionary, KnownTemplate};
use crate::due::{Due, Source};
use crate::id::AccountId;
use crate::identity;
use crate::session::{SessionCounter, SessionState};
use crate::table::{RowPlace, Table};
use crate::timeline::Timeline;
use crate::zone::Zone;
use std::ops::ControlFlow;
use std::sync::Arc;
use tables::{AnyTable, RowKey, tables};

mod due;
mod restore;
mod tables;

pub use restore::Unresolved;

/// Names an account within a shard: where its head stands. It is never written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountNumber(RowPlace);

impl AccountNumber {
    /// The number, to be used as an index.
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// Names an endpoint by a hash of its name, within an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointKey(pub u64);

impl EndpointKey {
    /// The key of an endpoint; of records without one, that of the empty name.
    pub fn of(endpoint: &str) -> EndpointKey {
        EndpointKey(identity::endpoint_key(endpoint))
    }
}

/// Names a row of an account by a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HashedKey {
    /// What the row is about.
    pub key: u128,
    /// The account.
    pub account: AccountNumber,
}

/// Names a row of an endpoint of an account by a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EndpointRowKey {
    /// What the row is about.
    pub key: u128,
    /// The endpoint.
    pub endpoint: EndpointKey,
    /// The account.
    pub account: AccountNumber,
}

/// A row of an account as it has to be written down.
#[derive(Clone, Copy, Debug)]
pub enum Row<'s> {
    /// A zone of the dictionary; `None` where it is gone.
    Zone(Address, Option<&'s Zone>),
    /// A template of the dictionary.
    Template(Address, Option<&'s KnownTemplate>),
    /// The head of an account.
    Account(&'s AccountId, Option<&'s Head>),
    /// What the directory says of an account over time.
    Timeline(&'s AccountId, Option<&'s Timeline>),
    /// A counter of a month.
    Counter(&'s AccountId, u128, Option<&'s Counter>),
    /// A cap.
    Cap(&'s AccountId, u128, Option<&'s CapCounter>),
    /// A session.
    Session(&'s AccountId, EndpointKey, u128, Option<&'s SessionState>),
    /// A counter of a session.
    SessionCounter(&'s AccountId, EndpointKey, u128, Option<&'s SessionCounter>),
    /// An instance of a bundle, by its holder and id.
    Instance(&'s AccountId, &'s InstanceKey, Option<&'s Instance>),
}

impl<'s> Row<'s> {
    /// The account whose row it is; `None` for what belongs to the whole shard.
    pub fn account(&self) -> Option<&'s AccountId> {
        match *self {
            Row::Zone(..) | Row::Template(..) => None,
            Row::Account(id, _)
            | Row::Timeline(id, _)
            | Row::Counter(id, ..)
            | Row::Cap(id, ..)
            | Row::Session(id, ..)
            | Row::SessionCounter(id, ..)
            | Row::Instance(id, ..) => Some(id),
        }
    }
}

/// A place among all rows, up to which a sweep has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SweepPlace {
    kind: usize,
    row: RowPlace,
}

/// Rows at which [`State::forget`] looks, whatever changed, and for each row that changed.
const LEAST_LOOKED_AT: usize = 100;
const LOOKED_AT_PER_CHANGE: usize = 4;

/// Rows at which a sweep looks at most in one go, also if it writes none of them: so many, or for each row that was just written so many.
const LEAST_SWEPT: usize = 20_000;
const SWEPT_PER_CHANGE: usize = 2;

const THERE: &str = "a place that was taken has a row";

/// The accounts of one shard.
#[derive(Debug, Default)]
pub struct State {
    accounts: Table<AccountId, Head>,
    timelines: Table<AccountNumber, Timeline>,
    pub(crate) counters: Table<HashedKey, Counter>,
    pub(crate) caps: Table<HashedKey, CapCounter>,
    pub(crate) sessions: Table<EndpointRowKey, SessionState>,
    pub(crate) session_counters: Table<EndpointRowKey, SessionCounter>,
    pub(crate) bundles: Bundles,
    pub(crate) dictionary: Dictionary,
    /// By the number of the account: it has or had a session. Where it is wrong it only costs time.
    has_sessions: Vec<bool>,
    /// Rows that were taken last.
    taken: usize,
    /// What no event from then on can see may have left.
    forgotten: Option<Timestamp>,
    /// The clock of ticks: what is done now is booked by it.
    clock: Option<Timestamp>,
    /// There is a counter that an older program made to say that a connect fee is settled.
    has_older_marks: bool,
    /// Who has work to come.
    pub(crate) due: Due,
}

// In the order in which a sweep visits them, and in which the rows of an account are written.
tables! {
    Zone: dictionary.zones,
    Template: dictionary.templates,
    Account: accounts,
    Timeline: timelines,
    Counter: counters,
    Cap: caps,
    Session: sessions,
    SessionCounter: session_counters,
    Instance: bundles.rows,
}

impl State {
    /// No accounts; changes can be undone.
    pub fn with_undo() -> State {
        let mut state = State::default();
        Kind::ALL.into_iter().for_each(|kind| state.table_mut(kind).allow_undo());
        state
    }

    /// The number of an account, which exists from now on.
    #[inline]
    pub fn account(&mut self, id: &AccountId) -> AccountNumber {
        match self.accounts.place(id) {
            Some(place) => AccountNumber(place),
            None => AccountNumber(self.accounts.set(id, Head::default())),
        }
    }

    /// The number of an account, if it exists.
    pub fn known_account(&self, id: &AccountId) -> Option<AccountNumber> {
        self.accounts.place(id).map(AccountNumber)
    }

    /// The head of an account.
    #[inline]
    pub fn head(&self, account: AccountNumber) -> &Head {
        self.accounts.at(account.0).expect("an account has a head")
    }

    /// The head of an account, to be changed.
    #[inline]
    pub fn head_mut(&mut self, account: AccountNumber) -> &mut Head {
        self.accounts.change(account.0).expect("an account has a head")
    }

    /// Returns whether an account may have sessions.
    #[inline]
    pub(crate) fn has_sessions(&self, account: AccountNumber) -> bool {
        self.has_sessions.get(account.index()).copied().unwrap_or(false)
    }

    pub(crate) fn note_sessions(&mut self, account: AccountNumber) {
        let index = account.index();
        if self.has_sessions.len() <= index {
            self.has_sessions.resize(index + 1, false);
        }
        self.has_sessions[index] = true;
    }

    pub(crate) fn has_older_marks(&self) -> bool {
        self.has_older_marks
    }

    /// All accounts, in order.
    pub fn accounts(&self) -> Vec<(&AccountId, &Head)> {
        let mut all: Vec<_> = self.accounts.iter().map(|(_, id, head)| (id, head)).collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all
    }

    /// All instances with their accounts, in no order.
    pub fn instances(&self) -> impl Iterator<Item = (&AccountId, &Instance)> {
        let rows = self.bundles.rows.iter();
        rows.map(|(_, key, instance)| (self.id(key.account), instance))
    }

    /// How many accounts there are.
    pub fn len(&self) -> usize {
        self.accounts.len()
    }

    /// Returns whether there is no account.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    pub(crate) fn id(&self, account: AccountNumber) -> &AccountId {
        self.accounts.row(account.0).expect("an account has a head").0
    }

    /// Visits what changed since the last call, account by account, and forgets that it changed. A runtime that writes state down in cycles names the
    /// present one, see [`State::sweep`]; for others it is 1.
    pub fn take_changes(&mut self, cycle: u32, mut visit: impl FnMut(Row<'_>)) {
        let mut all: Vec<(AccountNumber, Kind, RowPlace)> = Vec::new();
        for kind in Kind::ALL {
            // What leaves the dictionary is told by a sweep alone.
            let changed = self.table_mut(kind).take_changes(cycle).into_iter();
            all.extend(changed.filter_map(|(account, place)| Some((account?, kind, place))));
        }
        // Stable: rows of a kind stay in the order in which they changed.
        all.sort_by_key(|(account, kind, _)| (*account, *kind));
        self.taken = all.len();
        for (_, kind, place) in all {
            self.visit(kind, place, cycle, &mut visit);
        }
    }

    /// The clock of ticks: it is at least this late. `None` before the first tick.
    pub fn clock(&self) -> Option<Timestamp> {
        self.clock
    }

    /// It is at least this late now. Returns whether the clock has moved.
    pub fn advance_clock(&mut self, instant: Timestamp) -> bool {
        let moves = self.clock < Some(instant);
        self.clock = self.clock.max(Some(instant));
        moves
    }

    /// Puts the clock back to where it was, which whoever owns the shard keeps.
    pub fn restore_clock(&mut self, clock: Option<Timestamp>) {
        self.clock = clock;
    }

    /// The latest horizon behind which rows may have left: an earlier event cannot be rated as of its time any more, whatever the horizon is set to today.
    pub fn forgotten(&self) -> Timestamp {
        self.forgotten.unwrap_or(Timestamp::EPOCH)
    }

    /// Puts back the horizon behind which rows may have left.
    pub fn restore_forgotten(&mut self, horizon: Timestamp) {
        self.forgotten = self.forgotten.max(Some(horizon));
    }

    /// Visits the rows that were last written down before `cycle`, from a place on, until `visit` says that it is enough; rows that no event from the
    /// horizon on can see are dropped instead. Returns the place from which to go on; `None` at the end: then all rows were written down in this cycle,
    /// and what was written before the last cycle is not needed any more.
    pub fn sweep(
        &mut self,
        cycle: u32,
        from: SweepPlace,
        horizon: Timestamp,
        mut visit: impl FnMut(Row<'_>) -> ControlFlow<()>,
    ) -> Option<SweepPlace> {
        let (mut looked_at, most) = (0, LEAST_SWEPT.max(SWEPT_PER_CHANGE * self.taken));
        self.forgotten = self.forgotten.max(Some(horizon));
        for (at, kind) in Kind::ALL.into_iter().enumerate().skip(from.kind) {
            let mut place = if at == from.kind { from.row } else { 0 };
            let end = self.table(kind).end();
            while place < end {
                looked_at += 1;
                let is_news = match self.forget_row(kind, place, horizon) {
                    true => true,
                    false => self.table_mut(kind).mark_written(place, cycle),
                };
                let mut answer = ControlFlow::Continue(());
                if is_news {
                    // What was forgotten is a change, and is written here.
                    drop(self.table_mut(kind).take_changes(cycle));
                    self.visit(kind, place, cycle, &mut |row| {
                        if visit(row).is_break() {
                            answer = ControlFlow::Break(());
                        }
                    });
                }
                place += 1;
                if answer.is_break() || looked_at >= most {
                    return Some(SweepPlace { kind: at, row: place });
                }
            }
        }
        None
    }

    /// Drops what no event from the horizon on can see, from a place on; these are changes. Looks at several rows for each one that changed: so what is
    /// dead never becomes more than a part of the whole, and no call looks at everything. Returns the place from which to go on.
    pub fn forget(&mut self, from: SweepPlace, horizon: Timestamp) -> SweepPlace {
        let changed: usize = Kind::ALL.into_iter().map(|kind| self.table(kind).changed()).sum();
        self.forgotten = self.forgotten.max(Some(horizon));
        let mut left = LEAST_LOOKED_AT + LOOKED_AT_PER_CHANGE * changed;
        for (at, kind) in Kind::ALL.into_iter().enumerate().skip(from.kind) {
            let mut place = if at == from.kind { from.row } else { 0 };
            let end = self.table(kind).end();
            while place < end {
                if left == 0 {
                    return SweepPlace { kind: at, row: place };
                }
                left -= 1;
                self.forget_row(kind, place, horizon);
                place += 1;
            }
        }
        SweepPlace::default()
    }

    /// What changed up to here is committed: it will not be undone.
    pub fn settle(&mut self) {
        Kind::ALL.into_iter().for_each(|kind| self.table_mut(kind).settle());
    }

    /// Puts back what was there at the last [`State::settle`].
    pub fn undo(&mut self) {
        let State { accounts, timelines, due, .. } = self;
        // Before accounts, whose names they need.
        timelines.undo(|_, account, now, then| {
            let id = accounts.row(account.0).expect("an account has a head").0;
            let (now, then) = (now.and_then(Timeline::next_due), then.and_then(Timeline::next_due));
            due.replace(id, Source::Directory, now, then);
        });
        accounts.undo(|_, id, now, then| {
            due.replace(id, Source::Head, now.and_then(Head::next_due), then.and_then(Head::next_due));
        });
        // With its index, and therefore first: then its rows have nothing left to undo.
        self.bundles.undo();
        Kind::ALL.into_iter().for_each(|kind| self.table_mut(kind).undo());
    }

    /// Visits all rows, account by account in the order in which they came: for a checkpoint.
    pub fn visit_all(&self, mut visit: impl FnMut(Row<'_>)) {
        let mut all: Vec<(AccountNumber, Kind, RowPlace)> = Vec::new();
        for kind in Kind::ALL {
            self.table(kind).visit(&mut |account, place| match account {
                Some(account) => all.push((account, kind, place)),
                // All of the dictionary: what nothing names now may be named by the next batch, and counts as written.
                None => visit(self.row(kind, place)),
            });
        }
        all.sort_unstable();
        for (_, kind, place) in all {
            visit(self.row(kind, place));
        }
    }

    /// Drops the row at a place if no event from the horizon on can see it; returns whether that changed anything.
    fn forget_row(&mut self, kind: Kind, place: RowPlace, horizon: Timestamp) -> bool {
        match kind {
            Kind::Zone => forget_unnamed(&mut self.dictionary.zones, place),
            Kind::Template => forget_unnamed(&mut self.dictionary.templates, place),
            Kind::Account => {
                // What is still to be told of a status needs it.
                let ahead = self.accounts.at(place).and_then(Head::next_due);
                let horizon = ahead.map_or(horizon, |ahead| ahead.min(horizon));
                let is_old = |head: &Head| head.statuses.get(1).is_some_and(|(from, _)| *from <= horizon);
                let has_old = self.accounts.at(place).is_some_and(is_old);
                if has_old && let Some(head) = self.accounts.change(place) {
                    forget_statuses(&mut head.statuses, horizon);
                }
                has_old
            }
            Kind::Timeline => {
                let has_old = self.timelines.at(place).is_some_and(|timeline| timeline.has_old(horizon));
                if has_old && let Some(timeline) = self.timelines.change(place) {
                    // Nothing that is still to be told leaves, so that what is due stays as it is.
                    timeline.forget(horizon);
                }
                has_old
            }
            Kind::Counter => forget_if(&mut self.counters, place, |counter| !counter.is_remembered_month(horizon)),
            Kind::Cap => forget_if(&mut self.caps, place, |cap| cap.month.is_over(horizon)),
            Kind::Session => forget_if(&mut self.sessions, place, |session| session.last_event < horizon),
            Kind::SessionCounter => {
                let Some((key, Some(kept))) = self.session_counters.row(place) else { return false };
                let is_remembered = match kept.session {
                    Some(session) => {
                        let session = self.sessions.get(&EndpointRowKey { key: session.0.get(), ..*key });
                        session.is_some_and(|session| kept.counter.last_event >= session.since)
                    }
                    None => kept.counter.last_event >= horizon,
                };
                forget_if(&mut self.session_counters, place, |_| !is_remembered)
            }
            Kind::Instance => self.bundles.forget(place, horizon),
        }
    }

    /// Visits a row, after what it names and what was never written down before.
    fn visit(&mut self, kind: Kind, place: RowPlace, cycle: u32, visit: &mut impl FnMut(Row<'_>)) {
        if kind == Kind::Instance
            && let Some(template) = self.bundles.at(place).map(|instance| instance.template.clone())
        {
            self.visit_template(&template, cycle, visit);
        }
        if kind == Kind::Template
            && let Some(template) = self.dictionary.templates.at(place).cloned()
        {
            self.visit_zones(&template, cycle, visit);
        }
        visit(self.row(kind, place));
    }

    fn visit_template(&mut self, template: &KnownTemplate, cycle: u32, visit: &mut impl FnMut(Row<'_>)) {
        let place = self.dictionary.templates.place(&template.address).expect("an instance names a known template");
        if !self.dictionary.templates.is_written(place) {
            self.visit_zones(template, cycle, visit);
            self.dictionary.templates.mark_written(place, cycle);
            visit(Row::Template(template.address, Some(template)));
        }
    }

    fn visit_zones(&mut self, template: &KnownTemplate, cycle: u32, visit: &mut impl FnMut(Row<'_>)) {
        for address in &template.zones {
            let place = self.dictionary.zones.place(address).expect("a template names known zones");
            if !self.dictionary.zones.is_written(place) {
                self.dictionary.zones.mark_written(place, cycle);
                visit(Row::Zone(*address, self.dictionary.zones.at(place).map(|zone| &**zone)));
            }
        }
    }

    fn row(&self, kind: Kind, place: RowPlace) -> Row<'_> {
        match kind {
            Kind::Zone => {
                let (address, zone) = self.dictionary.zones.row(place).expect(THERE);
                Row::Zone(*address, zone.map(|zone| &**zone))
            }
            Kind::Template => {
                let (address, template) = self.dictionary.templates.row(place).expect(THERE);
                Row::Template(*address, template.map(|template| &**template))
            }
            Kind::Account => {
                let (id, head) = self.accounts.row(place).expect(THERE);
                Row::Account(id, head)
            }
            Kind::Timeline => {
                let (account, timeline) = self.timelines.row(place).expect(THERE);
                Row::Timeline(self.id(*account), timeline)
            }
            Kind::Counter => self.hashed(&self.counters, place, Row::Counter),
            Kind::Cap => self.hashed(&self.caps, place, Row::Cap),
            Kind::Session => self.of_endpoint(&self.sessions, place, Row::Session),
            Kind::SessionCounter => self.of_endpoint(&self.session_counters, place, Row::SessionCounter),
            Kind::Instance => {
                let (key, instance) = self.bundles.rows.row(place).expect(THERE);
                Row::Instance(self.id(key.account), key, instance)
            }
        }
    }

    /// The row at a place in a table whose keys are hashes.
    fn hashed<'s, V: Clone>(
        &'s self,
        table: &'s Table<HashedKey, V>,
        place: RowPlace,
        row: impl FnOnce(&'s AccountId, u128, Option<&'s V>) -> Row<'s>,
    ) -> Row<'s> {
        let (key, value) = table.row(place).expect(THERE);
        row(self.id(key.account), key.key, value)
    }

    /// The row at a place in a table whose keys are hashes within an endpoint.
    fn of_endpoint<'s, V: Clone>(
        &'s self,
        table: &'s Table<EndpointRowKey, V>,
        place: RowPlace,
        row: impl FnOnce(&'s AccountId, EndpointKey, u128, Option<&'s V>) -> Row<'s>,
    ) -> Row<'s> {
        let (key, value) = table.row(place).expect(THERE);
        row(self.id(key.account), key.endpoint, key.key, value)
    }
}

/// Removes the row at a place if it is over; returns whether it was.
fn forget_if<K: RowKey, V: Clone>(table: &mut Table<K, V>, place: RowPlace, is_over: impl FnOnce(&V) -> bool) -> bool {
    let forgets = table.at(place).is_some_and(is_over);
    if forgets {
        table.remove(place);
    }
    forgets
}

/// Removes an entry of the dictionary that nothing names any more, neither now nor after an undoing.
fn forget_unnamed<T>(table: &mut Table<Address, Arc<T>>, place: RowPlace) -> bool {
    forget_if(table, place, |entry| Arc::strong_count(entry) == 1)
}
