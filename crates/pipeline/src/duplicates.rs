//! Duplicate removal (rule 26): the same (source, id) is admitted once within a window measured against the clock of ticks.
//!
//! An id costs 16 bytes in a table that is at most 7/8 full (18 to 37 bytes an id, as the table doubles). The key is the low half
//! of the identity hash; the value packs 40 bits of payload hash with the hour of the event. Two ids with the same key differ
//! in payload and so land in suspense as a conflict, never in silence.
//!
//! Memory is bounded by moving identities out: a runtime takes them away ([`Duplicates::take_all`]), keeps them elsewhere, and from
//! then on says with each record what it kept under its key.

use hashbrown::HashMap;
use rating::{Horizons, Timestamp};

/// Hours behind the clock of ticks for which sessions are remembered, unless said otherwise: 45 days.
pub const DEFAULT_STATE_HORIZON_H: u32 = 45 * 24;

const HOUR_MS: i64 = 3_600_000;
const HOUR_BITS: u32 = 24;

/// What becomes of a record or command by its identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// First seen.
    New,
    /// Seen with the same payload.
    Duplicate,
    /// Seen with another payload.
    Conflict,
    /// Older than the window: whether it was seen cannot be known.
    TooLate,
}

/// Recent identities.
#[derive(Debug, Default)]
pub struct Duplicates {
    seen: HashMap<u64, u64>,
    window_hours: Option<u32>,
    state_horizon_hours: u32,
    clock: Option<Timestamp>,
    /// Hours before this one were forgotten under an earlier, narrower window.
    forgotten_hour: Option<i64>,
    swept_hour: i64,
    added: Vec<(u64, u64)>,
    /// Under what keys of them, by their place among them, something stood that is forgotten.
    replaced: Vec<(usize, u64)>,
    settled_clock: Option<Timestamp>,
}

/// The key under which an identity is remembered.
pub fn short_key(key: u128) -> u64 {
    key as u64
}

/// The hour of the event, counted from 1970, in a remembered value: what it is forgotten by.
pub fn hour_of(value: u64) -> i64 {
    (value & ((1 << HOUR_BITS) - 1)) as i64
}

/// The hour from which on identities are remembered: the window behind the clock; `None` where nothing is ever forgotten.
fn window_hour(clock: Option<Timestamp>, window_hours: Option<u32>) -> Option<i64> {
    clock.zip(window_hours).map(|(clock, window)| clock.millis().div_euclid(HOUR_MS) - i64::from(window))
}

/// The first instant of an hour; nothing is before [`Timestamp::EPOCH`].
fn start_of(hour: Option<i64>) -> Timestamp {
    hour.map_or(Timestamp::EPOCH, |hour| Timestamp::from_millis(hour.max(0).saturating_mul(HOUR_MS)))
}

/// The first instant that is remembered at a clock.
pub fn window_horizon(clock: Option<Timestamp>, window_hours: Option<u32>) -> Timestamp {
    start_of(window_hour(clock, window_hours))
}

/// The first instant whose sessions are remembered at a clock: the state horizon, which is never shorter than a finite window of record ids.
pub fn state_horizon(clock: Option<Timestamp>, window_hours: Option<u32>, state_horizon_hours: u32) -> Timestamp {
    window_horizon(clock, Some(state_horizon_hours.max(window_hours.unwrap_or(0))))
}

impl Duplicates {
    /// Remembers identities for a number of hours behind the clock of ticks; `None` remembers all.
    pub fn new(window_hours: Option<u32>) -> Duplicates {
        Duplicates { window_hours, state_horizon_hours: DEFAULT_STATE_HORIZON_H, ..Duplicates::default() }
    }

    /// Says for how many hours behind the clock sessions are remembered.
    #[must_use]
    pub fn with_state_horizon(self, hours: u32) -> Duplicates {
        Duplicates { state_horizon_hours: hours, ..self }
    }

    /// Decides about one identity and remembers it if it is new. `kept` is what was taken away earlier under the same
    /// [`short_key`].
    pub fn admit(&mut self, key: u128, payload: u64, event_time: Timestamp, kept: Option<u64>) -> Admission {
        let hour = event_time.millis().div_euclid(HOUR_MS);
        if self.horizon_hour().is_some_and(|horizon| hour < horizon) {
            return Admission::TooLate;
        }
        self.remember(key, payload, hour, kept)
    }

    /// As [`Duplicates::admit`], for what somebody says was not charged before although it is too late to tell: it is remembered as of the
    /// clock, for a whole window, so that a copy of it that is too late as well is known.
    pub fn admit_late(&mut self, key: u128, payload: u64, event_time: Timestamp, kept: Option<u64>) -> Admission {
        let hour = event_time.millis().div_euclid(HOUR_MS);
        // As of the clock: at the beginning of the window it would be forgotten with the next hour, and the next copy be charged.
        let now = self.clock.filter(|_| self.window_hours.is_some()).map(|clock| clock.millis().div_euclid(HOUR_MS));
        self.remember(key, payload, now.map_or(hour, |now| hour.max(now)), kept)
    }

    fn remember(&mut self, key: u128, payload: u64, hour: i64, kept: Option<u64>) -> Admission {
        let packed = (payload << HOUR_BITS) | (u64::try_from(hour).unwrap_or(0) & ((1 << HOUR_BITS) - 1));
        let short = short_key(key);
        // What memory would have forgotten by now is not remembered elsewhere either.
        let kept = kept.filter(|kept| self.horizon_hour().is_none_or(|horizon| hour_of(*kept) >= horizon));
        if let Some(kept) = kept {
            return if kept >> HOUR_BITS == packed >> HOUR_BITS { Admission::Duplicate } else { Admission::Conflict };
        }
        // What is behind the window may still stand there until it is swept.
        let horizon = self.horizon_hour();
        let is_remembered = |value: u64| horizon.is_none_or(|horizon| hour_of(value) >= horizon);
        match self.seen.entry(short) {
            hashbrown::hash_map::Entry::Occupied(mut known) => {
                let value = *known.get();
                if is_remembered(value) {
                    return match value >> HOUR_BITS == packed >> HOUR_BITS {
                        true => Admission::Duplicate,
                        false => Admission::Conflict,
                    };
                }
                self.replaced.push((self.added.len(), known.insert(packed)));
            }
            hashbrown::hash_map::Entry::Vacant(free) => {
                free.insert(packed);
            }
        }
        self.added.push((short, packed));
        Admission::New
    }

    /// Moves the clock; it never goes back.
    pub fn tick(&mut self, instant: Timestamp) {
        self.clock = Some(self.clock.map_or(instant, |clock| clock.max(instant)));
    }

    /// What was done since the last call is committed. Identities behind the window leave memory, once an hour of the clock.
    pub fn settle(&mut self) {
        self.added.clear();
        self.replaced.clear();
        self.settled_clock = self.clock;
        if let Some(horizon) = self.horizon_hour().filter(|horizon| *horizon > self.swept_hour) {
            self.swept_hour = horizon;
            self.seen.retain(|_, packed| hour_of(*packed) >= horizon);
        }
    }

    /// The clock of ticks.
    pub fn clock(&self) -> Option<Timestamp> {
        self.clock
    }

    /// The first instant that is remembered: the window behind the clock of ticks.
    pub fn horizon(&self) -> Timestamp {
        start_of(self.horizon_hour())
    }

    /// The first instants of which record ids, months and sessions are remembered.
    pub fn horizons(&self) -> Horizons {
        Horizons {
            remembered_from: self.horizon(),
            sessions_from: state_horizon(self.clock, self.window_hours, self.state_horizon_hours),
        }
    }

    fn horizon_hour(&self) -> Option<i64> {
        window_hour(self.clock, self.window_hours).max(self.forgotten_hour)
    }

    /// Says what had been forgotten when the state was written down: a window that has become wider since does not bring it back.
    pub fn restore_horizon(&mut self, horizon: Timestamp) {
        self.forgotten_hour = Some(horizon.millis().div_euclid(HOUR_MS)).filter(|hour| *hour > 0);
    }

    /// What was done since [`Duplicates::settle`] was not committed: everything as it was then.
    pub fn undo(&mut self) {
        // Backwards: a tick between two copies makes the first one's value forgotten, and the second one's takes its place.
        for (place, (short, _)) in self.added.drain(..).enumerate().rev() {
            match self.replaced.pop_if(|(replaced, _)| *replaced == place) {
                Some((_, before)) => self.seen.insert(short, before),
                None => self.seen.remove(&short),
            };
        }
        self.clock = self.settled_clock;
    }

    /// What was remembered since [`Duplicates::settle`]: what a commit has to write down.
    pub fn added(&self) -> &[(u64, u64)] {
        &self.added
    }

    /// Takes everything away that is remembered: (short key, value) in no particular order.
    pub fn take_all(&mut self) -> Vec<(u64, u64)> {
        self.seen.drain().collect()
    }

    /// Puts back what a commit wrote down.
    pub fn restore(&mut self, entries: impl IntoIterator<Item = (u64, u64)>) {
        self.seen.extend(entries);
    }

    /// How many identities are remembered.
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::{Admission, Duplicates};
    use rating::Timestamp;

    fn hour(number: i64) -> Timestamp {
        Timestamp::from_millis(number * super::HOUR_MS)
    }

    #[test]
    fn what_was_undone_is_new_again_whatever_took_its_place_meanwhile() {
        let mut ids = Duplicates::new(Some(1));
        ids.tick(hour(10));
        ids.settle();
        for _ in 0..2 {
            assert_eq!(ids.admit(1, 5, hour(10), None), Admission::New);
            // Now the first one is forgotten, and a copy that somebody vouches for takes its place.
            ids.tick(hour(20));
            assert_eq!(ids.admit_late(1, 5, hour(10), None), Admission::New);
            assert_eq!(ids.len(), 1);
            ids.undo();
            assert!(ids.is_empty(), "nothing was committed");
        }
    }

    #[test]
    fn what_was_forgotten_before_is_forgotten_after_an_undo() {
        let mut ids = Duplicates::new(Some(1));
        ids.tick(hour(10));
        assert_eq!(ids.admit(1, 5, hour(10), None), Admission::New);
        ids.settle();
        ids.tick(hour(11));
        assert_eq!(ids.admit(1, 5, hour(11), None), Admission::Duplicate);
        ids.tick(hour(20));
        assert_eq!(ids.admit(1, 6, hour(20), None), Admission::New);
        assert_eq!(ids.admit(1, 5, hour(20), None), Admission::Conflict);
        ids.undo();
        assert_eq!(ids.admit(1, 5, hour(11), None), Admission::Duplicate, "the clock went back with it");
    }
}
