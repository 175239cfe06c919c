//! Bundles that reference data grant, on a real broker: bought when they are due, once whatever happens to the process, and drawn as `rater rate` draws them.

use crate::deployment::{Deployment, LEVELS, Running, write_file};
use crate::support::rater;
use runtime::service::tail::MessageReader;
use rust_decimal::Decimal;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::Duration;
use testkit::store::now;

const GRANTS: [&str; 4] = ["--grants", "buy", "--tick-every", "200 ms"];

/// All messages of an output as JSON.
fn shown(deployment: &Deployment, topic: &str) -> Vec<Value> {
    let mut reader = MessageReader::new(None);
    deployment.read(topic).iter().map(|message| reader.value(&message.value)).collect()
}

/// Ids of charges, and what each payer pays: which of the records find the bundle used up is a matter of their order.
fn sums(charges: &[Value]) -> (BTreeSet<&str>, BTreeMap<&str, Decimal>) {
    let mut sums: BTreeMap<&str, Decimal> = BTreeMap::new();
    for charge in charges {
        let amount: Decimal = charge["amount"].as_str().and_then(|amount| amount.parse().ok()).expect("an amount");
        *sums.entry(charge["payer_id"].as_str().expect("a payer")).or_default() += amount;
    }
    (charges.iter().filter_map(|charge| charge["charge_id"].as_str()).collect(), sums)
}

/// Ids of the commands that were answered, and the answers.
fn answers(deployment: &Deployment) -> Vec<(String, String)> {
    let replies = shown(deployment, "command-replies");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let mut all: Vec<_> = replies.iter().map(|reply| (text(&reply["command_id"]), text(&reply["outcome"]))).collect();
    all.sort();
    all
}

/// Records of the example, as of now.
fn records() -> Vec<Vec<u8>> {
    let text = include_str!("../../../../examples/first/usage.csv");
    let now = now();
    let record = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        let [id, service, quantity, _, imsi, mcc, mnc] = fields[..] else { panic!("{line}") };
        format!(
            r#"{{"id":"{id}","source":"example","service":"{service}","quantity":{quantity},"event_time":"{now}","imsi":"{imsi}","mcc":"{mcc}","mnc":"{mnc}"}}"#
        )
    };
    text.lines().skip(1).map(|line| record(line).into_bytes()).collect()
}

fn wait_for_reply(deployment: &Deployment, running: &mut Running) {
    deployment.wait_for("command-replies", 1, running);
    assert_eq!(answers(deployment), [("reference:acme:uk-5mb".to_owned(), "applied".to_owned())]);
}

#[test]
fn the_example_is_charged_as_in_files_and_its_bundle_is_bought_once() {
    let deployment = Deployment::new("grants");
    let records = records();
    write_file(
        deployment.folder.path(),
        "now.jsonl",
        &records.iter().map(|record| format!("{}\n", String::from_utf8_lossy(record))).collect::<String>(),
    );
    rater(deployment.folder.path(), &["rate", "now.jsonl", "--format", "jsonl", "-o", "files"]).expect(0);
    let in_files = std::fs::read_to_string(deployment.folder.path().join("files/charges.jsonl")).expect("charges");
    let in_files: Vec<Value> = in_files.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();

    let mut running = deployment.start(&GRANTS);
    wait_for_reply(&deployment, &mut running);
    // Nobody is there while the log goes on, and what was bought stays bought.
    running.kill();
    deployment.write("usage", &records);
    let mut running = deployment.start(&GRANTS);
    deployment.wait_for("charges", 3 * LEVELS, &mut running);
    deployment.wait_for("suspense", 1, &mut running);
    // It is late enough for some more ticks.
    thread::sleep(Duration::from_secs(2));
    running.stop();
    let charges = shown(&deployment, "charges");
    assert_eq!(sums(&charges), sums(&in_files));
    assert_eq!(sums(&charges).1["acme"].to_string(), "0.45");
    wait_for_reply(&deployment, &mut deployment.start(&GRANTS));
}

#[test]
fn what_becomes_due_later_and_what_is_granted_later_are_bought_then() {
    let deployment = Deployment::new("later");
    let reference = include_str!("../../../../examples/first/rating.yaml");
    let mut running = deployment.start(&GRANTS);
    wait_for_reply(&deployment, &mut running);
    running.kill();
    let now = now().millis();
    let (soon, far) = (rating::Timestamp::from_millis(now + 8_000), rating::Timestamp::from_millis(now + 86_400_000));
    let grants = format!("bundles: [uk-5mb, {{ bundle: day, at: {soon} }}, {{ bundle: far, at: {far} }}]");
    let bundles = "bundles:\n  day: { currency: GBP, elements: [{ service: data, amount: 1 MB }] }\n  far: { currency: GBP, elements: [{ service: data, amount: 1 MB }] }\n";
    let changed =
        reference.replace("bundles: [uk-5mb]", &grants).replace("bundles:\n  uk-5mb", &format!("{bundles}  uk-5mb"));
    write_file(deployment.folder.path(), "rating.yaml", &changed);
    let mut running = deployment.start(&GRANTS);
    deployment.wait_for("command-replies", 2, &mut running);
    thread::sleep(Duration::from_secs(1));
    running.stop();
    let answers = answers(&deployment);
    let bought: Vec<&str> = answers.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(bought.len(), 2, "{bought:?}");
    assert!(bought[0].starts_with("reference:acme:day") && bought[1] == "reference:acme:uk-5mb", "{bought:?}");
    assert!(answers.iter().all(|(_, outcome)| outcome == "applied"), "{answers:?}");
}

#[cfg(feature = "store")]
#[test]
fn plans_of_endpoints_in_a_store_are_bought_once_whatever_is_killed() {
    use crate::store::Chain;
    use testkit::services::Cassandra;

    let node: &'static Cassandra = Box::leak(Box::new(Cassandra::start().expect("a node")));
    let chain = Chain::new("plans", node);
    let own = "bundles: { own: { currency: GBP, scope: endpoint, elements: [{ service: data, amount: 1 MB }] } }";
    let plan = |meter: &str, imsi: u32| {
        format!("  {meter}: {{ customer: acme, imsi: 00101{imsi:010}, plan: {{ bundles: [own] }} }}\n")
    };
    let head = format!("format: rater/v1\n{own}\n");
    chain.apply(&format!("{head}endpoints:\n{}", plan("meter-1", 1)));
    let ids = |meters: &[&str]| -> Vec<(String, String)> {
        let id = |meter: &&str| (format!("reference:acme/{meter}:own:{meter}"), "applied".to_owned());
        meters.iter().map(id).collect()
    };
    // It would go through all of them again tomorrow.
    let options = [&GRANTS[..], &["--cycle-every", "24 h"]].concat();
    let mut running = chain.start(&options);
    chain.kafka.wait_for("command-replies", 1, &mut running);
    assert_eq!(answers(&chain.kafka), ids(&["meter-1"]));

    // A change is read as it comes, however long ago the last walk was.
    chain.apply(&format!("{head}endpoints:\n{}", plan("meter-2", 2)));
    chain.kafka.wait_for("command-replies", 2, &mut running);
    // One that comes while nobody is there is found by going through all.
    running.kill();
    chain.apply(&format!("{head}endpoints:\n{}", plan("meter-4", 4)));
    let mut running = chain.start(&options);
    chain.kafka.wait_for("command-replies", 3, &mut running);
    // The store is killed before the last one is due, and after it is synced to its disk; it comes once it answers again.
    let soon = rating::Timestamp::from_millis(now().millis() + 20_000);
    let due_soon = plan("meter-5", 5).replace("[own]", &format!("[{{ bundle: own, at: {soon} }}]"));
    chain.apply(&format!("{head}endpoints:\n{due_soon}"));
    thread::sleep(Duration::from_secs(12));
    node.kill().expect("killed");
    thread::sleep(Duration::from_secs(10));
    assert_eq!(answers(&chain.kafka).len(), 3);
    node.restart().expect("a node");
    chain.kafka.wait_for("command-replies", 4, &mut running);
    running.kill();
    let running = chain.start(&options);
    thread::sleep(Duration::from_secs(5));
    running.stop();
    assert_eq!(answers(&chain.kafka), ids(&["meter-1", "meter-2", "meter-4", "meter-5"]));
}

/// Ticks may be gone before cycle has read them, and their topic may be another one: later ticks say all that they said.
#[test]
fn ticks_that_are_gone_are_no_loss() {
    let deployment = Deployment::new("gone");
    let mut running = deployment.start(&GRANTS);
    wait_for_reply(&deployment, &mut running);
    running.stop();
    deployment.write("ticks", &[b"{\"tick\":\"2026-01-01T00:00:00Z\"}".to_vec()]);
    let ticks = deployment.topic("ticks");
    let end = i64::try_from(deployment.read("ticks").len()).expect("a number");
    deployment.kafka.delete_records(&ticks, 0, end).expect("deleted");
    let mut running = deployment.start(&GRANTS);
    deployment.write("usage", &records());
    deployment.wait_for("charges", 3 * LEVELS, &mut running);
    running.stop();
    deployment.kafka.delete_topic(&ticks).expect("deleted");
    deployment.topics("apply", &[]).expect(0);
    let running = deployment.start(&GRANTS);
    thread::sleep(Duration::from_secs(4));
    assert!(!running.said().contains("cycle\" worker=0}: starts over"), "{}", running.said());
    running.stop();
    assert_eq!(answers(&deployment).len(), 1);
}
