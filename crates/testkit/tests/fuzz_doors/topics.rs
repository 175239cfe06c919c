//! Topics in memory: messages of every kind at every door, with all stages behind them, undone, restored and compacted at random.
//!
//! Leaves alone on purpose what only Rater has the right to write: whole retries on their topic that no stage wrote, which are believed; copies of retries
//! that a finite window has forgotten; and bytes in the form of a stage on `waiting`, which have to stop it if they are damaged.

use crate::count::tally;
use crate::grammar::{self, REFERENCE, Reused};
use crate::memory::{self, Roughness, Running, Topics};
use crate::reading::{Read, Row, json_row};
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as Datum;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use directory::{Input, InputKind, Loaded};
use pipeline::{Doubts, Kind, Kinds, QuantityLimits};
use rating::Timestamp;
use runtime::stages::{
    Door, GuideInput, GuideSettings, GuideStage, Inbound, IntakeSettings, IntakeStage, RateSettings, RateStage,
    RecycleRequest, RecycleSettings, RecycleStage, ScratchSettings,
};
use runtime::wire::{FramedDecoder, Limits};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;
use testkit::generator::random::Random;
use testkit::stages::{self, frames};

const USAGE: &str = "usage";
const COMMANDS: &str = "account-commands";

#[derive(Clone, Debug)]
enum Step {
    /// A message of ours, to the partition of this number or of the remainder.
    Write(&'static str, u32, Vec<u8>),
    /// The stages run until all is used up.
    Settle,
    /// Everything that waits is tried again.
    Recycle,
    /// The endpoint that nobody knew turns up.
    TurnsUp,
    /// What stands in the topic of retries at this place, or the remainder, once more.
    CopyRetry(u64),
}

#[derive(Clone, Debug)]
pub(crate) struct Case {
    seed: u64,
    usage: u32,
    commands: u32,
    has_intake: bool,
    window_h: Option<u32>,
    steps: Vec<Step>,
}

/// What nobody can read, at any door.
fn foreign(random: &mut Random) -> Vec<u8> {
    let mut bytes = random
        .pick(&[
            &b""[..],
            b"{",
            b"\xc3\x01\0\0\0\0\0\0\0\0\x02a",
            b"\0\0\0\0\x05\x02a",
            b"{\"recycle\":{\"reason\":1}}",
            b"{\"tick\":\"never\"}",
            b"{\"tick\":5,\"recycle\":{}}",
            b"{\"retry\":{}}",
            b"null",
            b"\xff",
        ])
        .to_vec();
    if random.chance(300) {
        grammar::mutate(random, &mut bytes);
    }
    bytes
}

/// What looks like a retry and was never written by the pipeline; its original is a record that could be charged.
fn forged(random: &mut Random, number: usize) -> Vec<u8> {
    let id = format!("r{}", random.index(number + 1));
    let fields = grammar::usage(random, &id, 0);
    let original = STANDARD.encode(grammar::object(random, fields));
    let reason = random.pick(&["unknown_endpoint", "invalid_record", "too_late", "no_rate", "no_such"]);
    let level = random.pick(&["null", "1", "2", "7"]);
    let offset = random.below(50);
    format!(
        "{{\"retry\":{{\"topic\":\"usage\",\"partition\":0,\"offset\":{offset},\"attempt\":1,\"reason\":\"{reason}\",\"level\":{level},\
         \"key\":null,\"original\":\"{original}\"}}}}"
    )
    .into_bytes()
}

impl Case {
    pub(crate) fn new(seed: u64) -> Case {
        let random = &mut Random::new(seed);
        let (usage, commands) = (random.between(1, 3) as u32, random.between(1, 2) as u32);
        let has_intake = random.chance(500);
        let size = *random.pick(&[10, 60, 400]);
        let window_h = random.chance(200).then(|| *random.pick(&[24, 240]));
        let reused = Reused::within(window_h);
        let (mut steps, mut known) = (Vec::new(), Vec::new());
        let mut hour = 0;
        for number in 0..random.between(1, size) as usize {
            let is_tick = random.chance(60);
            let (topic, bytes) = match random.below(100) {
                _ if is_tick => {
                    hour += random.between(0, 30);
                    let (day, hour) = (1 + hour / 24, hour % 24);
                    ("ticks", format!("{{\"tick\":\"2026-03-{:02}T{hour:02}:00:00Z\"}}", day.min(31)).into_bytes())
                }
                0..70 => (USAGE, grammar::line(random, number, &known, reused)),
                70..90 => {
                    let id = if random.chance(100) { random.index(number + 1) } else { number };
                    let fields = grammar::command(random, &format!("c{id}"));
                    (COMMANDS, grammar::object(random, fields).into_bytes())
                }
                90..93 => (COMMANDS, grammar::line(random, number, &known, reused)),
                93..95 => (*random.pick(&[USAGE, COMMANDS]), forged(random, number)),
                95..97 => (*random.pick(&[USAGE, COMMANDS]), foreign(random)),
                97 => ("ticks", foreign(random)),
                98 => ("retries", foreign(random)),
                // What begins with a control character is of the stages: damaged, it has to stop them.
                _ => match foreign(random) {
                    bytes if bytes.first().is_some_and(|first| *first < 32) => ("waiting", b"\xff".to_vec()),
                    bytes => ("waiting", bytes),
                },
            };
            if topic == USAGE && bytes.len() < 10_000 {
                known.push(bytes.clone());
            }
            if bytes.len() < 600_000 {
                steps.push(Step::Write(topic, random.below(6) as u32, bytes));
            }
            match random.below(400) {
                0..8 => steps.push(Step::Settle),
                8..11 => steps.push(Step::Recycle),
                11..16 => steps.push(Step::CopyRetry(random.bits() >> 1)),
                16 => steps.push(Step::TurnsUp),
                _ => {}
            }
        }
        steps.push(Step::Settle);
        Case { seed, usage, commands, has_intake, window_h, steps }
    }

    pub(crate) fn smaller(&self) -> Vec<Case> {
        let mut cases: Vec<Case> =
            crate::fewer(&self.steps).into_iter().map(|steps| Case { steps, ..self.clone() }).collect();
        if self.has_intake {
            cases.push(Case { has_intake: false, ..self.clone() });
        }
        if self.window_h.is_some() {
            cases.push(Case { window_h: None, ..self.clone() });
        }
        if self.usage > 1 {
            cases.push(Case { usage: 1, ..self.clone() });
        }
        cases
    }

    pub(crate) fn show(&self) -> String {
        let mut shown = format!(
            "{} and {} partitions, intake: {}, window: {:?}\n",
            self.usage, self.commands, self.has_intake, self.window_h
        );
        for step in self.steps.iter().take(60) {
            match step {
                Step::Write(topic, partition, bytes) => {
                    shown += &format!(
                        "{topic} {partition}: {:?}\n",
                        String::from_utf8_lossy(&bytes[..bytes.len().min(500)])
                    );
                }
                Step::Settle | Step::Recycle | Step::TurnsUp | Step::CopyRetry(_) => shown += &format!("{step:?}\n"),
            }
        }
        shown
    }
}

fn loaded(knows_all: bool) -> &'static Loaded {
    static LOADED: [OnceLock<Loaded>; 2] = [OnceLock::new(), OnceLock::new()];
    LOADED[usize::from(knows_all)].get_or_init(|| {
        let more = if knows_all { "  meter-3: { customer: acme, imsi: 999990000000001 }\n" } else { "" };
        let bytes = format!("{REFERENCE}{more}").into_bytes();
        let input = Input { name: "rating.yaml".to_owned(), bytes, kind: InputKind::Yaml };
        directory::load(vec![input]).unwrap_or_else(|refused| panic!("{refused}"))
    })
}

/// How rough it gets.
const ROUGHNESS: Roughness = Roughness { undone: 200, restored: 100, largest_batch: 40 };

struct Pipeline<'c> {
    case: &'c Case,
    topics: Topics,
    random: Random,
    intake: Option<Running<IntakeStage>>,
    guide: Running<GuideStage>,
    rate: Running<RateStage>,
    recycle: Running<RecycleStage>,
}

const GUIDED: u32 = 3;

impl<'c> Pipeline<'c> {
    fn new(case: &'c Case) -> Pipeline<'c> {
        let mut topics = Topics::default();
        let most = case.usage.max(case.commands);
        for (topic, partitions) in [
            (USAGE, case.usage),
            (COMMANDS, case.commands),
            ("ticks", 1),
            ("retries", most),
            ("intake-changelog", most),
            ("intaken", 2),
            ("guide-changelog", most.max(2)),
            ("guided", GUIDED),
            ("rate-changelog", GUIDED),
            ("charges", 2),
            ("balance-deltas", 2),
            ("notifications", 2),
            ("suspense", 2),
            ("waiting", 2),
            ("recycle-changelog", 2),
            ("command-replies", 2),
            ("life-events", 2),
        ] {
            topics.create(topic, partitions);
        }
        let intake = case.has_intake.then(|| {
            let settings = IntakeSettings {
                inputs: vec![USAGE.to_owned(), COMMANDS.to_owned()],
                ticks: "ticks".to_owned(),
                retries: "retries".to_owned(),
                changelog: "intake-changelog".to_owned(),
                intaken: "intaken".to_owned(),
                intaken_partitions: 2,
                suspense: "suspense".to_owned(),
                waiting: "waiting".to_owned(),
                frames: frames(),
                events: None,
            };
            Running::new(IntakeStage::new(settings, inbound(case)), &topics)
        });
        let senders = if case.has_intake { 2 } else { (case.usage + case.commands) as usize };
        let rate = RateSettings { duplicate_window_h: case.window_h, ..stages::rate_settings(GUIDED, senders) };
        let recycle = RecycleSettings {
            waiting: "waiting".to_owned(),
            ticks: "ticks".to_owned(),
            changelog: "recycle-changelog".to_owned(),
            inputs: vec![(USAGE.to_owned(), case.usage), (COMMANDS.to_owned(), case.commands)],
            retries: "retries".to_owned(),
            suspense: "suspense".to_owned(),
            frames: frames(),
            events: None,
            future_ms: 0,
            scratch: ScratchSettings { memory_bytes: 1_000, ..ScratchSettings::default() },
        };
        let guide = Running::new(guide(case, loaded(false)), &topics);
        let rate = Running::new(RateStage::new(rate), &topics);
        let recycle = Running::new(RecycleStage::new(recycle), &topics);
        Pipeline { case, topics, random: Random::new(case.seed), intake, guide, rate, recycle }
    }

    fn settle(&mut self) {
        // Around the circle until nothing comes back.
        for _ in 0..4 {
            let Pipeline { topics, random, intake, guide, rate, recycle, .. } = self;
            if let Some(intake) = intake {
                intake.go_on(topics, ROUGHNESS, random);
            }
            guide.go_on(topics, ROUGHNESS, random);
            rate.go_on(topics, ROUGHNESS, random);
            recycle.go_on(topics, ROUGHNESS, random);
        }
    }

    /// Guide starts again, from its changelog, with another directory.
    fn turns_up(&mut self) {
        let mut stage = guide(self.case, loaded(true));
        for (partition, position) in &self.guide.1 {
            let expected = (*position > 0).then_some(*position);
            memory::restore(&mut stage, &self.topics, *partition, &mut self.random, expected);
        }
        self.guide.0 = stage;
    }
}

fn inbound(case: &Case) -> Inbound {
    let decoder = FramedDecoder::new(None, Limits::default()).unwrap_or_else(|error| panic!("{error}"));
    let now = || Timestamp::parse("2026-12-01T00:00:00Z").expect("a time");
    let doors = vec![
        Door { kinds: Kinds::only(Kind::Usage), partitions: case.usage },
        Door { kinds: Kinds::only(Kind::Command), partitions: case.commands },
    ];
    let doubts = Doubts { limits: QuantityLimits::new([]), ..Doubts::default() };
    Inbound::new(decoder, "file", 0, now).with_doors(doors).doubting(Some(10 * 366 * 86_400_000), &doubts)
}

fn guide(case: &Case, loaded: &Loaded) -> GuideStage {
    let settings = stages::guide_settings(case.has_intake.then_some((case.usage + case.commands) as usize), GUIDED);
    let input = match case.has_intake {
        true => settings.input.clone(),
        false => GuideInput::Usage {
            inputs: vec![USAGE.to_owned(), COMMANDS.to_owned()],
            ticks: "ticks".to_owned(),
            retries: "retries".to_owned(),
        },
    };
    let settings = GuideSettings { input, duplicate_window_h: case.window_h, ..settings };
    GuideStage::new(settings, inbound(case), loaded.directory())
}

/// A place on a topic: its name, partition and offset.
type Place = (String, i64, i64);

fn account_of(command: &[u8]) -> String {
    let command: Option<serde_json::Value> = serde_json::from_slice(command).ok();
    command.and_then(|command| command["account_id"].as_str().map(str::to_owned)).unwrap_or_default()
}

pub(crate) fn check(case: &Case) -> Result<u64, String> {
    let mut pipeline = Pipeline::new(case);
    let mut written: BTreeMap<Place, Vec<u8>> = BTreeMap::new();
    for step in &case.steps {
        match step {
            Step::Write(topic, wanted, bytes) => {
                let partitions = match *topic {
                    USAGE => case.usage,
                    COMMANDS => case.commands,
                    "retries" => case.usage.max(case.commands),
                    "waiting" => 2,
                    _ => 1,
                };
                // Without intake all copies of a record have to come to one partition.
                let number = match json_row(bytes, 0).read {
                    Read::Usage(_, id) | Read::Command(id) if !case.has_intake => id.bytes().map(u32::from).sum(),
                    Read::Usage(..) | Read::Command(_) | Read::Tick | Read::Nothing => *wanted,
                };
                let partition = number % partitions;
                let offset = pipeline.topics.messages(topic, partition).len() as i64;
                pipeline.topics.append(topic, partition, (None, Some(bytes.clone())));
                written.insert(((*topic).to_owned(), partition.into(), offset), bytes.clone());
            }
            Step::Settle => pipeline.settle(),
            Step::Recycle => {
                pipeline.settle();
                for partition in 0..2 {
                    // Whoever asks for what came too late says himself that it was not charged.
                    let all = RecycleRequest { late: case.window_h.is_none(), ..RecycleRequest::default() };
                    pipeline.topics.append("waiting", partition, (None, Some(all.message())));
                }
                pipeline.settle();
            }
            Step::TurnsUp => pipeline.turns_up(),
            // That a retry was there is forgotten with the window; none but Rater writes them.
            Step::CopyRetry(_) if case.window_h.is_some() => {}
            Step::CopyRetry(number) => {
                let partition = (number % u64::from(case.usage.max(case.commands))) as u32;
                let ours =
                    |offset: usize| written.contains_key(&("retries".to_owned(), partition.into(), offset as i64));
                let there = pipeline.topics.messages("retries", partition);
                let real: Vec<_> = there.iter().enumerate().filter(|(offset, _)| !ours(*offset)).collect();
                if !real.is_empty() {
                    let copy = real[*number as usize % real.len()].1.clone();
                    pipeline.topics.append("retries", partition, copy);
                    tally("retries copied", 1);
                }
            }
        }
    }
    pipeline.settle();
    let mut known = BTreeMap::new();
    let is_reused = |bytes: &Vec<u8>| match json_row(bytes, 0).read {
        Read::Usage(source, id) => known.entry((source, id)).or_insert_with(|| bytes.clone()) != bytes,
        Read::Command(_) | Read::Tick | Read::Nothing => false,
    };
    if case.window_h.is_none() || !written.values().any(is_reused) {
        count(&pipeline.topics, &written)?;
    }
    Ok(written.len() as u64)
}

/// The messages of a topic as records of a schema's text, read by a library that is not the product's.
fn records(topics: &Topics, topic: &str, schema: &apache_avro::Schema) -> Result<Vec<BTreeMap<String, Datum>>, String> {
    let reader = GenericDatumReader::builder(schema).build().map_err(|error| error.to_string())?;
    let mut records = Vec::new();
    for (_, value) in (0..2).flat_map(|partition| topics.messages(topic, partition)) {
        let mut bytes = value.as_deref().and_then(|value| value.get(10..)).ok_or("a message without a frame")?;
        let read = reader.read_value(&mut bytes).map_err(|error| format!("{topic}: {error}"))?;
        let Datum::Record(fields) = read else { return Err(format!("{topic}: {read:?}")) };
        records.push(fields.into_iter().collect());
    }
    Ok(records)
}

fn schema(text: &str) -> apache_avro::Schema {
    apache_avro::Schema::parse_str(text).expect("a schema")
}

fn inner<'d>(record: &'d BTreeMap<String, Datum>, name: &str) -> &'d Datum {
    match &record[name] {
        Datum::Union(_, value) => value,
        value => value,
    }
}

fn text(record: &BTreeMap<String, Datum>, name: &str) -> String {
    if let Datum::String(text) = inner(record, name) { text.clone() } else { String::new() }
}

fn long(record: &BTreeMap<String, Datum>, name: &str) -> Option<i64> {
    match inner(record, name) {
        Datum::Int(number) => Some((*number).into()),
        Datum::Long(number) => Some(*number),
        _ => None,
    }
}

/// All that is known of one identity.
#[derive(Debug, Default)]
struct Known {
    /// Copies that did not come to wait as a whole.
    passed: Vec<Row>,
    /// Why the others wait.
    waiting: Vec<(String, Row)>,
}

fn count(topics: &Topics, written: &BTreeMap<Place, Vec<u8>>) -> Result<(), String> {
    static SCHEMAS: OnceLock<[apache_avro::Schema; 3]> = OnceLock::new();
    let [charges, suspense, replies] = SCHEMAS.get_or_init(|| {
        [
            schema(include_str!("../../../../schemas/charge.avsc")),
            schema(include_str!("../../../../schemas/suspense.avsc")),
            schema(include_str!("../../../../schemas/command-reply.avsc")),
        ]
    });
    let mut levels: BTreeMap<(String, String), BTreeMap<i64, u64>> = BTreeMap::new();
    let mut charge_ids = BTreeSet::new();
    for charge in records(topics, "charges", charges)? {
        if !charge_ids.insert(text(&charge, "charge_id")) {
            return Err(format!("charged twice: {}", text(&charge, "charge_id")));
        }
        let id = (text(&charge, "usage_source"), text(&charge, "usage_id"));
        *levels.entry(id).or_default().entry(long(&charge, "level").unwrap_or(-1)).or_default() += 1;
    }
    let mut whole: BTreeMap<Place, BTreeMap<i64, String>> = BTreeMap::new();
    let mut legs: BTreeSet<(Place, i64, i64)> = BTreeSet::new();
    for waits in records(topics, "suspense", suspense)? {
        let at = |name| long(&waits, name).unwrap_or(-1);
        let place = (text(&waits, "topic"), at("partition"), at("offset"));
        let Datum::Bytes(original) = inner(&waits, "original") else { return Err("no original".to_owned()) };
        if written.get(&place) != Some(original) {
            return Err(format!("waits, and was never written so: {place:?} {:?}", String::from_utf8_lossy(original)));
        }
        match long(&waits, "level") {
            None => {
                let reason = text(&waits, "reason");
                if at("attempt") == 0 {
                    tally(&reason, 1);
                }
                // Of what cannot be read intake remembers nothing: whoever copies a retry has it told again that it waits.
                let may_be_told_again = at("attempt") > 0 && text(&waits, "stage") == "intake";
                if let Some(before) = whole.entry(place.clone()).or_default().insert(at("attempt"), reason)
                    && !may_be_told_again
                {
                    return Err(format!("waits twice at {place:?}, attempt {}: {before}", at("attempt")));
                }
            }
            Some(level) if legs.insert((place.clone(), level, at("attempt"))) => {
                let row = json_row(original, 0);
                let Read::Usage(source, id) = row.read else { continue };
                levels.entry((source, id)).or_default().entry(level).or_default();
            }
            Some(level) => return Err(format!("level {level} waits twice at {place:?}")),
        }
    }
    let mut usage: BTreeMap<(String, String), Known> = BTreeMap::new();
    // By account: guide meets all copies of a command only where they are for one.
    let mut commands: BTreeMap<(String, String), Known> = BTreeMap::new();
    for (place, bytes) in written {
        let waits = whole.remove(place);
        if matches!(&*place.0, "ticks" | "waiting") {
            if waits.is_some() {
                return Err(format!("nobody's money waits: {place:?}"));
            }
            tally(&place.0, 1);
            continue;
        }
        let shown = || format!("{place:?} {:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(500)]));
        let row = json_row(bytes, 0);
        let reason = waits.map(|mut attempts| attempts.remove(&0).unwrap_or_default());
        let known = match (&*place.0, row.read.clone()) {
            (USAGE, Read::Usage(source, id)) => usage.entry((source, id)).or_default(),
            (COMMANDS, Read::Command(id)) => commands.entry((id, account_of(bytes))).or_default(),
            _ if reason.is_some() => continue,
            _ => return Err(format!("no outcome: {}", shown())),
        };
        match reason {
            Some(reason) => known.waiting.push((reason, row)),
            None => known.passed.push(row),
        }
    }
    if let Some((place, _)) = whole.first_key_value() {
        return Err(format!("waits, and was never written: {place:?}"));
    }
    for (id, known) in &usage {
        let levels = levels.remove(id).unwrap_or_default();
        if levels.values().any(|count| *count > 1) {
            return Err(format!("{id:?}: charged more than once: {levels:?}"));
        }
        if !levels.is_empty() && levels.keys().copied().collect::<Vec<_>>() != [0, 1, 2] && levels.len() != 2 {
            return Err(format!("{id:?}: levels {levels:?}"));
        }
        // What came to wait may have been charged since; what did not wait was charged, or is a copy of what was or waits.
        if levels.is_empty() && !known.passed.is_empty() {
            let stands = known.waiting.iter().find(|(reason, copy)| {
                !matches!(&**reason, "invalid_record" | "undecodable" | "wrong_kind" | "duplicate_conflict")
                    && known.passed.iter().all(|row| row.quantity == copy.quantity)
            });
            if stands.is_none() {
                return Err(format!("{id:?}: no outcome: {known:?}"));
            }
        }
        tally(if levels.is_empty() { "usage that waits" } else { "guided" }, 1);
        tally("duplicates", (known.passed.len() as u64).saturating_sub(u64::from(!levels.is_empty())));
    }
    if let Some((id, levels)) = levels.first_key_value() {
        return Err(format!("charged, and never written: {id:?} {levels:?}"));
    }
    let mut answers: BTreeMap<(String, String), BTreeMap<String, u64>> = BTreeMap::new();
    for reply in records(topics, "command-replies", replies)? {
        let outcome = text(&reply, "outcome");
        tally(&outcome, 1);
        *answers
            .entry((text(&reply, "command_id"), text(&reply, "account_id")))
            .or_default()
            .entry(outcome)
            .or_default() += 1;
    }
    for (id, known) in &commands {
        let answers = answers.remove(id).unwrap_or_default();
        let of = |outcome: &str| answers.get(outcome).copied().unwrap_or_default();
        let (done, all) = (of("applied") + of("refused"), of("applied") + of("refused") + of("duplicate"));
        let (least, most) = (known.passed.len() as u64, (known.passed.len() + known.waiting.len()) as u64);
        if done > 1 || all < least || all > most {
            return Err(format!("command {id:?}: answers {answers:?} to {known:?}"));
        }
        tally("commands", done);
    }
    match answers.first_key_value() {
        // What is a command and came to another door is answered too: it waits.
        Some((id, answers)) if answers.keys().any(|outcome| outcome != "suspended") => {
            Err(format!("an answer to no command: {id:?} {answers:?}"))
        }
        _ => Ok(()),
    }
}
