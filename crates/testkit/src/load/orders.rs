//! Commands in addition to those of a stream: each id has to be carried out once, whatever comes under it.

use crate::generator::random::Random;
use serde_json::Value;

/// Ids that come again.
const RECENT: usize = 64;
/// How old an old command is, in days: further back than the memory of commands.
const OLD_DAYS: i64 = 60;

/// Makes them.
pub(super) struct Orders {
    random: Random,
    /// Stands in their ids: those of another stream are others.
    source: String,
    recent: Vec<(u64, i64)>,
    made: u64,
}

impl Orders {
    pub(super) fn new(seed: u64, source: &str) -> Orders {
        let random = Random::new(seed ^ 0x6f72_6465);
        Orders { random, source: source.to_owned(), recent: Vec::new(), made: 0 }
    }

    /// The next one, at the time of a line.
    pub(super) fn next(&mut self, line: &[u8]) -> Vec<u8> {
        let said: Value = serde_json::from_slice(line).unwrap_or_default();
        let at = said.get("event_time").or(said.get("effective_time"));
        let at_ms = at.and_then(|at| at.as_str()?.parse::<jiff::Timestamp>().ok()).unwrap_or_default().as_millisecond();
        if !self.recent.is_empty() && self.random.chance(600) {
            let (number, at_ms) = *self.random.pick(&self.recent);
            // A copy, or something else under the same id.
            let amount = if self.random.chance(500) { "1.00" } else { "2.00" };
            return self.order(number, at_ms, amount);
        }
        self.made += 1;
        // Bundles may be granted as of 1970, and nothing takes effect before.
        let at_ms = if self.random.chance(200) { (at_ms - OLD_DAYS * 86_400_000).max(0) } else { at_ms };
        let one = (self.made, at_ms);
        if self.recent.len() < RECENT {
            self.recent.push(one);
        } else {
            let slot = self.random.index(RECENT);
            self.recent[slot] = one;
        }
        self.order(self.made, at_ms, "1.00")
    }

    fn order(&self, number: u64, at_ms: i64, amount: &str) -> Vec<u8> {
        let at = jiff::Timestamp::from_millisecond(at_ms).unwrap_or_default();
        format!(
            r#"{{"command_id":"{}-order-{number}","kind":"top_up","account_id":"customer-{}","issued_by":"beta-0","amount":"{amount}","currency":"GBP","effective_time":"{at}"}}"#,
            self.source,
            number % 20
        )
        .into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bundles that are granted from the very beginning take effect in 1970, and nothing can take effect 60 days before.
    #[test]
    fn orders_take_effect_when_commands_can() {
        let granted = br#"{"command_id":"grant-1","kind":"buy_bundle","effective_time":"1970-01-01T00:00:00Z"}"#;
        let usage = br#"{"id":"r1","event_time":"2026-01-05T00:00:00Z"}"#;
        let mut orders = Orders::new(3, "load");
        for line in (0..200).map(|number| if number % 2 == 0 { &granted[..] } else { usage }) {
            let order: Value = serde_json::from_slice(&orders.next(line)).expect("JSON");
            let at = order["effective_time"].as_str().expect("a text");
            pipeline::times::read_time(at).unwrap_or_else(|misread| panic!("{at}: {misread:?}"));
        }
    }
}
