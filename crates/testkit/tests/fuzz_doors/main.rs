//! Doors: whatever comes in, by files or by topics, has exactly one outcome, by a count that uses nothing of the product.
//!
//! Short in CI; `RATER_FUZZ_INPUTS=1000000` makes each test long. Each round has a seed of its own: `RATER_FUZZ_SEED` replays the round that failed
//! first, and the ones behind it. A failing round is made smaller before it is shown.

mod count;
mod files;
mod grammar;
#[path = "../stages/memory.rs"]
#[allow(dead_code, reason = "stages are run by several tests, each of which uses its own part")]
mod memory;
mod reading;
mod topics;

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Outcomes that a campaign has to meet.
const MUST_HAPPEN: [&str; 11] = [
    "guided",
    "duplicates",
    "commands",
    "ticks",
    "undecodable",
    "invalid_record",
    "wrong_kind",
    "past_event",
    "future_event",
    "duplicate_conflict",
    "unknown_endpoint",
];

/// A number from the environment.
fn number(name: &str, default: u64) -> u64 {
    let Ok(text) = std::env::var(name) else { return default };
    text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number"))
}

/// Runs rounds until so many inputs were counted. `make` makes the round of a seed, `check` counts its inputs, `smaller` gives smaller rounds.
fn campaign<C>(
    name: &str,
    inputs: u64,
    make: impl Fn(u64) -> C,
    check: impl Fn(&C) -> Result<u64, String>,
    smaller: impl Fn(&C) -> Vec<C>,
    show: impl Fn(&C) -> String,
) {
    let inputs = number("RATER_FUZZ_INPUTS", inputs);
    let first = number("RATER_FUZZ_SEED", 1);
    let checked = |case: &C| match catch_unwind(AssertUnwindSafe(|| check(case))) {
        Ok(result) => result,
        Err(panic) => Err(format!("panic: {}", text_of(&*panic))),
    };
    let (mut seed, mut counted) = (first, 0);
    println!("{name}: RATER_FUZZ_SEED={first} RATER_FUZZ_INPUTS={inputs}");
    while counted < inputs {
        let mut case = make(seed);
        match checked(&case) {
            Ok(count) => {
                if (counted + count) / 100_000 > counted / 100_000 {
                    println!("{name}: {} inputs, up to seed {seed}", counted + count);
                }
                counted += count;
            }
            Err(mut why) => {
                let mut tries = 2_000;
                'shrunk: loop {
                    for candidate in smaller(&case) {
                        tries -= 1;
                        if tries == 0 {
                            break 'shrunk;
                        }
                        if let Err(other) = checked(&candidate) {
                            (case, why) = (candidate, other);
                            continue 'shrunk;
                        }
                    }
                    break;
                }
                panic!("{name}: RATER_FUZZ_SEED={seed} RATER_FUZZ_INPUTS=1: {why}\n{}", show(&case));
            }
        }
        seed += 1;
    }
    println!("{name}: {counted} inputs in {} rounds, seeds {first} to {}", seed - first, seed - 1);
    let met = count::tallied();
    println!("{name}: {met:?}");
    for what in MUST_HAPPEN {
        assert!(met.contains_key(what) || counted < 2_500, "{name}: {what} never happened");
    }
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("without a text").to_owned()
}

/// Without some of so many: halves first, then quarters, down to single ones.
fn fewer<T: Clone>(all: &[T]) -> Vec<Vec<T>> {
    let mut candidates = Vec::new();
    let mut size = all.len().div_ceil(2);
    while size > 0 && !all.is_empty() {
        for start in (0..all.len()).step_by(size) {
            let rest = all.iter().take(start).chain(all.iter().skip(start + size));
            candidates.push(rest.cloned().collect());
        }
        size = if size == 1 { 0 } else { size.div_ceil(2) };
    }
    candidates
}

#[test]
fn each_row_of_a_file_has_one_outcome() {
    campaign("files", 3_000, files::Case::new, files::check, files::Case::smaller, files::Case::show);
}

#[test]
fn each_message_of_a_topic_has_one_outcome() {
    campaign("topics", 3_000, topics::Case::new, topics::check, topics::Case::smaller, topics::Case::show);
}
