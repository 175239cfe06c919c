//! Work that falls due by time alone: in slices on a log, at once in the engine, once each, and before anything else touches its account.

use super::memory::{Roughness, Running, Topics};
use super::{Expected, Horizon, SOURCE, assert_same, load, rate_lines};
use std::collections::BTreeMap;
use std::fmt::Write;
use testkit::generator::random::Random;
use testkit::stages::{self, inbound};

const ACCOUNTS: usize = 3_500;
/// Accounts whose work is done with one commit (`SLICE_ACCOUNTS` of rate).
const SLICE: usize = 1_000;

fn reference() -> String {
    let mut text = "
format: rater/v1
tariffs:
  retail: { currency: GBP, versions: [{ from: 2026-01-01T00:00:00Z, rates: [{ service: data, price: 0.10/MB }] }] }
accounts:
  northstar: { kind: operator, currency: GBP }
"
    .to_owned();
    for number in 0..ACCOUNTS {
        let _ = writeln!(text, "  c{number}: {{ kind: customer, parent: northstar, currency: GBP, tariff: retail }}");
    }
    text
}

fn command(account: usize, kind: &str, id: &str, at: &str) -> Vec<u8> {
    format!(
        "{{\"command_id\":\"{id}-{account}\",\"kind\":\"{kind}\",\"account_id\":\"c{account}\",\"issued_by\":\"northstar\",\
         \"effective_time\":\"{at}\"}}"
    )
    .into_bytes()
}

fn tick(at: &str) -> Vec<u8> {
    format!("{{\"tick\":\"{at}\"}}").into_bytes()
}

/// Everybody is suspended for an hour that has not begun when it is commanded; some are used meanwhile, and some in the midst of it.
fn lines() -> Vec<Vec<Vec<u8>>> {
    let usage = |account: usize, id: &str, at: &str| {
        let record = serde_json::json!({ "id": format!("{id}-{account}"), "source": "pgw", "service": "data", "quantity": 1_000_000,
            "event_time": at, "account_id": format!("c{account}") });
        record.to_string().into_bytes()
    };
    let everybody = 0..ACCOUNTS;
    let few = || (0..ACCOUNTS).step_by(100);
    vec![
        vec![tick("2026-03-01T00:00:00Z")],
        everybody.clone().map(|account| command(account, "suspend", "s", "2026-03-01T10:00:00Z")).collect(),
        everybody.map(|account| command(account, "activate", "a", "2026-03-01T11:00:00Z")).collect(),
        few().map(|account| usage(account, "before", "2026-03-01T09:59:59Z")).collect(),
        vec![tick("2026-03-01T10:00:00Z")],
        few().map(|account| usage(account, "within", "2026-03-01T10:30:00Z")).collect(),
        few().map(|account| usage(account, "after", "2026-03-01T11:00:00Z")).collect(),
        vec![tick("2026-03-02T00:00:00Z")],
        few().map(|account| command(account, "suspend", "at-once", "2026-03-02T00:00:00Z")).collect(),
    ]
}

#[test]
fn what_begins_later_is_told_when_it_begins_once_and_in_slices() {
    let loaded = load(&reference());
    let mut topics = Topics::default();
    for topic in
        ["usage", "ticks", "retries", "guide-changelog", "guided", "rate-changelog", "charges", "balance-deltas"]
            .into_iter()
            .chain(["notifications", "suspense", "waiting", "command-replies", "life-events"])
    {
        topics.create(topic, 1);
    }
    let mut random = Random::new(11);
    let rough = Roughness { undone: 300, restored: 200, largest_batch: 1_000 };
    let mut guide = Running::new(stages::guide(None, 1, inbound(SOURCE), loaded.directory()), &topics);
    let mut rate = Running::new(stages::rate(1, 1), &topics);
    let all = lines();
    for lines in &all {
        for line in lines {
            let topic = if line.starts_with(b"{\"tick\"") { "ticks" } else { "usage" };
            topics.append(topic, 0, (None, Some(line.clone())));
        }
        guide.go_on(&mut topics, rough, &mut random);
        rate.go_on(&mut topics, rough, &mut random);
    }
    let Expected { life_events, charges, .. } = rate_lines(&loaded, Horizon::FAR, &all.concat());
    assert_same("life-events", &topics.values_by_key("life-events"), &life_events);
    assert_same("charges", &topics.values_by_key("charges"), &charges);
    let told: BTreeMap<Vec<u8>, usize> = life_events.into_iter().map(|(account, told)| (account, told.len())).collect();
    assert_eq!(told.len(), ACCOUNTS);
    assert_eq!((told[&b"c0"[..]], told[&b"c1"[..]]), (3, 2), "two at their time, and one at once");
    // Every commit writes one message of state, progress included: none is longer than its share of accounts.
    let longest =
        topics.messages("rate-changelog", 0).iter().filter_map(|(_, value)| Some(value.as_ref()?.len())).max();
    assert!(longest.is_some_and(|longest| longest < 200 * SLICE), "{longest:?}");
}
