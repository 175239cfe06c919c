//! Each row has exactly one outcome: counted from rows as they were read here, and from what stands in the outputs.

use crate::reading::{Read, Row};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Rows by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcomes {
    /// Charged, or waiting, on each of its levels.
    pub(crate) guided: u64,
    pub(crate) duplicates: u64,
    pub(crate) suspended: u64,
    pub(crate) commands: u64,
    pub(crate) ticks: u64,
}

thread_local! {
    static TALLY: RefCell<BTreeMap<String, u64>> = const { RefCell::new(BTreeMap::new()) };
}

/// Counts something that happened, to show what a campaign has met.
pub(crate) fn tally(what: &str, count: u64) {
    TALLY.with_borrow_mut(|tally| *tally.entry(what.to_owned()).or_default() += count);
}

/// What was counted by this thread.
pub(crate) fn tallied() -> BTreeMap<String, u64> {
    TALLY.take()
}

/// What stands in the outputs.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Levels of each record, by how often each was charged or waits.
    pub(crate) levels: BTreeMap<(String, String), BTreeMap<i64, u64>>,
    /// Why whole rows wait, by place.
    pub(crate) whole: BTreeMap<u64, Vec<String>>,
    /// How often each command was refused because it came too late: each copy of it is.
    pub(crate) refused_late: BTreeMap<String, u64>,
    pub(crate) charge_ids: BTreeSet<String>,
    /// Charges and legs that wait, by level.
    pub(crate) charged: BTreeMap<u8, u64>,
    pub(crate) waiting: BTreeMap<u8, u64>,
}

fn lines(folder: &Path, name: &str) -> Result<Vec<Value>, String> {
    let text = std::fs::read_to_string(folder.join(name)).map_err(|error| format!("{name}: {error}"))?;
    text.lines().map(|line| serde_json::from_str(line).map_err(|error| format!("{name}: {error}: {line}"))).collect()
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}

impl Found {
    /// The outputs of a folder, in JSON lines. `source_of` gives the source of the row at a place.
    pub(crate) fn read(folder: &Path, source_of: impl Fn(u64) -> Option<String>) -> Result<Found, String> {
        let mut found = Found::default();
        for charge in lines(folder, "charges.jsonl")? {
            if charge["kind"] != "usage" {
                continue;
            }
            if !found.charge_ids.insert(text(&charge, "charge_id")) {
                return Err(format!("charged twice under one charge id: {charge}"));
            }
            let level = charge["level"].as_i64().ok_or_else(|| format!("no level: {charge}"))?;
            *found.charged.entry(level as u8).or_default() += 1;
            found.leg((text(&charge, "usage_source"), text(&charge, "usage_id")), level);
        }
        for waits in lines(folder, "suspense.jsonl")? {
            let place = waits["line"].as_u64().ok_or_else(|| format!("no line: {waits}"))?;
            match waits["level"].as_i64() {
                Some(level) => {
                    let source = source_of(place).ok_or_else(|| format!("a leg of no row: {waits}"))?;
                    *found.waiting.entry(level as u8).or_default() += 1;
                    found.leg((source, text(&waits, "usage_id")), level);
                }
                None => found.whole.entry(place).or_default().push(text(&waits, "reason")),
            }
        }
        for told in lines(folder, "notifications.jsonl")? {
            if told["kind"] == "command_refused" && told["reason"] == "too_late" {
                *found.refused_late.entry(text(&told, "caused_by")).or_default() += 1;
            }
        }
        Ok(found)
    }

    pub(crate) fn leg(&mut self, id: (String, String), level: i64) {
        *self.levels.entry(id).or_default().entry(level).or_default() += 1;
    }
}

/// Reasons of rows whose id was remembered before they came to wait: what comes next under the id is a copy.
const ADMITTED: [&str; 4] = ["unknown_endpoint", "identity_conflict", "endpoint_inactive", "endpoint_unreadable"];

/// Counts the outcomes of rows in the order in which they were rated.
pub(crate) fn count(rows: &[Row], mut found: Found) -> Result<Outcomes, String> {
    let mut outcomes = Outcomes::default();
    let mut usage: BTreeMap<(String, String), Vec<&Row>> = BTreeMap::new();
    let (mut commands, mut late) = (BTreeSet::new(), BTreeSet::new());
    let mut all_levels: Option<Vec<i64>> = None;
    for row in rows {
        let shown =
            || format!("row {}: {:?}", row.place, String::from_utf8_lossy(&row.bytes[..row.bytes.len().min(400)]));
        if let Some(waits) = found.whole.remove(&row.place) {
            let [reason] = &waits[..] else { return Err(format!("waits {waits:?}: {}", shown())) };
            outcomes.suspended += 1;
            tally(reason, 1);
            if let Read::Usage(source, id) = &row.read {
                let id = (source.clone(), id.clone());
                if reason == "duplicate_conflict" && !usage.contains_key(&id) {
                    return Err(format!("a conflict with nothing: {}", shown()));
                }
                if reason == "too_late" {
                    late.insert((id.clone(), &row.bytes));
                }
                if ADMITTED.contains(&&**reason) {
                    usage.entry(id).or_default().push(row);
                }
            }
            continue;
        }
        match &row.read {
            Read::Tick => outcomes.ticks += 1,
            Read::Command(id) if found.refused_late.get(id).is_some_and(|count| *count > 0) => {
                found.refused_late.entry(id.clone()).and_modify(|count| *count -= 1);
                outcomes.commands += 1;
            }
            Read::Command(id) if commands.insert(id.clone()) => outcomes.commands += 1,
            Read::Command(_) => outcomes.duplicates += 1,
            Read::Usage(source, id) => {
                let id = (source.clone(), id.clone());
                if let Some(before) = usage.get(&id) {
                    if !before.iter().any(|copy| copy.quantity == row.quantity) {
                        return Err(format!("a duplicate of what has another quantity: {}", shown()));
                    }
                    outcomes.duplicates += 1;
                    continue;
                }
                // Another payload under the id of what came too late is a record of its own.
                if late.contains(&(id.clone(), &row.bytes)) {
                    outcomes.duplicates += 1;
                    continue;
                }
                let levels = found.levels.remove(&id).ok_or_else(|| format!("no outcome: {}", shown()))?;
                if levels.values().any(|count| *count != 1) {
                    return Err(format!("levels {levels:?}: {}", shown()));
                }
                let levels: Vec<i64> = levels.into_keys().collect();
                if *all_levels.get_or_insert_with(|| levels.clone()) != levels {
                    return Err(format!("levels {levels:?}, of others {all_levels:?}: {}", shown()));
                }
                usage.insert(id, vec![row]);
                outcomes.guided += 1;
            }
            Read::Nothing => return Err(format!("no outcome: {}", shown())),
        }
    }
    if let Some((id, _)) = found.levels.first_key_value() {
        return Err(format!("charged, or a leg of it waits, and no row is it: {id:?}"));
    }
    if let Some((place, waits)) = found.whole.first_key_value() {
        return Err(format!("waits {waits:?} at {place}, where no row is"));
    }
    for (what, count) in [
        ("guided", outcomes.guided),
        ("duplicates", outcomes.duplicates),
        ("commands", outcomes.commands),
        ("ticks", outcomes.ticks),
    ] {
        tally(what, count);
    }
    Ok(outcomes)
}
