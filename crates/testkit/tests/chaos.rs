//! Trouble on a real broker, in short: workers killed (some at the worst moments of a transaction), frozen and taken away, the broker
//! restarted. Nothing is missing, nothing is double, and the embedded engine charges the same.
//!
//! The long form, and one seed again: `cargo run --release -p rater-testkit --bin rater-chaos -- --records 500000 --kills 30 --seed 2`.

use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// One broker at a time is enough for a machine.
static ONE: Mutex<()> = Mutex::new(());

/// Runs it with these arguments in addition; what it printed.
#[track_caller]
fn run(more: &[&str]) -> String {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let restarts = if std::env::var_os("RATER_TEST_KAFKA").is_some() { "0" } else { "1" };
    let output = Command::new(env!("CARGO_BIN_EXE_rater-chaos"))
        .args(["--endpoints", "2000", "--rate", "2000", "--pause", "1500", "--restarts", restarts])
        .args(more)
        .output()
        .expect("the program");
    let (told, said) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    println!("{told}\n{said}");
    assert!(output.status.success(), "{told}\n{said}");
    said.into_owned()
}

/// The number behind a name.
#[track_caller]
fn number(said: &str, name: &str) -> u64 {
    let rest = said.split_once(name).unwrap_or_else(|| panic!("no {name:?} in {said}")).1.trim_start();
    let digits = rest.split(|letter: char| !letter.is_ascii_digit()).next().unwrap_or_default();
    digits.parse().unwrap_or_else(|_| panic!("no number behind {name:?} in {said}"))
}

#[test]
fn trouble_loses_and_doubles_nothing() {
    let said = run(&["--seed", "1", "--records", "20000", "--kills", "5", "--directed", "20", "--directed-kills", "2"]);
    assert!(number(&said, "charges, each once") > 70_000, "hardly anything was charged: {said}");
    assert!(number(&said, "killed:") > 0, "nobody was killed: {said}");
    assert!(number(&said, "killed_directed:") >= 2, "nobody was killed at one of the worst moments: {said}");
    assert!(number(&said, "transactions:") > 20, "trouble has met hardly any work: {said}");
    assert!(said.contains(" - 0 unreadable"), "commands could not be read: {said}");
}

#[test]
fn what_comes_too_late_is_charged_once_when_it_is_asked_for() {
    let said = run(&["--seed", "3", "--records", "10000", "--kills", "2", "--window", "24", "--late", "100"]);
    assert!(number(&said, "too late") >= 200, "{said}");
    assert!(said.contains(" - 0 unreadable"), "commands could not be read: {said}");
}

#[test]
fn a_topic_made_anew_under_workers_stops_them_and_nothing_of_it_is_skipped() {
    let said = run(&["--seed", "5", "--records", "10000", "--kills", "3", "--made-anew", "--unread", "60"]);
    assert!(number(&said, "unread when their topic was made anew") > 0, "{said}");
    assert!(number(&said, "charges, each once") > 35_000, "{said}");
}
