//! Two small stages in a row, shaped like guide and rate, for which everything can be recomputed naively from the log.
//!
//! | | reads | remembers | writes |
//! | --- | --- | --- | --- |
//! | [`guide`] | usage, and ticks beside it | ids in buckets by hour until ticks expire them, a sequence per target | packed messages of legs and ticks; suspense |
//! | [`rate`] | packed messages | next sequence and clock per source, per account a number without gaps and sums per hour | charges; an hour's sum once the clock, the minimum over the sources, is past it |
//!
//! What is written is text, so that a failing seed can be read.

pub mod check;
pub mod guide;
pub mod rate;

use super::planted::Bug;
use runtime::worker::log::Offset;
use runtime::worker::{Output, StageError, Target};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

/// Partitions of the usage topic.
pub const SOURCES: u32 = 3;
/// Partitions of the topic between the stages.
pub const TARGETS: u32 = 2;
/// Hours for which ids are remembered behind the tick.
pub const HORIZON_H: i64 = 3;
/// Topics of the first stage.
pub const USAGE: &str = "usage";
/// The topic of ticks.
pub const TICKS: &str = "ticks";
/// Packed messages.
pub const GUIDED: &str = "guided";
/// Records that came too late, and when ticks were taken.
pub const SUSPENSE: &str = "suspense";
/// State of the first stage.
pub const GUIDE_STATE: &str = "guide-state";
/// What the second stage says.
pub const CHARGES: &str = "charges";
/// State of the second stage.
pub const RATE_STATE: &str = "rate-state";
const POSITION: &str = "position";
const PLACE: &str = "ticks";

/// What surrounds the workers and changes by itself.
#[derive(Debug, Default)]
pub struct Surroundings {
    /// The wall clock, in hours.
    pub wall_h: Cell<i64>,
    /// Facts cannot be had.
    pub outage: Cell<bool>,
    epoch: Cell<i64>,
    reads: Cell<u32>,
}

impl Surroundings {
    /// The version of the reference data that is in force; somebody changes it all the time.
    fn epoch(&self) -> i64 {
        self.reads.set(self.reads.get() + 1);
        if self.reads.get().is_multiple_of(5) {
            self.epoch.set(self.epoch.get() + 1);
        }
        self.epoch.get()
    }
}

/// The state of one partition: numbers by name, what changed in the batch, and how it was before.
#[derive(Debug, Default)]
struct Store {
    values: BTreeMap<String, i64>,
    undo: Vec<(String, Option<i64>)>,
    changed: BTreeSet<String>,
}

impl Store {
    fn get(&self, name: &str) -> i64 {
        self.values.get(name).copied().unwrap_or_default()
    }

    fn put(&mut self, bug: Bug, name: &str, value: Option<i64>) {
        let before = self.values.get(name).copied();
        let is_forgotten = (bug == Bug::UndoMissesFirstTouch && before.is_none())
            || (bug == Bug::IdsKeptDespiteAbort && name.starts_with("id/"));
        if !is_forgotten {
            self.undo.push((name.to_owned(), before));
        }
        self.changed.insert(name.to_owned());
        self.put_back(name, value);
    }

    fn put_back(&mut self, name: &str, value: Option<i64>) {
        match value {
            Some(value) => self.values.insert(name.to_owned(), value),
            None => self.values.remove(name),
        };
    }

    fn undo(&mut self) {
        while let Some((name, before)) = self.undo.pop() {
            self.put_back(&name, before);
        }
        self.changed.clear();
    }

    fn settle(&mut self) {
        self.undo.clear();
        self.changed.clear();
    }

    /// Writes what changed to the changelog.
    fn log_changes(&self, target: Target, output: &mut Output) {
        for name in &self.changed {
            match self.values.get(name) {
                Some(value) => {
                    output.push(target, Some(name.as_bytes()), |bytes| {
                        bytes.extend_from_slice(value.to_string().as_bytes());
                    });
                }
                None => output.push_deletion(target, name.as_bytes()),
            }
        }
    }

    fn restore(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), StageError> {
        let name = text(key)?.to_owned();
        let value = value.map(|value| number(text(value)?)).transpose()?;
        self.put_back(&name, value);
        Ok(())
    }

    fn position(&self) -> Option<Offset> {
        self.values.get(POSITION).copied()
    }
}

/// The offset of the tick of which a line of suspense says that it was taken.
pub fn tick_taken(line: &[u8]) -> Option<Offset> {
    std::str::from_utf8(line).ok()?.strip_prefix("tick;")?.split(';').nth(1)?.parse().ok()
}

fn text(bytes: &[u8]) -> Result<&str, StageError> {
    std::str::from_utf8(bytes).map_err(|error| StageError::Corrupt(error.to_string()))
}

fn number(text: &str) -> Result<i64, StageError> {
    text.parse().map_err(|_| StageError::Corrupt(format!("{text:?} is not a number")))
}

/// A record, as the usage topic has it: `id;account;hour;units`; or a tick, as the topic of ticks has it: `tick;hour`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Usage {
    /// A record.
    Record {
        /// Its id.
        id: i64,
        /// Whose.
        account: i64,
        /// When, in hours.
        hour: i64,
        /// How much.
        units: i64,
    },
    /// It is at least this late, in hours.
    Tick(i64),
}

impl Usage {
    /// As text.
    pub fn write(&self) -> String {
        match self {
            Usage::Record { id, account, hour, units } => format!("{id};{account};{hour};{units}"),
            Usage::Tick(hour) => format!("tick;{hour}"),
        }
    }

    fn read(bytes: &[u8]) -> Result<Usage, StageError> {
        let text = text(bytes)?;
        let parts: Vec<&str> = text.split(';').collect();
        match parts.as_slice() {
            ["tick", hour] => Ok(Usage::Tick(number(hour)?)),
            [id, account, hour, units] => Ok(Usage::Record {
                id: number(id)?,
                account: number(account)?,
                hour: number(hour)?,
                units: number(units)?,
            }),
            _ => Err(StageError::Corrupt(format!("no usage: {text:?}"))),
        }
    }
}

/// What stands in a packed message: `leg;offset;level;account;hour;units;epoch` or `tick;hour`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// One level of one record.
    Leg {
        /// Of the record in its partition.
        offset: Offset,
        /// The level.
        level: i64,
        /// Who pays.
        account: i64,
        /// When, in hours.
        hour: i64,
        /// How much.
        units: i64,
        /// Version of the reference data.
        epoch: i64,
    },
    /// As [`Usage::Tick`].
    Tick(i64),
}

/// Entries of one source in one packed message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Partition of the usage topic.
    pub source: i64,
    /// Number of the section from this source to this target.
    pub sequence: i64,
    /// What happened, in the order of the source.
    pub entries: Vec<Entry>,
}

impl Section {
    fn write(&self) -> String {
        let entries = self.entries.iter().map(|entry| match entry {
            Entry::Leg { offset, level, account, hour, units, epoch } => {
                format!(" leg;{offset};{level};{account};{hour};{units};{epoch}")
            }
            Entry::Tick(hour) => format!(" tick;{hour}"),
        });
        format!("{};{}{}", self.source, self.sequence, entries.collect::<String>())
    }

    fn read(text: &str) -> Result<Section, StageError> {
        let corrupt = || StageError::Corrupt(format!("no section: {text:?}"));
        let mut parts = text.split(' ');
        let (source, sequence) = parts.next().and_then(|head| head.split_once(';')).ok_or_else(corrupt)?;
        let entries = parts.map(|entry| {
            let numbers: Vec<i64> = entry.split(';').skip(1).map(number).collect::<Result<_, _>>()?;
            match numbers.as_slice() {
                [hour] => Ok(Entry::Tick(*hour)),
                [offset, level, account, hour, units, epoch] => Ok(Entry::Leg {
                    offset: *offset,
                    level: *level,
                    account: *account,
                    hour: *hour,
                    units: *units,
                    epoch: *epoch,
                }),
                _ => Err(corrupt()),
            }
        });
        let entries = entries.collect::<Result<_, _>>()?;
        Ok(Section { source: number(source)?, sequence: number(sequence)?, entries })
    }
}

/// All sections of a packed message.
fn sections(bytes: &[u8]) -> Result<Vec<Section>, StageError> {
    text(bytes)?.lines().map(Section::read).collect()
}

/// Who pays a record on a level.
fn payer(account: i64, level: i64) -> i64 {
    if level == 0 { account } else { 100 + account / 3 }
}

/// Which partition owns an account.
fn target_of(account: i64) -> u32 {
    u32::try_from(account % i64::from(TARGETS)).unwrap_or_default()
}
