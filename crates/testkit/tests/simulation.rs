//! The workers of the product on the simulated log: see the module `simulation` of the test kit.
//!
//! `RATER_SIMULATION_SEEDS=20000` runs more seeds, `RATER_SIMULATION_SEED=7` only that one.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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

/// Calls `each` with all numbers on as many threads as there are processors, until it says that it is enough.
fn beside_each_other(numbers: Range<u64>, each: impl Fn(u64) -> bool + Sync) {
    let (next, is_enough) = (AtomicU64::new(numbers.start), AtomicBool::new(false));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !is_enough.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= numbers.end {
                        return;
                    }
                    if !each(number) {
                        is_enough.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
}

/// What happened at least so often in a thousand seeds.
const MUST_HAPPEN: [(&str, u64); 62] = [
    ("abort", 1500),
    ("answer late", 8000),
    ("answer lost", 3000),
    ("broker restart", 700),
    ("charge", 50000),
    ("charge booked by the clock", 30000),
    ("charge drew from a bundle", 1500),
    ("charge of a fee", 1000),
    ("charge while things broke", 20000),
    ("command again", 200),
    ("command applied", 5000),
    ("command refused", 1000),
    ("commit uncertain", 1000),
    ("commit waited in vain for deliveries", 50),
    ("compaction", 700),
    ("coordinator fail-over", 1000),
    ("end of a transaction late", 700),
    ("fenced for a successor", 500),
    ("leg of a suspended account", 2000),
    ("leg too old to rate", 5500),
    ("leg without a rate", 4000),
    ("life event", 5500),
    ("lost", 1500),
    ("marker late", 9000),
    ("member fenced", 1500),
    ("message failed", 30),
    ("message refused", 1500),
    ("message sent again", 7000),
    ("partitions held beside others", 5500),
    ("paused worker replaced under its name", 600),
    ("positions expired", 150),
    ("positions not stable or not told", 9500),
    ("producer fenced", 1000),
    ("rebalance", 25000),
    ("record came in", 25000),
    ("record in conflict", 1500),
    ("record of an unknown endpoint", 5000),
    ("record suspended by intake", 2000),
    ("record too late", 100),
    ("request late", 8500),
    ("request lost", 3500),
    ("request to a broker that is down", 10000),
    ("restore waited for a transaction or a broker", 9000),
    ("retry", 10000),
    ("revoked", 5000),
    ("session expired", 5000),
    ("session lost by the client", 1000),
    ("stopped before a transaction", 25),
    ("stopped before asking for an end", 50),
    ("stopped before asking for positions", 35),
    ("stopped before gathering", 1000),
    ("stopped before restoring", 25),
    ("stopped before sending positions", 100),
    ("stopped before the end of a transaction", 25),
    ("stopped between positions and commit", 30),
    ("too long between polls", 200),
    ("transaction timed out", 300),
    ("worker added", 600),
    ("worker committed", 100000),
    ("worker killed", 2000),
    ("worker paused", 2000),
    ("worker stopped", 700),
];

#[test]
fn every_record_has_its_effect_once_under_all_seeds() {
    let only = number("RATER_SIMULATION_SEED");
    let seeds = match only {
        Some(seed) => seed..seed + 1,
        None => 0..number("RATER_SIMULATION_SEEDS").unwrap_or(SEEDS),
    };
    let count = seeds.end - seeds.start;
    let telling = if only.is_some() { Telling::Everything } else { Telling::Nothing };
    let (faults, failures) = (Mutex::new(BTreeMap::<&str, u64>::new()), Mutex::new(Vec::new()));
    beside_each_other(seeds, |seed| {
        let outcome = run(seed, Bug::None, telling);
        let mut faults = faults.lock().expect("no panic");
        outcome.faults.iter().for_each(|(name, count)| *faults.entry(name).or_default() += count);
        let mut failures = failures.lock().expect("no panic");
        if let Some(failure) = outcome.failure {
            println!("seed {seed}: {failure}; RATER_SIMULATION_SEED={seed} replays it");
            failures.push(seed);
        }
        failures.len() < ENOUGH_FAILURES
    });
    let (faults, failures) = (faults.into_inner().expect("no panic"), failures.into_inner().expect("no panic"));
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
    let missed = Mutex::new(Vec::new());
    beside_each_other(0..Bug::ALL.len() as u64, |at| {
        let bug = Bug::ALL[at as usize];
        let found =
            (0..SEEDS_PER_BUG).find_map(|seed| run(seed, bug, Telling::Nothing).failure.map(|failure| (seed, failure)));
        match found {
            Some((seed, failure)) => println!("{bug:?}: seed {seed}: {failure:.400}"),
            None => missed.lock().expect("no panic").push(bug),
        }
        true
    });
    let missed = missed.into_inner().expect("no panic");
    assert!(missed.is_empty(), "not found within {SEEDS_PER_BUG} seeds: {missed:?}");
}
