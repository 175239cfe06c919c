//! What waits, and how it is tried again (rule 26): nothing is dropped, and nothing that was charged is charged again.

use pipeline::Intent;
use rating::SuspenseReason;

/// How and how often something is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// How.
    pub intent: Intent,
    /// How often it was tried before.
    pub attempt: u32,
}

impl Retry {
    /// The retry at a position; beyond the list everything is fresh.
    pub(super) fn at(retries: &[Retry], position: usize) -> Retry {
        retries.get(position).copied().unwrap_or(Retry { intent: Intent::Fresh, attempt: 0 })
    }
}

/// Something that waits, with all that is needed to try it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenSuspense {
    /// Why.
    pub reason: SuspenseReason,
    /// The level that waits; `None` for the whole record.
    pub level: Option<u8>,
    /// Name of the input it came from.
    pub input: String,
    /// Its place there: line, or number of the record.
    pub place: u64,
    /// How often it was tried before.
    pub attempt: u32,
    /// The original bytes.
    pub original: Vec<u8>,
}
