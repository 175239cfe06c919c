//! Generated traffic through `rater run`'s stages on a real broker, from `rater-load` to `rater-verify`: nothing is missing, nothing is
//! double, and the engine charges the same. And what breaks that is found.

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use runtime::service::topics::PartitionCounts;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;
use testkit::deployment::{self, Shape};
use testkit::reference;
use testkit::registry::TestRegistry;
use testkit::services::Kafka;

const SHAPE: Shape = Shape {
    partitions: PartitionCounts { inputs: 3, intaken: 4, guided: 4, outputs: 3 },
    skip_intake: false,
    workers: 1,
    batch: 2000,
};

/// What a test runs on.
struct Run<'r> {
    kafka: &'static Kafka,
    prefix: String,
    shape: Shape,
    registry: Option<&'r TestRegistry>,
    folder: tempfile::TempDir,
}

impl<'r> Run<'r> {
    fn new(name: &str, shape: Shape, registry: Option<&'r TestRegistry>) -> Run<'r> {
        let kafka = Kafka::shared().expect("a broker");
        let prefix = format!("{name}-{}-", std::process::id());
        deployment::create_topics(kafka, &prefix, shape).expect("topics");
        Run { kafka, prefix, shape, registry, folder: tempfile::tempdir().expect("a folder") }
    }

    fn program(&self, path: &str) -> Command {
        let mut command = Command::new(path);
        command.args(["--brokers", self.kafka.bootstrap(), "--json"]).arg("--reference").arg(self.folder.path());
        if let Some(registry) = self.registry {
            command.args(["--registry", &registry.url()]);
        }
        command
    }

    #[track_caller]
    fn load(&self, more: &[&str]) -> Value {
        let output = self
            .program(env!("CARGO_BIN_EXE_rater-load"))
            .args([format!("--usage-topic={}usage", self.prefix)])
            .args([format!("--commands-topic={}account-commands", self.prefix)])
            .args(more)
            .output()
            .expect("the program");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("figures")
    }

    fn verify(&self, more: &[&str]) -> (Output, Value) {
        let mut command = self.program(env!("CARGO_BIN_EXE_rater-verify"));
        command.args(["--topic-prefix", &self.prefix]).args(more);
        if self.shape.skip_intake {
            command.arg("--skip-intake");
        }
        let output = command.output().expect("the program");
        let report = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (output, report)
    }

    /// Runs the stages until all is read; then everything has to be right.
    #[track_caller]
    fn run_and_verify(&self) -> Value {
        let loaded = reference::load(self.folder.path()).expect("reference data");
        let registry = self.registry.map(TestRegistry::url);
        let running = deployment::start(self.kafka, &self.prefix, self.shape, registry.as_deref(), &loaded);
        let (output, report) = self.verify(&["--wait", "600"]);
        let told = running.reports();
        running.stop().expect("a clean end");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{said} {report:#} {:#?}", told.last());
        report
    }

    /// Writes a message behind the stages' back.
    fn write(&self, topic: &str, key: &[u8], value: &[u8]) {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.kafka.bootstrap()).set("partitioner", "murmur2_random");
        let producer: ThreadedProducer<rdkafka::producer::DefaultProducerContext> =
            config.create().expect("a producer");
        let topic = format!("{}{topic}", self.prefix);
        producer.send(BaseRecord::to(&topic).key(key).payload(value)).map_err(|(error, _)| error).expect("room");
        producer.flush(Duration::from_secs(30)).expect("written");
    }
}

fn folder_of(run: &Run<'_>) -> String {
    let path: &Path = run.folder.path();
    path.display().to_string()
}

#[track_caller]
fn row<'v>(report: &'v Value, check: &str) -> [&'v str; 2] {
    let rows = report["rows"].as_array().expect("rows");
    let row = rows.iter().find(|row| row["check"] == check).unwrap_or_else(|| panic!("no row {check}: {report:#}"));
    ["expected", "found"].map(|side| row[side].as_str().expect("a text"))
}

/// `RATER_VERIFIED_RECORDS=500000` sends more than 20,000.
#[test]
fn twenty_thousand_ordinary_records() {
    let records = std::env::var("RATER_VERIFIED_RECORDS").unwrap_or_else(|_| "20000".to_owned());
    let least = records.parse::<u64>().expect("a number") / 1000 * 995;
    let run = Run::new("verified-bench", Shape { workers: 2, ..SHAPE }, None);
    let bench = ["--profile", "bench", "--records", &records, "--endpoints", "2000", "--customers", "60"];
    let figures = run.load(&[&bench[..], &["--duplicates", "5", "--grants", "--seed", "11"]].concat());
    let report = run.run_and_verify();
    assert_eq!(row(&report, "usage records")[0], figures["usage"].to_string());
    assert_eq!(row(&report, "replies to commands")[1], figures["commands"].to_string());
    for level in 0..4 {
        let [legs, outcome] = row(&report, &format!("legs of level {level}"));
        assert!(legs.parse::<u64>().expect("a number") > least, "{level}: {legs} {outcome}");
    }
    let [expected, found] = row(&report, "charges as of the engine");
    assert!(expected == found && expected.parse::<u64>().expect("a number") > least * 4, "{expected} {found}");
}

#[test]
fn all_kinds_of_traffic_in_avro_by_a_registry() {
    let registry = TestRegistry::start().expect("a registry");
    let run = Run::new("verified-traffic", SHAPE, Some(&registry));
    run.load(&["--profile", "traffic", "--records", "4000", "--seed", "5", "--grants", "--form", "avro"]);
    let report = run.run_and_verify();
    assert!(row(&report, "legs waiting as of the engine")[0].parse::<u64>().expect("a number") > 50);
}

#[test]
fn all_kinds_of_traffic_without_intake_and_what_breaks_it() {
    // One input partition, so that all copies of a record come to the same one.
    let partitions = PartitionCounts { inputs: 1, ..SHAPE.partitions };
    let run = Run::new("verified-broken", Shape { skip_intake: true, partitions, ..SHAPE }, None);
    run.load(&["--profile", "traffic", "--records", "2000", "--seed", "6", "--grants", "--form", "avro"]);
    run.run_and_verify();

    // A record that nobody works on any more.
    let nobody = br#"{"id":"lost","service":"data","quantity":1,"event_time":"2026-03-01T00:00:00Z","imsi":"001"}"#;
    run.write("usage", b"001", nobody);
    let (output, report) = run.verify(&[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(report["shown"][0].as_str().expect("words").contains("missing"), "{report:#}");

    // Charges that come again; the first may be a bundle's fee, which is no record's.
    for (key, value) in first_messages(&run, "charges", 4) {
        run.write("charges", &key, &value);
    }
    let (_, report) = run.verify(&[]);
    let shown = report["shown"].to_string();
    for words in ["is there twice", "charged twice", "the engine has nothing, the topic", "missing"] {
        assert!(shown.contains(words), "no {words:?} in {report:#}");
    }

    // Other reference data.
    let path = run.folder.path().join("rating.yaml");
    let text = std::fs::read_to_string(&path).expect("a file").replacen("price: ", "price: 1", 3);
    std::fs::write(&path, text).expect("written");
    let (output, report) = run.verify(&[]);
    assert_eq!(output.status.code(), Some(1), "{} {report:#}", folder_of(&run));
    assert!(report["differences"].as_u64().expect("a number") > 20);
    assert_eq!(report["shown"].as_array().expect("a list").len(), 20);
}

/// Keys and values of the first messages that are handed over.
fn first_messages(run: &Run<'_>, topic: &str, count: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
    use rdkafka::consumer::{BaseConsumer, Consumer};
    use rdkafka::{Message, Offset, TopicPartitionList};
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", run.kafka.bootstrap()).set("group.id", "first");
    let reader: BaseConsumer = config.create().expect("a consumer");
    let mut list = TopicPartitionList::new();
    for partition in 0..i32::try_from(run.shape.partitions.outputs).expect("a number") {
        let topic = format!("{}{topic}", run.prefix);
        list.add_partition_offset(&topic, partition, Offset::Beginning).expect("a partition");
    }
    reader.assign(&list).expect("assigned");
    let message = |_| {
        let message = reader.poll(Duration::from_secs(30)).expect("an answer").expect("a message");
        (message.key().unwrap_or_default().to_vec(), message.payload().unwrap_or_default().to_vec())
    };
    (0..count).map(message).collect()
}
