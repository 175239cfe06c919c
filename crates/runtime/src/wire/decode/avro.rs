//! Avro records: a plan made once from the writer's schema says for each field what becomes of it, so that a record is read in one pass
//! and its texts are borrowed. The Avro library parses schemas; what it decodes is the reference in the tests.

use super::avro_shape::{Shape, shape};
use super::hints::hint;
use super::signs::{Signs, command_field};
use super::{Decoded, has_twins, undecodable};
use apache_avro::Schema;
use apache_avro::schema::RecordSchema;
use pipeline::times::read_millis;
use pipeline::{DEFAULTS, Fault, Field, Kind, RawCommand, RawUsage, RawValue, UNSUPPORTED};
use rating::{Amount, SuspenseReason};
use std::borrow::Cow;
use std::sync::Arc;

/// How records of one writer's schema are read.
#[derive(Clone, Debug)]
pub(in crate::wire) struct Plan {
    /// The writer's schema, to make the plan again; empty where a registry has it.
    schema: String,
    /// The kind of its records; a fault where the schema could be of two.
    kind: Result<Kind, Fault>,
    fields: Vec<PlannedField>,
    /// What to say where a field is missing.
    hint: Option<Arc<str>>,
}

#[derive(Clone, Debug)]
struct PlannedField {
    name: String,
    usage: Option<Field>,
    shape: Shape,
}

/// A value as read.
enum Read<'a> {
    Null,
    Long(i64),
    Text(Cow<'a, str>),
    /// A number with a fraction, or a float: exact, as text.
    Number(String),
    /// A value that no field takes.
    Other(&'static str),
    /// A list without items: it says nothing, but no field takes it either.
    EmptyList,
    /// Names and texts; empty ones are absent.
    Map(Vec<(Cow<'a, str>, Cow<'a, str>)>),
}

impl Read<'_> {
    /// Returns whether somebody gave it, rather than left it at its default.
    fn says_something(&self) -> bool {
        match self {
            Read::Null | Read::EmptyList => false,
            Read::Map(entries) => !entries.is_empty(),
            Read::Long(_) | Read::Text(_) | Read::Number(_) | Read::Other(_) => true,
        }
    }
}

impl Plan {
    /// Makes a plan for a writer's schema; its fields are known by their names.
    ///
    /// # Errors
    /// Why the schema cannot be read by, in words.
    pub(super) fn new(schema: &str) -> Result<Plan, String> {
        let parsed = Schema::parse_str(schema).map_err(|error| format!("schema: {error}"))?;
        let record = record_of(&parsed)?;
        let names: Vec<&str> = record.fields.iter().map(|field| field.name.as_str()).collect();
        Plan::of(schema, record, &names, &vec![None; names.len()])
    }

    /// Makes a plan for a writer's schema that a reader's schema can read: a field is known by the name that the reader has for it, and
    /// has the type that it is promoted to.
    ///
    /// # Errors
    /// Why the schema cannot be read by, in words.
    #[cfg(feature = "registry")]
    pub(in crate::wire) fn resolved(writer: &Schema, reader: &Schema) -> Result<Plan, String> {
        let (record, reader) = (record_of(writer)?, record_of(reader)?);
        let mut names: Vec<&str> = record.fields.iter().map(|field| field.name.as_str()).collect();
        let mut wanted = vec![None; names.len()];
        for field in &reader.fields {
            // The order of the Avro specification: the name, then the reader's aliases.
            let known_as = std::iter::once(&field.name).chain(&field.aliases);
            let found = known_as.filter_map(|name| record.fields.iter().position(|field| &field.name == name)).next();
            if let Some(at) = found {
                names[at] = &field.name;
                wanted[at] = Some(&field.schema);
            }
        }
        Plan::of("", record, &names, &wanted)
    }

    fn of(schema: &str, record: &RecordSchema, names: &[&str], wanted: &[Option<&Schema>]) -> Result<Plan, String> {
        let kind = kind_of(record, names);
        let mut fields = Vec::with_capacity(names.len());
        let shapes = shape(record, wanted)?;
        for (name, shape) in names.iter().zip(shapes) {
            fields.push(PlannedField { name: (*name).to_owned(), usage: Field::parse(name), shape });
        }
        let unread = names.iter().copied().filter(|name| Field::parse(name).is_none());
        let hint = hint("field", unread, |field| !names.contains(&field.name()));
        Ok(Plan { schema: schema.to_owned(), kind, fields, hint })
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

    /// Decodes a record, which is all of the bytes.
    pub(in crate::wire) fn decode<'a>(&'a self, record: &'a [u8]) -> Result<Decoded<'a>, Fault> {
        let mut rest = record;
        let decoded = self.decode_front(record, &mut rest)?;
        match rest.len() {
            0 => Ok(decoded),
            left => Err(undecodable(format!("byte {}: {left} bytes follow the last field", record.len() - left))),
        }
    }

    fn decode_front<'a>(&'a self, record: &'a [u8], rest: &mut &'a [u8]) -> Result<Decoded<'a>, Fault> {
        let mut values = |field: &'a PlannedField| {
            let at = record.len() - rest.len();
            read(&field.shape, rest).ok_or_else(|| undecodable(format!("byte {at}: field \"{}\"", field.name)))
        };
        match self.kind.clone()? {
            Kind::Usage => {
                let mut usage = RawUsage::default();
                usage.hint.clone_from(&self.hint);
                for field in &self.fields {
                    let value = values(field)?;
                    match (field.usage, value) {
                        (Some(known), value) => usage.set(known, raw(value)),
                        (None, Read::Map(attributes)) if field.name == "attributes" => usage.attributes = attributes,
                        (None, Read::Other(what)) if field.name == "attributes" => {
                            return Err(invalid(format!("attributes: is {what}")));
                        }
                        (None, Read::EmptyList) if field.name == "attributes" => {
                            return Err(invalid("attributes: is a list"));
                        }
                        (None, _) => {}
                    }
                }
                Ok(Decoded::Usage(usage))
            }
            Kind::Command => {
                let mut command = RawCommand::default();
                for field in &self.fields {
                    let value = values(field)?;
                    set_command(&mut command, &field.name, value)
                        .map_err(|what| invalid(format!("{}: is {what}", field.name)))?;
                }
                Ok(Decoded::Command(command))
            }
            Kind::Tick => {
                let mut instant = None;
                for field in &self.fields {
                    let value = values(field)?;
                    if let Read::Long(millis) = value
                        && field.name == "time"
                    {
                        let read = read_millis(millis).map_err(|misread| invalid(format!("time: {}", misread.what)));
                        instant = Some(read?);
                    }
                }
                instant.map(Decoded::Tick).ok_or_else(|| invalid("time: is not a time between 1970 and 2200"))
            }
        }
    }
}

/// The kind of records of a schema: its own name says it where it is one of ours, else the names of its fields.
fn kind_of(record: &RecordSchema, names: &[&str]) -> Result<Kind, Fault> {
    let mut signs = Signs::default();
    signs.named = match record.name.name() {
        "UsageRecord" => Some(Kind::Usage),
        "AccountCommand" => Some(Kind::Command),
        "Tick" => Some(Kind::Tick),
        _ => None,
    };
    for name in names {
        match (*name, Field::parse(name), command_field(name)) {
            ("tick_id", _, _) => signs.tick("tick_id"),
            ("command_id", _, _) => signs.command_id(),
            (_, Some(field), _) => signs.field(field),
            (_, None, Some(name)) => signs.of_command(name),
            (_, None, None) => {}
        }
    }
    signs.kind()
}

fn record_of(schema: &Schema) -> Result<&RecordSchema, String> {
    match schema {
        Schema::Record(record) => Ok(record),
        _ => Err("schema: is not of a record".to_owned()),
    }
}

/// It could be decoded, a field is wrong.
fn invalid(detail: impl Into<String>) -> Fault {
    Fault::new(SuspenseReason::InvalidRecord, detail)
}

fn raw(value: Read<'_>) -> RawValue<'_> {
    match value {
        Read::Null => RawValue::Absent,
        Read::Long(value) => RawValue::Integer(value),
        Read::Text(value) if value.is_empty() => RawValue::Absent,
        Read::Text(value) => RawValue::Text(value),
        Read::Number(number) => RawValue::Number(number.into()),
        Read::Other(what) => RawValue::Other(what.into()),
        Read::Map(_) => RawValue::Other("a map".into()),
        Read::EmptyList => RawValue::Other("a list".into()),
    }
}

/// Returns a value's text, if it has one.
///
/// # Errors
/// What it is instead.
fn text(value: Read<'_>) -> Result<Option<Cow<'_, str>>, &'static str> {
    match value {
        Read::Null => Ok(None),
        Read::Long(value) => Ok(Some(value.to_string().into())),
        Read::Text(value) => Ok(Some(value)),
        // An amount that came through a float is not exact.
        Read::Number(_) => Err("a fraction"),
        Read::Other(what) => Err(what),
        Read::Map(_) => Err("a map"),
        Read::EmptyList => Err("a list"),
    }
}

fn set_command<'a>(command: &mut RawCommand<'a>, name: &str, value: Read<'a>) -> Result<(), &'static str> {
    if let Some(unsupported) = UNSUPPORTED.into_iter().find(|unsupported| *unsupported == name) {
        let is_default = matches!(&value, Read::Text(text) if DEFAULTS.contains(&(name, &**text)));
        if value.says_something() && !is_default {
            command.unsupported.push(unsupported);
        }
        return Ok(());
    }
    let field = match name {
        "command_id" => &mut command.command_id,
        "kind" => &mut command.kind,
        "account_id" => &mut command.account_id,
        "issued_by" => &mut command.issued_by,
        "effective_time" => &mut command.effective_time,
        "amount" => &mut command.amount,
        "currency" => &mut command.currency,
        "bundle_id" => &mut command.bundle_id,
        "endpoint_id" => &mut command.endpoint_id,
        "note" => &mut command.note,
        "reference" => &mut command.reference,
        _ => return Ok(()),
    };
    *field = text(value)?;
    Ok(())
}

/// Reads a value from the front; `None` if the bytes are not such a value.
fn read<'a>(shape: &'a Shape, rest: &mut &'a [u8]) -> Option<Read<'a>> {
    Some(match shape {
        Shape::Null => Read::Null,
        Shape::Boolean => match take(rest, 1)? {
            [0] => Read::Text("false".into()),
            [1] => Read::Text("true".into()),
            _ => return None,
        },
        Shape::Long => Read::Long(long(rest)?),
        // What is finer than a millisecond is cut off.
        Shape::Instant(per_milli) => Read::Long(long(rest)?.div_euclid(*per_milli)),
        Shape::Odd(what) => long(rest).map(|_| Read::Other(what))?,
        Shape::Float => {
            let bits = take(rest, 4)?.try_into().ok()?;
            float(f64::from(f32::from_le_bytes(bits)), 1 << 24)
        }
        Shape::Double => float(f64::from_le_bytes(take(rest, 8)?.try_into().ok()?), 1 << 53),
        Shape::Bytes => bytes(rest).map(|_| Read::Other("bytes"))?,
        Shape::Fixed(size) => take(rest, *size).map(|_| Read::Other("bytes"))?,
        Shape::Text => Read::Text(std::str::from_utf8(bytes(rest)?).ok()?.into()),
        Shape::Decimal(scale) => {
            decimal(bytes(rest)?, *scale).map_or(Read::Other("an amount out of range"), Read::Text)
        }
        // Borrowed: a few bytes of a record may name a symbol of a megabyte, as often as there are entries in a map.
        Shape::Enum(symbols) => Read::Text(symbols.get(usize::try_from(long(rest)?).ok()?)?.as_str().into()),
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
            let mut is_empty = true;
            items_of(rest, |rest| {
                is_empty = false;
                read(items, rest).map(|_| ())
            })?;
            if is_empty { Read::EmptyList } else { Read::Other("a list") }
        }
        Shape::Map(values) => {
            let mut entries = Vec::new();
            let mut odd = None;
            items_of(rest, |rest| {
                let name = std::str::from_utf8(bytes(rest)?).ok()?;
                let value = match read(values, rest)? {
                    Read::Number(number) => Ok(Some(number.into())),
                    other => text(other),
                };
                match value {
                    Ok(Some(value)) if !value.is_empty() => entries.push((name.into(), value)),
                    Ok(_) => {}
                    Err(_) => odd = Some(Read::Other("a map of something else than texts")),
                }
                Some(())
            })?;
            if has_twins(&entries) {
                odd = Some(Read::Other("a map in which a name stands twice"));
            }
            odd.unwrap_or(Read::Map(entries))
        }
    })
}

/// A float in digits, which is only exact for whole numbers up to a limit; other whole ones are doubted.
fn float<'a>(value: f64, exact_up_to: i64) -> Read<'a> {
    let written = value.to_string();
    match written.parse::<i64>() {
        Ok(whole) if whole.unsigned_abs() > exact_up_to.unsigned_abs() => Read::Other("a float too large to be exact"),
        Ok(_) | Err(_) => Read::Number(written),
    }
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
