//! Sessions on an edge: what tells them apart, how long they are remembered, and where their counters are found (rules 12 and 13).
//!
//! A session is told by source, endpoint (or the account that the record names) and session id; the member that holds it is that of its payer and
//! endpoint. Its state has one entry, which every leg of the session moves, whatever took the leg: a rate, a bundle, nothing. The session and
//! its counters are remembered until the last event lies behind the state horizon ([`Horizons`](crate::Horizons)).
//!
//! | kept per session | holds |
//! | --- | --- |
//! | [`SessionState`] | last event, connect fee |
//! | [`SessionCounter`] per rate and version | sums, and the session that they belong to |
//!
//! Whether something forgotten was dropped from memory already changes no charge: a session that begins again notes from which horizon on it
//! did, and counters that are older than that are none of it.

use crate::account::Member;
use crate::calendar::Timestamp;
use crate::counter::Counter;
use crate::identity::{self, SessionName};
use crate::leg::Leg;
use crate::rate::Rate;
use std::num::NonZeroU128;

/// Names a session within a member: a hash of session id, source, payee and the account that its records name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionKey(pub NonZeroU128);

/// The entry of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionState {
    /// Latest event time of all its legs.
    pub last_event: Timestamp,
    /// The state horizon at which it began: counters that are older are those of a session of the same name that was forgotten.
    pub since: Timestamp,
    /// The first priced unit has decided on the connect fee, which is due once.
    pub connected: bool,
}

/// A counter of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionCounter {
    /// The sums.
    pub counter: Counter,
    /// The session; `None` in state of older formats until the counter changes again. Such a counter is remembered by its own last event.
    pub session: Option<SessionKey>,
}

impl SessionKey {
    /// The session of a leg; `None` for a record without one.
    fn of(leg: &Leg<'_>) -> Option<SessionKey> {
        let key = identity::session_key(session_name(leg)?, named_account(leg));
        Some(SessionKey(NonZeroU128::new(key).unwrap_or(NonZeroU128::MIN)))
    }

    fn state(self, member: &Member) -> Option<&SessionState> {
        member.sessions.get(self.0.get())
    }
}

/// The name of a leg's session on its edge; `None` for a record without one.
fn session_name<'a>(leg: &Leg<'a>) -> Option<SessionName<'a>> {
    let id = leg.usage.session_id.as_deref()?;
    Some(SessionName { id, source: &leg.usage.source, payee: &leg.edge.payee })
}

/// The account that stands for the endpoint where there is none.
fn named_account<'a>(leg: &Leg<'a>) -> Option<&'a str> {
    if leg.endpoint.is_some() { None } else { leg.usage.account_id.as_deref() }
}

/// Returns whether the member remembers the leg's session, so that the leg moves its last event.
pub fn knows_session(leg: &Leg<'_>, member: &Member) -> bool {
    leg.usage.session_id.is_some()
        && !member.sessions.is_empty()
        && SessionKey::of(leg).and_then(|key| key.state(member)).is_some_and(|state| state.is_remembered(leg))
}

impl SessionState {
    fn is_remembered(&self, leg: &Leg<'_>) -> bool {
        self.last_event >= leg.horizons.sessions_from
    }
}

/// The session of a leg as its member knows it before the leg.
#[derive(Clone, Copy, Debug)]
pub struct LegSession<'s> {
    key: SessionKey,
    state: SessionState,
    is_known: bool,
    member: &'s Member,
}

impl<'s> LegSession<'s> {
    /// The session of a leg; `None` for a record without one.
    pub fn of(leg: &Leg<'_>, member: &'s Member) -> Option<LegSession<'s>> {
        let key = SessionKey::of(leg)?;
        let known = key.state(member).copied().filter(|state| state.is_remembered(leg));
        let fresh = SessionState { last_event: Timestamp::EPOCH, since: leg.horizons.sessions_from, connected: false };
        Some(LegSession { key, state: known.unwrap_or(fresh), is_known: known.is_some(), member })
    }

    /// The counter under the key of a rate, and where there is none yet, under the key that older programs gave it.
    pub(crate) fn counter(&self, leg: &Leg<'_>, key: u128, older_key: Option<u128>) -> Option<&'s Counter> {
        let own = self.member.counters.get(key).filter(|kept| match kept.session {
            Some(_) => kept.counter.last_event >= self.state.since,
            None => kept.counter.last_event >= leg.horizons.sessions_from,
        });
        let older = || {
            self.member.counters.get(older_key?).filter(|kept| kept.counter.last_event >= leg.horizons.sessions_from)
        };
        own.or_else(older).map(|kept| &kept.counter)
    }

    /// Returns whether the connect fee is settled: by the session, or by a mark that an older program made for one of the tariff's versions.
    pub(crate) fn is_connected(&self, leg: &Leg<'_>, rate: &Rate) -> bool {
        self.state.connected || (!self.member.counters.is_empty() && self.has_older_mark(leg, rate))
    }

    fn has_older_mark(&self, leg: &Leg<'_>, rate: &Rate) -> bool {
        let is_marked = |version_from: Timestamp| {
            let mark = older_connect_key(leg, rate, version_from).and_then(|key| self.member.counters.get(key));
            mark.is_some_and(|mark| mark.counter.connected && mark.counter.last_event >= leg.horizons.sessions_from)
        };
        // A version that ended behind the horizon has no mark that is remembered.
        let ends = rate.facts.versions.iter().skip(1).copied().chain(std::iter::once(Timestamp::FAR_FUTURE));
        let others = rate.facts.versions.iter().copied().zip(ends).filter(|(_, end)| *end > leg.horizons.sessions_from);
        is_marked(rate.facts.version_from) || others.map(|(from, _)| from).any(is_marked)
    }

    /// The change that a leg makes: of the session, and of its counter under a key. `None` where no rate counts the session and none has before.
    pub(crate) fn change(
        &self,
        event_time: Timestamp,
        connects: bool,
        counter: Option<(u128, Counter)>,
    ) -> Option<SessionChange> {
        if !self.is_known && !connects && counter.is_none() {
            return None;
        }
        let SessionState { last_event, since, connected } = self.state;
        let state = SessionState { last_event: last_event.max(event_time), since, connected: connected || connects };
        let counter = counter.map(|(key, counter)| {
            let counter = Counter { last_event: state.last_event, ..counter };
            (key, SessionCounter { counter, session: Some(self.key) })
        });
        let is_moved = !self.is_known || state != self.state;
        Some(SessionChange { key: self.key, state: is_moved.then_some(state), counter })
    }
}

/// The change that a leg makes to its session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SessionChange {
    key: SessionKey,
    state: Option<SessionState>,
    counter: Option<(u128, SessionCounter)>,
}

impl SessionChange {
    /// Applies the change.
    pub(crate) fn apply(self, member: &mut Member) {
        if let Some(state) = self.state {
            member.sessions.set(self.key.0.get(), state);
        }
        if let Some((key, counter)) = self.counter {
            member.counters.set(key, counter);
        }
    }
}

impl Member {
    /// Drops sessions whose last event lies behind the state horizon, with their counters.
    pub fn forget_sessions(&mut self, sessions_from: Timestamp) {
        self.sessions.retain(|state| state.last_event >= sessions_from);
        let sessions = &self.sessions;
        self.counters.retain(|kept| match kept.session {
            Some(key) => sessions.get(key.0.get()).is_some_and(|state| kept.counter.last_event >= state.since),
            None => kept.counter.last_event >= sessions_from,
        });
    }
}

/// The key of a counter in a session of a rate, and the key by which older programs found it if that was another one.
///
/// The payee is part of the key, so that a move starts afresh (rule 6); a session starts afresh with a new version (detail c). Above the account
/// that a record names, sessions of other accounts count apart.
pub(crate) fn counter_keys(leg: &Leg<'_>, rate: &Rate) -> Option<(u128, Option<u128>)> {
    let account = named_account(leg).filter(|account| *account != leg.edge.payer.as_str());
    Some(identity::session_counter_keys(session_name(leg)?, rate.facts.version_from, rate.key, account))
}

/// The key of the mark that older programs made when a version of a tariff had settled a session's connect fee.
fn older_connect_key(leg: &Leg<'_>, rate: &Rate, version_from: Timestamp) -> Option<u128> {
    Some(identity::older_connect_key(session_name(leg)?, &rate.facts.tariff_id, version_from))
}
