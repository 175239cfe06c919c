//! Every metric: name, kind, labels with their values, and what to do about it. The only place where they are named; docs/metrics.md is
//! written from here.
//!
//! Labels are closed sets. There is never one for an account, an endpoint, a tariff, a zone or a record.

use super::labels::{Check, LookupResult, Phase, SkipReason, TickResult, TransactionResult, WorkerState};
use crate::service::StageName;
use crate::worker::counts::{ChargeSource, CommandResult, LegOutcome, LevelLabel, RecordOutcome, Service};
use rating::SuspenseReason;

/// Most series that a process may show, whatever its input and deployment.
pub const MAX_SERIES: usize = 2_000;
/// Most currencies that have a label of their own.
pub const MAX_CURRENCIES: usize = 16;
/// Most partitions whose lag has a series of its own.
pub const MAX_LAGS: usize = 512;

/// How a metric moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only up, from 0 at the start of the process.
    Counter,
    /// Up and down.
    Gauge,
    /// Counts below bounds, with a sum.
    Histogram,
}

impl Kind {
    /// The name in the exposition.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// A label.
#[derive(Clone, Copy, Debug)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// Its values.
    pub values: Values,
}

/// The values of a label.
#[derive(Clone, Copy, Debug)]
pub enum Values {
    /// These, each there from the start.
    Set(fn() -> Vec<&'static str>),
    /// Not known before the start, but bounded: how.
    Bounded(&'static str),
}

/// A metric.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Name, with its unit.
    pub name: &'static str,
    /// How it moves.
    pub kind: Kind,
    /// Labels.
    pub labels: &'static [Label],
    /// What it says, as in the exposition.
    pub help: &'static str,
    /// When it moves.
    pub moves: &'static str,
    /// What to do about it.
    pub todo: &'static str,
}

macro_rules! set {
    ($set:ty) => {
        Values::Set(|| <$set>::ALL.iter().map(|value| value.name()).collect())
    };
}

const REASON: Label =
    Label { name: "reason", values: Values::Set(|| SuspenseReason::ALL.iter().map(|reason| reason.name()).collect()) };
const STAGE: Label = Label { name: "stage", values: set!(StageName) };
/// Stages that see records. Recycle does not read what waits.
pub(super) const RECORD_STAGES: [StageName; 3] = [StageName::Intake, StageName::Guide, StageName::Rate];
const RECORD_STAGE: Label =
    Label { name: "stage", values: Values::Set(|| RECORD_STAGES.iter().map(|stage| stage.name()).collect()) };
const KEEPING_STAGE: Label = Label { name: "stage", values: Values::Set(|| vec!["guide", "rate", "recycle", "cycle"]) };
/// Stages that others send to, and whose clock waits for each of them.
pub(super) const SENT_TO: [StageName; 2] = [StageName::Guide, StageName::Rate];
/// Stages that time gives something to do.
pub(super) const TIMED_STAGES: [StageName; 2] = [StageName::Rate, StageName::Cycle];
const TIMED_STAGE: Label =
    Label { name: "stage", values: Values::Set(|| TIMED_STAGES.iter().map(|stage| stage.name()).collect()) };
const OUTCOME: Label = Label { name: "outcome", values: set!(RecordOutcome) };
const LEVEL: Label = Label { name: "level", values: set!(LevelLabel) };

/// Records by outcome.
pub const RECORDS: Family = Family {
    name: "rater_records_total",
    kind: Kind::Counter,
    labels: &[Label { name: "service", values: set!(Service) }, OUTCOME],
    help: "Usage records that have an outcome, each once over all stages.",
    moves: "at commits of guide; of intake, for what cannot be taken in (service unknown)",
    todo: "compare with last week: too few is a feed that stopped; many duplicates are a producer that sends again",
};

/// Octets.
pub const USAGE_BYTES: Family = Family {
    name: "rater_usage_bytes_total",
    kind: Kind::Counter,
    labels: &[OUTCOME],
    help: "Octets of the records whose unit is octets.",
    moves: "at commits of guide",
    todo: "compare with the network's own totals",
};

/// Seconds.
pub const USAGE_SECONDS: Family = Family {
    name: "rater_usage_seconds_total",
    kind: Kind::Counter,
    labels: &[OUTCOME],
    help: "Seconds of the records whose unit is seconds.",
    moves: "at commits of guide",
    todo: "compare with the network's own totals",
};

/// Messages.
pub const USAGE_MESSAGES: Family = Family {
    name: "rater_usage_messages_total",
    kind: Kind::Counter,
    labels: &[OUTCOME],
    help: "Short messages of the records whose unit is messages.",
    moves: "at commits of guide",
    todo: "compare with the network's own totals",
};

/// Anything else.
pub const USAGE_UNITS: Family = Family {
    name: "rater_usage_units_total",
    kind: Kind::Counter,
    labels: &[OUTCOME],
    help: "Units of the records of all other services, added whatever they are units of.",
    moves: "at commits of guide",
    todo: "compare with last week",
};

/// Commands.
pub const COMMANDS: Family = Family {
    name: "rater_commands_total",
    kind: Kind::Counter,
    labels: &[Label { name: "outcome", values: set!(CommandResult) }],
    help: "Account commands that have an outcome, each once over all stages.",
    moves: "at commits of guide (refused, duplicate, suspended) and rate (applied, refused)",
    todo: "many refused: the topic of replies says why each was",
};

/// Legs.
pub const LEGS: Family = Family {
    name: "rater_legs_total",
    kind: Kind::Counter,
    labels: &[LEVEL, Label { name: "outcome", values: set!(LegOutcome) }],
    help: "Legs, one per record and level, by outcome.",
    moves: "at commits of rate",
    todo: "suspended legs are money that waits: rater_suspended_total has the reasons",
};

/// Charges.
pub const CHARGES: Family = Family {
    name: "rater_charges_total",
    kind: Kind::Counter,
    labels: &[LEVEL, Label { name: "source", values: set!(ChargeSource) }],
    help: "Charges, by level and what they come from.",
    moves: "at commits of rate",
    todo: "a share of no_tariff, zero_quantity or bundle that grows is use that nobody pays by tariff",
};

/// Money.
pub const CHARGED_AMOUNT: Family = Family {
    name: "rater_charged_amount_total",
    kind: Kind::Counter,
    labels: &[
        LEVEL,
        Label {
            name: "currency",
            values: Values::Bounded("currencies of the accounts at the start, at most 16 of them; `other`"),
        },
    ],
    help: "Sum of charges above 0 in units of the currency, for graphs and not for books; currency other adds up what cannot be added.",
    moves: "at commits of rate",
    todo: "a level that charges less than the one above it rates below cost; books come from the balance deltas",
};

/// Reasons.
pub const SUSPENDED: Family = Family {
    name: "rater_suspended_total",
    kind: Kind::Counter,
    labels: &[REASON],
    help: "Records, commands and legs that went to suspense, by reason.",
    moves: "at commits of any stage",
    todo: "docs/suspense.md says for each reason what to do; the topic of suspense has what waits",
};

/// Given up.
pub const WRITTEN_OFF: Family = Family {
    name: "rater_written_off_total",
    kind: Kind::Counter,
    labels: &[REASON],
    help: "Records, commands and legs that waited and were given up, by the reason that they waited for.",
    moves: "at commits of recycle, when somebody has asked for it (rater suspense write-off)",
    todo: "each is money that nobody will ask for: the topic of suspense has what it was and why",
};

/// Broken totals.
pub const CONTROL_MISMATCHES: Family = Family {
    name: "rater_control_mismatches_total",
    kind: Kind::Counter,
    labels: &[Label { name: "check", values: set!(Check) }],
    help: "Control totals that did not add up; nothing of their batch was committed.",
    moves: "once, just before the process ends with exit code 70: a scrape may miss it, so watch the exit code and the log as well",
    todo: "a defect: keep the log, report it; do not skip the batch",
};

/// Ages.
pub const RECORD_AGE: Family = Family {
    name: "rater_record_age_seconds",
    kind: Kind::Histogram,
    labels: &[RECORD_STAGE],
    help: "Time from the event of a record to its execution in a stage; rate sees a record once per owner of accounts.",
    moves: "at every commit",
    todo: "old already in intake: the feed is late; young there and old in rate: the pipeline is slow, see rater_consumer_lag_records",
};

/// Phases.
pub const BATCH_DURATION: Family = Family {
    name: "rater_batch_duration_seconds",
    kind: Kind::Histogram,
    labels: &[STAGE, Label { name: "phase", values: set!(Phase) }],
    help: "Where the time of a committed batch went; gather is mostly waiting for messages.",
    moves: "at every commit",
    todo: "long commit: the broker; long execute: more workers; long prepare: the schema registry",
};

/// Lag.
pub const CONSUMER_LAG: Family = Family {
    name: "rater_consumer_lag_records",
    kind: Kind::Gauge,
    labels: &[
        Label { name: "topic", values: Values::Bounded("topics that the stages here read") },
        Label {
            name: "partition",
            values: Values::Bounded("partitions read here; what goes beyond 512 series is added up in `other`"),
        },
    ],
    help: "Messages of a partition read here that can be read and are not processed yet.",
    moves: "every 5 s, from what the client knows of the partition's end (the last stable offset); gone with the partition",
    todo: "growing: add workers, up to one per partition; no commits at the same time: see the log",
};

/// Transactions.
pub const TRANSACTIONS: Family = Family {
    name: "rater_transactions_total",
    kind: Kind::Counter,
    labels: &[STAGE, Label { name: "result", values: set!(TransactionResult) }],
    help: "Transactions by what became of them.",
    moves: "at the end of each batch",
    todo: "aborted now and then is normal where groups change; uncertain costs a restore of the state: look at the broker",
};

/// Ticks.
pub const TICKS: Family = Family {
    name: "rater_ticks_total",
    kind: Kind::Counter,
    labels: &[Label { name: "result", values: set!(TickResult) }],
    help: "Ticks written or not, and refused when they were read.",
    moves: "every --tick-every, in processes with intake; refused: where the first input partition is owned",
    todo: "failed: no clock moves while nobody writes ticks; refused: a process with a wrong clock, or a foreign writer; see the log",
};

/// Skipped.
pub const SKIPPED: Family = Family {
    name: "rater_skipped_offsets_total",
    kind: Kind::Counter,
    labels: &[Label { name: "reason", values: set!(SkipReason) }],
    help: "Offsets of inputs, internal topics and changelogs that were skipped because an option said so.",
    moves: "when a partition with a gap is taken over (gap), and each time the message is met (message)",
    todo: "not 0 longer than meant: take --skip-gap and --skip-message out of the configuration; the log names topic, partition and offsets",
};

/// Clocks.
pub const CLOCK: Family = Family {
    name: "rater_clock_timestamp_seconds",
    kind: Kind::Gauge,
    labels: &[STAGE],
    help: "The clock of ticks, the least over the partitions here; 0 before the first tick or without a partition.",
    moves: "at commits, when ticks have come from all senders",
    todo: "behind: one input partition gets no ticks, or one worker before this stage stands still",
};

/// For whom it waits.
pub const CLOCK_HELD: Family = Family {
    name: "rater_clock_held_seconds",
    kind: Kind::Gauge,
    labels: &[
        Label { name: "stage", values: Values::Set(|| SENT_TO.iter().map(|stage| stage.name()).collect()) },
        Label { name: "topic", values: Values::Bounded("one for each stage: what the slowest sender reads") },
        Label { name: "partition", values: Values::Bounded("one for each stage: the partition of that") },
    ],
    help: "For how long the clock of a stage waits for the sender that is furthest behind: how far that one is behind the one furthest ahead. One series for each stage.",
    moves: "at commits of the stage",
    todo: "growing: the worker that owns this partition of this topic stands, or is far behind; see rater_consumer_lag_records",
};

/// Up to when books may be asked.
pub const COMPLETE_TO: Family = Family {
    name: "rater_complete_to_timestamp_seconds",
    kind: Kind::Gauge,
    labels: &[],
    help: "Up to when all work is done that time brings to accounts, the least over the partitions of rate here: the clock, or the earliest work that has fallen due and is not done; 0 before the first tick or without a partition.",
    moves: "at commits of rate",
    todo: "behind: as rater_clock_timestamp_seconds or rater_due_behind_seconds says; the state of an account as of a later instant is not final",
};

/// Commits of time.
pub const SLICES: Family = Family {
    name: "rater_slices_total",
    kind: Kind::Counter,
    labels: &[TIMED_STAGE],
    help: "Commits without a message: they do work that has fallen due, of 1,000 accounts of each partition (rate), or 1,000 grants and 1,000 accounts that are told something (cycle) at most.",
    moves: "while more is due than a slice does",
    todo: "as many as rater_transactions_total{result=\"committed\"}: more falls due than is done, see rater_due_behind_seconds",
};

/// Work that falls due.
pub const DUE_BEHIND: Family = Family {
    name: "rater_due_behind_seconds",
    kind: Kind::Gauge,
    labels: &[TIMED_STAGE],
    help: "For how long the oldest work that has fallen due by the clock of ticks has not been done, in the partitions here: of accounts (rate), of reference data (cycle); 0 where all is done.",
    moves: "at commits of the stage; work is done in slices beside the batches",
    todo: "growing: more falls due than is done; rate: more workers, up to one per partition of guided, or a slow broker; cycle: the directory does not answer",
};

/// Work that was done.
pub const DUE_ACCOUNTS: Family = Family {
    name: "rater_due_accounts_total",
    kind: Kind::Counter,
    labels: &[],
    help: "Accounts whose due work was done in a slice, without a message of theirs.",
    moves: "at commits of rate",
    todo: "none while rater_due_behind_seconds grows: rate does not commit, see rater_transactions_total",
};

/// Workers.
pub const WORKERS: Family = Family {
    name: "rater_workers",
    kind: Kind::Gauge,
    labels: &[STAGE, Label { name: "state", values: set!(WorkerState) }],
    help: "Workers of this process by what they do.",
    moves: "as workers start, wait, are given partitions and stop",
    todo: "stopped: the process ends, and the log has the reason; waiting for long: what it waits for is in /readyz",
};

/// Calls that take long.
pub const LONGEST_CALL: Family = Family {
    name: "rater_longest_call_seconds",
    kind: Kind::Gauge,
    labels: &[],
    help: "For how long a thread of the process has been inside of one call, the longest of all; 0 below 3 s.",
    moves: "every second, while a call takes longer than 3 s",
    todo: "/readyz names thread and call; at --call-limit the process ends by itself, with code 3",
};

/// State.
pub const STATE_ENTRIES: Family = Family {
    name: "rater_state_entries",
    kind: Kind::Gauge,
    labels: &[KEEPING_STAGE],
    help: "Entries of the state in memory: record ids remembered by guide (16 bytes each), accounts of rate, what waits in recycle, grants that cycle has carried out and accounts that it has told something.",
    moves: "at commits, and when partitions come and go",
    todo: "ids grow with usage times --duplicate-window; process_resident_memory_bytes has the memory",
};

/// What waits.
pub const SUSPENSE_OPEN: Family = Family {
    name: "rater_suspense_open_records",
    kind: Kind::Gauge,
    labels: &[],
    help: "Records and legs that wait to be tried again, in the partitions of recycle that this process owns.",
    moves: "at commits of recycle, and when its partitions come and go",
    todo: "rater suspense ls says what waits and why; docs/suspense.md what to do about each reason",
};

/// Since when.
pub const SUSPENSE_OLDEST: Family = Family {
    name: "rater_suspense_oldest_timestamp_seconds",
    kind: Kind::Gauge,
    labels: &[],
    help: "Clock of ticks at which the oldest of them came to wait, or waits again; 0 if nothing waits.",
    moves: "at commits of recycle, and when its partitions come and go",
    todo: "what waits for days is nobody's job: give it to somebody, or it will be too late to charge",
};

/// How much that is.
pub const SUSPENSE_BYTES: Family = Family {
    name: "rater_suspense_bytes",
    kind: Kind::Gauge,
    labels: &[],
    help: "Bytes of them: what is beyond --suspense-memory stands in the scratch file in --scratch-folder.",
    moves: "at commits of recycle, and when its partitions come and go",
    todo: "growing: free room in the scratch folder, and see to what waits; each start reads all of it again",
};

/// Reference data.
pub const DIRECTORY_SNAPSHOT: Family = Family {
    name: "rater_directory_snapshot_timestamp_seconds",
    kind: Kind::Gauge,
    labels: &[],
    help: "When the reference data in use was read or last confirmed.",
    moves: "at the start, where it comes from files; with every confirmation, where it comes from a store",
    todo: "older than 15 min with a store: the store does not answer",
};

/// Look-ups.
pub const DIRECTORY_LOOKUPS: Family = Family {
    name: "rater_directory_lookups_total",
    kind: Kind::Counter,
    labels: &[Label { name: "result", values: set!(LookupResult) }],
    help: "Keys looked up in a cached directory, each once per batch; only where reference data comes from a store.",
    moves: "as batches of guide are prepared",
    todo: "many misses after the first minutes: the cache is too small; failed: the store does not answer",
};

/// Keys in the cache.
pub const DIRECTORY_CACHE_ENTRIES: Family = Family {
    name: "rater_directory_cache_entries",
    kind: Kind::Gauge,
    labels: &[],
    help: "Keys of endpoints that a cached directory holds in memory; only where reference data comes from a store.",
    moves: "as keys are read, ahead or when they are looked up, and as changes drop them",
    todo: "nothing; 0 long after the start means that nothing is looked up",
};

/// Bytes of it.
pub const DIRECTORY_CACHE_BYTES: Family = Family {
    name: "rater_directory_cache_bytes",
    kind: Kind::Gauge,
    labels: &[],
    help: "Memory of those endpoints, all in, as `--directory-memory-mib` bounds it; only where reference data comes from a store.",
    moves: "with the keys",
    todo: "at its bound while evictions and misses go on: give it more memory",
};

/// What had to go.
pub const DIRECTORY_CACHE_EVICTIONS: Family = Family {
    name: "rater_directory_cache_evictions_total",
    kind: Kind::Counter,
    labels: &[],
    help: "Keys of endpoints that had to go because memory is bounded; only where reference data comes from a store.",
    moves: "as keys are read while the memory is full",
    todo: "many, with many misses: the memory is too small for the endpoints in use (`--directory-memory-mib`)",
};

/// Whether it was good.
pub const REFERENCE_RELOAD: Family = Family {
    name: "rater_reference_reload_successful",
    kind: Kind::Gauge,
    labels: &[],
    help: "1 if the last load of reference data was good, 0 if it was refused and older data is in use.",
    moves: "at every load",
    todo: "0: the log has every error with file and line",
};

/// Version.
pub const BUILD_INFO: Family = Family {
    name: "rater_build_info",
    kind: Kind::Gauge,
    labels: &[
        Label { name: "version", values: Values::Bounded("one") },
        Label { name: "revision", values: Values::Bounded("one: `RATER_REVISION` when it was built, or `unknown`") },
    ],
    help: "Always 1; which program this is.",
    moves: "never",
    todo: "nothing",
};

/// All of them, in the order of the page.
pub const FAMILIES: &[Family] = &[
    RECORDS,
    USAGE_BYTES,
    USAGE_SECONDS,
    USAGE_MESSAGES,
    USAGE_UNITS,
    COMMANDS,
    LEGS,
    CHARGES,
    CHARGED_AMOUNT,
    SUSPENDED,
    WRITTEN_OFF,
    CONTROL_MISMATCHES,
    RECORD_AGE,
    BATCH_DURATION,
    CONSUMER_LAG,
    TRANSACTIONS,
    TICKS,
    SKIPPED,
    CLOCK,
    CLOCK_HELD,
    DUE_BEHIND,
    DUE_ACCOUNTS,
    SLICES,
    COMPLETE_TO,
    WORKERS,
    LONGEST_CALL,
    STATE_ENTRIES,
    SUSPENSE_OPEN,
    SUSPENSE_OLDEST,
    SUSPENSE_BYTES,
    DIRECTORY_SNAPSHOT,
    DIRECTORY_LOOKUPS,
    DIRECTORY_CACHE_ENTRIES,
    DIRECTORY_CACHE_BYTES,
    DIRECTORY_CACHE_EVICTIONS,
    REFERENCE_RELOAD,
    BUILD_INFO,
];
