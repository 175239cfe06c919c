//! Rate: the owner of account state. Applies legs and commands in order; each has exactly one outcome.

use hashbrown::{DefaultHashBuilder, HashMap};
use indexmap::IndexMap;
use indexmap::map::raw_entry_v1::{RawEntryApiV1, RawEntryMut};
use rating::account::{Account, Member};
use rating::bundle::Instance;
use rating::charge::Outputs;
use rating::command::{CommandRefusal, GuidedCommand, apply_command};
use rating::holding::HeldBytes;
use rating::leg::Leg;
use rating::{
    AccountId, Counter, Horizons, SessionCounter, SessionState, SuspenseReason, Table, Unit, knows_session,
    needs_member, rate_leg,
};
use std::cell::Cell;
use std::ops::ControlFlow;

/// One thing to do for one account.
#[derive(Clone, Copy, Debug)]
pub struct Task<'a> {
    /// Position of the record in its batch.
    pub position: u32,
    /// What to do.
    pub work: Work<'a>,
}

/// A leg or a command.
#[derive(Clone, Copy, Debug)]
pub enum Work<'a> {
    /// Rate a leg.
    Leg(Leg<'a>),
    /// Apply a command.
    Command(GuidedCommand<'a>),
}

/// The outcome of one task, and where its outputs end in the batch's [`Outputs`].
#[derive(Clone, Copy, Debug)]
pub struct RatedTask {
    /// Position of the record in its batch.
    pub position: u32,
    /// Level of the edge.
    pub level: u8,
    /// Quantity of the leg, 0 for a command.
    pub quantity: u64,
    /// Unit of the leg's rate, where it has one.
    pub rate_unit: Option<Unit>,
    /// What became of it.
    pub outcome: RateOutcome,
    /// End of its charges.
    pub charges_end: u32,
    /// End of its deltas without a charge.
    pub deltas_end: u32,
    /// End of its notifications.
    pub notifications_end: u32,
}

/// What became of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateOutcome {
    /// The leg was charged, perhaps 0.
    Charged,
    /// The leg waits.
    Suspended(SuspenseReason),
    /// The command was applied.
    Applied,
    /// The command was refused.
    Refused(CommandRefusal),
}

/// The state of one account with its members, as kept and as written down.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The account.
    pub account: Account,
    /// Per endpoint, in the order in which they came; the empty name for records without one. None is ever removed, but by undoing.
    pub members: IndexMap<String, Tracked<Member>, DefaultHashBuilder>,
    is_dirty: bool,
    /// Places of the members that changed: of a million, a batch changes a few.
    dirty_members: Vec<usize>,
    /// The cycle in which the account was last written down.
    written: u32,
}

/// A member and whether it changed since the last commit.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tracked<T> {
    /// The value.
    pub value: T,
    is_dirty: bool,
    /// The cycle in which it was last written down.
    written: u32,
}

/// How many tasks look for their accounts together.
const AHEAD: usize = 16;
/// Counters of one change, at most, and sessions as well: some 100 bytes for one of each when they are written down.
const COUNTERS_TOGETHER: usize = 4_096;

/// The accounts of one shard.
#[derive(Debug, Default)]
pub struct RateShard {
    /// Where each account stands; none is ever removed.
    places: HashMap<AccountId, usize>,
    slots: Vec<Slot>,
    dirty: Vec<usize>,
    /// Where a runtime may have to undo a batch: what stood there before its first change.
    journal: Option<Journal>,
}

/// What changed accounts and members were before. Counters know that themselves.
#[derive(Debug, Default)]
struct Journal {
    /// Without counters.
    accounts: Vec<(usize, Account)>,
    /// By the place of the member; `None` where there was no such member.
    members: Vec<(usize, usize, Option<Vec<Instance>>)>,
    /// In which cycle accounts and members had been written down before; by its place for a member.
    written: Vec<(usize, Option<usize>, u32)>,
}

#[derive(Debug)]
struct Slot {
    id: AccountId,
    entry: Entry,
}

/// A part of the state that changed: what a commit has to write down.
#[derive(Debug)]
pub enum Change<'s> {
    /// An account, without its members.
    Account {
        /// Its name.
        id: &'s AccountId,
        /// Of which everything counts but the counters.
        account: &'s Account,
        /// Counters of months, in the order of their keys.
        counters: &'s [(u128, Counter)],
        /// Whether these are all counters.
        extent: Extent,
    },
    /// A member of an account.
    Member {
        /// The account.
        id: &'s AccountId,
        /// The member's endpoint.
        endpoint: &'s str,
        /// Its bundles, all of them.
        bundles: &'s [Instance],
        /// Sessions, in the order of their keys.
        sessions: &'s [(u128, SessionState)],
        /// Counters of sessions, in the order of their keys.
        counters: &'s [(u128, SessionCounter)],
        /// Says whether these are all sessions and counters.
        extent: Extent,
    },
}

/// How much of the counters a change holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All: what was known of others is over.
    Whole,
    /// Some: others stay as they are.
    Part,
}

/// A place in the order of all accounts and their members, up to which a sweep has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SweepPlace {
    account: usize,
    member: usize,
}

impl RateShard {
    /// An empty shard that can [undo](RateShard::undo).
    pub fn with_undo() -> RateShard {
        RateShard { journal: Some(Journal::default()), ..RateShard::default() }
    }

    /// Does the tasks in order. Outputs are added to `outputs`, one outcome per task to `rated`.
    pub fn execute<'a>(
        &mut self,
        tasks: impl IntoIterator<Item = Task<'a>>,
        outputs: &mut Outputs<'a>,
        rated: &mut Vec<RatedTask>,
    ) {
        let mut tasks = tasks.into_iter();
        let mut group = Vec::with_capacity(AHEAD);
        loop {
            // With many accounts most of the time goes by waiting for memory. Look-ups that do not depend on each other wait together.
            group.extend(tasks.by_ref().take(AHEAD).map(|task| (self.touch(task.work.payer()), task)));
            if group.is_empty() {
                return;
            }
            for (place, task) in group.drain(..) {
                let Some(Slot { entry, .. }) = self.slots.get_mut(place) else { continue };
                let mut touched = Touched { place, entry, journal: self.journal.as_mut() };
                let (level, quantity, outcome) = match &task.work {
                    Work::Leg(leg) => {
                        let outcome = match touched.rate(leg, outputs) {
                            Ok(()) => RateOutcome::Charged,
                            Err(reason) => RateOutcome::Suspended(reason),
                        };
                        (leg.edge.level, leg.usage.quantity, outcome)
                    }
                    Work::Command(guided) => {
                        let outcome = match touched.command(guided, outputs) {
                            Ok(()) => RateOutcome::Applied,
                            Err(refusal) => RateOutcome::Refused(refusal),
                        };
                        (guided.edge.level, 0, outcome)
                    }
                };
                rated.push(RatedTask {
                    position: task.position,
                    level,
                    quantity,
                    rate_unit: match &task.work {
                        Work::Leg(leg) => leg.rate.unit(),
                        Work::Command(_) => None,
                    },
                    outcome,
                    charges_end: outputs.charges.len() as u32,
                    deltas_end: outputs.deltas.len() as u32,
                    notifications_end: outputs.notifications.len() as u32,
                });
            }
        }
    }

    /// Where an account stands, from now on among those that changed.
    fn touch(&mut self, id: &AccountId) -> usize {
        let place = self.place(id);
        if let Some(Slot { entry, .. }) = self.slots.get_mut(place).filter(|slot| !slot.entry.is_dirty) {
            entry.is_dirty = true;
            self.dirty.push(place);
            if let Some(journal) = &mut self.journal {
                journal.accounts.push((place, entry.account.without_counters()));
            }
        }
        place
    }

    fn place(&mut self, id: &AccountId) -> usize {
        let slots = &mut self.slots;
        *self.places.entry_ref(id).or_insert_with(|| {
            slots.push(Slot { id: id.clone(), entry: Entry::default() });
            slots.len() - 1
        })
    }

    /// Visits what changed since the last call, each account and member once, and forgets that it changed. A runtime that writes state down
    /// in cycles names the present one, see [`RateShard::sweep`]; for others it is 0.
    pub fn take_changes(&mut self, cycle: u32, mut visit: impl FnMut(Change<'_>)) {
        let can_undo = self.journal.is_some();
        let mut mark = Marking { cycle, journal: self.journal.as_mut() };
        for place in self.dirty.drain(..) {
            let Some(Slot { id, entry }) = self.slots.get_mut(place) else { continue };
            entry.is_dirty = false;
            let (counters, extent) = take_changed(&mut entry.account.counters, can_undo);
            if extent == Extent::Whole {
                mark.account(place, &mut entry.written);
            }
            let account = &entry.account;
            in_parts(&counters, &[], extent, |counters, _: &[()], extent| {
                visit(Change::Account { id, account, counters, extent });
            });
            for at in entry.dirty_members.drain(..) {
                let Some((endpoint, member)) = entry.members.get_index_mut(at) else { continue };
                member.is_dirty = false;
                let (sessions, extent_of_sessions) = take_changed(&mut member.value.sessions, can_undo);
                let (counters, extent_of_counters) = take_changed(&mut member.value.counters, can_undo);
                let extent = match (extent_of_sessions, extent_of_counters) {
                    (Extent::Whole, Extent::Whole) => Extent::Whole,
                    (Extent::Part, _) | (_, Extent::Part) => Extent::Part,
                };
                if extent == Extent::Whole {
                    mark.member(place, at, &mut member.written);
                }
                let bundles = &member.value.bundles;
                in_parts(&sessions, &counters, extent, |sessions, counters, extent| {
                    visit(Change::Member { id, endpoint, bundles, sessions, counters, extent });
                });
            }
        }
    }

    /// Visits the whole of what was last written down so before `cycle`, from a place on, until `visit` says that it is enough; an account or a member that was
    /// begun is ended. Returns the place from which to go on; `None` at the end: then all of the state was written down in this cycle, and what was written before is not needed
    /// any more.
    pub fn sweep(
        &mut self,
        cycle: u32,
        from: SweepPlace,
        mut visit: impl FnMut(Change<'_>) -> ControlFlow<()>,
    ) -> Option<SweepPlace> {
        let mut mark = Marking { cycle, journal: self.journal.as_mut() };
        // Half of a whole is none: all of its parts are visited, also if it was enough before the last of them.
        let answer = Cell::new(ControlFlow::Continue(()));
        let mut visit = |change: Change<'_>| answer.set(visit(change));
        let mut first = from.member;
        for (place, Slot { id, entry }) in self.slots.iter_mut().enumerate().skip(from.account) {
            if mark.account(place, &mut entry.written) {
                visit_account(id, &entry.account, &mut visit);
                if answer.get().is_break() {
                    return Some(SweepPlace { account: place, member: 0 });
                }
            }
            for at in std::mem::take(&mut first)..entry.members.len() {
                let Some((endpoint, member)) = entry.members.get_index_mut(at) else { continue };
                if mark.member(place, at, &mut member.written) {
                    visit_member(id, endpoint, &member.value, &mut visit);
                    if answer.get().is_break() {
                        return Some(SweepPlace { account: place, member: at + 1 });
                    }
                }
            }
        }
        None
    }

    /// What changed up to here is committed: it will not be undone.
    pub fn settle(&mut self) {
        let Some(journal) = &mut self.journal else { return };
        for (place, _) in journal.accounts.drain(..) {
            let Some(Slot { entry, .. }) = self.slots.get_mut(place) else { continue };
            entry.account.counters.settle();
        }
        for (place, at, _) in journal.members.drain(..) {
            let member = self.slots.get_mut(place).and_then(|slot| slot.entry.members.get_index_mut(at));
            member.into_iter().for_each(|(_, member)| {
                member.value.sessions.settle();
                member.value.counters.settle();
            });
        }
        journal.written.clear();
    }

    /// Puts back what stood there at the last [`RateShard::settle`].
    pub fn undo(&mut self) {
        // Changes that nobody has taken yet are none any more.
        for place in self.dirty.drain(..) {
            let Some(Slot { entry, .. }) = self.slots.get_mut(place) else { continue };
            entry.is_dirty = false;
            for at in entry.dirty_members.drain(..) {
                entry.members.get_index_mut(at).into_iter().for_each(|(_, member)| member.is_dirty = false);
            }
        }
        let Some(journal) = &mut self.journal else { return };
        // The other way round: what was changed, taken and changed again has two entries, and the first one counts; the member that came
        // last goes first.
        for (place, at, bundles) in journal.members.drain(..).rev() {
            let Some(Slot { entry, .. }) = self.slots.get_mut(place) else { continue };
            match (bundles, entry.members.get_index_mut(at)) {
                (Some(bundles), Some((_, member))) => {
                    (member.value.bundles, member.value.held) = (bundles, HeldBytes::default());
                    member.value.sessions.undo();
                    member.value.counters.undo();
                }
                (None, _) | (_, None) => entry.members.truncate(at),
            }
        }
        for (place, account) in journal.accounts.drain(..).rev() {
            if let Some(Slot { entry, .. }) = self.slots.get_mut(place) {
                entry.account.put_back(account);
                entry.account.counters.undo();
            }
        }
        for (place, member, written) in journal.written.drain(..).rev() {
            let Some(Slot { entry, .. }) = self.slots.get_mut(place) else { continue };
            match member {
                Some(at) => {
                    entry.members.get_index_mut(at).into_iter().for_each(|(_, member)| member.written = written)
                }
                None => entry.written = written,
            }
        }
    }

    /// Visits the whole state, in order of account and member: for a checkpoint.
    pub fn visit_all(&self, mut visit: impl FnMut(Change<'_>)) {
        for (id, entry) in self.accounts() {
            visit_account(id, &entry.account, &mut visit);
            let mut members: Vec<_> = entry.members.iter().collect();
            members.sort_unstable_by_key(|(endpoint, _)| *endpoint);
            for (endpoint, member) in members {
                visit_member(id, endpoint, &member.value, &mut visit);
            }
        }
    }

    /// Drops months and sessions that legs from now on do not look at any more ([`Leg::horizons`]), so this only
    /// frees memory.
    pub fn forget(&mut self, horizons: Horizons) {
        for Slot { entry, .. } in &mut self.slots {
            entry.account.counters.retain(|counter| counter.is_remembered_month(horizons.remembered_from));
            for member in entry.members.values_mut() {
                member.value.forget_sessions(horizons.sessions_from);
            }
        }
    }

    /// Puts back an account that was written down in a cycle.
    pub fn restore_account(&mut self, id: AccountId, account: Account, extent: Extent, cycle: u32) {
        let Some(entry) = self.entry_mut(&id) else { return };
        match extent {
            Extent::Whole => (entry.account, entry.written) = (account, cycle),
            Extent::Part => {
                for (key, counter) in account.counters.iter() {
                    entry.account.counters.restore(key, *counter);
                }
                entry.account.put_back(account);
            }
        }
    }

    /// Puts back a member that was written down in a cycle.
    pub fn restore_member(&mut self, id: AccountId, endpoint: String, member: Member, extent: Extent, cycle: u32) {
        let Some(entry) = self.entry_mut(&id) else { return };
        let known = entry.members.entry(endpoint).or_default();
        match extent {
            Extent::Whole => (known.value, known.written) = (member, cycle),
            Extent::Part => {
                (known.value.bundles, known.value.held) = (member.bundles, HeldBytes::default());
                for (key, state) in member.sessions.iter() {
                    known.value.sessions.restore(key, *state);
                }
                for (key, counter) in member.counters.iter() {
                    known.value.counters.restore(key, *counter);
                }
            }
        }
    }

    fn entry_mut(&mut self, id: &AccountId) -> Option<&mut Entry> {
        let place = self.place(id);
        self.slots.get_mut(place).map(|slot| &mut slot.entry)
    }

    /// The state of an account: for reports and explanations.
    pub fn entry(&self, id: &AccountId) -> Option<&Entry> {
        self.slots.get(*self.places.get(id)?).map(|slot| &slot.entry)
    }

    /// How many accounts there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// All accounts in order.
    pub fn accounts(&self) -> Vec<(&AccountId, &Entry)> {
        let mut all: Vec<_> = self.slots.iter().map(|slot| (&slot.id, &slot.entry)).collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all
    }
}

/// Takes the values that changed, and says whether these are all. Where nothing is ever undone, what they were before is not needed.
fn take_changed<V: Copy>(all: &mut Table<V>, can_undo: bool) -> (Vec<(u128, V)>, Extent) {
    let changed = all.take_changed();
    if !can_undo {
        all.settle();
    }
    let extent = if changed.len() == all.len() { Extent::Whole } else { Extent::Part };
    (changed, extent)
}

/// Visits all of an account, in changes of a size that can be written down.
fn visit_account(id: &AccountId, account: &Account, visit: &mut impl FnMut(Change<'_>)) {
    in_parts(&account.counters.sorted(), &[], Extent::Whole, |counters, _: &[()], extent| {
        visit(Change::Account { id, account, counters, extent });
    });
}

/// Visits all of a member, in changes of a size that can be written down.
fn visit_member(id: &AccountId, endpoint: &str, member: &Member, visit: &mut impl FnMut(Change<'_>)) {
    let Member { bundles, sessions, counters, held: _ } = member;
    in_parts(&sessions.sorted(), &counters.sorted(), Extent::Whole, |sessions, counters, extent| {
        visit(Change::Member { id, endpoint, bundles, sessions, counters, extent });
    });
}

/// Visits two lists in slices side by side, of which the first two are of the extent of all, and the others are parts.
fn in_parts<A, B>(first: &[A], second: &[B], extent: Extent, mut visit: impl FnMut(&[A], &[B], Extent)) {
    let (mut a, mut b) = (first.chunks(COUNTERS_TOGETHER), second.chunks(COUNTERS_TOGETHER));
    let mut next = || (a.next(), b.next());
    let (first, second) = next();
    visit(first.unwrap_or_default(), second.unwrap_or_default(), extent);
    loop {
        match next() {
            (None, None) => return,
            (first, second) => visit(first.unwrap_or_default(), second.unwrap_or_default(), Extent::Part),
        }
    }
}

/// Takes note of what is written down in a cycle.
struct Marking<'j> {
    cycle: u32,
    journal: Option<&'j mut Journal>,
}

impl Marking<'_> {
    /// Returns whether the account had not been written down in this cycle yet.
    fn account(&mut self, place: usize, written: &mut u32) -> bool {
        let is_first = *written < self.cycle;
        if is_first {
            self.note(place, None, written);
        }
        is_first
    }

    /// The same of a member.
    fn member(&mut self, place: usize, at: usize, written: &mut u32) -> bool {
        let is_first = *written < self.cycle;
        if is_first {
            self.note(place, Some(at), written);
        }
        is_first
    }

    fn note(&mut self, place: usize, member: Option<usize>, written: &mut u32) {
        if let Some(journal) = &mut self.journal {
            journal.written.push((place, member, *written));
        }
        *written = self.cycle;
    }
}

impl<'a> Work<'a> {
    /// The account that it is for.
    fn payer(&self) -> &'a AccountId {
        match self {
            Work::Leg(leg) => &leg.edge.payer,
            Work::Command(guided) => &guided.edge.payer,
        }
    }
}

/// An account at work.
struct Touched<'s> {
    place: usize,
    entry: &'s mut Entry,
    journal: Option<&'s mut Journal>,
}

impl Touched<'_> {
    fn rate<'a>(&mut self, leg: &Leg<'a>, outputs: &mut Outputs<'a>) -> Result<(), SuspenseReason> {
        let endpoint = leg.endpoint.unwrap_or("");
        let has_session = || self.entry.members.get(endpoint).is_some_and(|member| knows_session(leg, &member.value));
        if needs_member(leg, &self.entry.account) || has_session() {
            let (account, member) = self.with_member(endpoint);
            rate_leg(leg, account, Some(member), outputs)
        } else {
            rate_leg(leg, &mut self.entry.account, None, outputs)
        }
    }

    fn command<'a>(&mut self, guided: &GuidedCommand<'a>, outputs: &mut Outputs<'a>) -> Result<(), CommandRefusal> {
        // An endpoint account's own bundles are pools of that account.
        let endpoint = guided.command.kind.endpoint().filter(|_| guided.edge.level > 0);
        match endpoint {
            Some(endpoint) => {
                let (account, member) = self.with_member(endpoint);
                apply_command(guided, account, Some(member), outputs)
            }
            None => apply_command(guided, &mut self.entry.account, None, outputs),
        }
    }

    /// The account with one of its members, from now on among those that changed.
    fn with_member(&mut self, endpoint: &str) -> (&mut Account, &mut Member) {
        let Entry { account, members, dirty_members, .. } = &mut *self.entry;
        let (at, member, is_new) = match members.raw_entry_mut_v1().from_key(endpoint) {
            RawEntryMut::Occupied(known) => (known.index(), known.into_mut(), false),
            RawEntryMut::Vacant(free) => (free.index(), free.insert(endpoint.to_owned(), Tracked::default()).1, true),
        };
        if !member.is_dirty {
            member.is_dirty = true;
            dirty_members.push(at);
            if let Some(journal) = &mut self.journal {
                let before = (!is_new).then(|| member.value.bundles.clone());
                journal.members.push((self.place, at, before));
            }
        }
        (account, &mut member.value)
    }
}
