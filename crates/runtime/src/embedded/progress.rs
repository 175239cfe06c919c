//! How far an output folder has come: what a commit writes down and a start reads back.

use crate::state::{Corrupt, RunInfo, Stored, record};
use crate::summary::{Row, RowKey, Summary};
use pipeline::ControlTotals;
use pipeline::totals::{LevelTotals, MoneyTotals};
use rating::Timestamp;

/// Progress of an output folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Clock of the machine when the present run of inputs was first started: future events are measured against it, also after
    /// an interruption, so that the outcome does not depend on when the job ran.
    pub job_now: Timestamp,
    /// Form of the outputs.
    pub output_format: Box<str>,
    /// Hash of the reference data of the last commit.
    pub reference_hash: u64,
    /// Every input ever begun, in order.
    pub inputs: Vec<InputProgress>,
    /// Outputs in their fixed order.
    pub outputs: Vec<OutputProgress>,
    /// Totals over all inputs.
    pub totals: ControlTotals,
    /// The table over all inputs.
    pub summary: Summary,
    /// The clock of ticks.
    pub clock: Option<Timestamp>,
    /// The first instant from which on record ids and sessions are remembered.
    pub horizon: Timestamp,
    /// Record ids moved out of memory.
    pub sealed_ids: Vec<RunInfo>,
    /// Number of the next thing that waits.
    pub next_suspense: u64,
    /// How many things wait.
    pub open_suspense: u64,
    /// Ids of grants of the reference data that were carried out.
    pub granted: Vec<Box<str>>,
}

/// How far an input was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputProgress {
    /// As shown in suspense.
    pub name: Box<str>,
    /// Where it was read from, for explanations.
    pub path: Box<str>,
    /// Size in bytes.
    pub size: u64,
    /// Hash of its contents.
    pub hash: u128,
    /// How its records are decoded, as written by [`crate::wire::Decoder::describe`].
    pub decoder: Vec<u8>,
    /// Records taken in.
    pub records: u64,
    /// Whether that is all.
    pub done: bool,
    /// Whether the rest cannot be read, whatever is tried: other inputs need not wait for it.
    pub broken: bool,
}

impl InputProgress {
    /// Whether anything of it was taken in.
    pub fn is_begun(&self) -> bool {
        self.records > 0
    }
}

/// How long an output is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutputProgress {
    /// Bytes in the file; what stands behind them is not committed.
    pub bytes: u64,
    /// Messages in them.
    pub messages: u64,
    /// Messages of a block that is not full yet.
    pub pending: Vec<u8>,
    /// How many those are.
    pub pending_messages: u64,
}

record!(Progress {
    job_now,
    output_format,
    reference_hash,
    inputs,
    outputs,
    totals,
    summary,
    clock,
    horizon,
    sealed_ids,
    next_suspense,
    open_suspense,
    granted,
});
record!(InputProgress { name, path, size, hash, decoder, records, done, broken });
record!(OutputProgress { bytes, messages, pending, pending_messages });
record!(ControlTotals { received, guided, duplicates, suspended, commands, ticks, levels, money });
record!(LevelTotals { legs, units, charged, charged_units, suspended, suspended_units });
record!(MoneyTotals { charges, deltas, charged, posted });
record!(Summary { rows });
record!(RowKey { level, payer, payee, currency, unit });
record!(Row { charges, used, covered, charged });
