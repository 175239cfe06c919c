//! Valid samples of everything that is read.

use apache_avro::types::{Record, Value};
use apache_avro::{Codec, DeflateSettings, Schema, Writer};
use directory::{Input, InputKind, Loaded};
use pipeline::IntakeRules;
use pipeline::duplicates::DEFAULT_STATE_HORIZON_H;
use rating::Timestamp;
use runtime::embedded::{InputFile, InterruptedInputs, Recycle, RunSettings, Until, run};
use runtime::engine::{Engine, EngineSettings};
use runtime::session::{Session, Settings};
use runtime::state::Stored;
use runtime::wire::{CsvMapping, Decoder, Encoder, Ending, InputFormat, OutputFormat, Splitter};
use std::path::Path;
use std::sync::OnceLock;
use testkit::generator::{self, Parameters};

const USAGE: &str = include_str!("../../../../schemas/usage-record.avsc");
const COMMAND: &str = include_str!("../../../../schemas/account-command.avsc");
const TICK: &str = include_str!("../../../../schemas/tick.avsc");
const AT: i64 = 1_772_719_200_000;

/// A schema of every kind of type, as another writer may have it.
const ODD: &str = r#"{"type":"record","name":"Odd","fields":[
  {"name":"id","type":["null","string","long"]},
  {"name":"service","type":{"type":"enum","name":"S","symbols":["data","voice"]}},
  {"name":"quantity","type":["int","long","double"]},
  {"name":"event_time","type":{"type":"long","logicalType":"timestamp-micros"}},
  {"name":"imsi","type":"string"},
  {"name":"list","type":{"type":"array","items":{"type":"array","items":["null","string"]}}},
  {"name":"attributes","type":{"type":"map","values":["null","string","boolean"]}},
  {"name":"other","type":{"type":"record","name":"O","fields":[{"name":"f","type":{"type":"fixed","name":"F","size":4}},
    {"name":"b","type":"bytes"},{"name":"x","type":"float"}]}}]}"#;

pub(crate) fn json_lines() -> Vec<Vec<u8>> {
    let mut lines: Vec<Vec<u8>> = [
        r#"{"id":"r1","source":"pgw","service":"data","quantity":3000000,"unit":"octets","event_time":"2026-03-05T14:00:00Z","end_time":"2026-03-05T15:00:00.5+01:00","imsi":"001010000000001","mcc":"234","mnc":"15","session_id":"s\u00e9","sequence":1,"final":false,"closing_cause":0,"rating_group":10,"attributes":{"subscription_type":"gold","n":5}}"#,
        r#"{"id":7,"service":"voice","quantity":"60","event_time":1772719200000,"msisdn":"447700900001","destination":"441632960000","direction":"mo","unknown":{"deep":[1,2.5,null,"\ud834\udd1e"]}}"#,
        r#"{"command_id":"c1","kind":"top_up","account_id":"acme","issued_by":"beta","effective_time":"2026-01-01T00:00:00Z","amount":"5.10","currency":"GBP","note":"by hand"}"#,
        r#"{"command_id":"c2","kind":"suspend","account_id":"acme/meter-1","issued_by":"beta","effective_time":0,"bundle_id":"uk-1gb","endpoint_id":null}"#,
        r#"{"tick":"2026-03-05T14:00:00Z"}"#,
    ]
    .map(|line| line.as_bytes().to_vec())
    .to_vec();
    lines.push(b"{}".to_vec());
    lines
}

/// A header and rows.
pub(crate) fn csv(mapping: &CsvMapping) -> (Vec<u8>, Vec<Vec<u8>>) {
    let text = if *mapping == CsvMapping::plain() {
        "id,service,quantity,event_time,imsi,mcc,mnc,note,attributes.a\n\
         r1,data,3000000,2026-03-05T14:00:00Z,001010000000001,234,15,plain,b\n\
         \"r,2\",voice,60,1772719200000,001010000000002,,,\"with \"\"marks\"\"\",\n\
         r3,sms,1,2026-03-05T14:00:00.001+01:00,1,234,,\"\",\n"
            .to_owned()
    } else {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/pgw/usage.csv");
        std::fs::read_to_string(path).expect("the example")
    };
    let mut lines = text.split_inclusive('\n');
    let header = lines.next().expect("a header").as_bytes().to_vec();
    (header, lines.map(|line| line.trim_end().as_bytes().to_vec()).collect())
}

fn published(number: i64) -> Value {
    let schema = Schema::parse_str(USAGE).expect("a schema");
    let mut record = Record::new(&schema).expect("a record");
    for (name, value) in
        [("id", format!("r{number}")), ("source", "pgw".into()), ("service", "data".into()), ("unit", "octets".into())]
    {
        record.put(name, value);
    }
    record.put("quantity", number * 1_000_000);
    record.put("event_time", Value::TimestampMillis(AT + number));
    record.put("imsi", Value::Union(1, Box::new(Value::String("001010000000001".to_owned()))));
    record.put("sequence", Value::Union(1, Box::new(Value::Long(number))));
    record.put("final", Value::Union(1, Box::new(Value::Boolean(true))));
    let attributes = [("a".to_owned(), Value::String("b".to_owned()))];
    record.put("attributes", Value::Map(attributes.into_iter().collect()));
    for field in &record.fields.clone() {
        if field.1 == Value::Null {
            record.put(&field.0, Value::Union(0, Box::new(Value::Null)));
        }
    }
    record.into()
}

fn odd(number: i64) -> Value {
    let text = |text: &str| Value::String(text.to_owned());
    let some = |branch, value| Value::Union(branch, Box::new(value));
    Value::Record(
        [
            ("id", some(1, text("r"))),
            ("service", Value::Enum(1, "voice".to_owned())),
            ("quantity", some(1, Value::Long(number))),
            ("event_time", Value::TimestampMicros(AT * 1000)),
            ("imsi", text("001")),
            (
                "list",
                Value::Array(vec![Value::Array(vec![some(0, Value::Null), some(1, text("x"))]), Value::Array(vec![])]),
            ),
            ("attributes", Value::Map([("a".to_owned(), some(1, text("b")))].into_iter().collect())),
            (
                "other",
                Value::Record(vec![
                    ("f".to_owned(), Value::Fixed(4, vec![1, 2, 3, 4])),
                    ("b".to_owned(), Value::Bytes(vec![0xff; 9])),
                    ("x".to_owned(), Value::Float(0.5)),
                ]),
            ),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec(),
    )
}

fn command() -> Value {
    let text = |text: &str| Value::String(text.to_owned());
    let schema: serde_json::Value = serde_json::from_str(COMMAND).expect("JSON");
    let fields = schema["fields"].as_array().expect("fields").iter().map(|field| {
        let name = field["name"].as_str().expect("a name");
        let value = match name {
            "kind" => text("top_up"),
            "effective_time" => Value::TimestampMillis(AT),
            "amount" => Value::Union(1, Box::new(Value::Decimal(apache_avro::Decimal::from(&5_i64.to_be_bytes())))),
            _ if field["type"].is_array() => Value::Union(0, Box::new(Value::Null)),
            _ if field["default"].is_array() => Value::Array(Vec::new()),
            _ if field["default"].is_object() => Value::Map(Default::default()),
            _ => text(name),
        };
        (name.to_owned(), value)
    });
    Value::Record(fields.collect())
}

fn tick() -> Value {
    let text = |text: &str| Value::String(text.to_owned());
    Value::Record(vec![
        ("tick_id".to_owned(), text("t")),
        ("source".to_owned(), text("s")),
        ("time".to_owned(), Value::TimestampMillis(AT)),
    ])
}

fn kinds() -> Vec<(&'static str, &'static str, Vec<Value>)> {
    vec![
        ("usage", USAGE, vec![published(0), published(1), published(i64::from(i32::MAX))]),
        ("odd", ODD, vec![odd(0), odd(i64::MAX)]),
        ("command", COMMAND, vec![command()]),
        ("tick", TICK, vec![tick()]),
    ]
}

/// Name, schema and datums.
pub(crate) fn datums() -> Vec<(&'static str, String, Vec<Vec<u8>>)> {
    let encode = |schema: &Schema, value: Value| {
        let writer = apache_avro::writer::datum::GenericDatumWriter::builder(schema).build().expect("a writer");
        writer.write_value_to_vec(value).expect("a value of the schema")
    };
    kinds()
        .into_iter()
        .map(|(name, text, values)| {
            let schema = Schema::parse_str(text).expect("a schema");
            (name, text.to_owned(), values.into_iter().map(|value| encode(&schema, value)).collect())
        })
        .collect()
}

fn container(text: &str, codec: Codec, values: &[Value]) -> Vec<u8> {
    let schema = Schema::parse_str(text).expect("a schema");
    // A fixed marker, so that a seed replays.
    let writer = Writer::builder().schema(&schema).writer(Vec::new()).codec(codec).marker([7; 16]).build();
    let mut writer = writer.expect("a writer");
    for value in values {
        writer.append_value(value.clone()).expect("a value of the schema");
        writer.flush().expect("a block");
    }
    writer.into_inner().expect("bytes")
}

pub(crate) fn containers() -> Vec<Vec<u8>> {
    let codecs = [Codec::Null, Codec::Deflate(DeflateSettings::default())];
    let of = |(_, text, values): (&str, &str, Vec<Value>)| codecs.map(|codec| container(text, codec, &values));
    kinds().into_iter().flat_map(of).collect()
}

pub(crate) fn avro_decoder(schema: &str) -> Decoder {
    let empty = container(schema, Codec::Null, &[]);
    let header = if empty.is_empty() { container(schema, Codec::Null, &[odd(1)]) } else { empty };
    Splitter::open(&*header, InputFormat::Avro).expect("a container").1
}

pub(crate) fn descriptions() -> Vec<Vec<u8>> {
    let mut descriptions = vec![Decoder::json_lines().describe()];
    for mapping in [CsvMapping::plain(), CsvMapping::pgw_summed()] {
        let (header, _) = csv(&mapping);
        descriptions.push(Splitter::open(&*header, InputFormat::Csv(mapping)).expect("a header").1.describe());
    }
    descriptions.extend([ODD, TICK].map(|schema| avro_decoder(schema).describe()));
    descriptions
}

pub(crate) fn numbers() -> Vec<Vec<u8>> {
    let mut samples = Vec::new();
    let mut add = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = Vec::new();
        write(&mut bytes);
        samples.push(bytes);
    };
    add(&|out| u128::MAX.write(out));
    add(&|out| i128::MIN.write(out));
    add(&|out| i64::MAX.write(out));
    add(&|out| "naïve".to_owned().write(out));
    add(&|out| vec![1_u64, 300, u64::MAX].write(out));
    add(&|out| "GBP".to_owned().write(out));
    add(&|out| (5_i128, 7_i128).write(out));
    samples
}

/// State as it is kept, from a run over generated traffic.
pub(crate) struct StoredState {
    pub(crate) parts: Vec<Vec<u8>>,
    pub(crate) progress: Vec<u8>,
}

fn generated() -> &'static (tempfile::TempDir, Loaded) {
    static GENERATED: OnceLock<(tempfile::TempDir, Loaded)> = OnceLock::new();
    GENERATED.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        generator::write_files(&Parameters { records: 300, ..Parameters::traffic(5) }, folder.path()).expect("traffic");
        let bytes = std::fs::read(folder.path().join("rating.yaml")).expect("reference data");
        let input = Input { name: "rating.yaml".to_owned(), bytes, kind: InputKind::Yaml };
        let loaded = directory::load(vec![input]).unwrap_or_else(|refused| panic!("{refused}"));
        (folder, loaded)
    })
}

pub(crate) fn engine() -> Engine {
    let rules = IntakeRules::new("file");
    let settings = EngineSettings {
        rules,
        duplicate_window_h: None,
        command_memory_h: pipeline::duplicates::DEFAULT_COMMAND_HOURS,
        state_horizon_h: DEFAULT_STATE_HORIZON_H,
        threads: 1,
    };
    Engine::new(generated().1.directory(), Encoder::new(OutputFormat::JsonLines, "v"), settings)
}

pub(crate) fn stored() -> StoredState {
    let (folder, loaded) = generated();
    let lines = std::fs::read(folder.path().join("usage.jsonl")).expect("usage");
    let mut session = Session::new(loaded, &Settings::default()).expect("a session");
    session.feed("usage", &lines).expect("rated");
    let settings = RunSettings {
        inputs: vec![InputFile { path: folder.path().join("usage.jsonl"), format: None }],
        ending: Ending::MayGrow,
        interrupted: InterruptedInputs::ComeFirst,
        recycle: Recycle::Nothing,
        output: folder.path().join("out"),
        format: OutputFormat::Avro,
        threads: 1,
        batch_records: 100,
        commit_records: 100,
        now: Timestamp::LATEST,
        future_tolerance_ms: 0,
        duplicate_window_h: None,
        command_memory_h: pipeline::duplicates::DEFAULT_COMMAND_HOURS,
        state_horizon_h: DEFAULT_STATE_HORIZON_H,
        past_tolerance_ms: None,
        doubts: pipeline::Doubts::default(),
        default_source: "file".to_owned(),
        until: Until::default(),
    };
    let report = run(loaded, &settings, &mut |_| {}).unwrap_or_else(|error| panic!("{error}"));
    let mut progress = Vec::new();
    report.progress.write(&mut progress);
    let parts = session.engine_mut().checkpoint().into_iter();
    let parts = parts.map(|part| part[..part.len().min(20_000)].to_vec()).collect();
    StoredState { parts, progress }
}
