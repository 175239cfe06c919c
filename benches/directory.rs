//! The cache of a directory in a store: what an endpoint takes in memory, all in, and what a look-up costs that finds it there.
//!
//! Memory is counted by the kernel's count. A hit is the whole look-up of a batch divided by its records: the cache, the packed endpoint unpacked,
//! and the snapshot of the batch made. The yardstick is a snapshot of files, where nothing has to be made.
//!
//! Run: `cargo bench -p rater-testkit --bench directory`; `RATER_BENCH_ENDPOINTS=1000000` for another number.

use directory::cache::{
    Cache, CacheSettings, Changes, Clock, EndpointRow, Head, IdentityKey, Rows, StoreError, Version,
};
use directory::model::IdentityKind;
use directory::value::Digits;
use directory::{Directory, Input, InputKind, Needs, load};
use rating::{Timestamp, UsageRecord};
use rustix::time::{ClockId, clock_gettime};
use std::fmt::Write;
use std::hint::black_box;
use testkit::generator::random::Random;

const BATCH: usize = 10_000;
const ROUNDS: usize = 21;

const CATALOG: &str = "format: rater/v1
accounts:
  op: { kind: operator, currency: GBP }
";

/// A store that makes its rows up when it is asked.
struct MadeUp;

fn imsi(number: u64) -> String {
    format!("00101{number:010}")
}

fn definition(number: u64) -> String {
    let customer = number % 200;
    let imsi = imsi(number);
    format!(
        "{{ customer: c{customer}, imsi: \"{imsi}\", iccid: \"89440000{number:011}\", msisdn: \"4477{number:08}\" }}"
    )
}

fn catalog() -> String {
    (0..200).fold(CATALOG.to_owned(), |mut text, number| {
        let _ = writeln!(text, "  c{number}: {{ kind: customer, parent: op, currency: GBP }}");
        text
    })
}

impl Rows for MadeUp {
    async fn head(&self) -> Result<Head, StoreError> {
        Ok(Head { version: Version(1), ..Head::default() })
    }

    async fn catalog(&self, _: &Head) -> Result<Vec<Input>, StoreError> {
        Ok(vec![Input { name: "store".into(), bytes: catalog().into(), kind: InputKind::Yaml }])
    }

    async fn endpoints(
        &self,
        _: &Head,
        keys: &[IdentityKey],
    ) -> Result<Vec<(IdentityKey, Vec<EndpointRow>)>, StoreError> {
        let row = |key: &IdentityKey| {
            let number = match key {
                IdentityKey::Identity(_, digits) => digits.to_string().get(5..).and_then(|text| text.parse().ok()),
                IdentityKey::Name(_) => None,
            };
            let number: u64 = number.ok_or_else(|| StoreError::Corrupt(format!("{key} was never made up")))?;
            let endpoint = format!("meter-{number:07}").into();
            Ok((key.clone(), vec![EndpointRow { endpoint, definition: definition(number).into() }]))
        };
        keys.iter().map(row).collect()
    }

    async fn changes(&self, after: Version, _: &Head) -> Result<Changes, StoreError> {
        Err(StoreError::Corrupt(format!("nothing changes after {after}")))
    }
}

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
    let cache = runtime.block_on(Cache::open(MadeUp, settings, Clock::monotonic(), |_| {})).expect("a cache").0;
    let numbers: Vec<u64> = (0..endpoints).collect();
    let before = resident_kb();
    for some in numbers.chunks(BATCH) {
        let digits = some.iter().filter_map(|number| Digits::parse(&imsi(*number)));
        let keys = digits.map(|digits| IdentityKey::Identity(IdentityKind::Imsi, digits)).collect();
        cache.preload(keys).expect("read");
    }
    let held = (resident_kb() - before) * 1024;
    let stats = cache.stats();
    println!("## The cache of a directory, {endpoints} endpoints with three identities each, found by IMSI\n");
    println!("| what | measured |\n| --- | ---: |");
    println!("| bytes an endpoint, by the kernel's count | {} |", held / stats.entries.max(1));
    println!("| bytes an endpoint, as the cache counts them | {} |", stats.bytes / stats.entries.max(1));
    println!("| a hit: the snapshot of a batch made, ns a record | {} |", measure(&cache, endpoints, Look::Ask));
    println!("| the same and the lineage found, ns a record | {} |", measure(&cache, endpoints, Look::AskAndAnswer));
    let mut text = catalog();
    text.push_str("endpoints:\n");
    for number in numbers {
        let _ = writeln!(text, "  meter-{number:07}: {}", definition(number));
    }
    let input = Input { name: "files".into(), bytes: text.into(), kind: InputKind::Yaml };
    let files = load(vec![input]).expect("reference data").directory();
    println!("| yardstick: a lineage from files, ns a record | {} |", measure(&*files, endpoints, Look::AskAndAnswer));
}

/// Time that this thread had a processor, in nanoseconds: others on the machine disturb it less than they do the clock.
fn thread_time_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec * 1_000_000_000 + time.tv_nsec).expect("a time after the start")
}

/// Kilobytes of memory that this process holds, as the kernel counts them.
fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a process of Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse().expect("kilobytes")
}
