//! How long it takes from a usage record to its charges: usage comes at a given rate, all stages run, and somebody reads charges as a billing
//! system does, committed ones only.
//!
//! A latency goes from the time that the producer stamped on the usage message to the moment in which the reader has a charge of that
//! record, four times per record. What is sent in the first seconds only warms up.
//!
//! Run: `cargo bench -p rater-testkit --bench latency`. Environment: `RATER_BENCH_RATE` (20000 records a second), `RATER_BENCH_SECONDS` (20),
//! `RATER_BENCH_WARM_UP` (10 seconds), `RATER_BENCH_ENDPOINTS` (20000), `RATER_BENCH_PARTITIONS` (4), `RATER_BENCH_WORKERS` (2, of each stage),
//! `RATER_BENCH_WAIT_MS` (100: how long a stage gathers at most), `RATER_BENCH_INTAKE` (with,without).

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Message, Offset, TopicPartitionList};
use runtime::service::topics::PartitionCounts;
use runtime::service::{ServiceReport, ServiceSettings, WorkerReport, run};
use runtime::worker::Report;
use runtime::worker::log::GatherLimits;
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use testkit::generator::{self, Parameters};
use testkit::load::{self, Connection, Extra, Form, Load};
use testkit::services::Kafka;
use testkit::{deployment, reference};

/// As in the program itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Nothing has come for so long: nothing comes any more.
const QUIET: Duration = Duration::from_secs(3);

fn setting<N: std::str::FromStr>(name: &str, default: N) -> N {
    let text = std::env::var(format!("RATER_BENCH_{name}")).ok();
    text.map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{text}: no number")))
}

fn main() {
    let kafka = Kafka::start().expect("a broker");
    let folder = tempfile::tempdir().expect("a folder");
    let (rate, warm_up): (u32, u64) = (setting("RATE", 20_000), setting("WARM_UP", 10));
    let records = u64::from(rate) * (warm_up + setting("SECONDS", 20));
    let parameters = Parameters { records, endpoints: setting("ENDPOINTS", 20_000), ..Parameters::bench(7) };
    generator::write_reference(&parameters, folder.path()).expect("reference data");
    println!("\n### latency: {rate} usage records a second, four levels\n");
    println!("| subject | charges | p50, ms | p90, ms | p99, ms | p99.9, ms | max, ms |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    for intake in setting("INTAKE", "with,without".to_owned()).split(',') {
        let mut latencies = measure(&kafka, intake, &parameters, NonZeroU32::new(rate).expect("a rate"), folder.path());
        latencies.sort_unstable();
        assert!(!latencies.is_empty(), "no charge of what was sent after the first seconds");
        let at = |per_mille: usize| latencies[(latencies.len() - 1) * per_mille / 1000];
        println!(
            "| {intake} intake | {} | {} | {} | {} | {} | {} |",
            latencies.len(),
            at(500),
            at(900),
            at(990),
            at(999),
            at(1000)
        );
    }
}

/// Latencies in milliseconds.
fn measure(kafka: &Kafka, intake: &str, parameters: &Parameters, rate: NonZeroU32, folder: &Path) -> Vec<i64> {
    let partitions: u32 = setting("PARTITIONS", 4);
    let prefix = format!("{intake}-");
    let shape = deployment::Shape {
        partitions: PartitionCounts {
            inputs: partitions,
            intaken: partitions,
            guided: partitions,
            outputs: partitions,
        },
        skip_intake: intake == "without",
        workers: setting("WORKERS", 2),
        batch: 20_000,
    };
    deployment::create_topics(kafka, &prefix, shape).expect("topics");
    let wait = Duration::from_millis(setting("WAIT_MS", 100));
    let settings = ServiceSettings {
        limits: GatherLimits { messages: shape.batch, bytes: 6 << 20, wait },
        ..deployment::settings(kafka.bootstrap(), &prefix, shape)
    };
    let directory = reference::load(folder).expect("reference data").directory();
    let (stop, is_ready) = (AtomicBool::new(false), AtomicBool::new(false));
    let told = |told: ServiceReport<'_>| {
        if let ServiceReport::Worker(WorkerReport { report: Report::Restored(..), .. }) = told {
            is_ready.store(true, Ordering::Relaxed);
        }
    };
    let load = Load {
        parameters: parameters.clone(),
        form: Form::Json,
        usage: format!("{prefix}usage"),
        commands: Some(format!("{prefix}account-commands")),
        ticks: Some(format!("{prefix}ticks")),
        rate: Some(rate),
        copies_per_mille: 0,
        first: Vec::new(),
        extra: Extra::default(),
    };
    let seen = std::thread::scope(|scope| {
        let running = scope.spawn(|| run::run(&settings, &directory, &stop, &told).expect("a run"));
        while !is_ready.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let reader = scope.spawn(|| read(kafka, &format!("{prefix}charges"), partitions, &stop, usage_of_charge));
        load::run(&load, &Connection::new(kafka.bootstrap()), &mut |_| {}).expect("sent");
        let seen = reader.join().expect("a reader");
        stop.store(true, Ordering::Relaxed);
        running.join().expect("the service");
        seen
    });
    let sent = read(kafka, &load.usage, partitions, &stop, usage_of_json);
    let first = sent.iter().map(|usage| usage.stamped).min().expect("usage");
    let counted_from = first + setting("WARM_UP", 10) * 1000;
    // Of copies the first counts.
    let named = sent.into_iter().rev().filter(|usage| !usage.id.is_empty());
    let sent: HashMap<String, i64> = named.map(|usage| (usage.id, usage.stamped)).collect();
    let counted = seen.into_iter().filter_map(|charge| Some((charge.at, *sent.get(&charge.id)?)));
    counted.filter(|(_, sent)| *sent >= counted_from).map(|(at, sent)| at - sent).collect()
}

/// A message of a usage record: its id, the time stamped on it, and when it was there, both in milliseconds since 1970.
struct Seen {
    id: String,
    stamped: i64,
    at: i64,
}

/// Reads a topic until nothing comes any more.
fn read(kafka: &Kafka, topic: &str, partitions: u32, stop: &AtomicBool, id: fn(&[u8]) -> Option<String>) -> Vec<Seen> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", kafka.bootstrap()).set("group.id", "latency").set("enable.auto.commit", "false");
    config.set("isolation.level", "read_committed").set("fetch.wait.max.ms", "10").set("fetch.queue.backoff.ms", "1");
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        let partition = i32::try_from(partition).expect("few");
        list.add_partition_offset(topic, partition, Offset::Beginning).expect("a partition");
    }
    consumer.assign(&list).expect("assigned");
    let (mut seen, mut grown) = (Vec::new(), Instant::now());
    while (seen.is_empty() && !stop.load(Ordering::Relaxed)) || grown.elapsed() < QUIET {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
        let message = message.expect("a message");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
        grown = Instant::now();
        // Ticks, broken usage and charges of bundles have none.
        let id = message.payload().and_then(id).unwrap_or_default();
        let stamped = message.timestamp().to_millis().expect("a time");
        seen.push(Seen { id, stamped, at: i64::try_from(now).expect("before the year 292278994") });
    }
    seen
}

fn usage_of_json(line: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(line).ok()?;
    let (_, rest) = text.split_once("\"id\":\"")?;
    Some(rest.split_once('"')?.0.to_owned())
}

/// The usage id of a framed charge: behind its id, revision, kind and what it reverses.
fn usage_of_charge(message: &[u8]) -> Option<String> {
    let rest = &mut message.get(10..)?;
    text(rest)?;
    long(rest)?;
    text(rest)?;
    if long(rest)? == 1 {
        text(rest)?;
    }
    if long(rest)? == 1 { text(rest) } else { None }
}

fn long(rest: &mut &[u8]) -> Option<i64> {
    let (mut value, mut shift) = (0_u64, 0);
    loop {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return Some((value >> 1).cast_signed() ^ -((value & 1).cast_signed()));
        }
    }
}

fn text(rest: &mut &[u8]) -> Option<String> {
    // First the length: it moves what is left.
    let length = usize::try_from(long(rest)?).ok()?;
    let (text, after) = rest.split_at_checked(length)?;
    *rest = after;
    String::from_utf8(text.to_vec()).ok()
}
