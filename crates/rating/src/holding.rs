//! Limits of what commands may add to one account, or to one endpoint of it.
//!
//! A runtime writes an account without its counters as one piece, and so an endpoint of it; on a log a piece that is too long for a message could never be written.
//! So a command that would make a piece too large is refused, wherever it comes in. The sizes here are bounds of what is stored, whatever the runtime: a test of its
//! formats holds them to it. Usage adds nothing but counters and sessions, which are written in parts, and caps, of which there is one per tariff and month.

use crate::account::{Account, Member};
use crate::bundle::{BundleTemplate, Instance};
use crate::calendar::Timestamp;
use crate::command::CommandRefusal;
use crate::leg::{Status, add_status};
use crate::matching::MatchKeys;

/// Most bundles that an account, or an endpoint of it, may hold, ended ones included.
pub const MAX_INSTANCES: usize = 10_000;

/// Size in bytes up to which bundles may be bought: half of what a message of a log may hold.
pub const MAX_BOUGHT_BYTES: usize = 4_000_000;

/// Size in bytes up to which suspensions and activations are taken: so that what holds as much as it may can still be suspended.
pub const MAX_HELD_BYTES: usize = 5_000_000;

/// Parts of fixed size, with their lengths.
const ACCOUNT_BYTES: usize = 128;
const INSTANCE_BYTES: usize = 80;
const TEMPLATE_BYTES: usize = 80;
const ELEMENT_BYTES: usize = 80;
const ALLOWANCE_BYTES: usize = 12;
const STATUS_BYTES: usize = 12;
const CAP_BYTES: usize = 56;

/// The size of bundles in one place. It is counted when it is first needed, and follows from them: state is equal whether it was counted or not.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeldBytes(Option<usize>);

impl PartialEq for HeldBytes {
    fn eq(&self, _: &HeldBytes) -> bool {
        true
    }
}

impl Eq for HeldBytes {}

impl HeldBytes {
    fn count(&mut self, instances: &[Instance]) -> usize {
        *self.0.get_or_insert_with(|| instances.iter().map(size_bytes).sum())
    }

    /// Adds a bundle.
    pub(crate) fn add(&mut self, bought: &Instance) {
        self.0 = self.0.map(|bytes| bytes + size_bytes(bought));
    }
}

/// How much is held in one place, with all that is written beside it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holding {
    count: usize,
    size_bytes: usize,
}

impl Holding {
    /// The pools of an account, with the account.
    pub(crate) fn of_account(account: &mut Account) -> Holding {
        let beside = ACCOUNT_BYTES + account.statuses.len() * STATUS_BYTES + account.caps.len() * CAP_BYTES;
        Holding { count: account.pools.len(), size_bytes: beside + account.held.count(&account.pools) }
    }

    /// The bundles of one endpoint.
    pub(crate) fn of_endpoint(member: &mut Member) -> Holding {
        Holding { count: member.bundles.len(), size_bytes: member.held.count(&member.bundles) }
    }

    /// Checks that a bundle may be bought.
    ///
    /// # Errors
    /// [`CommandRefusal::AccountFull`].
    pub(crate) fn admit(self, bought: &Instance) -> Result<(), CommandRefusal> {
        match self.count < MAX_INSTANCES && self.size_bytes + size_bytes(bought) <= MAX_BOUGHT_BYTES {
            true => Ok(()),
            false => Err(CommandRefusal::AccountFull),
        }
    }

    /// The room for another suspension or activation.
    pub(crate) fn status_room(self) -> StatusRoom {
        match self.size_bytes + STATUS_BYTES <= MAX_HELD_BYTES {
            true => StatusRoom::Some,
            false => StatusRoom::None,
        }
    }
}

/// Says whether another suspension or activation may be noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StatusRoom {
    /// There is room.
    Some,
    /// Only what replaces another may be noted.
    None,
}

impl StatusRoom {
    /// Notes a suspension or activation.
    ///
    /// # Errors
    /// [`CommandRefusal::AccountFull`]; then nothing has changed.
    pub(crate) fn add(
        self,
        facts: &mut Vec<(Timestamp, Status)>,
        at: Timestamp,
        status: Status,
    ) -> Result<(), CommandRefusal> {
        let replaces = || facts.binary_search_by_key(&at, |(known, _)| *known).is_ok();
        match self == StatusRoom::Some || replaces() {
            true => add_status(facts, at, status),
            false => return Err(CommandRefusal::AccountFull),
        }
        Ok(())
    }
}

/// The most that an account takes without its counters, in bytes.
pub fn size_of_account(account: &mut Account) -> usize {
    Holding::of_account(account).size_bytes
}

/// The most that a bundle takes, in bytes.
pub fn size_bytes(instance: &Instance) -> usize {
    // Destructured without `..`, so that a new field does not compile until it is counted.
    let Instance {
        id,
        template,
        payee,
        endpoint,
        granted_at: _,
        phase: _,
        terminated_at: _,
        statuses,
        allowances,
        activation_failed: _,
    } = instance;
    INSTANCE_BYTES
        + id.len()
        + size_of_template(template)
        + payee.as_str().len()
        + endpoint.as_deref().map_or(0, str::len)
        + statuses.len() * STATUS_BYTES
        + allowances.len() * ALLOWANCE_BYTES
}

fn size_of_template(template: &BundleTemplate) -> usize {
    let BundleTemplate { id, currency: _, fee: _, starts: _, lasts: _, scope: _, promotional: _, warn_at, elements } =
        template;
    let of_elements = elements.iter().map(|element| {
        let MatchKeys { rating_group: _, apn, rat, direction, sponsor } = &*element.applies.keys;
        let keys = [apn, rat, direction, sponsor].into_iter().flatten().map(|text| text.len()).sum::<usize>();
        ELEMENT_BYTES + element.applies.service.len() + element.applies.zone.size_bytes() + keys
    });
    TEMPLATE_BYTES + id.len() + 2 * warn_at.len() + of_elements.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_account_takes_what_replaces_another_status_only() {
        let at = Timestamp::from_millis;
        let count = (MAX_HELD_BYTES - ACCOUNT_BYTES) / STATUS_BYTES;
        let mut account =
            Account { statuses: (0..count as i64).map(|ms| (at(ms), Status::Active)).collect(), ..Account::default() };
        let room = Holding::of_account(&mut account).status_room();
        assert_eq!(room, StatusRoom::None);
        assert_eq!(room.add(&mut account.statuses, at(7), Status::Suspended), Ok(()));
        assert_eq!(room.add(&mut account.statuses, at(-1), Status::Suspended), Err(CommandRefusal::AccountFull));
        assert_eq!((account.statuses.len(), account.statuses[7].1), (count, Status::Suspended));
        account.statuses.pop();
        assert_eq!(Holding::of_account(&mut account).status_room(), StatusRoom::Some);
    }
}
