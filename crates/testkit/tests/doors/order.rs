//! What waits is tried again in the order in which it came.

use crate::support::{Deployment, LEVELS, command, usage};
use crate::{LATER, REFERENCE, mended};
use runtime::service::topics::PartitionCounts;

/// Twelve records wait; the bundle covers five of them, and those are the first five.
fn order(name: &str, skip_intake: bool, partitions: PartitionCounts) {
    let deployment = Deployment::new(name, partitions, skip_intake, None);
    let running = deployment.start(REFERENCE);
    deployment.write("account-commands", [(0, command("c1", "buy_bundle", r#","bundle_id":"five""#))]);
    deployment.wait("bought", &running, |deployment| deployment.messages("command-replies").len() == 1);
    let records = (0..12).map(|at| (0, usage(&format!("r{at}"), LATER, "2026-03-05T00:00:00Z")));
    deployment.write("usage", records);
    deployment.wait("waiting", &running, |deployment| deployment.open().len() == 12);
    running.stop().expect("a clean end");
    let running = deployment.start(&mended());
    deployment.recycle(&[], false);
    deployment.wait("charged", &running, |deployment| deployment.charged().by_leg.len() == 12 * LEVELS);
    let charges = deployment.rows("charges");
    let mut covered: Vec<&str> =
        charges.iter().filter(|row| row.text("reason") == "bundle").map(|row| row.text("usage_id")).collect();
    covered.sort_unstable();
    assert_eq!(covered, ["r0", "r1", "r2", "r3", "r4"]);
    // And in that order, along the account's balance.
    let of_acme = charges.iter().filter(|row| row.text("payer_id") == "acme" && !row.text("usage_id").is_empty());
    let order: Vec<&str> = of_acme.map(|row| row.text("usage_id")).collect();
    let expected: Vec<String> = (0..12).map(|at| format!("r{at}")).collect();
    assert_eq!(order, expected);
    running.stop().expect("a clean end");
}

#[test]
fn what_waits_is_tried_again_in_the_order_of_its_offsets() {
    order("order", false, PartitionCounts { inputs: 1, intaken: 1, guided: 1, outputs: 1 });
}

#[test]
fn what_waits_in_several_partitions_is_tried_again_in_the_order_of_its_offsets() {
    order("order-spread", true, PartitionCounts { inputs: 1, intaken: 1, guided: 4, outputs: 4 });
}
