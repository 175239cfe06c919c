//! Guide: from a record to one leg per level. Reads a snapshot, never balances or allowances.

use crate::intake::Intaken;
use directory::snapshot::{Lineage, Snapshot};
use rating::command::{Command, CommandKind, CommandRefusal, GuidedCommand};
use rating::leg::Leg;
use rating::{AccountId, SuspenseReason, Timestamp};

/// The legs of one record: level by level, lowest first.
#[derive(Clone, Copy, Debug)]
pub struct Guided<'a> {
    intaken: &'a Intaken,
    lineage: Lineage<'a>,
    horizon: Timestamp,
}

impl<'a> Guided<'a> {
    /// The legs, lowest level first. The rate of a level is looked up here.
    pub fn legs(self) -> impl Iterator<Item = Leg<'a>> {
        self.lineage.steps().map(move |(step, ancestors)| Leg {
            usage: &self.intaken.record,
            usage_key: self.intaken.key,
            endpoint: self.lineage.endpoint,
            edge: &step.edge,
            ancestors,
            rate: step.rate_for(&self.intaken.record),
            horizon: self.horizon,
            is_late: false,
        })
    }

    /// Who pays, in the order of the legs, without looking up rates.
    pub fn payers(self) -> impl Iterator<Item = &'a AccountId> {
        self.lineage.edges().map(|step| &step.edge.payer)
    }

    /// The levels, for counting, without looking up rates.
    pub fn levels(self) -> impl Iterator<Item = u8> {
        self.lineage.edges().map(|step| step.edge.level)
    }
}

/// Resolves a record. `horizon` are [`Duplicates::state_horizon`](crate::Duplicates::state_horizon) where the record stands in the input.
///
/// # Errors
/// `unknown_endpoint`, `identity_conflict`, `endpoint_inactive`: the record waits as a whole (rule 3).
pub fn guide<'a>(
    intaken: &'a Intaken,
    snapshot: &'a Snapshot,
    horizon: Timestamp,
) -> Result<Guided<'a>, SuspenseReason> {
    let lineage = snapshot.lineage_for(&intaken.record)?;
    Ok(Guided { intaken, lineage, horizon })
}

/// Resolves a command: the edge of its account, the template and endpoint of its bundle, and whether its issuer may issue it (rule 23).
///
/// # Errors
/// The refusal.
pub fn guide_command<'a>(
    key: u128,
    command: &'a Command,
    snapshot: &'a Snapshot,
) -> Result<GuidedCommand<'a>, CommandRefusal> {
    let step = snapshot.step_of(&command.account_id, command.effective_time);
    let (edge, ancestors) = step.ok_or(CommandRefusal::UnknownAccount)?;
    if !snapshot.is_ancestor(&command.issued_by, &command.account_id, command.effective_time) {
        return Err(CommandRefusal::NotAnAncestor);
    }
    let template = match &command.kind {
        CommandKind::BuyBundle { bundle, endpoint } => {
            let template = snapshot.bundle(bundle).ok_or(CommandRefusal::UnknownBundle)?;
            let is_below = |endpoint: &str| snapshot.is_below(endpoint, &command.account_id, command.effective_time);
            // Nobody pays for what nobody could draw.
            if endpoint.as_deref().is_some_and(|endpoint| !is_below(endpoint)) {
                return Err(CommandRefusal::NoSuchEndpoint);
            }
            Some(template)
        }
        CommandKind::TopUp(_)
        | CommandKind::Debit(_)
        | CommandKind::Credit(_)
        | CommandKind::CancelBundle(_)
        | CommandKind::SuspendBundle(_)
        | CommandKind::ActivateBundle(_)
        | CommandKind::SuspendAccount
        | CommandKind::ActivateAccount => None,
    };
    Ok(GuidedCommand { command, key, edge, ancestors, template })
}

/// Which of `shards` owns an account: by its owner, so that an endpoint's account stands with its customer's.
pub fn shard_of(account: &AccountId, shards: usize) -> usize {
    // FNV-1a: stable across versions and machines, because partition numbers are written down.
    // The name of the owner is what stands before a slash; hashing finds its end on the way.
    let hash = account
        .as_str()
        .bytes()
        .take_while(|byte| *byte != b'/')
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    ((hash ^ (hash >> 32)) % shards.max(1) as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_of_an_endpoint_stands_with_its_customer() {
        for customer in ["a", "acme", "customer-17"] {
            let owner = shard_of(&AccountId::new(customer), 1 << 16);
            assert_eq!(shard_of(&AccountId::of_endpoint(customer, "meter-1"), 1 << 16), owner);
        }
        // Written down in state and partitions: these never change.
        assert_eq!(shard_of(&AccountId::new("acme"), 1024), 396);
    }
}
