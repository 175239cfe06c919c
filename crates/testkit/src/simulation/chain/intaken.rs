//! What came in against what intake handed on: everything once and as it came, no tick ahead of usage, all ticks taken in the end.

use super::logs::{Logs, text, tick_of};
use super::world::USAGE_PARTITIONS;
use rating::Timestamp;
use runtime::stages::{IntakenArrival, IntakenEntry};
use std::collections::BTreeMap;

/// Looks for the first thing that is wrong.
///
/// # Errors
/// What it is.
pub(super) fn check(logs: &Logs<'_>) -> Result<(), String> {
    let ticks: BTreeMap<Timestamp, u64> = (logs.partitions("ticks").concat().into_iter())
        .filter_map(|(offset, _, value)| Some((tick_of(&value?)?, logs.moments("ticks", 0, offset).0)))
        .collect();
    (0..USAGE_PARTITIONS).try_for_each(|partition| check_partition(logs, partition, &ticks))
}

/// What intake made of one partition of usage. `ticks` says when each was appended.
fn check_partition(logs: &Logs<'_>, partition: u32, ticks: &BTreeMap<Timestamp, u64>) -> Result<(), String> {
    let came: BTreeMap<i64, Vec<u8>> = (logs.partitions("usage").swap_remove(partition as usize).into_iter())
        .map(|(offset, _, value)| (offset, value.unwrap_or_default()))
        .collect();
    let mut outcomes: BTreeMap<i64, u32> = BTreeMap::new();
    for value in logs.suspense.iter().filter(|value| text(value, "stage") == "intake" && value["attempt"] == 0) {
        if value["partition"] == partition {
            *outcomes.entry(value["offset"].as_i64().unwrap_or(-1)).or_default() += 1;
        }
    }
    let mut retries = logs.partitions("retries").swap_remove(partition as usize).len();
    for (target, messages) in logs.intaken.iter().enumerate() {
        let place = || format!("usage {partition} to intaken {target}");
        let mine = messages.iter().filter(|message| message.source == ("usage".to_owned(), partition));
        let (mut last, mut clock, mut appended) = (-1, None, 0);
        for entry in mine.flat_map(|message| &message.entries) {
            match entry {
                IntakenEntry::Record { origin: (_, _, offset), arrival: IntakenArrival::Fresh, original } => {
                    if *offset <= last {
                        return Err(format!("{}: {offset} comes after {last}", place()));
                    }
                    last = *offset;
                    if came.get(offset) != Some(original) {
                        return Err(format!("{}: {offset} is not what came in", place()));
                    }
                    if clock.is_some() && logs.moments("usage", partition, *offset).1 <= appended {
                        return Err(format!("{}: tick {clock:?} was taken before {offset}, which was there", place()));
                    }
                    *outcomes.entry(*offset).or_default() += 1;
                }
                IntakenEntry::Record { arrival: IntakenArrival::Retry | IntakenArrival::Note, .. } => {
                    retries =
                        retries.checked_sub(1).ok_or_else(|| format!("{}: a retry was handed on twice", place()))?;
                }
                IntakenEntry::Tick(instant) => {
                    if clock.is_some_and(|clock| clock >= *instant) {
                        return Err(format!("{}: tick {instant} comes after {clock:?}", place()));
                    }
                    appended =
                        *ticks.get(instant).ok_or_else(|| format!("{}: nobody wrote tick {instant}", place()))?;
                    clock = Some(*instant);
                }
            }
        }
        if clock != ticks.keys().next_back().copied() {
            return Err(format!("{}: the last tick is {clock:?}", place()));
        }
    }
    match came
        .keys()
        .find(|offset| outcomes.get(offset) != Some(&1))
        .or(outcomes.keys().find(|at| !came.contains_key(at)))
    {
        Some(offset) => Err(format!(
            "usage {partition} offset {offset}: intake has handed it on or suspended it {} times",
            outcomes.get(offset).copied().unwrap_or(0)
        )),
        None => Ok(()),
    }
}
