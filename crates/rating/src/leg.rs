//! What has to be rated on one edge: the leg, and the facts of the edge as of the event time.

use crate::calendar::{TimeZone, Timestamp};
use crate::id::{AccountId, AccountKind, Currency};
use crate::quantity::Unit;
use crate::rate::Rate;
use crate::reason::SuspenseReason;
use crate::usage::UsageRecord;
use std::sync::Arc;

/// Whether an account pays before or after use (rules 19, 21).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Pays before use.
    Prepaid,
    /// Pays after use.
    Postpaid,
}

/// The payer's own status at the event time (rule 7); there is no cascade. In their order: where two hold, one by command and one of the directory, the
/// later of the two does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// May be charged.
    Active,
    /// Legs wait as `account_suspended`.
    Suspended,
    /// Legs wait as `account_closed`.
    Closed,
}

impl Status {
    /// The stable name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Status::Active => "active",
            Status::Suspended => "suspended",
            Status::Closed => "closed",
        }
    }
}

/// The status as of an instant of which dated facts, ascending by instant, say what holds from then on.
pub(crate) fn status_at(facts: &[(Timestamp, Status)], instant: Timestamp) -> Status {
    let after = facts.partition_point(|(from, _)| *from <= instant);
    after.checked_sub(1).and_then(|last| facts.get(last)).map_or(Status::Active, |(_, status)| *status)
}

/// Adds what holds from an instant on, in whatever order facts arrive: facts of later instants stand, and one of the same instant is replaced.
pub fn add_status(facts: &mut Vec<(Timestamp, Status)>, from: Timestamp, status: Status) {
    let after = facts.partition_point(|(earlier, _)| *earlier <= from);
    match after.checked_sub(1).and_then(|last| facts.get_mut(last)).filter(|(last, _)| *last == from) {
        Some((_, known)) => *known = status,
        None => facts.insert(after, (from, status)),
    }
}

/// One level of a lineage: a payer charged by a payee, with the facts that held at the event time (rule 2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Who is charged.
    pub payer: AccountId,
    /// What the payer is.
    pub payer_kind: AccountKind,
    /// Who charges; never credited.
    pub payee: AccountId,
    /// 0 for endpoint -> customer, 1 for customer -> reseller, and so on up; 1 for the first edge of a reseller's own record.
    pub level: u8,
    /// Currency of the payer's account (rule 8).
    pub currency: Currency,
    /// Prepaid or postpaid.
    pub mode: Mode,
    /// The payer's own status.
    pub status: Status,
    /// The payer's zone: calendar months and bundle lengths.
    pub time_zone: TimeZone,
    /// Sponsors that the payer may use; `None` is any.
    pub sponsors: Option<Arc<[Box<str>]>>,
    /// Subscription types that the payer may use; `None` is any.
    pub subscription_types: Option<Arc<[Box<str>]>>,
    /// Custom properties and external references of the payer, copied onto charges (rule 28).
    pub properties: Arc<[(Box<str>, Box<str>)]>,
}

/// What guide found on an edge.
#[derive(Clone, Copy, Debug)]
pub enum RateChoice<'a> {
    /// The rate that prices what no bundle covers.
    Rate(&'a Rate),
    /// Free by intent: a reseller without a tenant tariff (rule 5).
    NoTariff,
    /// Nothing prices it: `tariff_missing`, `no_rate` or `blocked`. Matters only for what no bundle covers.
    Missing(SuspenseReason),
}

impl RateChoice<'_> {
    /// The unit of the rate, where there is one.
    pub fn unit(&self) -> Option<Unit> {
        match self {
            RateChoice::Rate(rate) => Some(rate.spec.unit),
            RateChoice::NoTariff | RateChoice::Missing(_) => None,
        }
    }
}

/// One level of one guided record, with all facts that rating needs.
#[derive(Clone, Copy, Debug)]
pub struct Leg<'a> {
    /// The record.
    pub usage: &'a UsageRecord,
    /// Hash of (source, id): the base of charge ids.
    pub usage_key: u128,
    /// The endpoint that used the service, if any.
    pub endpoint: Option<&'a str>,
    /// The edge.
    pub edge: &'a Edge,
    /// The names above the payer as of the event time, from the root down to the payee, with slashes between; empty where nobody said.
    pub ancestors: &'a str,
    /// The rate.
    pub rate: RateChoice<'a>,
    /// The state horizon behind the clock of ticks, where the record stands in the input: what no event from then on can see is forgotten, and an earlier
    /// event is too old to be rated.
    pub horizon: Timestamp,
    /// Somebody said that it is to be charged although it comes too late.
    pub is_late: bool,
}

impl Leg<'_> {
    /// Returns whether the event lies before the state horizon.
    pub fn is_too_old(&self) -> bool {
        self.usage.event_time < self.horizon
    }
}
