//! Rate's changelog: one message for each commit and partition, with all that the commit changed, instead of one for each account.
//!
//! A compacted topic forgets a message when another of its key comes, so keys are used again once nothing in the old message is needed:
//!
//! - State is written down in cycles. What a commit changed is written with it; beside it goes a share of what the cycle has not written yet
//!   ([`State::sweep`]), until the cycle has written every row. What was written in earlier cycles is not needed then.
//! - Keys name the parity of the cycle and the number of the message in it, so a cycle writes over the messages of the one before the last.
//!   Those that it does not reach are deleted at its end.
//! - The share is half of what the changes and progress take. So a cycle writes at most three times the state, and two cycles are kept: the log has at
//!   most some six times the bytes of the state, and commits write, over time, at most half as much again as they have to. What a commit writes is not
//!   swept in its cycle; where all rows are in use, the share is nothing.
//! - A row that is gone is written once, as gone. Whatever an older message says of it was written before the last cycle, and is passed over.
//!
//! Restoring reads the messages in the order of the log, the last value of a row counts. It does not matter what of the log has been
//! compacted already.
//!
//! | field | form |
//! | --- | --- |
//! | format, least reader | 1 byte each |
//! | cycle | varint |
//! | entries | rows ([`format::RowWriter`]); of formats before 5 accounts and members (`state::older`) |
//! | at the end of a commit's last message | `FORGOTTEN`; the horizon behind which rows may have left |
//! | | `PROGRESS`; progress; the place in the log of what comes next |

use super::packed::MAX_BYTES;
use super::progress::{About, Changelog, Progress, Unit, corrupt, read_format};
use super::rate::Kept;
use crate::state::{Corrupt, Stored, record};
use crate::worker::{Output, StageError};
use format::first_byte::{FORGOTTEN, PROGRESS};
use format::{RowReader, RowWriter};
use rating::state::{Row, SweepPlace};
use rating::{State, Timestamp};
use std::ops::ControlFlow;

/// Format of a message, and the least reader's: a program that knows no rows must not go on without them.
const FORMAT: [u8; 2] = [5, 5];
/// What is swept even if nothing changed, in bytes.
const LEAST_SHARE: usize = 128;
/// Longest message that is written, in bytes. Every row stays well below: what could be long in one is bounded where it comes in.
const LONGEST_MESSAGE: usize = 8_000_000;

/// Where the next message of a partition goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segments {
    /// Cycles, from 1.
    cycle: u32,
    /// Messages of this cycle so far.
    written: u32,
    /// Messages of the last cycle.
    last: u32,
    /// Messages of the one before, which have the keys of this cycle.
    before_last: u32,
    /// Where the sweep goes on; from the start after restoring, which finds the same left to do.
    from: SweepPlace,
    /// Bytes that the sweep is ahead of its share, because what it wrote last was large: commits go without it until that is made up for.
    ahead: usize,
}

record!(Place { cycle, written, last, before_last });

/// The part of [`Segments`] that is written down.
struct Place {
    cycle: u32,
    written: u32,
    last: u32,
    before_last: u32,
}

impl Default for Segments {
    fn default() -> Segments {
        Segments { cycle: 1, written: 0, last: 0, before_last: 0, from: SweepPlace::default(), ahead: 0 }
    }
}

impl Segments {
    /// The present cycle.
    pub(super) fn cycle(self) -> u32 {
        self.cycle
    }

    /// Writes what a batch changed, its share of the sweep, and progress.
    ///
    /// # Errors
    /// A row is too long to be written: no other attempt would fare better.
    pub(super) fn write(
        &mut self,
        state: &mut State,
        horizon: Timestamp,
        progress: &Progress,
        changelog: Changelog<'_>,
        output: &mut Output,
    ) -> Result<(), StageError> {
        let cycle = self.cycle;
        let entries = Vec::with_capacity(MAX_BYTES / 4);
        let rows = RowWriter::default();
        let mut writer = Writer { segments: self, changelog, rows, entries, total: 0, too_long: None, output };
        state.take_changes(cycle, |row| writer.add(&row));
        let mut end = Vec::with_capacity(LEAST_SHARE);
        progress.write(&mut end);
        let share = (writer.total + end.len()) / 2 + LEAST_SHARE;
        let Segments { from, ahead, .. } = *writer.segments;
        let left = match share.checked_sub(ahead).filter(|share| *share > 0) {
            None => {
                writer.segments.ahead = ahead - share;
                Some(from)
            }
            Some(share) => {
                let enough = writer.total + share;
                let left = state.sweep(cycle, from, horizon, |row| {
                    writer.add(&row);
                    if writer.total < enough { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                });
                writer.segments.ahead = writer.total.saturating_sub(enough);
                left
            }
        };
        if let Some((row, length)) = writer.too_long.take() {
            let last = progress.position.map_or(0, |next| next - 1);
            return Err(StageError::TooLong(format!(
                "{changelog}: {row} takes {length} bytes after the message at offset {last}, more than the {LONGEST_MESSAGE} that can be written"
            )));
        }
        writer.finish(&end, state.forgotten(), left);
        Ok(())
    }

    /// The place after the last message, of which `left` says where the sweep goes on.
    fn next(self, left: Option<SweepPlace>) -> Segments {
        match left {
            Some(from) => Segments { from, ..self },
            None => Segments {
                cycle: self.cycle.saturating_add(1),
                written: 0,
                last: self.written,
                before_last: self.last,
                from: SweepPlace::default(),
                ahead: self.ahead,
            },
        }
    }

    fn key(self, number: u32) -> [u8; 5] {
        let mut key = [(self.cycle & 1) as u8; 5];
        key[1..].copy_from_slice(&number.to_be_bytes());
        key
    }
}

/// Writes the messages of one batch.
struct Writer<'w> {
    segments: &'w mut Segments,
    changelog: Changelog<'w>,
    rows: RowWriter,
    entries: Vec<u8>,
    /// Bytes of all entries.
    total: usize,
    /// The first row that is too long to be written, and how long it is.
    too_long: Option<(String, usize)>,
    output: &'w mut Output,
}

impl Writer<'_> {
    fn add(&mut self, row: &Row<'_>) {
        let before = self.entries.len();
        self.rows.write(row, &mut self.entries);
        let length = self.entries.len() - before;
        self.total += length;
        if length > LONGEST_MESSAGE - MAX_BYTES && self.too_long.is_none() {
            let whose = match row.account() {
                Some(id) => format!("a row of account {:?}", id.as_str()),
                None if matches!(row, Row::Zone(..)) => "a zone".to_owned(),
                None => "a bundle".to_owned(),
            };
            self.too_long = Some((whose, length));
        }
        if self.entries.len() >= MAX_BYTES {
            self.close();
        }
    }

    fn close(&mut self) {
        let (cycle, key) = (self.segments.cycle, self.segments.key(self.segments.written));
        let entries = &self.entries;
        self.changelog.put_as(FORMAT, About::Segment, &[&key], self.output, |out| {
            cycle.write(out);
            out.extend_from_slice(entries);
        });
        self.entries.clear();
        self.rows.restart();
        self.segments.written += 1;
    }

    fn finish(mut self, progress: &[u8], forgotten: Timestamp, left: Option<SweepPlace>) {
        // As it is after the message that is closed here.
        let after = Segments { written: self.segments.written + 1, ..*self.segments };
        let next = after.next(left);
        let Segments { cycle, written, last, before_last, from: _, ahead: _ } = next;
        self.entries.push(FORGOTTEN);
        forgotten.write(&mut self.entries);
        self.entries.push(PROGRESS);
        self.entries.extend_from_slice(progress);
        Place { cycle, written, last, before_last }.write(&mut self.entries);
        self.close();
        if left.is_none() {
            for number in after.written..after.before_last {
                self.changelog.delete(About::Segment, &[&after.key(number)], self.output);
            }
        }
        *self.segments = next;
    }
}

/// Puts back what a message holds.
///
/// # Errors
/// Bytes that are no such message.
pub(super) fn restore(unit: &mut Unit<Kept>, value: &[u8]) -> Result<(), StageError> {
    let input = &mut read_format(value)?;
    let cycle = u32::read(input)?;
    let mut rows = RowReader::default();
    while !input.is_empty() {
        let kind = u8::read(input)?;
        if kind == PROGRESS {
            unit.progress = Progress::read(input)?;
            let Place { cycle, written, last, before_last } = Place::read(input)?;
            unit.kept.segments = Segments { cycle, written, last, before_last, ..Segments::default() };
            if !input.is_empty() {
                return Err(corrupt("a changelog entry", &format!("{} bytes behind its end", input.len())));
            }
            continue;
        }
        let Kept { shard, restoring, .. } = &mut unit.kept;
        if kind == FORGOTTEN {
            shard.state.restore_forgotten(Stored::read(input)?);
            continue;
        }
        restoring.read(kind, input, &mut rows, &mut shard.state, cycle)?;
    }
    Ok(())
}

#[cfg(test)]
mod comings_and_goings;
#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::log::Partition;
    use rating::account::Head;
    use rating::{AccountId, Status, Timestamp};
    use std::collections::BTreeMap;

    const ACCOUNTS: usize = 500;

    /// State that is not in use, so that all of it is written by the sweep.
    fn state() -> State {
        let mut state = State::with_undo();
        for number in 0..ACCOUNTS {
            state.restore_head(&AccountId::new(&format!("account-{number}")), Some(Head::default()), 0);
        }
        state
    }

    /// What a broker has kept of a log: the last value of each key, in the order of the log.
    #[derive(Default)]
    struct Compacted {
        by_key: BTreeMap<Vec<u8>, (u64, Vec<u8>)>,
        next: u64,
    }

    impl Compacted {
        fn append(&mut self, output: &Output) {
            for message in output.messages(&["log".to_owned()]) {
                let key = message.key.expect("a key").to_vec();
                match message.value {
                    Some(value) => drop(self.by_key.insert(key, (self.next, value.to_vec()))),
                    None => drop(self.by_key.remove(&key)),
                }
                self.next += 1;
            }
        }

        fn bytes(&self) -> usize {
            self.by_key.values().map(|(_, value)| value.len()).sum()
        }

        fn restore(&self) -> Unit<Kept> {
            let mut values: Vec<_> = self.by_key.values().collect();
            values.sort_unstable();
            let mut unit = Unit::empty(Kept::empty());
            values.into_iter().for_each(|(_, value)| restore(&mut unit, value).expect("restored"));
            unit.kept.end_restoring().expect("restored");
            unit
        }
    }

    #[test]
    fn a_compacted_log_has_everything_and_stays_small() {
        let (mut state, mut segments, mut log) = (state(), Segments::default(), Compacted::default());
        let mut live = Vec::new();
        let mut rows = RowWriter::default();
        state.visit_all(|row| rows.write(&row, &mut live));
        let mut progress = Progress::default();
        let mut cycles = Vec::new();
        for position in 1..4000 {
            progress.position = Some(position);
            let mut output = Output::default();
            let changelog = Changelog::of("guided", Partition { topic: 0, number: 0 });
            // What is not committed leaves no trace.
            if position % 7 == 0 {
                let before = segments;
                segments.write(&mut state, Timestamp::EPOCH, &progress, changelog, &mut output).expect("written");
                state.undo();
                segments = before;
                output.clear();
            }
            segments.write(&mut state, Timestamp::EPOCH, &progress, changelog, &mut output).expect("written");
            state.settle();
            log.append(&output);
            cycles.push(segments.cycle);
            if segments.cycle > 1 && position % 50 == 0 {
                let restored = log.restore();
                assert_eq!(restored.kept.shard.state.accounts().len(), ACCOUNTS, "at {position}");
                assert_eq!(restored.progress, progress);
                assert_eq!(Segments { from: SweepPlace::default(), ahead: 0, ..segments }, restored.kept.segments);
                assert!(log.bytes() < 7 * live.len(), "{} of {} bytes at {position}", log.bytes(), live.len());
            }
            if position % 900 == 0 {
                // A worker that takes over goes on where the other was.
                let restored = log.restore();
                (state, segments) = (restored.kept.shard.state, restored.kept.segments);
            }
        }
        assert!(cycles.last() > Some(&10), "{:?} cycles", cycles.last());
    }

    #[test]
    fn an_account_that_is_too_long_is_named_with_its_place() {
        let mut state = State::with_undo();
        let statuses =
            (0..1_200_000).map(|ms| (Timestamp::from_millis(1_700_000_000_000 + ms), Status::Active)).collect();
        state.restore_head(&AccountId::new("acme"), Some(Head { statuses, ..Head::default() }), 0);
        let progress = Progress { position: Some(42), ..Progress::default() };
        let changelog = Changelog::of("guided", Partition { topic: 0, number: 3 });
        let written =
            Segments::default().write(&mut state, Timestamp::EPOCH, &progress, changelog, &mut Output::default());
        let said = written.map_err(|error| error.to_string());
        assert!(
            matches!(&said, Err(said) if said.starts_with("changelog of topic guided partition 3: a row of account \"acme\" takes")
                && said.contains("offset 41")),
            "{said:?}"
        );
    }
}
