//! Ids of topics, from a real broker.

use kafka_ffi::topic_ids;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use std::time::{Duration, Instant};
use testkit::services::Kafka;

const LIMIT: Duration = Duration::from_secs(10);

fn client(brokers: &str) -> BaseConsumer {
    ClientConfig::new().set("bootstrap.servers", brokers).create().expect("a client")
}

#[test]
fn a_topic_that_is_made_anew_has_another_id() {
    let kafka = Kafka::shared().expect("a broker");
    let client = client(kafka.bootstrap());
    let [first, second, none] = ["ids-1", "ids-2", "ids-none"].map(|name| format!("{name}-{}", std::process::id()));
    kafka.create_topic(&first, 3, &[]).expect("a topic");
    kafka.create_topic(&second, 1, &[]).expect("a topic");
    let ask = |names: &[&str]| topic_ids(client.client(), names, LIMIT);
    let ids = ask(&[&second, &first]).expect("ids");
    assert!(ids[0].is_some() && ids[1].is_some() && ids[0] != ids[1], "{ids:?}");
    for _ in 0..200 {
        assert_eq!(ask(&[&first, &second]), Ok(vec![ids[1], ids[0]]));
    }
    assert_eq!(ask(&[]), Ok(Vec::new()));
    let missing = Err(KafkaError::MetadataFetch(Code::UnknownTopicOrPartition));
    assert_eq!(ask(&[&second, &none, &first]), missing);

    kafka.delete_topic(&first).expect("deleted");
    let deadline = Instant::now() + LIMIT;
    while ask(&[&first]) != missing {
        assert!(Instant::now() < deadline, "it does not go away");
    }
    kafka.create_topic(&first, 3, &[]).expect("the topic again");
    let again = ask(&[&first]).expect("an id")[0];
    assert!(again.is_some() && again != ids[1], "{again:?}");
}

#[test]
fn what_cannot_be_asked_is_an_error_in_time() {
    let nobody = client("127.0.0.1:1");
    let start = Instant::now();
    let error = topic_ids(nobody.client(), &["t"], Duration::from_millis(700)).expect_err("nobody there");
    assert_eq!(error, KafkaError::MetadataFetch(Code::OperationTimedOut));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    for (names, code) in [
        (&["a\0b"][..], Code::InvalidTopic),
        (&["twice", "twice"][..], Code::InvalidArgument),
        (&[""][..], Code::InvalidArgument),
    ] {
        let error = topic_ids(nobody.client(), names, Duration::from_millis(700)).expect_err("refused");
        assert_eq!(error, KafkaError::MetadataFetch(code), "{names:?}");
    }
}
