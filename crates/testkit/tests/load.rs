//! What `rater-load` sends arrives on a real broker as it was generated.

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::process::Command;
use std::time::Duration;
use testkit::generator::stream::{LineKind, each_line};
use testkit::generator::{Parameters, Times, write_reference};
use testkit::load::partition_of_key;
use testkit::registry::TestRegistry;
use testkit::services::Kafka;

const PARTITIONS: u16 = 4;
const RECORDS: u64 = 2000;

/// (partition, key, value) of every message, in order within a partition.
type Messages = Vec<(i32, Option<Vec<u8>>, Vec<u8>)>;

fn read(kafka: &Kafka, topic: &str) -> Messages {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", kafka.bootstrap()).set("group.id", "reader").set("enable.partition.eof", "true");
    let reader: BaseConsumer = config.create().expect("a consumer");
    let mut list = TopicPartitionList::new();
    for partition in 0..i32::from(PARTITIONS) {
        list.add_partition_offset(topic, partition, Offset::Beginning).expect("a partition");
    }
    reader.assign(&list).expect("assigned");
    let (mut open, mut found) = (PARTITIONS, Vec::new());
    while open > 0 {
        match reader.poll(Duration::from_secs(30)).expect("an answer") {
            Ok(message) => found.push((
                message.partition(),
                message.key().map(<[u8]>::to_vec),
                message.payload().unwrap_or_default().to_vec(),
            )),
            Err(KafkaError::PartitionEOF(_)) => open -= 1,
            Err(error) => panic!("{error}"),
        }
    }
    found
}

/// Runs the program; its figures.
#[track_caller]
fn send(kafka: &Kafka, name: &str, more: &[&str]) -> serde_json::Value {
    for part in ["usage", "commands"] {
        kafka.create_topic(&format!("{name}-{part}"), PARTITIONS, &[]).expect("a topic");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_rater-load"))
        .args(["--brokers", kafka.bootstrap(), "--profile", "traffic", "--seed", "3", "--json"])
        .args(["--records", &RECORDS.to_string()])
        .args([format!("--usage-topic={name}-usage"), format!("--commands-topic={name}-commands")])
        .args(more)
        .output()
        .expect("the program");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("figures")
}

/// The lines that are to arrive, by kind: usage, copies, commands, ticks.
fn lines() -> [Vec<Vec<u8>>; 4] {
    let mut lines: [Vec<Vec<u8>>; 4] = Default::default();
    each_line(&Parameters { records: RECORDS, ..Parameters::traffic(3) }, |kind, line| {
        let at = match kind {
            LineKind::Usage { is_copy: false } => 0,
            LineKind::Usage { is_copy: true } => 1,
            LineKind::Command => 2,
            LineKind::Tick => 3,
        };
        lines[at].push(line.to_vec());
        Ok(())
    })
    .expect("all lines");
    lines
}

#[test]
fn each_line_arrives_where_it_belongs() {
    let kafka = Kafka::shared().expect("a broker");
    let name = format!("load-json-{}", std::process::id());
    kafka.create_topic(&format!("{name}-ticks"), PARTITIONS, &[]).expect("a topic");
    let figures = send(kafka, &name, &[&format!("--ticks-topic={name}-ticks")]);
    let [usage, copies, commands, ticks] = lines();
    assert!(copies.len() > 20 && commands.len() > 50 && ticks.len() > 50);
    for (figure, expected) in [
        ("usage", usage.len() + copies.len()),
        ("copies", copies.len()),
        ("commands", commands.len()),
        ("ticks", ticks.len()),
        ("messages", usage.len() + copies.len() + commands.len() + ticks.len()),
        ("failed", 0),
    ] {
        assert_eq!(figures[figure], expected, "{figure}");
    }

    let mut left: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    for line in usage.iter().chain(&copies) {
        *left.entry(line.clone()).or_default() += 1;
    }
    let mut away = 0;
    for (partition, key, value) in read(kafka, &format!("{name}-usage")) {
        let usual = key.map(|key| partition_of_key(&key, u32::from(PARTITIONS)));
        away += usize::from(usual.is_some_and(|usual| i64::from(usual) != i64::from(partition)));
        let count = left.get_mut(&value).expect("a line that was generated");
        *count = count.checked_sub(1).expect("as often as it was generated");
    }
    assert!(left.values().all(|count| *count == 0), "lines are missing");
    assert_eq!(away, copies.len(), "every copy comes where the first did not, and nothing else");
    let arrived: Vec<_> = read(kafka, &format!("{name}-ticks")).into_iter().map(|(at, _, value)| (at, value)).collect();
    assert_eq!(arrived, ticks.into_iter().map(|tick| (0, tick)).collect::<Vec<_>>());
    let arrived = read(kafka, &format!("{name}-commands"));
    assert_eq!(arrived.iter().filter(|(_, _, value)| commands.contains(value)).count(), commands.len());
}

#[test]
fn avro_goes_out_with_ids_of_the_registry() {
    let kafka = Kafka::shared().expect("a broker");
    let registry = TestRegistry::start().expect("a registry");
    let name = format!("load-avro-{}", std::process::id());
    let figures = send(kafka, &name, &["--form", "avro", "--registry", &registry.url(), "--duplicates", "100"]);
    let arrived = read(kafka, &format!("{name}-usage"));
    let framed = arrived.iter().filter(|(_, _, value)| value.starts_with(&[0, 0, 0, 0])).count();
    let unfit = figures["unfit"].as_u64().expect("a number");
    assert!(framed > 2000 && (20..500).contains(&unfit), "{framed} {figures}");
    let copies = figures["copies"].as_u64().expect("a number");
    assert!((150..400).contains(&copies), "{copies}");
    let log = registry.log();
    assert!(log.iter().any(|request| request.contains(&format!("{name}-usage-value"))), "{log:?}");
}

#[test]
fn the_rate_is_kept() {
    let kafka = Kafka::shared().expect("a broker");
    let name = format!("load-rate-{}", std::process::id());
    let figures = send(kafka, &name, &["--rate", "1000"]);
    let elapsed_ms = figures["elapsed_ms"].as_u64().expect("a number");
    assert!(elapsed_ms >= 2000, "{figures}");
}

#[test]
fn reference_data_are_those_of_the_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let (one, other) = (folder.path().join("one"), folder.path().join("other"));
    for profile in ["bench", "traffic"] {
        let common = ["--profile", profile, "--seed", "4", "--records", "300", "--endpoints", "50"];
        let mut load = Command::new(env!("CARGO_BIN_EXE_rater-load"));
        load.args(common).arg("--reference-only").arg("--reference").arg(&one);
        let mut generate = Command::new(env!("CARGO_BIN_EXE_rater-generate"));
        generate.args(common).arg("-o").arg(&other);
        for mut program in [load, generate] {
            assert!(program.status().expect("a program").success());
        }
        for entry in std::fs::read_dir(&one).expect("a folder") {
            let name = entry.expect("a file").file_name();
            let [one, other] = [&one, &other].map(|folder| std::fs::read(folder.join(&name)).expect("a file"));
            assert!(one == other, "{profile}: {} differs", name.display());
        }
        assert!(one.join("rating.yaml").is_file());
    }
}

#[test]
fn what_is_outside_is_said_with_exit_code_3() {
    let kafka = Kafka::shared().expect("a broker");
    for (brokers, text) in [(kafka.bootstrap(), "there is no such topic"), ("127.0.0.1:1", "kafka at 127.0.0.1:1")] {
        let output = Command::new(env!("CARGO_BIN_EXE_rater-load"))
            .args(["--brokers", brokers, "--records", "1", "--usage-topic", "no-such-topic"])
            .output()
            .expect("the program");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains(text), "{said}");
    }
}

#[test]
fn grants_of_a_stream_that_happens_now_are_bought_now_and_each_time_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let rate = NonZeroU32::new(10).expect("not 0");
    let live = |now_ms| Parameters { endpoints: 20, times: Times::live(now_ms, 100, rate), ..Parameters::bench(1) };
    write_reference(&live(0), folder.path()).expect("written");
    let commands = |times: Option<&Times>| -> Vec<(String, String)> {
        let lines = testkit::load::grants(folder.path(), times).expect("grants");
        let read = |line: &Vec<u8>| serde_json::from_slice::<serde_json::Value>(line).expect("JSON");
        let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
        lines.iter().map(read).map(|line| (text(&line["command_id"]), text(&line["effective_time"]))).collect()
    };
    let (first, second) = (live(1_800_000_000_000).times, live(1_800_000_060_000).times);
    let (bought, again) = (commands(Some(&first)), commands(Some(&second)));
    assert!(!bought.is_empty() && bought.len() == commands(None).len());
    // Before the earliest event, and not long before.
    assert!(bought.iter().all(|(_, at)| at.starts_with("2027-01-15T0")), "{bought:?}");
    assert!(bought.iter().zip(&again).all(|((one, _), (other, _))| one != other));
}
