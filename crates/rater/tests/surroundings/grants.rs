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
