//! What waits, and how it is tried again (rule 26): nothing is dropped, and nothing that was charged is charged again.

use rating::SuspenseReason;

/// How a record of a batch is to be treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// It comes from an input for the first time.
    Fresh,
    /// It waited as a whole, after its id had been remembered: it is not its own duplicate.
    Admitted,
    /// It waited before its id was remembered, or because of another payload under its id: it is admitted like a fresh one.
    Readmit,
    /// It was too late to tell whether it had come before, and somebody says that it was not charged: only of its copies one is.
    Late,
    /// One level of it waited; the others were charged.
    Level {
        /// The level.
        level: u8,
        /// Why it waited, for the case that it has no such level any more.
        reason: SuspenseReason,
    },
}

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

impl Intent {
    /// What to do with something that waited for a reason.
    pub fn of(reason: SuspenseReason, level: Option<u8>) -> Intent {
        if let Some(level) = level {
            return Intent::Level { level, reason };
        }
        match reason {
            SuspenseReason::Undecodable
            | SuspenseReason::InvalidRecord
            | SuspenseReason::FutureEvent
            | SuspenseReason::DuplicateConflict => Intent::Readmit,
            SuspenseReason::TooLate => Intent::Late,
            SuspenseReason::UnknownEndpoint
            | SuspenseReason::IdentityConflict
            | SuspenseReason::EndpointInactive
            | SuspenseReason::AccountSuspended
            | SuspenseReason::AccountClosed
            | SuspenseReason::SponsorNotAllowed
            | SuspenseReason::SubscriptionTypeNotAllowed
            | SuspenseReason::TariffMissing
            | SuspenseReason::NoRate
            | SuspenseReason::Blocked
            | SuspenseReason::UnitMismatch
            | SuspenseReason::AmountOverflow
            | SuspenseReason::DurationTooLong => Intent::Admitted,
        }
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
