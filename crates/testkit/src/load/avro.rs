//! Generated lines as Avro datums with a frame, by the schemas of the contracts: an encoder that knows nothing but their text.
//!
//! A line that does not fit its schema (a broken one, a number too large) has no datum; it is sent as it is.

use super::{Load, LoadError};
use crate::generator::stream::LineKind;
use runtime::registry::{Registry, RegistryConfig};
use runtime::wire::{Fingerprint, Frame};
use serde_json::{Map, Value};

const USAGE: &str = include_str!("../../../../schemas/usage-record.avsc");
const COMMAND: &str = include_str!("../../../../schemas/account-command.avsc");
const TICK: &str = include_str!("../../../../schemas/tick.avsc");
/// Source of records that name none: Avro wants one.
const DEFAULT_SOURCE: &str = "kafka";
/// Decimal places of money in the contracts.
const SCALE: usize = 10;

/// In which form messages are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// JSON objects.
    Json,
    /// Avro in single-object encoding: the schema's fingerprint stands before the datum.
    SingleObject,
    /// Avro in Confluent's framing, with schemas registered here for the topics.
    Confluent {
        /// Such as `http://localhost:8081`.
        registry: String,
    },
}

/// Writes lines in a form.
pub(super) enum Encoder {
    Json,
    Avro(Box<Contracts>),
}

pub(super) struct Contracts {
    usage: Contract,
    command: Contract,
    tick: Contract,
}

/// A schema, and what stands before each datum of it.
struct Contract {
    frame: Vec<u8>,
    fields: Vec<Field>,
}

struct Field {
    name: String,
    kind: Kind,
    /// Whether the type is a union of null and the kind.
    is_optional: bool,
}

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Int,
    Long,
    Boolean,
    Time,
    Decimal,
    Texts,
    /// A list that nothing here fills.
    NoItems,
}

impl Encoder {
    pub(super) fn new(form: &Form, load: &Load) -> Result<Encoder, LoadError> {
        let commands = load.commands.as_ref().unwrap_or(&load.usage);
        let frame = |schema: &str, topic: &str| match form {
            Form::Json => Ok(Vec::new()),
            Form::SingleObject => single_object_frame(schema),
            Form::Confluent { registry } => confluent_frame(registry, schema, topic),
        };
        if *form == Form::Json {
            return Ok(Encoder::Json);
        }
        // One subject per kind: topics carry several, and a subject has one record.
        let tick = format!("{}-tick", load.usage);
        Ok(Encoder::Avro(Box::new(Contracts {
            usage: Contract { frame: frame(USAGE, &load.usage)?, fields: fields_of(USAGE)? },
            command: Contract {
                frame: frame(
                    COMMAND,
                    &if *commands == load.usage { format!("{commands}-command") } else { commands.clone() },
                )?,
                fields: fields_of(COMMAND)?,
            },
            tick: Contract { frame: frame(TICK, &tick)?, fields: fields_of(TICK)? },
        })))
    }

    pub(super) fn is_avro(&self) -> bool {
        matches!(self, Encoder::Avro(_))
    }

    /// The message; none where the line is to be sent as it is.
    pub(super) fn encode(&self, kind: LineKind, line: &[u8]) -> Option<Vec<u8>> {
        let Encoder::Avro(contracts) = self else { return None };
        let mut object: Map<String, Value> = serde_json::from_slice(line).ok()?;
        let contract = match kind {
            LineKind::Usage { .. } => {
                let unit = unit_of(object.get("service")?.as_str()?);
                object.entry("source").or_insert_with(|| DEFAULT_SOURCE.into());
                object.entry("unit").or_insert_with(|| unit.into());
                &contracts.usage
            }
            LineKind::Command => &contracts.command,
            LineKind::Tick => {
                let time = object.remove("tick")?;
                object.insert("tick_id".to_owned(), format!("tick-{}", time.as_str()?).into());
                object.insert("source".to_owned(), "rater-load".into());
                object.insert("time".to_owned(), time);
                &contracts.tick
            }
        };
        contract.encode(object)
    }
}

impl Contract {
    fn encode(&self, mut object: Map<String, Value>) -> Option<Vec<u8>> {
        let mut out = self.frame.clone();
        for field in &self.fields {
            match object.remove(&field.name) {
                None | Some(Value::Null) if field.is_optional => long(0, &mut out),
                None if matches!(field.kind, Kind::Texts | Kind::NoItems) => long(0, &mut out),
                None => return None,
                Some(value) => {
                    if field.is_optional {
                        long(1, &mut out);
                    }
                    write(field.kind, &value, &mut out)?;
                }
            }
        }
        // A name that the schema does not have.
        object.is_empty().then_some(out)
    }
}

fn write(kind: Kind, value: &Value, out: &mut Vec<u8>) -> Option<()> {
    match kind {
        Kind::Text => text(value.as_str()?, out),
        Kind::Int => long(i64::from(i32::try_from(value.as_i64()?).ok()?), out),
        Kind::Long => long(value.as_i64()?, out),
        Kind::Boolean => out.push(u8::from(value.as_bool()?)),
        Kind::Time => match value {
            Value::String(time) => {
                let time: jiff::Timestamp = time.parse().ok()?;
                if time.as_nanosecond() % 1_000_000 != 0 {
                    return None;
                }
                long(time.as_millisecond(), out);
            }
            other => long(other.as_i64()?, out),
        },
        Kind::Decimal => {
            let bytes = unscaled(value.as_str()?)?.to_be_bytes();
            // As few bytes as tell the sign.
            let sign = bytes[0] >> 7;
            let fill = if sign == 1 { 0xff } else { 0 };
            let spare = bytes.windows(2).take_while(|pair| pair[0] == fill && pair[1] >> 7 == sign).count();
            long(i64::try_from(bytes.len() - spare).ok()?, out);
            out.extend_from_slice(&bytes[spare..]);
        }
        Kind::Texts => {
            let texts = value.as_object()?;
            if !texts.is_empty() {
                long(i64::try_from(texts.len()).ok()?, out);
                for (name, value) in texts {
                    text(name, out);
                    text(value.as_str()?, out);
                }
            }
            long(0, out);
        }
        Kind::NoItems => match value.as_array()?.is_empty() {
            true => long(0, out),
            false => return None,
        },
    }
    Some(())
}

/// A decimal text as a number of 10^-10.
fn unscaled(text: &str) -> Option<i128> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 18 || fraction.len() > SCALE || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let value: i128 = format!("{whole}{fraction:0<SCALE$}").parse().ok()?;
    Some(sign * value)
}

fn unit_of(service: &str) -> &'static str {
    match service {
        "data" => "octets",
        "voice" => "seconds",
        "sms" => "messages",
        _ => "units",
    }
}

fn text(value: &str, out: &mut Vec<u8>) {
    long(value.len().try_into().unwrap_or(i64::MAX), out);
    out.extend_from_slice(value.as_bytes());
}

/// Zigzag, then seven bits a byte.
fn long(value: i64, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn fields_of(schema: &str) -> Result<Vec<Field>, LoadError> {
    let refused = |what: &str| LoadError::Refused(format!("a schema of the contracts: {what}"));
    let schema: Value = serde_json::from_str(schema).map_err(|error| refused(&error.to_string()))?;
    let fields = schema["fields"].as_array().ok_or_else(|| refused("no fields"))?;
    let field = |field: &Value| {
        let (kind, is_optional) = match field["type"].as_array() {
            Some(union) => (union.iter().find(|kind| *kind != "null")?, true),
            None => (&field["type"], false),
        };
        Some(Field { name: field["name"].as_str()?.to_owned(), kind: kind_of(kind)?, is_optional })
    };
    fields.iter().map(|each| field(each).ok_or_else(|| refused(&format!("field {each}")))).collect()
}

fn kind_of(kind: &Value) -> Option<Kind> {
    let name = kind.as_str().or_else(|| kind["logicalType"].as_str()).or_else(|| kind["type"].as_str())?;
    Some(match name {
        "string" => Kind::Text,
        "int" => Kind::Int,
        "long" => Kind::Long,
        "boolean" => Kind::Boolean,
        "timestamp-millis" => Kind::Time,
        "decimal" => Kind::Decimal,
        "map" => Kind::Texts,
        "array" => Kind::NoItems,
        _ => return None,
    })
}

fn single_object_frame(schema: &str) -> Result<Vec<u8>, LoadError> {
    let fingerprint = Fingerprint::of(schema).map_err(LoadError::Refused)?;
    Ok(Frame::single_object(fingerprint).as_bytes().to_vec())
}

fn confluent_frame(registry: &str, schema: &str, topic: &str) -> Result<Vec<u8>, LoadError> {
    let trouble =
        |error| LoadError::Surroundings(format!("registry at {registry}, subject \"{topic}-value\": {error}"));
    let registry = Registry::new(&RegistryConfig::new(registry)).map_err(trouble)?;
    let id = registry.register(&format!("{topic}-value"), schema).map_err(trouble)?;
    Ok([&[0][..], &id.0.to_be_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generator::Parameters;
    use crate::generator::stream::each_line;
    use apache_avro::Schema;
    use apache_avro::reader::datum::GenericDatumReader;
    use apache_avro::types::Value as Avro;

    fn load(form: Form) -> Load {
        Load {
            parameters: Parameters { records: 3000, ..Parameters::traffic(5) },
            form,
            usage: "usage".to_owned(),
            commands: None,
            ticks: None,
            rate: None,
            copies_per_mille: 0,
            first: Vec::new(),
            extra: crate::load::Extra::default(),
        }
    }

    /// The Avro library reads what was written, and finds what the lines say.
    #[test]
    fn lines_are_read_by_the_avro_library() {
        let load = load(Form::SingleObject);
        let encoder = Encoder::new(&load.form, &load).expect("an encoder");
        let parse = |text| Schema::parse_str(text).expect("a schema");
        let (usage, command, tick) = (parse(USAGE), parse(COMMAND), parse(TICK));
        let mut counts = [0_u32; 4];
        each_line(&load.parameters, |kind, line| {
            let Some(message) = encoder.encode(kind, line) else {
                counts[3] += 1;
                return Ok(());
            };
            let (schema, text, at) = match kind {
                LineKind::Usage { .. } => (&usage, USAGE, 0),
                LineKind::Command => (&command, COMMAND, 1),
                LineKind::Tick => (&tick, TICK, 2),
            };
            counts[at] += 1;
            assert_eq!(message[..10], single_object_frame(text).expect("a frame"));
            let mut rest = &message[10..];
            let read =
                GenericDatumReader::builder(schema).build().expect("a reader").read_value(&mut rest).expect("a datum");
            assert!(rest.is_empty(), "bytes are left");
            let Avro::Record(fields) = read else { panic!("no record") };
            let object: Map<String, Value> = serde_json::from_slice(line).expect("JSON");
            for (name, value) in &fields {
                compare(name, value, object.get(name));
            }
            Ok(())
        })
        .expect("all lines");
        let [usage, commands, ticks, unfit] = counts;
        assert!(usage > 2900 && commands > 100 && ticks > 100 && unfit > 30, "{counts:?}");
    }

    fn compare(name: &str, found: &Avro, said: Option<&Value>) {
        let found = if let Avro::Union(_, inner) = found { inner } else { found };
        match (found, said) {
            (Avro::Null, None) => {}
            (Avro::String(text), Some(Value::String(said))) => assert_eq!(text, said, "{name}"),
            (Avro::String(text), None) => match name {
                "source" => assert!(text == DEFAULT_SOURCE || text == "rater-load"),
                "unit" => assert!(["octets", "seconds", "messages", "units"].contains(&&**text)),
                _ => assert!(name == "tick_id", "{name}"),
            },
            (Avro::Long(number), Some(said)) => assert_eq!(Some(*number), said.as_i64(), "{name}"),
            (Avro::Boolean(is), Some(said)) => assert_eq!(Some(*is), said.as_bool(), "{name}"),
            (Avro::TimestampMillis(at), Some(Value::String(said))) => {
                let said: jiff::Timestamp = said.parse().expect("a time");
                assert_eq!(*at, said.as_millisecond(), "{name}");
            }
            (Avro::TimestampMillis(at), Some(said)) => assert_eq!(Some(*at), said.as_i64(), "{name}"),
            (Avro::TimestampMillis(_), None) => assert_eq!(name, "time"),
            (Avro::Decimal(decimal), Some(Value::String(said))) => {
                let bytes = <Vec<u8>>::try_from(decimal).expect("bytes");
                let sign = if bytes[0] >> 7 == 1 { -1 } else { 0 };
                let value = bytes.iter().fold(sign, |value: i128, byte| value << 8 | i128::from(*byte));
                assert_eq!(Some(value), unscaled(said), "{name}");
            }
            (Avro::Map(map), said) => {
                assert_eq!(map.len(), said.map_or(0, |said| said.as_object().expect("a map").len()), "{name}");
            }
            (Avro::Array(items), None) => assert_eq!(items.len(), 0, "{name}"),
            (found, said) => panic!("{name}: {found:?} for {said:?}"),
        }
    }

    #[test]
    fn decimals_keep_every_digit() {
        let cases: [(&str, Option<i128>); 8] = [
            ("0", Some(0)),
            ("-5.00", Some(-50_000_000_000)),
            ("25.123456", Some(251_234_560_000)),
            ("0.0000000001", Some(1)),
            ("0.00000000001", None),
            ("five", None),
            ("", None),
            ("1.-1", None),
        ];
        for (text, value) in cases {
            assert_eq!(unscaled(text), value, "{text}");
        }
    }
}
