//! What became of each record, command and grant in the end, and whether the books add up.

use super::guide::{RecordPlace, id_of, parsed, place_of};
use super::logs::{Logs, text, tick_of};
use super::world::{UNKNOWN_IMSI, editions, lineage};
use rating::Timestamp;
use runtime::stages::{GuidedEntry, IntakenArrival, IntakenEntry};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Looks for the first thing that is wrong.
///
/// # Errors
/// What it is.
pub(super) fn check(logs: &Logs<'_>) -> Result<(), String> {
    check_legs(logs)?;
    check_records(logs)?;
    check_commands(logs)?;
    check_grants(logs)?;
    check_money(logs)
}

/// Each leg that guide handed over was charged or suspended.
fn check_legs(logs: &Logs<'_>) -> Result<(), String> {
    let mut legs: BTreeMap<(String, i64), i64> = BTreeMap::new();
    for message in logs.guided.iter().flatten() {
        for entry in &message.entries {
            let GuidedEntry::Legs { usage_id, levels, .. } = entry else { continue };
            for (level, _) in levels {
                *legs.entry((usage_id.clone(), i64::from(*level))).or_default() += 1;
            }
        }
    }
    let waiting = logs.suspense.iter().filter(|value| text(value, "stage") == "rate");
    for value in logs.charges.iter().filter(|value| text(value, "kind") == "usage").chain(waiting) {
        let level = value["level"].as_i64().unwrap_or(-1);
        *legs.entry((text(value, "usage_id").to_owned(), level)).or_default() -= 1;
    }
    match legs.into_iter().find(|(_, left)| *left != 0) {
        Some((leg, left)) => Err(format!("leg {leg:?}: {left} more were guided than charged or suspended")),
        None => Ok(()),
    }
}

/// Each record is charged once on every level, or waits for a reason that does not go away by itself.
fn check_records(logs: &Logs<'_>) -> Result<(), String> {
    let mut charged: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for value in logs.charges.iter().filter(|value| text(value, "kind") == "usage") {
        charged.entry(text(value, "usage_id")).or_default().push(value["level"].as_i64().unwrap_or(-1));
    }
    // Why legs and records waited last.
    let mut legs: BTreeMap<(&str, i64), (i64, &str)> = BTreeMap::new();
    let mut records: BTreeMap<RecordPlace, (i64, &str)> = BTreeMap::new();
    for value in &logs.suspense {
        let last = (value["attempt"].as_i64().unwrap_or(-1), text(value, "reason"));
        match value["level"].as_i64() {
            Some(level) => {
                let known = legs.entry((text(value, "usage_id"), level)).or_insert(last);
                *known = (*known).max(last);
            }
            None => {
                let known = records.entry(place_of(value)).or_insert(last);
                *known = (*known).max(last);
            }
        }
    }
    let mut copies: BTreeMap<String, Vec<(RecordPlace, Value)>> = BTreeMap::new();
    for message in logs.intaken.iter().flatten() {
        for entry in &message.entries {
            if let IntakenEntry::Record { origin, arrival: IntakenArrival::Fresh, original } = entry {
                let value = parsed(original);
                if value["command_id"].is_null() {
                    copies.entry(id_of(&value)).or_default().push((origin.clone(), value));
                }
            }
        }
    }
    for (id, copies) in copies {
        let imsi = text(&copies[0].1, "imsi");
        let mut levels = charged.remove(&*id).unwrap_or_default();
        let is_out_of_reach = |(_, reason): &(i64, &str)| match *reason {
            // Whether a payer was suspended is for the engine to tell.
            "too_old_to_rate" | "account_suspended" => true,
            "no_rate" => text(&copies[0].1, "service") == "fax",
            _ => false,
        };
        let waits_on = |level: &i64| !levels.contains(level) && legs.get(&(&id, *level)).is_some_and(is_out_of_reach);
        let waiting: Vec<i64> = (0..=3).filter(waits_on).collect();
        levels.extend(waiting);
        levels.sort_unstable();
        let expected: Vec<i64> = lineage(imsi).into_iter().map(|(level, _)| i64::from(level)).collect();
        // Of what nobody ever knows, or what came too late, every copy waits.
        let waits = |(place, _): &(RecordPlace, Value)| match records.get(place) {
            Some((_, "unknown_endpoint")) => imsi == UNKNOWN_IMSI,
            Some((_, "too_late")) => true,
            Some(_) | None => false,
        };
        let is_so = match levels.is_empty() {
            true => copies.iter().any(waits),
            false => levels == expected,
        };
        if !is_so {
            let why: Vec<_> = copies.iter().map(|(place, _)| records.get(place)).collect();
            return Err(format!(
                "{id} of {imsi} was charged on {levels:?}, and should be on {expected:?}; it waited: {why:?}"
            ));
        }
    }
    match charged.keys().next() {
        Some(id) => Err(format!("{id} was charged and never came in")),
        None => Ok(()),
    }
}

/// Each command is carried out or refused once; of further copies it is said that they are.
fn check_commands(logs: &Logs<'_>) -> Result<(), String> {
    let mut copies: BTreeMap<String, i64> = BTreeMap::new();
    for message in logs.intaken.iter().flatten() {
        for entry in &message.entries {
            if let IntakenEntry::Record { arrival: IntakenArrival::Fresh, original, .. } = entry {
                let value = parsed(original);
                if value["command_id"].is_string() {
                    *copies.entry(id_of(&value)).or_default() += 1;
                }
            }
        }
    }
    let mut decided: BTreeSet<&str> = BTreeSet::new();
    for reply in &logs.replies {
        let id = text(reply, "command_id");
        if text(reply, "outcome") != "duplicate" && !decided.insert(id) {
            return Err(format!("command {id} was carried out or refused twice"));
        }
        if !id.starts_with("reference:") {
            *copies.entry(id.to_owned()).or_default() -= 1;
        }
    }
    match copies.into_iter().find(|(id, left)| *left != 0 || !decided.contains(&**id)) {
        Some((id, left)) => Err(format!("command {id}: {left} copies without a reply, or none that decides")),
        None => Ok(()),
    }
}

/// Each grant that was due is answered once.
fn check_grants(logs: &Logs<'_>) -> Result<(), String> {
    let last = logs.values("ticks").filter_map(tick_of).max().unwrap_or(Timestamp::EPOCH);
    let due = editions().last().into_iter().flat_map(|edition| edition.grants()).filter(|grant| grant.at <= last);
    for grant in due {
        let replies = logs.replies.iter().filter(|reply| text(reply, "command_id") == grant.command_id).count();
        if replies != 1 {
            return Err(format!("grant {} was answered {replies} times", grant.command_id));
        }
    }
    Ok(())
}

/// Deltas are numbered without gaps and add up to balances; charges have deltas of their amounts.
fn check_money(logs: &Logs<'_>) -> Result<(), String> {
    let mut accounts: BTreeMap<&str, (i64, i128)> = BTreeMap::new();
    let mut of_charges: BTreeMap<&str, i128> = BTreeMap::new();
    for delta in &logs.deltas {
        let (sequence, balance) = accounts.entry(text(delta, "account_id")).or_insert((0, 0));
        *sequence += 1;
        let amount = decimal(&delta["amount"])?;
        *balance += amount;
        if delta["sequence"].as_i64() != Some(*sequence) || decimal(&delta["balance_after"])? != *balance {
            return Err(format!("delta number {sequence}, after which the balance is {balance}e-10: {delta}"));
        }
        if let Some(charge) = delta["charge_id"].as_str() {
            *of_charges.entry(charge).or_default() += amount;
        }
    }
    let mut ids = BTreeSet::new();
    for charge in &logs.charges {
        let id = text(charge, "charge_id");
        let amount = decimal(&charge["amount"])?;
        if !ids.insert(id) {
            return Err(format!("charge {id} is there twice"));
        }
        if of_charges.remove(id).unwrap_or(0) != -amount {
            return Err(format!("the deltas of a charge are not its amount: {charge}"));
        }
    }
    match of_charges.keys().next() {
        Some(id) => Err(format!("deltas of a charge that is not there: {id}")),
        None => Ok(()),
    }
}

/// A decimal number in units of its tenth place.
fn decimal(value: &Value) -> Result<i128, String> {
    let no_number = || format!("{value} is no decimal number");
    let text = value.as_str().ok_or_else(no_number)?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    format!("{whole}{fraction:0<10}").parse().map_err(|_| no_number())
}
