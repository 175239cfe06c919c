//! Avro containers, as the Avro library writes them.

use super::{Cut, cut};
use apache_avro::types::Value;
use apache_avro::{Codec, DeflateSettings, Schema, Writer};
use runtime::wire::InputFormat;
use std::collections::HashMap;

const PUBLISHED: &str = include_str!("../../../../schemas/usage-record.avsc");
const COMMANDS: &str = include_str!("../../../../schemas/account-command.avsc");
const TICKS: &str = include_str!("../../../../schemas/tick.avsc");
const AT: i64 = 1_767_225_600_000;

/// A container with a block for each of the lists.
fn container(schema: &str, codec: Codec, blocks: &[Vec<Value>]) -> Vec<u8> {
    let schema = Schema::parse_str(schema).expect("a schema");
    let mut writer = Writer::with_codec(&schema, Vec::new(), codec).expect("a writer");
    for block in blocks {
        for value in block {
            writer.append_value(value.clone()).expect("a value of the schema");
        }
        writer.flush().expect("a block");
    }
    writer.into_inner().expect("the bytes")
}

fn deflate() -> Codec {
    Codec::Deflate(DeflateSettings::default())
}

fn read(bytes: &[u8]) -> Cut {
    cut(InputFormat::Avro, bytes).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(bytes: &[u8]) -> String {
    cut(InputFormat::Avro, bytes).err().map_or("no error".to_owned(), |error| error.to_string())
}

fn text(value: &str) -> Value {
    Value::String(value.to_owned())
}

fn some(value: Value) -> Value {
    Value::Union(1, Box::new(value))
}

fn none() -> Value {
    Value::Union(0, Box::new(Value::Null))
}

/// A record of a schema with the given fields in any order; the others are taken from their defaults.
fn record(schema: &str, given: &[(&str, Value)]) -> Value {
    let schema: serde_json::Value = serde_json::from_str(schema).expect("JSON");
    let fields = schema["fields"].as_array().expect("fields");
    let value = |field: &serde_json::Value| {
        let name = field["name"].as_str().expect("a name");
        let given = given.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
        let default = || match &field["default"] {
            serde_json::Value::Null => none(),
            serde_json::Value::Array(_) => Value::Array(Vec::new()),
            _ => Value::Map(HashMap::new()),
        };
        (name.to_owned(), given.unwrap_or_else(default))
    };
    Value::Record(fields.iter().map(value).collect())
}

fn published(id: &str, given: &[(&str, Value)]) -> Value {
    let mut all = given.to_vec();
    for (name, value) in [
        ("id", text(id)),
        ("source", text("pgw")),
        ("service", text("data")),
        ("quantity", Value::Long(5)),
        ("unit", text("octets")),
        ("event_time", Value::TimestampMillis(AT)),
        ("imsi", some(text("001"))),
    ] {
        if !given.iter().any(|(known, _)| *known == name) {
            all.push((name, value));
        }
    }
    record(PUBLISHED, &all)
}

/// What becomes of a record under a schema of its own, with these fields: name, type, value.
fn own(fields: &[(&str, &str, Value)]) -> String {
    let of_schema: Vec<String> =
        fields.iter().map(|(name, kind, _)| format!(r#"{{"name":"{name}","type":{kind}}}"#)).collect();
    let schema = format!(r#"{{"type":"record","name":"Own","fields":[{}]}}"#, of_schema.join(","));
    let value = Value::Record(fields.iter().map(|(name, _, value)| ((*name).to_owned(), value.clone())).collect());
    let cut = read(&container(&schema, Codec::Null, &[vec![value]]));
    assert!(cut.error.is_none(), "{}", cut.error_text());
    cut.outcomes().remove(0)
}

/// As [`own`], with the fields that every record needs in front.
fn with(fields: &[(&str, &str, Value)]) -> String {
    let needed = [
        ("event_time", r#"{"type":"long","logicalType":"timestamp-millis"}"#, Value::TimestampMillis(AT)),
        ("quantity", r#""long""#, Value::Long(5)),
        ("service", r#""string""#, text("data")),
        ("imsi", r#"["null","string"]"#, some(text("001"))),
        ("id", r#""string""#, text("r")),
    ];
    let mut all: Vec<_> =
        needed.into_iter().filter(|(name, ..)| fields.iter().all(|(given, ..)| given != name)).collect();
    all.extend_from_slice(fields);
    own(&all)
}

#[test]
fn published_records_in_both_codecs() {
    let attributes = Value::Map(HashMap::from([("a".to_owned(), text("1")), ("b".to_owned(), text(""))]));
    let blocks: Vec<Vec<Value>> = vec![
        (0..100).map(|at| published(&format!("r{at}"), &[])).collect(),
        vec![published(
            "last",
            &[
                ("attributes", attributes),
                ("quantity", Value::Long(i64::MAX)),
                ("mnc", some(text("15"))),
                ("mcc", some(text("234"))),
            ],
        )],
        vec![published("negative", &[("quantity", Value::Long(i64::MIN))]), published("", &[])],
    ];
    for codec in [Codec::Null, deflate()] {
        let cut = read(&container(PUBLISHED, codec, &blocks));
        assert!(cut.error.is_none(), "{}", cut.error_text());
        let outcomes = cut.outcomes();
        assert_eq!(outcomes.len(), 103);
        assert_eq!(outcomes[0], "1 usage pgw/r0 data 5 octets 2026-01-01T00:00:00Z");
        assert_eq!(outcomes[99], "100 usage pgw/r99 data 5 octets 2026-01-01T00:00:00Z");
        assert_eq!(outcomes[100], "101 usage pgw/last data 9223372036854775807 octets 2026-01-01T00:00:00Z a=1");
        assert_eq!(outcomes[101], "102 invalid_record: quantity: is negative: -9223372036854775808");
        assert_eq!(outcomes[102], "103 invalid_record: id: is missing");
        // Each raw record is decoded again from its own bytes: what recycling does.
        let again = runtime::wire::Decoder::from_description(&cut.decoder.describe()).expect("a decoder");
        assert_eq!(super::outcome(&again, &cut.records[100].1), outcomes[100][4..]);
    }
}

#[test]
fn commands_and_ticks() {
    let scaled = |bytes: &[u8]| some(Value::Decimal(apache_avro::Decimal::from(bytes)));
    let command = |given: &[(&str, Value)]| {
        let mut all = given.to_vec();
        all.extend([
            ("command_id", text("c")),
            ("account_id", text("acme")),
            ("issued_by", text("beta")),
            ("effective_time", Value::TimestampMillis(AT)),
        ]);
        record(COMMANDS, &all)
    };
    let blocks = [vec![
        command(&[("kind", text("top_up")), ("amount", scaled(&51_000_000_000_i64.to_be_bytes()))]),
        command(&[("kind", text("top_up")), ("amount", scaled(&(-1_i64).to_be_bytes()))]),
        command(&[("kind", text("suspend"))]),
        command(&[("kind", text("suspend")), ("expires_at", some(Value::TimestampMillis(AT)))]),
    ]];
    let cut = read(&container(COMMANDS, Codec::Null, &blocks));
    assert_eq!(
        cut.outcomes(),
        [
            "1 command c TopUp(5.1)",
            "2 invalid_record: amount: a positive decimal with at most 10 places is needed",
            "3 command c SuspendAccount",
            "4 invalid_record: expires_at: not supported yet",
        ]
    );
    let tick =
        |at| record(TICKS, &[("tick_id", text("t")), ("source", text("s")), ("time", Value::TimestampMillis(at))]);
    let cut = read(&container(TICKS, deflate(), &[vec![tick(AT), tick(-1), tick(i64::MAX)]]));
    assert_eq!(
        cut.outcomes(),
        [
            "1 tick 2026-01-01T00:00:00Z",
            "2 invalid_record: time: is not a time with an offset between 1970 and 2200: \"-1\"",
            "3 invalid_record: time: is not a time with an offset between 1970 and 2200: \"9223372036854775807\"",
        ]
    );
}

#[test]
fn schemas_of_other_writers() {
    assert_eq!(with(&[]), "1 usage file/r data 5 octets 2026-01-01T00:00:00Z");
    let micros = r#"{"type":"long","logicalType":"timestamp-micros"}"#;
    let nanos = r#"{"type":"long","logicalType":"timestamp-nanos"}"#;
    let local = r#"{"type":"long","logicalType":"local-timestamp-millis"}"#;
    let date = r#"{"type":"int","logicalType":"date"}"#;
    let day = r#"{"type":"int","logicalType":"time-millis"}"#;
    for (kind, value, expected) in [
        (micros, Value::TimestampMicros(AT * 1000), "1 usage file/r data 5 octets 2026-01-01T00:00:00Z"),
        (micros, Value::TimestampMicros(AT * 1000 + 1999), "1 usage file/r data 5 octets 2026-01-01T00:00:00.001Z"),
        (nanos, Value::TimestampNanos(AT * 1_000_000), "1 usage file/r data 5 octets 2026-01-01T00:00:00Z"),
        (nanos, Value::TimestampNanos(AT * 1_000_000 + 1), "1 usage file/r data 5 octets 2026-01-01T00:00:00Z"),
        (micros, Value::TimestampMicros(AT), "1 past_event: event_time: 1767225600 as milliseconds since 1970"),
        (
            r#""long""#,
            Value::Long(AT / 1000),
            "1 past_event: event_time: 1767225600 as milliseconds since 1970 is 1970-01-21T10:53:45.6Z; it looks like seconds",
        ),
        (
            r#""long""#,
            Value::Long(AT * 1000),
            "1 invalid_record: event_time: is not a time with an offset between 1970 and 2200: \"1767225600000000\"; it looks like microseconds",
        ),
        (r#""double""#, Value::Double(1_767_225_600_000.0), "1 usage file/r data 5 octets 2026-01-01T00:00:00Z"),
        // A day or a time of day is not an instant; read as milliseconds it would be one, in January 1970.
        (local, Value::LocalTimestampMillis(AT), "1 invalid_record: event_time: is not a time"),
        (date, Value::Date(20_454), "1 invalid_record: event_time: is not a time"),
        (day, Value::TimeMillis(7_000), "1 invalid_record: event_time: is not a time"),
        (r#""long""#, Value::Long(AT), "1 usage file/r data 5 octets 2026-01-01T00:00:00Z"),
        (r#""string""#, text("2026-01-01T00:00:00Z"), "1 usage file/r data 5 octets 2026-01-01T00:00:00Z"),
        (
            r#"["null","long","string"]"#,
            Value::Union(2, Box::new(text("2026-01-01T00:00:00Z"))),
            "1 usage file/r data 5",
        ),
        (r#"["null","long"]"#, none(), "1 invalid_record: event_time: is missing"),
        (r#""double""#, Value::Double(1.5), "1 invalid_record: event_time: is not a time"),
    ] {
        let actual = with(&[("event_time", kind, value)]);
        assert!(actual.starts_with(expected), "{kind}: {actual}");
    }
    let services = r#"{"type":"enum","name":"S","symbols":["voice","data"]}"#;
    for (name, kind, value, expected) in [
        ("service", services, Value::Enum(1, "data".to_owned()), "1 usage file/r data 5 octets"),
        ("quantity", r#""int""#, Value::Int(7), "1 usage file/r data 7 octets"),
        ("quantity", r#""float""#, Value::Float(7.0), "1 usage file/r data 7 octets"),
        ("quantity", r#""float""#, Value::Float(7.5), "1 invalid_record: quantity: is not a whole number: 7.5"),
        (
            "quantity",
            r#""double""#,
            Value::Double(9_007_199_254_740_992.0),
            "1 usage file/r data 9007199254740992 octets",
        ),
        (
            "quantity",
            r#""double""#,
            Value::Double(9_007_199_254_740_994.0),
            "1 invalid_record: quantity: is not a whole number: a float too large",
        ),
        ("quantity", r#""double""#, Value::Double(f64::NAN), "1 invalid_record: quantity: is not a whole number"),
        ("mnc", r#""int""#, Value::Int(10), "1 invalid_record: mnc: is a number"),
        ("quantity", r#""bytes""#, Value::Bytes(vec![1]), "1 invalid_record: quantity: is not a whole number"),
        ("quantity", r#""string""#, text("7"), "1 usage file/r data 7 octets"),
        ("id", r#""long""#, Value::Long(-7), "1 usage file/-7 data 5 octets"),
        (
            "id",
            r#"{"type":"string","logicalType":"uuid"}"#,
            Value::Uuid("7b8f9e60-1111-4222-8333-123456789abc".parse().expect("a UUID")),
            "1 usage file/7b8f9e60-1111-4222-8333-123456789abc data",
        ),
        ("final", r#""boolean""#, Value::Boolean(true), "1 usage file/r"),
        ("final", r#""int""#, Value::Int(1), "1 usage file/r"),
        (
            "attributes",
            r#"{"type":"map","values":["null","long"]}"#,
            Value::Map(HashMap::from([("n".to_owned(), some(Value::Long(3))), ("o".to_owned(), none())])),
            "1 usage file/r data 5 octets 2026-01-01T00:00:00Z n=3",
        ),
        (
            "attributes",
            r#"{"type":"map","values":"double"}"#,
            Value::Map(HashMap::from([("n".to_owned(), Value::Double(0.5))])),
            "1 usage file/r data 5 octets 2026-01-01T00:00:00Z n=0.5",
        ),
        (
            "attributes",
            r#"{"type":"array","items":"string"}"#,
            Value::Array(vec![text("a")]),
            "1 invalid_record: attributes: is a list",
        ),
        (
            "other",
            r#"{"type":"array","items":{"type":"map","values":"double"}}"#,
            Value::Array(vec![Value::Map(HashMap::from([("n".to_owned(), Value::Double(0.5))]))]),
            "1 usage file/r data 5 octets",
        ),
        (
            "other",
            r#"{"type":"record","name":"O","fields":[{"name":"id","type":"string"}]}"#,
            Value::Record(vec![("id".to_owned(), text("x"))]),
            "1 usage file/r data 5 octets",
        ),
        (
            "other",
            r#"{"type":"fixed","name":"F","size":3}"#,
            Value::Fixed(3, vec![1, 2, 3]),
            "1 usage file/r data 5 octets",
        ),
    ] {
        let actual = with(&[(name, kind, value)]);
        assert!(actual.starts_with(expected), "{name} {kind}: {actual}");
    }
}

#[test]
fn what_is_no_container_is_refused() {
    let good = container(PUBLISHED, Codec::Null, &[vec![published("r", &[])]]);
    assert_eq!(refused(b""), "byte 0: is not an Avro container");
    assert_eq!(refused(b"{\"id\":1}"), "byte 0: is not an Avro container");
    assert_eq!(refused(b"Obj\x02"), "byte 0: is not an Avro container");
    for end in [4, 5, 30, 3000] {
        assert_eq!(refused(&good[..end]), "byte 0: the header of the container is broken", "{end} bytes");
    }
    let with_schema = |schema: &str, codec: &str| {
        let mut bytes = b"Obj\x01\x04".to_vec();
        for text in ["avro.codec", codec, "avro.schema", schema] {
            bytes.extend(zigzag(text.len() as i64));
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes.push(0);
        bytes.extend_from_slice(&[7; 16]);
        bytes
    };
    assert!(cut(InputFormat::Avro, &with_schema(PUBLISHED, "null")).expect("an empty container").records.is_empty());
    for (schema, codec, expected) in [
        (PUBLISHED, "snappy", "byte 0: codec \"snappy\" is not supported; null and deflate are"),
        (PUBLISHED, "", "byte 0: codec \"\" is not supported"),
        ("\"string\"", "null", "byte 0: schema: is not of a record"),
        ("{", "null", "byte 0: schema: "),
        (
            r#"{"type":"record","name":"A","fields":[{"name":"a","type":["null","A"]}]}"#,
            "null",
            "byte 0: schema: the type A contains itself",
        ),
    ] {
        let actual = refused(&with_schema(schema, codec));
        assert!(actual.starts_with(expected), "{actual}");
    }
    // A header that claims to be endless is given up.
    let mut endless = b"Obj\x01".to_vec();
    endless.extend(zigzag(i64::MAX));
    endless.resize(20_000_000, 1);
    assert_eq!(refused(&endless), "byte 0: the header of the container is broken");
}

fn zigzag(value: i64) -> Vec<u8> {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    let mut out = Vec::new();
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
    out
}

/// A container of two good blocks, and where the second one begins.
fn two_blocks() -> (Vec<u8>, usize) {
    let first = vec![published("r1", &[]), published("r2", &[])];
    let second = vec![published("r3", &[]), published("r4", &[])];
    let whole = container(PUBLISHED, Codec::Null, &[first, second]);
    let sync: [u8; 16] = whole[whole.len() - 16..].try_into().expect("16 bytes");
    let starts: Vec<usize> = memchr::memmem::find_iter(&whole, &sync).map(|at| at + 16).collect();
    assert_eq!(starts.len(), 3, "after the header and after each block");
    (whole, starts[1])
}

#[test]
fn everything_before_a_broken_block_is_delivered() {
    let (whole, second) = two_blocks();
    // One byte for the count, two for the size.
    let (head, body) = (3, whole.len() - second - 19);
    assert_eq!(&whole[second + 1..second + head], zigzag(body as i64), "size");
    assert_eq!(&whole[second..second + 1], zigzag(2), "count");
    let block = |count: i64, size: i64, data: &[u8]| {
        let mut bytes = whole[..second].to_vec();
        bytes.extend(zigzag(count));
        bytes.extend(zigzag(size));
        bytes.extend_from_slice(data);
        bytes.extend_from_slice(&whole[whole.len() - 16..]);
        bytes
    };
    let data = &whole[second + head..whole.len() - 16];
    assert_eq!(data.len(), body);
    let size = body as i64;
    let mut other_sync = whole.clone();
    *other_sync.last_mut().expect("a byte") ^= 1;
    for (what, bytes, delivered, expected) in [
        ("whole", whole.clone(), 4, ""),
        ("cut in the head", whole[..second + 1].to_vec(), 2, "a block is cut off"),
        ("cut in the data", whole[..second + 20].to_vec(), 2, "a block is cut off"),
        ("cut in the marker", whole[..whole.len() - 1].to_vec(), 2, "a block is cut off"),
        ("another marker", other_sync, 2, "a block does not end with the marker of the file"),
        ("negative count", block(-2, size, data), 2, "a block has a negative count"),
        ("negative size", block(2, -1, data), 2, "a block is negative or larger than 256 MiB"),
        ("huge size", block(2, i64::MAX, data), 2, "a block is negative or larger than 256 MiB"),
        ("larger size", block(2, 1 << 27, data), 2, "a block is cut off"),
        ("smaller size", block(2, size - 1, data), 2, "a block does not end with the marker of the file"),
        ("huge count", block(i64::MAX, size, data), 4, "record 5 is not what the schema says"),
        ("smaller count", block(1, size, data), 3, "bytes follow the last record of a block"),
        ("no records", block(0, size, data), 2, "a block without records is not empty"),
        ("nothing", block(0, 0, &[]), 2, ""),
        ("another schema", block(1, 4, b"\xff\xff\xff\xff"), 2, "record 3 is not what the schema says"),
    ] {
        let cut = read(&bytes);
        assert_eq!(cut.records.len(), delivered, "{what}: {}", cut.error_text());
        let error = cut.error_text();
        let place = format!("byte {second}: {expected}");
        assert!(if expected.is_empty() { error.is_empty() } else { error.starts_with(&place) }, "{what}: {error}");
    }
}

#[test]
fn deflate_that_is_broken_or_bursts() {
    let good = container(PUBLISHED, deflate(), &[vec![published("r1", &[])], vec![published("r2", &[])]]);
    let sync = good[good.len() - 16..].to_vec();
    let mut broken = good.clone();
    let at = broken.len() - 30;
    broken[at] ^= 0xff;
    broken[at + 1] ^= 0xff;
    let cut = read(&broken);
    assert!(!cut.records.is_empty());
    // Every byte that fits is a record that fits: what is broken shows in the error or in the record, never in silence.
    assert!(cut.error.is_some() || cut.outcomes() != read(&good).outcomes());

    let header = memchr::memmem::find(&good, &sync).expect("a marker") + 16;
    let packed = miniz_oxide::deflate::compress_to_vec(&vec![0; 300 << 20], 6);
    assert!(packed.len() < 1 << 20, "a small block");
    let mut bomb = good[..header].to_vec();
    bomb.extend(zigzag(1));
    bomb.extend(zigzag(packed.len() as i64));
    bomb.extend_from_slice(&packed);
    bomb.extend_from_slice(&sync);
    let (mut splitter, _) =
        runtime::wire::Splitter::open(&*bomb, InputFormat::Avro).unwrap_or_else(|error| panic!("{error}"));
    let error = splitter.fill(&mut runtime::wire::RawBatch::default(), 10).err().map(|error| error.to_string());
    assert!(error.as_ref().is_some_and(|error| error.contains("a block cannot be decompressed")), "{error:?}");
}

#[test]
fn a_record_that_is_too_long_waits() {
    let long = "x".repeat(1 << 20);
    let cut = read(&container(PUBLISHED, Codec::Null, &[vec![published(&long, &[]), published("r", &[])]]));
    let outcomes = cut.outcomes();
    assert_eq!(outcomes[0], "1 undecodable: is longer than 1048576 bytes");
    assert_eq!(outcomes[1], "2 usage pgw/r data 5 octets 2026-01-01T00:00:00Z");
}
