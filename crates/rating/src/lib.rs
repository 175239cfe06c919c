//! The meaning of money, quantities, zones, tariffs, bundles, account state and charges.
//!
//! Everything here is pure: no I/O, no clock, no randomness, no floats, no logging. Values come in, values go out, and
//! what cannot be
//! rated is a [`SuspenseReason`], never a silent zero. No input leads to a panic; a broken invariant does, before anything is committed.
//!
//! Reading order: a [`Leg`] (what has to be priced on one edge) meets the payer's [`State`] in
//! [`rate_leg`], which draws bundles ([`draw`]), prices the rest ([`pricing`]) and emits a [`Charge`] with at most one
//! balance delta.

pub mod account;
mod bands;
pub mod bundle;
pub mod bundles;
pub mod calendar;
pub mod charge;
pub mod command;
pub mod counter;
pub mod dictionary;
pub mod draw;
pub mod due;
pub mod effect;
mod few;
pub mod id;
pub mod identity;
pub mod leg;
pub mod matching;
pub mod money;
mod ordered;
pub mod pricing;
pub mod quantity;
pub mod rate;
mod rate_leg;
pub mod reason;
pub mod session;
pub mod state;
pub mod table;
pub mod tariff;
pub mod timeline;
pub mod usage;
pub mod zone;

pub use account::Head;
pub use bundle::{BundleScope, BundleTemplate, Element, Instance, Starts};
pub use calendar::{Length, Month, TimeZone, Timestamp};
pub use charge::{Charge, ChargeId, Segment};
pub use command::{Command, CommandKind, CommandRefusal, apply_command};
pub use counter::Counter;
pub use effect::{
    BalanceDelta, Cause, CauseKind, Delta, DeltaKind, Effect, LifeEvent, LifeEventKind, Notification, Posting, Reply,
    Shared,
};
pub use id::{AccountId, AccountKind, Currency};
pub use leg::{Edge, Leg, Mode, RateChoice, Status};
pub use matching::{KeyFilter, MatchKeys, Specificity, UsageMatch, radio_access};
pub use money::{Amount, Exact, Rounding, RoundingMode, Sum, UnitPrice};
pub use quantity::{Unit, unit_of_service};
pub use rate::{Rate, RateSpec};
pub use rate_leg::rate_leg;
pub use reason::{ChargeReason, RetryMode, SuspenseReason};
pub use session::{SessionCounter, SessionKey, SessionState};
pub use state::{AccountNumber, State};
pub use table::Table;
pub use tariff::{Tariff, TariffSpec, TariffVersion, VersionSpec};
pub use timeline::{AccountChange, Standing, Timeline};
pub use usage::UsageRecord;
pub use zone::{Grade, NetworkPattern, Plmn, Zone};
