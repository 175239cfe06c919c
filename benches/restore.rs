//! How long the state of rate takes to come back: a changelog on a real broker, read as a worker reads it that was given the partitions.
//!
//! The state is made in memory: one record for each endpoint, each with a plan and so an account of its own, through guide and rate. What
//! rate writes to its changelog goes to the broker as it is. Then all partitions are restored, one after the other, on one thread.
//!
//! Run: `cargo bench -p rater-testkit --bench restore`. Environment: `RATER_BENCH_ENDPOINTS` (1000000), `RATER_BENCH_PARTITIONS` (4),
//! `RATER_BENCH_ROUNDS` (3).

#[path = "shared/stages.rs"]
mod stages;
#[path = "shared/table.rs"]
mod table;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use runtime::kafka::{KafkaLog, KafkaSettings, block_on};
use runtime::worker::Stage;
use runtime::worker::log::{Log, Partition};
use stages::{Topics, cpu_seconds, guide, run, setting};
use std::time::{Duration, Instant};
use table::{grouped, median};
use testkit::generator::{self, Parameters};
use testkit::reference;
use testkit::services::Kafka;
use testkit::stages::rate;

/// As in the program itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TOPIC: &str = "rate-changelog";

fn main() {
    let (endpoints, partitions) = (setting("ENDPOINTS", 1_000_000), setting("PARTITIONS", 4_u32));
    let folder = tempfile::tempdir().expect("a folder");
    generator::write_reference(&Parameters { endpoints, ..Parameters::bench(7) }, folder.path()).expect("written");
    let loaded = reference::load(folder.path()).expect("reference data");
    let (mut guided, mut rated) = (Topics::new(), Topics::new());
    run(&mut guide(&loaded, partitions, false), &usage(endpoints, partitions), &mut guided);
    let made = run(&mut rate(partitions, partitions as usize), &guided, &mut rated);
    println!("made by {} commits in {:.1} s of CPU time", made.batches, made.seconds);
    let changelog: Topics = rated.into_iter().filter(|((topic, _), _)| topic == TOPIC).collect();

    let kafka = Kafka::start().expect("a broker");
    let count = u16::try_from(partitions).expect("few");
    kafka
        .create_topic(TOPIC, count, &[("cleanup.policy", "compact"), ("max.message.bytes", "2000000")])
        .expect("a topic");
    let (messages, bytes) = write(&kafka, &changelog);
    let log = KafkaLog::new(KafkaSettings::new([kafka.bootstrap().to_owned()])).expect("settings");
    let (mut walls, mut cpus) = (Vec::new(), Vec::new());
    for _ in 0..setting("ROUNDS", 3) {
        let (start, cpu) = (Instant::now(), cpu_seconds());
        let mut stage = rate(partitions, partitions as usize);
        for number in 0..partitions {
            let partition = Partition { topic: 0, number };
            stage.create(partition);
            let end = block_on(log.uncommitted_end(TOPIC, number)).expect("an end");
            let mut put_back = |_: runtime::worker::log::Offset, key: &[u8], value: Option<&[u8]>| {
                stage.restore(partition, key, value).expect("restored")
            };
            block_on(log.read_committed(TOPIC, number, end, &mut put_back)).expect("read");
            assert!(stage.restored(partition).expect("complete").is_some(), "no position");
        }
        walls.push(start.elapsed().as_secs_f64());
        cpus.push(cpu_seconds() - cpu);
    }
    let ((wall, spread), (cpu, _)) = (median(walls), median(cpus));
    println!(
        "\n### restore: accounts of {} endpoints, {partitions} partitions, one thread\n",
        grouped(endpoints as f64)
    );
    println!("| messages | bytes | seconds | spread | CPU seconds of the thread | accounts/s |");
    println!("| ---: | ---: | ---: | ---: | ---: | ---: |");
    println!(
        "| {} | {} | {wall:.2} | ± {:.0} % | {cpu:.2} | {} |",
        grouped(messages as f64),
        grouped(bytes as f64),
        spread * 100.0,
        grouped(endpoints as f64 / wall)
    );
}

/// A record for each endpoint.
fn usage(endpoints: u64, partitions: u32) -> Topics {
    let mut topics = Topics::new();
    for number in 0..endpoints {
        let line = format!(
            "{{\"id\":\"u{number}\",\"source\":\"pgw-1\",\"service\":\"data\",\"quantity\":{},\"event_time\":\"2026-01-05T10:00:00Z\",\
             \"imsi\":\"00101{number:010}\",\"mcc\":\"234\",\"mnc\":\"15\",\"session_id\":\"s{number}\"}}",
            1000 + number % 1_000_000
        );
        let partition = u32::try_from(number % u64::from(partitions)).expect("few");
        let message = (format!("00101{number:010}").into_bytes(), line.into_bytes());
        topics.entry(("usage".to_owned(), partition)).or_default().push(message);
    }
    topics
}

/// Sends the changelog as it is; messages and bytes.
fn write(kafka: &Kafka, changelog: &Topics) -> (usize, usize) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", kafka.bootstrap()).set("compression.type", "lz4").set("enable.idempotence", "true");
    let producer: BaseProducer = config.create().expect("a producer");
    let (mut messages, mut bytes) = (0, 0);
    for ((_, partition), all) in changelog {
        for (key, value) in all {
            let partition = i32::try_from(*partition).expect("few");
            let mut record = BaseRecord::to(TOPIC).partition(partition).key(key).payload(value);
            while let Err((_, again)) = producer.send(record) {
                producer.poll(Duration::from_millis(5));
                record = again;
            }
            messages += 1;
            bytes += key.len() + value.len();
        }
        producer.flush(Duration::from_secs(60)).expect("delivered");
    }
    (messages, bytes)
}
