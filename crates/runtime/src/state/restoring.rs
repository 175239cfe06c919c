//! State that is put back: rows, and what was written before rows were.

use super::older::Older;
use format::{Corrupt, RowByte, RowReader};
use rating::State;
use rating::state::Unresolved;

/// Puts back the state of a shard, message by message in the order of their log.
#[derive(Debug, Default)]
pub(crate) struct Restoring {
    older: Older,
}

impl Restoring {
    /// Takes what follows a first byte, as written in a cycle. `rows` is the reader of this message.
    ///
    /// # Errors
    /// Bytes that are no part of a state.
    pub(crate) fn read(
        &mut self,
        first: u8,
        input: &mut &[u8],
        rows: &mut RowReader,
        state: &mut State,
        cycle: u32,
    ) -> Result<(), Corrupt> {
        match RowByte::of(first) {
            Some(row) => {
                self.older.become_rows(state);
                rows.read(row, input, state, cycle)
            }
            None => self.older.read(first, input, cycle),
        }
    }

    /// Ends restoring, in the present cycle.
    ///
    /// # Errors
    /// Something is named that was not written down.
    pub(crate) fn end(&mut self, state: &mut State, cycle: u32) -> Result<(), Corrupt> {
        self.older.become_rows(state);
        state.restored(cycle).map_err(|unresolved| {
            let what = match unresolved {
                Unresolved::Template(_) => "the template of an instance, with its zones",
                Unresolved::Account => "the head of an account",
                Unresolved::Allowances => "an allowance for each element",
                Unresolved::Range => "a number in range",
            };
            Corrupt { what, left: 0 }
        })
    }
}
