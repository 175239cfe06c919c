//! Stable codes: why a charge is what it is, and why something waits in suspense.

/// Why a charge has its amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChargeReason {
    /// Priced by a tariff, wholly or beyond what a bundle covered.
    Rated,
    /// Covered in full by bundles.
    Bundle,
    /// A reseller without a tenant tariff: free by intent (rule 5).
    NoTariff,
    /// Nothing was used (detail l).
    ZeroQuantity,
    /// The fee of a bundle that became active (rule 19).
    BundleFee,
    /// Priced by a tariff alone, because the event lies before the state horizon and somebody said to charge it: bundles, counters and caps of then are not known any more.
    Late,
}

impl ChargeReason {
    /// The stable name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            ChargeReason::Rated => "rated",
            ChargeReason::Bundle => "bundle",
            ChargeReason::NoTariff => "no_tariff",
            ChargeReason::ZeroQuantity => "zero_quantity",
            ChargeReason::BundleFee => "bundle_fee",
            ChargeReason::Late => "late",
        }
    }
}

/// How something that waits is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RetryMode {
    /// Like a fresh one: its id was not remembered.
    Afresh,
    /// Its id is remembered: it is not its own duplicate.
    Again,
    /// The same, and nobody has to ask: what it lacks often comes a moment later.
    ByItself,
    /// Like a fresh one, though its id is kept meanwhile, because another payload came before it.
    Conflicting,
    /// Only if somebody says that it was not charged; of its copies one is.
    IfUncharged,
    /// Only if somebody says so, and then by the tariff alone.
    ByTariff,
}

macro_rules! suspense_reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal, $scope:literal, $retry:ident, $todo:literal;)+) => {
        /// Why a record or a leg waits in suspense. The names are stable: they stand on the wire, in metrics and in docs/suspense.md.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum SuspenseReason { $($(#[doc = $doc])+ $variant,)+ }

        impl SuspenseReason {
            /// Every reason, in the order of the reference page.
            pub const ALL: &'static [SuspenseReason] = &[$(SuspenseReason::$variant,)+];

            /// The stable name.
            pub fn name(self) -> &'static str {
                match self { $(SuspenseReason::$variant => $name,)+ }
            }

            /// By its stable name.
            pub fn parse(name: &str) -> Option<SuspenseReason> {
                SuspenseReason::ALL.iter().copied().find(|reason| reason.name() == name)
            }

            /// What waits: the whole `record` or one `leg`.
            pub fn scope(self) -> &'static str {
                match self { $(SuspenseReason::$variant => $scope,)+ }
            }

            /// How it is tried again.
            pub fn retry(self) -> RetryMode {
                match self { $(SuspenseReason::$variant => RetryMode::$retry,)+ }
            }

            /// What it means.
            pub fn meaning(self) -> &'static str {
                match self { $(SuspenseReason::$variant => concat!($($doc,)+).trim_ascii(),)+ }
            }

            /// What an operator does about it.
            pub fn remedy(self) -> &'static str {
                match self { $(SuspenseReason::$variant => $todo,)+ }
            }
        }
    };
}

suspense_reasons! {
    /// The bytes are not a record: broken JSON, CSV or Avro, text that is not UTF-8, too long.
    Undecodable = "undecodable", "record", Afresh, "correct the producer and send the record again; recycling decodes again";
    /// A field is missing, malformed or out of range: no id, a negative or overflowing quantity, an unknown unit, an impossible time.
    InvalidRecord = "invalid_record", "record", Afresh, "correct the producer; the detail names every field at fault";
    /// The event time, or the effective time of a command, lies further ahead of the clock than the configured tolerance.
    FutureEvent = "future_event", "record", Afresh, "check the clock of the network element, then recycle";
    /// The event time lies further behind the clock than the configured tolerance: often seconds, days or another form of time taken for milliseconds since 1970.
    PastEvent = "past_event", "record", Afresh, "check the form and unit of the event time; correct the producer, or widen --past-tolerance and recycle";
    /// The quantity is larger than the limit of its service.
    ImplausibleQuantity = "implausible_quantity", "record", Afresh, "check the unit of the quantity; correct the producer, or raise --max-quantity and recycle";
    /// The record is of a kind that its topic or file does not accept, or could be of two kinds.
    WrongKind = "wrong_kind", "record", Afresh, "send it where its kind belongs; name its kind in the field `type` if it could be two";
    /// The event time is older than the window in which duplicates are remembered (rule 26).
    TooLate = "too_late", "record", IfUncharged, "decide whether it was charged before; recycle with --recycle-late to charge it";
    /// The same (source, id) came before with another payload (rule 26).
    DuplicateConflict = "duplicate_conflict", "record", Conflicting, "ask the producer which payload is right";
    /// No endpoint or account has this identity at the event time.
    UnknownEndpoint = "unknown_endpoint", "record", ByItself, "add the endpoint to the reference data, then recycle";
    /// Identities of one record name different endpoints, one of them is nobody's beside one that is known, or an account is not in the endpoint's lineage (detail I).
    IdentityConflict = "identity_conflict", "record", Again, "correct the SIM inventory or the producer, then recycle";
    /// The endpoint is not active at the event time, or has no customer or endpoint group (rule 7).
    EndpointInactive = "endpoint_inactive", "record", Again, "activate the endpoint as of the event time, then recycle";
    /// What the directory's store holds for the endpoint is no definition, names what is not there, or stands in a row that no writer wrote: only in a store, where it was written past `rater directory`.
    EndpointUnreadable = "endpoint_unreadable", "record", ByItself, "correct the definition that the detail names, or `rater directory verify --mend`; it is tried again by itself";
    /// The event lies before the state horizon: what bundles, counters and caps held then is not known any more.
    TooOldToRate = "too_old_to_rate", "leg", ByTariff, "decide whether to charge it; recycle with --recycle-late to charge it by tariff alone";
    /// The payer was suspended at the event time (rule 7).
    AccountSuspended = "account_suspended", "leg", Again, "lift the suspension as of the event time, then recycle";
    /// The payer was closed at the event time (rule 7).
    AccountClosed = "account_closed", "leg", Again, "decide who pays";
    /// The currency of the edge is not that of the payer's account, which never changes (rule 8).
    CurrencyMismatch = "currency_mismatch", "leg", Again, "give the account its first currency again, or a new name, then recycle";
    /// The payer may not use this sponsor network (rule 9).
    SponsorNotAllowed = "sponsor_not_allowed", "leg", Again, "allow the sponsor on the account, then recycle";
    /// The payer may not use this subscription type (rule 9).
    SubscriptionTypeNotAllowed = "subscription_type_not_allowed", "leg", Again, "allow the subscription type on the account, then recycle";
    /// A customer, or an endpoint with a plan, has no tariff for what no bundle covers (rule 5, detail m).
    TariffMissing = "tariff_missing", "leg", Again, "give the account a tariff as of the event time, then recycle";
    /// The tariff has no rate that matches, or no version in force (rule 9, detail m).
    NoRate = "no_rate", "leg", Again, "add the rate, then recycle";
    /// The tariff blocks this use (rule 9).
    Blocked = "blocked", "leg", Again, "find out why the network let it pass; unblock and recycle to charge it";
    /// The record's unit is not the unit of the rate.
    UnitMismatch = "unit_mismatch", "leg", Again, "correct the producer's unit or the tariff, then recycle";
    /// An amount, a balance or a counter left its range.
    AmountOverflow = "amount_overflow", "leg", Again, "check the quantity and the price";
    /// A record over time bands crosses more than 10,000 of them.
    DurationTooLong = "duration_too_long", "leg", Again, "check the duration";
}
