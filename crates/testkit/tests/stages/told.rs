//! What accounts are told of the directory: on a log as in files, once, in time for what falls due, and whether the store answers or not.

use super::memory::{Message, Roughness, Running, Topics, restore};
use super::{Expected, Horizon, Reference, SOURCE, assert_same, load};
use directory::Directory;
use directory::cache::{Cache, CacheSettings, Clock};
use runtime::service::tail::MessageReader;
use runtime::wire::RawBatch;
use runtime::worker::Stage;
use runtime::worker::log::Partition;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;
use testkit::generator::random::Random;
use testkit::histories::memory::{Definition, MemoryRows, Write as Writing};
use testkit::stages::{self, inbound};

/// More than are told with two commits (`SLICE` of cycle).
const CUSTOMERS: usize = 2_300;

fn tick(at: &str) -> Vec<u8> {
    format!("{{\"tick\":\"{at}\"}}").into_bytes()
}

fn message(line: &[u8]) -> Message {
    (None, Some(line.to_vec()))
}

fn suspend(account: &str, issued_by: &str, at: &str) -> Vec<u8> {
    format!(
        "{{\"command_id\":\"s-{account}\",\"kind\":\"suspend\",\"account_id\":\"{account}\",\"issued_by\":\"{issued_by}\",\
         \"effective_time\":\"{at}\"}}"
    )
    .into_bytes()
}

fn topics() -> Topics {
    let mut topics = Topics::default();
    for (topic, partitions) in [("usage", 1), ("ticks", 1), ("retries", 1), ("guided", 4), ("rate-changelog", 4)] {
        topics.create(topic, partitions);
    }
    for topic in ["guide-changelog", "cycle-changelog", "notifications", "suspense", "waiting", "command-replies"] {
        topics.create(topic, 1);
    }
    for topic in ["charges", "balance-deltas", "life-events"] {
        topics.create(topic, 2);
    }
    topics
}

/// Customers who are suspended for an hour, who move, and of whom nothing is said.
fn reference() -> String {
    let mut text = "
format: rater/v1
tariffs:
  retail: { currency: GBP, versions: [{ from: 2026-01-01T00:00:00Z, rates: [{ service: data, price: 0.10/MB }] }] }
accounts:
  northstar: { kind: operator, currency: GBP }
  east: { kind: reseller, parent: northstar, currency: GBP, tariff: retail }
  west: { kind: reseller, parent: northstar, currency: GBP }
"
    .to_owned();
    for number in 0..CUSTOMERS {
        let changes = match number % 3 {
            0 => {
                ", changes: [{ from: 2026-03-01T10:00:00Z, status: suspended }, { from: 2026-03-01T11:00:00Z, status: active }]"
            }
            1 => ", changes: [{ from: 2026-03-01T10:00:00Z, parent: west }]",
            _ => "",
        };
        let _ =
            writeln!(text, "  c{number}: {{ kind: customer, parent: east, currency: GBP, tariff: retail{changes} }}");
    }
    text
}

/// Some are suspended by command at the time of the change, some later; there is usage of before the change, that comes after it, and of after it.
fn lines() -> Vec<Vec<Vec<u8>>> {
    let few = || (0..CUSTOMERS).step_by(50);
    let usage = |account: usize, at: &str| {
        let record = serde_json::json!({ "id": format!("{at}-{account}"), "source": "pgw", "service": "data", "quantity": 1_000_000,
            "event_time": at, "account_id": format!("c{account}") });
        record.to_string().into_bytes()
    };
    let suspended = |account: usize| {
        let at = if account.is_multiple_of(100) { "2026-03-01T10:00:00Z" } else { "2026-03-01T12:00:00Z" };
        suspend(&format!("c{account}"), "northstar", at)
    };
    vec![
        vec![tick("2026-03-01T00:00:00Z")],
        few().map(suspended).collect(),
        vec![tick("2026-03-01T10:00:00Z")],
        few().map(|account| usage(account + 1, "2026-03-01T09:59:59.999Z")).collect(),
        few().map(|account| usage(account + 1, "2026-03-01T10:00:00Z")).collect(),
        vec![tick("2026-03-02T00:00:00Z")],
    ]
}

#[test]
fn accounts_are_told_once_when_it_begins_as_in_files() {
    let loaded = load(&reference());
    let all = lines();
    let mut expected = Reference::new(&loaded, Horizon::FAR);
    let learnt = expected.avro.learn_from(&loaded.snapshot).expect("learnt");
    expected.add(&learnt);
    let mut records = RawBatch::default();
    all.iter().flatten().zip(1..).for_each(|(line, place)| records.push(line, place));
    expected.process(&records, &[]);
    let Expected { life_events, charges, replies, .. } = expected.expected;
    for seed in [1, 2] {
        let (mut topics, mut random) = (topics(), Random::new(seed));
        let rough = Roughness { undone: 300, restored: 200, largest_batch: 500 };
        let mut guide = Running::new(stages::guide(None, 4, inbound(SOURCE), loaded.directory()), &topics);
        let mut cycle = Running::new(stages::cycle(4, loaded.directory()), &topics);
        let mut rate = Running::new(stages::rate(4, 1), &topics);
        for lines in &all {
            for line in lines {
                let topic = if line.starts_with(b"{\"tick\"") { "ticks" } else { "usage" };
                topics.append(topic, 0, message(line));
            }
            cycle.go_on(&mut topics, rough, &mut random);
            guide.go_on(&mut topics, rough, &mut random);
            rate.go_on(&mut topics, rough, &mut random);
        }
        assert_eq!(cycle.0.status().entries as usize, CUSTOMERS - CUSTOMERS / 3, "of a third nothing is said");
        assert_same("life-events", &topics.values_by_key("life-events"), &life_events);
        assert_same("charges", &topics.values_by_key("charges"), &charges);
        assert_same("command-replies", &topics.values_by_key("command-replies"), &replies);
    }
    let told = |account: &str| told_of(&life_events, account);
    let east = "northstar/east".to_owned();
    let at = |time: &str, status: &str, path: &str| (time.to_owned(), status.to_owned(), path.to_owned());
    assert_eq!(
        told("c3"),
        [at("2026-03-01T10:00:00Z", "suspended", &east), at("2026-03-01T11:00:00Z", "active", &east)]
    );
    // Suspended by command from the same instant on.
    assert_eq!(told("c0"), [at("2026-03-01T10:00:00Z", "suspended", &east)]);
    // Of a move nothing is told, but what is told after it names whom the account is below by then.
    assert_eq!(told("c100"), [at("2026-03-01T10:00:00Z", "suspended", "northstar/west")]);
    assert!(told("c1").is_empty() && told("c2").is_empty());
    assert_eq!(charged(&charges, "c1"), ["0.1", "0.1"]);
    assert_eq!(payees(&charges, "c1"), ["east", "west"], "a late record is charged by whom it belongs to");
}

fn values(messages: &BTreeMap<Vec<u8>, Vec<Vec<u8>>>, account: &str) -> Vec<serde_json::Value> {
    let mut reader = MessageReader::new(None);
    messages.get(account.as_bytes()).into_iter().flatten().map(|message| reader.value(message)).collect()
}

fn field(value: &serde_json::Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}

/// When what was told of an account begins, its status, and the names above it.
fn told_of(life_events: &BTreeMap<Vec<u8>, Vec<Vec<u8>>>, account: &str) -> Vec<(String, String, String)> {
    let told = |value: &serde_json::Value| {
        assert_eq!(field(value, "kind"), "account_status");
        (field(value, "effective_time"), field(value, "state"), field(value, "ancestors"))
    };
    values(life_events, account).iter().map(told).collect()
}

fn charged(charges: &BTreeMap<Vec<u8>, Vec<Vec<u8>>>, account: &str) -> Vec<String> {
    values(charges, account).iter().map(|value| field(value, "amount")).collect()
}

fn payees(charges: &BTreeMap<Vec<u8>, Vec<Vec<u8>>>, account: &str) -> Vec<String> {
    values(charges, account).iter().map(|value| field(value, "payee_id")).collect()
}

/// Endpoints of a store with accounts of their own.
const ENDPOINTS: usize = 1_300;

fn catalog(changes_of_c1: &str, changes_of_c2: &str) -> String {
    format!(
        "
format: rater/v1
accounts:
  northstar: {{ kind: operator, currency: GBP }}
  east: {{ kind: reseller, parent: northstar, currency: GBP }}
  west: {{ kind: reseller, parent: northstar, currency: GBP }}
  c1: {{ kind: customer, parent: east, currency: GBP, changes: [{changes_of_c1}] }}
  c2: {{ kind: customer, parent: east, currency: GBP, changes: [{changes_of_c2}] }}
"
    )
    .replace(", changes: []", "")
}

#[test]
fn a_move_and_a_closing_in_the_store_reach_the_accounts_below_without_any_usage() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    for seed in [1, 2] {
        let rows = MemoryRows::default();
        let write = |catalog: Option<String>, endpoints: Vec<(String, String)>| {
            let written = |(name, text)| (name, Some(Definition { text, identities: Default::default() }));
            rows.commit(&Writing { catalog, endpoints: endpoints.into_iter().map(written).collect() })
        };
        let plan = |number: usize| (format!("e{number}"), "{ customer: c1, plan: { mode: postpaid } }".to_owned());
        write(Some(catalog("", "")), (0..ENDPOINTS).map(plan).collect());
        let settings = CacheSettings { poll: Duration::from_millis(1), ..CacheSettings::default() };
        let opened = Cache::open(rows.clone(), settings, Clock::monotonic(), |_| {});
        let cache = Arc::new(runtime.block_on(opened).expect("a cache").0);
        let is_seen = |version| {
            while cache.stats().version != version {
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        let (mut topics, mut random) = (topics(), Random::new(seed));
        let rough = Roughness { undone: 200, restored: 5, largest_batch: 300 };
        let directory: Arc<dyn Directory> = cache.clone();
        let mut guide = Running::new(stages::guide(None, 4, inbound(SOURCE), directory.clone()), &topics);
        let mut cycle = Running::new(stages::cycle(4, directory.clone()), &topics);
        let mut rate = Running::new(stages::rate(4, 1), &topics);
        let go_on = |topics: &mut Topics, cycle: &mut Running<_>, rate: &mut Running<_>, random: &mut Random| {
            cycle.go_on(topics, rough, random);
            rate.go_on(topics, Roughness { restored: 100, ..rough }, random);
        };
        topics.append("ticks", 0, message(&tick("2026-03-01T00:00:00Z")));
        guide.go_on(&mut topics, rough, &mut random);
        (0..ENDPOINTS).for_each(|number| {
            let command = suspend(&format!("c1/e{number}"), "c1", "2026-03-01T10:00:00Z");
            topics.append("usage", 0, message(&command));
        });
        guide.go_on(&mut topics, rough, &mut random);
        go_on(&mut topics, &mut cycle, &mut rate, &mut random);
        assert_eq!(cycle.0.status().entries, 0, "nothing is to be told");

        // What falls due at 10 is told with the names of then, although nobody asks about these accounts, and the store is away for a while.
        let moved = "{ from: 2026-03-01T05:00:00Z, parent: west }";
        is_seen(write(Some(catalog(moved, "")), Vec::new()));
        rows.set_down(true);
        topics.append("ticks", 0, message(&tick("2026-03-01T01:00:00Z")));
        go_on(&mut topics, &mut cycle, &mut rate, &mut random);
        rows.set_down(false);
        for _ in 0..10 {
            std::thread::sleep(Duration::from_millis(20));
            topics.append("ticks", 0, message(&tick("2026-03-01T02:00:00Z")));
            go_on(&mut topics, &mut cycle, &mut rate, &mut random);
        }
        assert_eq!(cycle.0.status().entries as usize, 1 + ENDPOINTS, "the customer and all below it");
        topics.append("ticks", 0, message(&tick("2026-03-01T12:00:00Z")));
        guide.go_on(&mut topics, rough, &mut random);
        rate.go_on(&mut topics, rough, &mut random);

        // A closing that is written when it has begun; and an endpoint that goes to a customer who moves later, by the log of changes alone.
        let closed = "{ from: 2026-03-01T03:00:00Z, status: closed }";
        write(Some(catalog(moved, closed)), Vec::new());
        let endpoint =
            "{ customer: c1, plan: { mode: postpaid }, changes: [{ from: 2026-03-01T13:00:00Z, customer: c2 }] }";
        is_seen(write(None, vec![("e7".to_owned(), endpoint.to_owned())]));
        for _ in 0..3 {
            topics.append("ticks", 0, message(&tick("2026-03-01T12:00:00Z")));
            let partition = Partition { topic: 0, number: 0 };
            let position = cycle.1[&partition];
            cycle.0 = stages::cycle(4, directory.clone());
            restore(&mut cycle.0, &topics, partition, &mut random, Some(position));
            go_on(&mut topics, &mut cycle, &mut rate, &mut random);
        }
        topics.append("ticks", 0, message(&tick("2026-03-02T00:00:00Z")));
        guide.go_on(&mut topics, rough, &mut random);
        go_on(&mut topics, &mut cycle, &mut rate, &mut random);
        let life_events = topics.values_by_key("life-events");
        let at = |time: &str, status: &str, path: &str| vec![(time.to_owned(), status.to_owned(), path.to_owned())];
        for number in 0..ENDPOINTS {
            let told = told_of(&life_events, &format!("c1/e{number}"));
            assert_eq!(told, at("2026-03-01T10:00:00Z", "suspended", "northstar/west/c1"), "{number}");
        }
        assert_eq!(told_of(&life_events, "c2"), at("2026-03-01T03:00:00Z", "closed", "northstar/east"));
        assert_eq!(life_events.len(), ENDPOINTS + 1);
        // With c2, and c2/e7, of which one thing is said; of c1/e7 the same as before.
        assert_eq!(cycle.0.status().entries as usize, 2 + ENDPOINTS);
    }
}
