//! A changed account or member as bytes: what logs of changes consist of.
//!
//! | first byte | then |
//! | --- | --- |
//! | 5 | an account: name, value with all counters |
//! | 6 | a member: account, endpoint, value with all sessions and counters |
//! | 7, 8 | the same with those sessions and counters that changed; the others stay as they are |
//! | 0, 1, 3, 4 | the same four of state stores up to format 2 and rate's changelog up to format 3: without currency and sessions |

use super::codec::{
    Corrupt, Stored, read_older_account, read_older_member, read_text, write_account, write_member, write_text,
};
use pipeline::rate::{Change, Extent};
use rating::account::{Account, Member};

/// What a whole account begins with.
const ACCOUNT: u8 = 5;
/// What a whole member begins with.
const MEMBER: u8 = 6;
/// What an account with some counters begins with.
const ACCOUNT_PART: u8 = 7;
/// What a member with some sessions and counters begins with.
const MEMBER_PART: u8 = 8;
/// The same four of older formats. 2 is taken, where changes stand among other things.
const OLDER_ACCOUNT: u8 = 0;
const OLDER_MEMBER: u8 = 1;
const OLDER_ACCOUNT_PART: u8 = 3;
const OLDER_MEMBER_PART: u8 = 4;

/// Appends a change.
pub(crate) fn write_change(change: &Change<'_>, out: &mut Vec<u8>) {
    match change {
        Change::Account { id, account, counters, extent } => {
            out.push(match extent {
                Extent::Whole => ACCOUNT,
                Extent::Part => ACCOUNT_PART,
            });
            write_text(id.as_str(), out);
            write_account(account, counters, out);
        }
        Change::Member { id, endpoint, bundles, sessions, counters, extent } => {
            out.push(match extent {
                Extent::Whole => MEMBER,
                Extent::Part => MEMBER_PART,
            });
            write_text(id.as_str(), out);
            write_text(endpoint, out);
            write_member(bundles, sessions, counters, out);
        }
    }
}

/// A change that was read.
#[derive(Debug)]
pub(crate) enum Changed<'i> {
    /// An account.
    Account(&'i str, Account, Extent),
    /// A member of an account, by its endpoint.
    Member(&'i str, &'i str, Member, Extent),
}

impl<'i> Changed<'i> {
    /// Takes what follows the first byte, which says what it is.
    ///
    /// # Errors
    /// Bytes that are no change.
    pub(crate) fn read(kind: u8, input: &mut &'i [u8]) -> Result<Changed<'i>, Corrupt> {
        let account = |input: &mut &'i [u8], extent, read: fn(&mut &[u8]) -> Result<Account, Corrupt>| {
            Ok(Changed::Account(read_text(input)?, read(input)?, extent))
        };
        let member = |input: &mut &'i [u8], extent, read: fn(&mut &[u8]) -> Result<Member, Corrupt>| {
            Ok(Changed::Member(read_text(input)?, read_text(input)?, read(input)?, extent))
        };
        match kind {
            ACCOUNT => account(input, Extent::Whole, Stored::read),
            ACCOUNT_PART => account(input, Extent::Part, Stored::read),
            MEMBER => member(input, Extent::Whole, Stored::read),
            MEMBER_PART => member(input, Extent::Part, Stored::read),
            OLDER_ACCOUNT => account(input, Extent::Whole, read_older_account),
            OLDER_ACCOUNT_PART => account(input, Extent::Part, read_older_account),
            OLDER_MEMBER => member(input, Extent::Whole, read_older_member),
            OLDER_MEMBER_PART => member(input, Extent::Part, read_older_member),
            _ => Err(Corrupt { what: "an account or a member", left: input.len() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rating::account::CapCounter;
    use rating::bundle::{Allowance, ElementClass, Phase};
    use rating::holding;
    use rating::{
        AccountId, Amount, BundleScope, BundleTemplate, Currency, Element, Instance, Length, MatchKeys, Month, Plmn,
        Starts, Status, Timestamp, Unit, UsageMatch, Zone,
    };
    use std::sync::Arc;

    /// A bundle in which everything is as long as it can be.
    fn longest(networks: usize, elements: usize, statuses: i64) -> Instance {
        let text = || Some(Box::from("t".repeat(256)));
        let amount = Amount::from_unscaled(i128::from(i64::MIN) * 1_000_000_000);
        let zone = Zone::new(
            &"z".repeat(256),
            vec![Plmn::new("999", Some("999")).expect("a network"); networks],
            vec![Box::from("4".repeat(15)); networks],
        );
        let applies = UsageMatch {
            service: "s".repeat(256).into(),
            zone: Arc::new(zone),
            keys: MatchKeys {
                rating_group: Some(i64::MIN),
                apn: text(),
                rat: text(),
                direction: text(),
                sponsor: text(),
            }
            .into(),
        };
        let element = Element {
            priority: u32::MAX,
            applies,
            unit: Unit::Messages,
            amount: Some(u64::MAX),
            class: ElementClass::FairUse,
        };
        let last = Timestamp::LATEST;
        Instance {
            id: "i".repeat(256).into(),
            template: Arc::new(BundleTemplate {
                id: "b".repeat(256).into(),
                currency: Currency::parse("GBP").expect("a currency"),
                fee: Some(amount.expect("an amount")),
                starts: Starts::Activation,
                lasts: Some(Length::Hours(u32::MAX)),
                scope: BundleScope::Endpoint,
                promotional: true,
                warn_at: vec![100; 8].into(),
                elements: vec![element; elements].into(),
            }),
            payee: AccountId::new(&"p".repeat(256)),
            endpoint: Some("e".repeat(256).into()),
            granted_at: last,
            phase: Phase::Active { start: last, end: Some(last) },
            terminated_at: Some(last),
            statuses: (0..statuses).map(|ms| (Timestamp::from_millis(last.millis() - ms), Status::Closed)).collect(),
            allowances: vec![Allowance { used: u64::MAX, warned: u8::MAX }; elements].into(),
            activation_failed: true,
        }
    }

    #[test]
    fn what_is_written_is_not_longer_than_what_is_counted() {
        for (networks, elements, statuses) in [(0, 1, 0), (3, 2, 5), (500, 3, 0), (1, 40, 1_000)] {
            let instance = longest(networks, elements, statuses);
            let mut written = Vec::new();
            instance.write(&mut written);
            let counted = holding::size_bytes(&instance);
            assert!(written.len() <= counted, "{} of {counted}", written.len());

            let cap = CapCounter {
                charged: Amount::from_unscaled(i128::from(i64::MAX) * 1_000_000_000).expect("an amount"),
                notified: true,
                month: Month(i32::MIN),
            };
            let mut account = Account {
                balance: cap.charged,
                delta_sequence: u64::MAX,
                statuses: instance.statuses.clone(),
                pools: vec![instance.clone(); 3],
                member_bundles: u32::MAX,
                caps: (0..statuses as u128).map(|at| (u128::MAX - at, cap)).collect(),
                ..Account::default()
            };
            written.clear();
            account.write(&mut written);
            let counted = holding::size_of_account(&mut account);
            assert!(written.len() <= counted, "{} of {counted}", written.len());
        }
    }
}
