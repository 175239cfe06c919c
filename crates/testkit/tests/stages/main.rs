//! The stages of the partitioned runtime against the engine of the embedded one, on generated traffic: byte for byte the same charges and
//! deltas for every account, however batches are cut, undone and restored.
//!
//! `RATER_STAGES_SEED=7` replays one seed.

mod cycle;
mod due;
mod full;
mod memory;
mod recycled;
mod sessions;
mod told;
mod windows;

use directory::snapshot::Snapshot;
use directory::{Directory, Input, InputKind, Loaded, Needs, Unavailable};
use memory::{Roughness, Topics};
use pipeline::IntakeRules;
use pipeline::duplicates::DEFAULT_STATE_HORIZON_H;
use runtime::engine::{BatchInput, BatchOutput, Engine, EngineSettings, Intent, Retry};
use runtime::grants::grant_lines;
use runtime::service::tail::MessageReader;
use runtime::stages::{GuidedEntry, read_guided};
use runtime::wire::{Decoder, Encoder, Message, OutputFormat, RawBatch};
use runtime::worker::Stage;
use runtime::worker::log::Partition;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use testkit::generator::random::Random;
use testkit::generator::traffic::{self, Step};
use testkit::stages::{self, frames, inbound};
use testkit::verify::Clocks;

const SEEDS: u64 = 30;
const RECORDS: u64 = 400;
/// Source of records that name none.
const SOURCE: &str = "file";

/// Partitions of the topics.
#[derive(Clone, Copy, Debug)]
struct Shape {
    usage: u32,
    /// 0: guide reads usage itself.
    intaken: u32,
    guided: u32,
}

#[test]
fn stages_charge_what_the_engine_charges() {
    let seeds = match std::env::var("RATER_STAGES_SEED") {
        Ok(seed) => vec![seed.parse().expect("a number")],
        Err(_) => (1..=SEEDS).collect::<Vec<u64>>(),
    };
    let shapes = [
        Shape { usage: 1, intaken: 1, guided: 1 },
        Shape { usage: 1, intaken: 0, guided: 4 },
        Shape { usage: 3, intaken: 4, guided: 8 },
    ];
    let mut charges = 0;
    for seed in &seeds {
        for shape in shapes {
            println!("seed {seed}, {shape:?}");
            charges += check(*seed, shape);
        }
    }
    assert!(charges > 300 * seeds.len(), "hardly anything was charged: {charges}");
}

fn load(reference: &str) -> Loaded {
    let input = Input { name: "rating.yaml".to_owned(), bytes: reference.into(), kind: InputKind::Yaml };
    directory::load(vec![input]).unwrap_or_else(|refused| panic!("{refused}"))
}

fn rules() -> IntakeRules {
    IntakeRules::new(SOURCE)
}

/// A datum behind what says its schema.
fn framed(message: Message, datum: &[u8]) -> Vec<u8> {
    [frames().prefix(message), datum].concat()
}

fn check(seed: u64, shape: Shape) -> usize {
    let generated = traffic::generate(seed, RECORDS);
    let loaded = load(&generated.reference);
    let grants: Vec<_> = loaded.grants().iter().collect();
    let granted = grant_lines(&grants, &loaded.snapshot);
    let mut lines: Vec<Vec<u8>> = (0..granted.len()).map(|at| granted.get(at).to_vec()).collect();
    lines.extend(generated.steps.iter().filter_map(|step| match step {
        Step::Line(line) => Some(line.clone()),
        Step::Replace(_) | Step::Recycle => None,
    }));
    let mut random = Random::new(seed);
    let mut topics = Topics::default();
    for (topic, partitions) in [
        ("usage", shape.usage),
        ("ticks", 1),
        ("retries", shape.usage),
        ("intake-changelog", shape.usage),
        ("intaken", shape.intaken),
        ("guide-changelog", shape.intaken.max(shape.usage)),
        ("guided", shape.guided),
        ("rate-changelog", shape.guided),
        ("charges", 3),
        ("balance-deltas", 3),
        ("notifications", 3),
        ("suspense", 3),
        ("waiting", 2),
        ("recycle-changelog", 2),
        ("command-replies", 3),
        ("life-events", 3),
    ] {
        topics.create(topic, partitions);
    }
    for line in &lines {
        if is_tick(line) {
            topics.append("ticks", 0, (None, Some(line.clone())));
            continue;
        }
        // Commands go to one partition, so that the engine can be given the same order.
        let is_usage = !line.windows(12).any(|part| part == b"\"command_id\"");
        let partition = if is_usage { random.below(shape.usage.into()) as u32 } else { 0 };
        topics.append("usage", partition, (Some(b"key".to_vec()), Some(line.clone())));
    }
    run_stages(&loaded, shape, &mut topics, &mut random);
    let of_log = rate_guided_log(&loaded, shape, &topics);
    for (topic, expected) in of_log.by_account() {
        assert_same(topic, &topics.values_by_key(topic), expected);
    }
    // Where one partition has the order of the input, the engine does the same with the input itself. How late it is for rate is another matter, and
    // with it `booked_time` and whether a dated status is told by its command or by the clock.
    let expected = match shape.usage {
        1 => {
            let of_lines = rate_lines(&loaded, Horizon::FAR, &lines);
            for (topic, expected) in of_lines.by_account().into_iter().filter(|(topic, _)| *topic != "life-events") {
                assert_same(topic, &undated(&topics.values_by_key(topic)), &undated(expected));
            }
            of_lines
        }
        _ => of_log,
    };
    let waiting: usize = topics.values_by_key("suspense").values().map(Vec::len).sum();
    assert_eq!(waiting, expected.suspended, "things that wait");
    assert!(waiting > 0, "nothing waits: the traffic is too tame");
    let in_any_order = |mut replies: BTreeMap<Vec<u8>, Vec<Vec<u8>>>| {
        replies.values_mut().for_each(|of_account| of_account.sort_unstable());
        replies
    };
    let replies = in_any_order(topics.values_by_key("command-replies"));
    let count: usize = replies.values().map(Vec::len).sum();
    assert!(count >= granted.len() && !expected.life_events.is_empty(), "{count} replies");
    // Guide and rate answer side by side; of the guided log only what reached rate is known.
    if shape.usage == 1 {
        assert!(replies == in_any_order(expected.replies.clone()), "replies differ");
    }
    expected.charges.values().map(Vec::len).sum()
}

/// Whether a line is a tick; one that cannot be read stays among usage.
fn is_tick(line: &[u8]) -> bool {
    let read: Option<serde_json::Value> = serde_json::from_slice(line).ok();
    let instant = read.as_ref().and_then(|line| line.get("tick")).and_then(|tick| tick.as_str());
    instant.is_some_and(|instant| instant.parse::<jiff::Timestamp>().is_ok())
}

fn run_stages(loaded: &Loaded, shape: Shape, topics: &mut Topics, random: &mut Random) {
    let roughness = Roughness { undone: 300, restored: 100, largest_batch: 40 };
    if shape.intaken > 0 {
        memory::run(&mut stages::intake(shape.intaken, inbound(SOURCE)), topics, roughness, random);
    }
    let senders = (shape.intaken > 0).then_some(shape.usage as usize);
    let directory: Arc<dyn Directory> = match random.chance(500) {
        true => Arc::new(PerBatch { snapshot: loaded.snapshot.clone(), asked: AtomicU32::new(0) }),
        false => loaded.directory(),
    };
    let mut guide = stages::guide(senders, shape.guided, inbound(SOURCE), directory);
    memory::run(&mut guide, topics, roughness, random);
    let mut rate = stages::rate(shape.guided, shape.intaken.max(shape.usage) as usize);
    memory::run(&mut rate, topics, Roughness { largest_batch: 4, ..roughness }, random);
}

/// A directory that has to be asked for every batch, and answers every other time only.
#[derive(Debug)]
struct PerBatch {
    snapshot: Arc<Snapshot>,
    asked: AtomicU32,
}

impl Directory for PerBatch {
    fn can_answer(&self, _needs: &Needs<'_>) -> bool {
        true
    }

    fn whole(&self) -> Option<&Arc<Snapshot>> {
        None
    }

    fn snapshot_for(&self, _needs: &Needs<'_>) -> Result<Arc<Snapshot>, Unavailable> {
        match self.asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) {
            true => Err(Unavailable("not now".to_owned())),
            false => Ok(self.snapshot.clone()),
        }
    }
}

/// What the engine puts out.
#[derive(Default)]
struct Expected {
    charges: ByAccount,
    deltas: ByAccount,
    life_events: ByAccount,
    replies: ByAccount,
    suspended: usize,
}

impl Expected {
    /// What is compared account by account, in its order.
    fn by_account(&self) -> [(&'static str, &ByAccount); 3] {
        [("charges", &self.charges), ("balance-deltas", &self.deltas), ("life-events", &self.life_events)]
    }
}

/// Messages by account.
type ByAccount = BTreeMap<Vec<u8>, Vec<Vec<u8>>>;

fn assert_same(topic: &str, found: &ByAccount, expected: &ByAccount) {
    assert_eq!(found.len(), expected.len(), "accounts with {topic}");
    for (account, expected) in expected {
        let name = String::from_utf8_lossy(account);
        let found = found.get(account).map_or(&[][..], Vec::as_slice);
        if let Some(at) = (0..found.len().max(expected.len())).find(|at| found.get(*at) != expected.get(*at)) {
            let mut reader = MessageReader::new(None);
            let mut show = |message: Option<&Vec<u8>>| {
                message.map(|message| match message.first() {
                    Some(b'{') => String::from_utf8_lossy(message).into_owned(),
                    _ => reader.value(message).to_string(),
                })
            };
            let (found, expected) = (show(found.get(at)), show(expected.get(at)));
            panic!("{topic} of {name} differ at {at}:\n{found:?}\nexpected:\n{expected:?}");
        }
    }
}

/// Messages without the time when they were booked.
fn undated(messages: &ByAccount) -> ByAccount {
    let mut reader = MessageReader::new(None);
    let mut undated = |message: &Vec<u8>| {
        let mut value = reader.value(message);
        let fields = value.as_object_mut().expect("a message");
        fields.remove("booked_time");
        // The library hands maps out in any order.
        for map in ["codes", "properties"] {
            if let Some(map) = fields.get_mut(map).and_then(serde_json::Value::as_object_mut) {
                map.sort_keys();
            }
        }
        value.to_string().into_bytes()
    };
    let accounts = messages.iter();
    accounts.map(|(account, messages)| (account.clone(), messages.iter().map(&mut undated).collect())).collect()
}

/// How long record ids and sessions are remembered.
#[derive(Clone, Copy, Debug)]
struct Horizon {
    duplicate_window_h: Option<u32>,
    state_horizon_h: u32,
}

impl Horizon {
    /// Nothing that a test writes is forgotten.
    const FAR: Horizon = Horizon { duplicate_window_h: None, state_horizon_h: DEFAULT_STATE_HORIZON_H };
}

/// The engine of the embedded runtime, with what it put out by account.
struct Reference {
    avro: Engine,
    expected: Expected,
}

impl Reference {
    fn new(loaded: &Loaded, Horizon { duplicate_window_h, state_horizon_h }: Horizon) -> Reference {
        let settings = EngineSettings {
            rules: rules(),
            duplicate_window_h,
            command_memory_h: pipeline::duplicates::DEFAULT_COMMAND_HOURS,
            state_horizon_h,
            threads: 1,
        };
        let encoder = Encoder::new(OutputFormat::Avro, &loaded.version());
        Reference { avro: Engine::new(loaded.directory(), encoder, settings), expected: Expected::default() }
    }

    fn process(&mut self, records: &RawBatch, retries: &[Retry]) {
        let decoder = Decoder::json_lines();
        let input = BatchInput { records, decoder: &decoder, input: "usage", retries };
        let output = self.avro.process(input).expect("control totals");
        self.add(&output);
    }

    fn add(&mut self, output: &BatchOutput) {
        for charge in output.charges.messages() {
            // A charge names its payer as the field behind `level`; a delta its account as the second.
            self.expected.charges.entry(payer_of(charge)).or_default().push(framed(Message::Charge, charge));
        }
        for delta in output.deltas.messages() {
            let mut rest = delta;
            text(&mut rest);
            let account = text(&mut rest);
            self.expected.deltas.entry(account).or_default().push(framed(Message::BalanceDelta, delta));
        }
        let Expected { life_events, replies, suspended, .. } = &mut self.expected;
        for (message, output, expected) in
            [(Message::LifeEvent, &output.life_events, life_events), (Message::CommandReply, &output.replies, replies)]
        {
            for datum in output.messages() {
                // The account is the third text of both.
                let rest = &mut &*datum;
                let account = (text(rest), text(rest), text(rest)).2;
                expected.entry(account).or_default().push(framed(message, datum));
            }
        }
        *suspended += output.suspense.messages().count();
    }
}

fn long(rest: &mut &[u8]) -> i64 {
    let (mut value, mut shift) = (0_u64, 0);
    loop {
        let (byte, after) = rest.split_first().expect("a byte");
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return (value >> 1).cast_signed() ^ -((value & 1).cast_signed());
        }
    }
}

fn text(rest: &mut &[u8]) -> Vec<u8> {
    let length = usize::try_from(long(rest)).expect("a length");
    let (text, after) = rest.split_at(length);
    *rest = after;
    text.to_vec()
}

fn optional<T>(rest: &mut &[u8], read: impl FnOnce(&mut &[u8]) -> T) -> Option<T> {
    (long(rest) == 1).then(|| read(rest))
}

fn payer_of(charge: &[u8]) -> Vec<u8> {
    let rest = &mut &*charge;
    text(rest);
    long(rest);
    text(rest);
    for _ in 0..3 {
        optional(rest, text);
    }
    optional(rest, long);
    text(rest)
}

fn rate_lines(loaded: &Loaded, horizon: Horizon, lines: &[Vec<u8>]) -> Expected {
    let mut reference = Reference::new(loaded, horizon);
    let mut records = RawBatch::default();
    for (line, place) in lines.iter().zip(1..) {
        records.push(line, place);
    }
    reference.process(&records, &[]);
    reference.expected
}

/// The engine, given the guided log: each partition on its own, record by record, level by level.
fn rate_guided_log(loaded: &Loaded, shape: Shape, topics: &Topics) -> Expected {
    let mut expected = Expected::default();
    for partition in 0..shape.guided {
        let mut reference = Reference::new(loaded, Horizon::FAR);
        let mut clocks = Clocks::new(shape.intaken.max(shape.usage) as usize);
        for (_, value) in topics.messages("guided", partition) {
            let message = read_guided(value.as_deref().expect("a value")).expect("a packed message");
            let (mut records, mut retries) = (RawBatch::default(), Vec::new());
            for entry in &message.entries {
                let mut add = |original: &[u8], intent| {
                    records.push(original, 1);
                    retries.push(Retry { arrival: pipeline::Arrival { intent, held: None }, ..Retry::FRESH });
                };
                match entry {
                    GuidedEntry::Legs { original, levels, .. } => {
                        let reason = rating::SuspenseReason::NoRate;
                        levels.iter().for_each(|(level, _)| add(original, Intent::Level { level: *level, reason }));
                    }
                    GuidedEntry::Command { original, .. } => add(original, Intent::Admitted),
                    GuidedEntry::Change(_) => unreachable!("guide tells no account"),
                    GuidedEntry::Tick(instant) => {
                        if let Some(clock) = clocks.tick(&message.source, *instant) {
                            records.push(format!("{{\"tick\":\"{clock}\"}}").as_bytes(), 1);
                            retries.push(Retry::FRESH);
                        }
                    }
                }
            }
            reference.process(&records, &retries);
        }
        expected.suspended += reference.expected.suspended;
        expected.charges.extend(reference.expected.charges);
        expected.deltas.extend(reference.expected.deltas);
        expected.life_events.extend(reference.expected.life_events);
    }
    // What intake and guide found is the same in any order.
    let before_rate = topics.values_by_key("suspense").into_values().flatten().filter(|value| !is_from_rate(value));
    expected.suspended += before_rate.count();
    expected
}

/// Whether a message of suspense names the stage `rate`: its fourth text.
fn is_from_rate(suspense: &[u8]) -> bool {
    let rest = &mut suspense.strip_prefix(frames().prefix(Message::Suspense)).expect("a frame");
    (0..3).for_each(|_| drop(text(rest)));
    text(rest) == b"rate"
}

#[test]
fn ids_remembered_in_another_setting_are_refused_and_those_of_an_input_that_was_taken_away_are_not() {
    let loaded = load(&traffic::generate(1, 10).reference);
    let partition = Partition { topic: 0, number: 0 };
    for (senders, topic, is_refused) in [
        (None, "intaken", true),
        (None, "mediation-intaken", false),
        (None, "usage-2", false),
        (Some(1), "usage", true),
        (Some(1), "intaken-2", true),
    ] {
        let mut guide = stages::guide(senders, 1, inbound(SOURCE), loaded.directory());
        guide.create(partition);
        let key = [topic.as_bytes(), b"\0p"].concat();
        let restored = guide.restore(partition, &key, None);
        assert_eq!(restored.is_err(), is_refused, "{topic}: {restored:?}");
        if let Err(error) = restored {
            assert!(error.to_string().contains("--skip-intake"), "{error}");
        }
    }
}
