//! The bytes, checked by other people's code: Confluent's client for Python, fastavro and Apache's own Avro library read what Rater writes
//! and write what it reads, against the registry of the test kit. Needs Python with venv and pip; their absence is a failure.

mod samples;
mod tls;

use pipeline::{Field, RawValue};
use runtime::registry::{Registry, RegistryConfig};
use runtime::wire::{Decoded, Frame, FramedDecoder, Frames, Limits, Message, Prepared, Registration};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use testkit::registry::TestRegistry;
use testkit::services::Python;

const PACKAGES: [&str; 3] = ["confluent-kafka[avro,schemaregistry]==2.16.0", "fastavro==1.13.1", "avro==1.12.2"];

fn python() -> Python {
    Python::with("avro-clients-1", &PACKAGES).expect("Python")
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

fn schemas() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas").display().to_string()
}

/// Name of a message's schema.
fn schema_of(message: Message) -> &'static str {
    match message {
        Message::Charge => "charge",
        Message::BalanceDelta => "balance-delta",
        Message::Suspense => "suspense",
        Message::Notification => "notification",
        Message::CommandReply => "command-reply",
        Message::LifeEvent => "life-event",
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().map(|digit| char::from(digit).to_digit(16).expect("a digit") as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

#[test]
fn others_read_what_rater_writes() {
    let python = python();
    let server = TestRegistry::start().expect("a free port");
    let registry = Registry::new(&RegistryConfig::new(server.url())).expect("a client");
    let topic = |message: Message| message.file_stem().to_owned();
    let confluent = Frames::confluent(&registry, Registration::Register, topic).expect("frames");
    let single_object = Frames::single_object().expect("frames");
    let mut lines = String::new();
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for sample in samples::all() {
        let message = json!({
            "schema": schema_of(sample.message),
            "topic": topic(sample.message),
            "confluent": hex(&[confluent.prefix(sample.message), &*sample.avro].concat()),
            "single_object": hex(&[single_object.prefix(sample.message), &*sample.avro].concat()),
            "says": sample.json,
        });
        lines.push_str(&format!("{message}\n"));
        *counts.entry(schema_of(sample.message)).or_default() += 1;
    }
    assert_eq!(counts.len(), Message::ALL.len(), "a sample of every message: {counts:?}");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("messages.jsonl");
    std::fs::write(&file, lines).expect("a file");
    let said =
        python.run(&script("read.py"), &[&server.url(), &schemas(), &file.display().to_string()]).expect("all is read");
    let read: Json = serde_json::from_str(&said).expect("counts");
    assert_eq!(read, json!(counts), "every message is read");
}

/// CloudEvents 1.0, section "Required attributes": an id, a source, a version and a type; identifiers are unique within a source.
#[test]
fn headers_say_what_the_message_says() {
    let mut ids = BTreeMap::new();
    for sample in samples::all() {
        let headers: BTreeMap<&str, &str> = sample.headers.iter().map(|(name, value)| (*name, &**value)).collect();
        assert_eq!(headers.len(), sample.headers.len(), "no name stands twice");
        let field = |name: &str| sample.json.get(name).and_then(Json::as_str);
        let (id, time, name) = match sample.message {
            Message::Charge => ("charge_id", field("event_time"), "Charge"),
            Message::BalanceDelta => ("delta_id", field("effective_time"), "BalanceDelta"),
            Message::Suspense => ("suspense_id", field("event_time"), "Suspense"),
            Message::Notification => ("notification_id", field("event_time"), "Notification"),
            Message::CommandReply => ("command_id", field("effective_time"), "CommandReply"),
            Message::LifeEvent => ("life_event_id", field("effective_time"), "LifeEvent"),
        };
        let id = match field("outcome") {
            Some(outcome) => format!("{}-{outcome}", field(id).expect("an id")),
            None => field(id).expect("an id").to_owned(),
        };
        assert_eq!(headers["ce_id"], id);
        assert_eq!(headers.get("ce_time").copied(), time);
        assert_eq!(headers["ce_type"], format!("rater.v1.{name}"));
        assert_eq!(headers["ce_source"], format!("/rater/test/{}", schema_of(sample.message)));
        assert_eq!((headers["ce_specversion"], headers["content-type"]), ("1.0", "application/avro"));
        ids.insert(headers["ce_source"].to_owned(), id);
    }
    assert_eq!(ids.len(), Message::ALL.len());
}

/// A decoded record by the names of its fields.
fn fields(decoded: &Decoded<'_>) -> BTreeMap<String, Json> {
    let mut said = BTreeMap::new();
    match decoded {
        Decoded::Usage(usage) => {
            for field in Field::ALL {
                let value = match usage.get(*field) {
                    RawValue::Absent => continue,
                    RawValue::Text(text) => json!(text),
                    RawValue::Integer(value) => json!(value),
                    RawValue::Number(what) | RawValue::Other(what) => panic!("{}: {what}", field.name()),
                };
                said.insert(field.name().to_owned(), value);
            }
            let attributes: BTreeMap<&str, &str> =
                usage.attributes.iter().map(|(name, value)| (&**name, &**value)).collect();
            said.insert("attributes".to_owned(), json!(attributes));
        }
        Decoded::Command(command) => {
            let texts = [
                ("command_id", &command.command_id),
                ("reference", &command.reference),
                ("kind", &command.kind),
                ("account_id", &command.account_id),
                ("issued_by", &command.issued_by),
                ("effective_time", &command.effective_time),
                ("amount", &command.amount),
                ("currency", &command.currency),
                ("bundle_id", &command.bundle_id),
                ("endpoint_id", &command.endpoint_id),
                ("note", &command.note),
            ];
            said.extend(texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), json!(text.as_deref()?)))));
            assert!(command.unsupported.is_empty());
        }
        Decoded::Tick(at) => {
            said.insert("time".to_owned(), json!(at.millis()));
        }
    }
    said
}

/// What was written, as far as a record of its kind is decoded: truth values are texts there, and so are times of commands.
fn expected(schema: &str, says: &Json) -> BTreeMap<String, Json> {
    let says = says.as_object().expect("an object");
    let kept = says.iter().filter(|(name, _)| match schema {
        "tick" => *name == "time",
        "usage-record" => *name == "attributes" || Field::parse(name).is_some(),
        _ => true,
    });
    kept.map(|(name, value)| {
        let value = match value {
            Json::Bool(value) => json!(value.to_string()),
            Json::Number(millis) if schema == "account-command" => json!(millis.to_string()),
            other => other.clone(),
        };
        (name.clone(), value)
    })
    .collect()
}

#[test]
fn rater_reads_what_others_write() {
    let python = python();
    let server = TestRegistry::start().expect("a free port");
    let registry = Registry::new(&RegistryConfig::new(server.url())).expect("a client");
    let said = python.run(&script("write.py"), &[&server.url(), &schemas()]).expect("all is written");
    let lines: Vec<Json> = said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let mut decoder = FramedDecoder::new(Some(registry.clone()), Limits::default()).expect("a decoder");
    let mut seen: BTreeMap<(String, String), u32> = BTreeMap::new();
    for line in &lines {
        let text = |name: &str| line[name].as_str().expect("a text");
        let (how, schema, mut message) = (text("how"), text("schema"), bytes(text("bytes")));
        if how == "schemaless" {
            // Who sends a bare datum has told its schema otherwise: here it gets an id.
            let published =
                std::fs::read_to_string(Path::new(&schemas()).join(format!("{schema}.avsc"))).expect("a schema");
            let id = registry.register(&format!("bare-{schema}"), &published);
            message = [Frame::confluent(id.expect("an id")).as_bytes(), &message].concat();
        }
        let prepared: Prepared = decoder.prepare([&*message]).expect("is prepared");
        let decoded = prepared.decode(&message).unwrap_or_else(|fault| panic!("{how} {schema}: {fault:?}"));
        assert_eq!(fields(&decoded), expected(schema, &line["says"]), "{how} {schema}");
        *seen.entry((how.to_owned(), schema.to_owned())).or_default() += 1;
    }
    let kinds = ["confluent", "schemaless", "single_object"];
    let wanted =
        kinds.map(|how| ["account-command", "tick", "usage-record"].map(|schema| (how.to_owned(), schema.to_owned())));
    assert_eq!(seen.keys().cloned().collect::<Vec<_>>(), wanted.concat(), "every way of writing each of them");
}
