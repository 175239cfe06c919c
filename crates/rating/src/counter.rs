//! The sums that sessions and months accumulate (rule 12), one counter per edge, rate and scope.

use crate::calendar::Timestamp;
use crate::money::{Amount, Exact};

/// What a scope (session or month) on one edge and rate has accumulated (rule 12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    /// Units that no bundle covered, free units included.
    pub uncovered: u64,
    /// Units that bundles covered: they lower the minimum (rule 10).
    pub covered: u64,
    /// Units billed so far.
    pub billed: u64,
    /// Exact price of what was billed so far, connect fee included.
    pub priced: Exact,
    /// Rounded amount charged so far, before caps.
    pub charged: Amount,
    /// The connect fee of this session was charged: only in marks of state stores up to format 2 and rate's changelog up to format 3.
    /// Today the [`SessionState`](crate::SessionState) knows it.
    pub connected: bool,
    /// `billed` counts whole blocks where a package priced. False in counters of those older formats, which counted the units used of a block.
    pub whole_blocks: bool,
    /// Latest event time, for forgetting. In a session it is the latest of the session when the counter changed.
    pub last_event: Timestamp,
}

impl Default for Counter {
    fn default() -> Self {
        Counter {
            uncovered: 0,
            covered: 0,
            billed: 0,
            priced: Exact::ZERO,
            charged: Amount::ZERO,
            connected: false,
            whole_blocks: true,
            last_event: Timestamp::EPOCH,
        }
    }
}

/// No calendar month is longer, wherever clocks are put back in it.
const LONGEST_MONTH_MS: i64 = 32 * 86_400_000;

impl Counter {
    /// Returns whether an event at or after the state horizon may fall into the counter's month.
    pub fn is_remembered_month(&self, horizon: Timestamp) -> bool {
        self.last_event.millis().saturating_add(LONGEST_MONTH_MS) >= horizon.millis()
    }
}
