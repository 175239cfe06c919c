//! The guided log with its ticks through the engine of the embedded runtime: what it puts out is what the stages have to have put out, account by
//! account and byte for byte.

use super::logs::{ByAccount, Logs, text, value_of};
use super::world::{Editions, SOURCE, editions};
use super::{frames, world::PARTITIONS};
use crate::verify::Clocks;
use pipeline::{Arrival, IntakeRules};
use rating::SuspenseReason;
use runtime::engine::{BatchInput, BatchOutput, Engine, EngineSettings, Intent, Retry};
use runtime::stages::{GuidedEntry, GuidedMessage};
use runtime::wire::{Decoder, Encoder, Message, OutputFormat, RawBatch};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The topic that says nothing of how late it is.
const TIMELESS: &str = "ticks";

/// What the engine puts out.
#[derive(Default)]
struct Effects {
    by_account: BTreeMap<&'static str, ByAccount>,
    /// Legs that wait: record, level and reason.
    suspended: Vec<(String, i64, String)>,
}

/// A leg by the place of its record and its level.
type LegPlace = ((String, u32, i64), u8);

/// Compares.
///
/// # Errors
/// The first difference.
pub(super) fn check(logs: &Logs<'_>) -> Result<(), String> {
    let mut effects = Effects::default();
    let mut reasons = reasons_of(logs);
    for partition in &logs.guided {
        rate(partition, &mut reasons, &mut effects)?;
    }
    for topic in ["charges", "balance-deltas", "life-events"] {
        same(topic, effects.by_account.get(topic).unwrap_or(&ByAccount::new()), &logs.by_account(topic))?;
    }
    // Guide and cycle answer commands and tell of those that are refused as well; of the guided log only what reached rate is known.
    for topic in ["command-replies", "notifications"] {
        let expected = sorted(effects.by_account.get(topic).cloned().unwrap_or_default(), |_| true);
        let is_of_rate = |message: &Vec<u8>| {
            let value = value_of(message);
            text(&value, "kind") != "command_refused"
                && !expected.values().flatten().all(|known| known != message) | (topic == "notifications")
        };
        let found = sorted(logs.by_account(topic), is_of_rate);
        let expected = sorted(expected, |message| text(&value_of(message), "kind") != "command_refused");
        same(topic, &expected, &found)?;
    }
    let mut found: Vec<(String, i64, String)> = (logs.suspense.iter())
        .filter(|value| text(value, "stage") == "rate" && text(value, "reason") != TOO_OLD)
        .map(|value| {
            (text(value, "usage_id").into(), value["level"].as_i64().unwrap_or(-1), text(value, "reason").into())
        })
        .collect();
    found.sort_unstable();
    effects.suspended.sort_unstable();
    match found == effects.suspended {
        true => Ok(()),
        false => Err(format!("legs that wait: {:?} expected, {found:?} found", effects.suspended)),
    }
}

/// What rate says of legs of which its state no longer knows everything. The engine's clock and guide's are not the same, so these are left out.
const TOO_OLD: &str = "too_old_to_rate";

/// Why each leg was suspended, time after time.
fn reasons_of(logs: &Logs<'_>) -> BTreeMap<LegPlace, Vec<String>> {
    let mut reasons: BTreeMap<LegPlace, BTreeMap<i64, String>> = BTreeMap::new();
    for value in logs.suspense.iter().filter(|value| text(value, "stage") == "rate") {
        let partition = value["partition"].as_i64().and_then(|number| u32::try_from(number).ok()).unwrap_or(u32::MAX);
        let place = (text(value, "topic").to_owned(), partition, value["offset"].as_i64().unwrap_or(-1));
        let level = value["level"].as_i64().and_then(|level| u8::try_from(level).ok()).unwrap_or(u8::MAX);
        let attempt = value["attempt"].as_i64().unwrap_or(0);
        reasons.entry((place, level)).or_default().insert(attempt, text(value, "reason").to_owned());
    }
    let in_order =
        |(place, by_attempt): (LegPlace, BTreeMap<i64, String>)| (place, by_attempt.into_values().rev().collect());
    reasons.into_iter().map(in_order).collect()
}

/// Rates a partition of the guided log.
fn rate(
    messages: &[GuidedMessage],
    reasons: &mut BTreeMap<LegPlace, Vec<String>>,
    effects: &mut Effects,
) -> Result<(), String> {
    let directory = Arc::new(Editions::default());
    let settings = EngineSettings {
        rules: IntakeRules::new(SOURCE),
        duplicate_window_h: None,
        command_memory_h: pipeline::duplicates::DEFAULT_COMMAND_HOURS,
        state_horizon_h: pipeline::duplicates::DEFAULT_STATE_HORIZON_H,
        threads: 1,
    };
    let mut engine = Engine::new(directory.clone(), Encoder::new(OutputFormat::Avro, ""), settings);
    let mut clocks = Clocks::new(PARTITIONS as usize);
    let decoder = Decoder::json_lines();
    for message in messages {
        let edition = editions().iter().position(|edition| **edition.snapshot.version() == *message.directory);
        // Ticks alone are of no version in particular.
        directory.choose(edition.ok_or_else(|| format!("an unknown version {:?}", message.directory))?);
        let (mut records, mut retries) = (RawBatch::default(), Vec::new());
        // Cycle tells accounts before it buys for them.
        let changes = message.entries.iter().filter_map(|entry| match entry {
            GuidedEntry::Change(timeline) => Some(timeline.clone()),
            GuidedEntry::Legs { .. } | GuidedEntry::Command { .. } | GuidedEntry::Tick(_) => None,
        });
        let learnt = engine.learn(&changes.collect::<Vec<_>>()).map_err(|error| format!("the engine: {error}"))?;
        effects.add(&learnt);
        let mut add = |original: &[u8], arrival| {
            records.push(original, 1);
            retries.push(Retry { arrival, ..Retry::FRESH });
        };
        let intended = |intent| Arrival { intent, held: None };
        for entry in &message.entries {
            match entry {
                GuidedEntry::Legs { original, levels, origin, .. } => {
                    for (level, _) in levels {
                        let of_leg = reasons.get_mut(&(origin.clone(), *level));
                        if of_leg.and_then(Vec::pop).is_none_or(|reason| reason != TOO_OLD) {
                            add(original, intended(Intent::Level { level: *level, reason: SuspenseReason::NoRate }));
                        }
                    }
                }
                GuidedEntry::Command { original, .. } => add(original, intended(Intent::Admitted)),
                GuidedEntry::Change(_) => {}
                GuidedEntry::Tick(_) if message.source.0 == TIMELESS => {}
                GuidedEntry::Tick(instant) => {
                    if let Some(clock) = clocks.tick(&message.source, *instant) {
                        add(format!("{{\"tick\":\"{clock}\"}}").as_bytes(), Arrival::FRESH);
                    }
                }
            }
        }
        let input = BatchInput { records: &records, decoder: &decoder, input: "guided", retries: &retries };
        let output = engine.process(input).map_err(|error| format!("the engine: {error}"))?;
        effects.add(&output);
    }
    Ok(())
}

impl Effects {
    fn add(&mut self, output: &BatchOutput) {
        for (topic, message, data, field) in [
            ("charges", Message::Charge, &output.charges, "payer_id"),
            ("balance-deltas", Message::BalanceDelta, &output.deltas, "account_id"),
            ("life-events", Message::LifeEvent, &output.life_events, "account_id"),
            ("command-replies", Message::CommandReply, &output.replies, "account_id"),
            ("notifications", Message::Notification, &output.notifications, "account_id"),
        ] {
            for datum in data.messages() {
                let framed = [frames().prefix(message), datum].concat();
                let account = text(&value_of(&framed), field).as_bytes().to_vec();
                self.by_account.entry(topic).or_default().entry(account).or_default().push(framed);
            }
        }
        for datum in output.suspense.messages() {
            let value = value_of(&[frames().prefix(Message::Suspense), datum].concat());
            let level = value["level"].as_i64().unwrap_or(-1);
            self.suspended.push((text(&value, "usage_id").into(), level, text(&value, "reason").into()));
        }
    }
}

/// The same in an order of its own, without some.
fn sorted(messages: ByAccount, is_meant: impl Fn(&Vec<u8>) -> bool) -> ByAccount {
    let mut kept = ByAccount::new();
    for (account, messages) in messages {
        let mut messages: Vec<Vec<u8>> = messages.into_iter().filter(&is_meant).collect();
        messages.sort_unstable();
        if !messages.is_empty() {
            kept.insert(account, messages);
        }
    }
    kept
}

fn same(topic: &str, expected: &ByAccount, found: &ByAccount) -> Result<(), String> {
    let show =
        |message: Option<&Vec<u8>>| message.map_or("nothing".to_owned(), |message| value_of(message).to_string());
    let none = Vec::new();
    for account in expected.keys().chain(found.keys()) {
        let (expected, found) = (expected.get(account).unwrap_or(&none), found.get(account).unwrap_or(&none));
        let differs = (0..expected.len().max(found.len())).find(|at| expected.get(*at) != found.get(*at));
        if let Some(at) = differs {
            let name = String::from_utf8_lossy(account);
            return Err(format!(
                "{topic} of {name} differ from the engine's at {at}: {} expected, {} found",
                show(expected.get(at)),
                show(found.get(at))
            ));
        }
    }
    Ok(())
}
