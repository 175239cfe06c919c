//! Sessions on an edge: what tells them apart, how long they are remembered, and where their counters are found (rules 12 and 13).
//!
//! A session is told by source, endpoint (or the account that the record names) and session id, and kept by its payer. Its state has one entry, which
//! every leg of the session moves, whatever took the leg: a rate, a bundle, nothing. The session and
//! its counters are remembered until the last event lies behind the state horizon ([`Leg::horizon`](crate::Leg::horizon)).
//!
//! | kept per session | holds |
//! | --- | --- |
//! | [`SessionState`] | last event, connect fee |
//! | [`SessionCounter`] per rate and version | sums, and the session that they belong to |
//!
//! Whether something forgotten was dropped from memory already changes no charge: a session that begins again notes from which horizon on it
//! did, and counters that are older than that are none of it.

use crate::calendar::Timestamp;
use crate::counter::Counter;
use crate::identity::{self, SessionName};
use crate::leg::{Leg, RateChoice};
use crate::rate::{Rate, Scope};
use crate::state::{AccountNumber, EndpointKey, EndpointRowKey, State};
use std::num::NonZeroU128;

/// Names a session of an endpoint: a hash of session id, source, payee and the account that its records name.
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

impl SessionState {
    fn is_remembered(&self, leg: &Leg<'_>) -> bool {
        self.last_event >= leg.horizon
    }
}

/// The session of a leg as its payer knows it before the leg.
#[derive(Clone, Copy, Debug)]
pub struct LegSession {
    key: SessionKey,
    session: SessionState,
    is_known: bool,
    endpoint: EndpointKey,
    account: AccountNumber,
}

impl LegSession {
    /// The session of a leg; `None` for a record without one, and where neither the account knows any nor the leg begins one.
    pub(crate) fn of(leg: &Leg<'_>, state: &State, account: AccountNumber) -> Option<LegSession> {
        if leg.usage.session_id.is_none() || !(state.has_sessions(account) || begins_session(leg)) {
            return None;
        }
        let key = SessionKey::of(leg)?;
        let endpoint = EndpointKey::of(leg.endpoint.unwrap_or(""));
        let known = state.sessions.get(&EndpointRowKey { key: key.0.get(), endpoint, account }).copied();
        let known = known.filter(|session| session.is_remembered(leg));
        let fresh = SessionState { last_event: Timestamp::EPOCH, since: leg.horizon, connected: false };
        Some(LegSession { key, session: known.unwrap_or(fresh), is_known: known.is_some(), endpoint, account })
    }

    fn row_key(&self, key: u128) -> EndpointRowKey {
        EndpointRowKey { key, endpoint: self.endpoint, account: self.account }
    }

    /// The counter under the key of a rate, and where there is none yet, under the key that older programs gave it.
    pub(crate) fn counter<'s>(
        &self,
        leg: &Leg<'_>,
        state: &'s State,
        key: u128,
        older_key: Option<u128>,
    ) -> Option<&'s Counter> {
        let own = state.session_counters.get(&self.row_key(key)).filter(|kept| match kept.session {
            Some(_) => kept.counter.last_event >= self.session.since,
            None => kept.counter.last_event >= leg.horizon,
        });
        let older = || {
            let kept = state.session_counters.get(&self.row_key(older_key?))?;
            (kept.counter.last_event >= leg.horizon).then_some(kept)
        };
        own.or_else(older).map(|kept| &kept.counter)
    }

    /// Returns whether the connect fee is settled: by the session, or by a mark that an older program made for one of the tariff's versions.
    pub(crate) fn is_connected(&self, leg: &Leg<'_>, rate: &Rate, state: &State) -> bool {
        self.session.connected || (state.has_older_marks() && self.has_older_mark(leg, rate, state))
    }

    fn has_older_mark(&self, leg: &Leg<'_>, rate: &Rate, state: &State) -> bool {
        let is_marked = |version_from: Timestamp| {
            let key = older_connect_key(leg, rate, version_from).map(|key| self.row_key(key));
            let mark = key.and_then(|key| state.session_counters.get(&key));
            mark.is_some_and(|mark| mark.counter.connected && mark.counter.last_event >= leg.horizon)
        };
        // A version that ended behind the horizon has no mark that is remembered.
        let ends = rate.facts.versions.iter().skip(1).copied().chain(std::iter::once(Timestamp::FAR_FUTURE));
        let others = rate.facts.versions.iter().copied().zip(ends).filter(|(_, end)| *end > leg.horizon);
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
        let SessionState { last_event, since, connected } = self.session;
        let session = SessionState { last_event: last_event.max(event_time), since, connected: connected || connects };
        let counter = counter.map(|(key, counter)| {
            let counter = Counter { last_event: session.last_event, ..counter };
            (self.row_key(key), SessionCounter { counter, session: Some(self.key) })
        });
        let is_moved = !self.is_known || session != self.session;
        Some(SessionChange { key: self.row_key(self.key.0.get()), session: is_moved.then_some(session), counter })
    }
}

/// The change that a leg makes to its session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SessionChange {
    key: EndpointRowKey,
    session: Option<SessionState>,
    counter: Option<(EndpointRowKey, SessionCounter)>,
}

impl SessionChange {
    /// Applies the change.
    pub(crate) fn apply(self, state: &mut State) {
        if let Some(session) = self.session {
            state.sessions.set(&self.key, session);
            state.note_sessions(self.key.account);
        }
        if let Some((key, counter)) = self.counter {
            state.session_counters.set(&key, counter);
        }
    }
}

/// Returns whether a leg begins a session that its account does not know: where its rate counts within sessions, or has a connect fee.
fn begins_session(leg: &Leg<'_>) -> bool {
    match leg.rate {
        RateChoice::Rate(rate) => rate.spec.scope == Scope::Session || rate.facts.has_connect,
        RateChoice::NoTariff | RateChoice::Missing(_) => false,
    }
}

/// What is known of the payer of a leg before it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KnownPayer<'s> {
    pub(crate) state: &'s State,
    pub(crate) account: AccountNumber,
    pub(crate) session: Option<&'s LegSession>,
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
