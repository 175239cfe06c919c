//! Generated histories: every answer as a scan of all facts gives it, from files and from a cache.

use crate::support::{Files, Stored};
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
