//! Avro datums read by their schema's text alone, with nothing of the product's own readers.

use serde_json::Value;

/// Decimal places to which all decimals are brought.
const SCALE: u32 = 10;
/// Deepest nesting of types.
const DEPTH: u8 = 16;

/// A record's schema.
#[derive(Debug)]
pub(super) struct Layout {
    /// Its name without a namespace.
    pub(super) name: String,
    /// Its text.
    pub(super) text: String,
    fields: Vec<(String, Kind)>,
}

#[derive(Debug)]
enum Kind {
    Null,
    Boolean,
    Long,
    Text,
    Bytes,
    /// With its decimal places.
    Decimal(u32),
    Array(Box<Kind>),
    Map(Box<Kind>),
    Union(Vec<Kind>),
    Record(Vec<Kind>),
}

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found<'d> {
    Null,
    Boolean(bool),
    Long(i64),
    Text(&'d str),
    Bytes(&'d [u8]),
    /// In 10^-10.
    Decimal(i128),
    /// Arrays, maps and records, as they stand there.
    Nested(&'d [u8]),
}

impl<'d> Found<'d> {
    pub(super) fn text(self) -> Option<&'d str> {
        if let Found::Text(text) = self { Some(text) } else { None }
    }

    pub(super) fn long(self) -> Option<i64> {
        if let Found::Long(value) = self { Some(value) } else { None }
    }

    pub(super) fn bytes(self) -> Option<&'d [u8]> {
        if let Found::Bytes(bytes) = self { Some(bytes) } else { None }
    }

    pub(super) fn decimal(self) -> Option<i128> {
        if let Found::Decimal(value) = self { Some(value) } else { None }
    }
}

impl Layout {
    /// # Errors
    /// In words, what is wrong with the schema.
    pub(super) fn new(text: &str) -> Result<Layout, String> {
        let schema: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let name = schema["name"].as_str().unwrap_or_default();
        let name = name.rsplit('.').next().unwrap_or(name).to_owned();
        let fields = schema["fields"].as_array().ok_or("is no record")?;
        let fields = fields.iter().map(|field| {
            let name = field["name"].as_str().ok_or("a field without a name")?;
            Ok::<_, String>((name.to_owned(), kind_of(&field["type"], DEPTH)?))
        });
        Ok(Layout { name, text: text.to_owned(), fields: fields.collect::<Result<_, _>>()? })
    }

    /// Place of a field in what [`Layout::read`] finds.
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|(field, _)| field == name)
    }

    /// Names of the fields, in order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(name, _)| &**name)
    }

    /// The values of all fields, in order.
    ///
    /// # Errors
    /// In words, where the bytes are no such datum.
    pub(super) fn read<'d>(&self, datum: &'d [u8]) -> Result<Vec<Found<'d>>, String> {
        let mut rest = datum;
        let mut found = Vec::with_capacity(self.fields.len());
        for (name, kind) in &self.fields {
            let value = value(kind, &mut rest).ok_or_else(|| format!("field {name} cannot be read"))?;
            found.push(value);
        }
        if rest.is_empty() { Ok(found) } else { Err(format!("{} bytes are left", rest.len())) }
    }
}

fn kind_of(schema: &Value, depth: u8) -> Result<Kind, String> {
    let depth = depth.checked_sub(1).ok_or("is nested too deeply")?;
    let of = |schema: &Value| kind_of(schema, depth);
    let boxed = |schema: &Value| kind_of(schema, depth).map(Box::new);
    if let Some(branches) = schema.as_array() {
        return Ok(Kind::Union(branches.iter().map(of).collect::<Result<_, _>>()?));
    }
    let name = schema.as_str().or_else(|| schema["type"].as_str()).ok_or_else(|| format!("type {schema}"))?;
    Ok(match name {
        "null" => Kind::Null,
        "boolean" => Kind::Boolean,
        "int" | "long" => Kind::Long,
        "string" => Kind::Text,
        "bytes" if schema["logicalType"] == "decimal" => {
            let places = schema["scale"].as_u64().unwrap_or(0);
            Kind::Decimal(u32::try_from(places).ok().filter(|places| *places <= SCALE).ok_or("too many decimals")?)
        }
        "bytes" => Kind::Bytes,
        "array" => Kind::Array(boxed(&schema["items"])?),
        "map" => Kind::Map(boxed(&schema["values"])?),
        "record" => {
            let fields = schema["fields"].as_array().ok_or("a record without fields")?;
            Kind::Record(fields.iter().map(|field| of(&field["type"])).collect::<Result<_, _>>()?)
        }
        other => return Err(format!("type {other} is not read here")),
    })
}

fn value<'d>(kind: &Kind, rest: &mut &'d [u8]) -> Option<Found<'d>> {
    Some(match kind {
        Kind::Null => Found::Null,
        Kind::Boolean => Found::Boolean(take(rest, 1)?[0] == 1),
        Kind::Long => Found::Long(long(rest)?),
        Kind::Text => Found::Text(std::str::from_utf8(sized(rest)?).ok()?),
        Kind::Bytes => Found::Bytes(sized(rest)?),
        Kind::Decimal(places) => Found::Decimal(decimal(sized(rest)?, *places)?),
        Kind::Union(branches) => {
            let branch = usize::try_from(long(rest)?).ok()?;
            value(branches.get(branch)?, rest)?
        }
        Kind::Array(_) | Kind::Map(_) | Kind::Record(_) => {
            let before = *rest;
            skip(kind, rest)?;
            Found::Nested(&before[..before.len() - rest.len()])
        }
    })
}

fn skip(kind: &Kind, rest: &mut &[u8]) -> Option<()> {
    let (item, is_map) = match kind {
        Kind::Record(kinds) => return kinds.iter().try_for_each(|kind| value(kind, rest).map(|_| ())),
        Kind::Array(item) => (item, false),
        Kind::Map(item) => (item, true),
        _ => return value(kind, rest).map(|_| ()),
    };
    loop {
        let count = long(rest)?;
        if count == 0 {
            return Some(());
        }
        if count < 0 {
            // A block that says its size.
            long(rest)?;
        }
        for _ in 0..count.unsigned_abs() {
            if is_map {
                sized(rest)?;
            }
            value(item, rest)?;
        }
    }
}

fn decimal(bytes: &[u8], places: u32) -> Option<i128> {
    if bytes.len() > 14 {
        return None;
    }
    let sign = if bytes.first().is_some_and(|first| first >> 7 == 1) { -1 } else { 0 };
    let unscaled = bytes.iter().fold(sign, |value: i128, byte| value << 8 | i128::from(*byte));
    unscaled.checked_mul(10_i128.pow(SCALE - places))
}

fn sized<'d>(rest: &mut &'d [u8]) -> Option<&'d [u8]> {
    let length = usize::try_from(long(rest)?).ok()?;
    take(rest, length)
}

fn take<'d>(rest: &mut &'d [u8], length: usize) -> Option<&'d [u8]> {
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}

fn long(rest: &mut &[u8]) -> Option<i64> {
    let value = varint(rest)?;
    Some((value >> 1).cast_signed() ^ -((value & 1).cast_signed()))
}

/// Seven bits a byte, the lowest first.
pub(super) fn varint(rest: &mut &[u8]) -> Option<u64> {
    let (mut value, mut shift) = (0_u64, 0_u32);
    loop {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
        shift += 7;
    }
}

/// Money as people read it.
pub(super) fn money(unscaled: i128) -> String {
    let (whole, fraction) =
        (unscaled.unsigned_abs() / 10_u128.pow(SCALE), unscaled.unsigned_abs() % 10_u128.pow(SCALE));
    let text = format!("{}{whole}.{fraction:010}", if unscaled < 0 { "-" } else { "" });
    let short = text.trim_end_matches('0');
    short.strip_suffix('.').unwrap_or(short).to_owned()
}
