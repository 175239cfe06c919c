//! The form of values on the wire, from a writer's schema: named types are put in where they are used, within limits.

use apache_avro::Schema;
use apache_avro::schema::{InnerDecimalSchema, Name, RecordSchema, UuidSchema};
use std::collections::HashMap;

/// Deepest nesting of a writer's types. A schema may refer to its own types, so that a short one can be deep.
const MAX_DEPTH: usize = 64;

/// Most types of a writer's schema, after named ones have been put in.
const MAX_SHAPES: usize = 10_000;

/// The form of a value on the wire.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    Null,
    Boolean,
    Long,
    /// An instant in a finer unit, of which this many are a millisecond.
    Instant(i64),
    /// An integer that means something that no field takes, such as a day.
    Odd(&'static str),
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
    /// The fields that have bytes.
    Record(Vec<Shape>),
}

impl Shape {
    /// Returns true if a value takes no bytes.
    fn is_empty(&self) -> bool {
        match self {
            Shape::Null | Shape::Fixed(0) => true,
            Shape::Record(fields) => fields.is_empty(),
            Shape::Boolean
            | Shape::Long
            | Shape::Instant(_)
            | Shape::Odd(_)
            | Shape::Float
            | Shape::Double
            | Shape::Bytes
            | Shape::Text
            | Shape::Decimal(_)
            | Shape::Fixed(_)
            | Shape::Enum(_)
            | Shape::Array(_)
            | Shape::Map(_)
            | Shape::Union(_) => false,
        }
    }
}

/// The shapes of a record's fields. `wanted` has for each the reader's schema, where there is one.
///
/// # Errors
/// Why the schema cannot be read by, in words.
pub(super) fn shape(record: &RecordSchema, wanted: &[Option<&Schema>]) -> Result<Vec<Shape>, String> {
    let mut shaper = Shaper { named: HashMap::new(), left: MAX_SHAPES };
    for field in &record.fields {
        shaper.learn(&field.schema);
    }
    let fields = record.fields.iter().zip(wanted);
    fields.map(|(field, wanted)| shaper.shape(&field.schema, *wanted, 0)).collect()
}

struct Shaper<'s> {
    named: HashMap<&'s Name, &'s Schema>,
    left: usize,
}

impl<'s> Shaper<'s> {
    /// Collects the named types; a schema defines each once, before it refers to it.
    fn learn(&mut self, schema: &'s Schema) {
        if let Some(name) = schema.name()
            && !matches!(schema, Schema::Ref { .. })
        {
            self.named.insert(name, schema);
        }
        match schema {
            Schema::Array(array) => self.learn(&array.items),
            Schema::Map(map) => self.learn(&map.types),
            Schema::Union(union) => union.variants().iter().for_each(|variant| self.learn(variant)),
            Schema::Record(record) => record.fields.iter().for_each(|field| self.learn(&field.schema)),
            _ => {}
        }
    }

    fn shape(&mut self, schema: &'s Schema, wanted: Option<&Schema>, depth: usize) -> Result<Shape, String> {
        if depth > MAX_DEPTH {
            return Err(format!("schema: nests deeper than {MAX_DEPTH}, or a type contains itself"));
        }
        self.left = self.left.checked_sub(1).ok_or_else(|| format!("schema: has more than {MAX_SHAPES} types"))?;
        Ok(match schema {
            Schema::Null => Shape::Null,
            Schema::Boolean => Shape::Boolean,
            Schema::Int | Schema::Long | Schema::TimestampMillis => Shape::Long,
            Schema::TimestampMicros => Shape::Instant(1000),
            Schema::TimestampNanos => Shape::Instant(1_000_000),
            Schema::Date => Shape::Odd("a date"),
            Schema::TimeMillis | Schema::TimeMicros => Shape::Odd("a time of day"),
            Schema::LocalTimestampMillis | Schema::LocalTimestampMicros | Schema::LocalTimestampNanos => {
                Shape::Odd("a time without a zone")
            }
            Schema::Float => Shape::Float,
            Schema::Double => Shape::Double,
            Schema::Bytes => promoted(wanted),
            Schema::BigDecimal | Schema::Uuid(UuidSchema::Bytes) => Shape::Bytes,
            Schema::String | Schema::Uuid(UuidSchema::String) => Shape::Text,
            Schema::Fixed(fixed) | Schema::Duration(fixed) | Schema::Uuid(UuidSchema::Fixed(fixed)) => {
                Shape::Fixed(fixed.size)
            }
            Schema::Decimal(decimal) => match &decimal.inner {
                InnerDecimalSchema::Bytes => Shape::Decimal(u32::try_from(decimal.scale).unwrap_or(u32::MAX)),
                InnerDecimalSchema::Fixed(fixed) => Shape::Fixed(fixed.size),
            },
            Schema::Enum(symbols) => Shape::Enum(symbols.symbols.clone()),
            Schema::Array(array) => Shape::Array(Box::new(self.shape(&array.items, None, depth + 1)?)),
            Schema::Map(map) => {
                let values = variants(wanted).find_map(|wanted| match wanted {
                    Schema::Map(map) => Some(&*map.types),
                    _ => None,
                });
                Shape::Map(Box::new(self.shape(&map.types, values, depth + 1)?))
            }
            Schema::Union(union) => {
                let shapes = union.variants().iter().map(|variant| self.shape(variant, wanted, depth + 1));
                Shape::Union(shapes.collect::<Result<_, _>>()?)
            }
            Schema::Record(RecordSchema { fields, .. }) => {
                let mut shapes = Vec::new();
                for field in fields {
                    let shape = self.shape(&field.schema, None, depth + 1)?;
                    // Nothing takes a record as a value, so a field without bytes has nothing to be read for. A list of records with thousands
                    // of them would cost a thousand times its bytes.
                    if !shape.is_empty() {
                        shapes.push(shape);
                    }
                }
                Shape::Record(shapes)
            }
            Schema::Ref { name } => {
                // Every type but the record itself has been learnt.
                let named = self.named.get(name).copied();
                let named = named.ok_or_else(|| format!("schema: the type {name} contains itself"))?;
                self.shape(named, wanted, depth + 1)?
            }
        })
    }
}

/// The branches of a union; a schema that is none stands for itself.
fn variants(schema: Option<&Schema>) -> impl Iterator<Item = &Schema> {
    let branches = match schema {
        Some(Schema::Union(union)) => union.variants(),
        Some(other) => std::slice::from_ref(other),
        None => &[],
    };
    branches.iter()
}

/// What bytes are to a reader: text or an unscaled decimal, if that is what it has.
fn promoted(wanted: Option<&Schema>) -> Shape {
    let promoted = variants(wanted).find_map(|wanted| match wanted {
        Schema::String => Some(Shape::Text),
        Schema::Decimal(decimal) => Some(Shape::Decimal(u32::try_from(decimal.scale).unwrap_or(u32::MAX))),
        _ => None,
    });
    promoted.unwrap_or(Shape::Bytes)
}
