//! JSON lines: usage records are read straight into their fields; commands and ticks, which are rare, through their exact texts.

use super::hints::hint;
use super::signs::{Signs, command_field};
use super::{Decoded, has_twins, lacks_fields, undecodable};
use pipeline::times::read_time;
use pipeline::{DEFAULTS, Fault, Field, Kind, RawCommand, RawUsage, RawValue, UNSUPPORTED};
use rating::SuspenseReason;
use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue as JsonText;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// Most names that nothing reads that are looked at for a remark.
const MAX_UNREAD: usize = 100;

/// Decodes one line. All of it is UTF-8, also what no field takes.
pub(in crate::wire) fn decode(line: &[u8]) -> Result<Decoded<'_>, Fault> {
    let line = std::str::from_utf8(line)
        .map_err(|error| undecodable(format!("byte {}: is not UTF-8", error.valid_up_to() + 1)))?;
    let mut reader = serde_json::Deserializer::from_str(line);
    let object = Object::deserialize(&mut reader).and_then(|object| reader.end().map(|()| object));
    let Object { mut usage, signs, has_odd_attributes, has_numbers } = object.map_err(|error| fault(&error))?;
    match signs.kind()? {
        Kind::Usage if has_odd_attributes => Err(undecodable("attributes: is not an object")),
        Kind::Usage => {
            if has_numbers {
                written_numbers(line, &mut usage).map_err(|error| fault(&error))?;
            }
            if lacks_fields(&usage) {
                let Unread(names) = serde_json::from_str(line).map_err(|error| fault(&error))?;
                let names = names.iter().map(|name| &**name);
                usage.hint = hint("field", names, |field| *usage.get(field) == RawValue::Absent);
            }
            Ok(Decoded::Usage(usage))
        }
        Kind::Command => decode_command(line),
        Kind::Tick => decode_tick(line),
    }
}

fn fault(error: &serde_json::Error) -> Fault {
    // The line is known from elsewhere; within it only the column says something.
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or(&text);
    undecodable(format!("column {}: {what}", error.column()))
}

fn decode_tick(line: &str) -> Result<Decoded<'_>, Fault> {
    let Texts(fields) = serde_json::from_str(line).map_err(|error| fault(&error))?;
    let invalid = |what: String| Fault::new(SuspenseReason::InvalidRecord, format!("tick: {what}"));
    let tick = fields.get("tick").ok_or_else(|| invalid("is missing".to_owned()))?;
    let tick = text(tick).map_err(|what| invalid(what.to_owned()))?;
    read_time(&tick).map(Decoded::Tick).map_err(|misread| invalid(misread.what))
}

fn decode_command(line: &str) -> Result<Decoded<'_>, Fault> {
    let Texts(fields) = serde_json::from_str(line).map_err(|error| fault(&error))?;
    let get = |name: &str| match fields.get(name) {
        Some(value) => {
            let value = text(value).map_err(|what| format!("{name}: {what}"));
            value.map(Some).map_err(|what| Fault::new(SuspenseReason::InvalidRecord, what))
        }
        None => Ok(None),
    };
    let is_given = |name: &&'static str| {
        fields.get(*name).is_some_and(|value| !is_empty(value) && !DEFAULTS.contains(&(*name, value.get())))
    };
    Ok(Decoded::Command(RawCommand {
        command_id: get("command_id")?,
        kind: get("kind")?,
        account_id: get("account_id")?,
        issued_by: get("issued_by")?,
        effective_time: get("effective_time")?,
        amount: get("amount")?,
        currency: get("currency")?,
        bundle_id: get("bundle_id")?,
        endpoint_id: get("endpoint_id")?,
        note: get("note")?,
        reference: get("reference")?,
        unsupported: UNSUPPORTED.into_iter().filter(is_given).collect(),
    }))
}

/// Puts numbers with a fraction, an exponent or more than 64 bits where they belong, digit by digit: the first pass saw only that there are some.
fn written_numbers<'a>(line: &'a str, usage: &mut RawUsage<'a>) -> Result<(), serde_json::Error> {
    let Written { fields, attributes } = serde_json::from_str(line)?;
    for (field, value) in fields {
        if matches!(usage.get(field), RawValue::Number(_)) {
            usage.set(field, RawValue::Number(Cow::Borrowed(value.get())));
        }
    }
    if let Some(attributes) = attributes {
        usage.attributes.clear();
        let Pairs(pairs) = serde_json::from_str(attributes.get())?;
        for (name, value) in pairs {
            let Scalar(scalar) = serde_json::from_str(value.get())?;
            let value = match scalar {
                RawValue::Absent => continue,
                RawValue::Text(text) => text,
                RawValue::Integer(_) | RawValue::Number(_) | RawValue::Other(_) => Cow::Borrowed(value.get()),
            };
            usage.attributes.push((name.into(), value));
        }
    }
    Ok(())
}

/// Returns whether a value is a list or an object with nothing in it.
fn is_empty(value: &JsonText) -> bool {
    let mut written = value.get().bytes().filter(|byte| !byte.is_ascii_whitespace());
    matches!((written.next(), written.next()), (Some(b'['), Some(b']')) | (Some(b'{'), Some(b'}')))
}

/// A value's text: of a string its contents, of a number its digits.
fn text<'a>(value: &&'a JsonText) -> Result<Cow<'a, str>, &'static str> {
    let written = value.get();
    match written.as_bytes().first() {
        // The exact text has not been looked into yet: an escape may be half of a character.
        Some(b'"') => serde_json::from_str(written).map_err(|_| "is not text in Unicode"),
        Some(b'-' | b'0'..=b'9') => Ok(Cow::Borrowed(written)),
        Some(_) | None => Err("is neither text nor a number"),
    }
}

/// Exact texts by name, without those that are null.
struct Texts<'a>(BTreeMap<String, &'a JsonText>);

impl<'de> Deserialize<'de> for Texts<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextsVisitor;
        impl<'de> Visitor<'de> for TextsVisitor {
            type Value = Texts<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Texts<'de>, A::Error> {
                let mut fields: BTreeMap<String, &JsonText> = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, &JsonText>()? {
                    if fields.insert(name, value).is_some() {
                        return Err(de::Error::custom("a field is given twice"));
                    }
                }
                fields.retain(|_, value| value.get() != "null");
                Ok(Texts(fields))
            }
        }
        deserializer.deserialize_map(TextsVisitor)
    }
}

/// The fields of usage as written, whatever they hold.
struct Written<'a> {
    fields: Vec<(Field, &'a JsonText)>,
    attributes: Option<&'a JsonText>,
}

impl<'de> Deserialize<'de> for Written<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WrittenVisitor;
        impl<'de> Visitor<'de> for WrittenVisitor {
            type Value = Written<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Written<'de>, A::Error> {
                let mut written = Written { fields: Vec::new(), attributes: None };
                while let Some((name, value)) = map.next_entry::<Name, &JsonText>()? {
                    match name {
                        Name::Field(field) => written.fields.push((field, value)),
                        Name::Attributes => written.attributes = Some(value).filter(|value| value.get() != "null"),
                        Name::Type | Name::Tick | Name::CommandId | Name::OfCommand(_) | Name::Other => {}
                    }
                }
                Ok(written)
            }
        }
        deserializer.deserialize_map(WrittenVisitor)
    }
}

/// The names of an object that nothing reads.
struct Unread(Vec<String>);

impl<'de> Deserialize<'de> for Unread {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct UnreadVisitor;
        impl<'de> Visitor<'de> for UnreadVisitor {
            type Value = Unread;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unread, A::Error> {
                let mut names = Vec::new();
                while let Some((name, _)) = map.next_entry::<String, IgnoredAny>()? {
                    if Field::parse(&name).is_none() && names.len() < MAX_UNREAD {
                        names.push(name);
                    }
                }
                Ok(Unread(names))
            }
        }
        deserializer.deserialize_map(UnreadVisitor)
    }
}

/// Names and exact texts in the order of the object.
struct Pairs<'a>(Vec<(String, &'a JsonText)>);

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;
        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<'de>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(PairsVisitor)
    }
}

/// An object, its fields taken as those of usage until its kind is known.
struct Object<'a> {
    usage: RawUsage<'a>,
    signs: Signs,
    /// `attributes` is no object. Only usage has the field.
    has_odd_attributes: bool,
    /// Some numbers have to be read digit by digit.
    has_numbers: bool,
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the fields of a usage record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
        let (mut usage, mut signs) = (RawUsage::default(), Signs::default());
        let (mut has_odd_attributes, mut has_numbers) = (false, false);
        let mut seen = 0_u64;
        while let Some(name) = map.next_key::<Name>()? {
            let bit = match name {
                Name::Field(field) => 1 << field as u64,
                Name::Attributes => 1 << 63,
                Name::Type => 1 << 62,
                Name::Tick => 1 << 61,
                Name::CommandId => 1 << 60,
                Name::OfCommand(_) | Name::Other => 0,
            };
            if seen & bit != 0 {
                return Err(de::Error::custom("a field is given twice"));
            }
            seen |= bit;
            match name {
                Name::Field(field) => {
                    let Scalar(value) = map.next_value()?;
                    if value != RawValue::Absent {
                        signs.field(field);
                    }
                    has_numbers |= matches!(value, RawValue::Number(_));
                    usage.set(field, value);
                }
                Name::Attributes => match map.next_value()? {
                    Attributes::Texts { texts, has_others } => {
                        usage.attributes = texts;
                        has_numbers |= has_others;
                    }
                    Attributes::Odd => has_odd_attributes = true,
                },
                Name::Type => {
                    if let Scalar(RawValue::Text(text)) = map.next_value()? {
                        signs.named = Kind::parse(&text);
                    }
                }
                // Their texts are looked into once it is known to be a command or a tick.
                Name::Tick => match map.next_value::<&JsonText>()?.get() {
                    "null" | "\"\"" => {}
                    _ => signs.tick("tick"),
                },
                Name::CommandId => match map.next_value::<&JsonText>()?.get() {
                    "null" => {}
                    "\"\"" => signs.empty_command_id(),
                    _ => signs.command_id(),
                },
                Name::OfCommand(name) => match map.next_value::<&JsonText>()?.get() {
                    "null" | "\"\"" => {}
                    _ => signs.of_command(name),
                },
                Name::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Object { usage, signs, has_odd_attributes, has_numbers })
    }
}

/// The name of a field.
enum Name {
    Field(Field),
    Attributes,
    Type,
    Tick,
    CommandId,
    OfCommand(&'static str),
    Other,
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl Visitor<'_> for NameVisitor {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Name, E> {
                Ok(match (Field::parse(name), name) {
                    (Some(field), _) => Name::Field(field),
                    (None, "attributes") => Name::Attributes,
                    (None, "type") => Name::Type,
                    (None, "tick") => Name::Tick,
                    (None, "command_id") => Name::CommandId,
                    (None, _) => command_field(name).map_or(Name::Other, Name::OfCommand),
                })
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}

enum Attributes<'a> {
    /// Names and texts; with others there are values that the first pass cannot take as text.
    Texts { texts: Vec<(Cow<'a, str>, Cow<'a, str>)>, has_others: bool },
    /// Neither an object nor null.
    Odd,
}

impl<'de> Deserialize<'de> for Attributes<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AttributesVisitor;
        impl<'de> Visitor<'de> for AttributesVisitor {
            type Value = Attributes<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("attributes as an object of texts")
            }

            fn visit_unit<E: de::Error>(self) -> Result<Attributes<'de>, E> {
                Ok(Attributes::Texts { texts: Vec::new(), has_others: false })
            }

            fn visit_bool<E>(self, _: bool) -> Result<Attributes<'de>, E> {
                Ok(Attributes::Odd)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Attributes<'de>, E> {
                Ok(Attributes::Odd)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Attributes<'de>, E> {
                Ok(Attributes::Odd)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Attributes<'de>, E> {
                Ok(Attributes::Odd)
            }

            fn visit_str<E>(self, _: &str) -> Result<Attributes<'de>, E> {
                Ok(Attributes::Odd)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Attributes<'de>, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Attributes::Odd)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Attributes<'de>, A::Error> {
                let mut texts = Vec::new();
                let mut has_others = false;
                while let Some((Scalar(name), Scalar(value))) = map.next_entry::<Scalar<'de>, Scalar<'de>>()? {
                    let (RawValue::Text(name), value) = (name, value) else { continue };
                    match value {
                        RawValue::Text(value) => texts.push((name, value)),
                        RawValue::Integer(value) => texts.push((name, value.to_string().into())),
                        RawValue::Absent => {}
                        RawValue::Number(_) | RawValue::Other(_) => {
                            has_others = true;
                            texts.push((name, Cow::Borrowed("")));
                        }
                    }
                }
                if has_twins(&texts) {
                    return Err(de::Error::custom("an attribute is given twice"));
                }
                Ok(Attributes::Texts { texts, has_others })
            }
        }
        deserializer.deserialize_any(AttributesVisitor)
    }
}

struct Scalar<'a>(RawValue<'a>);

/// A number whose digits [`written_numbers`] puts in.
const UNREAD: RawValue<'static> = RawValue::Number(Cow::Borrowed(""));

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Scalar<'de>, E> {
        Ok(Scalar(if value.is_empty() { RawValue::Absent } else { RawValue::Text(Cow::Borrowed(value)) }))
    }

    fn visit_str<E>(self, value: &str) -> Result<Scalar<'de>, E> {
        Ok(Scalar(if value.is_empty() { RawValue::Absent } else { RawValue::Text(Cow::Owned(value.to_owned())) }))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Scalar<'de>, E> {
        Ok(Scalar(RawValue::Integer(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Scalar<'de>, E> {
        Ok(Scalar(match i64::try_from(value) {
            Ok(value) => RawValue::Integer(value),
            Err(_) => UNREAD,
        }))
    }

    /// A number with a fraction or an exponent, or beyond 64 bits: what serde made of it is not exact, so it is read from the line.
    fn visit_f64<E>(self, _: f64) -> Result<Scalar<'de>, E> {
        Ok(Scalar(UNREAD))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Scalar<'de>, E> {
        Ok(Scalar(RawValue::Text(if value { "true" } else { "false" }.into())))
    }

    fn visit_unit<E>(self) -> Result<Scalar<'de>, E> {
        Ok(Scalar(RawValue::Absent))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Scalar<'de>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar(RawValue::Other("a list".into())))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar(RawValue::Other("an object".into())))
    }
}
