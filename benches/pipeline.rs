//! The whole pipeline on a real broker on the same machine, against the raw copier that reads the same usage and writes charges and deltas of
//! such usage, which were rated before: as many messages, of the same sizes, that compress as well.
//!
//! Each subject runs in a process of its own, in turn. A run begins when all workers have their partitions, with all usage there, and ends with
//! the last commit of rate.
//!
//! Run: `cargo bench -p rater-testkit --bench pipeline`. Environment: `RATER_BENCH_RECORDS` (300000), `RATER_BENCH_ENDPOINTS` (20000),
//! `RATER_BENCH_ROUNDS` (3), `RATER_BENCH_WORKERS` (2, of each stage), `RATER_BENCH_TRANSACTION` (20000 messages), `RATER_BENCH_BYTES` (6000000 to a transaction),
//! `RATER_BENCH_PARTITIONS` (4), `RATER_BENCH_TELEMETRY` (`off`; `compare` adds the same runs with metrics that are counted, served and read
//! every second, and with the log as JSON, instead of reports that nobody hears; their threads' own CPU time for that is a line of its own),
//! `RATER_BENCH_INTAKE` (`both`; `with` or `without` leaves the other out), `RATER_BENCH_PROPERTIES` (name=value,... of the client library,
//! for all subjects).

#[path = "shared/copier.rs"]
mod copier;
#[path = "shared/stages.rs"]
mod stages;
#[path = "shared/table.rs"]
mod table;
#[path = "shared/threads.rs"]
mod threads;
#[path = "shared/usage.rs"]
mod usage;

use copier::{Copies, Figures, copy, cpu_of_broker, cpu_seconds, middle, number, process, properties, report, setting};
use rating::Timestamp;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use runtime::kafka::{KafkaLog, KafkaSettings, Secret, block_on};
use runtime::service::topics::PartitionCounts;
use runtime::service::{ServiceReport, ServiceSettings, StageName, WorkerReport, run};
use runtime::telemetry::http::Server;
use runtime::telemetry::{ReferenceNumbers, Telemetry};
use runtime::worker::Report;
use runtime::worker::log::{GatherLimits, Log};
use rustix::time::ClockId;
use stages::Topics;
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use table::grouped;
use testkit::generator::{self, Parameters};
use testkit::load::{self, Connection, Extra, Form, Load};
use testkit::services::Kafka;
use testkit::{deployment, reference};
use tracing_subscriber::filter::LevelFilter;

/// As in the program itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Name of the transaction that stands in front of the input.
const GATE: &str = "gate";
const LIMIT: Duration = Duration::from_secs(60);
/// A stage that has committed nothing for so long has nothing left.
const QUIET: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// What is filled before a run.
const INPUTS: [&str; 2] = ["usage", "account-commands"];
/// What the copier writes.
const OUTPUTS: [&str; 2] = ["charges", "balance-deltas"];
/// Charges and deltas of a usage record.
const LEVELS: usize = 4;
/// Enough that what was sent once has left the compressor's memory before it is sent again.
const SAMPLE_RECORDS: u64 = 10_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["copier", bootstrap, prefix, folder] => {
            let copies = OUTPUTS.map(|topic| Copies {
                topic: format!("{prefix}{topic}"),
                each: LEVELS,
                values: read_sample(Path::new(folder), topic),
            });
            open(&KafkaLog::new(KafkaSettings::new([bootstrap.to_owned()])).expect("settings"), prefix);
            copy(bootstrap, &format!("{prefix}usage"), &copies, records(), transaction());
        }
        ["pipeline", bootstrap, prefix, folder, intake] => {
            pipeline(bootstrap, prefix, Path::new(folder), intake, None);
        }
        ["shown", bootstrap, prefix, folder, intake] => {
            // As the program does with --log-format json, at its usual level.
            let lines = tracing_subscriber::fmt().json().with_max_level(LevelFilter::INFO).with_writer(std::io::stderr);
            lines.init();
            let telemetry = Telemetry::new(&settings(bootstrap, prefix, intake), &[], Box::new(reference_numbers));
            let telemetry = Arc::new(telemetry.expect("telemetry"));
            pipeline(bootstrap, prefix, Path::new(folder), intake, Some(&telemetry));
        }
        _ => compare(),
    }
}

fn records() -> u64 {
    number(&setting("RECORDS", "300000"))
}

fn transaction() -> usize {
    number(&setting("TRANSACTION", "20000"))
}

fn shape(intake: &str) -> deployment::Shape {
    let partitions = number(&setting("PARTITIONS", "4"));
    deployment::Shape {
        partitions: PartitionCounts {
            inputs: partitions,
            intaken: partitions,
            guided: partitions,
            outputs: partitions,
        },
        skip_intake: intake == "without",
        workers: number(&setting("WORKERS", "2")),
        batch: transaction(),
    }
}

fn compare() {
    let kafka = Kafka::start().expect("a broker");
    let folder = tempfile::tempdir().expect("a folder");
    let parameters =
        Parameters { records: records(), endpoints: number(&setting("ENDPOINTS", "20000")), ..Parameters::bench(7) };
    generator::write_reference(&parameters, folder.path()).expect("reference data");
    write_samples(&parameters, folder.path());
    println!(
        "\n### pipeline: {} usage records, four levels, {} endpoints, broker beside\n",
        grouped(parameters.records as f64),
        grouped(parameters.endpoints as f64)
    );
    println!(
        "| subject | usage/s | spread | time / copier | CPU µs per usage | of the broker | messages out per usage |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    let mut subjects = vec!["copier", "with intake", "without intake"];
    if setting("TELEMETRY", "off") == "compare" {
        subjects.extend(["with intake, shown", "without intake, shown"]);
    }
    let intake = setting("INTAKE", "both");
    subjects.retain(|subject| intake == "both" || *subject == "copier" || subject.starts_with(&intake));
    let mut rounds: Vec<Vec<Figures>> = vec![Vec::new(); subjects.len()];
    // A broker compiles what it runs often; the first round is for that, and does not count.
    for round in 0..=number(&setting("ROUNDS", "3")) {
        // In turn one way and the other: what runs later finds the disk busier.
        let mut turn: Vec<_> = subjects.iter().zip(&mut rounds).collect();
        if round % 2 == 1 {
            turn.reverse();
        }
        for (subject, rounds) in turn {
            let intake = subject.split(' ').next().unwrap_or_default();
            let kind = if subject.ends_with(", shown") { "shown" } else { "pipeline" };
            let prefix = format!("{intake}-{kind}-{round}-");
            deployment::create_topics(&kafka, &prefix, shape(intake)).expect("topics");
            shut(&kafka, &prefix, shape(intake));
            fill(&kafka, &prefix, &parameters);
            let broker = kafka.brokers().first().and_then(|broker| broker.process_id());
            let parts = || broker.map(|broker| threads::parts(broker, &threads::BROKER)).unwrap_or_default();
            let (before, parts_before) = (cpu_of_broker(&kafka), parts());
            let folder = folder.path().to_string_lossy();
            let mut figures = match intake {
                "copier" => process(&["copier", kafka.bootstrap(), &prefix, &folder]),
                _ => process(&[kind, kafka.bootstrap(), &prefix, &folder, intake]),
            };
            figures.insert("broker".to_owned(), cpu_of_broker(&kafka) - before);
            for (part, seconds) in threads::since(&parts(), &parts_before) {
                figures.insert(format!("broker: {part}"), seconds);
            }
            if round > 0 {
                rounds.push(figures);
            }
        }
    }
    let yardstick = middle(&rounds[0], "seconds").expect("measured").0;
    for (subject, rounds) in subjects.iter().zip(&rounds) {
        let (seconds, spread) = middle(rounds, "seconds").expect("measured");
        let count = records() as f64;
        let shown = |name: &str, factor: f64| {
            middle(rounds, name).map_or("8".to_owned(), |(value, _)| format!("{:.2}", value * factor))
        };
        println!(
            "| {subject} | {} | ± {:.0} % | {:.2} | {} | {} | {} |",
            grouped(count / seconds),
            spread * 100.0,
            seconds / yardstick,
            middle(rounds, "cpu").map_or_else(String::new, |(cpu, spread)| {
                format!("{:.2} ± {:.1} %", cpu * 1e6 / count, spread * 100.0)
            }),
            shown("broker", 1e6 / count),
            shown("out", 1.0 / count),
        );
    }
    print_parts(&subjects, &rounds);
}

/// Where the CPU time went, by threads: those of the process of the pipeline, and the broker's.
fn print_parts(subjects: &[&str], rounds: &[Vec<Figures>]) {
    println!("\n### CPU time by threads, µs per usage record\n");
    println!("| threads | {} |", subjects.join(" | "));
    println!("| --- |{}", " ---: |".repeat(subjects.len()));
    let is_part = |name: &&String| name.contains(": ");
    let mut names: Vec<&String> = rounds.iter().flatten().flat_map(|figures| figures.keys().filter(is_part)).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let each = rounds.iter().map(|rounds| {
            middle(rounds, name).map_or("–".to_owned(), |(value, _)| format!("{:.3}", value * 1e6 / records() as f64))
        });
        println!("| {name} | {} |", each.collect::<Vec<_>>().join(" | "));
    }
}

/// Rates usage of the same reference data without a broker, for the copier to have something to send.
fn write_samples(parameters: &Parameters, reference: &Path) {
    let folder = tempfile::tempdir().expect("a folder");
    let parameters = Parameters { records: SAMPLE_RECORDS, ..parameters.clone() };
    generator::write_files(&parameters, folder.path()).expect("generated files");
    let (mut guided, mut rated) = (Topics::default(), Topics::default());
    let loaded = reference::load(folder.path()).expect("reference data");
    stages::run(&mut stages::guide(&loaded, 1, false), &usage::usage(folder.path(), 1), &mut guided);
    stages::run(&mut testkit::stages::rate(1, 1), &guided, &mut rated);
    for topic in OUTPUTS {
        let messages = &rated[&(topic.to_owned(), 0)];
        let values: Vec<&[u8]> = messages.iter().map(|(_, value)| &value[..]).collect();
        let sample = serde_json::to_vec(&values).expect("a sample");
        std::fs::write(sample_path(reference, topic), sample).expect("a sample written");
    }
}

fn sample_path(folder: &Path, topic: &str) -> PathBuf {
    folder.join(format!("sample-{topic}.json"))
}

fn read_sample(folder: &Path, topic: &str) -> Vec<Vec<u8>> {
    serde_json::from_slice(&std::fs::read(sample_path(folder, topic)).expect("a sample")).expect("values")
}

/// Opens a transaction in front of everything that is going to be in the inputs: nobody reads on until it is fenced. So the clock starts
/// when all workers have their partitions, with everything there.
fn shut(kafka: &Kafka, prefix: &str, shape: deployment::Shape) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", kafka.bootstrap()).set("transactional.id", format!("{prefix}{GATE}"));
    config.set("transaction.timeout.ms", "900000");
    let producer: ThreadedProducer<DefaultProducerContext> = config.create().expect("a producer");
    producer.init_transactions(LIMIT).expect("a transactional id");
    producer.begin_transaction().expect("begun");
    for topic in INPUTS {
        let topic = format!("{prefix}{topic}");
        for partition in 0..i32::try_from(shape.partitions.inputs).expect("few") {
            let record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&topic).partition(partition).payload(b"shut");
            producer.send(record).map_err(|(error, _)| error).expect("sent");
        }
    }
    producer.flush(LIMIT).expect("delivered");
}

/// Ends that transaction: the input is there at once.
fn open(log: &KafkaLog, prefix: &str) {
    block_on(log.fence(&format!("{prefix}{GATE}"))).expect("fenced");
}

fn fill(kafka: &Kafka, prefix: &str, parameters: &Parameters) {
    let load = Load {
        parameters: parameters.clone(),
        form: Form::Json,
        usage: format!("{prefix}usage"),
        commands: Some(format!("{prefix}account-commands")),
        ticks: Some(format!("{prefix}ticks")),
        rate: None,
        copies_per_mille: 0,
        first: Vec::new(),
        extra: Extra::default(),
    };
    let sent = load::run(&load, &Connection::new(kafka.bootstrap()), &mut |_| {}).expect("sent");
    assert_eq!(sent.failed, 0, "messages that were not sent");
}

fn settings(bootstrap: &str, prefix: &str, intake: &str) -> ServiceSettings {
    ServiceSettings {
        limits: GatherLimits {
            messages: transaction(),
            bytes: number(&setting("BYTES", "6000000")),
            wait: Duration::from_millis(100),
        },
        ..deployment::settings(bootstrap, prefix, shape(intake))
    }
}

fn reference_numbers() -> ReferenceNumbers {
    ReferenceNumbers { confirmed: Timestamp::EPOCH, is_good: true, is_fresh: true, cache: None }
}

/// Reads the metrics every second, as nobody would in earnest.
fn scrape(server: &Server, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let mut stream = TcpStream::connect(server.address()).expect("a connection");
        stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").expect("sent");
        let mut page = String::new();
        stream.read_to_string(&mut page).expect("a page");
        assert!(page.contains("rater_workers"), "{page}");
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// A process: all stages, until the last charge is there; with telemetry that counts and is read, or with nobody listening.
fn pipeline(bootstrap: &str, prefix: &str, folder: &Path, intake: &str, telemetry: Option<&Arc<Telemetry>>) {
    let loaded = reference::load(folder).expect("reference data");
    let shape = shape(intake);
    let mut settings = settings(bootstrap, prefix, intake);
    let given = properties().into_iter().map(|(name, value)| (name, Secret::new(value)));
    settings.kafka.properties.extend(given);
    let directory = loaded.directory();
    let log = KafkaLog::new(KafkaSettings::new([bootstrap.to_owned()])).expect("settings");
    let ends = |topic: &str| -> i64 {
        let topic = format!("{prefix}{topic}");
        (0..shape.partitions.outputs)
            .map(|partition| block_on(log.uncommitted_end(&topic, partition)).expect("an end"))
            .sum()
    };
    let partitions = |topic: &str| block_on(log.partitions(&format!("{prefix}{topic}"))).expect("a topic") as usize;
    let inner: &[&str] = if shape.skip_intake { &["guided"] } else { &["intaken", "guided"] };
    let all: usize = INPUTS.iter().chain(inner).map(|topic| partitions(topic)).sum();
    // How many partitions each worker has read the state of.
    let owned: Mutex<HashMap<(&str, u16), usize>> = Mutex::default();
    let has_all = || {
        let owned = owned.lock().expect("no panic");
        let everybody = (inner.len() + 1) * usize::from(shape.workers);
        owned.values().filter(|owned| **owned > 0).count() == everybody && owned.values().sum::<usize>() == all
    };
    let stop = AtomicBool::new(false);
    let telling_ns = AtomicU64::new(0);
    let parts = || threads::parts(std::process::id(), &threads::PIPELINE);
    // What was used up to the last commit that put something out; asking the broker for it would cost as much as some of its work.
    let last_commit = Mutex::new(None);
    let told = |told: ServiceReport<'_>| {
        match &told {
            ServiceReport::Worker(WorkerReport {
                stage: stage @ (StageName::Intake | StageName::Guide | StageName::Rate),
                number,
                report: Report::Started { partitions, .. },
            }) => {
                owned.lock().expect("no panic").insert((stage.name(), *number), *partitions);
            }
            ServiceReport::Worker(WorkerReport {
                stage: StageName::Rate, report: Report::Committed { .. }, ..
            }) => {
                let now = (Instant::now(), cpu_seconds(ClockId::ProcessCPUTime), parts());
                *last_commit.lock().expect("no panic") = Some(now);
            }
            _ => {}
        }
        if let Some(telemetry) = telemetry {
            let before = cpu_seconds(ClockId::ThreadCPUTime);
            telemetry.tell(&told);
            let taken = cpu_seconds(ClockId::ThreadCPUTime) - before;
            telling_ns.fetch_add((taken * 1e9) as u64, Ordering::Relaxed);
        }
    };
    let server = telemetry
        .map(|telemetry| Server::start(SocketAddr::from(([127, 0, 0, 1], 0)), telemetry.clone()).expect("a server"));
    std::thread::scope(|scope| {
        let running = scope.spawn(|| run::run(&settings, &directory, &stop, &told).expect("a run"));
        let scraping = server.as_ref().map(|server| scope.spawn(|| scrape(server, &stop)));
        // Joining groups is not what is measured.
        while !has_all() {
            std::thread::sleep(LOOK_AGAIN);
        }
        open(&log, prefix);
        let (start, cpu, parts_before) = (Instant::now(), cpu_seconds(ClockId::ProcessCPUTime), parts());
        telling_ns.store(0, Ordering::Relaxed);
        let (grown, used, parts_after) = loop {
            std::thread::sleep(LOOK_AGAIN);
            let last = last_commit.lock().expect("no panic").clone();
            if let Some(last) = last.filter(|(grown, ..)| grown.elapsed() >= QUIET) {
                break last;
            }
        };
        report("seconds", grown.duration_since(start).as_secs_f64());
        report("cpu", used - cpu);
        report("out", (ends("charges") + ends("balance-deltas")) as f64);
        for (part, seconds) in threads::since(&parts_after, &parts_before) {
            report(&format!("pipeline: {part}"), seconds);
        }
        let told_seconds = telling_ns.load(Ordering::Relaxed) as f64 / 1e9;
        stop.store(true, Ordering::Relaxed);
        running.join().expect("the service");
        if let Some((scraping, telemetry)) = scraping.zip(telemetry) {
            scraping.join().expect("pages");
            report("pipeline: telemetry, within these: told", told_seconds);
            let before = cpu_seconds(ClockId::ThreadCPUTime);
            let page = telemetry.page().expect("a page");
            let each = cpu_seconds(ClockId::ThreadCPUTime) - before;
            assert!(page.contains("rater_workers"));
            let seconds = grown.duration_since(start).as_secs_f64();
            report("pipeline: telemetry, within these: a page every second", each * seconds);
        }
    });
}
