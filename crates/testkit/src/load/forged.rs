//! Messages at the wrong door: what stands in a topic that takes something else, as somebody writes it who errs or means harm.
//!
//! | topic | what is put there |
//! | --- | --- |
//! | usage | commands, ticks, retries of a record that is there |
//! | commands | usage, ticks, retries |
//! | retries | usage, commands, ticks, retries that are not whole, foreign bytes |
//! | ticks | usage, commands, retries, foreign bytes; ticks of a month from now |
//!
//! Each would do something at its own door: buy, move the clock, charge once more.

use super::key_of;
use crate::generator::random::Random;
use crate::generator::stream::LineKind;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A topic, by what it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    Usage,
    Commands,
    Retries,
    Ticks,
}

/// A message for the wrong door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Forged {
    pub(super) door: Door,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Vec<u8>,
}

/// Makes one of a line that is sent at its own door, too.
pub(super) fn forge(random: &mut Random, usage_topic: &str, line: &[u8], kind: LineKind, number: u64) -> Forged {
    let door = *random.pick(&[Door::Usage, Door::Commands, Door::Retries, Door::Ticks]);
    let command = match kind {
        LineKind::Command => line.to_vec(),
        LineKind::Usage { .. } | LineKind::Tick => {
            format!(
                r#"{{"command_id":"forged-{number}","kind":"top_up","account_id":"customer-0","issued_by":"beta-0","amount":"1000000","currency":"GBP","effective_time":"2026-01-02T00:00:00Z"}}"#
            )
            .into_bytes()
        }
    };
    let usage = match kind {
        LineKind::Usage { .. } => line.to_vec(),
        LineKind::Command | LineKind::Tick => {
            format!(
                r#"{{"id":"forged-{number}","source":"forged","service":"data","quantity":1000000,"unit":"octets","event_time":"2026-01-02T00:00:00Z","imsi":"001010000000001"}}"#
            )
            .into_bytes()
        }
    };
    let retry = retry(usage_topic, &usage, random);
    let tick = br#"{"tick":"2026-10-01T00:00:00Z"}"#.to_vec();
    let broken = retry[..retry.len() - 2].to_vec();
    let bytes = vec![0xff, 0x00, b'{', 0x80];
    let value = match door {
        Door::Usage => random.pick(&[command, tick, retry]).clone(),
        Door::Commands => random.pick(&[usage, tick, retry]).clone(),
        Door::Retries => random.pick(&[usage, command, tick, broken, bytes]).clone(),
        Door::Ticks => random.pick(&[usage, command, retry, bytes, tick_ahead()]).clone(),
    };
    Forged { door, key: key_of(&value), value }
}

/// A tick of somebody whose clock is a month ahead.
fn tick_ahead() -> Vec<u8> {
    let month = jiff::SignedDuration::from_hours(30 * 24);
    format!(r#"{{"tick":"{}"}}"#, jiff::Timestamp::now() + month).into_bytes()
}

/// A retry as recycling writes it, of something that did not wait: at a door that takes it, its original is charged once more.
fn retry(topic: &str, original: &[u8], random: &mut Random) -> Vec<u8> {
    let (offset, reason) = (random.below(1000), *random.pick(&["unknown_endpoint", "undecodable", "no_rate"]));
    let level = if reason == "no_rate" { "0" } else { "null" };
    let original = STANDARD.encode(original);
    format!(
        r#"{{"retry":{{"topic":"{topic}","partition":0,"offset":{offset},"attempt":1,"reason":"{reason}","level":{level},"key":null,"original":"{original}"}}}}"#
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tick_of(text: &str) -> Option<jiff::Timestamp> {
        text.strip_prefix("{\"tick\":\"")?.strip_suffix("\"}")?.parse().ok()
    }

    #[test]
    fn nothing_stands_at_its_own_door() {
        let mut random = Random::new(1);
        let usage = br#"{"id":"r1","imsi":"001","service":"data"}"#;
        for number in 0..500 {
            let forged = forge(&mut random, "usage", usage, LineKind::Usage { is_copy: false }, number);
            let text = String::from_utf8_lossy(&forged.value).into_owned();
            let is_own = match forged.door {
                Door::Usage => text.starts_with("{\"id\""),
                Door::Commands => text.starts_with("{\"command_id\""),
                Door::Retries => text.starts_with("{\"retry\"") && text.ends_with("}}"),
                // It may be no later than the log says.
                Door::Ticks => tick_of(&text).is_some_and(|at| at <= jiff::Timestamp::now()),
            };
            assert!(!is_own, "{:?} {text}", forged.door);
        }
    }
}
