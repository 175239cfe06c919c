//! The coordinator of a group: members, generations, and the positions that transactions commit.
//!
//! A rebalance waits until every member has joined again or the time for it is over; joining and learning the outcome are one step. A
//! partition that a member still claims is given to nobody else in the same generation (cooperative rebalances). Positions inside of an
//! open transaction are pending, and become the group's when the marker arrives in the offsets partition.

use super::partition::{Ending, ProducerId};
use super::world::{MS, Micros, Node, Responder, World};
use runtime::worker::log::{Committed, Offset, Partition};
use std::collections::{BTreeMap, BTreeSet};

pub(super) const SESSION_TIMEOUT: Micros = 1_500 * MS;
pub(super) const MAX_POLL_INTERVAL: Micros = 5_000 * MS;

/// A member of a group; 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct MemberId(pub u64);

/// Who commits. No member and no generation pass unchecked, because old clients know neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Membership {
    pub member: Option<MemberId>,
    pub generation: Option<u64>,
}

/// What a member is told at the end of a rebalance.
#[derive(Clone, Debug)]
pub(super) struct Assignment {
    pub member: MemberId,
    pub generation: u64,
    pub partitions: BTreeSet<Partition>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pulse {
    Fine,
    Rebalancing,
    UnknownMember,
    IllegalGeneration,
}

/// What came of positions sent inside a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accepted {
    Yes,
    IllegalGeneration,
    NotInTransaction,
}

struct Join {
    claims: BTreeSet<Partition>,
    responder: Option<Responder<Option<Assignment>>>,
}

struct Member {
    last_pulse: Micros,
    join: Option<Join>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Stable,
    Preparing,
}

/// A group and its part of the offsets partition.
pub(super) struct Group {
    pub name: String,
    partitions: Vec<Partition>,
    generation: u64,
    phase: Phase,
    members: BTreeMap<MemberId, Member>,
    next_member: u64,
    committed: BTreeMap<Partition, (u64, Committed)>,
    pending: BTreeMap<ProducerId, BTreeMap<Partition, (u64, Committed)>>,
    /// Entries of the offsets partition so far.
    written: u64,
}

impl Group {
    pub(super) fn new(name: &str, partitions: Vec<Partition>) -> Group {
        Group {
            name: name.to_owned(),
            partitions,
            generation: 0,
            phase: Phase::Stable,
            members: BTreeMap::new(),
            next_member: 1,
            committed: BTreeMap::new(),
            pending: BTreeMap::new(),
            written: 0,
        }
    }

    pub(super) fn committed(&self, partition: Partition) -> Option<Committed> {
        self.committed.get(&partition).map(|(_, committed)| committed.clone())
    }

    /// Whether a transaction is open over a position.
    pub(super) fn is_unstable(&self, partition: Partition) -> bool {
        self.pending.values().any(|positions| positions.contains_key(&partition))
    }

    pub(super) fn is_settled(&self) -> bool {
        self.pending.is_empty()
    }

    /// The partitions that the group reads.
    pub(super) fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    /// The marker arrives in the offsets partition.
    pub(super) fn end_transaction(&mut self, producer: ProducerId, ending: Ending) {
        let Some(positions) = self.pending.remove(&producer) else { return };
        if ending == Ending::Abort {
            return;
        }
        for (partition, position) in positions {
            // As the real coordinator does: what was written later counts, in whatever order the markers come.
            let newer = self.committed.get(&partition).is_none_or(|(written, _)| *written < position.0);
            if newer {
                self.committed.insert(partition, position);
            }
        }
    }

    /// The group has been empty for so long that its positions are deleted; those inside a transaction are not.
    pub(super) fn expire(&mut self) -> bool {
        let expires = self.members.is_empty() && self.pending.is_empty() && !self.committed.is_empty();
        if expires {
            self.committed.clear();
        }
        expires
    }

    fn validate(&self, membership: Membership) -> bool {
        match membership {
            Membership { member: None, generation: None } => true,
            Membership { member: Some(member), generation } => {
                self.members.contains_key(&member) && generation == Some(self.generation)
            }
            Membership { member: None, generation: Some(_) } => false,
        }
    }

    /// Gives each member its share: what it claims as far as that is fair, and of the rest what nobody claims.
    fn assign(&self) -> BTreeMap<MemberId, BTreeSet<Partition>> {
        let members: Vec<MemberId> = self.members.keys().copied().collect();
        let mut shares: BTreeMap<MemberId, BTreeSet<Partition>> = BTreeMap::new();
        let mut claimed = BTreeSet::new();
        let (least, extra) = (self.partitions.len() / members.len(), self.partitions.len() % members.len());
        for (place, member) in members.iter().enumerate() {
            let quota = least + usize::from(place < extra);
            let claims = self.members[member].join.iter().flat_map(|join| &join.claims).copied();
            let claims: Vec<Partition> = claims.collect();
            claimed.extend(claims.iter().copied());
            shares.insert(*member, claims.into_iter().take(quota).collect());
        }
        for partition in self.partitions.iter().filter(|partition| !claimed.contains(partition)) {
            let least = members.iter().min_by_key(|member| shares[member].len());
            if let Some(share) = least.and_then(|member| shares.get_mut(member)) {
                share.insert(*partition);
            }
        }
        shares
    }
}

impl World {
    /// A member joins, for the first time or again.
    pub(super) fn join(
        &mut self,
        id: usize,
        member: Option<MemberId>,
        claims: BTreeSet<Partition>,
        responder: Responder<Option<Assignment>>,
    ) {
        let now = self.now;
        let group = &mut self.groups[id];
        let member = match member {
            Some(member) if group.members.contains_key(&member) => member,
            // Thrown out meanwhile.
            Some(_) => return responder.answer(self, None),
            None => {
                group.next_member += 1;
                MemberId(group.next_member - 1)
            }
        };
        let join = Some(Join { claims, responder: Some(responder) });
        if group.members.insert(member, Member { last_pulse: now, join }).is_none() {
            self.after(SESSION_TIMEOUT, move |world| world.check_session(id, member));
        }
        self.rebalance(id);
    }

    fn check_session(&mut self, id: usize, member: MemberId) {
        let (now, is_down) = (self.now, self.is_down(Node::Group(id)));
        let Some(known) = self.groups[id].members.get_mut(&member) else { return };
        if is_down || known.join.is_some() {
            known.last_pulse = now;
        }
        if known.last_pulse + SESSION_TIMEOUT <= now {
            self.count("session expired");
            return self.remove_member(id, member);
        }
        let rest = known.last_pulse + SESSION_TIMEOUT - now;
        self.after(rest, move |world| world.check_session(id, member));
    }

    /// A member leaves or is thrown out.
    pub(super) fn remove_member(&mut self, id: usize, member: MemberId) {
        if self.groups[id].members.remove(&member).is_some() {
            self.rebalance(id);
        }
    }

    fn rebalance(&mut self, id: usize) {
        let group = &mut self.groups[id];
        if group.members.is_empty() {
            group.phase = Phase::Stable;
            group.generation += 1;
            return;
        }
        if group.phase == Phase::Stable {
            group.phase = Phase::Preparing;
            let generation = group.generation;
            self.count("rebalance");
            self.after(MAX_POLL_INTERVAL, move |world| world.give_up_waiting(id, generation));
        }
        self.complete_rebalance(id);
    }

    /// Who has not joined in time is thrown out.
    fn give_up_waiting(&mut self, id: usize, generation: u64) {
        let group = &mut self.groups[id];
        if group.phase == Phase::Preparing && group.generation == generation {
            let before = group.members.len();
            group.members.retain(|_, member| member.join.is_some());
            if group.members.len() < before {
                self.count("member too late for a rebalance");
            }
            let group = &mut self.groups[id];
            if group.members.is_empty() {
                group.phase = Phase::Stable;
                group.generation += 1;
            } else {
                self.complete_rebalance(id);
            }
        }
    }

    fn complete_rebalance(&mut self, id: usize) {
        let now = self.now;
        let group = &mut self.groups[id];
        if group.phase != Phase::Preparing || !group.members.values().all(|member| member.join.is_some()) {
            return;
        }
        group.phase = Phase::Stable;
        group.generation += 1;
        let (generation, shares) = (group.generation, group.assign());
        let name = group.name.clone();
        let mut told = Vec::new();
        for (member, known) in &mut group.members {
            known.last_pulse = now;
            let responder = known.join.take().and_then(|join| join.responder);
            let partitions = shares.get(member).cloned().unwrap_or_default();
            told.extend(responder.map(|responder| (responder, Assignment { member: *member, generation, partitions })));
        }
        self.tell(|| format!("group {name}: generation {generation}: {shares:?}"));
        for (responder, assignment) in told {
            responder.answer(self, Some(assignment));
        }
    }

    pub(super) fn pulse(&mut self, id: usize, member: MemberId, generation: u64) -> Pulse {
        let now = self.now;
        let group = &mut self.groups[id];
        let (phase, current) = (group.phase, group.generation);
        let Some(known) = group.members.get_mut(&member) else { return Pulse::UnknownMember };
        if generation != current {
            return Pulse::IllegalGeneration;
        }
        known.last_pulse = now;
        match phase {
            Phase::Stable => Pulse::Fine,
            Phase::Preparing => Pulse::Rebalancing,
        }
    }

    /// Another broker coordinates the group from now on: it knows members and positions, but not who waits for an answer.
    pub(super) fn fail_over_group(&mut self, id: usize) {
        let now = self.now;
        for member in self.groups[id].members.values_mut() {
            member.last_pulse = now;
            if let Some(join) = &mut member.join {
                join.responder = None;
            }
        }
    }

    /// Positions arrive in the offsets partition, pending until the transaction ends.
    pub(super) fn accept_positions(
        &mut self,
        id: usize,
        (transactional, producer, epoch): (usize, ProducerId, u32),
        membership: Membership,
        positions: &[(Partition, Offset)],
        owner: &str,
    ) -> Accepted {
        if !self.is_in_transaction(transactional, producer, epoch, Node::Group(id)) {
            return Accepted::NotInTransaction;
        }
        if !self.groups[id].validate(membership) {
            self.count("member fenced");
            return Accepted::IllegalGeneration;
        }
        if membership == (Membership { member: None, generation: None }) {
            self.count("positions accepted of nobody");
        }
        let group = &mut self.groups[id];
        for (partition, position) in positions {
            group.written += 1;
            let committed = Committed { position: *position, owner: owner.to_owned() };
            group.pending.entry(producer).or_default().insert(*partition, (group.written, committed));
        }
        self.tell(|| format!("{owner}: positions {positions:?} as {membership:?}"));
        Accepted::Yes
    }
}
