//! The workers of the product on the simulated log: see the module `simulation` of the test kit.
//!
//! `RATER_SIMULATION_SEEDS=20000` runs more seeds, `RATER_SIMULATION_SEED=7` only that one.

use std::collections::BTreeMap;
use testkit::simulation::planted::Bug;
use testkit::simulation::{Telling, run_model};

const SEEDS: u64 = 2_000;
/// Seeds within which a planted error has to be found.
const SEEDS_PER_BUG: u64 = 2_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

/// What happened at least so often in a hundred seeds.
const MUST_HAPPEN: [(&str, u64); 42] = [
    ("abort", 70),
    ("answer late", 200),
    ("answer lost", 150),
    ("broker restart", 70),
    ("commit uncertain", 15),
    ("commit waited in vain for deliveries", 5),
    ("compaction", 50),
    ("coordinator fail-over", 100),
    ("end of a transaction late", 8),
    ("fenced for a successor", 10),
    ("lost", 50),
    ("marker late", 150),
    ("member fenced", 70),
    ("member too late for a rebalance", 1),
    ("message failed", 2),
    ("message sent again", 200),
    ("paused worker replaced under its name", 40),
    ("positions expired", 25),
    ("positions not stable or not told", 300),
    ("producer fenced", 50),
    ("rebalance", 800),
    ("request late", 250),
    ("request lost", 150),
    ("request to a broker that is down", 300),
    ("restore waited for a transaction or a broker", 200),
    ("revoked", 150),
    ("session expired", 300),
    ("session lost by the client", 30),
    ("stopped before asking for an end", 3),
    ("stopped before asking for positions", 2),
    ("stopped before gathering", 45),
    ("stopped before restoring", 3),
    ("stopped before sending positions", 7),
    ("stopped before the end of a transaction", 1),
    ("stopped between positions and commit", 2),
    ("too long between polls", 8),
    ("transaction timed out", 25),
    ("worker added", 70),
    ("worker committed", 1500),
    ("worker killed", 150),
    ("worker paused", 130),
    ("worker stopped", 60),
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
        let outcome = run_model(seed, Bug::None, telling);
        outcome.faults.iter().for_each(|(name, count)| *faults.entry(name).or_default() += count);
        if let Some(failure) = outcome.failure {
            println!("seed {seed}: {failure}; RATER_SIMULATION_SEED={seed} replays it");
            failures.push(seed);
        }
    }
    println!("{count} seeds: {faults:#?}");
    assert!(failures.is_empty(), "seeds that failed: {failures:?}");
    if only.is_none() {
        for (name, least) in MUST_HAPPEN {
            let found = faults.get(name).copied().unwrap_or_default();
            assert!(found * 100 >= least * count || count < 1_000, "{name}: {found} in {count} seeds, {least} in 100 wanted");
        }
    }
}

#[test]
fn planted_errors_are_found() {
    let mut missed = Vec::new();
    for bug in Bug::ALL {
        let found = (0..SEEDS_PER_BUG).find_map(|seed| run_model(seed, bug, Telling::Nothing).failure.map(|failure| (seed, failure)));
        match found {
            Some((seed, failure)) => println!("{bug:?}: seed {seed}, after {} seeds: {failure}", seed + 1),
            None => missed.push(bug),
        }
    }
    assert!(missed.is_empty(), "not found within {SEEDS_PER_BUG} seeds: {missed:?}");
}

/// A batch holds all that was handed out and is executed as a whole or dropped with its positions: so nothing can lie between what was handed
/// out and what was processed.
#[test]
fn what_is_handed_out_is_processed() {
    for seed in 0..300 {
        let outcome = run_model(seed, Bug::HandedOutPosition, Telling::Nothing);
        assert_eq!(outcome.failure, None, "seed {seed}");
    }
}
