//! What waits, and how it is tried again (rule 26): nothing is dropped, and nothing that was charged is charged again.

use pipeline::{Arrival, Intent, Place};
use rating::SuspenseReason;
use siphasher::sip::SipHasher13;
use std::hash::Hasher;
use std::ops::Range;

/// How and how often something is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// How.
    pub arrival: Arrival,
    /// How often it was tried before.
    pub attempt: u32,
    /// Its number among what waits: it has it again if it still waits, so that things stay in the order of their arrival.
    pub number: Option<u64>,
}

impl Retry {
    /// It comes for the first time.
    pub const FRESH: Retry = Retry { arrival: Arrival::FRESH, attempt: 0, number: None };

    /// What waited is tried once more.
    pub fn of(open: &OpenSuspense, number: u64) -> Retry {
        let arrival = Arrival::again(open.reason, open.level);
        Retry { arrival, attempt: open.attempt.saturating_add(1), number: Some(number) }
    }

    /// A command that the reference data implies.
    pub fn granted() -> Retry {
        Retry { arrival: Arrival::GRANTED, ..Retry::FRESH }
    }

    /// The number of what still waits of it: legs of what waited as a whole stand behind the whole, in its room.
    pub(super) fn number_of(self, level: Option<u8>) -> Option<u64> {
        match (self.number?, self.arrival.intent, level) {
            (number, Intent::Level { .. }, _) | (number, _, None) => Some(number),
            (number, _, Some(level)) => (number >= FIRST_NUMBER).then(|| number + 1 + u64::from(level)),
        }
    }

    /// The retry at a position; beyond the list everything is fresh.
    pub(super) fn at(retries: &[Retry], position: usize) -> Retry {
        retries.get(position).copied().unwrap_or(Retry::FRESH)
    }
}

/// Numbers of things that wait are so far apart, so that each leg of a record that waited as a whole has one behind the record's.
const STRIDE: u64 = 512;
/// The first number; below it stand things from before numbers were apart.
const FIRST_NUMBER: u64 = 1 << 40;

/// Gives numbers to what waits: in the order of arrival, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuspenseNumbers {
    next: u64,
}

impl SuspenseNumbers {
    /// From the next number on, as it was written down.
    pub fn from(next: u64) -> SuspenseNumbers {
        SuspenseNumbers { next: next.max(FIRST_NUMBER).next_multiple_of(STRIDE) }
    }

    /// The next number.
    pub fn next(self) -> u64 {
        self.next
    }

    /// The numbers among which those of one record, and of its legs, stand together.
    pub fn room_of(number: u64) -> Range<u64> {
        match number {
            ..FIRST_NUMBER => number..number + 1,
            FIRST_NUMBER.. => {
                let start = number - number % STRIDE;
                start..start + STRIDE
            }
        }
    }

    /// The number of something that waits: its own from before, or the next one.
    pub fn number(&mut self, open: &OpenSuspense) -> u64 {
        open.number.unwrap_or_else(|| {
            let number = self.next;
            self.next = self.next.saturating_add(STRIDE);
            number
        })
    }
}

/// Where a copy of a record stands in files.
pub(super) fn place_in(input: &str, place: u64) -> Place {
    let mut hasher = SipHasher13::new_with_keys(0x7261_7465_7220_706c, 0x6163_6520_6669_6c65);
    hasher.write(input.as_bytes());
    hasher.write_u8(0);
    hasher.write(&place.to_le_bytes());
    Place(hasher.finish())
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
    /// Its number from before, if it was tried again.
    pub number: Option<u64>,
}
