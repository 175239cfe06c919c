//! A real broker on the same machine: messages in, messages out, exactly once.
//!
//! The yardstick is a transactional copier written straight on the client library: it polls, sends what it is told to for each message,
//! adds the positions and commits. The other subjects read the same topic and write as many messages of the same sizes. Each subject
//! runs in a process of its own, in turn, so that CPU time is theirs; the broker's CPU time is that of its process meanwhile.
//!
//! Run: `cargo bench -p rater-testkit --bench kafka`. Environment: `RATER_BENCH_MESSAGES` (300000), `RATER_BENCH_SIZE` (200 bytes in),
//! `RATER_BENCH_SHAPES` (1x200,4x200,8x120: messages out for each one in, and their size), `RATER_BENCH_TRANSACTION` (20000 messages in),
//! `RATER_BENCH_PARTITIONS` (4), `RATER_BENCH_ROUNDS` (3), `RATER_BENCH_PROPERTIES` (name=value,... of the producer, for trying things).

#[path = "shared/table.rs"]
mod table;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Message, Offset, TopicPartitionList};
use runtime::kafka::{KafkaLog, KafkaSettings, Secret, block_on};
use runtime::worker::log::{Batch, GatherLimits, Partition};
use runtime::worker::{
    FactsMissing, ForgottenPositions, Output, Report, Stage, StageError, Target, Worker, WorkerSettings,
};
use rustix::time::{ClockId, clock_gettime};
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use table::{grouped, median};
use testkit::services::Kafka;

const LIMIT: Duration = Duration::from_secs(60);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["copier", bootstrap, input, output, shape] => copy(bootstrap, input, output, Shape::parse(shape)),
        ["worker", bootstrap, input, output, shape] => work(bootstrap, input, output, Shape::parse(shape)),
        _ => compare(),
    }
}

/// What goes out for each message that comes in.
#[derive(Clone, Copy)]
struct Shape {
    messages: usize,
    bytes: usize,
}

impl Shape {
    fn parse(text: &str) -> Shape {
        let (messages, bytes) = text.split_once('x').unwrap_or_else(|| panic!("{text}: not like 4x200"));
        Shape { messages: number(messages), bytes: number(bytes) }
    }
}

fn number<N: std::str::FromStr>(text: &str) -> N {
    text.trim().parse().unwrap_or_else(|_| panic!("{text}: no number"))
}

fn setting(name: &str, default: &str) -> String {
    std::env::var(format!("RATER_BENCH_{name}")).unwrap_or_else(|_| default.to_owned())
}

fn messages() -> u64 {
    number(&setting("MESSAGES", "300000"))
}

fn transaction() -> usize {
    number(&setting("TRANSACTION", "20000"))
}

/// What a process of ours reports: figures by name.
type Figures = BTreeMap<String, f64>;

fn report(name: &str, value: f64) {
    println!("{name}={value}");
}

fn process(arguments: &[&str]) -> Figures {
    let program = std::env::current_exe().expect("this program");
    let output = Command::new(program).args(arguments).output().expect("a process");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    let figures = text.lines().filter_map(|line| line.split_once('='));
    figures.map(|(name, value)| (name.to_owned(), value.parse().expect("a figure"))).collect()
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
        let of = |rounds: &[Figures], name: &str| {
            let values: Vec<f64> = rounds.iter().filter_map(|figures| figures.get(name).copied()).collect();
            (!values.is_empty()).then(|| median(values))
        };
        let yardstick = of(&rounds[0], "seconds").expect("measured").0;
        for (subject, rounds) in subjects.iter().zip(&rounds) {
            let (seconds, spread) = of(rounds, "seconds").expect("measured");
            let count = messages() as f64;
            let shown = |name: &str, factor: f64, digits: usize| {
                of(rounds, name).map_or("–".to_owned(), |(value, _)| format!("{:.digits$}", value * factor))
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

/// CPU time in seconds of the first broker of our own, from the system.
fn cpu_of_broker(kafka: &Kafka) -> f64 {
    let Some(id) = kafka.brokers().first().and_then(|broker| broker.process_id()) else { return f64::NAN };
    let text = std::fs::read_to_string(format!("/proc/{id}/stat")).expect("a process");
    // After the name in parentheses: the 12th and 13th are user and system time in hundredths of a second.
    let fields: Vec<&str> = text.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ').collect();
    (number::<f64>(fields[11]) + number::<f64>(fields[12])) / 100.0
}

fn cpu_seconds(clock: ClockId) -> f64 {
    let now = clock_gettime(clock);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
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

fn send(
    producer: &ThreadedProducer<DefaultProducerContext>,
    mut record: BaseRecord<'_, impl rdkafka::message::ToBytes + ?Sized, Vec<u8>>,
) {
    loop {
        match producer.send(record) {
            Ok(()) => return,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => record = back,
            Err((error, _)) => panic!("{error}"),
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A process: the yardstick.
fn copy(bootstrap: &str, input: &str, output: &str, shape: Shape) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("group.id", output).set("isolation.level", "read_committed");
    config.set("enable.auto.commit", "false").set("auto.offset.reset", "earliest");
    config.set("fetch.queue.backoff.ms", "5").set("queued.max.messages.kbytes", "16384").set("check.crcs", "true");
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("transactional.id", output).set("compression.type", "lz4");
    config.set("linger.ms", "20").set("batch.num.messages", "10000").set("queue.buffering.max.messages", "1000000");
    for (name, value) in properties() {
        config.set(name, value);
    }
    let producer: ThreadedProducer<DefaultProducerContext> = config.create().expect("a producer");
    producer.init_transactions(LIMIT).expect("a transactional id");
    consumer.subscribe(&[input]).expect("subscribed");
    let value = text(1, shape.bytes);
    let (mut start, mut cpu) = (None, 0.0);
    let (mut done, mut commits, mut polling, mut sending, mut committing) = (0, 0_u32, 0.0, 0.0, 0.0);
    let mut batch: Vec<(i32, i64, Vec<u8>)> = Vec::new();
    while done < messages() {
        let before = cpu_seconds(ClockId::ThreadCPUTime);
        while batch.len() < transaction().min((messages() - done) as usize) {
            let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
            let message = message.expect("a message");
            // Joining the group is not what is measured.
            if start.is_none() {
                (start, cpu) = (Some(Instant::now()), cpu_seconds(ClockId::ProcessCPUTime));
            }
            batch.push((message.partition(), message.offset(), message.key().unwrap_or_default().to_vec()));
        }
        polling += cpu_seconds(ClockId::ThreadCPUTime) - before;

        producer.begin_transaction().expect("begun");
        let before = cpu_seconds(ClockId::ThreadCPUTime);
        let mut positions: BTreeMap<i32, i64> = BTreeMap::new();
        for (partition, offset, key) in &batch {
            for _ in 0..shape.messages {
                send(&producer, BaseRecord::to(output).partition(*partition).key(key).payload(&value));
            }
            positions.insert(*partition, offset + 1);
        }
        sending += cpu_seconds(ClockId::ThreadCPUTime) - before;
        let before = Instant::now();
        let mut list = TopicPartitionList::new();
        for (partition, position) in positions {
            list.add_partition_offset(input, partition, Offset::Offset(position)).expect("a position");
        }
        let member = consumer.group_metadata().expect("a member");
        producer.send_offsets_to_transaction(&list, &member, LIMIT).expect("sent");
        // The client's own wait comes in steps of 100 ms.
        while producer.in_flight_count() > 0 {
            std::thread::sleep(Duration::from_micros(200));
        }
        producer.commit_transaction(LIMIT).expect("committed");
        committing += before.elapsed().as_secs_f64();
        commits += 1;
        done += batch.len() as u64;
        batch.clear();
    }
    report("seconds", start.expect("a message").elapsed().as_secs_f64());
    report("cpu", cpu_seconds(ClockId::ProcessCPUTime) - cpu);
    report("poll", polling / done as f64);
    report("send", sending / (done as usize * shape.messages) as f64);
    report("commit", committing / f64::from(commits));
}

fn properties() -> Vec<(String, String)> {
    let text = setting("PROPERTIES", "");
    let each = text.split(',').filter_map(|property| property.split_once('='));
    each.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
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
        attempts: 3,
        forgotten_positions: ForgottenPositions::Stop,
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
        Report::Restored(..) | Report::Released(_) => {}
        Report::Aborted(why) | Report::Restarted(why) | Report::Waiting(why) => panic!("{why}"),
    };
    block_on(Worker::new(&log, stage, settings, &stop, &told).run()).expect("a run");
    let (seconds, cpu) = finish.get();
    report("seconds", seconds);
    report("cpu", cpu);
}
