//! A deployment of one's own on a broker: topics made by `rater topics apply`, the program as a process, and a reader that shares nothing with it.

use crate::support::{Ran, command, example, rater};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{Header, Headers, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::{Message, TopicPartitionList};
use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use testkit::services::Kafka;

const LIMIT: Duration = Duration::from_secs(120);
/// Levels of the example's hierarchy: so many charges for each record.
pub(crate) const LEVELS: usize = 4;

pub(crate) struct Deployment {
    pub(crate) kafka: &'static Kafka,
    pub(crate) prefix: String,
    pub(crate) folder: tempfile::TempDir,
}

/// A message of an output.
pub(crate) struct Read1 {
    pub(crate) value: Vec<u8>,
    pub(crate) headers: Vec<(String, String)>,
}

impl Deployment {
    /// Without topics.
    pub(crate) fn bare(kafka: &'static Kafka, name: &str) -> Deployment {
        Deployment { kafka, prefix: format!("{name}-{}.", std::process::id()), folder: example() }
    }

    /// On the shared broker, with two partitions of everything.
    pub(crate) fn new(name: &str) -> Deployment {
        Deployment::on(Kafka::shared().expect("a broker"), name)
    }

    pub(crate) fn on(kafka: &'static Kafka, name: &str) -> Deployment {
        let deployment = Deployment::bare(kafka, name);
        deployment.topics("apply", &[]).expect(0);
        deployment
    }

    /// `rater topics`.
    pub(crate) fn topics(&self, action: &str, more: &[&str]) -> Ran {
        let mut arguments = vec!["topics", action, "--kafka-brokers", self.kafka.bootstrap()];
        arguments.extend(["--topic-prefix", &self.prefix]);
        for partitions in ["--input-partitions", "--intaken-partitions", "--guided-partitions", "--output-partitions"] {
            if !more.contains(&partitions) {
                arguments.extend([partitions, "2"]);
            }
        }
        rater(self.folder.path(), &[&arguments[..], more].concat())
    }

    pub(crate) fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Starts `rater run`. Ticks come from nobody: what is charged does not depend on today.
    pub(crate) fn start(&self, more: &[&str]) -> Running {
        self.start_with(more, &[])
    }

    pub(crate) fn start_with(&self, more: &[&str], environment: &[(&str, &str)]) -> Running {
        let mut command = command(self.folder.path());
        command.args(["run", "-v", "--topic-prefix", &self.prefix, "--batch-wait", "20 ms"]);
        // Unless it is about them, what bundles the reference data grant is bought by commands, or left.
        for unless in [["--tick-every", "never"], ["--grants", "ignore"]] {
            if !more.contains(&unless[0]) {
                command.args(unless);
            }
        }
        if !more.contains(&"--kafka-brokers") {
            command.args(["--kafka-brokers", self.kafka.bootstrap()]);
        }
        // Several run at a time.
        command.env("RATER_LISTEN", "off").envs(environment.iter().copied());
        let mut child =
            command.args(more).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program runs");
        let said = Arc::new(Mutex::new(Vec::new()));
        let mut stderr = child.stderr.take().expect("a pipe");
        let reader = thread::spawn({
            let said = Arc::clone(&said);
            move || {
                let mut part = [0; 4096];
                while let Ok(length @ 1..) = stderr.read(&mut part) {
                    said.lock().expect("said").extend_from_slice(&part[..length]);
                }
            }
        });
        Running { child, said, reader: Some(reader) }
    }

    /// Writes values to a topic of ours, one key each.
    pub(crate) fn write(&self, topic: &str, values: &[Vec<u8>]) {
        self.write_with(topic, values, &[]);
    }

    /// The same with headers.
    pub(crate) fn write_with(&self, topic: &str, values: &[Vec<u8>], headers: &[(&str, &str)]) {
        let producer = self.producer();
        for (number, value) in values.iter().enumerate() {
            let key = format!("key-{number}");
            let partition = i32::from(number % 2 == 1);
            let name = self.topic(topic);
            let with = |all: OwnedHeaders, (key, value): &(&str, &str)| all.insert(Header { key, value: Some(*value) });
            let mut record = BaseRecord::to(&name).partition(partition).key(&key).payload(value);
            if !headers.is_empty() {
                record = record.headers(headers.iter().fold(OwnedHeaders::new(), with));
            }
            producer.send(record).map_err(|(error, _)| error).expect("room");
        }
        producer.flush(LIMIT).expect("written");
    }

    /// Writes a value under a key to the first partition of a topic of ours.
    pub(crate) fn write_keyed(&self, topic: &str, key: &[u8], value: &[u8]) {
        let producer = self.producer();
        let name = self.topic(topic);
        let record = BaseRecord::to(&name).partition(0).key(key).payload(value);
        producer.send(record).map_err(|(error, _)| error).expect("room");
        producer.flush(LIMIT).expect("written");
    }

    /// A producer that takes messages longer than a record may be.
    fn producer(&self) -> ThreadedProducer<DefaultProducerContext> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.kafka.bootstrap()).set("message.max.bytes", "4000000");
        config.create().expect("a producer")
    }

    /// Records of the example's first endpoint, with ids from a number on.
    pub(crate) fn usage(&self, from: u32, count: u32) -> Vec<Vec<u8>> {
        let record = |number: u32| {
            format!(
                r#"{{"id":"u{number}","source":"test","service":"data","quantity":1000,"event_time":"2026-03-05T14:00:00Z","imsi":"001010000000001","mcc":"234","mnc":"15"}}"#
            )
            .into_bytes()
        };
        (from..from + count).map(record).collect()
    }

    /// Writes those records.
    pub(crate) fn write_usage(&self, from: u32, count: u32) {
        self.write("usage", &self.usage(from, count));
    }

    /// All committed messages of an output.
    pub(crate) fn read(&self, topic: &str) -> Vec<Read1> {
        let topic = self.topic(topic);
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.kafka.bootstrap()).set("group.id", "independent");
        config.set("isolation.level", "read_committed").set("enable.auto.commit", "false");
        config.set("fetch.message.max.bytes", "10000000");
        let reader: BaseConsumer = config.set("enable.partition.eof", "true").create().expect("a consumer");
        let seen = reader.fetch_metadata(Some(&topic), LIMIT).expect("metadata");
        let mut list = TopicPartitionList::new();
        // A partition may tell of its end more than once: behind its last message, and behind the marker of the commit.
        let (mut ended, partitions) = (BTreeSet::new(), seen.topics()[0].partitions().len());
        for partition in seen.topics()[0].partitions() {
            list.add_partition_offset(&topic, partition.id(), rdkafka::Offset::Beginning).expect("a partition");
        }
        reader.assign(&list).expect("assigned");
        let mut found = Vec::new();
        while ended.len() < partitions {
            match reader.poll(LIMIT).expect("an answer") {
                Ok(message) => {
                    let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
                    let headers = message.headers().map(|headers| {
                        headers.iter().map(|header| (header.key.to_owned(), text(header.value))).collect()
                    });
                    let value = message.payload().unwrap_or_default().to_vec();
                    found.push(Read1 { value, headers: headers.unwrap_or_default() });
                }
                Err(KafkaError::PartitionEOF(partition)) => {
                    ended.insert(partition);
                }
                // A broker that stood still has closed its connections; the client makes new ones.
                Err(KafkaError::MessageConsumption(Code::AllBrokersDown | Code::BrokerTransportFailure)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        found
    }

    /// Waits until so many messages are committed in an output.
    #[track_caller]
    pub(crate) fn wait_for(&self, topic: &str, count: usize, running: &mut Running) {
        let deadline = Instant::now() + LIMIT;
        while self.read(topic).len() < count {
            let is_late = Instant::now() > deadline || running.child.try_wait().expect("a process").is_some();
            assert!(!is_late, "{} of {count} in {topic}:\n{}", self.read(topic).len(), running.said());
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// That these many records are charged, each once on each level.
    #[track_caller]
    pub(crate) fn check_charged(&self, records: usize) {
        let mut charges: Vec<Vec<u8>> = self.read("charges").into_iter().map(|charge| charge.value).collect();
        assert_eq!(charges.len(), records * LEVELS);
        charges.sort_unstable();
        charges.dedup();
        // A charge begins with its id.
        assert_eq!(charges.len(), records * LEVELS, "a charge came twice");
    }
}

/// The program.
pub(crate) struct Running {
    child: Child,
    said: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Running {
    /// What it said so far.
    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&self.said.lock().expect("said")).into_owned()
    }

    /// The number of the process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    #[track_caller]
    pub(crate) fn wait_for_words(&mut self, words: &str) {
        let deadline = Instant::now() + LIMIT;
        while !self.said().contains(words) {
            let has_ended = self.child.try_wait().expect("a process").is_some();
            assert!(Instant::now() < deadline && !has_ended, "{words:?} is not said:\n{}", self.said());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Its exit code, if it has ended.
    pub(crate) fn has_ended(&mut self) -> Option<i32> {
        self.child.try_wait().expect("a process").map(|status| status.code().unwrap_or(-1))
    }

    /// SIGTERM.
    pub(crate) fn ask_to_end(&self) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("a signal");
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("a signal");
        self.child.wait().expect("an end");
    }

    /// Waits for the end; what was said.
    #[track_caller]
    pub(crate) fn expect(mut self, code: i32) -> String {
        let ended = self.wait_for_end();
        assert_eq!(ended, Some(code), "{}", self.said());
        self.said()
    }

    /// Waits for the end, whatever its code.
    #[track_caller]
    pub(crate) fn wait_for_end(&mut self) -> Option<i32> {
        let deadline = Instant::now() + LIMIT;
        let status = loop {
            match self.child.try_wait().expect("a process") {
                Some(status) => break status,
                None => assert!(Instant::now() < deadline, "it does not end:\n{}", self.said()),
            }
            thread::sleep(Duration::from_millis(20));
        };
        if let Some(reader) = self.reader.take() {
            reader.join().expect("no panic");
        }
        status.code()
    }

    /// Asks it to end, and insists on an orderly end.
    #[track_caller]
    pub(crate) fn stop(self) -> String {
        self.ask_to_end();
        self.expect(0)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A test that failed leaves no process.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address where nobody listens.
pub(crate) fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").to_string()
}

pub(crate) fn write_file(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).expect("written");
}
