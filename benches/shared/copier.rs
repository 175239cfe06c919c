//! The yardstick of everything on Kafka: a transactional copier written straight on the client library. And what subjects in processes of
//! their own have in common.

use crate::table::median;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Message, Offset, TopicPartitionList};
use rustix::time::{ClockId, clock_gettime};
use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};
use testkit::services::Kafka;

const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn number<N: std::str::FromStr>(text: &str) -> N {
    text.trim().parse().unwrap_or_else(|_| panic!("{text}: no number"))
}

pub(crate) fn setting(name: &str, default: &str) -> String {
    std::env::var(format!("RATER_BENCH_{name}")).unwrap_or_else(|_| default.to_owned())
}

/// What a process of ours reports: figures by name.
pub(crate) type Figures = BTreeMap<String, f64>;

/// The middle of a figure over all rounds, and its spread, if it was reported.
pub(crate) fn middle(rounds: &[Figures], name: &str) -> Option<(f64, f64)> {
    let values: Vec<f64> = rounds.iter().filter_map(|figures| figures.get(name).copied()).collect();
    (!values.is_empty()).then(|| median(values))
}

pub(crate) fn report(name: &str, value: f64) {
    println!("{name}={value}");
}

pub(crate) fn process(arguments: &[&str]) -> Figures {
    let program = std::env::current_exe().expect("this program");
    let output = Command::new(program).args(arguments).output().expect("a process");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    let figures = text.lines().filter_map(|line| line.split_once('='));
    figures.map(|(name, value)| (name.to_owned(), value.parse().expect("a figure"))).collect()
}

/// CPU time in seconds of the first broker of our own, from the system.
pub(crate) fn cpu_of_broker(kafka: &Kafka) -> f64 {
    let Some(id) = kafka.brokers().first().and_then(|broker| broker.process_id()) else { return f64::NAN };
    let text = std::fs::read_to_string(format!("/proc/{id}/stat")).expect("a process");
    // After the name in parentheses: the 12th and 13th are user and system time in hundredths of a second.
    let fields: Vec<&str> = text.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ').collect();
    (number::<f64>(fields[11]) + number::<f64>(fields[12])) / 100.0
}

pub(crate) fn cpu_seconds(clock: ClockId) -> f64 {
    let now = clock_gettime(clock);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

pub(crate) fn send(
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

/// What goes out to one topic.
pub(crate) struct Copies {
    pub(crate) topic: String,
    /// How many for each message that comes in.
    pub(crate) each: usize,
    /// Their values, one after the other and again from the first.
    pub(crate) values: Vec<Vec<u8>>,
}

/// A process: reads so many messages, and sends for each of them what the copies say.
pub(crate) fn copy(bootstrap: &str, input: &str, copies: &[Copies], messages: u64, transaction: usize) {
    let output = &copies.first().expect("something to send").topic;
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
    let mut values: Vec<_> = copies.iter().map(|copies| copies.values.iter().cycle()).collect();
    let each: usize = copies.iter().map(|copies| copies.each).sum();
    let (mut start, mut cpu) = (None, 0.0);
    let (mut done, mut commits, mut polling, mut sending, mut committing) = (0, 0_u32, 0.0, 0.0, 0.0);
    let mut batch: Vec<(i32, i64, Vec<u8>)> = Vec::new();
    while done < messages {
        let before = cpu_seconds(ClockId::ThreadCPUTime);
        while batch.len() < transaction.min((messages - done) as usize) {
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
            for (copies, values) in copies.iter().zip(&mut values) {
                for value in values.take(copies.each) {
                    send(&producer, BaseRecord::to(&copies.topic).partition(*partition).key(key).payload(value));
                }
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
    report("send", sending / (done as usize * each) as f64);
    report("commit", committing / f64::from(commits));
}

pub(crate) fn properties() -> Vec<(String, String)> {
    let text = setting("PROPERTIES", "");
    let each = text.split(',').filter_map(|property| property.split_once('='));
    each.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
