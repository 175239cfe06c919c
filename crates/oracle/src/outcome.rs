//! What the oracle says about one line of input, in a form that is easily compared with the product's output.

use num_rational::BigRational;
use std::collections::BTreeMap;
use std::fmt;

/// The one outcome of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A usage record whose lineage is known: one outcome per level.
    Guided {
        /// The record's source.
        source: String,
        /// The record's id.
        id: String,
        /// Its legs, lowest level first.
        legs: Vec<Leg>,
    },
    /// A usage record that waits as a whole.
    Suspended {
        /// Why.
        reason: Reason,
        /// The record's source and id, if they could be read.
        identity: Option<(String, String)>,
    },
    /// A usage record that was seen before with the same payload (rule 26).
    Duplicate {
        /// The record's source.
        source: String,
        /// The record's id.
        id: String,
    },
    /// A command.
    Command(CommandOutcome),
    /// A tick: nothing that the oracle covers is due by the clock.
    Tick,
    /// An empty line.
    Blank,
}

/// What became of one level of a guided record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leg {
    /// 0 for the endpoint's own plan, 1 for its customer, and so on up.
    pub level: u32,
    /// The account that is charged.
    pub payer: String,
    /// The account that charges.
    pub payee: String,
    /// Fees of bundles that this leg activated, charged before its use.
    pub fees: Vec<Charge>,
    /// The charge, or why there is none.
    pub result: Result<Charge, Reason>,
}

/// One charge on one edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// For use or for a bundle.
    pub kind: ChargeKind,
    /// The account that is charged.
    pub payer: String,
    /// The account that charges.
    pub payee: String,
    /// After rounding and cap, without trailing zeros.
    pub amount: String,
    /// Why this amount.
    pub reason: ChargeReason,
    /// Of the payer's account.
    pub currency: String,
    /// Start of the record, or when the fee fell due, in milliseconds since 1970.
    pub event_time: i64,
    /// The endpoint that used the service, or that the bundle is for.
    pub endpoint: Option<String>,
    /// Custom properties of the payer's account at the event time, by name.
    pub properties: Vec<(String, String)>,
    /// What was drawn, in order.
    pub draws: Vec<Draw>,
    /// Base units covered, per bundle instance, fair use included.
    pub covered: BTreeMap<String, u128>,
    /// Base units that no bundle covered.
    pub uncovered: u128,
    /// Base units newly billed by the tariff: after free units, minimum and increments of the rate's scope.
    pub billable: u128,
    /// What priced the uncovered units, if anything did.
    pub priced_by: Option<PricedBy>,
    /// What the cap waived, without trailing zeros.
    pub waived: String,
    /// The connect fee contained in the exact amount, without trailing zeros.
    pub connect: String,
    /// The payer's balance after this charge, without trailing zeros.
    pub balance_after: String,
    /// The number of the payer's delta; none for an amount of 0.
    pub delta_sequence: Option<u64>,
}

/// Units taken from one allowance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draw {
    /// The bundle instance.
    pub instance: String,
    /// Number of the element in its template, from 0.
    pub element: usize,
    /// Base units taken.
    pub units: u128,
    /// Base units left before; none: unlimited.
    pub before: Option<u128>,
    /// Base units left after; none: unlimited.
    pub after: Option<u128>,
}

/// What of a tariff priced a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PricedBy {
    /// The payer's tariff, an alias under its own name.
    pub tariff: String,
    /// The latest of the effective dates that made it, in milliseconds since 1970.
    pub version: i64,
    /// The zone of the rate.
    pub zone: String,
    /// Ledger and tax codes of the tariff, by name.
    pub codes: Vec<(String, String)>,
    /// Free units of the scope that this record took.
    pub free: u128,
    /// Newly billed base units by exact price of one; a package counts as its price over its size.
    pub billed: BTreeMap<BigRational, u128>,
    /// What this record added to the exact price of its scope, before rounding and cap: connect fee and flat parts included.
    pub exact: BigRational,
}

/// One change of one account's balance.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Delta {
    /// The account.
    pub account: String,
    /// From 1, without gaps.
    pub sequence: u64,
    /// `charge`, `top_up`, `debit` or `credit`.
    pub kind: String,
    /// Negative for a debit, without trailing zeros.
    pub amount: String,
    /// The balance afterwards, without trailing zeros.
    pub balance_after: String,
}

/// Something that an account is told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Notification {
    /// The account.
    pub account: String,
    /// Id of the usage record or command that caused it.
    pub caused_by: String,
    /// What it is told.
    pub news: News,
}

/// What an account is told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum News {
    /// An allowance crossed a threshold (rule 25).
    AllowanceThreshold {
        /// The bundle instance.
        instance: String,
        /// Number of the element, from 0.
        element: usize,
        /// Percent used.
        percent: u32,
        /// Base units left.
        remaining: u128,
    },
    /// A prepaid balance reached 0 or less (detail C); the balance.
    BalanceExhausted(String),
    /// A cap waived for the first time in its month (detail J); the tariff.
    CapReached(String),
    /// A bundle could not become active for lack of money (detail x); the instance.
    ActivationFailed(String),
    /// A command was refused.
    CommandRefused,
}

/// What a charge is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChargeKind {
    /// One leg of a usage record.
    Usage,
    /// A bundle instance that became active; holds its id (rule 19).
    BundleFee(String),
}

/// Why a charge has its amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChargeReason {
    /// A rate priced at least a part.
    Rated,
    /// Bundles covered all of it.
    Bundle,
    /// A reseller without a tariff: free by intent (rule 5).
    NoTariff,
    /// Nothing was used (detail l).
    ZeroQuantity,
    /// The fee of a bundle.
    BundleFee,
}

impl ChargeReason {
    /// The stable code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            ChargeReason::Rated => "rated",
            ChargeReason::Bundle => "bundle",
            ChargeReason::NoTariff => "no_tariff",
            ChargeReason::ZeroQuantity => "zero_quantity",
            ChargeReason::BundleFee => "bundle_fee",
        }
    }
}

/// Why a record or a leg waits in suspense, in the order in which reasons are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are the stable codes that ACCEPTANCE uses")]
pub enum Reason {
    Undecodable,
    InvalidRecord,
    FutureEvent,
    DuplicateConflict,
    UnknownEndpoint,
    IdentityConflict,
    EndpointInactive,
    /// The event lies before the state horizon.
    TooOldToRate,
    AccountClosed,
    /// The edge is in another currency than the account, which never changes.
    CurrencyMismatch,
    AccountSuspended,
    SponsorNotAllowed,
    SubscriptionTypeNotAllowed,
    TariffMissing,
    NoRate,
    Blocked,
}

impl Reason {
    /// The stable code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Reason::Undecodable => "undecodable",
            Reason::InvalidRecord => "invalid_record",
            Reason::FutureEvent => "future_event",
            Reason::DuplicateConflict => "duplicate_conflict",
            Reason::UnknownEndpoint => "unknown_endpoint",
            Reason::IdentityConflict => "identity_conflict",
            Reason::EndpointInactive => "endpoint_inactive",
            Reason::TooOldToRate => "too_old_to_rate",
            Reason::AccountClosed => "account_closed",
            Reason::CurrencyMismatch => "currency_mismatch",
            Reason::AccountSuspended => "account_suspended",
            Reason::SponsorNotAllowed => "sponsor_not_allowed",
            Reason::SubscriptionTypeNotAllowed => "subscription_type_not_allowed",
            Reason::TariffMissing => "tariff_missing",
            Reason::NoRate => "no_rate",
            Reason::Blocked => "blocked",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.code())
    }
}

/// What became of a command, or of a grant in the reference data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandOutcome {
    /// The command's id, or `reference:ACCOUNT:BUNDLE[:ENDPOINT]`.
    pub id: String,
    /// Whether it took effect.
    pub result: CommandResult,
    /// The account's balance and last delta number afterwards; none if the account is not known.
    pub balance: Option<(String, u64)>,
    /// Fees of bundles that became active by it.
    pub fees: Vec<Charge>,
}

/// Whether a command took effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandResult {
    /// It did.
    Applied,
    /// Its id was applied before: nothing happened (rule 23).
    Duplicate,
    /// It did not; the text says why and is no stable code.
    Refused(String),
}

/// What recycling did with one waiting record or leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recycled {
    /// The line as it arrived.
    pub original: Vec<u8>,
    /// The record's source and id, if they could be read.
    pub identity: Option<(String, String)>,
    /// Why it waited.
    pub was: Reason,
    /// The level that waited; none: the record as a whole.
    pub level: Option<u32>,
    /// What became of it: one outcome per level, a single one for a leg; or it waits on, as a whole.
    pub result: Result<Vec<Leg>, Reason>,
}
