//! Avro records: a plan made once from the writer's schema says for each field what becomes of it, so that a record is read in one pass
//! and its texts are borrowed. The Avro library parses schemas; what it decodes is the reference in the tests.

use super::{Decoded, undecodable};
use apache_avro::Schema;
use apache_avro::schema::{InnerDecimalSchema, RecordSchema, UuidSchema};
use pipeline::{Fault, Field, RawCommand, RawUsage, RawValue};
use rating::{Amount, Timestamp};
use std::borrow::Cow;

/// How records of one writer's schema are read.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    schema: String,
    kind: Kind,
    fields: Vec<PlannedField>,
}

/// What the records are, by their fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Usage,
    Command,
    Tick,
}

#[derive(Clone, Debug)]
struct PlannedField {
    name: String,
    usage: Option<Field>,
    shape: Shape,
}

/// The form of a value on the wire.
#[derive(Clone, Debug)]
enum Shape {
    Null,
    Boolean,
    Long,
    /// Microseconds since 1970, read as milliseconds.
    Micros,
    Float,
    Double,
    Bytes,
    Text,
    /// Unscaled integer with this many decimal places.
    Decimal(u32),
    Fixed(usize),
    Enum(Vec<String>),
    Array(Box<Shape>),
    Map(Box<Shape>),
    Union(Vec<Shape>),
    Record(Vec<Shape>),
}

/// A value as read.
enum Read<'a> {
    Null,
    Long(i64),
    Text(Cow<'a, str>),
    /// A value that no field takes.
    Other(&'static str),
    Map(Vec<(Cow<'a, str>, Cow<'a, str>)>),
}

impl Plan {
    /// Makes a plan for a writer's schema.
    ///
    /// # Errors
    /// Why the schema cannot be read by, in words.
    pub(super) fn new(schema: &str) -> Result<Plan, String> {
        let parsed = Schema::parse_str(schema).map_err(|error| format!("schema: {error}"))?;
        let Schema::Record(record) = &parsed else { return Err("schema: is not of a record".to_owned()) };
        let names: Vec<&str> = record.fields.iter().map(|field| field.name.as_str()).collect();
        let kind = if names.contains(&"command_id") {
            Kind::Command
        } else if names.contains(&"tick_id") {
            Kind::Tick
        } else {
            Kind::Usage
        };
        let planned = |field: &apache_avro::schema::RecordField| {
            Ok(PlannedField {
                name: field.name.clone(),
                usage: Field::parse(&field.name),
                shape: shape(&field.schema)?,
            })
        };
        let fields = record.fields.iter().map(planned).collect::<Result<_, String>>()?;
        Ok(Plan { schema: schema.to_owned(), kind, fields })
    }

    pub(super) fn schema(&self) -> &str {
        &self.schema
    }

    /// Length of the record at the front.
    pub(super) fn record_length(&self, block: &[u8]) -> Option<usize> {
        let mut rest = block;
        for field in &self.fields {
            read(&field.shape, &mut rest)?;
        }
        Some(block.len() - rest.len())
    }

    /// Decodes a record.
    pub(super) fn decode<'a>(&self, record: &'a [u8]) -> Result<Decoded<'a>, Fault> {
        let mut rest = record;
        let mut values = |field: &PlannedField| {
            let at = record.len() - rest.len();
            read(&field.shape, &mut rest).ok_or_else(|| undecodable(format!("byte {at}: field \"{}\"", field.name)))
        };
        match self.kind {
            Kind::Usage => {
                let mut usage = RawUsage::default();
                for field in &self.fields {
                    let value = values(field)?;
                    match (field.usage, value) {
                        (Some(known), value) => usage.set(known, raw(value)),
                        (None, Read::Map(attributes)) if field.name == "attributes" => usage.attributes = attributes,
                        (None, _) => {}
                    }
                }
                Ok(Decoded::Usage(usage))
            }
            Kind::Command => {
                let mut command = RawCommand::default();
                for field in &self.fields {
                    set_command(&mut command, &field.name, text(values(field)?));
                }
                Ok(Decoded::Command(command))
            }
            Kind::Tick => {
                let mut instant = None;
                for field in &self.fields {
                    if let Read::Long(millis) = values(field)?
                        && field.name == "time"
                    {
                        instant = Some(Timestamp::from_millis(millis)).filter(|at| at.is_plausible());
                    }
                }
                instant.map(Decoded::Tick).ok_or_else(|| undecodable("time: is not a time between 1970 and 2200"))
            }
        }
    }
}

fn shape(schema: &Schema) -> Result<Shape, String> {
    Ok(match schema {
        Schema::Null => Shape::Null,
        Schema::Boolean => Shape::Boolean,
        Schema::Int
        | Schema::Long
        | Schema::Date
        | Schema::TimeMillis
        | Schema::TimeMicros
        | Schema::TimestampMillis
        | Schema::LocalTimestampMillis => Shape::Long,
        Schema::TimestampMicros => Shape::Micros,
        Schema::Float => Shape::Float,
        Schema::Double => Shape::Double,
        Schema::Bytes | Schema::BigDecimal | Schema::Uuid(UuidSchema::Bytes) => Shape::Bytes,
        Schema::String | Schema::Uuid(UuidSchema::String) => Shape::Text,
        Schema::Fixed(fixed) | Schema::Duration(fixed) | Schema::Uuid(UuidSchema::Fixed(fixed)) => {
            Shape::Fixed(fixed.size)
        }
        Schema::Decimal(decimal) => match &decimal.inner {
            InnerDecimalSchema::Bytes => Shape::Decimal(u32::try_from(decimal.scale).unwrap_or(u32::MAX)),
            InnerDecimalSchema::Fixed(fixed) => Shape::Fixed(fixed.size),
        },
        Schema::Enum(symbols) => Shape::Enum(symbols.symbols.clone()),
        Schema::Array(array) => Shape::Array(Box::new(shape(&array.items)?)),
        Schema::Map(map) => Shape::Map(Box::new(shape(&map.types)?)),
        Schema::Union(union) => Shape::Union(union.variants().iter().map(shape).collect::<Result<_, _>>()?),
        Schema::Record(RecordSchema { fields, .. }) => {
            Shape::Record(fields.iter().map(|field| shape(&field.schema)).collect::<Result<_, _>>()?)
        }
        Schema::TimestampNanos | Schema::LocalTimestampMicros | Schema::LocalTimestampNanos => {
            return Err("schema: times in microseconds without a zone, or in nanoseconds, are not supported".to_owned());
        }
        Schema::Ref { name } => return Err(format!("schema: the type {name} is used twice, which is not supported")),
    })
}

fn raw(value: Read<'_>) -> RawValue<'_> {
    match value {
        Read::Null => RawValue::Absent,
        Read::Long(value) => RawValue::Integer(value),
        Read::Text(value) if value.is_empty() => RawValue::Absent,
        Read::Text(value) => RawValue::Text(value),
        Read::Other(what) => RawValue::Other(what.into()),
        Read::Map(_) => RawValue::Other("a map".into()),
    }
}

fn text(value: Read<'_>) -> Option<Cow<'_, str>> {
    match value {
        Read::Null | Read::Map(_) => None,
        Read::Long(value) => Some(value.to_string().into()),
        Read::Text(value) => Some(value),
        Read::Other(what) => Some(what.into()),
    }
}

fn set_command<'a>(command: &mut RawCommand<'a>, name: &str, value: Option<Cow<'a, str>>) {
    match name {
        "command_id" => command.command_id = value,
        "kind" => command.kind = value,
        "account_id" => command.account_id = value,
        "issued_by" => command.issued_by = value,
        "effective_time" => command.effective_time = value,
        "amount" => command.amount = value,
        "currency" => command.currency = value,
        "bundle_id" => command.bundle_id = value,
        "endpoint_id" => command.endpoint_id = value,
        "note" => command.note = value,
        "expires_at" if value.is_some() => command.unsupported.push("expires_at"),
        "reverses" if value.is_some() => command.unsupported.push("reverses"),
        "session_id" if value.is_some() => command.unsupported.push("session_id"),
        _ => {}
    }
}

/// Reads a value from the front; `None` if the bytes are not such a value.
fn read<'a>(shape: &Shape, rest: &mut &'a [u8]) -> Option<Read<'a>> {
    Some(match shape {
        Shape::Null => Read::Null,
        Shape::Boolean => match take(rest, 1)? {
            [0] => Read::Text("false".into()),
            [1] => Read::Text("true".into()),
            _ => return None,
        },
        Shape::Long => Read::Long(long(rest)?),
        Shape::Micros => match long(rest)? {
            micros if micros % 1000 == 0 => Read::Long(micros / 1000),
            _ => Read::Other("a time with microseconds"),
        },
        Shape::Float => take(rest, 4).map(|_| Read::Other("a fraction"))?,
        Shape::Double => take(rest, 8).map(|_| Read::Other("a fraction"))?,
        Shape::Bytes => bytes(rest).map(|_| Read::Other("bytes"))?,
        Shape::Fixed(size) => take(rest, *size).map(|_| Read::Other("bytes"))?,
        Shape::Text => Read::Text(std::str::from_utf8(bytes(rest)?).ok()?.into()),
        Shape::Decimal(scale) => {
            decimal(bytes(rest)?, *scale).map_or(Read::Other("an amount out of range"), Read::Text)
        }
        Shape::Enum(symbols) => Read::Text(symbols.get(usize::try_from(long(rest)?).ok()?)?.clone().into()),
        Shape::Union(branches) => {
            let branch = usize::try_from(long(rest)?).ok()?;
            return read(branches.get(branch)?, rest);
        }
        Shape::Record(fields) => {
            for field in fields {
                read(field, rest)?;
            }
            Read::Other("a record")
        }
        Shape::Array(items) => {
            items_of(rest, |rest| read(items, rest).map(|_| ()))?;
            Read::Other("a list")
        }
        Shape::Map(values) => {
            let mut entries = Vec::new();
            items_of(rest, |rest| {
                let name = std::str::from_utf8(bytes(rest)?).ok()?;
                if let Some(value) = text(read(values, rest)?) {
                    entries.push((name.into(), value));
                }
                Some(())
            })?;
            Read::Map(entries)
        }
    })
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(count)?;
    *rest = after;
    Some(taken)
}

/// Zigzag and base 128, at most 64 bits.
pub(super) fn long(rest: &mut &[u8]) -> Option<i64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        if shift == 63 && *byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((value >> 1).cast_signed() ^ -((value & 1).cast_signed()));
        }
    }
    None
}

pub(super) fn bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(long(rest)?).ok()?;
    take(rest, length)
}

/// The blocks of an array or a map.
pub(super) fn items_of<'a>(rest: &mut &'a [u8], mut item: impl FnMut(&mut &'a [u8]) -> Option<()>) -> Option<()> {
    loop {
        let mut count = long(rest)?;
        if count == 0 {
            return Some(());
        }
        if count < 0 {
            count = count.checked_neg()?;
            long(rest)?;
        }
        for _ in 0..count {
            let before = rest.len();
            item(rest)?;
            // Items without bytes could be counted in billions by a few bytes.
            if rest.len() == before {
                return None;
            }
        }
    }
}

fn decimal<'a>(bytes: &[u8], scale: u32) -> Option<Cow<'a, str>> {
    if bytes.len() > 16 {
        return None;
    }
    let negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    let start = if negative { -1_i128 } else { 0 };
    let unscaled = bytes.iter().fold(start, |value, byte| (value << 8) | i128::from(*byte));
    let value = rust_decimal::Decimal::try_from_i128_with_scale(unscaled, scale).ok()?;
    // Beyond an amount's range the exact text still says what is wrong.
    Some(Amount::from_decimal(value).map_or(value, Amount::to_decimal).to_string().into())
}
