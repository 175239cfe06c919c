//! An account holds as much as is bought for it: its state consists of rows, and no row outgrows a message. The same on a log and in files.

use super::memory::{Roughness, Running, Topics};
use super::{Horizon, SOURCE, load, rate_lines};
use rating::account::MAX_STATUSES;
use std::collections::BTreeMap;
use std::fmt::Write;
use testkit::generator::random::Random;
use testkit::stages::{self, inbound};

const COMMANDS: usize = 100_000;
/// Messages are closed at a megabyte, behind the row that reaches it.
const LONGEST_BYTES: usize = 1_300_000;

fn reference() -> String {
    let mut networks = String::new();
    for number in 0..600 {
        let _ = write!(networks, "\"{:03}-{:02}\", ", 200 + number / 100, number % 100);
    }
    format!(
        "
format: rater/v1
zones:
  wide: {{ networks: [{networks}] }}
tariffs:
  retail: {{ currency: GBP, versions: [{{ from: 2026-01-01T00:00:00Z, rates: [{{ service: data, price: 0.10/MB }}] }}] }}
bundles:
  small: {{ price: 0.01 GBP, elements: [{{ service: data, amount: 5 MB }}] }}
  large: {{ price: 0.01 GBP, elements: [{{ service: data, amount: 5 MB, zone: wide }}] }}
  own: {{ price: 0.01 GBP, scope: endpoint, elements: [{{ service: data, amount: 5 MB }}] }}
accounts:
  northstar: {{ kind: operator, currency: GBP }}
  many: {{ kind: customer, parent: northstar, currency: GBP, tariff: retail }}
  long: {{ kind: customer, parent: northstar, currency: GBP, tariff: retail }}
  wide: {{ kind: customer, parent: northstar, currency: GBP, tariff: retail }}
  endpoint: {{ kind: customer, parent: northstar, currency: GBP, tariff: retail }}
  steered: {{ kind: customer, parent: northstar, currency: GBP, tariff: retail }}
endpoints:
  meter-1: {{ customer: endpoint }}
"
    )
}

fn command(account: &str, kind: &str, id: &str, at_ms: i64, more: &str) -> Vec<u8> {
    let at = jiff::Timestamp::from_millisecond(at_ms).expect("a time");
    format!(
        "{{\"command_id\":\"{id}\",\"kind\":\"{kind}\",\"account_id\":\"{account}\",\"issued_by\":\"northstar\",\
         \"effective_time\":\"{at}\"{more}}}"
    )
    .into_bytes()
}

/// Who gets how many commands: purchases of a bundle under ids of a length, or suspensions.
fn commands() -> Vec<Vec<u8>> {
    let first = 1_772_323_200_000;
    let mut lines: Vec<Vec<u8>> = (0..COMMANDS)
        .map(|number| {
            let at = first + number as i64;
            let long = format!("c{number}-{}", "x".repeat(230));
            match number % 10 {
                0..3 => command("many", "buy_bundle", &format!("c{number}"), at, ",\"bundle_id\":\"small\""),
                3..5 => command("long", "buy_bundle", &long, at, ",\"bundle_id\":\"small\""),
                5 => command("wide", "buy_bundle", &format!("c{number}"), at, ",\"bundle_id\":\"large\""),
                6..8 => {
                    command("endpoint", "buy_bundle", &long, at, ",\"bundle_id\":\"own\",\"endpoint_id\":\"meter-1\"")
                }
                8 => command("steered", "suspend", &format!("c{number}"), at, ""),
                _ => command("steered", "activate", &format!("c{number}"), at, ""),
            }
        })
        .collect();
    // What holds much can be suspended and is charged.
    for account in ["many", "long", "wide"] {
        let at = first + COMMANDS as i64;
        lines.push(command(account, "suspend", &format!("s-{account}"), at, ""));
        lines.push(command(account, "top_up", &format!("t-{account}"), at, ",\"amount\":\"5.00\""));
    }
    lines
}

#[test]
fn a_hundred_thousand_commands_are_applied_and_no_message_is_too_long() {
    let loaded = load(&reference());
    let mut topics = Topics::default();
    for topic in
        ["usage", "ticks", "retries", "guide-changelog", "guided", "rate-changelog", "charges", "balance-deltas"]
            .into_iter()
            .chain(["notifications", "suspense", "waiting", "command-replies", "life-events"])
    {
        topics.create(topic, 1);
    }
    let lines = commands();
    for line in &lines {
        topics.append("usage", 0, (None, Some(line.clone())));
    }
    let mut random = Random::new(11);
    let smooth = Roughness { undone: 0, restored: 0, largest_batch: 20_000 };
    let mut guide = Running::new(stages::guide(None, 1, inbound(SOURCE), loaded.directory()), &topics);
    guide.go_on(&mut topics, smooth, &mut random);
    let mut rate = Running::new(stages::rate(1, 1), &topics);
    rate.go_on(&mut topics, Roughness { undone: 100, restored: 100, largest_batch: 20 }, &mut random);

    let longest =
        topics.messages("rate-changelog", 0).iter().map(|(_, value)| value.as_ref().map_or(0, Vec::len)).max();
    let longest = longest.expect("a changelog");
    assert!(longest < LONGEST_BYTES, "longest message: {longest}");

    let mut answers: BTreeMap<String, [usize; 2]> = BTreeMap::new();
    for (account, replies) in topics.values_by_key("command-replies") {
        let counts = answers.entry(String::from_utf8(account).expect("text")).or_default();
        for reply in replies {
            counts[usize::from(reply.windows(12).any(|part| part == b"account_full"))] += 1;
        }
    }
    let all: usize = answers.values().flatten().sum();
    assert_eq!(all, lines.len(), "each command has its reply");
    for (account, purchases) in [("many", 30_000), ("long", 20_000), ("wide", 10_000)] {
        assert_eq!(answers[account], [purchases + 2, 0], "{account}");
    }
    assert_eq!(answers["endpoint"], [20_000, 0]);
    assert_eq!(answers["steered"], [MAX_STATUSES, 20_000 - MAX_STATUSES]);

    let expected = rate_lines(&loaded, Horizon::FAR, &lines);
    for (topic, expected) in [("charges", expected.charges), ("balance-deltas", expected.deltas)] {
        assert!(topics.values_by_key(topic) == expected, "{topic} differ");
    }
}
