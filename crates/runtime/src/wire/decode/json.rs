//! JSON lines: usage records are read straight into their fields; commands and ticks, which are rare, through their exact texts.

use super::{Decoded, has_twins, undecodable};
use pipeline::intake::parse_time;
use pipeline::{Fault, Field, RawCommand, RawUsage, RawValue};
use rating::SuspenseReason;
use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue as JsonText;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// Decodes one line. All of it is UTF-8, also what no field takes.
pub(in crate::wire) fn decode(line: &[u8]) -> Result<Decoded<'_>, Fault> {
    let line = std::str::from_utf8(line)
        .map_err(|error| undecodable(format!("byte {}: is not UTF-8", error.valid_up_to() + 1)))?;
    if may_be_other(line.as_bytes())
        && let Some(other) = decode_other(line)?
    {
        return Ok(other);
    }
    let mut reader = serde_json::Deserializer::from_str(line);
    let usage = Usage::deserialize(&mut reader).and_then(|usage| reader.end().map(|()| usage));
    usage.map(|usage| Decoded::Usage(usage.0)).map_err(|error| fault(&error))
}

fn fault(error: &serde_json::Error) -> Fault {
    // The line is known from elsewhere; within it only the column says something.
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or(&text);
    undecodable(format!("column {}: {what}", error.column()))
}

/// Whether the line may be a command or a tick; a usage record whose values look like it is sorted out later.
fn may_be_other(line: &[u8]) -> bool {
    memchr::memmem::find(line, b"\"command_id\"").is_some() || memchr::memmem::find(line, b"\"tick\"").is_some()
}

/// A command or a tick; `None` for anything else. Null is absent, as everywhere.
fn decode_other(line: &str) -> Result<Option<Decoded<'_>>, Fault> {
    let Texts(fields) = serde_json::from_str(line).map_err(|error| fault(&error))?;
    if let Some(tick) = fields.get("tick") {
        let instant = text(tick).ok().and_then(|tick| parse_time(&tick)).filter(|at| at.is_plausible());
        let detail = "tick: is not a time with an offset between 1970 and 2200";
        let instant = instant.ok_or_else(|| Fault::new(SuspenseReason::InvalidRecord, detail))?;
        return Ok(Some(Decoded::Tick(instant)));
    }
    if !fields.contains_key("command_id") {
        return Ok(None);
    }
    let get = |name: &str| match fields.get(name) {
        Some(value) => {
            let value = text(value).map_err(|what| format!("{name}: {what}"));
            value.map(Some).map_err(|what| Fault::new(SuspenseReason::InvalidRecord, what))
        }
        None => Ok(None),
    };
    let unsupported = ["expires_at", "reverses", "session_id"].into_iter().filter(|name| fields.contains_key(*name));
    Ok(Some(Decoded::Command(RawCommand {
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
        unsupported: unsupported.collect(),
    })))
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

struct Usage<'a>(RawUsage<'a>);

impl<'de> Deserialize<'de> for Usage<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(UsageVisitor)
    }
}

struct UsageVisitor;

impl<'de> Visitor<'de> for UsageVisitor {
    type Value = Usage<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the fields of a usage record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Usage<'de>, A::Error> {
        let mut usage = RawUsage::default();
        let mut seen = 0_u64;
        while let Some(name) = map.next_key::<Name>()? {
            let bit = match name {
                Name::Field(field) => 1 << field as u64,
                Name::Attributes => 1 << 63,
                Name::Other => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if seen & bit != 0 {
                return Err(de::Error::custom("a field is given twice"));
            }
            seen |= bit;
            match name {
                Name::Field(field) => usage.set(field, map.next_value::<Scalar<'de>>()?.0),
                Name::Attributes => usage.attributes = map.next_value::<Attributes<'de>>()?.0,
                Name::Other => {}
            }
        }
        Ok(Usage(usage))
    }
}

/// The name of a field.
enum Name {
    Field(Field),
    Attributes,
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
                Ok(match Field::parse(name) {
                    Some(field) => Name::Field(field),
                    None if name == "attributes" => Name::Attributes,
                    None => Name::Other,
                })
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}

struct Attributes<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'de> Deserialize<'de> for Attributes<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AttributesVisitor;
        impl<'de> Visitor<'de> for AttributesVisitor {
            type Value = Attributes<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("attributes as an object of texts")
            }

            fn visit_unit<E: de::Error>(self) -> Result<Attributes<'de>, E> {
                Ok(Attributes(Vec::new()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Attributes<'de>, A::Error> {
                let mut attributes = Vec::new();
                while let Some((Scalar(name), Scalar(value))) = map.next_entry::<Scalar<'de>, Scalar<'de>>()? {
                    let (RawValue::Text(name), value) = (name, value) else { continue };
                    match value {
                        RawValue::Text(value) => attributes.push((name, value)),
                        RawValue::Integer(value) => attributes.push((name, value.to_string().into())),
                        RawValue::Absent => {}
                        RawValue::Other(_) => return Err(de::Error::custom("an attribute is not a text")),
                    }
                }
                if has_twins(&attributes) {
                    return Err(de::Error::custom("an attribute is given twice"));
                }
                Ok(Attributes(attributes))
            }
        }
        deserializer.deserialize_any(AttributesVisitor)
    }
}

struct Scalar<'a>(RawValue<'a>);

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
            Err(_) => RawValue::Other(value.to_string().into()),
        }))
    }

    /// A number with a fraction or an exponent, or beyond 64 bits: no field has such a value; it is only shown.
    fn visit_f64<E>(self, value: f64) -> Result<Scalar<'de>, E> {
        Ok(Scalar(RawValue::Other(value.to_string().into())))
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
