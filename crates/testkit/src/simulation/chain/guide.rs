//! What guide has to have made of what intake handed on, recomputed record by record: which copy passes, which waits and why, and who pays on which level.
//!
//! The log between the stages has the order in which guide saw everything, its ticks included. An id of which anything was suspended and tried again is
//! looked at as a whole instead (`outcomes`): how long it is remembered depends on when recycling said so.

use super::logs::{Logs, text};
use super::world::{LATE_IMSI, PARTITIONS, UNKNOWN_IMSI, USAGE_PARTITIONS, WINDOW_H, lineage};
use crate::verify::Clocks;
use rating::Timestamp;
use runtime::stages::{GuidedEntry, IntakenArrival, IntakenEntry};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Topic, partition and offset of a record.
pub(super) type RecordPlace = (String, u32, i64);

/// What guide did with the records of one of its partitions.
#[derive(Default)]
struct Found {
    /// Levels with their payers, each time that the record was guided.
    guided: BTreeMap<RecordPlace, Vec<(u8, String)>>,
    /// Why it waits, each time.
    suspended: BTreeMap<RecordPlace, Vec<String>>,
}

/// Looks for the first thing that is wrong.
///
/// # Errors
/// What it is.
pub(super) fn check(logs: &Logs<'_>) -> Result<(), String> {
    (0..PARTITIONS).try_for_each(|partition| check_partition(logs, partition))
}

fn check_partition(logs: &Logs<'_>, partition: u32) -> Result<(), String> {
    let found = found(logs, partition);
    let entries = || {
        logs.intaken[partition as usize]
            .iter()
            .flat_map(|message| message.entries.iter().map(|entry| (&message.source, entry)))
    };
    // Ids of which something was tried again.
    let mut again: BTreeSet<String> = BTreeSet::new();
    for (_, entry) in entries() {
        if let IntakenEntry::Record { arrival: IntakenArrival::Retry | IntakenArrival::Note, original, .. } = entry {
            again.insert(id_of(&parsed(original)));
        }
    }
    let mut clocks = Clocks::new(USAGE_PARTITIONS as usize);
    let mut horizon_hour = i64::MIN;
    let mut seen: BTreeMap<String, (i64, Vec<u8>)> = BTreeMap::new();
    for (source, entry) in entries() {
        let (origin, original) = match entry {
            IntakenEntry::Tick(instant) => {
                if let Some(clock) = clocks.tick(source, *instant) {
                    horizon_hour = hour_of(clock) - i64::from(WINDOW_H);
                }
                continue;
            }
            IntakenEntry::Record { origin, arrival: IntakenArrival::Fresh, original } => (origin, original),
            IntakenEntry::Record { arrival: IntakenArrival::Retry | IntakenArrival::Note, .. } => continue,
        };
        let value = parsed(original);
        let id = id_of(&value);
        if value["command_id"].is_string() || again.contains(&id) {
            continue;
        }
        let hour = time_of(text(&value, "event_time")).map_or(0, hour_of);
        let known = seen.get(&id).filter(|(hour, _)| *hour >= horizon_hour);
        let outcome = match known {
            Some((_, payload)) if payload == original => Expected::Nothing,
            Some(_) => Expected::Suspended("duplicate_conflict"),
            None if hour < horizon_hour => Expected::Suspended("too_late"),
            None => {
                seen.insert(id.clone(), (hour, original.clone()));
                match text(&value, "imsi") {
                    UNKNOWN_IMSI => Expected::Suspended("unknown_endpoint"),
                    // It depends on the edition.
                    LATE_IMSI if found.suspended.contains_key(origin) => Expected::Suspended("unknown_endpoint"),
                    imsi => Expected::Guided(lineage(imsi)),
                }
            }
        };
        outcome.check(origin, &id, &found)?;
    }
    Ok(())
}

/// What has to become of a record.
#[derive(Debug)]
enum Expected {
    /// It is a copy.
    Nothing,
    /// It waits, for a reason.
    Suspended(&'static str),
    /// It goes on, on these levels.
    Guided(Vec<(u8, String)>),
}

impl Expected {
    fn check(&self, origin: &RecordPlace, id: &str, found: &Found) -> Result<(), String> {
        let guided = found.guided.get(origin).map_or(&[][..], Vec::as_slice);
        let suspended = found.suspended.get(origin).map_or(&[][..], Vec::as_slice);
        let is_so = match self {
            Expected::Nothing => guided.is_empty() && suspended.is_empty(),
            Expected::Suspended(reason) => guided.is_empty() && *suspended == [*reason],
            Expected::Guided(levels) => suspended.is_empty() && guided == levels,
        };
        match is_so {
            true => Ok(()),
            false => Err(format!("{id} at {origin:?}: {self:?} expected, guided {guided:?}, suspended {suspended:?}")),
        }
    }
}

/// What the logs say of a partition.
fn found(logs: &Logs<'_>, partition: u32) -> Found {
    let mut found = Found::default();
    let source = ("intaken".to_owned(), partition);
    for message in logs.guided.iter().flatten().filter(|message| message.source == source) {
        for entry in &message.entries {
            match entry {
                GuidedEntry::Legs { origin, levels, .. } => {
                    let known = found.guided.entry(origin.clone()).or_default();
                    known.extend(levels.iter().cloned());
                    known.sort_unstable();
                }
                GuidedEntry::Command { .. } | GuidedEntry::Change(_) | GuidedEntry::Tick(_) => {}
            }
        }
    }
    for value in logs.suspense.iter().filter(|value| text(value, "stage") == "guide") {
        let reason = text(value, "reason").to_owned();
        found.suspended.entry(place_of(value)).or_default().push(reason);
    }
    found
}

/// Where the record came in that something in suspense is about.
pub(super) fn place_of(value: &Value) -> RecordPlace {
    let partition = value["partition"].as_i64().and_then(|number| u32::try_from(number).ok()).unwrap_or(u32::MAX);
    (text(value, "topic").to_owned(), partition, value["offset"].as_i64().unwrap_or(-1))
}

pub(super) fn parsed(original: &[u8]) -> Value {
    serde_json::from_slice(original).unwrap_or(Value::Null)
}

/// The id of a record or a command.
pub(super) fn id_of(value: &Value) -> String {
    value["id"].as_str().or(value["command_id"].as_str()).unwrap_or_default().to_owned()
}

fn time_of(text: &str) -> Option<Timestamp> {
    let instant: jiff::Timestamp = text.parse().ok()?;
    Some(Timestamp::from_millis(instant.as_millisecond()))
}

fn hour_of(instant: Timestamp) -> i64 {
    instant.millis().div_euclid(3_600_000)
}
