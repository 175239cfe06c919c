//! The comparison with the engine; and, where it finds a difference, which message it is that differs.

use super::engine::{Chain, Pile, Rating, Side};
use super::framed::Framed;
use super::money::{Charge, Delta};
use super::report::SHOWN;
use super::{Look, Outputs, VerifyError, hash_of};
use runtime::engine::BatchOutput;
use runtime::stages::read_guided;
use std::collections::HashMap;

/// Messages of the accounts that differ.
#[derive(Debug, Default)]
struct Listed {
    /// A hash of each message of the topic.
    found: Vec<u64>,
    /// How many messages of the engine were seen.
    seen: usize,
    /// The first one that differs: its number from 0, and what the engine has there.
    first: Option<(usize, String)>,
    /// What the topic has there.
    there: Option<String>,
}

impl Look<'_> {
    /// Compares what the topics hold with what the engine puts out.
    pub(super) fn compare(&mut self) -> Result<(), VerifyError> {
        if self.what.reference.is_none() {
            return Ok(());
        }
        for (side, name) in [(Side::Charges, "charges"), (Side::Deltas, "balance deltas")] {
            let [expected, found] = [&self.expected, &self.found].map(|outputs| &outputs.chains[side as usize]);
            let mut differing: Vec<String> = Vec::new();
            let accounts = expected.keys().chain(found.keys().filter(|account| !expected.contains_key(*account)));
            for account in accounts {
                if expected.get(account) != found.get(account) {
                    differing.push(account.clone());
                }
            }
            let count = |chains: &std::collections::BTreeMap<String, Chain>| -> u64 {
                chains.values().map(|chain| chain.count).sum()
            };
            let counts = [count(expected), count(found)];
            if !differing.is_empty() {
                let words = self.first_differences(side, &differing)?;
                for words in words {
                    self.report.differ(|| words);
                }
            }
            self.report.end(format!("{name} as of the engine"), counts[0], counts[1]);
        }
        for (name, of) in [
            ("legs waiting as of the engine", (|outputs| outputs.suspense) as fn(&Outputs) -> Pile),
            ("notifications as of the engine", |outputs| outputs.notifications),
        ] {
            let (expected, found) = (of(&self.expected), of(&self.found));
            if expected != found {
                self.report.differ(|| format!("{name}: {} expected, {} found, or others", expected.count, found.count));
            }
            self.report.end(name, expected.count, found.count);
        }
        Ok(())
    }

    /// For each account that differs, in words what does: topic and engine are read again for the first of them.
    fn first_differences(&self, side: Side, accounts: &[String]) -> Result<Vec<String>, VerifyError> {
        let mut listed: HashMap<&str, Listed> =
            accounts.iter().take(SHOWN).map(|account| (&**account, Listed::default())).collect();
        self.each_of_topic(side, |account, content, _| {
            if let Some(listed) = listed.get_mut(account) {
                listed.found.push(content);
            }
        })?;
        self.each_of_engine(side, |account, content, words| {
            let Some(listed) = listed.get_mut(account) else { return };
            let at = listed.seen;
            listed.seen += 1;
            if listed.first.is_none() && listed.found.get(at) != Some(&content) {
                listed.first = Some((at, words));
            }
        })?;
        let mut numbers: HashMap<&str, usize> = HashMap::new();
        for (account, listed) in &mut listed {
            // All that the engine has is there, and something behind it.
            let (at, _) = listed.first.get_or_insert_with(|| (listed.seen, "nothing".to_owned()));
            numbers.insert(account, *at);
        }
        let mut seen: HashMap<String, usize> = HashMap::new();
        self.each_of_topic(side, |account, _, words| {
            let Some(listed) = listed.get_mut(account) else { return };
            let seen = seen.entry(account.to_owned()).or_default();
            if numbers.get(account) == Some(&*seen) {
                listed.there = Some(words);
            }
            *seen += 1;
        })?;
        let words = accounts.iter().map(|account| match listed.get(&**account) {
            Some(Listed { first: Some((at, expected)), there, .. }) => {
                let found = there.as_deref().unwrap_or("nothing");
                format!("{side:?} of {account}, number {}: the engine has {expected}, the topic {found}", at + 1)
            }
            Some(Listed { first: None, .. }) | None => format!("{side:?} of {account} differ"),
        });
        Ok(words.collect())
    }

    fn each_of_topic(&self, side: Side, mut visit: impl FnMut(&str, u64, String)) -> Result<(), VerifyError> {
        let topic = self.what.layout.topic(match side {
            Side::Charges => "charges",
            Side::Deltas => "balance-deltas",
        });
        let mut schemas = super::Schemas::new(self.what.registry.as_deref())?;
        self.reader.read(&topic, 0..self.reader.partitions(&topic)?, |message| {
            if let Framed::Avro(layout, datum) = schemas.take_apart(message.value)? {
                show(side, &layout, datum, &mut visit);
            }
            Ok(())
        })
    }

    fn each_of_engine(&self, side: Side, mut visit: impl FnMut(&str, u64, String)) -> Result<(), VerifyError> {
        let Some(reference) = &self.what.reference else { return Ok(()) };
        let topic = self.what.layout.topic("guided");
        let mut schemas = super::Schemas::new(self.what.registry.as_deref())?;
        let senders = super::clock::senders(&self.reader, &self.what.layout)?;
        let contracts = super::Contracts::new()?;
        for partition in 0..self.reader.partitions(&topic)? {
            let mut rating = Rating::new(reference, &self.what.default_source, senders);
            let mut sink = |output: &BatchOutput| {
                let (messages, layout) = match side {
                    Side::Charges => (&output.charges, &contracts.charge),
                    Side::Deltas => (&output.deltas, &contracts.delta),
                };
                messages.messages().for_each(|datum| show(side, layout, datum, &mut visit));
                Ok(())
            };
            self.reader.read(&topic, [partition], |message| match read_guided(message.value) {
                Ok(guided) => rating.add(&guided, &mut schemas, &mut sink),
                Err(_) => Ok(()),
            })?;
            rating.flush(&mut sink)?;
        }
        Ok(())
    }
}

/// Hands out a message by its account, a hash of what it says, and in words. What cannot be read was told of before.
fn show(side: Side, layout: &super::avro::Layout, datum: &[u8], visit: &mut impl FnMut(&str, u64, String)) {
    match side {
        Side::Charges => {
            if let Ok(charge) = Charge::read(layout, datum) {
                let [start, end] = charge.content(datum);
                visit(charge.payer, hash_of(&[start, end]), charge.show());
            }
        }
        Side::Deltas => {
            if let Ok(delta) = Delta::read(layout, datum) {
                visit(delta.account, hash_of(&[datum]), delta.show());
            }
        }
    }
}
