//! The workers of the product on the simulated log: see the module `simulation` of the test kit.
//!
//! `RATER_SIMULATION_SEEDS=20000` runs more seeds, `RATER_SIMULATION_SEED=7` only that one.

use std::collections::BTreeMap;
use testkit::simulation::planted::Bug;
use testkit::simulation::{Outcome, Telling, run_chain};

const SEEDS: u64 = 500;
/// Seeds within which a planted error has to be found.
const SEEDS_PER_BUG: u64 = 500;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

/// Seeds that fail until nobody needs more of them.
const ENOUGH_FAILURES: usize = 10;

/// Runs a seed. A broken assumption of a stage is a failure like any other.
fn run(seed: u64, bug: Bug, telling: Telling) -> Outcome {
    std::panic::catch_unwind(|| run_chain(seed, bug, telling)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Outcome { failure: Some(format!("panicked: {}", said.unwrap_or("without a word"))), ..Outcome::default() }
    })
}

/// What happened at least so often in a thousand seeds.
const MUST_HAPPEN: [(&str, u64); 43] = [
    ("abort", 700),
    ("answer late", 2000),
    ("answer lost", 1500),
    ("broker restart", 700),
    ("commit uncertain", 150),
    ("commit waited in vain for deliveries", 50),
    ("compaction", 500),
    ("coordinator fail-over", 1000),
    ("end of a transaction late", 80),
    ("fenced for a successor", 100),
    ("lost", 500),
    ("marker late", 1500),
    ("member fenced", 700),
    ("member too late for a rebalance", 3),
    ("message failed", 20),
    ("message sent again", 2000),
    ("partitions held beside others", 1000),
    ("paused worker replaced under its name", 400),
    ("positions expired", 250),
    ("positions not stable or not told", 3000),
    ("producer fenced", 500),
    ("rebalance", 8000),
    ("request late", 2500),
    ("request lost", 1500),
    ("request to a broker that is down", 3000),
    ("restore waited for a transaction or a broker", 2000),
    ("revoked", 1500),
    ("session expired", 3000),
    ("session lost by the client", 300),
    ("stopped before asking for an end", 30),
    ("stopped before asking for positions", 20),
    ("stopped before gathering", 450),
    ("stopped before restoring", 30),
    ("stopped before sending positions", 70),
    ("stopped before the end of a transaction", 10),
    ("stopped between positions and commit", 20),
    ("too long between polls", 80),
    ("transaction timed out", 250),
    ("worker added", 700),
    ("worker committed", 15000),
    ("worker killed", 1500),
    ("worker paused", 1300),
    ("worker stopped", 600),
];

#[test]
fn every_record_has_its_effect_once_under_all_seeds() {
    let only = number("RATER_SIMULATION_SEED");
    let seeds = match only {
        Some(seed) => seed..seed + 1,
        None => 0..number("RATER_SIMULATION_SEEDS").unwrap_or(SEEDS),
    };
    let count = seeds.end - seeds.start;
    let mut faults: BTreeMap<&str, u64> = BTreeMap::new();
    let mut failures = Vec::new();
    for seed in seeds {
        let telling = if only.is_some() { Telling::Everything } else { Telling::Nothing };
        let outcome = run(seed, Bug::None, telling);
        outcome.faults.iter().for_each(|(name, count)| *faults.entry(name).or_default() += count);
        if let Some(failure) = outcome.failure {
            println!("seed {seed}: {failure}; RATER_SIMULATION_SEED={seed} replays it");
            failures.push(seed);
            if failures.len() == ENOUGH_FAILURES {
                break;
            }
        }
    }
    println!("{count} seeds: {faults:#?}");
    assert!(failures.is_empty(), "seeds that failed: {failures:?}");
    if only.is_none() {
        for (name, least) in MUST_HAPPEN {
            let found = faults.get(name).copied().unwrap_or_default();
            assert!(
                found * 1_000 >= least * count || count < SEEDS,
                "{name}: {found} in {count} seeds, {least} in 1000 wanted"
            );
        }
    }
}

#[test]
fn planted_errors_are_found() {
    let mut missed = Vec::new();
    for bug in Bug::ALL {
        let found =
            (0..SEEDS_PER_BUG).find_map(|seed| run(seed, bug, Telling::Nothing).failure.map(|failure| (seed, failure)));
        match found {
            Some((seed, failure)) => println!("{bug:?}: seed {seed}: {failure:.400}"),
            None => missed.push(bug),
        }
    }
    assert!(missed.is_empty(), "not found within {SEEDS_PER_BUG} seeds: {missed:?}");
}
