//! Work that falls due on a real broker: done without a message, in several commits, and once, whoever is stopped meanwhile.

use crate::support::Deployment;
use runtime::service::topics::PartitionCounts;
use std::collections::BTreeMap;
use std::fmt::Write;

const ACCOUNTS: usize = 6_000;

fn reference() -> String {
    let mut text = "format: rater/v1\naccounts:\n  northstar: { kind: operator, currency: GBP }\n".to_owned();
    for number in 0..ACCOUNTS {
        let _ = writeln!(text, "  r{number}: {{ kind: reseller, parent: northstar, currency: GBP }}");
    }
    text
}

fn suspend(number: usize) -> (u32, String) {
    let command = format!(
        "{{\"command_id\":\"s{number}\",\"kind\":\"suspend\",\"account_id\":\"r{number}\",\"issued_by\":\"northstar\",\
         \"effective_time\":\"2026-03-05T10:00:00Z\"}}"
    );
    (number as u32 % 2, command)
}

fn top_up(round: usize, number: usize) -> (u32, String) {
    let command = format!(
        "{{\"command_id\":\"t{round}-{number}\",\"kind\":\"top_up\",\"account_id\":\"r{number}\",\"issued_by\":\"northstar\",\
         \"effective_time\":\"2026-03-05T09:00:00Z\",\"amount\":\"1.00\"}}"
    );
    (number as u32 % 2, command)
}

/// How often it was told of each account that its suspension has begun.
fn told(deployment: &Deployment) -> BTreeMap<String, usize> {
    let mut told = BTreeMap::new();
    for event in deployment.rows("life-events").iter().filter(|event| event.text("cause") != "command") {
        assert_eq!(
            (event.text("kind"), event.text("state"), event.text("cause")),
            ("account_status", "suspended", "due_work")
        );
        assert_eq!(event.number("booked_time"), event.number("effective_time"));
        *told.entry(event.text("account_id").to_owned()).or_default() += 1;
    }
    told
}

#[test]
fn a_dated_suspension_begins_without_a_message_and_is_told_once() {
    let partitions = PartitionCounts { inputs: 2, intaken: 2, guided: 2, outputs: 2 };
    let deployment = Deployment::new("due", partitions, false, None);
    let reference = reference();
    let mut running = deployment.start(&reference);
    deployment.tick("2026-03-05T09:00:00Z");
    // Until rate knows how late it is, on both of its partitions, everything begins at once.
    for round in 0.. {
        let before = deployment.messages("command-replies").len();
        deployment.write("account-commands", (0..20).map(|number| top_up(round, number)));
        deployment.wait("paid", &running, |deployment| deployment.messages("command-replies").len() == before + 20);
        let booked = deployment.rows("balance-deltas");
        if booked.iter().rev().take(20).all(|delta| delta.number("booked_time").is_some()) {
            break;
        }
    }
    let before = deployment.messages("command-replies").len();
    deployment.write("account-commands", (0..ACCOUNTS).map(suspend));
    deployment
        .wait("applied", &running, |deployment| deployment.messages("command-replies").len() == before + ACCOUNTS);
    assert_eq!(deployment.messages("life-events").len(), 0, "it has not begun");
    deployment.tick("2026-03-05T10:00:00Z");
    deployment.wait("some are told", &running, |deployment| !deployment.messages("life-events").is_empty());
    // Whoever goes on does the rest.
    running.stop().expect("a clean end");
    running = deployment.start(&reference);
    deployment.wait("all are told", &running, |deployment| told(deployment).len() == ACCOUNTS);
    running.stop().expect("a clean end");
    running = deployment.start(&reference);
    deployment.tick("2026-03-05T11:00:00Z");
    deployment.write("account-commands", [(0, suspend(0).1.replace("s0", "again"))]);
    deployment
        .wait("answered", &running, |deployment| deployment.messages("command-replies").len() > before + ACCOUNTS);
    running.stop().expect("a clean end");
    assert!(told(&deployment).values().all(|count| *count == 1), "once each");
    // What begins at once is told by its command.
    let by_command = deployment.rows("life-events").iter().filter(|event| event.text("cause") == "command").count();
    assert_eq!((told(&deployment).len(), by_command), (ACCOUNTS, 1));
}
