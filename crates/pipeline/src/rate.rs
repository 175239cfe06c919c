//! Rate: the owner of account state. Applies legs and commands in order; each has exactly one outcome.

use hashbrown::HashMap;
use rating::account::{Account, Member};
use rating::charge::Outputs;
use rating::command::{CommandRefusal, GuidedCommand, apply_command};
use rating::leg::Leg;
use rating::{AccountId, SuspenseReason, Timestamp, needs_member, rate_leg};

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
}

/// A member and whether it changed since the last commit.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tracked<T> {
    /// The value.
    pub value: T,
    is_dirty: bool,
}

/// The accounts of one shard.
#[derive(Debug, Default)]
pub struct RateShard {
    entries: HashMap<AccountId, Entry>,
    dirty: Vec<AccountId>,
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
    /// Does the tasks in order. Outputs are added to `outputs`, one outcome per task to `rated`.
    pub fn execute<'a>(
        &mut self,
        tasks: impl IntoIterator<Item = Task<'a>>,
        outputs: &mut Outputs<'a>,
        rated: &mut Vec<RatedTask>,
    ) {
        for task in tasks {
            let (level, quantity, outcome) = match &task.work {
                Work::Leg(leg) => {
                    let outcome = match self.rate(leg, outputs) {
                        Ok(()) => RateOutcome::Charged,
                        Err(reason) => RateOutcome::Suspended(reason),
                    };
                    (leg.edge.level, leg.usage.quantity, outcome)
                }
                Work::Command(guided) => {
                    let outcome = match self.command(guided, outputs) {
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

    fn rate<'a>(&mut self, leg: &Leg<'a>, outputs: &mut Outputs<'a>) -> Result<(), SuspenseReason> {
        let entry = touch(&mut self.entries, &mut self.dirty, &leg.edge.payer);
        if needs_member(leg, &entry.account) {
            let member = touch_member(&mut entry.members, leg.endpoint.unwrap_or(""));
            rate_leg(leg, &mut entry.account, Some(member), outputs)
        } else {
            rate_leg(leg, &mut entry.account, None, outputs)
        }
    }

    fn command<'a>(&mut self, guided: &GuidedCommand<'a>, outputs: &mut Outputs<'a>) -> Result<(), CommandRefusal> {
        let entry = touch(&mut self.entries, &mut self.dirty, &guided.edge.payer);
        // An endpoint account's own bundles are pools of that account.
        let endpoint = guided.command.kind.endpoint().filter(|_| guided.edge.level > 0);
        match endpoint {
            Some(endpoint) => {
                let member = touch_member(&mut entry.members, endpoint);
                apply_command(guided, &mut entry.account, Some(member), outputs)
            }
            None => apply_command(guided, &mut entry.account, None, outputs),
        }
    }

    /// Visits what changed since the last call, each account and member once, and forgets that it changed.
    pub fn take_changes(&mut self, mut visit: impl FnMut(Change<'_>)) {
        let dirty = std::mem::take(&mut self.dirty);
        for id in &dirty {
            let Some(entry) = self.entries.get_mut(id) else { continue };
            entry.is_dirty = false;
            visit(Change::Account(id, &entry.account));
            for (endpoint, member) in entry.members.iter_mut().filter(|(_, member)| member.is_dirty) {
                member.is_dirty = false;
                visit(Change::Member(id, endpoint, &member.value));
            }
        }
    }

    /// Visits the whole state, in order of account and member: for a checkpoint.
    pub fn visit_all(&self, mut visit: impl FnMut(Change<'_>)) {
        let mut ids: Vec<_> = self.entries.keys().collect();
        ids.sort_unstable();
        for id in ids {
            let Some(entry) = self.entries.get(id) else { continue };
            visit(Change::Account(id, &entry.account));
            let mut members: Vec<_> = entry.members.iter().collect();
            members.sort_unstable_by_key(|(endpoint, _)| *endpoint);
            for (endpoint, member) in members {
                visit(Change::Member(id, endpoint, &member.value));
            }
        }
    }

    /// Drops counters of sessions and months whose last event is earlier: legs from now on do not look at them any more
    /// ([`Leg::remembered_from`]), so this only frees memory.
    pub fn forget(&mut self, before: Timestamp) {
        for entry in self.entries.values_mut() {
            entry.account.counters.retain(|_, counter| counter.last_event >= before);
            for member in entry.members.values_mut() {
                member.value.sessions.retain(|_, counter| counter.last_event >= before);
            }
        }
    }

    /// Puts back an account that was written down.
    pub fn restore_account(&mut self, id: AccountId, account: Account) {
        self.entries.entry(id).or_default().account = account;
    }

    /// Puts back a member that was written down.
    pub fn restore_member(&mut self, id: AccountId, endpoint: String, member: Member) {
        let entry = self.entries.entry(id).or_default();
        entry.members.insert(endpoint, Tracked { value: member, is_dirty: false });
    }

    /// The state of an account: for reports and explanations.
    pub fn entry(&self, id: &AccountId) -> Option<&Entry> {
        self.entries.get(id)
    }

    /// All accounts in order.
    pub fn accounts(&self) -> Vec<(&AccountId, &Entry)> {
        let mut all: Vec<_> = self.entries.iter().collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all
    }
}

fn touch<'s>(entries: &'s mut HashMap<AccountId, Entry>, dirty: &mut Vec<AccountId>, id: &AccountId) -> &'s mut Entry {
    let entry = entries.entry_ref(id).or_default();
    if !entry.is_dirty {
        entry.is_dirty = true;
        dirty.push(id.clone());
    }
    entry
}

fn touch_member<'s>(members: &'s mut HashMap<String, Tracked<Member>>, endpoint: &str) -> &'s mut Member {
    let member = members.entry_ref(endpoint).or_default();
    member.is_dirty = true;
    &mut member.value
}
