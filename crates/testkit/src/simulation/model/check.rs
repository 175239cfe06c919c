//! The independent reader: recomputes from the committed inputs, one message after the other and without batches, what has to be there.

use super::{
    CHARGES, Entry, GUIDE_STATE, GUIDED, HORIZON_H, RATE_STATE, SOURCES, SUSPENSE, Section, TARGETS, TICKS, USAGE,
    Usage, payer, sections, target_of,
};
use std::collections::{BTreeMap, BTreeSet};

/// Reads the committed messages (offset, key, value) of a partition.
pub type Read<'r> = dyn Fn(&str, u32) -> Vec<super::super::Found> + 'r;

/// When a message of a partition was appended, and when everybody could see it, in virtual microseconds.
pub type When<'w> = dyn Fn(&str, u32, i64) -> (u64, u64) + 'w;

/// Looks for the first thing that is wrong.
///
/// # Errors
/// What it is.
pub fn check(read: &Read<'_>, when: &When<'_>) -> Result<(), String> {
    let mut guided: Vec<Vec<Section>> = Vec::new();
    for target in 0..TARGETS {
        let mut all = Vec::new();
        for (_, _, value) in read(GUIDED, target) {
            all.extend(sections(&value.unwrap_or_default()).map_err(|error| error.to_string())?);
        }
        guided.push(all);
    }
    for source in 0..SOURCES {
        let ticks = check_ticks(read, when, source)?;
        check_source(read, source, &guided, &ticks)?;
    }
    check_epochs(&guided)?;
    for target in 0..TARGETS {
        check_target(read, target)?;
    }
    Ok(())
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, expected: &[T], found: &[T]) -> Result<(), String> {
    match expected.iter().zip(found).position(|(left, right)| left != right) {
        Some(at) => Err(format!("{what}, number {at}: {:?} expected, {:?} found", expected[at], found[at])),
        None if expected.len() != found.len() => Err(format!(
            "{what}: {} expected, {} found; the first beyond is {:?}",
            expected.len(),
            found.len(),
            expected.get(found.len()).or(found.get(expected.len()))
        )),
        None => Ok(()),
    }
}

/// The state that a changelog leaves.
fn state_of(read: &Read<'_>, topic: &str, partition: u32) -> Vec<(String, String)> {
    let mut state = BTreeMap::new();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    for (_, key, value) in read(topic, partition) {
        let key = text(key.unwrap_or_default());
        match value {
            Some(value) => state.insert(key, text(value)),
            None => state.remove(&key),
        };
    }
    state.into_iter().collect()
}

fn named(state: BTreeMap<String, i64>) -> Vec<(String, String)> {
    state.into_iter().map(|(name, value)| (name, value.to_string())).collect()
}

/// A tick that the first stage took: its position then, the offset among the ticks, the hour.
#[derive(Clone, Copy)]
struct Taken {
    position: i64,
    offset: i64,
    hour: i64,
}

/// The ticks that were taken in one partition: each says what the ticks up to it say, and none has overtaken what everybody could see when it was
/// appended; in the end all were taken.
fn check_ticks(read: &Read<'_>, when: &When<'_>, source: u32) -> Result<Vec<Taken>, String> {
    let hours: Vec<(i64, i64)> = (read(TICKS, 0).into_iter())
        .filter_map(|(offset, _, value)| match Usage::read(&value?) {
            Ok(Usage::Tick(hour)) => Some((offset, hour)),
            Ok(Usage::Record { .. }) | Err(_) => None,
        })
        .collect();
    let mut taken: Vec<Taken> = Vec::new();
    for (_, _, value) in read(SUSPENSE, source) {
        let line = String::from_utf8_lossy(&value.unwrap_or_default()).into_owned();
        let Some(rest) = line.strip_prefix("tick;") else { continue };
        let numbers: Vec<i64> = rest.split(';').filter_map(|part| part.parse().ok()).collect();
        let [position, offset, hour] = numbers[..] else { return Err(format!("no tick: {line}")) };
        let last = taken.last().map_or(-1, |last| last.offset);
        if offset <= last {
            return Err(format!("source {source}: tick {offset} was taken after {last}"));
        }
        let says = hours.iter().filter(|(at, _)| *at > last && *at <= offset).map(|(_, hour)| *hour).max();
        if says != Some(hour) {
            return Err(format!("source {source}: tick {offset} was taken for {hour}, it says {says:?}"));
        }
        let (appended, _) = when(TICKS, 0, offset);
        let overtaken = read(USAGE, source).into_iter().map(|(at, _, _)| at);
        let overtaken = overtaken.filter(|at| *at >= position && when(USAGE, source, *at).1 <= appended).min();
        if let Some(at) = overtaken {
            return Err(format!(
                "source {source}: tick {offset} was taken at {position}, before {at}, which was there"
            ));
        }
        taken.push(Taken { position, offset, hour });
    }
    let (last, end) = (taken.last().map(|last| last.offset), hours.last().map(|last| last.0));
    if last != end {
        return Err(format!("source {source}: the last tick that was taken is {last:?}, the last one there {end:?}"));
    }
    Ok(taken)
}

/// What the first stage makes of one partition.
fn check_source(read: &Read<'_>, source: u32, guided: &[Vec<Section>], ticks: &[Taken]) -> Result<(), String> {
    let mut clock = 0;
    let mut seen: BTreeMap<(i64, i64), i64> = BTreeMap::new();
    let mut legs: Vec<Vec<Entry>> = vec![Vec::new(); TARGETS as usize];
    let (mut suspended, mut position) = (Vec::new(), None);
    // Ticks where they were taken: before the messages from their position on.
    let mut history: Vec<(i64, Usage)> = Vec::new();
    let mut left = ticks.iter().peekable();
    for (offset, _, value) in read(USAGE, source) {
        while let Some(tick) = left.next_if(|tick| tick.position <= offset) {
            history.push((tick.offset, Usage::Tick(tick.hour)));
        }
        history.push((offset, Usage::read(&value.unwrap_or_default()).map_err(|error| error.to_string())?));
        position = Some(offset + 1);
    }
    history.extend(left.map(|tick| (tick.offset, Usage::Tick(tick.hour))));
    for (offset, usage) in history {
        match usage {
            Usage::Tick(hour) => {
                clock = clock.max(hour);
                legs.iter_mut().for_each(|legs| legs.push(Entry::Tick(hour)));
                seen.retain(|(hour, _), _| hour + HORIZON_H > clock);
            }
            Usage::Record { id, hour, .. } if hour + HORIZON_H <= clock => {
                suspended.push(format!("late;{offset};{id}"))
            }
            Usage::Record { id, hour, .. } if seen.contains_key(&(hour, id)) => {
                suspended.push(format!("duplicate;{offset};{id}"));
            }
            Usage::Record { id, account, hour, units } => {
                seen.insert((hour, id), offset);
                for level in 0..2 {
                    let account = payer(account, level);
                    let leg = Entry::Leg { offset, level, account, hour, units, epoch: 0 };
                    legs[target_of(account) as usize].push(leg);
                }
            }
        }
    }
    let found: Vec<String> = read(SUSPENSE, source)
        .into_iter()
        .map(|(_, _, value)| String::from_utf8_lossy(&value.unwrap_or_default()).into_owned())
        .filter(|line| !line.starts_with("tick;"))
        .collect();
    same(&format!("suspense of source {source}"), &suspended, &found)?;
    let mut state: BTreeMap<String, i64> =
        seen.into_iter().map(|((hour, id), offset)| (format!("id/{hour:05}/{id}"), offset)).collect();
    // One that has taken nothing but ticks is where it began.
    let position = position.or(ticks.last().map(|last| last.position));
    state.extend(position.map(|position| ("position".to_owned(), position)));
    state.extend(ticks.last().map(|last| ("ticks".to_owned(), last.offset + 1)));
    if clock > 0 {
        state.insert("clock".to_owned(), clock);
    }
    for (target, expected) in legs.iter().enumerate() {
        let mine = guided[target].iter().filter(|section| section.source == i64::from(source));
        let sequences: Vec<i64> = mine.clone().map(|section| section.sequence).collect();
        let gapless: Vec<i64> = (0..).take(sequences.len()).collect();
        same(&format!("sequences from {source} to {target}"), &gapless, &sequences)?;
        if !sequences.is_empty() {
            state.insert(format!("sequence/{target}"), sequences.len() as i64);
        }
        let found: Vec<Entry> = mine.flat_map(|section| section.entries.iter().map(without_epoch)).collect();
        same(&format!("legs from {source} to {target}"), expected, &found)?;
    }
    same(&format!("state of source {source}"), &named(state), &state_of(read, GUIDE_STATE, source))
}

fn without_epoch(entry: &Entry) -> Entry {
    match *entry {
        Entry::Leg { offset, level, account, hour, units, .. } => {
            Entry::Leg { offset, level, account, hour, units, epoch: 0 }
        }
        Entry::Tick(hour) => Entry::Tick(hour),
    }
}

/// All legs of a record were made with the same reference data.
fn check_epochs(guided: &[Vec<Section>]) -> Result<(), String> {
    let mut epochs: BTreeMap<(i64, i64), BTreeSet<i64>> = BTreeMap::new();
    for section in guided.iter().flatten() {
        for entry in &section.entries {
            if let Entry::Leg { offset, epoch, .. } = entry {
                epochs.entry((section.source, *offset)).or_default().insert(*epoch);
            }
        }
    }
    match epochs.iter().find(|(_, epochs)| epochs.len() > 1) {
        Some((record, epochs)) => Err(format!("legs of record {record:?} were made with epochs {epochs:?}")),
        None => Ok(()),
    }
}

/// What the second stage makes of one partition.
fn check_target(read: &Read<'_>, target: u32) -> Result<(), String> {
    let mut numbers: BTreeMap<i64, i64> = BTreeMap::new();
    let mut sums: BTreeMap<(i64, i64), i64> = BTreeMap::new();
    let mut clocks = vec![0; SOURCES as usize];
    let mut sections_of: BTreeMap<i64, i64> = BTreeMap::new();
    let (mut said, mut position) = (Vec::new(), None);
    for (offset, _, value) in read(GUIDED, target) {
        position = Some(offset + 1);
        for section in sections(&value.unwrap_or_default()).map_err(|error| error.to_string())? {
            *sections_of.entry(section.source).or_default() += 1;
            let source = section.source;
            for entry in section.entries {
                let clock = clocks.iter().copied().min().unwrap_or_default();
                match entry {
                    Entry::Leg { offset, level, account, hour, units, .. } => {
                        let number = numbers.entry(account).or_default();
                        *number += 1;
                        let when = if hour < clock { "late" } else { "in time" };
                        if hour >= clock {
                            *sums.entry((hour, account)).or_default() += units;
                        }
                        said.push(format!("{account};{number};charge;{source};{offset};{level};{hour};{units};{when}"));
                    }
                    Entry::Tick(hour) => {
                        let known = &mut clocks[source as usize];
                        *known = hour.max(*known);
                        let clock = clocks.iter().copied().min().unwrap_or_default();
                        while let Some(first) = sums.first_entry().filter(|first| first.key().0 < clock) {
                            let ((hour, account), sum) = first.remove_entry();
                            let number = numbers.entry(account).or_default();
                            *number += 1;
                            said.push(format!("{account};{number};sum;{hour};{sum}"));
                        }
                    }
                }
            }
        }
    }
    let found: Vec<String> = read(CHARGES, target)
        .into_iter()
        .map(|(_, _, value)| String::from_utf8_lossy(&value.unwrap_or_default()).into_owned())
        .collect();
    same(&format!("charges of partition {target}"), &said, &found)?;
    let mut state: BTreeMap<String, i64> =
        position.map(|position| ("position".to_owned(), position)).into_iter().collect();
    state.extend(numbers.into_iter().map(|(account, number)| (format!("number/{account:05}"), number)));
    state.extend(sums.into_iter().map(|((hour, account), sum)| (format!("sum/{hour:05}/{account:05}"), sum)));
    state.extend(sections_of.into_iter().map(|(source, count)| (format!("from/{source}"), count)));
    let clocks = clocks.into_iter().enumerate().filter(|(_, clock)| *clock > 0);
    state.extend(clocks.map(|(source, clock)| (format!("clock/{source}"), clock)));
    same(&format!("state of partition {target}"), &named(state), &state_of(read, RATE_STATE, target))
}
