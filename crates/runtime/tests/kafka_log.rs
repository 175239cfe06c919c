//! The worker on a real broker: whatever is stopped, killed, frozen or given away, each message counts exactly once.

mod kafka_support;

use kafka_support::copier::{FORGET, Pace, STALL};
use kafka_support::{SESSION, Topics, settings};
use runtime::kafka::{KafkaLog, KafkaSettings, Mechanism, Sasl, Secret, Security, block_on};
use runtime::worker::log::{Batch, Consumer, Event, GatherLimits, Log, LogError, Outgoing, Producer, TransactionError};
use runtime::worker::{ForgottenPositions, WorkerError};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use testkit::services::{Kafka, PASSWORD, PASSWORD_USER};

const LIMITS: GatherLimits = GatherLimits { messages: 100, bytes: 1 << 20, wait: Duration::from_millis(100) };

#[test]
fn starts_and_goes_on_where_it_stopped() {
    let topics = Topics::new("restart", 2);
    topics.write_numbered(2, 0, 1_000);
    let first = topics.run_one("a");
    topics.wait_for_output(2_000, &[&first]);
    first.stop();

    topics.write_numbered(2, 1_000, 500);
    let second = topics.run_one("b");
    topics.wait_for_output(3_000, &[&second]);
    let reports = second.stop();
    topics.check_output(3_000);
    let restored = reports.iter().filter(|report| report.starts_with("Restored"));
    assert!(restored.clone().count() == 2 && restored.clone().all(|report| !report.ends_with(" 0)")), "{reports:#?}");
}

#[test]
fn deletions_reach_the_changelog_and_the_restored_state() {
    let topics = Topics::new("deletions", 1);
    let message = |value: &str| (0, "k".to_owned(), value.to_owned());
    topics.write([message("1"), message("2"), message(FORGET), (0, "other".to_owned(), "1".to_owned())]);
    let first = topics.run_one("a");
    topics.wait_for_output(3, &[&first]);
    first.stop();
    let last = topics.read("log").into_iter().rfind(|(_, key, _)| key == b"k").expect("an entry");
    assert_eq!(last, (0, b"k".to_vec(), None));

    topics.write([message("3")]);
    let second = topics.run_one("b");
    topics.wait_for_output(4, &[&second]);
    second.stop();
    let counts: Vec<_> =
        topics.read("out").into_iter().filter(|(_, key, _)| key == b"k").map(|(_, _, value)| value).collect();
    let expected = [b"0:0:1", b"0:1:2", b"0:4:1"].map(|value| Some(value.to_vec()));
    assert_eq!(counts, expected);
}

#[test]
fn keys_find_the_partitions_that_other_clients_of_kafka_choose() {
    let topics = Topics::new("keys", 8);
    let keys = ["foobar", "account-1", "endpoint-2", "kafka", "21", "x"];
    topics.write(keys.map(|key| (0, key.to_owned(), "1".to_owned())));
    let worker = topics.run_one("a");
    topics.wait_for_output(keys.len(), &[&worker]);
    worker.stop();
    for (partition, key, _) in topics.read("out") {
        assert_eq!(partition, murmur2(&key) % 8, "{}", String::from_utf8_lossy(&key));
    }
}

/// The published hash of Kafka's Java client, without its sign.
fn murmur2(key: &[u8]) -> i32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ key.len() as u32;
    let (words, rest) = key.as_chunks::<4>();
    for word in words {
        let word = u32::from_le_bytes(*word).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ (word ^ (word >> 24)).wrapping_mul(M);
    }
    if !rest.is_empty() {
        let last = rest.iter().rev().fold(0, |last, byte| last << 8 | u32::from(*byte));
        hash = (hash ^ last).wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    ((hash ^ (hash >> 15)) & 0x7fff_ffff) as i32
}

#[test]
fn two_workers_share_the_partitions_and_one_takes_over_from_the_other() {
    let topics = Topics::new("rebalance", 4);
    topics.write_numbered(4, 0, 500);
    let first = topics.run_one("a");
    first.wait_for(|report| report.starts_with("Committed"));
    let second = topics.run_one("b");
    second.wait_for(|report| report.starts_with("Restored"));
    first.wait_for(|report| report.starts_with("Released"));
    topics.write_numbered(4, 500, 500);
    topics.wait_for_output(4_000, &[&first, &second]);
    first.stop();
    topics.write_numbered(4, 1_000, 500);
    topics.wait_for_output(6_000, &[&second]);
    second.stop();
    topics.check_output(6_000);
}

/// Leaves a transaction open over the position of a group's partition 0: what a worker leaves that dies between offsets and commit.
fn leave_open(log: &KafkaLog, name: &str) {
    let (mut consumer, mut producer) = join_and_produce(log, name, "a");
    block_on(async {
        producer.begin().await.expect("begun");
        for topic in ["out", "log"] {
            let topic = format!("{name}-{topic}");
            let value = Some(&b"0:0:999"[..]);
            let message = Outgoing { topic: &topic, partition: Some(0), key: Some(b"never"), value, headers: &[] };
            producer.send(message).await.expect("sent");
        }
        let partition = runtime::worker::log::Partition { topic: 0, number: 0 };
        let owner = format!("{name}-a");
        producer.send_offsets(&[(partition, 11)], &owner, &consumer.group()).await.expect("sent");
        producer.first_delivery().await;
        println!("open");
        // Killed here; the rest is only reached if that fails.
        consumer
            .gather(&mut Batch::default(), &GatherLimits { wait: Duration::from_secs(60), ..LIMITS })
            .await
            .expect("news");
    });
}

/// A member of the test's group that has been given partitions and answered, and a producer.
fn join_and_produce(
    log: &KafkaLog,
    name: &str,
    id: &str,
) -> (<KafkaLog as Log>::Consumer, <KafkaLog as Log>::Producer) {
    block_on(async {
        let producer = log.producer(&format!("{name}-{id}")).await.expect("a producer");
        let mut consumer = log.consumer(&format!("{name}-group"), &[format!("{name}-in")]).await.expect("a consumer");
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            if let Event::Assigned(partitions) = consumer.gather(&mut Batch::default(), &LIMITS).await.expect("news") {
                let positions: Vec<_> = partitions.into_iter().map(|partition| (partition, 0)).collect();
                consumer.start(&positions).await.expect("started");
                return (consumer, producer);
            }
        }
        panic!("no partitions");
    })
}

#[test]
fn child_that_leaves_a_transaction_open() {
    // Does something only in the child process of the next test.
    if let Ok(name) = std::env::var("RATER_TEST_LEAVE_OPEN") {
        let bootstrap = std::env::var("RATER_TEST_LEAVE_OPEN_AT").expect("brokers");
        // Longer than the test waits: only fencing ends the transaction.
        let mut settings = settings(&bootstrap);
        settings.timeouts.transaction = Duration::from_secs(300);
        leave_open(&KafkaLog::new(settings).expect("settings"), &name);
    }
}

#[test]
fn a_killed_worker_does_not_hold_up_its_successor() {
    let topics = Topics::new("killed", 1);
    topics.write_numbered(1, 0, 10);
    let first = topics.run_one("a");
    topics.wait_for_output(10, &[&first]);
    first.stop();

    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "child_that_leaves_a_transaction_open", "--nocapture"])
        .env("RATER_TEST_LEAVE_OPEN", &topics.name)
        .env("RATER_TEST_LEAVE_OPEN_AT", topics.kafka.bootstrap())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    assert!(lines.any(|line| line.expect("text").ends_with("open")), "the child ended too early");
    child.kill().expect("killed");
    child.wait().expect("its end");

    topics.write_numbered(1, 10, 10);
    let second = topics.run_one("b");
    // The group waits for the dead member until its session ends; from then on it is our time.
    second.wait_for(|report| report.starts_with("Waiting"));
    let blocked = Instant::now();
    topics.wait_for_output(20, &[&second]);
    let took = blocked.elapsed();
    let reports = second.stop();
    topics.check_output(20);
    assert!(took < Duration::from_secs(5), "{took:?}: {reports:#?}");
    assert!(topics.read("log").iter().all(|(_, key, _)| key != b"never"));
}

#[test]
fn a_worker_that_was_away_too_long_changes_nothing() {
    let topics = Topics::new("away", 1);
    topics.write([(0, "k".to_owned(), STALL.to_owned())]);
    let away = topics.run("a", Pace::Stalls(SESSION + Duration::from_secs(4)), ForgottenPositions::Stop, "group");
    away.wait_for(|report| report.starts_with("Restored"));
    std::thread::sleep(Duration::from_millis(500));
    let other = topics.run_one("b");
    topics.wait_for_output(1, &[&away, &other]);
    topics.write_numbered(1, 0, 10);
    away.wait_for(|report| report.starts_with("Released"));
    topics.wait_for_output(11, &[&away, &other]);
    let reports = away.stop();
    other.stop();
    topics.check_output(11);
    assert!(reports.iter().any(|report| report.starts_with("Aborted")), "{reports:#?}");
}

#[test]
fn a_member_that_was_replaced_and_a_fenced_producer_cannot_commit() {
    let topics = Topics::new("zombie", 1);
    let log = topics.log();
    let (consumer, mut producer) = join_and_produce(&log, &topics.name, "a");
    let replaced = consumer.group();
    drop(consumer);
    let (_successor, _other) = join_and_produce(&log, &topics.name, "b");
    block_on(async {
        producer.begin().await.expect("begun");
        let out = topics.topic("out");
        let message = Outgoing { topic: &out, partition: None, key: Some(b"k"), value: Some(b"0:0:1"), headers: &[] };
        producer.send(message).await.expect("sent");
        let position = [(runtime::worker::log::Partition { topic: 0, number: 0 }, 1)];
        let refused = producer.send_offsets(&position, "zombie", &replaced).await.expect_err("another generation");
        assert!(matches!(refused, TransactionError::Abortable(_)), "{refused:?}");
        producer.first_delivery().await;
        producer.abort().await.expect("aborted");

        producer.begin().await.expect("begun again");
        producer.send(message).await.expect("sent");
        log.fence(&topics.topic("a")).await.expect("fenced");
        let fenced = producer.commit().await.expect_err("a successor is there");
        assert!(matches!(fenced, TransactionError::Uncertain(_)), "{fenced:?}");
    });
    topics.check_output(0);
}

#[test]
fn forgotten_positions_stop_the_worker_or_come_from_the_state() {
    let topics = Topics::new("forgotten", 1);
    topics.write_numbered(1, 0, 10);
    let first = topics.run_one("a");
    topics.wait_for_output(10, &[&first]);
    first.stop();
    topics.write_numbered(1, 10, 10);

    let error = topics.run("b", Pace::Steady, ForgottenPositions::Stop, "new-group").error();
    assert!(matches!(error, WorkerError::Position { group: None, state: Some(10), .. }), "{error}");
    let third = topics.run("c", Pace::Steady, ForgottenPositions::FromState, "new-group");
    topics.wait_for_output(20, &[&third]);
    third.stop();
    topics.check_output(20);
}

#[test]
fn messages_that_are_gone_are_not_skipped() {
    let topics = Topics::new("gone", 1);
    let log = topics.log();
    let (mut consumer, _producer) = join_and_produce(&log, &topics.name, "a");
    let beyond = [(runtime::worker::log::Partition { topic: 0, number: 0 }, 5)];
    let error = block_on(async {
        consumer.seek(beyond[0].0, 5).await.expect("sought");
        loop {
            if let Err(error) = consumer.gather(&mut Batch::default(), &LIMITS).await {
                break error;
            }
        }
    });
    assert!(
        matches!(&error, LogError::Refused(what) if what.contains("position is not in the partition")),
        "{error:?}"
    );
}

#[test]
fn what_is_wrong_outside_is_said() {
    let topics = Topics::new("wrong", 1);
    let log = topics.log();
    let bootstrap = topics.kafka.bootstrap();
    let refused = |result: Result<u32, LogError>, text: &str| {
        assert_eq!(result, Err(LogError::Missing(text.to_owned())));
    };
    let hint = "`rater topics plan` shows what is missing, `rater topics apply` makes it";
    block_on(async {
        let text = format!("topic \"no-such\": kafka at {bootstrap} has no such topic or partition; {hint}");
        refused(log.partitions("no-such").await, &text);
        let missing = log.consumer("g", &["no-such".to_owned()]).await.map(|_| 0);
        refused(missing, &text);
        let end = log.uncommitted_end(&topics.topic("in"), 7).await;
        let topic = topics.topic("in");
        let text = format!("topic {topic:?} partition 7: kafka at {bootstrap} has no such topic or partition; {hint}");
        assert_eq!(end, Err(LogError::Missing(text)));

        let mut producer = log.producer(&topics.topic("a")).await.expect("a producer");
        producer.begin().await.expect("begun");
        let message = Outgoing { topic: "no-such", partition: None, key: None, value: None, headers: &[] };
        let error = producer.send(message).await.expect_err("no topic");
        assert!(matches!(&error, TransactionError::Uncertain(what) if what.contains("no such topic")), "{error:?}");

        let broker = topics.kafka.brokers().first().expect("a broker of our own");
        let with_password = |password: &str| {
            let mut settings = KafkaSettings::new([broker.password_address().to_owned()]);
            let (user, password) = (PASSWORD_USER.to_owned(), Secret::new(password));
            settings.security =
                Security::Sasl(Sasl { mechanism: Mechanism::Plain, user, password, password_file: None });
            KafkaLog::new(settings).expect("settings")
        };
        let at = broker.password_address();
        assert_eq!(with_password(PASSWORD).partitions(&topics.topic("in")).await, Ok(1));
        with_password(PASSWORD).producer(&topics.topic("a")).await.map(drop).expect("a producer");
        let start = Instant::now();
        let wrong = with_password("wrong-one");
        let asked = wrong.partitions(&topics.topic("in")).await.map(drop);
        let produced = wrong.producer(&topics.topic("a")).await.map(drop);
        for refused in [asked, produced] {
            let Err(LogError::Refused(text)) = &refused else { panic!("{refused:?}") };
            assert!(text.contains(&format!("kafka at {at} refuses the credentials: ")), "{text}");
            assert!(!text.contains("wrong-one"), "{text}");
        }
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());

        let mut away = KafkaSettings::new(["127.0.0.1:1".to_owned()]);
        away.timeouts.request = Duration::from_secs(1);
        let error = KafkaLog::new(away).expect("settings").partitions("t").await.expect_err("nobody there");
        let text = error.to_string();
        assert!(matches!(error, LogError::Unavailable(_)), "{text}");
        assert!(
            text.starts_with("topic \"t\": no answer from kafka at 127.0.0.1:1: ") && text.contains("refused"),
            "{text}"
        );
    });
}

/// A broker that one test alone may stop.
fn own_kafka() -> &'static Kafka {
    static OWN: OnceLock<Kafka> = OnceLock::new();
    OWN.get_or_init(|| Kafka::start().expect("a broker"))
}

#[test]
fn a_broker_that_freezes_or_dies_delays_and_changes_nothing() {
    let kafka = own_kafka();
    let topics = Topics::on(kafka, "outage", 2);
    topics.write_numbered(2, 0, 5_000);
    let worker = topics.run_one("a");
    worker.wait_for(|report| report.starts_with("Committed"));
    // In the middle of the work: some transaction is under way.
    kafka.pause().expect("frozen");
    std::thread::sleep(Duration::from_secs(3));
    kafka.resume().expect("going on");
    topics.wait_for_output(10_000, &[&worker]);

    topics.write_numbered(2, 5_000, 5_000);
    std::thread::sleep(Duration::from_millis(60));
    kafka.kill().expect("killed");
    kafka.restart().expect("there again");
    topics.wait_for_output(20_000, &[&worker]);
    topics.check_output(20_000);

    // Nobody answers any more: it ends nevertheless.
    kafka.pause().expect("frozen");
    let start = Instant::now();
    worker.stop();
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    kafka.kill().expect("killed");
}
