//! `rater run` with its directory in a store: what changes while records stream, and a store that is away.
#![cfg(feature = "store")]

use crate::deployment::{Deployment, Running, write_file};
use crate::shown;
use crate::support::{Ran, rater};
use serde_json::Value;
use std::collections::BTreeMap;
use testkit::services::{Cassandra, Kafka};

pub(crate) const REFERENCE: &str = "\
format: rater/v1
tariffs:
  retail: { currency: GBP, versions: [{ from: 2026-01-01T00:00:00Z, rates: [{ service: data, price: 0.20/MB }] }] }
  plus: { alias_of: retail, markup: { data: 0.05/MB } }
accounts:
  northstar: { kind: operator, currency: GBP }
  beta: { kind: reseller, parent: northstar, currency: GBP, tariff: retail }
  gamma: { kind: reseller, parent: northstar, currency: GBP, tariff: retail }
  acme: { kind: customer, parent: beta, currency: GBP, tariff: plus }
  zeta: { kind: customer, parent: beta, currency: GBP, tariff: plus }
endpoints:
  meter-1: { customer: acme, imsi: 001010000000001 }
  meter-2: { customer: acme, imsi: 001010000000002 }
";

/// From noon on: acme has moved to gamma, the second SIM is in another meter, and data costs twice as much.
const CHANGES: &str = "\
format: rater/v1
tariffs:
  retail:
    currency: GBP
    versions:
      - { from: 2026-01-01T00:00:00Z, rates: [{ service: data, price: 0.20/MB }] }
      - { from: 2026-05-01T12:00:00Z, rates: [{ service: data, price: 0.40/MB }] }
accounts:
  acme: { kind: customer, parent: beta, currency: GBP, tariff: plus, changes: [{ from: 2026-05-01T12:00:00Z, parent: gamma }] }
endpoints:
  meter-2: { customer: acme, imsi: 001010000000002, changes: [{ from: 2026-05-01T12:00:00Z, imsi: ~ }] }
  meter-3: { customer: zeta, msisdn: 447700900003, changes: [{ from: 2026-05-01T12:00:00Z, imsi: 001010000000002 }] }
";

pub(crate) const BEFORE: &str = "2026-05-01T11:59:59Z";
const AFTER: &str = "2026-05-01T12:00:00Z";

/// A deployment whose directory stands in a keyspace of its own.
pub(crate) struct Chain {
    pub(crate) kafka: Deployment,
    pub(crate) node: String,
    pub(crate) keyspace: String,
}

impl Chain {
    pub(crate) fn new(name: &str, cassandra: &Cassandra) -> Chain {
        let kafka = Deployment::on(Kafka::shared().expect("a broker"), name);
        write_file(kafka.folder.path(), "rating.yaml", REFERENCE);
        let keyspace = format!("chain_{}_{}", name.replace('-', "_"), std::process::id());
        let chain = Chain { kafka, node: cassandra.address().to_owned(), keyspace };
        chain.directory(&["migrate", "--store-replication", "1"]).expect(0);
        chain.directory(&["load", "rating.yaml"]).expect(0);
        chain
    }

    pub(crate) fn store(&self) -> [&str; 6] {
        ["--store-nodes", &self.node, "--store-keyspace", &self.keyspace, "--store-timeout", "2 s"]
    }

    pub(crate) fn directory(&self, arguments: &[&str]) -> Ran {
        rater(self.kafka.folder.path(), &[&["directory"][..], arguments, &self.store()].concat())
    }

    pub(crate) fn apply(&self, yaml: &str) {
        write_file(self.kafka.folder.path(), "change.yaml", yaml);
        self.directory(&["apply", "change.yaml", "--yes"]).expect(0);
    }

    pub(crate) fn start(&self, more: &[&str]) -> Running {
        self.kafka.start(&[&["--directory", "store"][..], &self.store(), more].concat())
    }

    pub(crate) fn write(&self, id: &str, imsi: u32, at: &str) {
        let record = format!(
            r#"{{"id":"{id}","source":"test","service":"data","quantity":1000000,"event_time":"{at}","imsi":"00101{imsi:010}"}}"#
        );
        self.kafka.write("usage", &[record.into_bytes()]);
    }

    /// It is this late, in every partition, once what was written before is processed.
    pub(crate) fn tick(&self, at: &str) {
        let tick = format!("{{\"tick\":\"{at}\"}}").into_bytes();
        self.kafka.write("ticks", &[tick]);
    }

    /// Who paid whom how much, lowest level first, for each record.
    pub(crate) fn charged(&self) -> BTreeMap<String, Vec<String>> {
        let topic = self.kafka.topic("charges");
        let arguments = ["tail", &topic, "--last", "all", "--kafka-brokers", self.kafka.kafka.bootstrap()];
        let mut found: BTreeMap<String, BTreeMap<i64, String>> = BTreeMap::new();
        for line in rater(self.kafka.folder.path(), &arguments).expect(0).stdout.lines() {
            let charge: Value = serde_json::from_str(line).expect("JSON");
            let text = |name: &str| charge["value"][name].as_str().unwrap_or_else(|| panic!("{line}")).to_owned();
            let amount = text("amount");
            let amount = amount.trim_end_matches('0');
            let shown = format!("{} -> {} {amount}", text("payer_id"), text("payee_id"));
            let level = charge["value"]["level"].as_i64().expect("a level");
            let twice = found.entry(text("usage_id")).or_default().insert(level, shown);
            assert!(twice.is_none(), "charged twice: {line}");
        }
        found.into_iter().map(|(id, levels)| (id, levels.into_values().collect())).collect()
    }

    #[track_caller]
    pub(crate) fn wait_for_charges(&self, count: usize, running: &mut Running) {
        self.kafka.wait_for("charges", count, running);
    }
}

#[test]
fn what_changes_while_records_stream_is_charged_as_of_the_event_time() {
    let chain = Chain::new("streams", Cassandra::shared().expect("a node"));
    let store = [&["--directory", "store", "--directory-preload", "imsi"][..], &chain.store()].concat();
    let (mut running, address) = shown::start(&chain.kafka, &store);
    running.wait_for_words("2 keys of endpoints were read ahead in");
    for number in 0..20 {
        chain.write(&format!("early-{number}"), 1 + number % 2, BEFORE);
    }
    chain.wait_for_charges(20, &mut running);
    let page = shown::wait_for_page(&address, "/metrics", "rater_directory_cache_entries 2\n");
    assert!(page.contains("rater_directory_lookups_total{result=\"miss\"} 0\n"), "{page}");
    chain.apply(CHANGES);
    running.wait_for_words("version 2 is served");
    for number in 0..40 {
        let (name, at) = if number % 4 < 2 { ("before", BEFORE) } else { ("after", AFTER) };
        chain.write(&format!("{name}-{number}"), 1 + number % 2, at);
    }
    // Nobody yet; it turns up, and is charged by itself.
    chain.tick("2026-05-01T12:00:10Z");
    chain.wait_for_charges(2 * 60, &mut running);
    chain.write("stranger", 9, AFTER);
    chain.kafka.wait_for("suspense", 1, &mut running);
    chain.apply("format: rater/v1\nendpoints: { meter-9: { customer: zeta, imsi: 001010000000009 } }\n");
    running.wait_for_words("version 3 is served");
    // What is known not to be there is known for 2 s.
    std::thread::sleep(std::time::Duration::from_secs(2));
    chain.tick("2026-05-01T12:00:30Z");
    chain.wait_for_charges(2 * 61, &mut running);
    running.stop();

    let charged = chain.charged();
    assert_eq!(charged.len(), 61);
    let before = ["acme -> beta 0.25", "beta -> northstar 0.2"];
    let moved = ["acme -> gamma 0.45", "gamma -> northstar 0.4"];
    let other_meter = ["zeta -> beta 0.45", "beta -> northstar 0.4"];
    for (id, found) in &charged {
        let number = id.rsplit('-').next().and_then(|number| number.parse::<u32>().ok());
        let expected = match (id.starts_with("after"), number) {
            (true, Some(number)) if number % 2 == 0 => &moved,
            (true, Some(_)) | (false, None) => &other_meter,
            (true, None) | (false, Some(_)) => &before,
        };
        assert_eq!(found, expected, "{id}");
    }
}

/// Records that need what only the store knows wait with it; nothing is unknown, nothing is lost, and nobody has to start anything again.
#[test]
fn a_store_that_is_away_is_waited_for() {
    let cassandra = Cassandra::start().expect("a node");
    let chain = Chain::new("away", &cassandra);
    let endpoints: String =
        (10..30).map(|number| format!("  meter-{number}: {{ customer: acme, imsi: 00101{number:010} }}\n")).collect();
    chain.apply(&format!("format: rater/v1\nendpoints:\n{endpoints}"));
    let mut running = chain.start(&["--directory-lead", "5 s"]);
    chain.write("warm", 10, BEFORE);
    chain.wait_for_charges(2, &mut running);

    // Within the lead time what is at hand is served, and what is not is waited for.
    cassandra.pause().expect("paused");
    chain.write("at-hand", 10, BEFORE);
    chain.wait_for_charges(4, &mut running);
    for number in 11..16 {
        chain.write(&format!("away-{number}"), number, BEFORE);
    }
    running.wait_for_words("does not confirm");
    // Beyond it nothing is: it may have changed.
    std::thread::sleep(std::time::Duration::from_secs(6));
    chain.write("too-long", 10, BEFORE);
    std::thread::sleep(std::time::Duration::from_secs(20));
    assert_eq!(chain.kafka.read("charges").len(), 4);
    cassandra.resume().expect("resumed");
    chain.wait_for_charges(4 + 2 * 6, &mut running);
    running.wait_for_words("confirms again");

    // Killed in the middle, and started again.
    cassandra.kill().expect("killed");
    for number in 16..20 {
        chain.write(&format!("killed-{number}"), number, BEFORE);
    }
    std::thread::sleep(std::time::Duration::from_secs(3));
    cassandra.restart().expect("restarted");
    chain.wait_for_charges(16 + 2 * 4, &mut running);
    running.stop();
    assert!(chain.kafka.read("suspense").is_empty());
    assert!(chain.charged().values().all(|levels| *levels == ["acme -> beta 0.25", "beta -> northstar 0.2"]));

    // Away for longer than it is patient, the program ends, loudly, with a code of its own.
    let running = chain.start(&["--directory-lead", "1 s", "--attempts", "3"]);
    cassandra.pause().expect("paused");
    chain.write("at-the-end", 20, BEFORE);
    let said = running.expect(3);
    cassandra.resume().expect("resumed");
    assert!(said.contains("store"), "{said}");
    let mut running = chain.start(&[]);
    chain.wait_for_charges(26, &mut running);
    running.stop();
}

/// The same files rated with the directory in files and in a store: the same charges, but for the version that they name.
#[test]
fn files_are_rated_by_a_store_as_by_files() {
    let chain = Chain::new("embedded", Cassandra::shared().expect("a node"));
    let folder = chain.kafka.folder.path();
    let records: String = (0..2000)
        .map(|number| {
            let at = if number % 3 == 0 { AFTER } else { BEFORE };
            format!(
                "{{\"id\":\"r{number}\",\"service\":\"data\",\"quantity\":{},\"event_time\":\"{at}\",\"imsi\":\"00101{:010}\"}}\n",
                number * 1000,
                1 + number % 3
            )
        })
        .collect();
    write_file(folder, "usage.jsonl", &records);
    let store = [&["--directory", "store"][..], &chain.store()].concat();
    rater(folder, &["rate", "usage.jsonl", "-o", "by-files"]).expect(0);
    rater(folder, &[&["rate", "usage.jsonl", "-o", "by-store"][..], &store].concat()).expect(0);
    let ahead = [&["rate", "usage.jsonl", "-o", "ahead", "--directory-preload", "imsi,name"][..], &store].concat();
    rater(folder, &ahead).expect(0);
    let read = |name: &str, file: &str| {
        let text = std::fs::read_to_string(folder.join(name).join(file)).expect("an output");
        let without_version = |line: &str| {
            let mut value: Value = serde_json::from_str(line).expect("JSON");
            value.as_object_mut().expect("an object").remove("directory_version");
            value
        };
        text.lines().map(without_version).collect::<Vec<Value>>()
    };
    for file in ["charges.jsonl", "balance-deltas.jsonl", "suspense.jsonl"] {
        let (files, store) = (read("by-files", file), read("by-store", file));
        assert!(!files.is_empty() && files == store, "{file}: {} and {}", files.len(), store.len());
        assert_eq!(store, read("ahead", file), "{file}, read ahead");
    }
}
