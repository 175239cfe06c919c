//! What happened in a batch, in numbers: gathered while a stage works, told once the batch is committed. An undone batch counts nothing.
//!
//! Plain integers in arrays, so that counting a record costs a few additions; what is made of them is
//! `crate::telemetry`'s business. Nothing here decides anything, and control totals are kept elsewhere ([`pipeline::ControlTotals`]).
//!
//! | told by | what |
//! | --- | --- |
//! | intake | what cannot be taken in; ages |
//! | guide | every other outcome of a record, its usage; commands that come no further; ages |
//! | rate | legs, charges and amounts; commands; ages, once per record and owner |
//!
//! So a record, a leg and a command have one outcome each over all stages, however they are spread over processes.

use rating::{Amount, Charge, ChargeReason, Currency, Sum, SuspenseReason, Timestamp, Unit};
use smallvec::SmallVec;
use std::fmt;
use std::time::Duration;

/// Makes a closed set of label values.
macro_rules! labels {
    ($(#[doc = $doc:literal])+ $set:ident { $($(#[doc = $each:literal])+ $label:ident = $name:literal,)+ }) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $set { $($(#[doc = $each])+ $label,)+ }

        impl $set {
            /// Every value.
            pub const ALL: &'static [$set] = &[$($set::$label,)+];

            /// The label.
            pub fn name(self) -> &'static str {
                match self { $($set::$label => $name,)+ }
            }
        }
    };
}
#[cfg(feature = "kafka")]
pub(crate) use labels;

labels! {
    /// The service of a record.
    Service {
        /// Mobile data.
        Data = "data",
        /// Calls.
        Voice = "voice",
        /// Short messages.
        Sms = "sms",
        /// Any other name.
        Other = "other",
        /// The record could not be taken in.
        Unknown = "unknown",
    }
}

impl Service {
    /// Of a record's service.
    pub fn of(name: &str) -> Service {
        match name {
            "data" => Service::Data,
            "voice" => Service::Voice,
            "sms" => Service::Sms,
            _ => Service::Other,
        }
    }
}

labels! {
    /// What became of a record.
    RecordOutcome {
        /// Legs went on to be rated.
        Guided = "guided",
        /// It came before.
        Duplicate = "duplicate",
        /// It waits as a whole.
        Suspended = "suspended",
    }
}

labels! {
    /// What became of a command.
    CommandResult {
        /// Done.
        Applied = "applied",
        /// Not possible, and it was told so.
        Refused = "refused",
        /// It came before.
        Duplicate = "duplicate",
        /// It waits.
        Suspended = "suspended",
    }
}

labels! {
    /// What became of a leg.
    LegOutcome {
        /// Charged, 0 included.
        Charged = "charged",
        /// It waits.
        Suspended = "suspended",
    }
}

labels! {
    /// What a charge comes from.
    ChargeSource {
        /// A tariff, wholly or beyond what bundles covered.
        Rated = "rated",
        /// Bundles alone.
        Bundle = "bundle",
        /// Free by intent: a reseller without a tariff.
        NoTariff = "no_tariff",
        /// Nothing was used.
        ZeroQuantity = "zero_quantity",
        /// The fee of a bundle.
        BundleFee = "bundle_fee",
        /// A tariff alone, before the state horizon.
        Late = "late",
    }
}

impl ChargeSource {
    fn of(reason: ChargeReason) -> ChargeSource {
        match reason {
            ChargeReason::Rated => ChargeSource::Rated,
            ChargeReason::Bundle => ChargeSource::Bundle,
            ChargeReason::NoTariff => ChargeSource::NoTariff,
            ChargeReason::ZeroQuantity => ChargeSource::ZeroQuantity,
            ChargeReason::BundleFee => ChargeSource::BundleFee,
            ChargeReason::Late => ChargeSource::Late,
        }
    }
}

labels! {
    /// A level: those from 8 on count as one.
    LevelLabel {
        /// Endpoint to customer.
        L0 = "0",
        /// Customer to its parent.
        L1 = "1",
        /// Reseller to its parent.
        L2 = "2",
        /// And so on.
        L3 = "3",
        /// And so on.
        L4 = "4",
        /// And so on.
        L5 = "5",
        /// And so on.
        L6 = "6",
        /// And so on.
        L7 = "7",
        /// All above.
        Above = "8+",
    }
}

impl LevelLabel {
    /// Of a level.
    pub fn of(level: u8) -> LevelLabel {
        LevelLabel::ALL.get(usize::from(level)).copied().unwrap_or(LevelLabel::Above)
    }
}

/// Upper bounds of ages, in milliseconds.
pub const AGE_BOUNDS_MS: [u64; 14] = [
    100, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 900_000, 3_600_000, 21_600_000, 43_200_000,
    86_400_000,
];

/// How old records were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ages {
    /// How many were at most as old as each of [`AGE_BOUNDS_MS`] and older than the bound before; the last place: older than all.
    pub counts: [u64; AGE_BOUNDS_MS.len() + 1],
    /// Sum of ages, in milliseconds.
    pub sum_ms: u64,
}

impl Ages {
    fn add(&mut self, age_ms: u64) {
        let place = AGE_BOUNDS_MS.partition_point(|bound| *bound < age_ms);
        if let Some(count) = self.counts.get_mut(place) {
            *count += 1;
        }
        self.sum_ms = self.sum_ms.saturating_add(age_ms);
    }

    /// Adds those of another batch.
    pub fn merge(&mut self, other: &Ages) {
        for (ours, theirs) in self.counts.iter_mut().zip(other.counts) {
            *ours += theirs;
        }
        self.sum_ms = self.sum_ms.saturating_add(other.sum_ms);
    }
}

/// Units of usage, in the order of [`BatchCounts::usage`].
pub const UNITS: [Unit; 4] = [Unit::Octets, Unit::Seconds, Unit::Messages, Unit::Units];

/// Numbers of one batch. Arrays are in the order of the `ALL` of their labels.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct BatchCounts {
    /// When the batch was executed, if anybody told: ages are counted from here.
    pub now: Option<Timestamp>,
    /// Records, by service and outcome.
    pub records: [[u64; RecordOutcome::ALL.len()]; Service::ALL.len()],
    /// Base units used, by unit and outcome of the record.
    pub usage: [[u64; RecordOutcome::ALL.len()]; UNITS.len()],
    /// Commands.
    pub commands: [u64; CommandResult::ALL.len()],
    /// Legs, by level and outcome.
    pub legs: [[u64; LegOutcome::ALL.len()]; LevelLabel::ALL.len()],
    /// Charges, by level and source.
    pub charges: [[u64; ChargeSource::ALL.len()]; LevelLabel::ALL.len()],
    /// Sums of the charges above 0, by level and currency, exact. A sum that leaves its range keeps its last value.
    pub amounts: SmallVec<[(LevelLabel, Currency, Sum); 8]>,
    /// Records and legs that wait, by reason.
    pub suspended: [u64; SuspenseReason::ALL.len()],
    /// Records and legs that somebody has given up, by the reason that they waited for.
    pub written_off: [u64; SuspenseReason::ALL.len()],
    /// Accounts whose due work was done without a message of theirs.
    pub due_accounts: u64,
    /// Ages of records; empty where nobody told the time.
    pub ages: Ages,
}

impl fmt::Debug for BatchCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sum = |counts: &[u64]| counts.iter().sum::<u64>();
        f.debug_struct("BatchCounts")
            .field("records", &sum(self.records.as_flattened()))
            .field("commands", &sum(&self.commands))
            .field("legs", &sum(self.legs.as_flattened()))
            .field("charges", &sum(self.charges.as_flattened()))
            .field("suspended", &sum(&self.suspended))
            .field("written_off", &sum(&self.written_off))
            .finish_non_exhaustive()
    }
}

impl BatchCounts {
    /// Counts a record; its usage where that is known.
    pub(crate) fn record(&mut self, service: Service, outcome: RecordOutcome, usage: Option<(Unit, u64)>) {
        self.records[service as usize][outcome as usize] += 1;
        if let Some((unit, quantity)) = usage {
            let sum = &mut self.usage[unit_place(unit)][outcome as usize];
            *sum = sum.saturating_add(quantity);
        }
    }

    /// Counts a record or leg that waits, by its reason only.
    pub(crate) fn waits(&mut self, reason: SuspenseReason) {
        if let Some(count) = self.suspended.get_mut(reason as usize) {
            *count += 1;
        }
    }

    /// Counts a record or leg that is given up.
    pub(crate) fn written_off(&mut self, reason: SuspenseReason) {
        if let Some(count) = self.written_off.get_mut(reason as usize) {
            *count += 1;
        }
    }

    /// Counts a command.
    pub(crate) fn command(&mut self, result: CommandResult) {
        self.commands[result as usize] += 1;
    }

    /// Counts a leg.
    pub(crate) fn leg(&mut self, level: u8, outcome: LegOutcome) {
        self.legs[LevelLabel::of(level) as usize][outcome as usize] += 1;
    }

    /// Counts a charge.
    pub(crate) fn charge(&mut self, charge: &Charge<'_>) {
        let level = LevelLabel::of(charge.edge.level);
        self.charges[level as usize][ChargeSource::of(charge.reason) as usize] += 1;
        if charge.amount.is_positive() {
            self.amount(level, charge.edge.currency, charge.amount);
        }
    }

    fn amount(&mut self, level: LevelLabel, currency: Currency, amount: Amount) {
        let known = self.amounts.iter_mut().find(|known| known.0 == level && known.1 == currency);
        match known {
            Some((_, _, sum)) => *sum = sum.checked_add(amount).unwrap_or(*sum),
            None => self.amounts.push((level, currency, amount.into())),
        }
    }

    /// Counts how old a record is; one from the future counts as new.
    pub(crate) fn age(&mut self, event_time: Timestamp) {
        if let Some(now) = self.now {
            self.ages.add(u64::try_from(now.millis().saturating_sub(event_time.millis())).unwrap_or(0));
        }
    }
}

fn unit_place(unit: Unit) -> usize {
    match unit {
        Unit::Octets => 0,
        Unit::Seconds => 1,
        Unit::Messages => 2,
        Unit::Units => 3,
    }
}

/// Where the time of a batch went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchTimes {
    /// From the call that filled the batch to its being full: mostly waiting for messages.
    pub gather: Duration,
    /// Getting the facts that it needs.
    pub prepare: Duration,
    /// The stage at work.
    pub execute: Duration,
    /// Handing outputs and positions to the client.
    pub send: Duration,
    /// Waiting for the broker to have all of it.
    pub commit: Duration,
}

/// What a stage has, between batches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StageStatus {
    /// The clock of ticks: the least over its partitions; `None` before the first tick.
    pub clock: Option<Timestamp>,
    /// How many entries its state has: remembered ids, accounts, what waits, what was carried out.
    pub entries: u64,
    /// Since when the oldest of what waits does, on the clock of ticks.
    pub oldest: Option<Timestamp>,
    /// Bytes of what waits.
    pub bytes: u64,
    /// For how many milliseconds of the clock the oldest work, of an account or of reference data, has been due; 0 where all is done.
    pub due_behind_ms: i64,
    /// Up to when all work is done that time brings to accounts, the least over its partitions: the clock, or the earliest work that has fallen due and
    /// is not done. `None` before the first tick.
    pub complete_to: Option<Timestamp>,
    /// The sender for which its clock waits.
    pub held_by: Option<Box<SlowestSender>>,
}

/// The sender to a stage that is furthest behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlowestSender {
    /// What the sender reads: the topic.
    pub topic: String,
    /// The partition of that.
    pub partition: u32,
    /// How many milliseconds its clock is behind that of the sender which is furthest ahead.
    pub behind_ms: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_services_are_capped() {
        assert_eq!([0, 7, 8, 255].map(|level| LevelLabel::of(level).name()), ["0", "7", "8+", "8+"]);
        let services = ["data", "voice", "sms", "iot-cpu", ""].map(|name| Service::of(name).name());
        assert_eq!(services, ["data", "voice", "sms", "other", "other"]);
    }

    #[test]
    fn an_age_falls_under_the_first_bound_that_is_not_below_it() {
        let mut counts = BatchCounts { now: Some(Timestamp::from_millis(200_000_000)), ..BatchCounts::default() };
        for age in [-5, 0, 100, 101, 300_000, 86_400_000, 86_400_001] {
            counts.age(Timestamp::from_millis(200_000_000 - age));
        }
        let mut expected = [0; AGE_BOUNDS_MS.len() + 1];
        (expected[0], expected[1], expected[8], expected[13], expected[14]) = (3, 1, 1, 1, 1);
        assert_eq!(counts.ages.counts, expected);
        assert_eq!(counts.ages.sum_ms, 100 + 101 + 300_000 + 86_400_000 + 86_400_001);
    }

    #[test]
    fn reasons_are_counted_at_their_place_in_the_list() {
        for (place, reason) in SuspenseReason::ALL.iter().enumerate() {
            let mut counts = BatchCounts::default();
            counts.waits(*reason);
            assert_eq!(counts.suspended.iter().position(|count| *count == 1), Some(place), "{}", reason.name());
        }
    }

    #[test]
    fn sums_of_amounts_are_exact_by_level_and_currency() {
        let amount = |text: &str| Amount::from_decimal(text.parse().expect("a decimal")).expect("an amount");
        let (gbp, eur) = (Currency::parse("GBP").expect("a currency"), Currency::parse("EUR").expect("a currency"));
        let mut counts = BatchCounts::default();
        for (level, currency, text) in [(1, gbp, "0.1"), (1, gbp, "0.2"), (1, eur, "5"), (9, gbp, "1"), (200, gbp, "2")]
        {
            counts.amount(LevelLabel::of(level), currency, amount(text));
        }
        let shown: Vec<String> =
            counts.amounts.iter().map(|(level, currency, sum)| format!("{} {currency} {sum}", level.name())).collect();
        assert_eq!(shown, ["1 GBP 0.3", "1 EUR 5", "8+ GBP 3"]);
    }
}
