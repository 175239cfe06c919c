//! Duplicate removal (rule 26): the same (source, id) is admitted once within a window measured against the clock of ticks.
//!
//! An id costs 16 bytes in a table that is at most 7/8 full (18 to 37 bytes an id, as the table doubles). The key is the low half
//! of the identity hash; the value packs 40 bits of payload hash with the hour of the event. Two ids with the same key differ
//! in payload and so land in suspense as a conflict, never in silence.
//!
//! Memory is bounded by moving identities out: a runtime takes them away ([`Duplicates::take_all`]), keeps them elsewhere, and from
//! then on says with each record what it kept under its key.
//!
//! An identity of which something is suspended is not forgotten with the window: [`Held`] remembers it until the last of it has left, and the table
//! one window longer.

use crate::held::{Held, HeldIds, Place};
use hashbrown::HashMap;
use rating::Timestamp;

/// Hours behind the clock of ticks for which state is remembered, unless said otherwise: 45 days.
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

/// Whose admission is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// Hash of (source, id), or of a command's id.
    pub key: u128,
    /// Hash of everything else.
    pub payload: u64,
    /// Event time, or effective time.
    pub at: Timestamp,
    /// Where this copy stands.
    pub place: Place,
}

/// For how long identities are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Hours behind the clock of ticks; `None` is for ever, and then for commands as well.
    pub hours: Option<u32>,
    /// Hours for which the ids of commands are remembered, counted from their arrival; never less than `hours`.
    pub command_hours: u32,
}

/// Hours for which the ids of commands are remembered, unless said otherwise: 35 days.
pub const DEFAULT_COMMAND_HOURS: u32 = 35 * 24;

impl Window {
    /// Nothing is forgotten.
    pub const FOREVER: Window = Window { hours: None, command_hours: DEFAULT_COMMAND_HOURS };

    /// A window for records, and the default one for commands.
    pub fn of_hours(hours: Option<u32>) -> Window {
        Window { hours, ..Window::FOREVER }
    }

    /// Hours by which the memory of commands is longer than that of records.
    fn command_extra(self) -> i64 {
        self.hours.map_or(0, |hours| i64::from(self.command_hours.saturating_sub(hours)))
    }
}

/// Recent identities.
#[derive(Debug)]
pub struct Duplicates {
    seen: HashMap<u64, u64>,
    held: HeldIds,
    window: Window,
    state_horizon_hours: u32,
    /// What lies before it was forgotten.
    least_state_horizon: Timestamp,
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

fn pack(payload: u64, hour: i64) -> u64 {
    (payload << HOUR_BITS) | (u64::try_from(hour).unwrap_or(0) & ((1 << HOUR_BITS) - 1))
}

/// Returns whether two values have the same payload.
fn same_payload(one: u64, other: u64) -> bool {
    one >> HOUR_BITS == other >> HOUR_BITS
}

fn hour_at(instant: Timestamp) -> i64 {
    instant.millis().div_euclid(HOUR_MS)
}

/// The hour from which on identities are remembered: the window behind the clock; `None` where nothing is ever forgotten.
fn window_hour(clock: Option<Timestamp>, window_hours: Option<u32>) -> Option<i64> {
    clock.zip(window_hours).map(|(clock, window)| hour_at(clock) - i64::from(window))
}

/// The first instant of an hour; nothing is before [`Timestamp::EPOCH`].
fn start_of(hour: Option<i64>) -> Timestamp {
    hour.map_or(Timestamp::EPOCH, |hour| Timestamp::from_millis(hour.max(0).saturating_mul(HOUR_MS)))
}

/// The first instant that is remembered at a clock.
pub fn window_horizon(clock: Option<Timestamp>, window_hours: Option<u32>) -> Timestamp {
    start_of(window_hour(clock, window_hours))
}

/// The first instant of which state is remembered at a clock: the state horizon, which is never shorter than a finite window of record ids.
pub fn state_horizon(clock: Option<Timestamp>, window_hours: Option<u32>, state_horizon_hours: u32) -> Timestamp {
    window_horizon(clock, Some(state_horizon_hours.max(window_hours.unwrap_or(0))))
}

impl Duplicates {
    /// Remembers identities for a window.
    pub fn new(window: Window) -> Duplicates {
        Duplicates {
            seen: HashMap::new(),
            held: HeldIds::default(),
            window,
            state_horizon_hours: DEFAULT_STATE_HORIZON_H,
            least_state_horizon: Timestamp::EPOCH,
            clock: None,
            forgotten_hour: None,
            swept_hour: 0,
            added: Vec::new(),
            replaced: Vec::new(),
            settled_clock: None,
        }
    }

    /// Says for how many hours behind the clock state is remembered.
    #[must_use]
    pub fn with_state_horizon(self, hours: u32) -> Duplicates {
        Duplicates { state_horizon_hours: hours, ..self }
    }

    /// Decides about a copy of a record that comes for the first time, and remembers its identity if that is new. `kept` is what was taken
    /// away earlier under the same [`short_key`].
    pub fn admit(&mut self, id: Identity, kept: Option<u64>) -> Admission {
        if let Some(Held { value, owner: Some(_), .. }) = self.held.get(short_key(id.key)) {
            return Admission::of(*value, pack(id.payload, 0));
        }
        // What is known is not too late to tell: once suspended, a copy would be charged when its id is forgotten.
        if let Some(known) = self.remembered(id, kept) {
            return known;
        }
        let hour = hour_at(id.at);
        if self.horizon_hour().is_some_and(|horizon| hour < horizon) {
            return Admission::TooLate;
        }
        // Copies of another time may be suspended, of which nobody knew whether they were charged: this one is, and stands for all.
        self.held.claim(short_key(id.key), pack(id.payload, hour), id.place);
        self.remember(id, hour);
        Admission::New
    }

    /// Decides about a command: its id is remembered from its arrival on, for the memory of commands (ACCEPTANCE-2, "Clarified", rules 23 and 26). One that
    /// takes effect before that memory begins is too late.
    pub fn admit_command(&mut self, id: Identity, kept: Option<u64>) -> Admission {
        if let Some(known) = self.remembered(id, kept) {
            return known;
        }
        let extra = self.window.command_extra();
        let hour = hour_at(id.at);
        if self.horizon_hour().is_some_and(|horizon| hour < horizon - extra) {
            return Admission::TooLate;
        }
        // The first one may be forgotten while another one that is suspended is not too late.
        if let Some(Held { value, owner: Some(_), .. }) = self.held.get(short_key(id.key)) {
            return Admission::of(*value, pack(id.payload, 0));
        }
        let arrival = self.clock_hour().map_or(hour, |now| hour.max(now));
        self.remember(id, arrival + extra);
        Admission::New
    }

    /// Decides about a copy that came too late to tell whether it had come before, and of which somebody says that it was not charged. It is charged
    /// unless another copy was, or is suspended: then that one stands for all.
    pub fn admit_late(&mut self, id: Identity, kept: Option<u64>) -> Admission {
        // Whatever its place: one of the same place in another file of that name is another copy.
        if let Some(Held { value, owner: Some(_), .. }) = self.held.get(short_key(id.key)) {
            return Admission::of(*value, pack(id.payload, 0));
        }
        if let Some(known) = self.remembered(id, kept) {
            return known;
        }
        self.held.claim(short_key(id.key), pack(id.payload, hour_at(id.at)), id.place);
        self.remember(id, self.hour_from_now(id.at));
        Admission::New
    }

    /// Decides about a record that was admitted and is suspended, or a leg of it: it is not its own duplicate, but another copy may have been charged
    /// since.
    pub fn admit_again(&mut self, id: Identity, kept: Option<u64>) -> Admission {
        if self.held.get(short_key(id.key)).is_some_and(|held| held.is_of_another(id.place)) {
            return Admission::Duplicate;
        }
        self.held.claim(short_key(id.key), pack(id.payload, hour_at(id.at)), id.place);
        // Its id may be forgotten since it was suspended, and a copy that comes now must still meet it.
        if self.remembered(id, kept).is_none() {
            self.remember(id, self.hour_from_now(id.at));
        }
        Admission::New
    }

    /// Remembers that a copy is suspended. One that was admitted before (`is_owner`) stands for all copies; for another one that does which the window
    /// remembers, if there is one.
    pub fn suspend(&mut self, id: Identity, is_owner: bool) {
        let (value, owner) = match self.remembered_value(id, None).filter(|_| !is_owner) {
            Some(remembered) => (remembered, Some(Place::FORGOTTEN)),
            None => (pack(id.payload, hour_at(id.at)), is_owner.then_some(id.place)),
        };
        self.held.suspend(short_key(id.key), value, owner);
    }

    /// Remembers that a copy with another payload is suspended: the one that came first stays the one that stands for all, however long ago it was
    /// charged, or two charges would have one id.
    pub fn suspend_conflict(&mut self, id: Identity, kept: Option<u64>) {
        let short = short_key(id.key);
        if let Some(value) = self.remembered_value(id, kept) {
            self.held.suspend(short, value, Some(Place::FORGOTTEN));
        }
    }

    /// Counts a suspended copy or leg, which stays so until it [leaves](Duplicates::leave).
    pub fn hold(&mut self, id: Identity, is_owner: bool) {
        self.suspend(id, is_owner);
        self.held.count(short_key(id.key));
    }

    /// Takes note that a counted copy or leg is no longer suspended. With the last of them the id is remembered for one window longer, unless only
    /// copies were suspended that came too late: what is remembered of their id is no payload of theirs.
    pub fn leave(&mut self, key: u128) {
        let short = short_key(key);
        let Some(released) = self.held.leave(short).filter(|released| released.owner.is_some()) else { return };
        let hour = hour_of(released.value);
        match self.clock_hour().filter(|_| self.window.hours.is_some()) {
            Some(now) => self.put(short, pack(released.value >> HOUR_BITS, hour.max(now))),
            None if self.seen.contains_key(&short) => {}
            None => self.put(short, released.value),
        }
    }

    /// Says of another copy what the window remembers of its identity.
    fn remembered(&self, id: Identity, kept: Option<u64>) -> Option<Admission> {
        self.remembered_value(id, kept).map(|value| Admission::of(value, pack(id.payload, 0)))
    }

    fn remembered_value(&self, id: Identity, kept: Option<u64>) -> Option<u64> {
        // What memory would have forgotten by now is not remembered elsewhere either, and what is behind the window may stand there until it is swept.
        let horizon = self.horizon_hour();
        let is_remembered = |value: &u64| horizon.is_none_or(|horizon| hour_of(*value) >= horizon);
        let kept = kept.filter(is_remembered);
        kept.or_else(|| self.seen.get(&short_key(id.key)).copied().filter(is_remembered))
    }

    fn remember(&mut self, id: Identity, hour: i64) {
        self.put(short_key(id.key), pack(id.payload, hour));
    }

    fn put(&mut self, short: u64, packed: u64) {
        if let Some(before) = self.seen.insert(short, packed) {
            self.replaced.push((self.added.len(), before));
        }
        self.added.push((short, packed));
    }

    /// The hour as of which something is remembered that comes after its time: at the beginning of the window it would be forgotten with the next
    /// hour, and the next copy be charged.
    fn hour_from_now(&self, at: Timestamp) -> i64 {
        let now = self.clock_hour().filter(|_| self.window.hours.is_some());
        now.map_or(hour_at(at), |now| hour_at(at).max(now))
    }

    fn clock_hour(&self) -> Option<i64> {
        self.clock.map(hour_at)
    }

    /// Moves the clock; it never goes back.
    pub fn tick(&mut self, instant: Timestamp) {
        self.clock = Some(self.clock.map_or(instant, |clock| clock.max(instant)));
    }

    /// What was done since the last call is committed. Identities behind the window leave memory, once an hour of the clock.
    pub fn settle(&mut self) {
        self.added.clear();
        self.replaced.clear();
        self.held.settle();
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

    /// Behind which of some ticks, given with their positions, the window has moved: the positions after them.
    pub fn ends_of_windows(&self, ticks: impl IntoIterator<Item = (usize, Timestamp)>) -> Vec<usize> {
        let Some(hours) = self.window.hours else { return Vec::new() };
        let mut clock = self.clock;
        let moved = ticks.into_iter().filter(|(_, instant)| {
            let before = window_hour(clock, Some(hours));
            clock = clock.max(Some(*instant));
            window_hour(clock, Some(hours)) > before
        });
        moved.map(|(position, _)| position + 1).collect()
    }

    /// The first instant that is remembered: the window behind the clock of ticks.
    pub fn horizon(&self) -> Timestamp {
        start_of(self.horizon_hour())
    }

    /// The state horizon: what no event from then on can see is forgotten.
    pub fn state_horizon(&self) -> Timestamp {
        state_horizon(self.clock, self.window.hours, self.state_horizon_hours).max(self.least_state_horizon)
    }

    /// Says what had been forgotten when the state was written down: a horizon that has become longer since does not bring it back.
    pub fn restore_state_horizon(&mut self, horizon: Timestamp) {
        self.least_state_horizon = self.least_state_horizon.max(horizon);
    }

    /// The first instant at which a command may take effect.
    pub fn command_horizon(&self) -> Timestamp {
        start_of(self.horizon_hour().map(|hour| hour - self.window.command_extra()))
    }

    fn horizon_hour(&self) -> Option<i64> {
        window_hour(self.clock, self.window.hours).max(self.forgotten_hour)
    }

    /// Says what had been forgotten when the state was written down: a window that has become wider since does not bring it back.
    pub fn restore_horizon(&mut self, horizon: Timestamp) {
        self.forgotten_hour = Some(hour_at(horizon)).filter(|hour| *hour > 0);
    }

    /// What was done since [`Duplicates::settle`] was not committed: everything as it was then.
    pub fn undo(&mut self) {
        // Backwards: of two values under one key the first one's predecessor is what stood there.
        for (place, (short, _)) in self.added.drain(..).enumerate().rev() {
            match self.replaced.pop_if(|(replaced, _)| *replaced == place) {
                Some((_, before)) => self.seen.insert(short, before),
                None => self.seen.remove(&short),
            };
        }
        self.held.undo();
        self.clock = self.settled_clock;
    }

    /// What was remembered since [`Duplicates::settle`]: what a commit has to write down.
    pub fn added(&self) -> &[(u64, u64)] {
        &self.added
    }

    /// Identities of which something is suspended.
    pub fn held(&self) -> &HeldIds {
        &self.held
    }

    /// Puts back an identity of which something is suspended, or takes it away.
    pub fn restore_held(&mut self, short: u64, held: Option<Held>) {
        self.held.restore(short, held);
    }

    /// Takes everything away that is remembered: (short key, value) in no particular order. What is [held](Duplicates::held) stays.
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

impl Admission {
    /// Judges another copy by a known value.
    fn of(known: u64, packed: u64) -> Admission {
        if same_payload(known, packed) { Admission::Duplicate } else { Admission::Conflict }
    }
}

#[cfg(test)]
mod tests;
