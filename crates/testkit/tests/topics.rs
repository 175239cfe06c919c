//! Ticks in a topic of their own, and topics that are made anew, on a real broker.

use directory::{Input, InputKind, Loaded};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::{Message, Offset, TopicPartitionList};
use runtime::kafka::KafkaLog;
use runtime::service::run::run_on;
use runtime::service::topics::PartitionCounts;
use runtime::service::{ServiceError, ServiceReport, ServiceSettings};
use runtime::telemetry::{ReferenceNumbers, Telemetry};
use runtime::worker::{NewOffsets, NewTopic, WorkerError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use testkit::chaos::{DirectedLog, Moment};
use testkit::deployment::{self, Running, Shape};
use testkit::services::Kafka;

const PARTITIONS: u32 = 4;
const LIMIT: Duration = Duration::from_secs(60);
const REFERENCE: &str = "
format: rater/v1
tariffs:
  retail:
    currency: GBP
    versions: [{ from: 2026-01-01T00:00:00Z, rates: [{ service: data, price: 0.10/MB }] }]
accounts:
  northstar: { kind: operator, currency: GBP }
  acme: { kind: customer, parent: northstar, currency: GBP, tariff: retail }
endpoints:
  meter-1: { customer: acme, imsi: 001010000000001 }
";

struct Deployment {
    kafka: &'static Kafka,
    prefix: String,
    shape: Shape,
    loaded: Loaded,
    producer: ThreadedProducer<DefaultProducerContext>,
    written: u32,
}

impl Deployment {
    fn new(name: &str, skip_intake: bool) -> Deployment {
        let kafka = Kafka::shared().expect("a broker");
        let prefix = format!("{name}-{}-", std::process::id());
        let partitions = PartitionCounts { inputs: PARTITIONS, intaken: 2, guided: 2, outputs: 1 };
        let shape = Shape { partitions, skip_intake, workers: 1, batch: 50 };
        deployment::create_topics(kafka, &prefix, shape).expect("topics");
        let input = Input { name: "rating.yaml".to_owned(), bytes: REFERENCE.into(), kind: InputKind::Yaml };
        let loaded = directory::load(vec![input]).unwrap_or_else(|refused| panic!("{refused}"));
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", kafka.bootstrap());
        let producer = config.create().expect("a producer");
        Deployment { kafka, prefix, shape, loaded, producer, written: 0 }
    }

    fn settings(&self, instance: &str) -> ServiceSettings {
        ServiceSettings {
            instance: instance.to_owned(),
            duplicate_window_h: Some(1),
            ..deployment::settings(self.kafka.bootstrap(), &self.prefix, self.shape)
        }
    }

    fn start(&self, instance: &str) -> Running {
        deployment::start_with(self.settings(instance), &self.loaded)
    }

    fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Writes messages, and waits until the broker has them.
    fn write(&self, topic: &str, messages: impl IntoIterator<Item = (u32, String)>) {
        let topic = self.topic(topic);
        for (partition, value) in messages {
            let partition = i32::try_from(partition).expect("small");
            let record: BaseRecord<'_, [u8], str> = BaseRecord::to(&topic).partition(partition).payload(&value);
            self.producer.send(record).map_err(|(error, _)| error).expect("room");
        }
        self.producer.flush(LIMIT).expect("written");
    }

    /// Writes records of new ids that all happen at this time of day, to all partitions.
    fn usage(&mut self, count: u32, event_time: &str) {
        let first = self.written;
        self.written += count;
        let record = |id: u32| {
            let record = format!(
                r#"{{"id":"r{id}","source":"s","service":"data","quantity":1000,"unit":"octets","event_time":"{event_time}","imsi":"001010000000001"}}"#
            );
            (id % PARTITIONS, record)
        };
        self.write("usage", (first..first + count).map(record));
    }

    fn tick(&self, at: &str) {
        self.write("ticks", [(0, format!(r#"{{"tick":"{at}"}}"#))]);
    }

    /// Committed messages of the only partition of an output.
    fn read(&self, topic: &str) -> Vec<Vec<u8>> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.kafka.bootstrap()).set("group.id", "reader");
        config.set("enable.partition.eof", "true").set("isolation.level", "read_committed");
        let reader: BaseConsumer = config.create().expect("a consumer");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic(topic), 0, Offset::Beginning).expect("a partition");
        reader.assign(&list).expect("assigned");
        let mut found = Vec::new();
        loop {
            match reader.poll(LIMIT).expect("an answer") {
                Ok(message) => found.push(message.payload().unwrap_or_default().to_vec()),
                Err(KafkaError::PartitionEOF(_)) => return found,
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn count(&self, topic: &str) -> usize {
        self.read(topic).len()
    }

    /// How many messages of suspense have this reason.
    fn waiting(&self, reason: &str) -> usize {
        let waiting = self.read("suspense");
        waiting.iter().filter(|message| message.windows(reason.len()).any(|part| part == reason.as_bytes())).count()
    }

    #[track_caller]
    fn wait(&self, what: &str, running: &[&Running], is_done: impl Fn(&Deployment) -> bool) {
        let deadline = Instant::now() + LIMIT;
        while !is_done(self) {
            let has_ended = running.iter().any(|running| running.has_ended());
            if has_ended || Instant::now() > deadline {
                let told: Vec<Vec<String>> = running.iter().map(|running| running.reports()).collect();
                let (charges, late) = (self.count("charges"), self.waiting("too_late"));
                panic!("{what}: {charges} charges, {late} too late, ended: {has_ended}; {told:#?}");
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Records that happen at 00:00, and a tick three hours later, again and again: a tick that overtook one of them would make it too late.
fn ticks_do_not_overtake(name: &str, skip_intake: bool) {
    let mut deployment = Deployment::new(name, skip_intake);
    let first = deployment.start("a");
    let mut second = None;
    for day in 1..=12 {
        deployment.usage(200, &format!("2026-03-{day:02}T00:00:00Z"));
        deployment.tick(&format!("2026-03-{day:02}T03:00:00Z"));
        match day {
            4 => second = Some(deployment.start("b")),
            8 => thread::sleep(Duration::from_secs(4)),
            _ => thread::sleep(Duration::from_millis(150)),
        }
    }
    let second = second.expect("started");
    // The partitions go to the other one, which takes the ticks from where this one was.
    first.stop().expect("a clean end");
    deployment.usage(200, "2026-03-13T00:00:00Z");
    deployment.tick("2026-03-13T03:00:00Z");
    let expected = deployment.written as usize;
    deployment.wait("all charged", &[&second], |deployment| deployment.count("charges") >= expected);
    assert_eq!(deployment.waiting("too_late"), 0, "a tick has overtaken usage");
    assert_eq!(deployment.count("charges"), expected);
    // The clocks have moved all the same, without any usage.
    thread::sleep(Duration::from_secs(2));
    deployment.usage(4, "2026-03-13T01:00:00Z");
    deployment.wait("too late", &[&second], |deployment| deployment.waiting("too_late") == 4);
    assert_eq!(deployment.count("charges"), expected);
    second.stop().expect("a clean end");
}

#[test]
fn a_tick_does_not_overtake_usage_through_intake_and_a_rebalance() {
    ticks_do_not_overtake("ticks-intake", false);
}

#[test]
fn a_tick_does_not_overtake_usage_without_intake() {
    ticks_do_not_overtake("ticks-guide", true);
}

#[test]
fn foreign_and_wrong_ticks_move_no_clock() {
    for skip_intake in [false, true] {
        let mut deployment = Deployment::new(&format!("ticks-foreign-{skip_intake}"), skip_intake);
        let running = deployment.start("a");
        deployment.tick("2026-03-01T03:00:00Z");
        let wrong = ["", "{", "tick", "[1]", r#"{"tick":"never"}"#, r#"{"tick":"2026-03-01T03:00:00Z","id":"r1"}"#];
        deployment.write("ticks", wrong.map(|value| (0, value.to_owned())));
        // A process whose clock is a month ahead, for a while.
        let month = 30 * 86_400;
        let ahead = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(month);
        deployment.tick(&ahead.to_string());
        deployment.tick("2026-03-01T05:00:00Z");
        thread::sleep(Duration::from_secs(2));
        deployment.usage(20, "2026-03-01T05:00:00Z");
        deployment.wait("charged", &[&running], |deployment| deployment.count("charges") == 20);
        deployment.usage(4, "2026-03-01T03:00:00Z");
        deployment.wait("the good tick counts", &[&running], |deployment| deployment.waiting("too_late") == 4);
        // Among usage a tick is something wrong, and moves nothing either.
        deployment.write("usage", (0..PARTITIONS).map(|at| (at, r#"{"tick":"2026-03-20T00:00:00Z"}"#.to_owned())));
        deployment
            .wait("wrong kind", &[&running], |deployment| deployment.waiting("wrong_kind") == PARTITIONS as usize);
        deployment.usage(20, "2026-03-01T05:00:00Z");
        deployment.wait("charged", &[&running], |deployment| deployment.count("charges") == 40);
        let told = running.stop().expect("nothing of it stops a worker");
        let refused = told.iter().filter(|line| line.contains("Refused(")).count();
        assert!(refused > wrong.len(), "{refused} refused: {told:#?}");
    }
}

#[test]
fn ticks_that_their_writers_date_are_refused_at_the_start() {
    let deployment = Deployment::new("ticks-dated", false);
    let ticks = deployment.topic("ticks");
    deployment.kafka.delete_topic(&ticks).expect("deleted");
    deployment.kafka.create_topic(&ticks, 1, &[("message.timestamp.type", "CreateTime")]).expect("made anew");
    let error = deployment.start("a").stop().expect_err("refused");
    assert!(matches!(error, ServiceError::Configuration(_)), "{error}");
    assert!(error.to_string().contains("rater topics apply"), "{error}");
}

fn make_anew(deployment: &Deployment, topic: &str) {
    let topic = deployment.topic(topic);
    deployment.kafka.delete_topic(&topic).expect("deleted");
    let partitions = u16::try_from(PARTITIONS).expect("small");
    deployment.kafka.create_topic(&topic, partitions, &[]).expect("made anew");
}

#[track_caller]
fn is_made_anew(error: &ServiceError, topic: &str) {
    let ServiceError::Worker { error: WorkerError::MadeAnew { topic: told, known, now, .. }, .. } = error else {
        panic!("{error}")
    };
    assert!(told == topic && known != now && known.is_some() && now.is_some(), "{error}");
    assert!(error.to_string().contains(&format!("--topic-made-anew {topic}")), "{error}");
}

/// Nothing of the new topic is skipped, whether the service ran meanwhile or not, and nothing is read before somebody says so.
fn made_anew(name: &str, skip_intake: bool, is_running: bool) {
    let mut deployment = Deployment::new(name, skip_intake);
    let usage = deployment.topic("usage");
    let running = deployment.start("a");
    deployment.usage(200, "2026-03-01T00:00:00Z");
    deployment.tick("2026-02-28T00:00:00Z");
    deployment.wait("charged", &[&running], |deployment| deployment.count("charges") == 200);
    if is_running {
        make_anew(&deployment, "usage");
        deployment.usage(300, "2026-03-01T00:00:00Z");
        let deadline = Instant::now() + LIMIT;
        while !running.has_ended() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(100));
        }
        let error = running.stop().expect_err("it cannot go on");
        println!("{name}: {error}");
    } else {
        running.stop().expect("a clean end");
        make_anew(&deployment, "usage");
        deployment.usage(300, "2026-03-01T00:00:00Z");
    }
    assert_eq!(deployment.count("charges"), 200, "something of the new topic was read from a position of the old one");
    for forgotten in [runtime::worker::ForgottenPositions::Stop, runtime::worker::ForgottenPositions::FromState] {
        let settings = ServiceSettings { forgotten_positions: forgotten, ..deployment.settings("a") };
        let error = deployment::start_with(settings, &deployment.loaded).stop_when_it_ends();
        is_made_anew(&error, &usage);
    }
    assert_eq!(deployment.count("charges"), 200);
    let anew = NewTopic { name: usage.clone(), offsets: NewOffsets::Anew };
    let settings = ServiceSettings { topics_made_anew: vec![anew], ..deployment.settings("a") };
    let running = deployment::start_with(settings.clone(), &deployment.loaded);
    deployment.wait("all", &[&running], |deployment| deployment.count("charges") == 500);
    running.stop().expect("a clean end");
    // The option does nothing where the topic is the known one.
    let running = deployment::start_with(settings, &deployment.loaded);
    deployment.usage(50, "2026-03-01T00:00:00Z");
    deployment.wait("more", &[&running], |deployment| deployment.count("charges") == 550);
    thread::sleep(Duration::from_secs(1));
    assert_eq!(deployment.count("charges"), 550);
    running.stop().expect("a clean end");
}

#[test]
fn a_topic_made_anew_under_a_running_service_stops_it() {
    made_anew("anew-running", false, true);
}

#[test]
fn a_topic_made_anew_while_nobody_runs_is_not_the_old_one() {
    made_anew("anew-stopped", false, false);
}

/// What a mirror has copied has another id and the offsets that it had: with that said, everything goes on where it was.
#[test]
fn a_mirrored_topic_goes_on_where_it_was() {
    let mut deployment = Deployment::new("mirrored", false);
    let usage = deployment.topic("usage");
    let running = deployment.start("a");
    deployment.usage(200, "2026-03-01T00:00:00Z");
    deployment.wait("charged", &[&running], |deployment| deployment.count("charges") == 200);
    running.stop().expect("a clean end");
    make_anew(&deployment, "usage");
    deployment.written = 0;
    deployment.usage(240, "2026-03-01T00:00:00Z");
    let mirrored = NewTopic { name: usage, offsets: NewOffsets::Mirrored };
    let settings = ServiceSettings {
        topics_made_anew: vec![mirrored],
        forgotten_positions: runtime::worker::ForgottenPositions::FromState,
        ..deployment.settings("a")
    };
    let running = deployment::start_with(settings, &deployment.loaded);
    deployment.wait("the rest", &[&running], |deployment| deployment.count("charges") == 240);
    running.stop().expect("a clean end");
    let running = deployment.start("a");
    deployment.usage(10, "2026-03-01T00:00:00Z");
    deployment.wait("more", &[&running], |deployment| deployment.count("charges") == 250);
    running.stop().expect("a clean end");
    assert_eq!(deployment.count("suspense"), 0);
}

#[test]
fn a_topic_made_anew_is_noticed_without_intake() {
    made_anew("anew-guide", true, false);
}

/// A call never returns, as the client library's for positions does when its own request is lost: it is reported with its place, health fails, all other
/// workers end, and so would the process.
#[test]
fn a_call_that_does_not_return_is_told_of_and_ends_the_service() {
    let mut deployment = Deployment::new("hangs", false);
    let running = deployment.start("a");
    deployment.usage(50, "2026-03-01T00:00:00Z");
    deployment.wait("charged", &[&running], |deployment| deployment.count("charges") == 50);
    running.stop().expect("a clean end");

    let settings = ServiceSettings { call_limit: Duration::from_secs(5), ..deployment.settings("a") };
    let telemetry = Telemetry::new(&settings, &[], Box::new(reference_of_files)).expect("telemetry");
    let (is_stuck, has_hung) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
    let log = KafkaLog::new(settings.kafka.clone()).expect("settings");
    let log = DirectedLog::new(log, {
        let (is_stuck, has_hung) = (is_stuck.clone(), has_hung.clone());
        move |_| {
            let (is_stuck, has_hung) = (is_stuck.clone(), has_hung.clone());
            Box::new(move |moment| {
                // The first of all.
                if moment == Moment::BeforePositions && !has_hung.swap(true, Ordering::Relaxed) {
                    while is_stuck.load(Ordering::Relaxed) {
                        thread::sleep(Duration::from_millis(20));
                    }
                }
            })
        }
    });
    let (directory, stop) = (deployment.loaded.directory(), AtomicBool::new(false));
    deployment.usage(50, "2026-03-01T00:00:00Z");
    let since = Instant::now();
    let report = |told: ServiceReport<'_>| telemetry.tell(&told);
    let error = thread::scope(|scope| {
        let service = scope.spawn(|| run_on(&log, &settings, &directory, &stop, &report));
        let until = |what: &str, is_so: &dyn Fn() -> bool| {
            while !is_so() {
                assert!(since.elapsed() < LIMIT, "not {what}");
                thread::sleep(Duration::from_millis(20));
            }
        };
        until("told", &|| telemetry.readiness().reasons.iter().any(|why| why.contains("adding positions")));
        assert!(telemetry.ailments().is_empty(), "{:?}", telemetry.ailments());
        until("beyond", &|| !telemetry.ailments().is_empty());
        let ailments = telemetry.ailments();
        assert!(ailments[0].ends_with(
            "has been adding positions to a transaction for 5 s, longer than any call may take: the process ends"
        ));
        assert!(stop.load(Ordering::Relaxed) && !service.is_finished(), "a thread inside of a call cannot be ended");
        until("counted", &|| !telemetry.page().expect("a page").contains("rater_longest_call_seconds 0\n"));
        is_stuck.store(false, Ordering::Relaxed);
        service.join().expect("no panic").expect_err("it does not end in order")
    });
    assert!(error.to_string().contains("adding positions"), "{error}");
    // The next one goes on.
    let running = deployment.start("b");
    deployment.wait("all", &[&running], |deployment| deployment.count("charges") == 100);
    running.stop().expect("a clean end");
}

/// An assumption is broken right before a commit: nothing of it is committed, all workers end, and the process would say so. The next one goes on.
#[test]
fn a_broken_assumption_ends_the_service_before_anything_is_committed() {
    let mut deployment = Deployment::new("broken", false);
    let running = deployment.start("a");
    deployment.usage(50, "2026-03-01T00:00:00Z");
    deployment.wait("charged", &[&running], |deployment| deployment.count("charges") == 50);
    running.stop().expect("a clean end");

    let settings = deployment.settings("a");
    let has_broken = Arc::new(AtomicBool::new(false));
    let log = KafkaLog::new(settings.kafka.clone()).expect("settings");
    let log = DirectedLog::new(log, move |_| {
        let has_broken = has_broken.clone();
        Box::new(move |moment| {
            if moment == Moment::BeforePositions && !has_broken.swap(true, Ordering::Relaxed) {
                panic!("a plan names an instance that is not there");
            }
        })
    });
    deployment.usage(50, "2026-03-01T00:00:00Z");
    let (directory, stop) = (deployment.loaded.directory(), AtomicBool::new(false));
    let since = Instant::now();
    let error = run_on(&log, &settings, &directory, &stop, &|_| {}).expect_err("it does not end in order");
    assert!(since.elapsed() < LIMIT, "{:?}", since.elapsed());
    assert!(
        error.to_string().ends_with("control total assumption: a plan names an instance that is not there"),
        "{error}"
    );
    assert_eq!(deployment.count("charges"), 50, "nothing is committed");
    let running = deployment.start("b");
    deployment.wait("all", &[&running], |deployment| deployment.count("charges") == 100);
    running.stop().expect("a clean end");
}

fn reference_of_files() -> ReferenceNumbers {
    ReferenceNumbers { confirmed: rating::Timestamp::EPOCH, is_good: true, is_fresh: true, cache: None }
}
