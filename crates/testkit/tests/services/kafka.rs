//! Transactions, restarts, kills and freezes of brokers.

use crate::timed;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::time::{Duration, Instant};
use testkit::services::Kafka;

const LIMIT: Duration = Duration::from_secs(60);

type Transactional = ThreadedProducer<DefaultProducerContext>;

fn producer(kafka: &Kafka, settings: &[(&str, &str)]) -> Transactional {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", kafka.bootstrap()).set("compression.type", "lz4").set("acks", "all");
    config.set("reconnect.backoff.max.ms", "500");
    config.extend(settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    config.create().expect("a producer")
}

fn send(producer: &Transactional, topic: &str, payloads: &[&str]) {
    for payload in payloads {
        let record = BaseRecord::to(topic).key("key").payload(*payload);
        producer.send(record).map_err(|(error, _)| error).expect("room in the queue");
    }
}

enum End {
    Commit,
    Abort,
}

fn transaction(producer: &Transactional, topic: &str, payloads: &[&str], end: End) {
    producer.begin_transaction().expect("begin");
    send(producer, topic, payloads);
    producer.flush(LIMIT).expect("acknowledged");
    match end {
        End::Commit => producer.commit_transaction(LIMIT).expect("commit"),
        End::Abort => producer.abort_transaction(LIMIT).expect("abort"),
    }
}

/// Everything committed in partition 0, from its beginning.
fn read(kafka: &Kafka, topic: &str) -> Vec<String> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", kafka.bootstrap())
        .set("group.id", "reader")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .set("enable.auto.commit", "false")
        .create()
        .expect("a consumer");
    let mut from = TopicPartitionList::new();
    from.add_partition_offset(topic, 0, Offset::Beginning).expect("an offset");
    consumer.assign(&from).expect("assigned");
    let deadline = Instant::now() + LIMIT;
    let mut seen = Vec::new();
    while Instant::now() < deadline {
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(message)) => seen.push(String::from_utf8_lossy(message.payload().expect("a payload")).into_owned()),
            Some(Err(KafkaError::PartitionEOF(_))) => return seen,
            // Brokers that were just restarted refuse a while.
            Some(Err(error)) => eprintln!("reading {topic}: {error}"),
            None => {}
        }
    }
    panic!("no end of {topic} within {LIMIT:?}; read {seen:?}");
}

#[test]
fn kafka_keeps_what_was_committed_and_nothing_else() {
    let kafka = timed("kafka: fetch, if needed, and start", Kafka::start).expect("a broker");
    kafka.create_topic("money", 1, &[("cleanup.policy", "compact")]).expect("a topic");
    let writer = producer(&kafka, &[("transactional.id", "writer")]);
    writer.init_transactions(LIMIT).expect("initialised");
    transaction(&writer, "money", &["one", "two"], End::Commit);
    transaction(&writer, "money", &["never"], End::Abort);
    transaction(&writer, "money", &["three"], End::Commit);
    assert_eq!(read(&kafka, "money"), ["one", "two", "three"]);

    timed("kafka: restart", || kafka.restart()).expect("a broker again");
    assert_eq!(read(&kafka, "money"), ["one", "two", "three"]);
    timed("kafka: kill", || kafka.kill()).expect("killed");
    kafka.pause().expect_err("nothing runs that could be frozen");
    timed("kafka: restart after the kill", || kafka.restart()).expect("a broker again");

    // While the broker is frozen nothing is acknowledged; afterwards it is, by the same producer.
    let plain = producer(&kafka, &[("message.timeout.ms", "60000")]);
    send(&plain, "money", &["four"]);
    plain.flush(LIMIT).expect("acknowledged");
    kafka.pause().expect("frozen");
    send(&plain, "money", &["five"]);
    let flushed = plain.flush(Duration::from_secs(1));
    assert_eq!(flushed.expect_err("frozen").rdkafka_error_code(), Some(RDKafkaErrorCode::OperationTimedOut));
    kafka.resume().expect("thawed");
    plain.flush(LIMIT).expect("acknowledged");
    assert_eq!(read(&kafka, "money"), ["one", "two", "three", "four", "five"]);

    let said = kafka.create_topic("money", 1, &[]).expect_err("it is there").to_string();
    assert!(said.contains("money") && said.contains("exist"), "{said}");
    let folder = kafka.log().expect("ours").ancestors().nth(2).expect("the folder of the run").to_owned();
    assert!(folder.is_dir());
    drop(kafka);
    assert!(!folder.exists(), "{} is left", folder.display());
}

#[test]
fn a_cluster_outlives_one_of_three_brokers() {
    let kafka = timed("kafka: start of three brokers", || Kafka::cluster(3)).expect("three brokers");
    kafka.create_topic("money", 3, &[]).expect("a topic");
    let writer = producer(&kafka, &[("transactional.id", "writer")]);
    writer.init_transactions(LIMIT).expect("initialised");
    let mut expected = Vec::new();
    for broker in kafka.brokers() {
        broker.kill().expect("killed");
        let payload = format!("without {}", broker.id());
        let written = format!("kafka: a commit {payload}");
        timed(&written, || {
            writer.begin_transaction().expect("begin");
            let record = BaseRecord::to("money").partition(0).key("key").payload(&payload);
            writer.send(record).map_err(|(error, _)| error).expect("room in the queue");
            writer.flush(LIMIT).expect("acknowledged");
            writer.commit_transaction(LIMIT).expect("commit");
        });
        expected.push(payload);
        timed("kafka: restart of one of three", || broker.restart()).expect("a broker again");
    }
    assert_eq!(read(&kafka, "money"), expected);
}
