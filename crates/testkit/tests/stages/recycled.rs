//! What waits is tried again, by itself or on request, and charged exactly once, however rough it gets.

use super::memory::{self, Roughness, Running, Topics};
use super::{SOURCE, load};
use directory::Loaded;
use runtime::stages::{
    GuideSettings, GuideStage, IntakeStage, RateStage, RecycleRequest, RecycleSettings, RecycleStage, ScratchSettings,
};
use runtime::wire::Message;
use std::collections::BTreeMap;
use testkit::generator::random::Random;
use testkit::stages::{self, frames, inbound};

pub(super) const REFERENCE: &str = "
format: rater/v1
tariffs:
  retail:
    currency: GBP
    versions: [{ from: 2026-01-01T00:00:00Z, rates: [{ service: data, price: 0.10/MB }] }]
  wholesale:
    currency: GBP
    versions: [{ from: 2026-01-01T00:00:00Z, rates: [{ service: data, price: 0.05/MB }] }]
accounts:
  northstar: { kind: operator, currency: GBP }
  alpha: { kind: reseller, parent: northstar, currency: GBP, tariff: wholesale }
  acme: { kind: customer, parent: alpha, currency: GBP, tariff: retail }
endpoints:
  meter-1: { customer: acme, imsi: 001010000000001 }
";

/// The endpoint that turns up later.
pub(super) const TURNED_UP: &str = "  meter-2: { customer: acme, imsi: 001010000000002 }\n";

fn usage(id: u32, imsi: &str, service: &str) -> Vec<u8> {
    let unit = if service == "data" { "octets" } else { "messages" };
    format!(
        "{{\"id\":\"r{id}\",\"source\":\"s\",\"service\":\"{service}\",\"quantity\":1000000,\"unit\":\"{unit}\",\
         \"event_time\":\"2026-05-01T00:00:00Z\",\"imsi\":\"{imsi}\"}}"
    )
    .into_bytes()
}

fn tick(seconds: u32) -> Vec<u8> {
    format!("{{\"tick\":\"2026-05-01T00:{:02}:{:02}Z\"}}", seconds / 60, seconds % 60).into_bytes()
}

/// How rough it gets.
const ROUGHNESS: Roughness = Roughness { undone: 300, restored: 200, largest_batch: 6 };

/// A whole pipeline over topics in memory.
pub(super) struct Pipeline {
    pub(super) topics: Topics,
    pub(super) random: Random,
    partitions: u32,
    window_h: Option<u32>,
    intake: Option<Running<IntakeStage>>,
    guide: Running<GuideStage>,
    rate: Running<RateStage>,
    pub(super) recycle: Running<RecycleStage>,
}

impl Pipeline {
    fn new(seed: u64, partitions: u32, has_intake: bool, loaded: &Loaded) -> Pipeline {
        Pipeline::with_window(seed, (partitions, has_intake), None, loaded)
    }

    /// The same, where ids are remembered for so many hours.
    pub(super) fn with_window(
        seed: u64,
        (partitions, has_intake): (u32, bool),
        window_h: Option<u32>,
        loaded: &Loaded,
    ) -> Pipeline {
        let mut topics = Topics::default();
        let all = ["usage", "intake-changelog", "intaken", "guide-changelog", "guided", "rate-changelog", "charges"];
        let rest = [
            "balance-deltas",
            "notifications",
            "suspense",
            "waiting",
            "retries",
            "recycle-changelog",
            "command-replies",
            "life-events",
        ];
        for topic in all.into_iter().chain(rest) {
            topics.create(topic, partitions);
        }
        topics.create("ticks", 1);
        let intake = has_intake.then(|| Running::new(stages::intake(partitions, inbound(SOURCE)), &topics));
        let guide = Self::guide(partitions, has_intake, window_h, loaded);
        let rate = stages::rate(partitions, partitions as usize);
        let recycle = RecycleStage::new(RecycleSettings {
            waiting: "waiting".to_owned(),
            ticks: "ticks".to_owned(),
            changelog: "recycle-changelog".to_owned(),
            inputs: vec![("usage".to_owned(), partitions)],
            retries: "retries".to_owned(),
            suspense: "suspense".to_owned(),
            frames: frames(),
            events: None,
            future_ms: 0,
            // Hardly anything is kept in memory.
            scratch: ScratchSettings { memory_bytes: 300, ..ScratchSettings::default() },
        });
        let guide = Running::new(guide, &topics);
        let (rate, recycle) = (Running::new(rate, &topics), Running::new(recycle, &topics));
        let mut pipeline =
            Pipeline { topics, random: Random::new(seed), partitions, window_h, intake, guide, rate, recycle };
        // What comes to wait before the first tick waits from the beginning of time on.
        pipeline.tick(0);
        pipeline
    }

    fn guide(partitions: u32, has_intake: bool, duplicate_window_h: Option<u32>, loaded: &Loaded) -> GuideStage {
        let senders = has_intake.then_some(partitions as usize);
        let settings = GuideSettings { duplicate_window_h, ..stages::guide_settings(senders, partitions) };
        GuideStage::new(settings, inbound(SOURCE), loaded.directory())
    }

    /// The directory changes: guide starts again, from its changelog.
    pub(super) fn restart_guide(&mut self, loaded: &Loaded) {
        let mut guide = Self::guide(self.partitions, self.intake.is_some(), self.window_h, loaded);
        for (partition, position) in &self.guide.1 {
            let expected = (*position > 0).then_some(*position);
            memory::restore(&mut guide, &self.topics, *partition, &mut self.random, expected);
        }
        self.guide.0 = guide;
    }

    pub(super) fn write(&mut self, id: u32, message: Vec<u8>) {
        // All copies of a record to the same partition, as without intake they have to be.
        self.topics.append("usage", id % self.partitions, (Some(vec![0, 255]), Some(message)));
    }

    pub(super) fn everywhere(&mut self, topic: &str, message: &[u8]) {
        for partition in 0..self.partitions {
            self.topics.append(topic, partition, (None, Some(message.to_vec())));
        }
    }

    /// It is later now, and everything that follows from that happens.
    fn tick(&mut self, seconds: u32) {
        self.topics.append("ticks", 0, (None, Some(tick(seconds))));
        self.settle();
    }

    pub(super) fn settle(&mut self) {
        // Once around the circle, and once more for what came back.
        for _ in 0..2 {
            let Pipeline { topics, random, intake, guide, rate, recycle, .. } = self;
            if let Some(intake) = intake {
                intake.go_on(topics, ROUGHNESS, random);
            }
            guide.go_on(topics, ROUGHNESS, random);
            rate.go_on(topics, ROUGHNESS, random);
            recycle.go_on(topics, ROUGHNESS, random);
        }
    }

    fn count(&self, topic: &str) -> usize {
        self.topics.values_by_key(topic).values().map(Vec::len).sum()
    }

    /// How often each record was charged on each level.
    pub(super) fn charged(&self) -> BTreeMap<(Vec<u8>, i64), usize> {
        let mut charged = BTreeMap::new();
        for charge in self.topics.values_by_key("charges").into_values().flatten() {
            let rest = &mut charge.strip_prefix(frames().prefix(Message::Charge)).expect("a frame");
            super::text(rest);
            super::long(rest);
            super::text(rest);
            super::optional(rest, super::text);
            let id = super::optional(rest, super::text).expect("a record");
            super::optional(rest, super::text);
            let level = super::optional(rest, super::long).unwrap_or_else(|| panic!("no level"));
            *charged.entry((id, level)).or_default() += 1;
        }
        charged
    }
}

/// IMSI and service of records, in turn.
const KINDS: [(&str, &str); 3] = [("001010000000002", "data"), ("001010000000001", "data"), ("001010000000001", "sms")];

/// Records 0, 3, 6 ... of an endpoint that is not known yet, 1, 4 ... of one that is, 2, 5 ... of a service without a rate.
fn write_usage(pipeline: &mut Pipeline, count: u32) {
    for id in 0..count {
        let (imsi, service) = KINDS[(id % 3) as usize];
        pipeline.write(id, usage(id, imsi, service));
    }
}

const SEEDS: std::ops::Range<u64> = 1..21;

#[test]
fn an_endpoint_that_turns_up_is_charged_by_itself_and_once() {
    let (before, after) = (load(REFERENCE), load(&format!("{REFERENCE}{TURNED_UP}")));
    for seed in SEEDS {
        println!("seed {seed}");
        let mut pipeline = Pipeline::new(seed, 1 + (seed % 3) as u32, seed % 2 == 0, &before);
        write_usage(&mut pipeline, 30);
        pipeline.tick(1);
        assert_eq!((pipeline.count("charges"), pipeline.count("suspense")), (20, 30));
        // 10 records and 20 legs wait. After 10 s the records are tried again, in vain.
        pipeline.tick(5);
        assert_eq!(pipeline.count("suspense"), 30);
        pipeline.tick(20);
        assert_eq!((pipeline.count("charges"), pipeline.count("suspense")), (20, 40));
        pipeline.restart_guide(&after);
        pipeline.tick(60);
        assert_eq!(pipeline.count("charges"), 20, "the second pause is a minute");
        pipeline.tick(100);
        assert_eq!((pipeline.count("charges"), pipeline.count("suspense")), (40, 40));
        assert_eq!(pipeline.recycle.0.open_count(), 20, "legs without a rate");
        pipeline.tick(3000);
        let charged = pipeline.charged();
        assert_eq!(charged.len(), 40);
        assert!(charged.values().all(|count| *count == 1), "{charged:?}");
    }
}

#[test]
fn a_leg_is_tried_again_on_request_alone_and_once() {
    let before = load(REFERENCE);
    let sms = REFERENCE.replacen("price: 0.10/MB }", "price: 0.10/MB }, { service: sms, price: 0.01/message }", 1);
    let after = load(&sms);
    for seed in SEEDS {
        println!("seed {seed}");
        let mut pipeline = Pipeline::new(seed, 1 + (seed % 3) as u32, seed % 2 == 0, &before);
        write_usage(&mut pipeline, 30);
        pipeline.tick(1);
        pipeline.restart_guide(&after);
        pipeline.tick(2);
        assert_eq!(pipeline.count("charges"), 20, "nobody has asked");
        let only = RecycleRequest { reasons: vec!["blocked".to_owned()], ..RecycleRequest::default() };
        pipeline.everywhere("waiting", &only.message());
        pipeline.settle();
        assert_eq!(pipeline.count("charges"), 20, "nobody has asked for these");
        let one = RecycleRequest { ids: vec!["r2".to_owned()], ..RecycleRequest::default() };
        pipeline.everywhere("waiting", &one.message());
        pipeline.settle();
        assert_eq!(pipeline.count("charges"), 21, "the customer's level of one record");
        let all = RecycleRequest { reasons: vec!["no_rate".to_owned()], ..RecycleRequest::default() };
        pipeline.everywhere("waiting", &all.message());
        pipeline.settle();
        pipeline.everywhere("waiting", &all.message());
        pipeline.settle();
        // The reseller's tariff still has no rate for messages.
        assert_eq!(pipeline.count("charges"), 30);
        assert_eq!(pipeline.recycle.0.open_count(), 10 + 10, "records without an endpoint, the reseller's legs");
        assert!(pipeline.charged().values().all(|count| *count == 1));
    }
}

#[test]
fn a_retry_that_is_copied_is_not_charged_again() {
    let (before, after) = (load(REFERENCE), load(&format!("{REFERENCE}{TURNED_UP}")));
    for has_intake in [false, true] {
        let mut pipeline = Pipeline::new(7, 2, has_intake, &before);
        write_usage(&mut pipeline, 30);
        pipeline.tick(1);
        pipeline.restart_guide(&after);
        pipeline.tick(20);
        assert_eq!(pipeline.count("charges"), 40);
        // Somebody copies the whole input once more.
        for partition in 0..2 {
            for message in pipeline.topics.messages("usage", partition).to_vec() {
                pipeline.topics.append("usage", partition, message);
            }
        }
        pipeline.tick(30);
        assert_eq!(pipeline.count("charges"), 40);
        assert!(pipeline.charged().values().all(|count| *count == 1));
    }
}

#[test]
fn a_trace_goes_where_its_record_goes_however_often_it_is_tried() {
    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let (before, after) = (load(REFERENCE), load(&format!("{REFERENCE}{TURNED_UP}")));
    for seed in SEEDS {
        println!("seed {seed}");
        let mut pipeline = Pipeline::new(seed, 1 + (seed % 3) as u32, seed % 2 == 0, &before);
        let headers = [("traceparent", PARENT.to_owned()), ("tracestate", "a=1".to_owned())];
        for id in 0..30 {
            let (imsi, service) = KINDS[(id % 3) as usize];
            let message = (Some(vec![0, 255]), Some(usage(id, imsi, service)));
            let headers = if id < 15 { &headers[..] } else { &[] };
            pipeline.topics.append_with("usage", id % pipeline.partitions, message, headers);
        }
        let traced = |pipeline: &Pipeline, topic: &str| {
            let traces = pipeline.topics.traces(topic);
            let traces = traces.inspect(|trace| assert!(trace.headers().eq(headers.iter().cloned()), "{topic}"));
            (traces.count(), pipeline.count(topic))
        };
        pipeline.tick(1);
        assert_eq!(traced(&pipeline, "charges"), (10, 20));
        assert_eq!(traced(&pipeline, "suspense"), (15, 30));
        pipeline.restart_guide(&after);
        pipeline.tick(12);
        assert_eq!(traced(&pipeline, "charges"), (20, 40));
        assert_eq!(traced(&pipeline, "balance-deltas"), (20, 40));
        // What goes on together has no trace of its own.
        assert_eq!(traced(&pipeline, "guided").0, 0);
    }
}

#[test]
fn what_is_given_up_leaves_once_and_what_comes_later_does_not() {
    for seed in SEEDS {
        println!("seed {seed}");
        let mut pipeline = Pipeline::new(seed, 1 + (seed % 3) as u32, seed % 2 == 0, &load(REFERENCE));
        write_usage(&mut pipeline, 30);
        pipeline.tick(1);
        let (waiting, told) = (pipeline.recycle.0.open_count(), pipeline.count("suspense"));
        assert_eq!(waiting, told);
        let unknown = vec!["unknown_endpoint".to_owned()];
        let write_off = Some("a test".to_owned());
        let request = RecycleRequest { reasons: unknown, write_off, ..RecycleRequest::default() };
        pipeline.everywhere("waiting", &request.message());
        pipeline.everywhere("waiting", &request.message());
        // Due at the same time: given up goes before.
        pipeline.tick(11);
        assert_eq!((pipeline.recycle.0.open_count(), pipeline.count("suspense")), (waiting - 10, told + 10));
        // The request is done: what comes to wait now is not given up.
        pipeline.write(30, usage(30, "001010000000002", "data"));
        pipeline.tick(12);
        assert_eq!((pipeline.recycle.0.open_count(), pipeline.count("suspense")), (waiting - 9, told + 11));
        assert_eq!(pipeline.count("charges"), 20);
    }
}

#[test]
fn what_nobody_understands_among_what_waits_stops_nothing() {
    let mut pipeline = Pipeline::new(3, 2, false, &load(REFERENCE));
    for rubbish in [&b"{"[..], b"rubbish", b"", b"{\"recycle\":{\"reason\":1}}", b"{\"tick\":\"never\"}"] {
        pipeline.everywhere("waiting", rubbish);
    }
    write_usage(&mut pipeline, 3);
    pipeline.tick(1);
    assert_eq!(pipeline.recycle.0.open_count(), 3);
}
