//! Messages in: told apart by their first bytes, read by the writer's schema, and what the registry cannot say is no fault of theirs.

use super::{config, started};
use apache_avro::Schema;
use apache_avro::types::Value;
use pipeline::{Fault as Bad, Field, RawValue};
use rating::SuspenseReason;
use runtime::registry::{Registry, RegistryError, SchemaId};
use runtime::wire::{Decoded, Frame, FramedDecoder, Limits, Prepared};
use std::time::Duration;
use testkit::registry::Fault;

const USAGE: &str = include_str!("../../../../schemas/usage-record.avsc");
const COMMAND: &str = include_str!("../../../../schemas/account-command.avsc");
const FIRST_COMMAND: &str = include_str!("../../../../schemas/history/v1/account-command.avsc");
const TICK: &str = include_str!("../../../../schemas/tick.avsc");
const AT: i64 = 1_772_719_200_000;

fn decoder(registry: Option<Registry>) -> FramedDecoder {
    FramedDecoder::new(registry, Limits::default()).expect("a decoder")
}

fn prepare(decoder: &mut FramedDecoder, message: &[u8]) -> Prepared {
    decoder.prepare([message]).expect("is prepared")
}

/// A datum of a schema from its fields; absent ones are null or empty.
fn datum(schema: &str, fields: &[(&str, Value)]) -> Vec<u8> {
    let schema = Schema::parse_str(schema).expect("a schema");
    let Schema::Record(record) = &schema else { panic!("a record") };
    let values = record.fields.iter().map(|field| {
        let given = fields.iter().find(|(name, _)| *name == field.name).map(|(_, value)| value.clone());
        let value = given.unwrap_or_else(|| match field.schema {
            Schema::Map(_) => Value::Map(Default::default()),
            Schema::Array(_) => Value::Array(Vec::new()),
            _ => Value::Null,
        });
        let value = match &field.schema {
            Schema::Union(union) => {
                let is_null = value == Value::Null;
                let branch = union.variants().iter().position(|variant| (*variant == Schema::Null) == is_null);
                let branch = branch.expect("a branch");
                Value::Union(branch as u32, Box::new(value))
            }
            _ => value,
        };
        (field.name.clone(), value)
    });
    let value = Value::Record(values.collect());
    let writer = apache_avro::writer::datum::GenericDatumWriter::builder(&schema).build().expect("a writer");
    writer.write_value_to_vec(value).expect("a datum")
}

fn text(value: &str) -> Value {
    Value::String(value.to_owned())
}

fn usage_fields() -> Vec<(&'static str, Value)> {
    vec![
        ("id", text("r1")),
        ("source", text("pgw")),
        ("service", text("data")),
        ("quantity", Value::Long(3_000_000)),
        ("unit", text("octets")),
        ("event_time", Value::TimestampMillis(AT)),
        ("imsi", text("001010000000001")),
    ]
}

fn framed(id: SchemaId, datum: &[u8]) -> Vec<u8> {
    [Frame::confluent(id).as_bytes(), datum].concat()
}

fn assert_is_r1(decoded: Result<Decoded<'_>, Bad>) {
    let Ok(Decoded::Usage(usage)) = decoded else { panic!("{decoded:?}") };
    assert_eq!(usage.get(Field::Id), &RawValue::Text("r1".into()));
    assert_eq!(usage.get(Field::Service), &RawValue::Text("data".into()));
    assert_eq!(usage.get(Field::Quantity), &RawValue::Integer(3_000_000));
    assert_eq!(usage.get(Field::EventTime), &RawValue::Integer(AT));
    assert_eq!(usage.get(Field::Imsi), &RawValue::Text("001010000000001".into()));
    assert_eq!(usage.get(Field::EndTime), &RawValue::Absent);
}

fn assert_undecodable(decoded: Result<Decoded<'_>, Bad>, detail: &str) {
    let fault = decoded.expect_err("a fault");
    assert_eq!(fault.reason, SuspenseReason::Undecodable);
    assert!(fault.detail.starts_with(detail), "{} is not {detail}", fault.detail);
}

#[test]
fn the_published_schemas_are_read_in_both_framings() {
    let (server, client) = started();
    let mut decoder = decoder(Some(client.clone()));
    let command_fields = [
        ("command_id", text("c1")),
        ("kind", text("top_up")),
        ("account_id", text("acme")),
        ("issued_by", text("beta")),
        ("effective_time", Value::TimestampMillis(AT)),
        ("amount", Value::Decimal(apache_avro::Decimal::from(51_000_000_000_i64.to_be_bytes()))),
    ];
    let tick_fields = [("tick_id", text("t1")), ("source", text("clock")), ("time", Value::TimestampMillis(AT))];
    // The fingerprints are fastavro's; a schema that changes changes its own.
    for (subject, schema, fields, fingerprint) in [
        ("usage-value", USAGE, &*usage_fields(), 0x7aea_e173_ee6d_a54a_u64),
        ("commands-value", COMMAND, &command_fields, 0xd240_bfc5_609e_7322),
        ("commands-value", FIRST_COMMAND, &command_fields, 0x8891_dc25_77e0_91f9),
        ("ticks-value", TICK, &tick_fields, 0x0380_e82b_2efd_014f),
    ] {
        let id = client.register(subject, schema).expect("an id");
        let datum = datum(schema, fields);
        let single = [&[0xc3, 1], &fingerprint.to_be_bytes()[..], &datum].concat();
        let parsed = Schema::parse_str(schema).expect("a schema");
        let by_the_library = [&[0xc3, 1], &*parsed.fingerprint::<apache_avro::rabin::Rabin>().bytes, &datum].concat();
        for message in [framed(id, &datum), single, by_the_library] {
            let prepared = prepare(&mut decoder, &message);
            assert_eq!(Prepared::content_type(&message), "application/avro");
            match prepared.decode(&message) {
                Ok(Decoded::Tick(at)) => assert_eq!((subject, at.millis()), ("ticks-value", AT)),
                Ok(Decoded::Command(command)) => {
                    assert_eq!((subject, command.command_id.as_deref()), ("commands-value", Some("c1")));
                    assert_eq!(command.amount.as_deref(), Some("5.1"));
                }
                usage => assert_is_r1(usage),
            }
        }
    }
    assert_eq!(server.requests(), 8, "each schema is fetched once");
}

#[test]
fn json_needs_no_registry() {
    let mut decoder = decoder(None);
    let message = br#" {"id":"r1","source":"pgw","service":"data","quantity":3000000,"unit":"octets","event_time":1772719200000,"imsi":"001010000000001"}"#;
    assert_is_r1(prepare(&mut decoder, message).decode(message));
    assert_eq!(Prepared::content_type(message), "application/json");
    let tick = br#"{"tick":"2026-03-05T14:00:00Z"}"#;
    assert!(matches!(prepare(&mut decoder, tick).decode(tick), Ok(Decoded::Tick(at)) if at.millis() == AT));
}

/// Schemas of other writers that ours can read: each is `USAGE` with some fields written otherwise.
#[test]
fn compatible_writers_are_read() {
    let (_server, client) = started();
    let mut decoder = decoder(Some(client.clone()));
    let record = |fields: &str| {
        format!(r#"{{"type":"record","name":"UsageRecord","namespace":"rater.v1","fields":[{fields}]}}"#)
    };
    let strings = r#"{"name":"unit","type":"string"},{"name":"source","type":"string"}"#;
    let time = r#"{"name":"event_time","type":{"type":"long","logicalType":"timestamp-millis"}}"#;
    let twice = r#"{"name":"home","type":{"type":"record","name":"Cell","fields":[{"name":"lac","type":"int"}]}},{"name":"visited","type":["null","Cell"],"default":null}"#;
    let cases = [
        // Another order, optional fields missing.
        (record(&format!(r#"{time},{{"name":"imsi","type":["null","string"],"default":null}},{{"name":"quantity","type":"long"}},{strings},{{"name":"service","type":"string"}},{{"name":"id","type":"string"}}"#)), vec![]),
        // Fields added in between, one of them of a type used twice.
        (record(&format!(r#"{{"name":"id","type":"string"}},{twice},{strings},{time},{{"name":"quantity","type":"long"}},{{"name":"blob","type":{{"type":"array","items":"double"}}}},{{"name":"service","type":"string"}},{{"name":"imsi","type":"string"}}"#)), vec![
            ("home", Value::Record(vec![("lac".to_owned(), Value::Int(9))])),
            ("visited", Value::Record(vec![("lac".to_owned(), Value::Int(8))])),
            ("blob", Value::Array(vec![Value::Double(1.5), Value::Double(2.5)])),
        ]),
        // int for long, bytes for text, nullable where ours is not; another name space.
        (record(&format!(r#"{{"name":"id","type":["null","bytes"]}},{strings},{time},{{"name":"quantity","type":"int"}},{{"name":"service","type":["null","string"]}},{{"name":"imsi","type":["string","null"]}}"#)).replace("rater.v1", "gateway"), vec![
            ("id", Value::Bytes(b"r1".to_vec())),
            ("quantity", Value::Int(3_000_000)),
        ]),
        // A finer time.
        (record(&format!(r#"{{"name":"id","type":"string"}},{strings},{{"name":"event_time","type":{{"type":"long","logicalType":"timestamp-micros"}}}},{{"name":"quantity","type":"long"}},{{"name":"service","type":"string"}},{{"name":"imsi","type":"string"}}"#)), vec![
            ("event_time", Value::TimestampMicros(AT * 1000)),
        ]),
    ];
    for (at, (schema, changed)) in cases.into_iter().enumerate() {
        let id = client.register(&format!("case-{at}"), &schema).expect("an id");
        let mut fields = changed;
        fields.extend(usage_fields());
        let message = framed(id, &datum(&schema, &fields));
        assert_is_r1(prepare(&mut decoder, &message).decode(&message));
    }
}

#[test]
fn schemas_that_ours_cannot_read_are_named() {
    let (_server, client) = started();
    let mut decoder = decoder(Some(client.clone()));
    let deep = format!(
        r#"{{"type":"record","name":"UsageRecord","fields":[{}{{"name":"z","type":"int"}}]}}"#,
        (0..100)
            .map(|at| format!(
                r#"{{"name":"f{at}","type":{{"type":"record","name":"R{at}","fields":[{}]}}}},"#,
                if at == 0 { String::new() } else { format!(r#"{{"name":"r","type":"R{}"}}"#, at - 1) }
            ))
            .collect::<String>()
    );
    for (schema, detail) in [
        (
            r#"{"type":"record","name":"Cdr","fields":[{"name":"id","type":"string"}]}"#.to_owned(),
            "cannot be read as rater.v1.UsageRecord: ",
        ),
        (
            r#"{"type":"record","name":"UsageRecord","fields":[{"name":"id","type":"string"}]}"#.to_owned(),
            "cannot be read as rater.v1.UsageRecord: ",
        ),
        (
            r#"{"type":"record","name":"Tick","fields":[{"name":"time","type":"string"}]}"#.to_owned(),
            "cannot be read as rater.v1.Tick: ",
        ),
        (
            USAGE.replace(r#""name": "quantity", "type": "long""#, r#""name": "quantity", "type": "double""#),
            "cannot be read as rater.v1.UsageRecord: ",
        ),
        (
            USAGE.replace(
                r#"{ "name": "id", "type": "string","#,
                r#"{ "name": "more", "type": ["null", "UsageRecord"] }, { "name": "id", "type": "string","#,
            ),
            "cannot be read as rater.v1.UsageRecord: schema: the type rater.v1.UsageRecord contains itself",
        ),
        ("\"string\"".to_owned(), "cannot be read as rater.v1.UsageRecord: "),
        (deep, "cannot be read as rater.v1.UsageRecord: "),
    ] {
        let id = client.register(&format!("case-{}", schema.len()), &schema).expect("an id");
        let message = framed(id, b"\x04r1");
        assert_undecodable(prepare(&mut decoder, &message).decode(&message), &format!("schema id {id} {detail}"));
    }
}

#[test]
fn other_kinds_and_references_are_named() {
    let (server, client) = started();
    let mut decoder = decoder(Some(client));
    for (body, detail) in [
        (r#"{"schema":"syntax = \"proto3\";","schemaType":"PROTOBUF"}"#, "schema id 7 is of kind PROTOBUF, not AVRO"),
        (
            r#"{"schema":"{}","references":[{"name":"a","subject":"b","version":1}]}"#,
            "schema id 8 refers to other schemas",
        ),
        (r#"{"schema":"{"}"#, "schema id 9 is no schema: "),
    ] {
        let id = 7 + (server.requests() as u32);
        server.fail_next([Fault::Answer(200, body.as_bytes().to_vec())]);
        let message = framed(SchemaId(id), b"");
        assert_undecodable(prepare(&mut decoder, &message).decode(&message), detail);
        assert_undecodable(prepare(&mut decoder, &message).decode(&message), detail);
    }
    assert_eq!(server.requests(), 3, "what cannot be read is remembered too");
}

#[test]
fn anything_else_is_undecodable() {
    let mut decoder = decoder(None);
    for (message, detail) in [
        (&b""[..], "is empty"),
        (b"<xml/>", "starts with byte 3c"),
        (&[0, 0, 0], "ends within the schema id"),
        (&[0, 0, 0, 0, 7, 1], "schema id 7: there is no schema registry"),
        (&[0xc3, 1, 1, 0, 0, 0, 0, 0, 0, 0xab, 5], "schema fingerprint ab00000000000001 is unknown"),
        (b"{\"id\":", "column 6: "),
    ] {
        assert_undecodable(prepare(&mut decoder, message).decode(message), detail);
    }
    let long = vec![b'{'; 2 << 20];
    assert_undecodable(prepare(&mut decoder, &long).decode(&long), "is longer than 1048576 bytes");
}

#[test]
fn a_datum_is_all_of_its_message() {
    let (_server, client) = started();
    let id = client.register("usage-value", USAGE).expect("an id");
    let mut decoder = decoder(Some(client));
    let whole = framed(id, &datum(USAGE, &usage_fields()));
    let prepared = prepare(&mut decoder, &whole);
    assert_is_r1(prepared.decode(&whole));
    for end in 5..whole.len() {
        assert_undecodable(prepared.decode(&whole[..end]), "byte ");
    }
    let more = [&*whole, b"x"].concat();
    assert_undecodable(prepared.decode(&more), &format!("byte {}: 1 bytes follow the last field", whole.len() - 5));
}

#[test]
fn an_unreachable_registry_is_no_fault_of_the_data() {
    let (server, client) = started();
    let id = client.register("usage-value", USAGE).expect("an id");
    let other = client.register("ticks-value", TICK).expect("an id");
    let mut decoder = decoder(Some(client));
    let usage = framed(id, &datum(USAGE, &usage_fields()));
    let tick = framed(
        other,
        &datum(TICK, &[("tick_id", text("t")), ("source", text("s")), ("time", Value::TimestampMillis(AT))]),
    );
    let batch = [&*usage, &*tick, &*usage];
    let busy = || Fault::Answer(503, Vec::new());
    server.fail_always(Some(busy()));
    let error = decoder.prepare(batch).expect_err("nothing is known yet");
    assert_eq!(error.id, id);
    assert!(error.error.is_transient());
    server.fail_always(None);
    // Other troubles of the registry are not the data's fault either.
    server.fail_next([Fault::Answer(401, br#"{"error_code":40101,"message":"Unauthorized"}"#.to_vec())]);
    let error = decoder.prepare(batch).expect_err("no entry");
    assert!(matches!(error.error, RegistryError::Refused { status: 401, .. }), "{error}");
    let prepared = decoder.prepare(batch).expect("is prepared");
    server.fail_always(Some(busy()));
    assert_is_r1(prepared.decode(&usage));
    let again = decoder.prepare(batch).expect("what is known needs no registry");
    assert!(matches!(again.decode(&tick), Ok(Decoded::Tick(_))));
}

#[test]
fn unknown_ids_are_remembered_for_a_while() {
    let (server, client) = started();
    let message = framed(SchemaId(1), &datum(USAGE, &usage_fields()));
    let mut patient = FramedDecoder::new(
        Some(client.clone()),
        Limits { unknown_for: Duration::from_secs(3600), ..Limits::default() },
    )
    .expect("a decoder");
    let mut eager =
        FramedDecoder::new(Some(client.clone()), Limits { unknown_for: Duration::ZERO, ..Limits::default() })
            .expect("a decoder");
    for decoder in [&mut patient, &mut eager] {
        for _ in 0..3 {
            assert_undecodable(prepare(decoder, &message).decode(&message), "schema id 1 is unknown");
        }
    }
    assert_eq!(server.requests(), 1 + 3);
    assert_eq!(client.register("usage-value", USAGE), Ok(SchemaId(1)));
    assert_is_r1(prepare(&mut eager, &message).decode(&message));
    assert_undecodable(prepare(&mut patient, &message).decode(&message), "schema id 1 is unknown");
}

#[test]
fn what_is_remembered_is_bounded_and_never_less_than_the_batch() {
    let (server, client) = started();
    let id = client.register("usage-value", USAGE).expect("an id");
    let limits = Limits { schemas: 1, unknown: 10, unknown_for: Duration::from_secs(3600), ..Limits::default() };
    let mut decoder = FramedDecoder::new(Some(client), limits).expect("a decoder");
    let good = framed(id, &datum(USAGE, &usage_fields()));
    let strange: Vec<Vec<u8>> = (1000..1100).map(|id| framed(SchemaId(id), b"x")).collect();
    let batch = || strange.iter().map(Vec::as_slice).chain([&*good]);
    let prepared = decoder.prepare(batch()).expect("is prepared");
    for message in &strange {
        assert_undecodable(prepared.decode(message), "schema id 1");
    }
    assert_is_r1(prepared.decode(&good));
    assert_eq!(decoder.remembered(), 101);
    prepare(&mut decoder, &good);
    assert_eq!(decoder.remembered(), 11);
    assert_is_r1(prepared.decode(&good));
    assert_eq!(server.requests(), 1 + 101);
}

#[test]
fn schemas_are_forgotten_beyond_their_bytes() {
    let (server, client) = started();
    let schema = |at: u32| USAGE.replacen('{', &format!("{{\"note\":\"{at}{}\",", " ".repeat(10_000)), 1);
    let limits = Limits { schema_bytes: 40_000, ..Limits::default() };
    let mut decoder = FramedDecoder::new(Some(client.clone()), limits).expect("a decoder");
    for at in 0..10 {
        let id = client.register("usage-value", &schema(at)).expect("an id");
        let message = framed(id, &datum(USAGE, &usage_fields()));
        assert_is_r1(prepare(&mut decoder, &message).decode(&message));
    }
    assert_eq!(decoder.remembered(), 2, "as many as fit");
    assert_eq!(server.requests(), 20);
}

/// Such a schema is the fault of the messages that name it: the partition goes on.
#[test]
fn an_answer_without_end_makes_its_messages_undecodable() {
    let (server, client) = started();
    let id = client.register("usage-value", USAGE).expect("an id");
    let good = framed(id, &datum(USAGE, &usage_fields()));
    let bad = framed(SchemaId(77), b"x");
    let mut decoder = decoder(Some(client));
    prepare(&mut decoder, &good);
    server.fail_next([Fault::Answer(200, vec![b' '; 5 << 20])]);
    let prepared = decoder.prepare([&*bad, &*good]).expect("is prepared");
    assert_undecodable(prepared.decode(&bad), "schema id 77 is longer than 4194304 bytes");
    assert_is_r1(prepared.decode(&good));
}

#[test]
fn several_threads_decode_one_batch() {
    let (_server, client) = started();
    let id = client.register("usage-value", USAGE).expect("an id");
    let mut decoder = decoder(Some(client));
    let message = framed(id, &datum(USAGE, &usage_fields()));
    let prepared = prepare(&mut decoder, &message);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..1000).for_each(|_| assert_is_r1(prepared.decode(&message))));
        }
    });
}

#[test]
fn a_registry_that_comes_late_is_waited_for() {
    let (server, _) = started();
    let mut config = config(&server);
    config.attempts = 1;
    let client = Registry::new(&config).expect("a client");
    let id = client.register("usage-value", USAGE).expect("an id");
    server.fail_next([Fault::Closed]);
    let mut decoder = decoder(Some(client));
    let message = framed(id, &datum(USAGE, &usage_fields()));
    assert!(decoder.prepare([&*message]).is_err());
    assert_is_r1(prepare(&mut decoder, &message).decode(&message));
}
