//! JSON <-> Avro values by schema, so that fixtures can be read by a person: decimals are text, times RFC 3339, bytes
//! text. Written against `apache-avro` alone: the hand-written encoders are judged by it and must not lend it code.
#![allow(dead_code, reason = "each test binary uses its own part of the helper")]

use apache_avro::Decimal;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::schema::{DecimalSchema, Schema};
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use serde_json::{Map, Value as Json, json};

/// Encodes a value with the library's own writer, which validates it against the schema.
pub(crate) fn encode(schema: &Schema, value: Value) -> Vec<u8> {
    let writer = GenericDatumWriter::builder(schema).build().expect("a writer for the schema");
    writer.write_value_to_vec(value).expect("a value that fits the schema")
}

/// Decodes one datum and insists that every byte was used.
pub(crate) fn decode(schema: &Schema, bytes: &[u8]) -> Value {
    let reader = GenericDatumReader::builder(schema).build().expect("a reader for the schema");
    let mut rest = bytes;
    let value = reader.read_value(&mut rest).expect("a datum of the schema");
    assert!(rest.is_empty(), "{} bytes behind the datum", rest.len());
    value
}

/// Reads a fixture: every field of the schema is given, and nothing else.
pub(crate) fn from_json(schema: &Schema, value: &Json) -> Value {
    match schema {
        Schema::Record(record) => {
            let object = value.as_object().expect("an object");
            let mut fields = Vec::new();
            for field in &record.fields {
                let given = object.get(&field.name).unwrap_or_else(|| panic!("field {} is missing", field.name));
                fields.push((field.name.clone(), from_json(&field.schema, given)));
            }
            assert_eq!(object.len(), fields.len(), "unknown fields in a fixture of {}", record.name);
            Value::Record(fields)
        }
        Schema::Union(union) => {
            let index = usize::from(!value.is_null());
            let inner = from_json(&union.variants()[index], value);
            Value::Union(u32::try_from(index).expect("0 or 1"), Box::new(inner))
        }
        Schema::Array(array) => {
            Value::Array(value.as_array().expect("an array").iter().map(|item| from_json(&array.items, item)).collect())
        }
        Schema::Map(map) => {
            let object = value.as_object().expect("an object");
            Value::Map(object.iter().map(|(name, item)| (name.clone(), from_json(&map.types, item))).collect())
        }
        Schema::Null => Value::Null,
        Schema::String => Value::String(value.as_str().expect("text").to_owned()),
        Schema::Bytes => Value::Bytes(value.as_str().expect("text").as_bytes().to_vec()),
        Schema::Boolean => Value::Boolean(value.as_bool().expect("a boolean")),
        Schema::Int => Value::Int(i32::try_from(value.as_i64().expect("an integer")).expect("an int")),
        Schema::Long => Value::Long(value.as_i64().expect("an integer")),
        Schema::TimestampMillis => {
            let text = value.as_str().expect("a time as text");
            Value::TimestampMillis(text.parse::<jiff::Timestamp>().expect("RFC 3339").as_millisecond())
        }
        Schema::Decimal(decimal) => Value::Decimal(decimal_of(decimal, value.as_str().expect("a decimal as text"))),
        other => panic!("the contracts do not use {other:?}"),
    }
}

/// The inverse of [`from_json`]. Decimals come out without trailing zeros.
pub(crate) fn to_json(schema: &Schema, value: &Value) -> Json {
    match (schema, value) {
        (Schema::Record(record), Value::Record(fields)) => {
            let each = record.fields.iter().zip(fields);
            Json::Object(each.map(|(field, (name, item))| (name.clone(), to_json(&field.schema, item))).collect())
        }
        (Schema::Union(union), Value::Union(index, inner)) => to_json(&union.variants()[*index as usize], inner),
        (Schema::Array(array), Value::Array(items)) => {
            Json::Array(items.iter().map(|item| to_json(&array.items, item)).collect())
        }
        (Schema::Map(map), Value::Map(items)) => {
            let mut names: Vec<_> = items.keys().collect();
            names.sort();
            let each = names.into_iter().map(|name| (name.clone(), to_json(&map.types, &items[name])));
            Json::Object(each.collect::<Map<_, _>>())
        }
        (Schema::Null, Value::Null) => Json::Null,
        (Schema::String, Value::String(text)) => json!(text),
        (Schema::Bytes, Value::Bytes(bytes)) => {
            json!(String::from_utf8(bytes.clone()).expect("a fixture of text"))
        }
        (Schema::Boolean, Value::Boolean(flag)) => json!(flag),
        (Schema::Int, Value::Int(number)) => json!(number),
        (Schema::Long, Value::Long(number)) => json!(number),
        (Schema::TimestampMillis, Value::TimestampMillis(ms)) => {
            json!(jiff::Timestamp::from_millisecond(*ms).expect("a time").to_string())
        }
        (Schema::Decimal(kind), Value::Decimal(decimal)) => json!(decimal_text(kind, decimal)),
        (schema, value) => panic!("{value:?} under {schema:?}"),
    }
}

/// Exact text to a scaled integer in big-endian two's complement, as short as it can be.
fn decimal_of(schema: &DecimalSchema, text: &str) -> Decimal {
    let scale = u32::try_from(schema.scale).expect("a small scale");
    let mut exact: rust_decimal::Decimal = text.parse().expect("a decimal");
    exact.rescale(scale);
    let bytes = exact.mantissa().to_be_bytes();
    let spare = (0..15).take_while(|&at| redundant(bytes[at], bytes[at + 1])).count();
    Decimal::from(&bytes[spare..])
}

/// A leading byte that only repeats the sign of the next one.
fn redundant(first: u8, second: u8) -> bool {
    (first == 0 && second < 0x80) || (first == 0xff && second >= 0x80)
}

fn decimal_text(schema: &DecimalSchema, decimal: &Decimal) -> String {
    let bytes = Vec::<u8>::try_from(decimal).expect("bytes of a decimal");
    let sign = if bytes.first().is_some_and(|first| *first >= 0x80) { -1 } else { 0 };
    let mantissa = bytes.iter().fold(i128::from(sign), |sum, byte| (sum << 8) | i128::from(*byte));
    let scale = u32::try_from(schema.scale).expect("a small scale");
    rust_decimal::Decimal::from_i128_with_scale(mantissa, scale).normalize().to_string()
}
