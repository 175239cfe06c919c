//! How far an output folder has come: what a commit writes down and a start reads back.

use crate::state::{Corrupt, RunInfo, Stored, as_number, record};
use crate::summary::{Row, RowKey, Summary};
use crate::wire::{Contracts, Restart, TakenBytes};
use pipeline::ControlTotals;
use pipeline::totals::{LevelTotals, MoneyTotals};
use rating::{CauseKind, Currency, Sum, Timestamp};
use std::collections::BTreeMap;

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
    /// How many commits there were; `None` where the last one was made by a program of before.
    pub commits: Option<u64>,
    /// The version of the contracts with which the outputs were begun, and go on.
    pub contracts: Contracts,
    /// Up to when everything that falls due is done: what is asked "as of" an instant has its answer up to here. `None` where nobody said how late it is.
    pub complete_to: Option<Timestamp>,
    /// The latest event of usage that was charged.
    pub charged_until: Option<Timestamp>,
}

/// How far an input was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputProgress {
    /// As shown in suspense.
    pub name: Box<str>,
    /// Where it was read from, for explanations.
    pub path: Box<str>,
    /// Bytes from its start on that were rated.
    pub bytes: u64,
    /// Their hash: what it is recognised by.
    pub hash: u128,
    /// How its records are decoded, as written by [`crate::wire::Decoder::describe`].
    pub decoder: Vec<u8>,
    /// Records taken in.
    pub records: u64,
    /// It was read to its end. It may have grown since.
    pub done: bool,
    /// It broke, or was cut while it was read: the rest cannot be read as it is, and other inputs need not wait for it.
    pub broken: bool,
    /// What it was read from.
    pub source: InputSource,
    /// The file, whatever its name.
    pub file_id: Option<FileId>,
    /// Where it goes on; `None` where only the number of records says so: in folders of before, in which `bytes` and `hash` are of the whole
    /// content, rated or not.
    pub stand: Option<InputStand>,
}

/// What an input is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputSource {
    /// A file, which can be read again.
    File,
    /// A pipe or a device, which cannot.
    Stream,
}

/// A file on this machine, as long as it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileId {
    /// The device that it is on.
    pub device: u64,
    /// Its number there.
    pub number: u64,
}

/// Where an input goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputStand {
    /// Hash of its first bytes.
    pub head: u128,
    /// The place in a form of lines.
    pub restart: Option<Restart>,
}

impl InputProgress {
    /// Whether anything of it was taken in.
    pub fn is_begun(&self) -> bool {
        self.records > 0
    }

    /// Returns true if its end was not reached, and can be.
    pub fn is_interrupted(&self) -> bool {
        self.is_begun() && !self.done && !self.broken
    }

    pub(super) fn take(&mut self, taken: &TakenBytes) {
        (self.bytes, self.hash) = (taken.bytes, taken.hash);
        self.stand = Some(InputStand { head: taken.head, restart: taken.restart });
    }

    fn write_rest(&self, out: &mut Vec<u8>) {
        (self.source == InputSource::Stream).write(out);
        self.file_id.write(out);
        self.stand.write(out);
    }

    fn read_rest(&mut self, input: &mut &[u8]) -> Result<(), Corrupt> {
        self.source = if bool::read(input)? { InputSource::Stream } else { InputSource::File };
        self.file_id = Stored::read(input)?;
        self.stand = Stored::read(input)?;
        Ok(())
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
    /// Checksum (CRC-32) of the bytes; `None` where the last commit was made by a program of before.
    pub checksum: Option<u32>,
}

/// Written before what progress has had since inputs are known by what was rated of them.
const WITH_STANDS: u8 = 1;
/// Written before what progress has had since outputs have checksums. A program of before passes over it, and writes none.
const WITH_CHECKSUMS: u8 = 2;
/// Written before the money of each kind of cause, and the version of the contracts. A program of before passes over it, and has the sums over all
/// causes; where outputs have a later version it refuses the store.
const WITH_CAUSES: u8 = 3;
/// Written before up to when things are done. A program of before passes over it: it does no such work, and what is done once is done.
const WITH_ENDS: u8 = 4;

impl Stored for Progress {
    fn write(&self, out: &mut Vec<u8>) {
        // Destructured without `..`, so that a new field does not compile until it is stored.
        let Progress {
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
            commits,
            contracts,
            complete_to,
            charged_until,
        } = self;
        job_now.write(out);
        output_format.write(out);
        reference_hash.write(out);
        inputs.write(out);
        outputs.write(out);
        totals.write(out);
        summary.write(out);
        clock.write(out);
        horizon.write(out);
        sealed_ids.write(out);
        next_suspense.write(out);
        open_suspense.write(out);
        granted.write(out);
        WITH_STANDS.write(out);
        inputs.iter().for_each(|input| input.write_rest(out));
        WITH_CHECKSUMS.write(out);
        commits.write(out);
        outputs.iter().for_each(|output| output.checksum.write(out));
        WITH_CAUSES.write(out);
        let money: Vec<CauseMoney> = totals.money.iter().map(CauseMoney::of).collect();
        money.write(out);
        contracts.write(out);
        WITH_ENDS.write(out);
        complete_to.write(out);
        charged_until.write(out);
    }

    fn read(input: &mut &[u8]) -> Result<Progress, Corrupt> {
        let mut progress = Progress {
            job_now: Stored::read(input)?,
            output_format: Stored::read(input)?,
            reference_hash: Stored::read(input)?,
            inputs: Stored::read(input)?,
            outputs: Stored::read(input)?,
            totals: Stored::read(input)?,
            summary: Stored::read(input)?,
            clock: Stored::read(input)?,
            horizon: Stored::read(input)?,
            sealed_ids: Stored::read(input)?,
            next_suspense: Stored::read(input)?,
            open_suspense: Stored::read(input)?,
            granted: Stored::read(input)?,
            commits: None,
            contracts: Contracts::V1,
            complete_to: None,
            charged_until: None,
        };
        if !input.is_empty() {
            if u8::read(input)? != WITH_STANDS {
                return Err(Corrupt { what: "where inputs go on", left: input.len() });
            }
            progress.inputs.iter_mut().try_for_each(|known| known.read_rest(input))?;
        }
        if !input.is_empty() {
            if u8::read(input)? != WITH_CHECKSUMS {
                return Err(Corrupt { what: "checksums of outputs", left: input.len() });
            }
            progress.commits = Stored::read(input)?;
            for output in &mut progress.outputs {
                output.checksum = Stored::read(input)?;
            }
        }
        if !input.is_empty() {
            if u8::read(input)? != WITH_CAUSES {
                return Err(Corrupt { what: "money by its causes", left: input.len() });
            }
            let money: Vec<CauseMoney> = Stored::read(input)?;
            progress.totals.money = money
                .into_iter()
                .map(CauseMoney::into_totals)
                .collect::<Option<_>>()
                .ok_or(Corrupt { what: "a kind of cause", left: input.len() })?;
            progress.contracts = Stored::read(input)?;
        }
        if !input.is_empty() {
            if u8::read(input)? != WITH_ENDS {
                return Err(Corrupt { what: "up to when things are done", left: input.len() });
            }
            progress.complete_to = Stored::read(input)?;
            progress.charged_until = Stored::read(input)?;
        }
        Ok(progress)
    }
}

impl Stored for InputProgress {
    /// Writes what folders of before have as well; the rest follows behind the progress.
    fn write(&self, out: &mut Vec<u8>) {
        let InputProgress { name, path, bytes, hash, decoder, records, done, broken, source: _, file_id: _, stand: _ } =
            self;
        name.write(out);
        path.write(out);
        bytes.write(out);
        hash.write(out);
        decoder.write(out);
        records.write(out);
        done.write(out);
        broken.write(out);
    }

    fn read(input: &mut &[u8]) -> Result<InputProgress, Corrupt> {
        Ok(InputProgress {
            name: Stored::read(input)?,
            path: Stored::read(input)?,
            bytes: Stored::read(input)?,
            hash: Stored::read(input)?,
            decoder: Stored::read(input)?,
            records: Stored::read(input)?,
            done: Stored::read(input)?,
            broken: Stored::read(input)?,
            source: InputSource::File,
            file_id: None,
            stand: None,
        })
    }
}

impl Stored for OutputProgress {
    /// Writes what folders of before have as well; the checksum follows behind the progress.
    fn write(&self, out: &mut Vec<u8>) {
        let OutputProgress { bytes, messages, pending, pending_messages, checksum: _ } = self;
        bytes.write(out);
        messages.write(out);
        pending.write(out);
        pending_messages.write(out);
    }

    fn read(input: &mut &[u8]) -> Result<OutputProgress, Corrupt> {
        Ok(OutputProgress {
            bytes: Stored::read(input)?,
            messages: Stored::read(input)?,
            pending: Stored::read(input)?,
            pending_messages: Stored::read(input)?,
            checksum: None,
        })
    }
}

as_number!(Contracts, "a version of the contracts", V1 = 1, V2 = 2);
record!(FileId { device, number });
record!(InputStand { head, restart });
record!(Restart { at, place, is_behind_return, is_line_cut });
/// Control totals as they were before money was told apart by its cause: then all of it was of usage records.
struct TotalsBefore {
    received: u64,
    guided: u64,
    duplicates: u64,
    suspended: u64,
    commands: u64,
    ticks: u64,
    levels: BTreeMap<u8, LevelTotals>,
    money: BTreeMap<Currency, MoneyBefore>,
}

struct MoneyBefore {
    charges: Sum,
    deltas: Sum,
    charged: u64,
    posted: u64,
}

impl Stored for ControlTotals {
    /// Writes what folders of before have as well; money by its causes follows behind the progress.
    fn write(&self, out: &mut Vec<u8>) {
        let ControlTotals { received, guided, duplicates, suspended, commands, ticks, levels, money: _ } = self.clone();
        let sums = self.by_currency().expect("they were added before").into_iter();
        let before = |MoneyTotals { charges, deltas, charged, posted, moves: _, moved: _, moved_deltas: _ }| {
            MoneyBefore { charges, deltas, charged, posted }
        };
        let money = sums.map(|(currency, sum)| (currency, before(sum))).collect();
        TotalsBefore { received, guided, duplicates, suspended, commands, ticks, levels, money }.write(out);
    }

    fn read(input: &mut &[u8]) -> Result<ControlTotals, Corrupt> {
        let before = TotalsBefore::read(input)?;
        let TotalsBefore { received, guided, duplicates, suspended, commands, ticks, levels, money } = before;
        let money = money.into_iter().map(|(currency, MoneyBefore { charges, deltas, charged, posted })| {
            let of_usage = MoneyTotals { charges, deltas, charged, posted, ..MoneyTotals::default() };
            ((CauseKind::Usage, currency), of_usage)
        });
        Ok(ControlTotals { received, guided, duplicates, suspended, commands, ticks, levels, money: money.collect() })
    }
}

/// Money of one kind of cause, as it is written.
struct CauseMoney {
    cause: u8,
    currency: Currency,
    charges: Sum,
    deltas: Sum,
    charged: u64,
    posted: u64,
    moves: u64,
    moved: Sum,
    moved_deltas: Sum,
}

impl CauseMoney {
    fn of(((cause, currency), money): (&(CauseKind, Currency), &MoneyTotals)) -> CauseMoney {
        let cause = match cause {
            CauseKind::Usage => 0,
            CauseKind::Command => 1,
            CauseKind::DueWork => 2,
        };
        let MoneyTotals { charges, deltas, charged, posted, moves, moved, moved_deltas } = *money;
        CauseMoney { cause, currency: *currency, charges, deltas, charged, posted, moves, moved, moved_deltas }
    }

    fn into_totals(self) -> Option<((CauseKind, Currency), MoneyTotals)> {
        let CauseMoney { cause, currency, charges, deltas, charged, posted, moves, moved, moved_deltas } = self;
        let cause = [CauseKind::Usage, CauseKind::Command, CauseKind::DueWork].into_iter().nth(usize::from(cause))?;
        Some(((cause, currency), MoneyTotals { charges, deltas, charged, posted, moves, moved, moved_deltas }))
    }
}

record!(TotalsBefore { received, guided, duplicates, suspended, commands, ticks, levels, money });
record!(MoneyBefore { charges, deltas, charged, posted });
record!(CauseMoney { cause, currency, charges, deltas, charged, posted, moves, moved, moved_deltas });
record!(LevelTotals { legs, units, charged, charged_units, suspended, suspended_units });
record!(Summary { rows });
record!(RowKey { level, payer, payee, currency, unit });
record!(Row { charges, used, covered, charged });
