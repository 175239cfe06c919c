//! Rate: the owner of account state. Applies legs and commands in order; each has exactly one outcome.

use hashbrown::HashMap;
use hashbrown::hash_map::EntryRef;
use rating::account::{Account, Member};
use rating::charge::Outputs;
use rating::command::{CommandRefusal, GuidedCommand, apply_command};
use rating::leg::Leg;
use rating::rate::Scope;
use rating::{AccountId, SuspenseReason, Timestamp, needs_member, rate_leg};
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
    /// Per endpoint; the empty name for records without one.
    pub members: HashMap<String, Tracked<Member>>,
    is_dirty: bool,
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

/// What changed accounts and members were before.
#[derive(Debug, Default)]
struct Journal {
    accounts: Vec<(usize, Account)>,
    members: Vec<(usize, String, Option<Member>)>,
    /// In which cycle accounts and members had been written down before; by the name of its endpoint for a member.
    written: Vec<(usize, Option<String>, u32)>,
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
    Account(&'s AccountId, &'s Account),
    /// A member of an account.
    Member(&'s AccountId, &'s str, &'s Member),
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
                journal.accounts.push((place, entry.account.clone()));
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
        let mut mark = Marking { cycle, journal: self.journal.as_mut() };
        for place in self.dirty.drain(..) {
            let Some(Slot { id, entry }) = self.slots.get_mut(place) else { continue };
            entry.is_dirty = false;
            mark.account(place, &mut entry.written);
            visit(Change::Account(id, &entry.account));
            let changed = entry.members.iter_mut().filter(|(_, member)| member.is_dirty);
            for (endpoint, member) in in_order(changed) {
                member.is_dirty = false;
                mark.member(place, endpoint, &mut member.written);
                visit(Change::Member(id, endpoint, &member.value));
            }
        }
    }

    /// Visits what was last written down before `cycle`, from a place on, until `visit` says that it is enough. Returns the place from which
    /// to go on; `None` at the end: then all of the state was written down in this cycle, and what was written before is not needed any more.
    pub fn sweep(
        &mut self,
        cycle: u32,
        from: usize,
        mut visit: impl FnMut(Change<'_>) -> ControlFlow<()>,
    ) -> Option<usize> {
        let mut mark = Marking { cycle, journal: self.journal.as_mut() };
        for (place, Slot { id, entry }) in self.slots.iter_mut().enumerate().skip(from) {
            if mark.account(place, &mut entry.written) && visit(Change::Account(id, &entry.account)).is_break() {
                return Some(place);
            }
            let left = entry.members.iter_mut().filter(|(_, member)| member.written < cycle);
            for (endpoint, member) in in_order(left) {
                mark.member(place, endpoint, &mut member.written);
                if visit(Change::Member(id, endpoint, &member.value)).is_break() {
                    return Some(place);
                }
            }
        }
        None
    }

    /// What changed up to here is committed: it will not be undone.
    pub fn settle(&mut self) {
        if let Some(journal) = &mut self.journal {
            journal.accounts.clear();
            journal.members.clear();
            journal.written.clear();
        }
    }

    /// Puts back what stood there at the last [`RateShard::settle`].
    pub fn undo(&mut self) {
        // Changes that nobody has taken yet are none any more.
        for place in self.dirty.drain(..) {
            let Some(Slot { entry, .. }) = self.slots.get_mut(place) else { continue };
            entry.is_dirty = false;
            entry.members.values_mut().for_each(|member| member.is_dirty = false);
        }
        let Some(journal) = &mut self.journal else { return };
        // The other way round: what was changed, taken and changed again has two entries, and the first one counts.
        for (place, endpoint, member) in journal.members.drain(..).rev() {
            let Some(Slot { entry, .. }) = self.slots.get_mut(place) else { continue };
            match member {
                Some(value) => entry.members.entry(endpoint).or_default().value = value,
                None => drop(entry.members.remove(&endpoint)),
            }
        }
        for (place, account) in journal.accounts.drain(..).rev() {
            if let Some(Slot { entry, .. }) = self.slots.get_mut(place) {
                entry.account = account;
            }
        }
        for (place, endpoint, written) in journal.written.drain(..).rev() {
            let Some(Slot { entry, .. }) = self.slots.get_mut(place) else { continue };
            match endpoint {
                Some(endpoint) => {
                    entry.members.get_mut(&endpoint).into_iter().for_each(|member| member.written = written)
                }
                None => entry.written = written,
            }
        }
    }

    /// Visits the whole state, in order of account and member: for a checkpoint.
    pub fn visit_all(&self, mut visit: impl FnMut(Change<'_>)) {
        for (id, entry) in self.accounts() {
            visit(Change::Account(id, &entry.account));
            let mut members: Vec<_> = entry.members.iter().collect();
            members.sort_unstable_by_key(|(endpoint, _)| *endpoint);
            for (endpoint, member) in members {
                visit(Change::Member(id, endpoint, &member.value));
            }
        }
    }

    /// Drops counters of sessions and months that legs from now on do not look at any more ([`Leg::remembered_from`]), so this only
    /// frees memory.
    pub fn forget(&mut self, remembered_from: Timestamp) {
        for Slot { entry, .. } in &mut self.slots {
            entry.account.counters.retain(|_, counter| counter.is_remembered(Scope::Month, remembered_from));
            for member in entry.members.values_mut() {
                member.value.sessions.retain(|_, counter| counter.is_remembered(Scope::Session, remembered_from));
            }
        }
    }

    /// Puts back an account that was written down in a cycle.
    pub fn restore_account(&mut self, id: AccountId, account: Account, cycle: u32) {
        if let Some(entry) = self.entry_mut(&id) {
            (entry.account, entry.written) = (account, cycle);
        }
    }

    /// Puts back a member that was written down in a cycle.
    pub fn restore_member(&mut self, id: AccountId, endpoint: String, member: Member, cycle: u32) {
        if let Some(entry) = self.entry_mut(&id) {
            entry.members.insert(endpoint, Tracked { value: member, is_dirty: false, written: cycle });
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

/// Members in the order of their names: what is written down must not depend on where a map keeps them.
fn in_order<'m>(
    members: impl Iterator<Item = (&'m String, &'m mut Tracked<Member>)>,
) -> Vec<(&'m String, &'m mut Tracked<Member>)> {
    let mut members: Vec<_> = members.collect();
    members.sort_unstable_by_key(|(endpoint, _)| *endpoint);
    members
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

    fn member(&mut self, place: usize, endpoint: &str, written: &mut u32) {
        if *written < self.cycle {
            self.note(place, Some(endpoint), written);
        }
    }

    fn note(&mut self, place: usize, endpoint: Option<&str>, written: &mut u32) {
        if let Some(journal) = &mut self.journal {
            journal.written.push((place, endpoint.map(str::to_owned), *written));
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
        if needs_member(leg, &self.entry.account) {
            let (account, member) = self.with_member(leg.endpoint.unwrap_or(""));
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
        let member = match self.entry.members.entry_ref(endpoint) {
            EntryRef::Occupied(known) => {
                let member = known.into_mut();
                if let Some(journal) = self.journal.as_mut().filter(|_| !member.is_dirty) {
                    journal.members.push((self.place, endpoint.to_owned(), Some(member.value.clone())));
                }
                member
            }
            EntryRef::Vacant(free) => {
                if let Some(journal) = &mut self.journal {
                    journal.members.push((self.place, endpoint.to_owned(), None));
                }
                free.insert(Tracked::default())
            }
        };
        member.is_dirty = true;
        (&mut self.entry.account, &mut member.value)
    }
}
