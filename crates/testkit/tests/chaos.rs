//! Trouble on a real broker, in short: workers killed (some at the worst moments of a transaction), frozen and taken away, the broker
//! restarted. Nothing is missing, nothing is double, and the embedded engine charges the same.
//!
//! The long form, and one seed again: `cargo run --release -p rater-testkit --bin rater-chaos -- --records 500000 --kills 30 --seed 2`.

use std::process::Command;

#[test]
fn trouble_loses_and_doubles_nothing() {
    let restarts = if std::env::var_os("RATER_TEST_KAFKA").is_some() { "0" } else { "1" };
    let output = Command::new(env!("CARGO_BIN_EXE_rater-chaos"))
        .args(["--seed", "1", "--records", "20000", "--endpoints", "2000", "--rate", "2000"])
        .args(["--kills", "5", "--pause", "1500", "--directed", "20", "--restarts", restarts])
        .output()
        .expect("the program");
    let (told, said) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    println!("{told}\n{said}");
    assert!(output.status.success(), "{told}\n{said}");
    let charges = said.lines().find(|line| line.starts_with("charges, each once")).expect("charges");
    let count: u64 = charges.split_whitespace().rev().nth(1).and_then(|count| count.parse().ok()).expect("a count");
    assert!(count > 70_000, "hardly anything was charged: {charges}");
    assert!(said.contains("killed: ") && !said.contains("killed: 0, killed_directed: 0"), "nobody was killed: {said}");
}
