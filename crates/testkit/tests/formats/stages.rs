//! The stages go on from changelogs and with messages that an earlier version wrote.

use super::memory::{self, Positions, Roughness, Topics};
use super::{bytes, hex, reference};
use directory::Loaded;
use runtime::service::tail::MessageReader;
use runtime::stages::{
    GuideSettings, GuideStage, IntakeStage, RateSettings, RateStage, RecycleRequest, RecycleSettings, RecycleStage,
    ScratchSettings,
};
use runtime::worker::log::Partition;
use runtime::worker::{Beginning, SidePlace, Stage};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use testkit::generator::random::Random;
use testkit::samples::{self, Freeze, freeze, text};
use testkit::stages::{frames, guide_settings, inbound, intake, rate_settings};

/// Every topic and its partitions.
const TOPICS: [(&str, u32); 16] = [
    ("usage", 2),
    ("intake-changelog", 2),
    ("intaken", 2),
    ("guide-changelog", 2),
    ("guided", 4),
    ("rate-changelog", 4),
    ("waiting", 2),
    ("recycle-changelog", 2),
    ("ticks", 1),
    ("retries", 2),
    ("charges", 1),
    ("balance-deltas", 1),
    ("notifications", 1),
    ("suspense", 1),
    ("command-replies", 1),
    ("life-events", 1),
];

/// A sample of all topics between the stages.
struct Generation {
    folder: &'static str,
    /// The first of [`TOPICS`] are part of it.
    topics: usize,
    /// Where what is expected of its continuation stands.
    expected: &'static str,
}

/// Ticks and retries were among usage.
const FIRST: Generation = Generation { folder: "stages", topics: 8, expected: "stages" };
/// State was written account by account; the accounts of `phases.yaml` are in it.
const SECOND: Generation = Generation { folder: "stages-2", topics: 10, expected: "stages-2" };
/// State consists of rows. It goes on as the second one does.
const THIRD: Generation = Generation { folder: "stages-3", topics: 10, expected: "stages-2" };

/// The one that `RATER_FREEZE=samples` makes: edges name who stands above their payers, and commands their references. It goes on as the second one does.
const FOURTH: Generation = Generation { folder: "stages-4", topics: 10, expected: "stages-2" };

/// The outputs that are compared.
const OUTPUTS: [&str; 5] = ["charges", "balance-deltas", "notifications", "suspense", "command-replies"];
const WINDOW_H: Option<u32> = Some(720);
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// A stage and where it is.
pub(super) struct Running<S>(S, Positions);

impl<S: Stage> Running<S> {
    /// Restores a stage from its changelog.
    pub(super) fn new(mut stage: S, topics: &Topics) -> Running<S> {
        let mut positions = Positions::new();
        let changelog = stage.changelog().to_owned();
        for (topic, name) in (0_u16..).zip(stage.inputs().to_vec()) {
            for number in 0..topics.partitions(&name) {
                let partition = Partition { topic, number };
                stage.create(partition);
                for (key, value) in topics.messages(&changelog, number) {
                    let key = key.as_deref().unwrap_or_default();
                    stage.restore(partition, key, value.as_deref()).unwrap_or_else(|error| panic!("{error}"));
                }
                let position = stage.restored(partition).expect("a position").unwrap_or(0);
                let places = stage.known(partition).sides.into_iter();
                let sides = places.map(|place| place.unwrap_or(SidePlace { offset: 0, id: None })).collect();
                stage.begin(partition, &Beginning { position, topic: None, sides });
                positions.insert(partition, position);
            }
        }
        Running(stage, positions)
    }

    pub(super) fn go_on(&mut self, topics: &mut Topics, random: &mut Random) {
        let calm = Roughness { undone: 0, restored: 0, largest_batch: 8 };
        memory::go_on(&mut self.0, &mut self.1, topics, calm, random);
    }
}

struct Pipeline {
    topics: Topics,
    random: Random,
    intake: Running<IntakeStage>,
    guide: Running<GuideStage>,
    rate: Running<RateStage>,
    recycle: Running<RecycleStage>,
}

impl Pipeline {
    fn new(topics: Topics, loaded: &Loaded) -> Pipeline {
        let guided = 4;
        let guide = GuideSettings { duplicate_window_h: WINDOW_H, ..guide_settings(Some(2), guided) };
        let rate = RateSettings { duplicate_window_h: WINDOW_H, ..rate_settings(guided, 2) };
        let recycle = RecycleSettings {
            waiting: "waiting".to_owned(),
            ticks: "ticks".to_owned(),
            changelog: "recycle-changelog".to_owned(),
            inputs: vec![("usage".to_owned(), 2)],
            retries: "retries".to_owned(),
            suspense: "suspense".to_owned(),
            frames: frames(),
            events: None,
            future_ms: 0,
            scratch: ScratchSettings { memory_bytes: 1_000, ..ScratchSettings::default() },
        };
        Pipeline {
            intake: Running::new(intake(2, inbound("file")), &topics),
            guide: Running::new(GuideStage::new(guide, inbound("file"), loaded.directory()), &topics),
            rate: Running::new(RateStage::new(rate), &topics),
            recycle: Running::new(RecycleStage::new(recycle), &topics),
            random: Random::new(1),
            topics,
        }
    }

    /// Runs all stages until nothing is left.
    fn settle(&mut self) {
        for _ in 0..3 {
            let Pipeline { topics, random, intake, guide, rate, recycle } = self;
            intake.go_on(topics, random);
            guide.go_on(topics, random);
            rate.go_on(topics, random);
            recycle.go_on(topics, random);
        }
    }

    /// Writes lines of usage and commands as others do, every third message with a trace, and ticks as the ticker does, once all before is processed.
    fn write<'l>(&mut self, lines: impl Iterator<Item = &'l str>) {
        let headers = [("traceparent", PARENT.to_owned()), ("tracestate", "a=1".to_owned())];
        for (at, line) in lines.enumerate() {
            if line.starts_with("{\"tick\"") {
                self.tick(line.as_bytes());
                continue;
            }
            // All copies of a record to one partition, and commands in their order.
            let parsed: Value = serde_json::from_str(line).unwrap_or_default();
            let id = parsed["id"].as_str().unwrap_or_default();
            let partition = u32::from(id.bytes().last().unwrap_or_default()) % 2;
            let headers = if at % 3 == 0 { &headers[..] } else { &[] };
            let message = (Some(format!("k{}", at % 4).into_bytes()), Some(line.as_bytes().to_vec()));
            self.topics.append_with("usage", partition, message, headers);
        }
    }

    /// A tick, when all that was written before is processed.
    fn tick(&mut self, tick: &[u8]) {
        self.settle();
        self.topics.append("ticks", 0, (None, Some(tick.to_vec())));
        self.settle();
    }

    fn everywhere(&mut self, topic: &str, message: &[u8]) {
        for partition in 0..2 {
            self.topics.append(topic, partition, (None, Some(message.to_vec())));
        }
    }

    fn request(&mut self, request: &RecycleRequest) {
        self.everywhere("waiting", &request.message());
    }
}

fn empty() -> Topics {
    let mut topics = Topics::default();
    TOPICS.iter().for_each(|(topic, partitions)| topics.create(topic, *partitions));
    topics
}

/// What an earlier version did before it was stopped: something is left to do for every stage.
fn make() -> Topics {
    let mut pipeline = Pipeline::new(empty(), &reference(&["reference.yaml", "phases.yaml"]));
    pipeline.write(text("phases-before.jsonl").lines());
    pipeline.write(text("before.jsonl").lines());
    pipeline.settle();
    pipeline.tick(b"{\"tick\":\"2026-03-31T00:00:00Z\"}");
    pipeline.tick(b"{\"tick\":\"2026-03-31T00:01:00Z\"}");
    let interrupted = text("interrupted.jsonl");
    pipeline.write(interrupted.lines().take(14));
    pipeline.settle();
    // The more a stage is behind, the less it does.
    pipeline.write(interrupted.lines().skip(14).take(14));
    let Pipeline { topics, random, intake, guide, .. } = &mut pipeline;
    intake.go_on(topics, random);
    guide.go_on(topics, random);
    pipeline.write(interrupted.lines().skip(28));
    let Pipeline { topics, random, intake, .. } = &mut pipeline;
    intake.go_on(topics, random);
    // Retries are on their way back, and somebody has asked for more.
    pipeline.topics.append("ticks", 0, (None, Some(b"{\"tick\":\"2026-03-31T00:10:00Z\"}".to_vec())));
    let Pipeline { topics, random, recycle, .. } = &mut pipeline;
    recycle.go_on(topics, random);
    let write_off = Some("a test".to_owned());
    let ids = vec!["w14".to_owned()];
    pipeline.request(&RecycleRequest { ids, write_off, ..RecycleRequest::default() });
    pipeline.request(&RecycleRequest { reasons: vec!["blocked".to_owned()], ..RecycleRequest::default() });
    pipeline.topics
}

/// Writes topics as a sample.
pub(super) fn write_sample(folder: &str, of: &[(&str, u32)], topics: &Topics) {
    for (topic, partitions) in of {
        let mut out = String::new();
        for partition in 0..*partitions {
            for (offset, (key, value)) in topics.messages(topic, partition).iter().enumerate() {
                let hex = |part: &Option<Vec<u8>>| part.as_deref().map_or("-".to_owned(), hex);
                let offset = i64::try_from(offset).expect("an offset");
                let headers = topics.trace(topic, partition, offset).into_iter().flat_map(|trace| trace.headers());
                let trace: Vec<String> = headers.map(|(name, value)| format!(" {name}={value}")).collect();
                writeln!(out, "{partition} {} {}{}", hex(key), hex(value), trace.concat()).expect("written");
            }
        }
        samples::write(&format!("{folder}/{topic}.txt"), &out);
    }
}

/// Reads topics of a sample.
pub(super) fn read_sample(folder: &str, of: &[(&str, u32)], mut topics: Topics) -> Topics {
    for (topic, _) in of {
        for line in text(&format!("{folder}/{topic}.txt")).lines() {
            let mut parts = line.split(' ');
            let mut next = || parts.next().expect("partition, key and value");
            let partition = next().parse().expect("a partition");
            let part = |text: &str| (text != "-").then(|| bytes(text));
            let message = (part(next()), part(next()));
            let headers = parts.map(|header| {
                let (name, value) = header.split_once('=').expect("a header");
                (if name == "traceparent" { "traceparent" } else { "tracestate" }, value.to_owned())
            });
            topics.append_with(topic, partition, message, &headers.collect::<Vec<_>>());
        }
    }
    topics
}

/// The messages of an output that were added since the last call, in the order of their keys.
fn added(topics: &Topics, topic: &str, known: &mut BTreeMap<(String, Vec<u8>), usize>) -> Vec<Value> {
    let mut reader = MessageReader::new(None);
    let mut added = Vec::new();
    for (key, values) in topics.values_by_key(topic) {
        let known = known.entry((topic.to_owned(), key.clone())).or_default();
        for value in &values[std::mem::replace(known, values.len())..] {
            added.push(json!({ "key": String::from_utf8_lossy(&key), "value": reader.value(value) }));
        }
    }
    added
}

/// The continuation of a sample.
struct Continuation {
    folder: &'static str,
    pipeline: Pipeline,
    known: BTreeMap<(String, Vec<u8>), usize>,
}

impl Continuation {
    fn new(generation: &Generation) -> Continuation {
        let topics = read_sample(generation.folder, &TOPICS[..generation.topics], empty());
        let pipeline = Pipeline::new(topics, &reference(&["later.yaml"]));
        Continuation { folder: generation.expected, pipeline, known: BTreeMap::new() }
    }

    /// Settles, and compares what a step has added to the outputs with what an earlier version added.
    fn compare(&mut self, step: &str) {
        self.pipeline.settle();
        for topic in OUTPUTS {
            let found = added(&self.pipeline.topics, topic, &mut self.known);
            samples::compare(&format!("{}/expected/{step}-{topic}.jsonl", self.folder), &found);
        }
    }

    /// Starts all stages anew, with other reference data.
    fn restart(&mut self, names: &[&str]) {
        let topics = std::mem::take(&mut self.pipeline.topics);
        self.pipeline = Pipeline::new(topics, &reference(names));
    }

    /// Goes on in the accounts of `phases.yaml`, which the others never meet.
    fn phases(&mut self) {
        self.restart(&["later.yaml", "phases.yaml"]);
        self.pipeline.write(text("phases-after.jsonl").lines());
        self.compare("phases");
        self.restart(&["later.yaml"]);
    }

    fn left(&mut self) {
        self.compare("1-left");
    }

    fn rest(&mut self) {
        self.pipeline.write(text("after.jsonl").lines());
        self.compare("2-after");
        self.pipeline.tick(b"{\"tick\":\"2026-04-10T00:00:00Z\"}");
        self.pipeline.request(&RecycleRequest::default());
        self.compare("3-recycled");
        self.pipeline.request(&RecycleRequest { late: true, ..RecycleRequest::default() });
        self.compare("4-late");
    }
}

#[test]
fn stages_go_on_from_what_the_first_generation_wrote() {
    if freeze() == Freeze::Samples {
        return;
    }
    let mut continuation = Continuation::new(&FIRST);
    continuation.left();
    continuation.rest();
}

#[test]
fn stages_go_on_from_what_the_second_generation_wrote() {
    if freeze() == Freeze::Samples {
        return;
    }
    let mut continuation = Continuation::new(&SECOND);
    continuation.left();
    continuation.phases();
    continuation.rest();
}

#[test]
fn stages_go_on_from_what_the_third_generation_wrote() {
    if freeze() == Freeze::Samples {
        return;
    }
    let mut continuation = Continuation::new(&THIRD);
    continuation.left();
    continuation.phases();
    continuation.rest();
}

#[test]
fn stages_go_on_from_what_the_fourth_generation_wrote() {
    if freeze() == Freeze::Samples {
        write_sample(FOURTH.folder, &TOPICS[..FOURTH.topics], &make());
    }
    let mut continuation = Continuation::new(&FOURTH);
    continuation.left();
    continuation.phases();
    continuation.rest();
}
