//! A directory of a million endpoints in a real store on the same machine: how fast it is loaded, and how fast records are rated from it,
//! at first with nothing at hand and then with everything; how fast all of it is gone through for what plans grant, and what that takes from rating
//! beside it; and what ten million endpoints take in the memory of the cache.
//!
//! Each step runs in a process of its own, but for cold and warm, which are two runs of one. What is loaded goes through the code of `rater
//! directory load`, what is rated through the embedded runtime; both read the files that `testkit::generator` makes. The ten million are
//! made up: their rows come from no store, so that what is measured is what is kept.
//!
//! Run: `cargo bench -p rater-testkit --bench store`. Environment: `RATER_BENCH_ENDPOINTS` (1000000), `RATER_BENCH_RECORDS` (1000000),
//! `RATER_BENCH_THREADS` (2), `RATER_BENCH_SYNTHETIC` (10000000 endpoints in the cache; 0 leaves that out).

#[path = "shared/made_up.rs"]
mod made_up;
#[path = "shared/resident.rs"]
mod resident;
#[path = "shared/table.rs"]
mod table;

use directory::Walk;
use directory::cache::{Cache, CacheSettings, CacheStats, Clock, IdentityKey, KeyKind, Preloaded, Rows, SCAN_PARTS};
use directory::model::IdentityKind;
use directory::store::{Author, Replace, Replication, Settings, Store, TakeOver, migrate};
use directory::value::Digits;
use directory::{Input, InputKind, Loaded, load};
use made_up::{MadeUp, key};
use rating::Timestamp;
use resident::{ns_a_hit, resident_kb};
use runtime::embedded::{
    DEFAULT_BATCH_RECORDS, DEFAULT_COMMIT_RECORDS, InputFile, InterruptedInputs, Recycle, RunSettings, Until, run,
};
use runtime::wire::{Ending, OutputFormat};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use table::grouped;
use testkit::generator::{Parameters, write_files};
use testkit::services::Cassandra;
use testkit::store::{self, now};
use tokio::runtime::Runtime;

/// As in the program itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What records are looked up by.
const IMSI: [KeyKind; 1] = [KeyKind::Identity(IdentityKind::Imsi)];
/// Progress is told this often.
const TELL: Duration = Duration::from_secs(10);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["load", node, folder] => load_store(node, Path::new(folder)),
        ["rate", node, folder] => rate_twice(node, Path::new(folder)),
        ["ahead", node] => read_ahead(node),
        ["walk", node] => walk(node),
        ["memory"] => memory(),
        _ => all(),
    }
}

fn setting(name: &str, default: u64) -> u64 {
    let text = std::env::var(format!("RATER_BENCH_{name}")).ok();
    text.map_or(default, |text| text.trim().parse().unwrap_or_else(|error| panic!("{text}: {error}")))
}

fn endpoints() -> u64 {
    setting("ENDPOINTS", 1_000_000)
}

/// Figures of a process, by name.
type Figures = BTreeMap<String, f64>;

fn report(name: &str, value: f64) {
    println!("{name}={value}");
}

/// Runs a step, whose progress is shown as it comes.
fn step(arguments: &[&str]) -> Figures {
    let program = std::env::current_exe().expect("this program");
    let output = Command::new(program).args(arguments).stderr(Stdio::inherit()).output().expect("a process");
    assert!(output.status.success(), "{arguments:?} failed");
    let text = String::from_utf8_lossy(&output.stdout);
    let figures = text.lines().filter_map(|line| line.split_once('='));
    figures.map(|(name, value)| (name.to_owned(), value.parse().expect("a figure"))).collect()
}

fn all() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let (endpoints, records) = (endpoints(), setting("RECORDS", 1_000_000));
    eprintln!("files of {endpoints} endpoints and {records} records");
    let parameters = Parameters { records, endpoints, customers: 200, ..Parameters::bench(7) };
    write_files(&parameters, folder.path()).expect("generated files");
    let cassandra = Cassandra::start().expect("a node");
    let place = folder.path().to_str().expect("a path");
    let loaded = step(&["load", cassandra.address(), place]);
    let rated = step(&["rate", cassandra.address(), place]);
    let ahead = step(&["ahead", cassandra.address()]);
    let walked = step(&["walk", cassandra.address()]);
    println!(
        "\n### store: {} endpoints, {} records, four levels\n",
        grouped(endpoints as f64),
        grouped(records as f64)
    );
    println!("| what | measured |\n| --- | ---: |");
    let line = |what: &str, value: f64| println!("| {what} | {} |", grouped(value));
    line("endpoints loaded, a second", loaded["endpoints"] / loaded["seconds"]);
    line("seconds of the load", loaded["seconds"]);
    for run in ["cold", "warm", "beside a walk"] {
        let of = |name: &str| rated[&format!("{run}_{name}")];
        line(&format!("records rated {run}, a second"), of("records") / of("seconds"));
        println!("| reads of the store a record, {run} | {:.3} |", of("reads") / of("records"));
    }
    line("endpoints at hand after the runs", rated["entries"]);
    line("seconds to read all endpoints ahead, by IMSI", ahead["seconds"]);
    line("endpoints read ahead, a second", ahead["keys"] / ahead["seconds"]);
    line("seconds of a walk through all parts, one at a time", walked["seconds"]);
    line("endpoints walked, a second", endpoints as f64 / walked["seconds"]);
    println!("| walks a second beside rating | {:.3} |", rated["walks"] / rated["beside a walk_seconds"]);
    line("one look-up that finds its endpoint at hand, ns", rated["hit_ns"]);
    if setting("SYNTHETIC", 10_000_000) > 0 {
        let kept = step(&["memory"]);
        println!("\n### the cache alone: {} endpoints with three identities each\n", grouped(kept["entries"]));
        println!("| what | measured | aim |\n| --- | ---: | ---: |");
        println!("| resident memory, MiB | {} | 1,536 for 10,000,000 |", grouped(kept["resident_kib"] / 1024.0));
        println!(
            "| bytes an endpoint, by the kernel's count | {:.0} | 150 |",
            kept["resident_kib"] * 1024.0 / kept["entries"]
        );
        println!("| bytes an endpoint, as the cache counts them | {:.0} | |", kept["counted"] / kept["entries"]);
        println!("| one look-up that finds its endpoint at hand, ns | {:.0} | 200 |", kept["hit_ns"]);
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

fn settings(node: &str) -> Settings {
    store::settings(node, "bench")
}

fn reference(folder: &Path) -> (Vec<Input>, Loaded) {
    let input = |name: &str, kind| {
        let bytes = std::fs::read(folder.join(name)).expect("reference data");
        Input { name: name.to_owned(), bytes, kind }
    };
    let inputs = vec![input("rating.yaml", InputKind::Yaml), input("endpoints.csv", InputKind::EndpointCsv)];
    let loaded = load(inputs.clone()).unwrap_or_else(|refused| panic!("{refused}"));
    (inputs, loaded)
}

/// A step: what `rater directory migrate` and `load` do.
fn load_store(node: &str, folder: &Path) {
    let runtime = runtime();
    let settings = settings(node);
    runtime.block_on(migrate(&settings, &Replication::Simple(1), now().millis())).expect("tables");
    let store = runtime.block_on(Store::connect(&settings)).expect("a store");
    let (inputs, loaded) = reference(folder);
    let planned = runtime.block_on(store.plan_load(&inputs, &loaded, Replace::No)).expect("a plan");
    drop((inputs, loaded));
    let author = Author { actor: "bench".to_owned(), process: "bench".to_owned(), note: String::new() };
    let (begun, all) = (Instant::now(), planned.changes().len() as u64);
    let mut told = begun;
    let mut progress = |done: u64| {
        if told.elapsed() >= TELL {
            told = Instant::now();
            let rate = done as f64 / begun.elapsed().as_secs_f64();
            eprintln!("loaded {done} of {all}, {} a second", grouped(rate));
        }
    };
    runtime.block_on(store.carry_out(&planned, author, TakeOver::Silent, &mut progress)).expect("loaded");
    report("seconds", begun.elapsed().as_secs_f64());
    report("endpoints", endpoints() as f64);
}

/// A step: rates the usage with nothing at hand, and once more with what was read.
fn rate_twice(node: &str, folder: &Path) {
    let runtime = runtime();
    let cached = CacheSettings { memory_bytes: endpoints() * 200, ..CacheSettings::default() };
    let (cache, loaded) = runtime.block_on(async {
        let store = Store::connect(&settings(node)).await.expect("a store");
        Cache::open(store, cached, Clock::monotonic(), |event| eprintln!("{event:?}")).await.expect("a cache")
    });
    let cache = Arc::new(cache);
    let loaded = loaded.asking(cache.clone());
    for name in ["cold", "warm"] {
        rate(name, folder, &loaded, &*cache);
    }
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let walking = scope.spawn(|| {
            let parts = (0..SCAN_PARTS).cycle().take_while(|_| !is_over.load(Ordering::Relaxed));
            let mut walked = 0.0;
            for part in parts {
                cache.of_part(part).expect("a part");
                walked += 1.0;
            }
            report("walks", walked / f64::from(SCAN_PARTS));
        });
        rate("beside a walk", folder, &loaded, &*cache);
        is_over.store(true, Ordering::Relaxed);
        walking.join().expect("walked");
    });
    let stats = cache.stats();
    report("entries", stats.entries as f64);
    let keys = kept(&cache, folder);
    report("hit_ns", ns_a_hit(&cache, |random| keys[random.index(keys.len())].clone()));
}

fn rate<R: Rows>(name: &str, folder: &Path, loaded: &Loaded, cache: &Cache<R>) {
    let settings = RunSettings {
        inputs: vec![InputFile { path: folder.join("usage.jsonl"), format: None }],
        ending: Ending::MayGrow,
        interrupted: InterruptedInputs::ComeFirst,
        recycle: Recycle::Nothing,
        output: folder.join(name),
        format: OutputFormat::JsonLines,
        threads: usize::try_from(setting("THREADS", 2)).expect("a number"),
        batch_records: DEFAULT_BATCH_RECORDS,
        commit_records: DEFAULT_COMMIT_RECORDS,
        now: Timestamp::parse("2026-12-01T00:00:00Z").expect("a time"),
        future_tolerance_ms: 0,
        duplicate_window_h: None,
        command_memory_h: pipeline::duplicates::DEFAULT_COMMAND_HOURS,
        state_horizon_h: pipeline::duplicates::DEFAULT_STATE_HORIZON_H,
        past_tolerance_ms: None,
        doubts: pipeline::Doubts::default(),
        default_source: "file".to_owned(),
        until: Until::default(),
    };
    let (start, before): (Instant, CacheStats) = (Instant::now(), cache.stats());
    let mut told = start;
    let done = run(loaded, &settings, &mut |_| {
        if told.elapsed() >= TELL {
            told = Instant::now();
            eprintln!("{name}: {} endpoints read", cache.stats().reads - before.reads);
        }
    });
    let done = done.unwrap_or_else(|error| panic!("{error}")).run;
    assert!(done.guided > done.received / 2 && done.levels.len() == 4, "not what was to be measured: {done:?}");
    report(&format!("{name}_seconds"), start.elapsed().as_secs_f64());
    report(&format!("{name}_records"), done.received as f64);
    report(&format!("{name}_reads"), (cache.stats().reads - before.reads) as f64);
}

/// A step: what `--directory-preload imsi` does.
fn read_ahead(node: &str) {
    let runtime = runtime();
    let cached = CacheSettings { memory_bytes: endpoints() * 200, ..CacheSettings::default() };
    let read = runtime.block_on(async {
        let store = Store::connect(&settings(node)).await.expect("a store");
        let (cache, _) =
            Cache::open(store, cached, Clock::monotonic(), |event| eprintln!("{event:?}")).await.expect("a cache");
        let begun = Instant::now();
        let read = cache.preload(&IMSI, &mut |_| {}).await.expect("read");
        report("seconds", begun.elapsed().as_secs_f64());
        read
    });
    assert_eq!(read, Preloaded { keys: endpoints(), is_partial: false });
    report("keys", read.keys as f64);
}

/// A step: what cycle does with every `--cycle-every`.
fn walk(node: &str) {
    let runtime = runtime();
    let cache = runtime.block_on(async {
        let store = Store::connect(&settings(node)).await.expect("a store");
        let report = |event| eprintln!("{event:?}");
        Cache::open(store, CacheSettings::default(), Clock::monotonic(), report).await.expect("a cache").0
    });
    let begun = Instant::now();
    for part in 0..cache.parts() {
        cache.of_part(part).expect("a part");
    }
    report("seconds", begun.elapsed().as_secs_f64());
}

/// Keys that are at hand: of IMSIs of the files.
fn kept<R: Rows>(cache: &Cache<R>, folder: &Path) -> Vec<IdentityKey> {
    let text = std::fs::read_to_string(folder.join("endpoints.csv")).expect("endpoints");
    let mut lines = text.lines();
    let column = lines.next().and_then(|head| head.split(',').position(|name| name == "imsi")).expect("a column");
    let key = |line: &str| {
        let digits = Digits::parse(line.split(',').nth(column)?)?;
        Some(IdentityKey::Identity(IdentityKind::Imsi, digits)).filter(|key| cache.is_at_hand(key))
    };
    lines.filter_map(key).collect()
}

/// A step: fills a cache from no store.
fn memory() {
    let count = setting("SYNTHETIC", 10_000_000);
    let runtime = runtime();
    let settings = CacheSettings { memory_bytes: count * 200, ..CacheSettings::default() };
    let store = MadeUp { endpoints: count };
    let cache = runtime.block_on(Cache::open(store, settings, Clock::monotonic(), |_| {})).expect("a cache").0;
    let (before, mut told) = (resident_kb(), Instant::now());
    let mut progress = |keys| {
        if told.elapsed() >= TELL {
            told = Instant::now();
            eprintln!("{keys} of {count} endpoints in the cache");
        }
    };
    runtime.block_on(cache.preload(&IMSI, &mut progress)).expect("read");
    let stats = cache.stats();
    report("resident_kib", resident_kb().saturating_sub(before) as f64);
    report("entries", stats.entries as f64);
    report("counted", stats.bytes as f64);
    assert_eq!((stats.entries, stats.evictions), (count, 0), "all of them have room");
    report("hit_ns", ns_a_hit(&cache, |random| key(random.below(count))));
}
