//! What the directory in a store says of accounts reaches them without any usage: a move of those above, a closing and a grant, once whatever is killed.
#![cfg(feature = "store")]

use crate::deployment::Running;
use crate::store::Chain;
use rating::Timestamp;
use runtime::service::tail::MessageReader;
use serde_json::Value;
use std::thread;
use std::time::Duration;
use testkit::services::Cassandra;
use testkit::store::now;

/// It would go through all endpoints again tomorrow.
const OPTIONS: [&str; 6] = ["--grants", "buy", "--tick-every", "200 ms", "--cycle-every", "24 h"];

/// What was told of accounts, in the order in which it began.
fn told(chain: &Chain) -> Vec<String> {
    let mut reader = MessageReader::new(None);
    let mut all: Vec<Value> =
        chain.kafka.read("life-events").iter().map(|message| reader.value(&message.value)).collect();
    all.retain(|event| event["kind"] == "account_status");
    all.sort_by_key(|event| event["effective_time"].to_string());
    let text = |event: &Value, name: &str| event[name].as_str().unwrap_or("-").to_owned();
    all.iter().map(|event| ["account_id", "state", "ancestors"].map(|name| text(event, name)).join(" ")).collect()
}

fn after(ms: i64) -> Timestamp {
    Timestamp::from_millis(now().millis() + ms)
}

fn wait_for_told(chain: &Chain, count: usize, running: &mut Running) {
    chain.kafka.wait_for("life-events", count, running);
}

#[test]
fn a_move_a_closing_and_a_grant_in_the_store_reach_accounts_without_usage_once_whatever_is_killed() {
    let node: &'static Cassandra = Box::leak(Box::new(Cassandra::start().expect("a node")));
    let chain = Chain::new("told", node);
    chain.apply("format: rater/v1\nendpoints:\n  meter-1: { customer: acme, imsi: 001010000000001, plan: { tariff: retail } }\n");
    let mut running = chain.start(&OPTIONS);
    // Charged once before anything is said, so that everybody keeps time.
    let before = now();
    chain.write("before", 1, &before.to_string());
    chain.wait_for_charges(3, &mut running);

    // Work that falls due after a move that nobody has heard of when it is commanded.
    let (moves, suspended) = (after(25_000), after(40_000));
    let command = format!(
        r#"{{"command_id":"s","kind":"suspend","account_id":"acme/meter-1","issued_by":"acme","effective_time":"{suspended}"}}"#
    );
    chain.kafka.write("account-commands", &[command.into_bytes()]);
    chain.kafka.wait_for("command-replies", 1, &mut running);
    let acme = |changes: &str, more: &str| {
        format!(
            "format: rater/v1\naccounts:\n  acme: {{ kind: customer, parent: beta, currency: GBP, tariff: plus{more}, changes: [{changes}] }}\n"
        )
    };
    let moved = format!("{{ from: {moves}, parent: gamma }}");
    chain.apply(&acme(&moved, ""));
    // Whoever was about to tell it is gone, and then the store.
    running.kill();
    let mut running = chain.start(&OPTIONS);
    thread::sleep(Duration::from_secs(12));
    node.kill().expect("killed");
    running.kill();
    node.restart().expect("a node");
    let mut running = chain.start(&OPTIONS);
    wait_for_told(&chain, 1, &mut running);
    assert_eq!(told(&chain), ["acme/meter-1 suspended northstar/gamma/acme"]);
    // What happened before the move and comes after it.
    let late = Timestamp::from_millis(before.millis() + 1);
    chain.write("late", 2, &late.to_string());
    chain.wait_for_charges(5, &mut running);
    assert_eq!(chain.charged()["late"][0], "acme -> beta 0.25");

    let (closed, granted) = (after(30_000), after(15_000));
    let bundle = "bundles: { day: { currency: GBP, elements: [{ service: data, amount: 1 MB }] } }\n";
    let said = acme(
        &format!("{moved}, {{ from: {closed}, status: closed }}"),
        &format!(", bundles: [{{ bundle: day, at: {granted} }}]"),
    );
    chain.apply(&said.replace("accounts:\n", &format!("{bundle}accounts:\n")));
    running.kill();
    let mut running = chain.start(&OPTIONS);
    // With the life event of the bundle.
    wait_for_told(&chain, 3, &mut running);
    running.kill();
    let running = chain.start(&OPTIONS);
    thread::sleep(Duration::from_secs(6));
    running.stop();
    assert_eq!(told(&chain), ["acme/meter-1 suspended northstar/gamma/acme", "acme closed northstar/gamma"]);
    assert_eq!(chain.kafka.read("command-replies").len(), 2, "the bundle is bought once");
}
