//! A changed account or member as bytes: what logs of changes consist of.

use super::codec::{Corrupt, Stored, read_text, write_text};
use pipeline::rate::Change;
use rating::account::{Account, Member};

/// What a changed account begins with.
pub(crate) const ACCOUNT: u8 = 0;
/// What a changed member begins with.
pub(crate) const MEMBER: u8 = 1;

/// Appends a change.
pub(crate) fn write_change(change: &Change<'_>, out: &mut Vec<u8>) {
    match change {
        Change::Account(id, account) => {
            out.push(ACCOUNT);
            write_text(id.as_str(), out);
            account.write(out);
        }
        Change::Member(id, endpoint, member) => {
            out.push(MEMBER);
            write_text(id.as_str(), out);
            write_text(endpoint, out);
            member.write(out);
        }
    }
}

/// A change that was read.
#[derive(Debug)]
pub(crate) enum Changed<'i> {
    /// An account.
    Account(&'i str, Account),
    /// A member of an account, by its endpoint.
    Member(&'i str, &'i str, Member),
}

impl<'i> Changed<'i> {
    /// Takes what follows the first byte, which says what it is.
    ///
    /// # Errors
    /// Bytes that are no change.
    pub(crate) fn read(kind: u8, input: &mut &'i [u8]) -> Result<Changed<'i>, Corrupt> {
        match kind {
            ACCOUNT => Ok(Changed::Account(read_text(input)?, Stored::read(input)?)),
            MEMBER => Ok(Changed::Member(read_text(input)?, read_text(input)?, Stored::read(input)?)),
            _ => Err(Corrupt { what: "an account or a member", left: input.len() }),
        }
    }
}
