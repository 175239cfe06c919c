//! Label values that only telemetry has; those of records, legs and charges are [`crate::worker::counts`]'s.

use crate::worker::counts::labels;

labels! {
    /// A control total.
    Check {
        /// Every record had one outcome.
        Records = "records",
        /// Every leg had one outcome.
        Legs = "legs",
        /// Units guided are units with an outcome.
        Units = "units",
        /// Charges are deltas.
        ChargesDeltas = "charges_deltas",
        /// What causes move without a charge are deltas.
        CausesDeltas = "causes_deltas",
        /// Sums of money stay in their range.
        MoneyRange = "money_range",
        /// No packed message is lost or doubled.
        Sequence = "sequence",
        /// No message is processed twice.
        Position = "position",
        /// Only owned partitions are processed.
        Ownership = "ownership",
        /// One that is not in this list.
        Other = "other",
    }
}

impl Check {
    /// Of a mismatch.
    pub fn of(name: &str) -> Check {
        Check::ALL.iter().copied().find(|check| check.name() == name).unwrap_or(Check::Other)
    }
}

labels! {
    /// A part of the time of a batch.
    Phase {
        /// From the call that filled the batch to its being full.
        Gather = "gather",
        /// Getting facts from outside.
        Prepare = "prepare",
        /// The stage at work.
        Execute = "execute",
        /// Handing outputs to the client.
        Send = "send",
        /// Waiting for the broker.
        Commit = "commit",
    }
}

labels! {
    /// What became of a transaction.
    TransactionResult {
        /// All of it is there.
        Committed = "committed",
        /// None of it is, and it is made again.
        Aborted = "aborted",
        /// Not known; state is restored to find out.
        Uncertain = "uncertain",
    }
}

labels! {
    /// What became of a tick.
    TickResult {
        /// It was written.
        Written = "written",
        /// It was not.
        Failed = "failed",
        /// It is in the topic and moves no clock: too far ahead of the log's time, or written by somebody else.
        Refused = "refused",
    }
}

labels! {
    /// Why offsets are skipped.
    SkipReason {
        /// Their messages were gone: `--skip-gap`.
        Gap = "gap",
        /// Nobody can read the message: `--skip-message`.
        Message = "message",
    }
}

labels! {
    /// What a look-up in a cached directory came to.
    LookupResult {
        /// It was at hand.
        Hit = "hit",
        /// It is known not to be there.
        Absent = "absent",
        /// It had to be read from the store.
        Miss = "miss",
        /// A read from the store that failed.
        Failed = "failed",
    }
}

labels! {
    /// What a worker does.
    WorkerState {
        /// Joins its group.
        Starting = "starting",
        /// Has no partition, because there are more workers than partitions.
        Standby = "standby",
        /// Reads state back.
        Restoring = "restoring",
        /// Processes what comes.
        Running = "running",
        /// Waits for something outside.
        Waiting = "waiting",
        /// Ended.
        Stopped = "stopped",
    }
}
