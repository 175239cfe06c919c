//! A changed account or member as bytes: what logs of changes consist of.
//!
//! | first byte | then |
//! | --- | --- |
//! | 0 | an account: name, value with all counters |
//! | 1 | a member: account, endpoint, value with all counters |
//! | 3, 4 | the same with those counters that changed; the others stay as they are |

use super::codec::{Corrupt, Stored, read_text, write_account, write_member, write_text};
use pipeline::rate::{Change, Extent};
use rating::account::{Account, Member};

/// What a whole account begins with.
const ACCOUNT: u8 = 0;
/// What a whole member begins with.
const MEMBER: u8 = 1;
/// What an account with some counters begins with. 2 is taken, where changes stand among other things.
const ACCOUNT_PART: u8 = 3;
/// What a member with some counters begins with.
const MEMBER_PART: u8 = 4;

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
        Change::Member { id, endpoint, bundles, sessions, extent } => {
            out.push(match extent {
                Extent::Whole => MEMBER,
                Extent::Part => MEMBER_PART,
            });
            write_text(id.as_str(), out);
            write_text(endpoint, out);
            write_member(bundles, sessions, out);
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
        match kind {
            ACCOUNT => Ok(Changed::Account(read_text(input)?, Stored::read(input)?, Extent::Whole)),
            ACCOUNT_PART => Ok(Changed::Account(read_text(input)?, Stored::read(input)?, Extent::Part)),
            MEMBER => Ok(Changed::Member(read_text(input)?, read_text(input)?, Stored::read(input)?, Extent::Whole)),
            MEMBER_PART => {
                Ok(Changed::Member(read_text(input)?, read_text(input)?, Stored::read(input)?, Extent::Part))
            }
            _ => Err(Corrupt { what: "an account or a member", left: input.len() }),
        }
    }
}
