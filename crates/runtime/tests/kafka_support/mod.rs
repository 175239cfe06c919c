//! Topics, workers on threads, and a reader that shares nothing with the code under test.

pub(crate) mod copier;

use copier::{Copier, Pace};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Headers;
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use rdkafka::{Message, TopicPartitionList};
use runtime::kafka::{KafkaLog, KafkaSettings, block_on};
use runtime::worker::log::{GatherLimits, Log};
use runtime::worker::{ForgottenPositions, Report, Worker, WorkerError, WorkerSettings};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use testkit::services::Kafka;

/// A broker lets no session be shorter.
pub(crate) const SESSION: Duration = Duration::from_secs(6);
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn settings(bootstrap: &str) -> KafkaSettings {
    let mut settings = KafkaSettings::new(bootstrap.split(',').map(str::to_owned));
    settings.timeouts.session = SESSION;
    settings.timeouts.absence = SESSION;
    settings
}

/// The topics of one test.
pub(crate) struct Topics {
    pub(crate) kafka: &'static Kafka,
    pub(crate) name: String,
}

impl Topics {
    /// Makes `NAME-in`, `NAME-out` and `NAME-log`.
    pub(crate) fn new(name: &str, partitions: u16) -> Topics {
        Topics::on(Kafka::shared().expect("a broker"), name, partitions)
    }

    /// The same on a Kafka of one's own.
    pub(crate) fn on(kafka: &'static Kafka, name: &str, partitions: u16) -> Topics {
        // An existing cluster keeps the topics of earlier runs.
        let name = format!("{name}-{}", std::process::id());
        kafka.create_topic(&format!("{name}-in"), partitions, &[]).expect("a topic");
        kafka.create_topic(&format!("{name}-out"), partitions, &[]).expect("a topic");
        kafka.create_topic(&format!("{name}-log"), partitions, &[("cleanup.policy", "compact")]).expect("a topic");
        Topics { kafka, name }
    }

    pub(crate) fn topic(&self, part: &str) -> String {
        format!("{}-{part}", self.name)
    }

    pub(crate) fn log(&self) -> KafkaLog {
        KafkaLog::new(settings(self.kafka.bootstrap())).expect("settings")
    }

    pub(crate) fn copier(&self, pace: Pace) -> Copier {
        Copier::new(&self.topic("in"), &self.topic("out"), &self.topic("log"), pace)
    }

    /// Writes messages (partition, key, value) to the input, outside any transaction.
    pub(crate) fn write(&self, messages: impl IntoIterator<Item = (i32, String, String)>) {
        let producer: ThreadedProducer<rdkafka::producer::DefaultProducerContext> =
            client(self.kafka).create().expect("a producer");
        let topic = self.topic("in");
        for (partition, key, value) in messages {
            let record = BaseRecord::to(&topic).partition(partition).key(&key).payload(&value);
            producer.send(record).map_err(|(error, _)| error).expect("room");
        }
        producer.flush(LIMIT).expect("written");
    }

    /// So many messages per partition, over ten keys each, numbered from `from`.
    pub(crate) fn write_numbered(&self, partitions: i32, from: u64, count: u64) {
        let each = (from..from + count)
            .flat_map(|n| (0..partitions).map(move |p| (p, format!("{p}-{}", n % 10), n.to_string())));
        self.write(each);
    }

    /// Runs a worker until it is stopped.
    pub(crate) fn run(&self, id: &str, pace: Pace, forgotten: ForgottenPositions, group: &str) -> Running {
        let (log, stage) = (self.log(), self.copier(pace));
        let settings = WorkerSettings {
            group: format!("{}-{group}", self.name),
            transactional_id: format!("{}-{id}", self.name),
            limits: GatherLimits { messages: 500, bytes: 1 << 20, wait: Duration::from_millis(50) },
            given_up: runtime::worker::GivenUp::default(),
            attempts: 20,
            forgotten_positions: forgotten,
            topics_made_anew: Vec::new(),
        };
        run(log, stage, settings)
    }

    pub(crate) fn run_one(&self, id: &str) -> Running {
        self.run(id, Pace::Steady, ForgottenPositions::Stop, "group")
    }

    /// Committed messages of a topic: (partition, key, value), in order within a partition.
    pub(crate) fn read(&self, part: &str) -> Vec<(i32, Vec<u8>, Option<Vec<u8>>)> {
        read(self.kafka, &self.topic(part))
    }

    /// That each key of the output counts from 1 without gaps or repetitions, and that so many messages came out.
    #[track_caller]
    pub(crate) fn check_output(&self, expected: usize) {
        let mut last: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
        let (mut places, output) = (std::collections::BTreeSet::new(), self.read("out"));
        for (_, key, value) in &output {
            let value = String::from_utf8(value.clone().expect("a value")).expect("text");
            let (place, count) = value.rsplit_once(':').expect("three parts");
            let count: u64 = count.parse().expect("a number");
            let last = last.entry(key.clone()).or_default();
            assert_eq!(count, *last + 1, "key {:?} at {place}", String::from_utf8_lossy(key));
            *last = count;
            assert!(places.insert(place.to_owned()), "{place} twice");
        }
        assert_eq!(output.len(), expected);
    }

    /// Waits until so many committed messages are in the output.
    #[track_caller]
    pub(crate) fn wait_for_output(&self, count: usize, running: &[&Running]) {
        let deadline = Instant::now() + LIMIT;
        loop {
            let found = self.read("out").len();
            if found >= count {
                return;
            }
            if Instant::now() > deadline || running.iter().any(|running| running.thread.is_finished()) {
                let reports: Vec<_> = running.iter().map(|running| running.reports()).collect();
                panic!("{found} of {count} messages: {reports:#?}");
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// A worker on a thread.
pub(crate) struct Running {
    stop: Arc<AtomicBool>,
    reports: Arc<Mutex<Vec<String>>>,
    thread: JoinHandle<Result<(), WorkerError>>,
}

impl Running {
    pub(crate) fn reports(&self) -> Vec<String> {
        self.reports.lock().expect("reports").clone()
    }

    pub(crate) fn stop(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("no panic").expect("a clean end");
        self.reports.lock().expect("reports").clone()
    }

    /// The error that ends it by itself.
    pub(crate) fn error(self) -> WorkerError {
        self.thread.join().expect("no panic").expect_err("it stops by itself")
    }

    /// Waits for a report.
    #[track_caller]
    pub(crate) fn wait_for(&self, is_it: impl Fn(&str) -> bool) -> Duration {
        let start = Instant::now();
        while !self.reports().iter().any(|report| is_it(report)) {
            assert!(start.elapsed() < LIMIT && !self.thread.is_finished(), "{:#?}", self.reports());
            thread::sleep(Duration::from_millis(10));
        }
        start.elapsed()
    }
}

fn run<L: Log + Send + 'static>(log: L, stage: Copier, settings: WorkerSettings) -> Running {
    let (stop, reports) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
    let thread = thread::spawn({
        let (stop, reports) = (Arc::clone(&stop), Arc::clone(&reports));
        move || {
            let report = |report: Report<'_>| reports.lock().expect("reports").push(format!("{report:?}"));
            block_on(Worker::new(&log, stage, settings, &stop, &report).run())
        }
    });
    Running { stop, reports, thread }
}

fn client(kafka: &Kafka) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", kafka.bootstrap());
    config
}

fn read(kafka: &Kafka, topic: &str) -> Vec<(i32, Vec<u8>, Option<Vec<u8>>)> {
    let mut config = client(kafka);
    config.set("group.id", "independent").set("isolation.level", "read_committed").set("enable.auto.commit", "false");
    let reader: BaseConsumer = config.set("enable.partition.eof", "true").create().expect("a consumer");
    let seen = reader.fetch_metadata(Some(topic), LIMIT).expect("metadata");
    let partitions = seen.topics()[0].partitions().len();
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(topic, partition as i32, rdkafka::Offset::Beginning).expect("a partition");
    }
    reader.assign(&list).expect("assigned");
    let (mut open, mut found) = (partitions, Vec::new());
    while open > 0 {
        match reader.poll(LIMIT).expect("an answer") {
            Ok(message) => {
                if message.payload().is_some_and(|value| value.contains(&b':')) {
                    let headers = message.headers().expect("a header");
                    let count = message.payload().expect("a value").rsplit(|byte| *byte == b':').next();
                    assert_eq!((headers.get(0).key, headers.get(0).value), ("count", count));
                }
                let value = message.payload().map(<[u8]>::to_vec);
                found.push((message.partition(), message.key().unwrap_or_default().to_vec(), value));
            }
            Err(KafkaError::PartitionEOF(_)) => open -= 1,
            Err(error) => panic!("{error}"),
        }
    }
    found
}
