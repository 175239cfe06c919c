//! The cache of a directory in a store: what an endpoint takes in memory, all in, and what a look-up costs that finds it there.
//!
//! Memory is counted by the kernel's count. A hit is the whole look-up of a batch divided by its records: the cache, the packed endpoint unpacked,
//! and the snapshot of the batch made. The yardstick is a snapshot of files, where nothing has to be made.
//!
//! Run: `cargo bench -p rater-testkit --bench directory`; `RATER_BENCH_ENDPOINTS=1000000` for another number.

#[path = "shared/made_up.rs"]
mod made_up;
#[path = "shared/resident.rs"]
mod resident;
#[path = "shared/table.rs"]
mod table;

use directory::cache::{Cache, CacheSettings, Clock, KeyKind, Preloaded};
use directory::model::IdentityKind;
use directory::{Directory, Input, InputKind, Needs, load};
use made_up::{MadeUp, catalog, definition, imsi, key};
use rating::{Timestamp, UsageRecord};
use resident::{ns_a_hit, resident_kb, thread_time_ns};
use std::fmt::Write;
use std::hint::black_box;
use table::grouped;
use testkit::generator::random::Random;

const BATCH: usize = 10_000;
const ROUNDS: usize = 21;

fn record(number: u64) -> UsageRecord {
    UsageRecord {
        quantity: 1,
        imsi: Some(imsi(number).into()),
        ..UsageRecord::new("r", "bench", "data", Timestamp::from_millis(1_767_225_600_000))
    }
}

/// Median nanoseconds of processor time a record of asking a directory for a batch and, maybe, of looking all of it up.
fn measure(directory: &dyn Directory, endpoints: u64, look: Look) -> u64 {
    let mut random = Random::new(22);
    let mut times: Vec<u64> = (0..ROUNDS)
        .map(|_| {
            let records: Vec<UsageRecord> = (0..BATCH).map(|_| record(random.below(endpoints))).collect();
            let start = thread_time_ns();
            let mut needs = Needs::default();
            records.iter().for_each(|record| needs.add_record(record));
            let snapshot = directory.snapshot_for(&needs).expect("a snapshot");
            match look {
                Look::Ask => _ = black_box(&snapshot),
                Look::AskAndAnswer => records.iter().for_each(|record| {
                    black_box(snapshot.lineage_for(record).expect("a lineage"));
                }),
            }
            (thread_time_ns() - start) / BATCH as u64
        })
        .collect();
    times.sort_unstable();
    times[ROUNDS / 2]
}

#[derive(Clone, Copy)]
enum Look {
    Ask,
    AskAndAnswer,
}

fn main() {
    let endpoints =
        std::env::var("RATER_BENCH_ENDPOINTS").ok().and_then(|text| text.parse().ok()).unwrap_or(300_000_u64);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().expect("a runtime");
    let settings = CacheSettings { memory_bytes: endpoints * 200, ..CacheSettings::default() };
    let store = MadeUp { endpoints };
    let cache = runtime.block_on(Cache::open(store, settings, Clock::monotonic(), |_| {})).expect("a cache").0;
    let before = resident_kb();
    let read = runtime.block_on(cache.preload(&[KeyKind::Identity(IdentityKind::Imsi)], &mut |_| {})).expect("read");
    assert_eq!(read, Preloaded { keys: endpoints, is_partial: false });
    let held = (resident_kb() - before) * 1024;
    let stats = cache.stats();
    println!(
        "## The cache of a directory, {} endpoints with three identities each, found by IMSI\n",
        grouped(endpoints as f64)
    );
    println!("| what | measured |\n| --- | ---: |");
    println!("| bytes an endpoint, by the kernel's count | {} |", held / stats.entries.max(1));
    println!("| bytes an endpoint, as the cache counts them | {} |", stats.bytes / stats.entries.max(1));
    let hit = ns_a_hit(&cache, |random| key(random.below(endpoints)));
    println!("| one look-up that finds its endpoint at hand, ns | {hit:.0} |");
    println!("| a hit: the snapshot of a batch made, ns a record | {} |", measure(&cache, endpoints, Look::Ask));
    println!("| the same and the lineage found, ns a record | {} |", measure(&cache, endpoints, Look::AskAndAnswer));
    let mut text = catalog();
    text.push_str("endpoints:\n");
    for number in 0..endpoints {
        let _ = writeln!(text, "  meter-{number:07}: {}", definition(number));
    }
    let input = Input { name: "files".into(), bytes: text.into(), kind: InputKind::Yaml };
    let files = load(vec![input]).expect("reference data").directory();
    println!("| yardstick: a lineage from files, ns a record | {} |", measure(&*files, endpoints, Look::AskAndAnswer));
}
