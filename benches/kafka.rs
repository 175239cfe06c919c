//! A real broker on the same machine: messages in, messages out, exactly once.
//!
//! The yardstick is a transactional copier written straight on the client library: it polls, sends what it is told to for each message,
//! adds the positions and commits. The other subjects read the same topic and write as many messages of the same sizes. Each subject
//! runs in a process of its own, in turn, so that CPU time is theirs; the broker's CPU time is that of its process meanwhile.
//!
//! Run: `cargo bench -p rater-testkit --bench kafka`. Environment: `RATER_BENCH_MESSAGES` (300000), `RATER_BENCH_SIZE` (200 bytes in),
//! `RATER_BENCH_SHAPES` (1x200,4x200,8x120: messages out for each one in, and their size), `RATER_BENCH_TRANSACTION` (20000 messages in),
//! `RATER_BENCH_PARTITIONS` (4), `RATER_BENCH_ROUNDS` (3), `RATER_BENCH_PROPERTIES` (name=value,... of the producer, for trying things).

#[path = "shared/copier.rs"]
mod copier;
#[path = "shared/table.rs"]
mod table;

use copier::{
    Copies, Figures, copy, cpu_of_broker, cpu_seconds, middle, number, process, properties, report, send, setting,
};
use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use runtime::kafka::{KafkaLog, KafkaSettings, Secret, block_on};
use runtime::worker::log::{Batch, GatherLimits, Partition};
use runtime::worker::{
    FactsMissing, ForgottenPositions, Output, Report, Stage, StageError, Target, Worker, WorkerSettings,
};
use rustix::time::ClockId;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use table::grouped;
use testkit::services::Kafka;

const LIMIT: Duration = Duration::from_secs(60);

/// What goes out for each message that comes in.
#[derive(Clone, Copy)]
struct Shape {
    /// How many.
    messages: usize,
    /// Bytes of each.
    bytes: usize,
}

impl Shape {
    /// Like 4x200.
    fn parse(text: &str) -> Shape {
        let (messages, bytes) = text.split_once('x').unwrap_or_else(|| panic!("{text}: not like 4x200"));
        Shape { messages: number(messages), bytes: number(bytes) }
    }
}

/// Text that compresses about as well as records do: half of it is the same everywhere.
fn text(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        b"0123456789abcdef"[(state >> 59) as usize & 15]
    };
    (0..bytes).map(|at| if at / 8 % 2 == 0 { b"usage-id"[at % 8] } else { next() }).collect()
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["copier", bootstrap, input, output, shape] => {
            let shape = Shape::parse(shape);
            let copies = Copies { topic: output.to_owned(), each: shape.messages, values: vec![text(1, shape.bytes)] };
            copy(bootstrap, input, &[copies], messages(), transaction());
        }
        ["worker", bootstrap, input, output, shape] => work(bootstrap, input, output, Shape::parse(shape)),
        _ => compare(),
    }
}

fn messages() -> u64 {
    number(&setting("MESSAGES", "300000"))
}

fn transaction() -> usize {
    number(&setting("TRANSACTION", "20000"))
}

fn compare() {
    let kafka = Kafka::start().expect("a broker");
    let partitions: u16 = number(&setting("PARTITIONS", "4"));
    let size: usize = number(&setting("SIZE", "200"));
    kafka.create_topic("in", partitions, &[]).expect("a topic");
    fill(kafka.bootstrap(), size, i32::from(partitions));
    println!(
        "\n### kafka: {} messages of {size} bytes in, {} a transaction, {partitions} partitions, broker beside\n",
        grouped(messages() as f64),
        grouped(transaction() as f64)
    );
    println!(
        "| out for each | subject | messages in/s | spread | time / copier | CPU µs per message | of the broker | poll, ns | send, ns | offsets and commit, ms |"
    );
    println!("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for shape in setting("SHAPES", "1x200,4x200,8x120").split(',') {
        let subjects = ["copier", "worker"];
        let mut rounds: Vec<Vec<Figures>> = vec![Vec::new(); subjects.len()];
        for round in 0..number(&setting("ROUNDS", "3")) {
            for (subject, rounds) in subjects.iter().zip(&mut rounds) {
                let output = format!("out-{subject}-{shape}-{round}");
                kafka.create_topic(&output, partitions, &[]).expect("a topic");
                kafka
                    .create_topic(&format!("{output}-log"), partitions, &[("cleanup.policy", "compact")])
                    .expect("a topic");
                let before = cpu_of_broker(&kafka);
                let mut figures = process(&[subject, kafka.bootstrap(), "in", &output, shape]);
                figures.insert("broker".to_owned(), cpu_of_broker(&kafka) - before);
                rounds.push(figures);
            }
        }
        let yardstick = middle(&rounds[0], "seconds").expect("measured").0;
        for (subject, rounds) in subjects.iter().zip(&rounds) {
            let (seconds, spread) = middle(rounds, "seconds").expect("measured");
            let count = messages() as f64;
            let shown = |name: &str, factor: f64, digits: usize| {
                middle(rounds, name).map_or("–".to_owned(), |(value, _)| format!("{:.digits$}", value * factor))
            };
            println!(
                "| {shape} | {subject} | {} | ± {:.0} % | {:.2} | {} | {} | {} | {} | {} |",
                grouped(count / seconds),
                spread * 100.0,
                seconds / yardstick,
                shown("cpu", 1e6 / count, 2),
                shown("broker", 1e6 / count, 2),
                shown("poll", 1e9, 0),
                shown("send", 1e9, 0),
                shown("commit", 1e3, 1),
            );
        }
    }
}

fn fill(bootstrap: &str, size: usize, partitions: i32) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("compression.type", "lz4").set("linger.ms", "20");
    let producer: ThreadedProducer<DefaultProducerContext> = config.create().expect("a producer");
    for at in 0..messages() {
        let (key, value) = (format!("account-{:08}", at % 10_000), text(at, size));
        let record = BaseRecord::to("in").partition((at % partitions as u64) as i32).key(&key).payload(&value);
        send(&producer, record);
    }
    producer.flush(LIMIT).expect("written");
}

/// The least that a stage can do: as many messages out as the copier, and its position.
struct Copier {
    inputs: Vec<String>,
    outputs: Vec<String>,
    shape: Shape,
    value: Vec<u8>,
    positions: BTreeMap<Partition, i64>,
}

impl Stage for Copier {
    fn inputs(&self) -> &[String] {
        &self.inputs
    }

    fn outputs(&self) -> &[String] {
        &self.outputs
    }

    fn changelog(&self) -> &str {
        &self.outputs[1]
    }

    fn create(&mut self, _: Partition) {}

    fn restore(&mut self, _: Partition, _: &[u8], _: Option<&[u8]>) -> Result<(), StageError> {
        Ok(())
    }

    fn restored(&mut self, _: Partition) -> Result<Option<i64>, StageError> {
        Ok(None)
    }

    fn drop_state(&mut self, _: Partition) {}

    fn prepare(&mut self, _: &Batch) -> Result<(), FactsMissing> {
        Ok(())
    }

    fn execute(&mut self, batch: &Batch, output: &mut Output) -> Result<(), StageError> {
        for message in batch.messages() {
            let target = Target { topic: 0, partition: Some(message.partition.number) };
            for _ in 0..self.shape.messages {
                output.push(target, message.key, |bytes| bytes.extend_from_slice(&self.value));
            }
            self.positions.insert(message.partition, message.offset + 1);
        }
        for (partition, position) in &self.positions {
            let target = Target { topic: 1, partition: Some(partition.number) };
            output.push(target, Some(b"@"), |bytes| bytes.extend_from_slice(&position.to_be_bytes()));
        }
        Ok(())
    }

    fn positions(&self) -> Vec<(Partition, i64)> {
        self.positions.iter().map(|(partition, position)| (*partition, *position)).collect()
    }

    fn settle(&mut self) {
        self.positions.clear();
    }

    fn undo(&mut self) {
        self.positions.clear();
    }
}

/// A process: the product's worker with a stage that does nothing else.
fn work(bootstrap: &str, input: &str, output: &str, shape: Shape) {
    let mut settings = KafkaSettings::new(bootstrap.split(',').map(str::to_owned));
    settings.properties.extend(properties().into_iter().map(|(name, value)| (name, Secret::new(value))));
    let log = KafkaLog::new(settings).expect("settings");
    let stage = Copier {
        inputs: vec![input.to_owned()],
        outputs: vec![output.to_owned(), format!("{output}-log")],
        shape,
        value: text(1, shape.bytes),
        positions: BTreeMap::new(),
    };
    let limits = GatherLimits { messages: transaction(), bytes: 64 << 20, wait: Duration::from_millis(500) };
    let settings = WorkerSettings {
        group: output.to_owned(),
        transactional_id: output.to_owned(),
        limits,
        given_up: runtime::worker::GivenUp::default(),
        attempts: 3,
        forgotten_positions: ForgottenPositions::Stop,
        topics_made_anew: Vec::new(),
    };
    let (stop, done) = (AtomicBool::new(false), std::cell::Cell::new(0));
    let start = std::cell::Cell::new((Instant::now(), 0.0));
    let finish = std::cell::Cell::new((0.0, 0.0));
    let told = |told: Report<'_>| match told {
        Report::Restored(..) if done.get() == 0 => start.set((Instant::now(), cpu_seconds(ClockId::ProcessCPUTime))),
        Report::Committed { received, .. } => {
            done.set(done.get() + received as u64);
            if done.get() >= messages() {
                let (start, cpu) = start.get();
                finish.set((start.elapsed().as_secs_f64(), cpu_seconds(ClockId::ProcessCPUTime) - cpu));
                stop.store(true, Ordering::Relaxed);
            }
        }
        Report::Assigned(_)
        | Report::Restored(..)
        | Report::Started { .. }
        | Report::Released(_)
        | Report::Behind(_)
        | Report::Refused(..)
        | Report::BeganAnew { .. }
        | Report::GaveUp(_)
        | Report::PassedOver { .. }
        | Report::Ended(_) => {}
        Report::Aborted(why) | Report::Uncertain(why) | Report::Restarted(why) | Report::Waiting(why) => {
            panic!("{why}")
        }
        Report::Mismatch(check) => panic!("{check}"),
    };
    block_on(Worker::new(&log, stage, settings, &stop, &told).run()).expect("a run");
    let (seconds, cpu) = finish.get();
    report("seconds", seconds);
    report("cpu", cpu);
}
