//! Commands without end for one account: its state is written row by row, so nothing is refused and nothing outgrows a message.

use crate::support::{Deployment, LIMIT, usage};
use crate::{KNOWN, PARTITIONS, REFERENCE};
use std::collections::BTreeMap;
use std::time::Instant;

/// As many as once made the changelog's message outgrow its limit, some with ids as long as ids may be.
const COMMANDS: usize = 85_000;
const LONG_IDS: usize = 25_000;

#[test]
fn purchases_without_end_are_applied_and_the_partition_goes_on() {
    let deployment = Deployment::new("full", PARTITIONS, false, None);
    let running = deployment.start_with(REFERENCE, |mut settings| {
        settings.limits.messages = 20_000;
        settings
    });
    let commands = (0..COMMANDS).map(|number| {
        let padding = if number < LONG_IDS { "x".repeat(240) } else { String::new() };
        let (id, more) = (format!("c{number}-{padding}"), r#","bundle_id":"five""#);
        (0, crate::support::command(&id, "buy_bundle", more))
    });
    let started = Instant::now();
    deployment.write("account-commands", commands);
    deployment.wait("each command is answered", &running, |deployment| {
        assert!(started.elapsed() < 3 * LIMIT);
        deployment.messages("command-replies").len() == COMMANDS
    });
    let mut outcomes: BTreeMap<(String, String), usize> = BTreeMap::new();
    for reply in deployment.rows("command-replies") {
        *outcomes.entry((reply.text("outcome").to_owned(), reply.text("reason").to_owned())).or_default() += 1;
    }
    println!("{outcomes:?} after {:?}", started.elapsed());
    let applied = outcomes.get(&("applied".to_owned(), String::new())).copied().unwrap_or(0);
    assert_eq!(applied, COMMANDS, "{outcomes:?}");
    deployment.write("usage", [(0, usage("after", KNOWN, "2026-03-02T00:00:00Z"))]);
    deployment.wait("a record is charged", &running, |deployment| deployment.charged().is_charged("after"));
    let reports = running.stop().expect("a clean end");
    assert!(!reports.iter().any(|report| report.contains("Restarted")), "{reports:#?}");

    // What was restored is the same.
    let running = deployment.start(REFERENCE);
    deployment.write("usage", [(0, usage("restored", KNOWN, "2026-03-02T00:00:00Z"))]);
    deployment.wait("a record is charged", &running, |deployment| deployment.charged().is_charged("restored"));
    running.stop().expect("a clean end");
}
