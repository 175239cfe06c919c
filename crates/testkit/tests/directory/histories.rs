//! Generated histories: every answer as a scan of all facts gives it, from files, from a cache over a store in memory, and from a cache over a real one.

use crate::real::{self, Real};
use crate::support::{Files, Stored};
use std::time::Instant;
use testkit::histories::suite::{self, Done, Size};

const SEED: u64 = 22;

fn seed() -> u64 {
    let seed = std::env::var("RATER_SEED").ok().map_or(SEED, |seed| seed.parse().expect("a number in RATER_SEED"));
    eprintln!("RATER_SEED={seed}");
    seed
}

fn told(done: Result<Done, String>) -> Done {
    let done = done.unwrap_or_else(|error| panic!("{error}"));
    eprintln!("{done:?}");
    done
}

/// 70 histories each: 58 endpoints, and the accounts above them.
const SIZE: Size = Size { worlds: 150, endpoints: 58, questions: 100, batch: 25 };

#[test]
fn files_answer_what_the_facts_say() {
    let done = told(suite::run(seed(), SIZE, Files::default));
    assert!(done.histories >= 10_000, "{done:?}");
}

#[test]
fn a_cached_store_answers_what_the_facts_say() {
    let done = told(suite::run(seed(), SIZE, || Stored::new(1 << 20)));
    assert!(done.histories >= 10_000, "{done:?}");
}

/// Almost nothing can be kept: everything is read again and again, and the answers are the same.
#[test]
fn a_cache_without_room_answers_what_the_facts_say() {
    let size = Size { worlds: 10, ..SIZE };
    let mut caches = Vec::new();
    told(suite::run(seed(), size, || {
        let stored = Stored::new(2_000);
        caches.push(stored.cache());
        stored
    }));
    for stats in caches.iter().filter_map(|cache| Some(cache.get()?.stats())) {
        assert!(stats.evictions > 0 && stats.bytes <= 2_000, "{stats:?}");
    }
}

/// On a real store a world takes a second or so: this many, or as many as `RATER_STORE_WORLDS` says (143 make 10,000 histories).
const REAL_WORLDS: usize = 20;

#[test]
fn a_real_store_answers_what_the_facts_say() {
    let worlds = std::env::var("RATER_STORE_WORLDS").ok();
    let worlds = worlds.map_or(REAL_WORLDS, |worlds| worlds.parse().expect("a number in RATER_STORE_WORLDS"));
    let store = real::connect(&real::keyspace("histories"));
    let begun = Instant::now();
    let done = told(suite::run(seed(), Size { worlds, ..SIZE }, || Real::new(&store)));
    eprintln!("on a real store: {worlds} worlds in {} s", begun.elapsed().as_secs());
    assert!(done.histories >= worlds * 65, "{done:?}");
}
