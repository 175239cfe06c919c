//! Cycle goes on from what an earlier version wrote: what that one bought is not bought again, and what it told is not told again.

use super::memory::Topics;
use super::stages::{Running, read_sample, write_sample};
use directory::{Input, InputKind, Loaded, load};
use runtime::service::tail::MessageReader;
use runtime::stages::{GuidedEntry, read_guided};
use testkit::generator::random::Random;
use testkit::samples::{Freeze, freeze};
use testkit::stages::{cycle, guide, inbound, rate};

/// What the sample holds.
const SAMPLE: [(&str, u32); 3] = [("ticks", 1), ("cycle-changelog", 1), ("guided", 4)];
/// Everything else that cycle and rate write.
const REST: [(&str, u32); 8] = [
    ("rate-changelog", 4),
    ("charges", 1),
    ("balance-deltas", 1),
    ("notifications", 1),
    ("suspense", 1),
    ("waiting", 1),
    ("command-replies", 1),
    ("life-events", 1),
];

/// What the sample of what was told holds: cycle's side and that of the accounts.
const TOLD: [(&str, u32); 4] = [("ticks", 1), ("cycle-changelog", 1), ("guided", 4), ("rate-changelog", 4)];

fn reference(grants: &str) -> Loaded {
    let text = format!(
        "format: rater/v1
bundles:
  pack: {{ currency: GBP, elements: [{{ service: data, amount: 5 MB }}] }}
  own: {{ currency: GBP, scope: endpoint, elements: [{{ service: data, amount: 1 MB }}] }}
accounts:
  northstar: {{ kind: operator, currency: GBP }}
  acme: {{ kind: customer, parent: northstar, currency: GBP, bundles: [{grants}] }}
endpoints:
  meter-1: {{ customer: acme, plan: {{ bundles: [own] }} }}
"
    );
    read(text)
}

/// An account that moves and is suspended for a while, and one of an endpoint below it.
fn reference_over_time(last: &str) -> Loaded {
    read(format!(
        "format: rater/v1
accounts:
  northstar: {{ kind: operator, currency: GBP }}
  east: {{ kind: reseller, parent: northstar, currency: GBP }}
  acme: {{ kind: customer, parent: northstar, currency: GBP, changes: [{{ from: 2026-03-03T00:00:00Z, parent: east, status: suspended }}, {last}] }}
endpoints:
  meter-1: {{ customer: acme, plan: {{ mode: postpaid }} }}
"
    ))
}

fn read(text: String) -> Loaded {
    let input = Input { name: "cycle.yaml".to_owned(), bytes: text.into_bytes(), kind: InputKind::Yaml };
    load(vec![input]).unwrap_or_else(|refused| panic!("{refused}"))
}

fn empty() -> Topics {
    let mut topics = Topics::default();
    SAMPLE.iter().chain(&REST).for_each(|(topic, partitions)| topics.create(topic, *partitions));
    topics
}

fn tick(topics: &mut Topics, loaded: &Loaded, at: &str) {
    let mut cycle = Running::new(cycle(4, loaded.directory()), topics);
    topics.append("ticks", 0, (None, Some(format!("{{\"tick\":\"{at}\"}}").into_bytes())));
    cycle.go_on(topics, &mut Random::new(1));
}

#[test]
fn cycle_goes_on_from_what_its_first_generation_wrote() {
    if freeze() == Freeze::Samples {
        let mut topics = empty();
        tick(&mut topics, &reference("pack"), "2026-03-02T00:00:00Z");
        write_sample("cycle", &SAMPLE, &topics);
    }
    let mut topics = read_sample("cycle", &SAMPLE, empty());
    let later = "pack, { bundle: own, endpoint: meter-1, at: 2026-03-01T00:00:00Z }";
    for at in ["2026-03-02T00:00:01Z", "2026-03-02T00:00:02Z"] {
        tick(&mut topics, &reference(later), at);
    }
    Running::new(rate(4, 1), &topics).go_on(&mut topics, &mut Random::new(1));
    let mut reader = MessageReader::new(None);
    let replies = topics.messages("command-replies", 0).iter();
    let mut applied: Vec<String> = replies
        .map(|(_, value)| {
            let reply = reader.value(value.as_deref().unwrap_or_default());
            format!("{} {}", reply["command_id"].as_str().unwrap_or("-"), reply["outcome"].as_str().unwrap_or("-"))
        })
        .collect();
    applied.sort();
    assert_eq!(
        applied,
        [
            "reference:acme/meter-1:own:meter-1 applied",
            "reference:acme:own:meter-1 applied",
            "reference:acme:pack applied"
        ]
    );
}

/// What accounts were told, in the messages to their owners.
fn told(topics: &Topics) -> Vec<String> {
    let messages = (0..4).flat_map(|partition| topics.messages("guided", partition));
    let entries = messages.flat_map(|(_, value)| {
        let value = value.as_deref().unwrap_or_default();
        read_guided(value).unwrap_or_else(|corrupt| panic!("{corrupt}")).entries
    });
    let told = |entry| match entry {
        GuidedEntry::Change(timeline) => Some(timeline.account.to_string()),
        GuidedEntry::Legs { .. } | GuidedEntry::Command { .. } | GuidedEntry::Tick(_) => None,
    };
    let mut told: Vec<String> = entries.filter_map(told).collect();
    told.sort();
    told
}

#[test]
fn accounts_go_on_from_what_the_first_generation_told_them() {
    let active = "{ from: 2026-03-04T00:00:00Z, status: active }";
    let all = || {
        let mut topics = empty();
        ["usage", "retries", "guide-changelog"].into_iter().for_each(|topic| topics.create(topic, 1));
        topics
    };
    if freeze() == Freeze::Samples {
        let mut topics = all();
        tick(&mut topics, &reference_over_time(active), "2026-03-02T00:00:00Z");
        Running::new(rate(4, 1), &topics).go_on(&mut topics, &mut Random::new(1));
        write_sample("told", &TOLD, &topics);
    }
    let mut topics = read_sample("told", &TOLD, all());
    tick(&mut topics, &reference_over_time(active), "2026-03-02T00:00:01Z");
    assert_eq!(told(&topics), ["acme", "acme/meter-1"], "nothing is told again");
    let closed = reference_over_time("{ from: 2026-03-04T00:00:00Z, status: closed }");
    tick(&mut topics, &closed, "2026-03-05T00:00:00Z");
    assert_eq!(told(&topics), ["acme", "acme", "acme/meter-1"]);
    let mut guide = Running::new(guide(None, 4, inbound("file"), closed.directory()), &topics);
    guide.go_on(&mut topics, &mut Random::new(1));
    Running::new(rate(4, 1), &topics).go_on(&mut topics, &mut Random::new(1));
    let mut reader = MessageReader::new(None);
    let events = topics.messages("life-events", 0).iter().map(|(_, value)| {
        let event = reader.value(value.as_deref().unwrap_or_default());
        let text = |name: &str| event[name].as_str().unwrap_or("-").to_owned();
        [text("account_id"), text("state"), text("effective_time"), text("ancestors")].join(" ")
    });
    assert_eq!(
        events.collect::<Vec<_>>(),
        ["acme suspended 2026-03-03T00:00:00Z northstar/east", "acme closed 2026-03-04T00:00:00Z northstar/east"]
    );
}
