//! What has to be rated on one edge: the leg, and the facts of the edge as of the event time.

use crate::calendar::{TimeZone, Timestamp};
use crate::id::{AccountId, AccountKind, Currency};
use crate::rate::Rate;
use crate::reason::SuspenseReason;
use crate::usage::UsageRecord;
use std::sync::Arc;

/// Whether an account pays before or after use (rules 19, 21).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Pays before use.
    Prepaid,
    /// Pays after use.
    Postpaid,
}

/// The payer's own status at the event time (rule 7); there is no cascade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// May be charged.
    Active,
    /// Legs wait as `account_suspended`.
    Suspended,
    /// Legs wait as `account_closed`.
    Closed,
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
    /// The rate.
    pub rate: RateChoice<'a>,
    /// The window of record ids behind the clock of ticks: sessions whose last event is earlier are forgotten, and months that ended earlier.
    pub remembered_from: Timestamp,
}
